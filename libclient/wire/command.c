/* Commands and responses between client and driver (shared-memory.md 3.1, 3.2).
 *
 * Each message is a row of a table: the list of its fields in the order of the bytes, each with the
 * struct member that it fills. One encoder and one decoder walk these lists, so a layout is written
 * down once. The decoder is the door for what other processes put into the ring and the broadcast
 * buffer: every field and text must lie within the payload.
 */
#include "wire/command.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"

#define FIELD_COUNT_MAX 12

enum field_kind {
    FIELD_END,
    FIELD_I16,
    FIELD_I32,
    FIELD_I64,
    FIELD_I64_OPTIONAL, /* absent in messages of older clients: 0 */
    FIELD_I64_IGNORED,  /* written as -1, not read */
    FIELD_ADDRESS,      /* 16 bytes */
    FIELD_TEXT,         /* i32 length, bytes */
    FIELD_ALIGN,        /* up to the next multiple of 4 */
};

struct field {
    enum field_kind kind;
    size_t member;
};

struct layout {
    int32_t type;
    int32_t length_min; /* pad what is written to this: some readers demand it */
    struct field fields[FIELD_COUNT_MAX];
};

#define C_I64(name)                                                                                \
    { FIELD_I64, offsetof(struct command, name) }
#define C_I32(name)                                                                                \
    { FIELD_I32, offsetof(struct command, name) }
#define C_TEXT(name)                                                                               \
    { FIELD_TEXT, offsetof(struct command, name) }
#define C_HEAD C_I64(client_id), C_I64(correlation_id)
#define ALIGN                                                                                      \
    { FIELD_ALIGN, 0 }

static const struct layout command_layouts[] = {
    {COMMAND_ADD_PUBLICATION, 0, {C_HEAD, C_I32(stream_id), C_TEXT(channel)}},
    {COMMAND_ADD_EXCLUSIVE_PUBLICATION, 0, {C_HEAD, C_I32(stream_id), C_TEXT(channel)}},
    {COMMAND_ADD_SUBSCRIPTION,
     0,
     {C_HEAD, {FIELD_I64_IGNORED, 0}, C_I32(stream_id), C_TEXT(channel)}},
    {COMMAND_REMOVE_PUBLICATION,
     0,
     {C_HEAD, C_I64(registration_id), {FIELD_I64_OPTIONAL, offsetof(struct command, flags)}}},
    {COMMAND_REMOVE_SUBSCRIPTION, 0, {C_HEAD, C_I64(registration_id)}},
    {COMMAND_REMOVE_COUNTER, 0, {C_HEAD, C_I64(registration_id)}},
    {COMMAND_CLIENT_KEEPALIVE, 0, {C_HEAD}},
    {COMMAND_CLIENT_CLOSE, 0, {C_HEAD}},
    {COMMAND_ADD_DESTINATION, 0, {C_HEAD, C_I64(registration_id), C_TEXT(channel)}},
    {COMMAND_REMOVE_DESTINATION, 0, {C_HEAD, C_I64(registration_id), C_TEXT(channel)}},
    {COMMAND_ADD_RECEIVE_DESTINATION, 0, {C_HEAD, C_I64(registration_id), C_TEXT(channel)}},
    {COMMAND_REMOVE_RECEIVE_DESTINATION, 0, {C_HEAD, C_I64(registration_id), C_TEXT(channel)}},
    {COMMAND_REMOVE_DESTINATION_BY_ID, 0, {C_HEAD, C_I64(registration_id), C_I64(destination_id)}},
    {COMMAND_ADD_COUNTER, 0, {C_HEAD, C_I32(counter_type_id), C_TEXT(key), ALIGN, C_TEXT(label)}},
    {COMMAND_ADD_STATIC_COUNTER,
     0,
     {C_HEAD, C_I64(registration_id), C_I32(counter_type_id), C_TEXT(key), ALIGN, C_TEXT(label)}},
    {COMMAND_TERMINATE_DRIVER, 0, {C_HEAD, C_TEXT(text)}},
    /* The original's C driver refuses fewer than 40 bytes. */
    {COMMAND_REJECT_IMAGE, 40, {C_HEAD, C_I64(registration_id), C_I64(position), C_TEXT(text)}},
    {COMMAND_NEXT_SESSION_ID, 0, {C_HEAD, C_I32(stream_id)}},
};

#define R_I64(name)                                                                                \
    { FIELD_I64, offsetof(struct response, name) }
#define R_I32(name)                                                                                \
    { FIELD_I32, offsetof(struct response, name) }
#define R_I16(name)                                                                                \
    { FIELD_I16, offsetof(struct response, name) }
#define R_TEXT(name)                                                                               \
    { FIELD_TEXT, offsetof(struct response, name) }
#define R_PUBLICATION_READY                                                                        \
    R_I64(correlation_id), R_I64(registration_id), R_I32(session_id), R_I32(stream_id),            \
        R_I32(counter_id), R_I32(channel_status_id), R_TEXT(text)

static const struct layout response_layouts[] = {
    {RESPONSE_ERROR, 0, {R_I64(correlation_id), R_I32(error_code), R_TEXT(text)}},
    {RESPONSE_AVAILABLE_IMAGE,
     0,
     {R_I64(correlation_id), R_I32(session_id), R_I32(stream_id), R_I64(registration_id),
      R_I32(counter_id), R_TEXT(text), ALIGN, R_TEXT(source_identity)}},
    {RESPONSE_PUBLICATION_READY, 0, {R_PUBLICATION_READY}},
    {RESPONSE_EXCLUSIVE_PUBLICATION_READY, 0, {R_PUBLICATION_READY}},
    {RESPONSE_OPERATION_SUCCESS, 0, {R_I64(correlation_id)}},
    {RESPONSE_UNAVAILABLE_IMAGE,
     0,
     {R_I64(correlation_id), R_I64(registration_id), R_I32(stream_id), R_TEXT(text)}},
    {RESPONSE_SUBSCRIPTION_READY, 0, {R_I64(correlation_id), R_I32(channel_status_id)}},
    {RESPONSE_COUNTER_READY, 0, {R_I64(correlation_id), R_I32(counter_id)}},
    {RESPONSE_UNAVAILABLE_COUNTER, 0, {R_I64(correlation_id), R_I32(counter_id)}},
    {RESPONSE_CLIENT_TIMEOUT, 0, {R_I64(correlation_id)}},
    {RESPONSE_STATIC_COUNTER, 0, {R_I64(correlation_id), R_I32(counter_id)}},
    {RESPONSE_NEXT_SESSION_ID, 0, {R_I64(correlation_id), R_I32(session_id)}},
    /* The original's C client discards fewer than 72 bytes. */
    {RESPONSE_PUBLICATION_ERROR,
     72,
     {R_I64(correlation_id),
      R_I64(registration_id),
      R_I32(session_id),
      R_I32(stream_id),
      R_I64(receiver_id),
      R_I64(group_tag),
      R_I16(address_type),
      R_I16(address_port),
      {FIELD_ADDRESS, offsetof(struct response, address)},
      R_I32(error_code),
      R_TEXT(text)}},
};

static const struct layout *find(const struct layout *layouts, size_t count, int32_t type) {
    for (size_t i = 0; i < count; i++) {
        if (layouts[i].type == type) {
            return &layouts[i];
        }
    }
    return NULL;
}

/* Bytes of the fixed part of a field. */
static int32_t field_width(enum field_kind kind) {
    switch (kind) {
    case FIELD_I16:
        return 2;
    case FIELD_I32:
    case FIELD_TEXT:
        return 4;
    case FIELD_I64:
    case FIELD_I64_OPTIONAL:
    case FIELD_I64_IGNORED:
        return 8;
    case FIELD_ADDRESS:
        return 16;
    case FIELD_END:
    case FIELD_ALIGN:
        break;
    }
    return 0;
}

static int decode_text(struct text_slice *slice, const uint8_t *payload, int32_t length,
                       int32_t *offset) {
    int32_t text_length = get_i32(payload + *offset);
    *offset += 4;
    if (text_length < 0 || text_length > length - *offset) {
        return -EBADMSG;
    }
    slice->text = (const char *)payload + *offset;
    slice->length = text_length;
    *offset += text_length;
    return 0;
}

static int decode(const struct layout *layout, void *message, const uint8_t *payload,
                  int32_t length) {
    int32_t offset = 0;
    for (const struct field *field = layout->fields; field->kind != FIELD_END; field++) {
        if (field->kind == FIELD_ALIGN) {
            offset = align_i32(offset, 4);
            continue;
        }
        int32_t width = field_width(field->kind);
        if (offset > length - width) {
            return field->kind == FIELD_I64_OPTIONAL ? 0 : -EBADMSG;
        }
        void *member = (uint8_t *)message + field->member;
        if (field->kind == FIELD_TEXT) {
            if (decode_text(member, payload, length, &offset) < 0) {
                return -EBADMSG;
            }
            continue;
        }
        if (field->kind != FIELD_I64_IGNORED) {
            memcpy(member, payload + offset, (size_t)width);
        }
        offset += width;
    }
    return 0;
}

static int32_t encode(const struct layout *layout, const void *message, uint8_t *payload,
                      int32_t capacity) {
    int32_t offset = 0;
    for (const struct field *field = layout->fields; field->kind != FIELD_END; field++) {
        int32_t width =
            field->kind == FIELD_ALIGN ? align_i32(offset, 4) - offset : field_width(field->kind);
        if (width > capacity - offset) {
            return -EMSGSIZE;
        }
        const void *member = (const uint8_t *)message + field->member;
        if (field->kind == FIELD_ALIGN) {
            memset(payload + offset, 0, (size_t)width);
        } else if (field->kind == FIELD_I64_IGNORED) {
            put_i64(payload + offset, -1);
        } else if (field->kind == FIELD_TEXT) {
            const struct text_slice *slice = member;
            assert(slice->length >= 0);
            if (slice->length > capacity - offset - width) {
                return -EMSGSIZE;
            }
            put_i32(payload + offset, slice->length);
            if (slice->length > 0) {
                memcpy(payload + offset + width, slice->text, (size_t)slice->length);
            }
            offset += slice->length;
        } else {
            memcpy(payload + offset, member, (size_t)width);
        }
        offset += width;
    }
    if (offset < layout->length_min) {
        if (capacity < layout->length_min) {
            return -EMSGSIZE;
        }
        memset(payload + offset, 0, (size_t)(layout->length_min - offset));
        offset = layout->length_min;
    }
    return offset;
}

int command_decode(struct command *command, int32_t type, const uint8_t *payload, int32_t length) {
    *command = (struct command){.type = type};
    const struct layout *layout = find(command_layouts, ARRAY_COUNT(command_layouts), type);
    if (layout == NULL) {
        /* Every command begins with the two ids, as far as one can know. */
        static const struct layout head = {0, 0, {C_HEAD}};
        (void)decode(&head, command, payload, length);
        return -EOPNOTSUPP;
    }
    return decode(layout, command, payload, length);
}

int32_t command_encode(const struct command *command, uint8_t *payload, int32_t capacity) {
    const struct layout *layout =
        find(command_layouts, ARRAY_COUNT(command_layouts), command->type);
    assert(layout != NULL);
    return encode(layout, command, payload, capacity);
}

int response_decode(struct response *response, int32_t type, const uint8_t *payload,
                    int32_t length) {
    *response = (struct response){.type = type};
    const struct layout *layout = find(response_layouts, ARRAY_COUNT(response_layouts), type);
    return layout != NULL ? decode(layout, response, payload, length) : -EOPNOTSUPP;
}

int32_t response_encode(const struct response *response, uint8_t *payload, int32_t capacity) {
    const struct layout *layout =
        find(response_layouts, ARRAY_COUNT(response_layouts), response->type);
    assert(layout != NULL);
    return encode(layout, response, payload, capacity);
}

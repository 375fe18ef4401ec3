/* The engine behind the generated codecs; see sbe.h for the rules it keeps.
 *
 * A message is a header, a block of fields at fixed offsets, groups, and data with a length in
 * front. Reading goes through struct reader, which knows how many bytes are left and hands out no
 * others: that one function (take) is what stands between a hostile length and the memory behind a
 * message. Writing first adds up the whole length, compares it with the capacity once, and then
 * needs no more checks; an assert at the end compares the two.
 *
 * Called by whoever sends or receives control messages, on any thread; there is no state.
 */
#include "wire/sbe.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/compiler.h"

#define DATA_HEADER_LENGTH 4

struct reader {
    const uint8_t *position;
    int32_t left;
    uint16_t version; /* of the sender */
};

/* The next `count` bytes, or NULL when the message ends before them. */
static const uint8_t *take(struct reader *reader, int64_t count) {
    assert(count >= 0);
    if (count > reader->left) {
        return NULL;
    }
    const uint8_t *bytes = reader->position;
    reader->position += count;
    reader->left -= (int32_t)count;
    return bytes;
}

static int32_t type_length(uint8_t type) {
    switch (type) {
    case SBE_I64:
        return 8;
    case SBE_U8:
        return 1;
    default:
        assert(type == SBE_I32 || type == SBE_U32);
        return 4;
    }
}

static uint16_t read_header(struct sbe_header *header, const uint8_t *bytes) {
    header->block_length = get_u16(bytes);
    header->template_id = get_u16(bytes + 2);
    header->schema_id = get_u16(bytes + 4);
    header->version = get_u16(bytes + 6);
    return header->block_length;
}

int sbe_peek(struct sbe_header *header, const void *buffer, int32_t length) {
    struct sbe_header found;
    if (length < SBE_HEADER_LENGTH || read_header(&found, buffer) > length - SBE_HEADER_LENGTH) {
        return -EBADMSG;
    }
    *header = found;
    return 0;
}

int sbe_peek_framed(struct sbe_header *header, int32_t *frame_length, const void *buffer,
                    int32_t length) {
    struct sbe_header found;
    if (length < SBE_FRAMED_HEADER_LENGTH) {
        return -EBADMSG;
    }
    uint16_t block_length = read_header(&found, buffer);
    int32_t framed = get_i32((const uint8_t *)buffer + SBE_HEADER_LENGTH);
    if (framed > length || framed < SBE_FRAMED_HEADER_LENGTH + block_length) {
        return -EBADMSG;
    }
    *header = found;
    *frame_length = framed;
    return 0;
}

const char *sbe_enum_name(const struct sbe_enum *values, int32_t value) {
    for (int32_t i = 0; i < values->count; i++) {
        if (values->values[i].value == value) {
            return values->values[i].name;
        }
    }
    return value == SBE_NULL_I32 ? "NULL" : "?";
}

static bool is_enum_value(const struct sbe_enum *values, int32_t value) {
    return value == SBE_NULL_I32 || sbe_enum_name(values, value)[0] != '?';
}

/* -- decoding -- */

static void set_absent(const struct sbe_field *field, uint8_t *member) {
    switch (field->type) {
    case SBE_I64:
        put_i64(member, field->absent);
        break;
    case SBE_U8:
        *member = (uint8_t)field->absent;
        break;
    default:
        put_i32(member, (int32_t)field->absent);
        break;
    }
}

static int decode_block(const struct sbe_layout *layout, uint8_t *message, const uint8_t *block,
                        int32_t block_length, uint16_t version) {
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        int32_t length = type_length(field->type);
        bool is_inside = field->offset + length <= block_length;
        if (!is_inside && field->since == 0) {
            return -EBADMSG;
        }
        if (!is_inside || version < field->since) {
            set_absent(field, message + field->member);
            continue;
        }
        if (field->values != NULL &&
            !is_enum_value(field->values, get_i32(block + field->offset))) {
            return -EBADMSG;
        }
        memcpy(message + field->member, block + field->offset, (size_t)length);
    }
    return 0;
}

static int decode_data(const struct sbe_layout *layout, uint8_t *message, struct reader *reader) {
    for (int32_t i = 0; i < layout->data_count; i++) {
        const struct sbe_data *data = &layout->data[i];
        struct text_slice slice = {"", 0};
        if (reader->version >= data->since) {
            const uint8_t *header = take(reader, DATA_HEADER_LENGTH);
            if (header == NULL) {
                return -EBADMSG;
            }
            uint32_t claimed = (uint32_t)get_i32(header);
            const uint8_t *bytes = take(reader, claimed);
            if (bytes == NULL) {
                return -EBADMSG;
            }
            slice = (struct text_slice){(const char *)bytes, (int32_t)claimed};
        }
        memcpy(message + data->member, &slice, sizeof slice);
    }
    return 0;
}

static int decode_element(const struct sbe_layout *layout, void *element, uint16_t block_length,
                          struct reader *reader) {
    const uint8_t *block = take(reader, block_length);
    if (block == NULL) {
        return -EBADMSG;
    }
    int result = decode_block(layout, element, block, block_length, reader->version);
    return result == 0 ? decode_data(layout, element, reader) : result;
}

/* Walks the whole group, so that _next can trust it later. The walk ends at the first element that
 * does not fit, and each takes at least one byte: no count makes it long. */
static int decode_group(const struct sbe_layout *layout, uint8_t *message, struct reader *reader) {
    const uint8_t *header = take(reader, SBE_GROUP_HEADER_LENGTH);
    if (header == NULL) {
        return -EBADMSG;
    }
    struct sbe_group group = {.position = reader->position, .version = reader->version};
    group.block_length = get_u16(header);
    group.count = get_u16(header + 2);
    for (int32_t i = 0; i < group.count; i++) {
        _Alignas(8) uint8_t scratch[SBE_STRUCT_LENGTH_MAX];
        assert(layout->struct_length <= sizeof scratch);
        int result = decode_element(layout, scratch, group.block_length, reader);
        if (result != 0) {
            return result;
        }
    }
    group.length = (int32_t)(reader->position - group.position);
    memcpy(message + layout->member, &group, sizeof group);
    return 0;
}

bool sbe_group_next(const struct sbe_layout *layout, struct sbe_group *group, void *element) {
    if (group->index >= group->count) {
        return false;
    }
    struct reader reader = {group->position, group->length, group->version};
    int result = decode_element(layout, element, group->block_length, &reader);
    assert(result == 0); /* decode_group has walked here */
    group->index += 1;
    group->position = reader.position;
    group->length = reader.left;
    return true;
}

/* Check the header against the layout; the reader then stands behind it. A record has none. */
static int decode_header(const struct sbe_layout *layout, struct reader *reader,
                         uint16_t *block_length) {
    struct sbe_header header = {layout->block_length, layout->template_id, layout->schema_id,
                                layout->version};
    int result = 0;
    if (layout->header_length == SBE_HEADER_LENGTH) {
        result = sbe_peek(&header, reader->position, reader->left);
    } else if (layout->header_length == SBE_FRAMED_HEADER_LENGTH) {
        int32_t frame_length = 0;
        result = sbe_peek_framed(&header, &frame_length, reader->position, reader->left);
        reader->left = result == 0 ? frame_length : reader->left;
    }
    if (result != 0 || header.schema_id != layout->schema_id ||
        header.template_id != layout->template_id || take(reader, layout->header_length) == NULL) {
        return -EBADMSG;
    }
    reader->version = header.version;
    *block_length = header.block_length;
    return 0;
}

int sbe_decode(const struct sbe_layout *layout, void *message, const void *buffer, int32_t length) {
    _Alignas(8) uint8_t scratch[SBE_STRUCT_LENGTH_MAX];
    struct reader reader = {buffer, length < 0 ? 0 : length, 0};
    uint16_t block_length = 0;
    assert(layout->struct_length <= sizeof scratch);
    int result = decode_header(layout, &reader, &block_length);
    if (result != 0) {
        return result;
    }
    const uint8_t *block = take(&reader, block_length);
    if (block == NULL) {
        return -EBADMSG;
    }
    memset(scratch, 0, layout->struct_length); /* the gaps of the struct */
    result = decode_block(layout, scratch, block, block_length, reader.version);
    for (int32_t i = 0; i < layout->group_count && result == 0; i++) {
        result = decode_group(layout->groups[i], scratch, &reader);
    }
    if (result == 0) {
        result = decode_data(layout, scratch, &reader);
    }
    if (result == 0) {
        memcpy(message, scratch, layout->struct_length);
    }
    return result;
}

/* -- encoding -- */

static struct text_slice get_slice(const struct sbe_data *data, const uint8_t *message) {
    struct text_slice slice;
    memcpy(&slice, message + data->member, sizeof slice);
    assert(slice.length >= 0);
    assert(slice.length == 0 || slice.text != NULL);
    return slice;
}

static struct sbe_group get_group(const struct sbe_layout *layout, const uint8_t *message) {
    struct sbe_group group;
    memcpy(&group, message + layout->member, sizeof group);
    assert(group.count >= 0);
    assert(group.count == 0 || group.elements != NULL);
    return group;
}

static int64_t body_length(const struct sbe_layout *layout, const uint8_t *message) {
    int64_t length = layout->block_length;
    for (int32_t i = 0; i < layout->group_count; i++) {
        const struct sbe_layout *inner = layout->groups[i];
        struct sbe_group group = get_group(inner, message);
        length += SBE_GROUP_HEADER_LENGTH;
        for (int32_t k = 0; k < group.count; k++) {
            const uint8_t *element = group.elements;
            length += body_length(inner, element + (size_t)k * inner->struct_length);
        }
        if (group.count > SBE_GROUP_COUNT_MAX) {
            return INT64_MAX / 2; /* fits nowhere */
        }
    }
    for (int32_t i = 0; i < layout->data_count; i++) {
        length += DATA_HEADER_LENGTH; /* apart: the sum may be above what an int holds */
        length += get_slice(&layout->data[i], message).length;
    }
    return length;
}

static uint8_t *write_body(const struct sbe_layout *layout, const uint8_t *message, uint8_t *at) {
    memset(at, 0, layout->block_length);
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        memcpy(at + field->offset, message + field->member, (size_t)type_length(field->type));
    }
    at += layout->block_length;
    for (int32_t i = 0; i < layout->group_count; i++) {
        const struct sbe_layout *inner = layout->groups[i];
        struct sbe_group group = get_group(inner, message);
        put_u16(at, inner->block_length);
        put_u16(at + 2, (uint16_t)group.count);
        at += SBE_GROUP_HEADER_LENGTH;
        for (int32_t k = 0; k < group.count; k++) {
            const uint8_t *element = group.elements;
            at = write_body(inner, element + (size_t)k * inner->struct_length, at);
        }
    }
    for (int32_t i = 0; i < layout->data_count; i++) {
        struct text_slice slice = get_slice(&layout->data[i], message);
        put_i32(at, slice.length);
        at += DATA_HEADER_LENGTH;
        if (slice.length > 0) {
            memcpy(at, slice.text, (size_t)slice.length);
        }
        at += slice.length;
    }
    return at;
}

int32_t sbe_encode(const struct sbe_layout *layout, const void *message, void *buffer,
                   int32_t capacity) {
    int64_t length = layout->header_length + body_length(layout, message);
    if (length > capacity) {
        return -EMSGSIZE;
    }
    uint8_t *at = buffer;
    if (layout->header_length > 0) {
        put_u16(at, layout->block_length);
        put_u16(at + 2, layout->template_id);
        put_u16(at + 4, layout->schema_id);
        put_u16(at + 6, layout->version);
    }
    if (layout->header_length == SBE_FRAMED_HEADER_LENGTH) {
        put_i32(at + 8, (int32_t)length);
        put_i32(at + 12, 0);
    }
    const uint8_t *end = write_body(layout, message, at + layout->header_length);
    assert(end - at == length);
    return (int32_t)length;
}

/* -- printing -- */

struct line {
    char *text;
    int32_t capacity;
    int32_t used;
};

static void PRINTF_LIKE(2, 3) append(struct line *line, const char *format, ...) {
    if (line->used + 1 >= line->capacity) {
        return;
    }
    va_list args;
    va_start(args, format);
    size_t room = (size_t)(line->capacity - line->used);
    int wanted = vsnprintf(line->text + line->used, room, format, args);
    va_end(args);
    line->used = min_i32(line->used + (wanted < 0 ? 0 : wanted), line->capacity - 1);
}

static void append_text(struct line *line, struct text_slice slice) {
    append(line, "'");
    for (int32_t i = 0; i < slice.length && line->used + 1 < line->capacity; i++) {
        unsigned char c = (unsigned char)slice.text[i];
        bool is_plain = c >= 0x20 && c < 0x7f && c != '\'' && c != '\\';
        append(line, is_plain ? "%c" : "\\x%02x", c);
    }
    append(line, "'");
}

static void append_field(struct line *line, const struct sbe_field *field, const uint8_t *member) {
    switch (field->type) {
    case SBE_I64:
        append(line, "%lld", (long long)get_i64(member));
        break;
    case SBE_U8:
        append(line, "%u", *member);
        break;
    case SBE_U32:
        append(line, "%u", (uint32_t)get_i32(member));
        break;
    default:
        if (field->values != NULL) {
            append(line, "%s", sbe_enum_name(field->values, get_i32(member)));
        } else {
            append(line, "%d", get_i32(member));
        }
        break;
    }
}

static void append_body(struct line *line, const struct sbe_layout *layout,
                        const uint8_t *message) {
    const char *separator = "";
    for (int32_t i = 0; i < layout->field_count; i++, separator = " ") {
        append(line, "%s%s=", separator, layout->fields[i].name);
        append_field(line, &layout->fields[i], message + layout->fields[i].member);
    }
    for (int32_t i = 0; i < layout->group_count; i++, separator = " ") {
        const struct sbe_layout *inner = layout->groups[i];
        _Alignas(8) uint8_t element[SBE_STRUCT_LENGTH_MAX];
        struct sbe_group group;
        memcpy(&group, message + inner->member, sizeof group);
        append(line, "%s%s=[", separator, inner->name);
        while (line->used + 1 < line->capacity && sbe_group_next(inner, &group, element)) {
            append(line, "%s{", group.index > 1 ? ", " : "");
            append_body(line, inner, element);
            append(line, "}");
        }
        append(line, "]");
    }
    for (int32_t i = 0; i < layout->data_count; i++, separator = " ") {
        struct text_slice slice = get_slice(&layout->data[i], message);
        append(line, "%s%s=", separator, layout->data[i].name);
        if (layout->data[i].is_text) {
            append_text(line, slice);
        } else {
            append(line, "%d bytes", slice.length);
        }
    }
}

static const struct sbe_layout *find_layout(const struct sbe_layouts *layouts, int32_t schema_id,
                                            int32_t template_id) {
    for (int32_t i = 0; i < layouts->count; i++) {
        const struct sbe_layout *layout = layouts->all[i];
        if (layout->template_id == template_id && layout->schema_id == schema_id) {
            return layout;
        }
    }
    return NULL;
}

const char *sbe_template_name(const struct sbe_layouts *layouts, int32_t template_id) {
    for (int32_t i = 0; i < layouts->count; i++) {
        if (layouts->all[i]->template_id == template_id) {
            return layouts->all[i]->name;
        }
    }
    return "?";
}

int sbe_format(const struct sbe_layouts *layouts, const void *buffer, int32_t length, char *text,
               int32_t capacity) {
    struct line line = {text, capacity, 0};
    struct sbe_header header;
    _Alignas(8) uint8_t message[SBE_STRUCT_LENGTH_MAX];
    if (capacity > 0) {
        text[0] = '\0';
    }
    if (length < SBE_HEADER_LENGTH) {
        append(&line, "%d bytes, shorter than a message header", length);
        return -EBADMSG;
    }
    read_header(&header, buffer);
    const struct sbe_layout *layout = find_layout(layouts, header.schema_id, header.template_id);
    if (layout == NULL) {
        append(&line, "unknown message: schema %u template %u version %u, %d bytes",
               header.schema_id, header.template_id, header.version, length);
        return -EBADMSG;
    }
    if (sbe_decode(layout, message, buffer, length) != 0) {
        append(&line, "malformed %s: block %u version %u, %d bytes", layout->name,
               header.block_length, header.version, length);
        return -EBADMSG;
    }
    append(&line, "%s: ", layout->name);
    append_body(&line, layout, message);
    return 0;
}

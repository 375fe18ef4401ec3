/* Putting messages together (shared-memory.md 5.16).
 *
 * A session's buffer grows to the longest message seen and is reused. A fragment is taken only when
 * it follows the previous one in the same term, so a message with a hole in it is never delivered.
 * No legal message exceeds LOG_MESSAGE_LENGTH_MAX; a sender that never ends one cannot make the
 * buffer grow beyond it.
 */
#include "client/message_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_LENGTH_INITIAL 4096

static struct message_session *find_session(struct message_builder *builder, int32_t session_id) {
    if (builder->recent != NULL && builder->recent->session_id == session_id) {
        return builder->recent;
    }
    struct message_session *session = hash_map_get(&builder->sessions, session_id);
    if (session != NULL) {
        builder->recent = session;
    }
    return session;
}

static struct message_session *create_session(struct message_builder *builder, int32_t session_id) {
    struct message_session *session = calloc(1, sizeof *session);
    if (session == NULL || hash_map_put(&builder->sessions, session_id, session) != 0) {
        free(session);
        return NULL;
    }
    session->session_id = session_id;
    builder->recent = session;
    return session;
}

static int append(struct message_session *session, const uint8_t *data, int32_t length) {
    int64_t needed = (int64_t)session->length + length;
    if (needed > LOG_MESSAGE_LENGTH_MAX) {
        return -EMSGSIZE;
    }
    if (needed > session->capacity) {
        int64_t capacity = max_i64(BUFFER_LENGTH_INITIAL, session->capacity);
        while (capacity < needed) {
            capacity += capacity / 2;
        }
        uint8_t *buffer = realloc(session->buffer, (size_t)capacity);
        if (buffer == NULL) {
            return -ENOMEM;
        }
        session->buffer = buffer;
        session->capacity = (int32_t)capacity;
    }
    memcpy(session->buffer + session->length, data, (size_t)length);
    session->length += length;
    return 0;
}

static struct message_session *begin(struct message_builder *builder,
                                     const struct tern_header *header) {
    const struct frame_header *frame = header->frame;
    struct message_session *session = find_session(builder, frame->session_id);
    if (session == NULL) {
        session = create_session(builder, frame->session_id);
        if (session == NULL) {
            return NULL;
        }
    } else if (session->length > 0) {
        builder->dropped_count++; /* the previous message never ended */
    }
    message_session_reset(session);
    session->first = *frame;
    session->initial_term_id = header->initial_term_id;
    session->position_bits = header->position_bits;
    return session;
}

/* The session when this fragment continues its message. */
static struct message_session *proceed(struct message_builder *builder,
                                       const struct tern_header *header) {
    const struct frame_header *frame = header->frame;
    struct message_session *session = find_session(builder, frame->session_id);
    if (session == NULL || session->length == 0) {
        /* The begin was not seen: joined in the middle, or dropped before. Count it once. */
        builder->dropped_count += (frame->flags & FRAME_FLAG_END) != 0;
        return NULL;
    }
    if (frame->term_offset != session->next_term_offset ||
        frame->term_id != session->first.term_id) {
        message_session_reset(session);
        builder->dropped_count++;
        return NULL;
    }
    return session;
}

struct message_session *message_builder_add(struct message_builder *builder, const uint8_t *data,
                                            int32_t length, const struct tern_header *header) {
    const struct frame_header *frame = header->frame;
    bool is_begin = (frame->flags & FRAME_FLAG_BEGIN) != 0;
    struct message_session *session = is_begin ? begin(builder, header) : proceed(builder, header);
    if (session == NULL) {
        builder->dropped_count += is_begin;
        return NULL;
    }
    if (append(session, data, length) != 0) {
        message_session_reset(session);
        builder->dropped_count++;
        return NULL;
    }
    int32_t aligned = log_aligned_frame_length(frame->frame_length);
    session->next_term_offset = frame->term_offset + aligned;
    session->length_in_log += aligned;
    return (frame->flags & FRAME_FLAG_END) != 0 ? session : NULL;
}

struct tern_header message_session_header(const struct message_session *session,
                                          const struct tern_header *last,
                                          struct frame_header *frame) {
    *frame = session->first;
    frame->flags |= last->frame->flags;
    frame->frame_length = LOG_FRAME_HEADER_LENGTH + session->length;
    return (struct tern_header){frame, session->initial_term_id, session->position_bits,
                                session->length_in_log, last->image};
}

void message_session_reset(struct message_session *session) {
    session->length = 0;
    session->length_in_log = 0;
}

void message_session_undo(struct message_session *session, int32_t length,
                          const struct tern_header *header) {
    assert(session->length >= length);
    session->length -= length;
    session->next_term_offset = header->frame->term_offset;
    session->length_in_log -= log_aligned_frame_length(header->frame->frame_length);
}

void message_builder_remove(struct message_builder *builder, int32_t session_id) {
    struct message_session *session = hash_map_remove(&builder->sessions, session_id);
    if (session != NULL) {
        if (builder->recent == session) {
            builder->recent = NULL;
        }
        free(session->buffer);
        free(session);
    }
}

void message_builder_close(struct message_builder *builder) {
    for (size_t i = 0; i < builder->sessions.capacity; i++) {
        struct message_session *session = builder->sessions.entries[i].value;
        if (session != NULL) {
            free(session->buffer);
            free(session);
        }
    }
    hash_map_close(&builder->sessions);
    *builder = (struct message_builder){0};
}

/* Messages put together from fragments, one buffer per session (shared-memory.md 5.16). What the
 * plain and the controlled assembler share. Not for other folders. */
#ifndef TERN_CLIENT_MESSAGE_BUILDER_H
#define TERN_CLIENT_MESSAGE_BUILDER_H

#include "base/hash_map.h"
#include "client/image.h"

struct message_session {
    uint8_t *buffer;
    int32_t capacity;
    int32_t length; /* 0: no message begun */
    int32_t next_term_offset;
    int32_t length_in_log;
    int32_t session_id;
    int32_t initial_term_id;
    int32_t position_bits;
    struct frame_header first;
};

struct message_builder {
    struct hash_map sessions;       /* by session id */
    struct message_session *recent; /* the one used last, or NULL */
    int64_t dropped_count;
};

/* Add a fragment that is not a whole message. Returns the session when it now holds a whole
 * message, else NULL. */
struct message_session *message_builder_add(struct message_builder *builder, const uint8_t *data,
                                            int32_t length, const struct tern_header *header);
/* The whole message's header; `frame` is the caller's memory for it. */
struct tern_header message_session_header(const struct message_session *session,
                                          const struct tern_header *last,
                                          struct frame_header *frame);
/* Delivered: begin anew. */
void message_session_reset(struct message_session *session);
/* Not accepted: forget the last fragment, it comes again. */
void message_session_undo(struct message_session *session, int32_t length,
                          const struct tern_header *header);
void message_builder_remove(struct message_builder *builder, int32_t session_id);
void message_builder_close(struct message_builder *builder);

#endif

/* Writing frames into a term: concurrent and exclusive appenders (shared-memory.md 5.3 to 5.9), and
 * the packet insert of an image (media-driver.md 3.6). Pure functions over a mapped log. */
#ifndef TERN_SHM_TERM_APPEND_H
#define TERN_SHM_TERM_APPEND_H

#include <stdint.h>
#include <sys/uio.h>

#include "shm/log_buffer.h"

/* Called for each frame with its header and the frame length, before the frame is committed;
 * returns the reserved value. */
typedef int64_t (*reserved_value_supplier)(void *context, uint8_t *frame, int32_t frame_length);

/* What both appenders need to know about their log; set once when the publication is made. */
struct term_appender {
    const struct log_buffer *log;
    int32_t session_id;
    int32_t stream_id;
    int32_t payload_length_max; /* mtu - 32 */
    int32_t message_length_max;
};

#define TERM_APPEND_TRIPPED (-1) /* the message did not fit: the log was rotated, call again */
#define TERM_APPEND_MAX_POSITION (-2)

/* Concurrent (5.4 to 5.6). `length` is the sum of the vector's lengths and was checked by the
 * caller against the limits. Return the new stream position or one of the codes above. */
int64_t term_append_message(const struct term_appender *appender, const struct iovec *vector,
                            int vector_count, int64_t length, reserved_value_supplier supplier,
                            void *supplier_context);
int64_t term_append_claim(const struct term_appender *appender, int32_t length,
                          struct frame_header **frame);

/* Exclusive (5.9): the writer's own state instead of the shared tails. */
struct exclusive_state {
    int32_t term_offset;
    int32_t term_id;
    int32_t active_index;
    int64_t term_begin_position;
};
void exclusive_state_init(struct exclusive_state *state, const struct log_buffer *log);
int64_t exclusive_append_message(const struct term_appender *appender,
                                 struct exclusive_state *state, const struct iovec *vector,
                                 int vector_count, int64_t length,
                                 reserved_value_supplier supplier, void *supplier_context);
int64_t exclusive_append_claim(const struct term_appender *appender, struct exclusive_state *state,
                               int32_t length, struct frame_header **frame);
int64_t exclusive_append_padding(const struct term_appender *appender,
                                 struct exclusive_state *state, int32_t length);
/* A block of whole frames of this stream, made elsewhere (replay). The caller validated it. */
int64_t exclusive_append_block(const struct term_appender *appender,
                               struct exclusive_state *state, const uint8_t *block,
                               int32_t length);

/* Commit or abort a claim made by one of the claim functions. */
void term_claim_commit(struct frame_header *frame);
void term_claim_abort(struct frame_header *frame);

/* Image: put a validated datagram at its offset when nothing is there yet; words are stored so
 * that a reader sees the frame only when complete. */
void term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet,
                        int32_t length);

/* 2.8 of media-driver.md: zero [offset, offset + length) in the order that readers rely on. */
void term_clean(uint8_t *term, int32_t offset, int32_t length);

/* 5.12: make a stuck frame readable as padding. */
enum term_unblock_result { TERM_UNBLOCK_NONE, TERM_UNBLOCKED, TERM_UNBLOCKED_TO_END };
enum term_unblock_result term_unblock(const struct log_buffer *log, uint8_t *term, int32_t offset,
                                      int32_t tail_offset, int32_t term_id);
/* The whole of 5.12 for a blocked position, with rotation; true when something was unblocked. */
bool log_unblock(const struct log_buffer *log, int64_t blocked_position);

#endif

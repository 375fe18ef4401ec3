/* Writing frames into a term: concurrent and exclusive appenders (shared-memory.md 5.3 to 5.9), and
 * the packet insert of an image (media-driver.md 3.6). Pure functions over a mapped log. */
#ifndef TERN_SHM_TERM_APPEND_H
#define TERN_SHM_TERM_APPEND_H

#include <stdint.h>
#include <sys/uio.h>

#include "shm/log_buffer.h"

/* Called for each frame with its start and the frame length (header included), when the payload is
 * in place and before the frame is committed; returns the reserved value. */
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
#define TERM_APPEND_INVALID (-3) /* a block that is not made for this place of this stream */

/* Set the fields from a mapped log whose session and stream ids are known. */
void term_appender_init(struct term_appender *appender, const struct log_buffer *log,
                        int32_t session_id, int32_t stream_id);

/* Concurrent (5.4 to 5.6). `length` is the sum of the vector's lengths and was checked by the
 * caller: at most message_length_max, for a claim payload_length_max. The caller also made the
 * checks of 5.3 against the publication limit. Return the new stream position or one of the codes
 * above. */
int64_t term_append_message(const struct term_appender *appender, const struct iovec *vector,
                            int vector_count, int64_t length, reserved_value_supplier supplier,
                            void *supplier_context);
int64_t term_append_claim(const struct term_appender *appender, int32_t length,
                          struct frame_header **frame);

/* Exclusive (5.9): the writer's own state instead of the shared tails. */
struct exclusive_state {
    int32_t term_offset;
    int32_t term_id;
    int32_t free_end; /* a short message that ends up to here needs no further look */
    int32_t active_index;
    uint8_t *term; /* the active one, and its tail in the metadata */
    int64_t *raw_tail;
    int64_t term_begin_position;
    int64_t clear_position; /* zero up to here; INT64_MAX: the driver sees to it (log_clearing.h) */
};
void exclusive_state_init(struct exclusive_state *state, const struct log_buffer *log);
int64_t exclusive_append_message(const struct term_appender *appender,
                                 struct exclusive_state *state, const struct iovec *vector,
                                 int vector_count, int64_t length, reserved_value_supplier supplier,
                                 void *supplier_context);
int64_t exclusive_append_claim(const struct term_appender *appender, struct exclusive_state *state,
                               int32_t length, struct frame_header **frame);
int64_t exclusive_append_padding(const struct term_appender *appender,
                                 struct exclusive_state *state, int32_t length);
/* A block of whole frames of this stream, made elsewhere (replay). It is validated here, against
 * the place where it will go: frames of 32 bytes and more that make up the length exactly and fit
 * the rest of the term, the first one with this term offset, term, session and stream ids and of
 * type data; else TERM_APPEND_INVALID and nothing is changed. At the end of a term the log is
 * rotated first, so exclusive_state says before the call what the block's header must have after
 * exclusive_rotate_when_full. */
int64_t exclusive_append_block(const struct term_appender *appender, struct exclusive_state *state,
                               const uint8_t *block, int32_t length);

/* Move on to the next term when this one is full; 0 or TERM_APPEND_MAX_POSITION. */
int64_t exclusive_rotate_when_full(const struct term_appender *appender,
                                   struct exclusive_state *state);

/* Commit or abort a claim made by one of the claim functions. */
void term_claim_commit(struct frame_header *frame);
void term_claim_abort(struct frame_header *frame);

/* Image: nothing is at this offset yet. */
bool term_is_free(const uint8_t *term, int32_t term_offset);
/* Image: put a validated datagram (frame_validate, frame_data_fits) at its offset when nothing is
 * there yet; words are stored so that a reader sees the frame only when complete. False for a
 * duplicate, which changes nothing. */
bool term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet, int32_t length);

/* 2.8 of media-driver.md: zero [offset, offset + length) in the order that readers rely on. Both
 * are multiples of 32 and the range lies within the term. */
void term_clean(uint8_t *term, int32_t offset, int32_t length);

/* 5.12, step 2: make a stuck frame at `offset` readable as padding. `tail_offset` is at most the
 * term length. */
enum term_unblock_result { TERM_UNBLOCK_NONE, TERM_UNBLOCKED, TERM_UNBLOCKED_TO_END };
enum term_unblock_result term_unblock(const struct log_buffer *log, uint8_t *term, int32_t offset,
                                      int32_t tail_offset, int32_t term_id);
/* The whole of 5.12 for a blocked position, with rotation; true when something was unblocked. A
 * position that is negative or not a multiple of 32 (a client wrote nonsense) unblocks nothing. */
bool log_unblock(const struct log_buffer *log, int64_t blocked_position);

#endif

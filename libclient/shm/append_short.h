/* The usual offer of an exclusive publication: a short message in one piece, which fits the term.
 *
 * Stores leave a core in order: while the first of them waits for a cache line that a reader or the
 * driver had, the others fill the store buffer, and then the writer stands still. Whoever stores
 * less per message gets further ahead. So this is inline, and everything but the frame, the tail
 * and the writer's offset stays in registers; what is seldom goes to exclusive_append_message.
 */
#ifndef TERN_SHM_APPEND_SHORT_H
#define TERN_SHM_APPEND_SHORT_H

#include <string.h>

#include "base/compiler.h"
#include "shm/frame_write.h"
#include "shm/term_append.h"

#define APPEND_SHORT_MIN 8
#define APPEND_SHORT_MAX 128

/* Two parts of a constant length, which may overlap. */
static inline void append_short_copy(uint8_t *to, const uint8_t *from, size_t length) {
    if (length > 64) {
        memcpy(to, from, 64);
        memcpy(to + length - 64, from + length - 64, 64);
    } else if (length > 32) {
        memcpy(to, from, 32);
        memcpy(to + length - 32, from + length - 32, 32);
    } else if (length >= 16) {
        memcpy(to, from, 16);
        memcpy(to + length - 16, from + length - 16, 16);
    } else {
        memcpy(to, from, 8);
        memcpy(to + length - 8, from + length - 8, 8);
    }
}

/* As exclusive_append_message, which it leads to the same result; 0: not such a message, or the
 * term has no room for it, and nothing was changed. */
static inline int64_t exclusive_append_short(const struct term_appender *appender,
                                             struct exclusive_state *state, const void *buffer,
                                             int32_t length) {
    const struct log_buffer *log = appender->log;
    int32_t frame_length = length + LOG_FRAME_HEADER_LENGTH;
    int32_t offset = load_plain_i32(&state->term_offset);
    int32_t resulting = offset + log_aligned_frame_length(frame_length);
    bool is_short = (uint32_t)length - APPEND_SHORT_MIN <= APPEND_SHORT_MAX - APPEND_SHORT_MIN &&
                    length <= appender->payload_length_max;
    if (UNLIKELY(!is_short || resulting > log->term_length)) {
        return 0;
    }
    int32_t index = state->active_index;
    int32_t term_id = state->term_id;
    store_release_i64(&log->metadata->raw_tails[index], log_raw_tail(term_id, resulting));
    state->term_offset = resulting;
    struct frame_header *frame = frame_at(log->terms[index], offset);
    frame_begin(frame, frame_length, frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_DATA),
                frame_word(offset, appender->session_id), frame_word(appender->stream_id, term_id));
    append_short_copy((uint8_t *)(frame + 1), buffer, (size_t)length);
    frame_commit(frame, frame_length);
    return state->term_begin_position + resulting;
}

#endif

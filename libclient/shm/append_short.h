/* Places in a term, and the usual offer: a short message in one piece. Private to shm/term_append.c
 * and the publications.
 *
 * Stores leave a core in order: while the first of them waits for a cache line that a reader or the
 * driver had, the others fill the store buffer, and then the writer stands still. Whoever stores
 * less per message gets further ahead. So this is inline, and everything but the frame, the tail
 * and an exclusive writer's offset stays in registers; what is seldom stands in term_append.c.
 */
#ifndef TERN_SHM_APPEND_SHORT_H
#define TERN_SHM_APPEND_SHORT_H

#include <string.h>

#include "base/compiler.h"
#include "shm/frame_write.h"
#include "shm/term_append.h"

#define APPEND_SHORT_MIN 8
#define APPEND_SHORT_MAX 128

/* Where one append goes. */
struct term_place {
    uint8_t *term;
    int32_t term_id;
    int32_t offset;
};

/* 5.6: this thread's add, which ends at `position`, crossed the end of the term. */
int64_t term_append_end_of_log(const struct term_appender *appender, const struct term_place *place,
                               int64_t position);

/* Reserve `required` bytes at the tail for one of several writers. Returns the position behind them
 * with *place set, or one of the negative codes. */
static inline int64_t term_reserve(const struct term_appender *appender, int32_t required,
                                   struct term_place *place) {
    const struct log_buffer *log = appender->log;
    int32_t term_count = load_acquire_i32(&log->metadata->active_term_count);
    int32_t index = log_partition_index(term_count);
    int64_t raw_tail = get_and_add_i64(&log->metadata->raw_tails[index], required);
    /* The tail names its term: between the two loads the log may have gone on. The offset is a
     * multiple of 32 unless another process damaged the tail. */
    place->term_id = log_raw_tail_term_id(raw_tail);
    place->offset = log_raw_tail_offset(raw_tail, log->term_length) & ~(LOG_FRAME_ALIGNMENT - 1);
    place->term = log->terms[index];
    int64_t resulting = (int64_t)place->offset + required;
    int64_t position =
        log_position(place->term_id, 0, log->position_bits, log->initial_term_id) + resulting;
    if (UNLIKELY(resulting > log->term_length)) {
        return term_append_end_of_log(appender, place, position);
    }
    return position;
}

static inline struct frame_header *term_begin_frame(const struct term_appender *appender,
                                                    const struct term_place *place,
                                                    int32_t frame_length, int32_t kind) {
    struct frame_header *frame = frame_at(place->term, place->offset);
    frame_begin(frame, frame_length, kind, frame_word(place->offset, appender->session_id),
                frame_word(appender->stream_id, place->term_id));
    return frame;
}

static inline bool append_is_short(const struct term_appender *appender, int32_t length) {
    return (uint32_t)length - APPEND_SHORT_MIN <= APPEND_SHORT_MAX - APPEND_SHORT_MIN &&
           length <= appender->payload_length_max;
}

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

static inline void append_short_write(const struct term_appender *appender,
                                      const struct term_place *place, const void *buffer,
                                      int32_t length) {
    int32_t frame_length = length + LOG_FRAME_HEADER_LENGTH;
    struct frame_header *frame = term_begin_frame(
        appender, place, frame_length, frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_DATA));
    append_short_copy((uint8_t *)(frame + 1), buffer, (size_t)length);
    frame_commit(frame, frame_length);
}

/* As term_append_message; 0: not such a message, and nothing was changed. */
static inline int64_t term_append_short(const struct term_appender *appender, const void *buffer,
                                        int32_t length) {
    if (UNLIKELY(!append_is_short(appender, length))) {
        return 0;
    }
    struct term_place place;
    int64_t position =
        term_reserve(appender, log_aligned_frame_length(length + LOG_FRAME_HEADER_LENGTH), &place);
    if (LIKELY(position > 0)) {
        append_short_write(appender, &place, buffer, length);
    }
    return position;
}

/* As exclusive_append_message; 0: not such a message, or one that does not fit what is free and
 * clear, and nothing was changed. */
static inline int64_t exclusive_append_short(const struct term_appender *appender,
                                             struct exclusive_state *state, const void *buffer,
                                             int32_t length) {
    if (UNLIKELY(!append_is_short(appender, length))) {
        return 0;
    }
    int32_t offset = load_plain_i32(&state->term_offset);
    int32_t resulting = offset + log_aligned_frame_length(length + LOG_FRAME_HEADER_LENGTH);
    if (UNLIKELY(resulting > state->free_end)) {
        return 0;
    }
    struct term_place place = {state->term, state->term_id, offset};
    store_release_i64(state->raw_tail, log_raw_tail(place.term_id, resulting));
    state->term_offset = resulting;
    append_short_write(appender, &place, buffer, length);
    return state->term_begin_position + resulting;
}

#endif

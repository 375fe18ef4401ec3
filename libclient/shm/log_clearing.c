/* The writer's half of log_clearing.h. */
#include "shm/log_clearing.h"

/* Few enough lines not to be felt (about a microsecond), enough to fetch them at once. */
#define CLEAR_LENGTH 4096

_Static_assert(LOG_TERM_LENGTH_MIN % CLEAR_LENGTH == 0, "a piece lies within a term");

int64_t log_clearing_accept(const struct log_buffer *log, int64_t position) {
    int32_t clearing = load_acquire_i32(&log->metadata->clearing);
    if (clearing != LOG_CLEARING_OFFERED && clearing != LOG_CLEARED_BY_WRITER) {
        return INT64_MAX;
    }
    store_release_i32(&log->metadata->clearing, LOG_CLEARED_BY_WRITER);
    int64_t round_length = (int64_t)LOG_PARTITION_COUNT * log->term_length;
    return clearing == LOG_CLEARING_OFFERED ? position + round_length : position;
}

void log_clear_ahead(const struct log_buffer *log, struct exclusive_state *state,
                     int64_t position) {
    while (state->clear_position < position + LOG_FRAME_HEADER_LENGTH) {
        int64_t begin = state->clear_position;
        int64_t end = (begin / CLEAR_LENGTH + 1) * CLEAR_LENGTH;
        term_clean(log->terms[log_index_of(begin, log->position_bits)],
                   log_term_offset_of(begin, log->term_length), (int32_t)(end - begin));
        state->clear_position = end;
    }
}

/* A writer that zeroes its own log: what it appends to a dirty log is the same as in a clean one,
 * and readers find nothing behind it. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "shm/append_short.h"
#include "shm/log_clearing.h"
#include "shm/term_append.h"

#define T 65536
#define TERMS 12
#define MESSAGE_MAX 8192
#define DIRT 0x5A /* four of them are a frame length */

struct writer {
    uint8_t *memory;
    struct log_buffer log;
    struct term_appender appender;
    struct exclusive_state state;
};

/* Of a log that was cleared by its writer before everything is dirty. */
static void open_writer(struct writer *w, int32_t term_offset, enum log_clearing clearing) {
    size_t length = 3 * T + LOG_METADATA_LENGTH;
    w->memory = aligned_alloc(4096, length);
    cr_assert_not_null(w->memory);
    memset(w->memory, clearing == LOG_CLEARED_BY_WRITER ? DIRT : 0, length);
    w->log = (struct log_buffer){
        .terms = {w->memory, w->memory + T, w->memory + 2 * T},
        .metadata = (struct log_metadata *)(void *)(w->memory + 3 * T),
        .term_length = T,
        .position_bits = 16,
        .initial_term_id = 7,
        .mtu_length = 1408,
    };
    memset(w->log.metadata, 0, sizeof *w->log.metadata);
    w->log.metadata->raw_tails[0] = log_raw_tail(7, term_offset);
    w->log.metadata->clearing = (int32_t)clearing;
    term_appender_init(&w->appender, &w->log, 3, 4);
    exclusive_state_init(&w->state, &w->log);
    cr_assert_eq(log_is_cleared_by_writer(w->log.metadata), clearing != LOG_CLEARED_BY_DRIVER);
}

static int64_t append_block(struct writer *w, const uint8_t *message, int32_t length) {
    uint8_t block[2 * MESSAGE_MAX] = {0};
    int64_t result = exclusive_rotate_when_full(&w->appender, &w->state);
    int32_t room = T - w->state.term_offset;
    int32_t frame_length = min_i32(length + LOG_FRAME_HEADER_LENGTH, room);
    const struct frame_header header = {.frame_length = frame_length,
                                        .flags = FRAME_FLAG_UNFRAGMENTED,
                                        .type = FRAME_TYPE_DATA,
                                        .term_offset = w->state.term_offset,
                                        .session_id = 3,
                                        .stream_id = 4,
                                        .term_id = w->state.term_id};
    cr_assert_eq(result, 0);
    memcpy(block, &header, sizeof header);
    memcpy(block + sizeof header, message, (size_t)frame_length - sizeof header);
    return exclusive_append_block(&w->appender, &w->state, block,
                                  log_aligned_frame_length(frame_length));
}

static int64_t append(struct writer *w, uint32_t kind, const uint8_t *message, int32_t length) {
    struct iovec part = {(void *)(uintptr_t)message, (size_t)length};
    struct frame_header *frame;
    int64_t position;
    switch (kind) {
    case 0: /* as an offer: whether it is a short one depends on what is clear */
        part.iov_len = (size_t)length % 121 + 8;
        position = exclusive_append_short(&w->appender, &w->state, message, (int32_t)part.iov_len);
        return position != 0 ? position
                             : exclusive_append_message(&w->appender, &w->state, &part, 1,
                                                        (int64_t)part.iov_len, NULL, NULL);
    case 1: /* a claim that is only half written, and one that is given up */
    case 2:
        position = exclusive_append_claim(&w->appender, &w->state, length % 1376, &frame);
        if (position > 0 && kind == 1) {
            memcpy(frame + 1, message, (size_t)(length % 1376) / 2);
            term_claim_commit(frame);
        } else if (position > 0) {
            term_claim_abort(frame);
        }
        return position;
    case 3:
        return exclusive_append_padding(&w->appender, &w->state, length);
    case 4:
        return append_block(w, message, length);
    default:
        return exclusive_append_message(&w->appender, &w->state, &part, 1, length, NULL, NULL);
    }
}

/* Eight bytes: what a reader looks at, and what a writer's first store replaces. */
static int64_t word_behind(const struct writer *w) {
    int64_t position = log_producer_position(&w->log);
    return get_i64(w->log.terms[log_index_of(position, 16)] + log_term_offset_of(position, T));
}

static void check_random_appends(uint32_t seed, int32_t first_offset) {
    struct writer dirty;
    struct writer clean;
    uint8_t message[MESSAGE_MAX];
    open_writer(&dirty, first_offset, LOG_CLEARED_BY_WRITER);
    open_writer(&clean, first_offset, LOG_CLEARED_BY_DRIVER);
    for (int32_t i = 0; i < MESSAGE_MAX; i++) {
        message[i] = (uint8_t)(i * 7 + 1);
    }
    int32_t begin = first_offset;
    while (clean.state.term_begin_position < TERMS * T) {
        seed = seed * 1664525 + 1013904223;
        uint32_t kind = (seed >> 28) % 6;
        int32_t length = (int32_t)(seed >> 8) % (kind == 5 ? MESSAGE_MAX : 1000);
        int32_t index = clean.state.active_index;
        memset(clean.log.terms[(index + 1) % LOG_PARTITION_COUNT], 0, T);
        int64_t expected = append(&clean, kind, message, length);
        cr_assert_eq(append(&dirty, kind, message, length), expected);
        bool is_rotated = clean.state.active_index != index;
        int32_t end = is_rotated ? T : clean.state.term_offset;
        cr_assert_eq(memcmp(dirty.log.terms[index] + begin, clean.log.terms[index] + begin,
                            (size_t)(end - begin)),
                     0);
        begin = is_rotated ? 0 : end;
        cr_assert_eq(word_behind(&dirty), 0);
    }
    free(dirty.memory);
    free(clean.memory);
}

Test(log_clearing, a_dirty_log_gets_the_bytes_of_a_clean_one) {
    for (uint32_t seed = 1; seed <= 20; seed++) {
        check_random_appends(seed, (int32_t)(seed % 5) * 13056);
    }
}

Test(log_clearing, what_consumers_may_still_need_is_left) {
    struct writer w;
    open_writer(&w, 0, LOG_CLEARED_BY_WRITER);
    uint8_t message[1376] = {1};
    while (w.state.term_begin_position < 4 * T) {
        int64_t position = log_producer_position(&w.log);
        int64_t oldest = w.state.clear_position - 3 * T;
        cr_assert_leq(oldest, position - 2 * T, "two terms behind the writer are whole");
        (void)append(&w, 5, message, sizeof message);
    }
    free(w.memory);
}

/* Pages of a sparse file are not there before they are written to: nothing is touched but what is
 * appended, for three terms. */
Test(log_clearing, a_new_log_is_zero_already) {
    struct writer w;
    uint8_t message[1376] = {1};
    open_writer(&w, T / 2 + 32, LOG_CLEARED_BY_WRITER);
    memset(w.memory, DIRT, 3 * T);
    log_clearing_offer(w.log.metadata);
    exclusive_state_init(&w.state, &w.log);
    int64_t begin = log_producer_position(&w.log);
    int64_t position = begin;
    while (position < begin + 3 * T) {
        cr_assert_eq(word_behind(&w), INT64_C(0x0101010101010101) * DIRT);
        (void)append(&w, 5, message, sizeof message);
        position = log_producer_position(&w.log);
    }
    cr_assert_eq(word_behind(&w), 0);
    free(w.memory);
}

Test(log_clearing, without_an_offer_the_driver_clears) {
    struct writer w;
    open_writer(&w, 0, LOG_CLEARED_BY_DRIVER);
    cr_assert_eq(w.state.clear_position, INT64_MAX);
    cr_assert_eq(w.log.metadata->clearing, LOG_CLEARED_BY_DRIVER);
    w.log.metadata->clearing = 77; /* somebody else's */
    cr_assert_eq(log_clearing_accept(&w.log, 0), INT64_MAX);
    cr_assert_eq(w.log.metadata->clearing, 77);
    free(w.memory);
}

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/term_append.h"

#define T 65536

struct fixture {
    uint8_t *memory;
    struct log_buffer log;
};

static void open_fixture(struct fixture *f) {
    size_t length = 3 * T + LOG_METADATA_LENGTH;
    f->memory = aligned_alloc(4096, length);
    memset(f->memory, 0, length);
    f->log = (struct log_buffer){
        .terms = {f->memory, f->memory + T, f->memory + 2 * T},
        .metadata = (struct log_metadata *)(void *)(f->memory + 3 * T),
        .term_length = T,
        .position_bits = 16,
        .initial_term_id = 7,
        .mtu_length = 1408,
    };
    struct frame_header header = {
        .flags = 0xC0, .type = 1, .session_id = -1234567, .stream_id = 1001, .term_id = 7};
    memcpy(f->log.metadata->default_header, &header, sizeof header);
    f->log.metadata->raw_tails[0] = log_raw_tail(7, 0);
    f->log.metadata->raw_tails[1] = log_raw_tail(5, 0);
    f->log.metadata->raw_tails[2] = log_raw_tail(6, 0);
}

static struct frame_header *frame_at(struct fixture *f, int index, int32_t offset) {
    return (struct frame_header *)(void *)(f->log.terms[index] + offset);
}

Test(term_unblock, what_a_dead_writer_left_becomes_padding) {
    static const struct {
        int32_t tail;   /* low half of the raw tail */
        int32_t length; /* at 1024 */
        int32_t next, next_length;
        int64_t position;
        bool is_unblocked;
        int32_t padding;      /* frame length at 1024 afterwards */
        int32_t active_count; /* afterwards */
    } rows[] = {
        {2048, -100, 0, 0, 1024, true, 100, 0},   /* claimed, not committed */
        {2048, 100, 0, 0, 1024, false, 100, 0},   /* committed */
        {2048, 0, 1280, 64, 1024, true, 256, 0},  /* a hole before a committed frame */
        {2048, 0, 1280, -64, 1024, true, 256, 0}, /* a hole before a claimed frame */
        {2048, 0, 0, 0, 1024, false, 0, 0},       /* nothing behind it yet */
        {1024, 0, 0, 0, 1024, false, 0, 0},       /* nothing claimed */
        {1024, -100, 0, 0, 1024, false, -100, 0}, /* written without a claim */
        {T, 0, 0, 0, 1024, true, T - 1024, 1},    /* to the end, and the log goes on */
        {T + 4096, 0, 0, 0, 1024, true, T - 1024, 1},
        {T, 0, 2048, 32, 1024, true, 1024, 0},
        {2048, -5, 0, 0, 1024, true, 1024, 0}, /* no claim has such a length */
        {2048, INT32_MIN, 0, 0, 1024, true, 1024, 0},
        {2048, -T, 0, 0, 1024, true, 1024, 0},
        {2048, -100, 0, 0, 1025, false, -100, 0}, /* positions that no consumer has */
        {2048, -100, 0, 0, -1024, false, -100, 0},
        {2048, -100, 0, 0, INT64_MAX - 31, false, -100, 0},
        {2048, -100, 0, 0, 3 * T + 1024, false, -100, 0}, /* another term's partition */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        open_fixture(&f);
        f.log.metadata->raw_tails[0] = log_raw_tail(7, rows[i].tail);
        frame_at(&f, 0, 1024)->frame_length = rows[i].length;
        if (rows[i].next != 0) {
            frame_at(&f, 0, rows[i].next)->frame_length = rows[i].next_length;
        }
        cr_assert_eq(log_unblock(&f.log, rows[i].position), rows[i].is_unblocked, "row %zu", i);
        const struct frame_header *frame = frame_at(&f, 0, 1024);
        cr_assert_eq(frame->frame_length, rows[i].padding, "row %zu: %d", i, frame->frame_length);
        cr_assert_eq(f.log.metadata->active_term_count, rows[i].active_count, "row %zu", i);
        if (rows[i].is_unblocked) {
            cr_assert_eq(frame->type, FRAME_TYPE_PAD);
            assert_hex((const uint8_t *)frame + 4,
                       "00 c0 00 00 00 04 00 00 79 29 ed ff e9 03 00 00 07 00 00 00", "header");
        }
        free(f.memory);
    }
}

Test(term_unblock, a_missing_rotation_is_made_up_for) {
    struct fixture f;
    open_fixture(&f);
    f.log.metadata->raw_tails[0] = log_raw_tail(7, T + 64);
    cr_assert(log_unblock(&f.log, T));
    cr_assert_eq(f.log.metadata->active_term_count, 1);
    cr_assert_eq(f.log.metadata->raw_tails[1], log_raw_tail(8, 0));
    cr_assert_not(log_unblock(&f.log, T));
    /* The tail was moved but the count was not: the writer died between the two. */
    f.log.metadata->active_term_count = 0;
    cr_assert(log_unblock(&f.log, T));
    cr_assert_eq(f.log.metadata->active_term_count, 1);
    cr_assert_eq(f.log.metadata->raw_tails[1], log_raw_tail(8, 0));
    free(f.memory);
}

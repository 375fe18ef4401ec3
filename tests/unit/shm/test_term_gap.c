#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/term_gap.h"

#define T 65536

static uint8_t term[T] __attribute__((aligned(64)));

static void put_length(int32_t offset, int32_t frame_length) {
    memcpy(term + offset, &frame_length, 4);
}

Test(term_gap, the_first_hole_before_the_limit_is_the_gap) {
    static const struct {
        int32_t frames[4][2]; /* offset, frame length */
        int32_t from, limit;
        int32_t contiguous;
        struct term_gap gap;
    } rows[] = {
        {{{0, 64}, {64, 64}}, 0, 128, 128, {0, 0}},
        {{{0, 64}, {64, 64}}, 0, 0, 0, {0, 0}},
        {{{0, 64}, {128, 64}}, 0, 192, 64, {64, 64}},
        {{{64, 64}}, 0, 128, 0, {0, 64}},
        {{{0, 64}, {512, 64}, {1024, 64}}, 0, 1088, 64, {64, 448}},
        {{{0, 64}}, 0, 4096, 64, {64, 4032}}, /* to the limit */
        {{{0, 64}}, 0, T, 64, {64, T - 64}},  /* rest of the term */
        {{{0, 64}, {96, 32}}, 0, 128, 64, {64, 32}},
        {{{0, 4096}}, 0, 32, 4096, {0, 0}}, /* a pad beyond the highest received */
        {{{T - 64, 64}}, T - 64, T, T, {0, 0}},
        {{{0, 64}, {64, INT32_MAX}}, 0, 1024, 64, {0, 0}}, /* no frame, and no gap either */
        {{{0, 64}, {64, T - 63}}, 0, 1024, 64, {0, 0}},
        {{{0, 64}, {64, -64}}, 0, 1024, 64, {0, 0}},
        {{{0, 64}, {64, 16}}, 0, 1024, 64, {0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(term, 0, sizeof term);
        for (int k = 0; k < 4 && rows[i].frames[k][1] != 0; k++) {
            put_length(rows[i].frames[k][0], rows[i].frames[k][1]);
        }
        struct term_gap gap = {-1, -1};
        cr_assert_eq(term_gap_scan(term, T, rows[i].from, rows[i].limit, &gap), rows[i].contiguous,
                     "row %zu", i);
        cr_assert_eq(gap.offset, rows[i].gap.offset, "row %zu: %d", i, gap.offset);
        cr_assert_eq(gap.length, rows[i].gap.length, "row %zu: %d", i, gap.length);
    }
}

Test(term_gap, a_gap_is_filled_unless_data_came) {
    struct log_metadata *metadata = calloc(1, sizeof *metadata);
    struct frame_header header = {
        .flags = 0xC0, .type = 1, .session_id = -1234567, .stream_id = 1001, .term_id = 7};
    memcpy(metadata->default_header, &header, sizeof header);
    memset(term, 0, sizeof term);
    struct term_gap gap = {64, 448};
    put_length(480, 32);
    cr_assert_not(term_gap_fill(metadata, term, 9, &gap));
    cr_assert_eq(term[64], 0);
    put_length(480, 0);
    cr_assert(term_gap_fill(metadata, term, 9, &gap));
    assert_hex(term + 64,
               "c0 01 00 00 00 c0 00 00 40 00 00 00 79 29 ed ff"
               "e9 03 00 00 09 00 00 00 00 00 00 00 00 00 00 00 00",
               "padding");
    cr_assert_eq(term_gap_scan(term, T, 64, 512, &gap), 512);
    cr_assert_eq(gap.length, 0);
    free(metadata);
}

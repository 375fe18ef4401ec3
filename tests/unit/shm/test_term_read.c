#include <criterion/criterion.h>

#include <string.h>

#include "shm/term_read.h"

#define T 65536

static uint8_t term[T] __attribute__((aligned(64)));

struct frame_row {
    int32_t offset, frame_length, type;
};

static void put_frames(const struct frame_row *frames, size_t count) {
    memset(term, 0, sizeof term);
    for (size_t i = 0; i < count && frames[i].frame_length != 0; i++) {
        struct frame_header header = {.frame_length = frames[i].frame_length,
                                      .type = (uint16_t)frames[i].type,
                                      .term_offset = frames[i].offset};
        memcpy(term + frames[i].offset, &header, sizeof header);
    }
}

Test(term_read, datagrams_are_packed_as_the_specification_says) {
    static const struct {
        struct frame_row frames[5];
        int32_t offset, limit;
        struct term_scan expected;
    } rows[] = {
        /* media-driver.md 9.3: payloads 100, 100, 1200, 5 with MTU 1408 */
        {{{0, 132, 1}, {160, 132, 1}, {320, 1232, 1}, {1568, 37, 1}}, 0, 1408, {320, 0, false}},
        {{{0, 132, 1}, {160, 132, 1}, {320, 1232, 1}, {1568, 37, 1}}, 320, 1408, {1312, 0, false}},
        {{{320, 1232, 1}}, 320, 1000, {0, 0, true}},
        {{{0, 37, 1}}, 0, 1408, {64, 0, false}},
        {{{0, 37, 1}}, 0, 64, {64, 0, false}},
        {{{0, 37, 1}}, 0, 63, {0, 0, true}},
        {{{0, 0, 0}}, 0, 1408, {0, 0, false}},
        {{{0, -64, 1}}, 0, 1408, {0, 0, false}},
        {{{0, 64, 1}, {64, -64, 1}, {128, 64, 1}}, 0, 1408, {64, 0, false}},
        /* a pad is sent as its header and ends the datagram */
        {{{0, 64, 1}, {64, 320, 0}, {384, 64, 1}}, 0, 1408, {96, 288, false}},
        {{{0, 4096, 0}, {4096, 64, 1}}, 0, 1408, {32, 4064, false}},
        {{{0, 64, 1}, {64, 320, 0}}, 0, 95, {64, 0, false}},
        {{{T - 96, 64, 1}, {T - 32, 32, 0}}, T - 96, 1408, {96, 0, false}},
        {{{T - 64, 64, 1}}, T - 64, 1408, {64, 0, false}},
        {{{0, 64, 1}}, T, 1408, {0, 0, false}},
        /* lengths that nobody writes end the scan */
        {{{0, 31, 1}}, 0, 1408, {0, 0, false}},
        {{{0, 64, 1}, {64, 5, 1}}, 0, 1408, {64, 0, false}},
        {{{T - 64, 65, 1}}, T - 64, 1408, {0, 0, false}},
        {{{T - 64, 65, 0}}, T - 64, 1408, {0, 0, false}},
        {{{64, INT32_MAX, 0}}, 64, 1408, {0, 0, false}},
        {{{64, INT32_MAX, 1}}, 64, INT32_MAX, {0, 0, false}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_frames(rows[i].frames, 5);
        struct term_scan scan = term_scan_for_sending(term, T, rows[i].offset, rows[i].limit);
        cr_assert_eq(scan.available, rows[i].expected.available, "row %zu: %d", i, scan.available);
        cr_assert_eq(scan.padding, rows[i].expected.padding, "row %zu", i);
        cr_assert_eq(scan.is_blocked, rows[i].expected.is_blocked, "row %zu", i);
    }
}

Test(term_read, blocks_are_whole_frames_before_a_pad) {
    static const struct {
        struct frame_row frames[5];
        int32_t offset, limit_offset, expected;
    } rows[] = {
        {{{0, 132, 1}, {160, 132, 1}, {320, 37, 1}}, 0, T, 384},
        {{{0, 132, 1}, {160, 132, 1}, {320, 37, 1}}, 0, 383, 320},
        {{{0, 132, 1}, {160, 132, 1}}, 160, 320, 160},
        {{{0, 132, 1}}, 0, 159, 0},
        {{{0, 132, 1}, {160, 320, 0}}, 0, T, 160},
        {{{0, 132, 1}, {160, 320, 0}}, 160, 192, 320}, /* alone, and beyond the limit */
        {{{0, 0, 0}}, 0, T, 0},
        {{{0, -64, 1}}, 0, T, 0},
        {{{T - 32, 64, 0}}, T - 32, T, 0},
        {{{T - 64, 64, 0}}, T - 64, T, 64},
        {{{0, INT32_MAX, 1}}, 0, T, 0},
        {{{0, 31, 1}}, 0, T, 0},
        {{{0, 64, 1}}, T, T, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_frames(rows[i].frames, 5);
        cr_assert_eq(term_block_scan(term, T, rows[i].offset, rows[i].limit_offset),
                     rows[i].expected, "row %zu", i);
    }
}

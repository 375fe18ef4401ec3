#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/error_log.h"

struct seen {
    int count;
    int32_t counts[8];
    int64_t first_ms[8], last_ms[8];
    char texts[8][64];
};

static void see(void *context, int32_t count, int64_t first_ms, int64_t last_ms, const char *text,
                int32_t text_length) {
    struct seen *seen = context;
    if (seen->count < 8) {
        seen->counts[seen->count] = count;
        seen->first_ms[seen->count] = first_ms;
        seen->last_ms[seen->count] = last_ms;
        int32_t length = text_length < 63 ? text_length : 63;
        memcpy(seen->texts[seen->count], text, (size_t)length);
        seen->texts[seen->count][length] = '\0';
    }
    seen->count++;
}

Test(error_log, each_error_is_kept_once_and_counted) {
    static uint8_t buffer[1024] __attribute__((aligned(64)));
    struct error_log log;
    cr_assert_eq(error_log_init(&log, buffer, sizeof buffer), 0);
    cr_assert_eq(error_log_record(&log, 9, "unknown host", 1700000000000), 1);
    cr_assert_eq(error_log_record(&log, 9, "unknown host", 1700000005000), 0);
    /* shared-memory.md 10.9 */
    assert_hex(buffer,
               "28 00 00 00 02 00 00 00 88 7b e5 cf 8b 01 00 00"
               "00 68 e5 cf 8b 01 00 00 28 39 29 20 75 6e 6b 6e"
               "6f 77 6e 20 68 6f 73 74 00 00 00 00",
               "entry");
    cr_assert_eq(error_log_record(&log, 10, "unknown host", 1700000006000), 1);
    cr_assert_eq(error_log_record(&log, 9, "unknown hos", 1700000007000), 1);
    /* A successor finds what is there. */
    cr_assert_eq(error_log_init(&log, buffer, sizeof buffer), 0);
    cr_assert_eq(error_log_record(&log, 10, "unknown host", 1700000008000), 0);
    struct seen seen = {0};
    cr_assert_eq(error_log_read(buffer, sizeof buffer, 0, see, &seen), 3);
    cr_assert_str_eq(seen.texts[1], "(10) unknown host");
    cr_assert_eq(seen.counts[1], 2);
    cr_assert_eq(seen.first_ms[1], 1700000006000);
    cr_assert_eq(seen.last_ms[1], 1700000008000);
    cr_assert_str_eq(seen.texts[2], "(9) unknown hos");
    cr_assert_eq(error_log_read(buffer, sizeof buffer, 1700000006000, see, &seen), 2);
}

Test(error_log, a_full_section_and_long_texts) {
    enum { LENGTH = 8192 };
    uint8_t *buffer = aligned_alloc(64, LENGTH + 64);
    memset(buffer, 0, LENGTH);
    memset(buffer + LENGTH, 0xA5, 64);
    struct error_log log;
    char text[6000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(error_log_init(&log, buffer, LENGTH), 0);
    cr_assert_eq(error_log_record(&log, 1, text, 5), 1);
    cr_assert_eq(log.next_offset, 24 + 4096, "cut to 4095 bytes and aligned");
    cr_assert_eq(error_log_record(&log, 1, text, 6), 0);
    cr_assert_eq(error_log_record(&log, 2, text, 7), -ENOSPC);
    int count = 0;
    while (true) {
        char line[32];
        (void)snprintf(line, sizeof line, "error %d", count);
        if (error_log_record(&log, 3, line, 8) != 1) {
            break;
        }
        count++;
    }
    cr_assert_gt(count, 80);
    cr_assert_eq(error_log_record(&log, 3, "error 7", 9), 0, "known ones are counted still");
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(buffer[LENGTH + i], 0xA5);
    }
    cr_assert_eq(error_log_init(&log, buffer, 8), -EINVAL);
    cr_assert_eq(error_log_init(&log, buffer + 4, LENGTH - 8), -EINVAL);
    free(buffer);
}

Test(error_log, entries_that_lie_about_their_length_end_the_log) {
    static uint8_t buffer[1024] __attribute__((aligned(64)));
    static const int32_t lengths[] = {-1, 1, 23, 1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memset(buffer, 0, sizeof buffer);
        struct error_log log;
        cr_assert_eq(error_log_init(&log, buffer, sizeof buffer), 0);
        cr_assert_eq(error_log_record(&log, 1, "first", 1), 1);
        cr_assert_eq(error_log_record(&log, 1, "second", 1), 1);
        memcpy(buffer + 40, &lengths[i], 4);
        struct seen seen = {0};
        cr_assert_eq(error_log_read(buffer, sizeof buffer, 0, see, &seen), 1);
        cr_assert_eq(error_log_record(&log, 1, "second", 1), 1);
        cr_assert_eq(error_log_record(&log, 1, "first", 1), 0);
    }
}

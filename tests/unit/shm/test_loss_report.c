#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/loss_report.h"

struct seen {
    int count;
    struct loss_report_view views[8];
};

static void see(void *context, const struct loss_report_view *view) {
    struct seen *seen = context;
    if (seen->count < 8) {
        seen->views[seen->count] = *view;
    }
    seen->count++;
}

static const struct loss_report_params params = {
    .bytes_lost = 1376,
    .now_epoch_ms = 1700000000000,
    .session_id = -1234567,
    .stream_id = 1001,
    .channel = "aeron:udp?endpoint=localhost:20121",
    .source = "10.0.0.2:40000",
};

Test(loss_report, entries_have_the_bytes_of_the_specification) {
    static uint8_t buffer[1024] __attribute__((aligned(64)));
    struct loss_report report;
    cr_assert_eq(loss_report_init(&report, buffer, sizeof buffer), 0);
    struct loss_report_entry *entry = loss_report_create_entry(&report, &params);
    cr_assert_not_null(entry);
    /* shared-memory.md 10.10 */
    cr_assert_eq(assert_hex(buffer,
                            "01 00 00 00 00 00 00 00 60 05 00 00 00 00 00 00"
                            "00 68 e5 cf 8b 01 00 00 00 68 e5 cf 8b 01 00 00"
                            "79 29 ed ff e9 03 00 00 22 00 00 00 61 65 72 6f"
                            "6e 3a 75 64 70 3f 65 6e 64 70 6f 69 6e 74 3d 6c"
                            "6f 63 61 6c 68 6f 73 74 3a 32 30 31 32 31 00 00"
                            "0e 00 00 00 31 30 2e 30 2e 30 2e 32 3a 34 30 30"
                            "30 30",
                            "entry"),
                 98);
    cr_assert_eq(report.next_offset, 128);
    loss_report_record(entry, 24, 1700000000100);
    cr_assert_not_null(loss_report_create_entry(&report, &params));
    cr_assert_eq(loss_report_init(&report, buffer, sizeof buffer), 0);
    cr_assert_eq(report.next_offset, 256, "a successor goes on behind what is there");
    struct seen seen = {0};
    cr_assert_eq(loss_report_read(buffer, sizeof buffer, see, &seen), 2);
    cr_assert_eq(seen.views[0].observation_count, 2);
    cr_assert_eq(seen.views[0].bytes_lost, 1400);
    cr_assert_eq(seen.views[0].first_ms, 1700000000000);
    cr_assert_eq(seen.views[0].last_ms, 1700000000100);
    cr_assert_eq(seen.views[1].session_id, -1234567);
    cr_assert_eq(seen.views[1].stream_id, 1001);
    cr_assert_eq(seen.views[1].channel_length, 34);
    cr_assert_eq(seen.views[1].source_length, 14);
    cr_assert_eq(memcmp(seen.views[1].source, "10.0.0.2:40000", 14), 0);
}

/* Paddings of 0 to 3 bytes between the texts carry some entries over a multiple of 64. */
Test(loss_report, entries_of_all_text_lengths_are_found_again_until_it_is_full) {
    enum { LENGTH = 65536 };
    uint8_t *buffer = aligned_alloc(64, LENGTH + 64);
    memset(buffer, 0, LENGTH);
    memset(buffer + LENGTH, 0xA5, 64);
    struct loss_report report;
    cr_assert_eq(loss_report_init(&report, buffer, LENGTH), 0);
    char channel[256], source[64];
    int count = 0;
    while (true) {
        struct loss_report_params row = params;
        memset(channel, 'c', sizeof channel);
        memset(source, 's', sizeof source);
        channel[count % 200] = '\0';
        source[count % 50] = '\0';
        row.channel = channel;
        row.source = source;
        row.stream_id = count;
        if (loss_report_create_entry(&report, &row) == NULL) {
            break;
        }
        count++;
    }
    cr_assert_gt(count, 200);
    struct seen seen = {0};
    cr_assert_eq(loss_report_read(buffer, LENGTH, see, &seen), count);
    cr_assert_eq(seen.count, count);
    cr_assert_eq(seen.views[7].stream_id, 7);
    cr_assert_eq(seen.views[7].channel_length, 7);
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(buffer[LENGTH + i], 0xA5);
    }
    free(buffer);
}

Test(loss_report, entries_that_lie_about_their_texts_end_the_report) {
    static uint8_t buffer[256] __attribute__((aligned(64)));
    static const struct {
        int32_t channel_length, source_length;
        int count;
    } rows[] = {{34, 14, 1},        {-1, 14, 0},        {34, -1, 0},       {34, INT32_MAX, 0},
                {INT32_MAX, 14, 0}, {INT32_MIN, 14, 0}, {34, 300 - 98, 0}, {220, 14, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct loss_report report;
        memset(buffer, 0, sizeof buffer);
        cr_assert_eq(loss_report_init(&report, buffer, sizeof buffer), 0);
        cr_assert_not_null(loss_report_create_entry(&report, &params));
        memcpy(buffer + 40, &rows[i].channel_length, 4);
        memcpy(buffer + 80, &rows[i].source_length, 4);
        struct seen seen = {0};
        cr_assert_eq(loss_report_read(buffer, sizeof buffer, see, &seen), rows[i].count, "row %zu",
                     i);
    }
    struct loss_report report;
    cr_assert_eq(loss_report_init(&report, buffer, 32), -EINVAL);
}

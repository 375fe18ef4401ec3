#include <criterion/criterion.h>

#include <string.h>

#include "base/bits.h"
#include "driverd/timestamp.h"
#include "wire/command.h"
#include "wire/frame.h"

static int parse(const char *keys, struct timestamp_offsets *offsets, struct tern_error *error) {
    char text[256];
    struct uri uri;
    int length = snprintf(text, sizeof text, "aeron:udp?endpoint=127.0.0.1:1%s", keys);
    cr_assert_eq(uri_parse(&uri, text, length, error), 0);
    return timestamp_offsets_parse(offsets, &uri, error);
}

Test(timestamp, offsets_are_parsed) {
    struct timestamp_offsets offsets;
    struct tern_error error;
    cr_assert_eq(parse("", &offsets, &error), 0);
    cr_assert_eq(offsets.media_receive, TIMESTAMP_NONE);
    cr_assert_eq(offsets.channel_receive, TIMESTAMP_NONE);
    cr_assert_eq(offsets.channel_send, TIMESTAMP_NONE);
    cr_assert_eq(parse("|media-rcv-ts-offset=reserved|channel-rcv-ts-offset=0"
                       "|channel-snd-ts-offset=8",
                       &offsets, &error),
                 0, "%s", error.text);
    cr_assert_eq(offsets.media_receive, TIMESTAMP_RESERVED);
    cr_assert_eq(offsets.channel_receive, 0);
    cr_assert_eq(offsets.channel_send, 8);
}

Test(timestamp, nonsense_and_overlaps_are_refused) {
    static const char *const bad[] = {
        "|media-rcv-ts-offset=-8",
        "|channel-rcv-ts-offset=reserve",
        "|channel-snd-ts-offset=2147483648",
        "|channel-snd-ts-offset=1x",
        "|media-rcv-ts-offset=0|channel-rcv-ts-offset=7",
        "|channel-rcv-ts-offset=20|channel-snd-ts-offset=13",
        "|media-rcv-ts-offset=reserved|channel-snd-ts-offset=reserved",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct timestamp_offsets offsets;
        struct tern_error error = {0};
        cr_assert_lt(parse(bad[i], &offsets, &error), 0, "%s", bad[i]);
        cr_assert_not_null(strstr(error.text, "-ts-offset"), "%s: %s", bad[i], error.text);
    }
}

Test(timestamp, only_the_begin_of_a_message_with_room_is_stamped) {
    enum { NO, YES };
    static const struct {
        int32_t frame_length;
        uint16_t type;
        uint8_t flags;
        int32_t offset;
        int expected;
    } rows[] = {
        {64, FRAME_TYPE_DATA, FRAME_FLAG_UNFRAGMENTED, 0, YES},
        {64, FRAME_TYPE_DATA, FRAME_FLAG_BEGIN, 24, YES},
        {64, FRAME_TYPE_DATA, FRAME_FLAG_BEGIN, 25, NO},
        {63, FRAME_TYPE_DATA, FRAME_FLAG_BEGIN, 24, NO},
        {64, FRAME_TYPE_DATA, FRAME_FLAG_BEGIN, INT32_MAX, NO},
        {32, FRAME_TYPE_DATA, FRAME_FLAG_UNFRAGMENTED, TIMESTAMP_RESERVED, YES},
        {32, FRAME_TYPE_DATA, FRAME_FLAG_UNFRAGMENTED, 0, NO},
        {64, FRAME_TYPE_DATA, 0x40, 0, NO},
        {0, FRAME_TYPE_DATA, FRAME_FLAG_UNFRAGMENTED, TIMESTAMP_RESERVED, NO}, /* heartbeat */
        {64, FRAME_TYPE_PAD, FRAME_FLAG_UNFRAGMENTED, TIMESTAMP_RESERVED, NO},
        {96, FRAME_TYPE_DATA, FRAME_FLAG_UNFRAGMENTED, 0, NO}, /* more than came */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t datagram[64];
        uint8_t before[64];
        memset(datagram, 0x11, sizeof datagram);
        struct frame_header header = {
            .frame_length = rows[i].frame_length, .flags = rows[i].flags, .type = rows[i].type};
        memcpy(datagram, &header, sizeof header);
        memcpy(before, datagram, sizeof before);
        bool is_written =
            timestamp_write(datagram, sizeof datagram, rows[i].offset, INT64_C(0x0102030405060708));
        cr_assert_eq(is_written, rows[i].expected, "row %zu", i);
        if (is_written) {
            uint8_t *at = datagram + 32 + rows[i].offset;
            cr_assert_eq(at[0], 8);
            cr_assert_eq(at[7], 1);
            memcpy(at, before + 32 + rows[i].offset, 8);
        }
        cr_assert_eq(memcmp(datagram, before, sizeof before), 0, "row %zu: nothing else", i);
    }
}

#include <criterion/criterion.h>

#include <string.h>

#include "lib/hex.h"
#include "shm/counter_types.h"

#define CHANNEL "aeron:udp?endpoint=localhost:20121"

Test(counter_types, keys_and_labels_have_the_bytes_of_the_specification) {
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    /* shared-memory.md 10.6 */
    cr_assert_eq(counter_stream_key(key, 18, -1234567, 1001, CHANNEL), 54);
    assert_hex(key,
               "12 00 00 00 00 00 00 00 79 29 ed ff e9 03 00 00 22 00 00 00 61 65 72 6f"
               "6e 3a 75 64 70 3f 65 6e 64 70 6f 69 6e 74 3d 6c 6f 63 61 6c 68 6f 73 74"
               "3a 32 30 31 32 31 00 00",
               "pub-lmt");
    cr_assert_eq(counter_stream_label(label, "pub-lmt", 18, -1234567, 1001, CHANNEL), 60);
    cr_assert_str_eq(label, "pub-lmt: 18 -1234567 1001 " CHANNEL);
    cr_assert_eq(counter_sockaddr_key(key, 49, "127.0.0.1:54321"), 23);
    assert_hex(key, "31 00 00 00 0f 00 00 00 31 32 37 2e 30 2e 30 2e 31 3a 35 34 33 32 31 00",
               "local socket address");
    cr_assert_eq(counter_channel_key(key, CHANNEL), 38);
    assert_hex(key, "22 00 00 00 61 65 72 6f 6e 3a 75 64 70", "channel");

    struct counter_stream stream;
    (void)counter_stream_key(key, 18, -1234567, 1001, CHANNEL);
    counter_stream_key_parse(key, &stream);
    cr_assert_eq(stream.registration_id, 18);
    cr_assert_eq(stream.session_id, -1234567);
    cr_assert_eq(stream.stream_id, 1001);
    cr_assert_eq(stream.channel_length, 34);
    cr_assert_eq(memcmp(stream.channel, CHANNEL, 34), 0);
}

Test(counter_types, long_texts_are_cut_and_lengths_in_keys_are_bounded) {
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    char channel[4096];
    memset(channel, 'c', sizeof channel);
    channel[sizeof channel - 1] = '\0';
    cr_assert_eq(counter_stream_key(key, 1, 2, 3, channel), 112);
    cr_assert_eq(key[16], 92);
    cr_assert_eq(counter_channel_key(key, channel), 112);
    cr_assert_eq(key[0], 108);
    cr_assert_eq(counter_sockaddr_key(key, 7, channel), 112);
    cr_assert_eq(key[4], 104);
    cr_assert_eq(counter_stream_label(label, "sub-pos", 1, 2, 3, channel), 380);

    static const struct {
        int32_t stored, read;
    } rows[] = {{-1, 0}, {INT32_MIN, 0}, {104, 104}, {105, 104}, {INT32_MAX, 104}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int32_t status_id;
        const char *address;
        memcpy(key + 4, &rows[i].stored, 4);
        cr_assert_eq(counter_sockaddr_key_parse(key, &status_id, &address), rows[i].read);
        cr_assert_eq(status_id, 7);
    }
}

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "lib/hex.h"
#include "wire/command.h"

#define SLICE(s)                                                                                   \
    { s, sizeof(s) - 1 }
#define URI "aeron:udp?endpoint=localhost:20121"

static void assert_slice(struct text_slice slice, const char *text) {
    cr_assert_eq(slice.length, (int32_t)strlen(text), "%s", text);
    cr_assert(slice.length == 0 || memcmp(slice.text, text, strlen(text)) == 0);
}

/* shared-memory.md 10.4 */
Test(command, commands_have_the_bytes_of_the_specification) {
    static const struct {
        struct command command;
        const char *hex;
        int32_t length;
    } rows[] = {
        {{.type = COMMAND_ADD_PUBLICATION,
          .client_id = 17,
          .correlation_id = 18,
          .stream_id = 1001,
          .channel = SLICE(URI)},
         "11 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00 e9 03 00 00 22 00 00 00 61 65 72 6f 6e 3a"
         "75 64 70 3f 65 6e 64 70 6f 69 6e 74 3d 6c 6f 63 61 6c 68 6f 73 74 3a 32 30 31 32 31",
         58},
        {{.type = COMMAND_ADD_SUBSCRIPTION,
          .client_id = 17,
          .correlation_id = 19,
          .stream_id = 1001,
          .channel = SLICE("aeron:ipc")},
         "11 00 00 00 00 00 00 00 13 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff e9 03 00 00"
         "09 00 00 00 61 65 72 6f 6e 3a 69 70 63",
         41},
        {{.type = COMMAND_REMOVE_PUBLICATION,
          .client_id = 17,
          .correlation_id = 20,
          .registration_id = 18,
          .flags = COMMAND_FLAG_REVOKE},
         "11 00 00 00 00 00 00 00 14 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00"
         "01 00 00 00 00 00 00 00",
         32},
        {{.type = COMMAND_ADD_COUNTER,
          .client_id = 17,
          .correlation_id = 21,
          .counter_type_id = 1000,
          .key = SLICE("abcdef"),
          .label = SLICE("label")},
         "11 00 00 00 00 00 00 00 15 00 00 00 00 00 00 00 e8 03 00 00 06 00 00 00"
         "61 62 63 64 65 66 00 00 05 00 00 00 6c 61 62 65 6c",
         41},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[256];
        memset(bytes, 0xEE, sizeof bytes);
        cr_assert_eq(command_encode(&rows[i].command, bytes, sizeof bytes), rows[i].length);
        cr_assert_eq(assert_hex(bytes, rows[i].hex, "command"), rows[i].length);
        cr_assert_eq(bytes[rows[i].length], 0xEE);
        for (int32_t capacity = 0; capacity < rows[i].length; capacity++) {
            cr_assert_eq(command_encode(&rows[i].command, bytes, capacity), -EMSGSIZE);
        }
    }
}

/* shared-memory.md 10.5 */
Test(command, responses_have_the_bytes_of_the_specification) {
    static const struct {
        struct response response;
        const char *hex;
        int32_t length;
    } rows[] = {
        {{.type = RESPONSE_PUBLICATION_READY,
          .correlation_id = 18,
          .registration_id = 18,
          .session_id = -1234567,
          .stream_id = 1001,
          .counter_id = 51,
          .channel_status_id = 49,
          .text = SLICE("/dev/shm/aeron-me/publications/18.logbuffer")},
         "12 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00 79 29 ed ff e9 03 00 00 33 00 00 00"
         "31 00 00 00 2b 00 00 00 2f 64 65 76 2f 73 68 6d 2f 61 65 72 6f 6e 2d 6d 65 2f 70 75"
         "62 6c 69 63 61 74 69 6f 6e 73 2f 31 38 2e 6c 6f 67 62 75 66 66 65 72",
         79},
        {{.type = RESPONSE_AVAILABLE_IMAGE,
          .correlation_id = 22,
          .registration_id = 19,
          .session_id = -1234567,
          .stream_id = 1001,
          .counter_id = 60,
          .text = SLICE("/dev/shm/aeron-me/images/22.logbuffer"),
          .source_identity = SLICE("127.0.0.1:54321")},
         "16 00 00 00 00 00 00 00 79 29 ed ff e9 03 00 00 13 00 00 00 00 00 00 00 3c 00 00 00"
         "25 00 00 00 2f 64 65 76 2f 73 68 6d 2f 61 65 72 6f 6e 2d 6d 65 2f 69 6d 61 67 65 73"
         "2f 32 32 2e 6c 6f 67 62 75 66 66 65 72 00 00 00 0f 00 00 00 31 32 37 2e 30 2e 30 2e"
         "31 3a 35 34 33 32 31",
         91},
        {{.type = RESPONSE_ERROR,
          .correlation_id = 23,
          .error_code = 3,
          .text = SLICE("unknown publication client_id=17 registration_id=99")},
         "17 00 00 00 00 00 00 00 03 00 00 00 33 00 00 00 75 6e 6b 6e 6f 77 6e 20 70 75 62 6c"
         "69 63 61 74 69 6f 6e 20 63 6c 69 65 6e 74 5f 69 64 3d 31 37 20 72 65 67 69 73 74 72"
         "61 74 69 6f 6e 5f 69 64 3d 39 39",
         67},
        {{.type = RESPONSE_PUBLICATION_ERROR,
          .correlation_id = 18,
          .registration_id = -1,
          .session_id = -1234567,
          .stream_id = 1001,
          .receiver_id = 7,
          .group_tag = -1,
          .address_type = 1,
          .address_port = 54321,
          .address = {127, 0, 0, 1},
          .error_code = 13,
          .text = SLICE("nope")},
         "12 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff 79 29 ed ff e9 03 00 00"
         "07 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff 01 00 31 d4 7f 00 00 01"
         "00 00 00 00 00 00 00 00 00 00 00 00 0d 00 00 00 04 00 00 00 6e 6f 70 65",
         72},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[256];
        cr_assert_eq(response_encode(&rows[i].response, bytes, sizeof bytes), rows[i].length);
        cr_assert_eq(assert_hex(bytes, rows[i].hex, "response"), rows[i].length);
        struct response decoded;
        cr_assert_eq(response_decode(&decoded, rows[i].response.type, bytes, rows[i].length), 0);
        cr_assert_eq(decoded.correlation_id, rows[i].response.correlation_id);
        cr_assert_eq(decoded.registration_id, rows[i].response.registration_id);
        cr_assert_eq(decoded.session_id, rows[i].response.session_id);
        cr_assert_eq(decoded.stream_id, rows[i].response.stream_id);
        cr_assert_eq(decoded.counter_id, rows[i].response.counter_id);
        cr_assert_eq(decoded.channel_status_id, rows[i].response.channel_status_id);
        cr_assert_eq(decoded.error_code, rows[i].response.error_code);
        cr_assert_eq(decoded.receiver_id, rows[i].response.receiver_id);
        cr_assert_eq(decoded.group_tag, rows[i].response.group_tag);
        cr_assert_eq(decoded.address_port, rows[i].response.address_port);
        cr_assert_eq(memcmp(decoded.address, rows[i].response.address, 16), 0);
        assert_slice(decoded.text, rows[i].response.text.text);
        for (int32_t length = 0; length < rows[i].length; length++) {
            cr_assert_eq(response_decode(&decoded, rows[i].response.type, bytes, length), -EBADMSG);
            cr_assert_eq(response_encode(&rows[i].response, bytes, length), -EMSGSIZE);
        }
    }
    /* Short texts are padded to what the original's client and driver demand. */
    uint8_t bytes[256];
    struct response error = {.type = RESPONSE_PUBLICATION_ERROR};
    cr_assert_eq(response_encode(&error, bytes, sizeof bytes), 72);
    struct command reject = {.type = COMMAND_REJECT_IMAGE, .text = SLICE("abc")};
    cr_assert_eq(command_encode(&reject, bytes, sizeof bytes), 40);
    reject.text = (struct text_slice)SLICE("abcdef");
    cr_assert_eq(command_encode(&reject, bytes, sizeof bytes), 42);
}

/* Fixed lengths of shared-memory.md 3.1. */
Test(command, every_command_survives_a_round_trip_and_needs_all_of_its_bytes) {
    static const struct {
        int32_t type, length, needed;
    } rows[] = {
        {COMMAND_ADD_PUBLICATION, 24 + 7, 31},
        {COMMAND_REMOVE_PUBLICATION, 32, 24},
        {COMMAND_ADD_EXCLUSIVE_PUBLICATION, 24 + 7, 31},
        {COMMAND_ADD_SUBSCRIPTION, 32 + 7, 39},
        {COMMAND_REMOVE_SUBSCRIPTION, 24, 24},
        {COMMAND_CLIENT_KEEPALIVE, 16, 16},
        {COMMAND_ADD_DESTINATION, 28 + 7, 35},
        {COMMAND_REMOVE_DESTINATION, 28 + 7, 35},
        {COMMAND_ADD_COUNTER, 28 + 4 + 5, 37},
        {COMMAND_REMOVE_COUNTER, 24, 24},
        {COMMAND_CLIENT_CLOSE, 16, 16},
        {COMMAND_ADD_RECEIVE_DESTINATION, 28 + 7, 35},
        {COMMAND_REMOVE_RECEIVE_DESTINATION, 28 + 7, 35},
        {COMMAND_TERMINATE_DRIVER, 20 + 6, 26},
        {COMMAND_ADD_STATIC_COUNTER, 36 + 4 + 5, 45},
        {COMMAND_REJECT_IMAGE, 42, 42},
        {COMMAND_REMOVE_DESTINATION_BY_ID, 32, 32},
        {COMMAND_NEXT_SESSION_ID, 20, 20},
    };
    static const struct command full = {
        .client_id = 101,
        .correlation_id = 102,
        .registration_id = 103,
        .destination_id = 104,
        .position = 105,
        .flags = 1,
        .stream_id = 106,
        .counter_type_id = 107,
        .channel = SLICE("channel"),
        .key = SLICE("key"),
        .label = SLICE("label"),
        .text = SLICE("reason"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct command command = full, decoded;
        command.type = rows[i].type;
        uint8_t bytes[256], again[256];
        memset(bytes, 0xFF, sizeof bytes);
        cr_assert_eq(command_encode(&command, bytes, sizeof bytes), rows[i].length, "row %zu", i);
        /* Trailing bytes are ignored (shared-memory.md 3.1). */
        for (int32_t extra = 0; extra <= 50; extra += 50) {
            cr_assert_eq(command_decode(&decoded, rows[i].type, bytes, rows[i].length + extra), 0);
            cr_assert_eq(decoded.client_id, 101);
            cr_assert_eq(decoded.correlation_id, 102);
            cr_assert_eq(command_encode(&decoded, again, sizeof again), rows[i].length);
            cr_assert_eq(memcmp(bytes, again, (size_t)rows[i].length), 0, "row %zu", i);
        }
        for (int32_t length = 0; length < rows[i].length; length++) {
            int result = command_decode(&decoded, rows[i].type, bytes, length);
            cr_assert_eq(result, length < rows[i].needed ? -EBADMSG : 0, "row %zu: %d", i, length);
            cr_assert_eq(decoded.correlation_id, length >= 16 ? 102 : 0, "to answer it");
        }
    }
    struct command decoded;
    uint8_t bytes[24] = {1, 0, 0, 0, 0, 0, 0, 0, 2};
    cr_assert_eq(command_decode(&decoded, COMMAND_REMOVE_PUBLICATION, bytes, 24), 0);
    cr_assert_eq(decoded.flags, 0u, "a message without flags");
    cr_assert_eq(command_decode(&decoded, 0x13, bytes, 24), -EOPNOTSUPP);
    cr_assert_eq(decoded.correlation_id, 2);
    cr_assert_eq(command_decode(&decoded, 0x13, bytes, 3), -EOPNOTSUPP);
    struct response response;
    cr_assert_eq(response_decode(&response, 0x0F0E, bytes, 24), -EOPNOTSUPP);
}

Test(command, text_lengths_beyond_the_message_are_refused) {
    static const struct {
        int32_t type, offset, length, total;
        int result;
    } rows[] = {
        {COMMAND_ADD_PUBLICATION, 20, 40, 64, 0},
        {COMMAND_ADD_PUBLICATION, 20, 41, 64, -EBADMSG},
        {COMMAND_ADD_PUBLICATION, 20, -3, 64, -EBADMSG},
        {COMMAND_ADD_PUBLICATION, 20, INT32_MIN, 64, -EBADMSG},
        {COMMAND_ADD_PUBLICATION, 20, INT32_MAX, 64, -EBADMSG},
        {COMMAND_ADD_COUNTER, 20, 36, 64, 0},
        {COMMAND_ADD_COUNTER, 20, 37, 64, -EBADMSG}, /* the label's length does not fit */
        {COMMAND_ADD_COUNTER, 20, 40, 64, -EBADMSG},
        {COMMAND_ADD_COUNTER, 20, 5000, 64, -EBADMSG},
        {COMMAND_ADD_COUNTER, 24, -1, 64, -EBADMSG}, /* the label's length behind an empty key */
        {COMMAND_ADD_COUNTER, 24, 36, 64, 0},
        {COMMAND_ADD_COUNTER, 24, 37, 64, -EBADMSG},
        {COMMAND_TERMINATE_DRIVER, 16, 1000, 64, -EBADMSG},
        {COMMAND_TERMINATE_DRIVER, 16, -5, 64, -EBADMSG},
        {COMMAND_REJECT_IMAGE, 32, 9999, 64, -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[64] = {0};
        memcpy(bytes + rows[i].offset, &rows[i].length, 4);
        struct command command;
        cr_assert_eq(command_decode(&command, rows[i].type, bytes, rows[i].total), rows[i].result,
                     "row %zu", i);
    }
}

/* The archive codec against every byte vector of archive.md 10, and the historical blocks of 1.2.
 * Each vector is written from a struct and compared, then read, and what was read written again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "lib/codec_tools.h"
#include "wire/archive_codec.h"

static const char v1[] = "10003a0065000d00887766554433221114000000000c0100210000006165726f"
                         "6e3a7564703f656e64706f696e743d6c6f63616c686f73743a38303230000000"
                         "001f0000006e616d653d632076657273696f6e3d302e312e3020636f6d6d6974"
                         "3d616263";

static const char v2[] = "2000010065000d00785634120000000088776655443322117856341200000000"
                         "00000000000c010000000000";

static const char v3[] = "2000010065000d00785634120000000009000000000000000500000000000000"
                         "01000000000c010017000000756e6b6e6f776e207265636f7264696e67206964"
                         "3a2037";

static const char v4[] = "1000440065000d0078563412000000000200000000000000";

static const char v5[] = "10003d0065000d007856341200000000ffffffffffffffff";

static const char v6[] = "1c003f0065000d0078563412000000000300000000000000e903000000000000"
                         "01000000090000006165726f6e3a697063";

static const char v7[] = "3800060065000d00785634120000000004000000000000000700000000000000"
                         "0000000000000000ffffffffffffffffd2070000ffffffffffffffffffffffff"
                         "1e0000006165726f6e3a7564703f656e64706f696e743d6c6f63616c686f7374"
                         "3a30";

static const char v8[] = "3c00120065000d00785634120000000005000000000000000700000000000000"
                         "0004000000000000001000000000000021000000d207000000000100ffffffff"
                         "ffffffff090000006165726f6e3a697063";

static const char v9[] = "2000090065000d00785634120000000006000000000000000000000000000000"
                         "64000000e903000003000000697063";

static const char v10[] = "4400420065000d00785634120000000008000000000000000700000000000000"
                          "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
                          "0a000000ffffffffffffffff190000006165726f6e3a7564703f656e64706f69"
                          "6e743d683a3830313000000000000000000000000000000000";

static const char v11[] = "2c00180065000d00785634120000000003000000000000000700000000000000"
                          "0b00000000000000800500000000000001000000";

static const char v12[] = "1c00170065000d0078563412000000000c000000000000000b00000000000000"
                          "e9030000090000006165726f6e3a697063";

static const char v13[] = "14003b0065000d0078563412000000008877665544332211000c010004000000"
                          "77686f3f";

static const char v14[] = "08006a0065000d007856341200000000";

static const char v15[] = "0800030065000d007856341200000000";

static const char file_10_1[] = "0001030020000000080000000000000040000000000000000000000000000000";

static const char file_10_2[] = "a000000001000000d80f576f0000000000000000000000000000000000000000"
                                "0000000000000000000000000000000007000000000000000068e5cf8b010000"
                                "887be5cf8b01000000000000000000008005000000000000efbeadde00000008"
                                "0000010080050000eb32a4f8e9030000090000006165726f6e3a697063190000"
                                "006165726f6e3a6970633f7465726d2d6c656e6774683d36346b090000006165"
                                "726f6e3a69706300000000000000000000000000000000000000000000000000";

static const char file_10_3[] = "5000160065000d0078563412000000000d000000000000000700000000000000"
                                "0068e5cf8b010000887be5cf8b01000000000000000000008005000000000000"
                                "efbeadde000000080000010080050000eb32a4f8e9030000090000006165726f"
                                "6e3a697063190000006165726f6e3a6970633f7465726d2d6c656e6774683d36"
                                "346b090000006165726f6e3a6970630000000000000000000000000000000000"
                                "0000000000000000";

static const char file_10_4[] = "8000c8006400020000010300000000000068e5cf8b0100001864e5cf8b010000"
                                "92100000000000000a0000000a0000001e000000002000000000100000000000"
                                "2a00000000000000000000000000000000000000000000000000000000000000"
                                "0000000000000000000000000000000000000000000000000000000000000000"
                                "0000000000000000210000006165726f6e3a7564703f656e64706f696e743d6c"
                                "6f63616c686f73743a38303130190000006165726f6e3a6970633f7465726d2d"
                                "6c656e6774683d36346b000000000e0000002f6465762f73686d2f6165726f6e";

#define SESSION 305419896
#define CORRELATION 0x1122334455667788

static struct text_slice text(const char *string) {
    return (struct text_slice){string, (int32_t)strlen(string)};
}

static int32_t bytes_of(const char *vector, uint8_t *bytes) {
    int32_t length = codec_from_hex(vector, bytes, 512);
    cr_assert_gt(length, 0);
    return length;
}

/* Encode `want`, compare with the vector, decode that, encode again, compare again. */
#define CHECK(type, vector, ...)                                                                   \
    do {                                                                                           \
        uint8_t expected[512], written[512];                                                       \
        struct type want = {__VA_ARGS__}, found;                                                   \
        int32_t length = bytes_of(vector, expected);                                               \
        cr_assert_eq(type##_encode(&want, written, sizeof written), length, #type);                \
        cr_assert_arr_eq(written, expected, (size_t)length, #type);                                \
        cr_assert_eq(type##_decode(&found, expected, length), 0, #type);                           \
        memset(written, 0, sizeof written);                                                        \
        cr_assert_eq(type##_encode(&found, written, sizeof written), length, #type);               \
        cr_assert_arr_eq(written, expected, (size_t)length, #type);                                \
    } while (0)

Test(archive_codec, session_messages_match_the_vectors) {
    CHECK(archive_auth_connect_request, v1, .correlation_id = CORRELATION, .response_stream_id = 20,
          .version = 68608, .response_channel = text("aeron:udp?endpoint=localhost:8020"),
          .client_info = text("name=c version=0.1.0 commit=abc"));
    CHECK(archive_control_response, v2, .control_session_id = SESSION, .relevant_id = SESSION,
          .correlation_id = CORRELATION, .code = ARCHIVE_CONTROL_RESPONSE_CODE_OK,
          .version = 68608);
    CHECK(archive_control_response, v3, .control_session_id = SESSION, .correlation_id = 9,
          .relevant_id = 5, .code = ARCHIVE_CONTROL_RESPONSE_CODE_ERROR, .version = 68608,
          .error_message = text("unknown recording id: 7"));
    CHECK(archive_archive_id_request, v4, .control_session_id = SESSION, .correlation_id = 2);
    CHECK(archive_keep_alive_request, v5, .control_session_id = SESSION, .correlation_id = -1);
    CHECK(archive_challenge, v13, .control_session_id = SESSION, .correlation_id = CORRELATION,
          .version = 68608, .encoded_challenge = text("who?"));
    CHECK(archive_ping, v14, .control_session_id = SESSION);
    CHECK(archive_close_session_request, v15, .control_session_id = SESSION);
}

Test(archive_codec, recording_messages_match_the_vectors) {
    CHECK(archive_start_recording_request2, v6, .control_session_id = SESSION, .correlation_id = 3,
          .stream_id = 1001, .source_location = ARCHIVE_SOURCE_LOCATION_LOCAL,
          .auto_stop = ARCHIVE_BOOLEAN_TYPE_TRUE, .channel = text("aeron:ipc"));
    CHECK(archive_list_recordings_for_uri_request, v9, .control_session_id = SESSION,
          .correlation_id = 6, .record_count = 100, .stream_id = 1001, .channel = text("ipc"));
    CHECK(archive_recording_signal_event, v11, .control_session_id = SESSION, .correlation_id = 3,
          .recording_id = 7, .subscription_id = 11, .position = 1408,
          .signal = ARCHIVE_RECORDING_SIGNAL_STOP);
    CHECK(archive_recording_subscription_descriptor, v12, .control_session_id = SESSION,
          .correlation_id = 12, .subscription_id = 11, .stream_id = 1001,
          .stripped_channel = text("aeron:ipc"));
}

Test(archive_codec, replay_messages_match_the_vectors) {
    CHECK(archive_replay_request, v7, .control_session_id = SESSION, .correlation_id = 4,
          .recording_id = 7, .length = -1, .replay_stream_id = 2002, .file_io_max_length = -1,
          .replay_token = -1, .replay_channel = text("aeron:udp?endpoint=localhost:0"));
    CHECK(archive_bounded_replay_request, v8, .control_session_id = SESSION, .correlation_id = 5,
          .recording_id = 7, .position = 1024, .length = 4096, .limit_counter_id = 33,
          .replay_stream_id = 2002, .file_io_max_length = 65536, .replay_token = -1,
          .replay_channel = text("aeron:ipc"));
    CHECK(archive_replicate_request2, v10, .control_session_id = SESSION, .correlation_id = 8,
          .src_recording_id = 7, .dst_recording_id = -1, .stop_position = -1, .channel_tag_id = -1,
          .subscription_tag_id = -1, .src_control_stream_id = 10, .file_io_max_length = -1,
          .replication_session_id = -1, .src_control_channel = text("aeron:udp?endpoint=h:8010"));
}

Test(archive_codec, files_match_the_vectors) {
    CHECK(archive_catalog_header, file_10_1, .version = 196864, .length = 32,
          .next_recording_id = 8, .alignment = 64);
    CHECK(archive_mark_file_header, file_10_4, .version = 196864,
          .activity_timestamp = 1700000000000, .start_timestamp = 1699999999000, .pid = 4242,
          .control_stream_id = 10, .local_control_stream_id = 10, .events_stream_id = 30,
          .header_length = 8192, .error_buffer_length = 1048576, .archive_id = 42,
          .control_channel = text("aeron:udp?endpoint=localhost:8010"),
          .local_control_channel = text("aeron:ipc?term-length=64k"),
          .aeron_directory = text("/dev/shm/aeron"));

    uint8_t expected[512], written[512] = {0};
    int32_t length = bytes_of(file_10_2, expected);
    struct archive_catalog_record found, record = {
                                             .length = 160,
                                             .state = ARCHIVE_RECORDING_STATE_VALID,
                                             .checksum = 0x6f570fd8,
                                             .recording_id = 7,
                                             .start_timestamp = 1700000000000,
                                             .stop_timestamp = 1700000005000,
                                             .stop_position = 1408,
                                             .initial_term_id = -559038737,
                                             .segment_file_length = 134217728,
                                             .term_buffer_length = 65536,
                                             .mtu_length = 1408,
                                             .session_id = -123456789,
                                             .stream_id = 1001,
                                             .stripped_channel = text("aeron:ipc"),
                                             .original_channel = text("aeron:ipc?term-length=64k"),
                                             .source_identity = text("aeron:ipc"),
                                         };
    cr_assert_eq(archive_catalog_record_encode(&record, written, sizeof written), 32 + 135);
    cr_assert_arr_eq(written, expected, (size_t)length); /* padding is zero */
    cr_assert_eq(archive_catalog_record_decode(&found, expected, length), 0);
    cr_assert_eq(found.stop_position, 1408);
    cr_assert_eq(found.source_identity.length, 9);
    cr_assert_eq(archive_catalog_record_encode(&found, written, sizeof written), 32 + 135);
    cr_assert_arr_eq(written, expected, (size_t)length);
}

Test(archive_codec, a_descriptor_is_read_with_the_padding_of_the_catalog_behind_it) {
    uint8_t expected[512], record[512], written[512] = {0};
    int32_t length = bytes_of(file_10_3, expected);
    struct archive_recording_descriptor found;
    cr_assert_eq(length, 168);
    cr_assert_eq(archive_recording_descriptor_decode(&found, expected, length), 0);
    cr_assert_eq(found.control_session_id, SESSION);
    cr_assert_eq(found.correlation_id, 13);
    cr_assert_eq(found.start_timestamp, 1700000000000);
    cr_assert_eq(found.session_id, -123456789);
    cr_assert_eq(found.original_channel.length, 25);
    cr_assert_eq(archive_recording_descriptor_encode(&found, written, sizeof written), 168 - 25);
    cr_assert_arr_eq(written, expected, 168);
    /* archive.md 4.3 rule 5: from recordingId on, the response is the record as it is on disk */
    bytes_of(file_10_2, record);
    int32_t from = ARCHIVE_RECORDING_DESCRIPTOR_RECORDING_ID_OFFSET;
    cr_assert_arr_eq(expected + from, record + ARCHIVE_CATALOG_RECORD_RECORDING_ID_OFFSET,
                     (size_t)(length - from));
}

/* archive.md 1.2: block lengths that a server may still receive, all checked with zeros behind. */
Test(archive_codec, historical_requests_are_read) {
    uint8_t buffer[128] = {0};
    struct archive_replay_request replay;
    struct archive_bounded_replay_request bounded;
    struct archive_replicate_request2 replicate;
    struct archive_connect_request connect;
    struct archive_control_response response;
    struct archive_auth_connect_request auth;
    static const struct {
        uint16_t version, replay_block, bounded_block, replicate_block;
        int32_t io_length, session;
        int64_t token;
    } rows[] = {
        {6, 44, 48, 60, -1, -1, -1},
        {7, 48, 52, 64, 0, -1, -1},
        {9, 48, 52, 68, 0, 0, -1},
        {10, 56, 60, 68, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        put_u16(buffer + 4, 101);
        put_u16(buffer + 6, rows[i].version);
        put_u16(buffer, rows[i].replay_block);
        put_u16(buffer + 2, ARCHIVE_TEMPLATE_REPLAY_REQUEST);
        int32_t length = 8 + rows[i].replay_block + 4;
        cr_assert_eq(archive_replay_request_decode(&replay, buffer, length), 0);
        cr_assert_eq(archive_replay_request_decode(&replay, buffer, length - 1), -EBADMSG);
        cr_assert_eq(replay.file_io_max_length, rows[i].io_length);
        cr_assert_eq(replay.replay_token, rows[i].token);
        put_u16(buffer, rows[i].bounded_block);
        put_u16(buffer + 2, ARCHIVE_TEMPLATE_BOUNDED_REPLAY_REQUEST);
        length = 8 + rows[i].bounded_block + 4;
        cr_assert_eq(archive_bounded_replay_request_decode(&bounded, buffer, length), 0);
        cr_assert_eq(bounded.file_io_max_length, rows[i].io_length);
        cr_assert_eq(bounded.replay_token, rows[i].token);
        put_u16(buffer, rows[i].replicate_block);
        put_u16(buffer + 2, ARCHIVE_TEMPLATE_REPLICATE_REQUEST2);
        length = 8 + rows[i].replicate_block +
                 4 * (rows[i].version < 8    ? 3
                      : rows[i].version < 10 ? 4
                                             : 5);
        cr_assert_eq(archive_replicate_request2_decode(&replicate, buffer, length), 0);
        cr_assert_eq(archive_replicate_request2_decode(&replicate, buffer, length - 1), -EBADMSG);
        cr_assert_eq(replicate.file_io_max_length, rows[i].io_length);
        cr_assert_eq(replicate.replication_session_id, rows[i].session);
        cr_assert_eq(replicate.src_response_channel.length, 0);
    }
    memset(buffer + 8, 0x11, 32);
    memset(buffer + 20, 0, 80);
    put_u16(buffer, 12);
    put_u16(buffer + 2, ARCHIVE_TEMPLATE_CONNECT_REQUEST);
    put_u16(buffer + 6, 1);
    cr_assert_eq(archive_connect_request_decode(&connect, buffer, 8 + 12 + 4), 0);
    cr_assert_eq(connect.version, 0);
    put_u16(buffer, 28);
    put_u16(buffer + 2, ARCHIVE_TEMPLATE_CONTROL_RESPONSE);
    put_u16(buffer + 6, 3);
    cr_assert_eq(archive_control_response_decode(&response, buffer, 8 + 28 + 4), 0);
    cr_assert_eq(response.version, 0);
    put_u16(buffer, 16);
    put_u16(buffer + 2, ARCHIVE_TEMPLATE_AUTH_CONNECT_REQUEST);
    put_u16(buffer + 6, 11);
    cr_assert_eq(archive_auth_connect_request_decode(&auth, buffer, 8 + 16 + 8), 0);
    cr_assert_eq(auth.client_info.length, 0);
    put_u16(buffer + 6, 12);
    cr_assert_eq(archive_auth_connect_request_decode(&auth, buffer, 8 + 16 + 8), -EBADMSG);
}

Test(archive_codec, constants_are_those_of_the_specification) {
    cr_assert_eq(ARCHIVE_SCHEMA_ID, 101);
    cr_assert_eq(ARCHIVE_SCHEMA_VERSION, 13);
    cr_assert_eq(ARCHIVE_MARK_SCHEMA_ID, 100);
    cr_assert_eq(ARCHIVE_MARK_SCHEMA_VERSION, 2);
    /* offsets of the mark file, from the start of the file: archive.md 2.2 plus the header */
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_VERSION_OFFSET, 8);
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_ACTIVITY_TIMESTAMP_OFFSET, 16);
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_PID_OFFSET, 32);
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_HEADER_LENGTH_OFFSET, 52);
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_ARCHIVE_ID_OFFSET, 64);
    cr_assert_eq(ARCHIVE_MARK_FILE_HEADER_LENGTH_MIN, 8 + 128 + 16);
    /* of a record in the catalog: archive.md 4.3 */
    cr_assert_eq(ARCHIVE_CATALOG_HEADER_NEXT_RECORDING_ID_OFFSET, 8);
    cr_assert_eq(ARCHIVE_CATALOG_RECORD_CHECKSUM_OFFSET, 8);
    cr_assert_eq(ARCHIVE_CATALOG_RECORD_STOP_TIMESTAMP_OFFSET, 64);
    cr_assert_eq(ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, 80);
    cr_assert_eq(ARCHIVE_CATALOG_RECORD_STREAM_ID_OFFSET, 108);
    cr_assert_eq(ARCHIVE_CATALOG_RECORD_LENGTH_MIN, 112 + 12);
    cr_assert_eq(ARCHIVE_BOUNDED_REPLAY_REQUEST_REPLAY_TOKEN_OFFSET, 8 + 52);
    cr_assert_eq(ARCHIVE_CONTROL_RESPONSE_BLOCK_LENGTH, 32);
}

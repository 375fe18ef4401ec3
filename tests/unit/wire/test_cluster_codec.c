/* The cluster codec against every byte vector of cluster.md 12.3: written from a struct, compared,
 * read, and what was read written again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/codec_tools.h"
#include "wire/cluster_codec.h"

static const char v1[] = "100003006f001000d2029649000000006600000000030000210000006165726f"
                         "6e3a7564703f656e64706f696e743d6c6f63616c686f73743a35353535000000"
                         "001f0000006e616d653d2076657273696f6e3d312e35322e3220636f6d6d6974"
                         "3d616263";

static const char v2[] = "2c0002006f0010000100000000000000d2029649000000000300000000000000"
                         "00000000000000000003000000e40b540200000000000000";

static const char v3[] = "2c0002006f001000ffffffffffffffffd2029649000000000300000000000000"
                         "01000000020000000003000000e40b540200000021000000303d6c6f63616c68"
                         "6f73743a393030322c313d6c6f63616c686f73743a39313032";

static const char v4[] = "180001006f001000030000000000000001000000000000007b68e5cf8b010000"
                         "68656c6c6f";

static const char v5[] = "100005006f00100003000000000000000100000000000000";

static const char v6[] = "140006006f00100004000000000000000100000000000000010000000b000000"
                         "303d613a312c313d623a32";

static const char v7[] = "200032006f001000020000000000000000100000000000000200000000000000"
                         "0100000000000100";

static const char v8[] = "200033006f001000020000000000000000100000000000000300000000000000"
                         "0000000000000100";

static const char v9[] = "240034006f001000030000000000000002000000000000000010000000000000"
                         "000000000100000001000000";

static const char v10[] = "600035006f001000020000000000000003000000000000000010000000000000"
                          "ffffffffffffffff030000000000000000100000000000000010000000000000"
                          "07000000000000007b68e5cf8b01000000000000efbeadde0100000001000000"
                          "0010000000000000";

static const char v11[] = "150036006f001000030000000000000000200000000000000100000001";

static const char v12[] = "140037006f0010000300000000000000002000000000000000000000";

static const char v13[] = "140038006f00100003000000000000000010000000000000010000000e000000"
                          "6c6f63616c686f73743a39313035";

static const char v14[] = "280028006f0010000010000000000000ffffffffffffff7f00000000efbeadde"
                          "640000000100000002000000000000003a0000006165726f6e2d7370793a6165"
                          "726f6e3a7564703f746167733d317c73657373696f6e2d69643d2d3535393033"
                          "383733377c616c6961733d6c6f67";

static const char v15[] = "240021006f00100000100000000000007b68e5cf8b0100000100000000000000"
                          "ffffffffffffffff00000000";

static const char v16[] = "5800000000c0010000100000efbeadde64000000000000000000000000000000"
                          "300018006f001000030000000000000060100000000000007b68e5cf8b010000"
                          "001000000000000000000000efbeadde00000000010000000000000000000000";

static const char v17[] = "200017006f0010000300000000000000c010000000000000c869e5cf8b010000"
                          "0200000000000000";

static const char v18[] = "280064006f0010000100000000000000c0100000000000000300000000000000"
                          "00000000000000000000000001000000";

static const char v19[] = "3c004e006f001000630000000000000007000000000000000300000000000000"
                          "0010000000000000030000000000000000100000000000001200000000000000"
                          "010000002c000100090000000000000003000000000000000010000000000000"
                          "c010000000000000c869e5cf8b010000ffffffff15000000302c613a312c613a"
                          "322c613a332c613a342c613a35";

static const char v20[] = "280067006f0010000100000000000000d202964900000000e010000000000000"
                          "ffffffffffffffff0000008066000000160000006165726f6e3a7564703f656e"
                          "64706f696e743d683a31";

static const char v21[] = "070000000000000003000000000000000010000000000000ffffffffffffffff"
                          "7b68e5cf8b010000ffffffff0000000000000000000000000000000000000000"
                          "080000000000000003000000000000000010000000000000c010000000000000"
                          "c869e5cf8b010000000000000100000000000000000000000000000000000000"
                          "090000000000000003000000000000000010000000000000c010000000000000"
                          "c869e5cf8b010000ffffffff0100000000000000000000000000000000000000"
                          "1500000000000000030000000000000000100000000000000020000000000000"
                          "e76be5cf8b010000ffffffff020000000c0000007374616e6462793a38303130"
                          "090000000000000003000000000000000010000000000000c010000000000000"
                          "c869e5cf8b010000ffffffff0100008000000000000000000000000000000000";

static const char v22[] = "000300000000000018002d0170000a0028000000000000000300000000000000"
                          "7b68e5cf8b01000000100000000000000000300170000a001000000000000000";

static const char v23[] = "8000c8006e00020000030000010000007b68e5cf8b0100000068e5cf8b010000"
                          "9210000000000000ffffffffffffffff0a000000680000006900000065000000"
                          "00000000ffffffff002000000000100000000000000000000000000000000000"
                          "0000000000000000000000000000000000000000000000000000000000000000"
                          "00000000000000000e0000002f6465762f73686d2f6165726f6e1a0000006165"
                          "726f6e3a6970633f7465726d2d6c656e6774683d3132386b090000006165726f"
                          "6e3a756470000000000100000041020000002f63";

static const char v24[] = "100007006f001000e90300000000000002000000000000000300000077686f";

static const char v25[] = "18004d006f0010002a000000000000006c00000000030000ffffffffffffff7f"
                          "160000006165726f6e3a7564703f656e64706f696e743d623a3100000000";

#define TIME 1700000000123
#define LATER 1700000000456
#define LOG_SESSION ((int32_t)0xdeadbeef)

static struct text_slice text(const char *string) {
    return (struct text_slice){string, (int32_t)strlen(string)};
}

static int32_t bytes_of(const char *vector, uint8_t *bytes) {
    int32_t length = codec_from_hex(vector, bytes, 512);
    cr_assert_gt(length, 0);
    return length;
}

#define CHECK_AT(type, bytes, size, ...)                                                           \
    do {                                                                                           \
        uint8_t written[512];                                                                      \
        struct type want = {__VA_ARGS__}, found;                                                   \
        int32_t length = size;                                                                     \
        cr_assert_eq(type##_encode(&want, written, sizeof written), length, #type);                \
        cr_assert_arr_eq(written, bytes, (size_t)length, #type);                                   \
        cr_assert_eq(type##_decode(&found, bytes, length), 0, #type);                              \
        memset(written, 0, sizeof written);                                                        \
        cr_assert_eq(type##_encode(&found, written, sizeof written), length, #type);               \
        cr_assert_arr_eq(written, bytes, (size_t)length, #type);                                   \
    } while (0)

#define CHECK(type, vector, ...)                                                                   \
    do {                                                                                           \
        uint8_t expected[512];                                                                     \
        int32_t expected_length = bytes_of(vector, expected);                                      \
        CHECK_AT(type, expected, expected_length, __VA_ARGS__);                                    \
    } while (0)

Test(cluster_codec, session_messages_match_the_vectors) {
    CHECK(cluster_session_connect_request, v1, .correlation_id = 1234567890,
          .response_stream_id = 102, .version = 768,
          .response_channel = text("aeron:udp?endpoint=localhost:5555"),
          .client_info = text("name= version=1.52.2 commit=abc"));
    CHECK(cluster_session_event, v2, .cluster_session_id = 1, .correlation_id = 1234567890,
          .leadership_term_id = 3, .code = CLUSTER_EVENT_CODE_OK, .version = 768,
          .leader_heartbeat_timeout_ns = 10000000000);
    CHECK(cluster_session_event, v3, .cluster_session_id = -1, .correlation_id = 1234567890,
          .leadership_term_id = 3, .leader_member_id = 1, .code = CLUSTER_EVENT_CODE_REDIRECT,
          .version = 768, .leader_heartbeat_timeout_ns = 10000000000,
          .detail = text("0=localhost:9002,1=localhost:9102"));
    CHECK(cluster_session_keep_alive, v5, .leadership_term_id = 3, .cluster_session_id = 1);
    CHECK(cluster_new_leader_event, v6, .leadership_term_id = 4, .cluster_session_id = 1,
          .leader_member_id = 1, .ingress_endpoints = text("0=a:1,1=b:2"));
    CHECK(cluster_challenge, v24, .correlation_id = 1001, .cluster_session_id = 2,
          .encoded_challenge = text("who"));
}

Test(cluster_codec, the_session_header_is_written_and_read_in_place) {
    uint8_t expected[512], written[512] = {0};
    struct cluster_session_message_header header;
    struct sbe_header sbe;
    int32_t length = bytes_of(v4, expected);
    cluster_session_message_header_put(written, 3, 1, TIME);
    memcpy(written + CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN, "hello", 5);
    cr_assert_arr_eq(written, expected, (size_t)length);
    cr_assert_eq(sbe_peek(&sbe, expected, length), 0);
    cr_assert_eq(SBE_HEADER_LENGTH + sbe.block_length, 32);
    cr_assert_eq(cluster_session_message_header_decode(&header, expected, length), 0);
    cr_assert_eq(header.timestamp, TIME);
    cr_assert_eq(cluster_session_message_header_get_leadership_term_id(expected), 3);
    cr_assert_eq(cluster_session_message_header_get_cluster_session_id(expected), 1);
    cr_assert_eq(cluster_session_message_header_get_timestamp(expected), TIME);
    cluster_session_message_header_set_leadership_term_id(written, 4);
    cluster_session_message_header_set_cluster_session_id(written, 5);
    cluster_session_message_header_set_timestamp(written, 6);
    cr_assert_eq(cluster_session_message_header_decode(&header, written, 32), 0);
    cr_assert_eq(header.leadership_term_id, 4);
    cr_assert_eq(header.cluster_session_id, 5);
    cr_assert_eq(header.timestamp, 6);
    cr_assert_arr_eq(written + 32, "hello", 5);
}

Test(cluster_codec, consensus_messages_match_the_vectors) {
    CHECK(cluster_canvass_position, v7, .log_leadership_term_id = 2, .log_position = 4096,
          .leadership_term_id = 2, .follower_member_id = 1, .protocol_version = 65536);
    CHECK(cluster_request_vote, v8, .log_leadership_term_id = 2, .log_position = 4096,
          .candidate_term_id = 3, .candidate_member_id = 0, .protocol_version = 65536);
    CHECK(cluster_vote, v9, .candidate_term_id = 3, .log_leadership_term_id = 2,
          .log_position = 4096, .follower_member_id = 1, .vote = CLUSTER_BOOLEAN_TYPE_TRUE);
    CHECK(cluster_new_leadership_term, v10, .log_leadership_term_id = 2,
          .next_leadership_term_id = 3, .next_term_base_log_position = 4096,
          .next_log_position = -1, .leadership_term_id = 3, .term_base_log_position = 4096,
          .log_position = 4096, .leader_recording_id = 7, .timestamp = TIME,
          .log_session_id = LOG_SESSION, .app_version = 1, .is_startup = CLUSTER_BOOLEAN_TYPE_TRUE,
          .commit_position = 4096);
    CHECK(cluster_append_position, v11, .leadership_term_id = 3, .log_position = 8192,
          .follower_member_id = 1, .flags = 1);
    CHECK(cluster_commit_position, v12, .leadership_term_id = 3, .log_position = 8192);
    CHECK(cluster_catchup_position, v13, .leadership_term_id = 3, .log_position = 4096,
          .follower_member_id = 1, .catchup_endpoint = text("localhost:9105"));
}

Test(cluster_codec, service_and_log_messages_match_the_vectors) {
    CHECK(cluster_join_log, v14, .log_position = 4096, .max_log_position = INT64_MAX,
          .log_session_id = LOG_SESSION, .log_stream_id = 100,
          .is_startup = CLUSTER_BOOLEAN_TYPE_TRUE, .role = 2,
          .log_channel = text("aeron-spy:aeron:udp?tags=1|session-id=-559038737|alias=log"));
    CHECK(cluster_service_ack, v15, .log_position = 4096, .timestamp = TIME, .ack_id = 1,
          .relevant_id = -1);
    uint8_t frame[512];
    cr_assert_eq(bytes_of(v16, frame), 96);
    cr_assert_eq(get_i32(frame), 32 + 8 + CLUSTER_NEW_LEADERSHIP_TERM_EVENT_BLOCK_LENGTH);
    CHECK_AT(cluster_new_leadership_term_event, frame + 32, 88 - 32, .leadership_term_id = 3,
             .log_position = 4192, .timestamp = TIME, .term_base_log_position = 4096,
             .log_session_id = LOG_SESSION, .time_unit = CLUSTER_CLUSTER_TIME_UNIT_MILLIS,
             .app_version = 1);
    CHECK(cluster_cluster_action_request, v17, .leadership_term_id = 3, .log_position = 4288,
          .timestamp = LATER, .action = CLUSTER_CLUSTER_ACTION_SNAPSHOT);
    CHECK(cluster_snapshot_marker, v18, .type_id = 1, .log_position = 4288, .leadership_term_id = 3,
          .mark = CLUSTER_SNAPSHOT_MARK_BEGIN, .time_unit = CLUSTER_CLUSTER_TIME_UNIT_MILLIS,
          .app_version = 1);
    CHECK(cluster_cluster_session, v20, .cluster_session_id = 1, .correlation_id = 1234567890,
          .opened_log_position = 4320, .time_of_last_activity = -1,
          .close_reason = CLUSTER_CLOSE_REASON_NULL, .response_stream_id = 102,
          .response_channel = text("aeron:udp?endpoint=h:1"));
}

Test(cluster_codec, backup_messages_match_the_vectors) {
    uint8_t expected[512], written[512];
    struct cluster_backup_response_snapshots snapshot = {.recording_id = 9,
                                                         .leadership_term_id = 3,
                                                         .term_base_log_position = 4096,
                                                         .log_position = 4288,
                                                         .timestamp = LATER,
                                                         .service_id = -1};
    struct cluster_backup_response found, want = {.correlation_id = 99,
                                                  .log_recording_id = 7,
                                                  .log_leadership_term_id = 3,
                                                  .log_term_base_log_position = 4096,
                                                  .last_leadership_term_id = 3,
                                                  .last_term_base_log_position = 4096,
                                                  .commit_position_counter_id = 18,
                                                  .member_id = 1,
                                                  .snapshots = {.elements = &snapshot, .count = 1},
                                                  .cluster_members = text("0,a:1,a:2,a:3,a:4,a:5")};
    int32_t length = bytes_of(v19, expected);
    cr_assert_eq(cluster_backup_response_encode(&want, written, sizeof written), length);
    cr_assert_arr_eq(written, expected, (size_t)length);
    cr_assert_eq(cluster_backup_response_decode(&found, expected, length), 0);
    cr_assert_eq(found.snapshots.count, 1);
    memset(&snapshot, 0, sizeof snapshot);
    cr_assert(cluster_backup_response_snapshots_next(&found.snapshots, &snapshot));
    cr_assert_eq(snapshot.recording_id, 9);
    cr_assert_eq(snapshot.log_position, 4288);
    cr_assert_eq(snapshot.service_id, -1);
    cr_assert_not(cluster_backup_response_snapshots_next(&found.snapshots, &snapshot));
    cr_assert_eq(found.cluster_members.length, 21);
    CHECK(cluster_backup_query, v25, .correlation_id = 42, .response_stream_id = 108,
          .version = 768, .log_position = INT64_MAX,
          .response_channel = text("aeron:udp?endpoint=b:1"));
}

Test(cluster_codec, the_entries_of_recording_log_match_the_vector) {
    uint8_t file[512], standby[512];
    cr_assert_eq(bytes_of(v21, file), 320);
    struct cluster_recording_log_entry entry = {.recording_id = 7,
                                                .leadership_term_id = 3,
                                                .term_base_log_position = 4096,
                                                .log_position = -1,
                                                .timestamp = TIME,
                                                .service_id = -1,
                                                .type = 0};
    for (int32_t i = 0; i < 5; i++) {
        uint8_t written[64];
        struct cluster_recording_log_entry found;
        cr_assert_eq(cluster_recording_log_entry_encode(&entry, written, sizeof written), 48);
        if (i != 3) {
            cr_assert_arr_eq(written, file + 64 * i, 48, "entry %d", i);
        }
        cr_assert_eq(cluster_recording_log_entry_decode(&found, file + 64 * i, 48), 0);
        cr_assert_eq(cluster_recording_log_entry_decode(&found, file + 64 * i, 47), -EBADMSG);
        static const int64_t ids[] = {7, 8, 9, 21, 9};
        static const uint32_t types[] = {0, 1, 1, 2, 0x80000001};
        cr_assert_eq(found.recording_id, ids[i]);
        cr_assert_eq(found.type, types[i]);
        entry = (struct cluster_recording_log_entry){.recording_id = ids[(i + 1) % 5],
                                                     .leadership_term_id = 3,
                                                     .term_base_log_position = 4096,
                                                     .log_position = 4288,
                                                     .timestamp = LATER,
                                                     .service_id = i == 0 ? 0 : -1,
                                                     .type = types[(i + 1) % 5]};
    }
    memcpy(standby, file + 192, 64);
    CHECK_AT(cluster_recording_log_standby_entry, standby, 64, .recording_id = 21,
             .leadership_term_id = 3, .term_base_log_position = 4096, .log_position = 8192,
             .timestamp = 1700000000999, .service_id = -1, .type = 2,
             .archive_endpoint = text("standby:8010"));
}

Test(cluster_codec, node_state_and_mark_file_match_the_vectors) {
    uint8_t file[512];
    struct sbe_header header;
    int32_t frame_length = 0;
    cr_assert_eq(bytes_of(v22, file), 64);
    CHECK_AT(cluster_node_state_file_header, file, 8, .version = 768);
    cr_assert_eq(sbe_peek_framed(&header, &frame_length, file + 8, 56), 0);
    cr_assert_eq(header.template_id, CLUSTER_TEMPLATE_CANDIDATE_TERM);
    cr_assert_eq(frame_length, 40);
    CHECK_AT(cluster_candidate_term, file + 8, 40, .candidate_term_id = 3, .timestamp = TIME,
             .log_position = 4096);
    CHECK_AT(cluster_node_state_footer, file + 48, 16, .nothing = 0);
    cr_assert_eq(8 + CLUSTER_CANDIDATE_TERM_CANDIDATE_TERM_ID_OFFSET, 24);
    cr_assert_eq(8 + CLUSTER_CANDIDATE_TERM_LOG_POSITION_OFFSET, 40);

    CHECK(cluster_mark_file_header, v23, .version = 768,
          .component_type = CLUSTER_CLUSTER_COMPONENT_TYPE_CONSENSUS_MODULE,
          .activity_timestamp = TIME, .start_timestamp = 1700000000000, .pid = 4242,
          .candidate_term_id = -1, .archive_stream_id = 10, .service_stream_id = 104,
          .consensus_module_stream_id = 105, .ingress_stream_id = 101, .service_id = -1,
          .header_length = 8192, .error_buffer_length = 1048576,
          .aeron_directory = text("/dev/shm/aeron"),
          .control_channel = text("aeron:ipc?term-length=128k"),
          .ingress_channel = text("aeron:udp"), .authenticator = text("A"),
          .services_cluster_dir = text("/c"));
    /* offsets from the start of the file: cluster.md 5.3 */
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_VERSION_OFFSET, 8);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_COMPONENT_TYPE_OFFSET, 12);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_ACTIVITY_TIMESTAMP_OFFSET, 16);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_PID_OFFSET, 32);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_MEMBER_ID_OFFSET, 64);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_CLUSTER_ID_OFFSET, 80);
    cr_assert_eq(CLUSTER_MARK_FILE_HEADER_LENGTH_MIN, 136 + 6 * 4);
}

/* What an old sender lacks reads as something that a handler can use as it is. */
Test(cluster_codec, fields_that_old_senders_lack_have_useful_values) {
    uint8_t buffer[128] = {0};
    struct cluster_append_position append;
    struct cluster_new_leadership_term term;
    struct cluster_session_connect_request connect;
    struct cluster_snapshot_marker marker;
    put_u16(buffer, 20);
    put_u16(buffer + 2, CLUSTER_TEMPLATE_APPEND_POSITION);
    put_u16(buffer + 4, CLUSTER_SCHEMA_ID);
    put_u16(buffer + 6, 7);
    memset(buffer + 28, 0xff, 8);
    cr_assert_eq(cluster_append_position_decode(&append, buffer, 28), 0);
    cr_assert_eq(append.flags, 0);
    put_u16(buffer, 88);
    put_u16(buffer + 2, CLUSTER_TEMPLATE_NEW_LEADERSHIP_TERM);
    put_u16(buffer + 6, 14);
    put_i32(buffer + 8 + 84, CLUSTER_BOOLEAN_TYPE_FALSE);
    cr_assert_eq(cluster_new_leadership_term_decode(&term, buffer, 96), 0);
    cr_assert_eq(term.commit_position, SBE_NULL_I64);
    memset(buffer + 8, 0, sizeof buffer - 8);
    put_u16(buffer, 12); /* cluster.md 12.2: the connect of schema version 1 */
    put_u16(buffer + 2, CLUSTER_TEMPLATE_SESSION_CONNECT_REQUEST);
    put_u16(buffer + 6, 1);
    cr_assert_eq(cluster_session_connect_request_decode(&connect, buffer, 8 + 12 + 8), 0);
    cr_assert_eq(connect.version, 0);
    cr_assert_eq(connect.client_info.length, 0);
    put_u16(buffer, 32);
    put_u16(buffer + 2, CLUSTER_TEMPLATE_SNAPSHOT_MARKER);
    put_u16(buffer + 6, 3);
    cr_assert_eq(cluster_snapshot_marker_decode(&marker, buffer, 40), 0);
    cr_assert_eq(marker.time_unit, CLUSTER_CLUSTER_TIME_UNIT_MILLIS);
    cr_assert_eq(marker.app_version, 0);
}

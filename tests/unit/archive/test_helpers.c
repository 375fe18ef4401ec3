#include <criterion/criterion.h>

#include <errno.h>

#include <tern/archive.h>
#include <tern/client.h>

Test(archive_helpers, channels_get_the_session_of_a_replay) {
    static const struct {
        const char *channel;
        int64_t replay_session_id;
        const char *wanted;
    } cases[] = {
        {"aeron:ipc", 6120826713, "aeron:ipc?session-id=1825859417"},
        {"aeron:ipc?session-id=5", (INT64_C(3) << 32) | 0xFFFFFFFB, "aeron:ipc?session-id=-5"},
        {"aeron:udp?endpoint=h:1|alias=a", 7, "aeron:udp?endpoint=h:1|alias=a|session-id=7"},
    };
    char text[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t session_id = tern_archive_replay_session_id(cases[i].replay_session_id);
        cr_assert_eq(
            tern_archive_channel_with_session(cases[i].channel, session_id, text, sizeof text), 0);
        cr_assert_str_eq(text, cases[i].wanted);
    }
    cr_assert_eq(tern_archive_channel_with_session("aeron:ipc", 1, text, 10), -ENAMETOOLONG);
}

Test(archive_helpers, segment_bases_are_those_of_the_specification) {
    cr_assert_eq(tern_archive_segment_base(0, 307200, 65536, 131072), 262144);
    cr_assert_eq(tern_archive_segment_base(65568, 65568, 65536, 131072), 65536);
    cr_assert_eq(tern_archive_segment_base(65568, 250016, 65536, 131072), 196608);
}

Test(archive_helpers, every_code_has_a_name_and_parameters_begin_with_nulls) {
    for (int64_t code = 0; code <= TERN_ARCHIVE_ERROR_INVALID_POSITION; code++) {
        cr_assert_str_neq(tern_archive_error_name(code), "unknown error");
    }
    cr_assert_str_eq(tern_archive_error_name(17), "unknown error");
    cr_assert_str_eq(tern_archive_error_name(-1), "unknown error");
    cr_assert_str_eq(tern_archive_signal_name(TERN_ARCHIVE_SIGNAL_REPLICATE_END), "REPLICATE_END");

    struct tern_archive_replay_params replay;
    tern_archive_replay_params_init(&replay, 7, "aeron:ipc", 5);
    cr_assert_eq(replay.position, TERN_ARCHIVE_NULL);
    cr_assert_eq(replay.length, TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW);
    cr_assert_eq(replay.bounding_counter_id, TERN_NULL_COUNTER_ID);
    struct tern_archive_replicate_params replicate;
    tern_archive_replicate_params_init(&replicate, 7, "aeron:ipc", 10);
    cr_assert_eq(replicate.destination_recording_id, TERN_ARCHIVE_NULL);
    cr_assert_eq(replicate.replication_session_id, -1);
    cr_assert_null(replicate.live_destination);
}

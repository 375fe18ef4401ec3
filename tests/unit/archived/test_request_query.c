/* Listings, positions, find-last, update-channel. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/listing.h"
#include "tests/unit/archived/world.h"

static char *const no_settings[] = {NULL};

static int64_t recorded(struct world *world, const char *channel) {
    int64_t id;
    tern_exclusive_publication *publication = world_record(world, channel, 1, &id);
    (void)world_stop(world, publication);
    return id;
}

static int64_t result_of(struct world *world, int64_t sent) {
    int64_t result;
    int code = world_answer(world, sent, &result);
    return code != 0 ? code : result;
}

/* Wait for the end of a listing that finds fewer than it wanted; the relevant id. */
static int64_t listing_end_of(struct world *world, int64_t sent,
                              enum tern_archive_response_code code) {
    cr_assert_geq(sent, 0);
    world_wait(world, world->response_count > 0);
    struct tern_archive_response response = world->responses[0];
    world->response_count = 0;
    cr_assert_eq(response.correlation_id, sent);
    cr_assert_eq(response.code, code);
    return response.relevant_id;
}

Test(request_query, listings_end_where_the_catalog_does) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_archive *archive = world.archive;
    for (int i = 0; i < 5; i++) {
        (void)recorded(&world, i % 2 == 0 ? "aeron:ipc?term-length=64k|alias=even"
                                          : "aeron:ipc?term-length=64k|alias=odd");
    }
    int64_t sent = tern_archive_send_list_recordings(archive, 3, 10);
    cr_assert_eq(listing_end_of(&world, sent, TERN_ARCHIVE_RECORDING_UNKNOWN), 5);
    cr_assert_eq(world.recording_count, 2);
    cr_assert_eq(world.recordings[0].recording_id, 3);
    cr_assert_eq(world.recordings[1].recording_id, 4);
    world.recording_count = 0;

    sent = tern_archive_send_list_recordings_for_uri(archive, 0, 10, "alias=odd", WORLD_STREAM);
    (void)listing_end_of(&world, sent, TERN_ARCHIVE_RECORDING_UNKNOWN);
    cr_assert_eq(world.recording_count, 2);
    cr_assert_eq(world.recordings[1].recording_id, 3);
    world.recording_count = 0;
    sent = tern_archive_send_list_recordings_for_uri(archive, 0, 10, "", WORLD_STREAM + 1);
    (void)listing_end_of(&world, sent, TERN_ARCHIVE_RECORDING_UNKNOWN);
    cr_assert_eq(world.recording_count, 0);

    sent = tern_archive_send_list_recording(archive, 9);
    cr_assert_eq(listing_end_of(&world, sent, TERN_ARCHIVE_RECORDING_UNKNOWN), 9);
    cr_assert_geq(tern_archive_send_list_recording(archive, 2), 0);
    world_wait(&world, world.recording_count == 1);
    cr_assert_eq(world.recordings[0].recording_id, 2);
    cr_assert_eq(result_of(&world, tern_archive_send_list_recordings(archive, 0, -1)),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    world_close(&world);
}

Test(request_query, a_second_listing_is_refused_while_one_waits_for_its_reader) {
    struct world world;
    world_open(&world, no_settings);
    for (int i = 0; i < 3; i++) {
        (void)recorded(&world, "aeron:ipc?term-length=64k");
    }
    /* both are in the control stream before the archive looks */
    int64_t first = tern_archive_send_list_recordings(world.archive, 0, 3);
    int64_t second = tern_archive_send_list_recordings(world.archive, 0, 3);
    cr_assert_geq(first, 0);
    cr_assert_eq(result_of(&world, second),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_ACTIVE_LISTING);
    world_wait(&world, world.recording_count == 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(world.recordings[i].correlation_id, first);
        cr_assert_eq(world.recordings[i].recording_id, i);
    }
    world_close(&world);
}

struct listed {
    int64_t correlation_id;
    int count;
};

static void on_listed(void *context, const struct tern_archive_recording *recording) {
    struct listed *listed = context;
    cr_assert_eq(recording->correlation_id, listed->correlation_id);
    cr_assert_eq(recording->recording_id, listed->count);
    cr_assert_eq(recording->start_position, 32 * listed->count);
    listed->count++;
}

/* Known bug 25 of the original: a descriptor that the response stream refused for want of window
 * was followed by a wrong one. */
Test(request_query, a_response_stream_without_window_gets_each_descriptor_once_and_in_order) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_error error = {0};
    for (int i = 0; i < 500; i++) {
        int64_t id;
        const struct archive_catalog_record record = {.start_position = 32 * i,
                                                      .stop_position = 32 * i,
                                                      .segment_file_length = 65536,
                                                      .term_buffer_length = 65536,
                                                      .mtu_length = 1408,
                                                      .stream_id = 5,
                                                      .stripped_channel = {"aeron:ipc", 9},
                                                      .original_channel = {"aeron:ipc", 9},
                                                      .source_identity = {"aeron:ipc", 9}};
        cr_assert_eq(catalog_add(&world.server.catalog, &record, &id, &error), 0);
    }
    struct tern_archive *archive = world.archive;
    struct listed listed = {.correlation_id = tern_archive_send_list_recordings(archive, 0, 500)};
    cr_assert_geq(listed.correlation_id, 0);
    world.archive = NULL; /* nobody reads: the window closes in the middle of the listing */
    for (int i = 0; i < 1000; i++) {
        world_step(&world);
    }
    const struct tern_archive_handlers handlers = {.context = &listed, .on_recording = on_listed};
    for (int i = 0; i < 5000 && listed.count < 500; i++) {
        (void)tern_archive_poll(archive, &handlers);
        world_step(&world);
        cr_assert(i > 0 || listed.count < 500);
    }
    cr_assert_eq(listed.count, 500);
    world.archive = archive;
    cr_assert_eq(result_of(&world, tern_archive_send_archive_id(archive)), 42);
    world_close(&world);
}

Test(request_query, positions_say_null_where_there_is_none) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_archive *archive = world.archive;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 3, &id);
    world_wait(&world, world_position(&world, id) == 3072);
    cr_assert_eq(result_of(&world, tern_archive_send_start_position(archive, id)), 0);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(archive, id)), -1);
    cr_assert_eq(result_of(&world, tern_archive_send_recording_position(archive, id)), 3072);
    (void)world_stop(&world, publication);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(archive, id)), 3072);
    cr_assert_eq(result_of(&world, tern_archive_send_recording_position(archive, id)), -1);
    cr_assert_eq(result_of(&world, tern_archive_send_max_recorded_position(archive, id)), 3072);
    int64_t unknown = TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING;
    cr_assert_eq(result_of(&world, tern_archive_send_start_position(archive, 9)), unknown);
    cr_assert_eq(result_of(&world, tern_archive_send_recording_position(archive, 9)), unknown);
    cr_assert_eq(result_of(&world, tern_archive_send_max_recorded_position(archive, 9)), unknown);
    world_close(&world);
}

Test(request_query, the_last_match_is_found_and_a_channel_can_be_changed) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_archive *archive = world.archive;
    int64_t first = recorded(&world, "aeron:ipc?term-length=64k|alias=a|session-id=7");
    int64_t second = recorded(&world, "aeron:ipc?term-length=64k|alias=b|session-id=8");
    cr_assert_eq(
        result_of(&world, tern_archive_send_find_last_matching(archive, 0, "ipc", WORLD_STREAM, 8)),
        second);
    cr_assert_eq(result_of(&world, tern_archive_send_find_last_matching(archive, 0, "alias=a",
                                                                        WORLD_STREAM, 8)),
                 -1);
    cr_assert_eq(result_of(&world, tern_archive_send_find_last_matching(archive, -1, "ipc",
                                                                        WORLD_STREAM, 8)),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING);
    cr_assert_eq(result_of(&world, tern_archive_send_update_channel(
                                       archive, first, "aeron:udp?endpoint=localhost:9|alias=new")),
                 0);
    cr_assert_eq(result_of(&world, tern_archive_send_find_last_matching(archive, 0, "alias=new",
                                                                        WORLD_STREAM, 7)),
                 first);
    cr_assert_eq(result_of(&world, tern_archive_send_update_channel(archive, first, "nonsense")),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    int64_t sent = tern_archive_send_update_channel(archive, 9, "aeron:ipc");
    cr_assert_eq(listing_end_of(&world, sent, TERN_ARCHIVE_RECORDING_UNKNOWN), 9);
    world_expect_replay(&world, first, 1);
    world_close(&world);
}

Test(request_query, subscriptions_are_stopped_by_channel_id_or_recording) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_archive *archive = world.archive;
    int64_t unknown = TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_SUBSCRIPTION;
    int64_t subscription_id = result_of(
        &world, tern_archive_send_start_recording(archive, "aeron:ipc?alias=x", WORLD_STREAM,
                                                  TERN_ARCHIVE_SOURCE_LOCAL, false));
    cr_assert_geq(subscription_id, 0);
    cr_assert_eq(
        result_of(&world, tern_archive_send_start_recording(archive, "aeron:ipc", WORLD_STREAM,
                                                            TERN_ARCHIVE_SOURCE_LOCAL, false)),
        TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_ACTIVE_SUBSCRIPTION);
    const struct tern_archive_list_subscriptions_params all = {.count = 5,
                                                               .channel_fragment = "ipc"};
    int64_t sent = tern_archive_send_list_subscriptions(archive, &all);
    (void)listing_end_of(&world, sent, TERN_ARCHIVE_SUBSCRIPTION_UNKNOWN);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_recording_subscription(archive, 999)),
                 unknown);
    cr_assert_eq(
        result_of(&world, tern_archive_send_stop_recording(archive, "aeron:ipc", WORLD_STREAM + 1)),
        unknown);
    cr_assert_eq(
        result_of(&world, tern_archive_send_stop_recording_subscription(archive, subscription_id)),
        0);
    cr_assert_eq(
        result_of(&world, tern_archive_send_stop_recording(archive, "aeron:ipc", WORLD_STREAM)),
        unknown);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 3, &id);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_recording_by_id(archive, id)), 1);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).recording_id, id);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_recording_by_id(archive, id)), 0);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_recording_by_id(archive, 99)),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING);
    tern_exclusive_publication_close(publication);
    world_close(&world);
}

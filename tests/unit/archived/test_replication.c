/* Replications from an archive to itself, over its own control stream. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/replication.h"
#include "tests/unit/archived/world.h"

static char *const settings[] = {"AERON_ARCHIVE_REPLICATION_CHANNEL=aeron:udp?endpoint=localhost:0",
                                 "AERON_ARCHIVE_MESSAGE_TIMEOUT=2s", NULL};

static struct tern_archive_replicate_params copy_of(int64_t recording_id) {
    struct tern_archive_replicate_params params;
    tern_archive_replicate_params_init(&params, recording_id, "aeron:ipc", 10);
    return params;
}

static int64_t recorded(struct world *world, int count) {
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(world, "aeron:ipc?term-length=64k", count, &id);
    cr_assert_eq(world_stop(world, publication), count * 1024);
    return id;
}

static int64_t replicate(struct world *world, const struct tern_archive_replicate_params *params) {
    int64_t replication_id;
    int code =
        world_answer(world, tern_archive_send_replicate(world->archive, params), &replication_id);
    return code != 0 ? code : replication_id;
}

/* The end of a replication; *error is what came before it, 0 when nothing did. */
static void await_end(struct world *world, int64_t replication_id, int64_t *error) {
    cr_assert_geq(replication_id, 0);
    cr_assert_eq(world_signal(world, TERN_ARCHIVE_SIGNAL_REPLICATE_END).correlation_id,
                 replication_id);
    *error = 0;
    for (int i = 0; i < world->response_count; i++) {
        if (world->responses[i].correlation_id == replication_id &&
            world->responses[i].code == TERN_ARCHIVE_ERROR) {
            *error = TERN_ERROR_ARCHIVE_BASE - world->responses[i].relevant_id;
        }
    }
    world->response_count = 0;
}

Test(replication, what_cannot_be_copied_is_refused_with_its_code) {
    struct world world;
    world_open(&world, settings);
    int64_t id = recorded(&world, 3);
    int64_t active;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k|alias=b", 1, &active);
    struct {
        struct tern_archive_replicate_params params;
        int64_t code;
    } cases[7];
    for (int i = 0; i < 7; i++) {
        cases[i].params = copy_of(id);
        cases[i].code = TERN_ARCHIVE_ERROR_GENERIC;
    }
    cases[0].params.destination_recording_id = 99;
    cases[0].code = TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING;
    cases[1].params.destination_recording_id = active;
    cases[1].code = TERN_ARCHIVE_ERROR_ACTIVE_RECORDING;
    cases[2].params.live_destination = "aeron:udp?endpoint=localhost:7";
    cases[3].params.channel_tag_id = 5;
    cases[4].params.replication_channel = "aeron:udp?control-mode=response|control=localhost:7";
    cases[5].params.replication_channel = "nonsense";
    cases[6].params.source_control_channel = "nonsense";
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(replicate(&world, &cases[i].params), TERN_ERROR_ARCHIVE_BASE - cases[i].code,
                     "case %d", i);
    }
    int64_t result;
    cr_assert_eq(
        world_answer(&world, tern_archive_send_stop_replication(world.archive, 12345), &result),
        TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_REPLICATION);
    cr_assert_eq(world.server.replications.count, 0);
    tern_exclusive_publication_close(publication);
    world_close(&world);
}

Test(replication, a_source_without_the_recording_or_without_an_archive_ends_it) {
    struct world world;
    world_open(&world, settings);
    int64_t error;
    struct tern_archive_replicate_params params = copy_of(77);
    await_end(&world, replicate(&world, &params), &error);
    cr_assert_eq(error, TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING);
    params = copy_of(recorded(&world, 2));
    params.source_control_stream_id = 4711; /* nobody there */
    await_end(&world, replicate(&world, &params), &error);
    cr_assert_eq(error, TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_REPLICATION_CONNECTION);
    cr_assert_eq(world.server.replications.count, 0);
    world_close(&world);
}

/* Known bug 25 of the original: who hears SYNC must find the copy complete. */
Test(replication, when_sync_is_told_the_copy_is_complete) {
    struct world world;
    world_open(&world, settings);
    int64_t id = recorded(&world, 150);
    const struct tern_archive_replicate_params params = copy_of(id);
    int64_t replication_id = replicate(&world, &params);
    int64_t copy = world_signal(&world, TERN_ARCHIVE_SIGNAL_REPLICATE).recording_id;
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_EXTEND).recording_id, copy);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_SYNC).position, 150 * 1024);
    cr_assert_eq(world_position(&world, copy), 150 * 1024);
    int64_t error;
    await_end(&world, replication_id, &error);
    cr_assert_eq(error, 0);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).position, 150 * 1024);
    world_expect_replay(&world, copy, 150);
    world_close(&world);
}

Test(replication, a_copy_can_stop_early_and_be_continued) {
    struct world world;
    world_open(&world, settings);
    int64_t id = recorded(&world, 100);
    struct tern_archive_replicate_params params = copy_of(id);
    params.stop_position = 30 * 1024;
    int64_t error;
    await_end(&world, replicate(&world, &params), &error);
    cr_assert_eq(error, 0);
    struct tern_archive_signal stopped = world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP);
    cr_assert_eq(stopped.position, 30 * 1024);
    world.signal_count = 0;
    world_expect_replay(&world, stopped.recording_id, 30);

    params = copy_of(id);
    params.destination_recording_id = stopped.recording_id;
    int64_t replication_id = replicate(&world, &params);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_SYNC).position, 100 * 1024);
    await_end(&world, replication_id, &error);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP);
    world_expect_replay(&world, stopped.recording_id, 100);

    world.signal_count = 0; /* once more: there is nothing to do */
    replication_id = replicate(&world, &params);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_SYNC).position, 100 * 1024);
    await_end(&world, replication_id, &error);
    cr_assert_eq(error, 0);
    world_close(&world);
}

Test(replication, of_an_active_recording_goes_on_until_it_is_stopped) {
    struct world world;
    world_open(&world, settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    const struct tern_archive_replicate_params params = copy_of(id);
    int64_t replication_id = replicate(&world, &params);
    int64_t copy = world_signal(&world, TERN_ARCHIVE_SIGNAL_REPLICATE).recording_id;
    world_wait(&world, world_position(&world, copy) == 10 * 1024);
    char message[992];
    memset(message, 'k', sizeof message);
    (void)world_offer(&world, publication, message, sizeof message);
    world_wait(&world, world_position(&world, copy) == 11 * 1024);
    int64_t result;
    cr_assert_eq(world_answer(&world,
                              tern_archive_send_stop_replication(world.archive, replication_id),
                              &result),
                 0);
    int64_t error;
    await_end(&world, replication_id, &error);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).recording_id, copy);
    world_expect_replay(&world, copy, 11);
    cr_assert_eq(world_stop(&world, publication), 11 * 1024);
    world_close(&world);
}

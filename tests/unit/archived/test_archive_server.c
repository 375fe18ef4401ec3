/* The archive from outside, through the public client, on a driver of this process. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/recording.h"
#include "tests/unit/archived/world.h"

#define STREAM WORLD_STREAM

static char *const no_settings[] = {NULL};

Test(archive_server, a_stream_is_recorded_listed_replayed_and_truncated) {
    struct world world;
    world_open(&world, no_settings);
    cr_assert_eq(tern_archive_id(world.archive), 42);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 150, &id);
    world_wait(&world, world_position(&world, id) == 150 * 1024);
    int32_t counter = tern_archive_find_counter_by_recording(world.client, id, 42);
    cr_assert_eq(tern_counters_value(tern_client_counters(world.client), counter), 150 * 1024);
    cr_assert_eq(tern_archive_find_counter_by_session(
                     world.client, tern_exclusive_publication_session_id(publication), 42),
                 counter);
    cr_assert_eq(tern_archive_counter_recording_id(world.client, counter), id);
    cr_assert_eq(tern_archive_find_counter_by_recording(world.client, id, 43), -1);
    cr_assert_eq(world_stop(&world, publication), 150 * 1024);
    world_expect_replay(&world, id, 150);

    cr_assert_geq(tern_archive_send_list_recordings(world.archive, 0, 1), 0);
    world_wait(&world, world.recording_count == 1);
    cr_assert_eq(world.recordings[0].stop_position, 150 * 1024);
    cr_assert_eq(world.recordings[0].stream_id, STREAM);

    int64_t files;
    cr_assert_eq(
        world_answer(&world, tern_archive_send_truncate_recording(world.archive, id, 512), &files),
        TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    cr_assert_eq(world_position(&world, id), 150 * 1024); /* validated before anything changes */
    cr_assert_eq(world_answer(&world,
                              tern_archive_send_truncate_recording(world.archive, id, 70 * 1024),
                              &files),
                 0);
    cr_assert_eq(files, 1);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    world_expect_replay(&world, id, 70);
    cr_assert_eq(world_answer(&world, tern_archive_send_stop_position(world.archive, 99), &files),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING);
    world_close(&world);
}

Test(archive_server, a_crash_leaves_recordings_whose_end_is_found) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 90, &id);
    world_wait(&world, world_position(&world, id) == 90 * 1024);
    world_crash_archive(&world);
    tern_exclusive_publication_close(publication);
    world_start_archive(&world);
    cr_assert_eq(world_position(&world, id), 90 * 1024);
    world_expect_replay(&world, id, 90);
    world_close(&world);
}

Test(archive_server, a_reported_message_of_zeroes_survives_a_crash_at_any_page) {
    struct world world;
    world_open(&world, no_settings);
    static const char zeroes[1376] = {0};
    for (int count = 1; count <= 6; count++) { /* frames of 1408 bytes over pages of 4096 */
        int64_t id;
        tern_exclusive_publication *publication =
            world_record(&world, "aeron:ipc?term-length=64k", 0, &id);
        for (int i = 0; i < count; i++) {
            (void)world_offer(&world, publication, zeroes, sizeof zeroes);
        }
        world_wait(&world, world_position(&world, id) == count * 1408);
        world_crash_archive(&world);
        tern_exclusive_publication_close(publication);
        world_start_archive(&world);
        cr_assert_eq(world_position(&world, id), count * 1408);
    }
    world_close(&world);
}

/* A store that refuses what the test says. */
static struct {
    int writes_left; /* of segments; -1: no limit */
    int error;
    int syncs;
    int sync_result;
} faults; /* one test per process */

static int limited_write(void *context, int file, const void *buffer, int64_t length,
                         int64_t offset) {
    if (length >= 1024 && faults.writes_left == 0) {
        return faults.error;
    }
    if (length >= 1024 && faults.writes_left > 0) {
        faults.writes_left--;
    }
    return store_system()->pwrite(context, file, buffer, length, offset);
}

static int counted_sync(void *context, int file, bool metadata) {
    faults.syncs++;
    return faults.sync_result != 0 ? faults.sync_result
                                   : store_system()->sync(context, file, metadata);
}

Test(archive_server, a_full_disk_ends_one_recording_with_an_error_and_no_other) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication = world_record(&world, "aeron:ipc?alias=a", 3, &id);
    world_wait(&world, world_position(&world, id) == 3 * 1024);
    faults.writes_left = 2;
    faults.error = -ENOSPC;
    world.store.pwrite = limited_write;
    char message[992] = {'d'};
    for (int i = 0; i < 5; i++) {
        /* One frame per step, so that each is a write. */
        int64_t position = tern_exclusive_publication_offer(publication, message, sizeof message);
        (void)position;
        world_step(&world);
    }
    struct tern_archive_signal stopped = world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP);
    cr_assert_eq(stopped.position, 5 * 1024);
    cr_assert_eq(world.response_count, 1);
    cr_assert_eq(world.responses[0].code, TERN_ARCHIVE_ERROR);
    cr_assert_eq(world.responses[0].relevant_id, TERN_ARCHIVE_ERROR_STORAGE_SPACE);
    cr_assert_eq(world.responses[0].correlation_id, stopped.correlation_id);
    world.response_count = 0;
    tern_exclusive_publication_close(publication);

    faults.writes_left = -1;
    int64_t other;
    publication = world_record(&world, "aeron:ipc?alias=b", 10, &other);
    cr_assert_eq(world_stop(&world, publication), 10 * 1024);
    world_close(&world);
}

Test(archive_server, a_position_is_reported_only_when_it_is_durable) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=1", NULL};
    struct world world;
    world_open(&world, settings);
    world.store.sync = counted_sync;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    world_wait(&world, world_position(&world, id) == 10 * 1024);
    cr_assert_gt(faults.syncs, 0);

    /* many frames that arrived together are one group: one sync */
    faults.syncs = 0;
    char message[992] = {'k'};
    for (int i = 0; i < 20; i++) {
        cr_assert_gt(tern_exclusive_publication_offer(publication, message, sizeof message), 0);
    }
    world_wait(&world, world_position(&world, id) == 30 * 1024);
    cr_assert_eq(faults.syncs, 1);

    faults.sync_result = -EIO;
    cr_assert_gt(tern_exclusive_publication_offer(publication, message, sizeof message), 0);
    world_wait(&world, world.response_count == 1); /* the error; no end is durable yet */
    cr_assert_eq(world.signal_count, 0);
    faults.sync_result = 0;
    struct tern_archive_signal stopped = world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP);
    cr_assert_eq(stopped.position, 30 * 1024); /* more was written, but not durable */
    world.response_count = 0;
    tern_exclusive_publication_close(publication);
    world_close(&world);
}

Test(archive_server, a_driver_that_ends_ends_the_archive_and_leaves_recordings_open) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 5, &id);
    world_wait(&world, world_position(&world, id) == 5 * 1024);
    int work = 0;
    for (int i = 0; i < 60000 && work >= 0; i++) { /* the driver is not stepped any more */
        world.now_ns += WORLD_STEP_NS;
        work = archive_server_do_work(&world.server, world.now_ns);
    }
    cr_assert_lt(work, 0);
    cr_assert_neq(archive_server_failure(&world.server)->text[0], '\0');
    archive_server_close(&world.server);
    world.has_server = false;
    struct catalog catalog;
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_NONE);
    const struct catalog_params params = {.store = store_system(),
                                          .directory = world.conf.dir,
                                          .checksum = &checksum,
                                          .capacity = 65536};
    cr_assert_eq(catalog_open(&catalog, &params, NULL), 0);
    struct archive_catalog_record found;
    cr_assert(catalog_get(&catalog, id, &found));
    cr_assert_eq(found.stop_position, ARCHIVE_NULL);
    catalog_close(&catalog);
    tern_archive_close(world.archive);
    world.archive = NULL;
    tern_exclusive_publication_close(publication);
    world_close(&world);
}

Test(archive_server, a_recording_is_replicated_within_one_archive) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 80, &id);
    cr_assert_eq(world_stop(&world, publication), 80 * 1024);
    struct tern_archive_replicate_params params;
    tern_archive_replicate_params_init(&params, id, "aeron:ipc", 10);
    params.replication_channel = "aeron:udp?endpoint=localhost:0";
    int64_t replication_id;
    cr_assert_eq(
        world_answer(&world, tern_archive_send_replicate(world.archive, &params), &replication_id),
        0);
    int64_t copy = world_signal(&world, TERN_ARCHIVE_SIGNAL_REPLICATE).recording_id;
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_SYNC).position, 80 * 1024);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_REPLICATE_END).correlation_id,
                 replication_id);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).recording_id, copy);
    world_expect_replay(&world, copy, 80);

    params.live_destination = "aeron:udp?endpoint=localhost:1";
    cr_assert_eq(
        world_answer(&world, tern_archive_send_replicate(world.archive, &params), &replication_id),
        TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    world_close(&world);
}

Test(archive_server, clients_of_an_archive_that_is_gone_are_told_and_new_ones_time_out) {
    struct world world;
    world_open(&world, no_settings);
    struct tern_archive *orphan = world.archive;
    world.archive = NULL;
    archive_server_close(&world.server);
    world.has_server = false;
    world_wait(&world, !tern_archive_is_connected(orphan));
    world_wait(&world, tern_archive_poll(orphan, NULL) == -ENOTCONN);
    int64_t sent = tern_archive_send_archive_id(orphan);
    cr_assert(sent == -ENOTCONN || sent == TERN_ERROR_CLOSED, "%ld", (long)sent);
    struct tern_error error = {0};
    int64_t ignored;
    cr_assert_lt(tern_archive_await(orphan, sent, &ignored, &error), 0);
    cr_assert_neq(error.text[0], '\0');
    tern_archive_close(orphan);

    const struct tern_archive_params params = {.client = world.client,
                                               .request_channel = "aeron:ipc",
                                               .response_channel = "aeron:ipc",
                                               .message_timeout_ns = NS_PER_S};
    struct tern_archive_connect *connect;
    cr_assert_eq(tern_archive_connect_begin(&connect, &params, &error), 0);
    int result = 0;
    for (int i = 0; i < 5000 && result == 0; i++) {
        result = tern_archive_connect_poll(connect, world.now_ns, &orphan, &error);
        world_step(&world);
    }
    cr_assert_eq(result, -ETIMEDOUT);
    cr_assert_not_null(strstr(error.text, "the archive to receive requests"), "%s", error.text);

    const struct tern_archive_params wrong = {
        .client = world.client, .request_channel = "ipc", .response_channel = "aeron:ipc"};
    cr_assert_eq(tern_archive_connect_begin(&connect, &wrong, &error), TERN_ERROR_INVALID_URI);
    world_close(&world);
}

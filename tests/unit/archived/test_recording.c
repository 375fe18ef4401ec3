/* What recordings do at their edges: limits, extensions, segment ends, events, checksums, disks
 * that fail. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/recording.h"
#include "client/core.h"
#include "tests/unit/archived/faulty_store.h"
#include "tests/unit/archived/world.h"

static char *const no_settings[] = {NULL};

/* A publication that continues a recording of 64 KiB terms at its stop position. */
static tern_exclusive_publication *continue_at(struct world *world, int64_t position,
                                               int32_t initial_term_id) {
    char channel[160];
    (void)snprintf(channel, sizeof channel,
                   "aeron:ipc?term-length=64k|init-term-id=%d|term-id=%d|term-offset=%d",
                   initial_term_id, initial_term_id + (int32_t)(position / 65536),
                   (int32_t)(position % 65536));
    return world_publish(world, channel, WORLD_STREAM);
}

static int extend(struct world *world, int64_t recording_id, int64_t *sent) {
    const struct tern_archive_extend_params params = {.recording_id = recording_id,
                                                      .channel = "aeron:ipc",
                                                      .stream_id = WORLD_STREAM,
                                                      .location = TERN_ARCHIVE_SOURCE_LOCAL,
                                                      .auto_stop = true};
    int64_t subscription_id;
    *sent = tern_archive_send_extend_recording(world->archive, &params);
    return world_answer(world, *sent, &subscription_id);
}

static int32_t initial_term_id(struct world *world, int64_t recording_id) {
    struct archive_catalog_record record;
    cr_assert(catalog_get(&world->server.catalog, recording_id, &record));
    return record.initial_term_id;
}

Test(recording, an_extension_continues_a_recording_in_its_segment) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    int64_t sent;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 26, &id);
    cr_assert_eq(world_stop(&world, publication), 26 * 1024);
    cr_assert_eq(extend(&world, id, &sent), 0);
    publication = continue_at(&world, 26 * 1024, initial_term_id(&world, id));
    struct tern_archive_signal begun = world_signal(&world, TERN_ARCHIVE_SIGNAL_EXTEND);
    cr_assert_eq(begun.recording_id, id);
    cr_assert_eq(begun.correlation_id, sent);
    cr_assert_eq(begun.position, 26 * 1024);
    cr_assert_eq(extend(&world, id, &sent),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_ACTIVE_RECORDING);
    char message[992];
    for (int i = 0; i < 52; i++) {
        memset(message, 'a' + i % 26, sizeof message);
        (void)world_offer(&world, publication, message, sizeof message);
    }
    cr_assert_eq(world_stop(&world, publication), 78 * 1024);
    world_expect_replay(&world, id, 78);
    world_close(&world);
}

Test(recording, a_stream_that_does_not_continue_the_recording_is_refused) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    int64_t sent;
    int64_t result;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 4, &id);
    cr_assert_eq(world_stop(&world, publication), 4096);
    cr_assert_eq(extend(&world, id, &sent), 0);
    publication = continue_at(&world, 8192, initial_term_id(&world, id));
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_INVALID_EXTENSION);
    cr_assert_eq(world_position(&world, id), 4096);
    tern_exclusive_publication_close(publication);
    world_expect_replay(&world, id, 4);
    world_close(&world);
}

Test(recording, an_extension_that_the_catalog_cannot_take_ends_before_it_writes) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t id;
    int64_t sent;
    int64_t result;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 4, &id);
    cr_assert_eq(world_stop(&world, publication), 4096);
    cr_assert_eq(extend(&world, id, &sent), 0);
    faulty_store_fail(&faulty, 1, 1, -EIO);
    publication = continue_at(&world, 4096, initial_term_id(&world, id));
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    cr_assert_eq(world.signal_count, 0, "neither EXTEND nor STOP");
    cr_assert_eq(world_position(&world, id), 4096);
    tern_exclusive_publication_close(publication);
    world_expect_replay(&world, id, 4);

    cr_assert_eq(extend(&world, id, &sent), 0);
    publication = continue_at(&world, 4096, initial_term_id(&world, id));
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_EXTEND);
    cr_assert_eq(world_stop(&world, publication), 4096);
    world_close(&world);
}

Test(recording, images_beyond_the_limit_are_refused_and_the_others_go_on) {
    static char *const settings[] = {"AERON_ARCHIVE_MAX_CONCURRENT_RECORDINGS=2", NULL};
    struct world world;
    world_open(&world, settings);
    int64_t subscription_id;
    int64_t sent = tern_archive_send_start_recording(world.archive, "aeron:ipc", WORLD_STREAM,
                                                     TERN_ARCHIVE_SOURCE_LOCAL, false);
    cr_assert_eq(world_answer(&world, sent, &subscription_id), 0);
    tern_exclusive_publication *publications[3];
    for (int i = 0; i < 3; i++) {
        publications[i] = world_publish(&world, "aeron:ipc?term-length=64k", WORLD_STREAM);
    }
    int64_t result;
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_MAX_RECORDINGS);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_START).subscription_id, subscription_id);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_START).subscription_id, subscription_id);
    cr_assert_eq(world.signal_count, 0);
    cr_assert_eq(world.server.catalog.count, 2, "nothing stays of the third");
    char message[992] = {'x'};
    (void)world_offer(&world, publications[1], message, sizeof message);
    cr_assert_eq(world_stop(&world, publications[1]), 1024);
    /* now there is room again */
    tern_exclusive_publication *fourth =
        world_publish(&world, "aeron:ipc?term-length=64k", WORLD_STREAM);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_START);
    tern_exclusive_publication_close(fourth);
    tern_exclusive_publication_close(publications[0]);
    tern_exclusive_publication_close(publications[2]);
    world_close(&world);
}

Test(recording, a_subscription_that_stays_unmaps_the_streams_that_went_away) {
    struct world world;
    world_open(&world, no_settings);
    int64_t subscription_id;
    int64_t sent = tern_archive_send_start_recording(world.archive, "aeron:ipc", WORLD_STREAM,
                                                     TERN_ARCHIVE_SOURCE_LOCAL, false);
    cr_assert_eq(world_answer(&world, sent, &subscription_id), 0);
    size_t log_count = world.server.client->logs.count;
    for (int i = 0; i < 3; i++) {
        tern_exclusive_publication *publication =
            world_publish(&world, "aeron:ipc?term-length=64k", WORLD_STREAM);
        (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_START);
        (void)world_stop(&world, publication);
    }
    world_wait(&world, world.server.client->logs.count == log_count);
    world_close(&world);
}

/* Some messages over the end of the next segment, as far as they are taken. */
static void offer_some(struct world *world, tern_exclusive_publication *publication, int first,
                       int end) {
    char message[992];
    for (int i = first; i < end; i++) {
        memset(message, 'a' + i % 26, sizeof message);
        int64_t result = TERN_PUBLICATION_ADMIN_ACTION;
        for (int attempt = 0; attempt < 3 && result < 0; attempt++) {
            result = tern_exclusive_publication_offer(publication, message, sizeof message);
            world_step(world);
        }
    }
    for (int i = 0; i < 50; i++) {
        world_step(world);
    }
}

Test(recording, a_disk_that_fails_at_any_call_loses_nothing_that_was_reported) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=2",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=2", NULL};
    struct world world;
    struct faulty_store faulty;
    world_open(&world, settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int failures = 0;
    for (int at = 1; at <= 14; at++) {
        int64_t id;
        char channel[64];
        (void)snprintf(channel, sizeof channel, "aeron:ipc?term-length=64k|alias=a%d", at);
        tern_exclusive_publication *publication = world_record(&world, channel, 60, &id);
        world_wait(&world, world_position(&world, id) == 60 * 1024);
        faulty_store_fail(&faulty, at, 1, -EIO);
        offer_some(&world, publication, 60, 70); /* over the end of a segment */
        int64_t reported = world_position(&world, id);
        faulty_store_fail(&faulty, 0, 0, -EIO);
        cr_assert_geq(reported, 60 * 1024);
        failures += reported < 70 * 1024;
        cr_assert_eq(world_stop(&world, publication), reported);
        world.response_count = 0; /* the error */
        world_expect_replay(&world, id, (int)(reported / 1024));

        int64_t sent;
        cr_assert_eq(extend(&world, id, &sent), 0);
        publication = continue_at(&world, reported, initial_term_id(&world, id));
        (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_EXTEND);
        offer_some(&world, publication, (int)(reported / 1024), 80);
        cr_assert_eq(world_stop(&world, publication), 80 * 1024, "failed at call %d", at);
        world_expect_replay(&world, id, 80);
    }
    cr_assert_gt(failures, 5);
    world_close(&world);
}

static int64_t stop_in_catalog(const struct world *world, int64_t recording_id) {
    struct archive_catalog_record record;
    cr_assert(catalog_get(&world->server.catalog, recording_id, &record));
    return record.stop_position;
}

static void extend_by(struct world *world, int64_t id, int first, int end, bool stops) {
    int64_t sent;
    cr_assert_eq(extend(world, id, &sent), 0);
    tern_exclusive_publication *publication =
        continue_at(world, first * 1024, initial_term_id(world, id));
    (void)world_signal(world, TERN_ARCHIVE_SIGNAL_EXTEND);
    offer_some(world, publication, first, end);
    cr_assert_eq(world_position(world, id), end * 1024);
    if (stops) {
        cr_assert_eq(world_stop(world, publication), end * 1024);
    } else {
        world_crash_archive(world);
        tern_exclusive_publication_close(publication);
    }
}

/* Recovery goes by what the writer of a recording did, not by what this run would do. Frames of
 * several sessions are near its end; with the writer's last life it crashes. */
Test(recording, checksums_can_be_switched_between_a_crash_and_the_next_start) {
    for (int before = CHECKSUM_NONE; before <= CHECKSUM_CRC32C; before++) {
        for (int after = CHECKSUM_NONE; after <= CHECKSUM_CRC32C; after++) {
            struct world world;
            world_open(&world, no_settings);
            world_stop_archive(&world);
            world.conf.record_checksum = before;
            world_start_archive(&world);
            int64_t id;
            tern_exclusive_publication *publication =
                world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
            cr_assert_eq(world_stop(&world, publication), 20 * 1024);
            extend_by(&world, id, 20, 70, true);
            extend_by(&world, id, 70, 75, false);
            world.conf.record_checksum = after;
            world_start_archive(&world);
            cr_assert_eq(stop_in_catalog(&world, id), 75 * 1024, "from %d to %d", before, after);
            world_expect_replay(&world, id, 75);
            world_close(&world);
        }
    }
}

Test(recording, checksums_can_be_switched_before_an_extension_that_crashes) {
    for (int before = CHECKSUM_NONE; before <= CHECKSUM_CRC32C; before++) {
        for (int after = CHECKSUM_NONE; after <= CHECKSUM_CRC32C; after++) {
            struct world world;
            world_open(&world, no_settings);
            world_stop_archive(&world);
            world.conf.record_checksum = before;
            world_start_archive(&world);
            int64_t id;
            tern_exclusive_publication *publication =
                world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
            cr_assert_eq(world_stop(&world, publication), 20 * 1024);
            extend_by(&world, id, 20, 70, true);
            world_stop_archive(&world);
            world.conf.record_checksum = after;
            world_start_archive(&world);
            extend_by(&world, id, 70, 75, false);
            world_start_archive(&world);
            cr_assert_eq(stop_in_catalog(&world, id), 75 * 1024, "from %d to %d", before, after);
            world_expect_replay(&world, id, 75);
            extend_by(&world, id, 75, 80, false);
            world_start_archive(&world);
            cr_assert_eq(stop_in_catalog(&world, id), 80 * 1024, "from %d to %d", before, after);
            world_close(&world);
        }
    }
}

/* Found by the simulation: the next start finds all that was written, which may be more than was
 * told when the catalog could not take it. */
Test(recording, an_end_is_told_when_the_catalog_has_it_and_not_before) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=1", NULL};
    struct world world;
    struct faulty_store faulty;
    world_open(&world, settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
    world_wait(&world, world_position(&world, id) == 20 * 1024);
    faulty_store_fail(&faulty, 2, 1000, -EIO); /* call 1 writes the frame, 2 is its sync */
    offer_some(&world, publication, 20, 21);
    tern_exclusive_publication_close(publication);
    for (int i = 0; i < 1000; i++) {
        world_step(&world);
    }
    cr_assert_eq(world.signal_count, 0);
    cr_assert_eq(stop_in_catalog(&world, id), ARCHIVE_NULL);
    cr_assert_eq(world_position(&world, id), 20 * 1024);
    cr_assert_leq(faulty.calls, 2 + 4 * 11, "ten times per second, not in every cycle");
    faulty_store_fail(&faulty, 0, 0, -EIO);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).position, 20 * 1024);
    cr_assert_eq(stop_in_catalog(&world, id), 20 * 1024);
    world_stop_archive(&world);
    world_start_archive(&world);
    world_expect_replay(&world, id, 20);
    world_close(&world);
}

/* A leader of a cluster whose log is not recorded any more must hear of it and be able to end it.
 */
Test(recording, without_auto_stop_a_failed_one_holds_its_publisher_until_it_is_stopped) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t subscription_id;
    int64_t result;
    int64_t sent = tern_archive_send_start_recording(world.archive, "aeron:ipc", WORLD_STREAM,
                                                     TERN_ARCHIVE_SOURCE_LOCAL, false);
    cr_assert_eq(world_answer(&world, sent, &subscription_id), 0);
    tern_exclusive_publication *publication =
        world_publish(&world, "aeron:ipc?term-length=64k", WORLD_STREAM);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_START);
    faulty_store_fail(&faulty, 1, 1, -EIO);
    offer_some(&world, publication, 0, 100);
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).position, 0);
    cr_assert_eq(tern_exclusive_publication_offer(publication, "x", 1),
                 TERN_PUBLICATION_BACK_PRESSURED);
    sent = tern_archive_send_stop_recording_subscription(world.archive, subscription_id);
    cr_assert_eq(world_answer(&world, sent, &result), 0);
    world_wait(&world, !tern_exclusive_publication_is_connected(publication));
    tern_exclusive_publication_close(publication);
    world_close(&world);
}

Test(recording, one_that_waits_for_the_catalog_holds_nobody_up) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=1", NULL};
    struct world world;
    struct faulty_store faulty;
    world_open(&world, settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
    world_wait(&world, world_position(&world, id) == 20 * 1024);
    faulty_store_fail(&faulty, 1, 1000000, -EIO);
    offer_some(&world, publication, 20, 21);
    for (int i = 0; i < 1000; i++) {
        world_step(&world);
    }
    cr_assert_eq(world.signal_count, 0);
    cr_assert_not(tern_exclusive_publication_is_connected(publication));
    cr_assert_eq(
        tern_archive_find_counter_by_recording(world.client, id, tern_archive_id(world.archive)),
        TERN_NULL_COUNTER_ID);
    faulty_store_fail(&faulty, 0, 0, -EIO);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_STOP).position, 20 * 1024);
    tern_exclusive_publication_close(publication);
    world_expect_replay(&world, id, 20);
    world_close(&world);
}

Test(recording, an_archive_that_ends_on_a_broken_disk_tells_no_end) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
    world_wait(&world, world_position(&world, id) == 20 * 1024);
    faulty_store_fail(&faulty, 1, 1000, -EIO);
    world_stop_archive(&world);
    faulty_store_fail(&faulty, 0, 0, -EIO);
    tern_exclusive_publication_close(publication);
    world_start_archive(&world);
    cr_assert_eq(stop_in_catalog(&world, id), 20 * 1024);
    world_expect_replay(&world, id, 20);
    world_close(&world);
}

/* A page inside of such a frame can be lost without a trace. */
Test(recording, frames_longer_than_a_page_show_when_they_are_durable) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=1", NULL};
    static const struct {
        int mtu;
        bool is_shown;
    } cases[] = {{4096, true}, {16384, false}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct world world;
        struct faulty_store faulty;
        world_open(&world, settings);
        faulty_store_init(&faulty);
        world.store = faulty.store;
        char channel[64];
        (void)snprintf(channel, sizeof channel, "aeron:ipc?term-length=64k|mtu=%d", cases[i].mtu);
        int64_t id;
        tern_exclusive_publication *publication = world_record(&world, channel, 20, &id);
        world_wait(&world, world_position(&world, id) == 20 * 1024);
        faulty_store_fail(&faulty, 2, 1000, -EIO); /* the sync behind the write */
        offer_some(&world, publication, 20, 21);
        world_crash_archive(&world);
        tern_exclusive_publication_close(publication);
        faulty_store_fail(&faulty, 0, 0, -EIO);
        world_start_archive(&world);
        cr_assert_eq(stop_in_catalog(&world, id), (cases[i].is_shown ? 21 : 20) * 1024);
        world_expect_replay(&world, id, cases[i].is_shown ? 21 : 20);
        world_close(&world);
    }
}

Test(recording, a_changed_byte_is_found_by_the_checksum_of_a_replay) {
    static char *const settings[] = {"AERON_ARCHIVE_RECORD_CHECKSUM=CRC-32C",
                                     "AERON_ARCHIVE_REPLAY_CHECKSUM=CRC-32C", NULL};
    struct world world;
    world_open(&world, settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
    cr_assert_eq(world_stop(&world, publication), 20 * 1024);
    world_expect_replay(&world, id, 20);

    place_write(&world.place, "archive/0-0.rec", "?", 1, 10 * 1024 + 500);
    tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, id, "aeron:ipc", WORLD_REPLAY_STREAM);
    int64_t sent = tern_archive_send_replay(world.archive, &params);
    int64_t result;
    cr_assert_eq(world_answer(&world, sent, &result), 0);
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    tern_subscription_close(subscription);
    world_close(&world);
}

static int64_t little_space(void *context, const char *path) {
    (void)context, (void)path;
    return 5000;
}

Test(recording, a_disk_that_fills_up_is_told_once_and_recordings_go_on) {
    struct world world;
    world_open(&world, no_settings);
    world.conf.storage_threshold = 10240;
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    world.store.usable_space = little_space;
    char message[992] = {'x'};
    for (int i = 0; i < 130; i++) { /* two segment ends */
        (void)world_offer(&world, publication, message, sizeof message);
    }
    world_wait(&world, world_position(&world, id) == 140 * 1024);
    cr_assert_eq(tern_counter_value(world.server.counters[ARCHIVE_COUNTER_ERRORS]), 2);
    int64_t result;
    int64_t sent = tern_archive_send_start_recording(world.archive, "aeron:ipc?alias=b", 5,
                                                     TERN_ARCHIVE_SOURCE_LOCAL, true);
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_STORAGE_SPACE);
    cr_assert_eq(world_stop(&world, publication), 140 * 1024);
    world_close(&world);
}

struct heard {
    struct archive_recording_started started;
    struct archive_recording_stopped stopped;
    int64_t progress;
    int count;
};

static void on_event(void *context, const uint8_t *buffer, int32_t length,
                     const tern_header *header) {
    (void)header;
    struct heard *heard = context;
    struct archive_recording_progress progress;
    heard->count++;
    if (archive_recording_progress_decode(&progress, buffer, length) == 0) {
        cr_assert_gt(progress.position, heard->progress);
        heard->progress = progress.position;
    } else if (archive_recording_started_decode(&heard->started, buffer, length) != 0) {
        cr_assert_eq(archive_recording_stopped_decode(&heard->stopped, buffer, length), 0);
    }
}

Test(recording, events_tell_start_progress_and_stop) {
    static char *const settings[] = {"AERON_ARCHIVE_RECORDING_EVENTS_ENABLED=true",
                                     "AERON_ARCHIVE_RECORDING_EVENTS_CHANNEL=aeron:ipc", NULL};
    struct world world;
    world_open(&world, settings);
    tern_subscription *events = world_subscribe(&world, "aeron:ipc", 30);
    world_wait(&world, tern_subscription_is_connected(events));
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    int32_t session_id = tern_exclusive_publication_session_id(publication);
    cr_assert_eq(world_stop(&world, publication), 10 * 1024);
    struct heard heard = {.stopped.stop_position = -1};
    for (int i = 0; i < 100; i++) {
        (void)tern_subscription_poll(events, on_event, &heard, 10);
        world_step(&world);
    }
    cr_assert_eq(heard.started.recording_id, id);
    cr_assert_eq(heard.started.session_id, session_id);
    cr_assert_eq(heard.started.stream_id, WORLD_STREAM);
    cr_assert_eq(heard.progress, 10 * 1024);
    cr_assert_eq(heard.stopped.stop_position, 10 * 1024);
    cr_assert_geq(heard.count, 3);
    tern_subscription_close(events);
    world_close(&world);
}

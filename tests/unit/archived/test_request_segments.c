/* Requests that shorten recordings and move their files: truncate, purge, detach, attach, migrate;
 * and the deletions that follow. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/deletion.h"
#include "tests/unit/archived/faulty_store.h"
#include "tests/unit/archived/world.h"

#define SEGMENT 65536

static char *const no_settings[] = {NULL};

static int64_t recorded(struct world *world, int count) {
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(world, "aeron:ipc?term-length=64k", count, &id);
    cr_assert_eq(world_stop(world, publication), count * 1024);
    return id;
}

static bool has_file(const struct world *world, int64_t recording_id, int64_t base) {
    char name[64];
    (void)snprintf(name, sizeof name, "archive/%lld-%lld.rec", (long long)recording_id,
                   (long long)base);
    return place_has(&world->place, name);
}

/* The result of a request: relevant id, or the negative code. */
static int64_t result_of(struct world *world, int64_t sent) {
    int64_t result;
    int code = world_answer(world, sent, &result);
    return code != 0 ? code : result;
}

static int64_t refusal(int64_t code) {
    return TERN_ERROR_ARCHIVE_BASE - code;
}

Test(request_segments, detached_segments_can_be_attached_or_deleted) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 200); /* three whole segments and a part of the fourth */
    struct tern_archive *archive = world.archive;
    int64_t generic = refusal(TERN_ARCHIVE_ERROR_GENERIC);
    cr_assert_eq(result_of(&world, tern_archive_send_detach_segments(archive, 9, SEGMENT)),
                 refusal(TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING));
    static const int64_t bad[] = {0, -SEGMENT, SEGMENT - 32, SEGMENT + 1024, 4 * SEGMENT};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(result_of(&world, tern_archive_send_detach_segments(archive, id, bad[i])),
                     generic, "%lld", (long long)bad[i]);
    }
    cr_assert_eq(result_of(&world, tern_archive_send_detach_segments(archive, id, 2 * SEGMENT)), 0);
    cr_assert_eq(result_of(&world, tern_archive_send_start_position(archive, id)), 2 * SEGMENT);
    cr_assert_eq(result_of(&world, tern_archive_send_attach_segments(archive, id)), 2);
    cr_assert_eq(result_of(&world, tern_archive_send_start_position(archive, id)), 0);
    world_expect_replay(&world, id, 200);

    cr_assert_eq(result_of(&world, tern_archive_send_detach_segments(archive, id, SEGMENT)), 0);
    cr_assert_eq(result_of(&world, tern_archive_send_delete_detached_segments(archive, id)), 1);
    cr_assert_eq(world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE).recording_id, id);
    cr_assert(!has_file(&world, id, 0));
    cr_assert_eq(result_of(&world, tern_archive_send_delete_detached_segments(archive, id)), 0);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE); /* at once */
    cr_assert_eq(result_of(&world, tern_archive_send_attach_segments(archive, id)), 0);
    cr_assert_eq(result_of(&world, tern_archive_send_purge_segments(archive, id, 3 * SEGMENT)), 2);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    cr_assert(!has_file(&world, id, 2 * SEGMENT));
    cr_assert(has_file(&world, id, 3 * SEGMENT));
    world_close(&world);
}

Test(request_segments, a_segment_of_somebody_else_is_not_attached) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 150);
    cr_assert_eq(result_of(&world, tern_archive_send_detach_segments(world.archive, id, SEGMENT)),
                 0);
    place_write(&world.place, "archive/0-0.rec", "\xff\xff\xff\x7f", 4, 0);
    cr_assert_eq(result_of(&world, tern_archive_send_attach_segments(world.archive, id)),
                 refusal(TERN_ARCHIVE_ERROR_GENERIC));
    cr_assert_eq(result_of(&world, tern_archive_send_start_position(world.archive, id)), SEGMENT);
    world_close(&world);
}

Test(request_segments, a_purged_recording_is_gone_and_its_id_is_not_used_again) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 70, &id);
    cr_assert_eq(result_of(&world, tern_archive_send_purge_recording(world.archive, id)),
                 refusal(TERN_ARCHIVE_ERROR_ACTIVE_RECORDING));
    cr_assert_eq(result_of(&world, tern_archive_send_truncate_recording(world.archive, id, 0)),
                 refusal(TERN_ARCHIVE_ERROR_ACTIVE_RECORDING));
    (void)world_stop(&world, publication);
    cr_assert_eq(result_of(&world, tern_archive_send_purge_recording(world.archive, id)), 2);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    cr_assert(!has_file(&world, id, 0) && !has_file(&world, id, SEGMENT));
    cr_assert_eq(result_of(&world, tern_archive_send_purge_recording(world.archive, id)),
                 refusal(TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING));
    cr_assert_eq(recorded(&world, 1), id + 1);
    world_stop_archive(&world);
    world_start_archive(&world);
    cr_assert_eq(recorded(&world, 1), id + 2);
    world_close(&world);
}

Test(request_segments, truncation_is_checked_whole_before_anything_changes) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 150);
    static const struct {
        int64_t position;
        int64_t code;
    } cases[] = {
        {-32, TERN_ARCHIVE_ERROR_INVALID_POSITION},
        {151 * 1024, TERN_ARCHIVE_ERROR_INVALID_POSITION},
        {1000, TERN_ARCHIVE_ERROR_INVALID_POSITION},
        {1024 + 64, TERN_ARCHIVE_ERROR_GENERIC}, /* inside a frame */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(result_of(&world, tern_archive_send_truncate_recording(world.archive, id,
                                                                            cases[i].position)),
                     refusal(cases[i].code));
        cr_assert_eq(result_of(&world, tern_archive_send_stop_position(world.archive, id)),
                     150 * 1024);
    }
    world_expect_replay(&world, id, 150);
    cr_assert_eq(
        result_of(&world, tern_archive_send_truncate_recording(world.archive, id, SEGMENT)), 2);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    cr_assert(!has_file(&world, id, SEGMENT));
    world_expect_replay(&world, id, 64);
    cr_assert_eq(result_of(&world, tern_archive_send_truncate_recording(world.archive, id, 0)), 1);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    cr_assert(!has_file(&world, id, 0));
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(world.archive, id)), 0);
    world_close(&world);
}

Test(request_segments, a_file_that_cannot_be_deleted_is_told_and_the_others_go) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t id = recorded(&world, 150);
    faulty_store_fail(&faulty, 2, 1, -EACCES); /* 1 is the catalog */
    int64_t sent = tern_archive_send_purge_recording(world.archive, id);
    cr_assert_eq(result_of(&world, sent), 3);
    cr_assert_eq(result_of(&world, sent), refusal(TERN_ARCHIVE_ERROR_GENERIC));
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    int left = 0;
    for (int64_t base = 0; base < 3 * SEGMENT; base += SEGMENT) {
        left += has_file(&world, id, base);
    }
    cr_assert_eq(left, 1);
    world_close(&world);
}

Test(request_segments, recordings_that_meet_can_be_joined) {
    struct world world;
    world_open(&world, no_settings);
    int64_t front = recorded(&world, 128);
    struct archive_catalog_record record;
    cr_assert(catalog_get(&world.server.catalog, front, &record));
    char channel[160];
    (void)snprintf(channel, sizeof channel,
                   "aeron:ipc?term-length=64k|init-term-id=%d|term-id=%d|term-offset=0",
                   record.initial_term_id, record.initial_term_id + 2);
    int64_t back;
    tern_exclusive_publication *publication = world_record(&world, channel, 30, &back);
    cr_assert_eq(world_stop(&world, publication), 158 * 1024);
    struct tern_archive *archive = world.archive;
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(archive, back, 99)),
                 refusal(TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING));
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(archive, back, back)),
                 refusal(TERN_ARCHIVE_ERROR_GENERIC));
    /* the front has an empty file at the join: it is replaced */
    cr_assert(has_file(&world, front, 2 * SEGMENT));
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(archive, back, front)), 1);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(archive, front)), 158 * 1024);
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(archive, back)), 2 * SEGMENT);
    cr_assert(!has_file(&world, back, 2 * SEGMENT));
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(archive, back, front)),
                 refusal(TERN_ARCHIVE_ERROR_GENERIC), "they do not meet any more");
    world_close(&world);
}

Test(request_segments, a_rename_that_fails_midway_is_undone) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t front = recorded(&world, 128);
    struct archive_catalog_record record;
    cr_assert(catalog_get(&world.server.catalog, front, &record));
    char channel[160];
    (void)snprintf(channel, sizeof channel,
                   "aeron:ipc?term-length=64k|init-term-id=%d|term-id=%d|term-offset=0",
                   record.initial_term_id, record.initial_term_id + 2);
    int64_t back;
    tern_exclusive_publication *publication = world_record(&world, channel, 100, &back);
    cr_assert_eq(world_stop(&world, publication), 228 * 1024);
    faulty_store_fail(&faulty, 2, 1, -EIO); /* the second of two */
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(world.archive, back, front)),
                 refusal(TERN_ARCHIVE_ERROR_GENERIC));
    cr_assert(has_file(&world, back, 2 * SEGMENT) && has_file(&world, back, 3 * SEGMENT));
    cr_assert_eq(result_of(&world, tern_archive_send_stop_position(world.archive, front)),
                 128 * 1024);
    cr_assert_eq(result_of(&world, tern_archive_send_migrate_segments(world.archive, back, front)),
                 2);
    world_close(&world);
}

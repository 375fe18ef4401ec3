/* Starts that fail, and the next that does not (known bug 26 of the original: after a start on a
 * full disk its mark file says "activating" for ever). */
#include <criterion/criterion.h>

#include <errno.h>

#include "tests/unit/archived/faulty_store.h"
#include "tests/unit/archived/world.h"

/* Start, until it serves (true) or gives up; then it is closed. */
static bool try_start(struct world *world, struct tern_error *failure) {
    const struct archive_server_params params = {.conf = &world->conf, .io = world->io, .pid = 1};
    struct archive_server *server = malloc(sizeof *server);
    cr_assert_not_null(server);
    cr_assert_eq(archive_server_init(server, &params, failure), 0);
    int work = 0;
    bool is_ready = false;
    for (int i = 0; i < 20000 && work >= 0 && !is_ready; i++) {
        world_step(world);
        work = archive_server_do_work(server, world->now_ns);
        is_ready = archive_server_is_ready(server);
        cr_assert(is_ready || work < 0 || archive_server_waiting_for(server)[0] != '\0');
    }
    *failure = *archive_server_failure(server);
    archive_server_close(server);
    free(server);
    return is_ready;
}

static void expect_start_after_faults(char *const *settings, const char *wiped) {
    struct world world;
    struct faulty_store faulty;
    world_open(&world, settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 20, &id);
    world_wait(&world, world_position(&world, id) == 20 * 1024);
    world_crash_archive(&world);
    tern_exclusive_publication_close(publication);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    if (wiped != NULL) {
        char path[160];
        (void)snprintf(path, sizeof path, "%s/%s", world.place.directory, wiped);
        cr_assert_eq(remove(path), 0);
    }
    int failures = 0;
    for (int at = 1; at < 50; at++) {
        struct tern_error failure = {0};
        faulty_store_fail(&faulty, at, 1000, -ENOSPC);
        bool is_started = try_start(&world, &failure);
        bool was_hit = faulty.calls >= at;
        failures += !is_started;
        cr_assert(is_started || failure.code == -ENOSPC, "call %d: %s", at, failure.text);
        cr_assert(is_started || failure.text[0] != '\0');
        if (!was_hit) {
            break;
        }
    }
    cr_assert_geq(failures, 1);
    faulty_store_fail(&faulty, 0, 0, -ENOSPC);
    world_start_archive(&world);
    if (wiped == NULL) {
        cr_assert_eq(world_position(&world, id), 20 * 1024);
        world_expect_replay(&world, id, 20);
    }
    world_close(&world);
}

Test(archive_start, a_full_disk_during_the_start_does_not_prevent_the_next) {
    static char *const settings[] = {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1",
                                     "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=1", NULL};
    expect_start_after_faults(settings, NULL);
}

Test(archive_start, a_full_disk_while_the_catalog_is_made_leaves_no_half_of_it) {
    static char *const settings[] = {NULL};
    expect_start_after_faults(settings, "archive/archive.catalog");
}

Test(archive_start, files_of_purged_recordings_go_and_all_others_stay) {
    static char *const no_settings[] = {NULL};
    struct world world;
    struct faulty_store faulty;
    world_open(&world, no_settings);
    faulty_store_init(&faulty);
    world.store = faulty.store;
    int64_t ids[3];
    for (int i = 0; i < 3; i++) {
        tern_exclusive_publication *publication =
            world_record(&world, "aeron:ipc?term-length=64k", 100, &ids[i]);
        (void)world_stop(&world, publication);
    }
    int64_t files;
    faulty_store_fail(&faulty, 2, 1000, -EACCES); /* 1 is the catalog; no file can be deleted */
    cr_assert_eq(
        world_answer(&world, tern_archive_send_purge_recording(world.archive, ids[1]), &files), 0);
    cr_assert_eq(files, 2);
    (void)world_signal(&world, TERN_ARCHIVE_SIGNAL_DELETE);
    world.response_count = 0; /* the errors */
    cr_assert(place_has(&world.place, "archive/1-65536.rec"));
    faulty_store_fail(&faulty, 0, 0, -EACCES);
    cr_assert_eq(world_answer(&world,
                              tern_archive_send_detach_segments(world.archive, ids[0], 65536),
                              &files),
                 0);
    place_write(&world.place, "archive/77-0.rec", "x", 1, 0); /* nobody knows whose it is */
    world_stop_archive(&world);
    world_start_archive(&world);
    cr_assert(!place_has(&world.place, "archive/1-0.rec"));
    cr_assert(!place_has(&world.place, "archive/1-65536.rec"));
    cr_assert(place_has(&world.place, "archive/0-0.rec"), "detached, not deleted");
    cr_assert(place_has(&world.place, "archive/77-0.rec"));
    world_expect_replay(&world, ids[2], 100);
    world_close(&world);
}

static int list_count;

static int count_list(void *context, const char *path, int (*visit)(void *arg, const char *name),
                      void *arg) {
    list_count++;
    return store_system()->list(context, path, visit, arg);
}

Test(archive_start, the_directory_is_listed_once_for_all_recordings_that_were_not_closed) {
    static char *const no_settings[] = {NULL};
    struct world world;
    world_open(&world, no_settings);
    tern_exclusive_publication *publications[5];
    int64_t first;
    publications[0] = world_record(&world, "aeron:ipc?term-length=64k", 100, &first);
    for (int i = 1; i < 5; i++) {
        publications[i] = world_publish(&world, "aeron:ipc?term-length=64k", WORLD_STREAM);
        int64_t end = world_offer(&world, publications[i], "x", 1);
        world_wait(&world, world_position(&world, first + i) == end);
    }
    world_crash_archive(&world);
    for (int i = 0; i < 5; i++) {
        tern_exclusive_publication_close(publications[i]);
    }
    list_count = 0;
    world.store.list = count_list;
    world_start_archive(&world);
    cr_assert_eq(list_count, 1);
    cr_assert_eq(world_position(&world, first + 4), 64);
    world_expect_replay(&world, first, 100);
    world_close(&world);
}

Test(archive_start, what_is_wrong_with_the_directory_is_said) {
    static char *const no_settings[] = {NULL};
    struct world world;
    world_open(&world, no_settings);
    world_stop_archive(&world);
    static const uint8_t nonsense[64] = {7, 7, 7, 7};
    place_write(&world.place, "archive/archive.catalog", nonsense, sizeof nonsense, 0);
    struct tern_error failure = {0};
    cr_assert(!try_start(&world, &failure));
    cr_assert_not_null(strstr(failure.text, "archive.catalog"), "%s", failure.text);
    world_close(&world);
}

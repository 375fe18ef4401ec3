#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "sim/dice.h"
#include "sim/disk.h"

#define DIRECTORY "/tmp"
#define PATH "/tmp/file.bin"

struct fixture {
    struct disk disk;
    struct dice dice;
    int file;
};

static const struct store *open_disk(struct fixture *fixture) {
    fixture->dice = (struct dice){1};
    disk_init(&fixture->disk, dice_random(&fixture->dice));
    const struct store *store = &fixture->disk.table;
    cr_assert_eq(store->open(store->context, PATH, STORE_WRITE | STORE_CREATE, &fixture->file), 0);
    return store;
}

static void lose_power(struct fixture *fixture, double survival) {
    disk_drop_owner(&fixture->disk, 0);
    disk_lose_power(&fixture->disk, survival);
}

/* The byte at `offset` after a loss of power; -1: the file or the byte is not there. */
static int byte_at(struct fixture *fixture, int64_t offset) {
    const struct disk_file *file = disk_find(&fixture->disk, PATH);
    return file == NULL || offset >= file->length ? -1 : file->bytes[offset];
}

Test(disk, what_is_not_synced_may_go_and_what_is_stays) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct store *store = open_disk(fixture);
    cr_assert_eq(store->pwrite(store->context, fixture->file, "abcd", 4, 0), 0);
    cr_assert_eq(store->sync(store->context, fixture->file, false), 0);
    cr_assert_eq(store->sync_directory(store->context, DIRECTORY), 0);
    cr_assert_eq(store->pwrite(store->context, fixture->file, "xy", 2, 1), 0);
    char read[4];
    cr_assert_eq(store->pread(store->context, fixture->file, read, 4, 0), 4);
    cr_assert_eq(memcmp(read, "axyd", 4), 0);
    lose_power(fixture, 0);
    cr_assert_eq(byte_at(fixture, 0), 'a');
    cr_assert_eq(byte_at(fixture, 1), 'b');
    cr_assert_eq(byte_at(fixture, 4), -1);
    disk_close(&fixture->disk);
    free(fixture);
}

Test(disk, a_name_is_gone_when_its_directory_was_not_synced) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct store *store = open_disk(fixture);
    cr_assert_eq(store->pwrite(store->context, fixture->file, "abcd", 4, 0), 0);
    cr_assert_eq(store->sync(store->context, fixture->file, true), 0);
    lose_power(fixture, 0);
    cr_assert_null(disk_find(&fixture->disk, PATH));
    disk_close(&fixture->disk);
    free(fixture);
}

Test(disk, a_rename_over_a_file_happens_as_a_whole_or_not) {
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fixture *fixture = calloc(1, sizeof *fixture);
        const struct store *store = open_disk(fixture);
        int other;
        cr_assert_eq(store->pwrite(store->context, fixture->file, "old", 3, 0), 0);
        cr_assert_eq(store->open(store->context, "/tmp/new", STORE_WRITE | STORE_CREATE, &other),
                     0);
        cr_assert_eq(store->pwrite(store->context, other, "new", 3, 0), 0);
        cr_assert_eq(store->sync(store->context, fixture->file, false), 0);
        cr_assert_eq(store->sync(store->context, other, false), 0);
        cr_assert_eq(store->sync_directory(store->context, DIRECTORY), 0);
        fixture->dice.state = seed;
        cr_assert_eq(store->rename(store->context, "/tmp/new", PATH), 0);
        lose_power(fixture, 1);
        cr_assert(byte_at(fixture, 0) == 'o' || byte_at(fixture, 0) == 'n', "seed %d", (int)seed);
        cr_assert_eq(byte_at(fixture, 0) == 'o', disk_find(&fixture->disk, "/tmp/new") != NULL);
        disk_close(&fixture->disk);
        free(fixture);
    }
}

Test(disk, faults_fail_calls_and_a_full_disk_takes_only_what_needs_no_room) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct store *store = open_disk(fixture);
    cr_assert_eq(store->pwrite(store->context, fixture->file, "abcd", 4, 0), 0);
    fixture->disk.faults = (struct disk_faults){.is_full = true};
    cr_assert_eq(store->pwrite(store->context, fixture->file, "zz", 2, 1), 0);
    cr_assert_eq(store->pwrite(store->context, fixture->file, "zz", 2, 3), -ENOSPC);
    cr_assert_eq(store->allocate(store->context, fixture->file, 0, 100), -ENOSPC);
    cr_assert_eq(store->usable_space(store->context, DIRECTORY), 0);
    fixture->disk.faults = (struct disk_faults){.write_error = 1, .sync_error = 1, .read_error = 1};
    char byte;
    cr_assert_eq(store->pwrite(store->context, fixture->file, "a", 1, 0), -EIO);
    cr_assert_eq(store->sync(store->context, fixture->file, false), -EIO);
    cr_assert_eq(store->pread(store->context, fixture->file, &byte, 1, 0), -EIO);
    cr_assert_eq(fixture->disk.error_count, 5);
    disk_close(&fixture->disk);
    free(fixture);
}

/* The catalog on the simulated disk: it fails, its power goes, its user is killed, at random. What
 * was acknowledged must be there, what failed may or may not have happened, and the file must
 * always be one that the next start opens. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/catalog.h"
#include "base/bits.h"
#include "sim/dice.h"
#include "sim/disk.h"

#define DIRECTORY "/tmp"
#define RECORDINGS_MAX 64
#define VALUES_MAX 40
#define STEPS 60
#define SEED_COUNT 1500

/* The values that a field may have after a crash: the acknowledged one first, then those of changes
 * that failed since. */
struct field {
    int64_t values[VALUES_MAX];
    int count;
};

struct known {
    struct field start;
    struct field stop;
    struct field state; /* the recording is there, or not */
};

struct fixture {
    struct disk disk;
    struct dice dice;
    struct dice disk_dice;
    struct checksum checksum;
    struct catalog catalog;
    struct known known[RECORDINGS_MAX];
    int id_limit;
    int sync_level;
    uint64_t seed;
};

static void set(struct field *field, int64_t value) {
    *field = (struct field){{value}, 1};
}

static void allow(struct field *field, int64_t value) {
    cr_assert_lt(field->count, VALUES_MAX);
    field->values[field->count++] = value;
}

static bool allows(const struct field *field, int64_t value) {
    for (int i = 0; i < field->count; i++) {
        if (field->values[i] == value) {
            return true;
        }
    }
    return false;
}

static void note(struct field *field, int64_t value, int result) {
    if (result == 0) {
        set(field, value);
    } else {
        allow(field, value);
    }
}

static int open_catalog(struct fixture *fixture, struct tern_error *error) {
    const struct catalog_params params = {.store = &fixture->disk.table,
                                          .directory = DIRECTORY,
                                          .checksum = &fixture->checksum,
                                          .capacity = 2048,
                                          .sync_level = fixture->sync_level};
    return catalog_open(&fixture->catalog, &params, error);
}

/* After a crash, with a disk that is well again. */
static void expect_sound(struct fixture *fixture) {
    const struct catalog *catalog = &fixture->catalog;
    unsigned long long seed = fixture->seed;
    cr_assert_eq(catalog->quarantined_count, 0, "seed %llu", seed);
    cr_assert_leq(catalog->next_recording_id, RECORDINGS_MAX);
    fixture->id_limit = max_i32(fixture->id_limit, (int32_t)catalog->next_recording_id);
    for (int id = 0; id < fixture->id_limit; id++) {
        struct known *known = &fixture->known[id];
        struct archive_catalog_record record;
        bool is_there = catalog_get(catalog, id, &record);
        cr_assert(allows(&known->state, is_there), "seed %llu: recording %d is %s", seed, id,
                  is_there ? "there" : "lost");
        set(&known->state, is_there);
        if (!is_there) {
            continue;
        }
        cr_assert(allows(&known->start, record.start_position), "seed %llu: %d starts at %lld",
                  seed, id, (long long)record.start_position);
        cr_assert(allows(&known->stop, record.stop_position), "seed %llu: %d stops at %lld", seed,
                  id, (long long)record.stop_position);
        cr_assert_eq(record.original_channel.length % 7, 0, "seed %llu", seed);
        for (int i = 0; i < record.original_channel.length; i++) {
            cr_assert_eq(record.original_channel.text[i], 'c', "seed %llu", seed);
        }
        set(&known->start, record.start_position);
        set(&known->stop, record.stop_position);
    }
}

static struct archive_catalog_record draw_record(struct fixture *fixture) {
    static char text[701];
    memset(text, 'c', sizeof text - 1);
    const struct text_slice channel = {text, 7 * (int32_t)dice_between(&fixture->dice, 1, 60)};
    return (struct archive_catalog_record){
        .stop_position = ARCHIVE_NULL,
        .segment_file_length = 65536,
        .term_buffer_length = 65536,
        .mtu_length = 1408,
        .stripped_channel = channel,
        .original_channel = channel,
        .source_identity = channel,
    };
}

static void add_one(struct fixture *fixture) {
    const struct archive_catalog_record record = draw_record(fixture);
    struct tern_error error;
    int64_t id = fixture->catalog.next_recording_id;
    if (id >= RECORDINGS_MAX - 1) {
        return;
    }
    int64_t added;
    int result = catalog_add(&fixture->catalog, &record, &added, &error);
    cr_assert(result != 0 || added == id);
    if (fixture->catalog.next_recording_id > id) {
        note(&fixture->known[id].state, true, result);
        set(&fixture->known[id].start, 0);
        set(&fixture->known[id].stop, ARCHIVE_NULL);
        fixture->id_limit = max_i32(fixture->id_limit, (int32_t)id + 1);
    }
}

static void change_one(struct fixture *fixture) {
    struct catalog *catalog = &fixture->catalog;
    struct tern_error error;
    if (catalog->count == 0) {
        return;
    }
    int index = (int)dice_between(&fixture->dice, 0, catalog->count - 1);
    int64_t id = catalog->entries[index].recording_id;
    struct known *known = &fixture->known[id];
    int64_t position = 32 * dice_between(&fixture->dice, 100, INT32_MAX);
    const struct catalog_extension extension = {.recording_id = id};
    struct archive_catalog_record record;
    switch (dice_between(&fixture->dice, 0, 5)) {
    case 0: /* known as stopped whatever the disk says */
        note(&known->stop, position, catalog_recording_stopped(catalog, id, position, 1, &error));
        break;
    case 1:
        note(&known->stop, position, catalog_set_stop_position(catalog, id, position, &error));
        break;
    case 2:
        note(&known->start, position % 3200,
             catalog_set_start_position(catalog, id, position % 3200, &error));
        break;
    case 3:
        note(&known->stop, ARCHIVE_NULL, catalog_extend(catalog, &extension, &error));
        break;
    case 4:
        if (catalog->count > 3) {
            note(&known->state, false,
                 catalog_remove(catalog, id, ARCHIVE_RECORDING_STATE_DELETED, &error));
        }
        break;
    default:
        cr_assert(catalog_get(catalog, id, &record));
        int64_t start = record.start_position;
        int64_t stop = record.stop_position;
        record = draw_record(fixture);
        record.start_position = start;
        record.stop_position = stop;
        int result = catalog_replace(catalog, id, &record, &error);
        note(&known->start, start, result);
        note(&known->stop, stop, result);
        break;
    }
}

/* Kill the user, or the power as well. */
static void crash(struct fixture *fixture) {
    free(fixture->catalog.data); /* no line of it runs */
    free(fixture->catalog.entries);
    disk_drop_owner(&fixture->disk, 0);
    if (fixture->sync_level > 0 && dice_chance(&fixture->dice, 0.5)) {
        disk_lose_power(&fixture->disk, dice_unit(&fixture->dice));
    }
}

static void run_seed(struct fixture *fixture, uint64_t seed) {
    struct tern_error error;
    memset(fixture, 0, sizeof *fixture);
    fixture->seed = seed;
    fixture->dice = (struct dice){seed};
    fixture->disk_dice = (struct dice){seed + 1000000};
    fixture->sync_level = (int)(seed % 3);
    checksum_init(&fixture->checksum, CHECKSUM_CRC32C);
    disk_init(&fixture->disk, dice_random(&fixture->disk_dice));
    for (int id = 0; id < RECORDINGS_MAX; id++) {
        set(&fixture->known[id].state, false);
    }
    cr_assert_eq(open_catalog(fixture, &error), 0);
    for (int i = 0; i < STEPS; i++) {
        bool is_failing = dice_chance(&fixture->dice, 0.3);
        fixture->disk.faults.write_error = is_failing ? dice_unit(&fixture->dice) : 0;
        fixture->disk.faults.sync_error = is_failing ? dice_unit(&fixture->dice) : 0;
        if (dice_chance(&fixture->dice, 0.3)) {
            add_one(fixture);
        } else {
            change_one(fixture);
        }
        if (dice_chance(&fixture->dice, 0.2)) {
            fixture->disk.faults = (struct disk_faults){0};
            crash(fixture);
            int result = open_catalog(fixture, &error);
            cr_assert_eq(result, 0, "seed %llu: %s", (unsigned long long)seed, error.text);
            expect_sound(fixture);
        }
    }
    catalog_close(&fixture->catalog);
    disk_close(&fixture->disk);
}

Test(catalog_crash, whatever_the_disk_did_the_next_start_finds_what_was_acknowledged) {
    struct fixture *fixture = malloc(sizeof *fixture);
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        run_seed(fixture, seed);
    }
    free(fixture);
}

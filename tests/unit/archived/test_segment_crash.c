/* A recording's segments on the simulated disk: written as a recording writes them, block by block
 * with a sync before a position is reported; then the power goes, or the writer is killed, or its
 * disk fails. Recovery must find an end that is not before what was reported, and all frames up to
 * it must be those that were written. With checksums pages may be torn at any byte. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "archived/segment.h"
#include "base/bits.h"
#include "shm/log_buffer.h"
#include "sim/dice.h"
#include "sim/disk.h"
#include "wire/frame.h"

#define DIRECTORY "/tmp"
#define TERM 65536
#define SEGMENT (2 * TERM)
#define LOG_MAX (24 * TERM)
#define SESSION 77
#define SEED_COUNT 1000
#define LIVES 8

struct fixture {
    struct disk disk;
    struct dice dice;
    struct dice disk_dice;
    struct checksum checksum;
    struct segment_place place;
    struct segment_geometry geometry;
    uint8_t log[LOG_MAX]; /* what was written at each position */
    uint8_t buffer[TERM];
    uint64_t seed;
    int64_t position;
    int64_t reported;
    int64_t attempted; /* the end of the last block, written or not */
    int32_t mtu;
    int file;
    bool is_doubtful;
    bool is_dirty;
    struct segment_hold hold;
};

static const struct store *store_of(struct fixture *fixture) {
    return &fixture->disk.table;
}

/* Fill the log from `position` on with frames as a publisher makes them, up to the term's end. */
static int32_t draw_frame(struct fixture *fixture, int64_t position) {
    uint8_t *at = fixture->log + position;
    int32_t left = TERM - (int32_t)(position % TERM);
    int32_t length = (int32_t)dice_scale(&fixture->dice, 32, fixture->mtu);
    int32_t aligned = log_aligned_frame_length(length);
    bool is_padding = aligned > left;
    aligned = is_padding ? left : aligned;
    memset(at, 0, (size_t)aligned);
    const struct frame_header header = {
        .frame_length = is_padding ? left : length,
        .flags = 0xC0,
        .type = is_padding ? FRAME_TYPE_PAD : FRAME_TYPE_DATA,
        .term_offset = (int32_t)(position % TERM),
        .session_id = SESSION,
        .stream_id = 1001,
        .term_id = 3 + (int32_t)(position / TERM),
    };
    memcpy(at, &header, sizeof header);
    if (is_padding) {
        return aligned;
    }
    /* Messages of zeroes, too: a page of them looks like one that is not there. */
    uint8_t fill = dice_chance(&fixture->dice, 0.3) ? 0 : (uint8_t)dice_next(&fixture->dice);
    memset(at + LOG_FRAME_HEADER_LENGTH, fill, (size_t)(length - LOG_FRAME_HEADER_LENGTH));
    if (checksum_is_enabled(&fixture->checksum)) {
        put_i32(at + offsetof(struct frame_header, session_id),
                checksum_compute(&fixture->checksum, at + LOG_FRAME_HEADER_LENGTH,
                                 aligned - LOG_FRAME_HEADER_LENGTH));
    }
    return aligned;
}

/* As recording.c writes a block. */
static int write_block(struct fixture *fixture) {
    int32_t length = 0;
    int64_t base = segment_base_of(&fixture->geometry, fixture->position);
    int32_t frames = (int32_t)dice_between(&fixture->dice, 1, 12);
    bool is_padding = false;
    while (frames-- > 0 && !is_padding &&
           (length == 0 || (fixture->position + length) % TERM != 0)) {
        int64_t at = fixture->position + length;
        int32_t aligned = draw_frame(fixture, at);
        is_padding =
            get_u16(fixture->log + at + offsetof(struct frame_header, type)) == FRAME_TYPE_PAD;
        if (is_padding && length > 0) {
            break; /* a block of its own */
        }
        length += aligned;
    }
    is_padding = get_u16(fixture->log + fixture->position + offsetof(struct frame_header, type)) ==
                 FRAME_TYPE_PAD;
    const uint8_t *block = fixture->log + fixture->position;
    fixture->attempted = fixture->position + length;
    const struct store *store = store_of(fixture);
    int32_t written = is_padding ? LOG_FRAME_HEADER_LENGTH : length;
    bool is_held = !fixture->is_dirty &&
                   segment_holds_headers(&fixture->place, &fixture->checksum, fixture->mtu);
    int32_t held = is_held ? LOG_FRAME_HEADER_LENGTH : 0;
    int result = written == held ? 0
                                 : store->pwrite(store->context, fixture->file, block + held,
                                                 written - held, fixture->position - base + held);
    if (result == 0) {
        if (is_held) {
            segment_hold_header(&fixture->hold, block, fixture->position - base);
        }
        fixture->is_dirty = true;
        fixture->is_doubtful =
            !is_padding && !checksum_is_enabled(&fixture->checksum) &&
            segment_end_is_doubtful(block, length, fixture->position - base, fixture->mtu);
        fixture->position += length;
    }
    return result;
}

static int sync_file(struct fixture *fixture) {
    const struct store *store = store_of(fixture);
    if (fixture->place.sync_level == 0) {
        return 0;
    }
    int result = segment_release_header(&fixture->place, fixture->file, &fixture->hold);
    result = result == 0 ? store->sync(store->context, fixture->file, false) : result;
    fixture->is_dirty = fixture->is_dirty && result != 0;
    return result;
}

static int report(struct fixture *fixture) {
    int result = 0;
    if (fixture->is_doubtful) {
        result = fixture->mtu > SEGMENT_PAGE_LENGTH ? sync_file(fixture) : 0;
        result = result == 0 ? segment_write_marker(&fixture->place, &fixture->geometry,
                                                    fixture->file, fixture->position)
                             : result;
        fixture->is_doubtful = false;
        fixture->is_dirty = true;
    }
    result = result == 0 ? sync_file(fixture) : result;
    if (result == 0) {
        fixture->reported = fixture->position;
    }
    return result;
}

static int write_some(struct fixture *fixture) {
    const struct store *store = store_of(fixture);
    int blocks = (int)dice_between(&fixture->dice, 1, 6);
    int result = 0;
    while (result == 0 && blocks-- > 0 && fixture->position < LOG_MAX - TERM) {
        result = write_block(fixture);
        if (result == 0 && fixture->position % SEGMENT == 0) {
            result = sync_file(fixture);
            if (result != 0) {
                break;
            }
            (void)store->close(store->context, fixture->file);
            result = segment_open_write(&fixture->place, &fixture->geometry, fixture->position,
                                        true, &fixture->file);
            if (result != 0) {
                fixture->file = -1;
            }
        }
    }
    return result == 0 ? report(fixture) : result;
}

static int64_t recover(struct fixture *fixture) {
    struct segment_scan scan = {.place = &fixture->place,
                                .geometry = &fixture->geometry,
                                .checksum = &fixture->checksum,
                                .session_id = SESSION,
                                .buffer = fixture->buffer,
                                .buffer_length = sizeof fixture->buffer};
    struct segment_end end;
    struct tern_error error;
    int result =
        segment_highest_base(&fixture->place, fixture->geometry.recording_id, &scan.highest_base);
    result = result == 0 ? segment_find_end(&scan, &end, &error) : result;
    cr_assert_eq(result, 0, "seed %llu: %s", (unsigned long long)fixture->seed, error.text);
    return end.position;
}

/* Every frame up to `end` is what was written. Nobody reads behind the header of a padding. */
static void expect_written(struct fixture *fixture, int64_t end) {
    for (int64_t position = 0; position < end;) {
        const uint8_t *wanted = fixture->log + position;
        int32_t length = log_aligned_frame_length(get_i32(wanted));
        bool is_padding = get_u16(wanted + offsetof(struct frame_header, type)) == FRAME_TYPE_PAD;
        int64_t base = segment_base_of(&fixture->geometry, position);
        char path[SEGMENT_PATH_MAX];
        segment_path(&fixture->place, fixture->geometry.recording_id, base, path);
        const struct disk_file *file = disk_find(&fixture->disk, path);
        cr_assert_not_null(file, "seed %llu: no file for position %lld",
                           (unsigned long long)fixture->seed, (long long)position);
        int32_t compared = is_padding ? LOG_FRAME_HEADER_LENGTH : length;
        cr_assert_leq(position - base + compared, file->length);
        cr_assert_eq(memcmp(file->bytes + (position - base), wanted, (size_t)compared), 0,
                     "seed %llu: the frame at %lld is another one, the end is %lld",
                     (unsigned long long)fixture->seed, (long long)position, (long long)end);
        position += length;
    }
}

static void die(struct fixture *fixture) {
    fixture->disk.faults = (struct disk_faults){0};
    disk_drop_owner(&fixture->disk, 0);
    if (fixture->place.sync_level > 0 && dice_chance(&fixture->dice, 0.7)) {
        disk_lose_power(&fixture->disk, dice_unit(&fixture->dice));
    }
}

static void run_seed(struct fixture *fixture, uint64_t seed) {
    memset(fixture, 0, sizeof *fixture);
    fixture->seed = seed;
    fixture->hold.offset = -1;
    fixture->dice = (struct dice){seed};
    fixture->disk_dice = (struct dice){seed + 1000000};
    disk_init(&fixture->disk, dice_random(&fixture->disk_dice));
    fixture->disk.has_checksums = seed % 2 == 1;
    fixture->mtu = dice_chance(&fixture->dice, 0.5) ? 16384 : 1408;
    checksum_init(&fixture->checksum,
                  fixture->disk.has_checksums ? CHECKSUM_CRC32C : CHECKSUM_NONE);
    fixture->place =
        (struct segment_place){store_of(fixture), DIRECTORY, (int)(seed / 2 % 3), seed / 2 % 3 > 0};
    fixture->geometry = (struct segment_geometry){.recording_id = 7,
                                                  .initial_term_id = 3,
                                                  .stream_id = 1001,
                                                  .term_length = TERM,
                                                  .segment_length = SEGMENT};
    bool is_new = true;
    for (int life = 0; life < LIVES; life++) {
        bool is_failing = dice_chance(&fixture->dice, 0.5);
        int result = segment_open_write(&fixture->place, &fixture->geometry, fixture->position,
                                        is_new, &fixture->file);
        cr_assert_eq(result, 0, "seed %llu", (unsigned long long)seed);
        is_new = false;
        fixture->disk.faults.write_error = is_failing ? 0.1 * dice_unit(&fixture->dice) : 0;
        fixture->disk.faults.sync_error = is_failing ? 0.1 * dice_unit(&fixture->dice) : 0;
        int steps = (int)dice_between(&fixture->dice, 0, 20);
        while (result == 0 && steps-- > 0) {
            result = write_some(fixture);
        }
        if (result == 0 && dice_chance(&fixture->dice, 0.5)) { /* in the middle of a cycle */
            (void)write_block(fixture);
        }
        die(fixture);
        int64_t end = recover(fixture);
        cr_assert_geq(end, fixture->reported, "seed %llu: %lld was reported, the end is %lld",
                      (unsigned long long)seed, (long long)fixture->reported, (long long)end);
        cr_assert_leq(end, fixture->attempted);
        expect_written(fixture, end);
        /* It counts as reported now. */
        fixture->position = fixture->reported = fixture->attempted = end;
        fixture->is_doubtful = fixture->is_dirty = false;
        fixture->hold.offset = -1;
        if (fixture->place.sync_level > 0 && dice_chance(&fixture->dice, 0.5)) {
            die(fixture);
            expect_written(fixture, end);
            cr_assert_eq(recover(fixture), end, "seed %llu", (unsigned long long)seed);
        }
    }
    disk_close(&fixture->disk);
}

Test(segment_crash, recovery_finds_an_end_that_covers_what_was_reported) {
    struct fixture *fixture = malloc(sizeof *fixture);
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        run_seed(fixture, seed);
    }
    free(fixture);
}

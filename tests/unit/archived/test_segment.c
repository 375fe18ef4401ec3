#include <criterion/criterion.h>

#include <errno.h>

#include "archived/segment.h"
#include "shm/log_buffer.h"
#include "tests/unit/archived/place.h"

#define TERM 65536

static struct segment_geometry geometry_of(int64_t start, int32_t segment_length) {
    return (struct segment_geometry){.recording_id = 7,
                                     .start_position = start,
                                     .initial_term_id = 3,
                                     .stream_id = 1001,
                                     .term_length = TERM,
                                     .segment_length = segment_length};
}

Test(segment, bases_follow_the_term_of_the_start_position) {
    struct segment_geometry geometry = geometry_of(0, 2 * TERM);
    cr_assert_eq(segment_base_of(&geometry, 307200), 262144);
    geometry = geometry_of(65568, 2 * TERM);
    cr_assert_eq(segment_base_of(&geometry, 65568), 65536);
    cr_assert_eq(segment_base_of(&geometry, 250016), 196608);
}

Test(segment, names_are_recognised_and_all_others_ignored) {
    static const struct {
        const char *name;
        bool is_one;
        bool deleted;
        int64_t id;
        int64_t base;
    } cases[] = {{"0-0.rec", true, false, 0, 0},
                 {"12-65536.rec", true, false, 12, 65536},
                 {"12-65536.rec.del", true, true, 12, 65536},
                 {"12-65536.del", true, true, 12, 65536},
                 {"archive.catalog", false, false, 0, 0},
                 {"-1-0.rec", false, false, 0, 0},
                 {"1-.rec", false, false, 0, 0},
                 {"1--5.rec", false, false, 0, 0},
                 {"x-5.rec", false, false, 0, 0},
                 {"1-5.rec2", false, false, 0, 0},
                 {"99999999999999999999-0.rec", false, false, 0, 0},
                 {"", false, false, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t id;
        int64_t base;
        bool deleted;
        bool is_one = segment_name_parse(cases[i].name, &id, &base, &deleted);
        cr_assert_eq(is_one, cases[i].is_one, "%s", cases[i].name);
        if (is_one) {
            cr_assert_eq(id, cases[i].id);
            cr_assert_eq(base, cases[i].base);
            cr_assert_eq(deleted, cases[i].deleted);
        }
    }
}

struct fixture {
    struct place place;
    struct segment_place segments;
    struct segment_geometry geometry;
    struct checksum checksum;
    uint8_t buffer[TERM];
};

static void fixture_open(struct fixture *fixture, int64_t start, int32_t segment_length) {
    place_open(&fixture->place);
    fixture->segments = (struct segment_place){store_system(), fixture->place.directory, 0, false};
    fixture->geometry = geometry_of(start, segment_length);
    checksum_init(&fixture->checksum, CHECKSUM_NONE);
}

/* Write a frame at its position, its body filled with `fill`; returns the position behind it. */
static int64_t put_frame(struct fixture *fixture, int64_t position, int32_t frame_length,
                         uint8_t fill) {
    uint8_t frame[TERM];
    int32_t aligned = align_i32(frame_length, 32);
    memset(frame, fill, (size_t)aligned);
    const struct frame_header header = {
        .frame_length = frame_length,
        .flags = 0xC0,
        .type = FRAME_TYPE_DATA,
        .term_offset = (int32_t)(position % TERM),
        .stream_id = 1001,
        .term_id = 3 + (int32_t)(position / TERM),
    };
    memcpy(frame, &header, sizeof header);
    char name[64];
    int64_t base = segment_base_of(&fixture->geometry, position);
    (void)snprintf(name, sizeof name, "7-%ld.rec", (long)base);
    place_write(&fixture->place, name, frame, aligned, position - base);
    return position + aligned;
}

static int scan_end(struct segment_scan *scan, struct segment_end *end, struct tern_error *error) {
    cr_assert_eq(
        segment_highest_base(scan->place, scan->geometry->recording_id, &scan->highest_base), 0);
    return segment_find_end(scan, end, error);
}

static struct segment_end find_end(struct fixture *fixture) {
    struct segment_scan scan = {.place = &fixture->segments,
                                .geometry = &fixture->geometry,
                                .checksum = &fixture->checksum,
                                .buffer = fixture->buffer,
                                .buffer_length = sizeof fixture->buffer};
    struct segment_end end;
    struct tern_error error;
    int result = scan_end(&scan, &end, &error);
    cr_assert_eq(result, 0, "%s", error.text);
    return end;
}

static void make_file(struct fixture *fixture, int64_t position) {
    int file;
    cr_assert_eq(segment_open_write(&fixture->segments, &fixture->geometry, position, true, &file),
                 0);
    cr_assert_eq(store_system()->close(NULL, file), 0);
}

Test(segment, the_end_is_behind_the_last_whole_frame) {
    struct fixture fixture;
    fixture_open(&fixture, 4096, TERM);
    cr_assert_eq(find_end(&fixture).position, 4096); /* no file: empty */

    make_file(&fixture, 4096);
    cr_assert_eq(find_end(&fixture).position, 4096);
    int64_t position = 4096;
    while (position < TERM) { /* 60 frames of 1 KiB */
        position = put_frame(&fixture, position, 1024, 0x55);
        cr_assert_eq(find_end(&fixture).position, position);
    }
    make_file(&fixture, TERM); /* made ahead, empty */
    cr_assert_eq(find_end(&fixture).position, TERM);
    position = put_frame(&fixture, TERM, 100, 1);
    cr_assert_eq(find_end(&fixture).position, TERM + 128);

    /* what is not the frame that belongs there ends the recording */
    (void)put_frame(&fixture, TERM + 128, 100, 1);
    int32_t wrong = 5;
    place_write(&fixture.place, "7-65536.rec", &wrong, 4, 128 + 20); /* term id */
    cr_assert_eq(find_end(&fixture).position, TERM + 128);
    place_close(&fixture.place);
}

Test(segment, an_incomplete_file_before_an_empty_one_holds_the_end) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    make_file(&fixture, 0);
    int64_t position = put_frame(&fixture, 0, 1024, 0x55);
    make_file(&fixture, TERM);
    cr_assert_eq(find_end(&fixture).position, position);
    cr_assert_not(place_has(&fixture.place, "7-65536.rec"));
    cr_assert_eq(place_length(&fixture.place, "7-0.rec"), TERM);
    place_close(&fixture.place);
}

enum proof { NO_PROOF, PROOF_BY_CHECKSUM, PROOF_BY_MARKER };

Test(segment, a_torn_last_frame_is_dropped_unless_something_proves_it_whole) {
    static const struct {
        uint8_t fill; /* body of the last frame, across a page boundary */
        enum proof proof;
        int64_t at;     /* of the last frame */
        int32_t length; /* of the last frame */
        bool is_kept;
    } cases[] = {{0x55, NO_PROOF, 3072, 1408, true},
                 {0, NO_PROOF, 3072, 1408, false},
                 {0, PROOF_BY_CHECKSUM, 3072, 1408, true},
                 {0, PROOF_BY_MARKER, 3072, 1408, true},
                 {0, PROOF_BY_MARKER, TERM - 5120, 5120, true},
                 {0, NO_PROOF, TERM - 5120, 5120, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        fixture_open(&fixture, 0, TERM);
        make_file(&fixture, 0);
        for (int64_t at = 0; at < cases[i].at;) {
            at = put_frame(&fixture, at, 1024, 1);
        }
        int64_t end = put_frame(&fixture, cases[i].at, cases[i].length, cases[i].fill);
        if (end == TERM) {
            make_file(&fixture, TERM);
        }
        if (cases[i].proof == PROOF_BY_CHECKSUM) {
            checksum_init(&fixture.checksum, CHECKSUM_CRC32C);
            uint8_t body[1376] = {0};
            int32_t value = checksum_compute(&fixture.checksum, body, sizeof body);
            place_write(&fixture.place, "7-0.rec", &value, 4, cases[i].at + 12);
        } else if (cases[i].proof == PROOF_BY_MARKER) {
            int file;
            char path[256];
            (void)place_path(&fixture.place, end == TERM ? "7-65536.rec" : "7-0.rec", path);
            cr_assert_eq(store_system()->open(NULL, path, STORE_WRITE, &file), 0);
            cr_assert_eq(segment_write_marker(&fixture.segments, &fixture.geometry, file, end), 0);
            cr_assert_eq(store_system()->close(NULL, file), 0);
        }
        struct segment_end found = find_end(&fixture);
        cr_assert_eq(found.position, cases[i].is_kept ? end : cases[i].at, "case %zu: %ld", i,
                     (long)found.position);
        cr_assert_eq(found.torn_length, cases[i].is_kept ? 0 : cases[i].length);
        static uint8_t bytes[TERM];
        cr_assert_eq(place_read(&fixture.place, "7-0.rec", bytes, TERM), TERM);
        cr_assert_eq(get_i32(bytes + cases[i].at) != 0, cases[i].is_kept);
        place_close(&fixture.place);
    }
}

/* With checksums a frame in one page can be torn, too, and one with whole ones behind it. */
Test(segment, the_first_frame_that_does_not_match_its_checksum_is_the_end) {
    enum { FRAME = 1024, SCAN_BUFFER = 4096, UNSYNCED = 8 * SCAN_BUFFER };
    static const struct {
        int64_t damaged;
        int32_t session_id; /* in the place of the checksum; 0: that is there */
        int64_t end;
    } cases[] = {
        {TERM - FRAME, 0, TERM - FRAME},
        {TERM - 20 * FRAME, 0, TERM - 20 * FRAME},
        {TERM - UNSYNCED, 0, TERM - UNSYNCED},
        {TERM - UNSYNCED - FRAME, 0, TERM}, /* was durable: damage, but not recovery's */
        {TERM - 20 * FRAME, 77, TERM},      /* written when there were no checksums */
        {TERM - 20 * FRAME, 78, TERM - 20 * FRAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        fixture_open(&fixture, 0, 2 * TERM);
        make_file(&fixture, 0);
        checksum_init(&fixture.checksum, CHECKSUM_CRC32C);
        uint8_t body[FRAME - 32];
        memset(body, 0x55, sizeof body);
        int32_t value = checksum_compute(&fixture.checksum, body, sizeof body);
        for (int64_t position = 0; position < TERM; position += FRAME) {
            (void)put_frame(&fixture, position, FRAME, 0x55);
            place_write(&fixture.place, "7-0.rec", &value, 4, position + 12);
        }
        if (cases[i].session_id != 0) {
            place_write(&fixture.place, "7-0.rec", &cases[i].session_id, 4, cases[i].damaged + 12);
        } else {
            place_write(&fixture.place, "7-0.rec", "x", 1, cases[i].damaged + FRAME - 1);
        }
        struct segment_scan scan = {.place = &fixture.segments,
                                    .geometry = &fixture.geometry,
                                    .checksum = &fixture.checksum,
                                    .session_id = 77,
                                    .buffer = fixture.buffer,
                                    .buffer_length = SCAN_BUFFER};
        struct segment_end end;
        cr_assert_eq(scan_end(&scan, &end, NULL), 0);
        cr_assert_eq(end.position, cases[i].end, "case %zu: %ld", i, (long)end.position);
        cr_assert_eq(end.torn_length, TERM - cases[i].end, "case %zu", i);
        cr_assert_eq(scan_end(&scan, &end, NULL), 0);
        cr_assert_eq(end.position, cases[i].end, "case %zu", i);
        place_close(&fixture.place);
    }
}

Test(segment, the_writer_knows_which_ends_recovery_will_doubt) {
    static uint8_t block[3 * 4096];
    static const struct {
        int64_t file_offset;
        int32_t length;
        int32_t set_at; /* a byte that is not zero */
        int32_t mtu_length;
        bool is_doubtful;
    } cases[] = {
        {0, 1024, 0, 1408, false},       /* in one page */
        {3072, 1024, 0, 1408, false},    /* ends with the page */
        {3072, 1056, 0, 1408, true},     /* 32 bytes of zeroes behind the boundary */
        {3072, 1056, 1055, 1408, false}, /* the last byte is not zero */
        {3072, 1056, 1023, 1408, true},  /* only what is before the boundary */
        {0, 9000, 4095, 8192, true},     /* a page in the middle and the end */
        {0, 8224, 8200, 8256, true},     /* only the page in the middle */
        {0, 8992, 8200, 1408, false},    /* what is before the last frame does not matter */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(block, 0, sizeof block);
        block[0] = 1;
        block[cases[i].set_at] = 1;
        cr_assert_eq(segment_end_is_doubtful(block, cases[i].length, cases[i].file_offset,
                                             cases[i].mtu_length),
                     cases[i].is_doubtful, "case %zu", i);
    }
}

Test(segment, opening_for_an_extension_clears_what_stands_behind_the_position) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    make_file(&fixture, 0);
    int64_t position = put_frame(&fixture, 0, 1024, 0x55);
    (void)put_frame(&fixture, position, 1024, 0x55);
    int file;
    cr_assert_eq(segment_open_write(&fixture.segments, &fixture.geometry, position, true, &file),
                 -EEXIST);
    cr_assert_eq(segment_has_frame_at(&fixture.segments, &fixture.geometry, position), 1);
    cr_assert_eq(segment_has_frame_at(&fixture.segments, &fixture.geometry, position + 32), 0);
    cr_assert_eq(segment_has_frame_at(&fixture.segments, &fixture.geometry, TERM), -ENOENT);
    cr_assert_eq(segment_open_write(&fixture.segments, &fixture.geometry, position, false, &file),
                 0);
    cr_assert_eq(store_system()->close(NULL, file), 0);
    cr_assert_eq(find_end(&fixture).position, position);
    cr_assert_eq(place_length(&fixture.place, "7-0.rec"), TERM);
    place_close(&fixture.place);
}

Test(segment, the_active_recording_of_the_golden_directory_ends_where_it_should) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    place_unpack(&fixture.place, "archive_crashed");
    fixture.geometry.stream_id = 1007;
    cr_assert_eq(find_end(&fixture).position, 10272);
    fixture.place.directory[strlen("/tmp/tern-archived-XXXXXX")] = '\0';
    place_close(&fixture.place);
}

static int synced_file_count;
static int synced_directory_count;

static int count_sync(void *context, int file, bool metadata) {
    synced_file_count++;
    return store_system()->sync(context, file, metadata);
}

static int count_directory_sync(void *context, const char *path) {
    synced_directory_count++;
    return store_system()->sync_directory(context, path);
}

static struct store counting_store(void) {
    struct store store = *store_system();
    store.sync = count_sync;
    store.sync_directory = count_directory_sync;
    return store;
}

/* Else a loss of power brings the bytes back, and they pass for frames of the extension. */
Test(segment, what_an_extension_clears_is_durably_gone) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    struct store store = counting_store();
    fixture.segments.store = &store;
    fixture.segments.sync_level = 1;
    make_file(&fixture, 0);
    int64_t position = put_frame(&fixture, 0, 1024, 0x55);
    (void)put_frame(&fixture, position, 1024, 0x55);
    int file;
    cr_assert_eq(segment_open_write(&fixture.segments, &fixture.geometry, position, false, &file),
                 0);
    cr_assert_gt(synced_file_count, 0);
    cr_assert_eq(store_system()->close(NULL, file), 0);
    make_file(&fixture, TERM);
    cr_assert_eq(segment_remove_above(&fixture.segments, &fixture.geometry, position), 0);
    cr_assert_eq(synced_directory_count, 1);
    int64_t highest;
    cr_assert_eq(segment_highest_base(&fixture.segments, 7, &highest), 0);
    cr_assert_eq(highest, 0);
    place_close(&fixture.place);
}

Test(segment, an_end_that_was_found_is_durable_before_it_is_told) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    struct store store = counting_store();
    fixture.segments.store = &store;
    int64_t position = put_frame(&fixture, 0, 1024, 'a');
    cr_assert_eq(find_end(&fixture).position, position);
    cr_assert_eq(synced_file_count, 0, "sync level 0");
    fixture.segments.sync_level = 1;
    cr_assert_eq(find_end(&fixture).position, position);
    cr_assert_eq(synced_file_count, 2); /* the data, then the marker that vouches for it */
    cr_assert_eq(synced_directory_count, 1);
    place_close(&fixture.place);
}

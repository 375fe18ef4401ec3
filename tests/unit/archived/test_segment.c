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

static struct segment_end find_end(struct fixture *fixture, int64_t durable_position) {
    const struct segment_scan scan = {.place = &fixture->segments,
                                      .geometry = &fixture->geometry,
                                      .checksum = &fixture->checksum,
                                      .buffer = fixture->buffer,
                                      .buffer_length = sizeof fixture->buffer,
                                      .durable_position = durable_position};
    struct segment_end end;
    struct tern_error error;
    int result = segment_find_end(&scan, &end, &error);
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
    cr_assert_eq(find_end(&fixture, -1).position, 4096); /* no file: empty */

    make_file(&fixture, 4096);
    cr_assert_eq(find_end(&fixture, -1).position, 4096);
    int64_t position = 4096;
    while (position < TERM) { /* 60 frames of 1 KiB */
        position = put_frame(&fixture, position, 1024, 0x55);
        cr_assert_eq(find_end(&fixture, -1).position, position);
    }
    make_file(&fixture, TERM); /* made ahead, empty */
    cr_assert_eq(find_end(&fixture, -1).position, TERM);
    position = put_frame(&fixture, TERM, 100, 1);
    cr_assert_eq(find_end(&fixture, -1).position, TERM + 128);

    /* what is not the frame that belongs there ends the recording */
    (void)put_frame(&fixture, TERM + 128, 100, 1);
    int32_t wrong = 5;
    place_write(&fixture.place, "7-65536.rec", &wrong, 4, 128 + 20); /* term id */
    cr_assert_eq(find_end(&fixture, -1).position, TERM + 128);
    place_close(&fixture.place);
}

Test(segment, an_incomplete_file_before_an_empty_one_holds_the_end) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    make_file(&fixture, 0);
    int64_t position = put_frame(&fixture, 0, 1024, 0x55);
    make_file(&fixture, TERM);
    cr_assert_eq(find_end(&fixture, -1).position, position);
    cr_assert_not(place_has(&fixture.place, "7-65536.rec"));
    cr_assert_eq(place_length(&fixture.place, "7-0.rec"), TERM);
    place_close(&fixture.place);
}

Test(segment, a_torn_last_frame_is_dropped_unless_it_is_known_to_be_whole) {
    static const struct {
        uint8_t fill;       /* body of the last frame, across a page boundary */
        bool with_checksum; /* stored in the frame */
        int64_t durable;    /* known position */
        bool is_kept;
    } cases[] = {{0x55, false, -1, true},
                 {0, false, -1, false},
                 {0, true, -1, true},
                 {0, false, 3072 + 1408, true},
                 {0, false, 3072, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        fixture_open(&fixture, 0, TERM);
        make_file(&fixture, 0);
        (void)put_frame(&fixture, 0, 3072, 1);
        int64_t end = put_frame(&fixture, 3072, 1408, cases[i].fill);
        if (cases[i].with_checksum) {
            checksum_init(&fixture.checksum, CHECKSUM_CRC32C);
            uint8_t body[1376] = {0};
            int32_t value = checksum_compute(&fixture.checksum, body, sizeof body);
            place_write(&fixture.place, "7-0.rec", &value, 4, 3072 + 12);
        }
        struct segment_end found = find_end(&fixture, cases[i].durable);
        cr_assert_eq(found.position, cases[i].is_kept ? end : 3072, "case %zu", i);
        cr_assert_eq(found.torn_length, cases[i].is_kept ? 0 : 1408);
        static uint8_t bytes[TERM];
        cr_assert_eq(place_read(&fixture.place, "7-0.rec", bytes, TERM), TERM);
        cr_assert_eq(get_i32(bytes + 3072) != 0, cases[i].is_kept);
        place_close(&fixture.place);
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
    cr_assert_eq(find_end(&fixture, -1).position, position);
    cr_assert_eq(place_length(&fixture.place, "7-0.rec"), TERM);
    place_close(&fixture.place);
}

Test(segment, the_active_recording_of_the_golden_directory_ends_where_it_should) {
    struct fixture fixture;
    fixture_open(&fixture, 0, TERM);
    place_unpack(&fixture.place, "archive_crashed");
    fixture.geometry.stream_id = 1007;
    cr_assert_eq(find_end(&fixture, -1).position, 10272);
    fixture.place.directory[strlen("/tmp/tern-archived-XXXXXX")] = '\0';
    place_close(&fixture.place);
}

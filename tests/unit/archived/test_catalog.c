#include <criterion/criterion.h>

#include <errno.h>
#include <unistd.h>

#include "archived/catalog.h"
#include "tests/unit/archived/faulty_store.h"
#include "tests/unit/archived/place.h"

#define TEXT(literal)                                                                              \
    (struct text_slice) {                                                                          \
        (literal), (int32_t)sizeof(literal) - 1                                                    \
    }

static struct checksum no_checksum(void) {
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_NONE);
    return checksum;
}

static struct archive_catalog_record vector_record(void) {
    return (struct archive_catalog_record){
        .start_timestamp = 1700000000000,
        .stop_timestamp = 1700000005000,
        .start_position = 0,
        .stop_position = 1408,
        .initial_term_id = -559038737,
        .segment_file_length = 134217728,
        .term_buffer_length = 65536,
        .mtu_length = 1408,
        .session_id = -123456789,
        .stream_id = 1001,
        .stripped_channel = TEXT("aeron:ipc"),
        .original_channel = TEXT("aeron:ipc?term-length=64k"),
        .source_identity = TEXT("aeron:ipc"),
    };
}

static int open_at(struct catalog *catalog, const struct place *place,
                   const struct checksum *checksum, int64_t capacity) {
    struct tern_error error = {0};
    const struct catalog_params params = {.store = store_system(),
                                          .directory = place->directory,
                                          .checksum = checksum,
                                          .capacity = capacity,
                                          .sync_level = 1};
    int result = catalog_open(catalog, &params, &error);
    cr_assert(result == 0 || error.code == result, "%s", error.text);
    return result;
}

/* archive.md 10.2 */
static const uint8_t vector_bytes[192] =
    {0xa0, 0,    0,        0,           1,    0,           0,    0,           0xd8, 0x0f,
     0x57, 0x6f, [48] = 7, [56] = 0x00, 0x68, 0xe5,        0xcf, 0x8b,        1,    [64] = 0x88,
     0x7b, 0xe5, 0xcf,     0x8b,        1,    [80] = 0x80, 5,    [88] = 0xef, 0xbe, 0xad,
     0xde, 0,    0,        0,           8,    0,           0,    1,           0,    0x80,
     5,    0,    0,        0xeb,        0x32, 0xa4,        0xf8, 0xe9,        3,    0,
     0,    9,    0,        0,           0,    'a',         'e',  'r',         'o',  'n',
     ':',  'i',  'p',      'c',         0x19, 0,           0,    0,           'a',  'e',
     'r',  'o',  'n',      ':',         'i',  'p',         'c',  '?',         't',  'e',
     'r',  'm',  '-',      'l',         'e',  'n',         'g',  't',         'h',  '=',
     '6',  '4',  'k',      9,           0,    0,           0,    'a',         'e',  'r',
     'o',  'n',  ':',      'i',         'p',  'c'};

Test(catalog, a_record_is_byte_for_byte_that_of_the_specification) {
    struct place place;
    place_open(&place);
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_CRC32C);
    struct catalog catalog;
    cr_assert_eq(open_at(&catalog, &place, &checksum, 65536), 0);
    catalog.next_recording_id = 7;
    const struct archive_catalog_record record = vector_record();
    int64_t id;
    cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
    cr_assert_eq(id, 7);

    uint8_t bytes[65536];
    cr_assert_eq(place_read(&place, CATALOG_FILE_NAME, bytes, sizeof bytes), 65536);
    static const uint8_t header[32] = {0, 1, 3, 0, 0x20, 0, 0, 0, 8, [16] = 0x40};
    cr_assert_eq(memcmp(bytes, header, sizeof header), 0);
    cr_assert_eq(memcmp(bytes + 32, vector_bytes, sizeof vector_bytes), 0);

    /* 10.3: the same record as a listing response */
    uint8_t message[256];
    cr_assert_eq(catalog_descriptor(&catalog, 0, 305419896, 13, NULL), 168);
    cr_assert_eq(catalog_descriptor(&catalog, 0, 305419896, 13, message), 168);
    static const uint8_t start[24] = {0x50, 0, 0x16, 0, 0x65, 0, 0x0d, 0, 0x78, 0x56, 0x34, 0x12,
                                      0,    0, 0,    0, 13,   0, 0,    0, 0,    0,    0,    0};
    cr_assert_eq(memcmp(message, start, sizeof start), 0);
    cr_assert_eq(memcmp(message + 24, vector_bytes + 48, 144), 0);
    catalog_close(&catalog);
    place_close(&place);
}

Test(catalog, mutations_change_their_fields_and_survive_reopening) {
    struct place place;
    place_open(&place);
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_CRC32);
    struct catalog catalog;
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    struct archive_catalog_record record = vector_record();
    record.stop_position = record.stop_timestamp = ARCHIVE_NULL;
    int64_t id;
    for (int i = 0; i < 50; i++) { /* 192 bytes each: the file grows by halves */
        cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
        cr_assert_eq(id, i);
    }
    cr_assert_eq(place_length(&place, CATALOG_FILE_NAME), 13824); /* 4096, 6144, 9216, 13824 */
    cr_assert_eq(catalog_recording_stopped(&catalog, 3, 320, 99, NULL), 0);
    cr_assert_eq(catalog_recording_stopped(&catalog, 4, 320, 99, NULL), 0);
    const struct catalog_extension extension = {4, 11, 12, 13};
    cr_assert_eq(catalog_extend(&catalog, &extension, NULL), 0);
    cr_assert_eq(catalog_set_start_position(&catalog, 3, 64, NULL), 0);
    cr_assert_eq(catalog_set_stop_position(&catalog, 3, 96, NULL), 0);
    cr_assert_eq(catalog_remove(&catalog, 5, ARCHIVE_RECORDING_STATE_DELETED, NULL), 0);
    cr_assert_not(catalog_contains(&catalog, 5));
    catalog_close(&catalog);

    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    cr_assert_eq(catalog.count, 49);
    cr_assert_eq(catalog.next_recording_id, 50);
    struct archive_catalog_record found;
    cr_assert(catalog_get(&catalog, 3, &found));
    cr_assert_eq(found.start_position, 64);
    cr_assert_eq(found.stop_position, 96);
    cr_assert_eq(found.stop_timestamp, 99);
    cr_assert(catalog_get(&catalog, 4, &found));
    cr_assert_eq(found.stop_position, ARCHIVE_NULL);
    cr_assert_eq(found.stop_timestamp, ARCHIVE_NULL);
    cr_assert_eq(found.session_id, 13);
    cr_assert_eq(found.control_session_id, 11);
    cr_assert_eq(found.correlation_id, 12);
    cr_assert_not(catalog_get(&catalog, 5, &found));
    cr_assert_not(catalog_get(&catalog, 50, &found));
    cr_assert_eq(catalog_lower_bound(&catalog, 5), 5);
    cr_assert_eq(catalog.entries[5].recording_id, 6);
    catalog_close(&catalog);
    place_close(&place);
}

Test(catalog, a_replaced_record_grows_and_shrinks_without_moving_what_others_say) {
    struct place place;
    place_open(&place);
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_CRC32C);
    struct catalog catalog;
    cr_assert_eq(open_at(&catalog, &place, &checksum, 512), 0);
    struct archive_catalog_record record = vector_record();
    int64_t id;
    for (int i = 0; i < 3; i++) {
        record.stream_id = 100 + i;
        cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
    }
    static char long_text[301];
    memset(long_text, 'x', 300);
    const struct text_slice channels[] = {{long_text, 300}, TEXT("aeron:ipc")};
    for (int round = 0; round < 2; round++) {
        record = vector_record();
        record.stream_id = 101;
        record.original_channel = channels[round];
        cr_assert_eq(catalog_replace(&catalog, 1, &record, NULL), 0);
        catalog_close(&catalog);
        cr_assert_eq(open_at(&catalog, &place, &checksum, 512), 0);
        cr_assert_eq(catalog.count, 3);
        for (int i = 0; i < 3; i++) {
            struct archive_catalog_record found;
            cr_assert(catalog_get(&catalog, i, &found));
            cr_assert_eq(found.recording_id, i);
            cr_assert_eq(found.stream_id, 100 + i);
            const struct text_slice wanted =
                i == 1 ? channels[round] : TEXT("aeron:ipc?term-length=64k");
            cr_assert_eq(found.original_channel.length, wanted.length);
            cr_assert_eq(memcmp(found.original_channel.text, wanted.text, (size_t)wanted.length),
                         0);
            const uint8_t *bytes = catalog.data + catalog.entries[i].offset;
            cr_assert_eq(found.checksum, checksum_compute(&checksum, bytes + 32, found.length));
        }
    }
    catalog_close(&catalog);
    place_close(&place);
}

static void write_i32(const struct place *place, int64_t offset, int32_t value) {
    place_write(place, CATALOG_FILE_NAME, &value, sizeof value, offset);
}

#define MUTATION_COUNT 6

/* Every mutation that must leave all as it was when it fails. */
static int mutate(struct catalog *catalog, int which, int64_t id, struct tern_error *error) {
    const struct catalog_extension extension = {
        .recording_id = id, .control_session_id = 5, .correlation_id = 6, .session_id = 7};
    struct archive_catalog_record record = vector_record();
    record.original_channel = TEXT("aeron:ipc?alias=a-channel-that-makes-the-record-grow-by-much");
    int64_t added;
    switch (which) {
    case 0:
        return catalog_set_stop_position(catalog, id, 64, error);
    case 1:
        return catalog_set_start_position(catalog, id, 64, error);
    case 2:
        return catalog_extend(catalog, &extension, error);
    case 3:
        return catalog_remove(catalog, id, ARCHIVE_RECORDING_STATE_DELETED, error);
    case 4:
        return catalog_replace(catalog, id, &record, error);
    case 5:
        return catalog_add(catalog, &record, &added, error);
    default:
        return 1;
    }
}

static void expect_vector_record(const struct catalog *catalog, int64_t id, const char *when) {
    struct archive_catalog_record found;
    const struct archive_catalog_record wanted = vector_record();
    cr_assert_eq(catalog->count, 1, "%s", when);
    cr_assert(catalog_get(catalog, id, &found), "%s", when);
    cr_assert_eq(found.start_position, wanted.start_position, "%s", when);
    cr_assert_eq(found.stop_position, wanted.stop_position, "%s", when);
    cr_assert_eq(found.session_id, wanted.session_id, "%s", when);
    cr_assert_eq(found.original_channel.length, wanted.original_channel.length, "%s", when);
}

Test(catalog, a_mutation_that_fails_at_any_call_changes_nothing) {
    struct checksum checksum;
    checksum_init(&checksum, CHECKSUM_CRC32C);
    for (int which = 0; which < MUTATION_COUNT; which++) {
        for (int at = 1;; at++) {
            struct place place;
            struct faulty_store faulty;
            struct catalog catalog;
            struct tern_error error = {0};
            char when[64];
            (void)snprintf(when, sizeof when, "mutation %d, call %d", which, at);
            place_open(&place);
            faulty_store_init(&faulty);
            const struct catalog_params params = {.store = &faulty.store,
                                                  .directory = place.directory,
                                                  .checksum = &checksum,
                                                  .capacity = 256,
                                                  .sync_level = 1};
            cr_assert_eq(catalog_open(&catalog, &params, &error), 0, "%s", error.text);
            const struct archive_catalog_record record = vector_record();
            int64_t id;
            cr_assert_eq(catalog_add(&catalog, &record, &id, &error), 0);
            faulty_store_fail(&faulty, at, 1, -EIO);
            int result = mutate(&catalog, which, id, &error);
            bool was_hit = faulty.calls >= at;
            if (result < 0) {
                cr_assert_neq(error.text[0], '\0');
                expect_vector_record(&catalog, id, when);
                faulty_store_fail(&faulty, 0, 0, -EIO);
                catalog_close(&catalog);
                cr_assert_eq(catalog_open(&catalog, &params, &error), 0, "%s", error.text);
                expect_vector_record(&catalog, id, when);
                cr_assert_eq(mutate(&catalog, which, id, &error), 0, "%s", when);
            } else {
                cr_assert(!was_hit, "%s was not noticed", when);
            }
            catalog_close(&catalog);
            place_close(&place);
            if (!was_hit) {
                cr_assert_geq(at, 2, "%s", when);
                break;
            }
        }
    }
}

/* Found by the simulation: a disk that failed inside the very first write, then was well. */
Test(catalog, a_creation_that_broke_off_is_finished_and_other_short_files_are_refused) {
    static const int lengths[] = {1, 3, 8, CATALOG_HEADER_LENGTH - 1};
    const struct checksum checksum = no_checksum();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct place place;
        place_open(&place);
        struct catalog catalog;
        cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
        catalog_close(&catalog);
        char path[CATALOG_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", place.directory, CATALOG_FILE_NAME);
        cr_assert_eq(truncate(path, lengths[i]), 0);
        cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0, "%d bytes", lengths[i]);
        const struct archive_catalog_record record = vector_record();
        int64_t id;
        cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
        catalog_close(&catalog);
        cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
        cr_assert(catalog_contains(&catalog, id));
        catalog_close(&catalog);
        cr_assert_eq(truncate(path, CATALOG_HEADER_LENGTH - 8), 0); /* it has given an id */
        cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), -EBADMSG);
        place_close(&place);
    }
}

Test(catalog, damage_is_refused_repaired_or_set_aside) {
    struct place place;
    place_open(&place);
    const struct checksum checksum = no_checksum();
    struct catalog catalog;
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    const struct archive_catalog_record record = vector_record();
    int64_t id;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
    }
    catalog_close(&catalog);

    /* another major version; a next id that is in use; a broken record in the middle */
    write_i32(&place, 0, 2 << 16);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), TERN_ERROR_VERSION);
    write_i32(&place, 0, ARCHIVE_FILE_VERSION);
    write_i32(&place, 8, 2);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), -EBADMSG);
    write_i32(&place, 8, 3);
    write_i32(&place, 32 + 192 + 112, 1 << 30); /* length of a text */
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), -EBADMSG);
    write_i32(&place, 32 + 192 + 112, 9);

    /* a length that is gone, with records behind it */
    write_i32(&place, 32 + 192, 0);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), -EBADMSG);
    write_i32(&place, 32 + 192, 160);

    /* a stop position that cannot be one: not known */
    write_i32(&place, 32 + 192 + 80, 1409);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    cr_assert_eq(catalog.lost_stop_count, 1);
    cr_assert_eq(catalog.count, 3);
    struct archive_catalog_record found;
    cr_assert(catalog_get(&catalog, 1, &found));
    cr_assert_eq(found.stop_position, ARCHIVE_NULL);
    catalog_close(&catalog);
    write_i32(&place, 32 + 192 + 80, 1408);
    write_i32(&place, 32 + 192 + 84, 0);

    /* no next id: computed; impossible geometry: set aside */
    write_i32(&place, 8, 0);
    write_i32(&place, 32 + 96, 1000);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    cr_assert_eq(catalog.next_recording_id, 3);
    cr_assert_eq(catalog.quarantined_count, 1);
    cr_assert_eq(catalog.count, 2);
    catalog_close(&catalog);
    write_i32(&place, 8, 3);

    /* the last record torn: cut off, and the next one takes its place */
    write_i32(&place, 32 + 2 * 192 + 112, 1 << 30);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    cr_assert_eq(catalog.count, 1);
    cr_assert_gt(catalog.cut_length, 0);
    cr_assert_eq(catalog_add(&catalog, &record, &id, NULL), 0);
    cr_assert_eq(id, 3);
    catalog_close(&catalog);

    /* what an addition left that broke off before its header: cleared */
    place_write(&place, CATALOG_FILE_NAME, vector_bytes + 32, 100, 32 + 3 * 192 + 32);
    cr_assert_eq(open_at(&catalog, &place, &checksum, 4096), 0);
    cr_assert_eq(catalog.cut_length, 0);
    cr_assert_eq(catalog.data[32 + 3 * 192 + 48 + 8], 0);
    cr_assert(catalog_contains(&catalog, 3));
    catalog_close(&catalog);
    place_close(&place);
}

Test(catalog, the_golden_directory_is_read) {
    static const struct {
        int64_t id;
        int32_t session_id;
        int32_t stream_id;
        int32_t initial_term_id;
        int64_t start;
        int64_t stop;
    } truth[] = {{0, 1000, 1001, 7, 0, 64768},       {1, 2001, 1002, 11, 0, 37056},
                 {2, 3000, 1003, 0, 0, 24640},       {3, 4000, 1004, -5, 458752, 528352},
                 {5, 6000, 1006, 100, 0, 2528},      {6, 1000, 1001, 7, 0, 64768},
                 {7, 7000, 1007, 3, 0, ARCHIVE_NULL}};
    struct place place;
    place_open(&place);
    place_unpack(&place, "archive_crashed");
    const struct checksum checksum = no_checksum();
    struct catalog catalog;
    cr_assert_eq(open_at(&catalog, &place, &checksum, 65536), 0);
    cr_assert_eq(catalog.count, (int)(sizeof truth / sizeof truth[0]));
    cr_assert_eq(catalog.next_recording_id, 8);
    for (int i = 0; i < catalog.count; i++) {
        struct archive_catalog_record record;
        catalog_get_at(&catalog, i, &record);
        cr_assert_eq(record.recording_id, truth[i].id);
        cr_assert_eq(record.session_id, truth[i].session_id);
        cr_assert_eq(record.stream_id, truth[i].stream_id);
        cr_assert_eq(record.initial_term_id, truth[i].initial_term_id);
        cr_assert_eq(record.start_position, truth[i].start);
        cr_assert_eq(record.stop_position, truth[i].stop);
    }
    catalog_close(&catalog);
    place.directory[strlen("/tmp/tern-archived-XXXXXX")] = '\0';
    place_close(&place);
}

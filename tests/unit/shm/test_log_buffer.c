#include <criterion/criterion.h>

#include <errno.h>

#include "lib/hex.h"
#include "lib/scratch.h"
#include "shm/log_buffer.h"

#define MIB (1024 * 1024)
#define T 65536

Test(log_buffer, geometry_and_positions_are_those_of_the_specification) {
    static const struct {
        int32_t term_length, page_size;
        int64_t file_length;
    } files[] = {
        {T, 4096, 200704},
        {T, 2 * MIB, 2097152},
        {16 * MIB, 4096, 50335744},
        {64 * MIB, 4096, 201330688},
        {1024 * MIB, 4096, 3221229568},
        {1024 * MIB, 2 * MIB, 3223322624},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_assert_eq(log_buffer_file_length(files[i].term_length, files[i].page_size),
                     files[i].file_length);
    }
    cr_assert_eq(log_message_length_max(T), 8192);
    cr_assert_eq(log_message_length_max(16 * MIB), 2097152);
    cr_assert_eq(log_message_length_max(64 * MIB), 8388608);
    cr_assert_eq(log_message_length_max(1024 * MIB), 16777216);
    cr_assert_eq(log_position_max(T), 140737488355328);
    cr_assert_eq(log_position_max(1024 * MIB), 2305843009213693952);

    static const struct {
        int32_t initial, term_id, offset, bits;
        int64_t position;
        int32_t index;
    } positions[] = {
        {7, 7, 0, 16, 0, 0},
        {7, 9, 1088, 16, 132160, 2},
        {7, 8, 64, 16, 65600, 1},
        {INT32_MAX, INT32_MIN, 64, 16, 65600, 1},
        {INT32_MAX, INT32_MIN, 96, 16, 65632, 1},
        {-5, 100, 4096, 26, 7046434816, 0},
        {-1094861636, -1094861633, 0x1240, 16, 201280, 0}, /* media-driver.md 9.2 */
        {0, INT32_MAX, 65504, 16, 140737488355328 - 32, 1},
    };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        int64_t position = log_position(positions[i].term_id, positions[i].offset,
                                        positions[i].bits, positions[i].initial);
        cr_assert_eq(position, positions[i].position, "row %zu", i);
        cr_assert_eq(log_index_of(position, positions[i].bits), positions[i].index);
        cr_assert_eq(
            log_partition_index(log_term_count(positions[i].term_id, positions[i].initial)),
            positions[i].index);
        cr_assert_eq(log_term_id_of(position, positions[i].bits, positions[i].initial),
                     positions[i].term_id);
        cr_assert_eq(log_term_offset_of(position, 1 << positions[i].bits), positions[i].offset);
    }

    cr_assert_eq(log_raw_tail(9, 1088), 38654706752);
    cr_assert_eq(log_raw_tail(-1, 65568), -4294901728);
    cr_assert_eq(log_raw_tail_term_id(-4294901728), -1);
    cr_assert_eq(log_raw_tail_offset(-4294901728, T), 65536);
    cr_assert_eq(log_raw_tail(-3, 32), -12884901856);
    cr_assert_eq(log_raw_tail_offset(log_raw_tail(3, -1), T), T, "unsigned low half");

    static const int64_t fragmented[][2] = {
        {1376, 1408}, {1377, 1472}, {4000, 4096}, {0, 0}, {2752, 2816}};
    for (size_t i = 0; i < sizeof fragmented / sizeof fragmented[0]; i++) {
        cr_assert_eq(log_fragmented_length(fragmented[i][0], 1376), fragmented[i][1]);
    }
}

Test(log_buffer, geometry_limits) {
    static const struct {
        int64_t value;
        bool is_term, is_page, is_mtu;
    } rows[] = {
        {0, false, false, false},          {-65536, false, false, false},
        {32, false, false, false},         {64, false, false, true},
        {1408, false, false, true},        {1400, false, false, false},
        {4096, false, true, true},         {32768, false, true, true},
        {65504, false, false, true},       {65536, true, true, false},
        {65537, false, false, false},      {1073741824, true, true, false},
        {2147483648, false, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(log_term_length_is_valid(rows[i].value), rows[i].is_term, "row %zu", i);
        cr_assert_eq(log_page_size_is_valid(rows[i].value), rows[i].is_page, "row %zu", i);
        cr_assert_eq(log_mtu_is_valid(rows[i].value), rows[i].is_mtu, "row %zu", i);
    }
}

static struct log_buffer_params make_params(const char *path) {
    return (struct log_buffer_params){
        .path = path,
        .term_length = T,
        .page_size = 4096,
        .sparse = true,
        .initial_term_id = 7,
        .mtu_length = 1408,
        .active_term_id = 7,
        .session_id = -1234567,
        .stream_id = 1001,
        .correlation_id = 18,
        .type = LOG_TYPE_CONCURRENT,
    };
}

Test(log_buffer, a_new_log_has_the_bytes_of_the_specification) {
    struct scratch scratch;
    struct log_buffer log, same;
    struct tern_error error;
    scratch_open(&scratch);
    char path[384];
    strcpy(path, scratch_path(&scratch, "18.logbuffer"));
    struct log_buffer_params params = make_params(path);
    cr_assert_eq(log_buffer_create(&log, &params, &error), 0, "%s", error.text);
    const uint8_t *metadata = (const uint8_t *)log.metadata;
    cr_assert_eq(metadata - log.file.address, 196608);
    /* shared-memory.md 10.2 and 10.7 */
    assert_hex(
        metadata,
        "00 00 00 00 07 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 06 00 00 00 00 00 00 00",
        "tails");
    assert_hex(metadata + 320,
               "00 00 00 00 00 c0 01 00 00 00 00 00 79 29 ed ff"
               "e9 03 00 00 07 00 00 00 00 00 00 00 00 00 00 00",
               "default header");
    assert_hex(metadata + 128, "ff ff ff ff ff ff ff 7f 00 00 00 00 00 00 00 00", "eos");
    assert_hex(metadata + 256,
               "12 00 00 00 00 00 00 00 07 00 00 00 20 00 00 00"
               "80 05 00 00 00 00 01 00 00 10 00 00",
               "ids and geometry");
    cr_assert_eq(log_producer_position(&log), 0);
    cr_assert_lt(log_buffer_create(&same, &params, &error), 0, "it exists");
    cr_assert_eq(log_buffer_open(&same, path, &error), 0, "%s", error.text);
    cr_assert_eq(same.term_length, T);
    cr_assert_eq(same.position_bits, 16);
    cr_assert_eq(same.initial_term_id, 7);
    cr_assert_eq(same.mtu_length, 1408);
    cr_assert_eq(same.terms[2] - same.file.address, 131072);
    log_buffer_close(&same);
    log_buffer_close(&same);
    log_buffer_close(&log);

    /* A starting position in the middle (4.3), and the tails of an image, which nobody reads. */
    strcpy(path, scratch_path(&scratch, "19.logbuffer"));
    params.active_term_id = 11;
    params.term_offset = 4096;
    params.page_size = 2 * MIB;
    params.type = LOG_TYPE_EXCLUSIVE;
    cr_assert_eq(log_buffer_create(&log, &params, &error), 0);
    metadata = (const uint8_t *)log.metadata;
    cr_assert_eq(metadata - log.file.address, 2093056);
    assert_hex(
        metadata,
        "00 00 00 00 0a 00 00 00 00 10 00 00 0b 00 00 00 00 00 00 00 09 00 00 00 04 00 00 00",
        "tails");
    cr_assert_eq(metadata[497], 1);
    cr_assert_eq(log_producer_position(&log), 4 * T + 4096);
    log_buffer_close(&log);

    strcpy(path, scratch_path(&scratch, "20.logbuffer"));
    params.type = LOG_TYPE_IMAGE;
    cr_assert_eq(log_buffer_create(&log, &params, &error), 0);
    assert_hex(log.metadata, "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "tails");
    log_buffer_close(&log);
    scratch_close(&scratch);
}

Test(log_buffer, files_that_are_no_log_are_refused) {
    struct scratch scratch;
    struct log_buffer log, copy;
    struct tern_error error;
    scratch_open(&scratch);
    struct log_buffer_params params = make_params(scratch_path(&scratch, "good"));
    cr_assert_eq(log_buffer_create(&log, &params, &error), 0);
    static const struct {
        int64_t length;
        int offset;
        int32_t value;
        int result;
    } rows[] = {
        {200704, 276, T, 0},
        {200704, 276, 2 * T, TERN_ERROR_PROTOCOL},
        {200704, 276, 0, TERN_ERROR_PROTOCOL},
        {200704, 276, -T, TERN_ERROR_PROTOCOL},
        {200704, 276, 65537, TERN_ERROR_PROTOCOL},
        {200704, 280, 8192, TERN_ERROR_PROTOCOL},
        {200704, 280, 0, TERN_ERROR_PROTOCOL},
        {200704, 272, 0, TERN_ERROR_PROTOCOL},
        {200704, 272, 1409, TERN_ERROR_PROTOCOL},
        {200704, 272, -32, TERN_ERROR_PROTOCOL},
        {4096, 276, T, TERN_ERROR_PROTOCOL},
        {200703, 276, T, TERN_ERROR_PROTOCOL},
        {1, 0, 0, TERN_ERROR_PROTOCOL},
        {0, 0, 0, -ENODATA},
    };
    uint8_t *bytes = malloc(200704);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(bytes, log.file.address, 200704);
        memcpy(bytes + 196608 + rows[i].offset, &rows[i].value, 4);
        /* Cut from the front, so that the metadata stays at the end. */
        const char *path = scratch_write(&scratch, "copy", bytes + 200704 - rows[i].length,
                                         (size_t)rows[i].length);
        cr_assert_eq(log_buffer_open(&copy, path, &error), rows[i].result, "row %zu", i);
        cr_assert(rows[i].result == 0 || copy.file.address == NULL);
        log_buffer_close(&copy);
    }
    cr_assert_eq(log_buffer_open(&copy, scratch_path(&scratch, "missing"), &error), -ENOENT);
    free(bytes);
    log_buffer_close(&log);
    scratch_close(&scratch);
}

Test(log_buffer, only_one_of_several_rotations_of_a_term_counts) {
    struct log_metadata metadata = {
        .raw_tails = {log_raw_tail(7, 65600), log_raw_tail(5, 0), log_raw_tail(6, 0)}};
    cr_assert(log_rotate(&metadata, 0, 7));
    cr_assert_eq(metadata.raw_tails[1], log_raw_tail(8, 0));
    cr_assert_eq(metadata.active_term_count, 1);
    metadata.raw_tails[1] += 64;
    cr_assert_not(log_rotate(&metadata, 0, 7));
    cr_assert_eq(metadata.raw_tails[1], log_raw_tail(8, 64));
    cr_assert_eq(metadata.active_term_count, 1);
    cr_assert(log_rotate(&metadata, 1, 8));
    cr_assert(log_rotate(&metadata, 2, 9));
    cr_assert_eq(metadata.raw_tails[0], log_raw_tail(10, 0));

    /* Term ids wrap. */
    metadata = (struct log_metadata){.raw_tails = {log_raw_tail(INT32_MAX, T),
                                                   log_raw_tail(INT32_MAX - 2, 0),
                                                   log_raw_tail(INT32_MAX - 1, 0)}};
    cr_assert(log_rotate(&metadata, 0, INT32_MAX));
    cr_assert_eq(metadata.raw_tails[1], log_raw_tail(INT32_MIN, 0));
}

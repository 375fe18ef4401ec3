#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/append_short.h"
#include "shm/term_append.h"

#define T 65536
#define SESSION (-1234567)
#define STREAM 1001

/* A log in plain memory. */
struct fixture {
    uint8_t *memory;
    struct log_buffer log;
    struct term_appender appender;
    struct exclusive_state state;
};

static void set_tails(struct fixture *f, int32_t term_id, int32_t offset) {
    int32_t count = log_term_count(term_id, 7);
    f->log.metadata->active_term_count = count;
    for (int32_t i = 0; i < 3; i++) {
        int32_t index = (log_partition_index(count) + i) % 3;
        f->log.metadata->raw_tails[index] =
            log_raw_tail(wrapping_add_i32(term_id, i == 0 ? 0 : i - 3), i == 0 ? offset : 0);
    }
    exclusive_state_init(&f->state, &f->log);
}

static void open_fixture(struct fixture *f) {
    size_t length = 3 * T + LOG_METADATA_LENGTH;
    f->memory = aligned_alloc(4096, length);
    memset(f->memory, 0, length);
    f->log = (struct log_buffer){
        .terms = {f->memory, f->memory + T, f->memory + 2 * T},
        .metadata = (struct log_metadata *)(void *)(f->memory + 3 * T),
        .term_length = T,
        .position_bits = 16,
        .initial_term_id = 7,
        .mtu_length = 1408,
    };
    struct frame_header header = {
        .flags = 0xC0, .type = 1, .session_id = SESSION, .stream_id = STREAM, .term_id = 7};
    memcpy(f->log.metadata->default_header, &header, sizeof header);
    term_appender_init(&f->appender, &f->log, SESSION, STREAM);
    set_tails(f, 7, 0);
}

static void close_fixture(struct fixture *f) {
    free(f->memory);
}

static int64_t append(struct fixture *f, bool is_exclusive, const void *bytes, int32_t length) {
    struct iovec part = {(void *)(uintptr_t)bytes, (size_t)length};
    if (is_exclusive) {
        return exclusive_append_message(&f->appender, &f->state, &part, 1, length, NULL, NULL);
    }
    return term_append_message(&f->appender, &part, 1, length, NULL, NULL);
}

static int64_t claim(struct fixture *f, bool is_exclusive, int32_t length,
                     struct frame_header **frame) {
    return is_exclusive ? exclusive_append_claim(&f->appender, &f->state, length, frame)
                        : term_append_claim(&f->appender, length, frame);
}

static struct frame_header *frame_in(struct fixture *f, int index, int32_t offset) {
    return (struct frame_header *)(void *)(f->log.terms[index] + offset);
}

/* shared-memory.md 10.7, media-driver.md 9.1 */
Test(term_append, frames_have_the_bytes_of_the_specification) {
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        set_tails(&f, 9, 1088);
        cr_assert_eq(append(&f, is_exclusive, "hello", 5), 132160 + 64);
        assert_hex(f.log.terms[2] + 1088,
                   "25 00 00 00 00 c0 01 00 40 04 00 00 79 29 ed ff"
                   "e9 03 00 00 09 00 00 00 00 00 00 00 00 00 00 00"
                   "68 65 6c 6c 6f 00 00 00 00 00 00 00 00 00 00 00"
                   "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
                   "data frame");
        cr_assert_eq(f.log.metadata->raw_tails[2], log_raw_tail(9, 1152));
        cr_assert_eq(log_producer_position(&f.log), 132160 + 64);

        set_tails(&f, 9, 65088);
        uint8_t payload[500] = {0};
        cr_assert_eq(append(&f, is_exclusive, payload, 417), TERM_APPEND_TRIPPED);
        assert_hex(f.log.terms[2] + 65088,
                   "c0 01 00 00 00 c0 00 00 40 fe 00 00 79 29 ed ff e9 03 00 00 09 00 00 00",
                   "padding frame");
        cr_assert_eq(f.log.metadata->active_term_count, 3);
        cr_assert_eq(f.log.metadata->raw_tails[0], log_raw_tail(10, 0));
        cr_assert_eq(log_raw_tail_offset(f.log.metadata->raw_tails[2], INT32_MAX), 65088 + 480);
        cr_assert_eq(append(&f, is_exclusive, payload, 417), 3 * T + 480);
        cr_assert_eq(log_producer_position(&f.log), 3 * T + 480);
        close_fixture(&f);
    }
}

static void fill(uint8_t *bytes, int32_t length) {
    for (int32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(i * 7 + 3);
    }
}

/* Collect the message that begins at `offset`; returns the offset behind it. */
static int32_t collect(struct fixture *f, int32_t offset, uint8_t *message, int32_t *length) {
    *length = 0;
    for (bool is_first = true;; is_first = false) {
        struct frame_header *frame = frame_in(f, 0, offset);
        cr_assert_gt(frame->frame_length, 0);
        cr_assert_eq((frame->flags & 0x80) != 0, is_first);
        cr_assert_eq(frame->type, FRAME_TYPE_DATA);
        cr_assert_eq(frame->term_offset, offset);
        cr_assert_eq(frame->session_id, SESSION);
        cr_assert_eq(frame->stream_id, STREAM);
        cr_assert_eq(frame->term_id, 7);
        int32_t bytes = frame->frame_length - 32;
        memcpy(message + *length, frame + 1, (size_t)bytes);
        *length += bytes;
        offset += log_aligned_frame_length(frame->frame_length);
        if (frame->flags & 0x40) {
            return offset;
        }
    }
}

Test(term_append, messages_of_all_lengths_and_vectors_come_out_whole) {
    static const int32_t lengths[] = {0, 1, 31, 32, 33, 1375, 1376, 1377, 2752, 2753, 4000, 8192};
    uint8_t message[8192], got[8192];
    fill(message, sizeof message);
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        int32_t offset = 0;
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            int32_t length = lengths[i];
            size_t a = (size_t)length / 3, b = (size_t)length / 2;
            struct iovec parts[] = {
                {message, a}, {NULL, 0}, {message + a, b - a}, {message + b, (size_t)length - b}};
            int64_t position =
                is_exclusive
                    ? exclusive_append_message(&f.appender, &f.state, parts, 4, length, NULL, NULL)
                    : term_append_message(&f.appender, parts, 4, length, NULL, NULL);
            int32_t got_length;
            int32_t end = collect(&f, offset, got, &got_length);
            cr_assert_eq(got_length, length);
            cr_assert_eq(memcmp(got, message, (size_t)length), 0);
            cr_assert_eq(position, end);
            int64_t framed = length > 1376 ? log_fragmented_length(length, 1376)
                                           : log_aligned_frame_length(length + 32);
            cr_assert_eq(end - offset, framed);
            offset = end;
        }
        cr_assert_eq(log_producer_position(&f.log), offset);
        cr_assert_eq(frame_in(&f, 0, offset)->frame_length, 0);
        close_fixture(&f);
    }
}

Test(term_append, one_part_of_any_length_is_copied_exactly) {
    uint8_t message[400];
    fill(message, sizeof message);
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        for (int32_t length = 0; length <= 200; length++) {
            int64_t position = append(&f, is_exclusive, message + length, length);
            int32_t required = log_aligned_frame_length(length + 32);
            const uint8_t *payload =
                (const uint8_t *)frame_in(&f, 0, (int32_t)position - required) + 32;
            cr_assert_eq(memcmp(payload, message + length, (size_t)length), 0, "%d", length);
            for (int32_t i = length; i < required - 32; i++) {
                cr_assert_eq(payload[i], 0, "nothing behind the payload of %d", length);
            }
        }
        close_fixture(&f);
    }
}

static int64_t supply(void *context, uint8_t *frame, int32_t frame_length) {
    int32_t *calls = context;
    cr_assert_eq(((struct frame_header *)(void *)frame)->frame_length, -frame_length,
                 "not committed yet");
    (*calls)++;
    return *calls * 1000 + frame_length;
}

Test(term_append, the_reserved_value_is_asked_for_each_frame) {
    struct fixture f;
    open_fixture(&f);
    uint8_t message[3000];
    fill(message, sizeof message);
    struct iovec part = {message, sizeof message};
    int32_t calls = 0;
    cr_assert_gt(term_append_message(&f.appender, &part, 1, 3000, supply, &calls), 0);
    cr_assert_eq(calls, 3);
    cr_assert_eq(frame_in(&f, 0, 0)->reserved_value, 1000 + 1408);
    cr_assert_eq(frame_in(&f, 0, 1408)->reserved_value, 2000 + 1408);
    cr_assert_eq(frame_in(&f, 0, 2816)->reserved_value, 3000 + 280);
    close_fixture(&f);
}

Test(term_append, claims_are_committed_aborted_or_lost) {
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        struct frame_header *first, *second;
        cr_assert_eq(claim(&f, is_exclusive, 100, &first), 160);
        cr_assert_eq(claim(&f, is_exclusive, 40, &second), 256);
        cr_assert_eq(first->frame_length, -132);
        cr_assert_eq(first->type, FRAME_TYPE_DATA);
        cr_assert_eq((uint8_t *)second - f.log.terms[0], 160);
        term_claim_commit(first);
        term_claim_abort(second);
        cr_assert_eq(first->frame_length, 132);
        cr_assert_eq(second->frame_length, 72);
        cr_assert_eq(second->type, FRAME_TYPE_PAD);
        /* The driver unblocked it meanwhile: a late abort or commit changes nothing. */
        term_claim_abort(first);
        term_claim_commit(second);
        cr_assert_eq(first->type, FRAME_TYPE_DATA);
        cr_assert_eq(second->frame_length, 72);
        set_tails(&f, 7, T - 64);
        cr_assert_eq(claim(&f, is_exclusive, 33, &first), TERM_APPEND_TRIPPED);
        cr_assert_eq(claim(&f, is_exclusive, 1376, &first), T + 1408);
        close_fixture(&f);
    }
}

Test(term_append, the_end_of_a_term_is_padded_once) {
    /* A message that ends exactly at the end of the term does not trip. */
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        uint8_t payload[64] = {0};
        set_tails(&f, 7, T - 96);
        cr_assert_eq(append(&f, is_exclusive, payload, 64), T);
        cr_assert_eq(append(&f, is_exclusive, payload, 0), TERM_APPEND_TRIPPED);
        cr_assert_eq(frame_in(&f, 0, T - 96)->frame_length, 96);
        cr_assert_eq(f.log.metadata->active_term_count, 1);
        cr_assert_eq(append(&f, is_exclusive, payload, 0), T + 32);
        close_fixture(&f);
    }
    /* Two threads add beyond the end: only the first pads, and only one rotates. */
    struct fixture f;
    open_fixture(&f);
    uint8_t payload[1000] = {0};
    set_tails(&f, 7, T - 512);
    cr_assert_eq(append(&f, false, payload, 1000), TERM_APPEND_TRIPPED);
    f.log.metadata->active_term_count = 0; /* the second read it before the rotation */
    cr_assert_eq(append(&f, false, payload, 1000), TERM_APPEND_TRIPPED);
    cr_assert_eq(frame_in(&f, 0, T - 512)->frame_length, 512);
    cr_assert_eq(f.log.metadata->raw_tails[1], log_raw_tail(8, 0));
    cr_assert_eq(frame_in(&f, 1, 0)->frame_length, 0);
    close_fixture(&f);
}

Test(term_append, no_stream_passes_its_last_position) {
    int32_t last_term_id = wrapping_add_i32(7, INT32_MAX);
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        struct fixture f;
        open_fixture(&f);
        uint8_t payload[128] = {0};
        set_tails(&f, last_term_id, T - 128);
        cr_assert_eq(append(&f, is_exclusive, payload, 32), log_position_max(T) - 64);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(append(&f, is_exclusive, payload, 128), TERM_APPEND_MAX_POSITION);
            cr_assert_eq(f.log.metadata->active_term_count, INT32_MAX);
        }
        cr_assert_eq(frame_in(&f, log_partition_index(INT32_MAX), T - 64)->frame_length, 64);
        cr_assert_eq(frame_in(&f, log_partition_index(INT32_MAX), T - 64)->type, FRAME_TYPE_PAD);
        cr_assert_eq(log_producer_position(&f.log), log_position_max(T));
        if (is_exclusive) {
            cr_assert_eq(exclusive_rotate_when_full(&f.appender, &f.state),
                         TERM_APPEND_MAX_POSITION);
        }
        close_fixture(&f);
    }
}

Test(term_append, an_exclusive_writer_goes_on_where_the_log_is) {
    struct fixture f;
    open_fixture(&f);
    set_tails(&f, 12, 4096);
    cr_assert_eq(f.state.term_begin_position, 5 * T);
    cr_assert_eq(f.state.active_index, 2);
    cr_assert_eq(f.state.term_offset, 4096);
    cr_assert_eq(append(&f, true, "x", 1), 5 * T + 4096 + 64);
    cr_assert_eq(exclusive_append_padding(&f.appender, &f.state, 100), 5 * T + 4096 + 64 + 160);
    cr_assert_eq(frame_in(&f, 2, 4160)->frame_length, 132);
    cr_assert_eq(frame_in(&f, 2, 4160)->type, FRAME_TYPE_PAD);
    /* A damaged tail is forced to a frame boundary inside the term. */
    f.log.metadata->raw_tails[2] = log_raw_tail(12, -5);
    exclusive_state_init(&f.state, &f.log);
    cr_assert_eq(f.state.term_offset, T);
    f.log.metadata->raw_tails[2] = log_raw_tail(12, 4099);
    exclusive_state_init(&f.state, &f.log);
    cr_assert_eq(f.state.term_offset, 4096);
    close_fixture(&f);
}

static void put_frame(uint8_t *block, int32_t offset, int32_t term_offset, int32_t frame_length,
                      int32_t term_id) {
    struct frame_header header = {.frame_length = frame_length,
                                  .flags = 0xC0,
                                  .type = FRAME_TYPE_DATA,
                                  .term_offset = term_offset,
                                  .session_id = SESSION,
                                  .stream_id = STREAM,
                                  .term_id = term_id,
                                  .reserved_value = 77};
    memcpy(block + offset, &header, sizeof header);
}

/* known-bugs.md 27: a block must be checked against the term offset that it goes to. */
Test(term_append, a_block_goes_only_where_its_first_header_says) {
    static const struct {
        int32_t term_offset, second_length, length, session, stream, term_id, type;
        int64_t result;
    } rows[] = {
        {1024, 100, 192, SESSION, STREAM, 7, 1, 1024 + 192},
        {1056, 100, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {0, 100, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, 192, SESSION + 1, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, 192, SESSION, STREAM + 1, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, 192, SESSION, STREAM, 8, 1, TERM_APPEND_INVALID},
        {1024, 100, 192, SESSION, STREAM, 7, 0, TERM_APPEND_INVALID},
        {1024, 0, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, -100, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 31, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 129, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, INT32_MAX, 192, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, 191, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, 64, SESSION, STREAM, 7, 1, 1024 + 64},
        {1024, 100, 0, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
        {1024, 100, T - 1024 + 32, SESSION, STREAM, 7, 1, TERM_APPEND_INVALID},
    };
    static uint8_t block[T];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        open_fixture(&f);
        set_tails(&f, 7, 1024);
        put_frame(block, 0, rows[i].term_offset, 64, rows[i].term_id);
        struct frame_header *first = (struct frame_header *)(void *)block;
        first->session_id = rows[i].session;
        first->stream_id = rows[i].stream;
        first->type = (uint16_t)rows[i].type;
        put_frame(block, 64, rows[i].term_offset + 64, rows[i].second_length, rows[i].term_id);
        cr_assert_eq(exclusive_append_block(&f.appender, &f.state, block, rows[i].length),
                     rows[i].result, "row %zu", i);
        if (rows[i].result > 0) {
            cr_assert_eq(memcmp(f.log.terms[0] + 1024, block, (size_t)rows[i].length), 0);
            cr_assert_eq(log_producer_position(&f.log), rows[i].result);
        } else {
            cr_assert_eq(f.state.term_offset, 1024);
            cr_assert_eq(frame_in(&f, 0, 1024)->frame_length, 0);
            cr_assert_eq(log_producer_position(&f.log), 1024);
        }
        close_fixture(&f);
    }
    /* At the end of a term the next one begins, and the block must be made for that. */
    struct fixture f;
    open_fixture(&f);
    set_tails(&f, 7, T);
    put_frame(block, 0, 0, 64, 8);
    cr_assert_eq(exclusive_append_block(&f.appender, &f.state, block, 64), T + 64);
    cr_assert_eq(f.log.metadata->active_term_count, 1);
    cr_assert_eq(frame_in(&f, 1, 0)->reserved_value, 77);
    close_fixture(&f);
}

static void check_same(const struct fixture *a, const struct fixture *b) {
    cr_assert_eq(memcmp(a->memory, b->memory, 3 * T + LOG_METADATA_LENGTH), 0);
    cr_assert_eq(a->state.term_offset, b->state.term_offset);
    cr_assert_eq(a->state.term_id, b->state.term_id);
    cr_assert_eq(a->state.active_index, b->state.active_index);
    cr_assert_eq(a->state.term_begin_position, b->state.term_begin_position);
}

static int64_t append_short(struct fixture *f, bool is_exclusive, const void *message,
                            int32_t length) {
    return is_exclusive ? exclusive_append_short(&f->appender, &f->state, message, length)
                        : term_append_short(&f->appender, message, length);
}

static void check_short_messages(bool is_exclusive) {
    struct fixture a;
    struct fixture b;
    uint8_t message[256];
    open_fixture(&a);
    open_fixture(&b);
    for (int i = 0; i < 256; i++) {
        message[i] = (uint8_t)(i * 7 + 1);
    }
    int short_count = 0;
    for (int32_t k = 0; k < 3000; k++) { /* over the end of the first term and the second */
        int32_t length = k % 140;
        int64_t expected = append(&a, is_exclusive, message, length);
        int64_t position = append_short(&b, is_exclusive, message, length);
        if (position == 0) {
            cr_assert(length < 8 || length > 128 ||
                      (is_exclusive && expected == TERM_APPEND_TRIPPED));
            position = append(&b, is_exclusive, message, length);
        } else {
            cr_assert(length >= 8 && length <= 128);
            short_count++;
        }
        cr_assert_eq(position, expected);
    }
    cr_assert_gt(short_count, 2500);
    cr_assert_gt(log_producer_position(&a.log), T);
    check_same(&a, &b);
    close_fixture(&a);
    close_fixture(&b);
}

Test(term_append, short_messages_are_appended_as_all_others) {
    check_short_messages(true);
    check_short_messages(false);
}

Test(term_append, a_short_message_that_does_not_fit_changes_nothing) {
    struct fixture f;
    uint8_t message[128] = {0};
    open_fixture(&f);
    f.appender.payload_length_max = 64; /* a small MTU */
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, 65), 0);
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, -1), 0);
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, INT32_MAX), 0);
    cr_assert_eq(term_append_short(&f.appender, message, INT32_MAX), 0);
    cr_assert_eq(term_append_short(&f.appender, message, 65), 0);
    cr_assert_eq(term_append_short(&f.appender, message, -1), 0);
    cr_assert_eq(f.log.metadata->raw_tails[0], log_raw_tail(7, 0));
    set_tails(&f, 7, T - 64);
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, 33), 0);
    cr_assert_eq(f.state.term_offset, T - 64);
    cr_assert_eq(f.log.metadata->raw_tails[0], log_raw_tail(7, T - 64));
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, 32), T);
    cr_assert_eq(exclusive_append_short(&f.appender, &f.state, message, 32), 0);
    close_fixture(&f);
}

Test(term_append, a_packet_is_inserted_once) {
    static uint8_t term[T] __attribute__((aligned(64)));
    static uint8_t packet[192] __attribute__((aligned(64)));
    put_frame(packet, 0, 128, 64, 7);
    put_frame(packet, 64, 192, 128, 7);
    packet[100] = 1;
    cr_assert(term_insert_packet(term, 128, packet, sizeof packet));
    cr_assert_eq(memcmp(term + 128, packet, sizeof packet), 0);
    packet[100] = 2;
    cr_assert_not(term_insert_packet(term, 128, packet, sizeof packet));
    cr_assert_eq(term[128 + 100], 1);
}

Test(term_append, cleaning_zeroes_exactly_the_range) {
    static uint8_t term[T] __attribute__((aligned(64)));
    static const int32_t rows[][2] = {{0, 0},      {0, 32},     {32, 64},     {T - 32, 32},
                                      {0, T},      {96, 4096},  {0, 16384},   {32, 16384},
                                      {64, 32768}, {96, 20000}, {32, T - 32}, {T - 20000, 20000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(term, 0xEE, sizeof term);
        term_clean(term, rows[i][0], rows[i][1]);
        for (int32_t k = 0; k < T; k++) {
            bool is_inside = k >= rows[i][0] && k < rows[i][0] + rows[i][1];
            cr_assert_eq(term[k], is_inside ? 0 : 0xEE);
        }
    }
}

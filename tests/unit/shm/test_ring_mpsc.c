#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/ring_layout.h"
#include "shm/ring_mpsc.h"

#define CAPACITY 1024
#define GUARD 0xA5

/* A ring between two guards, so that a write outside of it is seen without a sanitizer, too. */
struct fixture {
    uint8_t *memory;
    uint8_t *ring_memory;
    struct ring_mpsc ring;
};

static void open_fixture(struct fixture *f) {
    f->memory = aligned_alloc(64, CAPACITY + RING_TRAILER_LENGTH + 128);
    memset(f->memory, GUARD, CAPACITY + RING_TRAILER_LENGTH + 128);
    f->ring_memory = f->memory + 64;
    memset(f->ring_memory, 0, CAPACITY + RING_TRAILER_LENGTH);
    cr_assert_eq(ring_mpsc_init(&f->ring, f->ring_memory, CAPACITY + RING_TRAILER_LENGTH), 0);
}

static void assert_guards(const struct fixture *f) {
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(f->memory[i], GUARD);
        cr_assert_eq(f->ring_memory[CAPACITY + RING_TRAILER_LENGTH + i], GUARD);
    }
}

static void close_fixture(struct fixture *f) {
    assert_guards(f);
    free(f->memory);
}

/* Start with head and tail at `position`. */
static void set_position(struct fixture *f, int64_t position) {
    f->ring.trailer->head_position = position;
    f->ring.trailer->head_cache_position = position;
    f->ring.trailer->tail_position = position;
}

static struct ring_record *record_at(struct fixture *f, int64_t index) {
    return ring_record_at(f->ring_memory, index);
}

static void assert_zero(const struct fixture *f, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        cr_assert_eq(f->ring_memory[i], 0, "byte %lld", (long long)i);
    }
}

struct got {
    int count;
    int32_t types[256];
    int32_t lengths[256];
    enum ring_action actions[256];
};

static void take(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct got *got = context;
    uint8_t sum = 0;
    for (int32_t i = 0; i < length; i++) {
        sum ^= payload[i];
    }
    (void)sum;
    got->types[got->count] = type;
    got->lengths[got->count++] = length;
}

static enum ring_action take_controlled(void *context, int32_t type, const uint8_t *payload,
                                        int32_t length) {
    struct got *got = context;
    take(context, type, payload, length);
    return got->actions[got->count - 1];
}

static int read_all(struct fixture *f, struct got *got) {
    *got = (struct got){0};
    return ring_mpsc_read(&f->ring, take, got, 256);
}

Test(ring_mpsc, records_have_the_bytes_of_the_specification) {
    struct fixture f;
    open_fixture(&f);
    uint8_t payload[58];
    /* shared-memory.md 10.4 */
    cr_assert_eq(hex_decode("11 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00"
                            "e9 03 00 00 22 00 00 00 61 65 72 6f 6e 3a 75 64"
                            "70 3f 65 6e 64 70 6f 69 6e 74 3d 6c 6f 63 61 6c"
                            "68 6f 73 74 3a 32 30 31 32 31",
                            payload, sizeof payload),
                 58);
    cr_assert_eq(ring_mpsc_write(&f.ring, 1, payload, 58), RING_OK);
    assert_hex(f.ring_memory,
               "42 00 00 00 01 00 00 00 11 00 00 00 00 00 00 00"
               "12 00 00 00 00 00 00 00 e9 03 00 00 22 00 00 00",
               "record");
    cr_assert_eq(ring_mpsc_producer_position(&f.ring), 72);
    int64_t tail;
    memcpy(&tail, f.ring_memory + CAPACITY + 128, 8);
    cr_assert_eq(tail, 72);
    struct got got;
    cr_assert_eq(read_all(&f, &got), 1);
    cr_assert_eq(got.types[0], 1);
    cr_assert_eq(got.lengths[0], 58);
    assert_zero(&f, 0, CAPACITY);
    cr_assert_eq(ring_mpsc_consumer_position(&f.ring), 72);
    ring_mpsc_set_consumer_heartbeat(&f.ring, 1234);
    cr_assert_eq(ring_mpsc_consumer_heartbeat(&f.ring), 1234);
    cr_assert_eq(ring_mpsc_next_correlation_id(&f.ring), 0);
    cr_assert_eq(ring_mpsc_next_correlation_id(&f.ring), 1);
    close_fixture(&f);
}

Test(ring_mpsc, a_record_that_does_not_fit_the_end_starts_over_behind_padding) {
    /* free bytes at the start when the tail is 40 bytes before the end, payload, expectation */
    static const struct {
        int64_t head;
        int32_t length;
        enum ring_status status;
        int64_t tail;
    } rows[] = {
        {984, 32, RING_OK, 1024},        /* exactly to the end */
        {984, 33, RING_OK, 1024 + 48},   /* wraps: 40 bytes of padding */
        {984, 128, RING_OK, 1024 + 136}, /* the longest message */
        {1000, 129, RING_ERROR, 984},    /* too long whatever the room */
        {8, 8, RING_OK, 1000},           /* fits the last 40 bytes */
        {8, 33, RING_FULL, 984},         /* 8 bytes at the start: nothing is changed */
        {48, 33, RING_OK, 1024 + 48},    /* exactly the room at the start */
        {40, 33, RING_FULL, 984},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        open_fixture(&f);
        uint8_t payload[200] = {0};
        set_position(&f, 984);
        f.ring.trailer->head_position = rows[i].head;
        f.ring.trailer->head_cache_position = 0;
        if (rows[i].head > 984) {
            set_position(&f, 984);
        }
        cr_assert_eq(ring_mpsc_write(&f.ring, 7, payload, rows[i].length), rows[i].status,
                     "row %zu", i);
        cr_assert_eq(ring_mpsc_producer_position(&f.ring), rows[i].tail, "row %zu", i);
        if (rows[i].tail > 1024) {
            assert_hex(f.ring_memory + 984, "28 00 00 00 ff ff ff ff", "padding");
            cr_assert_eq(record_at(&f, 0)->length, rows[i].length + 8);
        }
        close_fixture(&f);
    }
}

Test(ring_mpsc, bad_types_and_lengths_are_refused_and_a_full_ring_says_so) {
    struct fixture f;
    open_fixture(&f);
    uint8_t payload[256] = {0};
    cr_assert_eq(ring_mpsc_write(&f.ring, 0, payload, 8), RING_ERROR);
    cr_assert_eq(ring_mpsc_write(&f.ring, -1, payload, 8), RING_ERROR);
    cr_assert_eq(ring_mpsc_write(&f.ring, 1, payload, -1), RING_ERROR);
    cr_assert_eq(ring_mpsc_write(&f.ring, 1, payload, 129), RING_ERROR);
    cr_assert_eq(ring_mpsc_write(&f.ring, 1, NULL, 0), RING_OK);
    int count = 1;
    while (ring_mpsc_write(&f.ring, 1, payload, 56) == RING_OK) {
        count++;
    }
    cr_assert_eq(count, 1 + (CAPACITY - 8) / 64);
    struct got got;
    cr_assert_eq(read_all(&f, &got), count);
    assert_zero(&f, 0, CAPACITY);
    cr_assert_eq(ring_mpsc_write(&f.ring, 1, payload, 56), RING_OK);
    /* Many laps with every length: nothing is lost, nothing changes its length. */
    for (int32_t i = 0; i < 20000; i++) {
        int32_t length = i * 7 % 129;
        while (ring_mpsc_write(&f.ring, 2, payload, length) != RING_OK) {
            int64_t position = ring_mpsc_consumer_position(&f.ring);
            (void)read_all(&f, &got); /* may be nothing but the padding before the end */
            cr_assert_gt(ring_mpsc_consumer_position(&f.ring), position);
        }
    }
    close_fixture(&f);

    static uint8_t memory[2048] __attribute__((aligned(64)));
    static const struct {
        int64_t length;
        int result;
    } rows[] = {{768 + 64, 0}, {768 + 32, -EINVAL}, {768 + 1000, -EINVAL}, {768, -EINVAL},
                {0, -EINVAL},  {-1, -EINVAL},       {768 + 1024, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ring_mpsc ring;
        cr_assert_eq(ring_mpsc_init(&ring, memory, rows[i].length), rows[i].result);
    }
}

Test(ring_mpsc, claims_are_read_when_committed_and_skipped_when_aborted) {
    struct fixture f;
    open_fixture(&f);
    uint8_t *first, *second, *third;
    struct got got;
    cr_assert_eq(ring_mpsc_try_claim(&f.ring, 1, 10, &first), RING_OK);
    cr_assert_eq(record_at(&f, 0)->length, -18);
    cr_assert_eq(record_at(&f, 0)->type, 1);
    cr_assert_eq(ring_mpsc_try_claim(&f.ring, 2, 20, &second), RING_OK);
    cr_assert_eq(ring_mpsc_try_claim(&f.ring, 3, 30, &third), RING_OK);
    ring_mpsc_commit(&f.ring, third);
    cr_assert_eq(read_all(&f, &got), 0, "the first is not committed");
    ring_mpsc_commit(&f.ring, first);
    cr_assert_eq(read_all(&f, &got), 1);
    ring_mpsc_abort(&f.ring, second);
    cr_assert_eq(read_all(&f, &got), 1);
    cr_assert_eq(got.types[0], 3);
    assert_zero(&f, 0, CAPACITY);
    /* A claim that the consumer unblocked and consumed is lost: its late commit changes nothing. */
    ring_mpsc_commit(&f.ring, first);
    ring_mpsc_abort(&f.ring, second);
    assert_zero(&f, 0, CAPACITY);
    close_fixture(&f);
}

Test(ring_mpsc, a_controlled_read_keeps_what_the_handler_aborts) {
    struct fixture f;
    open_fixture(&f);
    for (int32_t type = 1; type <= 5; type++) {
        cr_assert_eq(ring_mpsc_write(&f.ring, type, "12345678", 8), RING_OK);
    }
    struct got got = {.actions = {RING_CONTINUE, RING_ABORT}};
    cr_assert_eq(ring_mpsc_controlled_read(&f.ring, take_controlled, &got, 100), 1);
    cr_assert_eq(ring_mpsc_consumer_position(&f.ring), 16);
    got = (struct got){.actions = {RING_COMMIT, RING_BREAK}};
    cr_assert_eq(ring_mpsc_controlled_read(&f.ring, take_controlled, &got, 100), 2);
    cr_assert_eq(got.types[0], 2, "the aborted one is delivered again");
    cr_assert_eq(ring_mpsc_consumer_position(&f.ring), 48);
    got = (struct got){.actions = {RING_CONTINUE, RING_CONTINUE}};
    cr_assert_eq(ring_mpsc_controlled_read(&f.ring, take_controlled, &got, 1), 1);
    cr_assert_eq(ring_mpsc_controlled_read(&f.ring, take_controlled, &got, 1), 1);
    cr_assert_eq(ring_mpsc_controlled_read(&f.ring, take_controlled, &got, 1), 0);
    assert_zero(&f, 0, CAPACITY);
    close_fixture(&f);
}

Test(ring_mpsc, a_tail_that_cannot_be_true_overflows_nothing) {
    static const int64_t tails[] = {INT64_MAX, INT64_MAX - 7, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct fixture f;
        struct got got = {0};
        open_fixture(&f);
        f.ring.trailer->tail_position = tails[i];
        cr_assert_eq(ring_mpsc_read(&f.ring, take, &got, 10), 0);
        cr_assert_not(ring_mpsc_unblock(&f.ring), "nothing is there to be made a padding");
        close_fixture(&f);
    }
}

Test(ring_mpsc, records_of_dead_producers_are_unblocked) {
    /* lengths stored at index 0 and at `next`, tail; expectation */
    static const struct {
        int64_t position;
        int32_t length;
        int64_t next, tail;
        bool is_unblocked;
        int64_t head_after; /* after a read */
    } rows[] = {
        {0, -40, 40, 80, true, 80},       /* claimed, not committed */
        {0, 0, 64, 104, true, 104},       /* died before the length: a hole of 64 */
        {0, 0, -1, 64, false, 0},         /* nothing behind it yet: it may still be alive */
        {0, 0, -1, 0, false, 0},          /* empty */
        {0, 40, -1, 40, false, 40},       /* committed: nothing to do */
        {0, -40, -1, 40, true, 40},       /* alone */
        {0, INT32_MIN, 40, 80, true, 80}, /* no length that anybody claims */
        {0, -3, 40, 80, true, 80},
        {0, -4000, 40, 80, true, 80},
        {984, 0, 0, 1024 + 40, true, 1024 + 0}, /* a hole to the end, records behind the wrap */
        {984, -40, 0, 1024 + 40, true, 1024},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        open_fixture(&f);
        int64_t position = rows[i].position;
        set_position(&f, position);
        f.ring.trailer->tail_position = rows[i].tail;
        record_at(&f, position)->length = rows[i].length;
        record_at(&f, position)->type = rows[i].length == 0 ? 0 : 9;
        if (rows[i].next >= 0) {
            record_at(&f, rows[i].next)->type = 5;
            record_at(&f, rows[i].next)->length = 40;
        }
        cr_assert_eq(ring_mpsc_unblock(&f.ring), rows[i].is_unblocked, "row %zu", i);
        cr_assert(!rows[i].is_unblocked || record_at(&f, position)->type == RING_PADDING_TYPE);
        struct got got;
        (void)read_all(&f, &got);
        cr_assert_eq(ring_mpsc_consumer_position(&f.ring), rows[i].head_after, "row %zu: %lld", i,
                     (long long)ring_mpsc_consumer_position(&f.ring));
        close_fixture(&f);
    }
}

Test(ring_mpsc, a_record_that_lies_about_its_length_is_skipped) {
    static const struct {
        int32_t length;
        int64_t tail, head_after;
    } rows[] = {
        {1, 200, 200}, /* below a header */
        {7, 200, 200},
        {CAPACITY + 1, 200, 200},
        {INT32_MAX, 200, 200},
        {INT32_MAX, CAPACITY + 200, CAPACITY}, /* not beyond the end of the ring */
        {INT32_MAX, 0, 0},                     /* nobody claimed it: only erased */
        {INT32_MAX, -5000, 0},                 /* the tail lies, too */
        {INT32_MAX, INT64_MIN, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        open_fixture(&f);
        record_at(&f, 0)->length = rows[i].length;
        record_at(&f, 0)->type = 3;
        f.ring.trailer->tail_position = rows[i].tail;
        struct got got;
        cr_assert_eq(read_all(&f, &got), 0);
        cr_assert_eq(ring_mpsc_consumer_position(&f.ring), rows[i].head_after, "row %zu", i);
        cr_assert_eq(record_at(&f, 0)->length, 0);
        close_fixture(&f);
    }
}

/* Any bytes in records and trailer: no access outside, no endless loop. */
Test(ring_mpsc, random_memory_does_no_harm) {
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        struct fixture f;
        open_fixture(&f);
        for (int64_t i = 0; i < CAPACITY + RING_TRAILER_LENGTH; i += 8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            /* Small numbers are the more interesting ones. */
            uint64_t word = state >> (state % 61);
            memcpy(f.ring_memory + i, &word, 8);
        }
        struct got got;
        uint8_t payload[128] = {0};
        for (int i = 0; i < 4; i++) {
            (void)read_all(&f, &got);
            (void)ring_mpsc_unblock(&f.ring);
            (void)ring_mpsc_write(&f.ring, 1, payload, (int32_t)(state % 129));
        }
        close_fixture(&f);
    }
}

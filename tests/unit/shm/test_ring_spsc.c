#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/ring_layout.h"
#include "shm/ring_spsc.h"

#define CAPACITY 1024

static struct ring_spsc open_ring(uint8_t **memory) {
    struct ring_spsc ring;
    *memory = aligned_alloc(64, CAPACITY + RING_TRAILER_LENGTH);
    memset(*memory, 0, CAPACITY + RING_TRAILER_LENGTH);
    cr_assert_eq(ring_spsc_init(&ring, *memory, CAPACITY + RING_TRAILER_LENGTH), 0);
    return ring;
}

struct checker {
    int32_t next;
    int32_t lengths[1024];
};

static int32_t length_of(int32_t i) {
    return 4 + i * 13 % 125;
}

static void check(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct checker *checker = context;
    int32_t i;
    memcpy(&i, payload, 4);
    cr_assert_eq(i, checker->next);
    cr_assert_eq(type, 1 + i % 5);
    cr_assert_eq(length, length_of(i));
    for (int32_t k = 4; k < length; k++) {
        cr_assert_eq(payload[k], (uint8_t)(i + k));
    }
    checker->next++;
}

Test(ring_spsc, messages_arrive_once_and_in_order_over_many_laps) {
    uint8_t *memory;
    struct ring_spsc ring = open_ring(&memory);
    struct checker checker = {0};
    uint8_t payload[128];
    int32_t sent = 0;
    uint32_t random = 12345;
    while (sent < 30000) {
        random = random * 1664525u + 1013904223u;
        for (uint32_t n = random >> 29; n > 0; n--) {
            int32_t length = length_of(sent);
            memcpy(payload, &sent, 4);
            for (int32_t k = 4; k < length; k++) {
                payload[k] = (uint8_t)(sent + k);
            }
            if (ring_spsc_write(&ring, 1 + sent % 5, payload, length) != RING_OK) {
                break;
            }
            sent++;
        }
        (void)ring_spsc_read(&ring, check, &checker, (int)(random >> 30));
    }
    while (checker.next < sent) {
        int64_t before = ring_spsc_free_bytes(&ring);
        (void)ring_spsc_read(&ring, check, &checker, 100);
        cr_assert_gt(ring_spsc_free_bytes(&ring), before);
    }
    cr_assert_eq(ring_spsc_read(&ring, check, &checker, 100), 0);
    cr_assert_eq(ring_spsc_free_bytes(&ring), CAPACITY);
    free(memory);
}

static void ignore(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    (void)context, (void)type, (void)payload, (void)length;
}

Test(ring_spsc, a_full_ring_and_bad_messages_are_refused) {
    uint8_t *memory;
    struct ring_spsc ring = open_ring(&memory);
    uint8_t payload[256] = {0};
    cr_assert_eq(ring_spsc_write(&ring, 0, payload, 4), RING_ERROR);
    cr_assert_eq(ring_spsc_write(&ring, 1, payload, -1), RING_ERROR);
    cr_assert_eq(ring_spsc_write(&ring, 1, payload, 129), RING_ERROR);
    int count = 0;
    while (ring_spsc_write(&ring, 1, payload, 120) == RING_OK) {
        count++;
    }
    cr_assert_eq(count, (CAPACITY - 8) / 128);
    cr_assert_eq(ring_spsc_write(&ring, 1, payload, 128), RING_FULL);
    cr_assert_eq(ring_spsc_read(&ring, ignore, NULL, 1), 1);
    /* 120 bytes are left at the end: a record of 128 wants its padding and room at the start. */
    cr_assert_eq(ring_spsc_write(&ring, 1, payload, 120), RING_FULL);
    cr_assert_eq(ring_spsc_read(&ring, ignore, NULL, 1), 1);
    cr_assert_eq(ring_spsc_write(&ring, 1, payload, 120), RING_OK);
    cr_assert_eq(ring_spsc_read(&ring, ignore, NULL, 100), count - 2);
    cr_assert_eq(ring_spsc_read(&ring, ignore, NULL, 100), 1);
    /* The trailer was never written over. */
    cr_assert_eq(*(int64_t *)(void *)(memory + CAPACITY), 0);
    free(memory);
    cr_assert_eq(ring_spsc_init(&ring, payload, RING_TRAILER_LENGTH + 100), -EINVAL);
}

static void count_message(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    (void)type;
    (void)payload;
    (void)length;
    ++*(int *)context;
}

Test(ring_spsc, a_read_finds_the_message_behind_the_padding) {
    uint8_t *memory;
    struct ring_spsc ring = open_ring(&memory);
    uint8_t payload[100] = {0};
    for (int i = 0; i < 100; i++) {
        int count = 0;
        cr_assert_eq(ring_spsc_write(&ring, 1, payload, 100), RING_OK);
        cr_assert_eq(ring_spsc_read(&ring, count_message, &count, 1), 1, "message %d", i);
        cr_assert_eq(count, 1);
        cr_assert_eq(ring_spsc_read(&ring, count_message, &count, 1), 0);
    }
    free(memory);
}

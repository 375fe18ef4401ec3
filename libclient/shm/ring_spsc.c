/* The one-producer ring: the record format of ring_mpsc without claims by CAS. It lives between two
 * agents of one process, so lengths are asserted rather than suspected.
 *
 * The producer first zeroes the length behind the new record, then publishes the tail, then the
 * record's length (release): the consumer reads lengths only and stops at the first zero. Unlike in
 * ring_mpsc the consumer zeroes nothing but publishes the head.
 */
#include "shm/ring_spsc.h"

#include <errno.h>

#include "shm/ring_layout.h"

int ring_spsc_init(struct ring_spsc *ring, uint8_t *memory, int64_t length) {
    if (!ring_length_is_valid(memory, length)) {
        return -EINVAL;
    }
    int64_t capacity = length - RING_TRAILER_LENGTH;
    *ring = (struct ring_spsc){
        .records = memory,
        .trailer = (struct ring_trailer *)(void *)(memory + capacity),
        .capacity = capacity,
        .message_length_max = (int32_t)(capacity / 8),
    };
    return 0;
}

/* Whether `required` more bytes behind `tail` leave the consumer's records alone. The head cache
 * spares the producer the consumer's cache line. */
static bool has_room(struct ring_trailer *trailer, int64_t capacity, int64_t tail,
                     int64_t required) {
    int64_t head = load_plain_i64(&trailer->head_cache_position);
    if (required <= capacity - (tail - head)) {
        return true;
    }
    head = load_acquire_i64(&trailer->head_position);
    store_plain_i64(&trailer->head_cache_position, head);
    return required <= capacity - (tail - head);
}

enum ring_status ring_spsc_write(struct ring_spsc *ring, int32_t type, const void *payload,
                                 int32_t length) {
    if (type < 1 || length < 0 || length > ring->message_length_max) {
        return RING_ERROR;
    }
    struct ring_trailer *trailer = ring->trailer;
    int32_t record_length = length + RING_RECORD_HEADER_LENGTH;
    /* One header more than the record: the zero that stops the consumer. */
    int64_t required = ring_aligned(record_length) + RING_RECORD_HEADER_LENGTH;
    int64_t tail = load_plain_i64(&trailer->tail_position);
    int64_t tail_index = ring_index(tail, ring->capacity);
    int64_t to_end = ring->capacity - tail_index;
    int64_t padding = required > to_end ? to_end : 0;
    if (!has_room(trailer, ring->capacity, tail, required + padding)) {
        return RING_FULL;
    }
    int64_t index = padding > 0 ? 0 : tail_index;
    struct ring_record *record = ring_record_at(ring->records, index);
    struct ring_record *next = ring_record_at(ring->records, index + ring_aligned(record_length));
    store_plain_i32(&next->length, 0);
    record->type = type;
    if (length > 0) {
        memcpy(record + 1, payload, (size_t)length);
    }
    store_release_i64(&trailer->tail_position, tail + padding + ring_aligned(record_length));
    store_release_i32(&record->length, record_length);
    if (padding > 0) {
        /* Published last: until then the consumer waits before it and does not see the start. */
        struct ring_record *pad = ring_record_at(ring->records, tail_index);
        store_plain_i32(&pad->type, RING_PADDING_TYPE);
        store_release_i32(&pad->length, (int32_t)padding);
    }
    return RING_OK;
}

/* Up to the end of the memory; *bytes tells how far it went. */
static int read_run(struct ring_spsc *ring, ring_handler handler, void *context, int limit,
                    int64_t *bytes) {
    int64_t head = load_plain_i64(&ring->trailer->head_position);
    int64_t index = ring_index(head, ring->capacity);
    int64_t contiguous = ring->capacity - index;
    int count = 0;
    *bytes = 0;
    while (*bytes < contiguous && count < limit) {
        const struct ring_record *record = ring_record_at(ring->records, index + *bytes);
        int32_t length = load_acquire_i32(&record->length);
        if (length == 0) {
            break;
        }
        assert(length >= RING_RECORD_HEADER_LENGTH);
        assert(ring_aligned(length) <= contiguous - *bytes);
        *bytes += ring_aligned(length);
        if (record->type != RING_PADDING_TYPE) {
            count++;
            handler(context, record->type, (const uint8_t *)(record + 1),
                    length - RING_RECORD_HEADER_LENGTH);
        }
    }
    if (*bytes > 0) {
        store_release_i64(&ring->trailer->head_position, head + *bytes);
    }
    return count;
}

/* Padding alone is no answer: an agent that has found nothing may wait, with a message behind the
 * padding whose wake-up it has had already. */
int ring_spsc_read(struct ring_spsc *ring, ring_handler handler, void *context, int limit) {
    int64_t bytes;
    int count = read_run(ring, handler, context, limit, &bytes);
    return count == 0 && bytes > 0 ? read_run(ring, handler, context, limit, &bytes) : count;
}

int64_t ring_spsc_free_bytes(const struct ring_spsc *ring) {
    int64_t head = load_acquire_i64(&ring->trailer->head_position);
    int64_t tail = load_acquire_i64(&ring->trailer->tail_position);
    return ring->capacity - (tail - head);
}

/* The many-producers ring: to-driver commands of cnc.dat (shared-memory.md 2.3).
 *
 * Producers reserve space by moving the tail (CAS), mark the record as being written by a negative
 * length, fill it, and publish it by the positive length (release). The one consumer reads lengths
 * with acquire, and zeroes what it consumed before it publishes the new head (release): a zero
 * length is what "nothing here yet" means to everybody.
 *
 * All of it is memory that any client can scribble on. Indexes are masked, and the consumer
 * believes no record length that does not fit between the record and the end of the ring.
 */
#include "shm/ring_mpsc.h"

#include <errno.h>

#include "shm/ring_layout.h"

#define INSUFFICIENT (-1)

int ring_mpsc_init(struct ring_mpsc *ring, uint8_t *memory, int64_t length) {
    if (!ring_length_is_valid(memory, length)) {
        return -EINVAL;
    }
    int64_t capacity = length - RING_TRAILER_LENGTH;
    *ring = (struct ring_mpsc){
        .records = memory,
        .trailer = (struct ring_trailer *)(void *)(memory + capacity),
        .capacity = capacity,
        .message_length_max = (int32_t)(capacity / 8),
    };
    return 0;
}

static int64_t free_bytes(const struct ring_mpsc *ring, int64_t tail, int64_t head) {
    return ring_distance(ring->capacity, ring_distance(tail, head));
}

static void write_padding(struct ring_mpsc *ring, int64_t index, int64_t length) {
    struct ring_record *record = ring_record_at(ring->records, index);
    store_release_i32(&record->length, (int32_t)-length);
    store_plain_i32(&record->type, RING_PADDING_TYPE);
    store_release_i32(&record->length, (int32_t)length);
}

/* The claim of 2.3: the index of the reserved record, or INSUFFICIENT. */
static int64_t claim(struct ring_mpsc *ring, int64_t required) {
    struct ring_trailer *trailer = ring->trailer;
    int64_t head = load_acquire_i64(&trailer->head_cache_position);
    int64_t tail, tail_index, padding, record_index;
    do {
        tail = load_acquire_i64(&trailer->tail_position);
        if (required > free_bytes(ring, tail, head)) {
            head = load_acquire_i64(&trailer->head_position);
            if (required > free_bytes(ring, tail, head)) {
                return INSUFFICIENT;
            }
            store_release_i64(&trailer->head_cache_position, head);
        }
        padding = 0;
        tail_index = ring_index(tail, ring->capacity);
        record_index = tail_index;
        int64_t to_end = ring->capacity - tail_index;
        if (required > to_end) {
            /* A record never wraps: pad to the end and begin again at the start. */
            if (required > ring_index(head, ring->capacity)) {
                head = load_acquire_i64(&trailer->head_position);
                if (required > ring_index(head, ring->capacity)) {
                    return INSUFFICIENT;
                }
                store_release_i64(&trailer->head_cache_position, head);
            }
            record_index = 0;
            padding = to_end;
        }
    } while (!compare_and_set_i64(&trailer->tail_position, tail,
                                  ring_advance(tail, required + padding)));

    if (padding != 0) {
        write_padding(ring, tail_index, padding);
    }
    return record_index;
}

enum ring_status ring_mpsc_try_claim(struct ring_mpsc *ring, int32_t type, int32_t length,
                                     uint8_t **payload) {
    if (type < 1 || length < 0 || length > ring->message_length_max) {
        return RING_ERROR;
    }
    int32_t record_length = length + RING_RECORD_HEADER_LENGTH;
    int64_t index = claim(ring, ring_aligned(record_length));
    if (index < 0) {
        return RING_FULL;
    }
    struct ring_record *record = ring_record_at(ring->records, index);
    store_release_i32(&record->length, -record_length);
    fence_release();
    store_plain_i32(&record->type, type);
    *payload = (uint8_t *)record + RING_RECORD_HEADER_LENGTH;
    return RING_OK;
}

static struct ring_record *record_of(const struct ring_mpsc *ring, uint8_t *payload) {
    int64_t index = payload - RING_RECORD_HEADER_LENGTH - ring->records;
    assert(index >= 0 && index < ring->capacity);
    assert(ring_index(index, ring->capacity) == index);
    return ring_record_at(ring->records, index);
}

/* A length that is no longer negative was unblocked by the consumer meanwhile: the claim has been
 * lost, and what lies there may already belong to another producer. */
void ring_mpsc_commit(struct ring_mpsc *ring, uint8_t *payload) {
    struct ring_record *record = record_of(ring, payload);
    int32_t length = load_plain_i32(&record->length);
    if (length < 0) {
        store_release_i32(&record->length, -length);
    }
}

void ring_mpsc_abort(struct ring_mpsc *ring, uint8_t *payload) {
    struct ring_record *record = record_of(ring, payload);
    int32_t length = load_plain_i32(&record->length);
    if (length < 0) {
        store_plain_i32(&record->type, RING_PADDING_TYPE);
        store_release_i32(&record->length, -length);
    }
}

enum ring_status ring_mpsc_write(struct ring_mpsc *ring, int32_t type, const void *payload,
                                 int32_t length) {
    uint8_t *claimed;
    enum ring_status status = ring_mpsc_try_claim(ring, type, length, &claimed);
    if (status == RING_OK) {
        if (length > 0) {
            memcpy(claimed, payload, (size_t)length);
        }
        ring_mpsc_commit(ring, claimed);
    }
    return status;
}

/* One batch of the consumer: the span that starts at the head and ends at the end of the ring. */
struct batch {
    int64_t head;
    int64_t index;
    int64_t contiguous; /* bytes from index to the end of the ring */
    int64_t bytes;      /* consumed so far */
};

static struct batch begin_batch(const struct ring_mpsc *ring) {
    int64_t head = load_plain_i64(&ring->trailer->head_position);
    int64_t index = ring_index(head, ring->capacity);
    return (struct batch){.head = head, .index = index, .contiguous = ring->capacity - index};
}

/* Zero what was consumed, then publish the head. */
static void publish_batch(struct ring_mpsc *ring, struct batch *batch) {
    if (batch->bytes > 0) {
        memset(ring->records + batch->index, 0, (size_t)batch->bytes);
        batch->head = ring_advance(batch->head, batch->bytes);
        store_release_i64(&ring->trailer->head_position, batch->head);
        batch->index += batch->bytes;
        batch->contiguous -= batch->bytes;
        batch->bytes = 0;
    }
}

/* What producers claimed ahead of `position`. The tail is anybody's to write: more than the ring
 * holds cannot be true. */
static int64_t claimed_bytes(const struct ring_mpsc *ring, int64_t tail, int64_t position) {
    return ring_aligned(min_i64(ring_distance(tail, position), ring->capacity));
}

/* A record lies about its length, so nothing behind it can be found: give up what was claimed, to
 * the tail or the end of the ring. A record beyond the tail was never claimed and is only erased,
 * because the head must not pass the tail. */
static void skip_corrupt(struct ring_mpsc *ring, struct batch *batch) {
    int64_t position = ring_advance(batch->head, batch->bytes);
    int64_t tail = load_acquire_i64(&ring->trailer->tail_position);
    int64_t claimed = claimed_bytes(ring, tail, position);
    int64_t to_end = batch->contiguous - batch->bytes;
    if (claimed > 0) {
        batch->bytes += min_i64(claimed, to_end);
    } else {
        memset(ring->records + batch->index + batch->bytes, 0, RING_RECORD_HEADER_LENGTH);
    }
}

/* The next record of the batch that is no padding, or NULL. Consumes it (and padding before it). */
static const struct ring_record *next_record(struct ring_mpsc *ring, struct batch *batch,
                                             int32_t *payload_length) {
    while (batch->bytes < batch->contiguous) {
        struct ring_record *record = ring_record_at(ring->records, batch->index + batch->bytes);
        int32_t length = load_acquire_i32(&record->length);
        if (length <= 0) {
            return NULL;
        }
        if (UNLIKELY(length < RING_RECORD_HEADER_LENGTH ||
                     ring_aligned(length) > batch->contiguous - batch->bytes)) {
            skip_corrupt(ring, batch);
            return NULL;
        }
        batch->bytes += ring_aligned(length);
        if (record->type != RING_PADDING_TYPE) {
            *payload_length = length - RING_RECORD_HEADER_LENGTH;
            return record;
        }
    }
    return NULL;
}

int ring_mpsc_read(struct ring_mpsc *ring, ring_handler handler, void *context, int limit) {
    struct batch batch = begin_batch(ring);
    int count = 0;
    while (count < limit) {
        int32_t length;
        const struct ring_record *record = next_record(ring, &batch, &length);
        if (record == NULL) {
            break;
        }
        count++;
        handler(context, record->type, (const uint8_t *)(record + 1), length);
    }
    publish_batch(ring, &batch);
    return count;
}

int ring_mpsc_controlled_read(struct ring_mpsc *ring, ring_controlled_handler handler,
                              void *context, int limit) {
    struct batch batch = begin_batch(ring);
    int count = 0;
    while (count < limit) {
        int32_t length;
        const struct ring_record *record = next_record(ring, &batch, &length);
        if (record == NULL) {
            break;
        }
        enum ring_action action =
            handler(context, record->type, (const uint8_t *)(record + 1), length);
        if (action == RING_ABORT) {
            batch.bytes -= ring_aligned((int64_t)length + RING_RECORD_HEADER_LENGTH);
            break;
        }
        count++;
        if (action == RING_BREAK) {
            break;
        }
        if (action == RING_COMMIT) {
            publish_batch(ring, &batch);
        }
    }
    publish_batch(ring, &batch);
    return count;
}

static void make_padding(struct ring_mpsc *ring, int64_t index, int64_t length) {
    struct ring_record *record = ring_record_at(ring->records, index);
    store_plain_i32(&record->type, RING_PADDING_TYPE);
    store_release_i32(&record->length, (int32_t)length);
}

static int32_t length_at(const struct ring_mpsc *ring, int64_t index) {
    return load_acquire_i32(&ring_record_at(ring->records, index)->length);
}

/* Only zero lengths in [from, to): nobody began to write there while we looked. */
static bool is_still_zero(const struct ring_mpsc *ring, int64_t from, int64_t to) {
    for (int64_t i = to - RING_RECORD_ALIGNMENT; i >= from; i -= RING_RECORD_ALIGNMENT) {
        if (length_at(ring, i) != 0) {
            return false;
        }
    }
    return true;
}

/* A producer died between moving the tail and writing its length: the hole ends where the next
 * record begins. A hole up to the end of the ring with records behind the wrap is one, too. */
static bool unblock_hole(struct ring_mpsc *ring, int64_t index, int64_t claimed) {
    int64_t to_end = ring->capacity - index;
    int64_t limit = index + min_i64(claimed, to_end);
    for (int64_t i = index + RING_RECORD_ALIGNMENT; i < limit; i += RING_RECORD_ALIGNMENT) {
        if (length_at(ring, i) != 0) {
            if (!is_still_zero(ring, index, i)) {
                return false;
            }
            make_padding(ring, index, i - index);
            return true;
        }
    }
    if (claimed > to_end && is_still_zero(ring, index, ring->capacity)) {
        make_padding(ring, index, to_end);
        return true;
    }
    return false;
}

bool ring_mpsc_unblock(struct ring_mpsc *ring) {
    int64_t head = load_acquire_i64(&ring->trailer->head_position);
    int64_t tail = load_acquire_i64(&ring->trailer->tail_position);
    int64_t claimed = claimed_bytes(ring, tail, head);
    if (claimed <= 0) {
        return false;
    }
    int64_t index = ring_index(head, ring->capacity);
    int32_t length = length_at(ring, index);
    if (length == 0) {
        return unblock_hole(ring, index, claimed);
    }
    if (length > 0) {
        return false;
    }
    /* Claimed and never committed. A length that cannot be true loses what was claimed. */
    int64_t claimed_length = -(int64_t)length;
    int64_t room = min_i64(claimed, ring->capacity - index);
    if (claimed_length < RING_RECORD_HEADER_LENGTH || ring_aligned(claimed_length) > room) {
        claimed_length = room;
    }
    make_padding(ring, index, claimed_length);
    return true;
}

int64_t ring_mpsc_next_correlation_id(struct ring_mpsc *ring) {
    return get_and_add_i64(&ring->trailer->correlation_counter, 1);
}

int64_t ring_mpsc_consumer_position(const struct ring_mpsc *ring) {
    return load_acquire_i64(&ring->trailer->head_position);
}

int64_t ring_mpsc_producer_position(const struct ring_mpsc *ring) {
    return load_acquire_i64(&ring->trailer->tail_position);
}

int64_t ring_mpsc_consumer_heartbeat(const struct ring_mpsc *ring) {
    return load_acquire_i64(&ring->trailer->consumer_heartbeat_ms);
}

void ring_mpsc_set_consumer_heartbeat(struct ring_mpsc *ring, int64_t epoch_ms) {
    store_release_i64(&ring->trailer->consumer_heartbeat_ms, epoch_ms);
}

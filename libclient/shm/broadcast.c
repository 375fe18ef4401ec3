/* The broadcast buffer of cnc.dat: one transmitter, any number of receivers, nobody waits
 * (shared-memory.md 2.4).
 *
 * The transmitter announces how far it is going to write (intent) before it writes, and publishes
 * the record by its tail afterwards. A receiver copies a record out and then looks at the intent
 * again: when the transmitter has meanwhile come within one capacity of the record, the copy may
 * be torn and is thrown away. Because both sides touch the same bytes at the same time, the copies
 * are made of relaxed 8-byte atomics; records start at multiples of 8.
 *
 * Clients can write this memory, too: a receiver checks each length against the buffer.
 */
#include "shm/broadcast.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#define RECORD_HEADER_LENGTH 8
#define RECORD_ALIGNMENT 8
#define PADDING_TYPE (-1)
#define CAPACITY_MIN 64 /* room for at least one record of the longest message */

struct broadcast_trailer {
    int64_t tail_intent;
    int64_t tail;
    int64_t latest;
    uint8_t pad[104];
};

_Static_assert(sizeof(struct broadcast_trailer) == BROADCAST_TRAILER_LENGTH, "trailer");
_Static_assert(offsetof(struct broadcast_trailer, latest) == 16, "latest");

static bool is_valid(const void *memory, int64_t length) {
    int64_t capacity = length - BROADCAST_TRAILER_LENGTH;
    return memory != NULL && capacity >= CAPACITY_MIN && capacity <= INT32_MAX &&
           is_power_of_two(capacity);
}

static int64_t index_of(int64_t position, int64_t capacity) {
    return position & (capacity - RECORD_ALIGNMENT);
}

/* Defined for whatever lies in the trailer. */
static int64_t advance(int64_t position, int64_t delta) {
    return (int64_t)((uint64_t)position + (uint64_t)delta);
}

static int64_t aligned(int64_t length) {
    return align_i64(length, RECORD_ALIGNMENT);
}

static int64_t *word_at(uint8_t *records, int64_t index) {
    return (int64_t *)(void *)(records + index);
}

/* The first word of a record, low half length, high half type. */
static int64_t record_word(int32_t length, int32_t type) {
    return (int64_t)(((uint64_t)(uint32_t)type << 32) | (uint32_t)length);
}

int broadcast_transmitter_init(struct broadcast_transmitter *transmitter, uint8_t *memory,
                               int64_t length) {
    if (!is_valid(memory, length)) {
        return -EINVAL;
    }
    int64_t capacity = length - BROADCAST_TRAILER_LENGTH;
    *transmitter = (struct broadcast_transmitter){
        .records = memory,
        .trailer = (struct broadcast_trailer *)(void *)(memory + capacity),
        .capacity = capacity,
        .message_length_max = (int32_t)(capacity / 8),
    };
    return 0;
}

static void copy_in(uint8_t *records, int64_t index, const uint8_t *payload, int64_t length) {
    int64_t offset = 0;
    for (; offset + 8 <= length; offset += 8) {
        store_plain_i64(word_at(records, index + offset), get_i64(payload + offset));
    }
    if (offset < length) {
        int64_t last = 0;
        memcpy(&last, payload + offset, (size_t)(length - offset));
        store_plain_i64(word_at(records, index + offset), last);
    }
}

int broadcast_transmit(struct broadcast_transmitter *transmitter, int32_t type, const void *payload,
                       int32_t length) {
    if (type < 1 || length < 0 || length > transmitter->message_length_max) {
        return -EINVAL;
    }
    struct broadcast_trailer *trailer = transmitter->trailer;
    int64_t tail = load_plain_i64(&trailer->tail);
    int64_t index = index_of(tail, transmitter->capacity);
    int64_t to_end = transmitter->capacity - index;
    int64_t required = aligned((int64_t)length + RECORD_HEADER_LENGTH);
    bool is_wrapping = to_end < required;

    /* The intent must be visible before the first byte that it warns of. */
    store_release_i64(&trailer->tail_intent, advance(tail, required + (is_wrapping ? to_end : 0)));
    fence_release();
    if (is_wrapping) {
        store_plain_i64(word_at(transmitter->records, index),
                        record_word((int32_t)to_end, PADDING_TYPE));
        tail = advance(tail, to_end);
        index = 0;
    }
    store_plain_i64(word_at(transmitter->records, index),
                    record_word(length + RECORD_HEADER_LENGTH, type));
    copy_in(transmitter->records, index + RECORD_HEADER_LENGTH, payload, length);
    store_release_i64(&trailer->latest, tail);
    store_release_i64(&trailer->tail, advance(tail, required));
    return 0;
}

int broadcast_receiver_init(struct broadcast_receiver *receiver, const uint8_t *memory,
                            int64_t length) {
    if (!is_valid(memory, length)) {
        return -EINVAL;
    }
    int64_t capacity = length - BROADCAST_TRAILER_LENGTH;
    *receiver = (struct broadcast_receiver){
        .records = memory,
        .trailer = (const struct broadcast_trailer *)(const void *)(memory + capacity),
        .capacity = capacity,
    };
    receiver->cursor = load_acquire_i64(&receiver->trailer->latest);
    receiver->next_record = receiver->cursor;
    receiver->record_offset = index_of(receiver->cursor, capacity);
    return 0;
}

/* The bytes at `position` have not been, and are not being, overwritten. */
static bool is_intact(const struct broadcast_receiver *receiver, int64_t position) {
    int64_t intent = load_acquire_i64(&receiver->trailer->tail_intent);
    return (int64_t)((uint64_t)intent - (uint64_t)position) < receiver->capacity;
}

static int64_t load_word(const struct broadcast_receiver *receiver, int64_t index) {
    return load_plain_i64((const int64_t *)(const void *)(receiver->records + index));
}

static int lapped(struct broadcast_receiver *receiver, int64_t resume_position) {
    receiver->lapped_count++;
    receiver->cursor = resume_position;
    receiver->next_record = resume_position;
    return -EOVERFLOW;
}

/* Make the record at next_record current, stepping over a padding record. Returns its first word,
 * or 0 when it cannot be a record: overwritten, or written by somebody who lies. */
static int64_t take_record(struct broadcast_receiver *receiver) {
    for (int i = 0; i < 2; i++) {
        int64_t index = index_of(receiver->next_record, receiver->capacity);
        int64_t word = load_word(receiver, index);
        int32_t length = (int32_t)word;
        if (length < RECORD_HEADER_LENGTH || length > receiver->capacity - index) {
            return 0;
        }
        receiver->cursor = receiver->next_record;
        receiver->record_offset = index;
        receiver->next_record = advance(receiver->next_record, aligned(length));
        if ((int32_t)(word >> 32) != PADDING_TYPE) {
            return word;
        }
    }
    return 0;
}

static void copy_out(const struct broadcast_receiver *receiver, uint8_t *buffer, int32_t length) {
    int64_t index = receiver->record_offset + RECORD_HEADER_LENGTH;
    int64_t offset = 0;
    for (; offset + 8 <= length; offset += 8) {
        put_i64(buffer + offset, load_word(receiver, index + offset));
    }
    if (offset < length) {
        int64_t last = load_word(receiver, index + offset);
        memcpy(buffer + offset, &last, (size_t)(length - offset));
    }
}

int broadcast_receive(struct broadcast_receiver *receiver, int32_t *type, uint8_t *buffer,
                      int32_t capacity, int32_t *message_length) {
    int64_t tail = load_acquire_i64(&receiver->trailer->tail);
    if (tail <= receiver->next_record) {
        return 0;
    }
    if (!is_intact(receiver, receiver->next_record)) {
        return lapped(receiver, load_acquire_i64(&receiver->trailer->latest));
    }
    int64_t word = take_record(receiver);
    if (word == 0) {
        return lapped(receiver, tail);
    }
    int32_t length = (int32_t)word - RECORD_HEADER_LENGTH;
    if (length <= capacity) {
        copy_out(receiver, buffer, length);
    }
    /* The copy is made before the intent is looked at again; pairs with the fence in transmit. */
    fence_acquire();
    if (!is_intact(receiver, receiver->cursor)) {
        return lapped(receiver, load_acquire_i64(&receiver->trailer->latest));
    }
    if (length > capacity) {
        return -ENOBUFS;
    }
    *type = (int32_t)(word >> 32);
    *message_length = length;
    return 1;
}

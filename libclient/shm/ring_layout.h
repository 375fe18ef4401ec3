/* Records and trailer of the ring buffers in shared memory (shared-memory.md 2.3). Private to
 * ring_mpsc.c and ring_spsc.c. */
#ifndef TERN_SHM_RING_LAYOUT_H
#define TERN_SHM_RING_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"
#include "shm/ring_mpsc.h"

/* Each field has a pair of cache lines to itself, so that producers, consumer and heartbeat never
 * share one. */
struct ring_trailer {
    uint8_t pad0[128];
    int64_t tail_position; /* producers */
    uint8_t pad1[120];
    int64_t head_cache_position; /* producers */
    uint8_t pad2[120];
    int64_t head_position; /* consumer */
    uint8_t pad3[120];
    int64_t correlation_counter; /* anyone */
    uint8_t pad4[120];
    int64_t consumer_heartbeat_ms; /* consumer */
    uint8_t pad5[120];
};

_Static_assert(sizeof(struct ring_trailer) == RING_TRAILER_LENGTH, "trailer");
_Static_assert(offsetof(struct ring_trailer, tail_position) == 128, "tail");
_Static_assert(offsetof(struct ring_trailer, head_cache_position) == 256, "head cache");
_Static_assert(offsetof(struct ring_trailer, head_position) == 384, "head");
_Static_assert(offsetof(struct ring_trailer, correlation_counter) == 512, "correlation counter");
_Static_assert(offsetof(struct ring_trailer, consumer_heartbeat_ms) == 640, "heartbeat");

struct ring_record {
    int32_t length; /* header + payload, not rounded; negative while being written */
    int32_t type;
};

_Static_assert(sizeof(struct ring_record) == RING_RECORD_HEADER_LENGTH, "record header");

/* A position's place in the ring. The positions live in memory that others can write, so the
 * result is forced into the ring and to a record boundary whatever they say. */
static inline int64_t ring_index(int64_t position, int64_t capacity) {
    return position & (capacity - RING_RECORD_ALIGNMENT);
}

/* Sums and differences of positions, defined for whatever lies in the trailer. */
static inline int64_t ring_advance(int64_t position, int64_t delta) {
    return (int64_t)((uint64_t)position + (uint64_t)delta);
}

static inline int64_t ring_distance(int64_t to, int64_t from) {
    return (int64_t)((uint64_t)to - (uint64_t)from);
}

static inline struct ring_record *ring_record_at(uint8_t *records, int64_t index) {
    return (struct ring_record *)(void *)(records + index);
}

static inline int64_t ring_aligned(int64_t length) {
    return align_i64(length, RING_RECORD_ALIGNMENT);
}

/* Room for at least one record of the longest message. */
#define RING_CAPACITY_MIN 64

static inline bool ring_length_is_valid(const void *memory, int64_t length) {
    int64_t capacity = length - RING_TRAILER_LENGTH;
    return memory != NULL && capacity >= RING_CAPACITY_MIN && capacity <= INT32_MAX &&
           is_power_of_two(capacity);
}

#endif

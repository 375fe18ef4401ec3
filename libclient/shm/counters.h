/* Counters: metadata and values sections of cnc.dat (shared-memory.md 2.5, 2.6, 6).
 *
 * counters_manager is the driver's (single writer of metadata); counters_reader is everybody's.
 * Both are views. A counter's value word may be written by its owner from any process.
 */
#ifndef TERN_SHM_COUNTERS_H
#define TERN_SHM_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define COUNTER_METADATA_LENGTH 512
#define COUNTER_VALUE_LENGTH 128
#define COUNTER_KEY_LENGTH_MAX 112
#define COUNTER_LABEL_LENGTH_MAX 380
#define COUNTER_NULL_ID (-1)

enum counter_state {
    COUNTER_STATE_UNUSED = 0,
    COUNTER_STATE_ALLOCATED = 1,
    COUNTER_STATE_RECLAIMED = -1,
};

struct counter_metadata {
    int32_t state;
    int32_t type_id;
    int64_t free_for_reuse_deadline_ms;
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    int32_t label_length;
    char label[COUNTER_LABEL_LENGTH_MAX];
};

struct counter_value {
    int64_t value;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    uint8_t pad[96];
};

struct counters_reader {
    const struct counter_metadata *metadata;
    struct counter_value *values; /* writable only in a read/write mapping */
    int32_t id_max;
};

/* 0, or -EINVAL when the metadata is shorter than four times the values. */
int counters_reader_init(struct counters_reader *reader, const uint8_t *metadata,
                         int64_t metadata_length, uint8_t *values, int64_t values_length);

/* Visit allocated counters in id order until `visit` returns non-zero, which is returned. */
typedef int (*counter_visitor)(void *context, int32_t id, const struct counter_metadata *metadata,
                               const struct counter_value *value);
int counters_reader_for_each(const struct counters_reader *reader, counter_visitor visit,
                             void *context);

/* COUNTER_NULL_ID when there is none. */
int32_t counters_reader_find(const struct counters_reader *reader, int32_t type_id,
                             int64_t registration_id);
/* All checked: an id out of range gives UNUSED / 0 / NULL. */
enum counter_state counters_reader_state(const struct counters_reader *reader, int32_t id);
int64_t counters_reader_value(const struct counters_reader *reader, int32_t id); /* acquire */
int64_t *counters_reader_address(const struct counters_reader *reader, int32_t id);
int32_t counters_reader_type_id(const struct counters_reader *reader, int32_t id);
int64_t counters_reader_registration_id(const struct counters_reader *reader, int32_t id);
int64_t counters_reader_owner_id(const struct counters_reader *reader, int32_t id);
int64_t counters_reader_reference_id(const struct counters_reader *reader, int32_t id);
/* Copies at most size - 1 bytes and a NUL; returns the length copied. */
int32_t counters_reader_label(const struct counters_reader *reader, int32_t id, char *label,
                              int32_t size);
/* The label's length, clamped to what a record holds (for visitors). */
int32_t counter_metadata_label_length(const struct counter_metadata *metadata);

/* What the manager knows of an id without asking the shared memory. */
struct counter_slot {
    int64_t reuse_deadline_ms;
    bool is_allocated;
};

/* Driver only; one agent. Allocates its tables once, for all ids. */
struct counters_manager {
    struct counter_metadata *metadata;
    struct counter_value *values;
    int32_t id_max;
    int32_t id_high_water; /* -1: none allocated yet */
    int64_t reuse_timeout_ms;
    struct counter_slot *slots; /* id_max + 1 */
    int32_t *free_ids;          /* FIFO ring of id_max + 1 entries */
    int32_t free_head;
    int32_t free_count;
};

struct counter_params {
    int32_t type_id;
    const void *key; /* truncated to 112 bytes; NULL with length 0 */
    int32_t key_length;
    const char *label; /* truncated to 380 bytes */
    int32_t label_length;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    int64_t initial_value; /* stored before the state becomes ALLOCATED */
};

int counters_manager_init(struct counters_manager *manager, uint8_t *metadata,
                          int64_t metadata_length, uint8_t *values, int64_t values_length,
                          int64_t reuse_timeout_ms);
void counters_manager_close(struct counters_manager *manager);
/* Returns the id, or -ENOSPC when every counter is in use or waiting for reuse. */
int32_t counters_manager_allocate(struct counters_manager *manager,
                                  const struct counter_params *params, int64_t now_epoch_ms);
/* The id must be allocated (a second free of the same id is a bug and asserts). */
void counters_manager_free(struct counters_manager *manager, int32_t id, int64_t now_epoch_ms);
/* A reader may meet a mixture of both texts; the length it sees is never beyond what was written.
 */
void counters_manager_set_label(struct counters_manager *manager, int32_t id, const char *label,
                                int32_t length);
void counters_manager_append_label(struct counters_manager *manager, int32_t id, const char *text);
static inline int64_t *counters_manager_address(struct counters_manager *manager, int32_t id) {
    return &manager->values[id].value;
}

/* The value word of any counter. */
static inline void counter_set_release(int64_t *address, int64_t value) {
    store_release_i64(address, value);
}
static inline int64_t counter_get_acquire(const int64_t *address) {
    return load_acquire_i64(address);
}
static inline void counter_increment(int64_t *address, int64_t delta) {
    (void)get_and_add_i64(address, delta);
}
/* For words with a single writer: no locked instruction. */
static inline void counter_increment_single_writer(int64_t *address, int64_t delta) {
    store_release_i64(address, load_plain_i64(address) + delta);
}
static inline void counter_propose_max(int64_t *address, int64_t value) {
    if (value > load_plain_i64(address)) {
        store_release_i64(address, value);
    }
}

#endif

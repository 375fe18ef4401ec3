/* Counters of cnc.dat: the driver's allocator and everybody's reader (shared-memory.md 2.5, 2.6).
 *
 * The metadata has one writer, the driver's conductor. The order of its stores is what readers
 * rely on: every field of a record is in place before its state becomes ALLOCATED (release), and
 * the state becomes RECLAIMED before anything is cleared. A freed id waits reuse_timeout_ms, so
 * that nobody who still holds it can mistake its successor for it.
 *
 * The memory can be written by every client. The manager therefore keeps what it must believe
 * (which ids are free, since when) in its own memory, and readers clamp each length they read.
 */
#include "shm/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"

_Static_assert(sizeof(struct counter_metadata) == COUNTER_METADATA_LENGTH, "metadata record");
_Static_assert(offsetof(struct counter_metadata, free_for_reuse_deadline_ms) == 8, "deadline");
_Static_assert(offsetof(struct counter_metadata, key) == 16, "key");
_Static_assert(offsetof(struct counter_metadata, label_length) == 128, "label length");
_Static_assert(offsetof(struct counter_metadata, label) == 132, "label");
_Static_assert(sizeof(struct counter_value) == COUNTER_VALUE_LENGTH, "value record");
_Static_assert(offsetof(struct counter_value, registration_id) == 8, "registration id");
_Static_assert(offsetof(struct counter_value, owner_id) == 16, "owner id");
_Static_assert(offsetof(struct counter_value, reference_id) == 24, "reference id");

/* Metadata is four times the values, so that both sections hold the same number of records. */
#define METADATA_RATIO (COUNTER_METADATA_LENGTH / COUNTER_VALUE_LENGTH)

static int record_count(const void *metadata, int64_t metadata_length, const void *values,
                        int64_t values_length, int32_t *count) {
    if (metadata == NULL || values == NULL || values_length < COUNTER_VALUE_LENGTH ||
        values_length > INT32_MAX || metadata_length < values_length * METADATA_RATIO) {
        return -EINVAL;
    }
    *count = (int32_t)(values_length / COUNTER_VALUE_LENGTH);
    return 0;
}

int counters_reader_init(struct counters_reader *reader, const uint8_t *metadata,
                         int64_t metadata_length, uint8_t *values, int64_t values_length) {
    int32_t count;
    int result = record_count(metadata, metadata_length, values, values_length, &count);
    if (result < 0) {
        return result;
    }
    reader->metadata = (const struct counter_metadata *)(const void *)metadata;
    reader->values = (struct counter_value *)(void *)values;
    reader->id_max = count - 1;
    return 0;
}

static bool is_in_range(const struct counters_reader *reader, int32_t id) {
    return id >= 0 && id <= reader->id_max;
}

int counters_reader_for_each(const struct counters_reader *reader, counter_visitor visit,
                             void *context) {
    for (int32_t id = 0; id <= reader->id_max; id++) {
        int32_t state = load_acquire_i32(&reader->metadata[id].state);
        if (state == COUNTER_STATE_UNUSED) {
            break;
        }
        if (state == COUNTER_STATE_ALLOCATED) {
            int result = visit(context, id, &reader->metadata[id], &reader->values[id]);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}

int32_t counters_reader_find(const struct counters_reader *reader, int32_t type_id,
                             int64_t registration_id) {
    for (int32_t id = 0; id <= reader->id_max; id++) {
        int32_t state = load_acquire_i32(&reader->metadata[id].state);
        if (state == COUNTER_STATE_UNUSED) {
            break;
        }
        if (state == COUNTER_STATE_ALLOCATED && reader->metadata[id].type_id == type_id &&
            load_acquire_i64(&reader->values[id].registration_id) == registration_id) {
            return id;
        }
    }
    return COUNTER_NULL_ID;
}

enum counter_state counters_reader_state(const struct counters_reader *reader, int32_t id) {
    if (!is_in_range(reader, id)) {
        return COUNTER_STATE_UNUSED;
    }
    int32_t state = load_acquire_i32(&reader->metadata[id].state);
    if (state == COUNTER_STATE_ALLOCATED || state == COUNTER_STATE_RECLAIMED) {
        return (enum counter_state)state;
    }
    return COUNTER_STATE_UNUSED;
}

int64_t counters_reader_value(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? load_acquire_i64(&reader->values[id].value) : 0;
}

int64_t *counters_reader_address(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? &reader->values[id].value : NULL;
}

int32_t counters_reader_type_id(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? load_plain_i32(&reader->metadata[id].type_id) : 0;
}

int64_t counters_reader_registration_id(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? load_acquire_i64(&reader->values[id].registration_id) : 0;
}

int64_t counters_reader_owner_id(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? load_plain_i64(&reader->values[id].owner_id) : 0;
}

int64_t counters_reader_reference_id(const struct counters_reader *reader, int32_t id) {
    return is_in_range(reader, id) ? load_plain_i64(&reader->values[id].reference_id) : 0;
}

int32_t counter_metadata_label_length(const struct counter_metadata *metadata) {
    int32_t length = load_acquire_i32(&metadata->label_length);
    return max_i32(0, min_i32(length, COUNTER_LABEL_LENGTH_MAX));
}

int32_t counters_reader_label(const struct counters_reader *reader, int32_t id, char *label,
                              int32_t size) {
    assert(size > 0);
    int32_t length = 0;
    if (is_in_range(reader, id)) {
        length = min_i32(counter_metadata_label_length(&reader->metadata[id]), size - 1);
        memcpy(label, reader->metadata[id].label, (size_t)length);
    }
    label[length] = '\0';
    return length;
}

int counters_manager_init(struct counters_manager *manager, uint8_t *metadata,
                          int64_t metadata_length, uint8_t *values, int64_t values_length,
                          int64_t reuse_timeout_ms) {
    int32_t count;
    int result = record_count(metadata, metadata_length, values, values_length, &count);
    if (result < 0) {
        return result;
    }
    struct counter_slot *slots = calloc((size_t)count, sizeof *slots);
    int32_t *free_ids = calloc((size_t)count, sizeof *free_ids);
    if (slots == NULL || free_ids == NULL) {
        free(slots);
        free(free_ids);
        return -ENOMEM;
    }
    *manager = (struct counters_manager){
        .metadata = (struct counter_metadata *)(void *)metadata,
        .values = (struct counter_value *)(void *)values,
        .id_max = count - 1,
        .id_high_water = -1,
        .reuse_timeout_ms = reuse_timeout_ms,
        .slots = slots,
        .free_ids = free_ids,
    };
    return 0;
}

void counters_manager_close(struct counters_manager *manager) {
    free(manager->slots);
    free(manager->free_ids);
    *manager = (struct counters_manager){0};
}

static int32_t free_ring_index(const struct counters_manager *manager, int32_t position) {
    return (int32_t)(((int64_t)manager->free_head + position) % (manager->id_max + 1));
}

/* Take the `position`th entry of the free list; the entries before it move up by one. */
static int32_t take_free_id(struct counters_manager *manager, int32_t position) {
    int32_t id = manager->free_ids[free_ring_index(manager, position)];
    for (int32_t i = position; i > 0; i--) {
        manager->free_ids[free_ring_index(manager, i)] =
            manager->free_ids[free_ring_index(manager, i - 1)];
    }
    manager->free_head = free_ring_index(manager, 1);
    manager->free_count--;
    return id;
}

static int32_t next_id(struct counters_manager *manager, int64_t now_epoch_ms) {
    /* Freed ids are queued in the order of their deadlines, so the first decides. */
    if (manager->free_count > 0) {
        int32_t first = manager->free_ids[manager->free_head];
        if (manager->slots[first].reuse_deadline_ms <= now_epoch_ms) {
            return take_free_id(manager, 0);
        }
    }
    if (manager->id_high_water < manager->id_max) {
        return ++manager->id_high_water;
    }
    /* Only after the wall clock was stepped back may a later one be ready before the first. */
    for (int32_t i = 1; i < manager->free_count; i++) {
        int32_t id = manager->free_ids[free_ring_index(manager, i)];
        if (manager->slots[id].reuse_deadline_ms <= now_epoch_ms) {
            return take_free_id(manager, i);
        }
    }
    return -ENOSPC;
}

int32_t counters_manager_allocate(struct counters_manager *manager,
                                  const struct counter_params *params, int64_t now_epoch_ms) {
    assert(params->key_length >= 0);
    assert(params->label_length >= 0);
    int32_t id = next_id(manager, now_epoch_ms);
    if (id < 0) {
        return id;
    }
    assert(!manager->slots[id].is_allocated);
    manager->slots[id].is_allocated = true;

    struct counter_value *value = &manager->values[id];
    struct counter_metadata *metadata = &manager->metadata[id];
    size_t key_length = (size_t)min_i32(params->key_length, COUNTER_KEY_LENGTH_MAX);
    size_t label_length = (size_t)min_i32(params->label_length, COUNTER_LABEL_LENGTH_MAX);

    store_release_i64(&value->registration_id, params->registration_id);
    store_plain_i64(&value->owner_id, params->owner_id);
    store_plain_i64(&value->reference_id, params->reference_id);
    store_release_i64(&value->value, params->initial_value);

    store_plain_i32(&metadata->type_id, params->type_id);
    store_plain_i64(&metadata->free_for_reuse_deadline_ms, INT64_MAX);
    memset(metadata->key, 0, sizeof metadata->key);
    if (key_length > 0) {
        memcpy(metadata->key, params->key, key_length);
    }
    if (label_length > 0) {
        memcpy(metadata->label, params->label, label_length);
    }
    store_release_i32(&metadata->label_length, (int32_t)label_length);
    /* Pairs with the acquire load of the state in every reader. */
    store_release_i32(&metadata->state, COUNTER_STATE_ALLOCATED);
    return id;
}

void counters_manager_free(struct counters_manager *manager, int32_t id, int64_t now_epoch_ms) {
    assert(id >= 0 && id <= manager->id_high_water);
    assert(manager->slots[id].is_allocated);
    struct counter_metadata *metadata = &manager->metadata[id];
    int64_t deadline_ms = now_epoch_ms + manager->reuse_timeout_ms;

    store_release_i32(&metadata->state, COUNTER_STATE_RECLAIMED);
    memset(metadata->key, 0, sizeof metadata->key);
    store_plain_i64(&metadata->free_for_reuse_deadline_ms, deadline_ms);

    manager->slots[id] = (struct counter_slot){.reuse_deadline_ms = deadline_ms};
    manager->free_ids[free_ring_index(manager, manager->free_count)] = id;
    manager->free_count++;
    assert(manager->free_count <= manager->id_max + 1);
}

void counters_manager_set_label(struct counters_manager *manager, int32_t id, const char *label,
                                int32_t length) {
    assert(id >= 0 && id <= manager->id_high_water);
    struct counter_metadata *metadata = &manager->metadata[id];
    length = min_i32(length, COUNTER_LABEL_LENGTH_MAX);
    memcpy(metadata->label, label, (size_t)length);
    store_release_i32(&metadata->label_length, length);
}

void counters_manager_append_label(struct counters_manager *manager, int32_t id, const char *text) {
    assert(id >= 0 && id <= manager->id_high_water);
    struct counter_metadata *metadata = &manager->metadata[id];
    int32_t length = counter_metadata_label_length(metadata);
    int32_t room = COUNTER_LABEL_LENGTH_MAX - length;
    int32_t added = (int32_t)strnlen(text, (size_t)room);
    memcpy(metadata->label + length, text, (size_t)added);
    store_release_i32(&metadata->label_length, length + added);
}

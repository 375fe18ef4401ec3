/* Linear probing with backward-shift deletion: no tombstones, so lookups of absent keys stay short
 * however often entries come and go. Grows at two thirds full; never shrinks. */
#include "base/hash_map.h"

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"

#define CAPACITY_MIN 16

static size_t home_of(int64_t key, size_t mask) {
    /* Fibonacci hashing spreads consecutive ids over the table. */
    uint64_t hash = (uint64_t)key * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & mask;
}

static size_t find_slot(const struct hash_map *map, int64_t key) {
    size_t mask = map->capacity - 1;
    size_t index = home_of(key, mask);
    while (map->entries[index].value != NULL && map->entries[index].key != key) {
        index = (index + 1) & mask;
    }
    return index;
}

static int grow(struct hash_map *map) {
    size_t capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2;
    struct hash_map bigger = {calloc(capacity, sizeof(struct hash_map_entry)), capacity,
                              map->count};
    if (bigger.entries == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->entries[i].value != NULL) {
            bigger.entries[find_slot(&bigger, map->entries[i].key)] = map->entries[i];
        }
    }
    free(map->entries);
    *map = bigger;
    return 0;
}

void *hash_map_get(const struct hash_map *map, int64_t key) {
    return map->count == 0 ? NULL : map->entries[find_slot(map, key)].value;
}

int hash_map_put(struct hash_map *map, int64_t key, void *value) {
    assert(value != NULL);
    if ((map->count + 1) * 3 > map->capacity * 2) {
        int result = grow(map);
        if (result != 0) {
            return result;
        }
    }
    struct hash_map_entry *entry = &map->entries[find_slot(map, key)];
    map->count += entry->value == NULL;
    *entry = (struct hash_map_entry){key, value};
    return 0;
}

void *hash_map_remove(struct hash_map *map, int64_t key) {
    if (map->count == 0) {
        return NULL;
    }
    size_t mask = map->capacity - 1;
    size_t hole = find_slot(map, key);
    void *removed = map->entries[hole].value;
    if (removed == NULL) {
        return NULL;
    }
    /* Pull back every follower that the hole would make unreachable. */
    for (size_t i = (hole + 1) & mask; map->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = home_of(map->entries[i].key, mask);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct hash_map_entry){0};
    map->count--;
    return removed;
}

void hash_map_close(struct hash_map *map) {
    free(map->entries);
    *map = (struct hash_map){0};
}

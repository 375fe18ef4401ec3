/* An open-addressing map from int64 keys to pointers, for control planes and dispatch tables.
 * Not thread-safe; one agent owns it. Values are borrowed. NULL values are not allowed. */
#ifndef TERN_BASE_HASH_MAP_H
#define TERN_BASE_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_map_entry {
    int64_t key;
    void *value; /* NULL: free */
};

struct hash_map {
    struct hash_map_entry *entries;
    size_t capacity; /* power of two, or 0 before the first put */
    size_t count;
};

/* A zeroed struct is an empty map. */
void *hash_map_get(const struct hash_map *map, int64_t key);
/* Insert or replace; 0, or -ENOMEM with the map unchanged. */
int hash_map_put(struct hash_map *map, int64_t key, void *value);
/* Returns the removed value or NULL. */
void *hash_map_remove(struct hash_map *map, int64_t key);
void hash_map_close(struct hash_map *map);

/* Two 32-bit ids, e.g. (session, stream), as one key. */
static inline int64_t hash_map_pair_key(int32_t high, int32_t low) {
    return (int64_t)(((uint64_t)(uint32_t)high << 32) | (uint32_t)low);
}

#endif

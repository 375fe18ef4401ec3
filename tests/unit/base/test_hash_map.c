#include <criterion/criterion.h>

#include "base/hash_map.h"

/* A plain array as the model; deletions in every order must leave the others reachable. */
Test(hash_map, agrees_with_a_model_under_random_changes) {
    enum { KEYS = 300 };
    static int values[KEYS];
    bool present[KEYS] = {false};
    struct hash_map map = {0};
    uint32_t seed = 1;
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525 + 1013904223;
        int index = (int)((seed >> 8) % KEYS);
        int64_t key = index % 2 == 0 ? (int64_t)index << 32 : -index;
        if ((seed >> 28) < 8) {
            cr_assert_eq(hash_map_put(&map, key, &values[index]), 0);
            count += !present[index];
            present[index] = true;
        } else {
            void *removed = hash_map_remove(&map, key);
            cr_assert_eq(removed, present[index] ? &values[index] : NULL);
            count -= present[index];
            present[index] = false;
        }
        cr_assert_eq(map.count, count);
    }
    for (int index = 0; index < KEYS; index++) {
        int64_t key = index % 2 == 0 ? (int64_t)index << 32 : -index;
        cr_assert_eq(hash_map_get(&map, key), present[index] ? &values[index] : NULL);
    }
    hash_map_close(&map);
    cr_assert_null(hash_map_get(&map, 0));
    hash_map_close(&map);
}

/* A store in memory that forgets what was not synced when it is told to crash. */
#ifndef TESTS_CONSENSUSD_MEMORY_STORE_H
#define TESTS_CONSENSUSD_MEMORY_STORE_H

#include "base/store.h"

#define MEMORY_FILES_MAX 8

struct memory_file {
    char path[256];
    uint8_t *bytes;
    int64_t length;
    uint8_t *synced;
    int64_t synced_length;
    bool exists;
};

struct memory_store {
    struct store store;
    struct memory_file files[MEMORY_FILES_MAX];
    int fail_after; /* writes and syncs until -EIO; negative: never */
    int sync_count;
};

void memory_store_init(struct memory_store *memory);
void memory_store_crash(struct memory_store *memory);
void memory_store_close(struct memory_store *memory);
struct memory_file *memory_store_find(struct memory_store *memory, const char *path);
/* Make a file with this content, as if synced. */
void memory_store_put(struct memory_store *memory, const char *path, const void *bytes,
                      int64_t length);

#endif

/* A fresh directory per test, and whole files as byte arrays. */
#ifndef TERN_TESTS_ARCHIVED_PLACE_H
#define TERN_TESTS_ARCHIVED_PLACE_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/store.h"

struct place {
    char directory[64];
};

static inline void place_open(struct place *place) {
    (void)snprintf(place->directory, sizeof place->directory, "/tmp/tern-archived-XXXXXX");
    cr_assert_not_null(mkdtemp(place->directory));
}

static inline void place_close(struct place *place) {
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place->directory);
    cr_assert_eq(system(command), 0);
}

/* Unpack a golden archive directory; it becomes <place>/<name>. */
static inline void place_unpack(struct place *place, const char *name) {
    char command[512];
    (void)snprintf(command, sizeof command, "tar -xzf '%s/archive/%s.tar.gz' -C '%s'", GOLDEN_DIR,
                   name, place->directory);
    cr_assert_eq(system(command), 0);
    size_t length = strlen(place->directory);
    (void)snprintf(place->directory + length, sizeof place->directory - length, "/%s", name);
}

static inline const char *place_path(const struct place *place, const char *name, char path[256]) {
    (void)snprintf(path, 256, "%s/%s", place->directory, name);
    return path;
}

static inline bool place_has(const struct place *place, const char *name) {
    char path[256];
    struct stat status;
    return stat(place_path(place, name, path), &status) == 0;
}

static inline int64_t place_read(const struct place *place, const char *name, void *data,
                                 int64_t length) {
    char path[256];
    FILE *file = fopen(place_path(place, name, path), "rb");
    cr_assert_not_null(file, "%s", path);
    int64_t count = (int64_t)fread(data, 1, (size_t)length, file);
    (void)fclose(file);
    return count;
}

/* Write at an offset, making the file when it is missing. */
static inline void place_write(const struct place *place, const char *name, const void *data,
                               int64_t length, int64_t offset) {
    char path[256];
    const struct store *store = store_system();
    int file;
    cr_assert_eq(
        store->open(NULL, place_path(place, name, path), STORE_WRITE | STORE_CREATE, &file), 0);
    cr_assert_eq(store->pwrite(NULL, file, data, length, offset), 0);
    cr_assert_eq(store->close(NULL, file), 0);
}

static inline int64_t place_length(const struct place *place, const char *name) {
    char path[256];
    struct stat status;
    cr_assert_eq(stat(place_path(place, name, path), &status), 0, "%s", path);
    return (int64_t)status.st_size;
}

#endif

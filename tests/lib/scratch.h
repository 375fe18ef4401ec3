/* A directory of its own for one test, removed with the files in it. */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
    char directory[64];
    char path[384];
};

static inline void scratch_open(struct scratch *scratch) {
    strcpy(scratch->directory, "/tmp/tern-test-XXXXXX");
    cr_assert_not_null(mkdtemp(scratch->directory));
}

/* The path of a file in it; valid until the next call. */
static inline const char *scratch_path(struct scratch *scratch, const char *name) {
    (void)snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->directory, name);
    return scratch->path;
}

static inline const char *scratch_write(struct scratch *scratch, const char *name,
                                        const void *bytes, size_t length) {
    const char *path = scratch_path(scratch, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, length, file), length);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static inline void scratch_close(struct scratch *scratch) {
    DIR *directory = opendir(scratch->directory);
    cr_assert_not_null(directory);
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlink(scratch_path(scratch, entry->d_name));
        }
    }
    (void)closedir(directory);
    cr_assert_eq(rmdir(scratch->directory), 0);
}

#endif

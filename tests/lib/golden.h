/* Reading files of tests/golden, gzip or plain. */
#ifndef TESTS_LIB_GOLDEN_H
#define TESTS_LIB_GOLDEN_H

#include <criterion/criterion.h>

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

/* The whole file with a NUL behind it; the caller frees it. */
static inline uint8_t *golden_read(const char *name, int64_t *length) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", GOLDEN_DIR, name);
    gzFile file = gzopen(path, "rb");
    cr_assert_not_null(file, "cannot open %s", path);
    size_t capacity = 1 << 20;
    uint8_t *bytes = malloc(capacity + 1);
    *length = 0;
    int count;
    while ((count = gzread(file, bytes + *length, (unsigned)(capacity - (size_t)*length))) > 0) {
        *length += count;
        if ((size_t)*length == capacity) {
            capacity *= 2;
            bytes = realloc(bytes, capacity + 1);
        }
    }
    cr_assert_eq(count, 0, "%s is damaged", path);
    (void)gzclose(file);
    bytes[*length] = '\0';
    return bytes;
}

#endif

/* Allocation on cache lines; see memory.h. Called wherever handles of the data path are made. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

void *memory_allocate_lines(size_t length) {
    if (length > SIZE_MAX - CACHE_LINE_LENGTH) {
        return NULL;
    }
    size_t whole = (length + CACHE_LINE_LENGTH - 1) & ~(size_t)(CACHE_LINE_LENGTH - 1);
    void *memory = aligned_alloc(CACHE_LINE_LENGTH, whole);
    if (memory != NULL) {
        memset(memory, 0, whole);
    }
    return memory;
}

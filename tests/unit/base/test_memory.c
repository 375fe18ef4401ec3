#include <criterion/criterion.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/memory.h"

Test(memory, has_zeroed_lines_for_itself) {
    uint8_t *previous = NULL;
    for (size_t length = 1; length <= 200; length += 33) {
        uint8_t *memory = memory_allocate_lines(length);
        cr_assert_not_null(memory);
        cr_assert_eq((uintptr_t)memory % CACHE_LINE_LENGTH, 0);
        for (size_t i = 0; i < length; i++) {
            cr_assert_eq(memory[i], 0);
        }
        memset(memory, 0xFF, length);
        free(previous); /* the next one may get used memory */
        previous = memory;
    }
    free(previous);
}

Test(memory, refuses_a_length_that_cannot_be_rounded) {
    cr_assert_null(memory_allocate_lines(SIZE_MAX));
}

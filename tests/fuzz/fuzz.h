/* What a harness gives to fuzz_main.c, and to libFuzzer. */
#ifndef TERN_TESTS_FUZZ_H
#define TERN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_INPUT_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The `index`-th valid input (there are endless many: take it modulo); its size. */
size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity);
/* How many inputs the code under test took for valid: a harness that never gets in proves nothing.
 */
uint64_t fuzz_accepted(void);

#endif

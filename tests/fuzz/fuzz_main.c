/* Runs a libFuzzer-style harness without libFuzzer, for CI: `fuzz_x [RUNS [SEED]]`. It makes inputs
 * by mutating what fuzz_seed of the harness gives it: bits, bytes, and above all 16- and 32-bit
 * words set to the values that break length checks. The sequence depends on SEED only. With file
 * names instead of a number it runs these inputs, to replay what a real fuzzer found.
 *
 * `fuzz_x --seeds DIRECTORY` writes seeds into files, for libFuzzer to begin with. */
#include "fuzz.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_DEFAULT 200000
#define MUTATIONS_MAX 4
#define SEED_COUNT 70 /* each kind of each harness, in all variants */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t mutate(uint8_t *data, size_t size, uint64_t *random) {
    static const uint32_t values[] = {0,          1,          2,          3,          4,
                                      7,          8,          15,         16,         31,
                                      32,         127,        128,        255,        256,
                                      1408,       65534,      65535,      65536,      0x40000000,
                                      0x7ffffff0, 0x7ffffffc, 0x7fffffff, 0x80000000, 0x80000001,
                                      0xfffffff0, 0xfffffff8, 0xfffffffc, 0xfffffffe, 0xffffffff};
    size_t at = size == 0 ? 0 : next_random(random) % size;
    uint32_t value = values[next_random(random) % (sizeof values / sizeof values[0])];
    switch (size == 0 ? 5 : next_random(random) % 7) {
    case 0:
        data[at] ^= (uint8_t)(1u << next_random(random) % 8);
        break;
    case 1:
        data[at] = (uint8_t)next_random(random);
        break;
    case 2:
    case 3:
        memcpy(data + at, &value, size - at < 4 ? size - at : 4);
        break;
    case 4:
        memcpy(data + at, &value, size - at < 2 ? size - at : 2);
        break;
    case 5: /* longer, with what memory held before */
        return size + next_random(random) % (FUZZ_INPUT_MAX - size + 1);
    default:
        return at;
    }
    return size;
}

static void run_exact(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1); /* AddressSanitizer guards its end */
    assert(copy != NULL);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path) {
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    run_exact(data, fread(data, 1, sizeof data, file));
    fclose(file);
    return 0;
}

static int write_seeds(const char *directory) {
    static uint8_t data[FUZZ_INPUT_MAX];
    for (uint64_t i = 0; i < SEED_COUNT; i++) {
        char path[4096];
        size_t size = fuzz_seed(i, data, sizeof data);
        (void)snprintf(path, sizeof path, "%s/seed-%" PRIu64, directory, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    static uint8_t data[FUZZ_INPUT_MAX];
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        return write_seeds(argv[2]);
    }
    if (argc > 1 && !isdigit((unsigned char)argv[1][0])) {
        int result = 0;
        for (int i = 1; i < argc; i++) {
            result |= run_file(argv[i]);
        }
        return result;
    }
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 0) : RUNS_DEFAULT;
    uint64_t random = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    for (uint64_t i = 0; i < runs; i++) {
        size_t size = fuzz_seed(i, data, sizeof data);
        assert(size <= sizeof data);
        for (uint64_t k = next_random(&random) % (MUTATIONS_MAX + 1); k > 0; k--) {
            size = mutate(data, size, &random);
        }
        run_exact(data, size);
    }
    printf("%" PRIu64 " inputs, %" PRIu64 " accepted\n", runs, fuzz_accepted());
    return fuzz_accepted() > 0 ? 0 : 1;
}

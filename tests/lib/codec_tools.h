/* Helpers for tests of the generated codecs: they work on any message through its table, so that
 * one loop covers a whole schema. Shared by the unit tests and the fuzz harnesses. */
#ifndef TERN_TESTS_LIB_CODEC_TOOLS_H
#define TERN_TESTS_LIB_CODEC_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/sbe.h"

#define CODEC_GROUPS_MAX 2
#define CODEC_ELEMENTS_MAX 64

/* A decoded message with the elements of its groups. */
struct codec_message {
    _Alignas(8) uint8_t message[SBE_STRUCT_LENGTH_MAX];
    _Alignas(8) uint8_t elements[CODEC_GROUPS_MAX][CODEC_ELEMENTS_MAX * SBE_STRUCT_LENGTH_MAX];
};

/* A valid message with a different value in each field, two elements in each group, and texts of
 * different lengths, one of them empty. `seed` varies the values. */
void codec_sample(const struct sbe_layout *layout, int32_t seed, struct codec_message *message);

/* Decode, with the groups fetched into arrays so that the result can be encoded. -E2BIG when a
 * group has more than CODEC_ELEMENTS_MAX elements. */
int codec_decode(const struct sbe_layout *layout, struct codec_message *message, const void *buffer,
                 int32_t length);

const struct sbe_layout *codec_find(const struct sbe_layouts *layouts, const char *name);

/* Reads pairs of hex digits up to the first other character; the count of bytes, or -1. */
int32_t codec_from_hex(const char *hex, uint8_t *bytes, int32_t capacity);

/* A copy of the first `length` bytes that ends where the memory does, so that AddressSanitizer sees
 * the first byte read too much. The caller frees it. */
uint8_t *codec_exact_copy(const void *bytes, int32_t length);

#endif

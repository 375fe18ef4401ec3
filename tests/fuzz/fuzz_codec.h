/* The body of the codec harnesses. */
#ifndef TERN_TESTS_FUZZ_CODEC_H
#define TERN_TESTS_FUZZ_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "wire/sbe.h"

/* Read `data` as every message and every record, whatever its header says, and print it. What is
 * accepted must encode, and the encoding must decode to a message that encodes the same. The count
 * of layouts that accepted. */
uint64_t fuzz_codec_run(const struct sbe_layouts *messages, const struct sbe_layouts *records,
                        const uint8_t *data, size_t size);
size_t fuzz_codec_seed(const struct sbe_layouts *messages, const struct sbe_layouts *records,
                       uint64_t index, uint8_t *data, size_t capacity);

#endif

/* Fuzz harness of the archive codec: every byte string is a message or is refused, see
 * fuzz_codec.h. */
#include "fuzz.h"
#include "fuzz_codec.h"
#include "wire/archive_codec.h"

static uint64_t accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    accepted += fuzz_codec_run(&archive_messages, &archive_records, data, size) > 0;
    return 0;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    return fuzz_codec_seed(&archive_messages, &archive_records, index, data, capacity);
}

uint64_t fuzz_accepted(void) {
    return accepted;
}

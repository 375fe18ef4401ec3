/* Fuzz harness of the cluster codec: every byte string is a message or is refused, see
 * fuzz_codec.h. */
#include "fuzz.h"
#include "fuzz_codec.h"
#include "wire/cluster_codec.h"

static uint64_t accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    accepted += fuzz_codec_run(&cluster_messages, &cluster_records, data, size) > 0;
    return 0;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    return fuzz_codec_seed(&cluster_messages, &cluster_records, index, data, capacity);
}

uint64_t fuzz_accepted(void) {
    return accepted;
}

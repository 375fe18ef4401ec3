/* Fuzz harness of commands and responses: the first byte chooses the type, the rest is the payload.
 * What is decoded can be encoded again and is then decoded to the same. */
#include "fuzz.h"

#include <assert.h>
#include <string.h>

#include "wire/command.h"

static uint64_t accepted;

static int32_t type_of(uint8_t selector) {
    return selector & 1 ? RESPONSE_ERROR + selector / 2 % 14 : selector / 2 % 20;
}

static void check_slice(struct text_slice slice, const uint8_t *data, size_t size) {
    if (slice.text != NULL) {
        assert(slice.length >= 0);
        assert(slice.text >= (const char *)data);
        assert(slice.text + slice.length <= (const char *)data + size);
    }
}

static void run_command(int32_t type, const uint8_t *payload, size_t size) {
    struct command command, again;
    if (command_decode(&command, type, payload, (int32_t)size) == 0) {
        uint8_t bytes[2 * FUZZ_INPUT_MAX];
        check_slice(command.channel, payload, size);
        check_slice(command.key, payload, size);
        check_slice(command.label, payload, size);
        check_slice(command.text, payload, size);
        int32_t length = command_encode(&command, bytes, sizeof bytes);
        assert(length > 0);
        int result = command_decode(&again, type, bytes, length);
        assert(result == 0 && again.correlation_id == command.correlation_id);
        assert(again.channel.length == command.channel.length);
        (void)result;
        accepted++;
    }
}

static void run_response(int32_t type, const uint8_t *payload, size_t size) {
    struct response response, again;
    if (response_decode(&response, type, payload, (int32_t)size) == 0) {
        uint8_t bytes[2 * FUZZ_INPUT_MAX];
        check_slice(response.text, payload, size);
        check_slice(response.source_identity, payload, size);
        int32_t length = response_encode(&response, bytes, sizeof bytes);
        assert(length > 0);
        int result = response_decode(&again, type, bytes, length);
        assert(result == 0 && again.correlation_id == response.correlation_id);
        assert(again.text.length == response.text.length);
        (void)result;
        accepted++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        int32_t type = type_of(data[0]);
        if (type >= RESPONSE_ERROR) {
            run_response(type, data + 1, size - 1);
        } else {
            run_command(type, data + 1, size - 1);
        }
    }
    return 0;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    static const struct text_slice text = {"aeron:udp?endpoint=localhost:20121", 34};
    int32_t type = type_of(data[0] = (uint8_t)index);
    int32_t length = 16;
    memset(data + 1, 0, capacity - 1);
    if (type >= COMMAND_ADD_PUBLICATION && type <= COMMAND_NEXT_SESSION_ID) {
        const struct command command = {
            .type = type, .channel = text, .key = text, .label = text, .text = text};
        length = command_encode(&command, data + 1, (int32_t)capacity - 1);
    } else if (type >= RESPONSE_ERROR && type <= RESPONSE_NEXT_SESSION_ID) {
        const struct response response = {.type = type, .text = text, .source_identity = text};
        length = response_encode(&response, data + 1, (int32_t)capacity - 1);
    }
    return (size_t)length + 1;
}

uint64_t fuzz_accepted(void) {
    return accepted;
}

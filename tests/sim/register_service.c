/* See register_service.h. */
#include "sim/register_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_ATTEMPTS_MAX 10000
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

struct register_state {
    int64_t value;
    int64_t version;
};

struct registers {
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
    struct register_state states[REGISTER_COUNT];
};

static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    (void)argument;
    (void)error;
    struct registers *registers = calloc(1, sizeof *registers);
    if (registers != NULL) {
        *registers = (struct registers){.host = host, .operations = operations};
    }
    return registers;
}

static void destroy(void *service) {
    free(service);
}

static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    struct registers *registers = service;
    int64_t request[REGISTER_REQUEST_WORDS];
    (void)timestamp;
    if (session == NULL || length != (int32_t)sizeof request) {
        return;
    }
    memcpy(request, buffer, sizeof request);
    struct register_state *state = &registers->states[(uint64_t)request[2] % REGISTER_COUNT];
    bool is_write = request[0] == REGISTER_WRITE ||
                    (request[0] == REGISTER_CAS && request[4] == state->version);
    if (is_write) {
        state->value = request[3];
        state->version++;
    }
    const int64_t answer[REGISTER_ANSWER_WORDS] = {
        request[0],   request[1],     request[2],
        state->value, state->version, is_write || request[0] == REGISTER_READ,
    };
    (void)tern_service_send(registers->host, registers->operations, session->session_id, answer,
                            (int32_t)sizeof answer, SEND_ATTEMPTS_MAX);
}

static int on_take_snapshot(void *service, struct tern_service_snapshot *snapshot,
                            struct tern_error *error) {
    const struct registers *registers = service;
    int result = registers->operations->snapshot_write(snapshot, registers->states,
                                                       (int32_t)sizeof registers->states);
    if (result != 0) {
        error->code = result;
        (void)snprintf(error->text, sizeof error->text, "no memory for the snapshot");
    }
    return result;
}

static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    struct registers *registers = service;
    const void *message;
    int32_t length;
    if (snapshot == NULL) {
        return 0;
    }
    if (registers->operations->snapshot_read(snapshot, &message, &length) == 0 ||
        length != (int32_t)sizeof registers->states) {
        error->code = -EBADMSG;
        (void)snprintf(error->text, sizeof error->text, "no snapshot of registers");
        return error->code;
    }
    memcpy(registers->states, message, sizeof registers->states);
    return 0;
}

const struct tern_service_plugin register_service_plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "registers",
    .version = "1",
    .create = create,
    .destroy = destroy,
    .on_start = on_start,
    .on_session_message = on_session_message,
    .on_take_snapshot = on_take_snapshot,
};

uint64_t register_service_hash(const void *service) {
    const struct registers *registers = service;
    uint64_t hash = HASH_START;
    for (int i = 0; i < REGISTER_COUNT; i++) {
        hash = (hash ^ (uint64_t)registers->states[i].value) * HASH_PRIME;
        hash = (hash ^ (uint64_t)registers->states[i].version) * HASH_PRIME;
    }
    return hash;
}

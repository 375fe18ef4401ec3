/* echo: answers every message of a client with the same bytes. The smallest useful service; it has
 * no state, so its snapshots are empty. */
#include <stdlib.h>

#include <tern/service.h>

/* A client that does not read may hold the service up this many idle rounds per answer. */
#define SEND_ATTEMPTS_MAX 10000

struct echo {
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
};

static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    (void)argument;
    (void)error;
    struct echo *echo = calloc(1, sizeof *echo);
    if (echo != NULL) {
        *echo = (struct echo){host, operations};
    }
    return echo;
}

static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    const struct echo *echo = service;
    (void)timestamp;
    if (session != NULL) {
        (void)tern_service_send(echo->host, echo->operations, session->session_id, buffer, length,
                                SEND_ATTEMPTS_MAX);
    }
}

/* A snapshot may hold the state of another service (it was exchanged): nothing of it is used. */
static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    (void)service;
    (void)snapshot;
    (void)error;
    return 0;
}

TERN_API const struct tern_service_plugin tern_service_plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "echo",
    .version = "1",
    .create = create,
    .destroy = free,
    .on_start = on_start,
    .on_session_message = on_session_message,
};

/* Clients: liveness and counters.
 *
 * A client proves that it lives by storing the time in its heartbeat counter; the driver only looks
 * at each timer. Closing sets the heartbeat to 0, so that the same look collects it.
 */
#include "driverd/client_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "driverd/driver_context.h"

static int create_heartbeat(struct client_session *session, struct tern_error *error) {
    struct driver_context *context = session->context;
    char label[64];
    const struct counter_params params = {
        .type_id = COUNTER_TYPE_CLIENT_HEARTBEAT,
        .key = &session->id,
        .key_length = sizeof session->id,
        .label = label,
        .label_length =
            snprintf(label, sizeof label, "client-heartbeat: id=%lld", (long long)session->id),
        .registration_id = session->id,
        .owner_id = session->id,
        .initial_value = context->now_epoch_ms,
    };
    session->heartbeat_counter_id = driver_context_allocate_counter(context, &params, error);
    if (session->heartbeat_counter_id < 0) {
        return session->heartbeat_counter_id;
    }
    session->heartbeat = driver_context_counter(context, session->heartbeat_counter_id);
    heartbeat_init(&session->seen, context->now_epoch_ms, context->now_ns);
    const struct response response = {
        .type = RESPONSE_COUNTER_READY,
        .correlation_id = session->id,
        .counter_id = session->heartbeat_counter_id,
    };
    driver_context_respond(context, &response);
    return 0;
}

int client_session_create(struct client_session **session, struct driver_context *context,
                          int64_t client_id, struct tern_error *error) {
    struct client_session *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return error_set(error, -ENOMEM, "no memory for client_id=%lld", (long long)client_id);
    }
    made->context = context;
    made->id = client_id;
    int result = create_heartbeat(made, error);
    if (result < 0) {
        free(made);
        return result;
    }
    *session = made;
    return 0;
}

static void announce_unavailable(struct client_session *session, int64_t registration_id,
                                 int32_t counter_id) {
    const struct response response = {
        .type = RESPONSE_UNAVAILABLE_COUNTER,
        .correlation_id = registration_id,
        .counter_id = counter_id,
    };
    driver_context_respond(session->context, &response);
}

static void free_counter(struct client_session *session, struct client_counter *counter) {
    announce_unavailable(session, counter->registration_id, counter->id);
    driver_context_free_counter(session->context, &counter->id);
    free(counter);
}

void client_session_destroy(struct client_session *session) {
    assert(session->publications.count == 0);
    announce_unavailable(session, session->id, session->heartbeat_counter_id);
    for (size_t i = 0; i < session->counters.capacity; i++) {
        if (session->counters.entries[i].value != NULL) {
            free_counter(session, session->counters.entries[i].value);
        }
    }
    hash_map_close(&session->counters);
    hash_map_close(&session->publications);
    driver_context_free_counter(session->context, &session->heartbeat_counter_id);
    free(session);
}

void client_session_keepalive(struct client_session *session) {
    counter_set_release(session->heartbeat, session->context->now_epoch_ms);
}

void client_session_close(struct client_session *session) {
    session->is_closed = true;
    counter_set_release(session->heartbeat, 0);
}

bool client_session_is_expired(struct client_session *session) {
    const struct driver_context *context = session->context;
    int64_t heartbeat_ms = counter_get_acquire(session->heartbeat);
    if (session->is_closed || heartbeat_ms <= 0) {
        return true;
    }
    return heartbeat_look(&session->seen, heartbeat_ms, context->now_ns, context->now_epoch_ms) >
           context->conf->client_liveness_timeout_ns;
}

void client_session_announce_timeout(struct client_session *session) {
    const struct response response = {.type = RESPONSE_CLIENT_TIMEOUT,
                                      .correlation_id = session->id};
    context_count(session->context, SYSTEM_COUNTER_CLIENT_TIMEOUTS, 1);
    driver_context_respond(session->context, &response);
}

static int allocate_counter(struct client_session *session, const struct command *command,
                            int32_t *counter_id, struct tern_error *error) {
    const struct counter_params params = {
        .type_id = command->counter_type_id,
        .key = command->key.text,
        .key_length = command->key.length,
        .label = command->label.text,
        .label_length = command->label.length,
        .registration_id = command->correlation_id,
        .owner_id = session->id,
    };
    *counter_id = driver_context_allocate_counter(session->context, &params, error);
    return *counter_id < 0 ? *counter_id : 0;
}

int client_session_add_counter(struct client_session *session, const struct command *command,
                               struct tern_error *error) {
    struct client_counter *counter = calloc(1, sizeof *counter);
    if (counter == NULL || hash_map_put(&session->counters, command->correlation_id, counter) < 0) {
        free(counter);
        return error_set(error, -ENOMEM, "no memory for a counter");
    }
    int result = allocate_counter(session, command, &counter->id, error);
    if (result < 0) {
        (void)hash_map_remove(&session->counters, command->correlation_id);
        free(counter);
        return result;
    }
    counter->registration_id = command->correlation_id;
    const struct response response = {
        .type = RESPONSE_COUNTER_READY,
        .correlation_id = command->correlation_id,
        .counter_id = counter->id,
    };
    driver_context_respond(session->context, &response);
    return 0;
}

bool client_session_remove_counter(struct client_session *session, const struct command *command) {
    struct client_counter *counter = hash_map_remove(&session->counters, command->registration_id);
    if (counter == NULL) {
        return false;
    }
    driver_context_respond_success(session->context, command->correlation_id);
    free_counter(session, counter);
    return true;
}

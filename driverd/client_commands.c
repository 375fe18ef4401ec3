/* What clients ask about themselves: liveness, counters, the end of the driver. And their own end,
 * by command or by silence. */
#include "driverd/client_session.h"
#include "driverd/conductor.h"
#include "driverd/publication.h"
#include "driverd/subscription.h"
#include "shm/log_wake.h"

int conductor_keepalive(struct conductor *conductor, const struct command *command,
                        struct tern_error *error) {
    struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    (void)error;
    if (session != NULL && !session->is_closed) {
        client_session_keepalive(session);
    }
    return 0;
}

int conductor_client_close(struct conductor *conductor, const struct command *command,
                           struct tern_error *error) {
    struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    (void)error;
    if (session != NULL) {
        client_session_close(session);
    }
    return 0;
}

int conductor_add_counter(struct conductor *conductor, const struct command *command,
                          struct tern_error *error) {
    struct client_session *session;
    int result = conductor_client(conductor, command->client_id, &session, error);
    if (result < 0) {
        return result;
    }
    if (hash_map_get(&session->counters, command->correlation_id) != NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "registration_id=%lld is in use", (long long)command->correlation_id);
    }
    return client_session_add_counter(session, command, error);
}

int conductor_remove_counter(struct conductor *conductor, const struct command *command,
                             struct tern_error *error) {
    struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    if (session == NULL || !client_session_remove_counter(session, command)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_UNKNOWN_COUNTER),
                         "unknown counter client_id=%lld registration_id=%lld",
                         (long long)command->client_id, (long long)command->registration_id);
    }
    return 0;
}

static struct counters_reader reader_of(const struct driver_context *context) {
    const struct cnc *cnc = &context->cnc;
    struct counters_reader reader;
    int result =
        counters_reader_init(&reader, cnc->counters_metadata, cnc->counters_metadata_length,
                             cnc->counters_values, cnc->counters_values_length);
    assert(result == 0);
    (void)result;
    return reader;
}

static int allocate_static(struct driver_context *context, const struct command *command,
                           struct tern_error *error) {
    const struct counter_params params = {
        .type_id = command->counter_type_id,
        .key = command->key.text,
        .key_length = command->key.length,
        .label = command->label.text,
        .label_length = command->label.length,
        .registration_id = command->registration_id,
        .owner_id = -1,
    };
    return driver_context_allocate_counter(context, &params, error);
}

/* Static counters live as long as the driver: whoever asks for type and id gets the same. */
int conductor_add_static_counter(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error) {
    struct driver_context *context = conductor->context;
    struct client_session *session;
    int result = conductor_client(conductor, command->client_id, &session, error);
    if (result < 0) {
        return result;
    }
    struct counters_reader reader = reader_of(context);
    int32_t id = counters_reader_find(&reader, command->counter_type_id, command->registration_id);
    if (id == COUNTER_NULL_ID) {
        id = allocate_static(context, command, error);
        if (id < 0) {
            return id;
        }
    } else if (counters_reader_owner_id(&reader, id) != -1) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "cannot add static counter, because a non-static counter exists: "
                         "counter_id=%d type_id=%d registration_id=%lld",
                         id, command->counter_type_id, (long long)command->registration_id);
    }
    const struct response response = {
        .type = RESPONSE_STATIC_COUNTER,
        .correlation_id = command->correlation_id,
        .counter_id = id,
    };
    driver_context_respond(context, &response);
    return 0;
}

int conductor_terminate(struct conductor *conductor, const struct command *command,
                        struct tern_error *error) {
    (void)error;
    if (termination_validator_is_allowed(&conductor->validator, command->text.text,
                                         command->text.length)) {
        store_release_u8(&conductor->is_termination_requested, 1);
    }
    return 0;
}

static void end_publications(struct conductor *conductor, struct client_session *session) {
    struct hash_map *handles = &session->publications;
    for (size_t i = 0; i < handles->capacity; i++) {
        struct publication *publication = handles->entries[i].value;
        if (publication == NULL) {
            continue;
        }
        if (!session->is_closed) {
            log_writers_distrust(publication->log->metadata);
        }
        conductor_release_publication(conductor, publication);
    }
    hash_map_close(handles);
}

static void end_subscriptions(struct conductor *conductor, int64_t client_id) {
    struct pointer_list *list = &conductor->subscriptions;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct subscription *subscription = list->items[i];
        if (subscription->client_id == client_id && !subscription->is_destination) {
            conductor_end_subscription(conductor, subscription);
            i = min_i32(i, list->count); /* its destinations went, too */
        }
    }
}

static void end_client(struct conductor *conductor, struct client_session *session) {
    if (!session->is_closed) {
        client_session_announce_timeout(session);
    }
    (void)hash_map_remove(&conductor->clients, session->id);
    end_publications(conductor, session);
    end_subscriptions(conductor, session->id);
    client_session_destroy(session);
}

/* Removing from the map moves its entries, so each end starts the walk anew; ends are rare. */
static struct client_session *find_expired(const struct conductor *conductor) {
    for (size_t i = 0; i < conductor->clients.capacity; i++) {
        struct client_session *session = conductor->clients.entries[i].value;
        if (session != NULL && client_session_is_expired(session)) {
            return session;
        }
    }
    return NULL;
}

void conductor_check_clients(struct conductor *conductor) {
    struct client_session *session;
    while ((session = find_expired(conductor)) != NULL) {
        end_client(conductor, session);
    }
}

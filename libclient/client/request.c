/* Requests: a command, the wait for its answer, and the hand-over of what it made.
 *
 *     PENDING --answer--> DONE      the resource waits in the request until it is polled
 *        |----error-----> FAILED    with the driver's code and text
 *        `----deadline--> FAILED    still listed: a late answer is undone by a remove command
 *
 * A request has two owners: the caller, until a poll returned non-zero or it was cancelled, and the
 * client's table, until the driver answered or the client ended. The last one frees it. A resource
 * whose request nobody holds any more is closed again, so an abandoned add leaves nothing behind.
 */
#include "client/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/uri.h"
#include "client/counter.h"
#include "client/publication.h"
#include "client/subscription.h"
#include "shm/counter_types.h"

/* Lock held. */
static void request_free_unowned(struct tern_async *request) {
    if (!request->is_held && !request->is_listed) {
        free(request->channel);
        free(request);
    }
}

static void request_unlist(struct tern_async *request) {
    if (request->is_listed) {
        (void)hash_map_remove(&request->client->requests, request->correlation_id);
        request->is_listed = false;
    }
}

static void request_set_state(struct tern_async *request, enum request_state state) {
    struct tern_client *client = request->client;
    assert(request->state == REQUEST_PENDING);
    assert(state != REQUEST_PENDING);
    assert(client->pending_count > 0);
    client->pending_count--;
    store_release_i32(&request->state, (int32_t)state);
    (void)pthread_cond_broadcast(&client->changed);
}

static struct tern_async *request_create(struct tern_client *client, enum request_kind kind,
                                         const char *channel, struct tern_error *error) {
    if (channel != NULL && strlen(channel) > URI_LENGTH_MAX) {
        (void)error_set(error, -EINVAL, "channel has %zu bytes; at most %d are allowed",
                        strlen(channel), URI_LENGTH_MAX);
        return NULL;
    }
    struct tern_async *request = calloc(1, sizeof *request);
    char *copy = channel == NULL ? NULL : strdup(channel);
    if (request == NULL || (channel != NULL && copy == NULL)) {
        free(request);
        free(copy);
        (void)error_set(error, -ENOMEM, "no memory for a request");
        return NULL;
    }
    request->client = client;
    request->kind = kind;
    request->channel = copy;
    request->is_held = true;
    return request;
}

/* Lock held: give the request its id, list it and send its command. */
static int request_send(struct tern_async *request, struct command *command,
                        struct tern_error *error) {
    struct tern_client *client = request->client;
    if (load_plain_i32(&client->is_closed) != 0) {
        return error_set(error, TERN_ERROR_CLOSED, "the client is closed: %.200s",
                         client->status.text);
    }
    request->correlation_id = ring_mpsc_next_correlation_id(&client->ring);
    command->client_id = client->id;
    command->correlation_id = request->correlation_id;
    if (hash_map_put(&client->requests, request->correlation_id, request) != 0) {
        return error_set(error, -ENOMEM, "no memory for a request");
    }
    request->is_listed = true;
    int result = client_send(client, command, error);
    if (result != 0) {
        request_unlist(request);
        return result;
    }
    int64_t now_ns = clock_now_ns(client->settings.clock);
    request->deadline_ns = now_ns + client->settings.driver_timeout_ms * NS_PER_MS;
    client->request_deadline_ns = min_i64(client->request_deadline_ns, request->deadline_ns);
    client->pending_since_ns = now_ns;
    client->pending_count++;
    client->is_woken = true;
    (void)pthread_cond_signal(&client->wake);
    client_retain(client);
    return 0;
}

/* Takes the lock; frees the request when it cannot be sent. */
static struct tern_async *request_start(struct tern_async *request, struct command *command,
                                        struct tern_error *error) {
    if (request == NULL) {
        return NULL;
    }
    struct tern_client *client = request->client;
    if (request->channel != NULL) {
        command->channel = (struct text_slice){request->channel, (int32_t)strlen(request->channel)};
    }
    client_lock(client);
    int result = request_send(request, command, error);
    if (result != 0) {
        request->is_held = false;
        request_free_unowned(request);
    }
    client_unlock(client);
    return result == 0 ? request : NULL;
}

struct tern_async *client_request_destination(struct tern_client *client, struct command *command,
                                              struct tern_error *error) {
    return request_start(request_create(client, REQUEST_DESTINATION, command->channel.text, error),
                         command, error);
}

tern_async *tern_client_async_add_publication(tern_client *client, const char *channel,
                                              int32_t stream_id, struct tern_error *error) {
    struct command command = {.type = COMMAND_ADD_PUBLICATION, .stream_id = stream_id};
    return request_start(request_create(client, REQUEST_PUBLICATION, channel, error), &command,
                         error);
}

tern_async *tern_client_async_add_exclusive_publication(tern_client *client, const char *channel,
                                                        int32_t stream_id,
                                                        struct tern_error *error) {
    struct command command = {.type = COMMAND_ADD_EXCLUSIVE_PUBLICATION, .stream_id = stream_id};
    return request_start(request_create(client, REQUEST_EXCLUSIVE_PUBLICATION, channel, error),
                         &command, error);
}

tern_async *tern_client_async_add_subscription(tern_client *client,
                                               const struct tern_subscription_params *params,
                                               struct tern_error *error) {
    struct command command = {
        .type = COMMAND_ADD_SUBSCRIPTION, .registration_id = -1, .stream_id = params->stream_id};
    struct tern_async *request =
        request_create(client, REQUEST_SUBSCRIPTION, params->channel, error);
    if (request != NULL) {
        request->subscription = *params;
        request->subscription.channel = request->channel;
    }
    return request_start(request, &command, error);
}

static tern_async *add_counter(tern_client *client, enum request_kind kind,
                               const struct tern_counter_params *params, int64_t registration_id,
                               struct tern_error *error) {
    if (params->key_length < 0 || params->key_length > TERN_COUNTER_KEY_MAX ||
        params->label_length < 0 || params->label_length > TERN_COUNTER_LABEL_MAX) {
        (void)error_set(error, -EINVAL, "key of %d bytes (0 to %d) or label of %d bytes (0 to %d)",
                        params->key_length, TERN_COUNTER_KEY_MAX, params->label_length,
                        TERN_COUNTER_LABEL_MAX);
        return NULL;
    }
    struct command command = {
        .type = kind == REQUEST_COUNTER ? COMMAND_ADD_COUNTER : COMMAND_ADD_STATIC_COUNTER,
        .registration_id = registration_id,
        .counter_type_id = params->type_id,
        .key = {params->key, params->key_length},
        .label = {params->label, params->label_length},
    };
    struct tern_async *request = request_create(client, kind, NULL, error);
    if (request != NULL) {
        request->static_registration_id = registration_id;
    }
    return request_start(request, &command, error);
}

tern_async *tern_client_async_add_counter(tern_client *client,
                                          const struct tern_counter_params *params,
                                          struct tern_error *error) {
    return add_counter(client, REQUEST_COUNTER, params, 0, error);
}

tern_async *tern_client_async_add_static_counter(tern_client *client,
                                                 const struct tern_counter_params *params,
                                                 int64_t registration_id,
                                                 struct tern_error *error) {
    return add_counter(client, REQUEST_STATIC_COUNTER, params, registration_id, error);
}

/* 3.1: 0x12 may only be sent to a driver of control protocol 1.0.0 or later. */
static bool has_session_id_command(const struct tern_client *client) {
    const struct counters_reader *counters = &client->counters.reader;
    int32_t id = counters_reader_find(counters, COUNTER_TYPE_SYSTEM,
                                      SYSTEM_COUNTER_CONTROL_PROTOCOL_VERSION);
    return id != COUNTER_NULL_ID &&
           counters_reader_value(counters, id) >= CNC_CONTROL_PROTOCOL_VERSION;
}

/* An old driver: the request is done at once with a random id. */
static tern_async *random_session_id(tern_client *client, struct tern_async *request) {
    client_lock(client);
    request->session_id = random_i32(client->settings.random);
    request->correlation_id = ring_mpsc_next_correlation_id(&client->ring);
    client->pending_count++;
    client_retain(client);
    request_set_state(request, REQUEST_DONE);
    client_unlock(client);
    return request;
}

tern_async *tern_client_async_next_session_id(tern_client *client, int32_t stream_id,
                                              struct tern_error *error) {
    struct command command = {.type = COMMAND_NEXT_SESSION_ID, .stream_id = stream_id};
    struct tern_async *request = request_create(client, REQUEST_SESSION_ID, NULL, error);
    if (request != NULL && !has_session_id_command(client)) {
        return random_session_id(client, request);
    }
    return request_start(request, &command, error);
}

/* `handles` has what this client holds of the kind. */
static int remove_by_id(struct tern_client *client, const struct hash_map *handles, int32_t type,
                        int64_t registration_id, struct tern_error *error) {
    client_lock(client);
    int result;
    if (load_plain_i32(&client->is_closed) != 0) {
        result = error_set(error, TERN_ERROR_CLOSED, "the client is closed: %.200s",
                           client->status.text);
    } else if (hash_map_get(handles, registration_id) != NULL ||
               hash_map_get(&client->requests, registration_id) != NULL) {
        result = error_set(error, -EBUSY,
                           "a handle or a request of this client has the registration id %lld",
                           (long long)registration_id);
    } else {
        const struct command command = {
            .type = type,
            .client_id = client->id,
            .correlation_id = ring_mpsc_next_correlation_id(&client->ring),
            .registration_id = registration_id,
        };
        result = client_send(client, &command, error);
    }
    client_unlock(client);
    return result;
}

int tern_client_remove_publication(tern_client *client, int64_t registration_id,
                                   struct tern_error *error) {
    return remove_by_id(client, &client->publications, COMMAND_REMOVE_PUBLICATION, registration_id,
                        error);
}

int tern_client_remove_subscription(tern_client *client, int64_t registration_id,
                                    struct tern_error *error) {
    return remove_by_id(client, &client->subscriptions, COMMAND_REMOVE_SUBSCRIPTION,
                        registration_id, error);
}

int tern_client_remove_counter(tern_client *client, int64_t registration_id,
                               struct tern_error *error) {
    return remove_by_id(client, &client->own_counters, COMMAND_REMOVE_COUNTER, registration_id,
                        error);
}

/* Lock held: make what the driver confirmed. */
static int make_resource(struct tern_async *request, const struct response *response,
                         struct tern_error *error) {
    struct tern_client *client = request->client;
    switch (request->kind) {
    case REQUEST_PUBLICATION:
    case REQUEST_EXCLUSIVE_PUBLICATION: {
        struct client_publication *publication = NULL;
        int result =
            client_publication_create(&publication, client, response, request->channel, error);
        request->resource = publication;
        return result;
    }
    case REQUEST_SUBSCRIPTION:
        request->resource =
            client_subscription_create(client,
                                       &(struct client_subscription_params){
                                           .channel = request->channel,
                                           .stream_id = request->subscription.stream_id,
                                           .registration_id = request->correlation_id,
                                           .channel_status_id = response->channel_status_id,
                                           .user = &request->subscription,
                                       },
                                       error);
        return request->resource == NULL ? -ENOMEM : 0;
    case REQUEST_COUNTER:
    case REQUEST_STATIC_COUNTER: {
        int64_t registration_id = request->kind == REQUEST_COUNTER
                                      ? request->correlation_id
                                      : request->static_registration_id;
        request->resource = client_counter_create(client, response, registration_id, error);
        return request->resource == NULL ? TERN_ERROR_PROTOCOL : 0;
    }
    case REQUEST_SESSION_ID:
        request->session_id = response->session_id;
        return 0;
    case REQUEST_DESTINATION:
        return 0;
    }
    assert(false);
    return -EINVAL;
}

/* Lock held: the driver made something that nobody here has a handle for. */
static void undo(const struct tern_async *request) {
    static const int32_t removals[] = {
        [REQUEST_PUBLICATION] = COMMAND_REMOVE_PUBLICATION,
        [REQUEST_EXCLUSIVE_PUBLICATION] = COMMAND_REMOVE_PUBLICATION,
        [REQUEST_SUBSCRIPTION] = COMMAND_REMOVE_SUBSCRIPTION,
        [REQUEST_COUNTER] = COMMAND_REMOVE_COUNTER,
        [REQUEST_DESTINATION] = 0, /* its publication or subscription ends it */
    };
    struct tern_client *client = request->client;
    if (removals[request->kind] != 0 && load_plain_i32(&client->is_closed) == 0) {
        client_send_reliably(client,
                             &(struct command){
                                 .type = removals[request->kind],
                                 .client_id = client->id,
                                 .correlation_id = ring_mpsc_next_correlation_id(&client->ring),
                                 .registration_id = request->correlation_id,
                             });
    }
}

static void close_resource(enum request_kind kind, void *resource) {
    switch (kind) {
    case REQUEST_PUBLICATION:
        tern_publication_close(resource);
        return;
    case REQUEST_EXCLUSIVE_PUBLICATION:
        tern_exclusive_publication_close(resource);
        return;
    case REQUEST_SUBSCRIPTION:
        tern_subscription_close(resource);
        return;
    case REQUEST_COUNTER:
    case REQUEST_STATIC_COUNTER:
        tern_counter_close(resource);
        return;
    case REQUEST_SESSION_ID:
    case REQUEST_DESTINATION:
        return;
    }
}

/* Lock held, dropped around the handler: tell of the new resource before its request is done. */
static void announce(const struct tern_async *request, const struct response *response) {
    const struct client_handlers *handlers = &request->client->settings.handlers;
    const struct {
        tern_added_handler handler;
        void *context;
    } added[] = {
        [REQUEST_PUBLICATION] = {handlers->on_new_publication,
                                 handlers->on_new_publication_context},
        [REQUEST_EXCLUSIVE_PUBLICATION] = {handlers->on_new_exclusive_publication,
                                           handlers->on_new_exclusive_publication_context},
        [REQUEST_SUBSCRIPTION] = {handlers->on_new_subscription,
                                  handlers->on_new_subscription_context},
    };
    if ((size_t)request->kind >= ARRAY_COUNT(added) || added[request->kind].handler == NULL) {
        return;
    }
    bool is_subscription = request->kind == REQUEST_SUBSCRIPTION;
    client_handler_begin(request->client, NULL);
    added[request->kind].handler(
        added[request->kind].context, request->channel,
        is_subscription ? request->subscription.stream_id : response->stream_id,
        is_subscription ? 0 : response->session_id, request->correlation_id);
    client_handler_end(request->client);
}

/* Lock held, dropped meanwhile: made, but cancelled by the handler that was told of it. */
static void close_unwanted(const struct tern_async *request) {
    client_unlock(request->client);
    close_resource(request->kind, request->resource);
    client_lock(request->client);
}

void client_request_complete(struct tern_async *request, const struct response *response,
                             struct tern_error *error) {
    if (!request->is_held || request->state != REQUEST_PENDING) {
        request_unlist(request);
        undo(request);
        request_free_unowned(request);
        return;
    }
    if (make_resource(request, response, error) != 0) {
        request_unlist(request);
        undo(request);
        request->error = *error;
        request_set_state(request, REQUEST_FAILED);
        return;
    }
    announce(request, response); /* still listed: a cancel does not free it */
    if (request->state == REQUEST_PENDING) {
        request_unlist(request);
        request_set_state(request, REQUEST_DONE);
        return;
    }
    close_unwanted(request);
    request_unlist(request);
    request_free_unowned(request);
}

void client_request_fail(struct tern_async *request, int code, const struct text_slice *text) {
    request_unlist(request);
    if (request->is_held && request->state == REQUEST_PENDING) {
        (void)error_set(&request->error, code, "%.*s", (int)text->length, text->text);
        request_set_state(request, REQUEST_FAILED);
    }
    request_free_unowned(request);
}

int client_request_expire(struct tern_client *client, int64_t now_ns) {
    if (now_ns <= client->request_deadline_ns) {
        return 0;
    }
    int expired = 0;
    client->request_deadline_ns = INT64_MAX;
    for (size_t i = 0; i < client->requests.capacity; i++) {
        struct tern_async *request = client->requests.entries[i].value;
        if (request == NULL || request->state != REQUEST_PENDING) {
            continue;
        }
        if (now_ns <= request->deadline_ns) {
            client->request_deadline_ns =
                min_i64(client->request_deadline_ns, request->deadline_ns);
            continue;
        }
        (void)error_set(&request->error, -ETIMEDOUT, "no answer of the driver within %lld ms%s%s",
                        (long long)client->settings.driver_timeout_ms,
                        request->channel == NULL ? "" : " for ",
                        request->channel == NULL ? "" : request->channel);
        request_set_state(request, REQUEST_FAILED);
        expired++;
    }
    return expired;
}

void client_request_fail_all(struct tern_client *client) {
    for (size_t i = 0; i < client->requests.capacity; i++) {
        struct tern_async *request = client->requests.entries[i].value;
        if (request == NULL) {
            continue;
        }
        request->is_listed = false;
        if (request->state == REQUEST_PENDING) {
            request->error = client->status;
            request_set_state(request, REQUEST_FAILED);
        }
        request_free_unowned(request);
    }
    hash_map_close(&client->requests);
    client->request_deadline_ns = INT64_MAX;
}

/* Lock not held. The caller's ownership ends. */
static void request_drop(struct tern_async *request) {
    struct tern_client *client = request->client;
    client_lock(client);
    request->is_held = false;
    request_free_unowned(request);
    client_unlock(client);
    client_release(client);
}

/* 0 pending, 1 done (the caller takes the result, then drops), negative: failed and dropped. */
static int request_poll(struct tern_async *request, struct tern_error *error) {
    switch ((enum request_state)load_acquire_i32(&request->state)) {
    case REQUEST_PENDING:
        return 0;
    case REQUEST_DONE:
        return 1;
    case REQUEST_FAILED:
        break;
    }
    int code = request->error.code;
    if (error != NULL) {
        *error = request->error;
    }
    request_drop(request);
    return code;
}

static int poll_resource(struct tern_async *request, void **resource, struct tern_error *error) {
    int result = request_poll(request, error);
    if (result == 1) {
        *resource = request->resource;
        request_drop(request);
    }
    return result;
}

int tern_async_poll_publication(tern_async *async, tern_publication **publication,
                                struct tern_error *error) {
    assert(async->kind == REQUEST_PUBLICATION);
    void *resource = NULL;
    int result = poll_resource(async, &resource, error);
    if (result == 1) {
        *publication = resource;
    }
    return result;
}

int tern_async_poll_exclusive_publication(tern_async *async,
                                          tern_exclusive_publication **publication,
                                          struct tern_error *error) {
    assert(async->kind == REQUEST_EXCLUSIVE_PUBLICATION);
    void *resource = NULL;
    int result = poll_resource(async, &resource, error);
    if (result == 1) {
        *publication = resource;
    }
    return result;
}

int tern_async_poll_subscription(tern_async *async, tern_subscription **subscription,
                                 struct tern_error *error) {
    assert(async->kind == REQUEST_SUBSCRIPTION);
    void *resource = NULL;
    int result = poll_resource(async, &resource, error);
    if (result == 1) {
        *subscription = resource;
    }
    return result;
}

int tern_async_poll_counter(tern_async *async, tern_counter **counter, struct tern_error *error) {
    assert(async->kind == REQUEST_COUNTER || async->kind == REQUEST_STATIC_COUNTER);
    void *resource = NULL;
    int result = poll_resource(async, &resource, error);
    if (result == 1) {
        *counter = resource;
    }
    return result;
}

int tern_async_poll_session_id(tern_async *async, int32_t *session_id, struct tern_error *error) {
    assert(async->kind == REQUEST_SESSION_ID);
    int result = request_poll(async, error);
    if (result == 1) {
        *session_id = async->session_id;
        request_drop(async);
    }
    return result;
}

int tern_async_poll_destination(tern_async *async, struct tern_error *error) {
    assert(async->kind == REQUEST_DESTINATION);
    int result = request_poll(async, error);
    if (result == 1) {
        request_drop(async);
    }
    return result;
}

int64_t tern_async_registration_id(const tern_async *async) {
    return async->correlation_id;
}

void tern_async_cancel(tern_async *async) {
    if (async == NULL) {
        return;
    }
    struct tern_client *client = async->client;
    enum request_kind kind = async->kind;
    void *resource = NULL;
    client_lock(client);
    if (async->state == REQUEST_PENDING) {
        /* Nobody waits any more; the listing stays until the driver answers. */
        request_set_state(async, REQUEST_FAILED);
    } else if (async->state == REQUEST_DONE) {
        resource = async->resource;
    }
    client_unlock(client);
    if (resource != NULL) {
        close_resource(kind, resource);
    }
    request_drop(async);
}

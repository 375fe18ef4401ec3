/* The conductor: one step of the client's conversation with the driver (shared-memory.md 3.7).
 *
 *   step: service time-out -> unsent removals -> responses -> keepalive -> overdue requests ->
 * lists
 *
 * Runs on the client's thread or in tern_client_do_work, with the client's lock held except while a
 * handler of the application runs. After each handler, everything but the objects held by reference
 * is looked up again, for the handler and other threads may have closed it. The step that finds the
 * driver gone, or learns that the driver gave the client up, ends the client: handles then refuse,
 * and nothing here touches the driver's memory any more.
 */
#include "client/core.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic.h"
#include "client/counter.h"
#include "client/image.h"
#include "client/keepalive.h"
#include "client/publication.h"
#include "client/request.h"
#include "client/subscription.h"

#define ERROR_TEXT_MAX 1024

bool client_is_handler_thread(const struct tern_client *client) {
    return client->is_in_handler && pthread_equal(client->handler_thread, pthread_self()) != 0;
}

void client_handler_begin(struct tern_client *client, struct tern_subscription *subscription) {
    assert(!client->is_in_handler);
    client->is_in_handler = true;
    client->handler_thread = pthread_self();
    client->handler_subscription = subscription;
    client_unlock(client);
}

void client_handler_end(struct tern_client *client) {
    client_lock(client);
    client->is_in_handler = false;
    client->handler_subscription = NULL;
    (void)pthread_cond_broadcast(&client->changed);
}

void client_report(struct tern_client *client, int code, const char *text) {
    const struct client_handlers *handlers = &client->settings.handlers;
    if (handlers->on_error != NULL) {
        client_handler_begin(client, NULL);
        handlers->on_error(handlers->on_error_context, code, text);
        client_handler_end(client);
    }
}

static void close_resources(struct tern_client *client) {
    for (size_t i = 0; i < client->publications.capacity; i++) {
        struct client_publication *publication = client->publications.entries[i].value;
        if (publication != NULL) {
            client_publication_leave(publication);
            store_release_i32(&publication->is_closed, 1);
        }
    }
    for (size_t i = 0; i < client->subscriptions.capacity; i++) {
        if (client->subscriptions.entries[i].value != NULL) {
            client_subscription_terminate(client->subscriptions.entries[i].value);
        }
    }
    for (size_t i = 0; i < client->own_counters.capacity; i++) {
        struct tern_counter *counter = client->own_counters.entries[i].value;
        if (counter != NULL) {
            store_release_i32(&counter->is_closed, 1);
        }
    }
}

void client_terminate(struct tern_client *client, int code, const char *text) {
    if (client->is_closed != 0) {
        return;
    }
    (void)error_set(&client->status, code, "%s", text);
    store_release_i32(&client->is_closed, 1);
    close_resources(client);
    client_request_fail_all(client);
    if (code != TERN_ERROR_CLOSED) {
        client_report(client, code, text);
    }
    const struct client_handlers *handlers = &client->settings.handlers;
    if (handlers->on_close != NULL) {
        client_handler_begin(client, NULL);
        handlers->on_close(handlers->on_close_context, client);
        client_handler_end(client);
    }
    client_listeners_on_close(client);
}

/* The request that waits for `id`, if its kind is among those that this response answers. */
static struct tern_async *find_request(const struct tern_client *client, int64_t id,
                                       enum request_kind kind) {
    struct tern_async *request = hash_map_get(&client->requests, id);
    return request != NULL && request->kind == kind ? request : NULL;
}

static void complete(struct tern_client *client, const struct response *response,
                     enum request_kind kind) {
    struct tern_async *request = find_request(client, response->correlation_id, kind);
    if (request != NULL) {
        struct tern_error error = {0};
        client_request_complete(request, response, &error);
    }
}

/* 3.3, code 4: not tied to a command; the correlation id is that of a channel status counter. */
static void on_channel_error(struct tern_client *client, const struct response *response) {
    int users = 0;
    for (size_t i = 0; i < client->publications.capacity; i++) {
        const struct client_publication *publication = client->publications.entries[i].value;
        users += publication != NULL && publication->channel_status_id == response->correlation_id;
    }
    for (size_t i = 0; i < client->subscriptions.capacity; i++) {
        const struct tern_subscription *subscription = client->subscriptions.entries[i].value;
        users +=
            subscription != NULL && subscription->channel_status_id == response->correlation_id;
    }
    char text[ERROR_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%.*s", (int)response->text.length, response->text.text);
    for (int i = 0; i < users; i++) {
        client_report(client, TERN_ERROR_DRIVER_BASE - response->error_code, text);
    }
}

static void on_error(struct tern_client *client, const struct response *response) {
    if (response->error_code == DRIVER_ERROR_CHANNEL_ENDPOINT) {
        on_channel_error(client, response);
        return;
    }
    struct tern_async *request = hash_map_get(&client->requests, response->correlation_id);
    if (request != NULL) {
        client_request_fail(request, TERN_ERROR_DRIVER_BASE - response->error_code,
                            &response->text);
    }
}

/* The subscription's own handler may have closed it; then it is freed here. False: it is gone. */
static bool survived_handler(struct tern_subscription *subscription) {
    if (!subscription->is_free_deferred) {
        return true;
    }
    client_subscription_free(subscription);
    return false;
}

static void call_image_handler(struct tern_subscription *subscription, tern_image_handler handler,
                               void *context, struct tern_image *image) {
    if (handler != NULL) {
        client_handler_begin(subscription->client, subscription);
        handler(context, subscription, image);
        client_handler_end(subscription->client);
    }
}

/* The handler is called before a poll can deliver anything of the image. */
static void on_available_image(struct tern_client *client, const struct response *response,
                               int64_t now_ns) {
    struct tern_subscription *subscription =
        hash_map_get(&client->subscriptions, response->registration_id);
    if (subscription == NULL ||
        client_subscription_find(subscription, response->correlation_id) != NULL) {
        return;
    }
    struct tern_error error = {0};
    struct tern_image *image = client_image_create(client, response, &error);
    if (image == NULL) {
        client_report(client, error.code, error.text);
        return;
    }
    call_image_handler(subscription, subscription->handlers.on_available_image,
                       subscription->handlers.on_available_image_context, image);
    bool is_there = survived_handler(subscription);
    int result = is_there ? client_subscription_add_image(subscription, image, now_ns) : 0;
    if (!is_there || result != 0) {
        client_image_close(image);
        client_image_release_locked(image);
    }
    if (result != 0) {
        client_report(client, result, "no memory for an image");
    }
}

static void on_unavailable_image(struct tern_client *client, const struct response *response,
                                 int64_t now_ns) {
    struct tern_subscription *subscription =
        hash_map_get(&client->subscriptions, response->registration_id);
    struct tern_image *image =
        subscription == NULL ? NULL
                             : client_subscription_find(subscription, response->correlation_id);
    if (image == NULL) {
        return;
    }
    client_image_close(image);
    tern_image_retain(image);
    /* Without memory for a new list the closed image stays in the old one and delivers nothing. */
    (void)client_subscription_remove_image(subscription, image, now_ns);
    call_image_handler(subscription, subscription->handlers.on_unavailable_image,
                       subscription->handlers.on_unavailable_image_context, image);
    (void)survived_handler(subscription);
    client_image_release_locked(image);
}

static void call_counter_handler(struct tern_client *client, tern_counter_handler handler,
                                 void *context, const struct response *response) {
    if (handler != NULL) {
        client_handler_begin(client, NULL);
        handler(context, &client->counters, response->correlation_id, response->counter_id);
        client_handler_end(client);
    }
}

static void on_counter_ready(struct tern_client *client, const struct response *response) {
    if (response->correlation_id == client->id) {
        client_keepalive_bind(client, response->counter_id);
    }
    complete(client, response, REQUEST_COUNTER);
    call_counter_handler(client, client->settings.handlers.on_available_counter,
                         client->settings.handlers.on_available_counter_context, response);
    client_listeners_on_counter(client, LISTENER_AVAILABLE_COUNTER, response->correlation_id,
                                response->counter_id);
}

static void on_unavailable_counter(struct tern_client *client, const struct response *response) {
    struct tern_counter *counter = hash_map_get(&client->own_counters, response->correlation_id);
    if (counter != NULL && counter->id == response->counter_id) {
        store_release_i32(&counter->is_closed, 1);
    }
    call_counter_handler(client, client->settings.handlers.on_unavailable_counter,
                         client->settings.handlers.on_unavailable_counter_context, response);
    client_listeners_on_counter(client, LISTENER_UNAVAILABLE_COUNTER, response->correlation_id,
                                response->counter_id);
}

static void on_publication_error(struct tern_client *client, const struct response *response) {
    const struct client_handlers *handlers = &client->settings.handlers;
    bool is_own = false;
    for (size_t i = 0; i < client->publications.capacity; i++) {
        const struct client_publication *publication = client->publications.entries[i].value;
        is_own = is_own || (publication != NULL &&
                            publication->original_registration_id == response->correlation_id);
    }
    if (!is_own || handlers->on_publication_error == NULL) {
        return;
    }
    char text[ERROR_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%.*s", (int)response->text.length, response->text.text);
    struct tern_publication_error error = {
        .registration_id = response->correlation_id,
        .destination_registration_id = response->registration_id,
        .session_id = response->session_id,
        .stream_id = response->stream_id,
        .receiver_id = response->receiver_id,
        .group_tag = response->group_tag,
        .address_type = response->address_type,
        .source_port = response->address_port,
        .error_code = response->error_code,
        .text = text,
    };
    memcpy(error.source_address, response->address, sizeof error.source_address);
    client_handler_begin(client, NULL);
    handlers->on_publication_error(handlers->on_publication_error_context, &error);
    client_handler_end(client);
}

static void dispatch(struct tern_client *client, const struct response *response, int64_t now_ns) {
    switch ((enum response_type)response->type) {
    case RESPONSE_ERROR:
        on_error(client, response);
        return;
    case RESPONSE_AVAILABLE_IMAGE:
        on_available_image(client, response, now_ns);
        return;
    case RESPONSE_UNAVAILABLE_IMAGE:
        on_unavailable_image(client, response, now_ns);
        return;
    case RESPONSE_PUBLICATION_READY:
        complete(client, response, REQUEST_PUBLICATION);
        return;
    case RESPONSE_EXCLUSIVE_PUBLICATION_READY:
        complete(client, response, REQUEST_EXCLUSIVE_PUBLICATION);
        return;
    case RESPONSE_SUBSCRIPTION_READY:
        complete(client, response, REQUEST_SUBSCRIPTION);
        return;
    case RESPONSE_OPERATION_SUCCESS:
        complete(client, response, REQUEST_DESTINATION);
        return;
    case RESPONSE_COUNTER_READY:
        on_counter_ready(client, response);
        return;
    case RESPONSE_UNAVAILABLE_COUNTER:
        on_unavailable_counter(client, response);
        return;
    case RESPONSE_STATIC_COUNTER:
        complete(client, response, REQUEST_STATIC_COUNTER);
        return;
    case RESPONSE_NEXT_SESSION_ID:
        complete(client, response, REQUEST_SESSION_ID);
        return;
    case RESPONSE_CLIENT_TIMEOUT:
        if (response->correlation_id == client->id) {
            client_terminate(client, TERN_ERROR_CLIENT_TIMEOUT,
                             "the driver saw no heartbeat of this client for too long");
        }
        return;
    case RESPONSE_PUBLICATION_ERROR:
        on_publication_error(client, response);
        return;
    }
    /* A later driver may say more than this client knows. */
}

/* One message of the driver; false when there was none. */
static bool receive(struct tern_client *client, int64_t now_ns) {
    int32_t type = 0;
    int32_t length = 0;
    int result = broadcast_receive(&client->receiver, &type, client->scratch,
                                   client->scratch_length, &length);
    if (result == -EOVERFLOW) {
        client_report(client, TERN_ERROR_PROTOCOL,
                      "responses of the driver were lost: the conductor does not keep up");
        return true;
    }
    if (result == -ENOBUFS) {
        client_report(client, TERN_ERROR_PROTOCOL, "a response of the driver is too long");
        return true;
    }
    if (result != 1) {
        return false;
    }
    struct response response;
    if (response_decode(&response, type, client->scratch, length) == 0) {
        dispatch(client, &response, now_ns);
    } else if (type >= RESPONSE_ERROR && type <= RESPONSE_NEXT_SESSION_ID) {
        char text[64];
        (void)snprintf(text, sizeof text, "malformed response 0x%04x of %d bytes", (unsigned)type,
                       length);
        client_report(client, TERN_ERROR_PROTOCOL, text);
    }
    return true;
}

int client_conductor_step(struct tern_client *client, int64_t now_ns) {
    if (client->is_closed != 0) {
        return client_retired_free(client, now_ns);
    }
    int64_t pause_ns = now_ns - client->last_work_ns;
    client->last_work_ns = now_ns;
    if (pause_ns > client->inter_service_timeout_ns) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "the conductor was not run for %" PRId64 " ms; the limit is %" PRId64 " ms",
                       pause_ns / NS_PER_MS, client->inter_service_timeout_ns / NS_PER_MS);
        client_terminate(client, TERN_ERROR_CONDUCTOR_SERVICE_TIMEOUT, text);
        return 1;
    }
    int work = client_send_backlog(client);
    for (int i = 0; i < CLIENT_MESSAGES_PER_STEP && client->is_closed == 0; i++) {
        if (!receive(client, now_ns)) {
            break;
        }
        work++;
    }
    if (client->is_closed == 0) {
        work += client_keepalive(client, now_ns);
    }
    if (client->is_closed == 0) {
        work += client_request_expire(client, now_ns);
        work += client_retired_free(client, now_ns);
    }
    return work;
}

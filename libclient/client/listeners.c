/* Handlers added to a running client: lists that may change while one of their entries runs.
 *
 * An event is told to a copy of the list, and each entry of the copy is looked up again before it
 * is called, for the one before it may have removed it. Removing waits for a run that is going on,
 * unless it is the running handler itself that removes.
 */
#include "client/listeners.h"

#include <errno.h>

#include "base/atomic.h"
#include "client/core.h"

static bool is_same(const struct client_listener *left, const struct client_listener *right) {
    return left->function == right->function && left->context == right->context;
}

/* The index, or -1. */
static int32_t find(const struct client_listeners *listeners,
                    const struct client_listener *wanted) {
    for (int32_t i = 0; i < listeners->count; i++) {
        if (is_same(&listeners->entries[i], wanted)) {
            return i;
        }
    }
    return -1;
}

static int add(struct tern_client *client, enum listener_kind kind, listener_function function,
               void *context) {
    struct client_listeners *listeners = &client->listeners[kind];
    int result = 0;
    client_lock(client);
    if (load_plain_i32(&client->is_closed) != 0) {
        result = TERN_ERROR_CLOSED;
    } else if (listeners->count == TERN_HANDLERS_MAX) {
        result = -ENOSPC;
    } else {
        listeners->entries[listeners->count++] = (struct client_listener){function, context};
    }
    client_unlock(client);
    return result;
}

static int remove_one(struct tern_client *client, enum listener_kind kind,
                      listener_function function, void *context) {
    struct client_listeners *listeners = &client->listeners[kind];
    const struct client_listener wanted = {function, context};
    client_lock(client);
    int32_t index = find(listeners, &wanted);
    if (index >= 0) {
        listeners->count--;
        for (int32_t i = index; i < listeners->count; i++) {
            listeners->entries[i] = listeners->entries[i + 1];
        }
        while (client->is_in_handler && is_same(&client->running_listener, &wanted) &&
               !client_is_handler_thread(client)) {
            (void)pthread_cond_wait(&client->changed, &client->lock);
        }
    }
    client_unlock(client);
    return index >= 0 ? 0 : -ENOENT;
}

/* False: it was removed meanwhile. */
static bool begin(struct tern_client *client, enum listener_kind kind,
                  const struct client_listener *listener) {
    if (find(&client->listeners[kind], listener) < 0) {
        return false;
    }
    client->running_listener = *listener;
    client_handler_begin(client, NULL);
    return true;
}

static void end(struct tern_client *client) {
    client_handler_end(client);
    client->running_listener = (struct client_listener){NULL, NULL};
}

void client_listeners_on_counter(struct tern_client *client, enum listener_kind kind,
                                 int64_t registration_id, int32_t counter_id) {
    const struct client_listeners told = client->listeners[kind];
    for (int32_t i = 0; i < told.count; i++) {
        if (begin(client, kind, &told.entries[i])) {
            tern_counter_handler handler = (tern_counter_handler)told.entries[i].function;
            handler(told.entries[i].context, &client->counters, registration_id, counter_id);
            end(client);
        }
    }
}

void client_listeners_on_close(struct tern_client *client) {
    const struct client_listeners told = client->listeners[LISTENER_CLOSE];
    for (int32_t i = 0; i < told.count; i++) {
        if (begin(client, LISTENER_CLOSE, &told.entries[i])) {
            tern_close_handler handler = (tern_close_handler)told.entries[i].function;
            handler(told.entries[i].context, client);
            end(client);
        }
    }
}

int tern_client_add_available_counter_handler(tern_client *client, tern_counter_handler handler,
                                              void *handler_context) {
    return add(client, LISTENER_AVAILABLE_COUNTER, (listener_function)handler, handler_context);
}

int tern_client_remove_available_counter_handler(tern_client *client, tern_counter_handler handler,
                                                 void *handler_context) {
    return remove_one(client, LISTENER_AVAILABLE_COUNTER, (listener_function)handler,
                      handler_context);
}

int tern_client_add_unavailable_counter_handler(tern_client *client, tern_counter_handler handler,
                                                void *handler_context) {
    return add(client, LISTENER_UNAVAILABLE_COUNTER, (listener_function)handler, handler_context);
}

int tern_client_remove_unavailable_counter_handler(tern_client *client,
                                                   tern_counter_handler handler,
                                                   void *handler_context) {
    return remove_one(client, LISTENER_UNAVAILABLE_COUNTER, (listener_function)handler,
                      handler_context);
}

int tern_client_add_close_handler(tern_client *client, tern_close_handler handler,
                                  void *handler_context) {
    return add(client, LISTENER_CLOSE, (listener_function)handler, handler_context);
}

int tern_client_remove_close_handler(tern_client *client, tern_close_handler handler,
                                     void *handler_context) {
    return remove_one(client, LISTENER_CLOSE, (listener_function)handler, handler_context);
}

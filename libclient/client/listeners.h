/* Handlers added to a running client. Not for other folders. */
#ifndef TERN_CLIENT_LISTENERS_H
#define TERN_CLIENT_LISTENERS_H

#include <tern/handlers.h>

enum listener_kind {
    LISTENER_AVAILABLE_COUNTER,
    LISTENER_UNAVAILABLE_COUNTER,
    LISTENER_CLOSE,
    LISTENER_KIND_COUNT,
};

typedef void (*listener_function)(void); /* the handler, whose type the kind tells */

struct client_listener {
    listener_function function;
    void *context;
};

struct client_listeners {
    struct client_listener entries[TERN_HANDLERS_MAX];
    int32_t count;
};

/* Conductor, lock held; dropped around each call. */
void client_listeners_on_counter(struct tern_client *client, enum listener_kind kind,
                                 int64_t registration_id, int32_t counter_id);
void client_listeners_on_close(struct tern_client *client);

#endif

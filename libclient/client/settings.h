/* What a context holds: plain data that a client copies when it connects. */
#ifndef TERN_CLIENT_SETTINGS_H
#define TERN_CLIENT_SETTINGS_H

#include <tern/context.h>

#include "base/agent.h"
#include "base/random.h"

#define CLIENT_DIRECTORY_MAX 3072 /* leaves room for a file name below PATH_MAX */
#define CLIENT_NAME_MAX 100

struct client_handlers {
    tern_error_handler on_error;
    void *on_error_context;
    tern_image_handler on_available_image;
    void *on_available_image_context;
    tern_image_handler on_unavailable_image;
    void *on_unavailable_image_context;
    tern_counter_handler on_available_counter;
    void *on_available_counter_context;
    tern_counter_handler on_unavailable_counter;
    void *on_unavailable_counter_context;
    tern_publication_error_handler on_publication_error;
    void *on_publication_error_context;
    tern_added_handler on_new_publication;
    void *on_new_publication_context;
    tern_added_handler on_new_exclusive_publication;
    void *on_new_exclusive_publication_context;
    tern_added_handler on_new_subscription;
    void *on_new_subscription_context;
    tern_thread_start_handler on_thread_start;
    void *on_thread_start_context;
    tern_close_handler on_close;
    void *on_close_context;
};

struct tern_context {
    char directory[CLIENT_DIRECTORY_MAX];
    char client_name[CLIENT_NAME_MAX + 1];
    int64_t driver_timeout_ms;
    int64_t keepalive_interval_ns;
    int64_t resource_linger_ns;
    bool is_pre_touching;
    bool is_invoker;
    struct idle_strategy idle;
    struct client_handlers handlers;
    const struct clock *clock;
    const struct random *random;
};

#endif

/* The settings of a client: defaults, the environment, setters.
 *
 * The environment is read here and nowhere else below; everything that hangs from a context gets
 * its values from it. A context is not shared with its clients: they copy it at connect.
 */
#include "client/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/uri.h"
#include "client/seams.h"
#include "shm/cnc.h"

#define DRIVER_TIMEOUT_DEFAULT_MS 10000
#define KEEPALIVE_INTERVAL_DEFAULT_NS (500 * NS_PER_MS)
#define RESOURCE_LINGER_DEFAULT_NS (3 * NS_PER_S)
#define IDLE_SLEEP_DEFAULT "16ms"

static int read_duration(const char *name, int64_t *duration_ns, struct tern_error *error) {
    const char *text = getenv(name);
    if (text != NULL && parse_duration_ns(text, duration_ns) != 0) {
        return error_set(error, -EINVAL, "%s='%s' is not a duration (e.g. 10s, 5ms, 7us, 9ns)",
                         name, text);
    }
    return 0;
}

static int read_environment(tern_context *context, struct tern_error *error) {
    const char *text = getenv("AERON_DRIVER_TIMEOUT");
    if (text != NULL &&
        (parse_i64(text, &context->driver_timeout_ms) != 0 || context->driver_timeout_ms <= 0)) {
        return error_set(error, -EINVAL, "AERON_DRIVER_TIMEOUT='%s' is not a number of ms", text);
    }
    text = getenv("AERON_CLIENT_NAME");
    if (text != NULL && tern_context_set_client_name(context, text, error) != 0) {
        return error_prefix(error, "AERON_CLIENT_NAME");
    }
    text = getenv("AERON_CLIENT_IDLE_SLEEP_DURATION");
    if (text != NULL && tern_context_set_idle_strategy(context, "sleeping", text, error) != 0) {
        return error_prefix(error, "AERON_CLIENT_IDLE_SLEEP_DURATION");
    }
    text = getenv("AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY");
    if (text != NULL) {
        context->is_pre_touching = strcmp(text, "true") == 0;
        if (!context->is_pre_touching && strcmp(text, "false") != 0) {
            return error_set(error, -EINVAL,
                             "AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY='%s': allowed are true, false",
                             text);
        }
    }
    return read_duration("AERON_CLIENT_RESOURCE_LINGER_DURATION", &context->resource_linger_ns,
                         error);
}

tern_context *tern_context_create(struct tern_error *error) {
    tern_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        (void)error_set(error, -ENOMEM, "no memory for a client context");
        return NULL;
    }
    cnc_default_directory(context->directory, CLIENT_DIRECTORY_MAX);
    context->driver_timeout_ms = DRIVER_TIMEOUT_DEFAULT_MS;
    context->keepalive_interval_ns = KEEPALIVE_INTERVAL_DEFAULT_NS;
    context->resource_linger_ns = RESOURCE_LINGER_DEFAULT_NS;
    context->clock = clock_system();
    context->random = random_system();
    if (tern_context_set_idle_strategy(context, "sleeping", IDLE_SLEEP_DEFAULT, error) != 0 ||
        read_environment(context, error) != 0) {
        free(context);
        return NULL;
    }
    return context;
}

void tern_context_destroy(tern_context *context) {
    free(context);
}

int tern_context_set_directory(tern_context *context, const char *directory,
                               struct tern_error *error) {
    size_t length = directory == NULL ? 0 : strlen(directory);
    if (length == 0 || length >= CLIENT_DIRECTORY_MAX) {
        return error_set(error, length == 0 ? -EINVAL : -ENAMETOOLONG,
                         "driver directory has %zu bytes; allowed are 1 to %d", length,
                         CLIENT_DIRECTORY_MAX - 1);
    }
    memcpy(context->directory, directory, length + 1);
    return 0;
}

const char *tern_context_directory(const tern_context *context) {
    return context->directory;
}

void tern_context_set_driver_timeout_ms(tern_context *context, int64_t timeout_ms) {
    assert(timeout_ms > 0);
    context->driver_timeout_ms = timeout_ms;
}

int64_t tern_context_driver_timeout_ms(const tern_context *context) {
    return context->driver_timeout_ms;
}

void tern_context_set_keepalive_interval_ns(tern_context *context, int64_t interval_ns) {
    assert(interval_ns > 0);
    context->keepalive_interval_ns = interval_ns;
}

int64_t tern_context_keepalive_interval_ns(const tern_context *context) {
    return context->keepalive_interval_ns;
}

void tern_context_set_resource_linger_ns(tern_context *context, int64_t linger_ns) {
    assert(linger_ns >= 0);
    context->resource_linger_ns = linger_ns;
}

int64_t tern_context_resource_linger_ns(const tern_context *context) {
    return context->resource_linger_ns;
}

int tern_context_set_client_name(tern_context *context, const char *name,
                                 struct tern_error *error) {
    size_t length = strlen(name);
    if (length > CLIENT_NAME_MAX) {
        return error_set(error, -ENAMETOOLONG, "client name has %zu bytes; at most %d are allowed",
                         length, CLIENT_NAME_MAX);
    }
    memcpy(context->client_name, name, length + 1);
    return 0;
}

const char *tern_context_client_name(const tern_context *context) {
    return context->client_name;
}

void tern_context_set_pre_touch(tern_context *context, bool pre_touch) {
    context->is_pre_touching = pre_touch;
}

bool tern_context_pre_touch(const tern_context *context) {
    return context->is_pre_touching;
}

void tern_context_set_use_invoker(tern_context *context, bool use_invoker) {
    context->is_invoker = use_invoker;
}

bool tern_context_use_invoker(const tern_context *context) {
    return context->is_invoker;
}

int tern_context_set_idle_strategy(tern_context *context, const char *name, const char *arguments,
                                   struct tern_error *error) {
    return idle_strategy_parse(&context->idle, name, arguments, error);
}

void tern_context_set_error_handler(tern_context *context, tern_error_handler handler,
                                    void *handler_context) {
    context->handlers.on_error = handler;
    context->handlers.on_error_context = handler_context;
}

void tern_context_set_available_image_handler(tern_context *context, tern_image_handler handler,
                                              void *handler_context) {
    context->handlers.on_available_image = handler;
    context->handlers.on_available_image_context = handler_context;
}

void tern_context_set_unavailable_image_handler(tern_context *context, tern_image_handler handler,
                                                void *handler_context) {
    context->handlers.on_unavailable_image = handler;
    context->handlers.on_unavailable_image_context = handler_context;
}

void tern_context_set_available_counter_handler(tern_context *context, tern_counter_handler handler,
                                                void *handler_context) {
    context->handlers.on_available_counter = handler;
    context->handlers.on_available_counter_context = handler_context;
}

void tern_context_set_unavailable_counter_handler(tern_context *context,
                                                  tern_counter_handler handler,
                                                  void *handler_context) {
    context->handlers.on_unavailable_counter = handler;
    context->handlers.on_unavailable_counter_context = handler_context;
}

void tern_context_set_publication_error_handler(tern_context *context,
                                                tern_publication_error_handler handler,
                                                void *handler_context) {
    context->handlers.on_publication_error = handler;
    context->handlers.on_publication_error_context = handler_context;
}

void tern_context_set_new_publication_handler(tern_context *context, tern_added_handler handler,
                                              void *handler_context) {
    context->handlers.on_new_publication = handler;
    context->handlers.on_new_publication_context = handler_context;
}

void tern_context_set_new_exclusive_publication_handler(tern_context *context,
                                                        tern_added_handler handler,
                                                        void *handler_context) {
    context->handlers.on_new_exclusive_publication = handler;
    context->handlers.on_new_exclusive_publication_context = handler_context;
}

void tern_context_set_new_subscription_handler(tern_context *context, tern_added_handler handler,
                                               void *handler_context) {
    context->handlers.on_new_subscription = handler;
    context->handlers.on_new_subscription_context = handler_context;
}

void tern_context_set_thread_start_handler(tern_context *context, tern_thread_start_handler handler,
                                           void *handler_context) {
    context->handlers.on_thread_start = handler;
    context->handlers.on_thread_start_context = handler_context;
}

void tern_context_set_close_handler(tern_context *context, tern_close_handler handler,
                                    void *handler_context) {
    context->handlers.on_close = handler;
    context->handlers.on_close_context = handler_context;
}

void tern_context_set_clock(tern_context *context, const struct clock *clock) {
    context->clock = clock;
}

void tern_context_set_random(tern_context *context, const struct random *random) {
    context->random = random;
}

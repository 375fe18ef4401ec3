/* Settings of a client (shared-memory.md 3.7, 9.1).
 *
 * A context is plain data owned by the caller. tern_client_connect copies everything out of it, so
 * one context can serve several clients and may be destroyed at any time. Handlers and their
 * `context` pointers are borrowed until tern_client_close returned. Not thread-safe: one thread at
 * a time uses a context. Setters return 0, or a negative code with a text in `error` (which may be
 * NULL); those that cannot fail return void.
 */
#ifndef TERN_CONTEXT_H
#define TERN_CONTEXT_H

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Defaults, then AERON_DIR, AERON_DRIVER_TIMEOUT (ms), AERON_CLIENT_NAME,
 * AERON_CLIENT_IDLE_SLEEP_DURATION, AERON_CLIENT_RESOURCE_LINGER_DURATION and
 * AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY of the environment. A value there that does not parse is an
 * error that names it. NULL on failure. The caller ends it with tern_context_destroy. */
TERN_API tern_context *tern_context_create(struct tern_error *error);
/* NULL is allowed. */
TERN_API void tern_context_destroy(tern_context *context);

/* The driver's directory. Default: AERON_DIR, else /dev/shm/aeron-<user>. -ENAMETOOLONG. */
TERN_API int tern_context_set_directory(tern_context *context, const char *directory,
                                        struct tern_error *error);
/* The string belongs to the context and is valid until the next set or destroy. */
TERN_API const char *tern_context_directory(const tern_context *context);

/* How long to wait for a driver at connect and for its answers, and how old its heartbeat may be.
 * Default 10 000 ms. */
TERN_API void tern_context_set_driver_timeout_ms(tern_context *context, int64_t timeout_ms);
TERN_API int64_t tern_context_driver_timeout_ms(const tern_context *context);

/* Period of the client's heartbeat and of its look at the driver's. Default 500 ms. */
TERN_API void tern_context_set_keepalive_interval_ns(tern_context *context, int64_t interval_ns);
TERN_API int64_t tern_context_keepalive_interval_ns(const tern_context *context);

/* How long the mapping of an image that went away is kept at least. Default 3 s. */
TERN_API void tern_context_set_resource_linger_ns(tern_context *context, int64_t linger_ns);
TERN_API int64_t tern_context_resource_linger_ns(const tern_context *context);

/* At most 100 bytes, shown in the label of the client's heartbeat counter. Default: empty. */
TERN_API int tern_context_set_client_name(tern_context *context, const char *name,
                                          struct tern_error *error);
/* Valid until the next set or destroy. */
TERN_API const char *tern_context_client_name(const tern_context *context);

/* Read each page of a log when it is mapped, so that the data path meets no page fault. Default
 * false. */
TERN_API void tern_context_set_pre_touch(tern_context *context, bool pre_touch);
TERN_API bool tern_context_pre_touch(const tern_context *context);

/* true: no thread is started; the application runs the conductor by tern_client_do_work, at least
 * once per client liveness timeout of the driver (default 10 s). false (default): a thread. */
TERN_API void tern_context_set_use_invoker(tern_context *context, bool use_invoker);
TERN_API bool tern_context_use_invoker(const tern_context *context);

/* How the conductor's thread and the blocking helpers wait: "sleeping" (default, 16 ms), "backoff",
 * "yield", "spin", "noop", with the arguments of media-driver.md 6.3 (NULL: defaults). With
 * "sleeping" a waiting request still shortens the sleep, so an add takes about a millisecond. */
TERN_API int tern_context_set_idle_strategy(tern_context *context, const char *name,
                                            const char *arguments, struct tern_error *error);

/* Handlers; NULL (default) means none. Without an error handler, errors are dropped: the library
 * never prints. The image handlers serve every subscription that was added without its own. */
TERN_API void tern_context_set_error_handler(tern_context *context, tern_error_handler handler,
                                             void *handler_context);
TERN_API void tern_context_set_available_image_handler(tern_context *context,
                                                       tern_image_handler handler,
                                                       void *handler_context);
TERN_API void tern_context_set_unavailable_image_handler(tern_context *context,
                                                         tern_image_handler handler,
                                                         void *handler_context);
TERN_API void tern_context_set_available_counter_handler(tern_context *context,
                                                         tern_counter_handler handler,
                                                         void *handler_context);
TERN_API void tern_context_set_unavailable_counter_handler(tern_context *context,
                                                           tern_counter_handler handler,
                                                           void *handler_context);
TERN_API void tern_context_set_publication_error_handler(tern_context *context,
                                                         tern_publication_error_handler handler,
                                                         void *handler_context);
/* Adds that the driver confirmed, also those of other threads. */
TERN_API void tern_context_set_new_publication_handler(tern_context *context,
                                                       tern_added_handler handler,
                                                       void *handler_context);
TERN_API void tern_context_set_new_exclusive_publication_handler(tern_context *context,
                                                                 tern_added_handler handler,
                                                                 void *handler_context);
TERN_API void tern_context_set_new_subscription_handler(tern_context *context,
                                                        tern_added_handler handler,
                                                        void *handler_context);
/* Not called in invoker mode. */
TERN_API void tern_context_set_thread_start_handler(tern_context *context,
                                                    tern_thread_start_handler handler,
                                                    void *handler_context);
TERN_API void tern_context_set_close_handler(tern_context *context, tern_close_handler handler,
                                             void *handler_context);

#ifdef __cplusplus
}
#endif

#endif

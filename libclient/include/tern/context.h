/* Settings of a client (shared-memory.md 3.7, 9.1).
 *
 * A context is plain data owned by the caller. tern_client_connect copies everything out of it, so
 * one context can serve several clients and may be destroyed at any time. Handlers and their
 * `context` pointers are borrowed until tern_client_close returned. Not thread-safe: one thread at
 * a time uses a context. Setters return 0, or a negative code with a text in `error` (which may be
 * NULL), and then change nothing; those that cannot fail return void. Each getter says what the
 * setter above it set, or its default.
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
 * error (-EINVAL) that names it. NULL on failure, also -ENOMEM. The caller ends it with
 * tern_context_destroy. */
TERN_API tern_context *tern_context_create(struct tern_error *error);
/* Free it; its clients go on. NULL is allowed. */
TERN_API void tern_context_destroy(tern_context *context);

/* The driver's directory, copied; nothing is looked at before tern_client_connect. Default:
 * AERON_DIR, else /dev/shm/aeron-<user>. -EINVAL for none, -ENAMETOOLONG above 3071 bytes. */
TERN_API int tern_context_set_directory(tern_context *context, const char *directory,
                                        struct tern_error *error);
/* The string belongs to the context and is valid until the next set or destroy. */
TERN_API const char *tern_context_directory(const tern_context *context);

/* How long to wait for a driver at connect and for its answers, and how old its heartbeat may be.
 * Above 0 (anything else aborts). Default 10 000 ms. */
TERN_API void tern_context_set_driver_timeout_ms(tern_context *context, int64_t timeout_ms);
TERN_API int64_t tern_context_driver_timeout_ms(const tern_context *context);

/* Period of the client's heartbeat and of its look at the driver's. Above 0 (anything else aborts),
 * and at connect below the driver's client liveness timeout. Default 500 ms. */
TERN_API void tern_context_set_keepalive_interval_ns(tern_context *context, int64_t interval_ns);
TERN_API int64_t tern_context_keepalive_interval_ns(const tern_context *context);

/* How long the mapping of an image that went away is kept at least. Not below 0 (aborts). Default
 * 3 s. */
TERN_API void tern_context_set_resource_linger_ns(tern_context *context, int64_t linger_ns);
TERN_API int64_t tern_context_resource_linger_ns(const tern_context *context);

/* Copied; at most 100 bytes, else -ENAMETOOLONG. Shown in the label of the client's heartbeat
 * counter. Default: empty. */
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
 * "sleeping" a waiting request still shortens the sleep, so an add takes about a millisecond.
 * -EINVAL for an unknown name or arguments that do not parse. */
TERN_API int tern_context_set_idle_strategy(tern_context *context, const char *name,
                                            const char *arguments, struct tern_error *error);

/* Handlers; NULL (default) means none. The types in <tern/types.h> say when and where they run.
 * More of some kinds can be added to a running client: <tern/handlers.h>. */

/* What fails while no caller waits for it. Without a handler it is dropped: the library never
 * prints. */
TERN_API void tern_context_set_error_handler(tern_context *context, tern_error_handler handler,
                                             void *handler_context);
/* An image came or went, of any subscription that was added without its own handler. */
TERN_API void tern_context_set_available_image_handler(tern_context *context,
                                                       tern_image_handler handler,
                                                       void *handler_context);
TERN_API void tern_context_set_unavailable_image_handler(tern_context *context,
                                                         tern_image_handler handler,
                                                         void *handler_context);
/* A counter of any client, or of the driver, was allocated or freed. */
TERN_API void tern_context_set_available_counter_handler(tern_context *context,
                                                         tern_counter_handler handler,
                                                         void *handler_context);
TERN_API void tern_context_set_unavailable_counter_handler(tern_context *context,
                                                           tern_counter_handler handler,
                                                           void *handler_context);
/* A receiver refused a publication of this client. */
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
/* The conductor's thread has started. Not called in invoker mode. */
TERN_API void tern_context_set_thread_start_handler(tern_context *context,
                                                    tern_thread_start_handler handler,
                                                    void *handler_context);
/* The client ended, for whatever reason; called once. */
TERN_API void tern_context_set_close_handler(tern_context *context, tern_close_handler handler,
                                             void *handler_context);

#ifdef __cplusplus
}
#endif

#endif

/* Tern's client: publications, subscriptions and counters through a media driver.
 *
 * Include this header; it includes the others. A first program:
 *
 *     tern_context *context = tern_context_create(NULL);
 *     tern_client *client = tern_client_connect(context, &error);
 *     tern_publication *publication =
 *         tern_client_add_publication(client, "aeron:ipc", 1001, 5000000000, &error);
 *     while (tern_publication_offer(publication, "hello", 5) < 0) { ... }
 *     tern_publication_close(publication);
 *     tern_client_close(client);
 *     tern_context_destroy(context);
 *
 * Handles. Everything that an add function returns belongs to the caller and is ended by its close
 * function, exactly once, before or after the client: the order does not matter. When the client
 * ends (closed, timed out, driver dead or restarted), its handles stay valid memory until they are
 * closed; offers on them return TERN_PUBLICATION_CLOSED, polls return 0, is_closed is true. Mapped
 * memory stays mapped until the last handle on it is closed, so a dying driver never raises a
 * signal here.
 *
 * Conductor. One agent per client talks to the driver: it maps logs, tells of images, keeps the
 * client alive. It runs on a thread of its own, or in tern_client_do_work when the context says
 * use_invoker. Only the control plane takes a lock; offer and poll take none.
 *
 * Threads. Functions of the client (tern_client_*, tern_async_*) may be called by any thread, one
 * tern_async by one thread at a time. Each other header says its own rule. No close function may
 * run while another thread is inside a call on the same handle.
 *
 * Errors. Functions that return a pointer return NULL on failure; functions that return int return
 * 0 or a count, or a negative code of <tern/error.h>. Both write code and text to `error` (may be
 * NULL) on failure only. The codes of the driver are -(2000 + code) (shared-memory.md 3.3).
 *
 * The library works against any driver of Aeron 1.52 shared-memory layout (0.2.0).
 */
#ifndef TERN_CLIENT_H
#define TERN_CLIENT_H

#include <tern/context.h>
#include <tern/counters.h>
#include <tern/fragment.h>
#include <tern/handlers.h>
#include <tern/image.h>
#include <tern/publication.h>
#include <tern/subscription.h>
#include <tern/system.h>
#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Attach to the driver (2.2); waits up to the driver timeout for one to be there and alive.
 * The caller owns the client and ends it with tern_client_close. TERN_ERROR_DRIVER_TIMEOUT (text
 * says what was missing), TERN_ERROR_VERSION, TERN_ERROR_PROTOCOL for a damaged cnc.dat, -EINVAL
 * for a keepalive interval not below the driver's client liveness timeout, -ENOMEM, -errno. */
TERN_API tern_client *tern_client_connect(const tern_context *context, struct tern_error *error);

/* One look, no waiting: as connect, but NULL with code -EAGAIN while no living driver is there. For
 * agents, which must not block. */
TERN_API tern_client *tern_client_try_connect(const tern_context *context,
                                              struct tern_error *error);

/* Invoker mode, between calls of tern_client_do_work: wait by the context's idle strategy, not at
 * all when work_count > 0. Same thread as tern_client_do_work. */
TERN_API void tern_client_idle(tern_client *client, int work_count);

/* Invoker mode: one step of the conductor; returns the work done, 0 when there was nothing to do or
 * the client is closed. Never blocks. One thread at a time. With a conductor thread: returns 0. */
TERN_API int tern_client_do_work(tern_client *client);

/* End the client: tells the driver, stops the thread, closes what hangs from it (see "Handles").
 * Not from a handler. NULL is allowed. The pointer is invalid afterwards. */
TERN_API void tern_client_close(tern_client *client);

/* True once the client ended for whatever reason; it never becomes false again. */
TERN_API bool tern_client_is_closed(const tern_client *client);

/* 0 while the client works, else the code of what ended it, with its text in `error`. */
TERN_API int tern_client_status(const tern_client *client, struct tern_error *error);

/* The id that the driver knows this client by (2.3), also after its end. */
TERN_API int64_t tern_client_id(const tern_client *client);
/* Take the next id, unique among all clients of this driver (2.3); for commands of one's own. */
TERN_API int64_t tern_client_next_correlation_id(tern_client *client);
/* All counters of the driver's directory; valid until tern_client_close. */
TERN_API const tern_counters_reader *tern_client_counters(const tern_client *client);

/* Asynchronous requests (3.1). Each sends a command and returns at once; NULL when it could not be
 * sent (TERN_ERROR_CLOSED, TERN_ERROR_DRIVER_BUFFER_FULL, -EINVAL, -ENOMEM). Texts and keys are
 * copied; a channel has at most 4095 bytes. The tern_async belongs to the caller until a poll
 * function returned non-zero or it was cancelled. Also from handlers. */

/* Another handle on the log that clients of this driver share for channel and stream, or a new log.
 * Poll with tern_async_poll_publication. */
TERN_API tern_async *tern_client_async_add_publication(tern_client *client, const char *channel,
                                                       int32_t stream_id, struct tern_error *error);
/* A log of its own, with one writer. Poll with tern_async_poll_exclusive_publication. */
TERN_API tern_async *tern_client_async_add_exclusive_publication(tern_client *client,
                                                                 const char *channel,
                                                                 int32_t stream_id,
                                                                 struct tern_error *error);
/* Its handlers may run before the poll (tern_async_poll_subscription) has returned the handle. */
TERN_API tern_async *tern_client_async_add_subscription(
    tern_client *client, const struct tern_subscription_params *params, struct tern_error *error);
/* A counter that lives as long as its handle and this client; it begins at 0. Poll with
 * tern_async_poll_counter. */
TERN_API tern_async *tern_client_async_add_counter(tern_client *client,
                                                   const struct tern_counter_params *params,
                                                   struct tern_error *error);
/* A counter that no client owns and that lives as long as the driver; the same type and
 * registration id, which the caller chooses, give the same counter. tern_async_poll_counter. */
TERN_API tern_async *tern_client_async_add_static_counter(tern_client *client,
                                                          const struct tern_counter_params *params,
                                                          int64_t registration_id,
                                                          struct tern_error *error);
/* A session id that no publication of the stream uses. Drivers without this command (control
 * protocol below 1.0.0) are not asked: the id is then random. tern_async_poll_session_id. */
TERN_API tern_async *tern_client_async_next_session_id(tern_client *client, int32_t stream_id,
                                                       struct tern_error *error);

/* Poll a request with the function of its kind (anything else is a bug and aborts). 0: pending. 1:
 * done, the result is stored and belongs to the caller. Negative: failed, e.g. -(2000 + code) of
 * the driver with its text, -ETIMEDOUT after the driver timeout, TERN_ERROR_CLOSED. Non-zero
 * consumes `async`. Nothing advances in invoker mode unless tern_client_do_work is called. */
TERN_API int tern_async_poll_publication(tern_async *async, tern_publication **publication,
                                         struct tern_error *error);
TERN_API int tern_async_poll_exclusive_publication(tern_async *async,
                                                   tern_exclusive_publication **publication,
                                                   struct tern_error *error);
TERN_API int tern_async_poll_subscription(tern_async *async, tern_subscription **subscription,
                                          struct tern_error *error);
TERN_API int tern_async_poll_counter(tern_async *async, tern_counter **counter,
                                     struct tern_error *error);
TERN_API int tern_async_poll_session_id(tern_async *async, int32_t *session_id,
                                        struct tern_error *error);
/* For every add or remove of a destination; there is no result to store. */
TERN_API int tern_async_poll_destination(tern_async *async, struct tern_error *error);

/* Correlation id of the command: registration id of the resource, or id of the destination. Known
 * at once; ask before the poll that consumes `async`. */
TERN_API int64_t tern_async_registration_id(const tern_async *async);

/* Abandon a request; when the driver's answer comes, the resource is removed again. Consumes
 * `async`. NULL is allowed. */
TERN_API void tern_async_cancel(tern_async *async);

/* Remove by registration id what this client added but has no handle for, e.g. when the process
 * keeps ids only. 0 when the command was sent (a wrong id is not reported); -EBUSY while a handle
 * or an unfinished request of this client has the id: close or cancel that; TERN_ERROR_CLOSED;
 * TERN_ERROR_DRIVER_BUFFER_FULL. For publications of both kinds; subscriptions; counters. */
TERN_API int tern_client_remove_publication(tern_client *client, int64_t registration_id,
                                            struct tern_error *error);
TERN_API int tern_client_remove_subscription(tern_client *client, int64_t registration_id,
                                             struct tern_error *error);
TERN_API int tern_client_remove_counter(tern_client *client, int64_t registration_id,
                                        struct tern_error *error);

/* Blocking helpers: the asynchronous request of the same name, polled until done or until
 * timeout_ns passed (-ETIMEDOUT; the request is then cancelled). The handle belongs to the caller;
 * NULL on failure. In invoker mode they run the conductor themselves. Not from a handler (-EDEADLK)
 * and not from agents. */
TERN_API tern_publication *tern_client_add_publication(tern_client *client, const char *channel,
                                                       int32_t stream_id, int64_t timeout_ns,
                                                       struct tern_error *error);
TERN_API tern_exclusive_publication *
tern_client_add_exclusive_publication(tern_client *client, const char *channel, int32_t stream_id,
                                      int64_t timeout_ns, struct tern_error *error);
TERN_API tern_subscription *
tern_client_add_subscription(tern_client *client, const struct tern_subscription_params *params,
                             int64_t timeout_ns, struct tern_error *error);
TERN_API tern_counter *tern_client_add_counter(tern_client *client,
                                               const struct tern_counter_params *params,
                                               int64_t timeout_ns, struct tern_error *error);
TERN_API tern_counter *tern_client_add_static_counter(tern_client *client,
                                                      const struct tern_counter_params *params,
                                                      int64_t registration_id, int64_t timeout_ns,
                                                      struct tern_error *error);
/* Waits for a destination request; 0 or a negative code. Consumes `async`, also on failure. NULL
 * (a request that could not be sent) gives -EINVAL and leaves *error as it is. */
TERN_API int tern_client_await_destination(tern_client *client, tern_async *async,
                                           int64_t timeout_ns, struct tern_error *error);

#ifdef __cplusplus
}
#endif

#endif

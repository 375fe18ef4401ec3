/* Handlers that come and go while a client runs (shared-memory.md 9.2), besides those that a
 * context gave it for life (<tern/context.h>).
 *
 * A pair of handler and `handler_context` may be added several times and is then called as often.
 * Handlers run on the conductor, after the context's one, in the order of adding, with no lock
 * held; what they may do is said at their types in <tern/types.h>. One that is added meanwhile is
 * called from the next event on, one that is removed is not called any more.
 *
 * Add: 0, -ENOSPC when there are TERN_HANDLERS_MAX of the kind, TERN_ERROR_CLOSED. Remove: 0, or
 * -ENOENT when the pair is not there; when it returns the handler does not run any more (it waits
 * for a run on another thread), so its context may be freed. Any thread, also from handlers.
 * Everything left is dropped when the client is freed.
 */
#ifndef TERN_HANDLERS_H
#define TERN_HANDLERS_H

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_HANDLERS_MAX 32

/* A counter of any client, or of the driver, was allocated. */
TERN_API int tern_client_add_available_counter_handler(tern_client *client,
                                                       tern_counter_handler handler,
                                                       void *handler_context);
TERN_API int tern_client_remove_available_counter_handler(tern_client *client,
                                                          tern_counter_handler handler,
                                                          void *handler_context);
/* Freed; with the id that it had. */
TERN_API int tern_client_add_unavailable_counter_handler(tern_client *client,
                                                         tern_counter_handler handler,
                                                         void *handler_context);
TERN_API int tern_client_remove_unavailable_counter_handler(tern_client *client,
                                                            tern_counter_handler handler,
                                                            void *handler_context);
/* The client ended, for whatever reason; tern_client_status says why. Called once. */
TERN_API int tern_client_add_close_handler(tern_client *client, tern_close_handler handler,
                                           void *handler_context);
TERN_API int tern_client_remove_close_handler(tern_client *client, tern_close_handler handler,
                                              void *handler_context);

#ifdef __cplusplus
}
#endif

#endif

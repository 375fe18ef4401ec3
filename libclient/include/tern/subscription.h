/* Receiving: a subscription is the set of images of one stream (shared-memory.md 5.15, 9.4).
 *
 * One thread at a time uses a subscription's functions: the poll functions, the image functions and
 * is_connected all follow the same list of images, which the conductor replaces as images come and
 * go. The channel, id and address functions are safe on any thread. What an image that went away
 * had mapped is freed after the subscriber thread called one of these functions again (and the
 * resource linger passed), so poll now and then, or close.
 */
#ifndef TERN_SUBSCRIPTION_H
#define TERN_SUBSCRIPTION_H

#include <tern/publication.h>
#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For adding a subscription. Zero what is not needed. */
struct tern_subscription_params {
    const char *channel; /* copied; may start with "aeron-spy:" */
    int32_t stream_id;
    /* NULL: the context's handlers with the context's pointers. */
    tern_image_handler on_available_image;
    tern_image_handler on_unavailable_image;
    void *handler_context; /* for both of the above */
};

/* Deliver up to `fragment_limit` fragments of all images, beginning with another image each time.
 * Returns how many, 0 when there was none or the subscription is closed. Never blocks. */
TERN_API int tern_subscription_poll(tern_subscription *subscription, tern_fragment_handler handler,
                                    void *handler_context, int fragment_limit);
/* The same, and the handler says how to go on; ABORT and BREAK end the turn of their image only. */
TERN_API int tern_subscription_controlled_poll(tern_subscription *subscription,
                                               tern_controlled_fragment_handler handler,
                                               void *handler_context, int fragment_limit);
/* As tern_image_block_poll, once for each image: at most `length_limit` bytes of each. Returns the
 * bytes consumed. */
TERN_API int64_t tern_subscription_block_poll(tern_subscription *subscription,
                                              tern_block_handler handler, void *handler_context,
                                              int32_t length_limit);
/* As tern_image_raw_poll, once for each image; stops at the first one whose file cannot be opened,
 * with -errno when nothing was consumed before. Returns the bytes consumed. */
TERN_API int64_t tern_subscription_raw_poll(tern_subscription *subscription,
                                            tern_raw_block_handler handler, void *handler_context,
                                            int32_t length_limit);

/* Sleep until there is something to poll, at most timeout_ns. 1: poll now (it may find padding only
 * and deliver nothing). 0: nothing, because the time passed or because an image came or went.
 * TERN_ERROR_CLOSED. -EDEADLK from a handler of the conductor.
 *
 * For threads that have nothing else to do: where all who write to the images are Tern (publishers
 * of IPC, the driver of network streams), nothing runs until one of them writes, and that one wakes
 * this thread; a subscriber that never waits costs them nothing. Where an Aeron client or driver
 * writes, this thread looks again after sleeps that grow from 20 us to 1 ms. In invoker mode it
 * also runs the conductor, every 10 ms, whose handlers must not close this subscription. */
TERN_API int tern_subscription_wait(tern_subscription *subscription, int64_t timeout_ns);

/* At least one image is open. */
TERN_API bool tern_subscription_is_connected(tern_subscription *subscription);
/* How many images there are; 0 when closed. */
TERN_API int tern_subscription_image_count(tern_subscription *subscription);
/* Both return the image with a reference for the caller, who ends it with tern_image_release, or
 * NULL when there is none or the subscription is closed. Indexes go from 0 to the count; they
 * change as images come and go. */
TERN_API tern_image *tern_subscription_image_by_session_id(tern_subscription *subscription,
                                                           int32_t session_id);
TERN_API tern_image *tern_subscription_image_at_index(tern_subscription *subscription, int index);
/* Visit the images in the order of their indexes; returns how many. The visitor may poll the image
 * or look others up. */
TERN_API int tern_subscription_for_each_image(tern_subscription *subscription,
                                              tern_image_visitor visit, void *context);

/* It was closed, or its client ended; it never becomes false again. */
TERN_API bool tern_subscription_is_closed(const tern_subscription *subscription);
/* A value of enum tern_channel_status; ACTIVE for IPC and spies, ERRORED when closed. */
TERN_API int64_t tern_subscription_channel_status(const tern_subscription *subscription);
/* The counter that tells it (6.3); -1 for IPC and spies. */
TERN_API int32_t tern_subscription_channel_status_id(const tern_subscription *subscription);
/* As given to the add; the text lives as long as the handle. */
TERN_API const char *tern_subscription_channel(const tern_subscription *subscription);
TERN_API int32_t tern_subscription_stream_id(const tern_subscription *subscription);
/* The correlation id of the command that added it: its name at the driver. */
TERN_API int64_t tern_subscription_registration_id(const tern_subscription *subscription);

/* What does not change during a subscription's life. Strings live as long as the handle. */
struct tern_subscription_constants {
    const char *channel;
    int64_t registration_id;
    int32_t stream_id;
    int32_t channel_status_counter_id; /* -1: IPC and spies */
};
/* All of it at once. */
TERN_API void tern_subscription_get_constants(const tern_subscription *subscription,
                                              struct tern_subscription_constants *constants);

/* As tern_publication_local_addresses. */
TERN_API int tern_subscription_local_addresses(const tern_subscription *subscription,
                                               char (*addresses)[TERN_ADDRESS_TEXT_MAX],
                                               int count_max);
/* The first local address once the channel is active: 1 and the text, 0 while there is none. */
TERN_API int tern_subscription_resolved_endpoint(const tern_subscription *subscription,
                                                 char address[TERN_ADDRESS_TEXT_MAX]);
/* The channel with the port 0 of its endpoint replaced by the bound port (6.3), for others to send
 * to, as a text of at most `size` bytes with the NUL. Returns its length, 0 while the port is not
 * known, -ENAMETOOLONG when `size` is too small. A channel without port 0 is returned as it is. */
TERN_API int tern_subscription_resolved_channel(const tern_subscription *subscription,
                                                char *channel, int32_t size);

/* Receive destinations of a channel with control-mode=manual (3.5). NULL on failure, as for
 * tern_client_async_add_subscription. Poll with tern_async_poll_destination. */
TERN_API tern_async *tern_subscription_async_add_destination(tern_subscription *subscription,
                                                             const char *channel,
                                                             struct tern_error *error);
TERN_API tern_async *tern_subscription_async_remove_destination(tern_subscription *subscription,
                                                                const char *channel,
                                                                struct tern_error *error);

/* Tell the driver, close its images and free the handle. Images that were retained stay valid.
 * Waits only for a handler of this subscription that is running on the conductor's thread. Not from
 * a handler of its own poll. NULL is allowed. */
TERN_API void tern_subscription_close(tern_subscription *subscription);

#ifdef __cplusplus
}
#endif

#endif

/* The blocking helpers: an asynchronous request and the wait for it, for programs that have nothing
 * else to do meanwhile. Agents use the asynchronous functions instead. */
#include "client/request.h"

#include <errno.h>

/* NULL: the request could not be sent, or the wait failed and the request was cancelled. */
static tern_async *await(tern_async *async, int64_t timeout_ns, struct tern_error *error) {
    if (async != NULL && client_request_await(async, timeout_ns, error) != 0) {
        tern_async_cancel(async);
        return NULL;
    }
    return async;
}

tern_publication *tern_client_add_publication(tern_client *client, const char *channel,
                                              int32_t stream_id, int64_t timeout_ns,
                                              struct tern_error *error) {
    tern_publication *publication = NULL;
    tern_async *async = await(tern_client_async_add_publication(client, channel, stream_id, error),
                              timeout_ns, error);
    if (async != NULL) {
        (void)tern_async_poll_publication(async, &publication, error);
    }
    return publication;
}

tern_exclusive_publication *
tern_client_add_exclusive_publication(tern_client *client, const char *channel, int32_t stream_id,
                                      int64_t timeout_ns, struct tern_error *error) {
    tern_exclusive_publication *publication = NULL;
    tern_async *async =
        await(tern_client_async_add_exclusive_publication(client, channel, stream_id, error),
              timeout_ns, error);
    if (async != NULL) {
        (void)tern_async_poll_exclusive_publication(async, &publication, error);
    }
    return publication;
}

tern_subscription *tern_client_add_subscription(tern_client *client,
                                                const struct tern_subscription_params *params,
                                                int64_t timeout_ns, struct tern_error *error) {
    tern_subscription *subscription = NULL;
    tern_async *async =
        await(tern_client_async_add_subscription(client, params, error), timeout_ns, error);
    if (async != NULL) {
        (void)tern_async_poll_subscription(async, &subscription, error);
    }
    return subscription;
}

tern_counter *tern_client_add_counter(tern_client *client, const struct tern_counter_params *params,
                                      int64_t timeout_ns, struct tern_error *error) {
    tern_counter *counter = NULL;
    tern_async *async =
        await(tern_client_async_add_counter(client, params, error), timeout_ns, error);
    if (async != NULL) {
        (void)tern_async_poll_counter(async, &counter, error);
    }
    return counter;
}

tern_counter *tern_client_add_static_counter(tern_client *client,
                                             const struct tern_counter_params *params,
                                             int64_t registration_id, int64_t timeout_ns,
                                             struct tern_error *error) {
    tern_counter *counter = NULL;
    tern_async *async =
        await(tern_client_async_add_static_counter(client, params, registration_id, error),
              timeout_ns, error);
    if (async != NULL) {
        (void)tern_async_poll_counter(async, &counter, error);
    }
    return counter;
}

int tern_client_await_destination(tern_client *client, tern_async *async, int64_t timeout_ns,
                                  struct tern_error *error) {
    if (async == NULL) {
        return -EINVAL;
    }
    assert(async->client == client);
    (void)client;
    int result = client_request_await(async, timeout_ns, error);
    if (result != 0) {
        tern_async_cancel(async);
        return result;
    }
    result = tern_async_poll_destination(async, error);
    return result == 1 ? 0 : result;
}

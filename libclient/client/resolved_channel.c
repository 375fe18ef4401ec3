/* Where a subscription really listens: the bound address, and its channel with the bound port
 * (shared-memory.md 6.3, type 14). A subscription to "...endpoint=host:0" gets its port from the
 * system; others must be told which one. */
#include "client/subscription.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/uri.h"

#define PORT_ZERO ":0"

int tern_subscription_local_addresses(const tern_subscription *subscription,
                                      char (*addresses)[TERN_ADDRESS_TEXT_MAX], int count_max) {
    return client_local_addresses(subscription->client, subscription->channel_status_id, addresses,
                                  count_max);
}

int tern_subscription_resolved_endpoint(const tern_subscription *subscription,
                                        char address[TERN_ADDRESS_TEXT_MAX]) {
    char first[1][TERN_ADDRESS_TEXT_MAX];
    if (tern_subscription_channel_status(subscription) != TERN_CHANNEL_STATUS_ACTIVE ||
        tern_subscription_local_addresses(subscription, first, 1) == 0) {
        return 0;
    }
    memcpy(address, first[0], TERN_ADDRESS_TEXT_MAX);
    return 1;
}

static int copy_text(const char *text, int32_t length, char *out, int32_t size) {
    if (length >= size) {
        return -ENAMETOOLONG;
    }
    memcpy(out, text, (size_t)length + 1);
    return length;
}

/* Length of the host part of "host:0", or 0 when the endpoint has another port. */
static size_t wildcard_host_length(const char *endpoint) {
    size_t length = endpoint == NULL ? 0 : strlen(endpoint);
    size_t suffix = sizeof PORT_ZERO - 1;
    return length > suffix && strcmp(endpoint + length - suffix, PORT_ZERO) == 0 ? length - suffix
                                                                                 : 0;
}

int tern_subscription_resolved_channel(const tern_subscription *subscription, char *channel,
                                       int32_t size) {
    const char *own = subscription->channel;
    struct uri uri;
    if (uri_parse(&uri, own, (int32_t)strlen(own), NULL) != 0) {
        return -EINVAL;
    }
    const char *endpoint = uri_get(&uri, "endpoint");
    size_t host_length = wildcard_host_length(endpoint);
    if (host_length == 0) {
        return copy_text(own, (int32_t)strlen(own), channel, size);
    }
    char address[TERN_ADDRESS_TEXT_MAX];
    if (tern_subscription_resolved_endpoint(subscription, address) == 0) {
        return 0;
    }
    const char *port = strrchr(address, ':');
    if (port == NULL) {
        return 0;
    }
    char resolved[URI_LENGTH_MAX + 1];
    int written = snprintf(resolved, sizeof resolved, "%.*s%s", (int)host_length, endpoint, port);
    struct uri_builder builder;
    if (written < 0 || (size_t)written >= sizeof resolved || uri_builder_init(&builder, own) != 0 ||
        uri_builder_set(&builder, "endpoint", resolved) != 0) {
        return -ENAMETOOLONG;
    }
    return copy_text(builder.text, builder.length, channel, size);
}

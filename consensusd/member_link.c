/* Sending to and receiving from the other members (see member_link.h). What is lost here is
 * repeated or kept by the core, so a send that does not succeed at once is given up. */
#include "consensusd/member_link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/uri.h"

#define SEND_ATTEMPTS 3
#define RETRY_NS (500 * NS_PER_MS)

void endpoint_host(const char *endpoint, char *host, size_t size) {
    const char *colon = strrchr(endpoint, ':');
    int length = colon == NULL ? (int)strlen(endpoint) : (int)(colon - endpoint);
    snprintf(host, size, "%.*s", length, endpoint);
}

int member_link_open(struct member_link *link, const struct member_link_params *params,
                     struct tern_error *error) {
    struct uri uri;
    struct uri_builder channel;
    memset(link, 0, sizeof *link);
    link->client = params->client;
    link->conf = params->conf;
    link->members = params->members;
    link->own_index = params->own_index;
    link->assembler = tern_fragment_assembler_create(params->on_message, params->context);
    const char *text = params->conf->consensus_channel;
    int result = uri_parse(&uri, text, (int32_t)strlen(text), error);
    if (result != 0) {
        return result;
    }
    result = uri_builder_init(&channel, text);
    if (result == 0 && uri_get(&uri, "endpoint") == NULL) {
        const char *own = params->members->list[params->own_index].consensus;
        result = uri_builder_set(&channel, "endpoint", own);
    }
    if (result != 0 || link->assembler == NULL) {
        return error_set(error, link->assembler == NULL ? -ENOMEM : result,
                         "cannot make the consensus channel");
    }
    const struct tern_subscription_params subscription = {
        .channel = channel.text, .stream_id = params->conf->consensus_stream_id};
    link->subscription_request =
        tern_client_async_add_subscription(link->client, &subscription, error);
    return link->subscription_request == NULL ? error->code : 0;
}

int member_link_await(struct member_link *link, struct tern_error *error) {
    if (link->subscription != NULL) {
        return 1;
    }
    int result =
        tern_async_poll_subscription(link->subscription_request, &link->subscription, error);
    if (result != 0) {
        link->subscription_request = NULL;
    }
    return result;
}

static int request_publication(struct member_link *link, int32_t member, struct tern_error *error) {
    struct uri_builder channel;
    int result = uri_builder_init(&channel, link->conf->consensus_channel);
    if (result == 0) {
        result = uri_builder_set(&channel, "endpoint", link->members->list[member].consensus);
    }
    if (result == 0 && link->conf->is_consensus_control_enabled) {
        char host[256];
        char control[300];
        endpoint_host(link->members->list[link->own_index].consensus, host, sizeof host);
        snprintf(control, sizeof control, "%s:0", host);
        result = uri_builder_set(&channel, "control", control);
    }
    if (result != 0) {
        return error_set(error, result, "the consensus channel is too long");
    }
    link->publication_requests[member] = tern_client_async_add_exclusive_publication(
        link->client, channel.text, link->conf->consensus_stream_id, error);
    return link->publication_requests[member] == NULL ? error->code : 1;
}

static int maintain_one(struct member_link *link, int32_t member, int64_t now_ns,
                        struct tern_error *error) {
    if (link->publications[member] != NULL) {
        if (!tern_exclusive_publication_is_closed(link->publications[member])) {
            return 0;
        }
        tern_exclusive_publication_close(link->publications[member]);
        link->publications[member] = NULL;
    }
    int result;
    if (link->publication_requests[member] == NULL) {
        if (now_ns < link->retry_ns[member]) {
            return 0;
        }
        result = request_publication(link, member, error);
    } else {
        result = tern_async_poll_exclusive_publication(link->publication_requests[member],
                                                       &link->publications[member], error);
        if (result != 0) {
            link->publication_requests[member] = NULL;
        }
    }
    if (result < 0) {
        link->retry_ns[member] = now_ns + RETRY_NS;
        error_prefix(error, "no stream to member %d", link->members->list[member].id);
        return 0;
    }
    return result;
}

int member_link_maintain(struct member_link *link, int64_t now_ns, struct tern_error *error) {
    int work = 0;
    error->code = 0;
    for (int32_t i = 0; i < link->members->count; i++) {
        if (i != link->own_index) {
            work += maintain_one(link, i, now_ns, error);
        }
    }
    return work;
}

int member_link_poll(struct member_link *link, int fragment_limit) {
    return tern_subscription_poll(link->subscription, tern_fragment_assembler_on_fragment,
                                  link->assembler, fragment_limit);
}

uint32_t member_link_connected(const struct member_link *link) {
    uint32_t connected = 0;
    for (int32_t i = 0; i < link->members->count; i++) {
        if (link->publications[i] != NULL &&
            tern_exclusive_publication_is_connected(link->publications[i])) {
            connected |= UINT32_C(1) << i;
        }
    }
    return connected;
}

bool member_link_send(struct member_link *link, int32_t member, const void *message,
                      int32_t length) {
    assert(member != link->own_index);
    if (link->publications[member] == NULL) {
        return false;
    }
    for (int attempt = 0; attempt < SEND_ATTEMPTS; attempt++) {
        if (tern_exclusive_publication_offer(link->publications[member], message, length) > 0) {
            return true;
        }
    }
    return false;
}

void member_link_broadcast(struct member_link *link, const void *message, int32_t length) {
    for (int32_t i = 0; i < link->members->count; i++) {
        if (i != link->own_index) {
            member_link_send(link, i, message, length);
        }
    }
}

void member_link_close(struct member_link *link) {
    tern_async_cancel(link->subscription_request);
    tern_subscription_close(link->subscription);
    link->subscription_request = NULL;
    link->subscription = NULL;
    for (int32_t i = 0; i < MEMBERS_COUNT_MAX; i++) {
        tern_async_cancel(link->publication_requests[i]);
        tern_exclusive_publication_close(link->publications[i]);
        link->publication_requests[i] = NULL;
        link->publications[i] = NULL;
    }
    tern_fragment_assembler_destroy(link->assembler);
    link->assembler = NULL;
}

/* Name look-ups off the duty cycles (media-driver.md 5.9, 6.4). One request at a time, in order.
 *
 * The two rings have one producer and one consumer each: the conductor and this agent. A request
 * for a channel carries the channel itself, which nobody else touches until its result was read.
 */
#include "driverd/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_CAPACITY 65536
#define RESOLVE_MESSAGE 1

int resolver_init(struct resolver *resolver, const struct net *net, struct tern_error *error) {
    const size_t length = RING_CAPACITY + RING_TRAILER_LENGTH;
    *resolver = (struct resolver){.net = net, .memory = calloc(2, length)};
    if (resolver->memory == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make the resolver's queues");
    }
    int result = net->poller_open(net->context, &resolver->poller, error);
    if (result != 0) {
        resolver_close(resolver);
        return result;
    }
    result = ring_spsc_init(&resolver->requests, resolver->memory, (int64_t)length);
    assert(result == 0);
    result = ring_spsc_init(&resolver->results, resolver->memory + length, (int64_t)length);
    assert(result == 0);
    return result;
}

void resolver_close(struct resolver *resolver) {
    if (resolver->poller != NULL) {
        resolver->net->poller_close(resolver->net->context, resolver->poller);
    }
    free(resolver->memory);
    *resolver = (struct resolver){0};
}

static void resolve(const struct resolver *resolver, const struct resolve_request *request,
                    struct resolve_result *result) {
    struct tern_error error = {0};
    if (request->kind == RESOLVE_CHANNEL) {
        result->code = udp_channel_resolve(request->channel, resolver->net, &error);
    } else {
        const struct net *net = resolver->net;
        result->code = net->resolve(net->context, request->host.name, &result->address, &error);
        if (result->code == 0) {
            net_address_set_port(&result->address, request->host.port);
        }
    }
    memcpy(result->text, error.text, sizeof result->text);
}

static void on_request(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct resolver *resolver = context;
    struct resolve_request request;
    assert(type == RESOLVE_MESSAGE);
    assert(length == sizeof request);
    memcpy(&request, payload, sizeof request);
    struct resolve_result result = {
        .kind = request.kind,
        .id = request.id,
        .time_ns = request.time_ns,
        .channel = request.channel,
    };
    resolve(resolver, &request, &result);
    enum ring_status status =
        ring_spsc_write(&resolver->results, RESOLVE_MESSAGE, &result, sizeof result);
    assert(status == RING_OK); /* do_work made sure of the room */
}

int resolver_do_work(struct resolver *resolver, int64_t now_ns) {
    (void)now_ns;
    if (ring_spsc_free_bytes(&resolver->results) < (int64_t)sizeof(struct resolve_result) * 4) {
        return 0;
    }
    return ring_spsc_read(&resolver->requests, on_request, resolver, 1);
}

bool resolver_submit(struct resolver *resolver, const struct resolve_request *request) {
    const struct net *net = resolver->net;
    if (ring_spsc_write(&resolver->requests, RESOLVE_MESSAGE, request, sizeof *request) !=
        RING_OK) {
        return false;
    }
    net->wake(net->context, resolver->poller);
    return true;
}

struct poll_target {
    resolve_handler handler;
    void *context;
};

static void on_result(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    const struct poll_target *target = context;
    struct resolve_result result;
    assert(type == RESOLVE_MESSAGE);
    assert(length == sizeof result);
    memcpy(&result, payload, sizeof result);
    target->handler(target->context, &result);
}

int resolver_poll(struct resolver *resolver, resolve_handler handler, void *context) {
    struct poll_target target = {handler, context};
    return ring_spsc_read(&resolver->results, on_result, &target, 16);
}

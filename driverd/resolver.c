/* Name look-ups off the duty cycles (media-driver.md 5.9, 6.4). One request at a time, and first
 * what a client waits for: a name that is asked for again in the background may be one that the
 * name service is slow about.
 *
 * Each ring has one producer and one consumer, the conductor and this agent; `answers` is the
 * conductor's alone. A request for a channel carries the channel itself, which nobody else touches
 * until its result was read.
 */
#include "driverd/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driverd/name_table.h"

#define RING_CAPACITY 65536
#define RESOLVE_MESSAGE 1
#define RESULTS_PER_POLL_MAX 16

int resolver_init(struct resolver *resolver, const struct net *net, struct tern_error *error) {
    const size_t length = RING_CAPACITY + RING_TRAILER_LENGTH;
    struct ring_spsc *const rings[] = {&resolver->requests, &resolver->background_requests,
                                       &resolver->results, &resolver->answers};
    *resolver =
        (struct resolver){.net = net, .lookup = net, .memory = calloc(ARRAY_COUNT(rings), length)};
    if (resolver->memory == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make the resolver's queues");
    }
    int result = net->poller_open(net->context, &resolver->poller, error);
    if (result != 0) {
        resolver_close(resolver);
        return result;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rings); i++) {
        result = ring_spsc_init(rings[i], resolver->memory + i * length, (int64_t)length);
        assert(result == 0);
    }
    return result;
}

void resolver_close(struct resolver *resolver) {
    if (resolver->poller != NULL) {
        resolver->net->poller_close(resolver->net->context, resolver->poller);
    }
    name_table_destroy(resolver->table);
    free(resolver->memory);
    *resolver = (struct resolver){0};
}

static void resolve(const struct resolver *resolver, const struct resolve_request *request,
                    struct resolve_result *result) {
    struct tern_error error = {0};
    if (request->kind == RESOLVE_CHANNEL) {
        result->code = udp_channel_resolve(request->channel, resolver->lookup, &error);
    } else {
        const struct net *net = resolver->lookup;
        result->code = net->resolve(net->context, request->host.name, &result->address, &error);
        int family = request->host.address.base.sa_family;
        bool is_again = request->kind != RESOLVE_BOOTSTRAP;
        if (result->code == 0 && is_again && result->address.base.sa_family != family) {
            result->code = error_set(&error, -EAFNOSUPPORT, "its address is of another family now");
        }
        net_address_set_port(&result->address, request->host.port);
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
        .time_ns = resolver->now_ns,
        .channel = request.channel,
    };
    resolve(resolver, &request, &result);
    enum ring_status status =
        ring_spsc_write(&resolver->results, RESOLVE_MESSAGE, &result, sizeof result);
    assert(status == RING_OK); /* do_work made sure of the room */
}

static bool has_room(const struct ring_spsc *ring) {
    return ring_spsc_free_bytes(ring) >= (int64_t)sizeof(struct resolve_result) * 4;
}

int resolver_do_work(struct resolver *resolver, int64_t now_ns) {
    resolver->now_ns = now_ns;
    if (!has_room(&resolver->results)) {
        return 0;
    }
    int work = ring_spsc_read(&resolver->requests, on_request, resolver, 1);
    return work > 0 ? work
                    : ring_spsc_read(&resolver->background_requests, on_request, resolver, 1);
}

static bool is_empty(const struct ring_spsc *ring) {
    return ring_spsc_free_bytes(ring) == ring->capacity;
}

bool resolver_is_busy(const struct resolver *resolver) {
    return !is_empty(&resolver->requests) || !is_empty(&resolver->background_requests);
}

/* -- the conductor's side -- */

void resolver_set_source(struct resolver *resolver, const struct name_source *source) {
    resolver->source = *source;
}

void resolver_set_table(struct resolver *resolver, struct name_table *table) {
    assert(resolver->table == NULL);
    resolver->table = table;
    resolver->lookup = &table->net;
}

static void find_host(const struct resolver *resolver, struct udp_host *host, int family) {
    const struct name_source *source = &resolver->source;
    if (host->name[0] != '\0' && !host->is_numeric &&
        source->find(source->context, host->name, family, &host->address)) {
        net_address_set_port(&host->address, host->port);
        host->is_found = true;
    }
}

static int numeric_family(const struct udp_host *host) {
    return host->is_numeric ? host->address.base.sa_family : AF_UNSPEC;
}

/* True: everything was known, and the channel is resolved or refused. */
static bool answer_channel(const struct resolver *resolver, struct udp_channel *channel,
                           struct resolve_result *result) {
    find_host(resolver, &channel->endpoint, numeric_family(&channel->control));
    find_host(resolver, &channel->control, numeric_family(&channel->endpoint));
    if (udp_channel_needs_resolver(channel)) {
        return false;
    }
    struct tern_error error = {0};
    result->code = udp_channel_resolve(channel, resolver->net, &error);
    memcpy(result->text, error.text, sizeof result->text);
    return true;
}

static bool answer(struct resolver *resolver, const struct resolve_request *request) {
    if (resolver->source.find == NULL || request->kind == RESOLVE_BOOTSTRAP ||
        !has_room(&resolver->answers)) {
        return false;
    }
    struct resolve_result result = {
        .kind = request->kind,
        .id = request->id,
        .time_ns = request->time_ns,
        .channel = request->channel,
    };
    struct udp_host host = request->host;
    if (request->kind == RESOLVE_CHANNEL) {
        if (!answer_channel(resolver, request->channel, &result)) {
            return false;
        }
    } else {
        find_host(resolver, &host, host.address.base.sa_family);
        if (!host.is_found) {
            return false;
        }
        result.address = host.address;
    }
    enum ring_status status =
        ring_spsc_write(&resolver->answers, RESOLVE_MESSAGE, &result, sizeof result);
    assert(status == RING_OK);
    return true;
}

bool resolver_submit(struct resolver *resolver, const struct resolve_request *request) {
    const struct net *net = resolver->net;
    if (answer(resolver, request)) {
        return true;
    }
    if (resolver->table != NULL) {
        name_table_refresh(resolver->table);
    }
    struct ring_spsc *ring =
        request->kind == RESOLVE_CHANNEL ? &resolver->requests : &resolver->background_requests;
    if (ring_spsc_write(ring, RESOLVE_MESSAGE, request, sizeof *request) != RING_OK) {
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
    int count = ring_spsc_read(&resolver->answers, on_result, &target, RESULTS_PER_POLL_MAX);
    return count + ring_spsc_read(&resolver->results, on_result, &target, RESULTS_PER_POLL_MAX);
}

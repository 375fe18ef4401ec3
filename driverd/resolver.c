/* Name look-ups off the duty cycles (media-driver.md 5.9, 6.4): one request at a time and agent.
 *
 * Each ring has one producer and one consumer, the conductor and an agent; `answers` is the
 * conductor's alone. A request for a channel carries the channel itself, which nobody else touches
 * until its result was read.
 */
#include "driverd/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driverd/name_table.h"
#include "driverd/plugin_names.h"

#define RING_CAPACITY 65536
#define RING_LENGTH (RING_CAPACITY + RING_TRAILER_LENGTH)
#define RESOLVE_MESSAGE 1
#define RESULTS_PER_POLL_MAX 16

static void init_ring(struct ring_spsc *ring, uint8_t **memory) {
    int result = ring_spsc_init(ring, *memory, RING_LENGTH);
    assert(result == 0);
    (void)result;
    *memory += RING_LENGTH;
}

int resolver_init(struct resolver *resolver, const struct net *net, struct tern_error *error) {
    *resolver = (struct resolver){
        .net = net,
        .lookup = net,
        .memory = calloc(2 * RESOLVER_AGENT_COUNT + 1, RING_LENGTH),
    };
    if (resolver->memory == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make the resolver's queues");
    }
    uint8_t *memory = resolver->memory;
    init_ring(&resolver->answers, &memory);
    for (int i = 0; i < RESOLVER_AGENT_COUNT; i++) {
        struct resolver_agent *agent = &resolver->agents[i];
        agent->resolver = resolver;
        init_ring(&agent->requests, &memory);
        init_ring(&agent->results, &memory);
        int result = net->poller_open(net->context, &agent->poller, error);
        if (result != 0) {
            resolver_close(resolver);
            return result;
        }
    }
    return 0;
}

void resolver_close(struct resolver *resolver) {
    for (int i = 0; i < RESOLVER_AGENT_COUNT; i++) {
        if (resolver->agents[i].poller != NULL) {
            resolver->net->poller_close(resolver->net->context, resolver->agents[i].poller);
        }
    }
    name_table_destroy(resolver->table);
    plugin_names_destroy(resolver->plugin);
    free(resolver->memory);
    *resolver = (struct resolver){0};
}

/* -- the agents' side -- */

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
    struct resolver_agent *agent = context;
    struct resolve_request request;
    assert(type == RESOLVE_MESSAGE);
    assert(length == sizeof request);
    memcpy(&request, payload, sizeof request);
    struct resolve_result result = {
        .kind = request.kind,
        .id = request.id,
        .time_ns = agent->now_ns,
        .channel = request.channel,
    };
    resolve(agent->resolver, &request, &result);
    enum ring_status status =
        ring_spsc_write(&agent->results, RESOLVE_MESSAGE, &result, sizeof result);
    assert(status == RING_OK); /* do_work made sure of the room */
}

static bool has_room(const struct ring_spsc *ring) {
    return ring_spsc_free_bytes(ring) >= (int64_t)sizeof(struct resolve_result) * 4;
}

int resolver_agent_do_work(struct resolver_agent *agent, int64_t now_ns) {
    agent->now_ns = now_ns;
    return has_room(&agent->results) ? ring_spsc_read(&agent->requests, on_request, agent, 1) : 0;
}

void resolver_agent_wait(const struct resolver_agent *agent, int64_t timeout_ns) {
    const struct net *net = agent->resolver->net;
    net->wait(net->context, &agent->poller, 1, timeout_ns);
}

void resolver_agent_wake(const struct resolver_agent *agent) {
    const struct net *net = agent->resolver->net;
    net->wake(net->context, agent->poller);
}

bool resolver_is_busy(const struct resolver *resolver) {
    bool is_busy = false;
    for (int i = 0; i < RESOLVER_AGENT_COUNT; i++) {
        const struct ring_spsc *ring = &resolver->agents[i].requests;
        is_busy = is_busy || ring_spsc_free_bytes(ring) < ring->capacity;
    }
    return is_busy;
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

void resolver_set_plugin(struct resolver *resolver, struct plugin_names *plugin) {
    assert(resolver->plugin == NULL);
    resolver->plugin = plugin;
    resolver->lookup = &plugin->net;
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
    if (answer(resolver, request)) {
        return true;
    }
    if (resolver->table != NULL) {
        name_table_refresh(resolver->table);
    }
    struct resolver_agent *agent =
        &resolver
             ->agents[request->kind == RESOLVE_CHANNEL ? RESOLVER_FOREGROUND : RESOLVER_BACKGROUND];
    if (ring_spsc_write(&agent->requests, RESOLVE_MESSAGE, request, sizeof *request) != RING_OK) {
        return false;
    }
    resolver_agent_wake(agent);
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
    for (int i = 0; i < RESOLVER_AGENT_COUNT; i++) {
        struct ring_spsc *results = &resolver->agents[i].results;
        count += ring_spsc_read(results, on_result, &target, RESULTS_PER_POLL_MAX);
    }
    return count;
}

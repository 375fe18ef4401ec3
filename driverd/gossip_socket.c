/* Between the gossip of names and the world: datagrams, look-ups, counters, the error log.
 *
 * The socket is read every 10 ms rather than waited for (5.10): nothing here is urgent, and a
 * conductor that spins must not pay a system call per cycle. What one look may take is bounded by
 * datagrams and bytes, so that a flood costs the duty cycle no more than that.
 */
#include "driverd/gossip_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/driver_conf.h"
#include "driverd/driver_context.h"
#include "driverd/net_interface.h"
#include "driverd/resolver.h"
#include "driverd/trace.h"

#define WORK_INTERVAL_NS (10 * NS_PER_MS)
#define RECEIVED_COUNT_MAX 16
#define RECEIVED_BYTES_MAX 65536
#define SENT_COUNT_MAX 32

bool gossip_is_enabled(const struct driver_conf *conf) {
    return conf->resolver_interface[0] != '\0' ||
           driver_conf_name_resolver(conf) == DRIVER_NAME_RESOLVER_DRIVER;
}

int gossip_socket_check(const struct driver_conf *conf, const char **key,
                        struct tern_error *error) {
    struct interface_spec spec;
    struct gossip scratch = {0};
    if (!gossip_is_enabled(conf)) {
        *key = "driver_resolver_bootstrap_neighbor";
        return conf->resolver_bootstrap[0] == '\0'
                   ? 0
                   : error_set(error, -EINVAL, "needs driver_resolver_interface");
    }
    *key = "driver_resolver_name";
    if (conf->resolver_name[0] == '\0') {
        return error_set(error, -EINVAL, "is needed with driver_resolver_interface");
    }
    *key = "driver_resolver_interface";
    if (conf->resolver_interface[0] == '\0') {
        return error_set(error, -EINVAL, "is needed with name_resolver_supplier=driver");
    }
    int result = interface_spec_parse(&spec, conf->resolver_interface, error);
    if (result == 0) {
        *key = "driver_resolver_bootstrap_neighbor";
        result = gossip_add_bootstrap(&scratch, conf->resolver_bootstrap, error);
    }
    return result;
}

/* -- the start -- */

/* The address itself, a wildcard, or what the prefix or name selects. */
static int find_address(const char *text, const struct net *net, union net_address *address,
                        struct tern_error *error) {
    struct interface_spec spec;
    int result = interface_spec_parse(&spec, text, error);
    if (result != 0) {
        return result;
    }
    if (!spec.is_named && net_address_is_wildcard(&spec.address)) {
        *address = spec.address;
        return 0;
    }
    struct net_interface *interfaces = calloc(NET_INTERFACES_MAX, sizeof *interfaces);
    if (interfaces == NULL) {
        return error_set_errno(error, ENOMEM, "cannot list the network interfaces");
    }
    int count = net->interfaces(net->context, interfaces, NET_INTERFACES_MAX);
    int family = spec.is_named ? AF_INET : AF_UNSPEC;
    const struct net_interface *found =
        interface_select(&spec, family, interfaces, max_i32(count, 0));
    if (found == NULL) {
        found = interface_select(&spec, AF_UNSPEC, interfaces, max_i32(count, 0));
    }
    if (found != NULL) {
        *address = found->address;
        net_address_set_port(address, spec.port);
    }
    free(interfaces);
    return found != NULL ? 0
                         : error_set(error, -ENODEV, "no network interface matches %.120s", text);
}

static int open_socket(struct gossip_socket *socket, union net_address *bound,
                       struct tern_error *error) {
    const struct driver_conf *conf = socket->context->conf;
    const struct net *net = socket->context->names_net;
    struct net_socket_params params = {
        .rcvbuf_bytes = conf->so_rcvbuf_bytes,
        .sndbuf_bytes = conf->so_sndbuf_bytes,
    };
    int result = find_address(conf->resolver_interface, net, &params.bind, error);
    if (result == 0) {
        result = net->open(net->context, &params, &socket->handle, bound, error);
        socket->is_open = result == 0;
    }
    return result;
}

static int32_t add_counter(struct gossip_socket *socket, enum counter_type type, const char *label,
                           int32_t label_length, struct tern_error *error) {
    const struct counter_params params = {
        .type_id = (int32_t)type,
        .label = label,
        .label_length = label_length,
        .owner_id = -1,
    };
    return driver_context_allocate_counter(socket->context, &params, error);
}

static int32_t bootstrap_label(const struct gossip_bootstrap *bootstrap,
                               char label[COUNTER_LABEL_LENGTH_MAX + 1]) {
    char address[NET_ADDRESS_TEXT_MAX] = "unknown";
    const struct udp_host *host = &bootstrap->host;
    if (bootstrap->is_resolved) {
        (void)net_address_format(&host->address, address);
    }
    bool is_v6 = strchr(host->name, ':') != NULL;
    return counter_label_format(label, "Bootstrap neighbor: name=%s%s%s:%u resolved=%s",
                                is_v6 ? "[" : "", host->name, is_v6 ? "]" : "",
                                (unsigned)host->port, address);
}

static int add_bootstrap_counters(struct gossip_socket *socket, struct tern_error *error) {
    const struct gossip *gossip = &socket->gossip;
    for (int32_t i = 0; i < gossip->bootstrap_count; i++) {
        char label[COUNTER_LABEL_LENGTH_MAX + 1];
        const struct counter_params params = {
            .type_id = COUNTER_TYPE_NAME_RESOLVER_BOOTSTRAP,
            .key = &i,
            .key_length = sizeof i,
            .label = label,
            .label_length = bootstrap_label(&gossip->bootstrap[i], label),
            .owner_id = -1,
            .initial_value = gossip->bootstrap[i].is_resolved,
        };
        int32_t id = driver_context_allocate_counter(socket->context, &params, error);
        if (id < 0) {
            return id;
        }
        socket->bootstrap_counter_ids[i] = id;
    }
    return 0;
}

/* In the order of the original, so that the ids are the same. */
static int add_counters(struct gossip_socket *socket, struct tern_error *error) {
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    char address[NET_ADDRESS_TEXT_MAX];
    const struct gossip *gossip = &socket->gossip;
    int result = add_bootstrap_counters(socket, error);
    if (result < 0) {
        return result;
    }
    (void)net_address_format(&gossip->params.self, address);
    int32_t length = counter_label_format(label, "Resolver neighbors: bound %s", address);
    socket->neighbors_counter_id =
        add_counter(socket, COUNTER_TYPE_NAME_RESOLVER_NEIGHBORS, label, length, error);
    if (socket->neighbors_counter_id < 0) {
        return socket->neighbors_counter_id;
    }
    length = counter_label_format(label, "Resolver cache entries: name=%s", gossip->name);
    socket->names_counter_id =
        add_counter(socket, COUNTER_TYPE_NAME_RESOLVER_CACHE, label, length, error);
    return socket->names_counter_id < 0 ? socket->names_counter_id : 0;
}

static bool find(void *context, const char *name, int family, union net_address *address) {
    const struct gossip_socket *socket = context;
    return gossip_find(&socket->gossip, name, family, address);
}

static int open_parts(struct gossip_socket *socket, struct tern_error *error) {
    const struct driver_conf *conf = socket->context->conf;
    struct gossip_params params = {
        .name = conf->resolver_name,
        .mtu_length = conf->mtu_length,
        .self_interval_ns = conf->resolver_self_interval_ns,
        .cache_interval_ns = conf->resolver_neighbor_interval_ns,
        .bootstrap_interval_ns = conf->resolver_bootstrap_interval_ns,
        .timeout_ns = conf->resolver_neighbor_timeout_ns,
    };
    socket->buffer = malloc(NET_DATAGRAM_LENGTH_MAX);
    if (socket->buffer == NULL) {
        return error_set_errno(error, ENOMEM, "no memory for a datagram");
    }
    int result = open_socket(socket, &params.self, error);
    if (result == 0) {
        result = gossip_init(&socket->gossip, &params, socket->context->now_ns, error);
    }
    if (result == 0) {
        result = gossip_add_bootstrap(&socket->gossip, conf->resolver_bootstrap, error);
    }
    return result < 0 ? result : add_counters(socket, error);
}

int gossip_socket_open(struct gossip_socket *socket, struct driver_context *context,
                       struct resolver *resolver, struct tern_error *error) {
    *socket = (struct gossip_socket){.context = context, .resolver = resolver};
    int result = open_parts(socket, error);
    if (result < 0) {
        gossip_socket_close(socket);
        return error_prefix(error, "name resolver");
    }
    resolver_set_source(resolver, &(const struct name_source){socket, find});
    return 0;
}

void gossip_socket_close(struct gossip_socket *socket) {
    if (socket->is_open) {
        const struct net *net = socket->context->names_net;
        net->close(net->context, socket->handle);
    }
    gossip_close(&socket->gossip);
    free(socket->buffer);
    *socket = (struct gossip_socket){0};
}

/* -- the duty cycle -- */

static void report(struct gossip_socket *socket, int code, const char *what) {
    struct tern_error error;
    (void)error_set_errno(&error, -code, "name resolver: cannot %s", what);
    driver_context_log_error(socket->context, &error);
}

static int receive(struct gossip_socket *socket, int64_t now_ns) {
    const struct net *net = socket->context->names_net;
    uint32_t bytes = 0;
    int count = 0;
    while (count < RECEIVED_COUNT_MAX && bytes < RECEIVED_BYTES_MAX) {
        struct net_datagram datagram = {.data = socket->buffer,
                                        .capacity = NET_DATAGRAM_LENGTH_MAX};
        int result = net->receive(net->context, socket->handle, &datagram, 1);
        if (result < 0) {
            report(socket, result, "receive");
        }
        if (result <= 0) {
            break;
        }
        bytes += datagram.length;
        count++;
        trace_frames(socket->context, TRACE_FRAME_RECEIVED,
                     (struct trace_frames){&datagram, 1, NULL, now_ns});
        enum frame_verdict verdict = gossip_on_datagram(&socket->gossip, datagram.data,
                                                        datagram.length, &datagram.address, now_ns);
        if (verdict != FRAME_VALID) {
            context_count(socket->context, SYSTEM_COUNTER_INVALID_PACKETS, 1);
        }
    }
    context_count(socket->context, SYSTEM_COUNTER_BYTES_RECEIVED, bytes);
    return count;
}

/* One by one, since each has another peer: a peer that cannot be reached concerns no other. */
static int send_due(struct gossip_socket *socket, int64_t now_ns) {
    const struct net *net = socket->context->names_net;
    struct net_datagram datagrams[SENT_COUNT_MAX];
    int count = gossip_poll(&socket->gossip, datagrams, SENT_COUNT_MAX, now_ns);
    for (int i = 0; i < count; i++) {
        int result = net->send(net->context, socket->handle, &datagrams[i], 1, NET_SEND_TO_ADDRESS);
        if (result == 1) {
            trace_frames(socket->context, TRACE_FRAME_SENT,
                         (struct trace_frames){&datagrams[i], 1, NULL, now_ns});
            context_count(socket->context, SYSTEM_COUNTER_BYTES_SENT, datagrams[i].length);
            continue;
        }
        context_count(socket->context, SYSTEM_COUNTER_SHORT_SENDS, 1);
        if (result < 0) {
            char address[NET_ADDRESS_TEXT_MAX];
            char what[NET_ADDRESS_TEXT_MAX + 16];
            (void)net_address_format(&datagrams[i].address, address);
            (void)snprintf(what, sizeof what, "send to %s", address);
            report(socket, result, what);
        }
    }
    return count;
}

static void look_up(struct gossip_socket *socket, int64_t now_ns) {
    int32_t index = gossip_next_lookup(&socket->gossip, now_ns);
    while (index >= 0) {
        const struct resolve_request request = {
            .kind = RESOLVE_BOOTSTRAP,
            .id = index,
            .time_ns = now_ns,
            .host = socket->gossip.bootstrap[index].host,
        };
        if (!resolver_submit(socket->resolver, &request)) {
            (void)gossip_on_bootstrap(&socket->gossip, index, NULL);
        }
        index = gossip_next_lookup(&socket->gossip, now_ns);
    }
}

static void update_counters(struct gossip_socket *socket) {
    struct driver_context *context = socket->context;
    const struct gossip *gossip = &socket->gossip;
    counter_set_release(driver_context_counter(context, socket->neighbors_counter_id),
                        gossip->neighbor_count);
    counter_set_release(driver_context_counter(context, socket->names_counter_id),
                        gossip->name_count);
    if (gossip->refused_count > socket->refused_count) {
        socket->refused_count = gossip->refused_count;
        struct tern_error error;
        (void)error_set(&error, -ENOSPC,
                        "name resolver: more than %d names or %d neighbors, the rest is ignored",
                        GOSSIP_NAMES_MAX, GOSSIP_NEIGHBORS_MAX);
        driver_context_log_error(context, &error);
    }
}

int gossip_socket_do_work(struct gossip_socket *socket, int64_t now_ns) {
    if (now_ns < socket->work_deadline_ns) {
        return 0;
    }
    socket->work_deadline_ns = now_ns + WORK_INTERVAL_NS;
    int work = receive(socket, now_ns);
    update_counters(socket); /* whoever is told of something finds it counted */
    work += send_due(socket, now_ns);
    look_up(socket, now_ns);
    return work;
}

void gossip_socket_on_resolved(struct gossip_socket *socket, const struct resolve_result *result) {
    assert(result->kind == RESOLVE_BOOTSTRAP);
    int32_t index = (int32_t)result->id;
    const union net_address *address = result->code == 0 ? &result->address : NULL;
    struct driver_context *context = socket->context;
    if (gossip_on_bootstrap(&socket->gossip, index, address)) {
        char label[COUNTER_LABEL_LENGTH_MAX + 1];
        int32_t id = socket->bootstrap_counter_ids[index];
        int32_t length = bootstrap_label(&socket->gossip.bootstrap[index], label);
        counters_manager_set_label(&context->counters, id, label, length);
        counter_set_release(driver_context_counter(context, id), 1);
    }
    if (result->code != 0) {
        struct tern_error error = {.code = result->code};
        memcpy(error.text, result->text, sizeof error.text);
        (void)error_prefix(&error, "name resolver: bootstrap neighbor");
        driver_context_log_error(context, &error);
    }
}

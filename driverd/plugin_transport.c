/* A transport of a plug-in behind the net seam.
 *
 * Runs of datagrams in one buffer are a matter of the system's sockets: the plug-in is given and
 * asked for single ones. A socket that it opens must have a descriptor and an address.
 */
#include "driverd/plugin_transport.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct sockaddr *base_of(const union net_address *address) {
    return address == NULL ? NULL : &address->base;
}

static bool is_inet(int family) {
    return family == AF_INET || family == AF_INET6;
}

static int transport_open(void *context, const struct net_socket_params *params, int *socket,
                          union net_address *bound, struct tern_error *error) {
    const struct plugin_transport *transport = context;
    const struct tern_transport_plugin *plugin = transport->plugin;
    const struct tern_transport_socket_params wanted = {
        .bind = &params->bind.base,
        .connect = base_of(params->connect),
        .group = base_of(params->group),
        .group_interface = &params->group_interface.base,
        .group_interface_index = params->group_interface_index,
        .sends_to_groups = params->sends_to_groups,
        .ttl = params->ttl,
        .rcvbuf_bytes = params->rcvbuf_bytes,
        .sndbuf_bytes = params->sndbuf_bytes,
        .has_arrival_times = params->has_arrival_times,
    };
    struct sockaddr_storage address = {0};
    int made = -1;
    int result = plugin->open(transport->state, &wanted, &made, &address,
                              driver_plugin_expect(&plugin->head, error));
    if (result < 0) {
        (void)driver_plugin_failed(error);
        return error_prefix(error, "transport %.64s", plugin->head.name);
    }
    if (made < 0 || !is_inet(address.ss_family)) {
        if (made >= 0) {
            plugin->close(transport->state, made);
        }
        return error_set(error, -EINVAL, "transport %.64s: a socket without descriptor or address",
                         plugin->head.name);
    }
    memcpy(bound, &address, sizeof *bound);
    *socket = made;
    return 0;
}

static int transport_connect(void *context, int socket, const union net_address *address,
                             struct tern_error *error) {
    const struct plugin_transport *transport = context;
    const struct tern_transport_plugin *plugin = transport->plugin;
    int result = plugin->connect(transport->state, socket, &address->base,
                                 driver_plugin_expect(&plugin->head, error));
    if (result < 0) {
        (void)driver_plugin_failed(error);
        return error_prefix(error, "transport %.64s", plugin->head.name);
    }
    return 0;
}

static int transport_note_arrivals(void *context, int socket, struct tern_error *error) {
    const struct plugin_transport *transport = context;
    (void)socket;
    return error_set(error, -EOPNOTSUPP,
                     "transport %.64s: times of arrival are for the first user of a socket to want",
                     transport->plugin->head.name);
}

static void transport_close(void *context, int socket) {
    const struct plugin_transport *transport = context;
    transport->plugin->close(transport->state, socket);
}

static int transport_send(void *context, int socket, const struct net_datagram *datagrams,
                          int count, unsigned flags) {
    const struct plugin_transport *transport = context;
    struct tern_transport_datagram given[NET_BATCH_COUNT_MAX];
    struct sockaddr_storage addresses[NET_BATCH_COUNT_MAX];
    if ((flags & NET_SEND_SEGMENTED) != 0) {
        return -EINVAL;
    }
    assert(count <= NET_BATCH_COUNT_MAX);
    for (int i = 0; i < count; i++) {
        bool has_address = (flags & NET_SEND_TO_ADDRESS) != 0;
        if (has_address) {
            memcpy(&addresses[i], &datagrams[i].address, sizeof datagrams[i].address);
        }
        given[i] = (struct tern_transport_datagram){
            .data = datagrams[i].data,
            .length = datagrams[i].length,
            .address = has_address ? &addresses[i] : NULL,
        };
    }
    int sent = transport->plugin->send(transport->state, socket, given, count);
    return sent > count ? count : sent;
}

static int transport_receive(void *context, int socket, struct net_datagram *datagrams, int count) {
    const struct plugin_transport *transport = context;
    struct tern_transport_datagram asked[NET_BATCH_COUNT_MAX];
    struct sockaddr_storage addresses[NET_BATCH_COUNT_MAX];
    count = count < NET_BATCH_COUNT_MAX ? count : NET_BATCH_COUNT_MAX;
    for (int i = 0; i < count; i++) {
        addresses[i].ss_family = AF_UNSPEC;
        asked[i] = (struct tern_transport_datagram){
            .data = datagrams[i].data,
            .capacity = datagrams[i].capacity,
            .address = &addresses[i],
        };
    }
    int received = transport->plugin->receive(transport->state, socket, asked, count);
    received = received > count ? count : received;
    for (int i = 0; i < received; i++) {
        bool is_sound = is_inet(addresses[i].ss_family) && asked[i].length <= datagrams[i].capacity;
        datagrams[i].length = is_sound ? asked[i].length : 0; /* too short to be a frame */
        datagrams[i].segment_length = 0;
        datagrams[i].arrival_epoch_ns = asked[i].arrival_epoch_ns;
        memcpy(&datagrams[i].address, &addresses[i], sizeof datagrams[i].address);
    }
    return received;
}

int plugin_transport_open(struct plugin_transport *transport,
                          const struct tern_transport_plugin *plugin, const struct net *inner,
                          struct tern_error *error) {
    *transport = (struct plugin_transport){0};
    if (plugin->create != NULL) {
        transport->state = plugin->create(driver_plugin_expect(&plugin->head, error));
        if (transport->state == NULL) {
            return driver_plugin_failed(error);
        }
    }
    transport->plugin = plugin;
    net_layer_init(&transport->layer, inner);
    transport->layer.table.open = transport_open;
    transport->layer.table.connect = transport_connect;
    transport->layer.table.note_arrivals = transport_note_arrivals;
    transport->layer.table.close = transport_close;
    transport->layer.table.send = transport_send;
    transport->layer.table.receive = transport_receive;
    return 0;
}

void plugin_transport_close(struct plugin_transport *transport) {
    const struct tern_transport_plugin *plugin = transport->plugin;
    if (plugin != NULL && plugin->create != NULL && plugin->destroy != NULL) {
        plugin->destroy(transport->state);
    }
    *transport = (struct plugin_transport){0};
}

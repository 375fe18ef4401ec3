/* Opening, naming and closing the socket behind an endpoint. Called by endpoint_send and
 * endpoint_recv on the conductor; opening a UDP socket does not block.
 *
 * A wildcard port comes from the configured range when there is one. A port of the range that some
 * other process holds is skipped, and stays marked only if it was really opened.
 */
#include "driverd/endpoint_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driverd/driver_context.h"
#include "driverd/plugin_filter.h"

int32_t endpoint_rcvbuf_bytes(const struct driver_context *context,
                              const struct udp_channel *channel) {
    if (channel->so_rcvbuf_bytes > 0) {
        return channel->so_rcvbuf_bytes;
    }
    return context->conf->so_rcvbuf_bytes > 0 ? context->conf->so_rcvbuf_bytes
                                              : context->buffer_limits.rcvbuf_default_bytes;
}

int32_t endpoint_sndbuf_bytes(const struct driver_context *context,
                              const struct udp_channel *channel) {
    if (channel->so_sndbuf_bytes > 0) {
        return channel->so_sndbuf_bytes;
    }
    return context->conf->so_sndbuf_bytes > 0 ? context->conf->so_sndbuf_bytes
                                              : context->buffer_limits.sndbuf_default_bytes;
}

static int open_on_any_port(struct endpoint_socket *socket, const struct net *net,
                            struct net_socket_params *open, struct port_range *ports,
                            struct tern_error *error) {
    int32_t tries = ports->high - ports->low + 1;
    for (int32_t i = 0; i < tries; i++) {
        uint16_t port = port_range_take(ports);
        if (port == 0) {
            break;
        }
        net_address_set_port(&open->bind, port);
        int result = net->open(net->context, open, &socket->handle, &socket->bound, error);
        if (result == 0) {
            socket->wildcard_port = port;
            return 0;
        }
        port_range_give_back(ports, port);
        if (result != -EADDRINUSE) {
            return result;
        }
    }
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                     "no free port in the wildcard range %u to %u", (unsigned)ports->low,
                     (unsigned)ports->high);
}

static int32_t first_positive(int32_t first, int32_t second, int32_t otherwise) {
    return first > 0 ? first : second > 0 ? second : otherwise;
}

uint8_t endpoint_socket_ttl(const struct driver_context *context,
                            const struct udp_channel *channel) {
    return channel->ttl > 0 ? channel->ttl : (uint8_t)context->conf->multicast_ttl;
}

static int open_handle(struct endpoint_socket *socket, const struct driver_context *context,
                       const struct endpoint_socket_params *params, struct tern_error *error) {
    const struct udp_channel *channel = params->channel;
    const struct udp_channel *options = params->options != NULL ? params->options : channel;
    const struct net *net = context->io.net;
    bool has_times = !params->is_send && options->timestamps.media_receive != TIMESTAMP_NONE;
    struct net_socket_params open = {
        .bind = channel->local,
        .connect = params->is_connected ? &channel->remote : NULL,
        /* Joined datagrams would have one time of arrival. */
        .joins_segments = context->conf->udp_gro && !has_times,
        .has_arrival_times = has_times,
        .rcvbuf_bytes = first_positive(channel->so_rcvbuf_bytes, options->so_rcvbuf_bytes,
                                       context->conf->so_rcvbuf_bytes),
        .sndbuf_bytes = first_positive(channel->so_sndbuf_bytes, options->so_sndbuf_bytes,
                                       context->conf->so_sndbuf_bytes),
        .group = channel->is_multicast && !params->is_send ? &channel->remote : NULL,
        .sends_to_groups = channel->is_multicast,
        .group_interface = channel->interface_address,
        .group_interface_index = channel->interface_index,
        .ttl = endpoint_socket_ttl(context, channel),
    };
    /* The sender's range is for explicit control addresses only (5.4). */
    bool is_ranged = !params->is_send || udp_channel_has_control(channel);
    if (is_ranged && net_address_port(&open.bind) == 0 && !port_range_is_open(params->ports)) {
        return open_on_any_port(socket, net, &open, params->ports, error);
    }
    return net->open(net->context, &open, &socket->handle, &socket->bound, error);
}

/* A multicast publication sends from a port of its own and listens in the control group. */
static int open_control_handle(struct endpoint_socket *socket, const struct driver_context *context,
                               const struct endpoint_socket_params *params,
                               struct tern_error *error) {
    const struct udp_channel *channel = params->channel;
    const struct net *net = context->io.net;
    if (!channel->is_multicast || !params->is_send) {
        socket->control_handle = socket->handle;
        return 0;
    }
    union net_address bound;
    struct net_socket_params open = {
        .group = &channel->control_group,
        .group_interface = channel->interface_address,
        .group_interface_index = channel->interface_index,
        .joins_segments = context->conf->udp_gro,
        .rcvbuf_bytes = first_positive(channel->so_rcvbuf_bytes, context->conf->so_rcvbuf_bytes, 0),
    };
    open.bind.base.sa_family = channel->control_group.base.sa_family;
    net_address_set_port(&open.bind, channel->endpoint.port);
    return net->open(net->context, &open, &socket->control_handle, &bound, error);
}

/* To a plug-in for endpoints, if there is one. */
static int attach(const struct endpoint_socket *socket, const struct driver_context *context,
                  const struct endpoint_socket_params *params, struct tern_error *error) {
    struct tern_endpoint_params endpoint = {
        .channel = params->options != NULL ? params->options->text : params->channel->text,
        .is_send = params->is_send,
        .local = &socket->bound.base,
    };
    int result = plugin_filter_attach(context->filter, socket->handle, &endpoint, error);
    if (result == 0 && socket->control_handle != socket->handle) {
        endpoint.local = &params->channel->control_group.base;
        result = plugin_filter_attach(context->filter, socket->control_handle, &endpoint, error);
    }
    return result;
}

static const char *side_of(const struct endpoint_socket_params *params) {
    return params->is_send ? "snd" : "rcv";
}

int endpoint_status_open(int32_t *counter_id, struct driver_context *context,
                         const struct endpoint_socket_params *params,
                         const union net_address *bound, struct tern_error *error) {
    char address[NET_ADDRESS_TEXT_MAX] = "";
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    if (bound != NULL) {
        (void)net_address_format(bound, address);
    }
    struct counter_params counter = {
        .type_id = params->is_send ? COUNTER_TYPE_SEND_CHANNEL_STATUS
                                   : COUNTER_TYPE_RECEIVE_CHANNEL_STATUS,
        .key = key,
        .key_length = counter_channel_key(key, params->channel->text),
        .label = label,
        .registration_id = params->registration_id,
        .initial_value = CHANNEL_STATUS_INITIALIZING,
    };
    (void)snprintf(label, sizeof label, "%s-channel: %s%s%s", side_of(params),
                   params->channel->text, bound == NULL ? "" : " ", address);
    counter.label_length = (int32_t)strlen(label);
    int32_t id = driver_context_allocate_counter(context, &counter, error);
    if (id < 0) {
        return id;
    }
    *counter_id = id;
    return 0;
}

void endpoint_status_set(struct driver_context *context, int32_t counter_id,
                         enum channel_status status) {
    counter_set_release(driver_context_counter(context, counter_id), status);
}

int endpoint_socket_announce(struct endpoint_socket *socket, struct driver_context *context,
                             const struct endpoint_socket_params *params, int32_t status_counter_id,
                             struct tern_error *error) {
    char address[NET_ADDRESS_TEXT_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    (void)net_address_format(&socket->bound, address);
    struct counter_params counter = {
        .type_id = COUNTER_TYPE_LOCAL_SOCKADDR,
        .key = key,
        .key_length = counter_sockaddr_key(key, status_counter_id, address),
        .label = label,
        .registration_id = params->registration_id,
        .initial_value = CHANNEL_STATUS_ACTIVE,
    };
    (void)snprintf(label, sizeof label, "%s-local-sockaddr: %d %s", side_of(params),
                   status_counter_id, address);
    counter.label_length = (int32_t)strlen(label);
    socket->address_counter_id = driver_context_allocate_counter(context, &counter, error);
    return socket->address_counter_id < 0 ? socket->address_counter_id : 0;
}

int endpoint_socket_bind(struct endpoint_socket *socket, struct driver_context *context,
                         const struct endpoint_socket_params *params, struct tern_error *error) {
    assert(params->channel->is_resolved);
    const struct udp_channel *options = params->options != NULL ? params->options : params->channel;
    *socket = (struct endpoint_socket){
        .handle = -1,
        .control_handle = -1,
        .is_connected = params->is_connected,
        .rcvbuf_bytes = first_positive(params->channel->so_rcvbuf_bytes, 0,
                                       endpoint_rcvbuf_bytes(context, options)),
        .sndbuf_bytes = first_positive(params->channel->so_sndbuf_bytes, 0,
                                       endpoint_sndbuf_bytes(context, options)),
        .status_counter_id = COUNTER_NULL_ID,
        .address_counter_id = COUNTER_NULL_ID,
    };
    int result = open_handle(socket, context, params, error);
    if (result != 0) {
        return result;
    }
    result = open_control_handle(socket, context, params, error);
    result = result < 0 ? result : attach(socket, context, params, error);
    if (result != 0) {
        endpoint_socket_close(socket, context, params->ports);
    }
    return result;
}

int endpoint_socket_open(struct endpoint_socket *socket, struct driver_context *context,
                         const struct endpoint_socket_params *params, struct tern_error *error) {
    int result = endpoint_socket_bind(socket, context, params, error);
    if (result == 0) {
        result = endpoint_status_open(&socket->status_counter_id, context, params, &socket->bound,
                                      error);
    }
    if (result == 0) {
        result =
            endpoint_socket_announce(socket, context, params, socket->status_counter_id, error);
    }
    if (result != 0) {
        endpoint_socket_close(socket, context, params->ports);
        return result;
    }
    endpoint_socket_set_status(socket, context, CHANNEL_STATUS_ACTIVE);
    return 0;
}

void endpoint_socket_set_status(const struct endpoint_socket *socket,
                                struct driver_context *context, enum channel_status status) {
    endpoint_status_set(context, socket->status_counter_id, status);
}

void endpoint_socket_close(struct endpoint_socket *socket, struct driver_context *context,
                           struct port_range *ports) {
    const struct net *net = context->io.net;
    if (socket->control_handle >= 0 && socket->control_handle != socket->handle) {
        plugin_filter_detach(context->filter, socket->control_handle);
        net->close(net->context, socket->control_handle);
    }
    if (socket->handle >= 0) {
        plugin_filter_detach(context->filter, socket->handle);
        net->close(net->context, socket->handle);
    }
    socket->control_handle = -1;
    socket->handle = -1;
    if (socket->address_counter_id >= 0) {
        driver_context_free_counter(context, &socket->address_counter_id);
    }
    if (socket->status_counter_id >= 0) {
        driver_context_free_counter(context, &socket->status_counter_id);
    }
    port_range_give_back(ports, socket->wildcard_port);
    socket->wildcard_port = 0;
}

bool endpoint_socket_is_in_way(const union net_address *bound, const union net_address *wanted) {
    return net_address_port(bound) == net_address_port(wanted) &&
           (net_address_is_wildcard(bound) || net_address_is_wildcard(wanted) ||
            net_address_equal(bound, wanted));
}

static int match_option(const char *key, int32_t existing, int32_t wanted,
                        struct tern_error *error) {
    if (wanted != 0 && wanted != existing) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "%s=%d clashes with %d of the channel that is open", key, wanted,
                         existing);
    }
    return 0;
}

int endpoint_socket_match_options(const struct udp_channel *existing,
                                  const struct udp_channel *wanted, struct tern_error *error) {
    int result =
        match_option("so-sndbuf", existing->so_sndbuf_bytes, wanted->so_sndbuf_bytes, error);
    if (result == 0) {
        result =
            match_option("so-rcvbuf", existing->so_rcvbuf_bytes, wanted->so_rcvbuf_bytes, error);
    }
    if (result == 0) {
        result = match_option("rcv-wnd", existing->rcv_wnd_bytes, wanted->rcv_wnd_bytes, error);
    }
    return result;
}

/* Passing every call on, and dropping datagrams. */
#include "base/net_layer.h"

#include <stddef.h>

#define INNER(context) (((const struct net_layer *)(context))->inner)

static int pass_open(void *context, const struct net_socket_params *params, int *socket,
                     union net_address *bound, struct tern_error *error) {
    return INNER(context)->open(INNER(context)->context, params, socket, bound, error);
}
static int pass_connect(void *context, int socket, const union net_address *address,
                        struct tern_error *error) {
    return INNER(context)->connect(INNER(context)->context, socket, address, error);
}
static int pass_note_arrivals(void *context, int socket, struct tern_error *error) {
    return INNER(context)->note_arrivals(INNER(context)->context, socket, error);
}
static void pass_close(void *context, int socket) {
    INNER(context)->close(INNER(context)->context, socket);
}
static int pass_send(void *context, int socket, const struct net_datagram *datagrams, int count,
                     unsigned flags) {
    return INNER(context)->send(INNER(context)->context, socket, datagrams, count, flags);
}
static int pass_receive(void *context, int socket, struct net_datagram *datagrams, int count) {
    return INNER(context)->receive(INNER(context)->context, socket, datagrams, count);
}
static int pass_poller_open(void *context, struct net_poller **poller, struct tern_error *error) {
    return INNER(context)->poller_open(INNER(context)->context, poller, error);
}
static void pass_poller_close(void *context, struct net_poller *poller) {
    INNER(context)->poller_close(INNER(context)->context, poller);
}
static int pass_poller_add(void *context, struct net_poller *poller, int socket, void *owner,
                           struct tern_error *error) {
    return INNER(context)->poller_add(INNER(context)->context, poller, socket, owner, error);
}
static void pass_poller_remove(void *context, struct net_poller *poller, int socket) {
    INNER(context)->poller_remove(INNER(context)->context, poller, socket);
}
static int pass_poller_ready(void *context, struct net_poller *poller, void **owners, int count) {
    return INNER(context)->poller_ready(INNER(context)->context, poller, owners, count);
}
static void pass_wait(void *context, struct net_poller *const *pollers, int count,
                      int64_t timeout_ns) {
    INNER(context)->wait(INNER(context)->context, pollers, count, timeout_ns);
}
static void pass_wake(void *context, struct net_poller *poller) {
    INNER(context)->wake(INNER(context)->context, poller);
}
static int pass_resolve(void *context, const char *host, union net_address *address,
                        struct tern_error *error) {
    return INNER(context)->resolve(INNER(context)->context, host, address, error);
}
static int pass_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    return INNER(context)->interfaces(INNER(context)->context, interfaces, capacity);
}
static int pass_buffer_limits(void *context, struct net_buffer_limits *limits,
                              struct tern_error *error) {
    return INNER(context)->buffer_limits(INNER(context)->context, limits, error);
}

void net_layer_init(struct net_layer *layer, const struct net *inner) {
    layer->inner = inner;
    layer->table = (struct net){
        .context = layer,
        .open = pass_open,
        .connect = pass_connect,
        .note_arrivals = pass_note_arrivals,
        .close = pass_close,
        .send = pass_send,
        .receive = pass_receive,
        .poller_open = pass_poller_open,
        .poller_close = pass_poller_close,
        .poller_add = pass_poller_add,
        .poller_remove = pass_poller_remove,
        .poller_ready = pass_poller_ready,
        .wait = inner->wait == NULL ? NULL : pass_wait,
        .wake = pass_wake,
        .resolve = pass_resolve,
        .interfaces = pass_interfaces,
        .buffer_limits = pass_buffer_limits,
    };
}

static int drop_open(void *context, const struct net_socket_params *params, int *socket,
                     union net_address *bound, struct tern_error *error) {
    struct net_socket_params single = *params;
    single.joins_segments = false;
    return pass_open(context, &single, socket, bound, error);
}

static int drop_send(void *context, int socket, const struct net_datagram *datagrams, int count,
                     unsigned flags) {
    const struct net_layer *layer = context;
    int done = 0;
    while (done < count) {
        int end = done;
        bool is_dropping = false;
        while (end < count && !is_dropping) {
            is_dropping = !layer->filter.may_go(context, socket, &datagrams[end], flags);
            end += !is_dropping;
        }
        int sent =
            end == done ? 0 : pass_send(context, socket, &datagrams[done], end - done, flags);
        if (sent < end - done) {
            return sent < 0 && done == 0 ? sent : done + (sent > 0 ? sent : 0);
        }
        done = end + is_dropping;
    }
    return done;
}

static int drop_receive(void *context, int socket, struct net_datagram *datagrams, int count) {
    const struct net_layer *layer = context;
    int received = pass_receive(context, socket, datagrams, count);
    int kept = 0;
    for (int i = 0; i < received; i++) {
        if (layer->filter.may_come(context, socket, &datagrams[i])) {
            struct net_datagram other = datagrams[kept]; /* buffers change places */
            datagrams[kept] = datagrams[i];
            datagrams[i] = other;
            kept++;
        }
    }
    return received < 0 ? received : kept;
}

void net_layer_drop(struct net_layer *layer, const struct net_filter *filter) {
    layer->filter = *filter;
    layer->table.open = drop_open;
    layer->table.send = drop_send;
    layer->table.receive = drop_receive;
}

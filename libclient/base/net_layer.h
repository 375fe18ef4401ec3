/* A net seam around another one, for what changes only some of it: all functions pass on to the
 * inner table until they are replaced. It is the first member of the struct that replaces them,
 * whose address is the context of all. */
#ifndef TERN_BASE_NET_LAYER_H
#define TERN_BASE_NET_LAYER_H

#include "base/net.h"

/* What decides about the datagrams of a layer that drops some. It is asked again about one that the
 * inner table did not take. */
struct net_filter {
    bool (*may_go)(void *context, int socket, const struct net_datagram *datagram, unsigned flags);
    bool (*may_come)(void *context, int socket, const struct net_datagram *datagram);
};

struct net_layer {
    struct net table;        /* hand out &table */
    const struct net *inner; /* borrowed */
    struct net_filter filter;
};

void net_layer_init(struct net_layer *layer, const struct net *inner);
/* Drop datagrams, after init. What is dropped when it is sent counts as taken, as the network does
 * not tell either; what is dropped when it comes was never there. None are joined: each has a fate
 * of its own. */
void net_layer_drop(struct net_layer *layer, const struct net_filter *filter);

#endif

/* A net seam around another one, for what changes only some of it: all functions pass on to the
 * inner table until they are replaced. It is the first member of the struct that replaces them,
 * whose address is the context of all. */
#ifndef TERN_BASE_NET_LAYER_H
#define TERN_BASE_NET_LAYER_H

#include "base/net.h"

struct net_layer {
    struct net table;        /* hand out &table */
    const struct net *inner; /* borrowed */
};

void net_layer_init(struct net_layer *layer, const struct net *inner);

#endif

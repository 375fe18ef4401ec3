/* Datagrams by a plug-in's means (udp_channel_transport_bindings_media and the conductor's,
 * media-driver.md 7.5): a net seam around the system's, which keeps pollers, waits and names. */
#ifndef DRIVERD_PLUGIN_TRANSPORT_H
#define DRIVERD_PLUGIN_TRANSPORT_H

#include "base/error.h"
#include "base/net_layer.h"
#include "driverd/driver_plugin.h"

struct plugin_transport {
    struct net_layer layer;                     /* hand out &layer.table */
    const struct tern_transport_plugin *plugin; /* NULL: not open */
    void *state;
};

int plugin_transport_open(struct plugin_transport *transport,
                          const struct tern_transport_plugin *plugin, const struct net *inner,
                          struct tern_error *error);
/* Idempotent. */
void plugin_transport_close(struct plugin_transport *transport);

#endif

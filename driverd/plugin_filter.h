/* Plug-ins that look at datagrams: interceptors, for all of one direction, and endpoints, for those
 * of one socket (media-driver.md 7.5). A net seam around another one, as driverd/interceptor.h is,
 * around which it lies: what is sent passes here first, what is received last.
 *
 * Instances are made and ended by the conductor while nobody uses the socket; each of the rest is
 * called by whose socket it is, sender or receiver.
 */
#ifndef DRIVERD_PLUGIN_FILTER_H
#define DRIVERD_PLUGIN_FILTER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/net_layer.h"
#include "driverd/driver_plugin.h"

#define PLUGIN_INTERCEPTORS_MAX 8 /* per direction */

struct plugin_interceptor {
    const struct tern_interceptor_plugin *plugin;
    void *state;
};

struct plugin_interceptors {
    struct plugin_interceptor items[PLUGIN_INTERCEPTORS_MAX];
    int count;
};

/* Of one socket. */
struct plugin_endpoint {
    const struct tern_endpoint_plugin *plugin; /* NULL: none */
    void *state;
    enum plugin_use use;
};

struct plugin_filter {
    struct net_layer layer; /* hand out &layer.table */
    const struct driver_plugins *plugins;
    struct plugin_interceptors outgoing;
    struct plugin_interceptors incoming;
    struct plugin_endpoint *endpoints; /* by socket */
    int endpoint_capacity;
};

/* Can the interceptors be found? 0 or -EINVAL with the option's key in *key. */
int plugin_filter_check(const struct driver_conf *conf, const char **key, struct tern_error *error);
/* Is there anything to filter? */
bool plugin_filter_is_wanted(const struct driver_conf *conf, const struct driver_plugins *plugins);
int plugin_filter_open(struct plugin_filter *filter, const struct driver_conf *conf,
                       const struct driver_plugins *plugins, const struct net *inner,
                       struct tern_error *error);
/* Counters of interceptors. */
int plugin_filter_announce(const struct plugin_filter *filter, struct driver_context *context,
                           struct tern_error *error);
/* All sockets are closed. Idempotent, also on zeroes. */
void plugin_filter_close(struct plugin_filter *filter);

/* A socket begins, and ends. `filter` may be NULL, the socket none that began. */
int plugin_filter_attach(struct plugin_filter *filter, int socket,
                         const struct tern_endpoint_params *params, struct tern_error *error);
void plugin_filter_detach(struct plugin_filter *filter, int socket);

#endif

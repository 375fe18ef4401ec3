/* Names that a plug-in resolves (name_resolver_supplier, media-driver.md 5.9): a net seam for
 * look-ups around another one, which it may ask to be asked.
 *
 * Made by the thread that starts the driver, used by the resolver agents, to whom it belongs: a
 * look-up may outlive the driver.
 */
#ifndef DRIVERD_PLUGIN_NAMES_H
#define DRIVERD_PLUGIN_NAMES_H

#include "base/error.h"
#include "base/net.h"
#include "driverd/driver_plugin.h"

struct plugin_names {
    const struct net *base;
    struct net net; /* resolve and interfaces only */
    const struct tern_name_resolver_plugin *plugin;
    void *state;
};

/* NULL and *error when the plug-in refuses, or there is no memory. */
struct plugin_names *plugin_names_create(const struct tern_name_resolver_plugin *plugin,
                                         const char *arguments, const struct net *base,
                                         struct tern_error *error);
/* NULL is fine. */
void plugin_names_destroy(struct plugin_names *names);

#endif

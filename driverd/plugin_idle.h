/* Idle strategies of plug-ins, for the threads of a driver. */
#ifndef DRIVERD_PLUGIN_IDLE_H
#define DRIVERD_PLUGIN_IDLE_H

#include "base/agent.h"
#include "base/error.h"
#include "driverd/driver_plugin.h"

/* One thread's instance. On the heap: a thread that hangs in the name service outlives the driver.
 */
struct plugin_idle {
    const struct tern_idle_plugin *plugin;
    void *state;
};

struct plugin_idle_params {
    enum plugin_use use;
    const struct driver_idle_conf *conf;
    const char *agent; /* its name */
};

/* The idle strategy of a thread by the configuration. *made is NULL when it is a built-in one, else
 * it must live until the thread has ended. 0 or a negative code. */
int plugin_idle_choose(struct plugin_idle **made, const struct driver_plugins *plugins,
                       const struct plugin_idle_params *params, struct idle_strategy *idle,
                       struct tern_error *error);
/* NULL is fine. */
void plugin_idle_destroy(struct plugin_idle *made);

#endif

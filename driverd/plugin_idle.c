/* An instance of an idle plug-in behind base/agent.h's custom strategy. */
#include "driverd/plugin_idle.h"

#include <errno.h>
#include <stdlib.h>

static void wait_for_agent(void *context, int64_t timeout_ns) {
    agent_wait(context, timeout_ns);
}

static void idle_by_plugin(void *context, const struct agent *agent, int work_count) {
    const struct plugin_idle *made = context;
    const struct tern_idle_wait wait = {(void *)agent, wait_for_agent};
    made->plugin->idle(made->state, work_count, &wait);
}

int plugin_idle_choose(struct plugin_idle **made, const struct driver_plugins *plugins,
                       const struct plugin_idle_params *params, struct idle_strategy *idle,
                       struct tern_error *error) {
    const struct tern_idle_plugin *plugin = (const void *)plugins->heads[params->use];
    *made = NULL;
    if (plugin == NULL) {
        return idle_strategy_parse(idle, params->conf->name, params->conf->arguments, error);
    }
    struct plugin_idle *instance = calloc(1, sizeof *instance);
    if (instance == NULL) {
        return error_set(error, -ENOMEM, "no memory for an idle strategy");
    }
    instance->plugin = plugin;
    if (plugin->create != NULL) {
        instance->state = plugin->create(params->conf->arguments, params->agent,
                                         driver_plugin_expect(&plugin->head, error));
        if (instance->state == NULL) {
            free(instance);
            (void)driver_plugin_failed(error);
            return error_prefix(error, "%s", driver_plugin_key(NULL, params->use));
        }
    }
    driver_plugin_count(plugins, params->use, 1);
    *idle = (struct idle_strategy){
        .kind = IDLE_CUSTOM, .custom = idle_by_plugin, .custom_context = instance};
    *made = instance;
    return 0;
}

void plugin_idle_destroy(struct plugin_idle *made) {
    if (made != NULL && made->plugin->create != NULL && made->plugin->destroy != NULL) {
        made->plugin->destroy(made->state);
    }
    free(made);
}

/* The validator of termination requests: deny, allow, or a plug-in. */
#include "driverd/termination_validator.h"

#include <stddef.h>

#include "driverd/driver_context.h"
#include "driverd/driver_plugin.h"

int termination_validator_open(struct termination_validator *validator,
                               const struct driver_context *context, struct tern_error *error) {
    const struct tern_termination_plugin *plugin =
        (const void *)driver_plugin_head(context->plugins, PLUGIN_USE_TERMINATION);
    *validator = (struct termination_validator){
        .is_allowed = driver_conf_termination(context->conf) == DRIVER_TERMINATION_ALLOW,
    };
    if (plugin != NULL && plugin->create != NULL) {
        validator->state = plugin->create(driver_plugin_expect(&plugin->head, error));
        if (validator->state == NULL) {
            (void)driver_plugin_failed(error);
            return error_prefix(error, "%s", driver_plugin_key(NULL, PLUGIN_USE_TERMINATION));
        }
    }
    validator->plugin = plugin;
    if (plugin != NULL) {
        driver_plugin_count(context->plugins, PLUGIN_USE_TERMINATION, 1);
    }
    return 0;
}

bool termination_validator_is_allowed(const struct termination_validator *validator,
                                      const void *token, int32_t length) {
    const struct tern_termination_plugin *plugin = validator->plugin;
    return plugin == NULL ? validator->is_allowed
                          : plugin->is_allowed(validator->state, token, length);
}

void termination_validator_close(struct termination_validator *validator) {
    const struct tern_termination_plugin *plugin = validator->plugin;
    if (plugin != NULL && plugin->create != NULL && plugin->destroy != NULL) {
        plugin->destroy(validator->state);
    }
    *validator = (struct termination_validator){0};
}

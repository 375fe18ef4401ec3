/* What no driver may take for one of its plug-ins. */
#include <tern/driver_plugin.h>

TERN_API const struct tern_termination_plugin of_tomorrow = {
    .head = {TERN_DRIVER_PLUGIN_MAGIC, TERN_DRIVER_PLUGIN_ABI_VERSION + 1,
             TERN_DRIVER_PLUGIN_TERMINATION, sizeof(struct tern_termination_plugin), "of_tomorrow",
             "2.0"},
};

TERN_API const struct tern_termination_plugin without_functions = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "without_functions", "1.0"),
};

TERN_API const struct tern_driver_plugin_head too_short = {
    TERN_DRIVER_PLUGIN_MAGIC,
    TERN_DRIVER_PLUGIN_ABI_VERSION,
    TERN_DRIVER_PLUGIN_TERMINATION,
    sizeof(struct tern_driver_plugin_head),
    "too_short",
    "1.0",
};

TERN_API const char something_else[64] = "a text";

static void *refuse(struct tern_error *error) {
    (void)error;
    return NULL;
}

static bool deny(void *state, const void *token, int32_t length) {
    (void)state;
    (void)token;
    (void)length;
    return false;
}

TERN_API const struct tern_termination_plugin that_refuses = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "that_refuses", "1.0"),
    .create = refuse,
    .is_allowed = deny,
};

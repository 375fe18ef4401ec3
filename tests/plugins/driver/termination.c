/* by_password: a client may end the driver when it sends the right token. The smallest plug-in of a
 * driver; it has no state. */
#include <string.h>

#include <tern/driver_plugin.h>

static bool is_allowed(void *state, const void *token, int32_t length) {
    static const char password[] = "open sesame";
    (void)state;
    return length == (int32_t)sizeof password - 1 && memcmp(token, password, (size_t)length) == 0;
}

TERN_API const struct tern_termination_plugin by_password = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "by_password", "1.0"),
    .is_allowed = is_allowed,
};

/* The plug-ins of a driver (tern/driver_plugin.h): finding what options name, and saying which are
 * in use.
 *
 * Options that choose among built-in ways and plug-ins are texts; what is none of the built-in
 * names names a plug-in. struct driver_plugins holds what was found, by the use that is made of it.
 * Its users make and end their instances themselves, and count them here.
 */
#ifndef DRIVERD_DRIVER_PLUGIN_H
#define DRIVERD_DRIVER_PLUGIN_H

#include <tern/driver_plugin.h>

#include "base/error.h"
#include "driverd/driver_conf.h"
#include "shm/counters.h"

struct driver_context;

enum plugin_use {
    PLUGIN_USE_CONDUCTOR_IDLE,
    PLUGIN_USE_SENDER_IDLE,
    PLUGIN_USE_RECEIVER_IDLE,
    PLUGIN_USE_SHARED_IDLE,
    PLUGIN_USE_SHARED_NETWORK_IDLE,
    PLUGIN_USE_HELPER_IDLE,
    PLUGIN_USE_TERMINATION,
    PLUGIN_USE_UNICAST_FLOW_CONTROL,
    PLUGIN_USE_GROUP_FLOW_CONTROL,
    PLUGIN_USE_CONGESTION,
    PLUGIN_USE_NAMES,
    PLUGIN_USE_SEND_ENDPOINT,
    PLUGIN_USE_RECEIVE_ENDPOINT,
    PLUGIN_USE_TRANSPORT,
    PLUGIN_USE_NAMES_TRANSPORT,
    PLUGIN_USE_COUNT,
};

struct driver_plugins {
    const struct tern_driver_plugin_head *heads[PLUGIN_USE_COUNT]; /* NULL: a built-in way */
    int64_t *counters[PLUGIN_USE_COUNT];                           /* of instances; NULL: none */
};

/* Load driver_dynamic_libraries, for good. 0 or -EINVAL. */
int driver_libraries_load(const struct driver_conf *conf, struct tern_error *error);

/* Find one: `name` is "library:symbol", or a symbol of one of `libraries` (a list of paths). 0 or
 * -EINVAL; what is found stays loaded for good. */
int driver_plugin_find(const char *name, enum tern_driver_plugin_kind kind, const char *libraries,
                       const struct tern_driver_plugin_head **head, struct tern_error *error);

/* Find what the configuration names for one use; *head is NULL when that is nothing. */
int driver_plugin_find_for(const struct driver_conf *conf, enum plugin_use use,
                           const struct tern_driver_plugin_head **head, struct tern_error *error);
/* The option of a use; of several, the one that is in force. `conf` may be NULL. */
const char *driver_plugin_key(const struct driver_conf *conf, enum plugin_use use);

/* All of them; the error begins with the option's name. */
int driver_plugins_find(struct driver_plugins *plugins, const struct driver_conf *conf,
                        struct tern_error *error);
/* A counter for each that is in use: label and number of instances. Conductor. */
int driver_plugins_announce(struct driver_plugins *plugins, struct driver_context *context,
                            struct tern_error *error);
/* One of those counters, for plug-ins that are in a list. */
int driver_plugin_announce(struct driver_context *context, const char *key, const char *name,
                           const struct tern_driver_plugin_head *head, struct tern_error *error);

static inline const struct tern_driver_plugin_head *
driver_plugin_head(const struct driver_plugins *plugins, enum plugin_use use) {
    return plugins == NULL ? NULL : plugins->heads[use];
}

static inline enum plugin_use driver_plugin_flow_control(bool is_group) {
    return is_group ? PLUGIN_USE_GROUP_FLOW_CONTROL : PLUGIN_USE_UNICAST_FLOW_CONTROL;
}

/* The error for a plug-in's create: with a text in case that it says nothing. */
struct tern_error *driver_plugin_expect(const struct tern_driver_plugin_head *head,
                                        struct tern_error *error);

/* What a plug-in that failed has left there, as an error: many a one thinks that errno is a code,
 * or sets a text only. Returns the code, which is negative. */
int driver_plugin_failed(struct tern_error *error);

/* Any agent: `delta` instances more. NULL is fine. */
static inline void driver_plugin_count(const struct driver_plugins *plugins, enum plugin_use use,
                                       int64_t delta) {
    if (plugins != NULL && plugins->counters[use] != NULL) {
        counter_increment(plugins->counters[use], delta);
    }
}

#endif

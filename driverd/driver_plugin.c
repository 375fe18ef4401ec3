/* Loading libraries, finding plug-ins in them, and the counters that show them.
 *
 * Runs before the first thread, on the thread that checks the configuration or starts the driver. A
 * symbol may be anything: it is a plug-in only when its first bytes say so. What it says of its
 * size is believed, since there is no way to tell.
 */
#include "driverd/driver_plugin.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/agent.h"
#include "base/compiler.h"
#include "daemon/options.h"
#include "driverd/driver_context.h"
#include "driverd/flow_control.h"

/* What each kind is called, how long its struct is, and what can be named without a plug-in. */
static const struct {
    const char *name;
    size_t size;
    const char *builtin;
} kinds[] = {
    [TERN_DRIVER_PLUGIN_IDLE] = {"an idle strategy", sizeof(struct tern_idle_plugin),
                                 "backoff, sleeping, sleep-ns, yield, spin, noop"},
    [TERN_DRIVER_PLUGIN_TERMINATION] = {"a termination validator",
                                        sizeof(struct tern_termination_plugin), "deny, allow"},
    [TERN_DRIVER_PLUGIN_FLOW_CONTROL] = {"a flow control", sizeof(struct tern_flow_control_plugin),
                                         "unicast_max, multicast_max, multicast_min, "
                                         "multicast_tagged"},
    [TERN_DRIVER_PLUGIN_CONGESTION] = {"a congestion control",
                                       sizeof(struct tern_congestion_plugin),
                                       "default, static, cubic"},
    [TERN_DRIVER_PLUGIN_NAMES] = {"a name resolver", sizeof(struct tern_name_resolver_plugin),
                                  "default, driver, csv_table"},
    [TERN_DRIVER_PLUGIN_INTERCEPTOR] = {"an interceptor", sizeof(struct tern_interceptor_plugin),
                                        "loss, fixed-loss, multi-gap-loss"},
    [TERN_DRIVER_PLUGIN_ENDPOINT] = {"an endpoint", sizeof(struct tern_endpoint_plugin), "default"},
    [TERN_DRIVER_PLUGIN_TRANSPORT] = {"a transport", sizeof(struct tern_transport_plugin),
                                      "default"},
};

static const struct {
    const char *key;
    enum tern_driver_plugin_kind kind;
} uses[PLUGIN_USE_COUNT] = {
    [PLUGIN_USE_CONDUCTOR_IDLE] = {"conductor_idle_strategy", TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_SENDER_IDLE] = {"sender_idle_strategy", TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_RECEIVER_IDLE] = {"receiver_idle_strategy", TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_SHARED_IDLE] = {"shared_idle_strategy", TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_SHARED_NETWORK_IDLE] = {"sharednetwork_idle_strategy", TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_HELPER_IDLE] = {"driver_native_resource_agent_idle_strategy",
                                TERN_DRIVER_PLUGIN_IDLE},
    [PLUGIN_USE_TERMINATION] = {"driver_termination_validator", TERN_DRIVER_PLUGIN_TERMINATION},
    [PLUGIN_USE_UNICAST_FLOW_CONTROL] = {"unicast_flowcontrol_supplier",
                                         TERN_DRIVER_PLUGIN_FLOW_CONTROL},
    [PLUGIN_USE_GROUP_FLOW_CONTROL] = {"multicast_flowcontrol_supplier",
                                       TERN_DRIVER_PLUGIN_FLOW_CONTROL},
    [PLUGIN_USE_CONGESTION] = {"congestioncontrol_supplier", TERN_DRIVER_PLUGIN_CONGESTION},
    [PLUGIN_USE_NAMES] = {"name_resolver_supplier", TERN_DRIVER_PLUGIN_NAMES},
    [PLUGIN_USE_SEND_ENDPOINT] = {"sendchannelendpoint_supplier", TERN_DRIVER_PLUGIN_ENDPOINT},
    [PLUGIN_USE_RECEIVE_ENDPOINT] = {"receivechannelendpoint_supplier",
                                     TERN_DRIVER_PLUGIN_ENDPOINT},
    [PLUGIN_USE_TRANSPORT] = {"udp_channel_transport_bindings_media", TERN_DRIVER_PLUGIN_TRANSPORT},
    [PLUGIN_USE_NAMES_TRANSPORT] = {"conductor_udp_channel_transport_bindings_media",
                                    TERN_DRIVER_PLUGIN_TRANSPORT},
};

/* -- libraries -- */

int driver_libraries_load(const struct driver_conf *conf, struct tern_error *error) {
    const char *cursor = conf->dynamic_libraries;
    char path[DRIVER_LIBRARIES_MAX];
    while (option_list_next(&cursor, path, sizeof path)) {
        if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) == NULL) {
            return error_set(error, -EINVAL, "cannot load the library: %.200s", dlerror());
        }
    }
    return 0;
}

static int find_in_file(const char *name, const char *colon, const void **symbol,
                        struct tern_error *error) {
    char path[DRIVER_PLUGIN_NAME_MAX];
    (void)snprintf(path, sizeof path, "%.*s", (int)(colon - name), name);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return error_set(error, -EINVAL, "cannot load the library: %.200s", dlerror());
    }
    *symbol = dlsym(library, colon + 1);
    return *symbol != NULL ? 0
                           : error_set(error, -EINVAL, "the library %.120s has no symbol '%.80s'",
                                       path, colon + 1);
}

static int find_in_list(const char *name, const char *libraries, const char *builtin,
                        const void **symbol, struct tern_error *error) {
    const char *cursor = libraries;
    char path[DRIVER_LIBRARIES_MAX];
    *symbol = NULL;
    while (*symbol == NULL && option_list_next(&cursor, path, sizeof path)) {
        void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (library == NULL) {
            return error_set(error, -EINVAL, "cannot load the library: %.200s", dlerror());
        }
        *symbol = dlsym(library, name);
    }
    return *symbol != NULL
               ? 0
               : error_set(error, -EINVAL,
                           "'%.60s' is none of %s, nor a symbol of driver_dynamic_libraries%s; a "
                           "plug-in is 'library.so:symbol'",
                           name, builtin, *libraries == '\0' ? " (which is empty)" : "");
}

/* -- plug-ins -- */

static int check_head(const struct tern_driver_plugin_head *head, const char *name,
                      enum tern_driver_plugin_kind kind, struct tern_error *error) {
    if (head->magic != TERN_DRIVER_PLUGIN_MAGIC) {
        return error_set(error, -EINVAL, "'%.100s' is no plug-in (see tern/driver_plugin.h)", name);
    }
    if (head->abi_version != TERN_DRIVER_PLUGIN_ABI_VERSION) {
        return error_set(error, -EINVAL,
                         "'%.100s' has plug-in ABI version %u, this driver has version %u: rebuild "
                         "the plug-in against its headers",
                         name, head->abi_version, TERN_DRIVER_PLUGIN_ABI_VERSION);
    }
    if (head->kind != (uint32_t)kind) {
        bool is_known = head->kind >= TERN_DRIVER_PLUGIN_IDLE && head->kind < ARRAY_COUNT(kinds);
        return error_set(error, -EINVAL, "'%.100s' is %s, wanted is %s", name,
                         is_known ? kinds[head->kind].name : "of an unknown kind",
                         kinds[kind].name);
    }
    if (head->size < kinds[kind].size || head->name == NULL || head->version == NULL) {
        return error_set(error, -EINVAL,
                         "'%.100s' has %u bytes, %s of ABI version %u has %zu, with name and "
                         "version",
                         name, head->size, kinds[kind].name, TERN_DRIVER_PLUGIN_ABI_VERSION,
                         kinds[kind].size);
    }
    return 0;
}

static int check_function(bool is_there, const char *name, const char *function,
                          struct tern_error *error) {
    return is_there ? 0 : error_set(error, -EINVAL, "'%.100s' has no function %s", name, function);
}

#define HAS(type_, member_) (((const struct type_ *)head)->member_ != NULL)

/* What nothing can be done without. */
static int check_functions(const struct tern_driver_plugin_head *head, const char *name,
                           struct tern_error *error) {
    switch ((enum tern_driver_plugin_kind)head->kind) {
    case TERN_DRIVER_PLUGIN_IDLE:
        return check_function(HAS(tern_idle_plugin, idle), name, "idle", error);
    case TERN_DRIVER_PLUGIN_TERMINATION:
        return check_function(HAS(tern_termination_plugin, is_allowed), name, "is_allowed", error);
    case TERN_DRIVER_PLUGIN_FLOW_CONTROL:
        return check_function(HAS(tern_flow_control_plugin, on_status_message), name,
                              "on_status_message", error);
    case TERN_DRIVER_PLUGIN_CONGESTION:
        return check_function(HAS(tern_congestion_plugin, initial_window) &&
                                  HAS(tern_congestion_plugin, on_rebuild),
                              name, "initial_window or no on_rebuild", error);
    case TERN_DRIVER_PLUGIN_NAMES:
        return check_function(HAS(tern_name_resolver_plugin, resolve), name, "resolve", error);
    case TERN_DRIVER_PLUGIN_INTERCEPTOR:
        return check_function(HAS(tern_interceptor_plugin, passes), name, "passes", error);
    case TERN_DRIVER_PLUGIN_ENDPOINT:
        return 0;
    case TERN_DRIVER_PLUGIN_TRANSPORT:
        return check_function(
            HAS(tern_transport_plugin, open) && HAS(tern_transport_plugin, connect) &&
                HAS(tern_transport_plugin, close) && HAS(tern_transport_plugin, send) &&
                HAS(tern_transport_plugin, receive),
            name, "open, connect, close, send or receive", error);
    }
    return 0;
}

int driver_plugin_find(const char *name, enum tern_driver_plugin_kind kind, const char *libraries,
                       const struct tern_driver_plugin_head **head, struct tern_error *error) {
    const char *colon = strrchr(name, ':');
    const void *symbol = NULL;
    int result = colon != NULL ? find_in_file(name, colon, &symbol, error)
                               : find_in_list(name, libraries, kinds[kind].builtin, &symbol, error);
    result = result < 0 ? result : check_head(symbol, name, kind, error);
    result = result < 0 ? result : check_functions(symbol, name, error);
    if (result == 0) {
        *head = symbol;
    }
    return result;
}

/* -- uses -- */

static const char *unless_known_idle(const struct driver_idle_conf *idle) {
    return idle_strategy_is_known(idle->name) ? NULL : idle->name;
}

static const char *unless_known_flow_control(const struct driver_conf *conf, bool is_group) {
    enum flow_control_strategy strategy;
    const char *name = driver_conf_flow_control(conf, is_group);
    return flow_control_strategy_parse(name, &strategy, NULL) == 0 ? NULL : name;
}

static const char *unless_default(const char *name) {
    return *name == '\0' || strcmp(name, "default") == 0 ? NULL : name;
}

/* What the configuration says for a use, when that is no built-in name. */
static const char *name_for(const struct driver_conf *conf, enum plugin_use use) {
    switch (use) {
    case PLUGIN_USE_CONDUCTOR_IDLE:
        return unless_known_idle(&conf->conductor_idle);
    case PLUGIN_USE_SENDER_IDLE:
        return unless_known_idle(&conf->sender_idle);
    case PLUGIN_USE_RECEIVER_IDLE:
        return unless_known_idle(&conf->receiver_idle);
    case PLUGIN_USE_SHARED_IDLE:
        return unless_known_idle(&conf->shared_idle);
    case PLUGIN_USE_SHARED_NETWORK_IDLE:
        return unless_known_idle(&conf->shared_network_idle);
    case PLUGIN_USE_HELPER_IDLE:
        return unless_known_idle(&conf->helper_idle);
    case PLUGIN_USE_TERMINATION:
        return driver_conf_termination(conf) == DRIVER_TERMINATION_PLUGIN ? conf->termination
                                                                          : NULL;
    case PLUGIN_USE_UNICAST_FLOW_CONTROL:
        return unless_known_flow_control(conf, false);
    case PLUGIN_USE_GROUP_FLOW_CONTROL:
        return unless_known_flow_control(conf, true);
    case PLUGIN_USE_CONGESTION:
        return driver_conf_congestion(conf) == DRIVER_CONGESTION_PLUGIN ? conf->congestion_supplier
                                                                        : NULL;
    case PLUGIN_USE_NAMES:
        return driver_conf_name_resolver(conf) == DRIVER_NAME_RESOLVER_PLUGIN ? conf->name_resolver
                                                                              : NULL;
    case PLUGIN_USE_SEND_ENDPOINT:
        return unless_default(conf->send_endpoint);
    case PLUGIN_USE_RECEIVE_ENDPOINT:
        return unless_default(conf->receive_endpoint);
    case PLUGIN_USE_TRANSPORT:
        return unless_default(conf->transport);
    case PLUGIN_USE_NAMES_TRANSPORT:
        return unless_default(conf->names_transport);
    case PLUGIN_USE_COUNT:
        break;
    }
    assert(false && "a use that has no name");
    return NULL;
}

const char *driver_plugin_key(const struct driver_conf *conf, enum plugin_use use) {
    assert(use < PLUGIN_USE_COUNT);
    if (conf != NULL && use == PLUGIN_USE_UNICAST_FLOW_CONTROL &&
        conf->unicast_flow_control_class[0] != '\0') {
        return "unicast_flow_control_strategy";
    }
    if (conf != NULL && use == PLUGIN_USE_GROUP_FLOW_CONTROL &&
        conf->multicast_flow_control_class[0] != '\0') {
        return "multicast_flow_control_strategy";
    }
    return uses[use].key;
}

int driver_plugin_find_for(const struct driver_conf *conf, enum plugin_use use,
                           const struct tern_driver_plugin_head **head, struct tern_error *error) {
    const char *name = name_for(conf, use);
    *head = NULL;
    return name == NULL
               ? 0
               : driver_plugin_find(name, uses[use].kind, conf->dynamic_libraries, head, error);
}

int driver_plugins_find(struct driver_plugins *plugins, const struct driver_conf *conf,
                        struct tern_error *error) {
    int result = 0;
    for (int use = 0; result == 0 && use < PLUGIN_USE_COUNT; use++) {
        result = driver_plugin_find_for(conf, (enum plugin_use)use, &plugins->heads[use], error);
        if (result < 0) {
            (void)error_prefix(error, "%s", driver_plugin_key(conf, (enum plugin_use)use));
        }
    }
    return result;
}

struct tern_error *driver_plugin_expect(const struct tern_driver_plugin_head *head,
                                        struct tern_error *error) {
    (void)error_set(error, -EINVAL, "the plug-in %.100s refuses, and does not say why", head->name);
    return error;
}

int driver_plugin_failed(struct tern_error *error) {
    if (error == NULL) {
        return -EINVAL;
    }
    if (error->code >= 0) {
        error->code = error->code > 0 ? -error->code : -EINVAL;
    }
    error->text[sizeof error->text - 1] = '\0';
    return error->code;
}

int driver_plugin_announce(struct driver_context *context, const char *key, const char *name,
                           const struct tern_driver_plugin_head *head, struct tern_error *error) {
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    const struct counter_params params = {
        .type_id = COUNTER_TYPE_DRIVER_PLUGIN,
        .label = label,
        .label_length = counter_label_format(label, "Plug-in: %s=%s is %.64s %.32s", key, name,
                                             head->name, head->version),
        .owner_id = -1,
    };
    return driver_context_allocate_counter(context, &params, error);
}

int driver_plugins_announce(struct driver_plugins *plugins, struct driver_context *context,
                            struct tern_error *error) {
    for (int use = 0; use < PLUGIN_USE_COUNT; use++) {
        if (plugins->heads[use] == NULL) {
            continue;
        }
        int32_t id = driver_plugin_announce(
            context, driver_plugin_key(context->conf, (enum plugin_use)use),
            name_for(context->conf, (enum plugin_use)use), plugins->heads[use], error);
        if (id < 0) {
            return id;
        }
        plugins->counters[use] = driver_context_counter(context, id);
    }
    return 0;
}

/* Asking plug-ins about each datagram. */
#include "driverd/plugin_filter.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/options.h"
#include "driverd/driver_context.h"
#include "driverd/interceptor.h"

#define SOCKETS_MAX (1 << 20)

/* -- the decision: net_layer.h drops -- */

static bool passes_all(const struct plugin_interceptors *interceptors,
                       const struct tern_datagram *datagram) {
    bool passes = true;
    for (int i = 0; passes && i < interceptors->count; i++) {
        const struct plugin_interceptor *interceptor = &interceptors->items[i];
        passes = interceptor->plugin->passes(interceptor->state, datagram);
    }
    return passes;
}

static const struct plugin_endpoint *endpoint_of(const struct plugin_filter *filter, int socket) {
    static const struct plugin_endpoint none;
    return socket < filter->endpoint_capacity ? &filter->endpoints[socket] : &none;
}

static bool may_go(void *context, int socket, const struct net_datagram *datagram, unsigned flags) {
    const struct plugin_filter *filter = context;
    const struct plugin_endpoint *endpoint = endpoint_of(filter, socket);
    const struct tern_datagram seen = {
        .data = datagram->data,
        .length = datagram->length,
        .address = (flags & NET_SEND_TO_ADDRESS) != 0 ? &datagram->address.base : NULL,
    };
    bool is_asked = endpoint->plugin != NULL && endpoint->plugin->on_send != NULL;
    return (!is_asked || endpoint->plugin->on_send(endpoint->state, &seen)) &&
           passes_all(&filter->outgoing, &seen);
}

static bool may_come(void *context, int socket, const struct net_datagram *datagram) {
    const struct plugin_filter *filter = context;
    const struct plugin_endpoint *endpoint = endpoint_of(filter, socket);
    const struct tern_datagram seen = {
        .data = datagram->data,
        .length = datagram->length,
        .address = &datagram->address.base,
    };
    bool is_asked = endpoint->plugin != NULL && endpoint->plugin->on_receive != NULL;
    return passes_all(&filter->incoming, &seen) &&
           (!is_asked || endpoint->plugin->on_receive(endpoint->state, &seen));
}

/* -- interceptors -- */

static int add_interceptors(struct plugin_interceptors *interceptors, const char *list,
                            const struct driver_conf *conf, struct tern_error *error) {
    char name[DRIVER_PLUGIN_NAME_MAX];
    int result = 0;
    interceptors->count = 0;
    while (result == 0 && option_list_next(&list, name, sizeof name)) {
        const struct tern_driver_plugin_head *head;
        if (interceptor_is_known(name)) {
            continue;
        }
        if (interceptors->count == PLUGIN_INTERCEPTORS_MAX) {
            return error_set(error, -EINVAL, "more than %d plug-ins", PLUGIN_INTERCEPTORS_MAX);
        }
        result = driver_plugin_find(name, TERN_DRIVER_PLUGIN_INTERCEPTOR, conf->dynamic_libraries,
                                    &head, error);
        if (result == 0) {
            interceptors->items[interceptors->count++].plugin = (const void *)head;
        }
    }
    return result;
}

static const char outgoing_key[] = "udp_channel_outgoing_interceptors";
static const char incoming_key[] = "udp_channel_incoming_interceptors";

int plugin_filter_check(const struct driver_conf *conf, const char **key,
                        struct tern_error *error) {
    struct plugin_interceptors found;
    *key = outgoing_key;
    int result = add_interceptors(&found, conf->outgoing_interceptors, conf, error);
    if (result == 0) {
        *key = incoming_key;
        result = add_interceptors(&found, conf->incoming_interceptors, conf, error);
    }
    return result;
}

static bool names_plugins(const char *list) {
    char name[DRIVER_PLUGIN_NAME_MAX];
    bool is_found = false;
    while (!is_found && option_list_next(&list, name, sizeof name)) {
        is_found = !interceptor_is_known(name);
    }
    return is_found;
}

static bool has_endpoints(const struct driver_plugins *plugins) {
    return plugins->heads[PLUGIN_USE_SEND_ENDPOINT] != NULL ||
           plugins->heads[PLUGIN_USE_RECEIVE_ENDPOINT] != NULL;
}

bool plugin_filter_is_wanted(const struct driver_conf *conf, const struct driver_plugins *plugins) {
    return names_plugins(conf->outgoing_interceptors) ||
           names_plugins(conf->incoming_interceptors) || has_endpoints(plugins);
}

static int create_states(struct plugin_interceptors *interceptors, bool is_outgoing,
                         struct tern_error *error) {
    for (int i = 0; i < interceptors->count; i++) {
        struct plugin_interceptor *interceptor = &interceptors->items[i];
        const struct tern_interceptor_plugin *plugin = interceptor->plugin;
        if (plugin->create == NULL) {
            continue;
        }
        interceptor->state =
            plugin->create(is_outgoing, driver_plugin_expect(&plugin->head, error));
        if (interceptor->state == NULL) {
            (void)driver_plugin_failed(error);
            return error_prefix(error, "%s", is_outgoing ? outgoing_key : incoming_key);
        }
    }
    return 0;
}

static void destroy_states(struct plugin_interceptors *interceptors) {
    for (int i = 0; i < interceptors->count; i++) {
        const struct plugin_interceptor *interceptor = &interceptors->items[i];
        if (interceptor->state != NULL && interceptor->plugin->destroy != NULL) {
            interceptor->plugin->destroy(interceptor->state);
        }
    }
}

/* -- endpoints -- */

static int make_table(struct plugin_filter *filter, struct tern_error *error) {
    long limit = sysconf(_SC_OPEN_MAX);
    filter->endpoint_capacity = limit > 0 && limit < SOCKETS_MAX ? (int)limit : SOCKETS_MAX;
    filter->endpoints = calloc((size_t)filter->endpoint_capacity, sizeof *filter->endpoints);
    if (filter->endpoints == NULL) {
        filter->endpoint_capacity = 0;
        return error_set(error, -ENOMEM, "no memory for the endpoints of plug-ins");
    }
    return 0;
}

int plugin_filter_attach(struct plugin_filter *filter, int socket,
                         const struct tern_endpoint_params *params, struct tern_error *error) {
    if (filter == NULL) {
        return 0;
    }
    enum plugin_use use = params->is_send ? PLUGIN_USE_SEND_ENDPOINT : PLUGIN_USE_RECEIVE_ENDPOINT;
    const struct tern_endpoint_plugin *plugin =
        (const void *)driver_plugin_head(filter->plugins, use);
    if (plugin == NULL) {
        return 0;
    }
    if (socket >= filter->endpoint_capacity) {
        return error_set(error, -EMFILE, "no room for the endpoint of socket %d", socket);
    }
    struct plugin_endpoint *endpoint = &filter->endpoints[socket];
    assert(endpoint->plugin == NULL);
    void *state = NULL;
    if (plugin->create != NULL) {
        state = plugin->create(params, driver_plugin_expect(&plugin->head, error));
        if (state == NULL) {
            (void)driver_plugin_failed(error);
            return error_prefix(error, "endpoint %.64s", plugin->head.name);
        }
    }
    *endpoint = (struct plugin_endpoint){plugin, state, use};
    driver_plugin_count(filter->plugins, use, 1);
    return 0;
}

void plugin_filter_detach(struct plugin_filter *filter, int socket) {
    if (filter == NULL || socket < 0 || socket >= filter->endpoint_capacity) {
        return;
    }
    struct plugin_endpoint *endpoint = &filter->endpoints[socket];
    if (endpoint->plugin == NULL) {
        return;
    }
    if (endpoint->state != NULL && endpoint->plugin->destroy != NULL) {
        endpoint->plugin->destroy(endpoint->state);
    }
    driver_plugin_count(filter->plugins, endpoint->use, -1);
    *endpoint = (struct plugin_endpoint){0};
}

/* -- life cycle -- */

int plugin_filter_open(struct plugin_filter *filter, const struct driver_conf *conf,
                       const struct driver_plugins *plugins, const struct net *inner,
                       struct tern_error *error) {
    *filter = (struct plugin_filter){.plugins = plugins};
    net_layer_init(&filter->layer, inner);
    net_layer_drop(&filter->layer, &(struct net_filter){may_go, may_come});
    int result = add_interceptors(&filter->outgoing, conf->outgoing_interceptors, conf, error);
    result = result < 0
                 ? result
                 : add_interceptors(&filter->incoming, conf->incoming_interceptors, conf, error);
    result = result < 0 ? result : create_states(&filter->outgoing, true, error);
    result = result < 0 ? result : create_states(&filter->incoming, false, error);
    if (result == 0 && has_endpoints(plugins)) {
        result = make_table(filter, error);
    }
    return result;
}

static int announce(const struct plugin_interceptors *interceptors, const char *key,
                    struct driver_context *context, struct tern_error *error) {
    for (int i = 0; i < interceptors->count; i++) {
        const struct tern_driver_plugin_head *head = &interceptors->items[i].plugin->head;
        int32_t id = driver_plugin_announce(context, key, head->name, head, error);
        if (id < 0) {
            return id;
        }
        counter_set_release(driver_context_counter(context, id), 1);
    }
    return 0;
}

int plugin_filter_announce(const struct plugin_filter *filter, struct driver_context *context,
                           struct tern_error *error) {
    int result = announce(&filter->outgoing, outgoing_key, context, error);
    return result < 0 ? result : announce(&filter->incoming, incoming_key, context, error);
}

void plugin_filter_close(struct plugin_filter *filter) {
    destroy_states(&filter->outgoing);
    destroy_states(&filter->incoming);
    free(filter->endpoints);
    *filter = (struct plugin_filter){0};
}

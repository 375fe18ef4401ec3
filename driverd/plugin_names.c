/* A name resolver of a plug-in as a net seam. What it answers is looked at before it is used: an
 * address that is none is an error of the look-up. */
#include "driverd/plugin_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int resolve(void *context, const char *name, union net_address *address,
                   struct tern_error *error) {
    const struct plugin_names *names = context;
    const struct tern_name_resolver_plugin *plugin = names->plugin;
    struct sockaddr_storage found = {0};
    struct tern_error reason = {.code = -ENOENT};
    int result = plugin->resolve(names->state, name, &found, &reason);
    if (result == TERN_NAME_ASK_SYSTEM) {
        return names->base->resolve(names->base->context, name, address, error);
    }
    if (result != TERN_NAME_FOUND) {
        return error_set(error, result < 0 ? result : -ENOENT,
                         "cannot resolve host '%.100s': %s%s%s", name, plugin->head.name,
                         reason.text[0] == '\0' ? "" : ": ", reason.text);
    }
    if (found.ss_family != AF_INET && found.ss_family != AF_INET6) {
        return error_set(error, -EAFNOSUPPORT,
                         "cannot resolve host '%.100s': %s gives an address of family %d", name,
                         plugin->head.name, found.ss_family);
    }
    memcpy(address, &found, sizeof *address);
    net_address_set_port(address, 0);
    return 0;
}

static int list_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    const struct plugin_names *names = context;
    return names->base->interfaces(names->base->context, interfaces, capacity);
}

struct plugin_names *plugin_names_create(const struct tern_name_resolver_plugin *plugin,
                                         const char *arguments, const struct net *base,
                                         struct tern_error *error) {
    struct plugin_names *names = calloc(1, sizeof *names);
    if (names == NULL) {
        (void)error_set_errno(error, ENOMEM, "cannot make a name resolver");
        return NULL;
    }
    *names = (struct plugin_names){
        .base = base,
        .net = {.context = names, .resolve = resolve, .interfaces = list_interfaces},
        .plugin = plugin,
    };
    if (plugin->create != NULL) {
        names->state = plugin->create(arguments, driver_plugin_expect(&plugin->head, error));
        if (names->state == NULL) {
            (void)driver_plugin_failed(error);
            free(names);
            return NULL;
        }
    }
    return names;
}

void plugin_names_destroy(struct plugin_names *names) {
    if (names != NULL && names->plugin->create != NULL && names->plugin->destroy != NULL) {
        names->plugin->destroy(names->state);
    }
    free(names);
}

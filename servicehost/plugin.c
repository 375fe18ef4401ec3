/* Loading plugins. A plugin that is older than the host has a shorter table: the callbacks it does
 * not know are NULL here. A newer one has a longer table, of which the host reads its own part. */
#include "servicehost/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/error.h"

/* The table of ABI 1 ends with background_work; a shorter one is no table at all. */
#define TABLE_SIZE_MIN                                                                             \
    (offsetof(struct tern_service_plugin, background_work) + sizeof(int (*)(void)))

int plugin_adopt(struct plugin *plugin, const struct tern_service_plugin *table,
                 struct tern_error *error) {
    if (table->abi_version != TERN_SERVICE_ABI_VERSION) {
        return error_set(error, TERN_ERROR_VERSION,
                         "plugin has service ABI version %u, this servicehost has version %u: "
                         "rebuild the plugin against its headers",
                         table->abi_version, TERN_SERVICE_ABI_VERSION);
    }
    if (table->size < TABLE_SIZE_MIN) {
        return error_set(error, TERN_ERROR_VERSION,
                         "plugin table has %u bytes, service ABI version %u needs at least %zu",
                         table->size, TERN_SERVICE_ABI_VERSION, TABLE_SIZE_MIN);
    }
    if (table->name == NULL || table->create == NULL || table->destroy == NULL ||
        table->on_session_message == NULL) {
        return error_set(error, -EINVAL,
                         "plugin lacks one of name, create, destroy, on_session_message");
    }
    memset(&plugin->table, 0, sizeof plugin->table);
    size_t known = table->size < sizeof plugin->table ? table->size : sizeof plugin->table;
    memcpy(&plugin->table, table, known);
    return 0;
}

int plugin_open(struct plugin *plugin, const char *path, struct tern_error *error) {
    *plugin = (struct plugin){0};
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return error_set(error, -ENOENT, "cannot load plugin: %s", dlerror());
    }
    const struct tern_service_plugin *table = dlsym(library, TERN_SERVICE_PLUGIN_SYMBOL);
    int result;
    if (table == NULL) {
        result = error_set(error, -EINVAL, "plugin %s does not export the symbol %s", path,
                           TERN_SERVICE_PLUGIN_SYMBOL);
    } else {
        result = plugin_adopt(plugin, table, error);
        if (result != 0) {
            (void)error_prefix(error, "%s", path);
        }
    }
    if (result != 0) {
        (void)dlclose(library);
        return result;
    }
    plugin->library = library;
    return 0;
}

void plugin_close(struct plugin *plugin) {
    if (plugin->library != NULL) {
        (void)dlclose(plugin->library);
    }
    *plugin = (struct plugin){0};
}

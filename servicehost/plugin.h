/* Loading a service plugin and checking that host and plugin speak the same ABI. */
#ifndef TERN_SERVICEHOST_PLUGIN_H
#define TERN_SERVICEHOST_PLUGIN_H

#include <tern/service.h>

/* Owned by whoever opened it; closing a zeroed struct does nothing. The shared object must stay
 * loaded while an instance of it lives. */
struct plugin {
    void *library;
    struct tern_service_plugin table; /* a copy cut or zero-filled to the host's size */
};

/* Load the object at `path`. The text of a failure says what is missing: the file, the symbol, a
 * callback, or the ABI version with both numbers. */
int plugin_open(struct plugin *plugin, const char *path, struct tern_error *error);

/* Check a table that is already in memory (the simulator links plugins in). */
int plugin_adopt(struct plugin *plugin, const struct tern_service_plugin *table,
                 struct tern_error *error);

void plugin_close(struct plugin *plugin);

#endif

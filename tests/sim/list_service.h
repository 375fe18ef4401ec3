/* The list plugin, with a look into its state. */
#ifndef TERN_SIM_LIST_SERVICE_H
#define TERN_SIM_LIST_SERVICE_H

#include <tern/service.h>

extern const struct tern_service_plugin list_service_plugin;
uint64_t list_service_hash(const void *service);
const int64_t *list_service_values(const void *service, int64_t *count);

#endif

/* System counters: allocated first, in order, so that counter id and system id are the same
 * (shared-memory.md 6.1). */
#ifndef DRIVERD_SYSTEM_COUNTERS_H
#define DRIVERD_SYSTEM_COUNTERS_H

#include "base/error.h"

struct driver_context;

/* Allocate all of them, fill context->system_counters, store versions and mapped bytes. */
int system_counters_create(struct driver_context *context, struct tern_error *error);

#endif

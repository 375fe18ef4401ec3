/* Processors that this process may use. Containers get a subset, so a configured number can mean
 * either the machine's processor or the n-th allowed one. */
#ifndef TERN_DAEMON_AFFINITY_H
#define TERN_DAEMON_AFFINITY_H

#include <stdbool.h>

#include "base/error.h"

/* Number of processors that the calling thread may run on. */
int affinity_count(void);

/* Translate a configured processor: -1 stays -1; with `is_relative` n means the n-th allowed one.
 * -EINVAL with the allowed ones in the text when it may not be used. */
int affinity_resolve(int cpu, bool is_relative, int *result, struct tern_error *error);

/* Pin the calling thread; -1 does nothing. */
int affinity_pin(int cpu, struct tern_error *error);

#endif

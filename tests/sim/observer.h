/* A plugin around the workload's plugin that tells the checks of everything the service is given.
 */
#ifndef TERN_SIM_OBSERVER_H
#define TERN_SIM_OBSERVER_H

#include <tern/service.h>

#include "sim/sim.h"

/* Valid while the process is. */
const struct tern_service_plugin *observer_plugin(struct process *process);
/* The workload's own instance in a running service, or NULL. */
void *observer_inner(const struct process *process);
/* The service follows the log. */
bool observer_is_following(const struct process *process);

#endif

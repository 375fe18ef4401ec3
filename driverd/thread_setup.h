/* What is done for the threads of a driver before they start: which processor each gets, and the
 * function of a loaded library that each calls first (media-driver.md 7.8). */
#ifndef DRIVERD_THREAD_SETUP_H
#define DRIVERD_THREAD_SETUP_H

#include "base/error.h"
#include "driverd/driver_conf.h"

/* -1: any. */
struct driver_cpus {
    int conductor; /* and who shares its thread */
    int sender;
    int receiver;
    int helper; /* log agent and resolver */
};

/* 0; 1 and a warning in `error` when the cpuset has too few processors for driver_cpuset_affinity;
 * -EINVAL when it may not be used, or the warning is to be an error. */
int driver_cpus_choose(const struct driver_conf *conf, struct driver_cpus *cpus,
                       struct tern_error *error);

/* agent_on_start_function: called by each thread with NULL and the name of its role. */
typedef void (*driver_start_function)(void *state, const char *role_name);

/* Find it in what driver_libraries_load has loaded; *function is NULL when none is configured. 0 or
 * -EINVAL. */
int driver_start_function_find(const struct driver_conf *conf, driver_start_function *function,
                               struct tern_error *error);

#endif

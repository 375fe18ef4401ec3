/* Processors and start functions of a driver's threads. Runs once, before the first of them. */
#include "driverd/thread_setup.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "daemon/affinity.h"

/* Threads that spin, or run all the time: each wants a processor of its own. */
static int count_threads(const struct driver_conf *conf) {
    return conf->threading == DRIVER_THREADING_DEDICATED        ? 3
           : conf->threading == DRIVER_THREADING_SHARED_NETWORK ? 2
                                                                : 1;
}

/* To those that have none the next of the cpuset that nobody was given by name. */
static int spread(struct driver_cpus *cpus, int count, struct tern_error *error) {
    int *const agents[] = {&cpus->conductor, &cpus->sender, &cpus->receiver};
    int next = 0;
    for (int i = 0; i < count; i++) {
        int cpu = *agents[i];
        while (cpu < 0) {
            int candidate;
            int result = affinity_resolve(next++, true, &candidate, error);
            if (result < 0) {
                return result;
            }
            bool is_taken = false;
            for (int k = 0; k < count; k++) {
                is_taken = is_taken || *agents[k] == candidate;
            }
            cpu = is_taken ? -1 : candidate;
        }
        *agents[i] = cpu;
    }
    return 0;
}

int driver_cpus_choose(const struct driver_conf *conf, struct driver_cpus *cpus,
                       struct tern_error *error) {
    *cpus = (struct driver_cpus){conf->conductor_cpu, conf->sender_cpu, conf->receiver_cpu,
                                 conf->helper_cpu};
    int *const all[] = {&cpus->conductor, &cpus->sender, &cpus->receiver, &cpus->helper};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        int result = affinity_resolve(*all[i], false, all[i], error);
        if (result < 0) {
            return result;
        }
    }
    int count = count_threads(conf);
    if (!conf->cpuset_affinity) {
        return 0;
    }
    struct driver_cpus configured = *cpus;
    if (spread(cpus, count, error) == 0) {
        return 0;
    }
    *cpus = configured;
    (void)error_set(
        error, -EINVAL, "driver_cpuset_affinity: %d threads, but the cpuset has %d processors%s",
        count, affinity_count(), conf->cpuset_warnings_as_errors ? "" : ": they are not pinned");
    return conf->cpuset_warnings_as_errors ? -EINVAL : 1;
}

int driver_start_function_find(const struct driver_conf *conf, driver_start_function *function,
                               struct tern_error *error) {
    *function = NULL;
    if (conf->agent_on_start_function[0] == '\0') {
        return 0;
    }
    void *symbol = dlsym(RTLD_DEFAULT, conf->agent_on_start_function);
    if (symbol == NULL) {
        return error_set(error, -EINVAL, "no loaded library has the symbol: %.200s", dlerror());
    }
    memcpy(function, &symbol, sizeof symbol); /* what dlsym means, and ISO C has no cast for */
    return 0;
}

/* Affinity by the kernel's mask of the calling thread, which already is what a cpuset allows. */
#include "daemon/affinity.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

int affinity_count(void) {
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

/* "0-3,8" */
static void format_cpus(const cpu_set_t *cpus, char *text, size_t size) {
    *text = '\0';
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, cpus)) {
            continue;
        }
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, cpus)) {
            last++;
        }
        size_t used = strlen(text);
        int printed = snprintf(text + used, size - used, "%s%d", used == 0 ? "" : ",", cpu);
        used += (size_t)printed;
        if (last > cpu && used < size) {
            (void)snprintf(text + used, size - used, "-%d", last);
        }
        cpu = last;
    }
}

int affinity_resolve(int cpu, bool is_relative, int *result, struct tern_error *error) {
    cpu_set_t allowed;
    char list[128];
    if (cpu < 0) {
        *result = -1;
        return 0;
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return error_set_errno(error, errno, "cannot read the processor affinity");
    }
    int index = 0;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        bool is_allowed = CPU_ISSET((size_t)i, &allowed) != 0;
        if (is_allowed && (is_relative ? index == cpu : i == cpu)) {
            *result = i;
            return 0;
        }
        index += is_allowed ? 1 : 0;
    }
    format_cpus(&allowed, list, sizeof list);
    return error_set(error, -EINVAL, "processor %d%s may not be used; allowed: %s", cpu,
                     is_relative ? " of the cpuset" : "", list);
}

int affinity_pin(int cpu, struct tern_error *error) {
    if (cpu < 0) {
        return 0;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)cpu, &cpus);
    if (cpu >= CPU_SETSIZE || sched_setaffinity(0, sizeof cpus, &cpus) != 0) {
        return error_set_errno(error, cpu >= CPU_SETSIZE ? EINVAL : errno,
                               "cannot pin the thread to processor %d", cpu);
    }
    return 0;
}

/* Idle strategies and the threads that run agents (media-driver.md 6.3).
 *
 * A runner calls do_work with the time of the cycle's start and gives what it returned to the idle
 * strategy. The park of a backoff goes to the agent's own wait function when it has one, so that a
 * parked driver wakes for a datagram.
 */
#include "base/agent.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/uri.h"

#define SLEEP_PERIOD_DEFAULT_NS NS_PER_MS
/* The original parks for 1 ms at most. A wake-up costs 25 to 35 us on a virtual machine, so that an
 * idle process took 3 % of a processor; parks four times as long take less than 1 %. They double
 * from 1 us, so whoever is busy never waits longer than the quiet before has lasted. */
#define BACKOFF_PARK_MAX_DEFAULT_NS (4 * NS_PER_MS)

static const struct {
    const char *name;
    enum idle_kind kind;
} kinds[] = {
    {"backoff", IDLE_BACKOFF}, {"sleeping", IDLE_SLEEP}, {"sleep-ns", IDLE_SLEEP},
    {"yield", IDLE_YIELD},     {"yielding", IDLE_YIELD}, {"spin", IDLE_SPIN},
    {"busy_spin", IDLE_SPIN},  {"spinning", IDLE_SPIN},  {"noop", IDLE_NOOP},
    {"no-op", IDLE_NOOP},
};

static int parse_backoff_arguments(struct idle_strategy *idle, const char *arguments,
                                   struct tern_error *error) {
    char copy[128];
    char *fields[4];
    char *cursor = copy;
    int64_t values[4];
    (void)snprintf(copy, sizeof copy, "%s", arguments);
    for (int i = 0; i < 4; i++) {
        fields[i] = strsep(&cursor, "-");
        int result = -EINVAL;
        if (fields[i] != NULL) {
            result =
                i < 2 ? parse_i64(fields[i], &values[i]) : parse_duration_ns(fields[i], &values[i]);
        }
        if (result != 0) {
            break;
        }
        if (i == 3 && cursor == NULL && values[2] > 0 && values[2] <= values[3]) {
            idle->spins_max = values[0];
            idle->yields_max = values[1];
            idle->park_min_ns = values[2];
            idle->park_max_ns = values[3];
            return 0;
        }
    }
    return error_set(error, -EINVAL,
                     "idle strategy arguments '%s': expected spins-yields-minpark-maxpark, "
                     "e.g. 10-20-1us-1ms",
                     arguments);
}

static bool find_kind(const char *name, enum idle_kind *kind) {
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

bool idle_strategy_is_known(const char *name) {
    enum idle_kind kind;
    return find_kind(name, &kind);
}

int idle_strategy_parse(struct idle_strategy *idle, const char *name, const char *arguments,
                        struct tern_error *error) {
    struct idle_strategy parsed = {
        .spins_max = 10,
        .yields_max = 20,
        .park_min_ns = NS_PER_US,
        .park_max_ns = SLEEP_PERIOD_DEFAULT_NS,
    };
    if (!find_kind(name, &parsed.kind)) {
        return error_set(error, -EINVAL,
                         "unknown idle strategy '%s': allowed are backoff, sleeping, sleep-ns, "
                         "yield, spin, noop",
                         name);
    }
    if (parsed.kind == IDLE_BACKOFF) {
        parsed.park_max_ns = BACKOFF_PARK_MAX_DEFAULT_NS;
    }
    bool has_arguments = arguments != NULL && *arguments != '\0';
    if (has_arguments && parsed.kind == IDLE_BACKOFF) {
        int result = parse_backoff_arguments(&parsed, arguments, error);
        if (result != 0) {
            return result;
        }
    } else if (has_arguments && parsed.kind == IDLE_SLEEP &&
               (parse_duration_ns(arguments, &parsed.park_max_ns) != 0 ||
                parsed.park_max_ns == 0)) {
        return error_set(error, -EINVAL, "idle strategy argument '%s' is not a duration",
                         arguments);
    }
    parsed.park_ns = parsed.park_min_ns;
    *idle = parsed;
    return 0;
}

void agent_wait(const struct agent *agent, int64_t timeout_ns) {
    if (agent != NULL && agent->wait != NULL) {
        agent->wait(agent->context, timeout_ns);
        return;
    }
    struct timespec duration = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    (void)nanosleep(&duration, NULL);
}

static void back_off(struct idle_strategy *idle, const struct agent *agent) {
    if (idle->spins < idle->spins_max) {
        idle->spins++;
        cpu_relax();
    } else if (idle->yields < idle->yields_max) {
        idle->yields++;
        (void)sched_yield();
    } else {
        agent_wait(agent, idle->park_ns);
        int64_t doubled = idle->park_ns * 2;
        idle->park_ns = doubled < idle->park_max_ns ? doubled : idle->park_max_ns;
    }
}

void idle_strategy_idle(struct idle_strategy *idle, const struct agent *agent, int work_count) {
    if (idle->kind == IDLE_CUSTOM) {
        idle->custom(idle->custom_context, agent, work_count);
        return;
    }
    if (work_count > 0) {
        idle->spins = 0;
        idle->yields = 0;
        idle->park_ns = idle->park_min_ns;
        return;
    }
    switch (idle->kind) {
    case IDLE_BACKOFF:
        back_off(idle, agent);
        break;
    case IDLE_SLEEP:
        agent_wait(agent, idle->park_max_ns);
        break;
    case IDLE_YIELD:
        (void)sched_yield();
        break;
    case IDLE_SPIN:
        cpu_relax();
        break;
    case IDLE_NOOP:
    case IDLE_CUSTOM:
        break;
    }
}

void agent_run(const struct agent_runner_params *params, const bool *running) {
    struct idle_strategy idle = params->idle;
    /* The default slack of 50 us would swallow every short park (machine limits, not policy). */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (params->on_start != NULL) {
        params->on_start(params->start_context,
                         params->role != NULL ? params->role : params->agent.name);
    }
    while (__atomic_load_n(running, __ATOMIC_ACQUIRE)) {
        int work = params->agent.do_work(params->agent.context, clock_now_ns(params->clock));
        idle_strategy_idle(&idle, &params->agent, work);
    }
}

struct agent_runner {
    struct agent_runner_params params;
    pthread_t thread;
    bool running;
};

static void *run_thread(void *argument) {
    struct agent_runner *runner = argument;
    agent_run(&runner->params, &runner->running);
    return NULL;
}

static int start_thread(struct agent_runner *runner) {
    pthread_attr_t attributes;
    int failure = pthread_attr_init(&attributes);
    if (failure != 0) {
        return failure;
    }
    if (runner->params.cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)runner->params.cpu, &cpus);
        failure = pthread_attr_setaffinity_np(&attributes, sizeof cpus, &cpus);
    }
    if (failure == 0) {
        failure = pthread_create(&runner->thread, &attributes, run_thread, runner);
    }
    (void)pthread_attr_destroy(&attributes);
    return failure;
}

int agent_runner_start(struct agent_runner **out, const struct agent_runner_params *params,
                       struct tern_error *error) {
    struct agent_runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL) {
        return error_set(error, -ENOMEM, "no memory for the thread of agent %s",
                         params->agent.name);
    }
    runner->params = *params;
    runner->running = true;
    int failure = start_thread(runner);
    if (failure != 0) {
        free(runner);
        return error_set_errno(error, failure, "cannot start the thread of agent %s (cpu %d)",
                               params->agent.name, params->cpu);
    }
    char name[16];
    (void)snprintf(name, sizeof name, "%.15s", params->agent.name);
    (void)pthread_setname_np(runner->thread, name);
    *out = runner;
    return 0;
}

void agent_runner_stop(struct agent_runner *runner) {
    if (runner == NULL) {
        return;
    }
    __atomic_store_n(&runner->running, false, __ATOMIC_RELEASE);
    if (runner->params.wake != NULL) {
        runner->params.wake(runner->params.agent.context);
    }
    (void)pthread_join(runner->thread, NULL);
    free(runner);
}

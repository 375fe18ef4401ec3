/* Agents, the threads that run them, and how a thread waits when there is nothing to do.
 *
 * An agent is a struct and a do_work function that returns the amount of work done; it never
 * blocks and never reads a clock. A runner owns a thread, samples the clock once per cycle and
 * idles by a strategy. Agents can as well be stepped by hand (INVOKER mode, simulation).
 */
#ifndef TERN_BASE_AGENT_H
#define TERN_BASE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

struct agent {
    const char *name; /* thread name, at most 15 bytes are used */
    void *context;
    int (*do_work)(void *context, int64_t now_ns);
    /* Optional: called by the idle strategy instead of sleeping, so that the agent can wait for
     * its own wake-up sources. */
    void (*wait)(void *context, int64_t timeout_ns);
};

enum idle_kind { IDLE_BACKOFF, IDLE_SLEEP, IDLE_YIELD, IDLE_SPIN, IDLE_NOOP, IDLE_CUSTOM };

struct idle_strategy {
    enum idle_kind kind;
    int64_t spins_max;
    int64_t yields_max;
    int64_t park_min_ns;
    int64_t park_max_ns; /* also the period of IDLE_SLEEP */
    /* state of the backoff */
    int64_t spins;
    int64_t yields;
    int64_t park_ns;
    /* IDLE_CUSTOM only: somebody else's strategy, called once per cycle with the work done */
    void (*custom)(void *custom_context, const struct agent *agent, int work_count);
    void *custom_context;
};

/* Parse an Aeron strategy name ("backoff", "sleeping", "sleep-ns", "yield", "spin", "noop", also
 * "yielding", "busy_spin" and the class-like spellings that media-driver.md 6.3 lists) and its
 * argument text (NULL: defaults). */
int idle_strategy_parse(struct idle_strategy *idle, const char *name, const char *arguments,
                        struct tern_error *error);

/* Is it one of those names? */
bool idle_strategy_is_known(const char *name);

/* To be called once per cycle with the work done; resets on work > 0, else waits. `agent` may be
 * NULL. */
void idle_strategy_idle(struct idle_strategy *idle, const struct agent *agent, int work_count);
/* Wait for the agent's own wake-up sources, or just sleep when it has none. */
void agent_wait(const struct agent *agent, int64_t timeout_ns);

struct agent_runner;

struct agent_runner_params {
    struct agent agent; /* copied; its context is borrowed until stop */
    struct idle_strategy idle;
    const struct clock *clock;
    int cpu; /* -1: no affinity */
    /* Optional: ends a wait of the agent that is going on, or the next one. For agent_runner_stop.
     */
    void (*wake)(void *context);
    /* Optional: called once on the agent's thread before its first cycle. */
    void (*on_start)(void *start_context, const char *role);
    void *start_context;
    const char *role; /* NULL: the agent's name */
};

/* Start a thread that runs the agent until agent_runner_stop, which joins and frees. */
int agent_runner_start(struct agent_runner **runner, const struct agent_runner_params *params,
                       struct tern_error *error);
void agent_runner_stop(struct agent_runner *runner);

/* Run the agent on the calling thread until *running becomes false (read with acquire). */
void agent_run(const struct agent_runner_params *params, const bool *running);

#endif

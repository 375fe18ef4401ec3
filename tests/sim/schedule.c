/* Who is stepped next: the process that wakes first. The seed decides how long everybody waits
 * (process.c), which datagrams take how long (wire.c), and when the plan strikes (plan.c). */
#include <stdarg.h>
#include <stdio.h>

#include "base/bits.h"
#include "sim/plan.h"
#include "sim/sim.h"

void sim_fail(struct sim *sim, const char *format, ...) {
    if (sim->has_failed) {
        return;
    }
    sim->has_failed = true;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sim->failure, sizeof sim->failure, format, arguments);
    va_end(arguments);
    history_line(&sim->history, "BROKEN: %s", sim->failure);
}

static struct process *find_next(struct sim *sim) {
    int next = -1;
    int64_t next_ns = INT64_MAX;
    for (int i = 0; i < sim->process_count; i++) {
        int64_t due_ns = sim->due_ns[i];
        next = due_ns < next_ns ? i : next;
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next < 0 ? NULL : &sim->processes[next];
}

static void set_now(struct sim *sim, int64_t now_ns) {
    sim->now_ns = max_i64(sim->now_ns, now_ns);
    sim->wire.now_ns = sim->now_ns;
    sim->history.now_ns = sim->now_ns;
}

void sim_run_until(struct sim *sim, int64_t end_ns, const struct process *except) {
    while (!sim->has_failed && (except == NULL || !except->is_doomed)) {
        struct process *next = find_next(sim);
        int64_t next_ns = next == NULL ? INT64_MAX : sim->due_ns[next->index];
        int64_t plan_ns = plan_next_ns(sim->plan);
        if (min_i64(next_ns, plan_ns) >= end_ns) {
            set_now(sim, end_ns);
            return;
        }
        if (plan_ns <= next_ns) {
            set_now(sim, plan_ns);
            plan_strike(sim->plan);
        } else {
            set_now(sim, next_ns);
            process_turn(next);
        }
    }
}

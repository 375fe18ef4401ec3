/* Processes of the simulation: start, step, end, violent death.
 *
 * A process is stepped on the stack of the scheduler. A death inside a step (between two calls of
 * its disk, or while it waits in a plugin's idle) leaves the step by longjmp; what it had allocated
 * is its owner's and goes with it.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "sim/checks.h"
#include "sim/owner.h"
#include "sim/sim.h"

#define HOT_STEP_MIN_NS (2 * NS_PER_US)
#define HOT_STEP_MAX_NS (20 * NS_PER_US)
#define PARK_MIN_NS (20 * NS_PER_US)
#define RESTART_MIN_NS (50 * NS_PER_MS)
#define RESTART_MAX_NS (1500 * NS_PER_MS)

/* The scheduler looks at these alone, at each step. */
static void note_due(const struct process *process) {
    process->sim->due_ns[process->index] =
        process->is_stepping ? INT64_MAX : max_i64(process->wake_ns, process->paused_until_ns);
}

void process_set_wake(struct process *process, int64_t wake_ns) {
    process->wake_ns = wake_ns;
    note_due(process);
}

void process_pause(struct process *process, int64_t until_ns) {
    process->paused_until_ns = until_ns;
    note_due(process);
}

static void set_stepping(struct process *process, bool is_stepping) {
    process->is_stepping = is_stepping;
    note_due(process);
}

struct process *process_add(struct machine *machine, enum process_kind kind,
                            const struct process_operations *operations) {
    struct sim *sim = machine->sim;
    assert(sim->process_count < SIM_PROCESSES_MAX);
    struct process *process = &sim->processes[sim->process_count];
    *process = (struct process){
        .sim = sim,
        .machine = machine,
        .operations = operations,
        .kind = kind,
        .index = sim->process_count,
        .owner = 1 + 2 * sim->process_count, /* the next one is its plugin's */
        .park_max_ns = sim->options.park_max_ns,
        .slowness = 1,
        .fuse = -1,
    };
    sim->process_count++;
    process_set_wake(process, sim->now_ns + dice_between(&sim->dice, 0, 100 * NS_PER_MS));
    machine->processes[machine->process_count++] = process;
    return process;
}

static void take_back(struct process *process) {
    struct sim *sim = process->sim;
    wire_drop_owner(&sim->wire, process->owner);
    if (process->machine->disk != NULL) {
        disk_drop_owner(process->machine->disk, process->owner);
    }
    checks_on_death(process);
    owner_kill(process->owner);
    owner_kill(process->owner + 1);
    process->instance = NULL;
    process->is_up = false;
    process->is_doomed = false;
    process->fuse = -1;
    process->park_ns = 0;
    process_set_wake(process,
                     sim->now_ns + dice_between(&sim->dice, RESTART_MIN_NS, RESTART_MAX_NS));
}

void process_kill(struct process *process) {
    if (process->is_stepping) {
        process->is_doomed = true;
        return;
    }
    if (process->is_up) {
        history_line(&process->sim->history, "%s: %s is killed", process->machine->name,
                     process->operations->name);
        take_back(process);
    }
}

/* -- inside a step -- */

static _Noreturn void die_here(struct process *process) {
    longjmp(process->exit, 1);
}

void process_burn_fuse(struct process *process) {
    if (process->fuse == 0) {
        die_here(process);
    }
    process->fuse -= process->fuse > 0;
}

void process_idle(struct process *process, int64_t duration_ns) {
    struct sim *sim = process->sim;
    assert(process->is_stepping);
    struct process *before = sim->current;
    int owner = owner_switch(OWNER_SIMULATOR);
    checks_on_wait(process);
    sim_run_until(sim, sim->now_ns + duration_ns, process);
    owner_switch(owner);
    sim->current = before;
    if (process->is_doomed || sim->has_failed) {
        die_here(process);
    }
}

static void on_end(struct process *process, const struct tern_error *error) {
    struct sim *sim = process->sim;
    history_line(&sim->history, "%s: %s ends: %s", process->machine->name,
                 process->operations->name, error->text);
    if (process->is_up) {
        checks_on_death(process);
        process->operations->close(process);
        process->instance = NULL;
        checks_on_closed(process);
    }
}

static int open_process(struct process *process) {
    struct tern_error error = {0};
    process->incarnation++;
    process->disk_errors_before =
        process->machine->disk == NULL ? 0 : process->machine->disk->error_count;
    int result = process->operations->open(process, &error);
    if (result < 0) {
        on_end(process, &error);
        return -1;
    }
    process->is_up = true;
    history_line(&process->sim->history, "%s: %s started (life %d)", process->machine->name,
                 process->operations->name, process->incarnation);
    return 1;
}

static int step(struct process *process) {
    if (!process->is_up) {
        return open_process(process);
    }
    struct tern_error error = {0};
    int work = process->operations->work(process, machine_now(process->machine), &error);
    if (work < 0) {
        on_end(process, &error);
    }
    return work;
}

static void set_wake(struct process *process, int work) {
    struct sim *sim = process->sim;
    int64_t pause_ns;
    if (work > 0) {
        process->park_ns = PARK_MIN_NS;
        pause_ns = dice_between(&sim->dice, HOT_STEP_MIN_NS, HOT_STEP_MAX_NS);
    } else {
        pause_ns = process->park_ns + dice_between(&sim->dice, 0, process->park_ns / 4 + 1000);
        process->park_ns =
            min_i64(process->park_max_ns, max_i64(PARK_MIN_NS, 2 * process->park_ns));
    }
    process_set_wake(process, sim->now_ns + pause_ns * process->slowness);
}

void process_turn(struct process *process) {
    struct sim *sim = process->sim;
    struct process *before = sim->current;
    volatile int work = 0;
    if (!process->is_up && process->is_held_down) {
        process_set_wake(process, INT64_MAX);
        return;
    }
    sim->current = process;
    set_stepping(process, true);
    int owner = owner_switch(process->owner);
    bool is_dead = true;
    if (setjmp(process->exit) == 0) {
        work = step(process);
        is_dead = work < 0;
    } else {
        history_line(&sim->history, "%s: %s is killed in the middle of a step",
                     process->machine->name, process->operations->name);
    }
    owner_switch(owner);
    set_stepping(process, false);
    sim->current = before;
    sim->step_count++;
    history_mix(&sim->history, (uint64_t)sim->now_ns << 8 ^ (uint64_t)process->index << 4 ^
                                   (uint64_t)(unsigned)work);
    if (is_dead || process->is_doomed) {
        take_back(process);
        return;
    }
    set_wake(process, work);
    checks_after_step(process, work);
}

void process_stop(struct process *process) {
    assert(!process->is_stepping);
    if (process->is_up) {
        struct sim *sim = process->sim;
        struct process *before = sim->current;
        history_line(&sim->history, "%s: %s is stopped", process->machine->name,
                     process->operations->name);
        checks_on_death(process);
        sim->current = process;
        int owner = owner_switch(process->owner);
        process->operations->close(process);
        process->instance = NULL;
        owner_switch(owner);
        sim->current = before;
        checks_on_closed(process);
        take_back(process);
    }
}

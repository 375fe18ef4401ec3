/* See plan.h. Every strike is drawn when it is due, lasts a while and is taken back by itself; at
 * the end of the plan everything is. Wall clocks stay where they were put.
 *
 * What may strike is bounded by what the configuration promises: a loss of power needs files that
 * are synced before a position is reported (sync level 1 or 2).
 */
#include "sim/plan.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"
#include "sim/checks.h"

#define ACTIVE_MAX 32
#define STRIKE_MIN_NS (50 * NS_PER_MS)
#define STRIKE_MAX_NS (8 * NS_PER_S)
#define LASTS_MIN_NS (20 * NS_PER_MS)
#define LASTS_MAX_NS (12 * NS_PER_S)
#define SYNC_DELAY_MAX_NS (2 * NS_PER_S)
#define FUSE_MAX 60
#define LINK_DELAY_MIN_NS (50 * NS_PER_US)
#define LINK_DELAY_MAX_NS (80 * NS_PER_US)

enum strike_kind {
    STRIKE_CUT,       /* one direction of a link */
    STRIKE_ISOLATE,   /* a machine: both directions, or one of them, to everybody */
    STRIKE_SPLIT,     /* the machines in two groups */
    STRIKE_BAD_LINKS, /* loss, duplicates, garbage, flipped bits, delay, rate of all links of a
                         machine */
    STRIKE_MTU,       /* a link refuses long datagrams */
    STRIKE_GONE,      /* the address of a machine */
    STRIKE_FULL,      /* a disk */
    STRIKE_DISK_ERRORS,
    STRIKE_WALL_CLOCK, /* is stepped */
    STRIKE_DRIFT,
    STRIKE_KILL,
    STRIKE_KILL_INSIDE, /* between two calls of the disk */
    STRIKE_KILL_NODE,
    STRIKE_POWER,
    STRIKE_POWER_ALL,
    STRIKE_DOWN, /* a daemon is not restarted for a while */
    STRIKE_PAUSE,
    STRIKE_PAUSE_NODE,
    STRIKE_SLOW,
    STRIKE_SLOW_SYNC,
    STRIKE_WIPE, /* a disk, where the others hold everything */
    STRIKE_COUNT,
};

static const unsigned needed_faults[STRIKE_COUNT] = {
    [STRIKE_CUT] = SIM_FAULT_NET,          [STRIKE_ISOLATE] = SIM_FAULT_NET,
    [STRIKE_SPLIT] = SIM_FAULT_NET,        [STRIKE_BAD_LINKS] = SIM_FAULT_NET | SIM_FAULT_CORRUPT,
    [STRIKE_MTU] = SIM_FAULT_NET,          [STRIKE_GONE] = SIM_FAULT_NET,
    [STRIKE_FULL] = SIM_FAULT_DISK,        [STRIKE_DISK_ERRORS] = SIM_FAULT_DISK,
    [STRIKE_WALL_CLOCK] = SIM_FAULT_CLOCK, [STRIKE_DRIFT] = SIM_FAULT_CLOCK,
    [STRIKE_KILL] = SIM_FAULT_CRASH,       [STRIKE_KILL_INSIDE] = SIM_FAULT_CRASH,
    [STRIKE_KILL_NODE] = SIM_FAULT_CRASH,  [STRIKE_POWER] = SIM_FAULT_CRASH,
    [STRIKE_POWER_ALL] = SIM_FAULT_CRASH,  [STRIKE_DOWN] = SIM_FAULT_CRASH,
    [STRIKE_PAUSE] = SIM_FAULT_CRASH,      [STRIKE_PAUSE_NODE] = SIM_FAULT_CRASH,
    [STRIKE_SLOW] = SIM_FAULT_CRASH,       [STRIKE_SLOW_SYNC] = SIM_FAULT_DISK,
    [STRIKE_WIPE] = SIM_FAULT_DISK,
};

struct strike {
    enum strike_kind kind;
    struct machine *machine;
    struct process *process;
    int64_t end_ns;
};

struct plan {
    struct sim *sim;
    struct dice dice;
    int64_t end_ns;
    int64_t strike_ns; /* of the next one */
    int64_t mean_ns;   /* between two */
    double weights[STRIKE_COUNT];
    struct strike active[ACTIVE_MAX];
    int active_count;
    int64_t count;
};

/* Each run has its own taste, so that some do one thing all the time. */
static void choose_weights(struct plan *plan) {
    const struct sim_options *options = &plan->sim->options;
    for (int i = 0; i < STRIKE_COUNT; i++) {
        bool is_allowed = (options->faults & needed_faults[i]) != 0;
        bool needs_sync = i == STRIKE_POWER || i == STRIKE_POWER_ALL;
        double weight = dice_chance(&plan->dice, 0.4) ? dice_unit(&plan->dice) : 0;
        plan->weights[i] = is_allowed && (!needs_sync || options->sync_level > 0) ? weight : 0;
    }
}

static int64_t draw_pause(struct plan *plan) {
    return dice_between(&plan->dice, STRIKE_MIN_NS, 2 * plan->mean_ns);
}

struct plan *plan_create(struct sim *sim, int64_t start_ns, int64_t end_ns) {
    struct plan *plan = calloc(1, sizeof *plan);
    assert(plan != NULL);
    *plan = (struct plan){.sim = sim, .dice = {dice_next(&sim->dice)}, .end_ns = end_ns};
    plan->mean_ns = dice_scale(&plan->dice, STRIKE_MIN_NS, STRIKE_MAX_NS);
    plan->strike_ns = start_ns + draw_pause(plan);
    choose_weights(plan);
    return plan;
}

void plan_destroy(struct plan *plan) {
    free(plan);
}

/* -- who and what -- */

static bool draw_kind(struct plan *plan, enum strike_kind *kind) {
    double sum = 0;
    for (int i = 0; i < STRIKE_COUNT; i++) {
        sum += plan->weights[i];
    }
    double at = dice_unit(&plan->dice) * sum;
    for (int i = 0; i < STRIKE_COUNT; i++) {
        at -= plan->weights[i];
        if (plan->weights[i] > 0 && at <= 0) {
            *kind = (enum strike_kind)i;
            return true;
        }
    }
    return false;
}

static struct machine *draw_node(struct plan *plan) {
    return &plan->sim->machines[dice_between(&plan->dice, 0, plan->sim->options.node_count - 1)];
}

static struct machine *draw_machine(struct plan *plan) {
    return &plan->sim->machines[dice_between(&plan->dice, 0, plan->sim->machine_count - 1)];
}

static struct process *draw_process(struct plan *plan) {
    return &plan->sim->processes[dice_between(&plan->dice, 0, plan->sim->process_count - 1)];
}

/* -- network -- */

static struct wire_link *link_of(struct plan *plan, int from, int to) {
    return &plan->sim->wire.links[from][to];
}

static void cut(struct plan *plan, int from, int to) {
    if (from != to) {
        link_of(plan, from, to)->is_cut = true;
    }
}

static void isolate(struct plan *plan, int index) {
    int directions = (int)dice_between(&plan->dice, 1, 3);
    for (int i = 0; i < plan->sim->machine_count; i++) {
        if ((directions & 1) != 0) {
            cut(plan, index, i);
        }
        if ((directions & 2) != 0) {
            cut(plan, i, index);
        }
    }
}

static void split(struct plan *plan) {
    uint64_t groups = dice_next(&plan->dice);
    for (int i = 0; i < plan->sim->machine_count; i++) {
        for (int j = 0; j < plan->sim->machine_count; j++) {
            if (((groups >> i) & 1) != ((groups >> j) & 1)) {
                cut(plan, i, j);
            }
        }
    }
}

static void spoil_links(struct plan *plan, int index) {
    struct dice *dice = &plan->dice;
    const struct wire_link bad = {
        .loss = dice_chance(dice, 0.6) ? 0.4 * dice_unit(dice) * dice_unit(dice) : 0,
        .duplication = dice_chance(dice, 0.4) ? 0.2 * dice_unit(dice) : 0,
        .garbage = dice_chance(dice, 0.3) ? 0.05 * dice_unit(dice) : 0,
        .flip = dice_chance(dice, 0.3) ? 0.05 * dice_unit(dice) : 0,
        .delay_min_ns = LINK_DELAY_MIN_NS,
        .delay_max_ns = dice_scale(dice, LINK_DELAY_MAX_NS, 100 * NS_PER_MS),
        .bytes_per_s = dice_chance(dice, 0.2) ? dice_scale(dice, 20000, 10000000) : 0,
    };
    for (int i = 0; i < plan->sim->machine_count; i++) {
        struct wire_link *out = link_of(plan, index, i);
        bool is_cut = out->is_cut;
        *out = bad;
        out->is_cut = is_cut;
    }
}

static void heal_links(struct plan *plan) {
    for (int i = 0; i < WIRE_HOSTS_MAX; i++) {
        for (int j = 0; j < WIRE_HOSTS_MAX; j++) {
            *link_of(plan, i, j) = (struct wire_link){.delay_min_ns = LINK_DELAY_MIN_NS,
                                                      .delay_max_ns = LINK_DELAY_MAX_NS};
        }
    }
}

/* -- strikes -- */

static void strike_network(struct plan *plan, struct strike *strike) {
    struct sim *sim = plan->sim;
    struct machine *machine = strike->machine;
    struct machine *other = draw_machine(plan);
    switch (strike->kind) {
    case STRIKE_CUT:
        cut(plan, machine->index, other->index);
        history_line(&sim->history, "plan: cut %s to %s", machine->name, other->name);
        break;
    case STRIKE_ISOLATE:
        isolate(plan, machine->index);
        history_line(&sim->history, "plan: isolate %s", machine->name);
        break;
    case STRIKE_SPLIT:
        split(plan);
        history_line(&sim->history, "plan: split the network");
        break;
    case STRIKE_BAD_LINKS:
        spoil_links(plan, machine->index);
        history_line(&sim->history, "plan: bad links from %s", machine->name);
        break;
    case STRIKE_MTU:
        link_of(plan, machine->index, other->index)->length_max =
            (uint32_t)dice_between(&plan->dice, 100, 1400);
        history_line(&sim->history, "plan: small MTU from %s to %s", machine->name, other->name);
        break;
    default:
        machine->host->is_gone = true;
        history_line(&sim->history, "plan: the address of %s is gone", machine->name);
        break;
    }
}

static void strike_disk(struct plan *plan, struct strike *strike) {
    struct disk_faults *faults = &strike->machine->disk->faults;
    if (strike->kind == STRIKE_FULL) {
        faults->is_full = true;
        history_line(&plan->sim->history, "plan: the disk of %s is full", strike->machine->name);
        return;
    }
    if (strike->kind == STRIKE_SLOW_SYNC) {
        faults->sync_delay_max_ns = dice_scale(&plan->dice, NS_PER_MS, SYNC_DELAY_MAX_NS);
        history_line(&plan->sim->history, "plan: a sync of %s takes up to %lld ms",
                     strike->machine->name, (long long)(faults->sync_delay_max_ns / NS_PER_MS));
        return;
    }
    double rate = dice_chance(&plan->dice, 0.5) ? 0.01 : 0.2;
    faults->read_error = dice_chance(&plan->dice, 0.4) ? rate : 0;
    faults->write_error = dice_chance(&plan->dice, 0.6) ? rate : 0;
    faults->sync_error = dice_chance(&plan->dice, 0.6) ? rate : 0;
    history_line(&plan->sim->history, "plan: the disk of %s fails: read %.2f write %.2f sync %.2f",
                 strike->machine->name, faults->read_error, faults->write_error,
                 faults->sync_error);
}

static void wipe(struct plan *plan, struct machine *machine) {
    if (checks_may_lose_disk(plan->sim, machine)) {
        machine_lose_disk(machine);
        checks_on_disk_lost(plan->sim, machine);
    }
}

static void strike_clock(struct plan *plan, struct strike *strike) {
    struct machine *machine = strike->machine;
    int64_t sign = dice_chance(&plan->dice, 0.5) ? 1 : -1;
    if (strike->kind == STRIKE_DRIFT) {
        machine_set_drift(machine, sign * dice_scale(&plan->dice, 10, 100000));
        history_line(&plan->sim->history, "plan: the clock of %s drifts by %lld ppm", machine->name,
                     (long long)machine->drift_ppm);
        return;
    }
    int64_t step_ns = sign * dice_scale(&plan->dice, NS_PER_MS, 3600 * NS_PER_S);
    machine->wall_offset_ns += step_ns;
    history_line(&plan->sim->history, "plan: the wall clock of %s steps by %lld ms", machine->name,
                 (long long)(step_ns / NS_PER_MS));
}

static void kill_machine(struct machine *machine) {
    for (int i = 0; i < machine->process_count; i++) {
        process_kill(machine->processes[i]);
    }
}

static void strike_power(struct plan *plan, const struct strike *strike) {
    double survival = dice_chance(&plan->dice, 0.3) ? 0 : dice_unit(&plan->dice);
    for (int i = 0; i < plan->sim->options.node_count; i++) {
        struct machine *machine = &plan->sim->machines[i];
        if (strike->kind == STRIKE_POWER_ALL || machine == strike->machine) {
            machine_lose_power(machine, survival);
        }
    }
}

static void strike_process(struct plan *plan, struct strike *strike) {
    struct history *history = &plan->sim->history;
    struct process *process = strike->process;
    const char *machine = process->machine->name;
    const char *name = process->operations->name;
    switch (strike->kind) {
    case STRIKE_KILL:
        process_kill(process);
        break;
    case STRIKE_KILL_INSIDE:
        process->fuse = (int)dice_between(&plan->dice, 0, FUSE_MAX);
        history_line(history, "plan: %s: %s dies after %d calls", machine, name, process->fuse);
        break;
    case STRIKE_DOWN:
        process_kill(process);
        process->is_held_down = true;
        history_line(history, "plan: %s: %s stays down", machine, name);
        break;
    case STRIKE_PAUSE:
        process_pause(process, strike->end_ns);
        history_line(history, "plan: %s: %s is paused", machine, name);
        break;
    default:
        process->slowness = (int)dice_scale(&plan->dice, 2, 100);
        history_line(history, "plan: %s: %s is %d times slower", machine, name, process->slowness);
        break;
    }
}

static void begin(struct plan *plan, struct strike *strike) {
    switch (strike->kind) {
    case STRIKE_CUT:
    case STRIKE_ISOLATE:
    case STRIKE_SPLIT:
    case STRIKE_BAD_LINKS:
    case STRIKE_MTU:
    case STRIKE_GONE:
        strike_network(plan, strike);
        break;
    case STRIKE_FULL:
    case STRIKE_DISK_ERRORS:
    case STRIKE_SLOW_SYNC:
        strike_disk(plan, strike);
        break;
    case STRIKE_WIPE:
        wipe(plan, strike->machine);
        break;
    case STRIKE_WALL_CLOCK:
    case STRIKE_DRIFT:
        strike_clock(plan, strike);
        break;
    case STRIKE_KILL_NODE:
        history_line(&plan->sim->history, "plan: kill all of %s", strike->machine->name);
        kill_machine(strike->machine);
        break;
    case STRIKE_POWER:
    case STRIKE_POWER_ALL:
        strike_power(plan, strike);
        break;
    case STRIKE_PAUSE_NODE:
        history_line(&plan->sim->history, "plan: pause %s", strike->machine->name);
        for (int i = 0; i < strike->machine->process_count; i++) {
            process_pause(strike->machine->processes[i], strike->end_ns);
        }
        break;
    default:
        strike_process(plan, strike);
        break;
    }
}

static void end(struct plan *plan, const struct strike *strike) {
    switch (strike->kind) {
    case STRIKE_CUT:
    case STRIKE_ISOLATE:
    case STRIKE_SPLIT:
    case STRIKE_BAD_LINKS:
    case STRIKE_MTU:
        history_line(&plan->sim->history, "plan: the links are healed");
        heal_links(plan);
        break;
    case STRIKE_GONE:
        strike->machine->host->is_gone = false;
        history_line(&plan->sim->history, "plan: the address of %s is back", strike->machine->name);
        break;
    case STRIKE_FULL:
    case STRIKE_DISK_ERRORS:
    case STRIKE_SLOW_SYNC:
        strike->machine->disk->faults = (struct disk_faults){0};
        history_line(&plan->sim->history, "plan: the disk of %s is well", strike->machine->name);
        break;
    case STRIKE_DRIFT:
        machine_set_drift(strike->machine, 0);
        break;
    case STRIKE_DOWN:
        strike->process->is_held_down = false;
        process_set_wake(strike->process, plan->sim->now_ns);
        break;
    case STRIKE_SLOW:
        strike->process->slowness = 1;
        break;
    case STRIKE_KILL_INSIDE:
        strike->process->fuse = -1;
        break;
    default:
        break;
    }
}

/* -- the plan -- */

static int first_to_end(const struct plan *plan) {
    int first = -1;
    for (int i = 0; i < plan->active_count; i++) {
        if (first < 0 || plan->active[i].end_ns < plan->active[first].end_ns) {
            first = i;
        }
    }
    return first;
}

int64_t plan_next_ns(const struct plan *plan) {
    if (plan == NULL) {
        return INT64_MAX;
    }
    int first = first_to_end(plan);
    return first < 0 ? plan->strike_ns : min_i64(plan->strike_ns, plan->active[first].end_ns);
}

static void draw_strike(struct plan *plan) {
    struct strike strike;
    plan->strike_ns += draw_pause(plan);
    if (plan->strike_ns >= plan->end_ns) {
        plan->strike_ns = INT64_MAX;
    }
    if (plan->active_count == ACTIVE_MAX || !draw_kind(plan, &strike.kind)) {
        return;
    }
    bool is_disk = (needed_faults[strike.kind] & SIM_FAULT_DISK) != 0;
    strike.machine =
        is_disk || dice_chance(&plan->dice, 0.8) ? draw_node(plan) : draw_machine(plan);
    strike.process = draw_process(plan);
    strike.end_ns = min_i64(plan->end_ns, plan->sim->now_ns +
                                              dice_scale(&plan->dice, LASTS_MIN_NS, LASTS_MAX_NS));
    plan->count++;
    begin(plan, &strike);
    plan->active[plan->active_count++] = strike;
}

void plan_strike(struct plan *plan) {
    int first = first_to_end(plan);
    if (first >= 0 && plan->active[first].end_ns <= plan->sim->now_ns) {
        struct strike over = plan->active[first];
        plan->active[first] = plan->active[--plan->active_count];
        end(plan, &over);
        return;
    }
    draw_strike(plan);
}

/* Machines: clocks, and the loss of power. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/directory.h"
#include "sim/owner.h"
#include "sim/sim.h"

#define EPOCH_NS (INT64_C(1700000000) * NS_PER_S)

int64_t machine_now(const struct machine *machine) {
    int64_t passed_ns = machine->sim->now_ns - machine->since_ns;
    return machine->mono_ns + passed_ns + passed_ns * machine->drift_ppm / 1000000;
}

int64_t machine_epoch(const struct machine *machine) {
    return EPOCH_NS + machine_now(machine) + machine->wall_offset_ns;
}

void machine_set_drift(struct machine *machine, int64_t drift_ppm) {
    machine->mono_ns = machine_now(machine);
    machine->since_ns = machine->sim->now_ns;
    machine->drift_ppm = drift_ppm;
}

static int64_t now_ns(void *context) {
    return machine_now(context);
}

static int64_t epoch_ns(void *context) {
    return machine_epoch(context);
}

static void on_operation(void *context, enum disk_operation operation, const char *path) {
    struct machine *machine = context;
    (void)operation;
    (void)path;
    if (machine->sim->current != NULL) {
        process_burn_fuse(machine->sim->current);
    }
}

struct machine *machine_add(struct sim *sim, bool is_node) {
    assert(sim->machine_count < SIM_MACHINES_MAX);
    struct machine *machine = &sim->machines[sim->machine_count];
    *machine = (struct machine){.sim = sim,
                                .index = sim->machine_count,
                                .is_node = is_node,
                                .clock = {machine, now_ns, epoch_ns},
                                .dice = {dice_next(&sim->dice)},
                                .since_ns = sim->now_ns};
    sim->machine_count++;
    machine->mono_ns = dice_between(&sim->dice, 10, 1000) * NS_PER_S;
    machine->random = dice_random(&machine->dice);
    machine->host = wire_add_host(&sim->wire);
    char directory[SIM_PATH_MAX];
    (void)snprintf(machine->name, sizeof machine->name, is_node ? "n%d" : "c%d", machine->index);
    int length = snprintf(directory, sizeof directory, "%s/%s", sim->directory, machine->name);
    assert(length > 0 && length < (int)sizeof directory);
    memcpy(machine->directory, directory, (size_t)length + 1);
    int result = mkdir(machine->directory, 0777);
    assert(result == 0);
    (void)result;
    machine->io = io_system();
    machine->io.clock = &machine->clock;
    machine->io.random = &machine->random;
    machine->io.net = &machine->host->table;
    if (is_node) {
        struct dice *dice = malloc(sizeof *dice);
        machine->disk = malloc(sizeof *machine->disk);
        assert(dice != NULL && machine->disk != NULL);
        dice->state = dice_next(&sim->dice);
        disk_init(machine->disk, dice_random(dice));
        machine->disk->on_operation = on_operation;
        machine->disk->context = machine;
    }
    return machine;
}

void machine_lose_power(struct machine *machine, double survival) {
    history_line(&machine->sim->history, "%s: the power goes", machine->name);
    for (int i = 0; i < machine->process_count; i++) {
        process_kill(machine->processes[i]);
    }
    char path[SIM_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/driver", machine->directory);
    directory_delete(path); /* shared memory */
    if (machine->disk != NULL) {
        for (int i = 0; i < machine->process_count; i++) {
            disk_drop_owner(machine->disk, machine->processes[i]->owner);
        }
        disk_lose_power(machine->disk, survival);
    }
}

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

/* A slow sync: the caller stands still before a byte is durable, others go on meanwhile; it may be
 * killed there. What is closed in order is not held up. */
static void wait_for_sync(struct disk *disk, struct process *process) {
    int64_t max_ns = disk->faults.sync_delay_max_ns;
    if (max_ns > 0 && process->is_stepping) {
        process_idle(process, (int64_t)(random_unit(&disk->random) * (double)max_ns));
    }
}

static void on_operation(void *context, enum disk_operation operation, const char *path) {
    struct machine *machine = context;
    struct process *process = machine->sim->current;
    (void)path;
    if (process == NULL) {
        return;
    }
    process_burn_fuse(process);
    if (operation == DISK_SYNC) {
        wait_for_sync(machine->disk, process);
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

static void delete_directory(const struct machine *machine, const char *name) {
    char path[SIM_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", machine->directory, name);
    directory_delete(path);
}

/* All processes die, with their shared memory and their open files. */
static void stop_dead(struct machine *machine) {
    for (int i = 0; i < machine->process_count; i++) {
        process_kill(machine->processes[i]);
    }
    delete_directory(machine, "driver");
    for (int i = 0; machine->disk != NULL && i < machine->process_count; i++) {
        disk_drop_owner(machine->disk, machine->processes[i]->owner);
    }
}

void machine_lose_power(struct machine *machine, double survival) {
    history_line(&machine->sim->history, "%s: the power goes", machine->name);
    stop_dead(machine);
    if (machine->disk != NULL) {
        disk_lose_power(machine->disk, survival);
    }
}

void machine_lose_disk(struct machine *machine) {
    history_line(&machine->sim->history, "%s: the disk is lost", machine->name);
    stop_dead(machine);
    disk_wipe(machine->disk);
    delete_directory(machine, "archive"); /* mark files */
    delete_directory(machine, "cluster");
}

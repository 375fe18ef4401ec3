/* A cluster in one process and one thread: nodes with a driver, an archive, a consensus module and
 * a service each, client machines, the network between them, and a scheduler that decides from a
 * seed who is stepped next.
 *
 * Time jumps from one wake-up to the next. A process that did work is stepped again soon, one that
 * had none later and later, as an idle strategy does it; datagrams wake the driver they are for.
 */
#ifndef TERN_SIM_SIM_H
#define TERN_SIM_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/io.h"
#include "sim/dice.h"
#include "sim/disk.h"
#include "sim/history.h"
#include "sim/wire.h"

#define SIM_NODES_MAX 5
#define SIM_CLIENTS_MAX 8
#define SIM_MACHINES_MAX (SIM_NODES_MAX + 1)
#define SIM_BESIDE_MAX 12 /* processes beside the cluster */
#define SIM_PROCESSES_MAX (SIM_NODES_MAX * 4 + 1 + SIM_CLIENTS_MAX + SIM_BESIDE_MAX)
#define SIM_PATH_MAX 128
#define NODE_SEGMENT_LENGTH (256 * 1024) /* of recordings */

struct sim;
struct machine;
struct process;

enum process_kind {
    PROCESS_DRIVER,
    PROCESS_ARCHIVE,
    PROCESS_CONSENSUS,
    PROCESS_SERVICE,
    PROCESS_CLIENT,
    PROCESS_STREAM,
    PROCESS_RECORDER,
};

/* How a kind of process lives; `process->instance` is what open made. */
struct process_operations {
    const char *name;
    /* 0 or a negative code with a text. */
    int (*open)(struct process *process, struct tern_error *error);
    /* Work done; negative when the process ends by itself, with a text. */
    int (*work)(struct process *process, int64_t now_ns, struct tern_error *error);
    /* End in order. */
    void (*close)(struct process *process);
};

struct process {
    struct sim *sim;
    struct machine *machine;
    const struct process_operations *operations;
    enum process_kind kind;
    int index;
    void *context; /* of a process beside the cluster: what it belongs to, */
    int number;    /* and its number there */
    int owner;
    void *instance;
    bool is_up;
    bool is_held_down; /* not restarted */
    int incarnation;
    int64_t wake_ns;
    int64_t park_ns;
    int64_t park_max_ns;
    int64_t paused_until_ns;
    int slowness; /* its steps come so many times later */
    /* while it is stepped */
    bool is_stepping;
    bool is_doomed; /* killed as soon as its step is left: it waits inside it */
    int fuse;       /* calls of its disk until it is killed inside of one; negative: never */
    jmp_buf exit;
    int64_t disk_errors_before; /* of the machine's disk, when it started */
    int64_t allocations;        /* seen by the allocation check */
};

/* A node, or a machine for clients. */
struct machine {
    struct sim *sim;
    int index;
    bool is_node;
    char name[8];
    char directory[SIM_PATH_MAX];
    struct wire_host *host;
    struct disk *disk; /* nodes */
    struct clock clock;
    struct dice dice; /* of its daemons: the random seam */
    struct random random;
    struct io io;
    /* the monotonic clock of the machine is mono_ns + (now - since_ns) * (1 + drift_ppm / 1e6) */
    int64_t mono_ns;
    int64_t since_ns;
    int64_t drift_ppm;
    int64_t wall_offset_ns;
    void *conf; /* of its daemons */
    struct process *processes[4 + SIM_CLIENTS_MAX + SIM_BESIDE_MAX];
    int process_count;
};

enum sim_fault_kinds {
    SIM_FAULT_NET = 1,
    SIM_FAULT_DISK = 2,
    SIM_FAULT_CLOCK = 4,
    SIM_FAULT_CRASH = 8,
    SIM_FAULT_CORRUPT = 16, /* bits flipped where nobody can tell: only when asked for */
};

struct sim_options {
    uint64_t seed;
    int node_count;
    int client_count;
    int64_t duration_ns;
    unsigned faults;
    const char *workload;
    bool is_tracing;
    int sync_level;
    const char *checksum; /* of the frames of recordings; NULL: none */
    int64_t park_max_ns;
    int64_t rate_hz;              /* of all clients together */
    int64_t snapshot_interval_ns; /* 0: none */
    int64_t stream_hz;            /* messages of the stream beside the cluster; 0: no stream */
    bool has_timers;              /* and messages of services */
    bool has_long_messages;       /* of services, which come in fragments */
    const char *transport;        /* its way; NULL: none */
    int64_t transport_hz;         /* messages of each of its publishers */
    bool is_archive_by_response;  /* answers the recorder by a response channel */
    int64_t record_hz;            /* messages recorded beside the cluster; 0: no recordings */
};

struct workload;
struct plan;
struct stream;
struct exchange;
struct recorder;
struct checks;

struct sim {
    struct sim_options options;
    char directory[64];
    int64_t now_ns;
    struct dice dice; /* of the scheduler */
    struct wire wire;
    struct history history;
    struct machine machines[SIM_MACHINES_MAX];
    int machine_count;
    struct process processes[SIM_PROCESSES_MAX];
    int process_count;
    int64_t due_ns[SIM_PROCESSES_MAX]; /* process by process, when it is stepped next */
    struct process *current;           /* innermost being stepped */
    const struct workload *workload;
    void *workload_state;
    struct plan *plan;
    struct stream *stream;     /* NULL: none */
    struct stream *transport;  /* NULL: none, or no stream */
    struct exchange *exchange; /* NULL: none, or no exchange */
    struct recorder *recorder; /* NULL: none */
    struct checks *checks;
    int64_t step_count;
    bool has_failed;
    char failure[512];
};

/* The first broken rule ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);

/* -- process.c -- */

struct process *process_add(struct machine *machine, enum process_kind kind,
                            const struct process_operations *operations);
/* One turn: a step, or a start when it is down. */
void process_turn(struct process *process);
/* It wakes at this time, unless it is paused for longer. */
void process_set_wake(struct process *process, int64_t wake_ns);
/* As by SIGSTOP. */
void process_pause(struct process *process, int64_t until_ns);
/* As by SIGKILL. */
void process_kill(struct process *process);
/* As by SIGTERM. */
void process_stop(struct process *process);
/* Wait inside a step: others run meanwhile. */
void process_idle(struct process *process, int64_t duration_ns);
/* Burn the fuse, if there is one. May not return. */
void process_burn_fuse(struct process *process);

/* -- machine.c -- */

struct machine *machine_add(struct sim *sim, bool is_node);
int64_t machine_now(const struct machine *machine);
int64_t machine_epoch(const struct machine *machine);
void machine_set_drift(struct machine *machine, int64_t drift_ppm);
/* All processes die at once and the disk loses what was not durable. */
void machine_lose_power(struct machine *machine, double survival);
/* All processes die at once and an empty disk takes the place of the node's. */
void machine_lose_disk(struct machine *machine);

/* -- node.c -- */

struct machine *node_add(struct sim *sim);
struct machine *client_machine_add(struct sim *sim);

/* -- schedule.c -- */

/* Run until the time comes or a rule breaks; `except` is not stepped (NULL: all are). */
void sim_run_until(struct sim *sim, int64_t end_ns, const struct process *except);

#endif

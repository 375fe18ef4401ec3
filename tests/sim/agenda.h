/* What a service does beside its workload, on every member alike: it schedules, moves and cancels
 * timers and puts messages to its cluster, upon entries of the log and by dice that are part of its
 * state. The observer hands it what is its own; check_timers.h says what must come of it. */
#ifndef TERN_SIM_AGENDA_H
#define TERN_SIM_AGENDA_H

#include <tern/service.h>

#include "sim/sim.h"

struct agenda {
    struct process *process;
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
    bool is_on;
    /* the state, as it stands in snapshots */
    struct agenda_state {
        uint64_t dice;
        int64_t next_timer; /* of those that are scheduled once */
        int64_t offered;
        int64_t received;
        int64_t fired;
    } state;
};

void agenda_init(struct agenda *agenda, struct process *process, struct tern_service_host *host,
                 const struct tern_service_operations *operations);
uint64_t agenda_hash(const struct agenda *agenda);

/* The workload's service was given a message of a client. */
void agenda_on_entry(struct agenda *agenda, int64_t timestamp);
/* True when it was the agenda's. */
bool agenda_on_message(struct agenda *agenda, const uint8_t *buffer, int32_t length,
                       int64_t timestamp);
bool agenda_on_timer(struct agenda *agenda, int64_t timer_id, int64_t timestamp);

/* Its message comes first in the plugin's part of a snapshot. 0 or a negative code. */
int agenda_save(const struct agenda *agenda, struct tern_service_snapshot *snapshot);
int agenda_load(struct agenda *agenda, struct tern_service_snapshot *snapshot);

/* Nothing that was offered is outstanding, and no timer is overdue. */
bool agenda_is_level(const struct sim *sim);
/* The rules at the end of a run. */
void agenda_check_end(struct sim *sim);

#endif

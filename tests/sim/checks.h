/* All rules of a run, and where the simulator tells them what happens. */
#ifndef TERN_SIM_CHECKS_H
#define TERN_SIM_CHECKS_H

#include "sim/check_log.h"
#include "sim/check_quorum.h"
#include "sim/check_terms.h"
#include "sim/check_timers.h"
#include "sim/sim.h"

struct checks {
    struct check_terms terms;
    struct check_log log;
    struct check_quorum quorum;
    struct check_timers timers;
    int64_t vote_count;
    int64_t leader_count;
    int32_t last_leader;
    int64_t last_leader_term;
    bool is_calm; /* nothing but the load happens: nobody allocates */
};

void checks_init(struct checks *checks, int node_count);
void checks_close(struct checks *checks);

/* After each step of a process. */
void checks_after_step(struct process *process, int work);
/* A process was closed in order: it may own nothing any more. */
void checks_on_closed(struct process *process);
/* It waits inside a step, and what it sent in there may be answered meanwhile. */
void checks_on_wait(struct process *process);
void checks_on_death(struct process *process);
/* A daemon says that it cannot work with what it found. */
void checks_on_refusal(struct process *process, const struct tern_error *error);
/* Every member leads or follows. */
bool checks_are_members_settled(const struct sim *sim);
/* All services are at the end of the log: so must be the recordings of it. */
void checks_on_settled(struct sim *sim);
/* Whether a node may lose its disk and come back under its own number: the others hold all that it
 * holds, and no vote that it gave is needed any more. */
bool checks_may_lose_disk(const struct sim *sim, const struct machine *machine);
void checks_on_disk_lost(struct sim *sim, const struct machine *machine);
void checks_on_datagram(struct sim *sim, const struct wire_datagram *datagram);

#endif

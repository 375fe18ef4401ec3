/* What strikes when: faults by seed between two quiet phases. */
#ifndef TERN_SIM_PLAN_H
#define TERN_SIM_PLAN_H

#include "sim/sim.h"

struct plan;

struct plan *plan_create(struct sim *sim, int64_t start_ns, int64_t end_ns);
void plan_destroy(struct plan *plan);
/* INT64_MAX: nothing more. */
int64_t plan_next_ns(const struct plan *plan);
void plan_strike(struct plan *plan);

#endif

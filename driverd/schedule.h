/* When something has to be done for whom: deadlines, coarsely (8.2 number 10).
 *
 * A wheel of slots of SCHEDULE_STEP_NS. A deadline is kept to the next step, so that what many
 * streams do by the clock falls together, and an idle thread wakes at most so often. Farther than
 * the wheel goes nobody is kept: a node comes too early then and is put in again.
 *
 *     while ((node = schedule_take(&schedule, now_ns)) != NULL) { ... schedule_put(...); }
 */
#ifndef DRIVERD_SCHEDULE_H
#define DRIVERD_SCHEDULE_H

#include <stdint.h>

#include "base/clock.h"

#define SCHEDULE_STEP_NS (10 * NS_PER_MS)
#define SCHEDULE_SLOTS 32

/* In each item; a zeroed one is in no schedule. */
struct schedule_node {
    struct schedule_node *next;
    struct schedule_node **link; /* what points to it; NULL: in no schedule */
};

/* A zeroed one is empty. */
struct schedule {
    struct schedule_node *slots[SCHEDULE_SLOTS];
    struct schedule_node *due;
    int64_t step; /* the next that becomes due */
};

/* Instead of the deadline that it had. INT64_MAX: none. */
void schedule_put(struct schedule *schedule, struct schedule_node *node, int64_t deadline_ns);
/* At once. */
void schedule_now(struct schedule *schedule, struct schedule_node *node);
void schedule_remove(struct schedule_node *node);
/* One that is due, out of the schedule; NULL: none. */
struct schedule_node *schedule_take(struct schedule *schedule, int64_t now_ns);
/* When the next one is due; INT64_MAX: never. */
int64_t schedule_next_ns(const struct schedule *schedule);

#endif

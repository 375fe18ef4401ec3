/* How long an agent's duty cycles take: the longest, and how many took too long (media-driver.md
 * 6.9). One per agent; the counters have no other writer. */
#ifndef DRIVERD_DUTY_CYCLE_H
#define DRIVERD_DUTY_CYCLE_H

#include "driverd/driver_context.h"

struct duty_cycle {
    int64_t last_ns; /* 0: none yet; other threads look whether it moves */
    int64_t threshold_ns;
    int64_t *max_counter;
    int64_t *exceeded_counter;
};

static inline void duty_cycle_init(struct duty_cycle *cycle, const struct driver_context *context,
                                   enum system_counter max_counter, int64_t threshold_ns) {
    *cycle = (struct duty_cycle){
        .threshold_ns = threshold_ns,
        .max_counter = context->system_counters[max_counter],
        .exceeded_counter = context->system_counters[max_counter + 1],
    };
}

/* At the start of each cycle. */
static inline void duty_cycle_measure(struct duty_cycle *cycle, int64_t now_ns) {
    int64_t elapsed_ns = cycle->last_ns == 0 ? 0 : now_ns - cycle->last_ns;
    store_release_i64(&cycle->last_ns, now_ns); /* the cycle before is over: are_agents_past */
    counter_propose_max(cycle->max_counter, elapsed_ns);
    if (elapsed_ns > cycle->threshold_ns) {
        counter_increment_single_writer(cycle->exceeded_counter, 1);
    }
}

#endif

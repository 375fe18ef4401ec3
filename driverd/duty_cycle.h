/* How long an agent's duty cycles take: the longest, and how many took too long (media-driver.md
 * 6.9). One per agent; the counters have no other writer. */
#ifndef DRIVERD_DUTY_CYCLE_H
#define DRIVERD_DUTY_CYCLE_H

#include "base/bits.h"
#include "driverd/driver_context.h"

struct duty_cycle {
    int64_t last_ns; /* 0: none yet; other threads look whether it moves */
    int64_t threshold_ns;
    int64_t rest_ns; /* of the time since then was meant to be spent at rest */
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

/* The agent has nothing to do for so long: no cycle is late because of it. Beyond the longest park
 * of the original, which counts. */
static inline void duty_cycle_rest(struct duty_cycle *cycle, int64_t rest_ns) {
    cycle->rest_ns = max_i64(0, rest_ns - NS_PER_MS);
}

/* At the start of each cycle. */
static inline void duty_cycle_measure(struct duty_cycle *cycle, int64_t now_ns) {
    int64_t elapsed_ns =
        cycle->last_ns == 0 ? 0 : max_i64(0, now_ns - cycle->last_ns - cycle->rest_ns);
    cycle->rest_ns = 0;
    store_release_i64(&cycle->last_ns, now_ns); /* the cycle before is over: are_agents_past */
    counter_propose_max(cycle->max_counter, elapsed_ns);
    if (elapsed_ns > cycle->threshold_ns) {
        counter_increment_single_writer(cycle->exceeded_counter, 1);
    }
}

#endif

/* See plan.h. */
#include "sim/plan.h"

#include <assert.h>
#include <stdlib.h>

struct plan {
    struct sim *sim;
    int64_t end_ns;
    int64_t next_ns;
};

struct plan *plan_create(struct sim *sim, int64_t start_ns, int64_t end_ns) {
    struct plan *plan = calloc(1, sizeof *plan);
    assert(plan != NULL);
    (void)start_ns;
    *plan = (struct plan){.sim = sim, .end_ns = end_ns, .next_ns = INT64_MAX};
    return plan;
}

void plan_destroy(struct plan *plan) {
    free(plan);
}

int64_t plan_next_ns(const struct plan *plan) {
    return plan == NULL ? INT64_MAX : plan->next_ns;
}

void plan_strike(struct plan *plan) {
    plan->next_ns = INT64_MAX;
}

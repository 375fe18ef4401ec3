/* The counters of the consensus module (cluster.md 7), allocated in the order of the original, and
 * two of Tern's own behind them. */
#ifndef TERN_CONSENSUSD_MODULE_COUNTERS_H
#define TERN_CONSENSUSD_MODULE_COUNTERS_H

#include <tern/client.h>

#include "base/error.h"
#include "consensusd/consensus_conf.h"

enum module_counter {
    MODULE_COUNTER_ERRORS,
    MODULE_COUNTER_STATE,
    MODULE_COUNTER_ELECTION_STATE,
    MODULE_COUNTER_ELECTION_COUNT,
    MODULE_COUNTER_TERM_ID,
    MODULE_COUNTER_ROLE,
    MODULE_COUNTER_COMMIT_POSITION,
    MODULE_COUNTER_CONTROL_TOGGLE,
    MODULE_COUNTER_NODE_TOGGLE,
    MODULE_COUNTER_SNAPSHOTS,
    MODULE_COUNTER_TIMED_OUT_CLIENTS,
    MODULE_COUNTER_CYCLE_TIME_MAX,
    MODULE_COUNTER_CYCLE_TIME_EXCEEDED,
    MODULE_COUNTER_SNAPSHOT_TIME_MAX,
    MODULE_COUNTER_SNAPSHOT_TIME_EXCEEDED,
    MODULE_COUNTER_TIMERS,           /* scheduled */
    MODULE_COUNTER_SERVICE_MESSAGES, /* queued or not committed */
    MODULE_COUNTER_COUNT,
};

/* Values of the control toggle, and of the node toggle (3.12). */
enum control_toggle {
    CONTROL_TOGGLE_INACTIVE,
    CONTROL_TOGGLE_NEUTRAL,
    CONTROL_TOGGLE_SUSPEND,
    CONTROL_TOGGLE_RESUME,
    CONTROL_TOGGLE_SNAPSHOT,
    CONTROL_TOGGLE_SHUTDOWN,
    CONTROL_TOGGLE_ABORT,
    CONTROL_TOGGLE_STANDBY_SNAPSHOT,
};

enum node_toggle {
    NODE_TOGGLE_INACTIVE,
    NODE_TOGGLE_NEUTRAL,
    NODE_TOGGLE_REPLICATE_STANDBY_SNAPSHOT,
    NODE_TOGGLE_VALIDATE_RECORDING_LOG,
};

struct module_counters {
    tern_client *client; /* borrowed */
    const struct consensus_conf *conf;
    int next; /* counters are added one after the other */
    tern_async *request;
    tern_counter *counters[MODULE_COUNTER_COUNT];
};

/* -EEXIST when another module of this cluster id lives on the driver. */
int module_counters_open(struct module_counters *counters, tern_client *client,
                         const struct consensus_conf *conf, struct tern_error *error);
/* 1 once all are there, 0 not yet, or a negative code. */
int module_counters_step(struct module_counters *counters, struct tern_error *error);
void module_counters_close(struct module_counters *counters);

static inline void module_counters_set(struct module_counters *counters, enum module_counter which,
                                       int64_t value) {
    tern_counter_set(counters->counters[which], value);
}
static inline int64_t module_counters_value(const struct module_counters *counters,
                                            enum module_counter which) {
    return tern_counter_value(counters->counters[which]);
}
static inline void module_counters_add(struct module_counters *counters, enum module_counter which,
                                       int64_t delta) {
    if (counters->counters[which] != NULL) {
        tern_counter_add(counters->counters[which], delta);
    }
}
/* Keep the highest value. */
void module_counters_max(struct module_counters *counters, enum module_counter which,
                         int64_t value);
/* Compare and set, as the control programs do. */
bool module_counters_exchange(struct module_counters *counters, enum module_counter which,
                              int64_t expected, int64_t value);

#endif

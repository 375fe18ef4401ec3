/* One run: options from the seed, the phases quiet, faults, quiet, and the end. */
#ifndef TERN_SIM_RUN_H
#define TERN_SIM_RUN_H

#include "sim/sim.h"

enum run_beside {
    RUN_BESIDE_STREAM = 1,
    RUN_BESIDE_RECORDER = 2,
    RUN_BESIDE_TRANSPORT = 4,
};

/* Whether something is in the run. */
enum run_choice { RUN_DRAWN, RUN_ON, RUN_OFF };

struct run_request {
    uint64_t seed;
    int run_count;
    int node_count; /* 0, like the others: by the seed */
    int client_count;
    double minutes;
    const char *workload;
    unsigned faults;
    bool has_faults;
    unsigned beside; /* enum run_beside */
    bool has_beside;
    enum run_choice timers; /* and messages of services */
    const char *transport; /* the way, or "none" */
    bool is_tracing;
    bool is_planted;
    bool is_quiet; /* only the last line, and failures */
};

struct run_result {
    bool is_good;
    int64_t answered;
    int leader_count;
    int64_t step_count;
    int64_t simulated_ns;
    uint64_t hash;
};

bool run_parse_faults(const char *text, unsigned *bits);
bool run_parse_beside(const char *text, unsigned *bits);
/* The ways of a transport; NULL behind the last. */
const char *run_transport_name(int index);
void run(const struct run_request *request, struct run_result *result);

#endif

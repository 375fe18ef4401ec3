/* What clients ask of which service, and what they must be told. */
#ifndef TERN_SIM_WORKLOAD_H
#define TERN_SIM_WORKLOAD_H

#include <tern/service.h>

#include "sim/sim.h"

struct workload {
    const char *name;
    const struct tern_service_plugin *plugin;
    uint64_t (*state_hash)(const void *service);
    /* Client processes that are to be added to the client machine, and their common state. */
    const struct process_operations *client;
    void *(*create)(struct sim *sim);
    void (*destroy)(void *state);
    /* Requests answered so far; of a client's requests that were sent after `since_ns`. */
    int64_t (*answered)(const void *state);
    int64_t (*answered_since)(const void *state, int client, int64_t since_ns);
    void (*set_sending)(void *state, bool is_sending);
    bool (*is_pending)(const void *state);
    /* The rules of the workload; `service` is the instance furthest in the log, NULL: none lives.
     */
    bool (*check)(void *state, const void *service, struct tern_error *problem);
};

extern const struct workload workload_list;
extern const struct workload workload_register;
extern const struct workload workload_auction;

#endif

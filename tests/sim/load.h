/* What the workloads share: clients that keep a few requests under way, at a pace from the seed.
 * The state of a workload begins with a struct load, its client with a struct load_client. */
#ifndef TERN_SIM_LOAD_H
#define TERN_SIM_LOAD_H

#include <stddef.h>

#include "sim/client.h"

#define LOAD_WINDOW 4 /* requests of a client without answer */

struct load {
    struct sim *sim;
    struct dice dice;
    int64_t answered_count;
    bool is_sending;
};

struct load_client {
    struct sim_client session;
    struct load *load;
    int64_t pending[LOAD_WINDOW]; /* ids, the oldest first; or as the workload has it */
    int pending_count;
    int64_t due_ns; /* of the simulation's time */
};

/* The workload's operations of the same names (workload.h); `size` is that of the whole state. */
void *load_create(struct sim *sim, size_t size);
int64_t load_answered(const void *state);
void load_set_sending(void *state, bool is_sending);
bool load_is_pending(const void *state);

/* Makes the client of a process; its messages and doubts come with the client as context. */
void load_open_client(struct process *process, size_t size, tern_cluster_message_handler on_message,
                      void (*on_doubt)(void *context));
void load_close_client(struct process *process);

/* It is time for a request. */
bool load_is_due(const struct load_client *client);
/* A request went out; draws when the next one is due. */
void load_on_sent(struct load_client *client);
/* Of `pending` as a row. */
void load_add_pending(struct load_client *client, int64_t id);
void load_forget_pending(struct load_client *client, int64_t id);

#endif

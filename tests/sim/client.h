/* A client process of the cluster: driver client and session, kept up through all that happens. The
 * workloads say what is sent and what answers mean. */
#ifndef TERN_SIM_CLIENT_H
#define TERN_SIM_CLIENT_H

#include <tern/cluster.h>

#include "sim/sim.h"

struct sim_client {
    struct process *process;
    int index; /* of the client */
    tern_client *client;
    tern_cluster *cluster; /* NULL: not connected */
    tern_cluster_connecting *connecting;
    int64_t retry_ns;
    int64_t keep_alive_ns;
    int64_t snapshot_ns; /* when to ask for the next snapshot */
    void *context;
    tern_cluster_message_handler on_message;
    /* What was sent and not answered may be lost. */
    void (*on_doubt)(void *context);
};

/* Of any process that is a client of its machine's driver: 1 when `client` is there, 0: not yet. */
int sim_connect_driver(struct process *process, int64_t *retry_ns, tern_client **client,
                       int64_t now_ns, struct tern_error *error);

int sim_client_work(struct sim_client *session, int64_t now_ns, struct tern_error *error);
void sim_client_close(struct sim_client *session);

#endif

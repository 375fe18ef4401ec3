/* Whole media drivers in one process on a simulated clock and network, each with one client,
 * stepped by hand (INVOKER). What shared memory needs is real: a directory in /dev/shm per driver.
 */
#ifndef TERN_TESTS_SIM_DRIVER_H
#define TERN_TESTS_SIM_DRIVER_H

#include <tern/client.h>

#include "driverd/driver.h"
#include "lib/sim_net.h"

#define SIM_NODES_MAX 4
#define SIM_STEP_NS (50 * NS_PER_US)

struct sim_node {
    struct driver_conf conf;
    tern_publication_error_handler on_publication_error; /* of the client; NULL: none */
    void *on_publication_error_context;
    struct io io;
    struct driver *driver;
    tern_context *context;
    tern_client *client;
};

struct sim_world {
    struct sim_clock clock;
    struct sim_random random;
    struct sim_net net;
    struct sim_node nodes[SIM_NODES_MAX];
    int node_count;
};

/* All functions abort the test on failure. */
void sim_world_init(struct sim_world *world, uint64_t seed);
/* Configuration with small terms; change node->conf, then start it. */
struct sim_node *sim_world_add(struct sim_world *world);
void sim_world_start(struct sim_world *world, struct sim_node *node);
/* Stop a node as if its driver was told to end. */
void sim_world_stop(struct sim_node *node);
/* Also checks that every socket was closed. */
void sim_world_close(struct sim_world *world);

/* One duty cycle of all drivers and clients, then the clock moves. */
void sim_world_step(struct sim_world *world, int64_t duration_ns);
/* Steps of SIM_STEP_NS until the time has passed. */
void sim_world_run(struct sim_world *world, int64_t duration_ns);
/* Until `condition` is true; false when `timeout_ns` of simulated time was not enough. */
typedef bool (*sim_condition)(void *context);
bool sim_world_until(struct sim_world *world, sim_condition condition, void *context,
                     int64_t timeout_ns);

tern_publication *sim_add_publication(struct sim_world *world, struct sim_node *node,
                                      const char *channel, int32_t stream_id);
/* NULL and *error when the driver refuses. */
tern_publication *sim_try_add_publication(struct sim_world *world, struct sim_node *node,
                                          const char *channel, int32_t stream_id,
                                          struct tern_error *error);
tern_subscription *sim_add_subscription(struct sim_world *world, struct sim_node *node,
                                        const char *channel, int32_t stream_id);
tern_subscription *sim_try_add_subscription(struct sim_world *world, struct sim_node *node,
                                            const char *channel, int32_t stream_id,
                                            struct tern_error *error);
int64_t sim_system_counter(const struct sim_node *node, enum system_counter counter);

#endif

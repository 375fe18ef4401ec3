/* See sim_driver.h. Time-outs between client and driver are set out of reach: simulated time runs
 * much faster than real time for whoever looks at the epoch clock. */
#include "lib/sim_driver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/seams.h"
#include "driverd/driver_directory.h"

#define CONNECT_STEPS_MAX 1000
#define ANSWER_TIMEOUT_NS (20 * NS_PER_S)

static void die(const char *what, const struct tern_error *error) {
    fprintf(stderr, "%s: %s\n", what, error == NULL ? "" : error->text);
    abort();
}

void sim_world_init(struct sim_world *world, uint64_t seed) {
    *world = (struct sim_world){0};
    sim_clock_init(&world->clock);
    sim_random_init(&world->random, seed);
    sim_net_init(&world->net, &world->clock, seed + 1);
}

struct sim_node *sim_world_add(struct sim_world *world) {
    assert(world->node_count < SIM_NODES_MAX);
    struct sim_node *node = &world->nodes[world->node_count];
    struct driver_conf *conf = &node->conf;
    driver_conf_defaults(conf);
    (void)snprintf(conf->directory, sizeof conf->directory, "/dev/shm/tern-sim-%d-%d",
                   (int)getpid(), world->node_count++);
    conf->threading = DRIVER_THREADING_INVOKER;
    conf->dir_delete_on_start = true;
    conf->dir_delete_on_shutdown = true;
    conf->counters_buffer_length = 1024 * 1024;
    conf->term_buffer_length = 65536;
    conf->ipc_term_buffer_length = 65536;
    conf->perform_storage_checks = false;
    conf->timer_interval_ns = 100 * NS_PER_MS;
    conf->client_liveness_timeout_ns = 100000 * NS_PER_S;
    conf->unblock_timeout_ns = 200000 * NS_PER_S;
    node->io = io_system();
    node->io.clock = &world->clock.table;
    node->io.random = &world->random.table;
    node->io.net = &world->net.table;
    return node;
}

void sim_world_start(struct sim_world *world, struct sim_node *node) {
    struct tern_error error = {0};
    if (driver_open(&node->driver, &node->conf, &node->io, &error) != 0) {
        die("driver_open", &error);
    }
    node->context = tern_context_create(&error);
    if (node->context == NULL ||
        tern_context_set_directory(node->context, node->conf.directory, &error) != 0) {
        die("context", &error);
    }
    tern_context_set_use_invoker(node->context, true);
    tern_context_set_publication_error_handler(node->context, node->on_publication_error,
                                               node->on_publication_error_context);
    tern_context_set_clock(node->context, &world->clock.table);
    tern_context_set_random(node->context, &world->random.table);
    tern_context_set_driver_timeout_ms(node->context, 1000000);
    tern_context_set_resource_linger_ns(node->context, NS_PER_MS);
    for (int i = 0; i < CONNECT_STEPS_MAX && node->client == NULL; i++) {
        (void)driver_do_work(node->driver, world->clock.now_ns);
        node->client = tern_client_try_connect(node->context, &error);
        sim_clock_advance(&world->clock, NS_PER_MS);
    }
    if (node->client == NULL) {
        die("tern_client_try_connect", &error);
    }
}

void sim_world_stop(struct sim_node *node) {
    tern_client_close(node->client);
    tern_context_destroy(node->context);
    driver_close(node->driver);
    node->client = NULL;
    node->context = NULL;
    node->driver = NULL;
}

void sim_world_close(struct sim_world *world) {
    for (int i = 0; i < world->node_count; i++) {
        sim_world_stop(&world->nodes[i]);
    }
    sim_net_close(&world->net);
}

void sim_world_step(struct sim_world *world, int64_t duration_ns) {
    for (int i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        if (node->driver != NULL) {
            (void)driver_do_work(node->driver, world->clock.now_ns);
            (void)tern_client_do_work_at(node->client, world->clock.now_ns);
        }
    }
    sim_clock_advance(&world->clock, duration_ns);
}

void sim_world_run(struct sim_world *world, int64_t duration_ns) {
    int64_t end_ns = world->clock.now_ns + duration_ns;
    while (world->clock.now_ns < end_ns) {
        sim_world_step(world, SIM_STEP_NS);
    }
}

bool sim_world_until(struct sim_world *world, sim_condition condition, void *context,
                     int64_t timeout_ns) {
    int64_t end_ns = world->clock.now_ns + timeout_ns;
    while (!condition(context)) {
        if (world->clock.now_ns >= end_ns) {
            return false;
        }
        sim_world_step(world, SIM_STEP_NS);
    }
    return true;
}

tern_publication *sim_try_add_publication(struct sim_world *world, struct sim_node *node,
                                          const char *channel, int32_t stream_id,
                                          struct tern_error *error) {
    tern_publication *publication = NULL;
    tern_async *async = tern_client_async_add_publication(node->client, channel, stream_id, error);
    int result = 0;
    int64_t end_ns = world->clock.now_ns + ANSWER_TIMEOUT_NS;
    while (async != NULL && result == 0 && world->clock.now_ns < end_ns) {
        sim_world_step(world, SIM_STEP_NS);
        result = tern_async_poll_publication(async, &publication, error);
    }
    return result > 0 ? publication : NULL;
}

tern_publication *sim_add_publication(struct sim_world *world, struct sim_node *node,
                                      const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    tern_publication *publication =
        sim_try_add_publication(world, node, channel, stream_id, &error);
    if (publication == NULL) {
        die(channel, &error);
    }
    return publication;
}

tern_subscription *sim_try_add_subscription(struct sim_world *world, struct sim_node *node,
                                            const char *channel, int32_t stream_id,
                                            struct tern_error *error) {
    tern_subscription *subscription = NULL;
    struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    tern_async *async = tern_client_async_add_subscription(node->client, &params, error);
    int result = 0;
    int64_t end_ns = world->clock.now_ns + ANSWER_TIMEOUT_NS;
    while (async != NULL && result == 0 && world->clock.now_ns < end_ns) {
        sim_world_step(world, SIM_STEP_NS);
        result = tern_async_poll_subscription(async, &subscription, error);
    }
    return result > 0 ? subscription : NULL;
}

tern_subscription *sim_add_subscription(struct sim_world *world, struct sim_node *node,
                                        const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    tern_subscription *subscription =
        sim_try_add_subscription(world, node, channel, stream_id, &error);
    if (subscription == NULL) {
        die(channel, &error);
    }
    return subscription;
}

int64_t sim_system_counter(const struct sim_node *node, enum system_counter counter) {
    return counter_get_acquire(node->driver->context.system_counters[counter]);
}

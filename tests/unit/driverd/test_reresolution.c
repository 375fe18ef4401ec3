/* Names of peers that are silent are looked up again (media-driver.md 5.9): when, how often, and
 * what comes of the answers. The control address of subscriptions has its test with receive
 * destinations. */
#include <criterion/criterion.h>

#include <string.h>

#include "driverd/name_table.h"
#include "lib/sim_driver.h"

#define STREAM 1001

static struct sim_world world;

static struct sim_node *start(uint64_t seed, int64_t interval_ns) {
    sim_world_init(&world, seed);
    struct sim_node *node = sim_world_add(&world);
    node->conf.reresolution_check_interval_ns = interval_ns;
    sim_world_start(&world, node);
    sim_net_set_host(&world.net, "peer", "127.0.0.7");
    return node;
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

static void add(tern_publication *publication, const char *channel) {
    struct tern_error error = {0};
    tern_async *async = tern_publication_async_add_destination(publication, channel, &error);
    int result = 0;
    while (result == 0) {
        cr_assert_not_null(async);
        sim_world_step(&world, SIM_STEP_NS);
        result = tern_async_poll_destination(async, &error);
    }
    cr_assert_eq(result, 1, "%s", error.text);
}

static int count_datagrams(int socket) {
    uint8_t data[65536];
    union net_address source;
    int count = 0;
    while (sim_net_receive(&world.net, socket, data, &source) > 0) {
        count++;
    }
    return count;
}

Test(reresolution, a_destination_that_moves_is_followed, .timeout = 60) {
    struct sim_node *node = start(41, NS_PER_S);
    int old = sim_net_bind(&world.net, "127.0.0.7:24000");
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?control-mode=manual", STREAM);
    add(publication, "aeron:udp?endpoint=peer:24000");
    int64_t lookups = world.net.resolve_count;
    tern_subscription *subscription =
        sim_add_subscription(&world, node, "aeron:udp?endpoint=127.0.0.9:24000", STREAM);
    sim_world_run(&world, 4 * NS_PER_S);
    cr_assert_gt(count_datagrams(old), 0);
    cr_assert_eq(world.net.resolve_count, lookups, "not yet silent");
    sim_net_set_host(&world.net, "peer", "127.0.0.9");
    cr_assert(sim_world_until(&world, is_connected, publication, 5 * NS_PER_S));
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_RESOLUTION_CHANGES), 1);
    (void)count_datagrams(old);
    lookups = world.net.resolve_count;
    sim_world_run(&world, 8 * NS_PER_S);
    cr_assert_eq(count_datagrams(old), 0, "nothing goes there any more");
    cr_assert_eq(world.net.resolve_count, lookups, "who is heard of is not asked for");
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

Test(reresolution, a_look_up_that_fails_changes_nothing_and_is_tried_again, .timeout = 60) {
    struct sim_node *node = start(42, NS_PER_S);
    int peer = sim_net_bind(&world.net, "127.0.0.7:24000");
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=peer:24000", STREAM);
    int64_t lookups = world.net.resolve_count;
    sim_net_set_host(&world.net, "peer", NULL);
    sim_world_run(&world, 7 * NS_PER_S);
    cr_assert_eq(world.net.resolve_count, lookups + 1);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_ERRORS), 1);
    sim_world_run(&world, 12 * NS_PER_S);
    cr_assert_eq(world.net.resolve_count, lookups + 3, "once in 5 s and not at every check");
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_ERRORS), 3);
    (void)count_datagrams(peer);
    sim_world_run(&world, NS_PER_S);
    cr_assert_gt(count_datagrams(peer), 0, "the old address stays");
    sim_net_set_host(&world.net, "peer", "[::1]");
    sim_world_run(&world, 6 * NS_PER_S);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_ERRORS), 4, "of another family");
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_RESOLUTION_CHANGES), 0);
    tern_publication_close(publication);
    sim_world_close(&world);
}

/* As the original's own tests do it: by a table, and by counters that change its meaning. */
Test(reresolution, a_table_of_names_moves_a_peer, .timeout = 60) {
    sim_world_init(&world, 44);
    struct sim_node *node = sim_world_add(&world);
    (void)snprintf(node->conf.name_resolver, sizeof node->conf.name_resolver, "csv_table");
    (void)strcpy(node->conf.name_resolver_args,
                 "other,127.0.0.4,127.0.0.4|moving,before,127.0.0.8");
    sim_net_set_host(&world.net, "before", "127.0.0.7");
    sim_world_start(&world, node);
    int before = sim_net_bind(&world.net, "127.0.0.7:24000");
    int after = sim_net_bind(&world.net, "127.0.0.8:24000");
    const struct name_table *table = node->driver->resolver->table;
    int64_t *counter = (int64_t *)table->rows[1].counter;
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=moving:24000", STREAM);
    sim_world_run(&world, 7 * NS_PER_S);
    cr_assert_gt(count_datagrams(before), 0);
    cr_assert_eq(count_datagrams(after), 0);
    counter_set_release(counter, NAME_TABLE_AGAIN);
    sim_world_run(&world, 7 * NS_PER_S);
    cr_assert_gt(count_datagrams(after), 0);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_RESOLUTION_CHANGES), 1);
    counter_set_release(counter, NAME_TABLE_UNKNOWN);
    struct tern_error error = {0};
    cr_assert_null(
        sim_try_add_publication(&world, node, "aeron:udp?endpoint=moving:24001", STREAM, &error));
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_UNKNOWN_HOST);
    tern_publication_close(publication);
    sim_world_close(&world);
}

Test(reresolution, without_an_interval_names_are_looked_up_once, .timeout = 60) {
    struct sim_node *node = start(43, 0);
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=peer:24000", STREAM);
    int64_t lookups = world.net.resolve_count;
    sim_world_run(&world, 20 * NS_PER_S);
    cr_assert_eq(world.net.resolve_count, lookups);
    tern_publication_close(publication);
    sim_world_close(&world);
}

/* Plug-ins that decide about streams, on the simulated network: they are asked and obeyed. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driverd/image.h"
#include "driverd/publication_net.h"
#include "lib/sim_driver.h"

#define STREAM 1001
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24000"
#define GROUP "aeron:udp?control-mode=dynamic|control=127.0.0.1:25000"
#define MEMBER "aeron:udp?endpoint=127.0.0.1:2500%d|control=127.0.0.1:25000|control-mode=dynamic"
#define MESSAGE_LENGTH 224
#define FRAME_LENGTH 256

#define SET(member_, ...) ((void)snprintf(member_, sizeof member_, __VA_ARGS__))

/* Two drivers, the first of which sends. */
struct pair {
    struct sim_world world;
    struct sim_node *a;
    struct sim_node *b;
};

static struct pair *make_pair(uint64_t seed) {
    static struct pair pair;
    sim_world_init(&pair.world, seed);
    pair.a = sim_world_add(&pair.world);
    pair.b = sim_world_add(&pair.world);
    return &pair;
}

static void start(struct pair *pair) {
    sim_world_start(&pair->world, pair->a);
    sim_world_start(&pair->world, pair->b);
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

static bool has_no_sockets(void *context) {
    return sim_net_open_count(context) == 0;
}

/* What the counters of plug-ins say. */
static int64_t instances(const struct sim_node *node, enum plugin_use use) {
    return counter_get_acquire(node->driver->plugins.counters[use]);
}

static void offer(tern_publication *publication, int count) {
    const uint8_t message[MESSAGE_LENGTH] = {0};
    for (int i = 0; i < count; i++) {
        cr_assert_gt(tern_publication_offer(publication, message, sizeof message), 0);
    }
}

static void count_fragment(void *context, const uint8_t *buffer, int32_t length,
                           const tern_header *header) {
    (void)buffer;
    (void)header;
    cr_assert_eq(length, MESSAGE_LENGTH);
    ++*(int *)context;
}

static int receive(struct pair *pair, tern_subscription *subscription, int64_t duration_ns) {
    int count = 0;
    for (int64_t passed_ns = 0; passed_ns < duration_ns; passed_ns += NS_PER_MS) {
        (void)tern_subscription_poll(subscription, count_fragment, &count, 64);
        sim_world_run(&pair->world, NS_PER_MS);
    }
    return count;
}

Test(plugin_streams, flow_control_limits_what_is_sent) {
    struct pair *pair = make_pair(1);
    SET(pair->a->conf.unicast_flow_control, PLUGINS "/driver_flow_control.so:slowest");
    start(pair);
    tern_publication *publication = sim_add_publication(&pair->world, pair->a, CHANNEL, STREAM);
    cr_assert_eq(instances(pair->a, PLUGIN_USE_UNICAST_FLOW_CONTROL), 1);
    struct publication_net *sent = pair->a->driver->conductor.publications_net.items[0];
    cr_assert_eq(sent->flow.params.strategy, FLOW_CONTROL_PLUGIN);
    tern_subscription *subscription = sim_add_subscription(&pair->world, pair->b, CHANNEL, STREAM);
    cr_assert(sim_world_until(&pair->world, is_connected, publication, 10 * NS_PER_S));
    const struct image *image = pair->b->driver->conductor.images.items[0];
    int64_t half = image->window_bytes / 2;
    offer(publication, 100);
    sim_world_run(&pair->world, NS_PER_S);
    cr_assert_eq(sent->position, half, "%lld", (long long)sent->position);
    cr_assert_eq(counter_get_acquire(sent->receivers_counter), 1);
    int received = receive(pair, subscription, NS_PER_S);
    cr_assert_eq(received, 100, "%d", received);
    cr_assert_eq(sent->position, 100 * FRAME_LENGTH);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    cr_assert(sim_world_until(&pair->world, has_no_sockets, &pair->world.net, 60 * NS_PER_S));
    cr_assert_eq(instances(pair->a, PLUGIN_USE_UNICAST_FLOW_CONTROL), 0);
    sim_world_close(&pair->world);
}

Test(plugin_streams, flow_control_of_groups_is_the_channels_or_the_plugins) {
    struct pair *pair = make_pair(2);
    SET(pair->a->conf.dynamic_libraries, PLUGINS "/driver_flow_control.so");
    SET(pair->a->conf.multicast_flow_control, "slowest");
    start(pair);
    char channels[2][128];
    tern_subscription *subscriptions[2];
    tern_publication *publication = sim_add_publication(&pair->world, pair->a, GROUP, STREAM);
    cr_assert_eq(instances(pair->a, PLUGIN_USE_GROUP_FLOW_CONTROL), 1);
    tern_publication *chosen =
        sim_add_publication(&pair->world, pair->a, GROUP "|fc=min", STREAM + 1);
    cr_assert_eq(instances(pair->a, PLUGIN_USE_GROUP_FLOW_CONTROL), 1, "the channel says another");
    cr_assert_not(tern_publication_is_connected(publication), "it requires a receiver");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(channels[i], sizeof channels[i], MEMBER, i + 1);
        subscriptions[i] = sim_add_subscription(&pair->world, pair->b, channels[i], STREAM);
    }
    cr_assert(sim_world_until(&pair->world, is_connected, publication, 10 * NS_PER_S));
    sim_world_run(&pair->world, NS_PER_S);
    struct publication_net *sent = pair->a->driver->conductor.publications_net.items[0];
    cr_assert_eq(counter_get_acquire(sent->receivers_counter), 2);
    const struct image *image = pair->b->driver->conductor.images.items[0];
    int half = image->window_bytes / 2 / FRAME_LENGTH;
    offer(publication, 100);
    cr_assert_eq(receive(pair, subscriptions[0], NS_PER_S), half, "the other reads nothing");
    tern_subscription_close(subscriptions[1]);
    cr_assert_eq(receive(pair, subscriptions[0], 15 * NS_PER_S), 100 - half, "it is forgotten");
    tern_subscription_close(subscriptions[0]);
    tern_publication_close(publication);
    tern_publication_close(chosen);
    sim_world_close(&pair->world);
}

Test(plugin_streams, congestion_control_chooses_the_window) {
    struct pair *pair = make_pair(3);
    SET(pair->b->conf.congestion_supplier, PLUGINS "/driver_congestion.so:careful");
    start(pair);
    tern_publication *publication = sim_add_publication(&pair->world, pair->a, CHANNEL, STREAM);
    tern_subscription *subscription =
        sim_add_subscription(&pair->world, pair->b, CHANNEL "|cc=static", STREAM);
    cr_assert(sim_world_until(&pair->world, is_connected, publication, 10 * NS_PER_S));
    cr_assert_eq(instances(pair->b, PLUGIN_USE_CONGESTION), 1);
    const struct image *image = pair->b->driver->conductor.images.items[0];
    cr_assert_eq(image->congestion.strategy, CONGESTION_PLUGIN);
    int32_t first = image->window_bytes;
    cr_assert(first >= 4 * 1408 && first < 32 * 1024, "%d", first);
    int sent = 0;
    int received = 0;
    for (int i = 0; i < 200; i++) { /* loss comes and goes */
        pair->world.net.faults.drop = i >= 100 && i < 120 ? 0.5 : 0;
        if (i == 99) {
            cr_assert_eq(image->window_bytes, image->window_max_bytes, "cut to the maximum");
        }
        const uint8_t message[MESSAGE_LENGTH] = {0};
        sent += tern_publication_offer(publication, message, sizeof message) > 0;
        received += receive(pair, subscription, 5 * NS_PER_MS);
        if (i == 119) {
            cr_assert_lt(image->window_bytes, image->window_max_bytes);
            cr_assert_eq(counter_get_acquire(image->window_counter), image->window_bytes);
        }
    }
    received += receive(pair, subscription, 5 * NS_PER_S);
    cr_assert_eq(received, sent);
    cr_assert_gt(image->rtt.rtt_ns, 0);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    cr_assert(sim_world_until(&pair->world, has_no_sockets, &pair->world.net, 60 * NS_PER_S));
    sim_world_run(&pair->world, NS_PER_S);
    cr_assert_eq(instances(pair->b, PLUGIN_USE_CONGESTION), 0);
    sim_world_close(&pair->world);
}

Test(plugin_streams, names_are_the_plugins_or_the_systems) {
    static const char *const channels[] = {"aeron:udp?endpoint=mine.book:24000",
                                           "aeron:udp?endpoint=node:24000"};
    struct pair *pair = make_pair(4);
    struct tern_error error = {0};
    SET(pair->a->conf.name_resolver, PLUGINS "/driver_names.so:phone_book");
    SET(pair->a->conf.name_resolver_args, "127.0.0.1");
    start(pair);
    sim_net_set_host(&pair->world.net, "node", "127.0.0.1");
    cr_assert_eq(instances(pair->a, PLUGIN_USE_NAMES), 1);
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        tern_publication *publication =
            sim_add_publication(&pair->world, pair->a, channels[i], STREAM);
        tern_subscription *subscription =
            sim_add_subscription(&pair->world, pair->b, CHANNEL, STREAM);
        cr_assert(sim_world_until(&pair->world, is_connected, publication, 10 * NS_PER_S));
        tern_publication_close(publication);
        tern_subscription_close(subscription);
    }
    cr_assert_null(sim_try_add_publication(&pair->world, pair->a,
                                           "aeron:udp?endpoint=no.book:24000", STREAM, &error));
    cr_assert_not_null(strstr(error.text, "phone_book: it is not in the book"), "%s", error.text);
    sim_world_close(&pair->world);
}

Test(plugin_streams, interceptors_lose_what_they_do_not_let_pass) {
    for (int is_outgoing = 0; is_outgoing < 2; is_outgoing++) {
        struct pair *pair = make_pair(5);
        struct driver_conf *conf = is_outgoing ? &pair->a->conf : &pair->b->conf;
        SET(conf->dynamic_libraries, PLUGINS "/driver_interceptor.so");
        if (is_outgoing) {
            SET(conf->outgoing_interceptors, "every_third");
        } else {
            SET(conf->incoming_interceptors, "loss,every_third");
            SET(conf->loss_args, "rate=0.1|seed=1");
        }
        start(pair);
        tern_publication *publication = sim_add_publication(&pair->world, pair->a, CHANNEL, STREAM);
        tern_subscription *subscription =
            sim_add_subscription(&pair->world, pair->b, CHANNEL, STREAM);
        cr_assert(sim_world_until(&pair->world, is_connected, publication, 30 * NS_PER_S));
        offer(publication, 100);
        cr_assert_eq(receive(pair, subscription, 10 * NS_PER_S), 100);
        int64_t naks = sim_system_counter(pair->b, SYSTEM_COUNTER_NAKS_SENT);
        cr_assert_geq(naks, 3, "%lld", (long long)naks);
        for (int i = 0; i < 2; i++) { /* what is dropped has not come at all */
            cr_assert_eq(sim_system_counter(&pair->world.nodes[i], SYSTEM_COUNTER_INVALID_PACKETS),
                         0);
        }
        tern_publication_close(publication);
        tern_subscription_close(subscription);
        sim_world_close(&pair->world);
    }
}

Test(plugin_streams, endpoints_see_the_datagrams_of_their_sockets) {
    char path[64];
    char report[4096] = "";
    struct pair *pair = make_pair(6);
    (void)snprintf(path, sizeof path, "/tmp/tern-guests-%d", (int)getpid());
    (void)setenv("GUEST_LIST", path, 1);
    SET(pair->a->conf.send_endpoint, PLUGINS "/driver_endpoint.so:guest_list");
    SET(pair->b->conf.receive_endpoint, PLUGINS "/driver_endpoint.so:guest_list");
    start(pair);
    tern_publication *publications[2];
    tern_subscription *subscriptions[2];
    for (int i = 0; i < 2; i++) { /* the second stream is none of the guests */
        publications[i] = sim_add_publication(&pair->world, pair->a, CHANNEL, STREAM + 1000 * i);
        subscriptions[i] = sim_add_subscription(&pair->world, pair->b, CHANNEL, STREAM + 1000 * i);
    }
    cr_assert_eq(instances(pair->a, PLUGIN_USE_SEND_ENDPOINT), 1);
    cr_assert_eq(instances(pair->b, PLUGIN_USE_RECEIVE_ENDPOINT), 1);
    cr_assert(sim_world_until(&pair->world, is_connected, publications[0], 10 * NS_PER_S));
    offer(publications[0], 10);
    cr_assert_eq(receive(pair, subscriptions[0], 2 * NS_PER_S), 10);
    cr_assert_not(tern_publication_is_connected(publications[1]));
    cr_assert_eq(sim_system_counter(pair->b, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    for (int i = 0; i < 2; i++) {
        tern_publication_close(publications[i]);
        tern_subscription_close(subscriptions[i]);
    }
    cr_assert(sim_world_until(&pair->world, has_no_sockets, &pair->world.net, 60 * NS_PER_S));
    cr_assert_eq(instances(pair->a, PLUGIN_USE_SEND_ENDPOINT), 0);
    cr_assert_eq(instances(pair->b, PLUGIN_USE_RECEIVE_ENDPOINT), 0);
    sim_world_close(&pair->world);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    (void)fread(report, 1, sizeof report - 1, file);
    (void)fclose(file);
    (void)unlink(path);
    long sent = 0, received = 0, refused = 0;
    const char *line = strstr(report, "snd " CHANNEL);
    cr_assert_not_null(line, "%s", report);
    cr_assert_eq(sscanf(line, "snd " CHANNEL " %ld %ld %ld", &sent, &received, &refused), 3);
    cr_assert(sent >= 11 && received >= 2 && refused >= 10, "%s", line); /* SETUPs every 100 ms */
    line = strstr(report, "rcv " CHANNEL);
    cr_assert_not_null(line, "%s", report);
    cr_assert_eq(sscanf(line, "rcv " CHANNEL " %ld %ld", &sent, &received), 2);
    cr_assert(received >= 11 && sent >= 2, "%s", line);
}

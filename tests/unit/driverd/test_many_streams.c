/* Many quiet streams of one driver on the simulated network: what they send by the clock leaves
 * together, but never so much at a time that a receive buffer overflows. */
#include <criterion/criterion.h>

#include <errno.h>

#include "driverd/image.h"
#include "driverd/pace.h"
#include "driverd/publication_net.h"
#include "lib/sim_driver.h"

#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24000"
#define FIRST_STREAM 1001
#define COUNT 600

struct streams {
    tern_publication *publications[COUNT];
    tern_subscription *subscriptions[COUNT];
    int32_t connected; /* that many from the front */
};

static bool are_connected(void *context) {
    struct streams *streams = context;
    while (streams->connected < COUNT &&
           tern_publication_is_connected(streams->publications[streams->connected])) {
        streams->connected++;
    }
    return streams->connected == COUNT;
}

static struct sim_node *start(struct sim_world *world, struct streams *streams, uint64_t seed) {
    sim_world_init(world, seed);
    world->net.has_gro = true;
    struct sim_node *node = sim_world_add(world);
    sim_world_start(world, node);
    for (int32_t i = 0; i < COUNT; i++) {
        streams->subscriptions[i] = sim_add_subscription(world, node, CHANNEL, FIRST_STREAM + i);
        streams->publications[i] = sim_add_publication(world, node, CHANNEL, FIRST_STREAM + i);
    }
    cr_assert(sim_world_until(world, are_connected, streams, 10 * NS_PER_S));
    return node;
}

/* Frames of one kind, by stream and in all. */
struct seen {
    uint16_t type;
    int32_t count;
    int32_t of_stream[COUNT];
};

static enum sim_verdict see(void *context, const struct sim_packet *packet) {
    struct seen *seen = context;
    struct frame_common common;
    int32_t stream_id;
    memcpy(&common, packet->data, sizeof common);
    size_t offset = common.type == FRAME_TYPE_DATA ? offsetof(struct frame_header, stream_id)
                                                   : offsetof(struct frame_sm, stream_id);
    memcpy(&stream_id, packet->data + offset, sizeof stream_id);
    if (common.type == seen->type) {
        seen->count++;
        seen->of_stream[stream_id - FIRST_STREAM]++;
    }
    return SIM_PASS;
}

/* All that an agent may say in the first milliseconds after a pause in which everything became due;
 * whose turn it was by then. */
static void expect_paced(struct sim_world *world, struct sim_node *node, uint16_t type) {
    static struct seen seen;
    seen = (struct seen){.type = type};
    world->net.filter = see;
    world->net.filter_context = &seen;
    sim_clock_advance(&world->clock, NS_PER_S);
    for (int32_t left = COUNT; left > 0; left -= PACE_FRAMES) {
        int32_t before = seen.count;
        for (int i = 0; i < 20; i++) { /* as many passes as it likes */
            (void)driver_do_work(node->driver, world->clock.now_ns);
        }
        cr_assert_eq(seen.count - before, left < PACE_FRAMES ? left : PACE_FRAMES);
        sim_clock_advance(&world->clock, PACE_PERIOD_NS);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(seen.of_stream[i], 1, "stream %d: %d", i, seen.of_stream[i]);
    }
    world->net.filter = NULL;
}

Test(many_streams, heartbeats_and_status_messages_that_are_due_together_are_spread) {
    static struct sim_world world;
    static struct streams streams;
    struct sim_node *node = start(&world, &streams, 1);
    expect_paced(&world, node, FRAME_TYPE_DATA);
    sim_world_run(&world, NS_PER_S);
    expect_paced(&world, node, FRAME_TYPE_SM);
    sim_world_close(&world);
}

/* A receiver that is busy with data, or asleep, has few cycles. */
Test(many_streams, few_cycles_do_not_slow_status_messages_down) {
    static struct sim_world world;
    static struct streams streams;
    struct sim_node *node = start(&world, &streams, 4);
    struct receiver *receiver = &node->driver->receiver;
    sim_clock_advance(&world.clock, NS_PER_S); /* all are due */
    int64_t sent = sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_SENT);
    for (int32_t left = COUNT; left > 0; left -= PACE_FRAMES) {
        (void)receiver_do_work(receiver, world.clock.now_ns);
        sim_clock_advance(&world.clock, PACE_PERIOD_NS);
    }
    sent = sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_SENT) - sent;
    cr_assert_eq(sent, COUNT, "%lld", (long long)sent);
    sim_world_close(&world);
}

/* Of a second, in which each stream has ten heartbeats and five status messages. */
static int64_t count_calls(struct sim_world *world, struct sim_node *node) {
    int64_t calls = world->net.send_calls;
    int64_t received[] = {sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_RECEIVED),
                          sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED)};
    for (int i = 0; i < 1000; i++) {
        sim_clock_advance(&world->clock, NS_PER_MS);
        (void)driver_do_work(node->driver, world->clock.now_ns);
    }
    received[0] = sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_RECEIVED) - received[0];
    received[1] = sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED) - received[1];
    cr_assert(received[0] >= COUNT * 9 && received[0] <= COUNT * 10, "%lld heartbeats",
              (long long)received[0]);
    cr_assert(received[1] >= COUNT * 4 && received[1] <= COUNT * 5, "%lld status messages",
              (long long)received[1]);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_SHORT_SENDS), 0);
    return world->net.send_calls - calls;
}

Test(many_streams, what_is_due_together_leaves_in_few_calls_and_comes_joined) {
    static struct sim_world world;
    static struct streams streams;
    struct sim_node *node = start(&world, &streams, 2);
    int64_t joined = world.net.joined_count;
    sim_clock_advance(&world.clock, NS_PER_S); /* deadlines fall together */
    sim_world_run(&world, 100 * NS_PER_MS);
    int64_t calls = count_calls(&world, node);
    cr_assert_leq(calls, 15 * COUNT / 30, "%lld calls", (long long)calls);
    cr_assert_gt(world.net.joined_count - joined, 13 * COUNT);
    sim_world_close(&world);
}

/* A device that cannot cut buffers costs one refused call of either side, not one per batch. */
Test(many_streams, without_segmentation_everything_arrives_as_well) {
    static struct sim_world world;
    static struct streams streams;
    struct sim_node *node = start(&world, &streams, 3);
    world.net.segment_error = -EIO;
    int64_t attempts = world.net.segmented_count;
    (void)count_calls(&world, node);
    cr_assert_eq(world.net.segmented_count - attempts, 2);
    sim_world_close(&world);
}

/* What the system does not take is lost until it is due again; it is counted one by one. */
Test(many_streams, frames_that_were_not_taken_are_counted) {
    static struct sim_world world;
    static struct streams streams;
    struct sim_node *node = start(&world, &streams, 4);
    int64_t sent = sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_SENT);
    world.net.send_count_max = 1;
    sim_clock_advance(&world.clock, NS_PER_S);
    struct sender *sender = &node->driver->sender;
    (void)sender_do_work(sender, world.clock.now_ns);
    (void)sender_do_work(sender, world.clock.now_ns);
    sent = sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_SENT) - sent;
    cr_assert_gt(sent, 0);
    cr_assert_gt(sim_system_counter(node, SYSTEM_COUNTER_SHORT_SENDS), sent);
    sim_world_close(&world);
}

Test(many_streams, a_pace_lets_everybody_have_his_turn_in_time) {
    struct pace pace = {0};
    pace_renew(&pace, 1, 5 * NS_PER_S);
    cr_assert_eq(pace.left, PACE_FRAMES);
    cr_assert_eq(pace_rest_ns(&pace, 7, 5 * NS_PER_S), 7);
    pace.left = 0;
    pace_renew(&pace, 1, 5 * NS_PER_S + PACE_PERIOD_NS - 1);
    cr_assert_eq(pace.left, 0);
    cr_assert_eq(pace_rest_ns(&pace, 0, 5 * NS_PER_S + PACE_PERIOD_NS - 1), 1, "not at once");
    cr_assert_eq(pace_rest_ns(&pace, 9, 5 * NS_PER_S + PACE_PERIOD_NS - 1), 9);
    pace_renew(&pace, 100000, 5 * NS_PER_S + PACE_PERIOD_NS);
    cr_assert_eq(pace.left, 100000 / PACE_PERIODS_MAX);
}

struct order {
    int32_t setups;
    int32_t data_before_setup;
};

static enum sim_verdict watch_order(void *context, const struct sim_packet *packet) {
    struct order *order = context;
    struct frame_header header;
    memcpy(&header, packet->data, sizeof header.frame_length + 4);
    order->setups += header.type == FRAME_TYPE_SETUP;
    order->data_before_setup += order->setups == 0 && header.type == FRAME_TYPE_DATA;
    return SIM_PASS;
}

/* Who asked for the SETUP does not know the stream: data that came before would be dropped. */
Test(many_streams, a_setup_that_was_asked_for_leaves_before_the_data) {
    static struct sim_world world;
    struct order order = {0};
    sim_world_init(&world, 5);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_subscription *subscription = sim_add_subscription(&world, node, CHANNEL, 1);
    tern_publication *publication = sim_add_publication(&world, node, CHANNEL, 1);
    struct streams streams = {.publications = {publication}, .connected = COUNT - 1};
    streams.publications[COUNT - 1] = publication;
    cr_assert(sim_world_until(&world, are_connected, &streams, 10 * NS_PER_S));
    sim_world_run(&world, NS_PER_S);
    world.net.filter = watch_order;
    world.net.filter_context = &order;
    struct publication_net *sent = node->driver->sender.publications.items[0];
    sent->is_setup_elicited = true;
    cr_assert_gt(tern_publication_offer(publication, "x", 1), 0);
    sim_world_run(&world, 10 * NS_PER_MS);
    cr_assert_eq(order.setups, 1);
    cr_assert_eq(order.data_before_setup, 0);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

/* Multi-destination subscriptions on whole drivers: a stream by several paths, subscriptions that
 * share them, and ports that change hands. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "driverd/endpoint_recv.h"
#include "driverd/image.h"
#include "lib/sim_driver.h"

#define STREAM 100
#define SESSION 777
#define MANUAL "aeron:udp?control-mode=manual"
#define FIRST "aeron:udp?endpoint=127.0.0.1:26001"
#define SECOND "aeron:udp?endpoint=127.0.0.1:26002"
/* As a cluster's follower subscribes to the log; archive, module and service share it by its tag.
 */
#define LOG(tags)                                                                                  \
    "aeron:udp?tags=" tags "|control-mode=manual|session-id=777|group=true|rejoin=false"
#define TIMEOUT_NS (30 * NS_PER_S)

static int change(struct sim_world *world, tern_subscription *subscription, const char *channel,
                  bool is_adding) {
    struct tern_error error = {0};
    tern_async *async =
        is_adding ? tern_subscription_async_add_destination(subscription, channel, &error)
                  : tern_subscription_async_remove_destination(subscription, channel, &error);
    int result = 0;
    for (int i = 0; i < 100000 && result == 0; i++) {
        cr_assert_not_null(async, "%s", error.text);
        sim_world_step(world, SIM_STEP_NS);
        result = tern_async_poll_destination(async, &error);
    }
    return result;
}

#define add(world, subscription, channel)                                                          \
    cr_assert_eq(change(world, subscription, channel, true), 1, "add %s", channel)
#define take_away(world, subscription, channel)                                                    \
    cr_assert_eq(change(world, subscription, channel, false), 1, "remove %s", channel)

static void add_to_publication(struct sim_world *world, tern_publication *publication,
                               const char *channel) {
    struct tern_error error = {0};
    tern_async *async = tern_publication_async_add_destination(publication, channel, &error);
    int result = 0;
    while (result == 0) {
        cr_assert_not_null(async);
        sim_world_step(world, SIM_STEP_NS);
        result = tern_async_poll_destination(async, &error);
    }
    cr_assert_eq(result, 1, "%s", error.text);
}

/* Numbered messages from one publication to some subscriptions. */
struct flow {
    struct sim_world *world;
    tern_publication *publication;
    tern_subscription *subscriptions[3];
    int64_t received[3];
    int64_t sent;
    int64_t count;
};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    int64_t number;
    int64_t *received = context;
    (void)header;
    cr_assert_eq(length, 512);
    memcpy(&number, buffer, sizeof number);
    cr_assert_eq(number, *received, "message %lld", (long long)number);
    (*received)++;
}

static bool has_arrived(void *context) {
    struct flow *flow = context;
    uint8_t message[512] = {0};
    bool is_complete = true;
    while (flow->sent < flow->count) {
        memcpy(message, &flow->sent, sizeof flow->sent);
        if (tern_publication_offer(flow->publication, message, sizeof message) < 0) {
            break;
        }
        flow->sent++;
    }
    for (int i = 0; i < 3; i++) {
        if (flow->subscriptions[i] != NULL) {
            (void)tern_subscription_poll(flow->subscriptions[i], on_message, &flow->received[i],
                                         100);
            is_complete = is_complete && flow->received[i] == flow->count;
        }
    }
    return is_complete;
}

static void send_messages(struct flow *flow, int64_t count) {
    flow->count += count;
    cr_assert(sim_world_until(flow->world, has_arrived, flow, TIMEOUT_NS),
              "%lld sent, %lld %lld %lld of %lld came", (long long)flow->sent,
              (long long)flow->received[0], (long long)flow->received[1],
              (long long)flow->received[2], (long long)flow->count);
}

static bool has_image(void *context) {
    return tern_subscription_is_connected(context);
}

static bool has_no_image(void *context) {
    return !tern_subscription_is_connected(context);
}

static bool has_two_transports(void *context) {
    tern_image *image = tern_subscription_image_at_index(context, 0);
    int32_t count = image == NULL ? 0 : tern_image_active_transport_count(image);
    tern_image_release(image);
    return count == 2;
}

static void start(struct sim_world *world, uint64_t seed, int count) {
    sim_world_init(world, seed);
    for (int i = 0; i < count; i++) {
        sim_world_start(world, sim_world_add(world));
    }
}

/* A packet filter that closes one path. */
static enum sim_verdict drop_to_port(void *context, const struct sim_packet *packet) {
    return net_address_port(&packet->to) == *(uint16_t *)context ? SIM_DROP : SIM_PASS;
}

Test(receive_destinations, one_stream_by_two_paths_is_one_image_and_outlives_either) {
    static struct sim_world world;
    start(&world, 1, 2);
    struct sim_node *a = &world.nodes[0], *b = &world.nodes[1];
    struct flow flow = {.world = &world};
    flow.subscriptions[0] = sim_add_subscription(&world, b, MANUAL, STREAM);
    cr_assert_eq(sim_net_open_count(&world.net), 0);
    add(&world, flow.subscriptions[0], FIRST);
    add(&world, flow.subscriptions[0], SECOND);
    cr_assert_eq(sim_net_open_count(&world.net), 2);
    flow.publication = sim_add_publication(&world, a, MANUAL, STREAM);
    add_to_publication(&world, flow.publication, FIRST);
    add_to_publication(&world, flow.publication, SECOND);
    world.net.faults = (struct sim_faults){.drop = 0.05, .delay_max_ns = 200 * NS_PER_US};
    send_messages(&flow, 300);
    cr_assert_eq(tern_subscription_image_count(flow.subscriptions[0]), 1);
    cr_assert(sim_world_until(&world, has_two_transports, flow.subscriptions[0], TIMEOUT_NS));

    uint16_t port = 26001;
    world.net.filter = drop_to_port;
    world.net.filter_context = &port;
    send_messages(&flow, 300);
    world.net.filter = NULL;
    take_away(&world, flow.subscriptions[0], SECOND);
    send_messages(&flow, 300);
    cr_assert_eq(tern_subscription_image_count(flow.subscriptions[0]), 1);
    cr_assert_eq(b->driver->conductor.images.count, 1);
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(sim_net_open_count(&world.net), 2, "the publication's and one path");
    take_away(&world, flow.subscriptions[0], SECOND); /* gone is gone */
    tern_publication_close(flow.publication);
    tern_subscription_close(flow.subscriptions[0]);
    sim_world_close(&world);
}

/* The way of a follower into the log of its leader (cluster.md 3.8). */
Test(receive_destinations, a_replay_and_the_live_log_feed_one_image_of_all_who_share_the_tag) {
    static struct sim_world world;
    start(&world, 2, 2);
    struct sim_node *a = &world.nodes[0], *b = &world.nodes[1];
    struct flow flow = {.world = &world};
    for (int i = 0; i < 3; i++) {
        flow.subscriptions[i] = sim_add_subscription(&world, b, LOG("41,42"), STREAM);
    }
    cr_assert_eq(b->driver->conductor.endpoints_recv.count, 1);
    add(&world, flow.subscriptions[1], "aeron:udp?endpoint=127.0.0.1:0");
    char address[TERN_ADDRESS_TEXT_MAX], channel[256];
    cr_assert_eq(tern_subscription_resolved_endpoint(flow.subscriptions[2], address), 1);
    (void)snprintf(channel, sizeof channel,
                   "aeron:udp?endpoint=%s|session-id=777|init-term-id=3|term-id=3|term-offset=0|"
                   "term-length=64k|linger=0|eos=false",
                   address);
    flow.publication = sim_add_publication(&world, a, channel, STREAM);
    send_messages(&flow, 250);
    int64_t position = tern_publication_position(flow.publication);
    tern_image *image = tern_subscription_image_by_session_id(flow.subscriptions[0], SESSION);

    (void)snprintf(channel, sizeof channel,
                   MANUAL "|session-id=777|init-term-id=3|term-id=%d|term-offset=%d|"
                          "term-length=64k|tags=1,2|control=127.0.0.1:0|alias=log",
                   3 + (int)(position / 65536), (int)(position % 65536));
    tern_publication *replay = flow.publication;
    flow.publication = sim_add_publication(&world, a, channel, STREAM);
    add(&world, flow.subscriptions[1], FIRST);
    add_to_publication(&world, flow.publication, FIRST);
    send_messages(&flow, 100);
    cr_assert(sim_world_until(&world, has_two_transports, flow.subscriptions[0], TIMEOUT_NS));
    tern_publication_close(replay);
    take_away(&world, flow.subscriptions[1], "aeron:udp?endpoint=127.0.0.1:0");
    send_messages(&flow, 250);
    sim_world_run(&world, 12 * NS_PER_S); /* the end of the replay is not the end of the image */
    send_messages(&flow, 250);
    cr_assert_not(tern_image_is_closed(image));
    tern_image_release(image);

    /* Who added the destination may go: it is everybody's. */
    tern_subscription_close(flow.subscriptions[1]);
    flow.subscriptions[1] = NULL;
    send_messages(&flow, 250);
    tern_publication_close(flow.publication);
    cr_assert(sim_world_until(&world, has_no_image, flow.subscriptions[0], TIMEOUT_NS));
    tern_subscription_close(flow.subscriptions[0]);
    tern_subscription_close(flow.subscriptions[2]);
    sim_world_run(&world, 10 * NS_PER_S);
    cr_assert_eq(sim_net_open_count(&world.net), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_ERRORS), 0);
    sim_world_close(&world);
}

/* A new term of the cluster: what the old one had is dropped and wanted again at once, with images
 * that are about to end, and without taking the destination away first. */
Test(receive_destinations, a_port_changes_hands_without_anybody_having_to_try_again) {
    static struct sim_world world;
    start(&world, 3, 2);
    struct sim_node *a = &world.nodes[0], *b = &world.nodes[1];
    for (int round = 0; round < 4; round++) {
        struct flow flow = {.world = &world};
        char log[128];
        (void)snprintf(log, sizeof log, MANUAL "|tags=%d|rejoin=false", 50 + round);
        flow.subscriptions[0] = sim_add_subscription(&world, b, round == 3 ? FIRST : log, STREAM);
        if (round < 3) {
            add(&world, flow.subscriptions[0], FIRST);
        }
        flow.publication = sim_add_publication(&world, a, FIRST, STREAM);
        send_messages(&flow, 20);
        cr_assert_eq(b->driver->conductor.endpoints_recv.endpoints[0]->is_vacated, round > 0);
        if (round == 1) {
            take_away(&world, flow.subscriptions[0], FIRST);
            add(&world, flow.subscriptions[0], FIRST); /* the socket may still be open */
        }
        send_messages(&flow, 20);
        tern_publication_close(flow.publication);
        tern_subscription_close(flow.subscriptions[0]);
    }
    sim_world_run(&world, 20 * NS_PER_S);
    cr_assert_eq(sim_net_open_count(&world.net), 0);
    cr_assert_eq(b->driver->conductor.images.count, 0);
    cr_assert_eq(b->driver->conductor.endpoints_recv.count, 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_ERRORS), 0);
    sim_world_close(&world);
}

/* The same for ordinary endpoints; the receiver needs a cycle to let go of the first. */
Test(receive_destinations, a_channel_that_is_just_closing_is_waited_for) {
    static struct sim_world world;
    start(&world, 4, 1);
    struct sim_node *node = &world.nodes[0];
    for (int i = 0; i < 5; i++) {
        tern_subscription *subscription = sim_add_subscription(&world, node, FIRST, STREAM);
        tern_publication *publication =
            sim_add_publication(&world, node, SECOND "|control=127.0.0.1:26003|linger=0", STREAM);
        tern_subscription_close(subscription);
        tern_publication_close(publication);
        if (i == 2) {
            sim_world_run(&world, NS_PER_S); /* the publication has lingered, its port is free */
        }
    }
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_ERRORS), 0);
    /* What is not on its way out is in the way for good. */
    int stranger = sim_net_bind(&world.net, "127.0.0.1:26002");
    tern_subscription *subscription = sim_add_subscription(&world, node, MANUAL, STREAM);
    tern_subscription *holder = sim_add_subscription(&world, node, FIRST, STREAM);
    cr_assert_lt(change(&world, subscription, SECOND, true), 0);
    cr_assert_lt(change(&world, subscription, FIRST, true), 0);
    cr_assert_eq(node->driver->conductor.pending.count, 0);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_ERRORS), 2);
    tern_subscription_close(subscription);
    tern_subscription_close(holder);
    (void)stranger;
    sim_world_close(&world);
}

Test(receive_destinations, the_stream_ends_when_it_has_by_every_path_that_lives) {
    static const struct {
        bool is_removed; /* the path that did not end is taken away, else it falls silent */
        int64_t at_least_ns, at_most_ns;
    } rows[] = {{true, 0, 10 * NS_PER_MS}, {false, 4 * NS_PER_S, 7 * NS_PER_S}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct sim_world world;
        start(&world, 5 + i, 2);
        struct sim_node *a = &world.nodes[0], *b = &world.nodes[1];
        struct flow flow = {.world = &world};
        flow.subscriptions[0] = sim_add_subscription(&world, b, MANUAL, STREAM);
        add(&world, flow.subscriptions[0], FIRST);
        add(&world, flow.subscriptions[0], SECOND);
#define START "|session-id=777|init-term-id=9|term-id=9|term-offset=0"
        flow.publication = sim_add_publication(&world, a, FIRST START "|linger=30s", STREAM);
        tern_publication *other =
            sim_add_publication(&world, a, SECOND START "|linger=0|eos=false", STREAM);
        sim_world_run(&world, NS_PER_S);
        cr_assert(sim_world_until(&world, has_image, flow.subscriptions[0], TIMEOUT_NS));
        tern_image *image = tern_subscription_image_at_index(flow.subscriptions[0], 0);
        const struct image *inner = b->driver->conductor.images.items[0];
        cr_assert(sim_world_until(&world, has_two_transports, flow.subscriptions[0], TIMEOUT_NS));
        tern_publication_close(flow.publication);
        sim_world_run(&world, 2 * NS_PER_S);
        cr_assert_eq(tern_image_end_of_stream_position(image), INT64_MAX, "one path goes on");
        int64_t start_ns = world.clock.now_ns;
        tern_publication_close(other); /* without end of stream */
        if (rows[i].is_removed) {
            take_away(&world, flow.subscriptions[0], SECOND);
        }
        while (inner->is_eos == 0 && world.clock.now_ns - start_ns < TIMEOUT_NS) {
            sim_world_step(&world, SIM_STEP_NS);
        }
        int64_t elapsed_ns = world.clock.now_ns - start_ns;
        cr_assert_geq(elapsed_ns, rows[i].at_least_ns, "row %zu", i);
        cr_assert_leq(elapsed_ns, rows[i].at_most_ns, "row %zu", i);
        cr_assert(sim_world_until(&world, has_no_image, flow.subscriptions[0], TIMEOUT_NS));
        tern_image_release(image);
        tern_subscription_close(flow.subscriptions[0]);
        sim_world_close(&world);
    }
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

/* From another port, as whoever starts again has. */
Test(receive_destinations, a_source_that_comes_back_is_heard_and_has_not_ended) {
    static const struct {
        const char *channel;
        int64_t at_most_ns;
    } rows[] = {{SECOND START "|linger=0", NS_PER_S},
                {SECOND START "|linger=0|eos=false", 7 * NS_PER_S}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct sim_world world;
        start(&world, 15 + i, 2);
        struct sim_node *a = &world.nodes[0], *b = &world.nodes[1];
        tern_subscription *subscription = sim_add_subscription(&world, b, MANUAL, STREAM);
        add(&world, subscription, FIRST);
        add(&world, subscription, SECOND);
        tern_publication *first = sim_add_publication(&world, a, FIRST START "|linger=0", STREAM);
        tern_publication *second = sim_add_publication(&world, a, rows[i].channel, STREAM);
        cr_assert(sim_world_until(&world, has_image, subscription, TIMEOUT_NS));
        cr_assert(sim_world_until(&world, has_two_transports, subscription, TIMEOUT_NS));
        tern_publication_close(second);
        sim_world_run(&world, NS_PER_S);
        second = sim_add_publication(&world, a, rows[i].channel, STREAM);
        cr_assert(sim_world_until(&world, is_connected, second, rows[i].at_most_ns), "row %zu", i);
        tern_publication_close(first);
        sim_world_run(&world, 3 * NS_PER_S);
        cr_assert(has_image(subscription), "row %zu: the second source goes on", i);
        tern_publication_close(second);
        tern_subscription_close(subscription);
        sim_world_close(&world);
    }
}

Test(receive_destinations, local_streams_are_destinations_of_one_subscription) {
    static struct sim_world world;
    start(&world, 7, 1);
    struct sim_node *node = &world.nodes[0];
    const struct conductor *conductor = &node->driver->conductor;
    tern_publication *ipc = sim_add_publication(&world, node, "aeron:ipc", STREAM);
    tern_publication *net =
        sim_add_publication(&world, node, SECOND "|tags=8|ssc=true|session-id=777", STREAM);
    tern_publication *other =
        sim_add_publication(&world, node, SECOND "|session-id=778", STREAM + 1);
    struct flow flow = {.world = &world, .publication = ipc};
    tern_subscription *subscription = sim_add_subscription(&world, node, MANUAL, STREAM);
    tern_subscription *twin = sim_add_subscription(&world, node, MANUAL, STREAM);
    add(&world, subscription, "aeron:ipc");
    cr_assert(sim_world_until(&world, has_image, subscription, TIMEOUT_NS));
    cr_assert_not(tern_subscription_is_connected(twin), "it is not a twin in this");
    flow.subscriptions[0] = subscription;
    send_messages(&flow, 10);
    cr_assert_lt(change(&world, subscription, "aeron:ipc", true), 0, "twice is once too often");
    add(&world, subscription, "aeron-spy:aeron:udp?tags=8|session-id=777");
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(tern_subscription_image_count(subscription), 2);
    cr_assert(tern_publication_is_connected(net));
    take_away(&world, subscription, "aeron:ipc");
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(tern_subscription_image_count(subscription), 1);
    cr_assert_not(tern_publication_is_connected(ipc));
    tern_image *image = tern_subscription_image_by_session_id(subscription, SESSION);
    cr_assert_not_null(image);
    tern_image_release(image);
    add(&world, subscription, "aeron:ipc");

    /* The filter of the subscription holds for what it is given. */
    tern_subscription *filtered =
        sim_add_subscription(&world, node, MANUAL "|session-id=777", STREAM);
    add(&world, filtered, "aeron:ipc");
    cr_assert_lt(change(&world, filtered, "aeron:ipc?session-id=778", true), 0);
    add(&world, filtered, "aeron-spy:" SECOND "|tags=8");
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(tern_subscription_image_count(filtered), 1);
    cr_assert_lt(change(&world, filtered, "aeron-spy:aeron:ipc", true), 0);

    cr_assert_eq(conductor->subscriptions.count, 7);
    tern_subscription_close(subscription);
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(conductor->subscriptions.count, 4);
    cr_assert_not(tern_publication_is_connected(ipc));
    tern_client_close(node->client); /* ends the rest with its destinations */
    node->client = NULL;
    tern_subscription_close(twin);
    tern_subscription_close(filtered);
    tern_publication_close(ipc);
    tern_publication_close(net);
    tern_publication_close(other);
    for (int i = 0; i < 5000; i++) {
        (void)driver_do_work(node->driver, world.clock.now_ns);
        sim_clock_advance(&world.clock, NS_PER_MS);
    }
    cr_assert_eq(conductor->subscriptions.count, 0);
    sim_world_close(&world);
}

/* Status messages that a raw socket has received; those that ask for a SETUP apart. */
static int count_status(struct sim_world *world, int socket, int *setup_requests) {
    static uint8_t buffer[65536];
    union net_address source;
    int count = 0;
    *setup_requests = 0;
    while (sim_net_receive(&world->net, socket, buffer, &source) > 0) {
        const struct frame_common *common = (const void *)buffer;
        bool is_request = (common->flags & FRAME_SM_FLAG_SEND_SETUP) != 0;
        *setup_requests += common->type == FRAME_TYPE_SM && is_request;
        count += common->type == FRAME_TYPE_SM && !is_request;
    }
    return count;
}

/* A destination with control asks there for SETUP, and follows the name when it moves: so does the
 * feedback of images that it has. */
Test(receive_destinations, a_control_address_is_asked_and_followed) {
    static struct sim_world world;
    start(&world, 8, 1);
    struct sim_node *node = &world.nodes[0];
    const char *destination = SECOND "|control=leader:27000|control-mode=dynamic";
    int requests;
    sim_net_set_host(&world.net, "leader", "127.0.0.5");
    int first = sim_net_bind(&world.net, "127.0.0.5:27000");
    int second = sim_net_bind(&world.net, "127.0.0.6:27000");
    tern_subscription *subscription = sim_add_subscription(&world, node, MANUAL, STREAM);
    add(&world, subscription, FIRST);
    add(&world, subscription, destination);
    sim_world_run(&world, 3 * NS_PER_S + NS_PER_MS);
    cr_assert_eq(count_status(&world, first, &requests), 0);
    cr_assert_eq(requests, 4, "one at once, then one per second: %d", requests);
    const struct frame_setup setup = {.common = {.frame_length = 40, .type = FRAME_TYPE_SETUP},
                                      .session_id = SESSION,
                                      .stream_id = STREAM,
                                      .term_length = 65536,
                                      .mtu = 1408};
    sim_net_send(&world.net, first, "127.0.0.1:26002", &setup, sizeof setup);
    sim_world_run(&world, NS_PER_S);
    cr_assert_gt(count_status(&world, first, &requests), 2);
    sim_net_set_host(&world.net, "leader", "127.0.0.6");
    sim_world_run(&world, 7 * NS_PER_S); /* not yet the end of the image */
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_RESOLUTION_CHANGES), 1);
    (void)count_status(&world, first, &requests);
    cr_assert_eq(count_status(&world, second, &requests), 0, "nothing came from there");
    cr_assert_gt(requests, 0);
    sim_net_send(&world.net, second, "127.0.0.1:26002", &setup, sizeof setup);
    sim_world_run(&world, NS_PER_S);
    cr_assert_gt(count_status(&world, second, &requests), 2);
    cr_assert_eq(count_status(&world, first, &requests), 0);
    cr_assert_eq(requests, 0);
    take_away(&world, subscription, destination);
    sim_world_run(&world, 2 * NS_PER_S);
    (void)count_status(&world, second, &requests);
    sim_world_run(&world, 2 * NS_PER_S);
    cr_assert_eq(count_status(&world, second, &requests), 0);
    cr_assert_eq(requests, 0, "a destination that is gone asks for nothing");
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

Test(receive_destinations, what_makes_no_sense_is_refused_and_the_limit_holds) {
    static struct sim_world world;
    start(&world, 9, 1);
    struct sim_node *node = &world.nodes[0];
    tern_subscription *plain = sim_add_subscription(&world, node, FIRST, STREAM);
    tern_subscription *ipc = sim_add_subscription(&world, node, "aeron:ipc", STREAM);
    tern_subscription *manual =
        sim_add_subscription(&world, node, MANUAL "|tags=9|rcv-wnd=64k", STREAM);
    tern_subscription *tagged = sim_add_subscription(&world, node, "aeron:udp?tags=9", STREAM);
    static const char *const bad[] = {
        "aeron:udp?endpoint=127.0.0.1:26002|rcv-wnd=32k",
        "aeron:udp?endpoint=127.0.0.1:26002|so-rcvbuf=32k",
        "aeron:udp?endpoint=127.0.0.1:26002|control-mode=manual",
        "aeron:udp?control=127.0.0.1:26002",
        "aeron:udp?endpoint=nowhere:26002",
        "aeron:udp?endpoint=224.0.1.2:26002",
        "aeron:udp",
        "nonsense",
        "aeron-spy:aeron:ipc",
        "aeron-spy:nonsense",
        FIRST,
    };
    cr_assert_lt(change(&world, plain, SECOND, true), 0);
    cr_assert_lt(change(&world, ipc, SECOND, true), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_lt(change(&world, manual, bad[i], true), 0, "%s", bad[i]);
    }
    add(&world, manual, "aeron:udp?endpoint=127.0.0.1:26002|rcv-wnd=64k|mtu=1408|so-rcvbuf=128k");
    cr_assert_eq(sim_net_open_count(&world.net), 2);
    for (int i = 1; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        add(&world, tagged, "aeron:udp?endpoint=127.0.0.1:0");
    }
    cr_assert_lt(change(&world, manual, "aeron:udp?endpoint=127.0.0.1:0", true), 0);
    take_away(&world, manual, "aeron:udp?endpoint=127.0.0.1:0");
    add(&world, manual, "aeron:udp?endpoint=127.0.0.1:0");
    cr_assert_eq(sim_net_open_count(&world.net), 1 + ENDPOINT_DESTINATIONS_MAX);
    tern_subscription_close(plain);
    tern_subscription_close(ipc);
    tern_subscription_close(manual);
    tern_subscription_close(tagged);
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(sim_net_open_count(&world.net), 0);
    sim_world_close(&world);
}

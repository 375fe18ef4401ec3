/* Multicast between whole drivers on the simulated network: one publication, a group of receivers,
 * feedback in the control group. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "driverd/image.h"
#include "driverd/publication_net.h"
#include "lib/sim_driver.h"

#define STREAM 100
#define GROUP "aeron:udp?endpoint=224.20.30.39:24326|interface=127.0.0.1"
#define TIMEOUT_NS (60 * NS_PER_S)

/* What passes the network, by the address that it goes to. */
struct traffic {
    int to_data_group;
    int to_control_group;
    int elsewhere;
    int naks;
    struct frame_setup setup; /* the last one */
    int32_t drop_offset;      /* of the data to drop once, or the next behind it; -1: none */
};

static enum sim_verdict watch(void *context, const struct sim_packet *packet) {
    struct traffic *traffic = context;
    char to[NET_ADDRESS_TEXT_MAX];
    struct frame_common common;
    (void)net_address_format(&packet->to, to);
    memcpy(&common, packet->data, sizeof common);
    bool is_data = strcmp(to, "224.20.30.39:24326") == 0;
    bool is_control = strcmp(to, "224.20.30.40:24326") == 0;
    traffic->to_data_group += is_data;
    traffic->to_control_group += is_control;
    traffic->elsewhere += !is_data && !is_control;
    traffic->naks += common.type == FRAME_TYPE_NAK;
    if (common.type == FRAME_TYPE_SETUP) {
        memcpy(&traffic->setup, packet->data, sizeof traffic->setup);
    }
    if (common.type == FRAME_TYPE_DATA && packet->length > LOG_FRAME_HEADER_LENGTH &&
        traffic->drop_offset >= 0 &&
        get_i32(packet->data + offsetof(struct frame_header, term_offset)) >=
            traffic->drop_offset) {
        traffic->drop_offset = -1;
        return SIM_DROP;
    }
    return SIM_PASS;
}

/* Numbered messages from one publication to two subscriptions. */
struct flow {
    tern_publication *publication;
    tern_subscription *subscriptions[2];
    int64_t received[2];
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
    for (int i = 0; i < 2; i++) {
        if (flow->subscriptions[i] != NULL) {
            (void)tern_subscription_poll(flow->subscriptions[i], on_message, &flow->received[i],
                                         100);
            is_complete = is_complete && flow->received[i] == flow->count;
        }
    }
    return is_complete;
}

static void send_messages(struct sim_world *world, struct flow *flow, int64_t count) {
    flow->count += count;
    cr_assert(sim_world_until(world, has_arrived, flow, TIMEOUT_NS),
              "%lld sent, %lld and %lld of %lld came", (long long)flow->sent,
              (long long)flow->received[0], (long long)flow->received[1], (long long)flow->count);
}

static bool has_no_sockets(void *context) {
    return sim_net_open_count(context) == 0;
}

static void end(struct sim_world *world, struct flow *flow) {
    tern_publication_close(flow->publication);
    for (int i = 0; i < 2; i++) {
        if (flow->subscriptions[i] != NULL) {
            tern_subscription_close(flow->subscriptions[i]);
        }
    }
    cr_assert(sim_world_until(world, has_no_sockets, &world->net, TIMEOUT_NS));
    sim_world_close(world);
}

static void start(struct sim_world *world, uint64_t seed, const char *flow_control) {
    sim_world_init(world, seed);
    for (int i = 0; i < 3; i++) {
        struct sim_node *node = sim_world_add(world);
        (void)snprintf(node->conf.multicast_flow_control, sizeof node->conf.multicast_flow_control,
                       "%s", flow_control);
        sim_world_start(world, node);
    }
}

static struct image *image_of(struct sim_node *node) {
    cr_assert_eq(node->driver->conductor.images.count, 1);
    return node->driver->conductor.images.items[0];
}

Test(multicast, every_member_receives_what_is_sent_once_and_answers_in_the_control_group) {
    static struct sim_world world;
    struct traffic traffic = {.drop_offset = 1000}; /* for both receivers */
    start(&world, 1, "multicast_min");
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM),
                          sim_add_subscription(&world, &world.nodes[2], GROUP "|ttl=3", STREAM)},
        .publication =
            sim_add_publication(&world, &world.nodes[0], GROUP "|ttl=7|fc=min,g:/2", STREAM),
    };
    send_messages(&world, &flow, 50);
    struct publication_net *publication =
        world.nodes[0].driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->flow.receiver_count, 2);
    cr_assert_eq(publication->base.log->metadata->group, 1);
    cr_assert_eq(traffic.drop_offset, -1, "a message was lost");
    cr_assert_eq(traffic.elsewhere, 0);
    cr_assert_gt(traffic.to_control_group, 0);
    cr_assert_eq(traffic.setup.common.flags, FRAME_SETUP_FLAG_GROUP);
    cr_assert_eq(traffic.setup.ttl, 7);
    cr_assert_eq(sim_system_counter(&world.nodes[0], SYSTEM_COUNTER_RETRANSMITS_SENT), 1);
    cr_assert_leq(traffic.naks, 2);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(image_of(&world.nodes[i])->loss_detector.params.mode, NAK_GROUP);
        cr_assert_eq(image_of(&world.nodes[i])->log->metadata->group, 1);
    }
    end(&world, &flow);
}

Test(multicast, streams_survive_loss_that_differs_from_member_to_member, .timeout = 60) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        static struct sim_world world;
        start(&world, seed, "multicast_min");
        world.net.faults =
            (struct sim_faults){.drop = 0.1, .duplicate = 0.1, .delay_max_ns = 500 * NS_PER_US};
        struct flow flow = {
            .subscriptions = {sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM),
                              sim_add_subscription(&world, &world.nodes[2], GROUP, STREAM)},
            .publication =
                sim_add_publication(&world, &world.nodes[0], GROUP "|fc=min,g:/2", STREAM),
        };
        send_messages(&world, &flow, 300);
        cr_assert_gt(sim_system_counter(&world.nodes[1], SYSTEM_COUNTER_NAKS_SENT), 0);
        cr_assert_gt(sim_system_counter(&world.nodes[2], SYSTEM_COUNTER_NAKS_SENT), 0);
        world.net.faults = (struct sim_faults){0};
        end(&world, &flow);
    }
}

Test(multicast, by_default_the_fastest_member_governs) {
    static struct sim_world world;
    start(&world, 5, "multicast_max");
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM), NULL},
        .publication = sim_add_publication(&world, &world.nodes[0], GROUP, STREAM),
    };
    tern_subscription *idle = sim_add_subscription(&world, &world.nodes[2], GROUP, STREAM);
    send_messages(&world, &flow, 400); /* more than the log of the one who does not poll */
    cr_assert_gt(sim_system_counter(&world.nodes[2], SYSTEM_COUNTER_FLOW_CONTROL_OVER_RUNS), 0);
    tern_subscription_close(idle);
    end(&world, &flow);
}

Test(multicast, group_semantics_can_be_forced_either_way) {
    static const struct {
        const char *channel;
        int configured;
        enum nak_mode mode;
    } rows[] = {
        {GROUP, DRIVER_GROUP_INFER, NAK_GROUP},
        {GROUP "|group=false", DRIVER_GROUP_INFER, NAK_UNICAST},
        {GROUP, DRIVER_GROUP_FALSE, NAK_UNICAST},
        {GROUP "|group=infer", DRIVER_GROUP_FALSE, NAK_GROUP},
        {GROUP "|reliable=false", DRIVER_GROUP_TRUE, NAK_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct sim_world world;
        sim_world_init(&world, 7);
        struct sim_node *from = sim_world_add(&world), *to = sim_world_add(&world);
        to->conf.group_consideration = rows[i].configured;
        sim_world_start(&world, from);
        sim_world_start(&world, to);
        struct flow flow = {
            .subscriptions = {sim_add_subscription(&world, to, rows[i].channel, STREAM), NULL},
            .publication = sim_add_publication(&world, from, GROUP, STREAM),
        };
        send_messages(&world, &flow, 1);
        cr_assert_eq(image_of(to)->loss_detector.params.mode, rows[i].mode, "%s", rows[i].channel);
        end(&world, &flow);
    }
}

Test(multicast, each_stream_of_an_open_channel_has_its_own_wish_for_group_semantics) {
    static struct sim_world world;
    struct tern_error error = {0};
    sim_world_init(&world, 8);
    struct sim_node *from = sim_world_add(&world), *to = sim_world_add(&world);
    sim_world_start(&world, from);
    sim_world_start(&world, to);
    tern_subscription *opener = sim_add_subscription(&world, to, GROUP "|group=true", STREAM + 1);
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, to, GROUP, STREAM),
                          sim_add_subscription(&world, to, GROUP "|group=false", STREAM)},
        .publication = sim_add_publication(&world, from, GROUP, STREAM),
    };
    send_messages(&world, &flow, 1);
    cr_assert_eq(image_of(to)->loss_detector.params.mode, NAK_UNICAST);
    cr_assert_null(sim_try_add_subscription(&world, to, GROUP "|group=true", STREAM, &error));
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL);
    cr_assert_not_null(strstr(error.text, "group"), "%s", error.text);
    tern_subscription *same = sim_add_subscription(&world, to, GROUP "|group=false", STREAM);
    tern_subscription_close(same);
    tern_subscription_close(opener);
    end(&world, &flow);
}

Test(multicast, a_group_is_a_destination_of_a_subscription_and_several_channels_share_nothing) {
    static struct sim_world world;
    struct traffic traffic = {.drop_offset = -1};
    struct tern_error error = {0};
    start(&world, 9, "multicast_max");
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, &world.nodes[1],
                                               "aeron:udp?control-mode=manual", STREAM),
                          sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM)},
    };
    tern_async *async =
        tern_subscription_async_add_destination(flow.subscriptions[0], GROUP, &error);
    int result = 0;
    while (result == 0) {
        cr_assert_not_null(async);
        sim_world_step(&world, SIM_STEP_NS);
        result = tern_async_poll_destination(async, &error);
    }
    cr_assert_eq(result, 1, "%s", error.text);
    cr_assert_eq(sim_net_open_count(&world.net), 2);
    flow.publication = sim_add_publication(&world, &world.nodes[0], GROUP, STREAM);
    cr_assert_eq(sim_net_open_count(&world.net), 4, "one to send, one for the control group");
    send_messages(&world, &flow, 20);
    cr_assert_eq(traffic.elsewhere, 0);
    end(&world, &flow);
}

Test(multicast, a_name_may_mean_a_group_but_not_an_even_one) {
    static struct sim_world world;
    struct tern_error error = {0};
    start(&world, 11, "multicast_max");
    sim_net_set_host(&world.net, "odd", "224.20.30.39");
    sim_net_set_host(&world.net, "even", "224.20.30.40");
    cr_assert_null(sim_try_add_publication(&world, &world.nodes[0], "aeron:udp?endpoint=even:24326",
                                           STREAM, &error));
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL);
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM), NULL},
        .publication =
            sim_add_publication(&world, &world.nodes[0], "aeron:udp?endpoint=odd:24326", STREAM),
    };
    send_messages(&world, &flow, 5);
    end(&world, &flow);
}

Test(multicast, the_ttl_is_that_of_the_channel_or_else_the_configured) {
    static struct sim_world world;
    sim_world_init(&world, 13);
    struct sim_node *node = sim_world_add(&world);
    node->conf.multicast_ttl = 5;
    sim_world_start(&world, node);
    struct flow flow = {0};
    flow.subscriptions[0] = sim_add_subscription(&world, node, GROUP, STREAM);
    flow.subscriptions[1] =
        sim_add_subscription(&world, node, "aeron:udp?endpoint=224.20.30.41:24326|ttl=9", STREAM);
    flow.publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=224.20.30.43:24326|ttl=7", STREAM);
    const struct endpoint_send *sending = node->driver->conductor.endpoints_send.endpoints[0];
    cr_assert_eq(world.net.sockets[0].ttl, 5);
    cr_assert_eq(world.net.sockets[1].ttl, 9);
    cr_assert_eq(world.net.sockets[sending->socket.handle].ttl, 7);
    cr_assert_neq(sending->socket.control_handle, sending->socket.handle);
    end(&world, &flow);
}

static int change(struct sim_world *world, tern_publication *publication, const char *channel,
                  bool is_adding, struct tern_error *error) {
    tern_async *async =
        is_adding ? tern_publication_async_add_destination(publication, channel, error)
                  : tern_publication_async_remove_destination(publication, channel, error);
    int result = 0;
    while (result == 0) {
        cr_assert_not_null(async);
        sim_world_step(world, SIM_STEP_NS);
        result = tern_async_poll_destination(async, error);
    }
    return result;
}

static void on_publication_error(void *context, const struct tern_publication_error *values) {
    *(int64_t *)context = values->destination_registration_id;
}

static bool is_told(void *context) {
    return *(int64_t *)context != -1;
}

/* Two groups and a single host: feedback of each comes by its own way. */
Test(multicast, groups_are_destinations_of_a_publication_beside_others) {
    static struct sim_world world;
    struct traffic traffic = {.drop_offset = -1};
    struct tern_error error = {0};
    start(&world, 15, "multicast_min");
    struct sim_node *from = &world.nodes[0];
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, &world.nodes[1], GROUP, STREAM),
                          sim_add_subscription(&world, &world.nodes[2],
                                               "aeron:udp?endpoint=127.0.0.1:24330", STREAM)},
        .publication =
            sim_add_publication(&world, from, "aeron:udp?control-mode=manual|fc=min,g:/2", STREAM),
    };
    const char *const unicast = "aeron:udp?endpoint=127.0.0.1:24330";
    cr_assert_eq(change(&world, flow.publication, GROUP "|ttl=9", true, &error), 1, "%s",
                 error.text);
    cr_assert_eq(change(&world, flow.publication, unicast, true, &error), 1, "%s", error.text);
    const struct endpoint_send *endpoint = from->driver->conductor.endpoints_send.endpoints[0];
    const struct destination *group = endpoint->manual_destinations->next;
    cr_assert(group->is_group);
    cr_assert_eq(world.net.sockets[group->socket.handle].ttl, 9);
    cr_assert(world.net.sockets[group->socket.control_handle].has_group);
    cr_assert_eq(sim_net_open_count(&world.net), 5, "two receive, three belong to the publication");
    send_messages(&world, &flow, 50);
    const struct publication_net *publication = from->driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->flow.receiver_count, 2);
    cr_assert_gt(traffic.to_data_group, 0);
    cr_assert_gt(traffic.to_control_group, 0);
    cr_assert_eq(load_acquire_i64(endpoint->destinations_counter), 2);
    cr_assert_gt(load_acquire_i64(&group->last_sm_time_ns), group->asked_ns);

    cr_assert_eq(change(&world, flow.publication, GROUP, false, &error), 1, "%s", error.text);
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(sim_net_open_count(&world.net), 3, "the group's sockets are closed");
    cr_assert_eq(
        change(&world, flow.publication, "aeron:udp?endpoint=224.20.30.40:24326", true, &error),
        TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL);
    cr_assert_eq(change(&world, flow.publication, GROUP, true, &error), 1, "%s", error.text);
    send_messages(&world, &flow, 5);
    end(&world, &flow); /* with the group in it */
}

Test(multicast, a_loss_and_a_rejection_in_a_group_that_is_a_destination_come_back_to_it) {
    static struct sim_world world;
    struct traffic traffic = {.drop_offset = 1000};
    struct tern_error error = {0};
    int64_t destination_id = -1;
    sim_world_init(&world, 17);
    struct sim_node *from = sim_world_add(&world), *to = sim_world_add(&world);
    from->on_publication_error = on_publication_error;
    from->on_publication_error_context = &destination_id;
    sim_world_start(&world, from);
    sim_world_start(&world, to);
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    struct flow flow = {
        .subscriptions = {sim_add_subscription(&world, to, GROUP, STREAM), NULL},
        .publication = sim_add_publication(&world, from, "aeron:udp?control-mode=manual", STREAM),
    };
    cr_assert_eq(change(&world, flow.publication, GROUP, true, &error), 1, "%s", error.text);
    send_messages(&world, &flow, 20);
    cr_assert_eq(traffic.naks, 1);
    cr_assert_eq(sim_system_counter(from, SYSTEM_COUNTER_RETRANSMITS_SENT), 1);
    const struct endpoint_send *endpoint = from->driver->conductor.endpoints_send.endpoints[0];
    tern_image *image = tern_subscription_image_at_index(flow.subscriptions[0], 0);
    cr_assert_geq(tern_image_reject(image, "enough", &error), 0, "%s", error.text);
    tern_image_release(image);
    cr_assert(sim_world_until(&world, is_told, &destination_id, TIMEOUT_NS));
    cr_assert_eq(destination_id, endpoint->manual_destinations->registration_id);
    end(&world, &flow);
}

/* Whole drivers on the simulated network: streams survive what the network does to them. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driverd/endpoint_recv.h"
#include "driverd/image.h"
#include "driverd/publication_ipc.h"
#include "driverd/publication_net.h"
#include "lib/sim_driver.h"
#include "shm/log_clearing.h"
#include "shm/log_wake.h"

#define STREAM 1001
#define MESSAGE_LENGTH_MAX 3000

/* A numbered message of random length whose bytes follow from the number. */
static int32_t make_message(uint8_t *buffer, int64_t number) {
    uint64_t mix = (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15);
    int32_t length = 8 + (int32_t)((mix >> 40) % (MESSAGE_LENGTH_MAX - 8));
    memcpy(buffer, &number, sizeof number);
    for (int32_t i = 8; i < length; i++) {
        buffer[i] = (uint8_t)(mix >> (i % 8 * 8));
    }
    return length;
}

struct transfer {
    struct sim_world *world;
    tern_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    int64_t sent;
    int64_t received;
    int64_t count;
};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct transfer *transfer = context;
    uint8_t expected[MESSAGE_LENGTH_MAX];
    int32_t expected_length = make_message(expected, transfer->received);
    (void)header;
    cr_assert_eq(length, expected_length, "length of message %lld", (long long)transfer->received);
    cr_assert_eq(memcmp(buffer, expected, (size_t)length), 0, "bytes of message %lld",
                 (long long)transfer->received);
    transfer->received++;
}

static bool is_transferred(void *context) {
    struct transfer *transfer = context;
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    while (transfer->sent < transfer->count &&
           tern_publication_offer(transfer->publication, buffer,
                                  make_message(buffer, transfer->sent)) > 0) {
        transfer->sent++;
    }
    (void)tern_subscription_poll(transfer->subscription, tern_fragment_assembler_on_fragment,
                                 transfer->assembler, 64);
    return transfer->received == transfer->count;
}

static struct transfer begin(struct sim_world *world, struct sim_node *from, const char *to_channel,
                             struct sim_node *to, const char *from_channel) {
    struct transfer transfer = {.world = world};
    transfer.subscription = sim_add_subscription(world, to, from_channel, STREAM);
    transfer.publication = sim_add_publication(world, from, to_channel, STREAM);
    return transfer;
}

static void move_messages(struct transfer *transfer, int64_t count, int64_t timeout_ns) {
    if (transfer->assembler == NULL) {
        transfer->assembler = tern_fragment_assembler_create(on_message, transfer);
        cr_assert_not_null(transfer->assembler);
    }
    transfer->count += count;
    cr_assert(sim_world_until(transfer->world, is_transferred, transfer, timeout_ns),
              "%lld of %lld messages came", (long long)transfer->received,
              (long long)transfer->count);
}

static void end(struct transfer *transfer) {
    tern_fragment_assembler_destroy(transfer->assembler);
    tern_publication_close(transfer->publication);
    tern_subscription_close(transfer->subscription);
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

static bool has_no_sockets(void *context) {
    return sim_net_open_count(context) == 0;
}

#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24000"

Test(streams, a_stream_crosses_a_clean_network_and_everything_is_given_back) {
    static struct sim_world world;
    sim_world_init(&world, 1);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 300, 20 * NS_PER_S);
    cr_assert_gt(tern_publication_position(transfer.publication), 4 * 65536);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 0);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_RETRANSMITS_SENT), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    cr_assert_eq(sim_net_open_count(&world.net), 2);
    end(&transfer);
    cr_assert(sim_world_until(&world, has_no_sockets, &world.net, 60 * NS_PER_S));
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(a->driver->conductor.publications_net.count, 0);
    cr_assert_eq(b->driver->conductor.images.count, 0);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_ERRORS), 0);
    sim_world_close(&world);
}

Test(streams, streams_survive_loss_duplication_and_reordering, .timeout = 60) {
    static const struct {
        struct sim_faults faults;
        int64_t messages;
    } rows[] = {
        {{.drop = 0.05}, 200},
        {{.drop = 0.3}, 60},
        {{.duplicate = 0.5, .delay_max_ns = 300 * NS_PER_US}, 200},
        {{.drop = 0.1, .duplicate = 0.1, .delay_max_ns = 2 * NS_PER_MS}, 100},
        {{.drop = 0.1, .delay_min_ns = 20 * NS_PER_MS, .delay_max_ns = 25 * NS_PER_MS}, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            static struct sim_world world;
            sim_world_init(&world, seed * 1000 + i);
            struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
            sim_world_start(&world, a);
            sim_world_start(&world, b);
            world.net.faults = rows[i].faults;
            struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
            move_messages(&transfer, rows[i].messages, 200 * NS_PER_S);
            if (rows[i].faults.drop > 0) {
                cr_assert_gt(world.net.dropped_count, 0);
                cr_assert_gt(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 0);
                cr_assert_gt(sim_system_counter(a, SYSTEM_COUNTER_RETRANSMITS_SENT), 0);
            }
            end(&transfer);
            sim_world_close(&world);
        }
    }
}

/* Drops the n-th data datagram that is no heartbeat. */
struct drop_data {
    int countdown;
    int naks;
};

static enum sim_verdict drop_nth_data(void *context, const struct sim_packet *packet) {
    struct drop_data *script = context;
    const struct frame_common *common = (const void *)packet->data;
    script->naks += common->type == FRAME_TYPE_NAK;
    if (common->type == FRAME_TYPE_DATA && packet->length > 32) {
        return --script->countdown == 0 ? SIM_DROP : SIM_PASS;
    }
    return SIM_PASS;
}

Test(streams, one_lost_datagram_costs_one_nak_and_one_retransmission) {
    static struct sim_world world;
    sim_world_init(&world, 7);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct drop_data script = {.countdown = 10};
    world.net.filter = drop_nth_data;
    world.net.filter_context = &script;
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 100, 20 * NS_PER_S);
    cr_assert_eq(script.naks, 1);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 1);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_NAKS_RECEIVED), 1);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_RETRANSMITS_SENT), 1);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS), 0);
    end(&transfer);
    sim_world_close(&world);
}

/* Drops every second of the first data datagrams once. */
struct drop_many {
    int rest;
    int naks;
    int64_t dropped_ns;
    const struct sim_clock *clock;
};

static enum sim_verdict drop_every_second(void *context, const struct sim_packet *packet) {
    struct drop_many *script = context;
    const struct frame_common *common = (const void *)packet->data;
    script->naks += common->type == FRAME_TYPE_NAK;
    if (common->type == FRAME_TYPE_DATA && packet->length > 32 && script->rest > 0) {
        script->dropped_ns = script->clock->now_ns;
        return script->rest-- % 2 == 0 ? SIM_DROP : SIM_PASS;
    }
    return SIM_PASS;
}

/* Six holes and a way of 10 ms: one after the other they would take six round trips. */
Test(streams, many_lost_datagrams_are_asked_for_at_once) {
    static struct sim_world world;
    sim_world_init(&world, 11);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    b->conf.nak_unicast_delay_ns = 30 * NS_PER_US;
    b->conf.nak_unicast_retry_ratio = 1000;
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults =
        (struct sim_faults){.delay_min_ns = 10 * NS_PER_MS, .delay_max_ns = 10 * NS_PER_MS};
    struct drop_many script = {.rest = 12, .clock = &world.clock};
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    cr_assert(sim_world_until(&world, is_connected, transfer.publication, 10 * NS_PER_S));
    world.net.filter = drop_every_second;
    world.net.filter_context = &script;
    move_messages(&transfer, 20, 20 * NS_PER_S);
    cr_assert_eq(script.rest, 0);
    cr_assert_eq(script.naks, 6);
    cr_assert_lt(world.clock.now_ns - script.dropped_ns, 60 * NS_PER_MS);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_RETRANSMITS_SENT), 6);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS), 0);
    end(&transfer);
    sim_world_close(&world);
}

/* A lost last datagram has no successor that betrays it: the heartbeat does. */
Test(streams, a_lost_tail_is_found_by_the_heartbeat) {
    static struct sim_world world;
    sim_world_init(&world, 8);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    cr_assert(sim_world_until(&world, is_connected, transfer.publication, 10 * NS_PER_S));
    struct drop_data script = {.countdown = 1};
    world.net.filter = drop_nth_data;
    world.net.filter_context = &script;
    move_messages(&transfer, 1, 20 * NS_PER_S);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 1);
    end(&transfer);
    sim_world_close(&world);
}

Test(streams, a_short_send_sends_nothing_twice) {
    static struct sim_world world;
    sim_world_init(&world, 9);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    a->conf.max_messages_per_send = 8;
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.send_count_max = 3;
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 200, 20 * NS_PER_S);
    cr_assert_gt(sim_system_counter(a, SYSTEM_COUNTER_SHORT_SENDS), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 0);
    int64_t bytes = tern_publication_position(transfer.publication);
    struct publication_net *publication = a->driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->position, bytes);
    end(&transfer);
    sim_world_close(&world);
}

/* A stream from a to b; the driver at a sends 16 datagrams per cycle, of equal length where they
 * are fragments of long messages. */
static void move_with_offload(struct sim_world *world, bool is_segmenting, bool is_joining) {
    struct sim_node *a = sim_world_add(world), *b = sim_world_add(world);
    a->conf.udp_segment = is_segmenting;
    b->conf.udp_gro = is_joining;
    sim_world_start(world, a);
    sim_world_start(world, b);
    struct transfer transfer = begin(world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 200, 20 * NS_PER_S);
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_ERRORS), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    cr_assert_eq(sim_system_counter(b, SYSTEM_COUNTER_NAKS_SENT), 0);
    end(&transfer);
}

/* Once refused it is not tried again: a device without it would cost two calls per send. */
Test(streams, datagrams_go_one_by_one_when_segmentation_is_refused_or_switched_off) {
    static const struct {
        bool is_segmenting;
        int error;
        int64_t attempts_min;
        int64_t attempts_max;
    } rows[] = {
        {true, 0, 2, INT64_MAX}, {true, -EINVAL, 1, 1},     {true, -EIO, 1, 1},
        {true, -EMSGSIZE, 1, 1}, {true, -EOPNOTSUPP, 1, 1}, {false, -EIO, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct sim_world world;
        sim_world_init(&world, 20 + i);
        world.net.segment_error = rows[i].error;
        move_with_offload(&world, rows[i].is_segmenting, true);
        cr_assert_geq(world.net.segmented_count, rows[i].attempts_min, "row %zu", i);
        cr_assert_leq(world.net.segmented_count, rows[i].attempts_max, "row %zu", i);
        sim_world_close(&world);
    }
}

Test(streams, datagrams_come_joined_unless_that_is_switched_off) {
    for (int is_joining = 0; is_joining < 2; is_joining++) {
        static struct sim_world world;
        sim_world_init(&world, 30);
        world.net.has_gro = true;
        move_with_offload(&world, true, is_joining != 0);
        cr_assert_eq(world.net.joined_count > 0, is_joining != 0, "%d", is_joining);
        sim_world_close(&world);
    }
}

static tern_exclusive_publication *add_exclusive(struct sim_world *world, struct sim_node *node,
                                                 const char *channel) {
    struct tern_error error;
    tern_exclusive_publication *publication = NULL;
    tern_async *async =
        tern_client_async_add_exclusive_publication(node->client, channel, STREAM, &error);
    for (int i = 0; i < 1000 && publication == NULL; i++) {
        sim_world_run(world, NS_PER_MS);
        cr_assert_geq(tern_async_poll_exclusive_publication(async, &publication, &error), 0, "%s",
                      error.text);
    }
    cr_assert_not_null(publication);
    return publication;
}

struct exclusive_transfer {
    struct transfer transfer;
    tern_exclusive_publication *publication;
};

static bool is_exclusive_transferred(void *context) {
    struct exclusive_transfer *exclusive = context;
    struct transfer *transfer = &exclusive->transfer;
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    while (transfer->sent < transfer->count &&
           tern_exclusive_publication_offer(exclusive->publication, buffer,
                                            make_message(buffer, transfer->sent)) > 0) {
        transfer->sent++;
    }
    (void)tern_subscription_poll(transfer->subscription, tern_fragment_assembler_on_fragment,
                                 transfer->assembler, 64);
    return transfer->received == transfer->count;
}

/* Terms are used again several times. What lies at the start of the second is of its first use when
 * nobody clears behind the writer, who by then is at the end of the third. */
Test(streams, an_exclusive_writer_clears_its_terms_unless_that_is_switched_off) {
    for (int is_offered = 0; is_offered < 2; is_offered++) {
        static struct sim_world world;
        sim_world_init(&world, 40);
        struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
        a->conf.offers_clearing = is_offered != 0;
        sim_world_start(&world, a);
        sim_world_start(&world, b);
        struct exclusive_transfer moved = {
            .transfer = {.world = &world, .count = 1000},
            .publication = add_exclusive(&world, a, CHANNEL),
        };
        moved.transfer.subscription = sim_add_subscription(&world, b, CHANNEL, STREAM);
        moved.transfer.assembler = tern_fragment_assembler_create(on_message, &moved.transfer);
        const struct publication_net *publication = a->driver->conductor.publications_net.items[0];
        const struct log_buffer *log = publication->base.log;
        cr_assert_eq(log_is_cleared_by_writer(log->metadata), is_offered != 0);
        cr_assert(sim_world_until(&world, is_exclusive_transferred, &moved, 20 * NS_PER_S));
        int64_t position = tern_exclusive_publication_position(moved.publication);
        cr_assert_gt(position, 9 * 65536);
        int64_t next_term = (position / 65536 + 1) * 65536;
        cr_assert_eq(get_i32(log->terms[log_index_of(next_term, 16)]) != 0, is_offered != 0);
        cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_RETRANSMITS_SENT), 0);
        tern_fragment_assembler_destroy(moved.transfer.assembler);
        tern_exclusive_publication_close(moved.publication);
        tern_subscription_close(moved.transfer.subscription);
        sim_world_close(&world);
    }
}

Test(streams, only_exclusive_writers_over_udp_are_to_clear) {
    static struct sim_world world;
    sim_world_init(&world, 41);
    struct sim_node *a = sim_world_add(&world);
    sim_world_start(&world, a);
    tern_publication *shared = sim_add_publication(&world, a, CHANNEL, STREAM);
    tern_exclusive_publication *ipc = add_exclusive(&world, a, "aeron:ipc");
    const struct publication_net *over_udp = a->driver->conductor.publications_net.items[0];
    const struct publication_ipc *over_ipc = a->driver->conductor.publications_ipc.items[0];
    cr_assert_eq(over_udp->base.log->metadata->clearing, LOG_CLEARED_BY_DRIVER);
    cr_assert_eq(over_ipc->base.log->metadata->clearing, LOG_CLEARED_BY_DRIVER);
    tern_publication_close(shared);
    tern_exclusive_publication_close(ipc);
    sim_world_close(&world);
}

static enum sim_verdict drop_all(void *context, const struct sim_packet *packet) {
    (void)context;
    (void)packet;
    return SIM_DROP;
}

static bool is_disconnected(void *context) {
    return !tern_publication_is_connected(context);
}

static bool has_no_image(void *context) {
    return !tern_subscription_is_connected(context);
}

Test(streams, a_cut_cable_disconnects_both_ends_and_a_mended_one_connects_them_again) {
    static struct sim_world world;
    sim_world_init(&world, 10);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 50, 20 * NS_PER_S);
    world.net.filter = drop_all;
    int64_t cut_ns = world.clock.now_ns;
    cr_assert(sim_world_until(&world, is_disconnected, transfer.publication, 20 * NS_PER_S));
    cr_assert_gt(world.clock.now_ns - cut_ns, 4 * NS_PER_S);
    cr_assert(sim_world_until(&world, has_no_image, transfer.subscription, 30 * NS_PER_S));
    cr_assert_eq(tern_publication_offer(transfer.publication, "x", 1),
                 TERN_PUBLICATION_NOT_CONNECTED);
    world.net.filter = NULL;
    cr_assert(sim_world_until(&world, is_connected, transfer.publication, 20 * NS_PER_S));
    move_messages(&transfer, 50, 20 * NS_PER_S);
    end(&transfer);
    sim_world_close(&world);
}

Test(streams, end_of_stream_comes_through_loss_and_after_the_last_message) {
    static struct sim_world world;
    sim_world_init(&world, 11);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults.drop = 0.2;
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 40, 100 * NS_PER_S);
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    while (tern_publication_offer(transfer.publication, buffer,
                                  make_message(buffer, transfer.sent)) < 0) {
        sim_world_step(&world, SIM_STEP_NS);
    }
    transfer.sent++;
    tern_publication_close(transfer.publication);
    transfer.count++;
    cr_assert(sim_world_until(&world, is_transferred, &transfer, 60 * NS_PER_S));
    cr_assert(sim_world_until(&world, has_no_image, transfer.subscription, 60 * NS_PER_S));
    tern_fragment_assembler_destroy(transfer.assembler);
    tern_subscription_close(transfer.subscription);
    sim_world_close(&world);
}

static bool has_ended(void *context) {
    tern_image *image = context;
    return tern_image_end_of_stream_position(image) != INT64_MAX;
}

/* Not with the next heartbeat, which may be 100 ms away. */
Test(streams, the_end_of_a_stream_is_told_when_all_has_been_sent) {
    static struct sim_world world;
    sim_world_init(&world, 12);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    tern_image *image = tern_subscription_image_at_index(transfer.subscription, 0);
    cr_assert_not_null(image);
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    int64_t end =
        tern_publication_offer(transfer.publication, buffer, make_message(buffer, transfer.sent++));
    cr_assert_gt(end, 0);
    tern_publication_close(transfer.publication);
    transfer.count++;
    cr_assert(sim_world_until(&world, has_ended, image, 5 * NS_PER_MS));
    cr_assert_eq(tern_image_end_of_stream_position(image), end);
    cr_assert(sim_world_until(&world, is_transferred, &transfer, 5 * NS_PER_MS));
    tern_image_release(image);
    tern_fragment_assembler_destroy(transfer.assembler);
    tern_subscription_close(transfer.subscription);
    sim_world_close(&world);
}

/* Agents on threads of their own: the sender sends the last frame after the conductor has looked,
 * and before its timer goes off. */
Test(streams, a_stream_that_drains_just_before_the_timer_has_an_end_as_well) {
    static struct sim_world world;
    sim_world_init(&world, 14);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    tern_image *image = tern_subscription_image_at_index(transfer.subscription, 0);
    cr_assert_not_null(image);
    const struct publication_net *publication = a->driver->conductor.publications_net.items[0];
    cr_assert_gt(tern_publication_offer(transfer.publication, "x", 1), 0);
    tern_publication_close(transfer.publication);
    for (int i = 0; i < 10 && publication->base.state == PUBLICATION_STATE_ACTIVE; i++) {
        (void)tern_client_do_work(a->client);
        (void)conductor_do_work(&a->driver->conductor, world.clock.now_ns);
    }
    cr_assert_eq(publication->base.state, PUBLICATION_STATE_DRAINING);
    cr_assert_eq(publication->is_eos, 0);
    (void)sender_do_work(&a->driver->sender, world.clock.now_ns);
    sim_clock_advance(&world.clock, a->conf.timer_interval_ns + 1);
    (void)conductor_do_work(&a->driver->conductor, world.clock.now_ns);
    cr_assert_eq(publication->base.state, PUBLICATION_STATE_LINGER);
    cr_assert(sim_world_until(&world, has_ended, image, NS_PER_S));
    tern_image_release(image);
    tern_fragment_assembler_destroy(transfer.assembler);
    tern_subscription_close(transfer.subscription);
    sim_world_close(&world);
}

static int wake_count;

static void count_wake(void *context, struct net_poller *poller) {
    (void)context;
    (void)poller;
    wake_count++;
}

/* On a thread of its own the receiver does not look for orders while it rests. */
Test(streams, a_resting_receiver_is_woken_for_an_order_and_for_its_status_messages) {
    static struct sim_world world;
    sim_world_init(&world, 15);
    struct sim_node *node = sim_world_add(&world);
    world.net.table.wake = count_wake;
    sim_world_start(&world, node);
    struct transfer transfer = begin(&world, node, CHANNEL, node, CHANNEL);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    struct receiver *receiver = &node->driver->receiver;
    (void)receiver_do_work(receiver, world.clock.now_ns); /* the conductor's last orders */
    const struct image *image = receiver->images.items[0];
    int64_t due_ns = schedule_next_ns(&receiver->schedule);
    cr_assert_geq(due_ns, image->sm_deadline_ns);
    cr_assert_lt(due_ns, image->sm_deadline_ns + SCHEDULE_STEP_NS);
    sim_clock_advance(&world.clock, image->sm_deadline_ns - world.clock.now_ns - 5 * NS_PER_MS);
    (void)receiver_do_work(receiver, world.clock.now_ns);
    int64_t rest_ns = due_ns - world.clock.now_ns;
    wake_count = 0;
    cr_assert_eq(receiver_begin_wait(receiver), rest_ns);
    receiver_note_order(receiver, receiver->images.items[0]);
    cr_assert_eq(wake_count, 1);
    receiver_end_wait(receiver);
    receiver_note_order(receiver, receiver->images.items[0]);
    cr_assert_eq(wake_count, 1, "it was not resting");
    cr_assert_eq(receiver_begin_wait(receiver), 0, "an order is there");
    receiver_end_wait(receiver);
    (void)receiver_do_work(receiver, world.clock.now_ns);
    cr_assert_eq(receiver_begin_wait(receiver), rest_ns);
    receiver_end_wait(receiver);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    end(&transfer);
    sim_world_close(&world);
}

/* Duty cycles until the conductor has nothing to look at; its timers come in between. */
static void fall_asleep(struct sim_world *world, struct sim_node *node) {
    const struct conductor *conductor = &node->driver->conductor;
    for (int i = 0; i < 100; i++) {
        sim_world_step(world, NS_PER_MS);
        if (conductor->image_sweep.asleep_count == conductor->images.count &&
            conductor->net_sweep.asleep_count == conductor->publications_net.count) {
            return;
        }
    }
    cr_assert_fail("somebody does not fall asleep");
}

Test(streams, a_quiet_stream_leaves_the_conductors_sweeps_until_something_moves) {
    static struct sim_world world;
    sim_world_init(&world, 17);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    struct transfer transfer = begin(&world, node, CHANNEL, node, CHANNEL);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    fall_asleep(&world, node);
    const struct conductor *conductor = &node->driver->conductor;
    cr_assert_eq(conductor->image_sweep.asleep_count, 1);
    cr_assert_eq(conductor->net_sweep.asleep_count, 1);
    cr_assert_gt(tern_publication_offer(transfer.publication, "x", 1), 0);
    (void)driver_do_work(node->driver, world.clock.now_ns); /* sent, and perhaps received */
    (void)driver_do_work(node->driver, world.clock.now_ns);
    cr_assert_eq(conductor->image_sweep.asleep_count, 0);
    cr_assert_eq(conductor->net_sweep.asleep_count, 0);
    end(&transfer);
    sim_world_close(&world);
}

Test(streams, a_stream_goes_on_at_once_after_its_conductor_slept) {
    static struct sim_world world;
    sim_world_init(&world, 18);
    struct sim_node *a = sim_world_add(&world);
    struct sim_node *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    for (int round = 0; round < 20; round++) { /* windows of the term are passed */
        move_messages(&transfer, 50, 20 * NS_PER_S);
        fall_asleep(&world, a);
        fall_asleep(&world, b);
    }
    end(&transfer);
    sim_world_close(&world);
}

Test(streams, a_draining_stream_that_sleeps_ends) {
    static struct sim_world world;
    sim_world_init(&world, 19);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    struct transfer transfer = begin(&world, node, CHANNEL, node, CHANNEL);
    move_messages(&transfer, 10, 20 * NS_PER_S);
    fall_asleep(&world, node);
    end(&transfer);
    const struct conductor *conductor = &node->driver->conductor;
    for (int i = 0; i < 40000 && conductor->images.count + conductor->publications_net.count > 0;
         i++) {
        sim_world_step(&world, NS_PER_MS);
    }
    cr_assert_eq(conductor->images.count + conductor->publications_net.count, 0);
    sim_world_close(&world);
}

/* An agent that reports work does not park. What comes by the clock is none, or a driver with many
 * quiet streams would never rest; and a socket without datagrams is not even asked. */
Test(streams, quiet_streams_are_no_work_and_keep_their_heartbeats) {
    static struct sim_world world;
    struct transfer transfers[8];
    sim_world_init(&world, 13);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    for (int i = 0; i < 8; i++) {
        char channel[64];
        (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d", 24000 + i);
        transfers[i] = begin(&world, node, channel, node, channel);
        move_messages(&transfers[i], 5, 20 * NS_PER_S);
    }
    sim_world_run(&world, NS_PER_S);
    int64_t heartbeats = sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_RECEIVED);
    int64_t messages = sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED);
    int64_t sent = world.net.sent_count;
    int64_t receives = world.net.receive_count;
    int work = 0;
    for (int i = 0; i < 1000; i++) {
        sim_clock_advance(&world.clock, NS_PER_MS);
        work += driver_do_work(node->driver, world.clock.now_ns);
    }
    heartbeats = sim_system_counter(node, SYSTEM_COUNTER_HEARTBEATS_RECEIVED) - heartbeats;
    messages = sim_system_counter(node, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED) - messages;
    cr_assert_eq(work, 0);
    cr_assert(heartbeats >= 8 * 9 && heartbeats <= 8 * 11, "%lld", (long long)heartbeats);
    cr_assert(messages >= 8 * 4 && messages <= 8 * 6, "%lld", (long long)messages);
    cr_assert_leq(world.net.receive_count - receives, world.net.sent_count - sent);
    for (int i = 0; i < 8; i++) {
        move_messages(&transfers[i], 5, NS_PER_S);
        end(&transfers[i]);
    }
    sim_world_close(&world);
}

Test(streams, a_silent_name_is_looked_up_again_and_followed) {
    static struct sim_world world;
    sim_world_init(&world, 12);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    sim_net_set_host(&world.net, "peer", "127.0.0.7");
    struct transfer transfer =
        begin(&world, a, "aeron:udp?endpoint=peer:24000", b, "aeron:udp?endpoint=127.0.0.9:24000");
    sim_world_run(&world, 2 * NS_PER_S);
    cr_assert_not(tern_publication_is_connected(transfer.publication));
    sim_net_set_host(&world.net, "peer", "127.0.0.9");
    cr_assert(sim_world_until(&world, is_connected, transfer.publication, 20 * NS_PER_S));
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_RESOLUTION_CHANGES), 1);
    move_messages(&transfer, 20, 20 * NS_PER_S);
    sim_net_set_host(&world.net, "peer", NULL);
    sim_world_run(&world, 10 * NS_PER_S);
    cr_assert(tern_publication_is_connected(transfer.publication), "a heard name is not asked for");
    end(&transfer);

    struct tern_error error = {0};
    cr_assert_null(
        sim_try_add_publication(&world, a, "aeron:udp?endpoint=nobody:24000", STREAM, &error));
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_UNKNOWN_HOST);
    sim_world_close(&world);
}

Test(streams, several_destinations_receive_the_same_and_the_slowest_governs) {
    static struct sim_world world;
    sim_world_init(&world, 13);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults.drop = 0.05;
    struct transfer first = {.world = &world}, second = {.world = &world};
    first.publication = second.publication = sim_add_publication(
        &world, a, "aeron:udp?control-mode=dynamic|control=127.0.0.1:25000|fc=min,g:/2", STREAM);
    first.subscription = sim_add_subscription(
        &world, b,
        "aeron:udp?endpoint=127.0.0.1:25001|control=127.0.0.1:25000|control-mode=dynamic", STREAM);
    second.subscription = sim_add_subscription(
        &world, b,
        "aeron:udp?endpoint=127.0.0.1:25002|control=127.0.0.1:25000|control-mode=dynamic", STREAM);
    cr_assert(sim_world_until(&world, is_connected, first.publication, 30 * NS_PER_S));
    second.assembler = tern_fragment_assembler_create(on_message, &second);
    move_messages(&first, 8, 60 * NS_PER_S); /* no more than a window: the second does not poll */
    second.count = second.sent = 8;
    cr_assert(sim_world_until(&world, is_transferred, &second, 60 * NS_PER_S));
    struct publication_net *publication = a->driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->flow.receiver_count, 2);
    cr_assert_eq(publication->endpoint->tracker.count, 2);
    tern_fragment_assembler_destroy(second.assembler);
    tern_subscription_close(second.subscription);
    end(&first);
    sim_world_close(&world);
}

Test(streams, only_receivers_with_the_tag_hold_a_tagged_publication_back) {
    static struct sim_world world;
    sim_world_init(&world, 23);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer tagged = {.world = &world};
    tagged.publication = sim_add_publication(
        &world, a, "aeron:udp?control-mode=dynamic|control=127.0.0.1:25000|fc=tagged,g:7/1",
        STREAM);
    tern_subscription *plain = sim_add_subscription(
        &world, b,
        "aeron:udp?endpoint=127.0.0.1:25001|control=127.0.0.1:25000|control-mode=dynamic", STREAM);
    sim_world_run(&world, NS_PER_S);
    struct publication_net *publication = a->driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->liveness.count, 1);
    cr_assert_not(tern_publication_is_connected(tagged.publication), "nobody has the tag");
    tagged.subscription = sim_add_subscription(
        &world, b,
        "aeron:udp?endpoint=127.0.0.1:25002|control=127.0.0.1:25000|control-mode=dynamic|gtag=7",
        STREAM);
    move_messages(&tagged, 100, 60 * NS_PER_S); /* far beyond the window of the other */
    cr_assert_eq(publication->liveness.count, 2);
    cr_assert_eq(publication->flow.receiver_count, 1);

    struct frame_sm odd = {.common = {.frame_length = FRAME_SM_LENGTH + 4, .type = FRAME_TYPE_SM},
                           .session_id = publication->base.session_id,
                           .stream_id = STREAM};
    int64_t errors = sim_system_counter(a, SYSTEM_COUNTER_ERRORS);
    int socket = sim_net_bind(&world.net, "127.0.0.1:30000");
    const struct log_buffer *log = publication->base.log;
    odd.consumption_term_id =
        log_term_id_of(publication->position, log->position_bits, log->initial_term_id);
    odd.consumption_term_offset = log_term_offset_of(publication->position, log->term_length);
    for (int i = 0; i < 3; i++) {
        sim_net_send(&world.net, socket, "127.0.0.1:25000", &odd, FRAME_SM_LENGTH + 4);
        sim_world_run(&world, NS_PER_MS);
    }
    cr_assert_eq(sim_system_counter(a, SYSTEM_COUNTER_ERRORS), errors + 1, "once per second");
    tern_subscription_close(plain);
    end(&tagged);
    sim_world_close(&world);
}

Test(streams, cubic_measures_the_round_trip_and_narrows_the_window_with_loss) {
    static struct sim_world world;
    sim_world_init(&world, 24);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    b->conf.cubic_measures_rtt = true;
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults.delay_min_ns = world.net.faults.delay_max_ns = 5 * NS_PER_MS;
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL "|cc=cubic");
    move_messages(&transfer, 100, 60 * NS_PER_S);
    sim_world_run(&world, 5 * NS_PER_S);
    const struct image *image = b->driver->conductor.images.items[0];
    int32_t full = image->window_bytes;
    cr_assert_eq(full, image->window_max_bytes / 1408 * 1408, "without loss it is open");
    cr_assert_eq(counter_get_acquire(image->window_counter), full);
    int64_t rtt_ns = counter_get_acquire(image->rtt_counter);
    cr_assert(rtt_ns >= 10 * NS_PER_MS && rtt_ns < 11 * NS_PER_MS, "%lld ns", (long long)rtt_ns);
    cr_assert_eq(image->rtt.rtt_ns, rtt_ns);
    int64_t sent = world.net.sent_count;
    sim_world_run(&world, NS_PER_S);
    sent = world.net.sent_count - sent;
    /* 20 requests with answers, 10 heartbeats, 5 status messages */
    cr_assert_lt(sent, 80, "%lld datagrams in a second", (long long)sent);

    world.net.faults.drop = 0.3;
    move_messages(&transfer, 60, 100 * NS_PER_S);
    cr_assert_lt(image->window_bytes, full);
    cr_assert_lt(counter_get_acquire(image->window_counter), full);
    world.net.faults.drop = 0;
    sim_world_run(&world, 10 * NS_PER_S);
    cr_assert_eq(image->window_bytes, full, "it recovers");
    const int32_t ids[] = {image->rtt_counter_id, image->window_counter_id};
    end(&transfer);
    cr_assert(sim_world_until(&world, has_no_sockets, &world.net, 60 * NS_PER_S));
    sim_world_run(&world, NS_PER_S);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        cr_assert_not(b->driver->context.counters.slots[ids[i]].is_allocated);
    }
    sim_world_close(&world);
}

Test(streams, configured_congestion_control_wins_over_the_channel) {
    static struct sim_world world;
    sim_world_init(&world, 25);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    (void)snprintf(a->conf.congestion_supplier, sizeof a->conf.congestion_supplier, "cubic");
    (void)snprintf(b->conf.congestion_supplier, sizeof b->conf.congestion_supplier, "static");
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer to_b = begin(&world, a, CHANNEL, b, CHANNEL "|cc=cubic");
    const char *back = "aeron:udp?endpoint=127.0.0.1:24001";
    struct transfer to_a = begin(&world, b, back, a, back);
    cr_assert(sim_world_until(&world, is_connected, to_b.publication, 10 * NS_PER_S));
    cr_assert(sim_world_until(&world, is_connected, to_a.publication, 10 * NS_PER_S));
    const struct image *in_a = a->driver->conductor.images.items[0];
    const struct image *in_b = b->driver->conductor.images.items[0];
    cr_assert_eq(in_a->congestion.strategy, CONGESTION_CUBIC);
    cr_assert_eq(in_b->congestion.strategy, CONGESTION_STATIC);
    cr_assert_eq(in_b->rtt_counter_id, COUNTER_NULL_ID);
    end(&to_b);
    end(&to_a);
    sim_world_close(&world);
}

/* Where the three timestamps stand in a message, and when it was offered. */
struct stamped {
    int count;
    int64_t offered_ns;
    int64_t media_ns;
    int64_t received_ns;
    int64_t sent_ns;
};

static void on_stamped(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct stamped *stamped = context;
    cr_assert_eq(length, 32);
    stamped->media_ns = tern_header_reserved_value(header);
    memcpy(&stamped->received_ns, buffer + 8, 8);
    memcpy(&stamped->sent_ns, buffer + 16, 8);
    cr_assert_eq(buffer[0], 0x5A);
    cr_assert_eq(buffer[24], 0x5A);
    stamped->count++;
}

struct stamped_stream {
    tern_publication *publication;
    tern_subscription *subscription;
    struct stamped stamped;
};

static bool is_stamped_received(void *context) {
    struct stamped_stream *stream = context;
    (void)tern_subscription_poll(stream->subscription, on_stamped, &stream->stamped, 1);
    return stream->stamped.count > 0;
}

Test(streams, messages_are_stamped_where_the_channels_say) {
    static struct sim_world world;
    sim_world_init(&world, 26);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults.delay_min_ns = world.net.faults.delay_max_ns = 3 * NS_PER_MS + 7;
    struct stamped_stream stream = {
        .subscription = sim_add_subscription(
            &world, b, CHANNEL "|media-rcv-ts-offset=reserved|channel-rcv-ts-offset=8", STREAM),
        .publication = sim_add_publication(&world, a, CHANNEL "|channel-snd-ts-offset=16", STREAM),
    };
    cr_assert(sim_world_until(&world, is_connected, stream.publication, 10 * NS_PER_S));
    uint8_t message[32];
    memset(message, 0x5A, sizeof message);
    stream.stamped.offered_ns = world.clock.epoch_ns;
    cr_assert_gt(tern_publication_offer(stream.publication, message, sizeof message), 0);
    cr_assert(sim_world_until(&world, is_stamped_received, &stream, NS_PER_S));
    const struct stamped *stamped = &stream.stamped;
    cr_assert_geq(stamped->sent_ns, stamped->offered_ns);
    cr_assert_lt(stamped->sent_ns, stamped->offered_ns + 2 * NS_PER_MS);
    cr_assert_eq(stamped->media_ns, stamped->sent_ns + 3 * NS_PER_MS + 7, "the network's time");
    cr_assert_gt(stamped->received_ns, stamped->media_ns, "the driver looked later");
    cr_assert_lt(stamped->received_ns, stamped->media_ns + 2 * NS_PER_MS);
    tern_publication_close(stream.publication);
    tern_subscription_close(stream.subscription);
    sim_world_close(&world);
}

static bool refuses(struct sim_world *world, struct sim_node *node, const char *channel,
                    int32_t stream_id, const char *text) {
    struct tern_error error = {0};
    tern_subscription *subscription =
        sim_try_add_subscription(world, node, channel, stream_id, &error);
    cr_assert_null(subscription, "%s", channel);
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL);
    return strstr(error.text, text) != NULL;
}

Test(streams, subscriptions_and_publications_of_one_stream_agree_on_timestamps) {
    static struct sim_world world;
    sim_world_init(&world, 27);
    struct sim_node *a = sim_world_add(&world);
    sim_world_start(&world, a);
    tern_subscription *first =
        sim_add_subscription(&world, a, CHANNEL "|channel-rcv-ts-offset=8", STREAM);
    cr_assert(refuses(&world, a, CHANNEL, STREAM, "channel-rcv-ts-offset"));
    cr_assert(refuses(&world, a, CHANNEL "|channel-rcv-ts-offset=reserved", STREAM,
                      "channel-rcv-ts-offset"));
    tern_subscription *same =
        sim_add_subscription(&world, a, CHANNEL "|channel-rcv-ts-offset=8", STREAM);
    tern_subscription *other = sim_add_subscription(&world, a, CHANNEL, STREAM + 1);
    tern_publication *publication =
        sim_add_publication(&world, a, CHANNEL "|channel-snd-ts-offset=0", STREAM);
    struct tern_error error = {0};
    cr_assert_null(
        sim_try_add_publication(&world, a, CHANNEL "|channel-snd-ts-offset=8", STREAM, &error));
    cr_assert_not_null(strstr(error.text, "channel-snd-ts-offset"), "%s", error.text);
    tern_publication_close(publication);
    tern_subscription_close(first);
    tern_subscription_close(same);
    tern_subscription_close(other);
    sim_world_close(&world);
}

Test(streams, an_open_channel_begins_to_note_arrivals_when_a_subscription_asks_for_them) {
    static struct sim_world world;
    sim_world_init(&world, 28);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    world.net.faults.delay_min_ns = world.net.faults.delay_max_ns = 3 * NS_PER_MS + 7;
    tern_subscription *first = sim_add_subscription(&world, b, CHANNEL, STREAM + 1);
    struct stamped_stream stream = {
        .subscription =
            sim_add_subscription(&world, b, CHANNEL "|media-rcv-ts-offset=reserved", STREAM),
        .publication = sim_add_publication(&world, a, CHANNEL "|channel-snd-ts-offset=16", STREAM),
    };
    cr_assert(sim_world_until(&world, is_connected, stream.publication, 10 * NS_PER_S));
    uint8_t message[32];
    memset(message, 0x5A, sizeof message);
    cr_assert_gt(tern_publication_offer(stream.publication, message, sizeof message), 0);
    cr_assert(sim_world_until(&world, is_stamped_received, &stream, NS_PER_S));
    cr_assert_eq(stream.stamped.media_ns, stream.stamped.sent_ns + 3 * NS_PER_MS + 7);
    tern_publication_close(stream.publication);
    tern_subscription_close(stream.subscription);
    tern_subscription_close(first);
    sim_world_close(&world);
}

Test(streams, the_retransmit_multiple_comes_from_the_channel_or_the_configuration) {
    static const struct {
        const char *channel;
        int32_t multiple;
    } rows[] = {
        {CHANNEL, 5},
        {"aeron:udp?control-mode=dynamic|control=127.0.0.1:25000", 3},
        {"aeron:udp?control-mode=dynamic|control=127.0.0.1:25001|fc=max,rrwm:9", 9},
    };
    static struct sim_world world;
    sim_world_init(&world, 28);
    struct sim_node *a = sim_world_add(&world);
    a->conf.unicast_retransmit_multiple = 5;
    a->conf.group_retransmit_multiple = 3;
    sim_world_start(&world, a);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tern_publication *publication = sim_add_publication(&world, a, rows[i].channel, STREAM);
        const struct pointer_list *list = &a->driver->conductor.publications_net;
        const struct publication_net *made = list->items[list->count - 1];
        cr_assert_eq(made->flow.params.retransmit_window_multiple, rows[i].multiple, "row %zu", i);
        tern_publication_close(publication);
    }
    sim_world_close(&world);
}

Test(streams, what_a_channel_says_of_a_stream_is_in_force_or_refused) {
    static struct sim_world world;
    sim_world_init(&world, 29);
    struct sim_node *a = sim_world_add(&world);
    sim_world_start(&world, a);
    struct tern_error error = {0};
    cr_assert_null(sim_try_add_publication(&world, a, CHANNEL "|stream-id=5", STREAM, &error));
    cr_assert_not_null(strstr(error.text, "stream-id=5"), "%s", error.text);
    cr_assert_null(sim_try_add_publication(&world, a, "aeron:ipc?stream-id=5", STREAM, &error));
    cr_assert(refuses(&world, a, CHANNEL "|stream-id=5", STREAM, "stream-id=5"));
    cr_assert(refuses(&world, a, "aeron:ipc?stream-id=5", STREAM, "stream-id=5"));

    /* Two streams of one channel: each has its own NAK delay. */
    tern_subscription *slow =
        sim_add_subscription(&world, a, CHANNEL "|nak-delay=7ms|gtag=3|stream-id=1001", STREAM);
    tern_subscription *quick =
        sim_add_subscription(&world, a, CHANNEL "|nak-delay=2us", STREAM + 1);
    cr_assert(refuses(&world, a, CHANNEL "|gtag=4", STREAM + 2, "gtag=4"));
    tern_publication *first = sim_add_publication(&world, a, CHANNEL, STREAM);
    tern_publication *second = sim_add_publication(&world, a, CHANNEL, STREAM + 1);
    cr_assert(sim_world_until(&world, is_connected, first, 10 * NS_PER_S));
    cr_assert(sim_world_until(&world, is_connected, second, 10 * NS_PER_S));
    const struct pointer_list *images = &a->driver->conductor.images;
    cr_assert_eq(images->count, 2);
    for (int32_t i = 0; i < images->count; i++) {
        const struct image *image = images->items[i];
        int64_t delay_ns = image->stream_id == STREAM ? 7 * NS_PER_MS : 2 * NS_PER_US;
        cr_assert_eq(image->loss_detector.params.first_delay_ns, delay_ns);
        cr_assert_eq(image->loss_detector.params.retry_delay_ns, 100 * delay_ns);
    }
    tern_publication_close(first);
    tern_publication_close(second);
    tern_subscription_close(slow);
    tern_subscription_close(quick);
    tern_subscription *untagged =
        sim_add_subscription(&world, a, "aeron:udp?endpoint=127.0.0.1:24009", STREAM);
    cr_assert(
        refuses(&world, a, "aeron:udp?endpoint=127.0.0.1:24009|gtag=4", STREAM + 1, "gtag=4"));
    tern_subscription_close(untagged);
    sim_world_close(&world);
}

Test(streams, receive_calls_ask_for_as_many_datagrams_as_configured) {
    static struct sim_world world;
    sim_world_init(&world, 30);
    struct sim_node *a = sim_world_add(&world);
    a->conf.receiver_io_vector_capacity = a->conf.sender_io_vector_capacity = 3;
    sim_world_start(&world, a);
    struct transfer transfer = begin(&world, a, CHANNEL, a, CHANNEL);
    move_messages(&transfer, 100, 20 * NS_PER_S);
    cr_assert_eq(world.net.receive_batch_max, 3);
    end(&transfer);
    sim_world_close(&world);
}

/* A peer that is no driver: frames are made by hand. */
struct peer {
    struct sim_world *world;
    int socket;
    struct frame_setup setup;
};

static void send_data(struct peer *peer, int32_t offset, int32_t payload_length) {
    uint8_t frame[2048] = {0};
    struct frame_header header = {
        .frame_length = 32 + payload_length,
        .flags = FRAME_FLAG_UNFRAGMENTED,
        .type = FRAME_TYPE_DATA,
        .term_offset = offset,
        .session_id = peer->setup.session_id,
        .stream_id = peer->setup.stream_id,
        .term_id = peer->setup.active_term_id,
    };
    memcpy(frame, &header, sizeof header);
    memset(frame + 32, 0x5A, (size_t)payload_length);
    sim_net_send(&peer->world->net, peer->socket, "127.0.0.1:24000", frame,
                 (uint32_t)log_aligned_frame_length(header.frame_length));
}

static void join(struct peer *peer, struct sim_world *world, struct sim_node *node) {
    *peer = (struct peer){
        .world = world,
        .socket = sim_net_bind(&world->net, "127.0.0.1:30000"),
        .setup = {.common = {.frame_length = 40, .type = FRAME_TYPE_SETUP},
                  .session_id = 77,
                  .stream_id = STREAM,
                  .initial_term_id = 5,
                  .active_term_id = 5,
                  .term_length = 65536,
                  .mtu = 1408},
    };
    sim_net_send(&world->net, peer->socket, "127.0.0.1:24000", &peer->setup, sizeof peer->setup);
    sim_world_run(world, NS_PER_MS);
    cr_assert_eq(node->driver->conductor.images.count, 1);
}

static void count_fragment(void *context, const uint8_t *buffer, int32_t length,
                           const tern_header *header) {
    int *count = context;
    (void)header;
    cr_assert(length == 0 || buffer[0] == 0x5A);
    (*count)++;
}

Test(streams, a_datagram_out_of_silence_is_asked_for_alone) {
    static struct sim_world world;
    struct peer peer;
    sim_world_init(&world, 15);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_subscription *subscription = sim_add_subscription(&world, node, CHANNEL, STREAM);
    join(&peer, &world, node);
    const struct image *image = node->driver->conductor.images.items[0];
    struct receiver *receiver = &node->driver->receiver;
    static const struct {
        bool has_gro;
        int64_t first; /* position after one cycle of the receiver */
    } rows[] = {{false, 1024}, {true, 3072}};
    for (int32_t i = 0; i < 2; i++) {
        int64_t start = image->hwm;
        world.net.has_gro = rows[i].has_gro;
        for (int32_t j = 0; j < 3; j++) {
            send_data(&peer, (int32_t)start + j * 1024, 992);
        }
        (void)receiver_do_work(receiver, world.clock.now_ns);
        cr_assert_eq(image->hwm, start + rows[i].first, "%d", i);
        cr_assert_eq(world.net.receive_batch_last, rows[i].has_gro ? receiver->batch : 1);
        (void)receiver_do_work(receiver, world.clock.now_ns);
        cr_assert_eq(image->hwm, start + 3072, "%d", i);
        cr_assert_eq(world.net.receive_batch_last, receiver->batch);
        sim_world_run(&world, NS_PER_MS);
    }
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

Test(streams, over_runs_duplicates_and_old_frames_change_nothing) {
    static struct sim_world world;
    struct peer peer;
    int count = 0;
    sim_world_init(&world, 14);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_subscription *subscription = sim_add_subscription(&world, node, CHANNEL, STREAM);
    join(&peer, &world, node);
    const struct image *image = node->driver->conductor.images.items[0];
    for (int32_t i = 0; i < 4; i++) {
        send_data(&peer, i * 1024, 992);
        send_data(&peer, i * 1024, 992); /* again */
    }
    send_data(&peer, 32768 - 1024 + 32, 992); /* beyond the window */
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(image->position, 4096);
    cr_assert_eq(image->hwm, 4096);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_FLOW_CONTROL_OVER_RUNS), 1);
    (void)tern_subscription_poll(subscription, count_fragment, &count, 100);
    cr_assert_eq(count, 4);
    for (int32_t i = 4; i < 16; i++) {
        send_data(&peer, i * 1024, 992);
    }
    sim_world_run(&world, NS_PER_MS);
    (void)tern_subscription_poll(subscription, count_fragment, &count, 100);
    sim_world_run(&world, 300 * NS_PER_MS); /* a status message moves the lower bound */
    send_data(&peer, 0, 992);
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(count, 16);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS), 1);
    cr_assert_eq(image->position, 16384);
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

/* The datagram of a pad is its header: one at the end of the window takes its sender to the end of
 * the term, beyond the window, where it waits until the subscribers go on. */
Test(streams, a_sender_that_a_pad_took_beyond_the_window_is_heard) {
    static struct sim_world world;
    struct peer peer;
    int count = 0;
    sim_world_init(&world, 16);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_subscription *subscription = sim_add_subscription(&world, node, CHANNEL, STREAM);
    join(&peer, &world, node);
    const struct image *image = node->driver->conductor.images.items[0];
    for (int32_t i = 0; i < 31; i++) {
        send_data(&peer, i * 1024, 992);
    }
    struct frame_header header = {
        .frame_length = 65536 - 31 * 1024,
        .flags = FRAME_FLAG_UNFRAGMENTED,
        .type = FRAME_TYPE_PAD,
        .term_offset = 31 * 1024,
        .session_id = 77,
        .stream_id = STREAM,
        .term_id = 5,
    };
    sim_net_send(&world.net, peer.socket, "127.0.0.1:24000", &header, sizeof header);
    header = (struct frame_header){.flags = FRAME_FLAG_UNFRAGMENTED,
                                   .type = FRAME_TYPE_DATA,
                                   .session_id = 77,
                                   .stream_id = STREAM,
                                   .term_id = 6};
    for (int i = 0; i < 300; i++) { /* half a minute, in which nobody polls */
        sim_net_send(&world.net, peer.socket, "127.0.0.1:24000", &header, sizeof header);
        sim_world_run(&world, 100 * NS_PER_MS);
    }
    cr_assert_eq(image->state, IMAGE_STATE_ACTIVE);
    cr_assert_eq(image->position, 65536);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_FLOW_CONTROL_OVER_RUNS), 0);
    (void)tern_subscription_poll(subscription, count_fragment, &count, 100);
    cr_assert_eq(count, 31);
    header.term_offset = 1024; /* beyond what came: an over-run as ever */
    sim_net_send(&world.net, peer.socket, "127.0.0.1:24000", &header, sizeof header);
    (void)receiver_do_work(&node->driver->receiver, world.clock.now_ns);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_FLOW_CONTROL_OVER_RUNS), 1);
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

/* A client may write anything into its position counter: it must not take the driver along. */
Test(streams, lying_subscriber_positions_hurt_only_their_own_image) {
    static const int64_t lies[] = {
        INT64_MIN, -1, -65536, 17, 4097, 1 << 20, INT64_MAX, INT64_MAX - 31, 65536 * 3 + 8, 0};
    static struct sim_world world;
    struct peer peer;
    sim_world_init(&world, 15);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_subscription *subscription = sim_add_subscription(&world, node, CHANNEL, STREAM);
    tern_subscription *spy = NULL;
    join(&peer, &world, node);
    struct image *image = node->driver->conductor.images.items[0];
    send_data(&peer, 0, 992);
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=127.0.0.1:24001|ssc=true", STREAM);
    spy =
        sim_add_subscription(&world, node, "aeron-spy:aeron:udp?endpoint=127.0.0.1:24001", STREAM);
    struct publication_net *net = node->driver->conductor.publications_net.items[0];
    cr_assert_eq(net->base.subscribers.count, 1);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        counter_set_release(image->subscribers.positions[0].address, lies[i]);
        counter_set_release(net->base.subscribers.positions[0].address, lies[i]);
        counter_set_release(image->hwm_counter, lies[i]);
        counter_set_release(image->position_counter, lies[i]);
        counter_set_release(net->position_counter, lies[i]);
        counter_set_release(net->limit_counter, lies[i]);
        sim_world_run(&world, 300 * NS_PER_MS);
        cr_assert_leq(image->position, 65536, "lie %zu", i);
        cr_assert_eq(net->position % 32, 0, "lie %zu", i);
        cr_assert_eq(net->position, 0, "lie %zu: nothing was published", i);
    }
    for (int64_t lie = 65536; lie <= 8 * 65536; lie += 65536) { /* term by term */
        counter_set_release(image->subscribers.positions[0].address, lie);
        sim_world_run(&world, 300 * NS_PER_MS);
        cr_assert_leq(image->position, 65536, "lie %lld", (long long)lie);
        cr_assert_leq(image->last_sm_position, 65536, "lie %lld", (long long)lie);
    }
    tern_publication_close(publication);
    tern_subscription_close(spy);
    tern_subscription_close(subscription);
    sim_world_close(&world);
}

Test(streams, random_bytes_on_both_sockets_are_counted_and_harmless) {
    static struct sim_world world;
    static uint8_t noise[2048];
    sim_world_init(&world, 16);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    cr_assert(sim_world_until(&world, is_connected, transfer.publication, 10 * NS_PER_S));
    const struct publication_net *publication = a->driver->conductor.publications_net.items[0];
    char sender_address[NET_ADDRESS_TEXT_MAX];
    union net_address bound = publication->endpoint->socket.bound;
    (void)snprintf(sender_address, sizeof sender_address, "127.0.0.1:%u",
                   (unsigned)net_address_port(&bound));
    /* from the address that the connected socket listens to */
    int receiver_socket =
        b->driver->conductor.endpoints_recv.endpoints[0]->destinations[0]->socket.handle;
    int stranger = sim_net_bind(&world.net, "127.0.0.1:30001");
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_u64(&world.random.table);
        uint32_t length = (uint32_t)(bits % 200);
        for (uint32_t k = 0; k < length; k += 8) {
            uint64_t more = random_u64(&world.random.table);
            memcpy(noise + k, &more, 8);
        }
        noise[4] = 0;
        noise[6] = (uint8_t)(bits >> 32) % 12;
        noise[7] = 0;
        int32_t session = tern_publication_session_id(transfer.publication), stream = STREAM;
        bool is_setup = noise[6] == FRAME_TYPE_SETUP || noise[6] == FRAME_TYPE_DATA;
        memcpy(noise + (is_setup ? 12 : 8), &session, 4);
        memcpy(noise + (is_setup ? 16 : 12), &stream, 4);
        sim_net_send(&world.net, stranger, "127.0.0.1:24000", noise, length);
        if (noise[6] != FRAME_TYPE_SM && noise[6] != FRAME_TYPE_ERR) {
            sim_net_send(&world.net, receiver_socket, sender_address, noise, length);
        }
        if (i % 16 == 0) {
            sim_world_step(&world, SIM_STEP_NS);
        }
    }
    sim_world_run(&world, NS_PER_S);
    cr_assert_gt(sim_system_counter(a, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    cr_assert_gt(sim_system_counter(b, SYSTEM_COUNTER_INVALID_PACKETS), 0);
    cr_assert(tern_publication_is_connected(transfer.publication));
    end(&transfer);
    sim_world_close(&world);
}

Test(streams, what_the_receiver_writes_wakes_sleepers) {
    static struct sim_world world;
    sim_world_init(&world, 9);
    struct sim_node *a = sim_world_add(&world), *b = sim_world_add(&world);
    sim_world_start(&world, a);
    sim_world_start(&world, b);
    struct transfer transfer = begin(&world, a, CHANNEL, b, CHANNEL);
    move_messages(&transfer, 1, 20 * NS_PER_S);
    const struct publication *publication = a->driver->conductor.publications_net.items[0];
    cr_assert(log_wakes_reliably(publication->log->metadata)); /* for spies */
    const struct image *image = b->driver->conductor.images.items[0];
    cr_assert(log_wakes_reliably(image->log->metadata));
    log_sleeper_announce(image->log->metadata);
    log_sleeper_announce(publication->log->metadata);
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(image->log->metadata->sleeper, LOG_SLEEPER); /* heartbeats are no data */
    move_messages(&transfer, 1, 20 * NS_PER_S);
    cr_assert_eq(image->log->metadata->sleeper, 0);
    cr_assert_eq(publication->log->metadata->sleeper, 0);
    end(&transfer);
    sim_world_close(&world);
}

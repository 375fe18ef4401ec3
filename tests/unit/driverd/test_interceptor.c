/* Loss that is made on purpose: where it strikes, and that streams get over it. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driverd/interceptor.h"
#include "driverd/publication_net.h"
#include "lib/sim_driver.h"

#define STREAM 100
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24000"
#define TIMEOUT_NS (60 * NS_PER_S)
#define MESSAGES 200
#define LENGTH 512 /* 544 in the term, two to a datagram */

struct flow {
    tern_publication *publication;
    tern_subscription *subscription;
    int64_t sent;
    int64_t received;
};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    int64_t number;
    int64_t *received = context;
    (void)header;
    cr_assert_eq(length, LENGTH);
    memcpy(&number, buffer, sizeof number);
    cr_assert_eq(number, *received);
    (*received)++;
}

static bool has_arrived(void *context) {
    struct flow *flow = context;
    uint8_t message[LENGTH] = {0};
    while (flow->sent < MESSAGES) {
        memcpy(message, &flow->sent, sizeof flow->sent);
        if (tern_publication_offer(flow->publication, message, sizeof message) < 0) {
            break;
        }
        flow->sent++;
    }
    (void)tern_subscription_poll(flow->subscription, on_message, &flow->received, 100);
    return flow->received == MESSAGES;
}

#define SET(member, text) (void)snprintf(member, sizeof member, "%s", text)

/* Two nodes, [0] sends to [1]; `configure` sets both up. */
static void run(struct sim_world *world,
                void (*configure)(struct driver_conf *from, struct driver_conf *to)) {
    sim_world_init(world, 3);
    struct sim_node *from = sim_world_add(world), *to = sim_world_add(world);
    configure(&from->conf, &to->conf);
    sim_world_start(world, from);
    sim_world_start(world, to);
    struct flow flow = {
        .subscription = sim_add_subscription(world, to, CHANNEL, STREAM),
        .publication = sim_add_publication(
            world, from, CHANNEL "|init-term-id=7|term-id=7|term-offset=0|term-length=64k", STREAM),
    };
    cr_assert(sim_world_until(world, has_arrived, &flow, TIMEOUT_NS), "%lld of %d",
              (long long)flow.received, MESSAGES);
    tern_publication_close(flow.publication);
    tern_subscription_close(flow.subscription);
}

static int64_t retransmits(const struct sim_world *world) {
    return sim_system_counter(&world->nodes[0], SYSTEM_COUNTER_RETRANSMITS_SENT);
}

static void nothing(struct driver_conf *from, struct driver_conf *to) {
    (void)from, (void)to;
}

static void lose_a_gap(struct driver_conf *from, struct driver_conf *to) {
    (void)to;
    SET(from->outgoing_interceptors, "fixed-loss");
    SET(from->fixed_loss_args, "term-id=7|term-offset=2048|length=100");
}

static void receive_gaps(struct driver_conf *from, struct driver_conf *to) {
    (void)from;
    SET(to->incoming_interceptors, "multi-gap-loss");
    SET(to->multi_gap_loss_args, "term-id=7|gap-radix=8192|gap-length=64|total-gaps=5");
}

static void lose_data(struct driver_conf *from, struct driver_conf *to) {
    SET(from->send_data_loss.rate, "0.2");
    SET(to->receive_data_loss.rate, "0.2");
    to->receive_data_loss.seed = 5;
}

static void lose_control(struct driver_conf *from, struct driver_conf *to) {
    SET(from->receive_control_loss.rate, "0.3");
    SET(to->send_control_loss.rate, "0.3");
}

static void lose_naks(struct driver_conf *from, struct driver_conf *to) {
    lose_a_gap(from, to);
    SET(from->incoming_interceptors, "loss");
    SET(from->loss_args, "rate=0.5|seed=9|recv-msg-mask=4"); /* 1 << NAK */
}

Test(interceptor, streams_get_over_what_is_lost_on_purpose, .timeout = 60) {
    static struct sim_world world;
    run(&world, nothing);
    cr_assert_eq(retransmits(&world), 0);
    cr_assert_eq(world.nodes[0].driver->context.io.net, &world.net.table, "nothing in between");
    sim_world_close(&world);
    run(&world, lose_a_gap);
    cr_assert_eq(retransmits(&world), 1, "%lld", (long long)retransmits(&world));
    sim_world_close(&world);
    run(&world, receive_gaps);
    cr_assert_geq(retransmits(&world), 5, "%lld", (long long)retransmits(&world));
    cr_assert_leq(retransmits(&world), 10, "%lld", (long long)retransmits(&world));
    sim_world_close(&world);
    run(&world, lose_data);
    cr_assert_gt(retransmits(&world), 10);
    sim_world_close(&world);
    run(&world, lose_control);
    cr_assert_eq(retransmits(&world), 0);
    sim_world_close(&world);
    run(&world, lose_naks);
    cr_assert_geq(retransmits(&world), 1);
    sim_world_close(&world);
}

Test(interceptor, what_cannot_be_understood_is_refused_by_the_name_of_its_option) {
    static const struct {
        const char *list, *loss, *fixed, *multi, *key;
    } rows[] = {
        {"loss", "rate=2", "", "", "udp_channel_transport_bindings_loss_args"},
        {"loss", "rate=0.1|recv-msg-mask=zz", "", "", "udp_channel_transport_bindings_loss_args"},
        {"fixed-loss", "", "term-id=1|term-offset=0", "",
         "udp_channel_transport_bindings_fixed_loss_args"},
        {"loss,multi-gap-loss", "rate=0.1", "", "term-id=1|gap-radix=0|gap-length=1|total-gaps=1",
         "udp_channel_transport_bindings_multi_gap_loss_args"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct driver_conf conf;
        struct interceptor interceptor;
        struct tern_error error = {0};
        const char *key;
        bool is_wanted;
        driver_conf_defaults(&conf);
        SET(conf.incoming_interceptors, rows[i].list);
        SET(conf.loss_args, rows[i].loss);
        SET(conf.fixed_loss_args, rows[i].fixed);
        SET(conf.multi_gap_loss_args, rows[i].multi);
        cr_assert_eq(interceptor_init(&interceptor, &conf, net_system(), &is_wanted, &key, &error),
                     -EINVAL, "%s", rows[i].list);
        cr_assert_str_eq(key, rows[i].key);
    }
}

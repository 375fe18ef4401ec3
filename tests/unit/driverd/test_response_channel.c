/* Response channels between whole drivers on the simulated network, and within one. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "driverd/image.h"
#include "driverd/publication_net.h"
#include "driverd/subscription.h"
#include "lib/sim_driver.h"

#define REQUEST_STREAM 100
#define RESPONSE_STREAM 200
#define CHANNEL_MAX 256
#define TIMEOUT_NS (60 * NS_PER_S)
#define UDP_REQUESTS "aeron:udp?endpoint=127.0.0.1:24100"
#define UDP_ASK UDP_REQUESTS "|response-correlation-id=%lld"
#define UDP_RESPONSES "aeron:udp?control=127.0.0.1:24101|control-mode=response"
#define UDP_ANSWER UDP_RESPONSES "|response-correlation-id=%lld"
#define IPC_ASK "aeron:ipc?response-correlation-id=%lld"
#define IPC_RESPONSES "aeron:ipc?control-mode=response"
#define IPC_ANSWER IPC_RESPONSES "|response-correlation-id=%lld"

/* One client's two ends, and the server's answer to it. */
struct exchange {
    tern_subscription *responses;
    tern_publication *ask;
    tern_publication *answer;
    int64_t received;
    int64_t sent;
    int64_t count;
};

static tern_publication *add_publication(struct sim_world *world, struct sim_node *node,
                                         const char *format, int64_t id, int32_t stream_id) {
    char channel[CHANNEL_MAX];
    (void)snprintf(channel, sizeof channel, format, (long long)id);
    return sim_add_publication(world, node, channel, stream_id);
}

static void ask(struct sim_world *world, struct sim_node *client, struct exchange *exchange,
                const char *responses, const char *request) {
    exchange->responses = sim_add_subscription(world, client, responses, RESPONSE_STREAM);
    exchange->ask =
        add_publication(world, client, request,
                        tern_subscription_registration_id(exchange->responses), REQUEST_STREAM);
}

struct arrival {
    tern_subscription *requests;
    int32_t session_id;
    tern_image *image;
};

static bool has_arrived(void *context) {
    struct arrival *arrival = context;
    arrival->image = tern_subscription_image_by_session_id(arrival->requests, arrival->session_id);
    return arrival->image != NULL;
}

/* The correlation id of the image that a request makes at the server. */
static int64_t await_request(struct sim_world *world, tern_subscription *requests,
                             const struct exchange *exchange) {
    struct arrival arrival = {.requests = requests,
                              .session_id = tern_publication_session_id(exchange->ask)};
    cr_assert(sim_world_until(world, has_arrived, &arrival, TIMEOUT_NS));
    int64_t id = tern_image_correlation_id(arrival.image);
    tern_image_release(arrival.image);
    return id;
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct exchange *exchange = context;
    int64_t number;
    (void)header;
    cr_assert_eq(length, sizeof number);
    memcpy(&number, buffer, sizeof number);
    cr_assert_eq(number,
                 exchange->received + INT64_C(1000) * tern_publication_session_id(exchange->answer),
                 "an answer to somebody else");
    exchange->received++;
}

static bool is_answered(void *context) {
    struct exchange *exchange = context;
    while (exchange->sent < exchange->count) {
        int64_t number =
            exchange->sent + INT64_C(1000) * tern_publication_session_id(exchange->answer);
        if (tern_publication_offer(exchange->answer, (const uint8_t *)&number, sizeof number) < 0) {
            break;
        }
        exchange->sent++;
    }
    (void)tern_subscription_poll(exchange->responses, on_message, exchange, 100);
    return exchange->received == exchange->count;
}

static void answer(struct sim_world *world, struct exchange *exchange, int64_t count) {
    exchange->count += count;
    cr_assert(sim_world_until(world, is_answered, exchange, TIMEOUT_NS), "%lld of %lld answers",
              (long long)exchange->received, (long long)exchange->count);
}

static void end(struct exchange *exchange) {
    tern_publication_close(exchange->ask);
    tern_publication_close(exchange->answer);
    tern_subscription_close(exchange->responses);
}

static bool has_no_sockets(void *context) {
    return sim_net_open_count(context) == 0;
}

/* What passes the network. */
struct traffic {
    int rsp_setups;
    bool drops_rsp_setups;
    bool drops_elicitations;
};

static enum sim_verdict watch(void *context, const struct sim_packet *packet) {
    struct traffic *traffic = context;
    struct frame_common common;
    memcpy(&common, packet->data, sizeof common);
    bool is_rsp_setup = common.type == FRAME_TYPE_RSP_SETUP;
    bool is_elicitation =
        common.type == FRAME_TYPE_SM && (common.flags & FRAME_SM_FLAG_SEND_SETUP) != 0;
    traffic->rsp_setups += is_rsp_setup;
    return (is_rsp_setup && traffic->drops_rsp_setups) ||
                   (is_elicitation && traffic->drops_elicitations)
               ? SIM_DROP
               : SIM_PASS;
}

static void start(struct sim_world *world, uint64_t seed, int count) {
    sim_world_init(world, seed);
    for (int i = 0; i < count; i++) {
        sim_world_start(world, sim_world_add(world));
    }
}

Test(response_channel, each_requester_receives_the_answers_to_itself_only, .timeout = 60) {
    static const double drop[] = {0, 0.1, 0.3};
    for (size_t row = 0; row < sizeof drop / sizeof drop[0]; row++) {
        static struct sim_world world;
        struct traffic traffic = {0};
        struct exchange exchanges[2] = {0};
        start(&world, 10 + row, 3);
        world.net.faults.drop = drop[row];
        world.net.filter = watch;
        world.net.filter_context = &traffic;
        struct sim_node *server = &world.nodes[0];
        tern_subscription *requests =
            sim_add_subscription(&world, server, UDP_REQUESTS, REQUEST_STREAM);
        for (int i = 0; i < 2; i++) {
            ask(&world, &world.nodes[i + 1], &exchanges[i], UDP_RESPONSES, UDP_ASK);
            int64_t id = await_request(&world, requests, &exchanges[i]);
            exchanges[i].answer = add_publication(&world, server, UDP_ANSWER, id, RESPONSE_STREAM);
        }
        cr_assert_neq(tern_publication_session_id(exchanges[0].answer),
                      tern_publication_session_id(exchanges[1].answer));
        for (int round = 0; round < 3; round++) {
            answer(&world, &exchanges[0], 20);
            answer(&world, &exchanges[1], 30);
        }
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(tern_subscription_image_count(exchanges[i].responses), 1);
        }
        cr_assert_eq(server->driver->conductor.endpoints_send.count, 1, "one socket for both");
        int before = traffic.rsp_setups;
        cr_assert_gt(before, 0);
        sim_world_run(&world, 2 * NS_PER_S);
        cr_assert_eq(traffic.rsp_setups, before, "said after the response was connected");
        world.net.faults.drop = 0;
        end(&exchanges[0]);
        end(&exchanges[1]);
        tern_subscription_close(requests);
        cr_assert(sim_world_until(&world, has_no_sockets, &world.net, TIMEOUT_NS));
        cr_assert_eq(sim_system_counter(server, SYSTEM_COUNTER_ERRORS), 0);
        sim_world_close(&world);
    }
}

Test(response_channel, nothing_is_sent_before_somebody_asked_and_the_session_is_said_until_then) {
    static struct sim_world world;
    struct traffic traffic = {.drops_elicitations = true};
    struct exchange exchange = {0};
    start(&world, 3, 2);
    struct sim_node *server = &world.nodes[0];
    tern_subscription *requests =
        sim_add_subscription(&world, server, UDP_REQUESTS, REQUEST_STREAM);
    ask(&world, &world.nodes[1], &exchange, UDP_RESPONSES, UDP_ASK);
    int64_t id = await_request(&world, requests, &exchange);
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    exchange.answer = add_publication(&world, server, UDP_ANSWER, id, RESPONSE_STREAM);
    struct publication_net *publication = server->driver->conductor.publications_net.items[0];
    sim_world_run(&world, NS_PER_MS);
    cr_assert_eq(traffic.rsp_setups, 1, "at once");
    sim_world_run(&world, 3 * NS_PER_S);
    cr_assert_geq(traffic.rsp_setups, 13);
    cr_assert_leq(traffic.rsp_setups, 16, "every status message time-out, 200 ms");
    cr_assert(!publication->has_response_address);
    cr_assert_eq(publication->next_setup_ns, 0, "no SETUP was sent");
    struct subscription *waiting = world.nodes[1].driver->conductor.subscriptions.items[0];
    cr_assert(!subscription_awaits_session(waiting), "it knows its session");
    traffic.drops_elicitations = false;
    answer(&world, &exchange, 5);
    /* A stranger who asks for the session does not get it while the requester has it. */
    struct frame_sm sm = {.common = {FRAME_SM_LENGTH, 0, FRAME_SM_FLAG_SEND_SETUP, FRAME_TYPE_SM},
                          .session_id = tern_publication_session_id(exchange.answer),
                          .stream_id = RESPONSE_STREAM};
    int stranger = sim_net_bind(&world.net, "127.0.0.1:31000");
    sim_net_send(&world.net, stranger, "127.0.0.1:24101", &sm, FRAME_SM_LENGTH);
    sim_world_run(&world, NS_PER_MS);
    answer(&world, &exchange, 5);
    uint8_t buffer[65536];
    union net_address source;
    cr_assert_eq(sim_net_receive(&world.net, stranger, buffer, &source), 0);
    world.net.table.close(&world.net, stranger);
    end(&exchange);
    tern_subscription_close(requests);
    sim_world_close(&world);
}

Test(response_channel, an_answer_that_ends_before_it_is_heard_is_no_longer_announced) {
    static struct sim_world world;
    struct traffic traffic = {.drops_rsp_setups = true};
    struct exchange exchange = {0};
    start(&world, 5, 2);
    struct sim_node *server = &world.nodes[0];
    tern_subscription *requests =
        sim_add_subscription(&world, server, UDP_REQUESTS, REQUEST_STREAM);
    ask(&world, &world.nodes[1], &exchange, UDP_RESPONSES, UDP_ASK);
    int64_t id = await_request(&world, requests, &exchange);
    world.net.filter = watch;
    world.net.filter_context = &traffic;
    exchange.answer = add_publication(&world, server, UDP_ANSWER, id, RESPONSE_STREAM);
    sim_world_run(&world, NS_PER_S);
    int before = traffic.rsp_setups;
    cr_assert_gt(before, 3);
    tern_publication_close(exchange.answer);
    sim_world_run(&world, 10 * NS_PER_MS);
    before = traffic.rsp_setups;
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(traffic.rsp_setups, before);
    /* The next answer to the same image takes its place. */
    traffic.drops_rsp_setups = false;
    exchange.answer = add_publication(&world, server, UDP_ANSWER, id, RESPONSE_STREAM);
    answer(&world, &exchange, 5);
    end(&exchange);
    tern_subscription_close(requests);
    sim_world_close(&world);
}

Test(response_channel, within_one_driver_sessions_are_handed_over_without_frames) {
    static struct sim_world world;
    struct exchange exchanges[2] = {0};
    start(&world, 7, 1);
    struct sim_node *node = &world.nodes[0];
    tern_subscription *requests = sim_add_subscription(&world, node, "aeron:ipc", REQUEST_STREAM);
    tern_publication *other = sim_add_publication(&world, node, "aeron:ipc", RESPONSE_STREAM);
    for (int i = 0; i < 2; i++) {
        ask(&world, node, &exchanges[i], IPC_RESPONSES, IPC_ASK);
        int64_t id = await_request(&world, requests, &exchanges[i]);
        sim_world_run(&world, NS_PER_MS);
        cr_assert_eq(tern_subscription_image_count(exchanges[i].responses), 0, "still waiting");
        exchanges[i].answer = add_publication(&world, node, IPC_ANSWER, id, RESPONSE_STREAM);
    }
    cr_assert_neq(tern_publication_original_registration_id(exchanges[0].answer),
                  tern_publication_original_registration_id(exchanges[1].answer), "shared log");
    cr_assert_neq(tern_publication_original_registration_id(exchanges[0].ask),
                  tern_publication_original_registration_id(exchanges[1].ask), "shared log");
    for (int round = 0; round < 3; round++) {
        answer(&world, &exchanges[1], 20);
        answer(&world, &exchanges[0], 20);
    }
    cr_assert_eq(tern_subscription_image_count(exchanges[0].responses), 1);
    cr_assert(!tern_publication_is_connected(other));
    end(&exchanges[0]);
    end(&exchanges[1]);
    tern_publication_close(other);
    tern_subscription_close(requests);
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(node->driver->conductor.publications_ipc.count, 0);
    sim_world_close(&world);
}

Test(response_channel, what_has_no_counterpart_is_refused) {
    static struct sim_world world;
    struct exchange exchange = {0};
    start(&world, 9, 1);
    struct sim_node *node = &world.nodes[0];
    tern_subscription *plain = sim_add_subscription(&world, node, UDP_REQUESTS, REQUEST_STREAM);
    tern_subscription *ipc = sim_add_subscription(&world, node, IPC_RESPONSES, RESPONSE_STREAM);
    ask(&world, node, &exchange, UDP_RESPONSES, UDP_ASK);
    int64_t image_id = await_request(&world, plain, &exchange);
    tern_publication *unasked =
        sim_add_publication(&world, node, UDP_REQUESTS "|alias=unasked", REQUEST_STREAM + 1);
    int64_t response_id = tern_subscription_registration_id(exchange.responses);
    const struct {
        const char *format;
        int64_t id;
    } rows[] = {
        {UDP_ASK, tern_subscription_registration_id(plain)}, /* no response subscription */
        {UDP_ASK, tern_subscription_registration_id(ipc)},   /* of another medium */
        {IPC_ASK, response_id},
        {UDP_ANSWER, tern_publication_registration_id(unasked)},
        {UDP_ANSWER, image_id + 1000},
        {IPC_ANSWER, image_id},
        {IPC_ANSWER, tern_publication_registration_id(exchange.ask)},
        {UDP_RESPONSES "|alias=%lld", 0}, /* answers nobody */
        {UDP_ASK "x", 1},
        {UDP_ASK, -3},
        {"aeron:udp?control=127.0.0.1:24101|control-mode=dynamic|alias=%lld", 0}, /* see below */
    };
    exchange.answer = add_publication(&world, node, UDP_ANSWER, image_id, RESPONSE_STREAM);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char channel[CHANNEL_MAX];
        struct tern_error error = {0};
        (void)snprintf(channel, sizeof channel, rows[i].format, (long long)rows[i].id);
        cr_assert_null(sim_try_add_publication(&world, node, channel, RESPONSE_STREAM, &error),
                       "%s", channel);
        cr_assert_not_null(strstr(error.text, "response"), "%s: %s", channel, error.text);
    }
    end(&exchange);
    tern_publication_close(unasked);
    tern_subscription_close(plain);
    tern_subscription_close(ipc);
    sim_world_close(&world);
}

Test(response_channel, a_prototype_holds_the_channel_and_sends_nothing) {
    static struct sim_world world;
    struct exchange exchange = {0};
    start(&world, 11, 1);
    struct sim_node *node = &world.nodes[0];
    tern_publication *prototype = sim_add_publication(
        &world, node, UDP_RESPONSES "|response-correlation-id=prototype|term-length=1m",
        RESPONSE_STREAM);
    struct publication_net *publication = node->driver->conductor.publications_net.items[0];
    cr_assert_eq(publication->base.log->term_length, 65536);
    cr_assert_eq(publication->base.log->metadata->response_correlation_id, -2);
    cr_assert_eq(publication->base.log->metadata->is_response, 1);
    int64_t sent = world.net.sent_count;
    sim_world_run(&world, NS_PER_S);
    cr_assert_eq(world.net.sent_count, sent);
    tern_subscription *requests = sim_add_subscription(&world, node, UDP_REQUESTS, REQUEST_STREAM);
    ask(&world, node, &exchange, UDP_RESPONSES, UDP_ASK);
    int64_t id = await_request(&world, requests, &exchange);
    exchange.answer = add_publication(&world, node, UDP_ANSWER, id, RESPONSE_STREAM);
    cr_assert_eq(node->driver->conductor.endpoints_send.count, 2, "the channel is shared");
    answer(&world, &exchange, 5);
    tern_publication_close(prototype);
    end(&exchange);
    tern_subscription_close(requests);
    sim_world_close(&world);
}

Test(response_channel, subscriptions_of_one_stream_agree_and_may_wait_together) {
    static struct sim_world world;
    struct exchange exchanges[2] = {0};
    struct tern_error error = {0};
    start(&world, 13, 1);
    struct sim_node *node = &world.nodes[0];
    tern_subscription *requests = sim_add_subscription(&world, node, UDP_REQUESTS, REQUEST_STREAM);
    for (int i = 0; i < 2; i++) {
        ask(&world, node, &exchanges[i], UDP_RESPONSES, UDP_ASK);
    }
    const struct tern_subscription_params ordinary = {
        .channel = "aeron:udp?control=127.0.0.1:24101|control-mode=dynamic",
        .stream_id = RESPONSE_STREAM};
    tern_async *async = tern_client_async_add_subscription(node->client, &ordinary, &error);
    tern_subscription *refused = NULL;
    int result = 0;
    while (result == 0) {
        sim_world_step(&world, SIM_STEP_NS);
        result = tern_async_poll_subscription(async, &refused, &error);
    }
    cr_assert_lt(result, 0);
    cr_assert_not_null(strstr(error.text, "control-mode=response"), "%s", error.text);
    for (int i = 0; i < 2; i++) {
        int64_t id = await_request(&world, requests, &exchanges[i]);
        exchanges[i].answer = add_publication(&world, node, UDP_ANSWER, id, RESPONSE_STREAM);
        answer(&world, &exchanges[i], 5);
    }
    end(&exchanges[0]); /* its interest goes, the other's stays */
    answer(&world, &exchanges[1], 5);
    end(&exchanges[1]);
    tern_subscription_close(requests);
    cr_assert(sim_world_until(&world, has_no_sockets, &world.net, TIMEOUT_NS));
    sim_world_close(&world);
}

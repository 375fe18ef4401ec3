/* The gossip of names in whole drivers: they learn from each other, names lead somewhere, and a
 * name service that hangs holds up nobody who can do without it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "lib/driver_fixture.h"
#include "lib/sim_driver.h"
#include "shm/counter_types.h"
#include "wire/resolution.h"

#define STREAM 1001

static void name_node(struct sim_node *node, int index, const char *bootstrap) {
    struct driver_conf *conf = &node->conf;
    (void)snprintf(conf->resolver_name, sizeof conf->resolver_name, "node-%d", index);
    (void)snprintf(conf->resolver_interface, sizeof conf->resolver_interface, "127.0.0.1:805%d",
                   index);
    (void)snprintf(conf->resolver_bootstrap, sizeof conf->resolver_bootstrap, "%s", bootstrap);
}

/* The only counter of a type, with its label. */
static int64_t counter(const struct driver *driver, int32_t type_id, char label[400]) {
    const struct cnc *cnc = &driver->context.cnc;
    struct counters_reader reader;
    int32_t id = COUNTER_NULL_ID;
    cr_assert(counters_reader_init(&reader, cnc->counters_metadata, cnc->counters_metadata_length,
                                   cnc->counters_values, cnc->counters_values_length) == 0);
    for (int32_t i = 0; i < 200; i++) {
        if (counters_reader_state(&reader, i) == COUNTER_STATE_ALLOCATED &&
            counters_reader_type_id(&reader, i) == type_id) {
            cr_assert(id == COUNTER_NULL_ID, "two counters of type %d", type_id);
            id = i;
        }
    }
    cr_assert(id != COUNTER_NULL_ID, "no counter of type %d", type_id);
    cr_assert(counters_reader_owner_id(&reader, id) == -1);
    (void)counters_reader_label(&reader, id, label, 400);
    return counters_reader_value(&reader, id);
}

static void expect_counter(const struct driver *driver, int32_t type_id, int64_t value,
                           const char *label) {
    char text[400];
    cr_assert_eq(counter(driver, type_id, text), value, "%s", label);
    cr_assert_str_eq(text, label);
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

static void expect_stream(struct sim_world *world, struct sim_node *from, struct sim_node *to,
                          const char *channel) {
    tern_subscription *subscription =
        sim_add_subscription(world, to, "aeron:udp?endpoint=127.0.0.1:24000", STREAM);
    tern_publication *publication = sim_add_publication(world, from, channel, STREAM);
    cr_assert(sim_world_until(world, is_connected, publication, 5 * NS_PER_S), "%s", channel);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    sim_world_run(world, 10 * NS_PER_MS);
}

Test(gossip_socket, drivers_learn_each_others_names_along_a_chain, .timeout = 60) {
    static struct sim_world world;
    sim_world_init(&world, 31);
    struct sim_node *nodes[3];
    for (int i = 0; i < 3; i++) {
        nodes[i] = sim_world_add(&world);
    }
    name_node(nodes[0], 0, "");
    name_node(nodes[1], 1, "seed:8050");
    name_node(nodes[2], 2, "127.0.0.1:8051");
    for (int i = 0; i < 3; i++) {
        sim_world_start(&world, nodes[i]);
    }
    struct counters_reader reader;
    char label[400];
    const struct cnc *cnc = &nodes[1]->driver->context.cnc;
    (void)counters_reader_init(&reader, cnc->counters_metadata, cnc->counters_metadata_length,
                               cnc->counters_values, cnc->counters_values_length);
    (void)counters_reader_label(&reader, SYSTEM_COUNTER_RESOLUTION_CHANGES, label, sizeof label);
    cr_assert_str_eq(label, "Resolution changes: driverName=node-1");
    sim_world_run(&world, 100 * NS_PER_MS);
    expect_counter(nodes[1]->driver, COUNTER_TYPE_NAME_RESOLVER_BOOTSTRAP, 0,
                   "Bootstrap neighbor: name=seed:8050 resolved=unknown");
    sim_net_set_host(&world.net, "seed", "127.0.0.1"); /* as a pod's name: it comes up later */
    sim_world_run(&world, 15 * NS_PER_S);
    expect_counter(nodes[1]->driver, COUNTER_TYPE_NAME_RESOLVER_BOOTSTRAP, 1,
                   "Bootstrap neighbor: name=seed:8050 resolved=127.0.0.1:8050");
    expect_counter(nodes[0]->driver, COUNTER_TYPE_NAME_RESOLVER_NEIGHBORS, 2,
                   "Resolver neighbors: bound 127.0.0.1:8050");
    expect_counter(nodes[0]->driver, COUNTER_TYPE_NAME_RESOLVER_CACHE, 2,
                   "Resolver cache entries: name=node-0");
    expect_counter(nodes[2]->driver, COUNTER_TYPE_NAME_RESOLVER_CACHE, 2,
                   "Resolver cache entries: name=node-2");
    expect_stream(&world, nodes[2], nodes[0], "aeron:udp?endpoint=node-0:24000");
    expect_stream(&world, nodes[0], nodes[0], "aeron:udp?endpoint=node-0:24000");
    sim_net_set_host(&world.net, "of-the-system", "127.0.0.1");
    expect_stream(&world, nodes[1], nodes[0], "aeron:udp?endpoint=of-the-system:24000");

    sim_world_stop(nodes[2]);
    sim_world_run(&world, 12 * NS_PER_S);
    cr_assert_eq(counter(nodes[0]->driver, COUNTER_TYPE_NAME_RESOLVER_CACHE, label), 1);
    cr_assert_eq(counter(nodes[0]->driver, COUNTER_TYPE_NAME_RESOLVER_NEIGHBORS, label), 1);
    struct tern_error error = {0};
    cr_assert_null(sim_try_add_publication(&world, nodes[0], "aeron:udp?endpoint=node-2:24000",
                                           STREAM, &error));
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_UNKNOWN_HOST);
    sim_world_close(&world);
}

static uint32_t make_news(uint8_t *frame, const char *name, const char *address) {
    struct resolution_entry entry = {
        .is_self = true, .name = name, .name_length = (int32_t)strlen(name)};
    cr_assert(net_address_parse(address, &entry.address) == 0);
    int32_t length = FRAME_COMMON_LENGTH + resolution_put(frame + FRAME_COMMON_LENGTH, 256, &entry);
    resolution_put_header(frame, length);
    return (uint32_t)length;
}

Test(gossip_socket, a_silent_name_that_moves_is_followed_and_noise_is_counted, .timeout = 60) {
    static struct sim_world world;
    uint8_t frame[512];
    uint8_t received[65536];
    union net_address source;
    sim_world_init(&world, 32);
    struct sim_node *node = sim_world_add(&world);
    name_node(node, 0, "");
    sim_world_start(&world, node);
    int teller = sim_net_bind(&world.net, "127.0.0.1:9000");
    int first = sim_net_bind(&world.net, "127.0.0.5:24000");
    int second = sim_net_bind(&world.net, "127.0.0.6:24000");
    uint32_t length = make_news(frame, "far", "127.0.0.5:8050");
    sim_net_send(&world.net, teller, "127.0.0.1:8050", frame, length);
    for (uint32_t cut = 0; cut < length; cut++) {
        sim_net_send(&world.net, teller, "127.0.0.1:8050", frame, cut);
    }
    sim_world_run(&world, 100 * NS_PER_MS);
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_INVALID_PACKETS), length);
    tern_publication *publication =
        sim_add_publication(&world, node, "aeron:udp?endpoint=far:24000", STREAM);
    sim_world_run(&world, 200 * NS_PER_MS);
    cr_assert_gt(sim_net_receive(&world.net, first, received, &source), 0, "SETUP");
    length = make_news(frame, "far", "127.0.0.6:8050");
    sim_net_send(&world.net, teller, "127.0.0.1:8050", frame, length);
    sim_world_run(&world, 4 * NS_PER_S);
    cr_assert_eq(sim_net_receive(&world.net, second, received, &source), 0, "not yet silent");
    sim_world_run(&world, 3 * NS_PER_S);
    cr_assert_gt(sim_net_receive(&world.net, second, received, &source), 0, "SETUP");
    cr_assert_eq(sim_system_counter(node, SYSTEM_COUNTER_RESOLUTION_CHANGES), 1);
    tern_publication_close(publication);
    sim_world_close(&world);
}

struct counted {
    const struct driver *driver;
    int64_t neighbors; /* counted when the first datagram went out */
};

static enum sim_verdict look(void *context, const struct sim_packet *packet) {
    struct counted *counted = context;
    char label[400];
    (void)packet;
    if (counted->neighbors < 0) {
        counted->neighbors = counter(counted->driver, COUNTER_TYPE_NAME_RESOLVER_NEIGHBORS, label);
    }
    return SIM_PASS;
}

Test(gossip_socket, a_neighbor_is_counted_before_it_is_told) {
    static struct sim_world world;
    uint8_t frame[512];
    sim_world_init(&world, 33);
    struct sim_node *node = sim_world_add(&world);
    name_node(node, 0, "");
    sim_world_start(&world, node);
    int teller = sim_net_bind(&world.net, "127.0.0.1:9000");
    struct counted counted = {.driver = node->driver, .neighbors = -1};
    world.net.filter = look;
    world.net.filter_context = &counted;
    uint32_t length = make_news(frame, "far", "0.0.0.0:9000");
    sim_net_send(&world.net, teller, "127.0.0.1:8050", frame, length);
    sim_world_run(&world, 1100 * NS_PER_MS);
    cr_assert_eq(counted.neighbors, 1);
    sim_world_close(&world);
}

/* A name service that answers nobody about "dead" names until it is told to. */
struct hanging {
    sem_t called;
    sem_t released;
};

static int hang(void *context, const char *host, union net_address *address,
                struct tern_error *error) {
    struct hanging *hanging = context;
    (void)address;
    if (strcmp(host, "dead") == 0) {
        (void)sem_post(&hanging->called);
        (void)sem_wait(&hanging->released);
    }
    return error_set(error, -ENOENT, "cannot resolve %s", host);
}

struct threaded {
    struct driver_fixture fixture;
    struct agent_runner_params main;
};

static void step(struct threaded *t, int64_t duration_ns) {
    t->fixture.now_ns += duration_ns;
    (void)t->main.agent.do_work(t->main.agent.context, t->fixture.now_ns);
}

static bool await_answer(struct threaded *t, int32_t type, struct response *response) {
    for (int i = 0; i < 100; i++) {
        if (driver_fixture_find(&t->fixture, type, response)) {
            return true;
        }
        step(t, 10 * NS_PER_MS);
    }
    return false;
}

static struct command publish(const char *channel, int64_t client_id) {
    return (struct command){.type = COMMAND_ADD_PUBLICATION,
                            .stream_id = STREAM,
                            .client_id = client_id,
                            .channel = driver_fixture_text(channel)};
}

Test(gossip_socket, a_name_service_that_hangs_delays_neither_gossip_nor_known_names) {
    static struct threaded t;
    struct driver_fixture *f = &t.fixture;
    struct hanging hanging;
    struct tern_error error = {0};
    struct response response;
    uint8_t frame[512];
    cr_assert(sem_init(&hanging.called, 0, 0) == 0 && sem_init(&hanging.released, 0, 0) == 0);
    driver_fixture_init(f);
    f->net.context = &hanging;
    f->net.resolve = hang;
    f->conf.threading = DRIVER_THREADING_SHARED;
    (void)snprintf(f->conf.resolver_name, sizeof f->conf.resolver_name, "here");
    (void)snprintf(f->conf.resolver_interface, sizeof f->conf.resolver_interface, "127.0.0.1:0");
    (void)snprintf(f->conf.resolver_bootstrap, sizeof f->conf.resolver_bootstrap, "dead:1");
    driver_fixture_open(f);
    cr_assert(driver_main_agent(f->driver, &t.main, &error) == 0);
    cr_assert(driver_start(f->driver, &error) == 0);
    step(&t, 0);
    (void)sem_wait(&hanging.called); /* the look-up of a bootstrap neighbor is stuck */

    const struct net *net = net_system();
    union net_address bound;
    int peer;
    struct net_socket_params params = {0};
    struct net_datagram datagram = {.data = frame};
    cr_assert(net_address_parse("127.0.0.1:0", &params.bind) == 0);
    cr_assert(net->open(net->context, &params, &peer, &bound, &error) == 0, "%s", error.text);
    datagram.length = make_news(frame, "far", "0.0.0.0:1");
    datagram.address = f->driver->gossip.gossip.params.self;
    cr_assert(net->send(net->context, peer, &datagram, 1, NET_SEND_TO_ADDRESS) == 1);
    for (int i = 0; i < 1000 && f->driver->gossip.gossip.name_count == 0; i++) {
        step(&t, 10 * NS_PER_MS); /* loopback: it is there */
    }
    struct command known = publish("aeron:udp?endpoint=far:24000", 0);
    (void)driver_fixture_send(f, &known);
    step(&t, 0);
    while (f->driver->conductor.pending.count > 0) { /* its log is made by a thread */
        step(&t, 0);
    }
    cr_assert(await_answer(&t, RESPONSE_PUBLICATION_READY, &response), "a name that was heard");
    step(&t, NS_PER_S);
    datagram.capacity = sizeof frame;
    int count = 0;
    for (int i = 0; i < 1000 && count == 0; i++) {
        count = net->receive(net->context, peer, &datagram, 1);
    }
    cr_assert(count == 1, "the own name is told meanwhile");

    /* Nor does it delay a client whose name it is quick about. */
    struct command unknown = publish("aeron:udp?endpoint=nobody:24000", 0);
    (void)driver_fixture_send(f, &unknown);
    step(&t, 0);
    while (f->driver->conductor.pending.count > 0) {
        step(&t, NS_PER_MS);
    }
    cr_assert(await_answer(&t, RESPONSE_ERROR, &response));
    cr_assert(response.error_code == DRIVER_ERROR_UNKNOWN_HOST);
    cr_assert(response.correlation_id == unknown.correlation_id);
    cr_assert(resolver_is_busy(f->driver->resolver));
    (void)sem_post(&hanging.released);
    while (resolver_is_busy(f->driver->resolver)) {
        step(&t, 0);
    }
    net->close(net->context, peer);
    driver_fixture_close(f);
}

Test(gossip_socket, a_start_that_cannot_bind_says_why) {
    static struct driver_fixture f;
    struct tern_error error = {0};
    static const char *const interfaces[] = {"10.255.255.1:0", "{no-such-if}:0"};
    for (size_t i = 0; i < sizeof interfaces / sizeof *interfaces; i++) {
        driver_fixture_init(&f);
        (void)snprintf(f.conf.resolver_name, sizeof f.conf.resolver_name, "here");
        (void)snprintf(f.conf.resolver_interface, sizeof f.conf.resolver_interface, "%s",
                       interfaces[i]);
        cr_assert(driver_open(&f.driver, &f.conf, &f.io, &error) < 0);
        cr_assert(strstr(error.text, "name resolver") != NULL, "%s", error.text);
        cr_assert(strstr(error.text, "interface") != NULL, "%s", error.text);
        f.driver = NULL;
        driver_fixture_close(&f);
    }
}

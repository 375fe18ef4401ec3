/* Tags of publications: sharing an endpoint by nothing but its tag, and a session by that of a
 * publication. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "driverd/publication_net.h"
#include "lib/sim_driver.h"

#define STREAM 100

/* The index-th that was added: the list is in no order. */
static struct publication_net *publication_at(struct sim_node *node, int index) {
    const struct pointer_list *list = &node->driver->conductor.publications_net;
    for (int32_t i = 0; i < list->count; i++) {
        struct publication_net *publication = list->items[i];
        int older = 0;
        for (int32_t k = 0; k < list->count; k++) {
            const struct publication_net *other = list->items[k];
            older += other->base.registration_id < publication->base.registration_id;
        }
        if (older == index) {
            return publication;
        }
    }
    cr_assert_fail("there is no publication %d", index);
    return NULL;
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

static void count_bytes(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    (void)buffer, (void)header;
    *(int64_t *)context += length;
}

struct flow {
    tern_publication *publication;
    tern_subscription *subscription;
    int64_t received;
    bool is_sent;
};

static bool has_arrived(void *context) {
    struct flow *flow = context;
    if (!flow->is_sent) {
        flow->is_sent = tern_publication_offer(flow->publication, "hello", 5) > 0;
    }
    (void)tern_subscription_poll(flow->subscription, count_bytes, &flow->received, 10);
    return flow->received == 5;
}

Test(tags, a_publication_by_tag_alone_shares_destinations_and_flow_control) {
    static struct sim_world world;
    struct tern_error error = {0};
    sim_world_init(&world, 1);
    struct sim_node *from = sim_world_add(&world), *to = sim_world_add(&world);
    sim_world_start(&world, from);
    sim_world_start(&world, to);
    struct flow first = {0}, second = {0};
    first.publication = sim_add_publication(
        &world, from, "aeron:udp?control-mode=manual|tags=7|fc=min,g:/1,t:3s", STREAM);
    second.publication = sim_add_publication(&world, from, "aeron:udp?tags=7", STREAM + 1);
    cr_assert_eq(from->driver->conductor.endpoints_send.count, 1);
    const struct flow_control_params *flow = &publication_at(from, 1)->flow.params;
    cr_assert_eq(flow->strategy, FLOW_CONTROL_MIN);
    cr_assert_eq(flow->group_size_min, 1);
    cr_assert_eq(flow->receiver_timeout_ns, 3 * NS_PER_S);
    cr_assert_eq(flow->retransmit_window_multiple, from->conf.group_retransmit_multiple);
    cr_assert_eq(publication_at(from, 1)->base.log->metadata->group, 1);
    tern_publication *third =
        sim_add_publication(&world, from, "aeron:udp?tags=7|fc=max", STREAM + 2);
    cr_assert_eq(publication_at(from, 2)->flow.params.strategy, FLOW_CONTROL_MAX, "its own");
    /* A destination that one of them adds is one of all. */
    cr_assert_eq(
        change(&world, second.publication, "aeron:udp?endpoint=127.0.0.1:24000", true, &error), 1,
        "%s", error.text);
    first.subscription =
        sim_add_subscription(&world, to, "aeron:udp?endpoint=127.0.0.1:24000", STREAM);
    second.subscription =
        sim_add_subscription(&world, to, "aeron:udp?endpoint=127.0.0.1:24000", STREAM + 1);
    cr_assert(sim_world_until(&world, has_arrived, &first, 10 * NS_PER_S));
    cr_assert(sim_world_until(&world, has_arrived, &second, 10 * NS_PER_S));
    cr_assert_eq(publication_at(from, 0)->endpoint->tracker.count, 1);
    cr_assert_eq(
        change(&world, first.publication, "aeron:udp?endpoint=127.0.0.1:24000", false, &error), 1,
        "%s", error.text);
    sim_world_step(&world, SIM_STEP_NS);
    cr_assert_eq(publication_at(from, 0)->endpoint->tracker.count, 0);
    tern_publication_close(first.publication);
    tern_publication_close(second.publication);
    tern_publication_close(third);
    tern_subscription_close(first.subscription);
    tern_subscription_close(second.subscription);
    sim_world_close(&world);
}

Test(tags, a_tag_that_means_a_group_means_its_buffers_and_flow_control_too) {
    static struct sim_world world;
    struct tern_error error = {0};
    sim_world_init(&world, 3);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_publication *first = sim_add_publication(
        &world, node, "aeron:udp?endpoint=224.0.1.1:24000|tags=5|so-sndbuf=16k|fc=min|mtu=8k",
        STREAM);
    tern_publication *second =
        sim_add_publication(&world, node, "aeron:udp?tags=5|mtu=4k", STREAM + 1);
    cr_assert_eq(publication_at(node, 1)->flow.params.strategy, FLOW_CONTROL_MIN);
    cr_assert_null(
        sim_try_add_publication(&world, node, "aeron:udp?tags=5|mtu=32k", STREAM + 2, &error));
    cr_assert_not_null(strstr(error.text, "so-sndbuf=16384"), "%s", error.text);
    cr_assert_null(sim_try_add_publication(&world, node, "aeron:udp?tags=6", STREAM + 2, &error));
    tern_publication_close(first);
    tern_publication_close(second);
    sim_world_close(&world);
}

Test(tags, a_session_by_tag_brings_its_geometry_along) {
    static struct sim_world world;
    sim_world_init(&world, 5);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    tern_publication *tagged = sim_add_publication(
        &world, node, "aeron:udp?endpoint=127.0.0.1:24000|tags=1,2|term-length=1m|mtu=8k", STREAM);
    tern_publication *copy = sim_add_publication(
        &world, node, "aeron:udp?endpoint=127.0.0.1:24001|session-id=tag:2", STREAM);
    const struct publication *base = &publication_at(node, 1)->base;
    cr_assert_eq(tern_publication_session_id(copy), tern_publication_session_id(tagged));
    cr_assert_eq(base->log->term_length, 1024 * 1024);
    cr_assert_eq(base->log->mtu_length, 8192);
    cr_assert_eq(publication_window(base), 512 * 1024, "half of the term that it got");
    tern_publication *positioned = sim_add_publication(
        &world, node,
        "aeron:udp?endpoint=127.0.0.1:24002|session-id=tag:2|init-term-id=5|term-id=5|"
        "term-offset=655360|pub-wnd=100k",
        STREAM);
    cr_assert_eq(tern_publication_position(positioned), 640 * 1024);
    static const struct {
        const char *channel, *text;
    } refused[] = {
        {"aeron:udp?endpoint=127.0.0.1:24003|session-id=tag:3", "tag:3"},
        {"aeron:udp?endpoint=127.0.0.1:24003|session-id=tag:-1", "tag:-1"},
        {"aeron:udp?endpoint=127.0.0.1:24003|session-id=tag:2|mtu=1408", "mtu=1408"},
        {"aeron:udp?endpoint=127.0.0.1:24003|session-id=tag:2|term-length=64k", "term-length"},
        {"aeron:udp?endpoint=127.0.0.1:24003|session-id=tag:2|pub-wnd=2k", "pub-wnd"},
        {"aeron:udp?endpoint=127.0.0.1:24000|session-id=tag:2|alias=same-channel", "session-id"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct tern_error error = {0};
        tern_exclusive_publication *publication = NULL;
        tern_async *async = tern_client_async_add_exclusive_publication(
            node->client, refused[i].channel, STREAM, &error);
        int result = 0;
        while (result == 0) {
            sim_world_step(&world, SIM_STEP_NS);
            result = tern_async_poll_exclusive_publication(async, &publication, &error);
        }
        cr_assert_lt(result, 0, "%s", refused[i].channel);
        cr_assert_not_null(strstr(error.text, refused[i].text), "%s: %s", refused[i].channel,
                           error.text);
    }
    tern_publication_close(tagged);
    tern_publication_close(copy);
    tern_publication_close(positioned);
    sim_world_close(&world);
}

static bool has_two_images(void *context) {
    return tern_subscription_image_count(context) == 2;
}

Test(tags, a_subscription_to_the_session_of_a_tagged_publication) {
    static struct sim_world world;
    struct tern_error error = {0};
    sim_world_init(&world, 7);
    struct sim_node *node = sim_world_add(&world);
    sim_world_start(&world, node);
    static const struct {
        const char *tagged, *all, *session;
    } rows[] = {
        {"aeron:udp?endpoint=127.0.0.1:24010|tags=1,2", "aeron:udp?endpoint=127.0.0.1:24010",
         "aeron:udp?endpoint=127.0.0.1:24010|session-id=tag:2"},
        {"aeron:ipc?tags=4,5", "aeron:ipc", "aeron:ipc?session-id=tag:5"},
        {"aeron:udp?endpoint=127.0.0.1:24011|tags=6,7|ssc=true",
         "aeron-spy:aeron:udp?endpoint=127.0.0.1:24011",
         "aeron-spy:aeron:udp?endpoint=127.0.0.1:24011|session-id=tag:7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_null(sim_try_add_subscription(&world, node, rows[i].session, STREAM, &error));
        cr_assert_not_null(strstr(error.text, "session-id=tag:"), "%s", error.text);
        tern_publication *tagged = sim_add_publication(&world, node, rows[i].tagged, STREAM);
        tern_exclusive_publication *other = NULL;
        tern_async *async = tern_client_async_add_exclusive_publication(
            node->client, rows[i].all + (i == 2 ? strlen("aeron-spy:") : 0), STREAM, &error);
        while (other == NULL) {
            cr_assert_geq(tern_async_poll_exclusive_publication(async, &other, &error), 0, "%s",
                          error.text);
            sim_world_step(&world, SIM_STEP_NS);
        }
        tern_subscription *all = sim_add_subscription(&world, node, rows[i].all, STREAM);
        tern_subscription *one = sim_add_subscription(&world, node, rows[i].session, STREAM);
        cr_assert(sim_world_until(&world, has_two_images, all, 10 * NS_PER_S), "%s", rows[i].all);
        cr_assert_eq(tern_subscription_image_count(one), 1);
        tern_image *image =
            tern_subscription_image_by_session_id(one, tern_publication_session_id(tagged));
        cr_assert_not_null(image);
        tern_image_release(image);
        tern_subscription_close(one);
        tern_subscription_close(all);
        tern_exclusive_publication_close(other);
        tern_publication_close(tagged);
        sim_world_run(&world, NS_PER_S);
    }
    cr_assert_null(
        sim_try_add_subscription(&world, node, "aeron:ipc?session-id=tag:x", STREAM, &error));
    sim_world_close(&world);
}

/* The order of what comes on the egress stream, and what is for this session (cluster.md 2.2, 2.5):
 * a client on a real driver, with the cluster played by the test over IPC in simulated time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cluster/cluster_session.h"
#include "lib/sim_driver.h"

#define EGRESS "aeron:ipc"
#define MESSAGE_LENGTH_MAX 1024

struct scene {
    struct sim_world world;
    struct sim_node *node;
    tern_subscription *ingress;
    tern_publication *egress;
    tern_cluster_connecting *connecting;
    tern_cluster *cluster;
    struct tern_error error;
    /* what the cluster received last */
    uint8_t received[MESSAGE_LENGTH_MAX];
    int32_t received_length;
    int64_t correlation_id;
    /* what the application was told */
    char told[512];
};

static void tell(struct scene *scene, const char *text) {
    size_t length = strlen(scene->told);
    snprintf(scene->told + length, sizeof scene->told - length, "%s; ", text);
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    char text[64];
    (void)timestamp, (void)header;
    snprintf(text, sizeof text, "message %.*s", (int)length, (const char *)buffer);
    tell(context, text);
}

static void on_event(void *context, const struct tern_cluster_session_event *event) {
    char text[64];
    snprintf(text, sizeof text, "%s %s", tern_cluster_event_name(event->code), event->detail);
    tell(context, text);
}

static void on_leader(void *context, int64_t term_id, int32_t member_id, const char *endpoints) {
    char text[64];
    (void)endpoints;
    snprintf(text, sizeof text, "leader %d of term %lld", member_id, (long long)term_id);
    tell(context, text);
}

static void on_ingress(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct scene *scene = context;
    struct cluster_session_connect_request request;
    (void)header;
    memcpy(scene->received, buffer, (size_t)length);
    scene->received_length = length;
    if (cluster_session_connect_request_decode(&request, buffer, length) == 0) {
        scene->correlation_id = request.correlation_id;
        cr_assert_eq(request.version, 768);
    }
}

/* Time passes; the cluster reads, the application does not. */
static void pass(struct scene *scene, int64_t ms) {
    for (int64_t i = 0; i < ms; i++) {
        sim_world_run(&scene->world, NS_PER_MS);
        if (scene->ingress != NULL) {
            tern_subscription_poll(scene->ingress, on_ingress, scene, 10);
        }
    }
}

static void say(struct scene *scene, const void *message, int32_t length) {
    while (tern_publication_offer(scene->egress, message, length) < 0) {
        pass(scene, 1);
    }
}

static void say_event(struct scene *scene, int32_t code, const char *detail) {
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    const struct cluster_session_event event = {
        .cluster_session_id = 7,
        .correlation_id = scene->correlation_id,
        .leadership_term_id = 3,
        .leader_member_id = 1,
        .code = code,
        .version = 768,
        .leader_heartbeat_timeout_ns = NS_PER_S,
        .detail = {detail, (int32_t)strlen(detail)},
    };
    say(scene, buffer, cluster_session_event_encode(&event, buffer, sizeof buffer));
}

static void say_message(struct scene *scene, int64_t session_id, const char *text) {
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    cluster_session_message_header_put(buffer, 3, session_id, 1000);
    memcpy(buffer + CLUSTER_SESSION_HEADER_LENGTH, text, strlen(text));
    say(scene, buffer, CLUSTER_SESSION_HEADER_LENGTH + (int32_t)strlen(text));
}

static void say_new_leader(struct scene *scene, int64_t session_id) {
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    const struct cluster_new_leader_event event = {
        .leadership_term_id = 4,
        .cluster_session_id = session_id,
        .leader_member_id = 2,
        .ingress_endpoints = {"", 0},
    };
    say(scene, buffer, cluster_new_leader_event_encode(&event, buffer, sizeof buffer));
}

static int poll_connecting(struct scene *scene) {
    int result = tern_cluster_connect_poll(scene->connecting, &scene->cluster, &scene->error);
    scene->connecting = result == 0 ? scene->connecting : NULL;
    return result;
}

static void poll_session(struct scene *scene, int64_t ms) {
    for (int64_t i = 0; i < ms; i++) {
        pass(scene, 1);
        tern_cluster_poll(scene->cluster, 10);
    }
}

/* The connect request has come to the cluster. */
static void open_scene(struct scene *scene) {
    memset(scene, 0, sizeof *scene);
    sim_world_init(&scene->world, 1);
    scene->node = sim_world_add(&scene->world);
    sim_world_start(&scene->world, scene->node);
    scene->ingress = sim_add_subscription(&scene->world, scene->node, "aeron:ipc", 101);
    scene->egress = sim_add_publication(&scene->world, scene->node, EGRESS, 102);
    struct tern_cluster_params params;
    tern_cluster_params_init(&params, scene->node->client);
    params.ingress_channel = "aeron:ipc";
    params.egress_channel = EGRESS;
    params.on_message = on_message;
    params.on_session_event = on_event;
    params.on_new_leader = on_leader;
    params.handler_context = scene;
    cr_assert_eq(tern_cluster_connect_begin(&scene->connecting, &params, &scene->error), 0);
    for (int i = 0; i < 2000 && scene->received_length == 0; i++) {
        cr_assert_eq(poll_connecting(scene), 0, "%s", scene->error.text);
        pass(scene, 1);
    }
    cr_assert_neq(scene->received_length, 0, "no connect request");
}

static void await_session(struct scene *scene) {
    pass(scene, 1);
    while (scene->cluster == NULL) {
        cr_assert_geq(poll_connecting(scene), 0, "%s", scene->error.text);
    }
    cr_assert_eq(tern_cluster_state(scene->cluster), TERN_CLUSTER_CONNECTED);
}

static void connect_scene(struct scene *scene) {
    say_event(scene, CLUSTER_EVENT_CODE_OK, "");
    await_session(scene);
}

static void close_scene(struct scene *scene) {
    tern_cluster_connect_cancel(scene->connecting);
    tern_cluster_close(scene->cluster);
    tern_publication_close(scene->egress);
    tern_subscription_close(scene->ingress);
    sim_world_run(&scene->world, 100 * NS_PER_MS);
    sim_world_close(&scene->world);
}

/* The service may greet the session before the client has read that it is open. */
Test(cluster_egress, messages_right_behind_the_ok_are_delivered) {
    struct scene scene;
    open_scene(&scene);
    say_event(&scene, CLUSTER_EVENT_CODE_OK, "");
    say_message(&scene, 7, "welcome");
    say_message(&scene, 8, "not for us");
    say_new_leader(&scene, 7);
    await_session(&scene);
    poll_session(&scene, 5);
    cr_assert_str_eq(scene.told, "message welcome; leader 2 of term 4; ");
    close_scene(&scene);
}

Test(cluster_egress, refusal_is_told_with_its_text_and_late_answers_do_not_count) {
    struct scene scene;
    open_scene(&scene);
    scene.correlation_id++;
    say_event(&scene, CLUSTER_EVENT_CODE_OK, ""); /* somebody else's */
    pass(&scene, 1);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(poll_connecting(&scene), 0);
    }
    scene.correlation_id--;
    say_event(&scene, CLUSTER_EVENT_CODE_ERROR, "concurrent session limit");
    pass(&scene, 1);
    int result = 0;
    while (result == 0) {
        result = poll_connecting(&scene);
    }
    cr_assert_eq(result, TERN_ERROR_CLUSTER_BASE - TERN_CLUSTER_EVENT_ERROR);
    cr_assert(strstr(scene.error.text, "concurrent session limit") != NULL, "%s", scene.error.text);
    close_scene(&scene);
}

Test(cluster_egress, new_leader_is_greeted_with_a_keep_alive_of_its_term) {
    struct scene scene;
    struct cluster_session_keep_alive keep_alive;
    open_scene(&scene);
    connect_scene(&scene);
    say_new_leader(&scene, 8); /* of another session */
    poll_session(&scene, 5);
    cr_assert_eq(tern_cluster_state(scene.cluster), TERN_CLUSTER_CONNECTED);
    say_new_leader(&scene, 7);
    poll_session(&scene, 100);
    cr_assert_eq(tern_cluster_state(scene.cluster), TERN_CLUSTER_CONNECTED);
    cr_assert_eq(
        cluster_session_keep_alive_decode(&keep_alive, scene.received, scene.received_length), 0);
    cr_assert_eq(keep_alive.leadership_term_id, 4);
    cr_assert_eq(keep_alive.cluster_session_id, 7);
    cr_assert_eq(tern_cluster_leader_member_id(scene.cluster), 2);
    close_scene(&scene);
}

Test(cluster_egress, closing_says_so_to_the_cluster) {
    struct scene scene;
    struct cluster_session_close_request request;
    open_scene(&scene);
    connect_scene(&scene);
    tern_cluster_close(scene.cluster);
    scene.cluster = NULL;
    pass(&scene, 5);
    cr_assert_eq(
        cluster_session_close_request_decode(&request, scene.received, scene.received_length), 0);
    cr_assert_eq(request.cluster_session_id, 7);
    close_scene(&scene);
}

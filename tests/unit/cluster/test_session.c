/* The cluster client against members by hand: connect, redirect, refusal, fail-over, close. */
#include <criterion/criterion.h>

#include <errno.h>

#include <tern/cluster.h>

#include "tests/unit/archived/world.h"
#include "wire/cluster_codec.h"

#define SESSION_ID 900
#define TERM_ID 7

static char *const no_settings[] = {NULL};

struct member {
    struct world *world;
    int32_t id;
    tern_subscription *ingress;
    char endpoint[TERN_ADDRESS_TEXT_MAX];
    tern_fragment_assembler *assembler;
    tern_exclusive_publication *egress;
    int64_t correlation_id; /* of the last connect request; 0: none */
    int32_t response_stream_id;
    char response_channel[256];
    int message_count;
    int64_t message_term_id;
    char message[64];
    int keep_alive_count;
    int close_count;
    int64_t snapshot_correlation_id;
};

static void on_connect_request(struct member *member,
                               const struct cluster_session_connect_request *request) {
    member->correlation_id = request->correlation_id;
    member->response_stream_id = request->response_stream_id;
    (void)snprintf(member->response_channel, sizeof member->response_channel, "%.*s",
                   request->response_channel.length, request->response_channel.text);
}

static void on_ingress(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)header;
    struct member *member = context;
    struct cluster_session_connect_request connect;
    struct cluster_session_message_header message;
    struct cluster_session_keep_alive keep_alive;
    struct cluster_session_close_request close;
    struct cluster_admin_request admin;
    if (cluster_session_connect_request_decode(&connect, buffer, length) == 0) {
        on_connect_request(member, &connect);
    } else if (cluster_session_message_header_decode(&message, buffer, length) == 0) {
        member->message_count++;
        member->message_term_id = message.leadership_term_id;
        (void)snprintf(member->message, sizeof member->message, "%.*s", length - 32,
                       (const char *)buffer + 32);
        cr_assert_eq(message.cluster_session_id, SESSION_ID);
    } else if (cluster_session_keep_alive_decode(&keep_alive, buffer, length) == 0) {
        member->keep_alive_count++;
    } else if (cluster_session_close_request_decode(&close, buffer, length) == 0) {
        member->close_count++;
    } else if (cluster_admin_request_decode(&admin, buffer, length) == 0) {
        member->snapshot_correlation_id = admin.correlation_id;
    }
}

static void member_open(struct member *member, struct world *world, int32_t id) {
    *member = (struct member){.world = world, .id = id};
    member->ingress = world_subscribe(world, "aeron:udp?endpoint=localhost:0", 101);
    member->assembler = tern_fragment_assembler_create(on_ingress, member);
    world_wait(world, tern_subscription_resolved_endpoint(member->ingress, member->endpoint) == 1);
}

static void member_close(struct member *member) {
    tern_exclusive_publication_close(member->egress);
    tern_subscription_close(member->ingress);
    tern_fragment_assembler_destroy(member->assembler);
}

static void member_send(struct member *member, const uint8_t *message, int32_t length) {
    cr_assert_gt(length, 0);
    if (member->egress == NULL) {
        member->egress =
            world_publish(member->world, member->response_channel, member->response_stream_id);
        world_wait(member->world, tern_exclusive_publication_is_connected(member->egress));
    }
    (void)world_offer(member->world, member->egress, message, length);
}

static void member_send_event(struct member *member, enum tern_cluster_event_code code,
                              const char *detail) {
    uint8_t buffer[512];
    const struct cluster_session_event event = {
        .cluster_session_id = SESSION_ID,
        .correlation_id = member->correlation_id,
        .leadership_term_id = TERM_ID,
        .leader_member_id = code == TERN_CLUSTER_EVENT_REDIRECT ? 1 - member->id : member->id,
        .code = (int32_t)code,
        .version = 768,
        .leader_heartbeat_timeout_ns = NS_PER_S,
        .detail = {detail, (int32_t)strlen(detail)},
    };
    member_send(member, buffer, cluster_session_event_encode(&event, buffer, sizeof buffer));
}

struct told {
    int message_count;
    char message[4000];
    int32_t message_length;
    int event_count;
    int leader_count;
    int32_t leader_member_id;
    int64_t admin_correlation_id;
    int32_t admin_code;
};

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)header;
    struct told *told = context;
    cr_assert_eq(timestamp, 1234);
    told->message_count++;
    told->message_length = length;
    memcpy(told->message, buffer, (size_t)length);
}

static void on_session_event(void *context, const struct tern_cluster_session_event *event) {
    cr_assert_eq(event->session_id, SESSION_ID);
    ((struct told *)context)->event_count++;
}

static void on_new_leader(void *context, int64_t leadership_term_id, int32_t leader_member_id,
                          const char *ingress_endpoints) {
    struct told *told = context;
    cr_assert_eq(leadership_term_id, TERM_ID + 1);
    cr_assert_neq(ingress_endpoints[0], '\0');
    told->leader_count++;
    told->leader_member_id = leader_member_id;
}

static void on_admin_response(void *context, int64_t correlation_id, int32_t code,
                              const char *message) {
    struct told *told = context;
    cr_assert_str_eq(message, "done");
    told->admin_correlation_id = correlation_id;
    told->admin_code = code;
}

/* Two members that know each other, and one client that is told both. */
struct play {
    struct world world;
    struct member members[2];
    char endpoints[256];
    struct told told;
    tern_cluster_connecting *connecting;
    tern_cluster *cluster;
    int result;
    struct tern_error error;
};

static void play_step(struct play *play) {
    world_step(&play->world);
    for (int i = 0; i < 2; i++) {
        (void)tern_subscription_poll(play->members[i].ingress, tern_fragment_assembler_on_fragment,
                                     play->members[i].assembler, 10);
    }
    if (play->connecting != NULL) {
        play->result = tern_cluster_connect_poll(play->connecting, &play->cluster, &play->error);
        play->connecting = play->result == 0 ? play->connecting : NULL;
    } else if (play->cluster != NULL) {
        (void)tern_cluster_poll(play->cluster, 10);
    }
}

#define play_wait(play, condition)                                                                 \
    do {                                                                                           \
        for (int steps_ = 0; !(condition); steps_++) {                                             \
            cr_assert_lt(steps_, 20000, "20 s passed waiting for %s", #condition);                 \
            play_step(play);                                                                       \
        }                                                                                          \
    } while (0)

static void play_open(struct play *play) {
    *play = (struct play){0};
    world_open_server(&play->world, no_settings);
    for (int i = 0; i < 2; i++) {
        member_open(&play->members[i], &play->world, i);
    }
    (void)snprintf(play->endpoints, sizeof play->endpoints, "0=%s,1=%s", play->members[0].endpoint,
                   play->members[1].endpoint);
    struct tern_cluster_params params;
    tern_cluster_params_init(&params, play->world.client);
    params.ingress_endpoints = play->endpoints;
    params.egress_channel = "aeron:udp?endpoint=localhost:0";
    params.message_timeout_ns = 2 * NS_PER_S;
    params.new_leader_timeout_ns = 2 * NS_PER_S;
    params.handler_context = &play->told;
    params.on_message = on_message;
    params.on_session_event = on_session_event;
    params.on_new_leader = on_new_leader;
    params.on_admin_response = on_admin_response;
    cr_assert_eq(tern_cluster_connect_begin(&play->connecting, &params, &play->error), 0, "%s",
                 play->error.text);
}

static void play_close(struct play *play) {
    tern_cluster_connect_cancel(play->connecting);
    tern_cluster_close(play->cluster);
    for (int i = 0; i < 2; i++) {
        member_close(&play->members[i]);
    }
    world_close(&play->world);
}

/* Who got the connect request; the other is sent none. */
static struct member *asked(struct play *play) {
    play_wait(play, play->members[0].correlation_id != 0 || play->members[1].correlation_id != 0);
    cr_assert(play->members[0].correlation_id == 0 || play->members[1].correlation_id == 0);
    return &play->members[play->members[0].correlation_id != 0 ? 0 : 1];
}

static struct member *join(struct play *play) {
    struct member *leader = asked(play);
    member_send_event(leader, TERN_CLUSTER_EVENT_OK, "");
    play_wait(play, play->connecting == NULL);
    cr_assert_eq(play->result, 1, "%s", play->error.text);
    return leader;
}

static void send_message(struct member *member, int64_t session_id, int32_t length) {
    uint8_t buffer[4096];
    memset(buffer, 'm', sizeof buffer);
    cluster_session_message_header_put(buffer, TERM_ID, session_id, 1234);
    member_send(member, buffer, 32 + length);
}

Test(cluster_session, messages_go_both_ways_and_foreign_ones_are_ignored) {
    struct play play;
    play_open(&play);
    struct member *leader = join(&play);
    cr_assert_eq(tern_cluster_state(play.cluster), TERN_CLUSTER_CONNECTED);
    cr_assert_eq(tern_cluster_session_id(play.cluster), SESSION_ID);
    cr_assert_eq(tern_cluster_leadership_term_id(play.cluster), TERM_ID);
    cr_assert_eq(tern_cluster_leader_member_id(play.cluster), leader->id);
    cr_assert_eq(tern_cluster_status(play.cluster, NULL), 0);
    cr_assert_gt(tern_cluster_offer(play.cluster, "hello", 5), 0);
    play_wait(&play, leader->message_count == 1);
    cr_assert_str_eq(leader->message, "hello");
    cr_assert_eq(leader->message_term_id, TERM_ID);
    struct tern_buffer_claim claim;
    cr_assert_gt(tern_cluster_try_claim(play.cluster, 3, &claim), 0);
    memcpy(claim.data, "abc", 3);
    tern_buffer_claim_commit(&claim);
    play_wait(&play, leader->message_count == 2);
    cr_assert_str_eq(leader->message, "abc");
    cr_assert_eq(tern_cluster_try_claim(play.cluster, 1 << 20, &claim), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_cluster_offer(play.cluster, "x", -1), TERN_PUBLICATION_ERROR);
    cr_assert(tern_cluster_keep_alive(play.cluster));
    play_wait(&play, leader->keep_alive_count == 1);

    static const uint8_t garbage[] = {9, 9, 9, 9, 9, 9, 9, 9, 9};
    member_send(leader, garbage, (int32_t)sizeof garbage);
    send_message(leader, SESSION_ID + 1, 5);
    send_message(leader, SESSION_ID, 3000); /* in fragments */
    play_wait(&play, play.told.message_count > 0);
    cr_assert_eq(play.told.message_count, 1);
    cr_assert_eq(play.told.message_length, 3000);
    cr_assert_eq(play.told.message[2999], 'm');

    cr_assert(tern_cluster_request_snapshot(play.cluster, 55));
    play_wait(&play, leader->snapshot_correlation_id == 55);
    uint8_t buffer[128];
    const struct cluster_admin_response response = {
        .cluster_session_id = SESSION_ID, .correlation_id = 55, .message = {"done", 4}};
    member_send(leader, buffer, cluster_admin_response_encode(&response, buffer, sizeof buffer));
    play_wait(&play, play.told.admin_correlation_id == 55);
    cr_assert_eq(play.told.admin_code, 0);

    tern_cluster_close(play.cluster);
    play.cluster = NULL;
    play_wait(&play, leader->close_count == 1);
    play_close(&play);
}

Test(cluster_session, a_redirect_is_followed_to_the_leader) {
    struct play play;
    play_open(&play);
    struct member *first = asked(&play);
    struct member *other = &play.members[1 - first->id];
    member_send_event(first, TERN_CLUSTER_EVENT_REDIRECT, play.endpoints);
    play_wait(&play, other->correlation_id != 0);
    member_send_event(other, TERN_CLUSTER_EVENT_OK, "");
    play_wait(&play, play.connecting == NULL);
    cr_assert_eq(play.result, 1, "%s", play.error.text);
    cr_assert_eq(tern_cluster_leader_member_id(play.cluster), other->id);
    play_close(&play);
}

Test(cluster_session, a_refusal_gives_its_code_and_text) {
    static const enum tern_cluster_event_code codes[] = {
        TERN_CLUSTER_EVENT_ERROR, TERN_CLUSTER_EVENT_AUTHENTICATION_REJECTED};
    for (int i = 0; i < 2; i++) {
        struct play play;
        play_open(&play);
        member_send_event(asked(&play), codes[i], "no room");
        play_wait(&play, play.connecting == NULL);
        cr_assert_eq(play.result, TERN_ERROR_CLUSTER_BASE - (int)codes[i]);
        cr_assert_not_null(strstr(play.error.text, "no room"), "%s", play.error.text);
        play_close(&play);
    }
}

Test(cluster_session, members_that_do_not_answer_are_named_after_the_time_out) {
    struct play play;
    play_open(&play);
    int64_t began_ns = play.world.now_ns;
    play_wait(&play, play.connecting == NULL);
    cr_assert_eq(play.result, -ETIMEDOUT);
    cr_assert_not_null(strstr(play.error.text, play.members[0].endpoint), "%s", play.error.text);
    cr_assert_geq(play.world.now_ns - began_ns, 2 * NS_PER_S);
    cr_assert_leq(play.world.now_ns - began_ns, 3 * NS_PER_S);
    play_close(&play);
}

static void lose(struct play *play, struct member *leader) {
    tern_exclusive_publication_revoke(leader->egress);
    leader->egress = NULL;
    play_wait(play, tern_cluster_state(play->cluster) == TERN_CLUSTER_AWAIT_NEW_LEADER);
    cr_assert_eq(tern_cluster_offer(play->cluster, "x", 1), TERN_PUBLICATION_NOT_CONNECTED);
    cr_assert(!tern_cluster_keep_alive(play->cluster));
    cr_assert_eq(tern_cluster_claim_length_max(play->cluster), 0);
}

Test(cluster_session, it_follows_a_new_leader_by_itself) {
    struct play play;
    play_open(&play);
    struct member *old = join(&play);
    struct member *next = &play.members[1 - old->id];
    lose(&play, old);
    (void)snprintf(next->response_channel, sizeof next->response_channel, "%s",
                   old->response_channel);
    next->response_stream_id = old->response_stream_id;
    uint8_t buffer[512];
    const struct cluster_new_leader_event event = {
        .leadership_term_id = TERM_ID + 1,
        .cluster_session_id = SESSION_ID,
        .leader_member_id = next->id,
        .ingress_endpoints = {play.endpoints, (int32_t)strlen(play.endpoints)},
    };
    member_send(next, buffer, cluster_new_leader_event_encode(&event, buffer, sizeof buffer));
    play_wait(&play, tern_cluster_state(play.cluster) == TERN_CLUSTER_CONNECTED);
    cr_assert_eq(play.told.leader_count, 1);
    cr_assert_eq(play.told.leader_member_id, next->id);
    play_wait(&play, next->keep_alive_count > 0);
    cr_assert_gt(tern_cluster_offer(play.cluster, "again", 5), 0);
    play_wait(&play, next->message_count == 1);
    cr_assert_eq(next->message_term_id, TERM_ID + 1);
    play_close(&play);
}

Test(cluster_session, without_a_new_leader_it_ends_with_a_time_out) {
    struct play play;
    play_open(&play);
    struct member *leader = join(&play);
    lose(&play, leader);
    play_wait(&play, tern_cluster_is_closed(play.cluster));
    cr_assert_eq(tern_cluster_status(play.cluster, &play.error), -ETIMEDOUT);
    cr_assert_neq(play.error.text[0], '\0');
    cr_assert_eq(tern_cluster_offer(play.cluster, "x", 1), TERN_PUBLICATION_CLOSED);
    cr_assert_eq(tern_cluster_poll(play.cluster, 10), 0);
    play_close(&play);
}

Test(cluster_session, closed_by_the_cluster_it_says_why) {
    struct play play;
    play_open(&play);
    struct member *leader = join(&play);
    member_send_event(leader, TERN_CLUSTER_EVENT_CLOSED, "session timed out");
    play_wait(&play, tern_cluster_is_closed(play.cluster));
    cr_assert_eq(play.told.event_count, 1);
    cr_assert_eq(tern_cluster_status(play.cluster, &play.error),
                 TERN_ERROR_CLUSTER_BASE - TERN_CLUSTER_EVENT_CLOSED);
    cr_assert_not_null(strstr(play.error.text, "session timed out"), "%s", play.error.text);
    cr_assert_eq(tern_cluster_offer(play.cluster, "x", 1), TERN_PUBLICATION_CLOSED);
    play_close(&play);
}

Test(cluster_session, a_driver_that_dies_closes_it_and_nothing_crashes) {
    struct play play;
    play_open(&play);
    (void)join(&play);
    for (int i = 0; i < 20000 && !tern_cluster_is_closed(play.cluster); i++) {
        play.world.now_ns += WORLD_STEP_NS; /* the driver is not stepped any more */
        (void)tern_cluster_poll(play.cluster, 10);
    }
    cr_assert(tern_cluster_is_closed(play.cluster));
    cr_assert_eq(tern_cluster_status(play.cluster, &play.error), TERN_ERROR_DRIVER_TIMEOUT, "%s",
                 play.error.text);
    cr_assert_eq(tern_cluster_offer(play.cluster, "x", 1), TERN_PUBLICATION_CLOSED);
    play_close(&play);
}

/* What a leader owes its sessions: a check that can do nothing is no work, so that it is repeated
 * in the next tick and not in every cycle. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/clock.h"
#include "consensusd/consensus.h"

static struct {
    bool is_connected;
    bool has_room;
    int32_t offers;
    int64_t close_result; /* of appending a close to the log */
    int32_t closes;
} world;

bool __wrap_tern_publication_is_connected(const tern_publication *publication) {
    (void)publication;
    return world.is_connected;
}

int64_t __wrap_tern_publication_offer(tern_publication *publication, const void *buffer,
                                      int32_t length) {
    (void)publication, (void)buffer, (void)length;
    world.offers++;
    return world.has_room ? 32 : TERN_PUBLICATION_BACK_PRESSURED;
}

void __wrap_tern_publication_close(tern_publication *publication) {
    (void)publication;
}

int64_t __wrap_log_publisher_append_close(struct log_publisher *publisher,
                                          const struct cluster_session_close_event *event) {
    (void)publisher, (void)event;
    world.closes++;
    return world.close_result;
}

static const struct consensus_conf conf = {.sessions_max = 10, .session_timeout_ns = 10 * NS_PER_S};

static struct consensus *make(void) {
    struct consensus *consensus = calloc(1, sizeof *consensus);
    struct tern_error error;
    consensus->conf = &conf;
    consensus->now_ns = 100 * NS_PER_S;
    cr_assert_eq(module_sessions_open(&consensus->sessions, conf.sessions_max, &error), 0);
    return consensus;
}

static struct module_session *add_open(struct consensus *consensus) {
    const struct module_session_params params = {
        .id = 1,
        .response_stream_id = 102,
        .response_channel = {"aeron:ipc", 9},
        .now_ns = consensus->now_ns,
    };
    struct module_session *session = module_session_create(&params);
    session->state = MODULE_SESSION_OPEN;
    session->publication = (tern_publication *)consensus; /* not looked at */
    cr_assert_eq(module_sessions_add_open(&consensus->sessions, session), 0);
    return session;
}

static void end(struct consensus *consensus) {
    module_sessions_close(&consensus->sessions);
    free(consensus);
}

Test(module_sessions, event_of_a_new_leader_waits_for_the_client_without_work) {
    struct consensus *consensus = make();
    struct module_session *session = add_open(consensus);
    session->has_new_leader_event = true;
    cr_assert_eq(module_sessions_check(consensus), 0);
    cr_assert_eq(world.offers, 0);
    world.is_connected = true;
    cr_assert_eq(module_sessions_check(consensus), 0, "the client takes nothing");
    cr_assert_gt(world.offers, 0);
    cr_assert(session->has_new_leader_event);
    world.has_room = true;
    cr_assert_eq(module_sessions_check(consensus), 1);
    cr_assert_not(session->has_new_leader_event);
    cr_assert_eq(module_sessions_check(consensus), 0);
    end(consensus);
}

Test(module_sessions, open_event_comes_before_that_of_a_new_leader) {
    struct consensus *consensus = make();
    struct module_session *session = add_open(consensus);
    session->has_open_event = true;
    session->has_new_leader_event = true;
    cr_assert_eq(module_sessions_check(consensus), 0);
    cr_assert_eq(world.offers, 0);
    world.is_connected = world.has_room = true;
    cr_assert_eq(module_sessions_check(consensus), 1);
    cr_assert_not(session->has_open_event);
    cr_assert(session->has_new_leader_event);
    cr_assert_eq(module_sessions_check(consensus), 1);
    cr_assert_not(session->has_new_leader_event);
    cr_assert_eq(world.offers, 2);
    end(consensus);
}

Test(module_sessions, open_event_waits_until_the_session_is_committed) {
    struct consensus *consensus = make();
    struct module_session *session = add_open(consensus);
    session->has_open_event = true;
    session->opened_position = consensus->raft.commit_position + 160;
    world.is_connected = world.has_room = true;
    cr_assert_eq(module_sessions_check(consensus), 0);
    cr_assert_eq(world.offers, 0);
    consensus->raft.commit_position += 160;
    cr_assert_eq(module_sessions_check(consensus), 1);
    cr_assert_not(session->has_open_event);
    cr_assert_eq(world.offers, 1);
    end(consensus);
}

Test(module_sessions, close_that_finds_no_room_in_the_log_is_no_work) {
    struct consensus *consensus = make();
    struct module_session *session = add_open(consensus);
    consensus->now_ns += conf.session_timeout_ns + 1;
    world.close_result = TERN_PUBLICATION_BACK_PRESSURED;
    cr_assert_eq(module_sessions_check(consensus), 0);
    cr_assert_eq(world.closes, 1);
    cr_assert_eq(session->state, MODULE_SESSION_CLOSING);
    cr_assert_eq(module_sessions_check(consensus), 0);
    cr_assert_eq(world.closes, 2);
    module_session_close(session, CLUSTER_CLOSE_REASON_CLIENT_ACTION);
    world.close_result = 960;
    cr_assert_eq(module_sessions_check(consensus), 1);
    cr_assert_eq(consensus->sessions.open.count, 0);
    cr_assert_eq(consensus->sessions.closed.count, 1);
    end(consensus);
}

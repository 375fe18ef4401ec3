/* Single decisions of the core, with the numbers of the hazards (cluster.md 11.4) and of the
 * original's bugs that they are about. Whole clusters under faults are in test_raft.c. */
#include <criterion/criterion.h>

#include "raft_desk.h"

static const struct desk_log no_log = {RAFT_NULL, 0, 0};

static enum election_state state_of(const struct desk *desk) {
    return desk->raft.election.state;
}

/* -- ballots -- */

static struct desk *make_candidate(int32_t count) {
    struct desk *desk = desk_make(count, no_log);
    for (int32_t i = 1; i < count; i++) {
        desk_canvass(desk, i, RAFT_NULL, 0);
    }
    while (state_of(desk) != ELECTION_CANDIDATE_BALLOT) {
        desk_run(desk, 1);
    }
    return desk;
}

Test(election, everybody_s_vote_ends_the_ballot_at_once) {
    struct desk *desk = make_candidate(3);
    desk_vote(desk, 1, true);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_CANDIDATE_BALLOT);
    desk_vote(desk, 2, true);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    desk_free(desk);
}

Test(election, majority_without_a_veto_wins_when_the_ballot_s_time_is_over) {
    struct desk *desk = make_candidate(3);
    desk_vote(desk, 1, true);
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS - 1);
    cr_assert_eq(state_of(desk), ELECTION_CANDIDATE_BALLOT);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    desk_free(desk);
}

/* Also when the silent one was never heard of: it may be there and have the longer log. */
Test(election, member_that_never_canvassed_is_waited_for) {
    struct desk *desk = desk_make(3, no_log);
    for (int i = 0; i < 62; i++) {
        desk_canvass(desk, 1, RAFT_NULL, 0);
        desk_run(desk, DESK_HEARTBEAT_TIMEOUT_MS - 1);
        desk_forget(desk);
        if (state_of(desk) == ELECTION_CANDIDATE_BALLOT) {
            break;
        }
    }
    while (state_of(desk) != ELECTION_CANDIDATE_BALLOT) {
        desk_canvass(desk, 1, RAFT_NULL, 0);
        desk_run(desk, 1);
    }
    desk_vote(desk, 1, true);
    desk_run(desk, 100);
    cr_assert_eq(state_of(desk), ELECTION_CANDIDATE_BALLOT);
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    desk_free(desk);
}

/* Bug 6: the original once took the first three votes of five for enough. */
Test(election, quorum_of_five_does_not_cut_the_ballot_short) {
    struct desk *desk = make_candidate(5);
    for (int32_t member = 1; member <= 3; member++) {
        desk_vote(desk, member, true);
    }
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS / 2);
    cr_assert_eq(state_of(desk), ELECTION_CANDIDATE_BALLOT);
    desk_vote(desk, 4, false); /* it has the longer log */
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_CANVASS);
    cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_NEW_TERM), 0);
    desk_free(desk);
}

Test(election, leader_that_said_goodbye_is_not_waited_for) {
    struct desk *desk = desk_make(3, no_log);
    desk_follow(desk, 0);
    raft_begin_election(&desk->raft, 1, "the leader closed its log");
    desk_run(desk, 1);
    desk_finish(desk, RAFT_OPERATION_PREPARE);
    desk_canvass(desk, 2, 0, 0);
    while (state_of(desk) != ELECTION_CANDIDATE_BALLOT) {
        desk_run(desk, 1);
    }
    desk_vote(desk, 2, true);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    desk_free(desk);
}

/* H2. */
Test(election, request_is_repeated_to_who_has_not_voted_and_a_repeat_is_answered_alike) {
    struct desk *desk = make_candidate(3);
    desk_vote(desk, 1, true);
    desk_forget(desk);
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS - 1);
    cr_assert_geq(desk_count(desk, RAFT_ACTION_SEND_REQUEST_VOTE), 3);
    for (int32_t i = 0; i < desk->action_count; i++) {
        cr_assert(desk->actions[i].kind != RAFT_ACTION_SEND_REQUEST_VOTE ||
                  desk->actions[i].member == 2);
    }
    desk_free(desk);

    desk = desk_make(3, no_log);
    for (int i = 0; i < 3; i++) {
        desk_forget(desk);
        desk_request_vote(desk, 1, 4, RAFT_NULL, 0);
        cr_assert_eq(desk_last(desk, RAFT_ACTION_SEND_VOTE)->vote.vote, CLUSTER_BOOLEAN_TYPE_TRUE);
    }
    desk_request_vote(desk, 2, 4, RAFT_NULL, 0);
    cr_assert_eq(desk_last(desk, RAFT_ACTION_SEND_VOTE)->vote.vote, CLUSTER_BOOLEAN_TYPE_FALSE);
    desk_free(desk);
}

Test(election, vote_is_durable_before_it_is_sent) {
    struct desk *desk = desk_make(3, no_log);
    desk_forget(desk);
    desk_request_vote(desk, 1, 4, RAFT_NULL, 0);
    cr_assert_eq(desk->actions[0].kind, RAFT_ACTION_PERSIST_BALLOT);
    cr_assert_eq(desk->actions[0].ballot.candidate_term_id, 4);
    cr_assert_eq(desk->actions[1].kind, RAFT_ACTION_SEND_VOTE);
    desk_free(desk);

    desk = make_candidate(3);
    int32_t persisted = -1;
    for (int32_t i = 0; i < desk->action_count; i++) {
        if (desk->actions[i].kind == RAFT_ACTION_PERSIST_BALLOT) {
            persisted = i;
        }
        cr_assert(desk->actions[i].kind != RAFT_ACTION_SEND_REQUEST_VOTE || persisted >= 0);
    }
    cr_assert_geq(persisted, 0);
    desk_free(desk);
}

/* -- votes under back-pressure -- */

Test(election, vote_that_could_not_be_sent_is_sent_until_it_is) {
    struct desk *desk = desk_make(3, no_log);
    desk_request_vote(desk, 2, 4, RAFT_NULL, 0);
    for (int i = 0; i < 3; i++) { /* back-pressured three times */
        struct cluster_vote vote = desk_last(desk, RAFT_ACTION_SEND_VOTE)->vote;
        desk_forget(desk);
        raft_on_unsent_vote(&desk->raft, 2, &vote);
        desk_run(desk, 1);
        const struct raft_action *again = desk_last(desk, RAFT_ACTION_SEND_VOTE);
        cr_assert_eq(again->member, 2);
        cr_assert_eq(again->vote.candidate_term_id, 4);
        cr_assert_eq(again->vote.vote, CLUSTER_BOOLEAN_TYPE_TRUE);
    }
    desk_forget(desk);
    desk_run(desk, 100);
    cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_VOTE), 0, "it was sent");
    desk_free(desk);
}

Test(election, vote_waits_for_its_stream_but_not_beyond_the_ballot) {
    struct desk *desk = desk_make(3, no_log);
    desk_request_vote(desk, 2, 4, RAFT_NULL, 0);
    struct cluster_vote vote = desk_last(desk, RAFT_ACTION_SEND_VOTE)->vote;
    desk_forget(desk);
    desk->input.connected = 0;
    raft_on_unsent_vote(&desk->raft, 2, &vote);
    desk_run(desk, 100);
    cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_VOTE), 0);
    desk->input.connected = 1 << 2;
    desk_run(desk, 1);
    cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_VOTE), 1);
    desk->input.connected = 0;
    raft_on_unsent_vote(&desk->raft, 2, &vote);
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS);
    desk->input.connected = 1 << 2;
    desk_forget(desk);
    desk_run(desk, 10);
    cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_VOTE), 0, "nobody wants it any more");
    desk_free(desk);
}

/* -- who may depose a leader (H1; bug 5) -- */

Test(election, request_for_votes_deposes_nobody_who_is_led) {
    struct desk *follower = desk_make(3, no_log);
    desk_follow(follower, 3);
    desk_request_vote(follower, 2, 50, 3, 6400); /* even with the longer log */
    desk_request_vote(follower, 9, 50, 3, 6400); /* of a stranger */
    desk_run(follower, 1);
    cr_assert_eq(state_of(follower), ELECTION_CLOSED);
    cr_assert_eq(follower->raft.ballot.candidate_term_id, 3);
    desk_run(follower, DESK_HEARTBEAT_TIMEOUT_MS / 2);
    desk_commit(follower, 1, 3, 0);
    desk_run(follower, DESK_HEARTBEAT_TIMEOUT_MS - 1);
    desk_request_vote(follower, 2, 51, 3, 6400);
    cr_assert_eq(state_of(follower), ELECTION_CLOSED);
    desk_run(follower, 2);
    cr_assert_eq(state_of(follower), ELECTION_INIT, "the leader is silent");
    desk_free(follower);

    struct desk *leader = desk_make(3, no_log);
    desk_lead(leader);
    desk_request_vote(leader, 2, 50, 0, 6400);
    desk_run(leader, 1);
    cr_assert_eq(state_of(leader), ELECTION_CLOSED);
    cr_assert(raft_is_leader(&leader->raft));
    desk_free(leader);
}

Test(election, what_was_heard_in_a_canvass_expires) {
    struct desk *desk = desk_make(3, no_log);
    desk_canvass(desk, 1, RAFT_NULL, 0);
    desk_run(desk, DESK_HEARTBEAT_TIMEOUT_MS);
    desk_canvass(desk, 2, RAFT_NULL, 0);
    desk_run(desk, 10);
    cr_assert_eq(state_of(desk), ELECTION_CANVASS, "member 1 is not heard any more");
    desk_forget(desk);
    for (int i = 0; i < 70; i++) { /* an isolated member, for ever */
        desk_run(desk, 1000);
        cr_assert_eq(desk_count(desk, RAFT_ACTION_SEND_REQUEST_VOTE), 0);
        desk_forget(desk);
    }
    desk_free(desk);
}

/* A leader elect whose ballot was overtaken by one for a newer term: those who voted there may not
 * follow it, and must not wait for it either (sim seed 7000214: for ever). */
Test(election, leader_below_the_promise_does_not_hold_up_the_canvass) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 640, 640});
    desk_request_vote(desk, 1, 6, 3, 640);
    desk_run(desk, DESK_ELECTION_TIMEOUT_MS + 1);
    cr_assert_eq(state_of(desk), ELECTION_CANVASS);
    struct cluster_new_leadership_term announcement = desk_announcement(desk, 5, 640, 640);
    announcement.leader_member_id = 2;
    for (int i = 0; i < 15 && state_of(desk) == ELECTION_CANVASS; i++) {
        raft_on_new_term(&desk->raft, &announcement);
        desk_canvass(desk, 1, 3, 640);
        desk_run(desk, 100);
    }
    cr_assert_neq(state_of(desk), ELECTION_CANVASS);
    cr_assert_neq(desk->raft.leader_id, 2);
    desk_free(desk);
}

Test(election, leader_elect_stands_again_above_what_a_member_has_promised) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 640, 640});
    desk_elect(desk);
    desk_finish(desk, RAFT_OPERATION_PUBLISH);
    int64_t term_id = desk->raft.leadership_term_id;
    struct cluster_canvass_position message = {.log_leadership_term_id = 3,
                                               .log_position = 640,
                                               .leadership_term_id = term_id,
                                               .follower_member_id = 1};
    raft_on_canvass(&desk->raft, &message);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    message.leadership_term_id = term_id + 1;
    raft_on_canvass(&desk->raft, &message);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_INIT);
    desk_free(desk);
}

/* -- what counts as committed (H3; bugs 1 and 3) -- */

/* The seven steps of bug 1, as the new leader sees them: member 2 has a longer log of an older
 * term, whose tail is not this leader's. Its position must not stand for the leader's bytes. */
Test(election, position_of_an_older_term_does_not_count_before_the_term_is_open) {
    struct desk *desk = desk_make(3, (struct desk_log){5, 640, 320});
    desk_elect(desk);
    desk_finish(desk, RAFT_OPERATION_PUBLISH);
    int64_t term_id = desk->raft.leadership_term_id;
    desk_canvass(desk, 2, 4, 9600);
    desk_append(desk, 2, 4, 9600);
    desk_run(desk, 50);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    cr_assert_eq(desk_last(desk, RAFT_ACTION_SEND_COMMIT)->commit.log_position, 0);
    desk_append(desk, 2, term_id, 320); /* it has cut its tail and follows */
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_LOG_REPLICATION);
    desk_append(desk, 2, term_id, 640);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_LEADER_REPLAY);
    desk_free(desk);
}

Test(election, position_of_an_older_term_does_not_count_in_a_running_term) {
    struct desk *desk = desk_make(3, no_log);
    desk_lead(desk);
    int64_t term_id = desk->raft.leadership_term_id;
    desk->input.recorded_position = 960;
    desk->input.published_position = 960;
    desk_canvass(desk, 1, term_id - 1, 9600); /* restarted, with a tail that nobody has */
    desk_canvass(desk, 2, term_id - 1, 9600);
    desk_run(desk, 300);
    cr_assert_eq(desk->raft.commit_position, 0);
    desk_append(desk, 1, term_id - 1, 9600);
    desk_run(desk, 1);
    cr_assert_eq(desk->raft.commit_position, 0);
    desk_append(desk, 1, term_id, 640);
    desk_run(desk, 1);
    cr_assert_eq(desk->raft.commit_position, 640);
    desk_free(desk);
}

Test(election, commit_position_never_goes_back) {
    struct desk *desk = desk_make(3, no_log);
    desk_lead(desk);
    int64_t term_id = desk->raft.leadership_term_id;
    desk->input.recorded_position = 960;
    desk_append(desk, 1, term_id, 960);
    desk_run(desk, 1);
    cr_assert_eq(desk->raft.commit_position, 960);
    desk_forget(desk);
    desk_append(desk, 1, term_id, 320);     /* late */
    desk_canvass(desk, 1, term_id - 1, 64); /* back without its log */
    desk_run(desk, 600);
    cr_assert_eq(desk->raft.commit_position, 960);
    cr_assert_gt(desk_count(desk, RAFT_ACTION_SEND_COMMIT), 1);
    for (int32_t i = 0; i < desk->action_count; i++) {
        cr_assert(desk->actions[i].kind != RAFT_ACTION_SEND_COMMIT ||
                  desk->actions[i].commit.log_position == 960);
    }
    desk_free(desk);
}

/* -- what a follower may do to its log (H6; bug 2) -- */

Test(election, committed_log_is_never_cut) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 9600, 6400});
    struct cluster_new_leadership_term announcement = desk_announcement(desk, 4, 6368, 6400);
    desk_forget(desk);
    raft_on_new_term(&desk->raft, &announcement);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_CANVASS, "such a leader is not followed");
    cr_assert_eq(desk_count(desk, RAFT_ACTION_START), 0);

    announcement = desk_announcement(desk, 4, 6400, 6400);
    raft_on_new_term(&desk->raft, &announcement);
    desk_run(desk, 1);
    cr_assert_eq(desk->operation.kind, RAFT_OPERATION_TRUNCATE, "the uncommitted tail goes");
    cr_assert_eq(desk->operation.to, 6400);
    desk_free(desk);
}

/* The archive refuses to cut inside a frame, say: another leader may know better. */
Test(election, cut_that_fails_is_not_repeated_until_a_leader_asks_for_it) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 9600, 3200});
    struct cluster_new_leadership_term announcement = desk_announcement(desk, 4, 6368, 6400);
    raft_on_new_term(&desk->raft, &announcement);
    desk_run(desk, 1);
    desk_fail(desk, RAFT_OPERATION_TRUNCATE);
    desk_run(desk, 1);
    cr_assert_eq(state_of(desk), ELECTION_CANVASS);

    announcement = desk_announcement(desk, 5, 6400, 6400);
    raft_on_new_term(&desk->raft, &announcement);
    desk_run(desk, 1);
    cr_assert_eq(desk->operation.kind, RAFT_OPERATION_TRUNCATE);
    cr_assert_eq(desk->operation.to, 6400);
    desk_free(desk);
}

Test(election, follower_replays_no_further_than_it_was_told_is_committed) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 9600, 3200});
    struct cluster_new_leadership_term announcement = desk_announcement(desk, 4, 9600, 9600);
    raft_on_new_term(&desk->raft, &announcement); /* commit position 0: no quorum yet */
    desk_run(desk, 400);
    cr_assert_eq(state_of(desk), ELECTION_FOLLOWER_REPLAY);
    cr_assert_neq(desk->operation.kind, RAFT_OPERATION_REPLAY);
    cr_assert_eq(desk_last(desk, RAFT_ACTION_SEND_APPEND)->append.log_position, 9600);
    desk_commit(desk, 1, 4, 6400);
    desk_run(desk, 1);
    cr_assert_eq(desk->operation.kind, RAFT_OPERATION_REPLAY);
    cr_assert_eq(desk->operation.to, 6400);
    desk->input.consumed_position = 6400;
    desk_finish(desk, RAFT_OPERATION_REPLAY);
    desk_run(desk, 10);
    cr_assert_eq(state_of(desk), ELECTION_FOLLOWER_REPLAY);
    cr_assert_neq(desk->operation.kind, RAFT_OPERATION_REPLAY);
    desk_commit(desk, 1, 4, 9600);
    desk_run(desk, 1);
    cr_assert_eq(desk->operation.to, 9600);
    desk_free(desk);
}

/* A message of a newer leader comes before the cycle's step. */
Test(election, election_goes_back_to_what_was_consumed_last) {
    struct desk *desk = desk_make(3, (struct desk_log){3, 640, 640});
    desk_follow(desk, 4);
    desk_commit(desk, 1, 4, 960);
    desk->input.recorded_position = 960;
    desk_run(desk, 1);
    raft_on_consumed(&desk->raft, 960);
    struct cluster_new_leadership_term announcement = desk_announcement(desk, 5, 960, 960);
    raft_on_new_term(&desk->raft, &announcement);
    cr_assert_eq(state_of(desk), ELECTION_INIT);
    cr_assert_eq(desk->raft.log_position, 960);
    desk_free(desk);
}

/* The leader answers each canvass; milliseconds until the log is copied again. */
static int32_t replication_pause_ms(struct desk *desk, int64_t term_id) {
    for (int32_t ms = 0; ms < 5000; ms++) {
        struct cluster_new_leadership_term announcement =
            desk_announcement(desk, term_id, 960, 960);
        raft_on_new_term(&desk->raft, &announcement);
        desk_run(desk, 1);
        cr_assert_neq(state_of(desk), ELECTION_NOMINATE);
        if (desk->operation.kind == RAFT_OPERATION_REPLICATE) {
            return ms;
        }
    }
    return -1;
}

Test(election, replication_that_fails_is_repeated_ever_more_slowly) {
    static const int32_t pauses[] = {0, 100, 200, 400, 800, 1000, 1000};
    struct desk *desk = desk_make(3, (struct desk_log){3, 640, 640});
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        int32_t pause = replication_pause_ms(desk, 4);
        cr_assert_geq(pause, pauses[i] - 2, "%zu: %d", i, pause);
        cr_assert_leq(pause, pauses[i] + 2, "%zu: %d", i, pause);
        desk_fail(desk, RAFT_OPERATION_REPLICATE);
    }
    cr_assert_eq(replication_pause_ms(desk, 5), 0, "a new leader is asked at once");
    desk_fail(desk, RAFT_OPERATION_REPLICATE);
    desk_free(desk);
}

/* -- time -- */

/* Bug 17: whatever a follower waits for, a silent leader ends it. */
Test(election, silent_leader_ends_every_state_of_a_follower) {
    enum election_state last = ELECTION_FOLLOWER_BALLOT;
    int32_t seen = 0;
    for (int32_t stop_after = 0; stop_after < 12; stop_after++) {
        struct desk *desk = desk_make(3, (struct desk_log){3, 640, 640});
        struct cluster_new_leadership_term announcement = desk_announcement(desk, 4, 640, 960);
        announcement.commit_position = 640;
        raft_on_new_term(&desk->raft, &announcement);
        desk->input.recorded_position = 640;
        for (int32_t i = 0; i < stop_after && state_of(desk) != ELECTION_CLOSED; i++) {
            if (desk->operation.kind != RAFT_OPERATION_NONE) {
                desk_finish(desk, desk->operation.kind);
            }
            desk_run(desk, 1);
        }
        seen += state_of(desk) != last;
        last = state_of(desk);
        desk->operation.kind = RAFT_OPERATION_NONE;
        desk_run(desk, DESK_HEARTBEAT_TIMEOUT_MS);
        cr_assert_eq(state_of(desk), ELECTION_INIT, "%s does not end", election_state_name(last));
        desk_free(desk);
    }
    cr_assert_geq(seen, 3);
}

/* Bug 20. */
Test(election, single_member_that_was_stalled_goes_on_leading) {
    struct desk *desk = desk_make(1, no_log);
    desk_lead(desk);
    desk_forget(desk);
    desk_stall(desk, 30000);
    desk->input.recorded_position = 960;
    desk_run(desk, 10);
    cr_assert(raft_is_leader(&desk->raft));
    cr_assert_eq(desk_count(desk, RAFT_ACTION_ELECTION_BEGAN), 0);
    cr_assert_eq(desk->raft.commit_position, 960);
    desk_free(desk);
}

Test(election, leader_that_was_stalled_steps_down) {
    struct desk *desk = desk_make(3, no_log);
    desk_lead(desk);
    desk_stall(desk, 30000);
    cr_assert_eq(state_of(desk), ELECTION_INIT);
    desk_free(desk);
}

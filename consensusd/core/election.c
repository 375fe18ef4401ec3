/* The election: one function that changes the state, INIT, and the table of contents of the other
 * states (cluster.md 3.6.2; the diagram is in election_state.c). The chapters, in the order in
 * which an election goes through them:
 *
 *   election_canvass.c    CANVASS, NOMINATE
 *   election_ballot.c     CANDIDATE_BALLOT, FOLLOWER_BALLOT
 *   election_leader.c     LEADER_LOG_REPLICATION, LEADER_REPLAY, LEADER_INIT, LEADER_READY
 *   election_follower.c   FOLLOWER_LOG_REPLICATION to FOLLOWER_READY
 *   election_message.c    what the messages of others mean meanwhile
 */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "consensusd/core/election_internal.h"

#define REPLICATION_PAUSE_MIN_NS (100 * NS_PER_MS)
#define REPLICATION_PAUSE_MAX_NS NS_PER_S

void election_start(struct raft *raft, enum raft_operation_kind kind, int64_t from, int64_t to) {
    struct raft_operation operation = {
        .kind = kind, .from = from, .to = to, .term_id = raft->leadership_term_id};
    raft_start_operation(raft, &operation);
}

static void enter_init(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft->role = CLUSTER_ROLE_FOLLOWER;
    raft->has_log_session = false;
    raft->notified_commit_position = 0;
    if (election->truncate_position != RAFT_NULL) {
        election_start(raft, RAFT_OPERATION_TRUNCATE, 0, election->truncate_position);
    } else {
        election_start(raft, RAFT_OPERATION_PREPARE, 0, 0);
    }
}

static void enter_closed(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft->leader_heard_ns = raft_now_ns(raft);
    raft->next_report_ns = raft_now_ns(raft);
    raft->notified_commit_position = max_i64(raft->notified_commit_position, raft->log_position);
    raft_set_commit(raft, raft->log_position);
    raft->operation.kind = RAFT_OPERATION_NONE;
    raft_push(raft, RAFT_ACTION_ELECTION_CLOSED, raft->conf.own_index);
    election->graceful_leader_id = RAFT_NULL;
    election->is_node_startup = false;
}

static void enter(struct raft *raft, enum election_state from, enum election_state state) {
    switch (state) {
    case ELECTION_INIT:
        enter_init(raft);
        break;
    case ELECTION_CANVASS:
        election_enter_canvass(raft, from);
        break;
    case ELECTION_NOMINATE:
        raft->election.deadline_ns =
            raft_now_ns(raft) + (int64_t)(random_unit(raft->conf.random) *
                                          (double)(raft->conf.election_timeout_ns / 2));
        break;
    case ELECTION_CANDIDATE_BALLOT:
        election_enter_candidate_ballot(raft);
        break;
    case ELECTION_LEADER_LOG_REPLICATION:
        election_enter_leader_log_replication(raft);
        break;
    case ELECTION_LEADER_REPLAY:
        election_enter_leader_replay(raft);
        break;
    case ELECTION_LEADER_INIT:
        election_start(raft, RAFT_OPERATION_LEADER_JOIN, raft->append_position, 0);
        break;
    case ELECTION_LEADER_READY:
        raft->election.quorum_since_ns = RAFT_NULL;
        break;
    case ELECTION_FOLLOWER_LOG_REPLICATION:
        election_enter_follower_log_replication(raft);
        break;
    case ELECTION_FOLLOWER_REPLAY:
        election_enter_follower_replay(raft);
        break;
    case ELECTION_FOLLOWER_CATCHUP_INIT:
        election_start(raft, RAFT_OPERATION_SUBSCRIBE_CATCHUP, raft->log_position, 0);
        break;
    case ELECTION_FOLLOWER_CATCHUP_AWAIT:
    case ELECTION_FOLLOWER_LOG_AWAIT:
        election_start(raft, RAFT_OPERATION_FOLLOWER_JOIN, raft->log_position, 0);
        break;
    case ELECTION_FOLLOWER_CATCHUP:
        election_enter_follower_catchup(raft);
        break;
    case ELECTION_FOLLOWER_LOG_INIT:
        election_enter_follower_log_init(raft);
        break;
    case ELECTION_CLOSED:
        enter_closed(raft);
        break;
    case ELECTION_FOLLOWER_BALLOT:
    case ELECTION_FOLLOWER_READY:
        break;
    }
}

/* The only writer of the state. */
void election_set_state(struct raft *raft, enum election_state state) {
    struct raft_election *election = &raft->election;
    enum election_state from = election->state;
    assert(election_state_may_follow(from, state));
    if (state == ELECTION_FOLLOWER_BALLOT && from == state) {
        return; /* another vote while waiting: the old timer goes on */
    }
    election->state = state;
    election->state_changed_ns = raft_now_ns(raft);
    election->next_send_ns = raft_now_ns(raft);
    raft->next_report_ns = raft_now_ns(raft);
    enter(raft, from, state);
}

/* Each attempt leaves sockets behind that linger at both archives, and nothing else stops a failing
 * one from being repeated as fast as messages go to the leader and back. */
static void put_off_replication(struct raft *raft) {
    struct raft_election *election = &raft->election;
    int64_t pause_ns = max_i64(2 * election->replication_pause_ns, REPLICATION_PAUSE_MIN_NS);
    election->replication_pause_ns = min_i64(pause_ns, REPLICATION_PAUSE_MAX_NS);
    election->replication_retry_ns = raft_now_ns(raft) + election->replication_pause_ns;
}

void election_fail(struct raft *raft, const char *reason) {
    char text[RAFT_REASON_MAX];
    snprintf(text, sizeof text, "%s: %s (recorded %lld, consumed %lld, told %lld, to join at %lld)",
             election_state_name(raft->election.state), reason,
             (long long)raft->input.recorded_position, (long long)raft->input.consumed_position,
             (long long)raft->notified_commit_position,
             (long long)raft->election.catchup_join_position);
    raft_report(raft, text);
    if (raft->election.state == ELECTION_FOLLOWER_LOG_REPLICATION) {
        put_off_replication(raft);
    }
    raft->log_position = raft->commit_position;
    election_set_state(raft, ELECTION_INIT);
}

/* Leave a term, or begin at the start of the node. */
void election_begin(struct raft *raft) {
    assert(!raft_is_in_election(raft));
    memset(&raft->election, 0, sizeof raft->election);
    raft->election.state = ELECTION_CLOSED;
    raft->election.graceful_leader_id = RAFT_NULL;
    raft->election.truncate_position = RAFT_NULL;
    raft->election.catchup_join_position = RAFT_NULL;
    raft->election.announced_term_id = RAFT_NULL;
    raft->log_position = raft->commit_position;
    raft_push(raft, RAFT_ACTION_ELECTION_BEGAN, raft->conf.own_index);
    election_set_state(raft, ELECTION_INIT);
}

static int step_init(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (!election->is_operation_done) {
        return 0;
    }
    if (election->truncate_position != RAFT_NULL) {
        election->truncate_position = RAFT_NULL;
        election_start(raft, RAFT_OPERATION_PREPARE, 0, 0);
        return 1;
    }
    raft->ballot.candidate_term_id =
        max_i64(raft->ballot.candidate_term_id, raft->leadership_term_id);
    if (election_is_single(raft)) {
        election_vote_for_self(raft);
        raft_store_report(raft, raft->conf.own_index, raft->log_term_id, raft->append_position);
        election_set_state(raft, ELECTION_LEADER_LOG_REPLICATION);
    } else {
        election_set_state(raft, ELECTION_CANVASS);
    }
    return 1;
}

int election_step(struct raft *raft) {
    if (raft->role == CLUSTER_ROLE_FOLLOWER && raft->election.state != ELECTION_INIT) {
        raft_set_commit(raft, raft->input.consumed_position);
    }
    switch (raft->election.state) {
    case ELECTION_INIT:
        return step_init(raft);
    case ELECTION_CANVASS:
        return election_step_canvass(raft);
    case ELECTION_NOMINATE:
        return election_step_nominate(raft);
    case ELECTION_CANDIDATE_BALLOT:
        return election_step_candidate_ballot(raft);
    case ELECTION_FOLLOWER_BALLOT:
        return election_step_follower_ballot(raft);
    case ELECTION_LEADER_LOG_REPLICATION:
        return election_step_leader_log_replication(raft);
    case ELECTION_LEADER_REPLAY:
        return election_step_leader_replay(raft);
    case ELECTION_LEADER_INIT:
        return election_step_leader_init(raft);
    case ELECTION_LEADER_READY:
        return election_step_leader_ready(raft);
    case ELECTION_FOLLOWER_LOG_REPLICATION:
        return election_step_follower_log_replication(raft);
    case ELECTION_FOLLOWER_REPLAY:
        return election_step_follower_replay(raft);
    case ELECTION_FOLLOWER_CATCHUP_INIT:
        return election_step_follower_catchup_init(raft);
    case ELECTION_FOLLOWER_CATCHUP_AWAIT:
        return election_step_follower_catchup_await(raft);
    case ELECTION_FOLLOWER_CATCHUP:
        return election_step_follower_catchup(raft);
    case ELECTION_FOLLOWER_LOG_INIT:
        return election_step_follower_log_init(raft);
    case ELECTION_FOLLOWER_LOG_AWAIT:
        return election_step_follower_log_await(raft);
    case ELECTION_FOLLOWER_READY:
        return election_step_follower_ready(raft);
    case ELECTION_CLOSED:
        break;
    }
    return 0;
}

void election_on_result(struct raft *raft, const struct raft_result *result) {
    if (result->is_failed) {
        raft->election.truncate_position = RAFT_NULL; /* a leader asks for it again, or better */
        election_fail(raft, "an operation of the election failed");
        return;
    }
    raft->election.is_operation_done = true;
    switch (raft->operation.kind) {
    case RAFT_OPERATION_PREPARE:
        raft->append_position = result->append_position;
        raft->log_position = result->log_position;
        raft->log_term_id = result->log_term_id;
        raft->log_recording_id = result->recording_id;
        break;
    case RAFT_OPERATION_PUBLISH:
        raft->log_session_id = result->session_id;
        raft->has_log_session = true;
        break;
    case RAFT_OPERATION_REPLICATE:
        raft->election.replication_pause_ns = 0;
        raft->append_position = result->append_position;
        raft->log_recording_id = result->recording_id;
        break;
    case RAFT_OPERATION_ADD_LIVE:
        raft->election.live_join_position = result->append_position;
        break;
    case RAFT_OPERATION_LEADER_JOIN:
    case RAFT_OPERATION_FOLLOWER_JOIN:
        raft->log_recording_id = result->recording_id;
        break;
    default:
        break;
    }
}

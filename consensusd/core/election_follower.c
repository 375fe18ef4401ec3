/* The chapter of a follower: it copies the terms that it lacks from the leader's archive, replays
 * its own log, catches up, and joins the live log (cluster.md 3.6.2, states 9 to 16).
 *
 * Stricter than the original: the TERM entry is written before positions of the term are reported
 * (H5), and a silent leader ends every one of these states, not only some.
 */
#include "base/bits.h"
#include "consensusd/core/election_internal.h"

void election_enter_follower_log_replication(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft->role = CLUSTER_ROLE_FOLLOWER;
    election->deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    election->progress_position = raft->append_position;
    if (election->replication.base_position != RAFT_NULL && raft->log_recording_id != RAFT_NULL) {
        /* A part of this term must not pass for one of the term before. */
        raft_record_term(raft, election->replication.term_id, election->replication.base_position,
                         RAFT_NULL);
    }
    if (raft->append_position < election->replication.end_position) {
        election_start(raft, RAFT_OPERATION_REPLICATE, raft->append_position,
                       election->replication.end_position);
    } else {
        election->is_operation_done = true;
    }
}

void election_enter_follower_replay(struct raft *raft) {
    raft->role = CLUSTER_ROLE_FOLLOWER;
    raft->election.is_operation_done = false;
    raft->operation.kind = RAFT_OPERATION_NONE;
    if (raft->log_recording_id != RAFT_NULL) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
    }
}

void election_enter_follower_catchup(struct raft *raft) {
    raft->reported_position = raft->append_position;
    raft->election.deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    raft->election.progress_position = raft->input.recorded_position;
    raft->operation.kind = RAFT_OPERATION_NONE;
    raft->election.is_operation_done = false;
}

void election_enter_follower_log_init(struct raft *raft) {
    if (raft->election.catchup_join_position == RAFT_NULL) {
        election_start(raft, RAFT_OPERATION_SUBSCRIBE_LIVE, raft->log_position, 0);
    }
}

/* All of one term was copied. The last one before the leader's own term leads straight into it:
 * this log then is equal to the leader's up to the base of the term. */
static void end_replication(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft_record_term(raft, election->replication.term_id, election->replication.base_position,
                     election->replication.end_position);
    bool is_at_base = raft->append_position == election->term_base_position;
    election_set_state(raft, is_at_base ? ELECTION_FOLLOWER_REPLAY : ELECTION_CANVASS);
}

int election_step_follower_log_replication(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (election->is_operation_done) {
        end_replication(raft);
        return 1;
    }
    int64_t position = max_i64(raft->input.recorded_position, raft->append_position);
    if (position > election->progress_position) {
        election->progress_position = position;
        election->deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    }
    if (raft_now_ns(raft) >= election->deadline_ns) {
        election_fail(raft, "no progress of the log replication");
        return 1;
    }
    /* Positions of the new term are reported once its entry is written, in FOLLOWER_REPLAY. */
    if (position < election->term_base_position) {
        raft_report_append(raft, position, 0);
    }
    return 0;
}

static bool fail_when_leader_is_silent(struct raft *raft) {
    if (!raft_is_leader_silent(raft)) {
        return false;
    }
    election_fail(raft, "the leader fell silent in the election");
    return true;
}

int election_step_follower_replay(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    raft_report_append(raft, raft->append_position, 0);
    if (raft->operation.kind == RAFT_OPERATION_REPLAY) {
        if (!election->is_operation_done) {
            return 0;
        }
        raft->log_position = raft->operation.to;
        raft_set_commit(raft, raft->log_position);
        raft->operation.kind = RAFT_OPERATION_NONE;
    }
    if (raft->log_position >= raft->append_position) {
        election_set_state(raft, election->catchup_join_position == RAFT_NULL
                                     ? ELECTION_FOLLOWER_LOG_INIT
                                     : ELECTION_FOLLOWER_CATCHUP_INIT);
        return 1;
    }
    int64_t stop = min_i64(raft->append_position, raft->notified_commit_position);
    if (raft->log_position < stop) {
        election_start(raft, RAFT_OPERATION_REPLAY, raft->log_position, stop);
        return 1;
    }
    return 0; /* wait for the leader to learn that a quorum holds more */
}

int election_step_follower_catchup_init(struct raft *raft) {
    int32_t leader = raft_member_index(raft, raft->leader_id);
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (!raft->election.is_operation_done || !raft_is_connected(raft, leader)) {
        return 0;
    }
    struct raft_action *action = raft_push(raft, RAFT_ACTION_SEND_CATCHUP, leader);
    action->term = (struct raft_term){raft->leadership_term_id, raft->log_position, RAFT_NULL};
    election_set_state(raft, ELECTION_FOLLOWER_CATCHUP_AWAIT);
    return 1;
}

int election_step_follower_catchup_await(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (raft->election.is_operation_done) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
        election_set_state(raft, ELECTION_FOLLOWER_CATCHUP);
        return 1;
    }
    if (election_state_age_ns(raft) >= raft->conf.leader_heartbeat_timeout_ns) {
        election_fail(raft, "the catch-up did not begin in time");
        return 1;
    }
    return 0;
}

/* The replay overlaps with the live log, and little is left to consume of what the leader called
 * committed (under load there is always something). */
static bool may_switch(const struct raft *raft) {
    const struct raft_election *election = &raft->election;
    return raft->operation.kind == RAFT_OPERATION_ADD_LIVE && election->is_operation_done &&
           raft->input.may_elect && raft->input.recorded_position >= election->live_join_position &&
           raft->commit_position >= election->catchup_join_position &&
           raft->commit_position >= raft->notified_commit_position - raft->input.live_window;
}

static int step_switch(struct raft *raft) {
    if (!raft->election.is_operation_done) {
        return 0;
    }
    raft->append_position = raft->commit_position;
    raft->log_position = raft->commit_position;
    election_set_state(raft, ELECTION_FOLLOWER_LOG_INIT);
    return 1;
}

int election_step_follower_catchup(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    int64_t recorded = raft->input.recorded_position;
    int64_t target = max_i64(election->catchup_join_position, raft->notified_commit_position);
    bool is_near = recorded >= target - raft->input.live_window;
    bool is_live_held =
        raft->operation.kind == RAFT_OPERATION_SWITCH ||
        (raft->operation.kind == RAFT_OPERATION_ADD_LIVE && election->is_operation_done);
    /* The leader ends the replay when it sees us at its own position. That must not be before the
     * live log is there to go on with. */
    raft_report_append(raft, is_near && !is_live_held ? raft->reported_position : recorded, 1);
    if (raft->operation.kind == RAFT_OPERATION_SWITCH) {
        return step_switch(raft);
    }
    int64_t progress = recorded + raft->input.consumed_position;
    if (progress > election->progress_position || !raft->input.may_elect) {
        election->progress_position = progress;
        election->deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    }
    if (may_switch(raft)) {
        election_start(raft, RAFT_OPERATION_SWITCH, 0, 0);
        return 1;
    }
    if (is_near && raft->operation.kind != RAFT_OPERATION_ADD_LIVE) {
        election_start(raft, RAFT_OPERATION_ADD_LIVE, 0, 0);
        return 1;
    }
    if (raft_now_ns(raft) >= election->deadline_ns) {
        election_fail(raft, "no progress of the catch-up");
        return 1;
    }
    return 0;
}

int election_step_follower_log_init(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (raft->election.catchup_join_position != RAFT_NULL) {
        election_set_state(raft, ELECTION_FOLLOWER_READY);
        return 1;
    }
    if (raft->election.is_operation_done) {
        election_set_state(raft, ELECTION_FOLLOWER_LOG_AWAIT);
        return 1;
    }
    return 0;
}

int election_step_follower_log_await(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (raft->election.is_operation_done) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
        election_set_state(raft, ELECTION_FOLLOWER_READY);
        return 1;
    }
    if (election_state_age_ns(raft) >= raft->conf.leader_heartbeat_timeout_ns) {
        election_fail(raft, "the log of the leader did not arrive in time");
        return 1;
    }
    return 0;
}

int election_step_follower_ready(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (!raft_is_connected(raft, raft_member_index(raft, raft->leader_id))) {
        return 0;
    }
    raft->reported_position = RAFT_NULL;
    raft_report_append(raft, max_i64(raft->log_position, raft->input.recorded_position), 0);
    election_set_state(raft, ELECTION_CLOSED);
    return 1;
}

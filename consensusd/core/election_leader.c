/* The chapter of a leader elect: LEADER_LOG_REPLICATION, LEADER_REPLAY, LEADER_INIT, LEADER_READY
 * (cluster.md 3.6.2). It announces itself, waits for a quorum to hold its log, has its services
 * replay what they lack, and opens the term with its first entry.
 *
 * Stricter than the original: the TERM entry is written before the leader counts itself, so a term
 * whose leader saw a quorum cannot be overruled by an older one (H4).
 */
#include "base/bits.h"
#include "consensusd/core/election_internal.h"

void election_enter_leader_log_replication(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft->role = CLUSTER_ROLE_LEADER;
    raft->leader_id = raft_own_id(raft);
    /* Not the candidate term: refusing somebody else during the ballot may have raised that. */
    assert(raft->ballot.voted_for_id == raft_own_id(raft));
    raft->leadership_term_id = raft->ballot.voted_term_id;
    raft->reported_position = 0;
    election->is_leader_startup = false;
    election->announced_term_id = raft->log_term_id;
    election->announced_commit = 0;
    election->term_base_position = raft->append_position;
    if (raft->log_recording_id != RAFT_NULL) {
        raft_record_term(raft, raft->leadership_term_id, raft->append_position, RAFT_NULL);
    }
    election_start(raft, RAFT_OPERATION_PUBLISH, raft->append_position, raft->append_position);
}

void election_enter_leader_replay(struct raft *raft) {
    raft->election.is_leader_startup = raft->election.is_node_startup;
    if (raft->log_position < raft->append_position) {
        election_start(raft, RAFT_OPERATION_REPLAY, raft->log_position, raft->append_position);
    } else {
        raft->election.is_operation_done = true;
    }
}

/* Announce the term and what is committed of the log (states 5 to 8). Returns the position that a
 * quorum of this term holds. */
static int64_t announce(struct raft *raft, int *work) {
    struct raft_election *election = &raft->election;
    raft_store_report(raft, raft->conf.own_index, raft->leadership_term_id, raft->append_position);
    int64_t quorum = raft_quorum_position(raft, raft->append_position);
    bool has_grown = quorum > election->announced_commit;
    election->announced_commit = max_i64(election->announced_commit, quorum);
    if (election_is_single(raft)) {
        return quorum;
    }
    if (raft_now_ns(raft) >= election->next_send_ns) {
        election->next_send_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_interval_ns;
        raft_send_new_term(raft, RAFT_ALL_MEMBERS, election->announced_term_id);
        (*work)++;
    }
    if (has_grown || raft_now_ns(raft) >= raft->next_report_ns) {
        raft_send_commit(raft, election->announced_commit);
        (*work)++;
    }
    return quorum;
}

/* Nobody answers: better to ask again than to sit on a term that nobody follows. */
static bool fail_when_followers_are_silent(struct raft *raft) {
    if (raft_active_count(raft) >= quorum_threshold(raft->conf.member_count) ||
        election_state_age_ns(raft) < raft->conf.leader_heartbeat_timeout_ns) {
        return false;
    }
    election_fail(raft, "no quorum of followers in the election");
    return true;
}

int election_step_leader_log_replication(struct raft *raft) {
    int work = 0;
    if (fail_when_followers_are_silent(raft)) {
        return 1;
    }
    if (!raft->election.is_operation_done) {
        return 0; /* nothing is announced before the log's session id is known */
    }
    if (announce(raft, &work) >= raft->append_position) {
        election_set_state(raft, ELECTION_LEADER_REPLAY);
        work++;
    }
    return work;
}

int election_step_leader_replay(struct raft *raft) {
    int work = 0;
    announce(raft, &work);
    raft_set_commit(raft, raft->input.consumed_position);
    if (raft->election.is_operation_done) {
        raft->log_position = raft->append_position;
        raft_set_commit(raft, raft->log_position);
        election_set_state(raft, ELECTION_LEADER_INIT);
        work++;
    }
    return work;
}

int election_step_leader_init(struct raft *raft) {
    int work = 0;
    announce(raft, &work);
    if (raft->election.is_operation_done) {
        raft_record_term(raft, raft->leadership_term_id, raft->append_position, RAFT_NULL);
        raft->election.announced_term_id = raft->leadership_term_id;
        election_set_state(raft, ELECTION_LEADER_READY);
        work++;
    }
    return work;
}

/* How many members hold the log in this term, and whether all that live do. */
static bool is_quorum_ready(const struct raft *raft, bool *is_everybody) {
    int32_t ready = 0;
    *is_everybody = true;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        const struct raft_member *member = &raft->members[i];
        if (!raft_has_heard(raft, member)) {
            continue;
        }
        if (member->leadership_term_id == raft->leadership_term_id &&
            member->log_position >= raft->append_position) {
            ready++;
        } else {
            *is_everybody = false;
        }
    }
    return ready >= quorum_threshold(raft->conf.member_count);
}

/* A follower that joins after the first entry was sent must catch up through the archive, so those
 * that are about to join are given one heartbeat interval. */
int election_step_leader_ready(struct raft *raft) {
    struct raft_election *election = &raft->election;
    int work = 0;
    if (fail_when_followers_are_silent(raft)) {
        return 1;
    }
    raft_set_commit(raft, announce(raft, &work));
    if (raft->operation.kind == RAFT_OPERATION_APPEND_TERM) {
        if (election->is_operation_done) {
            election_set_state(raft, ELECTION_CLOSED);
        }
        return work + (election->is_operation_done ? 1 : 0);
    }
    bool is_everybody;
    if (!is_quorum_ready(raft, &is_everybody)) {
        election->quorum_since_ns = RAFT_NULL;
        return work;
    }
    if (election->quorum_since_ns == RAFT_NULL) {
        election->quorum_since_ns = raft_now_ns(raft);
    }
    int64_t waited_ns = raft_now_ns(raft) - election->quorum_since_ns;
    if (is_everybody || waited_ns >= raft->conf.leader_heartbeat_interval_ns) {
        election_start(raft, RAFT_OPERATION_APPEND_TERM, raft->append_position, 0);
        work++;
    }
    return work;
}

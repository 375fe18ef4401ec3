/* What the messages of others mean while an election runs (cluster.md 3.6.3). The front (raft.c)
 * has dropped those of strangers and those that came in INIT.
 *
 * Stricter than the original:
 *  - A vote is durable with its candidate, so that the repeated request of the same candidate gets
 *    the same answer (H2), and is a promise: the member does not follow a leader of a lower term
 *    afterwards. It says so in its canvass, which makes a Tern leader of a lower term stand again.
 *  - The log is never truncated below what is known to be committed (H6); a leader who asks for it
 *    is not followed.
 *  - A member that holds the TERM entry of the announced term at its base needs no comparison of
 *    earlier terms: it already agreed with that leader's log.
 */
#include "base/bits.h"
#include "consensusd/core/raft_internal.h"

static bool is_leading(const struct raft *raft) {
    enum election_state state = raft->election.state;
    return state >= ELECTION_LEADER_LOG_REPLICATION && state <= ELECTION_LEADER_READY;
}

static bool is_voting(const struct raft *raft) {
    return raft->election.state <= ELECTION_FOLLOWER_BALLOT;
}

static void forgive(struct raft *raft, int32_t member_id) {
    if (raft->election.graceful_leader_id == member_id) {
        raft->election.graceful_leader_id = RAFT_NULL; /* it is back and takes part again */
    }
}

void election_on_canvass(struct raft *raft, int32_t member,
                         const struct cluster_canvass_position *message) {
    int64_t log_term_id = message->log_leadership_term_id;
    forgive(raft, message->follower_member_id);
    raft_store_report(raft, member, log_term_id, message->log_position);
    if (!is_leading(raft)) {
        return;
    }
    if (log_term_id > raft->leadership_term_id) {
        election_fail(raft, "a member holds a newer term than the one of this election");
    } else if (message->leadership_term_id > raft->leadership_term_id) {
        election_fail(raft, "a member has promised itself to a newer term");
    } else if (raft->has_log_session) {
        raft_send_new_term(raft, member, log_term_id);
    }
}

/* -- votes -- */

static void send_vote(struct raft *raft, int32_t member, const struct cluster_request_vote *request,
                      bool is_for) {
    const struct cluster_vote vote = {
        .candidate_term_id = request->candidate_term_id,
        .log_leadership_term_id = raft->log_term_id,
        .log_position = raft->append_position,
        .candidate_member_id = request->candidate_member_id,
        .follower_member_id = raft_own_id(raft),
        .vote = is_for ? CLUSTER_BOOLEAN_TYPE_TRUE : CLUSTER_BOOLEAN_TYPE_FALSE,
    };
    raft_send_vote(raft, member, &vote);
}

void election_on_request_vote(struct raft *raft, int32_t member,
                              const struct cluster_request_vote *message) {
    struct raft_ballot *ballot = &raft->ballot;
    int64_t term_id = message->candidate_term_id;
    bool is_repeated =
        term_id == ballot->voted_term_id && message->candidate_member_id == ballot->voted_for_id;
    if (term_id <= ballot->candidate_term_id) {
        bool is_for = is_repeated && term_id == ballot->candidate_term_id &&
                      raft->election.state == ELECTION_FOLLOWER_BALLOT;
        send_vote(raft, member, message, is_for);
        return;
    }
    if (raft_compare_logs(raft->log_term_id, raft->append_position, message->log_leadership_term_id,
                          message->log_position) > 0) {
        ballot->candidate_term_id = term_id;
        raft_persist_ballot(raft);
        send_vote(raft, member, message, false);
        if (is_leading(raft) && raft->has_log_session) {
            raft_send_new_term(raft, member, message->log_leadership_term_id);
        }
        return;
    }
    if (is_voting(raft)) {
        ballot->candidate_term_id = term_id;
        ballot->voted_term_id = term_id;
        ballot->voted_for_id = message->candidate_member_id;
        ballot->promised_term_id = term_id;
        raft_persist_ballot(raft);
        send_vote(raft, member, message, true);
        election_set_state(raft, ELECTION_FOLLOWER_BALLOT);
    }
    /* Who follows or leads already does not answer: its own election goes on. */
}

void election_on_vote(struct raft *raft, int32_t member, const struct cluster_vote *message) {
    if (raft->election.state != ELECTION_CANDIDATE_BALLOT ||
        message->candidate_member_id != raft_own_id(raft) ||
        message->candidate_term_id != raft->ballot.voted_term_id ||
        raft->members[member].vote != RAFT_VOTE_NONE) {
        return; /* late, not for us, or counted already */
    }
    raft->members[member].vote =
        message->vote == CLUSTER_BOOLEAN_TYPE_TRUE ? RAFT_VOTE_TRUE : RAFT_VOTE_FALSE;
    raft_store_report(raft, member, message->log_leadership_term_id, message->log_position);
}

/* -- a leader speaks -- */

/* It could be followed: neither followed nor promised was a newer one. */
static bool is_recent(const struct raft *raft, int64_t term_id) {
    return term_id >= max_i64(raft->leadership_term_id, raft->ballot.promised_term_id);
}

static bool is_eligible(const struct raft *raft,
                        const struct cluster_new_leadership_term *message) {
    int64_t term_id = message->leadership_term_id;
    if (!is_recent(raft, term_id)) {
        return false;
    }
    switch (raft->election.state) {
    case ELECTION_CANVASS:
        return true;
    case ELECTION_CANDIDATE_BALLOT:
    case ELECTION_FOLLOWER_BALLOT:
        return term_id >= raft->ballot.candidate_term_id;
    default:
        return false; /* NOMINATE: the canvass that follows is answered again */
    }
}

static void adopt(struct raft *raft, const struct cluster_new_leadership_term *message) {
    struct raft_election *election = &raft->election;
    raft->leader_id = message->leader_member_id;
    raft->leadership_term_id = message->leadership_term_id;
    raft->ballot.candidate_term_id =
        max_i64(raft->ballot.candidate_term_id, message->leadership_term_id);
    raft->log_session_id = message->log_session_id;
    raft->has_log_session = true;
    raft->leader_recording_id = message->leader_recording_id;
    raft->leader_heard_ns = raft_now_ns(raft);
    raft->reported_position = RAFT_NULL;
    raft->notified_commit_position =
        max_i64(raft->notified_commit_position, message->commit_position);
    election->is_leader_startup = message->is_startup == CLUSTER_BOOLEAN_TYPE_TRUE;
    election->term_base_position = message->term_base_log_position;
    election->catchup_join_position =
        raft->append_position < message->log_position ? message->log_position : RAFT_NULL;
}

/* Copy the rest of term log_term, or the whole term after it, from the leader's recording. */
static void replicate(struct raft *raft, const struct cluster_new_leadership_term *message) {
    struct raft_election *election = &raft->election;
    if (message->leadership_term_id == raft->leadership_term_id &&
        raft_now_ns(raft) < election->replication_retry_ns) {
        return; /* it failed lately; the leader is asked again by each canvass */
    }
    if (raft->append_position < message->next_term_base_log_position) {
        election->replication = (struct raft_term){message->log_leadership_term_id, RAFT_NULL,
                                                   message->next_term_base_log_position};
    } else {
        election->replication =
            (struct raft_term){message->next_leadership_term_id,
                               message->next_term_base_log_position, message->next_log_position};
    }
    adopt(raft, message);
    election_set_state(raft, ELECTION_FOLLOWER_LOG_REPLICATION);
}

static bool holds_announced_term(const struct raft *raft,
                                 const struct cluster_new_leadership_term *message) {
    struct raft_term own;
    return raft->log_term_id == message->leadership_term_id &&
           raft->conf.find_term(raft->conf.context, message->leadership_term_id, &own) &&
           own.base_position == message->term_base_log_position &&
           raft->append_position >= own.base_position;
}

/* The own log has a tail that the leader does not have. */
static void truncate_tail(struct raft *raft, int64_t position) {
    if (position < raft->known_committed) {
        raft_report(raft, "a leader's log begins below the committed position: not followed");
        return;
    }
    raft_report(raft, "truncating a tail that was never committed");
    raft->election.truncate_position = position;
    raft->log_position = raft->commit_position;
    election_set_state(raft, ELECTION_INIT);
}

static void consider_leader(struct raft *raft, const struct cluster_new_leadership_term *message) {
    int64_t next_base = message->next_term_base_log_position;
    if (holds_announced_term(raft, message)) {
        adopt(raft, message);
        election_set_state(raft, ELECTION_FOLLOWER_REPLAY);
        return;
    }
    if (message->log_leadership_term_id != raft->log_term_id) {
        if (raft->election.state != ELECTION_CANVASS) {
            election_set_state(raft, ELECTION_CANVASS); /* the next canvass tells our log term */
        }
        return;
    }
    if (next_base != RAFT_NULL && next_base < raft->append_position) {
        truncate_tail(raft, next_base);
        return;
    }
    if (raft->append_position >= message->term_base_log_position) {
        adopt(raft, message);
        election_set_state(raft, ELECTION_FOLLOWER_REPLAY);
        return;
    }
    bool is_known = message->next_leadership_term_id != RAFT_NULL && next_base != RAFT_NULL;
    bool is_end_known = message->next_log_position != RAFT_NULL;
    if (is_known && message->leader_recording_id != RAFT_NULL &&
        (raft->append_position < next_base || is_end_known)) {
        replicate(raft, message);
    }
    /* Else the leader does not know yet where that term ends: it will be asked again. */
}

void election_on_new_term(struct raft *raft, int32_t member,
                          const struct cluster_new_leadership_term *message) {
    struct raft_election *election = &raft->election;
    (void)member;
    forgive(raft, message->leader_member_id);
    if (is_recent(raft, message->leadership_term_id)) {
        raft->leader_heard_ns = raft_now_ns(raft);
    }
    if (is_eligible(raft, message)) {
        consider_leader(raft, message);
        return;
    }
    bool has_joined = election->state > ELECTION_FOLLOWER_BALLOT;
    if (has_joined && message->leadership_term_id > raft->leadership_term_id) {
        election_fail(raft, "a leader of a newer term spoke");
        return;
    }
    if (!has_joined || message->leader_member_id != raft->leader_id ||
        message->leadership_term_id != raft->leadership_term_id) {
        return;
    }
    raft->notified_commit_position =
        max_i64(raft->notified_commit_position, message->commit_position);
    raft->leader_recording_id = message->leader_recording_id;
    if (election->state == ELECTION_FOLLOWER_LOG_REPLICATION) {
        election->deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    }
    if (election->state <= ELECTION_FOLLOWER_REPLAY &&
        message->log_position > raft->append_position) {
        election->catchup_join_position = message->log_position;
    }
}

void election_on_append(struct raft *raft, int32_t member,
                        const struct cluster_append_position *message) {
    if (message->leadership_term_id <= raft->leadership_term_id) {
        raft_store_report(raft, member, message->leadership_term_id, message->log_position);
    }
}

void election_on_commit(struct raft *raft, const struct cluster_commit_position *message) {
    struct raft_election *election = &raft->election;
    bool has_joined = election->state > ELECTION_FOLLOWER_BALLOT;
    if (has_joined && message->leadership_term_id > raft->leadership_term_id) {
        election_fail(raft, "a leader of a newer term spoke");
        return;
    }
    if (!has_joined || message->leader_member_id != raft->leader_id ||
        message->leadership_term_id != raft->leadership_term_id) {
        return;
    }
    raft->leader_heard_ns = raft_now_ns(raft);
    raft->notified_commit_position = max_i64(raft->notified_commit_position, message->log_position);
    if (election->state == ELECTION_FOLLOWER_LOG_REPLICATION) {
        election->deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    }
    if (election->state <= ELECTION_FOLLOWER_REPLAY &&
        message->log_position > raft->append_position) {
        election->catchup_join_position = message->log_position;
    }
}

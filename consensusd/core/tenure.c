/* One leadership term as this member lives it, leader or follower, while no election runs
 * (cluster.md 3.3, 3.5, 3.7).
 *
 * Leader: count what a quorum recorded, tell everybody, step down when no quorum reports. Follower:
 * report what is recorded, leave when the leader is silent.
 *
 * A request for votes deposes nobody who heard of the leader (or, being leader, of a quorum) within
 * the heartbeat timeout (H1): whoever asks then has lost contact himself, or lies. The original
 * leaves its term at once.
 */
#include "base/bits.h"
#include "consensusd/core/raft_internal.h"

static bool is_quorum_active(const struct raft *raft) {
    return raft_active_count(raft) >= quorum_threshold(raft->conf.member_count);
}

static int step_leader(struct raft *raft) {
    int64_t recorded = max_i64(raft->input.recorded_position, 0);
    raft_store_report(raft, raft->conf.own_index, raft->leadership_term_id, recorded);
    int64_t quorum = raft_quorum_position(raft, recorded);
    bool has_grown = quorum > raft->commit_position;
    bool is_due = raft_now_ns(raft) >= raft->next_report_ns;
    raft_set_commit(raft, quorum);
    if (raft->conf.member_count > 1 && (has_grown || is_due)) {
        raft_send_commit(raft, raft->commit_position);
    }
    if (!raft->input.is_terminating && !is_quorum_active(raft)) {
        raft_begin_election(raft, RAFT_NULL, "inactive follower quorum");
        return 1;
    }
    return has_grown ? 1 : 0;
}

static int step_follower(struct raft *raft) {
    raft_set_commit(raft, raft->input.consumed_position);
    raft_report_append(raft, max_i64(raft->input.recorded_position, raft->reported_position), 0);
    if (!raft->input.is_terminating && raft_is_leader_silent(raft)) {
        raft_begin_election(raft, RAFT_NULL, "leader heartbeat timeout");
        return 1;
    }
    return 0;
}

int tenure_step(struct raft *raft) {
    return raft->role == CLUSTER_ROLE_LEADER ? step_leader(raft) : step_follower(raft);
}

void tenure_on_canvass(struct raft *raft, int32_t member,
                       const struct cluster_canvass_position *message) {
    if (raft->role != CLUSTER_ROLE_LEADER) {
        return;
    }
    raft_store_report(raft, member, message->log_leadership_term_id, message->log_position);
    if (message->leadership_term_id > raft->leadership_term_id) {
        /* It voted in a newer term and may not follow this one. Stand again above that term. */
        raft_begin_election(raft, RAFT_NULL, "a member has promised itself to a newer term");
        return;
    }
    raft_send_new_term(raft, member, message->log_leadership_term_id);
}

void tenure_on_request_vote(struct raft *raft, const struct cluster_request_vote *message) {
    if (message->candidate_term_id <= raft->leadership_term_id) {
        return;
    }
    bool is_led =
        raft->role == CLUSTER_ROLE_LEADER ? is_quorum_active(raft) : !raft_is_leader_silent(raft);
    if (!is_led) {
        raft_begin_election(raft, RAFT_NULL, "a candidate of a newer term asked for a vote");
    }
}

static void note_leader(struct raft *raft, int32_t leader_id, int64_t term_id,
                        int64_t commit_position) {
    if (term_id > raft->leadership_term_id) {
        raft_begin_election(raft, RAFT_NULL, "a leader of a newer term spoke");
        return;
    }
    if (raft->role != CLUSTER_ROLE_FOLLOWER || leader_id != raft->leader_id ||
        term_id != raft->leadership_term_id) {
        return;
    }
    raft->leader_heard_ns = raft_now_ns(raft);
    raft->notified_commit_position = max_i64(raft->notified_commit_position, commit_position);
    raft_note_committed(raft);
}

void tenure_on_new_term(struct raft *raft, const struct cluster_new_leadership_term *message) {
    note_leader(raft, message->leader_member_id, message->leadership_term_id,
                message->commit_position);
}

void tenure_on_commit(struct raft *raft, const struct cluster_commit_position *message) {
    note_leader(raft, message->leader_member_id, message->leadership_term_id,
                message->log_position);
}

void tenure_on_append(struct raft *raft, int32_t member,
                      const struct cluster_append_position *message) {
    if (raft->role != CLUSTER_ROLE_LEADER ||
        message->leadership_term_id > raft->leadership_term_id) {
        return;
    }
    struct raft_member *other = &raft->members[member];
    bool is_late = other->leadership_term_id == raft->leadership_term_id &&
                   (message->leadership_term_id < other->leadership_term_id ||
                    message->log_position < other->log_position);
    if (is_late) {
        other->heard_ns = raft_now_ns(raft); /* reordered over a reconnect; positions only grow */
        return;
    }
    raft_store_report(raft, member, message->leadership_term_id, message->log_position);
}

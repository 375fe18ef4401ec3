/* The chapter before a candidate: CANVASS and NOMINATE (cluster.md 3.6.2). Everybody tells
 * everybody where its log ends; who finds that a quorum would vote for it waits a random while and
 * stands.
 *
 * Stricter than the original: what was heard expires after the leader heartbeat timeout (H1), so a
 * member that lost contact does not go on standing on old news.
 */
#include "base/bits.h"
#include "consensusd/core/election_internal.h"

void election_enter_canvass(struct raft *raft, enum election_state from) {
    raft->role = CLUSTER_ROLE_FOLLOWER;
    raft->leader_id = RAFT_NULL;
    raft->has_log_session = false;
    raft->election.is_extended_canvass =
        raft->election.is_extended_canvass && from == ELECTION_INIT;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        raft->members[i].leadership_term_id = RAFT_NULL;
        raft->members[i].log_position = RAFT_NULL;
        raft->members[i].vote = RAFT_VOTE_NONE;
    }
    raft_store_report(raft, raft->conf.own_index, raft->log_term_id, raft->append_position);
}

static int send_canvass(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (raft_now_ns(raft) < election->next_send_ns) {
        return 0;
    }
    election->next_send_ns = raft_now_ns(raft) + raft->conf.election_status_interval_ns;
    struct raft_action *action = raft_push(raft, RAFT_ACTION_SEND_CANVASS, RAFT_ALL_MEMBERS);
    action->canvass = (struct cluster_canvass_position){
        .log_leadership_term_id = raft->log_term_id,
        .log_position = raft->append_position,
        /* A leader of a lower term sees here that this member cannot follow it. */
        .leadership_term_id = max_i64(raft->leadership_term_id, raft->ballot.promised_term_id),
        .follower_member_id = raft_own_id(raft),
        .protocol_version = PROTOCOL_VERSION,
    };
    return 1;
}

static bool will_vote_for_us(const struct raft *raft, int32_t member) {
    const struct raft_member *other = &raft->members[member];
    return member == raft->conf.own_index ||
           (raft_has_heard(raft, other) &&
            raft_compare_logs(other->leadership_term_id, other->log_position, raft->log_term_id,
                              raft->append_position) <= 0);
}

static int32_t supporter_count(const struct raft *raft, bool *is_unanimous) {
    int32_t count = 0;
    *is_unanimous = true;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        if (will_vote_for_us(raft, i)) {
            count++;
        } else if (raft->members[i].id != raft->election.graceful_leader_id) {
            *is_unanimous = false;
        }
    }
    return count;
}

int election_step_canvass(struct raft *raft) {
    const struct raft_conf *conf = &raft->conf;
    int work = send_canvass(raft);
    if (conf->appointed_leader_id != RAFT_NULL && conf->appointed_leader_id != raft_own_id(raft)) {
        return work;
    }
    bool is_unanimous;
    int32_t supporters = supporter_count(raft, &is_unanimous);
    int64_t deadline_ns = raft->election.is_extended_canvass
                              ? raft->election.state_changed_ns + conf->startup_canvass_timeout_ns
                              : raft->leader_heard_ns + conf->leader_heartbeat_timeout_ns;
    bool is_quorum = supporters >= quorum_threshold(conf->member_count);
    if (is_quorum && (is_unanimous || raft_now_ns(raft) >= deadline_ns)) {
        election_set_state(raft, ELECTION_NOMINATE);
        return work + 1;
    }
    return work;
}

int election_step_nominate(struct raft *raft) {
    int work = send_canvass(raft);
    if (raft_now_ns(raft) < raft->election.deadline_ns) {
        return work;
    }
    bool is_unanimous;
    bool is_quorum =
        supporter_count(raft, &is_unanimous) >= quorum_threshold(raft->conf.member_count);
    election_set_state(raft, is_quorum ? ELECTION_CANDIDATE_BALLOT : ELECTION_CANVASS);
    return work + 1;
}

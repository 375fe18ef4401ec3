/* The election: one function that changes the state, one short function per state (cluster.md
 * 3.6.2; the diagram is in election_state.c). Messages are in election_message.c.
 *
 * Stricter or quicker than the original, within its protocol:
 *  - What was heard in a canvass expires after the leader heartbeat timeout (H1).
 *  - RequestVote is repeated until the ballot ends; a repeat is answered as the first was (H2).
 *  - A ballot ends at once when a vote is FALSE, or when every member heard since the canvass began
 *    voted TRUE and they are a quorum: the dead need not be waited for.
 *  - A leader writes its TERM entry before it counts itself, a follower before it reports positions
 *    of the term; so a term whose leader saw a quorum cannot be overruled by an older one (H4, H5).
 *  - A silent leader ends every follower state, not only some.
 *
 * Exception: more than 800 lines, so that all 18 states stand in one file, in the order in which an
 * election goes through them.
 */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/core/raft_internal.h"

/* Vote requests are repeated this many times per election timeout. */
#define VOTE_REQUESTS_PER_BALLOT 4
#define PROTOCOL_VERSION (1 << 16) /* consensus protocol 1.0.0 (cluster.md 0) */

static int64_t state_age_ns(const struct raft *raft) {
    return raft_now_ns(raft) - raft->election.state_changed_ns;
}

static bool is_single(const struct raft *raft) {
    return raft->conf.member_count == 1;
}

static bool is_leader_silent(const struct raft *raft) {
    return raft_now_ns(raft) - raft->leader_heard_ns >= raft->conf.leader_heartbeat_timeout_ns;
}

static void start(struct raft *raft, enum raft_operation_kind kind, int64_t from, int64_t to) {
    struct raft_operation operation = {
        .kind = kind, .from = from, .to = to, .term_id = raft->leadership_term_id};
    raft_start_operation(raft, &operation);
}

/* -- entering a state -- */

static void enter_init(struct raft *raft) {
    struct raft_election *election = &raft->election;
    raft->role = CLUSTER_ROLE_FOLLOWER;
    raft->has_log_session = false;
    raft->notified_commit_position = 0;
    if (election->truncate_position != RAFT_NULL) {
        start(raft, RAFT_OPERATION_TRUNCATE, 0, election->truncate_position);
    } else {
        start(raft, RAFT_OPERATION_PREPARE, 0, 0);
    }
}

static void enter_canvass(struct raft *raft, enum election_state from) {
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

static void vote_for_self(struct raft *raft) {
    raft->ballot.candidate_term_id += 1;
    raft->ballot.voted_term_id = raft->ballot.candidate_term_id;
    raft->ballot.voted_for_id = raft_own_id(raft);
    raft_persist_ballot(raft);
}

static void enter_candidate_ballot(struct raft *raft) {
    raft->role = CLUSTER_ROLE_CANDIDATE;
    vote_for_self(raft);
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        raft->members[i].vote = RAFT_VOTE_NONE;
    }
    raft_own(raft)->vote = RAFT_VOTE_TRUE;
}

static void enter_leader_log_replication(struct raft *raft) {
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
    start(raft, RAFT_OPERATION_PUBLISH, raft->append_position, raft->append_position);
}

static void enter_leader_replay(struct raft *raft) {
    raft->election.is_leader_startup = raft->election.is_node_startup;
    if (raft->log_position < raft->append_position) {
        start(raft, RAFT_OPERATION_REPLAY, raft->log_position, raft->append_position);
    } else {
        raft->election.is_operation_done = true;
    }
}

static void enter_follower_log_replication(struct raft *raft) {
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
        start(raft, RAFT_OPERATION_REPLICATE, raft->append_position,
              election->replication.end_position);
    } else {
        election->is_operation_done = true;
    }
}

static void enter_follower_replay(struct raft *raft) {
    raft->role = CLUSTER_ROLE_FOLLOWER;
    raft->election.is_operation_done = false;
    raft->operation.kind = RAFT_OPERATION_NONE;
    if (raft->log_recording_id != RAFT_NULL) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
    }
}

static void enter_follower_catchup(struct raft *raft) {
    raft->reported_position = raft->append_position;
    raft->election.deadline_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_timeout_ns;
    raft->election.progress_position = raft->input.recorded_position;
    raft->operation.kind = RAFT_OPERATION_NONE;
    raft->election.is_operation_done = false;
}

static void enter_follower_log_init(struct raft *raft) {
    if (raft->election.catchup_join_position == RAFT_NULL) {
        start(raft, RAFT_OPERATION_SUBSCRIBE_LIVE, raft->log_position, 0);
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
        enter_canvass(raft, from);
        break;
    case ELECTION_NOMINATE:
        raft->election.deadline_ns =
            raft_now_ns(raft) + (int64_t)(random_unit(raft->conf.random) *
                                          (double)(raft->conf.election_timeout_ns / 2));
        break;
    case ELECTION_CANDIDATE_BALLOT:
        enter_candidate_ballot(raft);
        break;
    case ELECTION_LEADER_LOG_REPLICATION:
        enter_leader_log_replication(raft);
        break;
    case ELECTION_LEADER_REPLAY:
        enter_leader_replay(raft);
        break;
    case ELECTION_LEADER_INIT:
        start(raft, RAFT_OPERATION_LEADER_JOIN, raft->append_position, 0);
        break;
    case ELECTION_LEADER_READY:
        raft->election.quorum_since_ns = RAFT_NULL;
        break;
    case ELECTION_FOLLOWER_LOG_REPLICATION:
        enter_follower_log_replication(raft);
        break;
    case ELECTION_FOLLOWER_REPLAY:
        enter_follower_replay(raft);
        break;
    case ELECTION_FOLLOWER_CATCHUP_INIT:
        start(raft, RAFT_OPERATION_SUBSCRIBE_CATCHUP, raft->log_position, 0);
        break;
    case ELECTION_FOLLOWER_CATCHUP_AWAIT:
    case ELECTION_FOLLOWER_LOG_AWAIT:
        start(raft, RAFT_OPERATION_FOLLOWER_JOIN, raft->log_position, 0);
        break;
    case ELECTION_FOLLOWER_CATCHUP:
        enter_follower_catchup(raft);
        break;
    case ELECTION_FOLLOWER_LOG_INIT:
        enter_follower_log_init(raft);
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

void election_fail(struct raft *raft, const char *reason) {
    char text[RAFT_REASON_MAX];
    snprintf(text, sizeof text, "%s: %s (recorded %lld, consumed %lld, told %lld, to join at %lld)",
             election_state_name(raft->election.state), reason,
             (long long)raft->input.recorded_position, (long long)raft->input.consumed_position,
             (long long)raft->notified_commit_position,
             (long long)raft->election.catchup_join_position);
    raft_report(raft, text);
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

/* -- states -- */

static int step_init(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (!election->is_operation_done) {
        return 0;
    }
    if (election->truncate_position != RAFT_NULL) {
        election->truncate_position = RAFT_NULL;
        start(raft, RAFT_OPERATION_PREPARE, 0, 0);
        return 1;
    }
    raft->ballot.candidate_term_id =
        max_i64(raft->ballot.candidate_term_id, raft->leadership_term_id);
    if (is_single(raft)) {
        vote_for_self(raft);
        raft_store_report(raft, raft->conf.own_index, raft->log_term_id, raft->append_position);
        election_set_state(raft, ELECTION_LEADER_LOG_REPLICATION);
    } else {
        election_set_state(raft, ELECTION_CANVASS);
    }
    return 1;
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

static int step_canvass(struct raft *raft) {
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

static int step_nominate(struct raft *raft) {
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

static int request_votes(struct raft *raft) {
    struct raft_election *election = &raft->election;
    if (raft_now_ns(raft) < election->next_send_ns) {
        return 0;
    }
    election->next_send_ns =
        raft_now_ns(raft) + raft->conf.election_timeout_ns / VOTE_REQUESTS_PER_BALLOT;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        if (i == raft->conf.own_index || raft->members[i].vote != RAFT_VOTE_NONE) {
            continue;
        }
        struct raft_action *action = raft_push(raft, RAFT_ACTION_SEND_REQUEST_VOTE, i);
        action->request_vote = (struct cluster_request_vote){
            .log_leadership_term_id = raft->log_term_id,
            .log_position = raft->append_position,
            .candidate_term_id = raft->ballot.voted_term_id,
            .candidate_member_id = raft_own_id(raft),
            .protocol_version = PROTOCOL_VERSION,
        };
    }
    return 1;
}

static int step_candidate_ballot(struct raft *raft) {
    int32_t for_us = 0;
    bool is_vetoed = false;
    bool is_complete = true;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        const struct raft_member *member = &raft->members[i];
        if (member->vote == RAFT_VOTE_TRUE) {
            for_us++;
        } else if (member->vote == RAFT_VOTE_FALSE) {
            is_vetoed = true;
        } else if (raft_has_heard(raft, member) &&
                   member->id != raft->election.graceful_leader_id) {
            is_complete = false;
        }
    }
    bool is_over = state_age_ns(raft) >= raft->conf.election_timeout_ns;
    bool is_quorum = for_us >= quorum_threshold(raft->conf.member_count);
    if (is_vetoed) {
        election_set_state(raft, ELECTION_CANVASS);
    } else if (is_quorum && (is_complete || is_over)) {
        election_set_state(raft, ELECTION_LEADER_LOG_REPLICATION);
    } else if (is_over) {
        election_set_state(raft, ELECTION_CANVASS);
    } else {
        return request_votes(raft);
    }
    return 1;
}

static int step_follower_ballot(struct raft *raft) {
    if (state_age_ns(raft) < raft->conf.election_timeout_ns) {
        return 0;
    }
    election_set_state(raft, ELECTION_CANVASS);
    return 1;
}

/* Announce the term and what is committed of the log (states 5 to 8). Returns the position that a
 * quorum of this term holds. */
static int64_t announce(struct raft *raft, int *work) {
    struct raft_election *election = &raft->election;
    raft_store_report(raft, raft->conf.own_index, raft->leadership_term_id, raft->append_position);
    int64_t quorum = raft_quorum_position(raft, raft->append_position);
    bool has_grown = quorum > election->announced_commit;
    election->announced_commit = max_i64(election->announced_commit, quorum);
    if (is_single(raft)) {
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
        state_age_ns(raft) < raft->conf.leader_heartbeat_timeout_ns) {
        return false;
    }
    election_fail(raft, "no quorum of followers in the election");
    return true;
}

static int step_leader_log_replication(struct raft *raft) {
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

static int step_leader_replay(struct raft *raft) {
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

static int step_leader_init(struct raft *raft) {
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
static int step_leader_ready(struct raft *raft) {
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
        start(raft, RAFT_OPERATION_APPEND_TERM, raft->append_position, 0);
        work++;
    }
    return work;
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

static int step_follower_log_replication(struct raft *raft) {
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
    if (!is_leader_silent(raft)) {
        return false;
    }
    election_fail(raft, "the leader fell silent in the election");
    return true;
}

static int step_follower_replay(struct raft *raft) {
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
        start(raft, RAFT_OPERATION_REPLAY, raft->log_position, stop);
        return 1;
    }
    return 0; /* wait for the leader to learn that a quorum holds more */
}

static int step_follower_catchup_init(struct raft *raft) {
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

static int step_follower_catchup_await(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (raft->election.is_operation_done) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
        election_set_state(raft, ELECTION_FOLLOWER_CATCHUP);
        return 1;
    }
    if (state_age_ns(raft) >= raft->conf.leader_heartbeat_timeout_ns) {
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

static int step_follower_catchup(struct raft *raft) {
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
        start(raft, RAFT_OPERATION_SWITCH, 0, 0);
        return 1;
    }
    if (is_near && raft->operation.kind != RAFT_OPERATION_ADD_LIVE) {
        start(raft, RAFT_OPERATION_ADD_LIVE, 0, 0);
        return 1;
    }
    if (raft_now_ns(raft) >= election->deadline_ns) {
        election_fail(raft, "no progress of the catch-up");
        return 1;
    }
    return 0;
}

static int step_follower_log_init(struct raft *raft) {
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

static int step_follower_log_await(struct raft *raft) {
    if (fail_when_leader_is_silent(raft)) {
        return 1;
    }
    if (raft->election.is_operation_done) {
        raft_record_term(raft, raft->leadership_term_id, raft->election.term_base_position,
                         RAFT_NULL);
        election_set_state(raft, ELECTION_FOLLOWER_READY);
        return 1;
    }
    if (state_age_ns(raft) >= raft->conf.leader_heartbeat_timeout_ns) {
        election_fail(raft, "the log of the leader did not arrive in time");
        return 1;
    }
    return 0;
}

static int step_follower_ready(struct raft *raft) {
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

int election_step(struct raft *raft) {
    if (raft->role == CLUSTER_ROLE_FOLLOWER && raft->election.state != ELECTION_INIT) {
        raft_set_commit(raft, raft->input.consumed_position);
    }
    switch (raft->election.state) {
    case ELECTION_INIT:
        return step_init(raft);
    case ELECTION_CANVASS:
        return step_canvass(raft);
    case ELECTION_NOMINATE:
        return step_nominate(raft);
    case ELECTION_CANDIDATE_BALLOT:
        return step_candidate_ballot(raft);
    case ELECTION_FOLLOWER_BALLOT:
        return step_follower_ballot(raft);
    case ELECTION_LEADER_LOG_REPLICATION:
        return step_leader_log_replication(raft);
    case ELECTION_LEADER_REPLAY:
        return step_leader_replay(raft);
    case ELECTION_LEADER_INIT:
        return step_leader_init(raft);
    case ELECTION_LEADER_READY:
        return step_leader_ready(raft);
    case ELECTION_FOLLOWER_LOG_REPLICATION:
        return step_follower_log_replication(raft);
    case ELECTION_FOLLOWER_REPLAY:
        return step_follower_replay(raft);
    case ELECTION_FOLLOWER_CATCHUP_INIT:
        return step_follower_catchup_init(raft);
    case ELECTION_FOLLOWER_CATCHUP_AWAIT:
        return step_follower_catchup_await(raft);
    case ELECTION_FOLLOWER_CATCHUP:
        return step_follower_catchup(raft);
    case ELECTION_FOLLOWER_LOG_INIT:
        return step_follower_log_init(raft);
    case ELECTION_FOLLOWER_LOG_AWAIT:
        return step_follower_log_await(raft);
    case ELECTION_FOLLOWER_READY:
        return step_follower_ready(raft);
    case ELECTION_CLOSED:
        break;
    }
    return 0;
}

void election_on_result(struct raft *raft, const struct raft_result *result) {
    if (result->is_failed) {
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

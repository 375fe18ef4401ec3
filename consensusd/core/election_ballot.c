/* The chapter of the vote: CANDIDATE_BALLOT for who stands, FOLLOWER_BALLOT for who gave its vote
 * (cluster.md 3.6.2; how a vote is answered is in election_message.c).
 *
 * Everybody's TRUE ends a ballot at once; a quorum's, without a FALSE, when its time is over: the
 * silent get the time to speak for a longer log, or against a second candidate.
 *
 * Stricter or quicker than the original, within its protocol:
 *  - RequestVote is repeated until the ballot ends; a repeat is answered as the first was (H2).
 *  - A FALSE ends the ballot at once: nothing can win it any more.
 */
#include "consensusd/core/election_internal.h"

/* Vote requests are repeated this many times per election timeout. */
#define VOTE_REQUESTS_PER_BALLOT 4

void election_vote_for_self(struct raft *raft) {
    raft->ballot.candidate_term_id += 1;
    raft->ballot.voted_term_id = raft->ballot.candidate_term_id;
    raft->ballot.voted_for_id = raft_own_id(raft);
    raft_persist_ballot(raft);
}

void election_enter_candidate_ballot(struct raft *raft) {
    raft->role = CLUSTER_ROLE_CANDIDATE;
    election_vote_for_self(raft);
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        raft->members[i].vote = RAFT_VOTE_NONE;
    }
    raft_own(raft)->vote = RAFT_VOTE_TRUE;
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

int election_step_candidate_ballot(struct raft *raft) {
    int32_t for_us = 0;
    bool is_vetoed = false;
    bool is_complete = true;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        const struct raft_member *member = &raft->members[i];
        if (member->vote == RAFT_VOTE_TRUE) {
            for_us++;
        } else if (member->vote == RAFT_VOTE_FALSE) {
            is_vetoed = true;
        } else if (member->id != raft->election.graceful_leader_id) {
            is_complete = false;
        }
    }
    bool is_over = election_state_age_ns(raft) >= raft->conf.election_timeout_ns;
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

int election_step_follower_ballot(struct raft *raft) {
    if (election_state_age_ns(raft) < raft->conf.election_timeout_ns) {
        return 0;
    }
    election_set_state(raft, ELECTION_CANVASS);
    return 1;
}

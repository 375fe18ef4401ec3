/* What the chapters of the election share; nobody else includes it. */
#ifndef TERN_CONSENSUSD_CORE_ELECTION_INTERNAL_H
#define TERN_CONSENSUSD_CORE_ELECTION_INTERNAL_H

#include "consensusd/core/raft_internal.h"

#define PROTOCOL_VERSION (1 << 16) /* consensus protocol 1.0.0 (cluster.md 0) */

static inline int64_t election_state_age_ns(const struct raft *raft) {
    return raft_now_ns(raft) - raft->election.state_changed_ns;
}

static inline bool election_is_single(const struct raft *raft) {
    return raft->conf.member_count == 1;
}

/* Ask the agent for an operation of the term that the election is about. */
void election_start(struct raft *raft, enum raft_operation_kind kind, int64_t from, int64_t to);

/* A new term with the own vote for it; durable before anything else is done. */
void election_vote_for_self(struct raft *raft);

/* What is done once when a state begins; called by election_set_state only. */
void election_enter_canvass(struct raft *raft, enum election_state from);
void election_enter_candidate_ballot(struct raft *raft);
void election_enter_leader_log_replication(struct raft *raft);
void election_enter_leader_replay(struct raft *raft);
void election_enter_follower_log_replication(struct raft *raft);
void election_enter_follower_replay(struct raft *raft);
void election_enter_follower_catchup(struct raft *raft);
void election_enter_follower_log_init(struct raft *raft);

/* What is done in each cycle of a state; returns the work done. */
int election_step_canvass(struct raft *raft);
int election_step_nominate(struct raft *raft);
int election_step_candidate_ballot(struct raft *raft);
int election_step_follower_ballot(struct raft *raft);
int election_step_leader_log_replication(struct raft *raft);
int election_step_leader_replay(struct raft *raft);
int election_step_leader_init(struct raft *raft);
int election_step_leader_ready(struct raft *raft);
int election_step_follower_log_replication(struct raft *raft);
int election_step_follower_replay(struct raft *raft);
int election_step_follower_catchup_init(struct raft *raft);
int election_step_follower_catchup_await(struct raft *raft);
int election_step_follower_catchup(struct raft *raft);
int election_step_follower_log_init(struct raft *raft);
int election_step_follower_log_await(struct raft *raft);
int election_step_follower_ready(struct raft *raft);

#endif

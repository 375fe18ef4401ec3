/* What the files of the core share; nobody else includes it. */
#ifndef TERN_CONSENSUSD_CORE_RAFT_INTERNAL_H
#define TERN_CONSENSUSD_CORE_RAFT_INTERNAL_H

#include <assert.h>

#include "consensusd/core/quorum.h"
#include "consensusd/core/raft.h"

static inline int64_t raft_now_ns(const struct raft *raft) {
    return raft->input.now_ns;
}

static inline struct raft_member *raft_own(struct raft *raft) {
    return &raft->members[raft->conf.own_index];
}

static inline bool raft_is_connected(const struct raft *raft, int32_t member) {
    return (raft->input.connected & (UINT32_C(1) << member)) != 0;
}

/* Order of logs: the later term wins, then the longer log. Negative, 0 or positive. */
static inline int raft_compare_logs(int64_t term_a, int64_t position_a, int64_t term_b,
                                    int64_t position_b) {
    if (term_a != term_b) {
        return term_a < term_b ? -1 : 1;
    }
    return position_a < position_b ? -1 : position_a > position_b;
}

static inline bool raft_has_heard(const struct raft *raft, const struct raft_member *member) {
    return member->log_position != RAFT_NULL &&
           raft->input.now_ns - member->heard_ns < raft->conf.leader_heartbeat_timeout_ns;
}

/* A zeroed action at the end of the list. */
struct raft_action *raft_push(struct raft *raft, enum raft_action_kind kind, int32_t member);
void raft_report(struct raft *raft, const char *text);
void raft_start_operation(struct raft *raft, const struct raft_operation *operation);
void raft_record_term(struct raft *raft, int64_t term_id, int64_t base, int64_t end);
void raft_persist_ballot(struct raft *raft);
void raft_set_commit(struct raft *raft, int64_t position);
void raft_note_committed(struct raft *raft);

/* A member's report of its log; the own index is for reports about ourselves. */
void raft_store_report(struct raft *raft, int32_t member, int64_t term_id, int64_t position);

/* What a quorum holds of the present term, bounded by the own log (3.7). */
int64_t raft_quorum_position(const struct raft *raft, int64_t bound);
int32_t raft_active_count(const struct raft *raft);

void raft_send_vote(struct raft *raft, int32_t member, const struct cluster_vote *vote);
void raft_send_commit(struct raft *raft, int64_t position);
void raft_send_new_term(struct raft *raft, int32_t member, int64_t log_term_id);
void raft_report_append(struct raft *raft, int64_t position, uint8_t flags);

/* election.c */
void election_begin(struct raft *raft);
void election_set_state(struct raft *raft, enum election_state state);
void election_fail(struct raft *raft, const char *reason);
int election_step(struct raft *raft);
void election_on_result(struct raft *raft, const struct raft_result *result);

/* election_message.c; called when an election runs and is not in INIT. */
void election_on_canvass(struct raft *raft, int32_t member,
                         const struct cluster_canvass_position *message);
void election_on_request_vote(struct raft *raft, int32_t member,
                              const struct cluster_request_vote *message);
void election_on_vote(struct raft *raft, int32_t member, const struct cluster_vote *message);
void election_on_new_term(struct raft *raft, int32_t member,
                          const struct cluster_new_leadership_term *message);
void election_on_append(struct raft *raft, int32_t member,
                        const struct cluster_append_position *message);
void election_on_commit(struct raft *raft, const struct cluster_commit_position *message);

/* tenure.c; called when no election runs. */
int tenure_step(struct raft *raft);
void tenure_on_canvass(struct raft *raft, int32_t member,
                       const struct cluster_canvass_position *message);
void tenure_on_request_vote(struct raft *raft, const struct cluster_request_vote *message);
void tenure_on_new_term(struct raft *raft, const struct cluster_new_leadership_term *message);
void tenure_on_append(struct raft *raft, int32_t member,
                      const struct cluster_append_position *message);
void tenure_on_commit(struct raft *raft, const struct cluster_commit_position *message);

#endif

/* One raft core on a desk: the test plays the time, the agent and all other members. Actions are
 * written down; what is recorded is found by find_term; operations end when the test says so. */
#ifndef TESTS_CONSENSUSD_RAFT_DESK_H
#define TESTS_CONSENSUSD_RAFT_DESK_H

#include "base/clock.h"
#include "consensusd/core/raft.h"

#define DESK_HEARTBEAT_TIMEOUT_MS 1000
#define DESK_ELECTION_TIMEOUT_MS 500
#define DESK_ACTIONS_MAX 4096
#define DESK_TERMS_MAX 64

struct desk {
    struct raft raft;
    struct random random;
    struct raft_input input;
    struct raft_term terms[DESK_TERMS_MAX];
    int32_t term_count;
    struct raft_action actions[DESK_ACTIONS_MAX]; /* since desk_forget */
    int32_t action_count;
    struct raft_operation operation; /* asked for last */
};

/* The own log: [0, append) of term log_term, or none when that is RAFT_NULL. */
struct desk_log {
    int64_t term_id;
    int64_t append_position;
    int64_t committed_position;
};

/* The member with id 0 of `count`, in its first canvass; in CLOSED as leader when it is alone. */
struct desk *desk_make(int32_t count, struct desk_log log);
void desk_free(struct desk *desk);

/* Cycles of one millisecond. */
void desk_run(struct desk *desk, int64_t ms);
/* One cycle of which the one before is so long ago. */
void desk_stall(struct desk *desk, int64_t ms);
void desk_forget(struct desk *desk);
int32_t desk_count(const struct desk *desk, enum raft_action_kind kind);
/* The last one; it must be there. */
const struct raft_action *desk_last(const struct desk *desk, enum raft_action_kind kind);
/* The operation that runs ends well; it must be of this kind. */
void desk_finish(struct desk *desk, enum raft_operation_kind kind);
/* It fails, and the PREPARE of the next attempt ends well. */
void desk_fail(struct desk *desk, enum raft_operation_kind kind);

void desk_canvass(struct desk *desk, int32_t member, int64_t log_term_id, int64_t position);
void desk_request_vote(struct desk *desk, int32_t member, int64_t term_id, int64_t log_term_id,
                       int64_t position);
void desk_vote(struct desk *desk, int32_t member, bool is_for);
void desk_append(struct desk *desk, int32_t member, int64_t term_id, int64_t position);
void desk_commit(struct desk *desk, int32_t member, int64_t term_id, int64_t position);
/* Everybody else canvasses with an empty log and votes TRUE; then the core leads to LEADER_READY.
 */
void desk_elect(struct desk *desk);
/* Leader of the term, with reports of all members at its own position. */
void desk_lead(struct desk *desk);
/* Follower of member 1 in this term, which begins at the end of the own log. */
void desk_follow(struct desk *desk, int64_t term_id);
/* What an elected member 1 announces: its term `term_id` begins at `base`, its log ends at `end`.
 */
struct cluster_new_leadership_term desk_announcement(const struct desk *desk, int64_t term_id,
                                                     int64_t base, int64_t end);

#endif

#include "raft_desk.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/bits.h"

#define RECORDING_ID 7
#define SESSION_ID 99

static uint64_t same_number(void *context) {
    (void)context;
    return UINT64_MAX / 2; /* nominations wait for half of what they may */
}

static bool find_term(void *context, int64_t term_id, struct raft_term *term) {
    const struct desk *desk = context;
    for (int32_t i = 0; i < desk->term_count; i++) {
        if (desk->terms[i].term_id == term_id) {
            *term = desk->terms[i];
            return true;
        }
    }
    return false;
}

static void record(struct desk *desk, const struct raft_term *term) {
    for (int32_t i = 0; i < desk->term_count; i++) {
        if (desk->terms[i].term_id == term->term_id) {
            desk->terms[i].end_position = max_i64(desk->terms[i].end_position, term->end_position);
            return;
        }
    }
    cr_assert_lt(desk->term_count, DESK_TERMS_MAX);
    desk->terms[desk->term_count++] = *term;
}

static void collect(struct desk *desk) {
    for (int32_t i = 0; i < desk->raft.action_count; i++) {
        const struct raft_action *action = &desk->raft.actions[i];
        cr_assert_lt(desk->action_count, DESK_ACTIONS_MAX);
        desk->actions[desk->action_count++] = *action;
        if (action->kind == RAFT_ACTION_RECORD_TERM) {
            record(desk, &action->term);
        } else if (action->kind == RAFT_ACTION_START) {
            desk->operation = action->operation;
        }
    }
    desk->raft.action_count = 0;
}

void desk_stall(struct desk *desk, int64_t ms) {
    collect(desk); /* what the test itself made the core do */
    desk->input.now_ns += ms * NS_PER_MS;
    raft_begin_cycle(&desk->raft, &desk->input);
    raft_step(&desk->raft);
    collect(desk);
}

void desk_run(struct desk *desk, int64_t ms) {
    for (int64_t i = 0; i < ms; i++) {
        desk_stall(desk, 1);
    }
}

void desk_forget(struct desk *desk) {
    desk->action_count = 0;
}

int32_t desk_count(const struct desk *desk, enum raft_action_kind kind) {
    int32_t count = 0;
    for (int32_t i = 0; i < desk->action_count; i++) {
        count += desk->actions[i].kind == kind;
    }
    return count;
}

const struct raft_action *desk_last(const struct desk *desk, enum raft_action_kind kind) {
    for (int32_t i = desk->action_count - 1; i >= 0; i--) {
        if (desk->actions[i].kind == kind) {
            return &desk->actions[i];
        }
    }
    cr_assert_fail("no action of kind %d", kind);
    return NULL;
}

void desk_finish(struct desk *desk, enum raft_operation_kind kind) {
    cr_assert_eq(desk->operation.kind, kind, "operation %d instead of %d", desk->operation.kind,
                 kind);
    const struct raft *raft = &desk->raft;
    const struct raft_result result = {
        .sequence = desk->operation.sequence,
        .append_position =
            kind == RAFT_OPERATION_REPLICATE ? desk->operation.to : raft->append_position,
        .log_position = raft->commit_position,
        .log_term_id = raft->log_term_id,
        .recording_id = raft->log_term_id == RAFT_NULL && kind == RAFT_OPERATION_PREPARE
                            ? RAFT_NULL
                            : RECORDING_ID,
        .session_id = SESSION_ID,
    };
    desk->operation.kind = RAFT_OPERATION_NONE;
    raft_on_result(&desk->raft, &result);
    collect(desk);
    desk_run(desk, 1);
}

void desk_fail(struct desk *desk, enum raft_operation_kind kind) {
    cr_assert_eq(desk->operation.kind, kind);
    const struct raft_result result = {.sequence = desk->operation.sequence, .is_failed = true};
    desk->operation.kind = RAFT_OPERATION_NONE;
    raft_on_result(&desk->raft, &result);
    collect(desk);
    desk_finish(desk, RAFT_OPERATION_PREPARE);
}

struct desk *desk_make(int32_t count, struct desk_log log) {
    struct desk *desk = calloc(1, sizeof *desk);
    desk->random = (struct random){desk, same_number};
    desk->input = (struct raft_input){
        .now_ns = NS_PER_S,
        .connected = ~UINT32_C(0),
        .may_elect = true,
        .recorded_position = RAFT_NULL,
        .consumed_position = log.committed_position,
        .live_window = 256,
    };
    if (log.term_id != RAFT_NULL) {
        record(desk, &(struct raft_term){log.term_id, 0, RAFT_NULL});
    }
    struct raft_conf conf = {
        .member_count = count,
        .appointed_leader_id = RAFT_NULL,
        .app_version = 1,
        .leader_heartbeat_timeout_ns = DESK_HEARTBEAT_TIMEOUT_MS * NS_PER_MS,
        .leader_heartbeat_interval_ns = 200 * NS_PER_MS,
        .startup_canvass_timeout_ns = 60 * NS_PER_S,
        .election_timeout_ns = DESK_ELECTION_TIMEOUT_MS * NS_PER_MS,
        .election_status_interval_ns = 100 * NS_PER_MS,
        .random = &desk->random,
        .find_term = find_term,
        .context = desk,
    };
    for (int32_t i = 0; i < count; i++) {
        conf.member_ids[i] = i;
    }
    const struct raft_start start = {
        .now_ns = desk->input.now_ns,
        .leadership_term_id = log.term_id,
        .log_position = log.committed_position,
        .append_position = log.append_position,
        .ballot = {log.term_id, RAFT_NULL, RAFT_NULL, RAFT_NULL},
        .log_recording_id = log.term_id == RAFT_NULL ? RAFT_NULL : RECORDING_ID,
    };
    raft_init(&desk->raft, &conf, &start);
    collect(desk);
    desk_finish(desk, RAFT_OPERATION_PREPARE);
    return desk;
}

void desk_free(struct desk *desk) {
    free(desk);
}

void desk_canvass(struct desk *desk, int32_t member, int64_t log_term_id, int64_t position) {
    const struct cluster_canvass_position message = {
        .log_leadership_term_id = log_term_id,
        .log_position = position,
        .leadership_term_id = log_term_id,
        .follower_member_id = member,
    };
    raft_on_canvass(&desk->raft, &message);
    collect(desk);
}

void desk_request_vote(struct desk *desk, int32_t member, int64_t term_id, int64_t log_term_id,
                       int64_t position) {
    const struct cluster_request_vote message = {
        .log_leadership_term_id = log_term_id,
        .log_position = position,
        .candidate_term_id = term_id,
        .candidate_member_id = member,
    };
    raft_on_request_vote(&desk->raft, &message);
    collect(desk);
}

void desk_vote(struct desk *desk, int32_t member, bool is_for) {
    const struct cluster_vote message = {
        .candidate_term_id = desk->raft.ballot.voted_term_id,
        .log_leadership_term_id = RAFT_NULL,
        .log_position = 0,
        .candidate_member_id = 0,
        .follower_member_id = member,
        .vote = is_for ? CLUSTER_BOOLEAN_TYPE_TRUE : CLUSTER_BOOLEAN_TYPE_FALSE,
    };
    raft_on_vote(&desk->raft, &message);
    collect(desk);
}

void desk_append(struct desk *desk, int32_t member, int64_t term_id, int64_t position) {
    const struct cluster_append_position message = {term_id, position, member, 0};
    raft_on_append(&desk->raft, &message);
    collect(desk);
}

void desk_commit(struct desk *desk, int32_t member, int64_t term_id, int64_t position) {
    const struct cluster_commit_position message = {term_id, position, member};
    raft_on_commit(&desk->raft, &message);
    collect(desk);
}

void desk_elect(struct desk *desk) {
    struct raft *raft = &desk->raft;
    for (int32_t i = 1; i < raft->conf.member_count; i++) {
        desk_canvass(desk, i, RAFT_NULL, 0);
    }
    while (raft->election.state < ELECTION_CANDIDATE_BALLOT) {
        desk_run(desk, 1);
    }
    for (int32_t i = 1; i < raft->conf.member_count; i++) {
        desk_vote(desk, i, true);
    }
    desk_run(desk, 1);
    cr_assert_eq(raft->election.state, ELECTION_LEADER_LOG_REPLICATION);
}

void desk_lead(struct desk *desk) {
    struct raft *raft = &desk->raft;
    if (raft->conf.member_count > 1) {
        desk_elect(desk);
    }
    int64_t position = raft->append_position;
    desk_finish(desk, RAFT_OPERATION_PUBLISH);
    while (raft->election.state != ELECTION_CLOSED) {
        for (int32_t i = 1; i < raft->conf.member_count; i++) {
            desk_append(desk, i, raft->leadership_term_id, position);
        }
        desk->input.recorded_position = position;
        desk->input.consumed_position = position;
        desk->input.published_position = position;
        if (desk->operation.kind != RAFT_OPERATION_NONE) {
            desk_finish(desk, desk->operation.kind);
        } else {
            desk_run(desk, 1);
        }
    }
}

struct cluster_new_leadership_term desk_announcement(const struct desk *desk, int64_t term_id,
                                                     int64_t base, int64_t end) {
    return (struct cluster_new_leadership_term){
        .log_leadership_term_id = desk->raft.log_term_id,
        .next_leadership_term_id = term_id,
        .next_term_base_log_position = base,
        .next_log_position = RAFT_NULL,
        .leadership_term_id = term_id,
        .term_base_log_position = base,
        .log_position = end,
        .leader_recording_id = RECORDING_ID,
        .leader_member_id = 1,
        .log_session_id = SESSION_ID,
        .app_version = 1,
    };
}

void desk_follow(struct desk *desk, int64_t term_id) {
    struct raft *raft = &desk->raft;
    int64_t end = raft->append_position;
    struct cluster_new_leadership_term announcement = desk_announcement(desk, term_id, end, end);
    announcement.commit_position = end;
    raft_on_new_term(raft, &announcement);
    collect(desk);
    while (raft->election.state != ELECTION_CLOSED) {
        if (desk->operation.kind != RAFT_OPERATION_NONE) {
            desk_finish(desk, desk->operation.kind);
        } else {
            desk_run(desk, 1);
        }
        desk->input.recorded_position = end;
        desk->input.consumed_position = end;
    }
    cr_assert_eq(raft->leader_id, 1);
}

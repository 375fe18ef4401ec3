/* The core's front: start, dispatch of messages to the election or to the running term, and the
 * few things that both do: reports of members, quorum, announcements, the list of actions.
 *
 * A member counts for the commit position only by a report that it made in the present term: its
 * position then is one in this leader's log. A position from an older term may be that of a
 * divergent tail (hazard H3, known bug 1). The commit position never goes down (known bug 3).
 */
#include "consensusd/core/raft.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/core/raft_internal.h"

#define POSITION_ALIGNMENT 32

struct raft_action *raft_push(struct raft *raft, enum raft_action_kind kind, int32_t member) {
    assert(raft->action_count < RAFT_ACTIONS_MAX);
    struct raft_action *action = &raft->actions[raft->action_count++];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    action->member = member;
    return action;
}

void raft_report(struct raft *raft, const char *text) {
    struct raft_action *action = raft_push(raft, RAFT_ACTION_REPORT, raft->conf.own_index);
    snprintf(action->text, sizeof action->text, "%s", text);
}

void raft_start_operation(struct raft *raft, const struct raft_operation *operation) {
    int64_t sequence = raft->operation.sequence + 1;
    raft->operation = *operation;
    raft->operation.sequence = sequence;
    raft->election.is_operation_done = false;
    raft_push(raft, RAFT_ACTION_START, raft->conf.own_index)->operation = raft->operation;
}

void raft_record_term(struct raft *raft, int64_t term_id, int64_t base, int64_t end) {
    struct raft_action *action = raft_push(raft, RAFT_ACTION_RECORD_TERM, raft->conf.own_index);
    action->term = (struct raft_term){term_id, base, end};
    raft->log_term_id = max_i64(raft->log_term_id, term_id);
}

void raft_persist_ballot(struct raft *raft) {
    raft_push(raft, RAFT_ACTION_PERSIST_BALLOT, raft->conf.own_index)->ballot = raft->ballot;
}

/* What the leader calls committed is so in the own log when that is known to be equal to his: once
 * his term is in the own recording log. */
void raft_note_committed(struct raft *raft) {
    int64_t committed = raft->commit_position;
    if (raft->log_term_id == raft->leadership_term_id) {
        int64_t held = raft->input.recorded_position;
        committed = max_i64(committed, min_i64(raft->notified_commit_position, held));
    }
    raft->known_committed = max_i64(raft->known_committed, committed);
}

void raft_set_commit(struct raft *raft, int64_t position) {
    raft->commit_position = max_i64(raft->commit_position, position);
    raft_note_committed(raft);
}

void raft_store_report(struct raft *raft, int32_t member, int64_t term_id, int64_t position) {
    raft->members[member].leadership_term_id = term_id;
    raft->members[member].log_position = position;
    raft->members[member].heard_ns = raft_now_ns(raft);
}

int64_t raft_quorum_position(const struct raft *raft, int64_t bound) {
    int64_t positions[RAFT_MEMBERS_MAX];
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        const struct raft_member *member = &raft->members[i];
        bool counts =
            raft_has_heard(raft, member) && member->leadership_term_id == raft->leadership_term_id;
        positions[i] = counts ? member->log_position : 0;
    }
    return min_i64(quorum_position(positions, raft->conf.member_count), bound);
}

int32_t raft_active_count(const struct raft *raft) {
    int32_t count = 0;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        if (i == raft->conf.own_index || raft_has_heard(raft, &raft->members[i])) {
            count++;
        }
    }
    return count;
}

void raft_send_commit(struct raft *raft, int64_t position) {
    struct raft_action *action = raft_push(raft, RAFT_ACTION_SEND_COMMIT, RAFT_ALL_MEMBERS);
    action->commit = (struct cluster_commit_position){
        .leadership_term_id = raft->leadership_term_id,
        .log_position = position,
        .leader_member_id = raft_own_id(raft),
    };
    raft->next_report_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_interval_ns;
}

/* What comes after `log_term_id` in the own recording log (3.5, end of 3.6.3). While the election
 * runs, the own new term is announced as open without an entry, although it is already on disk. */
static void fill_next_term(const struct raft *raft, int64_t log_term_id,
                           struct cluster_new_leadership_term *message) {
    struct raft_term next;
    bool is_known = raft->conf.find_term(raft->conf.context, log_term_id + 1, &next);
    bool is_in_election = raft_is_in_election(raft);
    if (!is_in_election && log_term_id == raft->leadership_term_id) {
        message->next_leadership_term_id = RAFT_NULL;
        message->next_term_base_log_position = RAFT_NULL;
        message->next_log_position = RAFT_NULL;
        return;
    }
    if (!is_known || (is_in_election && next.term_id == raft->leadership_term_id)) {
        next = (struct raft_term){raft->leadership_term_id, raft->election.term_base_position,
                                  RAFT_NULL};
    } else if (is_in_election && next.end_position == RAFT_NULL) {
        next.end_position = raft->append_position;
    }
    message->next_leadership_term_id = next.term_id;
    message->next_term_base_log_position = next.base_position;
    message->next_log_position = next.end_position;
}

void raft_send_new_term(struct raft *raft, int32_t member, int64_t log_term_id) {
    bool is_in_election = raft_is_in_election(raft);
    struct cluster_new_leadership_term message = {
        .log_leadership_term_id = log_term_id,
        .leadership_term_id = raft->leadership_term_id,
        .term_base_log_position = raft->election.term_base_position,
        .log_position = is_in_election ? raft->append_position : raft->input.published_position,
        .leader_recording_id = raft->log_recording_id,
        .timestamp = raft->input.cluster_time,
        .leader_member_id = raft_own_id(raft),
        .log_session_id = raft->log_session_id,
        .app_version = raft->conf.app_version,
        .is_startup = is_in_election && raft->election.is_leader_startup
                          ? CLUSTER_BOOLEAN_TYPE_TRUE
                          : CLUSTER_BOOLEAN_TYPE_FALSE,
        .commit_position = is_in_election ? raft->election.announced_commit : raft->commit_position,
    };
    fill_next_term(raft, log_term_id, &message);
    raft_push(raft, RAFT_ACTION_SEND_NEW_TERM, member)->new_term = message;
}

void raft_report_append(struct raft *raft, int64_t position, uint8_t flags) {
    int32_t leader = raft_member_index(raft, raft->leader_id);
    bool is_due = raft_now_ns(raft) >= raft->next_report_ns;
    if (leader < 0 || (position <= raft->reported_position && !is_due) ||
        !raft_is_connected(raft, leader)) {
        return;
    }
    struct raft_action *action = raft_push(raft, RAFT_ACTION_SEND_APPEND, leader);
    action->append = (struct cluster_append_position){
        .leadership_term_id = raft->leadership_term_id,
        .log_position = position,
        .follower_member_id = raft_own_id(raft),
        .flags = flags,
    };
    raft->reported_position = position;
    raft->next_report_ns = raft_now_ns(raft) + raft->conf.leader_heartbeat_interval_ns;
}

/* -- votes that wait to be sent -- */

void raft_send_vote(struct raft *raft, int32_t member, const struct cluster_vote *vote) {
    raft->kept_votes[member] = (struct raft_kept_vote){
        .vote = *vote, .until_ns = raft_now_ns(raft) + raft->conf.election_timeout_ns};
    raft_push(raft, RAFT_ACTION_SEND_VOTE, member)->vote = *vote;
}

void raft_on_unsent_vote(struct raft *raft, int32_t member, const struct cluster_vote *vote) {
    struct raft_kept_vote *kept = &raft->kept_votes[member];
    kept->is_kept = kept->vote.candidate_term_id == vote->candidate_term_id;
}

static int send_kept_votes(struct raft *raft) {
    int work = 0;
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        struct raft_kept_vote *kept = &raft->kept_votes[i];
        if (kept->is_kept && raft_now_ns(raft) >= kept->until_ns) {
            kept->is_kept = false;
        } else if (kept->is_kept && raft_is_connected(raft, i)) {
            kept->is_kept = false; /* until it is told to be unsent again */
            raft_push(raft, RAFT_ACTION_SEND_VOTE, i)->vote = kept->vote;
            work++;
        }
    }
    return work;
}

/* -- life -- */

void raft_init(struct raft *raft, const struct raft_conf *conf, const struct raft_start *start) {
    assert(conf->member_count >= 1 && conf->member_count <= RAFT_MEMBERS_MAX);
    assert(conf->own_index >= 0 && conf->own_index < conf->member_count);
    memset(raft, 0, sizeof *raft);
    raft->conf = *conf;
    for (int32_t i = 0; i < conf->member_count; i++) {
        raft->members[i] = (struct raft_member){
            .id = conf->member_ids[i], .leadership_term_id = RAFT_NULL, .log_position = RAFT_NULL};
    }
    raft->input.now_ns = start->now_ns;
    raft->input.may_elect = true;
    raft->input.recorded_position = RAFT_NULL;
    raft->leader_id = RAFT_NULL;
    raft->leadership_term_id = start->leadership_term_id;
    raft->log_term_id = start->leadership_term_id;
    raft->ballot = start->ballot;
    raft->append_position = start->append_position;
    raft->log_position = start->log_position;
    raft->commit_position = start->log_position;
    raft->known_committed = start->log_position;
    raft->log_recording_id = start->log_recording_id;
    raft->leader_recording_id = RAFT_NULL;
    raft->leader_heard_ns = start->now_ns;
    raft->election.state = ELECTION_CLOSED;
    election_begin(raft);
    raft->election.is_node_startup = true;
    raft->election.is_extended_canvass = true;
}

void raft_begin_cycle(struct raft *raft, const struct raft_input *input) {
    assert(raft->action_count == 0);
    assert(input->now_ns >= raft->input.now_ns);
    raft->input = *input;
}

int raft_step(struct raft *raft) {
    if (raft->is_election_wanted && !raft_is_in_election(raft) && raft->input.may_elect) {
        raft_begin_election(raft, raft->election.graceful_leader_id, "put off until now");
    }
    int work = send_kept_votes(raft);
    return work + (raft_is_in_election(raft) ? election_step(raft) : tenure_step(raft));
}

void raft_begin_election(struct raft *raft, int32_t graceful_leader_id, const char *reason) {
    if (raft_is_in_election(raft)) {
        return;
    }
    if (!raft->input.may_elect) {
        raft->is_election_wanted = true;
        raft->election.graceful_leader_id = graceful_leader_id;
        return;
    }
    raft->is_election_wanted = false;
    raft_report(raft, reason);
    election_begin(raft);
    raft->election.graceful_leader_id = graceful_leader_id;
}

bool raft_is_leader_silent(const struct raft *raft) {
    return raft_now_ns(raft) - raft->leader_heard_ns >= raft->conf.leader_heartbeat_timeout_ns;
}

int64_t raft_consume_limit(const struct raft *raft) {
    return min_i64(raft->notified_commit_position, raft->input.recorded_position);
}

int32_t raft_member_index(const struct raft *raft, int32_t member_id) {
    for (int32_t i = 0; i < raft->conf.member_count; i++) {
        if (raft->conf.member_ids[i] == member_id) {
            return i;
        }
    }
    return -1;
}

/* -- messages: known senders other than ourselves, and values that can be true -- */

static int32_t sender(const struct raft *raft, int32_t member_id) {
    int32_t member = raft_member_index(raft, member_id);
    return member == raft->conf.own_index ? -1 : member;
}

static bool is_position(int64_t position) {
    return position >= 0 && position % POSITION_ALIGNMENT == 0;
}

static bool is_plausible_term(const struct raft *raft, int64_t term_id) {
    int64_t newest = max_i64(raft->leadership_term_id, raft->ballot.candidate_term_id);
    return term_id >= 0 && term_id <= newest + RAFT_TERM_JUMP_MAX;
}

static bool is_listening(const struct raft *raft) {
    return raft->election.state != ELECTION_INIT;
}

void raft_on_canvass(struct raft *raft, const struct cluster_canvass_position *message) {
    int32_t member = sender(raft, message->follower_member_id);
    if (member < 0 || !is_listening(raft) || !is_position(message->log_position) ||
        message->log_leadership_term_id < RAFT_NULL) {
        return;
    }
    if (raft_is_in_election(raft)) {
        election_on_canvass(raft, member, message);
    } else {
        tenure_on_canvass(raft, member, message);
    }
}

void raft_on_request_vote(struct raft *raft, const struct cluster_request_vote *message) {
    int32_t member = sender(raft, message->candidate_member_id);
    if (member < 0 || !is_listening(raft) || !is_position(message->log_position) ||
        !is_plausible_term(raft, message->candidate_term_id)) {
        return;
    }
    if (raft_is_in_election(raft)) {
        election_on_request_vote(raft, member, message);
    } else {
        tenure_on_request_vote(raft, message);
    }
}

void raft_on_vote(struct raft *raft, const struct cluster_vote *message) {
    int32_t member = sender(raft, message->follower_member_id);
    if (member >= 0 && is_listening(raft) && raft_is_in_election(raft)) {
        election_on_vote(raft, member, message);
    }
}

void raft_on_new_term(struct raft *raft, const struct cluster_new_leadership_term *message) {
    int32_t member = sender(raft, message->leader_member_id);
    if (member < 0 || !is_listening(raft) ||
        !is_plausible_term(raft, message->leadership_term_id) ||
        !is_position(message->term_base_log_position) || !is_position(message->log_position) ||
        message->log_position < message->term_base_log_position) {
        return;
    }
    if (raft_is_in_election(raft)) {
        election_on_new_term(raft, member, message);
    } else {
        tenure_on_new_term(raft, message);
    }
}

void raft_on_append(struct raft *raft, const struct cluster_append_position *message) {
    int32_t member = sender(raft, message->follower_member_id);
    if (member < 0 || !is_listening(raft) || !is_position(message->log_position)) {
        return;
    }
    if (raft_is_in_election(raft)) {
        election_on_append(raft, member, message);
    } else {
        tenure_on_append(raft, member, message);
    }
}

void raft_on_commit(struct raft *raft, const struct cluster_commit_position *message) {
    int32_t member = sender(raft, message->leader_member_id);
    if (member < 0 || !is_listening(raft) || message->log_position < 0) {
        return;
    }
    if (raft_is_in_election(raft)) {
        election_on_commit(raft, message);
    } else {
        tenure_on_commit(raft, message);
    }
}

void raft_on_result(struct raft *raft, const struct raft_result *result) {
    if (raft_is_in_election(raft) && result->sequence == raft->operation.sequence) {
        election_on_result(raft, result);
    }
}

void raft_on_term_entry(struct raft *raft, int64_t term_id, int64_t base_position) {
    if (term_id > raft->log_term_id) {
        raft_record_term(raft, term_id, base_position, RAFT_NULL);
    }
}

void raft_on_consumed(struct raft *raft, int64_t position) {
    raft->input.consumed_position = position;
    raft_set_commit(raft, position);
}

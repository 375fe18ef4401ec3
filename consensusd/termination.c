/* The end of the cluster by SHUTDOWN or ABORT (cluster.md 3.14): everybody consumes the log up to
 * the termination position, the services end there and acknowledge, the followers tell the leader,
 * the leader goes last, or when the time-out is over.
 *
 * Safer than the original: the leader repeats the position to who has not acknowledged it, and a
 * follower that cannot reach it, because the leader died, takes part in elections again. A module
 * that is stopped meanwhile, by the manager that saw its service end, still writes where the term
 * ended: without that the original leaves the term of its leader open now and then.
 */
#include <errno.h>

#include "consensusd/consensus.h"

void termination_begin(struct consensus *consensus, int64_t position) {
    consensus->termination_position = position;
    consensus->termination_term_id = consensus->raft.leadership_term_id;
    consensus->termination_deadline_ns =
        consensus->now_ns + consensus->conf->termination_timeout_ns;
    consensus->termination_repeat_ns =
        consensus->now_ns + consensus->conf->leader_heartbeat_interval_ns;
    consensus->terminated_members = UINT32_C(1) << consensus->own_index;
    consensus_log(consensus, CONSENSUS_LOG_INFO, "the cluster ends at log position %lld",
                  (long long)position);
}

void termination_on_position(struct consensus *consensus,
                             const struct cluster_termination_position *message) {
    const struct raft *raft = &consensus->raft;
    bool is_follower = raft->role == CLUSTER_ROLE_FOLLOWER && raft->leader_id != RAFT_NULL;
    if (!is_follower || message->leadership_term_id != raft->leadership_term_id ||
        message->log_position < consensus->consumed_position ||
        consensus->termination_position != RAFT_NULL) {
        return;
    }
    termination_begin(consensus, message->log_position);
}

void termination_on_ack(struct consensus *consensus,
                        const struct cluster_termination_ack *message) {
    int32_t member = raft_member_index(&consensus->raft, message->member_id);
    if (member < 0 || consensus->raft.role != CLUSTER_ROLE_LEADER ||
        consensus->termination_position == RAFT_NULL ||
        message->leadership_term_id != consensus->raft.leadership_term_id ||
        message->log_position < consensus->termination_position) {
        return;
    }
    consensus->terminated_members |= UINT32_C(1) << member;
}

/* The term ends here; nothing is left to replay but the log itself. */
static int record_end(struct consensus *consensus, struct tern_error *error) {
    int64_t term_id = consensus->termination_term_id;
    if (recording_log_find_term(&consensus->recording_log, term_id) == NULL) {
        return 0;
    }
    return recording_log_commit_term(&consensus->recording_log, term_id,
                                     consensus->termination_position, error);
}

static void finish(struct consensus *consensus) {
    struct tern_error error = {0};
    if (record_end(consensus, &error) < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
        return;
    }
    if (consensus->recording.recording_id != RAFT_NULL) {
        (void)tern_archive_send_stop_recording_by_id(consensus->archive.archive,
                                                     consensus->recording.recording_id);
    }
    consensus_set_state(consensus, MODULE_STATE_CLOSED);
    consensus_end(consensus, CONSENSUS_EXIT_ORDERLY, &error);
}

static bool send_ack(struct consensus *consensus) {
    uint8_t buffer[CLUSTER_TERMINATION_ACK_LENGTH_MIN];
    const struct cluster_termination_ack message = {
        .leadership_term_id = consensus->termination_term_id,
        .log_position = consensus->termination_position,
        .member_id = consensus->conf->member_id,
    };
    int32_t length = cluster_termination_ack_encode(&message, buffer, sizeof buffer);
    int32_t leader = raft_member_index(&consensus->raft, consensus->raft.leader_id);
    return leader < 0 || leader == consensus->own_index ||
           member_link_send(&consensus->link, leader, buffer, length);
}

static int step_services(struct consensus *consensus) {
    if (!consensus->is_service_termination_sent) {
        if (consensus->sync.is_waiting ||
            !service_link_terminate(&consensus->services, consensus->termination_position)) {
            return 0;
        }
        consensus->is_service_termination_sent = true;
        consensus_expect_acks(consensus, consensus->termination_position);
        return 1;
    }
    if (!consensus_are_acks_in(consensus)) {
        return 0;
    }
    consensus->has_services_terminated = true;
    return 1;
}

void termination_send_position(struct consensus *consensus) {
    uint8_t buffer[CLUSTER_TERMINATION_POSITION_LENGTH_MIN];
    const struct cluster_termination_position message = {consensus->termination_term_id,
                                                         consensus->termination_position};
    int32_t length = cluster_termination_position_encode(&message, buffer, sizeof buffer);
    for (int32_t i = 0; i < consensus->members.count; i++) {
        if ((consensus->terminated_members >> i & 1) == 0) {
            member_link_send(&consensus->link, i, buffer, length);
        }
    }
    consensus->termination_repeat_ns =
        consensus->now_ns + consensus->conf->leader_heartbeat_interval_ns;
}

/* A follower that does not stand at the position yet. */
static int await_position(struct consensus *consensus, bool is_late) {
    if (!consensus_may_consume(consensus)) {
        return 0;
    }
    if (consensus->consumed_position >= consensus->termination_position) {
        consensus_set_state(consensus, MODULE_STATE_TERMINATING);
        return 1;
    }
    if (is_late && raft_is_leader_silent(&consensus->raft)) {
        consensus_log(consensus, CONSENSUS_LOG_WARNING,
                      "the leader is gone before the position at which the cluster was to end");
        consensus->termination_position = RAFT_NULL;
        return 1;
    }
    return 0;
}

/* Runs in TERMINATING, and in what comes before it once the position is known. */
int termination_step(struct consensus *consensus) {
    bool is_leader = consensus->raft.role == CLUSTER_ROLE_LEADER;
    bool is_late = consensus->now_ns >= consensus->termination_deadline_ns;
    if (is_leader && consensus->now_ns >= consensus->termination_repeat_ns) {
        termination_send_position(consensus);
    }
    if (consensus->state != MODULE_STATE_TERMINATING) {
        return is_leader ? 0 : await_position(consensus, is_late);
    }
    if (!consensus->has_services_terminated) {
        int work = step_services(consensus);
        if (!is_late) {
            return work;
        }
    }
    if (is_leader) {
        uint32_t all = (UINT32_C(1) << consensus->members.count) - 1;
        if (consensus->terminated_members != all && !is_late) {
            return 0;
        }
    } else if (!send_ack(consensus) && !is_late) {
        return 0;
    }
    finish(consensus);
    return 1;
}

/* Stopped from outside: what is committed up to the position is all that the term will ever hold.
 */
void termination_close(struct consensus *consensus) {
    struct tern_error error;
    bool is_over = consensus->stage == CONSENSUS_RUN && consensus->state != MODULE_STATE_CLOSED &&
                   consensus->termination_position != RAFT_NULL &&
                   consensus->raft.leadership_term_id == consensus->termination_term_id &&
                   consensus->raft.commit_position >= consensus->termination_position;
    if (!is_over) {
        return;
    }
    (void)send_ack(consensus);
    if (record_end(consensus, &error) < 0) {
        consensus_log(consensus, CONSENSUS_LOG_ERROR, "%s", error.text);
    }
}

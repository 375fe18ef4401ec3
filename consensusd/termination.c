/* The end of the cluster by SHUTDOWN or ABORT (cluster.md 3.14): everybody consumes the log up to
 * the termination position, the services end there and acknowledge, the followers tell the leader,
 * the leader goes last, or when the time-out is over.
 */
#include <errno.h>

#include "consensusd/consensus.h"

void termination_begin(struct consensus *consensus, int64_t position) {
    consensus->termination_position = position;
    consensus->termination_term_id = consensus->raft.leadership_term_id;
    consensus->termination_deadline_ns =
        consensus->now_ns + consensus->conf->termination_timeout_ns;
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
static void finish(struct consensus *consensus) {
    struct tern_error error = {0};
    struct raft_term term;
    int64_t position = consensus->termination_position;
    if (consensus->raft.conf.find_term(consensus->raft.conf.context, consensus->termination_term_id,
                                       &term) &&
        recording_log_commit_term(&consensus->recording_log, consensus->termination_term_id,
                                  position, &error) < 0) {
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

/* Runs in TERMINATING, and on a follower that waits to get there. */
int termination_step(struct consensus *consensus) {
    bool is_leader = consensus->raft.role == CLUSTER_ROLE_LEADER;
    if (consensus->state != MODULE_STATE_TERMINATING) {
        if (is_leader || !consensus_may_consume(consensus) ||
            consensus->consumed_position < consensus->termination_position) {
            return 0;
        }
        consensus_set_state(consensus, MODULE_STATE_TERMINATING);
    }
    bool is_late = consensus->now_ns >= consensus->termination_deadline_ns;
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

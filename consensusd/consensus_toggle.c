/* Actions of the cluster: suspend, resume, snapshot, shutdown, abort by the control toggle, and the
 * node toggle (cluster.md 3.12, 3.13). The leader appends an entry and changes its state at once;
 * members change theirs when they come to the entry. Uncommitted changes are undone with the
 * leadership (3.16).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"

/* -- what is not committed yet -- */

static void remember_action(struct consensus *consensus, int64_t position) {
    if (consensus->uncommitted_count < UNCOMMITTED_ACTIONS_MAX) {
        consensus->uncommitted[consensus->uncommitted_count++] =
            (struct uncommitted_action){position, consensus->state};
    }
}

void consensus_on_action_committed(struct consensus *consensus, int64_t position) {
    int32_t kept = 0;
    for (int32_t i = 0; i < consensus->uncommitted_count; i++) {
        if (consensus->uncommitted[i].position > position) {
            consensus->uncommitted[kept++] = consensus->uncommitted[i];
        }
    }
    consensus->uncommitted_count = kept;
}

void consensus_roll_back_actions(struct consensus *consensus, int64_t position) {
    consensus_on_action_committed(consensus, position);
    if (consensus->uncommitted_count == 0) {
        return;
    }
    if (consensus->taker.state != SNAPSHOT_TAKER_IDLE) {
        /* No service has come to the entry, so none owes an acknowledgement. */
        snapshot_taker_close(&consensus->taker, &consensus->archive);
        consensus->sync.is_waiting = false;
    }
    if (consensus->is_shutdown_pending) {
        consensus->is_shutdown_pending = false;
        consensus->termination_position = RAFT_NULL;
    }
    consensus_set_state(consensus, consensus->uncommitted[0].state_before);
    consensus->uncommitted_count = 0;
}

/* -- control toggle -- */

static int64_t append_action(struct consensus *consensus, enum cluster_cluster_action action,
                             int32_t flags) {
    struct cluster_cluster_action_request request = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .timestamp = consensus->cluster_time,
        .action = action,
        .flags = flags,
    };
    if (consensus->uncommitted_count == UNCOMMITTED_ACTIONS_MAX) {
        return TERN_PUBLICATION_BACK_PRESSURED;
    }
    int64_t position = log_publisher_append_action(&consensus->publisher, &request);
    if (position > 0) {
        remember_action(consensus, position);
    }
    return position;
}

static int toggle_suspend(struct consensus *consensus) {
    if (append_action(consensus, CLUSTER_CLUSTER_ACTION_SUSPEND, 0) <= 0) {
        return 0;
    }
    consensus_set_state(consensus, MODULE_STATE_SUSPENDED);
    return 1;
}

static int toggle_resume(struct consensus *consensus) {
    if (append_action(consensus, CLUSTER_CLUSTER_ACTION_RESUME, 0) <= 0) {
        return 0;
    }
    consensus_set_state(consensus, MODULE_STATE_ACTIVE);
    module_sessions_refresh(&consensus->sessions, consensus->now_ns);
    module_counters_set(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                        CONTROL_TOGGLE_NEUTRAL);
    return 1;
}

static int toggle_snapshot(struct consensus *consensus, bool is_shutdown) {
    int64_t position = append_action(consensus, CLUSTER_CLUSTER_ACTION_SNAPSHOT, 0);
    if (position <= 0) {
        return 0;
    }
    snapshot_taker_begin(consensus, position);
    if (is_shutdown) {
        consensus->is_shutdown_pending = true;
        termination_begin(consensus, position);
        termination_send_position(consensus);
    }
    return 1;
}

static int toggle_abort(struct consensus *consensus) {
    termination_begin(consensus, log_publisher_position(&consensus->publisher));
    termination_send_position(consensus);
    consensus_set_state(consensus, MODULE_STATE_TERMINATING);
    return 1;
}

static int toggle_standby_snapshot(struct consensus *consensus) {
    if (append_action(consensus, CLUSTER_CLUSTER_ACTION_SNAPSHOT, 1) <= 0) {
        return 0;
    }
    module_counters_set(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                        CONTROL_TOGGLE_NEUTRAL);
    return 1;
}

int consensus_check_control_toggle(struct consensus *consensus) {
    int64_t toggle = module_counters_value(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE);
    if (consensus->state == MODULE_STATE_SUSPENDED) {
        return toggle == CONTROL_TOGGLE_RESUME ? toggle_resume(consensus) : 0;
    }
    if (consensus->state != MODULE_STATE_ACTIVE) {
        return 0;
    }
    switch (toggle) {
    case CONTROL_TOGGLE_SUSPEND:
        return toggle_suspend(consensus);
    case CONTROL_TOGGLE_SNAPSHOT:
        return toggle_snapshot(consensus, false);
    case CONTROL_TOGGLE_SHUTDOWN:
        return toggle_snapshot(consensus, true);
    case CONTROL_TOGGLE_ABORT:
        return toggle_abort(consensus);
    case CONTROL_TOGGLE_STANDBY_SNAPSHOT:
        return toggle_standby_snapshot(consensus);
    default:
        return 0;
    }
}

void consensus_snapshot_ended(struct consensus *consensus, bool is_taken) {
    if (is_taken) {
        module_counters_add(&consensus->counters, MODULE_COUNTER_SNAPSHOTS, 1);
    }
    module_sessions_refresh(&consensus->sessions, consensus->now_ns);
    if (consensus->is_shutdown_pending) {
        consensus->is_shutdown_pending = false;
        consensus->termination_deadline_ns =
            consensus->now_ns + consensus->conf->termination_timeout_ns;
        consensus_set_state(consensus, MODULE_STATE_TERMINATING);
        return;
    }
    consensus_set_state(consensus, MODULE_STATE_ACTIVE);
    if (consensus_is_leading(consensus)) {
        module_counters_set(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                            CONTROL_TOGGLE_NEUTRAL);
    }
}

/* -- node toggle -- */

/* Ask for the start position of every recording that a valid snapshot names; an unknown recording
 * makes the snapshot useless. One request at a time. */
static int validate_step(struct consensus *consensus) {
    struct recording_log *log = &consensus->recording_log;
    struct archive_request *request = &consensus->validation;
    struct tern_error error;
    if (request->state == ARCHIVE_REQUEST_PENDING) {
        return 0;
    }
    bool is_unknown =
        request->state == ARCHIVE_REQUEST_FAILED &&
        (request->error.code == TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING ||
         request->error.code == -ENOENT);
    if (is_unknown && recording_log_invalidate(log, consensus->validation_index, &error) < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
        return 0;
    }
    request->state = ARCHIVE_REQUEST_IDLE;
    for (int32_t i = consensus->validation_index + 1; i < log->count; i++) {
        if (log->entries[i].type != RECORDING_LOG_SNAPSHOT || !log->entries[i].is_valid) {
            continue;
        }
        int64_t sent = tern_archive_send_start_position(consensus->archive.archive,
                                                        log->entries[i].recording_id);
        if (archive_link_sent(&consensus->archive, request, sent, consensus->now_ns) > 0) {
            consensus->validation_index = i;
        }
        return 1;
    }
    consensus->is_validating = false;
    return 1;
}

int consensus_check_node_toggle(struct consensus *consensus) {
    if (consensus->is_validating) {
        return validate_step(consensus);
    }
    struct tern_error error;
    int64_t toggle = module_counters_value(&consensus->counters, MODULE_COUNTER_NODE_TOGGLE);
    if (toggle == NODE_TOGGLE_VALIDATE_RECORDING_LOG) {
        consensus->is_validating = true;
        consensus->validation_index = -1;
        module_counters_set(&consensus->counters, MODULE_COUNTER_NODE_TOGGLE, NODE_TOGGLE_NEUTRAL);
        return 1;
    }
    if (toggle == NODE_TOGGLE_REPLICATE_STANDBY_SNAPSHOT) {
        error_set(&error, -ENOTSUP, "replication of standby snapshots is not supported yet");
        consensus_count_error(consensus, &error);
        module_counters_set(&consensus->counters, MODULE_COUNTER_NODE_TOGGLE, NODE_TOGGLE_NEUTRAL);
        return 1;
    }
    return 0;
}

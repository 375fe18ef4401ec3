/* Between the pure core and the world: what the core is told at the start of a cycle, and how the
 * actions that it asks for are carried out, strictly in their order. A ballot or a term that cannot
 * be made durable ends the module: nothing that depends on it may be sent.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"

#define LIVE_WINDOW_MAX (INT64_C(32) << 20) /* cluster.md 3.6.2, state 13 */
#define MESSAGE_LENGTH_MAX 512

static void note_recorded_position(struct consensus *consensus) {
    if (consensus->recording_counter_id == TERN_NULL_COUNTER_ID) {
        return;
    }
    const tern_counters_reader *counters = tern_client_counters(consensus->client);
    int64_t position = tern_counters_value(counters, consensus->recording_counter_id);
    /* The counter is freed when the recording ends, and may then be somebody else's. */
    if (tern_archive_counter_recording_id(consensus->client, consensus->recording_counter_id) ==
        consensus->recording.recording_id) {
        consensus->recorded_position = max_i64(consensus->recorded_position, position);
    } else {
        consensus->recording_counter_id = TERN_NULL_COUNTER_ID;
    }
}

static int64_t live_window(const struct consensus *consensus) {
    int64_t term_length =
        consensus->follower.image == NULL ? 0 : tern_image_term_length(consensus->follower.image);
    return min_i64(term_length / 4, LIVE_WINDOW_MAX);
}

/* A snapshot is not interrupted once it is certain to be taken by all. */
static bool may_elect(const struct consensus *consensus) {
    return consensus_may_consume(consensus) ||
           (consensus->state == MODULE_STATE_SNAPSHOT &&
            consensus->raft.commit_position < consensus->taker.log_position);
}

void consensus_begin_core_cycle(struct consensus *consensus) {
    note_recorded_position(consensus);
    const struct raft_input input = {
        .now_ns = consensus->now_ns,
        .cluster_time = consensus->cluster_time,
        .connected = member_link_connected(&consensus->link),
        .may_elect = may_elect(consensus),
        .is_terminating = consensus->termination_position != RAFT_NULL,
        .recorded_position = consensus->recorded_position,
        .consumed_position = consensus->consumed_position,
        .published_position = log_publisher_is_open(&consensus->publisher)
                                  ? log_publisher_position(&consensus->publisher)
                                  : 0,
        .live_window = live_window(consensus),
    };
    raft_begin_cycle(&consensus->raft, &input);
}

void consensus_tell_result(struct consensus *consensus, const struct raft_result *result) {
    raft_on_result(&consensus->raft, result);
    consensus_carry_out(consensus);
}

/* -- durable actions -- */

static void persist_ballot(struct consensus *consensus, const struct raft_ballot *ballot) {
    struct tern_error error;
    int result = node_state_write(&consensus->node_state, ballot, consensus->raft.append_position,
                                  clock_epoch_ms(consensus->params.io.clock));
    if (result < 0) {
        error_set_errno(&error, -result, "cannot write %s", NODE_STATE_FILE_NAME);
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
    }
}

static void record_term(struct consensus *consensus, const struct raft_term *term) {
    struct tern_error error;
    const struct recording_log_coherence want = {
        .recording_id = consensus->recording.recording_id,
        .initial_term_id = consensus->initial_term_id,
        .initial_base_position = consensus->initial_base_position,
        .term_id = term->term_id,
        .base_position = term->base_position,
        .log_position = term->end_position,
        .timestamp = consensus->cluster_time,
    };
    if (recording_log_ensure_coherent(&consensus->recording_log, &want, &error) < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
    }
}

/* -- messages -- */

static void send_to(struct consensus *consensus, const struct raft_action *action,
                    const uint8_t *message, int32_t length) {
    assert(length > 0);
    if (action->member == RAFT_ALL_MEMBERS) {
        member_link_broadcast(&consensus->link, message, length);
    } else if (!member_link_send(&consensus->link, action->member, message, length) &&
               action->kind == RAFT_ACTION_SEND_VOTE) {
        raft_on_unsent_vote(&consensus->raft, action->member, &action->vote);
    }
}

static void send_catchup(struct consensus *consensus, const struct raft_action *action) {
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    char endpoint[300];
    if (log_follower_endpoint(&consensus->follower, endpoint, sizeof endpoint) < 0) {
        return; /* the core times the catch-up out */
    }
    const struct cluster_catchup_position message = {
        .leadership_term_id = action->term.term_id,
        .log_position = action->term.base_position,
        .follower_member_id = consensus->conf->member_id,
        .catchup_endpoint = {endpoint, (int32_t)strlen(endpoint)},
    };
    send_to(consensus, action, buffer,
            cluster_catchup_position_encode(&message, buffer, sizeof buffer));
}

static void send_message(struct consensus *consensus, const struct raft_action *action) {
    uint8_t buffer[MESSAGE_LENGTH_MAX];
    int32_t length = 0;
    switch (action->kind) {
    case RAFT_ACTION_SEND_CANVASS:
        length = cluster_canvass_position_encode(&action->canvass, buffer, sizeof buffer);
        break;
    case RAFT_ACTION_SEND_REQUEST_VOTE:
        length = cluster_request_vote_encode(&action->request_vote, buffer, sizeof buffer);
        break;
    case RAFT_ACTION_SEND_VOTE:
        length = cluster_vote_encode(&action->vote, buffer, sizeof buffer);
        break;
    case RAFT_ACTION_SEND_NEW_TERM:
        length = cluster_new_leadership_term_encode(&action->new_term, buffer, sizeof buffer);
        break;
    case RAFT_ACTION_SEND_APPEND:
        length = cluster_append_position_encode(&action->append, buffer, sizeof buffer);
        break;
    case RAFT_ACTION_SEND_COMMIT:
        length = cluster_commit_position_encode(&action->commit, buffer, sizeof buffer);
        break;
    default:
        assert(false);
    }
    send_to(consensus, action, buffer, length);
}

/* -- beginning and end of an election -- */

static void on_election_began(struct consensus *consensus) {
    module_counters_add(&consensus->counters, MODULE_COUNTER_ELECTION_COUNT, 1);
    module_counters_set(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                        CONTROL_TOGGLE_INACTIVE);
    module_ingress_close(&consensus->ingress);
    catchups_stop(consensus, -1);
    module_sessions_roll_back(consensus, consensus->raft.commit_position);
    consensus_roll_back_actions(consensus, consensus->raft.commit_position);
}

static void on_election_closed(struct consensus *consensus) {
    struct raft *raft = &consensus->raft;
    struct tern_error error;
    bool is_leader = raft->role == CLUSTER_ROLE_LEADER;
    consensus->current_term_id = raft->leadership_term_id;
    consensus->term_base_position = raft->election.term_base_position;
    if (is_leader) {
        module_counters_set(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                            CONTROL_TOGGLE_NEUTRAL);
        module_sessions_on_leader(consensus, raft->election.is_leader_startup);
    }
    module_counters_set(&consensus->counters, MODULE_COUNTER_NODE_TOGGLE, NODE_TOGGLE_NEUTRAL);
    if (module_ingress_open(consensus, &error) < 0) {
        consensus_count_error(consensus, &error);
    }
    consensus_log(consensus, CONSENSUS_LOG_INFO, "%s in term %lld at log position %lld",
                  is_leader ? "leader" : "follower", (long long)raft->leadership_term_id,
                  (long long)raft->log_position);
}

/* Elections are events, not errors of this node: they go to the log only, and the same one at most
 * once per second. */
static void report(struct consensus *consensus, const char *text) {
    bool is_same = strcmp(consensus->last_report, text) == 0;
    if (is_same && consensus->now_ns < consensus->next_report_ns) {
        return;
    }
    snprintf(consensus->last_report, sizeof consensus->last_report, "%s", text);
    consensus->next_report_ns = consensus->now_ns + NS_PER_S;
    consensus_log(consensus, CONSENSUS_LOG_WARNING, "%s", text);
}

static void carry_out(struct consensus *consensus, const struct raft_action *action) {
    switch (action->kind) {
    case RAFT_ACTION_PERSIST_BALLOT:
        persist_ballot(consensus, &action->ballot);
        break;
    case RAFT_ACTION_RECORD_TERM:
        record_term(consensus, &action->term);
        break;
    case RAFT_ACTION_SEND_CATCHUP:
        send_catchup(consensus, action);
        break;
    case RAFT_ACTION_START:
        operation_start(consensus, &action->operation);
        break;
    case RAFT_ACTION_ELECTION_BEGAN:
        on_election_began(consensus);
        break;
    case RAFT_ACTION_ELECTION_CLOSED:
        on_election_closed(consensus);
        break;
    case RAFT_ACTION_REPORT:
        report(consensus, action->text);
        break;
    default:
        send_message(consensus, action);
        break;
    }
}

static void publish_state(struct consensus *consensus) {
    struct raft *raft = &consensus->raft;
    struct module_counters *counters = &consensus->counters;
    module_counters_set(counters, MODULE_COUNTER_ROLE, raft->role);
    module_counters_set(counters, MODULE_COUNTER_ELECTION_STATE, raft->election.state);
    module_counters_set(counters, MODULE_COUNTER_TERM_ID, raft->leadership_term_id);
    int64_t committed = module_counters_value(counters, MODULE_COUNTER_COMMIT_POSITION);
    if (raft->commit_position > committed) {
        module_counters_set(counters, MODULE_COUNTER_COMMIT_POSITION, raft->commit_position);
        module_sessions_on_commit(&consensus->sessions, raft->commit_position);
        consensus_on_action_committed(consensus, raft->commit_position);
        consensus_commit_service_messages(consensus, raft->commit_position);
    }
}

void consensus_carry_out(struct consensus *consensus) {
    struct raft *raft = &consensus->raft;
    /* An action may make the core push more behind it; they are carried out in the same pass. */
    for (int32_t i = 0; i < raft->action_count && !consensus->is_done; i++) {
        struct raft_action action = raft->actions[i];
        carry_out(consensus, &action);
    }
    raft->action_count = 0;
    publish_state(consensus);
}

/* Messages from other members: each is decoded once, at this door, and then
 * trusted as far as its form goes; what it claims is judged by the core (cluster.md 1.4, 3.5).
 *
 * Malformed messages and foreign schemas are counted as errors and dropped; templates that are not
 * for this reader are skipped.
 */
#include <errno.h>
#include <string.h>

#include "consensusd/consensus.h"
#include "consensusd/resignation.h"

static void count_malformed(struct consensus *consensus) {
    struct tern_error error;
    error_set(&error, -EBADMSG, "malformed message on the consensus stream");
    consensus_count_error(consensus, &error);
}

/* -- requests of backups on the consensus stream -- */

static int on_heartbeat_request(struct consensus *consensus, const uint8_t *buffer,
                                int32_t length) {
    struct cluster_heartbeat_request message;
    int result = cluster_heartbeat_request_decode(&message, buffer, length);
    if (result == 0) {
        const struct module_session_request request = {
            .action = MODULE_SESSION_HEARTBEAT,
            .correlation_id = message.correlation_id,
            .response_stream_id = message.response_stream_id,
            .response_channel = message.response_channel,
        };
        module_sessions_on_request(consensus, &request);
    }
    return result;
}

static int on_backup_query(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_backup_query message;
    int result = cluster_backup_query_decode(&message, buffer, length);
    if (result == 0) {
        const struct module_session_request request = {
            .action = MODULE_SESSION_BACKUP,
            .correlation_id = message.correlation_id,
            .response_stream_id = message.response_stream_id,
            .version = message.version,
            .log_position = message.log_position == SBE_NULL_I64 ? INT64_MAX : message.log_position,
            .response_channel = message.response_channel,
        };
        module_sessions_on_request(consensus, &request);
    }
    return result;
}

static int on_standby_snapshot(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_standby_snapshot message;
    int result = cluster_standby_snapshot_decode(&message, buffer, length);
    if (result == 0) {
        const struct module_session_request request = {
            .action = MODULE_SESSION_STANDBY_SNAPSHOT,
            .correlation_id = message.correlation_id,
            .response_stream_id = message.response_stream_id,
            .version = message.version,
            .response_channel = message.response_channel,
        };
        module_sessions_on_request(consensus, &request);
    }
    return result;
}

/* -- members -- */

static int on_canvass(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_canvass_position message;
    int result = cluster_canvass_position_decode(&message, buffer, length);
    if (result == 0) {
        int32_t member = raft_member_index(&consensus->raft, message.follower_member_id);
        if (member >= 0 && consensus_is_leading(consensus)) {
            catchups_stop(consensus, member);
        }
        raft_on_canvass(&consensus->raft, &message);
    }
    return result;
}

static int on_new_term(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_new_leadership_term message;
    int result = cluster_new_leadership_term_decode(&message, buffer, length);
    if (result != 0) {
        return result;
    }
    int32_t member = raft_member_index(&consensus->raft, message.leader_member_id);
    if (member >= 0 && member != consensus->own_index &&
        message.app_version >> 16 != consensus->app_version >> 16) {
        struct tern_error error;
        error_set(&error, TERN_ERROR_VERSION,
                  "member %d leads with application version %d.%d.%d, this node has %d.%d.%d",
                  message.leader_member_id, message.app_version >> 16,
                  (message.app_version >> 8) & 255, message.app_version & 255,
                  consensus->app_version >> 16, (consensus->app_version >> 8) & 255,
                  consensus->app_version & 255);
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 0;
    }
    raft_on_new_term(&consensus->raft, &message);
    return 0;
}

static int on_append(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_append_position message;
    int result = cluster_append_position_decode(&message, buffer, length);
    if (result == 0) {
        raft_on_append(&consensus->raft, &message);
        catchups_on_append(consensus, &message);
    }
    return result;
}

/* Decode into the union-like local and hand on: the messages that only the core wants. */
#define HAND_ON(type_, handler_)                                                                   \
    do {                                                                                           \
        struct type_ message;                                                                      \
        int result = type_##_decode(&message, buffer, length);                                     \
        if (result == 0) {                                                                         \
            handler_;                                                                              \
        }                                                                                          \
        return result;                                                                             \
    } while (0)

static int on_request_vote(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    HAND_ON(cluster_request_vote, raft_on_request_vote(&consensus->raft, &message));
}

static int on_vote(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    HAND_ON(cluster_vote, raft_on_vote(&consensus->raft, &message));
}

static int on_commit(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    HAND_ON(cluster_commit_position, raft_on_commit(&consensus->raft, &message));
}

static int on_catchup(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    HAND_ON(cluster_catchup_position, catchups_on_position(consensus, &message));
}

static int on_termination_position(struct consensus *consensus, const uint8_t *buffer,
                                   int32_t length) {
    HAND_ON(cluster_termination_position, termination_on_position(consensus, &message));
}

static int on_termination_ack(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    HAND_ON(cluster_termination_ack, termination_on_ack(consensus, &message));
}

static int dispatch_member_message(struct consensus *consensus, int32_t template_id,
                                   const uint8_t *buffer, int32_t length) {
    switch (template_id) {
    case CLUSTER_TEMPLATE_CANVASS_POSITION:
        return on_canvass(consensus, buffer, length);
    case CLUSTER_TEMPLATE_REQUEST_VOTE:
        return on_request_vote(consensus, buffer, length);
    case CLUSTER_TEMPLATE_VOTE:
        return on_vote(consensus, buffer, length);
    case CLUSTER_TEMPLATE_NEW_LEADERSHIP_TERM:
        return on_new_term(consensus, buffer, length);
    case CLUSTER_TEMPLATE_APPEND_POSITION:
        return on_append(consensus, buffer, length);
    case CLUSTER_TEMPLATE_COMMIT_POSITION:
        return on_commit(consensus, buffer, length);
    case CLUSTER_TEMPLATE_CATCHUP_POSITION:
        return on_catchup(consensus, buffer, length);
    case CLUSTER_TEMPLATE_STOP_CATCHUP: /* the module leaves the catch-up by itself */
        return 0;
    case CLUSTER_TEMPLATE_TERMINATION_POSITION:
        return on_termination_position(consensus, buffer, length);
    case CLUSTER_TEMPLATE_TERMINATION_ACK:
        return on_termination_ack(consensus, buffer, length);
    case CLUSTER_TEMPLATE_HEARTBEAT_REQUEST:
        return on_heartbeat_request(consensus, buffer, length);
    case CLUSTER_TEMPLATE_BACKUP_QUERY:
        return on_backup_query(consensus, buffer, length);
    case CLUSTER_TEMPLATE_STANDBY_SNAPSHOT:
        return on_standby_snapshot(consensus, buffer, length);
    default:
        return 0;
    }
}

void consensus_on_member_message(void *context, const uint8_t *buffer, int32_t length,
                                 const tern_header *header) {
    struct consensus *consensus = context;
    struct sbe_header message;
    (void)header;
    if (consensus->is_resigning) {
        resignation_on_message(consensus, buffer, length);
        return;
    }
    if (consensus->is_done) {
        return;
    }
    if (sbe_peek(&message, buffer, length) != 0 || message.schema_id != CLUSTER_SCHEMA_ID ||
        dispatch_member_message(consensus, message.template_id, buffer, length) != 0) {
        count_malformed(consensus);
    }
    consensus_carry_out(consensus);
}

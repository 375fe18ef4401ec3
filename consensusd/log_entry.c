/* What the module itself does with the entries of a log that it follows or replays (cluster.md
 * 3.10, 3.12, 3.15): sessions come and go, terms begin, actions are taken. A leader has done the
 * same when it appended them. State here comes from the log only, so that all members agree.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"

static void count_bad_entry(struct consensus *consensus, int32_t template_id, int64_t position) {
    struct tern_error error;
    error_set(&error, -EBADMSG, "log entry %d before position %lld is malformed", template_id,
              (long long)position);
    consensus_count_error(consensus, &error);
}

static int on_session_open(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                           int64_t position) {
    struct cluster_session_open_event event;
    int result = cluster_session_open_event_decode(&event, buffer, length);
    if (result != 0) {
        return result;
    }
    const struct module_session_params params = {
        .id = event.cluster_session_id,
        .correlation_id = event.correlation_id,
        .response_stream_id = event.response_stream_id,
        .response_channel = event.response_channel,
        .now_ns = consensus->now_ns,
    };
    struct module_session *session = module_session_create(&params);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->state = MODULE_SESSION_OPEN;
    session->opened_position = position;
    struct module_sessions *sessions = &consensus->sessions;
    result = module_sessions_add_open(sessions, session);
    if (result != 0) {
        module_session_destroy(session);
    }
    sessions->next_session_id = max_i64(sessions->next_session_id, event.cluster_session_id + 1);
    sessions->next_committed_session_id =
        max_i64(sessions->next_committed_session_id, event.cluster_session_id + 1);
    return result;
}

static int on_session_close(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_session_close_event event;
    int result = cluster_session_close_event_decode(&event, buffer, length);
    if (result != 0) {
        return result;
    }
    struct module_session *session =
        module_sessions_find(&consensus->sessions, event.cluster_session_id);
    if (session != NULL) {
        module_sessions_remove_open(&consensus->sessions, session);
        module_session_destroy(session);
    }
    return 0;
}

static void on_session_message(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    if (length < CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN) {
        return;
    }
    int64_t id = cluster_session_message_header_get_cluster_session_id(buffer);
    struct module_session *session = module_sessions_find(&consensus->sessions, id);
    if (session != NULL) {
        session->activity_ns = consensus->now_ns;
    } else if (id < -1) {
        consensus_on_service_entry(consensus, id);
    }
}

static int on_new_term(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_new_leadership_term_event event;
    struct tern_error error;
    int result = cluster_new_leadership_term_event_decode(&event, buffer, length);
    if (result != 0) {
        return result;
    }
    int32_t unit = consensus_time_unit(consensus);
    if (event.time_unit != unit && event.time_unit != CLUSTER_CLUSTER_TIME_UNIT_NULL) {
        error_set(&error, -EINVAL, "term %lld of the log counts time in another unit: see clock",
                  (long long)event.leadership_term_id);
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 0;
    }
    if (event.app_version >> 16 != consensus->app_version >> 16) {
        error_set(&error, TERN_ERROR_VERSION,
                  "term %lld of the log is of application version %d.%d.%d: see app_version",
                  (long long)event.leadership_term_id, event.app_version >> 16,
                  (event.app_version >> 8) & 255, event.app_version & 255);
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 0;
    }
    consensus->current_term_id = event.leadership_term_id;
    consensus->term_base_position = event.term_base_log_position;
    raft_on_term_entry(&consensus->raft, event.leadership_term_id, event.term_base_log_position);
    consensus_carry_out(consensus);
    return 0;
}

/* BREAK: the state changes at exactly this position. */
static enum tern_controlled_action on_action(struct consensus *consensus,
                                             const struct cluster_cluster_action_request *request,
                                             int64_t position) {
    if (request->leadership_term_id != consensus->current_term_id) {
        return TERN_ACTION_BREAK;
    }
    switch (request->action) {
    case CLUSTER_CLUSTER_ACTION_SUSPEND:
        consensus_set_state(consensus, MODULE_STATE_SUSPENDED);
        break;
    case CLUSTER_CLUSTER_ACTION_RESUME:
        consensus_set_state(consensus, MODULE_STATE_ACTIVE);
        break;
    case CLUSTER_CLUSTER_ACTION_SNAPSHOT:
        if (request->flags == 0) {
            snapshot_taker_begin(consensus, position);
        }
        break;
    default:
        break;
    }
    return TERN_ACTION_BREAK;
}

enum tern_controlled_action consensus_on_log_entry(void *context, const uint8_t *buffer,
                                                   int32_t length, const tern_header *header) {
    struct consensus *consensus = context;
    struct sbe_header entry;
    struct cluster_cluster_action_request request;
    int64_t position = tern_header_position(header);
    int result = sbe_peek(&entry, buffer, length);
    if (result != 0 || entry.schema_id != CLUSTER_SCHEMA_ID) {
        count_bad_entry(consensus, -1, position);
        return TERN_ACTION_CONTINUE;
    }
    switch (entry.template_id) {
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        on_session_message(consensus, buffer, length);
        break;
    case CLUSTER_TEMPLATE_TIMER_EVENT:
        result = consensus_on_timer_entry(consensus, buffer, length, position);
        break;
    case CLUSTER_TEMPLATE_SESSION_OPEN_EVENT:
        result = on_session_open(consensus, buffer, length, position);
        break;
    case CLUSTER_TEMPLATE_SESSION_CLOSE_EVENT:
        result = on_session_close(consensus, buffer, length);
        break;
    case CLUSTER_TEMPLATE_NEW_LEADERSHIP_TERM_EVENT:
        result = on_new_term(consensus, buffer, length);
        break;
    case CLUSTER_TEMPLATE_CLUSTER_ACTION_REQUEST:
        result = cluster_cluster_action_request_decode(&request, buffer, length);
        if (result == 0) {
            return on_action(consensus, &request, position);
        }
        break;
    default: /* dead messages of old versions */
        break;
    }
    if (result != 0) {
        count_bad_entry(consensus, entry.template_id, position);
    }
    return TERN_ACTION_CONTINUE;
}

int consensus_consume(struct consensus *consensus, tern_image *image, int64_t limit) {
    int fragments = tern_image_bounded_controlled_poll(
        image, tern_controlled_fragment_assembler_on_fragment, consensus->log_assembler, limit,
        consensus->conf->log_fragment_limit);
    /* Padding moves the position without a fragment. */
    int64_t position = tern_image_position(image);
    if (position > consensus->consumed_position) {
        consensus->consumed_position = position;
        raft_on_consumed(&consensus->raft, position);
        return fragments > 0 ? fragments : 1;
    }
    return fragments;
}

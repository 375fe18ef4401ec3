/* Log entries to callbacks (cluster.md 4.3), egress of sessions, and filling snapshots.
 *
 * Before each callback the host's cluster time and log position are those of the entry, so that
 * every member's plugin sees the same. An entry that does not decode ends the service: skipping it
 * would let this member's state drift from the others'.
 */
#include "servicehost/service_host.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "base/error.h"
#include "wire/cluster_codec.h"

#define SESSION_HEADER_LENGTH 32
#define EGRESS_RETRY_NS NS_PER_S

static void fail(struct tern_service_host *host, int code, const char *what) {
    (void)error_set(&host->exit_error, code, "log entry at %" PRId64 ": %s", host->log_position,
                    what);
}

static void on_session_message(struct tern_service_host *host, const uint8_t *buffer,
                               int32_t length) {
    int64_t session_id = cluster_session_message_header_get_cluster_session_id(buffer);
    host->cluster_time = cluster_session_message_header_get_timestamp(buffer);
    const struct host_session *session = host_sessions_find(&host->sessions, session_id);
    host->plugin.table.on_session_message(host->instance, session == NULL ? NULL : &session->public,
                                          host->cluster_time, buffer + SESSION_HEADER_LENGTH,
                                          length - SESSION_HEADER_LENGTH);
}

static int on_session_open(struct tern_service_host *host, const uint8_t *buffer, int32_t length) {
    struct cluster_session_open_event event;
    if (cluster_session_open_event_decode(&event, buffer, length) != 0) {
        return -EBADMSG;
    }
    host->cluster_time = event.timestamp;
    struct host_session_params params = {
        .session_id = event.cluster_session_id,
        .response_stream_id = event.response_stream_id,
        .response_channel = event.response_channel.text,
        .response_channel_length = event.response_channel.length,
        .principal = event.encoded_principal.text,
        .principal_length = event.encoded_principal.length,
    };
    struct host_session *session = host_sessions_add(&host->sessions, &params);
    if (session == NULL) {
        return -EEXIST;
    }
    if (host->role == TERN_CLUSTER_ROLE_LEADER && host->conf->is_responder) {
        host_session_connect(session, host->client);
    }
    if (host->plugin.table.on_session_open != NULL) {
        host->plugin.table.on_session_open(host->instance, &session->public, event.timestamp);
    }
    return 0;
}

static int on_session_close(struct tern_service_host *host, const uint8_t *buffer, int32_t length) {
    struct cluster_session_close_event event;
    if (cluster_session_close_event_decode(&event, buffer, length) != 0) {
        return -EBADMSG;
    }
    host->cluster_time = event.timestamp;
    struct host_session *session = host_sessions_find(&host->sessions, event.cluster_session_id);
    if (session == NULL) {
        struct tern_error error;
        (void)error_set(&error, TERN_ERROR_PROTOCOL, "closed session %" PRId64 " is not known",
                        event.cluster_session_id);
        service_host_count_error(host, &error);
        return 0;
    }
    host_session_disconnect(session);
    if (host->plugin.table.on_session_close != NULL) {
        host->plugin.table.on_session_close(host->instance, &session->public, event.timestamp,
                                            (enum tern_cluster_close_reason)event.close_reason);
    }
    host_sessions_remove(&host->sessions, session);
    return 0;
}

static int on_timer(struct tern_service_host *host, const uint8_t *buffer, int32_t length) {
    struct cluster_timer_event event;
    if (cluster_timer_event_decode(&event, buffer, length) != 0) {
        return -EBADMSG;
    }
    host->cluster_time = event.timestamp;
    if (host->plugin.table.on_timer_event != NULL) {
        host->plugin.table.on_timer_event(host->instance, event.correlation_id, event.timestamp);
    }
    return 0;
}

static int on_action(struct tern_service_host *host, const uint8_t *buffer, int32_t length) {
    struct cluster_cluster_action_request event;
    if (cluster_cluster_action_request_decode(&event, buffer, length) != 0) {
        return -EBADMSG;
    }
    host->cluster_time = event.timestamp;
    host->log_position = event.log_position;
    bool is_default = event.flags == 0 || event.flags == SBE_NULL_I32;
    if (event.action == CLUSTER_CLUSTER_ACTION_SNAPSHOT && is_default) {
        host->snapshot_log_position = event.log_position;
        host->snapshot_timestamp = event.timestamp;
        host->state = SERVICE_HOST_SNAPSHOT;
    }
    return 0;
}

static int on_new_term(struct tern_service_host *host, const uint8_t *buffer, int32_t length) {
    struct cluster_new_leadership_term_event event;
    if (cluster_new_leadership_term_event_decode(&event, buffer, length) != 0) {
        return -EBADMSG;
    }
    if (event.app_version >> 16 != host->app_version >> 16) {
        return TERN_ERROR_VERSION;
    }
    host->cluster_time = event.timestamp;
    host->log_position = event.log_position;
    host->leadership_term_id = event.leadership_term_id;
    host->time_unit = event.time_unit == SBE_NULL_I32
                          ? TERN_CLUSTER_TIME_MILLIS
                          : (enum tern_cluster_time_unit)event.time_unit;
    if (host->plugin.table.on_new_leadership_term != NULL) {
        host->plugin.table.on_new_leadership_term(host->instance, event.leadership_term_id,
                                                  event.log_position, event.timestamp,
                                                  event.leader_member_id);
    }
    return 0;
}

static int dispatch(struct tern_service_host *host, const struct sbe_header *entry,
                    const uint8_t *buffer, int32_t length) {
    switch (entry->template_id) {
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        if (length < SESSION_HEADER_LENGTH) {
            return -EBADMSG;
        }
        on_session_message(host, buffer, length);
        return 0;
    case CLUSTER_TEMPLATE_TIMER_EVENT:
        return on_timer(host, buffer, length);
    case CLUSTER_TEMPLATE_SESSION_OPEN_EVENT:
        return on_session_open(host, buffer, length);
    case CLUSTER_TEMPLATE_SESSION_CLOSE_EVENT:
        return on_session_close(host, buffer, length);
    case CLUSTER_TEMPLATE_CLUSTER_ACTION_REQUEST:
        return on_action(host, buffer, length);
    case CLUSTER_TEMPLATE_NEW_LEADERSHIP_TERM_EVENT:
        return on_new_term(host, buffer, length);
    default:
        return 0; /* e.g. the membership change of older logs: nothing for services */
    }
}

enum tern_controlled_action container_on_log_entry(void *context, const uint8_t *buffer,
                                                   int32_t length, const tern_header *header) {
    struct tern_service_host *host = context;
    struct sbe_header entry;
    host->log_position = tern_header_position(header);
    if (sbe_peek(&entry, buffer, length) != 0) {
        fail(host, TERN_ERROR_PROTOCOL, "shorter than its header");
        return TERN_ACTION_BREAK;
    }
    if (entry.schema_id != CLUSTER_SCHEMA_ID) {
        return TERN_ACTION_CONTINUE; /* written by an extension of the consensus module */
    }
    host->is_sending_allowed = true;
    int result = dispatch(host, &entry, buffer, length);
    host->is_sending_allowed = false;
    if (result != 0) {
        fail(host, result == TERN_ERROR_VERSION ? result : TERN_ERROR_PROTOCOL,
             result == TERN_ERROR_VERSION ? "term of another application version: see app_version"
             : result == -EEXIST          ? "session is open already"
                                          : "cannot be decoded");
        return TERN_ACTION_BREAK;
    }
    return host->state == SERVICE_HOST_FOLLOW ? TERN_ACTION_CONTINUE : TERN_ACTION_BREAK;
}

void container_set_role(struct tern_service_host *host, enum tern_cluster_role role) {
    if (host->role != role) {
        host->role = role;
        if (host->plugin.table.on_role_change != NULL) {
            host->plugin.table.on_role_change(host->instance, role);
        }
    }
}

void container_connect_egress(struct tern_service_host *host) {
    for (int i = 0; i < host->sessions.count; i++) {
        host_session_connect(host->sessions.by_id[i], host->client);
        host->sessions.by_id[i]->is_closing = false;
    }
}

void container_disconnect_egress(struct tern_service_host *host) {
    for (int i = 0; i < host->sessions.count; i++) {
        host_session_disconnect(host->sessions.by_id[i]);
    }
}

/* What prevented it may pass (an address that was not there for a while); without egress the
 * session would stay open and its client hear nothing. */
static int retry_egress(const struct tern_service_host *host, struct host_session *session) {
    if (session->retry_deadline_ns == 0 || host->last_cycle_ns < session->retry_deadline_ns) {
        return 0;
    }
    session->retry_deadline_ns = 0;
    host_session_connect(session, host->client);
    return 1;
}

int container_poll_egress(struct tern_service_host *host) {
    int work = 0;
    for (int i = 0; i < host->sessions.count; i++) {
        struct tern_error error;
        struct host_session *session = host->sessions.by_id[i];
        work += host_session_poll(session, &error);
        if (error.code != 0) {
            (void)error_prefix(&error, "egress of session %" PRId64, session->public.session_id);
            service_host_count_error(host, &error);
            session->retry_deadline_ns = host->last_cycle_ns + EGRESS_RETRY_NS;
        }
        work += retry_egress(host, session);
    }
    return work;
}

int container_fill_snapshot(struct tern_service_host *host, struct tern_error *error) {
    struct message_list *list = &host->snapshot_writer.messages;
    const struct service_snapshot_head head = {
        .log_position = host->snapshot_log_position,
        .leadership_term_id = host->leadership_term_id,
        .time_unit = (int32_t)host->time_unit,
        .app_version = host->app_version,
        .sessions = &host->sessions,
    };
    int result = service_snapshot_write(list, &head);
    if (result != 0) {
        return error_set_errno(error, -result, "cannot hold the snapshot");
    }
    if (host->plugin.table.on_take_snapshot == NULL) {
        return 0;
    }
    struct tern_service_snapshot plugin_part = {.list = *list};
    host->is_sending_allowed = true;
    result = host->plugin.table.on_take_snapshot(host->instance, &plugin_part, error);
    host->is_sending_allowed = false;
    *list = plugin_part.list; /* it may have grown and moved */
    return result < 0 ? result : 0;
}

/* The operations that plugins call (cluster.md 4.4). Each one checks whether the present callback
 * may use it; none keeps state of its own. */
#include "servicehost/service_host.h"

#include <inttypes.h>
#include <stddef.h>

#include "wire/cluster_codec.h"

#define SESSION_HEADER_LENGTH 32
#define CONTROL_MESSAGE_LENGTH_MAX 64

static int64_t offer(struct tern_service_host *host, int64_t session_id, const void *buffer,
                     int32_t length) {
    if (!host->is_sending_allowed) {
        return TERN_SERVICE_NOT_ALLOWED;
    }
    if (length < 0) {
        return TERN_PUBLICATION_ERROR;
    }
    struct host_session *session = host_sessions_find(&host->sessions, session_id);
    if (session == NULL) {
        return TERN_SERVICE_UNKNOWN_SESSION;
    }
    if (host->role != TERN_CLUSTER_ROLE_LEADER || !host->conf->is_responder) {
        return TERN_SERVICE_MOCKED_OFFER;
    }
    if (session->egress == NULL) {
        /* While the driver adds the publication it is worth trying again. */
        return session->egress_request != NULL ? TERN_PUBLICATION_BACK_PRESSURED
                                               : TERN_PUBLICATION_NOT_CONNECTED;
    }
    uint8_t header[SESSION_HEADER_LENGTH];
    cluster_session_message_header_put(header, host->leadership_term_id, session_id,
                                       host->cluster_time);
    const struct iovec parts[2] = {{header, sizeof header}, {(void *)buffer, (size_t)length}};
    return tern_publication_offerv(session->egress, parts, 2, NULL, NULL);
}

static int send_control(struct tern_service_host *host, const void *message, int32_t length) {
    int64_t result = service_control_send(&host->control, message, length, host->log_position);
    if (result > 0) {
        return 0;
    }
    return result == TERN_PUBLICATION_ADMIN_ACTION ? TERN_PUBLICATION_BACK_PRESSURED : (int)result;
}

static int close_session(struct tern_service_host *host, int64_t session_id) {
    if (!host->is_sending_allowed) {
        return TERN_SERVICE_NOT_ALLOWED;
    }
    struct host_session *session = host_sessions_find(&host->sessions, session_id);
    if (session == NULL) {
        return TERN_SERVICE_UNKNOWN_SESSION;
    }
    if (session->is_closing) {
        return 0;
    }
    uint8_t buffer[CONTROL_MESSAGE_LENGTH_MAX];
    const struct cluster_close_session message = {.cluster_session_id = session_id};
    int32_t length = cluster_close_session_encode(&message, buffer, sizeof buffer);
    int result = send_control(host, buffer, length);
    session->is_closing = result == 0;
    return result;
}

static int64_t cluster_time(struct tern_service_host *host) {
    return host->cluster_time;
}

static enum tern_cluster_time_unit cluster_time_unit(struct tern_service_host *host) {
    return host->time_unit;
}

static int64_t log_position(struct tern_service_host *host) {
    return host->log_position;
}

static enum tern_cluster_role role(struct tern_service_host *host) {
    return host->role;
}

static int32_t member_id(struct tern_service_host *host) {
    return host->member_id;
}

static int schedule_timer(struct tern_service_host *host, int64_t timer_id, int64_t deadline) {
    if (!host->is_sending_allowed) {
        return TERN_SERVICE_NOT_ALLOWED;
    }
    uint8_t buffer[CONTROL_MESSAGE_LENGTH_MAX];
    const struct cluster_schedule_timer message = {.correlation_id = timer_id,
                                                   .deadline = deadline};
    return send_control(host, buffer,
                        cluster_schedule_timer_encode(&message, buffer, sizeof buffer));
}

static int cancel_timer(struct tern_service_host *host, int64_t timer_id) {
    if (!host->is_sending_allowed) {
        return TERN_SERVICE_NOT_ALLOWED;
    }
    uint8_t buffer[CONTROL_MESSAGE_LENGTH_MAX];
    const struct cluster_cancel_timer message = {.correlation_id = timer_id};
    return send_control(host, buffer, cluster_cancel_timer_encode(&message, buffer, sizeof buffer));
}

static int64_t offer_to_cluster(struct tern_service_host *host, const void *buffer,
                                int32_t length) {
    if (!host->is_sending_allowed) {
        return TERN_SERVICE_NOT_ALLOWED;
    }
    if (length < 0 || length > service_log_message_length_max(&host->log) - SESSION_HEADER_LENGTH) {
        return TERN_PUBLICATION_ERROR; /* on every member: their logs have the same terms */
    }
    uint8_t header[SESSION_HEADER_LENGTH];
    cluster_session_message_header_put(header, host->leadership_term_id, host->conf->service_id,
                                       host->cluster_time);
    const struct iovec parts[2] = {{header, sizeof header}, {(void *)buffer, (size_t)length}};
    return tern_publication_offerv(host->control.publication, parts, 2, NULL, NULL);
}

static void idle(struct tern_service_host *host, int work_count) {
    if (host->params.idle != NULL) {
        host->params.idle(host->params.idle_context, work_count);
    } else {
        idle_strategy_idle(&host->idle, NULL, work_count);
    }
    (void)tern_client_do_work(host->client);
    (void)container_poll_egress(host);
}

static const struct tern_service_session *next_session(struct tern_service_host *host,
                                                       int64_t after_session_id) {
    const struct host_session *session = host_sessions_next(&host->sessions, after_session_id);
    return session == NULL ? NULL : &session->public;
}

static int snapshot_write(struct tern_service_snapshot *snapshot, const void *buffer,
                          int32_t length) {
    return message_list_append(&snapshot->list, buffer, length);
}

static int snapshot_read(struct tern_service_snapshot *snapshot, const void **buffer,
                         int32_t *length) {
    if (message_list_peek(&snapshot->list, buffer, length) == 0) {
        return 0;
    }
    message_list_advance(&snapshot->list);
    return 1;
}

static void log_line(struct tern_service_host *host, enum tern_service_log_level level,
                     const char *text) {
    service_host_log(host, level, "%s: %s", host->plugin.table.name, text);
}

void service_operations_fill(struct tern_service_operations *operations) {
    *operations = (struct tern_service_operations){
        .abi_version = TERN_SERVICE_ABI_VERSION,
        .size = sizeof *operations,
        .offer = offer,
        .close_session = close_session,
        .cluster_time = cluster_time,
        .cluster_time_unit = cluster_time_unit,
        .log_position = log_position,
        .role = role,
        .member_id = member_id,
        .schedule_timer = schedule_timer,
        .cancel_timer = cancel_timer,
        .offer_to_cluster = offer_to_cluster,
        .idle = idle,
        .next_session = next_session,
        .snapshot_write = snapshot_write,
        .snapshot_read = snapshot_read,
        .log = log_line,
    };
}

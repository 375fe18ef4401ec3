/* The container's part of a snapshot, both ways. A message that may not stand where it stands ends
 * the loading: half a table of sessions must not serve. */
#include "servicehost/service_snapshot.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/uri.h"
#include "wire/cluster_codec.h"

#define SNAPSHOT_TYPE_SERVICE 2
#define PRINCIPAL_LENGTH_MAX 4096
#define SESSION_LENGTH_MAX                                                                         \
    (CLUSTER_CLIENT_SESSION_LENGTH_MIN + URI_LENGTH_MAX + PRINCIPAL_LENGTH_MAX)

static int read_marker(struct service_snapshot_reader *reader, const void *message, int32_t length,
                       struct tern_error *error) {
    struct cluster_snapshot_marker marker;
    if (cluster_snapshot_marker_decode(&marker, message, length) != 0) {
        return error_set(error, TERN_ERROR_PROTOCOL, "damaged snapshot marker");
    }
    if (marker.type_id != SNAPSHOT_TYPE_SERVICE) {
        return error_set(error, TERN_ERROR_PROTOCOL, "snapshot of type %lld, expected %d",
                         (long long)marker.type_id, SNAPSHOT_TYPE_SERVICE);
    }
    if (marker.app_version >> 16 != reader->app_version >> 16) {
        return error_set(
            error, TERN_ERROR_VERSION, "snapshot of application version %d.%d.%d: see app_version",
            marker.app_version >> 16, (marker.app_version >> 8) & 255, marker.app_version & 255);
    }
    if (marker.mark == CLUSTER_SNAPSHOT_MARK_BEGIN) {
        reader->has_begin = true;
        reader->log_position = marker.log_position;
        reader->time_unit = marker.time_unit == SBE_NULL_I32 ? 0 : marker.time_unit;
    } else if (marker.mark == CLUSTER_SNAPSHOT_MARK_END) {
        reader->has_end = reader->has_begin;
    }
    return 0;
}

static int read_session(struct service_snapshot_reader *reader, const void *message, int32_t length,
                        struct tern_error *error) {
    struct cluster_client_session session;
    if (cluster_client_session_decode(&session, message, length) != 0) {
        return error_set(error, TERN_ERROR_PROTOCOL, "damaged session in a snapshot");
    }
    struct host_session_params params = {
        .session_id = session.cluster_session_id,
        .response_stream_id = session.response_stream_id,
        .response_channel = session.response_channel.text,
        .response_channel_length = session.response_channel.length,
        .principal = session.encoded_principal.text,
        .principal_length = session.encoded_principal.length,
    };
    if (host_sessions_add(reader->sessions, &params) == NULL) {
        return error_set(error, TERN_ERROR_PROTOCOL, "session %lld stands twice in a snapshot",
                         (long long)session.cluster_session_id);
    }
    return 0;
}

int service_snapshot_read(void *context, const void *message, int32_t length,
                          struct tern_error *error) {
    struct service_snapshot_reader *reader = context;
    struct sbe_header header;
    if (reader->has_end) {
        int result = message_list_append(&reader->plugin_part->list, message, length);
        return result == 0 ? 0 : error_set_errno(error, -result, "cannot hold the snapshot");
    }
    if (sbe_peek(&header, message, length) != 0 || header.schema_id != CLUSTER_SCHEMA_ID) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "a recording that is no snapshot of a service");
    }
    if (header.template_id == CLUSTER_TEMPLATE_SNAPSHOT_MARKER) {
        return read_marker(reader, message, length, error);
    }
    if (!reader->has_begin) {
        return error_set(error, TERN_ERROR_PROTOCOL, "a snapshot without begin marker");
    }
    return header.template_id == CLUSTER_TEMPLATE_CLIENT_SESSION
               ? read_session(reader, message, length, error)
               : 0;
}

static int append_marker(struct message_list *list, const struct service_snapshot_head *head,
                         int32_t mark) {
    uint8_t buffer[CLUSTER_SNAPSHOT_MARKER_LENGTH_MIN];
    const struct cluster_snapshot_marker marker = {
        .type_id = SNAPSHOT_TYPE_SERVICE,
        .log_position = head->log_position,
        .leadership_term_id = head->leadership_term_id,
        .index = 0,
        .mark = mark,
        .time_unit = head->time_unit,
        .app_version = head->app_version,
    };
    int32_t length = cluster_snapshot_marker_encode(&marker, buffer, sizeof buffer);
    return message_list_append(list, buffer, length);
}

static int append_session(struct message_list *list, const struct tern_service_session *session) {
    uint8_t buffer[SESSION_LENGTH_MAX];
    const struct cluster_client_session message = {
        .cluster_session_id = session->session_id,
        .response_stream_id = session->response_stream_id,
        .response_channel = {session->response_channel, (int32_t)strlen(session->response_channel)},
        .encoded_principal = {session->principal, session->principal_length},
    };
    int32_t length = cluster_client_session_encode(&message, buffer, sizeof buffer);
    return length < 0 ? length : message_list_append(list, buffer, length);
}

int service_snapshot_write(struct message_list *list, const struct service_snapshot_head *head) {
    int result = append_marker(list, head, CLUSTER_SNAPSHOT_MARK_BEGIN);
    for (int i = 0; result == 0 && i < head->sessions->count; i++) {
        result = append_session(list, &head->sessions->by_id[i]->public);
    }
    return result == 0 ? append_marker(list, head, CLUSTER_SNAPSHOT_MARK_END) : result;
}

/* The door for control messages, and the requests that concern only the session.
 *
 * Every message passes here once: schema, known template, a block that is inside the message, a
 * session that exists and serves, permission. Only then the handler of the template runs. What
 * fails before a session is known gets no answer (archive.md 2.4); it is counted as an error, once
 * per distinct text, so that a client that sends rubbish can be found.
 */
#include "archived/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tern/archive.h>
#include <tern/fragment.h>

#include "archived/recording.h"

void request_ok(const struct archive_request *request, int64_t relevant_id) {
    control_respond_ok(request->server, request->session->id, request->correlation_id, relevant_id);
}

void request_error(const struct archive_request *request, int64_t code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    control_respond_error(request->server, request->session->id, request->correlation_id, code,
                          "%s", text);
}

void request_refused(const struct archive_request *request, const struct archive_refusal *refusal) {
    request_error(request, refusal->code, "%s", refusal->text);
}

bool request_record(const struct archive_request *request, int64_t recording_id,
                    struct archive_catalog_record *record) {
    if (catalog_get(&request->server->catalog, recording_id, record)) {
        return true;
    }
    request_error(request, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING, "unknown recording %" PRId64,
                  recording_id);
    return false;
}

/* ---- connect, close, keep alive
 * ------------------------------------------------------------------- */

static void create_session(struct archive_server *server, int32_t image_session_id,
                           struct control_session_params *params) {
    struct tern_error error;
    params->image =
        tern_subscription_image_by_session_id(server->polled_subscription, image_session_id);
    if (control_session_create(server, params, &error) != 0) {
        archive_server_error(server, error.code, "connect request: %s", error.text);
    }
    tern_image_release(params->image);
}

static int on_connect(struct archive_server *server, const uint8_t *message, int32_t length,
                      int32_t image_session_id) {
    struct archive_connect_request connect;
    int result = archive_connect_request_decode(&connect, message, length);
    if (result == 0) {
        struct control_session_params params = {.correlation_id = connect.correlation_id,
                                                .stream_id = connect.response_stream_id,
                                                .version = connect.version,
                                                .channel = connect.response_channel};
        create_session(server, image_session_id, &params);
    }
    return result;
}

static int on_auth_connect(struct archive_server *server, const uint8_t *message, int32_t length,
                           int32_t image_session_id) {
    struct archive_auth_connect_request connect;
    int result = archive_auth_connect_request_decode(&connect, message, length);
    if (result == 0) {
        struct control_session_params params = {.correlation_id = connect.correlation_id,
                                                .stream_id = connect.response_stream_id,
                                                .version = connect.version,
                                                .channel = connect.response_channel,
                                                .client_info = connect.client_info};
        create_session(server, image_session_id, &params);
    }
    return result;
}

static int on_close(struct archive_server *server, const uint8_t *message, int32_t length) {
    struct archive_close_session_request close;
    int result = archive_close_session_request_decode(&close, message, length);
    if (result == 0) {
        struct control_session *session = archive_server_session(server, close.control_session_id);
        if (session != NULL) {
            control_session_abort(session, NULL);
        }
    }
    return result;
}

static int request_keep_alive(struct archive_request *request) {
    struct archive_keep_alive_request decoded;
    return archive_keep_alive_request_decode(&decoded, request->message, request->length);
}

static int request_archive_id(struct archive_request *request) {
    struct archive_archive_id_request decoded;
    int result = archive_archive_id_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        request_ok(request, request->server->archive_id);
    }
    return result;
}

/* Sessions are never challenged, so nobody has a reason to send one. */
static int request_challenge_response(struct archive_request *request) {
    struct archive_challenge_response decoded;
    return archive_challenge_response_decode(&decoded, request->message, request->length);
}

/* ---- dispatch
 * --------------------------------------------------------------------------------------- */

static const struct {
    int32_t template_id;
    archive_request_handler handler;
} handlers[] = {
    {ARCHIVE_TEMPLATE_START_RECORDING_REQUEST, request_start_recording},
    {ARCHIVE_TEMPLATE_START_RECORDING_REQUEST2, request_start_recording2},
    {ARCHIVE_TEMPLATE_STOP_RECORDING_REQUEST, request_stop_recording},
    {ARCHIVE_TEMPLATE_REPLAY_REQUEST, request_replay},
    {ARCHIVE_TEMPLATE_STOP_REPLAY_REQUEST, request_stop_replay},
    {ARCHIVE_TEMPLATE_LIST_RECORDINGS_REQUEST, request_list_recordings},
    {ARCHIVE_TEMPLATE_LIST_RECORDINGS_FOR_URI_REQUEST, request_list_recordings_for_uri},
    {ARCHIVE_TEMPLATE_LIST_RECORDING_REQUEST, request_list_recording},
    {ARCHIVE_TEMPLATE_EXTEND_RECORDING_REQUEST, request_extend_recording},
    {ARCHIVE_TEMPLATE_EXTEND_RECORDING_REQUEST2, request_extend_recording2},
    {ARCHIVE_TEMPLATE_RECORDING_POSITION_REQUEST, request_recording_position},
    {ARCHIVE_TEMPLATE_TRUNCATE_RECORDING_REQUEST, request_truncate_recording},
    {ARCHIVE_TEMPLATE_STOP_RECORDING_SUBSCRIPTION_REQUEST, request_stop_recording_subscription},
    {ARCHIVE_TEMPLATE_STOP_POSITION_REQUEST, request_stop_position},
    {ARCHIVE_TEMPLATE_FIND_LAST_MATCHING_RECORDING_REQUEST, request_find_last_matching},
    {ARCHIVE_TEMPLATE_LIST_RECORDING_SUBSCRIPTIONS_REQUEST, request_list_subscriptions},
    {ARCHIVE_TEMPLATE_BOUNDED_REPLAY_REQUEST, request_bounded_replay},
    {ARCHIVE_TEMPLATE_STOP_ALL_REPLAYS_REQUEST, request_stop_all_replays},
    {ARCHIVE_TEMPLATE_REPLICATE_REQUEST, request_replicate},
    {ARCHIVE_TEMPLATE_STOP_REPLICATION_REQUEST, request_stop_replication},
    {ARCHIVE_TEMPLATE_START_POSITION_REQUEST, request_start_position},
    {ARCHIVE_TEMPLATE_DETACH_SEGMENTS_REQUEST, request_detach_segments},
    {ARCHIVE_TEMPLATE_DELETE_DETACHED_SEGMENTS_REQUEST, request_delete_detached_segments},
    {ARCHIVE_TEMPLATE_PURGE_SEGMENTS_REQUEST, request_purge_segments},
    {ARCHIVE_TEMPLATE_ATTACH_SEGMENTS_REQUEST, request_attach_segments},
    {ARCHIVE_TEMPLATE_MIGRATE_SEGMENTS_REQUEST, request_migrate_segments},
    {ARCHIVE_TEMPLATE_CHALLENGE_RESPONSE, request_challenge_response},
    {ARCHIVE_TEMPLATE_KEEP_ALIVE_REQUEST, request_keep_alive},
    {ARCHIVE_TEMPLATE_TAGGED_REPLICATE_REQUEST, request_tagged_replicate},
    {ARCHIVE_TEMPLATE_STOP_RECORDING_BY_IDENTITY_REQUEST, request_stop_recording_by_identity},
    {ARCHIVE_TEMPLATE_REPLICATE_REQUEST2, request_replicate2},
    {ARCHIVE_TEMPLATE_MAX_RECORDED_POSITION_REQUEST, request_max_recorded_position},
    {ARCHIVE_TEMPLATE_ARCHIVE_ID_REQUEST, request_archive_id},
    {ARCHIVE_TEMPLATE_PURGE_RECORDING_REQUEST, request_purge_recording},
    {ARCHIVE_TEMPLATE_REPLAY_TOKEN_REQUEST, request_replay_token},
    {ARCHIVE_TEMPLATE_UPDATE_CHANNEL_REQUEST, request_update_channel},
};

static archive_request_handler handler_of(int32_t template_id) {
    for (size_t i = 0; i < ARRAY_COUNT(handlers); i++) {
        if (handlers[i].template_id == template_id) {
            return handlers[i].handler;
        }
    }
    return NULL;
}

/* All requests that name a session begin with its id and the correlation id. */
#define COMMON_BLOCK_LENGTH ARCHIVE_KEEP_ALIVE_REQUEST_BLOCK_LENGTH

static int on_request(struct archive_server *server, const struct sbe_header *header,
                      struct archive_request *request) {
    archive_request_handler handler = handler_of(header->template_id);
    if (handler == NULL) {
        return 0; /* unknown templates are ignored (1.1 rule 10) */
    }
    if (header->block_length < COMMON_BLOCK_LENGTH) {
        return -EBADMSG;
    }
    if (request_replay_by_token(server, header->template_id, request)) {
        return 0;
    }
    int64_t session_id =
        get_i64(request->message + ARCHIVE_KEEP_ALIVE_REQUEST_CONTROL_SESSION_ID_OFFSET);
    request->correlation_id =
        get_i64(request->message + ARCHIVE_KEEP_ALIVE_REQUEST_CORRELATION_ID_OFFSET);
    request->session = archive_server_session(server, session_id);
    if (request->session == NULL || !control_session_accepts(request->session)) {
        return 0; /* the client may have been told already, or it guesses */
    }
    if (server->conf->authorisation == ARCHIVE_DENY_ALL) {
        request_error(request, TERN_ARCHIVE_ERROR_UNAUTHORISED_ACTION,
                      "%s is not allowed by the configuration",
                      archive_template_name(header->template_id));
        return 0;
    }
    return handler(request);
}

static int on_message(struct archive_server *server, const struct sbe_header *header,
                      struct archive_request *request) {
    switch (header->template_id) {
    case ARCHIVE_TEMPLATE_CONNECT_REQUEST:
        return on_connect(server, request->message, request->length, request->image_session_id);
    case ARCHIVE_TEMPLATE_AUTH_CONNECT_REQUEST:
        return on_auth_connect(server, request->message, request->length,
                               request->image_session_id);
    case ARCHIVE_TEMPLATE_CLOSE_SESSION_REQUEST:
        return on_close(server, request->message, request->length);
    default:
        return on_request(server, header, request);
    }
}

void archive_request_on_message(void *context, const uint8_t *message, int32_t length,
                                const tern_header *frame) {
    struct archive_server *server = context;
    struct sbe_header header;
    if (sbe_peek(&header, message, length) != 0 || header.schema_id != ARCHIVE_SCHEMA_ID) {
        archive_server_error(server, -EBADMSG,
                             "a control message is not one of the archive's schema");
        return;
    }
    struct archive_request request = {.server = server,
                                      .message = message,
                                      .length = length,
                                      .image_session_id = tern_header_session_id(frame)};
    if (on_message(server, &header, &request) != 0) {
        archive_server_error(server, -EBADMSG, "a control message of type %s cannot be decoded",
                             archive_template_name(header.template_id));
    }
}

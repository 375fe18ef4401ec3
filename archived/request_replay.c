/* Requests about replays (archive.md 5.6, 5.7).
 *
 * A replay to a response channel comes over a publication of its own, whose image tells the driver
 * where the replay is to go. It is proved to belong to a session by a token that the session asked
 * for before: random, for one recording, valid for the connect time-out. A wrong token gets no
 * answer, so that guessing learns nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/replay.h"
#include "archived/request.h"

static void create(const struct archive_request *request, struct replay_params *params) {
    struct archive_refusal refusal;
    params->control_session_id = request->session->id;
    params->correlation_id = request->correlation_id;
    if (replay_create(request->server, params, &refusal) != 0) {
        request_refused(request, &refusal);
    }
}

static int decode_replay(const struct archive_request *request, struct replay_params *params,
                         int64_t *token) {
    struct archive_replay_request decoded;
    int result = archive_replay_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        *token = decoded.replay_token;
        *params = (struct replay_params){.recording_id = decoded.recording_id,
                                         .position = decoded.position,
                                         .length = decoded.length,
                                         .limit_counter_id = TERN_NULL_COUNTER_ID,
                                         .stream_id = decoded.replay_stream_id,
                                         .io_length_max = decoded.file_io_max_length,
                                         .response_correlation_id = ARCHIVE_NULL,
                                         .channel = decoded.replay_channel};
    }
    return result;
}

static int decode_bounded_replay(const struct archive_request *request,
                                 struct replay_params *params, int64_t *token) {
    struct archive_bounded_replay_request decoded;
    int result = archive_bounded_replay_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        *token = decoded.replay_token;
        *params = (struct replay_params){.recording_id = decoded.recording_id,
                                         .position = decoded.position,
                                         .length = decoded.length,
                                         .limit_counter_id = decoded.limit_counter_id,
                                         .is_bounded = true,
                                         .stream_id = decoded.replay_stream_id,
                                         .io_length_max = decoded.file_io_max_length,
                                         .response_correlation_id = ARCHIVE_NULL,
                                         .channel = decoded.replay_channel};
    }
    return result;
}

int request_replay(struct archive_request *request) {
    struct replay_params params;
    int64_t token;
    int result = decode_replay(request, &params, &token);
    if (result == 0) {
        create(request, &params);
    }
    return result;
}

int request_bounded_replay(struct archive_request *request) {
    struct replay_params params;
    int64_t token;
    int result = decode_bounded_replay(request, &params, &token);
    if (result == 0) {
        create(request, &params);
    }
    return result;
}

int request_stop_replay(struct archive_request *request) {
    struct archive_stop_replay_request decoded;
    int result = archive_stop_replay_request_decode(&decoded, request->message, request->length);
    if (result != 0) {
        return result;
    }
    const struct session_list *replays = &request->server->replays;
    for (int i = 0; i < replays->count; i++) {
        struct replay *replay = replays->items[i];
        if (replay->session_id == decoded.replay_session_id && replay->session_id != ARCHIVE_NULL) {
            replay_abort(replay);
        }
    }
    request_ok(request, 0);
    return 0;
}

int request_stop_all_replays(struct archive_request *request) {
    struct archive_stop_all_replays_request decoded;
    int result =
        archive_stop_all_replays_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        replay_abort_all(request->server, decoded.recording_id);
        request_ok(request, 0);
    }
    return result;
}

/* ---- tokens
 * ----------------------------------------------------------------------------------------- */

int request_replay_token(struct archive_request *request) {
    struct archive_replay_token_request decoded;
    int result = archive_replay_token_request_decode(&decoded, request->message, request->length);
    if (result != 0) {
        return result;
    }
    struct archive_server *server = request->server;
    if (server->token_count == ARCHIVE_REPLAY_TOKENS_MAX) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%d replay tokens are in use, the limit",
                      ARCHIVE_REPLAY_TOKENS_MAX);
        return 0;
    }
    int64_t token;
    do {
        token = (int64_t)random_u64(server->io.random);
    } while (token == ARCHIVE_NULL);
    server->tokens[server->token_count++] = (struct replay_token){
        .token = token,
        .control_session_id = request->session->id,
        .recording_id = decoded.recording_id,
        .deadline_ns = server->now_ns + server->conf->connect_timeout_ns,
    };
    request_ok(request, token);
    return 0;
}

static struct control_session *session_of_token(const struct archive_server *server, int64_t token,
                                                int64_t recording_id) {
    for (int i = 0; i < server->token_count; i++) {
        const struct replay_token *entry = &server->tokens[i];
        if (entry->token == token && entry->recording_id == recording_id &&
            server->now_ns < entry->deadline_ns) {
            return archive_server_session(server, entry->control_session_id);
        }
    }
    return NULL;
}

static bool is_response_channel(struct text_slice channel) {
    struct uri uri;
    if (uri_parse(&uri, channel.text, channel.length, NULL) != 0) {
        return false;
    }
    const char *mode = uri_get(&uri, "control-mode");
    return mode != NULL && strcmp(mode, "response") == 0;
}

bool request_replay_by_token(struct archive_server *server, int32_t template_id,
                             struct archive_request *request) {
    struct replay_params params;
    int64_t token = ARCHIVE_NULL;
    int result = -EBADMSG;
    if (template_id == ARCHIVE_TEMPLATE_REPLAY_REQUEST) {
        result = decode_replay(request, &params, &token);
    } else if (template_id == ARCHIVE_TEMPLATE_BOUNDED_REPLAY_REQUEST) {
        result = decode_bounded_replay(request, &params, &token);
    }
    if (result != 0 || token == ARCHIVE_NULL || !is_response_channel(params.channel)) {
        return false;
    }
    tern_image *image = tern_subscription_image_by_session_id(server->polled_subscription,
                                                              request->image_session_id);
    request->session = session_of_token(server, token, params.recording_id);
    if (request->session == NULL || image == NULL || !control_session_accepts(request->session)) {
        archive_server_error(server, -EACCES, "a replay request has no valid token");
    } else {
        request->correlation_id =
            get_i64(request->message + ARCHIVE_KEEP_ALIVE_REQUEST_CORRELATION_ID_OFFSET);
        params.response_correlation_id = tern_image_correlation_id(image);
        create(request, &params);
    }
    tern_image_release(image);
    return true;
}

/* Connecting to an archive, one step per poll (archive.md 3.2, 3.11).
 *
 *   SESSION_ID -> SUBSCRIPTION -> PUBLICATION -> CONNECTED -> REQUEST -> IMAGE -> ANSWER
 *       (ask the driver      (a response channel skips it and puts the
 *        for a free id)       subscription's id on the request channel)
 *   -> ID_REQUEST -> ID_ANSWER -> KEEP_ALIVE -> done
 *
 * A server that is older than 1.11.0 is not asked for its id. Everything made so far hangs from the
 * half-finished session, so that giving up is one destroy.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/session.h"
#include "base/agent.h"
#include "base/clock.h"
#include "client/seams.h"
#include "base/uri.h"
#include "wire/command.h"

enum connect_state {
    CONNECT_STATE_SESSION_ID,
    CONNECT_STATE_SUBSCRIPTION,
    CONNECT_STATE_PUBLICATION,
    CONNECT_STATE_CONNECTED,
    CONNECT_STATE_REQUEST,
    CONNECT_STATE_IMAGE,
    CONNECT_STATE_ANSWER,
    CONNECT_STATE_ID_REQUEST,
    CONNECT_STATE_ID_ANSWER,
    CONNECT_STATE_KEEP_ALIVE,
};

static const char *const waiting_for[] = {
    "a session id from the driver",
    "the response subscription",
    "the request publication",
    "the archive to receive requests",
    "the connect request to be accepted",
    "the response stream",
    "the answer to the connect request",
    "the archive id request to be accepted",
    "the archive id",
    "the keep-alive to be accepted",
};

struct tern_archive_connect {
    enum connect_state state;
    struct tern_archive *archive;
    tern_async *async;   /* of the state */
    int64_t deadline_ns; /* 0: not yet set */
    bool is_response_mode;
    bool is_manual;
    int32_t request_stream_id;
    int32_t response_stream_id;
    struct uri_builder request_channel;
    struct uri_builder response_channel;
    char client_info[ARCHIVE_CLIENT_NAME_MAX + 64];
    uint8_t *credentials;
    int32_t credentials_length;
    int32_t server_version;
};

static void set_state(struct tern_archive_connect *connect, enum connect_state state) {
    assert(state > connect->state);
    connect->state = state;
}

/* ---- begin ------------------------------------------------------------------------------------
 */

/* Put the defaults of the params on a control channel where it says nothing itself. */
static int conclude_channel(struct uri_builder *builder, const char *channel,
                            const struct tern_archive_params *params, struct uri *uri,
                            struct tern_error *error) {
    int result = uri_parse(uri, channel, (int32_t)strlen(channel), error);
    if (result != 0) {
        return result;
    }
    result = uri_builder_init(builder, channel);
    if (result == 0 && uri_get(uri, "term-length") == NULL) {
        int32_t length = params->control_term_length;
        result = uri_builder_set_i64(builder, "term-length",
                                     length != 0 ? length : ARCHIVE_CONTROL_TERM_LENGTH_DEFAULT);
    }
    if (result == 0 && uri_get(uri, "mtu") == NULL) {
        int32_t length = params->control_mtu_length;
        result = uri_builder_set_i64(builder, "mtu",
                                     length != 0 ? length : ARCHIVE_CONTROL_MTU_LENGTH_DEFAULT);
    }
    if (result == 0 && uri_get(uri, "sparse") == NULL) {
        result =
            uri_builder_set(builder, "sparse", params->control_term_not_sparse ? "false" : "true");
    }
    return result == 0 ? 0 : error_set(error, result, "control channel is too long");
}

static bool mode_is(const struct uri *uri, const char *mode) {
    const char *value = uri_get(uri, "control-mode");
    return value != NULL && strcmp(value, mode) == 0;
}

static int copy_params(struct tern_archive_connect *connect,
                       const struct tern_archive_params *params, struct tern_error *error) {
    struct uri uri;
    int result =
        conclude_channel(&connect->request_channel, params->request_channel, params, &uri, error);
    if (result == 0) {
        result = conclude_channel(&connect->response_channel, params->response_channel, params,
                                  &uri, error);
    }
    if (result != 0) {
        return result;
    }
    connect->is_response_mode = mode_is(&uri, "response");
    connect->is_manual = mode_is(&uri, "manual");
    connect->request_stream_id = params->request_stream_id != 0 ? params->request_stream_id
                                                                : ARCHIVE_REQUEST_STREAM_ID_DEFAULT;
    connect->response_stream_id = params->response_stream_id != 0
                                      ? params->response_stream_id
                                      : ARCHIVE_RESPONSE_STREAM_ID_DEFAULT;
    const char *name = params->client_name != NULL ? params->client_name : "";
    (void)snprintf(connect->client_info, sizeof connect->client_info,
                   "name=%s version=" TERN_VERSION " commit=", name);
    if (params->credentials_length > 0) {
        connect->credentials = malloc((size_t)params->credentials_length);
        if (connect->credentials == NULL) {
            return error_set(error, -ENOMEM, "no memory to connect to an archive");
        }
        memcpy(connect->credentials, params->credentials, (size_t)params->credentials_length);
        connect->credentials_length = params->credentials_length;
    }
    connect->archive->handlers = params->handlers;
    connect->archive->message_timeout_ns = params->message_timeout_ns != 0
                                               ? params->message_timeout_ns
                                               : ARCHIVE_MESSAGE_TIMEOUT_DEFAULT_NS;
    return 0;
}

static int check_params(const struct tern_archive_params *params, struct tern_error *error) {
    if (params->client == NULL || params->request_channel == NULL ||
        params->response_channel == NULL) {
        return error_set(error, -EINVAL, "client, request channel and response channel are needed");
    }
    if (params->client_name != NULL && strlen(params->client_name) > ARCHIVE_CLIENT_NAME_MAX) {
        return error_set(error, -EINVAL, "client name is longer than %d bytes",
                         ARCHIVE_CLIENT_NAME_MAX);
    }
    if (params->credentials_length < 0 || params->message_timeout_ns < 0) {
        return error_set(error, -EINVAL, "negative length or timeout");
    }
    return 0;
}

int tern_archive_connect_begin(struct tern_archive_connect **connect,
                               const struct tern_archive_params *params, struct tern_error *error) {
    int result = check_params(params, error);
    if (result != 0) {
        return result;
    }
    struct tern_archive_connect *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->archive = archive_session_create(params->client);
    }
    if (made == NULL || made->archive == NULL) {
        free(made);
        return error_set(error, -ENOMEM, "no memory to connect to an archive");
    }
    result = copy_params(made, params, error);
    if (result != 0) {
        tern_archive_connect_cancel(made);
        return result;
    }
    made->state = made->is_response_mode ? CONNECT_STATE_SUBSCRIPTION : CONNECT_STATE_SESSION_ID;
    *connect = made;
    return 0;
}

void tern_archive_connect_cancel(struct tern_archive_connect *connect) {
    if (connect == NULL) {
        return;
    }
    tern_async_cancel(connect->async);
    tern_archive_close(connect->archive);
    free(connect->credentials);
    free(connect);
}

/* ---- steps: 1 goes on to the next state, 0 waits, negative fails
 * --------------------------------- */

static bool is_temporary(int code) {
    return code == TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_TEMPORARILY_UNAVAILABLE ||
           code == TERN_ERROR_DRIVER_BUFFER_FULL;
}

/* The failure of a request to the driver: wait and try again, or give up. */
static int retry_or_fail(struct tern_archive_connect *connect, const struct tern_error *error) {
    connect->async = NULL;
    return is_temporary(error->code) ? 0 : error->code;
}

static int step_session_id(struct tern_archive_connect *connect, struct tern_error *error) {
    if (connect->async == NULL) {
        connect->async = tern_client_async_next_session_id(connect->archive->client,
                                                           connect->request_stream_id, error);
        return connect->async == NULL ? retry_or_fail(connect, error) : 0;
    }
    int32_t session_id;
    int result = tern_async_poll_session_id(connect->async, &session_id, error);
    if (result < 0) {
        return retry_or_fail(connect, error);
    }
    if (result == 1) {
        connect->async = NULL;
        result = uri_builder_set_i64(&connect->request_channel, "session-id", session_id);
        if (result == 0) {
            result = uri_builder_set_i64(&connect->response_channel, "session-id", session_id);
        }
        return result == 0 ? 1 : error_set(error, result, "control channel is too long");
    }
    return 0;
}

static int step_subscription(struct tern_archive_connect *connect, struct tern_error *error) {
    struct tern_archive *archive = connect->archive;
    if (connect->async == NULL) {
        const struct tern_subscription_params params = {.channel = connect->response_channel.text,
                                                        .stream_id = connect->response_stream_id};
        connect->async = tern_client_async_add_subscription(archive->client, &params, error);
        return connect->async == NULL ? retry_or_fail(connect, error) : 0;
    }
    int result = tern_async_poll_subscription(connect->async, &archive->subscription, error);
    if (result < 0) {
        return retry_or_fail(connect, error);
    }
    if (result == 1) {
        connect->async = NULL;
        if (connect->is_response_mode) {
            int64_t id = tern_subscription_registration_id(archive->subscription);
            if (uri_builder_set_i64(&connect->request_channel, "response-correlation-id", id) !=
                0) {
                return error_set(error, -ENAMETOOLONG, "request channel is too long");
            }
        }
    }
    return result;
}

static int step_publication(struct tern_archive_connect *connect, struct tern_error *error) {
    struct tern_archive *archive = connect->archive;
    if (connect->async == NULL) {
        connect->async = tern_client_async_add_exclusive_publication(
            archive->client, connect->request_channel.text, connect->request_stream_id, error);
        return connect->async == NULL ? retry_or_fail(connect, error) : 0;
    }
    int result =
        tern_async_poll_exclusive_publication(connect->async, &archive->publication, error);
    if (result < 0) {
        return retry_or_fail(connect, error);
    }
    if (result == 1) {
        connect->async = NULL;
    }
    return result;
}

/* The channel that the server is to publish on: with the port that the driver bound. */
static int response_channel_text(const struct tern_archive_connect *connect, char *text,
                                 int32_t size) {
    if (connect->is_manual) {
        memcpy(text, connect->response_channel.text, (size_t)connect->response_channel.length + 1);
        return connect->response_channel.length;
    }
    return tern_subscription_resolved_channel(connect->archive->subscription, text, size);
}

static int step_request(struct tern_archive_connect *connect, struct tern_error *error) {
    struct tern_archive *archive = connect->archive;
    char channel[URI_LENGTH_MAX + 1];
    int length = response_channel_text(connect, channel, (int32_t)sizeof channel);
    if (length <= 0) {
        return length == 0 ? 0 : error_set(error, length, "response channel is too long");
    }
    /* A new id for each attempt: an answer can then not belong to an earlier one. */
    int64_t id = tern_client_next_correlation_id(archive->client);
    const struct archive_auth_connect_request request = {
        .correlation_id = id,
        .response_stream_id = connect->response_stream_id,
        .version = ARCHIVE_PROTOCOL_VERSION,
        .response_channel = {channel, length},
        .encoded_credentials = {(const char *)connect->credentials, connect->credentials_length},
        .client_info = archive_text(connect->client_info),
    };
    int32_t encoded = archive_auth_connect_request_encode(&request, archive->request,
                                                          ARCHIVE_SESSION_REQUEST_LENGTH_MAX);
    int64_t sent = archive_session_offer(archive, encoded, id);
    if (sent == -EAGAIN || sent == -ENOTCONN) {
        return 0;
    }
    if (sent < 0) {
        return error_set(error, (int)sent, "cannot send the connect request");
    }
    archive->connect_correlation_id = id;
    return 1;
}

/* What the poll of step_answer found. */
struct connect_answer {
    struct tern_archive_connect *connect;
    int result;
    struct tern_error *error;
};

static void on_connect_response(struct connect_answer *answer, const uint8_t *message,
                                int32_t length) {
    struct tern_archive *archive = answer->connect->archive;
    struct archive_control_response response;
    if (archive_control_response_decode(&response, message, length) != 0 ||
        response.correlation_id != archive->connect_correlation_id) {
        return;
    }
    archive->control_session_id = response.control_session_id;
    answer->connect->server_version = response.version;
    answer->result = 1;
    if (response.code != ARCHIVE_CONTROL_RESPONSE_CODE_OK) {
        char text[TERN_ERROR_TEXT_MAX];
        (void)snprintf(text, sizeof text, "%.*s", response.error_message.length,
                       response.error_message.text);
        const struct tern_archive_response refused = {
            .relevant_id = response.relevant_id,
            .code = (enum tern_archive_response_code)response.code,
            .text = text,
        };
        answer->result = archive_session_error(&refused, answer->error);
        (void)error_prefix(answer->error, "the archive refused the connection");
    }
}

static void on_connect_message(void *context, const struct sbe_header *header,
                               const uint8_t *message, int32_t length) {
    struct connect_answer *answer = context;
    struct archive_challenge challenge;
    if (answer->result != 0) {
        return;
    }
    if (header->template_id == ARCHIVE_TEMPLATE_CONTROL_RESPONSE) {
        on_connect_response(answer, message, length);
    } else if (header->template_id == ARCHIVE_TEMPLATE_CHALLENGE &&
               archive_challenge_decode(&challenge, message, length) == 0 &&
               challenge.correlation_id == answer->connect->archive->connect_correlation_id) {
        answer->connect->archive->control_session_id = challenge.control_session_id;
        answer->result = error_set(
            answer->error, TERN_ERROR_PROTOCOL,
            "the archive sent a challenge: challenge authentication is not supported yet");
    }
}

static int step_answer(struct tern_archive_connect *connect, struct tern_error *error) {
    struct connect_answer answer = {connect, 0, error};
    archive_session_poll(connect->archive, on_connect_message, &answer);
    return answer.result;
}

static int step_id_answer(struct tern_archive_connect *connect, struct tern_error *error) {
    struct tern_archive *archive = connect->archive;
    return tern_archive_poll_response(archive, archive->request_correlation_id,
                                      &archive->archive_id, error);
}

/* 1 when sent, 0 to try again, negative otherwise. */
static int sent_or_retry(int64_t sent, struct tern_error *error) {
    if (sent == -EAGAIN) {
        return 0;
    }
    return sent < 0 ? error_set(error, (int)sent, "the archive has gone") : 1;
}

static int step(struct tern_archive_connect *connect, struct tern_error *error) {
    struct tern_archive *archive = connect->archive;
    switch (connect->state) {
    case CONNECT_STATE_SESSION_ID:
        return step_session_id(connect, error);
    case CONNECT_STATE_SUBSCRIPTION:
        return step_subscription(connect, error);
    case CONNECT_STATE_PUBLICATION:
        return step_publication(connect, error);
    case CONNECT_STATE_CONNECTED:
        return tern_exclusive_publication_is_connected(archive->publication) ? 1 : 0;
    case CONNECT_STATE_REQUEST:
        return step_request(connect, error);
    case CONNECT_STATE_IMAGE:
        return tern_subscription_is_connected(archive->subscription) ? 1 : 0;
    case CONNECT_STATE_ANSWER:
        return step_answer(connect, error);
    case CONNECT_STATE_ID_REQUEST:
        if (connect->server_version < ARCHIVE_PROTOCOL_VERSION_WITH_ID) {
            set_state(connect, CONNECT_STATE_ID_ANSWER); /* skip both */
            return 1;
        }
        return sent_or_retry(tern_archive_send_archive_id(archive), error);
    case CONNECT_STATE_ID_ANSWER:
        return step_id_answer(connect, error);
    case CONNECT_STATE_KEEP_ALIVE:
        return sent_or_retry(tern_archive_send_keep_alive(archive), error);
    }
    return -EINVAL;
}

int tern_archive_connect_poll(struct tern_archive_connect *connect, int64_t now_ns,
                              struct tern_archive **archive, struct tern_error *error) {
    struct tern_error local;
    struct tern_error *text = error != NULL ? error : &local;
    if (connect->deadline_ns == 0) {
        connect->deadline_ns = now_ns + connect->archive->message_timeout_ns;
    }
    int result = step(connect, text);
    if (result == 1 && connect->state == CONNECT_STATE_KEEP_ALIVE) {
        *archive = connect->archive;
        connect->archive = NULL;
        tern_archive_connect_cancel(connect);
        return 1;
    }
    if (result == 1) {
        set_state(connect, connect->state + 1);
        return 0;
    }
    if (result == 0 && tern_client_is_closed(connect->archive->client)) {
        result = error_set(text, TERN_ERROR_CLOSED, "the client is closed");
    }
    if (result == 0 && now_ns - connect->deadline_ns >= 0) {
        result = error_set(text, -ETIMEDOUT, "no connection to the archive: waited for %s",
                           waiting_for[connect->state]);
    }
    if (result < 0) {
        tern_archive_connect_cancel(connect);
    }
    return result;
}

int tern_archive_connect(struct tern_archive **archive, const struct tern_archive_params *params,
                         struct tern_error *error) {
    struct tern_archive_connect *connect;
    int result = tern_archive_connect_begin(&connect, params, error);
    if (result != 0) {
        return result;
    }
    struct idle_strategy idle;
    (void)idle_strategy_parse(&idle, "backoff", NULL, NULL);
    for (;;) {
        int work_count = tern_client_do_work(params->client);
        result =
            tern_archive_connect_poll(connect, tern_client_now_ns(params->client), archive, error);
        if (result != 0) {
            return result == 1 ? 0 : result;
        }
        idle_strategy_idle(&idle, NULL, work_count);
    }
}

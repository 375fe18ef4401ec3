/* Control sessions.
 *
 *   INIT -> CONNECTING -> CONNECTED -> AUTHENTICATED -> ACTIVE -> DONE
 *     (any state -> DONE: closed by the client, time-out, response stream gone, request image gone)
 *
 * A session of an incompatible version stays in CONNECTED and is told so every 200 ms. Everybody is
 * authenticated at once: challenges are not built yet, and the option table refuses to ask for
 * them.
 *
 * Sending: a message goes out at once unless earlier ones wait; then it queues behind them. The
 * queue has a fixed size; a client that lets it run full, or does not read for the connect
 * time-out, is cut off, so that one client that sleeps costs neither memory nor the others.
 */
#include "archived/control_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archived/channel.h"
#include "shm/counter_types.h"
#include "shm/log_buffer.h"

#define NO_DEADLINE INT64_MAX
#define FLUSH_COUNT_MAX 64 /* queued messages sent per duty cycle */
#define CLIENT_INFO_MAX 200

static void set_state(struct control_session *session, enum control_session_state state) {
    assert(state > session->state);
    session->state = state;
}

void control_session_abort(struct control_session *session, const char *reject_reason) {
    if (session->state != CONTROL_SESSION_STATE_DONE) {
        set_state(session, CONTROL_SESSION_STATE_DONE);
        session->reject_reason = reject_reason;
    }
}

/* ---- create
 * --------------------------------------------------------------------------------------- */

/* The response channel of the client, stripped, with the geometry it or our configuration asks for.
 */
static int response_channel(const struct archive_server *server,
                            const struct control_session_params *params,
                            struct uri_builder *channel, struct tern_error *error) {
    struct uri uri;
    int result = uri_parse(&uri, params->channel.text, params->channel.length, error);
    if (result != 0) {
        return result;
    }
    int64_t mtu = server->conf->control_mtu_length;
    int64_t term_length = server->conf->control_term_length;
    bool sparse = server->conf->control_term_sparse;
    if (uri_get_size(&uri, "mtu", &mtu, error) < 0 ||
        uri_get_size(&uri, "term-length", &term_length, error) < 0 ||
        uri_get_bool(&uri, "sparse", &sparse, error) < 0) {
        return TERN_ERROR_INVALID_URI;
    }
    if (!log_mtu_is_valid(mtu) || !log_term_length_is_valid(term_length)) {
        return error_set(error, TERN_ERROR_INVALID_URI,
                         "mtu %" PRId64 " or term-length %" PRId64 " of a response channel", mtu,
                         term_length);
    }
    result = channel_strip(&uri, channel);
    if (result == 0) {
        result = uri_builder_set_i64(channel, "term-length", term_length);
    }
    if (result == 0) {
        result = uri_builder_set(channel, "sparse", sparse ? "true" : "false");
    }
    if (result == 0) {
        result = uri_builder_set_i64(channel, "mtu", mtu);
    }
    const char *mode = uri_get(&uri, "control-mode");
    if (result == 0 && mode != NULL && strcmp(mode, "response") == 0 && params->image != NULL) {
        result = uri_builder_set_i64(channel, "response-correlation-id",
                                     tern_image_correlation_id(params->image));
    }
    return result == 0 ? 0 : error_set(error, result, "response channel is too long");
}

/* Printable ASCII only: it becomes part of a counter's label. */
static void copy_client_info(struct control_session *session, struct text_slice info) {
    int32_t length = info.length < CLIENT_INFO_MAX ? info.length : CLIENT_INFO_MAX;
    for (int32_t i = 0; i < length; i++) {
        char letter = info.text[i];
        session->client_info[i] = letter >= ' ' && letter <= '~' ? letter : '?';
    }
    session->client_info[length] = length > 0 ? ' ' : '\0';
    if (length > 0) {
        session->client_info[length + 1] = '\0';
    }
}

int control_session_create(struct archive_server *server,
                           const struct control_session_params *params, struct tern_error *error) {
    struct control_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return error_set(error, -ENOMEM, "no memory for a control session");
    }
    int result = response_channel(server, params, &session->channel, error);
    if (result == 0 &&
        hash_map_put(&server->sessions_by_id, server->next_session_id, session) != 0) {
        result = error_set(error, -ENOMEM, "no memory for a control session");
    }
    if (result == 0 && session_list_add(&server->sessions, session) != 0) {
        (void)hash_map_remove(&server->sessions_by_id, server->next_session_id);
        result = error_set(error, -ENOMEM, "no memory for a control session");
    }
    if (result != 0) {
        free(session);
        return result;
    }
    session->server = server;
    session->state = CONTROL_SESSION_STATE_INIT;
    session->id = server->next_session_id++;
    session->correlation_id = params->correlation_id;
    session->stream_id = params->stream_id;
    session->is_version_valid = params->version >> 16 == ARCHIVE_SERVER_PROTOCOL_MAJOR;
    session->deadline_ns = server->now_ns + server->conf->connect_timeout_ns;
    copy_client_info(session, params->client_info);
    if (params->image != NULL) {
        tern_image_retain(params->image);
        session->request_image = params->image;
    }
    archive_server_count(server, ARCHIVE_COUNTER_CONTROL_SESSIONS, 1);
    return 0;
}

/* A client may connect a second time over the same stream, say by mistake; the first session must
 * not suffer for it. */
static bool is_image_shared(const struct control_session *session) {
    const struct session_list *sessions = &session->server->sessions;
    for (int i = 0; i < sessions->count; i++) {
        const struct control_session *other = sessions->items[i];
        if (other != session && other->request_image == session->request_image) {
            return true;
        }
    }
    return false;
}

void control_session_destroy(struct control_session *session) {
    struct archive_server *server = session->server;
    tern_async_cancel(session->publication_async);
    tern_async_cancel(session->counter_async);
    if (session->publication != NULL) {
        tern_exclusive_publication_revoke(session->publication);
    }
    tern_counter_close(session->counter);
    if (session->request_image != NULL) {
        if (session->reject_reason != NULL && !tern_image_is_closed(session->request_image) &&
            !is_image_shared(session)) {
            (void)tern_image_reject(session->request_image, session->reject_reason, NULL);
        }
        tern_image_release(session->request_image);
    }
    listing_end(&session->listing);
    for (int i = server->token_count - 1; i >= 0; i--) {
        if (server->tokens[i].control_session_id == session->id) {
            server->tokens[i] = server->tokens[--server->token_count];
        }
    }
    (void)hash_map_remove(&server->sessions_by_id, session->id);
    archive_server_count(server, ARCHIVE_COUNTER_CONTROL_SESSIONS, -1);
    free(session->queue);
    free(session);
}

/* ---- sending
 * -------------------------------------------------------------------------------------- */

/* 1 sent, 0 try later, -1 the session is over. */
static int offer(struct control_session *session, const uint8_t *message, int32_t length) {
    for (int i = 0; i < CONTROL_SESSION_SEND_ATTEMPTS; i++) {
        int64_t result = tern_exclusive_publication_offer(session->publication, message, length);
        if (result >= 0) {
            session->deadline_ns = NO_DEADLINE;
            return 1;
        }
        if (result == TERN_PUBLICATION_NOT_CONNECTED) {
            control_session_abort(session, NULL);
            return -1;
        }
        if (result != TERN_PUBLICATION_BACK_PRESSURED && result != TERN_PUBLICATION_ADMIN_ACTION) {
            archive_server_error(session->server, -EPIPE, "response stream of a session: %s",
                                 tern_publication_result_name(result));
            control_session_abort(session, "response stream failed");
            return -1;
        }
    }
    return 0;
}

static void expect_progress(struct control_session *session) {
    if (session->deadline_ns == NO_DEADLINE) {
        session->deadline_ns = session->server->now_ns + session->server->conf->connect_timeout_ns;
    }
}

static void enqueue(struct control_session *session, const uint8_t *message, int32_t length) {
    int32_t needed = length + (int32_t)sizeof(int32_t);
    if (session->queue == NULL) {
        session->queue = malloc(CONTROL_SESSION_QUEUE_LENGTH);
    }
    if (session->queue != NULL && session->queue_head > 0 &&
        session->queue_tail + needed > CONTROL_SESSION_QUEUE_LENGTH) {
        memmove(session->queue, session->queue + session->queue_head,
                (size_t)(session->queue_tail - session->queue_head));
        session->queue_tail -= session->queue_head;
        session->queue_head = 0;
    }
    if (session->queue == NULL || session->queue_tail + needed > CONTROL_SESSION_QUEUE_LENGTH) {
        control_session_abort(session, "client does not read its responses");
        return;
    }
    put_i32(session->queue + session->queue_tail, length);
    memcpy(session->queue + session->queue_tail + sizeof(int32_t), message, (size_t)length);
    session->queue_tail += needed;
    expect_progress(session);
}

static int flush(struct control_session *session) {
    int sent = 0;
    while (session->queue_head < session->queue_tail && sent < FLUSH_COUNT_MAX) {
        const uint8_t *entry = session->queue + session->queue_head;
        int32_t length = get_i32(entry);
        if (offer(session, entry + sizeof(int32_t), length) != 1) {
            if (session->state != CONTROL_SESSION_STATE_DONE) {
                expect_progress(session);
            }
            return sent;
        }
        session->queue_head += length + (int32_t)sizeof(int32_t);
        sent++;
    }
    if (session->queue_head == session->queue_tail) {
        session->queue_head = session->queue_tail = 0;
    }
    return sent;
}

void control_session_send(struct control_session *session, const uint8_t *message, int32_t length) {
    if (session->state == CONTROL_SESSION_STATE_DONE || session->publication == NULL) {
        return;
    }
    if (session->queue_head < session->queue_tail || offer(session, message, length) == 0) {
        enqueue(session, message, length);
    }
}

bool control_session_try_send(struct control_session *session, const uint8_t *message,
                              int32_t length) {
    if (session->queue_head < session->queue_tail) {
        return false;
    }
    int result = offer(session, message, length);
    if (result == 0) {
        expect_progress(session);
    }
    return result == 1;
}

static int32_t encode_response(const struct archive_control_response *response, uint8_t *message) {
    int32_t length = archive_control_response_encode(response, message, ARCHIVE_MESSAGE_LENGTH_MAX);
    assert(length > 0);
    return length;
}

static void respond(struct archive_server *server, struct archive_control_response response) {
    struct control_session *session = archive_server_session(server, response.control_session_id);
    if (session != NULL) {
        response.version = ARCHIVE_SERVER_PROTOCOL_VERSION;
        control_session_send(session, server->message, encode_response(&response, server->message));
    }
}

void control_respond_ok(struct archive_server *server, int64_t control_session_id,
                        int64_t correlation_id, int64_t relevant_id) {
    respond(server, (struct archive_control_response){.control_session_id = control_session_id,
                                                      .correlation_id = correlation_id,
                                                      .relevant_id = relevant_id,
                                                      .code = ARCHIVE_CONTROL_RESPONSE_CODE_OK});
}

void control_respond_error(struct archive_server *server, int64_t control_session_id,
                           int64_t correlation_id, int64_t error_code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    respond(server,
            (struct archive_control_response){.control_session_id = control_session_id,
                                              .correlation_id = correlation_id,
                                              .relevant_id = error_code,
                                              .code = ARCHIVE_CONTROL_RESPONSE_CODE_ERROR,
                                              .error_message = {text, (int32_t)strlen(text)}});
}

void control_respond_unknown(struct archive_server *server, int64_t control_session_id,
                             int64_t correlation_id, int32_t code, int64_t relevant_id) {
    respond(server, (struct archive_control_response){.control_session_id = control_session_id,
                                                      .correlation_id = correlation_id,
                                                      .relevant_id = relevant_id,
                                                      .code = code});
}

void control_send_signal(struct archive_server *server, const struct control_signal *signal) {
    struct control_session *session = archive_server_session(server, signal->control_session_id);
    if (session == NULL) {
        return;
    }
    const struct archive_recording_signal_event event = {
        .control_session_id = signal->control_session_id,
        .correlation_id = signal->correlation_id,
        .recording_id = signal->recording_id,
        .subscription_id = signal->subscription_id,
        .position = signal->position,
        .signal = signal->signal,
    };
    int32_t length =
        archive_recording_signal_event_encode(&event, server->message, ARCHIVE_MESSAGE_LENGTH_MAX);
    assert(length > 0);
    control_session_send(session, server->message, length);
}

/* ---- steps
 * ---------------------------------------------------------------------------------------- */

/* Not ready: false. A failure aborts the session; a temporary one is tried again. */
static bool add_publication(struct control_session *session) {
    struct archive_server *server = session->server;
    struct tern_error error;
    if (session->publication != NULL) {
        return true;
    }
    int result;
    if (session->publication_async == NULL) {
        session->publication_async = tern_client_async_add_exclusive_publication(
            server->client, session->channel.text, session->stream_id, &error);
        result = session->publication_async == NULL ? error.code : 0;
    } else {
        result = tern_async_poll_exclusive_publication(session->publication_async,
                                                       &session->publication, &error);
        session->publication_async = result == 0 ? session->publication_async : NULL;
    }
    if (result < 0 && !archive_server_is_temporary(result)) {
        archive_server_error(server, result, "response publication %.100s: %s",
                             session->channel.text, error.text);
        control_session_abort(session, "response channel cannot be used");
    }
    return session->publication != NULL;
}

static tern_async *begin_counter(struct control_session *session, struct tern_error *error) {
    struct archive_server *server = session->server;
    uint8_t key[16];
    char label[TERN_COUNTER_LABEL_MAX + 1];
    put_i64(key, server->archive_id);
    put_i64(key + 8, session->id);
    const tern_image *image = session->request_image;
    int32_t length = archive_server_label(
        server, label, (int32_t)sizeof label, "control-session: %ssourceIdentity=%s sessionId=%d",
        session->client_info, image != NULL ? tern_image_source_identity(image) : "gone",
        image != NULL ? tern_image_session_id(image) : 0);
    const struct tern_counter_params params = {.type_id = COUNTER_TYPE_ARCHIVE_CONTROL_SESSION,
                                               .key = key,
                                               .key_length = (int32_t)sizeof key,
                                               .label = label,
                                               .label_length = length};
    return tern_client_async_add_counter(server->client, &params, error);
}

static bool add_counter(struct control_session *session) {
    struct tern_error error;
    if (session->counter != NULL) {
        return true;
    }
    int result;
    if (session->counter_async == NULL) {
        session->counter_async = begin_counter(session, &error);
        result = session->counter_async == NULL ? error.code : 0;
    } else {
        result = tern_async_poll_counter(session->counter_async, &session->counter, &error);
        session->counter_async = result == 0 ? session->counter_async : NULL;
    }
    if (result < 0 && !archive_server_is_temporary(result)) {
        archive_server_error(session->server, result, "counter of a control session: %s",
                             error.text);
        control_session_abort(session, "no counter for the session");
    }
    return session->counter != NULL;
}

static int step_init(struct control_session *session) {
    bool has_publication = add_publication(session);
    bool has_counter = session->state == CONTROL_SESSION_STATE_INIT && add_counter(session);
    if (session->state == CONTROL_SESSION_STATE_INIT && has_publication && has_counter) {
        struct counter_value *value =
            (struct counter_value *)(void *)tern_counter_address(session->counter);
        store_release_i64(&value->reference_id,
                          tern_exclusive_publication_registration_id(session->publication));
        tern_counter_set(session->counter, session->id);
        session->deadline_ns = session->server->now_ns + session->server->conf->connect_timeout_ns;
        set_state(session, CONTROL_SESSION_STATE_CONNECTING);
        return 1;
    }
    return 0;
}

/* Tell the client that it is in, or that its version is of another world. */
static int send_connect_answer(struct control_session *session) {
    struct archive_server *server = session->server;
    if (server->now_ns < session->resend_deadline_ns) {
        return 0;
    }
    static const char wrong_version[] = "incompatible protocol version: this archive speaks 1.12";
    const struct archive_control_response response = {
        .control_session_id = session->id,
        .correlation_id = session->correlation_id,
        .relevant_id = session->id,
        .code = session->is_version_valid ? ARCHIVE_CONTROL_RESPONSE_CODE_OK
                                          : ARCHIVE_CONTROL_RESPONSE_CODE_ERROR,
        .version = ARCHIVE_SERVER_PROTOCOL_VERSION,
        .error_message = {wrong_version,
                          session->is_version_valid ? 0 : (int32_t)sizeof wrong_version - 1},
    };
    int64_t deadline_ns = session->deadline_ns;
    int result = offer(session, server->message, encode_response(&response, server->message));
    if (result != 1) {
        return 0;
    }
    session->resend_deadline_ns = server->now_ns + ARCHIVE_RESEND_INTERVAL_NS;
    if (!session->is_version_valid) {
        session->deadline_ns = deadline_ns; /* a refused session ends with its time-out */
    } else if (session->state == CONTROL_SESSION_STATE_CONNECTED) {
        set_state(session, CONTROL_SESSION_STATE_AUTHENTICATED);
    }
    return 1;
}

static int step_active(struct control_session *session) {
    struct archive_server *server = session->server;
    int work = flush(session);
    if (session->state == CONTROL_SESSION_STATE_DONE) {
        return work;
    }
    if (server->now_ns >= session->ping_deadline_ns) {
        const struct archive_ping ping = {session->id};
        int32_t length = archive_ping_encode(&ping, server->message, ARCHIVE_MESSAGE_LENGTH_MAX);
        session->ping_deadline_ns = server->now_ns + server->conf->liveness_interval_ns;
        (void)control_session_try_send(session, server->message, length);
        work++;
    }
    if (session->state != CONTROL_SESSION_STATE_DONE) {
        work += listing_step(session);
    }
    return work;
}

bool control_session_accepts(struct control_session *session) {
    if (session->state == CONTROL_SESSION_STATE_AUTHENTICATED) {
        set_state(session, CONTROL_SESSION_STATE_ACTIVE);
        session->ping_deadline_ns =
            session->server->now_ns + session->server->conf->liveness_interval_ns;
    }
    return session->state == CONTROL_SESSION_STATE_ACTIVE;
}

/* What ends a session from outside. */
static void check_alive(struct control_session *session) {
    bool has_request_image =
        session->request_image != NULL && !tern_image_is_closed(session->request_image);
    bool was_connected = session->state > CONTROL_SESSION_STATE_CONNECTING;
    if (!has_request_image) {
        control_session_abort(session, NULL);
    } else if (was_connected && !tern_exclusive_publication_is_connected(session->publication)) {
        control_session_abort(session, NULL);
    } else if (session->server->now_ns > session->deadline_ns) {
        control_session_abort(session, "timed out: response stream not connected or not read");
    }
}

int control_session_step(struct control_session *session, bool *is_alive) {
    int work = 0;
    if (session->state != CONTROL_SESSION_STATE_DONE) {
        check_alive(session);
    }
    switch (session->state) {
    case CONTROL_SESSION_STATE_INIT:
        work = step_init(session);
        break;
    case CONTROL_SESSION_STATE_CONNECTING:
        if (tern_exclusive_publication_is_connected(session->publication)) {
            set_state(session, CONTROL_SESSION_STATE_CONNECTED);
            work = 1 + send_connect_answer(session);
        }
        break;
    case CONTROL_SESSION_STATE_CONNECTED:
    case CONTROL_SESSION_STATE_AUTHENTICATED:
        work = send_connect_answer(session);
        break;
    case CONTROL_SESSION_STATE_ACTIVE:
        work = step_active(session);
        break;
    case CONTROL_SESSION_STATE_DONE:
        break;
    }
    *is_alive = session->state != CONTROL_SESSION_STATE_DONE;
    if (!*is_alive) {
        control_session_destroy(session);
        work++;
    }
    return work;
}

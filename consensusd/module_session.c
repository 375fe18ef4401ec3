/* One client session: its response publication, counter and events (see module_session.h). The
 * table of sessions and their life are in module_sessions.c. */
#include "consensusd/module_session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "shm/counter_types.h"

#define SEND_ATTEMPTS 3
#define EVENT_LENGTH_MAX (CLUSTER_SESSION_EVENT_LENGTH_MIN + MODULE_SESSION_DETAIL_MAX)
#define PROTOCOL_VERSION 768 /* session protocol 0.3.0 */

struct module_session *module_session_create(const struct module_session_params *params) {
    struct module_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return NULL;
    }
    session->response_channel =
        strndup(params->response_channel.text, (size_t)params->response_channel.length);
    if (session->response_channel == NULL) {
        free(session);
        return NULL;
    }
    session->id = params->id;
    session->correlation_id = params->correlation_id;
    session->response_stream_id = params->response_stream_id;
    session->activity_ns = params->now_ns;
    session->opened_position = -1;
    session->closed_position = -1;
    session->ingress_image_id = -1;
    session->close_reason = CLUSTER_CLOSE_REASON_NULL;
    return session;
}

void module_session_destroy(struct module_session *session) {
    if (session != NULL) {
        module_session_disconnect(session);
        free(session->response_channel);
        free(session->counter_label);
        free(session);
    }
}

/* A configured egress channel overrides parameters of the same name; it replaces an IPC channel
 * unless IPC is allowed. */
static int make_channel(const struct module_session *session, const struct consensus_conf *conf,
                        struct uri_builder *channel) {
    struct uri uri;
    const char *text = session->response_channel;
    int result = uri_parse(&uri, text, (int32_t)strlen(text), NULL);
    if (result != 0) {
        return result;
    }
    if (conf->egress_channel[0] == '\0') {
        return uri_builder_init(channel, text);
    }
    if (uri.media == URI_MEDIA_IPC && !conf->is_ingress_ipc_allowed) {
        return uri_builder_init(channel, conf->egress_channel);
    }
    result = uri_builder_init(channel, text);
    const char *overrides = conf->egress_channel;
    struct uri own;
    if (uri_parse(&own, overrides, (int32_t)strlen(overrides), NULL) != 0) {
        return -EINVAL;
    }
    for (int i = 0; i < own.param_count; i++) {
        result |= uri_builder_set(channel, own.params[i].key, own.params[i].value);
    }
    return result;
}

static tern_async *request_counter(const struct module_session *session, tern_client *client,
                                   int32_t cluster_id) {
    uint8_t key[12];
    struct tern_error error;
    put_i32(key, cluster_id);
    put_i64(key + 4, session->id);
    const char *label =
        session->counter_label == NULL ? session->response_channel : session->counter_label;
    char text[TERN_COUNTER_LABEL_MAX + 1];
    int length =
        snprintf(text, sizeof text, "cluster-session: %s - clusterId=%d", label, cluster_id);
    const struct tern_counter_params params = {
        .type_id = COUNTER_TYPE_CLUSTER_SESSION,
        .key = key,
        .key_length = sizeof key,
        .label = text,
        .label_length = min_i32(length, TERN_COUNTER_LABEL_MAX),
    };
    return tern_client_async_add_counter(client, &params, &error);
}

void module_session_connect(struct module_session *session, tern_client *client,
                            const struct consensus_conf *conf) {
    struct uri_builder channel;
    struct tern_error error;
    if (session->publication != NULL || session->publication_request != NULL) {
        return;
    }
    if (make_channel(session, conf, &channel) != 0) {
        session->state = MODULE_SESSION_INVALID;
        return;
    }
    session->publication_request = tern_client_async_add_publication(
        client, channel.text, session->response_stream_id, &error);
    if (session->publication_request == NULL) {
        session->state = MODULE_SESSION_INVALID;
        return;
    }
    if (session->counter == NULL && session->counter_request == NULL &&
        session->id != MODULE_SESSION_NULL_ID) {
        session->counter_request = request_counter(session, client, conf->cluster_id);
    }
}

void module_session_poll(struct module_session *session) {
    struct tern_error error;
    if (session->publication_request != NULL) {
        int result = tern_async_poll_publication(session->publication_request,
                                                 &session->publication, &error);
        session->publication_request = result == 0 ? session->publication_request : NULL;
        bool is_established =
            session->state == MODULE_SESSION_OPEN || session->state == MODULE_SESSION_CLOSING;
        if (result < 0 && !is_established) {
            session->state = MODULE_SESSION_INVALID;
        }
    }
    if (session->counter_request != NULL) {
        int result = tern_async_poll_counter(session->counter_request, &session->counter, &error);
        session->counter_request = result == 0 ? session->counter_request : NULL;
        if (result > 0) {
            tern_counter_set(session->counter, session->id);
        }
    }
}

void module_session_disconnect(struct module_session *session) {
    tern_async_cancel(session->publication_request);
    tern_async_cancel(session->counter_request);
    tern_publication_close(session->publication);
    tern_counter_close(session->counter);
    session->publication_request = NULL;
    session->counter_request = NULL;
    session->publication = NULL;
    session->counter = NULL;
}

bool module_session_is_connected(const struct module_session *session) {
    return session->publication != NULL && tern_publication_is_connected(session->publication);
}

bool module_session_has_window(const struct module_session *session) {
    return session->publication != NULL && tern_publication_position_limit(session->publication) >
                                               tern_publication_position(session->publication);
}

bool module_session_send(struct module_session *session, const void *message, int32_t length) {
    if (session->publication == NULL) {
        return false;
    }
    for (int attempt = 0; attempt < SEND_ATTEMPTS; attempt++) {
        if (tern_publication_offer(session->publication, message, length) > 0) {
            return true;
        }
    }
    return false;
}

bool module_session_send_event(struct module_session *session,
                               const struct module_session_event *event) {
    uint8_t buffer[EVENT_LENGTH_MAX];
    const struct cluster_session_event message = {
        .cluster_session_id = session->id,
        .correlation_id = session->correlation_id,
        .leadership_term_id = event->leadership_term_id,
        .leader_member_id = event->leader_member_id,
        .code = event->code,
        .version = PROTOCOL_VERSION,
        .leader_heartbeat_timeout_ns = event->leader_heartbeat_timeout_ns,
        .detail = {event->detail, (int32_t)strlen(event->detail)},
    };
    int32_t length = cluster_session_event_encode(&message, buffer, sizeof buffer);
    assert(length > 0);
    return module_session_send(session, buffer, length);
}

void module_session_close(struct module_session *session, int32_t reason) {
    session->state = MODULE_SESSION_CLOSING;
    session->close_reason = reason;
    session->activity_ns = 0; /* due at the next check */
}

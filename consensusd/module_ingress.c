/* Ingress (see module_ingress.h). The hot path of the cluster: a session message is checked against
 * term and session and appended to the log, with the leader's header instead of the client's. When
 * the log has no room the fragment is aborted and comes again: the window closes, and the client is
 * held back. Followers answer connects with redirects and drop the rest.
 */
#include "consensusd/module_ingress.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "consensusd/consensus.h"

#define ADMIN_RESPONSE_LENGTH_MAX 512

/* -- images -- */

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    struct consensus *consensus = context;
    (void)subscription;
    tern_controlled_fragment_assembler_remove_session(consensus->ingress.assembler,
                                                      tern_image_session_id(image));
    module_sessions_on_image_lost(consensus, tern_image_correlation_id(image));
}

tern_image *module_ingress_image(struct module_ingress *ingress, int32_t session_id) {
    for (int i = 0; i < 2; i++) {
        if (ingress->subscriptions[i] != NULL) {
            tern_image *image =
                tern_subscription_image_by_session_id(ingress->subscriptions[i], session_id);
            if (image != NULL) {
                return image;
            }
        }
    }
    return NULL;
}

/* After a change of leader the session's first message tells where it comes from now. */
static void link_image(struct consensus *consensus, struct module_session *session,
                       const tern_header *header) {
    session->activity_ns = consensus->now_ns;
    if (session->ingress_image_id != -1) {
        return;
    }
    tern_image *image = module_ingress_image(&consensus->ingress, tern_header_session_id(header));
    if (image != NULL) {
        session->ingress_image_id = tern_image_correlation_id(image);
        session->ingress_session_id = tern_image_session_id(image);
        tern_image_release(image);
    }
}

/* -- messages -- */

static void count_malformed(struct consensus *consensus) {
    struct tern_error error;
    error_set(&error, -EBADMSG, "malformed message on the ingress stream");
    consensus_count_error(consensus, &error);
}

/* The open session that a message of the present term is from, at the leader; else NULL. */
static struct module_session *session_of(const struct consensus *consensus, int64_t term_id,
                                         int64_t session_id) {
    if (!consensus_is_leading(consensus) || term_id != consensus->raft.leadership_term_id) {
        return NULL;
    }
    struct module_session *session = module_sessions_find(&consensus->sessions, session_id);
    return session != NULL && session->state == MODULE_SESSION_OPEN ? session : NULL;
}

static enum tern_controlled_action on_session_message(struct consensus *consensus,
                                                      const uint8_t *buffer, int32_t length,
                                                      const tern_header *header) {
    struct module_session *session =
        session_of(consensus, cluster_session_message_header_get_leadership_term_id(buffer),
                   cluster_session_message_header_get_cluster_session_id(buffer));
    if (session == NULL) {
        return TERN_ACTION_CONTINUE;
    }
    const struct log_session_message message = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .cluster_session_id = session->id,
        .timestamp = consensus->cluster_time,
        .payload = buffer + CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN,
        .payload_length = length - CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN,
    };
    int64_t position = log_publisher_append_message(&consensus->publisher, &message);
    if (position > 0) {
        link_image(consensus, session, header);
        return TERN_ACTION_CONTINUE;
    }
    if (position != TERN_PUBLICATION_ERROR && position != TERN_PUBLICATION_MAX_POSITION) {
        return TERN_ACTION_ABORT;
    }
    struct tern_error error;
    error_set(&error, -EMSGSIZE, "a message of %d bytes does not go into the log: %s", length,
              tern_publication_result_name(position));
    consensus_count_error(consensus, &error);
    return TERN_ACTION_CONTINUE;
}

static int on_connect(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    struct cluster_session_connect_request message;
    int result = cluster_session_connect_request_decode(&message, buffer, length);
    if (result == 0) {
        const struct module_session_request request = {
            .action = MODULE_SESSION_CLIENT,
            .correlation_id = message.correlation_id,
            .response_stream_id = message.response_stream_id,
            .version = message.version,
            .response_channel = message.response_channel,
            .client_info = message.client_info,
            .header = header,
        };
        module_sessions_on_request(consensus, &request);
    }
    return result;
}

static int on_close(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_session_close_request message;
    int result = cluster_session_close_request_decode(&message, buffer, length);
    if (result == 0) {
        struct module_session *session =
            session_of(consensus, message.leadership_term_id, message.cluster_session_id);
        if (session != NULL) {
            module_session_close(session, CLUSTER_CLOSE_REASON_CLIENT_ACTION);
            (void)module_sessions_try_close(consensus, session);
        }
    }
    return result;
}

static int on_keep_alive(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                         const tern_header *header) {
    struct cluster_session_keep_alive message;
    int result = cluster_session_keep_alive_decode(&message, buffer, length);
    if (result == 0) {
        struct module_session *session =
            session_of(consensus, message.leadership_term_id, message.cluster_session_id);
        if (session != NULL) {
            link_image(consensus, session, header);
        }
    }
    return result;
}

static void answer_admin(struct module_session *session,
                         const struct cluster_admin_request *request, int32_t code,
                         const char *text) {
    uint8_t buffer[ADMIN_RESPONSE_LENGTH_MAX];
    const struct cluster_admin_response response = {
        .cluster_session_id = session->id,
        .correlation_id = request->correlation_id,
        .request_type = request->request_type,
        .response_code = code,
        .message = {text, (int32_t)strlen(text)},
        .payload = {"", 0},
    };
    int32_t length = cluster_admin_response_encode(&response, buffer, sizeof buffer);
    (void)module_session_send(session, buffer, length); /* clients ask again */
}

static int on_admin_request(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                            const tern_header *header) {
    struct cluster_admin_request request;
    int result = cluster_admin_request_decode(&request, buffer, length);
    if (result != 0) {
        return result;
    }
    struct module_session *session =
        session_of(consensus, request.leadership_term_id, request.cluster_session_id);
    if (session == NULL) {
        return 0;
    }
    link_image(consensus, session, header);
    if (consensus->conf->authorisation != CONSENSUS_AUTHORISE_ALL) {
        answer_admin(session, &request, CLUSTER_ADMIN_RESPONSE_CODE_UNAUTHORISED_ACCESS,
                     "Execution of the SNAPSHOT request was not authorised");
    } else if (request.request_type != CLUSTER_ADMIN_REQUEST_TYPE_SNAPSHOT) {
        answer_admin(session, &request, CLUSTER_ADMIN_RESPONSE_CODE_ERROR, "Unknown request type");
    } else if (module_counters_exchange(&consensus->counters, MODULE_COUNTER_CONTROL_TOGGLE,
                                        CONTROL_TOGGLE_NEUTRAL, CONTROL_TOGGLE_SNAPSHOT)) {
        answer_admin(session, &request, CLUSTER_ADMIN_RESPONSE_CODE_OK, "");
    } else {
        answer_admin(session, &request, CLUSTER_ADMIN_RESPONSE_CODE_ERROR,
                     "Failed to switch ClusterControl to the ToggleState.SNAPSHOT state");
    }
    return 0;
}

static enum tern_controlled_action on_message(void *context, const uint8_t *buffer, int32_t length,
                                              const tern_header *header) {
    struct consensus *consensus = context;
    struct sbe_header message;
    int result = sbe_peek(&message, buffer, length);
    if (result != 0 || message.schema_id != CLUSTER_SCHEMA_ID) {
        count_malformed(consensus);
        return TERN_ACTION_CONTINUE;
    }
    switch (message.template_id) {
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        if (message.block_length == CLUSTER_SESSION_MESSAGE_HEADER_BLOCK_LENGTH) {
            return on_session_message(consensus, buffer, length, header);
        }
        result = -EBADMSG; /* the payload begins right behind this block */
        break;
    case CLUSTER_TEMPLATE_SESSION_CONNECT_REQUEST:
        result = on_connect(consensus, buffer, length, header);
        break;
    case CLUSTER_TEMPLATE_SESSION_CLOSE_REQUEST:
        result = on_close(consensus, buffer, length);
        break;
    case CLUSTER_TEMPLATE_SESSION_KEEP_ALIVE:
        result = on_keep_alive(consensus, buffer, length, header);
        break;
    case CLUSTER_TEMPLATE_ADMIN_REQUEST:
        result = on_admin_request(consensus, buffer, length, header);
        break;
    default: /* a ChallengeResponse too: nobody is challenged */
        break;
    }
    if (result != 0) {
        count_malformed(consensus);
    }
    return TERN_ACTION_CONTINUE;
}

/* -- life -- */

static int subscribe(struct consensus *consensus, int index, const char *channel,
                     struct tern_error *error) {
    const struct tern_subscription_params params = {
        .channel = channel,
        .stream_id = consensus->conf->ingress_stream_id,
        .on_unavailable_image = on_image_gone,
        .handler_context = consensus,
    };
    consensus->ingress.requests[index] =
        tern_client_async_add_subscription(consensus->client, &params, error);
    return consensus->ingress.requests[index] == NULL ? error->code : 0;
}

int module_ingress_open(struct consensus *consensus, struct tern_error *error) {
    struct module_ingress *ingress = &consensus->ingress;
    const char *text = consensus->conf->ingress_channel;
    struct uri uri;
    struct uri_builder channel;
    assert(ingress->assembler == NULL);
    ingress->assembler = tern_controlled_fragment_assembler_create(on_message, consensus);
    if (ingress->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for ingress");
    }
    int result = uri_parse(&uri, text, (int32_t)strlen(text), error);
    if (result != 0) {
        return result;
    }
    result = uri_builder_init(&channel, text);
    if (uri.media == URI_MEDIA_UDP) {
        if (uri_get(&uri, "endpoint") == NULL) {
            result |= uri_builder_set(&channel, "endpoint",
                                      consensus->members.list[consensus->own_index].ingress);
        }
        result |= uri_builder_set(&channel, "rejoin", "false");
        result |= uri_builder_set(&channel, "reliable", "true");
    }
    if (result != 0) {
        return error_set(error, -ENAMETOOLONG, "the ingress channel is too long");
    }
    result = subscribe(consensus, 0, channel.text, error);
    bool has_ipc = uri.media == URI_MEDIA_UDP && consensus->conf->is_ingress_ipc_allowed &&
                   consensus_is_leading(consensus);
    if (result == 0 && has_ipc) {
        result = subscribe(consensus, 1, "aeron:ipc", error);
    }
    return result;
}

int module_ingress_poll(struct consensus *consensus) {
    struct module_ingress *ingress = &consensus->ingress;
    int work = 0;
    for (int i = 0; i < 2; i++) {
        if (UNLIKELY(ingress->requests[i] != NULL)) {
            struct tern_error error;
            int result = tern_async_poll_subscription(ingress->requests[i],
                                                      &ingress->subscriptions[i], &error);
            ingress->requests[i] = result == 0 ? ingress->requests[i] : NULL;
            if (result < 0) {
                error_prefix(&error, "no ingress");
                consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
            }
        }
        if (ingress->subscriptions[i] != NULL) {
            work += tern_subscription_controlled_poll(
                ingress->subscriptions[i], tern_controlled_fragment_assembler_on_fragment,
                ingress->assembler, consensus->conf->ingress_fragment_limit);
        }
    }
    return work;
}

void module_ingress_close(struct module_ingress *ingress) {
    for (int i = 0; i < 2; i++) {
        tern_async_cancel(ingress->requests[i]);
        tern_subscription_close(ingress->subscriptions[i]);
        ingress->requests[i] = NULL;
        ingress->subscriptions[i] = NULL;
    }
    tern_controlled_fragment_assembler_destroy(ingress->assembler);
    ingress->assembler = NULL;
}

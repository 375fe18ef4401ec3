/* A connected cluster session (cluster.md 2.3 to 2.5).
 *
 *   CONNECTED --- ingress or egress lost ---> AWAIT_NEW_LEADER
 *       ^                                           |  NewLeaderEvent
 *       |  keep-alive went out                      v
 *       +----------------------- AWAIT_NEW_LEADER_CONNECTION
 *
 * Every state but CONNECTED has a deadline that leads to CLOSED. Nothing here blocks.
 */
#include "cluster/cluster_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/error.h"
#include "client/seams.h"

#define OFFER_PARTS_MAX 15
#define SEND_ATTEMPTS_MAX 3

static void close_session(tern_cluster *cluster, int code, const char *text) {
    if (cluster->state != TERN_CLUSTER_CLOSED) {
        (void)error_set(&cluster->status, code, "%s", text);
        cluster->state = TERN_CLUSTER_CLOSED;
        ingress_close_others(&cluster->ingress, NULL);
        cluster->leader = NULL;
    }
}

static void await_new_leader(tern_cluster *cluster) {
    cluster->state = TERN_CLUSTER_AWAIT_NEW_LEADER;
    cluster->deadline_ns = cluster->now_ns + cluster->new_leader_timeout_ns;
    ingress_close_others(&cluster->ingress, NULL);
    cluster->leader = NULL;
}

bool cluster_session_adopt_image(tern_cluster *cluster, int32_t egress_session_id) {
    tern_image *image = tern_subscription_image_by_session_id(cluster->egress, egress_session_id);
    if (image == NULL) {
        return false;
    }
    tern_image_release(cluster->egress_image);
    cluster->egress_image = image;
    return true;
}

/* -- what arrives -- */

static void copy_detail(char *detail, const struct text_slice *slice) {
    int32_t length = min_i32(slice->length, CLUSTER_DETAIL_LENGTH_MAX - 1);
    if (length > 0) {
        memcpy(detail, slice->text, (size_t)length);
    }
    detail[length] = '\0';
}

static void on_session_event(tern_cluster *cluster, const uint8_t *buffer, int32_t length,
                             const tern_header *header) {
    struct cluster_session_event event;
    if (cluster_session_event_decode(&event, buffer, length) != 0) {
        return;
    }
    if (cluster->is_connecting) {
        struct cluster_connect_result *result = &cluster->result;
        *result = (struct cluster_connect_result){
            .is_set = true,
            .code = (enum tern_cluster_event_code)event.code,
            .correlation_id = event.correlation_id,
            .session_id = event.cluster_session_id,
            .leadership_term_id = event.leadership_term_id,
            .leader_member_id = event.leader_member_id,
            .heartbeat_timeout_ns = event.leader_heartbeat_timeout_ns,
            .egress_session_id = tern_header_session_id(header),
        };
        copy_detail(result->detail, &event.detail);
        return;
    }
    if (event.cluster_session_id != cluster->session_id) {
        return;
    }
    char detail[CLUSTER_DETAIL_LENGTH_MAX];
    copy_detail(detail, &event.detail);
    if (cluster->params.on_session_event != NULL) {
        const struct tern_cluster_session_event told = {
            .correlation_id = event.correlation_id,
            .session_id = event.cluster_session_id,
            .leadership_term_id = event.leadership_term_id,
            .leader_member_id = event.leader_member_id,
            .code = (enum tern_cluster_event_code)event.code,
            .detail = detail,
        };
        cluster->params.on_session_event(cluster->params.handler_context, &told);
    }
    if (event.code == TERN_CLUSTER_EVENT_CLOSED) {
        (void)error_set(&cluster->status, TERN_ERROR_CLUSTER_BASE - TERN_CLUSTER_EVENT_CLOSED,
                        "the cluster closed the session: %.180s", detail);
        cluster->is_close_pending = true;
    }
}

static void on_new_leader(tern_cluster *cluster, const uint8_t *buffer, int32_t length,
                          const tern_header *header) {
    struct cluster_new_leader_event event;
    struct tern_error error;
    char endpoints[CLUSTER_DETAIL_LENGTH_MAX];
    if (cluster_new_leader_event_decode(&event, buffer, length) != 0 || cluster->is_connecting ||
        event.cluster_session_id != cluster->session_id || cluster->state == TERN_CLUSTER_CLOSED) {
        return;
    }
    copy_detail(endpoints, &event.ingress_endpoints);
    cluster->leadership_term_id = event.leadership_term_id;
    cluster->leader_member_id = event.leader_member_id;
    await_new_leader(cluster);
    bool has_endpoints = cluster->params.ingress_endpoints != NULL;
    if (ingress_set_members(&cluster->ingress, has_endpoints ? endpoints : NULL, &error) != 0) {
        close_session(cluster, error.code, error.text);
        return;
    }
    cluster->leader = ingress_find(&cluster->ingress,
                                   has_endpoints ? event.leader_member_id : INGRESS_ANY_MEMBER);
    if (cluster->leader == NULL) {
        close_session(cluster, TERN_ERROR_PROTOCOL, "the new leader is not in its endpoint list");
        return;
    }
    ingress_member_open(&cluster->ingress, cluster->leader);
    cluster->state = TERN_CLUSTER_AWAIT_NEW_LEADER_CONNECTION;
    cluster->deadline_ns = cluster->now_ns + cluster->params.message_timeout_ns;
    (void)cluster_session_adopt_image(cluster, tern_header_session_id(header));
    if (cluster->params.on_new_leader != NULL) {
        cluster->params.on_new_leader(cluster->params.handler_context, event.leadership_term_id,
                                      event.leader_member_id, endpoints);
    }
}

static void on_admin_response(tern_cluster *cluster, const uint8_t *buffer, int32_t length) {
    struct cluster_admin_response response;
    char message[CLUSTER_DETAIL_LENGTH_MAX];
    if (cluster_admin_response_decode(&response, buffer, length) != 0 ||
        response.cluster_session_id != cluster->session_id ||
        cluster->params.on_admin_response == NULL) {
        return;
    }
    copy_detail(message, &response.message);
    cluster->params.on_admin_response(cluster->params.handler_context, response.correlation_id,
                                      response.response_code, message);
}

static void on_egress(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    tern_cluster *cluster = context;
    struct sbe_header message;
    if (sbe_peek(&message, buffer, length) != 0 || message.schema_id != CLUSTER_SCHEMA_ID) {
        return;
    }
    switch (message.template_id) {
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        if (length >= CLUSTER_SESSION_HEADER_LENGTH && !cluster->is_connecting &&
            cluster->params.on_message != NULL &&
            cluster_session_message_header_get_cluster_session_id(buffer) == cluster->session_id) {
            cluster->params.on_message(cluster->params.handler_context,
                                       cluster_session_message_header_get_timestamp(buffer),
                                       buffer + CLUSTER_SESSION_HEADER_LENGTH,
                                       length - CLUSTER_SESSION_HEADER_LENGTH, header);
        }
        break;
    case CLUSTER_TEMPLATE_SESSION_EVENT:
        on_session_event(cluster, buffer, length, header);
        break;
    case CLUSTER_TEMPLATE_NEW_LEADER_EVENT:
        on_new_leader(cluster, buffer, length, header);
        break;
    case CLUSTER_TEMPLATE_ADMIN_RESPONSE:
        on_admin_response(cluster, buffer, length);
        break;
    default: /* a challenge: this client has no credentials to answer one with */
        break;
    }
}

/* -- sending -- */

/* Every result of ingress says something about the leader. */
static int64_t track(tern_cluster *cluster, int64_t result) {
    if (result > 0) {
        if (cluster->state == TERN_CLUSTER_AWAIT_NEW_LEADER_CONNECTION) {
            cluster->state = TERN_CLUSTER_CONNECTED;
        }
    } else if (result == TERN_PUBLICATION_MAX_POSITION) {
        close_session(cluster, TERN_ERROR_CLOSED, "the ingress stream reached its last position");
    } else if ((result == TERN_PUBLICATION_NOT_CONNECTED || result == TERN_PUBLICATION_CLOSED) &&
               cluster->state == TERN_CLUSTER_CONNECTED) {
        await_new_leader(cluster);
        return TERN_PUBLICATION_NOT_CONNECTED;
    }
    return result;
}

static int64_t refusal(const tern_cluster *cluster) {
    if (cluster->state == TERN_CLUSTER_CLOSED || cluster->is_close_pending) {
        return TERN_PUBLICATION_CLOSED;
    }
    return cluster->leader == NULL ? TERN_PUBLICATION_NOT_CONNECTED : 0;
}

int64_t tern_cluster_offerv(tern_cluster *cluster, const struct iovec *parts, int count) {
    uint8_t header[CLUSTER_SESSION_HEADER_LENGTH];
    struct iovec all[OFFER_PARTS_MAX + 1];
    int64_t refused = refusal(cluster);
    if (refused != 0) {
        return refused;
    }
    if (count < 0 || count > OFFER_PARTS_MAX) {
        return TERN_PUBLICATION_ERROR;
    }
    cluster_session_message_header_put(header, cluster->leadership_term_id, cluster->session_id, 0);
    all[0] = (struct iovec){header, sizeof header};
    memcpy(&all[1], parts, (size_t)count * sizeof *parts);
    return track(cluster, ingress_offerv(&cluster->leader->publication, all, count + 1));
}

int64_t tern_cluster_offer(tern_cluster *cluster, const void *buffer, int32_t length) {
    if (length < 0) {
        return TERN_PUBLICATION_ERROR;
    }
    const struct iovec part = {(void *)buffer, (size_t)length};
    return tern_cluster_offerv(cluster, &part, 1);
}

int64_t tern_cluster_try_claim(tern_cluster *cluster, int32_t length,
                               struct tern_buffer_claim *claim) {
    int64_t refused = refusal(cluster);
    if (refused != 0) {
        return refused;
    }
    if (length < 0 || length > tern_cluster_claim_length_max(cluster)) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t result =
        track(cluster, ingress_try_claim(&cluster->leader->publication,
                                         length + CLUSTER_SESSION_HEADER_LENGTH, claim));
    if (result > 0) {
        cluster_session_message_header_put(claim->data, cluster->leadership_term_id,
                                           cluster->session_id, 0);
        claim->data += CLUSTER_SESSION_HEADER_LENGTH;
        claim->length = length;
    }
    return result;
}

int32_t tern_cluster_claim_length_max(const tern_cluster *cluster) {
    if (cluster->leader == NULL) {
        return 0;
    }
    return max_i32(0, ingress_payload_length_max(&cluster->leader->publication) -
                          CLUSTER_SESSION_HEADER_LENGTH);
}

/* A control message of the session protocol, a few attempts at once. */
static bool send_message(tern_cluster *cluster, const void *message, int32_t length) {
    const struct iovec part = {(void *)message, (size_t)length};
    for (int attempt = 0; attempt < SEND_ATTEMPTS_MAX && refusal(cluster) == 0; attempt++) {
        if (track(cluster, ingress_offerv(&cluster->leader->publication, &part, 1)) > 0) {
            return true;
        }
    }
    return false;
}

bool tern_cluster_keep_alive(tern_cluster *cluster) {
    uint8_t buffer[CLUSTER_SESSION_KEEP_ALIVE_LENGTH_MIN];
    const struct cluster_session_keep_alive message = {cluster->leadership_term_id,
                                                       cluster->session_id};
    return send_message(cluster, buffer,
                        cluster_session_keep_alive_encode(&message, buffer, sizeof buffer));
}

bool tern_cluster_request_snapshot(tern_cluster *cluster, int64_t correlation_id) {
    uint8_t buffer[CLUSTER_ADMIN_REQUEST_LENGTH_MIN];
    const struct cluster_admin_request message = {
        .leadership_term_id = cluster->leadership_term_id,
        .cluster_session_id = cluster->session_id,
        .correlation_id = correlation_id,
        .request_type = CLUSTER_ADMIN_REQUEST_TYPE_SNAPSHOT,
    };
    return send_message(cluster, buffer,
                        cluster_admin_request_encode(&message, buffer, sizeof buffer));
}

/* -- the cycle -- */

/* The new leader's publication is coming: greet it, which links its ingress to this session. */
static void connect_to_leader(tern_cluster *cluster) {
    struct ingress_member *leader = cluster->leader;
    ingress_member_open(&cluster->ingress, leader);
    if (ingress_member_poll(&cluster->ingress, leader) && ingress_member_is_connected(leader)) {
        (void)tern_cluster_keep_alive(cluster);
    }
}

static void check_state(tern_cluster *cluster) {
    struct tern_error error;
    if (tern_client_is_closed(cluster->client)) {
        (void)tern_client_status(cluster->client, &error);
        close_session(cluster, error.code, error.text);
        return;
    }
    if (cluster->is_close_pending) {
        error = cluster->status;
        close_session(cluster, error.code, error.text);
        return;
    }
    bool has_lost_egress =
        cluster->egress_image != NULL && tern_image_is_closed(cluster->egress_image);
    if (has_lost_egress && cluster->state != TERN_CLUSTER_AWAIT_NEW_LEADER) {
        await_new_leader(cluster);
    } else if (cluster->state == TERN_CLUSTER_CONNECTED &&
               !ingress_member_is_connected(cluster->leader)) {
        await_new_leader(cluster);
    }
    if (cluster->state == TERN_CLUSTER_AWAIT_NEW_LEADER_CONNECTION) {
        connect_to_leader(cluster);
    }
    if (cluster->state != TERN_CLUSTER_CONNECTED && cluster->state != TERN_CLUSTER_CLOSED &&
        cluster->now_ns > cluster->deadline_ns) {
        close_session(cluster, -ETIMEDOUT,
                      cluster->state == TERN_CLUSTER_AWAIT_NEW_LEADER
                          ? "no new leader made itself known in time"
                          : "the new leader could not be connected in time");
    }
}

int tern_cluster_poll(tern_cluster *cluster, int fragment_limit) {
    if (cluster->state == TERN_CLUSTER_CLOSED) {
        return 0;
    }
    cluster->now_ns = tern_client_now_ns(cluster->client);
    int work = tern_client_do_work_at(cluster->client, cluster->now_ns);
    work += tern_subscription_poll(cluster->egress, tern_fragment_assembler_on_fragment,
                                   cluster->assembler, fragment_limit);
    check_state(cluster);
    return work;
}

/* -- life -- */

void tern_cluster_params_init(struct tern_cluster_params *params, tern_client *client) {
    *params = (struct tern_cluster_params){
        .client = client,
        .ingress_channel = "aeron:udp",
        .ingress_stream_id = TERN_CLUSTER_INGRESS_STREAM_ID_DEFAULT,
        .egress_stream_id = TERN_CLUSTER_EGRESS_STREAM_ID_DEFAULT,
        .message_timeout_ns = 5 * NS_PER_S,
    };
}

static int check_params(const struct tern_cluster_params *params, struct tern_error *error) {
    if (params->client == NULL || params->ingress_channel == NULL ||
        params->egress_channel == NULL) {
        return error_set(error, -EINVAL, "client, ingress_channel and egress_channel are required");
    }
    if (params->ingress_endpoints != NULL &&
        strncmp(params->ingress_channel, "aeron:ipc", 9) == 0) {
        return error_set(error, -EINVAL, "ingress_endpoints do not go with an IPC ingress channel");
    }
    if (params->message_timeout_ns <= 0 || params->new_leader_timeout_ns < 0) {
        return error_set(error, -EINVAL,
                         "message_timeout_ns must be above 0, new_leader_timeout_ns not below");
    }
    if (params->client_name != NULL && strlen(params->client_name) > 100) {
        return error_set(error, -EINVAL, "client_name is longer than 100 bytes");
    }
    if (params->credentials_length < 0) {
        return error_set(error, -EINVAL, "credentials_length is negative");
    }
    return 0;
}

/* Move the strings of the params into one allocation of the session. */
static bool copy_strings(tern_cluster *cluster) {
    const char **strings[] = {&cluster->params.ingress_channel, &cluster->params.ingress_endpoints,
                              &cluster->params.egress_channel, &cluster->params.client_name};
    size_t length = 0;
    for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
        length += *strings[i] == NULL ? 0 : strlen(*strings[i]) + 1;
    }
    cluster->strings = malloc(length);
    cluster->credentials = malloc((size_t)cluster->params.credentials_length + 1);
    if (cluster->strings == NULL || cluster->credentials == NULL) {
        return false;
    }
    char *cursor = cluster->strings;
    for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
        if (*strings[i] != NULL) {
            size_t size = strlen(*strings[i]) + 1;
            memcpy(cursor, *strings[i], size);
            *strings[i] = cursor;
            cursor += size;
        }
    }
    if (cluster->params.credentials_length > 0) {
        memcpy(cluster->credentials, cluster->params.credentials,
               (size_t)cluster->params.credentials_length);
    }
    return true;
}

tern_cluster *cluster_session_create(const struct tern_cluster_params *params,
                                     struct tern_error *error) {
    if (check_params(params, error) != 0) {
        return NULL;
    }
    tern_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL) {
        (void)error_set(error, -ENOMEM, "no memory for a cluster session");
        return NULL;
    }
    cluster->params = *params;
    cluster->client = params->client;
    cluster->is_connecting = true;
    cluster->assembler = tern_fragment_assembler_create(on_egress, cluster);
    if (!copy_strings(cluster) || cluster->assembler == NULL) {
        (void)error_set(error, -ENOMEM, "no memory for a cluster session");
        cluster_session_destroy(cluster);
        return NULL;
    }
    cluster->ingress = (struct ingress){
        .client = params->client,
        .channel = cluster->params.ingress_channel,
        .stream_id = params->ingress_stream_id,
        .is_shared = params->is_ingress_shared,
    };
    if (ingress_set_members(&cluster->ingress, cluster->params.ingress_endpoints, error) != 0) {
        cluster_session_destroy(cluster);
        return NULL;
    }
    return cluster;
}

void cluster_session_destroy(tern_cluster *cluster) {
    if (cluster == NULL) {
        return;
    }
    ingress_close(&cluster->ingress);
    tern_image_release(cluster->egress_image);
    tern_subscription_close(cluster->egress);
    tern_fragment_assembler_destroy(cluster->assembler);
    free(cluster->strings);
    free(cluster->credentials);
    free(cluster);
}

void tern_cluster_close(tern_cluster *cluster) {
    if (cluster != NULL && cluster->state == TERN_CLUSTER_CONNECTED) {
        uint8_t buffer[CLUSTER_SESSION_CLOSE_REQUEST_LENGTH_MIN];
        const struct cluster_session_close_request message = {cluster->leadership_term_id,
                                                              cluster->session_id};
        (void)send_message(cluster, buffer,
                           cluster_session_close_request_encode(&message, buffer, sizeof buffer));
    }
    cluster_session_destroy(cluster);
}

/* -- accessors -- */

enum tern_cluster_state tern_cluster_state(const tern_cluster *cluster) {
    return cluster->state;
}

bool tern_cluster_is_closed(const tern_cluster *cluster) {
    return cluster->state == TERN_CLUSTER_CLOSED;
}

int tern_cluster_status(const tern_cluster *cluster, struct tern_error *error) {
    if (cluster->state != TERN_CLUSTER_CLOSED) {
        return 0;
    }
    if (error != NULL) {
        *error = cluster->status;
    }
    return cluster->status.code;
}

int64_t tern_cluster_session_id(const tern_cluster *cluster) {
    return cluster->session_id;
}

int64_t tern_cluster_leadership_term_id(const tern_cluster *cluster) {
    return cluster->leadership_term_id;
}

int32_t tern_cluster_leader_member_id(const tern_cluster *cluster) {
    return cluster->leader_member_id;
}

const char *tern_cluster_event_name(int code) {
    static const char *const names[] = {"ok", "error", "redirect", "authentication rejected",
                                        "closed"};
    return code < 0 || code >= (int)ARRAY_COUNT(names) ? "unknown" : names[code];
}

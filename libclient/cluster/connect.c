/* Connecting to a cluster (cluster.md 2.2):
 *
 *   SUBSCRIBE -> FIND_MEMBER -> SEND -> AWAIT_EVENT -> done
 *                    ^____________________/ redirect
 *
 * All members of the endpoint list are tried at once; the first whose publication connects gets the
 * request, and a member that does not lead redirects to the one that does.
 */
#include "cluster/cluster_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uri.h"
#include "client/seams.h"

#define REQUEST_LENGTH_MAX 16384
/* What stands behind the answer is for the session that it makes. */
#define FRAGMENT_LIMIT 1
#define WAIT_STEP_NS NS_PER_MS

enum connect_state {
    CONNECT_SUBSCRIBE,
    CONNECT_FIND_MEMBER,
    CONNECT_SEND,
    CONNECT_AWAIT_EVENT,
};

struct tern_cluster_connecting {
    enum connect_state state;
    tern_cluster *cluster;
    tern_async *subscription_request;
    int64_t deadline_ns;
    int64_t correlation_id;
    int32_t wanted_member_id; /* after a redirect; INGRESS_ANY_MEMBER: whoever connects first */
    struct tern_error last_failure;
    int32_t request_length;
    uint8_t request[REQUEST_LENGTH_MAX];
};

/* A late image of an older session must not come back to life after a pause: rejoin=false. */
static int egress_channel(const char *channel, struct uri_builder *builder) {
    int result = uri_builder_init(builder, channel);
    if (result == 0 && strncmp(channel, "aeron:udp", 9) == 0) {
        result = uri_builder_set(builder, "rejoin", "false");
    }
    return result;
}

static int subscribe(tern_cluster_connecting *connecting, struct tern_error *error) {
    struct uri_builder builder;
    const tern_cluster *cluster = connecting->cluster;
    if (egress_channel(cluster->params.egress_channel, &builder) != 0) {
        return error_set(error, -ENAMETOOLONG, "egress channel is too long");
    }
    struct tern_subscription_params params = {.channel = builder.text,
                                              .stream_id = cluster->params.egress_stream_id};
    connecting->subscription_request =
        tern_client_async_add_subscription(cluster->client, &params, error);
    return connecting->subscription_request == NULL ? error->code : 0;
}

int tern_cluster_connect_begin(tern_cluster_connecting **out,
                               const struct tern_cluster_params *params, struct tern_error *error) {
    struct tern_error local;
    error = error == NULL ? &local : error;
    tern_cluster_connecting *connecting = calloc(1, sizeof *connecting);
    if (connecting == NULL) {
        return error_set(error, -ENOMEM, "no memory for a cluster session");
    }
    connecting->wanted_member_id = INGRESS_ANY_MEMBER;
    connecting->cluster = cluster_session_create(params, error);
    int result = connecting->cluster == NULL ? error->code : subscribe(connecting, error);
    if (result != 0) {
        tern_cluster_connect_cancel(connecting);
        return result;
    }
    connecting->deadline_ns =
        tern_client_now_ns(params->client) + connecting->cluster->params.message_timeout_ns;
    *out = connecting;
    return 0;
}

static int subscribe_step(tern_cluster_connecting *connecting, struct tern_error *error) {
    int result = tern_async_poll_subscription(connecting->subscription_request,
                                              &connecting->cluster->egress, error);
    if (result == 0) {
        return 0;
    }
    connecting->subscription_request = NULL;
    if (result == TERN_ERROR_DRIVER_BASE - 10) { /* temporarily unavailable */
        return subscribe(connecting, error);
    }
    if (result > 0) {
        connecting->state = CONNECT_FIND_MEMBER;
        return 0;
    }
    return result;
}

static int build_request(tern_cluster_connecting *connecting, struct tern_error *error) {
    tern_cluster *cluster = connecting->cluster;
    char channel[URI_LENGTH_MAX + 1];
    char info[256];
    int length = tern_subscription_resolved_channel(cluster->egress, channel, sizeof channel);
    if (length <= 0) {
        return length; /* 0: the port is not known yet */
    }
    int info_length = snprintf(
        info, sizeof info, "name=%s version=%s commit=tern",
        cluster->params.client_name == NULL ? "" : cluster->params.client_name, TERN_VERSION);
    connecting->correlation_id = tern_client_next_correlation_id(cluster->client);
    const struct cluster_session_connect_request request = {
        .correlation_id = connecting->correlation_id,
        .response_stream_id = cluster->params.egress_stream_id,
        .version = CLUSTER_SESSION_PROTOCOL_VERSION,
        .response_channel = {channel, length},
        .encoded_credentials = {(const char *)cluster->credentials,
                                cluster->params.credentials_length},
        .client_info = {info, info_length},
    };
    connecting->request_length = cluster_session_connect_request_encode(
        &request, connecting->request, sizeof connecting->request);
    if (connecting->request_length < 0) {
        return error_set(error, -EMSGSIZE, "credentials do not fit a connect request");
    }
    return 1;
}

/* The first wanted member whose publication is connected, or NULL. */
static struct ingress_member *find_connected(tern_cluster_connecting *connecting) {
    struct ingress *ingress = &connecting->cluster->ingress;
    for (int i = 0; i < ingress->count; i++) {
        struct ingress_member *member = &ingress->members[i];
        if (connecting->wanted_member_id != INGRESS_ANY_MEMBER &&
            member->member_id != connecting->wanted_member_id) {
            continue;
        }
        ingress_member_open(ingress, member);
        if (ingress_member_poll(ingress, member) && ingress_member_is_connected(member)) {
            return member;
        }
        if (member->failure.code != 0) {
            connecting->last_failure = member->failure;
        }
    }
    return NULL;
}

static int find_member_step(tern_cluster_connecting *connecting, struct tern_error *error) {
    struct ingress_member *member = find_connected(connecting);
    if (member == NULL) {
        return 0;
    }
    int result = build_request(connecting, error);
    if (result > 0) {
        connecting->cluster->leader = member;
        connecting->state = CONNECT_SEND;
        return 0;
    }
    return result;
}

static int send_step(tern_cluster_connecting *connecting, struct tern_error *error) {
    const struct iovec part = {connecting->request, (size_t)connecting->request_length};
    int64_t result = ingress_offerv(&connecting->cluster->leader->publication, &part, 1);
    if (result > 0) {
        connecting->state = CONNECT_AWAIT_EVENT;
        return 0;
    }
    if (result == TERN_PUBLICATION_NOT_CONNECTED) {
        connecting->state = CONNECT_FIND_MEMBER; /* it went away just now: try the others */
        return 0;
    }
    if (result == TERN_PUBLICATION_BACK_PRESSURED || result == TERN_PUBLICATION_ADMIN_ACTION) {
        return 0;
    }
    return error_set(error, -EIO, "cannot send the connect request: %s",
                     tern_publication_result_name(result));
}

static int follow_redirect(tern_cluster_connecting *connecting, struct tern_error *error) {
    tern_cluster *cluster = connecting->cluster;
    int result = ingress_set_members(&cluster->ingress, cluster->result.detail, error);
    if (result != 0) {
        return result;
    }
    struct ingress_member *leader =
        ingress_find(&cluster->ingress, cluster->result.leader_member_id);
    ingress_close_others(&cluster->ingress, leader);
    cluster->leader = NULL;
    connecting->wanted_member_id = leader == NULL ? INGRESS_ANY_MEMBER : leader->member_id;
    connecting->state = CONNECT_FIND_MEMBER;
    return 0;
}

static int conclude(tern_cluster_connecting *connecting, tern_cluster **out,
                    struct tern_error *error) {
    tern_cluster *cluster = connecting->cluster;
    const struct cluster_connect_result *result = &cluster->result;
    if (!cluster_session_adopt_image(cluster, result->egress_session_id)) {
        return error_set(error, -ENOTCONN, "the leader went away while connecting");
    }
    cluster->session_id = result->session_id;
    cluster->leadership_term_id = result->leadership_term_id;
    cluster->leader_member_id = result->leader_member_id;
    int64_t heartbeat_timeout_ns =
        result->heartbeat_timeout_ns > 0 ? result->heartbeat_timeout_ns : 10 * NS_PER_S;
    cluster->new_leader_timeout_ns = cluster->params.new_leader_timeout_ns > 0
                                         ? cluster->params.new_leader_timeout_ns
                                         : 2 * heartbeat_timeout_ns;
    ingress_close_others(&cluster->ingress, cluster->leader);
    cluster->is_connecting = false;
    cluster->state = TERN_CLUSTER_CONNECTED;
    connecting->cluster = NULL;
    *out = cluster;
    return 1;
}

static int await_event_step(tern_cluster_connecting *connecting, tern_cluster **out,
                            struct tern_error *error) {
    tern_cluster *cluster = connecting->cluster;
    cluster->result.is_set = false;
    (void)tern_subscription_poll(cluster->egress, tern_fragment_assembler_on_fragment,
                                 cluster->assembler, FRAGMENT_LIMIT);
    const struct cluster_connect_result *result = &cluster->result;
    if (!result->is_set || result->correlation_id != connecting->correlation_id) {
        if (!ingress_member_is_connected(cluster->leader)) {
            connecting->state = CONNECT_FIND_MEMBER;
        }
        return 0;
    }
    switch (result->code) {
    case TERN_CLUSTER_EVENT_OK:
        return conclude(connecting, out, error);
    case TERN_CLUSTER_EVENT_REDIRECT:
        return follow_redirect(connecting, error);
    case TERN_CLUSTER_EVENT_ERROR:
    case TERN_CLUSTER_EVENT_AUTHENTICATION_REJECTED:
        return error_set(error, TERN_ERROR_CLUSTER_BASE - (int)result->code,
                         "the cluster refused the session: %.180s", result->detail);
    case TERN_CLUSTER_EVENT_CLOSED:
        break;
    }
    return 0;
}

static int timed_out(const tern_cluster_connecting *connecting, struct tern_error *error) {
    static const char *const waiting_for[] = {
        [CONNECT_SUBSCRIBE] = "the driver to add the egress subscription",
        [CONNECT_FIND_MEMBER] = "a member to connect to",
        [CONNECT_SEND] = "room for the connect request",
        [CONNECT_AWAIT_EVENT] = "the answer of the cluster",
    };
    const struct tern_cluster_params *params = &connecting->cluster->params;
    if (connecting->last_failure.code != 0) {
        return error_set(error, -ETIMEDOUT, "no cluster session: %.180s",
                         connecting->last_failure.text);
    }
    return error_set(
        error, -ETIMEDOUT, "no cluster session within %lld ms, waited for %s (%.100s)",
        (long long)(params->message_timeout_ns / NS_PER_MS), waiting_for[connecting->state],
        params->ingress_endpoints == NULL ? params->ingress_channel : params->ingress_endpoints);
}

static int step(tern_cluster_connecting *connecting, tern_cluster **out, struct tern_error *error) {
    switch (connecting->state) {
    case CONNECT_SUBSCRIBE:
        return subscribe_step(connecting, error);
    case CONNECT_FIND_MEMBER:
        return find_member_step(connecting, error);
    case CONNECT_SEND:
        return send_step(connecting, error);
    case CONNECT_AWAIT_EVENT:
        return await_event_step(connecting, out, error);
    }
    return 0;
}

int tern_cluster_connect_poll(tern_cluster_connecting *connecting, tern_cluster **out,
                              struct tern_error *error) {
    struct tern_error local;
    error = error == NULL ? &local : error;
    int64_t now_ns = tern_client_now_ns(connecting->cluster->client);
    connecting->cluster->now_ns = now_ns;
    int result;
    if (tern_client_is_closed(connecting->cluster->client)) {
        result = tern_client_status(connecting->cluster->client, error);
    } else if (now_ns > connecting->deadline_ns) {
        result = timed_out(connecting, error);
    } else {
        result = step(connecting, out, error);
    }
    if (result != 0) {
        tern_cluster_connect_cancel(connecting);
    }
    return result;
}

void tern_cluster_connect_cancel(tern_cluster_connecting *connecting) {
    if (connecting != NULL) {
        tern_async_cancel(connecting->subscription_request);
        cluster_session_destroy(connecting->cluster);
        free(connecting);
    }
}

tern_cluster *tern_cluster_connect(const struct tern_cluster_params *params,
                                   struct tern_error *error) {
    tern_cluster_connecting *connecting;
    tern_cluster *cluster = NULL;
    if (tern_cluster_connect_begin(&connecting, params, error) != 0) {
        return NULL;
    }
    const struct timespec pause = {0, WAIT_STEP_NS};
    int result = 0;
    while (result == 0) {
        if (tern_client_do_work(params->client) == 0) {
            (void)nanosleep(&pause, NULL);
        }
        result = tern_cluster_connect_poll(connecting, &cluster, error);
    }
    return result > 0 ? cluster : NULL;
}

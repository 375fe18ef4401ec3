/* Inside of the cluster client: the session object that connect.c builds and session.c runs. */
#ifndef TERN_CLUSTER_CLUSTER_SESSION_H
#define TERN_CLUSTER_CLUSTER_SESSION_H

#include <tern/cluster.h>

#include "cluster/ingress.h"
#include "wire/cluster_codec.h"

#define CLUSTER_SESSION_PROTOCOL_VERSION 768 /* 0.3.0 */
#define CLUSTER_SESSION_HEADER_LENGTH 32
#define CLUSTER_DETAIL_LENGTH_MAX 4096

/* What a connect attempt is waiting for among the events of the egress stream. */
struct cluster_connect_result {
    bool is_set;
    enum tern_cluster_event_code code;
    int64_t correlation_id;
    int64_t session_id;
    int64_t leadership_term_id;
    int32_t leader_member_id;
    int64_t heartbeat_timeout_ns; /* -1: not told */
    int32_t egress_session_id;    /* of the image that it came on */
    char detail[CLUSTER_DETAIL_LENGTH_MAX];
};

struct tern_cluster {
    struct tern_cluster_params params; /* strings point into the allocations below */
    char *strings;                     /* owned copies */
    uint8_t *credentials;
    tern_client *client; /* borrowed */
    struct ingress ingress;
    struct ingress_member *leader; /* in ingress.members; NULL while there is none */
    tern_subscription *egress;
    tern_image *egress_image; /* retained; NULL while connecting */
    tern_fragment_assembler *assembler;

    enum tern_cluster_state state;
    bool is_connecting;
    bool is_close_pending;
    struct cluster_connect_result result;
    int64_t session_id;
    int64_t leadership_term_id;
    int32_t leader_member_id;
    int64_t new_leader_timeout_ns;
    int64_t deadline_ns;      /* of the AWAIT states */
    int64_t now_ns;           /* of the present poll */
    struct tern_error status; /* why it is closed */
};

/* Shared by connect.c and session.c. */
tern_cluster *cluster_session_create(const struct tern_cluster_params *params,
                                     struct tern_error *error);
void cluster_session_destroy(tern_cluster *cluster);
/* Remember the egress image with this session id; false when it is gone already. */
bool cluster_session_adopt_image(tern_cluster *cluster, int32_t egress_session_id);

#endif

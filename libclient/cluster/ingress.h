/* The publications to the members of a cluster: one for the whole ingress channel, or one for each
 * endpoint of the list "id=host:port,..." (cluster.md 2.1). Used by the cluster client only. */
#ifndef TERN_CLUSTER_INGRESS_H
#define TERN_CLUSTER_INGRESS_H

#include <tern/client.h>

#define INGRESS_MEMBER_COUNT_MAX 64
#define INGRESS_ANY_MEMBER (-1) /* id of the only entry when there are no endpoints */

/* A publication of either kind; at most one of the handles is set. */
struct ingress_publication {
    tern_async *request;
    tern_exclusive_publication *exclusive;
    tern_publication *shared;
};

struct ingress_member {
    int32_t member_id;
    char *endpoint; /* owned; NULL: the channel is complete */
    struct ingress_publication publication;
    struct tern_error failure; /* code 0: none */
};

struct ingress {
    tern_client *client; /* borrowed */
    const char *channel; /* borrowed */
    int32_t stream_id;
    bool is_shared;
    int count;
    struct ingress_member members[INGRESS_MEMBER_COUNT_MAX];
};

/* Replace the members. NULL endpoints: one member INGRESS_ANY_MEMBER. The publication of a member
 * with the same id and endpoint is kept. 0, -EINVAL for a list that does not parse, -ENOMEM; on
 * failure nothing changes. */
int ingress_set_members(struct ingress *ingress, const char *endpoints, struct tern_error *error);
struct ingress_member *ingress_find(struct ingress *ingress, int32_t member_id);

/* Ask the driver for the member's publication, once. */
void ingress_member_open(struct ingress *ingress, struct ingress_member *member);
/* Take it over when the driver answered; a failure is kept in member->failure. True once there is a
 * publication. */
bool ingress_member_poll(struct ingress *ingress, struct ingress_member *member);
bool ingress_member_is_connected(const struct ingress_member *member);
/* Close all but `keep` (may be NULL). */
void ingress_close_others(struct ingress *ingress, const struct ingress_member *keep);
void ingress_close(struct ingress *ingress);

int64_t ingress_offerv(const struct ingress_publication *publication, const struct iovec *parts,
                       int count);
int64_t ingress_try_claim(const struct ingress_publication *publication, int32_t length,
                          struct tern_buffer_claim *claim);
int32_t ingress_payload_length_max(const struct ingress_publication *publication);

#endif

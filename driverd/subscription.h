/* A subscription of a client: to IPC publications, to spied network publications, or to a receive
 * endpoint. Knows what it is attached to, so that its end does not search (media-driver.md 6.8).
 * Conductor only. */
#ifndef DRIVERD_SUBSCRIPTION_H
#define DRIVERD_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"
#include "driverd/congestion.h"
#include "driverd/stream_index.h"
#include "driverd/timestamp.h"
#include "driverd/udp_channel.h"
#include "wire/command.h"

struct driver_conf;
struct driver_context;
struct endpoint_recv;
struct subscribable;

enum subscription_kind { SUBSCRIPTION_IPC, SUBSCRIPTION_SPY, SUBSCRIPTION_NET };

/* Values in force: the URI's, else the driver's. */
struct subscription_params {
    bool has_session_id;
    int32_t session_id;
    bool has_session_tag; /* session-id=tag:<n>: the conductor finds the session */
    int64_t session_tag;
    bool is_tether;
    bool is_rejoin;
    bool is_reliable;
    bool is_sparse;
    enum congestion_strategy congestion; /* network only */
    int64_t nak_unicast_delay_ns;        /* network only */
    bool has_group;                      /* the URI says it */
    enum group_consideration group;      /* network only */
    struct timestamp_offsets timestamps; /* network only */
    bool is_response; /* control-mode=response: waits for its session unless that is given */
    int64_t untethered_window_limit_timeout_ns;
    int64_t untethered_linger_timeout_ns;
    int64_t untethered_resting_timeout_ns;
};

int subscription_params_parse(struct subscription_params *params, const struct uri *uri,
                              const struct driver_conf *conf, struct tern_error *error);

struct subscription {
    enum subscription_kind kind;
    /* An IPC or spy destination of a network subscription: has its registration id, ends with it,
     * and is in the conductor's list but not in its map. */
    bool is_destination;
    int64_t registration_id;
    int64_t client_id;
    int32_t stream_id;
    struct stream_node stream_node;
    struct subscription_params params;
    char *channel; /* the URI as given, NUL-terminated */
    int32_t channel_length;
    struct udp_channel *udp_channel; /* spies: owned */
    struct endpoint_recv *endpoint;  /* network: one reference; its channel is the endpoint's */
    bool is_wildcard_spy;
    /* what it is attached to */
    struct subscribable **attached;
    int32_t attached_count;
    int32_t attached_capacity;
};

int subscription_create(struct subscription **subscription, enum subscription_kind kind,
                        const struct command *command, const struct subscription_params *params);
/* Detaches from everything (position counters are freed, nothing is said), frees. The endpoint and
 * its interest are the conductor's to release before. */
void subscription_destroy(struct subscription *subscription);

/* A response subscription that does not know its session: nothing interests it yet. */
static inline bool subscription_awaits_session(const struct subscription *subscription) {
    return subscription->params.is_response && !subscription->params.has_session_id;
}

/* Does a stream with these ids interest it? */
static inline bool subscription_wants(const struct subscription *subscription, int32_t stream_id,
                                      int32_t session_id) {
    return subscription->stream_id == stream_id && !subscription_awaits_session(subscription) &&
           (!subscription->params.has_session_id || subscription->params.session_id == session_id);
}

/* Bookkeeping for struct subscribable only. */
int subscription_on_attached(struct subscription *subscription, struct subscribable *to);
void subscription_on_detached(struct subscription *subscription, const struct subscribable *from);

#endif

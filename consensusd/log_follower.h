/* The follower's end of the log: a subscription to the leader's session at one of the own
 * endpoints, live log or catch-up (cluster.md 3.8).
 *
 * The original receives both through one subscription with destinations that come and go. Here the
 * catch-up has a subscription of its own, and the module changes over to the live one when it has
 * come that far (operation_switch.c). Other members see no difference.
 */
#ifndef TERN_CONSENSUSD_LOG_FOLLOWER_H
#define TERN_CONSENSUSD_LOG_FOLLOWER_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/client.h>

#include "consensusd/consensus_conf.h"
#include "consensusd/members.h"

enum log_follower_kind { LOG_FOLLOWER_LIVE, LOG_FOLLOWER_CATCHUP };

/* Owned by the consensus module; conf, own and client are borrowed. */
struct log_follower {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct member *own;
    enum log_follower_kind kind;
    int32_t session_id;
    char channel[CONSENSUS_CHANNEL_MAX]; /* also for archive and services: with the real port */
    bool is_resolved;
    tern_async *request;
    tern_subscription *subscription;
    tern_image *image; /* a reference of ours, or NULL */
};

struct log_follower_params {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct member *own;
    enum log_follower_kind kind;
    int32_t session_id;
};

/* Begin to subscribe to the leader's session. */
int log_follower_open(struct log_follower *follower, const struct log_follower_params *params,
                      struct tern_error *error);
/* 1 once the subscription is there and its port is known, 0 not yet, or negative. */
int log_follower_await(struct log_follower *follower, struct tern_error *error);

/* Where the leader is to send to: the endpoint of the channel. After await returned 1. */
int log_follower_endpoint(const struct log_follower *follower, char *endpoint, size_t size);

/* Look for the image of the session: true once it is there. */
bool log_follower_has_image(struct log_follower *follower);

/* There is nothing to read where the reader of the image stands, be it not sent or lost. */
bool log_follower_is_dry(const struct log_follower *follower);

void log_follower_close(struct log_follower *follower);

/* How long the log has not come on although it should have. */
struct log_drought {
    int64_t position; /* where it stands */
    int64_t since_ns;
    int64_t looked_ns;
};

/* Look each cycle. Returns the length of the drought: 0 when it is none, when the log has come on,
 * or when nobody looked for a while, as then nobody received it either. */
int64_t log_drought_look(struct log_drought *drought, int64_t position, bool is_dry,
                         int64_t now_ns);

#endif

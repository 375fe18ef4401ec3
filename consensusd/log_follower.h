/* The follower's end of the log: one subscription with destinations that come and go, live log and
 * catch-up replay, both feeding the same image (cluster.md 3.8). */
#ifndef TERN_CONSENSUSD_LOG_FOLLOWER_H
#define TERN_CONSENSUSD_LOG_FOLLOWER_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/client.h>

#include "base/uri.h"
#include "consensusd/consensus_conf.h"
#include "consensusd/members.h"

/* Owned by the consensus module; conf, own and client are borrowed. */
struct log_follower {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct member *own;
    int32_t session_id;
    char channel[CONSENSUS_CHANNEL_MAX]; /* also for archive and services */
    tern_async *subscription_request;
    tern_subscription *subscription;
    tern_async *destination_request;
    char live[CONSENSUS_CHANNEL_MAX];    /* "": not added */
    char catchup[CONSENSUS_CHANNEL_MAX]; /* "": not added */
    tern_image *image;                   /* a reference of ours, or NULL */
};

struct log_follower_params {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct member *own;
    int32_t session_id;
};

/* Begin to subscribe to the leader's session. */
int log_follower_open(struct log_follower *follower, const struct log_follower_params *params,
                      struct tern_error *error);
/* 1 once there is the subscription and the destination asked for last, 0 not yet, or negative. */
int log_follower_await(struct log_follower *follower, struct tern_error *error);

int log_follower_add_live(struct log_follower *follower, struct tern_error *error);
int log_follower_add_catchup(struct log_follower *follower, struct tern_error *error);
void log_follower_remove_catchup(struct log_follower *follower);
/* Where the leader is to send the catch-up: the own endpoint with its real port. 1, 0 while the
 * port is not known, or a negative code. */
int log_follower_catchup_endpoint(struct log_follower *follower, char *endpoint, size_t size);

/* Look for the image of the session: true once it is there. */
bool log_follower_has_image(struct log_follower *follower);

void log_follower_close(struct log_follower *follower);

#endif

/* Streams between the members: one subscription at the own consensus endpoint, one publication to
 * every other member (cluster.md 3.4, stream 108). */
#ifndef TERN_CONSENSUSD_MEMBER_LINK_H
#define TERN_CONSENSUSD_MEMBER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/client.h>

#include "consensusd/consensus_conf.h"
#include "consensusd/members.h"

/* Owned by the consensus module; conf, members and client are borrowed. */
struct member_link {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct members *members;
    int32_t own_index;
    tern_async *subscription_request;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    tern_async *publication_requests[MEMBERS_COUNT_MAX];
    tern_exclusive_publication *publications[MEMBERS_COUNT_MAX];
    int64_t retry_ns[MEMBERS_COUNT_MAX]; /* not before, after a failure */
};

struct member_link_params {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct members *members;
    int32_t own_index;
    tern_fragment_handler on_message;
    void *context;
};

/* Begin to subscribe. */
int member_link_open(struct member_link *link, const struct member_link_params *params,
                     struct tern_error *error);
/* 1 once subscribed, 0 not yet, or a negative code. */
int member_link_await(struct member_link *link, struct tern_error *error);
/* Add publications that are missing; failures are told once per attempt and tried again later.
 * Returns the work done; `error->code` is 0 when nothing failed. */
int member_link_maintain(struct member_link *link, int64_t now_ns, struct tern_error *error);

int member_link_poll(struct member_link *link, int fragment_limit);
/* Bit i: member i can be sent to. */
uint32_t member_link_connected(const struct member_link *link);
/* False when it could not be sent now. */
bool member_link_send(struct member_link *link, int32_t member, const void *message,
                      int32_t length);
/* To all others; some may miss it. */
void member_link_broadcast(struct member_link *link, const void *message, int32_t length);

void member_link_close(struct member_link *link);

/* "host" of "host:port" or "[v6]:port". */
void endpoint_host(const char *endpoint, char *host, size_t size);

#endif

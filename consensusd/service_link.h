/* The consensus module's side of the control channel: what it tells its services and tools on one
 * stream, and what they say on the other (cluster.md 1.3, 4.1).
 *
 * Acknowledgements are collected here: every service answers every synchronisation point (recovery,
 * joining a log, snapshot, termination) once, with a counted id. Owned by the module's thread.
 */
#ifndef TERN_CONSENSUSD_SERVICE_LINK_H
#define TERN_CONSENSUSD_SERVICE_LINK_H

#include <tern/client.h>

#include "wire/cluster_codec.h"

#define SERVICE_LINK_SERVICES_MAX 10
#define SERVICE_LINK_ACKS_MAX 8 /* of one service, waiting to be taken */

struct service_link_handlers {
    void *context;
    void (*on_close_session)(void *context, int64_t session_id);
    /* `position` is where in the log the service stood when it asked, 0 when it does not say: those
     * of the original do not. False: not now, give it again. */
    bool (*on_schedule_timer)(void *context, int64_t timer_id, int64_t deadline, int64_t position);
    void (*on_cancel_timer)(void *context, int64_t timer_id, int64_t position);
    /* A message for the log; `message` begins with the 32-byte session header. False as above. */
    bool (*on_service_message)(void *context, int32_t service_id, const uint8_t *message,
                               int32_t length);
    void (*on_members_query)(void *context, int64_t correlation_id, bool is_extended);
    /* A service broke the protocol of acknowledgements: the node cannot go on. */
    void (*on_bad_ack)(void *context, const char *text);
};

struct service_acks {
    struct cluster_service_ack waiting[SERVICE_LINK_ACKS_MAX]; /* oldest first */
    int count;
    int64_t next_ack_id; /* expected from the service */
};

struct service_link {
    tern_async *publication_request;
    tern_async *subscription_request;
    tern_publication *publication;
    tern_subscription *subscription;
    tern_controlled_fragment_assembler *assembler;
    struct service_link_handlers handlers;
    int32_t service_count;
    int32_t missing_count; /* of these, those that have not acknowledged their start */
    struct service_acks acks[SERVICE_LINK_SERVICES_MAX];
};

struct service_link_params {
    const char *channel;
    int32_t service_stream_id;          /* to the services */
    int32_t consensus_module_stream_id; /* from them */
    int32_t service_count;
    struct service_link_handlers handlers;
};

/* Begin to add both streams. */
int service_link_open(struct service_link *link, tern_client *client,
                      const struct service_link_params *params, struct tern_error *error);
/* 1 once both are there, 0 not yet, negative failed. */
int service_link_await(struct service_link *link, struct tern_error *error);
/* Handle up to 10 messages; one that cannot be taken now stays, with all behind it. */
int service_link_poll(struct service_link *link);
void service_link_close(struct service_link *link);

/* True once every service has acknowledged; the answers are taken out: relevant_ids (service_count
 * of them) and the greatest timestamp. A wrong position is told to on_bad_ack, and is not taken. */
bool service_link_take_acks(struct service_link *link, int64_t log_position, int64_t *relevant_ids,
                            int64_t *timestamp);

/* Send one message: true when it went out, false to try again. */
bool service_link_join_log(struct service_link *link, const struct cluster_join_log *event);
bool service_link_terminate(struct service_link *link, int64_t log_position);
bool service_link_request_ack(struct service_link *link, int64_t log_position);
bool service_link_send(struct service_link *link, const void *message, int32_t length);

#endif

/* The two control streams between a service and its consensus module (cluster.md 1.3, 4.2). */
#ifndef TERN_SERVICEHOST_SERVICE_CONTROL_H
#define TERN_SERVICEHOST_SERVICE_CONTROL_H

#include <tern/client.h>

#include "wire/cluster_codec.h"

struct service_control_handlers {
    void *context;
    void (*on_join_log)(void *context, const struct cluster_join_log *event);
    void (*on_termination_position)(void *context, int64_t log_position);
    void (*on_ack_requested)(void *context, int64_t log_position);
};

struct service_control {
    tern_async *publication_request;
    tern_async *subscription_request;
    tern_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    struct service_control_handlers handlers;
};

struct service_control_params {
    const char *channel;
    int32_t service_stream_id;
    int32_t consensus_module_stream_id;
    struct service_control_handlers handlers;
};

/* Begin to add both streams. 0 or a negative code. */
int service_control_open(struct service_control *control, tern_client *client,
                         const struct service_control_params *params, struct tern_error *error);
/* 1 once both streams are there, 0 not yet, or a negative code. */
int service_control_await(struct service_control *control, struct tern_error *error);
/* Handle at most one message; returns the work done. */
int service_control_poll(struct service_control *control);

/* Offer one encoded message; results of enum tern_publication_result. The frame's reserved value
 * says where in the log the service stands, so that a consensus module of Tern can tell what a
 * request came before; the original writes zero and reads nothing there. */
int64_t service_control_send(struct service_control *control, const void *message, int32_t length,
                             int64_t log_position);

void service_control_close(struct service_control *control);

#endif

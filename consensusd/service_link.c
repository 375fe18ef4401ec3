/* The control channel seen from the module. Only processes of this node write to it, but a service
 * is users' code behind an ABI of ours or of somebody else: whatever does not decode is dropped, an
 * acknowledgement out of sequence is reported, and nothing of it is believed.
 *
 * All services write to one publication, which this module joins where the one before it stood:
 * what that had not read yet comes here. It is of services that still have to miss it. Their
 * successors first acknowledge their start, with number 0, and what comes before all have done so
 * is left out. */
#include "consensusd/service_link.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/uri.h"

#define POLL_LIMIT 10
#define SESSION_HEADER_LENGTH 32
#define JOIN_LOG_LENGTH_MAX (CLUSTER_JOIN_LOG_LENGTH_MIN + URI_LENGTH_MAX)

static void bad_ack(struct service_link *link, const struct cluster_service_ack *ack,
                    const char *what) {
    char text[160];
    (void)snprintf(text, sizeof text,
                   "service %d: %s (ack id %" PRId64 " at log position %" PRId64 ")",
                   ack->service_id, what, ack->ack_id, ack->log_position);
    link->handlers.on_bad_ack(link->handlers.context, text);
}

static void on_ack(struct service_link *link, const struct cluster_service_ack *ack) {
    if (ack->service_id < 0 || ack->service_id >= link->service_count) {
        bad_ack(link, ack, "is not one of this module's services");
        return;
    }
    struct service_acks *acks = &link->acks[ack->service_id];
    if (acks->next_ack_id == 0 && ack->ack_id != 0) {
        return; /* meant for the module before, which the service still has to miss */
    }
    if (ack->ack_id != acks->next_ack_id) {
        bad_ack(link, ack,
                ack->ack_id == 0 ? "started a second time" : "acknowledged out of sequence");
        return;
    }
    if (acks->count == SERVICE_LINK_ACKS_MAX) {
        bad_ack(link, ack, "acknowledged what was not asked");
        return;
    }
    link->missing_count -= acks->next_ack_id == 0;
    acks->waiting[acks->count++] = *ack;
    acks->next_ack_id++;
}

/* Where the service stood in the log: Tern's say it in the reserved value of the frame, which the
 * original writes as zero and does not read. */
static int64_t log_position_of(const tern_header *header) {
    return max_i64(tern_header_reserved_value(header), 0);
}

static bool on_service_message(const struct service_link *link, const uint8_t *buffer,
                               int32_t length) {
    if (length < SESSION_HEADER_LENGTH) {
        return true;
    }
    int64_t service_id = cluster_session_message_header_get_cluster_session_id(buffer);
    bool is_known = service_id >= 0 && service_id < link->service_count;
    return !is_known || link->handlers.on_service_message(link->handlers.context,
                                                          (int32_t)service_id, buffer, length);
}

/* What services ask for. False: not now. */
static bool on_request(struct service_link *link, int32_t template_id, const uint8_t *buffer,
                       int32_t length, const tern_header *header) {
    const struct service_link_handlers *handlers = &link->handlers;
    union {
        struct cluster_close_session close;
        struct cluster_schedule_timer schedule;
        struct cluster_cancel_timer cancel;
    } message;
    if (link->missing_count > 0) {
        return true;
    }
    switch (template_id) {
    case CLUSTER_TEMPLATE_CLOSE_SESSION:
        if (cluster_close_session_decode(&message.close, buffer, length) == 0) {
            handlers->on_close_session(handlers->context, message.close.cluster_session_id);
        }
        break;
    case CLUSTER_TEMPLATE_SCHEDULE_TIMER:
        if (cluster_schedule_timer_decode(&message.schedule, buffer, length) == 0) {
            return handlers->on_schedule_timer(handlers->context, message.schedule.correlation_id,
                                               message.schedule.deadline, log_position_of(header));
        }
        break;
    case CLUSTER_TEMPLATE_CANCEL_TIMER:
        if (cluster_cancel_timer_decode(&message.cancel, buffer, length) == 0) {
            handlers->on_cancel_timer(handlers->context, message.cancel.correlation_id,
                                      log_position_of(header));
        }
        break;
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        return on_service_message(link, buffer, length);
    default:
        break;
    }
    return true;
}

static void on_members_query(const struct service_link *link, const uint8_t *buffer,
                             int32_t length) {
    struct cluster_cluster_members_query query;
    if (cluster_cluster_members_query_decode(&query, buffer, length) == 0) {
        link->handlers.on_members_query(link->handlers.context, query.correlation_id,
                                        query.extended == CLUSTER_BOOLEAN_TYPE_TRUE);
    }
}

static enum tern_controlled_action on_message(void *context, const uint8_t *buffer, int32_t length,
                                              const tern_header *header) {
    struct service_link *link = context;
    struct sbe_header message;
    struct cluster_service_ack ack;
    if (sbe_peek(&message, buffer, length) != 0 || message.schema_id != CLUSTER_SCHEMA_ID) {
        return TERN_ACTION_CONTINUE;
    }
    switch (message.template_id) {
    case CLUSTER_TEMPLATE_SERVICE_ACK:
        if (cluster_service_ack_decode(&ack, buffer, length) == 0) {
            on_ack(link, &ack);
        }
        return TERN_ACTION_CONTINUE;
    case CLUSTER_TEMPLATE_CLUSTER_MEMBERS_QUERY:
        on_members_query(link, buffer, length);
        return TERN_ACTION_CONTINUE;
    default:
        return on_request(link, message.template_id, buffer, length, header) ? TERN_ACTION_CONTINUE
                                                                             : TERN_ACTION_ABORT;
    }
}

int service_link_open(struct service_link *link, tern_client *client,
                      const struct service_link_params *params, struct tern_error *error) {
    assert(params->service_count <= SERVICE_LINK_SERVICES_MAX);
    *link = (struct service_link){.handlers = params->handlers,
                                  .service_count = params->service_count,
                                  .missing_count = params->service_count};
    link->assembler = tern_controlled_fragment_assembler_create(on_message, link);
    if (link->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for the control channel");
    }
    struct tern_subscription_params subscription = {
        .channel = params->channel, .stream_id = params->consensus_module_stream_id};
    link->publication_request = tern_client_async_add_publication(client, params->channel,
                                                                  params->service_stream_id, error);
    if (link->publication_request == NULL) {
        return error->code;
    }
    link->subscription_request = tern_client_async_add_subscription(client, &subscription, error);
    return link->subscription_request == NULL ? error->code : 0;
}

int service_link_await(struct service_link *link, struct tern_error *error) {
    if (link->publication_request != NULL) {
        int result =
            tern_async_poll_publication(link->publication_request, &link->publication, error);
        link->publication_request = result == 0 ? link->publication_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (link->subscription_request != NULL) {
        int result =
            tern_async_poll_subscription(link->subscription_request, &link->subscription, error);
        link->subscription_request = result == 0 ? link->subscription_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    return link->publication != NULL && link->subscription != NULL;
}

int service_link_poll(struct service_link *link) {
    return tern_subscription_controlled_poll(link->subscription,
                                             tern_controlled_fragment_assembler_on_fragment,
                                             link->assembler, POLL_LIMIT);
}

void service_link_close(struct service_link *link) {
    tern_async_cancel(link->publication_request);
    tern_async_cancel(link->subscription_request);
    tern_publication_close(link->publication);
    tern_subscription_close(link->subscription);
    tern_controlled_fragment_assembler_destroy(link->assembler);
    *link = (struct service_link){0};
}

bool service_link_take_acks(struct service_link *link, int64_t log_position, int64_t *relevant_ids,
                            int64_t *timestamp) {
    for (int i = 0; i < link->service_count; i++) {
        const struct service_acks *acks = &link->acks[i];
        if (acks->count == 0) {
            return false;
        }
        if (acks->waiting[0].log_position != log_position) {
            bad_ack(link, &acks->waiting[0], "acknowledged another log position than was asked");
            return false;
        }
    }
    *timestamp = INT64_MIN;
    for (int i = 0; i < link->service_count; i++) {
        struct service_acks *acks = &link->acks[i];
        relevant_ids[i] = acks->waiting[0].relevant_id;
        *timestamp = max_i64(*timestamp, acks->waiting[0].timestamp);
        acks->count--;
        memmove(&acks->waiting[0], &acks->waiting[1],
                (size_t)acks->count * sizeof acks->waiting[0]);
    }
    return true;
}

bool service_link_send(struct service_link *link, const void *message, int32_t length) {
    assert(length > 0);
    return tern_publication_offer(link->publication, message, length) > 0;
}

bool service_link_join_log(struct service_link *link, const struct cluster_join_log *event) {
    uint8_t buffer[JOIN_LOG_LENGTH_MAX];
    return service_link_send(link, buffer, cluster_join_log_encode(event, buffer, sizeof buffer));
}

bool service_link_terminate(struct service_link *link, int64_t log_position) {
    uint8_t buffer[CLUSTER_SERVICE_TERMINATION_POSITION_LENGTH_MIN];
    const struct cluster_service_termination_position event = {.log_position = log_position};
    return service_link_send(
        link, buffer, cluster_service_termination_position_encode(&event, buffer, sizeof buffer));
}

bool service_link_request_ack(struct service_link *link, int64_t log_position) {
    uint8_t buffer[CLUSTER_REQUEST_SERVICE_ACK_LENGTH_MIN];
    const struct cluster_request_service_ack event = {.log_position = log_position};
    return service_link_send(link, buffer,
                             cluster_request_service_ack_encode(&event, buffer, sizeof buffer));
}

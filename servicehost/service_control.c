/* The control streams. Messages of other kinds (answers to tools) are seen by every service and
 * skipped; a message that does not decode is skipped as well, for only the local consensus module
 * writes here and a newer one may say things that this version does not know. */
#include "servicehost/service_control.h"

#include <errno.h>
#include <stddef.h>

#include "base/error.h"

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)header;
    struct service_control *control = context;
    const struct service_control_handlers *handlers = &control->handlers;
    struct sbe_header message;
    union {
        struct cluster_join_log join;
        struct cluster_service_termination_position termination;
        struct cluster_request_service_ack ack;
    } event;
    if (sbe_peek(&message, buffer, length) != 0 || message.schema_id != CLUSTER_SCHEMA_ID) {
        return;
    }
    switch (message.template_id) {
    case CLUSTER_TEMPLATE_JOIN_LOG:
        if (cluster_join_log_decode(&event.join, buffer, length) == 0) {
            handlers->on_join_log(handlers->context, &event.join);
        }
        break;
    case CLUSTER_TEMPLATE_SERVICE_TERMINATION_POSITION:
        if (cluster_service_termination_position_decode(&event.termination, buffer, length) == 0) {
            handlers->on_termination_position(handlers->context, event.termination.log_position);
        }
        break;
    case CLUSTER_TEMPLATE_REQUEST_SERVICE_ACK:
        if (cluster_request_service_ack_decode(&event.ack, buffer, length) == 0) {
            handlers->on_ack_requested(handlers->context, event.ack.log_position);
        }
        break;
    default:
        break;
    }
}

int service_control_open(struct service_control *control, tern_client *client,
                         const struct service_control_params *params, struct tern_error *error) {
    *control = (struct service_control){.handlers = params->handlers};
    control->assembler = tern_fragment_assembler_create(on_message, control);
    if (control->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for the control stream");
    }
    struct tern_subscription_params subscription = {.channel = params->channel,
                                                    .stream_id = params->service_stream_id};
    control->publication_request = tern_client_async_add_publication(
        client, params->channel, params->consensus_module_stream_id, error);
    if (control->publication_request == NULL) {
        return error->code;
    }
    control->subscription_request =
        tern_client_async_add_subscription(client, &subscription, error);
    return control->subscription_request == NULL ? error->code : 0;
}

int service_control_await(struct service_control *control, struct tern_error *error) {
    if (control->publication_request != NULL) {
        int result =
            tern_async_poll_publication(control->publication_request, &control->publication, error);
        control->publication_request = result == 0 ? control->publication_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (control->subscription_request != NULL) {
        int result = tern_async_poll_subscription(control->subscription_request,
                                                  &control->subscription, error);
        control->subscription_request = result == 0 ? control->subscription_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    return control->publication != NULL && control->subscription != NULL;
}

int service_control_poll(struct service_control *control) {
    return tern_subscription_poll(control->subscription, tern_fragment_assembler_on_fragment,
                                  control->assembler, 1);
}

static int64_t reserve(void *context, uint8_t *frame, int32_t frame_length) {
    (void)frame;
    (void)frame_length;
    return *(const int64_t *)context;
}

int64_t service_control_send(struct service_control *control, const void *message, int32_t length,
                             int64_t log_position) {
    const struct iovec part = {(void *)(uintptr_t)message, (size_t)length};
    return tern_publication_offerv(control->publication, &part, 1, reserve, &log_position);
}

void service_control_close(struct service_control *control) {
    tern_async_cancel(control->publication_request);
    tern_async_cancel(control->subscription_request);
    tern_publication_close(control->publication);
    tern_subscription_close(control->subscription);
    tern_fragment_assembler_destroy(control->assembler);
    *control = (struct service_control){0};
}

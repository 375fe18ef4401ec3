/* Sockets of receive endpoints: making one, and what leaves through it.
 *
 * Feedback leaves from the socket that the data came to: a connected publication hears nothing
 * else. Failures to send are reported once per second and destination; the next status message is
 * the retry.
 */
#include "driverd/destination_recv.h"

#include <errno.h>
#include <stdlib.h>

#include "driverd/driver_context.h"
#include "driverd/endpoint_recv.h"
#include "driverd/transmit.h"
#include "wire/frame.h"

int destination_recv_create(struct destination_recv **destination, struct driver_context *context,
                            const struct endpoint_socket_params *params, struct tern_error *error) {
    const struct udp_channel *channel = params->channel;
    struct destination_recv *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make a receive destination");
    }
    *made = (struct destination_recv){
        .context = context,
        .is_unsegmented = !context->conf->udp_segment,
        .has_explicit_control = udp_channel_has_control(channel),
        .is_multicast = channel->is_multicast,
        .ttl = endpoint_socket_ttl(context, channel),
        .control = channel->is_multicast ? channel->control_group : channel->control.address,
        .last_frame_time_ns = context->now_ns,
        .asked_ns = context->now_ns,
    };
    int result = endpoint_socket_bind(&made->socket, context, params, error);
    if (result != 0) {
        free(made);
        return result;
    }
    *destination = made;
    return 0;
}

void destination_recv_destroy(struct destination_recv *destination, struct port_range *ports) {
    endpoint_socket_close(&destination->socket, destination->context, ports);
    free(destination);
}

static void transmit(struct destination_recv *destination, const union net_address *to,
                     struct net_datagram *datagrams, int count, int64_t now_ns) {
    const struct transmit_way way = {
        .handle = destination->socket.handle,
        .address = to,
        .is_unsegmented = &destination->is_unsegmented,
        .last_error_ns = &destination->last_error_ns,
    };
    int sent = transmit_datagrams(destination->context, &way, datagrams, count, now_ns);
    if (sent >= 0 && sent < count) {
        context_count(destination->context, SYSTEM_COUNTER_SHORT_SENDS, count - sent);
    }
}

void destination_recv_transmit(struct destination_recv *destination, const void *frame,
                               uint32_t length, const union net_address *to, int64_t now_ns) {
    struct feedback_queue *queue = destination->queue;
    bool is_small = length <= FRAME_BATCH_LENGTH_MAX;
    if (!is_small || frame_batch_is_full(&queue->frames) || queue->destination != destination ||
        !net_address_equal(&queue->to, to)) {
        destination_recv_flush(queue, now_ns);
    }
    if (!is_small) {
        struct net_datagram datagram = {.data = (void *)frame, .length = length};
        transmit(destination, to, &datagram, 1, now_ns);
        return;
    }
    queue->destination = destination;
    queue->to = *to;
    frame_batch_add(&queue->frames, frame, length);
}

void destination_recv_flush(struct feedback_queue *queue, int64_t now_ns) {
    if (queue->frames.count > 0) {
        struct frame_batch *frames = &queue->frames;
        transmit(queue->destination, &queue->to, frames->datagrams, frames->count, now_ns);
        frame_batch_clear(&queue->frames);
    }
}

void destination_recv_elicit_setup(struct destination_recv *destination, int32_t session_id,
                                   int32_t stream_id, const union net_address *to, int64_t now_ns) {
    const struct endpoint_recv *endpoint = destination->endpoint;
    struct frame_sm sm = {
        .common = {.frame_length =
                       endpoint->has_group_tag ? FRAME_SM_GROUP_TAG_LENGTH : FRAME_SM_LENGTH,
                   .flags = FRAME_SM_FLAG_SEND_SETUP,
                   .type = FRAME_TYPE_SM},
        .session_id = session_id,
        .stream_id = stream_id,
        .receiver_id = endpoint->receiver_id,
        .group_tag = endpoint->group_tag,
    };
    destination_recv_transmit(destination, &sm, (uint32_t)sm.common.frame_length, to, now_ns);
}

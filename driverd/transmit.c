/* The way out of a send endpoint (media-driver.md 5.6, 8.2 numbers 5 and 6). Owned by the sender.
 *
 * The original advances its position only when a whole batch was taken, and does not see when one
 * of many destinations took less. Here the accepted prefix counts, and of several destinations the
 * shortest: the others receive a few duplicates, which receivers discard.
 */
#include "driverd/transmit.h"

#include <assert.h>
#include <errno.h>

#include "driverd/driver_context.h"
#include "driverd/endpoint_send.h"
#include "driverd/trace.h"
#include "wire/frame.h"

#define ERROR_INTERVAL_NS NS_PER_S

static void report(struct endpoint_send *endpoint, struct driver_context *context, int code,
                   const union net_address *address, int64_t now_ns) {
    if (endpoint->last_error_ns != 0 && now_ns - endpoint->last_error_ns < ERROR_INTERVAL_NS) {
        return;
    }
    endpoint->last_error_ns = now_ns;
    char text[NET_ADDRESS_TEXT_MAX];
    struct tern_error error;
    (void)net_address_format(address, text);
    (void)error_set_errno(&error, -code, "cannot send to %s", text);
    driver_context_post_error(context, &error);
}

/* The system or the device cannot cut buffers into datagrams, or not into such long ones. */
static bool is_segmentation_refused(int code) {
    return code == -EINVAL || code == -EIO || code == -EMSGSIZE || code == -EOPNOTSUPP;
}

/* Where to: an address, and the socket that leads there. */
struct way {
    int handle;
    const union net_address *address;
};

int transmit_datagrams(const struct net *net, const struct transmit_socket *socket,
                       const struct net_datagram *datagrams, int count) {
    unsigned flags = socket->is_addressed ? NET_SEND_TO_ADDRESS : 0;
    if (count > 1 && !*socket->is_unsegmented) {
        int sent =
            net->send(net->context, socket->handle, datagrams, count, flags | NET_SEND_SEGMENTED);
        if (!is_segmentation_refused(sent)) {
            return sent;
        }
        *socket->is_unsegmented = true;
    }
    return net->send(net->context, socket->handle, datagrams, count, flags);
}

static int send_to(struct endpoint_send *endpoint, struct driver_context *context, struct way way,
                   struct net_datagram *datagrams, int count, int64_t now_ns) {
    const union net_address *address = way.address;
    for (int i = 0; !endpoint->socket.is_connected && i < count; i++) {
        datagrams[i].address = *address;
    }
    const struct transmit_socket socket = {way.handle, !endpoint->socket.is_connected,
                                           &endpoint->is_unsegmented};
    int sent = transmit_datagrams(context->io.net, &socket, datagrams, count);
    if (sent < 0) {
        report(endpoint, context, sent, address, now_ns);
        return sent;
    }
    trace_frames(context, TRACE_FRAME_SENT,
                 (struct trace_frames){datagrams, sent, address, now_ns});
    int64_t bytes = 0;
    for (int i = 0; i < sent; i++) {
        bytes += datagrams[i].length;
    }
    if (bytes > 0) {
        context_count(context, SYSTEM_COUNTER_BYTES_SENT, bytes);
    }
    return sent;
}

int transmit_batch(struct endpoint_send *endpoint, struct driver_context *context,
                   struct net_datagram *datagrams, int count, int64_t now_ns) {
    assert(count > 0 && count <= NET_BATCH_COUNT_MAX);
    if (!endpoint->is_mdc) {
        const struct way way = {endpoint->socket.handle, &endpoint->remote};
        int sent = send_to(endpoint, context, way, datagrams, count, now_ns);
        return sent < 0 ? 0 : sent;
    }
    struct destination_tracker *tracker = &endpoint->tracker;
    int taken = count;
    for (int32_t i = 0; i < tracker->count; i++) {
        int32_t index = (tracker->rotation + i) % tracker->count;
        const struct destination *destination = tracker->destinations[index];
        const struct way way = {destination->is_group ? destination->socket.handle
                                                      : endpoint->socket.handle,
                                &destination->address};
        int sent = send_to(endpoint, context, way, datagrams, count, now_ns);
        if (sent >= 0 && sent < taken) {
            taken = sent;
        }
    }
    tracker->rotation = tracker->count == 0 ? 0 : (tracker->rotation + 1) % tracker->count;
    return taken;
}

bool transmit_frame(struct endpoint_send *endpoint, struct driver_context *context,
                    const void *frame, uint32_t length, int64_t now_ns) {
    struct net_datagram datagram = {.data = (void *)frame, .length = length};
    return transmit_batch(endpoint, context, &datagram, 1, now_ns) == 1;
}

void transmit_later(struct transmit_queue *queue, struct endpoint_send *endpoint, const void *frame,
                    uint32_t length, int64_t now_ns) {
    if (queue->endpoint != endpoint || frame_batch_is_full(&queue->frames)) {
        transmit_queued(queue, now_ns);
    }
    queue->endpoint = endpoint;
    (void)frame_batch_add(&queue->frames, frame, length);
}

void transmit_queued(struct transmit_queue *queue, int64_t now_ns) {
    struct frame_batch *frames = &queue->frames;
    if (frames->count == 0) {
        return;
    }
    int taken =
        transmit_batch(queue->endpoint, queue->context, frames->datagrams, frames->count, now_ns);
    int heartbeats = 0;
    for (int i = 0; i < taken; i++) {
        const struct frame_common *frame = frames->datagrams[i].data;
        heartbeats += frame->type == FRAME_TYPE_DATA;
    }
    if (heartbeats > 0) {
        context_count(queue->context, SYSTEM_COUNTER_HEARTBEATS_SENT, heartbeats);
    }
    if (taken < frames->count) {
        context_count(queue->context, SYSTEM_COUNTER_SHORT_SENDS, frames->count - taken);
    }
    frame_batch_clear(frames);
}

/* The way out of the driver (media-driver.md 5.6, 8.2 numbers 5 and 6).
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

static void report(struct driver_context *context, const struct transmit_way *way, int code,
                   int64_t now_ns) {
    int64_t last_ns = *way->last_error_ns;
    if (last_ns != 0 && now_ns - last_ns < ERROR_INTERVAL_NS) {
        return;
    }
    *way->last_error_ns = now_ns;
    char text[NET_ADDRESS_TEXT_MAX];
    struct tern_error error;
    (void)net_address_format(way->address, text);
    (void)error_set_errno(&error, -code, "cannot send to %s", text);
    driver_context_post_error(context, &error);
}

/* The system or the device cannot cut buffers into datagrams, or not into such long ones. */
static bool is_segmentation_refused(int code) {
    return code == -EINVAL || code == -EIO || code == -EMSGSIZE || code == -EOPNOTSUPP;
}

static int send_datagrams(const struct net *net, const struct transmit_way *way,
                          const struct net_datagram *datagrams, int count) {
    unsigned flags = way->is_connected ? 0 : NET_SEND_TO_ADDRESS;
    if (count > 1 && !*way->is_unsegmented) {
        int sent =
            net->send(net->context, way->handle, datagrams, count, flags | NET_SEND_SEGMENTED);
        if (!is_segmentation_refused(sent)) {
            return sent;
        }
        *way->is_unsegmented = true;
    }
    return net->send(net->context, way->handle, datagrams, count, flags);
}

int transmit_datagrams(struct driver_context *context, const struct transmit_way *way,
                       struct net_datagram *datagrams, int count, int64_t now_ns) {
    for (int i = 0; !way->is_connected && i < count; i++) {
        datagrams[i].address = *way->address;
    }
    int sent = send_datagrams(context->io.net, way, datagrams, count);
    if (sent < 0) {
        report(context, way, sent, now_ns);
        return sent;
    }
    trace_frames(context, TRACE_FRAME_SENT,
                 (struct trace_frames){datagrams, sent, way->address, now_ns});
    int64_t bytes = 0;
    for (int i = 0; i < sent; i++) {
        bytes += datagrams[i].length;
    }
    if (bytes > 0) {
        context_count(context, SYSTEM_COUNTER_BYTES_SENT, bytes);
    }
    return sent;
}

static struct transmit_way way_of(struct endpoint_send *endpoint) {
    return (struct transmit_way){
        .handle = endpoint->socket.handle,
        .is_connected = endpoint->socket.is_connected,
        .address = &endpoint->remote,
        .is_unsegmented = &endpoint->is_unsegmented,
        .last_error_ns = &endpoint->last_error_ns,
    };
}

int transmit_batch(struct endpoint_send *endpoint, struct driver_context *context,
                   struct net_datagram *datagrams, int count, int64_t now_ns) {
    assert(count > 0 && count <= NET_BATCH_COUNT_MAX);
    struct transmit_way way = way_of(endpoint);
    if (!endpoint->is_mdc) {
        int sent = transmit_datagrams(context, &way, datagrams, count, now_ns);
        return sent < 0 ? 0 : sent;
    }
    struct destination_tracker *tracker = &endpoint->tracker;
    int taken = count;
    for (int32_t i = 0; i < tracker->count; i++) {
        int32_t index = (tracker->rotation + i) % tracker->count;
        const struct destination *destination = tracker->destinations[index];
        way.handle = destination->is_group ? destination->socket.handle : endpoint->socket.handle;
        way.address = &destination->address;
        int sent = transmit_datagrams(context, &way, datagrams, count, now_ns);
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
    frame_batch_add(&queue->frames, frame, length);
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

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

static int send_datagrams(struct endpoint_send *endpoint, const struct net *net, int handle,
                          const struct net_datagram *datagrams, int count) {
    unsigned flags = endpoint->socket.is_connected ? 0 : NET_SEND_TO_ADDRESS;
    if (count > 1 && !endpoint->is_unsegmented) {
        int sent = net->send(net->context, handle, datagrams, count, flags | NET_SEND_SEGMENTED);
        if (!is_segmentation_refused(sent)) {
            return sent;
        }
        endpoint->is_unsegmented = true;
    }
    return net->send(net->context, handle, datagrams, count, flags);
}

static int send_to(struct endpoint_send *endpoint, struct driver_context *context, struct way way,
                   struct net_datagram *datagrams, int count, int64_t now_ns) {
    const union net_address *address = way.address;
    for (int i = 0; !endpoint->socket.is_connected && i < count; i++) {
        datagrams[i].address = *address;
    }
    int sent = send_datagrams(endpoint, context->io.net, way.handle, datagrams, count);
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

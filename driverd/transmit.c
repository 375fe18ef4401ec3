/* The way out of a send endpoint (media-driver.md 5.6, 8.2 numbers 5 and 6). Owned by the sender.
 *
 * The original advances its position only when a whole batch was taken, and does not see when one
 * of many destinations took less. Here the accepted prefix counts, and of several destinations the
 * shortest: the others receive a few duplicates, which receivers discard.
 */
#include "driverd/transmit.h"

#include <assert.h>

#include "driverd/driver_context.h"
#include "driverd/endpoint_send.h"

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

static int send_to(struct endpoint_send *endpoint, struct driver_context *context,
                   const union net_address *address, struct net_datagram *datagrams, int count,
                   int64_t now_ns) {
    const struct net *net = context->io.net;
    bool use_address = !endpoint->socket.is_connected;
    for (int i = 0; use_address && i < count; i++) {
        datagrams[i].address = *address;
    }
    int sent = net->send(net->context, endpoint->socket.handle, datagrams, count, use_address);
    if (sent < 0) {
        report(endpoint, context, sent, address, now_ns);
        return sent;
    }
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
        int sent = send_to(endpoint, context, &endpoint->remote, datagrams, count, now_ns);
        return sent < 0 ? 0 : sent;
    }
    struct destination_tracker *tracker = &endpoint->tracker;
    int taken = count;
    for (int32_t i = 0; i < tracker->count; i++) {
        int32_t index = (tracker->rotation + i) % tracker->count;
        const union net_address *address = &tracker->destinations[index]->address;
        int sent = send_to(endpoint, context, address, datagrams, count, now_ns);
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

/* Sending datagrams (media-driver.md 5.6, 8.2): by one way, for both agents; by the sender from a
 * send endpoint, to its peer or to every destination. */
#ifndef DRIVERD_TRANSMIT_H
#define DRIVERD_TRANSMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/frame_batch.h"

struct driver_context;
struct endpoint_send;

/* Where datagrams go: the address, and the socket that leads there. What it remembers is with the
 * owner of the socket. */
struct transmit_way {
    int handle;
    bool is_connected;
    const union net_address *address;
    bool *is_unsegmented;   /* buffers are not cut for it: switched off, or refused by the system */
    int64_t *last_error_ns; /* errors are posted once per second */
};

/* What net->send returns; posted, traced and counted. The addresses are filled in. */
int transmit_datagrams(struct driver_context *context, const struct transmit_way *way,
                       struct net_datagram *datagrams, int count, int64_t now_ns);

/* The datagrams, in order; their addresses are filled in. Returns how many of the front were taken
 * for everybody: what the system would not take now has to come again. A destination that fails for
 * good does not hold back the others: its error is posted, once per second. */
int transmit_batch(struct endpoint_send *endpoint, struct driver_context *context,
                   struct net_datagram *datagrams, int count, int64_t now_ns);

/* SETUPs and heartbeats of one endpoint, on their way. */
struct transmit_queue {
    struct driver_context *context;
    struct endpoint_send *endpoint; /* of the frames in the batch */
    struct frame_batch frames;
};

/* Put one in; those of another endpoint leave before. */
void transmit_later(struct transmit_queue *queue, struct endpoint_send *endpoint, const void *frame,
                    uint32_t length, int64_t now_ns);
/* Send what is there, and count heartbeats and short sends. */
void transmit_queued(struct transmit_queue *queue, int64_t now_ns);

/* One small frame (RTTM). True when it went out, or there is nobody to send to. */
bool transmit_frame(struct endpoint_send *endpoint, struct driver_context *context,
                    const void *frame, uint32_t length, int64_t now_ns);

#endif

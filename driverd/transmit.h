/* Sending from a send endpoint: to its peer, or to every destination (media-driver.md 5.6, 8.2).
 * Sender only. */
#ifndef DRIVERD_TRANSMIT_H
#define DRIVERD_TRANSMIT_H

#include <stdint.h>

#include "base/net.h"

struct driver_context;
struct endpoint_send;

/* The datagrams, in order; their addresses are filled in. Returns how many of the front were taken
 * for everybody: what the system would not take now has to come again. A destination that fails for
 * good does not hold back the others: its error is posted, once per second. */
int transmit_batch(struct endpoint_send *endpoint, struct driver_context *context,
                   struct net_datagram *datagrams, int count, int64_t now_ns);

/* One small frame (SETUP, heartbeat, RTTM). True when it went out, or there is nobody to send to.
 */
bool transmit_frame(struct endpoint_send *endpoint, struct driver_context *context,
                    const void *frame, uint32_t length, int64_t now_ns);

#endif

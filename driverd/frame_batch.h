/* Small frames that wait to leave together: SETUPs and heartbeats, or status messages. Those of
 * many streams of one channel go the same way at the same time, and a run of equal lengths costs
 * the system little more than a single one (net.h, NET_SEND_SEGMENTED). On the wire each is a
 * datagram.
 */
#ifndef DRIVERD_FRAME_BATCH_H
#define DRIVERD_FRAME_BATCH_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/net.h"

#define FRAME_BATCH_LENGTH_MAX 48 /* of a frame; all but ERR are shorter */

/* A zeroed one is empty. */
struct frame_batch {
    int count;
    uint32_t used; /* bytes; they lie one behind the other */
    struct net_datagram datagrams[NET_BATCH_COUNT_MAX];
    uint8_t bytes[NET_BATCH_COUNT_MAX * FRAME_BATCH_LENGTH_MAX];
};

static inline bool frame_batch_is_full(const struct frame_batch *batch) {
    return batch->count == NET_BATCH_COUNT_MAX;
}

static inline void frame_batch_add(struct frame_batch *batch, const void *frame, uint32_t length) {
    assert(batch->count < NET_BATCH_COUNT_MAX);
    assert(length <= FRAME_BATCH_LENGTH_MAX);
    struct net_datagram *datagram = &batch->datagrams[batch->count++];
    datagram->data = batch->bytes + batch->used;
    datagram->length = length;
    memcpy(datagram->data, frame, length);
    batch->used += length;
}

static inline void frame_batch_clear(struct frame_batch *batch) {
    batch->count = 0;
    batch->used = 0;
}

#endif

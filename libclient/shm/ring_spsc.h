/* Ring buffer with one producer and one consumer, same record format and trailer as ring_mpsc.
 * Queues between the agents of one process. A view; it owns nothing. */
#ifndef TERN_SHM_RING_SPSC_H
#define TERN_SHM_RING_SPSC_H

#include "shm/ring_mpsc.h"

struct ring_spsc {
    uint8_t *records;
    struct ring_trailer *trailer;
    int64_t capacity;
    int32_t message_length_max;
};

int ring_spsc_init(struct ring_spsc *ring, uint8_t *memory, int64_t length);
enum ring_status ring_spsc_write(struct ring_spsc *ring, int32_t type, const void *payload,
                                 int32_t length);
/* Hands over up to `limit` messages; 0 only when there is none. */
int ring_spsc_read(struct ring_spsc *ring, ring_handler handler, void *context, int limit);
/* Bytes that can still be written, ignoring wrap. */
int64_t ring_spsc_free_bytes(const struct ring_spsc *ring);

#endif

/* One-to-many broadcast: the driver's answers to all clients (shared-memory.md 2.4).
 * A slow receiver is lapped and learns it; the transmitter never waits. Views; they own nothing. */
#ifndef TERN_SHM_BROADCAST_H
#define TERN_SHM_BROADCAST_H

#include <stdbool.h>
#include <stdint.h>

#define BROADCAST_TRAILER_LENGTH 128

struct broadcast_trailer;

struct broadcast_transmitter {
    uint8_t *records;
    struct broadcast_trailer *trailer;
    int64_t capacity;
    int32_t message_length_max;
};

int broadcast_transmitter_init(struct broadcast_transmitter *transmitter, uint8_t *memory,
                               int64_t length);
/* 0, or -EINVAL for a type < 1 or a payload above capacity / 8. */
int broadcast_transmit(struct broadcast_transmitter *transmitter, int32_t type,
                       const void *payload, int32_t length);

struct broadcast_receiver {
    const uint8_t *records;
    const struct broadcast_trailer *trailer;
    int64_t capacity;
    int64_t cursor;
    int64_t next_record;
    int64_t record_offset;
    int64_t lapped_count;
};

int broadcast_receiver_init(struct broadcast_receiver *receiver, const uint8_t *memory,
                            int64_t length);

/* Copy the next message into `buffer`. Returns 1 with *type and *message_length set, 0 when there
 * is none, -ENOBUFS when it does not fit (it is skipped), -EOVERFLOW when the receiver was lapped
 * (messages were lost; the receiver continues with the latest). */
int broadcast_receive(struct broadcast_receiver *receiver, int32_t *type, uint8_t *buffer,
                      int32_t capacity, int32_t *message_length);

#endif

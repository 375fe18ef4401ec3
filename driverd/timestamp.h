/* Timestamps that the driver writes into messages on their way (media-driver.md 3.13): when the
 * system took a datagram in, when the driver did, and when it sent it. Realtime, ns since the
 * epoch, 8 bytes little-endian. */
#ifndef DRIVERD_TIMESTAMP_H
#define DRIVERD_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"

#define TIMESTAMP_NONE INT32_MIN
#define TIMESTAMP_RESERVED (-8) /* the header's reserved value, which lies before the payload */
#define TIMESTAMP_LENGTH 8

/* Where to, from the beginning of the payload; TIMESTAMP_NONE: nowhere. */
struct timestamp_offsets {
    int32_t media_receive;
    int32_t channel_receive;
    int32_t channel_send;
};

/* The keys media-rcv-ts-offset, channel-rcv-ts-offset and channel-snd-ts-offset. Receivers use the
 * first two, senders the last; two that overlap are refused. */
int timestamp_offsets_parse(struct timestamp_offsets *offsets, const struct uri *uri,
                            struct tern_error *error);

/* Into the first frame of a datagram (or of what will be one). False, and nothing is written, when
 * that is not the begin of a message or too short for it. */
bool timestamp_write(uint8_t *datagram, uint32_t length, int32_t offset, int64_t epoch_ns);

#endif

/* Timestamps in messages (media-driver.md 3.13). Only a message's first fragment has room that the
 * application has set aside; whoever puts the offset into a channel sees to it that the messages
 * have 8 bytes to spare there. */
#include "driverd/timestamp.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "wire/command.h"
#include "wire/frame.h"

static int parse_offset(int32_t *offset, const struct uri *uri, const char *key,
                        struct tern_error *error) {
    const char *text = uri_get(uri, key);
    int64_t value;
    *offset = TIMESTAMP_NONE;
    if (text == NULL) {
        return 0;
    }
    if (strcmp(text, "reserved") == 0) {
        *offset = TIMESTAMP_RESERVED;
    } else if (parse_i64(text, &value) == 0 && value >= 0 && value <= INT32_MAX) {
        *offset = (int32_t)value;
    } else {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                         "%s=%.60s: must be 'reserved' or an offset from 0", key, text);
    }
    return 0;
}

static bool overlap(int32_t a, int32_t b) {
    return a != TIMESTAMP_NONE && b != TIMESTAMP_NONE && llabs((int64_t)a - b) < TIMESTAMP_LENGTH;
}

int timestamp_offsets_parse(struct timestamp_offsets *offsets, const struct uri *uri,
                            struct tern_error *error) {
    int result = parse_offset(&offsets->media_receive, uri, "media-rcv-ts-offset", error);
    if (result == 0) {
        result = parse_offset(&offsets->channel_receive, uri, "channel-rcv-ts-offset", error);
    }
    if (result == 0) {
        result = parse_offset(&offsets->channel_send, uri, "channel-snd-ts-offset", error);
    }
    if (result != 0) {
        return result;
    }
    if (overlap(offsets->media_receive, offsets->channel_receive) ||
        overlap(offsets->media_receive, offsets->channel_send) ||
        overlap(offsets->channel_receive, offsets->channel_send)) {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                         "media-rcv-ts-offset, channel-rcv-ts-offset and channel-snd-ts-offset "
                         "must be at least 8 bytes apart");
    }
    return 0;
}

bool timestamp_write(uint8_t *datagram, uint32_t length, int32_t offset, int64_t epoch_ns) {
    struct frame_header header;
    assert(offset >= 0 || offset == TIMESTAMP_RESERVED);
    assert(length >= sizeof header);
    memcpy(&header, datagram, sizeof header);
    int64_t end = (int64_t)sizeof header + offset + TIMESTAMP_LENGTH;
    if (header.type != FRAME_TYPE_DATA || (header.flags & FRAME_FLAG_BEGIN) == 0 ||
        end > header.frame_length || header.frame_length > (int64_t)length) {
        return false; /* a heartbeat's frame length is 0 */
    }
    put_i64(datagram + sizeof header + offset, epoch_ns);
    return true;
}

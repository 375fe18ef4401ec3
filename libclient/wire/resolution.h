/* The entries of RES frames, by which drivers tell each other names (media-driver.md 1.12, 1.15).
 *
 * A datagram is validated as a whole at the door; the entries of one that is FRAME_VALID can then
 * be read without looking at lengths again.
 */
#ifndef TERN_WIRE_RESOLUTION_H
#define TERN_WIRE_RESOLUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "wire/frame.h"

#define RESOLUTION_NAME_LENGTH_MAX INT16_MAX

struct resolution_entry {
    union net_address address; /* with the port of the named driver's resolver socket */
    bool is_self;              /* it describes the driver that sent the frame */
    int32_t age_ms;            /* since anything was heard of it */
    const char *name;          /* not terminated */
    int32_t name_length;
};

/* The common header of a frame of `length` bytes, entries included. */
void resolution_put_header(uint8_t *frame, int32_t length);
/* The entry's length, a multiple of 8, or 0 when `capacity` is less. */
int32_t resolution_put(uint8_t *buffer, int32_t capacity, const struct resolution_entry *entry);

/* FRAME_INVALID for what is no RES frame, too: nothing else comes to a resolver's socket. */
enum frame_verdict resolution_validate(const uint8_t *datagram, uint32_t length);
/* The entry at *offset of a valid datagram (begin with FRAME_COMMON_LENGTH), which moves behind it;
 * the name is a slice of the datagram. False at the end. */
bool resolution_next(const uint8_t *datagram, int32_t *offset, struct resolution_entry *entry);

#endif

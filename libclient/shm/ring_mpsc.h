/* Ring buffer of records with many producers and one consumer (shared-memory.md 2.3).
 *
 * It is the to-driver command ring of cnc.dat and the queue into the driver's conductor. The struct
 * is a view over memory that holds the records and the 768-byte trailer; it owns nothing.
 */
#ifndef TERN_SHM_RING_MPSC_H
#define TERN_SHM_RING_MPSC_H

#include <stdbool.h>
#include <stdint.h>

#define RING_TRAILER_LENGTH 768
#define RING_RECORD_HEADER_LENGTH 8
#define RING_RECORD_ALIGNMENT 8
#define RING_PADDING_TYPE (-1)

enum ring_status { RING_OK = 0, RING_FULL = -1, RING_ERROR = -2 };

/* What a controlled handler answers. */
enum ring_action { RING_ABORT, RING_BREAK, RING_COMMIT, RING_CONTINUE };

typedef void (*ring_handler)(void *context, int32_t type, const uint8_t *payload, int32_t length);
typedef enum ring_action (*ring_controlled_handler)(void *context, int32_t type,
                                                    const uint8_t *payload, int32_t length);

struct ring_trailer; /* 2.3: tail, head cache, head, correlation counter, heartbeat */

struct ring_mpsc {
    uint8_t *records;
    struct ring_trailer *trailer;
    int64_t capacity;
    int32_t message_length_max; /* capacity / 8 */
};

/* `length` includes the trailer; 0 or -EINVAL when the capacity is no power of two. */
int ring_mpsc_init(struct ring_mpsc *ring, uint8_t *memory, int64_t length);

/* Copy one record in. Any thread or process. */
enum ring_status ring_mpsc_write(struct ring_mpsc *ring, int32_t type, const void *payload,
                                 int32_t length);

/* Claim space for a payload to be written in place: *payload is valid until commit or abort. */
enum ring_status ring_mpsc_try_claim(struct ring_mpsc *ring, int32_t type, int32_t length,
                                     uint8_t **payload);
void ring_mpsc_commit(struct ring_mpsc *ring, uint8_t *payload);
void ring_mpsc_abort(struct ring_mpsc *ring, uint8_t *payload);

/* Consumer only: deliver up to `limit` records; returns how many. A record whose length runs over
 * the ring is skipped up to the end of the ring rather than believed. */
int ring_mpsc_read(struct ring_mpsc *ring, ring_handler handler, void *context, int limit);
int ring_mpsc_controlled_read(struct ring_mpsc *ring, ring_controlled_handler handler,
                              void *context, int limit);

/* Consumer only: free a record that a dead producer left unfinished; true when one was. */
bool ring_mpsc_unblock(struct ring_mpsc *ring);

int64_t ring_mpsc_next_correlation_id(struct ring_mpsc *ring);
int64_t ring_mpsc_consumer_position(const struct ring_mpsc *ring);
int64_t ring_mpsc_producer_position(const struct ring_mpsc *ring);
int64_t ring_mpsc_consumer_heartbeat(const struct ring_mpsc *ring);
void ring_mpsc_set_consumer_heartbeat(struct ring_mpsc *ring, int64_t epoch_ms);

#endif

/* Messages that a service has put to its cluster and that are not committed yet (cluster.md 3.11).
 *
 * Every member's service offers the same sequence, and each message has a number in it, the id of
 * its service session: so the members' queues hold parts of one sequence. A leader appends what is
 * queued, in order. What is seen in the log, or committed by this leader, leaves the queue; what a
 * slower service offers after that has a number that the log is past, and is left out. Each message
 * is therefore in the log once, whoever led when it was offered.
 *
 * A ring of whole messages. It grows when it is full, up to the limit of the original: while a
 * snapshot is awaited nothing leaves it, and the acknowledgement stands behind the messages.
 */
#ifndef TERN_CONSENSUSD_SERVICE_QUEUE_H
#define TERN_CONSENSUSD_SERVICE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SERVICE_QUEUE_LENGTH_MAX (INT64_C(1) << 30)

/* Owned by the consensus module. */
struct service_queue {
    int64_t next_id; /* of the next message that the service offers */
    int64_t log_id;  /* of the last one that is committed */
    uint8_t *bytes;
    int64_t capacity; /* power of two */
    int64_t capacity_max;
    int64_t head;   /* oldest; head, cursor and tail count all bytes ever, padding included */
    int64_t cursor; /* the next that a leader appends */
    int64_t tail;
    int32_t count;
};

int service_queue_init(struct service_queue *queue, int32_t service_id, struct tern_error *error);
/* Closing a zeroed struct does nothing. */
void service_queue_close(struct service_queue *queue);

/* The service offered a message, which begins with the 32-byte session header. 0 when it was queued
 * or is in the log already; -ENOSPC, -ENOMEM: not now, nothing has changed. */
int service_queue_offer(struct service_queue *queue, const uint8_t *message, int32_t length);
/* As it was queued when a snapshot was taken: it has the id that comes next. */
int service_queue_restore(struct service_queue *queue, const uint8_t *message, int32_t length);

/* -- leader -- */

/* The next message to be appended, with its id in its header; NULL: none. */
const uint8_t *service_queue_peek(struct service_queue *queue, int32_t *length);
/* It was, up to this position (or never can be, and is passed over). */
void service_queue_advance(struct service_queue *queue, int64_t position);
/* The log is committed up to here. */
void service_queue_on_commit(struct service_queue *queue, int64_t position);

/* -- all members -- */

/* A message with this id was read from the log. */
void service_queue_on_log(struct service_queue *queue, int64_t id);
/* Leadership is lost: what was appended behind the position is to be appended again. */
void service_queue_roll_back(struct service_queue *queue, int64_t position);
/* All that is queued, oldest first: begin with offset -1. NULL at the end. */
const uint8_t *service_queue_each(const struct service_queue *queue, int64_t *offset,
                                  int32_t *length);

#endif

/* What one subscriber of a stream is given: the messages of each publication in the order they were
 * published, none left out, none twice, at the positions that the publisher was told. On a stream
 * that is not reliable some may be left out, and all the rest holds. An
 * image begins with the first message at or behind its join position, which is never before what
 * the subscriber consumed of the publication already.
 *
 * A spy is given messages before they are sent, but joins where the sender is: what it consumed
 * ahead of that comes again when it leaves and joins, at most the publisher's window, which is half
 * a term.
 *
 * A new subscriber has consumed nothing. It may join an image that was there before it, where the
 * driver has rebuilt the stream to as far as its last duty cycle knew: what the subscriber before
 * it could read since then, and consumed, comes again. How much that is depends on when the driver
 * was stepped last, but it lies within the receiver's window, which is half a term; so it is never
 * further back than a term. */
#ifndef TERN_SIM_CHECK_STREAM_H
#define TERN_SIM_CHECK_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_STREAM_LAG_MAX (64 * 1024) /* a term of the stream */

struct check_stream_message {
    int64_t start; /* position of its first frame */
    int64_t end;
};

struct check_publication {
    int source; /* who publishes it */
    int32_t session_id;
    int32_t initial_term_id;
    struct check_stream_message *messages;
    int64_t count;
    int64_t capacity;
    int64_t join_position; /* of the image; 0, too, when there was none */
    int64_t next;          /* message that comes next; -1: the image has given none yet */
    int64_t consumed;      /* position behind the last message that the subscriber was given */
    int64_t consumed_ever; /* ... that any subscriber was */
};

struct check_stream {
    bool is_lossy;    /* reliable=false */
    bool is_spy;      /* it reads what is not sent yet, and joins again at what is */
    bool may_go_back; /* several sources publish it: another image may be of one that is behind */
    struct check_publication *publications; /* the last one is the newest */
    int64_t count;
    int64_t capacity;
};

void check_stream_on_publication(struct check_stream *check, int32_t session_id,
                                 int32_t initial_term_id, int source);
void check_stream_on_subscriber(struct check_stream *check);
/* A publication took a message. */
void check_stream_on_offer(struct check_stream *check, int64_t publication, int64_t start,
                           int64_t end);
/* -1: unknown. */
int64_t check_stream_find(const struct check_stream *check, int32_t session_id,
                          int32_t initial_term_id);
bool check_stream_on_image(struct check_stream *check, int64_t publication, int64_t join_position,
                           struct tern_error *problem);
bool check_stream_on_message(struct check_stream *check, int64_t publication, int64_t index,
                             int64_t position, struct tern_error *problem);
/* An image says that the stream ends at `position`: nothing was published behind it. */
bool check_stream_on_end(const struct check_stream *check, int64_t publication, int64_t position,
                         struct tern_error *problem);
/* It was given all there is, and that is something; `position` is that of the image, which only
 * counts on a stream that is not reliable. An image that joined at the very end gives nothing. */
bool check_stream_is_level(const struct check_stream *check, int64_t publication, int64_t position);
void check_stream_close(struct check_stream *check);

#endif

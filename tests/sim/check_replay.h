/* Whether an archive keeps what it said. Of each recording the model holds the messages that the
 * publication took, how far the archive said that it has them, and where it said that it stops.
 *
 *  - No position that the archive tells is beyond what was published, or before what it told
 *    earlier: whatever crashed in between. A start position never changes.
 *  - A stop position is where a frame ends, and stays there until the recording is extended from
 *    it; what was published behind it is gone for good then.
 *  - A replay gives exactly the frames of the messages between the two positions that were asked
 *    for, byte for byte and each at its place.
 *
 * Messages are told by a number that their bytes are made of, so that the model needs no copy. */
#ifndef TERN_SIM_CHECK_REPLAY_H
#define TERN_SIM_CHECK_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_REPLAY_NULL (INT64_C(-1))

struct check_replay_message {
    int64_t start; /* position of its first frame */
    int64_t end;   /* behind its last frame, or the last one that was recorded */
    int32_t length;
    uint64_t salt;
};

struct check_replay_recording {
    int64_t id;
    int32_t initial_term_id;
    int64_t start;
    int64_t published;
    int64_t reported;
    int64_t stop; /* CHECK_REPLAY_NULL: it may go on */
    bool is_listed;
    bool may_be_gone; /* a purge was asked for and not answered */
    bool is_replayed; /* whole; the user's note */
    struct check_replay_message *messages;
    int64_t count;
    int64_t capacity;
};

struct check_replay {
    int32_t payload_max; /* of a frame */
    struct check_replay_recording *recordings;
    int count;
    int capacity;
};

/* A replay under way. */
struct check_replay_cursor {
    int64_t position; /* of the next frame, or of padding before it */
    int64_t end;
    int64_t message; /* the first one that ends behind the position */
};

struct check_replay_frame {
    int64_t end; /* position behind it */
    const uint8_t *payload;
    int32_t length;
    bool is_begin;
    bool is_end;
};

void check_replay_close(struct check_replay *check);
/* Nothing is known any more: the disk was lost. */
void check_replay_forget(struct check_replay *check);
/* The bytes of a message. */
void check_replay_fill(uint8_t *message, int32_t length, uint64_t salt);

/* NULL: not known. Valid until the next recording is added. */
struct check_replay_recording *check_replay_find(struct check_replay *check, int64_t id);
struct check_replay_recording *check_replay_add(struct check_replay *check, int64_t id,
                                                int32_t initial_term_id, int64_t start);
void check_replay_remove(struct check_replay *check, int64_t id);

/* -- the publisher -- */

/* What is recorded goes on where it stopped. */
void check_replay_on_extend(struct check_replay_recording *recording);
void check_replay_on_offer(struct check_replay_recording *recording,
                           const struct check_replay_message *message);
/* With padding. */
void check_replay_on_published(struct check_replay_recording *recording, int64_t position);

/* -- the archive -- */

/* It has as much. */
bool check_replay_on_report(struct check_replay_recording *recording, int64_t position,
                            struct tern_error *problem);
/* A recording that is not active. */
struct check_replay_range {
    int64_t start;
    int64_t stop;
};
bool check_replay_on_stop(const struct check_replay *check,
                          struct check_replay_recording *recording,
                          const struct check_replay_range *told, struct tern_error *problem);
/* The list of recordings is complete; only those that may be gone can miss in it. */
void check_replay_begin_listing(struct check_replay *check);
bool check_replay_end_listing(struct check_replay *check, struct tern_error *problem);

/* -- replays -- */

/* The start of a frame or padding from `position` on; the reported position when there is none. */
int64_t check_replay_boundary(const struct check_replay *check,
                              const struct check_replay_recording *recording, int64_t position);
struct check_replay_cursor check_replay_begin(const struct check_replay_recording *recording,
                                              int64_t position, int64_t end);
bool check_replay_on_frame(const struct check_replay *check,
                           const struct check_replay_recording *recording,
                           struct check_replay_cursor *cursor,
                           const struct check_replay_frame *frame, struct tern_error *problem);
/* It has come to its end. */
bool check_replay_on_end(const struct check_replay_recording *recording,
                         const struct check_replay_cursor *cursor, struct tern_error *problem);

#endif

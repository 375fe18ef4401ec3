/* Who wants which session of which stream at one receive endpoint, and the state of every session
 * that was seen (media-driver.md 3.2). A pure core, owned by the receiver: it decides, the receiver
 * acts. */
#ifndef DRIVERD_DISPATCHER_H
#define DRIVERD_DISPATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash_map.h"

struct image;

/* Sessions remembered per stream, wanted or not: a bound against invented session ids. */
#define DISPATCHER_SESSIONS_MAX 65536

enum session_state {
    SESSION_STATE_NONE,
    SESSION_STATE_PENDING_SETUP,    /* a SETUP was asked for */
    SESSION_STATE_INIT_IN_PROGRESS, /* the conductor is making the image */
    SESSION_STATE_COOL_DOWN,        /* the image went without end of stream: ignore for now */
    SESSION_STATE_NO_INTEREST,      /* known and unwanted */
    SESSION_STATE_ACTIVE,           /* has an image */
};

/* One stream id with any interest. */
struct stream_interest {
    int32_t stream_id;
    bool all_sessions;
    int32_t image_count;
    struct hash_map subscribed; /* session ids that are wanted by name */
    struct hash_map sessions;   /* session id -> image, or a state as a small number */
};

struct dispatcher {
    struct hash_map streams; /* stream id -> struct stream_interest */
    int32_t stream_session_limit;
    /* the last image found: a burst is of one stream */
    int32_t last_stream_id;
    int32_t last_session_id;
    struct image *last_image; /* NULL: none */
};

/* What the receiver has to do about a frame. */
enum dispatch_verdict {
    DISPATCH_DROP,
    DISPATCH_TO_IMAGE,
    DISPATCH_ELICIT_SETUP, /* state is PENDING_SETUP now: send SM SEND_SETUP, start the timer */
    DISPATCH_CREATE_IMAGE, /* ask the conductor; when it was asked: dispatcher_init_started */
    DISPATCH_LIMIT,        /* the stream has its maximum of sessions: log */
};

void dispatcher_init(struct dispatcher *dispatcher, int32_t stream_session_limit);
void dispatcher_close(struct dispatcher *dispatcher);

enum dispatch_verdict dispatcher_on_data(struct dispatcher *dispatcher, int32_t stream_id,
                                         int32_t session_id, bool is_eos, struct image **image);
enum dispatch_verdict dispatcher_on_setup(struct dispatcher *dispatcher, int32_t stream_id,
                                          int32_t session_id, struct image **image);
struct image *dispatcher_find_image(struct dispatcher *dispatcher, int32_t stream_id,
                                    int32_t session_id);
enum session_state dispatcher_state(const struct dispatcher *dispatcher, int32_t stream_id,
                                    int32_t session_id);

/* The create-image message is on its way. */
void dispatcher_init_started(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id);
/* Forget `state` if it is the session's: the conductor made no image, nobody answered the
 * SEND_SETUP in time, or the session may come again after its cool-down. */
void dispatcher_remove_state(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                             enum session_state state);

/* 0 or -ENOMEM. `session_id` is ignored for all sessions. */
int dispatcher_add_interest(struct dispatcher *dispatcher, int32_t stream_id, bool all_sessions,
                            int32_t session_id);
void dispatcher_remove_interest(struct dispatcher *dispatcher, int32_t stream_id, bool all_sessions,
                                int32_t session_id);
/* 0 or -ENOMEM. A stream without interest any more takes no image: that is no error. */
int dispatcher_add_image(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                         struct image *image);
/* Only when `image` is the session's; is_cooling: ignore the session until that is cleared. */
void dispatcher_remove_image(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                             const struct image *image, bool is_cooling);

static inline bool dispatcher_has_interest(const struct dispatcher *dispatcher) {
    return dispatcher->streams.count > 0;
}

#endif

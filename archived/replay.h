/* A replay: frames of a recording read from its segment files into an exclusive publication that
 * has the recording's term geometry (archive.md 5.6). */
#ifndef TERN_ARCHIVED_REPLAY_H
#define TERN_ARCHIVED_REPLAY_H

#include "archived/recording_subscription.h"

enum replay_state {
    REPLAY_STATE_PUBLICATION, /* the driver was asked */
    REPLAY_STATE_FILE,        /* wait for the segment file; then OK */
    REPLAY_STATE_CONNECT,     /* wait for a subscriber */
    REPLAY_STATE_REPLAYING,
    REPLAY_STATE_DONE,
};

/* What says how far a replay may go at present. */
enum replay_limit_kind {
    REPLAY_LIMIT_STOP,      /* the stop position of a recording that was not active */
    REPLAY_LIMIT_RECORDING, /* the recording itself, which was active */
    REPLAY_LIMIT_COUNTER,   /* a counter of the client's choice */
};

struct replay {
    struct archive_server *server;
    enum replay_state state;
    int64_t session_id; /* replay session id: counter and stream session id */
    int64_t control_session_id;
    int64_t correlation_id;
    struct segment_geometry geometry;
    int64_t position;      /* next to replay */
    int64_t replay_limit;  /* where it ends by request */
    int64_t stop_position; /* how far it may go now */
    enum replay_limit_kind limit_kind;
    int32_t limit_counter_id;
    int64_t limit_registration_id;
    int32_t mtu_length;
    int32_t read_length_max;
    int32_t stream_id;
    struct uri_builder channel;
    tern_async *async;
    tern_exclusive_publication *publication;
    int64_t connect_deadline_ns;
    int file; /* -1: none open */
    int64_t segment_base;
    bool is_aborted;
    bool revokes; /* at the end: the subscriber is to notice at once */
};

struct replay_params {
    int64_t control_session_id;
    int64_t correlation_id;
    int64_t recording_id;
    int64_t position;
    int64_t length;
    int32_t limit_counter_id; /* -1: none */
    bool is_bounded;
    int32_t stream_id;
    int32_t io_length_max;
    int64_t response_correlation_id; /* of the request image, for response channels */
    struct text_slice channel;
};

/* Check a request (5.6.1) and begin. 0, or -1 with the refusal. */
int replay_create(struct archive_server *server, const struct replay_params *params,
                  struct archive_refusal *refusal);
/* Returns work done; false in *is_alive when it ended and was freed. */
int replay_step(struct replay *replay, bool *is_alive);
void replay_destroy(struct replay *replay);
void replay_abort(struct replay *replay);

bool replay_is_active(const struct archive_server *server, int64_t recording_id);
/* A replay of the recording stands in a segment below `position`. */
bool replay_is_below(const struct archive_server *server, int64_t recording_id, int64_t position);
/* recording_id ARCHIVE_NULL: all of them. */
void replay_abort_all(const struct archive_server *server, int64_t recording_id);

#endif

/* A recording in progress: one image copied block by block into segment files, its position
 * counter, its place in the catalog (archive.md 4.8, 5.1.1, 5.1.4, 6.3). */
#ifndef TERN_ARCHIVED_RECORDING_H
#define TERN_ARCHIVED_RECORDING_H

#include "archived/recording_subscription.h"

enum recording_state {
    RECORDING_STATE_COUNTER, /* its position counter is being added */
    RECORDING_STATE_ACTIVE,
    RECORDING_STATE_ENDED,
};

struct recording {
    struct archive_server *server;
    struct recording_subscription *subscription; /* lives at least as long */
    enum recording_state state;
    int64_t id;
    int64_t control_session_id;
    int64_t correlation_id;
    tern_image *image; /* a reference of our own */
    tern_async *counter_async;
    tern_counter *counter;
    struct segment_geometry geometry;
    int64_t join_position;
    int64_t position;          /* written */
    int64_t reported_position; /* written and, by the sync level, durable: the counter's value */
    int64_t event_position;    /* the last that recording events told */
    int file;                  /* -1: none open */
    int64_t segment_base;
    struct segment_hold hold;
    bool is_extension;
    bool is_dirty;        /* written since the last sync */
    bool is_end_doubtful; /* the last frame needs a marker behind it before it is reported */
    bool was_started;     /* START or EXTEND was told */
    bool is_aborted;
    bool has_failed;
    bool is_failure_told;
    int64_t retry_ns;     /* ENDED: when the catalog is asked again */
    int64_t failure_code; /* archive.md 3.8 */
    char failure[320];
};

/* Make a recording of a new image of the subscription. Refusals are answered to the client. */
void recording_create(struct recording_subscription *subscription, tern_image *image);

/* Copy what has arrived. Returns work done. */
int recording_step(struct recording *recording);
/* After the steps of all recordings: sync, then report positions. Returns work done. */
int recording_report(struct recording *recording);
/* Of one that has ended: write its end down. False when the catalog did not take it; to be called
 * again. Counter and subscription go at once. */
bool recording_try_end(struct recording *recording);
/* Its end is written down: tell it and close. Frees it. */
void recording_finish(struct recording *recording);
/* Free without a trace in the catalog: the driver has gone. */
void recording_abandon(struct recording *recording);

/* End it at its next step. */
void recording_abort(struct recording *recording);

#endif

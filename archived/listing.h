/* A listing that runs inside a control session: descriptors are sent as the response stream takes
 * them, a bounded number of records is looked at per duty cycle (archive.md 5.4). */
#ifndef TERN_ARCHIVED_LISTING_H
#define TERN_ARCHIVED_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/slice.h"

struct control_session;

enum listing_kind { LISTING_NONE, LISTING_RECORDINGS, LISTING_FOR_URI, LISTING_SUBSCRIPTIONS };

struct listing {
    enum listing_kind kind;
    int64_t correlation_id;
    int64_t next_recording_id;
    int32_t next_index; /* subscriptions */
    int32_t wanted_count;
    int32_t sent_count;
    bool applies_stream_id;
    int32_t stream_id;
    char *fragment; /* owned; NULL: every channel */
    int32_t fragment_length;
};

static inline bool listing_is_active(const struct listing *listing) {
    return listing->kind != LISTING_NONE;
}

/* Begin; the session must not have an active one. 0 or -ENOMEM. */
int listing_begin(struct listing *listing, const struct listing *values,
                  struct text_slice fragment);
/* Returns work done. */
int listing_step(struct control_session *session);
void listing_end(struct listing *listing);

/* Whether `text` contains `fragment`. */
bool listing_text_contains(struct text_slice text, struct text_slice fragment);

#endif

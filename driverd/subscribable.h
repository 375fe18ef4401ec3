/* What subscribers attach to: an IPC publication, a network publication (spies) or an image. Keeps
 * one position counter per subscriber and the tether state of each (media-driver.md 2.15).
 *
 * A member of its owner; conductor only. Other agents never see the list: the owner publishes to
 * them what they need (a minimum, a maximum) as one word.
 *
 *     ACTIVE --window-limit timeout--> LINGER --linger timeout--> RESTING --resting timeout-->
 * ACTIVE
 *                                        \--(rejoin=false)--> CLOSED
 */
#ifndef DRIVERD_SUBSCRIBABLE_H
#define DRIVERD_SUBSCRIBABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct driver_context;
struct subscription;

#define SUBSCRIBABLE_CHANNEL_IPC "aeron:ipc" /* in unavailable messages of IPC logs */

enum tether_state { TETHER_ACTIVE, TETHER_LINGER, TETHER_RESTING, TETHER_CLOSED };

struct subscriber_position {
    struct subscription *subscription; /* borrowed; it detaches before it goes */
    enum tether_state state;
    int32_t counter_id; /* -1 when CLOSED */
    int64_t *address;
    int64_t update_time_ns; /* last time ahead of the limit, or of the last change of state */
};

struct subscribable {
    struct driver_context *context;
    /* for available and unavailable messages; borrowed or fixed */
    int64_t id; /* registration id of the publication, correlation id of the image */
    int32_t session_id;
    int32_t stream_id;
    const char *log_path;
    char source_identity[64];

    struct subscriber_position *positions;
    int32_t count;
    int32_t capacity;
    int32_t working_count; /* ACTIVE and LINGER: those that count in minimum and maximum */
};

/* Frees the list and its counters; says nothing to clients. */
void subscribable_close(struct subscribable *subscribable);

/* Attach: make the position counter at `join_position` and broadcast available image. */
int subscribable_add(struct subscribable *subscribable, struct subscription *subscription,
                     int64_t join_position, struct tern_error *error);
/* Detach a subscription that goes: frees its counter, says nothing. False when not attached. */
bool subscribable_remove(struct subscribable *subscribable, struct subscription *subscription);
/* Tell the subscription that its image goes, unless it was told; the caller detaches it then. */
void subscribable_announce_unavailable(const struct subscribable *subscribable,
                                       const struct subscription *subscription,
                                       const char *channel);
/* The stream goes: tell every subscriber that still has the image, free all counters.
 * `channel` is the text of the messages; NULL: the subscription's own channel. */
void subscribable_remove_all(struct subscribable *subscribable, const char *channel);

static inline bool subscribable_has_working(const struct subscribable *subscribable) {
    return subscribable->working_count > 0;
}
/* Of the working positions; `when_none` if there is none. */
int64_t subscribable_min_position(const struct subscribable *subscribable, int64_t when_none);
int64_t subscribable_max_position(const struct subscribable *subscribable, int64_t when_none);
/* True when no working position is below `position`. */
bool subscribable_is_drained(const struct subscribable *subscribable, int64_t position);

struct tether_params {
    int64_t limit_position; /* (R - W) + W / 4: at or below it a subscriber lags */
    int64_t join_position;  /* for those who come back */
    int64_t window_limit_timeout_ns;
    int64_t linger_timeout_ns;
    int64_t resting_timeout_ns;
    const char *channel; /* of unavailable messages; NULL: the subscription's */
};

/* The owner's timer, while ACTIVE. */
void subscribable_check_tethers(struct subscribable *subscribable,
                                const struct tether_params *params, int64_t now_ns);

#endif

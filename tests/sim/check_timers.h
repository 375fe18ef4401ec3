/* Timers and messages of a service as the log orders them: what was asked for at which entry, and
 * what came of it at which later one. Told in the order of the log, each entry once.
 *
 * A timer fires once, not before its deadline. An event may be of a schedule that was moved or
 * cancelled only if the service asked for that not long before: the leader had appended the event
 * before its own service came to the entry upon which it asked. Events come in the order of their
 * schedules, but do not name them: each is taken for the first that it can be of, and a schedule
 * that one may have been of need not fire any more.
 * Messages come back once and in the order of their offers.
 */
#ifndef TERN_SIM_CHECK_TIMERS_H
#define TERN_SIM_CHECK_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_TIMERS_OVERTAKEN_MAX 16

struct check_schedule {
    int64_t deadline;
    int64_t overtaken_ns; /* when the service moved or cancelled it */
};

struct check_timer {
    bool is_scheduled;
    int64_t deadline;
    int overtaken_count;
    struct check_schedule overtaken[CHECK_TIMERS_OVERTAKEN_MAX]; /* oldest first */
};

struct check_timers {
    struct check_timer *timers; /* by id, from 0 */
    int64_t count;
    int64_t position; /* of the last entry that was told */
    int64_t fired_count;
    int64_t stale_count;
    int64_t offered_count;
    int64_t received_count;
};

/* True for an entry that was not told yet: it is now. */
bool check_timers_is_new(struct check_timers *check, int64_t position);
void check_timers_on_schedule(struct check_timers *check, int64_t id, int64_t deadline,
                              int64_t now_ns);
void check_timers_on_cancel(struct check_timers *check, int64_t id, int64_t now_ns);

struct check_timer_event {
    int64_t id;
    int64_t timestamp;
    int64_t now_ns;
    int64_t stale_max_ns; /* how old an overtaking request may be */
};
bool check_timers_on_event(struct check_timers *check, const struct check_timer_event *event,
                           struct tern_error *problem);
void check_timers_on_offer(struct check_timers *check);
/* The n-th offered, from 0. */
bool check_timers_on_message(struct check_timers *check, int64_t number,
                             struct tern_error *problem);
/* Nothing is on its way any more, and all that was due at the time has had long enough. */
bool check_timers_at_end(const struct check_timers *check, int64_t time,
                         struct tern_error *problem);
/* A module of a node has `count` timers scheduled; `get` gives the id and deadline of each. */
struct check_timer_list {
    int node;
    int64_t count;
    void (*get)(const void *context, int64_t index, int64_t *id, int64_t *deadline);
    const void *context;
};
bool check_timers_are_equal(const struct check_timers *check, const struct check_timer_list *list,
                            struct tern_error *problem);
void check_timers_close(struct check_timers *check);

#endif

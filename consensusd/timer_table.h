/* The timers of the services, by id, and the order in which they are due (cluster.md 3.11).
 *
 * What a timer does is decided by the log: of a service's requests and the timer events between
 * them, in the order of their positions. But the two reach a module in any order. A leader appends
 * an event while a request to move that timer is on its way; a follower may read the event before
 * its own, slower service has asked for the timer, or after its faster one has moved it. So each
 * request carries the position of the entry that made the service ask, and the table remembers the
 * position and time of each timer's last event for as long as a request from before it may come:
 *
 *  - a request to schedule that stands before an event at or after its deadline is fulfilled by
 *    that event, however late it comes;
 *  - an event from before the deadline of the timer was of an earlier schedule, and leaves it.
 *
 * So the tables of all members agree as soon as their services stand at the same position. Requests
 * of the original's services carry no position: they are taken for fulfilled as often as an event
 * came that no timer waited for.
 *
 * Pure: knows neither clock nor log. Everything is allocated by init; a limit says how much.
 */
#ifndef TERN_CONSENSUSD_TIMER_TABLE_H
#define TERN_CONSENSUSD_TIMER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TIMER_NO_POSITION 0 /* of a request whose position is not known */
#define TIMER_NONE (-1)

/* One id that is scheduled, or whose last event still matters. */
struct timer {
    int64_t id;
    int64_t deadline;        /* of the last schedule that counts */
    int64_t fired_position;  /* behind its last event; TIMER_NO_POSITION: none matters */
    int64_t fired_timestamp; /* of that event */
    int32_t heap_index;      /* TIMER_NONE: not scheduled */
    int32_t early_count;     /* events for which no request has come yet */
    int32_t older;           /* in the list of fired timers, by position */
    int32_t newer;           /* there, or in the list of free ones */
    bool is_cancelled;       /* after its last event was appended */
};

/* Owned by the consensus module. */
struct timer_table {
    struct timer *timers;
    int32_t *slots; /* hash of ids: index + 1 */
    int32_t *heap;  /* indexes; earliest deadline first, then lowest id */
    uint32_t slot_mask;
    int32_t capacity;
    int32_t used_count;
    int32_t scheduled_count;
    int32_t first_free;
    int32_t first_fired; /* oldest */
    int32_t last_fired;
    int32_t fired_count;
    int64_t lost_count;     /* events that were forgotten too early: the table is too small */
    int64_t last_timestamp; /* of all events */
};

int timer_table_init(struct timer_table *table, int32_t capacity, struct tern_error *error);
/* Closing a zeroed struct does nothing. */
void timer_table_close(struct timer_table *table);

/* Requests of a service. Scheduling gives 0, or -ENOSPC when there are too many timers. */
int timer_table_schedule(struct timer_table *table, int64_t id, int64_t deadline, int64_t position);
void timer_table_cancel(struct timer_table *table, int64_t id);

/* The next that is due at `now`, NULL: none. */
const struct timer *timer_table_due(const struct timer_table *table, int64_t now);
/* Time to be written into the next event: that of events never goes back, whoever leads. */
int64_t timer_table_event_time(const struct timer_table *table, int64_t now);
/* An event is in the log: appended by this leader, or read from it. */
void timer_table_on_event(struct timer_table *table, int64_t id, int64_t position,
                          int64_t timestamp);

/* Events behind the position were lost with the leadership: their timers are due again, unless they
 * were cancelled or scheduled since (3.16). */
void timer_table_roll_back(struct timer_table *table, int64_t position);
/* All services have come to the position: no request from before it will come. */
void timer_table_forget(struct timer_table *table, int64_t position);

/* Scheduled timers, the next one first, the others in any order. */
static inline const struct timer *timer_table_at(const struct timer_table *table, int32_t index) {
    return &table->timers[table->heap[index]];
}

#endif

/* Timers of the services between control stream, log and snapshot (cluster.md 3.11): what the rules
 * are is timer_table.c's. Only a leader in ACTIVE appends events; members take them from the log.
 *
 * Too many timers are back pressure: the request is held until one fires or is cancelled, and so
 * are those behind it; none is lost.
 */
#include <errno.h>

#include "consensusd/consensus.h"

#define EVENTS_PER_CYCLE_MAX 20

/* -- requests of services -- */

/* What one service asks from a position says that it has come there. Others may be behind. */
static void note_position(struct consensus *consensus, int64_t position) {
    if (position != TIMER_NO_POSITION && consensus->conf->service_count == 1) {
        timer_table_forget(&consensus->timers, position);
    }
}

static void hold(struct consensus *consensus) {
    struct tern_error error;
    error_set(&error, -ENOSPC,
              "there are %d timers, a service that asks for more has to wait: see max_timers",
              consensus->timers.scheduled_count);
    consensus_hold_request(consensus, &error);
}

bool consensus_on_schedule_timer(void *context, int64_t timer_id, int64_t deadline,
                                 int64_t position) {
    struct consensus *consensus = context;
    note_position(consensus, position);
    if (timer_table_schedule(&consensus->timers, timer_id, deadline, position) < 0) {
        hold(consensus);
        return false;
    }
    return true;
}

void consensus_on_cancel_timer(void *context, int64_t timer_id, int64_t position) {
    struct consensus *consensus = context;
    note_position(consensus, position);
    timer_table_cancel(&consensus->timers, timer_id);
}

/* -- the log -- */

int consensus_fire_timers(struct consensus *consensus) {
    struct timer_table *timers = &consensus->timers;
    int count = 0;
    while (count < EVENTS_PER_CYCLE_MAX) {
        const struct timer *timer = timer_table_due(timers, consensus->cluster_time);
        if (timer == NULL) {
            break;
        }
        const struct cluster_timer_event event = {
            .leadership_term_id = consensus->raft.leadership_term_id,
            .correlation_id = timer->id,
            .timestamp = timer_table_event_time(timers, consensus->cluster_time),
        };
        int64_t position = log_publisher_append_timer(&consensus->publisher, &event);
        if (position <= 0) {
            break; /* no room: again in the next cycle */
        }
        timer_table_on_event(timers, event.correlation_id, position, event.timestamp);
        count++;
    }
    return count;
}

int consensus_on_timer_entry(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                             int64_t position) {
    struct timer_table *timers = &consensus->timers;
    struct cluster_timer_event event;
    int64_t lost_count = timers->lost_count;
    int result = cluster_timer_event_decode(&event, buffer, length);
    if (result == 0) {
        timer_table_on_event(timers, event.correlation_id, position, event.timestamp);
    }
    if (timers->lost_count > lost_count) {
        struct tern_error error;
        error_set(&error, -ENOSPC,
                  "timer events were forgotten before a service asked for their timers, which may "
                  "fire once more: see max_timers");
        consensus_count_error(consensus, &error);
    }
    return result;
}

/* -- snapshots -- */

int consensus_save_timers(const struct consensus *consensus, struct module_snapshot *snapshot) {
    const struct timer_table *timers = &consensus->timers;
    int result = 0;
    for (int32_t i = 0; i < timers->scheduled_count && result == 0; i++) {
        const struct timer *timer = timer_table_at(timers, i);
        result = module_snapshot_add_timer(snapshot, timer->id, timer->deadline);
    }
    module_snapshot_sort_timers(snapshot); /* equal states give equal recordings */
    return result;
}

int consensus_restore_timers(struct consensus *consensus, const struct module_snapshot *snapshot) {
    int result = 0;
    for (int32_t i = 0; i < snapshot->timer_count && result == 0; i++) {
        result = timer_table_schedule(&consensus->timers, snapshot->timers[i].timer_id,
                                      snapshot->timers[i].deadline, TIMER_NO_POSITION);
    }
    return result;
}

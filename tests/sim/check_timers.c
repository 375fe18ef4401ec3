/* See check_timers.h. */
#include "sim/check_timers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct check_timer *find(struct check_timers *check, int64_t id) {
    assert(id >= 0);
    if (id >= check->count) {
        int64_t count = 2 * id + 256;
        check->timers = realloc(check->timers, (size_t)count * sizeof *check->timers);
        assert(check->timers != NULL);
        memset(check->timers + check->count, 0,
               (size_t)(count - check->count) * sizeof *check->timers);
        check->count = count;
    }
    return &check->timers[id];
}

static void forget_overtaken(struct check_timer *timer, int count) {
    timer->overtaken_count -= count;
    memmove(timer->overtaken, timer->overtaken + count,
            (size_t)timer->overtaken_count * sizeof timer->overtaken[0]);
}

static void overtake(struct check_timer *timer, int64_t now_ns) {
    if (!timer->is_scheduled) {
        return;
    }
    if (timer->overtaken_count == CHECK_TIMERS_OVERTAKEN_MAX) {
        forget_overtaken(timer, 1);
    }
    timer->overtaken[timer->overtaken_count++] = (struct check_schedule){timer->deadline, now_ns};
    timer->is_scheduled = false;
}

bool check_timers_is_new(struct check_timers *check, int64_t position) {
    bool is_new = position > check->position;
    check->position = is_new ? position : check->position;
    return is_new;
}

void check_timers_on_schedule(struct check_timers *check, int64_t id, int64_t deadline,
                              int64_t now_ns) {
    struct check_timer *timer = find(check, id);
    overtake(timer, now_ns);
    timer->is_scheduled = true;
    timer->deadline = deadline;
}

void check_timers_on_cancel(struct check_timers *check, int64_t id, int64_t now_ns) {
    overtake(find(check, id), now_ns);
}

bool check_timers_on_event(struct check_timers *check, const struct check_timer_event *event,
                           struct tern_error *problem) {
    struct check_timer *timer = find(check, event->id);
    check->fired_count++;
    bool may_be_latest = timer->is_scheduled && timer->deadline <= event->timestamp;
    if (may_be_latest) {
        overtake(timer, event->now_ns);
    }
    for (int i = 0; i < timer->overtaken_count; i++) {
        const struct check_schedule *schedule = &timer->overtaken[i];
        if (schedule->deadline <= event->timestamp &&
            event->now_ns - schedule->overtaken_ns <= event->stale_max_ns) {
            check->stale_count += !may_be_latest;
            forget_overtaken(timer, i + 1);
            return true;
        }
    }
    if (timer->is_scheduled) {
        (void)error_set(problem, -1, "timer %lld fires at %lld, before its deadline %lld",
                        (long long)event->id, (long long)event->timestamp,
                        (long long)timer->deadline);
    } else {
        (void)error_set(problem, -1, "timer %lld fires at %lld, but nobody waits for it",
                        (long long)event->id, (long long)event->timestamp);
    }
    return false;
}

void check_timers_on_offer(struct check_timers *check) {
    check->offered_count++;
}

bool check_timers_on_message(struct check_timers *check, int64_t number,
                             struct tern_error *problem) {
    if (number != check->received_count || number >= check->offered_count) {
        (void)error_set(problem, -1, "service message %lld comes instead of %lld of %lld",
                        (long long)number, (long long)check->received_count,
                        (long long)check->offered_count);
        return false;
    }
    check->received_count++;
    return true;
}

bool check_timers_at_end(const struct check_timers *check, int64_t time,
                         struct tern_error *problem) {
    for (int64_t id = 0; id < check->count; id++) {
        const struct check_timer *timer = &check->timers[id];
        if (timer->is_scheduled && timer->deadline <= time) {
            (void)error_set(problem, -1, "timer %lld was due at %lld and has not fired at %lld",
                            (long long)id, (long long)timer->deadline, (long long)time);
            return false;
        }
    }
    if (check->received_count != check->offered_count) {
        (void)error_set(problem, -1, "%lld service messages were offered, %lld came back",
                        (long long)check->offered_count, (long long)check->received_count);
        return false;
    }
    return true;
}

bool check_timers_are_equal(const struct check_timers *check, const struct check_timer_list *list,
                            struct tern_error *problem) {
    int64_t expected = 0;
    for (int64_t id = 0; id < check->count; id++) {
        expected += check->timers[id].is_scheduled;
    }
    if (list->count != expected) {
        (void)error_set(problem, -1, "node %d has %lld timers instead of %lld", list->node,
                        (long long)list->count, (long long)expected);
        return false;
    }
    for (int64_t i = 0; i < list->count; i++) {
        int64_t id;
        int64_t deadline;
        list->get(list->context, i, &id, &deadline);
        bool is_known = id >= 0 && id < check->count && check->timers[id].is_scheduled;
        if (!is_known || check->timers[id].deadline != deadline) {
            (void)error_set(problem, -1, "node %d has timer %lld for %lld, which nobody asked for",
                            list->node, (long long)id, (long long)deadline);
            return false;
        }
    }
    return true;
}

void check_timers_close(struct check_timers *check) {
    free(check->timers);
    *check = (struct check_timers){0};
}

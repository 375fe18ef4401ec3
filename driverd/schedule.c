/* A wheel of lists, and the list of those that are due; see schedule.h. */
#include "driverd/schedule.h"

#include <assert.h>
#include <stddef.h>

#include "base/bits.h"

static void push(struct schedule_node **head, struct schedule_node *node) {
    node->next = *head;
    node->link = head;
    if (node->next != NULL) {
        node->next->link = &node->next;
    }
    *head = node;
}

void schedule_remove(struct schedule_node *node) {
    if (node->link == NULL) {
        return;
    }
    *node->link = node->next;
    if (node->next != NULL) {
        node->next->link = node->link;
    }
    *node = (struct schedule_node){0};
}

void schedule_put(struct schedule *schedule, struct schedule_node *node, int64_t deadline_ns) {
    schedule_remove(node);
    if (deadline_ns == INT64_MAX) {
        return;
    }
    int64_t step = deadline_ns / SCHEDULE_STEP_NS + (deadline_ns % SCHEDULE_STEP_NS > 0);
    step = max_i64(schedule->step, min_i64(step, schedule->step + SCHEDULE_SLOTS - 1));
    push(&schedule->slots[step % SCHEDULE_SLOTS], node);
}

void schedule_now(struct schedule *schedule, struct schedule_node *node) {
    schedule_remove(node);
    push(&schedule->due, node);
}

/* All of the wheel is behind: each slot once is enough. */
static void advance(struct schedule *schedule, int64_t now_step) {
    schedule->step = max_i64(schedule->step, now_step - SCHEDULE_SLOTS + 1);
    while (schedule->due == NULL && schedule->step <= now_step) {
        struct schedule_node **slot = &schedule->slots[schedule->step++ % SCHEDULE_SLOTS];
        schedule->due = *slot;
        *slot = NULL;
        if (schedule->due != NULL) {
            schedule->due->link = &schedule->due;
        }
    }
}

struct schedule_node *schedule_take(struct schedule *schedule, int64_t now_ns) {
    assert(now_ns >= 0);
    if (schedule->due == NULL) {
        advance(schedule, now_ns / SCHEDULE_STEP_NS);
    }
    struct schedule_node *node = schedule->due;
    if (node != NULL) {
        schedule_remove(node);
    }
    return node;
}

int64_t schedule_next_ns(const struct schedule *schedule) {
    if (schedule->due != NULL) {
        return 0;
    }
    for (int64_t i = 0; i < SCHEDULE_SLOTS; i++) {
        if (schedule->slots[(schedule->step + i) % SCHEDULE_SLOTS] != NULL) {
            return (schedule->step + i) * SCHEDULE_STEP_NS;
        }
    }
    return INT64_MAX;
}

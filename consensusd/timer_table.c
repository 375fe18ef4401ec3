/* A pool of timers, a hash of their ids, a binary heap of those that are scheduled, and the list of
 * those that fired (see timer_table.h). The original offers a wheel and a heap; what they promise
 * of order and precision a heap keeps in either case.
 */
#include "consensusd/timer_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define FIRED_COUNT_MAX 65536 /* remembered, of those that somebody had asked for */
#define HASH_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

/* -- ids -- */

static uint32_t home_slot(const struct timer_table *table, int64_t id) {
    return (uint32_t)(((uint64_t)id * HASH_MULTIPLIER) >> 32) & table->slot_mask;
}

/* The slot of the id, or the free one where it belongs. */
static uint32_t find_slot(const struct timer_table *table, int64_t id) {
    uint32_t slot = home_slot(table, id);
    while (table->slots[slot] != 0 && table->timers[table->slots[slot] - 1].id != id) {
        slot = (slot + 1) & table->slot_mask;
    }
    return slot;
}

static struct timer *find(const struct timer_table *table, int64_t id) {
    int32_t index = table->slots[find_slot(table, id)] - 1;
    return index < 0 ? NULL : &table->timers[index];
}

/* Free the slot; what was pushed along by its holder moves back. */
static void clear_slot(struct timer_table *table, uint32_t slot) {
    uint32_t hole = slot;
    for (uint32_t next = (slot + 1) & table->slot_mask; table->slots[next] != 0;
         next = (next + 1) & table->slot_mask) {
        uint32_t home = home_slot(table, table->timers[table->slots[next] - 1].id);
        bool is_reachable = ((next - home) & table->slot_mask) < ((next - hole) & table->slot_mask);
        if (!is_reachable) {
            table->slots[hole] = table->slots[next];
            hole = next;
        }
    }
    table->slots[hole] = 0;
}

/* -- the heap -- */

static bool is_before(const struct timer *a, const struct timer *b) {
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->id < b->id;
}

static void put(struct timer_table *table, int32_t at, int32_t index) {
    table->heap[at] = index;
    table->timers[index].heap_index = at;
}

static void move_up(struct timer_table *table, int32_t at) {
    int32_t index = table->heap[at];
    while (at > 0) {
        int32_t parent = (at - 1) / 2;
        if (!is_before(&table->timers[index], &table->timers[table->heap[parent]])) {
            break;
        }
        put(table, at, table->heap[parent]);
        at = parent;
    }
    put(table, at, index);
}

static void move_down(struct timer_table *table, int32_t at) {
    int32_t index = table->heap[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= table->scheduled_count) {
            break;
        }
        if (child + 1 < table->scheduled_count &&
            is_before(&table->timers[table->heap[child + 1]], &table->timers[table->heap[child]])) {
            child++;
        }
        if (!is_before(&table->timers[table->heap[child]], &table->timers[index])) {
            break;
        }
        put(table, at, table->heap[child]);
        at = child;
    }
    put(table, at, index);
}

static void heap_add(struct timer_table *table, int32_t index, int64_t deadline) {
    struct timer *timer = &table->timers[index];
    timer->deadline = deadline;
    if (timer->heap_index == TIMER_NONE) {
        put(table, table->scheduled_count++, index);
    }
    move_up(table, timer->heap_index);
    move_down(table, timer->heap_index);
}

static void heap_remove(struct timer_table *table, int32_t index) {
    int32_t at = table->timers[index].heap_index;
    if (at == TIMER_NONE) {
        return;
    }
    int32_t last = table->heap[--table->scheduled_count];
    table->timers[index].heap_index = TIMER_NONE;
    if (last != index) {
        put(table, at, last);
        move_up(table, at);
        move_down(table, table->timers[last].heap_index);
    }
}

/* -- the list of those that fired, and the pool -- */

static void unlink_fired(struct timer_table *table, int32_t index) {
    struct timer *timer = &table->timers[index];
    if (timer->fired_position == TIMER_NO_POSITION) {
        return;
    }
    int32_t *newer_of_older =
        timer->older == TIMER_NONE ? &table->first_fired : &table->timers[timer->older].newer;
    int32_t *older_of_newer =
        timer->newer == TIMER_NONE ? &table->last_fired : &table->timers[timer->newer].older;
    *newer_of_older = timer->newer;
    *older_of_newer = timer->older;
    timer->fired_position = TIMER_NO_POSITION;
    timer->early_count = 0;
    table->fired_count--;
}

static void link_fired(struct timer_table *table, int32_t index, int64_t position) {
    struct timer *timer = &table->timers[index];
    assert(table->last_fired == TIMER_NONE ||
           table->timers[table->last_fired].fired_position < position);
    timer->fired_position = position;
    timer->older = table->last_fired;
    timer->newer = TIMER_NONE;
    if (timer->older == TIMER_NONE) {
        table->first_fired = index;
    } else {
        table->timers[timer->older].newer = index;
    }
    table->last_fired = index;
    table->fired_count++;
}

/* Give it back to the pool when it is neither scheduled nor remembered. */
static void release_idle(struct timer_table *table, int32_t index) {
    struct timer *timer = &table->timers[index];
    if (timer->heap_index != TIMER_NONE || timer->fired_position != TIMER_NO_POSITION) {
        return;
    }
    clear_slot(table, find_slot(table, timer->id));
    timer->newer = table->first_free;
    table->first_free = index;
    table->used_count--;
}

static void forget_oldest(struct timer_table *table) {
    int32_t index = table->first_fired;
    unlink_fired(table, index);
    release_idle(table, index);
}

/* The timer of that id, new if there is none. NULL: too many are scheduled. */
static struct timer *find_or_add(struct timer_table *table, int64_t id) {
    struct timer *timer = find(table, id);
    if (timer != NULL) {
        return timer;
    }
    while (table->used_count == table->capacity && table->first_fired != TIMER_NONE) {
        table->lost_count += table->timers[table->first_fired].early_count > 0;
        forget_oldest(table);
    }
    if (table->used_count == table->capacity) {
        return NULL;
    }
    /* Those that were never used yet are taken in order: what is not needed is not touched. */
    int32_t index = table->first_free;
    if (index != TIMER_NONE) {
        table->first_free = table->timers[index].newer;
    } else {
        index = table->used_count;
    }
    table->used_count++;
    table->timers[index] = (struct timer){.id = id, .heap_index = TIMER_NONE};
    table->slots[find_slot(table, id)] = index + 1;
    return &table->timers[index];
}

static int32_t index_of(const struct timer_table *table, const struct timer *timer) {
    return (int32_t)(timer - table->timers);
}

/* -- life -- */

int timer_table_init(struct timer_table *table, int32_t capacity, struct tern_error *error) {
    assert(capacity > 0);
    assert(capacity <= INT32_MAX / 4);
    uint32_t slot_count = 4;
    while (slot_count < 2 * (uint32_t)capacity) {
        slot_count *= 2;
    }
    *table = (struct timer_table){
        .timers = calloc((size_t)capacity, sizeof *table->timers),
        .slots = calloc(slot_count, sizeof *table->slots),
        .heap = calloc((size_t)capacity, sizeof *table->heap),
        .slot_mask = slot_count - 1,
        .capacity = capacity,
        .first_free = TIMER_NONE,
        .first_fired = TIMER_NONE,
        .last_fired = TIMER_NONE,
        .last_timestamp = INT64_MIN,
    };
    if (table->timers == NULL || table->slots == NULL || table->heap == NULL) {
        timer_table_close(table);
        return error_set(error, -ENOMEM, "no memory for %d timers", capacity);
    }
    return 0;
}

void timer_table_close(struct timer_table *table) {
    free(table->timers);
    free(table->slots);
    free(table->heap);
    *table = (struct timer_table){0};
}

/* -- requests -- */

static bool is_fulfilled(const struct timer *timer, int64_t deadline, int64_t position) {
    if (timer->fired_position == TIMER_NO_POSITION || deadline > timer->fired_timestamp) {
        return false;
    }
    return position == TIMER_NO_POSITION ? timer->early_count > 0
                                         : timer->fired_position > position;
}

int timer_table_schedule(struct timer_table *table, int64_t id, int64_t deadline,
                         int64_t position) {
    struct timer *timer = find_or_add(table, id);
    if (timer == NULL) {
        return -ENOSPC;
    }
    int32_t index = index_of(table, timer);
    timer->is_cancelled = false;
    if (is_fulfilled(timer, deadline, position)) {
        heap_remove(table, index);
        timer->deadline = deadline; /* should the event be lost with the leadership */
        timer->early_count -= timer->early_count > 0;
        return 0;
    }
    if (position != TIMER_NO_POSITION && position >= timer->fired_position) {
        timer->early_count = 0;
    }
    heap_add(table, index, deadline);
    return 0;
}

void timer_table_cancel(struct timer_table *table, int64_t id) {
    struct timer *timer = find(table, id);
    if (timer != NULL) {
        int32_t index = index_of(table, timer);
        timer->is_cancelled = true;
        heap_remove(table, index);
        release_idle(table, index);
    }
}

/* -- events -- */

const struct timer *timer_table_due(const struct timer_table *table, int64_t now) {
    const struct timer *timer = table->scheduled_count == 0 ? NULL : timer_table_at(table, 0);
    return timer != NULL && timer->deadline <= now ? timer : NULL;
}

int64_t timer_table_event_time(const struct timer_table *table, int64_t now) {
    return max_i64(table->last_timestamp, now);
}

void timer_table_on_event(struct timer_table *table, int64_t id, int64_t position,
                          int64_t timestamp) {
    table->last_timestamp = max_i64(table->last_timestamp, timestamp);
    struct timer *timer = find_or_add(table, id);
    if (timer == NULL) {
        table->lost_count++;
        return;
    }
    int32_t index = index_of(table, timer);
    int32_t early_count = timer->early_count;
    bool was_awaited = timer->heap_index != TIMER_NONE;
    if (was_awaited && timer->deadline <= timestamp) {
        heap_remove(table, index);
        timer->is_cancelled = false;
    }
    unlink_fired(table, index);
    link_fired(table, index, position);
    timer->fired_timestamp = timestamp;
    timer->early_count = early_count + !was_awaited;
    while (table->fired_count > FIRED_COUNT_MAX &&
           table->timers[table->first_fired].early_count == 0) {
        forget_oldest(table);
    }
}

void timer_table_roll_back(struct timer_table *table, int64_t position) {
    while (table->last_fired != TIMER_NONE &&
           table->timers[table->last_fired].fired_position > position) {
        int32_t index = table->last_fired;
        struct timer *timer = &table->timers[index];
        bool is_due_again = timer->heap_index == TIMER_NONE && !timer->is_cancelled;
        unlink_fired(table, index);
        if (is_due_again) {
            heap_add(table, index, timer->deadline);
        }
        release_idle(table, index);
    }
}

void timer_table_forget(struct timer_table *table, int64_t position) {
    while (table->first_fired != TIMER_NONE &&
           table->timers[table->first_fired].fired_position <= position) {
        forget_oldest(table);
    }
}

/* Busy items at the front of a list, the rest visited slice by slice; see sweep.h. */
#include "driverd/sweep.h"

#include <assert.h>

#include "base/bits.h"
#include "base/futex.h"

static struct sweep_entry *entry_of(const struct sweep_items *items, void *item) {
    return (struct sweep_entry *)(void *)((uint8_t *)item + items->entry_offset);
}

static void put(struct pointer_list *list, const struct sweep_items *items, int32_t index,
                void *item) {
    list->items[index] = item;
    entry_of(items, item)->index = index;
}

static void swap(struct pointer_list *list, const struct sweep_items *items, int32_t a, int32_t b) {
    void *item = list->items[a];
    put(list, items, a, list->items[b]);
    put(list, items, b, item);
}

int sweep_add(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
              void *item) {
    int result = pointer_list_add(list, item);
    if (result == 0) {
        *entry_of(items, item) = (struct sweep_entry){.index = list->count - 1};
        swap(list, items, list->count - 1, list->count - 1 - sweep->asleep_count);
    }
    return result;
}

void sweep_begin(struct sweep *sweep, const struct pointer_list *list, int64_t now_ns) {
    int64_t elapsed_ns = now_ns - sweep->begin_ns;
    sweep->begin_ns = now_ns;
    sweep->unseen =
        now_ns >= sweep->whole_deadline_ns ? sweep_awake_count(sweep, list) - sweep->busy_count : 0;
    sweep->slice = (int32_t)max_i64(1, min_i64(elapsed_ns / SWEEP_SPACING_NS, SWEEP_SLICE_MIN));
}

static int visit_busy(struct sweep *sweep, struct pointer_list *list,
                      const struct sweep_items *items, void *context, int64_t now_ns) {
    int work = 0;
    int32_t count = sweep->busy_count;
    sweep->first = sweep->first + 1 < count ? sweep->first + 1 : 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t index = sweep->first + i < count ? sweep->first + i : sweep->first + i - count;
        void *item = list->items[index];
        int done = items->visit(context, item, now_ns);
        if (done > 0) {
            entry_of(items, item)->busy_until_ns = now_ns + SWEEP_BUSY_NS;
        }
        work += done;
    }
    return work;
}

static void demote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   int64_t now_ns) {
    sweep->demotion_deadline_ns = now_ns + SWEEP_BUSY_NS;
    for (int32_t i = sweep->busy_count - 1; i >= 0; i--) {
        if (entry_of(items, list->items[i])->busy_until_ns <= now_ns) {
            swap(list, items, i, --sweep->busy_count);
        }
    }
}

static void fall_asleep(struct sweep *sweep, struct pointer_list *list,
                        const struct sweep_items *items, int32_t index) {
    if (index < sweep->busy_count) {
        swap(list, items, index, --sweep->busy_count);
        index = sweep->busy_count;
    }
    sweep->asleep_count++;
    swap(list, items, index, sweep_awake_count(sweep, list));
}

/* The item at the index was visited for nothing. True: it sleeps, and another has its place. */
static bool settle(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   void *context, int32_t index) {
    struct sweep_entry *entry = entry_of(items, list->items[index]);
    if (!sweep->may_sleep) {
        return false;
    }
    switch (items->settle(context, list->items[index])) {
    case SWEEP_STAYS_AWAKE:
        return false;
    case SWEEP_ANNOUNCED:
        entry->sleeps_after = sweep->barrier_count + 1;
        sweep->is_barrier_due = true;
        return false;
    case SWEEP_FALLS_ASLEEP:
        break;
    }
    if (sweep->barrier_count < entry->sleeps_after) {
        return false;
    }
    fall_asleep(sweep, list, items, index);
    return true;
}

/* Not often: it interrupts whoever runs. */
static void pass_barrier(struct sweep *sweep, int64_t now_ns) {
    if (sweep->is_barrier_due && now_ns >= sweep->barrier_deadline_ns) {
        bool has_passed = !sweep->needs_barrier || futex_barrier();
        assert(has_passed);
        (void)has_passed;
        sweep->is_barrier_due = false;
        sweep->barrier_count++;
        sweep->barrier_deadline_ns = now_ns + SWEEP_PERIOD_NS;
    }
}

/* One of the rest. */
static int visit_next(struct sweep *sweep, struct pointer_list *list,
                      const struct sweep_items *items, void *context, int64_t now_ns) {
    if (sweep->cursor < sweep->busy_count || sweep->cursor >= sweep_awake_count(sweep, list)) {
        sweep->cursor = sweep->busy_count;
    }
    void *item = list->items[sweep->cursor];
    int done = items->visit(context, item, now_ns);
    if (done > 0) {
        /* What takes its place was seen before it in this round. */
        entry_of(items, item)->busy_until_ns = now_ns + SWEEP_BUSY_NS;
        swap(list, items, sweep->cursor++, sweep->busy_count++);
    } else if (!settle(sweep, list, items, context, sweep->cursor)) {
        sweep->cursor++;
    }
    return done;
}

static int visit_slice(struct sweep *sweep, struct pointer_list *list,
                       const struct sweep_items *items, void *context, int64_t now_ns) {
    int work = 0;
    int32_t rest = sweep_awake_count(sweep, list) - sweep->busy_count;
    sweep->unseen = min_i32(sweep->unseen, rest); /* items may have gone since the cycle began */
    int32_t count = min_i32(sweep->slice, sweep->unseen > 0 ? sweep->unseen : rest);
    for (int32_t i = 0; i < count; i++) {
        work += visit_next(sweep, list, items, context, now_ns);
    }
    if (sweep->unseen > 0) {
        sweep->unseen -= count;
        sweep->whole_deadline_ns = sweep->unseen == 0 ? now_ns + SWEEP_PERIOD_NS : 0;
    }
    sweep->slice = min_i32(sweep->slice * 2, INT32_MAX / 2);
    return work;
}

int sweep_run(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
              void *context, int64_t now_ns) {
    assert(sweep->busy_count <= sweep_awake_count(sweep, list));
    int work = visit_busy(sweep, list, items, context, now_ns);
    work += visit_slice(sweep, list, items, context, now_ns);
    pass_barrier(sweep, now_ns);
    if (now_ns >= sweep->demotion_deadline_ns) {
        demote(sweep, list, items, now_ns);
    }
    return work;
}

static void make_busy(struct sweep *sweep, struct pointer_list *list,
                      const struct sweep_items *items, int32_t index) {
    if (index >= sweep_awake_count(sweep, list)) {
        int32_t first_asleep = sweep_awake_count(sweep, list);
        swap(list, items, index, first_asleep);
        sweep->asleep_count--;
        index = first_asleep;
    }
    if (index >= sweep->busy_count) {
        swap(list, items, index, sweep->busy_count++);
    }
}

void sweep_promote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   void *item, int64_t now_ns) {
    struct sweep_entry *entry = entry_of(items, item);
    assert(sweep_has(list, entry, item));
    entry->busy_until_ns = now_ns + SWEEP_BUSY_NS;
    make_busy(sweep, list, items, entry->index);
}

/* The last item of a part fills the hole, which is there then. */
static int32_t fill_hole(struct pointer_list *list, const struct sweep_items *items, int32_t hole,
                         int32_t last) {
    if (hole < last) {
        put(list, items, hole, list->items[last]);
    }
    return last;
}

void sweep_remove_at(struct sweep *sweep, struct pointer_list *list,
                     const struct sweep_items *items, int32_t index) {
    assert(index >= 0 && index < list->count);
    int32_t awake = sweep_awake_count(sweep, list);
    bool was_asleep = index >= awake;
    if (index < sweep->busy_count) {
        index = fill_hole(list, items, index, --sweep->busy_count);
    }
    if (index < awake) {
        index = fill_hole(list, items, index, awake - 1);
    }
    (void)fill_hole(list, items, index, list->count - 1);
    list->count--;
    sweep->asleep_count -= was_asleep;
}

bool sweep_remove(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                  void *item) {
    const struct sweep_entry *entry = entry_of(items, item);
    bool is_there = sweep_has(list, entry, item);
    if (is_there) {
        sweep_remove_at(sweep, list, items, entry->index);
    }
    return is_there;
}

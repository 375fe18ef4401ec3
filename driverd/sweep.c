/* Busy items at the front of a list, the rest visited slice by slice; see sweep.h. */
#include "driverd/sweep.h"

#include <assert.h>

#include "base/bits.h"

static int64_t *busy_until(const struct sweep_items *items, void *item) {
    return (int64_t *)((uint8_t *)item + items->busy_until_offset);
}

static void swap(struct pointer_list *list, int32_t a, int32_t b) {
    void *item = list->items[a];
    list->items[a] = list->items[b];
    list->items[b] = item;
}

void sweep_begin(struct sweep *sweep, const struct pointer_list *list, int64_t now_ns) {
    sweep->unseen = now_ns >= sweep->whole_deadline_ns ? list->count - sweep->busy_count : 0;
    sweep->slice = SWEEP_SLICE_MIN;
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
            *busy_until(items, item) = now_ns + SWEEP_BUSY_NS;
        }
        work += done;
    }
    return work;
}

static void demote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   int64_t now_ns) {
    sweep->demotion_deadline_ns = now_ns + SWEEP_BUSY_NS;
    for (int32_t i = sweep->busy_count - 1; i >= 0; i--) {
        if (*busy_until(items, list->items[i]) <= now_ns) {
            swap(list, i, --sweep->busy_count);
        }
    }
}

static int visit_slice(struct sweep *sweep, struct pointer_list *list,
                       const struct sweep_items *items, void *context, int64_t now_ns) {
    int work = 0;
    int32_t rest = list->count - sweep->busy_count;
    sweep->unseen = min_i32(sweep->unseen, rest); /* items may have gone since the cycle began */
    int32_t count = min_i32(sweep->slice, sweep->unseen > 0 ? sweep->unseen : rest);
    for (int32_t i = 0; i < count; i++) {
        if (sweep->cursor < sweep->busy_count || sweep->cursor >= list->count) {
            sweep->cursor = sweep->busy_count;
        }
        void *item = list->items[sweep->cursor];
        int done = items->visit(context, item, now_ns);
        if (done > 0) {
            /* What takes its place was seen before it in this round. */
            *busy_until(items, item) = now_ns + SWEEP_BUSY_NS;
            swap(list, sweep->cursor, sweep->busy_count++);
        }
        work += done;
        sweep->cursor++;
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
    assert(sweep->busy_count <= list->count);
    int work = visit_busy(sweep, list, items, context, now_ns);
    work += visit_slice(sweep, list, items, context, now_ns);
    if (now_ns >= sweep->demotion_deadline_ns) {
        demote(sweep, list, items, now_ns);
    }
    return work;
}

void sweep_promote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   void *item, int64_t now_ns) {
    bool is_busy = *busy_until(items, item) > now_ns;
    *busy_until(items, item) = now_ns + SWEEP_BUSY_NS;
    for (int32_t i = 0; !is_busy && i < list->count; i++) {
        if (list->items[i] == item && i >= sweep->busy_count) {
            swap(list, i, sweep->busy_count++);
        }
        is_busy = list->items[i] == item;
    }
}

void sweep_remove_at(struct sweep *sweep, struct pointer_list *list, int32_t index) {
    if (index < sweep->busy_count) {
        list->items[index] = list->items[--sweep->busy_count];
        index = sweep->busy_count;
    }
    pointer_list_remove_at(list, index);
}

bool sweep_remove(struct sweep *sweep, struct pointer_list *list, const void *item) {
    for (int32_t i = 0; i < list->count; i++) {
        if (list->items[i] == item) {
            sweep_remove_at(sweep, list, i);
            return true;
        }
    }
    return false;
}

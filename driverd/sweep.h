/* Which streams of a list an agent looks at, so that the quiet ones cost the busy ones nothing.
 *
 * The list is in two parts: the busy items, which each pass visits, and the rest, of which each
 * pass visits a slice. An item whose visit does work becomes busy, and stays it for a while after
 * its last work. A duty cycle is as many passes as it takes until there was work or all of the rest
 * has been seen, so that whoever goes to sleep afterwards has overlooked nothing. Between short
 * naps that is too much: a cycle is a single pass when the last whole look was less than
 * SWEEP_PERIOD_NS ago. The slices of one cycle double: the longer it finds nothing, the more time
 * it has.
 *
 * Who will be told when there is something to do for an item can let it sleep. Sleepers stand at
 * the end of the list and are not visited. Who was visited for nothing is asked: the first time it
 * announces that it wants to be told; when it is asked again, and a memory barrier of all threads
 * has passed meanwhile, it falls asleep if there is still nothing to do.
 *
 *     sweep_begin(&sweep, &list, now_ns);
 *     do {
 *         work = sweep_run(&sweep, &list, &items, context, now_ns);
 *     } while (work == 0 && !sweep_is_over(&sweep));
 */
#ifndef DRIVERD_SWEEP_H
#define DRIVERD_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "driverd/pointer_list.h"

#define SWEEP_SLICE_MIN 16 /* after a rest; a busy thread visits less */
#define SWEEP_SPACING_NS NS_PER_US
#define SWEEP_PERIOD_NS NS_PER_MS
#define SWEEP_BUSY_NS (10 * NS_PER_MS)

/* A zeroed one is for an empty list. */
struct sweep {
    int32_t busy_count;   /* at the front of the list */
    int32_t asleep_count; /* at its end */
    int32_t first;        /* of the busy ones in the next pass; it rotates */
    int32_t cursor;       /* the next of the rest */
    int32_t slice;
    int32_t unseen; /* of the rest, in this cycle */
    int64_t begin_ns;
    int64_t whole_deadline_ns;
    int64_t demotion_deadline_ns;
    bool may_sleep;        /* set by the owner: somebody tells, and there are barriers */
    bool needs_barrier;    /* set by the owner: who tells is another thread */
    bool is_barrier_due;   /* somebody announced himself since the last one */
    int64_t barrier_count; /* so many have passed */
    int64_t barrier_deadline_ns;
};

/* In each item; the sweep's. */
struct sweep_entry {
    int64_t busy_until_ns;
    int64_t sleeps_after; /* so many barriers */
    int32_t index;        /* in the list */
};

enum sweep_answer { SWEEP_STAYS_AWAKE, SWEEP_ANNOUNCED, SWEEP_FALLS_ASLEEP };

struct sweep_items {
    size_t entry_offset;                                     /* of the struct sweep_entry */
    int (*visit)(void *context, void *item, int64_t now_ns); /* returns the work done */
    /* Is it to sleep? Asked only while the sweep may_sleep. */
    enum sweep_answer (*settle)(void *context, void *item);
};

/* Add an item to the list, awake. 0 or -ENOMEM; cannot fail after pointer_list_reserve. */
int sweep_add(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
              void *item);

/* At the start of a duty cycle. */
void sweep_begin(struct sweep *sweep, const struct pointer_list *list, int64_t now_ns);
/* One pass; returns the work done. */
int sweep_run(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
              void *context, int64_t now_ns);
static inline bool sweep_is_over(const struct sweep *sweep) {
    return sweep->unseen == 0;
}

/* Is the item, whose entry this is, in the list? */
static inline bool sweep_has(const struct pointer_list *list, const struct sweep_entry *entry,
                             const void *item) {
    return entry->index < list->count && list->items[entry->index] == item;
}
static inline bool sweep_is_asleep(const struct sweep *sweep, const struct pointer_list *list,
                                   const struct sweep_entry *entry) {
    return entry->index >= list->count - sweep->asleep_count;
}
static inline int32_t sweep_awake_count(const struct sweep *sweep,
                                        const struct pointer_list *list) {
    return list->count - sweep->asleep_count;
}
static inline void sweep_wake_all(struct sweep *sweep) {
    sweep->asleep_count = 0;
    sweep->whole_deadline_ns = 0;
}

/* Work for the item is expected: it is awake, and busy from now on. */
void sweep_promote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   void *item, int64_t now_ns);
/* The order of items before `index` is kept, but for `index` itself. */
void sweep_remove_at(struct sweep *sweep, struct pointer_list *list,
                     const struct sweep_items *items, int32_t index);
/* True when it was there. */
bool sweep_remove(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                  void *item);

#endif

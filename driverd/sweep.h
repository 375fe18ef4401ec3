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

#define SWEEP_SLICE_MIN 16
#define SWEEP_PERIOD_NS NS_PER_MS
#define SWEEP_BUSY_NS (10 * NS_PER_MS)

/* A zeroed one is for an empty list. */
struct sweep {
    int32_t busy_count; /* at the front of the list */
    int32_t first;      /* of the busy ones in the next pass; it rotates */
    int32_t cursor;     /* the next of the rest */
    int32_t slice;
    int32_t unseen; /* of the rest, in this cycle */
    int64_t whole_deadline_ns;
    int64_t demotion_deadline_ns;
};

struct sweep_items {
    size_t busy_until_offset; /* of an int64_t in each item that is the sweep's, at first 0 */
    int (*visit)(void *context, void *item, int64_t now_ns); /* returns the work done */
};

/* At the start of a duty cycle. */
void sweep_begin(struct sweep *sweep, const struct pointer_list *list, int64_t now_ns);
/* One pass; returns the work done. */
int sweep_run(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
              void *context, int64_t now_ns);
static inline bool sweep_is_over(const struct sweep *sweep) {
    return sweep->unseen == 0;
}

/* Work for the item is expected: it is busy from now on. */
void sweep_promote(struct sweep *sweep, struct pointer_list *list, const struct sweep_items *items,
                   void *item, int64_t now_ns);
/* Instead of pointer_list_remove_at: the order of items before `index` is kept, but for `index`
 * itself. Items are added to the list as to any. */
void sweep_remove_at(struct sweep *sweep, struct pointer_list *list, int32_t index);
bool sweep_remove(struct sweep *sweep, struct pointer_list *list, const void *item);

#endif

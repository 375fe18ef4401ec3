/* Things that the conductor does not look at until sender or receiver, who move them, say so.
 *
 * OFF -> ON: the conductor, when it has nothing to do for the thing. A barrier of all threads has
 * to pass before it relies on that; then it looks once more (sweep.h). ON -> STIRRED: who moved it,
 * who then puts it on a stack. STIRRED -> OFF: the conductor, who takes it from there. So a thing
 * is on the stack once at most, and as long as it is STIRRED it may be, and must not be freed.
 *
 * Order: who moves a thing stores its field, then loads the state, and pays for no barrier between
 * them; the conductor does (log_wake.h has the same).
 */
#ifndef DRIVERD_WATCH_H
#define DRIVERD_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "driverd/sweep.h"

enum watch_state { WATCH_OFF = 0, WATCH_ON, WATCH_STIRRED };

/* In each thing; zeroed: OFF. */
struct watch {
    struct watch *next; /* below it on the stack */
    int32_t state;
};

/* Conductor: it has nothing to do for the thing. */
static inline enum sweep_answer watch_settle(struct watch *watch) {
    switch ((enum watch_state)load_acquire_i32(&watch->state)) {
    case WATCH_OFF:
        store_release_i32(&watch->state, WATCH_ON); /* nobody else leaves OFF */
        return SWEEP_ANNOUNCED;
    case WATCH_ON:
        return SWEEP_FALLS_ASLEEP;
    case WATCH_STIRRED:
        break;
    }
    return SWEEP_STAYS_AWAKE;
}

static inline bool watch_is_stirred(const struct watch *watch) {
    return load_acquire_i32(&watch->state) == WATCH_STIRRED;
}

/* Sender or receiver: true when the conductor has to be told. */
static inline bool watch_stir(struct watch **stack, struct watch *watch) {
    fence_compiler(); /* the barrier of the conductor does the rest */
    if (LIKELY(load_acquire_i32(&watch->state) != WATCH_ON) ||
        !compare_and_set_i32(&watch->state, WATCH_ON, WATCH_STIRRED)) {
        return false;
    }
    struct watch *below;
    do {
        below = load_acquire_pointer((void *const *)stack);
        watch->next = below;
    } while (!compare_and_set_pointer((void **)stack, below, watch));
    return true;
}

/* Conductor: all that is on the stack, the latest first. */
static inline struct watch *watch_take_all(struct watch **stack) {
    return load_acquire_pointer((void *const *)stack) == NULL
               ? NULL
               : exchange_pointer((void **)stack, NULL);
}
/* The one below, after which the thing can be stirred again. */
static inline struct watch *watch_end(struct watch *watch) {
    struct watch *next = watch->next;
    store_release_i32(&watch->state, WATCH_OFF);
    return next;
}

#endif

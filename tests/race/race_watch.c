/* Movers that stir what a conductor watches: nothing that moved is overlooked, nothing is on the
 * stack twice.
 *
 * The conductor looks only at what is not asleep, as sweep.h does it: once when it announces that
 * it wants to be told, and after a barrier once more. A lost stir ends by the alarm, because the
 * movers wait for the conductor; a thing that is twice on the stack makes a ring of it, which ends
 * so as well. */
#include "race.h"

#include <unistd.h>

#include "base/futex.h"
#include "driverd/watch.h"

#define ROUNDS 2000
#define MOVERS 2
#define THINGS 3 /* of each mover */
#define SECONDS_MAX 50

struct thing {
    _Alignas(64) struct watch watch;
    int32_t moved; /* its mover writes */
    int32_t seen;  /* the conductor writes */
    bool is_asleep;
    bool is_announced;
};

struct exchange {
    struct thing things[MOVERS][THINGS];
    struct watch *stack;
    int32_t movers_left;
};

struct mover {
    struct exchange *exchange;
    int number;
};

/* Spread what the two sides do over the window in which both look at once. */
static void dally(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    for (uint32_t i = (*state >> 24) % 64; i > 0; i--) {
        cpu_relax();
    }
}

static void *move(void *argument) {
    const struct mover *mover = argument;
    struct exchange *exchange = mover->exchange;
    uint32_t state = (uint32_t)mover->number;
    for (int32_t round = 1; round <= ROUNDS; round++) {
        struct thing *thing = &exchange->things[mover->number][state % THINGS];
        dally(&state);
        store_release_i32(&thing->moved, round);
        (void)watch_stir(&exchange->stack, &thing->watch);
        if (round % 4 != 0) { /* else the next follows at once */
            while (load_acquire_i32(&thing->seen) != round) {
                (void)sched_yield();
            }
        }
    }
    (void)get_and_add_i32(&exchange->movers_left, -1);
    return NULL;
}

static void take_stirred(struct exchange *exchange) {
    struct watch *watch = watch_take_all(&exchange->stack);
    while (watch != NULL) {
        struct thing *thing = CONTAINER_OF(watch, struct thing, watch);
        watch = watch_end(watch);
        thing->is_asleep = false;
    }
}

/* True when it announced itself. */
static bool visit(struct thing *thing) {
    int32_t moved = load_acquire_i32(&thing->moved);
    if (thing->is_asleep) {
        return false;
    }
    if (thing->seen != moved) {
        store_release_i32(&thing->seen, moved);
        thing->is_announced = false;
        return false;
    }
    enum sweep_answer answer = watch_settle(&thing->watch);
    thing->is_asleep = answer == SWEEP_FALLS_ASLEEP && thing->is_announced;
    thing->is_announced = answer == SWEEP_ANNOUNCED || answer == SWEEP_FALLS_ASLEEP;
    return answer == SWEEP_ANNOUNCED;
}

int main(void) {
    struct exchange *exchange = zeroed(64, sizeof *exchange);
    struct mover movers[MOVERS];
    pthread_t threads[MOVERS];
    (void)alarm(SECONDS_MAX);
    (void)futex_barrier_register();
    exchange->movers_left = MOVERS;
    for (int i = 0; i < MOVERS; i++) {
        movers[i] = (struct mover){exchange, i};
        threads[i] = start(move, &movers[i]);
    }
    while (load_acquire_i32(&exchange->movers_left) > 0) {
        bool is_barrier_due = false;
        take_stirred(exchange);
        for (int i = 0; i < MOVERS * THINGS; i++) {
            is_barrier_due = visit(&exchange->things[i / THINGS][i % THINGS]) || is_barrier_due;
        }
        if (is_barrier_due) {
            CHECK(futex_barrier());
        } else {
            (void)sched_yield();
        }
    }
    for (int i = 0; i < MOVERS; i++) {
        join(threads[i]);
    }
    free(exchange);
    return 0;
}

/* Writers that wake and a sleeper that trusts them: no wake-up is lost.
 *
 * Each round the writer commits one value and waits until the sleeper saw it; the sleeper sleeps
 * whenever there is none. Were the order between a writer's store and its look at the sleeper's
 * word, or between that word and the sleeper's second look, not kept, a round would end by the
 * sleep's time-out, which is made long enough to be no accident. */
#include "race.h"

#include "base/clock.h"
#include "base/futex.h"
#include "shm/log_wake.h"

#include <errno.h>

#define ROUNDS 60000
#define TIMEOUT_NS (30 * NS_PER_S)

struct exchange {
    _Alignas(64) struct log_metadata metadata;
    int32_t written; /* the rounds' numbers */
    int32_t seen;
};

/* Spread what the two sides do over the window in which both look at once. */
static void dally(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    for (uint32_t i = (*state >> 24) % 64; i > 0; i--) {
        cpu_relax();
    }
}

static void *write_rounds(void *argument) {
    struct exchange *exchange = argument;
    uint32_t state = 1;
    for (int32_t round = 1; round <= ROUNDS; round++) {
        dally(&state);
        store_release_i32(&exchange->written, round);
        log_wake(&exchange->metadata);
        while (load_acquire_i32(&exchange->seen) != round) {
            cpu_relax();
        }
    }
    return NULL;
}

static void sleep_until(struct exchange *exchange, int32_t round) {
    const struct futex_word word = {&exchange->metadata.sleeper, LOG_SLEEPER, false};
    while (load_acquire_i32(&exchange->written) != round) {
        log_sleeper_announce(&exchange->metadata);
        CHECK(futex_barrier());
        if (load_acquire_i32(&exchange->written) != round) {
            CHECK(futex_wait(&word, 1, TIMEOUT_NS) != -ETIMEDOUT);
        }
    }
}

int main(void) {
    struct exchange *exchange = zeroed(64, sizeof *exchange);
    (void)futex_barrier_register();
    pthread_t writer = start(write_rounds, exchange);
    for (int32_t round = 1; round <= ROUNDS; round++) {
        sleep_until(exchange, round);
        store_release_i32(&exchange->seen, round);
    }
    join(writer);
    free(exchange);
    return 0;
}

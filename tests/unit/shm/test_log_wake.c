#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/futex.h"
#include "lib/refused_call.h"
#include "shm/log_wake.h"

/* In a mapping of its own, as in a log file, so that the futexes are shared ones. */
static struct log_metadata metadata;

struct sleeper {
    struct futex_word words[2];
    int count;
    int result;
};

static void *sleep_on_it(void *argument) {
    struct sleeper *sleeper = argument;
    log_sleeper_announce(&metadata);
    sleeper->result = futex_wait(sleeper->words, sleeper->count, 60 * NS_PER_S);
    return NULL;
}

Test(log_wake, a_writer_wakes_who_announced_itself) {
    int32_t other = 7;
    for (int count = 1; count <= 2; count++) {
        struct sleeper sleeper = {
            .words = {{&metadata.sleeper, LOG_SLEEPER, false}, {&other, 7, true}},
            .count = count,
            .result = 1,
        };
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, sleep_on_it, &sleeper), 0);
        while (load_acquire_i32(&metadata.sleeper) != LOG_SLEEPER) {
            (void)sched_yield();
        }
        /* Asleep, or about to find the word changed: both end at once. */
        log_wake(&metadata);
        cr_assert_eq(metadata.sleeper, 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert(sleeper.result == 0 || sleeper.result == -EINTR, "%d", sleeper.result);
    }
}

Test(log_wake, a_sleep_ends_by_time_or_by_a_changed_word) {
    int32_t words[2] = {1, 2};
    struct futex_word vector[2] = {{&words[0], 1, true}, {&words[1], 2, false}};
    cr_assert_eq(futex_wait(vector, 1, NS_PER_MS), -ETIMEDOUT);
    cr_assert_eq(futex_wait(vector, 2, NS_PER_MS), -ETIMEDOUT);
    cr_assert_eq(futex_wait(vector, 2, -5), -ETIMEDOUT);
    words[1] = 3;
    cr_assert_eq(futex_wait(vector, 2, 60 * NS_PER_S), 0);
    words[0] = 3;
    cr_assert_eq(futex_wait(vector, 1, 60 * NS_PER_S), 0);
    cr_assert(futex_barrier_register());
    cr_assert(futex_barrier());
}

Test(log_wake, only_known_writers_are_relied_upon) {
    cr_assert(!log_wakes_reliably(&metadata)); /* another make of driver */
    cr_assert(log_waking_writer_join(&metadata));
    cr_assert(!log_wakes_reliably(&metadata));
    log_waking_writer_leave(&metadata);
    log_writers_change(&metadata, 1); /* ours, and a handle of unknown make */
    cr_assert(!log_wakes_reliably(&metadata));
    cr_assert(log_waking_writer_join(&metadata));
    cr_assert(log_wakes_reliably(&metadata));
    log_writers_change(&metadata, 1); /* an Aeron client joins */
    cr_assert(!log_wakes_reliably(&metadata));
    log_waking_writer_leave(&metadata); /* ours leaves */
    log_writers_change(&metadata, -1);
    cr_assert(!log_wakes_reliably(&metadata));
    log_writers_change(&metadata, -1); /* nobody can write */
    cr_assert(!log_wakes_reliably(&metadata));
    metadata = (struct log_metadata){0};
    log_writers_set_own(&metadata);
    cr_assert(log_wakes_reliably(&metadata));
    log_writers_distrust(&metadata);
    cr_assert(log_waking_writer_join(&metadata));
    log_writers_change(&metadata, 1);
    cr_assert(!log_wakes_reliably(&metadata));
}

Test(log_wake, a_change_of_writers_wakes_sleepers) {
    static void (*const changes[])(struct log_metadata *) = {log_writers_distrust};
    log_sleeper_announce(&metadata);
    log_writers_change(&metadata, 1);
    cr_assert_eq(metadata.sleeper, 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        log_sleeper_announce(&metadata);
        changes[i](&metadata);
        cr_assert_eq(metadata.sleeper, 0);
    }
}

/* A sleeper of another process, which has barriers, would rely on them. */
Test(log_wake, nobody_is_known_who_cannot_have_the_sleepers_barrier) {
    refuse_call(SYS_membarrier, EPERM);
    log_writers_change(&metadata, 1);
    cr_assert_not(log_waking_writer_join(&metadata));
    cr_assert_eq(metadata.waking_writers, 0);
    cr_assert(!log_wakes_reliably(&metadata));
    metadata = (struct log_metadata){0};
    log_writers_set_own(&metadata);
    cr_assert(!log_wakes_reliably(&metadata));
}

/* Joined on the conductor's thread, closed on one of the application's, or before and after it
 * locked itself up: the barrier reaches the process all the while. */
Test(log_wake, who_left_is_not_counted_any_more_whatever_it_may_call_by_then) {
    cr_assert(log_waking_writer_join(&metadata));
    refuse_call(SYS_membarrier, EPERM);
    log_waking_writer_leave(&metadata);
    cr_assert_eq(metadata.waking_writers, 0);
}

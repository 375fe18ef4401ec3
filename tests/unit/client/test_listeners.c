#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "base/atomic.h"
#include "client/seams.h"
#include "lib/fake_driver.h"

static struct fake_driver driver;
static tern_client *client;

struct seen {
    int calls;
    int64_t registration_id;
    int32_t counter_id;
    struct seen *victim; /* removed when called */
    bool is_adding;
    int32_t is_inside;
    int32_t may_leave;
};

static void set_up(void) {
    fake_driver_open(&driver, "listeners");
    client = fake_driver_connect(&driver);
}

static void tear_down(void) {
    tern_client_close(client);
    fake_driver_close(&driver);
}

static void on_counter(void *context, const tern_counters_reader *counters, int64_t registration_id,
                       int32_t counter_id) {
    struct seen *seen = context;
    cr_assert_eq(counters, tern_client_counters(client));
    seen->calls++;
    seen->registration_id = registration_id;
    seen->counter_id = counter_id;
    if (seen->victim != NULL) {
        cr_assert_eq(tern_client_remove_available_counter_handler(client, on_counter, seen->victim),
                     0);
        seen->victim = NULL;
    }
    if (seen->is_adding) {
        cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, seen), 0);
        seen->is_adding = false;
    }
}

static void on_close(void *context, tern_client *which) {
    struct seen *seen = context;
    cr_assert(tern_client_is_closed(which));
    seen->calls++;
}

static void counter_event(int32_t type, int64_t registration_id) {
    fake_driver_send(
        &driver,
        &(struct response){.type = type, .correlation_id = registration_id, .counter_id = 9});
    (void)tern_client_do_work(client);
}

Test(listeners, are_called_for_their_event_until_removed, .init = set_up, .fini = tear_down) {
    struct seen available = {0};
    struct seen unavailable = {0};
    struct seen twice = {0};
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &available), 0);
    cr_assert_eq(tern_client_add_unavailable_counter_handler(client, on_counter, &unavailable), 0);
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &twice), 0);
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &twice), 0);
    counter_event(RESPONSE_COUNTER_READY, 501);
    cr_assert_eq(available.calls, 1);
    cr_assert_eq(available.registration_id, 501);
    cr_assert_eq(available.counter_id, 9);
    cr_assert_eq(twice.calls, 2);
    cr_assert_eq(unavailable.calls, 0);
    counter_event(RESPONSE_UNAVAILABLE_COUNTER, 502);
    cr_assert_eq(unavailable.calls, 1);
    cr_assert_eq(unavailable.registration_id, 502);
    cr_assert_eq(tern_client_remove_available_counter_handler(client, on_counter, &available), 0);
    cr_assert_eq(tern_client_remove_available_counter_handler(client, on_counter, &available),
                 -ENOENT);
    cr_assert_eq(tern_client_remove_available_counter_handler(client, on_counter, &twice), 0);
    cr_assert_eq(tern_client_remove_unavailable_counter_handler(client, on_counter, &twice),
                 -ENOENT);
    counter_event(RESPONSE_COUNTER_READY, 503);
    cr_assert_eq(available.calls, 1);
    cr_assert_eq(twice.calls, 3);
}

Test(listeners, may_add_and_remove_each_other, .init = set_up, .fini = tear_down) {
    struct seen second = {0};
    struct seen first = {.victim = &second, .is_adding = true};
    struct seen suicidal = {0};
    suicidal.victim = &suicidal;
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &first), 0);
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &second), 0);
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter, &suicidal), 0);
    counter_event(RESPONSE_COUNTER_READY, 501);
    cr_assert_eq(first.calls, 1); /* its second entry is for the next event */
    cr_assert_eq(second.calls, 0);
    cr_assert_eq(suicidal.calls, 1);
    counter_event(RESPONSE_COUNTER_READY, 502);
    cr_assert_eq(first.calls, 3);
    cr_assert_eq(second.calls, 0);
    cr_assert_eq(suicidal.calls, 1);
}

Test(listeners, have_a_limit_and_hear_of_the_end_once, .init = set_up) {
    struct seen seen[TERN_HANDLERS_MAX + 1] = {{0}};
    for (int i = 0; i < TERN_HANDLERS_MAX; i++) {
        cr_assert_eq(tern_client_add_close_handler(client, on_close, &seen[i]), 0);
    }
    cr_assert_eq(tern_client_add_close_handler(client, on_close, &seen[TERN_HANDLERS_MAX]),
                 -ENOSPC);
    cr_assert_eq(tern_client_remove_close_handler(client, on_close, &seen[3]), 0);
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT,
                                                 .correlation_id = tern_client_id(client)});
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_client_add_close_handler(client, on_close, &seen[3]), TERN_ERROR_CLOSED);
    tern_client_close(client);
    for (int i = 0; i < TERN_HANDLERS_MAX; i++) {
        cr_assert_eq(seen[i].calls, i == 3 ? 0 : 1, "%d", i);
    }
    fake_driver_close(&driver);
}

static void on_counter_slowly(void *context, const tern_counters_reader *counters,
                              int64_t registration_id, int32_t counter_id) {
    struct seen *seen = context;
    (void)counters;
    (void)registration_id;
    (void)counter_id;
    store_release_i32(&seen->is_inside, 1);
    while (load_acquire_i32(&seen->may_leave) == 0) {
        (void)sched_yield();
    }
    store_release_i32(&seen->is_inside, 0);
}

static void *run_event(void *argument) {
    (void)argument;
    counter_event(RESPONSE_COUNTER_READY, 501);
    return NULL;
}

static void *let_leave(void *argument) {
    struct seen *seen = argument;
    for (int i = 0; i < 100; i++) {
        (void)sched_yield();
    }
    store_release_i32(&seen->may_leave, 1);
    return NULL;
}

Test(listeners, do_not_run_any_more_when_removed, .init = set_up, .fini = tear_down) {
    static struct seen slow;
    pthread_t conductor;
    pthread_t other;
    cr_assert_eq(tern_client_add_available_counter_handler(client, on_counter_slowly, &slow), 0);
    cr_assert_eq(pthread_create(&conductor, NULL, run_event, NULL), 0);
    while (load_acquire_i32(&slow.is_inside) == 0) {
        (void)sched_yield();
    }
    cr_assert_eq(pthread_create(&other, NULL, let_leave, &slow), 0);
    cr_assert_eq(tern_client_remove_available_counter_handler(client, on_counter_slowly, &slow), 0);
    cr_assert_eq(load_acquire_i32(&slow.is_inside), 0);
    cr_assert_eq(pthread_join(other, NULL), 0);
    cr_assert_eq(pthread_join(conductor, NULL), 0);
}

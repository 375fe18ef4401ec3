#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/core.h"
#include "lib/fake_driver.h"
#include "shm/log_wake.h"

/* The subscription sees what the publications of the same client write: image and publication are
 * two views of one log, as with IPC. The test steps the conductor, so waiting must not. */
static struct fake_driver driver;
static tern_client *client;
static tern_subscription *subscription;
static tern_publication *publication;
static tern_exclusive_publication *exclusive;
static struct log_metadata *logs[2];

#define LONG_NS (60 * NS_PER_S)

static void ignore(void *context, const uint8_t *buffer, int32_t length,
                   const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    (void)header;
}

static void set_up(void) {
    int32_t limits[2];
    fake_driver_open(&driver, "wait");
    client = fake_driver_connect(&driver);
    subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = FAKE_STREAM});
    publication = fake_driver_add_publication(&driver, client, &limits[0]);
    exclusive = fake_driver_add_exclusive(&driver, client, &limits[1]);
    for (int i = 0; i < 2; i++) {
        logs[i] = driver.logs[i].metadata;
        log_writers_change(logs[i], 1);
        *counters_manager_address(&driver.counters, limits[i]) = 4096;
        (void)fake_driver_send_image(&driver, logs[i]->correlation_id,
                                     tern_subscription_registration_id(subscription), 100 + i, 0);
    }
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_subscription_image_count(subscription), 2);
    client->settings.is_invoker = false;
}

static void tear_down(void) {
    tern_publication_close(publication);
    tern_exclusive_publication_close(exclusive);
    tern_subscription_close(subscription);
    tern_client_close(client);
    fake_driver_close(&driver);
}

struct waiter {
    pthread_t thread;
    int64_t timeout_ns;
    int result;
    long switches;
};

static void *wait_there(void *argument) {
    struct waiter *waiter = argument;
    struct rusage before;
    struct rusage after;
    (void)getrusage(RUSAGE_THREAD, &before);
    waiter->result = tern_subscription_wait(subscription, waiter->timeout_ns);
    (void)getrusage(RUSAGE_THREAD, &after);
    waiter->switches = after.ru_nvcsw - before.ru_nvcsw;
    return NULL;
}

/* Returns when it sleeps, or is about to. */
static void start(struct waiter *waiter, int64_t timeout_ns) {
    *waiter = (struct waiter){.timeout_ns = timeout_ns, .result = 99};
    store_release_i32(&logs[0]->sleeper, 0);
    store_release_i32(&logs[1]->sleeper, 0);
    cr_assert_eq(pthread_create(&waiter->thread, NULL, wait_there, waiter), 0);
    while (load_acquire_i32(&logs[1]->sleeper) == 0) {
        (void)sched_yield();
    }
}

static int finish(struct waiter *waiter) {
    cr_assert_eq(pthread_join(waiter->thread, NULL), 0);
    return waiter->result;
}

static void offer(void) {
    cr_assert_gt(tern_publication_offer(publication, "x", 1), 0);
}

static void offerv(void) {
    struct iovec part = {(char[]){'x'}, 1};
    cr_assert_gt(tern_publication_offerv(publication, &part, 1, NULL, NULL), 0);
}

static void commit(void) {
    struct tern_buffer_claim claim;
    cr_assert_gt(tern_publication_try_claim(publication, 8, &claim), 0);
    cr_assert_eq(logs[0]->sleeper, LOG_SLEEPER); /* nothing to read yet */
    tern_buffer_claim_commit(&claim);
}

static void abort_claim(void) {
    struct tern_buffer_claim claim;
    cr_assert_gt(tern_publication_try_claim(publication, 8, &claim), 0);
    tern_buffer_claim_abort(&claim);
}

static void exclusive_offer(void) {
    cr_assert_gt(tern_exclusive_publication_offer(exclusive, "x", 1), 0);
}

static void exclusive_offerv(void) {
    struct iovec part = {(char[]){'x'}, 1};
    cr_assert_gt(tern_exclusive_publication_offerv(exclusive, &part, 1, NULL, NULL), 0);
}

static void exclusive_commit(void) {
    struct tern_buffer_claim claim;
    cr_assert_gt(tern_exclusive_publication_try_claim(exclusive, 8, &claim), 0);
    tern_buffer_claim_commit(&claim);
}

static void append_padding(void) {
    cr_assert_gt(tern_exclusive_publication_append_padding(exclusive, 8), 0);
}

static void offer_block(void) {
    struct frame_header frame = {
        .frame_length = 32,
        .flags = FRAME_FLAG_UNFRAGMENTED,
        .type = FRAME_TYPE_DATA,
        .term_offset = (int32_t)tern_exclusive_publication_position(exclusive),
        .session_id = tern_exclusive_publication_session_id(exclusive),
        .stream_id = FAKE_STREAM,
        .term_id = FAKE_INITIAL_TERM,
    };
    cr_assert_gt(tern_exclusive_publication_offer_block(exclusive, &frame, 32), 0);
}

Test(subscription_wait, every_way_to_append_wakes_it) {
    static const struct {
        void (*append)(void);
        int log;
    } cases[] = {
        {offer, 0},           {offerv, 0},           {commit, 0},           {abort_claim, 0},
        {exclusive_offer, 1}, {exclusive_offerv, 1}, {exclusive_commit, 1}, {append_padding, 1},
        {offer_block, 1}};
    set_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct waiter waiter;
        start(&waiter, LONG_NS);
        cases[i].append();
        cr_assert_eq(logs[cases[i].log]->sleeper, 0, "case %zu", i); /* it looked, and woke */
        cr_assert_eq(finish(&waiter), 1, "case %zu", i);
        cr_assert_eq(tern_subscription_wait(subscription, LONG_NS), 1, "case %zu", i);
        while (tern_subscription_wait(subscription, 0) == 1) {
            (void)tern_subscription_poll(subscription, ignore, NULL, 10);
        }
    }
    tear_down();
}

Test(subscription_wait, finds_what_a_writer_that_does_not_wake_has_written) {
    set_up();
    for (int is_known = 0; is_known < 2; is_known++) {
        if (is_known == 0) {
            log_writers_change(logs[1], 1); /* an Aeron client added the publication, too */
        }
        struct waiter waiter;
        start(&waiter, LONG_NS);
        struct frame_header *frame = (void *)(driver.logs[1].terms[0] + 64 * is_known);
        frame->type = FRAME_TYPE_DATA;
        store_release_i32(&frame->frame_length, 40);
        cr_assert_eq(finish(&waiter), 1);
        (void)tern_subscription_poll(subscription, ignore, NULL, 10);
    }
    tear_down();
}

Test(subscription_wait, does_not_poll_while_all_writers_are_known_to_wake) {
    set_up();
    struct waiter waiter;
    start(&waiter, 700 * NS_PER_MS);
    cr_assert_eq(finish(&waiter), 0);
    /* One each 250 ms, and what the scheduler adds. Naps of 1 ms would be hundreds. */
    cr_assert_leq(waiter.switches, 8, "%ld", waiter.switches);
    long few = waiter.switches;
    log_writers_distrust(logs[0]);
    start(&waiter, 700 * NS_PER_MS);
    cr_assert_eq(finish(&waiter), 0);
    cr_assert_gt(waiter.switches, few);
    tear_down();
}

Test(subscription_wait, a_subscriber_that_polls_costs_writers_nothing) {
    set_up();
    for (int i = 0; i < 10; i++) {
        offer();
        cr_assert_eq(tern_subscription_wait(subscription, LONG_NS), 1);
        cr_assert_eq(tern_subscription_poll(subscription, ignore, NULL, 10), 1);
        cr_assert_eq(tern_subscription_wait(subscription, 0), 0);
        cr_assert_eq(logs[0]->sleeper, 0);
    }
    tear_down();
}

Test(subscription_wait, returns_when_images_change_and_when_the_client_ends) {
    set_up();
    struct waiter waiter;
    int64_t id = tern_subscription_registration_id(subscription);
    start(&waiter, LONG_NS);
    (void)fake_driver_create_log(&driver, 901, LOG_TYPE_IMAGE);
    (void)fake_driver_send_image(&driver, 901, id, 1, 0);
    (void)tern_client_do_work(client);
    cr_assert_eq(finish(&waiter), 0);
    start(&waiter, LONG_NS);
    fake_driver_send_unavailable_image(&driver, 901, id);
    (void)tern_client_do_work(client);
    cr_assert_eq(finish(&waiter), 0);
    start(&waiter, LONG_NS);
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT,
                                                 .correlation_id = tern_client_id(client)});
    (void)tern_client_do_work(client);
    cr_assert_eq(finish(&waiter), TERN_ERROR_CLOSED);
    cr_assert_eq(tern_subscription_wait(subscription, LONG_NS), TERN_ERROR_CLOSED);
    tear_down();
}

Test(subscription_wait, runs_the_conductor_in_invoker_mode) {
    set_up();
    client->settings.is_invoker = true;
    fake_driver_send_unavailable_image(&driver, logs[0]->correlation_id,
                                       tern_subscription_registration_id(subscription));
    cr_assert_eq(tern_subscription_wait(subscription, LONG_NS), 0);
    cr_assert_eq(tern_subscription_image_count(subscription), 1);
    tear_down();
}

static int handler_result;

static void wait_in_handler(void *context, const tern_counters_reader *counters,
                            int64_t registration_id, int32_t counter_id) {
    (void)context;
    (void)counters;
    (void)registration_id;
    (void)counter_id;
    handler_result = tern_subscription_wait(subscription, LONG_NS);
}

Test(subscription_wait, is_refused_in_a_handler_of_the_conductor) {
    set_up();
    client->settings.handlers.on_available_counter = wait_in_handler;
    fake_driver_send(
        &driver,
        &(struct response){.type = RESPONSE_COUNTER_READY, .correlation_id = 5, .counter_id = 1});
    (void)tern_client_do_work(client);
    cr_assert_eq(handler_result, -EDEADLK);
    tear_down();
}

Test(subscription_wait, writers_are_counted_while_they_can_append) {
    set_up();
    cr_assert_eq(logs[0]->waking_writers, 1);
    cr_assert_eq(logs[1]->waking_writers, 1);
    tern_publication_close(publication);
    cr_assert_eq(logs[0]->waking_writers, 0);
    tern_client_close(client); /* the driver forgets the other one, so it must not count either */
    cr_assert_eq(logs[1]->waking_writers, 0);
    tern_exclusive_publication_close(exclusive);
    cr_assert_eq(logs[1]->waking_writers, 0);
    tern_subscription_close(subscription);
    fake_driver_close(&driver);
}

#define MANY 140 /* more than one system call can wait for */

Test(subscription_wait, looks_again_when_there_are_more_images_than_it_can_sleep_on) {
    char source[512];
    char path[512];
    fake_driver_open_sized(&driver, "many", 2 * MANY);
    client = fake_driver_connect(&driver);
    subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = FAKE_STREAM});
    struct log_buffer *last = NULL;
    for (int i = 0; i < 2; i++) {
        last = fake_driver_create_log(&driver, 1000 * (i + 1), LOG_TYPE_IMAGE);
        log_writers_set_own(last->metadata);
        logs[i] = last->metadata;
    }
    /* All but the last are names of one log. */
    fake_driver_log_path(&driver, 1000, source);
    for (int64_t i = 0; i < MANY; i++) {
        int64_t id = i == MANY - 1 ? 2000 : 1000 + i;
        fake_driver_log_path(&driver, id, path);
        cr_assert(id % 1000 == 0 || link(source, path) == 0);
        (void)fake_driver_send_image(&driver, id, tern_subscription_registration_id(subscription),
                                     (int32_t)i, 0);
        (void)tern_client_do_work(client);
    }
    cr_assert_eq(tern_subscription_image_count(subscription), MANY);
    client->settings.is_invoker = false;
    struct waiter waiter = {.timeout_ns = LONG_NS};
    cr_assert_eq(pthread_create(&waiter.thread, NULL, wait_there, &waiter), 0);
    while (load_acquire_i32(&logs[0]->sleeper) == 0) {
        (void)sched_yield();
    }
    struct frame_header *frame = (void *)last->terms[0];
    frame->type = FRAME_TYPE_DATA;
    store_release_i32(&frame->frame_length, 40);
    log_wake(last->metadata);
    cr_assert_eq(finish(&waiter), 1);
    cr_assert_eq(logs[1]->sleeper, 0); /* it had no place in the call */
    tern_subscription_close(subscription);
    tern_client_close(client);
    fake_driver_close(&driver);
}

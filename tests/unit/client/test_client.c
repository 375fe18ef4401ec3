#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "client/core.h"
#include "client/seams.h"
#include "lib/barrier_state.h"
#include "lib/fake_driver.h"
#include "shm/counter_types.h"

static struct fake_driver driver;

struct seen {
    int errors;
    int error_code;
    int closes;
    char text[256];
};

static void on_error(void *context, int code, const char *text) {
    struct seen *seen = context;
    seen->errors++;
    seen->error_code = code;
    (void)snprintf(seen->text, sizeof seen->text, "%s", text);
}

static void on_close(void *context, tern_client *client) {
    struct seen *seen = context;
    seen->closes++;
    cr_assert(tern_client_is_closed(client));
}

static tern_client *connect_seen(struct seen *seen) {
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_error_handler(context, on_error, seen);
    tern_context_set_close_handler(context, on_close, seen);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    cr_assert_neq(client, NULL);
    return client;
}

Test(client, attaches_only_to_a_living_driver_of_the_right_version) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "attach");
    tern_context *context = fake_driver_context(&driver);
    static const struct {
        int32_t version;
        int64_t heartbeat_age_ms; /* -1: heartbeat 0; -2: heartbeat -1 */
        int code;                 /* 0: connects */
    } cases[] = {
        {512, 0, 0},        {512, 9999, 0},     {512, 10001, -EAGAIN},
        {512, -1, -EAGAIN}, {512, -2, -EAGAIN}, {0, 0, -EAGAIN},
        {513, 0, 0},        {768, 0, 0},        {65536 + 512, 0, TERN_ERROR_VERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t age = cases[i].heartbeat_age_ms;
        int64_t now_ms = driver.time.epoch_ns / NS_PER_MS;
        ring_mpsc_set_consumer_heartbeat(&driver.ring, age == -1   ? 0
                                                       : age == -2 ? -1
                                                                   : now_ms - age);
        store_release_i32(&driver.cnc.header->version, cases[i].version);
        error = (struct tern_error){0};
        tern_client *client = tern_client_try_connect(context, &error);
        cr_assert_eq(client != NULL, cases[i].code == 0, "case %zu: %s", i, error.text);
        cr_assert_eq(error.code, cases[i].code, "case %zu: %s", i, error.text);
        tern_client_close(client);
    }
    store_release_i32(&driver.cnc.header->version, 512);
    fake_driver_beat(&driver);
    store_plain_i32(&driver.cnc.header->to_clients_length, 12345);
    cr_assert_eq(tern_client_try_connect(context, &error), NULL);
    cr_assert_eq(error.code, TERN_ERROR_PROTOCOL, "%s", error.text);
    cr_assert_eq(tern_context_set_directory(context, "/dev/shm/there-is-nothing", NULL), 0);
    cr_assert_eq(tern_client_try_connect(context, &error), NULL);
    cr_assert_eq(error.code, -EAGAIN);
    tern_context_set_clock(context, clock_system());
    tern_context_set_driver_timeout_ms(context, 20);
    cr_assert_eq(tern_client_connect(context, &error), NULL);
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_TIMEOUT, "%s", error.text);
    tern_context_destroy(context);
    fake_driver_close(&driver);
}

Test(client, refuses_a_keepalive_that_is_slower_than_the_liveness_timeout) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "keepalive");
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_keepalive_interval_ns(context, FAKE_LIVENESS_NS);
    cr_assert_eq(tern_client_try_connect(context, &error), NULL);
    cr_assert_eq(error.code, -EINVAL);
    tern_context_destroy(context);
    fake_driver_close(&driver);
}

static void stop_driver(void) {
    ring_mpsc_set_consumer_heartbeat(&driver.ring, -1);
}

static tern_client *victim;
static void kill_driver(void) {
    int64_t dead_ms = driver.time.epoch_ns / NS_PER_MS - 500;
    ring_mpsc_set_consumer_heartbeat(&driver.ring, dead_ms);
    for (int i = 0; i < 10; i++) {
        (void)tern_client_do_work(victim);
        fake_driver_advance(&driver, NS_PER_S);
        ring_mpsc_set_consumer_heartbeat(&driver.ring, dead_ms);
    }
}

static void restart_driver(void) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.new", driver.directory, CNC_FILE_NAME);
    FILE *file = fopen(path, "w");
    (void)fclose(file);
    char target[512];
    (void)snprintf(target, sizeof target, "%s/%s", driver.directory, CNC_FILE_NAME);
    cr_assert_eq(rename(path, target), 0);
}

static void pause_client(void) {
    fake_driver_advance(&driver, FAKE_LIVENESS_NS + 1);
}

static int64_t victim_id;
static void time_client_out(void) {
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT,
                                                 .correlation_id = victim_id + 1});
    fake_driver_send(
        &driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT, .correlation_id = victim_id});
}

Test(client, ends_with_the_reason_and_its_handles_refuse) {
    static const struct {
        void (*event)(void);
        int code;
        const char *word;
    } cases[] = {
        {stop_driver, TERN_ERROR_DRIVER_TIMEOUT, "shut down"},
        {kill_driver, TERN_ERROR_DRIVER_TIMEOUT, "heartbeat"},
        {restart_driver, TERN_ERROR_DRIVER_TIMEOUT, "restarted"},
        {pause_client, TERN_ERROR_CONDUCTOR_SERVICE_TIMEOUT, "not run"},
        {time_client_out, TERN_ERROR_CLIENT_TIMEOUT, "heartbeat of this client"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        struct tern_error error = {0};
        fake_driver_open(&driver, "end");
        tern_client *client = connect_seen(&seen);
        victim = client;
        victim_id = tern_client_id(client);
        int32_t limit = 0;
        tern_publication *publication = fake_driver_add_publication(&driver, client, &limit);
        tern_exclusive_publication *exclusive = fake_driver_add_exclusive(&driver, client, &limit);
        tern_subscription *subscription = fake_driver_add_subscription(
            &driver, client,
            &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = FAKE_STREAM});
        tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", 1, NULL);
        cr_assert_eq(tern_client_status(client, &error), 0);
        fake_driver_advance(&driver, 600 * NS_PER_MS); /* a keepalive is due */
        cases[i].event();
        cr_assert_gt(tern_client_do_work(client), 0);
        cr_assert(tern_client_is_closed(client), "case %zu", i);
        cr_assert_eq(tern_client_status(client, &error), cases[i].code, "case %zu", i);
        cr_assert_neq(strstr(error.text, cases[i].word), NULL, "%s", error.text);
        cr_assert_eq(seen.errors, 1);
        cr_assert_eq(seen.error_code, cases[i].code);
        cr_assert_eq(seen.closes, 1);
        cr_assert_eq(tern_publication_offer(publication, "x", 1), TERN_PUBLICATION_CLOSED);
        cr_assert_eq(tern_exclusive_publication_offer(exclusive, "x", 1), TERN_PUBLICATION_CLOSED);
        cr_assert_eq(tern_publication_offer(publication, "x", INT32_MAX), TERN_PUBLICATION_CLOSED);
        cr_assert_eq(tern_exclusive_publication_offer(exclusive, "x", -1), TERN_PUBLICATION_CLOSED);
        cr_assert_eq(tern_publication_position(publication), TERN_PUBLICATION_CLOSED);
        cr_assert(tern_subscription_is_closed(subscription));
        tern_publication *none = NULL;
        cr_assert_eq(tern_async_poll_publication(async, &none, &error), cases[i].code);
        cr_assert_eq(tern_client_async_add_publication(client, "aeron:ipc", 1, &error), NULL);
        cr_assert_eq(error.code, TERN_ERROR_CLOSED);
        /* close in another order each time */
        if (i % 2 == 0) {
            tern_client_close(client);
        }
        tern_subscription_close(subscription);
        tern_publication_close(publication);
        cr_assert_eq(tern_exclusive_publication_offer(exclusive, "x", 1), TERN_PUBLICATION_CLOSED);
        tern_exclusive_publication_close(exclusive);
        if (i % 2 != 0) {
            tern_client_close(client);
        }
        cr_assert_eq(seen.closes, 1);
        fake_driver_close(&driver);
    }
}

/* A clock that is set forward makes no living driver dead, one that is set back no dead one live.
 */
Test(client, judges_the_driver_by_its_own_monotonic_clock) {
    for (int direction = -1; direction <= 1; direction += 2) {
        fake_driver_open(&driver, "clock");
        tern_client *client = fake_driver_connect(&driver);
        fake_driver_advance(&driver, 600 * NS_PER_MS);
        (void)tern_client_do_work(client);
        driver.time.epoch_ns += direction * 3600 * NS_PER_S;
        for (int i = 0; i < 30; i++) {
            cr_assert_geq(tern_client_do_work(client), 0);
            cr_assert_eq(tern_client_status(client, NULL), 0);
            fake_driver_advance(&driver, NS_PER_S);
        }
        for (int i = 0; i < 11; i++) { /* nobody beats any more */
            driver.time.now_ns += NS_PER_S;
            driver.time.epoch_ns += NS_PER_S;
            (void)tern_client_do_work(client);
            cr_assert_eq(tern_client_is_closed(client), i == 10, "%d s", i + 1);
        }
        tern_client_close(client);
        fake_driver_close(&driver);
    }
}

Test(client, keeps_its_heartbeat_counter_and_names_itself_there) {
    fake_driver_open(&driver, "heart");
    tern_context *context = fake_driver_context(&driver);
    cr_assert_eq(tern_context_set_client_name(context, "ada", NULL), 0);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    int64_t id = tern_client_id(client);
    int32_t counter = fake_driver_add_counter(&driver, COUNTER_TYPE_CLIENT_HEARTBEAT, id, 5);
    (void)tern_client_do_work(client);
    const tern_counters_reader *counters = tern_client_counters(client);
    cr_assert_eq(tern_counters_value(counters, counter), driver.time.epoch_ns / NS_PER_MS);
    char label[400];
    (void)tern_counters_label(counters, counter, label, sizeof label);
    cr_assert_str_eq(label, "label name=ada version=" TERN_VERSION " commit=tern");
    int64_t first = tern_counters_value(counters, counter);
    fake_driver_advance(&driver, 499 * NS_PER_MS);
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_counters_value(counters, counter), first);
    fake_driver_advance(&driver, 2 * NS_PER_MS);
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_counters_value(counters, counter), first + 501);
    counters_manager_free(&driver.counters, counter, first);
    fake_driver_advance(&driver, NS_PER_S);
    (void)tern_client_do_work(client);
    struct tern_error error;
    cr_assert_eq(tern_client_status(client, &error), TERN_ERROR_DRIVER_TIMEOUT);
    cr_assert_neq(strstr(error.text, "heartbeat counter"), NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(client, says_goodbye_last_even_when_the_ring_was_full) {
    struct seen seen = {0};
    fake_driver_open(&driver, "bye");
    tern_client *client = connect_seen(&seen);
    int32_t limit = 0;
    tern_publication *publication = fake_driver_add_publication(&driver, client, &limit);
    uint8_t filler[4096] = {0};
    while (ring_mpsc_write(&driver.ring, COMMAND_CLIENT_KEEPALIVE, filler, sizeof filler) ==
           RING_OK) {
    }
    while (ring_mpsc_write(&driver.ring, COMMAND_CLIENT_KEEPALIVE, filler, 16) == RING_OK) {
    }
    struct tern_error error;
    cr_assert_eq(tern_client_async_add_publication(client, "aeron:ipc", 1, &error), NULL);
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BUFFER_FULL);
    int64_t registration_id = tern_publication_registration_id(publication);
    tern_publication_close(publication); /* the removal waits in the client */
    const struct command *command = fake_driver_next(&driver);
    while (command != NULL) {
        cr_assert_eq(command->type, COMMAND_CLIENT_KEEPALIVE);
        command = fake_driver_next(&driver);
    }
    (void)tern_client_do_work(client);
    command = fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION);
    cr_assert_eq(command->registration_id, registration_id);
    int64_t id = tern_client_id(client);
    tern_client_close(client);
    command = fake_driver_expect(&driver, COMMAND_CLIENT_CLOSE);
    cr_assert_eq(command->client_id, id);
    cr_assert_eq(command->correlation_id, -1);
    cr_assert_eq(fake_driver_next(&driver), NULL);
    cr_assert_eq(seen.closes, 1);
    cr_assert_eq(seen.errors, 0);
    fake_driver_close(&driver);
}

Test(client, reports_lost_and_malformed_responses_and_goes_on) {
    struct seen seen = {0};
    fake_driver_open(&driver, "lapped");
    tern_client *client = connect_seen(&seen);
    uint8_t junk[4000] = {0};
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(broadcast_transmit(&driver.transmitter, 0x7777, junk, sizeof junk), 0);
    }
    for (int i = 0; i < 10; i++) {
        (void)tern_client_do_work(client);
    }
    cr_assert_eq(seen.errors, 1, "%d", seen.errors);
    cr_assert_eq(seen.error_code, TERN_ERROR_PROTOCOL);
    cr_assert_eq(broadcast_transmit(&driver.transmitter, RESPONSE_AVAILABLE_IMAGE, junk, 5), 0);
    (void)tern_client_do_work(client);
    cr_assert_eq(seen.errors, 2);
    int32_t limit = 0;
    tern_publication *publication = fake_driver_add_publication(&driver, client, &limit);
    tern_publication_close(publication);
    tern_client_close(client);
    fake_driver_close(&driver);
}

/* With a thread of its own, and a driver on another one. */
struct server {
    bool is_stopping;
    int answered;
};

static void *serve(void *argument) {
    struct server *server = argument;
    while (!__atomic_load_n(&server->is_stopping, __ATOMIC_ACQUIRE)) {
        driver.time.epoch_ns = clock_epoch_ns(clock_system());
        fake_driver_beat(&driver);
        const struct command *command = fake_driver_next(&driver);
        if (command == NULL) {
            (void)nanosleep(&(struct timespec){0, 100000}, NULL);
        } else if (command->type == COMMAND_ADD_PUBLICATION && command->stream_id == FAKE_STREAM) {
            int64_t id = command->correlation_id;
            (void)fake_driver_create_log(&driver, id, LOG_TYPE_CONCURRENT);
            (void)fake_driver_send_publication(&driver, RESPONSE_PUBLICATION_READY, id, id);
            server->answered++;
        }
    }
    return NULL;
}

static void on_thread_start(void *context) {
    *(int *)context += 1;
}

Test(client, blocks_until_its_own_thread_has_the_answer) {
    int thread_starts = 0;
    struct server server = {0};
    pthread_t thread;
    fake_driver_open(&driver, "thread");
    driver.time.epoch_ns = clock_epoch_ns(clock_system());
    fake_driver_beat(&driver);
    cr_assert_eq(pthread_create(&thread, NULL, serve, &server), 0);
    tern_context *context = tern_context_create(NULL);
    cr_assert_eq(tern_context_set_directory(context, driver.directory, NULL), 0);
    struct tern_error error = {0};
    tern_context_set_thread_start_handler(context, on_thread_start, &thread_starts);
    for (int is_invoker = 0; is_invoker < 2; is_invoker++) {
        tern_context_set_use_invoker(context, is_invoker != 0);
        tern_client *client = tern_client_connect(context, &error);
        cr_assert_neq(client, NULL, "%s", error.text);
        cr_assert(is_reached_by_barriers(), "the first publication would take 10 ms longer");
        tern_publication *publication =
            tern_client_add_publication(client, "aeron:ipc", FAKE_STREAM, 20 * NS_PER_S, &error);
        cr_assert_neq(publication, NULL, "%s", error.text);
        cr_assert_eq(tern_client_add_publication(client, "aeron:ipc", 99, 30 * NS_PER_MS, &error),
                     NULL);
        cr_assert_eq(error.code, -ETIMEDOUT);
        tern_client_close(client);
        cr_assert_eq(tern_publication_offer(publication, "x", 1), TERN_PUBLICATION_CLOSED);
        tern_publication_close(publication);
    }
    cr_assert_eq(thread_starts, 1); /* an invoker has no thread */
    __atomic_store_n(&server.is_stopping, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    cr_assert_eq(server.answered, 2);
    tern_context_destroy(context);
    fake_driver_close(&driver);
}

Test(client, that_is_invoked_waits_by_the_strategy_of_its_context) {
    fake_driver_open(&driver, "idle");
    tern_context *context = fake_driver_context(&driver);
    cr_assert_eq(tern_context_set_idle_strategy(context, "backoff", NULL, NULL), 0);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    tern_client_idle(client, 0);
    tern_client_idle(client, 0);
    cr_assert_eq(client->settings.idle.spins, 2);
    tern_client_idle(client, 1);
    cr_assert_eq(client->settings.idle.spins, 0);
    tern_client_close(client);
    fake_driver_close(&driver);
}

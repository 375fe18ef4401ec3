/* The client against a real driver: drivers that stop, die and come back, many clients, counters,
 * and handles closed in any order.
 *
 * usage: client_lives DRIVER [TEST]; each test has a driver of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001

static tern_publication *add_publication(tern_client *client, int32_t stream_id) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, "aeron:ipc", stream_id, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static tern_subscription *add_subscription(tern_client *client, int32_t stream_id) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = "aeron:ipc", .stream_id = stream_id};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    return subscription;
}

static tern_counter *add_counter(tern_client *client) {
    struct tern_error error = {0};
    const struct tern_counter_params params = {1001, "key", 3, "a counter of a test", 19};
    tern_counter *counter = tern_client_add_counter(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(counter != NULL, "%s", error.text);
    return counter;
}

static bool is_closed(void *client) {
    return tern_client_is_closed(client);
}

static bool is_subscription_connected(void *subscription) {
    return tern_subscription_is_connected(subscription);
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    int64_t *count = context;
    (void)header;
    REQUIRE(length == 8 && *buffer == 'x', "fragment");
    *count += 1;
}

static void require_exchange(tern_publication *publication, tern_subscription *subscription) {
    int64_t count = 0;
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (tern_publication_offer(publication, "xxxxxxxx", 8) < 0) {
        REQUIRE(test_now_ns() < deadline_ns, "offer");
    }
    while (count == 0) {
        (void)tern_subscription_poll(subscription, on_fragment, &count, 1);
        REQUIRE(test_now_ns() < deadline_ns, "poll");
    }
}

/* -- drivers that go ----------------------------------------------------------------------------
 */

struct traffic {
    tern_publication *publication;
    tern_exclusive_publication *exclusive;
    tern_subscription *subscription;
    bool is_stopping;
    int64_t sent;
    int64_t received;
    int64_t last_result;
};

static void *send_traffic(void *argument) {
    struct traffic *traffic = argument;
    while (!__atomic_load_n(&traffic->is_stopping, __ATOMIC_ACQUIRE)) {
        int64_t result = tern_publication_offer(traffic->publication, "xxxxxxxx", 8);
        int64_t second = tern_exclusive_publication_offer(traffic->exclusive, "xxxxxxxx", 8);
        traffic->sent += (result > 0) + (second > 0);
        __atomic_store_n(&traffic->last_result, result, __ATOMIC_RELEASE);
        if (result < 0 && second < 0) {
            test_sleep_ms(1);
        }
    }
    return NULL;
}

static void *receive_traffic(void *argument) {
    struct traffic *traffic = argument;
    while (!__atomic_load_n(&traffic->is_stopping, __ATOMIC_ACQUIRE)) {
        int64_t count = 0;
        if (tern_subscription_poll(traffic->subscription, on_fragment, &count, 100) == 0) {
            test_sleep_ms(1);
        }
        (void)__atomic_add_fetch(&traffic->received, count, __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static bool is_flowing(void *argument) {
    return __atomic_load_n(&((struct traffic *)argument)->received, __ATOMIC_ACQUIRE) > 1000;
}

static bool is_refused(void *argument) {
    return __atomic_load_n(&((struct traffic *)argument)->last_result, __ATOMIC_ACQUIRE) ==
           TERN_PUBLICATION_CLOSED;
}

/* Under load from two threads, `end` takes the driver away; the client must end with `word`. */
static void lose_driver(const char *program, void (*end)(struct driver_process *, const char *),
                        const char *word) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    struct traffic traffic = {0};
    pthread_t threads[2];
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    traffic.subscription = add_subscription(client, STREAM);
    traffic.publication = add_publication(client, STREAM);
    traffic.exclusive =
        tern_client_add_exclusive_publication(client, "aeron:ipc", STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(traffic.exclusive != NULL, "%s", error.text);
    tern_counter *counter = add_counter(client);
    REQUIRE(pthread_create(&threads[0], NULL, send_traffic, &traffic) == 0, "thread");
    REQUIRE(pthread_create(&threads[1], NULL, receive_traffic, &traffic) == 0, "thread");
    REQUIRE(test_wait(is_flowing, &traffic), "traffic");
    end(&driver, program);
    REQUIRE(test_wait(is_closed, client), "the client ends");
    REQUIRE(test_wait(is_refused, &traffic), "offers are refused");
    REQUIRE(tern_client_status(client, &error) == TERN_ERROR_DRIVER_TIMEOUT, "%s", error.text);
    REQUIRE(strstr(error.text, word) != NULL, "%s", error.text);
    REQUIRE(tern_subscription_is_closed(traffic.subscription), "subscription");
    REQUIRE(tern_counter_is_closed(counter), "counter");
    tern_counter_set(counter, 1);
    tern_client_close(client);
    test_sleep_ms(20); /* the two threads go on with handles of a closed client */
    __atomic_store_n(&traffic.is_stopping, true, __ATOMIC_RELEASE);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    tern_publication_close(traffic.publication);
    tern_exclusive_publication_close(traffic.exclusive);
    tern_subscription_close(traffic.subscription);
    tern_counter_close(counter);
    if (driver.pid == 0) {
        driver_process_start(&driver, program, NULL);
    }
    client = driver_process_connect(&driver);
    traffic.subscription = add_subscription(client, STREAM);
    traffic.publication = add_publication(client, STREAM);
    require_exchange(traffic.publication, traffic.subscription);
    tern_client_close(client);
    tern_publication_close(traffic.publication);
    tern_subscription_close(traffic.subscription);
    driver_process_close(&driver);
}

static void stop(struct driver_process *driver, const char *program) {
    (void)program;
    int status = driver_process_stop(driver, SIGTERM);
    REQUIRE(WIFEXITED(status), "status 0x%x", status);
}

static void kill_hard(struct driver_process *driver, const char *program) {
    (void)program;
    (void)driver_process_stop(driver, SIGKILL);
}

static void replace(struct driver_process *driver, const char *program) {
    (void)driver_process_stop(driver, SIGKILL);
    driver_process_start(driver, program, NULL);
}

static void a_driver_that_stops_is_noticed(const char *program) {
    lose_driver(program, stop, "shut down");
}

static void a_killed_driver_is_noticed_under_load(const char *program) {
    lose_driver(program, kill_hard, "has died");
}

static void a_driver_restarted_at_once_is_noticed(const char *program) {
    /* "has died" when the client looks between the two drivers. */
    lose_driver(program, replace, "the driver has");
}

static void a_client_waits_for_its_driver(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    driver_process_start(&driver, program, NULL);
    (void)driver_process_stop(&driver, SIGTERM);
    tern_context *context = driver_process_context(&driver);
    REQUIRE(tern_client_try_connect(context, &error) == NULL, "no driver");
    REQUIRE(error.code == -EAGAIN, "%d %s", error.code, error.text);
    tern_context_set_driver_timeout_ms(context, 50);
    REQUIRE(tern_client_connect(context, &error) == NULL, "no driver");
    REQUIRE(error.code == TERN_ERROR_DRIVER_TIMEOUT, "%d %s", error.code, error.text);
    REQUIRE(strstr(error.text, "shut down") != NULL, "%s", error.text);
    tern_context_set_driver_timeout_ms(context, 20000);
    (void)fflush(stdout);
    pid_t starter = fork();
    if (starter == 0) {
        test_sleep_ms(100);
        driver_process_start(&driver, program, NULL);
        test_sleep_ms(500);
        driver_process_close(&driver);
        _exit(0);
    }
    tern_client *client = tern_client_connect(context, &error);
    REQUIRE(client != NULL, "%s", error.text);
    tern_client_close(client);
    int status;
    REQUIRE(waitpid(starter, &status, 0) == starter && status == 0, "status 0x%x", status);
    tern_context_destroy(context);
}

/* -- any order ----------------------------------------------------------------------------------
 */

enum handle { PUBLICATION, SECOND, EXCLUSIVE, SUBSCRIPTION, IMAGE, COUNTER, CLIENT, HANDLE_COUNT };

static void close_handle(enum handle handle, void *pointer) {
    switch (handle) {
    case PUBLICATION:
    case SECOND:
        tern_publication_close(pointer);
        return;
    case EXCLUSIVE:
        tern_exclusive_publication_close(pointer);
        return;
    case SUBSCRIPTION:
        tern_subscription_close(pointer);
        return;
    case IMAGE:
        tern_image_release(pointer);
        return;
    case COUNTER:
        tern_counter_close(pointer);
        return;
    case CLIENT:
        tern_client_close(pointer);
        return;
    case HANDLE_COUNT:
        return;
    }
}

static void use_handle(enum handle handle, void *pointer) {
    int64_t count = 0;
    switch (handle) {
    case PUBLICATION:
    case SECOND:
        (void)tern_publication_offer(pointer, "xxxxxxxx", 8);
        (void)tern_publication_position(pointer);
        return;
    case EXCLUSIVE:
        (void)tern_exclusive_publication_offer(pointer, "xxxxxxxx", 8);
        return;
    case SUBSCRIPTION:
        (void)tern_subscription_poll(pointer, on_fragment, &count, 10);
        return;
    case IMAGE:
        (void)tern_image_poll(pointer, on_fragment, &count, 10);
        (void)tern_image_is_end_of_stream(pointer);
        return;
    case COUNTER:
        (void)tern_counter_add(pointer, 1);
        return;
    case CLIENT:
        (void)tern_client_is_closed(pointer);
        return;
    case HANDLE_COUNT:
        return;
    }
}

static void open_handles(const struct driver_process *driver, void *handles[HANDLE_COUNT]) {
    struct tern_error error = {0};
    tern_client *client = driver_process_connect(driver);
    handles[CLIENT] = client;
    handles[PUBLICATION] = add_publication(client, STREAM);
    handles[SECOND] = add_publication(client, STREAM);
    handles[EXCLUSIVE] =
        tern_client_add_exclusive_publication(client, "aeron:ipc", STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(handles[EXCLUSIVE] != NULL, "%s", error.text);
    handles[SUBSCRIPTION] = add_subscription(client, STREAM);
    handles[COUNTER] = add_counter(client);
    REQUIRE(test_wait(is_subscription_connected, handles[SUBSCRIPTION]), "image");
    handles[IMAGE] = tern_subscription_image_at_index(handles[SUBSCRIPTION], 0);
}

static bool is_driver_empty(void *driver) {
    return driver_process_file_count(driver, "publications") == 0;
}

static void handles_are_closed_in_any_order(const char *program) {
    struct driver_process driver = {0};
    uint32_t seed = 12345;
    driver_process_start(&driver, program, NULL);
    for (int round = 0; round < 40; round++) {
        void *handles[HANDLE_COUNT];
        int order[HANDLE_COUNT];
        open_handles(&driver, handles);
        for (int i = 0; i < HANDLE_COUNT; i++) {
            seed = seed * 1664525 + 1013904223;
            int j = (int)((seed >> 16) % (uint32_t)(i + 1));
            order[i] = order[j];
            order[j] = i;
        }
        for (int i = 0; i < HANDLE_COUNT; i++) {
            close_handle((enum handle)order[i], handles[order[i]]);
            for (int j = i + 1; j < HANDLE_COUNT; j++) {
                use_handle((enum handle)order[j], handles[order[j]]);
            }
        }
    }
    REQUIRE(test_wait(is_driver_empty, &driver), "the driver let go of every log");
    driver_process_close(&driver);
}

/* -- many clients -------------------------------------------------------------------------------
 */

#define CLIENT_COUNT 40

static void many_clients_live_side_by_side(const char *program) {
    struct driver_process driver = {0};
    tern_client *clients[CLIENT_COUNT];
    tern_publication *publications[CLIENT_COUNT];
    tern_subscription *subscriptions[CLIENT_COUNT];
    driver_process_start(&driver, program, NULL);
    for (int i = 0; i < CLIENT_COUNT; i++) {
        clients[i] = driver_process_connect(&driver);
        publications[i] = add_publication(clients[i], i);
        subscriptions[i] = add_subscription(clients[i], (i + 1) % CLIENT_COUNT);
    }
    for (int i = 0; i < CLIENT_COUNT; i++) {
        require_exchange(publications[(i + 1) % CLIENT_COUNT], subscriptions[i]);
    }
    for (int i = 0; i < CLIENT_COUNT; i += 2) {
        tern_client_close(clients[i]);
    }
    for (int i = 0; i < CLIENT_COUNT; i++) {
        REQUIRE(i % 2 == 0 || tern_client_status(clients[i], NULL) == 0, "client %d", i);
        int64_t result = tern_publication_offer(publications[i], "xxxxxxxx", 8);
        REQUIRE((result == TERN_PUBLICATION_CLOSED) == (i % 2 == 0), "client %d: %s", i,
                tern_publication_result_name(result));
        tern_publication_close(publications[i]);
        tern_subscription_close(subscriptions[i]);
        if (i % 2 != 0) {
            tern_client_close(clients[i]);
        }
    }
    REQUIRE(test_wait(is_driver_empty, &driver), "the driver let go of every log");
    driver_process_close(&driver);
}

/* -- counters, errors, invoker ------------------------------------------------------------------
 */

struct counter_search {
    const tern_counters_reader *counters;
    int64_t registration_id;
    bool is_wanted;
};

static bool is_counter_as_wanted(void *argument) {
    const struct counter_search *search = argument;
    int32_t id = tern_counters_find(search->counters, 1001, search->registration_id);
    return (id != TERN_NULL_COUNTER_ID) == search->is_wanted;
}

struct heard {
    int32_t wanted_id; /* atomic, as are the counts: the conductor's thread writes them */
    int32_t counts[2]; /* available, unavailable */
    int32_t closes;
    int32_t added;
};

static void on_available_counter(void *context, const tern_counters_reader *counters,
                                 int64_t registration_id, int32_t counter_id) {
    struct heard *heard = context;
    (void)registration_id;
    if (tern_counters_type_id(counters, counter_id) == 1001) {
        __atomic_store_n(&heard->wanted_id, counter_id, __ATOMIC_RELEASE);
        (void)__atomic_add_fetch(&heard->counts[0], 1, __ATOMIC_ACQ_REL);
    }
}

static void on_unavailable_counter(void *context, const tern_counters_reader *counters,
                                   int64_t registration_id, int32_t counter_id) {
    struct heard *heard = context;
    (void)counters;
    (void)registration_id;
    if (counter_id == __atomic_load_n(&heard->wanted_id, __ATOMIC_ACQUIRE)) {
        (void)__atomic_add_fetch(&heard->counts[1], 1, __ATOMIC_ACQ_REL);
    }
}

static void on_client_closed(void *context, tern_client *client) {
    (void)client;
    ((struct heard *)context)->closes++;
}

static void on_added(void *context, const char *channel, int32_t stream_id, int32_t session_id,
                     int64_t registration_id) {
    struct heard *heard = context;
    (void)registration_id;
    REQUIRE(strncmp(channel, "aeron:ipc", 9) == 0, "%s", channel);
    REQUIRE(stream_id == STREAM && session_id != 0, "%d %d", stream_id, session_id);
    (void)__atomic_add_fetch(&heard->added, 1, __ATOMIC_ACQ_REL);
}

static bool is_count_reached(void *count) {
    return __atomic_load_n((int32_t *)count, __ATOMIC_ACQUIRE) > 0;
}

static void handlers_hear_of_other_clients(const char *program) {
    struct driver_process driver = {0};
    struct heard heard = {.wanted_id = -1};
    driver_process_start(&driver, program, NULL);
    tern_client *listener = driver_process_connect(&driver);
    tern_client *other = driver_process_connect(&driver);
    REQUIRE(tern_client_add_available_counter_handler(listener, on_available_counter, &heard) == 0,
            "add");
    REQUIRE(tern_client_add_unavailable_counter_handler(listener, on_unavailable_counter, &heard) ==
                0,
            "add");
    REQUIRE(tern_client_add_close_handler(listener, on_client_closed, &heard) == 0, "add");
    tern_counter *counter = add_counter(other);
    REQUIRE(test_wait(is_count_reached, &heard.counts[0]), "available");
    REQUIRE(heard.wanted_id == tern_counter_id(counter), "%d", heard.wanted_id);
    REQUIRE(tern_client_remove_available_counter_handler(listener, on_available_counter, &heard) ==
                0,
            "remove");
    tern_counter_close(counter);
    REQUIRE(test_wait(is_count_reached, &heard.counts[1]), "unavailable");
    counter = add_counter(other);
    tern_client_close(listener);
    REQUIRE(heard.closes == 1, "%d", heard.closes);
    REQUIRE(heard.counts[0] == 1, "%d after it was removed", heard.counts[0]);
    tern_counter_close(counter);
    tern_client_close(other);
    driver_process_close(&driver);
}

static int32_t next_session_id(tern_client *client) {
    struct tern_error error = {0};
    int32_t session_id = 0;
    tern_async *async = tern_client_async_next_session_id(client, STREAM, &error);
    REQUIRE(async != NULL, "%s", error.text);
    int result = 0;
    while ((result = tern_async_poll_session_id(async, &session_id, &error)) == 0) {
        test_sleep_ms(1);
    }
    REQUIRE(result == 1, "%s", error.text);
    return session_id;
}

/* A session id that was asked for is used; publications are told of, and removed by id. */
static void publications_are_told_of_and_removed_by_id(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    struct heard heard = {0};
    char channel[64];
    driver_process_start(&driver, program, NULL);
    tern_context *context = driver_process_context(&driver);
    tern_context_set_new_publication_handler(context, on_added, &heard);
    tern_client *client = tern_client_connect(context, &error);
    tern_context_destroy(context);
    REQUIRE(client != NULL, "%s", error.text);
    int32_t session_id = next_session_id(client);
    (void)snprintf(channel, sizeof channel, "aeron:ipc?session-id=%d", session_id);
    tern_publication *publication =
        tern_client_add_publication(client, channel, STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    REQUIRE(tern_publication_session_id(publication) == session_id, "session id");
    REQUIRE(heard.added == 1, "%d", heard.added);
    REQUIRE(next_session_id(client) != session_id, "the id is in use");
    int64_t id = tern_publication_registration_id(publication);
    REQUIRE(tern_client_remove_publication(client, id, &error) == -EBUSY, "there is a handle");
    tern_publication_close(publication);
    REQUIRE(test_wait(is_driver_empty, &driver), "closed");
    REQUIRE(tern_client_remove_publication(client, id, &error) == 0, "%s", error.text);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void counters_are_seen_by_others(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *owner = driver_process_connect(&driver);
    tern_cnc *cnc = tern_cnc_open(driver.directory, &error);
    REQUIRE(cnc != NULL, "%s", error.text);
    const tern_counters_reader *counters = tern_cnc_counters(cnc);
    tern_counter *counter = add_counter(owner);
    int32_t id = tern_counter_id(counter);
    tern_counter_set(counter, 42);
    REQUIRE(tern_counters_value(counters, id) == 42, "value");
    REQUIRE(tern_counters_type_id(counters, id) == 1001, "type");
    REQUIRE(tern_counters_owner_id(counters, id) == tern_client_id(owner), "owner");
    char label[64];
    (void)tern_counters_label(counters, id, label, sizeof label);
    REQUIRE(strcmp(label, "a counter of a test") == 0, "%s", label);
    uint8_t key[TERN_COUNTER_KEY_MAX];
    REQUIRE(tern_counters_key(counters, id, key) && memcmp(key, "key", 4) == 0, "key");
    const struct tern_counter_params params = {1002, "", 0, "static", 6};
    tern_counter *fixed =
        tern_client_add_static_counter(owner, &params, 77, TEST_TIMEOUT_NS, &error);
    REQUIRE(fixed != NULL, "%s", error.text);
    tern_counter_set(fixed, 7);
    struct counter_search search = {counters, tern_counter_registration_id(counter), true};
    REQUIRE(is_counter_as_wanted(&search), "find");
    tern_counter_close(counter);
    search.is_wanted = false;
    REQUIRE(test_wait(is_counter_as_wanted, &search), "the counter is freed");
    tern_counter_close(fixed);
    tern_client_close(owner);
    owner = driver_process_connect(&driver);
    fixed = tern_client_add_static_counter(owner, &params, 77, TEST_TIMEOUT_NS, &error);
    REQUIRE(fixed != NULL, "%s", error.text);
    REQUIRE(tern_counter_value(fixed) == 7, "value %" PRId64, tern_counter_value(fixed));
    tern_counter_close(fixed);
    tern_client_close(owner);
    tern_cnc_close(cnc);
    driver_process_close(&driver);
}

static void mistakes_are_told_with_the_reason(const char *program) {
    static const struct {
        const char *channel;
        int code;
    } cases[] = {
        {"", -2001},
        {"nonsense", -2001},
        {"aeron:tcp?endpoint=localhost:1", -2001},
        {"aeron:ipc?term-length=1000", 0},
        {"aeron:ipc?mtu=33", 0},
        {"aeron:udp?endpoint=localhost", 0},
    };
    struct driver_process driver = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tern_error error = {0};
        tern_publication *publication =
            tern_client_add_publication(client, cases[i].channel, 1, TEST_TIMEOUT_NS, &error);
        REQUIRE(publication == NULL, "'%s' was accepted", cases[i].channel);
        REQUIRE(error.code <= -2001 && error.code > -3000, "'%s': %d %s", cases[i].channel,
                error.code, error.text);
        REQUIRE(cases[i].code == 0 || error.code == cases[i].code, "'%s': %d %s", cases[i].channel,
                error.code, error.text);
        REQUIRE(error.text[0] != '\0', "'%s': no text", cases[i].channel);
    }
    tern_publication *publication = add_publication(client, STREAM);
    struct tern_error error = {0};
    int result =
        tern_client_await_destination(client,
                                      tern_publication_async_add_destination(
                                          publication, "aeron:udp?endpoint=localhost:7777", &error),
                                      TEST_TIMEOUT_NS, &error);
    REQUIRE(result <= -2001, "%d %s", result, error.text);
    REQUIRE(tern_client_status(client, &error) == 0, "%s", error.text);
    tern_publication_close(publication);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void a_client_is_stepped_by_hand(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    driver_process_start(&driver, program, NULL);
    tern_context *context = driver_process_context(&driver);
    tern_context_set_use_invoker(context, true);
    tern_client *client = tern_client_connect(context, &error);
    REQUIRE(client != NULL, "%s", error.text);
    tern_context_destroy(context);
    tern_publication *publication = add_publication(client, STREAM);
    const struct tern_subscription_params params = {.channel = "aeron:ipc", .stream_id = STREAM};
    tern_async *async = tern_client_async_add_subscription(client, &params, &error);
    REQUIRE(async != NULL, "%s", error.text);
    tern_subscription *subscription = NULL;
    test_sleep_ms(50);
    REQUIRE(tern_async_poll_subscription(async, &subscription, &error) == 0,
            "nothing moves unless it is stepped");
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    int result;
    while ((result = tern_async_poll_subscription(async, &subscription, &error)) == 0) {
        (void)tern_client_do_work(client);
        REQUIRE(test_now_ns() < deadline_ns, "no answer");
    }
    REQUIRE(result == 1, "%s", error.text);
    while (!tern_subscription_is_connected(subscription)) {
        (void)tern_client_do_work(client);
        REQUIRE(test_now_ns() < deadline_ns, "no image");
    }
    require_exchange(publication, subscription);
    int32_t session_id = 0;
    async = tern_client_async_next_session_id(client, STREAM, &error);
    REQUIRE(async != NULL, "%s", error.text);
    while ((result = tern_async_poll_session_id(async, &session_id, &error)) == 0) {
        (void)tern_client_do_work(client);
        REQUIRE(test_now_ns() < deadline_ns, "no answer");
    }
    REQUIRE(result == 1, "%s", error.text);
    REQUIRE(session_id != tern_publication_session_id(publication), "another session");
    tern_subscription_close(subscription);
    tern_publication_close(publication);
    tern_client_close(client);
    driver_process_close(&driver);
}

static const struct system_test tests[] = {
    {"a driver that stops is noticed", a_driver_that_stops_is_noticed},
    {"a killed driver is noticed under load", a_killed_driver_is_noticed_under_load},
    {"a driver restarted at once is noticed", a_driver_restarted_at_once_is_noticed},
    {"a client waits for its driver", a_client_waits_for_its_driver},
    {"handles are closed in any order", handles_are_closed_in_any_order},
    {"many clients live side by side", many_clients_live_side_by_side},
    {"counters are seen by others", counters_are_seen_by_others},
    {"handlers hear of other clients", handlers_hear_of_other_clients},
    {"publications are told of and removed by id", publications_are_told_of_and_removed_by_id},
    {"mistakes are told with the reason", mistakes_are_told_with_the_reason},
    {"a client is stepped by hand", a_client_is_stepped_by_hand},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

/* The client against a real driver: many receivers of one stream, many clients, and no counter
 * left.
 *
 * usage: client_many DRIVER [TEST]; each test has a driver of its own.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001

static tern_publication *add_publication(tern_client *client, const char *channel,
                                         int32_t stream_id) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, channel, stream_id, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static tern_subscription *add_subscription(tern_client *client, const char *channel,
                                           int32_t stream_id) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    return subscription;
}

/* Ports of this process' own: `count` of them from here on, and the next ones. */
static int first_port(int count) {
    return 12000 + (int)getpid() % (8000 / count) * count;
}

/* -- many receivers -----------------------------------------------------------------------------
 */

#define RECEIVER_COUNT 64
#define MESSAGE_COUNT 2000
#define MESSAGE_LENGTH 1000
#define FRAGMENT_LIMIT 32
#define FLOW_TIMEOUT_NS (80 * TEST_NS_PER_S)

struct receiver {
    tern_subscription *subscription;
    int64_t count;
};

static void write_message(uint8_t *message, int64_t number) {
    memcpy(message, &number, sizeof number);
    for (int i = (int)sizeof number; i < MESSAGE_LENGTH; i++) {
        message[i] = (uint8_t)(number * 31 + i * 7);
    }
}

static void on_numbered(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct receiver *receiver = context;
    uint8_t expected[MESSAGE_LENGTH];
    (void)header;
    write_message(expected, receiver->count);
    REQUIRE(length == MESSAGE_LENGTH && memcmp(buffer, expected, MESSAGE_LENGTH) == 0,
            "message %" PRId64, receiver->count);
    receiver->count++;
}

static int64_t receive(struct receiver *receivers) {
    int64_t least = INT64_MAX;
    for (int i = 0; i < RECEIVER_COUNT; i++) {
        (void)tern_subscription_poll(receivers[i].subscription, on_numbered, &receivers[i],
                                     FRAGMENT_LIMIT);
        least = receivers[i].count < least ? receivers[i].count : least;
    }
    return least;
}

static void exchange(tern_publication *publication, struct receiver *receivers) {
    int64_t deadline_ns = test_now_ns() + FLOW_TIMEOUT_NS;
    int64_t sent = 0;
    uint8_t message[MESSAGE_LENGTH];
    while (receive(receivers) < MESSAGE_COUNT) {
        for (int i = 0; i < FRAGMENT_LIMIT && sent < MESSAGE_COUNT; i++) {
            write_message(message, sent);
            sent += tern_publication_offer(publication, message, MESSAGE_LENGTH) > 0;
        }
        REQUIRE(test_now_ns() < deadline_ns, "sent %" PRId64 " of %d", sent, MESSAGE_COUNT);
    }
}

/* With min flow control nobody is left behind, and it waits until all are there. */
static void each_of_many_receivers_gets_every_byte(const char *program) {
    struct driver_process driver = {0};
    struct receiver receivers[RECEIVER_COUNT] = {0};
    char channel[160];
    int port = first_port(RECEIVER_COUNT + 1);
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    (void)snprintf(channel, sizeof channel,
                   "aeron:udp?control=127.0.0.1:%d|control-mode=dynamic|fc=min,g:/%d", port,
                   RECEIVER_COUNT);
    tern_publication *publication = add_publication(client, channel, STREAM);
    for (int i = 0; i < RECEIVER_COUNT; i++) {
        REQUIRE(!tern_publication_is_connected(publication), "connected to %d receivers", i);
        (void)snprintf(channel, sizeof channel,
                       "aeron:udp?endpoint=127.0.0.1:%d|control=127.0.0.1:%d|control-mode=dynamic",
                       port + 1 + i, port);
        receivers[i].subscription = add_subscription(client, channel, STREAM);
    }
    exchange(publication, receivers);
    for (int i = 0; i < RECEIVER_COUNT; i++) {
        REQUIRE(receivers[i].count == MESSAGE_COUNT, "receiver %d", i);
        tern_subscription_close(receivers[i].subscription);
    }
    tern_publication_close(publication);
    tern_client_close(client);
    driver_process_close(&driver);
}

/* -- many clients that come and go --------------------------------------------------------------
 */

#define CLIENT_COUNT 100
#define CLIENTS_AT_A_TIME 10

/* What a driver holds for its clients. */
struct holdings {
    int counters;
    int files;
    int descriptors;
};

static int count_counter(void *context, const struct tern_counter_info *info) {
    (void)info;
    ++*(int *)context;
    return 0;
}

static int descriptor_count(const struct driver_process *driver) {
    char path[64];
    int count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)driver->pid);
    DIR *directory = opendir(path);
    REQUIRE(directory != NULL, "%s", path);
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count;
}

static struct holdings holdings_of(const struct driver_process *driver) {
    struct holdings holdings = {0};
    tern_cnc *cnc = tern_cnc_open(driver->directory, NULL);
    REQUIRE(cnc != NULL, "cnc");
    (void)tern_counters_for_each(tern_cnc_counters(cnc), count_counter, &holdings.counters);
    tern_cnc_close(cnc);
    holdings.files = driver_process_file_count(driver, "publications") +
                     driver_process_file_count(driver, "images");
    holdings.descriptors = descriptor_count(driver);
    return holdings;
}

struct baseline {
    const struct driver_process *driver;
    struct holdings holdings;
};

static bool is_as_before(void *context) {
    const struct baseline *before = context;
    struct holdings now = holdings_of(before->driver);
    return memcmp(&now, &before->holdings, sizeof now) == 0;
}

/* In a process of its own: everything that a client can hold. Then it leaves, with or without a
 * farewell. */
static _Noreturn void live(const struct driver_process *driver, int number, int port) {
    char channel[64];
    struct tern_error error = {0};
    const struct tern_counter_params params = {1001, "key", 3, "a counter of a test", 19};
    (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d", port + number % 10);
    tern_client *client = driver_process_connect(driver);
    (void)add_subscription(client, "aeron:ipc", STREAM + number);
    (void)add_publication(client, "aeron:ipc", STREAM + number);
    tern_subscription *subscription = add_subscription(client, channel, STREAM + number);
    (void)add_publication(client, channel, STREAM + number);
    REQUIRE(tern_client_add_counter(client, &params, TEST_TIMEOUT_NS, &error) != NULL, "%s",
            error.text);
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (!tern_subscription_is_connected(subscription)) {
        REQUIRE(test_now_ns() < deadline_ns, "client %d is not connected", number);
        test_sleep_ms(1);
    }
    if (number % 2 == 0) {
        tern_client_close(client);
    }
    _exit(0);
}

static void await_life(pid_t process, int number) {
    int status = 0;
    REQUIRE(waitpid(process, &status, 0) == process, "wait");
    REQUIRE(status == 0, "client %d ended with status 0x%x", number, status);
}

static void clients_come_and_go_and_leave_nothing(const char *program) {
    static const char *const environment[] = {"AERON_CLIENT_LIVENESS_TIMEOUT=2s",
                                              "AERON_PUBLICATION_LINGER_TIMEOUT=100ms",
                                              "AERON_IMAGE_LIVENESS_TIMEOUT=2s", NULL};
    struct driver_process driver = {0};
    pid_t processes[CLIENTS_AT_A_TIME];
    int port = first_port(10);
    driver_process_start(&driver, program, environment);
    struct baseline before = {&driver, holdings_of(&driver)};
    for (int i = 0; i < CLIENT_COUNT; i++) {
        if (i >= CLIENTS_AT_A_TIME) {
            await_life(processes[i % CLIENTS_AT_A_TIME], i - CLIENTS_AT_A_TIME);
        }
        (void)fflush(stdout);
        processes[i % CLIENTS_AT_A_TIME] = fork();
        REQUIRE(processes[i % CLIENTS_AT_A_TIME] >= 0, "fork");
        if (processes[i % CLIENTS_AT_A_TIME] == 0) {
            live(&driver, i, port);
        }
    }
    for (int i = CLIENT_COUNT - CLIENTS_AT_A_TIME; i < CLIENT_COUNT; i++) {
        await_life(processes[i % CLIENTS_AT_A_TIME], i);
    }
    bool is_restored = test_wait(is_as_before, &before);
    struct holdings now = holdings_of(&driver);
    REQUIRE(is_restored, "counters %d -> %d, files %d -> %d, descriptors %d -> %d",
            before.holdings.counters, now.counters, before.holdings.files, now.files,
            before.holdings.descriptors, now.descriptors);
    driver_process_close(&driver);
}

/* -- no counter left ----------------------------------------------------------------------------
 */

#define COUNTERS_MAX 8192 /* of a buffer of 1 MiB */
#define UNDER_WAY_MAX 256

static void require_no_counter(const char *what, const struct tern_error *error) {
    REQUIRE(strstr(error->text, "all 8192 are in use") != NULL, "%s: %s", what, error->text);
}

/* Until there is none left; returns how many there are. */
static int take_all_counters(tern_client *client, tern_counter **counters) {
    const struct tern_counter_params params = {1001, "key", 3, "a counter of a test", 19};
    tern_async *adding[UNDER_WAY_MAX];
    struct tern_error error = {0};
    int count = 0;
    for (bool is_full = false; !is_full;) {
        for (int i = 0; i < UNDER_WAY_MAX; i++) {
            adding[i] = tern_client_async_add_counter(client, &params, &error);
            REQUIRE(adding[i] != NULL, "%s", error.text);
        }
        for (int i = 0; i < UNDER_WAY_MAX; i++) {
            int result;
            while ((result = tern_async_poll_counter(adding[i], &counters[count], &error)) == 0) {
                test_sleep_ms(1);
            }
            if (result < 0) {
                require_no_counter("counter", &error);
                is_full = true;
            } else {
                REQUIRE(!is_full, "a counter after there was none");
                count++;
            }
        }
        REQUIRE(count < COUNTERS_MAX, "more counters than there are");
    }
    return count;
}

static void without_counters_streams_are_refused_with_the_reason(const char *program) {
    static const char *const environment[] = {"AERON_COUNTERS_BUFFER_LENGTH=1m",
                                              "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT=0", NULL};
    static tern_counter *counters[COUNTERS_MAX + UNDER_WAY_MAX];
    struct driver_process driver = {0};
    struct tern_error error = {0};
    char channel[64];
    driver_process_start(&driver, program, environment);
    tern_client *client = driver_process_connect(&driver);
    int count = take_all_counters(client, counters);
    (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d", first_port(1));
    struct holdings before = holdings_of(&driver);
    REQUIRE(before.counters == COUNTERS_MAX, "%d counters", before.counters);
    REQUIRE(tern_client_add_publication(client, "aeron:ipc", STREAM, TEST_TIMEOUT_NS, &error) ==
                NULL,
            "an IPC publication without counters");
    require_no_counter("aeron:ipc", &error);
    REQUIRE(tern_client_add_publication(client, channel, STREAM, TEST_TIMEOUT_NS, &error) == NULL,
            "a UDP publication without counters");
    require_no_counter(channel, &error);
    REQUIRE(tern_client_status(client, NULL) == 0, "the client lives");
    struct baseline baseline = {&driver, before};
    REQUIRE(test_wait(is_as_before, &baseline), "nothing is left of what was refused");
    for (int i = 0; i < count; i++) {
        tern_counter_close(counters[i]);
    }
    tern_subscription *subscription = add_subscription(client, "aeron:ipc", STREAM);
    tern_publication *publication = add_publication(client, "aeron:ipc", STREAM);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

/* -- many streams -------------------------------------------------------------------------------
 */

#define STREAM_COUNT 5000

struct held {
    tern_async *adding_subscription;
    tern_async *adding_publication;
    tern_subscription *subscription;
    tern_exclusive_publication *publication;
};

/* False while the driver's ring has no room. */
static bool ask(tern_client *client, const char *channel, struct held *held, int32_t stream_id) {
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    struct tern_error error = {0};
    if (held->adding_subscription == NULL) {
        held->adding_subscription = tern_client_async_add_subscription(client, &params, &error);
    }
    if (held->adding_subscription != NULL) {
        held->adding_publication =
            tern_client_async_add_exclusive_publication(client, channel, stream_id, &error);
    }
    REQUIRE(held->adding_publication != NULL || error.code == TERN_ERROR_DRIVER_BUFFER_FULL, "%s",
            error.text);
    return held->adding_publication != NULL;
}

static bool is_added(void *context) {
    struct held *held = context;
    struct tern_error error = {0};
    int result =
        held->subscription != NULL
            ? 1
            : tern_async_poll_subscription(held->adding_subscription, &held->subscription, &error);
    if (result > 0) {
        result = tern_async_poll_exclusive_publication(held->adding_publication, &held->publication,
                                                       &error);
    }
    REQUIRE(result >= 0, "%s", error.text);
    return result > 0;
}

/* So many are under way at a time: the driver's answers have to be read before they are written
 * over. */
static void add_streams(tern_client *client, const char *channel, struct held *held) {
    int32_t asked = 0;
    for (int32_t i = 0; i < STREAM_COUNT; i++) {
        while (asked == i || (asked < STREAM_COUNT && asked - i < UNDER_WAY_MAX)) {
            if (ask(client, channel, &held[asked], STREAM + asked)) {
                asked++;
            } else if (asked > i) {
                break;
            }
        }
        REQUIRE(test_wait(is_added, &held[i]), "stream %d", i);
    }
}

static bool is_held_connected(void *context) {
    const struct held *held = context;
    return tern_exclusive_publication_is_connected(held->publication) &&
           tern_subscription_is_connected(held->subscription);
}

/* What all of them say by the clock must not drown what each of them says. */
static void thousands_of_streams_of_one_channel_are_connected_and_stay_it(const char *program) {
    static const char *const environment[] = {"AERON_COUNTERS_BUFFER_LENGTH=32m", NULL};
    static struct held held[STREAM_COUNT];
    struct driver_process driver = {0};
    char channel[96];
    driver_process_start(&driver, program, environment);
    tern_client *client = driver_process_connect(&driver);
    (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d|term-length=64k",
                   first_port(1));
    add_streams(client, channel, held);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < STREAM_COUNT; i++) {
            REQUIRE(test_wait(is_held_connected, &held[i]), "stream %d in round %d", i, round);
        }
        test_sleep_ms(round == 0 ? 11000 : 0); /* longer than the time-outs */
    }
    tern_client_close(client);
    driver_process_close(&driver);
}

static const struct system_test tests[] = {
    {"each of many receivers gets every byte", each_of_many_receivers_gets_every_byte},
    {"clients come and go and leave nothing", clients_come_and_go_and_leave_nothing},
    {"without counters streams are refused with the reason",
     without_counters_streams_are_refused_with_the_reason},
    {"thousands of streams of one channel are connected and stay it",
     thousands_of_streams_of_one_channel_are_connected_and_stay_it},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

/* tern_subscription_wait against a real driver, with the publisher in another process.
 *
 * usage: client_waits DRIVER [TEST]. What is asserted is that a sleeping subscriber hears of data
 * and does not look for it meanwhile; the latency of a wake-up and the CPU time of a sleep are
 * printed as comments, since they are the machine's.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001
#define MESSAGES 300
#define GAP_MS 3
#define QUIET_MS 1500
/* 4 looks per second, some for the scheduler's and the driver's doings, and a margin. Naps of 1 ms
 * would be 1500. */
#define QUIET_SWITCHES_MAX 60

struct publisher {
    pid_t pid;
    int go; /* a byte per order: 's' send the messages, closed: end */
};

static tern_publication *add_publication(tern_client *client, const char *channel) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, channel, STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static void send_time(tern_publication *publication) {
    int64_t now_ns;
    int64_t result;
    do {
        now_ns = test_now_ns();
        result = tern_publication_offer(publication, &now_ns, sizeof now_ns);
    } while (result < 0 && result != TERN_PUBLICATION_CLOSED);
    REQUIRE(result > 0, "offer: %s", tern_publication_result_name(result));
}

/* The other process: it dies with this one or at the end of its orders. */
_Noreturn static void publish(const struct driver_process *driver, const char *channel,
                              int orders) {
    char order;
    tern_client *client = driver_process_connect(driver);
    tern_publication *publication = add_publication(client, channel);
    while (read(orders, &order, 1) == 1) {
        for (int i = 0; i < MESSAGES; i++) {
            test_sleep_ms(GAP_MS);
            send_time(publication);
        }
    }
    tern_publication_close(publication);
    tern_client_close(client);
    _exit(0);
}

/* Before any thread of this process exists. */
static struct publisher start_publisher(const struct driver_process *driver, const char *channel) {
    int ends[2];
    REQUIRE(pipe(ends) == 0, "pipe");
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        (void)close(ends[1]);
        publish(driver, channel, ends[0]);
    }
    (void)close(ends[0]);
    return (struct publisher){pid, ends[1]};
}

static void end_publisher(const struct publisher *publisher) {
    int status = 0;
    (void)close(publisher->go);
    REQUIRE(waitpid(publisher->pid, &status, 0) == publisher->pid, "waitpid");
    REQUIRE(status == 0 || WIFSIGNALED(status), "the publisher ended with %d", status);
}

struct latencies {
    int64_t ns[MESSAGES];
    int count;
};

static void on_time(void *context, const uint8_t *buffer, int32_t length,
                    const tern_header *header) {
    struct latencies *latencies = context;
    int64_t sent_ns;
    (void)header;
    REQUIRE(length == (int32_t)sizeof sent_ns, "length %d", length);
    memcpy(&sent_ns, buffer, sizeof sent_ns);
    REQUIRE(latencies->count < MESSAGES, "too many messages");
    latencies->ns[latencies->count++] = test_now_ns() - sent_ns;
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int64_t cpu_ns(const struct rusage *usage) {
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * TEST_NS_PER_S +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000;
}

static bool has_image(void *subscription) {
    return tern_subscription_is_connected(subscription);
}

static void receive_all(tern_subscription *subscription, const char *name) {
    static struct latencies latencies;
    struct rusage before, after;
    latencies.count = 0;
    (void)getrusage(RUSAGE_THREAD, &before);
    while (latencies.count < MESSAGES) {
        int result = tern_subscription_wait(subscription, TEST_TIMEOUT_NS);
        REQUIRE(result >= 0, "wait: %d after %d messages", result, latencies.count);
        REQUIRE(result == 1 || tern_subscription_is_connected(subscription),
                "nothing came after %d messages", latencies.count);
        (void)tern_subscription_poll(subscription, on_time, &latencies, 10);
    }
    (void)getrusage(RUSAGE_THREAD, &after);
    qsort(latencies.ns, MESSAGES, sizeof latencies.ns[0], compare);
    (void)printf("# %s: a message every %d ms is delivered after %.1f us (p50), %.1f us (p99); "
                 "%.1f us of CPU time each\n",
                 name, GAP_MS, (double)latencies.ns[MESSAGES / 2] / 1e3,
                 (double)latencies.ns[MESSAGES * 99 / 100] / 1e3,
                 (double)(cpu_ns(&after) - cpu_ns(&before)) / MESSAGES / 1e3);
}

/* Returns the voluntary switches of this thread. */
static long sleep_quietly(tern_subscription *subscription, const char *name) {
    struct rusage before, after;
    (void)getrusage(RUSAGE_THREAD, &before);
    REQUIRE(tern_subscription_wait(subscription, QUIET_MS * TEST_NS_PER_MS) == 0, "data");
    (void)getrusage(RUSAGE_THREAD, &after);
    (void)printf("# %s: %ld switches and %.3f %% of a CPU while nothing comes\n", name,
                 after.ru_nvcsw - before.ru_nvcsw,
                 (double)(cpu_ns(&after) - cpu_ns(&before)) / (QUIET_MS * 1e4));
    return after.ru_nvcsw - before.ru_nvcsw;
}

static void wait_over(const char *program, const char *channel) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    driver_process_start(&driver, program, NULL);
    struct publisher publisher = start_publisher(&driver, channel);
    tern_client *client = driver_process_connect(&driver);
    const struct tern_subscription_params params = {.channel = channel, .stream_id = STREAM};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    REQUIRE(test_wait(has_image, subscription), "image");
    (void)tern_subscription_wait(subscription, TEST_NS_PER_MS);
    long switches = sleep_quietly(subscription, channel);
    REQUIRE(switches <= QUIET_SWITCHES_MAX, "%ld", switches);
    REQUIRE(write(publisher.go, "s", 1) == 1, "order");
    receive_all(subscription, channel);
    REQUIRE(kill(publisher.pid, SIGKILL) == 0, "kill");
    end_publisher(&publisher);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void data_over_ipc_wakes_a_sleeper(const char *program) {
    wait_over(program, "aeron:ipc");
}

static void data_over_udp_wakes_a_sleeper(const char *program) {
    char channel[64];
    (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d",
                   20000 + (int)getpid() % 10000);
    wait_over(program, channel);
}

static void *close_soon(void *argument) {
    test_sleep_ms(50);
    tern_client_close(argument);
    return NULL;
}

/* The image comes, and the client goes, while the subscriber sleeps. */
static void images_and_ends_wake_a_sleeper(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_client *other = driver_process_connect(&driver);
    const struct tern_subscription_params params = {.channel = "aeron:ipc", .stream_id = STREAM};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    tern_async *async = tern_client_async_add_publication(other, "aeron:ipc", STREAM, &error);
    REQUIRE(async != NULL, "%s", error.text);
    int64_t begin_ns = test_now_ns();
    while (!tern_subscription_is_connected(subscription)) {
        (void)tern_subscription_wait(subscription, TEST_TIMEOUT_NS);
        REQUIRE(test_now_ns() - begin_ns < TEST_TIMEOUT_NS, "it slept through the image");
    }
    tern_publication *publication = NULL;
    while (tern_async_poll_publication(async, &publication, &error) == 0) {
        test_sleep_ms(1);
    }
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, close_soon, client) == 0, "thread");
    int result;
    do {
        result = tern_subscription_wait(subscription, TEST_TIMEOUT_NS);
    } while (result == 0 && test_now_ns() - begin_ns < 2 * TEST_TIMEOUT_NS);
    REQUIRE(result == TERN_ERROR_CLOSED, "%d", result);
    REQUIRE(pthread_join(thread, NULL) == 0, "join");
    tern_subscription_close(subscription);
    tern_publication_close(publication);
    tern_client_close(other);
    driver_process_close(&driver);
}

static const struct system_test tests[] = {
    {"data over IPC wakes a sleeper", data_over_ipc_wakes_a_sleeper},
    {"data over UDP wakes a sleeper", data_over_udp_wakes_a_sleeper},
    {"images and ends wake a sleeper", images_and_ends_wake_a_sleeper},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

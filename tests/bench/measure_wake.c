/* measure_wake NAME PING_CHANNEL PONG_CHANNEL COUNT PAUSE_US: the time from an offer to the arrival
 * of its echo when both ends sleep in tern_subscription_wait, and the stream was silent for
 * PAUSE_US before. Nobody spins: it is what a message costs that comes out of the blue.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define PING_STREAM_ID 1004
#define PONG_STREAM_ID 1005
#define WARM_UP 5
#define MESSAGE_LENGTH 32
#define WAIT_NS INT64_C(500000000)
#define GIVE_UP_NS INT64_C(10000000000)
#define NS_PER_US INT64_C(1000)
#define NS_PER_S INT64_C(1000000000)

struct link {
    tern_subscription *ping_in;
    tern_subscription *pong_in;
    tern_exclusive_publication *ping_out;
    tern_exclusive_publication *pong_out;
    bool is_done;
    int64_t arrived; /* number of the last echo */
};

static bool is_done(const struct link *link) {
    return __atomic_load_n(&link->is_done, __ATOMIC_ACQUIRE);
}

static void echo(void *context, const uint8_t *buffer, int32_t length, const tern_header *header) {
    struct link *link = context;
    (void)header;
    while (tern_exclusive_publication_offer(link->pong_out, buffer, length) < 0 && !is_done(link)) {
    }
}

static void on_pong(void *context, const uint8_t *buffer, int32_t length,
                    const tern_header *header) {
    struct link *link = context;
    (void)length;
    (void)header;
    memcpy(&link->arrived, buffer, sizeof link->arrived);
}

static void *run_echo(void *argument) {
    struct link *link = argument;
    while (!is_done(link)) {
        if (tern_subscription_wait(link->ping_in, WAIT_NS) > 0) {
            (void)tern_subscription_poll(link->ping_in, echo, link, 10);
        }
    }
    return NULL;
}

static void measure(struct link *link, int64_t count, int64_t pause_ns,
                    struct bench_samples *samples) {
    uint8_t message[MESSAGE_LENGTH] = {0};
    for (int64_t i = 1; i <= count + WARM_UP; i++) {
        const struct timespec pause = {pause_ns / NS_PER_S, pause_ns % NS_PER_S};
        (void)nanosleep(&pause, NULL);
        memcpy(message, &i, sizeof i);
        int64_t start_ns = bench_now_ns();
        while (tern_exclusive_publication_offer(link->ping_out, message, sizeof message) < 0) {
        }
        while (link->arrived != i) {
            (void)tern_subscription_wait(link->pong_in, WAIT_NS);
            (void)tern_subscription_poll(link->pong_in, on_pong, link, 10);
            if (bench_now_ns() - start_ns > GIVE_UP_NS) {
                bench_fail("a round trip took too long");
            }
        }
        if (i > WARM_UP) {
            bench_samples_add(samples, bench_now_ns() - start_ns);
        }
    }
}

int main(int argc, char **argv) {
    static struct link link;
    struct bench_samples samples;
    pthread_t thread;
    if (argc != 6) {
        fprintf(stderr, "usage: measure_wake NAME PING_CHANNEL PONG_CHANNEL COUNT PAUSE_US\n");
        return 64;
    }
    int64_t count = link_number(argv[4], 1, 1000000);
    int64_t pause_ns = link_number(argv[5], 0, 10000000) * NS_PER_US;
    bench_samples_init(&samples, (size_t)count);
    tern_client *client = link_client();
    link.ping_in = link_subscribe(client, argv[2], PING_STREAM_ID);
    link.pong_in = link_subscribe(client, argv[3], PONG_STREAM_ID);
    link.ping_out = link_publish_exclusive(client, argv[2], PING_STREAM_ID);
    link.pong_out = link_publish_exclusive(client, argv[3], PONG_STREAM_ID);
    if (pthread_create(&thread, NULL, run_echo, &link) != 0) {
        bench_fail("cannot start a thread");
    }
    measure(&link, count, pause_ns, &samples);
    __atomic_store_n(&link.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    bench_print_latency(argv[1], &samples, "-");
    bench_samples_close(&samples);
    tern_exclusive_publication_close(link.ping_out);
    tern_exclusive_publication_close(link.pong_out);
    tern_subscription_close(link.ping_in);
    tern_subscription_close(link.pong_in);
    tern_client_close(client);
    return 0;
}

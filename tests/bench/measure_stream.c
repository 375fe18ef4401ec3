/* measure_stream NAME FLOOR exclusive|shared CHANNEL LENGTH SECONDS: messages of one stream that a
 * subscriber received per second, while a publisher offers as fast as it can.
 *
 * Over IPC publisher and subscriber are two threads. Over UDP they share one, which leaves the
 * other core of a small machine to the driver.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define STREAM_ID 1001
#define MESSAGE_MAX 65536
#define FRAGMENT_LIMIT 256
#define OFFERS_PER_TURN 64
#define WARM_UP_NS INT64_C(300000000)
/* Refusals in a row after which a thread lets others run: the driver has to open the window. */
#define REFUSALS_MAX 100

struct stream {
    tern_subscription *subscription;
    tern_exclusive_publication *exclusive;
    tern_publication *shared;
    int32_t length;
    bool is_done;
    int64_t received_count; /* written by the receiving thread */
    uint8_t message[MESSAGE_MAX];
};

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    int64_t *count = context;
    (void)buffer;
    (void)length;
    (void)header;
    (*count)++;
}

static int receive(struct stream *stream, int64_t *count) {
    int fragments =
        tern_subscription_poll(stream->subscription, on_fragment, count, FRAGMENT_LIMIT);
    if (fragments > 0) {
        __atomic_store_n(&stream->received_count, *count, __ATOMIC_RELEASE);
    }
    return fragments;
}

static int64_t offer(struct stream *stream) {
    int64_t position =
        stream->exclusive != NULL
            ? tern_exclusive_publication_offer(stream->exclusive, stream->message, stream->length)
            : tern_publication_offer(stream->shared, stream->message, stream->length);
    if (position == TERN_PUBLICATION_CLOSED || position == TERN_PUBLICATION_ERROR ||
        position == TERN_PUBLICATION_NOT_CONNECTED) {
        fprintf(stderr, "bench: offer: %s\n", tern_publication_result_name(position));
        __atomic_store_n(&stream->is_done, true, __ATOMIC_RELEASE);
    }
    return position;
}

static bool is_done(const struct stream *stream) {
    return __atomic_load_n(&stream->is_done, __ATOMIC_ACQUIRE);
}

static void *run_publisher(void *argument) {
    struct stream *stream = argument;
    int refusals = 0;
    bench_pin(1);
    while (!is_done(stream)) {
        refusals = offer(stream) > 0 ? 0 : refusals + 1;
        if (refusals > REFUSALS_MAX) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *run_subscriber(void *argument) {
    struct stream *stream = argument;
    int64_t count = 0;
    int empty = 0;
    bench_pin(0);
    while (!is_done(stream)) {
        empty = receive(stream, &count) > 0 ? 0 : empty + 1;
        if (empty > REFUSALS_MAX) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *run_both(void *argument) {
    struct stream *stream = argument;
    int64_t count = 0;
    int idle = 0;
    bench_pin(0);
    while (!is_done(stream)) {
        int work = receive(stream, &count);
        for (int i = 0; i < OFFERS_PER_TURN && offer(stream) > 0; i++) {
            work++;
        }
        idle = work > 0 ? 0 : idle + 1;
        if (idle > REFUSALS_MAX) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static int64_t received(const struct stream *stream) {
    return __atomic_load_n(&stream->received_count, __ATOMIC_ACQUIRE);
}

static double measure(struct stream *stream, int64_t duration_ns) {
    struct timespec pause = {.tv_nsec = WARM_UP_NS};
    (void)nanosleep(&pause, NULL);
    int64_t start_count = received(stream);
    int64_t start_ns = bench_now_ns();
    while (bench_now_ns() - start_ns < duration_ns && !is_done(stream)) {
        pause.tv_nsec = 10000000;
        (void)nanosleep(&pause, NULL);
    }
    return (double)(received(stream) - start_count) * 1e9 / (double)(bench_now_ns() - start_ns);
}

int main(int argc, char **argv) {
    static struct stream stream; /* too large for the stack */
    pthread_t threads[2];
    if (argc != 7) {
        fprintf(stderr, "usage: measure_stream NAME FLOOR exclusive|shared CHANNEL LENGTH "
                        "SECONDS\n");
        return 64;
    }
    const char *channel = argv[4];
    stream.length = (int32_t)link_number(argv[5], 0, MESSAGE_MAX);
    int64_t duration_ns = link_number(argv[6], 1, 60) * INT64_C(1000000000);
    tern_client *client = link_client();
    stream.subscription = link_subscribe(client, channel, STREAM_ID);
    if (strcmp(argv[3], "exclusive") == 0) {
        stream.exclusive = link_publish_exclusive(client, channel, STREAM_ID);
    } else {
        stream.shared = link_publish_shared(client, channel, STREAM_ID);
    }
    bool is_ipc = strncmp(channel, "aeron:ipc", 9) == 0;
    int thread_count = is_ipc ? 2 : 1;
    void *(*const runs[])(void *) = {is_ipc ? run_subscriber : run_both, run_publisher};
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], NULL, runs[i], &stream) != 0) {
            bench_fail("cannot start a thread");
        }
    }
    double rate = measure(&stream, duration_ns);
    bool has_failed = is_done(&stream);
    __atomic_store_n(&stream.is_done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    if (!has_failed) {
        bench_print(argv[1], rate, "msg/s", argv[2]);
    }
    tern_exclusive_publication_close(stream.exclusive);
    tern_publication_close(stream.shared);
    tern_subscription_close(stream.subscription);
    tern_client_close(client);
    return has_failed ? 1 : 0;
}

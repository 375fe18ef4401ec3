/* measure_stream NAME FLOOR exclusive|shared CHANNEL LENGTH SECONDS [PLACEMENT]: messages of one
 * stream that a subscriber received per second, while a publisher offers as fast as it can.
 *
 * Messages that do not fit a frame are assembled, as a user has to. PLACEMENT says where the two
 * ends run on a machine of few cores:
 *     split     two threads on two cores, which spin
 *     nap       as split, but a subscriber that has caught up naps: for IPC (its default). One that
 *               spins takes each line from the publisher while that still writes to it
 *     one       one thread on core 0 offers and polls in turn: for UDP (its default); the other
 *               core is the driver's
 *     together  two threads share core 0 and yield to each other when they have nothing to do
 *     free      two threads that the kernel places, and which yield
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
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
#define NAP_NS 1000 /* and what the kernel adds, some 50 us */
/* Refusals in a row after which a thread lets others run: the driver has to open the window. */
#define REFUSALS_MAX 100

/* What one thread writes and another one reads in its loop has a line of its own. */
struct stream {
    /* constant while the threads run */
    tern_subscription *subscription;
    tern_exclusive_publication *exclusive;
    tern_publication *shared;
    tern_fragment_assembler *assembler;
    int32_t length;
    int publisher_cpu; /* -1: any */
    int subscriber_cpu;
    bool naps;
    uint8_t message[MESSAGE_MAX];

    alignas(BENCH_LINE_LENGTH) bool is_done;

    /* the receiving thread */
    alignas(BENCH_LINE_LENGTH) int64_t count;
    alignas(BENCH_LINE_LENGTH) int64_t received_count; /* what of it others may see */
};

struct placement {
    const char *name;
    int thread_count;
    int publisher_cpu;
    int subscriber_cpu;
    bool naps; /* the subscriber, when it has caught up */
};

static const struct placement placements[] = {{"split", 2, 1, 0, false},
                                              {"nap", 2, 1, 0, true},
                                              {"one", 1, 0, 0, false},
                                              {"together", 2, 0, 0, false},
                                              {"free", 2, -1, -1, false}};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    int64_t *count = context;
    (void)buffer;
    (void)length;
    (void)header;
    (*count)++;
}

static int receive(struct stream *stream) {
    int fragments =
        tern_subscription_poll(stream->subscription, tern_fragment_assembler_on_fragment,
                               stream->assembler, FRAGMENT_LIMIT);
    if (fragments > 0) {
        __atomic_store_n(&stream->received_count, stream->count, __ATOMIC_RELEASE);
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

static void pin(int cpu) {
    if (cpu >= 0) {
        bench_pin(cpu);
    }
}

static void *run_publisher(void *argument) {
    struct stream *stream = argument;
    int refusals = 0;
    pin(stream->publisher_cpu);
    while (!is_done(stream)) {
        refusals = offer(stream) > 0 ? 0 : refusals + 1;
        if (refusals > REFUSALS_MAX) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *run_subscriber(void *argument) {
    static const struct timespec nap = {.tv_nsec = NAP_NS};
    struct stream *stream = argument;
    int empty = 0;
    pin(stream->subscriber_cpu);
    while (!is_done(stream)) {
        int fragments = receive(stream);
        if (stream->naps && fragments < FRAGMENT_LIMIT) {
            (void)nanosleep(&nap, NULL);
        }
        empty = fragments > 0 ? 0 : empty + 1;
        if (empty > REFUSALS_MAX) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *run_both(void *argument) {
    struct stream *stream = argument;
    int idle = 0;
    pin(stream->subscriber_cpu);
    while (!is_done(stream)) {
        int work = receive(stream);
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

static const struct placement *find_placement(const char *name) {
    for (size_t i = 0; i < sizeof placements / sizeof placements[0]; i++) {
        if (strcmp(placements[i].name, name) == 0) {
            return &placements[i];
        }
    }
    errno = EINVAL;
    bench_fail(name);
}

static void open_stream(struct stream *stream, tern_client *client, const char *channel,
                        const char *kind) {
    stream->assembler = tern_fragment_assembler_create(on_message, &stream->count);
    if (stream->assembler == NULL) {
        bench_fail("no memory");
    }
    stream->subscription = link_subscribe(client, channel, STREAM_ID);
    if (strcmp(kind, "exclusive") == 0) {
        stream->exclusive = link_publish_exclusive(client, channel, STREAM_ID);
    } else {
        stream->shared = link_publish_shared(client, channel, STREAM_ID);
    }
}

static void close_stream(struct stream *stream) {
    tern_exclusive_publication_close(stream->exclusive);
    tern_publication_close(stream->shared);
    tern_subscription_close(stream->subscription);
    tern_fragment_assembler_destroy(stream->assembler);
}

/* The rate; negative when an end failed. */
static double run(struct stream *stream, const struct placement *placement, int64_t duration_ns) {
    void *(*const runs[])(void *) = {placement->thread_count == 2 ? run_subscriber : run_both,
                                     run_publisher};
    pthread_t threads[2];
    stream->publisher_cpu = placement->publisher_cpu;
    stream->subscriber_cpu = placement->subscriber_cpu;
    stream->naps = placement->naps;
    for (int i = 0; i < placement->thread_count; i++) {
        if (pthread_create(&threads[i], NULL, runs[i], stream) != 0) {
            bench_fail("cannot start a thread");
        }
    }
    double rate = measure(stream, duration_ns);
    bool has_failed = is_done(stream);
    __atomic_store_n(&stream->is_done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < placement->thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return has_failed ? -1 : rate;
}

int main(int argc, char **argv) {
    static struct stream stream; /* too large for the stack */
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "usage: measure_stream NAME FLOOR exclusive|shared CHANNEL LENGTH "
                        "SECONDS [split|nap|one|together|free]\n");
        return 64;
    }
    const char *channel = argv[4];
    bool is_ipc = strncmp(channel, "aeron:ipc", 9) == 0;
    const struct placement *placement = find_placement(argc == 8 ? argv[7]
                                                       : is_ipc  ? "nap"
                                                                 : "one");
    stream.length = (int32_t)link_number(argv[5], 0, MESSAGE_MAX);
    int64_t duration_ns = link_seconds_ns(argv[6]);
    tern_client *client = link_client();
    open_stream(&stream, client, channel, argv[3]);
    double rate = run(&stream, placement, duration_ns);
    if (rate >= 0) {
        bench_print(argv[1], rate, "msg/s", argv[2]);
    }
    close_stream(&stream);
    tern_client_close(client);
    return rate < 0 ? 1 : 0;
}

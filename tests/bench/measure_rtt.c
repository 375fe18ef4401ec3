/* measure_rtt NAME FLOOR PING_CHANNEL PONG_CHANNEL LENGTH COUNT THREADS [ENDS]: the time from an
 * offer to the arrival of its echo, one message under way at a time.
 *
 * With two threads the second one echoes. With one thread both ends are played by it, so that on a
 * machine of two cores the driver has the other: for UDP, where a message crosses the driver's
 * thread four times per round trip. ENDS says what an end does when nothing has arrived:
 *     spin   poll again (the default); two threads have a core each, and a sample is the mean of
 *            sixteen round trips, as a reading of the clock costs a sixth of one
 *     yield  let others run; two threads share core 0
 *     wait   sleep in tern_subscription_wait; two threads run where the kernel puts them
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

#define PING_STREAM_ID 1002
#define PONG_STREAM_ID 1003
#define MESSAGE_MAX 65536
#define WARM_UP_FRACTION 10
#define GIVE_UP_NS INT64_C(10000000000)
#define EMPTY_POLLS_MAX 20000

#define WAIT_NS INT64_C(100000000)
#define SPIN_BATCH 16 /* as floor_memory */

enum ends { ENDS_SPIN, ENDS_YIELD, ENDS_WAIT };

/* What one end writes per message is on no line that the other end reads. */
struct link {
    /* constant while the ends run, but for is_done */
    tern_subscription *ping_in;
    tern_subscription *pong_in;
    tern_exclusive_publication *ping_out;
    tern_exclusive_publication *pong_out;
    int32_t length;
    bool is_done;
    bool is_echoed_here; /* one thread plays both ends */
    enum ends ends;

    /* the end that pings */
    alignas(BENCH_LINE_LENGTH) int64_t arrived; /* number of the last echo */
    uint8_t message[MESSAGE_MAX];
};

static void echo(void *context, const uint8_t *buffer, int32_t length, const tern_header *header) {
    struct link *link = context;
    (void)header;
    while (tern_exclusive_publication_offer(link->pong_out, buffer, length) < 0 &&
           !__atomic_load_n(&link->is_done, __ATOMIC_ACQUIRE)) {
    }
}

static void on_pong(void *context, const uint8_t *buffer, int32_t length,
                    const tern_header *header) {
    struct link *link = context;
    (void)length;
    (void)header;
    memcpy(&link->arrived, buffer, sizeof link->arrived);
}

static void idle(const struct link *link, tern_subscription *subscription) {
    if (link->ends == ENDS_YIELD) {
        (void)sched_yield();
    } else if (link->ends == ENDS_WAIT) {
        (void)tern_subscription_wait(subscription, WAIT_NS);
    }
}

static void *run_echo(void *argument) {
    struct link *link = argument;
    if (link->ends != ENDS_WAIT) {
        bench_pin(link->ends == ENDS_SPIN ? 1 : 0);
    }
    while (!__atomic_load_n(&link->is_done, __ATOMIC_ACQUIRE)) {
        if (tern_subscription_poll(link->ping_in, echo, link, 10) == 0) {
            idle(link, link->ping_in);
        }
    }
    return NULL;
}

/* Send message `number` and wait for its echo. */
static void ping(struct link *link, int64_t number) {
    int64_t empty = 0;
    memcpy(link->message, &number, sizeof number);
    while (tern_exclusive_publication_offer(link->ping_out, link->message, link->length) < 0) {
    }
    while (link->arrived != number) {
        if (link->is_echoed_here) {
            (void)tern_subscription_poll(link->ping_in, echo, link, 10);
        }
        if (tern_subscription_poll(link->pong_in, on_pong, link, 10) == 0) {
            idle(link, link->pong_in);
            if (++empty % EMPTY_POLLS_MAX == 0) {
                (void)sched_yield();
            }
        }
    }
}

/* The mean of so many round trips, the first of which has this number. */
static int64_t measure_batch(struct link *link, int64_t number, int64_t batch) {
    int64_t start_ns = bench_now_ns();
    for (int64_t i = 0; i < batch; i++) {
        ping(link, number + i);
    }
    int64_t elapsed_ns = bench_now_ns() - start_ns;
    if (elapsed_ns > GIVE_UP_NS) {
        bench_fail("a round trip took too long");
    }
    return elapsed_ns / batch;
}

static void measure(struct link *link, int64_t count, struct bench_samples *samples) {
    int64_t batch = link->ends == ENDS_SPIN && !link->is_echoed_here ? SPIN_BATCH : 1;
    int64_t warm_up = count / WARM_UP_FRACTION + 1;
    if (link->ends != ENDS_WAIT) {
        bench_pin(0);
    }
    for (int64_t i = 1; i <= count + warm_up; i += batch) {
        int64_t mean_ns = measure_batch(link, i, batch);
        if (i > warm_up) {
            bench_samples_add(samples, mean_ns);
        }
    }
}

static enum ends find_ends(const char *name) {
    static const char *const names[] = {"spin", "yield", "wait"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum ends)i;
        }
    }
    errno = EINVAL;
    bench_fail(name);
}

static void run(struct link *link, int64_t count, struct bench_samples *samples) {
    pthread_t thread;
    if (!link->is_echoed_here && pthread_create(&thread, NULL, run_echo, link) != 0) {
        bench_fail("cannot start a thread");
    }
    measure(link, count, samples);
    __atomic_store_n(&link->is_done, true, __ATOMIC_RELEASE);
    if (!link->is_echoed_here) {
        (void)pthread_join(thread, NULL);
    }
}

int main(int argc, char **argv) {
    static struct link link; /* too large for the stack */
    struct bench_samples samples;
    if (argc != 8 && argc != 9) {
        fprintf(stderr, "usage: measure_rtt NAME FLOOR PING_CHANNEL PONG_CHANNEL LENGTH COUNT "
                        "THREADS [spin|yield|wait]\n");
        return 64;
    }
    link.length = (int32_t)link_number(argv[5], 8, MESSAGE_MAX);
    int64_t count = link_number(argv[6], 1, 10000000);
    link.is_echoed_here = link_number(argv[7], 1, 2) == 1;
    link.ends = find_ends(argc == 9 ? argv[8] : "spin");
    if (link.is_echoed_here && link.ends == ENDS_WAIT) {
        errno = EINVAL;
        bench_fail("one thread cannot wait for two ends");
    }
    bench_samples_init(&samples, (size_t)count);
    tern_client *client = link_client();
    link.ping_in = link_subscribe(client, argv[3], PING_STREAM_ID);
    link.pong_in = link_subscribe(client, argv[4], PONG_STREAM_ID);
    link.ping_out = link_publish_exclusive(client, argv[3], PING_STREAM_ID);
    link.pong_out = link_publish_exclusive(client, argv[4], PONG_STREAM_ID);
    run(&link, count, &samples);
    bench_print_latency(argv[1], &samples, argv[2]);
    bench_samples_close(&samples);
    tern_exclusive_publication_close(link.ping_out);
    tern_exclusive_publication_close(link.pong_out);
    tern_subscription_close(link.ping_in);
    tern_subscription_close(link.pong_in);
    tern_client_close(client);
    return 0;
}

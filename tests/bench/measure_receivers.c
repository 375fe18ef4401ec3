/* measure_receivers NAME CHANNEL PORT COUNT LENGTH SECONDS: messages per second that each of COUNT
 * receivers of one stream got, while a publisher offers as fast as they all allow.
 *
 * CHANNEL is the publication's, with several destinations (control-mode=dynamic) and control
 * address 127.0.0.1:PORT; the receivers are endpoints on the ports behind it. Each has to get every
 * message in order. One thread plays all ends.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define STREAM_ID 1001
#define COUNT_MAX 1000
#define MESSAGE_MAX 65536
#define FRAGMENT_LIMIT 64
#define OFFERS_PER_TURN 64
#define IDLE_TURNS_MAX 100
#define DRAIN_NS INT64_C(10000000000)

struct receiver {
    tern_subscription *subscription;
    int64_t received_count;
};

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct receiver *receiver = context;
    int64_t number;
    (void)length;
    (void)header;
    memcpy(&number, buffer, sizeof number);
    if (number != receiver->received_count) {
        fprintf(stderr, "bench: message %lld came after %lld\n", (long long)number,
                (long long)receiver->received_count - 1);
        exit(EXIT_FAILURE);
    }
    receiver->received_count++;
}

static int receive(struct receiver *receivers, int32_t count) {
    int work = 0;
    for (int32_t i = 0; i < count; i++) {
        work += tern_subscription_poll(receivers[i].subscription, on_fragment, &receivers[i],
                                       FRAGMENT_LIMIT);
    }
    return work;
}

static int64_t offer(tern_exclusive_publication *publication, int64_t number, int32_t length) {
    static uint8_t message[MESSAGE_MAX];
    int work = 0;
    memcpy(message, &number, sizeof number);
    while (work < OFFERS_PER_TURN &&
           tern_exclusive_publication_offer(publication, message, length) > 0) {
        work++;
        number++;
        memcpy(message, &number, sizeof number);
    }
    return number;
}

static bool have_all(const struct receiver *receivers, int32_t count, int64_t sent_count) {
    for (int32_t i = 0; i < count; i++) {
        if (receivers[i].received_count != sent_count) {
            return false;
        }
    }
    return true;
}

static double measure(struct receiver *receivers, int32_t count,
                      tern_exclusive_publication *publication, int32_t length,
                      int64_t duration_ns) {
    int64_t start_ns = bench_now_ns();
    int64_t sent_count = 0;
    int idle = 0;
    while (bench_now_ns() - start_ns < duration_ns) {
        int64_t before = sent_count;
        sent_count = offer(publication, sent_count, length);
        idle = receive(receivers, count) > 0 || sent_count > before ? 0 : idle + 1;
        if (idle > IDLE_TURNS_MAX) {
            (void)sched_yield();
        }
    }
    while (!have_all(receivers, count, sent_count)) {
        if (receive(receivers, count) == 0) {
            (void)sched_yield();
        }
        if (bench_now_ns() - start_ns > duration_ns + DRAIN_NS) {
            bench_fail("not every receiver got everything");
        }
    }
    return (double)sent_count * 1e9 / (double)(bench_now_ns() - start_ns);
}

int main(int argc, char **argv) {
    static struct receiver receivers[COUNT_MAX];
    char channel[128];
    if (argc != 7) {
        fprintf(stderr, "usage: measure_receivers NAME CHANNEL PORT COUNT LENGTH SECONDS\n");
        return 64;
    }
    int port = (int)link_number(argv[3], 1, 65535 - COUNT_MAX);
    int32_t count = (int32_t)link_number(argv[4], 1, COUNT_MAX);
    int32_t length = (int32_t)link_number(argv[5], 8, MESSAGE_MAX);
    int64_t duration_ns = link_seconds_ns(argv[6]);
    tern_client *client = link_client();
    for (int32_t i = 0; i < count; i++) {
        (void)snprintf(channel, sizeof channel,
                       "aeron:udp?endpoint=127.0.0.1:%d|control=127.0.0.1:%d|control-mode=dynamic",
                       port + 1 + i, port);
        receivers[i].subscription = link_subscribe(client, channel, STREAM_ID);
    }
    tern_exclusive_publication *publication = link_publish_exclusive(client, argv[2], STREAM_ID);
    for (int32_t i = 0; i < count; i++) {
        while (!tern_subscription_is_connected(receivers[i].subscription)) {
            (void)sched_yield();
        }
    }
    bench_pin(0);
    bench_print(argv[1], measure(receivers, count, publication, length, duration_ns), "msg/s", "-");
    tern_exclusive_publication_close(publication);
    for (int32_t i = 0; i < count; i++) {
        tern_subscription_close(receivers[i].subscription);
    }
    tern_client_close(client);
    return 0;
}

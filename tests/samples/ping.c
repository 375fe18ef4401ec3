/* ping: sends messages to pong, waits for each to come back, and prints how long that took.
 *
 * One message is under way at a time. Both programs spin, so the figures are those of the path and
 * not of the scheduler. Exit code 0 when every message came back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

static const char usage[] =
    "usage: ping [-c CHANNEL] [-r REPLY_CHANNEL] [-s STREAM] [-l BYTES] [-n MESSAGES]\n"
    "  -c  default aeron:udp?endpoint=localhost:20123      -r  default ...:20124\n"
    "  -s  default 1002; the reply has the next stream id  -n  default 10000\n";

#define WARM_UP_COUNT 100
#define REPLY_TIMEOUT_NS (5 * SAMPLE_NS_PER_S)

struct pinger {
    tern_client *client;
    tern_exclusive_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    int64_t expected; /* number of the message under way */
    bool is_answered;
};

static void on_reply(void *context, const uint8_t *buffer, int32_t length,
                     const tern_header *header) {
    struct pinger *pinger = context;
    int64_t number = -1;
    (void)header;
    if (length >= (int32_t)sizeof number) {
        memcpy(&number, buffer, sizeof number);
    }
    pinger->is_answered = pinger->is_answered || number == pinger->expected;
}

/* Time of one round trip, or -1 when the peer or the driver is gone. */
static int64_t round_trip(struct pinger *pinger, uint8_t *message, int32_t length) {
    memcpy(message, &pinger->expected, sizeof pinger->expected);
    pinger->is_answered = false;
    int64_t start_ns = sample_now_ns();
    int64_t position;
    do {
        position = tern_exclusive_publication_offer(pinger->publication, message, length);
        if (position == TERN_PUBLICATION_CLOSED || position == TERN_PUBLICATION_ERROR ||
            sample_now_ns() - start_ns > REPLY_TIMEOUT_NS || !sample_is_running()) {
            return -1;
        }
    } while (position < 0);
    int64_t now_ns = start_ns;
    while (!pinger->is_answered) {
        (void)tern_subscription_poll(pinger->subscription, tern_fragment_assembler_on_fragment,
                                     pinger->assembler, 1);
        now_ns = sample_now_ns();
        if (now_ns - start_ns > REPLY_TIMEOUT_NS || !sample_is_running()) {
            return -1;
        }
    }
    pinger->expected++;
    return now_ns - start_ns;
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void report(int64_t *times_ns, int64_t count) {
    qsort(times_ns, (size_t)count, sizeof *times_ns, compare);
    printf("%" PRId64 " round trips, us: min %.1f p50 %.1f p99 %.1f p99.9 %.1f max %.1f\n", count,
           (double)times_ns[0] / 1e3, (double)times_ns[count / 2] / 1e3,
           (double)times_ns[count * 99 / 100] / 1e3, (double)times_ns[count * 999 / 1000] / 1e3,
           (double)times_ns[count - 1] / 1e3);
}

static void open_channels(struct pinger *pinger, const struct sample_options *options) {
    struct tern_error error;
    pinger->client = sample_connect();
    const struct tern_subscription_params params = {.channel = options->reply_channel,
                                                    .stream_id = options->stream_id + 1};
    pinger->subscription =
        tern_client_add_subscription(pinger->client, &params, SAMPLE_TIMEOUT_NS, &error);
    if (pinger->subscription == NULL) {
        sample_fail(options->reply_channel, &error);
    }
    pinger->publication = tern_client_add_exclusive_publication(
        pinger->client, options->channel, options->stream_id, SAMPLE_TIMEOUT_NS, &error);
    if (pinger->publication == NULL) {
        sample_fail(options->channel, &error);
    }
    pinger->assembler = tern_fragment_assembler_create(on_reply, pinger);
    int64_t deadline_ns = sample_now_ns() + SAMPLE_TIMEOUT_NS;
    while (sample_is_running() && (!tern_subscription_is_connected(pinger->subscription) ||
                                   !tern_exclusive_publication_is_connected(pinger->publication))) {
        if (sample_now_ns() > deadline_ns) {
            error = (struct tern_error){-1, "no pong there"};
            sample_fail("ping", &error);
        }
        sample_sleep_ns(SAMPLE_NS_PER_S / 1000);
    }
}

int main(int argc, char **argv) {
    struct sample_options options = {
        .channel = "aeron:udp?endpoint=localhost:20123",
        .reply_channel = "aeron:udp?endpoint=localhost:20124",
        .stream_id = 1002,
        .length = 32,
        .count = 10000,
    };
    sample_init(&options, argc, argv, usage);
    struct pinger pinger = {0};
    open_channels(&pinger, &options);
    uint8_t *message = calloc(1, (size_t)options.length);
    int64_t *times_ns = calloc((size_t)options.count + 1, sizeof *times_ns);
    if (message == NULL || times_ns == NULL || pinger.assembler == NULL) {
        return 1;
    }
    int64_t count = 0;
    bool is_going_on = true;
    for (int64_t i = 0; is_going_on && i < WARM_UP_COUNT; i++) {
        is_going_on = round_trip(&pinger, message, options.length) >= 0;
    }
    while (is_going_on && count < options.count) {
        times_ns[count] = round_trip(&pinger, message, options.length);
        is_going_on = times_ns[count] >= 0;
        count += is_going_on;
    }
    if (count > 0) {
        report(times_ns, count);
    }
    if (!is_going_on) {
        (void)fprintf(stderr, "ping: message %" PRId64 " was not answered\n", pinger.expected);
    }
    free(message);
    free(times_ns);
    tern_exclusive_publication_close(pinger.publication);
    tern_subscription_close(pinger.subscription);
    tern_fragment_assembler_destroy(pinger.assembler);
    tern_client_close(pinger.client);
    return is_going_on ? 0 : 1;
}

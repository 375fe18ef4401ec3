/* measure_cluster NAME RTT_FLOOR RATE_FLOOR ENDPOINTS LENGTH COUNT SECONDS: an echo service, asked
 * by one session: round trips one at a time (NAME_rtt), then as many messages as go through with a
 * window under way (NAME_rate). ENDPOINTS is "0=host:port,...".
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <tern/cluster.h>

#include "bench/bench.h"
#include "bench/link.h"

#define MESSAGE_MAX 1024
#define WARM_UP 50
#define WINDOW 256
#define POLL_LIMIT 50
#define GIVE_UP_NS INT64_C(10000000000)
#define NS_PER_S INT64_C(1000000000)

struct asker {
    tern_cluster *cluster;
    int64_t answered; /* number of the last answer */
    int32_t length;
    uint8_t message[MESSAGE_MAX];
};

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct asker *asker = context;
    (void)timestamp;
    (void)header;
    if (length == asker->length) {
        memcpy(&asker->answered, buffer, sizeof asker->answered);
    }
}

static int poll(struct asker *asker) {
    int work = tern_cluster_poll(asker->cluster, POLL_LIMIT);
    if (tern_cluster_is_closed(asker->cluster)) {
        struct tern_error error = {0};
        (void)tern_cluster_status(asker->cluster, &error);
        link_fail("session lost", &error);
    }
    return work;
}

static int64_t offer(struct asker *asker, int64_t number) {
    memcpy(asker->message, &number, sizeof number);
    return tern_cluster_offer(asker->cluster, asker->message, asker->length);
}

static void ask(struct asker *asker, int64_t number) {
    int64_t start_ns = bench_now_ns();
    while (offer(asker, number) <= 0) {
        (void)poll(asker);
    }
    while (asker->answered != number) {
        if (poll(asker) == 0) {
            (void)sched_yield();
            if (bench_now_ns() - start_ns > GIVE_UP_NS) {
                bench_fail("no answer");
            }
        }
    }
}

static void measure_round_trips(struct asker *asker, int64_t count, const char *name,
                                const char *floor) {
    struct bench_samples samples;
    char row[128];
    bench_samples_init(&samples, (size_t)count);
    for (int64_t i = 1; i <= count + WARM_UP; i++) {
        int64_t start_ns = bench_now_ns();
        ask(asker, i);
        if (i > WARM_UP) {
            bench_samples_add(&samples, bench_now_ns() - start_ns);
        }
    }
    (void)snprintf(row, sizeof row, "%s_rtt", name);
    bench_print_latency(row, &samples, floor);
    bench_samples_close(&samples);
}

static void measure_rate(struct asker *asker, int64_t seconds, const char *name,
                         const char *floor) {
    char row[128];
    int64_t first = asker->answered;
    int64_t sent = first;
    int64_t start_ns = bench_now_ns();
    int64_t progress_ns = start_ns;
    int64_t now_ns = start_ns;
    while (now_ns - start_ns < seconds * NS_PER_S) {
        int work = poll(asker);
        while (sent - asker->answered < WINDOW && offer(asker, sent + 1) > 0) {
            sent++;
            work++;
        }
        now_ns = bench_now_ns();
        if (work > 0) {
            progress_ns = now_ns;
        } else {
            (void)sched_yield();
            if (now_ns - progress_ns > GIVE_UP_NS) {
                bench_fail("no answer");
            }
        }
    }
    (void)snprintf(row, sizeof row, "%s_rate", name);
    bench_print(row, (double)(asker->answered - first) * 1e9 / (double)(now_ns - start_ns), "msg/s",
                floor);
}

int main(int argc, char **argv) {
    static struct asker asker;
    struct tern_cluster_params params;
    struct tern_error error = {0};
    if (argc != 8) {
        fprintf(stderr, "usage: measure_cluster NAME RTT_FLOOR RATE_FLOOR ENDPOINTS LENGTH COUNT "
                        "SECONDS\n");
        return 64;
    }
    asker.length = (int32_t)link_number(argv[5], 8, MESSAGE_MAX);
    int64_t count = link_number(argv[6], 1, 1000000);
    int64_t seconds = link_number(argv[7], 1, 60);
    tern_client *client = link_client();
    tern_cluster_params_init(&params, client);
    params.ingress_endpoints = argv[4];
    params.egress_channel = "aeron:udp?endpoint=localhost:0";
    params.message_timeout_ns = LINK_TIMEOUT_NS;
    params.client_name = "measure-cluster";
    params.handler_context = &asker;
    params.on_message = on_message;
    asker.cluster = tern_cluster_connect(&params, &error);
    if (asker.cluster == NULL) {
        link_fail("cannot connect to the cluster", &error);
    }
    measure_round_trips(&asker, count, argv[1], argv[2]);
    measure_rate(&asker, seconds, argv[1], argv[3]);
    tern_cluster_close(asker.cluster);
    tern_client_close(client);
    return 0;
}

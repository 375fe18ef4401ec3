/* hold_streams NAME CHANNEL COUNT: the time to add COUNT streams, a subscription and an exclusive
 * publication each, until all are connected. They stay, idle, until standard input ends.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define FIRST_STREAM_ID 5001
#define COUNT_MAX 100000

struct held {
    tern_async *adding_subscription;
    tern_async *adding_publication;
    tern_subscription *subscription;
    tern_exclusive_publication *publication;
};

/* All are asked for before the first answer is looked at. */
static void ask(tern_client *client, const char *channel, struct held *held, int32_t count) {
    struct tern_error error = {0};
    for (int32_t i = 0; i < count; i++) {
        const struct tern_subscription_params params = {.channel = channel,
                                                        .stream_id = FIRST_STREAM_ID + i};
        held[i].adding_subscription = tern_client_async_add_subscription(client, &params, &error);
        held[i].adding_publication =
            tern_client_async_add_exclusive_publication(client, channel, params.stream_id, &error);
        if (held[i].adding_subscription == NULL || held[i].adding_publication == NULL) {
            link_fail(channel, &error);
        }
    }
}

static void await(const char *channel, struct held *held, int32_t count) {
    struct tern_error error = {0};
    for (int32_t i = 0; i < count; i++) {
        int result;
        do {
            (void)sched_yield();
            result = tern_async_poll_subscription(held[i].adding_subscription,
                                                  &held[i].subscription, &error);
        } while (result == 0);
        if (result < 0) {
            link_fail(channel, &error);
        }
        do {
            (void)sched_yield();
            result = tern_async_poll_exclusive_publication(held[i].adding_publication,
                                                           &held[i].publication, &error);
        } while (result == 0);
        if (result < 0) {
            link_fail(channel, &error);
        }
    }
    for (int32_t i = 0; i < count; i++) {
        while (!tern_exclusive_publication_is_connected(held[i].publication)) {
            (void)sched_yield();
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: hold_streams NAME CHANNEL COUNT\n");
        return 64;
    }
    int32_t count = (int32_t)link_number(argv[3], 1, COUNT_MAX);
    struct held *held = calloc((size_t)count, sizeof *held);
    if (held == NULL) {
        bench_fail("no memory");
    }
    tern_client *client = link_client();
    int64_t start_ns = bench_now_ns();
    ask(client, argv[2], held, count);
    await(argv[2], held, count);
    bench_print(argv[1], (double)(bench_now_ns() - start_ns) / 1e6, "ms", "-");
    (void)fflush(stdout);
    while (getchar() != EOF) {
    }
    for (int32_t i = 0; i < count; i++) {
        tern_exclusive_publication_close(held[i].publication);
        tern_subscription_close(held[i].subscription);
    }
    tern_client_close(client);
    free(held);
    return 0;
}

/* hold_streams NAME CHANNEL COUNT: the time to add COUNT streams, a subscription and an exclusive
 * publication each, until all are connected. They stay, idle, until standard input ends.
 */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define FIRST_STREAM_ID 5001
#define COUNT_MAX 100000
#define UNDER_WAY_MAX 500
#define CONNECT_NS INT64_C(60000000000)

struct held {
    tern_async *adding_subscription;
    tern_async *adding_publication;
    tern_subscription *subscription;
    tern_exclusive_publication *publication;
};

/* False while the driver's ring has no room. */
static bool ask(tern_client *client, const char *channel, struct held *held, int32_t stream_id) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    if (held->adding_subscription == NULL) {
        held->adding_subscription = tern_client_async_add_subscription(client, &params, &error);
    }
    if (held->adding_subscription != NULL) {
        held->adding_publication =
            tern_client_async_add_exclusive_publication(client, channel, stream_id, &error);
    }
    if (held->adding_publication == NULL && error.code != TERN_ERROR_DRIVER_BUFFER_FULL) {
        link_fail(channel, &error);
    }
    return held->adding_publication != NULL;
}

static void await_added(const char *channel, struct held *held) {
    struct tern_error error = {0};
    int result;
    while ((result = tern_async_poll_subscription(held->adding_subscription, &held->subscription,
                                                  &error)) == 0) {
        (void)sched_yield();
    }
    if (result < 0) {
        link_fail(channel, &error);
    }
    while ((result = tern_async_poll_exclusive_publication(held->adding_publication,
                                                           &held->publication, &error)) == 0) {
        (void)sched_yield();
    }
    if (result < 0) {
        link_fail(channel, &error);
    }
}

/* So many are under way at a time: a driver holds only so many commands, and its answers have to be
 * read before they are written over. */
static void add(tern_client *client, const char *channel, struct held *held, int32_t count) {
    int32_t asked = 0;
    for (int32_t i = 0; i < count; i++) {
        while (asked < count && asked - i < UNDER_WAY_MAX &&
               ask(client, channel, &held[asked], FIRST_STREAM_ID + asked)) {
            asked++;
        }
        if (asked == i) {
            (void)sched_yield();
            i--;
            continue;
        }
        await_added(channel, &held[i]);
    }
}

static void await_connected(const struct held *held, int32_t count) {
    int64_t start_ns = bench_now_ns();
    for (int32_t i = 0; i < count; i++) {
        while (!tern_exclusive_publication_is_connected(held[i].publication)) {
            if (bench_now_ns() - start_ns > CONNECT_NS) {
                fprintf(stderr, "bench: stream %d of %d is not connected\n", i + 1, count);
                exit(EXIT_FAILURE);
            }
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
    add(client, argv[2], held, count);
    await_connected(held, count);
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

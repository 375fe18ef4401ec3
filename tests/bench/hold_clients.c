/* hold_clients NAME CHANNEL COUNT: the time to connect COUNT clients with a publication each, one
 * after another. They stay, idle, until standard input ends.
 *
 * They are in invoker mode, so that what they cost is the driver's time and not that of threads.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/link.h"

#define FIRST_STREAM_ID 7001
#define COUNT_MAX 10000
/* As often as a client looks at its driver. */
#define ROUND_MS 500

struct held {
    tern_client *client;
    tern_exclusive_publication *publication;
};

static void connect_client(struct held *held, const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    if (context == NULL) {
        link_fail("no context", &error);
    }
    tern_context_set_use_invoker(context, true);
    held->client = tern_client_connect(context, &error);
    tern_context_destroy(context);
    if (held->client == NULL) {
        link_fail("cannot connect to the driver", &error);
    }
    held->publication = tern_client_add_exclusive_publication(held->client, channel, stream_id,
                                                              LINK_TIMEOUT_NS, &error);
    if (held->publication == NULL) {
        link_fail(channel, &error);
    }
}

static void keep_alive(struct held *held, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        (void)tern_client_do_work(held[i].client);
        if (tern_client_is_closed(held[i].client)) {
            bench_fail("a client was closed");
        }
    }
}

static bool is_told_to_end(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, ROUND_MS) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: hold_clients NAME CHANNEL COUNT\n");
        return 64;
    }
    int32_t count = (int32_t)link_number(argv[3], 1, COUNT_MAX);
    struct held *held = calloc((size_t)count, sizeof *held);
    if (held == NULL) {
        bench_fail("no memory");
    }
    int64_t start_ns = bench_now_ns();
    int64_t kept_ns = start_ns;
    for (int32_t i = 0; i < count; i++) {
        connect_client(&held[i], argv[2], FIRST_STREAM_ID + i);
        if (bench_now_ns() - kept_ns > ROUND_MS * INT64_C(1000000)) {
            keep_alive(held, i + 1);
            kept_ns = bench_now_ns();
        }
    }
    bench_print(argv[1], (double)(bench_now_ns() - start_ns) / 1e6, "ms", "-");
    do {
        keep_alive(held, count);
    } while (!is_told_to_end());
    for (int32_t i = 0; i < count; i++) {
        tern_exclusive_publication_close(held[i].publication);
        tern_client_close(held[i].client);
    }
    free(held);
    return 0;
}

/* measure_add NAME CHANNEL COUNT MODE: the time to add COUNT exclusive publications.
 *
 * Mode "single" adds one after the other, as a program does that uses the synchronous calls; mode
 * "pipelined" asks for all of them before it looks at the first answer.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/link.h"

#define FIRST_STREAM_ID 2001
#define COUNT_MAX 100000

static void add_single(tern_client *client, const char *channel, int32_t count,
                       tern_exclusive_publication **added) {
    struct tern_error error = {0};
    for (int32_t i = 0; i < count; i++) {
        added[i] = tern_client_add_exclusive_publication(client, channel, FIRST_STREAM_ID + i,
                                                         LINK_TIMEOUT_NS, &error);
        if (added[i] == NULL) {
            link_fail(channel, &error);
        }
    }
}

static void add_pipelined(tern_client *client, const char *channel, int32_t count,
                          tern_exclusive_publication **added) {
    struct tern_error error = {0};
    tern_async **asked = calloc((size_t)count, sizeof(tern_async *));
    if (asked == NULL) {
        bench_fail("no memory");
    }
    for (int32_t i = 0; i < count; i++) {
        asked[i] = tern_client_async_add_exclusive_publication(client, channel, FIRST_STREAM_ID + i,
                                                               &error);
        if (asked[i] == NULL) {
            link_fail(channel, &error);
        }
    }
    for (int32_t i = 0; i < count; i++) {
        int result;
        while ((result = tern_async_poll_exclusive_publication(asked[i], &added[i], &error)) == 0) {
            (void)sched_yield();
        }
        if (result < 0) {
            link_fail(channel, &error);
        }
    }
    free(asked);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: measure_add NAME CHANNEL COUNT single|pipelined\n");
        return 64;
    }
    int32_t count = (int32_t)link_number(argv[3], 1, COUNT_MAX);
    bool is_pipelined = strcmp(argv[4], "pipelined") == 0;
    tern_exclusive_publication **added = calloc((size_t)count, sizeof *added);
    if (added == NULL) {
        bench_fail("no memory");
    }
    tern_client *client = link_client();
    int64_t start_ns = bench_now_ns();
    if (is_pipelined) {
        add_pipelined(client, argv[2], count, added);
    } else {
        add_single(client, argv[2], count, added);
    }
    int64_t elapsed_ns = bench_now_ns() - start_ns;
    printf("%s\t%.1f\tms\t-\n", argv[1], (double)elapsed_ns / 1e6);
    for (int32_t i = 0; i < count; i++) {
        tern_exclusive_publication_close(added[i]);
    }
    tern_client_close(client);
    free(added);
    return 0;
}

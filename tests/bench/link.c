/* What every measuring program does first: connect to the driver of the run and wait until its
 * publications have a subscriber. */
#include "bench/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/bench.h"

#define LINK_SECONDS_MAX 60

static void pause_briefly(void) {
    const struct timespec pause = {.tv_nsec = 1000000};
    (void)nanosleep(&pause, NULL);
}

void link_fail(const char *what, const struct tern_error *error) {
    fprintf(stderr, "bench: %s: %s\n", what, error->text);
    exit(EXIT_FAILURE);
}

tern_client *link_client(void) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    tern_client *client = context == NULL ? NULL : tern_client_connect(context, &error);
    if (client == NULL) {
        link_fail("cannot connect to the driver", &error);
    }
    tern_context_destroy(context);
    return client;
}

tern_subscription *link_subscribe(tern_client *client, const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, LINK_TIMEOUT_NS, &error);
    if (subscription == NULL) {
        link_fail(channel, &error);
    }
    return subscription;
}

static void check_time(int64_t start_ns, const char *channel) {
    if (bench_now_ns() - start_ns > LINK_TIMEOUT_NS) {
        errno = ETIMEDOUT;
        bench_fail(channel);
    }
    pause_briefly();
}

tern_exclusive_publication *link_publish_exclusive(tern_client *client, const char *channel,
                                                   int32_t stream_id) {
    struct tern_error error = {0};
    tern_exclusive_publication *publication =
        tern_client_add_exclusive_publication(client, channel, stream_id, LINK_TIMEOUT_NS, &error);
    if (publication == NULL) {
        link_fail(channel, &error);
    }
    int64_t start_ns = bench_now_ns();
    while (!tern_exclusive_publication_is_connected(publication)) {
        check_time(start_ns, channel);
    }
    return publication;
}

tern_publication *link_publish_shared(tern_client *client, const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, channel, stream_id, LINK_TIMEOUT_NS, &error);
    if (publication == NULL) {
        link_fail(channel, &error);
    }
    int64_t start_ns = bench_now_ns();
    while (!tern_publication_is_connected(publication)) {
        check_time(start_ns, channel);
    }
    return publication;
}

int64_t link_number(const char *text, int64_t min, int64_t max) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        errno = EINVAL;
        bench_fail(text);
    }
    return value;
}

int64_t link_seconds_ns(const char *text) {
    char *end;
    double seconds = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(seconds > 0 && seconds <= LINK_SECONDS_MAX)) {
        errno = EINVAL;
        bench_fail(text);
    }
    return (int64_t)(seconds * 1e9);
}

/* publisher: sends numbered messages on a channel and stream.
 *
 * Each message begins with its sequence number (int64, little-endian), which subscriber checks.
 * Exit code 0 when all of them were sent, 1 when the driver went away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

static const char usage[] =
    "usage: publisher [-c CHANNEL] [-s STREAM] [-l BYTES] [-n MESSAGES] [-i INTERVAL_US] [-x] "
    "[-q]\n"
    "  -c  default aeron:udp?endpoint=localhost:20121; the driver is that of AERON_DIR\n"
    "  -n  default 0, without end     -x  an exclusive publication     -q  only the summary\n";

struct sender {
    tern_publication *shared;
    tern_exclusive_publication *exclusive;
};

static int64_t offer(const struct sender *sender, const void *message, int32_t length) {
    return sender->exclusive != NULL
               ? tern_exclusive_publication_offer(sender->exclusive, message, length)
               : tern_publication_offer(sender->shared, message, length);
}

/* True when the message was taken; false when it never will be. */
static bool send_message(const struct sender *sender, const uint8_t *message, int32_t length) {
    int idle_count = 0;
    while (sample_is_running()) {
        int64_t result = offer(sender, message, length);
        if (result > 0) {
            return true;
        }
        if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_MAX_POSITION ||
            result == TERN_PUBLICATION_ERROR) {
            (void)fprintf(stderr, "publisher: %s\n", tern_publication_result_name(result));
            return false;
        }
        sample_idle(result == TERN_PUBLICATION_ADMIN_ACTION, &idle_count);
    }
    return false;
}

static struct sender add(tern_client *client, const struct sample_options *options) {
    struct tern_error error;
    struct sender sender = {0};
    if (options->is_exclusive) {
        sender.exclusive = tern_client_add_exclusive_publication(
            client, options->channel, options->stream_id, SAMPLE_TIMEOUT_NS, &error);
    } else {
        sender.shared = tern_client_add_publication(client, options->channel, options->stream_id,
                                                    SAMPLE_TIMEOUT_NS, &error);
    }
    if (sender.shared == NULL && sender.exclusive == NULL) {
        sample_fail(options->channel, &error);
    }
    return sender;
}

int main(int argc, char **argv) {
    struct sample_options options = {
        .channel = "aeron:udp?endpoint=localhost:20121", .stream_id = 1001, .length = 32};
    sample_init(&options, argc, argv, usage);
    tern_client *client = sample_connect();
    struct sender sender = add(client, &options);
    uint8_t *message = calloc(1, (size_t)options.length);
    if (message == NULL) {
        return 1;
    }
    int64_t sent = 0;
    int64_t start_ns = sample_now_ns();
    while (sample_is_running() && (options.count == 0 || sent < options.count)) {
        memcpy(message, &sent, sizeof sent);
        if (!send_message(&sender, message, options.length)) {
            break;
        }
        if (!options.is_quiet) {
            printf("sent %" PRId64 "\n", sent);
        }
        sent++;
        if (options.interval_us > 0) {
            sample_sleep_ns(options.interval_us * 1000);
        }
    }
    double seconds = (double)(sample_now_ns() - start_ns) / (double)SAMPLE_NS_PER_S;
    printf("sent %" PRId64 " messages of %d bytes in %.3f s, %.0f per second\n", sent,
           options.length, seconds, (double)sent / seconds);
    struct tern_error error;
    bool is_lost = tern_client_status(client, &error) != 0;
    if (is_lost) {
        (void)fprintf(stderr, "publisher: %s\n", error.text);
    }
    free(message);
    tern_publication_close(sender.shared);
    tern_exclusive_publication_close(sender.exclusive);
    tern_client_close(client);
    return is_lost || (options.count != 0 && sent < options.count) ? 1 : 0;
}

/* pong: sends every message of ping back as it came, until SIGINT or SIGTERM, or until the driver
 * goes away (exit code 1). */
#include <stdio.h>
#include <string.h>

#include "sample.h"

static const char usage[] =
    "usage: pong [-c CHANNEL] [-r REPLY_CHANNEL] [-s STREAM]\n"
    "  -c  default aeron:udp?endpoint=localhost:20123      -r  default ...:20124\n"
    "  -s  default 1002; the reply has the next stream id\n";

#define FRAGMENT_LIMIT 10

struct ponger {
    tern_exclusive_publication *publication;
};

/* Fragments are echoed one by one, with their flags, so a long message arrives as it was sent. */
static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct ponger *ponger = context;
    struct tern_buffer_claim claim;
    int64_t position;
    do {
        position = tern_exclusive_publication_try_claim(ponger->publication, length, &claim);
    } while ((position == TERN_PUBLICATION_ADMIN_ACTION ||
              position == TERN_PUBLICATION_BACK_PRESSURED) &&
             sample_is_running());
    if (position > 0) {
        tern_buffer_claim_set_flags(&claim, tern_header_flags(header));
        memcpy(claim.data, buffer, (size_t)length);
        tern_buffer_claim_commit(&claim);
    }
}

int main(int argc, char **argv) {
    struct sample_options options = {
        .channel = "aeron:udp?endpoint=localhost:20123",
        .reply_channel = "aeron:udp?endpoint=localhost:20124",
        .stream_id = 1002,
    };
    sample_init(&options, argc, argv, usage);
    struct tern_error error;
    struct ponger ponger = {0};
    tern_client *client = sample_connect();
    const struct tern_subscription_params params = {.channel = options.channel,
                                                    .stream_id = options.stream_id};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, SAMPLE_TIMEOUT_NS, &error);
    if (subscription == NULL) {
        sample_fail(options.channel, &error);
    }
    ponger.publication = tern_client_add_exclusive_publication(
        client, options.reply_channel, options.stream_id + 1, SAMPLE_TIMEOUT_NS, &error);
    if (ponger.publication == NULL) {
        sample_fail(options.reply_channel, &error);
    }
    printf("echoing %s to %s\n", options.channel, options.reply_channel);
    while (sample_is_running() && !tern_client_is_closed(client)) {
        (void)tern_subscription_poll(subscription, on_fragment, &ponger, FRAGMENT_LIMIT);
    }
    bool is_lost = tern_client_status(client, &error) != 0;
    if (is_lost) {
        (void)fprintf(stderr, "pong: %s\n", error.text);
    }
    tern_exclusive_publication_close(ponger.publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    return is_lost ? 1 : 0;
}

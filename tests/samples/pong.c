/* pong: sends every message of ping back as it came, until SIGINT or SIGTERM, or until the driver
 * goes away (exit code 1). */
#include <stdio.h>

#include "sample.h"

static const char usage[] =
    "usage: pong [-c CHANNEL] [-r REPLY_CHANNEL] [-s STREAM]\n"
    "  -c  default aeron:udp?endpoint=localhost:20123      -r  default ...:20124\n"
    "  -s  default 1002; the reply has the next stream id\n";

#define FRAGMENT_LIMIT 10

struct ponger {
    tern_exclusive_publication *publication;
};

/* Whole messages are echoed: fragments of one message must lie in one term, which only an offer of
 * the whole can see to. */
static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct ponger *ponger = context;
    int64_t position;
    (void)header;
    do {
        position = tern_exclusive_publication_offer(ponger->publication, buffer, length);
    } while ((position == TERN_PUBLICATION_ADMIN_ACTION ||
              position == TERN_PUBLICATION_BACK_PRESSURED) &&
             sample_is_running());
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
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &ponger);
    if (assembler == NULL) {
        return 1;
    }
    printf("echoing %s to %s\n", options.channel, options.reply_channel);
    while (sample_is_running() && !tern_client_is_closed(client)) {
        (void)tern_subscription_poll(subscription, tern_fragment_assembler_on_fragment, assembler,
                                     FRAGMENT_LIMIT);
    }
    bool is_lost = tern_client_status(client, &error) != 0;
    if (is_lost) {
        (void)fprintf(stderr, "pong: %s\n", error.text);
    }
    tern_exclusive_publication_close(ponger.publication);
    tern_fragment_assembler_destroy(assembler);
    tern_subscription_close(subscription);
    tern_client_close(client);
    return is_lost ? 1 : 0;
}

/* subscriber: receives the messages of publisher and checks that none is missing or out of order.
 *
 * Messages longer than a fragment are put together by an assembler. Exit code 0 when the numbers of
 * each session went up by one and, with -n, so many messages came; else 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sample.h"

static const char usage[] =
    "usage: subscriber [-c CHANNEL] [-s STREAM] [-n MESSAGES] [-q]\n"
    "  -c  default aeron:udp?endpoint=localhost:20121; the driver is that of AERON_DIR\n"
    "  -n  end after so many messages; default 0, without end      -q  only the summary\n";

#define FRAGMENT_LIMIT 64
#define SESSION_COUNT_MAX 64

struct session {
    int32_t id;
    int64_t next;
};

struct receiver {
    bool is_quiet;
    int64_t count;
    int64_t bytes;
    int64_t gap_count;
    int session_count;
    struct session sessions[SESSION_COUNT_MAX];
};

static struct session *find_session(struct receiver *receiver, int32_t id, int64_t first) {
    for (int i = 0; i < receiver->session_count; i++) {
        if (receiver->sessions[i].id == id) {
            return &receiver->sessions[i];
        }
    }
    if (receiver->session_count == SESSION_COUNT_MAX) {
        return NULL;
    }
    struct session *session = &receiver->sessions[receiver->session_count++];
    *session = (struct session){id, first};
    return session;
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct receiver *receiver = context;
    int64_t sequence = 0;
    if (length < (int32_t)sizeof sequence) {
        return;
    }
    memcpy(&sequence, buffer, sizeof sequence);
    struct session *session = find_session(receiver, tern_header_session_id(header), sequence);
    if (session != NULL) {
        if (sequence != session->next) {
            receiver->gap_count++;
            (void)fprintf(stderr, "session %d: expected %" PRId64 ", got %" PRId64 "\n",
                          session->id, session->next, sequence);
        }
        session->next = sequence + 1;
    }
    receiver->count++;
    receiver->bytes += length;
    if (!receiver->is_quiet) {
        printf("received %" PRId64 ", %d bytes, session %d, position %" PRId64 "\n", sequence,
               length, tern_header_session_id(header), tern_header_position(header));
    }
}

static void on_available(void *context, tern_subscription *subscription, tern_image *image) {
    (void)context;
    (void)subscription;
    printf("image of session %d from %s\n", tern_image_session_id(image),
           tern_image_source_identity(image));
}

static void on_unavailable(void *context, tern_subscription *subscription, tern_image *image) {
    (void)context;
    (void)subscription;
    printf("image of session %d ended at position %" PRId64 "\n", tern_image_session_id(image),
           tern_image_position(image));
}

int main(int argc, char **argv) {
    struct sample_options options = {.channel = "aeron:udp?endpoint=localhost:20121",
                                     .stream_id = 1001};
    sample_init(&options, argc, argv, usage);
    struct tern_error error;
    struct receiver receiver = {.is_quiet = options.is_quiet};
    tern_client *client = sample_connect();
    const struct tern_subscription_params params = {
        .channel = options.channel,
        .stream_id = options.stream_id,
        .on_available_image = on_available,
        .on_unavailable_image = on_unavailable,
    };
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, SAMPLE_TIMEOUT_NS, &error);
    if (subscription == NULL) {
        sample_fail(options.channel, &error);
    }
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &receiver);
    if (assembler == NULL) {
        return 1;
    }
    printf("subscribed to %s stream %d\n", options.channel, options.stream_id);
    int idle_count = 0;
    int64_t start_ns = 0;
    while (sample_is_running() && !tern_client_is_closed(client) &&
           (options.count == 0 || receiver.count < options.count)) {
        int work = tern_subscription_poll(subscription, tern_fragment_assembler_on_fragment,
                                          assembler, FRAGMENT_LIMIT);
        if (start_ns == 0 && work > 0) {
            start_ns = sample_now_ns();
        }
        sample_idle(work, &idle_count);
    }
    double seconds =
        start_ns == 0 ? 0 : (double)(sample_now_ns() - start_ns) / (double)SAMPLE_NS_PER_S;
    printf("received %" PRId64 " messages, %" PRId64 " bytes, %" PRId64 " gaps in %.3f s\n",
           receiver.count, receiver.bytes, receiver.gap_count, seconds);
    bool is_lost = tern_client_status(client, &error) != 0;
    if (is_lost) {
        (void)fprintf(stderr, "subscriber: %s\n", error.text);
    }
    tern_subscription_close(subscription);
    tern_fragment_assembler_destroy(assembler);
    tern_client_close(client);
    return is_lost || receiver.gap_count > 0 || receiver.count < options.count ? 1 : 0;
}

/* One end of a stream through bad weather: test_weather.py runs two of them.
 *
 * usage: weather_peer send CHANNEL
 *        weather_peer receive CHANNEL whole|images
 *
 * Messages have a number, and a length and bytes that follow from it. The sender goes on until
 * SIGTERM, says in a last message how many there were, and keeps its publication until its standard
 * input ends. The receiver ends after the last message; with `whole` every message must come, with
 * `images` some may be missing where one image ends and the next begins. Neither ever accepts a
 * message twice, out of order or with a wrong byte. Both show how far they are in a counter.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <tern/client.h>

#include "race/race.h"

#define STREAM 1001
#define MESSAGE_LENGTH_MAX 4000 /* up to three datagrams */
#define TIMEOUT_NS INT64_C(20000000000)
#define SECONDS_MAX 200
#define COUNTER_TYPE 1101

enum { PRODUCER_DATA, PRODUCER_END };

struct peer {
    tern_client *client;
    tern_counter *progress;
    int64_t image_count; /* the conductor of the client counts */
    bool may_skip;
    int32_t next[1];
    int64_t skipped_count;
    int64_t gap_count;
    bool is_at_end;
};

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

static void require(bool condition, const char *what, const struct tern_error *error) {
    if (!condition) {
        (void)fprintf(stderr, "%s: %s\n", what, error->text);
        exit(1);
    }
}

static void nap(void) {
    (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void show(const struct peer *peer, int64_t value) {
    __atomic_store_n(tern_counter_address(peer->progress), value, __ATOMIC_RELEASE);
}

static struct peer open_peer(const char *label) {
    struct tern_error error = {0};
    struct peer peer = {0};
    tern_context *context = tern_context_create(&error);
    require(context != NULL, "context", &error);
    peer.client = tern_client_connect(context, &error);
    require(peer.client != NULL, "connect", &error);
    tern_context_destroy(context);
    const struct tern_counter_params params = {
        .type_id = COUNTER_TYPE, .label = label, .label_length = (int32_t)strlen(label)};
    peer.progress = tern_client_add_counter(peer.client, &params, TIMEOUT_NS, &error);
    require(peer.progress != NULL, "counter", &error);
    return peer;
}

/* -- sender -- */

static void offer(const struct peer *peer, tern_exclusive_publication *publication,
                  const uint8_t *message, int32_t length) {
    struct tern_error error = {0};
    while (tern_exclusive_publication_offer(publication, message, length) <= 0) {
        require(tern_client_status(peer->client, &error) == 0, "send", &error);
        nap();
    }
}

static int send_messages(const char *channel) {
    struct tern_error error = {0};
    struct peer peer = open_peer("weather sent");
    tern_exclusive_publication *publication =
        tern_client_add_exclusive_publication(peer.client, channel, STREAM, TIMEOUT_NS, &error);
    require(publication != NULL, channel, &error);
    uint8_t message[MESSAGE_LENGTH_MAX];
    int32_t count = 0;
    while (is_stopped == 0) {
        int32_t length = message_length(PRODUCER_DATA, count, MESSAGE_LENGTH_MAX);
        message_fill(message, PRODUCER_DATA, count, length);
        offer(&peer, publication, message, length);
        show(&peer, ++count);
    }
    message_fill(message, PRODUCER_END, count, 8);
    offer(&peer, publication, message, 8);
    printf("sent %d\n", count);
    (void)fflush(stdout);
    while (getchar() != EOF) {
    }
    tern_exclusive_publication_close(publication);
    tern_counter_close(peer.progress);
    tern_client_close(peer.client);
    return 0;
}

/* -- receiver -- */

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    struct peer *peer = context;
    (void)subscription;
    (void)image;
    (void)__atomic_add_fetch(&peer->image_count, 1, __ATOMIC_RELAXED);
}

static void skip_to(struct peer *peer, int32_t number) {
    if (peer->may_skip && number > peer->next[0]) {
        peer->skipped_count += number - peer->next[0];
        peer->gap_count++;
        peer->next[0] = number;
    }
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct peer *peer = context;
    int32_t producer;
    int32_t number;
    (void)header;
    CHECK(length >= 8);
    CHECK(!peer->is_at_end);
    memcpy(&producer, buffer, sizeof producer);
    memcpy(&number, buffer + 4, sizeof number);
    skip_to(peer, number);
    if (producer == PRODUCER_END) {
        CHECK(number == peer->next[0]);
        peer->is_at_end = true;
        return;
    }
    CHECK(length == message_length(PRODUCER_DATA, number, MESSAGE_LENGTH_MAX));
    message_check(buffer, length, peer->next, 1);
    show(peer, peer->next[0]);
}

static int receive_messages(const char *channel, bool may_skip) {
    struct tern_error error = {0};
    struct peer peer = open_peer("weather received");
    peer.may_skip = may_skip;
    const struct tern_subscription_params params = {.channel = channel,
                                                    .stream_id = STREAM,
                                                    .on_available_image = on_image,
                                                    .handler_context = &peer};
    tern_subscription *subscription =
        tern_client_add_subscription(peer.client, &params, TIMEOUT_NS, &error);
    require(subscription != NULL, channel, &error);
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &peer);
    CHECK(assembler != NULL);
    while (!peer.is_at_end) {
        if (tern_subscription_poll(subscription, tern_fragment_assembler_on_fragment, assembler,
                                   64) == 0) {
            require(tern_client_status(peer.client, &error) == 0, "receive", &error);
            (void)tern_subscription_wait(subscription, TIMEOUT_NS / 1000);
        }
    }
    tern_subscription_close(subscription);
    printf("received %" PRId64 " skipped %" PRId64 " gaps %" PRId64 " images %" PRId64 "\n",
           peer.next[0] - peer.skipped_count, peer.skipped_count, peer.gap_count,
           __atomic_load_n(&peer.image_count, __ATOMIC_RELAXED));
    tern_fragment_assembler_destroy(assembler);
    tern_counter_close(peer.progress);
    tern_client_close(peer.client);
    return 0;
}

int main(int argc, char **argv) {
    (void)signal(SIGTERM, on_signal);
    (void)alarm(SECONDS_MAX);
    if (argc == 3 && strcmp(argv[1], "send") == 0) {
        return send_messages(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "receive") == 0) {
        return receive_messages(argv[2], strcmp(argv[3], "images") == 0);
    }
    (void)fprintf(stderr, "usage: weather_peer send CHANNEL | receive CHANNEL whole|images\n");
    return 64;
}

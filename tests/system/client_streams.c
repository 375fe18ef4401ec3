/* The client against a real driver: messages, back pressure, the ends of streams.
 *
 * usage: client_streams DRIVER [TEST]; each test has a driver of its own. The same exchanges run
 * over IPC and over UDP on loopback.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001
#define MESSAGE_MAX 32768 /* an eighth of the term length */

struct channel {
    char text[128];
};

/* A port of this process' own. */
static struct channel udp_channel(void) {
    struct channel channel;
    (void)snprintf(channel.text, sizeof channel.text, "aeron:udp?endpoint=127.0.0.1:%d",
                   20000 + (int)getpid() % 10000);
    return channel;
}

static tern_publication *add_publication(tern_client *client, const char *channel) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, channel, STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static tern_exclusive_publication *add_exclusive(tern_client *client, const char *channel) {
    struct tern_error error = {0};
    tern_exclusive_publication *publication =
        tern_client_add_exclusive_publication(client, channel, STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static tern_subscription *add_subscription(tern_client *client, const char *channel) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = channel, .stream_id = STREAM};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    return subscription;
}

static bool is_publication_connected(void *publication) {
    return tern_publication_is_connected(publication);
}

static bool is_exclusive_connected(void *publication) {
    return tern_exclusive_publication_is_connected(publication);
}

static bool is_subscription_connected(void *subscription) {
    return tern_subscription_is_connected(subscription);
}

static bool is_subscription_lonely(void *subscription) {
    return tern_subscription_image_count(subscription) == 0;
}

/* -- every length, every way to send ------------------------------------------------------------
 */

static uint8_t byte_at(int64_t number, int32_t offset) {
    return (uint8_t)(number * 31 + offset * 7 + (offset >> 8));
}

struct reader {
    const int32_t *lengths;
    int64_t count;
    int64_t next;
    unsigned aborts; /* every so manieth delivery is refused once */
    unsigned calls;
};

static enum tern_controlled_action on_message(void *context, const uint8_t *buffer, int32_t length,
                                              const tern_header *header) {
    struct reader *reader = context;
    int32_t expected = reader->lengths[reader->next % reader->count];
    if (++reader->calls % 7 == 0) {
        reader->aborts++;
        return TERN_ACTION_ABORT;
    }
    REQUIRE(length == expected, "message %" PRId64 " has %d bytes, not %d", reader->next, length,
            expected);
    REQUIRE(tern_header_frame_length(header) == length + 32, "frame length");
    for (int32_t i = 0; i < length; i++) {
        REQUIRE(buffer[i] == byte_at(reader->next, i), "message %" PRId64 " byte %d", reader->next,
                i);
    }
    reader->next++;
    return TERN_ACTION_CONTINUE;
}

struct writer {
    tern_publication *shared;
    tern_exclusive_publication *exclusive;
    int32_t payload_max;
};

static int64_t claim(const struct writer *writer, const uint8_t *message, int32_t length) {
    struct tern_buffer_claim claim;
    int64_t position =
        writer->shared != NULL
            ? tern_publication_try_claim(writer->shared, length, &claim)
            : tern_exclusive_publication_try_claim(writer->exclusive, length, &claim);
    if (position > 0) {
        memcpy(claim.data, message, (size_t)length);
        tern_buffer_claim_commit(&claim);
    }
    return position;
}

/* By turns offer, offerv and, when it fits, claim. */
static int64_t send_somehow(const struct writer *writer, int64_t number, uint8_t *message,
                            int32_t length) {
    const struct iovec parts[] = {{message, (size_t)length / 3},
                                  {message + length / 3, (size_t)(length - length / 3)}};
    if (number % 3 == 1) {
        return writer->shared != NULL
                   ? tern_publication_offerv(writer->shared, parts, 2, NULL, NULL)
                   : tern_exclusive_publication_offerv(writer->exclusive, parts, 2, NULL, NULL);
    }
    if (number % 3 == 2 && length <= writer->payload_max) {
        return claim(writer, message, length);
    }
    return writer->shared != NULL
               ? tern_publication_offer(writer->shared, message, length)
               : tern_exclusive_publication_offer(writer->exclusive, message, length);
}

/* One thread sends and polls, so that back pressure resolves itself. */
static void exchange(const struct writer *writer, tern_subscription *subscription) {
    static const int32_t lengths[] = {1,    0,    31,   32,   33,    1000,       1375,
                                      1376, 1377, 2752, 2753, 10000, MESSAGE_MAX};
    struct reader reader = {lengths, sizeof lengths / sizeof *lengths, 0, 0, 0};
    tern_controlled_fragment_assembler *assembler =
        tern_controlled_fragment_assembler_create(on_message, &reader);
    static uint8_t message[MESSAGE_MAX];
    const int64_t total = 2000; /* about 37 terms */
    int64_t sent = 0;
    int64_t deadline_ns = test_now_ns() + 3 * TEST_TIMEOUT_NS;
    while (reader.next < total) {
        int32_t length = lengths[sent % reader.count];
        if (sent < total) {
            for (int32_t i = 0; i < length; i++) {
                message[i] = byte_at(sent, i);
            }
            int64_t position = send_somehow(writer, sent, message, length);
            REQUIRE(position > 0 || position == TERN_PUBLICATION_BACK_PRESSURED ||
                        position == TERN_PUBLICATION_ADMIN_ACTION,
                    "%s", tern_publication_result_name(position));
            sent += position > 0;
        }
        (void)tern_subscription_controlled_poll(
            subscription, tern_controlled_fragment_assembler_on_fragment, assembler, 100);
        REQUIRE(test_now_ns() < deadline_ns, "stuck at %" PRId64 " of %" PRId64, reader.next, sent);
    }
    REQUIRE(reader.aborts > 0, "no delivery was refused");
    REQUIRE(tern_controlled_fragment_assembler_dropped_count(assembler) == 0, "dropped messages");
    tern_controlled_fragment_assembler_destroy(assembler);
}

static void exchange_over(const char *program, const char *channel) {
    struct driver_process driver = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_subscription *subscription = add_subscription(client, channel);
    tern_publication *shared = add_publication(client, channel);
    REQUIRE(test_wait(is_publication_connected, shared), "connected");
    REQUIRE(test_wait(is_subscription_connected, subscription), "image");
    exchange(&(struct writer){shared, NULL, tern_publication_payload_length_max(shared)},
             subscription);
    tern_publication_close(shared);
    REQUIRE(test_wait(is_subscription_lonely, subscription), "the image goes");
    tern_exclusive_publication *exclusive = add_exclusive(client, channel);
    REQUIRE(test_wait(is_exclusive_connected, exclusive), "connected");
    REQUIRE(test_wait(is_subscription_connected, subscription), "image");
    exchange(
        &(struct writer){NULL, exclusive, tern_exclusive_publication_payload_length_max(exclusive)},
        subscription);
    tern_exclusive_publication_close(exclusive);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void every_length_over_ipc(const char *program) {
    exchange_over(program, "aeron:ipc");
}

static void every_length_over_udp(const char *program) {
    struct channel channel = udp_channel();
    exchange_over(program, channel.text);
}

/* -- many writers -------------------------------------------------------------------------------
 */

#define WRITER_COUNT 4
#define MESSAGES_PER_WRITER 20000

struct shared_writer {
    tern_publication *publication;
    int64_t id;
};

static void *write_numbers(void *argument) {
    const struct shared_writer *writer = argument;
    for (int64_t i = 0; i < MESSAGES_PER_WRITER;) {
        const int64_t message[2] = {writer->id, i};
        int64_t position = tern_publication_offer(writer->publication, message, sizeof message);
        if (position > 0) {
            i++;
        } else if (position != TERN_PUBLICATION_ADMIN_ACTION) {
            REQUIRE(position == TERN_PUBLICATION_BACK_PRESSURED, "%s",
                    tern_publication_result_name(position));
            test_sleep_ms(1);
        }
    }
    return NULL;
}

static void on_number(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    int64_t *next = context;
    int64_t message[2];
    (void)header;
    REQUIRE(length == sizeof message, "length %d", length);
    memcpy(message, buffer, sizeof message);
    REQUIRE(message[1] == next[message[0]], "writer %" PRId64 ": %" PRId64 " instead of %" PRId64,
            message[0], message[1], next[message[0]]);
    next[message[0]]++;
}

static void many_writers_share_a_log(const char *program) {
    struct driver_process driver = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_client *other = driver_process_connect(&driver);
    tern_subscription *subscription = add_subscription(client, "aeron:ipc");
    struct shared_writer writers[WRITER_COUNT];
    pthread_t threads[WRITER_COUNT];
    for (int i = 0; i < WRITER_COUNT; i++) {
        writers[i] =
            (struct shared_writer){add_publication(i % 2 == 0 ? client : other, "aeron:ipc"), i};
        REQUIRE(tern_publication_session_id(writers[i].publication) ==
                    tern_publication_session_id(writers[0].publication),
                "one session");
    }
    REQUIRE(test_wait(is_subscription_connected, subscription), "image");
    for (int i = 0; i < WRITER_COUNT; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, write_numbers, &writers[i]) == 0, "thread");
    }
    int64_t next[WRITER_COUNT] = {0};
    int64_t count = 0;
    int64_t deadline_ns = test_now_ns() + 3 * TEST_TIMEOUT_NS;
    while (count < WRITER_COUNT * MESSAGES_PER_WRITER) {
        count += tern_subscription_poll(subscription, on_number, next, 256);
        REQUIRE(test_now_ns() < deadline_ns, "stuck at %" PRId64, count);
    }
    for (int i = 0; i < WRITER_COUNT; i++) {
        (void)pthread_join(threads[i], NULL);
        tern_publication_close(writers[i].publication);
    }
    tern_subscription_close(subscription);
    tern_client_close(other);
    tern_client_close(client);
    driver_process_close(&driver);
}

/* -- back pressure, ends ------------------------------------------------------------------------
 */

static void on_nothing(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)buffer;
    (void)header;
    if (context != NULL) {
        *(int64_t *)context += length;
    }
}

static int64_t offer_until_refused(tern_publication *publication) {
    static const uint8_t message[1000];
    int64_t position;
    do {
        position = tern_publication_offer(publication, message, sizeof message);
    } while (position > 0 || position == TERN_PUBLICATION_ADMIN_ACTION);
    return position;
}

static bool is_disconnected(void *publication) {
    return !tern_publication_is_connected(publication);
}

static void a_slow_reader_presses_back_and_a_gone_one_disconnects(const char *program) {
    struct driver_process driver = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_publication *publication = add_publication(client, "aeron:ipc");
    REQUIRE(offer_until_refused(publication) == TERN_PUBLICATION_NOT_CONNECTED, "no reader yet");
    tern_subscription *subscription = add_subscription(client, "aeron:ipc");
    REQUIRE(test_wait(is_publication_connected, publication), "connected");
    REQUIRE(test_wait(is_subscription_connected, subscription), "image");
    for (int i = 0; i < 20; i++) {
        REQUIRE(offer_until_refused(publication) == TERN_PUBLICATION_BACK_PRESSURED, "refusal");
        int64_t bytes = 0;
        while (tern_subscription_poll(subscription, on_nothing, &bytes, 100) > 0) {
        }
        REQUIRE(bytes > 0 || i > 0, "what was sent is there");
    }
    tern_subscription_close(subscription);
    REQUIRE(test_wait(is_disconnected, publication), "disconnected");
    REQUIRE(offer_until_refused(publication) == TERN_PUBLICATION_NOT_CONNECTED, "reader gone");
    tern_publication_close(publication);
    tern_client_close(client);
    driver_process_close(&driver);
}

struct image_events {
    int64_t available; /* atomic: the conductor counts */
    int64_t unavailable;
    tern_image *image;
};

static void on_available(void *context, tern_subscription *subscription, tern_image *image) {
    struct image_events *events = context;
    (void)subscription;
    tern_image_retain(image);
    events->image = image;
    (void)__atomic_add_fetch(&events->available, 1, __ATOMIC_ACQ_REL);
}

static void on_unavailable(void *context, tern_subscription *subscription, tern_image *image) {
    struct image_events *events = context;
    (void)subscription;
    (void)image;
    (void)__atomic_add_fetch(&events->unavailable, 1, __ATOMIC_ACQ_REL);
}

static bool is_image_there(void *context) {
    return __atomic_load_n(&((struct image_events *)context)->available, __ATOMIC_ACQUIRE) > 0;
}

static bool is_image_gone(void *context) {
    return __atomic_load_n(&((struct image_events *)context)->unavailable, __ATOMIC_ACQUIRE) > 0;
}

static tern_subscription *add_watched(tern_client *client, const char *channel,
                                      struct image_events *events) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {channel, STREAM, on_available, on_unavailable,
                                                    events};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    return subscription;
}

static bool is_ended(void *image) {
    return tern_image_is_end_of_stream(image);
}

/* Read to the end after the writer left, from the image that the handler kept. */
static void end_over(const char *program, const char *channel) {
    struct driver_process driver = {0};
    struct image_events events = {0};
    driver_process_start(&driver, program,
                         (const char *const[]){"AERON_PUBLICATION_LINGER_TIMEOUT=100ms", NULL});
    tern_client *writer = driver_process_connect(&driver);
    tern_client *reader = driver_process_connect(&driver);
    tern_subscription *subscription = add_watched(reader, channel, &events);
    tern_publication *publication = add_publication(writer, channel);
    REQUIRE(test_wait(is_publication_connected, publication), "connected");
    REQUIRE(test_wait(is_image_there, &events), "image");
    for (int i = 0; i < 10; i++) {
        REQUIRE(tern_publication_offer(publication, "0123456789", 10) == 64 * (i + 1), "offer");
    }
    tern_publication_close(publication);
    int64_t bytes = 0;
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (bytes < 100) {
        (void)tern_image_poll(events.image, on_nothing, &bytes, 1);
        REQUIRE(test_now_ns() < deadline_ns, "bytes %" PRId64, bytes);
    }
    REQUIRE(test_wait(is_ended, events.image), "end of stream");
    REQUIRE(test_wait(is_image_gone, &events), "the image goes");
    REQUIRE(tern_image_is_closed(events.image), "closed");
    REQUIRE(tern_image_position(events.image) == 640, "position %" PRId64,
            tern_image_position(events.image));
    REQUIRE(tern_image_is_end_of_stream(events.image), "still at the end");
    REQUIRE(!tern_image_is_revoked(events.image), "not revoked");
    tern_image_release(events.image);
    tern_subscription_close(subscription);
    tern_client_close(reader);
    tern_client_close(writer);
    driver_process_close(&driver);
}

static void a_stream_is_read_to_its_end_over_ipc(const char *program) {
    end_over(program, "aeron:ipc");
}

static void a_stream_is_read_to_its_end_over_udp(const char *program) {
    struct channel channel = udp_channel();
    end_over(program, channel.text);
}

static void a_revoked_stream_ends_at_once(const char *program) {
    struct driver_process driver = {0};
    struct image_events events = {0};
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_subscription *subscription = add_watched(client, "aeron:ipc", &events);
    tern_exclusive_publication *publication = add_exclusive(client, "aeron:ipc");
    REQUIRE(test_wait(is_image_there, &events), "image");
    REQUIRE(tern_exclusive_publication_offer(publication, "unread", 6) == 64, "offer");
    tern_exclusive_publication_revoke(publication);
    REQUIRE(test_wait(is_image_gone, &events), "the image goes");
    REQUIRE(tern_image_is_revoked(events.image), "revoked");
    REQUIRE(tern_image_position(events.image) == 0, "unread");
    tern_image_release(events.image);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void on_raw_block(void *context, const struct tern_raw_block *block) {
    char text[64];
    REQUIRE(block->length == (int32_t)sizeof text, "%d bytes", block->length);
    REQUIRE(pread(block->descriptor, text, sizeof text, block->file_offset) == sizeof text,
            "the file");
    REQUIRE(memcmp(text, block->block, sizeof text) == 0, "file and memory");
    REQUIRE(memcmp(text + 32, "a message", 9) == 0, "the message");
    *(int *)context += 1;
}

/* Blocks are found in the driver's file; closing revokes when that was asked for. */
static void a_stream_is_read_from_its_file(const char *program) {
    struct driver_process driver = {0};
    struct image_events events = {0};
    int blocks = 0;
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_subscription *subscription = add_watched(client, "aeron:ipc", &events);
    tern_exclusive_publication *publication = add_exclusive(client, "aeron:ipc");
    REQUIRE(test_wait(is_image_there, &events), "image");
    REQUIRE(tern_exclusive_publication_offer(publication, "a message", 9) == 64, "offer");
    while (tern_subscription_wait(subscription, TEST_TIMEOUT_NS) != 1) {
        REQUIRE(!tern_subscription_is_closed(subscription), "closed");
    }
    REQUIRE(tern_subscription_raw_poll(subscription, on_raw_block, &blocks, 4096) == 64, "poll");
    REQUIRE(blocks == 1, "%d", blocks);
    tern_exclusive_publication_set_revoke_on_close(publication, true);
    tern_exclusive_publication_close(publication);
    REQUIRE(test_wait(is_image_gone, &events), "the image goes");
    REQUIRE(tern_image_is_revoked(events.image), "revoked");
    tern_image_release(events.image);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void on_publication_error(void *context, const struct tern_publication_error *error) {
    REQUIRE(error->error_code == 13, "code %d", error->error_code);
    REQUIRE(strstr(error->text, "not wanted") != NULL, "%s", error->text);
    (void)__atomic_add_fetch((int64_t *)context, 1, __ATOMIC_ACQ_REL);
}

static bool is_positive(void *count) {
    return __atomic_load_n((int64_t *)count, __ATOMIC_ACQUIRE) > 0;
}

static void a_rejected_image_tells_its_publisher(const char *program) {
    struct driver_process driver = {0};
    struct image_events events = {0};
    int64_t error_count = 0;
    driver_process_start(&driver, program, NULL);
    tern_context *context = driver_process_context(&driver);
    tern_context_set_publication_error_handler(context, on_publication_error, &error_count);
    tern_client *client = tern_client_connect(context, NULL);
    tern_context_destroy(context);
    tern_subscription *subscription = add_watched(client, "aeron:ipc", &events);
    tern_publication *publication = add_publication(client, "aeron:ipc");
    REQUIRE(test_wait(is_image_there, &events), "image");
    REQUIRE(tern_image_reject(events.image, "not wanted", NULL) == 0, "reject");
    REQUIRE(test_wait(is_image_gone, &events), "the image goes");
    REQUIRE(test_wait(is_positive, &error_count), "the publisher hears of it");
    REQUIRE(test_wait(is_disconnected, publication), "disconnected");
    tern_image_release(events.image);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

/* -- UDP: destinations, wildcard ports, spies ---------------------------------------------------
 */

static bool is_active(void *subscription) {
    return tern_subscription_channel_status(subscription) == TERN_CHANNEL_STATUS_ACTIVE;
}

static void resolve(tern_subscription *subscription, char channel[256]) {
    REQUIRE(test_wait(is_active, subscription), "channel active");
    int length = tern_subscription_resolved_channel(subscription, channel, 256);
    REQUIRE(length > 0, "length %d", length);
    REQUIRE(strstr(channel, ":0") == NULL, "%s", channel);
}

static void require_delivery(tern_publication *publication, tern_subscription *subscription) {
    int64_t bytes = 0;
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (tern_publication_offer(publication, "0123456789", 10) < 0) {
        REQUIRE(test_now_ns() < deadline_ns, "offer");
    }
    while (bytes < 10) {
        (void)tern_subscription_poll(subscription, on_nothing, &bytes, 10);
        REQUIRE(test_now_ns() < deadline_ns, "poll");
    }
}

static void a_wildcard_port_is_told(const char *program) {
    struct driver_process driver = {0};
    char channel[256];
    char addresses[2][TERN_ADDRESS_TEXT_MAX];
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    tern_subscription *subscription = add_subscription(client, "aeron:udp?endpoint=127.0.0.1:0");
    resolve(subscription, channel);
    REQUIRE(tern_subscription_local_addresses(subscription, addresses, 2) == 1, "one address");
    REQUIRE(strstr(channel, addresses[0]) != NULL, "%s and %s", channel, addresses[0]);
    tern_publication *publication = add_publication(client, channel);
    REQUIRE(tern_publication_local_addresses(publication, addresses, 2) == 1, "one address");
    REQUIRE(tern_publication_channel_status(publication) == TERN_CHANNEL_STATUS_ACTIVE, "status");
    require_delivery(publication, subscription);
    tern_image *image = tern_subscription_image_at_index(subscription, 0);
    REQUIRE(strcmp(tern_image_source_identity(image), addresses[0]) == 0, "from %s, not %s",
            tern_image_source_identity(image), addresses[0]);
    tern_image_release(image);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void require_destination(tern_client *client, tern_async *async) {
    struct tern_error error = {0};
    int result = tern_client_await_destination(client, async, TEST_TIMEOUT_NS, &error);
    REQUIRE(result == 0, "%d %s", result, error.text);
}

/* An image goes only when what it holds was read. */
static bool is_read_and_lonely(void *subscription) {
    (void)tern_subscription_poll(subscription, on_nothing, NULL, 10);
    return tern_subscription_image_count(subscription) == 0;
}

static void destinations_are_added_and_removed(const char *program) {
    struct driver_process driver = {0};
    struct tern_error error = {0};
    char first_channel[256];
    char second_channel[256];
    driver_process_start(&driver, program,
                         (const char *const[]){"AERON_IMAGE_LIVENESS_TIMEOUT=300ms", NULL});
    tern_client *client = driver_process_connect(&driver);
    tern_subscription *first = add_subscription(client, "aeron:udp?endpoint=127.0.0.1:0");
    tern_subscription *second = add_subscription(client, "aeron:udp?endpoint=127.0.0.1:0");
    resolve(first, first_channel);
    resolve(second, second_channel);
    /* The second handle of one log: destinations are those of the log. */
    tern_publication *original = add_publication(client, "aeron:udp?control-mode=manual|tags=1");
    tern_publication *publication = add_publication(client, "aeron:udp?tags=1");
    REQUIRE(tern_publication_original_registration_id(publication) ==
                tern_publication_registration_id(original),
            "one log");
    tern_async *async = tern_publication_async_add_destination(publication, first_channel, &error);
    REQUIRE(async != NULL, "%s", error.text);
    int64_t first_id = tern_async_registration_id(async);
    require_destination(client, async);
    require_destination(
        client, tern_publication_async_add_destination(publication, second_channel, &error));
    require_delivery(publication, first);
    require_delivery(publication, second);
    require_destination(
        client, tern_publication_async_remove_destination_by_id(publication, first_id, &error));
    REQUIRE(test_wait(is_read_and_lonely, first), "the first image goes");
    require_delivery(publication, second);
    require_destination(
        client, tern_publication_async_remove_destination(publication, second_channel, &error));
    REQUIRE(test_wait(is_read_and_lonely, second), "the second image goes");
    int result =
        tern_client_await_destination(client,
                                      tern_publication_async_add_destination(
                                          publication, "aeron:udp?endpoint=127.0.0.1:0", &error),
                                      TEST_TIMEOUT_NS, &error);
    REQUIRE(result <= -2001, "port 0: %d %s", result, error.text);
    tern_publication_close(original);
    tern_publication_close(publication);
    tern_subscription_close(first);
    tern_subscription_close(second);
    tern_client_close(client);
    driver_process_close(&driver);
}

static void a_spy_reads_what_is_sent(const char *program) {
    struct driver_process driver = {0};
    struct channel channel = udp_channel();
    char text[200];
    driver_process_start(&driver, program, NULL);
    tern_client *client = driver_process_connect(&driver);
    (void)snprintf(text, sizeof text, "%s|ssc=true", channel.text);
    tern_publication *publication = add_publication(client, text);
    (void)snprintf(text, sizeof text, "aeron-spy:%s", channel.text);
    tern_subscription *spy = add_subscription(client, text);
    REQUIRE(tern_subscription_channel_status(spy) == TERN_CHANNEL_STATUS_ACTIVE, "status");
    REQUIRE(test_wait(is_subscription_connected, spy), "image");
    require_delivery(publication, spy);
    tern_image *image = tern_subscription_image_at_index(spy, 0);
    REQUIRE(strcmp(tern_image_source_identity(image), "aeron:ipc") == 0, "%s",
            tern_image_source_identity(image));
    REQUIRE(tern_image_correlation_id(image) == tern_publication_registration_id(publication),
            "image id");
    tern_image_release(image);
    tern_publication_close(publication);
    tern_subscription_close(spy);
    tern_client_close(client);
    driver_process_close(&driver);
}

/* The image of the reader that left says farewell to the sender while the next reader's image is
 * there already: the sender must not take it for the end of both. */
static void a_new_reader_of_an_old_stream_keeps_its_writer(const char *program) {
    struct driver_process driver = {0};
    struct channel channel = udp_channel();
    driver_process_start(&driver, program, (const char *const[]){"AERON_TIMER_INTERVAL=1s", NULL});
    tern_client *client = driver_process_connect(&driver);
    tern_publication *publication = add_publication(client, channel.text);
    for (int round = 0; round < 3; round++) {
        test_sleep_ms(100 * round); /* the two images speak at different times in each round */
        tern_subscription *subscription = add_subscription(client, channel.text);
        REQUIRE(test_wait(is_subscription_connected, subscription), "image");
        REQUIRE(test_wait(is_publication_connected, publication), "connected");
        int64_t end_ns = test_now_ns() + 1500 * TEST_NS_PER_MS;
        while (test_now_ns() < end_ns) {
            REQUIRE(tern_publication_is_connected(publication), "round %d", round);
            test_sleep_ms(1);
        }
        require_delivery(publication, subscription);
        tern_subscription_close(subscription);
    }
    tern_publication_close(publication);
    tern_client_close(client);
    driver_process_close(&driver);
}

static const struct system_test tests[] = {
    {"every length and way to send over IPC", every_length_over_ipc},
    {"every length and way to send over UDP", every_length_over_udp},
    {"many writers share a log", many_writers_share_a_log},
    {"a slow reader presses back and a gone one disconnects",
     a_slow_reader_presses_back_and_a_gone_one_disconnects},
    {"a stream is read to its end over IPC", a_stream_is_read_to_its_end_over_ipc},
    {"a stream is read to its end over UDP", a_stream_is_read_to_its_end_over_udp},
    {"a revoked stream ends at once", a_revoked_stream_ends_at_once},
    {"a stream is read from its file", a_stream_is_read_from_its_file},
    {"a rejected image tells its publisher", a_rejected_image_tells_its_publisher},
    {"a wildcard port is told", a_wildcard_port_is_told},
    {"destinations are added and removed", destinations_are_added_and_removed},
    {"a spy reads what is sent", a_spy_reads_what_is_sent},
    {"a new reader of an old stream keeps its writer",
     a_new_reader_of_an_old_stream_keeps_its_writer},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

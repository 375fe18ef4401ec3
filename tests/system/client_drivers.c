/* Clients of two and three drivers that talk to each other: names, answers, ports, sessions, times.
 *
 * usage: client_drivers DRIVER [TEST]; each test has drivers of its own.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/driver_group.h"

enum { SYSTEM = 0, NAKS_SENT = 5, GAP_FILLS = 23, RESOLUTION_CHANGES = 25 };

static bool is_connected(tern_exclusive_publication *publication) {
    return tern_exclusive_publication_is_connected(publication);
}

/* A setting with a number or a name that only the test knows. */
struct setting {
    char text[256];
};
static struct setting setting(const char *format, ...) PRINTF_LIKE(1, 2);
static struct setting setting(const char *format, ...) {
    struct setting result;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(result.text, sizeof result.text, format, arguments);
    va_end(arguments);
    return result;
}

struct stream {
    tern_subscription *subscription;
    tern_exclusive_publication *publication;
};

static struct stream connect_stream(tern_client *sender, tern_client *receiver, const char *keys) {
    const int port = driver_group_port();
    struct stream stream = {
        driver_group_subscribe(receiver, "aeron:udp?endpoint=127.0.0.1:%d%s", port, keys),
        driver_group_publish(sender, "aeron:udp?endpoint=127.0.0.1:%d", port)};
    REQUIRE_SOON(is_connected(stream.publication), "connected");
    return stream;
}

static void close_stream(struct stream *stream) {
    tern_exclusive_publication_close(stream->publication);
    tern_subscription_close(stream->subscription);
}

/* -- names ------------------------------------------------------------------------------------- */

static void add_gossip(struct driver_group *group, const char *program, const char *name, int port,
                       int neighbor_port) {
    struct setting own_name = setting("AERON_DRIVER_RESOLVER_NAME=%s", name);
    struct setting own_port = setting("AERON_DRIVER_RESOLVER_INTERFACE=127.0.0.1:%d", port);
    struct setting neighbor =
        setting("AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR=127.0.0.1:%d", neighbor_port);
    driver_group_add(group, program,
                     SETTINGS("AERON_NAME_RESOLVER_SUPPLIER=driver",
                              "AERON_DRIVER_RESOLVER_SELF_RESOLUTION_INTERVAL=100ms",
                              "AERON_DRIVER_RESOLVER_NEIGHBOR_RESOLUTION_INTERVAL=100ms",
                              "AERON_DRIVER_RESOLVER_NEIGHBOR_TIMEOUT=2s", own_name.text,
                              own_port.text, neighbor_port == 0 ? NULL : neighbor.text));
}

/* What an add to a name that nobody knows (yet) gives. */
static tern_exclusive_publication *try_publish(tern_client *client, const char *channel,
                                               struct tern_error *error) {
    return tern_client_add_exclusive_publication(client, channel, GROUP_STREAM, TEST_TIMEOUT_NS,
                                                 error);
}

/* The last driver is told of the first by the second only, and believes it for as long as the first
 * lives. */
static void a_name_is_known_by_hearsay(const char *program) {
    struct driver_group group = {0};
    struct tern_error error = {0};
    const int ports[] = {driver_group_port(), driver_group_port(), driver_group_port()};
    const int stream_port = driver_group_port();
    add_gossip(&group, program, "alpha.tern.invalid", ports[0], 0);
    add_gossip(&group, program, "beta.tern.invalid", ports[1], ports[0]);
    add_gossip(&group, program, "gamma.tern.invalid", ports[2], ports[1]);
    tern_client *client = group.clients[2];
    REQUIRE_SOON(driver_group_labelled(client, "Resolver cache entries: name=gamma") == 2, "cache");
    REQUIRE_SOON(driver_group_labelled(client, "Resolver neighbors: bound 127.0.0.1") == 2,
                 "neighbors");
    tern_subscription *subscription =
        driver_group_subscribe(group.clients[0], "aeron:udp?endpoint=127.0.0.1:%d", stream_port);
    struct setting channel = setting("aeron:udp?endpoint=alpha.tern.invalid:%d", stream_port);
    tern_exclusive_publication *publication = try_publish(client, channel.text, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    driver_group_send(publication, "hello alpha");
    driver_group_receive(subscription, "hello alpha");
    tern_exclusive_publication_close(publication);
    tern_subscription_close(subscription);

    (void)driver_process_stop(&group.drivers[0], SIGKILL);
    REQUIRE_SOON(driver_group_labelled(client, "Resolver cache entries: name=gamma") == 1, "cache");
    REQUIRE_SOON(driver_group_labelled(client, "Resolver neighbors: bound 127.0.0.1") == 1,
                 "neighbors");
    REQUIRE(try_publish(client, channel.text, &error) == NULL, "alpha is known still");
    REQUIRE(strstr(error.text, "alpha.tern.invalid") != NULL, "%s", error.text);
    driver_group_close(&group);
}

/* A receiver that answers no more is looked for again, at the address that its name has then. */
static void a_name_that_moves_is_followed(const char *program) {
    struct driver_group group = {0};
    const int port = driver_group_port();
    driver_group_add(
        &group, program,
        SETTINGS("AERON_NAME_RESOLVER_SUPPLIER=csv_table",
                 "AERON_NAME_RESOLVER_INIT_ARGS=moving.tern.invalid,127.0.0.1,127.0.0.2",
                 "AERON_DRIVER_RERESOLUTION_CHECK_INTERVAL=100ms"));
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, NULL);
    tern_client *client = group.clients[0];
    tern_subscription *first =
        driver_group_subscribe(group.clients[1], "aeron:udp?endpoint=127.0.0.1:%d", port);
    tern_subscription *second =
        driver_group_subscribe(group.clients[2], "aeron:udp?endpoint=127.0.0.2:%d", port);
    tern_exclusive_publication *publication =
        driver_group_publish(client, "aeron:udp?endpoint=moving.tern.invalid:%d", port);
    driver_group_send(publication, "here");
    driver_group_receive(first, "here");

    const tern_counters_reader *counters = tern_client_counters(client);
    int32_t table = tern_counters_find(counters, 2001, 0);
    for (int32_t id = 0; id <= tern_counters_id_max(counters) && table < 0; id++) {
        table = tern_counters_type_id(counters, id) == 2001 ? id : -1;
    }
    REQUIRE(table >= 0, "no counter of the table");
    __atomic_store_n(tern_counters_address(counters, table), 1, __ATOMIC_RELEASE);
    tern_subscription_close(first);
    REQUIRE_SOON(driver_group_counter(client, SYSTEM, RESOLUTION_CHANGES) == 1, "no change");
    REQUIRE_SOON(tern_subscription_is_connected(second), "no image at the new place");
    driver_group_send(publication, "there");
    driver_group_receive(second, "there");
    tern_exclusive_publication_close(publication);
    tern_subscription_close(second);
    driver_group_close(&group);
}

/* -- answers ----------------------------------------------------------------------------------- */

struct asker {
    tern_subscription *answers;
    tern_exclusive_publication *questions;
};

static struct asker ask(tern_client *client, int question_port, int answer_port, const char *text) {
    struct asker asker = {0};
    asker.answers = driver_group_subscribe(
        client, "aeron:udp?control-mode=response|control=127.0.0.1:%d", answer_port);
    asker.questions = driver_group_publish(
        client, "aeron:udp?endpoint=127.0.0.1:%d|response-correlation-id=%" PRId64, question_port,
        tern_subscription_registration_id(asker.answers));
    driver_group_send(asker.questions, text);
    return asker;
}

static void keep_text(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    (void)header;
    (void)snprintf(context, 64, "%.*s", (int)length, (const char *)buffer);
}

/* To the one who sent the image: "re: " and what they said. */
static tern_exclusive_publication *answer(tern_client *client, tern_subscription *questions,
                                          int index, int answer_port) {
    char question[64] = "";
    char text[128];
    REQUIRE_SOON(tern_subscription_image_count(questions) > index, "image %d", index);
    tern_image *image = tern_subscription_image_at_index(questions, index);
    REQUIRE_SOON(tern_image_poll(image, keep_text, question, 1) == 1, "question %d", index);
    tern_exclusive_publication *publication = driver_group_publish(
        client,
        "aeron:udp?control-mode=response|control=127.0.0.1:%d|response-correlation-id=%" PRId64,
        answer_port, tern_image_correlation_id(image));
    tern_image_release(image);
    (void)snprintf(text, sizeof text, "re: %s", question);
    driver_group_send(publication, text);
    return publication;
}

/* One address of the server serves all; each client hears what is meant for it and no more. */
static void an_answer_comes_to_who_asked(const char *program) {
    struct driver_group group = {0};
    const int question_port = driver_group_port();
    const int answer_port = driver_group_port();
    for (int i = 0; i < 3; i++) {
        driver_group_add(&group, program, NULL);
    }
    tern_subscription *questions =
        driver_group_subscribe(group.clients[0], "aeron:udp?endpoint=127.0.0.1:%d", question_port);
    struct asker askers[] = {ask(group.clients[1], question_port, answer_port, "one"),
                             ask(group.clients[1], question_port, answer_port, "two"),
                             ask(group.clients[2], question_port, answer_port, "three")};
    tern_exclusive_publication *answers[3];
    for (int i = 0; i < 3; i++) {
        answers[i] = answer(group.clients[0], questions, i, answer_port);
    }
    driver_group_receive(askers[0].answers, "re: one");
    driver_group_receive(askers[1].answers, "re: two");
    driver_group_receive(askers[2].answers, "re: three");
    for (int i = 0; i < 3; i++) {
        driver_group_send(answers[i], "bye");
        driver_group_receive(askers[i].answers, "bye");
        REQUIRE(tern_subscription_image_count(askers[i].answers) == 1, "images of asker %d", i);
    }
    for (int i = 0; i < 3; i++) {
        tern_exclusive_publication_close(answers[i]);
        tern_exclusive_publication_close(askers[i].questions);
        tern_subscription_close(askers[i].answers);
    }
    tern_subscription_close(questions);
    driver_group_close(&group);
}

/* -- times ------------------------------------------------------------------------------------- */

struct times {
    int64_t sent; /* by the driver; it stands in the reserved value, the others in the message */
    int64_t media;
    int64_t received;
};

static void on_times(void *context, const uint8_t *buffer, int32_t length,
                     const tern_header *header) {
    struct times *times = context;
    REQUIRE(length == 16, "%d bytes", length);
    times->sent = tern_header_reserved_value(header);
    memcpy(&times->media, buffer, sizeof times->media);
    memcpy(&times->received, buffer + 8, sizeof times->received);
}

static int64_t epoch_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * TEST_NS_PER_S + now.tv_nsec;
}

static void times_are_those_of_the_way(const char *program) {
    struct driver_group group = {0};
    const int port = driver_group_port();
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, NULL);
    tern_subscription *subscription = driver_group_subscribe(
        group.clients[1],
        "aeron:udp?endpoint=127.0.0.1:%d|media-rcv-ts-offset=0|channel-rcv-ts-offset=8", port);
    tern_exclusive_publication *publication = driver_group_publish(
        group.clients[0], "aeron:udp?endpoint=127.0.0.1:%d|channel-snd-ts-offset=reserved", port);
    for (int i = 0; i < 5; i++) {
        struct times times = {0};
        int64_t begin = epoch_ns();
        driver_group_send(publication, "0123456789abcdef");
        REQUIRE_SOON(tern_subscription_poll(subscription, on_times, &times, 1) == 1, "message");
        int64_t end = epoch_ns();
        bool is_in_order = begin <= times.sent && times.sent <= times.media &&
                           times.media <= times.received && times.received <= end;
        REQUIRE(is_in_order,
                "offered %" PRId64 ", sent %" PRId64 ", arrived %" PRId64 ", received %" PRId64
                ", polled %" PRId64,
                begin, times.sent, times.media, times.received, end);
    }
    tern_exclusive_publication_close(publication);
    tern_subscription_close(subscription);
    driver_group_close(&group);
}

/* -- congestion control ------------------------------------------------------------------------ */

static void on_nothing(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    (void)header;
}

/* Send whole datagrams and read them; the size of the window of the receiver. */
static int64_t flow(const struct stream *stream, tern_client *receiver) {
    static const uint8_t message[1376];
    for (int i = 0; i < 20; i++) {
        (void)tern_exclusive_publication_offer(stream->publication, message, sizeof message);
    }
    (void)tern_subscription_poll(stream->subscription, on_nothing, NULL, 100);
    return driver_group_labelled(receiver, "rcv-cc-cubic-wnd");
}

static void a_channel_chooses_cubic_congestion_control(const char *program) {
    struct driver_group group = {0};
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, SETTINGS("AERON_CUBICCONGESTIONCONTROL_MEASURERTT=true"));
    tern_client *receiver = group.clients[1];
    struct stream plain = connect_stream(group.clients[0], receiver, "");
    REQUIRE(driver_group_labelled(receiver, "rcv-cc-cubic") == INT64_MIN, "without being asked");
    struct stream cubic = connect_stream(group.clients[0], receiver, "|cc=cubic");
    int64_t window = driver_group_labelled(receiver, "rcv-cc-cubic-wnd");
    REQUIRE(window >= 10 * 1408, "the first window: %" PRId64, window);
    REQUIRE_SOON(flow(&cubic, receiver) == 131072 / 1408 * 1408, "the window does not grow");
    REQUIRE_SOON(driver_group_labelled(receiver, "rcv-cc-cubic-rtt") > 0, "the round trip");
    close_stream(&plain);
    close_stream(&cubic);
    driver_group_close(&group);
}

static void loss_makes_the_window_of_cubic_smaller(const char *program) {
    struct driver_group group = {0};
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program,
                     SETTINGS("AERON_DEBUG_RECEIVE_DATA_LOSS_RATE=0.05",
                              "AERON_DEBUG_RECEIVE_DATA_LOSS_SEED=5"));
    struct stream stream = connect_stream(group.clients[0], group.clients[1], "|cc=cubic");
    int64_t widest = 0;
    int64_t window = 0;
    while (window >= widest) {
        widest = window;
        REQUIRE_SOON((window = flow(&stream, group.clients[1])) != widest, "the window stays");
    }
    REQUIRE(driver_group_counter(group.clients[1], SYSTEM, NAKS_SENT) > 0, "without loss");
    REQUIRE(driver_group_labelled(group.clients[1], "rcv-cc-cubic-rtt") == 0,
            "the round trip is measured without being asked for");
    close_stream(&stream);
    driver_group_close(&group);
}

/* -- streams with gaps ------------------------------------------------------------------------- */

struct numbers {
    int64_t count;
    int64_t last;
};

static void on_number(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    struct numbers *numbers = context;
    int64_t number;
    (void)header;
    REQUIRE(length == 1376, "%d bytes", length);
    memcpy(&number, buffer, sizeof number);
    REQUIRE(number > numbers->last, "%" PRId64 " after %" PRId64, number, numbers->last);
    numbers->last = number;
    numbers->count++;
}

/* What is lost is filled with padding, and nobody is asked to send it again. */
static void an_unreliable_stream_goes_on_over_its_gaps(const char *program) {
    struct driver_group group = {0};
    struct numbers numbers = {0, -1};
    uint8_t message[1376] = {0};
    int64_t number = 0;
    driver_group_add(&group, program, NULL);
    driver_group_add(
        &group, program,
        SETTINGS("AERON_DEBUG_RECEIVE_DATA_LOSS_RATE=0.2", "AERON_DEBUG_RECEIVE_DATA_LOSS_SEED=3"));
    struct stream stream = connect_stream(group.clients[0], group.clients[1], "|reliable=false");
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (numbers.last < 2000) {
        memcpy(message, &number, sizeof number);
        number += tern_exclusive_publication_offer(stream.publication, message, sizeof message) > 0;
        (void)tern_subscription_poll(stream.subscription, on_number, &numbers, 10);
        REQUIRE(test_now_ns() < deadline_ns, "stuck at %" PRId64 " of %" PRId64, numbers.last,
                number);
    }
    REQUIRE(numbers.count < numbers.last, "nothing was lost");
    REQUIRE(driver_group_counter(group.clients[1], SYSTEM, GAP_FILLS) > 0, "gaps are filled");
    REQUIRE(driver_group_counter(group.clients[1], SYSTEM, NAKS_SENT) == 0, "a NAK was sent");
    close_stream(&stream);
    driver_group_close(&group);
}

/* -- rejections -------------------------------------------------------------------------------- */

static void reject(tern_subscription *subscription, const char *reason) {
    struct tern_error error = {0};
    REQUIRE_SOON(tern_subscription_image_count(subscription) == 1, "image");
    tern_image *image = tern_subscription_image_at_index(subscription, 0);
    REQUIRE(tern_image_reject(image, reason, &error) == 0, "%s", error.text);
    tern_image_release(image);
    REQUIRE_SOON(tern_subscription_image_count(subscription) == 0, "the image stays");
}

/* Whoever looks at the sender's driver finds out why its stream has no receiver. */
static void a_reason_to_reject_is_logged_where_the_stream_is_sent(const char *program) {
    struct driver_group group = {0};
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, SETTINGS("AERON_IMAGE_LIVENESS_TIMEOUT=1s"));
    struct stream stream = connect_stream(group.clients[0], group.clients[1], "");
    reject(stream.subscription, "it is too late");
    REQUIRE_SOON(driver_group_errors(&group.drivers[0], "it is too late") > 0, "no such error");
    REQUIRE_SOON(!is_connected(stream.publication), "connected");
    close_stream(&stream);

    stream = (struct stream){driver_group_subscribe(group.clients[0], "aeron:ipc"),
                             driver_group_publish(group.clients[0], "aeron:ipc")};
    reject(stream.subscription, "it is too early");
    REQUIRE_SOON(driver_group_errors(&group.drivers[0], "it is too early") == 1, "no such error");
    close_stream(&stream);
    driver_group_close(&group);
}

/* -- limits ------------------------------------------------------------------------------------ */

static void a_stream_has_no_more_sessions_than_the_limit(const char *program) {
    struct driver_group group = {0};
    tern_exclusive_publication *publications[3];
    const int port = driver_group_port();
    driver_group_add(&group, program, SETTINGS("AERON_PUBLICATION_LINGER_TIMEOUT=100ms"));
    driver_group_add(
        &group, program,
        SETTINGS("AERON_DRIVER_STREAM_SESSION_LIMIT=2", "AERON_IMAGE_LIVENESS_TIMEOUT=1s"));
    tern_subscription *subscription =
        driver_group_subscribe(group.clients[1], "aeron:udp?endpoint=127.0.0.1:%d", port);
    for (int i = 0; i < 3; i++) {
        publications[i] =
            driver_group_publish(group.clients[0], "aeron:udp?endpoint=127.0.0.1:%d", port);
        REQUIRE_SOON(i == 2 || is_connected(publications[i]), "publication %d", i);
    }
    REQUIRE_SOON(driver_group_errors(&group.drivers[1], "session limit of 2") > 0, "the error");
    REQUIRE(!is_connected(publications[2]), "a third");
    REQUIRE(tern_subscription_image_count(subscription) == 2, "images");
    tern_exclusive_publication_close(publications[0]);
    REQUIRE_SOON(is_connected(publications[2]), "the third has the place of the first");
    REQUIRE(is_connected(publications[1]), "the second keeps its own");
    tern_exclusive_publication_close(publications[1]);
    tern_exclusive_publication_close(publications[2]);
    tern_subscription_close(subscription);
    driver_group_close(&group);
}

static int port_of(const char *address) {
    return atoi(strrchr(address, ':') + 1);
}

static int port_of_subscription(tern_subscription *subscription) {
    char address[TERN_ADDRESS_TEXT_MAX];
    REQUIRE_SOON(tern_subscription_resolved_endpoint(subscription, address) == 1, "no address");
    return port_of(address);
}

/* The ports of a range are given, come back, and are refused when there are none. */
static void wildcard_ports_are_of_the_range(const char *program) {
    struct driver_group group = {0};
    char text[256];
    char address[1][TERN_ADDRESS_TEXT_MAX];
    int low = driver_group_port();
    for (int next; (next = driver_group_port()) != low + 1;) {
        low = next;
    }
    const int control_port = driver_group_port();
    struct setting sender =
        setting("AERON_SENDER_WILDCARD_PORT_RANGE=%d %d", control_port, control_port);
    struct setting receiver = setting("AERON_RECEIVER_WILDCARD_PORT_RANGE=%d %d", low, low + 1);
    driver_group_add(&group, program, SETTINGS(sender.text));
    driver_group_add(&group, program, SETTINGS(receiver.text));
    tern_exclusive_publication *publication = driver_group_publish(
        group.clients[0], "aeron:udp?control=127.0.0.1:0|control-mode=dynamic");
    REQUIRE_SOON(tern_exclusive_publication_local_addresses(publication, address, 1) == 1,
                 "address");
    REQUIRE(port_of(address[0]) == control_port, "%s", address[0]);
    const char *channel = "aeron:udp?endpoint=127.0.0.1:0|control=127.0.0.1:%d";
    tern_client *client = group.clients[1];
    tern_subscription *first = driver_group_subscribe(client, channel, control_port);
    tern_subscription *second = driver_group_subscribe(client, channel, control_port);
    int sum = port_of_subscription(first) + port_of_subscription(second);
    REQUIRE(sum == 2 * low + 1, "%d and %d", port_of_subscription(first),
            port_of_subscription(second));
    driver_group_refuse_subscription(client, text, channel, control_port);
    REQUIRE(strstr(text, "no free port") != NULL, "%s", text);
    driver_group_send(publication, "to both");
    driver_group_receive(first, "to both");
    driver_group_receive(second, "to both");
    int freed_port = port_of_subscription(first);
    tern_subscription_close(first);
    const struct tern_subscription_params params = {"aeron:udp?endpoint=127.0.0.1:0", GROUP_STREAM,
                                                    NULL, NULL, NULL};
    REQUIRE_SOON((first = tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, NULL)) !=
                     NULL,
                 "no port comes back");
    REQUIRE(port_of_subscription(first) == freed_port, "another than %d", freed_port);
    tern_exclusive_publication_close(publication);
    tern_subscription_close(first);
    tern_subscription_close(second);
    driver_group_close(&group);
}

static const struct system_test tests[] = {
    {"a name is known by hearsay", a_name_is_known_by_hearsay},
    {"a name that moves is followed", a_name_that_moves_is_followed},
    {"an answer comes to who asked", an_answer_comes_to_who_asked},
    {"times are those of the way", times_are_those_of_the_way},
    {"a channel chooses cubic congestion control", a_channel_chooses_cubic_congestion_control},
    {"loss makes the window of cubic smaller", loss_makes_the_window_of_cubic_smaller},
    {"an unreliable stream goes on over its gaps", an_unreliable_stream_goes_on_over_its_gaps},
    {"a reason to reject is logged where the stream is sent",
     a_reason_to_reject_is_logged_where_the_stream_is_sent},
    {"a stream has no more sessions than the limit", a_stream_has_no_more_sessions_than_the_limit},
    {"wildcard ports are of the range", wildcard_ports_are_of_the_range},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

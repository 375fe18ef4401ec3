/* What a channel says of a stream, seen at the other driver: sessions, positions, tethers, ends.
 *
 * usage: client_channels DRIVER [TEST]; each test has two drivers of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/driver_group.h"

static void on_nothing(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    (void)header;
}

static struct driver_group open_pair(const char *program, const char *const *settings) {
    struct driver_group group = {0};
    driver_group_add(
        &group, program,
        SETTINGS("AERON_PUBLICATION_LINGER_TIMEOUT=200ms", "AERON_IMAGE_LIVENESS_TIMEOUT=2s"));
    driver_group_add(&group, program, settings);
    return group;
}

/* The only image of the subscription, to be released. */
static tern_image *wait_for_image(tern_subscription *subscription) {
    REQUIRE_SOON(tern_subscription_is_connected(subscription), "image");
    return tern_subscription_image_at_index(subscription, 0);
}

static void a_subscription_takes_the_session_it_names(const char *program) {
    struct driver_group group = open_pair(program, NULL);
    const int port = driver_group_port();
    const char *channel = "aeron:udp?endpoint=127.0.0.1:%d%s";
    tern_subscription *one =
        driver_group_subscribe(group.clients[1], channel, port, "|session-id=12");
    tern_exclusive_publication *publications[] = {
        driver_group_publish(group.clients[0], channel, port, "|session-id=11"),
        driver_group_publish(group.clients[0], channel, port, "|session-id=12")};
    tern_image *image = wait_for_image(one);
    REQUIRE(tern_image_session_id(image) == 12, "session %d", tern_image_session_id(image));
    tern_image_release(image);
    driver_group_send(publications[1], "twelve");
    driver_group_receive(one, "twelve");
    REQUIRE(!tern_exclusive_publication_is_connected(publications[0]), "who wants this?");

    tern_subscription *all = driver_group_subscribe(group.clients[1], channel, port, "");
    REQUIRE_SOON(tern_subscription_image_count(all) == 2, "two images");
    driver_group_send(publications[0], "eleven");
    driver_group_receive(all, "eleven");
    driver_group_send(publications[1], "twelve again");
    driver_group_receive(all, "twelve again");
    driver_group_receive(one, "twelve again");
    REQUIRE(tern_subscription_image_count(one) == 1, "another image");
    tern_exclusive_publication_close(publications[0]);
    tern_exclusive_publication_close(publications[1]);
    tern_subscription_close(all);
    tern_subscription_close(one);
    driver_group_close(&group);
}

/* A stream may begin anywhere, and another may have the session and the lengths of it. */
static void an_image_is_what_its_publication_says(const char *program) {
    struct driver_group group = open_pair(program, NULL);
    const int ports[] = {driver_group_port(), driver_group_port()};
    const int64_t start = 3 * 131072 + 4096;
    struct tern_publication_constants constants;
    tern_subscription *subscriptions[2];
    tern_exclusive_publication *publications[] = {
        driver_group_publish(group.clients[0],
                             "aeron:udp?endpoint=127.0.0.1:%d|term-length=128k|mtu=4096|"
                             "init-term-id=-2|term-id=1|term-offset=4096|tags=1,77",
                             ports[0]),
        driver_group_publish(group.clients[0],
                             "aeron:udp?endpoint=127.0.0.1:%d|session-id=tag:77|pub-wnd=8k",
                             ports[1])};
    for (int i = 0; i < 2; i++) {
        subscriptions[i] =
            driver_group_subscribe(group.clients[1], "aeron:udp?endpoint=127.0.0.1:%d", ports[i]);
    }
    tern_image *image = wait_for_image(subscriptions[0]);
    tern_exclusive_publication_get_constants(publications[0], &constants);
    REQUIRE(tern_image_session_id(image) == constants.session_id, "session");
    REQUIRE(tern_image_term_length(image) == 131072, "%d", tern_image_term_length(image));
    REQUIRE(tern_image_mtu_length(image) == 4096, "%d", tern_image_mtu_length(image));
    REQUIRE(tern_image_initial_term_id(image) == -2, "%d", tern_image_initial_term_id(image));
    REQUIRE(tern_image_join_position(image) == start, "%" PRId64, tern_image_join_position(image));
    tern_image_release(image);
    driver_group_send(publications[0], "from the middle");
    driver_group_receive(subscriptions[0], "from the middle");

    image = wait_for_image(subscriptions[1]);
    REQUIRE(tern_image_session_id(image) == constants.session_id, "the session of the tag");
    REQUIRE(tern_image_term_length(image) == 131072, "%d", tern_image_term_length(image));
    REQUIRE(tern_image_mtu_length(image) == 4096, "%d", tern_image_mtu_length(image));
    tern_image_release(image);
    REQUIRE_SOON(tern_exclusive_publication_is_connected(publications[1]), "connected");
    REQUIRE_SOON(tern_exclusive_publication_available_window(publications[1]) == 8192,
                 "a window of %" PRId64,
                 tern_exclusive_publication_available_window(publications[1]));
    for (int i = 0; i < 2; i++) {
        tern_exclusive_publication_close(publications[i]);
        tern_subscription_close(subscriptions[i]);
    }
    driver_group_close(&group);
}

/* -- tethers ----------------------------------------------------------------------------------- */

struct flow {
    tern_exclusive_publication *publication;
    tern_subscription *reader;
};

/* The reader reads all of it; whoever else listens falls behind. */
static bool go_on(const struct flow *flow) {
    static const uint8_t message[1376];
    (void)tern_exclusive_publication_offer(flow->publication, message, sizeof message);
    while (tern_subscription_poll(flow->reader, on_nothing, NULL, 100) > 0) {
    }
    return true;
}

static int64_t position(const struct flow *flow) {
    return tern_exclusive_publication_position(flow->publication);
}

static void only_a_tether_holds_a_stream(const char *program) {
    struct driver_group group =
        open_pair(program, SETTINGS("AERON_UNTETHERED_WINDOW_LIMIT_TIMEOUT=300ms",
                                    "AERON_UNTETHERED_RESTING_TIMEOUT=300ms"));
    const int port = driver_group_port();
    tern_client *client = group.clients[1];
    const char *channel = "aeron:udp?endpoint=127.0.0.1:%d%s";
    tern_subscription *leaver = driver_group_subscribe(client, channel, port, "|tether=false");
    struct flow flow = {driver_group_publish(group.clients[0], channel, port, "|term-length=64k"),
                        driver_group_subscribe(client, channel, port, "")};
    tern_image *image = wait_for_image(leaver);
    REQUIRE_SOON(go_on(&flow) && tern_image_is_closed(image), "the one without tether stays");
    tern_image_release(image);
    REQUIRE_SOON(go_on(&flow) && tern_subscription_is_connected(leaver), "it does not come back");
    image = tern_subscription_image_at_index(leaver, 0);
    REQUIRE(tern_image_join_position(image) > 0, "it comes back where it was");
    tern_image_release(image);
    int64_t aim = position(&flow) + 1000000;
    REQUIRE_SOON(go_on(&flow) && position(&flow) > aim, "held up at %" PRId64, position(&flow));

    /* One with a tether holds all others up. */
    tern_subscription *holder = driver_group_subscribe(client, channel, port, "");
    tern_image_release(wait_for_image(holder));
    int64_t seen = position(&flow);
    int64_t limit = seen + 4 * 65536;
    for (int64_t since_ns = test_now_ns(); test_now_ns() - since_ns < TEST_NS_PER_S; go_on(&flow)) {
        since_ns = position(&flow) == seen ? since_ns : test_now_ns();
        seen = position(&flow);
        REQUIRE(seen < limit, "nothing holds the stream");
    }
    REQUIRE(tern_subscription_is_connected(holder), "the one with a tether leaves");
    tern_subscription_close(holder);
    REQUIRE_SOON(go_on(&flow) && position(&flow) > limit, "held up at %" PRId64, position(&flow));
    tern_exclusive_publication_close(flow.publication);
    tern_subscription_close(flow.reader);
    tern_subscription_close(leaver);
    driver_group_close(&group);
}

/* -- ends -------------------------------------------------------------------------------------- */

enum end { END_CLOSED, END_SILENT, END_REVOKED };

/* How a stream with one unread message ends at the other side. */
static void end_stream(const struct driver_group *group, const char *keys, enum end end) {
    const int port = driver_group_port();
    tern_subscription *subscription =
        driver_group_subscribe(group->clients[1], "aeron:udp?endpoint=127.0.0.1:%d", port);
    tern_exclusive_publication *publication =
        driver_group_publish(group->clients[0], "aeron:udp?endpoint=127.0.0.1:%d%s", port, keys);
    driver_group_send(publication, "read");
    driver_group_receive(subscription, "read");
    tern_image *image = wait_for_image(subscription);
    if (end == END_REVOKED) {
        driver_group_send(publication, "unread");
        tern_exclusive_publication_revoke(publication);
    } else {
        tern_exclusive_publication_close(publication);
    }
    REQUIRE_SOON(tern_image_is_closed(image), "the image stays");
    REQUIRE(tern_image_is_end_of_stream(image) == (end == END_CLOSED), "end of stream");
    REQUIRE(tern_image_is_revoked(image) == (end == END_REVOKED), "revoked");
    tern_image_release(image);
    tern_subscription_close(subscription);
}

static void a_stream_ends_as_its_publication_does(const char *program) {
    struct driver_group group = open_pair(program, SETTINGS("AERON_IMAGE_LIVENESS_TIMEOUT=2s"));
    end_stream(&group, "", END_CLOSED);
    end_stream(&group, "|eos=false", END_SILENT);
    end_stream(&group, "", END_REVOKED);
    driver_group_close(&group);
}

/* The publisher is gone, and what it said last comes when somebody asks for it. */
static void what_was_sent_lingers(const char *program) {
    struct driver_group group =
        open_pair(program, SETTINGS("AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS=fixed-loss",
                                    "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_FIXED_LOSS_ARGS="
                                    "term-id=7|term-offset=64|length=64"));
    const int port = driver_group_port();
    tern_subscription *subscription = driver_group_subscribe(
        group.clients[1], "aeron:udp?endpoint=127.0.0.1:%d|nak-delay=1s", port);
    tern_exclusive_publication *publication = driver_group_publish(
        group.clients[0],
        "aeron:udp?endpoint=127.0.0.1:%d|init-term-id=7|term-id=7|term-offset=0|linger=10s", port);
    driver_group_send(publication, "first");
    driver_group_receive(subscription, "first");
    driver_group_send(publication, "lost");
    driver_group_send(publication, "last");
    tern_exclusive_publication_close(publication);
    driver_group_receive(subscription, "lost");
    driver_group_receive(subscription, "last");
    REQUIRE(driver_group_counter(group.clients[0], 0, 11) > 0, "nothing was sent again");
    tern_subscription_close(subscription);
    driver_group_close(&group);
}

static const struct system_test tests[] = {
    {"a subscription takes the session it names", a_subscription_takes_the_session_it_names},
    {"an image is what its publication says", an_image_is_what_its_publication_says},
    {"only a tether holds a stream", only_a_tether_holds_a_stream},
    {"a stream ends as its publication does", a_stream_ends_as_its_publication_does},
    {"what was sent lingers", what_was_sent_lingers},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

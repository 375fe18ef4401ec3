/* Streams that go to the clients of several drivers, or come from several: who is sent to, who
 * governs, which way a message takes.
 *
 * usage: client_groups DRIVER [TEST]; each test has drivers of its own.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/driver_group.h"

#define TERM_LENGTH 65536
#define GROUP "224.20.30.9"

static void on_nothing(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    (void)header;
}

static void read_all(tern_subscription *subscription) {
    while (subscription != NULL &&
           tern_subscription_poll(subscription, on_nothing, NULL, 100) > 0) {
    }
}

/* One publisher, and two receivers of which only one reads: `reader` or, when that is NULL, none.
 */
struct receivers {
    struct driver_group group;
    tern_exclusive_publication *publication;
    tern_subscription *subscriptions[2];
};

static struct receivers open_receivers(const char *program, const char *flow_control,
                                       const char *second_keys) {
    struct receivers receivers = {0};
    const int port = driver_group_port();
    for (int i = 0; i < 3; i++) {
        driver_group_add(&receivers.group, program, NULL);
    }
    receivers.publication = driver_group_publish(
        receivers.group.clients[0],
        "aeron:udp?control=127.0.0.1:%d|control-mode=dynamic|term-length=%d|fc=%s", port,
        TERM_LENGTH, flow_control);
    for (int i = 0; i < 2; i++) {
        receivers.subscriptions[i] = driver_group_subscribe(
            receivers.group.clients[i + 1], "aeron:udp?endpoint=127.0.0.1:0|control=127.0.0.1:%d%s",
            port, i == 1 ? second_keys : "");
    }
    return receivers;
}

static void close_receivers(struct receivers *receivers) {
    tern_exclusive_publication_close(receivers->publication);
    tern_subscription_close(receivers->subscriptions[0]);
    tern_subscription_close(receivers->subscriptions[1]);
    driver_group_close(&receivers->group);
}

static int64_t position(const struct receivers *receivers) {
    return tern_exclusive_publication_position(receivers->publication);
}

/* Send while one of the two reads. */
static void press(const struct receivers *receivers, int reader) {
    static const uint8_t message[1376];
    (void)tern_exclusive_publication_offer(receivers->publication, message, sizeof message);
    read_all(receivers->subscriptions[reader]);
}

/* Far more than a window of any receiver. */
static void require_flow(const struct receivers *receivers, int reader) {
    int64_t aim = position(receivers) + 16 * TERM_LENGTH;
    REQUIRE_SOON((press(receivers, reader), position(receivers) >= aim), "held up at %" PRId64,
                 position(receivers));
}

/* The one that does not read has room for half a term; after that nothing goes. */
static void require_hold(const struct receivers *receivers, int reader) {
    int64_t seen = position(receivers);
    int64_t seen_ns = test_now_ns();
    int64_t limit = seen + 2 * TERM_LENGTH;
    while (test_now_ns() - seen_ns < 300 * TEST_NS_PER_MS) {
        press(receivers, reader);
        if (position(receivers) != seen) {
            seen = position(receivers);
            seen_ns = test_now_ns();
        }
        REQUIRE(seen < limit, "nothing holds the publisher");
    }
    REQUIRE(tern_exclusive_publication_is_connected(receivers->publication), "connected");
}

static int64_t governing(const struct receivers *receivers) {
    return driver_group_labelled(receivers->group.clients[0], "fc-receivers");
}

static void the_slowest_of_the_minimum_governs(const char *program) {
    struct receivers receivers = open_receivers(program, "min,t:1s,g:/2", "");
    REQUIRE_SOON(tern_exclusive_publication_is_connected(receivers.publication), "connected");
    REQUIRE_SOON(governing(&receivers) == 2, "%" PRId64 " receivers", governing(&receivers));
    require_hold(&receivers, 0);
    read_all(receivers.subscriptions[1]);
    require_hold(&receivers, 1);
    /* Without the driver of one the group is too small. */
    (void)driver_process_stop(&receivers.group.drivers[2], SIGKILL);
    REQUIRE_SOON(governing(&receivers) == 1, "%" PRId64 " receivers", governing(&receivers));
    REQUIRE_SOON(!tern_exclusive_publication_is_connected(receivers.publication), "connected");
    close_receivers(&receivers);
}

static void the_fastest_of_the_maximum_governs(const char *program) {
    struct receivers receivers = open_receivers(program, "max", "");
    REQUIRE_SOON(driver_group_labelled(receivers.group.clients[0], "mdc-num-dest") == 2,
                 "destinations");
    REQUIRE(governing(&receivers) == INT64_MIN, "receivers are counted");
    require_flow(&receivers, 0);
    close_receivers(&receivers);
}

static void only_tagged_receivers_govern(const char *program) {
    struct receivers receivers = open_receivers(program, "tagged,g:77/1,t:1s", "|gtag=77");
    REQUIRE_SOON(tern_exclusive_publication_is_connected(receivers.publication), "connected");
    REQUIRE_SOON(governing(&receivers) == 1, "%" PRId64 " receivers", governing(&receivers));
    require_flow(&receivers, 1);
    require_hold(&receivers, 0);
    (void)driver_process_stop(&receivers.group.drivers[2], SIGKILL);
    REQUIRE_SOON(!tern_exclusive_publication_is_connected(receivers.publication),
                 "connected without a tagged receiver");
    close_receivers(&receivers);
}

/* A dynamic destination is forgotten when nothing was heard of it for five seconds. */
static void a_dead_receiver_is_sent_to_no_longer(const char *program) {
    struct receivers receivers = open_receivers(program, "max", "");
    tern_client *client = receivers.group.clients[0];
    REQUIRE_SOON(driver_group_labelled(client, "mdc-num-dest") == 2, "destinations");
    driver_group_send(receivers.publication, "to both");
    driver_group_receive(receivers.subscriptions[0], "to both");
    driver_group_receive(receivers.subscriptions[1], "to both");
    (void)driver_process_stop(&receivers.group.drivers[2], SIGKILL);
    REQUIRE_SOON(driver_group_labelled(client, "mdc-num-dest") == 1, "a dead destination");
    driver_group_send(receivers.publication, "to one");
    driver_group_receive(receivers.subscriptions[0], "to one");
    close_receivers(&receivers);
}

/* -- multicast on the loopback interface --------------------------------------------------------
 */

static bool is_multicast_heard(int port) {
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in group = any;
    struct ip_mreq member = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval timeout = {.tv_sec = 1};
    char byte = 0;
    (void)inet_pton(AF_INET, GROUP, &group.sin_addr);
    member.imr_multiaddr = group.sin_addr;
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    bool is_heard =
        bind(descriptor, (const struct sockaddr *)&any, sizeof any) == 0 &&
        setsockopt(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member) == 0 &&
        setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &member.imr_interface,
                   sizeof member.imr_interface) == 0 &&
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        sendto(descriptor, &byte, 1, 0, (const struct sockaddr *)&group, sizeof group) == 1 &&
        recv(descriptor, &byte, 1, 0) == 1;
    (void)close(descriptor);
    return is_heard;
}

/* The drivers of one machine share the port. The last of the group to come makes it complete. */
static void a_group_hears_one_publisher(const char *program) {
    static const char *const interfaces[] = {"localhost", "127.0.0.0/8", "{lo}"};
    struct receivers receivers = {0};
    tern_client *const *clients = receivers.group.clients;
    if (!is_multicast_heard(driver_group_port())) {
        test_skip("no multicast on the loopback interface");
    }
    for (int i = 0; i < 3; i++) {
        driver_group_add(&receivers.group, program, NULL);
    }
    for (int i = 0; i < 3; i++) {
        const int port = driver_group_port();
        const char *channel = "aeron:udp?endpoint=" GROUP ":%d|interface=%s%s";
        receivers.publication = driver_group_publish(clients[0], channel, port, interfaces[i],
                                                     "|term-length=64k|fc=min,g:/2");
        receivers.subscriptions[0] =
            driver_group_subscribe(clients[1], channel, port, interfaces[i], "");
        REQUIRE_SOON(tern_subscription_is_connected(receivers.subscriptions[0]), "image");
        REQUIRE(!tern_exclusive_publication_is_connected(receivers.publication), "one of two");
        receivers.subscriptions[1] =
            driver_group_subscribe(clients[2], channel, port, interfaces[i], "");
        driver_group_send(receivers.publication, interfaces[i]);
        driver_group_receive(receivers.subscriptions[0], interfaces[i]);
        driver_group_receive(receivers.subscriptions[1], interfaces[i]);
        require_hold(&receivers, 0);
        tern_exclusive_publication_close(receivers.publication);
        tern_subscription_close(receivers.subscriptions[0]);
        tern_subscription_close(receivers.subscriptions[1]);
    }
    driver_group_close(&receivers.group);
}

/* -- several sources ---------------------------------------------------------------------------
 */

static void change_destination(tern_client *client, tern_async *async) {
    struct tern_error error = {0};
    REQUIRE(tern_client_await_destination(client, async, TEST_TIMEOUT_NS, &error) == 0, "%s",
            error.text);
}

static void send_numbers(tern_exclusive_publication *publication, int from, int to) {
    for (int i = from; i < to; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        driver_group_send(publication, text);
    }
}

static void receive_numbers(tern_subscription *subscription, int from, int to) {
    for (int i = from; i < to; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        driver_group_receive(subscription, text);
    }
}

static int transport_count(tern_subscription *subscription) {
    tern_image *image = tern_subscription_image_at_index(subscription, 0);
    int count = image == NULL ? 0 : tern_image_active_transport_count(image);
    tern_image_release(image);
    return count;
}

/* A replay of a stream and the live stream, each from a driver of its own: the subscriber goes from
 * the one to the other within one image, and reads each message once. */
static void sources_are_merged(const char *program) {
    struct driver_group group = {0};
    const int ports[] = {driver_group_port(), driver_group_port()};
    tern_exclusive_publication *sources[2];
    char channels[2][128];
    struct tern_error error = {0};
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, NULL);
    driver_group_add(&group, program, SETTINGS("AERON_IMAGE_LIVENESS_TIMEOUT=1s"));
    tern_client *client = group.clients[2];
    tern_subscription *subscription =
        driver_group_subscribe(client, "aeron:udp?control-mode=manual");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(channels[i], sizeof channels[i], "aeron:udp?endpoint=127.0.0.1:%d",
                       ports[i]);
        sources[i] = driver_group_publish(
            group.clients[i], "%s|session-id=7001|init-term-id=5|term-id=5|term-offset=0",
            channels[i]);
    }
    change_destination(client,
                       tern_subscription_async_add_destination(subscription, channels[0], &error));
    send_numbers(sources[0], 0, 10);
    receive_numbers(subscription, 0, 10);
    REQUIRE(!tern_exclusive_publication_is_connected(sources[1]), "the second is connected");
    change_destination(client,
                       tern_subscription_async_add_destination(subscription, channels[1], &error));
    REQUIRE_SOON(transport_count(subscription) == 2, "%d transports",
                 transport_count(subscription));
    send_numbers(sources[1], 0, 15);
    receive_numbers(subscription, 10, 15);
    change_destination(
        client, tern_subscription_async_remove_destination(subscription, channels[0], &error));
    REQUIRE_SOON(transport_count(subscription) == 1, "%d transports",
                 transport_count(subscription));
    REQUIRE_SOON(!tern_exclusive_publication_is_connected(sources[0]), "the first is connected");
    send_numbers(sources[1], 15, 20);
    receive_numbers(subscription, 15, 20);
    REQUIRE(tern_subscription_image_count(subscription) == 1, "images");
    for (int i = 0; i < 2; i++) {
        tern_exclusive_publication_close(sources[i]);
    }
    tern_subscription_close(subscription);
    driver_group_close(&group);
}

static const struct system_test tests[] = {
    {"the slowest of the minimum governs", the_slowest_of_the_minimum_governs},
    {"the fastest of the maximum governs", the_fastest_of_the_maximum_governs},
    {"only tagged receivers govern", only_tagged_receivers_govern},
    {"a dead receiver is sent to no longer", a_dead_receiver_is_sent_to_no_longer},
    {"a group hears one publisher", a_group_hears_one_publisher},
    {"sources are merged", sources_are_merged},
};

int main(int argc, char **argv) {
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof *tests));
}

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/clock.h"
#include "base/net.h"

Test(net, addresses_parse_and_print) {
    static const struct {
        const char *text;
        const char *printed; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1:54321", "127.0.0.1:54321"},
        {"10.0.0.2", "10.0.0.2:0"},
        {"[::1]:5", "[::1]:5"},
        {"[fe80::1]", "[fe80::1]:0"},
        {"localhost:1", NULL},
        {"1.2.3.4:", NULL},
        {"1.2.3.4:65536", NULL},
        {"1.2.3:1", NULL},
        {"[::1", NULL},
        {"[::1%nosuchif]:1", NULL},
        {"", NULL},
        {":1", NULL},
        {"1.2.3.4:-1", NULL},
        {"1.2.3.4:+1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union net_address address;
        char text[NET_ADDRESS_TEXT_MAX];
        int result = net_address_parse(cases[i].text, &address);
        cr_assert_eq(result == 0, cases[i].printed != NULL, "'%s'", cases[i].text);
        if (result == 0) {
            cr_assert_eq(net_address_format(&address, text), (int)strlen(cases[i].printed));
            cr_assert_str_eq(text, cases[i].printed);
        }
    }
}

Test(net, kinds_of_addresses_are_told_apart) {
    union net_address a;
    union net_address b;
    cr_assert_eq(net_address_parse("224.0.1.1:4", &a), 0);
    cr_assert(net_address_is_multicast(&a));
    cr_assert_eq(net_address_parse("[ff02::1]:4", &a), 0);
    cr_assert(net_address_is_multicast(&a));
    cr_assert_eq(net_address_parse("0.0.0.0:9", &a), 0);
    cr_assert(net_address_is_wildcard(&a));
    cr_assert_eq(net_address_parse("[::]:9", &b), 0);
    cr_assert(net_address_is_wildcard(&b));
    cr_assert_not(net_address_equal(&a, &b));
    net_address_set_port(&a, 10);
    cr_assert_eq(net_address_port(&a), 10);
    cr_assert_eq(net_address_parse("0.0.0.0:10", &b), 0);
    cr_assert(net_address_equal(&a, &b));
}

static int open_loopback(int *socket, union net_address *bound) {
    struct net_socket_params params = {0};
    cr_assert_eq(net_address_parse("127.0.0.1:0", &params.bind), 0);
    return net_system()->open(NULL, &params, socket, bound, NULL);
}

Test(net, datagrams_travel_in_batches_with_their_source) {
    const struct net *net = net_system();
    int a;
    int b;
    union net_address address_a;
    union net_address address_b;
    cr_assert_eq(open_loopback(&a, &address_a), 0);
    cr_assert_eq(open_loopback(&b, &address_b), 0);
    char out[3][8] = {"one", "two2", "three"};
    struct net_datagram sent[3];
    for (int i = 0; i < 3; i++) {
        sent[i] = (struct net_datagram){
            .data = out[i], .length = (uint32_t)strlen(out[i]), .address = address_b};
    }
    cr_assert_eq(net->send(NULL, a, sent, 3, NET_SEND_TO_ADDRESS), 3);
    char in[4][16];
    struct net_datagram received[4];
    for (int i = 0; i < 4; i++) {
        received[i] = (struct net_datagram){.data = in[i], .capacity = sizeof in[i]};
    }
    int count = 0;
    struct net_poller *poller;
    cr_assert_eq(net->poller_open(NULL, &poller, NULL), 0);
    cr_assert_eq(net->poller_add(NULL, poller, b, &b, NULL), 0);
    while (count < 3) {
        net->wait(NULL, &poller, 1, NS_PER_S);
        int got = net->receive(NULL, b, received + count, 4 - count);
        cr_assert_geq(got, 0);
        count += got;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(received[i].length, strlen(out[i]));
        cr_assert_eq(memcmp(in[i], out[i], received[i].length), 0);
        cr_assert(net_address_equal(&received[i].address, &address_a));
    }
    cr_assert_eq(net->receive(NULL, b, received, 4), 0);
    net->poller_close(NULL, poller);
    net->close(NULL, a);
    net->close(NULL, b);
}

Test(net, a_taken_port_is_an_error_with_the_address) {
    const struct net *net = net_system();
    struct net_socket_params params = {0};
    int first;
    int second;
    union net_address bound;
    struct tern_error error = {0};
    cr_assert_eq(open_loopback(&first, &bound), 0);
    params.bind = bound;
    cr_assert_lt(net->open(NULL, &params, &second, &bound, &error), 0);
    cr_assert(strstr(error.text, "127.0.0.1:") != NULL, "%s", error.text);
    net->close(NULL, first);
}

Test(net, localhost_resolves_and_nonsense_does_not) {
    union net_address address;
    struct tern_error error = {0};
    cr_assert_eq(net_system()->resolve(NULL, "localhost", &address, &error), 0);
    cr_assert_lt(net_system()->resolve(NULL, "no such host.invalid", &address, &error), 0);
    cr_assert(strstr(error.text, "no such host.invalid") != NULL, "%s", error.text);
}

/* Whether the receiver is given them joined is the kernel's choice: lengths and bytes tell. */
static int receive_split(int socket, uint8_t *bytes, uint32_t *lengths, int expected) {
    static uint8_t buffers[8][65536];
    const struct net *net = net_system();
    struct net_datagram received[8];
    struct net_poller *poller;
    int count = 0;
    uint32_t total = 0;
    cr_assert_eq(net->poller_open(NULL, &poller, NULL), 0);
    cr_assert_eq(net->poller_add(NULL, poller, socket, NULL, NULL), 0);
    for (int tries = 0; count < expected && tries < 100; tries++) {
        for (int i = 0; i < 8; i++) {
            received[i] = (struct net_datagram){.data = buffers[i], .capacity = 65536};
        }
        net->wait(NULL, &poller, 1, NS_PER_S / 10);
        int got = net->receive(NULL, socket, received, 8);
        for (int i = 0; i < got; i++) {
            uint32_t step =
                received[i].segment_length > 0 ? received[i].segment_length : received[i].length;
            memcpy(bytes + total, received[i].data, received[i].length);
            total += received[i].length;
            for (uint32_t at = 0; at < received[i].length; at += step) {
                uint32_t rest = received[i].length - at;
                lengths[count++] = rest < step ? rest : step;
            }
        }
    }
    net->poller_close(NULL, poller);
    return count;
}

Test(net, segmented_sends_arrive_as_the_same_datagrams) {
    static const uint32_t patterns[][8] = {
        {1408, 1408, 1408, 1408, 1408, 1408, 1408, 1408}, /* one buffer */
        {1408, 1408, 320, 1408, 1408, 1376, 64, 32},      /* short ones end a run */
        {320, 1408, 1408, 64, 64, 64, 64, 1408},
        {32, 32, 32, 32, 32, 32, 32, 32},
        {9000, 9000, 9000, 9000, 9000, 9000, 9000, 9000}, /* more than one buffer holds */
        {65504, 65504, 1408, 1408, 1408, 1408, 1408, 1408},
    };
    static uint8_t out[8 * 65504];
    static uint8_t in[8 * 65504];
    const struct net *net = net_system();
    for (size_t i = 0; i < sizeof out; i++) {
        out[i] = (uint8_t)(i * 7 + i / 1408);
    }
    for (int joined = 0; joined < 2; joined++) {
        struct net_socket_params params = {
            .rcvbuf_bytes = 1 << 20, .sndbuf_bytes = 1 << 20, .joins_segments = joined == 1};
        union net_address to;
        union net_address from;
        int a;
        int b;
        cr_assert_eq(net_address_parse("127.0.0.1:0", &params.bind), 0);
        cr_assert_eq(net->open(NULL, &params, &b, &to, NULL), 0);
        params.connect = &to;
        cr_assert_eq(net->open(NULL, &params, &a, &from, NULL), 0);
        for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
            struct net_datagram sent[8];
            uint32_t lengths[64] = {0};
            uint32_t total = 0;
            for (int i = 0; i < 8; i++) {
                sent[i] = (struct net_datagram){.data = out + total, .length = patterns[p][i]};
                total += patterns[p][i];
            }
            int taken = 0;
            while (taken < 8) {
                int more = net->send(NULL, a, sent + taken, 8 - taken, NET_SEND_SEGMENTED);
                cr_assert_gt(more, 0, "pattern %zu: %d", p, more);
                taken += more;
            }
            cr_assert_eq(receive_split(b, in, lengths, 8), 8, "pattern %zu joined %d", p, joined);
            for (int i = 0; i < 8; i++) {
                cr_assert_eq(lengths[i], patterns[p][i], "pattern %zu datagram %d", p, i);
            }
            cr_assert_eq(memcmp(in, out, total), 0, "pattern %zu", p);
        }
        net->close(NULL, a);
        net->close(NULL, b);
    }
}

Test(net, arrival_times_are_told_when_asked_for) {
    const struct net *net = net_system();
    struct tern_error error;
    for (int wants = 0; wants < 3; wants++) { /* 2: later */
        struct net_socket_params params = {.has_arrival_times = wants == 1, .joins_segments = true};
        union net_address bound;
        int socket;
        cr_assert_eq(net_address_parse("127.0.0.1:0", &params.bind), 0);
        cr_assert_eq(net->open(net->context, &params, &socket, &bound, &error), 0);
        if (wants == 2) {
            cr_assert_eq(net->note_arrivals(net->context, socket, &error), 0);
        }
        int64_t before_ns = clock_epoch_ns(clock_system());
        struct net_datagram sent = {.data = "when", .length = 4, .address = bound};
        cr_assert_eq(net->send(net->context, socket, &sent, 1, NET_SEND_TO_ADDRESS), 1);
        uint8_t buffer[64];
        struct net_datagram received = {
            .data = buffer, .capacity = sizeof buffer, .arrival_epoch_ns = 77};
        while (net->receive(net->context, socket, &received, 1) == 0) {
        }
        int64_t after_ns = clock_epoch_ns(clock_system());
        if (wants > 0) { /* the kernel's clock is the same, but for a tick */
            cr_assert_geq(received.arrival_epoch_ns, before_ns - 10 * NS_PER_MS);
            cr_assert_leq(received.arrival_epoch_ns, after_ns + 10 * NS_PER_MS);
        } else {
            cr_assert_eq(received.arrival_epoch_ns, 0);
        }
        net->close(net->context, socket);
    }
}

Test(net, limits_and_interfaces_of_this_machine_are_plausible) {
    const struct net *net = net_system();
    struct net_buffer_limits limits;
    struct net_interface interfaces[64];
    cr_assert_eq(net->buffer_limits(NULL, &limits, NULL), 0);
    cr_assert_gt(limits.rcvbuf_default_bytes, 4096);
    cr_assert_gt(limits.sndbuf_default_bytes, 4096);
    cr_assert_geq(limits.rcvbuf_max_bytes, limits.rcvbuf_default_bytes);
    int count = net->interfaces(NULL, interfaces, 64);
    bool has_loopback = false;
    for (int i = 0; i < count; i++) {
        char text[NET_ADDRESS_TEXT_MAX];
        (void)net_address_format(&interfaces[i].address, text);
        has_loopback |= interfaces[i].is_loopback && interfaces[i].prefix_length == 8 &&
                        strcmp(text, "127.0.0.1:0") == 0;
    }
    cr_assert(has_loopback);
}

/* One socket that sends to a group on the loopback interface and two that share its port, of which
 * only one is in the group. */
static void exchange_in_group(const char *group_text, const char *bind_text, const char *interface,
                              uint32_t interface_index) {
    const struct net *net = net_system();
    union net_address group, other_group, bound;
    struct net_socket_params listen = {.group = &group, .group_interface_index = interface_index};
    cr_assert_eq(net_address_parse(group_text, &group), 0);
    cr_assert_eq(net_address_parse(bind_text, &listen.bind), 0);
    cr_assert_eq(net_address_parse(interface, &listen.group_interface), 0);
    struct net_socket_params send = {
        .bind = listen.group_interface,
        .connect = &group,
        .sends_to_groups = true,
        .group_interface = listen.group_interface,
        .group_interface_index = interface_index,
        .ttl = 3,
    };
    struct tern_error error = {0};
    int member, stranger, sender;
    cr_assert_eq(net->open(NULL, &listen, &member, &bound, &error), 0, "%s", error.text);
    net_address_set_port(&group, net_address_port(&bound));
    net_address_set_port(&listen.bind, net_address_port(&bound));
    other_group = group;
    if (group.base.sa_family == AF_INET6) {
        other_group.v6.sin6_addr.s6_addr[15]++;
    } else {
        other_group.v4.sin_addr.s_addr = htonl(ntohl(group.v4.sin_addr.s_addr) + 1);
    }
    listen.group = &other_group;
    cr_assert_eq(net->open(NULL, &listen, &stranger, &bound, &error), 0, "%s", error.text);
    cr_assert_eq(net->open(NULL, &send, &sender, &bound, &error), 0, "%s", error.text);
    int ttl = 0;
    socklen_t length = sizeof ttl;
    bool is_v6 = group.base.sa_family == AF_INET6;
    cr_assert_eq(getsockopt(sender, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                            is_v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, &ttl, &length),
                 0);
    cr_assert_eq(ttl, 3);
    struct net_datagram out = {.data = "to the group", .length = 12};
    cr_assert_eq(net->send(NULL, sender, &out, 1, 0), 1);
    char buffer[64];
    struct net_datagram in = {.data = buffer, .capacity = sizeof buffer};
    int count = 0;
    struct net_poller *poller;
    cr_assert_eq(net->poller_open(NULL, &poller, NULL), 0);
    cr_assert_eq(net->poller_add(NULL, poller, member, NULL, NULL), 0);
    for (int i = 0; i < 100 && count == 0; i++) {
        net->wait(NULL, &poller, 1, 100 * NS_PER_MS);
        count = net->receive(NULL, member, &in, 1);
    }
    cr_assert_eq(count, 1, "%s", group_text);
    cr_assert_eq(in.length, 12);
    cr_assert_eq(net->receive(NULL, stranger, &in, 1), 0, "not its group");
    net->poller_close(NULL, poller);
    net->close(NULL, member);
    net->close(NULL, stranger);
    net->close(NULL, sender);
}

Test(net, groups_are_joined_on_the_interface_that_is_named) {
    struct net_interface interfaces[64];
    int count = net_system()->interfaces(NULL, interfaces, 64);
    exchange_in_group("224.20.30.39", "0.0.0.0:0", "127.0.0.1", 0);
    /* The loopback interface takes no IPv6 groups. What goes to ff01:: never leaves the machine. */
    for (int i = 0; i < count; i++) {
        if (interfaces[i].is_multicast && interfaces[i].address.base.sa_family == AF_INET6 &&
            interfaces[i].address.v6.sin6_scope_id == 0) {
            char text[NET_ADDRESS_TEXT_MAX];
            (void)net_address_format(&interfaces[i].address, text);
            exchange_in_group("[ff01::1:3]", "[::]:0", text, interfaces[i].index);
            break;
        }
    }
    union net_address group;
    struct net_socket_params params = {.group = &group};
    struct tern_error error = {0};
    int socket;
    cr_assert_eq(net_address_parse("224.20.30.39:0", &group), 0);
    cr_assert_eq(net_address_parse("0.0.0.0:0", &params.bind), 0);
    cr_assert_eq(net_address_parse("127.9.9.9", &params.group_interface), 0);
    params.group_interface.v4.sin_addr.s_addr = htonl(0xC6336407); /* 198.51.100.7: nobody's */
    cr_assert_lt(net_system()->open(NULL, &params, &socket, &group, &error), 0);
    cr_assert_not_null(strstr(error.text, "IP_ADD_MEMBERSHIP"), "%s", error.text);
}

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
        sent[i] = (struct net_datagram){out[i], 0, (uint32_t)strlen(out[i]), address_b};
    }
    cr_assert_eq(net->send(NULL, a, sent, 3, true), 3);
    char in[4][16];
    struct net_datagram received[4];
    for (int i = 0; i < 4; i++) {
        received[i] = (struct net_datagram){in[i], sizeof in[i], 0, {{0}}};
    }
    int count = 0;
    while (count < 3) {
        net->wait(NULL, &b, 1, NS_PER_S);
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

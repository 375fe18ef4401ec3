#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "base/net.h"
#include "base/net_poller.h"

#define SOCKETS 3

struct fixture {
    const struct net *net;
    struct net_poller *poller;
    int sockets[SOCKETS];
    union net_address addresses[SOCKETS];
};

static void setup(struct fixture *f) {
    struct net_socket_params params = {0};
    f->net = net_system();
    cr_assert_eq(f->net->poller_open(NULL, &f->poller, NULL), 0);
    cr_assert_eq(net_address_parse("127.0.0.1:0", &params.bind), 0);
    for (int i = 0; i < SOCKETS; i++) {
        cr_assert_eq(f->net->open(NULL, &params, &f->sockets[i], &f->addresses[i], NULL), 0);
        cr_assert_eq(f->net->poller_add(NULL, f->poller, f->sockets[i], &f->addresses[i], NULL), 0);
    }
}

static void teardown(struct fixture *f) {
    for (int i = 0; i < SOCKETS; i++) {
        f->net->close(NULL, f->sockets[i]);
    }
    f->net->poller_close(NULL, f->poller);
}

static void send_to(struct fixture *f, int index) {
    char text[] = "x";
    struct net_datagram datagram = {.data = text, .length = 1, .address = f->addresses[index]};
    cr_assert_eq(f->net->send(NULL, f->sockets[0], &datagram, 1, NET_SEND_TO_ADDRESS), 1);
}

static void take_from(struct fixture *f, int index) {
    char text[8];
    struct net_datagram datagram = {.data = text, .capacity = sizeof text};
    cr_assert_eq(f->net->receive(NULL, f->sockets[index], &datagram, 1), 1);
}

static int64_t wait_ns(struct fixture *f, int64_t timeout_ns) {
    int64_t start_ns = clock_now_ns(clock_system());
    f->net->wait(NULL, &f->poller, 1, timeout_ns);
    return clock_now_ns(clock_system()) - start_ns;
}

Test(net_poller, only_sockets_with_something_to_receive_are_ready) {
    struct fixture f;
    void *owners[SOCKETS];
    setup(&f);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, owners, SOCKETS), 0);
    send_to(&f, 1);
    f.net->wait(NULL, &f.poller, 1, 10 * NS_PER_S);
    for (int i = 0; i < 2; i++) { /* as long as nobody takes it */
        cr_assert_eq(f.net->poller_ready(NULL, f.poller, owners, SOCKETS), 1);
        cr_assert_eq(owners[0], (void *)&f.addresses[1]);
    }
    take_from(&f, 1);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, owners, SOCKETS), 0);
    teardown(&f);
}

Test(net_poller, none_of_many_ready_sockets_is_passed_over) {
    struct fixture f;
    void *owner;
    int seen[SOCKETS] = {0};
    setup(&f);
    for (int i = 0; i < SOCKETS; i++) {
        send_to(&f, i);
    }
    for (int i = 0; i < SOCKETS; i++) {
        cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 1);
        seen[(union net_address *)owner - f.addresses]++;
    }
    for (int i = 0; i < SOCKETS; i++) {
        cr_assert_eq(seen[i], 1, "socket %d: %d", i, seen[i]);
    }
    teardown(&f);
}

Test(net_poller, a_removed_socket_is_not_ready_any_more) {
    struct fixture f;
    void *owner;
    setup(&f);
    send_to(&f, 2);
    f.net->poller_remove(NULL, f.poller, f.sockets[2]);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 0);
    teardown(&f);
}

/* The wake-up may come before the wait, and a look at the sockets in between: it is not lost. */
Test(net_poller, a_wake_up_ends_one_wait) {
    struct fixture f;
    void *owner;
    setup(&f);
    f.net->wake(NULL, f.poller);
    f.net->wake(NULL, f.poller);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 0);
    cr_assert_lt(wait_ns(&f, 60 * NS_PER_S), 50 * NS_PER_S);
    cr_assert_geq(wait_ns(&f, 20 * NS_PER_MS), 20 * NS_PER_MS);
    teardown(&f);
}

Test(net_poller, one_wait_serves_several_pollers) {
    struct fixture f;
    struct net_poller *other;
    setup(&f);
    cr_assert_eq(f.net->poller_open(NULL, &other, NULL), 0);
    struct net_poller *const both[] = {other, f.poller};
    send_to(&f, 0);
    int64_t start_ns = clock_now_ns(clock_system());
    f.net->wait(NULL, both, 2, 60 * NS_PER_S);
    take_from(&f, 0);
    f.net->wake(NULL, other);
    f.net->wait(NULL, both, 2, 60 * NS_PER_S);
    cr_assert_lt(clock_now_ns(clock_system()) - start_ns, 50 * NS_PER_S);
    f.net->poller_close(NULL, other);
    teardown(&f);
}

Test(net_poller, one_look_after_a_wait_for_nothing_is_left_out) {
    struct fixture f;
    void *owner;
    setup(&f);
    (void)wait_ns(&f, NS_PER_MS);
    send_to(&f, 1);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 0);
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 1);
    (void)wait_ns(&f, NS_PER_MS); /* ended by the datagram */
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 1);
    take_from(&f, 1);
    f.net->wake(NULL, f.poller);
    send_to(&f, 2);
    (void)wait_ns(&f, NS_PER_MS); /* by both */
    cr_assert_eq(f.net->poller_ready(NULL, f.poller, &owner, 1), 1);
    cr_assert_eq(owner, (void *)&f.addresses[2]);
    teardown(&f);
}

Test(net_poller, closing_nothing_is_fine_and_a_bad_socket_is_refused) {
    struct fixture f;
    struct tern_error error = {0};
    setup(&f);
    f.net->poller_close(NULL, NULL);
    cr_assert_lt(f.net->poller_add(NULL, f.poller, -1, NULL, &error), 0);
    cr_assert(strstr(error.text, "cannot poll a UDP socket") != NULL, "%s", error.text);
    teardown(&f);
}

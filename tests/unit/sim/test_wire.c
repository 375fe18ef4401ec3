#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "sim/dice.h"
#include "sim/wire.h"
#include "wire/frame.h"

struct fixture {
    struct wire wire;
    struct dice dice;
    const struct net *nets[2];
    int sockets[2];
    union net_address addresses[2];
};

static struct fixture *open_wire(void) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->dice = (struct dice){1};
    wire_init(&fixture->wire, dice_random(&fixture->dice));
    for (int i = 0; i < 2; i++) {
        struct net_socket_params params = {0};
        fixture->nets[i] = &wire_add_host(&fixture->wire)->table;
        cr_assert_eq(net_address_parse(i == 0 ? "10.0.0.1:0" : "10.0.0.2:700", &params.bind), 0);
        cr_assert_eq(fixture->nets[i]->open(fixture->nets[i]->context, &params,
                                            &fixture->sockets[i], &fixture->addresses[i], NULL),
                     0);
    }
    return fixture;
}

static void close_wire(struct fixture *fixture) {
    wire_close(&fixture->wire);
    free(fixture);
}

static int send_byte(struct fixture *fixture, char byte) {
    struct net_datagram datagram = {.data = &byte, .length = 1, .address = fixture->addresses[1]};
    return fixture->nets[0]->send(fixture->nets[0]->context, fixture->sockets[0], &datagram, 1,
                                  NET_SEND_TO_ADDRESS);
}

/* What the second host has at `now_ns`, as text. */
static const char *received_at(struct fixture *fixture, int64_t now_ns, char text[64]) {
    fixture->wire.now_ns = now_ns;
    int length = 0;
    char byte;
    struct net_datagram datagram = {.data = &byte, .capacity = 1};
    while (length < 63 && fixture->nets[1]->receive(fixture->nets[1]->context, fixture->sockets[1],
                                                    &datagram, 1) == 1) {
        text[length++] = byte;
    }
    text[length] = '\0';
    return text;
}

Test(wire, datagrams_come_when_their_time_has_come) {
    struct fixture *fixture = open_wire();
    char text[64];
    fixture->wire.links[0][1] = (struct wire_link){.delay_min_ns = 100, .delay_max_ns = 100};
    cr_assert_eq(send_byte(fixture, 'a'), 1);
    cr_assert_eq(send_byte(fixture, 'b'), 1);
    cr_assert_str_eq(received_at(fixture, 99, text), "");
    cr_assert_str_eq(received_at(fixture, 100, text), "ab");
    close_wire(fixture);
}

Test(wire, links_lose_duplicate_cut_and_refuse) {
    struct fixture *fixture = open_wire();
    char text[64];
    fixture->wire.links[0][1] = (struct wire_link){.loss = 1};
    cr_assert_eq(send_byte(fixture, 'a'), 1);
    fixture->wire.links[0][1] = (struct wire_link){.duplication = 1};
    cr_assert_eq(send_byte(fixture, 'b'), 1);
    fixture->wire.links[0][1] = (struct wire_link){.is_cut = true};
    cr_assert_eq(send_byte(fixture, 'c'), 1);
    fixture->wire.links[0][1] = (struct wire_link){0};
    fixture->wire.hosts[1].is_gone = true;
    cr_assert_eq(send_byte(fixture, 'd'), 1);
    fixture->wire.hosts[1].is_gone = false;
    cr_assert_str_eq(received_at(fixture, 1, text), "bb");
    cr_assert_eq(fixture->wire.lost_count, 3);
    char bytes[100] = {0};
    struct net_datagram datagram = {
        .data = bytes, .length = sizeof bytes, .address = fixture->addresses[1]};
    fixture->wire.links[0][1] = (struct wire_link){.length_max = 99};
    cr_assert_eq(fixture->nets[0]->send(fixture->nets[0]->context, fixture->sockets[0], &datagram,
                                        1, NET_SEND_TO_ADDRESS),
                 -EMSGSIZE);
    close_wire(fixture);
}

Test(wire, a_slow_link_and_a_wide_delay_do_as_they_say) {
    struct fixture *fixture = open_wire();
    char text[64];
    fixture->wire.links[0][1] = (struct wire_link){.bytes_per_s = 10};
    cr_assert_eq(send_byte(fixture, 'a'), 1);
    cr_assert_eq(send_byte(fixture, 'b'), 1);
    cr_assert_str_eq(received_at(fixture, 100000000, text), "a");
    cr_assert_str_eq(received_at(fixture, 200000000, text), "b");
    fixture->wire.links[0][1] = (struct wire_link){.delay_max_ns = 1000};
    for (char byte = 'a'; byte <= 'z'; byte++) {
        cr_assert_eq(send_byte(fixture, byte), 1);
    }
    received_at(fixture, 200001000, text);
    cr_assert_eq(strlen(text), 26);
    cr_assert_str_neq(text, "abcdefghijklmnopqrstuvwxyz", "reordered");
    close_wire(fixture);
}

Test(wire, sockets_of_a_dead_process_are_closed_and_their_ports_free) {
    struct fixture *fixture = open_wire();
    struct net_socket_params params = {.bind = fixture->addresses[1]};
    union net_address bound;
    int handle;
    cr_assert_eq(fixture->nets[1]->open(fixture->nets[1]->context, &params, &handle, &bound, NULL),
                 -EADDRINUSE);
    wire_drop_owner(&fixture->wire, 0);
    cr_assert_eq(wire_open_count(&fixture->wire, 0), 0);
    cr_assert_eq(fixture->nets[1]->open(fixture->nets[1]->context, &params, &handle, &bound, NULL),
                 0);
    close_wire(fixture);
}

static int open_in_group(struct fixture *fixture, int host, const union net_address *group,
                         const char *interface) {
    struct net_socket_params params = {.group = group};
    union net_address bound;
    int handle = -1;
    params.bind.base.sa_family = group->base.sa_family;
    net_address_set_port(&params.bind, net_address_port(group));
    if (interface != NULL) {
        cr_assert_eq(net_address_parse(interface, &params.group_interface), 0);
    }
    int result =
        fixture->nets[host]->open(fixture->nets[host]->context, &params, &handle, &bound, NULL);
    return result == 0 ? handle : result;
}

static int waiting(const struct fixture *fixture, int handle) {
    int count = 0;
    for (const struct wire_packet *packet = fixture->wire.sockets[handle].queue; packet != NULL;
         packet = packet->next) {
        count++;
    }
    return count;
}

static void send_to(struct fixture *fixture, int host, int handle,
                    const union net_address *address) {
    char byte = 'x';
    struct net_datagram datagram = {.data = &byte, .length = 1, .address = *address};
    cr_assert_eq(fixture->nets[host]->send(fixture->nets[host]->context, handle, &datagram, 1,
                                           NET_SEND_TO_ADDRESS),
                 1);
}

Test(wire, who_joined_a_group_hears_it_by_its_own_link) {
    static const char *const groups[][2] = {{"224.1.1.1:900", "224.1.1.3:900"},
                                            {"[ff05::1]:900", "[ff05::3]:900"}};
    for (size_t row = 0; row < sizeof groups / sizeof groups[0]; row++) {
        struct fixture *fixture = open_wire();
        union net_address group;
        union net_address other;
        cr_assert_eq(net_address_parse(groups[row][0], &group), 0);
        cr_assert_eq(net_address_parse(groups[row][1], &other), 0);
        int local = open_in_group(fixture, 0, &group, NULL);
        int remote[3] = {open_in_group(fixture, 1, &group, NULL),
                         open_in_group(fixture, 1, &group, NULL),
                         open_in_group(fixture, 1, &other, NULL)};
        cr_assert(local >= 0 && remote[0] >= 0 && remote[1] >= 0 && remote[2] >= 0);
        send_to(fixture, 0, local, &group);
        cr_assert_eq(waiting(fixture, local), 1, "the sender's host is in it");
        cr_assert_eq(waiting(fixture, remote[0]), 1);
        cr_assert_eq(waiting(fixture, remote[1]), 1);
        cr_assert_eq(waiting(fixture, remote[2]), 0, "another group of the same port");
        fixture->wire.links[0][1].is_cut = true;
        send_to(fixture, 0, local, &group);
        fixture->wire.links[0][1] = (struct wire_link){.duplication = 1};
        send_to(fixture, 0, local, &group);
        cr_assert_eq(waiting(fixture, local), 3, "no link of its own");
        cr_assert_eq(waiting(fixture, remote[0]), 3, "one lost, one twice");
        fixture->nets[1]->close(fixture->nets[1]->context, remote[1]);
        send_to(fixture, 0, local, &other);
        cr_assert_eq(waiting(fixture, local), 3, "not a member");
        cr_assert_eq(waiting(fixture, remote[2]), 2);
        close_wire(fixture);
    }
}

Test(wire, a_group_is_joined_on_an_interface_that_is_there) {
    struct fixture *fixture = open_wire();
    union net_address group;
    cr_assert_eq(net_address_parse("224.1.1.1:700", &group), 0);
    cr_assert_geq(open_in_group(fixture, 0, &group, "10.0.0.1"), 0);
    cr_assert_eq(open_in_group(fixture, 0, &group, "10.0.0.9"), -ENODEV);
    cr_assert_eq(open_in_group(fixture, 1, &group, NULL), -EADDRINUSE, "bound without a group");
    fixture->wire.hosts[0].is_gone = true;
    cr_assert_lt(open_in_group(fixture, 0, &group, NULL), 0);
    close_wire(fixture);
}

Test(wire, a_small_mtu_of_one_member_is_no_error_of_the_sender) {
    struct fixture *fixture = open_wire();
    union net_address group;
    cr_assert_eq(net_address_parse("224.1.1.1:900", &group), 0);
    int local = open_in_group(fixture, 0, &group, NULL);
    int remote = open_in_group(fixture, 1, &group, NULL);
    uint8_t bytes[100] = {0};
    struct net_datagram datagram = {.data = bytes, .length = sizeof bytes, .address = group};
    fixture->wire.links[0][1] = (struct wire_link){.length_max = 99};
    cr_assert_eq(
        fixture->nets[0]->send(fixture->nets[0]->context, local, &datagram, 1, NET_SEND_TO_ADDRESS),
        1);
    cr_assert_eq(waiting(fixture, local), 1);
    cr_assert_eq(waiting(fixture, remote), 0);
    close_wire(fixture);
}

#define FRAME_LENGTH 96
#define FLIPS_COUNT 2000

/* Sends the frame over a link that flips a bit of each datagram; returns the byte it is in. */
static int flipped_byte(struct fixture *fixture, const uint8_t frame[FRAME_LENGTH],
                        uint8_t received[FRAME_LENGTH]) {
    uint8_t copy[FRAME_LENGTH];
    memcpy(copy, frame, FRAME_LENGTH);
    struct net_datagram datagram = {
        .data = copy, .length = FRAME_LENGTH, .address = fixture->addresses[1]};
    cr_assert_eq(fixture->nets[0]->send(fixture->nets[0]->context, fixture->sockets[0], &datagram,
                                        1, NET_SEND_TO_ADDRESS),
                 1);
    datagram = (struct net_datagram){.data = received, .capacity = FRAME_LENGTH};
    cr_assert_eq(
        fixture->nets[1]->receive(fixture->nets[1]->context, fixture->sockets[1], &datagram, 1), 1);
    int byte = -1;
    for (int i = 0; i < FRAME_LENGTH; i++) {
        unsigned difference = (unsigned)(frame[i] ^ received[i]);
        if (difference != 0) {
            cr_assert_eq(byte, -1);
            cr_assert_eq(difference & (difference - 1), 0);
            byte = i;
        }
    }
    cr_assert_geq(byte, 0);
    return byte;
}

Test(wire, one_bit_is_flipped_where_a_receiver_can_tell_or_anywhere) {
    struct fixture *fixture = open_wire();
    const struct frame_header header = {.frame_length = FRAME_LENGTH,
                                        .flags = 0xC0,
                                        .type = FRAME_TYPE_DATA,
                                        .term_offset = 4096,
                                        .session_id = 1,
                                        .stream_id = 2,
                                        .term_id = 3};
    uint8_t frame[FRAME_LENGTH] = {0};
    uint8_t received[FRAME_LENGTH];
    memcpy(frame, &header, sizeof header);
    fixture->wire.links[0][1] = (struct wire_link){.flip = 1};
    fixture->wire.now_ns = 1000;
    for (int i = 0; i < FLIPS_COUNT; i++) {
        int byte = flipped_byte(fixture, frame, received);
        const struct frame_header *seen = (const void *)received;
        bool is_refused =
            frame_validate(FRAME_ROLE_RECEIVER, received, FRAME_LENGTH) != FRAME_VALID;
        cr_assert(is_refused || !frame_data_fits(seen, FRAME_LENGTH, 65536) ||
                      (byte >= 12 && byte < 24),
                  "byte %d: neither refused nor of another session, stream or term", byte);
    }
    fixture->wire.flips_anywhere = true;
    int payload_count = 0;
    for (int i = 0; i < FLIPS_COUNT; i++) {
        payload_count += flipped_byte(fixture, frame, received) >= LOG_FRAME_HEADER_LENGTH;
    }
    cr_assert_gt(payload_count, FLIPS_COUNT / 3);
    cr_assert_eq(fixture->wire.flipped_count, 2 * FLIPS_COUNT);
    close_wire(fixture);
}

/* The network of the simulation: hosts with an address each, links with faults of their own in each
 * direction. Every driver gets a net table of its host; what it sends waits in the queue of the
 * receiving socket until its time has come.
 *
 * What happens to a datagram is decided by the seed when it is sent. Most flipped bits are what
 * UDP's checksum catches: the datagram is gone. What is delivered instead now and then is garbage,
 * which nobody may believe, or the datagram with one bit flipped that the checksum let pass: where
 * the receiver has a check, which must catch it, or (flips_anywhere) at any place.
 *
 * All hosts are on one segment: what is sent to a group goes to every host on which a socket joined
 * it, the sender's own included, by each link with that link's faults, and there to all sockets
 * that did. */
#ifndef TERN_SIM_WIRE_H
#define TERN_SIM_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "base/random.h"

#define WIRE_HOSTS_MAX 8
#define WIRE_SOCKETS_MAX 2048
#define WIRE_RECEIVE_BUFFER_BYTES (256 * 1024)

/* Rates from 0 to 1; the delay is uniform between min and max, so that max > min reorders. */
struct wire_link {
    bool is_cut;
    double loss;
    double duplication;
    double garbage;
    double flip; /* one bit */
    int64_t delay_min_ns;
    int64_t delay_max_ns;
    int64_t bytes_per_s;   /* 0: unlimited */
    uint32_t length_max;   /* longer datagrams are refused with EMSGSIZE; 0: no limit */
    int64_t busy_until_ns; /* the last byte of what was sent has left */
};

struct wire_packet {
    union net_address from;
    int64_t deliver_ns;
    uint64_t number;
    uint32_t length;
    struct wire_packet *next;
    uint8_t data[];
};

struct wire_socket {
    bool is_open;
    bool is_connected;
    int host;
    int owner;
    union net_address bound;
    union net_address peer;
    bool has_group;
    union net_address group;   /* that it joined, with the port */
    struct wire_packet *queue; /* ordered by deliver_ns, number */
    int64_t queued_bytes;
};

struct wire;

struct wire_host {
    struct net table; /* hand out &table */
    struct wire *wire;
    int index;
    bool is_gone; /* its address is not there: nothing comes or goes, sockets cannot be opened */
    union net_address address;
    union net_address address6;
    uint16_t next_port;
};

/* What a datagram is told to observers as, when it is sent. */
struct wire_datagram {
    int from_host;
    int to_host; /* -1: to nobody's address */
    const union net_address *to;
    const uint8_t *data;
    uint32_t length;
};

struct wire {
    int64_t now_ns;
    struct random random;
    struct wire_host hosts[WIRE_HOSTS_MAX];
    int host_count;
    struct wire_link links[WIRE_HOSTS_MAX][WIRE_HOSTS_MAX];
    struct wire_socket sockets[WIRE_SOCKETS_MAX];
    int socket_count; /* those behind were never used */
    uint64_t next_number;
    bool flips_anywhere; /* also where nobody can tell */
    void (*on_send)(void *context, const struct wire_datagram *datagram);
    void (*on_arrival)(void *context, int host, int64_t deliver_ns);
    void *context;
    /* what happened */
    int64_t sent_count;
    int64_t lost_count;
    int64_t duplicated_count;
    int64_t garbage_count;
    int64_t flipped_count;
};

void wire_init(struct wire *wire, struct random random);
void wire_close(struct wire *wire);
/* The host 10.0.0.<index + 1>, fd00::<index + 1>. */
struct wire_host *wire_add_host(struct wire *wire);
/* Close the sockets of a process that was killed. */
void wire_drop_owner(struct wire *wire, int owner);
int wire_open_count(const struct wire *wire, int owner);

#endif

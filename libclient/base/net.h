/* The net seam: UDP sockets as the driver needs them, in batches (media-driver.md 5.1).
 *
 * All sockets are non-blocking. A socket is an opaque small int >= 0 owned by the table that opened
 * it. The simulated network in tests/sim implements the same table.
 */
#ifndef TERN_BASE_NET_H
#define TERN_BASE_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define NET_DATAGRAM_LENGTH_MAX 65507
#define NET_BATCH_COUNT_MAX 64
#define NET_POLLERS_MAX 4
#define NET_ADDRESS_TEXT_MAX 64 /* "[v6%scope]:port" and a NUL */

union net_address {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* One datagram. For send: data, length and (unconnected sockets) address are read. For receive:
 * data and capacity are read, all else is written.
 *
 * A receiving socket that was opened with `joins_segments` may be given several datagrams of one
 * sender in one buffer: segment_length is then the length of each but the last, which may be
 * shorter. Else it is 0. */
struct net_datagram {
    void *data;
    uint32_t capacity;
    uint32_t length;
    union net_address address;
    uint32_t segment_length;
    int64_t arrival_epoch_ns; /* of a socket with `has_arrival_times`; 0: not known */
};

enum net_send_flag {
    NET_SEND_TO_ADDRESS = 1, /* each datagram has its address; else to the connected peer */
    /* Runs of datagrams of one length may be handed to the system as one buffer to be cut (GSO). On
     * the wire nothing changes. Where system or device cannot do it the call fails with -EINVAL,
     * -EIO or -EMSGSIZE: go on without the flag. */
    NET_SEND_SEGMENTED = 2,
};

struct net_socket_params {
    union net_address bind;           /* address and port (0: any) to bind to */
    const union net_address *connect; /* NULL: not connected */
    int32_t rcvbuf_bytes;             /* 0: leave the system's default */
    int32_t sndbuf_bytes;             /* 0: leave the system's default */
    /* Multicast. A socket that joins a group shares its port with others that do, and hears of no
     * group that it did not join. */
    const union net_address *group;    /* to join; NULL: none */
    bool sends_to_groups;              /* by the interface below and with the TTL */
    union net_address group_interface; /* IPv4; wildcard: as the system routes */
    uint32_t group_interface_index;    /* IPv6; 0: as the system routes */
    uint8_t ttl;                       /* 0: leave the system's default */
    /* The reader splits joined datagrams (GRO); silently without effect where the system cannot. */
    bool joins_segments;
    /* The system notes when each datagram came (SO_TIMESTAMPNS). Of joined segments only the first
     * counts: who needs all does not join. */
    bool has_arrival_times;
};

/* One address of a network interface that is up. */
struct net_interface {
    char name[16];
    uint32_t index;
    union net_address address; /* port 0 */
    uint8_t prefix_length;
    bool is_loopback;
    bool is_multicast;
};

/* What the system gives a socket that asks for nothing, and what it grants at most. */
struct net_buffer_limits {
    int32_t rcvbuf_default_bytes;
    int32_t rcvbuf_max_bytes;
    int32_t sndbuf_default_bytes;
    int32_t sndbuf_max_bytes;
};

struct net_poller; /* each table has its own */

struct net {
    void *context;

    /* Open and bind; *bound receives the address with the real port. 0 or a negative code. */
    int (*open)(void *context, const struct net_socket_params *params, int *socket,
                union net_address *bound, struct tern_error *error);
    /* Change the peer of a connected socket (re-resolution). */
    int (*connect)(void *context, int socket, const union net_address *address,
                   struct tern_error *error);
    /* From now on as if it had been opened with has_arrival_times and without joins_segments; what
     * came before may still be joined. Any thread. 0 or a negative code. */
    int (*note_arrivals)(void *context, int socket, struct tern_error *error);
    void (*close)(void *context, int socket);

    /* Send `count` datagrams in order; returns how many the system took (0 when it would block or
     * the peer refused), or -errno when the first of them met another error. `flags` are of enum
     * net_send_flag. */
    int (*send)(void *context, int socket, const struct net_datagram *datagrams, int count,
                unsigned flags);

    /* Receive up to `count` datagrams; returns how many (0: nothing there) or -errno. */
    int (*receive)(void *context, int socket, struct net_datagram *datagrams, int count);

    /* A poller knows many sockets, so that a look at all of them costs one call and the quiet ones
     * cost nothing. It belongs to the thread of one agent; only wake may be called by any. */
    int (*poller_open)(void *context, struct net_poller **poller, struct tern_error *error);
    /* Sockets that are still in it are forgotten. NULL is fine. */
    void (*poller_close)(void *context, struct net_poller *poller);
    /* `owner` is what poller_ready gives for this socket. 0 or a negative code. */
    int (*poller_add)(void *context, struct net_poller *poller, int socket, void *owner,
                      struct tern_error *error);
    void (*poller_remove)(void *context, struct net_poller *poller, int socket);
    /* The owners of at most `count` sockets (<= NET_BATCH_COUNT_MAX) that have something to
     * receive. Does not block. When there are more, others come first in the next call. The first
     * call after a wait that found nothing may say so again without looking. */
    int (*poller_ready)(void *context, struct net_poller *poller, void **owners, int count);

    /* Block until a socket of one of the pollers (<= NET_POLLERS_MAX) has something to receive, one
     * was woken, or the timeout passes; spurious returns are fine. NULL: the table cannot wait
     * (simulation), runners then idle by their strategy. */
    void (*wait)(void *context, struct net_poller *const *pollers, int count, int64_t timeout_ns);
    /* End the wait for this poller: the one that is going on, else the next. */
    void (*wake)(void *context, struct net_poller *poller);

    /* Resolve a host name (no port) to an address of any family, IPv4 preferred. May block: only
     * called from helper agents. 0 or a negative code. */
    int (*resolve)(void *context, const char *host, union net_address *address,
                   struct tern_error *error);

    /* The addresses of all interfaces that are up, at most `capacity`; a count or -errno. */
    int (*interfaces)(void *context, struct net_interface *interfaces, int capacity);
    /* 0 or a negative code. */
    int (*buffer_limits)(void *context, struct net_buffer_limits *limits, struct tern_error *error);
};

/* Kernel sockets (sendmmsg/recvmmsg). The returned table is static and immutable. */
const struct net *net_system(void);

/* "a.b.c.d:port" or "[v6]:port". `text` has NET_ADDRESS_TEXT_MAX bytes. Returns its length. */
int net_address_format(const union net_address *address, char *text);

/* Parse a numeric "a.b.c.d:port", "[v6]:port" or either without port (then port 0). */
int net_address_parse(const char *text, union net_address *address);

bool net_address_equal(const union net_address *a, const union net_address *b);
uint16_t net_address_port(const union net_address *address);
void net_address_set_port(union net_address *address, uint16_t port);
bool net_address_is_multicast(const union net_address *address);
bool net_address_is_wildcard(const union net_address *address);
socklen_t net_address_length(const union net_address *address);

#endif

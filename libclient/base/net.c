/* The net seam over kernel UDP sockets. A socket handle is the descriptor itself.
 *
 * Batches go through sendmmsg and recvmmsg. A datagram costs about the same whatever its length, so
 * runs of equal ones go and come as one buffer where the kernel can (UDP_SEGMENT, UDP_GRO). Errors
 * that only say "not now" or "the peer is not there" are an empty batch; everything else is
 * reported as -errno (media-driver.md 5.1).
 */
#include "base/net.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/net_poller.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29 /* since Linux 4.20; missing in older headers */
#endif

static bool is_transient(int error_number) {
    return error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == ECONNREFUSED ||
           error_number == EINTR;
}

static int set_option(int fd, int level, int name, const void *value, socklen_t length,
                      const char *what, struct tern_error *error) {
    if (setsockopt(fd, level, name, value, length) != 0) {
        return error_set_errno(error, errno, "cannot set %s", what);
    }
    return 0;
}

static int set_int(int fd, int level, int name, int value, const char *what,
                   struct tern_error *error) {
    return set_option(fd, level, name, &value, sizeof value, what, error);
}

static int join_group(int fd, const struct net_socket_params *params, struct tern_error *error) {
    if (params->group->base.sa_family == AF_INET6) {
        struct ipv6_mreq request = {params->group->v6.sin6_addr, params->group_interface_index};
        int result = set_option(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request,
                                "IPV6_JOIN_GROUP", error);
        (void)set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0, "IPV6_MULTICAST_ALL", NULL);
        return result;
    }
    struct ip_mreq request = {params->group->v4.sin_addr, params->group_interface.v4.sin_addr};
    int result = set_option(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request,
                            "IP_ADD_MEMBERSHIP", error);
    /* Without these two options frames of other groups are read and dropped, no more. */
    (void)set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL", NULL);
    return result;
}

static int set_group_output(int fd, const struct net_socket_params *params,
                            struct tern_error *error) {
    bool is_v6 = params->bind.base.sa_family == AF_INET6;
    struct in_addr interface = params->group_interface.v4.sin_addr;
    int result = is_v6 ? set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF,
                                 (int)params->group_interface_index, "IPV6_MULTICAST_IF", error)
                       : set_option(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface,
                                    "IP_MULTICAST_IF", error);
    if (result != 0 || params->ttl == 0) {
        return result;
    }
    return is_v6
               ? set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, params->ttl, "IPV6_MULTICAST_HOPS",
                         error)
               : set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, params->ttl, "IP_MULTICAST_TTL", error);
}

static int bind_socket(int fd, const struct net_socket_params *params, struct tern_error *error) {
    int result = 0;
    if (params->group != NULL) {
        result = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", error);
        if (result == 0) {
            result = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", error);
        }
    }
    if (result != 0) {
        return result;
    }
    char text[NET_ADDRESS_TEXT_MAX];
    if (bind(fd, &params->bind.base, net_address_length(&params->bind)) != 0) {
        int failure = errno;
        (void)net_address_format(&params->bind, text);
        return error_set_errno(error, failure, "cannot bind UDP socket to %s", text);
    }
    if (params->group != NULL) {
        result = join_group(fd, params, error);
    }
    if (result == 0 && params->sends_to_groups) {
        result = set_group_output(fd, params, error);
    }
    if (result == 0 && params->rcvbuf_bytes > 0) {
        result = set_int(fd, SOL_SOCKET, SO_RCVBUF, params->rcvbuf_bytes, "SO_RCVBUF", error);
    }
    if (result == 0 && params->sndbuf_bytes > 0) {
        result = set_int(fd, SOL_SOCKET, SO_SNDBUF, params->sndbuf_bytes, "SO_SNDBUF", error);
    }
    if (result == 0 && params->has_arrival_times) {
        result = set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS", error);
    }
    if (result == 0 && params->joins_segments) {
        (void)set_int(fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO", NULL); /* a bonus */
    }
    return result;
}

static int socket_connect(void *context, int fd, const union net_address *address,
                          struct tern_error *error) {
    (void)context;
    if (connect(fd, &address->base, net_address_length(address)) != 0) {
        char text[NET_ADDRESS_TEXT_MAX];
        int failure = errno;
        (void)net_address_format(address, text);
        return error_set_errno(error, failure, "cannot connect UDP socket to %s", text);
    }
    return 0;
}

static int socket_open(void *context, const struct net_socket_params *params, int *out,
                       union net_address *bound, struct tern_error *error) {
    int fd = socket(params->bind.base.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open a UDP socket");
    }
    int result = bind_socket(fd, params, error);
    if (result == 0 && params->connect != NULL) {
        result = socket_connect(context, fd, params->connect, error);
    }
    socklen_t length = sizeof *bound;
    if (result == 0 && getsockname(fd, &bound->base, &length) != 0) {
        result = error_set_errno(error, errno, "cannot read the address of a UDP socket");
    }
    if (result != 0) {
        (void)close(fd);
        return result;
    }
    *out = fd;
    return 0;
}

static int socket_note_arrivals(void *context, int fd, struct tern_error *error) {
    (void)context;
    (void)set_int(fd, SOL_UDP, UDP_GRO, 0, "UDP_GRO", NULL); /* may be unknown to the kernel */
    return set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS", error);
}

static void socket_close(void *context, int fd) {
    (void)context;
    (void)close(fd);
}

/* What one message of sendmmsg, and one of recvmmsg, needs beside its header. */
union segment_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};
union receive_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct timespec))];
};

/* The kernel cuts at most 64 segments out of one buffer, and the buffer must fit a UDP length. */
#define SEGMENTS_MAX 64

static bool is_same_address(const struct net_datagram *a, const struct net_datagram *b,
                            unsigned flags) {
    return (flags & NET_SEND_TO_ADDRESS) == 0 || net_address_equal(&a->address, &b->address);
}

/* How many datagrams from the first on can go as one buffer: all of one length, the last may be
 * shorter. */
static int count_segments(const struct net_datagram *datagrams, int count, unsigned flags) {
    uint32_t segment_length = datagrams[0].length;
    uint32_t total = segment_length;
    int segments = 1;
    if ((flags & NET_SEND_SEGMENTED) == 0 || segment_length == 0) {
        return 1;
    }
    while (segments < count && segments < SEGMENTS_MAX) {
        const struct net_datagram *next = &datagrams[segments];
        total += next->length;
        if (next->length == 0 || next->length > segment_length || total > NET_DATAGRAM_LENGTH_MAX ||
            !is_same_address(next, &datagrams[0], flags)) {
            break;
        }
        segments++;
        if (next->length < segment_length) {
            break;
        }
    }
    return segments;
}

static void put_segment_length(struct msghdr *message, union segment_control *control,
                               uint32_t length) {
    uint16_t segment_length = (uint16_t)length;
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof segment_length);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment_length);
    memcpy(CMSG_DATA(header), &segment_length, sizeof segment_length);
}

/* The datagrams as few pieces of memory: those of a term lie one behind the other. Returns how
 * many. */
static size_t put_vectors(struct iovec *vectors, const struct net_datagram *datagrams, int count) {
    size_t used = 0;
    const uint8_t *end = NULL;
    for (int i = 0; i < count; i++) {
        if (datagrams[i].data == end) {
            vectors[used - 1].iov_len += datagrams[i].length;
        } else {
            vectors[used++] = (struct iovec){datagrams[i].data, datagrams[i].length};
        }
        end = (const uint8_t *)datagrams[i].data + datagrams[i].length;
    }
    return used;
}

/* Without the headers of a batch, which the kernel would have to read. */
static int send_one(int fd, const struct net_datagram *datagram, unsigned flags) {
    bool has_address = (flags & NET_SEND_TO_ADDRESS) != 0;
    ssize_t sent = sendto(fd, datagram->data, datagram->length, 0,
                          has_address ? &datagram->address.base : NULL,
                          has_address ? net_address_length(&datagram->address) : 0);
    return sent >= 0 ? 1 : is_transient(errno) ? 0 : -errno;
}

static int socket_send(void *context, int fd, const struct net_datagram *datagrams, int count,
                       unsigned flags) {
    (void)context;
    struct mmsghdr messages[NET_BATCH_COUNT_MAX];
    struct iovec vectors[NET_BATCH_COUNT_MAX];
    union segment_control controls[NET_BATCH_COUNT_MAX];
    int segments[NET_BATCH_COUNT_MAX]; /* datagrams of each message */
    int message_count = 0;
    if (count == 1) {
        return send_one(fd, datagrams, flags);
    }
    count = count < NET_BATCH_COUNT_MAX ? count : NET_BATCH_COUNT_MAX;
    for (int i = 0; i < count;) {
        union net_address *address = (union net_address *)&datagrams[i].address;
        bool has_address = (flags & NET_SEND_TO_ADDRESS) != 0;
        int taken = count_segments(&datagrams[i], count - i, flags);
        struct msghdr *message = &messages[message_count].msg_hdr;
        *message = (struct msghdr){
            .msg_name = has_address ? &address->base : NULL,
            .msg_namelen = has_address ? net_address_length(address) : 0,
            .msg_iov = &vectors[i],
            .msg_iovlen = put_vectors(&vectors[i], &datagrams[i], taken),
        };
        if (taken > 1) {
            put_segment_length(message, &controls[message_count], datagrams[i].length);
        }
        segments[message_count++] = taken;
        i += taken;
    }
    int sent = message_count == 1 ? (sendmsg(fd, &messages[0].msg_hdr, 0) < 0 ? -1 : 1)
                                  : sendmmsg(fd, messages, (unsigned)message_count, 0);
    if (sent < 0) {
        return is_transient(errno) ? 0 : -errno;
    }
    int total = 0;
    for (int i = 0; i < sent; i++) {
        total += segments[i];
    }
    return total;
}

/* The kernel says how long the segments are when it joined some, and when the datagram came. */
static void read_control(struct msghdr *message, struct net_datagram *datagram) {
    datagram->segment_length = 0;
    datagram->arrival_epoch_ns = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO) {
            int length;
            memcpy(&length, CMSG_DATA(header), sizeof length);
            bool is_joined = length > 0 && (uint32_t)length < datagram->length;
            datagram->segment_length = is_joined ? (uint32_t)length : 0;
        } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec arrival;
            memcpy(&arrival, CMSG_DATA(header), sizeof arrival);
            datagram->arrival_epoch_ns = arrival.tv_sec * NS_PER_S + arrival.tv_nsec;
        }
    }
}

static int socket_receive(void *context, int fd, struct net_datagram *datagrams, int count) {
    (void)context;
    struct mmsghdr messages[NET_BATCH_COUNT_MAX];
    struct iovec vectors[NET_BATCH_COUNT_MAX];
    union receive_control controls[NET_BATCH_COUNT_MAX];
    count = count < NET_BATCH_COUNT_MAX ? count : NET_BATCH_COUNT_MAX;
    for (int i = 0; i < count; i++) {
        vectors[i] = (struct iovec){datagrams[i].data, datagrams[i].capacity};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &datagrams[i].address.base,
            .msg_namelen = sizeof datagrams[i].address,
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = &controls[i],
            .msg_controllen = sizeof controls[i],
        };
    }
    int received = count;
    if (count == 1) {
        ssize_t length = recvmsg(fd, &messages[0].msg_hdr, MSG_DONTWAIT);
        messages[0].msg_len = (unsigned)length;
        received = length < 0 ? -1 : 1;
    } else {
        received = recvmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    }
    if (received < 0) {
        return is_transient(errno) ? 0 : -errno;
    }
    for (int i = 0; i < received; i++) {
        datagrams[i].length = messages[i].msg_len;
        read_control(&messages[i].msg_hdr, &datagrams[i]);
    }
    return received;
}

static int resolve_host(void *context, const char *host, union net_address *address,
                        struct tern_error *error) {
    (void)context;
    /* Known without asking anybody (RFC 6761): a bare system has no /etc/hosts to ask. */
    const char *known = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
    int failure = getaddrinfo(known, NULL, &hints, &found);
    if (failure != 0) {
        hints.ai_family = AF_INET6;
        failure = getaddrinfo(known, NULL, &hints, &found);
    }
    if (failure != 0) {
        return error_set(error, -ENOENT, "cannot resolve host '%s': %s", host,
                         gai_strerror(failure));
    }
    memset(address, 0, sizeof *address);
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static uint8_t prefix_length(const struct sockaddr *netmask) {
    union net_address mask = {0};
    const uint8_t *bytes = (const uint8_t *)&mask.v4.sin_addr;
    size_t size = sizeof mask.v4.sin_addr;
    if (netmask == NULL) {
        return 0;
    }
    if (netmask->sa_family == AF_INET6) {
        memcpy(&mask, netmask, sizeof mask.v6);
        bytes = mask.v6.sin6_addr.s6_addr;
        size = sizeof mask.v6.sin6_addr;
    } else {
        memcpy(&mask, netmask, sizeof mask.v4);
    }
    int bits = 0;
    for (size_t i = 0; i < size; i++) {
        bits += __builtin_popcount(bytes[i]);
    }
    return (uint8_t)bits;
}

static int list_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    (void)context;
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0) {
        return -errno;
    }
    int count = 0;
    for (const struct ifaddrs *i = list; i != NULL && count < capacity; i = i->ifa_next) {
        bool is_inet = i->ifa_addr != NULL &&
                       (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6);
        if (!is_inet || (i->ifa_flags & IFF_UP) == 0) {
            continue;
        }
        struct net_interface *found = &interfaces[count++];
        *found = (struct net_interface){
            .index = if_nametoindex(i->ifa_name),
            .prefix_length = prefix_length(i->ifa_netmask),
            .is_loopback = (i->ifa_flags & IFF_LOOPBACK) != 0,
            .is_multicast = (i->ifa_flags & IFF_MULTICAST) != 0,
        };
        size_t length = strnlen(i->ifa_name, sizeof found->name - 1);
        memcpy(found->name, i->ifa_name, length);
        memcpy(&found->address, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET6 ? sizeof found->address.v6
                                                  : sizeof found->address.v4);
    }
    freeifaddrs(list);
    return count;
}

/* The system's default, then what it makes of a wish beyond every limit. The kernel reports twice
 * the usable bytes; peers compare with the reported figure, so it is kept. */
static int probe_buffer(int fd, int name, int32_t *default_bytes, int32_t *max_bytes) {
    int wish = INT32_MAX / 2;
    socklen_t length = sizeof *default_bytes;
    if (getsockopt(fd, SOL_SOCKET, name, default_bytes, &length) != 0 ||
        setsockopt(fd, SOL_SOCKET, name, &wish, sizeof wish) != 0) {
        return -errno;
    }
    length = sizeof *max_bytes;
    return getsockopt(fd, SOL_SOCKET, name, max_bytes, &length) == 0 ? 0 : -errno;
}

static int probe_buffer_limits(void *context, struct net_buffer_limits *limits,
                               struct tern_error *error) {
    (void)context;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open a UDP socket");
    }
    int result =
        probe_buffer(fd, SO_RCVBUF, &limits->rcvbuf_default_bytes, &limits->rcvbuf_max_bytes);
    if (result == 0) {
        result =
            probe_buffer(fd, SO_SNDBUF, &limits->sndbuf_default_bytes, &limits->sndbuf_max_bytes);
    }
    (void)close(fd);
    return result == 0 ? 0 : error_set_errno(error, -result, "cannot probe UDP socket buffers");
}

const struct net *net_system(void) {
    static const struct net table = {
        .open = socket_open,
        .connect = socket_connect,
        .note_arrivals = socket_note_arrivals,
        .close = socket_close,
        .send = socket_send,
        .receive = socket_receive,
        .poller_open = net_poller_open,
        .poller_close = net_poller_close,
        .poller_add = net_poller_add,
        .poller_remove = net_poller_remove,
        .poller_ready = net_poller_ready,
        .wait = net_poller_wait,
        .wake = net_poller_wake,
        .resolve = resolve_host,
        .interfaces = list_interfaces,
        .buffer_limits = probe_buffer_limits,
    };
    return &table;
}

/* one_by_one: a transport that uses the system's UDP sockets in the plainest way, a call for each
 * datagram, IPv4 without multicast; and inverts every bit on the wire, so that only its own kind
 * understands it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tern/driver_plugin.h>

#define DATAGRAM_LENGTH_MAX 65507

static int fail(struct tern_error *error, const char *what) {
    error->code = -errno;
    (void)snprintf(error->text, sizeof error->text, "%s: %s", what, strerror(errno));
    return error->code;
}

static int connect_to(void *state, int socket, const struct sockaddr *address,
                      struct tern_error *error) {
    (void)state;
    return connect(socket, address, sizeof(struct sockaddr_in)) == 0 ? 0 : fail(error, "connect");
}

static int open_socket(void *state, const struct tern_transport_socket_params *params, int *out,
                       struct sockaddr_storage *bound, struct tern_error *error) {
    socklen_t length = sizeof *bound;
    if (params->bind->sa_family != AF_INET || params->group != NULL || params->sends_to_groups) {
        errno = EAFNOSUPPORT;
        return fail(error, "IPv4 without multicast only");
    }
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) {
        return fail(error, "socket");
    }
    int result =
        bind(made, params->bind, sizeof(struct sockaddr_in)) == 0 ? 0 : fail(error, "bind");
    if (result == 0 && params->connect != NULL) {
        result = connect_to(state, made, params->connect, error);
    }
    if (result == 0 && getsockname(made, (struct sockaddr *)bound, &length) != 0) {
        result = fail(error, "getsockname");
    }
    if (result < 0) {
        (void)close(made);
        return result;
    }
    *out = made;
    return 0;
}

static void close_socket(void *state, int socket) {
    (void)state;
    (void)close(socket);
}

static bool is_transient(int failure) {
    return failure == EAGAIN || failure == EINTR || failure == ECONNREFUSED || failure == ENOBUFS;
}

static void invert(unsigned char *to, const unsigned char *from, size_t length) {
    for (size_t i = 0; i < length; i++) {
        to[i] = (unsigned char)~from[i];
    }
}

static int send_all(void *state, int socket, const struct tern_transport_datagram *datagrams,
                    int count) {
    unsigned char inverted[DATAGRAM_LENGTH_MAX];
    (void)state;
    for (int i = 0; i < count; i++) {
        const struct sockaddr *to = (const struct sockaddr *)datagrams[i].address;
        invert(inverted, datagrams[i].data, datagrams[i].length);
        if (sendto(socket, inverted, datagrams[i].length, 0, to,
                   to == NULL ? 0 : sizeof(struct sockaddr_in)) < 0) {
            return i > 0 || is_transient(errno) ? i : -errno;
        }
    }
    return count;
}

static int receive_all(void *state, int socket, struct tern_transport_datagram *datagrams,
                       int count) {
    (void)state;
    for (int i = 0; i < count; i++) {
        socklen_t address_length = sizeof *datagrams[i].address;
        ssize_t length = recvfrom(socket, datagrams[i].data, datagrams[i].capacity, 0,
                                  (struct sockaddr *)datagrams[i].address, &address_length);
        if (length < 0) {
            return i > 0 || is_transient(errno) ? i : -errno;
        }
        datagrams[i].length = (uint32_t)length;
        invert(datagrams[i].data, datagrams[i].data, (size_t)length);
    }
    return count;
}

TERN_API const struct tern_transport_plugin one_by_one = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TRANSPORT, struct tern_transport_plugin,
                                    "one_by_one", "1.0"),
    .open = open_socket,
    .connect = connect_to,
    .close = close_socket,
    .send = send_all,
    .receive = receive_all,
};

/* The socket of a send or receive endpoint with its two counters: channel status and local address
 * (media-driver.md 5.1, 5.4, 5.5; shared-memory.md 6.3). Conductor only, but for the handle, which
 * the agent uses that the endpoint was handed to. */
#ifndef DRIVERD_ENDPOINT_SOCKET_H
#define DRIVERD_ENDPOINT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"
#include "driverd/port_range.h"
#include "driverd/udp_channel.h"

struct driver_context;

enum endpoint_state { ENDPOINT_STATE_ACTIVE, ENDPOINT_STATE_CLOSING };

/* Values of the channel status counters (shared-memory.md 6.3). */
enum channel_status {
    CHANNEL_STATUS_INITIALIZING = 0,
    CHANNEL_STATUS_ERRORED = -1,
    CHANNEL_STATUS_ACTIVE = 1,
    CHANNEL_STATUS_CLOSING = 2,
};

struct endpoint_socket {
    int handle;
    int control_handle; /* where frames come in: the same, but for a multicast publication */
    bool is_connected;
    union net_address bound;
    uint16_t wildcard_port; /* to give back to the range; 0: none */
    int32_t rcvbuf_bytes;   /* in force */
    int32_t sndbuf_bytes;
    int32_t status_counter_id;
    int32_t address_counter_id;
};

struct endpoint_socket_params {
    const struct udp_channel *channel;
    const struct udp_channel *options; /* so-rcvbuf, so-sndbuf where the channel names none */
    bool is_send;
    bool is_connected;        /* to the channel's remote address */
    struct port_range *ports; /* for port 0; may be open */
    int64_t registration_id;  /* of the command that made the endpoint */
};

/* SO_RCVBUF and SO_SNDBUF in force for a channel: its URI's, else the configured, else the
 * system's (4.8). */
int32_t endpoint_rcvbuf_bytes(const struct driver_context *context,
                              const struct udp_channel *channel);
int32_t endpoint_sndbuf_bytes(const struct driver_context *context,
                              const struct udp_channel *channel);

/* TTL of multicast in force; 0: the system's default. */
uint8_t endpoint_socket_ttl(const struct driver_context *context,
                            const struct udp_channel *channel);

/* All at once, as send endpoints need it: bind, status, announce. */
int endpoint_socket_open(struct endpoint_socket *socket, struct driver_context *context,
                         const struct endpoint_socket_params *params, struct tern_error *error);
void endpoint_socket_set_status(const struct endpoint_socket *socket,
                                struct driver_context *context, enum channel_status status);
/* In steps, as receive endpoints need it: several sockets may belong to one channel status. */
int endpoint_socket_bind(struct endpoint_socket *socket, struct driver_context *context,
                         const struct endpoint_socket_params *params, struct tern_error *error);
/* The counter of the local address; it names the channel status that the socket belongs to. */
int endpoint_socket_announce(struct endpoint_socket *socket, struct driver_context *context,
                             const struct endpoint_socket_params *params, int32_t status_counter_id,
                             struct tern_error *error);
/* Closes what any of the above opened. */
void endpoint_socket_close(struct endpoint_socket *socket, struct driver_context *context,
                           struct port_range *ports);

/* Can a socket of `wanted` not be opened while one of `bound` is open? */
bool endpoint_socket_is_in_way(const union net_address *bound, const union net_address *wanted);

/* The channel status counter alone; `bound` may be NULL. */
int endpoint_status_open(int32_t *counter_id, struct driver_context *context,
                         const struct endpoint_socket_params *params,
                         const union net_address *bound, struct tern_error *error);
void endpoint_status_set(struct driver_context *context, int32_t counter_id,
                         enum channel_status status);

/* A channel found an endpoint that exists: socket options that it names must be equal (4.8). */
int endpoint_socket_match_options(const struct udp_channel *existing,
                                  const struct udp_channel *wanted, struct tern_error *error);

#endif

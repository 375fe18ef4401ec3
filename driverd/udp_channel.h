/* A UDP channel: what its URI says, validated, and the addresses it stands for (media-driver.md 5.2
 * to 5.4, shared-memory.md 8).
 *
 * Two steps. udp_channel_create parses and checks everything that the text alone decides; it never
 * blocks. udp_channel_resolve turns names into addresses and finds the interface; it may block when
 * udp_channel_needs_resolver says so, and is then called by the resolver agent.
 */
#ifndef DRIVERD_UDP_CHANNEL_H
#define DRIVERD_UDP_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"
#include "base/uri.h"
#include "driverd/timestamp.h"

#define UDP_HOST_LENGTH_MAX 255
#define UDP_ADDRESS_TEXT_MAX (UDP_HOST_LENGTH_MAX + 8) /* host, colon, port */
#define UDP_CANONICAL_LENGTH_MAX (2 * UDP_ADDRESS_TEXT_MAX + 64)

enum udp_channel_role {
    UDP_CHANNEL_PUBLICATION,
    UDP_CHANNEL_SUBSCRIPTION,
    UDP_CHANNEL_SPY,
    UDP_CHANNEL_SEND_DESTINATION,
    UDP_CHANNEL_RECEIVE_DESTINATION,
};

enum control_mode {
    CONTROL_MODE_NONE,
    CONTROL_MODE_DYNAMIC,
    CONTROL_MODE_MANUAL,
    CONTROL_MODE_RESPONSE,
};

/* Is a stream one of a group of receivers? Infer: when it comes by multicast or says so. */
enum group_consideration { GROUP_INFER, GROUP_TRUE, GROUP_FALSE };

/* "host:port" of a channel. */
struct udp_host {
    char name[UDP_HOST_LENGTH_MAX + 1]; /* host only, without brackets; empty: absent */
    uint16_t port;
    bool is_numeric;
    bool is_found;             /* a name whose address is known already: no look-up */
    union net_address address; /* valid when numeric, found or resolved */
};

/* Owned by the endpoint, destination or command that made it. */
struct udp_channel {
    enum udp_channel_role role;
    char *text; /* the URI as given */
    int32_t text_length;
    struct uri uri;
    enum control_mode control_mode;
    struct udp_host endpoint;
    struct udp_host control;
    const char *interface; /* value of the key, or NULL */

    bool has_tag;
    int64_t tag; /* channel tag, the first of `tags` */
    bool has_entity_tag;
    int64_t entity_tag;

    int32_t so_sndbuf_bytes; /* 0: not given */
    int32_t so_rcvbuf_bytes;
    int32_t rcv_wnd_bytes;
    bool has_group_tag;
    int64_t group_tag;
    struct timestamp_offsets timestamps; /* sockets want to know; streams have their own */
    uint8_t ttl;                         /* 0: not given */

    /* set by udp_channel_resolve */
    bool is_resolved;
    bool is_multicast;               /* the endpoint is a group */
    union net_address local;         /* to bind to */
    union net_address remote;        /* data goes there; wildcard without an endpoint */
    union net_address control_group; /* multicast: feedback goes there */
    union net_address interface_address;
    uint32_t interface_index; /* 0: no interface was named */
    char suffix[32];          /* makes wildcard channels unique */
    char canonical[UDP_CANONICAL_LENGTH_MAX];
};

/* `next_suffix` is the driver's counter behind the names of untagged wildcard channels; it is used
 * on the conductor only. Errors carry the driver's code (TERN_ERROR_DRIVER_BASE - code). */
int udp_channel_create(struct udp_channel **channel, const char *text, int32_t length,
                       enum udp_channel_role role, int32_t *next_suffix, struct tern_error *error);
void udp_channel_destroy(struct udp_channel *channel);

/* True when a host name has to be looked up: resolve may block. */
bool udp_channel_needs_resolver(const struct udp_channel *channel);
/* Addresses and canonical form. Touches nothing but the channel. */
int udp_channel_resolve(struct udp_channel *channel, const struct net *net,
                        struct tern_error *error);

/* control-mode dynamic or manual: several destinations. */
bool udp_channel_is_mdc(const struct udp_channel *channel);
/* Multicast or several destinations; resolved channels only. */
static inline bool udp_channel_is_group(const struct udp_channel *channel) {
    return channel->is_multicast || udp_channel_is_mdc(channel);
}
static inline bool udp_channel_has_endpoint(const struct udp_channel *channel) {
    return channel->endpoint.name[0] != '\0';
}
static inline bool udp_channel_has_control(const struct udp_channel *channel) {
    return channel->control.name[0] != '\0';
}
/* `tags=<t>` and nothing that names an address: refers to an endpoint that exists. */
bool udp_channel_is_tag_reference(const struct udp_channel *channel);

/* Does `wanted` mean the endpoint whose channel is `existing`? 1 yes, 0 no, negative: its tag
 * matches but control mode or addresses contradict (8.4). */
int udp_channel_match(const struct udp_channel *existing, const struct udp_channel *wanted,
                      struct tern_error *error);

/* A value of `group`; NULL leaves *group. */
int udp_channel_parse_group(const char *text, enum group_consideration *group,
                            struct tern_error *error);

/* "host:port", "[v6]:port"; the port is mandatory. */
int udp_host_parse(struct udp_host *host, const char *key, const char *text,
                   struct tern_error *error);

#endif

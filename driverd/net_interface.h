/* The `interface` of a channel: its text forms and the choice of a matching network interface
 * (media-driver.md 5.2). */
#ifndef DRIVERD_NET_INTERFACE_H
#define DRIVERD_NET_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"

#define NET_INTERFACES_MAX 256

/* What the text asks for: an interface by name, or an address with a prefix. */
struct interface_spec {
    bool is_named;
    char name[16];
    union net_address address; /* with the port; family AF_UNSPEC when named */
    uint16_t port;
    uint8_t prefix_length;
    bool needs_multicast; /* the caller's: loopback counts as able, whatever its flags say */
};

/* "addr", "addr:port", "addr/prefix", "addr:port/prefix", the same with "[v6]", "{name}",
 * "{name}:port"; "localhost" stands for 127.0.0.1. */
int interface_spec_parse(struct interface_spec *spec, const char *text, struct tern_error *error);

/* The interface to use: up, of the family, matching the spec; not loopback if possible, then the
 * longest netmask. `family` AF_UNSPEC takes the first that fits. NULL: none. */
const struct net_interface *interface_select(const struct interface_spec *spec, int family,
                                             const struct net_interface *interfaces, int count);

#endif

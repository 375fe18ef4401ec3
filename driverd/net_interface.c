/* Choosing a network interface from its channel text (media-driver.md 5.2). Pure: the list of
 * interfaces comes from the net seam.
 *
 * An address without prefix has to match exactly. With a prefix, or by name, several addresses may
 * fit: a loopback interface is only taken when nothing else fits, then the most specific netmask
 * wins.
 */
#include "driverd/net_interface.h"

#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "wire/command.h"

static int invalid(struct tern_error *error, const char *text, const char *why) {
    return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                     "interface=%.120s: %s", text, why);
}

static int parse_port(const char *text, uint16_t *port) {
    int64_t value = 0;
    if (*text == '\0') {
        *port = 0;
        return 0;
    }
    if (*text != ':' || parse_i64(text + 1, &value) != 0 || value < 0 || value > UINT16_MAX) {
        return -1;
    }
    *port = (uint16_t)value;
    return 0;
}

static int parse_named(struct interface_spec *spec, const char *text, struct tern_error *error) {
    const char *close = strchr(text, '}');
    if (close == NULL || close == text + 1) {
        return invalid(error, text, "expected {name} or {name}:port");
    }
    size_t length = (size_t)(close - text - 1);
    if (length >= sizeof spec->name) {
        return invalid(error, text, "no interface has so long a name");
    }
    memcpy(spec->name, text + 1, length);
    spec->name[length] = '\0';
    spec->is_named = true;
    if (parse_port(close + 1, &spec->port) != 0) {
        return invalid(error, text, "the port must be 0 to 65535");
    }
    return 0;
}

int interface_spec_parse(struct interface_spec *spec, const char *text, struct tern_error *error) {
    *spec = (struct interface_spec){0};
    if (*text == '{') {
        return parse_named(spec, text, error);
    }
    char host[128];
    const char *slash = strchr(text, '/');
    size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
    const char *localhost = "localhost";
    size_t localhost_length = strlen(localhost);
    bool is_localhost = strncmp(text, localhost, localhost_length) == 0;
    size_t skip = is_localhost ? localhost_length : 0;
    const char *replaced = is_localhost ? "127.0.0.1" : "";
    if (length - skip + strlen(replaced) >= sizeof host) {
        return invalid(error, text, "too long");
    }
    memcpy(host, replaced, strlen(replaced));
    memcpy(host + strlen(replaced), text + skip, length - skip);
    host[strlen(replaced) + length - skip] = '\0';
    if (net_address_parse(host, &spec->address) != 0) {
        return invalid(error, text, "expected address[:port][/prefix] or {name}[:port]");
    }
    spec->port = net_address_port(&spec->address);
    uint8_t bits_max = spec->address.base.sa_family == AF_INET6 ? 128 : 32;
    int64_t bits = bits_max;
    if (slash != NULL && (parse_i64(slash + 1, &bits) != 0 || bits < 0 || bits > bits_max)) {
        return invalid(error, text, "the prefix must be 0 to 32, or to 128 for IPv6");
    }
    spec->prefix_length = (uint8_t)bits;
    return 0;
}

static const uint8_t *address_bytes(const union net_address *address) {
    return address->base.sa_family == AF_INET6 ? address->v6.sin6_addr.s6_addr
                                               : (const uint8_t *)&address->v4.sin_addr;
}

static bool has_prefix(const union net_address *address, const union net_address *wanted,
                       uint8_t bits) {
    const uint8_t *a = address_bytes(address);
    const uint8_t *b = address_bytes(wanted);
    size_t whole = bits / 8u;
    uint8_t rest = bits % 8u;
    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xFF00u >> rest);
    return rest == 0 || (a[whole] & mask) == (b[whole] & mask);
}

static bool fits(const struct interface_spec *spec, int family,
                 const struct net_interface *candidate) {
    int candidate_family = candidate->address.base.sa_family;
    if (family != AF_UNSPEC && candidate_family != family) {
        return false;
    }
    if (spec->needs_multicast && !candidate->is_multicast && !candidate->is_loopback) {
        return false;
    }
    if (spec->is_named) {
        return strcmp(spec->name, candidate->name) == 0;
    }
    return candidate_family == spec->address.base.sa_family &&
           has_prefix(&candidate->address, &spec->address, spec->prefix_length);
}

const struct net_interface *interface_select(const struct interface_spec *spec, int family,
                                             const struct net_interface *interfaces, int count) {
    const struct net_interface *best = NULL;
    for (int i = 0; i < count; i++) {
        const struct net_interface *candidate = &interfaces[i];
        if (!fits(spec, family, candidate)) {
            continue;
        }
        bool is_better = best == NULL || (best->is_loopback && !candidate->is_loopback) ||
                         (best->is_loopback == candidate->is_loopback &&
                          candidate->prefix_length > best->prefix_length);
        if (is_better) {
            best = candidate;
        }
    }
    return best;
}

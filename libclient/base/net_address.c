/* Addresses as values: parsing, printing, comparing. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/net.h"
#include "base/uri.h"

int net_address_format(const union net_address *address, char *text) {
    char host[INET6_ADDRSTRLEN];
    if (address->base.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        return snprintf(text, NET_ADDRESS_TEXT_MAX, "[%s]:%u", host,
                        (unsigned)ntohs(address->v6.sin6_port));
    }
    (void)inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
    return snprintf(text, NET_ADDRESS_TEXT_MAX, "%s:%u", host,
                    (unsigned)ntohs(address->v4.sin_port));
}

/* "" is port 0 (absent), ":n" is port n. */
static int parse_port(const char *text, uint16_t *port) {
    int64_t value = 0;
    if (*text == '\0') {
        *port = 0;
        return 0;
    }
    if (*text != ':' || text[1] < '0' || text[1] > '9' || parse_i64(text + 1, &value) != 0 ||
        value > UINT16_MAX) {
        return -EINVAL;
    }
    *port = (uint16_t)value;
    return 0;
}

static int parse_host(const char *start, const char *end, char *host, size_t size) {
    size_t length = (size_t)(end - start);
    if (length == 0 || length >= size) {
        return -EINVAL;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    return 0;
}

static int parse_v6(const char *text, union net_address *address) {
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE];
    uint16_t port;
    const char *close = strchr(text, ']');
    if (close == NULL || parse_host(text + 1, close, host, sizeof host) != 0 ||
        parse_port(close + 1, &port) != 0) {
        return -EINVAL;
    }
    union net_address parsed = {0};
    parsed.v6.sin6_family = AF_INET6;
    parsed.v6.sin6_port = htons(port);
    char *scope = strchr(host, '%');
    if (scope != NULL) {
        *scope = '\0';
        parsed.v6.sin6_scope_id = if_nametoindex(scope + 1);
        if (parsed.v6.sin6_scope_id == 0) {
            return -EINVAL;
        }
    }
    if (inet_pton(AF_INET6, host, &parsed.v6.sin6_addr) != 1) {
        return -EINVAL;
    }
    *address = parsed;
    return 0;
}

int net_address_parse(const char *text, union net_address *address) {
    if (*text == '[') {
        return parse_v6(text, address);
    }
    char host[INET_ADDRSTRLEN];
    uint16_t port;
    const char *end = strchrnul(text, ':');
    union net_address parsed = {0};
    if (parse_host(text, end, host, sizeof host) != 0 || parse_port(end, &port) != 0 ||
        inet_pton(AF_INET, host, &parsed.v4.sin_addr) != 1) {
        return -EINVAL;
    }
    parsed.v4.sin_family = AF_INET;
    parsed.v4.sin_port = htons(port);
    *address = parsed;
    return 0;
}

bool net_address_equal(const union net_address *a, const union net_address *b) {
    if (a->base.sa_family != b->base.sa_family) {
        return false;
    }
    if (a->base.sa_family == AF_INET6) {
        return a->v6.sin6_port == b->v6.sin6_port &&
               memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
    }
    return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

uint16_t net_address_port(const union net_address *address) {
    return ntohs(address->base.sa_family == AF_INET6 ? address->v6.sin6_port
                                                     : address->v4.sin_port);
}

void net_address_set_port(union net_address *address, uint16_t port) {
    if (address->base.sa_family == AF_INET6) {
        address->v6.sin6_port = htons(port);
    } else {
        address->v4.sin_port = htons(port);
    }
}

bool net_address_is_multicast(const union net_address *address) {
    if (address->base.sa_family == AF_INET6) {
        return IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
    }
    return IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr));
}

bool net_address_is_wildcard(const union net_address *address) {
    if (address->base.sa_family == AF_INET6) {
        return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
    }
    return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

socklen_t net_address_length(const union net_address *address) {
    return address->base.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

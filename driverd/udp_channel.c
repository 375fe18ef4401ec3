/* UDP channels (media-driver.md 5.2 to 5.4, shared-memory.md 8).
 *
 * The text is judged here once; whoever holds a struct udp_channel need not look at the URI for
 * anything that concerns sockets.
 *
 * The canonical form decides which channels share a socket. It uses the texts of endpoint and
 * control as given, so that two names of one address do not share, and a name goes on to mean the
 * same endpoint when its address changes.
 */
#include "driverd/udp_channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driverd/congestion.h"
#include "driverd/net_interface.h"
#include "wire/command.h"

static int invalid(struct tern_error *error, const char *what, const char *text) {
    return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL, "%s: '%.160s'",
                     what, text);
}

int udp_host_parse(struct udp_host *host, const char *key, const char *text,
                   struct tern_error *error) {
    static const char explanation[] = "is not host:port with a port of 0 to 65535";
    *host = (struct udp_host){0};
    const char *start = text;
    const char *end = strrchr(text, ':');
    if (*text == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || close[1] != ':') {
            return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                             "%s=%.120s %s", key, text, explanation);
        }
        start = text + 1;
        end = close;
    }
    int64_t port = -1;
    const char *port_text = end == NULL ? "" : end + (*end == ']' ? 2 : 1);
    bool is_port = *port_text >= '0' && *port_text <= '9' && parse_i64(port_text, &port) == 0;
    if (end == NULL || end == start || !is_port || port > UINT16_MAX) {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                         "%s=%.120s %s", key, text, explanation);
    }
    size_t length = (size_t)(end - start);
    if (length > UDP_HOST_LENGTH_MAX) {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                         "%s: a host name of %zu bytes, allowed are %d", key, length,
                         UDP_HOST_LENGTH_MAX);
    }
    memcpy(host->name, start, length);
    host->port = (uint16_t)port;
    host->is_numeric = net_address_parse(text, &host->address) == 0;
    if (!host->is_numeric && (*text == '[' || strchr(host->name, ':') != NULL)) {
        return invalid(error, "not an IPv6 address", text);
    }
    return 0;
}

static int parse_control_mode(struct udp_channel *channel, struct tern_error *error) {
    const char *mode = uri_get(&channel->uri, "control-mode");
    if (mode == NULL) {
        channel->control_mode = CONTROL_MODE_NONE;
    } else if (strcmp(mode, "dynamic") == 0) {
        channel->control_mode = CONTROL_MODE_DYNAMIC;
    } else if (strcmp(mode, "manual") == 0) {
        channel->control_mode = CONTROL_MODE_MANUAL;
    } else if (strcmp(mode, "response") == 0) {
        channel->control_mode = CONTROL_MODE_RESPONSE;
    } else {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                         "control-mode must be dynamic, manual or response, came '%.100s'", mode);
    }
    return 0;
}

static int parse_tags(struct udp_channel *channel, struct tern_error *error) {
    const char *tags = uri_get(&channel->uri, "tags");
    if (tags == NULL) {
        return 0;
    }
    char first[32] = "";
    size_t length = strcspn(tags, ",");
    if (length < sizeof first) {
        memcpy(first, tags, length);
        first[length] = '\0';
    }
    channel->has_tag = true;
    if (parse_i64(first, &channel->tag) != 0) {
        return invalid(error, "tags must be numbers", tags);
    }
    if (tags[length] == ',') {
        channel->has_entity_tag = true;
        if (parse_i64(tags + length + 1, &channel->entity_tag) != 0) {
            return invalid(error, "tags must be numbers", tags);
        }
    }
    return 0;
}

static int parse_size_i32(const struct udp_channel *channel, const char *key, int32_t *bytes,
                          struct tern_error *error) {
    int64_t value;
    int result = uri_get_size(&channel->uri, key, &value, error);
    if (result > 0 && value > INT32_MAX) {
        return error_set(error, -EINVAL, "%s=%s is more than 2147483647 bytes", key,
                         uri_get(&channel->uri, key));
    }
    if (result > 0) {
        *bytes = (int32_t)value;
    }
    return result < 0 ? result : 0;
}

int udp_channel_parse_group(const char *text, enum group_consideration *group,
                            struct tern_error *error) {
    static const char *const names[] = {
        [GROUP_INFER] = "infer", [GROUP_TRUE] = "true", [GROUP_FALSE] = "false"};
    for (size_t i = 0; text != NULL && i < ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *group = (enum group_consideration)i;
            return 0;
        }
    }
    return text == NULL ? 0
                        : error_set(error, -EINVAL,
                                    "group must be true, false or infer, came '%.100s'", text);
}

static int parse_values(struct udp_channel *channel, struct tern_error *error) {
    const struct uri *uri = &channel->uri;
    int32_t ttl = 0;
    /* What is a subscription's own is only checked here. */
    enum congestion_strategy ignored;
    enum group_consideration ignored_group;
    int64_t ignored_ns;
    int result = parse_size_i32(channel, "so-sndbuf", &channel->so_sndbuf_bytes, error);
    if (result == 0) {
        result = parse_size_i32(channel, "so-rcvbuf", &channel->so_rcvbuf_bytes, error);
    }
    if (result == 0) {
        result = parse_size_i32(channel, "rcv-wnd", &channel->rcv_wnd_bytes, error);
    }
    if (result == 0) {
        result = timestamp_offsets_parse(&channel->timestamps, uri, error);
    }
    if (result == 0) {
        result = udp_channel_parse_group(uri_get(uri, "group"), &ignored_group, error);
    }
    if (result == 0) {
        result = congestion_parse(uri_get(uri, "cc"), &ignored, error);
    }
    if (result == 0) {
        result = uri_get_i64(uri, "gtag", &channel->group_tag, error);
        channel->has_group_tag = result > 0;
    }
    if (result >= 0) {
        result = uri_get_duration_ns(uri, "nak-delay", &ignored_ns, error);
    }
    if (result >= 0) {
        result = uri_get_i32(uri, "ttl", &ttl, error);
    }
    if (result > 0 && (ttl < 0 || ttl > 255)) {
        return error_set(error, -EINVAL, "ttl=%d is not 0 to 255", ttl);
    }
    channel->ttl = (uint8_t)ttl;
    return result < 0 ? result : 0;
}

static uint8_t *last_byte(union net_address *address) {
    return address->base.sa_family == AF_INET6
               ? &address->v6.sin6_addr.s6_addr[sizeof address->v6.sin6_addr - 1]
               : (uint8_t *)&address->v4.sin_addr + sizeof address->v4.sin_addr - 1;
}

/* A group stands for two: data goes to the odd address, feedback to the even one behind it (5.1).
 * Both are known from it, and so is who listens: a control address would mean nothing. */
static int set_group(struct udp_channel *channel, struct tern_error *error) {
    const char *endpoint = uri_get(&channel->uri, "endpoint");
    union net_address group = channel->endpoint.address;
    if (!net_address_is_multicast(&group)) {
        return 0;
    }
    if (*last_byte(&group) % 2 == 0) {
        return invalid(error, "the last byte of a multicast address must be odd", endpoint);
    }
    if (net_address_port(&group) == 0) {
        return invalid(error, "a multicast address needs a port other than 0", endpoint);
    }
    if (udp_channel_has_control(channel) || channel->control_mode != CONTROL_MODE_NONE) {
        return invalid(error, "a multicast endpoint excludes control and control-mode",
                       channel->text);
    }
    (*last_byte(&group))++;
    channel->control_group = group;
    channel->is_multicast = true;
    return 0;
}

static int parse_hosts(struct udp_channel *channel, struct tern_error *error) {
    const char *endpoint = uri_get(&channel->uri, "endpoint");
    const char *control = uri_get(&channel->uri, "control");
    channel->interface = uri_get(&channel->uri, "interface");
    int result = 0;
    if (endpoint != NULL) {
        result = udp_host_parse(&channel->endpoint, "endpoint", endpoint, error);
    }
    if (result == 0 && control != NULL) {
        result = udp_host_parse(&channel->control, "control", control, error);
    }
    if (result != 0) {
        return result;
    }
    return 0;
}

/* What a destination says about its sender (mtu, term-length) is no concern of a receiver. */
static int check_receive_destination(const struct udp_channel *channel, struct tern_error *error) {
    static const char *const forbidden[] = {"media-rcv-ts-offset", "channel-rcv-ts-offset"};
    for (size_t i = 0; i < ARRAY_COUNT(forbidden); i++) {
        if (uri_get(&channel->uri, forbidden[i]) != NULL) {
            return invalid(error, "timestamps are asked for by the subscription, not a destination",
                           channel->text);
        }
    }
    if (!udp_channel_has_endpoint(channel)) {
        return invalid(error, "a destination needs an endpoint", channel->text);
    }
    if (channel->control_mode == CONTROL_MODE_MANUAL ||
        channel->control_mode == CONTROL_MODE_RESPONSE) {
        return invalid(error, "control-mode=manual or response is not for destinations",
                       channel->text);
    }
    return 0;
}

static int check_send_destination(const struct udp_channel *channel, struct tern_error *error) {
    static const char *const forbidden[] = {"mtu",
                                            "rcv-wnd",
                                            "so-rcvbuf",
                                            "so-sndbuf",
                                            "channel-snd-ts-offset",
                                            "response-correlation-id"};
    for (size_t i = 0; i < ARRAY_COUNT(forbidden); i++) {
        if (uri_get(&channel->uri, forbidden[i]) != NULL) {
            return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                             "%s is not allowed on a destination", forbidden[i]);
        }
    }
    if (channel->control_mode == CONTROL_MODE_RESPONSE) {
        return invalid(error, "control-mode=response is not for destinations", channel->text);
    }
    if (!udp_channel_has_endpoint(channel)) {
        return invalid(error, "a destination needs an endpoint", channel->text);
    }
    if (channel->endpoint.port == 0) {
        return invalid(error, "a destination needs a port other than 0", channel->text);
    }
    return 0;
}

static bool is_receiving(const struct udp_channel *channel) {
    return channel->role == UDP_CHANNEL_SUBSCRIPTION ||
           channel->role == UDP_CHANNEL_RECEIVE_DESTINATION;
}

static bool is_destination(const struct udp_channel *channel) {
    return channel->role == UDP_CHANNEL_SEND_DESTINATION ||
           channel->role == UDP_CHANNEL_RECEIVE_DESTINATION;
}

/* 5.3, "channel errors". */
static int check_combination(const struct udp_channel *channel, struct tern_error *error) {
    bool has_endpoint = udp_channel_has_endpoint(channel);
    bool has_control = udp_channel_has_control(channel);
    if (channel->role == UDP_CHANNEL_SEND_DESTINATION) {
        return check_send_destination(channel, error);
    }
    if (!has_endpoint && !has_control && !channel->has_tag &&
        channel->control_mode != CONTROL_MODE_MANUAL &&
        channel->control_mode != CONTROL_MODE_RESPONSE) {
        return invalid(error, "a UDP channel needs an endpoint, control, tags or control-mode",
                       channel->text);
    }
    if (channel->control_mode == CONTROL_MODE_DYNAMIC && !has_control) {
        return invalid(error, "control-mode=dynamic needs a control address", channel->text);
    }
    if (channel->role == UDP_CHANNEL_PUBLICATION) {
        if (has_endpoint && channel->endpoint.port == 0) {
            return invalid(error, "the endpoint of a publication needs a port other than 0",
                           channel->text);
        }
        if (has_control && !has_endpoint && channel->control_mode == CONTROL_MODE_NONE) {
            return invalid(error, "control without endpoint needs a control-mode", channel->text);
        }
    }
    if (is_receiving(channel) && has_control && channel->control.port == 0) {
        return invalid(error, "the control address of a subscription needs a port other than 0",
                       channel->text);
    }
    if (channel->role == UDP_CHANNEL_RECEIVE_DESTINATION) {
        return check_receive_destination(channel, error);
    }
    bool is_manual = channel->control_mode == CONTROL_MODE_MANUAL;
    if (channel->role == UDP_CHANNEL_SUBSCRIPTION && is_manual && (has_endpoint || has_control)) {
        return invalid(error,
                       "control-mode=manual on a subscription excludes endpoint and control, "
                       "which its destinations name",
                       channel->text);
    }
    return 0;
}

static void choose_suffix(struct udp_channel *channel, int32_t *next_suffix) {
    bool has_endpoint = udp_channel_has_endpoint(channel);
    bool has_control = udp_channel_has_control(channel);
    bool is_wildcard = (!has_endpoint && !has_control) ||
                       (has_endpoint && channel->endpoint.port == 0) ||
                       (has_control && channel->control.port == 0);
    if (!is_wildcard || is_destination(channel)) {
        return;
    }
    if (channel->has_tag) {
        (void)snprintf(channel->suffix, sizeof channel->suffix, "#%lld", (long long)channel->tag);
    } else {
        (void)snprintf(channel->suffix, sizeof channel->suffix, "-%d", (*next_suffix)++);
    }
}

static int parse(struct udp_channel *channel, struct tern_error *error) {
    int result = uri_parse(&channel->uri, channel->text, channel->text_length, error);
    if (result != 0) {
        return result;
    }
    if (channel->uri.media != URI_MEDIA_UDP) {
        return invalid(error, "not a UDP channel", channel->text);
    }
    if (channel->uri.is_spy != (channel->role == UDP_CHANNEL_SPY)) {
        return invalid(error, "the aeron-spy: prefix is for subscriptions only", channel->text);
    }
    result = parse_control_mode(channel, error);
    if (result == 0) {
        result = parse_tags(channel, error);
    }
    if (result == 0) {
        result = parse_hosts(channel, error);
    }
    if (result == 0) {
        result = parse_values(channel, error);
    }
    if (result == 0) {
        result = check_combination(channel, error);
    }
    return result == 0 && channel->endpoint.is_numeric ? set_group(channel, error) : result;
}

int udp_channel_create(struct udp_channel **channel, const char *text, int32_t length,
                       enum udp_channel_role role, int32_t *next_suffix, struct tern_error *error) {
    assert(length >= 0);
    struct udp_channel *made = calloc(1, sizeof *made);
    char *copy = made == NULL ? NULL : malloc((size_t)length + 1);
    if (copy == NULL) {
        free(made);
        return error_set_errno(error, ENOMEM, "cannot parse a channel");
    }
    memcpy(copy, text, (size_t)length);
    copy[length] = '\0';
    made->text = copy;
    made->text_length = length;
    made->role = role;
    int result = parse(made, error);
    if (result != 0) {
        udp_channel_destroy(made);
        return result;
    }
    choose_suffix(made, next_suffix);
    *channel = made;
    return 0;
}

void udp_channel_destroy(struct udp_channel *channel) {
    if (channel != NULL) {
        free(channel->text);
        free(channel);
    }
}

static bool is_known(const struct udp_host *host) {
    return host->name[0] == '\0' || host->is_numeric || host->is_found;
}

bool udp_channel_needs_resolver(const struct udp_channel *channel) {
    return !is_known(&channel->endpoint) || !is_known(&channel->control);
}

bool udp_channel_is_mdc(const struct udp_channel *channel) {
    return channel->control_mode == CONTROL_MODE_DYNAMIC ||
           channel->control_mode == CONTROL_MODE_MANUAL;
}

bool udp_channel_is_tag_reference(const struct udp_channel *channel) {
    return channel->has_tag && !udp_channel_has_endpoint(channel) &&
           !udp_channel_has_control(channel);
}

static int resolve_host(struct udp_host *host, const struct net *net, struct tern_error *error) {
    if (is_known(host)) {
        return 0;
    }
    struct tern_error cause;
    if (net->resolve(net->context, host->name, &host->address, &cause) != 0) {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_UNKNOWN_HOST,
                         "unknown host: %.200s", cause.text);
    }
    net_address_set_port(&host->address, host->port);
    return 0;
}

static void set_wildcard(union net_address *address, int family) {
    *address = (union net_address){0};
    address->base.sa_family = (sa_family_t)family;
}

/* Of the scope of the group, "[ff02::1%eth0]", when there is no `interface`. */
static uint32_t scope_of(const union net_address *address) {
    return address->base.sa_family == AF_INET6 ? address->v6.sin6_scope_id : 0;
}

/* The address and index that `interface` stands for; wildcard and 0 without one. */
static int find_interface(struct udp_channel *channel, int family, const struct net *net,
                          struct tern_error *error) {
    union net_address *found = &channel->interface_address;
    set_wildcard(found, family == AF_UNSPEC ? AF_INET : family);
    channel->interface_index = scope_of(&channel->endpoint.address);
    if (channel->interface == NULL) {
        return 0;
    }
    struct interface_spec spec;
    int result = interface_spec_parse(&spec, channel->interface, error);
    if (result != 0) {
        return result;
    }
    if (!spec.is_named && net_address_is_wildcard(&spec.address)) {
        *found = spec.address;
        return 0;
    }
    struct net_interface *interfaces = calloc(NET_INTERFACES_MAX, sizeof *interfaces);
    if (interfaces == NULL) {
        return error_set_errno(error, ENOMEM, "cannot list the network interfaces");
    }
    spec.needs_multicast = channel->is_multicast;
    int count = net->interfaces(net->context, interfaces, NET_INTERFACES_MAX);
    const struct net_interface *selected =
        interface_select(&spec, family, interfaces, count < 0 ? 0 : count);
    if (selected != NULL) {
        *found = selected->address;
        net_address_set_port(found, spec.port);
        channel->interface_index = selected->index;
    }
    free(interfaces);
    return selected != NULL ? 0
                            : invalid(error, "no network interface matches", channel->interface);
}

static void format_host(const struct udp_host *host, const union net_address *fallback,
                        char text[UDP_ADDRESS_TEXT_MAX + 1]) {
    bool is_v6 = strchr(host->name, ':') != NULL;
    if (host->name[0] == '\0') {
        (void)net_address_format(fallback, text);
    } else {
        (void)snprintf(text, UDP_ADDRESS_TEXT_MAX + 1, is_v6 ? "[%s]:%u" : "%s:%u", host->name,
                       (unsigned)host->port);
    }
}

static void set_addresses(struct udp_channel *channel) {
    bool has_endpoint = udp_channel_has_endpoint(channel);
    const union net_address *interface = &channel->interface_address;
    if (has_endpoint) {
        channel->remote = channel->endpoint.address;
    } else {
        set_wildcard(&channel->remote, interface->base.sa_family);
    }
    if (is_receiving(channel) && channel->is_multicast) {
        set_wildcard(&channel->local, channel->remote.base.sa_family);
        net_address_set_port(&channel->local, channel->endpoint.port);
    } else if (is_receiving(channel) && has_endpoint) {
        channel->local = channel->endpoint.address;
    } else if (!is_receiving(channel) && udp_channel_has_control(channel)) {
        channel->local = channel->control.address;
    } else {
        channel->local = *interface;
    }
}

static void set_canonical(struct udp_channel *channel) {
    char local[UDP_ADDRESS_TEXT_MAX + 1];
    char remote[UDP_ADDRESS_TEXT_MAX + 1];
    if (channel->is_multicast) {
        (void)net_address_format(&channel->interface_address, local);
        (void)net_address_format(&channel->remote, remote);
    } else {
        format_host(&channel->control, &channel->interface_address, local);
        format_host(&channel->endpoint, &channel->remote, remote);
    }
    (void)snprintf(channel->canonical, sizeof channel->canonical, "UDP-%s-%s%s", local, remote,
                   channel->suffix);
}

int udp_channel_resolve(struct udp_channel *channel, const struct net *net,
                        struct tern_error *error) {
    bool has_endpoint = udp_channel_has_endpoint(channel);
    bool has_control = udp_channel_has_control(channel);
    int result = resolve_host(&channel->endpoint, net, error);
    if (result == 0) {
        result = resolve_host(&channel->control, net, error);
    }
    if (result == 0 && has_endpoint && !channel->endpoint.is_numeric) {
        result = set_group(channel, error);
    }
    if (result != 0) {
        return result;
    }
    int family = has_endpoint  ? channel->endpoint.address.base.sa_family
                 : has_control ? channel->control.address.base.sa_family
                               : AF_UNSPEC;
    if (has_endpoint && has_control && channel->control.address.base.sa_family != family) {
        return invalid(error, "endpoint and control are of different address families",
                       channel->text);
    }
    result = find_interface(channel, family, net, error);
    if (result != 0) {
        return result;
    }
    set_addresses(channel);
    set_canonical(channel);
    channel->is_resolved = true;
    return 0;
}

static int tag_clash(const struct udp_channel *existing, const struct udp_channel *wanted,
                     const char *what, struct tern_error *error) {
    return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_INVALID_CHANNEL,
                     "tag %lld already means another %s: '%.80s', came '%.80s'",
                     (long long)wanted->tag, what, existing->text, wanted->text);
}

int udp_channel_match(const struct udp_channel *existing, const struct udp_channel *wanted,
                      struct tern_error *error) {
    assert(existing->is_resolved);
    assert(wanted->is_resolved);
    if (!existing->has_tag || !wanted->has_tag || existing->tag != wanted->tag) {
        return strcmp(existing->canonical, wanted->canonical) == 0;
    }
    bool is_mode_given = uri_get(&wanted->uri, "control-mode") != NULL;
    if (is_mode_given && existing->control_mode != wanted->control_mode) {
        return tag_clash(existing, wanted, "control-mode", error);
    }
    bool is_same = net_address_equal(&existing->remote, &wanted->remote) &&
                   net_address_equal(&existing->local, &wanted->local) &&
                   (!existing->is_multicast ||
                    net_address_equal(&existing->interface_address, &wanted->interface_address));
    if (!udp_channel_is_tag_reference(wanted) && !is_same) {
        return tag_clash(existing, wanted, "address", error);
    }
    return 1;
}

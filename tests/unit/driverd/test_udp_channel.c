#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "driverd/net_interface.h"
#include "driverd/udp_channel.h"
#include "wire/command.h"

static int32_t next_suffix;

static struct udp_channel *make(const char *text, enum udp_channel_role role,
                                struct tern_error *error) {
    struct udp_channel *channel = NULL;
    if (udp_channel_create(&channel, text, (int32_t)strlen(text), role, &next_suffix, error) != 0) {
        return NULL;
    }
    return channel;
}

static struct udp_channel *resolved(const char *text, enum udp_channel_role role) {
    struct tern_error error = {0};
    struct udp_channel *channel = make(text, role, &error);
    cr_assert_not_null(channel, "%s: %s", text, error.text);
    cr_assert_eq(udp_channel_resolve(channel, net_system(), &error), 0, "%s: %s", text, error.text);
    return channel;
}

Test(udp_channel, canonical_forms_follow_the_texts_of_endpoint_and_control) {
    static const struct {
        const char *text;
        enum udp_channel_role role;
        const char *canonical, *local, *remote;
    } rows[] = {
        {"aeron:udp?endpoint=127.0.0.1:4000", UDP_CHANNEL_PUBLICATION,
         "UDP-0.0.0.0:0-127.0.0.1:4000", "0.0.0.0:0", "127.0.0.1:4000"},
        {"aeron:udp?endpoint=127.0.0.1:4000", UDP_CHANNEL_SUBSCRIPTION,
         "UDP-0.0.0.0:0-127.0.0.1:4000", "127.0.0.1:4000", "127.0.0.1:4000"},
        {"aeron-spy:aeron:udp?endpoint=127.0.0.1:4000", UDP_CHANNEL_SPY,
         "UDP-0.0.0.0:0-127.0.0.1:4000", "0.0.0.0:0", "127.0.0.1:4000"},
        {"aeron:udp?endpoint=localhost:4000|interface=127.0.0.1", UDP_CHANNEL_PUBLICATION,
         "UDP-127.0.0.1:0-localhost:4000", "127.0.0.1:0", "127.0.0.1:4000"},
        {"aeron:udp?endpoint=127.0.0.1:4000|control=127.0.0.1:5000", UDP_CHANNEL_PUBLICATION,
         "UDP-127.0.0.1:5000-127.0.0.1:4000", "127.0.0.1:5000", "127.0.0.1:4000"},
        {"aeron:udp?control-mode=dynamic|control=127.0.0.1:5000", UDP_CHANNEL_PUBLICATION,
         "UDP-127.0.0.1:5000-0.0.0.0:0", "127.0.0.1:5000", "0.0.0.0:0"},
        {"aeron:udp?endpoint=127.0.0.1:4000|control=127.0.0.1:5000|control-mode=dynamic",
         UDP_CHANNEL_SUBSCRIPTION, "UDP-127.0.0.1:5000-127.0.0.1:4000", "127.0.0.1:4000",
         "127.0.0.1:4000"},
        {"aeron:udp?control-mode=manual|tags=7", UDP_CHANNEL_PUBLICATION,
         "UDP-0.0.0.0:0-0.0.0.0:0#7", "0.0.0.0:0", "0.0.0.0:0"},
        {"aeron:udp?endpoint=127.0.0.1:0", UDP_CHANNEL_SUBSCRIPTION, "UDP-0.0.0.0:0-127.0.0.1:0-3",
         "127.0.0.1:0", "127.0.0.1:0"},
        {"aeron:udp?control-mode=manual|tags=7,8|group=true", UDP_CHANNEL_SUBSCRIPTION,
         "UDP-0.0.0.0:0-0.0.0.0:0#7", "0.0.0.0:0", "0.0.0.0:0"},
        {"aeron:udp?endpoint=127.0.0.1:0", UDP_CHANNEL_RECEIVE_DESTINATION,
         "UDP-0.0.0.0:0-127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
        {"aeron:udp?endpoint=127.0.0.1:4000|control=127.0.0.1:5000",
         UDP_CHANNEL_RECEIVE_DESTINATION, "UDP-127.0.0.1:5000-127.0.0.1:4000", "127.0.0.1:4000",
         "127.0.0.1:4000"},
        {"aeron:udp?endpoint=[::1]:4000", UDP_CHANNEL_SUBSCRIPTION, "UDP-[::]:0-[::1]:4000",
         "[::1]:4000", "[::1]:4000"},
        {"aeron:udp?endpoint=224.0.1.1:4000", UDP_CHANNEL_PUBLICATION,
         "UDP-0.0.0.0:0-224.0.1.1:4000", "0.0.0.0:0", "224.0.1.1:4000"},
        {"aeron:udp?endpoint=224.0.1.1:4000|interface=localhost:5000/8|ttl=3",
         UDP_CHANNEL_PUBLICATION, "UDP-127.0.0.1:5000-224.0.1.1:4000", "127.0.0.1:5000",
         "224.0.1.1:4000"},
        {"aeron:udp?endpoint=224.0.1.1:4000|interface=127.0.0.1", UDP_CHANNEL_SUBSCRIPTION,
         "UDP-127.0.0.1:0-224.0.1.1:4000", "0.0.0.0:4000", "224.0.1.1:4000"},
        {"aeron:udp?endpoint=224.0.1.1:4000|interface={lo}", UDP_CHANNEL_RECEIVE_DESTINATION,
         "UDP-127.0.0.1:0-224.0.1.1:4000", "0.0.0.0:4000", "224.0.1.1:4000"},
        {"aeron-spy:aeron:udp?endpoint=224.0.1.1:4000|interface=127.0.0.1", UDP_CHANNEL_SPY,
         "UDP-127.0.0.1:0-224.0.1.1:4000", "127.0.0.1:0", "224.0.1.1:4000"},
        {"aeron:udp?endpoint=[ff02::3]:4000", UDP_CHANNEL_SUBSCRIPTION, "UDP-[::]:0-[ff02::3]:4000",
         "[::]:4000", "[ff02::3]:4000"},
    };
    next_suffix = 3;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct udp_channel *channel = resolved(rows[i].text, rows[i].role);
        char local[NET_ADDRESS_TEXT_MAX], remote[NET_ADDRESS_TEXT_MAX];
        net_address_format(&channel->local, local);
        net_address_format(&channel->remote, remote);
        cr_assert_str_eq(channel->canonical, rows[i].canonical, "row %zu", i);
        cr_assert_str_eq(local, rows[i].local, "row %zu", i);
        cr_assert_str_eq(remote, rows[i].remote, "row %zu", i);
        udp_channel_destroy(channel);
    }
    cr_assert_eq(next_suffix, 4);
}

Test(udp_channel, channels_that_mean_nothing_or_too_much_are_refused) {
    static const struct {
        const char *text;
        enum udp_channel_role role;
        int driver_code; /* 0: any */
        const char *contains;
    } rows[] = {
        {"aeron:udp", UDP_CHANNEL_PUBLICATION, 1, "endpoint"},
        {"aeron:udp?alias=only", UDP_CHANNEL_PUBLICATION, 1, "endpoint"},
        {"aeron:udp?endpoint=127.0.0.1", UDP_CHANNEL_PUBLICATION, 1, "endpoint=127.0.0.1"},
        {"aeron:udp?endpoint=127.0.0.1:", UDP_CHANNEL_PUBLICATION, 1, "port"},
        {"aeron:udp?endpoint=127.0.0.1:70000", UDP_CHANNEL_PUBLICATION, 1, "70000"},
        {"aeron:udp?endpoint=127.0.0.1:port", UDP_CHANNEL_PUBLICATION, 1, "port"},
        {"aeron:udp?endpoint=127.0.0.1:-1", UDP_CHANNEL_PUBLICATION, 1, "port"},
        {"aeron:udp?endpoint=127.0.0.1:+5", UDP_CHANNEL_PUBLICATION, 1, "port"},
        {"aeron:udp?endpoint=127.0.0.1:0", UDP_CHANNEL_PUBLICATION, 1, "port"},
        {"aeron:udp?endpoint=[::1:4000", UDP_CHANNEL_PUBLICATION, 1, "::1"},
        {"aeron:udp?endpoint=[nonsense]:4000", UDP_CHANNEL_PUBLICATION, 1, "IPv6"},
        {"aeron:udp?endpoint=:4000", UDP_CHANNEL_PUBLICATION, 1, "host"},
        {"aeron:udp?endpoint=224.1.1.2:4000", UDP_CHANNEL_PUBLICATION, 1, "odd"},
        {"aeron:udp?endpoint=[ff02::2]:4000", UDP_CHANNEL_SUBSCRIPTION, 1, "odd"},
        {"aeron:udp?endpoint=224.1.1.1:0", UDP_CHANNEL_SUBSCRIPTION, 1, "port"},
        {"aeron:udp?endpoint=224.1.1.1:4000|control=1.2.3.4:5", UDP_CHANNEL_SUBSCRIPTION, 1,
         "excludes control"},
        {"aeron:udp?endpoint=224.1.1.1:4000|control-mode=manual", UDP_CHANNEL_PUBLICATION, 1,
         "excludes control"},
        {"aeron:udp?control=127.0.0.1:4000", UDP_CHANNEL_PUBLICATION, 1, "control"},
        {"aeron:udp?control-mode=dynamic", UDP_CHANNEL_PUBLICATION, 1, "dynamic"},
        {"aeron:udp?endpoint=1.2.3.4:5|control-mode=dynamic", UDP_CHANNEL_PUBLICATION, 1,
         "dynamic"},
        {"aeron:udp?endpoint=1.2.3.4:5|control-mode=fancy", UDP_CHANNEL_PUBLICATION, 1, "fancy"},
        {"aeron:udp?endpoint=1.2.3.4:5|control=1.2.3.4:0|control-mode=dynamic",
         UDP_CHANNEL_SUBSCRIPTION, 1, "control"},
        {"aeron:udp?control-mode=manual|endpoint=1.2.3.4:5", UDP_CHANNEL_SUBSCRIPTION, 1,
         "destinations"},
        {"aeron:udp?control-mode=manual|control=1.2.3.4:5", UDP_CHANNEL_SUBSCRIPTION, 1,
         "destinations"},
        {"aeron:udp?control=1.2.3.4:5", UDP_CHANNEL_RECEIVE_DESTINATION, 1, "endpoint"},
        {"aeron:udp?endpoint=1.2.3.4:5|control=1.2.3.4:0", UDP_CHANNEL_RECEIVE_DESTINATION, 1,
         "control"},
        {"aeron:udp?endpoint=1.2.3.4:5|control-mode=manual", UDP_CHANNEL_RECEIVE_DESTINATION, 1,
         "manual"},
        {"aeron-spy:aeron:udp?endpoint=1.2.3.4:5", UDP_CHANNEL_RECEIVE_DESTINATION, 1, "spy"},
        {"aeron:udp?endpoint=1.2.3.4:5|control-mode=response", UDP_CHANNEL_SEND_DESTINATION, 1,
         "response"},
        {"aeron:udp?endpoint=1.2.3.4:5|control-mode=response", UDP_CHANNEL_RECEIVE_DESTINATION, 1,
         "response"},
        {"aeron:udp?endpoint=1.2.3.4:5|response-correlation-id=7", UDP_CHANNEL_SEND_DESTINATION, 1,
         "response-correlation-id"},
        {"aeron:udp?endpoint=224.1.1.1:4000|control-mode=response", UDP_CHANNEL_SUBSCRIPTION, 1,
         "control-mode"},
        {"aeron:udp?endpoint=1.2.3.4:5|tags=x", UDP_CHANNEL_PUBLICATION, 1, "tags"},
        {"aeron:udp?endpoint=1.2.3.4:5|tags=1,y", UDP_CHANNEL_PUBLICATION, 1, "tags"},
        {"aeron:udp?endpoint=1.2.3.4:5|cc=warp", UDP_CHANNEL_SUBSCRIPTION, 0, "warp"},
        {"aeron:udp?endpoint=1.2.3.4:5|group=yes", UDP_CHANNEL_SUBSCRIPTION, 0, "group"},
        {"aeron:udp?endpoint=1.2.3.4:5|ttl=256", UDP_CHANNEL_PUBLICATION, 0, "ttl"},
        {"aeron:udp?endpoint=1.2.3.4:5|nak-delay=x", UDP_CHANNEL_SUBSCRIPTION, 0, "nak-delay"},
        {"aeron:udp?endpoint=1.2.3.4:5|gtag=x", UDP_CHANNEL_SUBSCRIPTION, 0, "gtag"},
        {"aeron:udp?endpoint=1.2.3.4:5|so-rcvbuf=4g", UDP_CHANNEL_SUBSCRIPTION, 0, "so-rcvbuf"},
        {"aeron:udp?endpoint=1.2.3.4:5|rcv-wnd=abc", UDP_CHANNEL_SUBSCRIPTION, 0, "rcv-wnd"},
        {"aeron:udp?endpoint=1.2.3.4:5|channel-rcv-ts-offset=0|media-rcv-ts-offset=7",
         UDP_CHANNEL_SUBSCRIPTION, 1, "channel-rcv-ts-offset"},
        {"aeron:udp?endpoint=1.2.3.4:5|channel-rcv-ts-offset=0", UDP_CHANNEL_RECEIVE_DESTINATION, 1,
         "timestamps"},
        {"aeron:udp?endpoint=1.2.3.4:5|channel-snd-ts-offset=0", UDP_CHANNEL_SEND_DESTINATION, 1,
         "channel-snd-ts-offset"},
        {"aeron:ipc", UDP_CHANNEL_SEND_DESTINATION, 1, "UDP"},
        {"aeron-spy:aeron:udp?endpoint=1.2.3.4:5", UDP_CHANNEL_SEND_DESTINATION, 1, "spy"},
        {"aeron-spy:aeron:udp?endpoint=1.2.3.4:5", UDP_CHANNEL_PUBLICATION, 1, "spy"},
        {"aeron:udp?endpoint=1.2.3.4:0", UDP_CHANNEL_SEND_DESTINATION, 1, "port"},
        {"aeron:udp?control=1.2.3.4:5", UDP_CHANNEL_SEND_DESTINATION, 1, "endpoint"},
        {"aeron:udp?endpoint=1.2.3.4:5|mtu=1408", UDP_CHANNEL_SEND_DESTINATION, 1, "mtu"},
        {"aeron:udp?endpoint=1.2.3.4:5|rcv-wnd=4k", UDP_CHANNEL_SEND_DESTINATION, 1, "rcv-wnd"},
        {"aeron:udp?endpoint=1.2.3.4:5|so-sndbuf=4k", UDP_CHANNEL_SEND_DESTINATION, 1, "so-sndbuf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tern_error error = {0};
        struct udp_channel *channel = make(rows[i].text, rows[i].role, &error);
        cr_assert_null(channel, "accepted: %s", rows[i].text);
        cr_assert_lt(error.code, 0, "%s", rows[i].text);
        if (rows[i].driver_code != 0) {
            cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - rows[i].driver_code, "%s: %d",
                         rows[i].text, error.code);
        }
        cr_assert_not_null(strstr(error.text, rows[i].contains), "%s: %s", rows[i].text,
                           error.text);
    }
}

Test(udp_channel, values_are_kept_as_given) {
    struct udp_channel *channel =
        make("aeron:udp?endpoint=h:1|so-sndbuf=64k|so-rcvbuf=1m|rcv-wnd=128k|group=true|gtag=-77|"
             "nak-delay=5ms|tags=5,9|ttl=3",
             UDP_CHANNEL_SUBSCRIPTION, NULL);
    cr_assert_not_null(channel);
    cr_assert_eq(channel->so_sndbuf_bytes, 65536);
    cr_assert_eq(channel->so_rcvbuf_bytes, 1 << 20);
    cr_assert_eq(channel->rcv_wnd_bytes, 131072);
    cr_assert(channel->has_group_tag && channel->group_tag == -77);
    cr_assert(channel->has_tag && channel->tag == 5);
    cr_assert(channel->has_entity_tag && channel->entity_tag == 9);
    cr_assert(udp_channel_needs_resolver(channel));
    cr_assert_str_eq(channel->endpoint.name, "h");
    udp_channel_destroy(channel);
}

Test(udp_channel, names_are_resolved_and_unknown_hosts_named) {
    struct tern_error error = {0};
    struct udp_channel *channel =
        make("aeron:udp?endpoint=no-such-host.invalid:4000", UDP_CHANNEL_PUBLICATION, &error);
    cr_assert_not_null(channel);
    cr_assert(udp_channel_needs_resolver(channel));
    cr_assert_lt(udp_channel_resolve(channel, net_system(), &error), 0);
    cr_assert_eq(error.code, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_UNKNOWN_HOST);
    cr_assert_not_null(strstr(error.text, "no-such-host.invalid"));
    udp_channel_destroy(channel);
}

Test(udp_channel, tags_refer_to_an_endpoint_and_must_not_contradict_it) {
    struct udp_channel *tagged =
        resolved("aeron:udp?endpoint=127.0.0.1:4000|tags=5", UDP_CHANNEL_PUBLICATION);
    static const struct {
        const char *text;
        int match;
    } rows[] = {
        {"aeron:udp?tags=5", 1},
        {"aeron:udp?tags=6", 0},
        {"aeron:udp?endpoint=127.0.0.1:4000|tags=5", 1},
        {"aeron:udp?endpoint=127.0.0.1:4000", 1},
        {"aeron:udp?endpoint=127.0.0.1:4001|tags=5", -1},
        {"aeron:udp?control-mode=manual|tags=5", -1},
        {"aeron:udp?endpoint=127.0.0.1:4001", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tern_error error = {0};
        struct udp_channel *wanted = resolved(rows[i].text, UDP_CHANNEL_PUBLICATION);
        int match = udp_channel_match(tagged, wanted, &error);
        cr_assert_eq(match < 0 ? -1 : match, rows[i].match, "%s: %d", rows[i].text, match);
        udp_channel_destroy(wanted);
    }
    struct udp_channel *first =
        resolved("aeron:udp?endpoint=127.0.0.1:0", UDP_CHANNEL_SUBSCRIPTION);
    struct udp_channel *second =
        resolved("aeron:udp?endpoint=127.0.0.1:0", UDP_CHANNEL_SUBSCRIPTION);
    cr_assert_eq(udp_channel_match(first, second, NULL), 0, "wildcards are never shared");
    udp_channel_destroy(first);
    udp_channel_destroy(second);
    udp_channel_destroy(tagged);
}

Test(udp_channel, a_group_has_a_control_group_next_to_it) {
    static const struct {
        const char *text, *control;
    } rows[] = {
        {"aeron:udp?endpoint=224.0.1.1:4000", "224.0.1.2:4000"},
        {"aeron:udp?endpoint=239.255.255.255:1", "239.255.255.0:1"},
        {"aeron:udp?endpoint=[ff11::ff01]:4000", "[ff11::ff02]:4000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct udp_channel *channel = resolved(rows[i].text, UDP_CHANNEL_SUBSCRIPTION);
        char control[NET_ADDRESS_TEXT_MAX];
        net_address_format(&channel->control_group, control);
        cr_assert_str_eq(control, rows[i].control);
        cr_assert(channel->is_multicast);
        cr_assert(udp_channel_is_group(channel));
        udp_channel_destroy(channel);
    }
    struct udp_channel *by_loopback =
        resolved("aeron:udp?endpoint=224.0.1.1:4000|interface=127.0.0.1|ttl=255|tags=3",
                 UDP_CHANNEL_SUBSCRIPTION);
    struct udp_channel *anywhere =
        resolved("aeron:udp?endpoint=224.0.1.1:4000|tags=3", UDP_CHANNEL_SUBSCRIPTION);
    struct tern_error error;
    cr_assert_eq(by_loopback->ttl, 255);
    cr_assert_gt(by_loopback->interface_index, 0);
    cr_assert_lt(udp_channel_match(by_loopback, anywhere, &error), 0, "another interface");
    udp_channel_destroy(by_loopback);
    udp_channel_destroy(anywhere);
    struct udp_channel *missing = make("aeron:udp?endpoint=224.0.1.1:4000|interface=127.9.9.9",
                                       UDP_CHANNEL_PUBLICATION, &error);
    cr_assert_lt(udp_channel_resolve(missing, net_system(), &error), 0);
    cr_assert_not_null(strstr(error.text, "127.9.9.9"));
    udp_channel_destroy(missing);
}

static struct net_interface interface_of(const char *name, const char *address, uint8_t prefix,
                                         bool is_loopback) {
    struct net_interface made = {.prefix_length = prefix, .is_loopback = is_loopback};
    strcpy(made.name, name);
    net_address_parse(address, &made.address);
    return made;
}

Test(udp_channel, the_most_specific_interface_wins_and_loopback_is_last) {
    const struct net_interface all[] = {
        interface_of("lo", "127.0.0.1", 8, true),
        interface_of("eth0", "10.1.2.3", 16, false),
        interface_of("eth1", "10.1.5.4", 24, false),
        interface_of("eth1", "[fe80::5]", 64, false),
    };
    static const struct {
        const char *text;
        int family;
        int expected; /* index, or -1 */
    } rows[] = {
        {"10.1.2.3", AF_INET, 1},       {"10.1.2.4", AF_INET, -1},    {"10.1.0.0/16", AF_INET, 2},
        {"10.1.2.0:77/24", AF_INET, 1}, {"0.0.0.0/0", AF_INET, 2},    {"localhost", AF_INET, 0},
        {"localhost/8", AF_INET, 0},    {"{eth1}", AF_INET6, 3},      {"{eth1}:5", AF_INET, 2},
        {"{eth9}", AF_INET, -1},        {"[fe80::]/64", AF_INET6, 3}, {"10.1.2.3", AF_INET6, -1},
        {"127.0.0.0/8", AF_UNSPEC, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct interface_spec spec;
        cr_assert_eq(interface_spec_parse(&spec, rows[i].text, NULL), 0, "%s", rows[i].text);
        const struct net_interface *found = interface_select(&spec, rows[i].family, all, 4);
        cr_assert_eq(found == NULL ? -1 : (int)(found - all), rows[i].expected, "%s", rows[i].text);
    }
    struct net_interface able[] = {all[1], all[2], all[0]};
    struct interface_spec any;
    cr_assert_eq(interface_spec_parse(&any, "0.0.0.0/0", NULL), 0);
    any.needs_multicast = true;
    cr_assert(interface_select(&any, AF_INET, able, 3) == &able[2], "none but loopback can");
    able[0].is_multicast = true;
    cr_assert(interface_select(&any, AF_INET, able, 3) == &able[0], "the only one that can");
    static const char *const bad[] = {"",
                                      "nonsense",
                                      "10.1.2.3/33",
                                      "10.1.2.3/x",
                                      "{eth0",
                                      "{}",
                                      "{a-very-long-interface}",
                                      "{eth0}:x",
                                      "[fe80::]/129"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct interface_spec spec;
        cr_assert_lt(interface_spec_parse(&spec, bad[i], NULL), 0, "%s", bad[i]);
    }
}

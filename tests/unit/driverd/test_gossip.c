/* The gossip of names, by events and times: who is told what when, what is believed, what is
 * forgotten. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "driverd/gossip.h"
#include "wire/resolution.h"

#define SELF "10.0.0.1:8050"
#define BATCH 64

struct fixture {
    struct gossip gossip;
    int64_t now_ns;
    struct net_datagram sent[BATCH];
    int count;
};

static union net_address at(const char *text) {
    union net_address address;
    cr_assert(net_address_parse(text, &address) == 0, "%s", text);
    return address;
}

static void init(struct fixture *f, const char *self, int32_t mtu_length) {
    struct tern_error error = {0};
    const struct gossip_params params = {
        .name = "node-1",
        .self = at(self),
        .mtu_length = mtu_length,
        .self_interval_ns = NS_PER_S,
        .cache_interval_ns = 2 * NS_PER_S,
        .bootstrap_interval_ns = 10 * NS_PER_S,
        .timeout_ns = 10 * NS_PER_S,
    };
    f->now_ns = 100 * NS_PER_S;
    cr_assert(gossip_init(&f->gossip, &params, f->now_ns, &error) == 0, "%s", error.text);
}

static void poll_after(struct fixture *f, int64_t duration_ns) {
    f->now_ns += duration_ns;
    f->count = gossip_poll(&f->gossip, f->sent, BATCH, f->now_ns);
}

static bool has_address(const struct net_datagram *datagram, const char *address) {
    union net_address wanted = at(address);
    return net_address_equal(&datagram->address, &wanted);
}

/* The only entry of a datagram. */
static struct resolution_entry only_entry(const struct net_datagram *datagram) {
    struct resolution_entry entry;
    int32_t offset = FRAME_COMMON_LENGTH;
    cr_assert(resolution_validate(datagram->data, datagram->length) == FRAME_VALID);
    cr_assert(resolution_next(datagram->data, &offset, &entry));
    cr_assert(offset == (int32_t)datagram->length);
    return entry;
}

struct news {
    const char *name;
    const char *address;
    bool is_self;
    int32_t age_ms;
};

static enum frame_verdict tell_from(struct fixture *f, const char *source, struct news news) {
    uint8_t frame[1024];
    union net_address from = at(source);
    const struct resolution_entry entry = {.address = at(news.address),
                                           .is_self = news.is_self,
                                           .age_ms = news.age_ms,
                                           .name = news.name,
                                           .name_length = (int32_t)strlen(news.name)};
    int32_t length = 8 + resolution_put(frame + 8, sizeof frame - 8, &entry);
    resolution_put_header(frame, length);
    return gossip_on_datagram(&f->gossip, frame, (uint32_t)length, &from, f->now_ns);
}

static void tell(struct fixture *f, struct news news) {
    cr_assert(tell_from(f, "10.0.0.9:9999", news) == FRAME_VALID);
}

static bool finds(const struct fixture *f, const char *name, const char *address) {
    union net_address found;
    union net_address wanted = at(address);
    return gossip_find(&f->gossip, name, AF_UNSPEC, &found) && net_address_equal(&found, &wanted);
}

static bool knows(const struct fixture *f, const char *name) {
    union net_address found;
    return gossip_find(&f->gossip, name, AF_UNSPEC, &found);
}

Test(gossip, the_own_name_goes_to_bootstrap_neighbors_and_to_all_others_once) {
    struct fixture f;
    init(&f, SELF, 1408);
    cr_assert(gossip_add_bootstrap(&f.gossip, "10.0.0.2:8050,somewhere:8050," SELF, NULL) == 0);
    poll_after(&f, 0);
    cr_assert(f.count == 1, "not to itself, not to who is not known");
    cr_assert(has_address(&f.sent[0], "10.0.0.2:8050"));
    struct resolution_entry entry = only_entry(&f.sent[0]);
    cr_assert(entry.is_self && entry.age_ms == 0);
    cr_assert(entry.name_length == 6 && memcmp(entry.name, "node-1", 6) == 0);
    union net_address self = at(SELF);
    cr_assert(net_address_equal(&entry.address, &self));
    poll_after(&f, NS_PER_S - 1);
    cr_assert(f.count == 0, "not before the second is over");
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", true, 0});
    tell(&f, (struct news){"node-3", "10.0.0.3:8050", true, 0});
    poll_after(&f, 1);
    cr_assert(f.count == 2, "a bootstrap neighbor that became a neighbor is told once");
    cr_assert(has_address(&f.sent[0], "10.0.0.2:8050") && has_address(&f.sent[1], "10.0.0.3:8050"));
    gossip_close(&f.gossip);
}

Test(gossip, what_was_heard_is_found_passed_on_with_its_age_and_forgotten) {
    struct fixture f;
    init(&f, SELF, 1408);
    poll_after(&f, 0);
    cr_assert(f.count == 0, "nobody to tell, nothing to pass on");
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", true, 0});
    tell(&f, (struct news){"node-6", "[fd00::6]:8050", false, 1500});
    cr_assert(finds(&f, "node-2", "10.0.0.2:8050"));
    cr_assert(finds(&f, "node-6", "[fd00::6]:8050"));
    cr_assert(!knows(&f, "node-"));
    cr_assert(f.gossip.neighbor_count == 1, "the socket reaches no IPv6 address");
    poll_after(&f, 2 * NS_PER_S);
    cr_assert(f.count == 2, "the own name, and the cache in one datagram");
    struct resolution_entry entry;
    const uint8_t *page = f.sent[1].data;
    int32_t offset = FRAME_COMMON_LENGTH;
    cr_assert(resolution_validate(page, f.sent[1].length) == FRAME_VALID);
    cr_assert(resolution_next(page, &offset, &entry));
    cr_assert(!entry.is_self && entry.age_ms == 2000 && entry.name_length == 6);
    cr_assert(resolution_next(page, &offset, &entry));
    cr_assert(!entry.is_self && entry.age_ms == 3500);
    cr_assert(!resolution_next(page, &offset, &entry));
    poll_after(&f, 6500 * NS_PER_MS - 1);
    cr_assert(knows(&f, "node-6"));
    poll_after(&f, 1);
    cr_assert(!knows(&f, "node-6"), "10 s after its driver was heard by anybody");
    cr_assert(f.gossip.neighbor_count == 1);
    poll_after(&f, 1500 * NS_PER_MS);
    cr_assert(!knows(&f, "node-2"));
    cr_assert(f.gossip.neighbor_count == 0 && f.gossip.name_count == 0);
    gossip_close(&f.gossip);
}

Test(gossip, only_a_neighbor_itself_keeps_a_neighbor_alive) {
    struct fixture f;
    init(&f, SELF, 1408);
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", false, 0});
    cr_assert(f.gossip.neighbor_count == 1, "by hearsay");
    f.now_ns += 6 * NS_PER_S;
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", false, 0});
    poll_after(&f, 4 * NS_PER_S);
    cr_assert(f.gossip.neighbor_count == 0 && f.gossip.name_count == 1);
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", true, 0});
    f.now_ns += 6 * NS_PER_S;
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", true, 0});
    poll_after(&f, 4 * NS_PER_S);
    cr_assert(f.gossip.neighbor_count == 1);
    gossip_close(&f.gossip);
}

Test(gossip, newer_news_win_and_older_ones_do_not) {
    struct fixture f;
    init(&f, SELF, 1408);
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", true, 0});
    tell(&f, (struct news){"node-2", "10.0.0.7:8050", false, 3000});
    cr_assert(finds(&f, "node-2", "10.0.0.2:8050"), "it has moved, and not all have heard it");
    f.now_ns += NS_PER_S;
    tell(&f, (struct news){"node-2", "10.0.0.8:8051", true, 0});
    cr_assert(finds(&f, "node-2", "10.0.0.8:8051"));
    cr_assert(f.gossip.name_count == 1);
    tell(&f, (struct news){"node-3", "10.0.0.3:8050", false, -5000});
    poll_after(&f, 10 * NS_PER_S);
    cr_assert(!knows(&f, "node-3"), "news from the future are news of now");
    tell(&f, (struct news){"node-4", "10.0.0.4:8050", false, 10000});
    cr_assert(!knows(&f, "node-4"), "dead already");
    cr_assert(f.gossip.neighbor_count == 0);
    gossip_close(&f.gossip);
}

Test(gossip, wildcard_stands_for_the_sender_and_the_unreachable_is_passed_over) {
    struct fixture f;
    init(&f, "0.0.0.0:8050", 1408);
    cr_assert(tell_from(&f, "10.0.0.2:8051", (struct news){"node-2", "0.0.0.0:8050", true, 0}) ==
              FRAME_VALID);
    cr_assert(finds(&f, "node-2", "10.0.0.2:8051"));
    static const struct news useless[] = {
        {"node-3", "0.0.0.0:8050", false, 0},
        {"node-3", "224.0.1.1:8050", true, 0},
        {"node-3", "10.0.0.3:0", true, 0},
        {"node-1", "10.0.0.1:8050", true, 0}, /* own, coming back */
        {"node-1", "10.0.0.1:8050", false, 0},
    };
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
        tell(&f, useless[i]);
        cr_assert(f.gossip.name_count == 1 && f.gossip.neighbor_count == 1, "%zu", i);
    }
    cr_assert(finds(&f, "node-1", "0.0.0.0:8050"), "the own name is the own address");
    tell(&f, (struct news){"node-1", "10.0.0.66:1", true, 0});
    cr_assert(finds(&f, "node-1", "0.0.0.0:8050"), "whatever others say");
    gossip_close(&f.gossip);
}

Test(gossip, a_family_can_be_asked_for) {
    struct fixture f;
    union net_address found;
    init(&f, SELF, 1408);
    tell(&f, (struct news){"node-2", "[fd00::2]:8050", true, 0});
    tell(&f, (struct news){"node-2", "10.0.0.2:8050", false, 100});
    cr_assert(f.gossip.name_count == 2);
    cr_assert(finds(&f, "node-2", "10.0.0.2:8050"), "IPv4 first");
    cr_assert(gossip_find(&f.gossip, "node-2", AF_INET6, &found));
    cr_assert(found.base.sa_family == AF_INET6);
    cr_assert(!gossip_find(&f.gossip, "node-1", AF_INET6, &found), "it is bound to IPv4");
    gossip_close(&f.gossip);
}

Test(gossip, damaged_datagrams_change_nothing) {
    struct fixture f;
    uint8_t frame[64] = {0};
    union net_address from = at("10.0.0.2:8050");
    struct resolution_entry entry = {.address = from, .is_self = true, .name = "x"};
    entry.name_length = 1;
    init(&f, SELF, 1408);
    int32_t length = 8 + resolution_put(frame + 8, 56, &entry);
    resolution_put_header(frame, length + 8); /* a second entry that is none */
    frame[length] = 9;
    cr_assert(gossip_on_datagram(&f.gossip, frame, (uint32_t)length + 8, &from, f.now_ns) ==
              FRAME_INVALID);
    cr_assert(f.gossip.name_count == 0 && f.gossip.neighbor_count == 0);
    gossip_close(&f.gossip);
}

Test(gossip, bootstrap_neighbors_are_looked_up_until_they_answer) {
    struct fixture f;
    init(&f, SELF, 1408);
    cr_assert(gossip_add_bootstrap(&f.gossip, " 10.0.0.2:8050, b:8050,c:8051", NULL) == 0);
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == 1);
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == 2);
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == -1);
    union net_address b = at("10.0.0.11:8050");
    cr_assert(gossip_on_bootstrap(&f.gossip, 1, &b));
    f.now_ns += 11 * NS_PER_S;
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == 1, "it is not heard of");
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == -1, "the other is still being asked");
    cr_assert(!gossip_on_bootstrap(&f.gossip, 1, &b), "nothing new");
    cr_assert(!gossip_on_bootstrap(&f.gossip, 2, NULL));
    poll_after(&f, 0);
    cr_assert(f.count == 2 && has_address(&f.sent[1], "10.0.0.11:8050"));
    tell(&f, (struct news){"node-b", "10.0.0.11:8050", true, 0});
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == 2, "it failed: again, but not at once");
    cr_assert(!gossip_on_bootstrap(&f.gossip, 2, NULL));
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == -1);
    f.now_ns += 9 * NS_PER_S;
    tell(&f, (struct news){"node-b", "10.0.0.11:8050", true, 0});
    f.now_ns += NS_PER_S;
    cr_assert(gossip_next_lookup(&f.gossip, f.now_ns) == 2, "b is a neighbor now");
    union net_address moved = at("10.0.0.12:8050");
    cr_assert(gossip_on_bootstrap(&f.gossip, 2, &moved));
    poll_after(&f, 0);
    bool is_told = false;
    for (int i = 0; i < f.count; i++) {
        is_told = is_told || has_address(&f.sent[i], "10.0.0.12:8050");
    }
    cr_assert(is_told);
    gossip_close(&f.gossip);
}

Test(gossip, bootstrap_texts_are_judged) {
    static const char *const bad[] = {"node", "node:0", "node:x", "a:1,,b:2", ":1", "[::1:5", ","};
    struct tern_error error = {0};
    struct gossip gossip = {0};
    char many[512] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gossip = (struct gossip){0};
        cr_assert(gossip_add_bootstrap(&gossip, bad[i], &error) < 0, "%s", bad[i]);
        cr_assert(error.text[0] != '\0');
    }
    for (int i = 0; i <= GOSSIP_BOOTSTRAP_MAX; i++) {
        gossip = (struct gossip){0};
        cr_assert(gossip_add_bootstrap(&gossip, many, &error) == 0, "%s", many);
        cr_assert(gossip.bootstrap_count == i);
        size_t length = strlen(many);
        (void)snprintf(many + length, sizeof many - length, "%sh%d:%d", i == 0 ? "" : ",", i,
                       i + 1);
    }
    gossip = (struct gossip){0};
    cr_assert(gossip_add_bootstrap(&gossip, many, &error) < 0, "one too many");
}

/* Counts how often a name is told to each neighbor within one round, polled in small bites. */
Test(gossip, rounds_are_cut_into_pages_and_bites_and_reach_everybody) {
    enum { NODES = 50, BITE = 3 };
    struct fixture f;
    int told[NODES][NODES] = {0};
    int announced[NODES] = {0};
    int datagrams = 0;
    init(&f, SELF, 256);
    for (int i = 0; i < NODES; i++) {
        char name[32];
        char address[32];
        (void)snprintf(name, sizeof name, "member-%d", i);
        (void)snprintf(address, sizeof address, "10.0.1.%d:8050", i);
        tell(&f, (struct news){name, address, true, 0});
    }
    for (int call = 0; call < 1000; call++) {
        int count = gossip_poll(&f.gossip, f.sent, BITE, f.now_ns);
        cr_assert(count <= BITE);
        for (int i = 0; i < count; i++) {
            const struct net_datagram *datagram = &f.sent[i];
            struct resolution_entry entry;
            int32_t offset = FRAME_COMMON_LENGTH;
            int target = (int)(ntohl(datagram->address.v4.sin_addr.s_addr) & 0xFF);
            cr_assert(datagram->length <= 256);
            cr_assert(resolution_validate(datagram->data, datagram->length) == FRAME_VALID);
            while (resolution_next(datagram->data, &offset, &entry)) {
                int about = (int)(ntohl(entry.address.v4.sin_addr.s_addr) & 0xFF);
                announced[target] += entry.is_self;
                told[about][target] += !entry.is_self;
            }
            datagrams++;
        }
    }
    for (int i = 0; i < NODES; i++) {
        cr_assert(announced[i] == 1, "%d: %d", i, announced[i]);
        for (int k = 0; k < NODES; k++) {
            cr_assert(told[i][k] == 1, "%d to %d: %d", i, k, told[i][k]);
        }
    }
    cr_assert(datagrams == NODES + NODES * 5, "%d: ten entries of 24 bytes make a page", datagrams);
    gossip_close(&f.gossip);
}

Test(gossip, full_tables_refuse_what_is_new_and_keep_what_they_have) {
    struct fixture f;
    init(&f, SELF, 1408);
    for (int i = 0; i < GOSSIP_NAMES_MAX + 3; i++) {
        char name[32];
        char address[32];
        (void)snprintf(name, sizeof name, "n%d", i);
        (void)snprintf(address, sizeof address, "10.1.%d.%d:8050", i / 256, i % 256);
        tell(&f, (struct news){name, address, true, 0});
    }
    cr_assert(f.gossip.name_count == GOSSIP_NAMES_MAX);
    cr_assert(f.gossip.neighbor_count == GOSSIP_NEIGHBORS_MAX);
    cr_assert(f.gossip.refused_count == 6);
    cr_assert(finds(&f, "n0", "10.1.0.0:8050") && !knows(&f, "n1024"));
    tell(&f, (struct news){"n0", "10.1.0.0:8051", true, 0});
    cr_assert(finds(&f, "n0", "10.1.0.0:8051"));
    char name[GOSSIP_NAME_LENGTH_MAX + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    poll_after(&f, 10 * NS_PER_S);
    cr_assert(f.gossip.name_count == 0);
    tell(&f, (struct news){name, "10.0.0.2:8050", true, 0});
    cr_assert(f.gossip.name_count == 0 && f.gossip.neighbor_count == 1, "no channel can name it");
    name[sizeof name - 2] = '\0';
    tell(&f, (struct news){name, "10.0.0.2:8050", true, 0});
    cr_assert(knows(&f, name));
    gossip_close(&f.gossip);
}

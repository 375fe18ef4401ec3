/* The gossip of names: neighbors, the cache of names, and who is told what when.
 *
 * A driver announces its own name to its neighbors (SELF) and passes on what it has heard, with the
 * age of the news. News spread, therefore, and so does silence: whoever was not heard of by anybody
 * for the time-out is forgotten everywhere. Three things are stricter than in the original: older
 * news never replace newer ones, the own name is never taken from others, and addresses that nobody
 * can be reached at (wildcard, multicast, port 0) are passed over.
 *
 * A round (one announcement to all, or the whole cache to all neighbors) is cut into calls of
 * gossip_poll, so that a large cluster costs the caller's duty cycle no more than a small one.
 * Tables are unordered: the last entry fills a gap. A round that is under way may then miss an
 * entry; the next one has it.
 */
#include "driverd/gossip.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "wire/resolution.h"

/* A year: so that sums of times stay in range. */
#define INTERVAL_MAX_NS (INT64_C(86400) * 365 * NS_PER_S)
#define ENTRY_LENGTH_MAX (26 + GOSSIP_NAME_LENGTH_MAX + 7)

/* FNV-1a: only to avoid comparing texts. */
static uint64_t hash_of(const char *name, int32_t length, int family) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325) ^ (uint64_t)family;
    for (int32_t i = 0; i < length; i++) {
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static void make_announcement(struct gossip *gossip) {
    const struct resolution_entry entry = {
        .address = gossip->params.self,
        .is_self = true,
        .name = gossip->name,
        .name_length = gossip->name_length,
    };
    int32_t length =
        resolution_put(gossip->announcement + FRAME_COMMON_LENGTH, ENTRY_LENGTH_MAX, &entry);
    assert(length > 0);
    gossip->announcement_length = FRAME_COMMON_LENGTH + length;
    resolution_put_header(gossip->announcement, gossip->announcement_length);
}

int gossip_init(struct gossip *gossip, const struct gossip_params *params, int64_t now_ns,
                struct tern_error *error) {
    size_t name_length = strlen(params->name);
    assert(name_length > 0);
    assert(name_length <= GOSSIP_NAME_LENGTH_MAX);
    *gossip = (struct gossip){
        .params = *params,
        .name_length = (int32_t)name_length,
        .names = calloc(GOSSIP_NAMES_MAX, sizeof *gossip->names),
        .hashes = calloc(GOSSIP_NAMES_MAX, sizeof *gossip->hashes),
        .neighbors = calloc(GOSSIP_NEIGHBORS_MAX, sizeof *gossip->neighbors),
        .announcement = calloc(1, FRAME_COMMON_LENGTH + ENTRY_LENGTH_MAX),
        .page = calloc(1, (size_t)params->mtu_length),
        .announce_deadline_ns = now_ns,
        .announce_next = -1,
        .cache_deadline_ns = now_ns,
        .page_first = -1,
    };
    memcpy(gossip->name, params->name, name_length);
    struct gossip_params *own = &gossip->params;
    own->name = gossip->name;
    own->self_interval_ns = min_i64(own->self_interval_ns, INTERVAL_MAX_NS);
    own->cache_interval_ns = min_i64(own->cache_interval_ns, INTERVAL_MAX_NS);
    own->bootstrap_interval_ns = min_i64(own->bootstrap_interval_ns, INTERVAL_MAX_NS);
    if (gossip->names == NULL || gossip->hashes == NULL || gossip->neighbors == NULL ||
        gossip->announcement == NULL || gossip->page == NULL) {
        gossip_close(gossip);
        return error_set_errno(error, ENOMEM, "cannot make the tables of names");
    }
    make_announcement(gossip);
    return 0;
}

void gossip_close(struct gossip *gossip) {
    free(gossip->names);
    free(gossip->hashes);
    free(gossip->neighbors);
    free(gossip->announcement);
    free(gossip->page);
    *gossip = (struct gossip){0};
}

int gossip_add_bootstrap(struct gossip *gossip, const char *text, struct tern_error *error) {
    const char *start = text + strspn(text, " ");
    while (*start != '\0') {
        size_t length = strcspn(start, ",");
        char item[UDP_ADDRESS_TEXT_MAX + 1];
        if (length >= sizeof item) {
            return error_set(error, -EINVAL, "a neighbor of %zu bytes is too long", length);
        }
        if (gossip->bootstrap_count == GOSSIP_BOOTSTRAP_MAX) {
            return error_set(error, -EINVAL, "more than %d neighbors", GOSSIP_BOOTSTRAP_MAX);
        }
        memcpy(item, start, length);
        item[length] = '\0';
        struct gossip_bootstrap *bootstrap = &gossip->bootstrap[gossip->bootstrap_count];
        int result = udp_host_parse(&bootstrap->host, "neighbor", item, error);
        if (result != 0) {
            return result;
        }
        if (bootstrap->host.port == 0) {
            return error_set(error, -EINVAL, "neighbor=%.120s needs a port other than 0", item);
        }
        bootstrap->is_resolved = bootstrap->host.is_numeric;
        gossip->bootstrap_count++;
        start += length + (start[length] == ',');
        start += strspn(start, " ");
    }
    return 0;
}

/* -- tables -- */

static int32_t find_name(const struct gossip *gossip, const char *name, int32_t length,
                         int family) {
    uint64_t hash = hash_of(name, length, family);
    for (int32_t i = 0; i < gossip->name_count; i++) {
        const struct gossip_name *entry = &gossip->names[i];
        if (gossip->hashes[i] == hash && entry->length == length &&
            entry->address.base.sa_family == family &&
            memcmp(entry->text, name, (size_t)length) == 0) {
            return i;
        }
    }
    return -1;
}

static int32_t find_neighbor(const struct gossip *gossip, const union net_address *address) {
    for (int32_t i = 0; i < gossip->neighbor_count; i++) {
        if (net_address_equal(&gossip->neighbors[i].address, address)) {
            return i;
        }
    }
    return -1;
}

static void forget_silent(struct gossip *gossip, int64_t now_ns) {
    int64_t timeout_ns = gossip->params.timeout_ns;
    for (int32_t i = gossip->name_count - 1; i >= 0; i--) {
        if (now_ns - gossip->names[i].activity_ns >= timeout_ns) {
            int32_t last = --gossip->name_count;
            gossip->names[i] = gossip->names[last];
            gossip->hashes[i] = gossip->hashes[last];
        }
    }
    for (int32_t i = gossip->neighbor_count - 1; i >= 0; i--) {
        if (now_ns - gossip->neighbors[i].activity_ns >= timeout_ns) {
            gossip->neighbors[i] = gossip->neighbors[--gossip->neighbor_count];
        }
    }
}

/* -- hearing -- */

static bool is_reachable(const union net_address *address) {
    return !net_address_is_wildcard(address) && !net_address_is_multicast(address) &&
           net_address_port(address) != 0;
}

static void hear_name(struct gossip *gossip, const struct resolution_entry *heard,
                      const union net_address *address, int64_t activity_ns) {
    if (heard->name_length > GOSSIP_NAME_LENGTH_MAX) {
        return; /* well-formed, but no channel could name it */
    }
    int family = address->base.sa_family;
    int32_t index = find_name(gossip, heard->name, heard->name_length, family);
    if (index < 0 && gossip->name_count == GOSSIP_NAMES_MAX) {
        gossip->refused_count++;
        return;
    }
    if (index < 0) {
        index = gossip->name_count++;
        struct gossip_name *made = &gossip->names[index];
        *made = (struct gossip_name){.length = heard->name_length, .activity_ns = activity_ns};
        memcpy(made->text, heard->name, (size_t)heard->name_length);
        gossip->hashes[index] = hash_of(heard->name, heard->name_length, family);
    }
    struct gossip_name *entry = &gossip->names[index];
    if (activity_ns >= entry->activity_ns) {
        entry->activity_ns = activity_ns;
        entry->address = *address;
    }
}

static void hear_neighbor(struct gossip *gossip, bool is_self, const union net_address *address,
                          int64_t activity_ns) {
    const union net_address *self = &gossip->params.self;
    if (address->base.sa_family != self->base.sa_family || net_address_equal(address, self)) {
        return; /* the socket cannot reach it, or need not */
    }
    int32_t index = find_neighbor(gossip, address);
    if (index >= 0) {
        struct gossip_neighbor *neighbor = &gossip->neighbors[index];
        neighbor->activity_ns =
            is_self ? max_i64(neighbor->activity_ns, activity_ns) : neighbor->activity_ns;
    } else if (gossip->neighbor_count < GOSSIP_NEIGHBORS_MAX) {
        gossip->neighbors[gossip->neighbor_count++] =
            (struct gossip_neighbor){.activity_ns = activity_ns, .address = *address};
    } else {
        gossip->refused_count++;
    }
}

static bool is_own(const struct gossip *gossip, const struct resolution_entry *entry,
                   const union net_address *address) {
    return net_address_port(address) == net_address_port(&gossip->params.self) &&
           entry->name_length == gossip->name_length &&
           memcmp(entry->name, gossip->name, (size_t)gossip->name_length) == 0;
}

static void hear(struct gossip *gossip, const struct resolution_entry *entry,
                 const union net_address *source, int64_t now_ns) {
    union net_address address = entry->address;
    if (entry->is_self && net_address_is_wildcard(&address)) {
        address = *source;
    }
    int64_t age_ns = max_i32(entry->age_ms, 0) * NS_PER_MS;
    int64_t activity_ns = now_ns - age_ns;
    if (is_own(gossip, entry, &address) || !is_reachable(&address) ||
        age_ns >= gossip->params.timeout_ns) {
        return;
    }
    hear_name(gossip, entry, &address, activity_ns);
    hear_neighbor(gossip, entry->is_self, &address, activity_ns);
}

enum frame_verdict gossip_on_datagram(struct gossip *gossip, const uint8_t *data, uint32_t length,
                                      const union net_address *source, int64_t now_ns) {
    enum frame_verdict verdict = resolution_validate(data, length);
    int32_t offset = FRAME_COMMON_LENGTH;
    struct resolution_entry entry;
    while (verdict == FRAME_VALID && resolution_next(data, &offset, &entry)) {
        hear(gossip, &entry, source, now_ns);
    }
    return verdict;
}

/* -- bootstrap neighbors -- */

bool gossip_on_bootstrap(struct gossip *gossip, int32_t index, const union net_address *address) {
    assert(index >= 0);
    assert(index < gossip->bootstrap_count);
    struct gossip_bootstrap *bootstrap = &gossip->bootstrap[index];
    struct udp_host *host = &bootstrap->host;
    assert(bootstrap->is_asked);
    bootstrap->is_asked = false;
    if (address == NULL || (bootstrap->is_resolved && net_address_equal(&host->address, address))) {
        return false;
    }
    host->address = *address;
    bootstrap->is_resolved = true;
    return true;
}

int32_t gossip_next_lookup(struct gossip *gossip, int64_t now_ns) {
    for (int32_t i = 0; i < gossip->bootstrap_count; i++) {
        struct gossip_bootstrap *bootstrap = &gossip->bootstrap[i];
        const struct udp_host *host = &bootstrap->host;
        if (host->is_numeric || bootstrap->is_asked || now_ns < bootstrap->ask_deadline_ns) {
            continue;
        }
        bootstrap->ask_deadline_ns = now_ns + gossip->params.bootstrap_interval_ns;
        if (!bootstrap->is_resolved || find_neighbor(gossip, &host->address) < 0) {
            bootstrap->is_asked = true;
            return i;
        }
    }
    return -1;
}

/* -- telling -- */

static bool is_bootstrap(const struct gossip *gossip, const union net_address *address) {
    for (int32_t i = 0; i < gossip->bootstrap_count; i++) {
        const struct gossip_bootstrap *bootstrap = &gossip->bootstrap[i];
        if (bootstrap->is_resolved && net_address_equal(&bootstrap->host.address, address)) {
            return true;
        }
    }
    return false;
}

/* NULL: nobody there, the driver itself, or one that has its turn as a bootstrap neighbor. */
static const union net_address *announce_target(const struct gossip *gossip, int32_t index) {
    const union net_address *self = &gossip->params.self;
    if (index < gossip->bootstrap_count) {
        const struct gossip_bootstrap *bootstrap = &gossip->bootstrap[index];
        const union net_address *address = &bootstrap->host.address;
        bool is_usable = bootstrap->is_resolved && !net_address_equal(address, self) &&
                         address->base.sa_family == self->base.sa_family;
        return is_usable ? address : NULL;
    }
    const union net_address *address = &gossip->neighbors[index - gossip->bootstrap_count].address;
    return is_bootstrap(gossip, address) ? NULL : address;
}

static int announce(struct gossip *gossip, struct net_datagram *datagrams, int count,
                    int64_t now_ns) {
    if (gossip->announce_next < 0 && now_ns >= gossip->announce_deadline_ns) {
        gossip->announce_deadline_ns = now_ns + gossip->params.self_interval_ns;
        gossip->announce_next = 0;
    }
    int made = 0;
    int32_t target_count = gossip->bootstrap_count + gossip->neighbor_count;
    while (gossip->announce_next >= 0 && made < count) {
        if (gossip->announce_next >= target_count) {
            gossip->announce_next = -1;
            break;
        }
        const union net_address *target = announce_target(gossip, gossip->announce_next++);
        if (target != NULL) {
            datagrams[made++] =
                (struct net_datagram){.data = gossip->announcement,
                                      .length = (uint32_t)gossip->announcement_length,
                                      .address = *target};
        }
    }
    return made;
}

static void make_page(struct gossip *gossip, int64_t now_ns) {
    int32_t length = FRAME_COMMON_LENGTH;
    int32_t index = gossip->page_first;
    for (; index < gossip->name_count; index++) {
        const struct gossip_name *name = &gossip->names[index];
        int64_t age_ms = (now_ns - name->activity_ns) / NS_PER_MS;
        const struct resolution_entry entry = {
            .address = name->address,
            .age_ms = (int32_t)min_i64(age_ms, INT32_MAX),
            .name = name->text,
            .name_length = name->length,
        };
        int32_t added =
            resolution_put(gossip->page + length, gossip->params.mtu_length - length, &entry);
        if (added == 0 && length > FRAME_COMMON_LENGTH) {
            break; /* the page is full; a name that no page can hold is passed over */
        }
        length += added;
    }
    resolution_put_header(gossip->page, length);
    gossip->page_length = length;
    gossip->page_end = index;
    gossip->page_next = length > FRAME_COMMON_LENGTH ? 0 : INT32_MAX;
}

/* At most one page per call: it is in the caller's hands until the next. */
static int pass_on(struct gossip *gossip, struct net_datagram *datagrams, int count,
                   int64_t now_ns) {
    if (gossip->page_first < 0 && now_ns >= gossip->cache_deadline_ns) {
        gossip->cache_deadline_ns = now_ns + gossip->params.cache_interval_ns;
        gossip->page_first = 0;
        gossip->page_end = 0;
    }
    if (gossip->page_first >= gossip->name_count || gossip->neighbor_count == 0) {
        gossip->page_first = -1;
    }
    if (gossip->page_first < 0 || count == 0) {
        return 0;
    }
    if (gossip->page_end == gossip->page_first) {
        make_page(gossip, now_ns);
    }
    int made = 0;
    while (made < count && gossip->page_next < gossip->neighbor_count) {
        datagrams[made++] =
            (struct net_datagram){.data = gossip->page,
                                  .length = (uint32_t)gossip->page_length,
                                  .address = gossip->neighbors[gossip->page_next++].address};
    }
    if (gossip->page_next >= gossip->neighbor_count) {
        gossip->page_first = gossip->page_end;
    }
    return made;
}

int gossip_poll(struct gossip *gossip, struct net_datagram *datagrams, int count, int64_t now_ns) {
    forget_silent(gossip, now_ns);
    int made = announce(gossip, datagrams, count, now_ns);
    return made + pass_on(gossip, datagrams + made, count - made, now_ns);
}

/* -- looking up -- */

static bool find_in_family(const struct gossip *gossip, const char *name, int family,
                           union net_address *address) {
    int32_t length = (int32_t)strlen(name);
    if (strcmp(name, gossip->name) == 0 && gossip->params.self.base.sa_family == family) {
        *address = gossip->params.self;
        return true;
    }
    int32_t index = find_name(gossip, name, length, family);
    if (index >= 0) {
        *address = gossip->names[index].address;
    }
    return index >= 0;
}

bool gossip_find(const struct gossip *gossip, const char *name, int family,
                 union net_address *address) {
    if (family != AF_UNSPEC) {
        return find_in_family(gossip, name, family, address);
    }
    return find_in_family(gossip, name, AF_INET, address) ||
           find_in_family(gossip, name, AF_INET6, address);
}

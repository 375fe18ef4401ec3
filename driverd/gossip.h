/* The protocol by which drivers tell each other their names (media-driver.md 5.10): a pure core.
 *
 * Events go in (a datagram, a bootstrap neighbor that was looked up), datagrams to be sent and
 * names to be looked up come out; gossip_socket.c does both with the world. Every call gets the
 * time. Work per call is bounded; nothing is allocated after gossip_init.
 */
#ifndef DRIVERD_GOSSIP_H
#define DRIVERD_GOSSIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"
#include "driverd/udp_channel.h"
#include "wire/frame.h"

#define GOSSIP_NAMES_MAX 1024
#define GOSSIP_NEIGHBORS_MAX 1024
#define GOSSIP_BOOTSTRAP_MAX 20
#define GOSSIP_NAME_LENGTH_MAX UDP_HOST_LENGTH_MAX /* a channel can name no longer one */

struct gossip_params {
    const char *name;         /* own; 1 to GOSSIP_NAME_LENGTH_MAX bytes */
    union net_address self;   /* own, as bound: with the port, maybe wildcard */
    int32_t mtu_length;       /* longest datagram */
    int64_t self_interval_ns; /* between announcements of the own name */
    int64_t cache_interval_ns;
    int64_t bootstrap_interval_ns;
    int64_t timeout_ns; /* of neighbors and names */
};

struct gossip_name {
    int64_t activity_ns; /* when anything was heard of its driver, by anybody */
    union net_address address;
    int32_t length;
    char text[GOSSIP_NAME_LENGTH_MAX + 1];
};

struct gossip_neighbor {
    int64_t activity_ns;
    union net_address address;
};

/* Told by the configuration; known by its address once that was found. */
struct gossip_bootstrap {
    struct udp_host host;
    bool is_resolved;
    bool is_asked; /* the answer is outstanding */
    int64_t ask_deadline_ns;
};

struct gossip {
    struct gossip_params params;
    char name[GOSSIP_NAME_LENGTH_MAX + 1];
    int32_t name_length;
    struct gossip_bootstrap bootstrap[GOSSIP_BOOTSTRAP_MAX];
    int32_t bootstrap_count;
    struct gossip_name *names;
    uint64_t *hashes; /* of names, compact: each entry of a datagram looks through them */
    int32_t name_count;
    struct gossip_neighbor *neighbors;
    int32_t neighbor_count;
    int64_t refused_count; /* names and neighbors that there was no room for */

    /* A round goes on over several calls; targets are bootstrap neighbors, then neighbors. */
    int64_t announce_deadline_ns;
    int32_t announce_next; /* target; -1: no round */
    uint8_t *announcement;
    int32_t announcement_length;
    int64_t cache_deadline_ns;
    int32_t page_first; /* name; -1: no round */
    int32_t page_end;   /* names of the page that is being sent; page_first: none is made */
    int32_t page_next;  /* neighbor */
    uint8_t *page;
    int32_t page_length;
};

/* Copies what it needs; everything is due at once. Fails for want of memory only. */
int gossip_init(struct gossip *gossip, const struct gossip_params *params, int64_t now_ns,
                struct tern_error *error);
void gossip_close(struct gossip *gossip);
/* Comma-separated "host:port", at most GOSSIP_BOOTSTRAP_MAX, to be called once after init (and
 * with a zeroed gossip, to judge the text). */
int gossip_add_bootstrap(struct gossip *gossip, const char *text, struct tern_error *error);

/* Events. A datagram is judged here; what is not FRAME_VALID has had no effect. */
enum frame_verdict gossip_on_datagram(struct gossip *gossip, const uint8_t *data, uint32_t length,
                                      const union net_address *source, int64_t now_ns);
/* The look-up of a bootstrap neighbor has ended; NULL: without success. True: its address has
 * changed. */
bool gossip_on_bootstrap(struct gossip *gossip, int32_t index, const union net_address *address);

/* Actions. What is to be sent now: at most `count` datagrams with addresses, whose data is good
 * until the next call. Also forgets who has been silent. */
int gossip_poll(struct gossip *gossip, struct net_datagram *datagrams, int count, int64_t now_ns);
/* A bootstrap neighbor to be looked up now, or -1; it counts as asked until the answer. */
int32_t gossip_next_lookup(struct gossip *gossip, int64_t now_ns);

/* The address behind a name (port: of its resolver socket): the own name, then what was heard.
 * AF_UNSPEC: IPv4 first. */
bool gossip_find(const struct gossip *gossip, const char *name, int family,
                 union net_address *address);

#endif

/* The resolver agents: they look up host names for the conductor, which must never wait for them
 * (media-driver.md 5.9, 6.4). Run each on a thread of its own; in INVOKER mode step them with the
 * rest. One serves what clients wait for, the other what is looked up in the background: a silent
 * peer's name, which a name service is often slow about, delays no command.
 *
 * The conductor's side asks a source of names first, which knows some without asking anybody; such
 * requests are answered without the agents, however long they are stuck in the name service.
 */
#ifndef DRIVERD_RESOLVER_H
#define DRIVERD_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"
#include "driverd/udp_channel.h"
#include "shm/ring_spsc.h"

/* Does not block. `family` AF_UNSPEC: IPv4 if possible. The port is not looked at. */
struct name_source {
    void *context;
    bool (*find)(void *context, const char *name, int family, union net_address *address);
};

struct name_table;
struct plugin_names;

/* One agent: its requests are served one after the other. */
struct resolver_agent {
    const struct resolver *resolver;
    struct net_poller *poller; /* of no sockets: a request ends the agent's wait */
    struct ring_spsc requests; /* conductor writes, agent reads */
    struct ring_spsc results;  /* agent writes, conductor reads */
    int64_t now_ns;            /* agent */
};

enum resolver_rank { RESOLVER_FOREGROUND, RESOLVER_BACKGROUND, RESOLVER_AGENT_COUNT };

struct resolver {
    const struct net *net;
    const struct net *lookup;    /* for names: `net`, or what goes by one of the next two */
    struct name_table *table;    /* NULL: none */
    struct plugin_names *plugin; /* likewise */
    uint8_t *memory;
    struct resolver_agent agents[RESOLVER_AGENT_COUNT];
    /* conductor */
    struct name_source source; /* find NULL: none */
    struct ring_spsc answers;  /* results that needed no look-up */
};

enum resolve_kind {
    RESOLVE_CHANNEL,       /* a channel of a client command */
    RESOLVE_SEND_ENDPOINT, /* again, because nothing was heard of the old address */
    RESOLVE_DESTINATION,
    RESOLVE_RECV_CONTROL,
    RESOLVE_BOOTSTRAP, /* a neighbor of the gossip of names: not asked of the source */
};

struct resolve_request {
    int32_t kind;
    int64_t id;                  /* the asker's: correlation id, endpoint id, destination id */
    int64_t time_ns;             /* when it was asked */
    struct udp_channel *channel; /* RESOLVE_CHANNEL: lent to the resolver until the result */
    struct udp_host host;        /* the other kinds; `address` is the one in use, if any */
};

struct resolve_result {
    int32_t kind;
    int32_t code; /* 0, or that of the error */
    int64_t id;
    int64_t time_ns; /* when the look-up began, for the duration counters */
    struct udp_channel *channel;
    union net_address address;
    char text[TERN_ERROR_TEXT_MAX];
};

int resolver_init(struct resolver *resolver, const struct net *net, struct tern_error *error);
void resolver_close(struct resolver *resolver);
/* May block in the name service. */
int resolver_agent_do_work(struct resolver_agent *agent, int64_t now_ns);
/* Until a request comes or the time is over; and the end of that. */
void resolver_agent_wait(const struct resolver_agent *agent, int64_t timeout_ns);
void resolver_agent_wake(const struct resolver_agent *agent);

/* A look-up is under way or waiting. Any thread. */
bool resolver_is_busy(const struct resolver *resolver);

/* Conductor, before the first request. */
void resolver_set_source(struct resolver *resolver, const struct name_source *source);
/* Conductor, before the agent runs: takes the table, which is refreshed with each request. */
void resolver_set_table(struct resolver *resolver, struct name_table *table);
/* Likewise. */
void resolver_set_plugin(struct resolver *resolver, struct plugin_names *plugin);
/* Conductor. False: too many requests are under way, try again later. */
bool resolver_submit(struct resolver *resolver, const struct resolve_request *request);
/* Conductor: the results that came, to `handler` (which copies them); returns how many. */
typedef void (*resolve_handler)(void *context, const struct resolve_result *result);
int resolver_poll(struct resolver *resolver, resolve_handler handler, void *context);

#endif

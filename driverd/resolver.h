/* The resolver agent: looks up host names for the conductor, which must never wait for them
 * (media-driver.md 5.9, 6.4). Run it on a thread of its own; in INVOKER mode step it with the rest.
 */
#ifndef DRIVERD_RESOLVER_H
#define DRIVERD_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/net.h"
#include "driverd/udp_channel.h"
#include "shm/ring_spsc.h"

struct resolver {
    const struct net *net;
    struct net_poller *poller; /* of no sockets: a request ends the resolver's wait */
    uint8_t *memory;
    struct ring_spsc requests; /* conductor writes, resolver reads */
    struct ring_spsc results;  /* resolver writes, conductor reads */
};

enum resolve_kind {
    RESOLVE_CHANNEL,       /* a channel of a client command */
    RESOLVE_SEND_ENDPOINT, /* again, because nothing was heard of the old address */
    RESOLVE_DESTINATION,
    RESOLVE_RECV_CONTROL,
};

struct resolve_request {
    int32_t kind;
    int64_t id;                  /* the asker's: correlation id, endpoint id, destination id */
    int64_t time_ns;             /* when it was asked, for the duration counters */
    struct udp_channel *channel; /* RESOLVE_CHANNEL: lent to the resolver until the result */
    struct udp_host host;        /* the other kinds */
};

struct resolve_result {
    int32_t kind;
    int32_t code; /* 0, or that of the error */
    int64_t id;
    int64_t time_ns; /* of the request */
    struct udp_channel *channel;
    union net_address address;
    char text[TERN_ERROR_TEXT_MAX];
};

int resolver_init(struct resolver *resolver, const struct net *net, struct tern_error *error);
void resolver_close(struct resolver *resolver);
/* May block in the name service. `now_ns` is not used; it makes this an agent. */
int resolver_do_work(struct resolver *resolver, int64_t now_ns);

/* Conductor. False: too many requests are under way, try again later. */
bool resolver_submit(struct resolver *resolver, const struct resolve_request *request);
/* Conductor: the results that came, to `handler` (which copies them); returns how many. */
typedef void (*resolve_handler)(void *context, const struct resolve_result *result);
int resolver_poll(struct resolver *resolver, resolve_handler handler, void *context);

#endif

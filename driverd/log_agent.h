/* The log agent: makes, maps, unmaps and deletes log buffer files for the conductor, which must
 * never wait for a file system (media-driver.md 6.1, 6.6). It runs on a thread of its own, not on
 * the resolver's: a slow name service must not keep an IPC publication waiting. In INVOKER mode it
 * is stepped with the rest.
 *
 *     struct log_file *file = log_file_allocate(context, &spec);
 *     log_agent_request(agent, file);                     // it is the agent's now
 *     file = log_agent_poll(agent);                       // and ours again, made or failed
 *     log_agent_discard(agent, file);                     // for good
 */
#ifndef DRIVERD_LOG_AGENT_H
#define DRIVERD_LOG_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "driverd/log_file.h"
#include "shm/ring_spsc.h"

struct driver_context;
struct net_poller;

/* A queue of files by `next`. */
struct log_file_queue {
    struct log_file *first;
    struct log_file *last;
};

struct log_agent {
    struct driver_context *context;
    struct net_poller *poller; /* of no sockets: a request ends the agent's wait */
    uint8_t *memory;
    struct ring_spsc requests; /* conductor writes, agent reads: pointers */
    struct ring_spsc results;  /* agent writes, conductor reads: pointers */

    /* conductor */
    CACHE_ALIGNED int32_t making_count; /* requests without a result: bounds the results */
    struct log_file_queue waiting;      /* discarded, and the ring was full */

    /* agent */
    CACHE_ALIGNED struct log_file_queue discarded; /* to be deleted */
    struct log_file_queue failed;                  /* could not be; in order of their retry time */
    struct log_file *touching;                     /* list by next_touching, the oldest first */
};

int log_agent_init(struct log_agent *agent, struct driver_context *context,
                   struct tern_error *error);
/* Neither thread runs any more. Deletes what is still under way or discarded; what the conductor
 * has was discarded before. */
void log_agent_close(struct log_agent *agent);

/* -- the agent's side -- */

/* One request, the configured number of deletions, and a little pre-touching when nobody waits;
 * returns how many. */
int log_agent_do_work(struct log_agent *agent, int64_t now_ns);
/* The parts of it, for INVOKER: one request; deletions; pre-touching. */
int log_agent_serve(struct log_agent *agent);
int log_agent_delete(struct log_agent *agent, int64_t now_ns);
int log_agent_touch(struct log_agent *agent);

/* -- the conductor's side -- */

/* False: too much is under way, and the file stays the caller's. */
bool log_agent_request(struct log_agent *agent, struct log_file *file);
/* Can there be something to poll for? */
static inline bool log_agent_is_busy(const struct log_agent *agent) {
    return agent->making_count > 0 || agent->waiting.first != NULL;
}
/* The next file that was made, or could not be: the caller's again. NULL: none. */
struct log_file *log_agent_poll(struct log_agent *agent);
/* Nobody in the driver uses the file any more: it is deleted soon. NULL is fine. */
void log_agent_discard(struct log_agent *agent, struct log_file *file);

#endif

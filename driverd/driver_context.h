/* What all parts of one driver share: configuration, seams, cnc.dat and its sections, the queue
 * into the conductor, and the conductor's clocks.
 *
 * The struct driver owns it; everything else borrows it. Members are grouped by who may touch them.
 * Sender and receiver reach the error log and the clients only by posting to the conductor
 * (driver_message.h).
 */
#ifndef DRIVERD_DRIVER_CONTEXT_H
#define DRIVERD_DRIVER_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/io.h"
#include "driverd/driver_conf.h"
#include "driverd/watch.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/counter_types.h"
#include "shm/error_log.h"
#include "shm/loss_report.h"
#include "shm/ring_mpsc.h"
#include "wire/command.h"

struct driver_plugins;
struct log_agent;
struct plugin_filter;
struct trace_file;

/* Bytes of the rings between the agents (without trailer): commands carry pointers and ids. */
#define DRIVER_QUEUE_LENGTH (256 * 1024)

/* A client command is taken from the ring only while sender and receiver have this much room for
 * what it may cause, so that a hand-over never fails half-way. */
#define DRIVER_QUEUE_RESERVE 4096

struct driver_context {
    /* any agent; set at start, then read only */
    const struct driver_conf *conf;
    struct io io;
    struct cnc cnc;
    struct mapped_file loss_report_file;
    struct net_buffer_limits buffer_limits;         /* of UDP sockets; 0: not known */
    int64_t *system_counters[SYSTEM_COUNTER_COUNT]; /* words: any agent, see context_count */
    uint8_t *to_conductor_memory;
    void *trace_file; /* struct trace_file; release: log agent; acquire: who logs events */
    struct trace_file *event_log;         /* the driver's own; NULL: none */
    const struct driver_plugins *plugins; /* NULL: none */
    struct plugin_filter *filter;         /* likewise; io.net is its */
    const struct net *names_net;          /* of the gossip of names */
    struct net_poller *conductor_poller;  /* of no sockets: who posts ends the conductor's wait */

    /* sender and receiver write, conductor reads; messages of driver_message.h */
    struct ring_mpsc to_conductor;

    /* conductor */
    CACHE_ALIGNED struct ring_mpsc to_driver; /* any client process writes */
    struct broadcast_transmitter to_clients;
    struct counters_manager counters;
    struct error_log error_log;
    struct loss_report loss_report; /* written where loss is found: in the conductor's scan */
    bool is_error_log_full;
    /* Optional: called for each error that is new in the log. */
    void (*on_new_error)(void *on_new_error_context, const struct tern_error *error);
    void *on_new_error_context;
    int64_t now_ns;       /* start of the current duty cycle */
    int64_t now_epoch_ms; /* refreshed every millisecond */
    int32_t next_session_id;
    int32_t next_channel_suffix; /* names of untagged wildcard channels */
    bool is_conductor_apart;     /* it rests on a thread of its own; set before the start */
    struct log_agent *log_agent; /* borrowed; makes and deletes log files */
    /* Those that have moved while the conductor did not look: sender and receiver add, the
     * conductor takes all. */
    CACHE_ALIGNED struct watch *stirred_publications;
    struct watch *stirred_images;
};

/* Make cnc.dat and loss-report.dat in the (empty) directory, and the views. `conf` and what `io`
 * points to are borrowed. */
int driver_context_open(struct driver_context *context, const struct driver_conf *conf,
                        const struct io *io, struct tern_error *error);
/* From now on clients may attach. */
void driver_context_publish(struct driver_context *context);
/* Tell clients that the driver ends: they close everything. */
void driver_context_signal_end(struct driver_context *context);
/* Unmaps. Idempotent; fine on a zeroed context. */
void driver_context_close(struct driver_context *context);

/* Any agent. */
static inline void context_count(const struct driver_context *context, enum system_counter counter,
                                 int64_t delta) {
    counter_increment(context->system_counters[counter], delta);
}

/* Sender or receiver: they moved something that the conductor may want to be told of. */
static inline void driver_context_stir(struct driver_context *context, struct watch **stack,
                                       struct watch *watch) {
    if (watch_stir(stack, watch) && context->is_conductor_apart) {
        const struct net *net = context->io.net;
        net->wake(net->context, context->conductor_poller);
    }
}

/* Sender or receiver: queue a message for the conductor. A full queue is counted (system counter 4)
 * and the message dropped: peers and timers repeat what matters. */
bool driver_context_post(struct driver_context *context, int32_t type, const void *message,
                         int32_t length);
/* Sender or receiver: a line for the distinct error log. */
void driver_context_post_error(struct driver_context *context, const struct tern_error *error);

/* Everything below is the conductor's. */

/* Into the distinct error log; counts system counter 15. Codes in the driver's range are written
 * as their positive code. A new one, and the first that the log has no room for, goes to
 * on_new_error as well. */
void driver_context_log_error(struct driver_context *context, const struct tern_error *error);

int64_t driver_context_next_id(struct driver_context *context); /* correlation ids */

static inline struct text_slice text_slice_of(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

/* Broadcast to all clients. */
void driver_context_respond(struct driver_context *context, const struct response *response);
void driver_context_respond_success(struct driver_context *context, int64_t correlation_id);
void driver_context_respond_error(struct driver_context *context, int64_t correlation_id,
                                  const struct tern_error *error);

/* Allocate a counter; the id, or a negative code with text. The value is visible before the counter
 * is. */
int32_t driver_context_allocate_counter(struct driver_context *context,
                                        const struct counter_params *params,
                                        struct tern_error *error);
void driver_context_free_counter(struct driver_context *context, int32_t *counter_id);

/* A stream counter: key and label of shared-memory.md 6.2. `label_suffix` may be NULL. */
struct stream_counter_params {
    enum counter_type type;
    const char *name; /* "pub-lmt" */
    int64_t registration_id;
    int64_t key_id; /* registration id in key and label; mostly equal to registration_id */
    int64_t owner_id;
    int64_t reference_id;
    int32_t session_id;
    int32_t stream_id;
    const char *channel;
    const char *label_suffix;
    int64_t initial_value;
};
int32_t driver_context_stream_counter(struct driver_context *context,
                                      const struct stream_counter_params *params,
                                      struct tern_error *error);

static inline int64_t *driver_context_counter(struct driver_context *context, int32_t counter_id) {
    return counters_manager_address(&context->counters, counter_id);
}

/* The driver's error code of an error (shared-memory.md 3.3): codes in the range of
 * TERN_ERROR_DRIVER_BASE give themselves, ENOSPC gives 12, a bad URI 1, the rest 11. */
int32_t driver_error_code(const struct tern_error *error);

/* error_set with a code of shared-memory.md 3.3. */
#define DRIVER_ERROR(code) (TERN_ERROR_DRIVER_BASE - (code))

#endif

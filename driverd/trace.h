/* The event log of frames and commands, switched on and off at run time by `ternctl trace`, which
 * makes and deletes a file in the driver directory (shm/trace_file.h).
 *
 * The agents call trace_frames, trace_command and trace_response; while nobody looks each costs a
 * load and a branch. The log agent's thread looks for the file once per second and maps it.
 */
#ifndef DRIVERD_TRACE_H
#define DRIVERD_TRACE_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/net.h"
#include "driverd/driver_context.h"
#include "shm/trace_file.h"

struct duty_cycle;

#define TRACE_AGENTS_COUNT 3

enum trace_state {
    TRACE_STATE_OFF,
    TRACE_STATE_ON,
    TRACE_STATE_ENDING, /* an agent may be writing still */
};

/* Log agent's thread only. */
struct trace {
    struct driver_context *context;
    const struct duty_cycle *agents[TRACE_AGENTS_COUNT]; /* sender, receiver, conductor */
    enum trace_state state;
    int64_t deadline_ns;
    int64_t ended_ns;
    struct trace_file file;
    char path[DRIVER_DIRECTORY_MAX + 32];
};

void trace_init(struct trace *trace, struct driver_context *context,
                const struct duty_cycle *const agents[TRACE_AGENTS_COUNT]);
/* Nobody writes any more; deletes the file, so that its reader ends. */
void trace_close(struct trace *trace);
int trace_do_work(struct trace *trace, int64_t now_ns);

struct trace_frames {
    const struct net_datagram *datagrams;
    int count;
    const union net_address *address; /* NULL: each datagram has its own */
    int64_t now_ns;
};
struct trace_message {
    int32_t type;
    int32_t length;
    const uint8_t *payload;
    int64_t now_ns;
};

/* Any agent; behind the branch of the functions below. */
void trace_write_frames(struct trace_file *file, enum trace_kind kind,
                        const struct trace_frames *frames);
void trace_write_message(struct trace_file *file, enum trace_kind kind,
                         const struct trace_message *message);

/* NULL: off, or not this kind. */
static inline struct trace_file *trace_active(const struct driver_context *context,
                                              enum trace_kind kind) {
    struct trace_file *file = load_acquire_pointer(&context->trace_file);
    return file != NULL && trace_file_wants(file, kind) ? file : NULL;
}

/* Event log of the driver's own, NULL as a rule; likewise. */
static inline struct trace_file *trace_own(const struct driver_context *context,
                                           enum trace_kind kind) {
    struct trace_file *file = context->event_log;
    return file != NULL && trace_file_wants(file, kind) ? file : NULL;
}

/* Sender or receiver, after the system took or gave them. */
static inline void trace_frames(const struct driver_context *context, enum trace_kind kind,
                                struct trace_frames frames) {
    struct trace_file *file = trace_active(context, kind);
    struct trace_file *own = trace_own(context, kind);
    if (file != NULL) {
        trace_write_frames(file, kind, &frames);
    }
    if (own != NULL) {
        trace_write_frames(own, kind, &frames);
    }
}

/* Conductor: a command or a response. */
static inline void trace_message(const struct driver_context *context, enum trace_kind kind,
                                 struct trace_message message) {
    struct trace_file *file = trace_active(context, kind);
    struct trace_file *own = trace_own(context, kind);
    if (file != NULL) {
        trace_write_message(file, kind, &message);
    }
    if (own != NULL) {
        trace_write_message(own, kind, &message);
    }
}

#endif

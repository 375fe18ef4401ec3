/* The event log that is on for the driver's whole life (AERON_EVENT_LOG, media-driver.md 7.9): what
 * the agents note goes through a ring in memory to a text file or to stdout.
 *
 * `ternctl trace` is the same at run time, by a ring in a file (trace.h); both may be on.
 */
#ifndef DRIVERD_EVENT_LOG_H
#define DRIVERD_EVENT_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "driverd/driver_conf.h"
#include "shm/trace_file.h"

/* Which events: of frames all or none in each direction, of commands and responses by type. */
struct event_selection {
    int32_t kinds; /* bits of 1 << trace_kind */
    uint32_t commands;
    uint32_t responses;
};

/* Lists of names, separated by commas: FRAME_IN, FRAME_OUT, CMD_IN_<command>, CMD_OUT_<response>,
 * "admin" (all but frames), "all". What `disabled` names is taken from what `enabled` does. */
int event_selection_parse(struct event_selection *selection, const char *enabled,
                          const char *disabled, struct tern_error *error);

/* The log agent's thread, but for the ring, which all agents write. */
struct event_log {
    struct event_selection selection;
    struct trace_file ring;
    const struct clock *clock;
    FILE *out;
    const char *path;      /* NULL: stdout */
    int64_t length_max;    /* of the file; 0: no end */
    int64_t dropped_count; /* that were told */
    int64_t deadline_ns;
};

/* Nothing is opened when the configuration names no event: log->out is NULL then. */
int event_log_open(struct event_log *log, const struct driver_conf *conf, const struct clock *clock,
                   struct tern_error *error);
/* Write what came; how many events. */
int event_log_do_work(struct event_log *log, int64_t now_ns);
/* Nobody writes any more. Fine on a zeroed log. */
void event_log_close(struct event_log *log);

/* Events wait no longer than this. */
#define EVENT_LOG_INTERVAL_NS (20 * NS_PER_MS)

static inline bool event_log_is_on(const struct event_log *log) {
    return log->out != NULL;
}

#endif

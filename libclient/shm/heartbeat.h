/* The age of a heartbeat that another process writes in epoch milliseconds, judged on our own
 * monotonic clock by when the word changed: a step of the wall clock neither kills who lives nor
 * keeps a dead one. Only between two looks the wall clock tells how old a new value is. */
#ifndef TERN_SHM_HEARTBEAT_H
#define TERN_SHM_HEARTBEAT_H

#include <stdint.h>

#include "base/bits.h"
#include "base/clock.h"

struct heartbeat {
    int64_t value_ms;
    int64_t written_ns; /* when, as far as we know */
    int64_t looked_ns;
};

static inline void heartbeat_init(struct heartbeat *heartbeat, int64_t value_ms, int64_t now_ns) {
    *heartbeat = (struct heartbeat){value_ms, now_ns, now_ns};
}

/* Look at the word; returns its age in nanoseconds. */
static inline int64_t heartbeat_look(struct heartbeat *heartbeat, int64_t value_ms, int64_t now_ns,
                                     int64_t epoch_ms) {
    if (value_ms != heartbeat->value_ms) {
        /* The other process may write anything: unsigned differences wrap, they do not overflow. */
        int64_t age_ms = (int64_t)((uint64_t)epoch_ms - (uint64_t)value_ms);
        int64_t longest_ms = (now_ns - heartbeat->looked_ns) / NS_PER_MS;
        heartbeat->value_ms = value_ms;
        heartbeat->written_ns = now_ns - min_i64(max_i64(age_ms, 0), longest_ms) * NS_PER_MS;
    }
    heartbeat->looked_ns = now_ns;
    return now_ns - heartbeat->written_ns;
}

#endif

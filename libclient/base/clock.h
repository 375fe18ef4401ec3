/* The clock seam: agents get the time as a parameter; runners and clients read it from here. */
#ifndef TERN_BASE_CLOCK_H
#define TERN_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define MS_PER_S INT64_C(1000)

struct clock {
    void *context;
    int64_t (*now_ns)(void *context);   /* monotonic; never goes back */
    int64_t (*epoch_ns)(void *context); /* wall clock; may be stepped */
};

static inline int64_t clock_now_ns(const struct clock *clock) {
    return clock->now_ns(clock->context);
}

static inline int64_t clock_epoch_ns(const struct clock *clock) {
    return clock->epoch_ns(clock->context);
}

static inline int64_t clock_epoch_ms(const struct clock *clock) {
    return clock->epoch_ns(clock->context) / NS_PER_MS;
}

/* CLOCK_MONOTONIC and CLOCK_REALTIME. The returned table is static and immutable. */
const struct clock *clock_system(void);

#endif

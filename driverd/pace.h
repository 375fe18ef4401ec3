/* How many small frames an agent sends by the clock at a time. Many streams that were added
 * together have their heartbeats and status messages due together; all at once they would overflow
 * the receive buffer of the peer, always those of the same streams.
 *
 * What an agent did not use while it slept is not kept, as it would come out in one burst. So the
 * turns of all may take PACE_PERIODS_MAX cycles: with the longest park of the default profile 200
 * ms, twice a heartbeat interval, where peers wait for seconds.
 */
#ifndef DRIVERD_PACE_H
#define DRIVERD_PACE_H

#include <stdint.h>

#include "base/bits.h"
#include "base/clock.h"

#define PACE_PERIOD_NS NS_PER_MS
/* Linux reckons 768 bytes for a small datagram: so many fit SO_RCVBUF as configured by default. */
#define PACE_FRAMES 256
/* At the latest everybody has had his turn after so many periods, half a heartbeat interval. */
#define PACE_PERIODS_MAX 50

struct pace {
    int32_t left;
    int64_t next_ns; /* when there are more */
};

static inline void pace_renew(struct pace *pace, int32_t stream_count, int64_t now_ns) {
    if (now_ns >= pace->next_ns) {
        pace->left = max_i32(PACE_FRAMES, stream_count / PACE_PERIODS_MAX);
        pace->next_ns = now_ns + PACE_PERIOD_NS;
    }
}

/* How long to rest when something is due in `rest_ns`. */
static inline int64_t pace_rest_ns(const struct pace *pace, int64_t rest_ns, int64_t now_ns) {
    return pace->left > 0 ? rest_ns : max_i64(rest_ns, pace->next_ns - now_ns);
}

#endif

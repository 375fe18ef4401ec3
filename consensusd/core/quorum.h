/* Arithmetic of majorities (cluster.md 0, 3.7). */
#ifndef TERN_CONSENSUSD_CORE_QUORUM_H
#define TERN_CONSENSUSD_CORE_QUORUM_H

#include <stdint.h>

static inline int32_t quorum_threshold(int32_t member_count) {
    return member_count / 2 + 1;
}

/* The highest position that at least a quorum of `count` members has reached. The array is sorted
 * in place, highest first. */
int64_t quorum_position(int64_t *positions, int32_t count);

#endif

/* The highest position that a majority holds. Members that do not count stand in the array with
 * position 0, so that a minority can never raise it. Called once per duty cycle of a leader with at
 * most nine members: an insertion sort is the fastest there is. */
#include "consensusd/core/quorum.h"

#include <assert.h>

int64_t quorum_position(int64_t *positions, int32_t count) {
    assert(count > 0);
    for (int32_t i = 1; i < count; i++) {
        int64_t position = positions[i];
        int32_t at = i;
        while (at > 0 && positions[at - 1] < position) {
            positions[at] = positions[at - 1];
            at--;
        }
        positions[at] = position;
    }
    return positions[quorum_threshold(count) - 1];
}

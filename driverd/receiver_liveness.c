/* Receivers heard of lately: what makes a publication connected (media-driver.md 2.5, 2.10). Pure.
 *
 * A table that grows, searched front to back: a stream has few receivers, and the ids lie close
 * together in memory. `oldest_ns` is a lower bound of all times, so that the check in every idle
 * cycle is one comparison until something can really have expired.
 */
#include "driverd/receiver_liveness.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define CAPACITY_MIN 4

static_assert(RECEIVER_LIVENESS_MAX % CAPACITY_MIN == 0, "doubling ends at the maximum");

static bool set_capacity(struct receiver_liveness *liveness, int32_t capacity) {
    size_t count = (size_t)capacity;
    int64_t *entries = malloc(2 * count * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    if (liveness->count > 0) {
        memcpy(entries, liveness->ids, (size_t)liveness->count * sizeof *entries);
        memcpy(entries + count, liveness->times_ns, (size_t)liveness->count * sizeof *entries);
    }
    free(liveness->ids);
    liveness->ids = entries;
    liveness->times_ns = entries + count;
    liveness->capacity = capacity;
    return true;
}

int receiver_liveness_init(struct receiver_liveness *liveness) {
    *liveness = (struct receiver_liveness){0};
    return set_capacity(liveness, CAPACITY_MIN) ? 0 : -ENOMEM;
}

void receiver_liveness_close(struct receiver_liveness *liveness) {
    free(liveness->ids);
    *liveness = (struct receiver_liveness){0};
}

/* Without memory the table is as full as at its maximum. */
static bool has_room(struct receiver_liveness *liveness) {
    return liveness->count < liveness->capacity || (liveness->capacity < RECEIVER_LIVENESS_MAX &&
                                                    set_capacity(liveness, liveness->capacity * 2));
}

static int32_t find(const struct receiver_liveness *liveness, int64_t id) {
    for (int32_t i = 0; i < liveness->count; i++) {
        if (liveness->ids[i] == id) {
            return i;
        }
    }
    return -1;
}

static int32_t find_silent_longest(const struct receiver_liveness *liveness) {
    int32_t found = 0;
    for (int32_t i = 1; i < liveness->count; i++) {
        if (liveness->times_ns[i] < liveness->times_ns[found]) {
            found = i;
        }
    }
    return found;
}

void receiver_liveness_touch(struct receiver_liveness *liveness, int64_t id, int64_t now_ns) {
    int32_t index = find(liveness, id);
    if (index < 0 && !has_room(liveness)) {
        index = find_silent_longest(liveness);
    } else if (index < 0) {
        liveness->oldest_ns = liveness->count == 0 ? now_ns : min_i64(liveness->oldest_ns, now_ns);
        index = liveness->count++;
    }
    liveness->ids[index] = id;
    liveness->times_ns[index] = now_ns;
}

static void remove_at(struct receiver_liveness *liveness, int32_t index) {
    assert(index >= 0 && index < liveness->count);
    int32_t last = --liveness->count;
    liveness->ids[index] = liveness->ids[last];
    liveness->times_ns[index] = liveness->times_ns[last];
}

bool receiver_liveness_remove(struct receiver_liveness *liveness, int64_t id) {
    int32_t index = find(liveness, id);
    if (index >= 0) {
        remove_at(liveness, index);
    }
    return index >= 0;
}

void receiver_liveness_expire(struct receiver_liveness *liveness, int64_t now_ns,
                              int64_t timeout_ns) {
    int64_t limit_ns = now_ns - timeout_ns;
    if (liveness->count == 0 || liveness->oldest_ns > limit_ns) {
        return;
    }
    int64_t oldest_ns = INT64_MAX;
    for (int32_t i = liveness->count - 1; i >= 0; i--) {
        if (liveness->times_ns[i] <= limit_ns) {
            remove_at(liveness, i);
        } else {
            oldest_ns = min_i64(oldest_ns, liveness->times_ns[i]);
        }
    }
    liveness->oldest_ns = oldest_ns;
}

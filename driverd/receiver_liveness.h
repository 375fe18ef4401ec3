/* Which receivers of a publication have been heard of lately (media-driver.md 2.5 step 4c, 2.10).
 * A pure core, owned by the sender. */
#ifndef DRIVERD_RECEIVER_LIVENESS_H
#define DRIVERD_RECEIVER_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

#define RECEIVER_LIVENESS_MAX 1024

/* Two parallel arrays in one piece of memory: looking up an id walks only ids. */
struct receiver_liveness {
    int64_t *ids;
    int64_t *times_ns; /* behind the ids */
    int32_t count;
    int32_t capacity;
    int64_t oldest_ns; /* no entry is older: most cycles need not look */
};

/* 0 or -ENOMEM. */
int receiver_liveness_init(struct receiver_liveness *liveness);
void receiver_liveness_close(struct receiver_liveness *liveness);

/* A full table takes the place of the one that was silent longest. */
void receiver_liveness_touch(struct receiver_liveness *liveness, int64_t id, int64_t now_ns);
/* True when it was there. */
bool receiver_liveness_remove(struct receiver_liveness *liveness, int64_t id);
/* Drop all whose last time is at or before now - timeout. */
void receiver_liveness_expire(struct receiver_liveness *liveness, int64_t now_ns,
                              int64_t timeout_ns);

#endif

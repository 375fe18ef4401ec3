/* The tracker of a multi-destination publication (media-driver.md 5.6). Owned by the sender; pure.
 *
 * An entry with a known receiver id is found by that id and the port: the address may change behind
 * a NAT. A manual entry that was never heard of is found by address and port, and learns the id.
 * Dynamic entries come from a pool made at start, so that a status message allocates nothing; a
 * full pool turns newcomers away.
 */
#include "driverd/destination.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/atomic.h"

int destination_tracker_init(struct destination_tracker *tracker, bool is_dynamic) {
    *tracker = (struct destination_tracker){
        .is_dynamic = is_dynamic,
        .destinations = calloc(DESTINATIONS_MAX, sizeof(struct destination *)),
    };
    if (is_dynamic) {
        tracker->pool = calloc(DESTINATIONS_MAX, sizeof(struct destination));
        tracker->free_pool = calloc(DESTINATIONS_MAX, sizeof(struct destination *));
    }
    bool has_pool = tracker->pool != NULL && tracker->free_pool != NULL;
    if (tracker->destinations == NULL || (is_dynamic && !has_pool)) {
        destination_tracker_close(tracker);
        return -ENOMEM;
    }
    for (int32_t i = 0; is_dynamic && i < DESTINATIONS_MAX; i++) {
        tracker->free_pool[tracker->free_count++] = &tracker->pool[DESTINATIONS_MAX - 1 - i];
    }
    return 0;
}

void destination_tracker_close(struct destination_tracker *tracker) {
    free(tracker->destinations);
    free(tracker->pool);
    free(tracker->free_pool);
    *tracker = (struct destination_tracker){0};
}

bool destination_tracker_add(struct destination_tracker *tracker, struct destination *destination,
                             int64_t now_ns) {
    if (tracker->count == DESTINATIONS_MAX) {
        return false;
    }
    store_release_i64(&destination->last_sm_time_ns, now_ns);
    tracker->destinations[tracker->count++] = destination;
    return true;
}

static void remove_at(struct destination_tracker *tracker, int32_t index) {
    assert(index >= 0 && index < tracker->count);
    tracker->destinations[index] = tracker->destinations[--tracker->count];
}

bool destination_tracker_remove(struct destination_tracker *tracker,
                                struct destination *destination) {
    for (int32_t i = 0; i < tracker->count; i++) {
        if (tracker->destinations[i] == destination) {
            remove_at(tracker, i);
            return true;
        }
    }
    return false;
}

struct destination *destination_tracker_find(const struct destination_tracker *tracker,
                                             int64_t receiver_id, const union net_address *source) {
    uint16_t port = net_address_port(source);
    for (int32_t i = 0; i < tracker->count; i++) {
        struct destination *destination = tracker->destinations[i];
        if (destination->is_group) {
            continue;
        }
        bool is_match = destination->has_receiver_id
                            ? destination->receiver_id == receiver_id &&
                                  net_address_port(&destination->address) == port
                            : net_address_equal(&destination->address, source);
        if (is_match) {
            return destination;
        }
    }
    return NULL;
}

static struct destination *add_dynamic(struct destination_tracker *tracker,
                                       const union net_address *source) {
    if (!tracker->is_dynamic || tracker->free_count == 0) {
        return NULL;
    }
    struct destination *destination = tracker->free_pool[--tracker->free_count];
    *destination = (struct destination){.registration_id = -1, .address = *source};
    tracker->destinations[tracker->count++] = destination;
    assert(tracker->count + tracker->free_count == DESTINATIONS_MAX);
    return destination;
}

struct destination *destination_tracker_on_sm(struct destination_tracker *tracker,
                                              int64_t receiver_id, const union net_address *source,
                                              int64_t now_ns) {
    struct destination *destination = destination_tracker_find(tracker, receiver_id, source);
    if (destination == NULL) {
        destination = add_dynamic(tracker, source);
    }
    if (destination != NULL) {
        destination->has_receiver_id = true;
        destination->receiver_id = receiver_id;
        store_release_i64(&destination->last_sm_time_ns, now_ns);
    }
    return destination;
}

int destination_tracker_expire(struct destination_tracker *tracker, int64_t now_ns) {
    int expired = 0;
    for (int32_t i = tracker->count - 1; tracker->is_dynamic && i >= 0; i--) {
        struct destination *destination = tracker->destinations[i];
        if (now_ns - destination->last_sm_time_ns > DESTINATION_TIMEOUT_NS) {
            remove_at(tracker, i);
            tracker->free_pool[tracker->free_count++] = destination;
            expired++;
        }
    }
    return expired;
}

/* slowest: a flow control for unicast and for groups alike. It uses no more than half of the window
 * that a receiver offers, waits for the slowest of at most 8 that were heard of within a second,
 * and does not send before the first is there. */
#include <stdlib.h>
#include <string.h>

#include <tern/driver_plugin.h>

#define RECEIVERS_MAX 8
#define TIMEOUT_NS 1000000000

struct receiver {
    int64_t id;
    int64_t limit;
    int64_t time_ns;
};

struct slowest {
    struct receiver receivers[RECEIVERS_MAX];
    int32_t count;
};

static void *create(const struct tern_flow_control_params *params, struct tern_error *error) {
    (void)params;
    (void)error;
    return calloc(1, sizeof(struct slowest));
}

static struct receiver *find(struct slowest *slowest, int64_t id) {
    for (int32_t i = 0; i < slowest->count; i++) {
        if (slowest->receivers[i].id == id) {
            return &slowest->receivers[i];
        }
    }
    return slowest->count == RECEIVERS_MAX ? NULL : &slowest->receivers[slowest->count++];
}

static int64_t lowest(const struct slowest *slowest, int64_t limit) {
    int64_t low = slowest->count == 0 ? limit : INT64_MAX;
    for (int32_t i = 0; i < slowest->count; i++) {
        low = slowest->receivers[i].limit < low ? slowest->receivers[i].limit : low;
    }
    return low;
}

static int64_t on_status_message(void *state, const struct tern_flow_control_sm *sm, int64_t limit,
                                 int64_t now_ns) {
    struct slowest *slowest = state;
    struct receiver *receiver = find(slowest, sm->receiver_id);
    if (receiver != NULL) {
        int64_t limit_of_it = sm->position + sm->window_bytes / 2;
        *receiver = (struct receiver){sm->receiver_id, limit_of_it, now_ns};
    }
    return lowest(slowest, limit);
}

static void forget(struct slowest *slowest, int32_t index) {
    slowest->receivers[index] = slowest->receivers[--slowest->count];
}

static int64_t on_idle(void *state, int64_t limit, int64_t now_ns) {
    struct slowest *slowest = state;
    for (int32_t i = slowest->count - 1; i >= 0; i--) {
        if (now_ns - slowest->receivers[i].time_ns > TIMEOUT_NS) {
            forget(slowest, i);
        }
    }
    return lowest(slowest, limit);
}

static void on_error(void *state, int64_t receiver_id) {
    struct slowest *slowest = state;
    for (int32_t i = slowest->count - 1; i >= 0; i--) {
        if (slowest->receivers[i].id == receiver_id) {
            forget(slowest, i);
        }
    }
}

static int32_t receiver_count(void *state) {
    return ((const struct slowest *)state)->count;
}

static bool has_required_receivers(void *state) {
    return receiver_count(state) > 0;
}

TERN_API const struct tern_flow_control_plugin slowest = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_FLOW_CONTROL,
                                    struct tern_flow_control_plugin, "slowest", "1.0"),
    .create = create,
    .destroy = free,
    .on_status_message = on_status_message,
    .on_idle = on_idle,
    .on_error = on_error,
    .has_required_receivers = has_required_receivers,
    .receiver_count = receiver_count,
};

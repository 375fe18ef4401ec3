/* careful: a congestion control that begins with 4 packets, adds one every 10 ms in which something
 * was received, and halves the window with each loss, down to 2 packets. */
#include <stdlib.h>

#include <tern/driver_plugin.h>

#define PACKETS_FIRST 4
#define PACKETS_MIN 2
#define INTERVAL_NS 10000000

struct careful {
    int32_t packet_bytes;
    int64_t next_ns;
};

static void *create(const struct tern_congestion_params *params, struct tern_error *error) {
    struct careful *careful = calloc(1, sizeof *careful);
    (void)error;
    if (careful != NULL) {
        careful->packet_bytes = params->mtu_length;
    }
    return careful;
}

static int32_t initial_window(void *state) {
    const struct careful *careful = state;
    return PACKETS_FIRST * careful->packet_bytes;
}

static int32_t on_rebuild(void *state, const struct tern_congestion_event *event, int64_t now_ns,
                          bool *force_sm) {
    struct careful *careful = state;
    if (event->is_loss_found) {
        int32_t half = event->window_bytes / 2;
        int32_t least = PACKETS_MIN * careful->packet_bytes;
        *force_sm = true;
        careful->next_ns = now_ns + INTERVAL_NS;
        return half > least ? half : least;
    }
    if (now_ns < careful->next_ns) {
        return event->window_bytes;
    }
    careful->next_ns = now_ns + INTERVAL_NS;
    return event->window_bytes + careful->packet_bytes;
}

TERN_API const struct tern_congestion_plugin careful = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_CONGESTION, struct tern_congestion_plugin,
                                    "careful", "1.0"),
    .create = create,
    .destroy = free,
    .initial_window = initial_window,
    .on_rebuild = on_rebuild,
    .measures_rtt = true,
};

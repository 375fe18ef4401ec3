/* Congestion control (media-driver.md 4.7, 9.7). Pure: no clock, no io.
 *
 * Static, the default of the protocol: the window is the same for ever, no status message is forced
 * and no round trip is measured.
 *
 * Cubic: after a loss at W packets the window is B * W lower; it then follows C (t - k)^3 + W,
 * which is back at W after k seconds, is flat around it and steep behind it. The curve starts on
 * the maximum, as if the last loss had been there. In TCP mode the window is at least what a TCP
 * stream with the same round trip would have. The interval between two looks at the curve stays the
 * configured round trip, whatever is measured.
 *
 * A plug-in is asked for everything instead; its windows are kept between 1 and the maximum.
 */
#include "driverd/congestion.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/clock.h"
#include "driverd/driver_plugin.h"
#include "wire/command.h"

#define CUBIC_C 0.4
#define CUBIC_B 0.2

int congestion_parse(const char *cc, enum congestion_strategy *strategy, struct tern_error *error) {
    if (cc == NULL) {
        return 0;
    }
    if (strcmp(cc, "static") == 0) {
        *strategy = CONGESTION_STATIC;
    } else if (strcmp(cc, "cubic") == 0) {
        *strategy = CONGESTION_CUBIC;
    } else {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_GENERIC,
                         "cc must be 'static' or 'cubic', came '%.100s'", cc);
    }
    return 0;
}

static void set_loss_point(struct congestion *congestion, int32_t packets) {
    congestion->packets_at_loss = packets;
    congestion->seconds_to_regain = cbrt(packets * CUBIC_B / CUBIC_C);
}

void congestion_init(struct congestion *congestion, const struct congestion_params *params,
                     int64_t now_ns) {
    assert(params->window_bytes > 0);
    assert(is_power_of_two(params->term_length));
    assert(params->mtu_length > 0);
    int32_t window_bytes = min_i32(params->window_bytes, params->term_length / 2);
    /* An MTU may be larger than half a term, though no frame of such a term is. */
    int32_t packets_max = max_i32(window_bytes / params->mtu_length, 1);
    *congestion = (struct congestion){
        .strategy = params->strategy,
        .window_max_bytes = window_bytes,
        .is_tcp_mode = params->is_tcp_mode,
        .mtu_length = params->mtu_length,
        .packets = min_i32(CONGESTION_CUBIC_INITIAL_PACKETS, packets_max),
        .packets_max = packets_max,
        .update_interval_ns = params->initial_rtt_ns,
        .last_loss_ns = now_ns,
        .last_update_ns = now_ns,
    };
    set_loss_point(congestion, packets_max);
}

static int32_t allowed(const struct congestion *congestion, int32_t window_bytes) {
    return min_i32(max_i32(window_bytes, 1), congestion->window_max_bytes);
}

int congestion_open_plugin(struct congestion *congestion,
                           const struct tern_congestion_plugin *plugin,
                           const struct tern_congestion_params *params, struct tern_error *error) {
    struct tern_congestion_params whole = *params;
    whole.window_max_bytes = congestion->window_max_bytes;
    if (plugin->create != NULL) {
        congestion->plugin_state =
            plugin->create(&whole, driver_plugin_expect(&plugin->head, error));
        if (congestion->plugin_state == NULL) {
            (void)driver_plugin_failed(error);
            return error_prefix(error, "congestion control %.64s", plugin->head.name);
        }
    }
    congestion->strategy = CONGESTION_PLUGIN;
    congestion->plugin = plugin;
    congestion->plugin_window_bytes =
        allowed(congestion, plugin->initial_window(congestion->plugin_state));
    return 0;
}

void congestion_close(struct congestion *congestion) {
    const struct tern_congestion_plugin *plugin = congestion->plugin;
    if (plugin != NULL && plugin->create != NULL && plugin->destroy != NULL) {
        plugin->destroy(congestion->plugin_state);
    }
    congestion->plugin = NULL;
}

int32_t congestion_window(const struct congestion *congestion) {
    if (congestion->strategy == CONGESTION_STATIC) {
        return congestion->window_max_bytes;
    }
    if (congestion->strategy == CONGESTION_PLUGIN) {
        return congestion->plugin_window_bytes;
    }
    int64_t window = (int64_t)congestion->packets * congestion->mtu_length;
    return (int32_t)min_i64(window, congestion->window_max_bytes);
}

bool congestion_is_settled(const struct congestion *congestion) {
    return congestion->strategy == CONGESTION_STATIC ||
           (congestion->strategy == CONGESTION_CUBIC &&
            congestion->packets == congestion->packets_max);
}

static void shrink(struct congestion *congestion, int64_t now_ns) {
    set_loss_point(congestion, congestion->packets);
    congestion->packets = max_i32(1, (int32_t)(congestion->packets * (1.0 - CUBIC_B)));
    congestion->last_loss_ns = now_ns;
}

/* The whole part, at most packets_max; the curves grow beyond any integer. */
static int32_t whole(const struct congestion *congestion, double packets) {
    return packets >= congestion->packets_max ? congestion->packets_max : (int32_t)packets;
}

static void follow_curve(struct congestion *congestion, int64_t rtt_ns, int64_t now_ns) {
    double seconds = (double)(now_ns - congestion->last_loss_ns) / (double)NS_PER_S;
    double from_plateau = seconds - congestion->seconds_to_regain;
    double change = trunc(CUBIC_C * from_plateau * from_plateau * from_plateau);
    double at_loss = congestion->packets_at_loss;
    congestion->packets = whole(congestion, at_loss + change);
    if (congestion->is_tcp_mode && congestion->packets < congestion->packets_at_loss) {
        double round_trips = seconds * (double)NS_PER_S / (double)max_i64(rtt_ns, 1);
        double tcp = at_loss * (1.0 - CUBIC_B) + 3.0 * CUBIC_B / (2.0 - CUBIC_B) * round_trips;
        congestion->packets = max_i32(congestion->packets, whole(congestion, tcp));
    }
    congestion->last_update_ns = now_ns;
}

static bool ask_plugin(struct congestion *congestion, const struct congestion_event *event,
                       int64_t now_ns) {
    const struct tern_congestion_event found = {
        .is_loss_found = event->is_loss_found,
        .consumed = event->consumed,
        .last_sm_position = event->last_sm_position,
        .rtt_ns = event->rtt_ns,
        .window_bytes = congestion->plugin_window_bytes,
    };
    bool is_forced = false;
    int32_t window_bytes =
        congestion->plugin->on_rebuild(congestion->plugin_state, &found, now_ns, &is_forced);
    congestion->plugin_window_bytes = allowed(congestion, window_bytes);
    return is_forced;
}

bool congestion_on_rebuild(struct congestion *congestion, const struct congestion_event *event,
                           int64_t now_ns) {
    if (congestion->strategy == CONGESTION_STATIC) {
        return false;
    }
    if (congestion->strategy == CONGESTION_PLUGIN) {
        return ask_plugin(congestion, event, now_ns);
    }
    bool is_forced = false;
    if (event->is_loss_found) {
        shrink(congestion, now_ns);
        is_forced = true;
    } else if (congestion->packets < congestion->packets_max &&
               now_ns - congestion->last_update_ns > congestion->update_interval_ns) {
        follow_curve(congestion, event->rtt_ns, now_ns);
    } else if (congestion->packets == 1 && event->consumed > event->last_sm_position) {
        is_forced = true; /* a quarter of one packet is no threshold */
    }
    assert(congestion->packets >= 1);
    assert(congestion->packets <= congestion->packets_max);
    return is_forced;
}

void congestion_rtt_init(struct congestion_rtt *rtt, bool is_measured, int64_t initial_ns) {
    *rtt = (struct congestion_rtt){
        .is_measured = is_measured,
        .initial_ns = initial_ns,
        .timeout_ns = min_i64(initial_ns, CONGESTION_RTT_MAX_NS) * CONGESTION_RTT_TIMEOUT_MULTIPLE,
        .next_request_ns = INT64_MIN,
        .rtt_ns = initial_ns,
    };
}

bool congestion_rtt_is_due(struct congestion_rtt *rtt, int64_t now_ns) {
    if (!rtt->is_measured || rtt->next_request_ns >= now_ns) {
        return false;
    }
    rtt->next_request_ns = now_ns + rtt->timeout_ns;
    return true;
}

bool congestion_rtt_on_reply(struct congestion_rtt *rtt, int64_t echo_ns, int64_t delta_ns,
                             int64_t now_ns) {
    if (!rtt->is_measured || echo_ns > now_ns || echo_ns < now_ns - CONGESTION_RTT_MAX_NS ||
        delta_ns < 0 || delta_ns > now_ns - echo_ns) {
        return false;
    }
    int64_t measured_ns = now_ns - echo_ns - delta_ns;
    int64_t base_ns = max_i64(measured_ns, min_i64(rtt->initial_ns, CONGESTION_RTT_MAX_NS));
    store_release_i64(&rtt->rtt_ns, measured_ns);
    rtt->timeout_ns = base_ns * CONGESTION_RTT_TIMEOUT_MULTIPLE;
    rtt->next_request_ns = now_ns + rtt->timeout_ns;
    return true;
}

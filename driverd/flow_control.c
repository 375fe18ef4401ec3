/* Flow control strategies (media-driver.md 4.1 to 4.6). Pure: no clock, no io.
 *
 * The limit of "min" is the lowest edge (position + window) of its receivers. It rises only by a
 * status message and falls only when idle, so that one late message never pulls the sender back in
 * the middle of a burst. The setup guard keeps the limit where it was while a newcomer, who has
 * been sent a SETUP, has not reported yet: otherwise the sender would run away from it.
 *
 * "tagged" is "min" over the receivers whose status messages carry the group's tag. The others are
 * never in the list; they move the limit only while it is empty and no group size is required.
 *
 * A plug-in is asked for everything instead. Its limits are kept within what positions can be; what
 * it allows beyond what receivers can take costs them datagrams, as "max" does.
 *
 * The receivers live in a fixed table; a receiver that finds it full is not admitted. All work is
 * linear in the number of receivers of one stream, per status message.
 */
#include "driverd/flow_control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "driverd/driver_plugin.h"
#include "wire/command.h"

/* The default receiver window, not the configured one (2.9 step 3). */
#define RETRANSMIT_WINDOW_BYTES 131072
#define TOKEN_LENGTH_MAX 63

static int invalid(struct tern_error *error, const char *what, const char *value) {
    return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_GENERIC, "fc: %s '%s'", what,
                     value);
}

int flow_control_strategy_parse(const char *name, enum flow_control_strategy *strategy,
                                struct tern_error *error) {
    static const struct {
        const char *name;
        enum flow_control_strategy strategy;
    } names[] = {
        {"unicast_max", FLOW_CONTROL_UNICAST},
        {"multicast_max", FLOW_CONTROL_MAX},
        {"multicast_min", FLOW_CONTROL_MIN},
        {"multicast_tagged", FLOW_CONTROL_TAGGED},
        {"aeron_unicast_flow_control_strategy_supplier", FLOW_CONTROL_UNICAST},
        {"aeron_max_multicast_flow_control_strategy_supplier", FLOW_CONTROL_MAX},
        {"aeron_min_flow_control_strategy_supplier", FLOW_CONTROL_MIN},
        {"aeron_tagged_flow_control_strategy_supplier", FLOW_CONTROL_TAGGED},
        /* What deployments of the Java implementation have in the same variables. */
        {"io.aeron.driver.UnicastFlowControl", FLOW_CONTROL_UNICAST},
        {"io.aeron.driver.DefaultUnicastFlowControlSupplier", FLOW_CONTROL_UNICAST},
        {"io.aeron.driver.MaxMulticastFlowControl", FLOW_CONTROL_MAX},
        {"io.aeron.driver.MaxMulticastFlowControlSupplier", FLOW_CONTROL_MAX},
        {"io.aeron.driver.DefaultMulticastFlowControlSupplier", FLOW_CONTROL_MAX},
        {"io.aeron.driver.MinMulticastFlowControl", FLOW_CONTROL_MIN},
        {"io.aeron.driver.MinMulticastFlowControlSupplier", FLOW_CONTROL_MIN},
        {"io.aeron.driver.TaggedMulticastFlowControl", FLOW_CONTROL_TAGGED},
        {"io.aeron.driver.TaggedMulticastFlowControlSupplier", FLOW_CONTROL_TAGGED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            *strategy = names[i].strategy;
            return 0;
        }
    }
    return invalid(error, "unknown flow control strategy", name);
}

/* "g:/<n>", "g:<tag>" or "g:<tag>/<n>"; min ignores the tag but not its syntax. */
static int parse_group(struct flow_control_params *params, const char *value,
                       struct tern_error *error) {
    const char *slash = strchr(value, '/');
    int64_t number;
    if (slash != value) {
        char tag[TOKEN_LENGTH_MAX + 1];
        size_t length = slash == NULL ? strlen(value) : (size_t)(slash - value);
        memcpy(tag, value, length);
        tag[length] = '\0';
        if (parse_i64(tag, &number) != 0) {
            return invalid(error, "the group tag must be a number, came", value);
        }
        params->group_tag = number;
    }
    if (slash != NULL) {
        if (parse_i64(slash + 1, &number) != 0 || number < 0 || number > INT32_MAX) {
            return invalid(error, "the group size must be 0 to 2147483647, came", slash + 1);
        }
        params->group_size_min = (int32_t)number;
    }
    return 0;
}

static int parse_option(struct flow_control_params *params, bool is_max, const char *token,
                        struct tern_error *error) {
    int64_t number;
    if (strncmp(token, "rrwm:", 5) == 0) {
        if (parse_i64(token + 5, &number) != 0 || number <= 0 || number > INT32_MAX) {
            return invalid(error, "rrwm must be 1 or more, came", token + 5);
        }
        params->retransmit_window_multiple = (int32_t)number;
        return 0;
    }
    if (!is_max && strncmp(token, "t:", 2) == 0) {
        if (parse_duration_ns(token + 2, &number) != 0) {
            return invalid(error, "the receiver timeout t must be a duration, came", token + 2);
        }
        params->receiver_timeout_ns = number;
        return 0;
    }
    if (!is_max && strncmp(token, "g:", 2) == 0) {
        return parse_group(params, token + 2, error);
    }
    return invalid(error, "unknown option", token);
}

int flow_control_params_parse(struct flow_control_params *params, const char *fc,
                              struct tern_error *error) {
    struct flow_control_params parsed = *params;
    enum flow_control_strategy strategy = params->strategy; /* without a value: the configured */
    for (int index = 0; fc != NULL; index++) {
        char token[TOKEN_LENGTH_MAX + 1];
        size_t length = strcspn(fc, ",");
        if (length > TOKEN_LENGTH_MAX) {
            return invalid(error, "option too long", fc);
        }
        memcpy(token, fc, length);
        token[length] = '\0';
        fc = fc[length] == ',' ? fc + length + 1 : NULL;
        if (index > 0) {
            int result = parse_option(&parsed, strategy == FLOW_CONTROL_MAX, token, error);
            if (result != 0) {
                return result;
            }
        } else if (strcmp(token, "min") == 0) {
            strategy = FLOW_CONTROL_MIN;
        } else if (strcmp(token, "tagged") == 0) {
            strategy = FLOW_CONTROL_TAGGED;
        } else if (strcmp(token, "max") == 0) {
            strategy = FLOW_CONTROL_MAX;
        } else {
            return invalid(error, "unknown strategy", token);
        }
    }
    if (params->strategy != FLOW_CONTROL_UNICAST) {
        parsed.strategy = strategy;
        *params = parsed;
    }
    return 0;
}

static bool has_group(const struct flow_control_params *params) {
    return params->strategy == FLOW_CONTROL_MIN || params->strategy == FLOW_CONTROL_TAGGED;
}

bool flow_control_counts_receivers(const struct flow_control_params *params) {
    return params->strategy == FLOW_CONTROL_PLUGIN ? params->plugin->receiver_count != NULL
                                                   : has_group(params);
}

int32_t flow_control_receiver_count(const struct flow_control *flow) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    bool is_asked = flow->params.strategy == FLOW_CONTROL_PLUGIN && plugin->receiver_count != NULL;
    return is_asked ? plugin->receiver_count(flow->plugin_state) : flow->receiver_count;
}

int flow_control_init(struct flow_control *flow, const struct flow_control_params *params) {
    *flow = (struct flow_control){.params = *params};
    if (has_group(params)) {
        flow->receivers = calloc(FLOW_CONTROL_RECEIVERS_MAX, sizeof *flow->receivers);
        if (flow->receivers == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

int flow_control_open_plugin(struct flow_control *flow,
                             const struct tern_flow_control_params *params,
                             struct tern_error *error) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    assert(flow->params.strategy == FLOW_CONTROL_PLUGIN);
    if (plugin->create != NULL) {
        flow->plugin_state = plugin->create(params, driver_plugin_expect(&plugin->head, error));
        if (flow->plugin_state == NULL) {
            (void)driver_plugin_failed(error);
            return error_prefix(error, "flow control %.64s", plugin->head.name);
        }
    }
    flow->is_plugin_open = true;
    return 0;
}

void flow_control_close(struct flow_control *flow) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->is_plugin_open && plugin->create != NULL && plugin->destroy != NULL) {
        plugin->destroy(flow->plugin_state);
    }
    flow->is_plugin_open = false;
    free(flow->receivers);
    flow->receivers = NULL;
    flow->receiver_count = 0;
}

static int64_t edge_min(const struct flow_control *flow) {
    int64_t edge = flow->has_setup_limit ? flow->setup_limit : INT64_MAX;
    for (int32_t i = 0; i < flow->receiver_count; i++) {
        edge = min_i64(edge, flow->receivers[i].edge);
    }
    return edge;
}

static struct flow_control_receiver *find(const struct flow_control *flow, int64_t receiver_id) {
    for (int32_t i = 0; i < flow->receiver_count; i++) {
        if (flow->receivers[i].id == receiver_id) {
            return &flow->receivers[i];
        }
    }
    return NULL;
}

/* May the sender of this message govern the limit? */
static bool is_member(const struct flow_control *flow, const struct flow_control_sm *sm) {
    return flow->params.strategy != FLOW_CONTROL_TAGGED ||
           (sm->has_group_tag && sm->group_tag == flow->params.group_tag);
}

static int64_t group_on_sm(struct flow_control *flow, const struct flow_control_sm *sm,
                           int64_t sender_limit, int64_t now_ns) {
    int64_t edge = sm->position + sm->window_bytes;
    bool governs = is_member(flow, sm);
    struct flow_control_receiver *known = governs ? find(flow, sm->receiver_id) : NULL;
    if (known != NULL) {
        known->is_eos = sm->is_eos;
        known->position = max_i64(known->position, sm->position);
        known->edge = edge;
        known->time_ns = now_ns;
    }
    int64_t limit = edge_min(flow);
    bool is_near = flow->receiver_count == 0 || edge >= limit - sm->window_bytes;
    if (governs && known == NULL && !sm->is_eos && is_near &&
        flow->receiver_count < FLOW_CONTROL_RECEIVERS_MAX) {
        flow->receivers[flow->receiver_count++] =
            (struct flow_control_receiver){sm->receiver_id, sm->position, edge, now_ns, false};
        flow->has_setup_limit = false;
        limit = min_i64(limit, edge);
    }
    if (flow->receiver_count < flow->params.group_size_min) {
        return sender_limit;
    }
    return max_i64(sender_limit, flow->receiver_count == 0 ? edge : limit);
}

static int64_t plausible(int64_t limit) {
    return min_i64(max_i64(limit, 0), INT64_MAX / 2);
}

static struct tern_flow_control_sm for_plugin(const struct flow_control_sm *sm) {
    return (struct tern_flow_control_sm){
        .position = sm->position,
        .window_bytes = sm->window_bytes,
        .receiver_id = sm->receiver_id,
        .group_tag = sm->group_tag,
        .has_group_tag = sm->has_group_tag,
        .is_eos = sm->is_eos,
    };
}

int64_t flow_control_on_sm(struct flow_control *flow, const struct flow_control_sm *sm,
                           int64_t sender_limit, int64_t now_ns) {
    assert(sm->window_bytes >= 0);
    assert(sm->position >= 0);
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN) {
        const struct tern_flow_control_sm message = for_plugin(sm);
        return plausible(flow->params.plugin->on_status_message(flow->plugin_state, &message,
                                                                sender_limit, now_ns));
    }
    if (has_group(&flow->params)) {
        return group_on_sm(flow, sm, sender_limit, now_ns);
    }
    return max_i64(sender_limit, sm->position + sm->window_bytes);
}

int64_t flow_control_on_idle(struct flow_control *flow, int64_t sender_limit, int64_t now_ns) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN && plugin->on_idle != NULL) {
        return plausible(plugin->on_idle(flow->plugin_state, sender_limit, now_ns));
    }
    if (!has_group(&flow->params)) {
        return sender_limit;
    }
    int64_t timeout_ns = flow->params.receiver_timeout_ns;
    for (int32_t i = flow->receiver_count - 1; i >= 0; i--) {
        struct flow_control_receiver *receiver = &flow->receivers[i];
        if (receiver->is_eos || now_ns - receiver->time_ns > timeout_ns) {
            *receiver = flow->receivers[--flow->receiver_count];
        }
    }
    if (flow->has_setup_limit && now_ns - flow->setup_limit_time_ns > timeout_ns) {
        flow->has_setup_limit = false;
    }
    bool is_short = flow->receiver_count < flow->params.group_size_min;
    return is_short || flow->receiver_count == 0 ? sender_limit : edge_min(flow);
}

void flow_control_on_error(struct flow_control *flow, int64_t receiver_id) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN && plugin->on_error != NULL) {
        plugin->on_error(flow->plugin_state, receiver_id);
    }
    struct flow_control_receiver *receiver = find(flow, receiver_id);
    if (receiver != NULL) {
        receiver->is_eos = true; /* removed at the next idle cycle */
    }
}

void flow_control_on_setup_requested(struct flow_control *flow, const struct flow_control_sm *sm) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN && plugin->on_setup_requested != NULL) {
        const struct tern_flow_control_sm message = for_plugin(sm);
        plugin->on_setup_requested(flow->plugin_state, &message);
    }
    flow->is_setup_requested = flow->is_setup_requested || is_member(flow, sm);
}

void flow_control_on_setup(struct flow_control *flow, int64_t sender_limit, int64_t now_ns) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN && plugin->on_setup != NULL) {
        plugin->on_setup(flow->plugin_state, sender_limit, now_ns);
    }
    if (flow->is_setup_requested && flow->receiver_count > 0) {
        flow->has_setup_limit = true;
        flow->setup_limit = sender_limit;
        flow->setup_limit_time_ns = now_ns;
    }
    flow->is_setup_requested = false;
}

bool flow_control_has_required_receivers(const struct flow_control *flow) {
    const struct tern_flow_control_plugin *plugin = flow->params.plugin;
    if (flow->params.strategy == FLOW_CONTROL_PLUGIN) {
        return plugin->has_required_receivers == NULL ||
               plugin->has_required_receivers(flow->plugin_state);
    }
    return !has_group(&flow->params) || flow->receiver_count >= flow->params.group_size_min;
}

int32_t flow_control_retransmit_length(const struct flow_control *flow, int32_t term_length,
                                       int32_t term_offset, int32_t length) {
    assert(term_offset >= 0 && term_offset <= term_length);
    assert(length >= 0);
    int64_t window = min_i64(RETRANSMIT_WINDOW_BYTES, term_length / 2);
    int64_t length_max = window * flow->params.retransmit_window_multiple;
    int64_t left = term_length - term_offset;
    return (int32_t)min_i64(min_i64(length, left), length_max);
}

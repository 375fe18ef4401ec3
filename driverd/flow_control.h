/* Flow control of one network publication: how far the sender may send (media-driver.md 4.1
 * to 4.6).
 *
 * A pure core, owned by the sender: status messages, errors, SETUPs and idle cycles go in, the new
 * sender limit comes out. "max" and "unicast" follow the farthest receiver, "min" the slowest,
 * "tagged" the slowest of those that carry the group's tag.
 */
#ifndef DRIVERD_FLOW_CONTROL_H
#define DRIVERD_FLOW_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define FLOW_CONTROL_RECEIVERS_MAX 1024

enum flow_control_strategy {
    FLOW_CONTROL_UNICAST,
    FLOW_CONTROL_MAX,
    FLOW_CONTROL_MIN,
    FLOW_CONTROL_TAGGED,
    FLOW_CONTROL_PLUGIN,
};

struct tern_flow_control_params;
struct tern_flow_control_plugin;

struct flow_control_params {
    enum flow_control_strategy strategy;
    int64_t group_tag; /* tagged only */
    int64_t receiver_timeout_ns;
    int32_t group_size_min;
    int32_t retransmit_window_multiple;            /* 2.9 step 3 */
    const struct tern_flow_control_plugin *plugin; /* FLOW_CONTROL_PLUGIN only */
};

/* Strategy from a configuration value: "unicast_max", "multicast_max", "multicast_min",
 * "multicast_tagged" and the longer spellings of existing deployments. */
int flow_control_strategy_parse(const char *name, enum flow_control_strategy *strategy,
                                struct tern_error *error);

/* Apply the value of the URI key `fc` over the defaults in *params. A channel without group
 * semantics keeps its unicast strategy: its value is only checked for syntax. */
int flow_control_params_parse(struct flow_control_params *params, const char *fc,
                              struct tern_error *error);

struct flow_control_receiver {
    int64_t id;
    int64_t position;
    int64_t edge; /* position + window */
    int64_t time_ns;
    bool is_eos;
};

struct flow_control {
    struct flow_control_params params;
    void *plugin_state;
    bool is_plugin_open;
    struct flow_control_receiver *receivers; /* FLOW_CONTROL_RECEIVERS_MAX; NULL: none govern */
    int32_t receiver_count;
    bool is_setup_requested; /* a SEND_SETUP came; the next SETUP may capture the limit */
    bool has_setup_limit;
    int64_t setup_limit; /* the guard "L" of 4.4 */
    int64_t setup_limit_time_ns;
};

/* One status message that passed validation. */
struct flow_control_sm {
    int64_t position;
    int64_t window_bytes;
    int64_t receiver_id;
    bool is_eos;
    bool has_group_tag;
    int64_t group_tag;
};

/* Does the strategy know the receivers that govern it (min, tagged; a plug-in may)? */
bool flow_control_counts_receivers(const struct flow_control_params *params);
int32_t flow_control_receiver_count(const struct flow_control *flow);

/* 0 or -ENOMEM. */
int flow_control_init(struct flow_control *flow, const struct flow_control_params *params);
/* FLOW_CONTROL_PLUGIN: make the plug-in's instance, after init. Conductor. 0 or a negative code. */
int flow_control_open_plugin(struct flow_control *flow,
                             const struct tern_flow_control_params *params,
                             struct tern_error *error);
void flow_control_close(struct flow_control *flow);

int64_t flow_control_on_sm(struct flow_control *flow, const struct flow_control_sm *sm,
                           int64_t sender_limit, int64_t now_ns);
int64_t flow_control_on_idle(struct flow_control *flow, int64_t sender_limit, int64_t now_ns);
void flow_control_on_error(struct flow_control *flow, int64_t receiver_id);
/* A SEND_SETUP was received (only its tag matters); a SETUP that answers it is sent. */
void flow_control_on_setup_requested(struct flow_control *flow, const struct flow_control_sm *sm);
void flow_control_on_setup(struct flow_control *flow, int64_t sender_limit, int64_t now_ns);

bool flow_control_has_required_receivers(const struct flow_control *flow);

/* Bytes that one NAK may have resent: min(requested, left in the term, window x multiple). */
int32_t flow_control_retransmit_length(const struct flow_control *flow, int32_t term_length,
                                       int32_t term_offset, int32_t length);

#endif

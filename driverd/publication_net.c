/* Network publications, the conductor's side (media-driver.md 2.1 to 2.4, 2.7, 2.11, 2.12).
 *
 * The publisher limit is half a term (or pub-wnd) ahead of the slowest of sender and spies. It only
 * moves when the terms it opens have been cleaned, else a publisher could wrap into old frames.
 *
 *     ACTIVE --last handle gone--> DRAINING --all sent, spies done--> LINGER --time, EOS--> DONE
 *        \---------------------revoked------------------------------/
 *
 * In DONE the sender lets go; then the struct is freed. What the sender publishes is read with
 * acquire from its words, never from the counters, which any client can overwrite. Positions of
 * spies do come from clients: they are brought into range here before anything is derived from
 * them.
 */
#include "driverd/publication_net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "driverd/driver_context.h"
#include "driverd/driver_plugin.h"
#include "driverd/log_agent.h"
#include "driverd/sender.h"

static int64_t sender_position(const struct publication_net *publication) {
    return load_acquire_i64(&publication->position);
}

static int flow_control_defaults(const struct driver_context *context, bool is_group,
                                 struct flow_control_params *params, struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    *params = (struct flow_control_params){
        .group_tag = conf->flow_control_group_tag,
        .receiver_timeout_ns = conf->flow_control_receiver_timeout_ns,
        .group_size_min = conf->flow_control_group_min_size,
        .retransmit_window_multiple =
            is_group ? conf->group_retransmit_multiple : conf->unicast_retransmit_multiple,
    };
    const struct tern_driver_plugin_head *plugin =
        driver_plugin_head(context->plugins, driver_plugin_flow_control(is_group));
    if (plugin != NULL) {
        params->strategy = FLOW_CONTROL_PLUGIN;
        params->plugin = (const void *)plugin;
        return 0;
    }
    return flow_control_strategy_parse(driver_conf_flow_control(conf, is_group), &params->strategy,
                                       error);
}

int publication_net_check_mtu(const struct driver_context *context,
                              const struct udp_channel *channel,
                              const struct publication_params *params, struct tern_error *error) {
    int32_t sndbuf_bytes = endpoint_sndbuf_bytes(context, channel);
    if (params->mtu_length > sndbuf_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "mtu=%d is more than so-sndbuf=%d: %.120s", params->mtu_length,
                         sndbuf_bytes, channel->text);
    }
    return 0;
}

int publication_net_flow_control(const struct driver_context *context,
                                 const struct udp_channel *channel, const char *fc,
                                 struct flow_control_params *flow, struct tern_error *error) {
    bool is_group = udp_channel_is_group(channel);
    const char *value = fc != NULL ? fc : uri_get(&channel->uri, "fc");
    int result = flow_control_defaults(context, is_group, flow, error);
    if (result == 0 && !is_group && flow->strategy == FLOW_CONTROL_PLUGIN) {
        struct flow_control_params checked = *flow; /* for its syntax only */
        checked.strategy = FLOW_CONTROL_UNICAST;
        return flow_control_params_parse(&checked, value, error);
    }
    return result < 0 ? result : flow_control_params_parse(flow, value, error);
}

static int open_plugin(struct publication_net *publication, const struct publication_net_spec *spec,
                       struct tern_error *error) {
    const struct driver_plugins *plugins = publication->base.context->plugins;
    const struct flow_control_params *flow = &spec->flow;
    bool is_group = spec->endpoint->is_group;
    const struct tern_flow_control_params params = {
        .channel = spec->base.channel,
        .stream_id = spec->base.stream_id,
        .session_id = spec->base.session_id,
        .term_length = spec->base.params->term_length,
        .mtu_length = spec->base.params->mtu_length,
        .is_group = is_group,
        .receiver_timeout_ns = flow->receiver_timeout_ns,
        .group_tag = flow->group_tag,
        .group_size_min = flow->group_size_min,
    };
    int result = flow_control_open_plugin(&publication->flow, &params, error);
    if (result == 0) {
        driver_plugin_count(plugins, driver_plugin_flow_control(is_group), 1);
    }
    return result;
}

static int init_cores(struct publication_net *publication, const struct publication_net_spec *spec,
                      struct tern_error *error) {
    const struct driver_context *context = publication->base.context;
    bool is_group = spec->endpoint->is_group;
    struct retransmit_params retransmit = {
        .is_group = is_group,
        .resend_count_max = spec->base.params->max_resend,
        .delay_ns = context->conf->retransmit_unicast_delay_ns,
        .linger_ns = context->conf->retransmit_unicast_linger_ns,
    };
    if (flow_control_init(&publication->flow, &spec->flow) != 0 ||
        retransmit_init(&publication->retransmit, &retransmit) != 0 ||
        receiver_liveness_init(&publication->liveness) != 0) {
        return error_set_errno(error, ENOMEM, "cannot make a network publication");
    }
    bool has_plugin = spec->flow.strategy == FLOW_CONTROL_PLUGIN;
    return has_plugin ? open_plugin(publication, spec, error) : 0;
}

static int32_t make_counter(struct publication_net *publication, enum counter_type type,
                            const char *name, int64_t value, struct tern_error *error) {
    struct publication *base = &publication->base;
    bool is_receivers = type == COUNTER_TYPE_FC_RECEIVERS;
    struct stream_counter_params params = {
        .type = type,
        .name = name,
        .registration_id = base->registration_id,
        .key_id = base->registration_id,
        .owner_id = is_receivers ? -1 : base->client_id,
        .session_id = base->session_id,
        .stream_id = base->stream_id,
        .channel = base->channel,
        .initial_value = value,
    };
    return driver_context_stream_counter(base->context, &params, error);
}

static int make_counters(struct publication_net *publication, struct tern_error *error) {
    struct driver_context *context = publication->base.context;
    bool has_receivers = flow_control_counts_receivers(&publication->flow.params);
    const struct {
        enum counter_type type;
        const char *name;
        int32_t *id;
        int64_t **address;
        int64_t value;
    } rows[] = {
        {COUNTER_TYPE_SENDER_POSITION, "snd-pos", &publication->position_counter_id,
         &publication->position_counter, publication->position},
        {COUNTER_TYPE_SENDER_LIMIT, "snd-lmt", &publication->limit_counter_id,
         &publication->limit_counter, publication->position},
        {COUNTER_TYPE_SENDER_BPE, "snd-bpe", &publication->back_pressure_counter_id,
         &publication->back_pressure_counter, 0},
        {COUNTER_TYPE_SENDER_NAKS_RECEIVED, "snd-naks-received", &publication->naks_counter_id,
         &publication->naks_counter, 0},
        {COUNTER_TYPE_FC_RECEIVERS, "fc-receivers", &publication->receivers_counter_id,
         &publication->receivers_counter, 0},
    };
    size_t count = has_receivers ? ARRAY_COUNT(rows) : ARRAY_COUNT(rows) - 1;
    for (size_t i = 0; i < count; i++) {
        int32_t id = make_counter(publication, rows[i].type, rows[i].name, rows[i].value, error);
        if (id < 0) {
            return id;
        }
        *rows[i].id = id;
        *rows[i].address = driver_context_counter(context, id);
    }
    return 0;
}

static void close_parts(struct publication_net *publication) {
    int32_t *ids[] = {&publication->position_counter_id, &publication->limit_counter_id,
                      &publication->back_pressure_counter_id, &publication->naks_counter_id,
                      &publication->receivers_counter_id};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        if (*ids[i] >= 0) {
            driver_context_free_counter(publication->base.context, ids[i]);
        }
    }
    if (publication->flow.is_plugin_open) {
        driver_plugin_count(publication->base.context->plugins,
                            driver_plugin_flow_control(publication->endpoint->is_group), -1);
    }
    flow_control_close(&publication->flow);
    retransmit_close(&publication->retransmit);
    receiver_liveness_close(&publication->liveness);
    publication_close(&publication->base);
    free(publication);
}

static int open_parts(struct publication_net *publication, struct driver_context *context,
                      const struct publication_net_spec *spec, struct tern_error *error) {
    struct publication_spec base = spec->base;
    base.kind = PUBLICATION_NET;
    base.is_group = spec->endpoint->is_group;
    int result = init_cores(publication, spec, error);
    if (result == 0) {
        result = publication_init(&publication->base, context, &base, error);
    }
    if (result != 0) {
        return result;
    }
    publication->position = publication_start_position(&publication->base);
    publication->limit = publication->position;
    publication->has_required_receivers = flow_control_has_required_receivers(&publication->flow);
    result = make_counters(publication, error);
    if (result == 0 && !sender_add_publication(spec->sender, publication)) {
        result = error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                           "the sender's command queue is full, try again");
    }
    return result;
}

int publication_net_create(struct publication_net **publication, struct driver_context *context,
                           const struct publication_net_spec *spec, struct tern_error *error) {
    struct publication_net *made = aligned_alloc(CACHE_LINE_LENGTH, sizeof *made);
    if (made == NULL) {
        log_agent_discard(context->log_agent, spec->base.file);
        return error_set_errno(error, ENOMEM, "cannot make a network publication");
    }
    *made = (struct publication_net){
        .base.context = context,
        .base.file = spec->base.file,
        .quiet_position = -1,
        .endpoint = spec->endpoint,
        .sender = spec->sender,
        .position_counter_id = COUNTER_NULL_ID,
        .limit_counter_id = COUNTER_NULL_ID,
        .back_pressure_counter_id = COUNTER_NULL_ID,
        .naks_counter_id = COUNTER_NULL_ID,
        .receivers_counter_id = COUNTER_NULL_ID,
    };
    made->base.position_counter_id = COUNTER_NULL_ID;
    made->base.limit_counter_id = COUNTER_NULL_ID;
    int result = open_parts(made, context, spec, error);
    if (result != 0) {
        close_parts(made);
        return result;
    }
    *publication = made;
    return 0;
}

void publication_net_destroy(struct publication_net *publication,
                             struct endpoint_send_table *endpoints) {
    struct endpoint_send *endpoint = publication->endpoint;
    close_parts(publication);
    endpoint_send_release(endpoints, endpoint);
}

/* Spies' positions are written by clients: keep what is derived from them inside the stream and on
 * frame alignment. */
static int64_t bounded(int64_t position, int64_t low, int64_t high) {
    int64_t aligned = position & ~(int64_t)(LOG_FRAME_ALIGNMENT - 1);
    return aligned < low ? low : min_i64(aligned, high);
}

static bool is_simulating(const struct publication_net *publication) {
    return publication->base.params.spies_simulate_connection &&
           subscribable_has_working(&publication->base.subscribers);
}

static bool has_subscribers(const struct publication_net *publication) {
    return (load_acquire_u8(&publication->has_receivers) != 0 &&
            load_acquire_u8(&publication->has_required_receivers) != 0) ||
           is_simulating(publication);
}

static void publish_spies(struct publication_net *publication, int64_t position, int64_t producer) {
    uint8_t has_spies = is_simulating(publication);
    if (has_spies != 0) {
        int64_t max = subscribable_max_position(&publication->base.subscribers, position);
        store_release_i64(&publication->spy_max_position,
                          bounded(max, position, max_i64(position, producer)));
    }
    if (has_spies != publication->has_spies) {
        store_release_u8(&publication->has_spies, has_spies);
    }
}

static int raise_limit(struct publication_net *publication, int64_t position) {
    struct publication *base = &publication->base;
    const struct log_buffer *log = base->log;
    int64_t slowest = subscribable_min_position(&base->subscribers, position);
    int64_t consumed = bounded(slowest, 0, position);
    int64_t limit = consumed + publication_window(base);
    if (limit <= publication_limit(base)) {
        return 0;
    }
    publication_clean_to(base, consumed - log->term_length);
    int64_t terms = (limit >> log->position_bits) - (base->clean_position >> log->position_bits);
    bool is_at_term_start = log_term_offset_of(base->clean_position, log->term_length) == 0;
    if (terms < 2 || (terms == 2 && !is_at_term_start)) {
        publication_set_limit(base, limit);
    }
    return 1;
}

static void end_if_drained(struct publication_net *publication, int64_t position) {
    if (publication->is_eos == 0 && position >= publication_producer_position(&publication->base)) {
        store_release_u8(&publication->is_eos, 1);
    }
}

int publication_net_update_limit(struct publication_net *publication) {
    struct publication *base = &publication->base;
    int64_t position = sender_position(publication);
    if (base->state == PUBLICATION_STATE_DRAINING) {
        end_if_drained(publication, position);
        return 0;
    }
    if (base->state != PUBLICATION_STATE_ACTIVE || base->is_revoking) {
        return 0;
    }
    int64_t producer = publication_sample_position(base);
    bool is_connected = has_subscribers(publication);
    if (position == publication->quiet_position &&
        is_connected == publication->is_quiet_connected) {
        return 0; /* no spies, and nothing has moved */
    }
    publish_spies(publication, position, producer);
    int work = 0;
    if (is_connected != publication_is_connected(base)) {
        publication_set_connected(base, is_connected);
    }
    if (is_connected) {
        work = raise_limit(publication, position);
    } else if (publication_limit(base) > position) {
        publication_set_limit(base, position);
        publication_clean_to(base, position - base->log->term_length);
        work = 1;
    }
    bool is_quiet = work == 0 && base->subscribers.count == 0;
    publication->quiet_position = is_quiet ? position : -1;
    publication->is_quiet_connected = is_connected;
    return work;
}

enum sweep_answer publication_net_settle(struct publication_net *publication) {
    const struct publication *base = &publication->base;
    if (base->state == PUBLICATION_STATE_LINGER || base->state == PUBLICATION_STATE_DONE) {
        return SWEEP_FALLS_ASLEEP; /* timers alone look after it */
    }
    if (base->state != PUBLICATION_STATE_ACTIVE || base->is_revoking ||
        publication->quiet_position != sender_position(publication) ||
        publication->is_quiet_connected != has_subscribers(publication)) {
        return SWEEP_STAYS_AWAKE;
    }
    return watch_settle(&publication->watch);
}

static void revoke(struct publication_net *publication, int64_t now_ns) {
    publication_revoke(&publication->base);
    store_release_u8(&publication->is_revoked, 1);
    store_release_u8(&publication->is_eos, 1);
    subscribable_remove_all(&publication->base.subscribers, NULL);
    publication_set_state(&publication->base, PUBLICATION_STATE_LINGER, now_ns);
}

static void on_timer_active(struct publication_net *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    int64_t position = sender_position(publication);
    int64_t window = publication_window(base);
    if (base->is_revoking) {
        revoke(publication, now_ns);
        return;
    }
    struct tether_params tether = {
        .limit_position = position - window + window / 4,
        .join_position = position,
        .window_limit_timeout_ns = base->params.untethered_window_limit_timeout_ns,
        .linger_timeout_ns = base->params.untethered_linger_timeout_ns,
        .resting_timeout_ns = base->params.untethered_resting_timeout_ns,
        .channel = SUBSCRIBABLE_CHANNEL_IPC,
    };
    subscribable_check_tethers(&base->subscribers, &tether, now_ns);
    if (!base->is_exclusive) {
        (void)publication_check_blocked(base, position, now_ns);
    }
}

static void on_timer_draining(struct publication_net *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    int64_t position = sender_position(publication);
    int64_t producer = publication_producer_position(base);
    end_if_drained(publication, position); /* the sender may have got there since the last cycle */
    if (producer > position) {
        bool is_unblocked = publication_unblock(base, position);
        if (is_unblocked || load_acquire_u8(&publication->has_receivers) != 0) {
            return;
        }
    }
    if (subscribable_is_drained(&base->subscribers, producer)) {
        subscribable_remove_all(&base->subscribers, NULL);
        publication_set_state(base, PUBLICATION_STATE_LINGER, now_ns);
    }
}

static void on_timer_linger(struct publication_net *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    bool is_over = load_acquire_u8(&publication->has_unicast_eos) != 0 ||
                   now_ns - base->state_time_ns > base->params.linger_timeout_ns;
    if (base->link_count == 0 && is_over &&
        sender_remove_publication(publication->sender, publication)) {
        publication_set_state(base, PUBLICATION_STATE_DONE, now_ns);
    }
}

void publication_net_on_timer(struct publication_net *publication, int64_t now_ns) {
    publication->quiet_position = -1; /* the limits are looked at once per timer in any case */
    switch (publication->base.state) {
    case PUBLICATION_STATE_ACTIVE:
        on_timer_active(publication, now_ns);
        break;
    case PUBLICATION_STATE_DRAINING:
        on_timer_draining(publication, now_ns);
        break;
    case PUBLICATION_STATE_LINGER:
        on_timer_linger(publication, now_ns);
        break;
    case PUBLICATION_STATE_DONE:
        break; /* waits for the sender */
    }
}

void publication_net_on_unreferenced(struct publication_net *publication, int64_t now_ns) {
    publication_on_unreferenced(&publication->base, now_ns);
    (void)publication_net_update_limit(publication);
}

bool publication_net_is_done(const struct publication_net *publication) {
    return publication->base.state == PUBLICATION_STATE_DONE &&
           load_acquire_u8(&publication->is_released) != 0 &&
           !watch_is_stirred(&publication->watch);
}

bool publication_net_accepts_spies(const struct publication_net *publication) {
    const struct publication *base = &publication->base;
    return base->state == PUBLICATION_STATE_ACTIVE ||
           (base->state == PUBLICATION_STATE_DRAINING &&
            subscribable_has_working(&base->subscribers) &&
            publication_producer_position(base) > sender_position(publication));
}

int64_t publication_net_join_position(const struct publication_net *publication) {
    return sender_position(publication);
}

void publication_net_on_spies_changed(struct publication_net *publication) {
    publication->quiet_position = -1;
    (void)publication_net_update_limit(publication);
}

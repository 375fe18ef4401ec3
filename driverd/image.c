/* Images, the conductor's side (media-driver.md 3.3, 3.7, 3.9).
 *
 * Each cycle it walks what the receiver inserted up to the first gap (rcv-pos), lets the loss
 * detector decide about reporting that gap, and orders a status message when the slowest subscriber
 * has moved a quarter of the window or the window changed.
 *
 * Positions of subscribers are written by clients. They are brought into the stream and onto frame
 * alignment before anything is derived from them, so that a lying client can stall its own image
 * but never make the driver read or clear outside of it.
 */
#include "driverd/image.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "driverd/congestion.h"
#include "driverd/driver_context.h"
#include "driverd/driver_plugin.h"
#include "driverd/endpoint_recv.h"
#include "driverd/log_agent.h"
#include "driverd/receiver.h"
#include "driverd/subscription.h"
#include "shm/log_wake.h"

/* The only writer of the state. */
static void set_state(struct image *image, enum image_state state, int64_t now_ns) {
    assert(state == image->state + 1);
    image->state = state;
    image->state_time_ns = now_ns;
}

int image_check_setup(const struct endpoint_recv *endpoint,
                      const struct message_create_image *setup, struct tern_error *error) {
    if (setup->mtu_length > endpoint->window_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "image refused: mtu %d of the sender is more than the receiver window %d: "
                         "%.100s",
                         setup->mtu_length, endpoint->window_bytes, endpoint->channel->text);
    }
    if (setup->mtu_length > endpoint->rcvbuf_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "image refused: mtu %d of the sender is more than so-rcvbuf %d: %.100s",
                         setup->mtu_length, endpoint->rcvbuf_bytes, endpoint->channel->text);
    }
    return 0;
}

static bool is_group(const struct image *image, const struct image_spec *spec) {
    const struct message_create_image *setup = spec->setup;
    bool is_multicast = image->endpoint->destinations[spec->destination_index]->is_multicast;
    return spec->group == GROUP_TRUE ||
           (spec->group == GROUP_INFER &&
            (is_multicast || (setup->setup_flags & FRAME_SETUP_FLAG_GROUP) != 0));
}

static void init_loss_detector(struct image *image, int64_t delay_ns, bool group) {
    const struct driver_conf *conf = image->context->conf;
    int64_t ratio = conf->nak_unicast_retry_ratio;
    int64_t retry_ns = delay_ns > INT64_MAX / 2 / ratio ? INT64_MAX / 2 : delay_ns * ratio;
    struct loss_detector_params params = {
        .mode = !image->is_reliable ? NAK_NONE : (group ? NAK_GROUP : NAK_UNICAST),
        .first_delay_ns = min_i64(delay_ns, INT64_MAX / 2),
        .retry_delay_ns = retry_ns,
        .group_backoff_max_ns = conf->nak_group_backoff_max_ns,
        .group_size = conf->nak_group_size,
        .random = image->context->io.random,
    };
    loss_detector_init(&image->loss_detector, &params);
}

static void format_log(struct image *image, const struct message_create_image *setup) {
    const struct log_buffer_params params = {
        .initial_term_id = setup->initial_term_id,
        .mtu_length = setup->mtu_length,
        .active_term_id = setup->active_term_id,
        .term_offset = setup->term_offset,
        .session_id = setup->session_id,
        .stream_id = setup->stream_id,
        .correlation_id = image->id,
        .type = LOG_TYPE_IMAGE,
    };
    image->log = &image->file->log;
    assert(image->log->term_length == setup->term_length);
    log_buffer_format(image->log, &params);
}

static int open_plugin(struct image *image, const struct image_spec *spec,
                       struct tern_error *error) {
    const struct driver_plugins *plugins = image->context->plugins;
    const void *plugin = driver_plugin_head(plugins, PLUGIN_USE_CONGESTION);
    const struct tern_congestion_params params = {
        .channel = image->channel,
        .stream_id = image->stream_id,
        .session_id = image->session_id,
        .term_length = spec->setup->term_length,
        .mtu_length = spec->setup->mtu_length,
    };
    int result = congestion_open_plugin(&image->congestion, plugin, &params, error);
    if (result == 0) {
        driver_plugin_count(plugins, PLUGIN_USE_CONGESTION, 1);
    }
    return result;
}

static int init_congestion(struct image *image, const struct image_spec *spec,
                           struct tern_error *error) {
    const struct driver_conf *conf = image->context->conf;
    struct congestion_params params = {
        .strategy = spec->subscription->params.congestion,
        .window_bytes = spec->endpoint->window_bytes,
        .term_length = spec->setup->term_length,
        .mtu_length = spec->setup->mtu_length,
        .initial_rtt_ns = conf->cubic_initial_rtt_ns,
        .is_tcp_mode = conf->cubic_is_tcp_mode,
    };
    congestion_init(&image->congestion, &params, image->context->now_ns);
    const struct tern_congestion_plugin *plugin =
        (const void *)driver_plugin_head(image->context->plugins, PLUGIN_USE_CONGESTION);
    int result = plugin == NULL ? 0 : open_plugin(image, spec, error);
    bool is_measured = plugin != NULL
                           ? plugin->measures_rtt
                           : params.strategy == CONGESTION_CUBIC && conf->cubic_measures_rtt;
    congestion_rtt_init(&image->rtt, is_measured, conf->cubic_initial_rtt_ns);
    image->window_bytes = congestion_window(&image->congestion);
    image->last_sm_window_bytes = image->window_bytes;
    image->window_max_bytes = image->congestion.window_max_bytes;
    return result;
}

static void fill_metadata(const struct image *image, const struct subscription_params *params,
                          bool group) {
    const struct udp_channel *channel = image->endpoint->channel;
    const struct net_buffer_limits *limits = &image->context->buffer_limits;
    struct log_metadata *metadata = image->log->metadata;
    metadata->receiver_window_length = image->window_max_bytes;
    metadata->socket_sndbuf_length = channel->so_sndbuf_bytes;
    metadata->os_default_sndbuf_length = limits->sndbuf_default_bytes;
    metadata->socket_rcvbuf_length = channel->so_rcvbuf_bytes;
    metadata->os_default_rcvbuf_length = limits->rcvbuf_default_bytes;
    metadata->untethered_window_limit_timeout_ns = params->untethered_window_limit_timeout_ns;
    metadata->untethered_resting_timeout_ns = params->untethered_resting_timeout_ns;
    put_i64(metadata->untethered_linger_timeout_ns, params->untethered_linger_timeout_ns);
    metadata->group = group;
    metadata->rejoin = params->is_rejoin;
    metadata->reliable = params->is_reliable;
    metadata->tether = params->is_tether;
    log_writers_set_own(metadata);
}

static int32_t make_counter(const struct image *image, enum counter_type type, const char *name,
                            int64_t value, struct tern_error *error) {
    struct stream_counter_params params = {
        .type = type,
        .name = name,
        .registration_id = image->id,
        .key_id = image->id,
        .owner_id = -1,
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .channel = image->channel,
        .initial_value = value,
    };
    return driver_context_stream_counter(image->context, &params, error);
}

static int make_counters(struct image *image, struct tern_error *error) {
    bool is_cubic = image->congestion.strategy == CONGESTION_CUBIC;
    bool is_static = image->congestion.strategy == CONGESTION_STATIC;
    const struct {
        enum counter_type type;
        const char *name;
        int32_t *id;
        int64_t **address;
        int64_t value;
    } rows[] = {
        {COUNTER_TYPE_RECEIVER_HWM, "rcv-hwm", &image->hwm_counter_id, &image->hwm_counter,
         image->position},
        {COUNTER_TYPE_RECEIVER_POSITION, "rcv-pos", &image->position_counter_id,
         &image->position_counter, image->position},
        {COUNTER_TYPE_RECEIVER_NAKS_SENT, "rcv-naks-sent", &image->naks_counter_id,
         &image->naks_counter, 0},
        {COUNTER_TYPE_PER_IMAGE, is_cubic ? "rcv-cc-cubic-rtt" : "rcv-cc-plugin-rtt",
         &image->rtt_counter_id, &image->rtt_counter, 0},
        {COUNTER_TYPE_PER_IMAGE, is_cubic ? "rcv-cc-cubic-wnd" : "rcv-cc-plugin-wnd",
         &image->window_counter_id, &image->window_counter, image->window_bytes},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].type == COUNTER_TYPE_PER_IMAGE && is_static) {
            continue;
        }
        int32_t id = make_counter(image, rows[i].type, rows[i].name, rows[i].value, error);
        if (id < 0) {
            return id;
        }
        *rows[i].id = id;
        *rows[i].address = driver_context_counter(image->context, id);
    }
    return 0;
}

static void close_parts(struct image *image) {
    int32_t *ids[] = {&image->hwm_counter_id, &image->position_counter_id, &image->naks_counter_id,
                      &image->rtt_counter_id, &image->window_counter_id};
    subscribable_close(&image->subscribers);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        if (*ids[i] >= 0) {
            driver_context_free_counter(image->context, ids[i]);
        }
    }
    if (image->congestion.plugin != NULL) {
        driver_plugin_count(image->context->plugins, PLUGIN_USE_CONGESTION, -1);
    }
    congestion_close(&image->congestion);
    log_agent_discard(image->context->log_agent, image->file);
    free(image->channel);
    free(image);
}

static void init_positions(struct image *image, const struct message_create_image *setup) {
    int64_t position = log_position(setup->active_term_id, setup->term_offset,
                                    image->log->position_bits, setup->initial_term_id);
    image->position = position;
    image->hwm = position;
    image->reach = position;
    image->clean_position = position - setup->term_offset +
                            (int64_t)LOG_PARTITION_COUNT * setup->term_length; /* the file is new */
    image->next_sm_position = position;
    image->last_sm_position = position;
    image->sm_order.position = position;
    image->sm_order.window_bytes = image->window_bytes;
}

static int open_parts(struct image *image, const struct image_spec *spec,
                      struct tern_error *error) {
    const struct message_create_image *setup = spec->setup;
    const struct subscription_params *params = &spec->subscription->params;
    image->channel = strdup(spec->endpoint->channel->text);
    if (image->channel == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make an image");
    }
    format_log(image, setup);
    bool group = is_group(image, spec);
    int result = init_congestion(image, spec, error);
    if (result != 0) {
        return result;
    }
    init_positions(image, setup);
    fill_metadata(image, params, group);
    init_loss_detector(image, params->nak_unicast_delay_ns, group);
    result = make_counters(image, error);
    if (result != 0) {
        return result;
    }
    image->tether.window_limit_timeout_ns = params->untethered_window_limit_timeout_ns;
    image->tether.linger_timeout_ns = params->untethered_linger_timeout_ns;
    image->tether.resting_timeout_ns = params->untethered_resting_timeout_ns;
    image->subscribers = (struct subscribable){
        .context = image->context,
        .id = image->id,
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .log_path = image->file->path,
    };
    static_assert(sizeof image->subscribers.source_identity >= NET_ADDRESS_TEXT_MAX, "text");
    (void)net_address_format(&setup->source, image->subscribers.source_identity);
    return 0;
}

int image_create(struct image **image, struct driver_context *context,
                 const struct image_spec *spec, struct tern_error *error) {
    const struct message_create_image *setup = spec->setup;
    struct image *made = aligned_alloc(CACHE_LINE_LENGTH, sizeof *made);
    if (made == NULL) {
        log_agent_discard(context->log_agent, spec->file);
        return error_set_errno(error, ENOMEM, "cannot make an image");
    }
    *made = (struct image){
        .context = context,
        .receiver = spec->receiver,
        .endpoint = spec->endpoint,
        .receive_endpoint = spec->endpoint,
        .id = spec->file->spec.id,
        .file = spec->file,
        .session_id = setup->session_id,
        .stream_id = setup->stream_id,
        .quiet_hwm = -1,
        .state_time_ns = context->now_ns,
        .last_packet_ns = context->now_ns,
        .is_rejoin = spec->subscription->params.is_rejoin,
        .is_reliable = spec->subscription->params.is_reliable,
        .is_gap_filled = !spec->subscription->params.is_reliable,
        .timestamps = spec->subscription->params.timestamps,
        .is_sm_enabled = 1,
        .wants_response = (setup->setup_flags & FRAME_SETUP_FLAG_SEND_RESPONSE) != 0,
        .response_session = IMAGE_NO_RESPONSE,
        .reject_length = -1,
        .hwm_counter_id = COUNTER_NULL_ID,
        .position_counter_id = COUNTER_NULL_ID,
        .naks_counter_id = COUNTER_NULL_ID,
        .rtt_counter_id = COUNTER_NULL_ID,
        .window_counter_id = COUNTER_NULL_ID,
        .source = setup->source,
        .connection_limit = spec->destination_index + 1,
    };
    made->is_stamped = made->timestamps.media_receive != TIMESTAMP_NONE ||
                       made->timestamps.channel_receive != TIMESTAMP_NONE;
    made->connections[spec->destination_index] =
        (struct image_connection){.is_known = true, .control = setup->control};
    int result = open_parts(made, spec, error);
    if (result != 0) {
        close_parts(made);
        return result;
    }
    endpoint_recv_reference(spec->endpoint);
    *image = made;
    return 0;
}

void image_destroy(struct image *image, struct endpoint_recv_table *endpoints) {
    struct endpoint_recv *endpoint = image->endpoint;
    close_parts(image);
    if (endpoint != NULL) {
        endpoint_recv_release(endpoints, endpoint);
    }
}

static int64_t align_down(int64_t position) {
    return position & ~(int64_t)(LOG_FRAME_ALIGNMENT - 1);
}

/* Where to go on with the walk. A subscriber may be ahead of rcv-pos, as it polls what is there; it
 * is not believed beyond the term that the highest packet is in. */
static int64_t rebuild_position(const struct image *image, int64_t hwm) {
    int64_t end_of_term = (hwm | (image->log->term_length - 1)) + 1;
    int64_t max = align_down(subscribable_max_position(&image->subscribers, image->position));
    return max > image->position && max <= end_of_term ? max : image->position;
}

static void order_status_message(struct image *image, int64_t position) {
    struct image_sm_order *order = &image->sm_order;
    int64_t change = ++image->sm_change;
    store_release_i64(&order->begin_change, change);
    fence_release();
    store_plain_i64(&order->position, position);
    store_plain_i64(&order->window_bytes, image->window_bytes);
    store_release_i64(&order->end_change, change);
    image->next_sm_position = position;
    image->last_sm_window_bytes = image->window_bytes;
    receiver_note_order(image->receiver, image);
}

static void order_gap_reports(struct image *image) {
    const struct loss_detector *detector = &image->loss_detector;
    struct image_loss_order *order = &image->loss_order;
    int64_t change = ++image->loss_change;
    store_release_i64(&order->begin_change, change);
    fence_release();
    store_plain_i64(&order->count, detector->report_count);
    for (int i = 0; i < detector->report_count; i++) {
        store_plain_i64(&order->gaps[i].term_id, detector->reports[i].term_id);
        store_plain_i64(&order->gaps[i].term_offset, detector->reports[i].offset);
        store_plain_i64(&order->gaps[i].length, detector->reports[i].length);
    }
    store_release_i64(&order->end_change, change);
    receiver_note_order(image->receiver, image);
}

/* Bytes of the gap that have not been entered in the loss report. Gaps come in the order of the
 * stream and again. */
static int64_t take_unreported_bytes(struct image *image, const struct loss_gap *gap) {
    const struct log_buffer *log = image->log;
    int64_t start =
        log_position(gap->term_id, gap->offset, log->position_bits, log->initial_term_id);
    int64_t end = start + gap->length;
    int64_t bytes = end - max_i64(start, image->reported_position);
    image->reported_position = max_i64(end, image->reported_position);
    return max_i64(bytes, 0);
}

static void report_loss(struct image *image, const struct loss_gap *gap) {
    struct driver_context *context = image->context;
    int64_t bytes = take_unreported_bytes(image, gap);
    if (bytes == 0) {
        return;
    }
    if (image->loss_entry != NULL) {
        loss_report_record(image->loss_entry, bytes, context->now_epoch_ms);
    } else if (!image->is_loss_entry_made) {
        const struct loss_report_params params = {
            .bytes_lost = bytes,
            .now_epoch_ms = context->now_epoch_ms,
            .session_id = image->session_id,
            .stream_id = image->stream_id,
            .channel = image->channel,
            .source = image->subscribers.source_identity,
        };
        image->is_loss_entry_made = true;
        image->loss_entry = loss_report_create_entry(&context->loss_report, &params);
    }
}

/* Walk the whole frames from `rebuild`; returns the new rcv-pos. *is_found is set when there is a
 * gap that was not known. */
static int64_t scan_for_loss(struct image *image, int64_t rebuild, int64_t hwm, int64_t now_ns,
                             bool *is_found) {
    const struct log_buffer *log = image->log;
    int32_t offset = log_term_offset_of(rebuild, log->term_length);
    bool is_same_term = rebuild >> log->position_bits == hwm >> log->position_bits;
    struct loss_scan scan = {
        .term = log->terms[log_index_of(rebuild, log->position_bits)],
        .term_length = log->term_length,
        .term_id = log_term_id_of(rebuild, log->position_bits, log->initial_term_id),
        .rebuild_offset = offset,
        .limit_offset = is_same_term ? log_term_offset_of(hwm, log->term_length) : log->term_length,
    };
    struct loss_result result = loss_detector_scan(&image->loss_detector, &scan, now_ns);
    *is_found = result.is_new;
    if (result.is_due) {
        order_gap_reports(image);
        for (int i = 0; i < image->loss_detector.report_count; i++) {
            report_loss(image, &image->loss_detector.reports[i]);
        }
    }
    return rebuild - offset + result.contiguous_offset;
}

static bool is_revoked(const struct image *image) {
    return load_acquire_u8(&image->is_eos) != 0 &&
           load_acquire_u8(&image->log->metadata->is_publication_revoked) != 0;
}

/* True when a status message has to go out now. */
static bool control_congestion(struct image *image, bool is_loss_found, int64_t consumed,
                               int64_t now_ns) {
    if (image->congestion.strategy == CONGESTION_STATIC) {
        return false;
    }
    struct congestion_event event = {
        .is_loss_found = is_loss_found,
        .consumed = consumed,
        .last_sm_position = image->next_sm_position,
        .rtt_ns = load_acquire_i64(&image->rtt.rtt_ns),
    };
    bool is_forced = congestion_on_rebuild(&image->congestion, &event, now_ns);
    int32_t window_bytes = congestion_window(&image->congestion);
    if (window_bytes != image->window_bytes) {
        image->window_bytes = window_bytes;
        counter_set_release(image->window_counter, window_bytes);
    }
    return is_forced;
}

int image_track_rebuild(struct image *image, int64_t now_ns) {
    int64_t hwm = load_acquire_i64(&image->hwm);
    if (hwm == image->quiet_hwm || !subscribable_has_working(&image->subscribers) ||
        is_revoked(image)) {
        return 0;
    }
    int64_t rebuild = rebuild_position(image, hwm);
    int64_t position = rebuild;
    bool is_loss_found = false;
    if (rebuild < hwm) {
        position = scan_for_loss(image, rebuild, hwm, now_ns, &is_loss_found);
    }
    int work = 0;
    if (position > image->position) {
        image->position = position;
        counter_set_release(image->position_counter, position);
        work++;
    }
    int64_t slowest = align_down(subscribable_min_position(&image->subscribers, position));
    int64_t consumed = min_i64(slowest, image->position);
    bool is_forced = control_congestion(image, is_loss_found, consumed, now_ns);
    if (is_forced || consumed > image->next_sm_position + image->window_bytes / 4 ||
        image->window_bytes != image->last_sm_window_bytes) {
        order_status_message(image, consumed);
        work++;
    }
    bool is_quiet = slowest == hwm && image->position == hwm &&
                    congestion_is_settled(&image->congestion); /* else time alone moves it */
    image->quiet_hwm = is_quiet ? hwm : -1;
    return work;
}

enum sweep_answer image_settle(struct image *image) {
    if (image->state == IMAGE_STATE_LINGER || image->state == IMAGE_STATE_DONE) {
        return SWEEP_FALLS_ASLEEP; /* timers alone look after it */
    }
    if (image->state != IMAGE_STATE_ACTIVE || image->quiet_hwm != load_acquire_i64(&image->hwm)) {
        return SWEEP_STAYS_AWAKE;
    }
    return watch_settle(&image->watch);
}

static bool is_drained(const struct image *image) {
    return subscribable_is_drained(&image->subscribers, image->position);
}

static void on_timer_active(struct image *image, int64_t now_ns) {
    int64_t hwm = load_acquire_i64(&image->hwm);
    int64_t silent_ns = now_ns - load_acquire_i64(&image->last_packet_ns);
    bool is_ended = load_acquire_u8(&image->is_eos) != 0 && image->position >= hwm;
    if (!subscribable_has_working(&image->subscribers) || is_ended || is_revoked(image) ||
        silent_ns > image->context->conf->image_liveness_timeout_ns) {
        store_release_u8(&image->is_sending_eos, 1);
        order_status_message(image, image->next_sm_position); /* says so at once */
        set_state(image, IMAGE_STATE_DRAINING, now_ns);
        return;
    }
    /* Without a credible position there is none to measure the others by. */
    int64_t fastest = max_i64(subscribable_max_position(&image->subscribers, image->position), 0);
    image->tether.limit_position = fastest - image->window_bytes + image->window_bytes / 4;
    image->tether.join_position = image_join_position(image);
    subscribable_check_tethers(&image->subscribers, &image->tether, now_ns);
}

static void on_timer_draining(struct image *image, struct endpoint_recv_table *endpoints,
                              int64_t now_ns) {
    int64_t announce_ns = IMAGE_EOS_SM_MULTIPLE * image->context->conf->status_message_timeout_ns;
    bool is_over = is_drained(image) && now_ns - image->state_time_ns > announce_ns;
    if (!is_over && !is_revoked(image)) {
        return;
    }
    if (!receiver_remove_image(image->receiver, image)) {
        return; /* its queue is full: next time */
    }
    subscribable_remove_all(&image->subscribers, NULL);
    endpoint_recv_release(endpoints, image->endpoint);
    image->endpoint = NULL;
    set_state(image, IMAGE_STATE_LINGER, now_ns);
}

void image_on_timer(struct image *image, struct endpoint_recv_table *endpoints, int64_t now_ns) {
    image->quiet_hwm = -1; /* subscribers may have come back */
    switch (image->state) {
    case IMAGE_STATE_ACTIVE:
        on_timer_active(image, now_ns);
        break;
    case IMAGE_STATE_DRAINING:
        on_timer_draining(image, endpoints, now_ns);
        break;
    case IMAGE_STATE_LINGER:
        /* Its subscribers were detached on the way here: nobody holds it. */
        set_state(image, IMAGE_STATE_DONE, now_ns);
        break;
    case IMAGE_STATE_DONE:
        break; /* waits for the receiver */
    }
}

bool image_is_done(const struct image *image) {
    return image->state == IMAGE_STATE_DONE && load_acquire_u8(&image->is_released) != 0 &&
           !watch_is_stirred(&image->watch);
}

bool image_accepts_subscribers(const struct image *image) {
    return subscribable_has_working(&image->subscribers) &&
           (image->state == IMAGE_STATE_ACTIVE ||
            (image->state == IMAGE_STATE_DRAINING && !is_drained(image)));
}

int64_t image_join_position(const struct image *image) {
    int64_t slowest = subscribable_min_position(&image->subscribers, image->position);
    return min_i64(image->position, max_i64(0, align_down(slowest)));
}

void image_announce_response(struct image *image, int32_t session_id) {
    assert(image->wants_response);
    store_release_i64(&image->response_session, session_id);
    receiver_note_order(image->receiver, image);
}

/* Unless it is by another session meanwhile. */
void image_end_response(struct image *image, int32_t session_id) {
    if (image->response_session == session_id) {
        store_release_i64(&image->response_session, IMAGE_NO_RESPONSE);
    }
}

void image_disable_status_messages(struct image *image) {
    store_release_u8(&image->is_sm_enabled, 0);
}

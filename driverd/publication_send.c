/* Transmission of one network publication (media-driver.md 2.5 to 2.10). Owned by the sender.
 *
 * Datagrams point straight into the mapped term; nothing is copied. The position advances by what
 * the system took for everybody. Position and limit are kept here, not in their counters: any
 * client can write to the counters file, and must not be able to move the sender.
 *
 * Per cycle: SETUP when nobody has reported yet or somebody asked; then data up to the limit; with
 * nothing to send a heartbeat, flow control's idle work and the expiry of silent receivers; then
 * delayed retransmissions.
 */
#include "driverd/publication_send.h"

#include <assert.h>

#include "base/atomic.h"
#include "driverd/driver_context.h"
#include "driverd/driver_message.h"
#include "driverd/publication_net.h"
#include "driverd/timestamp.h"
#include "driverd/transmit.h"
#include "shm/term_read.h"

/* So many times max_messages_per_send where the system cuts the datagrams. */
#define SEGMENTED_BATCH_FACTOR 4

static int32_t term_length_of(const struct publication_net *publication) {
    return publication->base.log->term_length;
}

/* After something that the conductor decides by. */
static void stir(struct publication_net *publication) {
    struct driver_context *context = publication->base.context;
    driver_context_stir(context, &context->stirred_publications, &publication->watch);
}

static void set_position(struct publication_net *publication, int64_t position) {
    assert(position >= publication->position);
    store_release_i64(&publication->position, position);
    counter_set_release(publication->position_counter, position);
    stir(publication);
}

static void set_limit(struct publication_net *publication, int64_t limit) {
    if (limit != publication->limit) {
        publication->limit = limit;
        counter_set_release(publication->limit_counter, limit);
    }
}

/* What the conductor decides "connected" by. */
static void publish_receivers(struct publication_net *publication) {
    uint8_t has_receivers = publication->liveness.count > 0;
    uint8_t has_required = flow_control_has_required_receivers(&publication->flow);
    if (has_receivers != publication->has_receivers) {
        store_release_u8(&publication->has_receivers, has_receivers);
        stir(publication);
    }
    if (has_required != publication->has_required_receivers) {
        store_release_u8(&publication->has_required_receivers, has_required);
        stir(publication);
    }
    if (publication->receivers_counter != NULL) {
        counter_set_release(publication->receivers_counter,
                            flow_control_receiver_count(&publication->flow));
    }
}

static struct net_datagram datagram_at(const struct publication_net *publication, int64_t position,
                                       int32_t length) {
    const struct log_buffer *log = publication->base.log;
    uint8_t *term = log->terms[log_index_of(position, log->position_bits)];
    return (struct net_datagram){
        .data = term + log_term_offset_of(position, log->term_length),
        .length = (uint32_t)length,
    };
}

/* Datagrams from `position` to at most `end`, all in one term; what each stands for in the stream
 * goes to `steps`. */
struct batch {
    int count;
    int count_max;
    int64_t end; /* position behind the last datagram */
    bool is_blocked;
    struct net_datagram datagrams[NET_BATCH_COUNT_MAX];
    int32_t steps[NET_BATCH_COUNT_MAX];
};

static void collect(const struct publication_net *publication, int64_t position, int64_t end,
                    struct batch *batch) {
    const struct log_buffer *log = publication->base.log;
    const uint8_t *term = log->terms[log_index_of(position, log->position_bits)];
    int32_t offset = log_term_offset_of(position, log->term_length);
    batch->count = 0;
    batch->is_blocked = false;
    batch->end = position;
    while (batch->count < batch->count_max && batch->end < end && offset < log->term_length) {
        int32_t limit = (int32_t)min_i64(end - batch->end, log->mtu_length);
        struct term_scan scan = term_scan_for_sending(term, log->term_length, offset, limit);
        if (scan.available == 0) {
            batch->is_blocked = scan.is_blocked;
            break;
        }
        int32_t step = scan.available + scan.padding;
        batch->datagrams[batch->count] = datagram_at(publication, batch->end, scan.available);
        batch->steps[batch->count++] = step;
        batch->end += step;
        offset += step;
    }
}

/* Armed by a send; counts once until the next one (2.6 step d). */
static void count_back_pressure(struct publication_net *publication) {
    if (publication->counts_back_pressure) {
        publication->counts_back_pressure = false;
        counter_increment_single_writer(publication->back_pressure_counter, 1);
        context_count(publication->base.context, SYSTEM_COUNTER_SENDER_FLOW_CONTROL_LIMITS, 1);
    }
}

/* Into the term itself, which is what goes out; a retransmission keeps the time of the first
 * sending. */
static void stamp(const struct publication_net *publication, const struct batch *batch) {
    int32_t offset = publication->base.params.send_timestamp_offset;
    if (offset == TIMESTAMP_NONE) {
        return;
    }
    int64_t epoch_ns = clock_epoch_ns(publication->base.context->io.clock);
    for (int i = 0; i < batch->count; i++) {
        const struct net_datagram *datagram = &batch->datagrams[i];
        (void)timestamp_write(datagram->data, datagram->length, offset, epoch_ns);
    }
}

/* What goes as one buffer costs little more than one datagram. */
static int batch_count_max(const struct publication_net *publication) {
    int32_t count = publication->base.context->conf->max_messages_per_send;
    return min_i32(publication->endpoint->is_unsegmented ? count : count * SEGMENTED_BATCH_FACTOR,
                   NET_BATCH_COUNT_MAX);
}

static int send_data(struct publication_net *publication, int64_t now_ns, struct send_pass *pass) {
    struct driver_context *context = publication->base.context;
    struct batch batch;
    batch.count_max = batch_count_max(publication);
    assert(batch.count_max > 0);
    int64_t position = publication->position;
    collect(publication, position, publication->limit, &batch);
    if (batch.count == 0) {
        if (batch.is_blocked || publication->limit <= position) {
            count_back_pressure(publication);
        }
        return 0;
    }
    stamp(publication, &batch);
    if (pass->setup_of == publication) {
        transmit_queued(&pass->queue, now_ns); /* who does not know the stream drops its data */
    }
    int taken =
        transmit_batch(publication->endpoint, context, batch.datagrams, batch.count, now_ns);
    int bytes = 0;
    for (int i = 0; i < taken; i++) {
        position += batch.steps[i];
        bytes += (int)batch.datagrams[i].length;
    }
    if (taken > 0) {
        set_position(publication, position);
        publication->counts_back_pressure = true;
        publication->next_heartbeat_ns = now_ns + PUBLICATION_HEARTBEAT_INTERVAL_NS;
    }
    if (taken < batch.count) {
        context_count(context, SYSTEM_COUNTER_SHORT_SENDS, 1);
        pass->is_short = true;
    }
    return bytes;
}

static uint8_t setup_flags(const struct publication_net *publication) {
    bool is_request = publication_params_is_request(&publication->base.params);
    return (uint8_t)((publication->endpoint->is_group ? FRAME_SETUP_FLAG_GROUP : 0) |
                     (is_request ? FRAME_SETUP_FLAG_SEND_RESPONSE : 0));
}

/* The publications of a response channel each have an address of their own: theirs do not wait. */
static void send_small(const struct publication_net *publication, const void *frame,
                       uint32_t length, struct send_pass *pass, int64_t now_ns) {
    pass->pace.left--;
    if (publication->base.params.is_response) {
        transmit_queued(&pass->queue, now_ns);
    }
    transmit_later(&pass->queue, publication->endpoint, frame, length, now_ns);
    if (publication->base.params.is_response) {
        transmit_queued(&pass->queue, now_ns);
    }
}

static void send_setup(struct publication_net *publication, int64_t now_ns,
                       struct send_pass *pass) {
    if (now_ns < publication->next_setup_ns || pass->pace.left <= 0) {
        return;
    }
    if (publication->is_setup_elicited) {
        flow_control_on_setup(&publication->flow, publication->limit, now_ns);
    }
    const struct log_buffer *log = publication->base.log;
    int64_t position = publication->position;
    struct frame_setup setup = {
        .common = {.frame_length = FRAME_SETUP_LENGTH,
                   .flags = setup_flags(publication),
                   .type = FRAME_TYPE_SETUP},
        .term_offset = log_term_offset_of(position, log->term_length),
        .session_id = publication->base.session_id,
        .stream_id = publication->base.stream_id,
        .initial_term_id = log->initial_term_id,
        .active_term_id = log_term_id_of(position, log->position_bits, log->initial_term_id),
        .term_length = log->term_length,
        .mtu = log->mtu_length,
        .ttl = publication->endpoint->ttl,
    };
    send_small(publication, &setup, sizeof setup, pass, now_ns);
    pass->setup_of = publication;
    publication->next_setup_ns = now_ns + PUBLICATION_SETUP_INTERVAL_NS;
    if (publication->liveness.count > 0) {
        publication->is_setup_elicited = false;
    }
}

static uint8_t heartbeat_flags(const struct publication_net *publication) {
    if (load_acquire_u8(&publication->is_revoked) != 0) {
        return FRAME_FLAG_UNFRAGMENTED | FRAME_FLAG_EOS | FRAME_FLAG_REVOKED;
    }
    if (load_acquire_u8(&publication->is_eos) != 0 && publication->base.params.signal_eos) {
        return FRAME_FLAG_UNFRAGMENTED | FRAME_FLAG_EOS;
    }
    return FRAME_FLAG_UNFRAGMENTED;
}

static void send_heartbeat(struct publication_net *publication, int64_t now_ns,
                           struct send_pass *pass) {
    if (!publication->has_initial_connection || now_ns < publication->next_heartbeat_ns ||
        pass->pace.left <= 0) {
        return;
    }
    const struct log_buffer *log = publication->base.log;
    int64_t position = publication->position;
    struct frame_header heartbeat = {
        .flags = heartbeat_flags(publication),
        .type = FRAME_TYPE_DATA,
        .term_offset = log_term_offset_of(position, log->term_length),
        .session_id = publication->base.session_id,
        .stream_id = publication->base.stream_id,
        .term_id = log_term_id_of(position, log->position_bits, log->initial_term_id),
    };
    send_small(publication, &heartbeat, sizeof heartbeat, pass, now_ns);
    publication->next_heartbeat_ns = now_ns + PUBLICATION_HEARTBEAT_INTERVAL_NS;
}

/* 2.5 step 4 b and c. */
static void idle(struct publication_net *publication, int64_t now_ns) {
    bool is_spied =
        publication->liveness.count == 0 && load_acquire_u8(&publication->has_spies) != 0;
    int64_t limit = publication->limit;
    if (is_spied) {
        int64_t spy_position = load_acquire_i64(&publication->spy_max_position);
        if (spy_position > publication->position) {
            set_position(publication, spy_position);
        }
        limit = publication->position;
    }
    set_limit(publication, flow_control_on_idle(&publication->flow, limit, now_ns));
    receiver_liveness_expire(&publication->liveness, now_ns,
                             publication->base.context->conf->connection_timeout_ns);
    publish_receivers(publication);
}

/* The bytes at `position` are the beginning of a frame of this stream. A peer may name any offset;
 * in the middle of a frame payload would be taken for frame lengths. */
static bool is_frame_start(const struct publication_net *publication,
                           const struct retransmit_range *range, int64_t position) {
    const struct net_datagram at = datagram_at(publication, position, 0);
    struct frame_header header;
    if (load_acquire_i32((const int32_t *)at.data) <= 0) {
        return false;
    }
    memcpy(&header, at.data, sizeof header);
    return header.term_offset == range->term_offset && header.term_id == range->term_id &&
           header.session_id == publication->base.session_id &&
           header.stream_id == publication->base.stream_id;
}

/* 2.9 "Resend". */
static void resend(struct publication_net *publication, const struct retransmit_range *range,
                   int64_t now_ns) {
    const struct log_buffer *log = publication->base.log;
    struct driver_context *context = publication->base.context;
    int64_t position =
        log_position(range->term_id, range->term_offset, log->position_bits, log->initial_term_id);
    int64_t oldest =
        publication->position - log->term_length / 2 - log_message_length_max(log->term_length);
    if (position < oldest || position >= publication->position ||
        !is_frame_start(publication, range, position)) {
        return;
    }
    int64_t end = min_i64(position + range->length, publication->position);
    int64_t resent = 0;
    while (position < end) {
        struct batch batch;
        batch.count_max = NET_BATCH_COUNT_MAX;
        collect(publication, position, end, &batch);
        if (batch.count == 0) {
            break;
        }
        int taken =
            transmit_batch(publication->endpoint, context, batch.datagrams, batch.count, now_ns);
        for (int i = 0; i < taken; i++) {
            resent += batch.steps[i];
        }
        position = batch.end;
        if (taken < batch.count) {
            context_count(context, SYSTEM_COUNTER_SHORT_SENDS, 1);
            break;
        }
    }
    if (resent > 0) {
        context_count(context, SYSTEM_COUNTER_RETRANSMITS_SENT, 1);
        context_count(context, SYSTEM_COUNTER_RETRANSMITTED_BYTES, resent);
    }
}

/* Most publications have nothing to send in most cycles: this touches three cache lines, of which
 * one is the publisher's. */
static bool is_idle(const struct publication_net *publication, int64_t now_ns) {
    return publication->next_frame != NULL && load_acquire_i32(publication->next_frame) <= 0 &&
           now_ns < publication->idle_deadline_ns &&
           load_acquire_u8(&publication->has_spies) == 0 &&
           heartbeat_flags(publication) == publication->heartbeat_flags;
}

/* The publications of a response channel share a socket, each with an address of its own. False:
 * nobody has asked for the response yet, so there is nowhere to send to. */
static bool aim(const struct publication_net *publication) {
    if (publication->base.params.is_response) {
        publication->endpoint->remote = publication->response_address;
        return publication->has_response_address;
    }
    return true;
}

static bool needs_setup(const struct publication_net *publication) {
    bool has_address = !publication->base.params.is_response || publication->has_response_address;
    return has_address && (!publication->has_initial_connection || publication->is_setup_elicited);
}

/* What is overdue waits for the pace. */
static void plan_idling(struct publication_net *publication, const struct pace *pace,
                        int64_t now_ns) {
    int64_t deadline_ns = now_ns + PUBLICATION_IDLE_INTERVAL_NS;
    if (publication->has_initial_connection) {
        deadline_ns = min_i64(deadline_ns, publication->next_heartbeat_ns);
    }
    if (needs_setup(publication)) {
        deadline_ns = min_i64(deadline_ns, publication->next_setup_ns);
    }
    publication->idle_deadline_ns = deadline_ns > now_ns ? deadline_ns : pace->next_ns;
    publication->next_frame =
        publication->retransmit.active_count > 0
            ? NULL
            : (const int32_t *)datagram_at(publication, publication->position, 0).data;
}

/* Who reads the stream learns its end when all has been sent, not with the next heartbeat. */
static void note_end(struct publication_net *publication, int64_t now_ns) {
    uint8_t flags = heartbeat_flags(publication);
    if (flags != publication->heartbeat_flags) {
        bool is_end = (flags & FRAME_FLAG_EOS) != 0;
        publication->heartbeat_flags = flags;
        publication->next_heartbeat_ns = is_end ? now_ns : publication->next_heartbeat_ns;
    }
}

int publication_send_do_work(struct publication_net *publication, int64_t now_ns,
                             struct send_pass *pass) {
    if (is_idle(publication, now_ns)) {
        return 0;
    }
    publication->next_frame = NULL;
    note_end(publication, now_ns);
    bool has_aim = aim(publication);
    if (needs_setup(publication)) {
        send_setup(publication, now_ns, pass);
    }
    int bytes = has_aim ? send_data(publication, now_ns, pass) : 0;
    if (bytes == 0) {
        send_heartbeat(publication, now_ns, pass);
        idle(publication, now_ns);
    }
    struct retransmit_range range;
    while (retransmit_due(&publication->retransmit, now_ns, &range)) {
        resend(publication, &range, now_ns);
    }
    if (bytes == 0) {
        plan_idling(publication, &pass->pace, now_ns);
    }
    return bytes;
}

void publication_send_on_nak(struct publication_net *publication, const struct frame_nak *nak,
                             int64_t now_ns) {
    struct driver_context *context = publication->base.context;
    int32_t term_length = term_length_of(publication);
    counter_increment_single_writer(publication->naks_counter, 1);
    publication->next_frame = NULL;
    if (!aim(publication)) {
        return;
    }
    if (!retransmit_nak_is_valid(nak->term_offset, nak->length, term_length)) {
        context_count(context, SYSTEM_COUNTER_INVALID_PACKETS, 1);
        return;
    }
    struct retransmit_range range = {
        .term_id = nak->term_id,
        .term_offset = nak->term_offset,
        .length = flow_control_retransmit_length(&publication->flow, term_length, nak->term_offset,
                                                 nak->length),
    };
    switch (retransmit_on_nak(&publication->retransmit, &range, now_ns)) {
    case RETRANSMIT_NOW:
        resend(publication, &range, now_ns);
        break;
    case RETRANSMIT_OVERFLOW:
        context_count(context, SYSTEM_COUNTER_RETRANSMIT_OVERFLOW, 1);
        break;
    case RETRANSMIT_LATER:
    case RETRANSMIT_IGNORE:
        break;
    }
}

static int64_t sm_position(const struct publication_net *publication, const struct frame_sm *sm) {
    const struct log_buffer *log = publication->base.log;
    return log_position(sm->consumption_term_id, sm->consumption_term_offset, log->position_bits,
                        log->initial_term_id);
}

bool publication_send_accepts_sm(const struct publication_net *publication,
                                 const struct frame_sm *sm) {
    int32_t term_length = term_length_of(publication);
    if (sm->consumption_term_offset < 0 || sm->consumption_term_offset > term_length) {
        return false;
    }
    int64_t distance = sm_position(publication, sm) - publication->position;
    return distance >= -term_length / 2 && distance <= term_length / 2;
}

static void on_setup_request(struct publication_net *publication,
                             const struct flow_control_sm *message) {
    if (load_acquire_u8(&publication->is_eos) == 0) {
        publication->is_setup_elicited = true;
        flow_control_on_setup_requested(&publication->flow, message);
    }
}

/* Only 8 bytes are a tag (1.8). A receiver that sends something else would never govern the
 * stream, and nobody would know why. */
static void check_tag(struct publication_net *publication, const struct frame_sm *sm,
                      int64_t now_ns) {
    if (sm->common.frame_length <= FRAME_SM_LENGTH ||
        sm->common.frame_length == FRAME_SM_GROUP_TAG_LENGTH ||
        publication->flow.params.strategy != FLOW_CONTROL_TAGGED ||
        now_ns < publication->next_tag_error_ns) {
        return;
    }
    publication->next_tag_error_ns = now_ns + NS_PER_S;
    struct tern_error error;
    (void)error_set(&error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                    "a status message of %d bytes has no valid group tag: session %d, stream %d",
                    sm->common.frame_length, sm->session_id, sm->stream_id);
    driver_context_post_error(publication->base.context, &error);
}

void publication_send_on_response_wanted(struct publication_net *publication,
                                         const union net_address *source) {
    if (publication->base.params.is_response && publication->liveness.count == 0) {
        publication->response_address = *source;
        publication->has_response_address = true;
    }
}

/* The requester has found it: once is enough, but a full queue is no excuse. */
static void report_response(struct publication_net *publication) {
    if (!publication->base.params.is_response || publication->is_response_reported ||
        publication->liveness.count == 0) {
        return;
    }
    const struct message_response_connected message = {.registration_id =
                                                           publication->base.registration_id};
    publication->is_response_reported = driver_context_post(
        publication->base.context, DRIVER_MESSAGE_RESPONSE_CONNECTED, &message, sizeof message);
}

void publication_send_on_rsp_setup(const struct publication_net *publication,
                                   const struct frame_rsp_setup *setup) {
    if (!publication_params_is_request(&publication->base.params)) {
        return;
    }
    const struct message_response_session message = {
        .correlation_id = publication->base.params.response_correlation_id,
        .session_id = setup->response_session_id,
    };
    (void)driver_context_post(publication->base.context, DRIVER_MESSAGE_RESPONSE_SESSION, &message,
                              sizeof message); /* it comes again */
}

void publication_send_on_sm(struct publication_net *publication, const struct frame_sm *sm,
                            int64_t now_ns) {
    publication->next_frame = NULL;
    struct flow_control_sm message = {
        .position = sm_position(publication, sm),
        .window_bytes = sm->receiver_window,
        .receiver_id = sm->receiver_id,
        .is_eos = (sm->common.flags & FRAME_SM_FLAG_EOS) != 0,
        .has_group_tag = sm->common.frame_length == FRAME_SM_GROUP_TAG_LENGTH,
        .group_tag = sm->group_tag,
    };
    check_tag(publication, sm, now_ns);
    if ((sm->common.flags & FRAME_SM_FLAG_SEND_SETUP) != 0) {
        on_setup_request(publication, &message);
        return;
    }
    if (!aim(publication)) {
        return; /* nobody has been sent anything that could be answered */
    }
    if (message.is_eos) {
        (void)receiver_liveness_remove(&publication->liveness, message.receiver_id);
        if (!publication->endpoint->is_group) {
            store_release_u8(&publication->has_unicast_eos, 1);
        }
    } else {
        receiver_liveness_touch(&publication->liveness, message.receiver_id, now_ns);
    }
    publication->has_initial_connection = true;
    set_limit(publication,
              flow_control_on_sm(&publication->flow, &message, publication->limit, now_ns));
    publish_receivers(publication);
    report_response(publication);
}

bool publication_send_on_error(struct publication_net *publication, int64_t receiver_id) {
    publication->next_frame = NULL;
    flow_control_on_error(&publication->flow, receiver_id);
    bool was_alive = receiver_liveness_remove(&publication->liveness, receiver_id);
    publish_receivers(publication);
    return was_alive;
}

void publication_send_on_rttm(struct publication_net *publication, const struct frame_rttm *rttm,
                              int64_t now_ns) {
    if ((rttm->common.flags & FRAME_RTTM_FLAG_REPLY) == 0 || !aim(publication)) {
        return;
    }
    struct frame_rttm reply = {
        .common = {.frame_length = FRAME_RTTM_LENGTH, .type = FRAME_TYPE_RTTM},
        .session_id = publication->base.session_id,
        .stream_id = publication->base.stream_id,
        .echo_timestamp = rttm->echo_timestamp,
        .receiver_id = rttm->receiver_id,
    };
    (void)transmit_frame(publication->endpoint, publication->base.context, &reply, sizeof reply,
                         now_ns);
}

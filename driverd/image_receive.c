/* Images, the receiver's side (media-driver.md 3.6 to 3.8, 3.11).
 *
 * A packet is taken when it lies in [last status message position, that + half a term]; it is put
 * at its offset whatever came before, so reordering needs no list. The highest position goes to the
 * conductor, whose orders (status messages, gaps) come back through two records with a sequence
 * pair each.
 *
 * Terms are used again. What is ahead of the stream is cleared up to the end of the window that a
 * status message is about to give away: shortly before it is written, so that it is written in the
 * cache, and not a term before. A sender that goes beyond its window finds as much cleared as its
 * frames need: readers stop at the first frame length of zero.
 *
 * An image has one connection per destination of its endpoint; feedback goes out by all of them.
 */
#include "driverd/image_receive.h"

#include <assert.h>
#include <string.h>

#include "base/atomic.h"
#include "driverd/driver_context.h"
#include "driverd/endpoint_recv.h"
#include "driverd/image.h"
#include "shm/log_wake.h"
#include "shm/term_append.h"
#include "shm/term_gap.h"

void image_receive_start(struct image *image, int64_t now_ns) {
    store_release_i64(&image->last_packet_ns, now_ns);
    for (int32_t i = 0; i < image->connection_limit; i++) {
        image->connections[i].last_activity_ns = now_ns;
        image->connections[i].last_frame_ns = now_ns;
        image->connections[i].last_data_ns = now_ns;
    }
    image->sm_deadline_ns = INT64_MIN; /* the first status message goes out at once */
    image->rsp_setup_deadline_ns = INT64_MIN;
}

static bool is_alive(const struct image_connection *connection, int64_t now_ns) {
    return connection->is_known &&
           now_ns < connection->last_activity_ns + IMAGE_CONNECTION_TIMEOUT_NS;
}

static struct image_connection *track(struct image *image, const struct image_path *path,
                                      int64_t now_ns) {
    assert(path->index >= 0 && path->index < ENDPOINT_DESTINATIONS_MAX);
    struct image_connection *connection = &image->connections[path->index];
    if (!connection->is_known) {
        connection->is_known = true;
        connection->control = *path->control;
        connection->last_data_ns = now_ns;
        image->connection_limit = max_i32(image->connection_limit, path->index + 1);
    }
    connection->last_activity_ns = now_ns;
    connection->last_frame_ns = now_ns;
    return connection;
}

/* By every connection, or those that are alive; returns how many these are. */
static int transmit(struct image *image, const void *frame, uint32_t length, bool only_alive,
                    int64_t now_ns) {
    const struct endpoint_recv *endpoint = image->receive_endpoint;
    int count = 0;
    for (int32_t i = 0; i < image->connection_limit; i++) {
        const struct image_connection *connection = &image->connections[i];
        if (connection->is_known && (!only_alive || is_alive(connection, now_ns))) {
            assert(endpoint->active[i] != NULL); /* a connection goes with its destination */
            destination_recv_transmit(endpoint->active[i], frame, length, &connection->control,
                                      now_ns);
            count++;
        }
    }
    return count;
}

static void raise_hwm(struct image *image, int64_t position) {
    if (position > image->hwm) {
        store_release_i64(&image->hwm, position);
        counter_set_release(image->hwm_counter, position);
        driver_context_stir(image->context, &image->context->stirred_images, &image->watch);
    }
}

/* Small enough to stay in the cache (term_clean). */
#define CLEAN_CHUNK_LENGTH 8192

/* Zero up to `end`; what was put there before keeps. */
static void clean_to(struct image *image, int64_t end) {
    const struct log_buffer *log = image->log;
    while (image->clean_position < end) {
        int64_t clean = image->clean_position;
        int32_t offset = log_term_offset_of(clean, log->term_length);
        int64_t chunk = min_i64(end - clean, CLEAN_CHUNK_LENGTH);
        int32_t length = (int32_t)min_i64(chunk, log->term_length - offset);
        term_clean(log->terms[log_index_of(clean, log->position_bits)], offset, length);
        image->clean_position = clean + length;
    }
}

/* The stream has ended when it has by every path, but for paths that are silent: they would hold
 * the end up until the image itself times out (3.6). */
static void end_if_all_ended(struct image *image, int64_t now_ns) {
    struct log_metadata *metadata = image->log->metadata;
    int64_t position = -1;
    bool is_revoked = false;
    for (int32_t i = 0; i < image->connection_limit; i++) {
        const struct image_connection *connection = &image->connections[i];
        if (connection->is_known && connection->is_eos) {
            position = max_i64(position, connection->eos_position);
            is_revoked = is_revoked || connection->is_revoked;
        } else if (is_alive(connection, now_ns)) {
            return;
        }
    }
    if (position < 0 || image->is_eos != 0) {
        return;
    }
    if (is_revoked) {
        store_release_u8(&metadata->is_publication_revoked, 1);
        context_count(image->context, SYSTEM_COUNTER_IMAGES_REVOKED, 1);
    }
    store_release_i64(&metadata->end_of_stream_position, position);
    store_release_u8(&image->is_eos, 1);
}

static int on_heartbeat(struct image *image, const struct frame_header *frame, int64_t position,
                        const struct image_path *path, int64_t now_ns) {
    struct driver_context *context = image->context;
    if (position < image->last_sm_position - image->log->term_length) {
        context_count(context, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS, 1);
        return 0;
    }
    struct image_connection *connection = track(image, path, now_ns);
    connection->last_data_ns = now_ns;
    store_release_i64(&image->last_packet_ns, now_ns);
    if ((frame->flags & FRAME_FLAG_EOS) != 0 && image->is_eos == 0) {
        connection->is_eos = true;
        connection->eos_position = position;
        connection->is_revoked = (frame->flags & FRAME_FLAG_REVOKED) != 0;
        end_if_all_ended(image, now_ns);
    }
    clean_to(image, position + LOG_FRAME_HEADER_LENGTH);
    raise_hwm(image, position);
    context_count(context, SYSTEM_COUNTER_HEARTBEATS_RECEIVED, 1);
    return 0;
}

/* True when it was not there before. The end of what is readable moves before the frames appear. */
static bool insert(struct image *image, const struct frame_header *frame, uint32_t length,
                   int64_t position) {
    const struct log_buffer *log = image->log;
    uint8_t *term = log->terms[log_index_of(position, log->position_bits)];
    int64_t end = position + align_i64(frame_data_reach(frame, length), LOG_FRAME_ALIGNMENT);
    image->reach = max_i64(image->reach, end);
    clean_to(image, position + LOG_FRAME_HEADER_LENGTH);
    if (image->clean_position <= end && term_is_free(term, frame->term_offset)) {
        image->clean_position = end; /* from here on the frames', or inside of a pad */
    }
    clean_to(image, end + LOG_FRAME_HEADER_LENGTH);
    return term_insert_packet(term, frame->term_offset, (const uint8_t *)frame, (int32_t)length);
}

static int on_packet(struct image *image, const struct frame_header *frame, uint32_t length,
                     int64_t position, const struct image_path *path, int64_t now_ns) {
    int64_t end = position + length;
    if (position < image->last_sm_position) {
        context_count(image->context, SYSTEM_COUNTER_FLOW_CONTROL_UNDER_RUNS, 1);
        if (end >= image->last_sm_position - image->window_max_bytes) {
            track(image, path, now_ns)->last_data_ns = now_ns;
        }
        return 0;
    }
    track(image, path, now_ns)->last_data_ns = now_ns;
    store_release_i64(&image->last_packet_ns, now_ns);
    if (insert(image, frame, length, position)) {
        log_wake(image->log->metadata);
    }
    raise_hwm(image, end);
    return (int)length;
}

/* A pad at the end of a term may reach beyond what the sender was told it may send. From there it
 * says that it is alive, however long the subscribers stall. */
static bool is_over_run(const struct image *image, int64_t end, bool is_heartbeat) {
    return end > image->last_sm_position + image->log->term_length / 2 &&
           !(is_heartbeat && end <= image->reach);
}

int image_receive_on_data(struct image *image, const struct frame_header *frame, uint32_t length,
                          const struct image_path *path, int64_t now_ns) {
    const struct log_buffer *log = image->log;
    if (image->reject_length >= 0 || log_term_count(frame->term_id, log->initial_term_id) < 0) {
        return 0;
    }
    if (!frame_data_fits(frame, length, log->term_length)) {
        context_count(image->context, SYSTEM_COUNTER_INVALID_PACKETS, 1);
        return 0;
    }
    bool is_heartbeat = frame_is_heartbeat(frame, length);
    int64_t position =
        log_position(frame->term_id, frame->term_offset, log->position_bits, log->initial_term_id);
    int64_t end = is_heartbeat ? position : position + length;
    if (is_over_run(image, end, is_heartbeat)) {
        context_count(image->context, SYSTEM_COUNTER_FLOW_CONTROL_OVER_RUNS, 1);
        return 0;
    }
    return is_heartbeat ? on_heartbeat(image, frame, position, path, now_ns)
                        : on_packet(image, frame, length, position, path, now_ns);
}

/* A sender that has no receiver yet, at the other end of a path that has ended or fell silent: the
 * source was started again, and hears at its new address only. */
static void take_new_source(struct image_connection *connection, const struct image_path *path,
                            int64_t now_ns) {
    bool is_silent = now_ns >= connection->last_data_ns + IMAGE_CONNECTION_TIMEOUT_NS;
    if (connection->is_eos || is_silent) {
        connection->control = *path->control;
        connection->is_eos = false;
        connection->is_revoked = false;
    }
}

void image_receive_on_setup(struct image *image, const struct image_path *path, int64_t now_ns) {
    if (image->reject_length < 0) {
        take_new_source(track(image, path, now_ns), path, now_ns);
    }
}

void image_receive_on_rttm(struct image *image, const struct frame_rttm *rttm, int64_t now_ns) {
    struct endpoint_recv *endpoint = image->receive_endpoint;
    bool is_meant = rttm->receiver_id == 0 || rttm->receiver_id == endpoint->receiver_id;
    if (!is_meant) {
        return;
    }
    if ((rttm->common.flags & FRAME_RTTM_FLAG_REPLY) == 0) {
        if (congestion_rtt_on_reply(&image->rtt, rttm->echo_timestamp, rttm->reception_delta,
                                    now_ns)) {
            counter_set_release(image->rtt_counter, image->rtt.rtt_ns);
        }
        return;
    }
    struct frame_rttm reply = {
        .common = {.frame_length = FRAME_RTTM_LENGTH, .type = FRAME_TYPE_RTTM},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .echo_timestamp = rttm->echo_timestamp,
        .receiver_id = endpoint->receiver_id,
    };
    (void)transmit(image, &reply, sizeof reply, true, now_ns);
}

void image_receive_drop_connection(struct image *image, int32_t index, int64_t now_ns) {
    image->connections[index] = (struct image_connection){0};
    end_if_all_ended(image, now_ns);
}

void image_receive_set_control(struct image *image, int32_t index,
                               const union net_address *control) {
    if (image->connections[index].is_known) {
        image->connections[index].control = *control;
    }
}

void image_receive_reject(struct image *image, const char *reason, int32_t length) {
    assert(length >= 0 && length <= FRAME_ERR_TEXT_MAX);
    memcpy(image->reject_reason, reason, (size_t)length);
    image->reject_length = length;
    image->sm_deadline_ns = INT64_MIN;
}

static void send_error_frame(struct image *image, int64_t now_ns) {
    struct endpoint_recv *endpoint = image->receive_endpoint;
    uint8_t frame[FRAME_ERR_LENGTH + FRAME_ERR_TEXT_MAX];
    uint32_t length = FRAME_ERR_LENGTH + (uint32_t)image->reject_length;
    struct frame_err err = {
        .common = {.frame_length = (int32_t)length,
                   .flags = endpoint->has_group_tag ? FRAME_ERR_FLAG_GROUP_TAG : 0,
                   .type = FRAME_TYPE_ERR},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .receiver_id = endpoint->receiver_id,
        .group_tag = endpoint->has_group_tag ? endpoint->group_tag : 0,
        .error_code = DRIVER_ERROR_IMAGE_REJECTED,
        .error_length = image->reject_length,
    };
    memcpy(frame, &err, sizeof err);
    memcpy(frame + sizeof err, image->reject_reason, (size_t)image->reject_length);
    int sent = transmit(image, frame, length, false, now_ns); /* silence is no excuse */
    context_count(image->context, SYSTEM_COUNTER_ERROR_FRAMES_SENT, sent);
}

static void send_status_message(struct image *image, int64_t position, int64_t window_bytes,
                                int64_t now_ns) {
    const struct log_buffer *log = image->log;
    struct endpoint_recv *endpoint = image->receive_endpoint;
    struct frame_sm sm = {
        .common = {.frame_length =
                       endpoint->has_group_tag ? FRAME_SM_GROUP_TAG_LENGTH : FRAME_SM_LENGTH,
                   .flags = load_acquire_u8(&image->is_sending_eos) != 0 ? FRAME_SM_FLAG_EOS : 0,
                   .type = FRAME_TYPE_SM},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .consumption_term_id = log_term_id_of(position, log->position_bits, log->initial_term_id),
        .consumption_term_offset = log_term_offset_of(position, log->term_length),
        .receiver_window = (int32_t)window_bytes,
        .receiver_id = endpoint->receiver_id,
        .group_tag = endpoint->group_tag,
    };
    int sent = transmit(image, &sm, (uint32_t)sm.common.frame_length, true, now_ns);
    context_count(image->context, SYSTEM_COUNTER_STATUS_MESSAGES_SENT, sent);
}

/* Connections that had a frame after `since_ns`. */
static int32_t count_heard(const struct image *image, int64_t since_ns) {
    int32_t count = 0;
    for (int32_t i = 0; i < image->connection_limit; i++) {
        const struct image_connection *connection = &image->connections[i];
        count += connection->is_known && connection->last_frame_ns > since_ns;
    }
    return count;
}

/* Those that go out by the clock are no work: being on time is no reason to spin. */
static int send_due_status_message(struct image *image, bool is_timed_out, int64_t now_ns) {
    const struct image_sm_order *order = &image->sm_order;
    int64_t change = load_acquire_i64(&order->end_change);
    bool is_new = change != image->last_sm_change;
    if ((!is_new && !is_timed_out) || load_acquire_u8(&image->is_sm_enabled) == 0) {
        return 0;
    }
    int64_t position = load_plain_i64(&order->position);
    int64_t window_bytes = load_plain_i64(&order->window_bytes);
    fence_acquire();
    if (load_plain_i64(&order->begin_change) != change) {
        return 0; /* being written: that order is noted next */
    }
    struct log_metadata *metadata = image->log->metadata;
    const struct driver_conf *conf = image->context->conf;
    clean_to(image, position + align_i64(window_bytes, LOG_FRAME_ALIGNMENT));
    send_status_message(image, position, window_bytes, now_ns);
    image->last_sm_change = change;
    image->last_sm_position = position;
    image->sm_deadline_ns = now_ns + conf->status_message_timeout_ns;
    store_release_i32(&metadata->active_transport_count,
                      count_heard(image, now_ns - conf->image_liveness_timeout_ns));
    return is_new;
}

static void send_nak(struct image *image, const struct loss_gap *gap, int64_t now_ns) {
    struct frame_nak nak = {
        .common = {.frame_length = FRAME_NAK_LENGTH, .type = FRAME_TYPE_NAK},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .term_id = gap->term_id,
        .term_offset = gap->offset,
        .length = gap->length,
    };
    int sent = transmit(image, &nak, sizeof nak, true, now_ns);
    context_count(image->context, SYSTEM_COUNTER_NAKS_SENT, sent);
    counter_increment_single_writer(image->naks_counter, sent);
}

/* The order may be old: only what is still ahead of the last status message is touched, as behind
 * it terms are cleaned for their next use. */
static void fill_gap(struct image *image, const struct loss_gap *gap) {
    const struct log_buffer *log = image->log;
    int64_t position =
        log_position(gap->term_id, gap->offset, log->position_bits, log->initial_term_id);
    if (position < image->last_sm_position || position + gap->length > image->hwm) {
        return;
    }
    int32_t index = log_partition_index(log_term_count(gap->term_id, log->initial_term_id));
    struct term_gap hole = {gap->offset, gap->length};
    if (term_gap_fill(log->metadata, log->terms[index], gap->term_id, &hole)) {
        log_wake(log->metadata);
        context_count(image->context, SYSTEM_COUNTER_LOSS_GAP_FILLS, 1);
    }
}

static int report_due_gaps(struct image *image, int64_t now_ns) {
    const struct image_loss_order *order = &image->loss_order;
    int64_t change = load_acquire_i64(&order->end_change);
    if (change == image->last_loss_change) {
        return 0;
    }
    struct loss_gap gaps[LOSS_REPORTS_MAX];
    int64_t count = load_plain_i64(&order->count);
    assert(count > 0 && count <= LOSS_REPORTS_MAX);
    for (int64_t i = 0; i < count; i++) {
        gaps[i] = (struct loss_gap){
            .term_id = (int32_t)load_plain_i64(&order->gaps[i].term_id),
            .offset = (int32_t)load_plain_i64(&order->gaps[i].term_offset),
            .length = (int32_t)load_plain_i64(&order->gaps[i].length),
        };
    }
    fence_acquire();
    if (load_plain_i64(&order->begin_change) != change) {
        return 0; /* being written: that order is noted next */
    }
    image->last_loss_change = change;
    bool is_revoked = load_acquire_u8(&image->log->metadata->is_publication_revoked) != 0;
    if (is_revoked) {
        return 0;
    }
    for (int64_t i = 0; i < count; i++) {
        if (image->is_gap_filled) {
            fill_gap(image, &gaps[i]);
        } else {
            send_nak(image, &gaps[i], now_ns);
        }
    }
    return 1;
}

static void measure_round_trip(struct image *image, int64_t now_ns) {
    if (!congestion_rtt_is_due(&image->rtt, now_ns)) {
        return;
    }
    struct frame_rttm request = {
        .common = {.frame_length = FRAME_RTTM_LENGTH,
                   .flags = FRAME_RTTM_FLAG_REPLY,
                   .type = FRAME_TYPE_RTTM},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .echo_timestamp = now_ns,
        .receiver_id = image->receive_endpoint->receiver_id,
    };
    (void)transmit(image, &request, sizeof request, true, now_ns);
}

/* On a clock of its own: where much is received, status messages never time out (3.8 step 3). */
static void send_due_rsp_setup(struct image *image, int64_t now_ns) {
    int64_t session_id = load_acquire_i64(&image->response_session);
    if (session_id == IMAGE_NO_RESPONSE || now_ns < image->rsp_setup_deadline_ns) {
        return;
    }
    struct frame_rsp_setup setup = {
        .common = {.frame_length = FRAME_RSP_SETUP_LENGTH, .type = FRAME_TYPE_RSP_SETUP},
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .response_session_id = (int32_t)session_id,
    };
    (void)transmit(image, &setup, sizeof setup, true, now_ns);
    image->rsp_setup_deadline_ns = now_ns + image->context->conf->status_message_timeout_ns;
}

int image_receive_send_feedback(struct image *image, int64_t now_ns) {
    if (image->is_superseded) {
        return 0;
    }
    bool is_timed_out =
        load_acquire_u8(&image->is_sm_enabled) != 0 && image->sm_deadline_ns < now_ns;
    if (image->reject_length >= 0) {
        if (is_timed_out) {
            send_error_frame(image, now_ns);
            image->sm_deadline_ns = now_ns + image->context->conf->status_message_timeout_ns;
        }
        return 0;
    }
    send_due_rsp_setup(image, now_ns);
    int work = send_due_status_message(image, is_timed_out, now_ns);
    measure_round_trip(image, now_ns);
    return work + report_due_gaps(image, now_ns);
}

int64_t image_receive_deadline_ns(const struct image *image) {
    bool is_mute = image->is_superseded || load_acquire_u8(&image->is_sm_enabled) == 0;
    bool is_measured = image->rtt.is_measured && image->reject_length < 0;
    bool is_answered = load_acquire_i64(&image->response_session) != IMAGE_NO_RESPONSE;
    int64_t deadline_ns = image->sm_deadline_ns;
    if (is_measured) {
        deadline_ns = min_i64(deadline_ns, image->rtt.next_request_ns);
    }
    if (is_answered && image->reject_length < 0) {
        deadline_ns = min_i64(deadline_ns, image->rsp_setup_deadline_ns);
    }
    return is_mute ? INT64_MAX : deadline_ns;
}

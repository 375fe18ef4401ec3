/* The receiver agent (media-driver.md 3.2 to 3.8, 5.8).
 *
 * Each cycle: commands of the conductor, every socket until it is empty or its budget is used up,
 * the feedback of images that have orders or whose time has come, then time-outs. A datagram passes
 * frame_validate first; what is wanted is asked of the endpoint's dispatcher, and images take the
 * rest.
 *
 * An image is made by the conductor: the receiver posts what the SETUP said and ignores the session
 * until the answer comes back as a command.
 */
#include "driverd/receiver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "driverd/driver_context.h"
#include "driverd/driver_message.h"
#include "driverd/endpoint_recv.h"
#include "driverd/image.h"
#include "driverd/image_receive.h"
#include "driverd/trace.h"

#define RECEIVER_REST_MAX_NS (100 * NS_PER_MS)

enum receiver_command_type {
    RECEIVER_COMMAND_ADD_DESTINATION = 1,
    RECEIVER_COMMAND_REMOVE_DESTINATION,
    RECEIVER_COMMAND_REMOVE_ENDPOINT,
    RECEIVER_COMMAND_ADD_INTEREST,
    RECEIVER_COMMAND_REMOVE_INTEREST,
    RECEIVER_COMMAND_ADD_IMAGE,
    RECEIVER_COMMAND_IMAGE_REFUSED,
    RECEIVER_COMMAND_REMOVE_IMAGE,
    RECEIVER_COMMAND_REJECT_IMAGE,
    RECEIVER_COMMAND_SET_CONTROL,
};

struct receiver_command {
    struct endpoint_recv *endpoint;
    struct destination_recv *destination;
    struct image *image;
    int32_t stream_id;
    int32_t session_id;
    bool all_sessions;
    union net_address address;
    int32_t reason_length; /* REJECT_IMAGE: the bytes follow */
};

int receiver_init(struct receiver *receiver, struct driver_context *context,
                  struct tern_error *error) {
    const size_t ring_length = DRIVER_QUEUE_LENGTH + RING_TRAILER_LENGTH;
    *receiver = (struct receiver){
        .context = context,
        .command_memory = calloc(1, ring_length),
        .pending = calloc(RECEIVER_PENDING_SETUPS_MAX, sizeof(struct pending_setup)),
        .buffers =
            aligned_alloc(CACHE_LINE_LENGTH, (size_t)RECEIVER_BATCH_MAX * RECEIVER_BUFFER_LENGTH),
        .batch = min_i32(context->conf->receiver_io_vector_capacity, RECEIVER_BATCH_MAX),
    };
    if (receiver->command_memory == NULL || receiver->pending == NULL ||
        receiver->buffers == NULL) {
        receiver_close(receiver);
        return error_set_errno(error, ENOMEM, "cannot make the receiver");
    }
    int result =
        ring_spsc_init(&receiver->commands, receiver->command_memory, (int64_t)ring_length);
    assert(result == 0);
    result = context->io.net->poller_open(context->io.net->context, &receiver->poller, error);
    if (result != 0) {
        receiver_close(receiver);
        return result;
    }
    duty_cycle_init(&receiver->cycle, context, SYSTEM_COUNTER_RECEIVER_MAX_CYCLE_TIME,
                    context->conf->receiver_cycle_threshold_ns);
    for (int i = 0; i < RECEIVER_BATCH_MAX; i++) {
        receiver->datagrams[i].data = receiver->buffers + (size_t)i * RECEIVER_BUFFER_LENGTH;
        receiver->datagrams[i].capacity = RECEIVER_BUFFER_LENGTH;
    }
    return result;
}

void receiver_close(struct receiver *receiver) {
    pointer_list_close(&receiver->controlled);
    pointer_list_close(&receiver->images);
    if (receiver->poller != NULL) {
        const struct net *net = receiver->context->io.net;
        net->poller_close(net->context, receiver->poller);
    }
    free(receiver->command_memory);
    free(receiver->pending);
    free(receiver->buffers);
    *receiver = (struct receiver){0};
}

/* Commands. */

static void post_no_memory(struct receiver *receiver) {
    struct tern_error error;
    (void)error_set_errno(&error, ENOMEM, "the receiver cannot take over a channel or image");
    driver_context_post_error(receiver->context, &error);
}

static void add_destination(struct receiver *receiver, struct destination_recv *destination) {
    int64_t now_ns = receiver->cycle.last_ns;
    const struct net *net = receiver->context->io.net;
    struct tern_error error;
    if (net->poller_add(net->context, receiver->poller, destination->socket.handle, destination,
                        &error) != 0) {
        driver_context_post_error(receiver->context, &error);
    }
    assert(destination->endpoint->active[destination->index] == NULL);
    destination->queue = &receiver->feedback;
    destination->endpoint->active[destination->index] = destination;
    if (destination->has_explicit_control) {
        if (pointer_list_add(&receiver->controlled, destination) != 0) {
            post_no_memory(receiver);
        }
        destination_recv_elicit_setup(destination, 0, 0, &destination->control, now_ns);
        destination->next_elicitation_ns = now_ns + RECEIVER_ELICITATION_INTERVAL_NS;
    }
}

static void stop_destination(struct receiver *receiver, struct destination_recv *destination) {
    const struct net *net = receiver->context->io.net;
    destination_recv_flush(&receiver->feedback, receiver->cycle.last_ns);
    net->poller_remove(net->context, receiver->poller, destination->socket.handle);
    destination->endpoint->active[destination->index] = NULL;
    (void)pointer_list_remove(&receiver->controlled, destination);
}

static void remove_destination(struct receiver *receiver, struct destination_recv *destination) {
    const struct pointer_list *images = &receiver->images;
    for (int32_t i = 0; i < images->count; i++) {
        struct image *image = images->items[i];
        if (image->receive_endpoint == destination->endpoint) {
            image_receive_drop_connection(image, destination->index, receiver->cycle.last_ns);
        }
    }
    stop_destination(receiver, destination);
    store_release_u8(&destination->is_released, 1);
}

static void remove_endpoint(struct receiver *receiver, struct endpoint_recv *endpoint) {
    int32_t kept = 0;
    for (int32_t i = 0; i < receiver->pending_count; i++) {
        if (receiver->pending[i].endpoint != endpoint) {
            receiver->pending[kept++] = receiver->pending[i];
        }
    }
    receiver->pending_count = kept;
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        if (endpoint->active[i] != NULL) {
            stop_destination(receiver, endpoint->active[i]);
        }
    }
    store_release_u8(&endpoint->is_released, 1);
}

static void elicit_session(struct endpoint_recv *endpoint, int32_t session_id, int32_t stream_id,
                           int64_t now_ns) {
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        struct destination_recv *destination = endpoint->active[i];
        if (destination != NULL && destination->has_explicit_control) {
            destination_recv_elicit_setup(destination, session_id, stream_id, &destination->control,
                                          now_ns);
        }
    }
}

static void set_control(struct receiver *receiver, const struct receiver_command *command) {
    struct destination_recv *destination = command->destination;
    const struct pointer_list *images = &receiver->images;
    destination->control = command->address;
    for (int32_t i = 0; i < images->count; i++) {
        struct image *image = images->items[i];
        if (image->receive_endpoint == destination->endpoint) {
            image_receive_set_control(image, destination->index, &command->address);
        }
    }
}

static void add_interest(struct receiver *receiver, const struct receiver_command *command) {
    struct endpoint_recv *endpoint = command->endpoint;
    if (dispatcher_add_interest(&endpoint->dispatcher, command->stream_id, command->all_sessions,
                                command->session_id) != 0) {
        post_no_memory(receiver);
    }
    if (!command->all_sessions) {
        elicit_session(endpoint, command->session_id, command->stream_id, receiver->cycle.last_ns);
    }
}

/* A stream whose last subscriber left drains for a while. When somebody subscribes again meanwhile,
 * the session gets a new image, and the farewell of the old one, which has the same receiver id,
 * would tell the sender that nobody is there. */
static void silence_predecessors(struct receiver *receiver, const struct image *image) {
    const struct stream_node *node =
        stream_index_first(&receiver->images_by_stream, image->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct image *other = CONTAINER_OF(node, struct image, receive_node);
        other->is_superseded =
            other->is_superseded || (other->receive_endpoint == image->receive_endpoint &&
                                     other->session_id == image->session_id);
    }
}

/* What the image has to say, and when it will have something again. */
static int speak(struct receiver *receiver, struct image *image, int64_t now_ns) {
    int work = image_receive_send_feedback(image, now_ns);
    schedule_put(&receiver->schedule, &image->node, image_receive_deadline_ns(image));
    return work;
}

/* Pairs with receiver_note_order: who sees the count sees the orders that it counts, and an image
 * that is ordered anew from here on is put on the stack again. */
static int follow_orders(struct receiver *receiver, int64_t now_ns) {
    int64_t order_count = load_acquire_i64(&receiver->order_count);
    if (order_count == receiver->orders_seen) {
        return 0;
    }
    int work = 0;
    struct image *image = exchange_pointer(&receiver->ordered, NULL);
    while (image != NULL) {
        struct image *next = image->next_ordered;
        (void)exchange_u8(&image->is_ordered, 0);
        work += speak(receiver, image, now_ns);
        image = next;
    }
    receiver->orders_seen = order_count;
    return work;
}

static void add_image(struct receiver *receiver, struct image *image) {
    struct dispatcher *dispatcher = &image->receive_endpoint->dispatcher;
    silence_predecessors(receiver, image);
    stream_index_add(&receiver->images_by_stream, &image->receive_node, image->stream_id);
    int result = pointer_list_add(&receiver->images, image);
    if (result == 0) {
        result = dispatcher_add_image(dispatcher, image->stream_id, image->session_id, image);
    }
    if (result != 0) {
        post_no_memory(receiver);
    }
    image_receive_start(image, receiver->cycle.last_ns);
    schedule_now(&receiver->schedule, &image->node); /* the first status message */
}

static void remove_image(struct receiver *receiver, struct image *image) {
    struct dispatcher *dispatcher = &image->receive_endpoint->dispatcher;
    bool is_cooling = image->is_eos == 0 && !image->is_rejoin;
    (void)follow_orders(receiver, receiver->cycle.last_ns); /* it is on no stack any more */
    (void)image_receive_send_feedback(image, receiver->cycle.last_ns); /* EOS of a revoked one */
    dispatcher_remove_image(dispatcher, image->stream_id, image->session_id, image, is_cooling);
    stream_index_remove(&receiver->images_by_stream, &image->receive_node);
    schedule_remove(&image->node);
    (void)pointer_list_remove(&receiver->images, image);
    store_release_u8(&image->is_released, 1);
}

static void on_command(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct receiver *receiver = context;
    struct receiver_command command;
    assert(length >= (int32_t)sizeof command);
    memcpy(&command, payload, sizeof command);
    switch ((enum receiver_command_type)type) {
    case RECEIVER_COMMAND_ADD_DESTINATION:
        add_destination(receiver, command.destination);
        break;
    case RECEIVER_COMMAND_REMOVE_DESTINATION:
        remove_destination(receiver, command.destination);
        break;
    case RECEIVER_COMMAND_REMOVE_ENDPOINT:
        remove_endpoint(receiver, command.endpoint);
        break;
    case RECEIVER_COMMAND_ADD_INTEREST:
        add_interest(receiver, &command);
        break;
    case RECEIVER_COMMAND_REMOVE_INTEREST:
        dispatcher_remove_interest(&command.endpoint->dispatcher, command.stream_id,
                                   command.all_sessions, command.session_id);
        break;
    case RECEIVER_COMMAND_ADD_IMAGE:
        add_image(receiver, command.image);
        break;
    case RECEIVER_COMMAND_IMAGE_REFUSED:
        dispatcher_remove_state(&command.endpoint->dispatcher, command.stream_id,
                                command.session_id, SESSION_STATE_INIT_IN_PROGRESS);
        break;
    case RECEIVER_COMMAND_REMOVE_IMAGE:
        remove_image(receiver, command.image);
        break;
    case RECEIVER_COMMAND_REJECT_IMAGE:
        assert(length == (int32_t)sizeof command + command.reason_length);
        image_receive_reject(command.image, (const char *)payload + sizeof command,
                             command.reason_length);
        schedule_now(&receiver->schedule, &command.image->node);
        break;
    case RECEIVER_COMMAND_SET_CONTROL:
        set_control(receiver, &command);
        break;
    }
}

static bool put_bytes(struct receiver *receiver, enum receiver_command_type type,
                      const void *message, int32_t length) {
    const struct net *net = receiver->context->io.net;
    if (ring_spsc_write(&receiver->commands, (int32_t)type, message, length) != RING_OK) {
        return false;
    }
    net->wake(net->context, receiver->poller);
    return true;
}

static bool put_command(struct receiver *receiver, enum receiver_command_type type,
                        const struct receiver_command *command) {
    return put_bytes(receiver, type, command, (int32_t)sizeof *command);
}

int64_t receiver_free_bytes(const struct receiver *receiver) {
    return ring_spsc_free_bytes(&receiver->commands);
}

bool receiver_add_destination(struct receiver *receiver, struct destination_recv *destination) {
    struct receiver_command command = {.destination = destination};
    return put_command(receiver, RECEIVER_COMMAND_ADD_DESTINATION, &command);
}

bool receiver_remove_destination(struct receiver *receiver, struct destination_recv *destination) {
    struct receiver_command command = {.destination = destination};
    return put_command(receiver, RECEIVER_COMMAND_REMOVE_DESTINATION, &command);
}

bool receiver_remove_endpoint(struct receiver *receiver, struct endpoint_recv *endpoint) {
    struct receiver_command command = {.endpoint = endpoint};
    return put_command(receiver, RECEIVER_COMMAND_REMOVE_ENDPOINT, &command);
}

bool receiver_add_interest(struct receiver *receiver, struct endpoint_recv *endpoint,
                           int32_t stream_id, bool all_sessions, int32_t session_id) {
    struct receiver_command command = {.endpoint = endpoint,
                                       .stream_id = stream_id,
                                       .session_id = session_id,
                                       .all_sessions = all_sessions};
    return put_command(receiver, RECEIVER_COMMAND_ADD_INTEREST, &command);
}

bool receiver_remove_interest(struct receiver *receiver, struct endpoint_recv *endpoint,
                              int32_t stream_id, bool all_sessions, int32_t session_id) {
    struct receiver_command command = {.endpoint = endpoint,
                                       .stream_id = stream_id,
                                       .session_id = session_id,
                                       .all_sessions = all_sessions};
    return put_command(receiver, RECEIVER_COMMAND_REMOVE_INTEREST, &command);
}

bool receiver_add_image(struct receiver *receiver, struct image *image) {
    struct receiver_command command = {.image = image};
    return put_command(receiver, RECEIVER_COMMAND_ADD_IMAGE, &command);
}

bool receiver_image_refused(struct receiver *receiver, struct endpoint_recv *endpoint,
                            int32_t stream_id, int32_t session_id) {
    struct receiver_command command = {
        .endpoint = endpoint, .stream_id = stream_id, .session_id = session_id};
    return put_command(receiver, RECEIVER_COMMAND_IMAGE_REFUSED, &command);
}

bool receiver_remove_image(struct receiver *receiver, struct image *image) {
    struct receiver_command command = {.image = image};
    return put_command(receiver, RECEIVER_COMMAND_REMOVE_IMAGE, &command);
}

bool receiver_reject_image(struct receiver *receiver, struct image *image, const char *reason,
                           int32_t length) {
    struct receiver_command command = {.image = image, .reason_length = length};
    uint8_t message[sizeof command + FRAME_ERR_TEXT_MAX];
    assert(length >= 0 && length <= FRAME_ERR_TEXT_MAX);
    memcpy(message, &command, sizeof command);
    memcpy(message + sizeof command, reason, (size_t)length);
    return put_bytes(receiver, RECEIVER_COMMAND_REJECT_IMAGE, message,
                     (int32_t)sizeof command + length);
}

bool receiver_set_control(struct receiver *receiver, struct destination_recv *destination,
                          const union net_address *address) {
    struct receiver_command command = {.destination = destination, .address = *address};
    return put_command(receiver, RECEIVER_COMMAND_SET_CONTROL, &command);
}

/* Frames. */

struct received_frame {
    struct receiver *receiver;
    struct destination_recv *destination;
    struct endpoint_recv *endpoint;
    uint8_t *data;
    uint32_t length;
    const union net_address *source;
    int64_t arrival_epoch_ns; /* 0: not known */
    int64_t now_ns;
};

static const union net_address *control_of(const struct received_frame *frame) {
    const struct destination_recv *destination = frame->destination;
    bool is_known = destination->has_explicit_control || destination->is_multicast;
    return is_known ? &destination->control : frame->source;
}

static struct image_path path_of(const struct received_frame *frame) {
    return (struct image_path){frame->destination->index, control_of(frame)};
}

static void elicit(const struct received_frame *frame, int32_t stream_id, int32_t session_id) {
    struct receiver *receiver = frame->receiver;
    if (receiver->pending_count == RECEIVER_PENDING_SETUPS_MAX) {
        dispatcher_remove_state(&frame->endpoint->dispatcher, stream_id, session_id,
                                SESSION_STATE_PENDING_SETUP);
        return; /* the next frame asks again */
    }
    receiver->pending[receiver->pending_count++] = (struct pending_setup){
        frame->endpoint, session_id, stream_id, frame->now_ns + RECEIVER_PENDING_SETUP_TIMEOUT_NS};
    destination_recv_elicit_setup(frame->destination, session_id, stream_id, control_of(frame),
                                  frame->now_ns);
}

/* 3.13. What came before the system began to note arrivals stays without. */
static void stamp(const struct received_frame *frame, const struct timestamp_offsets *offsets) {
    if (offsets->media_receive != TIMESTAMP_NONE && frame->arrival_epoch_ns != 0) {
        (void)timestamp_write(frame->data, frame->length, offsets->media_receive,
                              frame->arrival_epoch_ns);
    }
    if (offsets->channel_receive != TIMESTAMP_NONE) {
        const struct clock *clock = frame->receiver->context->io.clock;
        (void)timestamp_write(frame->data, frame->length, offsets->channel_receive,
                              clock_epoch_ns(clock));
    }
}

static int on_data(const struct received_frame *frame) {
    const struct frame_header *header = (const struct frame_header *)(const void *)frame->data;
    const struct image_path path = path_of(frame);
    struct image *image;
    bool is_eos =
        frame_is_heartbeat(header, frame->length) && (header->flags & FRAME_FLAG_EOS) != 0;
    switch (dispatcher_on_data(&frame->endpoint->dispatcher, header->stream_id, header->session_id,
                               is_eos, &image)) {
    case DISPATCH_TO_IMAGE:
        if (image->is_stamped) {
            stamp(frame, &image->timestamps);
        }
        return image_receive_on_data(image, header, frame->length, &path, frame->now_ns);
    case DISPATCH_ELICIT_SETUP:
        elicit(frame, header->stream_id, header->session_id);
        break;
    case DISPATCH_CREATE_IMAGE:
    case DISPATCH_LIMIT:
    case DISPATCH_DROP:
        break;
    }
    return 0;
}

/* The answers may not reach as far as the data came (3.2). */
static void count_ttl_asymmetry(const struct received_frame *frame,
                                const struct frame_setup *setup) {
    bool was_asked_for = dispatcher_state(&frame->endpoint->dispatcher, setup->stream_id,
                                          setup->session_id) == SESSION_STATE_PENDING_SETUP;
    if (was_asked_for && frame->destination->is_multicast && frame->destination->ttl < setup->ttl) {
        context_count(frame->receiver->context, SYSTEM_COUNTER_POSSIBLE_TTL_ASYMMETRY, 1);
    }
}

static void ask_for_image(const struct received_frame *frame, const struct frame_setup *setup) {
    struct message_create_image message = {
        .endpoint_id = frame->endpoint->id,
        .destination_id = frame->destination->id,
        .session_id = setup->session_id,
        .stream_id = setup->stream_id,
        .initial_term_id = setup->initial_term_id,
        .active_term_id = setup->active_term_id,
        .term_offset = setup->term_offset,
        .term_length = setup->term_length,
        .mtu_length = setup->mtu,
        .ttl = setup->ttl,
        .setup_flags = setup->common.flags,
        .source = *frame->source,
        .control = *control_of(frame),
    };
    count_ttl_asymmetry(frame, setup);
    if (driver_context_post(frame->receiver->context, DRIVER_MESSAGE_CREATE_IMAGE, &message,
                            sizeof message)) {
        dispatcher_init_started(&frame->endpoint->dispatcher, setup->stream_id, setup->session_id);
    }
}

static void on_setup(const struct received_frame *frame) {
    const struct image_path path = path_of(frame);
    struct frame_setup setup;
    struct image *image;
    struct tern_error error;
    memcpy(&setup, frame->data, sizeof setup);
    switch (dispatcher_on_setup(&frame->endpoint->dispatcher, setup.stream_id, setup.session_id,
                                &image)) {
    case DISPATCH_TO_IMAGE:
        image_receive_on_setup(image, &path, frame->now_ns);
        break;
    case DISPATCH_CREATE_IMAGE:
        ask_for_image(frame, &setup);
        break;
    case DISPATCH_LIMIT:
        (void)error_set(&error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                        "stream session limit of %d reached: stream id %d, %.100s",
                        frame->endpoint->dispatcher.stream_session_limit, setup.stream_id,
                        frame->endpoint->channel->text);
        driver_context_post_error(frame->receiver->context, &error);
        break;
    case DISPATCH_ELICIT_SETUP:
    case DISPATCH_DROP:
        break;
    }
}

static void on_rttm(const struct received_frame *frame) {
    struct frame_rttm rttm;
    memcpy(&rttm, frame->data, sizeof rttm);
    struct image *image =
        dispatcher_find_image(&frame->endpoint->dispatcher, rttm.stream_id, rttm.session_id);
    if (image != NULL) {
        image_receive_on_rttm(image, &rttm, frame->now_ns);
    }
}

static int on_frame(const struct received_frame *frame) {
    switch (frame_validate(FRAME_ROLE_RECEIVER, frame->data, frame->length)) {
    case FRAME_INVALID:
        context_count(frame->receiver->context, SYSTEM_COUNTER_INVALID_PACKETS, 1);
        return 0;
    case FRAME_IGNORED:
        return 0;
    case FRAME_VALID:
        break;
    }
    struct frame_common common;
    memcpy(&common, frame->data, sizeof common);
    store_release_i64(&frame->destination->last_frame_time_ns, frame->now_ns);
    switch (common.type) {
    case FRAME_TYPE_DATA:
    case FRAME_TYPE_PAD:
        return on_data(frame);
    case FRAME_TYPE_SETUP:
        on_setup(frame);
        break;
    case FRAME_TYPE_RTTM:
        on_rttm(frame);
        break;
    default:
        assert(false && "frame_validate lets no other type through");
    }
    return 0;
}

static void post_receive_error(struct receiver *receiver, struct destination_recv *destination,
                               int code, int64_t now_ns) {
    if (destination->last_error_ns != 0 && now_ns - destination->last_error_ns < NS_PER_S) {
        return;
    }
    destination->last_error_ns = now_ns;
    struct tern_error error;
    (void)error_set_errno(&error, -code, "cannot receive on %.120s", destination->channel->text);
    driver_context_post_error(receiver->context, &error);
}

/* One datagram, or several that the kernel joined. A segment that does not begin on 8 bytes is
 * moved to the beginning of the buffer, which was read before. */
static int on_buffer(struct receiver *receiver, struct destination_recv *destination,
                     const struct net_datagram *datagram, int64_t now_ns) {
    uint8_t *buffer = datagram->data;
    uint32_t step = datagram->segment_length > 0 ? datagram->segment_length : datagram->length;
    uint32_t offset = 0;
    int bytes = 0;
    do {
        uint32_t length = datagram->length - offset < step ? datagram->length - offset : step;
        uint8_t *data = buffer + offset;
        if (offset % sizeof(int64_t) != 0) {
            memmove(buffer, data, length);
            data = buffer;
        }
        struct received_frame frame = {.receiver = receiver,
                                       .destination = destination,
                                       .endpoint = destination->endpoint,
                                       .data = data,
                                       .length = length,
                                       .source = &datagram->address,
                                       .arrival_epoch_ns = datagram->arrival_epoch_ns,
                                       .now_ns = now_ns};
        bytes += on_frame(&frame);
        offset += length;
    } while (offset < datagram->length);
    return bytes;
}

/* What comes out of silence is most often alone: to ask for more would cost a look that finds
 * nothing. Unless it was joined, whatever else is there comes in the next cycle. */
static int datagrams_to_ask_for(const struct receiver *receiver,
                                struct destination_recv *destination) {
    bool is_streaming = destination->ready_cycle == receiver->cycle_count - 1;
    destination->ready_cycle = receiver->cycle_count;
    return is_streaming ? receiver->batch : 1;
}

/* Returns the bytes that images took: what comes by the clock is no work. */
static int poll_destination(struct receiver *receiver, struct destination_recv *destination,
                            int64_t now_ns) {
    const struct net *net = receiver->context->io.net;
    int asked = datagrams_to_ask_for(receiver, destination);
    int64_t bytes = 0;
    int total = 0;
    int work = 0;
    while (total < RECEIVER_DATAGRAMS_MAX) {
        int count =
            net->receive(net->context, destination->socket.handle, receiver->datagrams, asked);
        if (count < 0) {
            post_receive_error(receiver, destination, count, now_ns);
            break;
        }
        trace_frames(receiver->context, TRACE_FRAME_RECEIVED,
                     (struct trace_frames){receiver->datagrams, count, NULL, now_ns});
        for (int i = 0; i < count; i++) {
            bytes += receiver->datagrams[i].length;
            work += on_buffer(receiver, destination, &receiver->datagrams[i], now_ns);
        }
        total += count;
        bool is_alone = asked < receiver->batch && receiver->datagrams[0].segment_length == 0;
        if (count < asked || is_alone) {
            break;
        }
        asked = receiver->batch;
    }
    if (bytes > 0) {
        context_count(receiver->context, SYSTEM_COUNTER_BYTES_RECEIVED, bytes);
    }
    return work;
}

static int poll_sockets(struct receiver *receiver, int64_t now_ns) {
    const struct net *net = receiver->context->io.net;
    void *destinations[NET_BATCH_COUNT_MAX];
    int work = 0;
    int count =
        net->poller_ready(net->context, receiver->poller, destinations, NET_BATCH_COUNT_MAX);
    for (int i = 0; i < count; i++) {
        work += poll_destination(receiver, destinations[i], now_ns);
    }
    return work;
}

/* Time-outs. */

static void expire_pending_setups(struct receiver *receiver, int64_t now_ns) {
    int32_t expired = 0;
    while (expired < receiver->pending_count && receiver->pending[expired].deadline_ns <= now_ns) {
        const struct pending_setup *pending = &receiver->pending[expired++];
        dispatcher_remove_state(&pending->endpoint->dispatcher, pending->stream_id,
                                pending->session_id, SESSION_STATE_PENDING_SETUP);
    }
    if (expired > 0) {
        receiver->pending_count -= expired;
        memmove(receiver->pending, receiver->pending + expired,
                (size_t)receiver->pending_count * sizeof *receiver->pending);
    }
}

static void elicit_periodically(struct receiver *receiver, int64_t now_ns) {
    for (int32_t i = 0; i < receiver->controlled.count; i++) {
        struct destination_recv *destination = receiver->controlled.items[i];
        if (now_ns >= destination->next_elicitation_ns &&
            dispatcher_has_interest(&destination->endpoint->dispatcher)) {
            destination_recv_elicit_setup(destination, 0, 0, &destination->control, now_ns);
            destination->next_elicitation_ns = now_ns + RECEIVER_ELICITATION_INTERVAL_NS;
        }
    }
}

static int send_feedback(struct receiver *receiver, int64_t now_ns) {
    int work = follow_orders(receiver, now_ns);
    struct schedule_node *node;
    pace_renew(&receiver->pace, receiver->images.count, now_ns);
    while (receiver->pace.left > 0 && (node = schedule_take(&receiver->schedule, now_ns)) != NULL) {
        receiver->pace.left--;
        work += speak(receiver, CONTAINER_OF(node, struct image, node), now_ns);
    }
    return work;
}

int receiver_do_work(struct receiver *receiver, int64_t now_ns) {
    duty_cycle_measure(&receiver->cycle, now_ns);
    receiver->cycle_count++;
    int work = ring_spsc_read(&receiver->commands, on_command, receiver, RECEIVER_COMMANDS_MAX);
    work += poll_sockets(receiver, now_ns);
    elicit_periodically(receiver, now_ns);
    work += send_feedback(receiver, now_ns);
    destination_recv_flush(&receiver->feedback, now_ns);
    expire_pending_setups(receiver, now_ns);
    return work;
}

/* The fences make one of the two see the other's store: either this wait is not begun, or it is
 * ended by a wake-up. */
int64_t receiver_begin_wait(struct receiver *receiver) {
    int64_t now_ns = receiver->cycle.last_ns;
    store_release_u8(&receiver->is_waiting, 1);
    fence_full();
    if (load_acquire_i64(&receiver->order_count) != receiver->orders_seen) {
        return 0;
    }
    int64_t rest_ns = max_i64(0, schedule_next_ns(&receiver->schedule) - now_ns);
    return min_i64(pace_rest_ns(&receiver->pace, rest_ns, now_ns), RECEIVER_REST_MAX_NS);
}

void receiver_end_wait(struct receiver *receiver) {
    store_release_u8(&receiver->is_waiting, 0);
}

static void push_ordered(struct receiver *receiver, struct image *image) {
    void *below;
    do {
        below = load_acquire_pointer(&receiver->ordered);
        image->next_ordered = below;
    } while (!compare_and_set_pointer(&receiver->ordered, below, image));
}

void receiver_note_order(struct receiver *receiver, struct image *image) {
    const struct net *net = receiver->context->io.net;
    if (exchange_u8(&image->is_ordered, 1) == 0) {
        push_ordered(receiver, image);
    }
    store_release_i64(&receiver->order_count, receiver->order_count + 1);
    fence_full();
    if (load_acquire_u8(&receiver->is_waiting) != 0) {
        net->wake(net->context, receiver->poller);
    }
}

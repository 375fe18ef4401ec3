/* The sender agent (media-driver.md 2.5 to 2.10, 5.8).
 *
 * Each cycle: commands of the conductor, one pass over all publications (the first one rotates, so
 * that none is favoured), then the sockets when nothing was sent, or every few cycles, or after
 * half a status message time-out, or when a send was cut short. Control frames pass frame_validate
 * first and are plain structs after that.
 *
 * What was handed over by an add command is the sender's until it stores is_released.
 */
#include "driverd/sender.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "driverd/driver_context.h"
#include "driverd/driver_message.h"
#include "driverd/publication_net.h"
#include "driverd/publication_send.h"
#include "driverd/trace.h"

#define EXPIRY_INTERVAL_NS (100 * NS_PER_MS)

enum sender_command_type {
    SENDER_COMMAND_ADD_ENDPOINT = 1,
    SENDER_COMMAND_REMOVE_ENDPOINT,
    SENDER_COMMAND_ADD_PUBLICATION,
    SENDER_COMMAND_REMOVE_PUBLICATION,
    SENDER_COMMAND_ADD_DESTINATION,
    SENDER_COMMAND_REMOVE_DESTINATION,
    SENDER_COMMAND_SET_ADDRESS,
};

struct sender_command {
    struct endpoint_send *endpoint;
    struct publication_net *publication;
    struct destination *destination;
    union net_address address;
};

int sender_init(struct sender *sender, struct driver_context *context, struct tern_error *error) {
    const struct net *net = context->io.net;
    const size_t ring_length = DRIVER_QUEUE_LENGTH + RING_TRAILER_LENGTH;
    *sender = (struct sender){
        .context = context,
        .batch = min_i32(context->conf->sender_io_vector_capacity, SENDER_CONTROL_BATCH),
        .pass.queue.context = context,
        .command_memory = calloc(1, ring_length),
        .control_buffers = aligned_alloc(CACHE_LINE_LENGTH, (size_t)SENDER_CONTROL_BATCH *
                                                                SENDER_CONTROL_BUFFER_LENGTH),
    };
    if (sender->command_memory == NULL || sender->control_buffers == NULL) {
        sender_close(sender);
        return error_set_errno(error, ENOMEM, "cannot make the sender");
    }
    int result = ring_spsc_init(&sender->commands, sender->command_memory, (int64_t)ring_length);
    assert(result == 0);
    duty_cycle_init(&sender->cycle, context, SYSTEM_COUNTER_SENDER_MAX_CYCLE_TIME,
                    context->conf->sender_cycle_threshold_ns);
    for (int i = 0; i < SENDER_CONTROL_BATCH; i++) {
        sender->control[i].data = sender->control_buffers + i * SENDER_CONTROL_BUFFER_LENGTH;
        sender->control[i].capacity = SENDER_CONTROL_BUFFER_LENGTH;
    }
    result = net->poller_open(net->context, &sender->poller, error);
    if (result == 0) {
        result = net->buffer_limits(net->context, &context->buffer_limits, error);
    }
    if (result != 0) {
        sender_close(sender);
    }
    return result;
}

void sender_close(struct sender *sender) {
    pointer_list_close(&sender->publications);
    pointer_list_close(&sender->endpoints);
    if (sender->poller != NULL) {
        const struct net *net = sender->context->io.net;
        net->poller_close(net->context, sender->poller);
    }
    free(sender->command_memory);
    free(sender->control_buffers);
    *sender = (struct sender){0};
}

static int visit_publication(void *context, void *item, int64_t now_ns) {
    struct sender *sender = context;
    return publication_send_do_work(item, now_ns, &sender->pass);
}

/* They never sleep: clients write, and say nothing. */
static const struct sweep_items sweep_items = {offsetof(struct publication_net, sender_entry),
                                               visit_publication, NULL};

static void wake(struct sender *sender, struct publication_net *publication, int64_t now_ns) {
    if (sweep_has(&sender->publications, &publication->sender_entry, publication)) {
        sweep_promote(&sender->sweep, &sender->publications, &sweep_items, publication, now_ns);
    } /* else there was no memory for it */
}

/* Commands. */

static void post_no_memory(struct sender *sender) {
    struct tern_error error;
    (void)error_set_errno(&error, ENOMEM, "the sender cannot take over a channel or publication");
    driver_context_post_error(sender->context, &error);
}

static void listen_to(struct sender *sender, struct control_source *control) {
    const struct net *net = sender->context->io.net;
    struct tern_error error;
    if (net->poller_add(net->context, sender->poller, control->handle, control, &error) != 0) {
        driver_context_post_error(sender->context, &error);
    }
}

static void stop_listening_to(struct sender *sender, const struct control_source *control) {
    const struct net *net = sender->context->io.net;
    net->poller_remove(net->context, sender->poller, control->handle);
}

static void add_endpoint(struct sender *sender, struct endpoint_send *endpoint) {
    if (pointer_list_add(&sender->endpoints, endpoint) != 0) {
        post_no_memory(sender);
    } else {
        listen_to(sender, &endpoint->control);
    }
}

static void remove_endpoint(struct sender *sender, struct endpoint_send *endpoint) {
    const struct destination_tracker *tracker = &endpoint->tracker;
    for (int32_t i = 0; i < tracker->count; i++) { /* they go with it */
        if (tracker->destinations[i]->is_group) {
            stop_listening_to(sender, &tracker->destinations[i]->control);
        }
    }
    stop_listening_to(sender, &endpoint->control);
    (void)pointer_list_remove(&sender->endpoints, endpoint);
    store_release_u8(&endpoint->is_released, 1);
}

static int64_t key_of(const struct publication_net *publication) {
    return hash_map_pair_key(publication->base.session_id, publication->base.stream_id);
}

static void add_publication(struct sender *sender, struct publication_net *publication) {
    struct endpoint_send *endpoint = publication->endpoint;
    int result = hash_map_put(&endpoint->publications, key_of(publication), publication);
    if (result == 0) {
        result = sweep_add(&sender->sweep, &sender->publications, &sweep_items, publication);
    }
    if (result != 0) {
        post_no_memory(sender);
    }
}

static void remove_publication(struct sender *sender, struct publication_net *publication) {
    struct endpoint_send *endpoint = publication->endpoint;
    if (hash_map_get(&endpoint->publications, key_of(publication)) == publication) {
        (void)hash_map_remove(&endpoint->publications, key_of(publication));
    }
    (void)sweep_remove(&sender->sweep, &sender->publications, &sweep_items, publication);
    store_release_u8(&publication->is_released, 1);
}

static void publish_destination_count(const struct endpoint_send *endpoint) {
    counter_set_release(endpoint->destinations_counter, endpoint->tracker.count);
}

static void set_address(struct sender *sender, const struct sender_command *command) {
    struct endpoint_send *endpoint = command->endpoint;
    if (command->destination != NULL) {
        command->destination->address = command->address;
        command->destination->has_receiver_id = false;
        return;
    }
    endpoint->remote = command->address;
    const struct net *net = sender->context->io.net;
    struct tern_error error;
    if (endpoint->socket.is_connected &&
        net->connect(net->context, endpoint->socket.handle, &command->address, &error) != 0) {
        driver_context_post_error(sender->context, &error);
    }
}

static void add_destination(struct sender *sender, const struct sender_command *command) {
    struct endpoint_send *endpoint = command->endpoint;
    if (!destination_tracker_add(&endpoint->tracker, command->destination, sender->cycle.last_ns)) {
        struct tern_error error;
        (void)error_set(&error, -ENOSPC, "more than %d destinations", DESTINATIONS_MAX);
        driver_context_post_error(sender->context, &error);
    } else if (command->destination->is_group) {
        listen_to(sender, &command->destination->control);
    }
    publish_destination_count(endpoint);
}

static void remove_destination(struct sender *sender, const struct sender_command *command) {
    struct destination *destination = command->destination;
    bool was_there = destination_tracker_remove(&command->endpoint->tracker, destination);
    if (was_there && destination->is_group) {
        stop_listening_to(sender, &destination->control);
    }
    publish_destination_count(command->endpoint);
    store_release_u8(&destination->is_released, 1);
}

static void on_command(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct sender *sender = context;
    struct sender_command command;
    assert(length == sizeof command);
    memcpy(&command, payload, sizeof command);
    switch ((enum sender_command_type)type) {
    case SENDER_COMMAND_ADD_ENDPOINT:
        add_endpoint(sender, command.endpoint);
        break;
    case SENDER_COMMAND_REMOVE_ENDPOINT:
        remove_endpoint(sender, command.endpoint);
        break;
    case SENDER_COMMAND_ADD_PUBLICATION:
        add_publication(sender, command.publication);
        break;
    case SENDER_COMMAND_REMOVE_PUBLICATION:
        remove_publication(sender, command.publication);
        break;
    case SENDER_COMMAND_ADD_DESTINATION:
        add_destination(sender, &command);
        break;
    case SENDER_COMMAND_REMOVE_DESTINATION:
        remove_destination(sender, &command);
        break;
    case SENDER_COMMAND_SET_ADDRESS:
        set_address(sender, &command);
        break;
    }
}

static bool put_command(struct sender *sender, enum sender_command_type type,
                        const struct sender_command *command) {
    const struct net *net = sender->context->io.net;
    if (ring_spsc_write(&sender->commands, (int32_t)type, command, sizeof *command) != RING_OK) {
        return false;
    }
    net->wake(net->context, sender->poller);
    return true;
}

int64_t sender_free_bytes(const struct sender *sender) {
    return ring_spsc_free_bytes(&sender->commands);
}

bool sender_add_endpoint(struct sender *sender, struct endpoint_send *endpoint) {
    struct sender_command command = {.endpoint = endpoint};
    return put_command(sender, SENDER_COMMAND_ADD_ENDPOINT, &command);
}

bool sender_remove_endpoint(struct sender *sender, struct endpoint_send *endpoint) {
    struct sender_command command = {.endpoint = endpoint};
    return put_command(sender, SENDER_COMMAND_REMOVE_ENDPOINT, &command);
}

bool sender_add_publication(struct sender *sender, struct publication_net *publication) {
    struct sender_command command = {.publication = publication};
    return put_command(sender, SENDER_COMMAND_ADD_PUBLICATION, &command);
}

bool sender_remove_publication(struct sender *sender, struct publication_net *publication) {
    struct sender_command command = {.publication = publication};
    return put_command(sender, SENDER_COMMAND_REMOVE_PUBLICATION, &command);
}

bool sender_add_destination(struct sender *sender, struct endpoint_send *endpoint,
                            struct destination *destination) {
    struct sender_command command = {.endpoint = endpoint, .destination = destination};
    return put_command(sender, SENDER_COMMAND_ADD_DESTINATION, &command);
}

bool sender_remove_destination(struct sender *sender, struct endpoint_send *endpoint,
                               struct destination *destination) {
    struct sender_command command = {.endpoint = endpoint, .destination = destination};
    return put_command(sender, SENDER_COMMAND_REMOVE_DESTINATION, &command);
}

bool sender_set_address(struct sender *sender, struct endpoint_send *endpoint,
                        struct destination *destination, const union net_address *address) {
    struct sender_command command = {endpoint, NULL, destination, *address};
    return put_command(sender, SENDER_COMMAND_SET_ADDRESS, &command);
}

/* Control frames (2.10). */

struct control_frame {
    struct sender *sender;
    struct endpoint_send *endpoint;
    struct destination *group; /* whose control group it came to; NULL: to the endpoint */
    const uint8_t *data;
    uint32_t length;
    const union net_address *source;
    int64_t now_ns;
};

static struct publication_net *find_publication(const struct control_frame *frame,
                                                int32_t session_id, int32_t stream_id) {
    return hash_map_get(&frame->endpoint->publications, hash_map_pair_key(session_id, stream_id));
}

/* The status messages that come by the clock change nothing: they are no work. */
static int on_sm(const struct control_frame *frame) {
    struct endpoint_send *endpoint = frame->endpoint;
    struct driver_context *context = frame->sender->context;
    struct frame_sm sm = {0}; /* longer only with a tag, 1.8 */
    memcpy(&sm, frame->data,
           frame->length < FRAME_SM_GROUP_TAG_LENGTH ? FRAME_SM_LENGTH : FRAME_SM_GROUP_TAG_LENGTH);
    context_count(context, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED, 1);
    struct publication_net *publication = find_publication(frame, sm.session_id, sm.stream_id);
    bool is_request = (sm.common.flags & FRAME_SM_FLAG_SEND_SETUP) != 0;
    if (publication != NULL && !is_request && !publication_send_accepts_sm(publication, &sm)) {
        context_count(context, SYSTEM_COUNTER_STATUS_MESSAGES_REJECTED, 1);
        return 0;
    }
    if (frame->group != NULL) {
        store_release_i64(&frame->group->last_sm_time_ns, frame->now_ns);
    } else if (endpoint->is_mdc) {
        int32_t count = endpoint->tracker.count;
        (void)destination_tracker_on_sm(&endpoint->tracker, sm.receiver_id, frame->source,
                                        frame->now_ns);
        if (count != endpoint->tracker.count) {
            publish_destination_count(endpoint);
        }
    }
    if (publication == NULL) {
        return 0;
    }
    int64_t limit = publication->limit;
    store_release_i64(&endpoint->last_sm_time_ns, frame->now_ns);
    if (is_request) {
        publication_send_on_response_wanted(publication, frame->source);
    }
    publication_send_on_sm(publication, &sm, frame->now_ns);
    if (publication->limit != limit) {
        wake(frame->sender, publication, frame->now_ns);
    }
    return is_request || publication->limit != limit;
}

static void on_nak(const struct control_frame *frame) {
    struct frame_nak nak;
    memcpy(&nak, frame->data, sizeof nak);
    context_count(frame->sender->context, SYSTEM_COUNTER_NAKS_RECEIVED, 1);
    struct publication_net *publication = find_publication(frame, nak.session_id, nak.stream_id);
    if (publication != NULL) {
        publication_send_on_nak(publication, &nak, frame->now_ns);
    }
}

static void on_error(const struct control_frame *frame) {
    struct driver_context *context = frame->sender->context;
    struct frame_err err;
    memcpy(&err, frame->data, sizeof err);
    context_count(context, SYSTEM_COUNTER_ERROR_FRAMES_RECEIVED, 1);
    struct publication_net *publication = find_publication(frame, err.session_id, err.stream_id);
    if (publication == NULL || !publication_send_on_error(publication, err.receiver_id)) {
        return;
    }
    struct message_publication_error message = {
        .registration_id = publication->base.registration_id,
        .destination_id = -1,
        .session_id = err.session_id,
        .stream_id = err.stream_id,
        .receiver_id = err.receiver_id,
        .group_tag = (err.common.flags & FRAME_ERR_FLAG_GROUP_TAG) != 0 ? err.group_tag : -1,
        .source = *frame->source,
        .error_code = err.error_code,
        .text_length = frame_err_text_length(&err, frame->length),
    };
    const struct destination *destination =
        frame->group != NULL ? frame->group
        : frame->endpoint->is_mdc
            ? destination_tracker_find(&frame->endpoint->tracker, err.receiver_id, frame->source)
            : NULL;
    if (destination != NULL) {
        message.destination_id = destination->registration_id;
    }
    memcpy(message.text, frame->data + FRAME_ERR_LENGTH, (size_t)message.text_length);
    (void)driver_context_post(context, DRIVER_MESSAGE_PUBLICATION_ERROR, &message, sizeof message);
}

static void on_rttm(const struct control_frame *frame) {
    struct frame_rttm rttm;
    memcpy(&rttm, frame->data, sizeof rttm);
    struct publication_net *publication = find_publication(frame, rttm.session_id, rttm.stream_id);
    if (publication != NULL) {
        publication_send_on_rttm(publication, &rttm, frame->now_ns);
    }
}

static void on_rsp_setup(const struct control_frame *frame) {
    struct frame_rsp_setup setup;
    memcpy(&setup, frame->data, sizeof setup);
    const struct publication_net *publication =
        find_publication(frame, setup.session_id, setup.stream_id);
    if (publication != NULL) {
        publication_send_on_rsp_setup(publication, &setup);
    }
}

/* A status message counts as received even when its window is nonsense: who looks for the reason
 * that a stream stands still finds both figures. */
static void count_invalid(const struct control_frame *frame) {
    struct driver_context *context = frame->sender->context;
    context_count(context, SYSTEM_COUNTER_INVALID_PACKETS, 1);
    if (frame->length >= FRAME_SM_LENGTH &&
        get_u16(frame->data + offsetof(struct frame_common, type)) == FRAME_TYPE_SM) {
        context_count(context, SYSTEM_COUNTER_STATUS_MESSAGES_RECEIVED, 1);
    }
}

static int on_control_frame(const struct control_frame *frame) {
    switch (frame_validate(FRAME_ROLE_SENDER, frame->data, frame->length)) {
    case FRAME_INVALID:
        count_invalid(frame);
        return 0;
    case FRAME_IGNORED:
        return 0;
    case FRAME_VALID:
        break;
    }
    struct frame_common common;
    memcpy(&common, frame->data, sizeof common);
    switch (common.type) {
    case FRAME_TYPE_SM:
        return on_sm(frame);
    case FRAME_TYPE_NAK:
        on_nak(frame);
        break;
    case FRAME_TYPE_ERR:
        on_error(frame);
        break;
    case FRAME_TYPE_RTTM:
        on_rttm(frame);
        break;
    case FRAME_TYPE_RSP_SETUP:
        on_rsp_setup(frame);
        break;
    default:
        assert(false && "frame_validate lets no other type through");
    }
    return 1;
}

/* One datagram, or several that the kernel joined. */
static int on_buffer(struct sender *sender, const struct control_source *source,
                     const struct net_datagram *datagram, int64_t now_ns) {
    const uint8_t *data = datagram->data;
    uint32_t step = datagram->segment_length > 0 ? datagram->segment_length : datagram->length;
    int work = 0;
    for (uint32_t rest = datagram->length; rest > 0; rest -= step, data += step) {
        step = rest < step ? rest : step;
        const struct control_frame frame = {
            sender, source->endpoint, source->destination, data, step, &datagram->address, now_ns};
        work += on_control_frame(&frame);
    }
    return work;
}

static int poll_source(struct sender *sender, const struct control_source *source, int64_t now_ns) {
    const struct net *net = sender->context->io.net;
    int work = 0;
    for (int round = 0; round < SENDER_CONTROL_ROUNDS_MAX; round++) {
        int count = net->receive(net->context, source->handle, sender->control, sender->batch);
        int64_t bytes = 0;
        trace_frames(sender->context, TRACE_FRAME_RECEIVED,
                     (struct trace_frames){sender->control, count, NULL, now_ns});
        for (int i = 0; i < count; i++) {
            bytes += sender->control[i].length;
            work += on_buffer(sender, source, &sender->control[i], now_ns);
        }
        if (count < 0) {
            struct tern_error error;
            (void)error_set_errno(&error, -count, "cannot receive on a send channel");
            driver_context_post_error(sender->context, &error);
            break;
        }
        if (bytes > 0) {
            context_count(sender->context, SYSTEM_COUNTER_BYTES_RECEIVED, bytes);
        }
        if (count < sender->batch) {
            break;
        }
    }
    return work;
}

static int poll_control(struct sender *sender, int64_t now_ns) {
    const struct net *net = sender->context->io.net;
    void *sources[NET_BATCH_COUNT_MAX];
    int work = 0;
    int count = net->poller_ready(net->context, sender->poller, sources, NET_BATCH_COUNT_MAX);
    for (int i = 0; i < count; i++) {
        work += poll_source(sender, sources[i], now_ns);
    }
    sender->cycles_since_poll = 0;
    sender->next_poll_ns = now_ns + sender->context->conf->status_message_timeout_ns / 2;
    return work;
}

static void expire_destinations(struct sender *sender, int64_t now_ns) {
    sender->next_expiry_ns = now_ns + EXPIRY_INTERVAL_NS;
    for (int32_t i = 0; i < sender->endpoints.count; i++) {
        struct endpoint_send *endpoint = sender->endpoints.items[i];
        if (endpoint->is_mdc && destination_tracker_expire(&endpoint->tracker, now_ns) > 0) {
            publish_destination_count(endpoint);
        }
    }
}

void sender_begin(struct sender *sender, int64_t now_ns) {
    sweep_begin(&sender->sweep, &sender->publications, now_ns);
}

static int visit_publications(struct sender *sender, int64_t now_ns) {
    struct send_pass *pass = &sender->pass;
    pass->is_short = false;
    pass->setup_of = NULL;
    pace_renew(&pass->pace, sender->publications.count, now_ns);
    int bytes = sweep_run(&sender->sweep, &sender->publications, &sweep_items, sender, now_ns);
    transmit_queued(&pass->queue, now_ns);
    return bytes;
}

int sender_do_work(struct sender *sender, int64_t now_ns) {
    const struct driver_conf *conf = sender->context->conf;
    duty_cycle_measure(&sender->cycle, now_ns);
    int work = ring_spsc_read(&sender->commands, on_command, sender, SENDER_COMMANDS_MAX);
    if (now_ns >= sender->next_expiry_ns) {
        expire_destinations(sender, now_ns);
    }
    int bytes = visit_publications(sender, now_ns);
    if (bytes == 0 || sender->pass.is_short ||
        ++sender->cycles_since_poll >= conf->send_to_status_poll_ratio ||
        now_ns >= sender->next_poll_ns) {
        work += poll_control(sender, now_ns);
    }
    return work + bytes;
}

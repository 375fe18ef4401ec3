/* The conductor's UDP side: queues to and from the other agents, names, images, and what is done
 * each cycle and at each timer. Commands stand in network_publications.c and
 * network_subscriptions.c.
 *
 * Hand-overs to the other agents go through rings of bounded size. A client command is only taken
 * while all of them have room (network_has_room), hence the hand-overs of one command cannot fail;
 * what timers cause is retried by the nouns themselves.
 */
#include "driverd/network.h"

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/futex.h"
#include "driverd/conductor.h"
#include "driverd/driver_message.h"
#include "driverd/gossip_socket.h"
#include "driverd/image.h"
#include "driverd/linking.h"
#include "driverd/log_agent.h"
#include "driverd/publication_net.h"
#include "driverd/receiver.h"
#include "driverd/resolver.h"
#include "driverd/response_channel.h"
#include "driverd/sender.h"
#include "driverd/subscription.h"

#define MESSAGES_PER_CYCLE_MAX 16

/* The log file of an image is being made: what to go on with. */
struct image_request {
    struct image_request *next;
    const struct log_file *file;
    struct message_create_image setup;
};

int network_init(struct conductor *conductor, struct tern_error *error) {
    struct driver_context *context = conductor->context;
    int result = endpoint_send_table_init(&conductor->endpoints_send, context, conductor->sender,
                                          conductor->resolver);
    if (result == 0) {
        result = endpoint_recv_table_init(&conductor->endpoints_recv, context, conductor->receiver,
                                          conductor->resolver);
    }
    return result == 0 ? 0 : error_set(error, result, "cannot make the tables of endpoints");
}

void network_close(struct conductor *conductor) {
    struct pointer_list *publications = &conductor->publications_net;
    struct pointer_list *images = &conductor->images;
    for (int32_t i = 0; i < publications->count; i++) {
        publication_net_destroy(publications->items[i], &conductor->endpoints_send);
    }
    for (int32_t i = 0; i < images->count; i++) {
        image_destroy(images->items[i], &conductor->endpoints_recv);
    }
    pointer_list_close(publications);
    pointer_list_close(images);
    while (conductor->image_requests != NULL) {
        struct image_request *request = conductor->image_requests;
        conductor->image_requests = request->next;
        free(request);
    }
    endpoint_send_table_close(&conductor->endpoints_send);
    endpoint_recv_table_close(&conductor->endpoints_recv);
}

bool network_has_room(const struct conductor *conductor) {
    bool has_sender_room = sender_free_bytes(conductor->sender) >= DRIVER_QUEUE_RESERVE;
    bool has_receiver_room = receiver_free_bytes(conductor->receiver) >= DRIVER_QUEUE_RESERVE;
    if (!has_sender_room) {
        context_count(conductor->context, SYSTEM_COUNTER_SENDER_PROXY_FAILS, 1);
    }
    if (!has_receiver_room) {
        context_count(conductor->context, SYSTEM_COUNTER_RECEIVER_PROXY_FAILS, 1);
    }
    return has_sender_room && has_receiver_room;
}

bool network_submit_channel(struct conductor *conductor, struct udp_channel *channel,
                            int64_t request_id) {
    const struct resolve_request request = {
        .kind = RESOLVE_CHANNEL,
        .id = request_id,
        .time_ns = conductor->context->now_ns,
        .channel = channel,
    };
    if (resolver_submit(conductor->resolver, &request)) {
        return true;
    }
    context_count(conductor->context, SYSTEM_COUNTER_RESOURCE_PROXY_FAILS, 1);
    return false;
}

bool network_is_closing(const struct conductor *conductor) {
    return endpoint_send_table_is_closing(&conductor->endpoints_send) ||
           endpoint_recv_table_is_closing(&conductor->endpoints_recv);
}

int network_check_port(struct conductor *conductor, const struct udp_channel *channel, int result,
                       struct tern_error *error) {
    if (result != -EADDRINUSE) {
        return result;
    }
    endpoint_recv_table_vacate(&conductor->endpoints_recv, &channel->local);
    if (endpoint_send_table_is_leaving(&conductor->endpoints_send, &channel->local) ||
        endpoint_recv_table_is_leaving(&conductor->endpoints_recv, &channel->local)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the port is just being given up, try again: %.120s", channel->text);
    }
    return result;
}

/* -- images -- */

static void list_image(struct conductor *conductor, struct image *image);

/* Optionally only of those that say something of `group`. */
static struct subscription *find_oldest(const struct conductor *conductor,
                                        const struct endpoint_recv *endpoint,
                                        const struct message_create_image *setup, bool has_group) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, setup->stream_id);
    struct subscription *oldest = NULL;
    for (; node != NULL; node = stream_index_next(node)) {
        struct subscription *subscription = CONTAINER_OF(node, struct subscription, stream_node);
        if (subscription->kind == SUBSCRIPTION_NET && subscription->endpoint == endpoint &&
            subscription_wants(subscription, setup->stream_id, setup->session_id) &&
            (!has_group || subscription->params.has_group) &&
            (oldest == NULL || subscription->registration_id < oldest->registration_id)) {
            oldest = subscription;
        }
    }
    return oldest;
}

static enum group_consideration group_of(const struct conductor *conductor,
                                         const struct endpoint_recv *endpoint,
                                         const struct message_create_image *setup) {
    const struct subscription *subscription = find_oldest(conductor, endpoint, setup, true);
    return subscription != NULL
               ? subscription->params.group
               : (enum group_consideration)conductor->context->conf->group_consideration;
}

static void disable_older(struct conductor *conductor, const struct image *image) {
    const struct stream_node *node =
        stream_index_first(&conductor->images_by_stream, image->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct image *older = CONTAINER_OF(node, struct image, stream_node);
        if (older->endpoint == image->endpoint && older->session_id == image->session_id &&
            older->state != IMAGE_STATE_ACTIVE) {
            image_disable_status_messages(older);
        }
    }
}

/* Takes the file. */
static int create_image(struct conductor *conductor, struct endpoint_recv *endpoint,
                        const struct message_create_image *setup, struct log_file *file,
                        struct tern_error *error) {
    const struct destination_recv *destination =
        endpoint_recv_destination(endpoint, setup->destination_id);
    const struct image_spec spec = {
        .receiver = conductor->receiver,
        .endpoint = endpoint,
        .destination_index = destination == NULL ? -1 : destination->index,
        .setup = setup,
        .subscription = find_oldest(conductor, endpoint, setup, false),
        .group = group_of(conductor, endpoint, setup),
        .file = file,
    };
    if (spec.subscription == NULL || destination == NULL) {
        log_agent_discard(conductor->context->log_agent, file);
        return -ENOENT; /* it went while the file was being made */
    }
    if (pointer_list_reserve(&conductor->images) < 0) {
        log_agent_discard(conductor->context->log_agent, file);
        return error_set(error, -ENOMEM, "no memory for an image");
    }
    struct image *image;
    int result = image_create(&image, conductor->context, &spec, error);
    if (result < 0) {
        return result;
    }
    disable_older(conductor, image);
    list_image(conductor, image);
    stream_index_add(&conductor->images_by_stream, &image->stream_node, image->stream_id);
    linking_attach_image(conductor, image);
    bool was_added = receiver_add_image(conductor->receiver, image);
    assert(was_added); /* the room was looked at before */
    (void)was_added;
    return 0;
}

static void refuse_image(struct conductor *conductor, struct endpoint_recv *endpoint,
                         const struct message_create_image *setup, const struct tern_error *error) {
    if (error->code != 0) {
        driver_context_log_error(conductor->context, error);
    }
    (void)receiver_image_refused(conductor->receiver, endpoint, setup->stream_id,
                                 setup->session_id);
}

/* The receiver asks again when its interest went and came back meanwhile: one answer is enough. */
static bool is_under_way(const struct conductor *conductor, const struct endpoint_recv *endpoint,
                         const struct message_create_image *setup) {
    for (const struct image_request *request = conductor->image_requests; request != NULL;
         request = request->next) {
        if (request->setup.endpoint_id == setup->endpoint_id &&
            request->setup.stream_id == setup->stream_id &&
            request->setup.session_id == setup->session_id) {
            return true;
        }
    }
    const struct stream_node *node =
        stream_index_first(&conductor->images_by_stream, setup->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        const struct image *image = CONTAINER_OF(node, struct image, stream_node);
        if (image->endpoint == endpoint && image->session_id == setup->session_id &&
            image->state == IMAGE_STATE_ACTIVE && image->subscribers.count > 0) {
            return true;
        }
    }
    return false;
}

/* 0: its log is being made. COMMAND_BUSY: not yet. */
static int request_image(struct conductor *conductor, struct endpoint_recv *endpoint,
                         const struct message_create_image *setup, struct tern_error *error) {
    struct driver_context *context = conductor->context;
    const struct subscription *subscription = find_oldest(conductor, endpoint, setup, false);
    if (subscription == NULL) {
        return -ENOENT; /* it went while the SETUP was on its way */
    }
    int result = image_check_setup(endpoint, setup, error);
    if (result < 0) {
        return result;
    }
    const struct log_file_spec spec = {
        .folder = LOG_FILE_IMAGE,
        .id = driver_context_next_id(context),
        .term_length = setup->term_length,
        .is_sparse = subscription->params.is_sparse,
    };
    struct image_request *request = malloc(sizeof *request);
    struct log_file *file = log_file_allocate(context, &spec);
    if (request == NULL || file == NULL) {
        result = error_set(error, -ENOMEM, "no memory for an image");
    } else if (!log_agent_request(context->log_agent, file)) {
        result = COMMAND_BUSY;
    }
    if (result != 0) {
        free(file);
        free(request);
        return result;
    }
    *request = (struct image_request){conductor->image_requests, file, *setup};
    conductor->image_requests = request;
    return 0;
}

static enum ring_action on_create_image(struct conductor *conductor, const uint8_t *payload,
                                        int32_t length) {
    struct message_create_image setup;
    assert(length == sizeof setup);
    memcpy(&setup, payload, sizeof setup);
    struct endpoint_recv *endpoint =
        endpoint_recv_by_id(&conductor->endpoints_recv, setup.endpoint_id);
    if (endpoint == NULL || is_under_way(conductor, endpoint, &setup)) {
        return RING_CONTINUE;
    }
    struct tern_error error = {0};
    int result = request_image(conductor, endpoint, &setup, &error);
    if (result < 0) {
        refuse_image(conductor, endpoint, &setup, &error);
    }
    return result == COMMAND_BUSY ? RING_ABORT : RING_CONTINUE;
}

static struct image_request *take_image_request(struct conductor *conductor,
                                                const struct log_file *file) {
    struct image_request **link = &conductor->image_requests;
    while (*link != NULL && (*link)->file != file) {
        link = &(*link)->next;
    }
    struct image_request *request = *link;
    assert(request != NULL);
    *link = request->next;
    return request;
}

void network_on_image_log(struct conductor *conductor, struct log_file *file) {
    struct image_request *request = take_image_request(conductor, file);
    const struct message_create_image *setup = &request->setup;
    struct endpoint_recv *endpoint =
        endpoint_recv_by_id(&conductor->endpoints_recv, setup->endpoint_id);
    struct tern_error error = file->result < 0 ? file->error : (struct tern_error){0};
    int result = file->result;
    if (result == 0 && endpoint != NULL) {
        result = create_image(conductor, endpoint, setup, file, &error);
    } else {
        log_agent_discard(conductor->context->log_agent, file);
    }
    if (result < 0 && endpoint != NULL) {
        refuse_image(conductor, endpoint, setup, &error);
    }
    free(request);
}

static void put_address(struct response *response, const union net_address *address) {
    if (address->base.sa_family == AF_INET) {
        response->address_type = 1;
        memcpy(response->address, &address->v4.sin_addr, sizeof address->v4.sin_addr);
    } else {
        response->address_type = 2;
        memcpy(response->address, &address->v6.sin6_addr, sizeof address->v6.sin6_addr);
    }
    response->address_port = net_address_port(address);
}

static void on_publication_error(struct conductor *conductor, const uint8_t *payload,
                                 int32_t length) {
    struct message_publication_error message;
    assert(length == sizeof message);
    memcpy(&message, payload, sizeof message);
    struct response response = {
        .type = RESPONSE_PUBLICATION_ERROR,
        .correlation_id = message.registration_id,
        .registration_id = message.destination_id,
        .session_id = message.session_id,
        .stream_id = message.stream_id,
        .receiver_id = message.receiver_id,
        .group_tag = message.group_tag,
        .error_code = message.error_code,
        .text = {message.text, message.text_length},
    };
    put_address(&response, &message.source);
    driver_context_respond(conductor->context, &response);
    struct tern_error error;
    error_set(&error, DRIVER_ERROR(DRIVER_ERROR_IMAGE_REJECTED),
              "error frame for session_id=%d stream_id=%d from receiver_id=%lld: (%d) %.*s",
              message.session_id, message.stream_id, (long long)message.receiver_id,
              message.error_code, min_i32(message.text_length, 120), message.text);
    driver_context_log_error(conductor->context, &error);
}

static void on_error(struct conductor *conductor, const uint8_t *payload, int32_t length) {
    struct message_error message;
    assert(length == sizeof message);
    memcpy(&message, payload, sizeof message);
    struct tern_error error;
    error_set(&error, message.code, "%.*s", (int)sizeof message.text - 1, message.text);
    driver_context_log_error(conductor->context, &error);
}

static void on_response_connected(struct conductor *conductor, const uint8_t *payload,
                                  int32_t length) {
    struct message_response_connected message;
    assert(length == sizeof message);
    memcpy(&message, payload, sizeof message);
    const struct publication *publication =
        hash_map_get(&conductor->publications_by_id, message.registration_id);
    if (publication != NULL) {
        response_channel_on_settled(conductor, publication);
    }
}

static void on_response_session(struct conductor *conductor, const uint8_t *payload,
                                int32_t length) {
    struct message_response_session message;
    assert(length == sizeof message);
    memcpy(&message, payload, sizeof message);
    response_channel_on_session(conductor, message.correlation_id, message.session_id);
}

static enum ring_action on_message(void *context, int32_t type, const uint8_t *payload,
                                   int32_t length) {
    struct conductor *conductor = context;
    if (!network_has_room(conductor)) {
        return RING_ABORT;
    }
    switch ((enum driver_message_type)type) {
    case DRIVER_MESSAGE_CREATE_IMAGE:
        return on_create_image(conductor, payload, length);
    case DRIVER_MESSAGE_PUBLICATION_ERROR:
        on_publication_error(conductor, payload, length);
        break;
    case DRIVER_MESSAGE_ERROR:
        on_error(conductor, payload, length);
        break;
    case DRIVER_MESSAGE_RESPONSE_CONNECTED:
        on_response_connected(conductor, payload, length);
        break;
    case DRIVER_MESSAGE_RESPONSE_SESSION:
        on_response_session(conductor, payload, length);
        break;
    }
    return RING_CONTINUE;
}

/* -- names -- */

static void on_channel_resolved(struct conductor *conductor, const struct resolve_result *result) {
    struct pending_client *client = pending_commands_by_request(&conductor->pending, result->id);
    assert(client != NULL);
    assert(client->is_waiting);
    client->is_waiting = false;
    client->is_naming = false;
    client->is_resolved = true;
    client->error.code = 0;
    if (result->code != 0) {
        error_set(&client->error, result->code, "%.*s", TERN_ERROR_TEXT_MAX - 1, result->text);
    }
}

static void on_resolved(void *context, const struct resolve_result *result) {
    struct conductor *conductor = context;
    const struct driver_context *shared = conductor->context;
    int64_t elapsed_ns = shared->now_ns - result->time_ns;
    counter_propose_max(shared->system_counters[SYSTEM_COUNTER_NAME_RESOLVER_MAX_TIME], elapsed_ns);
    if (elapsed_ns > shared->conf->name_resolver_threshold_ns) {
        context_count(shared, SYSTEM_COUNTER_NAME_RESOLVER_TIME_EXCEEDED, 1);
    }
    switch ((enum resolve_kind)result->kind) {
    case RESOLVE_CHANNEL:
        on_channel_resolved(conductor, result);
        break;
    case RESOLVE_SEND_ENDPOINT:
    case RESOLVE_DESTINATION:
        endpoint_send_table_on_resolved(&conductor->endpoints_send, result);
        break;
    case RESOLVE_RECV_CONTROL:
        endpoint_recv_table_on_resolved(&conductor->endpoints_recv, result);
        break;
    case RESOLVE_BOOTSTRAP:
        gossip_socket_on_resolved(conductor->gossip, result);
        break;
    }
}

static int check_names(struct conductor *conductor, int64_t now_ns) {
    int64_t interval_ns = conductor->context->conf->reresolution_check_interval_ns;
    if (interval_ns == 0 || now_ns < conductor->reresolution_deadline_ns) {
        return 0;
    }
    conductor->reresolution_deadline_ns = now_ns + interval_ns;
    endpoint_send_table_check_names(&conductor->endpoints_send, now_ns);
    endpoint_recv_table_check_names(&conductor->endpoints_recv, now_ns);
    return 0;
}

/* -- duty cycle -- */

static enum sweep_answer settle_image(void *context, void *item) {
    (void)context;
    return image_settle(item);
}

static enum sweep_answer settle_publication(void *context, void *item) {
    (void)context;
    return publication_net_settle(item);
}

static int visit_image(void *context, void *item, int64_t now_ns) {
    (void)context;
    return image_track_rebuild(item, now_ns);
}

static int visit_publication(void *context, void *item, int64_t now_ns) {
    (void)context;
    (void)now_ns;
    return publication_net_update_limit(item);
}

static const struct sweep_items image_items = {offsetof(struct image, entry), visit_image,
                                               settle_image};
static const struct sweep_items publication_items = {offsetof(struct publication_net, entry),
                                                     visit_publication, settle_publication};

static void list_image(struct conductor *conductor, struct image *image) {
    int result = sweep_add(&conductor->image_sweep, &conductor->images, &image_items, image);
    assert(result == 0);
    (void)result;
}

void network_list_publication(struct conductor *conductor, struct publication_net *publication) {
    int result = sweep_add(&conductor->net_sweep, &conductor->publications_net, &publication_items,
                           publication);
    assert(result == 0);
    (void)result;
}

void network_wake_publication(struct conductor *conductor, struct publication_net *publication) {
    if (sweep_has(&conductor->publications_net, &publication->entry, publication)) {
        sweep_promote(&conductor->net_sweep, &conductor->publications_net, &publication_items,
                      publication, conductor->context->now_ns);
    }
}

void network_wake_image(struct conductor *conductor, struct image *image) {
    if (sweep_has(&conductor->images, &image->entry, image)) {
        sweep_promote(&conductor->image_sweep, &conductor->images, &image_items, image,
                      conductor->context->now_ns);
    }
}

/* What sender and receiver have moved while it was not looked at. */
static void take_stirred(struct conductor *conductor) {
    struct driver_context *context = conductor->context;
    struct watch *watch = watch_take_all(&context->stirred_publications);
    while (watch != NULL) {
        struct publication_net *publication = CONTAINER_OF(watch, struct publication_net, watch);
        watch = watch_end(watch);
        network_wake_publication(conductor, publication);
    }
    watch = watch_take_all(&context->stirred_images);
    while (watch != NULL) {
        struct image *image = CONTAINER_OF(watch, struct image, watch);
        watch = watch_end(watch);
        network_wake_image(conductor, image);
    }
}

/* Who moves things is another thread from now on. Without barriers of all threads everything has to
 * be looked at. */
void network_on_threads_apart(struct conductor *conductor) {
    bool has_barrier = futex_barrier_register() && futex_barrier();
    conductor->context->is_conductor_apart = true;
    conductor->net_sweep.may_sleep = has_barrier;
    conductor->net_sweep.needs_barrier = true;
    conductor->image_sweep.may_sleep = has_barrier;
    conductor->image_sweep.needs_barrier = true;
}

int network_do_work(struct conductor *conductor, int64_t now_ns) {
    int work = ring_mpsc_controlled_read(&conductor->context->to_conductor, on_message, conductor,
                                         MESSAGES_PER_CYCLE_MAX);
    work += resolver_poll(conductor->resolver, on_resolved, conductor);
    work += conductor->gossip == NULL ? 0 : gossip_socket_do_work(conductor->gossip, now_ns);
    work += check_names(conductor, now_ns);
    work += endpoint_send_table_do_work(&conductor->endpoints_send);
    work += endpoint_recv_table_do_work(&conductor->endpoints_recv);
    take_stirred(conductor);
    work += sweep_run(&conductor->image_sweep, &conductor->images, &image_items, NULL, now_ns);
    work += sweep_run(&conductor->net_sweep, &conductor->publications_net, &publication_items, NULL,
                      now_ns);
    return work;
}

static void check_publications(struct conductor *conductor, int64_t now_ns) {
    struct pointer_list *list = &conductor->publications_net;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct publication_net *publication = list->items[i];
        publication_net_on_timer(publication, now_ns);
        if (publication_net_is_done(publication)) {
            sweep_remove_at(&conductor->net_sweep, list, &publication_items, i);
            conductor_destroy_publication(conductor, &publication->base);
        }
    }
}

void network_on_timer(struct conductor *conductor, int64_t now_ns) {
    check_publications(conductor, now_ns);
    struct pointer_list *list = &conductor->images;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct image *image = list->items[i];
        image_on_timer(image, &conductor->endpoints_recv, now_ns);
        if (image_is_done(image)) {
            sweep_remove_at(&conductor->image_sweep, list, &image_items, i);
            stream_index_remove(&conductor->images_by_stream, &image->stream_node);
            image_destroy(image, &conductor->endpoints_recv);
        }
    }
    sweep_wake_all(&conductor->net_sweep);
    sweep_wake_all(&conductor->image_sweep);
}

bool network_reject_image(struct conductor *conductor, int64_t image_id, struct text_slice reason) {
    const struct pointer_list *list = &conductor->images;
    for (int32_t i = 0; i < list->count; i++) {
        struct image *image = list->items[i];
        if (image->id == image_id && image->state == IMAGE_STATE_ACTIVE) {
            return receiver_reject_image(conductor->receiver, image, reason.text, reason.length);
        }
    }
    return false;
}

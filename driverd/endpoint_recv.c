/* Receive channel endpoints (media-driver.md 3.1, 5.3, 5.5, 5.7, 5.9). The same life as that of
 * send endpoints: acquired, handed over, released by the last subscription or image, taken back
 * from the receiver, freed. Destinations of manual endpoints live the same way within it; those of
 * an endpoint that ends go with it.
 *
 * The receiver's messages name an endpoint by its id: when such a message is read the endpoint may
 * be gone.
 */
#include "driverd/endpoint_recv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/uri.h"
#include "driverd/driver_context.h"
#include "driverd/receiver.h"
#include "driverd/resolver.h"

#define SILENCE_TIMEOUT_NS (5 * NS_PER_S)

int endpoint_recv_table_init(struct endpoint_recv_table *table, struct driver_context *context,
                             struct receiver *receiver, struct resolver *resolver) {
    *table = (struct endpoint_recv_table){
        .context = context,
        .receiver = receiver,
        .resolver = resolver,
        .next_id = 1,
        .next_receiver_id = (int64_t)random_u64(context->io.random),
    };
    uint16_t low;
    uint16_t high;
    int result = driver_conf_port_range(context->conf->receiver_port_range, &low, &high, NULL);
    if (result == 0) {
        port_range_init(&table->ports, low, high);
    }
    return result;
}

static void destroy_destination(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                                int32_t index) {
    struct destination_recv *destination = endpoint->destinations[index];
    if (destination->is_removing) {
        table->removing_count--;
        endpoint->removing_count--;
    }
    if (destination->channel != endpoint->channel) {
        udp_channel_destroy(destination->channel);
    }
    endpoint->destinations[index] = NULL;
    destination_recv_destroy(destination, &table->ports);
}

static void destroy(struct endpoint_recv_table *table, struct endpoint_recv *endpoint) {
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        if (endpoint->destinations[i] != NULL) {
            destroy_destination(table, endpoint, i);
        }
    }
    if (endpoint->status_counter_id >= 0) {
        driver_context_free_counter(table->context, &endpoint->status_counter_id);
    }
    dispatcher_close(&endpoint->dispatcher);
    free(endpoint);
}

static void destroy_with_channel(struct endpoint_recv_table *table,
                                 struct endpoint_recv *endpoint) {
    struct udp_channel *channel = endpoint->channel;
    destroy(table, endpoint);
    udp_channel_destroy(channel);
}

void endpoint_recv_table_close(struct endpoint_recv_table *table) {
    for (int32_t i = 0; i < table->count; i++) {
        destroy_with_channel(table, table->endpoints[i]);
    }
    free(table->endpoints);
    *table = (struct endpoint_recv_table){0};
}

static int find(const struct endpoint_recv_table *table, const struct udp_channel *channel,
                struct endpoint_recv **found, struct tern_error *error) {
    *found = NULL;
    for (int32_t i = 0; i < table->count && *found == NULL; i++) {
        if (table->endpoints[i]->is_vacated) {
            continue;
        }
        int match = udp_channel_match(table->endpoints[i]->channel, channel, error);
        if (match < 0) {
            return match;
        }
        *found = match > 0 ? table->endpoints[i] : NULL;
    }
    if (*found == NULL && udp_channel_is_tag_reference(channel) && !udp_channel_is_mdc(channel)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "no subscription channel has the tag %lld", (long long)channel->tag);
    }
    if (*found != NULL && (*found)->state != ENDPOINT_STATE_ACTIVE) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the receive channel is being closed, try again: %.120s", channel->text);
    }
    if (*found == NULL) {
        return 0;
    }
    if (channel->has_group_tag &&
        (!(*found)->has_group_tag || (*found)->group_tag != channel->group_tag)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "gtag=%lld clashes with the channel that is open: %.120s",
                         (long long)channel->group_tag, (*found)->channel->text);
    }
    return endpoint_socket_match_options((*found)->channel, channel, error);
}

static int check_window(const struct driver_context *context, const struct udp_channel *channel,
                        int32_t *window_bytes, struct tern_error *error) {
    int32_t rcvbuf_bytes = endpoint_rcvbuf_bytes(context, channel);
    *window_bytes =
        channel->rcv_wnd_bytes > 0 ? channel->rcv_wnd_bytes : context->conf->initial_window_length;
    if (*window_bytes > rcvbuf_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "rcv-wnd=%d is more than so-rcvbuf=%d: %.120s", *window_bytes,
                         rcvbuf_bytes, channel->text);
    }
    return 0;
}

static void set_group_tag(struct endpoint_recv *endpoint, const struct driver_context *context) {
    const char *configured = context->conf->receiver_group_tag;
    endpoint->has_group_tag = endpoint->channel->has_group_tag;
    endpoint->group_tag = endpoint->channel->group_tag;
    if (!endpoint->has_group_tag && configured[0] != '\0') {
        endpoint->has_group_tag = parse_i64(configured, &endpoint->group_tag) == 0;
    }
}

static int reserve(struct endpoint_recv_table *table, struct tern_error *error) {
    if (table->count == table->capacity) {
        int32_t capacity = max_i32(16, table->capacity * 2);
        void *bigger = realloc(table->endpoints, (size_t)capacity * sizeof *table->endpoints);
        if (bigger == NULL) {
            return error_set_errno(error, ENOMEM, "cannot add a receive endpoint");
        }
        table->endpoints = bigger;
        table->capacity = capacity;
    }
    return 0;
}

/* Opened and in its place; the receiver does not know of it yet. */
static int open_destination(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                            struct udp_channel *channel, struct destination_recv **opened,
                            struct tern_error *error) {
    struct endpoint_socket_params params = {.channel = channel,
                                            .options = endpoint->channel,
                                            .ports = &table->ports,
                                            .registration_id = endpoint->registration_id};
    int32_t index = 0;
    while (index < ENDPOINT_DESTINATIONS_MAX && endpoint->destinations[index] != NULL) {
        index++;
    }
    if (index == ENDPOINT_DESTINATIONS_MAX) {
        int code = endpoint->removing_count > 0 ? DRIVER_ERROR_TEMPORARILY_UNAVAILABLE
                                                : DRIVER_ERROR_GENERIC;
        return error_set(error, DRIVER_ERROR(code),
                         "a subscription has at most %d destinations: %.120s",
                         ENDPOINT_DESTINATIONS_MAX, channel->text);
    }
    struct destination_recv *destination;
    int result = destination_recv_create(&destination, table->context, &params, error);
    if (result != 0) {
        return result;
    }
    if (endpoint->status_counter_id < 0) { /* its label wants the address */
        result = endpoint_status_open(&endpoint->status_counter_id, table->context, &params,
                                      &destination->socket.bound, error);
    }
    if (result == 0) {
        result = endpoint_socket_announce(&destination->socket, table->context, &params,
                                          endpoint->status_counter_id, error);
    }
    if (result != 0) {
        destination_recv_destroy(destination, &table->ports);
        return result;
    }
    destination->id = table->next_id++;
    destination->channel = channel;
    destination->endpoint = endpoint;
    destination->index = index;
    endpoint->destinations[index] = destination;
    *opened = destination;
    return 0;
}

static int open_manual(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                       struct tern_error *error) {
    const struct endpoint_socket_params params = {.channel = endpoint->channel,
                                                  .registration_id = endpoint->registration_id};
    return endpoint_status_open(&endpoint->status_counter_id, table->context, &params, NULL, error);
}

static int open_ordinary(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                         struct tern_error *error) {
    struct destination_recv *destination;
    int result = open_destination(table, endpoint, endpoint->channel, &destination, error);
    if (result == 0 && !receiver_add_destination(table->receiver, destination)) {
        result = error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                           "the receiver's command queue is full, try again");
    }
    return result;
}

static int create(struct endpoint_recv_table *table, struct udp_channel *channel,
                  int64_t registration_id, struct endpoint_recv **made, struct tern_error *error) {
    int32_t window_bytes;
    int result = check_window(table->context, channel, &window_bytes, error);
    result = result == 0 ? reserve(table, error) : result;
    if (result != 0) {
        return result;
    }
    struct endpoint_recv *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make a receive endpoint");
    }
    *endpoint = (struct endpoint_recv){
        .id = table->next_id++,
        .registration_id = registration_id,
        .channel = channel,
        .window_bytes = window_bytes,
        .rcvbuf_bytes = endpoint_rcvbuf_bytes(table->context, channel),
        .status_counter_id = COUNTER_NULL_ID,
        .is_manual = channel->control_mode == CONTROL_MODE_MANUAL,
        .receiver_id = table->next_receiver_id,
    };
    set_group_tag(endpoint, table->context);
    dispatcher_init(&endpoint->dispatcher, table->context->conf->stream_session_limit);
    result = endpoint->is_manual ? open_manual(table, endpoint, error)
                                 : open_ordinary(table, endpoint, error);
    if (result != 0) {
        destroy(table, endpoint); /* but for the channel, which is still the caller's */
        return result;
    }
    endpoint_status_set(table->context, endpoint->status_counter_id, CHANNEL_STATUS_ACTIVE);
    table->endpoints[table->count++] = endpoint;
    table->next_receiver_id = (int64_t)((uint64_t)table->next_receiver_id + 1);
    *made = endpoint;
    return 0;
}

/* A later subscription asks for arrival times (media-rcv-ts-offset) that the first did not want. */
static int note_arrivals(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                         const struct udp_channel *channel, struct tern_error *error) {
    const struct net *net = table->context->io.net;
    struct timestamp_offsets *offsets = &endpoint->channel->timestamps;
    if (channel->timestamps.media_receive == TIMESTAMP_NONE ||
        offsets->media_receive != TIMESTAMP_NONE) {
        return 0;
    }
    int result = 0;
    for (int32_t i = 0; result == 0 && i < ENDPOINT_DESTINATIONS_MAX; i++) {
        const struct destination_recv *destination = endpoint->destinations[i];
        if (destination != NULL && !destination->is_removing) {
            result = net->note_arrivals(net->context, destination->socket.handle, error);
        }
    }
    if (result == 0) { /* of sockets that are opened from now on, too */
        offsets->media_receive = channel->timestamps.media_receive;
    }
    return result;
}

int endpoint_recv_acquire(struct endpoint_recv_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_recv **endpoint,
                          struct tern_error *error) {
    assert(channel->role == UDP_CHANNEL_SUBSCRIPTION);
    struct endpoint_recv *found;
    int result = find(table, channel, &found, error);
    if (result != 0) {
        return result;
    }
    bool is_new = found == NULL;
    result = is_new ? create(table, channel, registration_id, &found, error)
                    : note_arrivals(table, found, channel, error);
    if (result != 0) {
        return result;
    }
    if (!is_new) {
        udp_channel_destroy(channel);
    }
    endpoint_recv_reference(found);
    found->subscription_count++;
    *endpoint = found;
    return 0;
}

struct endpoint_recv *endpoint_recv_by_id(const struct endpoint_recv_table *table, int64_t id) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_recv *endpoint = table->endpoints[i];
        if (endpoint->id == id && endpoint->state == ENDPOINT_STATE_ACTIVE) {
            return endpoint;
        }
    }
    return NULL;
}

void endpoint_recv_reference(struct endpoint_recv *endpoint) {
    assert(endpoint->state == ENDPOINT_STATE_ACTIVE);
    endpoint->reference_count++;
}

void endpoint_recv_release(struct endpoint_recv_table *table, struct endpoint_recv *endpoint) {
    assert(endpoint->state == ENDPOINT_STATE_ACTIVE);
    assert(endpoint->reference_count > 0);
    if (--endpoint->reference_count > 0) {
        return;
    }
    endpoint->state = ENDPOINT_STATE_CLOSING;
    endpoint_status_set(table->context, endpoint->status_counter_id, CHANNEL_STATUS_CLOSING);
    table->closing_count++;
    endpoint->is_removed = receiver_remove_endpoint(table->receiver, endpoint);
}

void endpoint_recv_unsubscribe(struct endpoint_recv_table *table, struct endpoint_recv *endpoint) {
    assert(endpoint->subscription_count > 0);
    endpoint->subscription_count--;
    endpoint_recv_release(table, endpoint);
}

static int check_destination_window(const struct endpoint_recv *endpoint,
                                    const struct udp_channel *channel, struct tern_error *error) {
    if (channel->rcv_wnd_bytes > 0 && channel->rcv_wnd_bytes != endpoint->window_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "rcv-wnd=%d of a destination clashes with %d of its subscription: %.100s",
                         channel->rcv_wnd_bytes, endpoint->window_bytes, channel->text);
    }
    if (channel->so_rcvbuf_bytes > 0 && channel->so_rcvbuf_bytes < endpoint->window_bytes) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "so-rcvbuf=%d of a destination is less than the window %d: %.100s",
                         channel->so_rcvbuf_bytes, endpoint->window_bytes, channel->text);
    }
    return 0;
}

int endpoint_recv_add_destination(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                                  struct udp_channel *channel, struct tern_error *error) {
    assert(endpoint->is_manual);
    assert(channel->role == UDP_CHANNEL_RECEIVE_DESTINATION);
    struct destination_recv *destination;
    int result = check_destination_window(endpoint, channel, error);
    result = result == 0 ? open_destination(table, endpoint, channel, &destination, error) : result;
    if (result != 0) {
        return result;
    }
    if (!receiver_add_destination(table->receiver, destination)) {
        destination->channel = endpoint->channel; /* the caller's goes on being its own */
        destroy_destination(table, endpoint, destination->index);
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the receiver's command queue is full, try again");
    }
    return 0;
}

static struct destination_recv *find_destination(const struct endpoint_recv *endpoint,
                                                 const struct udp_channel *channel) {
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        struct destination_recv *destination = endpoint->destinations[i];
        if (destination != NULL && !destination->is_removing &&
            strcmp(destination->channel->canonical, channel->canonical) == 0) {
            return destination;
        }
    }
    return NULL;
}

static bool start_removing(struct endpoint_recv_table *table,
                           struct destination_recv *destination) {
    if (!receiver_remove_destination(table->receiver, destination)) {
        return false;
    }
    destination->is_removing = true;
    destination->endpoint->removing_count++;
    table->removing_count++;
    return true;
}

int endpoint_recv_remove_destination(struct endpoint_recv_table *table,
                                     struct endpoint_recv *endpoint,
                                     const struct udp_channel *channel, struct tern_error *error) {
    assert(endpoint->is_manual);
    struct destination_recv *destination = find_destination(endpoint, channel);
    if (destination == NULL) {
        return 0;
    }
    if (!start_removing(table, destination)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the receiver's command queue is full, try again");
    }
    return 0;
}

bool endpoint_recv_table_is_closing(const struct endpoint_recv_table *table) {
    return table->closing_count > 0 || table->removing_count > 0;
}

static struct destination_recv *find_in_way(const struct endpoint_recv *endpoint,
                                            const union net_address *address) {
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        struct destination_recv *destination = endpoint->destinations[i];
        if (destination != NULL && endpoint_socket_is_in_way(&destination->socket.bound, address)) {
            return destination;
        }
    }
    return NULL;
}

bool endpoint_recv_table_is_leaving(const struct endpoint_recv_table *table,
                                    const union net_address *address) {
    for (int32_t i = 0; i < table->count; i++) {
        const struct endpoint_recv *endpoint = table->endpoints[i];
        const struct destination_recv *destination = find_in_way(endpoint, address);
        if (destination != NULL &&
            (endpoint->state == ENDPOINT_STATE_CLOSING || destination->is_removing)) {
            return true;
        }
    }
    return false;
}

void endpoint_recv_table_vacate(struct endpoint_recv_table *table,
                                const union net_address *address) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_recv *endpoint = table->endpoints[i];
        struct destination_recv *destination = find_in_way(endpoint, address);
        if (destination != NULL && endpoint->state == ENDPOINT_STATE_ACTIVE &&
            endpoint->subscription_count == 0 && !destination->is_removing &&
            start_removing(table, destination)) {
            endpoint->is_vacated = true;
        }
    }
}

struct destination_recv *endpoint_recv_destination(const struct endpoint_recv *endpoint,
                                                   int64_t id) {
    for (int32_t i = 0; i < ENDPOINT_DESTINATIONS_MAX; i++) {
        struct destination_recv *destination = endpoint->destinations[i];
        if (destination != NULL && destination->id == id) {
            return destination->is_removing ? NULL : destination;
        }
    }
    return NULL;
}

static int free_removed_destinations(struct endpoint_recv_table *table,
                                     struct endpoint_recv *endpoint) {
    int freed = 0;
    for (int32_t i = 0; endpoint->removing_count > 0 && i < ENDPOINT_DESTINATIONS_MAX; i++) {
        const struct destination_recv *destination = endpoint->destinations[i];
        if (destination != NULL && destination->is_removing &&
            load_acquire_u8(&destination->is_released) != 0) {
            destroy_destination(table, endpoint, i);
            freed++;
        }
    }
    return freed;
}

static int free_destinations(struct endpoint_recv_table *table) {
    int freed = 0;
    for (int32_t i = 0; table->removing_count > 0 && i < table->count; i++) {
        freed += free_removed_destinations(table, table->endpoints[i]);
    }
    return freed;
}

int endpoint_recv_table_do_work(struct endpoint_recv_table *table) {
    int work = free_destinations(table);
    for (int32_t i = table->count - 1; table->closing_count > 0 && i >= 0; i--) {
        struct endpoint_recv *endpoint = table->endpoints[i];
        if (endpoint->state != ENDPOINT_STATE_CLOSING) {
            continue;
        }
        if (!endpoint->is_removed) {
            endpoint->is_removed = receiver_remove_endpoint(table->receiver, endpoint);
        } else if (load_acquire_u8(&endpoint->is_released) != 0) {
            table->endpoints[i] = table->endpoints[--table->count];
            table->closing_count--;
            destroy_with_channel(table, endpoint);
            work++;
        }
    }
    return work;
}

static void check_name(struct endpoint_recv_table *table, struct destination_recv *destination,
                       int64_t now_ns) {
    const struct udp_host *control = &destination->channel->control;
    int64_t silent_ns = now_ns - load_acquire_i64(&destination->last_frame_time_ns);
    bool is_stale = !destination->is_removing && destination->has_explicit_control &&
                    !control->is_numeric && silent_ns > SILENCE_TIMEOUT_NS &&
                    now_ns - destination->asked_ns > SILENCE_TIMEOUT_NS;
    if (is_stale && !destination->is_resolving) {
        struct resolve_request request = {.kind = RESOLVE_RECV_CONTROL,
                                          .id = destination->id,
                                          .time_ns = now_ns,
                                          .host = *control};
        destination->asked_ns = now_ns;
        destination->is_resolving = resolver_submit(table->resolver, &request);
    }
}

void endpoint_recv_table_check_names(struct endpoint_recv_table *table, int64_t now_ns) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_recv *endpoint = table->endpoints[i];
        for (int32_t k = 0; k < ENDPOINT_DESTINATIONS_MAX; k++) {
            if (endpoint->state == ENDPOINT_STATE_ACTIVE && endpoint->destinations[k] != NULL) {
                check_name(table, endpoint->destinations[k], now_ns);
            }
        }
    }
}

static struct destination_recv *find_by_id(const struct endpoint_recv_table *table, int64_t id) {
    struct destination_recv *found = NULL;
    for (int32_t i = 0; i < table->count && found == NULL; i++) {
        if (table->endpoints[i]->state == ENDPOINT_STATE_ACTIVE) {
            found = endpoint_recv_destination(table->endpoints[i], id);
        }
    }
    return found;
}

void endpoint_recv_table_on_resolved(struct endpoint_recv_table *table,
                                     const struct resolve_result *result) {
    assert(result->kind == RESOLVE_RECV_CONTROL);
    struct destination_recv *destination = find_by_id(table, result->id);
    if (destination == NULL) {
        return;
    }
    struct udp_host *control = &destination->channel->control;
    destination->is_resolving = false;
    if (result->code != 0) {
        struct tern_error error = {.code = result->code};
        memcpy(error.text, result->text, sizeof error.text);
        (void)error_prefix(&error, "re-resolution of %.80s", control->name);
        driver_context_log_error(table->context, &error);
        return;
    }
    bool is_usable = result->address.base.sa_family == control->address.base.sa_family;
    if (is_usable && !net_address_equal(&control->address, &result->address) &&
        receiver_set_control(table->receiver, destination, &result->address)) {
        control->address = result->address;
        context_count(table->context, SYSTEM_COUNTER_RESOLUTION_CHANGES, 1);
    }
}

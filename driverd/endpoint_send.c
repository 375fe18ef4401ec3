/* Send channel endpoints (media-driver.md 5.3, 5.5, 5.6, 5.9).
 *
 * Life: acquire makes it and hands it to the sender; the last release marks it CLOSING and sends a
 * remove command; when the sender has let go, do_work closes the socket and frees it. Channels that
 * mean a closing endpoint are refused for that moment, as two sockets cannot share the port.
 *
 * The conductor watches how long names have been silent and asks the resolver again; a new address
 * goes to the sender by command, the old one stays in use until then.
 */
#include "driverd/endpoint_send.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "driverd/driver_context.h"
#include "driverd/resolver.h"
#include "driverd/sender.h"

int endpoint_send_table_init(struct endpoint_send_table *table, struct driver_context *context,
                             struct sender *sender, struct resolver *resolver) {
    *table =
        (struct endpoint_send_table){.context = context, .sender = sender, .resolver = resolver};
    uint16_t low;
    uint16_t high;
    int result = driver_conf_port_range(context->conf->sender_port_range, &low, &high, NULL);
    if (result == 0) {
        port_range_init(&table->ports, low, high);
    }
    return result;
}

static void destroy_destination(struct endpoint_send_table *table,
                                struct destination *destination) {
    if (destination->is_group) {
        endpoint_socket_close(&destination->socket, table->context, &table->ports);
    }
    udp_channel_destroy(destination->channel);
    free(destination);
}

static void destroy_destinations(struct endpoint_send_table *table, struct destination *list) {
    while (list != NULL) {
        struct destination *next = list->next;
        destroy_destination(table, list);
        list = next;
    }
}

static void destroy(struct endpoint_send_table *table, struct endpoint_send *endpoint) {
    endpoint_socket_close(&endpoint->socket, table->context, &table->ports);
    if (endpoint->destinations_counter_id >= 0) {
        driver_context_free_counter(table->context, &endpoint->destinations_counter_id);
    }
    destroy_destinations(table, endpoint->manual_destinations);
    destination_tracker_close(&endpoint->tracker);
    hash_map_close(&endpoint->publications);
    udp_channel_destroy(endpoint->channel);
    free(endpoint);
}

void endpoint_send_table_close(struct endpoint_send_table *table) {
    for (int32_t i = 0; i < table->count; i++) {
        destroy(table, table->endpoints[i]);
    }
    destroy_destinations(table, table->closing_destinations);
    free(table->endpoints);
    *table = (struct endpoint_send_table){0};
}

const struct udp_channel *endpoint_send_channel(const struct endpoint_send_table *table,
                                                const struct udp_channel *channel) {
    for (int32_t i = 0; i < table->count; i++) {
        if (udp_channel_match(table->endpoints[i]->channel, channel, NULL) > 0) {
            return table->endpoints[i]->channel;
        }
    }
    return channel;
}

static bool is_response(const struct udp_channel *channel) {
    return channel->control_mode == CONTROL_MODE_RESPONSE;
}

int endpoint_send_find(const struct endpoint_send_table *table, const struct udp_channel *channel,
                       struct endpoint_send **found, struct tern_error *error) {
    *found = NULL;
    for (int32_t i = 0; i < table->count && *found == NULL; i++) {
        int match = udp_channel_match(table->endpoints[i]->channel, channel, error);
        if (match < 0) {
            return match;
        }
        *found = match > 0 ? table->endpoints[i] : NULL;
    }
    if (*found == NULL && udp_channel_is_tag_reference(channel) && !udp_channel_is_mdc(channel)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "no publication channel has the tag %lld", (long long)channel->tag);
    }
    if (*found != NULL && (*found)->state != ENDPOINT_STATE_ACTIVE) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the send channel is being closed, try again: %.120s", channel->text);
    }
    if (*found != NULL && is_response(channel) != is_response((*found)->channel)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "control-mode=response clashes with the channel that is open: %.120s",
                         (*found)->channel->text);
    }
    return *found == NULL ? 0 : endpoint_socket_match_options((*found)->channel, channel, error);
}

static int open_tracker(struct endpoint_send *endpoint, struct driver_context *context,
                        struct tern_error *error) {
    endpoint->destinations_counter_id = COUNTER_NULL_ID;
    if (!endpoint->is_mdc) {
        return 0;
    }
    bool is_dynamic = endpoint->channel->control_mode == CONTROL_MODE_DYNAMIC;
    if (destination_tracker_init(&endpoint->tracker, is_dynamic) != 0) {
        return error_set_errno(error, ENOMEM, "cannot make a multi-destination endpoint");
    }
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    struct counter_params counter = {
        .type_id = COUNTER_TYPE_MDC_DESTINATIONS,
        .key = key,
        .key_length = counter_channel_key(key, endpoint->channel->text),
        .label = label,
        .registration_id = endpoint->registration_id,
    };
    (void)snprintf(label, sizeof label, "mdc-num-dest: %s", endpoint->channel->text);
    counter.label_length = (int32_t)strlen(label);
    int32_t id = driver_context_allocate_counter(context, &counter, error);
    if (id < 0) {
        return id;
    }
    endpoint->destinations_counter_id = id;
    endpoint->destinations_counter = driver_context_counter(context, id);
    return 0;
}

static int append(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                  struct tern_error *error) {
    if (table->count == table->capacity) {
        int32_t capacity = max_i32(16, table->capacity * 2);
        void *bigger = realloc(table->endpoints, (size_t)capacity * sizeof *table->endpoints);
        if (bigger == NULL) {
            return error_set_errno(error, ENOMEM, "cannot add a send endpoint");
        }
        table->endpoints = bigger;
        table->capacity = capacity;
    }
    if (!sender_add_endpoint(table->sender, endpoint)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the sender's command queue is full, try again");
    }
    table->endpoints[table->count++] = endpoint;
    return 0;
}

static int create(struct endpoint_send_table *table, struct udp_channel *channel,
                  int64_t registration_id, struct endpoint_send **made, struct tern_error *error) {
    struct endpoint_send *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make a send endpoint");
    }
    bool is_mdc = udp_channel_is_mdc(channel);
    *endpoint = (struct endpoint_send){
        .channel = channel,
        .registration_id = registration_id,
        .is_mdc = is_mdc,
        .is_group = udp_channel_is_group(channel),
        .ttl = channel->ttl,
        .remote = channel->remote,
        .is_unsegmented = !table->context->conf->udp_segment,
        .last_sm_time_ns = table->context->now_ns,
        .asked_ns = table->context->now_ns,
        .destinations_counter_id = COUNTER_NULL_ID,
    };
    struct endpoint_socket_params params = {
        .channel = channel,
        .is_send = true,
        .is_connected = !is_mdc && !is_response(channel) && udp_channel_has_endpoint(channel) &&
                        table->context->conf->connect_unicast,
        .ports = &table->ports,
        .registration_id = registration_id,
    };
    int result = endpoint_socket_open(&endpoint->socket, table->context, &params, error);
    if (result == 0) {
        result = open_tracker(endpoint, table->context, error);
    }
    if (result == 0) {
        endpoint->control =
            (struct control_source){endpoint, NULL, endpoint->socket.control_handle};
        result = append(table, endpoint, error);
    }
    if (result != 0) {
        endpoint->channel = NULL; /* still the caller's */
        destroy(table, endpoint);
        return result;
    }
    *made = endpoint;
    return 0;
}

int endpoint_send_acquire(struct endpoint_send_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_send **endpoint,
                          struct tern_error *error) {
    assert(channel->role == UDP_CHANNEL_PUBLICATION);
    struct endpoint_send *found;
    int result = endpoint_send_find(table, channel, &found, error);
    if (result != 0) {
        return result;
    }
    if (found != NULL) {
        udp_channel_destroy(channel);
    } else {
        result = create(table, channel, registration_id, &found, error);
        if (result != 0) {
            return result;
        }
    }
    found->reference_count++;
    *endpoint = found;
    return 0;
}

void endpoint_send_release(struct endpoint_send_table *table, struct endpoint_send *endpoint) {
    assert(endpoint->state == ENDPOINT_STATE_ACTIVE);
    assert(endpoint->reference_count > 0);
    if (--endpoint->reference_count > 0) {
        return;
    }
    endpoint->state = ENDPOINT_STATE_CLOSING;
    endpoint_socket_set_status(&endpoint->socket, table->context, CHANNEL_STATUS_CLOSING);
    table->closing_count++;
    endpoint->is_removed = sender_remove_endpoint(table->sender, endpoint);
}

static int check_destination(const struct endpoint_send *endpoint,
                             const struct udp_channel *channel, struct tern_error *error) {
    assert(channel->role == UDP_CHANNEL_SEND_DESTINATION);
    if (endpoint->channel->control_mode != CONTROL_MODE_MANUAL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "destinations need a publication with control-mode=manual, this is "
                         "%.120s",
                         endpoint->channel->text);
    }
    if (!channel->is_multicast &&
        channel->remote.base.sa_family != endpoint->socket.bound.base.sa_family) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "the destination is of another address family than the publication: "
                         "%.120s",
                         channel->text);
    }
    return 0;
}

/* The sockets of a multicast group: one that sends by the destination's interface and with its TTL,
 * and one that is in the control group. */
static int open_group(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                      struct destination *destination, struct tern_error *error) {
    const struct endpoint_socket_params params = {.channel = destination->channel,
                                                  .options = endpoint->channel,
                                                  .is_send = true,
                                                  .ports = &table->ports,
                                                  .registration_id = destination->registration_id};
    int result = endpoint_socket_bind(&destination->socket, table->context, &params, error);
    if (result != 0) {
        return result;
    }
    destination->is_group = true;
    destination->control =
        (struct control_source){endpoint, destination, destination->socket.control_handle};
    return endpoint_socket_announce(&destination->socket, table->context, &params,
                                    endpoint->socket.status_counter_id, error);
}

/* Opened, and the sender's. */
static int start_destination(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                             struct destination *destination, struct tern_error *error) {
    int result =
        destination->channel->is_multicast ? open_group(table, endpoint, destination, error) : 0;
    if (result == 0 && !sender_add_destination(table->sender, endpoint, destination)) {
        result = error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                           "the sender's command queue is full, try again");
    }
    return result;
}

int endpoint_send_add_destination(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                                  struct udp_channel *channel, int64_t registration_id,
                                  struct tern_error *error) {
    int result = check_destination(endpoint, channel, error);
    if (result != 0) {
        return result;
    }
    struct destination *destination = calloc(1, sizeof *destination);
    if (destination == NULL) {
        return error_set_errno(error, ENOMEM, "cannot add a destination");
    }
    destination->channel = channel;
    destination->registration_id = registration_id;
    destination->address = channel->remote;
    destination->asked_ns = table->context->now_ns;
    destination->last_sm_time_ns = table->context->now_ns;
    result = start_destination(table, endpoint, destination, error);
    if (result != 0) {
        destination->channel = NULL; /* still the caller's */
        destroy_destination(table, destination);
        return result;
    }
    destination->next = endpoint->manual_destinations;
    endpoint->manual_destinations = destination;
    return 0;
}

static bool is_meant(const struct destination *destination, const struct udp_channel *channel,
                     int64_t registration_id) {
    if (channel == NULL) {
        return destination->registration_id == registration_id;
    }
    return net_address_equal(&destination->channel->remote, &channel->remote) ||
           strcmp(destination->channel->canonical, channel->canonical) == 0;
}

int endpoint_send_remove_destination(struct endpoint_send_table *table,
                                     struct endpoint_send *endpoint,
                                     const struct udp_channel *channel, int64_t registration_id,
                                     struct tern_error *error) {
    struct destination **link = &endpoint->manual_destinations;
    while (*link != NULL && !is_meant(*link, channel, registration_id)) {
        link = &(*link)->next;
    }
    struct destination *destination = *link;
    if (destination == NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "unknown destination %.120s (id %lld)",
                         channel == NULL ? "" : channel->text, (long long)registration_id);
    }
    if (!sender_remove_destination(table->sender, endpoint, destination)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the sender's command queue is full, try again");
    }
    *link = destination->next;
    destination->next = table->closing_destinations;
    table->closing_destinations = destination;
    return 0;
}

static int free_released_destinations(struct endpoint_send_table *table) {
    int freed = 0;
    struct destination **link = &table->closing_destinations;
    while (*link != NULL) {
        struct destination *destination = *link;
        if (load_acquire_u8(&destination->is_released) != 0) {
            *link = destination->next;
            destroy_destination(table, destination);
            freed++;
        } else {
            link = &destination->next;
        }
    }
    return freed;
}

bool endpoint_send_table_is_closing(const struct endpoint_send_table *table) {
    return table->closing_count > 0 || table->closing_destinations != NULL;
}

bool endpoint_send_table_is_leaving(const struct endpoint_send_table *table,
                                    const union net_address *address) {
    for (int32_t i = 0; i < table->count; i++) {
        const struct endpoint_send *endpoint = table->endpoints[i];
        if (endpoint->state == ENDPOINT_STATE_CLOSING &&
            endpoint_socket_is_in_way(&endpoint->socket.bound, address)) {
            return true;
        }
    }
    return false;
}

int endpoint_send_table_do_work(struct endpoint_send_table *table) {
    int work = table->closing_destinations == NULL ? 0 : free_released_destinations(table);
    for (int32_t i = table->count - 1; table->closing_count > 0 && i >= 0; i--) {
        struct endpoint_send *endpoint = table->endpoints[i];
        if (endpoint->state != ENDPOINT_STATE_CLOSING) {
            continue;
        }
        if (!endpoint->is_removed) {
            endpoint->is_removed = sender_remove_endpoint(table->sender, endpoint);
        } else if (load_acquire_u8(&endpoint->is_released) != 0) {
            table->endpoints[i] = table->endpoints[--table->count];
            table->closing_count--;
            destroy(table, endpoint);
            work++;
        }
    }
    return work;
}

/* Silent for long, and not asked for as long. */
static bool is_stale(const struct udp_host *host, const int64_t *last_sm_time_ns, int64_t asked_ns,
                     int64_t now_ns) {
    return !host->is_numeric && host->name[0] != '\0' &&
           now_ns - load_acquire_i64(last_sm_time_ns) > DESTINATION_TIMEOUT_NS &&
           now_ns - asked_ns > DESTINATION_TIMEOUT_NS;
}

static bool ask(struct endpoint_send_table *table, enum resolve_kind kind, int64_t id,
                const struct udp_host *host) {
    struct resolve_request request = {
        .kind = (int32_t)kind, .id = id, .time_ns = table->context->now_ns, .host = *host};
    return resolver_submit(table->resolver, &request);
}

void endpoint_send_table_check_names(struct endpoint_send_table *table, int64_t now_ns) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_send *endpoint = table->endpoints[i];
        if (endpoint->state != ENDPOINT_STATE_ACTIVE) {
            continue;
        }
        const struct udp_host *host = &endpoint->channel->endpoint;
        if (!endpoint->is_group && !is_response(endpoint->channel) && !endpoint->is_resolving &&
            is_stale(host, &endpoint->last_sm_time_ns, endpoint->asked_ns, now_ns)) {
            endpoint->asked_ns = now_ns;
            endpoint->is_resolving =
                ask(table, RESOLVE_SEND_ENDPOINT, endpoint->registration_id, host);
        }
        for (struct destination *d = endpoint->manual_destinations; d != NULL; d = d->next) {
            host = &d->channel->endpoint;
            if (!d->is_resolving && is_stale(host, &d->last_sm_time_ns, d->asked_ns, now_ns)) {
                d->asked_ns = now_ns;
                d->is_resolving = ask(table, RESOLVE_DESTINATION, d->registration_id, host);
            }
        }
    }
}

static void change_address(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                           struct destination *destination, const struct resolve_result *result) {
    struct udp_channel *channel = destination == NULL ? endpoint->channel : destination->channel;
    if (result->code != 0) {
        struct tern_error error = {.code = result->code};
        memcpy(error.text, result->text, sizeof error.text);
        (void)error_prefix(&error, "re-resolution of %.80s", channel->endpoint.name);
        driver_context_log_error(table->context, &error);
        return;
    }
    bool is_usable = result->address.base.sa_family == channel->remote.base.sa_family &&
                     !net_address_is_multicast(&result->address);
    if (!is_usable || net_address_equal(&channel->remote, &result->address)) {
        return;
    }
    if (sender_set_address(table->sender, endpoint, destination, &result->address)) {
        channel->remote = result->address;
        context_count(table->context, SYSTEM_COUNTER_RESOLUTION_CHANGES, 1);
    }
}

void endpoint_send_table_on_resolved(struct endpoint_send_table *table,
                                     const struct resolve_result *result) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_send *endpoint = table->endpoints[i];
        if (endpoint->state != ENDPOINT_STATE_ACTIVE) {
            continue;
        }
        if (result->kind == RESOLVE_SEND_ENDPOINT && endpoint->registration_id == result->id) {
            endpoint->is_resolving = false;
            change_address(table, endpoint, NULL, result);
            return;
        }
        struct destination *d = endpoint->manual_destinations;
        while (d != NULL && result->kind == RESOLVE_DESTINATION) {
            if (d->registration_id == result->id) {
                d->is_resolving = false;
                change_address(table, endpoint, d, result);
                return;
            }
            d = d->next;
        }
    }
}

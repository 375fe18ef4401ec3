/* Receive channel endpoints (media-driver.md 3.1, 5.3, 5.5, 5.9). The same life as that of send
 * endpoints: acquired, handed over, released by the last subscription or image, taken back from the
 * receiver, freed.
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

static void destroy(struct endpoint_recv_table *table, struct endpoint_recv *endpoint) {
    endpoint_socket_close(&endpoint->socket, table->context, &table->ports);
    dispatcher_close(&endpoint->dispatcher);
    udp_channel_destroy(endpoint->channel);
    free(endpoint);
}

void endpoint_recv_table_close(struct endpoint_recv_table *table) {
    for (int32_t i = 0; i < table->count; i++) {
        destroy(table, table->endpoints[i]);
    }
    free(table->endpoints);
    *table = (struct endpoint_recv_table){0};
}

static int find(const struct endpoint_recv_table *table, const struct udp_channel *channel,
                struct endpoint_recv **found, struct tern_error *error) {
    *found = NULL;
    for (int32_t i = 0; i < table->count && *found == NULL; i++) {
        int match = udp_channel_match(table->endpoints[i]->channel, channel, error);
        if (match < 0) {
            return match;
        }
        *found = match > 0 ? table->endpoints[i] : NULL;
    }
    if (*found == NULL && udp_channel_is_tag_reference(channel)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "no subscription channel has the tag %lld", (long long)channel->tag);
    }
    if (*found != NULL && (*found)->state != ENDPOINT_STATE_ACTIVE) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the receive channel is being closed, try again: %.120s", channel->text);
    }
    return *found == NULL ? 0 : endpoint_socket_match_options((*found)->channel, channel, error);
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

static int append(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                  struct tern_error *error) {
    if (table->count == table->capacity) {
        int32_t capacity = max_i32(16, table->capacity * 2);
        void *bigger = realloc(table->endpoints, (size_t)capacity * sizeof *table->endpoints);
        if (bigger == NULL) {
            return error_set_errno(error, ENOMEM, "cannot add a receive endpoint");
        }
        table->endpoints = bigger;
        table->capacity = capacity;
    }
    if (!receiver_add_endpoint(table->receiver, endpoint)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                         "the receiver's command queue is full, try again");
    }
    table->endpoints[table->count++] = endpoint;
    return 0;
}

static int create(struct endpoint_recv_table *table, struct udp_channel *channel,
                  int64_t registration_id, struct endpoint_recv **made, struct tern_error *error) {
    int32_t window_bytes;
    int result = check_window(table->context, channel, &window_bytes, error);
    if (result != 0) {
        return result;
    }
    struct endpoint_recv *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make a receive endpoint");
    }
    *endpoint = (struct endpoint_recv){
        .id = table->next_id,
        .channel = channel,
        .window_bytes = window_bytes,
        .receiver_id = table->next_receiver_id,
        .has_explicit_control = udp_channel_has_control(channel),
        .control = channel->control.address,
        .last_frame_time_ns = table->context->now_ns,
        .asked_ns = table->context->now_ns,
    };
    set_group_tag(endpoint, table->context);
    dispatcher_init(&endpoint->dispatcher, table->context->conf->stream_session_limit);
    struct endpoint_socket_params params = {
        .channel = channel, .ports = &table->ports, .registration_id = registration_id};
    result = endpoint_socket_open(&endpoint->socket, table->context, &params, error);
    if (result == 0) {
        result = append(table, endpoint, error);
    }
    if (result != 0) {
        endpoint->channel = NULL; /* still the caller's */
        destroy(table, endpoint);
        return result;
    }
    table->next_id++;
    table->next_receiver_id = (int64_t)((uint64_t)table->next_receiver_id + 1);
    *made = endpoint;
    return 0;
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
    if (found != NULL) {
        udp_channel_destroy(channel);
    } else {
        result = create(table, channel, registration_id, &found, error);
        if (result != 0) {
            return result;
        }
    }
    endpoint_recv_reference(found);
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
    endpoint_socket_set_status(&endpoint->socket, table->context, CHANNEL_STATUS_CLOSING);
    table->closing_count++;
    endpoint->is_removed = receiver_remove_endpoint(table->receiver, endpoint);
}

int endpoint_recv_table_do_work(struct endpoint_recv_table *table) {
    int work = 0;
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
            destroy(table, endpoint);
            work++;
        }
    }
    return work;
}

void endpoint_recv_table_check_names(struct endpoint_recv_table *table, int64_t now_ns) {
    for (int32_t i = 0; i < table->count; i++) {
        struct endpoint_recv *endpoint = table->endpoints[i];
        const struct udp_host *control = &endpoint->channel->control;
        int64_t silent_ns = now_ns - load_acquire_i64(&endpoint->last_frame_time_ns);
        bool is_stale = endpoint->state == ENDPOINT_STATE_ACTIVE &&
                        endpoint->has_explicit_control && !control->is_numeric &&
                        silent_ns > SILENCE_TIMEOUT_NS &&
                        now_ns - endpoint->asked_ns > SILENCE_TIMEOUT_NS;
        if (is_stale && !endpoint->is_resolving) {
            struct resolve_request request = {.kind = RESOLVE_RECV_CONTROL,
                                              .id = endpoint->id,
                                              .time_ns = now_ns,
                                              .host = *control};
            endpoint->asked_ns = now_ns;
            endpoint->is_resolving = resolver_submit(table->resolver, &request);
        }
    }
}

void endpoint_recv_table_on_resolved(struct endpoint_recv_table *table,
                                     const struct resolve_result *result) {
    struct endpoint_recv *endpoint = endpoint_recv_by_id(table, result->id);
    if (result->kind != RESOLVE_RECV_CONTROL || endpoint == NULL) {
        return;
    }
    struct udp_host *control = &endpoint->channel->control;
    endpoint->is_resolving = false;
    if (result->code != 0) {
        struct tern_error error = {.code = result->code};
        memcpy(error.text, result->text, sizeof error.text);
        (void)error_prefix(&error, "re-resolution of %.80s", control->name);
        driver_context_log_error(table->context, &error);
        return;
    }
    bool is_usable = result->address.base.sa_family == control->address.base.sa_family;
    if (is_usable && !net_address_equal(&control->address, &result->address) &&
        receiver_set_control(table->receiver, endpoint, &result->address)) {
        control->address = result->address;
        context_count(table->context, SYSTEM_COUNTER_RESOLUTION_CHANGES, 1);
    }
}

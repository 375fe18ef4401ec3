/* Commands about the destinations of multi-destination subscriptions (media-driver.md 5.7).
 *
 * A UDP destination is a socket of the receive endpoint, whoever of its subscriptions added it: all
 * of them see what comes by it. An IPC or spy destination belongs to one subscription and is a
 * subscription of its own with the same registration id, so that linking treats it as any other.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/conductor.h"
#include "driverd/linking.h"
#include "driverd/network.h"
#include "driverd/subscription.h"
#include "driverd/subscription_commands.h"

static bool is_adding(const struct command *command) {
    return command->type == COMMAND_ADD_RECEIVE_DESTINATION;
}

static int change_network(struct conductor *conductor, struct subscription *subscription,
                          const struct command *command, struct tern_error *error) {
    struct endpoint_recv_table *endpoints = &conductor->endpoints_recv;
    struct endpoint_recv *endpoint = subscription->endpoint;
    struct udp_channel *channel;
    int result =
        conductor_channel(conductor, command, UDP_CHANNEL_RECEIVE_DESTINATION, &channel, error);
    if (result != 0) {
        return result;
    }
    if (is_adding(command)) {
        result = endpoint_recv_add_destination(endpoints, endpoint, channel, error);
        result = network_check_port(conductor, channel, result, error);
    } else {
        result = endpoint_recv_remove_destination(endpoints, endpoint, channel, error);
    }
    if (result < 0 || !is_adding(command)) {
        udp_channel_destroy(channel);
    }
    if (result == 0) {
        driver_context_respond_success(conductor->context, command->correlation_id);
    }
    return result;
}

static struct subscription *find_local(const struct conductor *conductor, int64_t registration_id,
                                       struct text_slice channel) {
    const struct pointer_list *list = &conductor->subscriptions;
    for (int32_t i = 0; i < list->count; i++) {
        struct subscription *destination = list->items[i];
        if (destination->is_destination && destination->registration_id == registration_id &&
            destination->channel_length == channel.length &&
            memcmp(destination->channel, channel.text, (size_t)channel.length) == 0) {
            return destination;
        }
    }
    return NULL;
}

/* The session filter of the subscription holds for all its destinations. */
static int parse_params(const struct conductor *conductor, const struct subscription *subscription,
                        const struct uri *uri, struct subscription_params *params,
                        struct tern_error *error) {
    int result = subscription_commands_parse(conductor, uri, params, error);
    if (result < 0 || !subscription->params.has_session_id) {
        return result;
    }
    if (params->has_session_id && params->session_id != subscription->params.session_id) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "session-id=%d of a destination, but its subscription has session-id=%d",
                         params->session_id, subscription->params.session_id);
    }
    params->has_session_id = true;
    params->session_id = subscription->params.session_id;
    return 0;
}

static int create_local(struct conductor *conductor, const struct subscription *subscription,
                        const struct command *command, struct subscription **created,
                        struct tern_error *error) {
    struct subscription_params params;
    struct udp_channel *channel = NULL;
    struct subscription *destination;
    struct uri uri;
    int result = uri_parse(&uri, command->channel.text, command->channel.length, error);
    result = result < 0 ? result : parse_params(conductor, subscription, &uri, &params, error);
    if (result == 0 && uri.is_spy) {
        result = conductor_channel(conductor, command, UDP_CHANNEL_SPY, &channel, error);
    }
    if (result != 0) {
        return result;
    }
    enum subscription_kind kind = uri.is_spy ? SUBSCRIPTION_SPY : SUBSCRIPTION_IPC;
    if (pointer_list_reserve(&conductor->subscriptions) < 0 ||
        subscription_create(&destination, kind, command, &params) < 0) {
        udp_channel_destroy(channel);
        return error_set(error, -ENOMEM, "no memory for a destination");
    }
    destination->is_destination = true;
    destination->registration_id = subscription->registration_id;
    destination->client_id = subscription->client_id;
    destination->stream_id = subscription->stream_id;
    destination->udp_channel = channel;
    (void)pointer_list_add(&conductor->subscriptions, destination);
    stream_index_add(&conductor->subscriptions_by_stream, &destination->stream_node,
                     destination->stream_id);
    *created = destination;
    return 0;
}

static int add_local(struct conductor *conductor, const struct subscription *subscription,
                     const struct command *command, struct tern_error *error) {
    struct subscription *destination = NULL;
    if (find_local(conductor, subscription->registration_id, command->channel) != NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "the subscription has this destination already: %.*s",
                         min_i32(command->channel.length, 120), command->channel.text);
    }
    int result = create_local(conductor, subscription, command, &destination, error);
    if (result == 0) {
        driver_context_respond_success(conductor->context, command->correlation_id);
        linking_attach_subscription(conductor, destination);
    }
    return result;
}

static int remove_local(struct conductor *conductor, const struct subscription *subscription,
                        const struct command *command) {
    struct subscription *destination =
        find_local(conductor, subscription->registration_id, command->channel);
    driver_context_respond_success(conductor->context, command->correlation_id);
    if (destination != NULL) { /* else it is gone, as wanted */
        linking_announce_unavailable(destination);
        conductor_end_subscription(conductor, destination);
    }
    return 0;
}

int network_receive_destination(struct conductor *conductor, struct subscription *subscription,
                                const struct command *command, struct tern_error *error) {
    struct uri uri;
    if (subscription->kind != SUBSCRIPTION_NET || !subscription->endpoint->is_manual) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "destinations need a subscription with control-mode=manual: %.120s",
                         subscription->channel);
    }
    int result = uri_parse(&uri, command->channel.text, command->channel.length, error);
    if (result < 0) {
        return result;
    }
    if (uri.is_spy && uri.media == URI_MEDIA_IPC) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "aeron-spy: is for network channels only");
    }
    if (!uri.is_spy && uri.media == URI_MEDIA_UDP) {
        return change_network(conductor, subscription, command, error);
    }
    return is_adding(command) ? add_local(conductor, subscription, command, error)
                              : remove_local(conductor, subscription, command);
}

void network_end_local_destinations(struct conductor *conductor, int64_t registration_id) {
    const struct pointer_list *list = &conductor->subscriptions;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct subscription *destination = list->items[i];
        if (destination->is_destination && destination->registration_id == registration_id) {
            conductor_end_subscription(conductor, destination);
        }
    }
}

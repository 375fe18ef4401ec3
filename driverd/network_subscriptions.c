/* Commands about network subscriptions and spies.
 *
 * Subscriptions of equal stream and session filter at one endpoint are one interest of the
 * receiver's, which comes with the first of them and goes with the last.
 */
#include <errno.h>

#include "driverd/conductor.h"
#include "driverd/network.h"
#include "driverd/publication_net.h"
#include "driverd/receiver.h"
#include "driverd/subscription.h"
#include "driverd/subscription_commands.h"

static bool is_same_filter(const struct subscription *a, const struct subscription *b) {
    return a->kind == SUBSCRIPTION_NET && a->endpoint == b->endpoint &&
           a->stream_id == b->stream_id && a->params.has_session_id == b->params.has_session_id &&
           (!a->params.has_session_id || a->params.session_id == b->params.session_id);
}

/* The first other subscription to the same streams of the endpoint, or NULL. Those that wait for
 * their session count only when asked for: they are no interest yet. */
static const struct subscription *find_same(const struct conductor *conductor,
                                            const struct subscription *subscription,
                                            bool takes_waiting) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, subscription->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        const struct subscription *other = CONTAINER_OF(node, struct subscription, stream_node);
        if (other != subscription && is_same_filter(other, subscription) &&
            (takes_waiting || !subscription_awaits_session(other))) {
            return other;
        }
    }
    return NULL;
}

static int refuse_clash(const struct subscription *subscription, const char *key, bool existing,
                        struct tern_error *error) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                     "option conflicts with existing subscription: %s=%s existing=%s: %.100s", key,
                     existing ? "false" : "true", existing ? "true" : "false",
                     subscription->channel);
}

static int refuse_timestamps(const struct subscription *subscription, const char *key,
                             struct tern_error *error) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                     "option conflicts with existing subscription: another %s: %.100s", key,
                     subscription->channel);
}

/* Of those to the same streams: one that says the contrary of `group`. */
static bool has_other_group(const struct conductor *conductor,
                            const struct subscription *subscription) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, subscription->stream_id);
    for (; subscription->params.has_group && node != NULL; node = stream_index_next(node)) {
        const struct subscription *other = CONTAINER_OF(node, struct subscription, stream_node);
        if (other != subscription && is_same_filter(other, subscription) &&
            other->params.has_group && other->params.group != subscription->params.group) {
            return true;
        }
    }
    return false;
}

/* Subscribers of one stream at one endpoint share its image: they must agree on it (3.12). */
static int check_clash(const struct conductor *conductor, const struct subscription *subscription,
                       struct tern_error *error) {
    const struct subscription *other = find_same(conductor, subscription, true);
    if (other == NULL) {
        return 0;
    }
    if (other->params.is_response != subscription->params.is_response) {
        return refuse_clash(subscription, "control-mode=response", other->params.is_response,
                            error);
    }
    if (other->params.is_reliable != subscription->params.is_reliable) {
        return refuse_clash(subscription, "reliable", other->params.is_reliable, error);
    }
    if (other->params.is_rejoin != subscription->params.is_rejoin) {
        return refuse_clash(subscription, "rejoin", other->params.is_rejoin, error);
    }
    const struct timestamp_offsets *have = &other->params.timestamps;
    const struct timestamp_offsets *wanted = &subscription->params.timestamps;
    if (have->media_receive != wanted->media_receive) {
        return refuse_timestamps(subscription, "media-rcv-ts-offset", error);
    }
    if (have->channel_receive != wanted->channel_receive) {
        return refuse_timestamps(subscription, "channel-rcv-ts-offset", error);
    }
    return has_other_group(conductor, subscription)
               ? error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                           "option conflicts with existing subscription: another group: %.100s",
                           subscription->channel)
               : 0;
}

static int add_spy(struct conductor *conductor, const struct command *command,
                   const struct subscription_params *params, struct udp_channel *channel,
                   struct tern_error *error) {
    struct subscription *subscription;
    int result = subscription_create(&subscription, SUBSCRIPTION_SPY, command, params);
    if (result == 0) {
        result = subscription_commands_register(conductor, subscription);
        if (result < 0) {
            subscription_destroy(subscription);
        }
    }
    if (result < 0) {
        udp_channel_destroy(channel);
        return error_set(error, result, "no memory for a subscription");
    }
    subscription->udp_channel = channel;
    subscription_commands_announce(conductor, subscription, COUNTER_NULL_ID);
    return 0;
}

/* The subscription has its endpoint; on failure both are given back by the caller. */
static int start_net(struct conductor *conductor, struct subscription *subscription,
                     struct tern_error *error) {
    int result = check_clash(conductor, subscription, error);
    if (result < 0) {
        return result;
    }
    if (subscription_commands_register(conductor, subscription) < 0) {
        return error_set(error, -ENOMEM, "no memory for a subscription");
    }
    const struct subscription_params *params = &subscription->params;
    if (subscription_awaits_session(subscription)) {
        return 0;
    }
    bool was_added =
        receiver_add_interest(conductor->receiver, subscription->endpoint, subscription->stream_id,
                              !params->has_session_id, params->session_id);
    assert(was_added); /* network_has_room */
    (void)was_added;
    return 0;
}

static int add_net(struct conductor *conductor, const struct command *command,
                   const struct subscription_params *params, struct udp_channel *channel,
                   struct tern_error *error) {
    struct endpoint_recv_table *endpoints = &conductor->endpoints_recv;
    struct endpoint_recv *endpoint;
    struct subscription *subscription;
    int result =
        endpoint_recv_acquire(endpoints, channel, command->correlation_id, &endpoint, error);
    result = network_check_port(conductor, channel, result, error);
    if (result < 0) {
        udp_channel_destroy(channel);
        return result;
    }
    if (subscription_create(&subscription, SUBSCRIPTION_NET, command, params) < 0) {
        endpoint_recv_unsubscribe(endpoints, endpoint);
        return error_set(error, -ENOMEM, "no memory for a subscription");
    }
    subscription->endpoint = endpoint;
    result = start_net(conductor, subscription, error);
    if (result < 0) {
        subscription_destroy(subscription);
        endpoint_recv_unsubscribe(endpoints, endpoint);
        return result;
    }
    subscription_commands_announce(conductor, subscription, endpoint->status_counter_id);
    return 0;
}

int network_add_subscription(struct conductor *conductor, const struct command *command,
                             const struct subscription_params *params, bool is_spy,
                             struct tern_error *error) {
    struct udp_channel *channel;
    int result = conductor_channel(
        conductor, command, is_spy ? UDP_CHANNEL_SPY : UDP_CHANNEL_SUBSCRIPTION, &channel, error);
    if (result != 0) {
        return result;
    }
    return is_spy ? add_spy(conductor, command, params, channel, error)
                  : add_net(conductor, command, params, channel, error);
}

/* It has left the conductor's list. */
void network_release_subscription(struct conductor *conductor, struct subscription *subscription) {
    const struct subscription_params *params = &subscription->params;
    if (!subscription_awaits_session(subscription) &&
        find_same(conductor, subscription, false) == NULL) {
        (void)receiver_remove_interest(conductor->receiver, subscription->endpoint,
                                       subscription->stream_id, !params->has_session_id,
                                       params->session_id);
    }
    endpoint_recv_unsubscribe(&conductor->endpoints_recv, subscription->endpoint);
    subscription->endpoint = NULL;
}

bool network_spy_matches(const struct subscription *subscription,
                         const struct publication_net *publication) {
    const struct udp_channel *spy = subscription->udp_channel;
    const struct udp_channel *spied = publication->endpoint->channel;
    if (spy->has_tag) {
        return spied->has_tag && spied->tag == spy->tag;
    }
    return strcmp(spy->canonical, spied->canonical) == 0;
}

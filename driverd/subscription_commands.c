/* What clients ask about subscriptions and images. IPC subscriptions are made here; spies and
 * network subscriptions in network.c. */
#include <errno.h>

#include "driverd/client_session.h"
#include "driverd/conductor.h"
#include "driverd/linking.h"
#include "driverd/network.h"
#include "driverd/publication_commands.h"
#include "driverd/publication_ipc.h"
#include "driverd/subscription.h"
#include "driverd/subscription_commands.h"
#include "wire/frame.h"

int subscription_commands_parse(const struct conductor *conductor, const struct uri *uri,
                                struct subscription_params *params, struct tern_error *error) {
    int result = subscription_params_parse(params, uri, conductor->context->conf, error);
    if (result < 0 || !params->has_session_tag) {
        return result;
    }
    const struct publication *tagged =
        publication_commands_find_tagged(conductor, params->session_tag, error);
    if (tagged == NULL) {
        return DRIVER_ERROR(DRIVER_ERROR_GENERIC);
    }
    params->has_session_id = true;
    params->session_id = tagged->session_id;
    return 0;
}

int subscription_commands_register(struct conductor *conductor, struct subscription *subscription) {
    int result = pointer_list_reserve(&conductor->subscriptions);
    if (result == 0) {
        result = hash_map_put(&conductor->subscriptions_by_id, subscription->registration_id,
                              subscription);
    }
    if (result == 0) {
        (void)pointer_list_add(&conductor->subscriptions, subscription);
        stream_index_add(&conductor->subscriptions_by_stream, &subscription->stream_node,
                         subscription->stream_id);
    }
    return result;
}

void subscription_commands_announce(struct conductor *conductor, struct subscription *subscription,
                                    int32_t channel_status_id) {
    const struct response response = {
        .type = RESPONSE_SUBSCRIPTION_READY,
        .correlation_id = subscription->registration_id,
        .channel_status_id = channel_status_id,
    };
    driver_context_respond(conductor->context, &response);
    linking_attach_subscription(conductor, subscription);
}

static int add_ipc(struct conductor *conductor, const struct command *command,
                   const struct subscription_params *params, struct tern_error *error) {
    struct subscription *subscription;
    int result = subscription_create(&subscription, SUBSCRIPTION_IPC, command, params);
    if (result == 0) {
        result = subscription_commands_register(conductor, subscription);
        if (result < 0) {
            subscription_destroy(subscription);
        }
    }
    if (result < 0) {
        return error_set(error, result, "no memory for a subscription");
    }
    subscription_commands_announce(conductor, subscription, COUNTER_NULL_ID);
    return 0;
}

int conductor_add_subscription(struct conductor *conductor, const struct command *command,
                               struct tern_error *error) {
    struct client_session *session;
    struct subscription_params params;
    struct uri uri;
    int result = conductor_client(conductor, command->client_id, &session, error);
    result = result < 0 ? result
                        : uri_parse(&uri, command->channel.text, command->channel.length, error);
    result = result < 0 ? result : conductor_check_stream(command, &uri, error);
    if (result < 0) {
        return result;
    }
    if (hash_map_get(&conductor->subscriptions_by_id, command->correlation_id) != NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "registration_id=%lld is in use", (long long)command->correlation_id);
    }
    if (uri.is_spy && uri.media == URI_MEDIA_IPC) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "aeron-spy: is for network channels only");
    }
    result = subscription_commands_parse(conductor, &uri, &params, error);
    if (result < 0) {
        return result;
    }
    return uri.media == URI_MEDIA_IPC
               ? add_ipc(conductor, command, &params, error)
               : network_add_subscription(conductor, command, &params, uri.is_spy, error);
}

void conductor_end_subscription(struct conductor *conductor, struct subscription *subscription) {
    linking_detach_subscription(conductor, subscription);
    if (!subscription->is_destination) {
        network_end_local_destinations(conductor, subscription->registration_id);
        (void)hash_map_remove(&conductor->subscriptions_by_id, subscription->registration_id);
    }
    (void)pointer_list_remove(&conductor->subscriptions, subscription);
    stream_index_remove(&conductor->subscriptions_by_stream, &subscription->stream_node);
    if (subscription->kind == SUBSCRIPTION_NET) {
        network_release_subscription(conductor, subscription);
    }
    subscription_destroy(subscription);
}

static int unknown_subscription(const struct command *command, struct tern_error *error) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_UNKNOWN_SUBSCRIPTION),
                     "unknown subscription client_id=%lld registration_id=%lld",
                     (long long)command->client_id, (long long)command->registration_id);
}

int conductor_remove_subscription(struct conductor *conductor, const struct command *command,
                                  struct tern_error *error) {
    struct subscription *subscription =
        hash_map_get(&conductor->subscriptions_by_id, command->registration_id);
    if (subscription == NULL) {
        return unknown_subscription(command, error);
    }
    conductor_end_subscription(conductor, subscription);
    driver_context_respond_success(conductor->context, command->correlation_id);
    return 0;
}

int conductor_receive_destination(struct conductor *conductor, const struct command *command,
                                  struct tern_error *error) {
    struct subscription *subscription =
        hash_map_get(&conductor->subscriptions_by_id, command->registration_id);
    if (subscription == NULL) {
        return unknown_subscription(command, error);
    }
    return network_receive_destination(conductor, subscription, command, error);
}

int conductor_reject_image(struct conductor *conductor, const struct command *command,
                           struct tern_error *error) {
    if (command->text.length > FRAME_ERR_TEXT_MAX) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "reason of %d bytes to reject an image, allowed are %d",
                         command->text.length, FRAME_ERR_TEXT_MAX);
    }
    struct publication *publication =
        hash_map_get(&conductor->publications_by_id, command->registration_id);
    if (publication != NULL && publication->kind == PUBLICATION_IPC) {
        publication_ipc_reject((struct publication_ipc *)publication, command->text,
                               conductor->context->now_ns);
    } else if (network_reject_image(conductor, command->registration_id, command->text)) {
        context_count(conductor->context, SYSTEM_COUNTER_IMAGES_REJECTED, 1);
    } else {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "unable to reject: no image with correlation_id=%lld",
                         (long long)command->registration_id);
    }
    driver_context_respond_success(conductor->context, command->correlation_id);
    return 0;
}

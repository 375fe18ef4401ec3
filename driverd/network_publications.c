/* Commands about network publications and their destinations.
 *
 * A publication belongs to the conductor and, once made, to the sender as well: from then on it can
 * only end the ordinary way, so everything that can fail is done before.
 */
#include <errno.h>
#include <stdio.h>

#include "driverd/conductor.h"
#include "driverd/linking.h"
#include "driverd/network.h"
#include "driverd/publication_commands.h"
#include "driverd/publication_net.h"
#include "driverd/response_channel.h"

static struct publication_net *find_shared(const struct conductor *conductor,
                                           const struct endpoint_send *endpoint, int32_t stream_id,
                                           int64_t response_correlation_id) {
    const struct stream_node *node = stream_index_first(&conductor->net_by_stream, stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct publication_net *publication =
            CONTAINER_OF(node, struct publication_net, base.stream_node);
        const struct publication *base = &publication->base;
        if (publication->endpoint == endpoint && !base->is_exclusive && !base->is_revoking &&
            base->state == PUBLICATION_STATE_ACTIVE &&
            base->params.response_correlation_id == response_correlation_id) {
            return publication;
        }
    }
    return NULL;
}

static bool is_session_used(const struct conductor *conductor, const struct endpoint_send *endpoint,
                            int32_t stream_id, int32_t session_id) {
    const struct stream_node *node = stream_index_first(&conductor->net_by_stream, stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        const struct publication_net *publication =
            CONTAINER_OF(node, struct publication_net, base.stream_node);
        if (publication->endpoint == endpoint && publication->base.session_id == session_id) {
            return true;
        }
    }
    return false;
}

/* What an add command says, in force. */
struct wanted {
    struct publication_params params;
    struct flow_control_params flow;
};

/* With the reference of the endpoint, which the new publication takes over. */
static int create_publication(struct conductor *conductor, const struct command *command,
                              const struct wanted *wanted, struct endpoint_send *endpoint,
                              struct tern_error *error) {
    const struct publication_params *params = &wanted->params;
    char channel[URI_LENGTH_MAX + 1];
    (void)snprintf(channel, sizeof channel, "%.*s", command->channel.length, command->channel.text);
    struct publication_net_spec spec = {
        .base = {.params = params,
                 .registration_id = command->correlation_id,
                 .client_id = command->client_id,
                 .stream_id = command->stream_id,
                 .is_exclusive = command->type == COMMAND_ADD_EXCLUSIVE_PUBLICATION,
                 .channel = channel},
        .endpoint = endpoint,
        .sender = conductor->sender,
        .flow = wanted->flow,
    };
    int result = 0;
    if (params->has_session_id &&
        is_session_used(conductor, endpoint, command->stream_id, params->session_id)) {
        result = publication_commands_refuse_clash(command, params->session_id, error);
    }
    if (result == 0 && pointer_list_reserve(&conductor->publications_net) < 0) {
        result = error_set(error, -ENOMEM, "no memory for a publication");
    }
    struct publication_net *publication;
    if (result == 0) {
        spec.base.session_id =
            publication_commands_session_id(conductor, params, command->stream_id);
        spec.base.file = conductor_take_log(conductor);
        result = publication_net_create(&publication, conductor->context, &spec, error);
    }
    if (result < 0) {
        return result;
    }
    /* From here on the publication is the sender's as well: it can only end, not be undone. */
    network_list_publication(conductor, publication);
    stream_index_add(&conductor->net_by_stream, &publication->base.stream_node, command->stream_id);
    int registered = hash_map_put(&conductor->publications_by_id, publication->base.registration_id,
                                  publication);
    result = registered < 0
                 ? error_set(error, registered, "no memory for a publication")
                 : publication_commands_link(conductor, command, &publication->base, error);
    if (result < 0) {
        publication_net_on_unreferenced(publication, conductor->context->now_ns);
        driver_context_respond_error(conductor->context, command->correlation_id, error);
        return 0;
    }
    response_channel_on_publication(conductor, &publication->base);
    linking_attach_publication_net(conductor, publication);
    return 0;
}

/* With a reference of the endpoint, which a shared publication does not need. */
static int share_or_create(struct conductor *conductor, const struct command *command,
                           const struct wanted *wanted, struct endpoint_send *endpoint,
                           struct tern_error *error) {
    struct publication_net *shared = NULL;
    if (command->type == COMMAND_ADD_PUBLICATION) {
        shared = find_shared(conductor, endpoint, command->stream_id,
                             wanted->params.response_correlation_id);
    }
    if (shared == NULL) {
        int result = create_publication(conductor, command, wanted, endpoint, error);
        if (result < 0) {
            endpoint_send_release(&conductor->endpoints_send, endpoint);
        }
        return result;
    }
    endpoint_send_release(&conductor->endpoints_send, endpoint);
    int result = publication_match_params(&shared->base, &wanted->params, error);
    return result < 0 ? result
                      : publication_commands_link(conductor, command, &shared->base, error);
}

/* All that can be refused before an endpoint is made: an unused one takes a moment to go. */
static int parse(const struct conductor *conductor, const struct udp_channel *channel,
                 struct wanted *wanted, struct tern_error *error) {
    const struct driver_context *context = conductor->context;
    const struct udp_channel *in_force = endpoint_send_channel(&conductor->endpoints_send, channel);
    struct publication_params *params = &wanted->params;
    int result =
        publication_params_parse(params, &channel->uri, PUBLICATION_NET, context->conf, error);
    if (result == 0) {
        result = publication_commands_apply_session_tag(conductor, params, PUBLICATION_NET, error);
    }
    if (result == 0) {
        result = response_channel_check(conductor, params, PUBLICATION_NET, error);
    }
    if (result == 0) {
        result = publication_net_check_mtu(context, in_force, params, error);
    }
    return result < 0 ? result
                      : publication_net_flow_control(
                            context, in_force, uri_get(&channel->uri, "fc"), &wanted->flow, error);
}

/* Of a new publication; 0 as well when the command can be answered without. */
static int check_log(struct conductor *conductor, const struct command *command,
                     const struct udp_channel *channel, const struct publication_params *params,
                     struct tern_error *error) {
    struct endpoint_send *endpoint;
    int result = endpoint_send_find(&conductor->endpoints_send, channel, &endpoint, error);
    if (result < 0) {
        return result;
    }
    if (endpoint != NULL && command->type == COMMAND_ADD_PUBLICATION &&
        find_shared(conductor, endpoint, command->stream_id, params->response_correlation_id) !=
            NULL) {
        return 0;
    }
    if (endpoint != NULL && params->has_session_id &&
        is_session_used(conductor, endpoint, command->stream_id, params->session_id)) {
        return publication_commands_refuse_clash(command, params->session_id, error);
    }
    return conductor_check_log(conductor, command, params, error);
}

int network_add_publication(struct conductor *conductor, const struct command *command,
                            struct tern_error *error) {
    struct udp_channel *channel;
    int result = conductor_channel(conductor, command, UDP_CHANNEL_PUBLICATION, &channel, error);
    if (result != 0) {
        return result;
    }
    struct wanted wanted;
    struct endpoint_send *endpoint;
    result = parse(conductor, channel, &wanted, error);
    if (result == 0) {
        result = check_log(conductor, command, channel, &wanted.params, error);
    }
    if (result > 0) {
        conductor_keep_channel(conductor, command, channel);
        return result;
    }
    if (result == 0) {
        result = endpoint_send_acquire(&conductor->endpoints_send, channel, command->correlation_id,
                                       &endpoint, error);
        result = network_check_port(conductor, channel, result, error);
    }
    if (result < 0) {
        udp_channel_destroy(channel);
        return result;
    }
    return share_or_create(conductor, command, &wanted, endpoint, error);
}

int32_t network_publication_status_id(const struct publication_net *publication) {
    return publication->endpoint->socket.status_counter_id;
}

int network_add_destination(struct conductor *conductor, struct publication_net *publication,
                            const struct command *command, struct tern_error *error) {
    struct udp_channel *channel;
    int result =
        conductor_channel(conductor, command, UDP_CHANNEL_SEND_DESTINATION, &channel, error);
    if (result != 0) {
        return result;
    }
    result = endpoint_send_add_destination(&conductor->endpoints_send, publication->endpoint,
                                           channel, command->correlation_id, error);
    if (result < 0) {
        udp_channel_destroy(channel);
        return result;
    }
    driver_context_respond_success(conductor->context, command->correlation_id);
    return 0;
}

int network_remove_destination(struct conductor *conductor, struct publication_net *publication,
                               const struct command *command, struct tern_error *error) {
    struct udp_channel *channel = NULL;
    int result = 0;
    if (command->type == COMMAND_REMOVE_DESTINATION) {
        result =
            conductor_channel(conductor, command, UDP_CHANNEL_SEND_DESTINATION, &channel, error);
    }
    if (result != 0) {
        return result;
    }
    result = endpoint_send_remove_destination(&conductor->endpoints_send, publication->endpoint,
                                              channel, command->destination_id, error);
    udp_channel_destroy(channel);
    if (result == 0) {
        driver_context_respond_success(conductor->context, command->correlation_id);
    }
    return result;
}

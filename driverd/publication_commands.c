/* What clients ask about publications: add, remove, session ids. IPC publications are made here,
 * network publications in network.c; both are linked, answered and released alike.
 *
 * A handle is an entry in its client's map from registration id to publication; the publication
 * counts its handles.
 */
#include <errno.h>
#include <stdio.h>

#include "driverd/client_session.h"
#include "driverd/conductor.h"
#include "driverd/linking.h"
#include "driverd/network.h"
#include "driverd/publication_commands.h"
#include "driverd/publication_ipc.h"
#include "driverd/publication_net.h"
#include "driverd/response_channel.h"
#include "shm/log_wake.h"

static bool is_reserved(const struct driver_conf *conf, int32_t session_id) {
    return session_id >= conf->reserved_session_id_low &&
           session_id <= conf->reserved_session_id_high;
}

/* Is the session id in use on the stream, whatever the channel? */
static bool is_used(const struct stream_index *index, int32_t stream_id, int32_t session_id) {
    const struct stream_node *node = stream_index_first(index, stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        if (CONTAINER_OF(node, struct publication, stream_node)->session_id == session_id) {
            return true;
        }
    }
    return false;
}

int32_t publication_commands_next_session_id(struct conductor *conductor, int32_t stream_id) {
    struct driver_context *context = conductor->context;
    const struct driver_conf *conf = context->conf;
    int32_t session_id;
    do {
        session_id = context->next_session_id;
        if (is_reserved(conf, session_id)) {
            session_id = wrapping_add_i32(conf->reserved_session_id_high, 1);
        }
        context->next_session_id = wrapping_add_i32(session_id, 1);
    } while (is_used(&conductor->ipc_by_stream, stream_id, session_id) ||
             is_used(&conductor->net_by_stream, stream_id, session_id));
    return session_id;
}

#define NO_ENTITY_TAG (-1)

static const struct publication *find_tagged(const struct pointer_list *list, int64_t entity_tag) {
    for (int32_t i = 0; i < list->count; i++) {
        const struct publication *publication = list->items[i];
        if (publication->params.entity_tag == entity_tag && entity_tag != NO_ENTITY_TAG) {
            return publication;
        }
    }
    return NULL;
}

const struct publication *publication_commands_find_tagged(const struct conductor *conductor,
                                                           int64_t entity_tag,
                                                           struct tern_error *error) {
    const struct publication *tagged = find_tagged(&conductor->publications_net, entity_tag);
    if (tagged == NULL) {
        tagged = find_tagged(&conductor->publications_ipc, entity_tag);
    }
    if (tagged == NULL) {
        (void)error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                        "session-id=tag:%lld: no publication has this entity tag",
                        (long long)entity_tag);
    }
    return tagged;
}

int publication_commands_apply_session_tag(const struct conductor *conductor,
                                           struct publication_params *params,
                                           enum publication_kind kind, struct tern_error *error) {
    if (!params->has_session_tag) {
        return 0;
    }
    const struct publication *tagged =
        publication_commands_find_tagged(conductor, params->session_tag, error);
    if (tagged == NULL) {
        return DRIVER_ERROR(DRIVER_ERROR_GENERIC);
    }
    params->has_session_id = true;
    params->session_id = tagged->session_id;
    return publication_params_take_geometry(params, &tagged->params, kind, conductor->context->conf,
                                            error);
}

int publication_commands_refuse_clash(const struct command *command, int32_t session_id,
                                      struct tern_error *error) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                     "existing publication has clashing session-id=%d stream-id=%d channel=%.*s",
                     session_id, command->stream_id, min_i32(command->channel.length, 120),
                     command->channel.text);
}

int32_t publication_commands_session_id(struct conductor *conductor,
                                        const struct publication_params *params,
                                        int32_t stream_id) {
    return params->has_session_id ? params->session_id
                                  : publication_commands_next_session_id(conductor, stream_id);
}

static struct publication_ipc *find_shared(const struct conductor *conductor, int32_t stream_id,
                                           int64_t response_correlation_id) {
    const struct stream_node *node = stream_index_first(&conductor->ipc_by_stream, stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct publication *base = CONTAINER_OF(node, struct publication, stream_node);
        if (!base->is_exclusive && !base->is_revoking && base->state == PUBLICATION_STATE_ACTIVE &&
            base->params.response_correlation_id == response_correlation_id) {
            return (struct publication_ipc *)base;
        }
    }
    return NULL;
}

/* All of it or nothing: the maps get their entries before anything is announced. */
static int register_ipc(struct conductor *conductor, struct publication_ipc *publication) {
    int result = pointer_list_reserve(&conductor->publications_ipc);
    if (result == 0) {
        result = hash_map_put(&conductor->publications_by_id, publication->base.registration_id,
                              publication);
    }
    if (result == 0) {
        conductor_list_ipc(conductor, publication);
        stream_index_add(&conductor->ipc_by_stream, &publication->base.stream_node,
                         publication->base.stream_id);
    }
    return result;
}

int publication_commands_link(struct conductor *conductor, const struct command *command,
                              struct publication *publication, struct tern_error *error) {
    struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    assert(session != NULL);
    if (hash_map_put(&session->publications, command->correlation_id, publication) < 0) {
        return error_set(error, -ENOMEM, "no memory for a publication's handle");
    }
    publication->link_count++;
    log_writers_change(publication->log->metadata, 1);
    bool is_net = publication->kind == PUBLICATION_NET;
    const struct response response = {
        .type = publication->is_exclusive ? RESPONSE_EXCLUSIVE_PUBLICATION_READY
                                          : RESPONSE_PUBLICATION_READY,
        .correlation_id = command->correlation_id,
        .registration_id = publication->registration_id,
        .session_id = publication->session_id,
        .stream_id = publication->stream_id,
        .counter_id = publication->limit_counter_id,
        .channel_status_id =
            is_net ? network_publication_status_id((struct publication_net *)publication)
                   : COUNTER_NULL_ID,
        .text = text_slice_of(publication->file->path),
    };
    driver_context_respond(conductor->context, &response);
    return 0;
}

static int create_ipc(struct conductor *conductor, const struct command *command,
                      const struct publication_params *params, struct tern_error *error) {
    char channel[URI_LENGTH_MAX + 1];
    (void)snprintf(channel, sizeof channel, "%.*s", command->channel.length, command->channel.text);
    if (params->has_session_id &&
        is_used(&conductor->ipc_by_stream, command->stream_id, params->session_id)) {
        return publication_commands_refuse_clash(command, params->session_id, error);
    }
    struct publication_spec spec = {
        .kind = PUBLICATION_IPC,
        .params = params,
        .registration_id = command->correlation_id,
        .client_id = command->client_id,
        .stream_id = command->stream_id,
        .is_exclusive = command->type == COMMAND_ADD_EXCLUSIVE_PUBLICATION,
        .channel = channel,
    };
    int result = conductor_check_log(conductor, command, params, error);
    if (result != 0) {
        return result;
    }
    spec.session_id = publication_commands_session_id(conductor, params, command->stream_id);
    spec.file = conductor_take_log(conductor);
    struct publication_ipc *publication;
    result = publication_ipc_create(&publication, conductor->context, &spec, error);
    if (result < 0) {
        return result;
    }
    result = register_ipc(conductor, publication);
    if (result < 0) {
        publication_ipc_destroy(publication);
        return error_set(error, result, "no memory for a publication");
    }
    result = publication_commands_link(conductor, command, &publication->base, error);
    if (result < 0) {
        publication_on_unreferenced(&publication->base, conductor->context->now_ns);
        return result;
    }
    response_channel_on_publication(conductor, &publication->base);
    linking_attach_publication_ipc(conductor, publication);
    return 0;
}

static int add_ipc(struct conductor *conductor, const struct command *command,
                   const struct uri *uri, struct tern_error *error) {
    struct publication_params params;
    int result =
        publication_params_parse(&params, uri, PUBLICATION_IPC, conductor->context->conf, error);
    if (result == 0) {
        result = publication_commands_apply_session_tag(conductor, &params, PUBLICATION_IPC, error);
    }
    if (result == 0) {
        result = response_channel_check(conductor, &params, PUBLICATION_IPC, error);
    }
    if (result < 0) {
        return result;
    }
    bool is_exclusive = command->type == COMMAND_ADD_EXCLUSIVE_PUBLICATION;
    struct publication_ipc *shared =
        is_exclusive ? NULL
                     : find_shared(conductor, command->stream_id, params.response_correlation_id);
    if (shared == NULL) {
        return create_ipc(conductor, command, &params, error);
    }
    result = publication_match_params(&shared->base, &params, error);
    return result < 0 ? result
                      : publication_commands_link(conductor, command, &shared->base, error);
}

int conductor_add_publication(struct conductor *conductor, const struct command *command,
                              struct tern_error *error) {
    struct client_session *session;
    struct uri uri;
    int result = conductor_client(conductor, command->client_id, &session, error);
    result = result < 0 ? result
                        : uri_parse(&uri, command->channel.text, command->channel.length, error);
    result = result < 0 ? result : conductor_check_stream(command, &uri, error);
    if (result < 0) {
        return result;
    }
    if (uri.is_spy) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "aeron-spy: is for subscriptions only");
    }
    if (hash_map_get(&session->publications, command->correlation_id) != NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "registration_id=%lld is in use", (long long)command->correlation_id);
    }
    return uri.media == URI_MEDIA_IPC ? add_ipc(conductor, command, &uri, error)
                                      : network_add_publication(conductor, command, error);
}

void conductor_release_publication(struct conductor *conductor, struct publication *publication) {
    int64_t now_ns = conductor->context->now_ns;
    assert(publication->link_count > 0);
    log_writers_change(publication->log->metadata, -1);
    conductor_wake_publication(conductor, publication);
    if (--publication->link_count > 0) {
        return;
    }
    response_channel_on_settled(conductor, publication);
    if (publication->kind == PUBLICATION_IPC) {
        publication_ipc_on_unreferenced((struct publication_ipc *)publication, now_ns);
    } else {
        publication_net_on_unreferenced((struct publication_net *)publication, now_ns);
    }
}

/* It has left its list; nobody holds a handle. */
void conductor_destroy_publication(struct conductor *conductor, struct publication *publication) {
    (void)hash_map_remove(&conductor->publications_by_id, publication->registration_id);
    if (publication->kind == PUBLICATION_IPC) {
        stream_index_remove(&conductor->ipc_by_stream, &publication->stream_node);
        publication_ipc_destroy((struct publication_ipc *)publication);
    } else {
        stream_index_remove(&conductor->net_by_stream, &publication->stream_node);
        publication_net_destroy((struct publication_net *)publication, &conductor->endpoints_send);
    }
}

int conductor_remove_publication(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error) {
    struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    struct publication *publication =
        session == NULL ? NULL : hash_map_remove(&session->publications, command->registration_id);
    if (publication == NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_UNKNOWN_PUBLICATION),
                         "unknown publication client_id=%lld registration_id=%lld",
                         (long long)command->client_id, (long long)command->registration_id);
    }
    if ((command->flags & COMMAND_FLAG_REVOKE) != 0 &&
        publication->state == PUBLICATION_STATE_ACTIVE) {
        publication_mark_revoked(publication);
    }
    conductor_release_publication(conductor, publication);
    driver_context_respond_success(conductor->context, command->correlation_id);
    return 0;
}

int conductor_next_session_id(struct conductor *conductor, const struct command *command,
                              struct tern_error *error) {
    (void)error;
    const struct response response = {
        .type = RESPONSE_NEXT_SESSION_ID,
        .correlation_id = command->correlation_id,
        .session_id = publication_commands_next_session_id(conductor, command->stream_id),
    };
    driver_context_respond(conductor->context, &response);
    return 0;
}

/* By the original registration id, or by that of the client's own handle. */
static struct publication *find_for_destination(const struct conductor *conductor,
                                                const struct command *command) {
    struct publication *publication =
        hash_map_get(&conductor->publications_by_id, command->registration_id);
    const struct client_session *session = hash_map_get(&conductor->clients, command->client_id);
    if (publication == NULL && session != NULL) {
        publication = hash_map_get(&session->publications, command->registration_id);
    }
    return publication;
}

typedef int (*destination_function)(struct conductor *conductor,
                                    struct publication_net *publication,
                                    const struct command *command, struct tern_error *error);

static int with_publication(struct conductor *conductor, const struct command *command,
                            destination_function function, struct tern_error *error) {
    struct publication *publication = find_for_destination(conductor, command);
    if (publication == NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_UNKNOWN_PUBLICATION),
                         "unknown publication client_id=%lld registration_id=%lld",
                         (long long)command->client_id, (long long)command->registration_id);
    }
    if (publication->kind != PUBLICATION_NET) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "an IPC publication has no destinations: registration_id=%lld",
                         (long long)command->registration_id);
    }
    return function(conductor, (struct publication_net *)publication, command, error);
}

int conductor_add_destination(struct conductor *conductor, const struct command *command,
                              struct tern_error *error) {
    return with_publication(conductor, command, network_add_destination, error);
}

int conductor_remove_destination(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error) {
    return with_publication(conductor, command, network_remove_destination, error);
}

int conductor_remove_destination_by_id(struct conductor *conductor, const struct command *command,
                                       struct tern_error *error) {
    return with_publication(conductor, command, network_remove_destination, error);
}

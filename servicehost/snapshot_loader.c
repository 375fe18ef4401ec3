/* See the header for the states. A snapshot is taken only as a whole: the recording's stop position
 * is asked for first, and reading ends exactly there, so that a replay cut short is an error and
 * never half a state. */
#include "servicehost/snapshot_loader.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uri.h"
#include "wire/cluster_codec.h"

#define SNAPSHOT_TYPE_SERVICE 2
#define FRAGMENT_LIMIT 100

static void enter(struct snapshot_loader *loader, enum snapshot_loader_state state,
                  int64_t now_ns) {
    loader->state = state;
    loader->deadline_ns = now_ns + loader->timeout_ns;
}

static void on_marker(struct snapshot_loader *loader, const uint8_t *buffer, int32_t length) {
    struct cluster_snapshot_marker marker;
    if (cluster_snapshot_marker_decode(&marker, buffer, length) != 0) {
        (void)error_set(&loader->failure, TERN_ERROR_PROTOCOL, "damaged snapshot marker");
    } else if (marker.type_id != SNAPSHOT_TYPE_SERVICE) {
        (void)error_set(&loader->failure, TERN_ERROR_PROTOCOL, "snapshot of type %lld, expected %d",
                        (long long)marker.type_id, SNAPSHOT_TYPE_SERVICE);
    } else if (marker.mark == CLUSTER_SNAPSHOT_MARK_BEGIN) {
        loader->has_begin = true;
        loader->log_position = marker.log_position;
        loader->time_unit = marker.time_unit == SBE_NULL_I32 ? 0 : marker.time_unit;
    } else if (marker.mark == CLUSTER_SNAPSHOT_MARK_END) {
        loader->has_end = loader->has_begin;
    }
}

static void on_session(struct snapshot_loader *loader, const uint8_t *buffer, int32_t length) {
    struct cluster_client_session session;
    if (cluster_client_session_decode(&session, buffer, length) != 0) {
        (void)error_set(&loader->failure, TERN_ERROR_PROTOCOL, "damaged session in snapshot");
        return;
    }
    struct host_session_params params = {
        .session_id = session.cluster_session_id,
        .response_stream_id = session.response_stream_id,
        .response_channel = session.response_channel.text,
        .response_channel_length = session.response_channel.length,
        .principal = session.encoded_principal.text,
        .principal_length = session.encoded_principal.length,
    };
    if (host_sessions_add(loader->sessions, &params) == NULL) {
        (void)error_set(&loader->failure, TERN_ERROR_PROTOCOL,
                        "session %lld stands twice in the snapshot",
                        (long long)session.cluster_session_id);
    }
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)header;
    struct snapshot_loader *loader = context;
    struct sbe_header message;
    if (loader->failure.code != 0) {
        return;
    }
    if (loader->has_end) {
        int result = message_list_append(&loader->messages, buffer, length);
        if (result != 0) {
            (void)error_set_errno(&loader->failure, -result, "cannot hold the snapshot");
        }
        return;
    }
    if (sbe_peek(&message, buffer, length) != 0 || message.schema_id != CLUSTER_SCHEMA_ID) {
        (void)error_set(&loader->failure, TERN_ERROR_PROTOCOL,
                        "snapshot recording %lld does not begin with a snapshot of a service",
                        (long long)loader->recording_id);
    } else if (message.template_id == CLUSTER_TEMPLATE_SNAPSHOT_MARKER) {
        on_marker(loader, buffer, length);
    } else if (message.template_id == CLUSTER_TEMPLATE_CLIENT_SESSION && loader->has_begin) {
        on_session(loader, buffer, length);
    }
}

int snapshot_loader_start(struct snapshot_loader *loader,
                          const struct snapshot_loader_params *params, struct tern_error *error) {
    *loader = (struct snapshot_loader){
        .client = params->client,
        .channel = params->replay_channel,
        .stream_id = params->replay_stream_id,
        .recording_id = params->recording_id,
        .timeout_ns = params->timeout_ns,
        .sessions = params->sessions,
        .messages = {.message_length_max = INT32_MAX},
    };
    enter(loader, SNAPSHOT_LOADER_CONNECT, params->now_ns);
    loader->assembler = tern_fragment_assembler_create(on_message, loader);
    if (loader->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory to load a snapshot");
    }
    return tern_archive_connect_begin(&loader->connecting, params->archive, error);
}

static int connect_step(struct snapshot_loader *loader, int64_t now_ns, struct tern_error *error) {
    int result = tern_archive_connect_poll(loader->connecting, now_ns, &loader->archive, error);
    if (result != 0) {
        loader->connecting = NULL;
    }
    if (result > 0) {
        enter(loader, SNAPSHOT_LOADER_ASK_END, now_ns);
        return 0;
    }
    return result;
}

/* Take what a send function returned: go on to `next` when it went out. */
static int sent_step(struct snapshot_loader *loader, int64_t sent, int64_t now_ns,
                     enum snapshot_loader_state next, struct tern_error *error) {
    if (sent == -EAGAIN) {
        return 0;
    }
    if (sent < 0) {
        return error_set(error, (int)sent, "cannot ask the archive for snapshot recording %lld: %s",
                         (long long)loader->recording_id, tern_error_name((int)sent));
    }
    loader->correlation_id = sent;
    enter(loader, next, now_ns);
    return 0;
}

static int await_end_step(struct snapshot_loader *loader, int64_t now_ns,
                          struct tern_error *error) {
    int result = tern_archive_poll_response(loader->archive, loader->correlation_id,
                                            &loader->end_position, error);
    if (result <= 0) {
        return result;
    }
    if (loader->end_position == TERN_ARCHIVE_NULL) {
        return error_set(error, TERN_ERROR_PROTOCOL, "snapshot recording %lld is not finished",
                         (long long)loader->recording_id);
    }
    enter(loader, SNAPSHOT_LOADER_REPLAY, now_ns);
    return 0;
}

static int replay_step(struct snapshot_loader *loader, int64_t now_ns, struct tern_error *error) {
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, loader->recording_id, loader->channel,
                                    loader->stream_id);
    return sent_step(loader, tern_archive_send_replay(loader->archive, &params), now_ns,
                     SNAPSHOT_LOADER_AWAIT_REPLAY, error);
}

static int await_replay_step(struct snapshot_loader *loader, int64_t now_ns,
                             struct tern_error *error) {
    int64_t replay_session_id;
    char channel[URI_LENGTH_MAX + 1];
    int result = tern_archive_poll_response(loader->archive, loader->correlation_id,
                                            &replay_session_id, error);
    if (result <= 0) {
        return result;
    }
    loader->replay_session_id = tern_archive_replay_session_id(replay_session_id);
    if (tern_archive_channel_with_session(loader->channel, loader->replay_session_id, channel,
                                          sizeof channel) != 0) {
        return error_set(error, -ENAMETOOLONG, "replay channel is too long");
    }
    struct tern_subscription_params params = {.channel = channel, .stream_id = loader->stream_id};
    loader->subscription_request =
        tern_client_async_add_subscription(loader->client, &params, error);
    if (loader->subscription_request == NULL) {
        return error->code;
    }
    enter(loader, SNAPSHOT_LOADER_SUBSCRIBE, now_ns);
    return 0;
}

static int subscribe_step(struct snapshot_loader *loader, int64_t now_ns,
                          struct tern_error *error) {
    int result =
        tern_async_poll_subscription(loader->subscription_request, &loader->subscription, error);
    if (result != 0) {
        loader->subscription_request = NULL;
    }
    if (result > 0) {
        enter(loader, SNAPSHOT_LOADER_AWAIT_IMAGE, now_ns);
        return 0;
    }
    return result;
}

static void await_image_step(struct snapshot_loader *loader, int64_t now_ns) {
    loader->image =
        tern_subscription_image_by_session_id(loader->subscription, loader->replay_session_id);
    if (loader->image != NULL) {
        enter(loader, SNAPSHOT_LOADER_READ, now_ns);
    }
}

static int read_step(struct snapshot_loader *loader, int64_t now_ns, struct tern_error *error) {
    int fragments = tern_image_poll(loader->image, tern_fragment_assembler_on_fragment,
                                    loader->assembler, FRAGMENT_LIMIT);
    if (loader->failure.code != 0) {
        *error = loader->failure;
        return error->code;
    }
    if (tern_image_position(loader->image) >= loader->end_position) {
        if (!loader->has_end) {
            return error_set(error, TERN_ERROR_PROTOCOL,
                             "snapshot recording %lld has no end marker",
                             (long long)loader->recording_id);
        }
        return 1;
    }
    if (fragments > 0) {
        loader->deadline_ns = now_ns + loader->timeout_ns;
    } else if (tern_image_is_closed(loader->image)) {
        return error_set(error, -EIO, "replay of snapshot recording %lld ended at %lld of %lld",
                         (long long)loader->recording_id,
                         (long long)tern_image_position(loader->image),
                         (long long)loader->end_position);
    }
    return 0;
}

int snapshot_loader_step(struct snapshot_loader *loader, int64_t now_ns, struct tern_error *error) {
    if (now_ns > loader->deadline_ns) {
        return error_set(error, -ETIMEDOUT,
                         "loading snapshot recording %lld made no progress in step %d for %lld ms",
                         (long long)loader->recording_id, (int)loader->state,
                         (long long)(loader->timeout_ns / NS_PER_MS));
    }
    switch (loader->state) {
    case SNAPSHOT_LOADER_IDLE:
        return 0;
    case SNAPSHOT_LOADER_CONNECT:
        return connect_step(loader, now_ns, error);
    case SNAPSHOT_LOADER_ASK_END:
        return sent_step(loader,
                         tern_archive_send_stop_position(loader->archive, loader->recording_id),
                         now_ns, SNAPSHOT_LOADER_AWAIT_END, error);
    case SNAPSHOT_LOADER_AWAIT_END:
        return await_end_step(loader, now_ns, error);
    case SNAPSHOT_LOADER_REPLAY:
        return replay_step(loader, now_ns, error);
    case SNAPSHOT_LOADER_AWAIT_REPLAY:
        return await_replay_step(loader, now_ns, error);
    case SNAPSHOT_LOADER_SUBSCRIBE:
        return subscribe_step(loader, now_ns, error);
    case SNAPSHOT_LOADER_AWAIT_IMAGE:
        await_image_step(loader, now_ns);
        return 0;
    case SNAPSHOT_LOADER_READ:
        return read_step(loader, now_ns, error);
    }
    return 0;
}

void snapshot_loader_close(struct snapshot_loader *loader) {
    tern_archive_connect_cancel(loader->connecting);
    tern_async_cancel(loader->subscription_request);
    tern_image_release(loader->image);
    tern_subscription_close(loader->subscription);
    tern_archive_close(loader->archive);
    tern_fragment_assembler_destroy(loader->assembler);
    message_list_close(&loader->messages);
    *loader = (struct snapshot_loader){.state = SNAPSHOT_LOADER_IDLE};
}

/* Replications: this archive as a client of another one.
 *
 *   CONNECT -> DESCRIPTOR -> EXTEND -> REPLAY -> REPLAY_ANSWER -> IMAGE -> COPY -> DONE
 *
 * The copy is an ordinary extension of the target recording by the stream of a replay at the
 * source, so everything that recordings promise holds for it. Each state but COPY must make
 * progress within the message time-out. Whatever happens, the client gets REPLICATE_END at last;
 * data that arrived stay in the target, which can be continued by another replication.
 *
 * Not built yet, and refused by name: live destinations, tags, response channels. They need receive
 * destinations and response channels in the media driver.
 */
#include "archived/replication.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archived/control_session.h"
#include "archived/recording.h"

enum replication_state {
    REPLICATION_STATE_CONNECT,
    REPLICATION_STATE_DESCRIPTOR, /* ask for the source's descriptor, and take it */
    REPLICATION_STATE_EXTEND,     /* the recording subscription is being added */
    REPLICATION_STATE_REPLAY,     /* ask for the replay, when our port is known */
    REPLICATION_STATE_REPLAY_ANSWER,
    REPLICATION_STATE_IMAGE,
    REPLICATION_STATE_COPY,
    REPLICATION_STATE_DONE,
};

struct replication {
    struct archive_server *server;
    enum replication_state state;
    int64_t id;
    int64_t control_session_id;
    int64_t source_recording_id;
    int64_t target_recording_id;
    int64_t requested_stop_position; /* ARCHIVE_NULL: none */
    int32_t io_length_max;
    int32_t wanted_session_id; /* -1: that of the source */
    int32_t replay_stream_id;
    struct uri_builder channel; /* on which the copy arrives */
    struct tern_archive_connect *connect;
    struct tern_archive *source;
    struct recording_subscription *subscription; /* while it is in the server's list */
    int64_t sent; /* correlation id at the source; -1: nothing asked */
    int64_t replay_session_id;
    int64_t source_stop_position; /* ARCHIVE_NULL: the source is active */
    int64_t position;             /* where the copy begins */
    int64_t deadline_ns;
    bool is_aborted;
};

static void set_state(struct replication *replication, enum replication_state state) {
    assert(state > replication->state);
    replication->state = state;
    replication->sent = ARCHIVE_NULL;
    replication->deadline_ns =
        replication->server->now_ns + replication->server->conf->message_timeout_ns;
}

static void send_signal(const struct replication *replication, int32_t signal,
                        int64_t subscription_id, int64_t position) {
    const struct control_signal event = {
        .control_session_id = replication->control_session_id,
        .correlation_id = replication->id,
        .recording_id = replication->target_recording_id,
        .subscription_id = subscription_id,
        .position = position,
        .signal = signal,
    };
    control_send_signal(replication->server, &event);
}

static void fail(struct replication *replication, int64_t code, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void fail(struct replication *replication, int64_t code, const char *format, ...) {
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    archive_server_error(replication->server, -EIO, "replication of recording %" PRId64 ": %s",
                         replication->source_recording_id, text);
    control_respond_error(replication->server, replication->control_session_id, replication->id,
                          code, "%s", text);
    set_state(replication, REPLICATION_STATE_DONE);
}

/* ---- create
 * ----------------------------------------------------------------------------------------- */

static int check_channel(const struct uri *uri, const struct replication_params *params,
                         struct archive_refusal *refusal) {
    const char *mode = uri_get(uri, "control-mode");
    bool is_response = mode != NULL && strcmp(mode, "response") == 0;
    bool is_tagged =
        params->channel_tag_id != ARCHIVE_NULL || params->subscription_tag_id != ARCHIVE_NULL;
    const char *missing = params->live_destination.length > 0 ? "a live destination"
                          : is_tagged                         ? "tags"
                          : is_response                       ? "a response channel"
                                                              : NULL;
    if (missing != NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                              "replication with %s is not supported yet", missing);
    }
    return 0;
}

static int check_target(const struct archive_server *server,
                        const struct replication_params *params, struct archive_refusal *refusal) {
    struct archive_catalog_record record;
    if (params->target_recording_id == ARCHIVE_NULL) {
        return 0;
    }
    if (!catalog_get(&server->catalog, params->target_recording_id, &record)) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
                              "unknown recording %" PRId64, params->target_recording_id);
    }
    if (record.stop_position == ARCHIVE_NULL ||
        archive_server_recording(server, record.recording_id) != NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_ACTIVE_RECORDING,
                              "recording %" PRId64 " is active", params->target_recording_id);
    }
    return 0;
}

/* Where the source answers: as configured, else any port of the host of our control channel. */
static int response_channel(const struct archive_server *server,
                            const struct replication_params *params, struct uri_builder *channel) {
    char text[URI_LENGTH_MAX + 1];
    if (params->source_response_channel.length > 0) {
        (void)snprintf(text, sizeof text, "%.*s", params->source_response_channel.length,
                       params->source_response_channel.text);
        return uri_builder_init(channel, text);
    }
    if (server->conf->control_response_channel[0] != '\0') {
        return uri_builder_init(channel, server->conf->control_response_channel);
    }
    struct uri uri;
    const char *control = server->conf->control_channel;
    const char *endpoint = NULL;
    if (uri_parse(&uri, control, (int32_t)strlen(control), NULL) == 0) {
        endpoint = uri_get(&uri, "endpoint");
    }
    const char *colon = endpoint != NULL ? strrchr(endpoint, ':') : NULL;
    if (colon == NULL) {
        return -EINVAL;
    }
    (void)snprintf(text, sizeof text, "aeron:udp?endpoint=%.*s:0", (int)(colon - endpoint),
                   endpoint);
    return uri_builder_init(channel, text);
}

static int begin_connect(struct replication *replication, const struct replication_params *params,
                         struct archive_refusal *refusal) {
    struct archive_server *server = replication->server;
    struct uri_builder response;
    if (response_channel(server, params, &response) != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                              "no usable response channel: set control_response_channel");
    }
    char request[URI_LENGTH_MAX + 1];
    char name[128];
    (void)snprintf(request, sizeof request, "%.*s", params->source_control_channel.length,
                   params->source_control_channel.text);
    (void)snprintf(name, sizeof name, "%.50s replicationSessionId=%" PRId64,
                   server->conf->client_name, replication->id);
    const struct tern_archive_params archive_params = {
        .client = server->client,
        .request_channel = request,
        .response_channel = response.text,
        .request_stream_id = params->source_control_stream_id,
        .response_stream_id = server->conf->control_response_stream_id,
        .control_term_length = server->conf->control_term_length,
        .control_mtu_length = server->conf->control_mtu_length,
        .control_term_not_sparse = !server->conf->control_term_sparse,
        .message_timeout_ns = server->conf->message_timeout_ns,
        .client_name = name,
        .credentials = params->credentials.text,
        .credentials_length = params->credentials.length,
    };
    struct tern_error error;
    int result = tern_archive_connect_begin(&replication->connect, &archive_params, &error);
    return result == 0 ? 0
                       : archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                                        "source control channel: %s", error.text);
}

static int fill(struct replication *replication, const struct replication_params *params,
                struct archive_refusal *refusal) {
    struct archive_server *server = replication->server;
    const char *configured = server->conf->replication_channel;
    struct text_slice channel = params->replication_channel;
    if (channel.length == 0) {
        channel = (struct text_slice){configured, (int32_t)strlen(configured)};
    }
    struct uri uri;
    struct tern_error error;
    if (uri_parse(&uri, channel.text, channel.length, &error) != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "replication channel: %s",
                              error.text);
    }
    if (check_channel(&uri, params, refusal) != 0 || check_target(server, params, refusal) != 0) {
        return -1;
    }
    char text[URI_LENGTH_MAX + 1];
    (void)snprintf(text, sizeof text, "%.*s", channel.length, channel.text);
    if (uri_builder_init(&replication->channel, text) != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                              "replication channel is too long");
    }
    replication->id = params->replication_id;
    replication->control_session_id = params->control_session_id;
    replication->source_recording_id = params->source_recording_id;
    replication->target_recording_id = params->target_recording_id;
    replication->requested_stop_position = params->stop_position;
    replication->io_length_max = params->io_length_max;
    replication->wanted_session_id = params->session_id;
    replication->sent = ARCHIVE_NULL;
    replication->replay_session_id = ARCHIVE_NULL;
    return begin_connect(replication, params, refusal);
}

int replication_create(struct archive_server *server, const struct replication_params *params,
                       struct archive_refusal *refusal) {
    struct replication *replication = calloc(1, sizeof *replication);
    if (replication == NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    replication->server = server;
    int result = fill(replication, params, refusal);
    if (result == 0 && session_list_add(&server->replications, replication) != 0) {
        result = archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    if (result != 0) {
        tern_archive_connect_cancel(replication->connect);
        free(replication);
    }
    return result;
}

void replication_destroy(struct replication *replication) {
    tern_archive_connect_cancel(replication->connect);
    tern_archive_close(replication->source);
    free(replication);
}

bool replication_stop(const struct archive_server *server, int64_t replication_id) {
    for (int i = 0; i < server->replications.count; i++) {
        struct replication *replication = server->replications.items[i];
        if (replication->id == replication_id && replication->state != REPLICATION_STATE_DONE) {
            replication->is_aborted = true;
            return true;
        }
    }
    return false;
}

/* ---- connect and descriptor
 * ------------------------------------------------------------------------- */

static int step_connect(struct replication *replication) {
    struct tern_error error;
    int result = tern_archive_connect_poll(replication->connect, replication->server->now_ns,
                                           &replication->source, &error);
    if (result == 0) {
        return 0;
    }
    replication->connect = NULL;
    if (result < 0) {
        fail(replication, TERN_ARCHIVE_ERROR_REPLICATION_CONNECTION,
             "cannot connect to the source archive: %s", error.text);
    } else {
        set_state(replication, REPLICATION_STATE_DESCRIPTOR);
    }
    return 1;
}

/* The record that the target begins as: the source's, empty. */
static struct archive_catalog_record target_record(const struct tern_archive_recording *source,
                                                   int32_t session_id) {
    const char *stripped = source->stripped_channel;
    const char *original = source->original_channel;
    const char *identity = source->source_identity;
    return (struct archive_catalog_record){
        .start_timestamp = source->start_timestamp_ms,
        .stop_timestamp = source->start_timestamp_ms,
        .start_position = source->start_position,
        .stop_position = source->start_position,
        .initial_term_id = source->initial_term_id,
        .segment_file_length = source->segment_file_length,
        .term_buffer_length = source->term_length,
        .mtu_length = source->mtu_length,
        .session_id = session_id,
        .stream_id = source->stream_id,
        .stripped_channel = {stripped, (int32_t)strlen(stripped)},
        .original_channel = {original, (int32_t)strlen(original)},
        .source_identity = {identity, (int32_t)strlen(identity)},
    };
}

/* Make or fit the target; false when that failed. */
static bool prepare_target(struct replication *replication,
                           const struct tern_archive_recording *source, int32_t session_id) {
    struct archive_server *server = replication->server;
    const struct archive_catalog_record record = target_record(source, session_id);
    struct tern_error error;
    struct archive_catalog_record target;
    int result = 0;
    replication->position = source->start_position;
    if (replication->target_recording_id == ARCHIVE_NULL) {
        result = catalog_add(&server->catalog, &record, &replication->target_recording_id, &error);
        if (result == 0) {
            send_signal(replication, ARCHIVE_RECORDING_SIGNAL_REPLICATE, ARCHIVE_NULL,
                        replication->position);
        }
    } else if (!catalog_get(&server->catalog, replication->target_recording_id, &target)) {
        fail(replication, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING, "the target was removed");
        return false;
    } else if (target.start_position == target.stop_position) {
        result =
            catalog_replace(&server->catalog, replication->target_recording_id, &record, &error);
    } else {
        replication->position = target.stop_position;
    }
    if (result != 0) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
    }
    return result == 0;
}

/* Is the source's geometry one that a catalog can hold? It comes from another machine. */
static bool source_is_sound(const struct tern_archive_recording *source) {
    return source->start_position >= 0 && source->start_position % 32 == 0 &&
           (source->stop_position == ARCHIVE_NULL ||
            source->stop_position >= source->start_position) &&
           is_power_of_two(source->term_length) && source->term_length >= 65536 &&
           is_power_of_two(source->segment_file_length) &&
           source->segment_file_length >= source->term_length && source->mtu_length > 32 &&
           source->mtu_length <= 65504 && source->mtu_length % 32 == 0;
}

/* Ask for the stream that the replay will be: an extension of the target. */
static void begin_extension(struct replication *replication, int32_t session_id) {
    struct archive_server *server = replication->server;
    struct uri_builder channel = replication->channel;
    if (uri_builder_set(&channel, "rejoin", "false") != 0 ||
        uri_builder_set_i64(&channel, "session-id", session_id) != 0) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "replication channel is too long");
        return;
    }
    const struct recording_subscription_params params = {
        .control_session_id = replication->control_session_id,
        .correlation_id = replication->id,
        .extended_recording_id = replication->target_recording_id,
        .stream_id = replication->replay_stream_id,
        .source_location = ARCHIVE_SOURCE_LOCATION_REMOTE,
        .auto_stop = true,
        .channel = {channel.text, channel.length},
    };
    struct archive_refusal refusal;
    int before = server->subscriptions.count;
    if (recording_subscription_create(server, &params, &refusal) != 0) {
        fail(replication, refusal.code, "%s", refusal.text);
        return;
    }
    replication->subscription = server->subscriptions.items[before];
    (void)uri_builder_set_i64(&replication->channel, "session-id", session_id);
    set_state(replication, REPLICATION_STATE_EXTEND);
}

static void on_descriptor(void *context, const struct tern_archive_recording *source) {
    struct replication *replication = context;
    if (replication->state != REPLICATION_STATE_DESCRIPTOR ||
        source->correlation_id != replication->sent ||
        source->recording_id != replication->source_recording_id) {
        return;
    }
    if (!source_is_sound(source)) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "the source's descriptor cannot be true");
        return;
    }
    if (replication->io_length_max > 0 && replication->io_length_max < source->mtu_length) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "file I/O length %d is below the MTU %d",
             replication->io_length_max, source->mtu_length);
        return;
    }
    int32_t session_id =
        replication->wanted_session_id != -1 ? replication->wanted_session_id : source->session_id;
    replication->source_stop_position = source->stop_position;
    replication->replay_stream_id = source->stream_id;
    if (!prepare_target(replication, source, session_id)) {
        return;
    }
    bool is_nothing_left =
        source->stop_position != ARCHIVE_NULL && (source->stop_position == source->start_position ||
                                                  source->stop_position == replication->position);
    if (is_nothing_left) {
        send_signal(replication, ARCHIVE_RECORDING_SIGNAL_SYNC, ARCHIVE_NULL,
                    replication->position);
        set_state(replication, REPLICATION_STATE_DONE);
    } else {
        begin_extension(replication, session_id);
    }
}

/* ---- answers of the source
 * --------------------------------------------------------------------------- */

static void on_response(void *context, const struct tern_archive_response *response) {
    struct replication *replication = context;
    if (replication->state == REPLICATION_STATE_DONE) {
        return;
    }
    bool is_awaited = response->correlation_id == replication->sent;
    if (response->code == TERN_ARCHIVE_RECORDING_UNKNOWN && is_awaited) {
        fail(replication, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
             "the source archive has no recording %" PRId64, replication->source_recording_id);
    } else if (response->code == TERN_ARCHIVE_ERROR) {
        fail(replication, response->relevant_id, "the source archive says: %s", response->text);
    } else if (response->code == TERN_ARCHIVE_OK && is_awaited &&
               replication->state == REPLICATION_STATE_REPLAY_ANSWER) {
        replication->replay_session_id = response->relevant_id;
        set_state(replication, REPLICATION_STATE_IMAGE);
    }
}

/* Returns work done; a source that has gone ends the replication. */
static int poll_source(struct replication *replication) {
    const struct tern_archive_handlers handlers = {
        .context = replication, .on_response = on_response, .on_recording = on_descriptor};
    int result = tern_archive_poll(replication->source, &handlers);
    if (result < 0 && replication->state != REPLICATION_STATE_DONE) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "the source archive has gone");
        return 1;
    }
    return result > 0 ? result : 0;
}

/* Note what a send function returned; a refusal for good ends the replication. */
static void note_sent(struct replication *replication, int64_t sent) {
    if (sent >= 0) {
        replication->sent = sent;
    } else if (sent != -EAGAIN) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "cannot send to the source archive");
    }
}

/* ---- steps
 * ------------------------------------------------------------------------------------------- */

/* The subscription ends by itself; look whether it is still in the list before using it. */
static struct recording_subscription *subscription_of(struct replication *replication) {
    const struct session_list *list = &replication->server->subscriptions;
    for (int i = 0; i < list->count; i++) {
        if (list->items[i] == replication->subscription) {
            return replication->subscription;
        }
    }
    replication->subscription = NULL;
    return NULL;
}

static int step_extend(struct replication *replication) {
    const struct recording_subscription *subscription = subscription_of(replication);
    if (subscription == NULL) {
        set_state(replication, REPLICATION_STATE_DONE); /* the client was told why */
        return 1;
    }
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ACTIVE) {
        set_state(replication, REPLICATION_STATE_REPLAY);
        return 1;
    }
    return 0;
}

/* The channel for the source to send to: ours, with the port that was bound. */
static int replay_channel(struct replication *replication,
                          const struct recording_subscription *subscription,
                          struct uri_builder *channel) {
    *channel = replication->channel;
    struct uri uri;
    int result = uri_parse(&uri, channel->text, channel->length, NULL);
    const char *endpoint = result == 0 ? uri_get(&uri, "endpoint") : NULL;
    size_t length = endpoint != NULL ? strlen(endpoint) : 0;
    if (length < 2 || strcmp(endpoint + length - 2, ":0") != 0) {
        return 1;
    }
    char resolved[URI_LENGTH_MAX + 1];
    result = tern_subscription_resolved_channel(subscription->subscription, resolved,
                                                (int32_t)sizeof resolved);
    if (result <= 0) {
        return result;
    }
    result = uri_parse(&uri, resolved, result, NULL);
    endpoint = result == 0 ? uri_get(&uri, "endpoint") : NULL;
    return endpoint != NULL && uri_builder_set(channel, "endpoint", endpoint) == 0 ? 1 : -EINVAL;
}

static int step_replay(struct replication *replication) {
    const struct recording_subscription *subscription = subscription_of(replication);
    if (subscription == NULL || subscription->state == RECORDING_SUBSCRIPTION_STATE_ENDING) {
        set_state(replication, REPLICATION_STATE_DONE);
        return 1;
    }
    struct uri_builder channel;
    int result = replay_channel(replication, subscription, &channel);
    if (result < 0) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "replication channel cannot be resolved");
    }
    if (result <= 0) {
        return 0;
    }
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, replication->source_recording_id, channel.text,
                                    replication->replay_stream_id);
    params.position = replication->position;
    params.file_io_length_max = replication->io_length_max;
    if (replication->requested_stop_position != ARCHIVE_NULL) {
        params.length = replication->requested_stop_position - replication->position;
    }
    int64_t sent = tern_archive_send_replay(replication->source, &params);
    if (sent >= 0) {
        set_state(replication, REPLICATION_STATE_REPLAY_ANSWER);
    }
    note_sent(replication, sent);
    return 1;
}

static int step_image(struct replication *replication) {
    if (archive_server_recording(replication->server, replication->target_recording_id) != NULL) {
        set_state(replication, REPLICATION_STATE_COPY);
        return 1;
    }
    if (subscription_of(replication) == NULL) {
        set_state(replication, REPLICATION_STATE_DONE); /* e.g. the image did not fit */
        return 1;
    }
    return 0;
}

static int step_copy(struct replication *replication) {
    const struct recording *recording =
        archive_server_recording(replication->server, replication->target_recording_id);
    if (recording == NULL) {
        set_state(replication, REPLICATION_STATE_DONE);
        return 1;
    }
    int64_t position = recording->reported_position;
    if (replication->source_stop_position != ARCHIVE_NULL &&
        position >= replication->source_stop_position) {
        send_signal(replication, ARCHIVE_RECORDING_SIGNAL_SYNC, recording->subscription->id,
                    position);
        set_state(replication, REPLICATION_STATE_DONE);
    } else if ((replication->requested_stop_position != ARCHIVE_NULL &&
                position >= replication->requested_stop_position) ||
               recording->state == RECORDING_STATE_ENDED) {
        set_state(replication, REPLICATION_STATE_DONE);
    } else {
        return 0;
    }
    return 1;
}

static int step_state(struct replication *replication) {
    switch (replication->state) {
    case REPLICATION_STATE_CONNECT:
        return step_connect(replication);
    case REPLICATION_STATE_DESCRIPTOR:
        if (replication->sent == ARCHIVE_NULL) {
            note_sent(replication, tern_archive_send_list_recording(
                                       replication->source, replication->source_recording_id));
        }
        return 0;
    case REPLICATION_STATE_EXTEND:
        return step_extend(replication);
    case REPLICATION_STATE_REPLAY:
        return step_replay(replication);
    case REPLICATION_STATE_REPLAY_ANSWER:
        return 0;
    case REPLICATION_STATE_IMAGE:
        return step_image(replication);
    case REPLICATION_STATE_COPY:
        return step_copy(replication);
    case REPLICATION_STATE_DONE:
        break;
    }
    return 0;
}

/* Stop what was started, tell the client. */
static void finish(struct replication *replication) {
    struct recording_subscription *subscription = subscription_of(replication);
    if (replication->source != NULL && replication->replay_session_id != ARCHIVE_NULL) {
        (void)tern_archive_send_stop_replay(replication->source, replication->replay_session_id);
    }
    send_signal(replication, ARCHIVE_RECORDING_SIGNAL_REPLICATE_END, ARCHIVE_NULL, ARCHIVE_NULL);
    if (subscription != NULL) {
        recording_subscription_stop(subscription);
    }
    replication_destroy(replication);
}

int replication_step(struct replication *replication, bool *is_alive) {
    int work = 0;
    if (replication->is_aborted && replication->state != REPLICATION_STATE_DONE) {
        set_state(replication, REPLICATION_STATE_DONE);
    }
    if (replication->source != NULL && replication->state != REPLICATION_STATE_DONE) {
        work += poll_source(replication);
    }
    work += step_state(replication);
    bool is_waiting = replication->state != REPLICATION_STATE_CONNECT &&
                      replication->state != REPLICATION_STATE_COPY &&
                      replication->state != REPLICATION_STATE_DONE;
    if (is_waiting && replication->server->now_ns >= replication->deadline_ns) {
        fail(replication, TERN_ARCHIVE_ERROR_GENERIC, "no progress in time");
    }
    *is_alive = replication->state != REPLICATION_STATE_DONE;
    if (!*is_alive) {
        finish(replication);
        work++;
    }
    return work;
}

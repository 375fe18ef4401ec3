/* Requests that start, extend and stop recordings (archive.md 5.1 to 5.3). */
#include <errno.h>
#include <inttypes.h>

#include <tern/archive.h>

#include "archived/channel.h"
#include "archived/deletion.h"
#include "archived/recording.h"
#include "archived/request.h"

/* What start and extend check in common. */
static bool has_room(const struct archive_request *request) {
    struct archive_server *server = request->server;
    if (server->recordings.count >= server->conf->recordings_max) {
        request_error(request, TERN_ARCHIVE_ERROR_MAX_RECORDINGS,
                      "%d recordings are active, the limit", server->recordings.count);
        return false;
    }
    return true;
}

static bool has_space(const struct archive_request *request) {
    struct archive_server *server = request->server;
    int64_t space = server->io.store->usable_space(server->io.store->context, server->conf->dir);
    if (space < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "cannot tell how much storage space is left");
        return false;
    }
    if (space <= server->conf->storage_threshold) {
        request_error(request, TERN_ARCHIVE_ERROR_STORAGE_SPACE,
                      "only %" PRId64 " bytes of storage space are left, the limit is %" PRId64,
                      space, server->conf->storage_threshold);
        return false;
    }
    return true;
}

static void create(const struct archive_request *request,
                   struct recording_subscription_params *params) {
    struct archive_refusal refusal;
    params->control_session_id = request->session->id;
    params->correlation_id = request->correlation_id;
    if (recording_subscription_create(request->server, params, &refusal) != 0) {
        request_refused(request, &refusal);
    }
}

static void start(const struct archive_request *request,
                  struct recording_subscription_params *params) {
    params->extended_recording_id = ARCHIVE_NULL;
    if (has_room(request) && has_space(request)) {
        create(request, params);
    }
}

int request_start_recording(struct archive_request *request) {
    struct archive_start_recording_request decoded;
    int result =
        archive_start_recording_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct recording_subscription_params params = {.stream_id = decoded.stream_id,
                                                       .source_location = decoded.source_location,
                                                       .channel = decoded.channel};
        start(request, &params);
    }
    return result;
}

int request_start_recording2(struct archive_request *request) {
    struct archive_start_recording_request2 decoded;
    int result =
        archive_start_recording_request2_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct recording_subscription_params params = {.stream_id = decoded.stream_id,
                                                       .source_location = decoded.source_location,
                                                       .auto_stop = decoded.auto_stop ==
                                                                    ARCHIVE_BOOLEAN_TYPE_TRUE,
                                                       .channel = decoded.channel};
        start(request, &params);
    }
    return result;
}

static void extend(const struct archive_request *request,
                   struct recording_subscription_params *params) {
    struct archive_server *server = request->server;
    struct archive_catalog_record record;
    if (!has_room(request) || !request_record(request, params->extended_recording_id, &record)) {
        return;
    }
    if (record.stream_id != params->stream_id) {
        request_error(request, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
                      "recording %" PRId64 " is of stream %d, not %d", record.recording_id,
                      record.stream_id, params->stream_id);
    } else if (archive_server_recording(server, record.recording_id) != NULL) {
        request_error(request, TERN_ARCHIVE_ERROR_ACTIVE_RECORDING,
                      "recording %" PRId64 " is active", record.recording_id);
    } else if (deletion_reaches(server, record.recording_id, record.stop_position)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "segments at the end of recording %" PRId64 " are being deleted",
                      record.recording_id);
    } else if (has_space(request)) {
        create(request, params);
    }
}

int request_extend_recording(struct archive_request *request) {
    struct archive_extend_recording_request decoded;
    int result =
        archive_extend_recording_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct recording_subscription_params params = {.extended_recording_id =
                                                           decoded.recording_id,
                                                       .stream_id = decoded.stream_id,
                                                       .source_location = decoded.source_location,
                                                       .channel = decoded.channel};
        extend(request, &params);
    }
    return result;
}

int request_extend_recording2(struct archive_request *request) {
    struct archive_extend_recording_request2 decoded;
    int result =
        archive_extend_recording_request2_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct recording_subscription_params params = {
            .extended_recording_id = decoded.recording_id,
            .stream_id = decoded.stream_id,
            .source_location = decoded.source_location,
            .auto_stop = decoded.auto_stop == ARCHIVE_BOOLEAN_TYPE_TRUE,
            .channel = decoded.channel};
        extend(request, &params);
    }
    return result;
}

static void stop(const struct archive_request *request,
                 struct recording_subscription *subscription) {
    if (subscription == NULL) {
        request_error(request, TERN_ARCHIVE_ERROR_UNKNOWN_SUBSCRIPTION,
                      "no such recording subscription");
        return;
    }
    request_ok(request, 0);
    recording_subscription_stop(subscription);
}

int request_stop_recording(struct archive_request *request) {
    struct archive_stop_recording_request decoded;
    int result = archive_stop_recording_request_decode(&decoded, request->message, request->length);
    if (result != 0) {
        return result;
    }
    struct uri uri;
    struct tern_error error;
    if (uri_parse(&uri, decoded.channel.text, decoded.channel.length, &error) != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
        return 0;
    }
    char key[CHANNEL_KEY_MAX];
    channel_subscription_key(&uri, decoded.stream_id, key);
    stop(request, recording_subscription_find_by_key(request->server, key));
    return 0;
}

int request_stop_recording_subscription(struct archive_request *request) {
    struct archive_stop_recording_subscription_request decoded;
    int result = archive_stop_recording_subscription_request_decode(&decoded, request->message,
                                                                    request->length);
    if (result == 0) {
        /* A subscription that is still being added has no id yet. */
        stop(request, decoded.subscription_id == ARCHIVE_NULL
                          ? NULL
                          : recording_subscription_find(request->server, decoded.subscription_id));
    }
    return result;
}

int request_stop_recording_by_identity(struct archive_request *request) {
    struct archive_stop_recording_by_identity_request decoded;
    int result = archive_stop_recording_by_identity_request_decode(&decoded, request->message,
                                                                   request->length);
    struct archive_catalog_record record;
    if (result != 0 || !request_record(request, decoded.recording_id, &record)) {
        return result;
    }
    struct recording *recording = archive_server_recording(request->server, decoded.recording_id);
    bool is_stopped =
        recording != NULL && recording->subscription->state != RECORDING_SUBSCRIPTION_STATE_ENDING;
    request_ok(request, is_stopped ? 1 : 0);
    if (recording != NULL) {
        recording_abort(recording);
        recording_subscription_stop(recording->subscription);
    }
    return 0;
}

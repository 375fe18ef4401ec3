/* Requests that ask: listings, positions, find-last; and update-channel, which the protocol treats
 * as a listing of one (archive.md 5.4, 5.5, 5.12). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/channel.h"
#include "archived/recording.h"
#include "archived/request.h"

static bool may_list(const struct archive_request *request) {
    if (listing_is_active(&request->session->listing)) {
        request_error(request, TERN_ARCHIVE_ERROR_ACTIVE_LISTING,
                      "a listing of this session is active");
        return false;
    }
    return true;
}

static void list(const struct archive_request *request, struct listing *values,
                 struct text_slice fragment) {
    if (!may_list(request) || values->wanted_count == 0) {
        return; /* nothing wanted, nothing answered */
    }
    if (values->wanted_count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "count %d", values->wanted_count);
        return;
    }
    values->correlation_id = request->correlation_id;
    if (listing_begin(&request->session->listing, values, fragment) != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
}

int request_list_recordings(struct archive_request *request) {
    struct archive_list_recordings_request decoded;
    int result =
        archive_list_recordings_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct listing values = {.kind = LISTING_RECORDINGS,
                                 .next_recording_id = decoded.from_recording_id,
                                 .wanted_count = decoded.record_count};
        list(request, &values, (struct text_slice){NULL, 0});
    }
    return result;
}

int request_list_recordings_for_uri(struct archive_request *request) {
    struct archive_list_recordings_for_uri_request decoded;
    int result =
        archive_list_recordings_for_uri_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct listing values = {.kind = LISTING_FOR_URI,
                                 .next_recording_id = decoded.from_recording_id,
                                 .wanted_count = decoded.record_count,
                                 .stream_id = decoded.stream_id};
        list(request, &values, decoded.channel);
    }
    return result;
}

static void answer_unknown(const struct archive_request *request, int64_t recording_id) {
    control_respond_unknown(request->server, request->session->id, request->correlation_id,
                            ARCHIVE_CONTROL_RESPONSE_CODE_RECORDING_UNKNOWN, recording_id);
}

int request_list_recording(struct archive_request *request) {
    struct archive_list_recording_request decoded;
    int result = archive_list_recording_request_decode(&decoded, request->message, request->length);
    if (result != 0 || !may_list(request)) {
        return result;
    }
    if (!catalog_contains(&request->server->catalog, decoded.recording_id)) {
        answer_unknown(request, decoded.recording_id);
        return 0;
    }
    struct listing values = {
        .kind = LISTING_RECORDINGS, .next_recording_id = decoded.recording_id, .wanted_count = 1};
    list(request, &values, (struct text_slice){NULL, 0});
    return 0;
}

/* The index in the server's list of the n-th subscription that clients can see; the list's count
 * when there are fewer. */
static int listed_index(const struct archive_server *server, int32_t pseudo_index) {
    int index = 0;
    for (; index < server->subscriptions.count; index++) {
        if (recording_subscription_is_listed(server->subscriptions.items[index]) &&
            pseudo_index-- == 0) {
            break;
        }
    }
    return index;
}

int request_list_subscriptions(struct archive_request *request) {
    struct archive_list_recording_subscriptions_request decoded;
    int result = archive_list_recording_subscriptions_request_decode(&decoded, request->message,
                                                                     request->length);
    if (result != 0 || !may_list(request)) {
        return result;
    }
    int index =
        decoded.pseudo_index < 0 ? INT32_MAX : listed_index(request->server, decoded.pseudo_index);
    if (index >= request->server->subscriptions.count || decoded.subscription_count <= 0) {
        control_respond_unknown(request->server, request->session->id, request->correlation_id,
                                ARCHIVE_CONTROL_RESPONSE_CODE_SUBSCRIPTION_UNKNOWN, 0);
        return 0;
    }
    struct listing values = {
        .kind = LISTING_SUBSCRIPTIONS,
        .next_index = index,
        .wanted_count = decoded.subscription_count,
        .applies_stream_id = decoded.apply_stream_id == ARCHIVE_BOOLEAN_TYPE_TRUE,
        .stream_id = decoded.stream_id,
    };
    list(request, &values, decoded.channel);
    return 0;
}

int request_find_last_matching(struct archive_request *request) {
    struct archive_find_last_matching_recording_request decoded;
    int result = archive_find_last_matching_recording_request_decode(&decoded, request->message,
                                                                     request->length);
    if (result != 0) {
        return result;
    }
    if (decoded.min_recording_id < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
                      "minimum recording id %" PRId64 " is negative", decoded.min_recording_id);
        return 0;
    }
    const struct catalog *catalog = &request->server->catalog;
    int lowest = catalog_lower_bound(catalog, decoded.min_recording_id);
    int64_t found = ARCHIVE_NULL;
    for (int index = catalog->count - 1; index >= lowest && found == ARCHIVE_NULL; index--) {
        struct archive_catalog_record record;
        catalog_get_at(catalog, index, &record);
        if (record.session_id == decoded.session_id && record.stream_id == decoded.stream_id &&
            listing_text_contains(record.original_channel, decoded.channel)) {
            found = record.recording_id;
        }
    }
    request_ok(request, found);
    return 0;
}

int request_start_position(struct archive_request *request) {
    struct archive_start_position_request decoded;
    int result = archive_start_position_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result == 0 && request_record(request, decoded.recording_id, &record)) {
        request_ok(request, record.start_position);
    }
    return result;
}

static int64_t recording_position(const struct archive_request *request, int64_t recording_id) {
    const struct recording *active = archive_server_recording(request->server, recording_id);
    return active != NULL ? active->reported_position : ARCHIVE_NULL;
}

int request_recording_position(struct archive_request *request) {
    struct archive_recording_position_request decoded;
    int result =
        archive_recording_position_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result == 0 && request_record(request, decoded.recording_id, &record)) {
        request_ok(request, recording_position(request, decoded.recording_id));
    }
    return result;
}

int request_stop_position(struct archive_request *request) {
    struct archive_stop_position_request decoded;
    int result = archive_stop_position_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result == 0 && request_record(request, decoded.recording_id, &record)) {
        request_ok(request, record.stop_position);
    }
    return result;
}

int request_max_recorded_position(struct archive_request *request) {
    struct archive_max_recorded_position_request decoded;
    int result =
        archive_max_recorded_position_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result == 0 && request_record(request, decoded.recording_id, &record)) {
        int64_t position = recording_position(request, decoded.recording_id);
        request_ok(request, position != ARCHIVE_NULL ? position : record.stop_position);
    }
    return result;
}

static void update_channel(const struct archive_request *request, int64_t recording_id,
                           struct text_slice channel) {
    struct uri uri;
    struct uri_builder stripped;
    struct tern_error error;
    if (uri_parse(&uri, channel.text, channel.length, &error) != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
        return;
    }
    struct archive_catalog_record record;
    (void)catalog_get(&request->server->catalog, recording_id, &record);
    record.original_channel = channel;
    if (channel_strip(&uri, &stripped) != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "channel is too long");
        return;
    }
    record.stripped_channel = (struct text_slice){stripped.text, stripped.length};
    if (catalog_replace(&request->server->catalog, recording_id, &record, &error) != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
        return;
    }
    request_ok(request, 0);
}

int request_update_channel(struct archive_request *request) {
    struct archive_update_channel_request decoded;
    int result = archive_update_channel_request_decode(&decoded, request->message, request->length);
    if (result != 0 || !may_list(request)) {
        return result;
    }
    if (!catalog_contains(&request->server->catalog, decoded.recording_id)) {
        answer_unknown(request, decoded.recording_id);
    } else {
        update_channel(request, decoded.recording_id, decoded.channel);
    }
    return 0;
}

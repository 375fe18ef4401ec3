/* Requests about replications (archive.md 5.11). The three forms of the request become one. */
#include <errno.h>
#include <inttypes.h>

#include <tern/archive.h>

#include "archived/replication.h"
#include "archived/request.h"

static void create(const struct archive_request *request, struct replication_params *params) {
    struct archive_refusal refusal;
    params->control_session_id = request->session->id;
    params->replication_id = request->server->next_session_id++;
    if (replication_create(request->server, params, &refusal) != 0) {
        request_refused(request, &refusal);
    } else {
        request_ok(request, params->replication_id);
    }
}

static struct replication_params defaults(void) {
    return (struct replication_params){.stop_position = ARCHIVE_NULL,
                                       .channel_tag_id = ARCHIVE_NULL,
                                       .subscription_tag_id = ARCHIVE_NULL,
                                       .io_length_max = -1,
                                       .session_id = -1};
}

int request_replicate(struct archive_request *request) {
    struct archive_replicate_request decoded;
    int result = archive_replicate_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct replication_params params = defaults();
        params.source_recording_id = decoded.src_recording_id;
        params.target_recording_id = decoded.dst_recording_id;
        params.source_control_stream_id = decoded.src_control_stream_id;
        params.source_control_channel = decoded.src_control_channel;
        params.live_destination = decoded.live_destination;
        create(request, &params);
    }
    return result;
}

int request_tagged_replicate(struct archive_request *request) {
    struct archive_tagged_replicate_request decoded;
    int result =
        archive_tagged_replicate_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct replication_params params = defaults();
        params.source_recording_id = decoded.src_recording_id;
        params.target_recording_id = decoded.dst_recording_id;
        params.channel_tag_id = decoded.channel_tag_id;
        params.subscription_tag_id = decoded.subscription_tag_id;
        params.source_control_stream_id = decoded.src_control_stream_id;
        params.source_control_channel = decoded.src_control_channel;
        params.live_destination = decoded.live_destination;
        create(request, &params);
    }
    return result;
}

int request_replicate2(struct archive_request *request) {
    struct archive_replicate_request2 decoded;
    int result = archive_replicate_request2_decode(&decoded, request->message, request->length);
    if (result == 0) {
        struct replication_params params = {
            .source_recording_id = decoded.src_recording_id,
            .target_recording_id = decoded.dst_recording_id,
            .stop_position = decoded.stop_position,
            .channel_tag_id = decoded.channel_tag_id,
            .subscription_tag_id = decoded.subscription_tag_id,
            .source_control_stream_id = decoded.src_control_stream_id,
            .io_length_max = decoded.file_io_max_length,
            .session_id = decoded.replication_session_id,
            .source_control_channel = decoded.src_control_channel,
            .live_destination = decoded.live_destination,
            .replication_channel = decoded.replication_channel,
            .source_response_channel = decoded.src_response_channel,
            .credentials = decoded.encoded_credentials,
        };
        create(request, &params);
    }
    return result;
}

int request_stop_replication(struct archive_request *request) {
    struct archive_stop_replication_request decoded;
    int result =
        archive_stop_replication_request_decode(&decoded, request->message, request->length);
    if (result == 0) {
        if (replication_stop(request->server, decoded.replication_id)) {
            request_ok(request, 0);
        } else {
            request_error(request, TERN_ARCHIVE_ERROR_UNKNOWN_REPLICATION,
                          "unknown replication %" PRId64, decoded.replication_id);
        }
    }
    return result;
}

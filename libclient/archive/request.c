/* One function per request: fill in the message, encode it into the session's buffer, offer it
 * once. A request that is back-pressured stays in the buffer, so that tern_archive_await can offer
 * it again; the next send replaces it.
 */
#include <errno.h>

#include "archive/session.h"

int64_t archive_session_offer(struct tern_archive *archive, int32_t encoded,
                              int64_t correlation_id) {
    archive->request_length = 0;
    archive->request_publication =
        archive->next_publication != NULL ? archive->next_publication : archive->publication;
    archive->next_publication = NULL;
    if (encoded < 0) {
        return -EMSGSIZE;
    }
    if (encoded > tern_exclusive_publication_message_length_max(archive->request_publication)) {
        return -EMSGSIZE;
    }
    archive->request_length = encoded;
    archive->request_correlation_id = correlation_id;
    return archive_session_offer_again(archive);
}

int64_t archive_session_offer_again(struct tern_archive *archive) {
    if (archive->request_length == 0) {
        return -EINVAL;
    }
    int64_t result = tern_exclusive_publication_offer(archive->request_publication,
                                                      archive->request, archive->request_length);
    switch (result) {
    case TERN_PUBLICATION_BACK_PRESSURED:
    case TERN_PUBLICATION_ADMIN_ACTION:
        return -EAGAIN;
    case TERN_PUBLICATION_NOT_CONNECTED:
        return -ENOTCONN;
    case TERN_PUBLICATION_ERROR:
        return -EMSGSIZE;
    default:
        break;
    }
    archive->request_length = 0;
    return result < 0 ? TERN_ERROR_CLOSED : archive->request_correlation_id;
}

/* Declare `id`, fill the struct of `name`, encode and offer it. The first two members of almost all
 * requests are the session and the correlation id. */
#define SEND(name, ...)                                                                            \
    const int64_t id = tern_client_next_correlation_id(archive->client);                           \
    const struct archive_##name message = {                                                        \
        .control_session_id = archive->control_session_id, .correlation_id = id, __VA_ARGS__};     \
    return archive_session_offer(                                                                  \
        archive,                                                                                   \
        archive_##name##_encode(&message, archive->request, ARCHIVE_SESSION_REQUEST_LENGTH_MAX),   \
        id)

static int32_t boolean(bool value) {
    return value ? ARCHIVE_BOOLEAN_TYPE_TRUE : ARCHIVE_BOOLEAN_TYPE_FALSE;
}

int64_t tern_archive_send_start_recording(struct tern_archive *archive, const char *channel,
                                          int32_t stream_id,
                                          enum tern_archive_source_location location,
                                          bool auto_stop) {
    SEND(start_recording_request2, .stream_id = stream_id, .source_location = (int32_t)location,
         .auto_stop = boolean(auto_stop), .channel = archive_text(channel));
}

int64_t tern_archive_send_extend_recording(struct tern_archive *archive,
                                           const struct tern_archive_extend_params *params) {
    SEND(extend_recording_request2, .recording_id = params->recording_id,
         .stream_id = params->stream_id, .source_location = (int32_t)params->location,
         .auto_stop = boolean(params->auto_stop), .channel = archive_text(params->channel));
}

int64_t tern_archive_send_stop_recording(struct tern_archive *archive, const char *channel,
                                         int32_t stream_id) {
    SEND(stop_recording_request, .stream_id = stream_id, .channel = archive_text(channel));
}

int64_t tern_archive_send_stop_recording_subscription(struct tern_archive *archive,
                                                      int64_t subscription_id) {
    SEND(stop_recording_subscription_request, .subscription_id = subscription_id);
}

int64_t tern_archive_send_stop_recording_by_id(struct tern_archive *archive, int64_t recording_id) {
    SEND(stop_recording_by_identity_request, .recording_id = recording_id);
}

int64_t tern_archive_send_list_recordings(struct tern_archive *archive, int64_t from_recording_id,
                                          int32_t count) {
    SEND(list_recordings_request, .from_recording_id = from_recording_id, .record_count = count);
}

int64_t tern_archive_send_list_recordings_for_uri(struct tern_archive *archive,
                                                  int64_t from_recording_id, int32_t count,
                                                  const char *channel_fragment, int32_t stream_id) {
    SEND(list_recordings_for_uri_request, .from_recording_id = from_recording_id,
         .record_count = count, .stream_id = stream_id, .channel = archive_text(channel_fragment));
}

int64_t tern_archive_send_list_recording(struct tern_archive *archive, int64_t recording_id) {
    SEND(list_recording_request, .recording_id = recording_id);
}

int64_t
tern_archive_send_list_subscriptions(struct tern_archive *archive,
                                     const struct tern_archive_list_subscriptions_params *params) {
    SEND(list_recording_subscriptions_request, .pseudo_index = params->pseudo_index,
         .subscription_count = params->count, .apply_stream_id = boolean(params->apply_stream_id),
         .stream_id = params->stream_id, .channel = archive_text(params->channel_fragment));
}

int64_t tern_archive_send_find_last_matching(struct tern_archive *archive, int64_t recording_id_min,
                                             const char *channel_fragment, int32_t stream_id,
                                             int32_t session_id) {
    SEND(find_last_matching_recording_request, .min_recording_id = recording_id_min,
         .session_id = session_id, .stream_id = stream_id,
         .channel = archive_text(channel_fragment));
}

int64_t tern_archive_send_recording_position(struct tern_archive *archive, int64_t recording_id) {
    SEND(recording_position_request, .recording_id = recording_id);
}

int64_t tern_archive_send_start_position(struct tern_archive *archive, int64_t recording_id) {
    SEND(start_position_request, .recording_id = recording_id);
}

int64_t tern_archive_send_stop_position(struct tern_archive *archive, int64_t recording_id) {
    SEND(stop_position_request, .recording_id = recording_id);
}

int64_t tern_archive_send_max_recorded_position(struct tern_archive *archive,
                                                int64_t recording_id) {
    SEND(max_recorded_position_request, .recording_id = recording_id);
}

void tern_archive_replay_params_init(struct tern_archive_replay_params *params,
                                     int64_t recording_id, const char *channel, int32_t stream_id) {
    *params = (struct tern_archive_replay_params){
        .recording_id = recording_id,
        .position = TERN_ARCHIVE_NULL,
        .length = TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW,
        .channel = channel,
        .stream_id = stream_id,
        .bounding_counter_id = TERN_NULL_COUNTER_ID,
        .file_io_length_max = -1,
        .replay_token = TERN_ARCHIVE_NULL,
    };
}

static int64_t send_bounded_replay(struct tern_archive *archive,
                                   const struct tern_archive_replay_params *params) {
    SEND(bounded_replay_request, .recording_id = params->recording_id, .position = params->position,
         .length = params->length, .limit_counter_id = params->bounding_counter_id,
         .replay_stream_id = params->stream_id, .file_io_max_length = params->file_io_length_max,
         .replay_token = params->replay_token, .replay_channel = archive_text(params->channel));
}

int64_t tern_archive_send_replay(struct tern_archive *archive,
                                 const struct tern_archive_replay_params *params) {
    archive->next_publication = params->request_publication;
    if (params->bounding_counter_id != TERN_NULL_COUNTER_ID) {
        return send_bounded_replay(archive, params);
    }
    SEND(replay_request, .recording_id = params->recording_id, .position = params->position,
         .length = params->length, .replay_stream_id = params->stream_id,
         .file_io_max_length = params->file_io_length_max, .replay_token = params->replay_token,
         .replay_channel = archive_text(params->channel));
}

int64_t tern_archive_send_stop_replay(struct tern_archive *archive, int64_t replay_session_id) {
    SEND(stop_replay_request, .replay_session_id = replay_session_id);
}

int64_t tern_archive_send_stop_all_replays(struct tern_archive *archive, int64_t recording_id) {
    SEND(stop_all_replays_request, .recording_id = recording_id);
}

int64_t tern_archive_send_truncate_recording(struct tern_archive *archive, int64_t recording_id,
                                             int64_t position) {
    SEND(truncate_recording_request, .recording_id = recording_id, .position = position);
}

int64_t tern_archive_send_purge_recording(struct tern_archive *archive, int64_t recording_id) {
    SEND(purge_recording_request, .recording_id = recording_id);
}

int64_t tern_archive_send_purge_segments(struct tern_archive *archive, int64_t recording_id,
                                         int64_t new_start_position) {
    SEND(purge_segments_request, .recording_id = recording_id,
         .new_start_position = new_start_position);
}

int64_t tern_archive_send_delete_detached_segments(struct tern_archive *archive,
                                                   int64_t recording_id) {
    SEND(delete_detached_segments_request, .recording_id = recording_id);
}

int64_t tern_archive_send_detach_segments(struct tern_archive *archive, int64_t recording_id,
                                          int64_t new_start_position) {
    SEND(detach_segments_request, .recording_id = recording_id,
         .new_start_position = new_start_position);
}

int64_t tern_archive_send_attach_segments(struct tern_archive *archive, int64_t recording_id) {
    SEND(attach_segments_request, .recording_id = recording_id);
}

int64_t tern_archive_send_migrate_segments(struct tern_archive *archive,
                                           int64_t source_recording_id,
                                           int64_t destination_recording_id) {
    SEND(migrate_segments_request, .src_recording_id = source_recording_id,
         .dst_recording_id = destination_recording_id);
}

int64_t tern_archive_send_update_channel(struct tern_archive *archive, int64_t recording_id,
                                         const char *channel) {
    SEND(update_channel_request, .recording_id = recording_id, .channel = archive_text(channel));
}

void tern_archive_replicate_params_init(struct tern_archive_replicate_params *params,
                                        int64_t source_recording_id,
                                        const char *source_control_channel,
                                        int32_t source_control_stream_id) {
    *params = (struct tern_archive_replicate_params){
        .source_recording_id = source_recording_id,
        .destination_recording_id = TERN_ARCHIVE_NULL,
        .stop_position = TERN_ARCHIVE_NULL,
        .channel_tag_id = TERN_ARCHIVE_NULL,
        .subscription_tag_id = TERN_ARCHIVE_NULL,
        .source_control_stream_id = source_control_stream_id,
        .file_io_length_max = -1,
        .replication_session_id = -1,
        .source_control_channel = source_control_channel,
    };
}

int64_t tern_archive_send_replicate(struct tern_archive *archive,
                                    const struct tern_archive_replicate_params *params) {
    if (params->live_destination != NULL && params->replication_session_id != -1) {
        return -EINVAL; /* the merged stream keeps its own session id */
    }
    SEND(replicate_request2, .src_recording_id = params->source_recording_id,
         .dst_recording_id = params->destination_recording_id,
         .stop_position = params->stop_position, .channel_tag_id = params->channel_tag_id,
         .subscription_tag_id = params->subscription_tag_id,
         .src_control_stream_id = params->source_control_stream_id,
         .file_io_max_length = params->file_io_length_max,
         .replication_session_id = params->replication_session_id,
         .src_control_channel = archive_text(params->source_control_channel),
         .live_destination = archive_text(params->live_destination),
         .replication_channel = archive_text(params->replication_channel),
         .encoded_credentials = {params->credentials, params->credentials_length},
         .src_response_channel = archive_text(params->source_response_channel));
}

int64_t tern_archive_send_stop_replication(struct tern_archive *archive, int64_t replication_id) {
    SEND(stop_replication_request, .replication_id = replication_id);
}

int64_t tern_archive_send_archive_id(struct tern_archive *archive) {
    const int64_t id = tern_client_next_correlation_id(archive->client);
    const struct archive_archive_id_request message = {archive->control_session_id, id};
    return archive_session_offer(
        archive,
        archive_archive_id_request_encode(&message, archive->request,
                                          ARCHIVE_SESSION_REQUEST_LENGTH_MAX),
        id);
}

int64_t tern_archive_send_replay_token(struct tern_archive *archive, int64_t recording_id) {
    SEND(replay_token_request, .recording_id = recording_id);
}

int64_t tern_archive_send_keep_alive(struct tern_archive *archive) {
    const struct archive_keep_alive_request message = {archive->control_session_id,
                                                       TERN_ARCHIVE_NULL};
    return archive_session_offer(
        archive,
        archive_keep_alive_request_encode(&message, archive->request,
                                          ARCHIVE_SESSION_REQUEST_LENGTH_MAX),
        0);
}

/* Recording events: start, progress and stop of recordings, on one publication for all. An event
 * that nobody takes is dropped; progress is tried again with a later position.
 */
#include "archived/events.h"

#include <string.h>

#include "archived/recording.h"

#define EVENT_ATTEMPTS 3 /* of started and stopped, whose place nothing else takes */

static bool offer(struct archive_server *server, int32_t length, int attempts) {
    assert(length > 0);
    for (int i = 0; i < attempts; i++) {
        int64_t result = tern_exclusive_publication_offer(server->events, server->message, length);
        if (result > 0) {
            return true;
        }
        if (result == TERN_PUBLICATION_NOT_CONNECTED) {
            return false;
        }
    }
    return false;
}

void events_recording_started(struct archive_server *server, const struct recording *recording) {
    if (server->events == NULL) {
        return;
    }
    const char *channel = recording->subscription->original_channel;
    const char *source = tern_image_source_identity(recording->image);
    const struct archive_recording_started event = {
        .recording_id = recording->id,
        .start_position = recording->join_position,
        .session_id = tern_image_session_id(recording->image),
        .stream_id = recording->subscription->stream_id,
        .channel = {channel, (int32_t)strlen(channel)},
        .source_identity = {source, (int32_t)strlen(source)},
    };
    (void)offer(
        server,
        archive_recording_started_encode(&event, server->message, ARCHIVE_MESSAGE_LENGTH_MAX),
        EVENT_ATTEMPTS);
}

void events_recording_progress(struct archive_server *server, struct recording *recording) {
    if (server->events == NULL) {
        recording->event_position = recording->reported_position;
        return;
    }
    const struct archive_recording_progress event = {recording->id, recording->join_position,
                                                     recording->reported_position};
    if (offer(
            server,
            archive_recording_progress_encode(&event, server->message, ARCHIVE_MESSAGE_LENGTH_MAX),
            1)) {
        recording->event_position = recording->reported_position;
    }
}

void events_recording_stopped(struct archive_server *server, const struct recording *recording) {
    if (server->events == NULL) {
        return;
    }
    const struct archive_recording_stopped event = {recording->id, recording->join_position,
                                                    recording->reported_position};
    (void)offer(
        server,
        archive_recording_stopped_encode(&event, server->message, ARCHIVE_MESSAGE_LENGTH_MAX),
        EVENT_ATTEMPTS);
}

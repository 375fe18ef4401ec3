/* Control requests: the door where messages are checked, and one handler per template (archive.md
 * 5).
 *
 * A handler decodes its message (anything that does not decode is counted and dropped), checks the
 * request in the order of the document and answers, or starts what will answer.
 */
#ifndef TERN_ARCHIVED_REQUEST_H
#define TERN_ARCHIVED_REQUEST_H

#include "archived/archive_server.h"
#include "archived/control_session.h"
#include "archived/recording_subscription.h"

struct archive_request {
    struct archive_server *server;
    struct control_session *session; /* lives during the handler */
    int64_t correlation_id;
    const uint8_t *message;
    int32_t length;
    int32_t image_session_id; /* of the stream that brought it */
};

/* A tern_fragment_handler for whole messages; `context` is the server. */
void archive_request_on_message(void *context, const uint8_t *message, int32_t length,
                                const tern_header *header);

void request_ok(const struct archive_request *request, int64_t relevant_id);
void request_error(const struct archive_request *request, int64_t code, const char *format, ...)
    PRINTF_LIKE(3, 4);
void request_refused(const struct archive_request *request, const struct archive_refusal *refusal);

/* The record of a recording; when it is unknown the request is answered with error 5 and false
 * returned. */
bool request_record(const struct archive_request *request, int64_t recording_id,
                    struct archive_catalog_record *record);

/* Handlers return 0, or a negative code when the message cannot be decoded. */
typedef int (*archive_request_handler)(struct archive_request *request);

int request_start_recording(struct archive_request *request);
int request_start_recording2(struct archive_request *request);
int request_extend_recording(struct archive_request *request);
int request_extend_recording2(struct archive_request *request);
int request_stop_recording(struct archive_request *request);
int request_stop_recording_subscription(struct archive_request *request);
int request_stop_recording_by_identity(struct archive_request *request);

int request_list_recordings(struct archive_request *request);
int request_list_recordings_for_uri(struct archive_request *request);
int request_list_recording(struct archive_request *request);
int request_list_subscriptions(struct archive_request *request);
int request_find_last_matching(struct archive_request *request);
int request_start_position(struct archive_request *request);
int request_recording_position(struct archive_request *request);
int request_stop_position(struct archive_request *request);
int request_max_recorded_position(struct archive_request *request);
int request_update_channel(struct archive_request *request);

int request_replay(struct archive_request *request);
int request_bounded_replay(struct archive_request *request);
int request_stop_replay(struct archive_request *request);
int request_stop_all_replays(struct archive_request *request);
int request_replay_token(struct archive_request *request);
/* A replay with a token need not name its own session; see request_replay.c. */
bool request_replay_by_token(struct archive_server *server, int32_t template_id,
                             struct archive_request *request);

int request_truncate_recording(struct archive_request *request);
int request_purge_recording(struct archive_request *request);
int request_detach_segments(struct archive_request *request);
int request_delete_detached_segments(struct archive_request *request);
int request_purge_segments(struct archive_request *request);
int request_attach_segments(struct archive_request *request);
int request_migrate_segments(struct archive_request *request);

int request_replicate(struct archive_request *request);
int request_tagged_replicate(struct archive_request *request);
int request_replicate2(struct archive_request *request);
int request_stop_replication(struct archive_request *request);

#endif

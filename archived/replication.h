/* Replicating a recording of another archive (archive.md 5.11). */
#ifndef TERN_ARCHIVED_REPLICATION_H
#define TERN_ARCHIVED_REPLICATION_H

#include <tern/archive.h>

#include "archived/recording_subscription.h"

struct replication;

struct replication_params {
    int64_t control_session_id;
    int64_t replication_id;
    int64_t source_recording_id;
    int64_t target_recording_id; /* ARCHIVE_NULL: a new one */
    int64_t stop_position;
    int64_t channel_tag_id;
    int64_t subscription_tag_id;
    int32_t source_control_stream_id;
    int32_t io_length_max;
    int32_t session_id; /* ARCHIVE_NULL as i32 -1: that of the source */
    struct text_slice source_control_channel;
    struct text_slice live_destination;
    struct text_slice replication_channel; /* empty: the configured one */
    struct text_slice source_response_channel;
    struct text_slice credentials;
};

/* 0, or -1 with the refusal. */
int replication_create(struct archive_server *server, const struct replication_params *params,
                       struct archive_refusal *refusal);
int replication_step(struct replication *replication, bool *is_alive);
void replication_destroy(struct replication *replication);
/* End it at its next step; false when there is none of this id. */
bool replication_stop(const struct archive_server *server, int64_t replication_id);

#endif

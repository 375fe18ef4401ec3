/* Recording a service's snapshot (cluster.md 4.5), step by step so that nothing blocks:
 *
 *   CONNECT -> PUBLISH -> RECORD -> FILL -> WRITE -> FLUSH -> done
 *
 * FILL is the only step outside: the owner puts the messages of the snapshot into `messages`, in
 * one go, so that the state cannot change between them.
 */
#ifndef TERN_SERVICEHOST_SNAPSHOT_TAKER_H
#define TERN_SERVICEHOST_SNAPSHOT_TAKER_H

#include <tern/archive.h>
#include <tern/client.h>

#include "servicehost/message_list.h"

enum snapshot_taker_state {
    SNAPSHOT_TAKER_IDLE,
    SNAPSHOT_TAKER_CONNECT, /* to the archive, and the publication from the driver */
    SNAPSHOT_TAKER_RECORD,  /* ask the archive to record the publication */
    SNAPSHOT_TAKER_AWAIT_ANSWER,
    SNAPSHOT_TAKER_AWAIT_COUNTER, /* the recording has begun */
    SNAPSHOT_TAKER_FILL,
    SNAPSHOT_TAKER_WRITE,
    SNAPSHOT_TAKER_FLUSH, /* until the archive has recorded all of it */
};

struct snapshot_taker {
    enum snapshot_taker_state state;
    tern_client *client;
    const char *channel; /* borrowed from the configuration */
    struct tern_archive_connect *connecting;
    struct tern_archive *archive;
    tern_async *publication_request;
    tern_exclusive_publication *publication;
    int64_t correlation_id;
    int32_t counter_id;
    int64_t recording_id;
    int64_t started_ns;
    int64_t deadline_ns; /* of the present step; moved by progress */
    int64_t timeout_ns;
    struct tern_service_snapshot messages;
};

struct snapshot_taker_params {
    tern_client *client;
    const struct tern_archive_params *archive;
    const char *channel;
    int32_t stream_id;
    int64_t timeout_ns;
    int64_t now_ns;
};

int snapshot_taker_start(struct snapshot_taker *taker, const struct snapshot_taker_params *params,
                         struct tern_error *error);
/* 1: done, taker->recording_id is durable as the archive's sync level says; 0: going on; negative:
 * failed. In state FILL it does nothing until snapshot_taker_filled was called. */
int snapshot_taker_step(struct snapshot_taker *taker, int64_t now_ns, struct tern_error *error);
void snapshot_taker_filled(struct snapshot_taker *taker);
/* Idempotent. */
void snapshot_taker_close(struct snapshot_taker *taker);

#endif

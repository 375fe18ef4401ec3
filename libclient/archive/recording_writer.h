/* Recording a list of messages as a new recording of its own, step by step so that nothing blocks.
 * Snapshots of services and of the consensus module are taken with it (cluster.md 3.13, 4.5):
 *
 *   CONNECT -> PUBLISH -> RECORD -> FILL -> WRITE -> FLUSH -> done
 *
 * FILL is the only step outside: the owner puts the messages into `messages`, in one go, so that
 * the state cannot change between them.
 */
#ifndef TERN_ARCHIVE_RECORDING_WRITER_H
#define TERN_ARCHIVE_RECORDING_WRITER_H

#include <tern/archive.h>
#include <tern/client.h>

#include "base/message_list.h"

enum recording_writer_state {
    RECORDING_WRITER_IDLE,
    RECORDING_WRITER_CONNECT, /* to the archive, and the publication from the driver */
    RECORDING_WRITER_RECORD,  /* ask the archive to record the publication */
    RECORDING_WRITER_AWAIT_ANSWER,
    RECORDING_WRITER_AWAIT_COUNTER, /* the recording has begun */
    RECORDING_WRITER_FILL,
    RECORDING_WRITER_WRITE,
    RECORDING_WRITER_FLUSH, /* until the archive has recorded all of it */
};

struct recording_writer {
    enum recording_writer_state state;
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
    struct message_list messages;
};

struct recording_writer_params {
    tern_client *client;
    const struct tern_archive_params *archive;
    const char *channel;
    int32_t stream_id;
    int64_t timeout_ns;
    int64_t now_ns;
};

int recording_writer_start(struct recording_writer *writer,
                           const struct recording_writer_params *params, struct tern_error *error);
/* 1: done, writer->recording_id is durable as the archive's sync level says; 0: going on; negative:
 * failed. In state FILL it does nothing until recording_writer_filled was called. */
int recording_writer_step(struct recording_writer *writer, int64_t now_ns,
                          struct tern_error *error);
void recording_writer_filled(struct recording_writer *writer);
/* Idempotent. */
void recording_writer_close(struct recording_writer *writer);

#endif

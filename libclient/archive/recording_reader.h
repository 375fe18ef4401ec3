/* Reading a finished recording from its first to its last message, step by step so that nothing
 * blocks. Snapshots are loaded with it (cluster.md 3.15, 4.5). */
#ifndef TERN_ARCHIVE_RECORDING_READER_H
#define TERN_ARCHIVE_RECORDING_READER_H

#include <tern/archive.h>
#include <tern/client.h>

enum recording_reader_state {
    RECORDING_READER_IDLE,
    RECORDING_READER_CONNECT,
    RECORDING_READER_ASK_END, /* position where the recording stops */
    RECORDING_READER_AWAIT_END,
    RECORDING_READER_REPLAY,
    RECORDING_READER_AWAIT_REPLAY,
    RECORDING_READER_SUBSCRIBE,
    RECORDING_READER_AWAIT_IMAGE,
    RECORDING_READER_READ,
};

/* Takes one whole message; a negative result with a text ends the reading with that error. */
typedef int (*recording_reader_handler)(void *context, const void *message, int32_t length,
                                        struct tern_error *error);

struct recording_reader {
    enum recording_reader_state state;
    tern_client *client;
    const char *channel; /* borrowed */
    int32_t stream_id;
    int64_t recording_id;
    int64_t end_position;
    int32_t replay_session_id;
    int64_t correlation_id;
    struct tern_archive_connect *connecting;
    struct tern_archive *archive;
    tern_async *subscription_request;
    tern_subscription *subscription;
    tern_image *image;
    tern_fragment_assembler *assembler;
    int64_t deadline_ns; /* of the present step; moved by progress */
    int64_t timeout_ns;
    recording_reader_handler handler;
    void *handler_context;
    struct tern_error failure; /* met inside the handler; code 0: none */
};

struct recording_reader_params {
    tern_client *client;
    const struct tern_archive_params *archive;
    const char *replay_channel; /* borrowed until close */
    int32_t replay_stream_id;
    int64_t recording_id;
    int64_t timeout_ns;
    int64_t now_ns;
    recording_reader_handler handler;
    void *handler_context;
};

int recording_reader_start(struct recording_reader *reader,
                           const struct recording_reader_params *params, struct tern_error *error);
/* 1: everything was read; 0: going on; negative: failed. */
int recording_reader_step(struct recording_reader *reader, int64_t now_ns,
                          struct tern_error *error);
/* Idempotent. */
void recording_reader_close(struct recording_reader *reader);

#endif

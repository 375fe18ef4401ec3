/* Reading a service's snapshot back (cluster.md 4.5), step by step. All messages behind the
 * container's own part end up in `messages`, which becomes the plugin's snapshot. */
#ifndef TERN_SERVICEHOST_SNAPSHOT_LOADER_H
#define TERN_SERVICEHOST_SNAPSHOT_LOADER_H

#include <tern/archive.h>
#include <tern/client.h>

#include "servicehost/host_session.h"
#include "servicehost/message_list.h"

enum snapshot_loader_state {
    SNAPSHOT_LOADER_IDLE,
    SNAPSHOT_LOADER_CONNECT,
    SNAPSHOT_LOADER_ASK_END, /* position where the recording stops */
    SNAPSHOT_LOADER_AWAIT_END,
    SNAPSHOT_LOADER_REPLAY,
    SNAPSHOT_LOADER_AWAIT_REPLAY,
    SNAPSHOT_LOADER_SUBSCRIBE,
    SNAPSHOT_LOADER_AWAIT_IMAGE,
    SNAPSHOT_LOADER_READ,
};

struct snapshot_loader {
    enum snapshot_loader_state state;
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
    int64_t deadline_ns;
    int64_t timeout_ns;

    bool has_begin;
    bool has_end;
    int32_t time_unit;
    int64_t log_position; /* of the BEGIN marker */
    struct host_sessions *sessions;
    struct tern_service_snapshot messages;
    struct tern_error failure; /* met inside a fragment handler; code 0: none */
};

struct snapshot_loader_params {
    tern_client *client;
    const struct tern_archive_params *archive;
    const char *replay_channel;
    int32_t replay_stream_id;
    int64_t recording_id;
    int64_t timeout_ns;
    int64_t now_ns;
    struct host_sessions *sessions; /* filled */
};

int snapshot_loader_start(struct snapshot_loader *loader,
                          const struct snapshot_loader_params *params, struct tern_error *error);
/* 1: everything was read; 0: going on; negative: failed. */
int snapshot_loader_step(struct snapshot_loader *loader, int64_t now_ns, struct tern_error *error);
void snapshot_loader_close(struct snapshot_loader *loader);

#endif

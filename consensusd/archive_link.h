/* The consensus module's session with the archive of its node: requests that are answered later,
 * without waiting. The module has several in flight at once; each owner keeps a struct
 * archive_request and looks at its state. */
#ifndef TERN_CONSENSUSD_ARCHIVE_LINK_H
#define TERN_CONSENSUSD_ARCHIVE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/archive.h>
#include <tern/client.h>

#include "base/error.h"

#define ARCHIVE_LINK_REQUESTS_MAX 64

enum archive_request_state {
    ARCHIVE_REQUEST_IDLE,
    ARCHIVE_REQUEST_PENDING,
    ARCHIVE_REQUEST_DONE,
    ARCHIVE_REQUEST_FAILED,
};

/* Owned by whoever asks; at a fixed address while PENDING. */
struct archive_request {
    enum archive_request_state state;
    int64_t correlation_id;
    int64_t deadline_ns;
    int64_t result;
    struct tern_error error; /* FAILED; code -(3000 + archive's code), -ENOENT: no such recording */
};

/* What a listing tells of one recording. */
struct archive_recording {
    int64_t recording_id;
    int64_t start_position;
    int64_t stop_position; /* TERN_ARCHIVE_NULL while active */
    int32_t initial_term_id;
    int32_t term_length;
    int32_t mtu_length;
    int32_t session_id;
};

struct archive_link_handlers {
    void *context;
    void (*on_signal)(void *context, const struct tern_archive_signal *signal);
    /* An error that answers no request which is still waiting. */
    void (*on_error)(void *context, int64_t correlation_id, const struct tern_error *error);
};

struct archive_link {
    tern_client *client; /* borrowed */
    struct tern_archive_connect *connecting;
    struct tern_archive *archive;
    struct archive_link_handlers handlers;
    struct tern_archive_handlers archive_handlers;
    struct archive_request *pending[ARCHIVE_LINK_REQUESTS_MAX];
    int32_t pending_count;
    int64_t timeout_ns;
    int64_t server_id;        /* registration of its error counter; -1: not known */
    int64_t server_client_id; /* its Aeron client */
    int64_t server_beat_ms;   /* the last heartbeat of it that was seen */
    int64_t successor_id;     /* a newer archive, and its last heartbeat */
    int64_t successor_beat_ms;
    int32_t silent_count;               /* looks at which only the successor had a new one */
    struct archive_recording recording; /* of the last listing */
};

/* Begin to connect. handlers of params are the link's. */
int archive_link_open(struct archive_link *link, const struct tern_archive_params *params,
                      const struct archive_link_handlers *handlers, struct tern_error *error);
/* 1 once connected, 0 not yet, or a negative code (the caller may open again). */
int archive_link_connect_step(struct archive_link *link, int64_t now_ns, struct tern_error *error);
/* Deliver answers and time-outs. The work done, or -ENOTCONN when the archive is gone. */
int archive_link_poll(struct archive_link *link, int64_t now_ns);
/* The archive that the session is with has ended, or another has taken its place. Its streams show
 * that only when the driver gives a dead client up. To be asked about once per second. */
bool archive_link_is_lost(struct archive_link *link);
void archive_link_close(struct archive_link *link);

/* Register what a tern_archive_send function returned. 1: the request is pending; 0: it could not
 * be sent now (back pressure), send again; negative: it failed. */
int archive_link_sent(struct archive_link *link, struct archive_request *request, int64_t sent,
                      int64_t now_ns);
/* Forget the request; its answer is ignored. */
void archive_link_cancel(struct archive_link *link, struct archive_request *request);

#endif

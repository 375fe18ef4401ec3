/* One client's control session: its states, its response stream, what waits to be sent
 * (archive.md 3.3 to 3.7). Owned by the server; ends by itself in control_session_step. */
#ifndef TERN_ARCHIVED_CONTROL_SESSION_H
#define TERN_ARCHIVED_CONTROL_SESSION_H

#include "archived/archive_server.h"
#include "archived/listing.h"
#include "base/uri.h"

#define CONTROL_SESSION_QUEUE_LENGTH 131072
#define CONTROL_SESSION_SEND_ATTEMPTS 3

enum control_session_state {
    CONTROL_SESSION_STATE_INIT,          /* response publication and counter are being added */
    CONTROL_SESSION_STATE_CONNECTING,    /* wait for the response subscriber */
    CONTROL_SESSION_STATE_CONNECTED,     /* answer the connect request */
    CONTROL_SESSION_STATE_AUTHENTICATED, /* repeat the answer until the first request */
    CONTROL_SESSION_STATE_ACTIVE,
    CONTROL_SESSION_STATE_DONE,
};

struct control_session {
    struct archive_server *server;
    enum control_session_state state;
    int64_t id;
    int64_t correlation_id; /* of the connect request */
    bool is_version_valid;
    tern_image *request_image; /* a reference of our own; NULL when it was gone at once */
    tern_async *publication_async;
    tern_async *counter_async;
    tern_exclusive_publication *publication;
    tern_counter *counter;
    struct uri_builder channel; /* of responses */
    int32_t stream_id;
    char client_info[256];
    int64_t deadline_ns; /* INT64_MAX: none */
    int64_t resend_deadline_ns;
    int64_t ping_deadline_ns;
    const char *reject_reason; /* NULL: the request image is not rejected at the end */
    struct listing listing;    /* of listings one is active at a time */

    /* Messages that could not be sent: (i32 length, bytes) pairs from head to tail. */
    uint8_t *queue;
    int32_t queue_head;
    int32_t queue_tail;
};

struct control_session_params {
    int64_t correlation_id;
    int32_t stream_id;
    int32_t version;
    struct text_slice channel;
    struct text_slice client_info;
    tern_image *image; /* borrowed; may be NULL */
};

/* Handle a connect request. Negative: the channel cannot be used; the client gets no answer. */
int control_session_create(struct archive_server *server,
                           const struct control_session_params *params, struct tern_error *error);
/* Returns work done; false in *is_alive when the session ended and was freed. */
int control_session_step(struct control_session *session, bool *is_alive);
void control_session_destroy(struct control_session *session);

/* A request that names the session has come. False: requests are not served in this state. */
bool control_session_accepts(struct control_session *session);

/* End the session at its next step. `reject_reason` (static text or NULL) tells the client. */
void control_session_abort(struct control_session *session, const char *reject_reason);

/* Send now, or queue behind what waits already. */
void control_session_send(struct control_session *session, const uint8_t *message, int32_t length);
/* Send now or not at all: false when it has to be tried again. For listings. */
bool control_session_try_send(struct control_session *session, const uint8_t *message,
                              int32_t length);

/* Responses and signals to a session that may be gone; then they are lost (3.7). */
void control_respond_ok(struct archive_server *server, int64_t control_session_id,
                        int64_t correlation_id, int64_t relevant_id);
void control_respond_error(struct archive_server *server, int64_t control_session_id,
                           int64_t correlation_id, int64_t error_code, const char *format, ...)
    PRINTF_LIKE(5, 6);
void control_respond_unknown(struct archive_server *server, int64_t control_session_id,
                             int64_t correlation_id, int32_t code, int64_t relevant_id);
struct control_signal {
    int64_t control_session_id;
    int64_t correlation_id;
    int64_t recording_id;
    int64_t subscription_id;
    int64_t position;
    int32_t signal;
};
void control_send_signal(struct archive_server *server, const struct control_signal *signal);

#endif

/* The open client sessions of a service, by ascending id, and their egress publications.
 *
 * Every member keeps the same table; only a leader that responds connects egress. Owned by the
 * service's single thread.
 */
#ifndef TERN_SERVICEHOST_HOST_SESSION_H
#define TERN_SERVICEHOST_HOST_SESSION_H

#include <tern/client.h>
#include <tern/service.h>

struct host_session {
    struct tern_service_session public; /* what plugins see; points into this allocation */
    tern_async *egress_request;
    tern_publication *egress;
    int64_t retry_deadline_ns; /* of egress that could not be made; 0: none is wanted */
    bool is_closing;           /* a close request was sent for it in this term */
};

struct host_sessions {
    struct host_session **by_id; /* ascending */
    int count;
    int capacity;
};

struct host_session_params {
    int64_t session_id;
    int32_t response_stream_id;
    const char *response_channel; /* not NUL-terminated */
    int32_t response_channel_length;
    const void *principal;
    int32_t principal_length;
};

/* NULL when the id is known already or there is no memory. */
struct host_session *host_sessions_add(struct host_sessions *sessions,
                                       const struct host_session_params *params);
struct host_session *host_sessions_find(const struct host_sessions *sessions, int64_t session_id);
/* The first with an id above, or NULL. */
struct host_session *host_sessions_next(const struct host_sessions *sessions, int64_t session_id);
void host_sessions_remove(struct host_sessions *sessions, struct host_session *session);
void host_sessions_close(struct host_sessions *sessions);

/* Begin to connect egress; a failing request leaves the session without egress. */
void host_session_connect(struct host_session *session, tern_client *client);
void host_session_disconnect(struct host_session *session);
/* Take the publication over once the driver answered. Returns 1 when it did. A failure is 0 with
 * the code in error (error->code stays 0 otherwise). */
int host_session_poll(struct host_session *session, struct tern_error *error);

#endif

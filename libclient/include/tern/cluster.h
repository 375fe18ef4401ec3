/* The cluster client: a session with a replicated service (cluster.md 2).
 *
 *     struct tern_cluster_params params;
 *     tern_cluster_params_init(&params, client);
 *     params.ingress_endpoints = "0=localhost:20110,1=localhost:20210,2=localhost:20310";
 *     params.egress_channel = "aeron:udp?endpoint=localhost:0";
 *     params.on_message = on_message;
 *     tern_cluster *cluster = tern_cluster_connect(&params, &error);
 *     while (tern_cluster_offer(cluster, "bid", 3) < 0) { tern_cluster_poll(cluster, 10); }
 *
 * The session follows the leader: after a fail-over tern_cluster_poll reconnects by itself and
 * tells on_new_leader. What was offered but not answered by then may or may not have been applied:
 * the application decides whether to send it again.
 *
 * The application keeps its session alive: it must send something, or call
 * tern_cluster_keep_alive, at least once per session timeout of the cluster (default 10 s; once a
 * second is customary), and poll.
 *
 * Threads: one thread at a time uses a tern_cluster. Handlers run inside tern_cluster_poll and may
 * offer, but not close. Errors as in <tern/client.h>; a session refused by the cluster gives
 * TERN_ERROR_CLUSTER_BASE - code (enum tern_cluster_event_code) with the cluster's text.
 */
#ifndef TERN_CLUSTER_H
#define TERN_CLUSTER_H

#include <tern/client.h>
#include <tern/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_CLUSTER_INGRESS_STREAM_ID_DEFAULT 101
#define TERN_CLUSTER_EGRESS_STREAM_ID_DEFAULT 102

typedef struct tern_cluster tern_cluster;
typedef struct tern_cluster_connecting tern_cluster_connecting;

/* Of a session event (1.2). */
enum tern_cluster_event_code {
    TERN_CLUSTER_EVENT_OK = 0, /* connected */
    TERN_CLUSTER_EVENT_ERROR = 1,
    TERN_CLUSTER_EVENT_REDIRECT = 2,
    TERN_CLUSTER_EVENT_AUTHENTICATION_REJECTED = 3,
    TERN_CLUSTER_EVENT_CLOSED = 4,
};

/* 2.3; CLOSED is final. */
enum tern_cluster_state {
    TERN_CLUSTER_CONNECTED,
    TERN_CLUSTER_AWAIT_NEW_LEADER,
    TERN_CLUSTER_AWAIT_NEW_LEADER_CONNECTION,
    TERN_CLUSTER_CLOSED,
};

/* A message of the service: `timestamp` in the cluster's time unit, `length` bytes of payload;
 * buffer and header are valid during the call. */
typedef void (*tern_cluster_message_handler)(void *context, int64_t timestamp,
                                             const uint8_t *buffer, int32_t length,
                                             const tern_header *header);
/* What the cluster says about the session. */
struct tern_cluster_session_event {
    int64_t correlation_id;
    int64_t session_id;
    int64_t leadership_term_id;
    int32_t leader_member_id;
    enum tern_cluster_event_code code;
    const char *detail; /* NUL-terminated, valid during the call */
};
/* `event` is valid during the call. After CLOSED the session takes nothing any more. */
typedef void (*tern_cluster_session_event_handler)(void *context,
                                                   const struct tern_cluster_session_event *event);
/* Another member leads now; the session is being connected to it. `ingress_endpoints` is
 * "id=host:port,..." and valid during the call. */
typedef void (*tern_cluster_new_leader_handler)(void *context, int64_t leadership_term_id,
                                                int32_t leader_member_id,
                                                const char *ingress_endpoints);
/* Answer to tern_cluster_request_snapshot; code 0 OK, 1 error, 2 unauthorised. `message` ends with
 * a NUL and is valid during the call. */
typedef void (*tern_cluster_admin_response_handler)(void *context, int64_t correlation_id,
                                                    int32_t code, const char *message);

/* Initialise with tern_cluster_params_init, then set the channels and what else is wanted. Strings
 * are copied at connect. */
struct tern_cluster_params {
    tern_client *client;           /* borrowed until close */
    const char *ingress_channel;   /* default "aeron:udp" */
    const char *ingress_endpoints; /* "id=host:port,..."; NULL: ingress_channel is complete */
    const char *egress_channel;    /* required; port 0 is fine */
    int32_t ingress_stream_id;
    int32_t egress_stream_id;
    int64_t message_timeout_ns;    /* default 5 s: connecting, and each step of a fail-over */
    int64_t new_leader_timeout_ns; /* 0 (default): twice the cluster's heartbeat timeout */
    bool is_ingress_shared;        /* false (default): an exclusive publication */
    const char *client_name;       /* NULL: empty; at most 100 bytes */
    const void *credentials;       /* sent with the connect request; copied */
    int32_t credentials_length;
    void *handler_context;
    tern_cluster_message_handler on_message;             /* may be NULL, like the others */
    tern_cluster_session_event_handler on_session_event; /* every event after the connect */
    tern_cluster_new_leader_handler on_new_leader;
    tern_cluster_admin_response_handler on_admin_response;
};
/* Defaults for everything but the egress channel. */
TERN_API void tern_cluster_params_init(struct tern_cluster_params *params, tern_client *client);

/* Connect without blocking (2.2). begin: 0 with *connecting, or -EINVAL for bad parameters,
 * -ENOMEM, or the code of a client that takes no requests. poll: 1 with *cluster, which the caller
 * owns, 0 not yet, negative when it failed: -ETIMEDOUT after the message timeout (the text names
 * the members tried), TERN_ERROR_CLUSTER_BASE - code when refused, the driver's or the client's
 * code. 1 and failure consume `connecting`; cancel does so before (NULL is allowed). In invoker
 * mode the caller runs tern_client_do_work in between. */
TERN_API int tern_cluster_connect_begin(tern_cluster_connecting **connecting,
                                        const struct tern_cluster_params *params,
                                        struct tern_error *error);
TERN_API int tern_cluster_connect_poll(tern_cluster_connecting *connecting, tern_cluster **cluster,
                                       struct tern_error *error);
TERN_API void tern_cluster_connect_cancel(tern_cluster_connecting *connecting);

/* Connect and wait at most the message timeout. NULL on failure, with the codes of begin and poll.
 * The caller ends it with tern_cluster_close. */
TERN_API tern_cluster *tern_cluster_connect(const struct tern_cluster_params *params,
                                            struct tern_error *error);

/* Send a message of `length` bytes to the service, in fragments when it is long. Returns a position
 * > 0 or a value of enum tern_publication_result: NOT_CONNECTED while a new leader is awaited,
 * CLOSED when the session is. Never blocks. */
TERN_API int64_t tern_cluster_offer(tern_cluster *cluster, const void *buffer, int32_t length);
/* Send the concatenation of at most 15 parts; more are an ERROR. */
TERN_API int64_t tern_cluster_offerv(tern_cluster *cluster, const struct iovec *parts, int count);
/* Claim `length` <= tern_cluster_claim_length_max bytes (else ERROR); the session header is written
 * already. Commit or abort as usual, before the next tern_cluster_poll. */
TERN_API int64_t tern_cluster_try_claim(tern_cluster *cluster, int32_t length,
                                        struct tern_buffer_claim *claim);
/* Longest message of try_claim, in bytes; 0 while there is no leader. */
TERN_API int32_t tern_cluster_claim_length_max(const tern_cluster *cluster);

/* Deliver up to `fragment_limit` fragments of egress, follow the leader, check deadlines. Returns
 * the work done, 0 when closed. Never blocks; in invoker mode it runs the client's conductor. */
TERN_API int tern_cluster_poll(tern_cluster *cluster, int fragment_limit);

/* Tell the cluster that this session lives. True when sent; false: try again soon. */
TERN_API bool tern_cluster_keep_alive(tern_cluster *cluster);
/* Ask the leader for a snapshot; true when sent. on_admin_response answers with the correlation id,
 * which the caller chooses. */
TERN_API bool tern_cluster_request_snapshot(tern_cluster *cluster, int64_t correlation_id);

/* As tern_cluster_poll found it last. */
TERN_API enum tern_cluster_state tern_cluster_state(const tern_cluster *cluster);
/* True once the session ended for whatever reason; it never becomes false again. */
TERN_API bool tern_cluster_is_closed(const tern_cluster *cluster);
/* Why it is closed, e.g. "session timed out"; 0 while it is not. */
TERN_API int tern_cluster_status(const tern_cluster *cluster, struct tern_error *error);
/* The id that the services know this session by. */
TERN_API int64_t tern_cluster_session_id(const tern_cluster *cluster);
/* Of the present leader, as it is known here. */
TERN_API int64_t tern_cluster_leadership_term_id(const tern_cluster *cluster);
TERN_API int32_t tern_cluster_leader_member_id(const tern_cluster *cluster);

/* Tell the cluster (when it is connected), close publication and subscription, free. NULL is
 * allowed. */
TERN_API void tern_cluster_close(tern_cluster *cluster);

/* "ok", "error", "redirect", ...; "unknown" for others, never NULL. Static; any thread. */
TERN_API const char *tern_cluster_event_name(int code);

#ifdef __cplusplus
}
#endif

#endif

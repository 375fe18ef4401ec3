/* The archive client: record, replay and manage streams on an archive server.
 *
 * One struct tern_archive is one control session. It is used by one thread at a time, the thread
 * that runs (or is synchronised with) the conductor of its client. Every request has two layers:
 *
 *  - asynchronous, for agents that must never block: tern_archive_send_<request>() offers one
 *    message and returns its correlation id; tern_archive_poll() delivers responses, recording
 *    descriptors and signals to callbacks, with the correlation id of the request;
 *  - synchronous: tern_archive_await() takes what any send function returned and waits for the
 *    answer, e.g.
 *
 *        int64_t position;
 *        int rc = tern_archive_await(archive, tern_archive_send_stop_position(archive, id),
 *                                    &position, &error);
 *
 * Send functions return the correlation id (>= 0) or
 *   -EAGAIN             back-pressured; send again later (tern_archive_await does so by itself)
 *   -ENOTCONN           the archive has gone
 *   -EMSGSIZE           the strings do not fit a request (8 KiB, or the stream's longest message)
 *   TERN_ERROR_CLOSED   publication, client or handle is closed
 * They never block and copy what they are given. All numbers of positions and lengths are bytes.
 *
 * An error answered by the archive is TERN_ERROR_ARCHIVE_BASE - code (enum tern_archive_error)
 * with the archive's own text; what each request may be answered with is in archive.md 5.
 * TERN_ARCHIVE_NULL ("NULL" below) stands for absent ids, positions and lengths.
 */
#ifndef TERN_ARCHIVE_H
#define TERN_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tern_client;
struct tern_exclusive_publication;
struct tern_archive;
struct tern_archive_connect;

#define TERN_ARCHIVE_NULL (INT64_C(-1))
#define TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW (INT64_C(-1)) /* length: all, then what comes live */
#define TERN_ARCHIVE_REPLAY_ALL_AND_STOP (INT64_C(-2))   /* length: all there is now */

/* relevant_id of an error response (archive.md 3.8). */
enum tern_archive_error {
    TERN_ARCHIVE_ERROR_GENERIC = 0,
    TERN_ARCHIVE_ERROR_ACTIVE_LISTING = 1,
    TERN_ARCHIVE_ERROR_ACTIVE_RECORDING = 2,
    TERN_ARCHIVE_ERROR_ACTIVE_SUBSCRIPTION = 3,
    TERN_ARCHIVE_ERROR_UNKNOWN_SUBSCRIPTION = 4,
    TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING = 5,
    TERN_ARCHIVE_ERROR_UNKNOWN_REPLAY = 6,
    TERN_ARCHIVE_ERROR_MAX_REPLAYS = 7,
    TERN_ARCHIVE_ERROR_MAX_RECORDINGS = 8,
    TERN_ARCHIVE_ERROR_INVALID_EXTENSION = 9,
    TERN_ARCHIVE_ERROR_AUTHENTICATION_REJECTED = 10,
    TERN_ARCHIVE_ERROR_STORAGE_SPACE = 11,
    TERN_ARCHIVE_ERROR_UNKNOWN_REPLICATION = 12,
    TERN_ARCHIVE_ERROR_UNAUTHORISED_ACTION = 13,
    TERN_ARCHIVE_ERROR_REPLICATION_CONNECTION = 14,
    TERN_ARCHIVE_ERROR_EMPTY_RECORDING = 15,
    TERN_ARCHIVE_ERROR_INVALID_POSITION = 16,
};

/* Of a response (3.12). */
enum tern_archive_response_code {
    TERN_ARCHIVE_OK = 0,
    TERN_ARCHIVE_ERROR = 1,
    TERN_ARCHIVE_RECORDING_UNKNOWN = 2,    /* also: end of a listing of recordings */
    TERN_ARCHIVE_SUBSCRIPTION_UNKNOWN = 3, /* also: end of a listing of subscriptions */
};

/* Where the archive finds a stream to record (5.1). */
enum tern_archive_source_location {
    TERN_ARCHIVE_SOURCE_LOCAL = 0,  /* published on this driver: a UDP stream is spied on */
    TERN_ARCHIVE_SOURCE_REMOTE = 1, /* received from the network */
};

/* What happened to a recording (5.14). */
enum tern_archive_signal_kind {
    TERN_ARCHIVE_SIGNAL_START = 0,         /* it is being recorded from the position */
    TERN_ARCHIVE_SIGNAL_STOP = 1,          /* it ended there, for whatever reason */
    TERN_ARCHIVE_SIGNAL_EXTEND = 2,        /* it goes on from there */
    TERN_ARCHIVE_SIGNAL_REPLICATE = 3,     /* a replication made it */
    TERN_ARCHIVE_SIGNAL_MERGE = 4,         /* a replication has joined the live stream */
    TERN_ARCHIVE_SIGNAL_SYNC = 5,          /* a replication has all of a stopped source */
    TERN_ARCHIVE_SIGNAL_DELETE = 6,        /* files are gone; position NULL */
    TERN_ARCHIVE_SIGNAL_REPLICATE_END = 7, /* a replication ended; position NULL */
};

/* What arrives. Pointers are valid during the callback; strings end with a NUL. */
struct tern_archive_response {
    int64_t correlation_id;
    int64_t relevant_id; /* OK: the result; ERROR: enum tern_archive_error */
    enum tern_archive_response_code code;
    const char *text;
};

/* A recording as the catalog has it; answer to a listing. */
struct tern_archive_recording {
    int64_t correlation_id; /* of the listing */
    int64_t recording_id;
    int64_t start_timestamp_ms;
    int64_t stop_timestamp_ms; /* NULL while active */
    int64_t start_position;
    int64_t stop_position; /* NULL while active */
    int32_t initial_term_id;
    int32_t segment_file_length;
    int32_t term_length;
    int32_t mtu_length;
    int32_t session_id;
    int32_t stream_id;
    const char *stripped_channel;
    const char *original_channel;
    const char *source_identity;
};

/* What records streams: answer to a listing of subscriptions. */
struct tern_archive_subscription {
    int64_t correlation_id; /* of the listing */
    int64_t subscription_id;
    int32_t stream_id;
    const char *stripped_channel;
};

/* Comes unasked. */
struct tern_archive_signal {
    int64_t correlation_id; /* of the request that started the operation */
    int64_t recording_id;
    int64_t subscription_id;
    int64_t position;
    enum tern_archive_signal_kind kind;
};

/* Every callback is optional. They must not send, await, poll or close on the same archive, but
 * for send functions called from within tern_archive_poll(). */
struct tern_archive_handlers {
    void *context;
    void (*on_response)(void *context, const struct tern_archive_response *response);
    void (*on_recording)(void *context, const struct tern_archive_recording *recording);
    void (*on_subscription)(void *context, const struct tern_archive_subscription *subscription);
    void (*on_signal)(void *context, const struct tern_archive_signal *signal);
};

/* For connecting. Zero what is not needed. */
struct tern_archive_params {
    struct tern_client *client;   /* borrowed; outlives the archive. Required */
    const char *request_channel;  /* required; "aeron:ipc" for an archive on the same driver */
    const char *response_channel; /* required; "aeron:udp?endpoint=host:0" takes any free port */
    int32_t request_stream_id;    /* 0: 10 */
    int32_t response_stream_id;   /* 0: 20 */
    int32_t control_term_length;  /* 0: 64 KiB; used where the channel says nothing */
    int32_t control_mtu_length;   /* 0: 1408 */
    bool control_term_not_sparse;
    int64_t message_timeout_ns; /* 0: 10 s; of connecting and of each awaited answer */
    const char *client_name;    /* NULL: empty; at most 100 bytes */
    const void *credentials;    /* sent with the connect request; copied */
    int32_t credentials_length;
    /* For what arrives while tern_archive_await() waits: signals, and responses (errors, say) to
     * other requests. Copied. */
    struct tern_archive_handlers handlers;
};

/* ---- connect ----------------------------------------------------------------------------------
 */

/* Begin to connect (3.2). Strings are copied. 0 with *connect, which the caller polls or cancels;
 * or -EINVAL, TERN_ERROR_INVALID_URI, -ENAMETOOLONG, -ENOMEM. Never blocks, like the next two. */
TERN_API int tern_archive_connect_begin(struct tern_archive_connect **connect,
                                        const struct tern_archive_params *params,
                                        struct tern_error *error);

/* One step; `now_ns` is the client's monotonic clock. 1: *archive is connected and owned by the
 * caller; 0: not yet; negative: failed: the archive's code, -ETIMEDOUT (the text says what was
 * waited for) after the message timeout since the first poll, TERN_ERROR_CLOSED,
 * TERN_ERROR_PROTOCOL for a challenge, the driver's code. After 1 or a failure `connect` is gone.
 * The caller runs the client's conductor in between. */
TERN_API int tern_archive_connect_poll(struct tern_archive_connect *connect, int64_t now_ns,
                                       struct tern_archive **archive, struct tern_error *error);

/* Stop trying, and free `connect`. NULL is fine. */
TERN_API void tern_archive_connect_cancel(struct tern_archive_connect *connect);

/* Connect and wait, at most the message timeout. 0 with *archive, which the caller ends with
 * tern_archive_close; or the codes of begin and poll. Runs the client's conductor. */
TERN_API int tern_archive_connect(struct tern_archive **archive,
                                  const struct tern_archive_params *params,
                                  struct tern_error *error);

/* Close the session at the server and release everything. Waits for nothing: a close that cannot be
 * sent is found out by the server. NULL is fine. Recordings, replays and replications that the
 * session started go on. */
TERN_API void tern_archive_close(struct tern_archive *archive);

/* ---- the session ------------------------------------------------------------------------------
 */

/* The control session's id, given by the server. */
TERN_API int64_t tern_archive_session_id(const struct tern_archive *archive);
/* The server's archive id; TERN_ARCHIVE_NULL when the server is too old to tell. */
TERN_API int64_t tern_archive_id(const struct tern_archive *archive);
/* False once the response stream or the server has gone: close and connect again. */
TERN_API bool tern_archive_is_connected(const struct tern_archive *archive);

/* Deliver at most 10 fragments to the handlers; with NULL to those of the params. Returns how many
 * messages of this session were delivered, or -ENOTCONN when the server has gone. Never blocks. */
TERN_API int tern_archive_poll(struct tern_archive *archive,
                               const struct tern_archive_handlers *handlers);

/* For an agent with one request at a time. 1: answered OK, *relevant_id is the result; 0: no answer
 * yet; negative: refused (the archive's code and text) or -ENOTCONN. Other messages go to the
 * handlers of the params. Never blocks. */
TERN_API int tern_archive_poll_response(struct tern_archive *archive, int64_t correlation_id,
                                        int64_t *relevant_id, struct tern_error *error);

/* Wait at most the message timeout for the answer to `sent`, what a send function returned; a
 * request that was refused with -EAGAIN is offered again first. 0 with the result in *relevant_id
 * (may be NULL), or a negative code: the archive's, -ETIMEDOUT, -ENOTCONN, or `sent` itself. Runs
 * the client's conductor when the client has no thread for it. */
TERN_API int tern_archive_await(struct tern_archive *archive, int64_t sent, int64_t *relevant_id,
                                struct tern_error *error);

/* Wait for the descriptors of a listing of `count`; every pause may last the message timeout.
 * `sent` is what its send function returned. `handlers` get all that arrives; NULL: those of the
 * params. Returns the number delivered to the callback that belongs to the listing, or a negative
 * code as tern_archive_await does. */
TERN_API int tern_archive_await_listing(struct tern_archive *archive, int64_t sent, int32_t count,
                                        const struct tern_archive_handlers *handlers,
                                        struct tern_error *error);

/* ---- requests: the result is relevant_id of the OK response ------------------------------------
 */

/* Record `stream_id` of `channel` (5.1). Result: subscription id. START signals follow, one for
 * each stream that is recorded. With auto_stop the subscription ends with its first stream.
 *
 * A recording can fail while its stream goes on: a full or broken disk, say. An error response with
 * this correlation id says so, and a STOP signal where the recording ends. Without auto_stop the
 * archive keeps the subscription all the same (5.1.4), and with it a subscriber that reads this
 * stream no more: its publisher is back-pressured one publication window beyond the last position
 * read (from the network: one receiver window, by the rules of its flow control) until the client
 * stops the recording. The same holds for a stream that is not recorded
 * at all, because the limit of recordings is reached. Stop the recording and start it again to go
 * on; or record with auto_stop, which lets the publisher go; or with tether=false on `channel`,
 * where the driver lets it go after its untethered time-outs. */
TERN_API int64_t tern_archive_send_start_recording(struct tern_archive *archive,
                                                   const char *channel, int32_t stream_id,
                                                   enum tern_archive_source_location location,
                                                   bool auto_stop);

/* For going on with a stopped recording. */
struct tern_archive_extend_params {
    int64_t recording_id;
    const char *channel;
    int32_t stream_id; /* must be that of the recording */
    enum tern_archive_source_location location;
    bool auto_stop;
};
/* Record the end of a stream that was recorded before (5.2). Result: subscription id; an EXTEND
 * signal follows. The publication must continue exactly at the stop position, with the same initial
 * term id, term length and MTU; else an error response follows, and without auto_stop the
 * subscription stays, as above. */
TERN_API int64_t tern_archive_send_extend_recording(
    struct tern_archive *archive, const struct tern_archive_extend_params *params);

/* End all recordings of a subscription, and the subscription (5.3). Result: 0. Channel and stream
 * as given to start; STOP signals follow. */
TERN_API int64_t tern_archive_send_stop_recording(struct tern_archive *archive, const char *channel,
                                                  int32_t stream_id);
/* The same by the subscription's id. Result: 0. */
TERN_API int64_t tern_archive_send_stop_recording_subscription(struct tern_archive *archive,
                                                               int64_t subscription_id);
/* The same by one of its recordings: it ends the subscription and so the others, too. Result: 1
 * when it was being recorded, else 0. */
TERN_API int64_t tern_archive_send_stop_recording_by_id(struct tern_archive *archive,
                                                        int64_t recording_id);

/* Listings (5.4): descriptors arrive instead of a response. A RECORDING_UNKNOWN response ends one
 * that finds fewer than `count`. One listing at a time. */

/* At most `count` recordings with this or a higher id. */
TERN_API int64_t tern_archive_send_list_recordings(struct tern_archive *archive,
                                                   int64_t from_recording_id, int32_t count);
/* Recordings of the stream whose original channel contains `channel_fragment`. */
TERN_API int64_t tern_archive_send_list_recordings_for_uri(struct tern_archive *archive,
                                                           int64_t from_recording_id, int32_t count,
                                                           const char *channel_fragment,
                                                           int32_t stream_id);
/* One recording. */
TERN_API int64_t tern_archive_send_list_recording(struct tern_archive *archive,
                                                  int64_t recording_id);
/* Which subscriptions to list. */
struct tern_archive_list_subscriptions_params {
    int32_t pseudo_index; /* skip as many */
    int32_t count;
    const char *channel_fragment; /* their channel contains it; "": any */
    int32_t stream_id;
    bool apply_stream_id; /* false: of any stream */
};
/* Subscriptions that record. SUBSCRIPTION_UNKNOWN ends a listing with fewer than `count`. */
TERN_API int64_t tern_archive_send_list_subscriptions(
    struct tern_archive *archive, const struct tern_archive_list_subscriptions_params *params);

/* The last recording of stream and session, with an id not below `recording_id_min`, whose original
 * channel contains `channel_fragment`. Result: its id, or TERN_ARCHIVE_NULL when none matches. */
TERN_API int64_t tern_archive_send_find_last_matching(struct tern_archive *archive,
                                                      int64_t recording_id_min,
                                                      const char *channel_fragment,
                                                      int32_t stream_id, int32_t session_id);

/* Where a recording begins, ends or has come to. Result: a position, or TERN_ARCHIVE_NULL:
 * recording_position of an inactive recording, stop_position of an active one.
 * max_recorded_position is whichever of the two there is. */
TERN_API int64_t tern_archive_send_recording_position(struct tern_archive *archive,
                                                      int64_t recording_id);
TERN_API int64_t tern_archive_send_start_position(struct tern_archive *archive,
                                                  int64_t recording_id);
TERN_API int64_t tern_archive_send_stop_position(struct tern_archive *archive,
                                                 int64_t recording_id);
TERN_API int64_t tern_archive_send_max_recorded_position(struct tern_archive *archive,
                                                         int64_t recording_id);

/* For a replay. Initialise with tern_archive_replay_params_init(). */
struct tern_archive_replay_params {
    int64_t recording_id;
    int64_t position; /* where to begin; NULL: the start */
    int64_t length;   /* bytes, ALL_AND_FOLLOW or ALL_AND_STOP */
    const char *channel;
    int32_t stream_id;
    int32_t bounding_counter_id; /* -1: not bounded */
    int32_t file_io_length_max;  /* -1: the server's */
    int64_t replay_token;        /* NULL: none */
    /* NULL: the session's own. A replay to a response channel is asked for by another, see
     * tern_archive_replay_request_channel(); it must live until the answer is there. */
    struct tern_exclusive_publication *request_publication;
};
/* Everything from the start and follow; not bounded. The text is borrowed until the send. */
TERN_API void tern_archive_replay_params_init(struct tern_archive_replay_params *params,
                                              int64_t recording_id, const char *channel,
                                              int32_t stream_id);
/* Publish a recording on channel and stream (5.6). Result: replay session id, see
 * tern_archive_replay_session_id(). */
TERN_API int64_t tern_archive_send_replay(struct tern_archive *archive,
                                          const struct tern_archive_replay_params *params);
/* For a replay to a response channel, which needs no address of the client's: subscribe to it
 * ("aeron:udp?control=host:port|control-mode=response"), take a token
 * (tern_archive_send_replay_token), add an exclusive publication on this channel and on
 * tern_archive_request_stream_id(), and send the replay by it when it is connected. Then it can be
 * closed. The channel is written to `text`, of `size` bytes. 0 or -ENAMETOOLONG. */
TERN_API int tern_archive_replay_request_channel(const struct tern_archive *archive,
                                                 int64_t subscription_registration_id, char *text,
                                                 int32_t size);
/* The stream that this session's requests go by. */
TERN_API int32_t tern_archive_request_stream_id(const struct tern_archive *archive);
/* End one replay. Result: 0. */
TERN_API int64_t tern_archive_send_stop_replay(struct tern_archive *archive,
                                               int64_t replay_session_id);
/* End all replays of a recording, or all there are with TERN_ARCHIVE_NULL. Result: 0. */
TERN_API int64_t tern_archive_send_stop_all_replays(struct tern_archive *archive,
                                                    int64_t recording_id);

/* Removing data (5.8 to 5.10). Result: number of files that will be deleted; a DELETE signal says
 * when it is done. */

/* Drop what is behind `position`: it is the new end of a stopped recording. */
TERN_API int64_t tern_archive_send_truncate_recording(struct tern_archive *archive,
                                                      int64_t recording_id, int64_t position);
/* Remove a stopped recording, catalog entry and files. */
TERN_API int64_t tern_archive_send_purge_recording(struct tern_archive *archive,
                                                   int64_t recording_id);
/* Detach the segments before `new_start_position`, the base of a segment, and delete them. */
TERN_API int64_t tern_archive_send_purge_segments(struct tern_archive *archive,
                                                  int64_t recording_id, int64_t new_start_position);
/* Delete the files of segments that were detached. */
TERN_API int64_t tern_archive_send_delete_detached_segments(struct tern_archive *archive,
                                                            int64_t recording_id);
/* Move the start to `new_start_position`, the base of a segment; files stay. Result: 0. */
TERN_API int64_t tern_archive_send_detach_segments(struct tern_archive *archive,
                                                   int64_t recording_id,
                                                   int64_t new_start_position);
/* Take the segments back whose files lie before the start. Result: number of segments. */
TERN_API int64_t tern_archive_send_attach_segments(struct tern_archive *archive,
                                                   int64_t recording_id);
/* Move all segments of a stopped recording to another that begins where it ends, or ends where it
 * begins. Result: number of segments; a DELETE signal follows. */
TERN_API int64_t tern_archive_send_migrate_segments(struct tern_archive *archive,
                                                    int64_t source_recording_id,
                                                    int64_t destination_recording_id);
/* Set the channel that the catalog has for a recording; nothing else changes. Result: 0. */
TERN_API int64_t tern_archive_send_update_channel(struct tern_archive *archive,
                                                  int64_t recording_id, const char *channel);

/* For a replication: a copy of another archive's recording (5.11). Initialise with
 * tern_archive_replicate_params_init(). */
struct tern_archive_replicate_params {
    int64_t source_recording_id;
    int64_t destination_recording_id; /* NULL: a new recording */
    int64_t stop_position;            /* NULL: to the end */
    int64_t channel_tag_id;           /* NULL: not tagged; likewise */
    int64_t subscription_tag_id;
    int32_t source_control_stream_id;
    int32_t file_io_length_max;          /* -1: the source server's */
    int32_t replication_session_id;      /* -1: the source server chooses */
    const char *source_control_channel;  /* where the source server takes requests */
    const char *live_destination;        /* NULL: none */
    const char *replication_channel;     /* NULL: the server's */
    const char *source_response_channel; /* NULL: the server's */
    const void *credentials;             /* for the source server; NULL: none */
    int32_t credentials_length;
};
/* A new recording of everything that the source has. Texts are borrowed until the send. */
TERN_API void tern_archive_replicate_params_init(struct tern_archive_replicate_params *params,
                                                 int64_t source_recording_id,
                                                 const char *source_control_channel,
                                                 int32_t source_control_stream_id);
/* Result: replication id, the correlation id of all later responses and signals of it;
 * REPLICATE_END says that it ended, a STOP of its recording may follow. -EINVAL with a live
 * destination and a session id: the merged stream keeps its own. */
TERN_API int64_t tern_archive_send_replicate(struct tern_archive *archive,
                                             const struct tern_archive_replicate_params *params);
/* End it; what was copied stays. Result: 0. */
TERN_API int64_t tern_archive_send_stop_replication(struct tern_archive *archive,
                                                    int64_t replication_id);

/* Ask for the server's id, as tern_archive_id() says it. Result: archive id. */
TERN_API int64_t tern_archive_send_archive_id(struct tern_archive *archive);
/* Result: a token that lets a replay request come over a response channel. */
TERN_API int64_t tern_archive_send_replay_token(struct tern_archive *archive, int64_t recording_id);
/* Show the server that the session lives. Never answered; returns 0 instead of a correlation id. */
TERN_API int64_t tern_archive_send_keep_alive(struct tern_archive *archive);

/* ---- helpers: any thread -----------------------------------------------------------------------
 */

/* The session id of the stream of a replay. */
static inline int32_t tern_archive_replay_session_id(int64_t replay_session_id) {
    return (int32_t)(uint32_t)(uint64_t)replay_session_id;
}

/* Write `channel` with its session-id replaced, to subscribe to exactly one replay, to `text` of
 * `size` bytes. 0 or -ENAMETOOLONG. */
TERN_API int tern_archive_channel_with_session(const char *channel, int32_t session_id, char *text,
                                               int32_t size);

/* Recording position counters (type 100, archive.md 5.17) of the client's driver, of a recording or
 * of a stream's session; archive_id NULL: any archive's. They return a counter id, the newest when
 * there are several, or -1. */
TERN_API int32_t tern_archive_find_counter_by_recording(struct tern_client *client,
                                                        int64_t recording_id, int64_t archive_id);
TERN_API int32_t tern_archive_find_counter_by_session(struct tern_client *client,
                                                      int32_t session_id, int64_t archive_id);
/* The recording id of such a counter, or TERN_ARCHIVE_NULL when it is (no longer) one. */
TERN_API int64_t tern_archive_counter_recording_id(struct tern_client *client, int32_t counter_id);

/* The base position of the segment file that holds `position` (archive.md 4.8). Lengths as in the
 * recording's descriptor. */
TERN_API int64_t tern_archive_segment_base(int64_t start_position, int64_t position,
                                           int32_t term_length, int32_t segment_file_length);

/* "unknown recording", "invalid position", "start", ...; never NULL. Static. */
TERN_API const char *tern_archive_error_name(int64_t relevant_id);
TERN_API const char *tern_archive_signal_name(enum tern_archive_signal_kind kind);

#ifdef __cplusplus
}
#endif

#endif

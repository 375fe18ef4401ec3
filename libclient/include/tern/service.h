/* The ABI between servicehost and a replicated service (cluster.md 4).
 *
 * A plugin is a shared object that exports one symbol:
 *
 *     TERN_API const struct tern_service_plugin tern_service_plugin = {
 *         .abi_version = TERN_SERVICE_ABI_VERSION, .size = sizeof(struct tern_service_plugin),
 *         .name = "counter", .create = create, .destroy = destroy,
 *         .on_session_message = on_session_message, ...
 *     };
 *
 * servicehost calls `create` once and hands the state that it returned to every callback. State
 * lives in that object alone: several instances of one plugin can live in one process, so a plugin
 * keeps no mutable static data. All callbacks of an instance run on one thread, one at a time.
 *
 * Determinism. Every member runs the same callbacks in the same order with the same arguments. What
 * a callback changes must follow from its arguments and the state only: no clock but
 * `cluster_time`, no random source, no environment, no threads. on_role_change and background_work
 * are the exceptions: they differ between members and must not touch replicated state.
 *
 * Operations. The host passes one struct of functions to `create`; it outlives the instance. Each
 * function takes `host` as its first argument. Sending, timers and closing are refused with
 * TERN_SERVICE_NOT_ALLOWED inside create, on_start, on_role_change, on_terminate, background_work
 * and destroy.
 *
 * Compatibility. `abi_version` changes when something changes its meaning: host and plugin refuse
 * each other when it differs. `size` grows when fields are added at the end; a side sees only the
 * fields that both know. Unused callbacks are NULL; create, destroy and on_session_message are
 * needed.
 */
#ifndef TERN_SERVICE_H
#define TERN_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tern/publication.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_SERVICE_ABI_VERSION 1
#define TERN_SERVICE_PLUGIN_SYMBOL "tern_service_plugin"

enum tern_cluster_role {
    TERN_CLUSTER_ROLE_FOLLOWER = 0,
    TERN_CLUSTER_ROLE_CANDIDATE = 1,
    TERN_CLUSTER_ROLE_LEADER = 2,
};

enum tern_cluster_close_reason {
    TERN_CLUSTER_CLOSE_CLIENT_ACTION = 0,
    TERN_CLUSTER_CLOSE_SERVICE_ACTION = 1,
    TERN_CLUSTER_CLOSE_TIMEOUT = 2,
};

enum tern_cluster_time_unit {
    TERN_CLUSTER_TIME_MILLIS = 0,
    TERN_CLUSTER_TIME_MICROS = 1,
    TERN_CLUSTER_TIME_NANOS = 2,
};

/* Results of operations besides those of enum tern_publication_result. */
enum tern_service_result {
    TERN_SERVICE_NOT_ALLOWED = -100,     /* not inside this callback */
    TERN_SERVICE_UNKNOWN_SESSION = -101, /* no such open session */
    TERN_SERVICE_NOT_SUPPORTED = -102,   /* this build of servicehost cannot do it */
};

/* What offer returns on a member that is not the leader: nothing is sent, all members go on alike.
 */
#define TERN_SERVICE_MOCKED_OFFER 1

struct tern_service_host;     /* private to servicehost */
struct tern_service_snapshot; /* a snapshot being written or read; valid inside the callback */

/* An open client session. Valid during the callback. */
struct tern_service_session {
    int64_t session_id;
    int32_t response_stream_id;
    const char *response_channel;
    const void *principal; /* of the authenticated client; may be NULL with length 0 */
    int32_t principal_length;
};

enum tern_service_log_level {
    TERN_SERVICE_LOG_ERROR = 3,
    TERN_SERVICE_LOG_WARNING = 4,
    TERN_SERVICE_LOG_INFO = 6,
    TERN_SERVICE_LOG_DEBUG = 7,
};

struct tern_service_operations {
    uint32_t abi_version;
    uint32_t size;

    /* Send one message of at most the egress channel's message limit to an open session. Returns a
     * position > 0 or TERN_SERVICE_MOCKED_OFFER, or a refusal: on BACK_PRESSURED and ADMIN_ACTION
     * call idle and try again (tern_service_send does it); NOT_CONNECTED means that the client is
     * not there now. */
    int64_t (*offer)(struct tern_service_host *host, int64_t session_id, const void *buffer,
                     int32_t length);
    /* End a session; idempotent. on_session_close follows in log order. 0 or a refusal, of which
     * BACK_PRESSURED says try again. */
    int (*close_session)(struct tern_service_host *host, int64_t session_id);

    /* Time of the log entry being applied, in the unit below since the Unix epoch; the same on
     * every member. */
    int64_t (*cluster_time)(struct tern_service_host *host);
    /* Of the present leadership term. */
    enum tern_cluster_time_unit (*cluster_time_unit)(struct tern_service_host *host);
    /* Position behind the log entry being applied. */
    int64_t (*log_position)(struct tern_service_host *host);
    /* Of this member now; differs between members. */
    enum tern_cluster_role (*role)(struct tern_service_host *host);
    /* Of this member; -1 before it has joined the log. */
    int32_t (*member_id)(struct tern_service_host *host);

    /* A timer fires once, as on_timer_event, when the cluster time has reached `deadline` (in the
     * unit of cluster_time, since the Unix epoch; one that has passed: at once). All services of a
     * node share the ids, so let each use its own. Scheduling a known id moves it; a snapshot and a
     * change of the leader leave it. 0, or a refusal: on BACK_PRESSURED call idle and try again, as
     * every member must have the same timers (also when there are as many as consensusd's option
     * max_timers allows); on any other the host is about to end.
     *
     * An event that was on its way into the log when its timer was moved or cancelled still comes:
     * one with a timestamp below the present deadline is of an earlier schedule, and the timer
     * fires again when it is due. */
    int (*schedule_timer)(struct tern_service_host *host, int64_t timer_id, int64_t deadline);
    /* An unknown id is no error. Results as above. */
    int (*cancel_timer)(struct tern_service_host *host, int64_t timer_id);
    /* Put a message into the log from the service itself; it comes back once, as on_session_message
     * without session, to all services of the node, those of one service in the order of their
     * offers, also when the leader changes meanwhile. Every member must offer the same. A position
     * > 0, or a refusal: BACK_PRESSURED and ADMIN_ACTION say idle and try again; ERROR says that it
     * has more than an eighth of a term, of the log's or of control_channel's, less 32 bytes. */
    int64_t (*offer_to_cluster)(struct tern_service_host *host, const void *buffer, int32_t length);

    /* Let the host breathe inside a waiting loop; pass 0 for "nothing done". */
    void (*idle)(struct tern_service_host *host, int work_count);

    /* Open sessions by ascending id. Returns NULL when there is none above `after_session_id`
     * (start with INT64_MIN). Valid until the callback returns. */
    const struct tern_service_session *(*next_session)(struct tern_service_host *host,
                                                       int64_t after_session_id);

    /* Snapshots: append one message (in on_take_snapshot), copied. 0 or -ENOMEM. It is written to
     * the archive after the callback, so equal states give equal recordings. */
    int (*snapshot_write)(struct tern_service_snapshot *snapshot, const void *buffer,
                          int32_t length);
    /* The next message of the snapshot (in on_start), valid until the next call. 1, or 0 at its
     * end. */
    int (*snapshot_read)(struct tern_service_snapshot *snapshot, const void **buffer,
                         int32_t *length);

    /* One line in the host's log, without a newline; copied. */
    void (*log)(struct tern_service_host *host, enum tern_service_log_level level,
                const char *text);
};

struct tern_service_plugin {
    uint32_t abi_version; /* TERN_SERVICE_ABI_VERSION */
    uint32_t size;        /* sizeof(struct tern_service_plugin) */
    const char *name;     /* static strings, shown in logs */
    const char *version;

    /* Make an instance. `argument` is the text of the option service.argument ("" when unset).
     * NULL with a text in `error` when it cannot. */
    void *(*create)(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error);
    /* The last call: free the state. */
    void (*destroy)(void *service);

    /* Before everything else. `snapshot` is NULL when there is none to load. A negative result
     * with a text in `error` stops the node: a state that cannot be loaded must not serve. */
    int (*on_start)(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error);

    /* Below, `session` and `buffer` are valid during the call, `timestamp` is the cluster time of
     * the log entry, `length` counts bytes. */

    /* A client was let in; its session is among the open ones now. */
    void (*on_session_open)(void *service, const struct tern_service_session *session,
                            int64_t timestamp);
    /* It is the last call for this session; nothing can be sent to it any more. */
    void (*on_session_close)(void *service, const struct tern_service_session *session,
                             int64_t timestamp, enum tern_cluster_close_reason reason);
    /* A message of a client; `session` is NULL for messages of services. */
    void (*on_session_message)(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length);
    /* A timer fired; those of one deadline come in the order of their ids. */
    void (*on_timer_event)(void *service, int64_t timer_id, int64_t timestamp);
    /* Write the whole state. A negative result fails this snapshot, not the service. */
    int (*on_take_snapshot)(void *service, struct tern_service_snapshot *snapshot,
                            struct tern_error *error);
    /* This member leads, follows or is a candidate from now on; only called when it changed. */
    void (*on_role_change)(void *service, enum tern_cluster_role role);
    /* A term begins at `log_position`. */
    void (*on_new_leadership_term)(void *service, int64_t leadership_term_id, int64_t log_position,
                                   int64_t timestamp, int32_t leader_member_id);
    /* The node ends in an orderly way; destroy follows. */
    void (*on_terminate)(void *service);
    /* Every cycle of the host that follows the log, at its monotonic time; returns the work done.
     * Must not block. */
    int (*background_work)(void *service, int64_t now_ns);
};

/* Offer until it is sent or cannot be: waits through back pressure by idle, gives up on every other
 * refusal or after `attempts_max` (a client that does not read must not stop the service). Returns
 * as offer does. */
static inline int64_t tern_service_send(struct tern_service_host *host,
                                        const struct tern_service_operations *operations,
                                        int64_t session_id, const void *buffer, int32_t length,
                                        int attempts_max) {
    int64_t result = TERN_PUBLICATION_BACK_PRESSURED;
    for (int attempt = 0; attempt < attempts_max; attempt++) {
        result = operations->offer(host, session_id, buffer, length);
        if (result != TERN_PUBLICATION_BACK_PRESSURED && result != TERN_PUBLICATION_ADMIN_ACTION) {
            break;
        }
        operations->idle(host, 0);
    }
    return result;
}

#ifdef __cplusplus
}
#endif

#endif

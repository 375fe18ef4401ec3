/* The clustered service container (cluster.md 4): one plugin instance, its sessions, and the state
 * machine that carries it from start-up to termination.
 *
 *   CONNECT_DRIVER -> ADD_STREAMS -> AWAIT_COMMIT -> AWAIT_RECOVERY -> LOAD_SNAPSHOT -> START
 *                                                                   \______________->/
 *   START -> FOLLOW <-> SNAPSHOT, FOLLOW -> TERMINATED
 *
 * The struct is an agent: service_host_do_work never blocks, except in the plugin itself. When
 * `is_done` the owner stops calling it; exit_status says why.
 */
#ifndef TERN_SERVICEHOST_SERVICE_HOST_H
#define TERN_SERVICEHOST_SERVICE_HOST_H

#include <tern/service.h>

#include "archive/recording_reader.h"
#include "archive/recording_writer.h"
#include "base/agent.h"
#include "base/io.h"
#include "servicehost/host_session.h"
#include "servicehost/plugin.h"
#include "servicehost/service_conf.h"
#include "servicehost/service_control.h"
#include "servicehost/service_log.h"
#include "servicehost/service_mark.h"
#include "servicehost/service_snapshot.h"

enum service_host_state {
    SERVICE_HOST_CONNECT_DRIVER,
    SERVICE_HOST_ADD_STREAMS,
    SERVICE_HOST_AWAIT_COMMIT,
    SERVICE_HOST_AWAIT_RECOVERY,
    SERVICE_HOST_LOAD_SNAPSHOT,
    SERVICE_HOST_START,
    SERVICE_HOST_FOLLOW,
    SERVICE_HOST_SNAPSHOT,
    SERVICE_HOST_TERMINATED,
    SERVICE_HOST_STATE_COUNT,
};

enum service_host_exit {
    SERVICE_HOST_EXIT_ORDERLY,     /* the cluster was shut down */
    SERVICE_HOST_EXIT_UNAVAILABLE, /* driver, archive or consensus module went away */
    SERVICE_HOST_EXIT_FAILED,      /* plugin, snapshot or log cannot be used */
};

enum service_host_counter {
    SERVICE_COUNTER_ERRORS,
    SERVICE_COUNTER_MAX_CYCLE_TIME,
    SERVICE_COUNTER_CYCLE_TIME_EXCEEDED,
    SERVICE_COUNTER_SNAPSHOT_DURATION_MAX,
    SERVICE_COUNTER_SNAPSHOT_DURATION_EXCEEDED,
    SERVICE_COUNTER_COUNT,
};

struct service_recovery {
    int64_t leadership_term_id; /* -1: no snapshot */
    int64_t log_position;
    int64_t timestamp;
    int64_t snapshot_recording_id;
};

struct service_host_params {
    const struct service_conf *conf; /* borrowed */
    struct io io;
    const struct tern_service_plugin *plugin; /* NULL: load conf->plugin */
    /* One line of log; may be NULL. */
    void (*log)(void *context, enum tern_service_log_level level, const char *text);
    void *log_context;
    /* What the plugin's idle operation does instead of waiting (the simulator steps others). */
    void (*idle)(void *context, int work_count);
    void *idle_context;
};

struct tern_service_host {
    struct service_host_params params;
    const struct service_conf *conf;
    struct tern_service_operations operations;
    struct plugin plugin;
    void *instance;
    struct idle_strategy idle;

    enum service_host_state state;
    bool is_done;
    enum service_host_exit exit_status;
    struct tern_error exit_error; /* text for the log; code 0 when orderly */

    tern_client *client;
    struct service_mark mark;
    tern_async *counter_requests[SERVICE_COUNTER_COUNT];
    tern_counter *counters[SERVICE_COUNTER_COUNT];
    struct service_control control;
    int32_t commit_counter_id;
    int64_t commit_counter_registration_id;
    struct service_recovery recovery;
    struct recording_reader snapshot_reader;
    struct service_snapshot_reader loaded;
    struct tern_service_snapshot loaded_plugin_part;
    struct recording_writer snapshot_writer;
    struct service_join join;
    struct service_log log;
    tern_controlled_fragment_assembler *assembler;
    struct host_sessions sessions;

    /* replicated clock and position: those of the entry being applied */
    int64_t cluster_time;
    int64_t log_position;
    int64_t leadership_term_id;
    enum tern_cluster_time_unit time_unit;
    enum tern_cluster_role role;
    int32_t member_id;
    int32_t app_version;
    bool is_sending_allowed; /* inside a callback that may send */

    int64_t snapshot_log_position; /* of the action being snapshot */
    int64_t snapshot_timestamp;

    int64_t ack_id; /* of the next acknowledgement */
    bool has_pending_ack;
    struct cluster_service_ack pending_ack;
    int64_t termination_position;   /* -1: not asked */
    int64_t requested_ack_position; /* -1: not asked */
    bool is_terminating;

    int64_t last_cycle_ns; /* 0: none yet */
    int64_t mark_deadline_ns;
    int64_t driver_deadline_ns; /* of the next look for a driver */
};

/* Load the plugin and create the instance; the driver need not be there yet. */
int service_host_init(struct tern_service_host *host, const struct service_host_params *params,
                      struct tern_error *error);
int service_host_do_work(struct tern_service_host *host, int64_t now_ns);
/* What it waits for in its present state, NULL while it serves. */
const char *service_host_waiting_for(const struct tern_service_host *host);
void service_host_close(struct tern_service_host *host);

/* For the files of the container: */
void service_host_set_state(struct tern_service_host *host, enum service_host_state next);
void service_host_end(struct tern_service_host *host, enum service_host_exit exit_status);
/* End because of an error. */
void service_host_fail(struct tern_service_host *host, const struct tern_error *error);
/* Acknowledge a synchronisation point as soon as it can be sent. */
void service_host_queue_ack(struct tern_service_host *host, int64_t log_position,
                            int64_t relevant_id);
/* The last words of a service, sent now: nobody will say them again. */
void service_host_send_last_ack(struct tern_service_host *host, int64_t relevant_id);
/* service_host_start.c: a step of the states before FOLLOW. */
int service_host_start_step(struct tern_service_host *host, int64_t now_ns);
struct tern_archive_params service_host_archive_params(const struct tern_service_host *host);
void service_host_log(struct tern_service_host *host, enum tern_service_log_level level,
                      const char *format, ...) PRINTF_LIKE(3, 4);
/* Count and log an error that does not end the service. */
void service_host_count_error(struct tern_service_host *host, const struct tern_error *error);
/* The operations that plugins get. */
void service_operations_fill(struct tern_service_operations *operations);
/* The handler of log entries; context is the host. */
enum tern_controlled_action container_on_log_entry(void *context, const uint8_t *buffer,
                                                   int32_t length, const tern_header *header);
void container_set_role(struct tern_service_host *host, enum tern_cluster_role role);
/* Connect (leader) or disconnect the egress of all sessions. */
void container_connect_egress(struct tern_service_host *host);
void container_disconnect_egress(struct tern_service_host *host);
int container_poll_egress(struct tern_service_host *host);
/* Put everything into snapshot_writer.messages; a plugin's failure is returned. */
int container_fill_snapshot(struct tern_service_host *host, struct tern_error *error);

#endif

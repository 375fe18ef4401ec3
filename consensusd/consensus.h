/* The consensus module of one node: everything that consensusd is, in one struct (cluster.md 3).
 *
 * One agent, one thread: consensus_do_work is stepped by a runner, by hand or by the simulator. It
 * never blocks; what takes time is a machine of steps. The decisions about leadership and commit
 * are the pure core's (core/raft.h); this struct owns what the core talks about: streams to members
 * and services, the archive session, the log, the sessions, the files.
 */
#ifndef TERN_CONSENSUSD_CONSENSUS_H
#define TERN_CONSENSUSD_CONSENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/io.h"
#include "consensusd/archive_link.h"
#include "consensusd/catchup.h"
#include "consensusd/consensus_conf.h"
#include "consensusd/core/raft.h"
#include "consensusd/log_follower.h"
#include "consensusd/log_publisher.h"
#include "consensusd/member_link.h"
#include "consensusd/members.h"
#include "consensusd/module_counters.h"
#include "consensusd/module_ingress.h"
#include "consensusd/module_mark.h"
#include "consensusd/module_sessions.h"
#include "consensusd/node_state.h"
#include "consensusd/operation.h"
#include "consensusd/recording_log.h"
#include "consensusd/replay_reader.h"
#include "consensusd/service_link.h"
#include "consensusd/service_queue.h"
#include "consensusd/snapshot_load.h"
#include "consensusd/snapshot_taker.h"
#include "consensusd/timer_table.h"

/* Stages of a life; each has one step in consensus_start.c, RUN has consensus.c. */
enum consensus_stage {
    CONSENSUS_CONNECT_DRIVER,
    CONSENSUS_ADD_COUNTERS,
    CONSENSUS_ADD_STREAMS,
    CONSENSUS_CONNECT_ARCHIVE,
    CONSENSUS_LOAD_SNAPSHOT,
    CONSENSUS_RECOVER_SERVICES,
    CONSENSUS_RUN,
    CONSENSUS_ENDED,
    CONSENSUS_STAGE_COUNT,
};

/* Values of counter 200. */
enum module_state {
    MODULE_STATE_INIT,
    MODULE_STATE_ACTIVE,
    MODULE_STATE_SUSPENDED,
    MODULE_STATE_SNAPSHOT,
    MODULE_STATE_QUITTING,
    MODULE_STATE_TERMINATING,
    MODULE_STATE_CLOSED,
};

enum consensus_exit {
    CONSENSUS_EXIT_ORDERLY,     /* the cluster was shut down */
    CONSENSUS_EXIT_UNAVAILABLE, /* driver, archive or a service is gone */
    CONSENSUS_EXIT_STORAGE,     /* a file cannot be read or written */
    CONSENSUS_EXIT_REFUSED,     /* the node cannot work with what it found */
};

enum consensus_log_level {
    CONSENSUS_LOG_ERROR = 3,
    CONSENSUS_LOG_WARNING = 4,
    CONSENSUS_LOG_INFO = 6
};

struct consensus_params {
    const struct consensus_conf *conf; /* borrowed */
    struct io io;
    void (*log)(void *context, enum consensus_log_level level, const char *text); /* may be NULL */
    void *log_context;
};

/* An action entry of the leader that is not committed yet. */
struct uncommitted_action {
    int64_t position;
    enum module_state state_before;
};
#define UNCOMMITTED_ACTIONS_MAX 64

/* A point that every service acknowledges once: recovery, joining a log, snapshot, termination.
 * They come one after the other. */
struct sync_point {
    bool is_waiting;
    int64_t log_position;
    int64_t relevant_ids[CONSENSUS_SERVICES_MAX]; /* of the last point that all acknowledged */
    int64_t timestamp;
};

/* A request of a service that there is no room for and that is given again each cycle. */
struct held_request {
    int64_t since_ns; /* and acknowledgements were awaited all the time */
    int64_t seen_ns;
    int64_t report_ns; /* the next time that it is told */
};

struct consensus {
    struct consensus_params params;
    const struct consensus_conf *conf;
    struct members members;
    int32_t own_index;
    int32_t app_version;
    enum consensus_stage stage;
    enum module_state state;
    int64_t now_ns;
    int64_t cluster_time; /* in the cluster's unit; never goes back */

    /* files */
    struct module_mark mark;
    struct node_state node_state;
    struct recording_log recording_log;

    /* driver, archive, services, members */
    tern_client *client;
    struct module_counters counters;
    struct archive_link archive;
    struct service_link services;
    struct sync_point sync;
    int64_t service_client_ids[CONSENSUS_SERVICES_MAX];
    struct member_link link;

    /* start */
    int64_t retry_ns;
    bool has_predecessor; /* its counters are still there */
    tern_async *recovery_request;
    tern_counter *recovery_counter;
    int32_t snapshot_index; /* in recording_log; -1: none is loaded */
    struct snapshot_load load;

    /* log */
    struct raft raft;
    struct operation operation;
    struct log_publisher publisher;
    struct log_follower follower;
    struct log_drought drought;
    struct log_follower live; /* held at the end of a catch-up, until it is followed */
    struct replay_reader replay;
    tern_controlled_fragment_assembler *log_assembler;
    int64_t initial_term_id; /* where the recording log began when the node started */
    int64_t initial_base_position;
    int64_t current_term_id;            /* of the last term entry consumed, or led */
    int64_t term_base_position;         /* of the term that is led or followed */
    struct archive_recording recording; /* of the log; recording_id NULL: there is none */
    int32_t recording_counter_id;       /* -1: the log is not being recorded */
    int64_t recorded_position;
    int64_t consumed_position;

    /* state that the log determines */
    struct module_sessions sessions;
    struct service_queue queues[CONSENSUS_SERVICES_MAX];
    struct timer_table timers;

    /* leading */
    struct module_ingress ingress;
    struct catchups catchups;
    struct uncommitted_action uncommitted[UNCOMMITTED_ACTIONS_MAX];
    int32_t uncommitted_count;

    /* snapshot and termination */
    struct snapshot_taker taker;
    int64_t termination_position; /* RAFT_NULL: none */
    int64_t termination_term_id;
    int64_t termination_deadline_ns;
    int64_t termination_repeat_ns; /* of the position, to members that did not acknowledge */
    uint32_t terminated_members;   /* bit i: member i acknowledged */
    bool is_shutdown_pending;      /* terminate when the snapshot is taken */
    bool is_service_termination_sent;
    bool has_services_terminated;
    bool is_resigning;         /* see resignation.h */
    uint32_t resigned_members; /* bit i: member i knows */
    int64_t resignation_deadline_ns;
    struct archive_request validation; /* of recording.log, node toggle 3 */
    bool is_validating;
    int32_t validation_index; /* of the entry asked for last; -1: none yet */

    /* duty cycle */
    int64_t slow_tick_ns;
    int64_t mark_refresh_ns;
    int64_t cycle_started_ns;
    struct held_request held;
    char last_report[RAFT_REASON_MAX];
    int64_t next_report_ns;

    bool is_done;
    enum consensus_exit exit_status;
    struct tern_error exit_error; /* code 0: orderly */
};

/* Opens the files. -EBUSY when another module serves the directory; negative also for damaged or
 * unreadable files. consensus_close is to be called in any case. */
int consensus_init(struct consensus *consensus, const struct consensus_params *params,
                   struct tern_error *error);
int consensus_do_work(struct consensus *consensus, int64_t now_ns);
/* NULL once it serves; else what it waits for. */
const char *consensus_waiting_for(const struct consensus *consensus);
/* Stop in order: a leader's log ends with end-of-stream, so that followers need not time out. */
void consensus_close(struct consensus *consensus);

/* -- for the files of consensusd -- */

void consensus_log(struct consensus *consensus, enum consensus_log_level level, const char *format,
                   ...) PRINTF_LIKE(3, 4);
/* Count it; new ones go to the mark file's error log and are logged. */
void consensus_count_error(struct consensus *consensus, const struct tern_error *error);
void consensus_end(struct consensus *consensus, enum consensus_exit status,
                   const struct tern_error *error);
void consensus_set_state(struct consensus *consensus, enum module_state state);
/* The recording of the log ended at a position: without it the node neither leads nor follows.
 * Nothing happens in an election, which stops it itself. */
void consensus_on_log_not_recorded(struct consensus *consensus, int64_t position);

/* consensus_start.c */
int consensus_start_step(struct consensus *consensus);

/* consensus_actions.c: between the core and the world. */
void consensus_begin_core_cycle(struct consensus *consensus);
void consensus_carry_out(struct consensus *consensus);
void consensus_tell_result(struct consensus *consensus, const struct raft_result *result);

/* consensus_messages.c */
void consensus_on_member_message(void *context, const uint8_t *buffer, int32_t length,
                                 const tern_header *header);

/* consensus_services.c: what services and tools say, and what the services owe. */
struct service_link_handlers consensus_service_handlers(struct consensus *consensus);
void consensus_expect_acks(struct consensus *consensus, int64_t log_position);
/* All services acknowledged; the point is over. */
bool consensus_are_acks_in(struct consensus *consensus);
/* The service whose Aeron client is gone, or -1. */
int32_t consensus_find_dead_service(const struct consensus *consensus);

/* A request of a service cannot be taken now: it stays in the control stream, which all services
 * share, and what follows stays behind it. Ends the node when nothing will make room. */
void consensus_hold_request(struct consensus *consensus, const struct tern_error *error);

/* consensus_timers.c. A request that cannot be taken now (false) is to be given again. */
bool consensus_on_schedule_timer(void *context, int64_t timer_id, int64_t deadline,
                                 int64_t position);
void consensus_on_cancel_timer(void *context, int64_t timer_id, int64_t position);
/* A leader in ACTIVE: append events of timers that are due; returns how many. */
int consensus_fire_timers(struct consensus *consensus);
int consensus_on_timer_entry(struct consensus *consensus, const uint8_t *buffer, int32_t length,
                             int64_t position);
/* 0 or a negative code. */
int consensus_save_timers(const struct consensus *consensus, struct module_snapshot *snapshot);
int consensus_restore_timers(struct consensus *consensus, const struct module_snapshot *snapshot);

/* consensus_outbox.c: messages of services to their cluster. False: to be given again. */
bool consensus_on_service_message(void *context, int32_t service_id, const uint8_t *message,
                                  int32_t length);
/* A leader in ACTIVE: append what is queued; returns how many. */
int consensus_append_service_messages(struct consensus *consensus);
/* An entry of the log has an id that is that of a service's message. */
void consensus_on_service_entry(struct consensus *consensus, int64_t id);
void consensus_commit_service_messages(struct consensus *consensus, int64_t position);
void consensus_roll_back_service_messages(struct consensus *consensus, int64_t position);
/* 0 or a negative code. */
int consensus_save_service_messages(struct consensus *consensus, struct module_snapshot *snapshot);
int consensus_restore_service_messages(struct consensus *consensus,
                                       const struct module_snapshot *snapshot);

/* log_entry.c: what the module itself does with the entries of the log. */
enum tern_controlled_action consensus_on_log_entry(void *context, const uint8_t *buffer,
                                                   int32_t length, const tern_header *header);
/* Consume up to `limit` from an image; returns the fragments. */
int consensus_consume(struct consensus *consensus, tern_image *image, int64_t limit);

/* consensus_toggle.c: control toggle, node toggle, snapshot and termination by it. */
int consensus_check_control_toggle(struct consensus *consensus);
int consensus_check_node_toggle(struct consensus *consensus);
void consensus_snapshot_ended(struct consensus *consensus, bool is_taken);
void consensus_on_action_committed(struct consensus *consensus, int64_t position);
void consensus_roll_back_actions(struct consensus *consensus, int64_t position);

/* termination.c */
void termination_on_position(struct consensus *consensus,
                             const struct cluster_termination_position *message);
void termination_on_ack(struct consensus *consensus, const struct cluster_termination_ack *message);
void termination_begin(struct consensus *consensus, int64_t position);
/* Tell the members that have not acknowledged. */
void termination_send_position(struct consensus *consensus);
int termination_step(struct consensus *consensus);
void termination_close(struct consensus *consensus);

/* The next entry of the log may be consumed: no snapshot or shutdown that the log asked for is
 * under way. */
static inline bool consensus_may_consume(const struct consensus *consensus) {
    return consensus->state == MODULE_STATE_ACTIVE || consensus->state == MODULE_STATE_SUSPENDED;
}

static inline bool consensus_is_leading(const struct consensus *consensus) {
    return raft_is_leader(&consensus->raft);
}

/* enum cluster_cluster_time_unit */
static inline int32_t consensus_time_unit(const struct consensus *consensus) {
    return consensus->conf->clock == CONSENSUS_CLOCK_NANOSECONDS ? CLUSTER_CLUSTER_TIME_UNIT_NANOS
                                                                 : CLUSTER_CLUSTER_TIME_UNIT_MILLIS;
}

#endif

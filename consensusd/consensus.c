/* The consensus module's duty cycle and life (see consensus.h): client and archive first, then
 * control messages, then the stage's step; when it runs, messages of the members, the slow tick,
 * the operation of an election, the core, and what the role has to do.
 */
#include "consensusd/consensus.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "client/seams.h"

#define SLOW_TICK_NS (10 * NS_PER_MS)
#define MARK_REFRESH_NS NS_PER_S
#define CONSENSUS_FRAGMENT_LIMIT 10
#define LOG_DROUGHT_MAX_NS (2 * NS_PER_S)
#define LEADER_BEATS_MISSED_MAX 3

void consensus_log(struct consensus *consensus, enum consensus_log_level level, const char *format,
                   ...) {
    if (consensus->params.log != NULL) {
        char text[512];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        consensus->params.log(consensus->params.log_context, level, text);
    }
}

void consensus_count_error(struct consensus *consensus, const struct tern_error *error) {
    module_counters_add(&consensus->counters, MODULE_COUNTER_ERRORS, 1);
    if (error_log_record(&consensus->mark.errors, error->code, error->text,
                         clock_epoch_ms(consensus->params.io.clock)) != 0) {
        consensus_log(consensus, CONSENSUS_LOG_WARNING, "%s", error->text);
    }
}

void consensus_end(struct consensus *consensus, enum consensus_exit status,
                   const struct tern_error *error) {
    if (!consensus->is_done) {
        consensus->is_done = true;
        consensus->exit_status = status;
        consensus->exit_error = *error;
    }
}

void consensus_set_state(struct consensus *consensus, enum module_state state) {
    consensus->state = state;
    module_counters_set(&consensus->counters, MODULE_COUNTER_STATE, state);
}

/* -- running -- */

static void show_waiting(struct consensus *consensus) {
    int64_t messages = 0;
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        messages += consensus->queues[i].count;
    }
    module_counters_set(&consensus->counters, MODULE_COUNTER_SERVICE_MESSAGES, messages);
    module_counters_set(&consensus->counters, MODULE_COUNTER_TIMERS,
                        consensus->timers.scheduled_count);
}

static int slow_tick(struct consensus *consensus) {
    struct tern_error error;
    show_waiting(consensus);
    int work = member_link_maintain(&consensus->link, consensus->now_ns, &error);
    if (error.code != 0) {
        consensus_count_error(consensus, &error);
    }
    work += module_sessions_refuse(consensus);
    if (raft_is_in_election(&consensus->raft)) {
        return work;
    }
    if (consensus_is_leading(consensus)) {
        work += consensus_check_control_toggle(consensus);
        if (consensus->state == MODULE_STATE_ACTIVE) {
            work += module_sessions_admit(consensus);
            work += module_sessions_check(consensus);
        }
    } else if (consensus->state == MODULE_STATE_ACTIVE) {
        work += module_sessions_answer_backups(consensus);
    }
    if (consensus->state == MODULE_STATE_ACTIVE) {
        work += consensus_check_node_toggle(consensus);
    }
    return work;
}

/* The leader's stream ended, or its image is gone. */
static void check_log_image(struct consensus *consensus) {
    tern_image *image = consensus->follower.image;
    int64_t end = tern_image_end_of_stream_position(image);
    bool is_goodbye = end != INT64_MAX && consensus->recorded_position >= end;
    if (!is_goodbye && !tern_image_is_closed(image)) {
        return;
    }
    raft_begin_election(&consensus->raft, is_goodbye ? consensus->raft.leader_id : RAFT_NULL,
                        is_goodbye ? "the leader closed its log" : "the leader's log is gone");
    consensus_carry_out(consensus);
}

/* What the leader has committed does not arrive, although the leader is heard: a hole that is not
 * filled, because the leader has left it behind, keeps the image alive without use until the driver
 * gives it up. A slow log comes on, and one that a slow archive does not record can be read. */
static void check_log_flow(struct consensus *consensus) {
    const struct consensus_conf *conf = consensus->conf;
    struct raft *raft = &consensus->raft;
    bool is_wanted = raft->notified_commit_position > consensus->recorded_position &&
                     consensus->now_ns - raft->leader_heard_ns <
                         LEADER_BEATS_MISSED_MAX * conf->leader_heartbeat_interval_ns;
    int64_t drought_ns =
        log_drought_look(&consensus->drought, consensus->recorded_position,
                         is_wanted && log_follower_is_dry(&consensus->follower), consensus->now_ns);
    if (drought_ns >= min_i64(conf->leader_heartbeat_timeout_ns, LOG_DROUGHT_MAX_NS)) {
        raft_begin_election(raft, RAFT_NULL, "the leader's log does not arrive");
        consensus_carry_out(consensus);
    }
}

void consensus_on_log_not_recorded(struct consensus *consensus, int64_t position) {
    /* In the middle of a snapshot, too: a leader that does not record cannot commit it. */
    bool is_serving = consensus_may_consume(consensus) || consensus->state == MODULE_STATE_SNAPSHOT;
    if (!is_serving || consensus->stage != CONSENSUS_RUN || raft_is_in_election(&consensus->raft)) {
        return;
    }
    tern_image *image = consensus->follower.image;
    bool is_goodbye = image != NULL && tern_image_end_of_stream_position(image) == position;
    raft_begin_election(&consensus->raft, is_goodbye ? consensus->raft.leader_id : RAFT_NULL,
                        "the recording of the log stopped");
    consensus_carry_out(consensus);
}

static int follow(struct consensus *consensus) {
    if (!consensus_may_consume(consensus) || consensus->follower.image == NULL ||
        !operation_may_consume_catchup(consensus)) {
        return 0;
    }
    int64_t limit = raft_consume_limit(&consensus->raft);
    if (consensus->termination_position != RAFT_NULL) {
        limit = min_i64(limit, consensus->termination_position);
    }
    int work = 0;
    if (limit > consensus->consumed_position) {
        work = consensus_consume(consensus, consensus->follower.image, limit);
    }
    if (work == 0 && !raft_is_in_election(&consensus->raft) &&
        consensus->termination_position == RAFT_NULL) {
        check_log_image(consensus);
        if (!raft_is_in_election(&consensus->raft)) {
            check_log_flow(consensus);
        }
    }
    return work;
}

/* What a leader in ACTIVE appends. */
static int serve(struct consensus *consensus) {
    return consensus_fire_timers(consensus) + consensus_append_service_messages(consensus) +
           module_ingress_poll(consensus);
}

static int do_role(struct consensus *consensus) {
    const struct raft *raft = &consensus->raft;
    if (raft->election.state == ELECTION_FOLLOWER_CATCHUP) {
        return follow(consensus);
    }
    if (raft->role == CLUSTER_ROLE_LEADER && log_publisher_is_open(&consensus->publisher)) {
        bool is_serving = !raft_is_in_election(raft) && consensus->state == MODULE_STATE_ACTIVE;
        return is_serving ? serve(consensus) : 0;
    }
    if (!raft_is_in_election(raft)) {
        int work = follow(consensus);
        return work + (raft_is_in_election(raft) ? 0 : module_ingress_poll(consensus));
    }
    return 0;
}

static int run_step(struct consensus *consensus) {
    consensus_begin_core_cycle(consensus);
    if (consensus->recording_counter_id == TERN_NULL_COUNTER_ID) {
        /* Its signal may have come while the election still waited for the services. */
        consensus_on_log_not_recorded(consensus, consensus->recorded_position);
    }
    int work = member_link_poll(&consensus->link, CONSENSUS_FRAGMENT_LIMIT);
    if (consensus->now_ns >= consensus->slow_tick_ns) {
        int done = slow_tick(consensus);
        consensus->slow_tick_ns = consensus->now_ns + (done > 0 ? 1 : SLOW_TICK_NS);
        work += done;
    }
    if (!consensus->is_done) {
        work += operation_step(consensus);
    }
    if (!consensus->is_done) {
        work += raft_step(&consensus->raft);
        consensus_carry_out(consensus);
    }
    if (!consensus->is_done) {
        work += catchups_step(consensus) + do_role(consensus);
    }
    if (consensus->taker.state != SNAPSHOT_TAKER_IDLE && !consensus->is_done) {
        work += snapshot_taker_step(consensus);
    }
    if (consensus->termination_position != RAFT_NULL && !consensus->is_done) {
        work += termination_step(consensus);
    }
    return work;
}

/* -- the cycle -- */

static void note_time(struct consensus *consensus, int64_t now_ns) {
    consensus->now_ns = now_ns;
    int64_t wall_ns = clock_epoch_ns(consensus->params.io.clock);
    int64_t time =
        consensus->conf->clock == CONSENSUS_CLOCK_NANOSECONDS ? wall_ns : wall_ns / NS_PER_MS;
    consensus->cluster_time = max_i64(consensus->cluster_time, time);
}

static void measure_cycle(struct consensus *consensus) {
    if (consensus->stage == CONSENSUS_RUN && consensus->cycle_started_ns != 0) {
        int64_t cycle_ns = consensus->now_ns - consensus->cycle_started_ns;
        module_counters_max(&consensus->counters, MODULE_COUNTER_CYCLE_TIME_MAX, cycle_ns);
        if (cycle_ns > consensus->conf->cycle_threshold_ns) {
            module_counters_add(&consensus->counters, MODULE_COUNTER_CYCLE_TIME_EXCEEDED, 1);
        }
    }
    consensus->cycle_started_ns = consensus->now_ns;
}

static void end_without_archive(struct consensus *consensus) {
    struct tern_error error;
    error_set(&error, -ENOTCONN, "the archive is gone");
    consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
}

/* Once per second, with it, also whether those that the module needs are the ones that it met. */
static void refresh_mark(struct consensus *consensus) {
    struct tern_error error;
    if (consensus->now_ns < consensus->mark_refresh_ns) {
        return;
    }
    consensus->mark_refresh_ns = consensus->now_ns + MARK_REFRESH_NS;
    mark_file_update_activity(&consensus->mark.file, clock_epoch_ms(consensus->params.io.clock));
    if (consensus->stage > CONSENSUS_CONNECT_ARCHIVE && archive_link_is_lost(&consensus->archive)) {
        end_without_archive(consensus);
        return;
    }
    if (consensus->stage != CONSENSUS_RUN || consensus->has_services_terminated) {
        return;
    }
    int32_t dead = consensus_find_dead_service(consensus);
    if (dead >= 0 && !consensus->is_service_termination_sent) {
        error_set(&error, TERN_ERROR_CLOSED, "service %d is gone", dead);
        consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
    }
}

static int poll_ground(struct consensus *consensus) {
    struct tern_error error;
    if (consensus->client == NULL) {
        return 0;
    }
    int work = tern_client_do_work_at(consensus->client, consensus->now_ns);
    if (tern_client_is_closed(consensus->client)) {
        tern_client_status(consensus->client, &error);
        consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
        return work;
    }
    if (consensus->stage > CONSENSUS_CONNECT_ARCHIVE) {
        int done = archive_link_poll(&consensus->archive, consensus->now_ns);
        if (done < 0) {
            end_without_archive(consensus);
            return work;
        }
        work += done + service_link_poll(&consensus->services);
    }
    return work;
}

int consensus_do_work(struct consensus *consensus, int64_t now_ns) {
    if (consensus->is_done) {
        return 0;
    }
    note_time(consensus, now_ns);
    measure_cycle(consensus);
    refresh_mark(consensus);
    int work = poll_ground(consensus);
    if (consensus->is_done) {
        return work;
    }
    return work + (consensus->stage == CONSENSUS_RUN ? run_step(consensus)
                                                     : consensus_start_step(consensus));
}

/* -- life -- */

static int open_files(struct consensus *consensus, struct tern_error *error) {
    const struct consensus_conf *conf = consensus->conf;
    const struct store *store = consensus->params.io.store;
    int result = module_mark_open(&consensus->mark, conf, &consensus->params.io, error);
    if (result == 0) {
        result = node_state_open(&consensus->node_state, store, conf->cluster_dir, error);
    }
    if (result == 0) {
        result =
            recording_log_open(&consensus->recording_log, store, conf->cluster_dir, true, error);
    }
    if (result == 0 && consensus->recording_log.has_torn_tail) {
        consensus_log(consensus, CONSENSUS_LOG_WARNING,
                      "the last record of %s is incomplete and left out", RECORDING_LOG_FILE_NAME);
    }
    return result;
}

int consensus_init(struct consensus *consensus, const struct consensus_params *params,
                   struct tern_error *error) {
    memset(consensus, 0, sizeof *consensus);
    consensus->params = *params;
    consensus->conf = params->conf;
    consensus->recording.recording_id = RAFT_NULL;
    consensus->recording_counter_id = TERN_NULL_COUNTER_ID;
    consensus->recorded_position = RAFT_NULL;
    consensus->termination_position = RAFT_NULL;
    consensus->snapshot_index = -1;
    int result = members_parse(&consensus->members, params->conf->members, error);
    if (result != 0) {
        return result;
    }
    consensus->own_index = members_index(&consensus->members, params->conf->member_id);
    if (consensus->own_index < 0) {
        return error_set(error, -EINVAL, "member %d is not in the list", params->conf->member_id);
    }
    consensus->app_version = option_parse_version(params->conf->app_version_text);
    consensus->log_assembler =
        tern_controlled_fragment_assembler_create(consensus_on_log_entry, consensus);
    if (consensus->log_assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for the log");
    }
    result = module_sessions_open(&consensus->sessions, params->conf->sessions_max, error);
    if (result == 0) {
        result = timer_table_init(&consensus->timers, params->conf->timers_max, error);
    }
    for (int32_t i = 0; result == 0 && i < params->conf->service_count; i++) {
        result = service_queue_init(&consensus->queues[i], i, error);
    }
    return result == 0 ? open_files(consensus, error) : result;
}

void consensus_close(struct consensus *consensus) {
    bool has_client = consensus->client != NULL;
    if (has_client) {
        termination_close(consensus);
        module_ingress_close(&consensus->ingress);
        if (consensus->archive.archive != NULL) {
            catchups_stop(consensus, -1);
        }
        snapshot_taker_close(&consensus->taker, &consensus->archive);
        snapshot_load_close(consensus);
    }
    module_sessions_close(&consensus->sessions);
    timer_table_close(&consensus->timers);
    for (int32_t i = 0; i < CONSENSUS_SERVICES_MAX; i++) {
        service_queue_close(&consensus->queues[i]);
    }
    log_publisher_close(&consensus->publisher);
    log_follower_close(&consensus->follower);
    log_follower_close(&consensus->live);
    replay_reader_close(&consensus->replay);
    tern_async_cancel(consensus->recovery_request);
    tern_counter_close(consensus->recovery_counter);
    consensus->recovery_request = NULL;
    consensus->recovery_counter = NULL;
    member_link_close(&consensus->link);
    service_link_close(&consensus->services);
    archive_link_close(&consensus->archive);
    module_counters_close(&consensus->counters);
    tern_client_close(consensus->client);
    consensus->client = NULL;
    tern_controlled_fragment_assembler_destroy(consensus->log_assembler);
    consensus->log_assembler = NULL;
    recording_log_close(&consensus->recording_log);
    node_state_close(&consensus->node_state);
    module_mark_close(&consensus->mark);
}

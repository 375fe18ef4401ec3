/* The container's state machine (see the header) and its life: every state has one short step,
 * those of the start in service_host_start.c. service_host_set_state is the only writer of `state`
 * but for the snapshot action of the log, which stops consumption in the middle of a poll.
 */
#include "servicehost/service_host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "client/seams.h"
#include "shm/counters.h"
#include "wire/cluster_codec.h"

#define LAST_ACK_ATTEMPTS 5

void service_host_log(struct tern_service_host *host, enum tern_service_log_level level,
                      const char *format, ...) {
    if (host->params.log != NULL) {
        char text[512];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        host->params.log(host->params.log_context, level, text);
    }
}

void service_host_count_error(struct tern_service_host *host, const struct tern_error *error) {
    tern_counter *counter = host->counters[SERVICE_COUNTER_ERRORS];
    if (counter != NULL) {
        (void)tern_counter_add(counter, 1);
    }
    int recorded = error_log_record(&host->mark.errors, error->code, error->text,
                                    clock_epoch_ms(host->params.io.clock));
    if (recorded != 0) { /* new, or no room for it in the log */
        service_host_log(host, TERN_SERVICE_LOG_WARNING, "%s", error->text);
    }
}

void service_host_set_state(struct tern_service_host *host, enum service_host_state next) {
    assert(host->state != SERVICE_HOST_TERMINATED);
    host->state = next;
}

void service_host_end(struct tern_service_host *host, enum service_host_exit exit_status) {
    host->exit_status = exit_status;
    host->is_done = true;
    service_host_set_state(host, SERVICE_HOST_TERMINATED);
}

static enum service_host_exit exit_of(int code) {
    switch (code) {
    case TERN_ERROR_DRIVER_TIMEOUT:
    case TERN_ERROR_CLIENT_TIMEOUT:
    case TERN_ERROR_CONDUCTOR_SERVICE_TIMEOUT:
    case TERN_ERROR_CLOSED:
    case -ETIMEDOUT:
    case -ENOTCONN:
        return SERVICE_HOST_EXIT_UNAVAILABLE;
    default:
        return SERVICE_HOST_EXIT_FAILED;
    }
}

void service_host_fail(struct tern_service_host *host, const struct tern_error *error) {
    host->exit_error = *error;
    service_host_end(host, exit_of(error->code));
}

/* -- acknowledgements -- */

void service_host_queue_ack(struct tern_service_host *host, int64_t log_position,
                            int64_t relevant_id) {
    assert(!host->has_pending_ack);
    host->has_pending_ack = true;
    host->pending_ack = (struct cluster_service_ack){
        .log_position = log_position,
        .timestamp = host->cluster_time,
        .ack_id = host->ack_id++,
        .relevant_id = relevant_id,
        .service_id = host->conf->service_id,
    };
}

static int send_pending_ack(struct tern_service_host *host) {
    uint8_t buffer[CLUSTER_SERVICE_ACK_LENGTH_MIN];
    if (!host->has_pending_ack) {
        return 0;
    }
    int32_t length = cluster_service_ack_encode(&host->pending_ack, buffer, sizeof buffer);
    host->has_pending_ack = service_control_send(&host->control, buffer, length, 0) < 0;
    return !host->has_pending_ack;
}

void service_host_send_last_ack(struct tern_service_host *host, int64_t relevant_id) {
    service_host_queue_ack(host, host->log_position, relevant_id);
    for (int attempt = 0; attempt < LAST_ACK_ATTEMPTS && send_pending_ack(host) == 0; attempt++) {
        idle_strategy_idle(&host->idle, NULL, 0);
        (void)tern_client_do_work(host->client);
    }
}

/* -- following the log -- */

static void leave_log(struct tern_service_host *host) {
    service_log_leave(&host->log);
    container_disconnect_egress(host);
    container_set_role(host, TERN_CLUSTER_ROLE_FOLLOWER);
}

static int join_step(struct tern_service_host *host) {
    struct tern_error error;
    struct service_join *join = &host->join;
    if (!service_log_is_joining(&host->log)) {
        if (join->role != TERN_CLUSTER_ROLE_LEADER) {
            container_disconnect_egress(host);
        }
        if (join->log_position != host->log_position) {
            (void)error_set(&error, TERN_ERROR_PROTOCOL,
                            "asked to join the log at %" PRId64 ", the service is at %" PRId64,
                            join->log_position, host->log_position);
            service_host_fail(host, &error);
        } else if (service_log_join(&host->log, host->client, join, host->conf->service_id,
                                    &error) != 0) {
            service_host_fail(host, &error);
        }
        return 1;
    }
    int result = service_log_await(&host->log, join, &error);
    if (result < 0) {
        service_host_fail(host, &error);
    }
    if (result <= 0) {
        return 0;
    }
    join->is_pending = false;
    service_host_queue_ack(host, join->log_position, -1);
    host->member_id = join->member_id;
    service_mark_set_member(&host->mark, join->member_id);
    if (join->role == TERN_CLUSTER_ROLE_LEADER && host->conf->is_responder && !join->is_startup) {
        container_connect_egress(host);
    }
    for (int i = 0; i < host->sessions.count; i++) {
        host->sessions.by_id[i]->is_closing = false;
    }
    container_set_role(host, (enum tern_cluster_role)join->role);
    return 1;
}

static int poll_log(struct tern_service_host *host) {
    const tern_counters_reader *counters = tern_client_counters(host->client);
    int64_t commit_position = tern_counters_value(counters, host->commit_counter_id);
    int64_t limit = min_i64(commit_position, host->log.max_position);
    int fragments = tern_image_bounded_controlled_poll(
        host->log.image, tern_controlled_fragment_assembler_on_fragment, host->assembler, limit,
        host->conf->log_fragment_limit);
    if (host->exit_error.code != 0) {
        service_host_end(host, SERVICE_HOST_EXIT_FAILED);
    } else if (fragments == 0 && host->state == SERVICE_HOST_FOLLOW &&
               service_log_is_done(&host->log)) {
        host->log_position = tern_image_position(host->log.image);
        leave_log(host);
    }
    return fragments;
}

static int terminate_step(struct tern_service_host *host) {
    if (!host->is_terminating || host->log_position < host->termination_position) {
        return 0;
    }
    if (host->plugin.table.on_terminate != NULL) {
        host->plugin.table.on_terminate(host->instance);
    }
    service_host_send_last_ack(host, -1);
    bool is_expected = host->log_position == host->termination_position;
    if (!is_expected) {
        (void)error_set(&host->exit_error, TERN_ERROR_CLOSED,
                        "the consensus module ended the service at %" PRId64, host->log_position);
    }
    service_host_end(host, is_expected ? SERVICE_HOST_EXIT_ORDERLY : SERVICE_HOST_EXIT_UNAVAILABLE);
    return 1;
}

static int answer_request_step(struct tern_service_host *host) {
    if (host->requested_ack_position < 0 || host->has_pending_ack ||
        host->log_position < host->requested_ack_position) {
        return 0;
    }
    host->requested_ack_position = -1;
    service_host_queue_ack(host, host->log_position, -1);
    return 1;
}

static int follow_step(struct tern_service_host *host, int64_t now_ns) {
    int work = answer_request_step(host);
    if (host->has_pending_ack) {
        return work; /* one synchronisation point after the other */
    }
    work += terminate_step(host);
    if (host->state == SERVICE_HOST_FOLLOW && host->log.image != NULL) {
        work += poll_log(host);
    }
    if (host->state == SERVICE_HOST_FOLLOW && host->log.image == NULL && host->join.is_pending) {
        work += join_step(host);
    }
    if (host->state == SERVICE_HOST_FOLLOW && host->plugin.table.background_work != NULL) {
        work += host->plugin.table.background_work(host->instance, now_ns);
    }
    return work;
}

/* -- snapshots -- */

static void end_snapshot(struct tern_service_host *host, int64_t recording_id, int64_t now_ns) {
    int64_t duration_ns = now_ns - host->snapshot_writer.started_ns;
    int64_t *max = tern_counter_address(host->counters[SERVICE_COUNTER_SNAPSHOT_DURATION_MAX]);
    counter_propose_max(max, duration_ns);
    if (duration_ns > host->conf->snapshot_threshold_ns) {
        (void)tern_counter_add(host->counters[SERVICE_COUNTER_SNAPSHOT_DURATION_EXCEEDED], 1);
    }
    recording_writer_close(&host->snapshot_writer);
    service_host_queue_ack(host, host->snapshot_log_position, recording_id);
    service_host_set_state(host, SERVICE_HOST_FOLLOW);
}

static int start_snapshot(struct tern_service_host *host, int64_t now_ns,
                          struct tern_error *error) {
    const struct tern_archive_params archive = service_host_archive_params(host);
    const struct recording_writer_params params = {
        .client = host->client,
        .archive = &archive,
        .channel = host->conf->snapshot_channel,
        .stream_id = host->conf->snapshot_stream_id,
        .timeout_ns = host->conf->archive_message_timeout_ns,
        .now_ns = now_ns,
    };
    return recording_writer_start(&host->snapshot_writer, &params, error);
}

static int snapshot_step(struct tern_service_host *host, int64_t now_ns) {
    struct tern_error error = {0};
    int result = 0;
    if (host->snapshot_writer.state == RECORDING_WRITER_IDLE) {
        result = start_snapshot(host, now_ns, &error);
    } else {
        result = recording_writer_step(&host->snapshot_writer, now_ns, &error);
    }
    if (result == 0 && host->snapshot_writer.state == RECORDING_WRITER_FILL) {
        result = container_fill_snapshot(host, &error);
        if (result == 0) {
            recording_writer_filled(&host->snapshot_writer);
            return 1;
        }
    }
    if (result < 0) {
        (void)error_prefix(&error, "snapshot at log position %" PRId64 " failed",
                           host->snapshot_log_position);
        service_host_count_error(host, &error);
        end_snapshot(host, -1, now_ns);
    } else if (result > 0) {
        end_snapshot(host, host->snapshot_writer.recording_id, now_ns);
    }
    return result != 0;
}

/* -- the cycle -- */

static void measure_cycle(struct tern_service_host *host, int64_t now_ns) {
    if (host->counters[SERVICE_COUNTER_CYCLE_TIME_EXCEEDED] != NULL && host->last_cycle_ns != 0) {
        int64_t cycle_ns = now_ns - host->last_cycle_ns;
        counter_propose_max(tern_counter_address(host->counters[SERVICE_COUNTER_MAX_CYCLE_TIME]),
                            cycle_ns);
        if (cycle_ns > host->conf->cycle_threshold_ns) {
            (void)tern_counter_add(host->counters[SERVICE_COUNTER_CYCLE_TIME_EXCEEDED], 1);
        }
    }
    host->last_cycle_ns = now_ns;
}

/* The driver's client and the consensus module's commit counter must live. */
static bool is_ground_lost(struct tern_service_host *host) {
    struct tern_error error;
    if (tern_client_is_closed(host->client)) {
        (void)tern_client_status(host->client, &error);
        host->exit_error = error;
        service_host_end(host, SERVICE_HOST_EXIT_UNAVAILABLE);
        return true;
    }
    const tern_counters_reader *counters = tern_client_counters(host->client);
    if (host->state > SERVICE_HOST_AWAIT_COMMIT &&
        (!tern_counters_is_allocated(counters, host->commit_counter_id) ||
         tern_counters_registration_id(counters, host->commit_counter_id) !=
             host->commit_counter_registration_id)) {
        (void)error_set(&host->exit_error, TERN_ERROR_CLOSED, "the consensus module is gone");
        service_host_end(host, SERVICE_HOST_EXIT_UNAVAILABLE);
        return true;
    }
    return false;
}

static int step(struct tern_service_host *host, int64_t now_ns) {
    switch (host->state) {
    case SERVICE_HOST_FOLLOW:
        return follow_step(host, now_ns);
    case SERVICE_HOST_SNAPSHOT:
        return snapshot_step(host, now_ns);
    case SERVICE_HOST_TERMINATED:
        return 0;
    default:
        return service_host_start_step(host, now_ns);
    }
}

int service_host_do_work(struct tern_service_host *host, int64_t now_ns) {
    if (host->is_done) {
        return 0;
    }
    int work = 0;
    measure_cycle(host, now_ns);
    if (host->client != NULL) {
        work += tern_client_do_work_at(host->client, now_ns);
        if (is_ground_lost(host)) {
            return work;
        }
        work += send_pending_ack(host);
        if (host->state >= SERVICE_HOST_AWAIT_COMMIT) {
            work += service_control_poll(&host->control);
        }
        work += container_poll_egress(host);
    }
    if (now_ns >= host->mark_deadline_ns) {
        host->mark_deadline_ns = now_ns + NS_PER_S;
        mark_file_update_activity(&host->mark.file, clock_epoch_ms(host->params.io.clock));
    }
    return work + step(host, now_ns);
}

const char *service_host_waiting_for(const struct tern_service_host *host) {
    static const char *const texts[SERVICE_HOST_STATE_COUNT] = {
        [SERVICE_HOST_CONNECT_DRIVER] = "media driver",
        [SERVICE_HOST_ADD_STREAMS] = "streams of the media driver",
        [SERVICE_HOST_AWAIT_COMMIT] = "consensus module",
        [SERVICE_HOST_AWAIT_RECOVERY] = "consensus module to recover its state",
        [SERVICE_HOST_LOAD_SNAPSHOT] = "snapshot to be loaded",
    };
    return texts[host->state];
}

int service_host_init(struct tern_service_host *host, const struct service_host_params *params,
                      struct tern_error *error) {
    *host = (struct tern_service_host){
        .params = *params,
        .conf = params->conf,
        .leadership_term_id = -1,
        .member_id = -1,
        .termination_position = -1,
        .requested_ack_position = -1,
        .app_version = option_parse_version(params->conf->app_version_text),
    };
    service_operations_fill(&host->operations);
    int result = idle_strategy_parse(&host->idle, host->conf->idle_strategy, NULL, error);
    if (result == 0) {
        result = params->plugin != NULL ? plugin_adopt(&host->plugin, params->plugin, error)
                                        : plugin_open(&host->plugin, host->conf->plugin, error);
    }
    if (result != 0) {
        return result;
    }
    result = service_mark_open(&host->mark, host->conf, &params->io, error);
    if (result != 0) {
        return result;
    }
    host->assembler = tern_controlled_fragment_assembler_create(container_on_log_entry, host);
    if (host->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for the log");
    }
    struct tern_error plugin_error = {.code = -EINVAL};
    host->instance =
        host->plugin.table.create(host, &host->operations, host->conf->argument, &plugin_error);
    if (host->instance == NULL) {
        return error_set(error, -EINVAL, "service %s cannot be created: %.180s",
                         host->plugin.table.name, plugin_error.text);
    }
    return 0;
}

void service_host_close(struct tern_service_host *host) {
    if (host->instance != NULL) {
        host->plugin.table.destroy(host->instance);
        host->instance = NULL;
    }
    recording_reader_close(&host->snapshot_reader);
    message_list_close(&host->loaded_plugin_part.list);
    recording_writer_close(&host->snapshot_writer);
    service_log_leave(&host->log);
    host_sessions_close(&host->sessions);
    service_control_close(&host->control);
    for (int i = 0; i < SERVICE_COUNTER_COUNT; i++) {
        tern_async_cancel(host->counter_requests[i]);
        tern_counter_close(host->counters[i]);
        host->counter_requests[i] = NULL;
        host->counters[i] = NULL;
    }
    tern_client_close(host->client);
    host->client = NULL;
    tern_controlled_fragment_assembler_destroy(host->assembler);
    host->assembler = NULL;
    service_mark_close(&host->mark);
    plugin_close(&host->plugin);
}

/* The container's state machine (see the header) and its life: every state has one short step, and
 * set_state is the only writer of `state` but for the snapshot action of the log, which stops
 * consumption in the middle of a poll.
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
#include "base/uri.h"
#include "client/seams.h"
#include "shm/counter_types.h"
#include "wire/cluster_codec.h"

#define DRIVER_RETRY_NS (100 * NS_PER_MS)
#define RECOVERY_KEY_CLUSTER_ID_OFFSET 24
#define RECOVERY_KEY_SERVICE_COUNT_OFFSET 28
#define RECOVERY_KEY_SNAPSHOTS_OFFSET 32
#define ARCHIVE_RESPONSE_STREAM_BASE 120
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

static void set_state(struct tern_service_host *host, enum service_host_state next) {
    assert(host->state != SERVICE_HOST_TERMINATED);
    host->state = next;
}

static void end(struct tern_service_host *host, enum service_host_exit exit_status) {
    host->exit_status = exit_status;
    host->is_done = true;
    set_state(host, SERVICE_HOST_TERMINATED);
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

static void fail(struct tern_service_host *host, const struct tern_error *error) {
    host->exit_error = *error;
    end(host, exit_of(error->code));
}

/* -- start-up -- */

static int make_client(struct tern_service_host *host, struct tern_error *error) {
    tern_context *context = tern_context_create(error);
    if (context == NULL) {
        return error->code;
    }
    char name[64];
    (void)snprintf(name, sizeof name, "servicehost-%d-%d", host->conf->cluster_id,
                   host->conf->service_id);
    tern_context_set_driver_timeout_ms(context, host->conf->driver_timeout_ns / NS_PER_MS);
    tern_context_set_use_invoker(context, true);
    tern_context_set_clock(context, host->params.io.clock);
    tern_context_set_random(context, host->params.io.random);
    int result = tern_context_set_directory(context, host->conf->aeron_dir, error);
    if (result == 0) {
        result = tern_context_set_client_name(context, name, error);
    }
    if (result == 0) {
        host->client = tern_client_try_connect(context, error);
        result = host->client == NULL ? error->code : 0;
    }
    tern_context_destroy(context);
    return result;
}

static int request_counters(struct tern_service_host *host, struct tern_error *error) {
    static const struct {
        int32_t type_id;
        const char *label;
    } kinds[SERVICE_COUNTER_COUNT] = {
        {COUNTER_TYPE_CLUSTER_CONTAINER_ERRORS, "Cluster Container Errors"},
        {COUNTER_TYPE_CLUSTER_CONTAINER_MAX_CYCLE_TIME, "Cluster container max cycle time in ns"},
        {COUNTER_TYPE_CLUSTER_CONTAINER_CYCLE_TIME_EXCEEDED,
         "Cluster container work cycle time exceeded count: threshold="},
        {COUNTER_TYPE_SERVICE_SNAPSHOT_DURATION_MAX,
         "Clustered service max snapshot duration in ns"},
        {COUNTER_TYPE_SERVICE_SNAPSHOT_DURATION_EXCEEDED,
         "Clustered service max snapshot duration exceeded count: threshold="},
    };
    const struct service_conf *conf = host->conf;
    const int64_t thresholds_ns[SERVICE_COUNTER_COUNT] = {
        [SERVICE_COUNTER_CYCLE_TIME_EXCEEDED] = conf->cycle_threshold_ns,
        [SERVICE_COUNTER_SNAPSHOT_DURATION_EXCEEDED] = conf->snapshot_threshold_ns,
    };
    uint8_t key[8];
    put_i32(key, conf->cluster_id);
    put_i32(key + 4, conf->service_id);
    for (int i = 0; i < SERVICE_COUNTER_COUNT; i++) {
        char label[TERN_COUNTER_LABEL_MAX];
        char threshold[32] = "";
        if (thresholds_ns[i] != 0) {
            (void)duration_format(thresholds_ns[i], threshold, sizeof threshold);
        }
        int length =
            snprintf(label, sizeof label, "%s%s - clusterId=%d serviceId=%d%s", kinds[i].label,
                     threshold, conf->cluster_id, conf->service_id,
                     i == SERVICE_COUNTER_ERRORS ? " version=" TERN_VERSION " commit=tern" : "");
        const struct tern_counter_params params = {
            .type_id = kinds[i].type_id,
            .key = key,
            .key_length = sizeof key,
            .label = label,
            .label_length = length,
        };
        host->counter_requests[i] = tern_client_async_add_counter(host->client, &params, error);
        if (host->counter_requests[i] == NULL) {
            return error->code;
        }
    }
    return 0;
}

static void on_join_log(void *context, const struct cluster_join_log *event) {
    struct tern_service_host *host = context;
    struct service_join *join = &host->join;
    if (event->log_channel.length > URI_LENGTH_MAX) {
        return;
    }
    join->is_pending = true;
    join->log_position = event->log_position;
    join->max_log_position = event->max_log_position;
    join->member_id = event->member_id;
    join->log_session_id = event->log_session_id;
    join->log_stream_id = event->log_stream_id;
    join->role = event->role;
    join->is_startup = event->is_startup == CLUSTER_BOOLEAN_TYPE_TRUE;
    memcpy(join->channel, event->log_channel.text, (size_t)event->log_channel.length);
    join->channel[event->log_channel.length] = '\0';
    if (host->log.image != NULL) {
        host->log.max_position = join->log_position; /* the old image ends where this begins */
    }
}

static void on_termination_position(void *context, int64_t log_position) {
    struct tern_service_host *host = context;
    host->is_terminating = true;
    host->termination_position = log_position;
}

static void on_ack_requested(void *context, int64_t log_position) {
    struct tern_service_host *host = context;
    host->requested_ack_position = log_position;
}

static int open_streams(struct tern_service_host *host, struct tern_error *error) {
    const struct service_control_params params = {
        .channel = host->conf->control_channel,
        .service_stream_id = host->conf->service_stream_id,
        .consensus_module_stream_id = host->conf->consensus_module_stream_id,
        .handlers = {host, on_join_log, on_termination_position, on_ack_requested},
    };
    int result = service_control_open(&host->control, host->client, &params, error);
    return result == 0 ? request_counters(host, error) : result;
}

static int connect_driver_step(struct tern_service_host *host, int64_t now_ns) {
    struct tern_error error;
    if (now_ns < host->driver_deadline_ns) {
        return 0;
    }
    host->driver_deadline_ns = now_ns + DRIVER_RETRY_NS;
    int result = make_client(host, &error);
    if (result == -EAGAIN) {
        return 0;
    }
    if (result == 0) {
        result = open_streams(host, &error);
    }
    if (result != 0) {
        fail(host, &error);
        return 0;
    }
    set_state(host, SERVICE_HOST_ADD_STREAMS);
    return 1;
}

static int add_streams_step(struct tern_service_host *host) {
    struct tern_error error;
    int ready_count = 0;
    for (int i = 0; i < SERVICE_COUNTER_COUNT; i++) {
        if (host->counter_requests[i] != NULL) {
            int result =
                tern_async_poll_counter(host->counter_requests[i], &host->counters[i], &error);
            host->counter_requests[i] = result == 0 ? host->counter_requests[i] : NULL;
            if (result < 0) {
                fail(host, &error);
                return 0;
            }
        }
        ready_count += host->counters[i] != NULL;
    }
    int result = service_control_await(&host->control, &error);
    if (result < 0) {
        fail(host, &error);
        return 0;
    }
    if (result > 0 && ready_count == SERVICE_COUNTER_COUNT) {
        set_state(host, SERVICE_HOST_AWAIT_COMMIT);
        return 1;
    }
    return 0;
}

static int visit_commit_counter(void *context, const struct tern_counter_info *info) {
    struct tern_service_host *host = context;
    if (info->type_id != COUNTER_TYPE_CLUSTER_COMMIT_POSITION ||
        get_i32(info->key) != host->conf->cluster_id) {
        return 0;
    }
    host->commit_counter_id = info->id;
    host->commit_counter_registration_id = info->registration_id;
    return 1;
}

static int await_commit_step(struct tern_service_host *host) {
    if (tern_counters_for_each(tern_client_counters(host->client), visit_commit_counter, host) ==
        0) {
        return 0;
    }
    set_state(host, SERVICE_HOST_AWAIT_RECOVERY);
    return 1;
}

static int visit_recovery_counter(void *context, const struct tern_counter_info *info) {
    struct tern_service_host *host = context;
    if (info->type_id != COUNTER_TYPE_CLUSTER_RECOVERY ||
        get_i32(info->key + RECOVERY_KEY_CLUSTER_ID_OFFSET) != host->conf->cluster_id) {
        return 0;
    }
    int32_t service_count = get_i32(info->key + RECOVERY_KEY_SERVICE_COUNT_OFFSET);
    int32_t service_id = host->conf->service_id;
    if (service_id >= service_count) {
        (void)error_set(&host->exit_error, -EINVAL,
                        "service_id = %d: the consensus module recovers %d service%s", service_id,
                        service_count, service_count == 1 ? "" : "s");
        return 1;
    }
    host->recovery = (struct service_recovery){
        .leadership_term_id = get_i64(info->key),
        .log_position = get_i64(info->key + 8),
        .timestamp = get_i64(info->key + 16),
        .snapshot_recording_id =
            get_i64(info->key + RECOVERY_KEY_SNAPSHOTS_OFFSET + 8 * service_id),
    };
    return 1;
}

static struct tern_archive_params archive_params(const struct tern_service_host *host) {
    const struct service_conf *conf = host->conf;
    return (struct tern_archive_params){
        .client = host->client,
        .request_channel = conf->archive_control_channel,
        .response_channel = conf->archive_control_channel,
        .request_stream_id = conf->archive_control_stream_id,
        .response_stream_id =
            conf->cluster_id * 100 + ARCHIVE_RESPONSE_STREAM_BASE + conf->service_id + 1,
        .message_timeout_ns = conf->archive_message_timeout_ns,
    };
}

static int await_recovery_step(struct tern_service_host *host, int64_t now_ns) {
    if (tern_counters_for_each(tern_client_counters(host->client), visit_recovery_counter, host) ==
        0) {
        return 0;
    }
    if (host->exit_error.code != 0) {
        end(host, SERVICE_HOST_EXIT_FAILED);
        return 0;
    }
    host->leadership_term_id = host->recovery.leadership_term_id;
    host->log_position = host->recovery.log_position;
    host->cluster_time = host->recovery.timestamp;
    if (host->recovery.leadership_term_id == -1) {
        set_state(host, SERVICE_HOST_START);
        return 1;
    }
    struct tern_error error;
    const struct tern_archive_params archive = archive_params(host);
    host->loaded = (struct service_snapshot_reader){
        .sessions = &host->sessions,
        .plugin_part = &host->loaded_plugin_part,
        .app_version = host->app_version,
    };
    host->loaded_plugin_part.list.message_length_max = INT32_MAX;
    const struct recording_reader_params params = {
        .client = host->client,
        .archive = &archive,
        .replay_channel = host->conf->replay_channel,
        .replay_stream_id = host->conf->replay_stream_id,
        .recording_id = host->recovery.snapshot_recording_id,
        .timeout_ns = host->conf->archive_message_timeout_ns,
        .now_ns = now_ns,
        .handler = service_snapshot_read,
        .handler_context = &host->loaded,
    };
    if (recording_reader_start(&host->snapshot_reader, &params, &error) != 0) {
        fail(host, &error);
        return 0;
    }
    set_state(host, SERVICE_HOST_LOAD_SNAPSHOT);
    return 1;
}

static int load_snapshot_step(struct tern_service_host *host, int64_t now_ns) {
    struct tern_error error;
    int result = recording_reader_step(&host->snapshot_reader, now_ns, &error);
    if (result > 0 && !host->loaded.has_end) {
        result = error_set(&error, TERN_ERROR_PROTOCOL, "the snapshot has no end marker");
    }
    if (result < 0) {
        fail(host, &error);
    } else if (result > 0) {
        host->time_unit = (enum tern_cluster_time_unit)host->loaded.time_unit;
        set_state(host, SERVICE_HOST_START);
    }
    return result > 0;
}

/* -- acknowledgements -- */

static void queue_ack(struct tern_service_host *host, int64_t log_position, int64_t relevant_id) {
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
    host->has_pending_ack = service_control_send(&host->control, buffer, length) < 0;
    return !host->has_pending_ack;
}

/* The last words of a service: nobody will say them again. */
static void send_last_ack(struct tern_service_host *host, int64_t relevant_id) {
    queue_ack(host, host->log_position, relevant_id);
    for (int attempt = 0; attempt < LAST_ACK_ATTEMPTS && send_pending_ack(host) == 0; attempt++) {
        idle_strategy_idle(&host->idle, NULL, 0);
        (void)tern_client_do_work(host->client);
    }
}

static int start_step(struct tern_service_host *host) {
    struct tern_error error = {0};
    bool has_snapshot = host->snapshot_reader.state != RECORDING_READER_IDLE;
    int result = 0;
    if (host->plugin.table.on_start != NULL) {
        result = host->plugin.table.on_start(
            host->instance, has_snapshot ? &host->loaded_plugin_part : NULL, &error);
    } else if (has_snapshot && host->loaded_plugin_part.list.length > 0) {
        result = error_set(&error, -EINVAL, "the snapshot has a state, the plugin cannot load one");
    }
    recording_reader_close(&host->snapshot_reader);
    message_list_close(&host->loaded_plugin_part.list);
    if (result < 0) {
        send_last_ack(host, -1); /* lets the consensus module end instead of wait */
        (void)error_prefix(&error, "service %s cannot start", host->plugin.table.name);
        host->exit_error = error;
        end(host, SERVICE_HOST_EXIT_FAILED);
        return 0;
    }
    queue_ack(host, host->log_position, tern_client_id(host->client));
    set_state(host, SERVICE_HOST_FOLLOW);
    return 1;
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
            fail(host, &error);
        } else if (service_log_join(&host->log, host->client, join, host->conf->service_id,
                                    &error) != 0) {
            fail(host, &error);
        }
        return 1;
    }
    int result = service_log_await(&host->log, join, &error);
    if (result < 0) {
        fail(host, &error);
    }
    if (result <= 0) {
        return 0;
    }
    join->is_pending = false;
    queue_ack(host, join->log_position, -1);
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
        end(host, SERVICE_HOST_EXIT_FAILED);
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
    send_last_ack(host, -1);
    bool is_expected = host->log_position == host->termination_position;
    if (!is_expected) {
        (void)error_set(&host->exit_error, TERN_ERROR_CLOSED,
                        "the consensus module ended the service at %" PRId64, host->log_position);
    }
    end(host, is_expected ? SERVICE_HOST_EXIT_ORDERLY : SERVICE_HOST_EXIT_UNAVAILABLE);
    return 1;
}

static int answer_request_step(struct tern_service_host *host) {
    if (host->requested_ack_position < 0 || host->has_pending_ack ||
        host->log_position < host->requested_ack_position) {
        return 0;
    }
    host->requested_ack_position = -1;
    queue_ack(host, host->log_position, -1);
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
    queue_ack(host, host->snapshot_log_position, recording_id);
    set_state(host, SERVICE_HOST_FOLLOW);
}

static int start_snapshot(struct tern_service_host *host, int64_t now_ns,
                          struct tern_error *error) {
    const struct tern_archive_params archive = archive_params(host);
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
        end(host, SERVICE_HOST_EXIT_UNAVAILABLE);
        return true;
    }
    const tern_counters_reader *counters = tern_client_counters(host->client);
    if (host->state > SERVICE_HOST_AWAIT_COMMIT &&
        (!tern_counters_is_allocated(counters, host->commit_counter_id) ||
         tern_counters_registration_id(counters, host->commit_counter_id) !=
             host->commit_counter_registration_id)) {
        (void)error_set(&host->exit_error, TERN_ERROR_CLOSED, "the consensus module is gone");
        end(host, SERVICE_HOST_EXIT_UNAVAILABLE);
        return true;
    }
    return false;
}

static int step(struct tern_service_host *host, int64_t now_ns) {
    switch (host->state) {
    case SERVICE_HOST_CONNECT_DRIVER:
        return connect_driver_step(host, now_ns);
    case SERVICE_HOST_ADD_STREAMS:
        return add_streams_step(host);
    case SERVICE_HOST_AWAIT_COMMIT:
        return await_commit_step(host);
    case SERVICE_HOST_AWAIT_RECOVERY:
        return await_recovery_step(host, now_ns);
    case SERVICE_HOST_LOAD_SNAPSHOT:
        return load_snapshot_step(host, now_ns);
    case SERVICE_HOST_START:
        return start_step(host);
    case SERVICE_HOST_FOLLOW:
        return follow_step(host, now_ns);
    case SERVICE_HOST_SNAPSHOT:
        return snapshot_step(host, now_ns);
    case SERVICE_HOST_TERMINATED:
    case SERVICE_HOST_STATE_COUNT:
        break;
    }
    return 0;
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

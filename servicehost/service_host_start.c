/* How a service comes up (cluster.md 4.1): one short step per state until it follows the log.
 * Nothing is waited for in a blocking way; what is missing is named by service_host_waiting_for, so
 * that the start order of the daemons does not matter.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/uri.h"
#include "client/seams.h"
#include "servicehost/service_host.h"
#include "shm/counter_types.h"
#include "wire/cluster_codec.h"

#define DRIVER_RETRY_NS (100 * NS_PER_MS)
#define RECOVERY_KEY_CLUSTER_ID_OFFSET 24
#define RECOVERY_KEY_SERVICE_COUNT_OFFSET 28
#define RECOVERY_KEY_SNAPSHOTS_OFFSET 32
#define ARCHIVE_RESPONSE_STREAM_BASE 120

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

/* The module says nothing to its services before all of them acknowledged the recovery. What comes
 * before is of a module that has ended: the driver keeps its stream as long as a service that died
 * has not read it, and gives it to those that subscribe meanwhile. */
static bool is_of_past_module(const struct tern_service_host *host) {
    return host->state <= SERVICE_HOST_START;
}

static void on_join_log(void *context, const struct cluster_join_log *event) {
    struct tern_service_host *host = context;
    struct service_join *join = &host->join;
    if (is_of_past_module(host) || event->log_channel.length > URI_LENGTH_MAX) {
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
    if (!is_of_past_module(host)) {
        host->is_terminating = true;
        host->termination_position = log_position;
    }
}

static void on_ack_requested(void *context, int64_t log_position) {
    struct tern_service_host *host = context;
    if (!is_of_past_module(host)) {
        host->requested_ack_position = log_position;
    }
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
        tern_client_succeed(host->client, &host->mark.file);
        result = open_streams(host, &error);
    }
    if (result != 0) {
        service_host_fail(host, &error);
        return 0;
    }
    service_host_set_state(host, SERVICE_HOST_ADD_STREAMS);
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
                service_host_fail(host, &error);
                return 0;
            }
        }
        ready_count += host->counters[i] != NULL;
    }
    int result = service_control_await(&host->control, &error);
    if (result < 0) {
        service_host_fail(host, &error);
        return 0;
    }
    if (result > 0 && ready_count == SERVICE_COUNTER_COUNT) {
        service_host_set_state(host, SERVICE_HOST_AWAIT_COMMIT);
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
    service_host_set_state(host, SERVICE_HOST_AWAIT_RECOVERY);
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

struct tern_archive_params service_host_archive_params(const struct tern_service_host *host) {
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
        service_host_end(host, SERVICE_HOST_EXIT_FAILED);
        return 0;
    }
    host->leadership_term_id = host->recovery.leadership_term_id;
    host->log_position = host->recovery.log_position;
    host->cluster_time = host->recovery.timestamp;
    if (host->recovery.leadership_term_id == -1) {
        service_host_set_state(host, SERVICE_HOST_START);
        return 1;
    }
    struct tern_error error;
    const struct tern_archive_params archive = service_host_archive_params(host);
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
        service_host_fail(host, &error);
        return 0;
    }
    service_host_set_state(host, SERVICE_HOST_LOAD_SNAPSHOT);
    return 1;
}

static int load_snapshot_step(struct tern_service_host *host, int64_t now_ns) {
    struct tern_error error;
    int result = recording_reader_step(&host->snapshot_reader, now_ns, &error);
    if (result > 0 && !host->loaded.has_end) {
        result = error_set(&error, TERN_ERROR_PROTOCOL, "the snapshot has no end marker");
    }
    if (result < 0) {
        service_host_fail(host, &error);
    } else if (result > 0) {
        host->time_unit = (enum tern_cluster_time_unit)host->loaded.time_unit;
        service_host_set_state(host, SERVICE_HOST_START);
    }
    return result > 0;
}

static int start_step(struct tern_service_host *host) {
    struct tern_error error = {0};
    if (service_control_poll(&host->control) > 0) {
        return 1; /* all that was said before the acknowledgement is to be forgotten */
    }
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
        service_host_send_last_ack(host, -1); /* lets the consensus module end instead of wait */
        (void)error_prefix(&error, "service %s cannot start", host->plugin.table.name);
        host->exit_error = error;
        service_host_end(host, SERVICE_HOST_EXIT_FAILED);
        return 0;
    }
    service_host_queue_ack(host, host->log_position, tern_client_id(host->client));
    service_host_set_state(host, SERVICE_HOST_FOLLOW);
    return 1;
}

int service_host_start_step(struct tern_service_host *host, int64_t now_ns) {
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
    default:
        assert(false);
        return 0;
    }
}

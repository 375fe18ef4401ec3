/* How a consensus module comes up (cluster.md 3.4, 3.15): one short step per stage. Nothing is
 * waited for in a blocking way; what is missing (driver, archive, services) is named by
 * consensus_waiting_for, so that the start order of the daemons does not matter.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "client/seams.h"
#include "consensusd/consensus.h"
#include "shm/counter_types.h"

#define RETRY_NS (100 * NS_PER_MS)
#define ARCHIVE_RESPONSE_STREAM_BASE 120
#define RECOVERY_KEY_SERVICES_OFFSET 32

static void enter(struct consensus *consensus, enum consensus_stage stage) {
    consensus->stage = stage;
    consensus->retry_ns = consensus->now_ns;
}

static bool is_retry_due(struct consensus *consensus) {
    if (consensus->now_ns < consensus->retry_ns) {
        return false;
    }
    consensus->retry_ns = consensus->now_ns + RETRY_NS;
    return true;
}

static int end_unavailable(struct consensus *consensus, const struct tern_error *error) {
    consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, error);
    return 0;
}

/* -- driver -- */

static int make_client(struct consensus *consensus, struct tern_error *error) {
    const struct consensus_conf *conf = consensus->conf;
    char name[64];
    tern_context *context = tern_context_create(error);
    if (context == NULL) {
        return error->code;
    }
    snprintf(name, sizeof name, "consensusd-%d-%d", conf->cluster_id, conf->member_id);
    tern_context_set_driver_timeout_ms(context, conf->driver_timeout_ns / NS_PER_MS);
    tern_context_set_use_invoker(context, true);
    tern_context_set_clock(context, consensus->params.io.clock);
    tern_context_set_random(context, consensus->params.io.random);
    int result = tern_context_set_directory(context, conf->aeron_dir, error);
    if (result == 0) {
        result = tern_context_set_client_name(context, name, error);
    }
    if (result == 0) {
        consensus->client = tern_client_try_connect(context, error);
        result = consensus->client == NULL ? error->code : 0;
    }
    tern_context_destroy(context);
    return result;
}

static int connect_driver_step(struct consensus *consensus) {
    struct tern_error error;
    if (!is_retry_due(consensus)) {
        return 0;
    }
    int result = make_client(consensus, &error);
    if (result == -EAGAIN) {
        return 0;
    }
    if (result != 0) {
        return end_unavailable(consensus, &error);
    }
    tern_client_succeed(consensus->client, &consensus->mark.file);
    enter(consensus, CONSENSUS_ADD_COUNTERS);
    return 1;
}

static int add_counters_step(struct consensus *consensus) {
    struct tern_error error;
    int result;
    if (consensus->counters.client == NULL) {
        if (!is_retry_due(consensus)) {
            return 0;
        }
        result =
            module_counters_open(&consensus->counters, consensus->client, consensus->conf, &error);
        if (result == -EEXIST) {
            /* Most likely our predecessor, whom the driver has not declared dead yet. */
            consensus->counters.client = NULL;
            consensus->has_predecessor = true;
            return 0;
        }
    } else {
        result = module_counters_step(&consensus->counters, &error);
    }
    if (result < 0) {
        return end_unavailable(consensus, &error);
    }
    if (result == 0) {
        return 0;
    }
    module_counters_set(&consensus->counters, MODULE_COUNTER_STATE, MODULE_STATE_INIT);
    module_counters_set(&consensus->counters, MODULE_COUNTER_ROLE, CLUSTER_ROLE_FOLLOWER);
    module_counters_set(&consensus->counters, MODULE_COUNTER_TERM_ID, RAFT_NULL);
    const struct member_link_params members = {
        .client = consensus->client,
        .conf = consensus->conf,
        .members = &consensus->members,
        .own_index = consensus->own_index,
        .on_message = consensus_on_member_message,
        .context = consensus,
    };
    const struct service_link_params services = {
        .channel = consensus->conf->control_channel,
        .service_stream_id = consensus->conf->service_stream_id,
        .consensus_module_stream_id = consensus->conf->consensus_module_stream_id,
        .service_count = consensus->conf->service_count,
        .handlers = consensus_service_handlers(consensus),
    };
    result = member_link_open(&consensus->link, &members, &error);
    if (result == 0) {
        result = service_link_open(&consensus->services, consensus->client, &services, &error);
    }
    if (result != 0) {
        return end_unavailable(consensus, &error);
    }
    enter(consensus, CONSENSUS_ADD_STREAMS);
    return 1;
}

/* -- archive -- */

static void on_signal(void *context, const struct tern_archive_signal *signal) {
    struct consensus *consensus = context;
    operation_on_signal(consensus, signal);
    if (signal->kind == TERN_ARCHIVE_SIGNAL_STOP &&
        signal->recording_id == consensus->recording.recording_id) {
        consensus_on_log_not_recorded(consensus, signal->position);
    }
}

static void on_error(void *context, int64_t correlation_id, const struct tern_error *error) {
    struct consensus *consensus = context;
    if (error->code == TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_STORAGE_SPACE) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, error);
        return;
    }
    catchups_on_error(consensus, correlation_id);
    operation_on_error(consensus, correlation_id, error);
    if (error->code != TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_REPLAY) {
        consensus_count_error(consensus, error);
    }
}

static int open_archive(struct consensus *consensus, struct tern_error *error) {
    const struct consensus_conf *conf = consensus->conf;
    const struct tern_archive_params params = {
        .client = consensus->client,
        .request_channel = conf->archive_control_channel,
        .response_channel = conf->archive_control_channel,
        .request_stream_id = conf->archive_control_stream_id,
        .response_stream_id = conf->cluster_id * 100 + ARCHIVE_RESPONSE_STREAM_BASE,
        .message_timeout_ns = conf->archive_message_timeout_ns,
        .client_name = "consensus-module",
    };
    const struct archive_link_handlers handlers = {consensus, on_signal, on_error};
    return archive_link_open(&consensus->archive, &params, &handlers, error);
}

static int add_streams_step(struct consensus *consensus) {
    struct tern_error error;
    int members = member_link_await(&consensus->link, &error);
    int services = members < 0 ? members : service_link_await(&consensus->services, &error);
    if (services < 0) {
        return end_unavailable(consensus, &error);
    }
    if (members == 0 || services == 0) {
        return 0;
    }
    if (open_archive(consensus, &error) != 0) {
        return end_unavailable(consensus, &error);
    }
    enter(consensus, CONSENSUS_CONNECT_ARCHIVE);
    return 1;
}

/* An archive that is not there yet is waited for: connecting is simply begun again. */
static int connect_archive_step(struct consensus *consensus) {
    struct tern_error error;
    int result = archive_link_connect_step(&consensus->archive, consensus->now_ns, &error);
    if (result < 0) {
        if (is_retry_due(consensus)) {
            archive_link_close(&consensus->archive);
            (void)open_archive(consensus, &error);
        }
        return 0;
    }
    if (result == 0) {
        return 0;
    }
    const struct recording_log *log = &consensus->recording_log;
    const struct recording_log_entry *term = recording_log_last_term(log);
    consensus->recording.recording_id = term == NULL ? RAFT_NULL : term->recording_id;
    consensus->snapshot_index = recording_log_latest_snapshot(log, consensus->conf->service_count);
    if (consensus->snapshot_index >= 0 &&
        snapshot_load_start(consensus, log->entries[consensus->snapshot_index].recording_id,
                            &error) < 0) {
        return end_unavailable(consensus, &error);
    }
    enter(consensus, CONSENSUS_LOAD_SNAPSHOT);
    return 1;
}

/* -- snapshot and services -- */

static int request_recovery_counter(struct consensus *consensus, struct tern_error *error) {
    const struct recording_log *log = &consensus->recording_log;
    int32_t service_count = consensus->conf->service_count;
    bool has_snapshot = consensus->snapshot_index >= 0;
    const struct recording_log_entry *module =
        has_snapshot ? &log->entries[consensus->snapshot_index] : NULL;
    int64_t term_id = has_snapshot ? module->leadership_term_id : RAFT_NULL;
    int64_t position = has_snapshot ? module->log_position : 0;
    uint8_t key[TERN_COUNTER_KEY_MAX];
    char label[TERN_COUNTER_LABEL_MAX];
    put_i64(key, term_id);
    put_i64(key + 8, position);
    put_i64(key + 16, has_snapshot ? module->timestamp : 0);
    put_i32(key + 24, consensus->conf->cluster_id);
    put_i32(key + 28, service_count);
    for (int32_t i = 0; i < service_count; i++) {
        put_i64(key + RECOVERY_KEY_SERVICES_OFFSET + 8 * i,
                has_snapshot ? log->entries[consensus->snapshot_index - 1 - i].recording_id
                             : RAFT_NULL);
    }
    int length = snprintf(label, sizeof label,
                          "Cluster recovery: leadershipTermId=%lld logPosition=%lld clusterId=%d",
                          (long long)term_id, (long long)position, consensus->conf->cluster_id);
    const struct tern_counter_params params = {
        .type_id = COUNTER_TYPE_CLUSTER_RECOVERY,
        .key = key,
        .key_length = RECOVERY_KEY_SERVICES_OFFSET + 8 * service_count,
        .label = label,
        .label_length = length,
    };
    consensus_expect_acks(consensus, position);
    consensus->recovery_request = tern_client_async_add_counter(consensus->client, &params, error);
    return consensus->recovery_request == NULL ? error->code : 0;
}

static int load_snapshot_step(struct consensus *consensus) {
    struct tern_error error;
    int result = 1;
    if (consensus->snapshot_index >= 0) {
        result = snapshot_load_step(consensus, &error);
    }
    if (result < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 0;
    }
    if (result == 0) {
        return 0;
    }
    snapshot_load_close(consensus);
    if (request_recovery_counter(consensus, &error) != 0) {
        return end_unavailable(consensus, &error);
    }
    enter(consensus, CONSENSUS_RECOVER_SERVICES);
    return 1;
}

static bool find_term(void *context, int64_t term_id, struct raft_term *term) {
    const struct consensus *consensus = context;
    const struct recording_log_entry *entry =
        recording_log_find_term(&consensus->recording_log, term_id);
    if (entry == NULL) {
        return false;
    }
    *term = (struct raft_term){entry->leadership_term_id, entry->term_base_log_position,
                               entry->log_position};
    return true;
}

/* The election of a node start. Where the own log ends is found out by its first operation. */
static void start_core(struct consensus *consensus) {
    const struct consensus_conf *conf = consensus->conf;
    const struct recording_log *log = &consensus->recording_log;
    const struct recording_log_entry *term = recording_log_last_term(log);
    const struct recording_log_entry *module =
        consensus->snapshot_index >= 0 ? &log->entries[consensus->snapshot_index] : NULL;
    struct raft_conf core = {
        .member_count = consensus->members.count,
        .own_index = consensus->own_index,
        .appointed_leader_id = conf->appointed_leader_id,
        .app_version = consensus->app_version,
        .leader_heartbeat_timeout_ns = conf->leader_heartbeat_timeout_ns,
        .leader_heartbeat_interval_ns = conf->leader_heartbeat_interval_ns,
        .startup_canvass_timeout_ns = conf->startup_canvass_timeout_ns,
        .election_timeout_ns = conf->election_timeout_ns,
        .election_status_interval_ns = conf->election_status_interval_ns,
        .random = consensus->params.io.random,
        .find_term = find_term,
        .context = consensus,
    };
    for (int32_t i = 0; i < consensus->members.count; i++) {
        core.member_ids[i] = consensus->members.list[i].id;
    }
    int64_t last_term = module == NULL ? RAFT_NULL : module->leadership_term_id;
    int64_t base = module == NULL ? 0 : module->term_base_log_position;
    consensus->current_term_id = last_term;
    consensus->term_base_position = base;
    consensus->consumed_position = module == NULL ? 0 : module->log_position;
    if (term != NULL) {
        last_term = term->leadership_term_id;
        base = term->term_base_log_position;
    }
    consensus->initial_term_id = last_term;
    consensus->initial_base_position = base;
    const struct raft_start start = {
        .now_ns = consensus->now_ns,
        .leadership_term_id = last_term,
        .log_position = consensus->consumed_position,
        .append_position = consensus->consumed_position,
        .ballot = consensus->node_state.ballot,
        .log_recording_id = consensus->recording.recording_id,
    };
    module_counters_set(&consensus->counters, MODULE_COUNTER_COMMIT_POSITION,
                        consensus->consumed_position);
    enter(consensus, CONSENSUS_RUN);
    consensus_set_state(consensus, MODULE_STATE_ACTIVE);
    raft_init(&consensus->raft, &core, &start);
    consensus_carry_out(consensus);
}

static int recover_services_step(struct consensus *consensus) {
    struct tern_error error;
    if (consensus->recovery_request != NULL) {
        int result = tern_async_poll_counter(consensus->recovery_request,
                                             &consensus->recovery_counter, &error);
        consensus->recovery_request = result == 0 ? consensus->recovery_request : NULL;
        if (result < 0) {
            return end_unavailable(consensus, &error);
        }
    }
    if (consensus->recovery_counter == NULL || !consensus_are_acks_in(consensus)) {
        return 0;
    }
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        consensus->service_client_ids[i] = consensus->sync.relevant_ids[i];
        if (consensus->sync.relevant_ids[i] == RAFT_NULL) {
            error_set(&error, -EIO, "service %d failed to start", i);
            return end_unavailable(consensus, &error);
        }
    }
    tern_counter_close(consensus->recovery_counter);
    consensus->recovery_counter = NULL;
    start_core(consensus);
    module_mark_ready(&consensus->mark, clock_epoch_ms(consensus->params.io.clock));
    return 1;
}

int consensus_start_step(struct consensus *consensus) {
    switch (consensus->stage) {
    case CONSENSUS_CONNECT_DRIVER:
        return connect_driver_step(consensus);
    case CONSENSUS_ADD_COUNTERS:
        return add_counters_step(consensus);
    case CONSENSUS_ADD_STREAMS:
        return add_streams_step(consensus);
    case CONSENSUS_CONNECT_ARCHIVE:
        return connect_archive_step(consensus);
    case CONSENSUS_LOAD_SNAPSHOT:
        return load_snapshot_step(consensus);
    case CONSENSUS_RECOVER_SERVICES:
        return recover_services_step(consensus);
    default:
        assert(false);
        return 0;
    }
}

const char *consensus_waiting_for(const struct consensus *consensus) {
    static const char *const texts[CONSENSUS_STAGE_COUNT] = {
        [CONSENSUS_CONNECT_DRIVER] = "media driver",
        [CONSENSUS_ADD_COUNTERS] = "counters of the media driver",
        [CONSENSUS_ADD_STREAMS] = "streams of the media driver",
        [CONSENSUS_CONNECT_ARCHIVE] = "archive",
        [CONSENSUS_LOAD_SNAPSHOT] = "snapshot to be loaded",
        [CONSENSUS_RECOVER_SERVICES] = "services",
    };
    return consensus->stage == CONSENSUS_ADD_COUNTERS && consensus->has_predecessor
               ? "media driver to forget the consensus module before this one"
               : texts[consensus->stage];
}

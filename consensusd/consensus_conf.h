/* Configuration of consensusd (cluster.md 8.1), and the texts that are derived from it once. */
#ifndef TERN_CONSENSUSD_CONSENSUS_CONF_H
#define TERN_CONSENSUSD_CONSENSUS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "consensusd/members.h"
#include "daemon/options.h"

#define CONSENSUS_PATH_MAX 1024
#define CONSENSUS_CHANNEL_MAX 1024
#define CONSENSUS_NAME_MAX 128
#define CONSENSUS_SESSIONS_MAX 4096
#define CONSENSUS_SERVICES_MAX 10

enum consensus_clock { CONSENSUS_CLOCK_MILLISECONDS, CONSENSUS_CLOCK_NANOSECONDS };
enum consensus_authorisation {
    CONSENSUS_AUTHORISE_DEFAULT, /* backup requests only */
    CONSENSUS_AUTHORISE_ALL,
    CONSENSUS_AUTHORISE_NONE,
};

/* Filled by the option table; constant afterwards. */
struct consensus_conf {
    char aeron_dir[CONSENSUS_PATH_MAX];
    int64_t driver_timeout_ns;
    char cluster_dir[CONSENSUS_PATH_MAX];
    char mark_file_dir[CONSENSUS_PATH_MAX];
    char services_dir[CONSENSUS_PATH_MAX];
    int32_t cluster_id;
    int32_t member_id;
    char members[MEMBERS_TEXT_MAX];
    char member_endpoints[MEMBERS_TEXT_MAX];
    int32_t appointed_leader_id;
    char ingress_channel[CONSENSUS_CHANNEL_MAX];
    int32_t ingress_stream_id;
    int32_t ingress_fragment_limit;
    bool is_ingress_ipc_allowed;
    char egress_channel[CONSENSUS_CHANNEL_MAX];
    char log_channel[CONSENSUS_CHANNEL_MAX];
    int32_t log_stream_id;
    int32_t log_fragment_limit;
    char replay_channel[CONSENSUS_CHANNEL_MAX];
    int32_t replay_stream_id;
    char control_channel[CONSENSUS_CHANNEL_MAX];
    int32_t service_stream_id;
    int32_t consensus_module_stream_id;
    char snapshot_channel[CONSENSUS_CHANNEL_MAX];
    int32_t snapshot_stream_id;
    char consensus_channel[CONSENSUS_CHANNEL_MAX];
    int32_t consensus_stream_id;
    char replication_channel[CONSENSUS_CHANNEL_MAX];
    char follower_catchup_channel[CONSENSUS_CHANNEL_MAX];
    char leader_archive_control_channel[CONSENSUS_CHANNEL_MAX];
    int32_t service_count;
    int32_t sessions_max;
    int32_t timers_max;
    int timer_service; /* this and the next two have no effect */
    int64_t wheel_tick_resolution_ns;
    int32_t ticks_per_wheel;
    int64_t session_timeout_ns;
    int64_t leader_heartbeat_timeout_ns;
    int64_t leader_heartbeat_interval_ns;
    int64_t startup_canvass_timeout_ns;
    int64_t election_timeout_ns;
    int64_t election_status_interval_ns;
    int64_t termination_timeout_ns;
    int64_t cycle_threshold_ns;
    int64_t snapshot_threshold_ns;
    int64_t error_buffer_length;
    int clock;         /* enum consensus_clock */
    int authorisation; /* enum consensus_authorisation */
    bool is_consensus_control_enabled;
    bool is_log_control_enabled;
    int32_t app_version;
    char app_version_text[32];
    char idle_strategy[32];
    char archive_control_channel[CONSENSUS_CHANNEL_MAX];
    int32_t archive_control_stream_id;
    int64_t archive_message_timeout_ns;
    int32_t file_sync_level;
    int log_level;
};

extern const struct option_table consensus_option_table;

#endif

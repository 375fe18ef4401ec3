/* Configuration of servicehost: one option table (cluster.md 8.2 and the archive client's part of
 * archive.md 7.2). */
#ifndef TERN_SERVICEHOST_SERVICE_CONF_H
#define TERN_SERVICEHOST_SERVICE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/options.h"

#define SERVICE_CONF_PATH_MAX 1024
#define SERVICE_CONF_CHANNEL_MAX 1024
#define SERVICE_CONF_NAME_MAX 128

struct service_conf {
    char aeron_dir[SERVICE_CONF_PATH_MAX];
    int64_t driver_timeout_ns;
    char cluster_dir[SERVICE_CONF_PATH_MAX];
    char mark_file_dir[SERVICE_CONF_PATH_MAX]; /* "": the cluster directory */
    int32_t cluster_id;
    int32_t service_id;
    char service_name[SERVICE_CONF_NAME_MAX]; /* "": clustered-service-<cluster>-<service> */
    char plugin[SERVICE_CONF_PATH_MAX];
    char argument[SERVICE_CONF_PATH_MAX];
    char app_version_text[32];
    bool is_responder;
    char control_channel[SERVICE_CONF_CHANNEL_MAX];
    int32_t service_stream_id;
    int32_t consensus_module_stream_id;
    char replay_channel[SERVICE_CONF_CHANNEL_MAX];
    int32_t replay_stream_id;
    char snapshot_channel[SERVICE_CONF_CHANNEL_MAX];
    int32_t snapshot_stream_id;
    int32_t log_fragment_limit;
    int64_t error_buffer_length;
    int64_t cycle_threshold_ns;
    int64_t snapshot_threshold_ns;
    char archive_control_channel[SERVICE_CONF_CHANNEL_MAX];
    int32_t archive_control_stream_id;
    int64_t archive_message_timeout_ns;
    char idle_strategy[64];
    int log_level;
};

extern const struct option_table service_option_table;

#endif

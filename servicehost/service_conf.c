/* The option table of servicehost. Aeron names are the properties of cluster.md 8.2 in upper case;
 * what Aeron sets through its API only (the service itself) has names of ours. */
#include "servicehost/service_conf.h"

#include "base/clock.h"
#include "daemon/logger.h"
#include "daemon/option_rows.h"

#define STORE(member) OPTION_STORE(struct service_conf, member)

static const struct option_row rows[] = {
    PATH("aeron_dir", "AERON_DIR", aeron_dir, "/dev/shm/aeron-{user}", OPTION_REQUIRED,
         "Directory of the media driver."),
    {.key = "driver_timeout",
     .env = "AERON_DRIVER_TIMEOUT",
     STORE(driver_timeout_ns),
     .type = OPTION_DURATION,
     .unit = OPTION_UNIT_MS,
     .default_text = "10000",
     .min = NS_PER_MS,
     .max = 3600 * NS_PER_S,
     .doc = "A driver whose heartbeat is older than this is dead."},
    PATH("plugin", "TERN_SERVICE_PLUGIN", plugin, "", OPTION_REQUIRED,
         "Path of the service's shared object."),
    TEXT("argument", "TERN_SERVICE_ARGUMENT", argument, "",
         "Text that is handed to the plugin when the service is created."),
    PATH("cluster_dir", "AERON_CLUSTER_DIR", cluster_dir, "aeron-cluster", OPTION_REQUIRED,
         "Directory of the cluster node's files."),
    PATH("mark_file_dir", "AERON_CLUSTER_MARK_FILE_DIR", mark_file_dir, "", 0,
         "Directory of the mark file; empty means cluster_dir."),
    STREAM("cluster_id", "AERON_CLUSTER_ID", cluster_id, "0",
           "Tells several clusters on one driver apart."),
    I32("service_id", "AERON_CLUSTER_SERVICE_ID", service_id, "0", 0, 9,
        "Number of this service on its node."),
    TEXT("service_name", "AERON_CLUSTER_SERVICE_NAME", service_name, "",
         "Name in the mark file; empty means clustered-service-<cluster>-<service>."),
    TEXT("app_version", "TERN_CLUSTER_APP_VERSION", app_version_text, "0.0.1",
         "Version of the application; a log or snapshot of another major version ends the "
         "service."),
    BOOL("responder", "AERON_CLUSTER_SERVICE_RESPONDER", is_responder, "true",
         "Whether the service may send to client sessions."),
    CHANNEL("control_channel", "AERON_CLUSTER_CONTROL_CHANNEL", control_channel,
            "aeron:ipc?term-length=128k", "Channel between consensus module and services."),
    STREAM("service_stream_id", "AERON_CLUSTER_SERVICE_STREAM_ID", service_stream_id, "104",
           "Control stream to the services."),
    STREAM("consensus_module_stream_id", "AERON_CLUSTER_CONSENSUS_MODULE_STREAM_ID",
           consensus_module_stream_id, "105", "Control stream to the consensus module."),
    CHANNEL("replay_channel", "AERON_CLUSTER_REPLAY_CHANNEL", replay_channel, "aeron:ipc",
            "Channel for replays of snapshots."),
    STREAM("replay_stream_id", "AERON_CLUSTER_REPLAY_STREAM_ID", replay_stream_id, "103",
           "Stream for replays of snapshots."),
    CHANNEL("snapshot_channel", "AERON_CLUSTER_SNAPSHOT_CHANNEL", snapshot_channel,
            "aeron:ipc?alias=snapshot", "Channel on which snapshots are recorded."),
    STREAM("snapshot_stream_id", "AERON_CLUSTER_SNAPSHOT_STREAM_ID", snapshot_stream_id, "106",
           "Stream on which snapshots of services are recorded."),
    I32("log_fragment_limit", "AERON_CLUSTER_LOG_FRAGMENT_LIMIT", log_fragment_limit, "50", 1,
        10000, "Fragments of the log that one duty cycle consumes at most."),
    SIZE("error_buffer_length", "AERON_CLUSTER_SERVICE_ERROR_BUFFER_LENGTH", error_buffer_length,
         "1m", 1 << 20, INT32_MAX - 8192, 0, "Length of the error log in the mark file."),
    DURATION("cycle_threshold", "AERON_CLUSTER_SERVICE_CYCLE_THRESHOLD", cycle_threshold_ns,
             "100ms", 1, "Longer duty cycles are counted."),
    DURATION("snapshot_threshold", "AERON_CLUSTER_SERVICE_SNAPSHOT_THRESHOLD",
             snapshot_threshold_ns, "1s", 1, "Snapshots that take longer are counted."),
    CHANNEL("archive_control_channel", "AERON_ARCHIVE_LOCAL_CONTROL_CHANNEL",
            archive_control_channel, "aeron:ipc?term-length=64k",
            "Control channel of the archive of this node."),
    STREAM("archive_control_stream_id", "AERON_ARCHIVE_LOCAL_CONTROL_STREAM_ID",
           archive_control_stream_id, "10", "Control stream of the archive of this node."),
    TIMEOUT("archive_message_timeout", "AERON_ARCHIVE_MESSAGE_TIMEOUT", archive_message_timeout_ns,
            "10s", "How long the archive may take for an answer."),
    CHANNEL("idle_strategy", "AERON_CLUSTER_IDLE_STRATEGY", idle_strategy, "backoff",
            "How the thread waits: backoff, sleeping, yield, spin or noop."),
    NOT_YET("service_class_name", "AERON_CLUSTER_SERVICE_CLASS_NAME", "",
            "Names a class of the Java implementation; here the service is a plugin."),
    NOT_YET("delegating_error_handler", "AERON_CLUSTER_SERVICE_DELEGATING_ERROR_HANDLER", "",
            "Names a class of the Java implementation; has no meaning here."),
    LOGGER_LEVEL_OPTION(struct service_conf, log_level),
};

static void check(const void *checked, struct options *options) {
    const struct service_conf *conf = checked;
    options_check_channel(options, "control_channel", conf->control_channel);
    options_check_channel(options, "replay_channel", conf->replay_channel);
    options_check_channel(options, "snapshot_channel", conf->snapshot_channel);
    options_check_channel(options, "archive_control_channel", conf->archive_control_channel);
    if (option_parse_version(conf->app_version_text) <= 0) {
        options_refuse(options, "app_version", "is not major.minor.patch, each 0..255");
    }
    options_check_idle(options, "idle_strategy", conf->idle_strategy, NULL);
}

const struct option_table service_option_table = {
    .daemon = "servicehost",
    .summary = "runs one replicated service of a cluster node",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .conf_size = sizeof(struct service_conf),
    .check = check,
};

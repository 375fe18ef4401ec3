/* Options of archived. Every row of archive.md 7.1 is here: used, or refused by name when it asks
 * for what is not built yet (OPTION_NOT_YET). The control and replication channels, which have no
 * default in the original, get local ones, so that the daemon runs without any file.
 */
#include "archived/archive_conf.h"

#include <string.h>

#include "base/clock.h"
#include "daemon/logger.h"
#include "base/uri.h"

/* Halves what an idle archive costs; under load it never parks. */
#define LOWCPU_PARK_NS (2 * NS_PER_MS)

enum archive_profile { PROFILE_LOWCPU, PROFILE_LOWLATENCY };
static const char *const profile_names[] = {"lowcpu", "lowlatency", NULL};
static const char *const threading_names[] = {"SHARED", "INVOKER", NULL};
static const char *const authorisation_names[] = {"ALLOW_ALL", "DENY_ALL", NULL};
static const char *const checksum_names[] = {"none", "CRC-32", "CRC-32C", NULL};

#define STORE(member) OPTION_STORE(struct archive_conf, member)
#define ENV(name) .env = "AERON_ARCHIVE_" name

static const struct option_row rows[] = {
    {.key = "profile",
     .env = "TERN_ARCHIVE_PROFILE",
     STORE(profile),
     .type = OPTION_ENUM,
     .default_text = "lowcpu",
     .names = profile_names,
     .doc = "lowcpu sleeps when idle; lowlatency spins."},
    LOGGER_LEVEL_OPTION(struct archive_conf, log_level),
    {.key = "print_configuration",
     .env = "AERON_PRINT_CONFIGURATION",
     STORE(print_configuration),
     .type = OPTION_BOOL,
     .default_text = "false",
     .doc = "Print all options to the standard output at start."},
    {.key = "aeron_dir",
     .env = "AERON_DIR",
     STORE(aeron_dir),
     .type = OPTION_PATH,
     .default_text = "/dev/shm/aeron-{user}",
     .flags = OPTION_REQUIRED,
     .doc = "Directory of the media driver that this archive uses."},
    {.key = "driver_timeout",
     .env = "AERON_DRIVER_TIMEOUT",
     STORE(driver_timeout_ns),
     .type = OPTION_DURATION,
     .unit = OPTION_UNIT_MS,
     .default_text = "10s",
     .min = NS_PER_MS,
     .max = INT64_MAX,
     .doc = "How old the driver's heartbeat may be before it counts as dead."},
    {.key = "dir",
     ENV("DIR"),
     STORE(dir),
     .type = OPTION_PATH,
     .default_text = "aeron-archive",
     .flags = OPTION_REQUIRED,
     .doc = "Directory of catalog and segment files; it is created."},
    {.key = "mark_file_dir",
     ENV("MARK_FILE_DIR"),
     STORE(mark_file_dir),
     .type = OPTION_PATH,
     .doc = "Directory of archive-mark.dat; empty means that of the catalog."},
    {.key = "dir_delete_on_start",
     ENV("DIR_DELETE_ON_START"),
     STORE(dir_delete_on_start),
     .type = OPTION_BOOL,
     .default_text = "false",
     .doc = "Remove all recordings at start. For tests only."},
    {.key = "archive_id",
     ENV("ID"),
     STORE(archive_id),
     .type = OPTION_I64,
     .default_text = "-1",
     .min = -1,
     .max = INT64_MAX,
     .doc = "Identity of this archive in counters and responses; -1 takes the client id."},
    {.key = "control_channel_enabled",
     ENV("CONTROL_CHANNEL_ENABLED"),
     STORE(control_channel_enabled),
     .type = OPTION_BOOL,
     .default_text = "true",
     .doc = "Serve control requests over UDP; without it only local clients are served."},
    {.key = "control_channel",
     ENV("CONTROL_CHANNEL"),
     STORE(control_channel),
     .type = OPTION_STRING,
     .default_text = "aeron:udp?endpoint=localhost:8010",
     .doc = "Channel of control requests from everywhere."},
    {.key = "control_stream_id",
     ENV("CONTROL_STREAM_ID"),
     STORE(control_stream_id),
     .type = OPTION_I32,
     .default_text = "10",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .doc = "Stream of the control channel."},
    {.key = "local_control_channel",
     ENV("LOCAL_CONTROL_CHANNEL"),
     STORE(local_control_channel),
     .type = OPTION_STRING,
     .default_text = "aeron:ipc?term-length=64k",
     .doc = "Channel of control requests from clients of the same driver."},
    {.key = "local_control_stream_id",
     ENV("LOCAL_CONTROL_STREAM_ID"),
     STORE(local_control_stream_id),
     .type = OPTION_I32,
     .default_text = "10",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .doc = "Stream of the local control channel."},
    {.key = "control_term_buffer_length",
     ENV("CONTROL_TERM_BUFFER_LENGTH"),
     STORE(control_term_length),
     .type = OPTION_SIZE,
     .default_text = "64k",
     .min = 65536,
     .max = 1 << 30,
     .flags = OPTION_POWER_OF_TWO,
     .doc = "Term length of response publications when the client does not ask for one."},
    {.key = "control_term_buffer_sparse",
     ENV("CONTROL_TERM_BUFFER_SPARSE"),
     STORE(control_term_sparse),
     .type = OPTION_BOOL,
     .default_text = "true",
     .doc = "Whether the logs of control streams are sparse files."},
    {.key = "control_mtu_length",
     ENV("CONTROL_MTU_LENGTH"),
     STORE(control_mtu_length),
     .type = OPTION_SIZE,
     .default_text = "1408",
     .min = 64,
     .max = 65504,
     .flags = OPTION_MULTIPLE_OF_32,
     .doc = "MTU of response publications when the client does not ask for one."},
    {.key = "control_response_channel",
     ENV("CONTROL_RESPONSE_CHANNEL"),
     STORE(control_response_channel),
     .type = OPTION_STRING,
     .doc = "Where other archives answer during replications; empty derives it from the control "
            "channel."},
    {.key = "control_response_stream_id",
     ENV("CONTROL_RESPONSE_STREAM_ID"),
     STORE(control_response_stream_id),
     .type = OPTION_I32,
     .default_text = "20",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .doc = "Stream of those answers."},
    {.key = "message_timeout",
     ENV("MESSAGE_TIMEOUT"),
     STORE(message_timeout_ns),
     .type = OPTION_DURATION,
     .default_text = "10s",
     .min = NS_PER_MS,
     .max = INT64_MAX,
     .doc = "How long a replication waits for each answer of the other archive."},
    {.key = "message_retry_attempts",
     ENV("MESSAGE_RETRY_ATTEMPTS"),
     .type = OPTION_NOT_YET,
     .default_text = "3",
     .doc = "A replication offers a refused request again in every duty cycle until "
            "message_timeout, not so many times."},
    {.key = "client_name",
     ENV("CLIENT_NAME"),
     STORE(client_name),
     .type = OPTION_STRING,
     .doc = "Name under which this archive connects to others."},
    {.key = "recording_events_enabled",
     ENV("RECORDING_EVENTS_ENABLED"),
     STORE(events_enabled),
     .type = OPTION_BOOL,
     .default_text = "false",
     .doc = "Publish start, progress and stop of recordings."},
    {.key = "recording_events_channel",
     ENV("RECORDING_EVENTS_CHANNEL"),
     STORE(events_channel),
     .type = OPTION_STRING,
     .doc = "Channel of recording events."},
    {.key = "recording_events_stream_id",
     ENV("RECORDING_EVENTS_STREAM_ID"),
     STORE(events_stream_id),
     .type = OPTION_I32,
     .default_text = "30",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .doc = "Stream of recording events."},
    {.key = "replication_channel",
     ENV("REPLICATION_CHANNEL"),
     STORE(replication_channel),
     .type = OPTION_STRING,
     .default_text = "aeron:udp?endpoint=localhost:0",
     .flags = OPTION_REQUIRED,
     .doc = "Channel on which replicated recordings arrive."},
    {.key = "connect_timeout",
     ENV("CONNECT_TIMEOUT"),
     STORE(connect_timeout_ns),
     .type = OPTION_DURATION,
     .default_text = "5s",
     .min = NS_PER_MS,
     .max = INT64_MAX,
     .doc = "How long responses and replays wait for their subscriber."},
    {.key = "session_liveness_check_interval",
     ENV("SESSION_LIVENESS_CHECK_INTERVAL"),
     STORE(liveness_interval_ns),
     .type = OPTION_DURATION,
     .default_text = "1s",
     .min = NS_PER_MS,
     .max = INT64_MAX,
     .doc = "Period of the pings to clients."},
    {.key = "replay_linger_timeout",
     ENV("REPLAY_LINGER_TIMEOUT"),
     STORE(replay_linger_ns),
     .type = OPTION_DURATION,
     .default_text = "5s",
     .min = 0,
     .max = INT64_MAX,
     .doc = "How long the stream of a finished replay stays for retransmits."},
    {.key = "segment_file_length",
     ENV("SEGMENT_FILE_LENGTH"),
     STORE(segment_length),
     .type = OPTION_SIZE,
     .default_text = "128m",
     .min = 65536,
     .max = 1 << 30,
     .flags = OPTION_POWER_OF_TWO,
     .doc = "Length of the files of new recordings."},
    {.key = "low_storage_space_threshold",
     ENV("LOW_STORAGE_SPACE_THRESHOLD"),
     STORE(storage_threshold),
     .type = OPTION_SIZE,
     .default_text = "128m",
     .min = 0,
     .max = INT64_MAX,
     .doc = "Recordings are refused when not more than this many bytes are free."},
    {.key = "file_sync_level",
     ENV("FILE_SYNC_LEVEL"),
     STORE(file_sync_level),
     .type = OPTION_I32,
     .default_text = "0",
     .min = 0,
     .max = 2,
     .doc = "0: the system writes when it likes; 1: data are synced before a position is reported; "
            "2: data and metadata."},
    {.key = "catalog_file_sync_level",
     ENV("CATALOG_FILE_SYNC_LEVEL"),
     STORE(catalog_sync_level),
     .type = OPTION_I32,
     .default_text = "0",
     .min = 0,
     .max = 2,
     .doc = "The same for the catalog; not below file_sync_level."},
    {.key = "catalog_capacity",
     ENV("CATALOG_CAPACITY"),
     STORE(catalog_capacity),
     .type = OPTION_SIZE,
     .default_text = "1m",
     .min = 32,
     .max = INT32_MAX,
     .doc = "Initial length of the catalog file; it grows."},
    {.key = "max_catalog_entries",
     ENV("MAX_CATALOG_ENTRIES"),
     .type = OPTION_NOT_YET,
     .default_text = "8192",
     .doc = "Deprecated: the catalog grows by itself (catalog_capacity)."},
    {.key = "file_io_max_length",
     ENV("FILE_IO_MAX_LENGTH"),
     STORE(io_length_max),
     .type = OPTION_SIZE,
     .default_text = "1m",
     .min = 65536,
     .max = 1 << 30,
     .flags = OPTION_POWER_OF_TWO,
     .doc = "Longest single write of a recording and read of a replay."},
    {.key = "max_concurrent_recordings",
     ENV("MAX_CONCURRENT_RECORDINGS"),
     STORE(recordings_max),
     .type = OPTION_I32,
     .default_text = "20",
     .min = 1,
     .max = 100000,
     .doc = "Requests to record are refused when this many recordings are active."},
    {.key = "max_concurrent_replays",
     ENV("MAX_CONCURRENT_REPLAYS"),
     STORE(replays_max),
     .type = OPTION_I32,
     .default_text = "20",
     .min = 1,
     .max = 100000,
     .doc = "Limit of replays at the same time."},
    {.key = "threading_mode",
     ENV("THREADING_MODE"),
     STORE(threading),
     .type = OPTION_ENUM,
     .default_text = "SHARED",
     .names = threading_names,
     .doc = "SHARED runs all in one thread; INVOKER is the same for embedded use. DEDICATED, with "
            "threads for recorder and replayer, is not supported yet."},
    {.key = "idle_strategy",
     ENV("IDLE_STRATEGY"),
     STORE(idle_name),
     .type = OPTION_STRING,
     .default_text = "backoff",
     .doc = "How the thread waits: backoff, sleeping, yield, spin, noop."},
    {.key = "idle_strategy_args",
     .env = "TERN_ARCHIVE_IDLE_STRATEGY_ARGS",
     STORE(idle_arguments),
     .type = OPTION_STRING,
     .doc = "Arguments of idle_strategy; of backoff: spins-yields-minpark-maxpark."},
    {.key = "recorder_idle_strategy",
     ENV("RECORDER_IDLE_STRATEGY"),
     .type = OPTION_NOT_YET,
     .doc = "For a recorder thread of its own, which is not built yet."},
    {.key = "replayer_idle_strategy",
     ENV("REPLAYER_IDLE_STRATEGY"),
     .type = OPTION_NOT_YET,
     .doc = "For a replayer thread of its own, which is not built yet."},
    {.key = "conductor_cycle_threshold",
     ENV("CONDUCTOR_CYCLE_THRESHOLD"),
     STORE(cycle_threshold_ns),
     .type = OPTION_DURATION,
     .default_text = "100ms",
     .min = 1,
     .max = INT64_MAX,
     .doc = "Duty cycles that take longer are counted."},
    {.key = "recorder_cycle_threshold",
     ENV("RECORDER_CYCLE_THRESHOLD"),
     .type = OPTION_NOT_YET,
     .default_text = "100ms",
     .doc = "For a recorder thread of its own, which is not built yet."},
    {.key = "replayer_cycle_threshold",
     ENV("REPLAYER_CYCLE_THRESHOLD"),
     .type = OPTION_NOT_YET,
     .default_text = "100ms",
     .doc = "For a replayer thread of its own, which is not built yet."},
    {.key = "authenticator_supplier",
     ENV("AUTHENTICATOR_SUPPLIER"),
     .type = OPTION_NOT_YET,
     .doc = "Authentication of clients is not built yet; everybody may connect."},
    {.key = "authorisation_service_supplier",
     ENV("AUTHORISATION_SERVICE_SUPPLIER"),
     STORE(authorisation),
     .type = OPTION_ENUM,
     .default_text = "ALLOW_ALL",
     .names = authorisation_names,
     .doc = "Whether clients may do anything at all."},
    {.key = "error_buffer_length",
     ENV("ERROR_BUFFER_LENGTH"),
     STORE(error_log_length),
     .type = OPTION_SIZE,
     .default_text = "1m",
     .min = 1 << 20,
     .max = INT32_MAX - 8192,
     .doc = "Length of the error log in the mark file."},
    {.key = "record_checksum",
     ENV("RECORD_CHECKSUM"),
     STORE(record_checksum),
     .type = OPTION_ENUM,
     .default_text = "none",
     .names = checksum_names,
     .doc = "Checksum that recordings and catalog records get. Without, frames above 4 KiB cost a "
            "second sync."},
    {.key = "replay_checksum",
     ENV("REPLAY_CHECKSUM"),
     STORE(replay_checksum),
     .type = OPTION_ENUM,
     .default_text = "none",
     .names = checksum_names,
     .doc = "Checksum that replays verify."},
    {.key = "secure_random_algorithm",
     .env = "AERON_SECURE_RANDOM_ALGORITHM",
     .type = OPTION_NOT_YET,
     .doc = "Replay tokens always come from the kernel's random source."},
};

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void check_uri(struct options *options, const char *key, const char *channel) {
    struct uri uri;
    struct tern_error error;
    if (channel[0] != '\0' && uri_parse(&uri, channel, (int32_t)strlen(channel), &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

static void check_channels(const struct archive_conf *conf, struct options *options) {
    check_uri(options, "control_channel", conf->control_channel);
    check_uri(options, "local_control_channel", conf->local_control_channel);
    check_uri(options, "control_response_channel", conf->control_response_channel);
    check_uri(options, "recording_events_channel", conf->events_channel);
    check_uri(options, "replication_channel", conf->replication_channel);
    if (conf->control_channel_enabled && !starts_with(conf->control_channel, "aeron:udp")) {
        options_refuse(options, "control_channel", "must be a UDP channel (aeron:udp?...)");
    }
    if (!starts_with(conf->local_control_channel, "aeron:ipc")) {
        options_refuse(options, "local_control_channel", "must be an IPC channel (aeron:ipc...)");
    }
    if (!conf->control_channel_enabled && conf->control_response_channel[0] == '\0') {
        options_refuse(options, "control_response_channel",
                       "is needed for replications when control_channel_enabled is false");
    }
    if (conf->events_enabled && conf->events_channel[0] == '\0') {
        options_refuse(options, "recording_events_channel",
                       "is needed when recording_events_enabled is true");
    }
}

static void check(const void *arg, struct options *options) {
    const struct archive_conf *conf = arg;
    check_channels(conf, options);
    if (conf->catalog_sync_level < conf->file_sync_level) {
        options_refuse(options, "catalog_file_sync_level", "must not be below file_sync_level (%d)",
                       conf->file_sync_level);
    }
    struct idle_strategy idle;
    struct tern_error error;
    if (idle_strategy_parse(&idle, conf->idle_name, conf->idle_arguments, &error) != 0) {
        options_refuse(options, "idle_strategy", "%s", error.text);
    }
}

static const struct option_override lowlatency[] = {{"idle_strategy", "spin"}};
static const struct option_profile profiles[] = {
    {"lowcpu", NULL, 0},
    {"lowlatency", lowlatency, ARRAY_COUNT(lowlatency)},
};

const struct option_table archive_option_table = {
    .daemon = "archived",
    .summary = "records streams to disk and replays them",
    .rows = rows,
    .count = (int)ARRAY_COUNT(rows),
    .conf_size = sizeof(struct archive_conf),
    .profile_key = "profile",
    .profiles = profiles,
    .profile_count = (int)ARRAY_COUNT(profiles),
    .check = check,
};

const char *archive_conf_mark_dir(const struct archive_conf *conf) {
    return conf->mark_file_dir[0] != '\0' ? conf->mark_file_dir : conf->dir;
}

struct idle_strategy archive_conf_idle(const struct archive_conf *conf) {
    struct idle_strategy idle;
    int result = idle_strategy_parse(&idle, conf->idle_name, conf->idle_arguments, NULL);
    assert(result == 0);
    (void)result;
    if (conf->profile == PROFILE_LOWCPU && idle.kind == IDLE_BACKOFF &&
        conf->idle_arguments[0] == '\0') {
        idle.park_max_ns = LOWCPU_PARK_NS;
    }
    return idle;
}

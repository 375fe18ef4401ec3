/* Options of archived. Every row of archive.md 7.1 is here: used, or refused by name when it asks
 * for what is not built yet (OPTION_NOT_YET). The control and replication channels, which have no
 * default in the original, get local ones, so that the daemon runs without any file.
 */
#include "archived/archive_conf.h"

#include <string.h>

#include "base/clock.h"
#include "daemon/logger.h"
#include "daemon/option_rows.h"

/* Halves what an idle archive costs; under load it never parks. */
#define LOWCPU_PARK_NS (2 * NS_PER_MS)

enum archive_profile { PROFILE_LOWCPU, PROFILE_LOWLATENCY };
static const char *const profile_names[] = {"lowcpu", "lowlatency", NULL};
static const char *const threading_names[] = {"SHARED", "INVOKER", NULL};
static const char *const authorisation_names[] = {"ALLOW_ALL", "DENY_ALL", NULL};
static const char *const checksum_names[] = {"none", "CRC-32", "CRC-32C", NULL};

#define STORE(member) OPTION_STORE(struct archive_conf, member)
#define ENV(name) "AERON_ARCHIVE_" name

static const struct option_row rows[] = {
    ENUM("profile", "TERN_ARCHIVE_PROFILE", profile, "lowcpu", profile_names,
         "lowcpu sleeps when idle; lowlatency spins."),
    LOGGER_LEVEL_OPTION(struct archive_conf, log_level),
    BOOL("print_configuration", "AERON_PRINT_CONFIGURATION", print_configuration, "false",
         "Print all options to the standard output at start."),
    PATH("aeron_dir", "AERON_DIR", aeron_dir, "/dev/shm/aeron-{user}", OPTION_REQUIRED,
         "Directory of the media driver that this archive uses."),
    {.key = "driver_timeout",
     .env = "AERON_DRIVER_TIMEOUT",
     STORE(driver_timeout_ns),
     .type = OPTION_DURATION,
     .unit = OPTION_UNIT_MS,
     .default_text = "10s",
     .min = NS_PER_MS,
     .max = INT64_MAX,
     .doc = "How old the driver's heartbeat may be before it counts as dead."},
    PATH("dir", ENV("DIR"), dir, "aeron-archive", OPTION_REQUIRED,
         "Directory of catalog and segment files; it is created."),
    PATH("mark_file_dir", ENV("MARK_FILE_DIR"), mark_file_dir, "", 0,
         "Directory of archive-mark.dat; empty means that of the catalog."),
    BOOL("dir_delete_on_start", ENV("DIR_DELETE_ON_START"), dir_delete_on_start, "false",
         "Remove all recordings at start. For tests only."),
    {.key = "archive_id",
     ENV("ID"),
     STORE(archive_id),
     .type = OPTION_I64,
     .default_text = "-1",
     .min = -1,
     .max = INT64_MAX,
     .doc = "Identity of this archive in counters and responses; -1 takes the client id."},
    BOOL("control_channel_enabled", ENV("CONTROL_CHANNEL_ENABLED"), control_channel_enabled, "true",
         "Serve control requests over UDP; without it only local clients are served."),
    TEXT("control_channel", ENV("CONTROL_CHANNEL"), control_channel,
         "aeron:udp?endpoint=localhost:8010", "Channel of control requests from everywhere."),
    STREAM("control_stream_id", ENV("CONTROL_STREAM_ID"), control_stream_id, "10",
           "Stream of the control channel."),
    TEXT("local_control_channel", ENV("LOCAL_CONTROL_CHANNEL"), local_control_channel,
         "aeron:ipc?term-length=64k",
         "Channel of control requests from clients of the same driver."),
    STREAM("local_control_stream_id", ENV("LOCAL_CONTROL_STREAM_ID"), local_control_stream_id, "10",
           "Stream of the local control channel."),
    SIZE("control_term_buffer_length", ENV("CONTROL_TERM_BUFFER_LENGTH"), control_term_length,
         "64k", 65536, 1 << 30, OPTION_POWER_OF_TWO,
         "Term length of response publications when the client does not ask for one."),
    BOOL("control_term_buffer_sparse", ENV("CONTROL_TERM_BUFFER_SPARSE"), control_term_sparse,
         "true", "Whether the logs of control streams are sparse files."),
    SIZE("control_mtu_length", ENV("CONTROL_MTU_LENGTH"), control_mtu_length, "1408", 64, 65504,
         OPTION_MULTIPLE_OF_32,
         "MTU of response publications when the client does not ask for one."),
    TEXT("control_response_channel", ENV("CONTROL_RESPONSE_CHANNEL"), control_response_channel, "",
         "Where other archives answer during replications; empty derives it from the control "
         "channel."),
    STREAM("control_response_stream_id", ENV("CONTROL_RESPONSE_STREAM_ID"),
           control_response_stream_id, "20", "Stream of those answers."),
    DURATION("message_timeout", ENV("MESSAGE_TIMEOUT"), message_timeout_ns, "10s", NS_PER_MS,
             "How long a replication waits for each answer of the other archive."),
    NOT_YET("message_retry_attempts", ENV("MESSAGE_RETRY_ATTEMPTS"), "3",
            "A replication offers a refused request again in every duty cycle until "
            "message_timeout, not so many times."),
    TEXT("client_name", ENV("CLIENT_NAME"), client_name, "",
         "Name under which this archive connects to others."),
    BOOL("recording_events_enabled", ENV("RECORDING_EVENTS_ENABLED"), events_enabled, "false",
         "Publish start, progress and stop of recordings."),
    TEXT("recording_events_channel", ENV("RECORDING_EVENTS_CHANNEL"), events_channel, "",
         "Channel of recording events."),
    STREAM("recording_events_stream_id", ENV("RECORDING_EVENTS_STREAM_ID"), events_stream_id, "30",
           "Stream of recording events."),
    CHANNEL("replication_channel", ENV("REPLICATION_CHANNEL"), replication_channel,
            "aeron:udp?endpoint=localhost:0", "Channel on which replicated recordings arrive."),
    DURATION("connect_timeout", ENV("CONNECT_TIMEOUT"), connect_timeout_ns, "5s", NS_PER_MS,
             "How long responses and replays wait for their subscriber."),
    DURATION("session_liveness_check_interval", ENV("SESSION_LIVENESS_CHECK_INTERVAL"),
             liveness_interval_ns, "1s", NS_PER_MS, "Period of the pings to clients."),
    DURATION("replay_linger_timeout", ENV("REPLAY_LINGER_TIMEOUT"), replay_linger_ns, "5s", 0,
             "How long the stream of a finished replay stays for retransmits."),
    SIZE("segment_file_length", ENV("SEGMENT_FILE_LENGTH"), segment_length, "128m", 65536, 1 << 30,
         OPTION_POWER_OF_TWO, "Length of the files of new recordings."),
    SIZE("low_storage_space_threshold", ENV("LOW_STORAGE_SPACE_THRESHOLD"), storage_threshold,
         "128m", 0, INT64_MAX, 0,
         "Recordings are refused when not more than this many bytes are free."),
    I32("file_sync_level", ENV("FILE_SYNC_LEVEL"), file_sync_level, "0", 0, 2,
        "0: the system writes when it likes; 1: data are synced before a position is reported; "
        "2: data and metadata."),
    I32("catalog_file_sync_level", ENV("CATALOG_FILE_SYNC_LEVEL"), catalog_sync_level, "0", 0, 2,
        "The same for the catalog; not below file_sync_level."),
    SIZE("catalog_capacity", ENV("CATALOG_CAPACITY"), catalog_capacity, "1m", 32, INT32_MAX, 0,
         "Initial length of the catalog file; it grows."),
    NOT_YET("max_catalog_entries", ENV("MAX_CATALOG_ENTRIES"), "8192",
            "Deprecated: the catalog grows by itself (catalog_capacity)."),
    SIZE("file_io_max_length", ENV("FILE_IO_MAX_LENGTH"), io_length_max, "1m", 65536, 1 << 30,
         OPTION_POWER_OF_TWO, "Longest single write of a recording and read of a replay."),
    I32("max_concurrent_recordings", ENV("MAX_CONCURRENT_RECORDINGS"), recordings_max, "20", 1,
        100000, "Requests to record are refused when this many recordings are active."),
    I32("max_concurrent_replays", ENV("MAX_CONCURRENT_REPLAYS"), replays_max, "20", 1, 100000,
        "Limit of replays at the same time."),
    ENUM("threading_mode", ENV("THREADING_MODE"), threading, "SHARED", threading_names,
         "SHARED runs all in one thread; INVOKER is the same for embedded use. DEDICATED, with "
         "threads for recorder and replayer, is not supported yet."),
    TEXT("idle_strategy", ENV("IDLE_STRATEGY"), idle_name, "backoff",
         "How the thread waits: backoff, sleeping, yield, spin, noop."),
    TEXT("idle_strategy_args", "TERN_ARCHIVE_IDLE_STRATEGY_ARGS", idle_arguments, "",
         "Arguments of idle_strategy; of backoff: spins-yields-minpark-maxpark."),
    NOT_YET("recorder_idle_strategy", ENV("RECORDER_IDLE_STRATEGY"), "",
            "For a recorder thread of its own, which is not built yet."),
    NOT_YET("replayer_idle_strategy", ENV("REPLAYER_IDLE_STRATEGY"), "",
            "For a replayer thread of its own, which is not built yet."),
    DURATION("conductor_cycle_threshold", ENV("CONDUCTOR_CYCLE_THRESHOLD"), cycle_threshold_ns,
             "100ms", 1, "Duty cycles that take longer are counted."),
    NOT_YET("recorder_cycle_threshold", ENV("RECORDER_CYCLE_THRESHOLD"), "100ms",
            "For a recorder thread of its own, which is not built yet."),
    NOT_YET("replayer_cycle_threshold", ENV("REPLAYER_CYCLE_THRESHOLD"), "100ms",
            "For a replayer thread of its own, which is not built yet."),
    NOT_YET("authenticator_supplier", ENV("AUTHENTICATOR_SUPPLIER"), "",
            "Authentication of clients is not built yet; everybody may connect."),
    ENUM("authorisation_service_supplier", ENV("AUTHORISATION_SERVICE_SUPPLIER"), authorisation,
         "ALLOW_ALL", authorisation_names, "Whether clients may do anything at all."),
    SIZE("error_buffer_length", ENV("ERROR_BUFFER_LENGTH"), error_log_length, "1m", 1 << 20,
         INT32_MAX - 8192, 0, "Length of the error log in the mark file."),
    ENUM("record_checksum", ENV("RECORD_CHECKSUM"), record_checksum, "none", checksum_names,
         "Checksum that recordings and catalog records get. Without, frames above 4 KiB cost a "
         "second sync."),
    ENUM("replay_checksum", ENV("REPLAY_CHECKSUM"), replay_checksum, "none", checksum_names,
         "Checksum that replays verify."),
    NOT_YET("secure_random_algorithm", "AERON_SECURE_RANDOM_ALGORITHM", "",
            "Replay tokens always come from the kernel's random source."),
};

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void check_channels(const struct archive_conf *conf, struct options *options) {
    options_check_channel(options, "control_channel", conf->control_channel);
    options_check_channel(options, "local_control_channel", conf->local_control_channel);
    options_check_channel(options, "control_response_channel", conf->control_response_channel);
    options_check_channel(options, "recording_events_channel", conf->events_channel);
    options_check_channel(options, "replication_channel", conf->replication_channel);
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
    options_check_idle(options, "idle_strategy", conf->idle_name, conf->idle_arguments);
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

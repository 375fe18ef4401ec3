#include <criterion/criterion.h>

#include <stdlib.h>

#include "archived/archive_conf.h"
#include "lib/option_names.h"

static int load(struct archive_conf *conf, struct options *options, char *const *environment) {
    return options_load(options, &archive_option_table, conf, NULL, environment);
}

Test(archive_conf, the_table_has_no_mistakes_and_runs_on_defaults_alone) {
    struct tern_error error = {0};
    cr_assert_eq(option_table_check(&archive_option_table, &error), 0, "%s", error.text);
    struct archive_conf *conf = calloc(1, sizeof *conf);
    struct options *options = calloc(1, sizeof *options);
    char *none[] = {NULL};
    cr_assert_eq(load(conf, options, none), 0, "%s", options->errors);
    cr_assert_eq(conf->segment_length, 128 << 20);
    cr_assert_eq(conf->archive_id, -1);
    cr_assert_eq(conf->connect_timeout_ns, INT64_C(5000000000));
    cr_assert_eq(conf->recordings_max, 20);
    cr_assert_str_eq(archive_conf_mark_dir(conf), "aeron-archive");
    struct idle_strategy idle = archive_conf_idle(conf);
    cr_assert_eq(idle.kind, IDLE_BACKOFF);
    cr_assert_eq(idle.park_max_ns, 2000000);
    free(conf);
    free(options);
}

Test(archive_conf, what_cannot_be_served_is_refused_by_name) {
    static const struct {
        const char *setting;
        const char *wanted; /* in the errors; NULL: accepted */
    } cases[] = {
        {"AERON_ARCHIVE_THREADING_MODE=DEDICATED", "threading_mode"},
        {"AERON_ARCHIVE_AUTHENTICATOR_SUPPLIER=x.y.Z", "authenticator_supplier"},
        {"AERON_ARCHIVE_CONTROL_CHANNEL=aeron:ipc", "control_channel"},
        {"AERON_ARCHIVE_LOCAL_CONTROL_CHANNEL=aeron:udp?endpoint=a:1", "local_control_channel"},
        {"AERON_ARCHIVE_CONTROL_CHANNEL_ENABLED=false", "control_response_channel"},
        {"AERON_ARCHIVE_RECORDING_EVENTS_ENABLED=true", "recording_events_channel"},
        {"AERON_ARCHIVE_FILE_SYNC_LEVEL=1", "catalog_file_sync_level"},
        {"AERON_ARCHIVE_SEGMENT_FILE_LENGTH=100000", "segment_file_length"},
        {"AERON_ARCHIVE_IDLE_STRATEGY=dreaming", "idle_strategy"},
        {"AERON_ARCHIVE_REPLICATION_CHANNEL=nonsense", "replication_channel"},
        {"AERON_ARCHIVE_RECORD_CHECKSUM=MD5", "record_checksum"},
        {"AERON_ARCHIVE_RECORD_CHECKSUM=crc-32c", NULL},
        {"AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=2", NULL},
        {"AERON_ARCHIVE_IDLE_STRATEGY=yield", NULL},
    };
    struct archive_conf *conf = calloc(1, sizeof *conf);
    struct options *options = calloc(1, sizeof *options);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *environment[] = {(char *)cases[i].setting, NULL};
        int errors = load(conf, options, environment);
        cr_assert_eq(errors, cases[i].wanted != NULL, "%s: %s", cases[i].setting, options->errors);
        cr_assert(cases[i].wanted == NULL || strstr(options->errors, cases[i].wanted) != NULL, "%s",
                  options->errors);
    }
    free(conf);
    free(options);
}

Test(archive_conf, every_option_of_the_original_is_used_or_refused) {
    static const char *const names[] = {
        "AERON_ARCHIVE_DIR",
        "AERON_ARCHIVE_MARK_FILE_DIR",
        "AERON_ARCHIVE_DIR_DELETE_ON_START",
        "AERON_ARCHIVE_ID",
        "AERON_ARCHIVE_CONTROL_CHANNEL_ENABLED",
        "AERON_ARCHIVE_CONTROL_RESPONSE_CHANNEL",
        "AERON_ARCHIVE_CONTROL_CHANNEL",
        "AERON_ARCHIVE_CONTROL_STREAM_ID",
        "AERON_ARCHIVE_LOCAL_CONTROL_CHANNEL",
        "AERON_ARCHIVE_LOCAL_CONTROL_STREAM_ID",
        "AERON_ARCHIVE_CONTROL_TERM_BUFFER_LENGTH",
        "AERON_ARCHIVE_CONTROL_TERM_BUFFER_SPARSE",
        "AERON_ARCHIVE_CONTROL_MTU_LENGTH",
        "AERON_ARCHIVE_RECORDING_EVENTS_ENABLED",
        "AERON_ARCHIVE_RECORDING_EVENTS_CHANNEL",
        "AERON_ARCHIVE_RECORDING_EVENTS_STREAM_ID",
        "AERON_ARCHIVE_REPLICATION_CHANNEL",
        "AERON_ARCHIVE_CONNECT_TIMEOUT",
        "AERON_ARCHIVE_SESSION_LIVENESS_CHECK_INTERVAL",
        "AERON_ARCHIVE_REPLAY_LINGER_TIMEOUT",
        "AERON_ARCHIVE_SEGMENT_FILE_LENGTH",
        "AERON_ARCHIVE_LOW_STORAGE_SPACE_THRESHOLD",
        "AERON_ARCHIVE_FILE_SYNC_LEVEL",
        "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL",
        "AERON_ARCHIVE_CATALOG_CAPACITY",
        "AERON_ARCHIVE_MAX_CATALOG_ENTRIES",
        "AERON_ARCHIVE_FILE_IO_MAX_LENGTH",
        "AERON_ARCHIVE_MAX_CONCURRENT_RECORDINGS",
        "AERON_ARCHIVE_MAX_CONCURRENT_REPLAYS",
        "AERON_ARCHIVE_THREADING_MODE",
        "AERON_ARCHIVE_IDLE_STRATEGY",
        "AERON_ARCHIVE_RECORDER_IDLE_STRATEGY",
        "AERON_ARCHIVE_REPLAYER_IDLE_STRATEGY",
        "AERON_ARCHIVE_CONDUCTOR_CYCLE_THRESHOLD",
        "AERON_ARCHIVE_AUTHENTICATOR_SUPPLIER",
        "AERON_ARCHIVE_AUTHORISATION_SERVICE_SUPPLIER",
        "AERON_ARCHIVE_ERROR_BUFFER_LENGTH",
        "AERON_ARCHIVE_RECORD_CHECKSUM",
        "AERON_ARCHIVE_REPLAY_CHECKSUM",
        "AERON_PRINT_CONFIGURATION",
        "AERON_DIR",
        "AERON_DRIVER_TIMEOUT",
        "AERON_ARCHIVE_MESSAGE_TIMEOUT",
        "AERON_ARCHIVE_MESSAGE_RETRY_ATTEMPTS",
        "AERON_ARCHIVE_CONTROL_RESPONSE_STREAM_ID",
        "AERON_ARCHIVE_CLIENT_NAME",
    };
    expect_option_names(&archive_option_table, names, sizeof names / sizeof names[0]);
}

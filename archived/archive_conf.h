/* The configuration of archived: one row per option of archive.md 7.1, plus what its own archive
 * client (for replications) takes from 7.2. Filled once before anything runs, then read only. */
#ifndef TERN_ARCHIVED_ARCHIVE_CONF_H
#define TERN_ARCHIVED_ARCHIVE_CONF_H

#include "archived/checksum.h"
#include "base/agent.h"
#include "daemon/options.h"

enum archive_threading { ARCHIVE_THREADING_SHARED, ARCHIVE_THREADING_INVOKER };
enum archive_authorisation { ARCHIVE_ALLOW_ALL, ARCHIVE_DENY_ALL };

struct archive_conf {
    int profile; /* has done its work when the file is read */
    int log_level;
    bool print_configuration;
    char aeron_dir[OPTION_TEXT_MAX];
    int64_t driver_timeout_ns;

    char dir[OPTION_TEXT_MAX];
    char mark_file_dir[OPTION_TEXT_MAX]; /* empty: dir */
    bool dir_delete_on_start;
    int64_t archive_id; /* -1: the client's id */

    bool control_channel_enabled;
    char control_channel[OPTION_TEXT_MAX];
    int32_t control_stream_id;
    char local_control_channel[OPTION_TEXT_MAX];
    int32_t local_control_stream_id;
    int32_t control_term_length;
    bool control_term_sparse;
    int32_t control_mtu_length;
    char control_response_channel[OPTION_TEXT_MAX]; /* of replications; empty: derived */
    int32_t control_response_stream_id;
    int64_t message_timeout_ns;
    char client_name[128];

    bool events_enabled;
    char events_channel[OPTION_TEXT_MAX];
    int32_t events_stream_id;

    char replication_channel[OPTION_TEXT_MAX];

    int64_t connect_timeout_ns;
    int64_t liveness_interval_ns;
    int64_t replay_linger_ns;

    int32_t segment_length;
    int64_t storage_threshold;
    int file_sync_level;
    int catalog_sync_level;
    int64_t catalog_capacity;
    int32_t io_length_max;
    int recordings_max;
    int replays_max;
    int threading; /* enum archive_threading */
    char idle_name[64];
    char idle_arguments[64];
    int64_t cycle_threshold_ns;
    int authorisation; /* enum archive_authorisation */
    int32_t error_log_length;
    int record_checksum; /* enum checksum_kind */
    int replay_checksum;
};

extern const struct option_table archive_option_table;

/* The directory of the mark file. */
const char *archive_conf_mark_dir(const struct archive_conf *conf);

/* The strategy of conf->idle_name; the table's check has made sure that it is one. */
struct idle_strategy archive_conf_idle(const struct archive_conf *conf);

#endif

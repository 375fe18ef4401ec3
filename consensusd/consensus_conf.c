/* The option table of consensusd. Aeron's names are the properties of cluster.md 8.1 in upper case
 * with dots as underscores. What a later version brings is refused by name when it is set to
 * anything but its default. Two defaults differ from the original on purpose: heartbeat and
 * election time-outs are 1 s and 500 ms instead of 10 s and 1 s.
 */
#include "consensusd/consensus_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uri.h"
#include "daemon/logger.h"
#include "daemon/option_rows.h"

#define STORE(member) OPTION_STORE(struct consensus_conf, member)
#define CANVASS_HEARTBEATS_MIN 2

static const char *const clock_names[] = {"milliseconds", "nanoseconds", NULL};
static const char *const authorisation_names[] = {"DEFAULT", "ALLOW_ALL", "DENY_ALL", NULL};

/* The names of the original's classes too: they are what its deployments set. */
static const char *const timer_service_names[] = {
    "wheel",
    "priority_heap",
    "io.aeron.cluster.WheelTimerServiceSupplier",
    "io.aeron.cluster.PriorityHeapTimerServiceSupplier",
    NULL,
};

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
    PATH("cluster_dir", "AERON_CLUSTER_DIR", cluster_dir, "aeron-cluster", 0,
         "Directory of recording.log, node-state.dat and the mark files."),
    PATH("mark_file_dir", "AERON_CLUSTER_MARK_FILE_DIR", mark_file_dir, "", 0,
         "Directory of the mark file; empty means cluster_dir."),
    PATH("services_dir", "AERON_CLUSTER_SERVICES_DIR", services_dir, "", 0,
         "Where tools find the mark files of the services; empty means cluster_dir."),
    STREAM("cluster_id", "AERON_CLUSTER_ID", cluster_id, "0",
           "Tells several clusters on one driver apart."),
    I32("member_id", "AERON_CLUSTER_MEMBER_ID", member_id, "0", 0, INT32_MAX,
        "Which of the members this node is."),
    CHANNEL("members", "AERON_CLUSTER_MEMBERS", members, "",
            "id,ingress,consensus,log,catchup,archive of each member, joined by |."),
    TEXT("member_endpoints", "AERON_CLUSTER_MEMBER_ENDPOINTS", member_endpoints, "",
         "The own five endpoints once more, as a check; empty means no check."),
    I32("appointed_leader_id", "AERON_CLUSTER_APPOINTED_LEADER_ID", appointed_leader_id, "-1", -1,
        INT32_MAX, "Only this member stands for election; -1 means any."),
    CHANNEL("ingress_channel", "AERON_CLUSTER_INGRESS_CHANNEL", ingress_channel, "aeron:udp",
            "Channel of client messages; without endpoint the member's own is used."),
    STREAM("ingress_stream_id", "AERON_CLUSTER_INGRESS_STREAM_ID", ingress_stream_id, "101",
           "Stream of client messages."),
    I32("ingress_fragment_limit", "AERON_CLUSTER_INGRESS_FRAGMENT_LIMIT", ingress_fragment_limit,
        "50", 1, 10000, "Fragments of ingress that one duty cycle takes at most."),
    BOOL("ingress_ipc_allowed", "AERON_CLUSTER_INGRESS_IPC_ALLOWED", is_ingress_ipc_allowed,
         "false", "Whether clients on the leader's own driver may use IPC."),
    TEXT("egress_channel", "AERON_CLUSTER_EGRESS_CHANNEL", egress_channel, "",
         "Parameters that override those of the clients' response channels."),
    CHANNEL("log_channel", "AERON_CLUSTER_LOG_CHANNEL", log_channel, "aeron:udp?term-length=64m",
            "Channel of the log; must not say term ids."),
    STREAM("log_stream_id", "AERON_CLUSTER_LOG_STREAM_ID", log_stream_id, "100",
           "Stream of the log."),
    I32("log_fragment_limit", "AERON_CLUSTER_LOG_FRAGMENT_LIMIT", log_fragment_limit, "50", 1,
        10000, "Fragments of the log that one duty cycle consumes at most."),
    CHANNEL("replay_channel", "AERON_CLUSTER_REPLAY_CHANNEL", replay_channel, "aeron:ipc",
            "Channel for replays of log and snapshots."),
    STREAM("replay_stream_id", "AERON_CLUSTER_REPLAY_STREAM_ID", replay_stream_id, "103",
           "Stream for replays of log and snapshots."),
    CHANNEL("control_channel", "AERON_CLUSTER_CONTROL_CHANNEL", control_channel,
            "aeron:ipc?term-length=128k", "Channel between consensus module and services."),
    STREAM("service_stream_id", "AERON_CLUSTER_SERVICE_STREAM_ID", service_stream_id, "104",
           "Control stream to the services."),
    STREAM("consensus_module_stream_id", "AERON_CLUSTER_CONSENSUS_MODULE_STREAM_ID",
           consensus_module_stream_id, "105", "Control stream to the consensus module."),
    CHANNEL("snapshot_channel", "AERON_CLUSTER_SNAPSHOT_CHANNEL", snapshot_channel,
            "aeron:ipc?alias=snapshot", "Channel on which snapshots are recorded."),
    STREAM("snapshot_stream_id", "AERON_CLUSTER_SNAPSHOT_STREAM_ID", snapshot_stream_id, "107",
           "Stream on which snapshots of the consensus module are recorded."),
    CHANNEL("consensus_channel", "AERON_CLUSTER_CONSENSUS_CHANNEL", consensus_channel, "aeron:udp",
            "Channel between members; without endpoint the member's own is used."),
    STREAM("consensus_stream_id", "AERON_CLUSTER_CONSENSUS_STREAM_ID", consensus_stream_id, "108",
           "Stream between members."),
    CHANNEL("replication_channel", "AERON_CLUSTER_REPLICATION_CHANNEL", replication_channel,
            "aeron:udp?endpoint=localhost:0",
            "Channel on which the archive receives what it copies from other members."),
    CHANNEL("follower_catchup_channel", "AERON_CLUSTER_FOLLOWER_CATCHUP_CHANNEL",
            follower_catchup_channel, "aeron:udp",
            "Channel on which a leader replays its log to a follower."),
    CHANNEL("leader_archive_control_channel", "AERON_CLUSTER_LEADER_ARCHIVE_CONTROL_CHANNEL",
            leader_archive_control_channel, "aeron:udp?term-length=64k",
            "Control channel to other members' archives; the endpoint is added."),
    I32("service_count", "AERON_CLUSTER_SERVICE_COUNT", service_count, "1", 1,
        CONSENSUS_SERVICES_MAX, "Number of services on each node."),
    I32("max_sessions", "AERON_CLUSTER_MAX_SESSIONS", sessions_max, "10", 1, CONSENSUS_SESSIONS_MAX,
        "Client sessions at the same time."),
    I32("max_timers", "TERN_CLUSTER_MAX_TIMERS", timers_max, "1048576", 1, 1 << 26,
        "Timers of all services at the same time, each of some 80 bytes when it is used; a "
        "service that asks for more has to wait, and a node ends that cannot take a snapshot "
        "or elect a leader because of it."),
    ENUM("timer_service", "AERON_CLUSTER_TIMER_SERVICE_SUPPLIER", timer_service, "wheel",
         timer_service_names,
         "Has no effect: timers fire in the order of their deadlines, those of one deadline in "
         "the order of their ids, whichever is named."),
    TIMEOUT("wheel_tick_resolution", "AERON_CLUSTER_WHEEL_TICK_RESOLUTION",
            wheel_tick_resolution_ns, "8ms",
            "Has no effect: there is no timer wheel, and timers are as precise as the duty cycle."),
    {.key = "ticks_per_wheel",
     .env = "AERON_CLUSTER_TICKS_PER_WHEEL",
     STORE(ticks_per_wheel),
     .type = OPTION_I32,
     .flags = OPTION_POWER_OF_TWO,
     .default_text = "128",
     .min = 1,
     .max = 1 << 26,
     .doc = "Has no effect, but must be a power of two: there is no timer wheel."},
    TIMEOUT("session_timeout", "AERON_CLUSTER_SESSION_TIMEOUT", session_timeout_ns, "10s",
            "A client session that says nothing for so long is closed."),
    TIMEOUT("leader_heartbeat_timeout", "AERON_CLUSTER_LEADER_HEARTBEAT_TIMEOUT",
            leader_heartbeat_timeout_ns, "1s",
            "Silence after which a leader or follower is given up (Aeron: 10s)."),
    TIMEOUT("leader_heartbeat_interval", "AERON_CLUSTER_LEADER_HEARTBEAT_INTERVAL",
            leader_heartbeat_interval_ns, "200ms", "Period of the leader's heartbeats."),
    TIMEOUT("startup_canvass_timeout", "AERON_CLUSTER_STARTUP_CANVASS_TIMEOUT",
            startup_canvass_timeout_ns, "60s",
            "How long a starting node waits for all members before a quorum is enough."),
    TIMEOUT("election_timeout", "AERON_CLUSTER_ELECTION_TIMEOUT", election_timeout_ns, "500ms",
            "How long a ballot stays open (Aeron: 1s)."),
    TIMEOUT("election_status_interval", "AERON_CLUSTER_ELECTION_STATUS_INTERVAL",
            election_status_interval_ns, "100ms", "Period of messages in an election."),
    TIMEOUT("termination_timeout", "AERON_CLUSTER_TERMINATION_TIMEOUT", termination_timeout_ns,
            "10s", "How long a leader that ends the cluster waits for the others."),
    TIMEOUT("cycle_threshold", "AERON_CLUSTER_CYCLE_THRESHOLD", cycle_threshold_ns, "100ms",
            "Longer duty cycles are counted."),
    TIMEOUT("total_snapshot_threshold", "AERON_CLUSTER_TOTAL_SNAPSHOT_THRESHOLD",
            snapshot_threshold_ns, "1s", "Snapshots that take longer are counted."),
    SIZE("error_buffer_length", "AERON_CLUSTER_ERROR_BUFFER_LENGTH", error_buffer_length, "1m",
         1 << 20, INT32_MAX - 8192, 0, "Length of the error log in the mark file."),
    ENUM("clock", "AERON_CLUSTER_CLOCK", clock, "milliseconds", clock_names,
         "Unit of the timestamps in the log; the same on all members."),
    ENUM("authorisation_service", "AERON_CLUSTER_AUTHORISATION_SERVICE_SUPPLIER", authorisation,
         "DEFAULT", authorisation_names,
         "Who may ask for snapshots by client message: nobody (DEFAULT, DENY_ALL) or all."),
    BOOL("consensus_control_enable", "AERON_CLUSTER_CONSENSUS_CONTROL_ENABLE",
         is_consensus_control_enabled, "true",
         "Bind the socket of outgoing consensus messages to the own consensus host."),
    BOOL("log_control_enable", "AERON_CLUSTER_LOG_CONTROL_ENABLE", is_log_control_enabled, "true",
         "Bind the socket of the outgoing log to the own log host."),
    TEXT("app_version", "TERN_CLUSTER_APP_VERSION", app_version_text, "0.0.1",
         "Version of the application; members of another major version are refused."),
    TEXT("idle_strategy", "AERON_CLUSTER_IDLE_STRATEGY", idle_strategy, "backoff",
         "How the thread waits: backoff, sleeping, yield, spin or noop."),
    CHANNEL("archive_control_channel", "AERON_ARCHIVE_LOCAL_CONTROL_CHANNEL",
            archive_control_channel, "aeron:ipc?term-length=64k",
            "Control channel of the archive of this node."),
    STREAM("archive_control_stream_id", "AERON_ARCHIVE_LOCAL_CONTROL_STREAM_ID",
           archive_control_stream_id, "10", "Control stream of the archive of this node."),
    TIMEOUT("archive_message_timeout", "AERON_ARCHIVE_MESSAGE_TIMEOUT", archive_message_timeout_ns,
            "10s", "How long the archive may take for an answer."),
    LOGGER_LEVEL_OPTION(struct consensus_conf, log_level),
    I32("file_sync_level", "AERON_CLUSTER_FILE_SYNC_LEVEL", file_sync_level, "2", 0, 2,
        "The least that node-state.dat and recording.log are synced: 0 not at all, 1 data, 2 "
        "data and metadata. They always are as by 2, so that no vote is ever given twice."),
    NOT_YET("authenticator", "AERON_CLUSTER_AUTHENTICATOR_SUPPLIER", "",
            "Checks clients' credentials; not yet: every client is let in."),
    NOT_YET("accept_standby_snapshots", "AERON_CLUSTER_ACCEPT_STANDBY_SNAPSHOTS", "false",
            "Take over snapshots of standby nodes; not yet."),
    NOT_YET("standby_notification_delay",
            "AERON_CLUSTER_STANDBY_SNAPSHOT_NOTIFICATION_PROCESSING_DELAY", "0",
            "Delay of notifications of standby nodes; not yet."),
    NOT_YET("agent_role_name", "AERON_CLUSTER_CONSENSUS_MODULE_AGENT_ROLE_NAME", "",
            "Name of the thread in the Java implementation; has no meaning here."),
    NOT_YET("extension", "AERON_CLUSTER_CONSENSUS_MODULE_EXTENSION", "",
            "Names a class of the Java implementation; has no meaning here."),
};

static void check_channels(const struct consensus_conf *conf, struct options *options) {
    options_check_channel(options, "ingress_channel", conf->ingress_channel);
    options_check_channel(options, "log_channel", conf->log_channel);
    options_check_channel(options, "replay_channel", conf->replay_channel);
    options_check_channel(options, "control_channel", conf->control_channel);
    options_check_channel(options, "snapshot_channel", conf->snapshot_channel);
    options_check_channel(options, "consensus_channel", conf->consensus_channel);
    options_check_channel(options, "replication_channel", conf->replication_channel);
    options_check_channel(options, "follower_catchup_channel", conf->follower_catchup_channel);
    options_check_channel(options, "leader_archive_control_channel",
                          conf->leader_archive_control_channel);
    options_check_channel(options, "archive_control_channel", conf->archive_control_channel);
    options_check_channel(options, "egress_channel", conf->egress_channel);
}

static void check_log_channel(const struct consensus_conf *conf, struct options *options) {
    static const char *const forbidden[] = {"init-term-id", "term-id", "term-offset"};
    struct uri uri;
    if (uri_parse(&uri, conf->log_channel, (int32_t)strlen(conf->log_channel), NULL) != 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(forbidden); i++) {
        if (uri_get(&uri, forbidden[i]) != NULL) {
            options_refuse(options, "log_channel", "must not contain %s: the log says where it is",
                           forbidden[i]);
        }
    }
}

static void check_members(const struct consensus_conf *conf, struct options *options) {
    struct members members;
    struct tern_error error;
    if (members_parse(&members, conf->members, &error) != 0) {
        options_refuse(options, "members", "%s", error.text);
        return;
    }
    int32_t own = members_index(&members, conf->member_id);
    if (own < 0) {
        options_refuse(options, "member_id", "is not in the list of members");
        return;
    }
    if (conf->appointed_leader_id >= 0 && members_index(&members, conf->appointed_leader_id) < 0) {
        options_refuse(options, "appointed_leader_id", "is not in the list of members");
    }
    if (conf->member_endpoints[0] != '\0' &&
        members_check_own(&members.list[own], conf->member_endpoints, &error) != 0) {
        options_refuse(options, "member_endpoints", "%s", error.text);
    }
}

static void check(const void *checked, struct options *options) {
    const struct consensus_conf *conf = checked;
    check_channels(conf, options);
    check_log_channel(conf, options);
    check_members(conf, options);
    if (conf->startup_canvass_timeout_ns / conf->leader_heartbeat_timeout_ns <
        CANVASS_HEARTBEATS_MIN) {
        options_refuse(options, "startup_canvass_timeout",
                       "must be at least twice leader_heartbeat_timeout");
    }
    if (conf->leader_heartbeat_interval_ns >= conf->leader_heartbeat_timeout_ns) {
        options_refuse(options, "leader_heartbeat_interval",
                       "must be shorter than leader_heartbeat_timeout");
    }
    if (option_parse_version(conf->app_version_text) <= 0) {
        options_refuse(options, "app_version", "is not major.minor.patch, each 0..255");
    }
    options_check_idle(options, "idle_strategy", conf->idle_strategy, NULL);
}

const struct option_table consensus_option_table = {
    .daemon = "consensusd",
    .summary = "the consensus module of a cluster node: elects, orders, commits",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .conf_size = sizeof(struct consensus_conf),
    .check = check,
};

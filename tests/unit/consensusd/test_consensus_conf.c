#include <criterion/criterion.h>
#include <string.h>

#include "consensusd/consensus_conf.h"
#include "lib/option_names.h"

#define MEMBERS "0,a:2,a:3,a:4,a:5,a:1|1,b:2,b:3,b:4,b:5,b:1"

Test(consensus_conf, table_is_sound) {
    struct tern_error error = {0};
    cr_assert_eq(option_table_check(&consensus_option_table, &error), 0, "%s", error.text);
}

Test(consensus_conf, environment_is_read_and_what_cannot_be_is_refused_by_name) {
    static struct options options;
    static struct consensus_conf conf;
    char members[] = "AERON_CLUSTER_MEMBERS=" MEMBERS;
    struct {
        char *variable;
        const char *said; /* NULL: accepted */
    } cases[] = {
        {"AERON_CLUSTER_LEADER_HEARTBEAT_TIMEOUT=10s", NULL},
        {"AERON_CLUSTER_MEMBER_ID=1", NULL},
        {"AERON_CLUSTER_CLOCK=nanoseconds", NULL},
        {"AERON_CLUSTER_MEMBER_ID=7", "member_id"},
        {"AERON_CLUSTER_MEMBERS=0,a:2", "members"},
        {"AERON_CLUSTER_STARTUP_CANVASS_TIMEOUT=1500ms", "startup_canvass_timeout"},
        {"AERON_CLUSTER_LOG_CHANNEL=aeron:udp?term-id=3", "log_channel"},
        {"AERON_CLUSTER_INGRESS_CHANNEL=nonsense", "ingress_channel"},
        {"AERON_CLUSTER_MEMBER_ENDPOINTS=b:2,b:3,b:4,b:5,b:1", "member_endpoints"},
        {"AERON_CLUSTER_APPOINTED_LEADER_ID=5", "appointed_leader_id"},
        {"AERON_CLUSTER_SERVICE_COUNT=0", "service_count"},
        {"AERON_CLUSTER_SERVICE_COUNT=11", "service_count"},
        {"AERON_CLUSTER_TICKS_PER_WHEEL=100", "ticks_per_wheel"},
        {"AERON_CLUSTER_TIMER_SERVICE_SUPPLIER=com.example.Mine", "timer_service"},
        {"AERON_CLUSTER_AUTHENTICATOR_SUPPLIER=com.example.Mine", "authenticator"},
        {"AERON_CLUSTER_ACCEPT_STANDBY_SNAPSHOTS=true", "accept_standby_snapshots"},
        {"TERN_CLUSTER_APP_VERSION=1.2", "app_version"},
        {"AERON_CLUSTER_LEADER_HEARTBEAT_INTERVAL=2s", "leader_heartbeat_interval"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *environment[] = {cases[i].variable, members, NULL};
        int errors = options_load(&options, &consensus_option_table, &conf, NULL, environment);
        if (cases[i].said == NULL) {
            cr_assert_eq(errors, 0, "%s: %s", cases[i].variable, options.errors);
        } else {
            cr_assert_neq(strstr(options.errors, cases[i].said), NULL, "%s: %s", cases[i].variable,
                          options.errors);
        }
    }
    char *environment[] = {members, NULL};
    cr_assert_eq(options_load(&options, &consensus_option_table, &conf, NULL, environment), 0);
    cr_assert_eq(conf.leader_heartbeat_timeout_ns, 1000000000);
    cr_assert_eq(conf.election_timeout_ns, 500000000);
    cr_assert_eq(conf.sessions_max, 10);
    cr_assert_null(strchr(conf.aeron_dir, '{'), "%s: not that of the user", conf.aeron_dir);
}

Test(consensus_conf, every_option_of_the_original_is_used_or_refused) {
    static const char *const names[] = {
        "AERON_CLUSTER_DIR",
        "AERON_CLUSTER_MARK_FILE_DIR",
        "AERON_CLUSTER_SERVICES_DIR",
        "AERON_CLUSTER_ID",
        "AERON_CLUSTER_MEMBER_ID",
        "AERON_CLUSTER_MEMBERS",
        "AERON_CLUSTER_MEMBER_ENDPOINTS",
        "AERON_CLUSTER_APPOINTED_LEADER_ID",
        "AERON_CLUSTER_INGRESS_CHANNEL",
        "AERON_CLUSTER_INGRESS_STREAM_ID",
        "AERON_CLUSTER_INGRESS_FRAGMENT_LIMIT",
        "AERON_CLUSTER_INGRESS_IPC_ALLOWED",
        "AERON_CLUSTER_EGRESS_CHANNEL",
        "AERON_CLUSTER_LOG_CHANNEL",
        "AERON_CLUSTER_LOG_STREAM_ID",
        "AERON_CLUSTER_LOG_FRAGMENT_LIMIT",
        "AERON_CLUSTER_REPLAY_CHANNEL",
        "AERON_CLUSTER_CONTROL_CHANNEL",
        "AERON_CLUSTER_SERVICE_STREAM_ID",
        "AERON_CLUSTER_SNAPSHOT_CHANNEL",
        "AERON_CLUSTER_SNAPSHOT_STREAM_ID",
        "AERON_CLUSTER_CONSENSUS_CHANNEL",
        "AERON_CLUSTER_REPLICATION_CHANNEL",
        "AERON_CLUSTER_FOLLOWER_CATCHUP_CHANNEL",
        "AERON_CLUSTER_LEADER_ARCHIVE_CONTROL_CHANNEL",
        "AERON_CLUSTER_SERVICE_COUNT",
        "AERON_CLUSTER_MAX_SESSIONS",
        "AERON_CLUSTER_SESSION_TIMEOUT",
        "AERON_CLUSTER_LEADER_HEARTBEAT_TIMEOUT",
        "AERON_CLUSTER_LEADER_HEARTBEAT_INTERVAL",
        "AERON_CLUSTER_STARTUP_CANVASS_TIMEOUT",
        "AERON_CLUSTER_ELECTION_TIMEOUT",
        "AERON_CLUSTER_ELECTION_STATUS_INTERVAL",
        "AERON_CLUSTER_TERMINATION_TIMEOUT",
        "AERON_CLUSTER_CYCLE_THRESHOLD",
        "AERON_CLUSTER_TOTAL_SNAPSHOT_THRESHOLD",
        "AERON_CLUSTER_STANDBY_SNAPSHOT_NOTIFICATION_PROCESSING_DELAY",
        "AERON_CLUSTER_ACCEPT_STANDBY_SNAPSHOTS",
        "AERON_CLUSTER_WHEEL_TICK_RESOLUTION",
        "AERON_CLUSTER_TIMER_SERVICE_SUPPLIER",
        "AERON_CLUSTER_FILE_SYNC_LEVEL",
        "AERON_CLUSTER_ERROR_BUFFER_LENGTH",
        "AERON_CLUSTER_CLOCK",
        "AERON_CLUSTER_IDLE_STRATEGY",
        "AERON_CLUSTER_AUTHENTICATOR_SUPPLIER",
        "AERON_CLUSTER_AUTHORISATION_SERVICE_SUPPLIER",
        "AERON_CLUSTER_CONSENSUS_CONTROL_ENABLE",
        "AERON_CLUSTER_CONSENSUS_MODULE_AGENT_ROLE_NAME",
        "AERON_CLUSTER_CONSENSUS_MODULE_EXTENSION",
        "AERON_CLUSTER_REPLAY_STREAM_ID",
        "AERON_CLUSTER_CONSENSUS_MODULE_STREAM_ID",
        "AERON_CLUSTER_CONSENSUS_STREAM_ID",
        "AERON_CLUSTER_TICKS_PER_WHEEL",
        "AERON_CLUSTER_LOG_CONTROL_ENABLE",
    };
    expect_option_names(&consensus_option_table, names, sizeof names / sizeof names[0]);
}

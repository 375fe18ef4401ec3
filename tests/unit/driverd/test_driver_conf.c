/* The driver's option table: sound in itself, complete defaults, refusals that name what is wrong.
 */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "daemon/options.h"
#include "driverd/driver_conf.h"
#include "lib/option_names.h"

static int load(struct driver_conf *conf, struct options *options, char *variable) {
    char *environment[] = {variable, NULL};
    return options_load(options, &driver_option_table, conf, NULL, environment);
}

Test(driver_conf, table_and_defaults_are_sound) {
    struct tern_error error = {0};
    struct driver_conf conf;
    cr_assert(option_table_check(&driver_option_table, &error) == 0, "%s", error.text);
    driver_conf_defaults(&conf);
    cr_assert(conf.mtu_length == 1408);
    cr_assert(conf.conductor_buffer_length == 1049344);
    cr_assert(conf.clients_buffer_length == 1048704);
    cr_assert(conf.threading == DRIVER_THREADING_SHARED);
    cr_assert(conf.driver_timeout_ns == 10000000000);
    cr_assert(driver_conf_untethered_linger_ns(&conf) == 5000000000);
    int64_t tag;
    cr_assert(!driver_conf_receiver_group_tag(&conf, &tag));
}

Test(driver_conf, profiles_and_environment_change_values) {
    static struct driver_conf conf;
    static struct options options;
    cr_assert(load(&conf, &options, "TERN_DRIVER_PROFILE=lowlatency") == 0);
    cr_assert(conf.threading == DRIVER_THREADING_DEDICATED);
    cr_assert(!conf.term_buffer_sparse);
    cr_assert(load(&conf, &options, "AERON_DRIVER_TIMEOUT=2500") == 0);
    cr_assert(conf.driver_timeout_ns == 2500000000, "a bare number is in ms");
    cr_assert(load(&conf, &options, "AERON_UNTETHERED_LINGER_TIMEOUT=7s") == 0);
    cr_assert(driver_conf_untethered_linger_ns(&conf) == 7000000000);
    cr_assert(load(&conf, &options, "AERON_RECEIVER_GROUP_TAG=-9") == 0);
    int64_t tag = 0;
    cr_assert(driver_conf_receiver_group_tag(&conf, &tag) && tag == -9);
}

Test(driver_conf, flow_control_may_be_named_as_the_java_implementation_does) {
    static struct driver_conf conf;
    static struct options options;
    cr_assert(load(&conf, &options, "AERON_MULTICAST_FLOWCONTROL_SUPPLIER=multicast_min") == 0);
    cr_assert_str_eq(driver_conf_flow_control(&conf, true), "multicast_min");
    cr_assert_str_eq(driver_conf_flow_control(&conf, false), "unicast_max");
    static char class[] = "AERON_MULTICAST_FLOW_CONTROL_STRATEGY="
                          "io.aeron.driver.TaggedMulticastFlowControl";
    cr_assert(load(&conf, &options, class) == 0, "%s", options.errors);
    cr_assert_str_eq(driver_conf_flow_control(&conf, true), strchr(class, '=') + 1);
    static char supplier[] = "AERON_UNICAST_FLOWCONTROL_SUPPLIER="
                             "io.aeron.driver.DefaultUnicastFlowControlSupplier";
    cr_assert(load(&conf, &options, supplier) == 0, "%s", options.errors);
}

Test(driver_conf, bad_and_unsupported_values_are_refused_by_name) {
    static char *const variables[] = {
        "AERON_TERM_BUFFER_LENGTH=100000",
        "AERON_TERM_BUFFER_LENGTH=2g",
        "AERON_IPC_TERM_BUFFER_LENGTH=70000",
        "AERON_MTU_LENGTH=1000",
        "AERON_FILE_PAGE_SIZE=5000",
        "AERON_PUBLICATION_UNBLOCK_TIMEOUT=5s",
        "AERON_CLIENT_LIVENESS_TIMEOUT=1s", /* not above timer_interval */
        "AERON_CONDUCTOR_BUFFER_LENGTH=1100000",
        "AERON_CLIENTS_BUFFER_LENGTH=1m",
        "AERON_THREADING_MODE=MANY",
        "AERON_SHARED_IDLE_STRATEGY=nap",
        "AERON_PUBLICATION_RESERVED_SESSION_ID_LOW=2000",
        "AERON_SENDER_WILDCARD_PORT_RANGE=9 5",
        "AERON_RECEIVER_GROUP_TAG=red",
        "AERON_UNTETHERED_LINGER_TIMEOUT=1ms",
        "AERON_MULTICAST_FLOWCONTROL_SUPPLIER=multicast_fancy",
        "AERON_FLOW_CONTROL_GROUP_TAG=red",
        "AERON_SOCKET_MULTICAST_TTL=256",
        "AERON_CUBICCONGESTIONCONTROL_INITIALRTT=0",
        "AERON_CONGESTIONCONTROL_SUPPLIER=warp",
        "AERON_COUNTERS_BUFFER_LENGTH=500m", /* cnc.dat above 2^31-1 */
        "AERON_UNICAST_FLOW_CONTROL_STRATEGY=com.example.Mine",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY=nap",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_CPU_AFFINITY=256",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA=dpdk",
        "AERON_SENDCHANNELENDPOINT_SUPPLIER=com.example.Mine",
        "AERON_EVENT_LOG=0xffff",
        "AERON_UDP_CHANNEL_OUTGOING_INTERCEPTORS=gain",
        "AERON_DEBUG_SEND_DATA_LOSS_RATE=1.5",
        "AERON_EVENT_LOG_DISABLE=FRAME_SIDEWAYS",
    };
    static struct driver_conf conf;
    static struct options options;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s", variables[i]);
        cr_assert(load(&conf, &options, text) > 0, "%s", variables[i]);
        *strchr(text, '=') = '\0';
        cr_assert(strstr(options.errors, text) != NULL, "%s: %s", variables[i], options.errors);
    }
}

Test(driver_conf, other_ways_to_resolve_names_need_their_arguments) {
    static char name[] = "AERON_DRIVER_RESOLVER_NAME=node0";
    static char interface[] = "AERON_DRIVER_RESOLVER_INTERFACE=0.0.0.0:8050";
    static char supplier[] = "AERON_NAME_RESOLVER_SUPPLIER=driver";
    static char neighbors[] = "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR=a:8050, 10.0.0.1:8050";
    static char damaged[] = "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR=a:8050,b";
    static char no_address[] = "AERON_DRIVER_RESOLVER_INTERFACE=here:8050";
    static char table[] = "AERON_NAME_RESOLVER_SUPPLIER=csv_table";
    static char rows_of_table[] = "AERON_NAME_RESOLVER_INIT_ARGS=a,10.0.0.1,10.0.0.2";
    static char other_rows[] = "AERON_NAME_RESOLVER_CSV_LOOKUP_TABLE_ARGS=a,b,c|d,e,f";
    static char damaged_rows[] = "AERON_NAME_RESOLVER_INIT_ARGS=a,b";
    static const struct {
        char *environment[5];
        const char *refused; /* NULL: fine */
    } cases[] = {
        {{name}, NULL}, /* a label of a counter */
        {{name, interface}, NULL},
        {{name, interface, supplier, neighbors}, NULL},
        {{interface}, "driver_resolver_name"},
        {{supplier, interface}, "driver_resolver_name"},
        {{supplier, name}, "driver_resolver_interface"},
        {{neighbors}, "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR"},
        {{name, interface, damaged}, "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR"},
        {{name, no_address}, "AERON_DRIVER_RESOLVER_INTERFACE"},
        {{table, rows_of_table}, NULL},
        {{table, other_rows}, NULL},
        {{table}, "name_resolver_init_args"},
        {{rows_of_table}, "AERON_NAME_RESOLVER_INIT_ARGS"},
        {{table, damaged_rows}, "AERON_NAME_RESOLVER_INIT_ARGS"},
    };
    static struct driver_conf conf;
    static struct options options;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *const *environment = cases[i].environment;
        int errors =
            options_load(&options, &driver_option_table, &conf, NULL, (char **)environment);
        cr_assert((errors > 0) == (cases[i].refused != NULL), "%zu: %s", i, options.errors);
        cr_assert(cases[i].refused == NULL || strstr(options.errors, cases[i].refused) != NULL,
                  "%zu: %s", i, options.errors);
    }
}

Test(driver_conf, port_ranges_are_two_ports_or_two_zeroes) {
    uint16_t low;
    uint16_t high;
    cr_assert(driver_conf_port_range("28770 28772", &low, &high, NULL) == 0);
    cr_assert(low == 28770 && high == 28772);
    cr_assert(driver_conf_port_range("0 0", &low, &high, NULL) == 0);
    cr_assert(low == 0 && high == 0);
    static const char *const bad[] = {"", "5", "x y", "5 4", "0 9", "1 70000", "-1 4", "1 2 3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(driver_conf_port_range(bad[i], &low, &high, NULL) < 0, "%s", bad[i]);
    }
}

Test(driver_conf, every_option_of_the_original_is_used_or_refused) {
    static const char *const names[] = {
        "AERON_MTU_LENGTH",
        "AERON_DIR",
        "AERON_DIR_WARN_IF_EXISTS",
        "AERON_DIR_DELETE_ON_START",
        "AERON_DIR_DELETE_ON_SHUTDOWN",
        "AERON_CONDUCTOR_BUFFER_LENGTH",
        "AERON_CLIENTS_BUFFER_LENGTH",
        "AERON_COUNTERS_BUFFER_LENGTH",
        "AERON_ERROR_BUFFER_LENGTH",
        "AERON_LOSS_REPORT_BUFFER_LENGTH",
        "AERON_FILE_PAGE_SIZE",
        "AERON_TERM_BUFFER_SPARSE_FILE",
        "AERON_PERFORM_STORAGE_CHECKS",
        "AERON_LOW_FILE_STORE_WARNING_THRESHOLD",
        "AERON_DRIVER_RESOURCE_FREE_LIMIT",
        "AERON_PRINT_CONFIGURATION",
        "AERON_TERM_BUFFER_LENGTH",
        "AERON_IPC_TERM_BUFFER_LENGTH",
        "AERON_IPC_MTU_LENGTH",
        "AERON_PUBLICATION_TERM_WINDOW_LENGTH",
        "AERON_IPC_PUBLICATION_TERM_WINDOW_LENGTH",
        "AERON_PUBLICATION_LINGER_TIMEOUT",
        "AERON_PUBLICATION_UNBLOCK_TIMEOUT",
        "AERON_PUBLICATION_CONNECTION_TIMEOUT",
        "AERON_PUBLICATION_RESERVED_SESSION_ID_LOW",
        "AERON_SPIES_SIMULATE_CONNECTION",
        "AERON_MAX_RESEND",
        "AERON_RETRANSMIT_UNICAST_DELAY",
        "AERON_RETRANSMIT_UNICAST_LINGER",
        "AERON_NETWORK_PUBLICATION_MAX_MESSAGES_PER_SEND",
        "AERON_RCV_INITIAL_WINDOW_LENGTH",
        "AERON_RCV_STATUS_MESSAGE_TIMEOUT",
        "AERON_IMAGE_LIVENESS_TIMEOUT",
        "AERON_RELIABLE_STREAM",
        "AERON_TETHER_SUBSCRIPTIONS",
        "AERON_REJOIN_STREAM",
        "AERON_RECEIVER_GROUP_CONSIDERATION",
        "AERON_RECEIVER_GROUP_TAG",
        "AERON_UNTETHERED_WINDOW_LIMIT_TIMEOUT",
        "AERON_UNTETHERED_LINGER_TIMEOUT",
        "AERON_UNTETHERED_RESTING_TIMEOUT",
        "AERON_DRIVER_STREAM_SESSION_LIMIT",
        "AERON_NAK_MULTICAST_GROUP_SIZE",
        "AERON_NAK_MULTICAST_MAX_BACKOFF",
        "AERON_NAK_UNICAST_DELAY",
        "AERON_NAK_UNICAST_RETRY_DELAY_RATIO",
        "AERON_FLOW_CONTROL_RECEIVER_TIMEOUT",
        "AERON_FLOW_CONTROL_GROUP_TAG",
        "AERON_FLOW_CONTROL_GROUP_MIN_SIZE",
        "AERON_UNICAST_FLOWCONTROL_SUPPLIER",
        "AERON_MULTICAST_FLOWCONTROL_SUPPLIER",
        "AERON_CONGESTIONCONTROL_SUPPLIER",
        "AERON_CUBICCONGESTIONCONTROL_MEASURERTT",
        "AERON_CUBICCONGESTIONCONTROL_INITIALRTT",
        "AERON_CUBICCONGESTIONCONTROL_TCPMODE",
        "AERON_UNICAST_FLOW_CONTROL_STRATEGY",
        "AERON_MULTICAST_FLOW_CONTROL_STRATEGY",
        "AERON_UNICAST_FLOW_CONTROL_RRWM",
        "AERON_MULTICAST_FLOW_CONTROL_RRWM",
        "AERON_PREFERREDMULTICASTFLOWCONTROL_ASF",
        "AERON_FLOW_CONTROL_SM_APPLICATIONSPECIFICFEEDBACK",
        "AERON_SOCKET_SO_RCVBUF",
        "AERON_SOCKET_SO_SNDBUF",
        "AERON_SOCKET_MULTICAST_TTL",
        "AERON_SEND_TO_STATUS_POLL_RATIO",
        "AERON_DRIVER_CONNECT",
        "AERON_SENDER_WILDCARD_PORT_RANGE",
        "AERON_RECEIVER_WILDCARD_PORT_RANGE",
        "AERON_RECEIVER_IO_VECTOR_CAPACITY",
        "AERON_SENDER_IO_VECTOR_CAPACITY",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA",
        "AERON_CONDUCTOR_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA",
        "AERON_UDP_CHANNEL_OUTGOING_INTERCEPTORS",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS",
        "AERON_SENDCHANNELENDPOINT_SUPPLIER",
        "AERON_RECEIVECHANNELENDPOINT_SUPPLIER",
        "AERON_DRIVER_RESOLVER_NAME",
        "AERON_DRIVER_RESOLVER_INTERFACE",
        "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR",
        "AERON_NAME_RESOLVER_SUPPLIER",
        "AERON_NAME_RESOLVER_INIT_ARGS",
        "AERON_NAME_RESOLVER_CSV_LOOKUP_TABLE_ARGS",
        "AERON_DRIVER_RESOLVER_NEIGHBOR_TIMEOUT",
        "AERON_DRIVER_RESOLVER_SELF_RESOLUTION_INTERVAL",
        "AERON_DRIVER_RESOLVER_NEIGHBOR_RESOLUTION_INTERVAL",
        "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR_RESOLUTION_INTERVAL",
        "AERON_DRIVER_RERESOLUTION_CHECK_INTERVAL",
        "AERON_DRIVER_NAME_RESOLVER_THRESHOLD",
        "AERON_NAME_RESOLVER_THRESHOLD",
        "AERON_CLIENT_LIVENESS_TIMEOUT",
        "AERON_TIMER_INTERVAL",
        "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT",
        "AERON_DRIVER_TIMEOUT",
        "AERON_DRIVER_TERMINATION_VALIDATOR",
        "AERON_ENABLE_EXPERIMENTAL_FEATURES",
        "AERON_THREADING_MODE",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_CPU_AFFINITY",
        "AERON_DRIVER_CPUSET_AFFINITY",
        "AERON_DRIVER_CPUSET_WARNINGS_AS_ERRORS",
        "AERON_AGENT_ON_START_FUNCTION",
        "AERON_DRIVER_DYNAMIC_LIBRARIES",
        "AERON_EVENT_LOG",
        "AERON_EVENT_LOG_DISABLE",
        "AERON_EVENT_LOG_FILENAME",
        "AERON_EVENT_LOG_FILE_MAX_LENGTH",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_FIXED_LOSS_ARGS",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MULTI_GAP_LOSS_ARGS",
        "AERON_DEBUG_SEND_DATA_LOSS_RATE",
        "AERON_DEBUG_SEND_DATA_LOSS_SEED",
        "AERON_DEBUG_SEND_CONTROL_LOSS_RATE",
        "AERON_DEBUG_SEND_CONTROL_LOSS_SEED",
        "AERON_DEBUG_RECEIVE_DATA_LOSS_RATE",
        "AERON_DEBUG_RECEIVE_DATA_LOSS_SEED",
        "AERON_DEBUG_RECEIVE_CONTROL_LOSS_RATE",
        "AERON_DEBUG_RECEIVE_CONTROL_LOSS_SEED",
    };
    expect_option_names(&driver_option_table, names, sizeof names / sizeof names[0]);
}

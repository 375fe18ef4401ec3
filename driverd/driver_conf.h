/* Everything that can be configured about a media driver (media-driver.md 7).
 *
 * Filled once from the option table in driver_conf.c: defaults, profile, file, environment; read
 * only afterwards. A library user (tests, the simulator) may also start from
 * driver_conf_defaults and change members.
 */
#ifndef DRIVERD_DRIVER_CONF_H
#define DRIVERD_DRIVER_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define DRIVER_DIRECTORY_MAX 2048   /* leaves room for "/publications/<id>.logbuffer" in 4096 */
#define DRIVER_PLUGIN_NAME_MAX 1024 /* a built-in name, "library:symbol" or a symbol */
#define DRIVER_IDLE_ARGS_MAX 256
#define DRIVER_PORT_RANGE_MAX 32
#define DRIVER_NAME_MAX 256
#define DRIVER_NAMES_TEXT_MAX 4096
#define DRIVER_LIBRARIES_MAX 4096
#define DRIVER_SYMBOL_MAX 256

enum driver_profile { DRIVER_PROFILE_LOWCPU, DRIVER_PROFILE_LOWLATENCY };

enum driver_threading {
    DRIVER_THREADING_DEDICATED,
    DRIVER_THREADING_SHARED_NETWORK,
    DRIVER_THREADING_SHARED,
    DRIVER_THREADING_INVOKER,
};

enum driver_termination {
    DRIVER_TERMINATION_DENY,
    DRIVER_TERMINATION_ALLOW,
    DRIVER_TERMINATION_PLUGIN,
};

enum driver_group { DRIVER_GROUP_INFER, DRIVER_GROUP_TRUE, DRIVER_GROUP_FALSE };

/* Default: what the channel says in `cc`; the others: all images, whatever it says. */
enum driver_congestion {
    DRIVER_CONGESTION_DEFAULT,
    DRIVER_CONGESTION_STATIC,
    DRIVER_CONGESTION_CUBIC,
    DRIVER_CONGESTION_PLUGIN,
};

enum driver_name_resolver {
    DRIVER_NAME_RESOLVER_DEFAULT,
    DRIVER_NAME_RESOLVER_DRIVER,
    DRIVER_NAME_RESOLVER_CSV_TABLE,
    DRIVER_NAME_RESOLVER_PLUGIN,
};

struct driver_idle_conf {
    char name[DRIVER_PLUGIN_NAME_MAX];
    char arguments[DRIVER_IDLE_ARGS_MAX];
};

/* Loss that is made on purpose. */
struct driver_loss_conf {
    char rate[32]; /* 0 to 1; empty: none */
    int64_t seed;
};

struct driver_conf {
    int profile;
    int log_level;

    char directory[DRIVER_DIRECTORY_MAX];
    bool dir_warn_if_exists;
    bool dir_delete_on_start;
    bool dir_delete_on_shutdown;
    int32_t conductor_buffer_length;
    int32_t clients_buffer_length;
    int32_t counters_buffer_length;
    int32_t error_buffer_length;
    int32_t loss_report_buffer_length;
    int32_t file_page_size;
    bool term_buffer_sparse;
    bool pre_touch;
    bool perform_storage_checks;
    int64_t low_storage_warning_bytes;
    int64_t low_memory_limit_bytes;
    int32_t resource_free_limit;
    bool print_configuration;

    int32_t term_buffer_length;
    int32_t ipc_term_buffer_length;
    int32_t mtu_length;
    int32_t ipc_mtu_length;
    int32_t publication_window_length; /* 0: half a term */
    int32_t ipc_publication_window_length;
    int64_t linger_timeout_ns;
    int64_t unblock_timeout_ns;
    int64_t connection_timeout_ns;
    int32_t reserved_session_id_low;
    int32_t reserved_session_id_high;
    bool spies_simulate_connection;
    int32_t max_resend;
    int64_t retransmit_unicast_delay_ns;
    int64_t retransmit_unicast_linger_ns;
    int32_t max_messages_per_send;

    int32_t initial_window_length;
    int64_t status_message_timeout_ns;
    int64_t image_liveness_timeout_ns;
    bool reliable_stream;
    bool tether_subscriptions;
    bool rejoin_stream;
    int group_consideration; /* enum driver_group */
    int64_t untethered_window_limit_timeout_ns;
    char untethered_linger_timeout[32]; /* a duration; -1: as the window limit timeout */
    int64_t untethered_resting_timeout_ns;
    int32_t stream_session_limit;
    int32_t nak_group_size;
    int64_t nak_group_backoff_max_ns;
    int64_t nak_unicast_delay_ns;
    int32_t nak_unicast_retry_ratio;
    char receiver_group_tag[24]; /* empty: none */

    int64_t flow_control_receiver_timeout_ns;
    int64_t flow_control_group_tag;
    int32_t flow_control_group_min_size;
    char unicast_flow_control[DRIVER_PLUGIN_NAME_MAX];
    char multicast_flow_control[DRIVER_PLUGIN_NAME_MAX];
    char unicast_flow_control_class[DRIVER_PLUGIN_NAME_MAX]; /* empty, else it wins */
    char multicast_flow_control_class[DRIVER_PLUGIN_NAME_MAX];
    int32_t unicast_retransmit_multiple;
    int32_t group_retransmit_multiple;
    char congestion_supplier[DRIVER_PLUGIN_NAME_MAX];
    bool cubic_measures_rtt;
    int64_t cubic_initial_rtt_ns;
    bool cubic_is_tcp_mode;

    int32_t so_rcvbuf_bytes; /* 0: the system's default */
    int32_t so_sndbuf_bytes;
    int32_t multicast_ttl; /* 0: the system's default */
    int32_t send_to_status_poll_ratio;
    bool connect_unicast;
    bool udp_segment;
    bool udp_gro;
    bool offers_clearing; /* log_clearing.h */
    char sender_port_range[DRIVER_PORT_RANGE_MAX]; /* "low high", checked */
    char receiver_port_range[DRIVER_PORT_RANGE_MAX];
    char transport[DRIVER_PLUGIN_NAME_MAX];       /* "default", empty, or a plug-in */
    char names_transport[DRIVER_PLUGIN_NAME_MAX]; /* likewise */
    char send_endpoint[DRIVER_PLUGIN_NAME_MAX];
    char receive_endpoint[DRIVER_PLUGIN_NAME_MAX];
    int32_t receiver_io_vector_capacity;
    int32_t sender_io_vector_capacity;
    char outgoing_interceptors[DRIVER_LIBRARIES_MAX]; /* names */
    char incoming_interceptors[DRIVER_LIBRARIES_MAX];
    char loss_args[DRIVER_NAME_MAX];
    char fixed_loss_args[DRIVER_NAME_MAX];
    char multi_gap_loss_args[DRIVER_NAME_MAX];
    struct driver_loss_conf send_data_loss;
    struct driver_loss_conf send_control_loss;
    struct driver_loss_conf receive_data_loss;
    struct driver_loss_conf receive_control_loss;

    char resolver_name[DRIVER_NAME_MAX];
    char resolver_interface[DRIVER_NAME_MAX];
    char resolver_bootstrap[DRIVER_NAMES_TEXT_MAX]; /* "host:port, ..." */
    char name_resolver[DRIVER_PLUGIN_NAME_MAX];
    char name_resolver_args[DRIVER_NAMES_TEXT_MAX];
    int64_t resolver_self_interval_ns;
    int64_t resolver_neighbor_interval_ns;
    int64_t resolver_bootstrap_interval_ns;
    int64_t resolver_neighbor_timeout_ns;
    int64_t reresolution_check_interval_ns; /* 0: off */
    int64_t name_resolver_threshold_ns;

    int64_t client_liveness_timeout_ns;
    int64_t timer_interval_ns;
    int64_t counters_reuse_timeout_ns;
    int64_t driver_timeout_ns;
    char termination[DRIVER_PLUGIN_NAME_MAX];

    int threading; /* enum driver_threading */
    struct driver_idle_conf conductor_idle;
    struct driver_idle_conf sender_idle;
    struct driver_idle_conf receiver_idle;
    struct driver_idle_conf shared_idle;
    struct driver_idle_conf shared_network_idle;
    int32_t conductor_cpu;
    int32_t sender_cpu;
    int32_t receiver_cpu;
    int32_t helper_cpu; /* of the log agent and the resolver */
    struct driver_idle_conf helper_idle;
    bool cpuset_affinity;
    bool cpuset_warnings_as_errors;
    char agent_on_start_function[DRIVER_SYMBOL_MAX];
    char dynamic_libraries[DRIVER_LIBRARIES_MAX]; /* a list of paths */
    bool experimental_features;
    char event_log[DRIVER_NAMES_TEXT_MAX]; /* names of events; empty: off */
    char event_log_disable[DRIVER_NAMES_TEXT_MAX];
    char event_log_filename[DRIVER_DIRECTORY_MAX]; /* empty: stdout */
    int64_t event_log_length_max;                  /* 0: no end */
    int64_t conductor_cycle_threshold_ns;
    int64_t sender_cycle_threshold_ns;
    int64_t receiver_cycle_threshold_ns;
};

extern const struct option_table driver_option_table;

/* The table's defaults with the profile lowcpu; nothing of the environment. */
void driver_conf_defaults(struct driver_conf *conf);

/* "low high" as two ports, both 0 for "let the system choose". 0 or -EINVAL. */
int driver_conf_port_range(const char *text, uint16_t *low, uint16_t *high,
                           struct tern_error *error);

/* What a text chooses; what is no built-in name is a plug-in (driver_plugin.h). */
enum driver_termination driver_conf_termination(const struct driver_conf *conf);
enum driver_congestion driver_conf_congestion(const struct driver_conf *conf);
enum driver_name_resolver driver_conf_name_resolver(const struct driver_conf *conf);

int64_t driver_conf_untethered_linger_ns(const struct driver_conf *conf);
/* The name of the strategy in force. */
const char *driver_conf_flow_control(const struct driver_conf *conf, bool is_group);
/* False when none is configured. */
bool driver_conf_receiver_group_tag(const struct driver_conf *conf, int64_t *tag);

/* "DEDICATED" and so on, as it appears in counter labels. */
const char *driver_threading_name(int threading);

#endif

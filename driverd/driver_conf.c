/* The option table of the media driver: every option that Aeron 1.52 has (media-driver.md 7), under
 * its own name in the file and its AERON_ name in the environment.
 *
 * Options that can mean nothing here stand in the table as OPTION_REFUSED, with the reason, so that
 * a deployment that relies on one of them is told so instead of being ignored. Cross checks
 * follow 7.12; those that need a socket (SO_SNDBUF in force) are made when the driver starts.
 */
#include "driverd/driver_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/agent.h"
#include "base/bits.h"
#include "base/clock.h"
#include "base/uri.h"
#include "daemon/logger.h"
#include "daemon/option_rows.h"
#include "driverd/driver_plugin.h"
#include "driverd/event_log.h"
#include "driverd/gossip_socket.h"
#include "driverd/interceptor.h"
#include "driverd/name_table.h"
#include "driverd/plugin_filter.h"
#include "driverd/thread_setup.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/ring_mpsc.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define LENGTH_MAX INT32_MAX
#define CPU_MAX 255

static const char *const profile_names[] = {"lowcpu", "lowlatency", NULL};
static const char *const threading_names[] = {"DEDICATED", "SHARED_NETWORK", "SHARED", "INVOKER",
                                              NULL};
/* Built-in ways of options that plug-ins can be named for, in the order of their enums. */
static const char *const termination_names[] = {"deny", "allow", NULL};
static const char *const congestion_names[] = {"default", "static", "cubic", NULL};
static const char *const name_resolver_names[] = {"default", "driver", "csv_table", NULL};
static const char *const group_names[] = {"infer", "true", "false", NULL};

#define STORE(member) OPTION_STORE(struct driver_conf, member)
#define LOSS(key_, env_, member, what_)                                                            \
    TEXT(key_ "_rate", env_ "_RATE", member.rate, "0", "Part, 0 to 1, of " what_ ", to lose."), {  \
        .key = key_ "_seed", .env = env_ "_SEED", STORE(member.seed), .type = OPTION_I64,          \
        .default_text = "0", .min = INT64_MIN, .max = INT64_MAX, .doc = "Seed of that chance."     \
    }
#define IDLE(key_, env_, member, doc_)                                                             \
    TEXT(key_, env_, member.name, "backoff", doc_),                                                \
        TEXT(key_ "_args", env_ "_INIT_ARGS", member.arguments, "", "Arguments of " key_ ".")

static const struct option_row rows[] = {
    ENUM("profile", "TERN_DRIVER_PROFILE", profile, "lowcpu", profile_names,
         "lowcpu blocks when idle and uses small terms; lowlatency spins on threads of its own."),
    LOGGER_LEVEL_OPTION(struct driver_conf, log_level),

    {.key = "dir",
     .env = "AERON_DIR",
     STORE(directory),
     .type = OPTION_PATH,
     .flags = OPTION_REQUIRED,
     .default_text = "/dev/shm/aeron-{user}",
     .doc = "Directory of cnc.dat and of the log buffers."},
    BOOL("dir_warn_if_exists", "AERON_DIR_WARN_IF_EXISTS", dir_warn_if_exists, "false",
         "Warn when the directory exists at start."),
    BOOL("dir_delete_on_start", "AERON_DIR_DELETE_ON_START", dir_delete_on_start, "false",
         "Delete the directory at start without looking for a living driver."),
    BOOL("dir_delete_on_shutdown", "AERON_DIR_DELETE_ON_SHUTDOWN", dir_delete_on_shutdown, "false",
         "Delete the directory at a clean end."),
    SIZE("conductor_buffer_length", "AERON_CONDUCTOR_BUFFER_LENGTH", conductor_buffer_length,
         "1049344", MIB + RING_TRAILER_LENGTH, LENGTH_MAX, 0,
         "Commands from clients: a power of two and 768 bytes of trailer."),
    SIZE("clients_buffer_length", "AERON_CLIENTS_BUFFER_LENGTH", clients_buffer_length, "1048704",
         MIB + BROADCAST_TRAILER_LENGTH, LENGTH_MAX, 0,
         "Responses to clients: a power of two and 128 bytes of trailer."),
    SIZE("counters_buffer_length", "AERON_COUNTERS_BUFFER_LENGTH", counters_buffer_length, "8m",
         MIB, 500 * MIB, 0,
         "Values of counters, 128 bytes each; their metadata take four times it."),
    SIZE("error_buffer_length", "AERON_ERROR_BUFFER_LENGTH", error_buffer_length, "4m", 4 * MIB,
         LENGTH_MAX, 0, "The distinct error log."),
    SIZE("loss_report_buffer_length", "AERON_LOSS_REPORT_BUFFER_LENGTH", loss_report_buffer_length,
         "1m", KIB, LENGTH_MAX, 0, "The loss report."),
    SIZE("file_page_size", "AERON_FILE_PAGE_SIZE", file_page_size, "4k", 4 * KIB, GIB,
         OPTION_POWER_OF_TWO, "File lengths are multiples of it; 2m for huge pages."),
    BOOL("term_buffer_sparse_file", "AERON_TERM_BUFFER_SPARSE_FILE", term_buffer_sparse, "true",
         "Log buffers get their memory when it is touched, not when they are made."),
    BOOL("pre_touch", "TERN_DRIVER_PRE_TOUCH", pre_touch, "false",
         "Give sparse log buffers their memory in the background, ahead of who writes them."),
    BOOL("perform_storage_checks", "AERON_PERFORM_STORAGE_CHECKS", perform_storage_checks, "true",
         "Refuse a log buffer that does not fit the file system."),
    SIZE("low_file_store_warning_threshold", "AERON_LOW_FILE_STORE_WARNING_THRESHOLD",
         low_storage_warning_bytes, "160m", 0, INT64_MAX, 0,
         "Warn in the error log when less space is left as a log buffer is made."),
    SIZE("low_memory_limit", "TERN_DRIVER_LOW_MEMORY_LIMIT", low_memory_limit_bytes, "64m", 0,
         INT64_MAX, 0,
         "Refuse a log buffer that is not sparse, in memory, when less of it would be left."),
    I32("resource_free_limit", "AERON_DRIVER_RESOURCE_FREE_LIMIT", resource_free_limit, "1", 1,
        INT32_MAX, "Log buffers deleted per duty cycle."),
    BOOL("print_configuration", "AERON_PRINT_CONFIGURATION", print_configuration, "false",
         "Print the effective configuration on stdout at start."),

    SIZE("term_buffer_length", "AERON_TERM_BUFFER_LENGTH", term_buffer_length, "16m", 64 * KIB, GIB,
         OPTION_POWER_OF_TWO, "Length of one of the three terms of a network publication."),
    SIZE("ipc_term_buffer_length", "AERON_IPC_TERM_BUFFER_LENGTH", ipc_term_buffer_length, "64m",
         64 * KIB, GIB, OPTION_POWER_OF_TWO, "The same for IPC publications."),
    SIZE("mtu_length", "AERON_MTU_LENGTH", mtu_length, "1408", 64, 65504, OPTION_MULTIPLE_OF_32,
         "Longest datagram of a network publication."),
    SIZE("ipc_mtu_length", "AERON_IPC_MTU_LENGTH", ipc_mtu_length, "1408", 64, 65504,
         OPTION_MULTIPLE_OF_32, "Longest frame of an IPC publication."),
    SIZE("publication_term_window_length", "AERON_PUBLICATION_TERM_WINDOW_LENGTH",
         publication_window_length, "0", 0, GIB, 0,
         "How far publishers may be ahead of the slowest consumer; 0 is half a term."),
    SIZE("ipc_publication_term_window_length", "AERON_IPC_PUBLICATION_TERM_WINDOW_LENGTH",
         ipc_publication_window_length, "0", 0, GIB, 0, "The same for IPC publications."),
    DURATION("publication_linger_timeout", "AERON_PUBLICATION_LINGER_TIMEOUT", linger_timeout_ns,
             "5s", NS_PER_US, "How long a drained network publication serves retransmits."),
    DURATION("publication_unblock_timeout", "AERON_PUBLICATION_UNBLOCK_TIMEOUT", unblock_timeout_ns,
             "15s", NS_PER_US,
             "A claim that is not committed for this long is turned into padding."),
    DURATION("publication_connection_timeout", "AERON_PUBLICATION_CONNECTION_TIMEOUT",
             connection_timeout_ns, "5s", NS_PER_US,
             "A receiver that is silent for this long does not count any more."),
    I32("publication_reserved_session_id_low", "AERON_PUBLICATION_RESERVED_SESSION_ID_LOW",
        reserved_session_id_low, "-1", INT32_MIN, INT32_MAX,
        "First of the session ids that the driver does not choose."),
    I32("publication_reserved_session_id_high", "AERON_PUBLICATION_RESERVED_SESSION_ID_HIGH",
        reserved_session_id_high, "1000", INT32_MIN, INT32_MAX - 1, "Last of them."),
    BOOL("spies_simulate_connection", "AERON_SPIES_SIMULATE_CONNECTION", spies_simulate_connection,
         "false", "A publication with a spy counts as connected."),
    I32("max_resend", "AERON_MAX_RESEND", max_resend, "16", 1, 256,
        "Concurrent retransmits of a publication to a group."),
    DURATION("retransmit_unicast_delay", "AERON_RETRANSMIT_UNICAST_DELAY",
             retransmit_unicast_delay_ns, "0", 0, "Delay before a retransmit."),
    DURATION("retransmit_unicast_linger", "AERON_RETRANSMIT_UNICAST_LINGER",
             retransmit_unicast_linger_ns, "10ms", NS_PER_US,
             "NAKs for what was just resent are ignored for this long."),
    I32("network_publication_max_messages_per_send",
        "AERON_NETWORK_PUBLICATION_MAX_MESSAGES_PER_SEND", max_messages_per_send, "16", 1, 16,
        "Datagrams that one publication sends per duty cycle; with UDP_SEGMENT four times as "
        "many."),

    SIZE("rcv_initial_window_length", "AERON_RCV_INITIAL_WINDOW_LENGTH", initial_window_length,
         "128k", 256, GIB, 0, "What a receiver offers to a sender."),
    DURATION("rcv_status_message_timeout", "AERON_RCV_STATUS_MESSAGE_TIMEOUT",
             status_message_timeout_ns, "200ms", NS_PER_US,
             "Longest time between status messages."),
    DURATION("image_liveness_timeout", "AERON_IMAGE_LIVENESS_TIMEOUT", image_liveness_timeout_ns,
             "10s", NS_PER_US, "A stream that is silent for this long ends."),
    BOOL("reliable_stream", "AERON_RELIABLE_STREAM", reliable_stream, "true",
         "Ask for lost data (NAK) rather than skip it."),
    BOOL("tether_subscriptions", "AERON_TETHER_SUBSCRIPTIONS", tether_subscriptions, "true",
         "A slow subscriber holds the stream back."),
    BOOL("rejoin_stream", "AERON_REJOIN_STREAM", rejoin_stream, "true",
         "A subscription joins a stream again that it lost."),
    ENUM("receiver_group_consideration", "AERON_RECEIVER_GROUP_CONSIDERATION", group_consideration,
         "infer", group_names, "Treat streams as going to a group of receivers."),
    TEXT("receiver_group_tag", "AERON_RECEIVER_GROUP_TAG", receiver_group_tag, "",
         "Number sent in status messages to flow control by groups; empty is none."),
    DURATION("untethered_window_limit_timeout", "AERON_UNTETHERED_WINDOW_LIMIT_TIMEOUT",
             untethered_window_limit_timeout_ns, "5s", NS_PER_US,
             "An untethered subscriber that lags for this long loses its image."),
    TEXT("untethered_linger_timeout", "AERON_UNTETHERED_LINGER_TIMEOUT", untethered_linger_timeout,
         "-1", "How long it may still read; -1 is the window limit timeout."),
    DURATION("untethered_resting_timeout", "AERON_UNTETHERED_RESTING_TIMEOUT",
             untethered_resting_timeout_ns, "10s", NS_PER_US, "When it gets an image again."),
    I32("driver_stream_session_limit", "AERON_DRIVER_STREAM_SESSION_LIMIT", stream_session_limit,
        "2147483647", 1, INT32_MAX, "Images per stream of a receive endpoint."),
    I32("nak_multicast_group_size", "AERON_NAK_MULTICAST_GROUP_SIZE", nak_group_size, "10", 1,
        INT32_MAX, "Receivers that a group is assumed to have, for the NAK delay."),
    DURATION("nak_multicast_max_backoff", "AERON_NAK_MULTICAST_MAX_BACKOFF",
             nak_group_backoff_max_ns, "10ms", NS_PER_US, "Longest NAK delay in a group."),
    DURATION("nak_unicast_delay", "AERON_NAK_UNICAST_DELAY", nak_unicast_delay_ns, "1us", NS_PER_US,
             "Delay before the first NAK."),
    I32("nak_unicast_retry_delay_ratio", "AERON_NAK_UNICAST_RETRY_DELAY_RATIO",
        nak_unicast_retry_ratio, "100", 1, INT32_MAX, "Multiple of it before a repeated NAK."),

    DURATION("flow_control_receiver_timeout", "AERON_FLOW_CONTROL_RECEIVER_TIMEOUT",
             flow_control_receiver_timeout_ns, "5s", 0,
             "min and tagged flow control forget a receiver that is silent for this long."),
    {.key = "flow_control_group_tag",
     .env = "AERON_FLOW_CONTROL_GROUP_TAG",
     STORE(flow_control_group_tag),
     .type = OPTION_I64,
     .default_text = "-1",
     .min = INT64_MIN,
     .max = INT64_MAX,
     .doc = "Tag of the receivers that govern tagged flow control."},
    I32("flow_control_group_min_size", "AERON_FLOW_CONTROL_GROUP_MIN_SIZE",
        flow_control_group_min_size, "0", 0, INT32_MAX,
        "Receivers that min and tagged flow control wait for."),
    TEXT("unicast_flowcontrol_supplier", "AERON_UNICAST_FLOWCONTROL_SUPPLIER", unicast_flow_control,
         "unicast_max", "Flow control of unicast publications; unicast_max or a plug-in."),
    TEXT("multicast_flowcontrol_supplier", "AERON_MULTICAST_FLOWCONTROL_SUPPLIER",
         multicast_flow_control, "multicast_max",
         "Flow control of publications to several destinations whose channel has no fc: "
         "multicast_max, multicast_min, multicast_tagged or a plug-in."),
    TEXT("unicast_flow_control_strategy", "AERON_UNICAST_FLOW_CONTROL_STRATEGY",
         unicast_flow_control_class, "",
         "The same by a class of the Java implementation; wins over unicast_flowcontrol_supplier."),
    TEXT("multicast_flow_control_strategy", "AERON_MULTICAST_FLOW_CONTROL_STRATEGY",
         multicast_flow_control_class, "",
         "The same by a class of the Java implementation; wins over "
         "multicast_flowcontrol_supplier."),
    I32("unicast_flow_control_rrwm", "AERON_UNICAST_FLOW_CONTROL_RRWM", unicast_retransmit_multiple,
        "16", 1, INT32_MAX, "A NAK of a unicast publication has at most this many windows resent."),
    I32("multicast_flow_control_rrwm", "AERON_MULTICAST_FLOW_CONTROL_RRWM",
        group_retransmit_multiple, "4", 1, INT32_MAX,
        "The same for publications to several destinations, where fc says no other."),
    REFUSED("preferredmulticastflowcontrol_asf", "AERON_PREFERREDMULTICASTFLOWCONTROL_ASF", "",
            "Feedback of 4 bytes, which the protocol has given up: use flow_control_group_tag."),
    REFUSED("flow_control_sm_applicationspecificfeedback",
            "AERON_FLOW_CONTROL_SM_APPLICATIONSPECIFICFEEDBACK", "",
            "Feedback of 4 bytes, which the protocol has given up: use receiver_group_tag."),
    TEXT("congestioncontrol_supplier", "AERON_CONGESTIONCONTROL_SUPPLIER", congestion_supplier,
         "default",
         "Congestion control of images: default is what the channel says (cc=static, cc=cubic); "
         "static, cubic or a plug-in: all images, whatever it says."),
    BOOL("cubiccongestioncontrol_measurertt", "AERON_CUBICCONGESTIONCONTROL_MEASURERTT",
         cubic_measures_rtt, "false", "Cubic congestion control measures the round trip."),
    DURATION("cubiccongestioncontrol_initialrtt", "AERON_CUBICCONGESTIONCONTROL_INITIALRTT",
             cubic_initial_rtt_ns, "100us", 1,
             "Round trip that cubic assumes at first; its window grows at most once in it."),
    BOOL("cubiccongestioncontrol_tcpmode", "AERON_CUBICCONGESTIONCONTROL_TCPMODE",
         cubic_is_tcp_mode, "false", "Cubic is never slower than TCP."),

    SIZE("socket_so_rcvbuf", "AERON_SOCKET_SO_RCVBUF", so_rcvbuf_bytes, "128k", 0, GIB, 0,
         "SO_RCVBUF of sockets; 0 is the system's default."),
    SIZE("socket_so_sndbuf", "AERON_SOCKET_SO_SNDBUF", so_sndbuf_bytes, "0", 0, GIB, 0,
         "SO_SNDBUF of sockets; 0 is the system's default."),
    I32("socket_multicast_ttl", "AERON_SOCKET_MULTICAST_TTL", multicast_ttl, "0", 0, 255,
        "TTL of multicast; 0 is the system's default."),
    I32("send_to_status_poll_ratio", "AERON_SEND_TO_STATUS_POLL_RATIO", send_to_status_poll_ratio,
        "6", 1, 255, "Sending cycles per look at what receivers say."),
    BOOL("driver_connect", "AERON_DRIVER_CONNECT", connect_unicast, "true",
         "Connect the sockets of unicast publications."),
    BOOL("socket_udp_segment", "TERN_SOCKET_UDP_SEGMENT", udp_segment, "true",
         "Hand runs of equal datagrams to the system as one buffer, which it cuts (UDP_SEGMENT)."),
    BOOL("socket_udp_gro", "TERN_SOCKET_UDP_GRO", udp_gro, "true",
         "Take runs of equal datagrams from the system as one buffer (UDP_GRO)."),
    BOOL("publication_clearing", "TERN_PUBLICATION_CLEARING", offers_clearing, "true",
         "Let Tern's exclusive publishers over UDP zero their terms ahead of what they write; else "
         "the driver zeroes them behind what was sent."),
    TEXT("sender_wildcard_port_range", "AERON_SENDER_WILDCARD_PORT_RANGE", sender_port_range, "0 0",
         "Ports for control addresses with port 0, as \"low high\"."),
    TEXT("receiver_wildcard_port_range", "AERON_RECEIVER_WILDCARD_PORT_RANGE", receiver_port_range,
         "0 0", "Ports for endpoints with port 0, as \"low high\"."),
    I32("receiver_io_vector_capacity", "AERON_RECEIVER_IO_VECTOR_CAPACITY",
        receiver_io_vector_capacity, "16", 1, 16, "Datagrams per receive call."),
    I32("sender_io_vector_capacity", "AERON_SENDER_IO_VECTOR_CAPACITY", sender_io_vector_capacity,
        "16", 1, 16, "Control datagrams per receive call."),
    TEXT("udp_channel_transport_bindings_media", "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA",
         transport, "default",
         "How datagrams go: default is the system's UDP sockets; or a plug-in."),
    TEXT("conductor_udp_channel_transport_bindings_media",
         "AERON_CONDUCTOR_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA", names_transport, "default",
         "The same for the gossip of names."),
    TEXT("udp_channel_transport_bindings_loss_args",
         "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS", loss_args, "",
         "Of the interceptor loss: rate=0.1|seed=1|recv-msg-mask=<types of frames, hexadecimal>."),
    TEXT("udp_channel_transport_bindings_fixed_loss_args",
         "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_FIXED_LOSS_ARGS", fixed_loss_args, "",
         "Of the interceptor fixed-loss: term-id=0|term-offset=0|length=100."),
    TEXT("udp_channel_transport_bindings_multi_gap_loss_args",
         "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MULTI_GAP_LOSS_ARGS", multi_gap_loss_args, "",
         "Of the interceptor multi-gap-loss: term-id=0|gap-radix=4096|gap-length=64|total-gaps=9."),
    LOSS("debug_send_data_loss", "AERON_DEBUG_SEND_DATA_LOSS", send_data_loss,
         "data and setups that are sent"),
    LOSS("debug_send_control_loss", "AERON_DEBUG_SEND_CONTROL_LOSS", send_control_loss,
         "other frames that are sent"),
    LOSS("debug_receive_data_loss", "AERON_DEBUG_RECEIVE_DATA_LOSS", receive_data_loss,
         "data and setups that come"),
    LOSS("debug_receive_control_loss", "AERON_DEBUG_RECEIVE_CONTROL_LOSS", receive_control_loss,
         "other frames that come"),
    TEXT("sendchannelendpoint_supplier", "AERON_SENDCHANNELENDPOINT_SUPPLIER", send_endpoint, "",
         "A plug-in that sees, and may drop, the datagrams of each publication's socket."),
    TEXT("receivechannelendpoint_supplier", "AERON_RECEIVECHANNELENDPOINT_SUPPLIER",
         receive_endpoint, "", "The same for the sockets of subscriptions."),
    {.key = "udp_channel_outgoing_interceptors",
     .env = "AERON_UDP_CHANNEL_OUTGOING_INTERCEPTORS",
     STORE(outgoing_interceptors),
     .type = OPTION_LIST,
     .doc =
         "What loses sent datagrams on purpose, for tests: loss, fixed-loss, multi-gap-loss; and "
         "plug-ins, which may drop some."},
    {.key = "udp_channel_incoming_interceptors",
     .env = "AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS",
     STORE(incoming_interceptors),
     .type = OPTION_LIST,
     .doc = "What loses received datagrams on purpose, likewise."},

    TEXT("driver_resolver_name", "AERON_DRIVER_RESOLVER_NAME", resolver_name, "",
         "Own name in the gossip of names between drivers."),
    TEXT("driver_resolver_interface", "AERON_DRIVER_RESOLVER_INTERFACE", resolver_interface, "",
         "Address and port of the gossip of names; it is on when this is set."),
    {.key = "driver_resolver_bootstrap_neighbor",
     .env = "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR",
     STORE(resolver_bootstrap),
     .type = OPTION_LIST,
     .doc = "Drivers that are told the own name from the start, host:port, at most 20."},
    TEXT("name_resolver_supplier", "AERON_NAME_RESOLVER_SUPPLIER", name_resolver, "default",
         "default: the system; driver: the gossip of names, then the system; csv_table: a table, "
         "for tests; or a plug-in."),
    {.key = "name_resolver_init_args",
     .env = "AERON_NAME_RESOLVER_INIT_ARGS",
     .env_alias = "AERON_NAME_RESOLVER_CSV_LOOKUP_TABLE_ARGS",
     STORE(name_resolver_args),
     .type = OPTION_STRING,
     .doc = "Rows of csv_table, separated by |: name,host,host at re-resolution; or what the "
            "plug-in wants."},
    DURATION("driver_resolver_self_resolution_interval",
             "AERON_DRIVER_RESOLVER_SELF_RESOLUTION_INTERVAL", resolver_self_interval_ns, "1s",
             NS_PER_MS, "How often the gossip of names tells the own name."),
    DURATION("driver_resolver_neighbor_resolution_interval",
             "AERON_DRIVER_RESOLVER_NEIGHBOR_RESOLUTION_INTERVAL", resolver_neighbor_interval_ns,
             "2s", NS_PER_MS, "How often the gossip of names passes on what it heard."),
    DURATION("driver_resolver_bootstrap_neighbor_resolution_interval",
             "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR_RESOLUTION_INTERVAL",
             resolver_bootstrap_interval_ns, "10s", NS_PER_MS,
             "How often the first neighbors are looked up anew while nothing is heard of them."),
    DURATION("driver_resolver_neighbor_timeout", "AERON_DRIVER_RESOLVER_NEIGHBOR_TIMEOUT",
             resolver_neighbor_timeout_ns, "10s", NS_PER_MS,
             "When the gossip of names forgets a driver that is silent."),
    DURATION("driver_reresolution_check_interval", "AERON_DRIVER_RERESOLUTION_CHECK_INTERVAL",
             reresolution_check_interval_ns, "1s", 0,
             "How often names of silent peers are resolved anew; 0 is never."),
    {.key = "driver_name_resolver_threshold",
     .env = "AERON_DRIVER_NAME_RESOLVER_THRESHOLD",
     .env_alias = "AERON_NAME_RESOLVER_THRESHOLD",
     STORE(name_resolver_threshold_ns),
     .type = OPTION_DURATION,
     .default_text = "5s",
     .min = 0,
     .max = INT64_MAX,
     .doc = "A name resolution beyond this is counted."},

    DURATION("client_liveness_timeout", "AERON_CLIENT_LIVENESS_TIMEOUT", client_liveness_timeout_ns,
             "10s", NS_PER_US, "A client that is silent for this long is dead."),
    DURATION("timer_interval", "AERON_TIMER_INTERVAL", timer_interval_ns, "1s", NS_PER_US,
             "Period of all checks for time-outs."),
    DURATION("counters_free_to_reuse_timeout", "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT",
             counters_reuse_timeout_ns, "1s", 0,
             "A freed counter is not used again for this long."),
    {.key = "driver_timeout",
     .env = "AERON_DRIVER_TIMEOUT",
     STORE(driver_timeout_ns),
     .type = OPTION_DURATION,
     .unit = OPTION_UNIT_MS,
     .default_text = "10s",
     .min = 0,
     .max = INT64_MAX,
     .doc = "A driver whose heartbeat is older is dead."},
    TEXT("driver_termination_validator", "AERON_DRIVER_TERMINATION_VALIDATOR", termination, "deny",
         "Whether a client may end the driver: deny, allow or a plug-in."),
    BOOL("enable_experimental_features", "AERON_ENABLE_EXPERIMENTAL_FEATURES",
         experimental_features, "false",
         "Allow features that are not settled; at present there are none."),

    ENUM("threading_mode", "AERON_THREADING_MODE", threading, "SHARED", threading_names,
         "One thread for all agents or several; INVOKER runs on the main thread."),
    IDLE("conductor_idle_strategy", "AERON_CONDUCTOR_IDLE_STRATEGY", conductor_idle,
         "What the conductor's thread does without work."),
    IDLE("sender_idle_strategy", "AERON_SENDER_IDLE_STRATEGY", sender_idle,
         "What the sender's thread does without work."),
    IDLE("receiver_idle_strategy", "AERON_RECEIVER_IDLE_STRATEGY", receiver_idle,
         "What the receiver's thread does without work."),
    IDLE("shared_idle_strategy", "AERON_SHARED_IDLE_STRATEGY", shared_idle,
         "What the thread of all agents does without work."),
    IDLE("sharednetwork_idle_strategy", "AERON_SHAREDNETWORK_IDLE_STRATEGY", shared_network_idle,
         "What the thread of sender and receiver does without work."),
    TEXT("driver_native_resource_agent_idle_strategy",
         "AERON_DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY", helper_idle.name, "sleep-ns",
         "What the threads that make log files and look up names do without work."),
    TEXT("driver_native_resource_agent_idle_strategy_args",
         "AERON_DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY_INIT_ARGS", helper_idle.arguments, "",
         "Its arguments; empty with sleep-ns: they block until somebody has work for them."),
    I32("conductor_cpu_affinity", "AERON_CONDUCTOR_CPU_AFFINITY", conductor_cpu, "-1", -1, CPU_MAX,
        "Processor of the conductor's (or the only) thread; -1 is any."),
    I32("sender_cpu_affinity", "AERON_SENDER_CPU_AFFINITY", sender_cpu, "-1", -1, CPU_MAX,
        "Processor of the sender's thread."),
    I32("receiver_cpu_affinity", "AERON_RECEIVER_CPU_AFFINITY", receiver_cpu, "-1", -1, CPU_MAX,
        "Processor of the receiver's thread."),
    I32("driver_native_resource_agent_cpu_affinity",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_CPU_AFFINITY", helper_cpu, "-1", -1, CPU_MAX,
        "Processor of the threads that make log files and look up names."),
    BOOL("driver_cpuset_affinity", "AERON_DRIVER_CPUSET_AFFINITY", cpuset_affinity, "false",
         "Pin conductor, sender and receiver to one processor each of those that the process may "
         "use, where no other option names one."),
    BOOL("driver_cpuset_warnings_as_errors", "AERON_DRIVER_CPUSET_WARNINGS_AS_ERRORS",
         cpuset_warnings_as_errors, "false",
         "Do not start when these are fewer than threads, instead of pinning none."),
    DURATION("driver_conductor_cycle_threshold", "AERON_DRIVER_CONDUCTOR_CYCLE_THRESHOLD",
             conductor_cycle_threshold_ns, "100ms", 0,
             "A conductor cycle that takes longer is counted."),
    DURATION("driver_sender_cycle_threshold", "AERON_DRIVER_SENDER_CYCLE_THRESHOLD",
             sender_cycle_threshold_ns, "100ms", 0, "A sender cycle that takes longer is counted."),
    DURATION("driver_receiver_cycle_threshold", "AERON_DRIVER_RECEIVER_CYCLE_THRESHOLD",
             receiver_cycle_threshold_ns, "100ms", 0,
             "A receiver cycle that takes longer is counted."),
    TEXT("agent_on_start_function", "AERON_AGENT_ON_START_FUNCTION", agent_on_start_function, "",
         "Function of a loaded library that each thread calls first: void f(void *, const char "
         "*role)."),
    {.key = "driver_dynamic_libraries",
     .env = "AERON_DRIVER_DYNAMIC_LIBRARIES",
     STORE(dynamic_libraries),
     .type = OPTION_LIST,
     .doc = "Libraries to load at start; their symbols can be named as plug-ins."},
    {.key = "event_log",
     .env = "AERON_EVENT_LOG",
     STORE(event_log),
     .type = OPTION_LIST,
     .doc = "Events to log from the start: all, admin (all but frames), FRAME_IN, FRAME_OUT, "
            "CMD_IN_ADD_PUBLICATION and so on, CMD_OUT_ERROR and so on."},
    {.key = "event_log_disable",
     .env = "AERON_EVENT_LOG_DISABLE",
     STORE(event_log_disable),
     .type = OPTION_LIST,
     .doc = "Events of these not to log."},
    {.key = "event_log_filename",
     .env = "AERON_EVENT_LOG_FILENAME",
     STORE(event_log_filename),
     .type = OPTION_PATH,
     .doc = "File that the events are appended to as text; empty is stdout."},
    {.key = "event_log_file_max_length",
     .env = "AERON_EVENT_LOG_FILE_MAX_LENGTH",
     STORE(event_log_length_max),
     .type = OPTION_SIZE,
     .default_text = "0",
     .max = INT64_MAX,
     .doc = "A file of this length becomes <name>.1 and a new one is begun; 0 is never."},
};

static const struct option_override lowcpu[] = {
    {"term_buffer_length", "4m"},
    {"ipc_term_buffer_length", "4m"},
    /* A wake-up costs 10 to 30 us here: every 4 ms is about 0.5 % of a processor. */
    {"conductor_idle_strategy_args", "10-20-1us-4ms"},
    {"sender_idle_strategy_args", "10-20-1us-4ms"},
    {"receiver_idle_strategy_args", "10-20-1us-4ms"},
    {"shared_idle_strategy_args", "10-20-1us-4ms"},
    {"sharednetwork_idle_strategy_args", "10-20-1us-4ms"},
};

static const struct option_override lowlatency[] = {
    {"threading_mode", "DEDICATED"},      {"conductor_idle_strategy", "spin"},
    {"sender_idle_strategy", "noop"},     {"receiver_idle_strategy", "noop"},
    {"shared_idle_strategy", "spin"},     {"sharednetwork_idle_strategy", "noop"},
    {"term_buffer_sparse_file", "false"}, {"file_page_size", "2m"},
    {"socket_so_rcvbuf", "2m"},           {"socket_so_sndbuf", "2m"},
    {"rcv_initial_window_length", "2m"},
};

static const struct option_profile profiles[] = {
    {"lowcpu", lowcpu, ARRAY_COUNT(lowcpu)},
    {"lowlatency", lowlatency, ARRAY_COUNT(lowlatency)},
};

static void check_idle(const struct driver_idle_conf *idle, const char *key,
                       struct options *options) {
    struct idle_strategy parsed;
    struct tern_error error;
    if (idle_strategy_is_known(idle->name) &&
        idle_strategy_parse(&parsed, idle->name, idle->arguments, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

static void check_ports(const char *text, const char *key, struct options *options) {
    uint16_t low;
    uint16_t high;
    struct tern_error error;
    if (driver_conf_port_range(text, &low, &high, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

static void check_interceptors(const struct driver_conf *conf, struct options *options) {
    struct interceptor interceptor;
    struct tern_error error;
    const char *key;
    bool is_wanted;
    if (interceptor_init(&interceptor, conf, net_system(), &is_wanted, &key, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

static void check_plugins(const struct driver_conf *conf, struct options *options) {
    struct tern_error error;
    driver_start_function function;
    if (driver_libraries_load(conf, &error) != 0) {
        options_refuse(options, "driver_dynamic_libraries", "%s", error.text);
        return;
    }
    if (driver_start_function_find(conf, &function, &error) != 0) {
        options_refuse(options, "agent_on_start_function", "%s", error.text);
    }
    const char *key;
    if (plugin_filter_check(conf, &key, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
    for (int use = 0; use < PLUGIN_USE_COUNT; use++) {
        const struct tern_driver_plugin_head *head;
        if (driver_plugin_find_for(conf, (enum plugin_use)use, &head, &error) != 0) {
            options_refuse(options, driver_plugin_key(conf, (enum plugin_use)use), "%s",
                           error.text);
        }
    }
}

static void check_events(const struct driver_conf *conf, struct options *options) {
    struct event_selection selection;
    struct tern_error error;
    if (event_selection_parse(&selection, conf->event_log, "", &error) != 0) {
        options_refuse(options, "event_log", "%s", error.text);
    }
    if (event_selection_parse(&selection, conf->event_log_disable, "", &error) != 0) {
        options_refuse(options, "event_log_disable", "%s", error.text);
    }
}

static void check_names(const struct driver_conf *conf, struct options *options) {
    const char *key;
    struct tern_error error;
    if (gossip_socket_check(conf, &key, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
    enum driver_name_resolver resolver = driver_conf_name_resolver(conf);
    bool has_table = resolver == DRIVER_NAME_RESOLVER_CSV_TABLE;
    if (resolver == DRIVER_NAME_RESOLVER_PLUGIN) {
        return; /* its arguments are its own */
    }
    struct name_table *table = name_table_create(conf->name_resolver_args, NULL, &error);
    if (table == NULL) {
        options_refuse(options, "name_resolver_init_args", "%s", error.text);
    } else if (has_table != (table->count > 0)) {
        options_refuse(options, "name_resolver_init_args",
                       "belongs with name_resolver_supplier=csv_table or a plug-in");
    }
    name_table_destroy(table);
}

static void check_lengths(const struct driver_conf *conf, struct options *options) {
    if (!is_power_of_two((int64_t)conf->conductor_buffer_length - RING_TRAILER_LENGTH)) {
        options_refuse(options, "conductor_buffer_length", "is not a power of two plus 768");
    }
    if (!is_power_of_two((int64_t)conf->clients_buffer_length - BROADCAST_TRAILER_LENGTH)) {
        options_refuse(options, "clients_buffer_length", "is not a power of two plus 128");
    }
    if (conf->counters_buffer_length % COUNTER_VALUE_LENGTH != 0) {
        options_refuse(options, "counters_buffer_length", "is not a multiple of 128");
    }
    if (conf->error_buffer_length % 8 != 0) {
        options_refuse(options, "error_buffer_length", "is not a multiple of 8");
    }
    int64_t sum = (int64_t)CNC_HEADER_LENGTH + conf->conductor_buffer_length +
                  conf->clients_buffer_length + 5 * (int64_t)conf->counters_buffer_length +
                  conf->error_buffer_length;
    if (align_i64(sum, conf->file_page_size) > INT32_MAX) {
        options_refuse(options, "counters_buffer_length",
                       "makes cnc.dat larger than 2^31-1 bytes together with the other buffers");
    }
}

static void check_times(const struct driver_conf *conf, struct options *options) {
    if (conf->client_liveness_timeout_ns <= conf->timer_interval_ns) {
        options_refuse(options, "client_liveness_timeout", "must be longer than timer_interval");
    }
    if (conf->unblock_timeout_ns <= conf->client_liveness_timeout_ns) {
        options_refuse(options, "publication_unblock_timeout",
                       "must be longer than client_liveness_timeout");
    }
    if (conf->untethered_window_limit_timeout_ns <= conf->timer_interval_ns) {
        options_refuse(options, "untethered_window_limit_timeout",
                       "must be longer than timer_interval");
    }
    if (conf->untethered_resting_timeout_ns <= conf->timer_interval_ns) {
        options_refuse(options, "untethered_resting_timeout", "must be longer than timer_interval");
    }
    int64_t linger_ns;
    if (strcmp(conf->untethered_linger_timeout, "-1") != 0 &&
        (parse_duration_ns(conf->untethered_linger_timeout, &linger_ns) != 0 ||
         linger_ns <= conf->timer_interval_ns)) {
        options_refuse(options, "untethered_linger_timeout",
                       "must be -1 or a duration longer than timer_interval");
    }
    if (conf->nak_unicast_delay_ns > INT64_MAX / conf->nak_unicast_retry_ratio) {
        options_refuse(options, "nak_unicast_delay", "times the retry ratio is too long");
    }
}

static void check(const void *context, struct options *options) {
    const struct driver_conf *conf = context;
    check_lengths(conf, options);
    check_times(conf, options);
    check_names(conf, options);
    check_plugins(conf, options);
    check_idle(&conf->conductor_idle, "conductor_idle_strategy", options);
    check_idle(&conf->sender_idle, "sender_idle_strategy", options);
    check_idle(&conf->receiver_idle, "receiver_idle_strategy", options);
    check_idle(&conf->shared_idle, "shared_idle_strategy", options);
    check_idle(&conf->shared_network_idle, "sharednetwork_idle_strategy", options);
    check_idle(&conf->helper_idle, "driver_native_resource_agent_idle_strategy", options);
    check_ports(conf->sender_port_range, "sender_wildcard_port_range", options);
    check_ports(conf->receiver_port_range, "receiver_wildcard_port_range", options);
    check_events(conf, options);
    check_interceptors(conf, options);
    if (conf->reserved_session_id_low > conf->reserved_session_id_high) {
        options_refuse(options, "publication_reserved_session_id_low",
                       "is above publication_reserved_session_id_high");
    }
    int64_t tag;
    if (conf->receiver_group_tag[0] != '\0' && parse_i64(conf->receiver_group_tag, &tag) != 0) {
        options_refuse(options, "receiver_group_tag", "is not a number");
    }
    if (strlen(conf->directory) > DRIVER_DIRECTORY_MAX - 2) {
        options_refuse(options, "dir", "is too long");
    }
}

const struct option_table driver_option_table = {
    .daemon = "driverd",
    .summary = "media driver: moves messages between local clients and over UDP",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .conf_size = sizeof(struct driver_conf),
    .profile_key = "profile",
    .profiles = profiles,
    .profile_count = ARRAY_COUNT(profiles),
    .check = check,
};

void driver_conf_defaults(struct driver_conf *conf) {
    struct options options;
    char *nothing[] = {NULL};
    int errors = options_load(&options, &driver_option_table, conf, NULL, nothing);
    assert(errors == 0);
    (void)errors;
}

int driver_conf_port_range(const char *text, uint16_t *low, uint16_t *high,
                           struct tern_error *error) {
    char *end;
    errno = 0;
    long first = strtol(text, &end, 10);
    long last = end == text ? -1 : strtol(end, &end, 10);
    while (*end == ' ') {
        end++;
    }
    bool is_off = first == 0 && last == 0;
    if (errno != 0 || *end != '\0' || first < 0 || last < first || last > UINT16_MAX ||
        (first == 0 && !is_off)) {
        return error_set(error, -EINVAL, "'%s' is not \"low high\" with ports 1..65535, or \"0 0\"",
                         text);
    }
    *low = (uint16_t)first;
    *high = (uint16_t)last;
    return 0;
}

/* Index of a text in a list of names, or how many there are. */
static int choose(const char *text, const char *const *names) {
    int index = 0;
    while (names[index] != NULL && strcasecmp(names[index], text) != 0) {
        index++;
    }
    return index;
}

enum driver_termination driver_conf_termination(const struct driver_conf *conf) {
    return (enum driver_termination)choose(conf->termination, termination_names);
}

enum driver_congestion driver_conf_congestion(const struct driver_conf *conf) {
    return (enum driver_congestion)choose(conf->congestion_supplier, congestion_names);
}

enum driver_name_resolver driver_conf_name_resolver(const struct driver_conf *conf) {
    return (enum driver_name_resolver)choose(conf->name_resolver, name_resolver_names);
}

int64_t driver_conf_untethered_linger_ns(const struct driver_conf *conf) {
    int64_t linger_ns = conf->untethered_window_limit_timeout_ns;
    (void)parse_duration_ns(conf->untethered_linger_timeout, &linger_ns); /* "-1" is no duration */
    return linger_ns;
}

bool driver_conf_receiver_group_tag(const struct driver_conf *conf, int64_t *tag) {
    return conf->receiver_group_tag[0] != '\0' && parse_i64(conf->receiver_group_tag, tag) == 0;
}

const char *driver_conf_flow_control(const struct driver_conf *conf, bool is_group) {
    const char *class =
        is_group ? conf->multicast_flow_control_class : conf->unicast_flow_control_class;
    return class[0] != '\0' ? class
           : is_group       ? conf->multicast_flow_control
                            : conf->unicast_flow_control;
}

const char *driver_threading_name(int threading) {
    assert(threading >= 0 && threading <= DRIVER_THREADING_INVOKER);
    return threading_names[threading];
}

/* The ABI between driverd and its plug-ins: code of a library that decides something for a media
 * driver (media-driver.md 7).
 *
 * A plug-in is an exported struct that begins with a head:
 *
 *     TERN_API const struct tern_termination_plugin by_password = {
 *         .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION,
 *                                         struct tern_termination_plugin, "by-password", "1.0"),
 *         .create = create, .destroy = destroy, .is_allowed = is_allowed,
 *     };
 *
 * driverd.conf names it by library and symbol, or by the symbol alone, which is then looked for in
 * the libraries of driver_dynamic_libraries, in their order:
 *
 *     driver_termination_validator = "/usr/lib/tern/mine.so:by_password";
 *
 * A library that cannot be loaded, a symbol that is not there, a plug-in of another kind or version
 * stops the start (and --check-config) with exit code 78 and the line of the option. Libraries stay
 * loaded until the process ends. `ternctl driver plugins` shows what is in use.
 *
 * Options, by kind:
 *
 *     idle           conductor_, sender_, receiver_, shared_, sharednetwork_ and
 *                    driver_native_resource_agent_idle_strategy
 *     termination    driver_termination_validator
 *     flow control   unicast_flowcontrol_supplier, multicast_flowcontrol_supplier (and the two
 *                    ..._flow_control_strategy)
 *     congestion     congestioncontrol_supplier
 *     names          name_resolver_supplier
 *     interceptor    udp_channel_outgoing_interceptors, udp_channel_incoming_interceptors
 *     endpoint       sendchannelendpoint_supplier, receivechannelendpoint_supplier
 *     transport      udp_channel_transport_bindings_media,
 *                    conductor_udp_channel_transport_bindings_media
 *
 * Instances. `create` makes one (of which there may be many: one per thread, stream or socket, as
 * each struct says) and returns its state, which is handed to all other functions of the instance;
 * `destroy` ends it, after all other calls. A plug-in keeps no mutable static data: several drivers
 * can live in one process. Without `create` the state is NULL and nothing is destroyed; `create`
 * that returns NULL has failed, with the reason in *error. `create` and `destroy` may be NULL in
 * every kind; of the others those whose comment says so.
 *
 * Threads. Each struct says which threads call it. But for the resolver of names nothing may block,
 * and what is called for each datagram or duty cycle should not allocate: it is part of the duty
 * cycle of the agent. Where nothing else is said, calls of one instance do not overlap.
 *
 * Arguments are borrowed for the call. Times are of one monotonic clock, in nanoseconds; positions
 * are bytes since the start of the stream; functions that return int return 0 or a negative code,
 * mostly -errno, with a text in *error (tern/error.h).
 *
 * Compatibility. `abi_version` changes when something changes its meaning: driver and plug-in then
 * refuse each other. `size` grows when fields are added at the end of a struct.
 */
#ifndef TERN_DRIVER_PLUGIN_H
#define TERN_DRIVER_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <tern/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_DRIVER_PLUGIN_MAGIC 0x4E726554u /* "TerN" */
#define TERN_DRIVER_PLUGIN_ABI_VERSION 1

enum tern_driver_plugin_kind {
    TERN_DRIVER_PLUGIN_IDLE = 1,
    TERN_DRIVER_PLUGIN_TERMINATION = 2,
    TERN_DRIVER_PLUGIN_FLOW_CONTROL = 3,
    TERN_DRIVER_PLUGIN_CONGESTION = 4,
    TERN_DRIVER_PLUGIN_NAMES = 5,
    TERN_DRIVER_PLUGIN_INTERCEPTOR = 6,
    TERN_DRIVER_PLUGIN_ENDPOINT = 7,
    TERN_DRIVER_PLUGIN_TRANSPORT = 8,
};

/* What the driver looks at first; made by TERN_DRIVER_PLUGIN_HEAD. The texts are static. */
struct tern_driver_plugin_head {
    uint32_t magic;
    uint32_t abi_version;
    uint32_t kind; /* enum tern_driver_plugin_kind */
    uint32_t size; /* of the whole struct */
    const char *name;
    const char *version; /* of the plug-in; both are shown by ternctl */
};

#define TERN_DRIVER_PLUGIN_HEAD(kind_, type_, name_, version_)                                     \
    {                                                                                              \
        TERN_DRIVER_PLUGIN_MAGIC, TERN_DRIVER_PLUGIN_ABI_VERSION, kind_, sizeof(type_), name_,     \
            version_                                                                               \
    }

/* -- idle strategies (media-driver.md 6.3) -- */

/* How a thread can block so that the driver's own work ends the wait: a datagram, a message of
 * another agent. Commands and data of local clients come through shared memory and do not: what
 * waits for a long time answers them late. */
struct tern_idle_wait {
    void *context;
    /* Block at most timeout_ns; pass it the context above. */
    void (*wait)(void *context, int64_t timeout_ns);
};

/* One instance per thread. created and destroyed on the thread that starts the driver; `idle` is
 * called by its own thread after each duty cycle with the work done in it (0: none). */
struct tern_idle_plugin {
    struct tern_driver_plugin_head head;
    /* `arguments` is the option ..._args, "" when absent; `agent` names the thread: "driverd" (the
     * main thread), "sender", "receiver", "sender,receiver", "log-agent", "resolver",
     * "resolver-again". */
    void *(*create)(const char *arguments, const char *agent, struct tern_error *error);
    void (*destroy)(void *state);
    /* Rest, when work_count is 0; `wait` is valid during the call. */
    void (*idle)(void *state, int work_count, const struct tern_idle_wait *wait);
};

/* -- termination (media-driver.md 6.11) -- */

/* One instance per driver, on the conductor's thread. */
struct tern_termination_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(struct tern_error *error);
    void (*destroy)(void *state);
    /* May the client that sent this token (`length` bytes, 0: none; without a NUL) end the driver?
     */
    bool (*is_allowed)(void *state, const void *token, int32_t length);
};

/* -- flow control (media-driver.md 4.1 to 4.6) -- */

/* The stream that an instance is made for; lengths in bytes. */
struct tern_flow_control_params {
    const char *channel; /* of the publication */
    int32_t stream_id;
    int32_t session_id;
    int32_t term_length;
    int32_t mtu_length;
    bool is_group; /* multicast or several destinations */
    /* flow_control_receiver_timeout, flow_control_group_tag, flow_control_group_min_size */
    int64_t receiver_timeout_ns;
    int64_t group_tag;
    int32_t group_size_min;
};

/* A status message of a receiver: it has consumed up to `position` and has room for
 * `window_bytes` from there. */
struct tern_flow_control_sm {
    int64_t position;
    int64_t window_bytes;
    int64_t receiver_id;
    int64_t group_tag;
    bool has_group_tag;
    bool is_eos; /* the receiver goes */
};

/* One instance per network publication for which the channel does not choose by `fc`; `fc` counts
 * for groups only. `create` and `destroy` run on the conductor's thread, the rest on the sender's.
 * The limit is the position up to which the sender may send: `limit` is the one in force, what is
 * returned is in force from then on. It may fall, also below what was sent already. A receiver
 * tells of its progress when it has consumed a quarter of its window: who allows less than that
 * waits for ever. */
struct tern_flow_control_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(const struct tern_flow_control_params *params, struct tern_error *error);
    void (*destroy)(void *state);
    /* Returns the limit from now on; a negative one counts as 0. */
    int64_t (*on_status_message)(void *state, const struct tern_flow_control_sm *sm, int64_t limit,
                                 int64_t now_ns);
    /* Each duty cycle that sends nothing, or at least now and then. Returns the limit from now on.
     * NULL: it stays. */
    int64_t (*on_idle)(void *state, int64_t limit, int64_t now_ns);
    /* A receiver asked for a SETUP. NULL, here and for the next two: it does not matter. */
    void (*on_setup_requested)(void *state, const struct tern_flow_control_sm *sm);
    /* That SETUP goes out. */
    void (*on_setup)(void *state, int64_t limit, int64_t now_ns);
    /* A receiver refused the stream. */
    void (*on_error)(void *state, int64_t receiver_id);
    /* False: the publication counts as not connected. NULL: always true. */
    bool (*has_required_receivers)(void *state);
    /* Receivers that govern the limit, for the counter fc-receivers. NULL: no such counter. */
    int32_t (*receiver_count)(void *state);
};

/* -- congestion control (media-driver.md 4.7) -- */

/* The image that an instance is made for; lengths in bytes. */
struct tern_congestion_params {
    const char *channel; /* of the subscription */
    int32_t stream_id;
    int32_t session_id;
    int32_t term_length;
    int32_t mtu_length;
    int32_t window_max_bytes; /* configured, and at most half a term */
};

/* What a look at the received stream found. */
struct tern_congestion_event {
    bool is_loss_found;       /* a gap that was not known before */
    int64_t consumed;         /* position of the slowest subscriber */
    int64_t last_sm_position; /* of the last status message */
    int64_t rtt_ns;           /* measured, or cubiccongestioncontrol_initialrtt before it was */
    int32_t window_bytes;     /* in force */
};

/* One instance per image of a network stream, whatever the channel says in `cc`; all on the
 * conductor's thread. */
struct tern_congestion_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(const struct tern_congestion_params *params, struct tern_error *error);
    void (*destroy)(void *state);
    /* The first window, 1 to window_max_bytes; what is beyond is cut to that, here and below. */
    int32_t (*initial_window)(void *state);
    /* Returns the window from now on. *force_sm (false when called): send a status message now. */
    int32_t (*on_rebuild)(void *state, const struct tern_congestion_event *event, int64_t now_ns,
                          bool *force_sm);
    bool measures_rtt; /* ask the sender for round trips */
};

/* -- names (media-driver.md 5.9) -- */

/* ASK_SYSTEM: the plug-in does not know the name, the system may. */
enum tern_name_result { TERN_NAME_FOUND = 0, TERN_NAME_ASK_SYSTEM = 1 };

/* One instance per driver. `create` and `destroy` run on the thread that starts the driver;
 * `resolve` on the two helper threads, which may call at the same time, and may block (in threading
 * mode INVOKER the driver waits for it). An instance that is stuck in `resolve` when the driver
 * ends is not destroyed. */
struct tern_name_resolver_plugin {
    struct tern_driver_plugin_head head;
    /* The option name_resolver_init_args, "" when absent. */
    void *(*create)(const char *arguments, struct tern_error *error);
    void (*destroy)(void *state);
    /* `name` has no port and is no numeric address; the port of *address is not looked at.
     * TERN_NAME_FOUND, TERN_NAME_ASK_SYSTEM or a negative code. */
    int (*resolve)(void *state, const char *name, struct sockaddr_storage *address,
                   struct tern_error *error);
};

/* -- datagrams -- */

/* One datagram on its way. `address` is where it comes from or goes to, NULL when it goes to the
 * peer that the socket is connected to. The bytes are those of the wire (media-driver.md 1). */
struct tern_datagram {
    const void *data;
    uint32_t length;
    const struct sockaddr *address;
};

/* Looks at each datagram of a direction, in the order of the option's list; before the built-in
 * interceptors at what is sent, behind them at what is received. Not asked about the gossip of
 * names. One instance for each place in a list, made by the thread that starts the driver. `passes`
 * is called by the threads of sender and receiver, which may call at the same time. With one (or an
 * endpoint) the driver does not use UDP_GRO. */
struct tern_interceptor_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(bool is_outgoing, struct tern_error *error);
    void (*destroy)(void *state);
    /* False: drop it. The other side sees a loss. */
    bool (*passes)(void *state, const struct tern_datagram *datagram);
};

/* The socket that an instance is made for. */
struct tern_endpoint_params {
    const char *channel;          /* as its first user gave it */
    bool is_send;                 /* of publications, else of subscriptions */
    const struct sockaddr *local; /* what the socket is bound to */
};

/* The same for the sockets of one side: one instance per socket (a multicast publication has two, a
 * subscription with several destinations one for each; all publications of a channel share one).
 * `create` and `destroy` run on the conductor's thread; the rest on that of the sender or the
 * receiver, whose socket it is. */
struct tern_endpoint_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(const struct tern_endpoint_params *params, struct tern_error *error);
    void (*destroy)(void *state);
    /* False: drop it. NULL: all pass. */
    bool (*on_send)(void *state, const struct tern_datagram *datagram);
    /* The same for what arrives. */
    bool (*on_receive)(void *state, const struct tern_datagram *datagram);
};

/* -- transports -- */

/* The socket that is wanted. */
struct tern_transport_socket_params {
    const struct sockaddr *bind;    /* address and port (0: any) */
    const struct sockaddr *connect; /* NULL: not connected */
    const struct sockaddr *group;   /* multicast group to join; NULL: none */
    /* To join with and send to groups from: an address (IPv4), an index (IPv6); wildcard and 0: as
     * the system routes. */
    const struct sockaddr *group_interface;
    uint32_t group_interface_index;
    bool sends_to_groups;
    uint8_t ttl;          /* 0: leave the default */
    int32_t rcvbuf_bytes; /* 0: leave the default; likewise */
    int32_t sndbuf_bytes;
    bool has_arrival_times; /* fill arrival_epoch_ns */
};

/* One datagram to send, or room for one to receive. */
struct tern_transport_datagram {
    void *data;
    uint32_t capacity;                /* received */
    uint32_t length;                  /* to send; of what was received */
    struct sockaddr_storage *address; /* received: from whom. Sent: to whom; NULL: the peer */
    int64_t arrival_epoch_ns;         /* received; 0: not known */
};

/* Datagrams by other means than the system's UDP sockets. One instance per driver and option. A
 * socket is a file descriptor of the plug-in's that epoll finds readable when something can be
 * received, and that is closed by `close` alone. `open` and `close` run on the conductor's thread,
 * `connect` on the sender's; `send` and `receive` on the threads of sender and receiver, for one
 * socket mostly on one of them at a time, but what is received may be answered while it is sent to.
 * None of them blocks. */
struct tern_transport_plugin {
    struct tern_driver_plugin_head head;
    void *(*create)(struct tern_error *error);
    void (*destroy)(void *state);
    /* 0 with the descriptor in *socket and the address with the real port in *bound. */
    int (*open)(void *state, const struct tern_transport_socket_params *params, int *socket,
                struct sockaddr_storage *bound, struct tern_error *error);
    /* Another peer for a connected socket. */
    int (*connect)(void *state, int socket, const struct sockaddr *address,
                   struct tern_error *error);
    /* No call with this socket follows. */
    void (*close)(void *state, int socket);
    /* How many of the `count` were taken, in their order, or -errno. 0: it would block. */
    int (*send)(void *state, int socket, const struct tern_transport_datagram *datagrams,
                int count);
    /* How many arrived, at most `count`, or -errno. 0: there is none. */
    int (*receive)(void *state, int socket, struct tern_transport_datagram *datagrams, int count);
};

#ifdef __cplusplus
}
#endif

#endif

/* What no driver may take for one of its plug-ins. */
#include <errno.h>
#include <stdio.h>

#include <tern/driver_plugin.h>

TERN_API const struct tern_termination_plugin of_tomorrow = {
    .head = {TERN_DRIVER_PLUGIN_MAGIC, TERN_DRIVER_PLUGIN_ABI_VERSION + 1,
             TERN_DRIVER_PLUGIN_TERMINATION, sizeof(struct tern_termination_plugin), "of_tomorrow",
             "2.0"},
};

TERN_API const struct tern_termination_plugin without_functions = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "without_functions", "1.0"),
};

TERN_API const struct tern_driver_plugin_head too_short = {
    TERN_DRIVER_PLUGIN_MAGIC,
    TERN_DRIVER_PLUGIN_ABI_VERSION,
    TERN_DRIVER_PLUGIN_TERMINATION,
    sizeof(struct tern_driver_plugin_head),
    "too_short",
    "1.0",
};

TERN_API const char something_else[64] = "a text";

static void *refuse(struct tern_error *error) {
    (void)error;
    return NULL;
}

static bool deny(void *state, const void *token, int32_t length) {
    (void)state;
    (void)token;
    (void)length;
    return false;
}

TERN_API const struct tern_termination_plugin that_refuses = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "that_refuses", "1.0"),
    .create = refuse,
    .is_allowed = deny,
};

/* As one does who is used to errno. */
static void *refuse_by_errno(struct tern_error *error) {
    error->code = EPERM;
    (void)snprintf(error->text, sizeof error->text, "not today");
    return NULL;
}

TERN_API const struct tern_termination_plugin that_has_errno = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TERMINATION, struct tern_termination_plugin,
                                    "that_has_errno", "1.0"),
    .create = refuse_by_errno,
    .is_allowed = deny,
};

static int open_socket(void *state, const struct tern_transport_socket_params *params, int *socket,
                       struct sockaddr_storage *bound, struct tern_error *error) {
    (void)state;
    (void)params;
    (void)socket;
    (void)bound;
    (void)refuse_by_errno(error);
    return -1;
}

static int connect_socket(void *state, int socket, const struct sockaddr *address,
                          struct tern_error *error) {
    (void)state;
    (void)socket;
    (void)address;
    (void)error;
    return -1;
}

static void close_socket(void *state, int socket) {
    (void)state;
    (void)socket;
}

static int send_nothing(void *state, int socket, const struct tern_transport_datagram *datagrams,
                        int count) {
    (void)state;
    (void)socket;
    (void)datagrams;
    (void)count;
    return 0;
}

static int receive_nothing(void *state, int socket, struct tern_transport_datagram *datagrams,
                           int count) {
    (void)state;
    (void)socket;
    (void)datagrams;
    (void)count;
    return 0;
}

#define TRANSPORT_HEAD(name_)                                                                      \
    TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_TRANSPORT, struct tern_transport_plugin, name_,     \
                            "1.0")

TERN_API const struct tern_transport_plugin transport_that_refuses = {
    .head = TRANSPORT_HEAD("transport_that_refuses"),
    .create = refuse_by_errno,
    .open = open_socket,
    .connect = connect_socket,
    .close = close_socket,
    .send = send_nothing,
    .receive = receive_nothing,
};

TERN_API const struct tern_transport_plugin transport_without_sockets = {
    .head = TRANSPORT_HEAD("transport_without_sockets"),
    .open = open_socket,
    .connect = connect_socket,
    .close = close_socket,
    .send = send_nothing,
    .receive = receive_nothing,
};

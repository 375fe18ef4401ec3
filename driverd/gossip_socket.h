/* The gossip of names between drivers: its socket, its counters and its place in the driver
 * (media-driver.md 5.10). The protocol is in gossip.h.
 *
 * The conductor runs it: names that were heard are found without asking anybody, and a name service
 * that hangs holds up neither hearing nor telling. Bootstrap neighbors are looked up by the
 * resolver agent. Conductor only.
 */
#ifndef DRIVERD_GOSSIP_SOCKET_H
#define DRIVERD_GOSSIP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "driverd/gossip.h"

struct driver_conf;
struct driver_context;
struct resolve_result;
struct resolver;

struct gossip_socket {
    struct driver_context *context;
    struct resolver *resolver;
    struct gossip gossip;
    bool is_open;
    int handle;
    uint8_t *buffer; /* of one datagram */
    int64_t work_deadline_ns;
    int64_t refused_count; /* as of the last report */
    int32_t neighbors_counter_id;
    int32_t names_counter_id;
    int32_t bootstrap_counter_ids[GOSSIP_BOOTSTRAP_MAX];
};

/* Is it configured? The text of its options is judged by gossip_socket_check. */
bool gossip_is_enabled(const struct driver_conf *conf);
/* *key is the option that is wrong. */
int gossip_socket_check(const struct driver_conf *conf, const char **key, struct tern_error *error);

/* Binds, makes the counters, and becomes the resolver's source of names. */
int gossip_socket_open(struct gossip_socket *socket, struct driver_context *context,
                       struct resolver *resolver, struct tern_error *error);
/* Fine on a zeroed socket. */
void gossip_socket_close(struct gossip_socket *socket);
/* Each duty cycle; looks at the network every 10 ms. */
int gossip_socket_do_work(struct gossip_socket *socket, int64_t now_ns);
/* A result of RESOLVE_BOOTSTRAP. */
void gossip_socket_on_resolved(struct gossip_socket *socket, const struct resolve_result *result);

#endif

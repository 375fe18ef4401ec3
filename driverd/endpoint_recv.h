/* A receive channel endpoint: the socket that the subscriptions of one channel share, its receiver
 * id and its dispatcher (media-driver.md 3.1, 5.1, 5.5).
 *
 * The conductor makes it, counts its references and frees it; until is_released the receiver uses
 * the socket and the dispatcher. Fields are grouped by owner.
 */
#ifndef DRIVERD_ENDPOINT_RECV_H
#define DRIVERD_ENDPOINT_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/dispatcher.h"
#include "driverd/endpoint_socket.h"
#include "driverd/udp_channel.h"

struct driver_context;
struct receiver;
struct resolve_result;
struct resolver;

struct endpoint_recv {
    /* conductor */
    int64_t id; /* unique in the driver, never reused */
    struct udp_channel *channel;
    enum endpoint_state state;
    int32_t reference_count; /* subscriptions and images that use it */
    int32_t window_bytes;    /* rcv-wnd or the configured initial window */
    bool is_removed;         /* the remove command is on its way to the receiver */
    bool is_resolving;
    int64_t asked_ns; /* last re-resolution */
    /* set before the hand-over, read by both */
    struct endpoint_socket socket;
    int64_t receiver_id;
    bool has_group_tag;
    int64_t group_tag;
    bool has_explicit_control;
    /* receiver */
    struct dispatcher dispatcher;
    union net_address control; /* explicit control address */
    int64_t next_elicitation_ns;
    int64_t last_error_ns; /* a broken socket is reported once per second */
    /* written by the receiver, read by the conductor (release / acquire) */
    int64_t last_frame_time_ns;
    uint8_t is_released;
};

/* All receive endpoints of a driver. Conductor only. */
struct endpoint_recv_table {
    struct driver_context *context;
    struct receiver *receiver;
    struct resolver *resolver;
    struct port_range ports;
    struct endpoint_recv **endpoints;
    int32_t count;
    int32_t capacity;
    int32_t closing_count;
    int64_t next_id;
    int64_t next_receiver_id; /* random at start, then counts up */
};

int endpoint_recv_table_init(struct endpoint_recv_table *table, struct driver_context *context,
                             struct receiver *receiver, struct resolver *resolver);
/* Frees everything; the receiver must not run any more. */
void endpoint_recv_table_close(struct endpoint_recv_table *table);

/* Find the endpoint that the resolved channel means, or make it; takes a reference for the caller.
 * On success the endpoint owns the channel (or has freed it); on failure the caller still does. */
int endpoint_recv_acquire(struct endpoint_recv_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_recv **endpoint,
                          struct tern_error *error);
/* By id, for messages of the receiver; NULL when gone or closing. */
struct endpoint_recv *endpoint_recv_by_id(const struct endpoint_recv_table *table, int64_t id);
void endpoint_recv_reference(struct endpoint_recv *endpoint);
void endpoint_recv_release(struct endpoint_recv_table *table, struct endpoint_recv *endpoint);

/* Each duty cycle: free what the receiver has let go. Cheap when nothing is closing. */
int endpoint_recv_table_do_work(struct endpoint_recv_table *table);
/* Every re-resolution check interval: ask anew for control names that have been silent (5.9). */
void endpoint_recv_table_check_names(struct endpoint_recv_table *table, int64_t now_ns);
/* The answer: a result of RESOLVE_RECV_CONTROL. */
void endpoint_recv_table_on_resolved(struct endpoint_recv_table *table,
                                     const struct resolve_result *result);

#endif

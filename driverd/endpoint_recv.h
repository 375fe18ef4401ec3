/* A receive channel endpoint: the socket that the subscriptions of one channel share, its counters,
 * its receiver id and its dispatcher (media-driver.md 3.1, 5.1, 5.5).
 *
 * The conductor makes, counts references of and frees it; until is_released the receiver uses the
 * socket and the dispatcher. Fields are grouped by owner.
 */
#ifndef DRIVERD_ENDPOINT_RECV_H
#define DRIVERD_ENDPOINT_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/dispatcher.h"
#include "driverd/endpoint_send.h" /* endpoint_state, channel_status */
#include "driverd/udp_channel.h"

struct driver_context;
struct receiver;

struct endpoint_recv {
    /* conductor */
    int64_t id; /* unique in the driver, never reused */
    struct udp_channel *channel;
    enum endpoint_state state;
    int32_t reference_count; /* subscriptions and images that use it */
    int32_t status_counter_id;
    int32_t address_counter_id;
    uint16_t wildcard_port;
    union net_address bound;
    int32_t so_rcvbuf_bytes; /* in force */
    int32_t window_bytes;    /* rcv-wnd or the configured initial window */
    bool is_resolving;
    /* set before the hand-over, read by the receiver */
    int socket;
    int64_t receiver_id;
    bool has_group_tag;
    int64_t group_tag;
    bool has_explicit_control;
    /* receiver */
    struct dispatcher dispatcher;
    union net_address control; /* explicit control address */
    int64_t next_elicitation_ns;
    /* written by the receiver, read by the conductor (release / acquire) */
    int64_t last_frame_time_ns;
    uint8_t is_released;
};

/* All receive endpoints of a driver. Conductor only. */
struct endpoint_recv_table {
    struct driver_context *context;
    struct receiver *receiver;
    struct endpoint_recv **endpoints;
    int32_t count;
    int32_t capacity;
    int32_t closing_count;
    int64_t next_id;
    int64_t next_receiver_id; /* random at start, then counts up */
};

void endpoint_recv_table_init(struct endpoint_recv_table *table, struct driver_context *context,
                              struct receiver *receiver);
void endpoint_recv_table_close(struct endpoint_recv_table *table);

/* As endpoint_send_acquire; the reference is the subscription's. */
int endpoint_recv_acquire(struct endpoint_recv_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_recv **endpoint,
                          struct tern_error *error);
/* By id, for messages of the receiver; NULL when gone or closing. */
struct endpoint_recv *endpoint_recv_by_id(const struct endpoint_recv_table *table, int64_t id);
void endpoint_recv_reference(struct endpoint_recv *endpoint);
void endpoint_recv_release(struct endpoint_recv_table *table, struct endpoint_recv *endpoint);

int endpoint_recv_table_do_work(struct endpoint_recv_table *table);
void endpoint_recv_table_on_timer(struct endpoint_recv_table *table, int64_t now_ns);

#endif

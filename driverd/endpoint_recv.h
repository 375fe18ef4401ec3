/* A receive channel endpoint: the sockets that the subscriptions of one channel share, its receiver
 * id and its dispatcher (media-driver.md 3.1, 5.1, 5.5, 5.7).
 *
 * The conductor makes it, counts its references and frees it; until is_released the receiver uses
 * the destinations and the dispatcher. Fields are grouped by owner.
 */
#ifndef DRIVERD_ENDPOINT_RECV_H
#define DRIVERD_ENDPOINT_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/destination_recv.h"
#include "driverd/dispatcher.h"
#include "driverd/endpoint_socket.h"
#include "driverd/udp_channel.h"

struct driver_context;
struct receiver;
struct resolve_result;
struct resolver;

#define ENDPOINT_DESTINATIONS_MAX 32

struct endpoint_recv {
    /* conductor */
    int64_t id; /* unique in the driver, never reused */
    int64_t registration_id;
    struct udp_channel *channel;
    enum endpoint_state state;
    int32_t reference_count; /* subscriptions and images that use it */
    int32_t subscription_count;
    bool is_vacated;      /* has given up its socket: no channel finds it any more */
    int32_t window_bytes; /* rcv-wnd or the configured initial window */
    int32_t rcvbuf_bytes; /* SO_RCVBUF of its sockets at least */
    int32_t status_counter_id;
    bool is_removed;        /* the remove command is on its way to the receiver */
    int32_t removing_count; /* destinations on their way out */
    /* By index; NULL: free. A place is free again when the receiver has let go. */
    struct destination_recv *destinations[ENDPOINT_DESTINATIONS_MAX];
    /* set before the hand-over, read by both */
    bool is_manual; /* destinations come and go by command */
    int64_t receiver_id;
    bool has_group_tag;
    int64_t group_tag;
    /* receiver */
    struct dispatcher dispatcher;
    struct destination_recv *active[ENDPOINT_DESTINATIONS_MAX]; /* that it polls, by index */
    /* written by the receiver, read by the conductor (release / acquire) */
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
    int32_t closing_count;  /* endpoints on their way out */
    int32_t removing_count; /* destinations on their way out */
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
/* Give back what acquire took. */
void endpoint_recv_unsubscribe(struct endpoint_recv_table *table, struct endpoint_recv *endpoint);

/* Destinations of a manual endpoint. The channel is the endpoint's after a successful add. */
int endpoint_recv_add_destination(struct endpoint_recv_table *table, struct endpoint_recv *endpoint,
                                  struct udp_channel *channel, struct tern_error *error);
/* One that is not there is gone already: no error. */
int endpoint_recv_remove_destination(struct endpoint_recv_table *table,
                                     struct endpoint_recv *endpoint,
                                     const struct udp_channel *channel, struct tern_error *error);
/* By id, for messages of the receiver; NULL when gone or going. */
struct destination_recv *endpoint_recv_destination(const struct endpoint_recv *endpoint,
                                                   int64_t id);

/* Is any endpoint or destination on its way out; is one that holds the port of `address`? */
bool endpoint_recv_table_is_closing(const struct endpoint_recv_table *table);
bool endpoint_recv_table_is_leaving(const struct endpoint_recv_table *table,
                                    const union net_address *address);
/* The port is wanted: take it from an endpoint without subscriptions, which only images hold that
 * are about to end. */
void endpoint_recv_table_vacate(struct endpoint_recv_table *table,
                                const union net_address *address);

/* Each duty cycle: free what the receiver has let go. Cheap when nothing is closing. */
int endpoint_recv_table_do_work(struct endpoint_recv_table *table);
/* Every re-resolution check interval: ask anew for control names that have been silent (5.9). */
void endpoint_recv_table_check_names(struct endpoint_recv_table *table, int64_t now_ns);
/* The answer: a result of RESOLVE_RECV_CONTROL. */
void endpoint_recv_table_on_resolved(struct endpoint_recv_table *table,
                                     const struct resolve_result *result);

#endif

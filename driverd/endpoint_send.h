/* A send channel endpoint: the socket that the publications of one channel share, and its
 * destinations (media-driver.md 5.1, 5.3, 5.5, 5.6).
 *
 * The conductor makes it, counts its references and frees it; from its creation to is_released the
 * sender uses the socket. Fields are grouped by owner.
 */
#ifndef DRIVERD_ENDPOINT_SEND_H
#define DRIVERD_ENDPOINT_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash_map.h"
#include "base/net.h"
#include "driverd/destination.h"
#include "driverd/endpoint_socket.h"
#include "driverd/udp_channel.h"

struct driver_context;
struct resolve_result;
struct resolver;
struct sender;

struct endpoint_send {
    /* conductor */
    struct udp_channel *channel;
    enum endpoint_state state;
    int64_t registration_id; /* of the command that made it; its identity */
    int32_t reference_count; /* publications that use it */
    bool is_removed;         /* the remove command is on its way to the sender */
    bool is_resolving;
    int64_t asked_ns;                        /* last re-resolution */
    int32_t destinations_counter_id;         /* -1: not MDC */
    struct destination *manual_destinations; /* list by `next` */
    /* set before the hand-over, read by both */
    struct endpoint_socket socket;
    struct control_source control;
    bool is_mdc;
    bool is_group; /* multicast or MDC */
    uint8_t ttl;   /* of the URI */
    /* sender */
    struct hash_map publications; /* (session, stream) -> struct publication_net */
    struct destination_tracker tracker;
    union net_address remote; /* of response channels: that of the publication in turn */
    int64_t *destinations_counter;
    bool is_unsegmented;   /* segmentation offload is switched off, or was refused */
    int64_t last_error_ns; /* a broken socket is reported once per second, not per datagram */
    /* written by the sender, read by the conductor (release / acquire) */
    int64_t last_sm_time_ns;
    uint8_t is_released;
};

/* All send endpoints of a driver. Conductor only. */
struct endpoint_send_table {
    struct driver_context *context;
    struct sender *sender;
    struct resolver *resolver;
    struct port_range ports;
    struct endpoint_send **endpoints;
    int32_t count;
    int32_t capacity;
    int32_t closing_count;
    struct destination *closing_destinations; /* list by `next` */
};

int endpoint_send_table_init(struct endpoint_send_table *table, struct driver_context *context,
                             struct sender *sender, struct resolver *resolver);
/* Frees everything; the sender must not run any more. */
void endpoint_send_table_close(struct endpoint_send_table *table);

/* The endpoint that the resolved channel means, without a reference; NULL: there is none yet. An
 * error when the channel cannot be had. */
int endpoint_send_find(const struct endpoint_send_table *table, const struct udp_channel *channel,
                       struct endpoint_send **found, struct tern_error *error);
/* Find the endpoint that the resolved channel means, or make it; takes a reference for the caller.
 * On success the endpoint owns the channel (or has freed it); on failure the caller still does. */
int endpoint_send_acquire(struct endpoint_send_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_send **endpoint,
                          struct tern_error *error);
/* The channel in force for publications of the resolved `channel`: that of the endpoint which it
 * means, perhaps by nothing but a tag; itself when there is none yet. */
const struct udp_channel *endpoint_send_channel(const struct endpoint_send_table *table,
                                                const struct udp_channel *channel);
void endpoint_send_release(struct endpoint_send_table *table, struct endpoint_send *endpoint);

/* Manual MDC destinations: the channel (role SEND_DESTINATION, resolved) is taken on success. */
int endpoint_send_add_destination(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                                  struct udp_channel *channel, int64_t registration_id,
                                  struct tern_error *error);
/* By equal address, or (channel NULL) by registration id. */
int endpoint_send_remove_destination(struct endpoint_send_table *table,
                                     struct endpoint_send *endpoint,
                                     const struct udp_channel *channel, int64_t registration_id,
                                     struct tern_error *error);

/* Is any endpoint or destination on its way out; is one that holds the port of `address`? */
bool endpoint_send_table_is_closing(const struct endpoint_send_table *table);
bool endpoint_send_table_is_leaving(const struct endpoint_send_table *table,
                                    const union net_address *address);
/* Each duty cycle: free what the sender has let go. Cheap when nothing is closing. */
int endpoint_send_table_do_work(struct endpoint_send_table *table);
/* Every re-resolution check interval: ask anew for names that have been silent (5.9). */
void endpoint_send_table_check_names(struct endpoint_send_table *table, int64_t now_ns);
/* The answer: a result of RESOLVE_SEND_ENDPOINT or RESOLVE_DESTINATION. */
void endpoint_send_table_on_resolved(struct endpoint_send_table *table,
                                     const struct resolve_result *result);

#endif

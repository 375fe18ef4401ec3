/* A send channel endpoint: the socket that the publications of one channel share, its status and
 * address counters, and its destinations (media-driver.md 5.1, 5.3, 5.5).
 *
 * The conductor makes, counts references of and frees it; between endpoint_send creation and
 * is_released the sender uses the socket. Fields are grouped by owner.
 */
#ifndef DRIVERD_ENDPOINT_SEND_H
#define DRIVERD_ENDPOINT_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash_map.h"
#include "base/net.h"
#include "driverd/destination.h"
#include "driverd/udp_channel.h"

struct driver_context;
struct sender;

enum endpoint_state { ENDPOINT_STATE_ACTIVE, ENDPOINT_STATE_CLOSING };

/* Values of the channel status counters (shared-memory.md 6.3). */
enum channel_status {
    CHANNEL_STATUS_INITIALIZING = 0,
    CHANNEL_STATUS_ERRORED = -1,
    CHANNEL_STATUS_ACTIVE = 1,
    CHANNEL_STATUS_CLOSING = 2,
};

struct endpoint_send {
    /* conductor */
    struct udp_channel *channel;
    enum endpoint_state state;
    int32_t reference_count; /* publications that use it */
    int32_t status_counter_id;
    int32_t address_counter_id;
    int32_t destinations_counter_id; /* -1: not MDC */
    uint16_t wildcard_port;          /* to give back to the pool; 0: none */
    union net_address bound;
    int32_t so_sndbuf_bytes; /* in force */
    int32_t manual_count;
    struct destination **manual_destinations;
    bool is_resolving;
    /* set before the hand-over, read by the sender */
    int socket;
    bool is_connected;
    bool is_mdc;
    /* sender */
    struct hash_map publications; /* (session, stream) -> struct publication_net */
    struct destination_tracker tracker;
    union net_address remote;
    int64_t *destinations_counter;
    /* written by the sender, read by the conductor (release / acquire) */
    int64_t last_sm_time_ns;
    uint8_t is_released;
};

/* All send endpoints of a driver. Conductor only. */
struct endpoint_send_table {
    struct driver_context *context;
    struct sender *sender;
    struct endpoint_send **endpoints;
    int32_t count;
    int32_t capacity;
    int32_t closing_count;
};

void endpoint_send_table_init(struct endpoint_send_table *table, struct driver_context *context,
                              struct sender *sender);
/* Frees everything; the sender must not run any more. */
void endpoint_send_table_close(struct endpoint_send_table *table);

/* Find the endpoint that the resolved channel means, or make it; takes a reference for the caller.
 * On success the endpoint owns the channel (or has freed it); on failure the caller still does. */
int endpoint_send_acquire(struct endpoint_send_table *table, struct udp_channel *channel,
                          int64_t registration_id, struct endpoint_send **endpoint,
                          struct tern_error *error);
/* Look only; 0 and *endpoint NULL when there is none. */
int endpoint_send_find(const struct endpoint_send_table *table, const struct udp_channel *channel,
                       struct endpoint_send **endpoint, struct tern_error *error);
void endpoint_send_release(struct endpoint_send_table *table, struct endpoint_send *endpoint);

/* Manual MDC destinations: the channel (role SEND_DESTINATION, resolved) is taken on success. */
int endpoint_send_add_destination(struct endpoint_send_table *table, struct endpoint_send *endpoint,
                                  struct udp_channel *channel, int64_t registration_id,
                                  struct tern_error *error);
/* By equal address, or (channel NULL) by registration id; -ENOENT when there is none. */
int endpoint_send_remove_destination(struct endpoint_send_table *table,
                                     struct endpoint_send *endpoint,
                                     const struct udp_channel *channel, int64_t registration_id,
                                     struct tern_error *error);

/* Each duty cycle: free what the sender has let go. Cheap when nothing is closing. */
int endpoint_send_table_do_work(struct endpoint_send_table *table);
/* Re-resolution of names that have been silent (5.9): every check interval. */
void endpoint_send_table_on_timer(struct endpoint_send_table *table, int64_t now_ns);

#endif

/* One socket of a receive endpoint (media-driver.md 3.4, 5.7). An ordinary endpoint has exactly one
 * destination, of its own channel; a multi-destination endpoint has as many as were added.
 *
 * The conductor makes and frees it; until is_released the receiver uses it. Fields are grouped by
 * owner.
 */
#ifndef DRIVERD_DESTINATION_RECV_H
#define DRIVERD_DESTINATION_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/endpoint_socket.h"
#include "driverd/frame_batch.h"
#include "driverd/udp_channel.h"

struct destination_recv;
struct driver_context;
struct endpoint_recv;

/* Status messages and the like of one destination to one address, on their way. The receiver's. */
struct feedback_queue {
    struct destination_recv *destination;
    union net_address to;
    struct frame_batch frames;
};

struct destination_recv {
    /* conductor */
    int64_t id;                  /* unique among destinations of the driver, never reused */
    struct udp_channel *channel; /* its own, or that of an ordinary endpoint */
    bool is_removing;            /* the remove command is on its way */
    bool is_resolving;
    int64_t asked_ns; /* last re-resolution */
    /* set before the hand-over, read by both */
    struct driver_context *context;
    struct endpoint_recv *endpoint;
    int32_t index; /* place in the endpoint, and in the connections of its images */
    struct endpoint_socket socket;
    bool has_explicit_control;
    bool is_multicast;
    uint8_t ttl; /* in force; 0: the system's default */
    /* receiver */
    union net_address control; /* explicit, or the control group */
    int64_t next_elicitation_ns;
    struct feedback_queue *queue; /* the receiver's */
    bool is_unsegmented;          /* segmentation offload is switched off, or was refused */
    int64_t last_error_ns;        /* a broken socket is reported once per second */
    int64_t ready_cycle;          /* of the receiver, in which something was there last */
    /* written by the receiver, read by the conductor (release / acquire) */
    int64_t last_frame_time_ns;
    uint8_t is_released;
};

/* Binds the socket. The caller says then what it belongs to. */
int destination_recv_create(struct destination_recv **destination, struct driver_context *context,
                            const struct endpoint_socket_params *params, struct tern_error *error);
/* Closes and frees all but the channel. */
void destination_recv_destroy(struct destination_recv *destination, struct port_range *ports);

/* Receiver: one frame from the destination's socket. Small ones leave together with others that go
 * the same way; destination_recv_flush sends what is there. */
void destination_recv_transmit(struct destination_recv *destination, const void *frame,
                               uint32_t length, const union net_address *to, int64_t now_ns);
void destination_recv_flush(struct feedback_queue *queue, int64_t now_ns);
/* Receiver: SM with SEND_SETUP (3.2, 3.4). */
void destination_recv_elicit_setup(struct destination_recv *destination, int32_t session_id,
                                   int32_t stream_id, const union net_address *to, int64_t now_ns);

#endif

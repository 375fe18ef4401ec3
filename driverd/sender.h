/* The sender agent: transmits all network publications and reads what comes back to their sockets
 * (media-driver.md 2.5 to 2.10, 5.8). Commands come through a ring from the conductor. */
#ifndef DRIVERD_SENDER_H
#define DRIVERD_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "shm/ring_spsc.h"

struct driver_context;
struct endpoint_send;
struct destination;
struct publication_net;

#define SENDER_CONTROL_BATCH 16
#define SENDER_CONTROL_BUFFER_LENGTH 2048

struct sender {
    struct driver_context *context;
    uint8_t *command_memory;
    struct ring_spsc commands; /* conductor writes, sender reads */

    struct publication_net **publications;
    int32_t publication_count;
    int32_t publication_capacity;
    int32_t publication_rotation;
    struct endpoint_send **endpoints;
    int32_t endpoint_count;
    int32_t endpoint_capacity;

    int32_t cycles_since_poll;
    int64_t poll_deadline_ns;
    int64_t last_cycle_ns;
    struct net_datagram control[SENDER_CONTROL_BATCH];
    uint8_t *control_buffers;
};

int sender_init(struct sender *sender, struct driver_context *context, struct tern_error *error);
void sender_close(struct sender *sender);
int sender_do_work(struct sender *sender, int64_t now_ns);

/* Conductor: hand-overs. False: the ring is full, try again in the next cycle. What was handed over
 * belongs to the sender until it sets is_released after a remove. */
bool sender_add_endpoint(struct sender *sender, struct endpoint_send *endpoint);
bool sender_remove_endpoint(struct sender *sender, struct endpoint_send *endpoint);
bool sender_add_publication(struct sender *sender, struct publication_net *publication);
bool sender_remove_publication(struct sender *sender, struct publication_net *publication);
bool sender_add_destination(struct sender *sender, struct endpoint_send *endpoint,
                            struct destination *destination);
bool sender_remove_destination(struct sender *sender, struct endpoint_send *endpoint,
                               struct destination *destination);
/* A name has a new address: of the destination, or (NULL) of the endpoint. */
bool sender_set_address(struct sender *sender, struct endpoint_send *endpoint,
                        struct destination *destination, const union net_address *address);

#endif

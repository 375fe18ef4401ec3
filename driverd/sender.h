/* The sender agent: transmits all network publications and reads what comes back to their sockets
 * (media-driver.md 2.5 to 2.10, 5.8). Commands come through a ring from the conductor. */
#ifndef DRIVERD_SENDER_H
#define DRIVERD_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/duty_cycle.h"
#include "driverd/pointer_list.h"
#include "driverd/publication_send.h"
#include "driverd/sweep.h"
#include "shm/ring_spsc.h"

struct destination;
struct driver_context;
struct endpoint_send;
struct publication_net;

#define SENDER_CONTROL_BATCH 16
#define SENDER_CONTROL_ROUNDS_MAX 4       /* batches per socket and poll */
#define SENDER_CONTROL_BUFFER_LENGTH 8192 /* joined status messages */
#define SENDER_COMMANDS_MAX 16            /* per cycle */

struct sender {
    struct driver_context *context;
    uint8_t *command_memory;
    struct ring_spsc commands; /* conductor writes, sender reads */
    struct pointer_list publications;
    struct sweep sweep; /* of the publications */
    struct send_pass pass;
    struct pointer_list endpoints;
    struct net_poller *poller; /* of the endpoints' sockets */
    int32_t batch;             /* datagrams per receive call, configured */
    int32_t cycles_since_poll;
    int64_t next_poll_ns;
    int64_t next_expiry_ns; /* of dynamic destinations */
    struct duty_cycle cycle;
    struct net_datagram control[SENDER_CONTROL_BATCH];
    uint8_t *control_buffers;
};

/* Also fills context->buffer_limits. */
int sender_init(struct sender *sender, struct driver_context *context, struct tern_error *error);
void sender_close(struct sender *sender);
/* One pass of a duty cycle; it has more while there is no work and the sweep is not over (sweep.h).
 */
void sender_begin(struct sender *sender, int64_t now_ns);
int sender_do_work(struct sender *sender, int64_t now_ns);

/* Room in the command ring, in bytes. Conductor. */
int64_t sender_free_bytes(const struct sender *sender);

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

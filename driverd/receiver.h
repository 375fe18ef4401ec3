/* The receiver agent: takes data in, puts it into images, and sends status messages, NAKs and
 * elicitations (media-driver.md 3.2 to 3.8, 5.8). Commands come through a ring from the conductor.
 */
#ifndef DRIVERD_RECEIVER_H
#define DRIVERD_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/net.h"
#include "driverd/destination_recv.h"
#include "driverd/duty_cycle.h"
#include "driverd/pace.h"
#include "driverd/pointer_list.h"
#include "driverd/schedule.h"
#include "driverd/stream_index.h"
#include "shm/ring_spsc.h"

struct driver_context;
struct endpoint_recv;
struct image;

#define RECEIVER_BATCH_MAX 16
#define RECEIVER_BUFFER_LENGTH 65536
#define RECEIVER_DATAGRAMS_MAX 64 /* of one socket per cycle */
#define RECEIVER_COMMANDS_MAX 16  /* per cycle */
#define RECEIVER_PENDING_SETUPS_MAX 1024
#define RECEIVER_PENDING_SETUP_TIMEOUT_NS NS_PER_S
#define RECEIVER_ELICITATION_INTERVAL_NS NS_PER_S

/* A SEND_SETUP that waits for its SETUP. */
struct pending_setup {
    struct endpoint_recv *endpoint;
    int32_t session_id;
    int32_t stream_id;
    int64_t deadline_ns;
};

struct receiver {
    struct driver_context *context;
    uint8_t *command_memory;
    struct ring_spsc commands;      /* conductor writes, receiver reads */
    struct pointer_list controlled; /* destinations with an explicit control address */
    struct net_poller *poller;      /* of the destinations' sockets */
    struct pointer_list images;
    struct stream_index images_by_stream;
    struct pending_setup *pending; /* oldest first: the time-out is constant */
    int32_t pending_count;
    struct duty_cycle cycle;
    struct net_datagram datagrams[RECEIVER_BATCH_MAX];
    uint8_t *buffers;
    struct feedback_queue feedback;
    struct pace pace; /* of the feedback by the clock */
    int32_t batch;    /* datagrams per receive call, configured */
    int64_t cycle_count;
    int64_t orders_seen;
    struct schedule schedule; /* of images that have something to say by the clock */

    CACHE_ALIGNED int64_t order_count; /* conductor writes, receiver reads */
    void *ordered;      /* stack of images with orders: conductor adds, receiver takes all */
    uint8_t is_waiting; /* receiver writes, conductor reads */
};

int receiver_init(struct receiver *receiver, struct driver_context *context,
                  struct tern_error *error);
void receiver_close(struct receiver *receiver);
int receiver_do_work(struct receiver *receiver, int64_t now_ns);

/* Around a wait of the receiver's thread. Nothing that a client writes concerns the receiver, so it
 * may rest until an image has something to say; 0 when there is an order already. */
int64_t receiver_begin_wait(struct receiver *receiver);
void receiver_end_wait(struct receiver *receiver);
/* Conductor: an order was written into this image, which is the receiver's. */
void receiver_note_order(struct receiver *receiver, struct image *image);

/* Room in the command ring, in bytes. Conductor. */
int64_t receiver_free_bytes(const struct receiver *receiver);

/* Conductor: hand-overs. False: the ring is full, try again in the next cycle. What was handed over
 * belongs to the receiver until it sets is_released after a remove. */
bool receiver_add_destination(struct receiver *receiver, struct destination_recv *destination);
bool receiver_remove_destination(struct receiver *receiver, struct destination_recv *destination);
/* With the destinations that it still has. */
bool receiver_remove_endpoint(struct receiver *receiver, struct endpoint_recv *endpoint);
bool receiver_add_interest(struct receiver *receiver, struct endpoint_recv *endpoint,
                           int32_t stream_id, bool all_sessions, int32_t session_id);
bool receiver_remove_interest(struct receiver *receiver, struct endpoint_recv *endpoint,
                              int32_t stream_id, bool all_sessions, int32_t session_id);
/* The answer to DRIVER_MESSAGE_CREATE_IMAGE: an image, or no. */
bool receiver_add_image(struct receiver *receiver, struct image *image);
bool receiver_image_refused(struct receiver *receiver, struct endpoint_recv *endpoint,
                            int32_t stream_id, int32_t session_id);
/* No more frames or status messages. The session may form a new image unless it ended without end
 * of stream and rejoin is false. */
bool receiver_remove_image(struct receiver *receiver, struct image *image);
/* `reason` is copied; at most FRAME_ERR_TEXT_MAX bytes. */
bool receiver_reject_image(struct receiver *receiver, struct image *image, const char *reason,
                           int32_t length);
/* The explicit control address of the destination was resolved anew. */
bool receiver_set_control(struct receiver *receiver, struct destination_recv *destination,
                          const union net_address *address);

#endif

/* Destinations of a multi-destination publication (media-driver.md 5.6).
 *
 * The sender owns the list. Manual destinations are objects that the conductor makes and hands over
 * by command; dynamic ones live in a fixed table and come and go with status messages.
 *
 * A manual destination that is a multicast group has sockets of its own, as a publication to that
 * group has: data leaves by its interface and with its TTL, and the feedback of its receivers comes
 * in the control group. All other destinations use the endpoint's socket.
 */
#ifndef DRIVERD_DESTINATION_H
#define DRIVERD_DESTINATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/net.h"
#include "driverd/endpoint_socket.h"
#include "driverd/udp_channel.h"

#define DESTINATIONS_MAX 1024
#define DESTINATION_TIMEOUT_NS (5 * NS_PER_S)

struct destination;
struct endpoint_send;

/* A socket that control frames come to, as the sender's poller knows it. */
struct control_source {
    struct endpoint_send *endpoint;
    struct destination *destination; /* a group's own; NULL: the socket is the endpoint's */
    int handle;
};

struct destination {
    /* conductor */
    struct udp_channel *channel; /* NULL: dynamic */
    struct destination *next;    /* in a list of those that the sender has to let go */
    int64_t asked_ns;            /* last re-resolution */
    bool is_resolving;
    /* set before the hand-over */
    int64_t registration_id; /* of the command that added it; -1: dynamic */
    bool is_group;
    struct endpoint_socket socket; /* of a group only */
    struct control_source control; /* likewise */
    /* sender */
    union net_address address;
    bool has_receiver_id;
    int64_t receiver_id;
    /* written by the sender, read by the conductor (release / acquire) */
    int64_t last_sm_time_ns;
    uint8_t is_released;
};

/* Sender only. */
struct destination_tracker {
    bool is_dynamic;
    int32_t count;
    int32_t rotation;                  /* start index of the next send */
    struct destination **destinations; /* DESTINATIONS_MAX */
    struct destination *pool;          /* DESTINATIONS_MAX, when dynamic */
    struct destination **free_pool;
    int32_t free_count;
};

/* 0 or -ENOMEM. */
int destination_tracker_init(struct destination_tracker *tracker, bool is_dynamic);
void destination_tracker_close(struct destination_tracker *tracker);

/* False: the table is full. */
bool destination_tracker_add(struct destination_tracker *tracker, struct destination *destination,
                             int64_t now_ns);
bool destination_tracker_remove(struct destination_tracker *tracker,
                                struct destination *destination);

/* A status message came. Matches by receiver id and port; a manual destination learns its receiver
 * id from its address; a dynamic tracker adds the unknown. Returns the entry or NULL. */
struct destination *destination_tracker_on_sm(struct destination_tracker *tracker,
                                              int64_t receiver_id, const union net_address *source,
                                              int64_t now_ns);
/* The entry that a frame of this receiver came from, or NULL; not a group, which is known by the
 * socket that its frames come to. */
struct destination *destination_tracker_find(const struct destination_tracker *tracker,
                                             int64_t receiver_id, const union net_address *source);
/* Drop dynamic entries that have been silent; returns how many. */
int destination_tracker_expire(struct destination_tracker *tracker, int64_t now_ns);

#endif

/* A network publication (media-driver.md 2): the shared part of publication.h, which is the
 * conductor's, and the transmission state, which is the sender's.
 *
 * The conductor makes it and hands it to the sender; at the end it takes it back (is_released) and
 * frees it. The fields that both sides see are words with one writer each.
 */
#ifndef DRIVERD_PUBLICATION_NET_H
#define DRIVERD_PUBLICATION_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "driverd/endpoint_send.h"
#include "driverd/flow_control.h"
#include "driverd/publication.h"
#include "driverd/receiver_liveness.h"
#include "driverd/retransmit.h"
#include "driverd/sweep.h"
#include "driverd/watch.h"
#include "wire/frame.h"

struct sender;

#define PUBLICATION_SETUP_INTERVAL_NS (100 * NS_PER_MS)
#define PUBLICATION_HEARTBEAT_INTERVAL_NS (100 * NS_PER_MS)
/* A quiet publication looks after its receivers this often. */
#define PUBLICATION_IDLE_INTERVAL_NS (20 * NS_PER_MS)

struct publication_net {
    struct publication base; /* conductor; first member */
    int64_t quiet_position;  /* of the sender when the limit had nothing to gain; -1: it may have */
    bool is_quiet_connected;
    struct sweep_entry entry; /* sweep.h */
    struct endpoint_send *endpoint;
    struct sender *sender;
    int32_t position_counter_id; /* snd-pos */
    int32_t limit_counter_id;    /* snd-lmt */
    int32_t back_pressure_counter_id;
    int32_t naks_counter_id;
    int32_t receivers_counter_id; /* -1: no flow control with receivers */

    /* conductor writes, sender reads (release / acquire) */
    CACHE_ALIGNED uint8_t is_eos;
    uint8_t is_revoked;
    uint8_t has_spies; /* working spies, and the publication simulates a connection by them */
    int64_t spy_max_position; /* of the working spies */
    struct watch watch;       /* of what the sender writes; both write */

    /* sender writes, conductor reads (release / acquire) */
    CACHE_ALIGNED uint8_t has_receivers;
    uint8_t has_required_receivers;
    uint8_t has_unicast_eos; /* the only receiver said that it has everything */
    uint8_t is_released;
    int64_t position; /* of the sender; counters are writable by clients, so this is the truth */

    /* sender; first what a cycle without work looks at */
    CACHE_ALIGNED const int32_t *next_frame; /* length of the frame to come; NULL: look closely */
    int64_t idle_deadline_ns;                /* so long nothing has to be done without one */
    struct sweep_entry sender_entry;         /* sweep.h */
    uint8_t heartbeat_flags;                 /* of the last cycle; they change at the end */
    struct flow_control flow;
    struct retransmit retransmit;
    struct receiver_liveness liveness;
    int64_t limit;
    bool has_initial_connection; /* a status message came at least once */
    bool is_setup_elicited;
    bool has_response_address; /* a response publication knows where to send to */
    bool is_response_reported; /* to the conductor: somebody receives it */
    union net_address response_address;
    bool counts_back_pressure; /* armed by a successful send */
    int64_t next_setup_ns;
    int64_t next_tag_error_ns;
    int64_t next_heartbeat_ns;
    int64_t *position_counter;
    int64_t *limit_counter;
    int64_t *back_pressure_counter;
    int64_t *naks_counter;
    int64_t *receivers_counter; /* NULL: none */
};

struct publication_net_spec {
    struct publication_spec base;
    struct endpoint_send *endpoint; /* the caller's reference is handed on */
    struct sender *sender;
    struct flow_control_params flow;
};

/* What can be refused before anything is made: MTU against SO_SNDBUF, flow control. The channel is
 * that of the endpoint; `fc` is the publication's own, or NULL for the endpoint's. */
int publication_net_check_mtu(const struct driver_context *context,
                              const struct udp_channel *channel,
                              const struct publication_params *params, struct tern_error *error);
int publication_net_flow_control(const struct driver_context *context,
                                 const struct udp_channel *channel, const char *fc,
                                 struct flow_control_params *flow, struct tern_error *error);
/* Make log and counters, and hand it to the sender. On failure nothing is left behind and the
 * endpoint reference stays with the caller. */
int publication_net_create(struct publication_net **publication, struct driver_context *context,
                           const struct publication_net_spec *spec, struct tern_error *error);
/* Only when is_done, or when the sender does not run any more. Releases the endpoint. */
void publication_net_destroy(struct publication_net *publication,
                             struct endpoint_send_table *endpoints);

/* Each duty cycle in which it is awake: sample positions, move the limit, clean (2.7). Returns work
 * done. */
int publication_net_update_limit(struct publication_net *publication);
/* It has nothing to do until the sender stirs it (watch.h) or the conductor itself does
 * something with it; the answer of sweep.h. */
enum sweep_answer publication_net_settle(struct publication_net *publication);
/* Life cycle (2.11, 2.12), tethers, unblocking, connected status. */
void publication_net_on_timer(struct publication_net *publication, int64_t now_ns);
/* The last handle went. */
void publication_net_on_unreferenced(struct publication_net *publication, int64_t now_ns);
/* DONE and let go by the sender: destroy it. */
bool publication_net_is_done(const struct publication_net *publication);

/* Spies (6.8): may one join, and where; then subscribable_add or _remove on base.subscribers, and
 * tell the publication. */
bool publication_net_accepts_spies(const struct publication_net *publication);
int64_t publication_net_join_position(const struct publication_net *publication);
void publication_net_on_spies_changed(struct publication_net *publication);

#endif

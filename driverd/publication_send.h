/* The sender's part of a network publication: transmission, heartbeats, SETUP, retransmission, and
 * what status messages and other control frames do to it (media-driver.md 2.5 to 2.10). */
#ifndef DRIVERD_PUBLICATION_SEND_H
#define DRIVERD_PUBLICATION_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"
#include "driverd/pace.h"
#include "driverd/transmit.h"
#include "wire/frame.h"

struct publication_net;

/* What the publications of one pass of the sender share. */
struct send_pass {
    bool is_short;               /* a batch of data was not taken whole */
    struct pace pace;            /* of SETUPs and heartbeats */
    struct transmit_queue queue; /* they leave together, at the end of the pass at the latest */
    const struct publication_net *setup_of; /* whose SETUP came into the queue last */
};

/* One cycle (2.5); returns the bytes of data sent. */
int publication_send_do_work(struct publication_net *publication, int64_t now_ns,
                             struct send_pass *pass);

/* Validated frames of this stream. */
void publication_send_on_nak(struct publication_net *publication, const struct frame_nak *nak,
                             int64_t now_ns);
/* False: the position is out of range (2.10 step 2); the message is not to be heeded at all. */
bool publication_send_accepts_sm(const struct publication_net *publication,
                                 const struct frame_sm *sm);
void publication_send_on_sm(struct publication_net *publication, const struct frame_sm *sm,
                            int64_t now_ns);
/* True: the receiver was alive, so the error is to be reported to the clients. */
bool publication_send_on_error(struct publication_net *publication, int64_t receiver_id);
void publication_send_on_rttm(struct publication_net *publication, const struct frame_rttm *rttm,
                              int64_t now_ns);
/* SM SEND_SETUP from `source`: a response publication sends there, unless it has a receiver. */
void publication_send_on_response_wanted(struct publication_net *publication,
                                         const union net_address *source);
void publication_send_on_rsp_setup(const struct publication_net *publication,
                                   const struct frame_rsp_setup *setup);

#endif

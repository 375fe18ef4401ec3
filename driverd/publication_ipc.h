/* A publication between processes of one machine: subscribers read the publication's own log
 * (media-driver.md 2.16, shared-memory.md 5.10 to 5.14). Conductor only. */
#ifndef DRIVERD_PUBLICATION_IPC_H
#define DRIVERD_PUBLICATION_IPC_H

#include "driverd/publication.h"
#include "driverd/sweep.h"
#include "wire/command.h"

struct publication_ipc {
    struct publication base;   /* first member */
    int64_t consumer_position; /* the greatest subscriber position seen */
    int64_t trip_limit;        /* the limit is raised only when it would pass this */
    bool is_cooling_down;      /* rejected: subscribers are kept away until the deadline */
    int64_t cool_down_deadline_ns;
    struct sweep_entry entry; /* sweep.h */
};

int publication_ipc_create(struct publication_ipc **publication, struct driver_context *context,
                           const struct publication_spec *spec, struct tern_error *error);
void publication_ipc_destroy(struct publication_ipc *publication);

/* Each duty cycle: sample positions, clean, move the limit; returns work that cannot wait. */
int publication_ipc_update_limit(struct publication_ipc *publication);
/* Life cycle, tethers, unblocking, connected status. */
void publication_ipc_on_timer(struct publication_ipc *publication, int64_t now_ns);
/* True once, at the end of a cool-down: matching subscriptions may be attached again. */
bool publication_ipc_end_cool_down(struct publication_ipc *publication, int64_t now_ns);
void publication_ipc_on_unreferenced(struct publication_ipc *publication, int64_t now_ns);
bool publication_ipc_is_done(const struct publication_ipc *publication);

/* May a subscriber join, and where; then subscribable_add or _remove, and tell the publication. */
bool publication_ipc_accepts_subscribers(const struct publication_ipc *publication);
int64_t publication_ipc_join_position(struct publication_ipc *publication);
void publication_ipc_on_subscribers_changed(struct publication_ipc *publication);

/* A subscriber's client refused the stream: tell the publishers, drop all subscribers for the image
 * liveness timeout. */
void publication_ipc_reject(struct publication_ipc *publication, struct text_slice reason,
                            int64_t now_ns);

#endif

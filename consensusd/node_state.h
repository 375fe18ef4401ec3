/* node-state.dat: the terms that this node voted, stood or refused in (cluster.md 5.2). It must
 * never forget one, so every change is on disk when a function here returns.
 *
 * Layout: that of the original, read and written by it, too. The original's file is zero behind its
 * footer; Tern keeps there, at offset 96, for whom the last vote was (hazard H2).
 */
#ifndef TERN_CONSENSUSD_NODE_STATE_H
#define TERN_CONSENSUSD_NODE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/store.h"
#include "consensusd/core/raft.h"

#define NODE_STATE_FILE_NAME "node-state.dat"
#define NODE_STATE_FILE_LENGTH (1 << 20)

/* Owned by the consensus module. The store is borrowed. */
struct node_state {
    const struct store *store;
    int file;
    bool is_open;
    struct raft_ballot ballot;
    int64_t log_position; /* of the last change, for people */
    int64_t timestamp_ms;
};

/* Open or create the file in `directory`. -EBADMSG when it is damaged or of another version. */
int node_state_open(struct node_state *state, const struct store *store, const char *directory,
                    struct tern_error *error);

/* Make the ballot durable; terms never go down. 0 or -errno. */
int node_state_write(struct node_state *state, const struct raft_ballot *ballot,
                     int64_t log_position, int64_t epoch_ms);

void node_state_close(struct node_state *state);

#endif

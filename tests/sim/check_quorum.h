/* A leader commits only what a quorum of members holds in the leader's own term. */
#ifndef TERN_SIM_CHECK_QUORUM_H
#define TERN_SIM_CHECK_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_QUORUM_NODES_MAX 8

#define CHECK_QUORUM_TERMS_MAX 16 /* a leader may be paused for so many terms */

struct check_quorum_term {
    int64_t term_id;
    int64_t held;        /* furthest recorded position in it */
    int64_t commit_seen; /* as leader of the term */
};

struct check_quorum_node {
    struct check_quorum_term terms[CHECK_QUORUM_TERMS_MAX]; /* the last ones, in any order */
};

struct check_quorum {
    int32_t node_count;
    struct check_quorum_node nodes[CHECK_QUORUM_NODES_MAX];
};

void check_quorum_init(struct check_quorum *check, int32_t node_count);
/* What a member holds of the log of a term that it follows or leads. */
void check_quorum_on_position(struct check_quorum *check, int32_t node, int64_t term_id,
                              int64_t recorded_position);
/* A member lost its disk: it holds nothing any more. */
void check_quorum_on_disk_lost(struct check_quorum *check, int32_t node);
bool check_quorum_on_commit(struct check_quorum *check, int32_t leader, int64_t term_id,
                            int64_t commit_position, struct tern_error *problem);

#endif

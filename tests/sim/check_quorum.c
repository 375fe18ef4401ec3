/* See check_quorum.h. What a dead member held counts: it is on its disk. The commit position that a
 * leader begins its term with is that of the terms before. */
#include "sim/check_quorum.h"

#include "base/bits.h"

void check_quorum_init(struct check_quorum *check, int32_t node_count) {
    check->node_count = node_count;
    for (int32_t i = 0; i < node_count; i++) {
        check->nodes[i] = (struct check_quorum_node){-1, -1, -1};
    }
}

void check_quorum_on_position(struct check_quorum *check, int32_t node, int64_t term_id,
                              int64_t recorded_position) {
    struct check_quorum_node *seen = &check->nodes[node];
    if (seen->term_id != term_id) {
        *seen = (struct check_quorum_node){term_id, -1, -1};
    }
    seen->held = max_i64(seen->held, recorded_position);
}

bool check_quorum_on_commit(struct check_quorum *check, int32_t leader, int64_t term_id,
                            int64_t commit_position, struct tern_error *problem) {
    struct check_quorum_node *own = &check->nodes[leader];
    if (own->term_id != term_id) {
        *own = (struct check_quorum_node){term_id, -1, -1};
    }
    bool is_first = own->commit_seen < 0;
    if (own->commit_seen >= commit_position) {
        return true;
    }
    own->commit_seen = commit_position;
    if (is_first) {
        return true;
    }
    int32_t count = 0;
    for (int32_t i = 0; i < check->node_count; i++) {
        const struct check_quorum_node *node = &check->nodes[i];
        count += node->term_id == term_id && node->held >= commit_position;
    }
    if (count <= check->node_count / 2) {
        (void)error_set(
            problem, -1, "leader %d of term %lld committed %lld, which %d of %d members hold",
            leader, (long long)term_id, (long long)commit_position, count, check->node_count);
        return false;
    }
    return true;
}

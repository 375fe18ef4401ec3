/* See check_quorum.h. What a dead member held counts: it is on its disk. The commit position that a
 * leader begins its term with is that of the terms before. */
#include "sim/check_quorum.h"

#include "base/bits.h"

void check_quorum_init(struct check_quorum *check, int32_t node_count) {
    check->node_count = node_count;
    for (int32_t i = 0; i < node_count; i++) {
        for (int32_t j = 0; j < CHECK_QUORUM_TERMS_MAX; j++) {
            check->nodes[i].terms[j] = (struct check_quorum_term){-1, -1, -1};
        }
    }
}

/* NULL when the member was not seen in the term, or too long ago. */
static struct check_quorum_term *find(struct check_quorum *check, int32_t node, int64_t term_id) {
    for (int32_t i = 0; i < CHECK_QUORUM_TERMS_MAX; i++) {
        if (check->nodes[node].terms[i].term_id == term_id) {
            return &check->nodes[node].terms[i];
        }
    }
    return NULL;
}

static struct check_quorum_term *find_or_add(struct check_quorum *check, int32_t node,
                                             int64_t term_id) {
    struct check_quorum_term *oldest = find(check, node, term_id);
    if (oldest != NULL) {
        return oldest;
    }
    oldest = &check->nodes[node].terms[0];
    for (int32_t i = 1; i < CHECK_QUORUM_TERMS_MAX; i++) {
        struct check_quorum_term *term = &check->nodes[node].terms[i];
        oldest = term->term_id < oldest->term_id ? term : oldest;
    }
    *oldest = (struct check_quorum_term){term_id, -1, -1};
    return oldest;
}

void check_quorum_on_position(struct check_quorum *check, int32_t node, int64_t term_id,
                              int64_t recorded_position) {
    struct check_quorum_term *term = find_or_add(check, node, term_id);
    term->held = max_i64(term->held, recorded_position);
}

void check_quorum_on_disk_lost(struct check_quorum *check, int32_t node) {
    for (int32_t i = 0; i < CHECK_QUORUM_TERMS_MAX; i++) {
        check->nodes[node].terms[i].held = -1;
    }
}

bool check_quorum_on_commit(struct check_quorum *check, int32_t leader, int64_t term_id,
                            int64_t commit_position, struct tern_error *problem) {
    struct check_quorum_term *own = find_or_add(check, leader, term_id);
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
        const struct check_quorum_term *term = find(check, i, term_id);
        count += term != NULL && term->held >= commit_position;
    }
    if (count <= check->node_count / 2) {
        (void)error_set(
            problem, -1, "leader %d of term %lld committed %lld, which %d of %d members hold",
            leader, (long long)term_id, (long long)commit_position, count, check->node_count);
        return false;
    }
    return true;
}

/* See check_terms.h. */
#include "sim/check_terms.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

static void grow_leaders(struct check_terms *check, int64_t term_id) {
    int64_t capacity = term_id + 64;
    check->leaders = realloc(check->leaders, (size_t)capacity * sizeof check->leaders[0]);
    assert(check->leaders != NULL);
    for (int64_t i = check->leader_capacity; i < capacity; i++) {
        check->leaders[i] = -1;
    }
    check->leader_capacity = capacity;
}

bool check_terms_on_leader(struct check_terms *check, int64_t term_id, int32_t member,
                           struct tern_error *problem) {
    assert(term_id >= 0);
    if (term_id >= check->leader_capacity) {
        grow_leaders(check, term_id);
    }
    int32_t *leader = &check->leaders[term_id];
    if (*leader >= 0 && *leader != member) {
        (void)error_set(problem, -1, "term %lld has two leaders: %d and %d", (long long)term_id,
                        *leader, member);
        return false;
    }
    *leader = member;
    return true;
}

bool check_terms_on_vote(struct check_terms *check, const struct check_vote *vote,
                         struct tern_error *problem) {
    for (int64_t i = check->vote_count; i-- > 0;) {
        const struct check_vote *other = &check->votes[i];
        if (other->term_id == vote->term_id && other->voter == vote->voter) {
            if (other->candidate == vote->candidate) {
                return true;
            }
            (void)error_set(problem, -1, "member %d voted twice in term %lld: for %d and for %d",
                            vote->voter, (long long)vote->term_id, other->candidate,
                            vote->candidate);
            return false;
        }
    }
    if (check->vote_count == check->vote_capacity) {
        check->vote_capacity = 2 * check->vote_capacity + 16;
        check->votes = realloc(check->votes, (size_t)check->vote_capacity * sizeof check->votes[0]);
        assert(check->votes != NULL);
    }
    check->votes[check->vote_count++] = *vote;
    assert(vote->voter >= 0 && vote->voter < CHECK_TERMS_MEMBERS_MAX);
    int64_t *next_term = &check->next_terms[vote->voter];
    *next_term = max_i64(*next_term, vote->term_id + 1);
    return true;
}

bool check_terms_on_ballot(const struct check_terms *check, int32_t member, int64_t voted_term_id,
                           struct tern_error *problem) {
    int64_t known = check->next_terms[member] - 1;
    if (voted_term_id < known) {
        (void)error_set(problem, -1, "member %d voted in term %lld and knows only of term %lld",
                        member, (long long)known, (long long)voted_term_id);
        return false;
    }
    return true;
}

void check_terms_on_disk_lost(struct check_terms *check, int32_t member) {
    check->next_terms[member] = 0;
}

void check_terms_close(struct check_terms *check) {
    free(check->leaders);
    free(check->votes);
    *check = (struct check_terms){0};
}

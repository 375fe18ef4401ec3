/* At most one leader per term, and a vote is never given twice in a term, whatever crashed in
 * between. */
#ifndef TERN_SIM_CHECK_TERMS_H
#define TERN_SIM_CHECK_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct check_vote {
    int64_t term_id;
    int32_t voter;
    int32_t candidate;
};

struct check_terms {
    int32_t *leaders; /* by term; -1: none seen */
    int64_t leader_capacity;
    struct check_vote *votes;
    int64_t vote_count;
    int64_t vote_capacity;
};

/* False with a text when a rule is broken. */
bool check_terms_on_leader(struct check_terms *check, int64_t term_id, int32_t member,
                           struct tern_error *problem);
bool check_terms_on_vote(struct check_terms *check, const struct check_vote *vote,
                         struct tern_error *problem);
void check_terms_close(struct check_terms *check);

#endif

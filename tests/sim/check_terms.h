/* At most one leader per term, and a vote is never given twice in a term, whatever crashed in
 * between: a member knows the term of its last vote as long as it has its disk. */
#ifndef TERN_SIM_CHECK_TERMS_H
#define TERN_SIM_CHECK_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_TERMS_MEMBERS_MAX 8

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
    int64_t next_terms[CHECK_TERMS_MEMBERS_MAX]; /* of each member: behind that of its last vote */
};

/* False with a text when a rule is broken. */
bool check_terms_on_leader(struct check_terms *check, int64_t term_id, int32_t member,
                           struct tern_error *problem);
bool check_terms_on_vote(struct check_terms *check, const struct check_vote *vote,
                         struct tern_error *problem);
/* A member says in which term it voted last; -1: in none. */
bool check_terms_on_ballot(const struct check_terms *check, int32_t member, int64_t voted_term_id,
                           struct tern_error *problem);
void check_terms_on_disk_lost(struct check_terms *check, int32_t member);
void check_terms_close(struct check_terms *check);

#endif

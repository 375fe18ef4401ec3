#include <criterion/criterion.h>

#include "sim/check_terms.h"

Test(check_terms, two_leaders_of_a_term_are_caught) {
    struct check_terms check = {0};
    struct tern_error problem = {0};
    cr_assert(check_terms_on_leader(&check, 3, 1, &problem));
    cr_assert(check_terms_on_leader(&check, 3, 1, &problem));
    cr_assert(check_terms_on_leader(&check, 200, 2, &problem));
    cr_assert_not(check_terms_on_leader(&check, 3, 2, &problem));
    cr_assert_str_eq(problem.text, "term 3 has two leaders: 1 and 2");
    check_terms_close(&check);
}

Test(check_terms, a_vote_given_twice_in_a_term_is_caught) {
    struct check_terms check = {0};
    struct tern_error problem = {0};
    const struct check_vote first = {.term_id = 5, .voter = 0, .candidate = 1};
    const struct check_vote other_term = {.term_id = 6, .voter = 0, .candidate = 2};
    const struct check_vote other_voter = {.term_id = 5, .voter = 2, .candidate = 2};
    const struct check_vote second = {.term_id = 5, .voter = 0, .candidate = 2};
    cr_assert(check_terms_on_vote(&check, &first, &problem));
    cr_assert(check_terms_on_vote(&check, &first, &problem), "sent again");
    cr_assert(check_terms_on_vote(&check, &other_term, &problem));
    cr_assert(check_terms_on_vote(&check, &other_voter, &problem));
    cr_assert_not(check_terms_on_vote(&check, &second, &problem));
    cr_assert_str_eq(problem.text, "member 0 voted twice in term 5: for 1 and for 2");
    check_terms_close(&check);
}

Test(check_terms, a_member_that_forgets_its_vote_is_caught) {
    struct check_terms check = {0};
    struct tern_error problem = {0};
    const struct check_vote vote = {.term_id = 5, .voter = 2, .candidate = 1};
    cr_assert(check_terms_on_ballot(&check, 2, -1, &problem), "it has not voted");
    cr_assert(check_terms_on_vote(&check, &vote, &problem));
    cr_assert(check_terms_on_ballot(&check, 2, 5, &problem));
    cr_assert(check_terms_on_ballot(&check, 2, 6, &problem), "a vote for itself");
    cr_assert(check_terms_on_ballot(&check, 1, -1, &problem), "another one's");
    cr_assert_not(check_terms_on_ballot(&check, 2, 4, &problem));
    cr_assert_str_eq(problem.text, "member 2 voted in term 5 and knows only of term 4");
    check_terms_on_disk_lost(&check, 2);
    cr_assert(check_terms_on_ballot(&check, 2, -1, &problem));
    check_terms_close(&check);
}

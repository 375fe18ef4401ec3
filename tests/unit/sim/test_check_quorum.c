#include <criterion/criterion.h>

#include "sim/check_quorum.h"

Test(check_quorum, what_a_quorum_holds_in_the_term_may_be_committed) {
    struct check_quorum check;
    struct tern_error problem = {0};
    check_quorum_init(&check, 3);
    check_quorum_on_position(&check, 0, 4, 1000);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 500, &problem), "what it begins with");
    check_quorum_on_position(&check, 2, 4, 900);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 900, &problem), "%s", problem.text);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 900, &problem));
    check_quorum_on_position(&check, 2, 4, 950);
    check_quorum_on_position(&check, 2, 5, 100);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 950, &problem),
              "a leader that was paused hears of it when another leads already");
}

Test(check_quorum, what_a_minority_holds_or_another_term_held_is_caught) {
    struct check_quorum check;
    struct tern_error problem = {0};
    check_quorum_init(&check, 3);
    check_quorum_on_position(&check, 0, 4, 1000);
    check_quorum_on_position(&check, 1, 3, 2000);
    check_quorum_on_position(&check, 2, 4, 800);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 500, &problem));
    cr_assert(check_quorum_on_commit(&check, 0, 4, 800, &problem));
    cr_assert_not(check_quorum_on_commit(&check, 0, 4, 900, &problem));
    cr_assert_str_eq(problem.text, "leader 0 of term 4 committed 900, which 1 of 3 members hold");
}

Test(check_quorum, what_a_lost_disk_held_counts_no_more) {
    struct check_quorum check;
    struct tern_error problem = {0};
    check_quorum_init(&check, 3);
    check_quorum_on_position(&check, 0, 4, 1000);
    check_quorum_on_position(&check, 1, 4, 900);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 500, &problem));
    cr_assert(check_quorum_on_commit(&check, 0, 4, 800, &problem));
    check_quorum_on_disk_lost(&check, 1);
    cr_assert_not(check_quorum_on_commit(&check, 0, 4, 900, &problem));
    check_quorum_on_position(&check, 1, 4, 950);
    cr_assert(check_quorum_on_commit(&check, 0, 4, 950, &problem), "it holds it again");
}

#include <criterion/criterion.h>

#include "sim/check_log.h"

static struct check_log_entry entry(int64_t position, uint64_t event, uint64_t state) {
    return (struct check_log_entry){position, event, state};
}

/* Node 0 goes over entries at 96, 192, 288. */
static void fill(struct check_log *check, struct tern_error *problem) {
    for (int64_t i = 1; i <= 3; i++) {
        struct check_log_entry made = entry(96 * i, (uint64_t)(10 + i), (uint64_t)(20 + i));
        cr_assert(check_log_on_entry(check, 0, &made, problem), "%s", problem->text);
    }
}

static bool gives(struct check_log *check, struct check_log_entry made) {
    struct tern_error problem;
    return check_log_on_entry(check, 1, &made, &problem);
}

Test(check_log, equal_entries_and_states_are_good) {
    struct check_log check = {0};
    struct tern_error problem = {0};
    fill(&check, &problem);
    cr_assert(gives(&check, entry(96, 11, 21)));
    cr_assert(gives(&check, entry(192, 12, 22)));
    /* again from the beginning, and from a snapshot */
    cr_assert(check_log_on_start(&check, 1, 0, 0, &problem));
    cr_assert(gives(&check, entry(96, 11, 21)));
    cr_assert(check_log_on_start(&check, 1, 200, 22, &problem));
    cr_assert(gives(&check, entry(288, 13, 23)));
    cr_assert(gives(&check, entry(384, 14, 24)), "the first to come there");
    check_log_close(&check);
}

Test(check_log, what_differs_is_caught) {
    const struct check_log_entry bad[] = {
        entry(96, 99, 21),  /* other bytes */
        entry(96, 11, 99),  /* another state */
        entry(192, 12, 22), /* one left out */
        entry(64, 11, 21),  /* one too many */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct check_log check = {0};
        struct tern_error problem = {0};
        fill(&check, &problem);
        cr_assert_not(gives(&check, bad[i]), "case %zu", i);
        check_log_close(&check);
    }
}

Test(check_log, a_snapshot_of_another_state_and_an_entry_given_twice_are_caught) {
    struct check_log check = {0};
    struct tern_error problem = {0};
    fill(&check, &problem);
    cr_assert_not(check_log_on_start(&check, 1, 192, 23, &problem));
    struct check_log_entry twice = entry(288, 13, 23);
    cr_assert_not(check_log_on_entry(&check, 0, &twice, &problem));
    check_log_close(&check);
}

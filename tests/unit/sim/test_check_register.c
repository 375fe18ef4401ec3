#include <criterion/criterion.h>

#include "sim/check_register.h"

/* Two writes and a read of register 0, one after the other, and an unanswered write. */
static struct register_history make(void) {
    struct register_history history = {0};
    const struct register_event events[] = {
        {100, 150, 1, 1, 1, 0, true, true, 0},
        {200, 250, 2, 2, 2, 0, true, true, 0},
        {300, 350, 0, 2, 2, 0, false, false, 0},
        {400, 0, 4, 0, 0, 0, true, false, 0},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        register_history_add(&history, &events[i]);
    }
    return history;
}

static bool is_good(struct register_history *history) {
    struct tern_error problem;
    bool result = check_register(history, 0, &problem);
    register_history_close(history);
    return result;
}

Test(check_register, one_order_explains_a_good_history) {
    struct register_history history = make();
    cr_assert(is_good(&history));
    history = make();
    history.events[2] = (struct register_event){300, 350, 0, 4, 3, 0, false, false, 0};
    cr_assert(is_good(&history), "the read saw the write that was never answered");
}

Test(check_register, what_no_order_explains_is_caught) {
    const struct register_event bad[] = {
        {300, 350, 0, 1, 1, 0, false, false, 0}, /* reads an old version */
        {300, 350, 0, 9, 2, 0, false, false, 0}, /* another value of a version */
        {300, 350, 3, 3, 2, 0, true, true, 0},   /* two writes of a version */
        {300, 350, 0, 9, 9, 0, false, false, 0}, /* more versions than writes */
        {300, 350, 0, 0, 0, 0, false, false, 0}, /* the beginning, after writes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct register_history history = make();
        history.events[2] = bad[i];
        cr_assert_not(is_good(&history), "case %zu", i);
    }
}

#include <criterion/criterion.h>

#include "sim/check_exchange.h"

/* Two conversations; two requests were made in the first one and one in the other. */
static struct check_exchange make(void) {
    struct check_exchange check = {0};
    cr_assert_eq(check_exchange_open(&check), 0);
    cr_assert_eq(check_exchange_open(&check), 1);
    check_exchange_on_sent(&check, 0);
    check_exchange_on_sent(&check, 0);
    check_exchange_on_sent(&check, 1);
    return check;
}

static bool asks(const struct check_exchange *check, int64_t conversation, int64_t index,
                 int64_t *next) {
    const struct check_exchange_head head = {conversation, index, 0};
    struct tern_error problem;
    return check_exchange_on_request(check, &head, next, &problem);
}

static bool answers(struct check_exchange *check, int64_t to, int64_t conversation, int64_t index) {
    const struct check_exchange_head head = {conversation, index, 0};
    struct tern_error problem;
    return check_exchange_on_answer(check, to, &head, &problem);
}

Test(check_exchange, a_server_is_given_what_was_asked_in_order) {
    struct check_exchange check = make();
    int64_t next = -1;
    cr_assert(asks(&check, 0, 0, &next));
    cr_assert_not(asks(&check, 0, 0, &next), "again");
    cr_assert(asks(&check, 0, 1, &next));
    cr_assert_not(asks(&check, 0, 2, &next), "was not made");
    cr_assert_not(asks(&check, 2, 0, &next), "no such conversation");
    cr_assert_not(asks(&check, -1, 0, &next));
    check_exchange_on_sent(&check, 0);
    check_exchange_on_sent(&check, 0);
    cr_assert_not(asks(&check, 0, 3, &next), "behind a gap");
    next = -1;
    cr_assert(asks(&check, 0, 3, &next), "the first one of another image");
    check_exchange_close(&check);
}

Test(check_exchange, a_client_is_given_the_answers_to_its_own_requests) {
    struct check_exchange check = make();
    cr_assert_not(answers(&check, 0, 1, 0), "to somebody else");
    cr_assert(answers(&check, 0, 0, 0));
    cr_assert_not(check_exchange_is_level(&check, 0));
    cr_assert_not(answers(&check, 0, 0, 0), "again");
    check_exchange_on_sent(&check, 0);
    cr_assert_not(answers(&check, 0, 0, 2), "behind a gap");
    cr_assert(answers(&check, 0, 0, 1));
    cr_assert(answers(&check, 0, 0, 2));
    cr_assert(check_exchange_is_level(&check, 0));
    cr_assert_not(answers(&check, 0, 0, 3), "was not asked");
    cr_assert_not(check_exchange_is_level(&check, 1));
    check_exchange_on_sent(&check, 1);
    cr_assert(answers(&check, 1, 1, 1), "the first one is lost with its server");
    check_exchange_close(&check);
}

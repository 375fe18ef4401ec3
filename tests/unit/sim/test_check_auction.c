#include <criterion/criterion.h>

#include "sim/check_auction.h"

/* Customers 1 and 2 bid 10 and 12; 1 bids 12, too late; 2 bids 15 and hears of it only when it asks
 * again; a bid of 14 is never answered. */
static struct auction_history make(void) {
    struct auction_history history = {0};
    const struct auction_event events[] = {
        {1, 10, 100, 150, 1, 1, 10, true, false, 0},  {2, 12, 110, 160, 2, 2, 12, true, false, 0},
        {1, 12, 170, 180, 3, 2, 12, false, false, 0}, {2, 15, 190, 300, 4, 2, 15, false, true, 0},
        {3, 14, 200, 0, 0, 0, 0, false, false, 0},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        auction_history_add(&history, &events[i]);
    }
    return history;
}

static bool is_good(struct auction_history *history, struct auction_end end) {
    struct tern_error problem;
    bool result = check_auction(history, &end, &problem);
    auction_history_close(history);
    return result;
}

Test(check_auction, a_good_history_and_what_a_bid_in_doubt_may_have_become) {
    struct auction_history history = make();
    cr_assert(is_good(&history, (struct auction_end){4, 2, 15}));
    history = make();
    cr_assert(is_good(&history, (struct auction_end){5, 2, 15}));
    history = make();
    history.bids.events[4].price = 20;
    cr_assert(is_good(&history, (struct auction_end){5, 3, 20}));
}

Test(check_auction, lost_and_doubled_bids_are_caught) {
    struct auction_history history = make();
    cr_assert_not(is_good(&history, (struct auction_end){3, 2, 15}), "an acknowledged one lost");
    history = make();
    cr_assert_not(is_good(&history, (struct auction_end){6, 2, 15}), "one counted twice");
    history = make();
    history.bids.events[2].bid_count = 2;
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "two at one place");
    history = make();
    history.bids.events[2].bid_count = 1;
    history.bids.events[0].bid_count = 3;
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "before it was made");
}

Test(check_auction, a_wrong_winner_is_caught) {
    struct auction_history history = make();
    cr_assert_not(is_good(&history, (struct auction_end){5, 3, 14}), "a worse one won");
    history = make();
    cr_assert_not(is_good(&history, (struct auction_end){4, 1, 15}), "another customer's");
    history = make();
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 99}), "nobody bid that");
    history = make();
    history.bids.events[1].is_best = false;
    history.bids.events[1].best_customer_id = 1;
    history.bids.events[1].best_price = 10;
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "a better one did not win");
    history = make();
    history.bids.events[2].is_best = true;
    history.bids.events[2].best_customer_id = 1;
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "the later of equal ones");
    history = make();
    history.bids.events[3].best_price = 12;
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "its own is better");
}

/* A further answer to the bid of 15, which was heard of first by a repeat at count 4. */
static bool answers_again(struct auction_history *history, int64_t count, bool is_repeated,
                          int64_t best_price) {
    const struct auction_event answer = {.answered_ns = 400,
                                         .bid_count = count,
                                         .best_customer_id = 2,
                                         .best_price = best_price,
                                         .is_best = !is_repeated,
                                         .is_repeated = is_repeated};
    struct tern_error problem;
    return auction_history_answer(history, 3, &answer, &problem);
}

Test(check_auction, an_answer_to_the_first_copy_may_come_last_but_once) {
    struct auction_history history = make();
    cr_assert(answers_again(&history, 4, false, 15));
    cr_assert(answers_again(&history, 5, true, 15));
    cr_assert_not(answers_again(&history, 4, false, 15), "it was new twice");
    cr_assert(is_good(&history, (struct auction_end){5, 2, 15}));
    history = make();
    cr_assert(answers_again(&history, 4, false, 15));
    cr_assert(answers_again(&history, 4, true, 15));
    cr_assert(is_good(&history, (struct auction_end){4, 2, 15}));
}

Test(check_auction, further_answers_are_checked_like_the_first) {
    struct auction_history history = make();
    cr_assert(answers_again(&history, 5, false, 15));
    cr_assert_not(is_good(&history, (struct auction_end){5, 2, 15}), "new after it was repeated");
    history = make();
    cr_assert(answers_again(&history, 3, false, 15));
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "another one's place");
    history = make();
    cr_assert(answers_again(&history, 4, false, 15));
    cr_assert(answers_again(&history, 3, true, 15));
    cr_assert_not(is_good(&history, (struct auction_end){4, 2, 15}), "repeated before its place");
    history = make();
    cr_assert(answers_again(&history, 5, true, 16));
    cr_assert_not(is_good(&history, (struct auction_end){5, 2, 16}), "nobody bid that");
    history = make();
    cr_assert(answers_again(&history, 6, true, 15));
    cr_assert_not(is_good(&history, (struct auction_end){5, 2, 15}), "more than at the end");
}

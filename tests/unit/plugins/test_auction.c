#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lib/fake_host.h"
#include "plugins/auction.h"
#include "unit/plugins/replica.h"

#define SESSION 7

static struct auction_answer bid(struct fake_service *auction, int64_t correlation_id,
                                 int64_t customer_id, int64_t price) {
    const struct auction_bid bid = {correlation_id, customer_id, price};
    struct auction_answer answer;
    int64_t session_id;
    fake_service_send(auction, SESSION, &bid, sizeof bid);
    fake_service_last_answer(auction, &session_id, &answer, sizeof answer);
    cr_assert_eq(session_id, SESSION);
    return answer;
}

Test(auction, the_best_price_wins_and_the_earlier_of_equal_ones) {
    static const struct {
        struct auction_bid bid; /* correlation id, customer, price */
        struct auction_answer answer;
    } rows[] = {
        /* correlation id, best customer, best price, bids, is best, is repeated, is closed */
        {{1, 10, 100}, {1, 10, 100, 1, 1, 0, 0}},
        {{1, 20, 90}, {1, 10, 100, 2, 0, 0, 0}},
        {{2, 20, 100}, {2, 10, 100, 3, 0, 0, 0}},
        {{3, 20, 101}, {3, 20, 101, 4, 1, 0, 0}},
        {{3, 20, 101}, {3, 20, 101, 4, 0, 1, 0}}, /* sent again */
        {{3, 20, 500}, {3, 20, 101, 4, 0, 1, 0}}, /* the same id never counts twice */
        {{2, 20, 600}, {2, 20, 101, 4, 0, 1, 0}}, /* nor does an older one */
        {{2, 10, 102}, {2, 10, 102, 5, 1, 0, 0}},
        {{INT64_MAX, 30, INT64_MAX}, {INT64_MAX, 30, INT64_MAX, 6, 1, 0, 0}},
    };
    struct fake_service auction;
    cr_assert_eq(fake_service_open(&auction, "auction", NULL, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct auction_answer answer =
            bid(&auction, rows[i].bid.correlation_id, rows[i].bid.customer_id, rows[i].bid.price);
        cr_assert_arr_eq(&answer, &rows[i].answer, sizeof answer, "row %zu", i);
    }
    fake_service_close(&auction);
}

Test(auction, a_negative_price_wins_when_it_is_the_first) {
    struct fake_service auction;
    cr_assert_eq(fake_service_open(&auction, "auction", NULL, NULL), 0);
    cr_assert_eq(bid(&auction, 1, 10, -5).is_best, 1);
    cr_assert_eq(bid(&auction, 1, 20, -6).is_best, 0);
    cr_assert_eq(bid(&auction, 2, 20, -4).best_customer_id, 20);
    fake_service_close(&auction);
}

Test(auction, short_messages_and_messages_of_services_change_nothing) {
    const struct auction_bid message = {1, 10, 100};
    struct fake_service auction;
    cr_assert_eq(fake_service_open(&auction, "auction", NULL, NULL), 0);
    fake_service_send(&auction, SESSION, &message, sizeof message - 1);
    fake_service_send(&auction, SESSION, &message, 0);
    fake_service_send(&auction, 0, &message, sizeof message);
    cr_assert_eq(auction.host.answers.count, 0);
    cr_assert_eq(bid(&auction, 1, 10, 100).bid_count, 1);
    fake_service_close(&auction);
}

Test(auction, waits_through_back_pressure_but_not_for_ever) {
    struct fake_service auction;
    const struct auction_bid message = {2, 10, 200};
    cr_assert_eq(fake_service_open(&auction, "auction", NULL, NULL), 0);
    auction.host.refusals = 3;
    (void)bid(&auction, 1, 10, 100);
    cr_assert_eq(auction.host.idle_count, 3);
    auction.host.refusals = 1 << 30;
    fake_service_send(&auction, SESSION, &message, sizeof message);
    cr_assert_eq(auction.host.answers.count, 1);
    auction.host.refusals = 0;
    cr_assert_eq(bid(&auction, 2, 10, 200).is_repeated, 1, "applied, though not answered");
    fake_service_close(&auction);
}

static int32_t make_bid(uint64_t random, uint8_t *message) {
    const struct auction_bid bid = {(int64_t)(random % 97), (int64_t)(random >> 20) % 40,
                                    (int64_t)(random >> 40) % 10000};
    memcpy(message, &bid, sizeof bid);
    return sizeof bid;
}

Test(auction, replicas_agree_and_a_snapshot_carries_everything) {
    replica_check("auction", make_bid, NULL);
}

Test(auction, says_what_is_wrong_with_a_snapshot) {
    static const int64_t kept[] = {1, 2}; /* messages: head and customers, cut off */
    struct fake_service auction;
    struct tern_error error = {0};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct tern_service_snapshot snapshot = {0};
        cr_assert_eq(fake_service_open(&auction, "auction", NULL, NULL), 0);
        (void)bid(&auction, 1, 10, 100);
        (void)bid(&auction, 1, 20, 100);
        cr_assert_eq(fake_service_take_snapshot(&auction, &snapshot, &error), 0);
        fake_service_close(&auction);
        cr_assert_eq(snapshot.messages.count, 3);
        fake_snapshot_cut(&snapshot, kept[i]);
        cr_assert_eq(fake_service_open(&auction, "auction", &snapshot, &error), -EBADMSG);
        cr_assert(strstr(error.text, "damaged") != NULL, "%s", error.text);
        fake_service_close(&auction);
        fake_snapshot_close(&snapshot);
    }
    struct tern_service_snapshot empty = {0};
    cr_assert_eq(fake_service_open(&auction, "auction", &empty, &error), 0,
                 "a snapshot of a service without state");
    for (int64_t refused_from = 1; refused_from <= 2; refused_from++) {
        struct tern_service_snapshot full = {.refused_from = refused_from};
        (void)bid(&auction, 1, 10, 100);
        cr_assert_eq(fake_service_take_snapshot(&auction, &full, &error), -ENOMEM);
        cr_assert_eq(error.code, -ENOMEM);
        fake_snapshot_close(&full);
    }
    fake_service_close(&auction);
}

static struct auction_answer last_answer(struct fake_service *auction, int64_t session_id) {
    struct auction_answer answer;
    int64_t to;
    fake_service_last_answer(auction, &to, &answer, sizeof answer);
    cr_assert_eq(to, session_id);
    return answer;
}

static void fire(struct fake_service *auction, int64_t timestamp) {
    auction->host.time = timestamp;
    auction->plugin->on_timer_event(auction->service, auction->host.last_timer.timer_id, timestamp);
}

Test(auction, closes_when_nobody_has_bid_for_as_long_as_its_argument_says) {
    const struct auction_bid last = {1, 20, 150};
    struct fake_service auction;
    struct tern_error error = {0};
    cr_assert(fake_service_try_open(&auction, "auction", "500", &error));
    (void)bid(&auction, 1, 10, 100);
    cr_assert_eq(auction.host.last_timer.deadline, 1500);
    auction.host.time = 1400;
    auction.host.refusals = 3;
    fake_service_send(&auction, SESSION + 1, &last, sizeof last);
    cr_assert_eq(auction.host.last_timer.deadline, 1900, "moved by the bid");
    cr_assert_eq(auction.host.timer_call_count, 2);
    fire(&auction, 1500); /* it was under way when the timer moved */
    (void)bid(&auction, 1, 10, 100);
    cr_assert_eq(auction.host.timer_call_count, 2, "a repeated bid moves nothing");
    cr_assert_eq(auction.host.answers.count, 3);
    fire(&auction, 1900);
    cr_assert_eq(auction.host.answers.count, 5, "both sessions hear of it");
    const struct auction_answer end = {AUCTION_NO_BID, 20, 150, 2, 0, 0, 1};
    struct auction_answer answer = last_answer(&auction, SESSION + 1);
    cr_assert_arr_eq(&answer, &end, sizeof end);
    cr_assert(strstr(auction.host.log_text, "closed: 2 bids, best is 150 by customer 20") != NULL);
    answer = bid(&auction, 2, 10, 900);
    cr_assert(answer.is_closed && !answer.is_best && !answer.is_repeated);
    cr_assert_eq(answer.bid_count, 2);
    cr_assert_eq(auction.host.timer_call_count, 2);
    fake_service_close(&auction);
}

/* Another service of the node may use the same id. */
Test(auction, an_event_that_it_did_not_ask_for_closes_nothing) {
    static const char *const arguments[] = {"", "500"};
    for (int i = 0; i < 2; i++) {
        struct fake_service auction;
        struct tern_error error = {0};
        cr_assert(fake_service_try_open(&auction, "auction", arguments[i], &error));
        auction.host.last_timer.timer_id = 1;
        fire(&auction, 1500);
        cr_assert_eq(bid(&auction, 1, 10, 100).is_closed, 0);
        fire(&auction, 2000);
        cr_assert_eq(bid(&auction, 1, 10, 100).is_closed, i);
        int answer_count = (int)auction.host.answers.count;
        fire(&auction, 2500);
        cr_assert_eq(auction.host.answers.count, answer_count, "closed twice");
        fake_service_close(&auction);
    }
}

Test(auction, does_not_start_with_an_argument_that_is_no_duration) {
    static const char *const arguments[] = {"soon", "10s", "-1", "99999999999"};
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        struct fake_service auction;
        struct tern_error error = {0};
        cr_assert(!fake_service_try_open(&auction, "auction", arguments[i], &error));
        cr_assert_eq(error.code, -EINVAL);
        cr_assert(strstr(error.text, arguments[i]) != NULL, "%s", error.text);
        fake_service_close(&auction);
    }
}

Test(auction, a_snapshot_remembers_when_it_closes_and_that_it_is_closed) {
    struct tern_error error = {0};
    for (int i = 0; i < 2; i++) {
        struct tern_service_snapshot snapshot = {0};
        struct fake_service auction;
        cr_assert(fake_service_try_open(&auction, "auction", "500", &error));
        (void)bid(&auction, 1, 10, 100);
        if (i == 1) {
            fire(&auction, 1500);
        }
        cr_assert_eq(fake_service_take_snapshot(&auction, &snapshot, &error), 0);
        fake_service_close(&auction);
        cr_assert_eq(fake_service_open(&auction, "auction", &snapshot, &error), 0);
        auction.host.last_timer.timer_id = 1;
        fire(&auction, 1499);
        cr_assert_eq(bid(&auction, 1, 10, 100).is_closed, i);
        fire(&auction, 1500);
        cr_assert_eq(bid(&auction, 1, 10, 100).is_closed, 1);
        fake_service_close(&auction);
        fake_snapshot_close(&snapshot);
    }
}

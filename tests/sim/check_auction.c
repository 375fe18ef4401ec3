/* See check_auction.h. The counts order the answers, so no order has to be searched for. */
#include "sim/check_auction.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

void auction_history_add(struct auction_history *history, const struct auction_event *event) {
    if (history->count == history->capacity) {
        history->capacity = 2 * history->capacity + 1024;
        history->events =
            realloc(history->events, (size_t)history->capacity * sizeof history->events[0]);
        assert(history->events != NULL);
    }
    history->events[history->count++] = *event;
}

void auction_history_close(struct auction_history *history) {
    free(history->events);
    *history = (struct auction_history){0};
}

static bool broken(struct tern_error *problem, const struct auction_event *event,
                   const char *what) {
    (void)error_set(
        problem, -1, "bid of %lld by customer %lld, answered at count %lld with %lld by %lld: %s",
        (long long)event->price, (long long)event->customer_id, (long long)event->bid_count,
        (long long)event->best_price, (long long)event->best_customer_id, what);
    return false;
}

/* Whether somebody bid that before `answered_ns` and may have had a place up to `bid_count`. */
static bool is_best_possible(const struct auction_history *history,
                             const struct auction_event *answer) {
    for (int64_t i = 0; i < history->count; i++) {
        const struct auction_event *event = &history->events[i];
        if (event->invoked_ns > answer->answered_ns) {
            return false;
        }
        bool is_placed_later =
            event->answered_ns != 0 && !event->is_repeated && event->bid_count > answer->bid_count;
        if (event->customer_id == answer->best_customer_id && event->price == answer->best_price &&
            !is_placed_later) {
            return true;
        }
    }
    return false;
}

/* One answer against the one before it in the order of the auction; NULL: it is the first. */
static bool follows(const struct auction_event *event, const struct auction_event *before,
                    struct tern_error *problem) {
    if (event->best_price < event->price) {
        return broken(problem, event, "the bid is better than the best one");
    }
    if (event->is_best && (event->is_repeated || event->best_price != event->price ||
                           event->best_customer_id != event->customer_id)) {
        return broken(problem, event, "it is the best one, but another is named");
    }
    int64_t before_count = before == NULL ? 0 : before->bid_count;
    int64_t before_price = before == NULL ? -1 : before->best_price;
    if (event->best_price < before_price) {
        return broken(problem, event, "the best price fell");
    }
    if (!event->is_repeated && event->bid_count == before_count) {
        return broken(problem, event, "two bids have one place");
    }
    bool is_same_best = before != NULL && before->best_price == event->best_price &&
                        before->best_customer_id == event->best_customer_id;
    if (before != NULL && !is_same_best && before->bid_count == event->bid_count) {
        return broken(problem, event, "two answers differ on the best bid at one count");
    }
    if (before != NULL && !is_same_best && before->best_price == event->best_price) {
        return broken(problem, event, "a later bid of the same price took its place");
    }
    bool is_next = !event->is_repeated && event->bid_count == before_count + 1;
    if (is_next && event->is_best != (event->price > before_price)) {
        return broken(problem, event, "a better bid did not win, or a worse one did");
    }
    return true;
}

/* By count; at one count the bid that has the place comes before repeated ones. */
static int compare_counts(const void *a, const void *b) {
    const struct auction_event *first = *(const struct auction_event *const *)a;
    const struct auction_event *second = *(const struct auction_event *const *)b;
    if (first->bid_count != second->bid_count) {
        return first->bid_count < second->bid_count ? -1 : 1;
    }
    return (int)first->is_repeated - (int)second->is_repeated;
}

static int compare_times(const void *a, const void *b) {
    const struct auction_event *first = *(const struct auction_event *const *)a;
    const struct auction_event *second = *(const struct auction_event *const *)b;
    return (first->answered_ns > second->answered_ns) - (first->answered_ns < second->answered_ns);
}

/* `answers` by the time of the answer: a bid counts after all that were answered before it. */
static bool check_real_time(const struct auction_history *history,
                            const struct auction_event **answers, int64_t count,
                            struct tern_error *problem) {
    int64_t seen = 0;
    int64_t seen_count = 0; /* highest count of an answer that was there */
    for (int64_t i = 0; i < history->count; i++) {
        const struct auction_event *event = &history->events[i];
        for (; seen < count && answers[seen]->answered_ns < event->invoked_ns; seen++) {
            seen_count = max_i64(seen_count, answers[seen]->bid_count);
        }
        if (event->answered_ns != 0 && event->bid_count <= seen_count) {
            return broken(problem, event, "it was counted before it was made");
        }
    }
    return true;
}

static bool check_answers(const struct auction_history *history,
                          const struct auction_event **answers, int64_t count,
                          struct tern_error *problem) {
    qsort(answers, (size_t)count, sizeof(answers[0]), compare_counts);
    for (int64_t i = 0; i < count; i++) {
        const struct auction_event *before = i == 0 ? NULL : answers[i - 1];
        bool is_known = before != NULL && before->best_price == answers[i]->best_price &&
                        before->best_customer_id == answers[i]->best_customer_id;
        if (!follows(answers[i], before, problem)) {
            return false;
        }
        if (!is_known && !is_best_possible(history, answers[i])) {
            return broken(problem, answers[i], "nobody can have bid the best one");
        }
    }
    qsort(answers, (size_t)count, sizeof(answers[0]), compare_times);
    return check_real_time(history, answers, count, problem);
}

static bool check_end(const struct auction_history *history, const struct auction_end *end,
                      int64_t answered_count, struct tern_error *problem) {
    if (end->bid_count < answered_count || end->bid_count > history->count) {
        (void)error_set(problem, -1, "%lld bids were counted, of %lld sent and %lld acknowledged",
                        (long long)end->bid_count, (long long)history->count,
                        (long long)answered_count);
        return false;
    }
    for (int64_t i = 0; i < history->count; i++) {
        const struct auction_event *event = &history->events[i];
        if (event->answered_ns == 0) {
            continue;
        }
        if (event->bid_count > end->bid_count || event->best_price > end->best_price) {
            return broken(problem, event, "the auction at the end has not come so far");
        }
        if (event->best_price == end->best_price &&
            event->best_customer_id != end->best_customer_id) {
            return broken(problem, event, "another customer won at the end");
        }
    }
    const struct auction_event last = {.answered_ns = INT64_MAX,
                                       .bid_count = end->bid_count,
                                       .best_customer_id = end->best_customer_id,
                                       .best_price = end->best_price};
    return end->bid_count == 0 || is_best_possible(history, &last) ||
           broken(problem, &last, "nobody can have bid what won");
}

bool check_auction(const struct auction_history *history, const struct auction_end *end,
                   struct tern_error *problem) {
    const struct auction_event **answers = calloc((size_t)history->count + 1, sizeof(answers[0]));
    assert(answers != NULL);
    int64_t count = 0;
    for (int64_t i = 0; i < history->count; i++) {
        if (history->events[i].answered_ns != 0) {
            answers[count++] = &history->events[i];
        }
    }
    bool is_good = check_answers(history, answers, count, problem) &&
                   (end == NULL || check_end(history, end, count, problem));
    free(answers);
    return is_good;
}

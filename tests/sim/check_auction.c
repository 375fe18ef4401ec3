/* See check_auction.h. The counts order the answers, so no order has to be searched for. */
#include "sim/check_auction.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

static void list_add(struct auction_list *list, const struct auction_event *event) {
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 1024;
        list->events = realloc(list->events, (size_t)list->capacity * sizeof list->events[0]);
        assert(list->events != NULL);
    }
    struct auction_event *added = &list->events[list->count++];
    *added = *event;
    added->place = event->answered_ns != 0 && !event->is_repeated ? event->bid_count : 0;
}

void auction_history_add(struct auction_history *history, const struct auction_event *event) {
    list_add(&history->bids, event);
}

void auction_history_close(struct auction_history *history) {
    free(history->bids.events);
    free(history->answers.events);
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

bool auction_history_answer(struct auction_history *history, int64_t index,
                            const struct auction_event *answer, struct tern_error *problem) {
    struct auction_event *bid = &history->bids.events[index];
    struct auction_event event = *answer;
    event.customer_id = bid->customer_id;
    event.price = bid->price;
    event.invoked_ns = bid->invoked_ns;
    event.place = bid->place;
    if (!event.is_repeated && bid->place != 0) {
        return broken(problem, &event, "it was applied twice");
    }
    if (!event.is_repeated) {
        event.place = event.bid_count;
    }
    if (bid->answered_ns == 0) {
        *bid = event;
        return true;
    }
    bid->place = event.place;
    list_add(&history->answers, &event);
    return true;
}

/* Whether somebody bid that before `answered_ns` and may have had a place up to `bid_count`. */
static bool is_best_possible(const struct auction_history *history,
                             const struct auction_event *answer) {
    for (int64_t i = 0; i < history->bids.count; i++) {
        const struct auction_event *event = &history->bids.events[i];
        if (event->invoked_ns > answer->answered_ns) {
            return false;
        }
        if (event->customer_id == answer->best_customer_id && event->price == answer->best_price &&
            event->place <= answer->bid_count) {
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
    if (event->is_repeated && event->place > event->bid_count) {
        return broken(problem, event, "it was repeated before it had its place");
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

static int compare_invocations(const void *a, const void *b) {
    const struct auction_event *first = *(const struct auction_event *const *)a;
    const struct auction_event *second = *(const struct auction_event *const *)b;
    return (first->invoked_ns > second->invoked_ns) - (first->invoked_ns < second->invoked_ns);
}

/* All answers. */
struct answers {
    const struct auction_event **events;
    int64_t count;
};

/* A bid counts after all that were answered before it was made. */
static bool check_real_time(struct answers *by_time, struct answers *by_invocation,
                            struct tern_error *problem) {
    int64_t seen = 0;
    int64_t seen_count = 0; /* highest count of an answer that was there */
    qsort(by_time->events, (size_t)by_time->count, sizeof by_time->events[0], compare_times);
    qsort(by_invocation->events, (size_t)by_invocation->count, sizeof by_invocation->events[0],
          compare_invocations);
    for (int64_t i = 0; i < by_invocation->count; i++) {
        const struct auction_event *event = by_invocation->events[i];
        for (; seen < by_time->count && by_time->events[seen]->answered_ns < event->invoked_ns;
             seen++) {
            seen_count = max_i64(seen_count, by_time->events[seen]->bid_count);
        }
        if (event->bid_count <= seen_count) {
            return broken(problem, event, "it was counted before it was made");
        }
    }
    return true;
}

static bool check_order(const struct auction_history *history, struct answers *answers,
                        struct tern_error *problem) {
    qsort(answers->events, (size_t)answers->count, sizeof answers->events[0], compare_counts);
    for (int64_t i = 0; i < answers->count; i++) {
        const struct auction_event *answer = answers->events[i];
        const struct auction_event *before = i == 0 ? NULL : answers->events[i - 1];
        bool is_known = before != NULL && before->best_price == answer->best_price &&
                        before->best_customer_id == answer->best_customer_id;
        if (!follows(answer, before, problem)) {
            return false;
        }
        if (!is_known && !is_best_possible(history, answer)) {
            return broken(problem, answer, "nobody can have bid the best one");
        }
    }
    return true;
}

static bool check_end(const struct auction_history *history, const struct answers *answers,
                      const struct auction_end *end, struct tern_error *problem) {
    int64_t answered_count = 0;
    for (int64_t i = 0; i < history->bids.count; i++) {
        answered_count += history->bids.events[i].answered_ns != 0;
    }
    if (end->bid_count < answered_count || end->bid_count > history->bids.count) {
        (void)error_set(problem, -1, "%lld bids were counted, of %lld sent and %lld acknowledged",
                        (long long)end->bid_count, (long long)history->bids.count,
                        (long long)answered_count);
        return false;
    }
    for (int64_t i = 0; i < answers->count; i++) {
        const struct auction_event *event = answers->events[i];
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

static void take_answers(struct answers *answers, const struct auction_list *list) {
    for (int64_t i = 0; i < list->count; i++) {
        if (list->events[i].answered_ns != 0) {
            answers->events[answers->count++] = &list->events[i];
        }
    }
}

static struct answers all_answers(const struct auction_history *history) {
    struct answers answers = {0};
    answers.events = calloc((size_t)(history->bids.count + history->answers.count + 1),
                            sizeof answers.events[0]);
    assert(answers.events != NULL);
    take_answers(&answers, &history->bids);
    take_answers(&answers, &history->answers);
    return answers;
}

bool check_auction(const struct auction_history *history, const struct auction_end *end,
                   struct tern_error *problem) {
    struct answers answers = all_answers(history);
    struct answers others = all_answers(history);
    bool is_good = check_order(history, &answers, problem) &&
                   check_real_time(&answers, &others, problem) &&
                   (end == NULL || check_end(history, &answers, end, problem));
    free(answers.events);
    free(others.events);
    return is_good;
}

/* Whether what bidders were told is what one auction did, bid after bid. A bid may be sent again
 * when its answer is missing; it counts once all the same.
 *
 * The count in an answer is the place of its bid in the auction, unless the bid was repeated; so
 * the acknowledged bids name their places, no two the same one, and the best price of each answer
 * is that of the bids before and at its place. Bids without an answer may stand at any free place.
 *
 * A bid that was sent again has several answers, in any order: that to the first copy may come
 * last, from a leader that is none any more. All of them count here, as all were made by the
 * auction that everybody agrees on; but only one can say that the bid was new.
 */
#ifndef TERN_SIM_CHECK_AUCTION_H
#define TERN_SIM_CHECK_AUCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct auction_event {
    int64_t customer_id;
    int64_t price;
    int64_t invoked_ns;  /* sent first */
    int64_t answered_ns; /* 0: never; the first answer, as are the others */
    int64_t bid_count;
    int64_t best_customer_id;
    int64_t best_price;
    bool is_best;
    bool is_repeated;
    int64_t place; /* by whichever answer told it; 0: none did */
};

struct auction_list {
    struct auction_event *events;
    int64_t count;
    int64_t capacity;
};

struct auction_history {
    struct auction_list bids;    /* with their first answers */
    struct auction_list answers; /* further ones, each with its bid */
};

/* The auction at the end of the log. */
struct auction_end {
    int64_t bid_count;
    int64_t best_customer_id;
    int64_t best_price;
};

void auction_history_add(struct auction_history *history, const struct auction_event *event);
/* An answer to a bid, which is at this index: the event's fields from answered_ns on. False when
 * the answers to it contradict one another. */
bool auction_history_answer(struct auction_history *history, int64_t index,
                            const struct auction_event *answer, struct tern_error *problem);
void auction_history_close(struct auction_history *history);
/* `end` is NULL when no service lives. */
bool check_auction(const struct auction_history *history, const struct auction_end *end,
                   struct tern_error *problem);

#endif

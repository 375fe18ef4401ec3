/* Whether what bidders were told is what one auction did, bid after bid. A bid may be sent again
 * when its answer is missing; it counts once all the same.
 *
 * The count in an answer is the place of its bid in the auction, unless the bid was repeated; so
 * the acknowledged bids name their places, no two the same one, and the best price of each answer
 * is that of the bids before and at its place. Bids without an answer may stand at any free place.
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
};

struct auction_history {
    struct auction_event *events;
    int64_t count;
    int64_t capacity;
};

/* The auction at the end of the log. */
struct auction_end {
    int64_t bid_count;
    int64_t best_customer_id;
    int64_t best_price;
};

void auction_history_add(struct auction_history *history, const struct auction_event *event);
void auction_history_close(struct auction_history *history);
/* `end` is NULL when no service lives. */
bool check_auction(const struct auction_history *history, const struct auction_end *end,
                   struct tern_error *problem);

#endif

/* The messages of the auction service, shared by plugin and client. Little-endian, no padding.
 *
 * A bid names itself by the client's correlation id. A client that got no answer (its leader died)
 * sends the same bid again: the auction remembers each customer's last correlation id and answers
 * a repeated bid without applying it twice. When the auction closes, everybody who is connected is
 * told so, by an answer to no bid.
 */
#ifndef TERN_AUCTION_H
#define TERN_AUCTION_H

#include <stdint.h>

#define AUCTION_NO_BID INT64_MIN

struct auction_bid {
    int64_t correlation_id; /* grows with each new bid of a customer */
    int64_t customer_id;
    int64_t price;
};

struct auction_answer {
    int64_t correlation_id;   /* of the bid; AUCTION_NO_BID when nobody asked */
    int64_t best_customer_id; /* -1: nobody has bid yet */
    int64_t best_price;
    int64_t bid_count;   /* applied so far, by everybody */
    int64_t is_best;     /* 1: this bid is the best one now */
    int64_t is_repeated; /* 1: this bid had been applied before */
    int64_t is_closed;   /* 1: the auction is over: bids are not applied any more */
};

_Static_assert(sizeof(struct auction_bid) == 24, "bid");
_Static_assert(sizeof(struct auction_answer) == 56, "answer");

#endif

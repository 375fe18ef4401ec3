/* See auction_service.h: the plugin itself, under another name, so that several can be linked, and
 * with bugs that can be planted into it. */
#define tern_service_plugin auction_plugin
#include "sim/auction_service.h"

#include "../plugins/auction.c"

#include "sim/planted.h"

#define EVERY 64 /* bids */

#define HASH_STEP(hash, word) (((hash) ^ (uint64_t)(word)) * UINT64_C(0x100000001b3))

uint64_t auction_service_hash(const void *service) {
    const struct auction *auction = service;
    uint64_t hash = HASH_STEP(UINT64_C(0xcbf29ce484222325), auction->best_customer_id);
    hash = HASH_STEP(hash, auction->best_price);
    hash = HASH_STEP(hash, auction->bid_count);
    for (int64_t i = 0; i < auction->customer_count; i++) {
        hash = HASH_STEP(hash, auction->customers[i].customer_id);
        hash = HASH_STEP(hash, auction->customers[i].last_correlation_id);
    }
    return hash;
}

struct auction_end auction_service_end(const void *service) {
    const struct auction *auction = service;
    return (struct auction_end){auction->bid_count, auction->best_customer_id, auction->best_price};
}

/* Whatever the bugs do, all replicas do the same. */
static void on_message(void *service, const struct tern_service_session *session, int64_t timestamp,
                       const uint8_t *buffer, int32_t length) {
    struct auction *auction = service;
    struct auction_bid bid;
    if (length < (int32_t)sizeof bid) {
        return;
    }
    memcpy(&bid, buffer, sizeof bid);
    int64_t best_customer_id = auction->best_customer_id;
    int64_t best_price = auction->best_price;
    bool is_stale =
        planted_is(PLANTED_STALE_BEST_ANSWERED) && auction->bid_count % EVERY == EVERY - 1;
    bool is_equal = planted_is(PLANTED_LATER_BID_WINS) && bid.price == best_price;
    if (planted_is(PLANTED_REPEATED_BID_COUNTED)) {
        find_or_add_customer(auction, bid.customer_id)->last_correlation_id = INT64_MIN;
    }
    if (is_stale) {
        auction->best_customer_id = NO_CUSTOMER;
        auction->best_price = 0;
    }
    on_session_message(service, session, timestamp, buffer, length);
    if (is_stale && best_price >= auction->best_price) {
        auction->best_customer_id = best_customer_id;
        auction->best_price = best_price;
    } else if (is_equal) {
        auction->best_customer_id = bid.customer_id;
    }
}

const struct tern_service_plugin auction_service_plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "auction",
    .version = "1",
    .create = create,
    .destroy = destroy,
    .on_start = on_start,
    .on_session_message = on_message,
    .on_take_snapshot = on_take_snapshot,
    .on_role_change = on_role_change,
};

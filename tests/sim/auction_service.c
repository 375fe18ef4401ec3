/* See auction_service.h: the plugin itself, under another name, so that several can be linked. */
#define tern_service_plugin auction_service_plugin
#include "sim/auction_service.h"

#include "../plugins/auction.c"

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

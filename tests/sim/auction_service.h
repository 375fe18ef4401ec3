/* The auction plugin, with a look into its state. */
#ifndef TERN_SIM_AUCTION_SERVICE_H
#define TERN_SIM_AUCTION_SERVICE_H

#include <tern/service.h>

#include "sim/check_auction.h"

extern const struct tern_service_plugin auction_service_plugin;
uint64_t auction_service_hash(const void *service);
struct auction_end auction_service_end(const void *service);

#endif

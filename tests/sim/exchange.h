/* Requests and responses beside the cluster, over response channels: a server at the first machine
 * and clients that each have a request publication and a response subscription, all of these on one
 * channel. The server answers every request by a publication of its own for each client. */
#ifndef TERN_SIM_EXCHANGE_H
#define TERN_SIM_EXCHANGE_H

#include "sim/sim.h"

#define EXCHANGE_REQUEST_STREAM_ID 7704
#define EXCHANGE_RESPONSE_STREAM_ID 7705

/* The names of its ways; NULL behind the last. */
const char *exchange_way_name(int index);
/* Adds the processes when the run's transport is one of them. The machines exist. */
void exchange_add(struct sim *sim);
void exchange_destroy(struct exchange *exchange);
void exchange_set_sending(struct exchange *exchange, bool is_sending);
/* Whether clients begin anew now and then. */
void exchange_set_restless(struct exchange *exchange, bool is_restless);
/* Every client has an answer to a request that it made after `since_ns`; so it has without any. */
bool exchange_is_served(const struct exchange *exchange, int64_t since_ns);
/* Every request of the present conversations is answered. */
bool exchange_is_level(const struct exchange *exchange);
int64_t exchange_answered(const struct exchange *exchange);

#endif

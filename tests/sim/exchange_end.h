/* What the files of an exchange share: the model, which is the simulator's, and the two kinds of
 * processes (exchange_client.c, exchange_server.c). */
#ifndef TERN_SIM_EXCHANGE_END_H
#define TERN_SIM_EXCHANGE_END_H

#include <tern/client.h>

#include "sim/check_exchange.h"
#include "sim/exchange.h"

#define EXCHANGE_CLIENTS_MAX 3
#define EXCHANGE_CHANNEL_MAX 160
#define EXCHANGE_MESSAGE_MAX 2000
#define EXCHANGE_RETRY_NS (100 * NS_PER_MS)
#define EXCHANGE_FRAGMENT_LIMIT 10

struct exchange_way {
    const char *name;
    const char *requests;              /* the server's subscription, the clients' publications */
    const char *responses;             /* the clients' subscriptions, the server's publications */
    int clients[EXCHANGE_CLIENTS_MAX]; /* enum stream_machine */
};

struct exchange {
    struct sim *sim;
    struct dice dice;
    const struct exchange_way *way;
    int64_t rate_hz;
    struct check_exchange check;
    struct exchange_client_model {
        int64_t conversation;     /* the present one; -1: none yet */
        int64_t answered_sent_ns; /* of the request that was answered last */
    } clients[EXCHANGE_CLIENTS_MAX];
    bool is_sending;
    bool is_restless;
    int64_t answered_count;
    uint8_t message[EXCHANGE_MESSAGE_MAX];
};

extern const struct process_operations exchange_client_operations;
extern const struct process_operations exchange_server_operations;

/* The bytes of a request or an answer behind its head. */
void exchange_fill(uint8_t *message, const struct check_exchange_head *head, int32_t length,
                   bool is_answer);
/* False, and the rule is broken, when they are others. */
bool exchange_verify(struct exchange *exchange, const uint8_t *message, int32_t length,
                     bool is_answer);

#endif

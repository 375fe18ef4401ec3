/* auction: the best price wins, the earlier one of equal prices. Every bid is answered with the
 * best bid so far; a bid that was sent twice counts once. With an argument, a number of
 * milliseconds, the auction closes when nobody has bid for so long. The whole state is in the
 * snapshot, so that it survives the restart of a cluster. */
#include "auction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/service.h>

#define SEND_ATTEMPTS_MAX 10000
#define NO_CUSTOMER INT64_C(-1)
#define CLOSING_TIMER_ID INT64_C(1) /* all services of a node share the ids of timers */

struct customer {
    int64_t customer_id;
    int64_t last_correlation_id;
};

struct auction {
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
    int64_t patience_ms; /* 0: the auction never closes */
    int64_t best_customer_id;
    int64_t best_price;
    int64_t bid_count;
    int64_t closing_time; /* in the cluster's unit; moves with every bid; 0: there is no timer */
    bool is_closed;
    int64_t customer_count;
    int64_t customer_capacity;
    struct customer *customers; /* in the order of their first bids */
};

/* The head of a snapshot; each customer follows as a message of its own. */
struct snapshot_head {
    int64_t best_customer_id;
    int64_t best_price;
    int64_t bid_count;
    int64_t closing_time;
    int64_t is_closed;
    int64_t customer_count;
};

static struct customer *find_or_add_customer(struct auction *auction, int64_t customer_id) {
    for (int64_t i = 0; i < auction->customer_count; i++) {
        if (auction->customers[i].customer_id == customer_id) {
            return &auction->customers[i];
        }
    }
    if (auction->customer_count == auction->customer_capacity) {
        int64_t capacity = auction->customer_capacity == 0 ? 16 : auction->customer_capacity * 2;
        struct customer *bigger =
            realloc(auction->customers, (size_t)capacity * sizeof *auction->customers);
        if (bigger == NULL) {
            abort(); /* a replica that forgets a customer must not go on */
        }
        auction->customers = bigger;
        auction->customer_capacity = capacity;
    }
    struct customer *added = &auction->customers[auction->customer_count++];
    *added = (struct customer){customer_id, INT64_MIN};
    return added;
}

static void answer(struct auction *auction, int64_t session_id, struct auction_answer answer) {
    answer.best_customer_id = auction->best_customer_id;
    answer.best_price = auction->best_price;
    answer.bid_count = auction->bid_count;
    answer.is_closed = auction->is_closed;
    (void)tern_service_send(auction->host, auction->operations, session_id, &answer, sizeof answer,
                            SEND_ATTEMPTS_MAX);
}

/* In the unit of the cluster's time, in which deadlines are given. */
static int64_t patience(const struct auction *auction) {
    switch (auction->operations->cluster_time_unit(auction->host)) {
    case TERN_CLUSTER_TIME_MICROS:
        return auction->patience_ms * 1000;
    case TERN_CLUSTER_TIME_NANOS:
        return auction->patience_ms * 1000000;
    case TERN_CLUSTER_TIME_MILLIS:
        break;
    }
    return auction->patience_ms;
}

/* To schedule a timer again moves it. All members must have the same timers, so room for the
 * request is waited for, however long that takes. Snapshots and new leaders leave timers alone:
 * after a restart there is nothing to do for them. */
static void move_closing_time(struct auction *auction, int64_t timestamp) {
    const struct tern_service_operations *operations = auction->operations;
    if (auction->patience_ms == 0) {
        return;
    }
    auction->closing_time = timestamp + patience(auction);
    while (operations->schedule_timer(auction->host, CLOSING_TIMER_ID, auction->closing_time) ==
           TERN_PUBLICATION_BACK_PRESSURED) {
        operations->idle(auction->host, 0);
    }
}

/* `timestamp` is the time of the log entry, the same on every member: the only clock there is. */
static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    struct auction *auction = service;
    struct auction_bid bid;
    if (session == NULL || length < (int32_t)sizeof bid) {
        return;
    }
    memcpy(&bid, buffer, sizeof bid);
    struct customer *customer = find_or_add_customer(auction, bid.customer_id);
    bool is_repeated = bid.correlation_id <= customer->last_correlation_id;
    bool is_best = false;
    if (!is_repeated && !auction->is_closed) {
        customer->last_correlation_id = bid.correlation_id;
        auction->bid_count++;
        is_best = auction->best_customer_id == NO_CUSTOMER || bid.price > auction->best_price;
        move_closing_time(auction, timestamp);
    }
    if (is_best) {
        auction->best_customer_id = bid.customer_id;
        auction->best_price = bid.price;
    }
    answer(auction, session->session_id,
           (struct auction_answer){.correlation_id = bid.correlation_id,
                                   .is_best = is_best,
                                   .is_repeated = is_repeated});
}

static void say(struct auction *auction, const char *what) {
    char text[160];
    (void)snprintf(text, sizeof text,
                   "%s: %" PRId64 " bids, best is %" PRId64 " by customer %" PRId64, what,
                   auction->bid_count, auction->best_price, auction->best_customer_id);
    auction->operations->log(auction->host, TERN_SERVICE_LOG_INFO, text);
}

/* The event may have been on its way into the log when a bid moved the timer: then it is too early,
 * and the timer fires once more. Before the first bid it is that of another service. */
static void on_timer_event(void *service, int64_t timer_id, int64_t timestamp) {
    struct auction *auction = service;
    const struct tern_service_session *session;
    int64_t session_id = INT64_MIN;
    bool is_awaited = auction->closing_time > 0 && !auction->is_closed;
    if (timer_id != CLOSING_TIMER_ID || !is_awaited || timestamp < auction->closing_time) {
        return;
    }
    auction->is_closed = true;
    say(auction, "closed");
    while ((session = auction->operations->next_session(auction->host, session_id)) != NULL) {
        session_id = session->session_id;
        answer(auction, session_id, (struct auction_answer){.correlation_id = AUCTION_NO_BID});
    }
}

/* What it is told must be the same on every member. */
static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    char *end;
    long patience_ms = strtol(argument, &end, 10);
    if (*end != '\0' || patience_ms < 0 || patience_ms > INT32_MAX) {
        error->code = -EINVAL;
        (void)snprintf(error->text, sizeof error->text,
                       "argument '%.60s' is not a number of milliseconds", argument);
        return NULL;
    }
    struct auction *auction = calloc(1, sizeof *auction);
    if (auction != NULL) {
        auction->host = host;
        auction->operations = operations;
        auction->patience_ms = patience_ms;
        auction->best_customer_id = NO_CUSTOMER;
    }
    return auction;
}

static void destroy(void *service) {
    struct auction *auction = service;
    free(auction->customers);
    free(auction);
}

static int on_take_snapshot(void *service, struct tern_service_snapshot *snapshot,
                            struct tern_error *error) {
    struct auction *auction = service;
    const struct tern_service_operations *operations = auction->operations;
    const struct snapshot_head head = {auction->best_customer_id, auction->best_price,
                                       auction->bid_count,        auction->closing_time,
                                       auction->is_closed,        auction->customer_count};
    int result = operations->snapshot_write(snapshot, &head, sizeof head);
    for (int64_t i = 0; result == 0 && i < auction->customer_count; i++) {
        result = operations->snapshot_write(snapshot, &auction->customers[i],
                                            sizeof auction->customers[i]);
    }
    if (result != 0) {
        error->code = result;
        (void)snprintf(error->text, sizeof error->text, "no memory for the auction's snapshot");
        return result;
    }
    say(auction, "snapshot");
    return 0;
}

static int load(struct auction *auction, struct tern_service_snapshot *snapshot) {
    const struct tern_service_operations *operations = auction->operations;
    const void *message;
    int32_t length;
    struct snapshot_head head;
    if (operations->snapshot_read(snapshot, &message, &length) == 0) {
        return 0; /* taken by a service without state */
    }
    if (length != (int32_t)sizeof head) {
        return -EBADMSG;
    }
    memcpy(&head, message, sizeof head);
    auction->best_customer_id = head.best_customer_id;
    auction->best_price = head.best_price;
    auction->bid_count = head.bid_count;
    auction->closing_time = head.closing_time;
    auction->is_closed = head.is_closed != 0;
    for (int64_t i = 0; i < head.customer_count; i++) {
        struct customer customer;
        if (operations->snapshot_read(snapshot, &message, &length) == 0 ||
            length != (int32_t)sizeof customer) {
            return -EBADMSG;
        }
        memcpy(&customer, message, sizeof customer);
        *find_or_add_customer(auction, customer.customer_id) = customer;
    }
    return 0;
}

static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    if (snapshot != NULL && load(service, snapshot) != 0) {
        error->code = -EBADMSG;
        (void)snprintf(error->text, sizeof error->text, "the auction's snapshot is damaged");
        return error->code;
    }
    if (snapshot != NULL) {
        say(service, "started from a snapshot");
    }
    return 0;
}

static void on_role_change(void *service, enum tern_cluster_role role) {
    say(service, role == TERN_CLUSTER_ROLE_LEADER ? "this node leads" : "this node follows");
}

TERN_API const struct tern_service_plugin tern_service_plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "auction",
    .version = "2",
    .create = create,
    .destroy = destroy,
    .on_start = on_start,
    .on_session_message = on_session_message,
    .on_timer_event = on_timer_event,
    .on_take_snapshot = on_take_snapshot,
    .on_role_change = on_role_change,
};

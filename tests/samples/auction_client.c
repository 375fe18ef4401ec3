/* auction-client CUSTOMER BIDS INTERVAL_MS: places bids in a replicated auction.
 *
 * Each bid raises the best price it knows of by one. A bid that is not answered within a second is
 * sent again with the same correlation id, which the auction recognises: so nothing is lost and
 * nothing counts twice, whatever happens to the leader in between. Exit code 0 when every bid was
 * answered.
 *
 * AERON_DIR names the media driver, TERN_INGRESS_ENDPOINTS the members ("0=host:port,...") and
 * TERN_EGRESS_CHANNEL where the answers come in.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tern/cluster.h>

#include "../plugins/auction.h"

#define RETRY_MS 1000
#define KEEP_ALIVE_MS 1000
#define GIVE_UP_MS 60000
#define MS_PER_S 1000
#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

struct bidder {
    tern_cluster *cluster;
    struct auction_bid bid; /* the one under way */
    bool is_answered;
    int64_t best_price;
    int64_t sent_ms;
    int64_t keep_alive_ms;
};

static int64_t now_ns(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t now_ms(void) {
    return now_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct bidder *bidder = context;
    struct auction_answer answer;
    (void)timestamp;
    (void)header;
    if (length < (int32_t)sizeof answer) {
        return;
    }
    memcpy(&answer, buffer, sizeof answer);
    bidder->best_price = answer.best_price;
    if (answer.is_closed && answer.correlation_id == AUCTION_NO_BID) {
        printf("the auction is closed: customer %" PRId64 " gets it for %" PRId64 "\n",
               answer.best_customer_id, answer.best_price);
    }
    if (answer.correlation_id != bidder->bid.correlation_id || bidder->is_answered) {
        return;
    }
    bidder->is_answered = true;
    printf("answer %" PRId64 ": %s%s, best price %" PRId64 " by customer %" PRId64 " after %" PRId64
           " bids\n",
           answer.correlation_id, answer.is_best ? "leads" : "does not lead",
           answer.is_repeated ? " (had been applied before)"
           : answer.is_closed ? " (the auction is closed)"
                              : "",
           answer.best_price, answer.best_customer_id, answer.bid_count);
}

static void on_new_leader(void *context, int64_t leadership_term_id, int32_t leader_member_id,
                          const char *ingress_endpoints) {
    (void)context;
    (void)ingress_endpoints;
    printf("new leader: member %d in term %" PRId64 "\n", leader_member_id, leadership_term_id);
}

static void pause_ms(int64_t duration_ms) {
    const struct timespec pause = {duration_ms / MS_PER_S, duration_ms % MS_PER_S * NS_PER_MS};
    (void)nanosleep(&pause, NULL);
}

/* Poll once, keep the session alive, and make a new session when the old one is gone. */
static bool follow_cluster(struct bidder *bidder, const struct tern_cluster_params *params) {
    struct tern_error error;
    if (tern_cluster_poll(bidder->cluster, 10) == 0) {
        pause_ms(1);
    }
    if (tern_cluster_is_closed(bidder->cluster)) {
        (void)tern_cluster_status(bidder->cluster, &error);
        printf("session lost (%s), connecting again\n", error.text);
        tern_cluster_close(bidder->cluster);
        bidder->cluster = tern_cluster_connect(params, &error);
        if (bidder->cluster == NULL) {
            fprintf(stderr, "auction-client: %s\n", error.text);
            return false;
        }
        bidder->sent_ms = 0;
    }
    if (now_ms() - bidder->keep_alive_ms > KEEP_ALIVE_MS &&
        tern_cluster_keep_alive(bidder->cluster)) {
        bidder->keep_alive_ms = now_ms();
    }
    return true;
}

/* False when it could not be placed in a minute. */
static bool place_bid(struct bidder *bidder, const struct tern_cluster_params *params) {
    int64_t give_up_ms = now_ms() + GIVE_UP_MS;
    bool is_sent = false;
    bidder->is_answered = false;
    bidder->sent_ms = 0;
    while (!bidder->is_answered && now_ms() < give_up_ms) {
        bool is_due = now_ms() - bidder->sent_ms > RETRY_MS;
        if (is_due && tern_cluster_offer(bidder->cluster, &bidder->bid, sizeof bidder->bid) > 0) {
            printf("%s %" PRId64 ": price %" PRId64 " by customer %" PRId64 "\n",
                   is_sent ? "bid again" : "bid", bidder->bid.correlation_id, bidder->bid.price,
                   bidder->bid.customer_id);
            bidder->sent_ms = now_ms();
            is_sent = true;
        }
        if (!follow_cluster(bidder, params)) {
            return false;
        }
    }
    return bidder->is_answered;
}

static int run(struct bidder *bidder, const struct tern_cluster_params *params, int64_t customer_id,
               int64_t bid_count, int64_t interval_ms) {
    /* Correlation ids of a later run must be above those of an earlier one. */
    int64_t correlation_id = now_ns(CLOCK_REALTIME);
    for (int64_t i = 0; i < bid_count; i++) {
        bidder->bid = (struct auction_bid){++correlation_id, customer_id, bidder->best_price + 1};
        if (!place_bid(bidder, params)) {
            fprintf(stderr, "auction-client: bid %" PRId64 " was not answered\n", correlation_id);
            return 1;
        }
        int64_t next_ms = now_ms() + interval_ms;
        while (now_ms() < next_ms && i + 1 < bid_count) {
            if (!follow_cluster(bidder, params)) {
                return 1;
            }
        }
    }
    return 0;
}

static int64_t argument(const char *text, const char *name) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0 || value < 0) {
        fprintf(stderr, "auction-client: %s = %s is not a number from 0 up\n", name, text);
        exit(64);
    }
    return value;
}

int main(int argc, char **argv) {
    struct tern_error error;
    struct tern_cluster_params params;
    struct bidder bidder = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: auction-client CUSTOMER BIDS INTERVAL_MS\n");
        return 64;
    }
    int64_t customer_id = argument(argv[1], "CUSTOMER");
    int64_t bid_count = argument(argv[2], "BIDS");
    int64_t interval_ms = argument(argv[3], "INTERVAL_MS");
    const char *endpoints = getenv("TERN_INGRESS_ENDPOINTS");
    const char *egress_channel = getenv("TERN_EGRESS_CHANNEL");
    (void)setvbuf(stdout, NULL, _IOLBF, 0);

    tern_context *context = tern_context_create(&error);
    tern_client *client = context == NULL ? NULL : tern_client_connect(context, &error);
    int result = 1;
    if (client != NULL) {
        tern_cluster_params_init(&params, client);
        params.ingress_endpoints =
            endpoints != NULL ? endpoints : "0=localhost:20110,1=localhost:20210,2=localhost:20310";
        params.egress_channel =
            egress_channel != NULL ? egress_channel : "aeron:udp?endpoint=localhost:0";
        params.message_timeout_ns = INT64_C(20000000000);
        params.new_leader_timeout_ns = INT64_C(20000000000);
        params.client_name = "auction-client";
        params.handler_context = &bidder;
        params.on_message = on_message;
        params.on_new_leader = on_new_leader;
        bidder.cluster = tern_cluster_connect(&params, &error);
    }
    if (bidder.cluster == NULL) {
        fprintf(stderr, "auction-client: %s\n", error.text);
    } else {
        printf("connected: session %" PRId64 ", leader is member %d\n",
               tern_cluster_session_id(bidder.cluster),
               tern_cluster_leader_member_id(bidder.cluster));
        result = run(&bidder, &params, customer_id, bid_count, interval_ms);
        tern_cluster_close(bidder.cluster);
    }
    tern_client_close(client);
    tern_context_destroy(context);
    return result;
}

/* Bidders: each client bids for a few customers, each with one bid under way. A bid without an
 * answer is sent again as it is, in the next session if need be: the auction must count it once. */
#include <stdlib.h>
#include <string.h>

#include "../plugins/auction.h"
#include "sim/auction_service.h"
#include "sim/load.h"
#include "sim/owner.h"
#include "sim/workload.h"

#define CUSTOMERS LOAD_WINDOW /* of each client */
#define REPEAT_NS (2 * NS_PER_S)
#define ABANDON_NS (20 * NS_PER_S) /* the customer bids anew */
#define PRICE_SPAN 20
#define BIDS_PER_PRICE 8 /* prices rise so slowly that many are equal */

struct auction_load {
    struct load load;
    struct auction_history history;
};

/* Each customer has its place in `pending`; ids are from 1 on, 0: it has no bid under way. */
struct bidder {
    struct load_client client;
    int64_t repeat_ns[CUSTOMERS]; /* of the simulation's time */
};

static void *create(struct sim *sim) {
    return load_create(sim, sizeof(struct auction_load));
}

static void destroy(void *state) {
    struct auction_load *load = state;
    auction_history_close(&load->history);
    free(load);
}

static struct auction_load *load_of(const struct bidder *bidder) {
    return (struct auction_load *)bidder->client.load;
}

static void forget(struct bidder *bidder, int slot) {
    bidder->client.pending[slot] = 0;
    bidder->client.pending_count--;
}

/* -- answers -- */

static void note_answer(struct auction_load *load, const struct auction_answer *answer) {
    const struct auction_event event = {
        .answered_ns = load->load.sim->now_ns,
        .bid_count = answer->bid_count,
        .best_customer_id = answer->best_customer_id,
        .best_price = answer->best_price,
        .is_best = answer->is_best != 0,
        .is_repeated = answer->is_repeated != 0,
    };
    struct tern_error problem;
    int64_t index = answer->correlation_id - 1;
    load->load.answered_count += load->history.bids.events[index].answered_ns == 0;
    int owner = owner_switch(OWNER_SIMULATOR);
    if (!auction_history_answer(&load->history, index, &event, &problem)) {
        sim_fail(load->load.sim, "%s", problem.text);
    }
    owner_switch(owner);
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct bidder *bidder = context;
    struct auction_load *load = load_of(bidder);
    struct auction_answer answer;
    (void)timestamp;
    (void)header;
    if (length != (int32_t)sizeof answer) {
        sim_fail(load->load.sim, "client %d: an answer of %d bytes", bidder->client.session.index,
                 length);
        return;
    }
    memcpy(&answer, buffer, sizeof answer);
    if (answer.correlation_id < 1 || answer.correlation_id > load->history.bids.count) {
        sim_fail(load->load.sim, "client %d: an answer to bid %lld, which was not made",
                 bidder->client.session.index, (long long)answer.correlation_id);
        return;
    }
    note_answer(load, &answer);
    for (int i = 0; i < CUSTOMERS; i++) {
        if (bidder->client.pending[i] == answer.correlation_id) {
            forget(bidder, i);
        }
    }
}

/* All that is under way is sent again at once. */
static void on_doubt(void *context) {
    struct bidder *bidder = context;
    for (int i = 0; i < CUSTOMERS; i++) {
        bidder->repeat_ns[i] = 0;
    }
}

/* -- bids -- */

static int offer(struct bidder *bidder, int slot, int64_t id, const struct auction_event *event) {
    const struct auction_bid bid = {id, event->customer_id, event->price};
    if (tern_cluster_offer(bidder->client.session.cluster, &bid, sizeof bid) <= 0) {
        return 0;
    }
    bidder->repeat_ns[slot] = load_of(bidder)->load.sim->now_ns + REPEAT_NS;
    return 1;
}

static int repeat(struct bidder *bidder, int slot) {
    const struct auction_load *load = load_of(bidder);
    const struct auction_event *event =
        &load->history.bids.events[bidder->client.pending[slot] - 1];
    if (load->load.sim->now_ns - event->invoked_ns > ABANDON_NS) {
        forget(bidder, slot);
        return 1;
    }
    return load->load.sim->now_ns < bidder->repeat_ns[slot]
               ? 0
               : offer(bidder, slot, bidder->client.pending[slot], event);
}

static int bid(struct bidder *bidder, int slot) {
    struct auction_load *load = load_of(bidder);
    if (!load_is_due(&bidder->client)) {
        return 0;
    }
    int64_t id = load->history.bids.count + 1;
    const struct auction_event event = {
        .customer_id = (int64_t)bidder->client.session.index * CUSTOMERS + slot,
        .price = id / BIDS_PER_PRICE + dice_between(&load->load.dice, 0, PRICE_SPAN),
        .invoked_ns = load->load.sim->now_ns,
    };
    if (offer(bidder, slot, id, &event) == 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    auction_history_add(&load->history, &event);
    owner_switch(owner);
    bidder->client.pending[slot] = id;
    bidder->client.pending_count++;
    load_on_sent(&bidder->client);
    return 1;
}

/* -- the process -- */

static int open_bidder(struct process *process, struct tern_error *error) {
    (void)error;
    load_open_client(process, sizeof(struct bidder), on_message, on_doubt);
    return 0;
}

static int work_bidder(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct bidder *bidder = process->instance;
    int work = sim_client_work(&bidder->client.session, now_ns, error);
    if (work < 0 || bidder->client.session.cluster == NULL) {
        return work;
    }
    for (int i = 0; i < CUSTOMERS; i++) {
        work += bidder->client.pending[i] != 0 ? repeat(bidder, i) : bid(bidder, i);
    }
    return work;
}

static const struct process_operations client_operations = {"bidder", open_bidder, work_bidder,
                                                            load_close_client};

/* -- what came of it -- */

static int64_t answered_since(const void *state, int client, int64_t since_ns) {
    const struct auction_load *load = state;
    int64_t count = 0;
    for (int64_t i = load->history.bids.count; i-- > 0;) {
        const struct auction_event *event = &load->history.bids.events[i];
        if (event->invoked_ns < since_ns) {
            break;
        }
        count += event->customer_id / CUSTOMERS == client && event->answered_ns != 0;
    }
    return count;
}

static bool check(void *state, const void *service, struct tern_error *problem) {
    const struct auction_load *load = state;
    struct auction_end end;
    if (service != NULL) {
        end = auction_service_end(service);
    }
    return check_auction(&load->history, service == NULL ? NULL : &end, problem);
}

const struct workload workload_auction = {
    .name = "auction",
    .plugin = &auction_service_plugin,
    .state_hash = auction_service_hash,
    .client = &client_operations,
    .create = create,
    .destroy = destroy,
    .answered = load_answered,
    .answered_since = answered_since,
    .set_sending = load_set_sending,
    .is_pending = load_is_pending,
    .check = check,
};

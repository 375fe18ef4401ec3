/* Bidders: each client bids for a few customers, each with one bid under way. A bid without an
 * answer is sent again as it is, in the next session if need be: the auction must count it once. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../plugins/auction.h"
#include "sim/auction_service.h"
#include "sim/client.h"
#include "sim/owner.h"
#include "sim/workload.h"

#define CUSTOMERS 4 /* of each client */
#define REPEAT_NS (2 * NS_PER_S)
#define ABANDON_NS (20 * NS_PER_S) /* the customer bids anew */
#define PRICE_SPAN 20
#define BIDS_PER_PRICE 8 /* prices rise so slowly that many are equal */

struct auction_load {
    struct sim *sim;
    struct dice dice;
    struct auction_history history;
    int64_t answered_count;
    bool is_sending;
};

struct bidder {
    struct sim_client session;
    struct auction_load *load;
    int64_t pending[CUSTOMERS]; /* correlation ids: events from 1; 0: none */
    int64_t repeat_ns[CUSTOMERS];
    int64_t due_ns; /* of the simulation's time, as all here */
};

static void *create(struct sim *sim) {
    struct auction_load *load = calloc(1, sizeof *load);
    assert(load != NULL);
    load->sim = sim;
    load->dice.state = dice_next(&sim->dice);
    return load;
}

static void destroy(void *state) {
    struct auction_load *load = state;
    auction_history_close(&load->history);
    free(load);
}

/* -- answers -- */

static void note_answer(struct auction_load *load, const struct auction_answer *answer) {
    const struct auction_event event = {
        .answered_ns = load->sim->now_ns,
        .bid_count = answer->bid_count,
        .best_customer_id = answer->best_customer_id,
        .best_price = answer->best_price,
        .is_best = answer->is_best != 0,
        .is_repeated = answer->is_repeated != 0,
    };
    struct tern_error problem;
    int64_t index = answer->correlation_id - 1;
    load->answered_count += load->history.bids.events[index].answered_ns == 0;
    int owner = owner_switch(OWNER_SIMULATOR);
    if (!auction_history_answer(&load->history, index, &event, &problem)) {
        sim_fail(load->sim, "%s", problem.text);
    }
    owner_switch(owner);
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct bidder *bidder = context;
    struct auction_load *load = bidder->load;
    struct auction_answer answer;
    (void)timestamp;
    (void)header;
    if (length != (int32_t)sizeof answer) {
        sim_fail(load->sim, "client %d: an answer of %d bytes", bidder->session.index, length);
        return;
    }
    memcpy(&answer, buffer, sizeof answer);
    if (answer.correlation_id < 1 || answer.correlation_id > load->history.bids.count) {
        sim_fail(load->sim, "client %d: an answer to bid %lld, which was not made",
                 bidder->session.index, (long long)answer.correlation_id);
        return;
    }
    note_answer(load, &answer);
    for (int i = 0; i < CUSTOMERS; i++) {
        if (bidder->pending[i] == answer.correlation_id) {
            bidder->pending[i] = 0;
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
    if (tern_cluster_offer(bidder->session.cluster, &bid, sizeof bid) <= 0) {
        return 0;
    }
    bidder->repeat_ns[slot] = bidder->load->sim->now_ns + REPEAT_NS;
    return 1;
}

static int repeat(struct bidder *bidder, int slot) {
    const struct auction_load *load = bidder->load;
    const struct auction_event *event = &load->history.bids.events[bidder->pending[slot] - 1];
    if (load->sim->now_ns - event->invoked_ns > ABANDON_NS) {
        bidder->pending[slot] = 0;
        return 1;
    }
    return load->sim->now_ns < bidder->repeat_ns[slot]
               ? 0
               : offer(bidder, slot, bidder->pending[slot], event);
}

static int bid(struct bidder *bidder, int slot) {
    struct auction_load *load = bidder->load;
    const struct sim *sim = load->sim;
    if (!load->is_sending || sim->now_ns < bidder->due_ns) {
        return 0;
    }
    int64_t id = load->history.bids.count + 1;
    const struct auction_event event = {
        .customer_id = (int64_t)bidder->session.index * CUSTOMERS + slot,
        .price = id / BIDS_PER_PRICE + dice_between(&load->dice, 0, PRICE_SPAN),
        .invoked_ns = sim->now_ns,
    };
    if (offer(bidder, slot, id, &event) == 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    auction_history_add(&load->history, &event);
    owner_switch(owner);
    bidder->pending[slot] = id;
    int64_t mean_ns = NS_PER_S * sim->options.client_count / sim->options.rate_hz;
    bidder->due_ns = sim->now_ns + dice_between(&load->dice, 0, 2 * mean_ns);
    return 1;
}

/* -- the process -- */

static int open_bidder(struct process *process, struct tern_error *error) {
    struct bidder *bidder = calloc(1, sizeof *bidder);
    (void)error;
    assert(bidder != NULL);
    bidder->load = process->sim->workload_state;
    bidder->session = (struct sim_client){
        .process = process,
        .index = process->index,
        .context = bidder,
        .on_message = on_message,
        .on_doubt = on_doubt,
    };
    process->instance = bidder;
    return 0;
}

static int work_bidder(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct bidder *bidder = process->instance;
    int work = sim_client_work(&bidder->session, now_ns, error);
    if (work < 0 || bidder->session.cluster == NULL) {
        return work;
    }
    for (int i = 0; i < CUSTOMERS; i++) {
        work += bidder->pending[i] != 0 ? repeat(bidder, i) : bid(bidder, i);
    }
    return work;
}

static void close_bidder(struct process *process) {
    struct bidder *bidder = process->instance;
    sim_client_close(&bidder->session);
    free(bidder);
}

static const struct process_operations client_operations = {"bidder", open_bidder, work_bidder,
                                                            close_bidder};

/* -- what came of it -- */

static int64_t answered(const void *state) {
    const struct auction_load *load = state;
    return load->answered_count;
}

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

static void set_sending(void *state, bool is_sending) {
    struct auction_load *load = state;
    load->is_sending = is_sending;
}

static bool is_pending(const void *state) {
    const struct auction_load *load = state;
    for (int i = 0; i < load->sim->process_count; i++) {
        const struct process *process = &load->sim->processes[i];
        const struct bidder *bidder = process->instance;
        for (int j = 0; process->kind == PROCESS_CLIENT && process->is_up && j < CUSTOMERS; j++) {
            if (bidder->pending[j] != 0) {
                return true;
            }
        }
    }
    return false;
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
    .answered = answered,
    .answered_since = answered_since,
    .set_sending = set_sending,
    .is_pending = is_pending,
    .check = check,
};

/* Clients that write, read and compare-and-set a few registers, each with a few requests under way.
 * A request that the publication took is never sent again; without an answer it is in doubt. */
#include <stdlib.h>
#include <string.h>

#include "sim/check_register.h"
#include "sim/load.h"
#include "sim/owner.h"
#include "sim/register_service.h"
#include "sim/workload.h"

#define REQUEST_TIMEOUT_NS (5 * NS_PER_S)

struct register_load {
    struct load load;
    struct register_history history;
    int64_t versions[REGISTER_COUNT]; /* last heard of, for CAS */
};

static void *create(struct sim *sim) {
    return load_create(sim, sizeof(struct register_load));
}

static void destroy(void *state) {
    struct register_load *load = state;
    register_history_close(&load->history);
    free(load);
}

/* -- answers -- */

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct load_client *client = context;
    struct register_load *load = (struct register_load *)client->load;
    struct sim *sim = load->load.sim;
    int64_t words[REGISTER_ANSWER_WORDS];
    (void)timestamp;
    (void)header;
    if (length != (int32_t)sizeof words) {
        sim_fail(sim, "client %d: an answer of %d bytes", client->session.index, length);
        return;
    }
    memcpy(words, buffer, sizeof words);
    if (words[1] < 1 || words[1] > load->history.count) {
        sim_fail(sim, "client %d: an answer to request %lld, which was not sent",
                 client->session.index, (long long)words[1]);
        return;
    }
    struct register_event *event = &load->history.events[words[1] - 1];
    if (event->answered_ns != 0) {
        sim_fail(sim, "client %d: request %lld was answered twice", client->session.index,
                 (long long)words[1]);
    }
    event->answered_ns = sim->now_ns;
    event->value = words[3];
    event->version = words[4];
    event->is_written = event->wants_write && words[5] == 1;
    load->versions[event->key] = words[4];
    load->load.answered_count++;
    load_forget_pending(client, words[1]);
}

static void on_doubt(void *context) {
    struct load_client *client = context;
    client->pending_count = 0;
}

static void check_timeouts(struct load_client *client) {
    const struct register_load *load = (const struct register_load *)client->load;
    while (client->pending_count > 0 &&
           load->load.sim->now_ns - load->history.events[client->pending[0] - 1].invoked_ns >=
               REQUEST_TIMEOUT_NS) {
        load_forget_pending(client, client->pending[0]);
    }
}

/* -- requests -- */

static int send_request(struct load_client *client) {
    struct register_load *load = (struct register_load *)client->load;
    struct dice *dice = &load->load.dice;
    if (!load_is_due(client)) {
        return 0;
    }
    int64_t id = load->history.count + 1;
    int64_t operation = dice_between(dice, REGISTER_WRITE, REGISTER_CAS);
    int32_t key = (int32_t)dice_between(dice, 0, REGISTER_COUNT - 1);
    const struct register_event event = {
        .invoked_ns = load->load.sim->now_ns,
        .written = id,
        .key = key,
        .client = client->session.index,
        .wants_write = operation != REGISTER_READ,
    };
    const int64_t words[REGISTER_REQUEST_WORDS] = {operation, id, key, id, load->versions[key]};
    if (tern_cluster_offer(client->session.cluster, words, sizeof words) <= 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    register_history_add(&load->history, &event);
    owner_switch(owner);
    load_add_pending(client, id);
    load_on_sent(client);
    return 1;
}

/* -- the process -- */

static int open_client(struct process *process, struct tern_error *error) {
    (void)error;
    load_open_client(process, sizeof(struct load_client), on_message, on_doubt);
    return 0;
}

static int work_client(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct load_client *client = process->instance;
    int work = sim_client_work(&client->session, now_ns, error);
    if (work < 0) {
        return work;
    }
    check_timeouts(client);
    return work + send_request(client);
}

static const struct process_operations client_operations = {"register client", open_client,
                                                            work_client, load_close_client};

/* -- what came of it -- */

static int64_t answered_since(const void *state, int client, int64_t since_ns) {
    const struct register_load *load = state;
    int64_t count = 0;
    for (int64_t i = load->history.count; i-- > 0;) {
        const struct register_event *event = &load->history.events[i];
        if (event->invoked_ns < since_ns) {
            break;
        }
        count += event->client == client && event->answered_ns != 0;
    }
    return count;
}

static bool check(void *state, const void *service, struct tern_error *problem) {
    const struct register_load *load = state;
    (void)service;
    for (int32_t key = 0; key < REGISTER_COUNT; key++) {
        if (!check_register(&load->history, key, problem)) {
            return false;
        }
    }
    return true;
}

const struct workload workload_register = {
    .name = "register",
    .plugin = &register_service_plugin,
    .state_hash = register_service_hash,
    .client = &client_operations,
    .create = create,
    .destroy = destroy,
    .answered = load_answered,
    .answered_since = answered_since,
    .set_sending = load_set_sending,
    .is_pending = load_is_pending,
    .check = check,
};

/* Clients that append to and read the replicated list, each with a few requests under way. A
 * request that the publication took is never sent again; without an answer it is in doubt. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "sim/check_list.h"
#include "sim/list_service.h"
#include "sim/load.h"
#include "sim/owner.h"
#include "sim/workload.h"

#define REQUEST_TIMEOUT_NS (5 * NS_PER_S)
#define REQUEST_APPEND 1
#define REQUEST_READ 2
#define ANSWER_WORDS 8

struct list_load {
    struct load load;
    struct list_history history;
};

static void *create(struct sim *sim) {
    return load_create(sim, sizeof(struct list_load));
}

static void destroy(void *state) {
    struct list_load *load = state;
    list_history_close(&load->history);
    free(load);
}

/* -- answers -- */

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct load_client *client = context;
    struct list_load *load = (struct list_load *)client->load;
    int64_t words[ANSWER_WORDS];
    (void)timestamp;
    (void)header;
    if (length != (int32_t)sizeof words) {
        sim_fail(load->load.sim, "client %d: an answer of %d bytes", client->session.index, length);
        return;
    }
    memcpy(words, buffer, sizeof words);
    const struct list_answer answer = {
        .kind = words[0] == REQUEST_APPEND ? LIST_APPEND : LIST_READ,
        .length = words[2],
        .hash = (uint64_t)words[3],
        .answered_ns = load->load.sim->now_ns,
    };
    if (!list_history_answer(&load->history, words[1], &answer)) {
        sim_fail(load->load.sim, "client %d: an answer to request %lld, which was not sent",
                 client->session.index, (long long)words[1]);
    }
    load_forget_pending(client, words[1]);
}

static void on_doubt(void *context) {
    struct load_client *client = context;
    struct list_load *load = (struct list_load *)client->load;
    while (client->pending_count > 0) {
        int64_t id = client->pending[0];
        list_history_set_unknown(&load->history, id);
        load_forget_pending(client, id);
    }
}

static void check_timeouts(struct load_client *client) {
    struct list_load *load = (struct list_load *)client->load;
    while (client->pending_count > 0) {
        int64_t id = client->pending[0];
        if (load->load.sim->now_ns - list_history_invoked_ns(&load->history, id) <
            REQUEST_TIMEOUT_NS) {
            return;
        }
        list_history_set_unknown(&load->history, id);
        load_forget_pending(client, id);
    }
}

/* -- requests -- */

static int send_request(struct load_client *client) {
    struct list_load *load = (struct list_load *)client->load;
    if (!load_is_due(client)) {
        return 0;
    }
    int64_t id = load->history.count + 1;
    struct list_operation operation = {
        .client = client->session.index,
        .session_id = tern_cluster_session_id(client->session.cluster),
        .kind = dice_chance(&load->load.dice, 0.7) ? LIST_APPEND : LIST_READ,
        .value = id,
        .invoked_ns = load->load.sim->now_ns,
    };
    const int64_t words[4] = {operation.kind == LIST_APPEND ? REQUEST_APPEND : REQUEST_READ, id, id,
                              0};
    if (tern_cluster_offer(client->session.cluster, words, sizeof words) <= 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    list_history_add(&load->history, &operation);
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

static void close_client(struct process *process) {
    on_doubt(process->instance);
    load_close_client(process);
}

static const struct process_operations client_operations = {"list client", open_client, work_client,
                                                            close_client};

/* -- what came of it -- */

static int64_t answered(const void *state) {
    const struct list_load *load = state;
    return load->history.answered_count;
}

static int64_t answered_since(const void *state, int client, int64_t since_ns) {
    const struct list_load *load = state;
    int64_t count = 0;
    for (int64_t i = load->history.count; i-- > 0;) {
        const struct list_operation *operation = &load->history.operations[i];
        if (operation->invoked_ns < since_ns) {
            break;
        }
        count += operation->client == client && operation->state == LIST_OK;
    }
    return count;
}

static bool check(void *state, const void *service, struct tern_error *problem) {
    struct list_load *load = state;
    int64_t count = 0;
    const int64_t *values = service == NULL ? NULL : list_service_values(service, &count);
    for (int64_t i = 0; i < count; i++) {
        list_history_add_final(&load->history, values[i]);
    }
    return check_list(&load->history, problem);
}

const struct workload workload_list = {
    .name = "list",
    .plugin = &list_service_plugin,
    .state_hash = list_service_hash,
    .client = &client_operations,
    .create = create,
    .destroy = destroy,
    .answered = answered,
    .answered_since = answered_since,
    .set_sending = load_set_sending,
    .is_pending = load_is_pending,
    .check = check,
};

/* Clients that append to and read the replicated list, each with a few requests under way. A
 * request that the publication took is never sent again; without an answer it is in doubt. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "sim/check_list.h"
#include "sim/client.h"
#include "sim/list_service.h"
#include "sim/owner.h"
#include "sim/workload.h"

#define WINDOW 4
#define REQUEST_TIMEOUT_NS (5 * NS_PER_S)
#define REQUEST_APPEND 1
#define REQUEST_READ 2
#define ANSWER_WORDS 8

struct list_load {
    struct sim *sim;
    struct dice dice;
    struct list_history history;
    bool is_sending;
};

struct list_client {
    struct sim_client session;
    struct list_load *load;
    int64_t pending[WINDOW];
    int pending_count;
    int64_t due_ns; /* of the simulation's time */
};

static void *create(struct sim *sim) {
    struct list_load *load = calloc(1, sizeof *load);
    assert(load != NULL);
    load->sim = sim;
    load->dice.state = dice_next(&sim->dice);
    return load;
}

static void destroy(void *state) {
    struct list_load *load = state;
    list_history_close(&load->history);
    free(load);
}

/* -- answers -- */

static void forget_pending(struct list_client *client, int64_t id) {
    for (int i = 0; i < client->pending_count; i++) {
        if (client->pending[i] == id) {
            client->pending_count--;
            memmove(&client->pending[i], &client->pending[i + 1],
                    (size_t)(client->pending_count - i) * sizeof client->pending[0]);
            return;
        }
    }
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct list_client *client = context;
    struct list_load *load = client->load;
    int64_t words[ANSWER_WORDS];
    (void)timestamp;
    (void)header;
    if (length != (int32_t)sizeof words) {
        sim_fail(load->sim, "client %d: an answer of %d bytes", client->session.index, length);
        return;
    }
    memcpy(words, buffer, sizeof words);
    const struct list_answer answer = {
        .kind = words[0] == REQUEST_APPEND ? LIST_APPEND : LIST_READ,
        .length = words[2],
        .hash = (uint64_t)words[3],
        .answered_ns = load->sim->now_ns,
    };
    if (!list_history_answer(&load->history, words[1], &answer)) {
        sim_fail(load->sim, "client %d: an answer to request %lld, which was not sent",
                 client->session.index, (long long)words[1]);
    }
    forget_pending(client, words[1]);
}

static void on_doubt(void *context) {
    struct list_client *client = context;
    while (client->pending_count > 0) {
        int64_t id = client->pending[0];
        list_history_set_unknown(&client->load->history, id);
        forget_pending(client, id);
    }
}

static void check_timeouts(struct list_client *client) {
    struct list_load *load = client->load;
    while (client->pending_count > 0) {
        int64_t id = client->pending[0];
        if (load->sim->now_ns - list_history_invoked_ns(&load->history, id) < REQUEST_TIMEOUT_NS) {
            return;
        }
        list_history_set_unknown(&load->history, id);
        forget_pending(client, id);
    }
}

/* -- requests -- */

static int send_request(struct list_client *client) {
    struct list_load *load = client->load;
    const struct sim *sim = load->sim;
    if (!load->is_sending || client->session.cluster == NULL || client->pending_count >= WINDOW ||
        sim->now_ns < client->due_ns) {
        return 0;
    }
    int64_t id = load->history.count + 1;
    struct list_operation operation = {
        .client = client->session.index,
        .session_id = tern_cluster_session_id(client->session.cluster),
        .kind = dice_chance(&load->dice, 0.7) ? LIST_APPEND : LIST_READ,
        .value = id,
        .invoked_ns = sim->now_ns,
    };
    const int64_t words[4] = {operation.kind == LIST_APPEND ? REQUEST_APPEND : REQUEST_READ, id, id,
                              0};
    if (tern_cluster_offer(client->session.cluster, words, sizeof words) <= 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    list_history_add(&load->history, &operation);
    owner_switch(owner);
    client->pending[client->pending_count++] = id;
    int64_t mean_ns = NS_PER_S * sim->options.client_count / sim->options.rate_hz;
    client->due_ns = sim->now_ns + dice_between(&load->dice, 0, 2 * mean_ns);
    return 1;
}

/* -- the process -- */

static int open_client(struct process *process, struct tern_error *error) {
    struct list_client *client = calloc(1, sizeof *client);
    (void)error;
    assert(client != NULL);
    client->load = process->sim->workload_state;
    client->session = (struct sim_client){
        .process = process,
        .index = process->index,
        .context = client,
        .on_message = on_message,
        .on_doubt = on_doubt,
    };
    process->instance = client;
    return 0;
}

static int work_client(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct list_client *client = process->instance;
    int work = sim_client_work(&client->session, now_ns, error);
    if (work < 0) {
        return work;
    }
    check_timeouts(client);
    return work + send_request(client);
}

static void close_client(struct process *process) {
    struct list_client *client = process->instance;
    on_doubt(client);
    sim_client_close(&client->session);
    free(client);
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

static void set_sending(void *state, bool is_sending) {
    struct list_load *load = state;
    load->is_sending = is_sending;
}

static bool is_pending(const void *state) {
    const struct list_load *load = state;
    for (int i = 0; i < load->sim->process_count; i++) {
        const struct process *process = &load->sim->processes[i];
        const struct list_client *client = process->instance;
        if (process->kind == PROCESS_CLIENT && process->is_up && client->pending_count > 0) {
            return true;
        }
    }
    return false;
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
    .set_sending = set_sending,
    .is_pending = is_pending,
    .check = check,
};

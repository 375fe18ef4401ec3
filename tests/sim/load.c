/* See load.h. */
#include "sim/load.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *load_create(struct sim *sim, size_t size) {
    struct load *load = calloc(1, size);
    assert(load != NULL);
    load->sim = sim;
    load->dice.state = dice_next(&sim->dice);
    return load;
}

int64_t load_answered(const void *state) {
    const struct load *load = state;
    return load->answered_count;
}

void load_set_sending(void *state, bool is_sending) {
    struct load *load = state;
    load->is_sending = is_sending;
}

bool load_is_pending(const void *state) {
    const struct load *load = state;
    for (int i = 0; i < load->sim->process_count; i++) {
        const struct process *process = &load->sim->processes[i];
        const struct load_client *client = process->instance;
        if (process->kind == PROCESS_CLIENT && process->is_up && client->pending_count > 0) {
            return true;
        }
    }
    return false;
}

void load_open_client(struct process *process, size_t size, tern_cluster_message_handler on_message,
                      void (*on_doubt)(void *context)) {
    struct load_client *client = calloc(1, size);
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
}

void load_close_client(struct process *process) {
    struct load_client *client = process->instance;
    sim_client_close(&client->session);
    free(client);
}

bool load_is_due(const struct load_client *client) {
    const struct load *load = client->load;
    return load->is_sending && client->session.cluster != NULL &&
           client->pending_count < LOAD_WINDOW && load->sim->now_ns >= client->due_ns;
}

void load_on_sent(struct load_client *client) {
    struct load *load = client->load;
    const struct sim_options *options = &load->sim->options;
    int64_t mean_ns = NS_PER_S * options->client_count / options->rate_hz;
    client->due_ns = load->sim->now_ns + dice_between(&load->dice, 0, 2 * mean_ns);
}

void load_add_pending(struct load_client *client, int64_t id) {
    assert(client->pending_count < LOAD_WINDOW);
    client->pending[client->pending_count++] = id;
}

void load_forget_pending(struct load_client *client, int64_t id) {
    for (int i = 0; i < client->pending_count; i++) {
        if (client->pending[i] == id) {
            client->pending_count--;
            memmove(&client->pending[i], &client->pending[i + 1],
                    (size_t)(client->pending_count - i) * sizeof client->pending[0]);
            return;
        }
    }
}

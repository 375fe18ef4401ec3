/* A small table: names are looked up rarely, and by few clients at a time. */
#include "driverd/pending_commands.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driverd/udp_channel.h"

struct pending_client *pending_commands_find(struct pending_commands *pending, int64_t client_id) {
    for (int i = 0; pending->count > 0 && i < PENDING_CLIENTS_MAX; i++) {
        if (pending->clients[i].is_used && pending->clients[i].client_id == client_id) {
            return &pending->clients[i];
        }
    }
    return NULL;
}

struct pending_client *pending_commands_by_request(struct pending_commands *pending,
                                                   int64_t request_id) {
    for (int i = 0; i < PENDING_CLIENTS_MAX; i++) {
        if (pending->clients[i].is_used && pending->clients[i].request_id == request_id) {
            return &pending->clients[i];
        }
    }
    return NULL;
}

static struct pending_client *take_free(struct pending_commands *pending, int64_t client_id) {
    for (int i = 0; i < PENDING_CLIENTS_MAX; i++) {
        if (!pending->clients[i].is_used) {
            pending->clients[i] = (struct pending_client){.is_used = true, .client_id = client_id};
            pending->count++;
            return &pending->clients[i];
        }
    }
    return NULL;
}

struct pending_client *pending_commands_hold(struct pending_commands *pending, int64_t client_id) {
    struct pending_client *client = pending_commands_find(pending, client_id);
    return client != NULL ? client : take_free(pending, client_id);
}

static int count_naming(const struct pending_commands *pending) {
    int count = 0;
    for (int i = 0; i < PENDING_CLIENTS_MAX; i++) {
        count += pending->clients[i].is_naming;
    }
    return count;
}

struct pending_client *pending_commands_name(struct pending_commands *pending, int64_t client_id,
                                             struct udp_channel *channel) {
    struct pending_client *client = NULL;
    if (count_naming(pending) < PENDING_NAMES_MAX) {
        client = pending_commands_hold(pending, client_id);
    }
    if (client != NULL) {
        client->is_waiting = true;
        client->is_naming = true;
        client->is_resolved = false;
        client->request_id = pending->next_request_id++;
        client->channel = channel;
        client->error.code = 0;
    }
    return client;
}

struct pending_client *pending_commands_log(struct pending_commands *pending, int64_t client_id) {
    struct pending_client *client = pending_commands_hold(pending, client_id);
    if (client != NULL) {
        assert(client->file == NULL);
        client->is_waiting = true;
        client->request_id = pending->next_request_id++;
    }
    return client;
}

void pending_commands_give_up(struct pending_commands *pending, struct pending_client *client) {
    client->is_waiting = false;
    client->is_naming = false;
    if (client->first == NULL) {
        pending_commands_end(pending, client);
    }
}

int pending_commands_append(struct pending_client *client, int32_t type, const uint8_t *payload,
                            int32_t length) {
    if (client->count == PENDING_COMMANDS_MAX) {
        return -ENOSPC;
    }
    struct waiting_command *command = malloc(sizeof *command + (size_t)length);
    if (command == NULL) {
        return -ENOMEM;
    }
    *command = (struct waiting_command){.type = type, .length = length};
    memcpy(command->payload, payload, (size_t)length);
    if (client->last == NULL) {
        client->first = command;
    } else {
        client->last->next = command;
    }
    client->last = command;
    client->count++;
    return 0;
}

struct waiting_command *pending_commands_pop(struct pending_client *client) {
    struct waiting_command *command = client->first;
    if (command != NULL) {
        client->first = command->next;
        client->deadline_ns = 0;
        client->last = client->first == NULL ? NULL : client->last;
        client->count--;
    }
    return command;
}

void pending_commands_end(struct pending_commands *pending, struct pending_client *client) {
    assert(client->is_used);
    assert(client->first == NULL);
    assert(client->file == NULL);
    *client = (struct pending_client){0};
    pending->count--;
}

void pending_commands_close(struct pending_commands *pending, bool is_resolver_busy) {
    for (int i = 0; i < PENDING_CLIENTS_MAX; i++) {
        struct pending_client *client = &pending->clients[i];
        if (!client->is_used) {
            continue;
        }
        if (client->is_resolved || (client->is_naming && !is_resolver_busy)) {
            udp_channel_destroy(client->channel);
        }
        struct waiting_command *command;
        while ((command = pending_commands_pop(client)) != NULL) {
            free(command);
        }
        pending_commands_end(pending, client);
    }
}

/* See exchange.h. */
#include "sim/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "sim/exchange_end.h"
#include "sim/stream_ways.h"

static const struct exchange_way ways[] = {
    {"response-udp",
     "aeron:udp?endpoint=10.0.0.1:9410",
     "aeron:udp?control=10.0.0.1:9411|control-mode=response",
     {1, 1, MACHINE_LAST}},
    {"response-ipc", "aeron:ipc?term-length=64k", "aeron:ipc?control-mode=response", {0, 0, 0}},
};

const char *exchange_way_name(int index) {
    return index < (int)ARRAY_COUNT(ways) ? ways[index].name : NULL;
}

void exchange_fill(uint8_t *message, const struct check_exchange_head *head, int32_t length,
                   bool is_answer) {
    memcpy(message, head, sizeof *head);
    for (int32_t i = (int32_t)sizeof *head; i < length; i++) {
        message[i] = (uint8_t)(head->index + head->conversation * 31 + i * 7 + (is_answer ? 3 : 0));
    }
}

bool exchange_verify(struct exchange *exchange, const uint8_t *message, int32_t length,
                     bool is_answer) {
    struct check_exchange_head head;
    if (length < (int32_t)sizeof head || length > EXCHANGE_MESSAGE_MAX) {
        sim_fail(exchange->sim, "exchange: %d bytes that nobody sent", length);
        return false;
    }
    memcpy(&head, message, sizeof head);
    exchange_fill(exchange->message, &head, length, is_answer);
    if (memcmp(message, exchange->message, (size_t)length) != 0) {
        sim_fail(exchange->sim,
                 "exchange: %lld of conversation %lld has other bytes than were sent",
                 (long long)head.index, (long long)head.conversation);
        return false;
    }
    return true;
}

static void add_process(struct exchange *exchange, int machine, int number,
                        const struct process_operations *operations) {
    struct sim *sim = exchange->sim;
    struct machine *at = &sim->machines[stream_machine_index(sim, machine)];
    struct process *process = process_add(at, PROCESS_STREAM, operations);
    process->context = exchange;
    process->number = number;
}

void exchange_add(struct sim *sim) {
    const struct exchange_way *way = NULL;
    for (size_t i = 0; sim->options.transport != NULL && i < ARRAY_COUNT(ways); i++) {
        way = strcmp(ways[i].name, sim->options.transport) == 0 ? &ways[i] : way;
    }
    if (way == NULL) {
        return;
    }
    struct exchange *exchange = calloc(1, sizeof *exchange);
    assert(exchange != NULL);
    exchange->sim = sim;
    exchange->dice.state = dice_next(&sim->dice);
    exchange->way = way;
    exchange->rate_hz = max_i64(1, sim->options.transport_hz / EXCHANGE_CLIENTS_MAX);
    sim->exchange = exchange;
    history_line(&sim->history, "exchange: %s", way->name);
    add_process(exchange, 0, 0, &exchange_server_operations);
    for (int i = 0; i < EXCHANGE_CLIENTS_MAX; i++) {
        exchange->clients[i].conversation = -1;
        add_process(exchange, way->clients[i], i, &exchange_client_operations);
    }
}

void exchange_destroy(struct exchange *exchange) {
    if (exchange != NULL) {
        check_exchange_close(&exchange->check);
        free(exchange);
    }
}

void exchange_set_sending(struct exchange *exchange, bool is_sending) {
    if (exchange != NULL) {
        exchange->is_sending = is_sending;
    }
}

void exchange_set_restless(struct exchange *exchange, bool is_restless) {
    if (exchange != NULL) {
        exchange->is_restless = is_restless;
    }
}

bool exchange_is_served(const struct exchange *exchange, int64_t since_ns) {
    bool is_served = true;
    for (int i = 0; exchange != NULL && i < EXCHANGE_CLIENTS_MAX; i++) {
        is_served = is_served && exchange->clients[i].answered_sent_ns >= since_ns;
    }
    return is_served;
}

bool exchange_is_level(const struct exchange *exchange) {
    bool is_level = true;
    for (int i = 0; exchange != NULL && i < EXCHANGE_CLIENTS_MAX; i++) {
        int64_t conversation = exchange->clients[i].conversation;
        is_level = is_level && conversation >= 0 &&
                   check_exchange_is_level(&exchange->check, conversation);
    }
    return is_level;
}

int64_t exchange_answered(const struct exchange *exchange) {
    return exchange->answered_count;
}

/* A client of an exchange. A conversation that gets no answers any more, or whose responses have
 * ended, is given up, and another one begun; so is one now and then while the faults are on. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>
#include <tern/publication.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "client/seams.h"
#include "sim/client.h"
#include "sim/exchange_end.h"
#include "sim/owner.h"

#define SILENCE_MAX_NS (12 * NS_PER_S)
#define RENEW_MIN_NS NS_PER_S
#define RENEW_MAX_NS (30 * NS_PER_S)

/* One life of it. */
struct asking {
    struct process *process;
    struct exchange *exchange;
    struct exchange_client_model *model;
    tern_client *client;
    tern_async *async;
    tern_subscription *responses;
    tern_exclusive_publication *requests;
    tern_fragment_assembler *assembler;
    int64_t retry_ns;
    int64_t due_ns;    /* of the simulation's time, as those below */
    int64_t answer_ns; /* when the last answer came, or the conversation began */
    int64_t renew_ns;
    bool is_over; /* the responses have ended */
};

static int open_client(struct process *process, struct tern_error *error) {
    struct asking *asking = calloc(1, sizeof *asking);
    (void)error;
    assert(asking != NULL);
    asking->process = process;
    asking->exchange = process->context;
    asking->model = &asking->exchange->clients[process->number];
    process->instance = asking;
    return 0;
}

static void end_conversation(struct asking *asking) {
    tern_async_cancel(asking->async);
    tern_exclusive_publication_close(asking->requests);
    tern_subscription_close(asking->responses);
    tern_fragment_assembler_destroy(asking->assembler);
    asking->async = NULL;
    asking->requests = NULL;
    asking->responses = NULL;
    asking->assembler = NULL;
}

static void close_client(struct process *process) {
    struct asking *asking = process->instance;
    end_conversation(asking);
    tern_client_close(asking->client);
    free(asking);
}

/* -- answers -- */

static void on_answer(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    struct asking *asking = context;
    struct exchange *exchange = asking->exchange;
    struct check_exchange_head head;
    struct tern_error problem;
    (void)header;
    if (!exchange_verify(exchange, buffer, length, true)) {
        return;
    }
    memcpy(&head, buffer, sizeof head);
    if (!check_exchange_on_answer(&exchange->check, asking->model->conversation, &head, &problem)) {
        sim_fail(exchange->sim, "client %d: %s", asking->process->number, problem.text);
    }
    asking->model->answered_sent_ns = head.sent_ns;
    asking->answer_ns = exchange->sim->now_ns;
    exchange->answered_count++;
}

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    const struct asking *asking = context;
    (void)subscription;
    history_line(&asking->exchange->sim->history, "exchange: client %d is answered by session %d",
                 asking->process->number, tern_image_session_id(image));
}

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    struct asking *asking = context;
    (void)subscription, (void)image;
    asking->is_over = true;
}

/* -- a conversation -- */

static void ask_for_responses(struct asking *asking) {
    const struct tern_subscription_params params = {
        .channel = asking->exchange->way->responses,
        .stream_id = EXCHANGE_RESPONSE_STREAM_ID,
        .on_available_image = on_image,
        .on_unavailable_image = on_image_gone,
        .handler_context = asking,
    };
    struct tern_error error;
    asking->async = tern_client_async_add_subscription(asking->client, &params, &error);
}

static void ask_for_requests(struct asking *asking) {
    char channel[EXCHANGE_CHANNEL_MAX];
    struct tern_error error;
    (void)snprintf(channel, sizeof channel, "%s|response-correlation-id=%lld",
                   asking->exchange->way->requests,
                   (long long)tern_subscription_registration_id(asking->responses));
    asking->async = tern_client_async_add_exclusive_publication(asking->client, channel,
                                                                EXCHANGE_REQUEST_STREAM_ID, &error);
}

static void begin_conversation(struct asking *asking) {
    struct exchange *exchange = asking->exchange;
    int owner = owner_switch(OWNER_SIMULATOR);
    asking->model->conversation = check_exchange_open(&exchange->check);
    owner_switch(owner);
    asking->is_over = false;
    asking->answer_ns = exchange->sim->now_ns;
    asking->renew_ns =
        exchange->sim->now_ns + dice_scale(&exchange->dice, RENEW_MIN_NS, RENEW_MAX_NS);
    history_line(&exchange->sim->history, "exchange: client %d begins conversation %lld",
                 asking->process->number, (long long)asking->model->conversation);
}

static int make_conversation(struct asking *asking, int64_t now_ns) {
    struct tern_error error = {0};
    if (asking->assembler == NULL) {
        asking->assembler = tern_fragment_assembler_create(on_answer, asking);
        assert(asking->assembler != NULL);
    }
    if (asking->async == NULL) {
        if (now_ns >= asking->retry_ns) {
            asking->retry_ns = now_ns + EXCHANGE_RETRY_NS;
            if (asking->responses == NULL) {
                ask_for_responses(asking);
            } else {
                ask_for_requests(asking);
            }
        }
        return 0;
    }
    int result =
        asking->responses == NULL
            ? tern_async_poll_subscription(asking->async, &asking->responses, &error)
            : tern_async_poll_exclusive_publication(asking->async, &asking->requests, &error);
    if (result != 0) {
        asking->async = NULL;
        asking->retry_ns = result < 0 ? asking->retry_ns : now_ns;
    }
    if (result < 0) {
        history_line(&asking->exchange->sim->history, "exchange: client %d: %s",
                     asking->process->number, error.text);
    } else if (asking->requests != NULL) {
        begin_conversation(asking);
    }
    return result != 0;
}

static bool is_to_end(const struct asking *asking) {
    const struct exchange *exchange = asking->exchange;
    int64_t now_ns = exchange->sim->now_ns;
    bool is_silent = exchange->is_sending && now_ns > asking->answer_ns + SILENCE_MAX_NS;
    return asking->is_over || is_silent || (exchange->is_restless && now_ns >= asking->renew_ns);
}

static int ask(struct asking *asking) {
    struct exchange *exchange = asking->exchange;
    int64_t conversation = asking->model->conversation;
    const struct check_exchange_head head = {
        conversation, exchange->check.conversations[conversation].sent, exchange->sim->now_ns};
    if (!exchange->is_sending || exchange->sim->now_ns < asking->due_ns) {
        return 0;
    }
    int64_t longest = dice_chance(&exchange->dice, 0.2) ? EXCHANGE_MESSAGE_MAX : 200;
    int32_t length = (int32_t)dice_between(&exchange->dice, sizeof head, longest);
    int64_t mean_ns = NS_PER_S / exchange->rate_hz;
    asking->due_ns = exchange->sim->now_ns + dice_between(&exchange->dice, 0, 2 * mean_ns);
    exchange_fill(exchange->message, &head, length, false);
    if (tern_exclusive_publication_offer(asking->requests, exchange->message, length) <= 0) {
        return 0;
    }
    check_exchange_on_sent(&exchange->check, conversation);
    return 1;
}

static int work_client(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct asking *asking = process->instance;
    if (asking->client == NULL) {
        int result = sim_connect_driver(process, &asking->retry_ns, &asking->client, now_ns, error);
        return result < 0 ? result : 0;
    }
    if (tern_client_is_closed(asking->client)) {
        (void)tern_client_status(asking->client, error);
        return error->code < 0 ? error->code : -1;
    }
    int work = tern_client_do_work_at(asking->client, now_ns);
    if (asking->requests == NULL) {
        return work + make_conversation(asking, now_ns);
    }
    if (is_to_end(asking)) {
        history_line(&asking->exchange->sim->history, "exchange: client %d begins anew",
                     process->number);
        end_conversation(asking);
        return work + 1;
    }
    work += tern_subscription_poll(asking->responses, tern_fragment_assembler_on_fragment,
                                   asking->assembler, EXCHANGE_FRAGMENT_LIMIT);
    return work + ask(asking);
}

const struct process_operations exchange_client_operations = {"asking client", open_client,
                                                              work_client, close_client};

/* The server of an exchange: a response publication for each image of requests, and an answer to
 * each of them as soon as there is room for it. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>
#include <tern/image.h>
#include <tern/publication.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "client/seams.h"
#include "sim/client.h"
#include "sim/exchange_end.h"

#define PEERS_MAX 32

/* An image of requests. */
struct peer {
    struct server *server;
    bool is_used;
    tern_image *image;
    tern_async *async;
    tern_exclusive_publication *responses;
    tern_controlled_fragment_assembler *assembler;
    int64_t next; /* index of the request that comes next; -1: none has come */
    int64_t retry_ns;
    bool is_over;
};

/* One life of it. */
struct server {
    struct exchange *exchange;
    tern_client *client;
    tern_async *async;
    tern_subscription *requests;
    struct peer peers[PEERS_MAX];
    int64_t retry_ns;
};

static int open_server(struct process *process, struct tern_error *error) {
    struct server *server = calloc(1, sizeof *server);
    (void)error;
    assert(server != NULL);
    server->exchange = process->context;
    process->instance = server;
    return 0;
}

static void drop_peer(struct peer *peer) {
    tern_async_cancel(peer->async);
    tern_exclusive_publication_close(peer->responses);
    tern_image_release(peer->image);
    tern_controlled_fragment_assembler_destroy(peer->assembler);
    *peer = (struct peer){0};
}

static void close_server(struct process *process) {
    struct server *server = process->instance;
    for (int i = 0; i < PEERS_MAX; i++) {
        drop_peer(&server->peers[i]);
    }
    tern_async_cancel(server->async);
    tern_subscription_close(server->requests);
    tern_client_close(server->client);
    free(server);
}

/* -- requests -- */

static enum tern_controlled_action on_request(void *context, const uint8_t *buffer, int32_t length,
                                              const tern_header *header) {
    struct peer *peer = context;
    struct exchange *exchange = peer->server->exchange;
    struct check_exchange_head head;
    struct tern_error problem;
    (void)header;
    if (!exchange_verify(exchange, buffer, length, false)) {
        return TERN_ACTION_BREAK;
    }
    memcpy(&head, buffer, sizeof head);
    exchange_fill(exchange->message, &head, length, true);
    if (tern_exclusive_publication_offer(peer->responses, exchange->message, length) <= 0) {
        return TERN_ACTION_ABORT;
    }
    if (!check_exchange_on_request(&exchange->check, &head, &peer->next, &problem)) {
        sim_fail(exchange->sim, "%s", problem.text);
    }
    return TERN_ACTION_CONTINUE;
}

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    struct server *server = context;
    (void)subscription;
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &server->peers[i];
        if (!peer->is_used) {
            tern_image_retain(image);
            *peer = (struct peer){.server = server, .is_used = true, .image = image, .next = -1};
            return;
        }
    }
    sim_fail(server->exchange->sim, "exchange: more than %d images of requests", PEERS_MAX);
}

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    struct server *server = context;
    (void)subscription;
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &server->peers[i];
        peer->is_over = peer->is_over || (peer->is_used && peer->image == image);
    }
}

/* -- responses -- */

static int make_responses(struct peer *peer, int64_t now_ns) {
    struct tern_error error = {0};
    struct exchange *exchange = peer->server->exchange;
    if (peer->async == NULL) {
        char channel[EXCHANGE_CHANNEL_MAX];
        if (now_ns >= peer->retry_ns) {
            peer->retry_ns = now_ns + EXCHANGE_RETRY_NS;
            (void)snprintf(channel, sizeof channel, "%s|response-correlation-id=%lld",
                           exchange->way->responses,
                           (long long)tern_image_correlation_id(peer->image));
            peer->async = tern_client_async_add_exclusive_publication(
                peer->server->client, channel, EXCHANGE_RESPONSE_STREAM_ID, &error);
        }
        return 0;
    }
    int result = tern_async_poll_exclusive_publication(peer->async, &peer->responses, &error);
    if (result == 0) {
        return 0;
    }
    peer->async = NULL;
    if (result < 0) {
        history_line(&exchange->sim->history, "exchange: server: %s", error.text);
        return 1;
    }
    history_line(&exchange->sim->history, "exchange: session %d answers session %d",
                 tern_exclusive_publication_session_id(peer->responses),
                 tern_image_session_id(peer->image));
    peer->assembler = tern_controlled_fragment_assembler_create(on_request, peer);
    assert(peer->assembler != NULL);
    return 1;
}

static int work_peer(struct peer *peer, int64_t now_ns) {
    if (peer->is_over) {
        drop_peer(peer);
        return 1;
    }
    if (peer->responses == NULL) {
        return make_responses(peer, now_ns);
    }
    return tern_image_controlled_poll(peer->image, tern_controlled_fragment_assembler_on_fragment,
                                      peer->assembler, EXCHANGE_FRAGMENT_LIMIT);
}

static int add_requests(struct server *server, int64_t now_ns) {
    const struct tern_subscription_params params = {
        .channel = server->exchange->way->requests,
        .stream_id = EXCHANGE_REQUEST_STREAM_ID,
        .on_available_image = on_image,
        .on_unavailable_image = on_image_gone,
        .handler_context = server,
    };
    struct tern_error error = {0};
    if (server->async == NULL) {
        if (now_ns >= server->retry_ns) {
            server->retry_ns = now_ns + EXCHANGE_RETRY_NS;
            server->async = tern_client_async_add_subscription(server->client, &params, &error);
        }
        return 0;
    }
    int result = tern_async_poll_subscription(server->async, &server->requests, &error);
    if (result != 0) {
        server->async = NULL;
    }
    return result != 0;
}

static int work_server(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct server *server = process->instance;
    if (server->client == NULL) {
        int result = sim_connect_driver(process, &server->retry_ns, &server->client, now_ns, error);
        return result < 0 ? result : 0;
    }
    if (tern_client_is_closed(server->client)) {
        (void)tern_client_status(server->client, error);
        return error->code < 0 ? error->code : -1;
    }
    int work = tern_client_do_work_at(server->client, now_ns);
    if (server->requests == NULL) {
        return work + add_requests(server, now_ns);
    }
    for (int i = 0; i < PEERS_MAX; i++) {
        if (server->peers[i].is_used) {
            work += work_peer(&server->peers[i], now_ns);
        }
    }
    return work;
}

const struct process_operations exchange_server_operations = {"answering server", open_server,
                                                              work_server, close_server};

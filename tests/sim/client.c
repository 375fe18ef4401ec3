/* See client.h. */
#include "sim/client.h"

#include <errno.h>
#include <stdio.h>

#include "base/bits.h"
#include "client/seams.h"

#define RETRY_NS (100 * NS_PER_MS)
#define KEEP_ALIVE_NS NS_PER_S
#define FRAGMENT_LIMIT 10

int sim_connect_driver(struct process *process, int64_t *retry_ns, tern_client **client,
                       int64_t now_ns, struct tern_error *error) {
    struct machine *machine = process->machine;
    if (now_ns < *retry_ns) {
        return 0;
    }
    *retry_ns = now_ns + RETRY_NS;
    char directory[SIM_PATH_MAX + 16];
    (void)snprintf(directory, sizeof directory, "%s/driver", machine->directory);
    tern_context *context = tern_context_create(error);
    if (context == NULL) {
        return error->code;
    }
    tern_context_set_use_invoker(context, true);
    tern_context_set_clock(context, machine->io.clock);
    tern_context_set_random(context, machine->io.random);
    int result = tern_context_set_directory(context, directory, error);
    if (result == 0) {
        *client = tern_client_try_connect(context, error);
        result = *client != NULL ? 1 : error->code == -EAGAIN ? 0 : error->code;
        result = result < 0 && error->code == -ENOENT ? 0 : result;
    }
    tern_context_destroy(context);
    return result;
}

static void on_new_leader(void *context, int64_t leadership_term_id, int32_t leader_member_id,
                          const char *ingress_endpoints) {
    struct sim_client *session = context;
    (void)leadership_term_id, (void)leader_member_id, (void)ingress_endpoints;
    session->on_doubt(session->context);
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct sim_client *session = context;
    session->on_message(session->context, timestamp, buffer, length, header);
}

static int begin_session(struct sim_client *session, int64_t now_ns) {
    struct sim *sim = session->process->sim;
    struct tern_cluster_params params;
    struct tern_error error;
    char egress[64];
    char endpoints[256] = "";
    size_t used = 0;
    if (now_ns < session->retry_ns) {
        return 0;
    }
    session->retry_ns = now_ns + RETRY_NS;
    for (int i = 0; i < sim->options.node_count; i++) {
        used += (size_t)snprintf(endpoints + used, sizeof endpoints - used, "%s%d=10.0.0.%d:9002",
                                 i == 0 ? "" : ",", i, i + 1);
    }
    (void)snprintf(egress, sizeof egress, "aeron:udp?endpoint=10.0.0.%d:0",
                   session->process->machine->index + 1);
    tern_cluster_params_init(&params, session->client);
    params.ingress_channel = "aeron:udp?term-length=64k";
    params.ingress_endpoints = endpoints;
    params.egress_channel = egress;
    params.handler_context = session;
    params.on_message = on_message;
    params.on_new_leader = on_new_leader;
    if (tern_cluster_connect_begin(&session->connecting, &params, &error) != 0) {
        session->connecting = NULL;
    }
    return 1;
}

static int connect_session(struct sim_client *session, int64_t now_ns) {
    struct tern_error error = {0};
    int work = tern_client_do_work_at(session->client, now_ns);
    if (session->connecting == NULL) {
        return work + begin_session(session, now_ns);
    }
    int result = tern_cluster_connect_poll(session->connecting, &session->cluster, &error);
    if (result == 0) {
        return work;
    }
    session->connecting = NULL;
    if (result < 0) {
        session->cluster = NULL;
        history_line(&session->process->sim->history, "client %d: %s", session->index, error.text);
    } else {
        session->keep_alive_ns = now_ns + KEEP_ALIVE_NS;
        history_line(&session->process->sim->history, "client %d: session %lld with member %d",
                     session->index, (long long)tern_cluster_session_id(session->cluster),
                     tern_cluster_leader_member_id(session->cluster));
    }
    return 1;
}

/* Each client asks in its turn, as an operator would. */
static int ask_for_snapshot(struct sim_client *session, int64_t now_ns) {
    struct sim *sim = session->process->sim;
    int64_t interval_ns = sim->options.snapshot_interval_ns * sim->options.client_count;
    if (interval_ns == 0 || now_ns < session->snapshot_ns) {
        return 0;
    }
    if (session->snapshot_ns != 0) {
        (void)tern_cluster_request_snapshot(session->cluster, now_ns);
    }
    session->snapshot_ns = now_ns + dice_between(&sim->dice, interval_ns / 2, interval_ns * 3 / 2);
    return 1;
}

int sim_client_work(struct sim_client *session, int64_t now_ns, struct tern_error *error) {
    if (session->client == NULL) {
        return sim_connect_driver(session->process, &session->retry_ns, &session->client, now_ns,
                                  error);
    }
    if (tern_client_is_closed(session->client)) {
        (void)tern_client_status(session->client, error);
        return error->code < 0 ? error->code : -1;
    }
    if (session->cluster == NULL) {
        return connect_session(session, now_ns);
    }
    int work = tern_cluster_poll(session->cluster, FRAGMENT_LIMIT);
    if (tern_cluster_is_closed(session->cluster)) {
        struct tern_error why = {0};
        (void)tern_cluster_status(session->cluster, &why);
        history_line(&session->process->sim->history, "client %d: session lost: %s", session->index,
                     why.text);
        session->on_doubt(session->context);
        tern_cluster_close(session->cluster);
        session->cluster = NULL;
        return 1;
    }
    if (now_ns >= session->keep_alive_ns && tern_cluster_keep_alive(session->cluster)) {
        session->keep_alive_ns = now_ns + KEEP_ALIVE_NS;
    }
    return work + ask_for_snapshot(session, now_ns);
}

void sim_client_close(struct sim_client *session) {
    tern_cluster_connect_cancel(session->connecting);
    tern_cluster_close(session->cluster);
    tern_client_close(session->client);
    session->connecting = NULL;
    session->cluster = NULL;
    session->client = NULL;
}

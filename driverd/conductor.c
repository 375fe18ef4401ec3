/* The conductor's loop: clocks, timers, commands of clients, limits.
 *
 * Each cycle takes a bounded number of commands, all from one pass over the ring. A command stays
 * in the ring while the queues to sender and receiver are short of room. One that needs a name or a
 * log file waits for it (pending_commands.h), and with it what the same client sends afterwards;
 * hence the commands of a client are effected and answered in the order in which it sent them. What
 * is due by time is looked at once per timer interval.
 */
#include "driverd/conductor.h"

#include <errno.h>
#include <stdlib.h>

#include "driverd/client_session.h"
#include "driverd/linking.h"
#include "driverd/log_agent.h"
#include "driverd/network.h"
#include "driverd/publication_ipc.h"
#include "driverd/publication_net.h"
#include "driverd/subscription.h"
#include "driverd/trace.h"

/* Commands per cycle: enough to drain a burst quickly, few enough that limits still move. */
#define COMMANDS_PER_CYCLE_MAX 8
#define LOGS_PER_CYCLE_MAX 16
/* For a channel that is being closed, which takes a cycle or two of sender or receiver. */
#define CLOSING_WAIT_NS NS_PER_S
#define EPOCH_REFRESH_NS NS_PER_MS

struct command_row {
    int32_t type;
    bool has_answer;
    command_handler handler;
};

static const struct command_row rows[] = {
    {COMMAND_ADD_PUBLICATION, true, conductor_add_publication},
    {COMMAND_REMOVE_PUBLICATION, true, conductor_remove_publication},
    {COMMAND_ADD_EXCLUSIVE_PUBLICATION, true, conductor_add_publication},
    {COMMAND_ADD_SUBSCRIPTION, true, conductor_add_subscription},
    {COMMAND_REMOVE_SUBSCRIPTION, true, conductor_remove_subscription},
    {COMMAND_CLIENT_KEEPALIVE, false, conductor_keepalive},
    {COMMAND_ADD_DESTINATION, true, conductor_add_destination},
    {COMMAND_REMOVE_DESTINATION, true, conductor_remove_destination},
    {COMMAND_ADD_COUNTER, true, conductor_add_counter},
    {COMMAND_REMOVE_COUNTER, true, conductor_remove_counter},
    {COMMAND_CLIENT_CLOSE, false, conductor_client_close},
    {COMMAND_ADD_RECEIVE_DESTINATION, true, conductor_receive_destination},
    {COMMAND_REMOVE_RECEIVE_DESTINATION, true, conductor_receive_destination},
    {COMMAND_TERMINATE_DRIVER, false, conductor_terminate},
    {COMMAND_ADD_STATIC_COUNTER, true, conductor_add_static_counter},
    {COMMAND_REJECT_IMAGE, true, conductor_reject_image},
    {COMMAND_REMOVE_DESTINATION_BY_ID, true, conductor_remove_destination_by_id},
    {COMMAND_NEXT_SESSION_ID, true, conductor_next_session_id},
};

static const struct command_row *find_row(int32_t type) {
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].type == type) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Tell the client, and the log unless the client is merely to try again. */
static void refuse(struct conductor *conductor, int64_t correlation_id, bool has_answer,
                   const struct tern_error *error) {
    if (driver_error_code(error) != DRIVER_ERROR_TEMPORARILY_UNAVAILABLE) {
        driver_context_log_error(conductor->context, error);
    }
    if (has_answer) {
        driver_context_respond_error(conductor->context, correlation_id, error);
    }
}

/* Not a command, or one that is too short: answer when there is at least an id to answer to. */
static void refuse_undecoded(struct conductor *conductor, int32_t type, const uint8_t *payload,
                             int32_t length, bool is_known) {
    struct tern_error error;
    bool has_id = length >= 16;
    int64_t correlation_id = has_id ? get_i64(payload + 8) : -1;
    if (is_known) {
        error_set(&error, DRIVER_ERROR(DRIVER_ERROR_MALFORMED_COMMAND),
                  "malformed command: type=0x%x length=%d", (unsigned)type, length);
    } else {
        error_set(&error, DRIVER_ERROR(DRIVER_ERROR_UNKNOWN_COMMAND), "unknown command: type=0x%x",
                  (unsigned)type);
    }
    refuse(conductor, correlation_id, has_id && type != COMMAND_TERMINATE_DRIVER, &error);
}

/* What is on its way out frees its place or its port within a moment. A command that met it waits
 * for that, rather than that the client has to try again (5.5). True: it waits. */
static bool hold_back(struct conductor *conductor, int64_t client_id,
                      const struct tern_error *error) {
    if (driver_error_code(error) != DRIVER_ERROR_TEMPORARILY_UNAVAILABLE ||
        !network_is_closing(conductor)) {
        return false;
    }
    struct pending_client *client = pending_commands_hold(&conductor->pending, client_id);
    int64_t now_ns = conductor->context->now_ns;
    if (client != NULL && client->deadline_ns == 0) {
        client->deadline_ns = now_ns + CLOSING_WAIT_NS;
    }
    return client != NULL && now_ns < client->deadline_ns;
}

/* 0, or COMMAND_PENDING or COMMAND_BUSY: it has to be run again. */
static int run_command(struct conductor *conductor, int32_t type, const uint8_t *payload,
                       int32_t length) {
    const struct command_row *row = find_row(type);
    struct command command;
    if (row == NULL || command_decode(&command, type, payload, length) < 0) {
        refuse_undecoded(conductor, type, payload, length, row != NULL);
        return 0;
    }
    struct tern_error error = {0};
    int result = row->handler(conductor, &command, &error);
    if (result < 0 && hold_back(conductor, command.client_id, &error)) {
        return COMMAND_PENDING;
    }
    if (result < 0) {
        refuse(conductor, command.correlation_id, row->has_answer, &error);
    }
    return max_i32(result, 0);
}

static enum ring_action take_command(struct conductor *conductor, int32_t type,
                                     const uint8_t *payload, int32_t length) {
    struct pending_commands *pending = &conductor->pending;
    int64_t client_id = length >= (int32_t)sizeof client_id ? get_i64(payload) : -1;
    struct pending_client *client = pending_commands_find(pending, client_id);
    if (client != NULL) {
        int result = pending_commands_append(client, type, payload, length);
        return result == 0 ? RING_COMMIT : RING_ABORT;
    }
    if (!network_has_room(conductor)) {
        return RING_ABORT;
    }
    int result = run_command(conductor, type, payload, length);
    if (result == COMMAND_BUSY) {
        return RING_ABORT;
    }
    if (result == COMMAND_PENDING) {
        client = pending_commands_find(pending, client_id);
        assert(client != NULL);
        /* Without memory for the copy the request goes unanswered, as if the driver were busy. */
        (void)pending_commands_append(client, type, payload, length);
    }
    /* Publish the head after each: what a crash leaves behind has then been answered. */
    return RING_COMMIT;
}

/* The first command did not take what was got for it: it failed, or found that it did not need it.
 */
static void drop_unused(struct conductor *conductor, struct pending_client *client) {
    if (client->is_resolved) {
        client->is_resolved = false;
        udp_channel_destroy(client->channel);
    }
    log_agent_discard(conductor->context->log_agent, client->file);
    client->file = NULL;
}

/* Each once in the event log, however often it is put back. */
static enum ring_action on_command(void *context, int32_t type, const uint8_t *payload,
                                   int32_t length) {
    struct conductor *conductor = context;
    const struct driver_context *shared = conductor->context;
    if (!conductor->is_command_repeated) {
        trace_message(shared, TRACE_COMMAND,
                      (struct trace_message){type, length, payload, shared->now_ns});
    }
    enum ring_action action = take_command(conductor, type, payload, length);
    conductor->is_command_repeated = action == RING_ABORT;
    return action;
}

/* Run what has waited, up to the next command that has to wait or until the queues are full. */
static void resume(struct conductor *conductor, struct pending_client *client) {
    conductor->resumed = client;
    while (client->first != NULL && network_has_room(conductor)) {
        const struct waiting_command *command = client->first;
        if (run_command(conductor, command->type, command->payload, command->length) != 0) {
            break;
        }
        free(pending_commands_pop(client));
        drop_unused(conductor, client);
    }
    conductor->resumed = NULL;
    if (client->first == NULL) {
        drop_unused(conductor, client); /* without memory for the command itself */
        pending_commands_end(&conductor->pending, client);
    }
}

static int resume_all(struct conductor *conductor) {
    struct pending_commands *pending = &conductor->pending;
    int work = 0;
    for (int i = 0; pending->count > 0 && i < PENDING_CLIENTS_MAX; i++) {
        struct pending_client *client = &pending->clients[i];
        if (client->is_used && !client->is_waiting) {
            resume(conductor, client);
            work++;
        }
    }
    return work;
}

static void on_log(struct conductor *conductor, struct log_file *file) {
    if (file->result == 0 && file->error.code != 0) {
        driver_context_log_error(conductor->context, &file->error);
    }
    if (file->spec.folder == LOG_FILE_IMAGE) {
        network_on_image_log(conductor, file);
        return;
    }
    struct pending_client *client =
        pending_commands_by_request(&conductor->pending, file->request_id);
    assert(client != NULL);
    assert(client->is_waiting);
    client->is_waiting = false;
    client->file = file;
}

static int take_logs(struct conductor *conductor) {
    struct log_agent *agent = conductor->context->log_agent;
    struct log_file *file;
    int work = 0;
    while (log_agent_is_busy(agent) && work < LOGS_PER_CYCLE_MAX && network_has_room(conductor) &&
           (file = log_agent_poll(agent)) != NULL) {
        on_log(conductor, file);
        work++;
    }
    return work + resume_all(conductor);
}

/* The channel that was lent to the resolver is back. */
static int take_resolved(struct pending_client *client, struct udp_channel **channel,
                         struct tern_error *error) {
    client->is_resolved = false;
    if (client->error.code != 0) {
        *error = client->error;
        udp_channel_destroy(client->channel);
        return error->code;
    }
    *channel = client->channel;
    return 0;
}

/* COMMAND_PENDING, or an error with the channel still the caller's. */
static int look_up(struct conductor *conductor, int64_t client_id, struct udp_channel *channel,
                   struct tern_error *error) {
    struct pending_commands *pending = &conductor->pending;
    struct pending_client *client = pending_commands_name(pending, client_id, channel);
    if (client != NULL && network_submit_channel(conductor, channel, client->request_id)) {
        return COMMAND_PENDING;
    }
    if (client != NULL) {
        pending_commands_give_up(pending, client);
    }
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_TEMPORARILY_UNAVAILABLE),
                     "too many names are being looked up, try again: %.120s", channel->text);
}

int conductor_channel(struct conductor *conductor, const struct command *command,
                      enum udp_channel_role role, struct udp_channel **channel,
                      struct tern_error *error) {
    if (conductor->resumed != NULL && conductor->resumed->is_resolved) {
        return take_resolved(conductor->resumed, channel, error);
    }
    struct udp_channel *made;
    int result = udp_channel_create(&made, command->channel.text, command->channel.length, role,
                                    &conductor->context->next_channel_suffix, error);
    if (result < 0) {
        return result;
    }
    result = udp_channel_needs_resolver(made)
                 ? look_up(conductor, command->client_id, made, error)
                 : udp_channel_resolve(made, conductor->context->io.net, error);
    if (result < 0) {
        udp_channel_destroy(made);
    } else if (result == 0) {
        *channel = made;
    }
    return result;
}

void conductor_keep_channel(struct conductor *conductor, const struct command *command,
                            struct udp_channel *channel) {
    struct pending_client *client = pending_commands_find(&conductor->pending, command->client_id);
    if (client == NULL) { /* busy: the command stays in the ring */
        udp_channel_destroy(channel);
        return;
    }
    assert(!client->is_resolved);
    client->is_resolved = true;
    client->channel = channel;
    client->error.code = 0;
}

/* The log that was asked for is back. */
static int check_made(struct conductor *conductor, const struct log_file_spec *spec,
                      struct tern_error *error) {
    struct pending_client *client = conductor->resumed;
    const struct log_file *file = client->file;
    if (file->result == 0 && log_file_fits(file, spec)) {
        return 0;
    }
    int result = file->result < 0 ? file->result : COMMAND_BUSY;
    if (result < 0) {
        *error = file->error;
    }
    log_agent_discard(conductor->context->log_agent, client->file);
    client->file = NULL;
    return result;
}

static int ask_for_log(struct conductor *conductor, int64_t client_id,
                       const struct log_file_spec *spec, struct tern_error *error) {
    struct driver_context *context = conductor->context;
    struct pending_client *client = pending_commands_log(&conductor->pending, client_id);
    if (client == NULL) {
        return COMMAND_BUSY;
    }
    struct log_file *file = log_file_allocate(context, spec);
    if (file != NULL) {
        file->request_id = client->request_id;
        if (log_agent_request(context->log_agent, file)) {
            return COMMAND_PENDING;
        }
    }
    pending_commands_give_up(&conductor->pending, client);
    if (file == NULL) {
        return error_set(error, -ENOMEM, "no memory for a log file");
    }
    free(file);
    return COMMAND_BUSY;
}

int conductor_check_log(struct conductor *conductor, const struct command *command,
                        const struct publication_params *params, struct tern_error *error) {
    const struct log_file_spec spec = {
        .folder = LOG_FILE_PUBLICATION,
        .id = command->correlation_id,
        .term_length = params->term_length,
        .is_sparse = params->is_sparse,
    };
    return conductor->resumed != NULL && conductor->resumed->file != NULL
               ? check_made(conductor, &spec, error)
               : ask_for_log(conductor, command->client_id, &spec, error);
}

struct log_file *conductor_take_log(struct conductor *conductor) {
    struct log_file *file = conductor->resumed->file;
    assert(file != NULL);
    assert(file->result == 0);
    conductor->resumed->file = NULL;
    return file;
}

int conductor_check_stream(const struct command *command, const struct uri *uri,
                           struct tern_error *error) {
    int32_t stream_id = command->stream_id;
    int result = uri_get_i32(uri, "stream-id", &stream_id, error);
    if (result >= 0 && stream_id != command->stream_id) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_INVALID_CHANNEL),
                         "stream-id=%d of the channel is not the stream id %d of the command",
                         stream_id, command->stream_id);
    }
    return result < 0 ? result : 0;
}

int conductor_client(struct conductor *conductor, int64_t client_id,
                     struct client_session **session, struct tern_error *error) {
    *session = hash_map_get(&conductor->clients, client_id);
    if (*session != NULL) {
        return 0;
    }
    int result = client_session_create(session, conductor->context, client_id, error);
    if (result < 0) {
        return result;
    }
    if (hash_map_put(&conductor->clients, client_id, *session) < 0) {
        client_session_destroy(*session);
        return error_set(error, -ENOMEM, "no memory for client_id=%lld", (long long)client_id);
    }
    return 0;
}

/* A producer that died inside a claim would block all clients. */
static void check_ring(struct conductor *conductor, int64_t now_ns) {
    struct ring_mpsc *ring = &conductor->context->to_driver;
    int64_t position = ring_mpsc_consumer_position(ring);
    bool is_idle = ring_mpsc_producer_position(ring) <= position;
    if (position != conductor->ring_position || is_idle) {
        conductor->ring_position = position;
        conductor->ring_time_ns = now_ns;
    } else if (now_ns - conductor->ring_time_ns >
                   conductor->context->conf->client_liveness_timeout_ns &&
               ring_mpsc_unblock(ring)) {
        context_count(conductor->context, SYSTEM_COUNTER_UNBLOCKED_COMMANDS, 1);
    }
}

static int visit_publication(void *context, void *item, int64_t now_ns) {
    (void)context;
    (void)now_ns;
    return publication_ipc_update_limit(item);
}

/* They never sleep: clients write, and say nothing. */
static const struct sweep_items ipc_items = {offsetof(struct publication_ipc, entry),
                                             visit_publication, NULL};

void conductor_list_ipc(struct conductor *conductor, struct publication_ipc *publication) {
    int result =
        sweep_add(&conductor->ipc_sweep, &conductor->publications_ipc, &ipc_items, publication);
    assert(result == 0);
    (void)result;
}

void conductor_wake_publication(struct conductor *conductor, struct publication *publication) {
    if (publication->kind == PUBLICATION_NET) {
        network_wake_publication(conductor, (struct publication_net *)publication);
    }
}

static void check_publications_ipc(struct conductor *conductor, int64_t now_ns) {
    struct pointer_list *list = &conductor->publications_ipc;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct publication_ipc *publication = list->items[i];
        publication_ipc_on_timer(publication, now_ns);
        if (publication_ipc_end_cool_down(publication, now_ns)) {
            linking_attach_publication_ipc(conductor, publication);
        }
        if (publication_ipc_is_done(publication)) {
            sweep_remove_at(&conductor->ipc_sweep, list, &ipc_items, i);
            conductor_destroy_publication(conductor, &publication->base);
        }
    }
}

/* Not counted as work: being on time is no reason to spin. */
static void on_timers(struct conductor *conductor, int64_t now_ns) {
    struct driver_context *context = conductor->context;
    if (now_ns < conductor->timer_deadline_ns) {
        return;
    }
    conductor->timer_deadline_ns = now_ns + context->conf->timer_interval_ns;
    context->now_epoch_ms = clock_epoch_ms(context->io.clock);
    ring_mpsc_set_consumer_heartbeat(&context->to_driver, context->now_epoch_ms);
    conductor_check_clients(conductor);
    check_publications_ipc(conductor, now_ns);
    network_on_timer(conductor, now_ns);
    check_ring(conductor, now_ns);
}

static int update_limits(struct conductor *conductor, int64_t now_ns) {
    return sweep_run(&conductor->ipc_sweep, &conductor->publications_ipc, &ipc_items, NULL, now_ns);
}

void conductor_begin(struct conductor *conductor, int64_t now_ns) {
    sweep_begin(&conductor->ipc_sweep, &conductor->publications_ipc, now_ns);
    sweep_begin(&conductor->net_sweep, &conductor->publications_net, now_ns);
    sweep_begin(&conductor->image_sweep, &conductor->images, now_ns);
}

bool conductor_is_swept(const struct conductor *conductor) {
    return sweep_is_over(&conductor->ipc_sweep) && sweep_is_over(&conductor->net_sweep) &&
           sweep_is_over(&conductor->image_sweep);
}

int conductor_do_work(struct conductor *conductor, int64_t now_ns) {
    struct driver_context *context = conductor->context;
    context->now_ns = now_ns;
    duty_cycle_measure(&conductor->cycle, now_ns);
    if (now_ns >= conductor->epoch_deadline_ns) {
        context->now_epoch_ms = clock_epoch_ms(context->io.clock);
        conductor->epoch_deadline_ns = now_ns + EPOCH_REFRESH_NS;
    }
    on_timers(conductor, now_ns);
    int work = take_logs(conductor);
    work += ring_mpsc_controlled_read(&context->to_driver, on_command, conductor,
                                      COMMANDS_PER_CYCLE_MAX);
    work += network_do_work(conductor, now_ns);
    return work + update_limits(conductor, now_ns);
}

int conductor_take_logs(struct conductor *conductor) {
    int work = take_logs(conductor);
    /* What is connected can be written to. */
    return work > 0 ? work + update_limits(conductor, conductor->context->now_ns) : 0;
}

int conductor_init(struct conductor *conductor, const struct conductor_params *params,
                   struct tern_error *error) {
    struct driver_context *context = params->context;
    *conductor = (struct conductor){
        .context = context,
        .sender = params->sender,
        .receiver = params->receiver,
        .resolver = params->resolver,
        .gossip = params->gossip,
        .timer_deadline_ns = context->now_ns + context->conf->timer_interval_ns,
        .ring_time_ns = context->now_ns,
        .net_sweep.may_sleep = true,
        .image_sweep.may_sleep = true,
    };
    duty_cycle_init(&conductor->cycle, context, SYSTEM_COUNTER_CONDUCTOR_MAX_CYCLE_TIME,
                    context->conf->conductor_cycle_threshold_ns);
    int result = termination_validator_open(&conductor->validator, context, error);
    return result < 0 ? result : network_init(conductor, error);
}

static void close_subscriptions(struct conductor *conductor) {
    while (conductor->subscriptions.count > 0) {
        conductor_end_subscription(
            conductor, conductor->subscriptions.items[conductor->subscriptions.count - 1]);
    }
    pointer_list_close(&conductor->subscriptions);
    hash_map_close(&conductor->subscriptions_by_id);
}

static void close_clients(struct conductor *conductor) {
    for (size_t i = 0; i < conductor->clients.capacity; i++) {
        struct client_session *session = conductor->clients.entries[i].value;
        if (session != NULL) {
            hash_map_close(&session->publications);
            client_session_destroy(session);
        }
    }
    hash_map_close(&conductor->clients);
}

void conductor_close(struct conductor *conductor, bool is_resolver_busy) {
    if (conductor->context == NULL) {
        return;
    }
    for (int i = 0; i < PENDING_CLIENTS_MAX; i++) {
        struct pending_client *client = &conductor->pending.clients[i];
        log_agent_discard(conductor->context->log_agent, client->file);
        client->file = NULL;
    }
    pending_commands_close(&conductor->pending, is_resolver_busy);
    close_clients(conductor);
    close_subscriptions(conductor);
    struct pointer_list *list = &conductor->publications_ipc;
    for (int32_t i = 0; i < list->count; i++) {
        publication_ipc_destroy(list->items[i]);
    }
    pointer_list_close(list);
    network_close(conductor);
    termination_validator_close(&conductor->validator);
    hash_map_close(&conductor->publications_by_id);
    *conductor = (struct conductor){0};
}

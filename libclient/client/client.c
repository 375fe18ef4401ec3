/* Attaching to a driver, the life of a client, and the blocking helpers (shared-memory.md 2.2).
 *
 * Connecting maps cnc.dat and takes a client id; nothing is announced, the driver learns of the
 * client with its first command. With a conductor thread the client starts one that steps the same
 * function as tern_client_do_work; it sleeps by the idle strategy and is woken by requests.
 */
#include "client/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/futex.h"
#include "client/publication.h"
#include "client/request.h"
#include "client/seams.h"

#define CNC_PATH_MAX (CLIENT_DIRECTORY_MAX + 16)
#define CONNECT_POLL_NS (5 * NS_PER_MS)
/* While a request waits, the conductor looks a few times within the age of the newest one. */
#define PENDING_WAIT_MIN_NS (100 * NS_PER_US)
#define PENDING_WAIT_DIVISOR 4
#define AWAIT_SLICE_NS (10 * NS_PER_MS)
#define AWAIT_STEP_MIN_NS (20 * NS_PER_US)
#define AWAIT_STEP_MAX_NS NS_PER_MS

void client_lock(const struct tern_client *client) {
    int result = pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&client->lock);
    assert(result == 0);
    (void)result;
}

void client_unlock(const struct tern_client *client) {
    int result = pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&client->lock);
    assert(result == 0);
    (void)result;
}

void client_retain(struct tern_client *client) {
    client->reference_count++;
}

static void client_free(struct tern_client *client) {
    assert(client->retired == NULL);
    while (client->backlog != NULL) {
        struct client_backlog *entry = client->backlog;
        client->backlog = entry->next;
        free(entry);
    }
    hash_map_close(&client->requests);
    hash_map_close(&client->publications);
    hash_map_close(&client->subscriptions);
    hash_map_close(&client->own_counters);
    assert(client->logs.count == 0);
    hash_map_close(&client->logs);
    (void)pthread_cond_destroy(&client->wake);
    (void)pthread_cond_destroy(&client->changed);
    (void)pthread_mutex_destroy(&client->lock);
    free(client->scratch);
    cnc_close(&client->cnc);
    free(client);
}

void client_release(struct tern_client *client) {
    client_lock(client);
    assert(client->reference_count > 0);
    bool is_last = --client->reference_count == 0;
    client_unlock(client);
    if (is_last) {
        client_free(client);
    }
}

/* 2.2, steps 1 to 6, for one look. */
static int open_living(struct tern_client *client, struct tern_error *error) {
    char path[CNC_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", client->settings.directory, CNC_FILE_NAME);
    int result = cnc_open(&client->cnc, path, false, error);
    if (result != 0) {
        return result;
    }
    int64_t heartbeat_ms = cnc_driver_heartbeat_ms(&client->cnc);
    int64_t age_ms = clock_epoch_ms(client->settings.clock) - heartbeat_ms;
    if (heartbeat_ms <= 0) {
        return error_set(error, -EAGAIN, "the driver of %s %s", path,
                         heartbeat_ms == 0 ? "is starting" : "was shut down");
    }
    if (age_ms > client->settings.driver_timeout_ms) {
        return error_set(error, -EAGAIN,
                         "the driver of %s is dead: its last heartbeat is %lld ms old", path,
                         (long long)age_ms);
    }
    if (cnc_is_abandoned(&client->cnc)) {
        return error_set(error, -EAGAIN, "the driver of %s is dead: nobody holds its lock", path);
    }
    return 0;
}

static int derive_sections(struct tern_client *client, struct tern_error *error) {
    const struct cnc *cnc = &client->cnc;
    if (ring_mpsc_init(&client->ring, cnc->to_driver, cnc->to_driver_length) != 0 ||
        broadcast_receiver_init(&client->receiver, cnc->to_clients, cnc->to_clients_length) != 0 ||
        counters_reader_init(&client->counters.reader, cnc->counters_metadata,
                             cnc->counters_metadata_length, cnc->counters_values,
                             cnc->counters_values_length) != 0) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "the sections of %s/%s have impossible lengths",
                         client->settings.directory, CNC_FILE_NAME);
    }
    client->inter_service_timeout_ns = cnc->header->client_liveness_timeout_ns;
    if (client->settings.keepalive_interval_ns >= client->inter_service_timeout_ns) {
        return error_set(error, -EINVAL,
                         "keepalive interval %lld ns is not below the driver's client liveness "
                         "timeout %lld ns",
                         (long long)client->settings.keepalive_interval_ns,
                         (long long)client->inter_service_timeout_ns);
    }
    client->scratch_length = (int32_t)(client->receiver.capacity / 8);
    client->scratch = malloc((size_t)client->scratch_length);
    if (client->scratch == NULL) {
        return error_set(error, -ENOMEM, "no memory for a client");
    }
    return 0;
}

static void init_locks(struct tern_client *client) {
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_cond_init(&client->wake, &attributes);
    (void)pthread_cond_init(&client->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static int do_work(void *context, int64_t now_ns) {
    struct tern_client *client = context;
    client_lock(client);
    int work = client_conductor_step(client, now_ns);
    client_unlock(client);
    return work;
}

/* The conductor's own thread. */
static int do_work_on_thread(void *context, int64_t now_ns) {
    struct tern_client *client = context;
    if (!client->is_thread_known) {
        client->is_thread_known = true;
        const struct client_handlers *handlers = &client->settings.handlers;
        if (handlers->on_thread_start != NULL) {
            handlers->on_thread_start(handlers->on_thread_start_context);
        }
    }
    return do_work(client, now_ns);
}

/* Lock held. CLOCK_MONOTONIC, whatever clock the client has: this is only how long to sleep. */
static void wait_on(struct tern_client *client, pthread_cond_t *condition, int64_t timeout_ns) {
    struct timespec deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    int64_t ns = deadline.tv_nsec + timeout_ns;
    deadline.tv_sec += ns / NS_PER_S;
    deadline.tv_nsec = ns % NS_PER_S;
    (void)pthread_cond_timedwait(condition, &client->lock, &deadline);
}

/* The conductor's thread has nothing to do: sleep, but not long while an answer is due. */
static void wait_for_work(void *context, int64_t timeout_ns) {
    struct tern_client *client = context;
    client_lock(client);
    if (client->pending_count > 0) {
        int64_t age_ns = clock_now_ns(client->settings.clock) - client->pending_since_ns;
        int64_t wait_ns = max_i64(PENDING_WAIT_MIN_NS, age_ns / PENDING_WAIT_DIVISOR);
        timeout_ns = min_i64(timeout_ns, wait_ns);
    }
    if (!client->is_stopping && !client->is_woken) {
        wait_on(client, &client->wake, timeout_ns);
    }
    client->is_woken = false;
    client_unlock(client);
}

static int start_thread(struct tern_client *client, struct tern_error *error) {
    const struct agent_runner_params params = {
        .agent = {"tern-client", client, do_work_on_thread, wait_for_work},
        .idle = client->settings.idle,
        .clock = client->settings.clock,
        .cpu = -1,
    };
    return agent_runner_start(&client->runner, &params, error);
}

tern_client *tern_client_try_connect(const tern_context *context, struct tern_error *error) {
    struct tern_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        (void)error_set(error, -ENOMEM, "no memory for a client");
        return NULL;
    }
    client->settings = *context;
    client->reference_count = 1;
    client->heartbeat_counter_id = COUNTER_NULL_ID;
    client->request_deadline_ns = INT64_MAX;
    init_locks(client);
    if (open_living(client, error) != 0 || derive_sections(client, error) != 0) {
        client_free(client);
        return NULL;
    }
    client->id = ring_mpsc_next_correlation_id(&client->ring);
    int64_t now_ns = clock_now_ns(context->clock);
    client->last_work_ns = now_ns;
    client->keepalive_deadline_ns = now_ns;
    heartbeat_init(&client->driver_heartbeat, cnc_driver_heartbeat_ms(&client->cnc), now_ns);
    (void)futex_barrier_register(); /* not by the first publication: with threads it is slow */
    if (!context->is_invoker && start_thread(client, error) != 0) {
        client_free(client);
        return NULL;
    }
    return client;
}

static void sleep_ns(int64_t duration_ns) {
    struct timespec duration = {duration_ns / NS_PER_S, duration_ns % NS_PER_S};
    (void)nanosleep(&duration, NULL);
}

tern_client *tern_client_connect(const tern_context *context, struct tern_error *error) {
    struct tern_error why = {0};
    int64_t deadline_ns = clock_now_ns(context->clock) + context->driver_timeout_ms * NS_PER_MS;
    for (;;) {
        tern_client *client = tern_client_try_connect(context, &why);
        if (client != NULL) {
            return client;
        }
        if (why.code != -EAGAIN) {
            break;
        }
        if (clock_now_ns(context->clock) >= deadline_ns) {
            why.code = TERN_ERROR_DRIVER_TIMEOUT;
            break;
        }
        sleep_ns(CONNECT_POLL_NS);
    }
    if (error != NULL) {
        *error = why;
    }
    return NULL;
}

int64_t tern_client_now_ns(const tern_client *client) {
    return clock_now_ns(client->settings.clock);
}

int tern_client_do_work(tern_client *client) {
    return tern_client_do_work_at(client, clock_now_ns(client->settings.clock));
}

int tern_client_do_work_at(tern_client *client, int64_t now_ns) {
    return client->runner == NULL ? do_work(client, now_ns) : 0;
}

void tern_client_idle(tern_client *client, int work_count) {
    idle_strategy_idle(&client->settings.idle, NULL, work_count);
}

static void stop_thread(struct tern_client *client) {
    client_lock(client);
    client->is_stopping = true;
    (void)pthread_cond_signal(&client->wake);
    client_unlock(client);
    agent_runner_stop(client->runner);
    client->runner = NULL;
}

/* Before the driver forgets the handles: see the order of leaving in log_wake.h. */
static void leave_logs(struct tern_client *client) {
    for (size_t i = 0; i < client->publications.capacity; i++) {
        if (client->publications.entries[i].value != NULL) {
            client_publication_leave(client->publications.entries[i].value);
        }
    }
}

void tern_client_close(tern_client *client) {
    if (client == NULL) {
        return;
    }
    stop_thread(client);
    client_lock(client);
    assert(!client->is_in_handler);
    if (client->is_closed == 0) {
        (void)client_send_backlog(client);
        leave_logs(client);
        client_send_reliably(client, &(struct command){.type = COMMAND_CLIENT_CLOSE,
                                                       .client_id = client->id,
                                                       .correlation_id = -1});
        client_terminate(client, TERN_ERROR_CLOSED, "closed by the application");
    }
    client_unlock(client);
    client_release(client);
}

void tern_client_succeed(tern_client *client, struct mark_file *mark) {
    const struct cnc_header *driver = client->cnc.header;
    const struct mark_client own = {client->id, driver->pid, driver->start_timestamp_ms};
    const struct mark_client *last = &mark->last_client;
    if (mark->has_last_client && last->client_id != own.client_id &&
        last->driver_pid == own.driver_pid && last->driver_start_ms == own.driver_start_ms) {
        client_lock(client);
        client_send_reliably(client, &(struct command){.type = COMMAND_CLIENT_CLOSE,
                                                       .client_id = last->client_id,
                                                       .correlation_id = -1});
        client_unlock(client);
    }
    mark_file_set_client(mark, &own);
}

bool tern_client_is_closed(const tern_client *client) {
    return load_acquire_i32(&client->is_closed) != 0;
}

int tern_client_status(const tern_client *client, struct tern_error *error) {
    if (!tern_client_is_closed(client)) {
        return 0;
    }
    client_lock(client);
    if (error != NULL) {
        *error = client->status;
    }
    int code = client->status.code;
    client_unlock(client);
    return code;
}

int64_t tern_client_id(const tern_client *client) {
    return client->id;
}

int64_t tern_client_next_correlation_id(tern_client *client) {
    return ring_mpsc_next_correlation_id(&client->ring);
}

const tern_counters_reader *tern_client_counters(const tern_client *client) {
    return &client->counters;
}

/* One slice of waiting for a request: a step of the conductor, or a sleep until it is heard of. */
static void await_slice(struct tern_async *request, int64_t *step_ns) {
    struct tern_client *client = request->client;
    if (client->settings.is_invoker) {
        if (tern_client_do_work(client) > 0) {
            *step_ns = AWAIT_STEP_MIN_NS;
            return;
        }
        sleep_ns(*step_ns);
        *step_ns = min_i64(*step_ns * 2, AWAIT_STEP_MAX_NS);
        return;
    }
    client_lock(client);
    if (load_plain_i32(&request->state) == REQUEST_PENDING) {
        wait_on(client, &client->changed, AWAIT_SLICE_NS);
    }
    client_unlock(client);
}

int client_request_await(struct tern_async *request, int64_t timeout_ns, struct tern_error *error) {
    struct tern_client *client = request->client;
    const struct clock *clock = client->settings.clock;
    client_lock(client);
    bool is_handler = client_is_handler_thread(client);
    client_unlock(client);
    if (is_handler) {
        return error_set(error, -EDEADLK, "a blocking helper was called from a handler");
    }
    int64_t deadline_ns = clock_now_ns(clock) + timeout_ns;
    int64_t step_ns = AWAIT_STEP_MIN_NS;
    while (load_acquire_i32(&request->state) == REQUEST_PENDING) {
        if (clock_now_ns(clock) >= deadline_ns) {
            return error_set(error, -ETIMEDOUT, "no answer of the driver within %lld ms%s%s",
                             (long long)(timeout_ns / NS_PER_MS),
                             request->channel == NULL ? "" : " for ",
                             request->channel == NULL ? "" : request->channel);
        }
        await_slice(request, &step_ns);
    }
    return 0;
}

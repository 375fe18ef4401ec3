/* See observer.h. What the plugin allocates is its own: the host's duty cycle allocates nothing,
 * a growing list does. */
#include "sim/observer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "servicehost/service_host.h"
#include "sim/agenda.h"
#include "sim/checks.h"
#include "sim/owner.h"
#include "sim/workload.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

enum event_kind { EVENT_OPEN, EVENT_CLOSE, EVENT_MESSAGE, EVENT_TIMER, EVENT_TERM };

struct observer {
    struct process *process;
    const struct workload *workload;
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
    void *inner;
    struct agenda agenda;
};

static uint64_t hash_word(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * HASH_PRIME;
    return hash ^ (hash >> 31);
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, int32_t length) {
    for (int32_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * HASH_PRIME;
    }
    return hash;
}

static int enter(const struct observer *observer) {
    return owner_switch(observer->process->owner + 1);
}

static uint64_t state_hash(const struct observer *observer) {
    return observer->workload->state_hash(observer->inner) ^ agenda_hash(&observer->agenda);
}

static void tell(const struct observer *observer, int64_t position, uint64_t event) {
    struct sim *sim = observer->process->sim;
    struct tern_error problem;
    int owner = owner_switch(OWNER_SIMULATOR);
    const struct check_log_entry entry = {position, event, state_hash(observer)};
    history_mix(&sim->history, entry.event ^ entry.state);
    if (!check_log_on_entry(&sim->checks->log, observer->process->machine->index, &entry,
                            &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    owner_switch(owner);
}

static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    struct observer *observer = calloc(1, sizeof *observer);
    assert(observer != NULL);
    observer->process = host->params.log_context;
    observer->workload = observer->process->sim->workload;
    observer->host = host;
    observer->operations = operations;
    agenda_init(&observer->agenda, observer->process, host, operations);
    int owner = enter(observer);
    observer->inner = observer->workload->plugin->create(host, operations, argument, error);
    owner_switch(owner);
    return observer;
}

static void destroy(void *service) {
    struct observer *observer = service;
    observer->workload->plugin->destroy(observer->inner);
    free(observer);
}

static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    struct observer *observer = service;
    struct sim *sim = observer->process->sim;
    struct tern_error problem;
    int owner = enter(observer);
    int result = agenda_load(&observer->agenda, snapshot);
    if (result == 0) {
        result = observer->workload->plugin->on_start(observer->inner, snapshot, error);
    }
    owner_switch(OWNER_SIMULATOR);
    int64_t position = observer->operations->log_position(observer->host);
    if (result == 0 && !check_log_on_start(&sim->checks->log, observer->process->machine->index,
                                           position, state_hash(observer), &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    history_line(&sim->history, "%s: service starts at %lld", observer->process->machine->name,
                 (long long)position);
    owner_switch(owner);
    return result;
}

static uint64_t hash_event(enum event_kind kind, int64_t id, int64_t timestamp) {
    uint64_t hash = hash_word(HASH_START, (uint64_t)kind);
    return hash_word(hash_word(hash, (uint64_t)id), (uint64_t)timestamp);
}

static void on_session_open(void *service, const struct tern_service_session *session,
                            int64_t timestamp) {
    const struct observer *observer = service;
    int owner = enter(observer);
    if (observer->workload->plugin->on_session_open != NULL) {
        observer->workload->plugin->on_session_open(observer->inner, session, timestamp);
    }
    owner_switch(owner);
    tell(observer, observer->operations->log_position(observer->host),
         hash_event(EVENT_OPEN, session->session_id, timestamp));
}

static void on_session_close(void *service, const struct tern_service_session *session,
                             int64_t timestamp, enum tern_cluster_close_reason reason) {
    const struct observer *observer = service;
    int owner = enter(observer);
    if (observer->workload->plugin->on_session_close != NULL) {
        observer->workload->plugin->on_session_close(observer->inner, session, timestamp, reason);
    }
    owner_switch(owner);
    tell(observer, observer->operations->log_position(observer->host),
         hash_word(hash_event(EVENT_CLOSE, session->session_id, timestamp), reason));
}

static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    struct observer *observer = service;
    int64_t session_id = session == NULL ? -1 : session->session_id;
    uint64_t event = hash_bytes(hash_event(EVENT_MESSAGE, session_id, timestamp), buffer, length);
    int owner = enter(observer);
    bool is_workload =
        session != NULL || !agenda_on_message(&observer->agenda, buffer, length, timestamp);
    if (is_workload) {
        observer->workload->plugin->on_session_message(observer->inner, session, timestamp, buffer,
                                                       length);
    }
    if (session != NULL) {
        agenda_on_entry(&observer->agenda, timestamp);
    }
    owner_switch(owner);
    tell(observer, observer->operations->log_position(observer->host), event);
}

static void on_timer_event(void *service, int64_t timer_id, int64_t timestamp) {
    struct observer *observer = service;
    int owner = enter(observer);
    bool is_workload = !agenda_on_timer(&observer->agenda, timer_id, timestamp);
    if (is_workload && observer->workload->plugin->on_timer_event != NULL) {
        observer->workload->plugin->on_timer_event(observer->inner, timer_id, timestamp);
    }
    owner_switch(owner);
    tell(observer, observer->operations->log_position(observer->host),
         hash_event(EVENT_TIMER, timer_id, timestamp));
}

static void on_new_leadership_term(void *service, int64_t leadership_term_id, int64_t log_position,
                                   int64_t timestamp, int32_t leader_member_id) {
    const struct observer *observer = service;
    (void)log_position;
    tell(observer, observer->operations->log_position(observer->host),
         hash_word(hash_event(EVENT_TERM, leadership_term_id, timestamp),
                   (uint64_t)(unsigned)leader_member_id));
}

static int on_take_snapshot(void *service, struct tern_service_snapshot *snapshot,
                            struct tern_error *error) {
    const struct observer *observer = service;
    int result = agenda_save(&observer->agenda, snapshot);
    return result != 0
               ? result
               : observer->workload->plugin->on_take_snapshot(observer->inner, snapshot, error);
}

static const struct tern_service_plugin plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "observed",
    .version = "1",
    .create = create,
    .destroy = destroy,
    .on_start = on_start,
    .on_session_open = on_session_open,
    .on_session_close = on_session_close,
    .on_session_message = on_session_message,
    .on_timer_event = on_timer_event,
    .on_take_snapshot = on_take_snapshot,
    .on_new_leadership_term = on_new_leadership_term,
};

const struct tern_service_plugin *observer_plugin(struct process *process) {
    (void)process;
    return &plugin;
}

void *observer_inner(const struct process *process) {
    const struct tern_service_host *host = process->is_up ? process->instance : NULL;
    const struct observer *observer = host == NULL ? NULL : host->instance;
    return observer == NULL ? NULL : observer->inner;
}

bool observer_is_following(const struct process *process) {
    const struct tern_service_host *host = process->is_up ? process->instance : NULL;
    return host != NULL &&
           (host->state == SERVICE_HOST_FOLLOW || host->state == SERVICE_HOST_SNAPSHOT);
}

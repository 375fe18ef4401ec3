/* Requests to the local archive and their answers (see archive_link.h). Polled once per duty cycle
 * by the consensus module; all callbacks run inside archive_link_poll. */
#include "consensusd/archive_link.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "shm/counter_types.h"

#define NO_SERVER (-1)
#define SILENT_COUNT_MAX 2 /* seconds: four heartbeats of a client */

static struct archive_request *find(struct archive_link *link, int64_t correlation_id) {
    for (int32_t i = 0; i < link->pending_count; i++) {
        if (link->pending[i]->correlation_id == correlation_id) {
            return link->pending[i];
        }
    }
    return NULL;
}

static void settle(struct archive_link *link, struct archive_request *request,
                   enum archive_request_state state) {
    archive_link_cancel(link, request);
    request->state = state;
}

static void on_response(void *context, const struct tern_archive_response *response) {
    struct archive_link *link = context;
    struct archive_request *request = find(link, response->correlation_id);
    struct tern_error error = {0};
    if (response->code == TERN_ARCHIVE_ERROR) {
        error_set(&error, TERN_ERROR_ARCHIVE_BASE - (int)response->relevant_id, "archive: %.200s",
                  response->text);
    } else if (response->code != TERN_ARCHIVE_OK) {
        error_set(&error, -ENOENT, "archive: unknown recording or subscription %lld",
                  (long long)response->relevant_id);
    }
    if (request == NULL) {
        if (response->code == TERN_ARCHIVE_ERROR) {
            link->handlers.on_error(link->handlers.context, response->correlation_id, &error);
        }
        return;
    }
    request->result = response->relevant_id;
    request->error = error;
    settle(link, request, error.code == 0 ? ARCHIVE_REQUEST_DONE : ARCHIVE_REQUEST_FAILED);
}

static void on_recording(void *context, const struct tern_archive_recording *recording) {
    struct archive_link *link = context;
    struct archive_request *request = find(link, recording->correlation_id);
    if (request == NULL) {
        return;
    }
    link->recording = (struct archive_recording){
        .recording_id = recording->recording_id,
        .start_position = recording->start_position,
        .stop_position = recording->stop_position,
        .initial_term_id = recording->initial_term_id,
        .term_length = recording->term_length,
        .mtu_length = recording->mtu_length,
        .session_id = recording->session_id,
    };
    request->result = recording->recording_id;
    settle(link, request, ARCHIVE_REQUEST_DONE);
}

static void on_signal(void *context, const struct tern_archive_signal *signal) {
    struct archive_link *link = context;
    link->handlers.on_signal(link->handlers.context, signal);
}

/* An archive as the driver's counters show it: by its error counter. */
struct server {
    int64_t id; /* registration; those of a driver grow */
    int64_t client_id;
};

struct search {
    int64_t archive_id;
    struct server own;    /* the newest with the id of the session's archive */
    struct server newest; /* of all */
};

static int on_counter(void *context, const struct tern_counter_info *info) {
    struct search *search = context;
    const struct server server = {info->registration_id, info->owner_id};
    if (info->type_id != COUNTER_TYPE_ARCHIVE_ERRORS) {
        return 0;
    }
    if (get_i64(info->key) == search->archive_id && server.id > search->own.id) {
        search->own = server;
    }
    if (server.id > search->newest.id) {
        search->newest = server;
    }
    return 0;
}

/* An archive without an id, or one on another driver, is not seen. */
static struct search find_servers(const struct archive_link *link) {
    struct search search = {tern_archive_id(link->archive), {NO_SERVER, -1}, {NO_SERVER, -1}};
    if (search.archive_id != TERN_ARCHIVE_NULL) {
        (void)tern_counters_for_each(tern_client_counters(link->client), on_counter, &search);
    }
    return search;
}

/* When the client was alive last, epoch milliseconds. */
static bool find_heartbeat(const struct archive_link *link, int64_t client_id, int64_t *time_ms) {
    const tern_counters_reader *counters = tern_client_counters(link->client);
    int32_t id = tern_counters_find(counters, COUNTER_TYPE_CLIENT_HEARTBEAT, client_id);
    if (id == TERN_NULL_COUNTER_ID) {
        return false;
    }
    *time_ms = tern_counters_value(counters, id);
    return true;
}

int archive_link_open(struct archive_link *link, const struct tern_archive_params *params,
                      const struct archive_link_handlers *handlers, struct tern_error *error) {
    memset(link, 0, sizeof *link);
    link->server_id = NO_SERVER;
    link->client = params->client;
    link->handlers = *handlers;
    link->timeout_ns = params->message_timeout_ns;
    link->archive_handlers =
        (struct tern_archive_handlers){link, on_response, on_recording, NULL, on_signal};
    struct tern_archive_params connect = *params;
    connect.handlers = link->archive_handlers;
    return tern_archive_connect_begin(&link->connecting, &connect, error);
}

int archive_link_connect_step(struct archive_link *link, int64_t now_ns, struct tern_error *error) {
    if (link->connecting == NULL) {
        return link->archive != NULL ? 1 : -ENOTCONN;
    }
    int result = tern_archive_connect_poll(link->connecting, now_ns, &link->archive, error);
    if (result != 0) {
        link->connecting = NULL;
    }
    if (result == 1) {
        const struct search found = find_servers(link);
        link->server_id = found.own.id;
        link->server_client_id = found.own.client_id;
    }
    return result;
}

/* The times are of a clock that may be stepped between the beats of two clients: they are not
 * compared with each other. What counts is that one goes on and the other does not. */
static bool is_succeeded(struct archive_link *link, const struct server *successor) {
    int64_t own_ms;
    int64_t successor_ms;
    if (!find_heartbeat(link, link->server_client_id, &own_ms) ||
        !find_heartbeat(link, successor->client_id, &successor_ms)) {
        return false;
    }
    if (own_ms != link->server_beat_ms || successor->id != link->successor_id) {
        link->silent_count = 0;
    } else if (successor_ms != link->successor_beat_ms) {
        link->silent_count++;
    }
    link->server_beat_ms = own_ms;
    link->successor_id = successor->id;
    link->successor_beat_ms = successor_ms;
    return link->silent_count >= SILENT_COUNT_MAX;
}

/* An archive that is killed leaves its counters for as long as the driver waits for its client. By
 * default its successor has another id: then it is a newer archive that lives while ours does not.
 */
bool archive_link_is_lost(struct archive_link *link) {
    const struct search found = find_servers(link);
    if (link->server_id == NO_SERVER) {
        return false;
    }
    if (found.own.id != link->server_id) {
        return true;
    }
    return found.newest.id != link->server_id && is_succeeded(link, &found.newest);
}

static void expire(struct archive_link *link, int64_t now_ns) {
    for (int32_t i = link->pending_count - 1; i >= 0; i--) {
        struct archive_request *request = link->pending[i];
        if (now_ns > request->deadline_ns) {
            error_set(&request->error, -ETIMEDOUT, "the archive does not answer");
            settle(link, request, ARCHIVE_REQUEST_FAILED);
        }
    }
}

int archive_link_poll(struct archive_link *link, int64_t now_ns) {
    int work = tern_archive_poll(link->archive, &link->archive_handlers);
    if (link->pending_count > 0 && work == 0) {
        expire(link, now_ns);
    }
    return work;
}

int archive_link_sent(struct archive_link *link, struct archive_request *request, int64_t sent,
                      int64_t now_ns) {
    assert(request->state != ARCHIVE_REQUEST_PENDING);
    assert(link->pending_count < ARCHIVE_LINK_REQUESTS_MAX); /* one per owner, few owners */
    if (sent == -EAGAIN) {
        return 0;
    }
    if (sent < 0) {
        request->state = ARCHIVE_REQUEST_FAILED;
        return error_set(&request->error, (int)sent, "cannot ask the archive: %s",
                         tern_error_name((int)sent));
    }
    *request = (struct archive_request){.state = ARCHIVE_REQUEST_PENDING,
                                        .correlation_id = sent,
                                        .deadline_ns = now_ns + link->timeout_ns};
    link->pending[link->pending_count++] = request;
    return 1;
}

void archive_link_cancel(struct archive_link *link, struct archive_request *request) {
    request->state = ARCHIVE_REQUEST_IDLE;
    for (int32_t i = 0; i < link->pending_count; i++) {
        if (link->pending[i] == request) {
            link->pending[i] = link->pending[--link->pending_count];
            return;
        }
    }
}

void archive_link_close(struct archive_link *link) {
    tern_archive_connect_cancel(link->connecting);
    tern_archive_close(link->archive);
    link->connecting = NULL;
    link->archive = NULL;
    link->pending_count = 0;
}

/* Requests to the local archive and their answers (see archive_link.h). Polled once per duty cycle
 * by the consensus module; all callbacks run inside archive_link_poll. */
#include "consensusd/archive_link.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

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

int archive_link_open(struct archive_link *link, const struct tern_archive_params *params,
                      const struct archive_link_handlers *handlers, struct tern_error *error) {
    memset(link, 0, sizeof *link);
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
    return result;
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

/* Sessions in one sorted array: ids only grow, so adding is appending, and iteration in the order
 * of ids, which snapshots need, is a walk. */
#include "servicehost/host_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define CAPACITY_MIN 16

/* Index of the first session whose id is not below `session_id`. */
static int lower_bound(const struct host_sessions *sessions, int64_t session_id) {
    int low = 0;
    int high = sessions->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (sessions->by_id[middle]->public.session_id < session_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool make_room(struct host_sessions *sessions) {
    if (sessions->count < sessions->capacity) {
        return true;
    }
    int capacity = sessions->capacity == 0 ? CAPACITY_MIN : sessions->capacity * 2;
    void *bigger = realloc(sessions->by_id, (size_t)capacity * sizeof *sessions->by_id);
    if (bigger == NULL) {
        return false;
    }
    sessions->by_id = bigger;
    sessions->capacity = capacity;
    return true;
}

/* One allocation holds the struct, the channel with its NUL, and the principal. */
static struct host_session *create(const struct host_session_params *params) {
    size_t channel_length = (size_t)params->response_channel_length;
    size_t principal_length = (size_t)params->principal_length;
    struct host_session *session =
        calloc(1, sizeof *session + channel_length + 1 + principal_length);
    if (session == NULL) {
        return NULL;
    }
    char *channel = (char *)(session + 1);
    char *principal = channel + channel_length + 1;
    memcpy(channel, params->response_channel, channel_length);
    if (principal_length > 0) {
        memcpy(principal, params->principal, principal_length);
    }
    session->public = (struct tern_service_session){
        .session_id = params->session_id,
        .response_stream_id = params->response_stream_id,
        .response_channel = channel,
        .principal = principal,
        .principal_length = params->principal_length,
    };
    return session;
}

struct host_session *host_sessions_add(struct host_sessions *sessions,
                                       const struct host_session_params *params) {
    int index = lower_bound(sessions, params->session_id);
    bool is_known =
        index < sessions->count && sessions->by_id[index]->public.session_id == params->session_id;
    if (is_known || !make_room(sessions)) {
        return NULL;
    }
    struct host_session *session = create(params);
    if (session == NULL) {
        return NULL;
    }
    memmove(&sessions->by_id[index + 1], &sessions->by_id[index],
            (size_t)(sessions->count - index) * sizeof *sessions->by_id);
    sessions->by_id[index] = session;
    sessions->count++;
    return session;
}

struct host_session *host_sessions_find(const struct host_sessions *sessions, int64_t session_id) {
    int index = lower_bound(sessions, session_id);
    if (index == sessions->count || sessions->by_id[index]->public.session_id != session_id) {
        return NULL;
    }
    return sessions->by_id[index];
}

struct host_session *host_sessions_next(const struct host_sessions *sessions, int64_t session_id) {
    if (session_id == INT64_MAX) {
        return NULL;
    }
    int index = lower_bound(sessions, session_id + 1);
    return index < sessions->count ? sessions->by_id[index] : NULL;
}

void host_sessions_remove(struct host_sessions *sessions, struct host_session *session) {
    int index = lower_bound(sessions, session->public.session_id);
    assert(sessions->by_id[index] == session);
    sessions->count--;
    memmove(&sessions->by_id[index], &sessions->by_id[index + 1],
            (size_t)(sessions->count - index) * sizeof *sessions->by_id);
    host_session_disconnect(session);
    free(session);
}

void host_sessions_close(struct host_sessions *sessions) {
    for (int i = 0; i < sessions->count; i++) {
        host_session_disconnect(sessions->by_id[i]);
        free(sessions->by_id[i]);
    }
    free(sessions->by_id);
    *sessions = (struct host_sessions){0};
}

void host_session_connect(struct host_session *session, tern_client *client) {
    if (session->egress == NULL && session->egress_request == NULL) {
        session->egress_request = tern_client_async_add_publication(
            client, session->public.response_channel, session->public.response_stream_id, NULL);
    }
}

void host_session_disconnect(struct host_session *session) {
    tern_async_cancel(session->egress_request);
    tern_publication_close(session->egress);
    session->egress_request = NULL;
    session->egress = NULL;
    session->retry_deadline_ns = 0;
}

int host_session_poll(struct host_session *session, struct tern_error *error) {
    error->code = 0;
    if (session->egress_request == NULL) {
        return 0;
    }
    int result = tern_async_poll_publication(session->egress_request, &session->egress, error);
    if (result == 0) {
        return 0;
    }
    session->egress_request = NULL;
    return result > 0;
}

/* The life of client sessions (see module_sessions.h; one session is module_session.c).
 *
 * A connect request makes a session that is pending until its response channel is connected; then
 * the leader appends SessionOpenEvent and it is open. Opening and closing are entries of the log,
 * so every member's table is the same at the same position. What a leader did beyond the commit
 * position is undone when it loses its office.
 *
 * Backups ask on the consensus stream and are answered by sessions too, on every member; what
 * answers them is in backup_answer.c.
 */
#include "consensusd/module_sessions.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/backup_answer.h"
#include "consensusd/consensus.h"

#define LIST_INITIAL 16
#define CLIENT_VERSION_MAJOR 0
#define CLUSTER_VERSION_TEXT "0.3.0"

/* -- lists -- */

static int push(struct module_session_list *list, struct module_session *session) {
    if (list->count == list->capacity) {
        int32_t capacity = list->capacity == 0 ? LIST_INITIAL : 2 * list->capacity;
        struct module_session **items =
            realloc(list->items, (size_t)capacity * sizeof(struct module_session *));
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = session;
    return 0;
}

static void remove_at(struct module_session_list *list, int32_t index) {
    memmove(&list->items[index], &list->items[index + 1],
            (size_t)(list->count - index - 1) * sizeof(struct module_session *));
    list->count--;
}

static void destroy_all(struct module_session_list *list) {
    for (int32_t i = 0; i < list->count; i++) {
        module_session_destroy(list->items[i]);
    }
    list->count = 0;
}

int module_sessions_open(struct module_sessions *sessions, int32_t sessions_max,
                         struct tern_error *error) {
    memset(sessions, 0, sizeof *sessions);
    sessions->next_session_id = 1;
    sessions->next_committed_session_id = 1;
    /* Reserved once, so that a full house allocates nothing for the lists. */
    struct module_session_list *lists[] = {&sessions->open, &sessions->pending, &sessions->closed};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        lists[i]->items = calloc((size_t)sessions_max, sizeof(struct module_session *));
        if (lists[i]->items == NULL) {
            return error_set(error, -ENOMEM, "no memory for %d sessions", sessions_max);
        }
        lists[i]->capacity = sessions_max;
    }
    return 0;
}

void module_sessions_close(struct module_sessions *sessions) {
    struct module_session_list *lists[] = {&sessions->open, &sessions->pending, &sessions->refused,
                                           &sessions->closed};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        destroy_all(lists[i]);
        free(lists[i]->items);
        *lists[i] = (struct module_session_list){0};
    }
    hash_map_close(&sessions->by_id);
}

int module_sessions_add_open(struct module_sessions *sessions, struct module_session *session) {
    struct module_session_list *list = &sessions->open;
    if (module_sessions_find(sessions, session->id) != NULL) {
        return -EEXIST;
    }
    int result = push(list, session);
    if (result == 0) {
        result = hash_map_put(&sessions->by_id, session->id, session);
        list->count -= result < 0;
    }
    if (result < 0) {
        return result;
    }
    int32_t at = list->count - 1;
    for (; at > 0 && list->items[at - 1]->id > session->id; at--) {
        list->items[at] = list->items[at - 1];
    }
    list->items[at] = session;
    return 0;
}

void module_sessions_remove_open(struct module_sessions *sessions, struct module_session *session) {
    hash_map_remove(&sessions->by_id, session->id);
    for (int32_t i = 0; i < sessions->open.count; i++) {
        if (sessions->open.items[i] == session) {
            remove_at(&sessions->open, i);
            return;
        }
    }
}

/* -- requests -- */

static void refuse(struct consensus *consensus, struct module_session *session, int32_t code,
                   const char *detail) {
    struct module_sessions *sessions = &consensus->sessions;
    if (session->state != MODULE_SESSION_INVALID) {
        session->state = MODULE_SESSION_REJECTED;
    }
    session->event_code = code;
    snprintf(session->event_detail, sizeof session->event_detail, "%s", detail);
    if (sessions->refused.count >= MODULE_SESSIONS_REFUSED_MAX ||
        push(&sessions->refused, session) < 0) {
        module_session_destroy(session);
    }
}

/* Who it is, for people: what the client says, where from, and the id of its ingress stream. */
static void describe(struct consensus *consensus, struct module_session *session,
                     const struct module_session_request *request) {
    static const char *const actions[] = {"CLIENT", "HEARTBEAT", "STANDBY_SNAPSHOT", "BACKUP"};
    char label[TERN_COUNTER_LABEL_MAX];
    if (request->header == NULL) {
        session->counter_label = strdup(actions[request->action]);
        return;
    }
    session->ingress_session_id = tern_header_session_id(request->header);
    tern_image *image = module_ingress_image(&consensus->ingress, session->ingress_session_id);
    if (image != NULL && consensus_is_leading(consensus)) {
        session->ingress_image_id = tern_image_correlation_id(image);
    }
    snprintf(label, sizeof label, "%.*s sourceIdentity=%s sessionId=%d",
             min_i32(request->client_info.length, TERN_COUNTER_LABEL_MAX / 2),
             request->client_info.text == NULL ? "" : request->client_info.text,
             image == NULL ? "unknown" : tern_image_source_identity(image),
             session->ingress_session_id);
    tern_image_release(image);
    session->counter_label = strdup(label);
}

static bool refuse_version(struct consensus *consensus, struct module_session *session,
                           int32_t version) {
    char detail[128];
    if (version >> 16 == CLIENT_VERSION_MAJOR) {
        return false;
    }
    snprintf(detail, sizeof detail, "invalid client version %d.%d.%d, %s" CLUSTER_VERSION_TEXT,
             (version >> 16) & 255, (version >> 8) & 255, version & 255,
             session->action == MODULE_SESSION_CLIENT ? "cluster is " : "cluster=");
    refuse(consensus, session, CLUSTER_EVENT_CODE_ERROR, detail);
    return true;
}

static void admit_later(struct consensus *consensus, struct module_session *session) {
    if (push(&consensus->sessions.pending, session) < 0) {
        module_session_destroy(session);
    }
}

static bool is_full(const struct consensus *consensus) {
    const struct module_sessions *sessions = &consensus->sessions;
    return sessions->pending.count + sessions->open.count >= consensus->conf->sessions_max;
}

void module_sessions_on_request(struct consensus *consensus,
                                const struct module_session_request *request) {
    bool is_client = request->action == MODULE_SESSION_CLIENT;
    bool is_leader = consensus_is_leading(consensus);
    if (!is_client &&
        (raft_is_in_election(&consensus->raft) || consensus->state > MODULE_STATE_SNAPSHOT)) {
        return; /* a backup asks again */
    }
    const struct module_session_params params = {
        .id =
            is_client && is_leader ? consensus->sessions.next_session_id++ : MODULE_SESSION_NULL_ID,
        .correlation_id = request->correlation_id,
        .response_stream_id = request->response_stream_id,
        .response_channel = request->response_channel,
        .now_ns = consensus->now_ns,
    };
    struct module_session *session = module_session_create(&params);
    if (session == NULL) {
        return;
    }
    session->action = request->action;
    session->reply_position = request->log_position;
    describe(consensus, session, request);
    module_session_connect(session, consensus->client, consensus->conf);
    if (is_client && !is_leader) {
        refuse(consensus, session, CLUSTER_EVENT_CODE_REDIRECT, consensus->members.ingress);
    } else if (refuse_version(consensus, session, request->version)) {
        return;
    } else if (is_full(consensus)) {
        refuse(consensus, session, CLUSTER_EVENT_CODE_ERROR, "concurrent session limit");
    } else if (request->action == MODULE_SESSION_STANDBY_SNAPSHOT) {
        refuse(consensus, session, CLUSTER_EVENT_CODE_ERROR,
               "Not configured to accept StandbySnapshot");
    } else {
        admit_later(consensus, session);
    }
}

/* -- answers -- */

static bool send_event(struct consensus *consensus, struct module_session *session, int32_t code,
                       const char *detail) {
    const struct module_session_event event = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .leader_member_id = consensus->raft.leader_id,
        .code = code,
        .detail = detail,
        .leader_heartbeat_timeout_ns = consensus->conf->leader_heartbeat_timeout_ns,
    };
    return module_session_send_event(session, &event);
}

static bool is_too_old(const struct consensus *consensus, const struct module_session *session) {
    return consensus->now_ns - session->activity_ns > consensus->conf->session_timeout_ns;
}

int module_sessions_refuse(struct consensus *consensus) {
    struct module_session_list *list = &consensus->sessions.refused;
    int work = 0;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct module_session *session = list->items[i];
        module_session_poll(session);
        bool is_over = session->state == MODULE_SESSION_INVALID || is_too_old(consensus, session);
        if (!is_over && module_session_is_connected(session)) {
            is_over = send_event(consensus, session, session->event_code, session->event_detail);
        }
        if (is_over) {
            remove_at(list, i);
            module_session_destroy(session);
            work++;
        }
    }
    return work;
}

/* Nobody is asked for credentials yet: whoever is connected is authenticated. */
static void advance(struct consensus *consensus, struct module_session *session) {
    module_session_poll(session);
    if (session->state == MODULE_SESSION_INIT && session->publication != NULL) {
        session->state = MODULE_SESSION_CONNECTING;
        session->activity_ns = consensus->now_ns;
    }
    if (session->state == MODULE_SESSION_CONNECTING && module_session_is_connected(session)) {
        session->state = MODULE_SESSION_AUTHENTICATED;
    }
}

static bool open_session(struct consensus *consensus, struct module_session *session) {
    const struct cluster_session_open_event event = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .correlation_id = session->correlation_id,
        .cluster_session_id = session->id,
        .timestamp = consensus->cluster_time,
        .response_stream_id = session->response_stream_id,
        .response_channel = {session->response_channel, (int32_t)strlen(session->response_channel)},
        .encoded_principal = {"", 0},
    };
    int64_t position = log_publisher_append_open(&consensus->publisher, &event);
    if (position == TERN_PUBLICATION_ERROR) {
        session->state = MODULE_SESSION_INVALID; /* its response channel does not fit the log */
        return false;
    }
    if (position < 0) {
        return false;
    }
    session->state = MODULE_SESSION_OPEN;
    session->opened_position = position;
    session->activity_ns = consensus->now_ns;
    session->has_open_event = true;
    return true;
}

/* Take a pending session one step further: true when it leaves the list. */
static bool admit(struct consensus *consensus, struct module_session *session, bool *is_kept) {
    bool is_old = session->state != MODULE_SESSION_INIT && is_too_old(consensus, session);
    *is_kept = false;
    if (session->state == MODULE_SESSION_INVALID || is_old) {
        if (is_old && session->action == MODULE_SESSION_CLIENT) {
            module_counters_add(&consensus->counters, MODULE_COUNTER_TIMED_OUT_CLIENTS, 1);
        }
        return true;
    }
    advance(consensus, session);
    if (session->state != MODULE_SESSION_AUTHENTICATED) {
        return false;
    }
    if (session->action != MODULE_SESSION_CLIENT) {
        return backup_answer(consensus, session);
    }
    if (!consensus_is_leading(consensus) || !module_session_has_window(session)) {
        return false;
    }
    *is_kept = open_session(consensus, session);
    return *is_kept;
}

static int admit_all(struct consensus *consensus, bool are_clients_admitted) {
    struct module_session_list *list = &consensus->sessions.pending;
    int work = 0;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct module_session *session = list->items[i];
        bool is_kept;
        if (session->action == MODULE_SESSION_CLIENT && !are_clients_admitted) {
            continue;
        }
        if (!admit(consensus, session, &is_kept)) {
            continue;
        }
        remove_at(list, i);
        work++;
        if (!is_kept || module_sessions_add_open(&consensus->sessions, session) != 0) {
            module_session_destroy(session);
        }
    }
    return work;
}

int module_sessions_admit(struct consensus *consensus) {
    return consensus->sessions.pending.count == 0 ? 0 : admit_all(consensus, true);
}

int module_sessions_answer_backups(struct consensus *consensus) {
    return consensus->sessions.pending.count == 0 ? 0 : admit_all(consensus, false);
}

/* -- closing -- */

static const char *reason_name(int32_t reason) {
    return cluster_close_reason_name(reason);
}

bool module_sessions_try_close(struct consensus *consensus, struct module_session *session) {
    assert(session->state == MODULE_SESSION_CLOSING);
    const struct cluster_session_close_event event = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .cluster_session_id = session->id,
        .timestamp = consensus->cluster_time,
        .close_reason = session->close_reason,
    };
    int64_t position = log_publisher_append_close(&consensus->publisher, &event);
    if (position < 0) {
        return false;
    }
    if (session->close_reason != CLUSTER_CLOSE_REASON_CLIENT_ACTION) {
        send_event(consensus, session, CLUSTER_EVENT_CODE_CLOSED,
                   reason_name(session->close_reason));
    }
    if (session->close_reason == CLUSTER_CLOSE_REASON_TIMEOUT) {
        module_counters_add(&consensus->counters, MODULE_COUNTER_TIMED_OUT_CLIENTS, 1);
    }
    session->closed_position = position;
    module_session_disconnect(session);
    module_sessions_remove_open(&consensus->sessions, session);
    if (push(&consensus->sessions.closed, session) < 0) {
        module_session_destroy(session);
    }
    return true;
}

static bool send_new_leader(struct consensus *consensus, struct module_session *session) {
    uint8_t buffer[CLUSTER_NEW_LEADER_EVENT_LENGTH_MIN + MEMBERS_INGRESS_TEXT_MAX];
    const char *endpoints = consensus->members.ingress;
    const struct cluster_new_leader_event event = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .cluster_session_id = session->id,
        .leader_member_id = consensus->conf->member_id,
        .ingress_endpoints = {endpoints, (int32_t)strlen(endpoints)},
    };
    int32_t length = cluster_new_leader_event_encode(&event, buffer, sizeof buffer);
    return module_session_send(session, buffer, length);
}

/* One of the events that are due. */
static bool send_due_event(struct consensus *consensus, struct module_session *session) {
    if (!module_session_is_connected(session)) {
        return false;
    }
    if (session->has_open_event) {
        session->has_open_event = !send_event(consensus, session, CLUSTER_EVENT_CODE_OK, "");
        return !session->has_open_event;
    }
    session->has_new_leader_event = !send_new_leader(consensus, session);
    return !session->has_new_leader_event;
}

/* What cannot be done now is no work: else it would be tried in every cycle, not in every tick. */
static int check_one(struct consensus *consensus, struct module_session *session) {
    if (session->publication_request != NULL || session->counter_request != NULL) {
        module_session_poll(session);
    }
    if (is_too_old(consensus, session) && session->state == MODULE_SESSION_OPEN) {
        module_session_close(session, CLUSTER_CLOSE_REASON_TIMEOUT);
    }
    if (session->state == MODULE_SESSION_CLOSING) {
        return module_sessions_try_close(consensus, session);
    }
    /* Stricter than the original: a session that a new leader may not know is no session yet. */
    bool is_event_due = session->has_open_event
                            ? consensus->raft.commit_position >= session->opened_position
                            : session->has_new_leader_event;
    return is_event_due && send_due_event(consensus, session);
}

int module_sessions_check(struct consensus *consensus) {
    struct module_session_list *list = &consensus->sessions.open;
    int work = 0;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        work += check_one(consensus, list->items[i]);
    }
    return work;
}

void module_sessions_on_image_lost(struct consensus *consensus, int64_t image_id) {
    struct module_session_list *list = &consensus->sessions.open;
    bool closes = consensus_is_leading(consensus) && consensus->state == MODULE_STATE_ACTIVE;
    for (int32_t i = list->count - 1; i >= 0; i--) {
        struct module_session *session = list->items[i];
        if (session->ingress_image_id != image_id) {
            continue;
        }
        session->ingress_image_id = -1;
        if (closes && session->state == MODULE_SESSION_OPEN) {
            module_session_close(session, CLUSTER_CLOSE_REASON_TIMEOUT);
            (void)module_sessions_try_close(consensus, session);
        }
    }
}

/* -- commit, loss and gain of leadership -- */

void module_sessions_on_commit(struct module_sessions *sessions, int64_t position) {
    for (int32_t i = sessions->closed.count - 1; i >= 0; i--) {
        struct module_session *session = sessions->closed.items[i];
        if (session->closed_position <= position) {
            sessions->next_committed_session_id =
                max_i64(sessions->next_committed_session_id, session->id + 1);
            module_session_destroy(session);
            remove_at(&sessions->closed, i);
        }
    }
    /* Ids are given in order and mostly opened in order: the newest stand at the end. */
    for (int32_t i = sessions->open.count - 1; i >= 0; i--) {
        const struct module_session *session = sessions->open.items[i];
        if (session->id < sessions->next_committed_session_id) {
            break;
        }
        if (session->opened_position <= position) {
            sessions->next_committed_session_id = session->id + 1;
            break;
        }
    }
}

void module_sessions_roll_back(struct consensus *consensus, int64_t position) {
    struct module_sessions *sessions = &consensus->sessions;
    module_sessions_on_commit(sessions, position);
    for (int32_t i = sessions->closed.count - 1; i >= 0; i--) {
        struct module_session *session = sessions->closed.items[i];
        remove_at(&sessions->closed, i);
        session->state = MODULE_SESSION_CLOSING;
        session->closed_position = -1;
        if (module_sessions_add_open(sessions, session) != 0) {
            module_session_destroy(session);
        }
    }
    for (int32_t i = sessions->open.count - 1; i >= 0; i--) {
        struct module_session *session = sessions->open.items[i];
        session->ingress_image_id = -1;
        session->has_open_event = false;
        session->has_new_leader_event = false;
        if (session->opened_position > position) {
            send_event(consensus, session, CLUSTER_EVENT_CODE_CLOSED, "election");
            module_sessions_remove_open(sessions, session);
            module_session_destroy(session);
        } else {
            module_session_disconnect(session);
        }
    }
    for (int32_t i = 0; i < sessions->pending.count; i++) {
        send_event(consensus, sessions->pending.items[i], CLUSTER_EVENT_CODE_CLOSED, "election");
    }
    destroy_all(&sessions->pending);
}

void module_sessions_on_leader(struct consensus *consensus, bool is_startup) {
    struct module_session_list *list = &consensus->sessions.open;
    for (int32_t i = 0; i < list->count; i++) {
        struct module_session *session = list->items[i];
        if (session->state != MODULE_SESSION_OPEN) {
            continue;
        }
        if (is_startup) {
            module_session_close(session, CLUSTER_CLOSE_REASON_TIMEOUT);
            continue;
        }
        module_session_connect(session, consensus->client, consensus->conf);
        session->activity_ns = consensus->now_ns;
        session->has_new_leader_event = true;
        if (session->state == MODULE_SESSION_INVALID) {
            module_session_close(session, CLUSTER_CLOSE_REASON_TIMEOUT);
        }
    }
}

void module_sessions_refresh(struct module_sessions *sessions, int64_t now_ns) {
    for (int32_t i = 0; i < sessions->open.count; i++) {
        if (sessions->open.items[i]->state == MODULE_SESSION_OPEN) {
            sessions->open.items[i]->activity_ns = now_ns;
        }
    }
}

/* The sessions of a consensus module: those in the log, those that wait to be opened, those that
 * wait for a refusal (cluster.md 3.10, 3.16). */
#ifndef TERN_CONSENSUSD_MODULE_SESSIONS_H
#define TERN_CONSENSUSD_MODULE_SESSIONS_H

#include "base/hash_map.h"
#include "consensusd/module_session.h"

struct consensus;
struct tern_header;

/* Refusals and redirects that wait for their client; more are dropped, clients ask again. */
#define MODULE_SESSIONS_REFUSED_MAX 256

struct module_session_list {
    struct module_session **items;
    int32_t count;
    int32_t capacity;
};

/* Owned by the consensus module. */
struct module_sessions {
    struct hash_map by_id;           /* of `open` */
    struct module_session_list open; /* in the log, sorted by id: OPEN or CLOSING */
    struct module_session_list pending;
    struct module_session_list refused;
    struct module_session_list closed; /* closed by entries that are not committed yet */
    int64_t next_session_id;
    int64_t next_committed_session_id;
};

int module_sessions_open(struct module_sessions *sessions, int32_t sessions_max,
                         struct tern_error *error);
void module_sessions_close(struct module_sessions *sessions);

static inline struct module_session *module_sessions_find(const struct module_sessions *sessions,
                                                          int64_t id) {
    return hash_map_get(&sessions->by_id, id);
}

/* From log and snapshot. -EEXIST, -ENOMEM. */
int module_sessions_add_open(struct module_sessions *sessions, struct module_session *session);
void module_sessions_remove_open(struct module_sessions *sessions, struct module_session *session);

/* -- with the module's help -- */

/* SessionConnectRequest and the requests of backups that ask for an answer by a session. */
struct module_session_request {
    enum module_session_action action;
    int64_t correlation_id;
    int32_t response_stream_id;
    int32_t version;
    int64_t log_position; /* BACKUP */
    struct text_slice response_channel;
    struct text_slice client_info;
    const struct tern_header *header; /* of the ingress fragment; NULL: not from ingress */
};
void module_sessions_on_request(struct consensus *consensus,
                                const struct module_session_request *request);
/* Slow tick. Answers that are due on any member; returns the work done. */
int module_sessions_refuse(struct consensus *consensus);
/* Slow tick of a leader in ACTIVE. */
int module_sessions_admit(struct consensus *consensus);
int module_sessions_check(struct consensus *consensus);
/* Slow tick of a follower: requests of backups only. */
int module_sessions_answer_backups(struct consensus *consensus);

/* Append the close to the log now and give the session up; false when there is no room: the next
 * check does it. */
bool module_sessions_try_close(struct consensus *consensus, struct module_session *session);
/* The client's ingress image is gone. */
void module_sessions_on_image_lost(struct consensus *consensus, int64_t image_id);

/* Entries up to `position` are committed. */
void module_sessions_on_commit(struct module_sessions *sessions, int64_t position);
/* Leadership is lost: undo what is not committed, disconnect all. */
void module_sessions_roll_back(struct consensus *consensus, int64_t position);
/* This node leads now. */
void module_sessions_on_leader(struct consensus *consensus, bool is_startup);
/* Snapshots and suspensions are not the clients' fault. */
void module_sessions_refresh(struct module_sessions *sessions, int64_t now_ns);

#endif

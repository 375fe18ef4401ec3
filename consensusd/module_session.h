/* A client session as the consensus module keeps it (cluster.md 3.10). */
#ifndef TERN_CONSENSUSD_MODULE_SESSION_H
#define TERN_CONSENSUSD_MODULE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/client.h>

#include "consensusd/consensus_conf.h"
#include "wire/cluster_codec.h"

#define MODULE_SESSION_NULL_ID (-1)
#define MODULE_SESSION_PRINCIPAL_MAX 4096
#define MODULE_SESSION_DETAIL_MAX MEMBERS_INGRESS_TEXT_MAX

enum module_session_state {
    MODULE_SESSION_INIT,
    MODULE_SESSION_CONNECTING,
    MODULE_SESSION_CONNECTED,
    MODULE_SESSION_AUTHENTICATED,
    MODULE_SESSION_OPEN,
    MODULE_SESSION_CLOSING,
    MODULE_SESSION_REJECTED, /* an answer is to be sent, then it is dropped: redirects, too */
    MODULE_SESSION_INVALID,  /* its response channel cannot be made */
};

/* What the session was opened for. */
enum module_session_action {
    MODULE_SESSION_CLIENT,
    MODULE_SESSION_HEARTBEAT,
    MODULE_SESSION_STANDBY_SNAPSHOT,
    MODULE_SESSION_BACKUP,
};

/* On the heap; owned by the table or list that it is in. */
struct module_session {
    int64_t id;
    int64_t correlation_id;
    int64_t opened_position;
    int64_t closed_position; /* RAFT_NULL: not closed in the log */
    int64_t activity_ns;
    int64_t ingress_image_id; /* correlation id of the image; -1: none linked */
    int32_t ingress_session_id;
    int32_t response_stream_id;
    enum module_session_state state;
    enum module_session_action action;
    int32_t close_reason; /* enum cluster_close_reason */
    bool has_open_event;  /* to be sent */
    bool has_new_leader_event;
    int64_t reply_position; /* BACKUP: log position of the query */
    /* what is sent when REJECTED */
    int32_t event_code;
    char event_detail[MODULE_SESSION_DETAIL_MAX];
    char *response_channel; /* as the client said, for log and snapshot */
    char *counter_label;
    tern_async *publication_request;
    tern_publication *publication;
    tern_async *counter_request;
    tern_counter *counter;
};

struct module_session_params {
    int64_t id;
    int64_t correlation_id;
    int32_t response_stream_id;
    struct text_slice response_channel;
    int64_t now_ns;
};

/* NULL when there is no memory. */
struct module_session *module_session_create(const struct module_session_params *params);
void module_session_destroy(struct module_session *session);

/* Begin to add the response publication and the session's counter; INVALID when that fails. */
void module_session_connect(struct module_session *session, tern_client *client,
                            const struct consensus_conf *conf);
/* Look for the answers to what connect began. */
void module_session_poll(struct module_session *session);
void module_session_disconnect(struct module_session *session);
bool module_session_is_connected(const struct module_session *session);
/* The client takes messages. */
bool module_session_has_window(const struct module_session *session);

/* False: try again. */
bool module_session_send(struct module_session *session, const void *message, int32_t length);
struct module_session_event {
    int64_t leadership_term_id;
    int32_t leader_member_id;
    int32_t code;
    const char *detail;
    int64_t leader_heartbeat_timeout_ns;
};
bool module_session_send_event(struct module_session *session,
                               const struct module_session_event *event);

/* The next check of sessions finishes the close. */
void module_session_close(struct module_session *session, int32_t reason);

#endif

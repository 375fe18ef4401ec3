/* The pure core of the consensus module: who leads, what is committed, what a member may do.
 *
 * It knows no clock, file, socket or thread: (state, event, now) -> (state, actions). The agent
 * around it (consensusd/consensus.c) tells it of the time and of positions once per cycle
 * (raft_begin_cycle), of each consensus message (raft_on_*), lets it act (raft_step), and then
 * carries out the actions in their order. Actions that make something durable stand before the
 * messages that depend on it, so executing them in order is all that safety asks of the agent: it
 * stops the node when a durable action fails.
 *
 * Work that takes time (stopping and starting recordings, replays, replication, subscriptions) is
 * an operation: the core asks for one at a time, the agent reports its end.
 *
 * Reference: cluster.md 3.5 to 3.7, 11. Where this core is stricter than the original, the .c
 * files say so with the number of the hazard (H) of cluster.md 11.4.
 */
#ifndef TERN_CONSENSUSD_CORE_RAFT_H
#define TERN_CONSENSUSD_CORE_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "consensusd/core/election_state.h"
#include "wire/cluster_codec.h"

#define RAFT_NULL (-1)
#define RAFT_MEMBERS_MAX 9
#define RAFT_ACTIONS_MAX 128
#define RAFT_ALL_MEMBERS (-1)
#define RAFT_REASON_MAX 240
/* A term this far ahead is a lie: every skipped term costs an entry in recording.log. */
#define RAFT_TERM_JUMP_MAX 65536

enum cluster_role { CLUSTER_ROLE_FOLLOWER, CLUSTER_ROLE_CANDIDATE, CLUSTER_ROLE_LEADER };

/* A TERM entry of recording.log. */
struct raft_term {
    int64_t term_id;
    int64_t base_position;
    int64_t end_position; /* RAFT_NULL while open */
};

struct raft_conf {
    int32_t member_ids[RAFT_MEMBERS_MAX];
    int32_t member_count;
    int32_t own_index;
    int32_t appointed_leader_id; /* RAFT_NULL: anybody */
    int32_t app_version;
    int64_t leader_heartbeat_timeout_ns;
    int64_t leader_heartbeat_interval_ns;
    int64_t startup_canvass_timeout_ns;
    int64_t election_timeout_ns;
    int64_t election_status_interval_ns;
    const struct random *random;
    /* Look up a TERM entry; false when there is none. Must see every RECORD_TERM carried out. */
    bool (*find_term)(void *context, int64_t term_id, struct raft_term *term);
    void *context;
};

enum raft_vote { RAFT_VOTE_NONE, RAFT_VOTE_TRUE, RAFT_VOTE_FALSE };

/* What is known of a member; the own entry too. */
struct raft_member {
    int32_t id;
    int64_t leadership_term_id; /* of the last report; RAFT_NULL: unknown */
    int64_t log_position;       /* RAFT_NULL: unknown */
    int64_t heard_ns;           /* of the last report */
    enum raft_vote vote;        /* in the own ballot */
};

/* An answer that could not be sent yet: it is the only one to its request, unless that is repeated,
 * so it is kept until it is sent or nobody can want it any more (H2). */
struct raft_kept_vote {
    bool is_kept;
    struct cluster_vote vote;
    int64_t until_ns;
};

enum raft_operation_kind {
    RAFT_OPERATION_NONE,
    /* Leave whatever log is followed or led. Done: append_position, log_position, log_term_id. */
    RAFT_OPERATION_PREPARE,
    /* Create the log publication at `from`. Done: session_id. */
    RAFT_OPERATION_PUBLISH,
    /* Feed [from, to) of the own recording to module and services. Done: reached `to`. */
    RAFT_OPERATION_REPLAY,
    /* Record the own publication, join the services. Done: recording_id. */
    RAFT_OPERATION_LEADER_JOIN,
    /* Append NewLeadershipTermEvent. */
    RAFT_OPERATION_APPEND_TERM,
    /* Copy the leader's recording from `from` up to `to`. Done: append_position. */
    RAFT_OPERATION_REPLICATE,
    /* Cut the own recording at `to`. */
    RAFT_OPERATION_TRUNCATE,
    /* Log subscription with the catch-up, or with the live destination. */
    RAFT_OPERATION_SUBSCRIBE_CATCHUP,
    RAFT_OPERATION_SUBSCRIBE_LIVE,
    /* Await the image at `from`, record it, join the services. Done: recording_id. */
    RAFT_OPERATION_FOLLOWER_JOIN,
    /* Hold the live log beside the catch-up. Done: append_position is where it was joined. */
    RAFT_OPERATION_ADD_LIVE,
    /* Change over from the catch-up to the live log. Done: append_position is where. */
    RAFT_OPERATION_SWITCH,
};

struct raft_operation {
    enum raft_operation_kind kind;
    int64_t sequence; /* of this request; results of others are stale */
    int64_t from;
    int64_t to;
    int64_t term_id;
};

struct raft_result {
    int64_t sequence;
    bool is_failed;
    int64_t append_position;
    int64_t log_position;
    int64_t log_term_id;
    int64_t recording_id;
    int32_t session_id;
};

/* What must survive a crash so that nobody votes twice. */
struct raft_ballot {
    int64_t candidate_term_id; /* highest term voted, refused or stood in */
    int64_t voted_term_id;     /* of the last TRUE vote, and for whom it was */
    int32_t voted_for_id;
    int64_t promised_term_id; /* of the last TRUE vote for another member */
};

enum raft_action_kind {
    RAFT_ACTION_PERSIST_BALLOT, /* ballot; durable */
    RAFT_ACTION_RECORD_TERM,    /* recording.log coherent for term (cluster.md 3.6.4); durable */
    RAFT_ACTION_SEND_CANVASS,
    RAFT_ACTION_SEND_REQUEST_VOTE,
    RAFT_ACTION_SEND_VOTE,
    RAFT_ACTION_SEND_NEW_TERM,
    RAFT_ACTION_SEND_APPEND,
    RAFT_ACTION_SEND_COMMIT,
    RAFT_ACTION_SEND_CATCHUP,   /* term.term_id, term.base_position: where from */
    RAFT_ACTION_START,          /* operation; whatever ran before is abandoned */
    RAFT_ACTION_ELECTION_BEGAN, /* the log is left by the PREPARE operation that follows */
    RAFT_ACTION_ELECTION_CLOSED,
    RAFT_ACTION_REPORT, /* an event worth an error-log entry */
};

struct raft_action {
    enum raft_action_kind kind;
    int32_t member; /* index of the addressee, RAFT_ALL_MEMBERS, or as the kind says */
    union {
        struct raft_term term;
        struct raft_ballot ballot;
        struct raft_operation operation;
        struct cluster_canvass_position canvass;
        struct cluster_request_vote request_vote;
        struct cluster_vote vote;
        struct cluster_new_leadership_term new_term;
        struct cluster_append_position append;
        struct cluster_commit_position commit;
        char text[RAFT_REASON_MAX];
    };
};

/* What the agent knows at the start of a cycle. */
struct raft_input {
    int64_t now_ns;
    int64_t cluster_time;       /* of messages, in the cluster's unit */
    uint32_t connected;         /* bit i: messages to member i can be sent */
    bool may_elect;             /* module state ACTIVE or SUSPENDED: an election may begin */
    bool is_terminating;        /* a termination position is known: no time-outs */
    int64_t recorded_position;  /* of the log being recorded; RAFT_NULL: none */
    int64_t consumed_position;  /* what the module consumed of log or replay */
    int64_t published_position; /* of the leader's log publication */
    int64_t live_window;        /* a catch-up this close to its end takes the live log too */
};

struct raft_election {
    enum election_state state;
    int64_t state_changed_ns;
    int64_t next_send_ns;          /* canvass, vote requests, announcements */
    int64_t deadline_ns;           /* nomination; progress of a replication or catch-up */
    int64_t quorum_since_ns;       /* LEADER_READY: when a quorum was first there; or RAFT_NULL */
    int64_t announced_term_id;     /* leader: the log term in its broadcasts */
    int64_t announced_commit;      /* leader: the last commit position sent */
    int64_t progress_position;     /* catch-up, replication: how far it was seen to be */
    int64_t catchup_join_position; /* RAFT_NULL: no catch-up is needed */
    int64_t term_base_position;    /* of the term that the leader announced */
    struct raft_term replication;  /* end_position: where it stops */
    int64_t replication_retry_ns;  /* not from this leader again before; see pause_ns */
    int64_t replication_pause_ns;  /* after the last failure; 0: there was none */
    int64_t truncate_position;     /* RAFT_NULL: nothing to cut */
    int32_t graceful_leader_id;
    bool is_node_startup;     /* of this node: its first election */
    bool is_leader_startup;   /* of the leader, as it announced */
    bool is_extended_canvass; /* the first canvass of a node start */
    bool is_operation_done;
    int64_t live_join_position; /* of the live log beside a catch-up */
};

struct raft {
    struct raft_conf conf;
    struct raft_member members[RAFT_MEMBERS_MAX];
    struct raft_kept_vote kept_votes[RAFT_MEMBERS_MAX]; /* to each member */
    struct raft_input input;
    enum cluster_role role;
    int32_t leader_id;
    int64_t leadership_term_id;
    int64_t log_term_id;       /* last term with an entry in recording.log */
    struct raft_ballot ballot; /* durable */
    int64_t append_position;   /* end of the own log, as known in an election */
    int64_t log_position;      /* consumed by module and services, as known in an election */
    int64_t commit_position;
    int64_t known_committed; /* of the own log; nothing below is ever truncated (H6) */
    int64_t notified_commit_position;
    int64_t log_recording_id;
    int64_t leader_recording_id;
    int32_t log_session_id;
    bool has_log_session;
    bool is_election_wanted; /* put off until input.may_elect */
    int64_t leader_heard_ns; /* last message of the present leader */
    int64_t next_report_ns;  /* follower: append position; leader: commit position */
    int64_t reported_position;
    struct raft_election election;
    struct raft_operation operation;
    int32_t action_count;
    struct raft_action actions[RAFT_ACTIONS_MAX];
};

struct raft_start {
    int64_t now_ns;
    int64_t leadership_term_id; /* of the recovery plan; RAFT_NULL: none */
    int64_t log_position;       /* of the loaded snapshot, or 0 */
    int64_t append_position;
    struct raft_ballot ballot; /* from node-state.dat */
    int64_t log_recording_id;  /* RAFT_NULL: none yet */
};

/* Begins the election of a node start. */
void raft_init(struct raft *raft, const struct raft_conf *conf, const struct raft_start *start);

/* Each cycle: begin, then messages and results, then step. After every call the actions are to be
 * carried out and cleared (action_count = 0). */
void raft_begin_cycle(struct raft *raft, const struct raft_input *input);
int raft_step(struct raft *raft);

/* Messages, already checked for form. Unknown senders are ignored. */
void raft_on_canvass(struct raft *raft, const struct cluster_canvass_position *message);
void raft_on_request_vote(struct raft *raft, const struct cluster_request_vote *message);
void raft_on_vote(struct raft *raft, const struct cluster_vote *message);
void raft_on_new_term(struct raft *raft, const struct cluster_new_leadership_term *message);
void raft_on_append(struct raft *raft, const struct cluster_append_position *message);
void raft_on_commit(struct raft *raft, const struct cluster_commit_position *message);

/* RAFT_ACTION_SEND_VOTE could not be carried out now. What else cannot be sent the core repeats by
 * itself. */
void raft_on_unsent_vote(struct raft *raft, int32_t member, const struct cluster_vote *vote);

void raft_on_result(struct raft *raft, const struct raft_result *result);

/* Message 24 was consumed from a log or replay: the term of what follows. */
void raft_on_term_entry(struct raft *raft, int64_t term_id, int64_t base_position);

/* The module consumed the log or a replay up to here; it is given nothing that is not committed. To
 * be said at once: an election goes back to the commit position. */
void raft_on_consumed(struct raft *raft, int64_t position);

/* Leave the present term. graceful_leader_id: who said goodbye, or RAFT_NULL. Put off while the
 * module must not be interrupted. */
void raft_begin_election(struct raft *raft, int32_t graceful_leader_id, const char *reason);

/* Nothing was heard of the leader for the heartbeat timeout. */
bool raft_is_leader_silent(const struct raft *raft);

/* How far the module may consume the log that it follows. */
int64_t raft_consume_limit(const struct raft *raft);

static inline bool raft_is_in_election(const struct raft *raft) {
    return raft->election.state != ELECTION_CLOSED;
}

static inline bool raft_is_leader(const struct raft *raft) {
    return raft->election.state == ELECTION_CLOSED && raft->role == CLUSTER_ROLE_LEADER;
}

static inline int32_t raft_own_id(const struct raft *raft) {
    return raft->conf.member_ids[raft->conf.own_index];
}

/* Index of a member id, or -1. */
int32_t raft_member_index(const struct raft *raft, int32_t member_id);

#endif

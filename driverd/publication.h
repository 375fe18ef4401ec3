/* What IPC and network publications share: parameters from the URI, the log, the publisher position
 * and limit, subscribers on the log, links of clients, and unblocking (media-driver.md 2).
 *
 * The base of struct publication_ipc and struct publication_net, as their first member. All of it
 * is the conductor's; the sender sees only the log, which it reads, and what publication_net adds.
 *
 *     ACTIVE --last link removed--> DRAINING --drained--> LINGER --(rule of the kind)--> DONE
 *        \------------revoked------------------------------/
 */
#ifndef DRIVERD_PUBLICATION_H
#define DRIVERD_PUBLICATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"
#include "driverd/log_file.h"
#include "driverd/stream_index.h"
#include "driverd/subscribable.h"

struct driver_conf;
struct driver_context;

enum publication_kind { PUBLICATION_IPC, PUBLICATION_NET };

enum publication_state {
    PUBLICATION_STATE_ACTIVE,
    PUBLICATION_STATE_DRAINING,
    PUBLICATION_STATE_LINGER,
    PUBLICATION_STATE_DONE,
};

/* Values of response_correlation_id that are no id. */
#define RESPONSE_CORRELATION_NONE (-1)
#define RESPONSE_CORRELATION_PROTOTYPE (-2)

/* Values in force (2.1): the URI's, else the driver's. `has_` says that the URI gave it. */
struct publication_params {
    int32_t term_length;
    int32_t mtu_length;
    int32_t window_length; /* never 0, at most half a term */
    int32_t max_resend;
    int32_t so_sndbuf_bytes; /* 0: not in the URI */
    int32_t so_rcvbuf_bytes;
    int64_t linger_timeout_ns;
    int64_t untethered_window_limit_timeout_ns;
    int64_t untethered_linger_timeout_ns;
    int64_t untethered_resting_timeout_ns;
    bool signal_eos;
    bool is_sparse;
    bool spies_simulate_connection;
    bool has_term_length;
    bool has_mtu_length;
    bool has_window_length;
    bool has_max_resend;
    bool has_spies_simulate_connection;
    bool has_session_id;
    bool has_session_tag; /* session-id=tag:<n> */
    bool has_position;
    int32_t session_id;
    int64_t session_tag;
    int32_t initial_term_id;
    int32_t term_id;
    int32_t term_offset;
    bool has_send_timestamp;
    int32_t send_timestamp_offset; /* TIMESTAMP_NONE: none */
    int64_t entity_tag;            /* second of `tags`; -1: none */
    bool is_response;              /* control-mode=response */
    int64_t response_correlation_id;
};

/* It asks for responses: its id is that of a response subscription. */
static inline bool publication_params_is_request(const struct publication_params *params) {
    return !params->is_response && params->response_correlation_id != RESPONSE_CORRELATION_NONE &&
           params->response_correlation_id != RESPONSE_CORRELATION_PROTOTYPE;
}

/* Errors carry driver codes and name the key. */
int publication_params_parse(struct publication_params *params, const struct uri *uri,
                             enum publication_kind kind, const struct driver_conf *conf,
                             struct tern_error *error);

/* Take over MTU and term length of another publication; 0, or an error when the URI says otherwise
 * or window or start position do not fit. */
int publication_params_take_geometry(struct publication_params *params,
                                     const struct publication_params *from,
                                     enum publication_kind kind, const struct driver_conf *conf,
                                     struct tern_error *error);

struct publication {
    struct driver_context *context;
    enum publication_kind kind;
    int64_t registration_id; /* original: of the first add */
    int64_t client_id;       /* of the first add; owner of the counters */
    int32_t session_id;
    int32_t stream_id;
    bool is_exclusive;
    bool is_revoking;               /* a client asked for it; done at the next timer */
    struct stream_node stream_node; /* the conductor's, as in the others */
    struct publication_params params;
    char *channel; /* the first URI, NUL-terminated */
    struct log_file *file;
    struct log_buffer *log; /* &file->log */

    enum publication_state state;
    int64_t state_time_ns;
    int32_t link_count; /* handles of clients */

    int32_t position_counter_id;
    int32_t limit_counter_id;
    int64_t *position_address; /* pub-pos */
    int64_t *limit_address;    /* pub-lmt */
    int64_t limit;             /* clients can overwrite the counter, so this is the truth */
    int64_t clean_position;
    int64_t unblock_position; /* consumer position when it last moved, and when that was */
    int64_t unblock_time_ns;
    struct subscribable subscribers;
};

struct publication_spec {
    enum publication_kind kind;
    const struct publication_params *params; /* initial term id chosen when has_position is false */
    int64_t registration_id;
    int64_t client_id;
    int32_t session_id;
    int32_t stream_id;
    bool is_exclusive;
    bool is_group; /* multicast or multi-destination: in the log's metadata */
    const char *channel;
    struct log_file *file; /* made; the publication's from here on, also when it fails */
};

/* Fill the log's metadata, make pub-pos and pub-lmt; link count 0. On failure nothing is left
 * behind. */
int publication_init(struct publication *publication, struct driver_context *context,
                     const struct publication_spec *spec, struct tern_error *error);
/* Free subscribers' counters, own counters, and discard the log. Idempotent. */
void publication_close(struct publication *publication);

void publication_set_state(struct publication *publication, enum publication_state state,
                           int64_t now_ns);

int64_t publication_start_position(const struct publication *publication);
/* From the tails in the log, which clients write: bounded to what the stream can reach. */
int64_t publication_producer_position(const struct publication *publication);
/* A position that a client wrote (of a subscriber), brought into the stream: at least `low`, at
 * most the producer's, on frame alignment. Nothing is derived from one that did not pass here. */
int64_t publication_bound(const struct publication *publication, int64_t position, int64_t low);
/* Store the sampled producer position in its counter; returns it. */
int64_t publication_sample_position(struct publication *publication);
static inline int32_t publication_window(const struct publication *publication) {
    return publication->params.window_length;
}

/* 2.8: zero from the clean position towards `position`, at most to the end of its term. */
void publication_clean_to(struct publication *publication, int64_t position);
int64_t publication_limit(const struct publication *publication);
void publication_set_limit(struct publication *publication, int64_t position);
void publication_set_connected(struct publication *publication, bool is_connected);
bool publication_is_connected(const struct publication *publication);

/* 2.14, at timers: true when something was unblocked at `consumer_position` (counted). */
bool publication_check_blocked(struct publication *publication, int64_t consumer_position,
                               int64_t now_ns);
/* The same without waiting, exclusive ones as well: for DRAINING, when nobody writes any more. */
bool publication_unblock(struct publication *publication, int64_t consumer_position);

/* Mark the log as revoked, at once visible to subscribers; the rest happens at the next timer. */
void publication_mark_revoked(struct publication *publication);
/* The last handle went: limit down to the producer position, end-of-stream position, DRAINING
 * unless revoked. */
void publication_on_unreferenced(struct publication *publication, int64_t now_ns);
/* What revoking means for the log: limit and end of stream at the producer position, disconnected;
 * counted. The caller tells subscribers. */
void publication_revoke(struct publication *publication);

/* A shared add found this publication: every explicit parameter must equal it (2.4). */
int publication_match_params(const struct publication *publication,
                             const struct publication_params *wanted, struct tern_error *error);

#endif

/* A request to record: a subscription whose every image becomes a recording, or whose first one
 * extends one (archive.md 5.1, 5.2, 5.3). The server's list of them is the registry. */
#ifndef TERN_ARCHIVED_RECORDING_SUBSCRIPTION_H
#define TERN_ARCHIVED_RECORDING_SUBSCRIPTION_H

#include "archived/archive_server.h"
#include "base/uri.h"

enum recording_subscription_state {
    RECORDING_SUBSCRIPTION_STATE_ADDING, /* the driver was asked */
    RECORDING_SUBSCRIPTION_STATE_ACTIVE,
    RECORDING_SUBSCRIPTION_STATE_ENDING, /* out of the registry; its recordings are ending */
};

struct recording_subscription {
    struct archive_server *server;
    enum recording_subscription_state state;
    int64_t id; /* registration id */
    int64_t control_session_id;
    int64_t correlation_id;
    int64_t extended_recording_id; /* ARCHIVE_NULL: every image makes a new recording */
    int32_t stream_id;
    bool auto_stop;
    bool is_quiet;       /* no OK response: internal use */
    int recording_count; /* recordings that refer to it */
    tern_async *async;
    tern_subscription *subscription;
    struct session_list images; /* became available; references of our own */
    char *key;
    char *original_channel;     /* as requested */
    struct uri_builder channel; /* what is subscribed to */
    struct uri_builder stripped_channel;
};

struct recording_subscription_params {
    int64_t control_session_id;
    int64_t correlation_id;
    int64_t extended_recording_id;
    int32_t stream_id;
    int32_t source_location; /* enum archive_source_location */
    bool auto_stop;
    struct text_slice channel;
};

/* What is wrong with a request: a code of archive.md 3.8 and a text. */
struct archive_refusal {
    int64_t code;
    char text[256];
};
int archive_refuse(struct archive_refusal *refusal, int64_t code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Check the channel and its key, register, ask the driver. 0: the OK or an error follows when the
 * driver has answered. -1: refused. */
int recording_subscription_create(struct archive_server *server,
                                  const struct recording_subscription_params *params,
                                  struct archive_refusal *refusal);

/* Returns work done; false in *is_alive when it ended and was freed. */
int recording_subscription_step(struct recording_subscription *subscription, bool *is_alive);
void recording_subscription_destroy(struct recording_subscription *subscription);

/* Take it out of the registry and end its recordings. */
void recording_subscription_stop(struct recording_subscription *subscription);

/* One of its recordings has ended and waits for the catalog, but those who publish what nobody
 * records any more are not to wait with it. */
void recording_subscription_let_go(struct recording_subscription *subscription);

/* One of its recordings has ended. */
void recording_subscription_on_recording_ended(struct recording_subscription *subscription);

/* In the registry, and known to clients by its id. */
static inline bool
recording_subscription_is_listed(const struct recording_subscription *subscription) {
    return subscription->state == RECORDING_SUBSCRIPTION_STATE_ACTIVE;
}

struct recording_subscription *
recording_subscription_find_by_key(const struct archive_server *server, const char *key);
struct recording_subscription *recording_subscription_find(const struct archive_server *server,
                                                           int64_t subscription_id);

#endif

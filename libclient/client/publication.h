/* What shared and exclusive publications have in common. Not for other folders. */
#ifndef TERN_CLIENT_PUBLICATION_H
#define TERN_CLIENT_PUBLICATION_H

#include "base/atomic.h"
#include "client/core.h"
#include "shm/log_wake.h"
#include "shm/term_append.h"

struct client_publication {
    /* data path: constant but for is_closed */
    struct term_appender appender;
    struct log_metadata *metadata;
    const int64_t *limit; /* the counter's word in cnc.dat */
    int32_t is_closed;    /* release by the conductor */
    int32_t position_bits;
    int64_t position_max;

    /* control plane; constant */
    struct tern_client *client; /* counted */
    struct client_log *log;     /* counted */
    char *channel;
    int64_t registration_id;
    int64_t original_registration_id;
    int32_t limit_counter_id;
    int32_t channel_status_id;

    bool is_waking; /* counted in the log as one that wakes sleepers; lock */
};

struct tern_publication {
    struct client_publication base;
};

struct tern_exclusive_publication {
    struct client_publication base;
    struct exclusive_state state; /* the writer's */
    bool is_revoked_on_close;     /* the writer's */
};

/* Conductor, lock held: make the handle for a "ready" response and list it. `channel` is copied. */
int client_publication_create(struct client_publication **publication, struct tern_client *client,
                              const struct response *ready, const char *channel,
                              struct tern_error *error);
/* Lock held: it will not append any more; the driver is to hear of that afterwards. Idempotent. */
void client_publication_leave(struct client_publication *publication);
/* Lock not held. Unlists, tells the driver, frees. */
void client_publication_close(struct client_publication *publication, uint64_t flags);

/* Shared by the public functions of both kinds. */
void client_publication_constants(const struct client_publication *publication,
                                  struct tern_publication_constants *constants);
int64_t client_publication_status(const struct client_publication *publication);
struct tern_async *client_publication_destination(struct client_publication *publication,
                                                  struct command *command,
                                                  struct tern_error *error);
bool client_publication_is_connected(const struct client_publication *publication);
int64_t client_publication_position(const struct client_publication *publication);
int64_t client_publication_limit(const struct client_publication *publication);

/* The sum of the parts, or -1 when it is negative, too long, or a part is no valid memory. */
int64_t client_vector_length(const struct iovec *parts, int count, int32_t length_max);

/* 5.3, 6: why nothing can be appended at `position`, which is at or beyond the limit. */
static inline int64_t client_publication_refusal(const struct client_publication *publication,
                                                 int64_t position, int64_t length) {
    if (position + align_i64(length + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) >=
        publication->position_max) {
        return TERN_PUBLICATION_MAX_POSITION;
    }
    return load_acquire_i32(&publication->metadata->is_connected) == 1
               ? TERN_PUBLICATION_BACK_PRESSURED
               : TERN_PUBLICATION_NOT_CONNECTED;
}

/* An appender's answer as the caller sees it: positions pass through. */
static inline int64_t client_publication_result(int64_t appended) {
    if (LIKELY(appended > 0)) {
        return appended;
    }
    switch (appended) {
    case TERM_APPEND_TRIPPED:
        return TERN_PUBLICATION_ADMIN_ACTION;
    case TERM_APPEND_MAX_POSITION:
        return TERN_PUBLICATION_MAX_POSITION;
    default:
        return TERN_PUBLICATION_ERROR;
    }
}

/* The same for what is readable now: subscribers that sleep are woken. */
static inline int64_t client_publication_committed(const struct client_publication *publication,
                                                   int64_t appended) {
    if (LIKELY(appended > 0)) {
        log_wake(publication->metadata);
        return appended;
    }
    return client_publication_result(appended);
}

#endif

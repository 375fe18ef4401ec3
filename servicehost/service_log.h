/* Following the replicated log as the consensus module says (cluster.md 4.2, JoinLog). */
#ifndef TERN_SERVICEHOST_SERVICE_LOG_H
#define TERN_SERVICEHOST_SERVICE_LOG_H

#include <tern/client.h>

#include "base/uri.h"

/* What a JoinLog message said, copied. */
struct service_join {
    bool is_pending;
    int64_t log_position;
    int64_t max_log_position;
    int32_t member_id;
    int32_t log_session_id;
    int32_t log_stream_id;
    int32_t role;
    bool is_startup;
    char channel[URI_LENGTH_MAX + 1];
};

struct service_log {
    tern_async *request;
    tern_subscription *subscription;
    tern_image *image; /* NULL: not joined */
    int64_t max_position;
};

/* Begin to join; the log must not be joined or joining. */
int service_log_join(struct service_log *log, tern_client *client, const struct service_join *join,
                     int32_t service_id, struct tern_error *error);
static inline bool service_log_is_joining(const struct service_log *log) {
    return log->image == NULL && (log->request != NULL || log->subscription != NULL);
}
/* 1 once the image is there, 0 not yet, negative failed (also when it does not join at the position
 * that was announced). */
int service_log_await(struct service_log *log, const struct service_join *join,
                      struct tern_error *error);
/* The image will give nothing more: it reached its end or went away. */
bool service_log_is_done(const struct service_log *log);
/* Of one entry of the joined log (cluster.md 10). */
int32_t service_log_message_length_max(const struct service_log *log);
void service_log_leave(struct service_log *log);

#endif

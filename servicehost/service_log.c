/* The log image of a service: one subscription per JoinLog, closed when its image is used up. */
#include "servicehost/service_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "shm/log_buffer.h"

int service_log_join(struct service_log *log, tern_client *client, const struct service_join *join,
                     int32_t service_id, struct tern_error *error) {
    struct uri_builder builder;
    char alias[24];
    (void)snprintf(alias, sizeof alias, "log-sc-%d", service_id);
    int result = uri_builder_init(&builder, join->channel);
    if (result == 0) {
        result = uri_builder_set(&builder, "alias", alias);
    }
    if (result != 0) {
        return error_set(error, result, "log channel is too long");
    }
    struct tern_subscription_params params = {.channel = builder.text,
                                              .stream_id = join->log_stream_id};
    log->request = tern_client_async_add_subscription(client, &params, error);
    log->max_position = join->max_log_position;
    return log->request == NULL ? error->code : 0;
}

int service_log_await(struct service_log *log, const struct service_join *join,
                      struct tern_error *error) {
    if (log->request != NULL) {
        int result = tern_async_poll_subscription(log->request, &log->subscription, error);
        log->request = result == 0 ? log->request : NULL;
        if (result <= 0) {
            return result;
        }
    }
    log->image = tern_subscription_image_by_session_id(log->subscription, join->log_session_id);
    if (log->image == NULL) {
        return 0;
    }
    int64_t join_position = tern_image_join_position(log->image);
    if (join_position != join->log_position) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "log image begins at %" PRId64 ", the consensus module announced %" PRId64,
                         join_position, join->log_position);
    }
    return 1;
}

bool service_log_is_done(const struct service_log *log) {
    return tern_image_position(log->image) >= log->max_position ||
           tern_image_is_end_of_stream(log->image) || tern_image_is_closed(log->image);
}

int32_t service_log_message_length_max(const struct service_log *log) {
    return log_message_length_max(tern_image_term_length(log->image));
}

void service_log_leave(struct service_log *log) {
    tern_async_cancel(log->request);
    tern_image_release(log->image);
    tern_subscription_close(log->subscription);
    *log = (struct service_log){0};
}

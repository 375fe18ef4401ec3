/* The container's own part of a service snapshot (cluster.md 4.5): markers and sessions. What
 * stands behind the end marker is the plugin's. */
#ifndef TERN_SERVICEHOST_SERVICE_SNAPSHOT_H
#define TERN_SERVICEHOST_SERVICE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/service.h>

#include "base/message_list.h"
#include "servicehost/host_session.h"

/* What plugins see as their snapshot. */
struct tern_service_snapshot {
    struct message_list list;
};

/* State of reading the messages of a snapshot in their order. */
struct service_snapshot_reader {
    struct host_sessions *sessions;            /* filled */
    struct tern_service_snapshot *plugin_part; /* filled */
    bool has_begin;
    bool has_end;
    int32_t time_unit;
    int32_t app_version; /* to be set: of this service; another major version is refused */
    int64_t log_position;
};
/* A recording_reader_handler; context is the reader. */
int service_snapshot_read(void *context, const void *message, int32_t length,
                          struct tern_error *error);

struct service_snapshot_head {
    int64_t log_position;
    int64_t leadership_term_id;
    int32_t time_unit;
    int32_t app_version;
    const struct host_sessions *sessions;
};
/* Append everything up to the end marker. 0 or a negative code. */
int service_snapshot_write(struct message_list *list, const struct service_snapshot_head *head);

#endif

/* What a snapshot of the consensus module holds, as a plain value (cluster.md 3.13), and its
 * messages. module_snapshot_taker records it, module_snapshot_loader reads it. */
#ifndef TERN_CONSENSUSD_MODULE_SNAPSHOT_H
#define TERN_CONSENSUSD_MODULE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "consensusd/service_link.h"

struct module_snapshot_session {
    int64_t session_id;
    int64_t correlation_id;
    int64_t opened_log_position;
    bool is_closing;
    int32_t close_reason; /* counts when closing */
    int32_t response_stream_id;
    char *response_channel; /* owned */
};

struct module_snapshot_timer {
    int64_t timer_id;
    int64_t deadline;
};

/* Service messages of one service that are not yet in the log. */
struct module_snapshot_tracker {
    int64_t next_service_session_id;
    int64_t log_service_session_id;
    int32_t pending_capacity; /* bytes of the queue */
    int32_t message_count;
    uint8_t **messages; /* owned; each begins with the 32-byte session header */
    int32_t *message_lengths;
};

/* Owned by whoever zeroed it; module_snapshot_close frees. */
struct module_snapshot {
    int64_t log_position;
    int64_t leadership_term_id;
    int32_t time_unit; /* enum cluster_cluster_time_unit */
    int32_t app_version;
    int64_t next_session_id; /* the committed one */
    int32_t session_count;
    int32_t session_capacity;
    struct module_snapshot_session *sessions; /* ascending ids */
    int32_t timer_count;
    int32_t timer_capacity;
    struct module_snapshot_timer *timers;
    int32_t service_count;
    struct module_snapshot_tracker trackers[SERVICE_LINK_SERVICES_MAX];
};

/* Append; 0 or -ENOMEM. Channel and message are copied. */
int module_snapshot_add_session(struct module_snapshot *snapshot,
                                const struct module_snapshot_session *session);
int module_snapshot_add_timer(struct module_snapshot *snapshot, int64_t timer_id, int64_t deadline);
/* By deadline and id. A million takes 0.2 s: they lie together, unlike those of a timer_table. */
void module_snapshot_sort_timers(struct module_snapshot *snapshot);
int module_snapshot_add_pending(struct module_snapshot *snapshot, int32_t service_id,
                                const uint8_t *message, int32_t length);
void module_snapshot_init_trackers(struct module_snapshot *snapshot, int32_t service_count);
void module_snapshot_close(struct module_snapshot *snapshot);

/* Writing: the messages in their order. Calls `emit` for each; a non-zero result stops and is
 * returned. */
int module_snapshot_encode(const struct module_snapshot *snapshot,
                           int (*emit)(void *context, const void *message, int32_t length),
                           void *context);

/* Reading: state of a reader that gets the messages in their order. */
struct module_snapshot_reader {
    struct module_snapshot *snapshot;
    int32_t current_tracker; /* -1: none */
    bool has_begin;
    bool has_end;
};
void module_snapshot_reader_init(struct module_snapshot_reader *reader,
                                 struct module_snapshot *snapshot, int32_t service_count);
/* 0, or a negative code with a text for a message that does not belong. What comes behind END (an
 * extension's data) is refused: this module has no extension. */
int module_snapshot_read(struct module_snapshot_reader *reader, const void *message, int32_t length,
                         struct tern_error *error);

/* The first id of a service's messages is one above this (3.11). */
static inline int64_t service_session_id_base(int32_t service_id) {
    return (int64_t)(((uint64_t)(uint32_t)service_id << 56) | UINT64_C(0x8000000000000000));
}

#endif

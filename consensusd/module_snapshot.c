/* Messages of a module snapshot, both ways. The reader believes nothing: every message must be the
 * one that may stand there, pending service messages must carry consecutive ids and be as many as
 * the tracker says (cluster.md 3.13); a snapshot that breaks a rule is not loaded at all. */
#include "consensusd/module_snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/uri.h"
#include "wire/cluster_codec.h"

#define SNAPSHOT_TYPE_MODULE 1
#define SESSION_HEADER_LENGTH 32
#define PENDING_RECORD_HEADER_LENGTH 8 /* what a message costs in the queue that Aeron keeps */
#define SERVICE_ID_SHIFT 56
#define SESSION_MESSAGE_LENGTH_MAX (CLUSTER_CLUSTER_SESSION_LENGTH_MIN + URI_LENGTH_MAX)

/* Make room for one more element of an array that doubles. */
static int make_room(void **array, int32_t *capacity, int32_t count, size_t element_length) {
    if (count < *capacity) {
        return 0;
    }
    int32_t bigger = *capacity == 0 ? 16 : *capacity * 2;
    void *moved = realloc(*array, (size_t)bigger * element_length);
    if (moved == NULL) {
        return -ENOMEM;
    }
    *array = moved;
    *capacity = bigger;
    return 0;
}

int module_snapshot_add_session(struct module_snapshot *snapshot,
                                const struct module_snapshot_session *session) {
    void *sessions = snapshot->sessions;
    int result = make_room(&sessions, &snapshot->session_capacity, snapshot->session_count,
                           sizeof *snapshot->sessions);
    snapshot->sessions = sessions;
    char *channel = result == 0 ? strdup(session->response_channel) : NULL;
    if (channel == NULL) {
        return -ENOMEM;
    }
    struct module_snapshot_session *added = &snapshot->sessions[snapshot->session_count++];
    *added = *session;
    added->response_channel = channel;
    return 0;
}

int module_snapshot_add_timer(struct module_snapshot *snapshot, int64_t timer_id,
                              int64_t deadline) {
    void *timers = snapshot->timers;
    int result = make_room(&timers, &snapshot->timer_capacity, snapshot->timer_count,
                           sizeof *snapshot->timers);
    snapshot->timers = timers;
    if (result == 0) {
        snapshot->timers[snapshot->timer_count++] =
            (struct module_snapshot_timer){timer_id, deadline};
    }
    return result;
}

static int compare_i64(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int compare_timers(const void *a, const void *b) {
    const struct module_snapshot_timer *left = a;
    const struct module_snapshot_timer *right = b;
    int order = compare_i64(left->deadline, right->deadline);
    return order != 0 ? order : compare_i64(left->timer_id, right->timer_id);
}

void module_snapshot_sort_timers(struct module_snapshot *snapshot) {
    if (snapshot->timer_count > 0) {
        qsort(snapshot->timers, (size_t)snapshot->timer_count, sizeof *snapshot->timers,
              compare_timers);
    }
}

int module_snapshot_add_pending(struct module_snapshot *snapshot, int32_t service_id,
                                const uint8_t *message, int32_t length) {
    struct module_snapshot_tracker *tracker = &snapshot->trackers[service_id];
    int64_t capacity =
        tracker->pending_capacity + align_i64((int64_t)length + PENDING_RECORD_HEADER_LENGTH, 8);
    if (capacity > INT32_MAX) {
        return -ENOMEM; /* more than a queue can hold */
    }
    size_t count = (size_t)tracker->message_count + 1;
    uint8_t **messages = realloc(tracker->messages, count * sizeof *messages);
    tracker->messages = messages == NULL ? tracker->messages : messages;
    int32_t *lengths = realloc(tracker->message_lengths, count * sizeof *lengths);
    tracker->message_lengths = lengths == NULL ? tracker->message_lengths : lengths;
    uint8_t *copy = malloc((size_t)length);
    if (messages == NULL || lengths == NULL || copy == NULL) {
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, message, (size_t)length);
    tracker->messages[tracker->message_count] = copy;
    tracker->message_lengths[tracker->message_count] = length;
    tracker->message_count++;
    tracker->pending_capacity = (int32_t)capacity;
    return 0;
}

void module_snapshot_init_trackers(struct module_snapshot *snapshot, int32_t service_count) {
    assert(service_count >= 0);
    assert(service_count <= SERVICE_LINK_SERVICES_MAX);
    snapshot->service_count = service_count;
    for (int32_t i = 0; i < service_count; i++) {
        snapshot->trackers[i].log_service_session_id = service_session_id_base(i);
        snapshot->trackers[i].next_service_session_id = service_session_id_base(i) + 1;
    }
}

void module_snapshot_close(struct module_snapshot *snapshot) {
    for (int32_t i = 0; i < snapshot->session_count; i++) {
        free(snapshot->sessions[i].response_channel);
    }
    for (int32_t i = 0; i < SERVICE_LINK_SERVICES_MAX; i++) {
        struct module_snapshot_tracker *tracker = &snapshot->trackers[i];
        for (int32_t j = 0; j < tracker->message_count; j++) {
            free(tracker->messages[j]);
        }
        free(tracker->messages);
        free(tracker->message_lengths);
    }
    free(snapshot->sessions);
    free(snapshot->timers);
    *snapshot = (struct module_snapshot){0};
}

/* -- writing -- */

struct emitter {
    int (*emit)(void *context, const void *message, int32_t length);
    void *context;
};

static int emit_encoded(const struct emitter *emitter, const uint8_t *buffer, int32_t length) {
    return length < 0 ? length : emitter->emit(emitter->context, buffer, length);
}

static int emit_marker(const struct emitter *emitter, const struct module_snapshot *snapshot,
                       int32_t mark) {
    uint8_t buffer[CLUSTER_SNAPSHOT_MARKER_LENGTH_MIN];
    const struct cluster_snapshot_marker marker = {
        .type_id = SNAPSHOT_TYPE_MODULE,
        .log_position = snapshot->log_position,
        .leadership_term_id = snapshot->leadership_term_id,
        .index = 0,
        .mark = mark,
        .time_unit = snapshot->time_unit,
        .app_version = snapshot->app_version,
    };
    return emit_encoded(emitter, buffer,
                        cluster_snapshot_marker_encode(&marker, buffer, sizeof buffer));
}

static int emit_module(const struct emitter *emitter, const struct module_snapshot *snapshot) {
    uint8_t buffer[CLUSTER_CONSENSUS_MODULE_LENGTH_MIN];
    const struct module_snapshot_tracker *first = &snapshot->trackers[0];
    const struct cluster_consensus_module module = {
        .next_session_id = snapshot->next_session_id,
        .next_service_session_id = snapshot->service_count > 0 ? first->next_service_session_id : 0,
        .log_service_session_id = snapshot->service_count > 0 ? first->log_service_session_id : 0,
        .pending_message_capacity = first->pending_capacity,
    };
    return emit_encoded(emitter, buffer,
                        cluster_consensus_module_encode(&module, buffer, sizeof buffer));
}

static int emit_session(const struct emitter *emitter,
                        const struct module_snapshot_session *session) {
    uint8_t buffer[SESSION_MESSAGE_LENGTH_MAX];
    const struct cluster_cluster_session message = {
        .cluster_session_id = session->session_id,
        .correlation_id = session->correlation_id,
        .opened_log_position = session->opened_log_position,
        .time_of_last_activity = -1,
        .close_reason = session->is_closing ? session->close_reason : CLUSTER_CLOSE_REASON_NULL,
        .response_stream_id = session->response_stream_id,
        .response_channel = {session->response_channel, (int32_t)strlen(session->response_channel)},
    };
    return emit_encoded(emitter, buffer,
                        cluster_cluster_session_encode(&message, buffer, sizeof buffer));
}

static int emit_timer(const struct emitter *emitter, const struct module_snapshot_timer *timer) {
    uint8_t buffer[CLUSTER_TIMER_LENGTH_MIN];
    const struct cluster_timer message = {timer->timer_id, timer->deadline};
    return emit_encoded(emitter, buffer, cluster_timer_encode(&message, buffer, sizeof buffer));
}

static int emit_tracker(const struct emitter *emitter, const struct module_snapshot *snapshot,
                        int32_t service_id) {
    uint8_t buffer[CLUSTER_PENDING_MESSAGE_TRACKER_LENGTH_MIN];
    const struct module_snapshot_tracker *tracker = &snapshot->trackers[service_id];
    const struct cluster_pending_message_tracker message = {
        .next_service_session_id = tracker->next_service_session_id,
        .log_service_session_id = tracker->log_service_session_id,
        .pending_message_capacity = tracker->pending_capacity,
        .service_id = service_id,
    };
    int result = emit_encoded(
        emitter, buffer, cluster_pending_message_tracker_encode(&message, buffer, sizeof buffer));
    for (int32_t i = 0; result == 0 && i < tracker->message_count; i++) {
        result = emitter->emit(emitter->context, tracker->messages[i], tracker->message_lengths[i]);
    }
    return result;
}

int module_snapshot_encode(const struct module_snapshot *snapshot,
                           int (*emit)(void *context, const void *message, int32_t length),
                           void *context) {
    const struct emitter emitter = {emit, context};
    int result = emit_marker(&emitter, snapshot, CLUSTER_SNAPSHOT_MARK_BEGIN);
    if (result == 0) {
        result = emit_module(&emitter, snapshot);
    }
    for (int32_t i = 0; result == 0 && i < snapshot->session_count; i++) {
        result = emit_session(&emitter, &snapshot->sessions[i]);
    }
    for (int32_t i = 0; result == 0 && i < snapshot->timer_count; i++) {
        result = emit_timer(&emitter, &snapshot->timers[i]);
    }
    for (int32_t i = 0; result == 0 && i < snapshot->service_count; i++) {
        result = emit_tracker(&emitter, snapshot, i);
    }
    return result == 0 ? emit_marker(&emitter, snapshot, CLUSTER_SNAPSHOT_MARK_END) : result;
}

/* -- reading -- */

static int refuse(struct tern_error *error, const char *what) {
    return error_set(error, TERN_ERROR_PROTOCOL, "module snapshot: %s", what);
}

static bool is_id_of(int32_t service_id, int64_t id) {
    return id >> SERVICE_ID_SHIFT == service_session_id_base(service_id) >> SERVICE_ID_SHIFT;
}

/* Whatever the trackers say, the messages between their ids must have come. */
static int check_trackers(const struct module_snapshot *snapshot, struct tern_error *error) {
    for (int32_t i = 0; i < snapshot->service_count; i++) {
        const struct module_snapshot_tracker *tracker = &snapshot->trackers[i];
        int64_t log_id = tracker->log_service_session_id;
        int64_t next_id = tracker->next_service_session_id;
        if (!is_id_of(i, log_id) || !is_id_of(i, next_id)) {
            return error_set(error, TERN_ERROR_PROTOCOL,
                             "module snapshot: ids of messages that are not of service %d", i);
        }
        if (tracker->message_count != next_id - log_id - 1) {
            return error_set(error, TERN_ERROR_PROTOCOL,
                             "module snapshot: %d pending messages of service %d, %" PRId64
                             " expected",
                             tracker->message_count, i, next_id - log_id - 1);
        }
    }
    return 0;
}

static int read_marker(struct module_snapshot_reader *reader, const void *message, int32_t length,
                       struct tern_error *error) {
    struct cluster_snapshot_marker marker;
    if (cluster_snapshot_marker_decode(&marker, message, length) != 0) {
        return refuse(error, "damaged marker");
    }
    if (marker.type_id != SNAPSHOT_TYPE_MODULE) {
        return refuse(error, "it is of another type, that of a service for instance");
    }
    if (marker.mark == CLUSTER_SNAPSHOT_MARK_BEGIN) {
        if (reader->has_begin) {
            return refuse(error, "it begins twice");
        }
        reader->has_begin = true;
        reader->snapshot->log_position = marker.log_position;
        reader->snapshot->leadership_term_id = marker.leadership_term_id;
        reader->snapshot->time_unit = marker.time_unit;
        reader->snapshot->app_version = marker.app_version;
        return 0;
    }
    if (marker.mark == CLUSTER_SNAPSHOT_MARK_END) {
        if (!reader->has_begin) {
            return refuse(error, "it ends before it begins");
        }
        reader->has_end = true;
        return check_trackers(reader->snapshot, error);
    }
    return 0;
}

static int read_module(struct module_snapshot_reader *reader, const void *message, int32_t length,
                       struct tern_error *error) {
    struct cluster_consensus_module module;
    if (cluster_consensus_module_decode(&module, message, length) != 0) {
        return refuse(error, "damaged module state");
    }
    reader->snapshot->next_session_id = module.next_session_id;
    if (reader->snapshot->service_count > 0) {
        reader->snapshot->trackers[0].next_service_session_id = module.next_service_session_id;
        reader->snapshot->trackers[0].log_service_session_id = module.log_service_session_id;
    }
    return 0;
}

static int read_session(struct module_snapshot_reader *reader, const void *message, int32_t length,
                        struct tern_error *error) {
    struct cluster_cluster_session session;
    char channel[URI_LENGTH_MAX + 1];
    if (cluster_cluster_session_decode(&session, message, length) != 0 ||
        session.response_channel.length > URI_LENGTH_MAX) {
        return refuse(error, "damaged session");
    }
    memcpy(channel, session.response_channel.text, (size_t)session.response_channel.length);
    channel[session.response_channel.length] = '\0';
    const struct module_snapshot_session added = {
        .session_id = session.cluster_session_id,
        .correlation_id = session.correlation_id,
        .opened_log_position = session.opened_log_position,
        .is_closing = session.close_reason != CLUSTER_CLOSE_REASON_NULL,
        .close_reason = session.close_reason,
        .response_stream_id = session.response_stream_id,
        .response_channel = channel,
    };
    return module_snapshot_add_session(reader->snapshot, &added) == 0
               ? 0
               : error_set(error, -ENOMEM, "no memory for a module snapshot");
}

static int read_timer(struct module_snapshot_reader *reader, const void *message, int32_t length,
                      struct tern_error *error) {
    struct cluster_timer timer;
    if (cluster_timer_decode(&timer, message, length) != 0) {
        return refuse(error, "damaged timer");
    }
    return module_snapshot_add_timer(reader->snapshot, timer.correlation_id, timer.deadline) == 0
               ? 0
               : error_set(error, -ENOMEM, "no memory for a module snapshot");
}

static int read_tracker(struct module_snapshot_reader *reader, const void *message, int32_t length,
                        struct tern_error *error) {
    struct cluster_pending_message_tracker tracker;
    if (cluster_pending_message_tracker_decode(&tracker, message, length) != 0) {
        return refuse(error, "damaged tracker of service messages");
    }
    if (tracker.service_id < 0 || tracker.service_id >= reader->snapshot->service_count) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "module snapshot: messages of service %d, configured are %d services",
                         tracker.service_id, reader->snapshot->service_count);
    }
    struct module_snapshot_tracker *target = &reader->snapshot->trackers[tracker.service_id];
    if (target->message_count > 0) {
        return refuse(error, "two trackers of one service");
    }
    target->next_service_session_id = tracker.next_service_session_id;
    target->log_service_session_id = tracker.log_service_session_id;
    reader->current_tracker = tracker.service_id;
    return 0;
}

static int read_pending(struct module_snapshot_reader *reader, const void *message, int32_t length,
                        struct tern_error *error) {
    if (reader->current_tracker < 0 || length < SESSION_HEADER_LENGTH) {
        return refuse(error, "a service message where none may stand");
    }
    struct module_snapshot_tracker *tracker = &reader->snapshot->trackers[reader->current_tracker];
    int64_t id = cluster_session_message_header_get_cluster_session_id(message);
    if (!is_id_of(reader->current_tracker, tracker->log_service_session_id) ||
        id != tracker->log_service_session_id + tracker->message_count + 1) {
        return refuse(error, "pending service messages are not consecutive");
    }
    return module_snapshot_add_pending(reader->snapshot, reader->current_tracker, message,
                                       length) == 0
               ? 0
               : error_set(error, -ENOMEM, "no memory for a module snapshot");
}

void module_snapshot_reader_init(struct module_snapshot_reader *reader,
                                 struct module_snapshot *snapshot, int32_t service_count) {
    *reader = (struct module_snapshot_reader){.snapshot = snapshot, .current_tracker = -1};
    *snapshot = (struct module_snapshot){0};
    module_snapshot_init_trackers(snapshot, service_count);
}

int module_snapshot_read(struct module_snapshot_reader *reader, const void *message, int32_t length,
                         struct tern_error *error) {
    struct sbe_header header;
    if (reader->has_end) {
        return refuse(error, "data of an extension behind its end; extensions are not supported");
    }
    if (sbe_peek(&header, message, length) != 0 || header.schema_id != CLUSTER_SCHEMA_ID) {
        return refuse(error, "a message that is none of the cluster's");
    }
    if (header.template_id != CLUSTER_TEMPLATE_SNAPSHOT_MARKER && !reader->has_begin) {
        return refuse(error, "it has no begin marker");
    }
    switch (header.template_id) {
    case CLUSTER_TEMPLATE_SNAPSHOT_MARKER:
        return read_marker(reader, message, length, error);
    case CLUSTER_TEMPLATE_CONSENSUS_MODULE:
        return read_module(reader, message, length, error);
    case CLUSTER_TEMPLATE_CLUSTER_SESSION:
        return read_session(reader, message, length, error);
    case CLUSTER_TEMPLATE_TIMER:
        return read_timer(reader, message, length, error);
    case CLUSTER_TEMPLATE_PENDING_MESSAGE_TRACKER:
        return read_tracker(reader, message, length, error);
    case CLUSTER_TEMPLATE_SESSION_MESSAGE_HEADER:
        return read_pending(reader, message, length, error);
    default: /* e.g. the member list of older snapshots */
        return 0;
    }
}

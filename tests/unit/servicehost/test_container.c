/* What each entry of the log does to a service (cluster.md 4.3), on a host without a driver. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/image.h"
#include "servicehost/service_host.h"
#include "shm/log_buffer.h"
#include "wire/cluster_codec.h"
#include "wire/frame.h"

#define POSITION_BITS 16

/* A plugin that writes down what it is told: "open 7 @100", ... */
struct notes {
    struct tern_service_host host;
    char text[1024];
    int64_t offered;
};

static void note(struct notes *notes, const char *what, int64_t number) {
    size_t length = strlen(notes->text);
    snprintf(notes->text + length, sizeof notes->text - length, "%s %lld @%lld; ", what,
             (long long)number, (long long)notes->host.log_position);
}

static void on_message(void *service, const struct tern_service_session *session, int64_t timestamp,
                       const uint8_t *buffer, int32_t length) {
    struct notes *notes = service;
    note(notes, session == NULL ? "stranger says" : "message of",
         session == NULL ? length : session->session_id);
    cr_assert_eq(timestamp, notes->host.cluster_time);
    notes->offered = notes->host.operations.offer(
        &notes->host, session == NULL ? 0 : session->session_id, buffer, length);
}

static void on_open(void *service, const struct tern_service_session *session, int64_t timestamp) {
    (void)timestamp;
    note(service, "open", session->session_id);
}

static void on_close(void *service, const struct tern_service_session *session, int64_t timestamp,
                     enum tern_cluster_close_reason reason) {
    (void)timestamp, (void)reason;
    note(service, "close", session->session_id);
}

static void on_term(void *service, int64_t term_id, int64_t log_position, int64_t timestamp,
                    int32_t leader) {
    (void)timestamp, (void)leader;
    cr_assert_eq(log_position, ((struct notes *)service)->host.log_position);
    note(service, "term", term_id);
}

static struct notes *make(void) {
    struct notes *notes = calloc(1, sizeof *notes);
    static const struct service_conf conf = {.is_responder = true};
    notes->host.conf = &conf;
    notes->host.instance = notes;
    notes->host.state = SERVICE_HOST_FOLLOW;
    notes->host.app_version = 0x010203;
    notes->host.plugin.table.on_session_message = on_message;
    notes->host.plugin.table.on_session_open = on_open;
    notes->host.plugin.table.on_session_close = on_close;
    notes->host.plugin.table.on_new_leadership_term = on_term;
    service_operations_fill(&notes->host.operations);
    return notes;
}

static void end(struct notes *notes) {
    host_sessions_close(&notes->host.sessions);
    free(notes);
}

/* The entry stands in one frame that ends at `end_position`. */
static enum tern_controlled_action give(struct notes *notes, const uint8_t *entry, int32_t length,
                                        int64_t end_position) {
    struct frame_header frame = {.frame_length = length + LOG_FRAME_HEADER_LENGTH};
    int32_t aligned = log_aligned_frame_length(frame.frame_length);
    frame.term_offset = (int32_t)(end_position - aligned);
    const tern_header header = {
        .frame = &frame, .position_bits = POSITION_BITS, .length_in_log = -1};
    return container_on_log_entry(&notes->host, entry, length, &header);
}

static enum tern_controlled_action give_open(struct notes *notes, int64_t session_id,
                                             int64_t end_position) {
    uint8_t entry[256];
    const struct cluster_session_open_event event = {
        .cluster_session_id = session_id,
        .timestamp = end_position * 10,
        .response_stream_id = 102,
        .response_channel = {"aeron:ipc", 9},
    };
    return give(notes, entry, cluster_session_open_event_encode(&event, entry, sizeof entry),
                end_position);
}

static enum tern_controlled_action give_message(struct notes *notes, int64_t session_id,
                                                int64_t end_position) {
    uint8_t entry[40] = {0};
    cluster_session_message_header_put(entry, 3, session_id, end_position * 10);
    return give(notes, entry, sizeof entry, end_position);
}

static enum tern_controlled_action give_term(struct notes *notes, int32_t app_version,
                                             int64_t end_position) {
    uint8_t entry[64];
    const struct cluster_new_leadership_term_event event = {
        .leadership_term_id = 4,
        .log_position = end_position,
        .app_version = app_version,
    };
    return give(notes, entry, cluster_new_leadership_term_event_encode(&event, entry, sizeof entry),
                end_position);
}

Test(container, entries_become_callbacks_with_their_time_and_position) {
    struct notes *notes = make();
    cr_assert_eq(give_term(notes, 0x010000, 96), TERN_ACTION_CONTINUE);
    give_open(notes, 7, 256);
    give_message(notes, 7, 352);
    cr_assert_eq(notes->host.cluster_time, 3520);
    cr_assert_eq(notes->offered, TERN_SERVICE_MOCKED_OFFER, "a follower only pretends to answer");
    give_message(notes, 8, 448);
    uint8_t entry[64];
    const struct cluster_session_close_event close = {.cluster_session_id = 7, .timestamp = 1};
    give(notes, entry, cluster_session_close_event_encode(&close, entry, sizeof entry), 544);
    cr_assert_str_eq(notes->text, "term 4 @96; open 7 @256; message of 7 @352; "
                                  "stranger says 8 @448; close 7 @544; ");
    cr_assert_eq(notes->host.sessions.count, 0);
    cr_assert_eq(notes->host.exit_error.code, 0);
    end(notes);
}

Test(container, term_of_another_application_version_ends_the_service) {
    struct notes *notes = make();
    cr_assert_eq(give_term(notes, 0x020000, 96), TERN_ACTION_BREAK);
    cr_assert_eq(notes->host.exit_error.code, TERN_ERROR_VERSION);
    cr_assert_str_eq(notes->text, "");
    end(notes);
}

Test(container, entry_that_cannot_be_applied_ends_the_service) {
    struct notes *notes = make();
    give_open(notes, 7, 256);
    cr_assert_eq(give_open(notes, 7, 512), TERN_ACTION_BREAK, "a session opened twice");
    cr_assert_eq(notes->host.exit_error.code, TERN_ERROR_PROTOCOL);
    end(notes);

    notes = make();
    uint8_t entry[256];
    const struct cluster_session_open_event event = {.cluster_session_id = 7};
    int32_t length = cluster_session_open_event_encode(&event, entry, sizeof entry);
    cr_assert_eq(give(notes, entry, length - 9, 256), TERN_ACTION_BREAK, "cut short (H22)");
    cr_assert_eq(notes->host.exit_error.code, TERN_ERROR_PROTOCOL);
    end(notes);
}

Test(container, snapshot_entry_stops_consumption_at_its_position) {
    struct notes *notes = make();
    uint8_t entry[64];
    struct cluster_cluster_action_request request = {.log_position = 96,
                                                     .action = CLUSTER_CLUSTER_ACTION_SNAPSHOT,
                                                     .flags = 1}; /* for standbys only */
    int32_t length = cluster_cluster_action_request_encode(&request, entry, sizeof entry);
    cr_assert_eq(give(notes, entry, length, 96), TERN_ACTION_CONTINUE);
    request.flags = 0;
    request.log_position = 192;
    length = cluster_cluster_action_request_encode(&request, entry, sizeof entry);
    cr_assert_eq(give(notes, entry, length, 192), TERN_ACTION_BREAK);
    cr_assert_eq(notes->host.state, SERVICE_HOST_SNAPSHOT);
    cr_assert_eq(notes->host.snapshot_log_position, 192);
    end(notes);
}

Test(container, sending_is_refused_outside_of_log_callbacks) {
    struct notes *notes = make();
    give_open(notes, 7, 256);
    const struct tern_service_operations *operations = &notes->host.operations;
    cr_assert_eq(operations->offer(&notes->host, 7, "x", 1), TERN_SERVICE_NOT_ALLOWED);
    cr_assert_eq(operations->close_session(&notes->host, 7), TERN_SERVICE_NOT_ALLOWED);
    cr_assert_eq(operations->offer_to_cluster(&notes->host, "x", 1), TERN_SERVICE_NOT_ALLOWED);
    end(notes);
}

Test(container, snapshot_of_another_application_version_is_refused) {
    struct host_sessions none = {0};
    struct message_list list = {.message_length_max = INT32_MAX};
    const struct service_snapshot_head head = {.app_version = 0x020001, .sessions = &none};
    cr_assert_eq(service_snapshot_write(&list, &head), 0);
    const void *message;
    int32_t length;
    cr_assert(message_list_peek(&list, &message, &length));
    struct tern_error error = {0};
    struct tern_service_snapshot part = {0};
    struct service_snapshot_reader reader = {
        .sessions = &none, .plugin_part = &part, .app_version = 0x010000};
    cr_assert_lt(service_snapshot_read(&reader, message, length, &error), 0);
    cr_assert_eq(error.code, TERN_ERROR_VERSION);
    reader.app_version = 0x02ffff;
    cr_assert_eq(service_snapshot_read(&reader, message, length, &error), 0);
    message_list_close(&list);
}

/* The server: coming up step by step, the duty cycle, going down.
 *
 *   DRIVER -> FILES -> COUNTERS -> STREAMS -> RUNNING        (any -> FAILED)
 *
 * The order of the duty cycle is that of data: what the driver says, requests, images that became
 * recordings, recordings (write, sync, report), replays that follow them, then the sessions and
 * what else is slow. A step may end its object, so lists are walked from the end.
 */
#include "archived/archive_server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>

#include "archived/archive_start.h"
#include "archived/control_session.h"
#include "archived/deletion.h"
#include "archived/recording.h"
#include "archived/replay.h"
#include "archived/replication.h"
#include "archived/request.h"
#include "client/seams.h"
#include "wire/command.h"

/* ---- for the parts
 * ---------------------------------------------------------------------------------- */

void archive_server_error(struct archive_server *server, int code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (server->counters[ARCHIVE_COUNTER_ERRORS] != NULL) {
        archive_server_count(server, ARCHIVE_COUNTER_ERRORS, 1);
    }
    bool is_new = !server->mark.is_open ||
                  error_log_record(&server->mark.errors, code, text, server->now_epoch_ms);
    if (is_new && server->params.log != NULL) {
        server->params.log(server->params.log_context, true, text);
    }
}

void archive_server_log(struct archive_server *server, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (server->params.log != NULL) {
        server->params.log(server->params.log_context, false, text);
    }
}

struct control_session *archive_server_session(const struct archive_server *server,
                                               int64_t control_session_id) {
    return hash_map_get(&server->sessions_by_id, control_session_id);
}

struct recording *archive_server_recording(const struct archive_server *server,
                                           int64_t recording_id) {
    return hash_map_get(&server->recordings_by_id, recording_id);
}

int32_t archive_server_label(const struct archive_server *server, char *label, int32_t size,
                             const char *format, ...) {
    char suffix[48];
    int suffix_length =
        snprintf(suffix, sizeof suffix, " - archiveId=%" PRId64, server->archive_id);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(label, (size_t)(size - suffix_length), format, arguments);
    va_end(arguments);
    int kept = length < size - suffix_length ? length : size - suffix_length - 1;
    (void)snprintf(label + kept, (size_t)(size - kept), "%s", suffix);
    return kept + suffix_length;
}

struct segment_geometry archive_server_geometry(const struct archive_catalog_record *record) {
    return (struct segment_geometry){
        .recording_id = record->recording_id,
        .start_position = record->start_position,
        .initial_term_id = record->initial_term_id,
        .stream_id = record->stream_id,
        .term_length = record->term_buffer_length,
        .segment_length = record->segment_file_length,
    };
}

bool archive_server_is_temporary(int code) {
    return code == TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_TEMPORARILY_UNAVAILABLE ||
           code == TERN_ERROR_DRIVER_BUFFER_FULL;
}

/* ---- life
 * ------------------------------------------------------------------------------------------- */

int archive_server_init(struct archive_server *server, const struct archive_server_params *params,
                        struct tern_error *error) {
    *server = (struct archive_server){
        .params = *params,
        .conf = params->conf,
        .io = params->io,
        .state = ARCHIVE_STATE_DRIVER,
        .catalog = {.file = -1},
        .next_replay_id = 1,
    };
    checksum_init(&server->record_checksum, (enum checksum_kind)params->conf->record_checksum);
    checksum_init(&server->replay_checksum, (enum checksum_kind)params->conf->replay_checksum);
    server->segments = (struct segment_place){
        .store = params->io.store,
        .directory = params->conf->dir,
        .sync_level = params->conf->file_sync_level,
        .syncs_directory =
            params->conf->file_sync_level > 0 && params->conf->catalog_sync_level > 0,
    };
    server->io_buffer = malloc((size_t)params->conf->io_length_max);
    if (server->io_buffer == NULL) {
        return error_set(error, -ENOMEM, "no memory for file_io_max_length = %d",
                         params->conf->io_length_max);
    }
    return 0;
}

const struct tern_error *archive_server_failure(const struct archive_server *server) {
    return &server->failure;
}

bool archive_server_is_ready(const struct archive_server *server) {
    return server->state == ARCHIVE_STATE_RUNNING;
}

const char *archive_server_waiting_for(const struct archive_server *server) {
    switch (server->state) {
    case ARCHIVE_STATE_DRIVER:
        return "the media driver";
    case ARCHIVE_STATE_FILES:
        return "the archive directory";
    case ARCHIVE_STATE_COUNTERS:
        return "counters from the media driver";
    case ARCHIVE_STATE_STREAMS:
        return "control streams from the media driver";
    case ARCHIVE_STATE_RUNNING:
    case ARCHIVE_STATE_FAILED:
        break;
    }
    return "";
}

/* ---- the duty cycle
 * --------------------------------------------------------------------------------- */

static void track_cycle(struct archive_server *server) {
    int64_t took_ns = server->last_cycle_ns == 0 ? 0 : server->now_ns - server->last_cycle_ns;
    server->last_cycle_ns = server->now_ns;
    tern_counter *longest = server->counters[ARCHIVE_COUNTER_MAX_CYCLE_TIME];
    if (took_ns > tern_counter_value(longest)) {
        tern_counter_set(longest, took_ns);
    }
    if (took_ns > server->conf->cycle_threshold_ns) {
        archive_server_count(server, ARCHIVE_COUNTER_CYCLE_TIME_EXCEEDED, 1);
    }
}

static int poll_requests(struct archive_server *server) {
    int work = 0;
    if (server->control_subscription != NULL) {
        server->polled_subscription = server->control_subscription;
        work += tern_subscription_poll(server->control_subscription,
                                       tern_fragment_assembler_on_fragment,
                                       server->control_assembler, ARCHIVE_CONTROL_FRAGMENT_LIMIT);
    }
    server->polled_subscription = server->local_subscription;
    work += tern_subscription_poll(server->local_subscription, tern_fragment_assembler_on_fragment,
                                   server->local_assembler, ARCHIVE_CONTROL_FRAGMENT_LIMIT);
    server->polled_subscription = NULL;
    return work;
}

static int step_subscriptions(struct archive_server *server) {
    int work = 0;
    for (int i = server->subscriptions.count - 1; i >= 0; i--) {
        bool is_alive;
        work += recording_subscription_step(server->subscriptions.items[i], &is_alive);
        if (!is_alive) {
            session_list_remove_at(&server->subscriptions, i);
        }
    }
    return work;
}

static int write_recordings(struct archive_server *server) {
    int work = 0;
    for (int i = 0; i < server->recordings.count; i++) {
        work += recording_step(server->recordings.items[i]);
    }
    for (int i = 0; i < server->recordings.count; i++) {
        work += recording_report(server->recordings.items[i]);
    }
    return work;
}

static void finish_recordings(struct archive_server *server) {
    for (int i = server->recordings.count - 1; i >= 0; i--) {
        struct recording *recording = server->recordings.items[i];
        if (recording->state == RECORDING_STATE_ENDED && recording_try_end(recording)) {
            session_list_remove_at(&server->recordings, i);
            recording_finish(recording);
        }
    }
}

static int step_replays(struct archive_server *server) {
    int work = 0;
    for (int i = server->replays.count - 1; i >= 0; i--) {
        bool is_alive;
        work += replay_step(server->replays.items[i], &is_alive);
        if (!is_alive) {
            session_list_remove_at(&server->replays, i);
        }
    }
    return work;
}

static int step_replications(struct archive_server *server) {
    int work = 0;
    for (int i = server->replications.count - 1; i >= 0; i--) {
        bool is_alive;
        work += replication_step(server->replications.items[i], &is_alive);
        if (!is_alive) {
            session_list_remove_at(&server->replications, i);
        }
    }
    return work;
}

static int step_deletions(struct archive_server *server) {
    int work = 0;
    for (int i = server->deletions.count - 1; i >= 0; i--) {
        bool is_alive;
        work += deletion_step(server->deletions.items[i], &is_alive);
        if (!is_alive) {
            session_list_remove_at(&server->deletions, i);
        }
    }
    return work;
}

static int step_sessions(struct archive_server *server) {
    int work = 0;
    for (int i = server->sessions.count - 1; i >= 0; i--) {
        bool is_alive;
        work += control_session_step(server->sessions.items[i], &is_alive);
        if (!is_alive) {
            session_list_remove_at(&server->sessions, i);
        }
    }
    return work;
}

static void expire_tokens(struct archive_server *server) {
    for (int i = server->token_count - 1; i >= 0; i--) {
        if (server->now_ns >= server->tokens[i].deadline_ns) {
            server->tokens[i] = server->tokens[--server->token_count];
        }
    }
}

static int run(struct archive_server *server) {
    track_cycle(server);
    if (server->now_ns >= server->mark_deadline_ns) {
        server->mark_deadline_ns = server->now_ns + ARCHIVE_MARK_INTERVAL_NS;
        archive_mark_heartbeat(&server->mark, server->now_epoch_ms);
        expire_tokens(server);
        (void)catalog_repair(&server->catalog); /* when it fails, the next change says so */
    }
    int work = poll_requests(server);
    work += step_subscriptions(server);
    work += write_recordings(server);
    work += step_replications(server); /* before an ended copy says STOP */
    finish_recordings(server);
    work += step_replays(server);
    work += step_deletions(server);
    work += step_sessions(server);
    return work;
}

static int fail(struct archive_server *server, int code) {
    assert(code < 0);
    server->state = ARCHIVE_STATE_FAILED;
    if (server->failure.code == 0) {
        server->failure.code = code;
    }
    return code;
}

int archive_server_do_work(struct archive_server *server, int64_t now_ns) {
    if (server->state == ARCHIVE_STATE_FAILED) {
        return server->failure.code;
    }
    server->now_ns = now_ns;
    server->now_epoch_ms = clock_epoch_ms(server->io.clock);
    int work = 0;
    if (server->client != NULL) {
        work += tern_client_do_work_at(server->client, now_ns);
        if (tern_client_is_closed(server->client)) {
            (void)tern_client_status(server->client, &server->failure);
            return fail(server,
                        server->failure.code != 0 ? server->failure.code : TERN_ERROR_CLOSED);
        }
    }
    if (server->state == ARCHIVE_STATE_RUNNING) {
        return work + run(server);
    }
    int result = archive_start_step(server, &server->failure);
    return result < 0 ? fail(server, result) : work + result;
}

/* ---- close
 * ------------------------------------------------------------------------------------------ */

static void close_recordings(struct archive_server *server) {
    bool has_driver = server->client != NULL && !tern_client_is_closed(server->client);
    while (server->recordings.count > 0) {
        /* Out of the list first: the end of one can stop others of its subscription. */
        struct recording *recording = server->recordings.items[--server->recordings.count];
        if (has_driver) {
            recording_abort(recording);
            (void)recording_report(recording); /* syncs what was written */
            recording->retry_ns = 0;
        }
        if (has_driver && recording_try_end(recording)) {
            recording_finish(recording);
        } else {
            recording_abandon(recording); /* the next start finds its end */
        }
    }
}

/* In the reverse order of dependence: recordings refer to subscriptions, both answer to sessions.
 */
static void close_sessions(struct archive_server *server) {
    for (int i = 0; i < server->replications.count; i++) {
        replication_destroy(server->replications.items[i]);
    }
    for (int i = 0; i < server->replays.count; i++) {
        replay_destroy(server->replays.items[i]);
    }
    close_recordings(server);
    for (int i = 0; i < server->subscriptions.count; i++) {
        recording_subscription_destroy(server->subscriptions.items[i]);
    }
    for (int i = 0; i < server->deletions.count; i++) {
        deletion_destroy(server->deletions.items[i]);
    }
    while (server->sessions.count > 0) {
        control_session_destroy(server->sessions.items[server->sessions.count - 1]);
        server->sessions.count--;
    }
    session_list_close(&server->replications);
    session_list_close(&server->replays);
    session_list_close(&server->recordings);
    session_list_close(&server->subscriptions);
    session_list_close(&server->deletions);
    session_list_close(&server->sessions);
    hash_map_close(&server->sessions_by_id);
    hash_map_close(&server->recordings_by_id);
}

void archive_server_close(struct archive_server *server) {
    close_sessions(server);
    archive_start_cancel(server);
    tern_exclusive_publication_close(server->events);
    tern_subscription_close(server->control_subscription);
    tern_subscription_close(server->local_subscription);
    if (server->control_assembler != NULL) {
        tern_fragment_assembler_destroy(server->control_assembler);
    }
    if (server->local_assembler != NULL) {
        tern_fragment_assembler_destroy(server->local_assembler);
    }
    for (int i = 0; i < ARCHIVE_COUNTER_COUNT; i++) {
        tern_counter_close(server->counters[i]);
        server->counters[i] = NULL;
    }
    if (server->catalog.store != NULL) {
        catalog_close(&server->catalog);
    }
    archive_mark_close(&server->mark);
    tern_client_close(server->client);
    tern_context_destroy(server->context);
    free(server->io_buffer);
    enum archive_server_state state = server->state;
    struct tern_error failure = server->failure;
    *server = (struct archive_server){.catalog = {.file = -1}};
    server->state = state == ARCHIVE_STATE_FAILED ? state : ARCHIVE_STATE_DRIVER;
    server->failure = failure;
}

/* Loading the module's own snapshot at start (see snapshot_load.h). A snapshot is taken as a whole:
 * the recording's end is asked for first, reading ends exactly there, and the module's state
 * changes only when all of it was read and found good.
 */
#include "consensusd/snapshot_load.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"

#define FRAGMENT_LIMIT 50

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct consensus *consensus = context;
    struct snapshot_load *load = &consensus->load;
    (void)header;
    if (load->failure.code == 0) {
        struct tern_error error;
        if (module_snapshot_read(&load->content, buffer, length, &error) != 0) {
            load->failure = error;
        }
    }
}

static int restore_session(struct consensus *consensus,
                           const struct module_snapshot_session *loaded) {
    const struct module_session_params params = {
        .id = loaded->session_id,
        .correlation_id = loaded->correlation_id,
        .response_stream_id = loaded->response_stream_id,
        .response_channel = {loaded->response_channel, (int32_t)strlen(loaded->response_channel)},
        .now_ns = consensus->now_ns,
    };
    struct module_session *session = module_session_create(&params);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->opened_position = loaded->opened_log_position;
    session->state = MODULE_SESSION_OPEN;
    if (loaded->is_closing) {
        module_session_close(session, loaded->close_reason);
    }
    int result = module_sessions_add_open(&consensus->sessions, session);
    if (result != 0) {
        module_session_destroy(session);
    }
    return result;
}

static int refuse(const struct snapshot_load *load, const char *what, struct tern_error *error) {
    return error_set(error, -ENOTSUP, "snapshot recording %lld %s", (long long)load->recording_id,
                     what);
}

static int check(const struct consensus *consensus, struct tern_error *error) {
    const struct snapshot_load *load = &consensus->load;
    const struct module_snapshot *snapshot = &load->snapshot;
    const struct recording_log_entry *entry =
        &consensus->recording_log.entries[consensus->snapshot_index];
    if (snapshot->log_position != entry->log_position) {
        return refuse(load, "is not the one that recording.log names", error);
    }
    if (snapshot->app_version >> 16 != consensus->app_version >> 16) {
        return refuse(load, "is of another application version: see app_version", error);
    }
    if (snapshot->time_unit != consensus_time_unit(consensus) &&
        snapshot->time_unit != CLUSTER_CLUSTER_TIME_UNIT_NULL) {
        return refuse(load, "counts time in another unit: see clock", error);
    }
    return 0;
}

static int restore(struct consensus *consensus, struct tern_error *error) {
    const struct module_snapshot *snapshot = &consensus->load.snapshot;
    int result = check(consensus, error);
    if (result != 0) {
        return result;
    }
    consensus->sessions.next_session_id = snapshot->next_session_id;
    consensus->sessions.next_committed_session_id = snapshot->next_session_id;
    for (int32_t i = 0; i < snapshot->session_count; i++) {
        result = restore_session(consensus, &snapshot->sessions[i]);
        if (result != 0) {
            return error_set_errno(error, -result, "cannot restore session %lld",
                                   (long long)snapshot->sessions[i].session_id);
        }
    }
    if (consensus_restore_timers(consensus, snapshot) != 0) {
        return refuse(&consensus->load, "holds more timers than max_timers allows", error);
    }
    if (consensus_restore_service_messages(consensus, snapshot) != 0) {
        return refuse(&consensus->load, "holds more service messages than there is room for",
                      error);
    }
    return 1;
}

int snapshot_load_start(struct consensus *consensus, int64_t recording_id,
                        struct tern_error *error) {
    struct snapshot_load *load = &consensus->load;
    memset(load, 0, sizeof *load);
    load->recording_id = recording_id;
    load->state = SNAPSHOT_LOAD_ASK;
    load->deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
    module_snapshot_reader_init(&load->content, &load->snapshot, consensus->conf->service_count);
    load->assembler = tern_fragment_assembler_create(on_message, consensus);
    return load->assembler == NULL ? error_set(error, -ENOMEM, "no memory to load a snapshot") : 0;
}

static int ask_step(struct consensus *consensus, struct tern_error *error) {
    struct snapshot_load *load = &consensus->load;
    int64_t sent = tern_archive_send_list_recording(consensus->archive.archive, load->recording_id);
    int result = archive_link_sent(&consensus->archive, &load->request, sent, consensus->now_ns);
    if (result > 0) {
        load->state = SNAPSHOT_LOAD_AWAIT_ANSWER;
    } else if (result < 0) {
        *error = load->request.error;
    }
    return result < 0 ? result : 0;
}

static int await_answer_step(struct consensus *consensus, struct tern_error *error) {
    struct snapshot_load *load = &consensus->load;
    const struct archive_recording *recording = &consensus->archive.recording;
    if (load->request.state == ARCHIVE_REQUEST_PENDING) {
        return 0;
    }
    if (load->request.state == ARCHIVE_REQUEST_FAILED) {
        *error = load->request.error;
        return error_prefix(error, "snapshot recording %lld", (long long)load->recording_id);
    }
    if (recording->stop_position == TERN_ARCHIVE_NULL ||
        recording->stop_position <= recording->start_position) {
        return error_set(error, TERN_ERROR_PROTOCOL, "snapshot recording %lld is not complete",
                         (long long)load->recording_id);
    }
    const struct replay_reader_params params = {
        .link = &consensus->archive,
        .conf = consensus->conf,
        .recording_id = load->recording_id,
        .from = recording->start_position,
        .to = recording->stop_position,
        .now_ns = consensus->now_ns,
    };
    replay_reader_start(&load->reader, &params);
    load->state = SNAPSHOT_LOAD_REPLAY;
    return 0;
}

static int read_step(struct consensus *consensus, struct tern_error *error) {
    struct snapshot_load *load = &consensus->load;
    int fragments = tern_image_poll(load->reader.image, tern_fragment_assembler_on_fragment,
                                    load->assembler, FRAGMENT_LIMIT);
    if (load->failure.code != 0) {
        *error = load->failure;
        return error->code;
    }
    if (tern_image_position(load->reader.image) >= load->reader.to) {
        return load->content.has_end ? restore(consensus, error)
                                     : error_set(error, TERN_ERROR_PROTOCOL,
                                                 "snapshot recording %lld has no end marker",
                                                 (long long)load->recording_id);
    }
    if (fragments > 0) {
        load->deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
    } else if (replay_reader_is_cut_short(&load->reader)) {
        return error_set(error, -EIO, "the replay of snapshot recording %lld ended too early",
                         (long long)load->recording_id);
    }
    return 0;
}

int snapshot_load_step(struct consensus *consensus, struct tern_error *error) {
    struct snapshot_load *load = &consensus->load;
    int result;
    if (consensus->now_ns > load->deadline_ns) {
        return error_set(error, -ETIMEDOUT, "loading snapshot recording %lld makes no progress",
                         (long long)load->recording_id);
    }
    switch (load->state) {
    case SNAPSHOT_LOAD_ASK:
        return ask_step(consensus, error);
    case SNAPSHOT_LOAD_AWAIT_ANSWER:
        return await_answer_step(consensus, error);
    case SNAPSHOT_LOAD_REPLAY:
        result = replay_reader_step(&load->reader, consensus->now_ns, error);
        if (result > 0) {
            load->state = SNAPSHOT_LOAD_READ;
        }
        return result < 0 ? result : 0;
    case SNAPSHOT_LOAD_READ:
        return read_step(consensus, error);
    case SNAPSHOT_LOAD_IDLE:
        break;
    }
    return 0;
}

void snapshot_load_close(struct consensus *consensus) {
    struct snapshot_load *load = &consensus->load;
    replay_reader_close(&load->reader);
    if (load->state != SNAPSHOT_LOAD_IDLE) {
        archive_link_cancel(&consensus->archive, &load->request);
    }
    tern_fragment_assembler_destroy(load->assembler);
    load->assembler = NULL;
    module_snapshot_close(&load->snapshot);
    load->state = SNAPSHOT_LOAD_IDLE;
}

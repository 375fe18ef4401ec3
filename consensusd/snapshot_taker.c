/* Taking a snapshot (see snapshot_taker.h): the services first, each on its own, then the module's
 * content through a recorded publication, then one set of entries in recording.log, so that either
 * all parts of a snapshot are found after a crash or none.
 *
 * While it runs the module's state is SNAPSHOT: nothing of the log is consumed and no ingress
 * taken, but heartbeats and commits go on (hazard H9 is about that).
 */
#include "consensusd/snapshot_taker.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"

#define MESSAGES_PER_STEP 50

static void enter(struct consensus *consensus, enum snapshot_taker_state state) {
    consensus->taker.state = state;
    consensus->taker.deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
}

void snapshot_taker_begin(struct consensus *consensus, int64_t log_position) {
    assert(consensus->taker.state == SNAPSHOT_TAKER_IDLE);
    consensus_set_state(consensus, MODULE_STATE_SNAPSHOT);
    memset(&consensus->taker, 0, sizeof consensus->taker);
    consensus->taker.log_position = log_position;
    consensus->taker.started_ns = consensus->now_ns;
    consensus->taker.recording_id = RAFT_NULL;
    enter(consensus, SNAPSHOT_TAKER_AWAIT_SERVICES);
    consensus_expect_acks(consensus, log_position);
}

void snapshot_taker_close(struct snapshot_taker *taker, struct archive_link *link) {
    archive_link_cancel(link, &taker->request);
    tern_async_cancel(taker->publication_request);
    tern_exclusive_publication_close(taker->publication);
    message_list_close(&taker->messages);
    *taker = (struct snapshot_taker){.state = SNAPSHOT_TAKER_IDLE};
}

static void measure(struct consensus *consensus) {
    int64_t duration_ns = consensus->now_ns - consensus->taker.started_ns;
    module_counters_max(&consensus->counters, MODULE_COUNTER_SNAPSHOT_TIME_MAX, duration_ns);
    if (duration_ns > consensus->conf->snapshot_threshold_ns) {
        module_counters_add(&consensus->counters, MODULE_COUNTER_SNAPSHOT_TIME_EXCEEDED, 1);
    }
}

static int end(struct consensus *consensus, bool is_taken) {
    int64_t position = consensus->taker.log_position;
    measure(consensus);
    snapshot_taker_close(&consensus->taker, &consensus->archive);
    consensus_log(consensus, is_taken ? CONSENSUS_LOG_INFO : CONSENSUS_LOG_ERROR,
                  "snapshot at log position %lld %s", (long long)position,
                  is_taken ? "taken" : "failed");
    consensus_snapshot_ended(consensus, is_taken);
    return 1;
}

static int fail(struct consensus *consensus, const struct tern_error *error) {
    consensus_count_error(consensus, error);
    return end(consensus, false);
}

/* -- steps -- */

static int await_services_step(struct consensus *consensus) {
    struct tern_error error;
    if (!consensus_are_acks_in(consensus)) {
        return 0; /* a service that dies is noticed by its client's heartbeat */
    }
    consensus->taker.timestamp = consensus->sync.timestamp;
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        consensus->taker.service_recording_ids[i] = consensus->sync.relevant_ids[i];
        if (consensus->sync.relevant_ids[i] == RAFT_NULL) {
            error_set(&error, -EIO, "service %d failed to take its snapshot", i);
            return fail(consensus, &error);
        }
    }
    consensus->taker.publication_request = tern_client_async_add_exclusive_publication(
        consensus->client, consensus->conf->snapshot_channel, consensus->conf->snapshot_stream_id,
        &error);
    if (consensus->taker.publication_request == NULL) {
        return fail(consensus, &error);
    }
    enter(consensus, SNAPSHOT_TAKER_PUBLISH);
    return 1;
}

static int publish_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    struct tern_error error;
    int result = tern_async_poll_exclusive_publication(taker->publication_request,
                                                       &taker->publication, &error);
    if (result != 0) {
        taker->publication_request = NULL;
    }
    if (result < 0) {
        return fail(consensus, &error);
    }
    if (result > 0) {
        enter(consensus, SNAPSHOT_TAKER_RECORD);
    }
    return result;
}

static int record_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    char channel[CONSENSUS_CHANNEL_MAX + 32];
    struct tern_error error;
    if (tern_archive_channel_with_session(consensus->conf->snapshot_channel,
                                          tern_exclusive_publication_session_id(taker->publication),
                                          channel, sizeof channel) != 0) {
        error_set(&error, -ENAMETOOLONG, "the snapshot channel is too long");
        return fail(consensus, &error);
    }
    int64_t sent = tern_archive_send_start_recording(consensus->archive.archive, channel,
                                                     consensus->conf->snapshot_stream_id,
                                                     TERN_ARCHIVE_SOURCE_LOCAL, true);
    int result = archive_link_sent(&consensus->archive, &taker->request, sent, consensus->now_ns);
    if (result < 0) {
        return fail(consensus, &taker->request.error);
    }
    if (result > 0) {
        enter(consensus, SNAPSHOT_TAKER_AWAIT_ANSWER);
    }
    return result;
}

static int await_answer_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    if (taker->request.state == ARCHIVE_REQUEST_PENDING) {
        return 0;
    }
    if (taker->request.state == ARCHIVE_REQUEST_FAILED) {
        struct tern_error error = taker->request.error;
        return fail(consensus, &error);
    }
    enter(consensus, SNAPSHOT_TAKER_AWAIT_COUNTER);
    return 1;
}

static int add_sessions(const struct consensus *consensus, struct module_snapshot *snapshot) {
    const struct module_session_list *open = &consensus->sessions.open;
    int result = 0;
    for (int32_t i = 0; i < open->count && result == 0; i++) {
        const struct module_session *session = open->items[i];
        const struct module_snapshot_session added = {
            .session_id = session->id,
            .correlation_id = session->correlation_id,
            .opened_log_position = session->opened_position,
            .is_closing = session->state == MODULE_SESSION_CLOSING,
            .close_reason = session->close_reason,
            .response_stream_id = session->response_stream_id,
            .response_channel = session->response_channel,
        };
        result = module_snapshot_add_session(snapshot, &added);
    }
    return result;
}

static int append(void *context, const void *message, int32_t length) {
    return message_list_append(context, message, length);
}

/* The whole content at once, so that nothing changes between its parts. */
static int fill(struct consensus *consensus) {
    struct module_snapshot snapshot = {
        .log_position = consensus->taker.log_position,
        .leadership_term_id = consensus->current_term_id,
        .time_unit = consensus_time_unit(consensus),
        .app_version = consensus->app_version,
        .next_session_id = consensus->sessions.next_committed_session_id,
    };
    module_snapshot_init_trackers(&snapshot, consensus->conf->service_count);
    struct message_list *messages = &consensus->taker.messages;
    messages->message_length_max =
        tern_exclusive_publication_message_length_max(consensus->taker.publication);
    int result = add_sessions(consensus, &snapshot);
    if (result == 0) {
        result = consensus_save_timers(consensus, &snapshot);
    }
    if (result == 0) {
        result = consensus_save_service_messages(consensus, &snapshot);
    }
    if (result == 0) {
        result = module_snapshot_encode(&snapshot, append, messages);
    }
    module_snapshot_close(&snapshot);
    return result;
}

static int await_counter_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    taker->counter_id = tern_archive_find_counter_by_session(
        consensus->client, tern_exclusive_publication_session_id(taker->publication),
        tern_archive_id(consensus->archive.archive));
    if (taker->counter_id == TERN_NULL_COUNTER_ID) {
        return 0;
    }
    taker->recording_id = tern_archive_counter_recording_id(consensus->client, taker->counter_id);
    int result = fill(consensus);
    if (result != 0) {
        struct tern_error error;
        error_set_errno(&error, -result, "cannot hold the snapshot");
        return fail(consensus, &error);
    }
    enter(consensus, SNAPSHOT_TAKER_WRITE);
    return 1;
}

static int write_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    struct tern_error error;
    const void *message;
    int32_t length;
    for (int i = 0; i < MESSAGES_PER_STEP; i++) {
        if (message_list_peek(&taker->messages, &message, &length) == 0) {
            enter(consensus, SNAPSHOT_TAKER_FLUSH);
            return 1;
        }
        int64_t result = tern_exclusive_publication_offer(taker->publication, message, length);
        if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_MAX_POSITION ||
            result == TERN_PUBLICATION_ERROR) {
            error_set(&error, -EIO, "cannot write the snapshot: %s",
                      tern_publication_result_name(result));
            return fail(consensus, &error);
        }
        if (result < 0) {
            return i;
        }
        message_list_advance(&taker->messages);
        taker->deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
    }
    return MESSAGES_PER_STEP;
}

static int enter_in_recording_log(struct consensus *consensus) {
    struct recording_log_entry entries[CONSENSUS_SERVICES_MAX + 1];
    struct tern_error error;
    int32_t service_count = consensus->conf->service_count;
    for (int32_t i = 0; i <= service_count; i++) {
        int32_t service_id = service_count - 1 - i; /* the module's -1 comes last */
        entries[i] = (struct recording_log_entry){
            .recording_id = service_id < 0 ? consensus->taker.recording_id
                                           : consensus->taker.service_recording_ids[service_id],
            .leadership_term_id = consensus->current_term_id,
            .term_base_log_position = consensus->term_base_position,
            .log_position = consensus->taker.log_position,
            .timestamp = consensus->taker.timestamp,
            .service_id = service_id,
            .type = RECORDING_LOG_SNAPSHOT,
            .is_valid = true,
        };
    }
    if (recording_log_append_snapshots(&consensus->recording_log, entries, service_count + 1,
                                       &error) < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
        return 0;
    }
    return end(consensus, true);
}

static int flush_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    struct tern_error error;
    if (tern_archive_counter_recording_id(consensus->client, taker->counter_id) !=
        taker->recording_id) {
        error_set(&error, -EIO, "the recording of the snapshot ended too early");
        return fail(consensus, &error);
    }
    int64_t recorded =
        tern_counters_value(tern_client_counters(consensus->client), taker->counter_id);
    if (recorded < tern_exclusive_publication_position(taker->publication)) {
        return 0;
    }
    return enter_in_recording_log(consensus);
}

static bool is_committed(const struct consensus *consensus) {
    return consensus->raft.commit_position >= consensus->taker.log_position;
}

int snapshot_taker_step(struct consensus *consensus) {
    struct snapshot_taker *taker = &consensus->taker;
    bool waits_for_others = taker->state <= SNAPSHOT_TAKER_AWAIT_SERVICES;
    if (!waits_for_others && consensus->now_ns > taker->deadline_ns) {
        struct tern_error error;
        error_set(&error, -ETIMEDOUT, "the archive makes no progress in step %d of a snapshot",
                  (int)taker->state);
        return fail(consensus, &error);
    }
    switch (taker->state) {
    case SNAPSHOT_TAKER_AWAIT_SERVICES:
        return is_committed(consensus) ? await_services_step(consensus) : 0;
    case SNAPSHOT_TAKER_PUBLISH:
        return publish_step(consensus);
    case SNAPSHOT_TAKER_RECORD:
        return record_step(consensus);
    case SNAPSHOT_TAKER_AWAIT_ANSWER:
        return await_answer_step(consensus);
    case SNAPSHOT_TAKER_AWAIT_COUNTER:
        return await_counter_step(consensus);
    case SNAPSHOT_TAKER_WRITE:
        return write_step(consensus);
    case SNAPSHOT_TAKER_FLUSH:
        return flush_step(consensus);
    case SNAPSHOT_TAKER_IDLE:
        break;
    }
    return 0;
}

/* Running operations (see operation.h), and the two that only concern the own recording: PREPARE
 * and TRUNCATE. Those of leaders and followers are in operation_leader.c and operation_follower.c.
 *
 * PREPARE leaves whatever log is followed or led. It first waits for acknowledgements that the
 * services owe: the numbers of acks are counted on both sides, so a JoinLog that was sent must be
 * acknowledged before the next one, and while it is not the log that they join must stay.
 */
#include "consensusd/operation.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/operation_internal.h"

#define POLL_INTERVAL_NS (5 * NS_PER_MS)

void operation_next(struct consensus *consensus) {
    consensus->operation.step++;
    consensus->operation.deadline_ns =
        consensus->now_ns + consensus->conf->archive_message_timeout_ns;
}

bool operation_is_late(const struct consensus *consensus) {
    return consensus->now_ns > consensus->operation.deadline_ns;
}

/* The term that holds the end of the log. Entries of terms that begin beyond it were written before
 * a power loss took the end of the recording; they do not count. */
static int64_t log_term(const struct recording_log *log, int64_t position) {
    int64_t term_id = RAFT_NULL;
    for (int32_t i = 0; i < log->count; i++) {
        const struct recording_log_entry *entry = &log->entries[i];
        if (entry->type == RECORDING_LOG_TERM && entry->is_valid &&
            entry->term_base_log_position <= position) {
            term_id = max_i64(term_id, entry->leadership_term_id);
        }
    }
    return term_id;
}

struct raft_result operation_result(const struct consensus *consensus) {
    return (struct raft_result){
        .sequence = consensus->operation.wanted.sequence,
        .recording_id = consensus->recording.recording_id,
    };
}

int operation_finish(struct consensus *consensus, const struct raft_result *result) {
    consensus->operation.wanted.kind = RAFT_OPERATION_NONE;
    consensus_tell_result(consensus, result);
    return 1;
}

int operation_fail(struct consensus *consensus, const struct tern_error *error) {
    struct raft_result result = operation_result(consensus);
    result.is_failed = true;
    consensus_count_error(consensus, error);
    return operation_finish(consensus, &result);
}

int operation_sent(struct consensus *consensus, int64_t sent) {
    int result = archive_link_sent(&consensus->archive, &consensus->operation.request, sent,
                                   consensus->now_ns);
    if (result > 0) {
        operation_next(consensus);
        return 1;
    }
    return result < 0 ? operation_fail(consensus, &consensus->operation.request.error) : 0;
}

int operation_answered(struct consensus *consensus, struct tern_error *error) {
    const struct archive_request *request = &consensus->operation.request;
    if (request->state == ARCHIVE_REQUEST_PENDING) {
        return 0;
    }
    if (request->state == ARCHIVE_REQUEST_FAILED) {
        *error = request->error;
        return error->code;
    }
    return 1;
}

/* -- recording the log -- */

int operation_record(struct consensus *consensus, const char *channel,
                     enum tern_archive_source_location location) {
    struct tern_archive *archive = consensus->archive.archive;
    int32_t stream_id = consensus->conf->log_stream_id;
    if (consensus->recording.recording_id == RAFT_NULL) {
        return operation_sent(consensus, tern_archive_send_start_recording(
                                             archive, channel, stream_id, location, true));
    }
    const struct tern_archive_extend_params params = {
        .recording_id = consensus->recording.recording_id,
        .channel = channel,
        .stream_id = stream_id,
        .location = location,
        .auto_stop = true,
    };
    return operation_sent(consensus, tern_archive_send_extend_recording(archive, &params));
}

int operation_join_services(struct consensus *consensus, const struct operation_join *join) {
    const struct cluster_join_log message = {
        .log_position = join->position,
        .max_log_position = INT64_MAX,
        .member_id = consensus->conf->member_id,
        .log_session_id = join->session_id,
        .log_stream_id = consensus->conf->log_stream_id,
        .is_startup = consensus->raft.election.is_leader_startup ? CLUSTER_BOOLEAN_TYPE_TRUE
                                                                 : CLUSTER_BOOLEAN_TYPE_FALSE,
        .role = join->role,
        .is_standby = CLUSTER_BOOLEAN_TYPE_FALSE,
        .log_channel = {join->channel, (int32_t)strlen(join->channel)},
    };
    if (!service_link_join_log(&consensus->services, &message)) {
        return 0;
    }
    consensus_expect_acks(consensus, join->position);
    operation_next(consensus);
    return 1;
}

int operation_find_recording(struct consensus *consensus, int32_t session_id) {
    int32_t counter_id = tern_archive_find_counter_by_session(
        consensus->client, session_id, tern_archive_id(consensus->archive.archive));
    if (counter_id == TERN_NULL_COUNTER_ID) {
        return 0;
    }
    int64_t recording_id = tern_archive_counter_recording_id(consensus->client, counter_id);
    if (recording_id == TERN_ARCHIVE_NULL) {
        return 0;
    }
    consensus->recording.recording_id = recording_id;
    consensus->recording_counter_id = counter_id;
    return 1;
}

bool operation_is_recording_stopped(const struct consensus *consensus) {
    const struct archive_recording *found = &consensus->archive.recording;
    return found->stop_position != TERN_ARCHIVE_NULL &&
           tern_archive_find_counter_by_recording(consensus->client, found->recording_id,
                                                  tern_archive_id(consensus->archive.archive)) ==
               TERN_NULL_COUNTER_ID;
}

/* -- PREPARE -- */

enum {
    PREPARE_AWAIT_SERVICES,
    PREPARE_STOP,
    PREPARE_AWAIT_STOP,
    PREPARE_ASK,
    PREPARE_AWAIT_ANSWER,
    PREPARE_PAUSE,
};

static int finish_prepare(struct consensus *consensus) {
    struct raft_result result = operation_result(consensus);
    struct archive_recording *recording = &consensus->recording;
    result.append_position = recording->recording_id == RAFT_NULL ? 0 : recording->stop_position;
    result.log_position = consensus->raft.commit_position;
    result.log_term_id = log_term(&consensus->recording_log, result.append_position);
    if (result.append_position < result.log_position) {
        struct tern_error error;
        error_set(&error, -EBADMSG, "the recorded log ends at %lld, before position %lld that %s",
                  (long long)result.append_position, (long long)result.log_position,
                  "was committed: files of the archive were lost");
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 1;
    }
    return operation_finish(consensus, &result);
}

static int await_services_step(struct consensus *consensus) {
    if (consensus->taker.state != SNAPSHOT_TAKER_IDLE ||
        consensus->state == MODULE_STATE_TERMINATING) {
        return 0; /* the acknowledgements that are owed are for these */
    }
    if (consensus->sync.is_waiting && !consensus_are_acks_in(consensus)) {
        if (operation_is_late(consensus)) {
            struct tern_error error;
            error_set(&error, -ETIMEDOUT, "a service does not acknowledge that it joins the log");
            consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
        }
        return 0;
    }
    log_publisher_close(&consensus->publisher);
    log_follower_close(&consensus->follower);
    log_follower_close(&consensus->live);
    replay_reader_close(&consensus->replay);
    consensus->recording_counter_id = TERN_NULL_COUNTER_ID;
    consensus->recorded_position = RAFT_NULL;
    consensus->consumed_position = consensus->raft.commit_position;
    timer_table_roll_back(&consensus->timers, consensus->consumed_position);
    consensus_roll_back_service_messages(consensus, consensus->consumed_position);
    if (consensus->recording.recording_id == RAFT_NULL) {
        return finish_prepare(consensus);
    }
    operation_next(consensus);
    return 1;
}

static int await_descriptor_step(struct consensus *consensus) {
    struct tern_error error;
    int result = operation_answered(consensus, &error);
    if (result == -ENOENT) {
        error_set(&error, -ENOENT,
                  "the archive does not have recording %lld, which "
                  "recording.log names as the log",
                  (long long)consensus->recording.recording_id);
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &error);
        return 1;
    }
    if (result <= 0) {
        return result < 0 ? operation_fail(consensus, &error) : 0;
    }
    const struct archive_recording *found = &consensus->archive.recording;
    bool is_stopped = found->stop_position != TERN_ARCHIVE_NULL &&
                      tern_archive_find_counter_by_recording(
                          consensus->client, found->recording_id,
                          tern_archive_id(consensus->archive.archive)) == TERN_NULL_COUNTER_ID;
    if (!is_stopped) {
        operation_next(consensus);
        return 1;
    }
    consensus->recording = *found;
    return finish_prepare(consensus);
}

/* Then stop it once more: a recording that was still to begin when the first request came, because
 * the operation that asked for it was given up, has begun since. */
static int pause_step(struct consensus *consensus) {
    int64_t started_ns =
        consensus->operation.deadline_ns - consensus->conf->archive_message_timeout_ns;
    if (consensus->now_ns - started_ns < POLL_INTERVAL_NS) {
        return 0;
    }
    consensus->operation.step = PREPARE_STOP;
    return 1;
}

static int prepare_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    struct tern_archive *archive = consensus->archive.archive;
    int64_t recording_id = consensus->recording.recording_id;
    struct tern_error error;
    switch (operation->step) {
    case PREPARE_AWAIT_SERVICES:
        return await_services_step(consensus);
    case PREPARE_STOP:
        return operation_sent(consensus,
                              tern_archive_send_stop_recording_by_id(archive, recording_id));
    case PREPARE_AWAIT_STOP:
        /* An unknown recording is met again when its descriptor is asked for. */
        if (operation_answered(consensus, &error) == 0) {
            return 0;
        }
        operation_next(consensus);
        return 1;
    case PREPARE_ASK:
        return operation_sent(consensus, tern_archive_send_list_recording(archive, recording_id));
    case PREPARE_AWAIT_ANSWER:
        return await_descriptor_step(consensus);
    default:
        return pause_step(consensus);
    }
}

/* -- TRUNCATE -- */

enum { TRUNCATE_ASK, TRUNCATE_AWAIT_ANSWER, TRUNCATE_AWAIT_DELETION };

static int finish_truncate(struct consensus *consensus) {
    struct tern_error error;
    int64_t position = consensus->operation.wanted.to;
    if (recording_log_truncate(&consensus->recording_log, position, &error) < 0) {
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
        return 1;
    }
    consensus_log(consensus, CONSENSUS_LOG_WARNING,
                  "cut the log at %lld: its end was never "
                  "committed",
                  (long long)position);
    struct raft_result result = operation_result(consensus);
    return operation_finish(consensus, &result);
}

static int truncate_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    struct tern_error error;
    int result;
    switch (operation->step) {
    case TRUNCATE_ASK:
        operation->is_deleting = true; /* the signal may come before the answer */
        return operation_sent(
            consensus, tern_archive_send_truncate_recording(consensus->archive.archive,
                                                            consensus->recording.recording_id,
                                                            operation->wanted.to));
    case TRUNCATE_AWAIT_ANSWER:
        result = operation_answered(consensus, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        if (result > 0 && operation->request.result == 0) {
            return finish_truncate(consensus);
        }
        operation->step += result;
        return result;
    default:
        if (operation->is_deleting && !operation_is_late(consensus)) {
            return 0;
        }
        return finish_truncate(consensus);
    }
}

/* -- all -- */

/* The archive's id of the replication that runs, under which its signals come. They may follow the
 * answer so closely that no step lies between. */
static int64_t replication_of(const struct operation *operation) {
    bool is_known = operation->wanted.kind == RAFT_OPERATION_REPLICATE &&
                    operation->request.state == ARCHIVE_REQUEST_DONE;
    return is_known ? operation->request.result : RAFT_NULL;
}

static void abandon(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    int64_t replication_id = replication_of(operation);
    archive_link_cancel(&consensus->archive, &operation->request);
    if (replication_id != RAFT_NULL && !operation->has_ended) {
        (void)tern_archive_send_stop_replication(consensus->archive.archive, replication_id);
    }
}

void operation_start(struct consensus *consensus, const struct raft_operation *wanted) {
    struct operation *operation = &consensus->operation;
    abandon(consensus);
    memset(operation, 0, sizeof *operation);
    operation->wanted = *wanted;
    operation->counter_id = TERN_NULL_COUNTER_ID;
    operation->deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
}

int operation_step(struct consensus *consensus) {
    switch (consensus->operation.wanted.kind) {
    case RAFT_OPERATION_NONE:
        return 0;
    case RAFT_OPERATION_PREPARE:
        return prepare_step(consensus);
    case RAFT_OPERATION_TRUNCATE:
        return truncate_step(consensus);
    case RAFT_OPERATION_PUBLISH:
        return operation_publish_step(consensus);
    case RAFT_OPERATION_LEADER_JOIN:
        return operation_leader_join_step(consensus);
    case RAFT_OPERATION_APPEND_TERM:
        return operation_append_term_step(consensus);
    case RAFT_OPERATION_REPLAY:
        return operation_replay_step(consensus);
    case RAFT_OPERATION_REPLICATE:
        return operation_replicate_step(consensus);
    case RAFT_OPERATION_SUBSCRIBE_CATCHUP:
    case RAFT_OPERATION_SUBSCRIBE_LIVE:
        return operation_subscribe_step(consensus);
    case RAFT_OPERATION_FOLLOWER_JOIN:
        return operation_follower_join_step(consensus);
    case RAFT_OPERATION_ADD_LIVE:
        return operation_add_live_step(consensus);
    case RAFT_OPERATION_SWITCH:
        return operation_switch_step(consensus);
    }
    return 0;
}

static void on_replication_signal(struct consensus *consensus,
                                  const struct tern_archive_signal *signal) {
    struct operation *operation = &consensus->operation;
    if (signal->recording_id >= 0) {
        consensus->recording.recording_id = signal->recording_id;
    }
    switch (signal->kind) {
    case TERN_ARCHIVE_SIGNAL_START:
    case TERN_ARCHIVE_SIGNAL_EXTEND:
        operation->has_begun = true;
        break;
    case TERN_ARCHIVE_SIGNAL_REPLICATE_END:
        operation->has_ended = true;
        operation->deadline_ns = consensus->now_ns + consensus->conf->archive_message_timeout_ns;
        break;
    case TERN_ARCHIVE_SIGNAL_STOP:
        operation->has_stopped = true;
        operation->signal_position = signal->position;
        break;
    default:
        break;
    }
}

void operation_on_signal(struct consensus *consensus, const struct tern_archive_signal *signal) {
    struct operation *operation = &consensus->operation;
    int64_t replication_id = replication_of(operation);
    if (replication_id != RAFT_NULL && replication_id == signal->correlation_id) {
        on_replication_signal(consensus, signal);
    } else if (operation->wanted.kind == RAFT_OPERATION_TRUNCATE &&
               signal->kind == TERN_ARCHIVE_SIGNAL_DELETE &&
               signal->recording_id == consensus->recording.recording_id) {
        operation->is_deleting = false;
    }
}

void operation_on_error(struct consensus *consensus, int64_t correlation_id,
                        const struct tern_error *error) {
    const struct operation *operation = &consensus->operation;
    bool is_ours = operation->wanted.kind != RAFT_OPERATION_NONE && correlation_id != RAFT_NULL &&
                   (replication_of(operation) == correlation_id ||
                    operation->request.correlation_id == correlation_id);
    if (is_ours) {
        operation_fail(consensus, error);
    }
}

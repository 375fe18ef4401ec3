/* Operations of a follower: subscribe to the leader's log, join it, replay the own recording, copy
 * what is missing from the leader's archive (cluster.md 3.6.2 states 9 to 15, 3.8, 3.9, 3.15). */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "consensusd/operation_internal.h"

/* -- SUBSCRIBE_CATCHUP, SUBSCRIBE_LIVE -- */

int operation_subscribe_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    bool is_catchup = operation->wanted.kind == RAFT_OPERATION_SUBSCRIBE_CATCHUP;
    struct tern_error error;
    int result;
    if (operation->step == 0) {
        const struct log_follower_params params = {
            .client = consensus->client,
            .conf = consensus->conf,
            .own = &consensus->members.list[consensus->own_index],
            .kind = is_catchup ? LOG_FOLLOWER_CATCHUP : LOG_FOLLOWER_LIVE,
            .session_id = consensus->raft.log_session_id,
        };
        result = log_follower_open(&consensus->follower, &params, &error);
        operation_next(consensus);
        return result < 0 ? operation_fail(consensus, &error) : 1;
    }
    result = log_follower_await(&consensus->follower, &error);
    if (result < 0) {
        return operation_fail(consensus, &error);
    }
    if (result == 0) {
        return 0;
    }
    struct raft_result done = operation_result(consensus);
    return operation_finish(consensus, &done);
}

/* -- FOLLOWER_JOIN -- */

enum { FJOIN_IMAGE, FJOIN_AWAIT_ANSWER, FJOIN_AWAIT_COUNTER, FJOIN_SERVICES, FJOIN_AWAIT_ACKS };

static int await_image(struct consensus *consensus) {
    struct tern_error error;
    if (!log_follower_has_image(&consensus->follower)) {
        return 0; /* the core has a time-out for this */
    }
    int64_t join_position = tern_image_join_position(consensus->follower.image);
    int64_t wanted = consensus->operation.wanted.from;
    if (join_position != wanted) {
        error_set(&error, TERN_ERROR_PROTOCOL,
                  "the leader's log is received from %lld on, the own ends at %lld: once more",
                  (long long)join_position, (long long)wanted);
        return operation_fail(consensus, &error);
    }
    return operation_record(consensus, consensus->follower.channel, TERN_ARCHIVE_SOURCE_REMOTE);
}

static int join_services(struct consensus *consensus) {
    const struct operation_join join = {
        .position = consensus->operation.wanted.from,
        .role = CLUSTER_ROLE_FOLLOWER,
        .session_id = consensus->follower.session_id,
        .channel = consensus->follower.channel,
    };
    return operation_join_services(consensus, &join);
}

int operation_follower_join_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    struct tern_error error;
    int result;
    switch (operation->step) {
    case FJOIN_IMAGE:
        return await_image(consensus);
    case FJOIN_AWAIT_ANSWER:
        result = operation_answered(consensus, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        operation->step += result;
        return result;
    case FJOIN_AWAIT_COUNTER:
        result = operation_find_recording(consensus, consensus->follower.session_id);
        if (result == 0 && operation_is_late(consensus)) {
            error_set(&error, -ETIMEDOUT, "the archive does not begin to record the log");
            return operation_fail(consensus, &error);
        }
        operation->step += result;
        return result;
    case FJOIN_SERVICES:
        return join_services(consensus);
    default:
        if (!consensus_are_acks_in(consensus)) {
            return 0;
        }
        consensus->consumed_position = operation->wanted.from;
        struct raft_result done = operation_result(consensus);
        return operation_finish(consensus, &done);
    }
}

/* -- REPLAY -- */

enum { REPLAY_BEGIN, REPLAY_AWAIT_IMAGE, REPLAY_SERVICES, REPLAY_AWAIT_ACKS, REPLAY_CONSUME };

static int begin_replay(struct consensus *consensus) {
    const struct replay_reader_params params = {
        .link = &consensus->archive,
        .conf = consensus->conf,
        .recording_id = consensus->recording.recording_id,
        .from = consensus->operation.wanted.from,
        .to = consensus->operation.wanted.to,
        .now_ns = consensus->now_ns,
    };
    replay_reader_close(&consensus->replay); /* of the part before */
    replay_reader_start(&consensus->replay, &params);
    operation_next(consensus);
    return 1;
}

static int join_replay(struct consensus *consensus) {
    const struct raft_operation *wanted = &consensus->operation.wanted;
    const char *channel = consensus->replay.channel;
    const struct cluster_join_log message = {
        .log_position = wanted->from,
        .max_log_position = wanted->to,
        .member_id = consensus->conf->member_id,
        .log_session_id = replay_reader_session_id(&consensus->replay),
        .log_stream_id = consensus->conf->replay_stream_id,
        .is_startup = CLUSTER_BOOLEAN_TYPE_TRUE,
        .role = CLUSTER_ROLE_FOLLOWER,
        .is_standby = CLUSTER_BOOLEAN_TYPE_FALSE,
        .log_channel = {channel, (int32_t)strlen(channel)},
    };
    if (!service_link_join_log(&consensus->services, &message)) {
        return 0;
    }
    consensus_expect_acks(consensus, wanted->from);
    operation_next(consensus);
    return 1;
}

/* Services that had no image of a replay before it ended will never answer, and numbers of
 * acknowledgements are counted on both sides: only a new start helps. It ended when it failed at
 * once, or when a short log was sent and its publication closed while a service was stalled. */
static int await_replay_acks(struct consensus *consensus) {
    if (consensus_are_acks_in(consensus)) {
        consensus->consumed_position = consensus->operation.wanted.from;
        operation_next(consensus);
        return 1;
    }
    const tern_image *image = consensus->replay.image;
    bool has_ended = replay_reader_is_cut_short(&consensus->replay) ||
                     tern_image_end_of_stream_position(image) != INT64_MAX;
    if (has_ended && operation_is_late(consensus)) {
        struct tern_error error;
        error_set(&error, -EIO, "the replay of the log ended before the services joined it");
        consensus_end(consensus, CONSENSUS_EXIT_STORAGE, &error);
    }
    return 0;
}

static int consume_replay(struct consensus *consensus) {
    const struct raft_operation *wanted = &consensus->operation.wanted;
    if (!consensus_may_consume(consensus)) {
        return 0; /* a snapshot in the replayed part is being taken */
    }
    if (consensus->consumed_position >= wanted->to) {
        struct raft_result done = operation_result(consensus);
        return operation_finish(consensus, &done);
    }
    int work = consensus_consume(consensus, consensus->replay.image, wanted->to);
    if (work == 0 && replay_reader_is_cut_short(&consensus->replay)) {
        struct tern_error error;
        error_set(&error, -EIO, "the replay of the log ended at %lld instead of %lld",
                  (long long)consensus->consumed_position, (long long)wanted->to);
        return operation_fail(consensus, &error);
    }
    return work;
}

int operation_replay_step(struct consensus *consensus) {
    struct tern_error error;
    int result;
    switch (consensus->operation.step) {
    case REPLAY_BEGIN:
        return begin_replay(consensus);
    case REPLAY_AWAIT_IMAGE:
        result = replay_reader_step(&consensus->replay, consensus->now_ns, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        consensus->operation.step += result;
        return result;
    case REPLAY_SERVICES:
        return join_replay(consensus);
    case REPLAY_AWAIT_ACKS:
        return await_replay_acks(consensus);
    default:
        return consume_replay(consensus);
    }
}

/* -- REPLICATE -- */

enum { REPLICATE_ASK, REPLICATE_AWAIT_ANSWER, REPLICATE_AWAIT_END };

static int ask_replication(struct consensus *consensus) {
    const struct consensus_conf *conf = consensus->conf;
    int32_t leader = raft_member_index(&consensus->raft, consensus->raft.leader_id);
    const struct member *member = &consensus->members.list[leader];
    struct uri_builder control;
    struct uri_builder replication;
    struct tern_archive_replicate_params params;
    struct tern_error error;
    int result = uri_builder_init(&control, conf->leader_archive_control_channel);
    result |= uri_builder_set(&control, "endpoint", member->archive);
    result |= uri_builder_init(&replication, conf->replication_channel);
    if (result != 0) {
        error_set(&error, -ENAMETOOLONG, "the channel to the leader's archive is too long");
        return operation_fail(consensus, &error);
    }
    tern_archive_replicate_params_init(&params, consensus->raft.leader_recording_id, control.text,
                                       conf->archive_control_stream_id);
    params.destination_recording_id = consensus->recording.recording_id;
    params.stop_position = consensus->operation.wanted.to;
    params.replication_channel = replication.text;
    params.replication_session_id = (int32_t)tern_client_next_correlation_id(consensus->client);
    return operation_sent(consensus,
                          tern_archive_send_replicate(consensus->archive.archive, &params));
}

/* Progress is what the archive has recorded so far; the core times it out. */
static void note_progress(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    if (consensus->recording.recording_id == RAFT_NULL) {
        return;
    }
    if (operation->counter_id == TERN_NULL_COUNTER_ID) {
        operation->counter_id = tern_archive_find_counter_by_recording(
            consensus->client, consensus->recording.recording_id,
            tern_archive_id(consensus->archive.archive));
    }
    if (operation->counter_id != TERN_NULL_COUNTER_ID &&
        tern_archive_counter_recording_id(consensus->client, operation->counter_id) ==
            consensus->recording.recording_id) {
        int64_t position =
            tern_counters_value(tern_client_counters(consensus->client), operation->counter_id);
        operation->counter_position = max_i64(operation->counter_position, position);
        consensus->recorded_position = operation->counter_position;
    }
}

static int await_replication(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    note_progress(consensus);
    /* One that fails early never records anything, so nothing stops. */
    if (operation->has_ended && !operation->has_stopped &&
        (!operation->has_begun || operation_is_late(consensus))) {
        struct tern_error error;
        error_set(&error, -EIO, "the copy of the leader's log ended before it was recorded");
        return operation_fail(consensus, &error);
    }
    if (!operation->has_ended || !operation->has_stopped) {
        return 0;
    }
    if (operation->signal_position != operation->wanted.to) {
        struct tern_error error;
        error_set(&error, -EIO, "the copy of the leader's log ended at %lld instead of %lld",
                  (long long)operation->signal_position, (long long)operation->wanted.to);
        return operation_fail(consensus, &error);
    }
    consensus->recorded_position = RAFT_NULL;
    consensus->recording.stop_position = operation->signal_position;
    struct raft_result done = operation_result(consensus);
    done.append_position = operation->signal_position;
    return operation_finish(consensus, &done);
}

int operation_replicate_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    struct tern_error error;
    int result;
    switch (operation->step) {
    case REPLICATE_ASK:
        return ask_replication(consensus);
    case REPLICATE_AWAIT_ANSWER:
        result = operation_answered(consensus, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        operation->step += result;
        return result;
    default:
        return await_replication(consensus);
    }
}

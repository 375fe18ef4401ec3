/* The end of a catch-up: from the leader's replay to its live log (see log_follower.h).
 *
 * ADD_LIVE subscribes to the live log and holds its image where it was joined, at J. SWITCH begins
 * once more than J was recorded of the replay: it stops that recording, at P; skips the live image
 * to P; waits until module and services consumed everything up to P, which the leader commits
 * because P is reported to it meanwhile; has the live log recorded from P on; and lets the services
 * join it there. Every later subscriber joins an image where its slowest reader stands, and that is
 * the module, which does not read on before all have joined.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "consensusd/operation_internal.h"

#define SKIP_FRAGMENT_LIMIT 1000

int operation_add_live_step(struct consensus *consensus) {
    struct log_follower *live = &consensus->live;
    struct tern_error error;
    int result;
    if (consensus->operation.step == 0) {
        const struct log_follower_params params = {
            .client = consensus->client,
            .conf = consensus->conf,
            .own = &consensus->members.list[consensus->own_index],
            .kind = LOG_FOLLOWER_LIVE,
            .session_id = consensus->raft.log_session_id,
        };
        result = log_follower_open(live, &params, &error);
        operation_next(consensus);
        return result < 0 ? operation_fail(consensus, &error) : 1;
    }
    result = log_follower_await(live, &error);
    if (result < 0) {
        return operation_fail(consensus, &error);
    }
    if (result == 0 || !log_follower_has_image(live)) {
        return 0;
    }
    struct raft_result done = operation_result(consensus);
    done.append_position = tern_image_join_position(live->image);
    return operation_finish(consensus, &done);
}

/* -- SWITCH -- */

enum {
    SWITCH_STOP,
    SWITCH_AWAIT_STOP,
    SWITCH_ASK,
    SWITCH_AWAIT_ANSWER,
    SWITCH_SKIP,
    SWITCH_AWAIT_CONSUMED,
    SWITCH_RECORD,
    SWITCH_AWAIT_RECORD,
    SWITCH_AWAIT_COUNTER,
    SWITCH_SERVICES,
    SWITCH_AWAIT_ACKS,
};

bool operation_may_consume_catchup(const struct consensus *consensus) {
    const struct operation *operation = &consensus->operation;
    return operation->wanted.kind != RAFT_OPERATION_SWITCH || operation->step < SWITCH_RECORD;
}

static int await_descriptor(struct consensus *consensus) {
    struct tern_error error;
    int result = operation_answered(consensus, &error);
    if (result <= 0) {
        return result < 0 ? operation_fail(consensus, &error) : 0;
    }
    if (!operation_is_recording_stopped(consensus)) {
        consensus->operation.step = SWITCH_ASK;
        return 0;
    }
    consensus->recording = consensus->archive.recording;
    consensus->recording_counter_id = TERN_NULL_COUNTER_ID;
    consensus->recorded_position = consensus->recording.stop_position;
    operation_next(consensus);
    return 1;
}

static void ignore_fragment(void *context, const uint8_t *buffer, int32_t length,
                            const tern_header *header) {
    (void)context, (void)buffer, (void)length, (void)header;
}

static int skip(struct consensus *consensus) {
    struct log_follower *live = &consensus->live;
    int64_t target = consensus->recording.stop_position;
    int fragments =
        tern_image_bounded_poll(live->image, ignore_fragment, NULL, target, SKIP_FRAGMENT_LIMIT);
    int64_t position = tern_image_position(live->image);
    if (position == target) {
        operation_next(consensus);
        return 1;
    }
    if (position > target || operation_is_late(consensus)) {
        struct tern_error error;
        error_set(&error, TERN_ERROR_PROTOCOL,
                  "the live log stands at %lld and does not meet the end of the catch-up at %lld",
                  (long long)position, (long long)target);
        return operation_fail(consensus, &error);
    }
    return fragments;
}

static int join_services(struct consensus *consensus) {
    const struct operation_join join = {
        .position = consensus->recording.stop_position,
        .role = CLUSTER_ROLE_FOLLOWER,
        .session_id = consensus->live.session_id,
        .channel = consensus->live.channel,
    };
    return operation_join_services(consensus, &join);
}

static int finish(struct consensus *consensus) {
    log_follower_close(&consensus->follower);
    consensus->follower = consensus->live;
    memset(&consensus->live, 0, sizeof consensus->live);
    struct raft_result done = operation_result(consensus);
    done.append_position = consensus->recording.stop_position;
    return operation_finish(consensus, &done);
}

static int await_counter(struct consensus *consensus) {
    int result = operation_find_recording(consensus, consensus->live.session_id);
    if (result == 0 && operation_is_late(consensus)) {
        struct tern_error error;
        error_set(&error, -ETIMEDOUT, "the archive does not begin to record the live log");
        return operation_fail(consensus, &error);
    }
    consensus->operation.step += result;
    return result;
}

int operation_switch_step(struct consensus *consensus) {
    struct tern_archive *archive = consensus->archive.archive;
    int64_t recording_id = consensus->recording.recording_id;
    struct tern_error error;
    int result;
    switch (consensus->operation.step) {
    case SWITCH_STOP:
        return operation_sent(consensus,
                              tern_archive_send_stop_recording_by_id(archive, recording_id));
    case SWITCH_AWAIT_STOP:
    case SWITCH_AWAIT_RECORD:
        result = operation_answered(consensus, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        consensus->operation.step += result;
        return result;
    case SWITCH_ASK:
        return operation_sent(consensus, tern_archive_send_list_recording(archive, recording_id));
    case SWITCH_AWAIT_ANSWER:
        return await_descriptor(consensus);
    case SWITCH_SKIP:
        return skip(consensus);
    case SWITCH_AWAIT_CONSUMED:
        if (consensus->consumed_position < consensus->recording.stop_position ||
            !consensus_may_consume(consensus)) {
            return 0; /* or the last that was consumed asked for a snapshot: it comes first */
        }
        operation_next(consensus);
        return 1;
    case SWITCH_RECORD:
        return operation_record(consensus, consensus->live.channel, TERN_ARCHIVE_SOURCE_REMOTE);
    case SWITCH_AWAIT_COUNTER:
        return await_counter(consensus);
    case SWITCH_SERVICES:
        return join_services(consensus);
    default:
        return consensus_are_acks_in(consensus) ? finish(consensus) : 0;
    }
}

/* Operations of a leader: publish the log, have it recorded, let the services join, append the
 * entry that opens the term (cluster.md 3.6.2 states 5 to 8, 3.8). */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "consensusd/operation_internal.h"

/* -- PUBLISH -- */

int operation_publish_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    struct tern_error error;
    int result;
    if (operation->step == 0) {
        bool has_recording = consensus->recording.recording_id != RAFT_NULL;
        const struct log_publisher_params params = {
            .client = consensus->client,
            .conf = consensus->conf,
            .members = &consensus->members,
            .own_index = consensus->own_index,
            .position = operation->wanted.from,
            .recording = has_recording ? &consensus->recording : NULL,
        };
        result = log_publisher_open(&consensus->publisher, &params, &error);
        operation_next(consensus);
    } else {
        result = log_publisher_await(&consensus->publisher, &error);
    }
    if (result < 0) {
        return operation_fail(consensus, &error);
    }
    if (operation->step == 0 || result == 0) {
        return 0;
    }
    struct raft_result done = operation_result(consensus);
    done.session_id = log_publisher_session_id(&consensus->publisher);
    return operation_finish(consensus, &done);
}

/* -- LEADER_JOIN -- */

enum { JOIN_RECORD, JOIN_AWAIT_ANSWER, JOIN_AWAIT_COUNTER, JOIN_SERVICES, JOIN_AWAIT_ACKS };

static int join_services(struct consensus *consensus, const char *record_channel) {
    char channel[CONSENSUS_CHANNEL_MAX + sizeof "aeron-spy:"];
    bool is_ipc = strncmp(record_channel, "aeron:ipc", strlen("aeron:ipc")) == 0;
    (void)snprintf(channel, sizeof channel, "%s%s", is_ipc ? "" : "aeron-spy:", record_channel);
    const struct operation_join join = {
        .position = consensus->operation.wanted.from,
        .role = CLUSTER_ROLE_LEADER,
        .session_id = log_publisher_session_id(&consensus->publisher),
        .channel = channel,
    };
    return operation_join_services(consensus, &join);
}

int operation_leader_join_step(struct consensus *consensus) {
    struct operation *operation = &consensus->operation;
    char channel[CONSENSUS_CHANNEL_MAX];
    struct tern_error error;
    int result;
    if (log_publisher_record_channel(&consensus->publisher, channel, sizeof channel) != 0) {
        error_set(&error, -ENAMETOOLONG, "the channel of the log is too long");
        return operation_fail(consensus, &error);
    }
    switch (operation->step) {
    case JOIN_RECORD:
        return operation_record(consensus, channel, TERN_ARCHIVE_SOURCE_LOCAL);
    case JOIN_AWAIT_ANSWER:
        result = operation_answered(consensus, &error);
        if (result < 0) {
            return operation_fail(consensus, &error);
        }
        operation->step += result;
        return result;
    case JOIN_AWAIT_COUNTER:
        result =
            operation_find_recording(consensus, log_publisher_session_id(&consensus->publisher));
        if (result == 0 && operation_is_late(consensus)) {
            error_set(&error, -ETIMEDOUT, "the archive does not begin to record the log");
            return operation_fail(consensus, &error);
        }
        operation->step += result;
        return result;
    case JOIN_SERVICES:
        return join_services(consensus, channel);
    default:
        if (!consensus_are_acks_in(consensus)) {
            return 0; /* a service that died is noticed elsewhere */
        }
        consensus->consumed_position = operation->wanted.from;
        struct raft_result done = operation_result(consensus);
        return operation_finish(consensus, &done);
    }
}

/* -- APPEND_TERM -- */

int operation_append_term_step(struct consensus *consensus) {
    struct cluster_new_leadership_term_event event = {
        .leadership_term_id = consensus->raft.leadership_term_id,
        .timestamp = consensus->cluster_time,
        .term_base_log_position = consensus->raft.election.term_base_position,
        .leader_member_id = consensus->conf->member_id,
        .log_session_id = log_publisher_session_id(&consensus->publisher),
        .time_unit = consensus_time_unit(consensus),
        .app_version = consensus->app_version,
    };
    int64_t result = log_publisher_append_term(&consensus->publisher, &event);
    if (result > 0) {
        struct raft_result done = operation_result(consensus);
        return operation_finish(consensus, &done);
    }
    if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_MAX_POSITION ||
        result == TERN_PUBLICATION_ERROR) {
        struct tern_error error;
        error_set(&error, -EIO, "cannot append to the log: %s",
                  tern_publication_result_name(result));
        return operation_fail(consensus, &error);
    }
    return 0; /* no room, or nobody there yet: again in the next cycle */
}

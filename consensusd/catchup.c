/* Replays of the leader's log to followers that lag (see catchup.h). A replay follows the live log,
 * under the log's own session id, so that it and the live log feed one image at the follower. It
 * ends when the follower reports the position of the log publication.
 *
 * The session id is that of the log and cannot be chosen: the replay before, to the same endpoint,
 * must be gone from the archive and from the driver when the next one starts. It is stopped even
 * when its answer is still to come; what lingers of it in the driver is waited for by trying again.
 */
#include "consensusd/catchup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "consensusd/consensus.h"

#define FLAG_CATCHUP 1
#define RETRY_INTERVAL_NS (100 * NS_PER_MS)

static bool may_lead(const struct consensus *consensus) {
    return consensus->raft.role == CLUSTER_ROLE_LEADER &&
           log_publisher_is_open(&consensus->publisher);
}

static bool is_asked(const struct catchup *catchup) {
    return catchup->request.state == ARCHIVE_REQUEST_PENDING ||
           catchup->request.state == ARCHIVE_REQUEST_DONE;
}

void catchups_on_position(struct consensus *consensus,
                          const struct cluster_catchup_position *message) {
    int32_t member = raft_member_index(&consensus->raft, message->follower_member_id);
    if (member < 0 || member == consensus->own_index || !may_lead(consensus) ||
        message->leadership_term_id > consensus->raft.leadership_term_id ||
        message->log_position < 0) {
        return;
    }
    struct catchup *catchup = &consensus->catchups.of[member];
    if (catchup->is_wanted || (catchup->is_running && !catchup->is_ending) ||
        message->catchup_endpoint.length >= (int32_t)sizeof catchup->endpoint) {
        return;
    }
    catchup->is_wanted = true;
    catchup->has_failed = false;
    catchup->retry_ns = consensus->now_ns;
    catchup->deadline_ns = consensus->now_ns + consensus->conf->leader_heartbeat_timeout_ns;
    catchup->position = message->log_position;
    snprintf(catchup->endpoint, sizeof catchup->endpoint, "%.*s", message->catchup_endpoint.length,
             message->catchup_endpoint.text);
}

static int make_channel(struct consensus *consensus, int32_t member, struct uri_builder *channel) {
    char alias[48];
    snprintf(alias, sizeof alias, "catchup-followerId-%d", consensus->members.list[member].id);
    int result = uri_builder_init(channel, consensus->conf->follower_catchup_channel);
    result |= uri_builder_set(channel, "endpoint", consensus->catchups.of[member].endpoint);
    result |= uri_builder_set_i64(channel, "session-id", consensus->raft.log_session_id);
    result |= uri_builder_set(channel, "linger", "0");
    result |= uri_builder_set(channel, "eos", "false");
    return result | uri_builder_set(channel, "alias", alias);
}

/* The archive or the driver would not have it now: most likely the last one lingers. */
static void try_again(struct consensus *consensus, int32_t member) {
    struct catchup *catchup = &consensus->catchups.of[member];
    struct tern_error error = catchup->request.error;
    catchup->request.state = ARCHIVE_REQUEST_IDLE;
    catchup->retry_ns = consensus->now_ns + RETRY_INTERVAL_NS;
    if (catchup->is_wanted && !catchup->is_ending && !catchup->has_failed) {
        catchup->has_failed = true;
        error_prefix(&error, "no catch-up for member %d", consensus->members.list[member].id);
        consensus_count_error(consensus, &error);
    }
    catchup->is_ending = false;
}

static int start(struct consensus *consensus, int32_t member) {
    struct catchup *catchup = &consensus->catchups.of[member];
    struct tern_archive_replay_params params;
    struct uri_builder channel;
    if (!may_lead(consensus) || consensus->now_ns >= catchup->deadline_ns ||
        make_channel(consensus, member, &channel) != 0) {
        catchup->is_wanted = false;
        return 0;
    }
    if (consensus->recording_counter_id == TERN_NULL_COUNTER_ID ||
        consensus->now_ns < catchup->retry_ns) {
        return 0;
    }
    tern_archive_replay_params_init(&params, consensus->recording.recording_id, channel.text,
                                    consensus->conf->log_stream_id);
    params.position = catchup->position;
    params.length = INT64_MAX; /* and follow the live log */
    int result = archive_link_sent(&consensus->archive, &catchup->request,
                                   tern_archive_send_replay(consensus->archive.archive, &params),
                                   consensus->now_ns);
    if (result < 0) {
        try_again(consensus, member);
    }
    return result > 0 ? 1 : 0;
}

/* A request that finds no room is made again in the next cycle. */
static int end_running(struct consensus *consensus, struct catchup *catchup) {
    /* "Unknown replay" is as good an answer as OK. */
    int64_t sent =
        tern_archive_send_stop_replay(consensus->archive.archive, catchup->replay_session_id);
    if (sent == -EAGAIN) {
        return 0;
    }
    catchup->is_running = false;
    catchup->is_ending = false;
    return 1;
}

static int step(struct consensus *consensus, int32_t member) {
    struct catchup *catchup = &consensus->catchups.of[member];
    switch (catchup->request.state) {
    case ARCHIVE_REQUEST_PENDING:
        return 0;
    case ARCHIVE_REQUEST_DONE:
        catchup->request.state = ARCHIVE_REQUEST_IDLE;
        catchup->replay_session_id = catchup->request.result;
        catchup->is_running = true;
        catchup->is_wanted = catchup->is_wanted && catchup->is_ending; /* the next one */
        return 1;
    case ARCHIVE_REQUEST_FAILED:
        try_again(consensus, member);
        return 1;
    case ARCHIVE_REQUEST_IDLE:
        break;
    }
    if (catchup->is_running) {
        return catchup->is_ending ? end_running(consensus, catchup) : 0;
    }
    return catchup->is_wanted ? start(consensus, member) : 0;
}

int catchups_step(struct consensus *consensus) {
    int work = 0;
    for (int32_t i = 0; i < consensus->members.count; i++) {
        work += step(consensus, i);
    }
    return work;
}

static void stop(struct consensus *consensus, struct catchup *catchup) {
    catchup->is_wanted = false;
    catchup->is_ending = catchup->is_running || is_asked(catchup);
    if (catchup->is_running) {
        (void)end_running(consensus, catchup);
    }
}

void catchups_stop(struct consensus *consensus, int32_t member) {
    for (int32_t i = 0; i < consensus->members.count; i++) {
        if (member < 0 || member == i) {
            stop(consensus, &consensus->catchups.of[i]);
        }
    }
}

void catchups_on_append(struct consensus *consensus,
                        const struct cluster_append_position *message) {
    int32_t member = raft_member_index(&consensus->raft, message->follower_member_id);
    if (member < 0 || member == consensus->own_index || !may_lead(consensus) ||
        message->leadership_term_id > consensus->raft.leadership_term_id) {
        return;
    }
    struct catchup *catchup = &consensus->catchups.of[member];
    bool is_running = catchup->is_running && !catchup->is_ending;
    bool is_catching_up = is_running || message->flags == FLAG_CATCHUP;
    if (!is_catching_up || message->log_position < log_publisher_position(&consensus->publisher)) {
        return;
    }
    uint8_t buffer[CLUSTER_STOP_CATCHUP_LENGTH_MIN];
    const struct cluster_stop_catchup answer = {message->leadership_term_id,
                                                message->follower_member_id};
    int32_t length = cluster_stop_catchup_encode(&answer, buffer, sizeof buffer);
    if (member_link_send(&consensus->link, member, buffer, length)) {
        stop(consensus, catchup);
    }
}

void catchups_on_error(struct consensus *consensus, int64_t correlation_id) {
    for (int32_t i = 0; i < consensus->members.count; i++) {
        struct catchup *catchup = &consensus->catchups.of[i];
        if (catchup->is_running && catchup->request.correlation_id == correlation_id) {
            catchup->is_running = false;
            catchup->is_ending = false;
        }
    }
}

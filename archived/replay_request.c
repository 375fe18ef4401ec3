/* What a replay request must be like, in the order in which archive.md 5.6.1 checks it, and the
 * channel that the replay is published on. The first check that fails answers the request.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/channel.h"
#include "archived/deletion.h"
#include "archived/recording.h"
#include "archived/replay.h"
#include "shm/log_buffer.h"

static int64_t recorded_position(const struct archive_server *server,
                                 const struct archive_catalog_record *record) {
    const struct recording *active = archive_server_recording(server, record->recording_id);
    return active != NULL ? active->reported_position : record->stop_position;
}

/* The limit that holds now. */
static int64_t limit_of(const struct archive_server *server, const struct replay *replay,
                        int64_t recorded) {
    if (replay->limit_kind == REPLAY_LIMIT_COUNTER) {
        const tern_counters_reader *counters = tern_client_counters(server->client);
        return tern_counters_value(counters, replay->limit_counter_id);
    }
    return recorded;
}

static int choose_limit(struct archive_server *server, const struct replay_params *params,
                        struct replay *replay, struct archive_refusal *refusal) {
    if (params->is_bounded) {
        const tern_counters_reader *counters = tern_client_counters(server->client);
        if (!tern_counters_is_allocated(counters, params->limit_counter_id)) {
            return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                                  "limit counter %d is not allocated", params->limit_counter_id);
        }
        replay->limit_kind = REPLAY_LIMIT_COUNTER;
        replay->limit_counter_id = params->limit_counter_id;
        replay->limit_registration_id =
            tern_counters_registration_id(counters, params->limit_counter_id);
    } else if (archive_server_recording(server, params->recording_id) != NULL) {
        replay->limit_kind = REPLAY_LIMIT_RECORDING;
    } else {
        replay->limit_kind = REPLAY_LIMIT_STOP;
    }
    return 0;
}

static int check_position(const struct replay_params *params, struct replay *replay,
                          const struct archive_catalog_record *record,
                          struct archive_refusal *refusal) {
    replay->position = record->start_position;
    if (params->position == ARCHIVE_NULL) {
        return 0;
    }
    if (params->position % LOG_FRAME_ALIGNMENT != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                              "position %" PRId64 " is not a multiple of %d", params->position,
                              LOG_FRAME_ALIGNMENT);
    }
    if (params->position < record->start_position) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_INVALID_POSITION,
                              "position %" PRId64 " is before the start position %" PRId64,
                              params->position, record->start_position);
    }
    if (record->stop_position != ARCHIVE_NULL && params->position >= record->stop_position) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_INVALID_POSITION,
                              "position %" PRId64 " is not before the stop position %" PRId64,
                              params->position, record->stop_position);
    }
    replay->position = params->position;
    return 0;
}

static int check_read_length(const struct archive_server *server,
                             const struct replay_params *params, struct replay *replay,
                             struct archive_refusal *refusal) {
    replay->read_length_max = server->conf->io_length_max;
    if (params->io_length_max > 0) {
        if (params->io_length_max < replay->mtu_length) {
            return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                                  "file I/O length %d is below the MTU %d", params->io_length_max,
                                  replay->mtu_length);
        }
        replay->read_length_max = min_i32(replay->read_length_max, params->io_length_max);
    }
    return 0;
}

/* Where the replay ends by request. */
static int choose_length(const struct replay_params *params, struct replay *replay, int64_t limit,
                         struct archive_refusal *refusal) {
    bool is_open_ended = replay->limit_kind != REPLAY_LIMIT_STOP;
    if (is_open_ended && replay->position > limit) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_INVALID_POSITION,
                              "position %" PRId64 " is beyond the limit %" PRId64, replay->position,
                              limit);
    }
    int64_t longest = is_open_ended ? INT64_MAX - replay->position : limit - replay->position;
    int64_t length = params->length;
    if (length == TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW) {
        length = longest;
    } else if (length == TERN_ARCHIVE_REPLAY_ALL_AND_STOP) {
        length = limit - replay->position;
        if (length == 0) {
            return archive_refuse(refusal, TERN_ARCHIVE_ERROR_EMPTY_RECORDING,
                                  "nothing to replay at position %" PRId64, replay->position);
        }
    } else if (length < 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "length %" PRId64, length);
    } else {
        length = min_i64(length, longest);
    }
    replay->replay_limit = replay->position + length;
    replay->stop_position = limit;
    return 0;
}

static int copy_param(struct uri_builder *channel, const struct uri *uri, const char *key) {
    const char *value = uri_get(uri, key);
    return value == NULL ? 0 : uri_builder_set(channel, key, value);
}

/* Nanoseconds as a plain number, as the reference reads them, or with a suffix. */
static int choose_linger(const struct archive_server *server, const struct uri *uri,
                         int64_t *linger_ns, struct archive_refusal *refusal) {
    *linger_ns = server->conf->replay_linger_ns;
    struct tern_error error;
    if (uri_get_duration_ns(uri, "linger", linger_ns, &error) < 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
    }
    return 0;
}

static int set_geometry(struct uri_builder *channel, const struct replay *replay) {
    const struct segment_geometry *geometry = &replay->geometry;
    int32_t bits = trailing_zero_bits(geometry->term_length);
    const struct {
        const char *key;
        int64_t value;
    } values[] = {
        {"init-term-id", geometry->initial_term_id},
        {"term-id", log_term_id_of(replay->position, bits, geometry->initial_term_id)},
        {"term-offset", log_term_offset_of(replay->position, geometry->term_length)},
        {"term-length", geometry->term_length},
        {"mtu", replay->mtu_length},
    };
    int result = 0;
    for (size_t i = 0; i < ARRAY_COUNT(values) && result == 0; i++) {
        result = uri_builder_set_i64(channel, values[i].key, values[i].value);
    }
    return result;
}

static int build_channel(const struct archive_server *server, const struct replay_params *params,
                         const struct uri *uri, struct replay *replay,
                         struct archive_refusal *refusal) {
    int64_t linger_ns;
    if (choose_linger(server, uri, &linger_ns, refusal) != 0) {
        return -1;
    }
    struct uri_builder *channel = &replay->channel;
    int result = channel_strip(uri, channel);
    if (result == 0) {
        result = set_geometry(channel, replay);
    }
    if (result == 0) {
        result = copy_param(channel, uri, "eos");
    }
    if (result == 0) {
        result = copy_param(channel, uri, "sparse");
    }
    if (result == 0) {
        result = uri_builder_set_i64(channel, "linger", linger_ns);
    }
    if (result == 0 && params->response_correlation_id != ARCHIVE_NULL) {
        result = uri_builder_set_i64(channel, "response-correlation-id",
                                     params->response_correlation_id);
    }
    return result == 0
               ? 0
               : archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "replay channel is too long");
}

static int check_request(struct archive_server *server, const struct replay_params *params,
                         struct replay *replay, struct archive_refusal *refusal) {
    struct uri uri;
    struct tern_error error;
    if (uri_parse(&uri, params->channel.text, params->channel.length, &error) != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
    }
    if (choose_limit(server, params, replay, refusal) != 0) {
        return -1;
    }
    if (server->replays.count >= server->conf->replays_max) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_MAX_REPLAYS,
                              "%d replays are running, the limit", server->replays.count);
    }
    struct archive_catalog_record record;
    if (!catalog_get(&server->catalog, params->recording_id, &record)) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
                              "unknown recording %" PRId64, params->recording_id);
    }
    replay->geometry = archive_server_geometry(&record);
    replay->mtu_length = record.mtu_length;
    int64_t recorded = recorded_position(server, &record);
    if (check_position(params, replay, &record, refusal) != 0 ||
        check_read_length(server, params, replay, refusal) != 0 ||
        choose_length(params, replay, limit_of(server, replay, recorded), refusal) != 0) {
        return -1;
    }
    /* A counter may be ahead of what is recorded; frames that are not there cannot be replayed. */
    replay->stop_position = max_i64(replay->position, min_i64(replay->stop_position, recorded));
    if (record.stop_position != ARCHIVE_NULL && replay->stop_position > record.stop_position &&
        deletion_reaches(server, record.recording_id, record.stop_position)) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC,
                              "segments at the end of the recording are being deleted");
    }
    return build_channel(server, params, &uri, replay, refusal);
}

int replay_create(struct archive_server *server, const struct replay_params *params,
                  struct archive_refusal *refusal) {
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    int result = check_request(server, params, replay, refusal);
    if (result == 0 && session_list_add(&server->replays, replay) != 0) {
        result = archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    if (result != 0) {
        free(replay);
        return result;
    }
    replay->server = server;
    replay->state = REPLAY_STATE_PUBLICATION;
    replay->session_id = ARCHIVE_NULL;
    replay->control_session_id = params->control_session_id;
    replay->correlation_id = params->correlation_id;
    replay->stream_id = params->stream_id;
    replay->connect_deadline_ns = server->now_ns + server->conf->connect_timeout_ns;
    replay->file = -1;
    archive_server_count(server, ARCHIVE_COUNTER_REPLAY_SESSIONS, 1);
    return 0;
}

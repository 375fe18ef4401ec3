/* Replays.
 *
 *   PUBLICATION -> FILE -> CONNECT -> REPLAYING -> DONE
 *
 * Each step reads a run of whole frames, writes the publication's session and stream id over those
 * of the recording and appends the run as a block. The end of the term bounds a run, so that a run
 * which begins inside the subscriber's window may end beyond it but never in a term that is not
 * clean yet. A replay of an active recording, or one that a counter bounds,
 * looks for a new limit when it has reached the old one, and ends when there can be none.
 *
 * How it ends: normally (end of stream, the log lingers) when all was replayed; revoked, so that
 * the subscriber notices at once, when it was stopped, failed, or nobody listens any more.
 */
#include "archived/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/control_session.h"
#include "archived/recording.h"
#include "base/atomic.h"
#include "shm/log_buffer.h"

#define RUNS_PER_STEP_MAX 4

static void set_state(struct replay *replay, enum replay_state state) {
    assert(state > replay->state);
    replay->state = state;
}

static void end(struct replay *replay, bool revokes) {
    replay->revokes = revokes;
    set_state(replay, REPLAY_STATE_DONE);
}

static void fail(struct replay *replay, int64_t code, const char *format, ...) PRINTF_LIKE(3, 4);

static void fail(struct replay *replay, int64_t code, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    control_respond_error(replay->server, replay->control_session_id, replay->correlation_id, code,
                          "%s", text);
    end(replay, true);
}

void replay_abort(struct replay *replay) {
    replay->is_aborted = true;
}

bool replay_is_active(const struct archive_server *server, int64_t recording_id) {
    return replay_is_below(server, recording_id, INT64_MAX);
}

bool replay_is_below(const struct archive_server *server, int64_t recording_id, int64_t position) {
    for (int i = 0; i < server->replays.count; i++) {
        const struct replay *replay = server->replays.items[i];
        if (replay->geometry.recording_id == recording_id &&
            segment_base_of(&replay->geometry, replay->position) < position) {
            return true;
        }
    }
    return false;
}

void replay_abort_all(const struct archive_server *server, int64_t recording_id) {
    for (int i = 0; i < server->replays.count; i++) {
        struct replay *replay = server->replays.items[i];
        if (recording_id == ARCHIVE_NULL || replay->geometry.recording_id == recording_id) {
            replay_abort(replay);
        }
    }
}

static void close_file(struct replay *replay) {
    const struct store *store = replay->server->segments.store;
    if (replay->file >= 0) {
        (void)store->close(store->context, replay->file);
        replay->file = -1;
    }
}

void replay_destroy(struct replay *replay) {
    tern_async_cancel(replay->async);
    close_file(replay);
    if (replay->revokes && replay->publication != NULL) {
        tern_exclusive_publication_revoke(replay->publication);
    } else {
        tern_exclusive_publication_close(replay->publication);
    }
    archive_server_count(replay->server, ARCHIVE_COUNTER_REPLAY_SESSIONS, -1);
    free(replay);
}

/* ---- before the first frame
 * ------------------------------------------------------------------------ */

static int step_publication(struct replay *replay) {
    struct archive_server *server = replay->server;
    struct tern_error error;
    int result;
    if (replay->async == NULL) {
        replay->async = tern_client_async_add_exclusive_publication(
            server->client, replay->channel.text, replay->stream_id, &error);
        result = replay->async == NULL ? error.code : 0;
    } else {
        result = tern_async_poll_exclusive_publication(replay->async, &replay->publication, &error);
        replay->async = result == 0 ? replay->async : NULL;
    }
    if (result < 0 && !archive_server_is_temporary(result)) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC, "cannot publish on %.100s: %s",
             replay->channel.text, error.text);
        return 1;
    }
    if (result != 1) {
        return 0;
    }
    int32_t session_id = tern_exclusive_publication_session_id(replay->publication);
    replay->session_id = (int64_t)((uint64_t)server->next_replay_id++ << 32 | (uint32_t)session_id);
    set_state(replay, REPLAY_STATE_FILE);
    return 1;
}

/* Open the segment of the position. 0 or -errno. */
static int open_segment(struct replay *replay) {
    const struct segment_place *place = &replay->server->segments;
    char path[SEGMENT_PATH_MAX];
    close_file(replay);
    replay->segment_base = segment_base_of(&replay->geometry, replay->position);
    segment_path(place, replay->geometry.recording_id, replay->segment_base, path);
    return place->store->open(place->store->context, path, STORE_READ, &replay->file);
}

static int step_file(struct replay *replay) {
    struct archive_server *server = replay->server;
    bool is_empty = replay->position >= replay->replay_limit; /* then there may be no file */
    int result = is_empty ? 0 : open_segment(replay);
    if (result == -ENOENT && server->now_ns < replay->connect_deadline_ns) {
        return 0;
    }
    if (result != 0) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC,
             "no segment file for position %" PRId64 " of recording %" PRId64, replay->position,
             replay->geometry.recording_id);
        return 1;
    }
    bool is_inside = !is_empty && replay->position > replay->geometry.start_position &&
                     replay->position != replay->stop_position;
    if (is_inside &&
        segment_has_frame_at(&server->segments, &replay->geometry, replay->position) != 1) {
        fail(replay, TERN_ARCHIVE_ERROR_INVALID_POSITION,
             "no frame begins at position %" PRId64 " of recording %" PRId64, replay->position,
             replay->geometry.recording_id);
        return 1;
    }
    control_respond_ok(server, replay->control_session_id, replay->correlation_id,
                       replay->session_id);
    set_state(replay, REPLAY_STATE_CONNECT);
    return 1;
}

static int step_connect(struct replay *replay) {
    if (tern_exclusive_publication_is_connected(replay->publication)) {
        set_state(replay, REPLAY_STATE_REPLAYING);
        return 1;
    }
    if (replay->server->now_ns >= replay->connect_deadline_ns) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC, "nobody subscribed to the replay");
        return 1;
    }
    return 0;
}

/* ---- limits
 * ------------------------------------------------------------------------------------------ */

/* How far the recording itself goes now; *is_final when it can go no further. */
static int64_t recorded_position(const struct replay *replay, bool *is_final) {
    const struct archive_server *server = replay->server;
    const struct recording *active =
        archive_server_recording(server, replay->geometry.recording_id);
    if (active != NULL) {
        *is_final = false;
        return active->reported_position;
    }
    *is_final = true;
    struct archive_catalog_record record;
    bool is_known = catalog_get(&server->catalog, replay->geometry.recording_id, &record);
    return is_known && record.stop_position != ARCHIVE_NULL ? record.stop_position
                                                            : replay->stop_position;
}

/* The bounding counter. When its owner has gone, its last value is the end. */
static int64_t counter_position(const struct replay *replay, bool *is_final) {
    const tern_counters_reader *counters = tern_client_counters(replay->server->client);
    bool is_same = tern_counters_registration_id(counters, replay->limit_counter_id) ==
                   replay->limit_registration_id;
    *is_final = !is_same || !tern_counters_is_allocated(counters, replay->limit_counter_id);
    if (*is_final && !is_same) {
        return replay->stop_position;
    }
    const int64_t *address = tern_counters_address(counters, replay->limit_counter_id);
    return max_i64(replay->stop_position, load_acquire_i64(address));
}

/* The limit is reached, or (is_cut) the next frame goes beyond it: find a new one. True when there
 * is more to replay now; the replay ends when there can never be more. */
static bool extend_limit(struct replay *replay, bool is_cut) {
    bool is_final;
    int64_t limit = recorded_position(replay, &is_final);
    if (replay->limit_kind == REPLAY_LIMIT_COUNTER) {
        bool is_counter_final;
        int64_t bound = counter_position(replay, &is_counter_final);
        /* Never beyond what is recorded: frames that are not there cannot be replayed. */
        is_final = (is_final && limit <= bound) || (is_counter_final && bound <= limit);
        limit = min_i64(limit, bound);
    }
    if (is_final) {
        replay->replay_limit = min_i64(replay->replay_limit, max_i64(limit, replay->position));
    }
    bool has_more = limit > replay->stop_position;
    if (replay->position >= replay->replay_limit || (is_final && is_cut && !has_more)) {
        end(replay, false);
        return false;
    }
    replay->stop_position = max_i64(replay->stop_position, limit);
    return has_more;
}

/* ---- replaying
 * --------------------------------------------------------------------------------------- */

/* What a run of frames turned out to be. */
struct run {
    int32_t length;         /* bytes of whole data frames */
    int32_t padding_length; /* of the padding frame behind them; 0: none */
    bool is_damaged;
    bool is_cut; /* the first frame goes beyond what may be replayed now */
};

static bool has_right_checksum(const struct replay *replay, const uint8_t *frame, int32_t aligned) {
    const struct checksum *checksum = &replay->server->replay_checksum;
    return !checksum_is_enabled(checksum) ||
           get_i32(frame + offsetof(struct frame_header, session_id)) ==
               checksum_compute(checksum, frame + LOG_FRAME_HEADER_LENGTH,
                                aligned - LOG_FRAME_HEADER_LENGTH);
}

/* Find the frames in `length` bytes at the replay's position, and make them ours. */
static struct run prepare_run(const struct replay *replay, uint8_t *data, int32_t length,
                              int32_t term_remaining) {
    struct run run = {0};
    int32_t session_id = tern_exclusive_publication_session_id(replay->publication);
    while (run.length + LOG_FRAME_HEADER_LENGTH <= length &&
           replay->position + run.length < replay->replay_limit) {
        uint8_t *frame = data + run.length;
        int32_t frame_length = get_i32(frame);
        if (frame_length < LOG_FRAME_HEADER_LENGTH || frame_length > term_remaining - run.length) {
            run.is_damaged = true;
            break;
        }
        int32_t aligned = log_aligned_frame_length(frame_length);
        if (get_u16(frame + offsetof(struct frame_header, type)) == FRAME_TYPE_PAD) {
            run.padding_length = frame_length;
            break;
        }
        if (aligned > length - run.length) {
            /* Not all of it was read. A first frame is cut only by the limit of the replay. */
            run.is_cut = run.length == 0;
            break;
        }
        if (!has_right_checksum(replay, frame, aligned)) {
            run.is_damaged = true;
            break;
        }
        put_i32(frame + offsetof(struct frame_header, session_id), session_id);
        put_i32(frame + offsetof(struct frame_header, stream_id), replay->stream_id);
        run.length += aligned;
    }
    return run;
}

/* Read at the position; the number of bytes or -errno. */
static int64_t read_file(struct replay *replay, int32_t wanted) {
    struct archive_server *server = replay->server;
    const struct store *store = server->segments.store;
    int64_t began_ns = clock_now_ns(server->io.clock);
    int64_t count = store->pread(store->context, replay->file, server->io_buffer, wanted,
                                 replay->position - replay->segment_base);
    int64_t took_ns = clock_now_ns(server->io.clock) - began_ns;
    tern_counter *longest = server->counters[ARCHIVE_COUNTER_MAX_READ_TIME];
    if (took_ns > tern_counter_value(longest)) {
        tern_counter_set(longest, took_ns);
    }
    archive_server_count(server, ARCHIVE_COUNTER_READ_TIME, took_ns);
    return count;
}

/* Append; true when it was taken. */
static bool publish(struct replay *replay, const struct run *run) {
    struct archive_server *server = replay->server;
    int64_t result = 0;
    if (run->length > 0) {
        result = tern_exclusive_publication_offer_block(replay->publication, server->io_buffer,
                                                        run->length);
        if (result > 0) {
            replay->position += run->length;
            archive_server_count(server, ARCHIVE_COUNTER_READ_BYTES, run->length);
        }
    }
    if (result >= 0 && run->padding_length > 0) {
        result = tern_exclusive_publication_append_padding(
            replay->publication, run->padding_length - LOG_FRAME_HEADER_LENGTH);
        if (result > 0) {
            replay->position += log_aligned_frame_length(run->padding_length);
            archive_server_count(server, ARCHIVE_COUNTER_READ_BYTES,
                                 log_aligned_frame_length(run->padding_length));
        }
    }
    if (result == TERN_PUBLICATION_NOT_CONNECTED || result == TERN_PUBLICATION_CLOSED) {
        end(replay, true);
    } else if (result == TERN_PUBLICATION_ERROR || result == TERN_PUBLICATION_MAX_POSITION) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC,
             "recording %" PRId64 " has a damaged frame at position %" PRId64,
             replay->geometry.recording_id, replay->position);
    }
    return result > 0;
}

/* Be in the segment of the position. */
static bool enter_segment(struct replay *replay) {
    if (replay->file >= 0 &&
        replay->position < replay->segment_base + replay->geometry.segment_length) {
        return true;
    }
    int result = open_segment(replay);
    if (result != 0) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC, "cannot open segment %" PRId64 "-%" PRId64 ".rec",
             replay->geometry.recording_id, replay->segment_base);
    }
    return result == 0;
}

/* One run of frames. True when something was appended. */
static bool replay_run(struct replay *replay) {
    if (!enter_segment(replay)) {
        return false;
    }
    int32_t term_remaining = replay->geometry.term_length -
                             log_term_offset_of(replay->position, replay->geometry.term_length);
    int64_t wanted = min_i64(replay->read_length_max,
                             min_i64(term_remaining, replay->stop_position - replay->position));
    int64_t count = read_file(replay, (int32_t)wanted);
    struct run run = {.is_damaged = true};
    if (count >= LOG_FRAME_HEADER_LENGTH) {
        run = prepare_run(replay, replay->server->io_buffer, (int32_t)count, term_remaining);
    }
    if (run.is_cut && replay->position + count == replay->stop_position) {
        return extend_limit(replay, true);
    }
    run.is_damaged = run.is_damaged || run.is_cut; /* the file ends inside the frame */
    bool was_published = run.length + run.padding_length > 0 && publish(replay, &run);
    if (run.is_damaged && replay->state != REPLAY_STATE_DONE) {
        fail(replay, TERN_ARCHIVE_ERROR_GENERIC,
             "recording %" PRId64 " is damaged at position %" PRId64, replay->geometry.recording_id,
             replay->position);
    }
    return was_published;
}

static int step_replaying(struct replay *replay) {
    int work = 0;
    for (int i = 0; i < RUNS_PER_STEP_MAX && replay->state == REPLAY_STATE_REPLAYING; i++) {
        if (!tern_exclusive_publication_is_connected(replay->publication)) {
            end(replay, true);
        } else if (replay->position >= replay->replay_limit) {
            end(replay, false);
        } else if (replay->position >= replay->stop_position && !extend_limit(replay, false)) {
            break;
        } else {
            bool has_window = tern_exclusive_publication_available_window(replay->publication) > 0;
            if (!has_window || !replay_run(replay)) {
                break;
            }
        }
        work++;
    }
    return replay->state == REPLAY_STATE_DONE ? work + 1 : work;
}

int replay_step(struct replay *replay, bool *is_alive) {
    int work = 0;
    if (replay->is_aborted && replay->state != REPLAY_STATE_DONE) {
        end(replay, true);
    }
    switch (replay->state) {
    case REPLAY_STATE_PUBLICATION:
        work = step_publication(replay);
        break;
    case REPLAY_STATE_FILE:
        work = step_file(replay);
        break;
    case REPLAY_STATE_CONNECT:
        work = step_connect(replay);
        break;
    case REPLAY_STATE_REPLAYING:
        work = step_replaying(replay);
        break;
    case REPLAY_STATE_DONE:
        break;
    }
    *is_alive = replay->state != REPLAY_STATE_DONE;
    if (!*is_alive) {
        replay_destroy(replay);
        work++;
    }
    return work;
}

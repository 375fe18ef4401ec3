/* Recordings.
 *
 *   COUNTER -> ACTIVE -> ENDED
 *
 * Each duty cycle copies what the image has, block by block, straight from the mapped term into the
 * segment file; with checksums through a buffer, as the frames in the file carry them. Positions
 * are reported once per cycle, after all recordings have written and, by the sync level, one sync
 * per file: that is the group commit. So the counter never says more than what would survive.
 *
 * A recording ends when it is stopped, when its image is closed or consumed to the end, or when a
 * write fails; then the client gets an error and all others go on. Its end is told when the catalog
 * has it and not before: by a catalog that still has the recording as active, the next start would
 * find the end of what was written, which may be further.
 */
#include "archived/recording.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/control_session.h"
#include "archived/deletion.h"
#include "archived/events.h"
#include "shm/counter_types.h"
#include "shm/log_buffer.h"

#define BLOCKS_PER_STEP_MAX SEGMENT_UNSYNCED_BLOCKS_MAX /* then follows the sync */
#define SOURCE_IDENTITY_KEY_MAX 88
#define RETRY_INTERVAL_NS (100 * NS_PER_MS) /* of writing down the end */

static void set_state(struct recording *recording, enum recording_state state) {
    assert(state > recording->state);
    recording->state = state;
}

void recording_abort(struct recording *recording) {
    recording->is_aborted = true;
}

static void fail(struct recording *recording, int64_t code, const char *what, int result) {
    char text[128];
    const char *reason = result < 0 ? strerror_r(-result, text, sizeof text) : "";
    recording->has_failed = true;
    recording->failure_code = code;
    (void)snprintf(recording->failure, sizeof recording->failure, "recording %" PRId64 ": %s%s%s",
                   recording->id, what, result < 0 ? ": " : "", reason);
}

/* ---- create
 * --------------------------------------------------------------------------------------- */

static void answer_error(const struct recording_subscription *subscription, int64_t code,
                         const char *text) {
    control_respond_error(subscription->server, subscription->control_session_id,
                          subscription->correlation_id, code, "%s", text);
}

static struct text_slice slice_of(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

/* A new recording: its record in the catalog. */
static int add_to_catalog(struct recording *recording, struct tern_error *error) {
    struct archive_server *server = recording->server;
    const struct recording_subscription *subscription = recording->subscription;
    const tern_image *image = recording->image;
    int32_t term_length = tern_image_term_length(image);
    const struct archive_catalog_record record = {
        .start_timestamp = server->now_epoch_ms,
        .stop_timestamp = ARCHIVE_NULL,
        .start_position = recording->join_position,
        .stop_position = ARCHIVE_NULL,
        .initial_term_id = tern_image_initial_term_id(image),
        .segment_file_length = max_i32(server->conf->segment_length, term_length),
        .term_buffer_length = term_length,
        .mtu_length = tern_image_mtu_length(image),
        .session_id = tern_image_session_id(image),
        .stream_id = subscription->stream_id,
        .stripped_channel = slice_of(subscription->stripped_channel.text),
        .original_channel = slice_of(subscription->original_channel),
        .source_identity = slice_of(tern_image_source_identity(image)),
    };
    int result = catalog_add(&server->catalog, &record, &recording->id, error);
    if (result == 0) {
        recording->geometry = archive_server_geometry(&record);
        recording->geometry.recording_id = recording->id;
    }
    return result;
}

/* An extension: the image must continue the recording exactly. */
static int check_extension(struct recording *recording) {
    struct archive_server *server = recording->server;
    const struct recording_subscription *subscription = recording->subscription;
    const tern_image *image = recording->image;
    struct archive_catalog_record record;
    if (!catalog_get(&server->catalog, subscription->extended_recording_id, &record)) {
        answer_error(subscription, TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING,
                     "the recording to extend has been removed");
        return -1;
    }
    if (archive_server_recording(server, record.recording_id) != NULL) {
        answer_error(subscription, TERN_ARCHIVE_ERROR_ACTIVE_RECORDING,
                     "the recording to extend is active");
        return -1;
    }
    if (deletion_reaches(server, record.recording_id, record.stop_position)) {
        answer_error(subscription, TERN_ARCHIVE_ERROR_GENERIC,
                     "segments at the end of the recording are still being deleted");
        return -1;
    }
    if (recording->join_position != record.stop_position ||
        tern_image_initial_term_id(image) != record.initial_term_id ||
        tern_image_term_length(image) != record.term_buffer_length ||
        tern_image_mtu_length(image) != record.mtu_length) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "the stream does not continue recording %" PRId64 ": position %" PRId64
                       " (recorded %" PRId64 "), initial term %d (%d), term length %d (%d), mtu "
                       "%d (%d)",
                       record.recording_id, recording->join_position, record.stop_position,
                       tern_image_initial_term_id(image), record.initial_term_id,
                       tern_image_term_length(image), record.term_buffer_length,
                       tern_image_mtu_length(image), record.mtu_length);
        answer_error(subscription, TERN_ARCHIVE_ERROR_INVALID_EXTENSION, text);
        return -1;
    }
    recording->id = record.recording_id;
    recording->geometry = archive_server_geometry(&record);
    return 0;
}

/* A subscription that stays records one image after the other, so the limit is looked at for each
 * of them; the client hears of every stream that is not recorded. */
static int check_limit(const struct recording *recording) {
    const struct archive_server *server = recording->server;
    if (server->recordings.count < server->conf->recordings_max) {
        return 0;
    }
    char text[160];
    (void)snprintf(text, sizeof text,
                   "the stream of session %d is not recorded: %d recordings are active, the limit",
                   tern_image_session_id(recording->image), server->recordings.count);
    answer_error(recording->subscription, TERN_ARCHIVE_ERROR_MAX_RECORDINGS, text);
    archive_server_error(recording->server, -EMFILE, "%s", text);
    return -1;
}

static int enter(struct recording *recording, struct tern_error *error) {
    if (check_limit(recording) != 0) {
        return -1;
    }
    if (recording->is_extension) {
        return check_extension(recording);
    }
    int result = add_to_catalog(recording, error);
    if (result != 0) {
        answer_error(recording->subscription,
                     result == -ENOSPC ? TERN_ARCHIVE_ERROR_STORAGE_SPACE
                                       : TERN_ARCHIVE_ERROR_GENERIC,
                     error->text);
        archive_server_error(recording->server, result, "%s", error->text);
    }
    return result;
}

void recording_create(struct recording_subscription *subscription, tern_image *image) {
    struct archive_server *server = subscription->server;
    struct tern_error error = {0};
    struct recording *recording = calloc(1, sizeof *recording);
    if (recording == NULL) {
        answer_error(subscription, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
        return;
    }
    recording->server = server;
    recording->subscription = subscription;
    recording->control_session_id = subscription->control_session_id;
    recording->correlation_id = subscription->correlation_id;
    recording->image = image;
    recording->join_position = tern_image_join_position(image);
    recording->position = recording->join_position;
    recording->reported_position = recording->join_position;
    recording->event_position = recording->join_position;
    recording->is_extension = subscription->extended_recording_id != ARCHIVE_NULL;
    recording->file = -1;
    recording->hold.offset = -1;
    if (enter(recording, &error) != 0) {
        free(recording);
        if (subscription->auto_stop) {
            recording_subscription_stop(subscription);
        }
        return;
    }
    if (hash_map_put(&server->recordings_by_id, recording->id, recording) != 0 ||
        session_list_add(&server->recordings, recording) != 0) {
        (void)hash_map_remove(&server->recordings_by_id, recording->id);
        answer_error(subscription, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
        free(recording);
        return;
    }
    tern_image_retain(image);
    subscription->recording_count++;
    archive_server_count(server, ARCHIVE_COUNTER_RECORDING_SESSIONS, 1);
}

/* ---- the position counter
 * --------------------------------------------------------------------------- */

static tern_async *begin_counter(struct recording *recording, struct tern_error *error) {
    struct archive_server *server = recording->server;
    const char *source = tern_image_source_identity(recording->image);
    int32_t source_length = min_i32((int32_t)strlen(source), SOURCE_IDENTITY_KEY_MAX);
    uint8_t key[TERN_COUNTER_KEY_MAX];
    put_i64(key, recording->id);
    put_i32(key + 8, tern_image_session_id(recording->image));
    put_i32(key + 12, source_length);
    memcpy(key + 16, source, (size_t)source_length);
    put_i64(key + 16 + source_length, server->archive_id);
    char label[TERN_COUNTER_LABEL_MAX + 1];
    int32_t length = archive_server_label(
        server, label, (int32_t)sizeof label, "rec-pos: %" PRId64 " %d %d %s", recording->id,
        tern_image_session_id(recording->image), recording->subscription->stream_id,
        recording->subscription->stripped_channel.text);
    const struct tern_counter_params params = {.type_id = COUNTER_TYPE_ARCHIVE_RECORDING_POSITION,
                                               .key = key,
                                               .key_length = 16 + source_length + 8,
                                               .label = label,
                                               .label_length = length};
    return tern_client_async_add_counter(server->client, &params, error);
}

static void send_signal(const struct recording *recording, int32_t signal, int64_t position) {
    const struct control_signal event = {
        .control_session_id = recording->control_session_id,
        .correlation_id = recording->correlation_id,
        .recording_id = recording->id,
        .subscription_id = recording->subscription->id,
        .position = position,
        .signal = signal,
    };
    control_send_signal(recording->server, &event);
}

static void fail_store(struct recording *recording, const char *what, int result) {
    fail(recording,
         result == -ENOSPC ? TERN_ARCHIVE_ERROR_STORAGE_SPACE : TERN_ARCHIVE_ERROR_GENERIC, what,
         result);
}

/* Frames before an extension that have no checksums, or others. */
static int add_checksums(struct recording *recording) {
    struct archive_server *server = recording->server;
    enum checksum_kind kind = server->record_checksum.kind;
    if (kind == CHECKSUM_NONE || catalog_frame_checksum(&server->catalog, recording->id) == kind) {
        return 0;
    }
    const struct segment_scan scan = {
        .place = &server->segments,
        .geometry = &recording->geometry,
        .checksum = &server->record_checksum,
        .buffer = server->io_buffer,
        .buffer_length = server->conf->io_length_max,
    };
    int result = segment_add_checksums(&scan, recording->position);
    if (result != 0) {
        fail_store(recording, "cannot add checksums to its segment file", result);
    }
    return result;
}

static int open_segment(struct recording *recording) {
    const struct segment_place *place = &recording->server->segments;
    recording->segment_base = segment_base_of(&recording->geometry, recording->position);
    int result = 0;
    if (recording->is_extension) {
        result = segment_remove_above(place, &recording->geometry, recording->position);
    }
    if (result == 0) {
        result = segment_open_write(place, &recording->geometry, recording->position,
                                    !recording->is_extension, &recording->file);
    }
    if (result != 0) {
        fail_store(recording, "cannot open its segment file", result);
    }
    return result;
}

/* The catalog must know before the first byte is written that the recording is active again; else
 * a crash would lose all that the extension reported. */
static int extend_in_catalog(struct recording *recording) {
    const struct catalog_extension extension = {
        .recording_id = recording->id,
        .control_session_id = recording->control_session_id,
        .correlation_id = recording->correlation_id,
        .session_id = tern_image_session_id(recording->image),
    };
    struct tern_error error;
    int result = catalog_extend(&recording->server->catalog, &extension, &error);
    if (result != 0) {
        fail_store(recording, "cannot write its catalog record", result);
    }
    return result;
}

/* Everything is there: tell the client and begin to write. Until an extension has cleared what
 * stands behind its position, recovery must go by the stop position in the catalog. */
static void start(struct recording *recording) {
    if (recording->is_extension && (add_checksums(recording) != 0 || open_segment(recording) != 0 ||
                                    extend_in_catalog(recording) != 0)) {
        return;
    }
    recording->was_started = true;
    struct archive_server *server = recording->server;
    tern_counter_set(recording->counter, recording->join_position);
    set_state(recording, RECORDING_STATE_ACTIVE);
    send_signal(recording,
                recording->is_extension ? ARCHIVE_RECORDING_SIGNAL_EXTEND
                                        : ARCHIVE_RECORDING_SIGNAL_START,
                recording->join_position);
    if (!recording->is_extension && open_segment(recording) != 0) {
        return;
    }
    events_recording_started(server, recording);
}

static int step_counter(struct recording *recording) {
    struct tern_error error;
    int result;
    if (recording->counter_async == NULL) {
        recording->counter_async = begin_counter(recording, &error);
        result = recording->counter_async == NULL ? error.code : 0;
    } else {
        result = tern_async_poll_counter(recording->counter_async, &recording->counter, &error);
        recording->counter_async = result == 0 ? recording->counter_async : NULL;
    }
    if (result == 1) {
        start(recording);
        return 1;
    }
    if (result < 0 && !archive_server_is_temporary(result)) {
        fail(recording, TERN_ARCHIVE_ERROR_GENERIC, error.text, 0);
    }
    return 0;
}

/* ---- writing
 * ---------------------------------------------------------------------------------------- */

static int sync_file(struct recording *recording) {
    const struct segment_place *place = &recording->server->segments;
    if (place->sync_level == 0 || !recording->is_dirty) {
        recording->is_dirty = false;
        return 0;
    }
    int result = segment_release_header(place, recording->file, &recording->hold);
    if (result == 0) {
        result = place->store->sync(place->store->context, recording->file, place->sync_level > 1);
    }
    if (result == 0) {
        recording->is_dirty = false;
    }
    return result;
}

static void close_file(struct recording *recording) {
    const struct store *store = recording->server->segments.store;
    if (recording->file >= 0) {
        (void)store->close(store->context, recording->file);
        recording->file = -1;
    }
}

/* Once per segment: an operator should hear of a disk that fills up before recordings fail. */
static void warn_of_low_space(const struct recording *recording) {
    struct archive_server *server = recording->server;
    int64_t space = server->io.store->usable_space(server->io.store->context, server->conf->dir);
    if (space >= 0 && space <= server->conf->storage_threshold) {
        archive_server_error(server, -ENOSPC,
                             "storage space is below the limit of %" PRId64
                             " bytes: new recordings are refused, active ones go on",
                             server->conf->storage_threshold);
    }
}

/* The segment is full: the next one must not exist yet. */
static void roll_over(struct recording *recording) {
    int result = sync_file(recording);
    if (result != 0) {
        fail(recording, TERN_ARCHIVE_ERROR_GENERIC, "cannot sync its segment file", result);
        return;
    }
    close_file(recording);
    recording->segment_base += recording->geometry.segment_length;
    result = segment_open_write(&recording->server->segments, &recording->geometry,
                                recording->segment_base, true, &recording->file);
    if (result != 0) {
        fail_store(recording, "cannot make its next segment file", result);
        return;
    }
    warn_of_low_space(recording);
}

/* A copy of the block whose frames carry their checksums in the place of the session id. */
static const uint8_t *with_checksums(struct recording *recording, const uint8_t *block,
                                     int32_t length) {
    struct archive_server *server = recording->server;
    assert(length <= server->conf->io_length_max);
    memcpy(server->io_buffer, block, (size_t)length);
    for (int32_t at = 0; at < length;) {
        uint8_t *frame = server->io_buffer + at;
        int32_t aligned = log_aligned_frame_length(get_i32(frame));
        assert(aligned >= LOG_FRAME_HEADER_LENGTH && at + aligned <= length);
        int32_t value = checksum_compute(&server->record_checksum, frame + LOG_FRAME_HEADER_LENGTH,
                                         aligned - LOG_FRAME_HEADER_LENGTH);
        put_i32(frame + offsetof(struct frame_header, session_id), value);
        at += aligned;
    }
    return server->io_buffer;
}

/* Write `length` bytes at the position; the header of the first since the last sync may have to
 * wait for the next one. */
static int write_data(struct recording *recording, const uint8_t *data, int32_t length) {
    const struct archive_server *server = recording->server;
    const struct store *store = server->segments.store;
    int64_t offset = recording->position - recording->segment_base;
    bool is_held =
        !recording->is_dirty && segment_holds_headers(&server->segments, &server->record_checksum,
                                                      tern_image_mtu_length(recording->image));
    int32_t held = is_held ? LOG_FRAME_HEADER_LENGTH : 0;
    int result = length == held ? 0
                                : store->pwrite(store->context, recording->file, data + held,
                                                length - held, offset + held);
    if (result == 0 && is_held) {
        segment_hold_header(&recording->hold, data, offset);
    }
    return result;
}

static void write_failed(struct recording *recording, int result, int64_t length) {
    struct archive_server *server = recording->server;
    int64_t space = server->io.store->usable_space(server->io.store->context, server->conf->dir);
    bool is_full = result == -ENOSPC || result == -EDQUOT || (space >= 0 && space < length);
    fail(recording, is_full ? TERN_ARCHIVE_ERROR_STORAGE_SPACE : TERN_ARCHIVE_ERROR_GENERIC,
         "write failed", result);
}

static void on_block(void *context, const uint8_t *block, int32_t length, int32_t session_id,
                     int32_t term_id) {
    (void)session_id, (void)term_id;
    struct recording *recording = context;
    struct archive_server *server = recording->server;
    if (recording->has_failed) {
        return;
    }
    bool is_padding = get_u16(block + offsetof(struct frame_header, type)) == FRAME_TYPE_PAD;
    int32_t written = is_padding ? LOG_FRAME_HEADER_LENGTH : length;
    const uint8_t *data = block;
    if (checksum_is_enabled(&server->record_checksum) && !is_padding) {
        data = with_checksums(recording, block, length);
    }
    int64_t began_ns = clock_now_ns(server->io.clock);
    int result = write_data(recording, data, written);
    int64_t took_ns = clock_now_ns(server->io.clock) - began_ns;
    if (result != 0) {
        write_failed(recording, result, written);
        return;
    }
    tern_counter *longest = server->counters[ARCHIVE_COUNTER_MAX_WRITE_TIME];
    if (took_ns > tern_counter_value(longest)) {
        tern_counter_set(longest, took_ns);
    }
    archive_server_count(server, ARCHIVE_COUNTER_WRITE_BYTES, length);
    archive_server_count(server, ARCHIVE_COUNTER_WRITE_TIME, took_ns);
    recording->is_dirty = true;
    recording->is_end_doubtful =
        !is_padding && !checksum_is_enabled(&server->record_checksum) &&
        segment_end_is_doubtful(block, length, recording->position - recording->segment_base,
                                tern_image_mtu_length(recording->image));
    recording->position += length;
    if (recording->position == recording->segment_base + recording->geometry.segment_length) {
        roll_over(recording);
    }
}

static int step_active(struct recording *recording) {
    int32_t limit =
        min_i32(recording->geometry.term_length, recording->server->conf->io_length_max);
    int work = 0;
    for (int i = 0; i < BLOCKS_PER_STEP_MAX && !recording->has_failed; i++) {
        /* Looked at before the poll: what was there when the image closed has been delivered. */
        bool is_over =
            tern_image_is_closed(recording->image) || tern_image_is_end_of_stream(recording->image);
        int32_t length = tern_image_block_poll(recording->image, on_block, recording, limit);
        if (length == 0) {
            recording->is_aborted = recording->is_aborted || is_over;
            break;
        }
        work++;
    }
    return work;
}

int recording_step(struct recording *recording) {
    int work = 0;
    if (recording->state == RECORDING_STATE_COUNTER && !recording->is_aborted) {
        work = step_counter(recording);
    }
    if (recording->state == RECORDING_STATE_ACTIVE && !recording->is_aborted &&
        !recording->has_failed) {
        work += step_active(recording);
    }
    return work;
}

/* Mark a last frame that recovery could take for torn. One that covers a whole page besides must be
 * durable before its marker can be, so that the marker never vouches for a page that got lost. */
static int mark_end(struct recording *recording) {
    if (!recording->is_end_doubtful || recording->has_failed) {
        return 0;
    }
    int result = 0;
    if (tern_image_mtu_length(recording->image) > SEGMENT_PAGE_LENGTH) {
        result = sync_file(recording);
    }
    if (result == 0) {
        result = segment_write_marker(&recording->server->segments, &recording->geometry,
                                      recording->file, recording->position);
        recording->is_dirty = true;
    }
    recording->is_end_doubtful = false;
    return result;
}

int recording_report(struct recording *recording) {
    if (recording->state == RECORDING_STATE_ENDED) {
        return 0; /* it waits for the catalog, and its end does not move any more */
    }
    if (recording->position > recording->reported_position) {
        int result = mark_end(recording);
        if (result == 0) {
            result = sync_file(recording);
        }
        if (result != 0) {
            write_failed(recording, result, LOG_FRAME_HEADER_LENGTH);
        } else {
            recording->reported_position = recording->position;
            tern_counter_set(recording->counter, recording->position);
        }
    }
    int work = 0;
    if (recording->reported_position > recording->event_position) {
        events_recording_progress(recording->server, recording);
        work++;
    }
    if (recording->is_aborted || recording->has_failed) {
        set_state(recording, RECORDING_STATE_ENDED);
        work++;
    }
    return work;
}

/* ---- end
 * -------------------------------------------------------------------------------------------- */

static void release(struct recording *recording) {
    struct archive_server *server = recording->server;
    tern_async_cancel(recording->counter_async);
    close_file(recording);
    tern_counter_close(recording->counter);
    tern_image_release(recording->image);
    (void)hash_map_remove(&server->recordings_by_id, recording->id);
    free(recording);
}

/* The client hears of a failure at once, and once. */
static void tell_failure(struct recording *recording) {
    if (recording->has_failed && !recording->is_failure_told) {
        recording->is_failure_told = true;
        archive_server_error(recording->server, -EIO, "%s", recording->failure);
        control_respond_error(recording->server, recording->control_session_id,
                              recording->correlation_id, recording->failure_code, "%s",
                              recording->failure);
    }
}

/* That its counter goes tells everybody that nothing is written any more, and not where it ends. */
static void wait_for_catalog(struct recording *recording) {
    recording->retry_ns = recording->server->now_ns + RETRY_INTERVAL_NS;
    tern_counter_close(recording->counter);
    recording->counter = NULL;
    recording_subscription_let_go(recording->subscription);
}

bool recording_try_end(struct recording *recording) {
    struct archive_server *server = recording->server;
    struct tern_error error;
    assert(recording->state == RECORDING_STATE_ENDED);
    tell_failure(recording);
    if (server->now_ns < recording->retry_ns) {
        return false;
    }
    bool is_in_catalog = catalog_contains(&server->catalog, recording->id) &&
                         (recording->was_started || !recording->is_extension);
    if (!is_in_catalog) {
        return true;
    }
    int result =
        catalog_recording_stopped(&server->catalog, recording->id, recording->reported_position,
                                  server->now_epoch_ms, &error);
    if (result != 0) {
        archive_server_error(server, result, "%s", error.text);
        wait_for_catalog(recording);
    }
    return result == 0;
}

void recording_finish(struct recording *recording) {
    struct archive_server *server = recording->server;
    if (recording->was_started) {
        events_recording_stopped(server, recording);
        send_signal(recording, ARCHIVE_RECORDING_SIGNAL_STOP, recording->reported_position);
    }
    recording_subscription_on_recording_ended(recording->subscription);
    archive_server_count(server, ARCHIVE_COUNTER_RECORDING_SESSIONS, -1);
    release(recording);
}

void recording_abandon(struct recording *recording) {
    recording->subscription->recording_count--;
    release(recording);
}

/* Requests that shorten recordings and move segment files (archive.md 5.8 to 5.10).
 *
 * Everything is validated before anything changes; the original changes the stop position before it
 * looks at the frame boundary. The catalog changes first, then the files: a crash in between leaves
 * files that nothing refers to, never a reference to files that are gone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/deletion.h"
#include "archived/recording.h"
#include "archived/replay.h"
#include "archived/request.h"
#include "shm/log_buffer.h"

static bool may_delete(const struct archive_request *request, int64_t recording_id) {
    if (deletion_is_pending(request->server, recording_id)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "segments of recording %" PRId64 " are being deleted", recording_id);
        return false;
    }
    return true;
}

static bool is_stopped(const struct archive_request *request, int64_t recording_id) {
    if (archive_server_recording(request->server, recording_id) != NULL) {
        request_error(request, TERN_ARCHIVE_ERROR_ACTIVE_RECORDING,
                      "recording %" PRId64 " is active", recording_id);
        return false;
    }
    return true;
}

static void catalog_failed(const struct archive_request *request, const struct tern_error *error) {
    archive_server_error(request->server, error->code, "%s", error->text);
    request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%s", error->text);
}

/* Answer with the number of files and have them deleted. Takes `bases` over. */
static void answer_and_delete(const struct archive_request *request, int64_t recording_id,
                              int64_t *bases, int count, bool waits_for_replays) {
    const struct deletion_params params = {
        .recording_id = recording_id,
        .control_session_id = request->session->id,
        .correlation_id = request->correlation_id,
        .waits_for_replays = waits_for_replays,
        .bases = bases,
        .count = count,
    };
    request_ok(request, count);
    if (deletion_create(request->server, &params) != 0) {
        archive_server_error(request->server, -ENOMEM, "no memory to delete segments");
    }
}

/* ---- truncate
 * --------------------------------------------------------------------------------------- */

static bool check_truncation(const struct archive_request *request,
                             const struct archive_catalog_record *record, int64_t position) {
    if (position < record->start_position || position > record->stop_position ||
        position % LOG_FRAME_ALIGNMENT != 0) {
        request_error(request, TERN_ARCHIVE_ERROR_INVALID_POSITION,
                      "position %" PRId64 " is not between start %" PRId64 " and stop %" PRId64
                      ", or not a multiple of %d",
                      position, record->start_position, record->stop_position, LOG_FRAME_ALIGNMENT);
        return false;
    }
    if (!may_delete(request, record->recording_id)) {
        return false;
    }
    const struct segment_geometry geometry = archive_server_geometry(record);
    bool is_inside = position != record->start_position && position != record->stop_position &&
                     position != segment_base_of(&geometry, position);
    if (is_inside && segment_has_frame_at(&request->server->segments, &geometry, position) != 1) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "no frame begins at position %" PRId64,
                      position);
        return false;
    }
    return true;
}

/* The files that go; -errno. */
static int list_truncated(const struct archive_request *request,
                          const struct archive_catalog_record *record, int64_t position,
                          int64_t **bases) {
    const struct segment_geometry geometry = archive_server_geometry(record);
    int64_t step = geometry.segment_length;
    if (position == record->start_position) {
        return deletion_list_files(request->server, record->recording_id, bases);
    }
    int64_t base = segment_base_of(&geometry, position);
    int64_t first = position > base ? base + step : base;
    return deletion_list_range(first, segment_base_of(&geometry, record->stop_position) + step,
                               step, bases);
}

/* Clear what stands behind the position in its own segment. */
static int cut_segment(const struct archive_request *request,
                       const struct segment_geometry *geometry, int64_t position) {
    const struct segment_place *place = &request->server->segments;
    if (position == segment_base_of(geometry, position)) {
        return 0;
    }
    return segment_cut(place, geometry, position);
}

static void truncate_to(const struct archive_request *request,
                        const struct archive_catalog_record *record, int64_t position) {
    struct archive_server *server = request->server;
    const struct segment_geometry geometry = archive_server_geometry(record);
    int64_t recording_id = record->recording_id;
    bool is_shorter = position != record->stop_position;
    bool is_emptied = position == record->start_position;
    int64_t *bases;
    int count = list_truncated(request, record, position, &bases);
    struct tern_error error;
    if (count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "cannot list the segment files");
        return;
    }
    if (catalog_set_stop_position(&server->catalog, recording_id, position, &error) != 0) {
        free(bases);
        catalog_failed(request, &error);
        return;
    }
    if (is_shorter && !is_emptied && cut_segment(request, &geometry, position) != 0) {
        archive_server_error(server, -EIO, "cannot cut the last segment of recording %" PRId64,
                             recording_id);
    }
    replay_abort_all(server, recording_id);
    answer_and_delete(request, recording_id, bases, count, true);
}

int request_truncate_recording(struct archive_request *request) {
    struct archive_truncate_recording_request decoded;
    int result =
        archive_truncate_recording_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result == 0 && request_record(request, decoded.recording_id, &record) &&
        is_stopped(request, decoded.recording_id) &&
        check_truncation(request, &record, decoded.position)) {
        truncate_to(request, &record, decoded.position);
    }
    return result;
}

/* ---- purge
 * ------------------------------------------------------------------------------------------ */

int request_purge_recording(struct archive_request *request) {
    struct archive_purge_recording_request decoded;
    int result =
        archive_purge_recording_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result != 0 || !request_record(request, decoded.recording_id, &record)) {
        return result;
    }
    struct archive_server *server = request->server;
    if (replay_is_active(server, decoded.recording_id)) {
        request_error(request, TERN_ARCHIVE_ERROR_ACTIVE_RECORDING,
                      "recording %" PRId64 " is being replayed", decoded.recording_id);
        return 0;
    }
    if (!is_stopped(request, decoded.recording_id) || !may_delete(request, decoded.recording_id)) {
        return 0;
    }
    int64_t *bases;
    int count = deletion_list_files(server, decoded.recording_id, &bases);
    struct tern_error error;
    if (count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "cannot list the segment files");
    } else if (catalog_remove(&server->catalog, decoded.recording_id,
                              ARCHIVE_RECORDING_STATE_DELETED, &error) != 0) {
        free(bases);
        catalog_failed(request, &error);
    } else {
        answer_and_delete(request, decoded.recording_id, bases, count, false);
    }
    return 0;
}

/* ---- detach, delete, purge segments
 * ------------------------------------------------------------------- */

static bool check_new_start(const struct archive_request *request,
                            const struct archive_catalog_record *record, int64_t new_start) {
    const struct segment_geometry geometry = archive_server_geometry(record);
    const struct recording *active =
        archive_server_recording(request->server, record->recording_id);
    int64_t end = active != NULL ? active->reported_position : record->stop_position;
    int64_t lowest = segment_base_of(&geometry, record->start_position) + geometry.segment_length;
    bool is_base = new_start >= 0 && new_start == segment_base_of(&geometry, new_start);
    if (!is_base || new_start < lowest || new_start > segment_base_of(&geometry, end)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "new start position %" PRId64 " is not the base of a segment between %" PRId64
                      " and %" PRId64,
                      new_start, lowest, segment_base_of(&geometry, end));
        return false;
    }
    if (replay_is_below(request->server, record->recording_id, new_start)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "a replay reads segments below position %" PRId64, new_start);
        return false;
    }
    return true;
}

int request_detach_segments(struct archive_request *request) {
    struct archive_detach_segments_request decoded;
    int result =
        archive_detach_segments_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    struct tern_error error;
    if (result == 0 && request_record(request, decoded.recording_id, &record) &&
        check_new_start(request, &record, decoded.new_start_position)) {
        if (catalog_set_start_position(&request->server->catalog, decoded.recording_id,
                                       decoded.new_start_position, &error) != 0) {
            catalog_failed(request, &error);
        } else {
            request_ok(request, 0);
        }
    }
    return result;
}

int request_purge_segments(struct archive_request *request) {
    struct archive_purge_segments_request decoded;
    int result = archive_purge_segments_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result != 0 || !request_record(request, decoded.recording_id, &record) ||
        !check_new_start(request, &record, decoded.new_start_position) ||
        !may_delete(request, decoded.recording_id)) {
        return result;
    }
    const struct segment_geometry geometry = archive_server_geometry(&record);
    int64_t first = segment_base_of(&geometry, record.start_position);
    int64_t *bases;
    int count =
        deletion_list_range(first, decoded.new_start_position, geometry.segment_length, &bases);
    struct tern_error error;
    if (count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    } else if (catalog_set_start_position(&request->server->catalog, decoded.recording_id,
                                          decoded.new_start_position, &error) != 0) {
        free(bases);
        catalog_failed(request, &error);
    } else {
        answer_and_delete(request, decoded.recording_id, bases, count, false);
    }
    return 0;
}

int request_delete_detached_segments(struct archive_request *request) {
    struct archive_delete_detached_segments_request decoded;
    int result = archive_delete_detached_segments_request_decode(&decoded, request->message,
                                                                 request->length);
    struct archive_catalog_record record;
    if (result != 0 || !request_record(request, decoded.recording_id, &record) ||
        !may_delete(request, decoded.recording_id)) {
        return result;
    }
    const struct segment_geometry geometry = archive_server_geometry(&record);
    int64_t *found;
    int found_count = deletion_list_files(request->server, decoded.recording_id, &found);
    if (found_count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "cannot list the segment files");
        return 0;
    }
    int64_t first = segment_base_of(&geometry, record.start_position);
    int64_t lowest = first;
    for (int i = 0; i < found_count; i++) {
        lowest = min_i64(lowest, found[i]);
    }
    free(found);
    int64_t *bases;
    int count = deletion_list_range(segment_base_of(&geometry, lowest), first,
                                    geometry.segment_length, &bases);
    if (count < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    } else {
        answer_and_delete(request, decoded.recording_id, bases, count, false);
    }
    return 0;
}

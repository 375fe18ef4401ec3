/* Requests that put segment files back under a recording: attach and migrate (archive.md 5.10). */
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

/* ---- attach
 * ----------------------------------------------------------------------------------------- */

/* Where the first frame of a segment stands that begins at `base`: an offset in its first term, -1
 * when there is none that belongs there, or -errno (-ENOENT: no file). */
static int64_t find_first_frame(const struct archive_server *server,
                                const struct segment_geometry *geometry, int64_t base) {
    const struct segment_place *place = &server->segments;
    const struct store *store = place->store;
    char path[SEGMENT_PATH_MAX];
    segment_path(place, geometry->recording_id, base, path);
    int file;
    int result = store->open(store->context, path, STORE_READ, &file);
    if (result != 0) {
        return result;
    }
    int64_t offset = -1;
    int64_t file_length = store->length(store->context, file);
    int64_t at = file_length == geometry->segment_length ? 0 : geometry->term_length;
    while (at < geometry->term_length && offset < 0) {
        int64_t wanted = min_i64(server->conf->io_length_max, geometry->term_length - at);
        int64_t count = store->pread(store->context, file, server->io_buffer, wanted, at);
        if (count <= 0) {
            break;
        }
        for (int64_t i = 0; i + LOG_FRAME_HEADER_LENGTH <= count && offset < 0;
             i += LOG_FRAME_ALIGNMENT) {
            if (get_i32(server->io_buffer + i) > 0) {
                offset = at + i;
            }
        }
        at += count;
    }
    (void)store->close(store->context, file);
    if (offset >= 0 && segment_has_frame_at(place, geometry, base + offset) != 1) {
        offset = -1;
    }
    return offset;
}

static void attach(const struct archive_request *request,
                   const struct archive_catalog_record *record) {
    struct archive_server *server = request->server;
    struct segment_geometry geometry = archive_server_geometry(record);
    int64_t start = record->start_position;
    int64_t count = 0;
    bool is_damaged = false;
    for (int64_t base = start - geometry.segment_length; base >= 0;
         base -= geometry.segment_length) {
        geometry.start_position = base; /* names and headers as of a recording from there */
        int64_t offset = find_first_frame(server, &geometry, base);
        if (offset == -ENOENT) {
            break;
        }
        if (offset < 0) {
            is_damaged = true;
            break;
        }
        start = base + offset;
        count++;
        if (offset != 0) {
            break;
        }
    }
    struct tern_error error;
    if (start != record->start_position &&
        catalog_set_start_position(&server->catalog, record->recording_id, start, &error) != 0) {
        archive_server_error(server, error.code, "%s", error.text);
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
    } else if (is_damaged) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "the segment below position %" PRId64 " is not one of this recording", start);
    } else {
        request_ok(request, count);
    }
}

int request_attach_segments(struct archive_request *request) {
    struct archive_attach_segments_request decoded;
    int result =
        archive_attach_segments_request_decode(&decoded, request->message, request->length);
    struct archive_catalog_record record;
    if (result != 0 || !request_record(request, decoded.recording_id, &record)) {
        return result;
    }
    const struct segment_geometry geometry = archive_server_geometry(&record);
    if (deletion_is_pending(request->server, decoded.recording_id)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "segments are being deleted");
    } else if (record.start_position != segment_base_of(&geometry, record.start_position)) {
        request_ok(request, 0); /* it begins inside a segment: nothing can precede it */
    } else {
        attach(request, &record);
    }
    return 0;
}

/* ---- migrate
 * ---------------------------------------------------------------------------------------- */

struct migration {
    struct archive_catalog_record source;
    struct archive_catalog_record target;
    struct segment_geometry source_geometry;
    int64_t first_base;
    int64_t last_base;  /* of the source's stop position */
    bool last_is_empty; /* the stop position is exactly its base */
    bool goes_to_front;
};

static bool is_base(const struct archive_catalog_record *record, int64_t position) {
    const struct segment_geometry geometry = archive_server_geometry(record);
    return segment_base_of(&geometry, position) == position;
}

static bool plan_migration(const struct archive_request *request, struct migration *migration) {
    const struct archive_catalog_record *source = &migration->source;
    const struct archive_catalog_record *target = &migration->target;
    if (archive_server_recording(request->server, source->recording_id) != NULL) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "the source recording is active");
        return false;
    }
    if (source->segment_file_length != target->segment_file_length ||
        source->term_buffer_length != target->term_buffer_length ||
        source->initial_term_id != target->initial_term_id ||
        source->stream_id != target->stream_id || source->mtu_length != target->mtu_length) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "the recordings differ in geometry or stream");
        return false;
    }
    int64_t join;
    if (source->stop_position == target->start_position) {
        migration->goes_to_front = true;
        join = source->stop_position;
    } else if (source->start_position == target->stop_position) {
        migration->goes_to_front = false;
        join = source->start_position;
    } else {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "the recordings do not meet at a position");
        return false;
    }
    if (!is_base(source, join) || !is_base(target, join)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                      "position %" PRId64 " is not a segment base of both recordings", join);
        return false;
    }
    migration->source_geometry = archive_server_geometry(source);
    migration->first_base = segment_base_of(&migration->source_geometry, source->start_position);
    migration->last_base = segment_base_of(&migration->source_geometry, source->stop_position);
    migration->last_is_empty = migration->last_base == source->stop_position;
    return true;
}

/* All bytes of the file are zero: it was made ahead and holds nothing. */
static bool is_zero_file(const struct archive_server *server, const char *path) {
    const struct store *store = server->segments.store;
    int file;
    if (store->open(store->context, path, STORE_READ, &file) != 0) {
        return false;
    }
    bool is_zero = true;
    int64_t at = 0;
    int64_t count;
    do {
        count =
            store->pread(store->context, file, server->io_buffer, server->conf->io_length_max, at);
        for (int64_t i = 0; i < count && is_zero; i++) {
            is_zero = server->io_buffer[i] == 0;
        }
        at += count;
    } while (is_zero && count > 0);
    (void)store->close(store->context, file);
    return is_zero && count == 0;
}

/* Every file to move must be there, and its new name must be free (or an empty file). */
static bool check_files(const struct archive_request *request, const struct migration *migration) {
    const struct archive_server *server = request->server;
    const struct store *store = server->segments.store;
    int64_t step = migration->source_geometry.segment_length;
    int64_t end = migration->last_is_empty ? migration->last_base : migration->last_base + step;
    for (int64_t base = migration->first_base; base < end; base += step) {
        char from[SEGMENT_PATH_MAX];
        char to[SEGMENT_PATH_MAX];
        segment_path(&server->segments, migration->source.recording_id, base, from);
        segment_path(&server->segments, migration->target.recording_id, base, to);
        if (!store->exists(store->context, from)) {
            request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "segment %" PRId64 " is missing",
                          base);
            return false;
        }
        if (store->exists(store->context, to) && !is_zero_file(server, to)) {
            request_error(request, TERN_ARCHIVE_ERROR_GENERIC,
                          "the target has a segment %" PRId64 " already", base);
            return false;
        }
    }
    return true;
}

/* Rename the files; the number moved, or -errno after putting back what was moved. */
static int move_files(const struct archive_server *server, const struct migration *migration) {
    const struct store *store = server->segments.store;
    int64_t step = migration->source_geometry.segment_length;
    int64_t end = migration->last_is_empty ? migration->last_base : migration->last_base + step;
    char from[SEGMENT_PATH_MAX];
    char to[SEGMENT_PATH_MAX];
    int moved = 0;
    for (int64_t base = migration->first_base; base < end; base += step, moved++) {
        segment_path(&server->segments, migration->source.recording_id, base, from);
        segment_path(&server->segments, migration->target.recording_id, base, to);
        int result = store->rename(store->context, from, to);
        if (result == 0) {
            continue;
        }
        for (base -= step; base >= migration->first_base; base -= step) {
            segment_path(&server->segments, migration->source.recording_id, base, from);
            segment_path(&server->segments, migration->target.recording_id, base, to);
            (void)store->rename(store->context, to, from);
        }
        return result;
    }
    if (server->segments.syncs_directory) {
        (void)store->sync_directory(store->context, server->segments.directory);
    }
    return moved;
}

static void migrate(const struct archive_request *request, const struct migration *migration) {
    struct archive_server *server = request->server;
    struct tern_error error;
    int moved = move_files(server, migration);
    if (moved < 0) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "cannot rename the segment files");
        return;
    }
    const struct archive_catalog_record *source = &migration->source;
    int64_t target_id = migration->target.recording_id;
    int result =
        migration->goes_to_front
            ? catalog_set_start_position(&server->catalog, target_id, source->start_position,
                                         &error)
            : catalog_set_stop_position(&server->catalog, target_id, source->stop_position, &error);
    if (result == 0) {
        result = catalog_set_stop_position(&server->catalog, source->recording_id,
                                           source->start_position, &error);
    }
    if (result != 0) {
        archive_server_error(server, error.code, "%s", error.text);
    }
    int64_t *bases = NULL;
    int count = 0;
    if (migration->last_is_empty) {
        count = deletion_list_range(migration->last_base, migration->last_base + 1, 1, &bases);
    }
    request_ok(request, moved);
    const struct deletion_params params = {.recording_id = source->recording_id,
                                           .control_session_id = request->session->id,
                                           .correlation_id = request->correlation_id,
                                           .bases = bases,
                                           .count = max_i32(count, 0)};
    if (count < 0 || deletion_create(server, &params) != 0) {
        archive_server_error(server, -ENOMEM, "no memory to delete a segment");
    }
}

int request_migrate_segments(struct archive_request *request) {
    struct archive_migrate_segments_request decoded;
    int result =
        archive_migrate_segments_request_decode(&decoded, request->message, request->length);
    struct migration migration = {0};
    if (result != 0 || !request_record(request, decoded.src_recording_id, &migration.source) ||
        !request_record(request, decoded.dst_recording_id, &migration.target)) {
        return result;
    }
    if (decoded.src_recording_id == decoded.dst_recording_id) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "source and target are the same");
    } else if (deletion_is_pending(request->server, decoded.src_recording_id) ||
               deletion_is_pending(request->server, decoded.dst_recording_id)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "segments are being deleted");
    } else if (replay_is_active(request->server, decoded.src_recording_id)) {
        request_error(request, TERN_ARCHIVE_ERROR_GENERIC, "the source is being replayed");
    } else if (plan_migration(request, &migration) && check_files(request, &migration)) {
        migrate(request, &migration);
    }
    return 0;
}

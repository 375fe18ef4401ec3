/* Recovery at the start (see recovery.h). The directory is listed once, however many recordings
 * there are, and only when the catalog knows something to look for. */
#include "archived/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A recording whose files matter: not closed, or purged. */
struct entry {
    int64_t id;
    int64_t highest_base; /* among its files; -1: there is none */
    bool is_purged;
};

struct recovery {
    struct archive_server *server;
    struct entry *entries; /* ascending ids, as in the catalog */
    int count;
    int capacity;
    int result;
    int removed_count;
};

/* A recording without a stop position was active when the last run ended. */
static void note_record(void *context, const struct archive_catalog_record *record) {
    struct recovery *recovery = context;
    bool is_purged = record->state == ARCHIVE_RECORDING_STATE_DELETED;
    bool is_open = record->stop_position == ARCHIVE_NULL &&
                   catalog_contains(&recovery->server->catalog, record->recording_id);
    if ((!is_purged && !is_open) || recovery->result != 0) {
        return;
    }
    if (recovery->count == recovery->capacity) {
        int capacity = recovery->capacity == 0 ? 64 : 2 * recovery->capacity;
        struct entry *entries = realloc(recovery->entries, (size_t)capacity * sizeof *entries);
        if (entries == NULL) {
            recovery->result = -ENOMEM;
            return;
        }
        recovery->entries = entries;
        recovery->capacity = capacity;
    }
    recovery->entries[recovery->count++] = (struct entry){record->recording_id, -1, is_purged};
}

static int compare_ids(const void *left, const void *right) {
    int64_t a = ((const struct entry *)left)->id;
    int64_t b = ((const struct entry *)right)->id;
    return a < b ? -1 : a > b;
}

static void remove_file(struct recovery *recovery, const char *name) {
    const struct store *store = recovery->server->io.store;
    char path[SEGMENT_PATH_MAX + 256];
    (void)snprintf(path, sizeof path, "%s/%.255s", recovery->server->conf->dir, name);
    recovery->removed_count += store->unlink(store->context, path) == 0;
}

/* A deletion that the end of the last run cut short left files that nothing refers to. Those of a
 * purged recording are certain to be garbage; others may be detached segments, which stay. One that
 * cannot be removed is tried again at the next start. */
static int visit_name(void *context, const char *name) {
    struct recovery *recovery = context;
    struct entry wanted;
    int64_t base;
    bool is_deleted;
    if (!segment_name_parse(name, &wanted.id, &base, &is_deleted)) {
        return 0;
    }
    struct entry *entry =
        bsearch(&wanted, recovery->entries, (size_t)recovery->count, sizeof wanted, compare_ids);
    if (entry != NULL && entry->is_purged) {
        remove_file(recovery, name);
    } else if (entry != NULL && !is_deleted) {
        entry->highest_base = max_i64(entry->highest_base, base);
    }
    return 0;
}

static int list_files(struct recovery *recovery, struct tern_error *error) {
    struct archive_server *server = recovery->server;
    const struct store *store = server->io.store;
    catalog_for_each(&server->catalog, note_record, recovery);
    int result = recovery->result;
    if (result == 0 && recovery->count > 0) {
        result = store->list(store->context, server->conf->dir, visit_name, recovery);
    }
    if (result != 0) {
        return error_set_errno(error, -result, "list %.160s", server->conf->dir);
    }
    if (recovery->removed_count > 0) {
        archive_server_log(server, "removed %d files of purged recordings",
                           recovery->removed_count);
    }
    return 0;
}

static int close_recording(struct archive_server *server, const struct entry *entry,
                           struct tern_error *error) {
    struct archive_catalog_record record;
    (void)catalog_get(&server->catalog, entry->id, &record);
    const struct segment_geometry geometry = archive_server_geometry(&record);
    struct checksum checksum; /* of its writer, which may have been configured differently */
    checksum_init(&checksum, catalog_frame_checksum(&server->catalog, entry->id));
    const struct segment_scan scan = {
        .place = &server->segments,
        .geometry = &geometry,
        .highest_base = entry->highest_base,
        .checksum = &checksum,
        .session_id = record.session_id,
        .buffer = server->io_buffer,
        .buffer_length = server->conf->io_length_max,
    };
    struct segment_end end;
    int result = segment_find_end(&scan, &end, error);
    if (result != 0) {
        return result;
    }
    if (end.torn_length != 0) {
        archive_server_error(server, -EBADMSG,
                             "recording %" PRId64 ": dropped %" PRId64
                             " bytes from a torn frame on at position %" PRId64,
                             record.recording_id, end.torn_length, end.position);
    }
    archive_server_log(server, "recording %" PRId64 " was not closed: it ends at position %" PRId64,
                       record.recording_id, end.position);
    return catalog_recording_stopped(&server->catalog, record.recording_id, end.position,
                                     server->now_epoch_ms, error);
}

int recovery_run(struct archive_server *server, struct tern_error *error) {
    struct recovery recovery = {.server = server};
    int result = list_files(&recovery, error);
    for (int i = 0; result == 0 && i < recovery.count; i++) {
        if (!recovery.entries[i].is_purged) {
            result = close_recording(server, &recovery.entries[i], error);
        }
    }
    free(recovery.entries);
    return result;
}

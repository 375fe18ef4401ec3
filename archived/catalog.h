/* The catalog: one record per recording, in the file archive.catalog (archive.md 4.2 to 4.5).
 *
 * Memory holds an image of the file's used part, so that lookups and listings touch no file; every
 * mutation is written and, by the sync level, made durable before the function returns. Only
 * recordings of state VALID are known here. One agent owns it.
 */
#ifndef TERN_ARCHIVED_CATALOG_H
#define TERN_ARCHIVED_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "archived/checksum.h"
#include "base/error.h"
#include "base/store.h"
#include "wire/archive_codec.h"

#define CATALOG_FILE_NAME "archive.catalog"
#define CATALOG_HEADER_LENGTH 32
#define CATALOG_RECORD_HEADER_LENGTH 32
#define CATALOG_ALIGNMENT 64
#define CATALOG_CAPACITY_MIN 32
#define CATALOG_CAPACITY_MAX INT64_C(2147483647)
#define CATALOG_PATH_MAX 4096
#define ARCHIVE_FILE_VERSION 196864 /* 3.1.0 */
#define ARCHIVE_FILE_VERSION_MAJOR 3
#define ARCHIVE_NULL INT64_C(-1) /* absent ids, positions and timestamps */

struct catalog_entry {
    int64_t recording_id;
    int64_t offset; /* of the record in the file */
};

struct catalog {
    const struct store *store;
    const struct checksum *checksum; /* of records */
    int sync_level;
    bool is_read_only;
    int file; /* -1: closed */
    char directory[CATALOG_PATH_MAX];
    char path[CATALOG_PATH_MAX];
    uint8_t *data; /* file image up to `length` */
    int64_t length;
    int64_t data_capacity;
    int64_t capacity; /* length of the file */
    int64_t next_recording_id;
    struct catalog_entry *entries; /* VALID ones, ascending ids */
    int count;
    int entries_capacity;
    bool is_suspect;       /* a write or a sync failed: the file may differ from `data` */
    bool is_name_suspect;  /* another file took its place, which may not survive */
    int64_t soiled_end;    /* of what an addition that failed may have left behind `length` */
    int quarantined_count; /* VALID records whose geometry cannot be true; left alone */
    int lost_stop_count;   /* VALID records whose stop position could not be true; now NULL */
    int64_t cut_length;    /* bytes of a torn record at the end that open removed */
};

struct catalog_params {
    const struct store *store;
    const char *directory;
    const struct checksum *checksum; /* borrowed */
    int64_t capacity;
    int sync_level;
    bool is_read_only; /* for tools: nothing is created, grown or repaired */
};

/* Open or create. Refuses another major version, a damaged record in the middle, and a next id that
 * is not above the ids in use. */
int catalog_open(struct catalog *catalog, const struct catalog_params *params,
                 struct tern_error *error);
/* Write again what a failed write or sync may have left out; nothing when there is none. All
 * mutations begin with it, so nothing counts as done on a file that differs. 0 or -errno. */
int catalog_repair(struct catalog *catalog);
/* Syncs and closes; idempotent. */
void catalog_close(struct catalog *catalog);

/* Index of the first entry with an id >= recording_id; catalog->count when there is none. */
int catalog_lower_bound(const struct catalog *catalog, int64_t recording_id);
bool catalog_contains(const struct catalog *catalog, int64_t recording_id);

/* Decode a record; its texts point into the catalog's memory until the next add or replace. False
 * when the id is unknown. */
bool catalog_get(const struct catalog *catalog, int64_t recording_id,
                 struct archive_catalog_record *record);
void catalog_get_at(const struct catalog *catalog, int index,
                    struct archive_catalog_record *record);

/* The checksum of the frames that were recorded last, which is that of the record itself: additions
 * and extensions, which begin to write frames, set it; other changes keep it, or leave none when
 * this run has another one. */
enum checksum_kind catalog_frame_checksum(const struct catalog *catalog, int64_t recording_id);

/* Visit every record of the file, of whatever state, in order. */
typedef void (*catalog_visitor)(void *context, const struct archive_catalog_record *record);
void catalog_for_each(const struct catalog *catalog, catalog_visitor visit, void *context);

/* The listing response for an entry (4.3 rule 5): header, the ids, and the record with its padding.
 * Returns the message's length; asks for it with a NULL buffer. */
int32_t catalog_descriptor(const struct catalog *catalog, int index, int64_t control_session_id,
                           int64_t correlation_id, uint8_t *buffer);

/* Add with the next id, which is returned; the record's length, state, checksum and ids are set
 * here. -ENOSPC when the catalog cannot grow. */
int catalog_add(struct catalog *catalog, const struct archive_catalog_record *record,
                int64_t *recording_id, struct tern_error *error);

/* Mutations of 4.4. The id must be known. When one fails nothing has changed. */
int catalog_recording_stopped(struct catalog *catalog, int64_t recording_id, int64_t position,
                              int64_t timestamp_ms, struct tern_error *error);
int catalog_set_stop_position(struct catalog *catalog, int64_t recording_id, int64_t position,
                              struct tern_error *error);
int catalog_set_start_position(struct catalog *catalog, int64_t recording_id, int64_t position,
                               struct tern_error *error);
struct catalog_extension {
    int64_t recording_id;
    int64_t control_session_id;
    int64_t correlation_id;
    int32_t session_id;
};
int catalog_extend(struct catalog *catalog, const struct catalog_extension *extension,
                   struct tern_error *error);
/* DELETED or INVALID: the recording becomes unknown, its record stays in the file. */
int catalog_remove(struct catalog *catalog, int64_t recording_id, int32_t state,
                   struct tern_error *error);

/* Rewrite a record but for its own ids. The whole file is written anew and takes the old one's
 * place by a rename, so that a crash leaves either. On failure nothing has changed. */
int catalog_replace(struct catalog *catalog, int64_t recording_id,
                    const struct archive_catalog_record *record, struct tern_error *error);

#endif

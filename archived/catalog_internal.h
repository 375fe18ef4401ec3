/* What the files of the catalog share. */
#ifndef TERN_ARCHIVED_CATALOG_INTERNAL_H
#define TERN_ARCHIVED_CATALOG_INTERNAL_H

#include "archived/catalog.h"

/* The part of a record that mutations change: header and block, without the texts. */
#define CATALOG_RECORD_FIXED_LENGTH ARCHIVE_CATALOG_RECORD_BLOCK_LENGTH

static inline int64_t catalog_record_length(const uint8_t *record) {
    return CATALOG_RECORD_HEADER_LENGTH +
           (int64_t)get_i32(record + ARCHIVE_CATALOG_RECORD_LENGTH_OFFSET);
}

/* "<what> <path>: <errno text>"; returns `result`, which is negative. */
int catalog_fail(struct tern_error *error, int result, const char *what,
                 const struct catalog *catalog);
/* By the sync level. A failure of these two makes the file suspect. */
int catalog_sync_file(struct catalog *catalog);
int catalog_write_range(struct catalog *catalog, int64_t offset, int64_t length);
/* Make room in memory for `length` bytes, zeroed behind the used part; for one entry more. */
int catalog_reserve_data(struct catalog *catalog, int64_t length);
int catalog_reserve_entries(struct catalog *catalog);

#endif

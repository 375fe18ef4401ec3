/* Files that several processes map: cnc.dat, log buffers, loss report, mark files. */
#ifndef TERN_BASE_MAPPED_FILE_H
#define TERN_BASE_MAPPED_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Owned by whoever created or opened it; closing a zeroed struct does nothing. */
struct mapped_file {
    uint8_t *address;
    int64_t length;
};

/* Create exclusively (mode 0666 & ~umask), set the length and map read/write. `sparse` false
 * reserves the blocks, so that ENOSPC is an error here and not SIGBUS later; pages are still mapped
 * at their first use (see mapped_file_touch). */
int mapped_file_create(struct mapped_file *file, const char *path, int64_t length, bool sparse,
                       struct tern_error *error);

/* Memory of this process only, zeroed; no file. */
int mapped_file_create_private(struct mapped_file *file, int64_t length, struct tern_error *error);

/* Map all of an existing file. -ENOENT and -ENODATA (empty file) are returned as such. */
int mapped_file_open(struct mapped_file *file, const char *path, bool read_only,
                     struct tern_error *error);

/* Map all of a file that the caller has open; the descriptor stays open. `path` is for messages. */
int mapped_file_map(struct mapped_file *file, int descriptor, const char *path, bool read_only,
                    struct tern_error *error);

/* msync the whole mapping. */
int mapped_file_sync(struct mapped_file *file);

/* Give the pages of a part their memory, for writing, without changing what is in them; others may
 * be writing. 0, or -errno when there is no memory or space left. */
int mapped_file_populate(const struct mapped_file *file, int64_t offset, int64_t length);

/* Read one byte of each page, so that later accesses meet no page fault. */
void mapped_file_touch(const struct mapped_file *file);

void mapped_file_close(struct mapped_file *file);

#endif

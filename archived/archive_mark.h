/* archive-mark.dat: who owns the archive directory, whether it lives, and its error log
 * (archive.md 2.2, 4.7). */
#ifndef TERN_ARCHIVED_ARCHIVE_MARK_H
#define TERN_ARCHIVED_ARCHIVE_MARK_H

#include "base/error.h"
#include "base/store.h"
#include "shm/error_log.h"
#include "shm/mark_file.h"

#define ARCHIVE_MARK_FILE_NAME "archive-mark.dat"
#define ARCHIVE_MARK_LINK_NAME "archive-mark.lnk"
#define ARCHIVE_MARK_HEADER_LENGTH 8192
#define ARCHIVE_MARK_LIVENESS_MS 10000

struct archive_mark {
    struct mark_file file;
    struct error_log errors;
    bool is_open;
    /* The run before crashed, and had this archive id: its counters may still be there. */
    bool has_crashed;
    int64_t crashed_archive_id;
};

struct archive_mark_params {
    const struct store *store;
    const char *directory; /* of the archive */
    const char *mark_directory;
    int64_t error_log_length;
    int64_t page_size;
    int64_t now_epoch_ms;
    int64_t pid;
    int64_t archive_id;
    int32_t control_stream_id;
    int32_t local_control_stream_id;
    int32_t events_stream_id;
    const char *control_channel;
    const char *local_control_channel;
    const char *events_channel;
    const char *aeron_directory;
};

/* Take the directory over, save the errors of the run before beside the mark file, write the
 * header. -EBUSY when another archive lives. The file is not ready until archive_mark_ready. */
int archive_mark_open(struct archive_mark *mark, const struct archive_mark_params *params,
                      struct tern_error *error);
void archive_mark_ready(struct archive_mark *mark, int64_t now_epoch_ms);
void archive_mark_heartbeat(struct archive_mark *mark, int64_t now_epoch_ms);
/* Sign off (activity -1, as also after a failed start) and close. Idempotent. */
void archive_mark_close(struct archive_mark *mark);

#endif

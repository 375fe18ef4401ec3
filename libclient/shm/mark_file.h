/* Mark files of archive, consensus module and service container: a mapped SBE header that says who
 * owns a directory and whether it lives (archive.md 4.7, cluster.md 5.3), followed by an error log.
 *
 * This file knows what they share: a version word that is written last, an activity timestamp that
 * is refreshed, and the rule for taking over. The header's other fields belong to its owner and
 * are written through the generated codecs into mark_file.header.
 */
#ifndef TERN_SHM_MARK_FILE_H
#define TERN_SHM_MARK_FILE_H

#include <stdint.h>

#include "base/mapped_file.h"

struct mark_file {
    struct mapped_file file;
    int32_t version_offset;
    int32_t timestamp_offset;
};

struct mark_file_params {
    const char *path;
    int64_t length;
    int32_t version_offset;   /* i32 */
    int32_t timestamp_offset; /* i64 epoch ms */
    int32_t pid_offset;       /* i64; used to see at once that a recorded owner is dead */
    int64_t liveness_timeout_ms;
    int64_t now_epoch_ms;
};

/* Create the file, or take over an existing one whose owner is gone: timestamp older than the
 * timeout, or its pid no longer exists on this host. -EBUSY with the owner's pid and the age in the
 * text when it is alive. The header is zeroed up to its error buffer; version stays 0 or negative
 * until mark_file_signal_ready. */
int mark_file_acquire(struct mark_file *mark, const struct mark_file_params *params,
                      struct tern_error *error);
void mark_file_signal_ready(struct mark_file *mark, int32_t version, int64_t now_epoch_ms);
void mark_file_update_activity(struct mark_file *mark, int64_t now_epoch_ms);
int64_t mark_file_activity_ms(const struct mark_file *mark);
void mark_file_close(struct mark_file *mark);

#endif

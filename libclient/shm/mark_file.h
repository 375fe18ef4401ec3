/* Mark files of archive, consensus module and service container: a mapped SBE header that says who
 * owns a directory and whether it lives (archive.md 4.7, cluster.md 5.3), followed by an error log.
 *
 * This file knows what they share: a version word that is written last, an activity timestamp that
 * is refreshed, and the rule for taking over. The header's other fields belong to its owner, who
 * encodes them into mark_file.file.address (with version 0) between acquire and signal_ready; the
 * offsets below count from the start of the file. Old files without message header (before
 * Aeron 1.45) are not recognised.
 */
#ifndef TERN_SHM_MARK_FILE_H
#define TERN_SHM_MARK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mapped_file.h"

#define MARK_FILE_HEADER_LENGTH 8192 /* the error log follows */

/* The Aeron client of an owner. It stands in the last bytes of the header's area, which the SBE
 * message does not reach, so that the next owner can tell the driver that it is dead. Client ids
 * are unique within one life of a driver, which its pid and start name. */
struct mark_client {
    int64_t client_id;
    int64_t driver_pid;
    int64_t driver_start_ms;
};

/* Owned by the daemon whose directory it marks; closing a zeroed struct does nothing. */
struct mark_file {
    struct mapped_file file;
    int32_t version_offset;
    int32_t timestamp_offset;
    int lock_descriptor; /* the lock on the file, held while the owner lives; 0 when closed */
    bool has_last_client;
    struct mark_client last_client; /* of the owner before, who is dead */
};

struct mark_file_params {
    const char *path;
    int64_t length;           /* header and error log, rounded up to a page */
    int32_t version_offset;   /* i32 */
    int32_t timestamp_offset; /* i64 epoch ms */
    int32_t pid_offset;       /* i64; used to see at once that a recorded owner is dead */
    int32_t version_major;    /* an existing file of another major version is refused */
    int64_t liveness_timeout_ms;
    int64_t now_epoch_ms;
};

/* Create the file, or take over an existing one whose owner is gone: timestamp older than the
 * timeout, or its pid no longer exists here, or it is our own pid (a container restarted) and
 * nobody holds the file's lock; or the timestamp cannot get old, and the process of that pid does
 * not have the file mapped. -EBUSY with the owner's pid and the age in the text when it is
 * alive, TERN_ERROR_VERSION for another major version, -ENOSPC and the like; after any failure the
 * file is as it was before. On success the header is zero up to MARK_FILE_HEADER_LENGTH but for
 * the own pid and the timestamp, which says "activating" (2^63-1); the error log is as its last
 * owner left it, to be saved and zeroed. */
int mark_file_acquire(struct mark_file *mark, const struct mark_file_params *params,
                      struct tern_error *error);
void mark_file_signal_ready(struct mark_file *mark, int32_t version, int64_t now_epoch_ms);
/* Leave it to the next owner; not when the header is so long that it stands in the way. */
void mark_file_set_client(struct mark_file *mark, const struct mark_client *client);
/* -1 says that the owner stopped in order; it is synced. */
void mark_file_update_activity(struct mark_file *mark, int64_t now_epoch_ms);
int64_t mark_file_activity_ms(const struct mark_file *mark);
/* Unmap and unlock. A file that is still "activating" (the start failed) is marked as stopped, so
 * that the next start need not wait. */
void mark_file_close(struct mark_file *mark);

#endif

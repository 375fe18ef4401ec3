/* Log buffer files of publications and images: creation with the storage check, and deletion that
 * is spread over duty cycles (media-driver.md 6.6, 6.10).
 *
 * This is the only place where the driver makes or deletes a log file, so that the slow work can
 * move to a helper agent without touching its callers. Conductor only.
 */
#ifndef DRIVERD_LOG_FILE_H
#define DRIVERD_LOG_FILE_H

#include "driverd/driver_conf.h"
#include "shm/log_buffer.h"

struct driver_context;

#define LOG_FILE_PATH_MAX (DRIVER_DIRECTORY_MAX + 64)

struct log_file {
    struct log_buffer log;
    struct log_file *next; /* in the list of discarded files */
    int64_t retry_time_ns;
    char path[LOG_FILE_PATH_MAX];
};

enum log_file_folder { LOG_FILE_PUBLICATION, LOG_FILE_IMAGE };

/* `params->path` is ignored: it follows from folder and correlation id. The page size is the
 * driver's. Errors: DRIVER_ERROR_STORAGE_SPACE or an errno. */
int log_file_create(struct log_file **file, struct driver_context *context,
                    enum log_file_folder folder, const struct log_buffer_params *params,
                    struct tern_error *error);

/* Nobody in the driver uses the file any more: delete it in one of the next cycles. NULL is fine.
 */
void log_file_discard(struct log_file *file, struct driver_context *context);

/* Each duty cycle: delete up to the configured number of discarded files; returns how many. */
int log_file_delete_discarded(struct driver_context *context, int limit);
/* At the end of the driver. */
void log_file_delete_all(struct driver_context *context);

#endif

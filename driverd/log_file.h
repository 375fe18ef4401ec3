/* Log buffer files of publications and images (media-driver.md 6.6, 6.10): what the log agent does
 * to one of them. The conductor asks for files, uses them and discards them (log_agent.h). */
#ifndef DRIVERD_LOG_FILE_H
#define DRIVERD_LOG_FILE_H

#include "driverd/driver_conf.h"
#include "shm/log_buffer.h"

struct driver_context;

#define LOG_FILE_PATH_MAX (DRIVER_DIRECTORY_MAX + 64)

enum log_file_folder { LOG_FILE_PUBLICATION, LOG_FILE_IMAGE };

/* What the conductor asks for. */
struct log_file_spec {
    enum log_file_folder folder;
    int64_t id; /* correlation id: the file's name */
    int32_t term_length;
    bool is_sparse;
};

/* Of the conductor; of the log agent from a request until its result, and from discarding on. */
struct log_file {
    struct log_buffer log; /* unformatted when the agent returns it */
    struct log_file_spec spec;
    int64_t request_id; /* the asker's */
    int result;         /* of making it: 0 or the error's code */
    /* With result 0 and a code: a warning. */
    struct tern_error error;
    struct log_file *next; /* in a list of discarded files */
    /* Log agent, also while the file is the conductor's: its pages get their memory. */
    bool is_touching;
    int64_t touched_bytes;
    struct log_file *next_touching;
    int64_t retry_time_ns;
    char path[]; /* at most LOG_FILE_PATH_MAX bytes with its NUL */
};

/* Only memory, for the conductor; NULL: there is none. */
struct log_file *log_file_allocate(const struct driver_context *context,
                                   const struct log_file_spec *spec);

/* Log agent: check the storage, make, size and map the file; fills result and error. Errors:
 * DRIVER_ERROR_STORAGE_SPACE or an errno; then there is no file. */
void log_file_make(struct log_file *file, const struct driver_context *context);
/* Log agent: unmap and delete. Fine when it could not be made. 0, or -errno of the name, which is
 * there still: call again later. The struct stays the caller's. */
int log_file_delete(struct log_file *file, const struct driver_context *context);

/* Conductor: is it what `spec` asks for? */
bool log_file_fits(const struct log_file *file, const struct log_file_spec *spec);

#endif

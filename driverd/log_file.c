/* Creation and deletion of log buffer files.
 *
 * Before a file is made the file system is asked for room: tmpfs would let a sparse file be made
 * and then kill the first process that touches a page which does not fit. Everything here may take
 * milliseconds, which is why the log agent does it and neither logs nor answers anything: what is
 * to be said travels in the struct.
 */
#include "driverd/log_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "driverd/driver_context.h"

struct log_file *log_file_allocate(const struct driver_context *context,
                                   const struct log_file_spec *spec) {
    char path[LOG_FILE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s/%lld.logbuffer", context->conf->directory,
                   spec->folder == LOG_FILE_IMAGE ? "images" : "publications", (long long)spec->id);
    size_t length = strlen(path) + 1;
    struct log_file *file = calloc(1, sizeof *file + length);
    if (file == NULL) {
        return NULL;
    }
    file->spec = *spec;
    memcpy(file->path, path, length);
    return file;
}

/* The free space of a file system in memory is no memory, and the kernel kills a process that gets
 * none. A sparse log takes little by little what the driver cannot foresee; another one takes all
 * of it now. */
static int check_memory(const struct driver_context *context, int64_t length,
                        struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    const struct store *store = context->io.store;
    int64_t available = store->usable_memory(store->context, conf->directory);
    return available - length >= conf->low_memory_limit_bytes
               ? 0
               : error_set(error, DRIVER_ERROR(DRIVER_ERROR_STORAGE_SPACE),
                           "insufficient memory for new log of length=%lld available=%lld in %s, "
                           "of which low_memory_limit=%lld have to be left",
                           (long long)length, (long long)available, conf->directory,
                           (long long)conf->low_memory_limit_bytes);
}

/* A warning goes to `error` as well, with result 0. */
static int check_storage(const struct driver_context *context, int64_t length,
                         struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    const struct store *store = context->io.store;
    if (!conf->perform_storage_checks) {
        return 0;
    }
    int64_t usable = store->usable_space(store->context, conf->directory);
    if (usable < 0) {
        return error_set_errno(error, (int)-usable, "cannot determine the usable space of %s",
                               conf->directory);
    }
    if (usable < length) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_STORAGE_SPACE),
                         "insufficient usable storage for new log of length=%lld usable=%lld in %s",
                         (long long)length, (long long)usable, conf->directory);
    }
    if (usable <= conf->low_storage_warning_bytes) {
        /* No figures in the text: they would make every warning a distinct one. */
        error_set(error, DRIVER_ERROR(DRIVER_ERROR_STORAGE_SPACE),
                  "WARNING: space is running low in %s: below threshold=%lld", conf->directory,
                  (long long)conf->low_storage_warning_bytes);
    }
    return 0;
}

void log_file_make(struct log_file *file, const struct driver_context *context) {
    const struct log_file_spec *spec = &file->spec;
    const struct log_buffer_storage storage = {
        .page_size = context->conf->file_page_size,
        .sparse = spec->is_sparse,
    };
    int64_t length = log_buffer_file_length(spec->term_length, storage.page_size);
    assert(file->log.file.address == NULL);
    file->result = check_storage(context, length, &file->error);
    if (file->result == 0 && !spec->is_sparse && context->conf->perform_storage_checks) {
        struct tern_error error;
        int result = check_memory(context, length, &error);
        file->result = result;
        file->error = result < 0 ? error : file->error;
    }
    if (file->result == 0) {
        struct tern_error error = {0};
        file->result =
            log_buffer_allocate(&file->log, file->path, spec->term_length, &storage, &error);
        file->error = file->result < 0 ? error : file->error;
    }
    if (file->result < 0) {
        return;
    }
    if (!spec->is_sparse) {
        mapped_file_touch(&file->log.file); /* no page faults on the data path */
    }
    context_count(context, SYSTEM_COUNTER_BYTES_MAPPED, length);
}

int log_file_delete(struct log_file *file, const struct driver_context *context) {
    const struct store *store = context->io.store;
    if (file->result < 0) {
        return 0; /* the name, if there is one, belongs to somebody else */
    }
    if (file->log.file.address != NULL) {
        context_count(context, SYSTEM_COUNTER_BYTES_MAPPED, -file->log.file.length);
        log_buffer_close(&file->log);
    }
    int result = store->unlink(store->context, file->path);
    return result == -ENOENT ? 0 : result;
}

bool log_file_fits(const struct log_file *file, const struct log_file_spec *spec) {
    return file->spec.folder == spec->folder && file->spec.id == spec->id &&
           file->spec.term_length == spec->term_length && file->spec.is_sparse == spec->is_sparse;
}

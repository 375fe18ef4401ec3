/* Creation and deletion of log buffer files.
 *
 * Before a file is made the file system is asked for room: tmpfs would let a sparse file be made
 * and then kill the first process that touches a page which does not fit. Discarded files wait in a
 * list because unmapping and deleting a big one takes milliseconds that traffic should not wait
 * for.
 */
#include "driverd/log_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "driverd/driver_context.h"

#define RETRY_INTERVAL_NS NS_PER_S

static int check_storage(struct driver_context *context, int64_t length, struct tern_error *error) {
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
        struct tern_error warning;
        error_set(&warning, DRIVER_ERROR(DRIVER_ERROR_STORAGE_SPACE),
                  "WARNING: space is running low in %s: below threshold=%lld", conf->directory,
                  (long long)conf->low_storage_warning_bytes);
        driver_context_log_error(context, &warning);
    }
    return 0;
}

int log_file_create(struct log_file **file, struct driver_context *context,
                    enum log_file_folder folder, const struct log_buffer_params *params,
                    struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    int64_t length = log_buffer_file_length(params->term_length, conf->file_page_size);
    int result = check_storage(context, length, error);
    if (result < 0) {
        return result;
    }
    struct log_file *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return error_set(error, -ENOMEM, "no memory for a log file");
    }
    (void)snprintf(made->path, sizeof made->path, "%s/%s/%lld.logbuffer", conf->directory,
                   folder == LOG_FILE_IMAGE ? "images" : "publications",
                   (long long)params->correlation_id);
    struct log_buffer_params complete = *params;
    complete.path = made->path;
    complete.page_size = conf->file_page_size;
    result = log_buffer_create(&made->log, &complete, error);
    if (result < 0) {
        free(made);
        return result;
    }
    if (!params->sparse) {
        mapped_file_touch(&made->log.file); /* no page faults on the data path */
    }
    context_count(context, SYSTEM_COUNTER_BYTES_MAPPED, length);
    *file = made;
    return 0;
}

static void append_discarded(struct log_file *file, struct driver_context *context) {
    file->next = NULL;
    if (context->discarded_last == NULL) {
        context->discarded = file;
    } else {
        context->discarded_last->next = file;
    }
    context->discarded_last = file;
}

void log_file_discard(struct log_file *file, struct driver_context *context) {
    if (file != NULL) {
        assert(file->next == NULL);
        append_discarded(file, context);
    }
}

static struct log_file *take_discarded(struct driver_context *context) {
    struct log_file *file = context->discarded;
    context->discarded = file->next;
    if (context->discarded == NULL) {
        context->discarded_last = NULL;
    }
    return file;
}

/* The name could not be removed: try again later, and count. */
static void put_back(struct log_file *file, struct driver_context *context, int errno_value) {
    struct tern_error error;
    error_set_errno(&error, errno_value, "cannot delete %s", file->path);
    driver_context_log_error(context, &error);
    context_count(context, SYSTEM_COUNTER_FREE_FAILS, 1);
    file->retry_time_ns = context->now_ns + RETRY_INTERVAL_NS;
    append_discarded(file, context);
}

int log_file_delete_discarded(struct driver_context *context, int limit) {
    const struct store *store = context->io.store;
    int count = 0;
    while (count < limit && context->discarded != NULL &&
           context->discarded->retry_time_ns <= context->now_ns) {
        struct log_file *file = take_discarded(context);
        int64_t length = file->log.file.length;
        log_buffer_close(&file->log);
        context_count(context, SYSTEM_COUNTER_BYTES_MAPPED, -length);
        int result = store->unlink(store->context, file->path);
        if (result < 0 && result != -ENOENT) {
            put_back(file, context, -result);
        } else {
            free(file);
        }
        count++;
    }
    return count;
}

void log_file_delete_all(struct driver_context *context) {
    while (context->discarded != NULL) {
        struct log_file *file = take_discarded(context);
        log_buffer_close(&file->log);
        (void)context->io.store->unlink(context->io.store->context, file->path);
        free(file);
    }
}

/* The archive's mark file: the header of archive.md 2.2 over the ownership rules of shm/mark_file.
 *
 * Order: take ownership, save the error log of the run before beside the mark file and clear it,
 * write the header with version 0, and only when the archive serves (archive_mark_ready) the
 * activity timestamp and the version. A tool that finds the link file looks for the mark file in
 * the directory that it names.
 */
#include "archived/archive_mark.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archived/catalog.h"
#include "wire/archive_codec.h"

#define PATH_LENGTH_MAX 4096
#define VERSION_OFFSET ARCHIVE_MARK_FILE_HEADER_VERSION_OFFSET
#define TIMESTAMP_OFFSET ARCHIVE_MARK_FILE_HEADER_ACTIVITY_TIMESTAMP_OFFSET
#define STOPPED INT64_C(-1)

_Static_assert(ARCHIVE_MARK_HEADER_LENGTH == MARK_FILE_HEADER_LENGTH, "one header length");

static int path_of(char path[PATH_LENGTH_MAX], const char *directory, const char *name,
                   struct tern_error *error) {
    int length = snprintf(path, PATH_LENGTH_MAX, "%s/%s", directory, name);
    return length < PATH_LENGTH_MAX ? 0
                                    : error_set(error, -ENAMETOOLONG, "directory name is too long");
}

/* Write a small file through the store. */
static int write_file(const struct store *store, const char *path, const char *text,
                      int64_t length) {
    int file;
    int result =
        store->open(store->context, path, STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &file);
    if (result != 0) {
        return result;
    }
    result = store->pwrite(store->context, file, text, length, 0);
    (void)store->close(store->context, file);
    return result;
}

/* The link file tells tools where the mark file is when it is not in the archive's directory. */
static int update_link(const struct archive_mark_params *params, struct tern_error *error) {
    const struct store *store = params->store;
    char path[PATH_LENGTH_MAX];
    int result = path_of(path, params->directory, ARCHIVE_MARK_LINK_NAME, error);
    if (result != 0) {
        return result;
    }
    char here[PATH_MAX];
    char there[PATH_MAX];
    if (realpath(params->directory, here) == NULL ||
        realpath(params->mark_directory, there) == NULL) {
        return error_set_errno(error, errno, "resolve %.120s", params->mark_directory);
    }
    if (strcmp(here, there) == 0) {
        result = store->unlink(store->context, path);
        result = result == -ENOENT ? 0 : result;
    } else {
        result = write_file(store, path, there, (int64_t)strlen(there));
    }
    return result == 0 ? 0 : error_set_errno(error, -result, "update %.160s", path);
}

/* ---- errors of the run before
 * -------------------------------------------------------------------- */

struct saved_errors {
    const struct store *store;
    int file;
    int64_t offset;
    int result;
};

static void format_time(int64_t epoch_ms, const char *format, char *text, size_t size) {
    time_t seconds = (time_t)(epoch_ms / 1000);
    struct tm parts;
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(text, size, format, &parts);
}

static void save_entry(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                       const char *text, int32_t text_length) {
    struct saved_errors *saved = context;
    char first[32];
    char last[32];
    char line[4096 + 256];
    format_time(first_ms, "%Y-%m-%d %H:%M:%S", first, sizeof first);
    format_time(last_ms, "%Y-%m-%d %H:%M:%S", last, sizeof last);
    int length = snprintf(line, sizeof line, "%d observations from %s.%03d to %s.%03d UTC: %.*s\n",
                          count, first, (int)(first_ms % 1000), last, (int)(last_ms % 1000),
                          text_length > 4096 ? 4096 : text_length, text);
    if (saved->result == 0 && length > 0) {
        saved->result =
            saved->store->pwrite(saved->store->context, saved->file, line, length, saved->offset);
        saved->offset += length;
    }
}

static void ignore_entry(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                         const char *text, int32_t text_length) {
    (void)context, (void)count, (void)first_ms, (void)last_ms, (void)text, (void)text_length;
}

/* Save what the log holds to a file beside the mark file, then clear the log. Losing old errors
 * must not prevent the start, so a failure only means that they stay unsaved. */
static void save_errors(const struct archive_mark_params *params, uint8_t *log, int64_t length) {
    if (error_log_read(log, length, 0, ignore_entry, NULL) > 0) {
        char stamp[32];
        char path[PATH_LENGTH_MAX];
        format_time(params->now_epoch_ms, "%Y-%m-%d-%H-%M-%S", stamp, sizeof stamp);
        int used = snprintf(path, sizeof path, "%s/archive-%s-%03d+0000-error.log",
                            params->mark_directory, stamp, (int)(params->now_epoch_ms % 1000));
        struct saved_errors saved = {.store = params->store};
        if (used < PATH_LENGTH_MAX &&
            saved.store->open(saved.store->context, path,
                              STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &saved.file) == 0) {
            (void)error_log_read(log, length, 0, save_entry, &saved);
            (void)saved.store->close(saved.store->context, saved.file);
        }
    }
    memset(log, 0, (size_t)length);
}

/* ---- open
 * ---------------------------------------------------------------------------------------- */

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

/* Write the header but for version and timestamp, which tell others what state it is in. */
static int write_header(struct archive_mark *mark, const struct archive_mark_params *params,
                        struct tern_error *error) {
    const struct archive_mark_file_header header = {
        .start_timestamp = params->now_epoch_ms,
        .pid = params->pid,
        .control_stream_id = params->control_stream_id,
        .local_control_stream_id = params->local_control_stream_id,
        .events_stream_id = params->events_stream_id,
        .header_length = ARCHIVE_MARK_HEADER_LENGTH,
        .error_buffer_length = (int32_t)params->error_log_length,
        .archive_id = params->archive_id,
        .control_channel = slice(params->control_channel),
        .local_control_channel = slice(params->local_control_channel),
        .events_channel = slice(params->events_channel),
        .aeron_directory = slice(params->aeron_directory),
    };
    uint8_t bytes[ARCHIVE_MARK_HEADER_LENGTH];
    int32_t length = archive_mark_file_header_encode(&header, bytes, (int32_t)sizeof bytes);
    if (length < 0) {
        return error_set(error, -EMSGSIZE, "channels and directory do not fit the mark file");
    }
    uint8_t *target = mark->file.file.address;
    int32_t after_timestamp = TIMESTAMP_OFFSET + (int32_t)sizeof(int64_t);
    memcpy(target, bytes, VERSION_OFFSET);
    memcpy(target + after_timestamp, bytes + after_timestamp, (size_t)(length - after_timestamp));
    return 0;
}

/* What the run before left; a file that cannot be read says nothing. */
static void look_at_last_run(struct archive_mark *mark, const char *path) {
    struct mapped_file view;
    if (mapped_file_open(&view, path, true, NULL) != 0) {
        return;
    }
    struct archive_mark_file_header header;
    int32_t length = (int32_t)min_i64(view.length, ARCHIVE_MARK_HEADER_LENGTH);
    if (archive_mark_file_header_decode(&header, view.address, length) == 0) {
        mark->has_crashed = header.activity_timestamp != STOPPED;
        mark->crashed_archive_id = header.archive_id;
    }
    mapped_file_close(&view);
}

int archive_mark_open(struct archive_mark *mark, const struct archive_mark_params *params,
                      struct tern_error *error) {
    *mark = (struct archive_mark){0};
    char path[PATH_LENGTH_MAX];
    int result = path_of(path, params->mark_directory, ARCHIVE_MARK_FILE_NAME, error);
    if (result != 0) {
        return result;
    }
    const struct mark_file_params file_params = {
        .path = path,
        .length =
            align_i64(ARCHIVE_MARK_HEADER_LENGTH + params->error_log_length, params->page_size),
        .version_offset = VERSION_OFFSET,
        .timestamp_offset = TIMESTAMP_OFFSET,
        .pid_offset = ARCHIVE_MARK_FILE_HEADER_PID_OFFSET,
        .version_major = ARCHIVE_FILE_VERSION_MAJOR,
        .liveness_timeout_ms = ARCHIVE_MARK_LIVENESS_MS,
        .now_epoch_ms = params->now_epoch_ms,
    };
    look_at_last_run(mark, path);
    result = mark_file_acquire(&mark->file, &file_params, error);
    if (result != 0) {
        return result;
    }
    mark->is_open = true;
    uint8_t *log = mark->file.file.address + ARCHIVE_MARK_HEADER_LENGTH;
    int64_t log_length = mark->file.file.length - ARCHIVE_MARK_HEADER_LENGTH;
    save_errors(params, log, log_length);
    result = write_header(mark, params, error);
    if (result == 0) {
        result = update_link(params, error);
    }
    if (result == 0 && error_log_init(&mark->errors, log, params->error_log_length) != 0) {
        result = error_set(error, -EINVAL, "the error log of the mark file cannot be used");
    }
    if (result != 0) {
        mark_file_close(&mark->file);
        mark->is_open = false;
    }
    return result;
}

void archive_mark_ready(struct archive_mark *mark, int64_t now_epoch_ms) {
    assert(mark->is_open);
    mark_file_signal_ready(&mark->file, ARCHIVE_FILE_VERSION, now_epoch_ms);
}

void archive_mark_heartbeat(struct archive_mark *mark, int64_t now_epoch_ms) {
    mark_file_update_activity(&mark->file, now_epoch_ms);
}

void archive_mark_close(struct archive_mark *mark) {
    if (mark->is_open) {
        mark_file_signal_ready(&mark->file, ARCHIVE_FILE_VERSION, STOPPED);
        mark_file_close(&mark->file);
    }
    *mark = (struct archive_mark){0};
}

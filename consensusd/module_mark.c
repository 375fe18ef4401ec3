/* The mark file of the consensus module (see module_mark.h). Opened before anything else of the
 * cluster directory is touched: it keeps a second module out. */
#include "consensusd/module_mark.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "wire/cluster_codec.h"

#define PAGE_LENGTH 4096
#define MARK_VERSION 768
#define LIVENESS_TIMEOUT_MS 10000
#define FILE_NAME "cluster-mark.dat"
#define LINK_NAME "cluster-mark.lnk"

static const char *directory_or(const char *directory, const char *other) {
    return directory[0] == '\0' ? other : directory;
}

/* When the mark file is elsewhere, a link file in the cluster directory says where. */
static int write_link(const struct consensus_conf *conf, const char *directory,
                      const struct store *store) {
    char path[CONSENSUS_PATH_MAX + 64];
    char target[PATH_MAX];
    char own[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", conf->cluster_dir, LINK_NAME);
    if (realpath(directory, target) == NULL || realpath(conf->cluster_dir, own) == NULL) {
        return -errno;
    }
    if (strcmp(target, own) == 0) {
        int result = store->unlink(store->context, path);
        return result == -ENOENT ? 0 : result;
    }
    int file;
    int result =
        store->open(store->context, path, STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &file);
    if (result != 0) {
        return result;
    }
    result = store->pwrite(store->context, file, target, (int64_t)strlen(target), 0);
    store->close(store->context, file);
    return result;
}

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

static int write_header(struct module_mark *mark, const struct consensus_conf *conf,
                        int64_t now_ms) {
    const struct cluster_mark_file_header header = {
        .component_type = CLUSTER_CLUSTER_COMPONENT_TYPE_CONSENSUS_MODULE,
        .activity_timestamp = INT64_MAX, /* activating */
        .start_timestamp = now_ms,
        .pid = getpid(),
        .candidate_term_id = -1,
        .archive_stream_id = conf->archive_control_stream_id,
        .service_stream_id = conf->service_stream_id,
        .consensus_module_stream_id = conf->consensus_module_stream_id,
        .ingress_stream_id = conf->ingress_stream_id,
        .member_id = conf->member_id,
        .service_id = -1,
        .header_length = MARK_FILE_HEADER_LENGTH,
        .error_buffer_length = (int32_t)conf->error_buffer_length,
        .cluster_id = conf->cluster_id,
        .aeron_directory = slice(conf->aeron_dir),
        .control_channel = slice(conf->control_channel),
        .ingress_channel = slice(conf->ingress_channel),
        .authenticator = slice("accept-all"),
        .services_cluster_dir = slice(directory_or(conf->services_dir, conf->cluster_dir)),
    };
    int32_t length =
        cluster_mark_file_header_encode(&header, mark->file.file.address, MARK_FILE_HEADER_LENGTH);
    return length < 0 ? length : 0;
}

struct saved_errors {
    const struct store *store;
    int file;
    int64_t length;
};

static void save_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                       const char *text, int32_t text_length) {
    struct saved_errors *saved = context;
    char line[8192];
    int length = snprintf(line, sizeof line,
                          "%d observations from %" PRId64 " to %" PRId64 " ms for:\n%.*s\n\n",
                          count, first_ms, last_ms, text_length, text);
    length = min_i32(length, (int32_t)sizeof line - 1);
    if (saved->store->pwrite(saved->store->context, saved->file, line, length, saved->length) ==
        0) {
        saved->length += length;
    }
}

static void ignore_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                         const char *text, int32_t text_length) {
    (void)context, (void)count, (void)first_ms, (void)last_ms, (void)text, (void)text_length;
}

/* What the last owner recorded goes to a text file beside the mark file. */
static void save_errors(struct module_mark *mark, const struct consensus_conf *conf,
                        const char *directory, const struct io *io) {
    uint8_t *errors = mark->file.file.address + MARK_FILE_HEADER_LENGTH;
    struct saved_errors saved = {.store = io->store};
    char path[CONSENSUS_PATH_MAX + 128];
    if (error_log_read(errors, conf->error_buffer_length, 0, ignore_error, NULL) == 0) {
        return;
    }
    int64_t now_ms = clock_epoch_ms(io->clock);
    time_t now_s = (time_t)(now_ms / MS_PER_S);
    struct tm utc;
    char stamp[64];
    if (gmtime_r(&now_s, &utc) == NULL ||
        strftime(stamp, sizeof stamp, "%Y-%m-%d-%H-%M-%S", &utc) == 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/CONSENSUS_MODULE-%s-%03d+0000-error.log", directory, stamp,
             (int)(now_ms % MS_PER_S));
    if (io->store->open(io->store->context, path, STORE_WRITE | STORE_CREATE, &saved.file) == 0) {
        error_log_read(errors, conf->error_buffer_length, 0, save_error, &saved);
        io->store->close(io->store->context, saved.file);
    }
    memset(errors, 0, (size_t)conf->error_buffer_length);
}

static int prepare_directories(const struct consensus_conf *conf, const char *directory,
                               const struct store *store, struct tern_error *error) {
    int result = store->make_directory(store->context, conf->cluster_dir);
    if (result == 0) {
        result = store->make_directory(store->context, directory);
    }
    if (result == 0) {
        result = write_link(conf, directory, store);
    }
    if (result != 0) {
        return error_set_errno(error, -result, "cannot prepare the cluster directory %s",
                               conf->cluster_dir);
    }
    return 0;
}

int module_mark_open(struct module_mark *mark, const struct consensus_conf *conf,
                     const struct io *io, struct tern_error *error) {
    const char *directory = directory_or(conf->mark_file_dir, conf->cluster_dir);
    char path[CONSENSUS_PATH_MAX + 64];
    int result = prepare_directories(conf, directory, io->store, error);
    if (result != 0) {
        return result;
    }
    snprintf(path, sizeof path, "%s/%s", directory, FILE_NAME);
    int64_t now_ms = clock_epoch_ms(io->clock);
    const struct mark_file_params params = {
        .path = path,
        .length = align_i64(MARK_FILE_HEADER_LENGTH + conf->error_buffer_length, PAGE_LENGTH),
        .version_offset = CLUSTER_MARK_FILE_HEADER_VERSION_OFFSET,
        .timestamp_offset = CLUSTER_MARK_FILE_HEADER_ACTIVITY_TIMESTAMP_OFFSET,
        .pid_offset = CLUSTER_MARK_FILE_HEADER_PID_OFFSET,
        .liveness_timeout_ms = LIVENESS_TIMEOUT_MS,
        .now_epoch_ms = now_ms,
    };
    result = mark_file_acquire(&mark->file, &params, error);
    if (result != 0) {
        return result;
    }
    save_errors(mark, conf, directory, io);
    result = write_header(mark, conf, now_ms);
    if (result != 0) {
        mark_file_close(&mark->file);
        return error_set(error, result, "directory and channel names do not fit a mark file");
    }
    error_log_init(&mark->errors, mark->file.file.address + MARK_FILE_HEADER_LENGTH,
                   conf->error_buffer_length);
    return 0;
}

void module_mark_ready(struct module_mark *mark, int64_t now_epoch_ms) {
    mark_file_signal_ready(&mark->file, MARK_VERSION, now_epoch_ms);
}

void module_mark_close(struct module_mark *mark) {
    if (mark->file.file.address != NULL) {
        mark_file_update_activity(&mark->file, -1);
    }
    mark_file_close(&mark->file);
}

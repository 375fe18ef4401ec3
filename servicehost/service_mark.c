/* The mark file tells tools and other containers who serves this directory and whether it lives. */
#include "servicehost/service_mark.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "wire/cluster_codec.h"

#define HEADER_LENGTH 8192
#define PAGE_LENGTH 4096
#define MARK_VERSION 768
#define LIVENESS_TIMEOUT_MS 10000

static const char *mark_directory(const struct service_conf *conf) {
    return conf->mark_file_dir[0] == '\0' ? conf->cluster_dir : conf->mark_file_dir;
}

/* Where the mark file is elsewhere, a link file in the cluster directory says where. */
static int write_link(const struct service_conf *conf, const struct store *store) {
    char path[SERVICE_CONF_PATH_MAX + 64];
    char target[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/cluster-mark-service-%d.lnk", conf->cluster_dir,
                   conf->service_id);
    if (strcmp(mark_directory(conf), conf->cluster_dir) == 0) {
        int result = store->unlink(store->context, path);
        return result == -ENOENT ? 0 : result;
    }
    if (realpath(mark_directory(conf), target) == NULL) {
        return -errno;
    }
    int file;
    int result =
        store->open(store->context, path, STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &file);
    if (result != 0) {
        return result;
    }
    result = store->pwrite(store->context, file, target, (int64_t)strlen(target), 0);
    (void)store->close(store->context, file);
    return result;
}

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

static int write_header(struct service_mark *mark, const struct service_conf *conf,
                        int64_t now_ms) {
    char name[SERVICE_CONF_NAME_MAX];
    if (conf->service_name[0] != '\0') {
        (void)snprintf(name, sizeof name, "%s", conf->service_name);
    } else {
        (void)snprintf(name, sizeof name, "clustered-service-%d-%d", conf->cluster_id,
                       conf->service_id);
    }
    const struct cluster_mark_file_header header = {
        .component_type = CLUSTER_CLUSTER_COMPONENT_TYPE_CONTAINER,
        .activity_timestamp = now_ms,
        .start_timestamp = now_ms,
        .pid = getpid(),
        .candidate_term_id = -1,
        .archive_stream_id = conf->archive_control_stream_id,
        .service_stream_id = conf->service_stream_id,
        .consensus_module_stream_id = conf->consensus_module_stream_id,
        .ingress_stream_id = -1,
        .member_id = -1,
        .service_id = conf->service_id,
        .header_length = HEADER_LENGTH,
        .error_buffer_length = (int32_t)conf->error_buffer_length,
        .cluster_id = conf->cluster_id,
        .aeron_directory = slice(conf->aeron_dir),
        .control_channel = slice(conf->control_channel),
        .service_name = slice(name),
    };
    int32_t length =
        cluster_mark_file_header_encode(&header, mark->file.file.address, HEADER_LENGTH);
    return length < 0 ? length : 0;
}

int service_mark_open(struct service_mark *mark, const struct service_conf *conf,
                      const struct io *io, struct tern_error *error) {
    const struct store *store = io->store;
    const char *directory = mark_directory(conf);
    int result = store->make_directory(store->context, conf->cluster_dir);
    if (result == 0) {
        result = store->make_directory(store->context, directory);
    }
    if (result == 0) {
        result = write_link(conf, store);
    }
    if (result != 0) {
        return error_set_errno(error, -result, "cannot prepare cluster directory %s",
                               conf->cluster_dir);
    }
    char path[SERVICE_CONF_PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/cluster-mark-service-%d.dat", directory,
                   conf->service_id);
    int64_t now_ms = clock_epoch_ms(io->clock);
    const struct mark_file_params params = {
        .path = path,
        .length = align_i64(HEADER_LENGTH + conf->error_buffer_length, PAGE_LENGTH),
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
    result = write_header(mark, conf, now_ms);
    if (result != 0) {
        mark_file_close(&mark->file);
        return error_set(error, result, "directory and channel names do not fit a mark file");
    }
    (void)error_log_init(&mark->errors, mark->file.file.address + HEADER_LENGTH,
                         conf->error_buffer_length);
    mark_file_signal_ready(&mark->file, MARK_VERSION, now_ms);
    return 0;
}

void service_mark_set_member(struct service_mark *mark, int32_t member_id) {
    put_i32(mark->file.file.address + CLUSTER_MARK_FILE_HEADER_MEMBER_ID_OFFSET, member_id);
}

void service_mark_close(struct service_mark *mark) {
    if (mark->file.file.address != NULL) {
        mark_file_update_activity(&mark->file, -1);
    }
    mark_file_close(&mark->file);
}

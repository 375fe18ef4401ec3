/* Taking and keeping ownership of a directory by its mark file (archive.md 4.7, cluster.md 5.3).
 *
 * Two things protect the owner. Against an Aeron daemon: the timestamp that the owner refreshes,
 * and the compare-and-set to "activating" by which one of several starters wins. Against another
 * Tern daemon: also a lock on the file, which the kernel drops when its holder dies, so that a
 * restart after kill -9 need not wait and cannot err. A recorded pid that does not exist proves a
 * dead owner; one that exists proves nothing but makes us wait for the time-out. A timestamp that
 * no waiting makes old (the clock was stepped back, or a start was killed half way) is its owner's
 * only when that process has the file mapped; else the number was given to somebody else.
 *
 * A start that fails (disk full, say) leaves the file as it found it: the checks and the
 * allocation come before the first store.
 */
#include "shm/mark_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"

#define ACTIVATING INT64_MAX
#define STOPPED INT64_C(-1)
#define CLIENT_MAGIC "TernClnt"
#define CLIENT_OFFSET (MARK_FILE_HEADER_LENGTH - (int32_t)sizeof(struct client_record))
#define MAPS_LINE_MAX 4352  /* a path and what stands before it */
#define VERSION_FAILED (-1) /* what the original leaves after a failed start */

struct client_record {
    char magic[8]; /* zeroes: none */
    struct mark_client client;
};

static int64_t *timestamp_of(const struct mark_file *mark) {
    return (int64_t *)(void *)(mark->file.address + mark->timestamp_offset);
}

static int32_t *version_of(const struct mark_file *mark) {
    return (int32_t *)(void *)(mark->file.address + mark->version_offset);
}

/* Open and lock; *length receives the present length of the file. */
static int lock_file(struct mark_file *mark, const char *path, int64_t *length,
                     struct tern_error *error) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open mark file %s", path);
    }
    struct stat status;
    int result = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        result = errno == EWOULDBLOCK
                     ? error_set(error, -EBUSY, "mark file %s is locked: its owner is alive", path)
                     : error_set_errno(error, errno, "cannot lock mark file %s", path);
    } else if (fstat(fd, &status) != 0) {
        result = error_set_errno(error, errno, "cannot examine mark file %s", path);
    } else if (status.st_nlink == 0) {
        result = error_set(error, -EBUSY, "mark file %s was just removed by another start", path);
    }
    if (result < 0) {
        (void)close(fd);
        return result;
    }
    assert(fd > 0); /* daemons keep their standard descriptors open */
    mark->lock_descriptor = fd;
    *length = status.st_size;
    return 0;
}

static bool is_pid_gone(int64_t pid) {
    if (pid <= 0 || pid > INT32_MAX || pid == getpid()) {
        return true; /* nobody, or we ourselves in an earlier life */
    }
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static bool line_names(const char *line, const char *name) {
    const char *slash = strrchr(line, '/');
    size_t length = strlen(name);
    return slash != NULL && strncmp(slash + 1, name, length) == 0 &&
           (slash[length + 1] == '\n' || slash[length + 1] == ' '); /* " (deleted)" */
}

/* False when the process certainly has no file of this name mapped, as an owner has. */
static bool may_own(int64_t pid, const char *path) {
    char line[MAPS_LINE_MAX];
    (void)snprintf(line, sizeof line, "/proc/%lld/maps", (long long)pid);
    FILE *maps = fopen(line, "re");
    if (maps == NULL) {
        return true; /* of another user */
    }
    const char *slash = strrchr(path, '/');
    bool is_found = false;
    while (!is_found && fgets(line, sizeof line, maps) != NULL) {
        is_found = line_names(line, slash == NULL ? path : slash + 1);
    }
    bool is_read = ferror(maps) == 0;
    (void)fclose(maps);
    return is_found || !is_read;
}

/* Whether the owner that a mapped file names is gone; *timestamp_ms is what was judged. */
static int check_owner(const struct mark_file *mark, const struct mark_file_params *params,
                       int64_t *timestamp_ms, struct tern_error *error) {
    *timestamp_ms = load_acquire_i64(timestamp_of(mark));
    int32_t version = load_acquire_i32(version_of(mark));
    int64_t pid =
        load_plain_i64((const int64_t *)(const void *)(mark->file.address + params->pid_offset));
    if (version != 0 && version != VERSION_FAILED && version >> 16 != params->version_major) {
        return error_set(error, TERN_ERROR_VERSION, "mark file %s has version %d.%d.%d, not %d.x",
                         params->path, version >> 16, (version >> 8) & 0xFF, version & 0xFF,
                         params->version_major);
    }
    if (*timestamp_ms == 0 || *timestamp_ms == STOPPED || is_pid_gone(pid)) {
        return 0;
    }
    int64_t age_ms = *timestamp_ms == ACTIVATING ? 0 : params->now_epoch_ms - *timestamp_ms;
    bool ages = *timestamp_ms != ACTIVATING && age_ms > -params->liveness_timeout_ms;
    if (!ages && !may_own(pid, params->path)) {
        return 0;
    }
    if (*timestamp_ms == ACTIVATING) {
        return error_set(error, -EBUSY, "mark file %s is being activated by process %lld",
                         params->path, (long long)pid);
    }
    if (age_ms < params->liveness_timeout_ms) {
        return error_set(error, -EBUSY, "mark file %s is active: process %lld, %lld ms ago",
                         params->path, (long long)pid, (long long)age_ms);
    }
    return 0;
}

/* Look at the existing header through a mapping of its own; a file that is too short for one holds
 * nothing to respect. */
static int examine(const struct mark_file *mark, const struct mark_file_params *params,
                   int64_t length, int64_t *timestamp_ms, struct tern_error *error) {
    *timestamp_ms = 0;
    if (length < MARK_FILE_HEADER_LENGTH) {
        return 0;
    }
    struct mark_file view = *mark;
    int result = mapped_file_open(&view.file, params->path, true, error);
    if (result < 0) {
        return result;
    }
    result = check_owner(&view, params, timestamp_ms, error);
    mapped_file_close(&view.file);
    return result;
}

/* Reserve the blocks and map. A shorter file is cut back when that fails. */
static int grow_and_map(struct mark_file *mark, const struct mark_file_params *params,
                        int64_t length, struct tern_error *error) {
    int failure = posix_fallocate(mark->lock_descriptor, 0, params->length);
    if (failure != 0) {
        if (length < params->length) {
            (void)!ftruncate(mark->lock_descriptor, length);
        }
        return error_set_errno(error, failure, "cannot allocate %lld bytes for mark file %s",
                               (long long)params->length, params->path);
    }
    return mapped_file_open(&mark->file, params->path, false, error);
}

static void read_last_client(struct mark_file *mark) {
    struct client_record record;
    memcpy(&record, mark->file.address + CLIENT_OFFSET, sizeof record);
    mark->has_last_client = memcmp(record.magic, CLIENT_MAGIC, sizeof record.magic) == 0;
    mark->last_client = record.client;
}

void mark_file_set_client(struct mark_file *mark, const struct mark_client *client) {
    struct client_record record;
    memcpy(&record, mark->file.address + CLIENT_OFFSET, sizeof record);
    const struct client_record none = {0};
    if (memcmp(&record, &none, sizeof record) == 0 ||
        memcmp(record.magic, CLIENT_MAGIC, sizeof record.magic) == 0) {
        memcpy(record.magic, CLIENT_MAGIC, sizeof record.magic);
        record.client = *client;
        memcpy(mark->file.address + CLIENT_OFFSET, &record, sizeof record);
    }
}

static void clear_header(const struct mark_file *mark, const struct mark_file_params *params) {
    store_release_i32(version_of(mark), 0);
    int32_t after_timestamp = mark->timestamp_offset + (int32_t)sizeof(int64_t);
    memset(mark->file.address, 0, (size_t)mark->timestamp_offset);
    memset(mark->file.address + after_timestamp, 0,
           (size_t)(MARK_FILE_HEADER_LENGTH - after_timestamp));
    store_release_i64((int64_t *)(void *)(mark->file.address + params->pid_offset), getpid());
}

static int activate(struct mark_file *mark, const struct mark_file_params *params,
                    struct tern_error *error) {
    int64_t length = 0, timestamp_ms = 0;
    int result = lock_file(mark, params->path, &length, error);
    if (result < 0) {
        return result;
    }
    result = examine(mark, params, length, &timestamp_ms, error);
    if (result == 0) {
        result = grow_and_map(mark, params, length, error);
    }
    if (result < 0) {
        if (length == 0) {
            (void)unlink(params->path); /* we made it, and it holds nothing */
        }
        return result;
    }
    if (length < MARK_FILE_HEADER_LENGTH) {
        memset(mark->file.address, 0, MARK_FILE_HEADER_LENGTH);
    }
    if (!compare_and_set_i64(timestamp_of(mark), timestamp_ms, ACTIVATING)) {
        mapped_file_close(&mark->file);
        return error_set(error, -EBUSY, "mark file %s is being activated by another process",
                         params->path);
    }
    read_last_client(mark);
    clear_header(mark, params);
    return 0;
}

int mark_file_acquire(struct mark_file *mark, const struct mark_file_params *params,
                      struct tern_error *error) {
    assert(params->length > MARK_FILE_HEADER_LENGTH);
    assert(params->version_offset % 4 == 0);
    assert(params->timestamp_offset % 8 == 0 && params->pid_offset % 8 == 0);
    *mark = (struct mark_file){.version_offset = params->version_offset,
                               .timestamp_offset = params->timestamp_offset};
    int result = activate(mark, params, error);
    if (result < 0) {
        mark_file_close(mark);
    }
    return result;
}

void mark_file_signal_ready(struct mark_file *mark, int32_t version, int64_t now_epoch_ms) {
    store_release_i64(timestamp_of(mark), now_epoch_ms);
    store_release_i32(version_of(mark), version);
    /* Advice for tools: a failed sync changes nothing for those who map the file. */
    (void)mapped_file_sync(&mark->file);
}

void mark_file_update_activity(struct mark_file *mark, int64_t now_epoch_ms) {
    store_release_i64(timestamp_of(mark), now_epoch_ms);
    if (now_epoch_ms == STOPPED) {
        (void)mapped_file_sync(&mark->file);
    }
}

int64_t mark_file_activity_ms(const struct mark_file *mark) {
    return load_acquire_i64(timestamp_of(mark));
}

void mark_file_close(struct mark_file *mark) {
    if (mark->file.address != NULL && mark_file_activity_ms(mark) == ACTIVATING) {
        mark_file_update_activity(mark, STOPPED);
    }
    mapped_file_close(&mark->file);
    if (mark->lock_descriptor > 0) {
        (void)close(mark->lock_descriptor);
    }
    *mark = (struct mark_file){0};
}

/* The event log's file: who makes it, who maps it, and its records.
 *
 * The header is written by one side per field. What the reader wants is copied when the driver
 * opens the file; the ring of a reader that writes nonsense into it can lose events, but the driver
 * never leaves the ring's memory.
 */
#include "shm/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#define FILE_LENGTH (TRACE_HEADER_LENGTH + TRACE_RING_CAPACITY + RING_TRAILER_LENGTH)

static int open_views(struct trace_file *trace) {
    trace->header = (struct trace_header *)(void *)trace->file.address;
    return ring_mpsc_init(&trace->ring, trace->file.address + TRACE_HEADER_LENGTH,
                          FILE_LENGTH - TRACE_HEADER_LENGTH);
}

int trace_file_create(struct trace_file *trace, const char *path, int32_t kinds, int64_t epoch_ms,
                      struct tern_error *error) {
    *trace = (struct trace_file){.kinds = kinds};
    int result = mapped_file_create(&trace->file, path, FILE_LENGTH, false, error);
    if (result < 0) {
        return result;
    }
    result = open_views(trace);
    assert(result == 0);
    trace->header->kinds = kinds;
    trace->header->reader_heartbeat_ms = epoch_ms;
    store_release_i32(&trace->header->version, TRACE_FILE_VERSION);
    return 0;
}

int trace_file_create_private(struct trace_file *trace, int32_t kinds, struct tern_error *error) {
    *trace = (struct trace_file){.kinds = kinds};
    int result = mapped_file_create_private(&trace->file, FILE_LENGTH, error);
    if (result < 0) {
        return result;
    }
    result = open_views(trace);
    assert(result == 0);
    trace->header->kinds = kinds;
    return 0;
}

/* A length that the driver can rely on: a hole would be SIGBUS when the file system is full. */
static int map_allocated(struct trace_file *trace, const char *path, struct tern_error *error) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open %s", path);
    }
    int failure = posix_fallocate(fd, 0, FILE_LENGTH);
    int result = failure == 0 ? mapped_file_map(&trace->file, fd, path, false, error)
                              : error_set_errno(error, failure, "cannot allocate %s", path);
    (void)close(fd);
    return result;
}

int trace_file_open(struct trace_file *trace, const char *path, struct tern_error *error) {
    *trace = (struct trace_file){0};
    int result = map_allocated(trace, path, error);
    if (result < 0) {
        return result;
    }
    if (trace->file.length != FILE_LENGTH) {
        int64_t length = trace->file.length;
        trace_file_close(trace);
        return error_set(error, TERN_ERROR_PROTOCOL, "%s has %lld bytes: no trace file", path,
                         (long long)length);
    }
    result = open_views(trace);
    assert(result == 0);
    int32_t version = load_acquire_i32(&trace->header->version);
    if (version == TRACE_FILE_VERSION) {
        trace->kinds = load_plain_i32(&trace->header->kinds);
        return 0;
    }
    trace_file_close(trace);
    return version == 0
               ? error_set(error, -EAGAIN, "%s is being made", path)
               : error_set(error, TERN_ERROR_PROTOCOL, "%s is of version %d", path, version);
}

void trace_file_close(struct trace_file *trace) {
    mapped_file_close(&trace->file);
    *trace = (struct trace_file){0};
}

void trace_file_end(struct trace_file *trace, const char *path) {
    store_release_i32(&trace->header->is_ended, 1);
    (void)unlink(path);
}

void trace_file_write(struct trace_file *trace, enum trace_kind kind,
                      const struct trace_event *event, const void *data, int32_t captured) {
    uint8_t *payload;
    int32_t kept = min_i32(event->length, captured);
    int32_t length = (int32_t)sizeof *event + kept;
    if (ring_mpsc_try_claim(&trace->ring, (int32_t)kind, length, &payload) != RING_OK) {
        (void)get_and_add_i64(&trace->header->dropped_count, 1);
        return;
    }
    memcpy(payload, event, sizeof *event);
    memcpy(payload + sizeof *event, data, (size_t)kept);
    ring_mpsc_commit(&trace->ring, payload);
}

struct read_target {
    trace_handler handler;
    void *context;
};

static void on_record(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    const struct read_target *target = context;
    struct trace_event event;
    if (length >= (int32_t)sizeof event) {
        memcpy(&event, payload, sizeof event);
        target->handler(target->context, (enum trace_kind)type, &event, payload + sizeof event,
                        length - (int32_t)sizeof event);
    }
}

int trace_file_read(struct trace_file *trace, trace_handler handler, void *context) {
    struct read_target target = {handler, context};
    return ring_mpsc_read(&trace->ring, on_record, &target, INT32_MAX);
}

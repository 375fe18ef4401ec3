/* Mapped logs of one client, shared between its publications and IPC images of the same file.
 *
 * A log is mapped once per client, however many handles use it, and unmapped when the last one is
 * closed. The driver may unlink the file at any time (it never truncates it), so what is mapped
 * stays readable and writable. Control plane only; the caller holds the client's lock.
 */
#include "client/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

static bool is_same_path(const struct client_log *log, const struct text_slice *path) {
    return strlen(log->path) == (size_t)path->length &&
           memcmp(log->path, path->text, (size_t)path->length) == 0;
}

static struct client_log *log_map(const struct tern_client *client, int64_t id,
                                  const struct text_slice *path, struct tern_error *error) {
    struct client_log *log = memory_allocate_lines(sizeof *log);
    char *copy = log == NULL ? NULL : strndup(path->text, (size_t)path->length);
    if (copy == NULL) {
        free(log);
        (void)error_set(error, -ENOMEM, "no memory for log %lld", (long long)id);
        return NULL;
    }
    if (log_buffer_open(&log->buffer, copy, error) != 0) {
        free(copy);
        free(log);
        return NULL;
    }
    if (client->settings.is_pre_touching) {
        mapped_file_touch(&log->buffer.file);
    }
    log->descriptor = -1;
    log->path = copy;
    log->id = id;
    log->reference_count = 1;
    return log;
}

struct client_log *client_log_acquire(struct tern_client *client, int64_t id,
                                      const struct text_slice *path, struct tern_error *error) {
    struct client_log *log = hash_map_get(&client->logs, id);
    if (log != NULL && is_same_path(log, path)) {
        log->reference_count++;
        return log;
    }
    bool is_id_free = log == NULL;
    log = log_map(client, id, path, error);
    if (log != NULL && is_id_free) {
        /* Without memory for the entry the log is merely not shared. */
        log->is_shared = hash_map_put(&client->logs, id, log) == 0;
    }
    return log;
}

void client_log_release(struct tern_client *client, struct client_log *log) {
    assert(log->reference_count > 0);
    if (--log->reference_count > 0) {
        return;
    }
    if (log->is_shared) {
        (void)hash_map_remove(&client->logs, log->id);
    }
    log_buffer_close(&log->buffer);
    if (log->descriptor >= 0) {
        (void)close(log->descriptor);
    }
    free(log->path);
    free(log);
}

int client_log_descriptor(struct tern_client *client, struct client_log *log) {
    client_lock(client);
    if (log->descriptor < 0) {
        log->descriptor = open(log->path, O_RDONLY | O_CLOEXEC);
    }
    int result = log->descriptor >= 0 ? log->descriptor : -errno;
    client_unlock(client);
    return result;
}

/* Deletions. The catalog has changed already when one begins, so nothing refers to the files any
 * more; only their space is still taken. One unlink per duty cycle, because removing a large file
 * can take long. Other deletions of the same recording, and extensions into the deleted range, are
 * refused meanwhile. What a crash leaves of a purged recording goes at the next start
 * (archive_start.c); other orphaned segments are for the tool.
 */
#include "archived/deletion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/control_session.h"
#include "archived/replay.h"

int deletion_list_range(int64_t first, int64_t end, int64_t step, int64_t **bases) {
    *bases = NULL;
    if (first >= end) {
        return 0;
    }
    int64_t count = (end - first + step - 1) / step;
    if (count > INT32_MAX) {
        return -EOVERFLOW;
    }
    int64_t *list = malloc((size_t)count * sizeof *list);
    if (list == NULL) {
        return -ENOMEM;
    }
    for (int64_t i = 0; i < count; i++) {
        list[i] = first + i * step;
    }
    *bases = list;
    return (int)count;
}

struct file_search {
    int64_t recording_id;
    int64_t *bases;
    int count;
    int capacity;
};

static int visit_name(void *arg, const char *name) {
    struct file_search *search = arg;
    int64_t recording_id;
    int64_t base;
    bool deleted;
    if (!segment_name_parse(name, &recording_id, &base, &deleted) ||
        recording_id != search->recording_id) {
        return 0;
    }
    if (search->count == search->capacity) {
        int capacity = search->capacity == 0 ? 16 : 2 * search->capacity;
        int64_t *bases = realloc(search->bases, (size_t)capacity * sizeof *bases);
        if (bases == NULL) {
            return -ENOMEM;
        }
        search->bases = bases;
        search->capacity = capacity;
    }
    search->bases[search->count++] = base;
    return 0;
}

int deletion_list_files(const struct archive_server *server, int64_t recording_id,
                        int64_t **bases) {
    struct file_search search = {.recording_id = recording_id};
    const struct store *store = server->segments.store;
    int result = store->list(store->context, server->segments.directory, visit_name, &search);
    if (result != 0) {
        free(search.bases);
        *bases = NULL;
        return result;
    }
    *bases = search.bases;
    return search.count;
}

bool deletion_is_pending(const struct archive_server *server, int64_t recording_id) {
    return deletion_reaches(server, recording_id, INT64_MIN);
}

bool deletion_reaches(const struct archive_server *server, int64_t recording_id, int64_t position) {
    for (int i = 0; i < server->deletions.count; i++) {
        const struct deletion *deletion = server->deletions.items[i];
        if (deletion->recording_id == recording_id && deletion->highest_base >= position) {
            return true;
        }
    }
    return false;
}

static void send_done(struct archive_server *server, const struct deletion_params *params) {
    const struct control_signal signal = {
        .control_session_id = params->control_session_id,
        .correlation_id = params->correlation_id,
        .recording_id = params->recording_id,
        .subscription_id = ARCHIVE_NULL,
        .position = ARCHIVE_NULL,
        .signal = ARCHIVE_RECORDING_SIGNAL_DELETE,
    };
    control_send_signal(server, &signal);
}

int deletion_create(struct archive_server *server, const struct deletion_params *params) {
    if (params->count == 0) {
        free(params->bases);
        send_done(server, params);
        return 0;
    }
    struct deletion *deletion = calloc(1, sizeof *deletion);
    if (deletion == NULL || session_list_add(&server->deletions, deletion) != 0) {
        free(deletion);
        free(params->bases);
        return -ENOMEM;
    }
    *deletion = (struct deletion){
        .server = server,
        .recording_id = params->recording_id,
        .control_session_id = params->control_session_id,
        .correlation_id = params->correlation_id,
        .waits_for_replays = params->waits_for_replays,
        .bases = params->bases,
        .count = params->count,
        .highest_base = INT64_MIN,
    };
    for (int i = 0; i < params->count; i++) {
        deletion->highest_base = max_i64(deletion->highest_base, params->bases[i]);
    }
    return 0;
}

void deletion_destroy(struct deletion *deletion) {
    free(deletion->bases);
    free(deletion);
}

/* The file itself, or what an older archive renamed it to. */
static int unlink_segment(const struct deletion *deletion, int64_t base) {
    static const char *const suffixes[] = {"", ".del"};
    const struct segment_place *place = &deletion->server->segments;
    char path[SEGMENT_PATH_MAX];
    segment_path(place, deletion->recording_id, base, path);
    size_t length = strlen(path);
    int result = -ENOENT;
    for (size_t i = 0; i < ARRAY_COUNT(suffixes) && result == -ENOENT; i++) {
        (void)snprintf(path + length, sizeof path - length, "%s", suffixes[i]);
        result = place->store->unlink(place->store->context, path);
    }
    if (result == -ENOENT) {
        (void)snprintf(path + length - strlen(".rec"), sizeof path - length, ".del");
        result = place->store->unlink(place->store->context, path);
    }
    return result == -ENOENT ? 0 : result;
}

int deletion_step(struct deletion *deletion, bool *is_alive) {
    struct archive_server *server = deletion->server;
    *is_alive = true;
    if (deletion->waits_for_replays && replay_is_active(server, deletion->recording_id)) {
        return 0;
    }
    int64_t base = deletion->bases[deletion->next++];
    int result = unlink_segment(deletion, base);
    if (result != 0) {
        archive_server_error(server, result, "cannot delete segment %" PRId64 "-%" PRId64 ".rec",
                             deletion->recording_id, base);
        control_respond_error(server, deletion->control_session_id, deletion->correlation_id,
                              TERN_ARCHIVE_ERROR_GENERIC,
                              "cannot delete segment %" PRId64 "-%" PRId64 ".rec",
                              deletion->recording_id, base);
    }
    if (deletion->next == deletion->count) {
        const struct deletion_params params = {.recording_id = deletion->recording_id,
                                               .control_session_id = deletion->control_session_id,
                                               .correlation_id = deletion->correlation_id};
        send_done(server, &params);
        deletion_destroy(deletion);
        *is_alive = false;
    }
    return 1;
}

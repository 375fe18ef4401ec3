/* Reading recording.log: the records of the file, sorted as the original's readers sort them, and
 * the questions that recovery and elections ask (see recording_log.h; changes are in
 * recording_log_change.c). Used by the consensus module and by ternctl-cluster.
 *
 * The records have no checksum (hazard H11). Near the end of the file, what cannot be a record (a
 * hole of zeros, say) is what a crash left of unforced appends: it ends the log, and the next
 * append overwrites it. Anywhere else it means a damaged file, which is refused.
 */
#include "consensusd/recording_log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/recording_log_file.h"
#include "wire/cluster_codec.h"

#define INVALID_FLAG 0x80000000u
#define TYPE_REMOVED 0xFFFFFFFFu
#define RECORD_LENGTH 48
#define PATH_LENGTH_MAX 4096
#define FILE_LENGTH_MAX (INT64_C(64) << 20) /* a million records: no real file comes near */
#define SERVICE_ID_MAX 9
#define ENTRIES_INITIAL 64

int64_t recording_log_record_length(const struct recording_log_entry *entry) {
    int64_t length = RECORD_LENGTH;
    if (entry->type == RECORDING_LOG_STANDBY_SNAPSHOT) {
        length += 4 + (int64_t)strlen(entry->endpoint);
    }
    return align_i64(length, RECORDING_LOG_ALIGNMENT);
}

int recording_log_compare(const struct recording_log_entry *a,
                          const struct recording_log_entry *b) {
    if (a->leadership_term_id != b->leadership_term_id) {
        return a->leadership_term_id < b->leadership_term_id ? -1 : 1;
    }
    if (a->term_base_log_position != b->term_base_log_position) {
        return a->term_base_log_position < b->term_base_log_position ? -1 : 1;
    }
    bool is_a_snapshot = a->type == RECORDING_LOG_SNAPSHOT;
    bool is_b_snapshot = b->type == RECORDING_LOG_SNAPSHOT;
    if (is_a_snapshot != is_b_snapshot) {
        return is_a_snapshot ? 1 : -1;
    }
    if (is_a_snapshot && a->log_position != b->log_position) {
        return a->log_position < b->log_position ? -1 : 1;
    }
    if (is_a_snapshot && a->service_id != b->service_id) {
        return a->service_id > b->service_id ? -1 : 1;
    }
    return a->index - b->index;
}

int recording_log_insert(struct recording_log *log, const struct recording_log_entry *entry) {
    if (log->count == log->capacity) {
        int32_t capacity = log->capacity == 0 ? ENTRIES_INITIAL : 2 * log->capacity;
        struct recording_log_entry *entries =
            realloc(log->entries, (size_t)capacity * sizeof *entries);
        if (entries == NULL) {
            return -ENOMEM;
        }
        log->entries = entries;
        log->capacity = capacity;
    }
    int32_t at = log->count;
    while (at > 0 && recording_log_compare(&log->entries[at - 1], entry) > 0) {
        log->entries[at] = log->entries[at - 1];
        at--;
    }
    log->entries[at] = *entry;
    log->count++;
    return 0;
}

/* -- loading -- */

/* The record at `bytes`: 1 an entry, 0 a removed one, -EBADMSG none. *length with padding. */
static int decode(struct recording_log_entry *entry, int64_t *length, const uint8_t *bytes,
                  int64_t available) {
    struct cluster_recording_log_entry record;
    if (cluster_recording_log_entry_decode(&record, bytes, RECORD_LENGTH) < 0) {
        return -EBADMSG;
    }
    *length = RECORDING_LOG_ALIGNMENT;
    memset(entry, 0, sizeof *entry);
    uint32_t type = record.type & ~INVALID_FLAG;
    bool is_removed = record.type == TYPE_REMOVED;
    bool is_entry =
        type <= RECORDING_LOG_STANDBY_SNAPSHOT && record.recording_id >= 0 &&
        record.leadership_term_id >= 0 && record.term_base_log_position >= 0 &&
        record.log_position >= RECORDING_LOG_NULL &&
        record.service_id >= RECORDING_LOG_MODULE_SERVICE_ID &&
        record.service_id <= SERVICE_ID_MAX &&
        (type != RECORDING_LOG_TERM || record.service_id == RECORDING_LOG_MODULE_SERVICE_ID);
    if (is_removed || !is_entry) {
        return is_removed ? 0 : -EBADMSG;
    }
    entry->recording_id = record.recording_id;
    entry->leadership_term_id = record.leadership_term_id;
    entry->term_base_log_position = record.term_base_log_position;
    entry->log_position = record.log_position;
    entry->timestamp = record.timestamp;
    entry->service_id = record.service_id;
    entry->type = (enum recording_log_entry_type)type;
    entry->is_valid = (record.type & INVALID_FLAG) == 0;
    if (entry->type != RECORDING_LOG_STANDBY_SNAPSHOT) {
        return 1;
    }
    struct cluster_recording_log_standby_entry standby;
    int32_t limit = (int32_t)min_i64(available, RECORDING_LOG_RECORD_LENGTH_MAX);
    if (cluster_recording_log_standby_entry_decode(&standby, bytes, limit) < 0 ||
        standby.archive_endpoint.length > RECORDING_LOG_ENDPOINT_MAX) {
        return -EBADMSG;
    }
    *length =
        align_i64(RECORD_LENGTH + 4 + standby.archive_endpoint.length, RECORDING_LOG_ALIGNMENT);
    entry->endpoint =
        strndup(standby.archive_endpoint.text, (size_t)standby.archive_endpoint.length);
    return entry->endpoint == NULL ? -ENOMEM : 1;
}

static int parse(struct recording_log *log, const uint8_t *bytes, int64_t length,
                 struct tern_error *error) {
    int64_t at = 0;
    while (length - at >= RECORD_LENGTH) {
        struct recording_log_entry entry;
        int64_t record_length = RECORDING_LOG_ALIGNMENT;
        int kind = decode(&entry, &record_length, bytes + at, length - at);
        if (kind == -EBADMSG && length - at <= RECORDING_LOG_RECORD_LENGTH_MAX) {
            break;
        }
        if (kind == -EBADMSG) {
            return error_set(error, -EBADMSG, "%s is damaged at byte %lld", RECORDING_LOG_FILE_NAME,
                             (long long)at);
        }
        entry.index = log->next_index++;
        entry.offset = at;
        int result = kind < 0 ? kind : kind == 0 ? 0 : recording_log_insert(log, &entry);
        if (result < 0) {
            free(entry.endpoint);
            return error_set_errno(error, -result, "cannot load %s", RECORDING_LOG_FILE_NAME);
        }
        at += record_length;
    }
    log->has_torn_tail = length > at;
    log->file_length = at;
    return 0;
}

static int check_terms(const struct recording_log *log, struct tern_error *error) {
    const struct recording_log_entry *first = NULL;
    for (int32_t i = 0; i < log->count; i++) {
        const struct recording_log_entry *entry = &log->entries[i];
        if (entry->type != RECORDING_LOG_TERM || !entry->is_valid) {
            continue;
        }
        if (first != NULL && entry->recording_id != first->recording_id) {
            return error_set(error, -EBADMSG,
                             "%s: term %lld is in recording %lld, term %lld in recording %lld",
                             RECORDING_LOG_FILE_NAME, (long long)first->leadership_term_id,
                             (long long)first->recording_id, (long long)entry->leadership_term_id,
                             (long long)entry->recording_id);
        }
        first = entry;
    }
    return 0;
}

/* What was read need not be on disk when the last module ended because a sync failed: the system
 * has it in memory and does not write it any more. The module acts on it, so it is written again.
 */
static int make_durable(struct recording_log *log, const uint8_t *bytes, int64_t length,
                        const char *directory, struct tern_error *error) {
    const struct store *store = log->store;
    int result = length == 0 ? 0 : store->pwrite(store->context, log->file, bytes, length, 0);
    if (result == 0) {
        result = store->sync(store->context, log->file, true);
    }
    if (result == 0) {
        result = store->sync_directory(store->context, directory);
    }
    return result == 0
               ? 0
               : error_set_errno(error, -result, "cannot write %s", RECORDING_LOG_FILE_NAME);
}

/* A writer's `directory`, or NULL. */
static int load(struct recording_log *log, const char *directory, struct tern_error *error) {
    const struct store *store = log->store;
    int64_t length = store->length(store->context, log->file);
    if (length < 0 || length > FILE_LENGTH_MAX) {
        return error_set(error, length < 0 ? (int)length : -EFBIG,
                         "%s cannot be read, or is too long", RECORDING_LOG_FILE_NAME);
    }
    uint8_t *bytes = calloc(1, (size_t)length + 1);
    if (bytes == NULL) {
        return error_set_errno(error, ENOMEM, "cannot load %s", RECORDING_LOG_FILE_NAME);
    }
    int64_t read = store->pread(store->context, log->file, bytes, length, 0);
    int result = read < 0
                     ? error_set_errno(error, (int)-read, "cannot read %s", RECORDING_LOG_FILE_NAME)
                     : parse(log, bytes, read, error);
    if (result == 0 && directory != NULL) {
        result = make_durable(log, bytes, min_i64(read, log->file_length), directory, error);
    }
    free(bytes);
    return result < 0 ? result : check_terms(log, error);
}

int recording_log_open(struct recording_log *log, const struct store *store, const char *directory,
                       bool is_writable, struct tern_error *error) {
    char path[PATH_LENGTH_MAX];
    memset(log, 0, sizeof *log);
    log->store = store;
    if (snprintf(path, sizeof path, "%s/%s", directory, RECORDING_LOG_FILE_NAME) >=
        (int)sizeof path) {
        return error_set(error, -ENAMETOOLONG, "the path of %s is too long",
                         RECORDING_LOG_FILE_NAME);
    }
    unsigned flags = is_writable ? STORE_WRITE | STORE_CREATE : STORE_READ;
    int result = store->open(store->context, path, flags, &log->file);
    if (result < 0) {
        return error_set_errno(error, -result, "cannot open %s", path);
    }
    log->is_open = true;
    result = load(log, is_writable ? directory : NULL, error);
    if (result < 0) {
        recording_log_close(log);
    }
    return result;
}

void recording_log_close(struct recording_log *log) {
    for (int32_t i = 0; i < log->count; i++) {
        free(log->entries[i].endpoint);
    }
    free(log->entries);
    log->entries = NULL;
    log->count = 0;
    log->capacity = 0;
    if (log->is_open) {
        log->store->close(log->store->context, log->file);
        log->is_open = false;
    }
}

/* -- writing one record -- */

int recording_log_sync(struct recording_log *log, struct tern_error *error) {
    int result = log->store->sync(log->store->context, log->file, true);
    if (result < 0) {
        return error_set_errno(error, -result, "cannot sync %s", RECORDING_LOG_FILE_NAME);
    }
    return 0;
}

int recording_log_write(struct recording_log *log, const struct recording_log_entry *entry,
                        struct tern_error *error) {
    uint8_t bytes[RECORDING_LOG_RECORD_LENGTH_MAX] = {0};
    uint32_t type = (uint32_t)entry->type | (entry->is_valid ? 0 : INVALID_FLAG);
    struct cluster_recording_log_standby_entry record = {
        .recording_id = entry->recording_id,
        .leadership_term_id = entry->leadership_term_id,
        .term_base_log_position = entry->term_base_log_position,
        .log_position = entry->log_position,
        .timestamp = entry->timestamp,
        .service_id = entry->service_id,
        .type = type,
    };
    if (entry->endpoint != NULL) {
        record.archive_endpoint.text = entry->endpoint;
        record.archive_endpoint.length = (int32_t)strlen(entry->endpoint);
    }
    /* Without an endpoint the length word written here is padding, and zero. */
    if (cluster_recording_log_standby_entry_encode(&record, bytes, sizeof bytes) < 0) {
        return error_set(error, -EMSGSIZE, "%s: the endpoint is too long", RECORDING_LOG_FILE_NAME);
    }
    const struct store *store = log->store;
    int result = store->pwrite(store->context, log->file, bytes, recording_log_record_length(entry),
                               entry->offset);
    if (result < 0) {
        return error_set_errno(error, -result, "cannot write %s", RECORDING_LOG_FILE_NAME);
    }
    return 0;
}

/* -- queries -- */

const struct recording_log_entry *recording_log_find_term(const struct recording_log *log,
                                                          int64_t term_id) {
    for (int32_t i = log->count - 1; i >= 0; i--) {
        const struct recording_log_entry *entry = &log->entries[i];
        if (entry->type == RECORDING_LOG_TERM && entry->is_valid &&
            entry->leadership_term_id == term_id) {
            return entry;
        }
    }
    return NULL;
}

const struct recording_log_entry *recording_log_last_term(const struct recording_log *log) {
    for (int32_t i = log->count - 1; i >= 0; i--) {
        if (log->entries[i].type == RECORDING_LOG_TERM && log->entries[i].is_valid) {
            return &log->entries[i];
        }
    }
    return NULL;
}

bool recording_log_is_complete_set(const struct recording_log *log, int32_t index,
                                   int32_t service_count) {
    const struct recording_log_entry *module = &log->entries[index];
    if (module->type != RECORDING_LOG_SNAPSHOT || !module->is_valid ||
        module->service_id != RECORDING_LOG_MODULE_SERVICE_ID || index < service_count) {
        return false;
    }
    for (int32_t service = 0; service < service_count; service++) {
        const struct recording_log_entry *entry = &log->entries[index - 1 - service];
        if (entry->type != RECORDING_LOG_SNAPSHOT || !entry->is_valid ||
            entry->service_id != service || entry->log_position != module->log_position ||
            entry->leadership_term_id != module->leadership_term_id) {
            return false;
        }
    }
    return true;
}

int32_t recording_log_latest_snapshot(const struct recording_log *log, int32_t service_count) {
    for (int32_t i = log->count - 1; i >= 0; i--) {
        if (recording_log_is_complete_set(log, i, service_count)) {
            return i;
        }
    }
    return -1;
}

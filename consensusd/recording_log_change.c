/* Changes of recording.log (see recording_log.h): terms begin, end and are cut, snapshots are added
 * and invalidated. Called by the consensus module only.
 *
 * A change rewrites whole records in place or appends some, then forces the file once. A record of
 * 64 bytes never crosses a sector, so a crash leaves each old or new, and an append that is missing
 * ends the log for readers (see recording_log.c). Recovery looks at the last term and at complete
 * sets of snapshots only, and the next term cuts those before it where it begins, so every mixture
 * of old and new is a state that is understood.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/recording_log_file.h"

/* Fewer than the records in which a reader accepts a hole. */
#define UNFORCED_RECORDS_MAX 32

static struct recording_log_entry *find_term(struct recording_log *log, int64_t term_id) {
    const struct recording_log_entry *found = recording_log_find_term(log, term_id);
    return found == NULL ? NULL : &log->entries[found - log->entries];
}

static int append(struct recording_log *log, struct recording_log_entry *entry,
                  struct tern_error *error) {
    entry->index = log->next_index;
    entry->offset = log->file_length;
    entry->is_valid = true;
    int result = recording_log_write(log, entry, error);
    if (result < 0) {
        return result;
    }
    result = recording_log_insert(log, entry);
    if (result < 0) {
        return error_set_errno(error, -result, "cannot extend %s", RECORDING_LOG_FILE_NAME);
    }
    log->next_index++;
    log->file_length += recording_log_record_length(entry);
    return 0;
}

static int set_end(struct recording_log *log, struct recording_log_entry *term,
                   int64_t log_position, struct tern_error *error) {
    if (term->log_position == log_position) {
        return 0;
    }
    term->log_position = log_position;
    return recording_log_write(log, term, error);
}

static int sync_after(struct recording_log *log, int result, struct tern_error *error) {
    return result < 0 ? result : recording_log_sync(log, error);
}

int recording_log_commit_term(struct recording_log *log, int64_t term_id, int64_t log_position,
                              struct tern_error *error) {
    struct recording_log_entry *term = find_term(log, term_id);
    if (term == NULL) {
        return error_set(error, -ENOENT, "%s has no term %lld", RECORDING_LOG_FILE_NAME,
                         (long long)term_id);
    }
    if (term->log_position == log_position) {
        return 0;
    }
    return sync_after(log, set_end(log, term, log_position, error), error);
}

/* A term begins where the one before it ends. */
static int append_term(struct recording_log *log, const struct recording_log_coherence *want,
                       int64_t term_id, int64_t base, struct tern_error *error) {
    struct recording_log_entry *before = find_term(log, term_id - 1);
    if (before != NULL) {
        int result = set_end(log, before, base, error);
        if (result < 0) {
            return result;
        }
    }
    struct recording_log_entry entry = {
        .recording_id = want->recording_id,
        .leadership_term_id = term_id,
        .term_base_log_position = base,
        .log_position = RECORDING_LOG_NULL,
        .timestamp = want->timestamp,
        .service_id = RECORDING_LOG_MODULE_SERVICE_ID,
        .type = RECORDING_LOG_TERM,
    };
    return append(log, &entry, error);
}

/* What a truncation that broke off left: terms that begin or end behind `position`. Somebody who
 * copies the log by them would stop in the middle of a frame. */
static int cut_terms(struct recording_log *log, int64_t position, struct tern_error *error) {
    int result = 0;
    for (int32_t i = 0; i < log->count && result == 0; i++) {
        struct recording_log_entry *term = &log->entries[i];
        int64_t base = min_i64(term->term_base_log_position, position);
        int64_t end = min_i64(term->log_position, position); /* NULL is less than any */
        bool is_kept = base == term->term_base_log_position && end == term->log_position;
        if (term->type == RECORDING_LOG_TERM && term->is_valid && !is_kept) {
            term->term_base_log_position = base;
            term->log_position = end;
            result = recording_log_write(log, term, error);
        }
    }
    return result;
}

static int begin_term(struct recording_log *log, const struct recording_log_coherence *want,
                      struct tern_error *error) {
    const struct recording_log_entry *last = recording_log_last_term(log);
    int64_t next_term_id;
    int64_t filler_base;
    int64_t base = want->base_position;
    int result = base == RECORDING_LOG_NULL ? 0 : cut_terms(log, base, error);
    if (result < 0) {
        return result;
    }
    if (last == NULL) {
        next_term_id = max_i64(want->initial_term_id, 0);
        filler_base = want->initial_base_position;
        base = base == RECORDING_LOG_NULL ? filler_base : base;
    } else {
        if (last->log_position == RECORDING_LOG_NULL && base == RECORDING_LOG_NULL) {
            return error_set(error, -EINVAL, "%s: where term %lld ends is not known",
                             RECORDING_LOG_FILE_NAME, (long long)last->leadership_term_id);
        }
        next_term_id = last->leadership_term_id + 1;
        filler_base = last->log_position == RECORDING_LOG_NULL ? base : last->log_position;
        base = base == RECORDING_LOG_NULL ? filler_base : base;
    }
    for (int64_t term_id = next_term_id; term_id < want->term_id; term_id++) {
        result = append_term(log, want, term_id, filler_base, error);
        if (result == 0 && term_id % UNFORCED_RECORDS_MAX == 0) {
            result = recording_log_sync(log, error);
        }
        if (result < 0) {
            return result;
        }
    }
    return sync_after(log, append_term(log, want, want->term_id, base, error), error);
}

int recording_log_ensure_coherent(struct recording_log *log,
                                  const struct recording_log_coherence *want,
                                  struct tern_error *error) {
    assert(want->term_id >= 0);
    if (want->recording_id == RECORDING_LOG_NULL) {
        return 0;
    }
    const struct recording_log_entry *last = recording_log_last_term(log);
    if (last != NULL && last->recording_id != want->recording_id) {
        return error_set(error, -EINVAL, "the log is recording %lld, not %lld",
                         (long long)last->recording_id, (long long)want->recording_id);
    }
    if (last == NULL || last->leadership_term_id < want->term_id) {
        int result = begin_term(log, want, error);
        if (result < 0) {
            return result;
        }
    }
    return want->log_position == RECORDING_LOG_NULL
               ? 0
               : recording_log_commit_term(log, want->term_id, want->log_position, error);
}

int recording_log_truncate(struct recording_log *log, int64_t position, struct tern_error *error) {
    for (int32_t i = 0; i < log->count; i++) {
        struct recording_log_entry *term = &log->entries[i];
        bool ends_later = term->log_position == RECORDING_LOG_NULL || term->log_position > position;
        if (term->type != RECORDING_LOG_TERM || !term->is_valid || !ends_later) {
            continue;
        }
        term->term_base_log_position = min_i64(term->term_base_log_position, position);
        term->log_position = position;
        int result = recording_log_write(log, term, error);
        if (result < 0) {
            return result;
        }
    }
    return recording_log_sync(log, error);
}

/* An invalidated snapshot that is taken once more keeps its place. */
static struct recording_log_entry *find_invalid(struct recording_log *log,
                                                const struct recording_log_entry *like) {
    for (int32_t i = 0; i < log->count; i++) {
        struct recording_log_entry *entry = &log->entries[i];
        if (!entry->is_valid && entry->type == like->type &&
            entry->leadership_term_id == like->leadership_term_id &&
            entry->term_base_log_position == like->term_base_log_position &&
            entry->log_position == like->log_position && entry->service_id == like->service_id) {
            return entry;
        }
    }
    return NULL;
}

int recording_log_append_snapshots(struct recording_log *log,
                                   const struct recording_log_entry *entries, int32_t count,
                                   struct tern_error *error) {
    for (int32_t i = 0; i < count; i++) {
        assert(entries[i].type == RECORDING_LOG_SNAPSHOT);
        int result;
        struct recording_log_entry *old = find_invalid(log, &entries[i]);
        if (old != NULL) {
            old->recording_id = entries[i].recording_id;
            old->timestamp = entries[i].timestamp;
            old->is_valid = true;
            result = recording_log_write(log, old, error);
        } else {
            struct recording_log_entry entry = entries[i];
            entry.endpoint = NULL;
            result = append(log, &entry, error);
        }
        if (result < 0) {
            return result;
        }
    }
    return recording_log_sync(log, error);
}

int recording_log_invalidate(struct recording_log *log, int32_t index, struct tern_error *error) {
    assert(index >= 0 && index < log->count);
    log->entries[index].is_valid = false;
    return sync_after(log, recording_log_write(log, &log->entries[index], error), error);
}

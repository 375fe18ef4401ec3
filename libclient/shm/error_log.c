/* The distinct error log in cnc.dat and in mark files (shared-memory.md 2.7).
 *
 * An entry is written once, with its length last (release), and from then on only its count and
 * its last time change. The section itself is the table of what was seen: the writer scans it for
 * the text, which is cheap as errors are rare and distinct ones rarer. Clients can write this
 * memory, so lengths are bounded on every walk, the writer's own included.
 */
#include "shm/error_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#define ENTRY_ALIGNMENT 8
/* A cap on one text, so that one error cannot fill the section. */
#define TEXT_LENGTH_MAX 4096

struct error_log_entry {
    int32_t length; /* header + text; 0: end of the log; released last */
    int32_t observation_count;
    int64_t last_ms;
    int64_t first_ms;
};

#define ENTRY_HEADER_LENGTH ((int32_t)sizeof(struct error_log_entry))
_Static_assert(sizeof(struct error_log_entry) == 24, "entry header");
_Static_assert(offsetof(struct error_log_entry, last_ms) == 8, "last");
_Static_assert(offsetof(struct error_log_entry, first_ms) == 16, "first");

static int64_t aligned(int64_t length) {
    return align_i64(length, ENTRY_ALIGNMENT);
}

/* The entry at `offset` with its length in *length, or NULL at the end of the log. */
static const struct error_log_entry *entry_at(const uint8_t *buffer, int64_t buffer_length,
                                              int64_t offset, int32_t *length) {
    if (offset + ENTRY_HEADER_LENGTH > buffer_length) {
        return NULL;
    }
    const struct error_log_entry *entry =
        (const struct error_log_entry *)(const void *)(buffer + offset);
    /* Pairs with the release store at the end of append. */
    *length = load_acquire_i32(&entry->length);
    if (*length < ENTRY_HEADER_LENGTH || *length > buffer_length - offset) {
        return NULL;
    }
    return entry;
}

int error_log_init(struct error_log *log, uint8_t *buffer, int64_t length) {
    if (buffer == NULL || length < ENTRY_HEADER_LENGTH || (uintptr_t)buffer % 8 != 0) {
        return -EINVAL;
    }
    *log = (struct error_log){.buffer = buffer, .length = length};
    int32_t entry_length;
    while (entry_at(buffer, length, log->next_offset, &entry_length) != NULL) {
        log->next_offset += aligned(entry_length);
        log->entry_count++;
    }
    return 0;
}

static struct error_log_entry *find(const struct error_log *log, const char *text,
                                    int32_t text_length) {
    int64_t offset = 0;
    int32_t length;
    while (offset < log->next_offset) {
        const struct error_log_entry *entry = entry_at(log->buffer, log->length, offset, &length);
        if (entry == NULL) {
            break;
        }
        if (length - ENTRY_HEADER_LENGTH == text_length &&
            memcmp(entry + 1, text, (size_t)text_length) == 0) {
            return (struct error_log_entry *)(void *)(log->buffer + offset);
        }
        offset += aligned(length);
    }
    return NULL;
}

/* NULL when there is no room. */
static struct error_log_entry *append(struct error_log *log, const char *text, int32_t text_length,
                                      int64_t now_epoch_ms) {
    int32_t length = ENTRY_HEADER_LENGTH + text_length;
    if (log->entry_count >= ERROR_LOG_DISTINCT_MAX || length > log->length - log->next_offset) {
        return NULL;
    }
    struct error_log_entry *entry =
        (struct error_log_entry *)(void *)(log->buffer + log->next_offset);
    memcpy(entry + 1, text, (size_t)text_length);
    entry->first_ms = now_epoch_ms;
    entry->last_ms = now_epoch_ms;
    entry->observation_count = 0;
    store_release_i32(&entry->length, length);
    log->next_offset += aligned(length);
    log->entry_count++;
    return entry;
}

int error_log_record(struct error_log *log, int code, const char *text, int64_t now_epoch_ms) {
    char line[TEXT_LENGTH_MAX];
    int length = snprintf(line, sizeof line, "(%d) %s", code, text);
    assert(length > 0);
    length = min_i32(length, (int32_t)sizeof line - 1);
    struct error_log_entry *entry = find(log, line, length);
    bool is_new = entry == NULL;
    if (is_new) {
        entry = append(log, line, length, now_epoch_ms);
        if (entry == NULL) {
            return -ENOSPC;
        }
    }
    (void)get_and_add_i32(&entry->observation_count, 1);
    store_release_i64(&entry->last_ms, now_epoch_ms);
    return is_new ? 1 : 0;
}

int error_log_read(const uint8_t *buffer, int64_t length, int64_t since_ms, error_log_visitor visit,
                   void *context) {
    int count = 0;
    int64_t offset = 0;
    int32_t entry_length;
    const struct error_log_entry *entry;
    while ((entry = entry_at(buffer, length, offset, &entry_length)) != NULL) {
        int64_t last_ms = load_acquire_i64(&entry->last_ms);
        if (last_ms >= since_ms) {
            visit(context, load_plain_i32(&entry->observation_count), entry->first_ms, last_ms,
                  (const char *)(entry + 1), entry_length - ENTRY_HEADER_LENGTH);
            count++;
        }
        offset += aligned(entry_length);
    }
    return count;
}

/* The distinct error log (shared-memory.md 2.7): each different (code, text) once, with a count. */
#ifndef TERN_SHM_ERROR_LOG_H
#define TERN_SHM_ERROR_LOG_H

#include <stdint.h>

#define ERROR_LOG_DISTINCT_MAX 1024

/* One writer. The section is the truth: entries already there are found by scanning them. */
struct error_log {
    uint8_t *buffer;
    int64_t length;
    int64_t next_offset;
    int32_t entry_count;
};

/* `buffer` starts at a multiple of 8. Entries that are there already are kept and counted on. */

int error_log_init(struct error_log *log, uint8_t *buffer, int64_t length);

/* Text form "(<code>) <text>", cut to 4 KiB. Returns 1 when it was new, 0 when it was repeated (and
 * counted), -ENOSPC when there is no room or there are ERROR_LOG_DISTINCT_MAX others: the caller
 * then prints it. One writer: in a daemon with several threads the errors go to one of them. */
int error_log_record(struct error_log *log, int code, const char *text, int64_t now_epoch_ms);

/* Readers, any process. Visits entries whose last observation is >= since_ms; returns how many. */
typedef void (*error_log_visitor)(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                                  const char *text, int32_t text_length);
int error_log_read(const uint8_t *buffer, int64_t length, int64_t since_ms,
                   error_log_visitor visit, void *context);

#endif

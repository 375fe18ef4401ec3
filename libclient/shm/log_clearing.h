/* Who zeroes terms before they are written again (our own extension of media-driver.md 2.8).
 *
 * The driver zeroes what has been consumed. For a stream over UDP that keeps the very thread which
 * sends it: a tenth of what one thread can send. The writer of an exclusive publication has these
 * lines to write anyway, and can zero them just before. So the driver offers it, in a word of the
 * metadata that others leave zero, and the writer accepts before its first append. Below another
 * make of driver there is no offer; with another make of client nobody accepts, and the driver
 * zeroes as ever. Over IPC it would not pay: there writer and reader share the lines, and a third
 * thread that takes them back from the reader is of use.
 *
 * A writer who accepted keeps this promise, which is all that readers and unblocking rely on:
 * before the tail or the length of a frame tells others of a position, everything up to a frame
 * header behind it is zero, but for what has been appended.
 */
#ifndef TERN_SHM_LOG_CLEARING_H
#define TERN_SHM_LOG_CLEARING_H

#include "base/atomic.h"
#include "shm/log_buffer.h"
#include "shm/term_append.h"

enum log_clearing { LOG_CLEARED_BY_DRIVER = 0, LOG_CLEARING_OFFERED, LOG_CLEARED_BY_WRITER };

/* Driver, before it announces the log of an exclusive publication, which is all zero. */
static inline void log_clearing_offer(struct log_metadata *metadata) {
    store_release_i32(&metadata->clearing, LOG_CLEARING_OFFERED);
}

static inline bool log_is_cleared_by_writer(const struct log_metadata *metadata) {
    return load_acquire_i32(&metadata->clearing) == LOG_CLEARED_BY_WRITER;
}

/* Writer at `position`: state->clear_position. A log with an offer is new, and zero all around: its
 * pages are left alone until they are written to, as a sparse file may find no space for them.
 * INT64_MAX: there is no offer. */
int64_t log_clearing_accept(const struct log_buffer *log, int64_t position);

/* Writer: zero on from state->clear_position, until there is room for a header behind `position`.
 * What lay there is three terms old; consumers are at most a window and a message or block behind,
 * and resends go back five eighths of a term from there (media-driver.md 2.9). */
void log_clear_ahead(const struct log_buffer *log, struct exclusive_state *state, int64_t position);

#endif

/* Reading committed frames from a term: the scan that the sender uses, and the block scan
 * (shared-memory.md 5.15, media-driver.md 2.6). Pure functions. */
#ifndef TERN_SHM_TERM_READ_H
#define TERN_SHM_TERM_READ_H

#include "base/atomic.h"
#include "shm/log_buffer.h"

static inline int32_t frame_length_acquire(const uint8_t *term, int32_t offset) {
    return load_acquire_i32((const int32_t *)(const void *)(term + offset));
}

/* Bytes that the committed frame at `offset` occupies in the term; 0 when none is committed there,
 * or when its length is none that a writer makes (below a header, or over the end of the term).
 * Every reader of a term that others can write goes through here. */
static inline int32_t term_frame_length_acquire(const uint8_t *term, int32_t term_length,
                                                int32_t offset) {
    int32_t length = frame_length_acquire(term, offset);
    if (length < LOG_FRAME_HEADER_LENGTH || length > term_length - offset) {
        return 0;
    }
    return log_aligned_frame_length(length);
}

struct term_scan {
    int32_t available; /* bytes to send: whole frames, 32 for a trailing pad */
    int32_t padding;   /* bytes of the pad after its header, to skip but not to send */
    bool is_blocked;   /* the first frame is committed but longer than the limit */
};

/* Whole committed frames from `offset`, at most `limit` bytes and not beyond the term (2.6.1). A
 * frame length that would leave the term ends the scan. */
struct term_scan term_scan_for_sending(const uint8_t *term, int32_t term_length, int32_t offset,
                                       int32_t limit);

/* Length of the block of whole frames for block poll (5.15): stops before a padding frame unless it
 * comes first. `limit_offset` is min(offset + limit, term length). */
int32_t term_block_scan(const uint8_t *term, int32_t term_length, int32_t offset,
                        int32_t limit_offset);

#endif

/* Finding and filling gaps in an image's term (media-driver.md 3.7). Pure functions. */
#ifndef TERN_SHM_TERM_GAP_H
#define TERN_SHM_TERM_GAP_H

#include <stdbool.h>

#include "shm/log_buffer.h"

struct term_gap {
    int32_t offset;
    int32_t length;
};

/* Walk committed frames from `rebuild_offset` and return where the walk ended: the contiguous
 * offset, at most `term_length`. When it met a hole before `limit_offset`, *gap is the hole, else
 * gap->length is 0. A frame length that would leave the term ends the walk without a gap (the term
 * can be written by clients). */
int32_t term_gap_scan(const uint8_t *term, int32_t term_length, int32_t rebuild_offset,
                      int32_t limit_offset, struct term_gap *gap);

/* Unreliable streams: write a padding frame over a gap that is still all zero; false when data
 * arrived meanwhile. Session and stream ids come from the log's default header. Receiver agent
 * only: nobody else may insert meanwhile. */
bool term_gap_fill(const struct log_metadata *metadata, uint8_t *term, int32_t term_id,
                   const struct term_gap *gap);

#endif

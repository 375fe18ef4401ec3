/* Finding and filling gaps in an image's term (media-driver.md 3.7). Pure functions. */
#ifndef TERN_SHM_TERM_GAP_H
#define TERN_SHM_TERM_GAP_H

#include <stdbool.h>

#include "shm/log_buffer.h"

struct term_gap {
    int32_t offset;
    int32_t length;
};

/* Walk committed frames from `rebuild_offset` to `limit_offset`; *contiguous_offset receives where
 * the walk ended. Returns true and *gap when the walk met a hole before the limit. */
bool term_gap_scan(const uint8_t *term, int32_t rebuild_offset, int32_t limit_offset,
                   int32_t *contiguous_offset, struct term_gap *gap);

/* Unreliable streams: write a padding frame over a gap that is still all zero; false when data
 * arrived meanwhile. */
bool term_gap_fill(const struct log_metadata *metadata, uint8_t *term, int32_t term_id,
                   const struct term_gap *gap);

#endif

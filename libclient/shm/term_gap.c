/* Gaps in the term of an image (media-driver.md 3.7). The receiver inserts datagrams at their
 * offsets in any order; the conductor walks the committed frames from the rebuild position, and
 * what the walk meets before the highest received position and is still zero is a gap. Pure
 * functions; the walk believes no frame length that leaves the term.
 */
#include "shm/term_gap.h"

#include <string.h>

#include "base/compiler.h"
#include "shm/frame_write.h"
#include "shm/term_read.h"

int32_t term_gap_scan(const uint8_t *term, int32_t term_length, int32_t rebuild_offset,
                      int32_t limit_offset, struct term_gap *gap) {
    assert(rebuild_offset >= 0 && rebuild_offset % LOG_FRAME_ALIGNMENT == 0);
    assert(limit_offset <= term_length);
    *gap = (struct term_gap){0};
    int32_t offset = rebuild_offset;
    while (offset < limit_offset) {
        int32_t aligned_length = term_frame_length_acquire(term, term_length, offset);
        if (aligned_length == 0) {
            break;
        }
        offset += aligned_length;
    }
    if (offset < limit_offset && frame_length_acquire(term, offset) == 0) {
        int32_t end = offset + LOG_FRAME_ALIGNMENT;
        while (end < limit_offset && frame_length_acquire(term, end) == 0) {
            end += LOG_FRAME_ALIGNMENT;
        }
        *gap = (struct term_gap){.offset = offset, .length = end - offset};
    }
    return offset;
}

bool term_gap_fill(const struct log_metadata *metadata, uint8_t *term, int32_t term_id,
                   const struct term_gap *gap) {
    assert(gap->length >= LOG_FRAME_HEADER_LENGTH);
    int32_t offset = gap->offset + gap->length - LOG_FRAME_ALIGNMENT;
    for (; offset >= gap->offset; offset -= LOG_FRAME_ALIGNMENT) {
        if (frame_length_acquire(term, offset) != 0) {
            return false;
        }
    }
    struct frame_header header;
    memcpy(&header, metadata->default_header, sizeof header);
    int64_t *words = frame_words(term + gap->offset);
    store_plain_i64(&words[1], frame_word(gap->offset, header.session_id));
    store_plain_i64(&words[2], frame_word(header.stream_id, term_id));
    store_plain_i64(&words[3], 0);
    store_release_i64(&words[0],
                      frame_word(gap->length, frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_PAD)));
    return true;
}

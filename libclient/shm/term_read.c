/* Scans over committed frames: what the sender may put into one datagram (media-driver.md 2.6) and
 * what a block poll may hand out (shared-memory.md 5.15). Pure functions.
 *
 * The terms are written by clients. A frame length is believed only when it is at least a header
 * and its frame stays inside the term; any other ends the scan there.
 */
#include "shm/term_read.h"

#include "base/compiler.h"

static uint16_t frame_type_at(const uint8_t *term, int32_t offset) {
    return get_u16(term + offset + offsetof(struct frame_header, type));
}

struct term_scan term_scan_for_sending(const uint8_t *term, int32_t term_length, int32_t offset,
                                       int32_t limit) {
    assert(offset >= 0 && offset <= term_length);
    struct term_scan scan = {0};
    int32_t room = min_i32(limit, term_length - offset);
    while (offset + scan.available < term_length) {
        int32_t frame_offset = offset + scan.available;
        int32_t aligned_length = term_frame_length_acquire(term, term_length, frame_offset);
        if (aligned_length == 0) {
            break;
        }
        bool is_padding = frame_type_at(term, frame_offset) == FRAME_TYPE_PAD;
        int32_t bytes = is_padding ? LOG_FRAME_HEADER_LENGTH : aligned_length;
        if (bytes > room - scan.available) {
            scan.is_blocked = scan.available == 0;
            break;
        }
        scan.available += bytes;
        if (is_padding) {
            scan.padding = aligned_length - LOG_FRAME_HEADER_LENGTH;
            break;
        }
    }
    return scan;
}

int32_t term_block_scan(const uint8_t *term, int32_t term_length, int32_t offset,
                        int32_t limit_offset) {
    assert(offset >= 0 && offset <= term_length);
    int32_t end = offset;
    while (end < min_i32(limit_offset, term_length)) {
        int32_t aligned_length = term_frame_length_acquire(term, term_length, end);
        if (aligned_length == 0) {
            break;
        }
        if (frame_type_at(term, end) == FRAME_TYPE_PAD) {
            if (end == offset) {
                end += aligned_length; /* alone, and even beyond the limit */
            }
            break;
        }
        if (aligned_length > limit_offset - end) {
            break;
        }
        end += aligned_length;
    }
    return end - offset;
}

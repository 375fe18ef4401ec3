/* Making the claim of a dead or stalled publisher readable (shared-memory.md 5.12). The driver's
 * conductor calls it after the unblock time-out, when the consumers stand before a frame that does
 * not get committed. What the dead writer left is turned into padding, so that consumers step over
 * it. Lengths that a broken client left are not believed beyond the tail.
 */
#include <string.h>

#include "base/compiler.h"
#include "shm/frame_write.h"
#include "shm/term_append.h"
#include "shm/term_read.h"

/* Write a padding header with the ids of the log's default header. */
static void make_padding(const struct log_metadata *metadata, uint8_t *term, int32_t offset,
                         int32_t frame_length, int32_t term_id) {
    struct frame_header header;
    memcpy(&header, metadata->default_header, sizeof header);
    int64_t *words = frame_words(term + offset);
    store_plain_i64(&words[1], frame_word(offset, header.session_id));
    store_plain_i64(&words[2], frame_word(header.stream_id, term_id));
    int64_t word0 = frame_word(frame_length, frame_kind(header.flags, FRAME_TYPE_PAD));
    store_release_i64(&words[0], word0);
}

/* All frame lengths in [from, to) are still zero: nobody began to write there meanwhile. */
static bool is_still_zero(const uint8_t *term, int32_t from, int32_t to) {
    for (int32_t i = to - LOG_FRAME_ALIGNMENT; i >= from; i -= LOG_FRAME_ALIGNMENT) {
        if (frame_length_acquire(term, i) != 0) {
            return false;
        }
    }
    return true;
}

static enum term_unblock_result unblock_hole(const struct log_buffer *log, uint8_t *term,
                                             int32_t offset, int32_t tail_offset, int32_t term_id) {
    int32_t end = offset + LOG_FRAME_ALIGNMENT;
    while (end < tail_offset && frame_length_acquire(term, end) == 0) {
        end += LOG_FRAME_ALIGNMENT;
    }
    if (end < tail_offset) {
        if (!is_still_zero(term, offset, end)) {
            return TERM_UNBLOCK_NONE;
        }
        make_padding(log->metadata, term, offset, end - offset, term_id);
        return TERM_UNBLOCKED;
    }
    if (tail_offset == log->term_length && is_still_zero(term, offset, tail_offset)) {
        make_padding(log->metadata, term, offset, tail_offset - offset, term_id);
        return TERM_UNBLOCKED_TO_END;
    }
    return TERM_UNBLOCK_NONE;
}

enum term_unblock_result term_unblock(const struct log_buffer *log, uint8_t *term, int32_t offset,
                                      int32_t tail_offset, int32_t term_id) {
    assert(offset >= 0 && offset % LOG_FRAME_ALIGNMENT == 0);
    assert(tail_offset <= log->term_length);
    if (offset >= tail_offset) {
        return TERM_UNBLOCK_NONE; /* nothing has been claimed here */
    }
    int32_t length = frame_length_acquire(term, offset);
    if (length == 0) {
        return unblock_hole(log, term, offset, tail_offset, term_id);
    }
    if (length > 0) {
        return TERM_UNBLOCK_NONE;
    }
    int64_t frame_length = -(int64_t)length;
    if (frame_length < LOG_FRAME_HEADER_LENGTH ||
        align_i64(frame_length, LOG_FRAME_ALIGNMENT) > log->term_length - offset) {
        frame_length = tail_offset - offset; /* no claim has such a length: give up to the tail */
    }
    make_padding(log->metadata, term, offset, (int32_t)frame_length, term_id);
    return TERM_UNBLOCKED;
}

bool log_unblock(const struct log_buffer *log, int64_t blocked_position) {
    if (blocked_position < 0 || blocked_position % LOG_FRAME_ALIGNMENT != 0 ||
        blocked_position >= log_position_max(log->term_length)) {
        return false;
    }
    struct log_metadata *metadata = log->metadata;
    int32_t offset = log_term_offset_of(blocked_position, log->term_length);
    int32_t blocked_count = (int32_t)(blocked_position >> log->position_bits);
    int32_t active_count = load_acquire_i32(&metadata->active_term_count);
    if (offset == 0 && active_count == blocked_count - 1) {
        /* A writer died between padding the term and rotating. */
        (void)log_rotate(metadata, active_count,
                         wrapping_add_i32(log->initial_term_id, active_count));
        return true;
    }
    int32_t index = log_partition_index(blocked_count);
    int32_t term_id = log_term_id_of(blocked_position, log->position_bits, log->initial_term_id);
    int64_t raw_tail = load_acquire_i64(&metadata->raw_tails[index]);
    if (log_raw_tail_term_id(raw_tail) != term_id) {
        return false; /* this partition holds another term by now */
    }
    int32_t tail_offset =
        log_raw_tail_offset(raw_tail, log->term_length) & ~(LOG_FRAME_ALIGNMENT - 1);
    enum term_unblock_result result =
        term_unblock(log, log->terms[index], offset, tail_offset, term_id);
    if (result == TERM_UNBLOCKED_TO_END) {
        (void)log_rotate(metadata, blocked_count, term_id);
    }
    return result != TERM_UNBLOCK_NONE;
}

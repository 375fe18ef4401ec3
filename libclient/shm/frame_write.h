/* Storing data frame headers into a term (shared-memory.md 5.1, 5.4). Private to shm/term_*.c
 * and shm/append_short.h.
 *
 * A header is four 8-byte words, and is written as such:
 *   word 0: frame length (low half), version, flags, type     word 1: term offset, session id
 *   word 2: stream id, term id                                word 3: reserved value
 * A frame under construction has a negative length; the positive length is the last store
 * (release) and pairs with the acquire load of the length in every reader.
 */
#ifndef TERN_SHM_FRAME_WRITE_H
#define TERN_SHM_FRAME_WRITE_H

#include "base/atomic.h"
#include "shm/log_buffer.h"

static inline int64_t frame_word(int32_t low, int32_t high) {
    return (int64_t)(((uint64_t)(uint32_t)high << 32) | (uint32_t)low);
}

/* The upper half of word 0. */
static inline int32_t frame_kind(uint8_t flags, uint16_t type) {
    return (int32_t)(((uint32_t)type << 16) | ((uint32_t)flags << 8));
}

static inline int64_t *frame_words(void *frame) {
    return frame;
}

static inline struct frame_header *frame_at(uint8_t *term, int32_t offset) {
    return (struct frame_header *)(void *)(term + offset);
}

/* Words 0 to 2, with the length negated; the reserved value stays as the cleaned term has it. */
static inline void frame_begin(struct frame_header *frame, int32_t frame_length, int32_t kind,
                               int64_t word1, int64_t word2) {
    int64_t *words = frame_words(frame);
    store_release_i64(&words[0], frame_word(-frame_length, kind));
    fence_release();
    store_plain_i64(&words[1], word1);
    store_plain_i64(&words[2], word2);
}

static inline void frame_commit(struct frame_header *frame, int32_t frame_length) {
    store_release_i32(&frame->frame_length, frame_length);
}

#endif

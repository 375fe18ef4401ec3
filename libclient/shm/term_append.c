/* Appending to a term: offers and claims of publications (shared-memory.md 5.4 to 5.9), and the
 * packet insert and the cleaning that the driver does (media-driver.md 2.8, 3.6).
 *
 * Concurrent writers reserve space by adding to the raw tail of the active term; whoever's add
 * crosses the end of the term pads the rest (only the one that started inside it) and rotates. An
 * exclusive writer keeps its place in its own struct and publishes the tail by a plain release
 * store before it writes. Either way the space belongs to the writer alone until the frame length
 * turns positive.
 *
 * Everything a writer uses from the metadata is a tail or a count that is clamped here; the
 * geometry comes from the validated struct log_buffer.
 */
#include "shm/term_append.h"

#include <string.h>

#include "shm/append_short.h"
#include "shm/log_clearing.h"

struct payload {
    const struct iovec *vector;
    int vector_count;
    int64_t length;
    reserved_value_supplier supplier;
    void *supplier_context;
};

/* A walk over the parts of a vector that is copied fragment by fragment. */
struct gather {
    const struct iovec *part;
    size_t part_offset;
};

void term_appender_init(struct term_appender *appender, const struct log_buffer *log,
                        int32_t session_id, int32_t stream_id) {
    *appender = (struct term_appender){
        .log = log,
        .session_id = session_id,
        .stream_id = stream_id,
        .payload_length_max = log->mtu_length - LOG_FRAME_HEADER_LENGTH,
        .message_length_max = log_message_length_max(log->term_length),
    };
}

static void write_padding(const struct term_appender *appender, const struct term_place *place,
                          int32_t frame_length) {
    struct frame_header *frame = term_begin_frame(
        appender, place, frame_length, frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_PAD));
    frame_commit(frame, frame_length);
}

/* Messages of 16 to 64 bytes are the most frequent ones: two to four moves that may overlap instead
 * of a call. */
static inline void copy_payload(uint8_t *to, const uint8_t *from, size_t length) {
    if (length >= 16 && length <= 32) {
        memcpy(to, from, 16);
        memcpy(to + length - 16, from + length - 16, 16);
    } else if (length > 32 && length <= 64) {
        memcpy(to, from, 32);
        memcpy(to + length - 32, from + length - 32, 32);
    } else if (length > 0) {
        memcpy(to, from, length);
    }
}

static void gather_copy(struct gather *gather, uint8_t *to, size_t length) {
    while (length > 0) {
        size_t available = gather->part->iov_len - gather->part_offset;
        size_t bytes = available < length ? available : length;
        if (bytes > 0) {
            memcpy(to, (const uint8_t *)gather->part->iov_base + gather->part_offset, bytes);
        }
        to += bytes;
        length -= bytes;
        gather->part_offset += bytes;
        if (gather->part_offset == gather->part->iov_len) {
            gather->part++;
            gather->part_offset = 0;
        }
    }
}

static inline void finish_frame(struct frame_header *frame, int32_t frame_length,
                                const struct payload *payload) {
    if (payload->supplier != NULL) {
        frame->reserved_value =
            payload->supplier(payload->supplier_context, (uint8_t *)frame, frame_length);
    }
    frame_commit(frame, frame_length);
}

static inline void write_unfragmented(const struct term_appender *appender,
                                      const struct term_place *place,
                                      const struct payload *payload) {
    int32_t frame_length = (int32_t)payload->length + LOG_FRAME_HEADER_LENGTH;
    struct frame_header *frame = term_begin_frame(
        appender, place, frame_length, frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_DATA));
    uint8_t *to = (uint8_t *)(frame + 1);
    if (LIKELY(payload->vector_count == 1)) {
        copy_payload(to, payload->vector[0].iov_base, (size_t)payload->length);
    } else {
        struct gather gather = {.part = payload->vector};
        gather_copy(&gather, to, (size_t)payload->length);
    }
    finish_frame(frame, frame_length, payload);
}

static void write_fragmented(const struct term_appender *appender, struct term_place place,
                             const struct payload *payload) {
    struct gather gather = {.part = payload->vector};
    int64_t remaining = payload->length;
    uint8_t flags = FRAME_FLAG_BEGIN;
    do {
        int32_t bytes = (int32_t)min_i64(remaining, appender->payload_length_max);
        int32_t frame_length = bytes + LOG_FRAME_HEADER_LENGTH;
        if (remaining <= appender->payload_length_max) {
            flags |= FRAME_FLAG_END;
        }
        struct frame_header *frame =
            term_begin_frame(appender, &place, frame_length, frame_kind(flags, FRAME_TYPE_DATA));
        gather_copy(&gather, (uint8_t *)(frame + 1), (size_t)bytes);
        finish_frame(frame, frame_length, payload);
        flags = 0;
        place.offset += log_aligned_frame_length(frame_length);
        remaining -= bytes;
    } while (remaining > 0);
}

static inline bool is_fragmented(const struct term_appender *appender, int64_t length) {
    return length > appender->payload_length_max;
}

/* Bytes of the term that a message takes. */
static inline int32_t framed_length(const struct term_appender *appender, int64_t length) {
    if (is_fragmented(appender, length)) {
        return (int32_t)log_fragmented_length(length, appender->payload_length_max);
    }
    return log_aligned_frame_length((int32_t)length + LOG_FRAME_HEADER_LENGTH);
}

static inline void write_message(const struct term_appender *appender,
                                 const struct term_place *place, const struct payload *payload) {
    if (LIKELY(!is_fragmented(appender, payload->length))) {
        write_unfragmented(appender, place, payload);
    } else {
        write_fragmented(appender, *place, payload);
    }
}

/* ---- concurrent ---- */

int64_t term_append_end_of_log(const struct term_appender *appender, const struct term_place *place,
                               int64_t position) {
    const struct log_buffer *log = appender->log;
    if (place->offset < log->term_length) {
        write_padding(appender, place, log->term_length - place->offset);
    }
    if (position >= log_position_max(log->term_length)) {
        return TERM_APPEND_MAX_POSITION;
    }
    int32_t term_count = log_term_count(place->term_id, log->initial_term_id);
    (void)log_rotate(log->metadata, term_count, place->term_id);
    return TERM_APPEND_TRIPPED;
}

int64_t term_append_message(const struct term_appender *appender, const struct iovec *vector,
                            int vector_count, int64_t length, reserved_value_supplier supplier,
                            void *supplier_context) {
    assert(length >= 0 && length <= appender->message_length_max);
    struct term_place place;
    int64_t position = term_reserve(appender, framed_length(appender, length), &place);
    if (LIKELY(position >= 0)) {
        struct payload payload = {vector, vector_count, length, supplier, supplier_context};
        write_message(appender, &place, &payload);
    }
    return position;
}

int64_t term_append_claim(const struct term_appender *appender, int32_t length,
                          struct frame_header **frame) {
    assert(length >= 0 && length <= appender->payload_length_max);
    int32_t frame_length = length + LOG_FRAME_HEADER_LENGTH;
    struct term_place place;
    int64_t position = term_reserve(appender, log_aligned_frame_length(frame_length), &place);
    if (LIKELY(position >= 0)) {
        *frame = term_begin_frame(appender, &place, frame_length,
                                  frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_DATA));
    }
    return position;
}

/* ---- exclusive ---- */

static void enter_term(struct exclusive_state *state, const struct log_buffer *log, int32_t index) {
    state->active_index = index;
    state->term = log->terms[index];
    state->raw_tail = &log->metadata->raw_tails[index];
}

/* The next frame's header has to be zero when what ends at `resulting` can be seen. */
static void make_room(const struct log_buffer *log, struct exclusive_state *state,
                      int64_t resulting) {
    int64_t position = state->term_begin_position + resulting;
    if (position > state->clear_position - LOG_FRAME_HEADER_LENGTH) {
        log_clear_ahead(log, state, position);
    }
    int64_t clear_end =
        state->clear_position - LOG_FRAME_HEADER_LENGTH - state->term_begin_position;
    state->free_end = (int32_t)min_i64(clear_end, log->term_length);
}

void exclusive_state_init(struct exclusive_state *state, const struct log_buffer *log) {
    int32_t term_count = load_acquire_i32(&log->metadata->active_term_count);
    int32_t index = log_partition_index(term_count);
    int64_t raw_tail = load_acquire_i64(&log->metadata->raw_tails[index]);
    enter_term(state, log, index);
    state->term_id = log_raw_tail_term_id(raw_tail);
    state->term_offset =
        log_raw_tail_offset(raw_tail, log->term_length) & ~(LOG_FRAME_ALIGNMENT - 1);
    state->term_begin_position = (int64_t)(uint32_t)term_count << log->position_bits;
    state->clear_position =
        log_clearing_accept(log, state->term_begin_position + state->term_offset);
    make_room(log, state, state->term_offset);
}

static int64_t exclusive_rotate(const struct term_appender *appender,
                                struct exclusive_state *state) {
    const struct log_buffer *log = appender->log;
    if (state->term_begin_position + log->term_length >= log_position_max(log->term_length)) {
        /* The stream is at its end for good; the padding is written once. */
        state->term_offset = log->term_length;
        return TERM_APPEND_MAX_POSITION;
    }
    state->term_id = wrapping_add_i32(state->term_id, 1);
    enter_term(state, log, (state->active_index + 1) % LOG_PARTITION_COUNT);
    state->term_begin_position += log->term_length;
    state->term_offset = 0;
    make_room(log, state, 0);
    store_plain_i64(state->raw_tail, log_raw_tail(state->term_id, 0));
    store_release_i32(&log->metadata->active_term_count,
                      log_term_count(state->term_id, log->initial_term_id));
    return TERM_APPEND_TRIPPED;
}

int64_t exclusive_rotate_when_full(const struct term_appender *appender,
                                   struct exclusive_state *state) {
    if (state->term_offset < appender->log->term_length) {
        return 0;
    }
    int64_t result = exclusive_rotate(appender, state);
    return result == TERM_APPEND_TRIPPED ? 0 : result;
}

/* Reserve `required` bytes; the tail is published before the frame is written, also when it
 * overflows. The offset is loaded by itself: fetched together with its neighbour it would wait for
 * the narrower store of the call before. */
static inline int64_t exclusive_reserve(const struct term_appender *appender,
                                        struct exclusive_state *state, int32_t required,
                                        struct term_place *place) {
    const struct log_buffer *log = appender->log;
    int32_t offset = load_plain_i32(&state->term_offset);
    int64_t resulting = (int64_t)offset + required;
    make_room(log, state, min_i64(resulting, log->term_length));
    *place = (struct term_place){state->term, state->term_id, offset};
    store_release_i64(state->raw_tail, log_raw_tail(state->term_id, (int32_t)resulting));
    if (UNLIKELY(resulting > log->term_length)) {
        if (place->offset < log->term_length) {
            write_padding(appender, place, log->term_length - place->offset);
        }
        return exclusive_rotate(appender, state);
    }
    state->term_offset = (int32_t)resulting;
    return state->term_begin_position + resulting;
}

int64_t exclusive_append_message(const struct term_appender *appender,
                                 struct exclusive_state *state, const struct iovec *vector,
                                 int vector_count, int64_t length, reserved_value_supplier supplier,
                                 void *supplier_context) {
    assert(length >= 0 && length <= appender->message_length_max);
    struct term_place place;
    int64_t position = exclusive_reserve(appender, state, framed_length(appender, length), &place);
    if (LIKELY(position >= 0)) {
        struct payload payload = {vector, vector_count, length, supplier, supplier_context};
        write_message(appender, &place, &payload);
    }
    return position;
}

int64_t exclusive_append_claim(const struct term_appender *appender, struct exclusive_state *state,
                               int32_t length, struct frame_header **frame) {
    assert(length >= 0 && length <= appender->payload_length_max);
    int32_t frame_length = length + LOG_FRAME_HEADER_LENGTH;
    struct term_place place;
    int64_t position =
        exclusive_reserve(appender, state, log_aligned_frame_length(frame_length), &place);
    if (LIKELY(position >= 0)) {
        *frame = term_begin_frame(appender, &place, frame_length,
                                  frame_kind(FRAME_FLAG_UNFRAGMENTED, FRAME_TYPE_DATA));
    }
    return position;
}

int64_t exclusive_append_padding(const struct term_appender *appender,
                                 struct exclusive_state *state, int32_t length) {
    assert(length >= 0 && length <= appender->message_length_max);
    int32_t frame_length = length + LOG_FRAME_HEADER_LENGTH;
    struct term_place place;
    int64_t position =
        exclusive_reserve(appender, state, log_aligned_frame_length(frame_length), &place);
    if (position >= 0) {
        write_padding(appender, &place, frame_length);
    }
    return position;
}

/* Frames make up the block exactly, and the first belongs to this place. */
static bool block_is_valid(const struct term_appender *appender, const struct term_place *place,
                           const uint8_t *block, int32_t length) {
    if (length < LOG_FRAME_HEADER_LENGTH || length > appender->log->term_length - place->offset) {
        return false;
    }
    struct frame_header first;
    memcpy(&first, block, sizeof first);
    if (first.term_offset != place->offset || first.session_id != appender->session_id ||
        first.stream_id != appender->stream_id || first.term_id != place->term_id ||
        first.type != FRAME_TYPE_DATA) {
        return false;
    }
    int64_t offset = 0;
    while (offset < length) {
        int32_t frame_length = get_i32(block + offset);
        if (frame_length < LOG_FRAME_HEADER_LENGTH) {
            return false;
        }
        offset += align_i64(frame_length, LOG_FRAME_ALIGNMENT);
    }
    return offset == length;
}

/* Everything behind the first header, then its words from the last to the first: the first one
 * carries the length that makes the whole visible. */
static void copy_frames(uint8_t *to, const uint8_t *from, int32_t length) {
    memcpy(to + LOG_FRAME_HEADER_LENGTH, from + LOG_FRAME_HEADER_LENGTH,
           (size_t)(length - LOG_FRAME_HEADER_LENGTH));
    int64_t *words = frame_words(to);
    store_plain_i64(&words[3], get_i64(from + 24));
    store_plain_i64(&words[2], get_i64(from + 16));
    store_plain_i64(&words[1], get_i64(from + 8));
    store_release_i64(&words[0], get_i64(from));
}

int64_t exclusive_append_block(const struct term_appender *appender, struct exclusive_state *state,
                               const uint8_t *block, int32_t length) {
    int64_t result = exclusive_rotate_when_full(appender, state);
    if (result < 0) {
        return result;
    }
    struct term_place place = {state->term, state->term_id, state->term_offset};
    if (!block_is_valid(appender, &place, block, length)) {
        return TERM_APPEND_INVALID;
    }
    int64_t position = exclusive_reserve(appender, state, length, &place);
    assert(position >= 0); /* the block fits the term */
    copy_frames(place.term + place.offset, block, length);
    return position;
}

/* ---- claims ---- */

/* A length that is no longer negative was unblocked by the driver: the claim has been lost. */
void term_claim_commit(struct frame_header *frame) {
    int32_t length = load_plain_i32(&frame->frame_length);
    if (length < 0) {
        frame_commit(frame, -length);
    }
}

void term_claim_abort(struct frame_header *frame) {
    int32_t length = load_plain_i32(&frame->frame_length);
    if (length < 0) {
        frame->type = FRAME_TYPE_PAD;
        frame_commit(frame, -length);
    }
}

/* ---- driver ---- */

bool term_is_free(const uint8_t *term, int32_t term_offset) {
    assert(term_offset >= 0 && term_offset % LOG_FRAME_ALIGNMENT == 0);
    return get_i32(term + term_offset) == 0;
}

bool term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet, int32_t length) {
    assert(length >= LOG_FRAME_HEADER_LENGTH);
    if (!term_is_free(term, term_offset)) {
        return false;
    }
    copy_frames(term + term_offset, packet, length);
    return true;
}

/* Lines that another core has read are dear to write: where the cores share no cache, taking back
 * each one costs ten times as much as a streaming store, which waits for nobody. A short range is
 * not worth the barrier behind such stores. */
#define STREAMING_LENGTH_MIN 16384

static void zero_range(uint8_t *start, size_t length) {
    if (length < STREAMING_LENGTH_MIN) {
        memset(start, 0, length);
        return;
    }
    uint8_t *end = start + length;
    size_t head = -(uintptr_t)start % CACHE_LINE_LENGTH;
    size_t tail = (uintptr_t)end % CACHE_LINE_LENGTH;
    memset(start, 0, head);
    zero_lines_streaming(start + head, length - head - tail);
    memset(end - tail, 0, tail);
}

void term_clean(uint8_t *term, int32_t offset, int32_t length) {
    assert(offset >= 0 && offset % LOG_FRAME_ALIGNMENT == 0);
    assert(length >= 0 && length % LOG_FRAME_ALIGNMENT == 0);
    if (length == 0) {
        return;
    }
    zero_range(term + offset + 8, (size_t)length - 8);
    store_release_i64(frame_words(term + offset), 0);
}

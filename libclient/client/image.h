/* The inside of an image, and the poll loop that subscriptions and images share. Not for other
 * folders. */
#ifndef TERN_CLIENT_IMAGE_H
#define TERN_CLIENT_IMAGE_H

#include "base/atomic.h"
#include "client/core.h"
#include "shm/term_read.h"

struct tern_header {
    const struct frame_header *frame;
    int32_t initial_term_id;
    int32_t position_bits;
    /* Bytes in the log behind the frame's offset, when that is not the frame itself (assembled
     * messages); else -1. */
    int32_t length_in_log;
    struct tern_image *image; /* that delivers it */
};

struct tern_image {
    /* The poller's. The driver's counter is a copy of `position`; polls continue from here, so what
     * was delivered stays known after the driver took the counter back. Release, any reader. */
    int64_t position;
    int64_t *position_counter;

    /* constant */
    uint8_t *terms[LOG_PARTITION_COUNT];
    int32_t term_length;
    int32_t position_bits;
    int32_t initial_term_id;

    int32_t is_closed; /* release by the conductor or by close */

    /* constant, seldom used */
    const struct log_metadata *metadata;
    struct tern_client *client; /* counted */
    struct client_log *log;     /* counted */
    char *source_identity;
    int64_t correlation_id;
    int64_t subscription_id;
    int64_t join_position;
    int32_t session_id;
    int32_t stream_id;
    int32_t position_counter_id;
    int32_t mtu_length;

    int64_t closed_end_of_stream; /* written before is_closed */
    uint8_t closed_revoked;
    int32_t reference_count; /* atomic */
};

/* Conductor, lock held. The image has one reference, for its subscription's list. */
struct tern_image *client_image_create(struct tern_client *client, const struct response *available,
                                       struct tern_error *error);
/* Lock held. Saves what the driver's memory says now, then stops polls. Idempotent. */
void client_image_close(struct tern_image *image);
/* Lock held: as tern_image_release. */
void client_image_release_locked(struct tern_image *image);

static inline void image_store_position(struct tern_image *image, int64_t position) {
    store_release_i64(&image->position, position);
    if (LIKELY(load_acquire_i32(&image->is_closed) == 0)) {
        /* Pairs with the driver's acquire load: it may clean what is below. */
        store_release_i64(image->position_counter, position);
    }
}

/* The length of the committed frame at `offset`, or 0 when there is none. One unsigned comparison
 * refuses what is not committed (<= 0) and what would leave the term, so that a lying writer cannot
 * lead a reader out of the mapping. */
static inline int32_t image_frame_length(const struct tern_image *image, const uint8_t *term,
                                         int32_t offset) {
    int32_t length = frame_length_acquire(term, offset);
    uint32_t room = (uint32_t)(image->term_length - offset - LOG_FRAME_HEADER_LENGTH);
    return (uint32_t)length - LOG_FRAME_HEADER_LENGTH <= room ? length : 0;
}

/* 5.15, poll, within one term and below limit_offset. */
static inline int image_poll_to(struct tern_image *image, tern_fragment_handler handler,
                                void *handler_context, int32_t limit_offset, int fragment_limit) {
    int64_t initial_position = load_plain_i64(&image->position);
    int32_t initial_offset = log_term_offset_of(initial_position, image->term_length);
    const uint8_t *term = image->terms[log_index_of(initial_position, image->position_bits)];
    struct tern_header header = {NULL, image->initial_term_id, image->position_bits, -1, image};
    int32_t offset = initial_offset;
    int fragments = 0;
    while (fragments < fragment_limit && offset < limit_offset &&
           load_acquire_i32(&image->is_closed) == 0) {
        int32_t length = image_frame_length(image, term, offset);
        if (length == 0) {
            break;
        }
        const uint8_t *frame = term + offset;
        offset += log_aligned_frame_length(length);
        header.frame = (const struct frame_header *)(const void *)frame;
        if (UNLIKELY(header.frame->type == FRAME_TYPE_PAD)) {
            continue;
        }
        fragments++;
        handler(handler_context, frame + LOG_FRAME_HEADER_LENGTH, length - LOG_FRAME_HEADER_LENGTH,
                &header);
    }
    if (offset > initial_offset) {
        image_store_position(image, initial_position + (offset - initial_offset));
    }
    return fragments;
}

#endif

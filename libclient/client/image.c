/* Images: reading one publisher's log (shared-memory.md 5.15).
 *
 * The poller owns the position. It works on the mapped terms only, without locks or system calls.
 * The conductor closes an image by one word; a poll that is running then ends before the next
 * fragment, and the position counter, which the driver is about to reuse, is not written any more.
 * What was mapped is given back when the last reference goes, so a fragment handler never meets an
 * unmapped page.
 */
#include "client/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define REJECT_REASON_LENGTH_MAX 1023

static int image_bind(struct tern_image *image, struct tern_client *client,
                      const struct response *available, struct tern_error *error) {
    int64_t *counter = counters_reader_address(&client->counters.reader, available->counter_id);
    if (counter == NULL) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "image %lld: the driver named position counter %d, which is out of range",
                         (long long)available->correlation_id, available->counter_id);
    }
    struct client_log *log =
        client_log_acquire(client, available->correlation_id, &available->text, error);
    if (log == NULL) {
        return TERN_ERROR_PROTOCOL;
    }
    const struct log_buffer *buffer = &log->buffer;
    image->log = log;
    image->position_counter = counter;
    /* The driver stored the join position before it announced the image (5.13). */
    image->join_position = load_acquire_i64(counter);
    image->position = image->join_position;
    memcpy(image->terms, buffer->terms, sizeof image->terms);
    image->metadata = buffer->metadata;
    image->term_length = buffer->term_length;
    image->position_bits = buffer->position_bits;
    image->initial_term_id = buffer->initial_term_id;
    image->mtu_length = buffer->mtu_length;
    if (image->join_position < 0 || image->join_position % LOG_FRAME_ALIGNMENT != 0) {
        client_log_release(client, log);
        return error_set(error, TERN_ERROR_PROTOCOL, "image %lld: join position %lld is impossible",
                         (long long)available->correlation_id, (long long)image->join_position);
    }
    return 0;
}

struct tern_image *client_image_create(struct tern_client *client, const struct response *available,
                                       struct tern_error *error) {
    struct tern_image *image = memory_allocate_lines(sizeof *image);
    const struct text_slice *source = &available->source_identity;
    char *identity = strndup(source->length > 0 ? source->text : "", (size_t)source->length);
    if (image == NULL || identity == NULL) {
        (void)error_set(error, -ENOMEM, "no memory for image %lld",
                        (long long)available->correlation_id);
        goto fail;
    }
    if (image_bind(image, client, available, error) != 0) {
        goto fail;
    }
    image->client = client;
    image->source_identity = identity;
    image->correlation_id = available->correlation_id;
    image->subscription_id = available->registration_id;
    image->session_id = available->session_id;
    image->stream_id = available->stream_id;
    image->position_counter_id = available->counter_id;
    image->reference_count = 1;
    client_retain(client);
    return image;
fail:
    free(identity);
    free(image);
    return NULL;
}

void client_image_close(struct tern_image *image) {
    if (load_plain_i32(&image->is_closed) != 0) {
        return;
    }
    image->closed_end_of_stream = load_acquire_i64(&image->metadata->end_of_stream_position);
    image->closed_revoked = load_acquire_u8(&image->metadata->is_publication_revoked) != 0;
    store_release_i32(&image->is_closed, 1);
}

static bool drop_reference(struct tern_image *image) {
    int32_t before = get_and_add_i32(&image->reference_count, -1);
    assert(before > 0);
    return before == 1;
}

/* Lock held. */
static void image_free(struct tern_image *image) {
    struct tern_client *client = image->client;
    client_log_release(client, image->log);
    free(image->source_identity);
    free(image);
    /* Never the last reference: whoever holds the lock here holds one, too. */
    assert(client->reference_count > 1);
    client->reference_count--;
}

void client_image_release_locked(struct tern_image *image) {
    if (drop_reference(image)) {
        image_free(image);
    }
}

void tern_image_retain(tern_image *image) {
    (void)get_and_add_i32(&image->reference_count, 1);
}

void tern_image_release(tern_image *image) {
    if (image == NULL) {
        return;
    }
    struct tern_client *client = image->client;
    if (!drop_reference(image)) {
        return;
    }
    client_lock(client);
    client_retain(client);
    image_free(image);
    client_unlock(client);
    client_release(client);
}

int tern_image_poll(tern_image *image, tern_fragment_handler handler, void *handler_context,
                    int fragment_limit) {
    return image_poll_to(image, handler, handler_context, image->term_length, fragment_limit);
}

/* Where a bounded poll ends in the present term, 0 when the limit is not above the position. */
static int32_t bounded_offset(const struct tern_image *image, int64_t position_limit) {
    int64_t position = load_plain_i64(&image->position);
    if (position_limit <= position) {
        return 0;
    }
    int64_t offset = log_term_offset_of(position, image->term_length);
    int64_t room = image->term_length - offset;
    return (int32_t)(offset + min_i64(room, position_limit - position));
}

int tern_image_bounded_poll(tern_image *image, tern_fragment_handler handler, void *handler_context,
                            int64_t position_limit, int fragment_limit) {
    int32_t limit_offset = bounded_offset(image, position_limit);
    return image_poll_to(image, handler, handler_context, limit_offset, fragment_limit);
}

/* Call the handler for one frame. False: stop. *offset is where the consumed part ends. */
static bool deliver_controlled(struct tern_image *image, tern_controlled_fragment_handler handler,
                               void *handler_context, struct tern_header *header, int32_t *offset) {
    const uint8_t *frame = (const uint8_t *)header->frame;
    int32_t length = header->frame->frame_length;
    int32_t frame_offset = *offset;
    *offset += log_aligned_frame_length(length);
    enum tern_controlled_action action = handler(handler_context, frame + LOG_FRAME_HEADER_LENGTH,
                                                 length - LOG_FRAME_HEADER_LENGTH, header);
    switch (action) {
    case TERN_ACTION_ABORT:
        *offset = frame_offset;
        return false;
    case TERN_ACTION_BREAK:
        return false;
    case TERN_ACTION_COMMIT: {
        int64_t position = load_plain_i64(&image->position);
        int32_t initial = log_term_offset_of(position, image->term_length);
        /* Offset 0 after the last frame of the term cannot occur: *offset is then term_length. */
        image_store_position(image, position + (*offset - initial));
        return true;
    }
    case TERN_ACTION_CONTINUE:
        return true;
    }
    assert(false);
    return false;
}

static int controlled_poll_to(struct tern_image *image, tern_controlled_fragment_handler handler,
                              void *handler_context, int32_t limit_offset, int fragment_limit) {
    int64_t initial_position = load_plain_i64(&image->position);
    int32_t initial_offset = log_term_offset_of(initial_position, image->term_length);
    const uint8_t *term = image->terms[log_index_of(initial_position, image->position_bits)];
    struct tern_header header = {NULL, image->initial_term_id, image->position_bits, -1, image};
    int32_t offset = initial_offset;
    int fragments = 0;
    bool is_going_on = true;
    while (is_going_on && fragments < fragment_limit && offset < limit_offset &&
           load_acquire_i32(&image->is_closed) == 0) {
        int32_t length = image_frame_length(image, term, offset);
        if (length == 0) {
            break;
        }
        header.frame = (const struct frame_header *)(const void *)(term + offset);
        if (header.frame->type == FRAME_TYPE_PAD) {
            offset += log_aligned_frame_length(length);
            continue;
        }
        int32_t frame_offset = offset;
        is_going_on = deliver_controlled(image, handler, handler_context, &header, &offset);
        fragments += offset > frame_offset; /* an aborted fragment was not consumed */
    }
    int64_t position = initial_position + (offset - initial_offset);
    if (position > load_plain_i64(&image->position)) {
        image_store_position(image, position);
    }
    return fragments;
}

int tern_image_controlled_poll(tern_image *image, tern_controlled_fragment_handler handler,
                               void *handler_context, int fragment_limit) {
    return controlled_poll_to(image, handler, handler_context, image->term_length, fragment_limit);
}

int tern_image_bounded_controlled_poll(tern_image *image, tern_controlled_fragment_handler handler,
                                       void *handler_context, int64_t position_limit,
                                       int fragment_limit) {
    int32_t limit_offset = bounded_offset(image, position_limit);
    return controlled_poll_to(image, handler, handler_context, limit_offset, fragment_limit);
}

/* 5.15: forward only, within the present term, on a frame boundary. */
static bool is_position_reachable(const struct tern_image *image, int64_t position) {
    int64_t current = load_plain_i64(&image->position);
    int64_t term_end =
        current - log_term_offset_of(current, image->term_length) + image->term_length;
    return position >= current && position <= term_end && position % LOG_FRAME_ALIGNMENT == 0;
}

int64_t tern_image_controlled_peek(tern_image *image, int64_t position,
                                   tern_controlled_fragment_handler handler, void *handler_context,
                                   int64_t position_limit) {
    if (!is_position_reachable(image, position)) {
        return -EINVAL;
    }
    int64_t accepted = position;
    int32_t offset = log_term_offset_of(position, image->term_length);
    const uint8_t *term = image->terms[log_index_of(position, image->position_bits)];
    struct tern_header header = {NULL, image->initial_term_id, image->position_bits, -1, image};
    while (position < position_limit && offset < image->term_length &&
           load_acquire_i32(&image->is_closed) == 0) {
        int32_t length = image_frame_length(image, term, offset);
        if (length == 0) {
            break;
        }
        const uint8_t *frame = term + offset;
        offset += log_aligned_frame_length(length);
        position += log_aligned_frame_length(length);
        header.frame = (const struct frame_header *)(const void *)frame;
        if (header.frame->type == FRAME_TYPE_PAD) {
            accepted = position;
            continue;
        }
        enum tern_controlled_action action =
            handler(handler_context, frame + LOG_FRAME_HEADER_LENGTH,
                    length - LOG_FRAME_HEADER_LENGTH, &header);
        if (action == TERN_ACTION_ABORT) {
            break;
        }
        if ((header.frame->flags & FRAME_FLAG_END) != 0) {
            accepted = position;
        }
        if (action == TERN_ACTION_BREAK) {
            break;
        }
    }
    return accepted;
}

/* The next block of at most length_limit bytes; false when there is none. */
static bool find_block(const struct tern_image *image, int32_t length_limit,
                       struct tern_raw_block *block) {
    if (load_acquire_i32(&image->is_closed) != 0 || length_limit <= 0) {
        return false;
    }
    int64_t position = load_plain_i64(&image->position);
    int32_t index = log_index_of(position, image->position_bits);
    int32_t offset = log_term_offset_of(position, image->term_length);
    const uint8_t *term = image->terms[index];
    int32_t limit_offset = (int32_t)min_i64((int64_t)offset + length_limit, image->term_length);
    int32_t length = term_block_scan(term, image->term_length, offset, limit_offset);
    if (length <= 0) {
        return false;
    }
    const struct frame_header *first = (const struct frame_header *)(const void *)(term + offset);
    *block = (struct tern_raw_block){
        .descriptor = -1,
        .file_offset = (int64_t)index * image->term_length + offset,
        .block = term + offset,
        .length = length,
        .session_id = image->session_id,
        .term_id = first->term_id,
    };
    return true;
}

int32_t tern_image_block_poll(tern_image *image, tern_block_handler handler, void *handler_context,
                              int32_t length_limit) {
    struct tern_raw_block block;
    if (!find_block(image, length_limit, &block)) {
        return 0;
    }
    int64_t position = load_plain_i64(&image->position);
    handler(handler_context, block.block, block.length, block.session_id, block.term_id);
    image_store_position(image, position + block.length);
    return block.length;
}

int32_t tern_image_raw_poll(tern_image *image, tern_raw_block_handler handler,
                            void *handler_context, int32_t length_limit) {
    struct tern_raw_block block;
    if (!find_block(image, length_limit, &block)) {
        return 0;
    }
    block.descriptor = client_log_descriptor(image->client, image->log);
    if (block.descriptor < 0) {
        return block.descriptor;
    }
    int64_t position = load_plain_i64(&image->position);
    handler(handler_context, &block);
    image_store_position(image, position + block.length);
    return block.length;
}

int64_t tern_image_position(const tern_image *image) {
    return load_acquire_i64(&image->position);
}

int tern_image_set_position(tern_image *image, int64_t position) {
    if (load_acquire_i32(&image->is_closed) != 0) {
        return TERN_ERROR_CLOSED;
    }
    if (!is_position_reachable(image, position)) {
        return -EINVAL;
    }
    image_store_position(image, position);
    return 0;
}

int64_t tern_image_join_position(const tern_image *image) {
    return image->join_position;
}

bool tern_image_is_closed(const tern_image *image) {
    return load_acquire_i32(&image->is_closed) != 0;
}

int64_t tern_image_end_of_stream_position(const tern_image *image) {
    return load_acquire_i32(&image->is_closed) != 0
               ? image->closed_end_of_stream
               : load_acquire_i64(&image->metadata->end_of_stream_position);
}

bool tern_image_is_end_of_stream(const tern_image *image) {
    return tern_image_position(image) >= tern_image_end_of_stream_position(image);
}

bool tern_image_is_revoked(const tern_image *image) {
    return load_acquire_i32(&image->is_closed) != 0
               ? image->closed_revoked != 0
               : load_acquire_u8(&image->metadata->is_publication_revoked) != 0;
}

int32_t tern_image_active_transport_count(const tern_image *image) {
    return load_acquire_i32(&image->is_closed) != 0
               ? 0
               : load_acquire_i32(&image->metadata->active_transport_count);
}

int32_t tern_image_session_id(const tern_image *image) {
    return image->session_id;
}

int32_t tern_image_stream_id(const tern_image *image) {
    return image->stream_id;
}

int32_t tern_image_initial_term_id(const tern_image *image) {
    return image->initial_term_id;
}

int32_t tern_image_term_length(const tern_image *image) {
    return image->term_length;
}

int32_t tern_image_position_bits(const tern_image *image) {
    return image->position_bits;
}

int32_t tern_image_mtu_length(const tern_image *image) {
    return image->mtu_length;
}

int32_t tern_image_position_counter_id(const tern_image *image) {
    return image->position_counter_id;
}

const char *tern_image_source_identity(const tern_image *image) {
    return image->source_identity;
}

int64_t tern_image_correlation_id(const tern_image *image) {
    return image->correlation_id;
}

int64_t tern_image_subscription_registration_id(const tern_image *image) {
    return image->subscription_id;
}

void tern_image_get_constants(const tern_image *image, struct tern_image_constants *constants) {
    *constants = (struct tern_image_constants){
        .source_identity = image->source_identity,
        .correlation_id = image->correlation_id,
        .subscription_registration_id = image->subscription_id,
        .join_position = image->join_position,
        .session_id = image->session_id,
        .stream_id = image->stream_id,
        .initial_term_id = image->initial_term_id,
        .term_length = image->term_length,
        .position_bits = image->position_bits,
        .mtu_length = image->mtu_length,
        .position_counter_id = image->position_counter_id,
    };
}

int tern_image_reject(tern_image *image, const char *reason, struct tern_error *error) {
    struct tern_client *client = image->client;
    size_t length = strlen(reason);
    if (length > REJECT_REASON_LENGTH_MAX) {
        return error_set(error, -EINVAL, "the reason has %zu bytes; at most %d are allowed", length,
                         REJECT_REASON_LENGTH_MAX);
    }
    client_lock(client);
    int result;
    if (load_plain_i32(&image->is_closed) != 0) {
        result = error_set(error, TERN_ERROR_CLOSED, "image %lld is closed",
                           (long long)image->correlation_id);
    } else {
        struct command command = {
            .type = COMMAND_REJECT_IMAGE,
            .client_id = client->id,
            .correlation_id = tern_client_next_correlation_id(client),
            .registration_id = image->correlation_id,
            .position = tern_image_position(image),
            .text = {reason, (int32_t)length},
        };
        result = client_send(client, &command, error);
    }
    client_unlock(client);
    return result;
}

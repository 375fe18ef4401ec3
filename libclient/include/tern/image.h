/* One publisher's stream as a subscriber sees it (shared-memory.md 5.15, 9.4).
 *
 * An image handle is counted: tern_subscription_image_* and tern_image_retain give a reference,
 * tern_image_release ends one. A handle stays valid, with its log mapped, until its last reference
 * is released, whatever happens to subscription, client and driver; once closed, polls return 0 and
 * position is the last one. Poll functions and set_position by one thread at a time, and not while
 * the subscription is polled by another; the rest is safe on any thread that holds a reference.
 */
#ifndef TERN_IMAGE_H
#define TERN_IMAGE_H

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One reference more for the caller. */
TERN_API void tern_image_retain(tern_image *image);
/* End a reference of the caller's; the last one unmaps the log. NULL is allowed. */
TERN_API void tern_image_release(tern_image *image);

/* Deliver up to `fragment_limit` fragments; returns how many, 0 when there are none or the image is
 * closed. A poll ends at the end of a term even when the limit is not reached. */
TERN_API int tern_image_poll(tern_image *image, tern_fragment_handler handler,
                             void *handler_context, int fragment_limit);
/* The same, and the handler says how to go on; an aborted fragment does not count. */
TERN_API int tern_image_controlled_poll(tern_image *image, tern_controlled_fragment_handler handler,
                                        void *handler_context, int fragment_limit);
/* Both again, but no fragment at or beyond `position_limit` is delivered. */
TERN_API int tern_image_bounded_poll(tern_image *image, tern_fragment_handler handler,
                                     void *handler_context, int64_t position_limit,
                                     int fragment_limit);
TERN_API int tern_image_bounded_controlled_poll(tern_image *image,
                                                tern_controlled_fragment_handler handler,
                                                void *handler_context, int64_t position_limit,
                                                int fragment_limit);
/* Look ahead from `position` (checked as by set_position) up to `position_limit` without consuming,
 * to the end of the term at most. Returns the position behind the last whole message that was
 * accepted (`position` when none was, also on a closed image), or -EINVAL. */
TERN_API int64_t tern_image_controlled_peek(tern_image *image, int64_t position,
                                            tern_controlled_fragment_handler handler,
                                            void *handler_context, int64_t position_limit);
/* Deliver whole frames as one block of at most `length_limit` bytes (a padding frame comes whole).
 * Calls the handler at most once; returns the bytes consumed, 0 when there was nothing. */
TERN_API int32_t tern_image_block_poll(tern_image *image, tern_block_handler handler,
                                       void *handler_context, int32_t length_limit);

/* As block poll, but tells where the block is in the log's file. -errno when the file cannot be
 * opened; nothing is consumed then. */
TERN_API int32_t tern_image_raw_poll(tern_image *image, tern_raw_block_handler handler,
                                     void *handler_context, int32_t length_limit);

/* Position of this subscriber; the final one when closed. */
TERN_API int64_t tern_image_position(const tern_image *image);
/* Skip forward: not before the present position, not beyond the present term, a multiple of 32;
 * else -EINVAL. TERN_ERROR_CLOSED when closed. */
TERN_API int tern_image_set_position(tern_image *image, int64_t position);
/* Where this subscriber began. */
TERN_API int64_t tern_image_join_position(const tern_image *image);

/* The image went away, or its subscription or client ended; it never becomes false again. */
TERN_API bool tern_image_is_closed(const tern_image *image);
/* The publisher ended the stream and all of it was consumed. */
TERN_API bool tern_image_is_end_of_stream(const tern_image *image);
/* Where the stream ends; INT64_MAX while not known. When closed: as it was then. */
TERN_API int64_t tern_image_end_of_stream_position(const tern_image *image);
/* The publisher revoked the stream (5.14): what was not read is lost. */
TERN_API bool tern_image_is_revoked(const tern_image *image);
/* Transports that the driver receives this image from; 0 for IPC and when closed. */
TERN_API int32_t tern_image_active_transport_count(const tern_image *image);

/* Of the publication that it is the image of. */
TERN_API int32_t tern_image_session_id(const tern_image *image);
TERN_API int32_t tern_image_stream_id(const tern_image *image);
TERN_API int32_t tern_image_initial_term_id(const tern_image *image);
/* Bytes of one of the three terms, a power of two; position_bits is its log2. */
TERN_API int32_t tern_image_term_length(const tern_image *image);
TERN_API int32_t tern_image_position_bits(const tern_image *image);
/* Bytes of the longest frame, with its header of 32. */
TERN_API int32_t tern_image_mtu_length(const tern_image *image);
/* The counter that tells this position; it may be somebody else's once closed. */
TERN_API int32_t tern_image_position_counter_id(const tern_image *image);
/* "a.b.c.d:port", "[v6]:port" or "aeron:ipc"; lives as long as the handle. */
TERN_API const char *tern_image_source_identity(const tern_image *image);
/* Id of the image; for IPC and spies the registration id of the publication. */
TERN_API int64_t tern_image_correlation_id(const tern_image *image);
/* The id of the subscription, which may be closed by now. */
TERN_API int64_t tern_image_subscription_registration_id(const tern_image *image);

/* What does not change during an image's life, as the functions of the same names say it. Strings
 * live as long as the handle. */
struct tern_image_constants {
    const char *source_identity;
    int64_t correlation_id;
    int64_t subscription_registration_id;
    int64_t join_position;
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t term_length;
    int32_t position_bits;
    int32_t mtu_length;
    int32_t position_counter_id;
};
/* All of it at once. */
TERN_API void tern_image_get_constants(const tern_image *image,
                                       struct tern_image_constants *constants);

/* Ask the driver to refuse this image and to tell its publisher why (3.1, 0x10); `reason` has at
 * most 1023 bytes, else -EINVAL. 0 when the command was sent; TERN_ERROR_CLOSED;
 * TERN_ERROR_DRIVER_BUFFER_FULL. Not answered: the image goes away when the driver did it. */
TERN_API int tern_image_reject(tern_image *image, const char *reason, struct tern_error *error);

#ifdef __cplusplus
}
#endif

#endif

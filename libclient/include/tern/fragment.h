/* The header of a fragment, and assembling messages from fragments (shared-memory.md 5.1, 5.16).
 *
 * An assembler is a fragment handler that hands whole messages to another one:
 *
 *     tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, state);
 *     tern_subscription_poll(subscription, tern_fragment_assembler_on_fragment, assembler, 10);
 *
 * It keeps one buffer per session, so the same assembler serves a subscription with many images or
 * a single image; it belongs to the thread that polls. Whole fragments pass through uncopied. A
 * message that is not contiguous, misses its begin, or is longer than any legal message (16 MiB) is
 * dropped and counted.
 */
#ifndef TERN_FRAGMENT_H
#define TERN_FRAGMENT_H

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of a header. */
#define TERN_FLAG_BEGIN 0x80
#define TERN_FLAG_END 0x40
#define TERN_FLAG_UNFRAGMENTED 0xC0

/* Accessors, valid while the handler runs, on its thread. For an assembled message: the fields of
 * its first fragment, flags of first and last together, frame_length 32 + the whole payload, and
 * the position behind its last fragment. Fields as in shared-memory.md 5.1. */

/* Stream position behind this frame, in bytes. */
TERN_API int64_t tern_header_position(const tern_header *header);
/* Of the publication. */
TERN_API int32_t tern_header_session_id(const tern_header *header);
TERN_API int32_t tern_header_stream_id(const tern_header *header);
/* Of the term that the frame stands in; terms count up from the initial one, and wrap. */
TERN_API int32_t tern_header_term_id(const tern_header *header);
/* Where the frame begins in its term, in bytes. */
TERN_API int32_t tern_header_term_offset(const tern_header *header);
TERN_API int32_t tern_header_initial_term_id(const tern_header *header);
/* log2 of the term length. */
TERN_API int32_t tern_header_position_bits(const tern_header *header);
/* Bytes of payload and the 32 of the frame's header, not rounded up. */
TERN_API int32_t tern_header_frame_length(const tern_header *header);
/* TERN_FLAG_... */
TERN_API uint8_t tern_header_flags(const tern_header *header);
/* 1: data; polls pass padding over. */
TERN_API uint16_t tern_header_type(const tern_header *header);
/* What the publisher's supplier or claim gave it; 0 without. */
TERN_API int64_t tern_header_reserved_value(const tern_header *header);

/* Where the next frame of the term begins; the term length at its end. */
TERN_API int32_t tern_header_next_term_offset(const tern_header *header);
/* The image that delivers the fragment, valid during the call unless retained. */
TERN_API tern_image *tern_header_image(const tern_header *header);

/* All of it as plain data, to be kept after the call. */
struct tern_header_values {
    int64_t position; /* behind this frame */
    int64_t reserved_value;
    int32_t frame_length;
    int32_t term_offset;
    int32_t next_term_offset;
    int32_t session_id;
    int32_t stream_id;
    int32_t term_id;
    int32_t initial_term_id;
    int32_t position_bits;
    uint16_t type;
    uint8_t version;
    uint8_t flags;
};
/* Fill `values` with what the accessors say. */
TERN_API void tern_header_get_values(const tern_header *header, struct tern_header_values *values);

typedef struct tern_fragment_assembler tern_fragment_assembler;

/* The caller ends it with tern_fragment_assembler_destroy. NULL when there is no memory. */
TERN_API tern_fragment_assembler *tern_fragment_assembler_create(tern_fragment_handler handler,
                                                                 void *handler_context);
/* A tern_fragment_handler; `assembler` is the tern_fragment_assembler. Calls its handler at most
 * once; an assembled message is in the assembler's buffer, valid during the call. */
TERN_API void tern_fragment_assembler_on_fragment(void *assembler, const uint8_t *buffer,
                                                  int32_t length, const tern_header *header);
/* Forget a session whose image is gone, with its buffer; an unknown one is no error. Not from its
 * own handler. */
TERN_API void tern_fragment_assembler_remove_session(tern_fragment_assembler *assembler,
                                                     int32_t session_id);
/* Messages dropped so far, also for want of memory. */
TERN_API int64_t tern_fragment_assembler_dropped_count(const tern_fragment_assembler *assembler);
/* With all its buffers; unfinished messages are lost. NULL is allowed. */
TERN_API void tern_fragment_assembler_destroy(tern_fragment_assembler *assembler);

typedef struct tern_controlled_fragment_assembler tern_controlled_fragment_assembler;

/* The five functions as above, for controlled polls. Fragments before the last are answered with
 * CONTINUE; when the handler aborts a message, its last fragment is delivered again. */
TERN_API tern_controlled_fragment_assembler *
tern_controlled_fragment_assembler_create(tern_controlled_fragment_handler handler,
                                          void *handler_context);
TERN_API enum tern_controlled_action
tern_controlled_fragment_assembler_on_fragment(void *assembler, const uint8_t *buffer,
                                               int32_t length, const tern_header *header);
TERN_API void
tern_controlled_fragment_assembler_remove_session(tern_controlled_fragment_assembler *assembler,
                                                  int32_t session_id);
TERN_API int64_t tern_controlled_fragment_assembler_dropped_count(
    const tern_controlled_fragment_assembler *assembler);
TERN_API void
tern_controlled_fragment_assembler_destroy(tern_controlled_fragment_assembler *assembler);

#ifdef __cplusplus
}
#endif

#endif

/* Accessors of a fragment's header (shared-memory.md 5.1, 5.15). */
#include "client/image.h"

int64_t tern_header_position(const tern_header *header) {
    const struct frame_header *frame = header->frame;
    int32_t length = header->length_in_log >= 0 ? header->length_in_log
                                                : log_aligned_frame_length(frame->frame_length);
    return log_position(frame->term_id, frame->term_offset, header->position_bits,
                        header->initial_term_id) +
           length;
}

int32_t tern_header_session_id(const tern_header *header) {
    return header->frame->session_id;
}

int32_t tern_header_stream_id(const tern_header *header) {
    return header->frame->stream_id;
}

int32_t tern_header_term_id(const tern_header *header) {
    return header->frame->term_id;
}

int32_t tern_header_term_offset(const tern_header *header) {
    return header->frame->term_offset;
}

int32_t tern_header_initial_term_id(const tern_header *header) {
    return header->initial_term_id;
}

int32_t tern_header_position_bits(const tern_header *header) {
    return header->position_bits;
}

int32_t tern_header_frame_length(const tern_header *header) {
    return header->frame->frame_length;
}

uint8_t tern_header_flags(const tern_header *header) {
    return header->frame->flags;
}

uint16_t tern_header_type(const tern_header *header) {
    return header->frame->type;
}

int64_t tern_header_reserved_value(const tern_header *header) {
    return header->frame->reserved_value;
}

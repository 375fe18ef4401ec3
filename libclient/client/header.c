/* Accessors of a fragment's header (shared-memory.md 5.1, 5.15). */
#include "client/image.h"

static int32_t length_in_log(const tern_header *header) {
    return header->length_in_log >= 0 ? header->length_in_log
                                      : log_aligned_frame_length(header->frame->frame_length);
}

int64_t tern_header_position(const tern_header *header) {
    const struct frame_header *frame = header->frame;
    return log_position(frame->term_id, frame->term_offset, header->position_bits,
                        header->initial_term_id) +
           length_in_log(header);
}

int32_t tern_header_next_term_offset(const tern_header *header) {
    return header->frame->term_offset + length_in_log(header);
}

tern_image *tern_header_image(const tern_header *header) {
    return header->image;
}

void tern_header_get_values(const tern_header *header, struct tern_header_values *values) {
    const struct frame_header *frame = header->frame;
    *values = (struct tern_header_values){
        .position = tern_header_position(header),
        .reserved_value = frame->reserved_value,
        .frame_length = frame->frame_length,
        .term_offset = frame->term_offset,
        .next_term_offset = tern_header_next_term_offset(header),
        .session_id = frame->session_id,
        .stream_id = frame->stream_id,
        .term_id = frame->term_id,
        .initial_term_id = header->initial_term_id,
        .position_bits = header->position_bits,
        .type = frame->type,
        .version = frame->version,
        .flags = frame->flags,
    };
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

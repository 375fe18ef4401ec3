/* Validation of received UDP frames (media-driver.md 1.15): the door of the driver. Whatever comes
 * off a socket goes through frame_validate once; what is FRAME_VALID can be read through the
 * structs of frame.h without looking at lengths again. Checks that the original driver omits
 * (frames of a datagram, SETUP's geometry, ERR's text length) are made here, too: without them one
 * datagram can crash it.
 */
#include "wire/frame.h"

#include <string.h>

static bool is_heartbeat(int32_t frame_length, uint32_t length) {
    return frame_length == 0 && length == LOG_FRAME_HEADER_LENGTH;
}

/* The words of a header: length, version, flags and type; term offset and session; stream and term.
 * Frames are checked by word, as small ones come by the ten million per second. */
struct words {
    uint64_t kind;
    uint64_t place;
    uint64_t stream;
};

static struct words words_at(const uint8_t *datagram, uint32_t offset) {
    static_assert(offsetof(struct frame_header, term_offset) == 8, "layout");
    static_assert(offsetof(struct frame_header, session_id) == 12, "layout");
    static_assert(offsetof(struct frame_header, stream_id) == 16, "layout");
    static_assert(offsetof(struct frame_header, term_id) == 20, "layout");
    return (struct words){(uint64_t)get_i64(datagram + offset),
                          (uint64_t)get_i64(datagram + offset + 8),
                          (uint64_t)get_i64(datagram + offset + 16)};
}

/* What stands behind the length: 0, flags of any value, the type. */
static bool is_of_type(const struct words *words, uint16_t type) {
    const uint64_t mask = UINT64_C(0xFFFF00FF) << 32;
    return (words->kind & mask) == (uint64_t)type << 48;
}

/* A frame of the stream of `first`, `offset` bytes behind it in its term. */
static bool continues(const struct words *words, const struct words *first, uint32_t offset) {
    uint32_t term_offset = (uint32_t)first->place + offset;
    return words->stream == first->stream &&
           words->place == ((first->place & ~(uint64_t)UINT32_MAX) | term_offset);
}

/* Whole frames one behind the other up to the exact end. A pad is sent as its header only. */
static enum frame_verdict validate_data(const uint8_t *datagram, uint32_t length) {
    if (length < LOG_FRAME_HEADER_LENGTH || length > LOG_MTU_LENGTH_MAX) {
        return FRAME_INVALID;
    }
    const struct words first = words_at(datagram, 0);
    if (is_heartbeat((int32_t)(uint32_t)first.kind, length)) {
        return is_of_type(&first, FRAME_TYPE_DATA) ? FRAME_VALID : FRAME_INVALID;
    }
    uint32_t offset = 0;
    while (length - offset >= LOG_FRAME_HEADER_LENGTH) {
        const struct words words = words_at(datagram, offset);
        int32_t frame_length = (int32_t)(uint32_t)words.kind;
        if (frame_length < LOG_FRAME_HEADER_LENGTH || frame_length > LOG_TERM_LENGTH_MAX ||
            !continues(&words, &first, offset)) {
            return FRAME_INVALID;
        }
        if (is_of_type(&words, FRAME_TYPE_PAD)) {
            offset += LOG_FRAME_HEADER_LENGTH;
            break;
        }
        uint32_t aligned_length = (uint32_t)log_aligned_frame_length(frame_length);
        if (!is_of_type(&words, FRAME_TYPE_DATA) || aligned_length > length - offset) {
            return FRAME_INVALID;
        }
        offset += aligned_length;
    }
    return offset == length ? FRAME_VALID : FRAME_INVALID;
}

static enum frame_verdict validate_setup(const uint8_t *datagram, uint32_t length) {
    if (length < FRAME_SETUP_LENGTH) {
        return FRAME_INVALID;
    }
    struct frame_setup setup;
    memcpy(&setup, datagram, sizeof setup);
    bool is_valid = log_term_length_is_valid(setup.term_length) && setup.term_offset >= 0 &&
                    setup.term_offset < setup.term_length &&
                    setup.term_offset % LOG_FRAME_ALIGNMENT == 0 && log_mtu_is_valid(setup.mtu) &&
                    log_term_count(setup.active_term_id, setup.initial_term_id) >= 0;
    return is_valid ? FRAME_VALID : FRAME_INVALID;
}

static enum frame_verdict validate_received(uint16_t type, const uint8_t *datagram,
                                            uint32_t length) {
    if ((uintptr_t)datagram % sizeof(int64_t) != 0) {
        return FRAME_INVALID;
    }
    switch (type) {
    case FRAME_TYPE_PAD:
    case FRAME_TYPE_DATA:
        return validate_data(datagram, length);
    case FRAME_TYPE_SETUP:
        return validate_setup(datagram, length);
    case FRAME_TYPE_RTTM:
        return length >= FRAME_RTTM_LENGTH ? FRAME_VALID : FRAME_INVALID;
    default:
        return FRAME_IGNORED;
    }
}

static uint32_t control_length_min(uint16_t type) {
    switch (type) {
    case FRAME_TYPE_NAK:
        return FRAME_NAK_LENGTH;
    case FRAME_TYPE_SM:
        return FRAME_SM_LENGTH;
    case FRAME_TYPE_ERR:
        return FRAME_ERR_LENGTH;
    case FRAME_TYPE_RTTM:
        return FRAME_RTTM_LENGTH;
    case FRAME_TYPE_RSP_SETUP:
        return FRAME_RSP_SETUP_LENGTH;
    default:
        return 0;
    }
}

static enum frame_verdict validate_control(const struct frame_common *common,
                                           const uint8_t *datagram, uint32_t length) {
    uint32_t length_min = control_length_min(common->type);
    if (length_min == 0) {
        return FRAME_IGNORED;
    }
    if (length < length_min || (int64_t)common->frame_length > (int64_t)length) {
        return FRAME_INVALID;
    }
    if (common->type == FRAME_TYPE_SM &&
        get_i32(datagram + offsetof(struct frame_sm, receiver_window)) < 0) {
        return FRAME_INVALID;
    }
    if (common->type == FRAME_TYPE_ERR &&
        get_i32(datagram + offsetof(struct frame_err, error_length)) < 0) {
        return FRAME_INVALID;
    }
    return FRAME_VALID;
}

enum frame_verdict frame_validate(enum frame_socket_role role, const uint8_t *datagram,
                                  uint32_t length) {
    if (length < FRAME_COMMON_LENGTH) {
        return FRAME_INVALID;
    }
    struct frame_common common;
    memcpy(&common, datagram, sizeof common);
    if (common.version != 0) {
        return FRAME_INVALID;
    }
    return role == FRAME_ROLE_RECEIVER ? validate_received(common.type, datagram, length)
                                       : validate_control(&common, datagram, length);
}

/* The last 32 bytes are a pad's header. Payload may look like one, so a likeness is only the reason
 * to walk; nearly every datagram is answered by the first comparison. */
static bool ends_with_pad(const uint8_t *datagram, uint32_t length) {
    uint32_t last = length - LOG_FRAME_HEADER_LENGTH;
    if (get_u16(datagram + last + offsetof(struct frame_header, type)) != FRAME_TYPE_PAD) {
        return false;
    }
    uint32_t offset = 0;
    while (offset < last) {
        int32_t frame_length = get_i32(datagram + offset);
        offset += (uint32_t)log_aligned_frame_length(frame_length);
    }
    return offset == last;
}

bool frame_data_fits(const struct frame_header *header, uint32_t datagram_length,
                     int32_t term_length) {
    assert(datagram_length >= LOG_FRAME_HEADER_LENGTH);
    int32_t offset = header->term_offset;
    if (offset < 0 || offset % LOG_FRAME_ALIGNMENT != 0 || offset > term_length ||
        datagram_length > (uint32_t)(term_length - offset)) {
        return false;
    }
    return frame_data_reach(header, datagram_length) <= term_length - offset;
}

int32_t frame_data_reach(const struct frame_header *header, uint32_t datagram_length) {
    const uint8_t *datagram = (const uint8_t *)header;
    int32_t length = (int32_t)datagram_length;
    if (frame_is_heartbeat(header, datagram_length) || !ends_with_pad(datagram, datagram_length)) {
        return length;
    }
    int32_t last = length - LOG_FRAME_HEADER_LENGTH;
    return last + get_i32(datagram + last);
}

int32_t frame_err_text_length(const struct frame_err *frame, uint32_t datagram_length) {
    int64_t received = (int64_t)datagram_length - FRAME_ERR_LENGTH;
    int64_t length = min_i64(frame->error_length, received);
    return (int32_t)max_i64(0, min_i64(length, FRAME_ERR_TEXT_MAX));
}

/* UDP frames of the media driver (media-driver.md 1): layouts and the validation of 1.15.
 * DATA and PAD share struct frame_header with the log buffer. */
#ifndef TERN_WIRE_FRAME_H
#define TERN_WIRE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "shm/log_buffer.h"

#define FRAME_COMMON_LENGTH 8
#define FRAME_NAK_LENGTH 28
#define FRAME_SM_LENGTH 36
#define FRAME_SM_GROUP_TAG_LENGTH 44
#define FRAME_ERR_LENGTH 40
#define FRAME_ERR_TEXT_MAX 1023
#define FRAME_SETUP_LENGTH 40
#define FRAME_RTTM_LENGTH 40
#define FRAME_RSP_SETUP_LENGTH 20

#define FRAME_SM_FLAG_SEND_SETUP 0x80
#define FRAME_SM_FLAG_EOS 0x40
#define FRAME_SETUP_FLAG_SEND_RESPONSE 0x80
#define FRAME_SETUP_FLAG_GROUP 0x40
#define FRAME_RTTM_FLAG_REPLY 0x80
#define FRAME_ERR_FLAG_GROUP_TAG 0x08

/* The structs are packed: datagrams received in one batch may start at any address. */
struct PACKED frame_common {
    int32_t frame_length;
    uint8_t version;
    uint8_t flags;
    uint16_t type;
};

struct PACKED frame_nak {
    struct frame_common common;
    int32_t session_id;
    int32_t stream_id;
    int32_t term_id;
    int32_t term_offset;
    int32_t length;
};

struct PACKED frame_sm {
    struct frame_common common;
    int32_t session_id;
    int32_t stream_id;
    int32_t consumption_term_id;
    int32_t consumption_term_offset;
    int32_t receiver_window;
    int64_t receiver_id;
    int64_t group_tag; /* only when frame_length is 44 */
};

struct PACKED frame_err {
    struct frame_common common;
    int32_t session_id;
    int32_t stream_id;
    int64_t receiver_id;
    int64_t group_tag;
    int32_t error_code;
    int32_t error_length;
};

struct PACKED frame_setup {
    struct frame_common common;
    int32_t term_offset;
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t active_term_id;
    int32_t term_length;
    int32_t mtu;
    int32_t ttl;
};

struct PACKED frame_rttm {
    struct frame_common common;
    int32_t session_id;
    int32_t stream_id;
    int64_t echo_timestamp;
    int64_t reception_delta;
    int64_t receiver_id;
};

struct PACKED frame_rsp_setup {
    struct frame_common common;
    int32_t session_id;
    int32_t stream_id;
    int32_t response_session_id;
};

_Static_assert(sizeof(struct frame_common) == FRAME_COMMON_LENGTH, "common");
_Static_assert(sizeof(struct frame_rsp_setup) == FRAME_RSP_SETUP_LENGTH, "RSP_SETUP");
_Static_assert(sizeof(struct frame_nak) == FRAME_NAK_LENGTH, "NAK");
_Static_assert(sizeof(struct frame_sm) == FRAME_SM_GROUP_TAG_LENGTH, "SM");
_Static_assert(sizeof(struct frame_err) == FRAME_ERR_LENGTH, "ERR");
_Static_assert(sizeof(struct frame_setup) == FRAME_SETUP_LENGTH, "SETUP");
_Static_assert(sizeof(struct frame_rttm) == FRAME_RTTM_LENGTH, "RTTM");

enum frame_socket_role { FRAME_ROLE_RECEIVER, FRAME_ROLE_SENDER };

enum frame_verdict {
    FRAME_VALID,
    FRAME_IGNORED, /* a type this role drops silently */
    FRAME_INVALID, /* count it (system counter 14) */
};

/* Everything of 1.15 that needs no knowledge of the stream: lengths, version, the walk over the
 * frames of a DATA or PAD datagram (whole frames of one stream and term, consecutive, a pad only as
 * the last), SETUP's geometry, SM's window. Runs once, at the door; afterwards the frame is
 * trusted. A datagram of the receiver role that does not start at a multiple of 8 is invalid: only
 * a peer that mixes odd lengths into one batch can cause it. ERR texts are clamped by
 * frame_err_text_length. RES has its own door (wire/resolution.h). */
enum frame_verdict frame_validate(enum frame_socket_role role, const uint8_t *datagram,
                                  uint32_t length);
/* The check of 1.15 that needs the stream: a valid DATA or PAD datagram (or heartbeat) lies within
 * the term, a pad with its whole length. */
bool frame_data_fits(const struct frame_header *header, uint32_t datagram_length,
                     int32_t term_length);
/* What the frames of a valid DATA or PAD datagram take of their term: its length, more when the
 * last one is a pad. */
int32_t frame_data_reach(const struct frame_header *header, uint32_t datagram_length);
/* Bytes of text that a valid ERR frame really has: error_length, clamped to what was received. */
int32_t frame_err_text_length(const struct frame_err *frame, uint32_t datagram_length);
static inline bool frame_is_heartbeat(const struct frame_header *header, uint32_t length) {
    return length == LOG_FRAME_HEADER_LENGTH && header->frame_length == 0;
}

#endif

/* What sender and receiver tell the conductor, through the many-producer ring into it. All messages
 * name things by id, never by pointer: what they name may be gone when they are read. */
#ifndef DRIVERD_DRIVER_MESSAGE_H
#define DRIVERD_DRIVER_MESSAGE_H

#include <stdint.h>

#include "base/net.h"
#include "wire/frame.h"

enum driver_message_type {
    DRIVER_MESSAGE_CREATE_IMAGE = 1,
    DRIVER_MESSAGE_PUBLICATION_ERROR,
    DRIVER_MESSAGE_ERROR,
    DRIVER_MESSAGE_RESPONSE_CONNECTED,
    DRIVER_MESSAGE_RESPONSE_SESSION,
};

/* Receiver: a SETUP for a wanted session came (3.2). Answer with image_create and
 * receiver_add_image, or with receiver_image_refused. */
struct message_create_image {
    int64_t endpoint_id;    /* endpoint_recv.id */
    int64_t destination_id; /* destination_recv.id: where it came in */
    int32_t session_id;
    int32_t stream_id;
    int32_t initial_term_id;
    int32_t active_term_id;
    int32_t term_offset;
    int32_t term_length;
    int32_t mtu_length;
    int32_t ttl;
    uint8_t setup_flags;
    union net_address source;
    union net_address control; /* where status messages go */
};

/* Sender: an ERR frame of a live receiver (2.10). */
struct message_publication_error {
    int64_t registration_id; /* original, of the publication */
    int64_t destination_id;  /* registration id of the MDC destination, or -1 */
    int32_t session_id;
    int32_t stream_id;
    int64_t receiver_id;
    int64_t group_tag; /* -1: none */
    union net_address source;
    int32_t error_code;
    int32_t text_length;
    char text[FRAME_ERR_TEXT_MAX + 1];
};

/* Sender: a response publication has its first receiver (2.10 step b). */
struct message_response_connected {
    int64_t registration_id;
};

/* Sender: RSP_SETUP for a request publication (2.10). */
struct message_response_session {
    int64_t correlation_id; /* registration id of the response subscription */
    int32_t session_id;
};

/* Sender or receiver: a line for the distinct error log. */
struct message_error {
    int32_t code; /* as of struct tern_error */
    char text[TERN_ERROR_TEXT_MAX];
};

#endif

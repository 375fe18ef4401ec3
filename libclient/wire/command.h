/* Commands (to-driver ring) and responses (to-clients broadcast): ids, and encode/decode of every
 * message of shared-memory.md 3.1 and 3.2. Decoding validates all lengths, once, at the door.
 *
 * Strings in decoded messages are borrowed slices of the payload, not NUL-terminated. Encoders
 * return the payload length, or -EMSGSIZE when it does not fit `capacity`. Decoders return 0,
 * -EBADMSG for a payload that is shorter than its fields and texts need, or -EOPNOTSUPP for an
 * unknown type. Whatever they return, the ids that precede the damage are set (the others are 0),
 * so that a bad command can be answered. Longer payloads than needed are accepted.
 */
#ifndef TERN_WIRE_COMMAND_H
#define TERN_WIRE_COMMAND_H

#include <stdint.h>

#include "wire/slice.h"

enum command_type {
    COMMAND_ADD_PUBLICATION = 0x01,
    COMMAND_REMOVE_PUBLICATION = 0x02,
    COMMAND_ADD_EXCLUSIVE_PUBLICATION = 0x03,
    COMMAND_ADD_SUBSCRIPTION = 0x04,
    COMMAND_REMOVE_SUBSCRIPTION = 0x05,
    COMMAND_CLIENT_KEEPALIVE = 0x06,
    COMMAND_ADD_DESTINATION = 0x07,
    COMMAND_REMOVE_DESTINATION = 0x08,
    COMMAND_ADD_COUNTER = 0x09,
    COMMAND_REMOVE_COUNTER = 0x0A,
    COMMAND_CLIENT_CLOSE = 0x0B,
    COMMAND_ADD_RECEIVE_DESTINATION = 0x0C,
    COMMAND_REMOVE_RECEIVE_DESTINATION = 0x0D,
    COMMAND_TERMINATE_DRIVER = 0x0E,
    COMMAND_ADD_STATIC_COUNTER = 0x0F,
    COMMAND_REJECT_IMAGE = 0x10,
    COMMAND_REMOVE_DESTINATION_BY_ID = 0x11,
    COMMAND_NEXT_SESSION_ID = 0x12,
};

enum response_type {
    RESPONSE_ERROR = 0x0F01,
    RESPONSE_AVAILABLE_IMAGE = 0x0F02,
    RESPONSE_PUBLICATION_READY = 0x0F03,
    RESPONSE_OPERATION_SUCCESS = 0x0F04,
    RESPONSE_UNAVAILABLE_IMAGE = 0x0F05,
    RESPONSE_EXCLUSIVE_PUBLICATION_READY = 0x0F06,
    RESPONSE_SUBSCRIPTION_READY = 0x0F07,
    RESPONSE_COUNTER_READY = 0x0F08,
    RESPONSE_UNAVAILABLE_COUNTER = 0x0F09,
    RESPONSE_CLIENT_TIMEOUT = 0x0F0A,
    RESPONSE_STATIC_COUNTER = 0x0F0B,
    RESPONSE_PUBLICATION_ERROR = 0x0F0C,
    RESPONSE_NEXT_SESSION_ID = 0x0F0D,
};

enum driver_error_code {
    DRIVER_ERROR_INVALID_CHANNEL = 1,
    DRIVER_ERROR_UNKNOWN_SUBSCRIPTION = 2,
    DRIVER_ERROR_UNKNOWN_PUBLICATION = 3,
    DRIVER_ERROR_CHANNEL_ENDPOINT = 4,
    DRIVER_ERROR_UNKNOWN_COUNTER = 5,
    DRIVER_ERROR_UNKNOWN_COMMAND = 6,
    DRIVER_ERROR_MALFORMED_COMMAND = 7,
    DRIVER_ERROR_NOT_SUPPORTED = 8,
    DRIVER_ERROR_UNKNOWN_HOST = 9,
    DRIVER_ERROR_TEMPORARILY_UNAVAILABLE = 10,
    DRIVER_ERROR_GENERIC = 11,
    DRIVER_ERROR_STORAGE_SPACE = 12,
    DRIVER_ERROR_IMAGE_REJECTED = 13,
    DRIVER_ERROR_PUBLICATION_REVOKED = 14,
};

/* One decoded command: `type` says which fields count. */
struct command {
    int32_t type;
    int64_t client_id;
    int64_t correlation_id;
    int64_t registration_id; /* of the thing removed, or of the resource of a destination; image
                                correlation id of REJECT_IMAGE */
    int64_t destination_id;  /* REMOVE_DESTINATION_BY_ID */
    int64_t position;        /* REJECT_IMAGE */
    uint64_t flags;          /* REMOVE_PUBLICATION; bit 0 revoke */
    int32_t stream_id;
    int32_t counter_type_id;
    struct text_slice channel;
    struct text_slice key;
    struct text_slice label;
    struct text_slice text; /* reason, token */
};

#define COMMAND_FLAG_REVOKE 1u

int command_decode(struct command *command, int32_t type, const uint8_t *payload, int32_t length);
int32_t command_encode(const struct command *command, uint8_t *payload, int32_t capacity);

/* One response; both sides of the fence use the same struct. */
struct response {
    int32_t type;
    int64_t correlation_id;  /* also: client id of CLIENT_TIMEOUT, registration id of counters and
                                of PUBLICATION_ERROR, image correlation id */
    int64_t registration_id; /* original registration id; subscription of an image; destination id
                                of PUBLICATION_ERROR */
    int32_t session_id;
    int32_t stream_id;
    int32_t counter_id; /* limit, position or the counter itself */
    int32_t channel_status_id;
    int32_t error_code;
    int64_t receiver_id; /* PUBLICATION_ERROR */
    int64_t group_tag;
    int16_t address_type; /* 1 IPv4, 2 IPv6, 0 none */
    uint16_t address_port;
    uint8_t address[16];
    struct text_slice text; /* log file path, channel of UNAVAILABLE_IMAGE, or error text */
    struct text_slice source_identity;
};

int response_decode(struct response *response, int32_t type, const uint8_t *payload,
                    int32_t length);
int32_t response_encode(const struct response *response, uint8_t *payload, int32_t capacity);

#endif

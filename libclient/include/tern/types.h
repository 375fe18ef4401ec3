/* Names that every header of the client shares: the opaque handles, the refusals of the data path,
 * and the function types of handlers. Include <tern/client.h>, which includes this and the rest.
 */
#ifndef TERN_TYPES_H
#define TERN_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_context tern_context;
typedef struct tern_client tern_client;
typedef struct tern_async tern_async;
typedef struct tern_publication tern_publication;
typedef struct tern_exclusive_publication tern_exclusive_publication;
typedef struct tern_subscription tern_subscription;
typedef struct tern_image tern_image;
typedef struct tern_header tern_header;
typedef struct tern_counter tern_counter;
typedef struct tern_counters_reader tern_counters_reader;
typedef struct tern_cnc tern_cnc;

/* What offer, offerv, try_claim, append_padding and offer_block return instead of a position
 * (shared-memory.md 5.2). None of them comes with a text; all but CLOSED, MAX_POSITION and ERROR
 * say "try again". */
enum tern_publication_result {
    TERN_PUBLICATION_NOT_CONNECTED = -1,  /* no subscriber is there to take it */
    TERN_PUBLICATION_BACK_PRESSURED = -2, /* subscribers are there, but too far behind */
    TERN_PUBLICATION_ADMIN_ACTION = -3,   /* the log was just rotated: call again at once */
    TERN_PUBLICATION_CLOSED = -4,         /* the handle or its client is closed */
    TERN_PUBLICATION_MAX_POSITION = -5,   /* the stream is at its end: make a new publication */
    TERN_PUBLICATION_ERROR = -6,          /* invalid argument, e.g. longer than allowed; offers
                                             look at it last, when there is room */
};

/* A short static text for one of the values above ("not connected"), "position" for a value >= 0,
 * "unknown result" for any other. Never NULL. Any thread. */
TERN_API const char *tern_publication_result_name(int64_t result);

/* Value of a channel status counter (shared-memory.md 6.3). */
enum tern_channel_status {
    TERN_CHANNEL_STATUS_INITIALISING = 0,
    TERN_CHANNEL_STATUS_ACTIVE = 1,
    TERN_CHANNEL_STATUS_ERRORED = -1, /* also: the handle is closed */
    TERN_CHANNEL_STATUS_CLOSING = 2,
};

/* Returns the reserved value of a frame about to be committed. `frame` points to its header, the
 * payload follows at frame + 32; frame_length counts both (shared-memory.md 5.4). Called on the
 * offering thread, once per fragment; it must not call back into the publication. */
typedef int64_t (*tern_reserved_value_supplier)(void *context, uint8_t *frame,
                                                int32_t frame_length);

/* One fragment (or, below an assembler, one message): `length` >= 0 bytes of payload, without the
 * frame's header (shared-memory.md 5.15). `buffer` and `header` are valid during the call only.
 * Called on the polling thread; it may offer, but must not close the subscription that
 * is being polled, nor release the last reference to the image. */
typedef void (*tern_fragment_handler)(void *context, const uint8_t *buffer, int32_t length,
                                      const tern_header *header);

/* What becomes of a fragment (shared-memory.md 5.15). */
enum tern_controlled_action {
    TERN_ACTION_ABORT = 1,    /* do not consume this fragment; stop; it is delivered again */
    TERN_ACTION_BREAK = 2,    /* consume it, then stop */
    TERN_ACTION_COMMIT = 3,   /* consume it, publish the position now, go on */
    TERN_ACTION_CONTINUE = 4, /* consume it, go on; the position is published at the end */
};

/* As tern_fragment_handler, and says how the poll is to go on. */
typedef enum tern_controlled_action (*tern_controlled_fragment_handler)(void *context,
                                                                        const uint8_t *buffer,
                                                                        int32_t length,
                                                                        const tern_header *header);

/* A run of whole frames of one term, headers included (shared-memory.md 5.15, block poll). A
 * padding frame comes alone: look at the type in its header. `length` counts bytes. Valid during
 * the call only, on the polling thread. */
typedef void (*tern_block_handler)(void *context, const uint8_t *block, int32_t length,
                                   int32_t session_id, int32_t term_id);

/* A block as it stands in the log's file, for copying or sending it on without touching the memory
 * (shared-memory.md 5.15, raw poll). */
struct tern_raw_block {
    int descriptor;       /* of the log file, read only; belongs to the library */
    int64_t file_offset;  /* of the first frame's header */
    const uint8_t *block; /* the same, mapped */
    int32_t length;       /* bytes */
    int32_t session_id;
    int32_t term_id;
};
/* As tern_block_handler; the block is valid during the call only. */
typedef void (*tern_raw_block_handler)(void *context, const struct tern_raw_block *block);

/* Called for each image on the visiting thread; the image is valid during the call,
 * tern_image_retain keeps it longer. */
typedef void (*tern_image_visitor)(void *context, tern_image *image);

/* An image came or went. Runs on the conductor (its own thread, or whoever calls
 * tern_client_do_work) with no lock held. The image is valid during the call; tern_image_retain
 * keeps it longer. It may use the asynchronous functions and close handles, but must not call a
 * blocking helper or tern_client_close. After tern_subscription_close returned, the handlers of
 * that subscription are not called any more. */
typedef void (*tern_image_handler)(void *context, tern_subscription *subscription,
                                   tern_image *image);

/* A counter of any client or of the driver became allocated or was freed. Conductor, as above. */
typedef void (*tern_counter_handler)(void *context, const tern_counters_reader *counters,
                                     int64_t registration_id, int32_t counter_id);

/* The driver confirmed an add of this client. `session_id` is 0 for subscriptions;
 * `registration_id` is that of the handle. Conductor, as above, before the poll of the request
 * returns 1; `channel` is valid during the call. */
typedef void (*tern_added_handler)(void *context, const char *channel, int32_t stream_id,
                                   int32_t session_id, int64_t registration_id);

/* The conductor's thread has started and calls this first, e.g. to name or pin itself. */
typedef void (*tern_thread_start_handler)(void *context);

/* Something failed that no caller is waiting for: a channel endpoint error, a lapped response
 * buffer, the end of the client. `text` is valid during the call. Conductor, as above. */
typedef void (*tern_error_handler)(void *context, int code, const char *text);

/* A receiver refused a publication's image (shared-memory.md 3.2, response 0x0F0C). */
struct tern_publication_error {
    int64_t registration_id;             /* original registration id of the publication */
    int64_t destination_registration_id; /* -1: none */
    int32_t session_id;
    int32_t stream_id;
    int64_t receiver_id;
    int64_t group_tag;    /* -1: none */
    int16_t address_type; /* 1 IPv4, 2 IPv6, 0 none */
    uint16_t source_port;
    uint8_t source_address[16]; /* network order; IPv4 uses the first 4 */
    int error_code;             /* shared-memory.md 3.3, e.g. 13 image rejected */
    const char *text;           /* NUL-terminated, valid during the call */
};
/* Conductor, as above; `error` is valid during the call. */
typedef void (*tern_publication_error_handler)(void *context,
                                               const struct tern_publication_error *error);

/* The client ended; tern_client_status says why. Conductor, as above. */
typedef void (*tern_close_handler)(void *context, tern_client *client);

#ifdef __cplusplus
}
#endif

#endif

/* Log buffer files: three terms and a metadata page (shared-memory.md 4), and the arithmetic of
 * positions. The two conversions between position and (term id, offset) exist only here. */
#ifndef TERN_SHM_LOG_BUFFER_H
#define TERN_SHM_LOG_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/mapped_file.h"

#define LOG_PARTITION_COUNT 3
#define LOG_TERM_LENGTH_MIN 65536
#define LOG_TERM_LENGTH_MAX 1073741824
#define LOG_PAGE_SIZE_MIN 4096
#define LOG_PAGE_SIZE_MAX 1073741824
#define LOG_METADATA_LENGTH 4096
#define LOG_FRAME_ALIGNMENT 32
#define LOG_FRAME_HEADER_LENGTH 32
#define LOG_MTU_LENGTH_MAX 65504
#define LOG_MESSAGE_LENGTH_MAX 16777216
#define LOG_EOS_UNKNOWN INT64_MAX

enum log_type { LOG_TYPE_CONCURRENT = 0, LOG_TYPE_EXCLUSIVE = 1, LOG_TYPE_IMAGE = 2 };

/* The data frame header, in a term and on the wire (5.1). */
struct frame_header {
    int32_t frame_length; /* acquire / release; <= 0: not committed */
    uint8_t version;
    uint8_t flags;
    uint16_t type;
    int32_t term_offset;
    int32_t session_id;
    int32_t stream_id;
    int32_t term_id;
    int64_t reserved_value;
};

enum frame_flag {
    FRAME_FLAG_BEGIN = 0x80,
    FRAME_FLAG_END = 0x40,
    FRAME_FLAG_UNFRAGMENTED = 0xC0,
    FRAME_FLAG_EOS = 0x20,
    FRAME_FLAG_REVOKED = 0x10,
};

enum frame_type {
    FRAME_TYPE_PAD = 0,
    FRAME_TYPE_DATA = 1,
    FRAME_TYPE_NAK = 2,
    FRAME_TYPE_SM = 3,
    FRAME_TYPE_ERR = 4,
    FRAME_TYPE_SETUP = 5,
    FRAME_TYPE_RTTM = 6,
    FRAME_TYPE_RES = 7,
    FRAME_TYPE_RSP_SETUP = 11,
    FRAME_TYPE_EXT = 0xFFFF,
};

/* 4.2; packed because offset 500 is only 4-aligned. Every other field is naturally aligned. */
struct log_metadata {
    int64_t raw_tails[LOG_PARTITION_COUNT];
    int32_t active_term_count;
    uint8_t pad1[100];
    int64_t end_of_stream_position; /* 128 */
    int32_t is_connected;           /* 136 */
    int32_t active_transport_count;
    uint8_t pad2[48];
    /* Padding to all others, zero when they made the log: log_wake.h and log_clearing.h. On a line
     * of their own. */
    int32_t sleeper; /* 192 */
    int32_t waking_writers;
    int32_t writers;
    int32_t clearing;
    uint8_t pad5[48];
    int64_t correlation_id; /* 256 */
    int32_t initial_term_id;
    int32_t default_header_length;
    int32_t mtu_length;
    int32_t term_length;
    int32_t page_size;
    int32_t publication_window_length;
    int32_t receiver_window_length;
    int32_t socket_sndbuf_length;
    int32_t os_default_sndbuf_length;
    int32_t os_max_sndbuf_length;
    int32_t socket_rcvbuf_length;
    int32_t os_default_rcvbuf_length;
    int32_t os_max_rcvbuf_length;
    int32_t max_resend;
    uint8_t default_header[128]; /* 320 */
    int64_t entity_tag;          /* 448 */
    int64_t response_correlation_id;
    int64_t linger_timeout_ns;
    int64_t untethered_window_limit_timeout_ns;
    int64_t untethered_resting_timeout_ns;
    uint8_t group; /* 488 */
    uint8_t is_response;
    uint8_t rejoin;
    uint8_t reliable;
    uint8_t sparse;
    uint8_t signal_eos;
    uint8_t spies_simulate_connection;
    uint8_t tether;
    uint8_t is_publication_revoked; /* 496 */
    uint8_t log_type;
    uint8_t pad3[2];
    uint8_t untethered_linger_timeout_ns[8]; /* 500: i64, use get_i64/put_i64 */
    uint8_t pad4[4096 - 508];
};

_Static_assert(sizeof(struct frame_header) == 32, "frame header");
_Static_assert(sizeof(struct log_metadata) == LOG_METADATA_LENGTH, "log metadata");
_Static_assert(offsetof(struct log_metadata, end_of_stream_position) == 128, "eos");
_Static_assert(offsetof(struct log_metadata, is_connected) == 136, "connected");
_Static_assert(offsetof(struct log_metadata, sleeper) == 192, "sleeper");
_Static_assert(offsetof(struct log_metadata, correlation_id) == 256, "correlation id");
_Static_assert(offsetof(struct log_metadata, term_length) == 276, "term length");
_Static_assert(offsetof(struct log_metadata, max_resend) == 316, "max resend");
_Static_assert(offsetof(struct log_metadata, default_header) == 320, "default header");
_Static_assert(offsetof(struct log_metadata, entity_tag) == 448, "entity tag");
_Static_assert(offsetof(struct log_metadata, group) == 488, "group");
_Static_assert(offsetof(struct log_metadata, is_publication_revoked) == 496, "revoked");
_Static_assert(offsetof(struct log_metadata, untethered_linger_timeout_ns) == 500, "linger");

/* A mapped log. The geometry is copied and validated at open, so nobody trusts the file later. */
struct log_buffer {
    struct mapped_file file;
    uint8_t *terms[LOG_PARTITION_COUNT];
    struct log_metadata *metadata;
    int32_t term_length;
    int32_t position_bits;
    int32_t initial_term_id;
    int32_t mtu_length;
};

/* align(3T + 4096, P); the caller has validated T and P. */
int64_t log_buffer_file_length(int32_t term_length, int32_t page_size);
bool log_term_length_is_valid(int64_t term_length);
bool log_page_size_is_valid(int64_t page_size);
bool log_mtu_is_valid(int64_t mtu_length);

struct log_buffer_params {
    const char *path;
    int32_t term_length;
    int32_t page_size;
    bool sparse;
    int32_t initial_term_id;
    int32_t mtu_length;
    int32_t active_term_id; /* start position; equal to initial_term_id and offset 0 when fresh */
    int32_t term_offset;
    int32_t session_id;
    int32_t stream_id;
    int64_t correlation_id;
    enum log_type type;
};

/* Driver: create the file and write tails, geometry, ids, default header, end-of-stream "unknown";
 * the informative fields are the caller's to fill before it announces the log. */
int log_buffer_create(struct log_buffer *log, const struct log_buffer_params *params,
                      struct tern_error *error);
/* The two halves of it: what takes time and may fail, of which only path, term length and storage
 * are needed, and the rest of the metadata. In between only closing is allowed. */
struct log_buffer_storage {
    int32_t page_size;
    bool sparse;
};
int log_buffer_allocate(struct log_buffer *log, const char *path, int32_t term_length,
                        const struct log_buffer_storage *storage, struct tern_error *error);
/* The fields of `params` that describe the file are not looked at. */
void log_buffer_format(struct log_buffer *log, const struct log_buffer_params *params);
/* Map an existing log and validate its metadata. */
int log_buffer_open(struct log_buffer *log, const char *path, struct tern_error *error);
void log_buffer_close(struct log_buffer *log);

static inline int32_t log_term_count(int32_t term_id, int32_t initial_term_id) {
    return wrapping_sub_i32(term_id, initial_term_id);
}
static inline int32_t log_partition_index(int32_t term_count) {
    return (int32_t)((uint32_t)term_count % LOG_PARTITION_COUNT);
}
static inline int64_t log_position(int32_t term_id, int32_t term_offset, int32_t position_bits,
                                   int32_t initial_term_id) {
    int64_t term_count = (int64_t)(uint32_t)log_term_count(term_id, initial_term_id);
    return (term_count << position_bits) + term_offset;
}
static inline int32_t log_term_id_of(int64_t position, int32_t position_bits,
                                     int32_t initial_term_id) {
    return wrapping_add_i32(initial_term_id, (int32_t)(uint32_t)(position >> position_bits));
}
static inline int32_t log_term_offset_of(int64_t position, int32_t term_length) {
    return (int32_t)(position & (term_length - 1));
}
static inline int32_t log_index_of(int64_t position, int32_t position_bits) {
    return (int32_t)((uint64_t)(position >> position_bits) % LOG_PARTITION_COUNT);
}
static inline int64_t log_raw_tail(int32_t term_id, int32_t term_offset) {
    return (int64_t)(((uint64_t)(uint32_t)term_id << 32) | (uint32_t)term_offset);
}
static inline int32_t log_raw_tail_term_id(int64_t raw_tail) {
    return (int32_t)(raw_tail >> 32);
}
static inline int32_t log_raw_tail_offset(int64_t raw_tail, int32_t term_length) {
    return (int32_t)min_i64(raw_tail & INT64_C(0xFFFFFFFF), term_length);
}
static inline int64_t log_position_max(int32_t term_length) {
    return (int64_t)term_length << 31;
}
static inline int32_t log_message_length_max(int32_t term_length) {
    return min_i32(term_length / 8, LOG_MESSAGE_LENGTH_MAX);
}
static inline int32_t log_aligned_frame_length(int32_t frame_length) {
    return align_i32(frame_length, LOG_FRAME_ALIGNMENT);
}
/* Bytes that a message of `length` occupies as fragments of `payload_max` (4.3). */
int64_t log_fragmented_length(int64_t length, int32_t payload_max);

/* 5.11: position of the producer of a concurrent or exclusive log. */
int64_t log_producer_position(const struct log_buffer *log);

/* 5.7: move the log to the term after `term_id`; safe to be called by several threads. */
bool log_rotate(struct log_metadata *metadata, int32_t term_count, int32_t term_id);

#endif

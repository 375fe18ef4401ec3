/* Sending: shared and exclusive publications (shared-memory.md 5.2 to 5.9, 9.3).
 *
 * A tern_publication may be offered to by any number of threads at once; several handles of one
 * client and of other clients can share its log. A tern_exclusive_publication has its own session
 * and one writer: offer, claim and the other appending functions by one thread at a time. The
 * query functions of both are safe on any thread. Both belong to the caller until closed.
 *
 * Appending functions return the new stream position (> 0) or a value of enum
 * tern_publication_result. They never block, allocate, lock or call the system.
 */
#ifndef TERN_PUBLICATION_H
#define TERN_PUBLICATION_H

#include <sys/uio.h>

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A message being written in place. Filled by try_claim; then write at most `length` bytes at
 * `data` and commit or abort, soon: until then no subscriber sees anything behind it. The claim
 * must be ended before its publication is closed. */
struct tern_buffer_claim {
    uint8_t *data;
    int32_t length;
    void *frame; /* private */
    void *log;   /* private */
};

/* Publish the claimed message. Any thread, once. */
TERN_API void tern_buffer_claim_commit(struct tern_buffer_claim *claim);
/* Give the claimed space up; subscribers skip it. Any thread, once. */
TERN_API void tern_buffer_claim_abort(struct tern_buffer_claim *claim);
/* Set the reserved value, before commit; the default is 0. */
TERN_API void tern_buffer_claim_set_reserved_value(struct tern_buffer_claim *claim, int64_t value);
/* Set the flags, before commit; the default is 0xC0, a whole message (shared-memory.md 5.1). */
TERN_API void tern_buffer_claim_set_flags(struct tern_buffer_claim *claim, uint8_t flags);

/* What does not change during a publication's life. Strings live as long as the handle. */
struct tern_publication_constants {
    const char *channel;
    int64_t registration_id;          /* of this handle */
    int64_t original_registration_id; /* of the log, shared by its handles */
    int64_t position_max;             /* term length << 31 */
    int32_t stream_id;
    int32_t session_id;
    int32_t initial_term_id;
    int32_t term_length;
    int32_t position_bits;      /* log2 of the term length */
    int32_t mtu_length;         /* bytes, with the 32-byte frame header */
    int32_t payload_length_max; /* bytes in one fragment, and limit of try_claim */
    int32_t message_length_max; /* bytes in one offer */
    int32_t position_limit_counter_id;
    int32_t channel_status_counter_id; /* -1: IPC */
};

/* Shared publications. */

/* Send `length` bytes as one message, in fragments when longer than payload_length_max. 0 bytes are
 * a message, too; more than message_length_max are an ERROR. The bytes are copied. */
TERN_API int64_t tern_publication_offer(tern_publication *publication, const void *buffer,
                                        int32_t length);
/* Send the concatenation of `count` parts; `supplier` (NULL: reserved value 0) is asked for the
 * reserved value of each fragment. Length and copying as above. */
TERN_API int64_t tern_publication_offerv(tern_publication *publication, const struct iovec *parts,
                                         int count, tern_reserved_value_supplier supplier,
                                         void *supplier_context);
/* Claim space for one fragment of `length` <= payload_length_max bytes (else ERROR, before anything
 * else is looked at). *claim is filled on success only. */
TERN_API int64_t tern_publication_try_claim(tern_publication *publication, int32_t length,
                                            struct tern_buffer_claim *claim);

/* Position of the producer: bytes appended since the stream's start, by all handles of the log. Or
 * TERN_PUBLICATION_CLOSED. */
TERN_API int64_t tern_publication_position(const tern_publication *publication);
/* Offers are refused while the position has reached it; or TERN_PUBLICATION_CLOSED. */
TERN_API int64_t tern_publication_position_limit(const tern_publication *publication);
/* At least one subscriber is there (5.18). False when closed. */
TERN_API bool tern_publication_is_connected(const tern_publication *publication);
/* Its client ended; it never becomes false again. */
TERN_API bool tern_publication_is_closed(const tern_publication *publication);
/* A value of enum tern_channel_status; ACTIVE for IPC, ERRORED when closed. */
TERN_API int64_t tern_publication_channel_status(const tern_publication *publication);
/* Fill `constants`; the functions below say the same one by one. */
TERN_API void tern_publication_get_constants(const tern_publication *publication,
                                             struct tern_publication_constants *constants);
TERN_API const char *tern_publication_channel(const tern_publication *publication);
TERN_API int32_t tern_publication_stream_id(const tern_publication *publication);
TERN_API int32_t tern_publication_session_id(const tern_publication *publication);
TERN_API int64_t tern_publication_registration_id(const tern_publication *publication);
TERN_API int64_t tern_publication_original_registration_id(const tern_publication *publication);
TERN_API int32_t tern_publication_payload_length_max(const tern_publication *publication);
TERN_API int32_t tern_publication_message_length_max(const tern_publication *publication);

/* The local addresses of the channel's sockets as texts of at most TERN_ADDRESS_TEXT_MAX bytes with
 * the NUL: "a.b.c.d:port" or "[v6]:port" (6.3). Returns how many there are; at most `count_max` are
 * stored. 0 for IPC and while a socket is not bound. */
#define TERN_ADDRESS_TEXT_MAX 64
TERN_API int tern_publication_local_addresses(const tern_publication *publication,
                                              char (*addresses)[TERN_ADDRESS_TEXT_MAX],
                                              int count_max);

/* Multi-destination publications with control-mode=manual (3.4). NULL on failure, as for
 * tern_client_async_add_publication; the channel is copied. Poll with tern_async_poll_destination;
 * tern_async_registration_id of an add is the destination's id. A destination is removed by the
 * channel that it was added with, or by its id. */
TERN_API tern_async *tern_publication_async_add_destination(tern_publication *publication,
                                                            const char *channel,
                                                            struct tern_error *error);
TERN_API tern_async *tern_publication_async_remove_destination(tern_publication *publication,
                                                               const char *channel,
                                                               struct tern_error *error);
TERN_API tern_async *tern_publication_async_remove_destination_by_id(tern_publication *publication,
                                                                     int64_t destination_id,
                                                                     struct tern_error *error);

/* Tell the driver and free the handle; other handles of the log go on. Subscribers still get what
 * was sent. Returns at once; NULL is allowed. */
TERN_API void tern_publication_close(tern_publication *publication);

/* Exclusive publications: as above where the name is the same. */
TERN_API int64_t tern_exclusive_publication_offer(tern_exclusive_publication *publication,
                                                  const void *buffer, int32_t length);
TERN_API int64_t tern_exclusive_publication_offerv(tern_exclusive_publication *publication,
                                                   const struct iovec *parts, int count,
                                                   tern_reserved_value_supplier supplier,
                                                   void *supplier_context);
TERN_API int64_t tern_exclusive_publication_try_claim(tern_exclusive_publication *publication,
                                                      int32_t length,
                                                      struct tern_buffer_claim *claim);
/* Append a padding frame of 32 + `length` bytes, rounded up to 32, which subscribers skip; length
 * <= message_length_max, else ERROR. */
TERN_API int64_t tern_exclusive_publication_append_padding(tern_exclusive_publication *publication,
                                                           int32_t length);
/* Whole frames of this very stream, e.g. read from a recording: the first must stand at the present
 * position with this session, stream and term id, and the block must end in the present term; else
 * TERN_PUBLICATION_ERROR. `length` bytes are copied. At the end of a term it rotates by itself. */
TERN_API int64_t tern_exclusive_publication_offer_block(tern_exclusive_publication *publication,
                                                        const void *block, int32_t length);
TERN_API int64_t tern_exclusive_publication_position(const tern_exclusive_publication *publication);
TERN_API int64_t
tern_exclusive_publication_position_limit(const tern_exclusive_publication *publication);
/* Bytes up to the limit, 0 when beyond it, or TERN_PUBLICATION_CLOSED. */
TERN_API int64_t
tern_exclusive_publication_available_window(const tern_exclusive_publication *publication);
TERN_API bool
tern_exclusive_publication_is_connected(const tern_exclusive_publication *publication);
TERN_API bool tern_exclusive_publication_is_closed(const tern_exclusive_publication *publication);
TERN_API int64_t
tern_exclusive_publication_channel_status(const tern_exclusive_publication *publication);
TERN_API void
tern_exclusive_publication_get_constants(const tern_exclusive_publication *publication,
                                         struct tern_publication_constants *constants);
TERN_API const char *
tern_exclusive_publication_channel(const tern_exclusive_publication *publication);
TERN_API int32_t
tern_exclusive_publication_stream_id(const tern_exclusive_publication *publication);
TERN_API int32_t
tern_exclusive_publication_session_id(const tern_exclusive_publication *publication);
TERN_API int64_t
tern_exclusive_publication_registration_id(const tern_exclusive_publication *publication);
TERN_API int64_t
tern_exclusive_publication_original_registration_id(const tern_exclusive_publication *publication);
TERN_API int32_t
tern_exclusive_publication_payload_length_max(const tern_exclusive_publication *publication);
TERN_API int32_t
tern_exclusive_publication_message_length_max(const tern_exclusive_publication *publication);
TERN_API int
tern_exclusive_publication_local_addresses(const tern_exclusive_publication *publication,
                                           char (*addresses)[TERN_ADDRESS_TEXT_MAX], int count_max);
TERN_API tern_async *
tern_exclusive_publication_async_add_destination(tern_exclusive_publication *publication,
                                                 const char *channel, struct tern_error *error);
TERN_API tern_async *
tern_exclusive_publication_async_remove_destination(tern_exclusive_publication *publication,
                                                    const char *channel, struct tern_error *error);
TERN_API tern_async *tern_exclusive_publication_async_remove_destination_by_id(
    tern_exclusive_publication *publication, int64_t destination_id, struct tern_error *error);
TERN_API void tern_exclusive_publication_close(tern_exclusive_publication *publication);
/* Make tern_exclusive_publication_close do as tern_exclusive_publication_revoke, or not (default).
 * Writer's thread. */
TERN_API void
tern_exclusive_publication_set_revoke_on_close(tern_exclusive_publication *publication,
                                               bool revoke);
/* Close, as tern_exclusive_publication_close, and tell every subscriber to stop reading at once,
 * unread data or not (5.14). NULL is allowed. */
TERN_API void tern_exclusive_publication_revoke(tern_exclusive_publication *publication);

#ifdef __cplusplus
}
#endif

#endif

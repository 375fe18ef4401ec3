/* Exclusive publications: one writer on its own log (shared-memory.md 5.9).
 *
 * The writer keeps term, offset and begin position in the handle and never reads the shared tail,
 * so an offer is a limit check, a tail store and the frame itself. One thread at a time appends.
 */
#include "client/publication.h"
#include "shm/append_short.h"

static inline int64_t writer_position(const tern_exclusive_publication *publication) {
    return publication->state.term_begin_position + publication->state.term_offset;
}

/* 0 when something may be appended, else the refusal. */
static inline int64_t admit(const tern_exclusive_publication *publication, int64_t length) {
    const struct client_publication *base = &publication->base;
    if (UNLIKELY(load_acquire_i32(&base->is_closed) != 0)) {
        return TERN_PUBLICATION_CLOSED;
    }
    int64_t position = writer_position(publication);
    if (UNLIKELY(position >= load_acquire_i64(base->limit))) {
        return client_publication_refusal(base, position, length);
    }
    return 0;
}

static NOINLINE int64_t append_long(tern_exclusive_publication *publication, const void *buffer,
                                    int32_t length) {
    /* iovec has no const; the appender only reads. */
    struct iovec part = {(void *)(uintptr_t)buffer, (size_t)length};
    return client_publication_committed(&publication->base,
                                        exclusive_append_message(&publication->base.appender,
                                                                 &publication->state, &part, 1,
                                                                 length, NULL, NULL));
}

int64_t tern_exclusive_publication_offer(tern_exclusive_publication *publication,
                                         const void *buffer, int32_t length) {
    const struct term_appender *appender = &publication->base.appender;
    int64_t refusal = admit(publication, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    if (LIKELY(buffer != NULL)) {
        int64_t position = exclusive_append_short(appender, &publication->state, buffer, length);
        if (LIKELY(position > 0)) {
            log_wake(publication->base.metadata);
            return position;
        }
    }
    if (UNLIKELY(length < 0 || length > appender->message_length_max ||
                 (buffer == NULL && length > 0))) {
        return TERN_PUBLICATION_ERROR;
    }
    return append_long(publication, buffer, length);
}

int64_t tern_exclusive_publication_offerv(tern_exclusive_publication *publication,
                                          const struct iovec *parts, int count,
                                          tern_reserved_value_supplier supplier,
                                          void *supplier_context) {
    const struct term_appender *appender = &publication->base.appender;
    int64_t length = client_vector_length(parts, count, appender->message_length_max);
    int64_t refusal = admit(publication, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    if (UNLIKELY(length < 0)) {
        return TERN_PUBLICATION_ERROR;
    }
    return client_publication_committed(
        &publication->base, exclusive_append_message(appender, &publication->state, parts, count,
                                                     length, supplier, supplier_context));
}

int64_t tern_exclusive_publication_try_claim(tern_exclusive_publication *publication,
                                             int32_t length, struct tern_buffer_claim *claim) {
    const struct term_appender *appender = &publication->base.appender;
    if (UNLIKELY(length < 0 || length > appender->payload_length_max)) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t refusal = admit(publication, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    struct frame_header *frame = NULL;
    int64_t position = client_publication_result(
        exclusive_append_claim(appender, &publication->state, length, &frame));
    if (position > 0) {
        *claim = (struct tern_buffer_claim){(uint8_t *)(frame + 1), length, frame,
                                            publication->base.metadata};
    }
    return position;
}

int64_t tern_exclusive_publication_append_padding(tern_exclusive_publication *publication,
                                                  int32_t length) {
    const struct term_appender *appender = &publication->base.appender;
    int64_t refusal = admit(publication, length);
    if (refusal != 0) {
        return refusal;
    }
    if (length < 0 || length > appender->message_length_max) {
        return TERN_PUBLICATION_ERROR;
    }
    return client_publication_committed(
        &publication->base, exclusive_append_padding(appender, &publication->state, length));
}

int64_t tern_exclusive_publication_offer_block(tern_exclusive_publication *publication,
                                               const void *block, int32_t length) {
    if (block == NULL) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t refusal = admit(publication, length);
    if (refusal != 0) {
        return refusal;
    }
    return client_publication_committed(
        &publication->base,
        exclusive_append_block(&publication->base.appender, &publication->state, block, length));
}

int64_t tern_exclusive_publication_position(const tern_exclusive_publication *publication) {
    return client_publication_position(&publication->base);
}

int64_t tern_exclusive_publication_position_limit(const tern_exclusive_publication *publication) {
    return client_publication_limit(&publication->base);
}

int64_t tern_exclusive_publication_available_window(const tern_exclusive_publication *publication) {
    int64_t position = client_publication_position(&publication->base);
    if (position < 0) {
        return position;
    }
    return max_i64(0, load_acquire_i64(publication->base.limit) - position);
}

bool tern_exclusive_publication_is_connected(const tern_exclusive_publication *publication) {
    return client_publication_is_connected(&publication->base);
}

bool tern_exclusive_publication_is_closed(const tern_exclusive_publication *publication) {
    return load_acquire_i32(&publication->base.is_closed) != 0;
}

int64_t tern_exclusive_publication_channel_status(const tern_exclusive_publication *publication) {
    return client_publication_status(&publication->base);
}

void tern_exclusive_publication_get_constants(const tern_exclusive_publication *publication,
                                              struct tern_publication_constants *constants) {
    client_publication_constants(&publication->base, constants);
}

const char *tern_exclusive_publication_channel(const tern_exclusive_publication *publication) {
    return publication->base.channel;
}

int32_t tern_exclusive_publication_stream_id(const tern_exclusive_publication *publication) {
    return publication->base.appender.stream_id;
}

int32_t tern_exclusive_publication_session_id(const tern_exclusive_publication *publication) {
    return publication->base.appender.session_id;
}

int64_t tern_exclusive_publication_registration_id(const tern_exclusive_publication *publication) {
    return publication->base.registration_id;
}

int64_t
tern_exclusive_publication_original_registration_id(const tern_exclusive_publication *publication) {
    return publication->base.original_registration_id;
}

int32_t
tern_exclusive_publication_payload_length_max(const tern_exclusive_publication *publication) {
    return publication->base.appender.payload_length_max;
}

int32_t
tern_exclusive_publication_message_length_max(const tern_exclusive_publication *publication) {
    return publication->base.appender.message_length_max;
}

int tern_exclusive_publication_local_addresses(const tern_exclusive_publication *publication,
                                               char (*addresses)[TERN_ADDRESS_TEXT_MAX],
                                               int count_max) {
    const struct client_publication *base = &publication->base;
    return client_local_addresses(base->client, base->channel_status_id, addresses, count_max);
}

tern_async *
tern_exclusive_publication_async_add_destination(tern_exclusive_publication *publication,
                                                 const char *channel, struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_ADD_DESTINATION, .channel.text = channel}, error);
}

tern_async *
tern_exclusive_publication_async_remove_destination(tern_exclusive_publication *publication,
                                                    const char *channel, struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_REMOVE_DESTINATION, .channel.text = channel}, error);
}

tern_async *tern_exclusive_publication_async_remove_destination_by_id(
    tern_exclusive_publication *publication, int64_t destination_id, struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_REMOVE_DESTINATION_BY_ID,
                          .destination_id = destination_id},
        error);
}

void tern_exclusive_publication_set_revoke_on_close(tern_exclusive_publication *publication,
                                                    bool revoke) {
    publication->is_revoked_on_close = revoke;
}

void tern_exclusive_publication_close(tern_exclusive_publication *publication) {
    bool is_revoked = publication != NULL && publication->is_revoked_on_close;
    client_publication_close((struct client_publication *)publication,
                             is_revoked ? COMMAND_FLAG_REVOKE : 0);
}

void tern_exclusive_publication_revoke(tern_exclusive_publication *publication) {
    client_publication_close((struct client_publication *)publication, COMMAND_FLAG_REVOKE);
}

/* Shared publications: many writers on one log (shared-memory.md 5.3 to 5.8).
 *
 * The data path reads three words that others write: is_closed (conductor of this client), the
 * limit counter (driver) and the raw tail (all writers). Everything else of the handle is constant.
 * As in 5.3, closed and the limit come before a message that is too long, so an answer of -6 is for
 * an open publication with room; only a claim's length is looked at first (5.8).
 */
#include "client/publication.h"
#include "shm/append_short.h"

/* Steps 1 to 4 and 6 of 5.3: 0 when something may be appended, else the refusal. */
static inline int64_t admit(const struct client_publication *publication, int64_t length) {
    if (UNLIKELY(load_acquire_i32(&publication->is_closed) != 0)) {
        return TERN_PUBLICATION_CLOSED;
    }
    const struct log_buffer *log = publication->appender.log;
    int64_t limit = load_acquire_i64(publication->limit);
    int32_t term_count = load_acquire_i32(&publication->metadata->active_term_count);
    int64_t raw_tail =
        load_acquire_i64(&publication->metadata->raw_tails[log_partition_index(term_count)]);
    if (UNLIKELY(term_count !=
                 log_term_count(log_raw_tail_term_id(raw_tail), log->initial_term_id))) {
        return TERN_PUBLICATION_ADMIN_ACTION; /* another writer is rotating */
    }
    int64_t position = ((int64_t)(uint32_t)term_count << publication->position_bits) +
                       log_raw_tail_offset(raw_tail, log->term_length);
    if (UNLIKELY(position >= limit)) {
        return client_publication_refusal(publication, position, length);
    }
    return 0;
}

int64_t tern_publication_offer(tern_publication *publication, const void *buffer, int32_t length) {
    struct client_publication *base = &publication->base;
    int64_t refusal = admit(base, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    if (UNLIKELY(length < 0 || length > base->appender.message_length_max ||
                 (buffer == NULL && length > 0))) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t appended = term_append_short(&base->appender, buffer, length);
    if (UNLIKELY(appended == 0)) {
        /* iovec has no const; the appender only reads. */
        struct iovec part = {(void *)(uintptr_t)buffer, (size_t)length};
        appended = term_append_message(&base->appender, &part, 1, length, NULL, NULL);
    }
    return client_publication_committed(base, appended);
}

int64_t tern_publication_offerv(tern_publication *publication, const struct iovec *parts, int count,
                                tern_reserved_value_supplier supplier, void *supplier_context) {
    struct client_publication *base = &publication->base;
    int64_t length = client_vector_length(parts, count, base->appender.message_length_max);
    int64_t refusal = admit(base, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    if (UNLIKELY(length < 0)) {
        return TERN_PUBLICATION_ERROR;
    }
    return client_publication_committed(
        base,
        term_append_message(&base->appender, parts, count, length, supplier, supplier_context));
}

int64_t tern_publication_try_claim(tern_publication *publication, int32_t length,
                                   struct tern_buffer_claim *claim) {
    struct client_publication *base = &publication->base;
    if (UNLIKELY(length < 0 || length > base->appender.payload_length_max)) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t refusal = admit(base, length);
    if (UNLIKELY(refusal != 0)) {
        return refusal;
    }
    struct frame_header *frame = NULL;
    int64_t position =
        client_publication_result(term_append_claim(&base->appender, length, &frame));
    if (position > 0) {
        *claim = (struct tern_buffer_claim){(uint8_t *)(frame + 1), length, frame, base->metadata};
    }
    return position;
}

void tern_buffer_claim_commit(struct tern_buffer_claim *claim) {
    term_claim_commit(claim->frame);
    log_wake(claim->log);
    claim->frame = NULL;
}

void tern_buffer_claim_abort(struct tern_buffer_claim *claim) {
    term_claim_abort(claim->frame);
    log_wake(claim->log);
    claim->frame = NULL;
}

void tern_buffer_claim_set_reserved_value(struct tern_buffer_claim *claim, int64_t value) {
    ((struct frame_header *)claim->frame)->reserved_value = value;
}

void tern_buffer_claim_set_flags(struct tern_buffer_claim *claim, uint8_t flags) {
    ((struct frame_header *)claim->frame)->flags = flags;
}

int64_t tern_publication_position(const tern_publication *publication) {
    return client_publication_position(&publication->base);
}

int64_t tern_publication_position_limit(const tern_publication *publication) {
    return client_publication_limit(&publication->base);
}

bool tern_publication_is_connected(const tern_publication *publication) {
    return client_publication_is_connected(&publication->base);
}

bool tern_publication_is_closed(const tern_publication *publication) {
    return load_acquire_i32(&publication->base.is_closed) != 0;
}

int64_t tern_publication_channel_status(const tern_publication *publication) {
    return client_publication_status(&publication->base);
}

void tern_publication_get_constants(const tern_publication *publication,
                                    struct tern_publication_constants *constants) {
    client_publication_constants(&publication->base, constants);
}

const char *tern_publication_channel(const tern_publication *publication) {
    return publication->base.channel;
}

int32_t tern_publication_stream_id(const tern_publication *publication) {
    return publication->base.appender.stream_id;
}

int32_t tern_publication_session_id(const tern_publication *publication) {
    return publication->base.appender.session_id;
}

int64_t tern_publication_registration_id(const tern_publication *publication) {
    return publication->base.registration_id;
}

int64_t tern_publication_original_registration_id(const tern_publication *publication) {
    return publication->base.original_registration_id;
}

int32_t tern_publication_payload_length_max(const tern_publication *publication) {
    return publication->base.appender.payload_length_max;
}

int32_t tern_publication_message_length_max(const tern_publication *publication) {
    return publication->base.appender.message_length_max;
}

int tern_publication_local_addresses(const tern_publication *publication,
                                     char (*addresses)[TERN_ADDRESS_TEXT_MAX], int count_max) {
    const struct client_publication *base = &publication->base;
    return client_local_addresses(base->client, base->channel_status_id, addresses, count_max);
}

tern_async *tern_publication_async_add_destination(tern_publication *publication,
                                                   const char *channel, struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_ADD_DESTINATION, .channel.text = channel}, error);
}

tern_async *tern_publication_async_remove_destination(tern_publication *publication,
                                                      const char *channel,
                                                      struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_REMOVE_DESTINATION, .channel.text = channel}, error);
}

tern_async *tern_publication_async_remove_destination_by_id(tern_publication *publication,
                                                            int64_t destination_id,
                                                            struct tern_error *error) {
    return client_publication_destination(
        &publication->base,
        &(struct command){.type = COMMAND_REMOVE_DESTINATION_BY_ID,
                          .destination_id = destination_id},
        error);
}

void tern_publication_close(tern_publication *publication) {
    client_publication_close((struct client_publication *)publication, 0);
}

const char *tern_publication_result_name(int64_t result) {
    static const char *const names[] = {"position",     "not connected", "back pressured",
                                        "admin action", "closed",        "max position exceeded",
                                        "error"};
    int64_t index = result >= 0 ? 0 : -result;
    return index < (int64_t)ARRAY_COUNT(names) ? names[index] : "unknown result";
}

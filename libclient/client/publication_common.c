/* The part that shared and exclusive publications have in common: making the handle from the
 * driver's answer, closing it, and queries that look at the log's metadata or at counters.
 *
 * A handle is created by the conductor and belongs to the application afterwards. The registration
 * id is that of the handle, the original one that of the log: destinations are added to the latter
 * (shared-memory.md 3.1, note at 0x07), while removal names the former.
 */
#include "client/publication.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "client/request.h"

static int publication_bind(struct client_publication *publication, struct tern_client *client,
                            const struct response *ready, struct tern_error *error) {
    const int64_t *limit = counters_reader_address(&client->counters.reader, ready->counter_id);
    if (limit == NULL) {
        return error_set(
            error, TERN_ERROR_PROTOCOL,
            "publication %lld: the driver named limit counter %d, which is out of range",
            (long long)ready->correlation_id, ready->counter_id);
    }
    struct client_log *log =
        client_log_acquire(client, ready->registration_id, &ready->text, error);
    if (log == NULL) {
        return TERN_ERROR_PROTOCOL;
    }
    const struct log_buffer *buffer = &log->buffer;
    publication->log = log;
    publication->limit = limit;
    publication->metadata = buffer->metadata;
    publication->position_bits = buffer->position_bits;
    publication->position_max = log_position_max(buffer->term_length);
    term_appender_init(&publication->appender, buffer, ready->session_id, ready->stream_id);
    return 0;
}

int client_publication_create(struct client_publication **out, struct tern_client *client,
                              const struct response *ready, const char *channel,
                              struct tern_error *error) {
    bool is_exclusive = ready->type == RESPONSE_EXCLUSIVE_PUBLICATION_READY;
    struct client_publication *publication = memory_allocate_lines(
        is_exclusive ? sizeof(struct tern_exclusive_publication) : sizeof(struct tern_publication));
    char *copy = strdup(channel);
    int result = -ENOMEM;
    if (publication == NULL || copy == NULL ||
        hash_map_put(&client->publications, ready->correlation_id, publication) != 0) {
        (void)error_set(error, result, "no memory for publication %s", channel);
        goto fail;
    }
    publication->client = client;
    publication->channel = copy;
    publication->registration_id = ready->correlation_id;
    publication->original_registration_id = ready->registration_id;
    publication->limit_counter_id = ready->counter_id;
    publication->channel_status_id = ready->channel_status_id;
    result = publication_bind(publication, client, ready, error);
    if (result != 0) {
        (void)hash_map_remove(&client->publications, ready->correlation_id);
        goto fail;
    }
    if (is_exclusive) {
        exclusive_state_init(&((struct tern_exclusive_publication *)publication)->state,
                             &publication->log->buffer);
    }
    publication->is_waking = log_waking_writer_join(publication->metadata);
    client_retain(client);
    *out = publication;
    return 0;
fail:
    free(copy);
    free(publication);
    return result;
}

void client_publication_leave(struct client_publication *publication) {
    if (publication->is_waking) {
        publication->is_waking = false;
        log_waking_writer_leave(publication->metadata);
    }
}

void client_publication_close(struct client_publication *publication, uint64_t flags) {
    if (publication == NULL) {
        return;
    }
    struct tern_client *client = publication->client;
    client_lock(client);
    (void)hash_map_remove(&client->publications, publication->registration_id);
    client_publication_leave(publication);
    if (load_plain_i32(&client->is_closed) == 0) {
        client_send_reliably(client, &(struct command){
                                         .type = COMMAND_REMOVE_PUBLICATION,
                                         .client_id = client->id,
                                         .correlation_id = tern_client_next_correlation_id(client),
                                         .registration_id = publication->registration_id,
                                         .flags = flags,
                                     });
    }
    client_log_release(client, publication->log);
    client_unlock(client);
    free(publication->channel);
    free(publication);
    client_release(client);
}

void client_publication_constants(const struct client_publication *publication,
                                  struct tern_publication_constants *constants) {
    const struct log_buffer *buffer = publication->appender.log;
    *constants = (struct tern_publication_constants){
        .channel = publication->channel,
        .registration_id = publication->registration_id,
        .original_registration_id = publication->original_registration_id,
        .position_max = publication->position_max,
        .stream_id = publication->appender.stream_id,
        .session_id = publication->appender.session_id,
        .initial_term_id = buffer->initial_term_id,
        .term_length = buffer->term_length,
        .position_bits = buffer->position_bits,
        .mtu_length = buffer->mtu_length,
        .payload_length_max = publication->appender.payload_length_max,
        .message_length_max = publication->appender.message_length_max,
        .position_limit_counter_id = publication->limit_counter_id,
        .channel_status_counter_id = publication->channel_status_id,
    };
}

int64_t client_publication_status(const struct client_publication *publication) {
    return load_acquire_i32(&publication->is_closed) != 0
               ? TERN_CHANNEL_STATUS_ERRORED
               : client_channel_status(publication->client, publication->channel_status_id);
}

bool client_publication_is_connected(const struct client_publication *publication) {
    return load_acquire_i32(&publication->is_closed) == 0 &&
           load_acquire_i32(&publication->metadata->is_connected) == 1;
}

/* From the log's tails, so that it is right on any thread, also for an exclusive writer. */
int64_t client_publication_position(const struct client_publication *publication) {
    return load_acquire_i32(&publication->is_closed) != 0
               ? TERN_PUBLICATION_CLOSED
               : log_producer_position(publication->appender.log);
}

int64_t client_publication_limit(const struct client_publication *publication) {
    return load_acquire_i32(&publication->is_closed) != 0 ? TERN_PUBLICATION_CLOSED
                                                          : load_acquire_i64(publication->limit);
}

struct tern_async *client_publication_destination(struct client_publication *publication,
                                                  struct command *command,
                                                  struct tern_error *error) {
    command->registration_id = publication->original_registration_id;
    return client_request_destination(publication->client, command, error);
}

int64_t client_vector_length(const struct iovec *parts, int count, int32_t length_max) {
    if (count < 0 || (parts == NULL && count > 0)) {
        return -1;
    }
    int64_t length = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > (size_t)(length_max - length)) {
            return -1;
        }
        length += (int64_t)parts[i].iov_len;
    }
    return length;
}

/* The common part of IPC and network publications: log, counters, limit, unblocking, end.
 *
 * Whoever writes into the log sees the publisher limit in a counter and the connected flag in the
 * log's metadata; both are the conductor's decision. Readers rely on zeroes behind the producer, so
 * the log is always cleaned before the limit that lets a producer in is raised.
 */
#include "driverd/publication.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driverd/driver_context.h"
#include "driverd/log_agent.h"
#include "shm/log_clearing.h"
#include "shm/log_wake.h"
#include "shm/term_append.h"

static int64_t position_of(const struct publication_params *params) {
    return log_position(params->term_id, params->term_offset,
                        trailing_zero_bits(params->term_length), params->initial_term_id);
}

/* The fields that clients and tools may read, besides those of the log itself (4.2). */
static void fill_metadata(const struct publication *publication, bool is_group) {
    const struct publication_params *params = &publication->params;
    const struct driver_context *context = publication->context;
    struct log_metadata *metadata = publication->log->metadata;
    metadata->publication_window_length = params->window_length;
    metadata->socket_sndbuf_length = params->so_sndbuf_bytes;
    metadata->os_default_sndbuf_length = context->buffer_limits.sndbuf_default_bytes;
    metadata->socket_rcvbuf_length = params->so_rcvbuf_bytes;
    metadata->os_default_rcvbuf_length = context->buffer_limits.rcvbuf_default_bytes;
    metadata->max_resend = params->has_max_resend ? params->max_resend : 0;
    metadata->entity_tag = params->entity_tag;
    metadata->response_correlation_id = params->response_correlation_id;
    metadata->is_response = params->is_response;
    metadata->linger_timeout_ns = params->linger_timeout_ns;
    metadata->untethered_window_limit_timeout_ns = params->untethered_window_limit_timeout_ns;
    metadata->untethered_resting_timeout_ns = params->untethered_resting_timeout_ns;
    put_i64(metadata->untethered_linger_timeout_ns, params->untethered_linger_timeout_ns);
    metadata->group = is_group;
    metadata->signal_eos = params->signal_eos;
    metadata->spies_simulate_connection = params->spies_simulate_connection;
}

static void format_log(struct publication *publication, bool is_group) {
    const struct publication_params *params = &publication->params;
    const struct log_buffer_params log_params = {
        .initial_term_id = params->initial_term_id,
        .mtu_length = params->mtu_length,
        .active_term_id = params->term_id,
        .term_offset = params->term_offset,
        .session_id = publication->session_id,
        .stream_id = publication->stream_id,
        .correlation_id = publication->registration_id,
        .type = publication->is_exclusive ? LOG_TYPE_EXCLUSIVE : LOG_TYPE_CONCURRENT,
    };
    publication->log = &publication->file->log;
    assert(publication->log->term_length == params->term_length);
    log_buffer_format(publication->log, &log_params);
    fill_metadata(publication, is_group);
    if (publication->is_exclusive && publication->kind == PUBLICATION_NET &&
        publication->context->conf->offers_clearing) {
        log_clearing_offer(publication->log->metadata);
    }
}

static int allocate_counter(const struct publication *publication, enum counter_type type,
                            const char *name, int32_t *counter_id, struct tern_error *error) {
    const struct stream_counter_params params = {
        .type = type,
        .name = name,
        .registration_id = publication->registration_id,
        .key_id = publication->registration_id,
        .owner_id = publication->client_id,
        .session_id = publication->session_id,
        .stream_id = publication->stream_id,
        .channel = publication->channel,
        .initial_value = publication_start_position(publication),
    };
    *counter_id = driver_context_stream_counter(publication->context, &params, error);
    return *counter_id < 0 ? *counter_id : 0;
}

static int create_counters(struct publication *publication, struct tern_error *error) {
    const char *name = publication->is_exclusive ? "pub-pos (exclusive)" : "pub-pos (concurrent)";
    int result = allocate_counter(publication, COUNTER_TYPE_PUBLISHER_POSITION, name,
                                  &publication->position_counter_id, error);
    if (result == 0) {
        result = allocate_counter(publication, COUNTER_TYPE_PUBLISHER_LIMIT, "pub-lmt",
                                  &publication->limit_counter_id, error);
    }
    if (result < 0) {
        return result;
    }
    struct driver_context *context = publication->context;
    publication->position_address =
        driver_context_counter(context, publication->position_counter_id);
    publication->limit_address = driver_context_counter(context, publication->limit_counter_id);
    return 0;
}

static void set_identity(struct publication *publication, struct driver_context *context,
                         const struct publication_spec *spec) {
    *publication = (struct publication){
        .context = context,
        .kind = spec->kind,
        .registration_id = spec->registration_id,
        .client_id = spec->client_id,
        .session_id = spec->session_id,
        .stream_id = spec->stream_id,
        .is_exclusive = spec->is_exclusive,
        .params = *spec->params,
        .channel = strdup(spec->channel),
        .file = spec->file,
        .state = PUBLICATION_STATE_ACTIVE,
        .state_time_ns = context->now_ns,
        .position_counter_id = COUNTER_NULL_ID,
        .limit_counter_id = COUNTER_NULL_ID,
    };
    struct publication_params *params = &publication->params;
    if (!params->has_position) {
        params->initial_term_id = random_i32(context->io.random);
        params->term_id = params->initial_term_id;
        params->term_offset = 0;
    }
    publication->clean_position = publication_start_position(publication);
    publication->limit = publication->clean_position;
    publication->unblock_position = publication->clean_position;
    publication->unblock_time_ns = context->now_ns;
}

int publication_init(struct publication *publication, struct driver_context *context,
                     const struct publication_spec *spec, struct tern_error *error) {
    set_identity(publication, context, spec);
    if (publication->channel == NULL) {
        publication_close(publication);
        return error_set(error, -ENOMEM, "no memory for a publication");
    }
    format_log(publication, spec->is_group);
    int result = create_counters(publication, error);
    if (result < 0) {
        publication_close(publication);
        return result;
    }
    publication->subscribers = (struct subscribable){
        .context = context,
        .id = publication->registration_id,
        .session_id = publication->session_id,
        .stream_id = publication->stream_id,
        .log_path = publication->file->path,
        .source_identity = SUBSCRIBABLE_CHANNEL_IPC,
    };
    return 0;
}

void publication_close(struct publication *publication) {
    if (publication->context == NULL) {
        return;
    }
    if (publication->subscribers.context != NULL) {
        subscribable_close(&publication->subscribers);
    }
    driver_context_free_counter(publication->context, &publication->position_counter_id);
    driver_context_free_counter(publication->context, &publication->limit_counter_id);
    log_agent_discard(publication->context->log_agent, publication->file);
    free(publication->channel);
    *publication = (struct publication){0};
}

void publication_set_state(struct publication *publication, enum publication_state state,
                           int64_t now_ns) {
    static const bool edges[4][4] = {
        [PUBLICATION_STATE_ACTIVE] =
            {[PUBLICATION_STATE_DRAINING] = true, [PUBLICATION_STATE_LINGER] = true},
        [PUBLICATION_STATE_DRAINING] = {[PUBLICATION_STATE_LINGER] = true},
        [PUBLICATION_STATE_LINGER] = {[PUBLICATION_STATE_DONE] = true},
    };
    assert(edges[publication->state][state]);
    publication->state = state;
    publication->state_time_ns = now_ns;
}

int64_t publication_start_position(const struct publication *publication) {
    return position_of(&publication->params);
}

int64_t publication_producer_position(const struct publication *publication) {
    int64_t position = log_producer_position(publication->log);
    int64_t position_max = log_position_max(publication->params.term_length);
    return min_i64(max_i64(position, publication_start_position(publication)), position_max);
}

int64_t publication_bound(const struct publication *publication, int64_t position, int64_t low) {
    int64_t high = publication_producer_position(publication);
    int64_t aligned = position & ~(int64_t)(LOG_FRAME_ALIGNMENT - 1);
    return max_i64(min_i64(aligned, high), low);
}

int64_t publication_sample_position(struct publication *publication) {
    int64_t position = publication_producer_position(publication);
    if (position != load_plain_i64(publication->position_address)) {
        counter_set_release(publication->position_address, position);
    }
    return position;
}

void publication_clean_to(struct publication *publication, int64_t position) {
    const struct log_buffer *log = publication->log;
    int64_t clean = publication->clean_position;
    if (position <= clean) {
        return;
    }
    int32_t offset = log_term_offset_of(clean, log->term_length);
    int32_t length = (int32_t)min_i64(position - clean, log->term_length - offset);
    if (!log_is_cleared_by_writer(log->metadata)) {
        term_clean(log->terms[log_index_of(clean, log->position_bits)], offset, length);
    }
    publication->clean_position = clean + length;
}

int64_t publication_limit(const struct publication *publication) {
    return publication->limit;
}

void publication_set_limit(struct publication *publication, int64_t position) {
    publication->limit = position;
    counter_set_release(publication->limit_address, position);
}

void publication_set_connected(struct publication *publication, bool is_connected) {
    int32_t value = is_connected;
    if (load_plain_i32(&publication->log->metadata->is_connected) != value) {
        store_release_i32(&publication->log->metadata->is_connected, value);
    }
}

bool publication_is_connected(const struct publication *publication) {
    return load_plain_i32(&publication->log->metadata->is_connected) == 1;
}

/* Somebody may hold a claim at the consumer's position: there is data behind it, or the term of the
 * consumer's position is not the one that is written. */
static bool is_possibly_blocked(const struct publication *publication, int64_t consumer_position) {
    const struct log_buffer *log = publication->log;
    int32_t expected = (int32_t)(uint32_t)(consumer_position >> log->position_bits);
    int32_t active = load_acquire_i32(&log->metadata->active_term_count);
    return active != expected || publication_producer_position(publication) > consumer_position;
}

bool publication_unblock(struct publication *publication, int64_t consumer_position) {
    if (!log_unblock(publication->log, consumer_position)) {
        return false;
    }
    log_wake_by_driver(publication->log->metadata);
    context_count(publication->context, SYSTEM_COUNTER_UNBLOCKED_PUBLICATIONS, 1);
    return true;
}

bool publication_check_blocked(struct publication *publication, int64_t consumer_position,
                               int64_t now_ns) {
    if (publication->is_exclusive) {
        return false;
    }
    if (consumer_position != publication->unblock_position ||
        !is_possibly_blocked(publication, consumer_position)) {
        publication->unblock_position = consumer_position;
        publication->unblock_time_ns = now_ns;
        return false;
    }
    if (now_ns - publication->unblock_time_ns <= publication->context->conf->unblock_timeout_ns) {
        return false;
    }
    return publication_unblock(publication, consumer_position);
}

void publication_mark_revoked(struct publication *publication) {
    publication->is_revoking = true;
    store_release_u8(&publication->log->metadata->is_publication_revoked, 1);
}

static void end_stream(struct publication *publication) {
    int64_t position = publication_producer_position(publication);
    if (publication_limit(publication) > position) {
        publication_set_limit(publication, position);
    }
    store_release_i64(&publication->log->metadata->end_of_stream_position, position);
}

void publication_on_unreferenced(struct publication *publication, int64_t now_ns) {
    assert(publication->link_count == 0);
    if (publication->state != PUBLICATION_STATE_ACTIVE) {
        return; /* revoked by another handle: that end is under way */
    }
    end_stream(publication);
    if (!publication->is_revoking) {
        publication_set_state(publication, PUBLICATION_STATE_DRAINING, now_ns);
    }
}

void publication_revoke(struct publication *publication) {
    assert(publication->is_revoking);
    end_stream(publication);
    publication_set_connected(publication, false);
    context_count(publication->context, SYSTEM_COUNTER_PUBLICATIONS_REVOKED, 1);
}

static int clash(struct tern_error *error, const char *key, int64_t existing, int64_t requested) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                     "existing publication has different '%s': existing=%lld requested=%lld", key,
                     (long long)existing, (long long)requested);
}

int publication_match_params(const struct publication *publication,
                             const struct publication_params *wanted, struct tern_error *error) {
    const struct publication_params *have = &publication->params;
    if (wanted->has_session_id && wanted->session_id != publication->session_id) {
        return clash(error, "session-id", publication->session_id, wanted->session_id);
    }
    if (wanted->has_mtu_length && wanted->mtu_length != have->mtu_length) {
        return clash(error, "mtu", have->mtu_length, wanted->mtu_length);
    }
    if (wanted->has_term_length && wanted->term_length != have->term_length) {
        return clash(error, "term-length", have->term_length, wanted->term_length);
    }
    if (wanted->has_spies_simulate_connection &&
        wanted->spies_simulate_connection != have->spies_simulate_connection) {
        return clash(error, "ssc", have->spies_simulate_connection,
                     wanted->spies_simulate_connection);
    }
    if (wanted->has_send_timestamp &&
        wanted->send_timestamp_offset != have->send_timestamp_offset) {
        return clash(error, "channel-snd-ts-offset", have->send_timestamp_offset,
                     wanted->send_timestamp_offset);
    }
    if (!wanted->has_position) {
        return 0;
    }
    if (wanted->initial_term_id != have->initial_term_id) {
        return clash(error, "init-term-id", have->initial_term_id, wanted->initial_term_id);
    }
    if (wanted->term_id != have->term_id) {
        return clash(error, "term-id", have->term_id, wanted->term_id);
    }
    if (wanted->term_offset != have->term_offset) {
        return clash(error, "term-offset", have->term_offset, wanted->term_offset);
    }
    return 0;
}

/* See the header for the states. Every step that waits has the archive's message timeout, measured
 * from the last progress: a big snapshot may take long, a stuck one does not hang the node. */
#include "servicehost/snapshot_taker.h"

#include <errno.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uri.h"

/* Messages offered per step: keeps the duty cycle short. */
#define WRITE_LIMIT 64

static void enter(struct snapshot_taker *taker, enum snapshot_taker_state state, int64_t now_ns) {
    taker->state = state;
    taker->deadline_ns = now_ns + taker->timeout_ns;
}

int snapshot_taker_start(struct snapshot_taker *taker, const struct snapshot_taker_params *params,
                         struct tern_error *error) {
    *taker = (struct snapshot_taker){.client = params->client,
                                     .channel = params->channel,
                                     .timeout_ns = params->timeout_ns,
                                     .started_ns = params->now_ns,
                                     .recording_id = TERN_ARCHIVE_NULL};
    enter(taker, SNAPSHOT_TAKER_CONNECT, params->now_ns);
    int result = tern_archive_connect_begin(&taker->connecting, params->archive, error);
    if (result != 0) {
        return result;
    }
    taker->publication_request = tern_client_async_add_exclusive_publication(
        params->client, params->channel, params->stream_id, error);
    return taker->publication_request == NULL ? error->code : 0;
}

static int connect_step(struct snapshot_taker *taker, int64_t now_ns, struct tern_error *error) {
    if (taker->connecting != NULL) {
        int result = tern_archive_connect_poll(taker->connecting, now_ns, &taker->archive, error);
        taker->connecting = result == 0 ? taker->connecting : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (taker->publication_request != NULL) {
        int result = tern_async_poll_exclusive_publication(taker->publication_request,
                                                           &taker->publication, error);
        taker->publication_request = result == 0 ? taker->publication_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (taker->archive != NULL && taker->publication != NULL) {
        enter(taker, SNAPSHOT_TAKER_RECORD, now_ns);
    }
    return 0;
}

static int record_step(struct snapshot_taker *taker, int64_t now_ns, struct tern_error *error) {
    char channel[URI_LENGTH_MAX + 1];
    int32_t session_id = tern_exclusive_publication_session_id(taker->publication);
    int result =
        tern_archive_channel_with_session(taker->channel, session_id, channel, sizeof channel);
    if (result != 0) {
        return error_set(error, result, "snapshot channel is too long");
    }
    int64_t sent = tern_archive_send_start_recording(
        taker->archive, channel, tern_exclusive_publication_stream_id(taker->publication),
        TERN_ARCHIVE_SOURCE_LOCAL, true);
    if (sent == -EAGAIN) {
        return 0;
    }
    if (sent < 0) {
        return error_set(error, (int)sent, "cannot ask the archive to record a snapshot: %s",
                         tern_error_name((int)sent));
    }
    taker->correlation_id = sent;
    enter(taker, SNAPSHOT_TAKER_AWAIT_ANSWER, now_ns);
    return 0;
}

static int await_answer_step(struct snapshot_taker *taker, int64_t now_ns,
                             struct tern_error *error) {
    int64_t subscription_id;
    int result =
        tern_archive_poll_response(taker->archive, taker->correlation_id, &subscription_id, error);
    if (result > 0) {
        enter(taker, SNAPSHOT_TAKER_AWAIT_COUNTER, now_ns);
        return 0;
    }
    return result;
}

static int await_counter_step(struct snapshot_taker *taker, int64_t now_ns) {
    taker->counter_id = tern_archive_find_counter_by_session(
        taker->client, tern_exclusive_publication_session_id(taker->publication),
        tern_archive_id(taker->archive));
    if (taker->counter_id != TERN_NULL_COUNTER_ID) {
        taker->recording_id = tern_archive_counter_recording_id(taker->client, taker->counter_id);
        struct tern_publication_constants constants;
        tern_exclusive_publication_get_constants(taker->publication, &constants);
        taker->messages.message_length_max = constants.message_length_max;
        enter(taker, SNAPSHOT_TAKER_FILL, now_ns);
    }
    return 0;
}

static int write_step(struct snapshot_taker *taker, int64_t now_ns, struct tern_error *error) {
    const void *message;
    int32_t length;
    for (int i = 0; i < WRITE_LIMIT; i++) {
        if (message_list_peek(&taker->messages, &message, &length) == 0) {
            message_list_close(&taker->messages);
            enter(taker, SNAPSHOT_TAKER_FLUSH, now_ns);
            return 0;
        }
        int64_t result = tern_exclusive_publication_offer(taker->publication, message, length);
        if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_MAX_POSITION ||
            result == TERN_PUBLICATION_ERROR) {
            return error_set(error, -EIO, "cannot write the snapshot: %s",
                             tern_publication_result_name(result));
        }
        if (result < 0) {
            return 0; /* again in the next cycle */
        }
        taker->deadline_ns = now_ns + taker->timeout_ns;
        message_list_advance(&taker->messages);
    }
    return 0;
}

static int flush_step(struct snapshot_taker *taker, struct tern_error *error) {
    const tern_counters_reader *counters = tern_client_counters(taker->client);
    if (tern_archive_counter_recording_id(taker->client, taker->counter_id) !=
        taker->recording_id) {
        return error_set(error, -EIO, "the recording %lld of the snapshot ended too early",
                         (long long)taker->recording_id);
    }
    int64_t position = tern_exclusive_publication_position(taker->publication);
    return tern_counters_value(counters, taker->counter_id) >= position;
}

int snapshot_taker_step(struct snapshot_taker *taker, int64_t now_ns, struct tern_error *error) {
    if (now_ns > taker->deadline_ns) {
        return error_set(error, -ETIMEDOUT, "snapshot made no progress in step %d for %lld ms",
                         (int)taker->state, (long long)(taker->timeout_ns / NS_PER_MS));
    }
    switch (taker->state) {
    case SNAPSHOT_TAKER_CONNECT:
        return connect_step(taker, now_ns, error);
    case SNAPSHOT_TAKER_RECORD:
        return record_step(taker, now_ns, error);
    case SNAPSHOT_TAKER_AWAIT_ANSWER:
        return await_answer_step(taker, now_ns, error);
    case SNAPSHOT_TAKER_AWAIT_COUNTER:
        return await_counter_step(taker, now_ns);
    case SNAPSHOT_TAKER_WRITE:
        return write_step(taker, now_ns, error);
    case SNAPSHOT_TAKER_FLUSH:
        return flush_step(taker, error);
    case SNAPSHOT_TAKER_IDLE:
    case SNAPSHOT_TAKER_FILL: /* the owner's turn */
        return 0;
    }
    return 0;
}

void snapshot_taker_filled(struct snapshot_taker *taker) {
    assert(taker->state == SNAPSHOT_TAKER_FILL);
    taker->state = SNAPSHOT_TAKER_WRITE;
}

void snapshot_taker_close(struct snapshot_taker *taker) {
    tern_archive_connect_cancel(taker->connecting);
    tern_async_cancel(taker->publication_request);
    tern_exclusive_publication_close(taker->publication);
    tern_archive_close(taker->archive);
    message_list_close(&taker->messages);
    *taker = (struct snapshot_taker){.state = SNAPSHOT_TAKER_IDLE};
}

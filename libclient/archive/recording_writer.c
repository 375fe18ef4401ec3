/* See the header for the states. Every step that waits has the archive's message timeout, measured
 * from the last progress: a big recording may take long, a stuck one does not hang the node. */
#include "archive/recording_writer.h"

#include <errno.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uri.h"

/* Messages offered per step: keeps the duty cycle short. */
#define WRITE_LIMIT 64

static void enter(struct recording_writer *writer, enum recording_writer_state state,
                  int64_t now_ns) {
    writer->state = state;
    writer->deadline_ns = now_ns + writer->timeout_ns;
}

int recording_writer_start(struct recording_writer *writer,
                           const struct recording_writer_params *params, struct tern_error *error) {
    *writer = (struct recording_writer){.client = params->client,
                                        .channel = params->channel,
                                        .timeout_ns = params->timeout_ns,
                                        .started_ns = params->now_ns,
                                        .recording_id = TERN_ARCHIVE_NULL};
    enter(writer, RECORDING_WRITER_CONNECT, params->now_ns);
    int result = tern_archive_connect_begin(&writer->connecting, params->archive, error);
    if (result != 0) {
        return result;
    }
    writer->publication_request = tern_client_async_add_exclusive_publication(
        params->client, params->channel, params->stream_id, error);
    return writer->publication_request == NULL ? error->code : 0;
}

static int connect_step(struct recording_writer *writer, int64_t now_ns, struct tern_error *error) {
    if (writer->connecting != NULL) {
        int result = tern_archive_connect_poll(writer->connecting, now_ns, &writer->archive, error);
        writer->connecting = result == 0 ? writer->connecting : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (writer->publication_request != NULL) {
        int result = tern_async_poll_exclusive_publication(writer->publication_request,
                                                           &writer->publication, error);
        writer->publication_request = result == 0 ? writer->publication_request : NULL;
        if (result < 0) {
            return result;
        }
    }
    if (writer->archive != NULL && writer->publication != NULL) {
        enter(writer, RECORDING_WRITER_RECORD, now_ns);
    }
    return 0;
}

static int record_step(struct recording_writer *writer, int64_t now_ns, struct tern_error *error) {
    char channel[URI_LENGTH_MAX + 1];
    int32_t session_id = tern_exclusive_publication_session_id(writer->publication);
    int result =
        tern_archive_channel_with_session(writer->channel, session_id, channel, sizeof channel);
    if (result != 0) {
        return error_set(error, result, "channel of the recording is too long");
    }
    int64_t sent = tern_archive_send_start_recording(
        writer->archive, channel, tern_exclusive_publication_stream_id(writer->publication),
        TERN_ARCHIVE_SOURCE_LOCAL, true);
    if (sent == -EAGAIN) {
        return 0;
    }
    if (sent < 0) {
        return error_set(error, (int)sent, "cannot ask the archive to record: %s",
                         tern_error_name((int)sent));
    }
    writer->correlation_id = sent;
    enter(writer, RECORDING_WRITER_AWAIT_ANSWER, now_ns);
    return 0;
}

static int await_answer_step(struct recording_writer *writer, int64_t now_ns,
                             struct tern_error *error) {
    int64_t subscription_id;
    int result = tern_archive_poll_response(writer->archive, writer->correlation_id,
                                            &subscription_id, error);
    if (result > 0) {
        enter(writer, RECORDING_WRITER_AWAIT_COUNTER, now_ns);
        return 0;
    }
    return result;
}

static int await_counter_step(struct recording_writer *writer, int64_t now_ns) {
    writer->counter_id = tern_archive_find_counter_by_session(
        writer->client, tern_exclusive_publication_session_id(writer->publication),
        tern_archive_id(writer->archive));
    if (writer->counter_id != TERN_NULL_COUNTER_ID) {
        writer->recording_id =
            tern_archive_counter_recording_id(writer->client, writer->counter_id);
        struct tern_publication_constants constants;
        tern_exclusive_publication_get_constants(writer->publication, &constants);
        writer->messages.message_length_max = constants.message_length_max;
        enter(writer, RECORDING_WRITER_FILL, now_ns);
    }
    return 0;
}

static int write_step(struct recording_writer *writer, int64_t now_ns, struct tern_error *error) {
    const void *message;
    int32_t length;
    for (int i = 0; i < WRITE_LIMIT; i++) {
        if (message_list_peek(&writer->messages, &message, &length) == 0) {
            message_list_close(&writer->messages);
            enter(writer, RECORDING_WRITER_FLUSH, now_ns);
            return 0;
        }
        int64_t result = tern_exclusive_publication_offer(writer->publication, message, length);
        if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_MAX_POSITION ||
            result == TERN_PUBLICATION_ERROR) {
            return error_set(error, -EIO, "cannot write the recording: %s",
                             tern_publication_result_name(result));
        }
        if (result < 0) {
            return 0; /* again in the next cycle */
        }
        writer->deadline_ns = now_ns + writer->timeout_ns;
        message_list_advance(&writer->messages);
    }
    return 0;
}

static int flush_step(struct recording_writer *writer, struct tern_error *error) {
    const tern_counters_reader *counters = tern_client_counters(writer->client);
    if (tern_archive_counter_recording_id(writer->client, writer->counter_id) !=
        writer->recording_id) {
        return error_set(error, -EIO, "recording %lld ended too early",
                         (long long)writer->recording_id);
    }
    int64_t position = tern_exclusive_publication_position(writer->publication);
    return tern_counters_value(counters, writer->counter_id) >= position;
}

int recording_writer_step(struct recording_writer *writer, int64_t now_ns,
                          struct tern_error *error) {
    if (now_ns > writer->deadline_ns) {
        return error_set(error, -ETIMEDOUT, "recording made no progress in step %d for %lld ms",
                         (int)writer->state, (long long)(writer->timeout_ns / NS_PER_MS));
    }
    switch (writer->state) {
    case RECORDING_WRITER_CONNECT:
        return connect_step(writer, now_ns, error);
    case RECORDING_WRITER_RECORD:
        return record_step(writer, now_ns, error);
    case RECORDING_WRITER_AWAIT_ANSWER:
        return await_answer_step(writer, now_ns, error);
    case RECORDING_WRITER_AWAIT_COUNTER:
        return await_counter_step(writer, now_ns);
    case RECORDING_WRITER_WRITE:
        return write_step(writer, now_ns, error);
    case RECORDING_WRITER_FLUSH:
        return flush_step(writer, error);
    case RECORDING_WRITER_IDLE:
    case RECORDING_WRITER_FILL: /* the owner's turn */
        return 0;
    }
    return 0;
}

void recording_writer_filled(struct recording_writer *writer) {
    assert(writer->state == RECORDING_WRITER_FILL);
    writer->state = RECORDING_WRITER_WRITE;
}

void recording_writer_close(struct recording_writer *writer) {
    tern_archive_connect_cancel(writer->connecting);
    tern_async_cancel(writer->publication_request);
    tern_exclusive_publication_close(writer->publication);
    tern_archive_close(writer->archive);
    message_list_close(&writer->messages);
    *writer = (struct recording_writer){.state = RECORDING_WRITER_IDLE};
}

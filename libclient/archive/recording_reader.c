/* See the header for the states. A recording is read as a whole or not at all: its stop position is
 * asked for first, and reading ends exactly there, so that a replay cut short is an error and never
 * half a state. */
#include "archive/recording_reader.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uri.h"

#define FRAGMENT_LIMIT 100

static void enter(struct recording_reader *reader, enum recording_reader_state state,
                  int64_t now_ns) {
    reader->state = state;
    reader->deadline_ns = now_ns + reader->timeout_ns;
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)header;
    struct recording_reader *reader = context;
    if (reader->failure.code == 0) {
        int result = reader->handler(reader->handler_context, buffer, length, &reader->failure);
        assert((result < 0) == (reader->failure.code != 0));
        (void)result;
    }
}

int recording_reader_start(struct recording_reader *reader,
                           const struct recording_reader_params *params, struct tern_error *error) {
    *reader = (struct recording_reader){
        .client = params->client,
        .channel = params->replay_channel,
        .stream_id = params->replay_stream_id,
        .recording_id = params->recording_id,
        .timeout_ns = params->timeout_ns,
        .handler = params->handler,
        .handler_context = params->handler_context,
    };
    enter(reader, RECORDING_READER_CONNECT, params->now_ns);
    reader->assembler = tern_fragment_assembler_create(on_message, reader);
    if (reader->assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory to read a recording");
    }
    return tern_archive_connect_begin(&reader->connecting, params->archive, error);
}

static int connect_step(struct recording_reader *reader, int64_t now_ns, struct tern_error *error) {
    int result = tern_archive_connect_poll(reader->connecting, now_ns, &reader->archive, error);
    if (result != 0) {
        reader->connecting = NULL;
    }
    if (result > 0) {
        enter(reader, RECORDING_READER_ASK_END, now_ns);
        return 0;
    }
    return result;
}

/* Take what a send function returned: go on to `next` when it went out. */
static int sent_step(struct recording_reader *reader, int64_t sent, int64_t now_ns,
                     enum recording_reader_state next, struct tern_error *error) {
    if (sent == -EAGAIN) {
        return 0;
    }
    if (sent < 0) {
        return error_set(error, (int)sent, "cannot ask the archive for recording %lld: %s",
                         (long long)reader->recording_id, tern_error_name((int)sent));
    }
    reader->correlation_id = sent;
    enter(reader, next, now_ns);
    return 0;
}

static int await_end_step(struct recording_reader *reader, int64_t now_ns,
                          struct tern_error *error) {
    int result = tern_archive_poll_response(reader->archive, reader->correlation_id,
                                            &reader->end_position, error);
    if (result <= 0) {
        return result;
    }
    if (reader->end_position == TERN_ARCHIVE_NULL) {
        return error_set(error, TERN_ERROR_PROTOCOL, "recording %lld is not finished",
                         (long long)reader->recording_id);
    }
    enter(reader, RECORDING_READER_REPLAY, now_ns);
    return 0;
}

static int replay_step(struct recording_reader *reader, int64_t now_ns, struct tern_error *error) {
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, reader->recording_id, reader->channel,
                                    reader->stream_id);
    return sent_step(reader, tern_archive_send_replay(reader->archive, &params), now_ns,
                     RECORDING_READER_AWAIT_REPLAY, error);
}

static int await_replay_step(struct recording_reader *reader, int64_t now_ns,
                             struct tern_error *error) {
    int64_t replay_session_id;
    char channel[URI_LENGTH_MAX + 1];
    int result = tern_archive_poll_response(reader->archive, reader->correlation_id,
                                            &replay_session_id, error);
    if (result <= 0) {
        return result;
    }
    reader->replay_session_id = tern_archive_replay_session_id(replay_session_id);
    if (tern_archive_channel_with_session(reader->channel, reader->replay_session_id, channel,
                                          sizeof channel) != 0) {
        return error_set(error, -ENAMETOOLONG, "replay channel is too long");
    }
    struct tern_subscription_params params = {.channel = channel, .stream_id = reader->stream_id};
    reader->subscription_request =
        tern_client_async_add_subscription(reader->client, &params, error);
    if (reader->subscription_request == NULL) {
        return error->code;
    }
    enter(reader, RECORDING_READER_SUBSCRIBE, now_ns);
    return 0;
}

static int subscribe_step(struct recording_reader *reader, int64_t now_ns,
                          struct tern_error *error) {
    int result =
        tern_async_poll_subscription(reader->subscription_request, &reader->subscription, error);
    if (result != 0) {
        reader->subscription_request = NULL;
    }
    if (result > 0) {
        enter(reader, RECORDING_READER_AWAIT_IMAGE, now_ns);
        return 0;
    }
    return result;
}

static void await_image_step(struct recording_reader *reader, int64_t now_ns) {
    reader->image =
        tern_subscription_image_by_session_id(reader->subscription, reader->replay_session_id);
    if (reader->image != NULL) {
        enter(reader, RECORDING_READER_READ, now_ns);
    }
}

static int read_step(struct recording_reader *reader, int64_t now_ns, struct tern_error *error) {
    int fragments = tern_image_poll(reader->image, tern_fragment_assembler_on_fragment,
                                    reader->assembler, FRAGMENT_LIMIT);
    if (reader->failure.code != 0) {
        *error = reader->failure;
        return error->code;
    }
    if (tern_image_position(reader->image) >= reader->end_position) {
        return 1;
    }
    if (fragments > 0) {
        reader->deadline_ns = now_ns + reader->timeout_ns;
    } else if (tern_image_is_closed(reader->image)) {
        return error_set(error, -EIO, "replay of recording %lld ended at %lld of %lld",
                         (long long)reader->recording_id,
                         (long long)tern_image_position(reader->image),
                         (long long)reader->end_position);
    }
    return 0;
}

int recording_reader_step(struct recording_reader *reader, int64_t now_ns,
                          struct tern_error *error) {
    if (now_ns > reader->deadline_ns) {
        return error_set(error, -ETIMEDOUT,
                         "reading recording %lld made no progress in step %d for %lld ms",
                         (long long)reader->recording_id, (int)reader->state,
                         (long long)(reader->timeout_ns / NS_PER_MS));
    }
    switch (reader->state) {
    case RECORDING_READER_IDLE:
        return 0;
    case RECORDING_READER_CONNECT:
        return connect_step(reader, now_ns, error);
    case RECORDING_READER_ASK_END:
        return sent_step(reader,
                         tern_archive_send_stop_position(reader->archive, reader->recording_id),
                         now_ns, RECORDING_READER_AWAIT_END, error);
    case RECORDING_READER_AWAIT_END:
        return await_end_step(reader, now_ns, error);
    case RECORDING_READER_REPLAY:
        return replay_step(reader, now_ns, error);
    case RECORDING_READER_AWAIT_REPLAY:
        return await_replay_step(reader, now_ns, error);
    case RECORDING_READER_SUBSCRIBE:
        return subscribe_step(reader, now_ns, error);
    case RECORDING_READER_AWAIT_IMAGE:
        await_image_step(reader, now_ns);
        return 0;
    case RECORDING_READER_READ:
        return read_step(reader, now_ns, error);
    }
    return 0;
}

void recording_reader_close(struct recording_reader *reader) {
    tern_archive_connect_cancel(reader->connecting);
    tern_async_cancel(reader->subscription_request);
    tern_image_release(reader->image);
    tern_subscription_close(reader->subscription);
    tern_archive_close(reader->archive);
    tern_fragment_assembler_destroy(reader->assembler);
    *reader = (struct recording_reader){.state = RECORDING_READER_IDLE};
}

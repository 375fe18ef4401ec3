/* One replay of the local archive, read through its own subscription (see replay_reader.h). Every
 * step has the archive's message timeout. */
#include "consensusd/replay_reader.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void enter(struct replay_reader *reader, enum replay_reader_state state, int64_t now_ns) {
    reader->state = state;
    reader->deadline_ns = now_ns + reader->conf->archive_message_timeout_ns;
}

void replay_reader_start(struct replay_reader *reader, const struct replay_reader_params *params) {
    assert(params->from < params->to);
    memset(reader, 0, sizeof *reader);
    reader->link = params->link;
    reader->conf = params->conf;
    reader->recording_id = params->recording_id;
    reader->from = params->from;
    reader->to = params->to;
    enter(reader, REPLAY_READER_ASK, params->now_ns);
}

static int ask_step(struct replay_reader *reader, int64_t now_ns, struct tern_error *error) {
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, reader->recording_id, reader->conf->replay_channel,
                                    reader->conf->replay_stream_id);
    params.position = reader->from;
    params.length = reader->to - reader->from;
    int result =
        archive_link_sent(reader->link, &reader->request,
                          tern_archive_send_replay(reader->link->archive, &params), now_ns);
    if (result > 0) {
        enter(reader, REPLAY_READER_AWAIT_ANSWER, now_ns);
    } else if (result < 0) {
        *error = reader->request.error;
    }
    return result < 0 ? result : 0;
}

static int await_answer_step(struct replay_reader *reader, int64_t now_ns,
                             struct tern_error *error) {
    if (reader->request.state == ARCHIVE_REQUEST_PENDING) {
        return 0;
    }
    if (reader->request.state == ARCHIVE_REQUEST_FAILED) {
        *error = reader->request.error;
        return error->code;
    }
    reader->replay_session_id = reader->request.result;
    if (tern_archive_channel_with_session(reader->conf->replay_channel,
                                          replay_reader_session_id(reader), reader->channel,
                                          sizeof reader->channel) != 0) {
        return error_set(error, -ENAMETOOLONG, "the replay channel is too long");
    }
    const struct tern_subscription_params params = {.channel = reader->channel,
                                                    .stream_id = reader->conf->replay_stream_id};
    reader->subscription_request =
        tern_client_async_add_subscription(reader->link->client, &params, error);
    enter(reader, REPLAY_READER_SUBSCRIBE, now_ns);
    return reader->subscription_request == NULL ? error->code : 0;
}

static int subscribe_step(struct replay_reader *reader, int64_t now_ns, struct tern_error *error) {
    int result =
        tern_async_poll_subscription(reader->subscription_request, &reader->subscription, error);
    if (result != 0) {
        reader->subscription_request = NULL;
    }
    if (result > 0) {
        enter(reader, REPLAY_READER_AWAIT_IMAGE, now_ns);
    }
    return result < 0 ? result : 0;
}

static int await_image_step(struct replay_reader *reader, int64_t now_ns,
                            struct tern_error *error) {
    reader->image = tern_subscription_image_by_session_id(reader->subscription,
                                                          replay_reader_session_id(reader));
    if (reader->image == NULL) {
        return 0;
    }
    int64_t join_position = tern_image_join_position(reader->image);
    if (join_position != reader->from) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "the replay of recording %lld begins at %lld instead of %lld",
                         (long long)reader->recording_id, (long long)join_position,
                         (long long)reader->from);
    }
    enter(reader, REPLAY_READER_READY, now_ns);
    return 1;
}

int replay_reader_step(struct replay_reader *reader, int64_t now_ns, struct tern_error *error) {
    if (reader->state != REPLAY_READER_READY && now_ns > reader->deadline_ns) {
        return error_set(error, -ETIMEDOUT, "the replay of recording %lld does not begin",
                         (long long)reader->recording_id);
    }
    switch (reader->state) {
    case REPLAY_READER_ASK:
        return ask_step(reader, now_ns, error);
    case REPLAY_READER_AWAIT_ANSWER:
        return await_answer_step(reader, now_ns, error);
    case REPLAY_READER_SUBSCRIBE:
        return subscribe_step(reader, now_ns, error);
    case REPLAY_READER_AWAIT_IMAGE:
        return await_image_step(reader, now_ns, error);
    case REPLAY_READER_READY:
        return 1;
    case REPLAY_READER_IDLE:
        break;
    }
    return 0;
}

int32_t replay_reader_session_id(const struct replay_reader *reader) {
    return tern_archive_replay_session_id(reader->replay_session_id);
}

bool replay_reader_is_cut_short(const struct replay_reader *reader) {
    assert(reader->state == REPLAY_READER_READY);
    return tern_image_is_closed(reader->image) && tern_image_position(reader->image) < reader->to;
}

void replay_reader_close(struct replay_reader *reader) {
    if (reader->state == REPLAY_READER_IDLE) {
        return;
    }
    archive_link_cancel(reader->link, &reader->request);
    bool is_running = reader->state > REPLAY_READER_AWAIT_ANSWER &&
                      (reader->image == NULL || tern_image_position(reader->image) < reader->to);
    if (is_running && reader->link->archive != NULL) {
        /* The answer, also "unknown replay", matters to nobody. */
        (void)tern_archive_send_stop_replay(reader->link->archive, reader->replay_session_id);
    }
    tern_async_cancel(reader->subscription_request);
    tern_image_release(reader->image);
    tern_subscription_close(reader->subscription);
    memset(reader, 0, sizeof *reader);
}

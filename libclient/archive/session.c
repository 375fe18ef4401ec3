/* The connected archive session: polling the response stream, waiting for answers, closing.
 *
 * One subscription carries everything the server says. A poll assembles messages, drops those of
 * other schemas and other sessions, and hands the rest to callbacks; nothing is queued, so an agent
 * sees what arrived in the duty cycle in which it polled. The synchronous layer is a loop around
 * the asynchronous one: offer, run the client's conductor, poll, idle.
 */
#include "archive/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/agent.h"
#include "client/seams.h"

static const struct tern_archive_handlers no_handlers = {0};

struct tern_archive *archive_session_create(tern_client *client) {
    struct tern_archive *archive = calloc(1, sizeof *archive);
    if (archive == NULL) {
        return NULL;
    }
    archive->client = client;
    archive->control_session_id = TERN_ARCHIVE_NULL;
    archive->archive_id = TERN_ARCHIVE_NULL;
    archive->awaited_correlation_id = TERN_ARCHIVE_NULL;
    return archive;
}

void archive_session_destroy(struct tern_archive *archive) {
    if (archive == NULL) {
        return;
    }
    tern_exclusive_publication_close(archive->publication);
    tern_subscription_close(archive->subscription);
    if (archive->assembler != NULL) {
        tern_fragment_assembler_destroy(archive->assembler);
    }
    free(archive->scratch);
    free(archive);
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *frame) {
    (void)frame;
    struct tern_archive *archive = context;
    struct sbe_header header;
    if (sbe_peek(&header, buffer, length) == 0 && header.schema_id == ARCHIVE_SCHEMA_ID) {
        archive->on_message(archive->on_message_context, &header, buffer, length);
    }
}

void archive_session_poll(struct tern_archive *archive, archive_message_handler handler,
                          void *context) {
    if (archive->assembler == NULL) {
        archive->assembler = tern_fragment_assembler_create(on_message, archive);
        if (archive->assembler == NULL) {
            return; /* out of memory: the next poll tries again */
        }
    }
    archive->on_message = handler;
    archive->on_message_context = context;
    (void)tern_subscription_poll(archive->subscription, tern_fragment_assembler_on_fragment,
                                 archive->assembler, ARCHIVE_SESSION_FRAGMENT_LIMIT);
}

/* Room for `count` texts of together `length` bytes, each with a NUL. */
static bool reserve_scratch(struct tern_archive *archive, size_t length, size_t count) {
    size_t size = length + count;
    if (size <= archive->scratch_size) {
        return true;
    }
    char *scratch = realloc(archive->scratch, size);
    if (scratch == NULL) {
        return false;
    }
    archive->scratch = scratch;
    archive->scratch_size = size;
    return true;
}

static const char *copy_text(char **cursor, const struct text_slice *slice) {
    char *text = *cursor;
    memcpy(text, slice->text, (size_t)slice->length);
    text[slice->length] = '\0';
    *cursor += slice->length + 1;
    return text;
}

static void on_control_response(struct tern_archive *archive, const uint8_t *message,
                                int32_t length) {
    struct archive_control_response decoded;
    if (archive_control_response_decode(&decoded, message, length) != 0 ||
        decoded.control_session_id != archive->control_session_id ||
        decoded.correlation_id == archive->connect_correlation_id ||
        !reserve_scratch(archive, (size_t)decoded.error_message.length, 1)) {
        return;
    }
    char *cursor = archive->scratch;
    const struct tern_archive_response response = {
        .correlation_id = decoded.correlation_id,
        .relevant_id = decoded.relevant_id,
        .code = (enum tern_archive_response_code)decoded.code,
        .text = copy_text(&cursor, &decoded.error_message),
    };
    archive->delivered_count++;
    if (response.correlation_id == archive->awaited_correlation_id && !archive->is_answered) {
        archive->is_answered = true;
        archive->answer = response;
        size_t kept = strnlen(response.text, sizeof archive->answer_text - 1);
        memcpy(archive->answer_text, response.text, kept);
        archive->answer_text[kept] = '\0';
        archive->answer.text = archive->answer_text;
    } else if (archive->current->on_response != NULL) {
        archive->current->on_response(archive->current->context, &response);
    }
}

static void on_recording(struct tern_archive *archive, const uint8_t *message, int32_t length) {
    struct archive_recording_descriptor decoded;
    if (archive_recording_descriptor_decode(&decoded, message, length) != 0 ||
        decoded.control_session_id != archive->control_session_id) {
        return;
    }
    size_t texts = (size_t)decoded.stripped_channel.length +
                   (size_t)decoded.original_channel.length + (size_t)decoded.source_identity.length;
    if (archive->current->on_recording == NULL || !reserve_scratch(archive, texts, 3)) {
        return;
    }
    char *cursor = archive->scratch;
    const struct tern_archive_recording recording = {
        .correlation_id = decoded.correlation_id,
        .recording_id = decoded.recording_id,
        .start_timestamp_ms = decoded.start_timestamp,
        .stop_timestamp_ms = decoded.stop_timestamp,
        .start_position = decoded.start_position,
        .stop_position = decoded.stop_position,
        .initial_term_id = decoded.initial_term_id,
        .segment_file_length = decoded.segment_file_length,
        .term_length = decoded.term_buffer_length,
        .mtu_length = decoded.mtu_length,
        .session_id = decoded.session_id,
        .stream_id = decoded.stream_id,
        .stripped_channel = copy_text(&cursor, &decoded.stripped_channel),
        .original_channel = copy_text(&cursor, &decoded.original_channel),
        .source_identity = copy_text(&cursor, &decoded.source_identity),
    };
    archive->delivered_count++;
    archive->current->on_recording(archive->current->context, &recording);
}

static void on_subscription(struct tern_archive *archive, const uint8_t *message, int32_t length) {
    struct archive_recording_subscription_descriptor decoded;
    if (archive_recording_subscription_descriptor_decode(&decoded, message, length) != 0 ||
        decoded.control_session_id != archive->control_session_id ||
        archive->current->on_subscription == NULL ||
        !reserve_scratch(archive, (size_t)decoded.stripped_channel.length, 1)) {
        return;
    }
    char *cursor = archive->scratch;
    const struct tern_archive_subscription subscription = {
        .correlation_id = decoded.correlation_id,
        .subscription_id = decoded.subscription_id,
        .stream_id = decoded.stream_id,
        .stripped_channel = copy_text(&cursor, &decoded.stripped_channel),
    };
    archive->delivered_count++;
    archive->current->on_subscription(archive->current->context, &subscription);
}

static void on_signal(struct tern_archive *archive, const uint8_t *message, int32_t length) {
    struct archive_recording_signal_event decoded;
    if (archive_recording_signal_event_decode(&decoded, message, length) != 0 ||
        decoded.control_session_id != archive->control_session_id) {
        return;
    }
    archive->delivered_count++;
    if (archive->current->on_signal != NULL) {
        const struct tern_archive_signal signal = {
            .correlation_id = decoded.correlation_id,
            .recording_id = decoded.recording_id,
            .subscription_id = decoded.subscription_id,
            .position = decoded.position,
            .kind = (enum tern_archive_signal_kind)decoded.signal,
        };
        archive->current->on_signal(archive->current->context, &signal);
    }
}

/* Everything of a connected session. Pings, challenges and unknown templates are ignored. */
static void dispatch(void *context, const struct sbe_header *header, const uint8_t *message,
                     int32_t length) {
    struct tern_archive *archive = context;
    switch (header->template_id) {
    case ARCHIVE_TEMPLATE_CONTROL_RESPONSE:
        on_control_response(archive, message, length);
        break;
    case ARCHIVE_TEMPLATE_RECORDING_DESCRIPTOR:
        on_recording(archive, message, length);
        break;
    case ARCHIVE_TEMPLATE_RECORDING_SUBSCRIPTION_DESCRIPTOR:
        on_subscription(archive, message, length);
        break;
    case ARCHIVE_TEMPLATE_RECORDING_SIGNAL_EVENT:
        on_signal(archive, message, length);
        break;
    default:
        break;
    }
}

int64_t tern_archive_session_id(const struct tern_archive *archive) {
    return archive->control_session_id;
}

int64_t tern_archive_id(const struct tern_archive *archive) {
    return archive->archive_id;
}

bool tern_archive_is_connected(const struct tern_archive *archive) {
    return tern_subscription_is_connected(archive->subscription) &&
           tern_exclusive_publication_is_connected(archive->publication);
}

static int poll_with(struct tern_archive *archive, const struct tern_archive_handlers *handlers) {
    archive->current = handlers != NULL ? handlers : &archive->handlers;
    archive->delivered_count = 0;
    archive_session_poll(archive, dispatch, archive);
    archive->current = &no_handlers;
    if (archive->delivered_count == 0 && !tern_subscription_is_connected(archive->subscription)) {
        return -ENOTCONN;
    }
    return archive->delivered_count;
}

int tern_archive_poll(struct tern_archive *archive, const struct tern_archive_handlers *handlers) {
    return poll_with(archive, handlers);
}

int archive_session_error(const struct tern_archive_response *response, struct tern_error *error) {
    int64_t code = response->relevant_id;
    if (response->code == TERN_ARCHIVE_RECORDING_UNKNOWN) {
        code = TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING;
    } else if (response->code == TERN_ARCHIVE_SUBSCRIPTION_UNKNOWN) {
        code = TERN_ARCHIVE_ERROR_UNKNOWN_SUBSCRIPTION;
    }
    if (code < 0 || code > 999) {
        code = TERN_ARCHIVE_ERROR_GENERIC; /* not a code: the range of <tern/error.h> must hold */
    }
    const char *text = response->text[0] != '\0' ? response->text : tern_archive_error_name(code);
    return error_set(error, TERN_ERROR_ARCHIVE_BASE - (int)code, "%s", text);
}

/* Turn archive->answer into a result. */
static int take_answer(struct tern_archive *archive, int64_t *relevant_id,
                       struct tern_error *error) {
    if (archive->answer.code != TERN_ARCHIVE_OK) {
        return archive_session_error(&archive->answer, error);
    }
    if (relevant_id != NULL) {
        *relevant_id = archive->answer.relevant_id;
    }
    return 1;
}

int tern_archive_poll_response(struct tern_archive *archive, int64_t correlation_id,
                               int64_t *relevant_id, struct tern_error *error) {
    archive->awaited_correlation_id = correlation_id;
    archive->is_answered = false;
    int result = poll_with(archive, NULL);
    archive->awaited_correlation_id = TERN_ARCHIVE_NULL;
    if (archive->is_answered) {
        return take_answer(archive, relevant_id, error);
    }
    if (result < 0) {
        return error_set(error, result, "the archive has gone");
    }
    return 0;
}

/* ---- the synchronous layer --------------------------------------------------------------------
 */

struct wait {
    struct idle_strategy idle;
    int64_t deadline_ns;
};

static void wait_begin(struct wait *wait, const struct tern_archive *archive) {
    (void)idle_strategy_parse(&wait->idle, "backoff", NULL, NULL);
    wait->deadline_ns = tern_client_now_ns(archive->client) + archive->message_timeout_ns;
}

/* Between two looks: run the conductor, pause when nothing happens. False after the deadline. */
static bool wait_step(struct wait *wait, const struct tern_archive *archive, int work_count) {
    work_count += tern_client_do_work(archive->client);
    idle_strategy_idle(&wait->idle, NULL, work_count);
    return tern_client_now_ns(archive->client) < wait->deadline_ns;
}

static int send_error(int64_t sent, struct tern_error *error) {
    static const char *const texts[] = {"the request was not accepted in time",
                                        "the archive has gone", "the request is too long"};
    const char *text = sent == -EAGAIN     ? texts[0]
                       : sent == -ENOTCONN ? texts[1]
                       : sent == -EMSGSIZE ? texts[2]
                                           : tern_error_name((int)sent);
    return error_set(error, (int)sent, "%s", text);
}

/* Offer again until accepted. Returns the correlation id or a negative code. */
static int64_t await_sent(struct tern_archive *archive, int64_t sent, struct wait *wait) {
    while (sent == -EAGAIN) {
        if (!wait_step(wait, archive, 0)) {
            return -EAGAIN;
        }
        sent = archive_session_offer_again(archive);
    }
    return sent;
}

int tern_archive_await(struct tern_archive *archive, int64_t sent, int64_t *relevant_id,
                       struct tern_error *error) {
    struct wait wait;
    wait_begin(&wait, archive);
    sent = await_sent(archive, sent, &wait);
    if (sent < 0) {
        return send_error(sent, error);
    }
    for (;;) {
        int result = tern_archive_poll_response(archive, sent, relevant_id, error);
        if (result != 0) {
            return result < 0 ? result : 0;
        }
        if (!wait_step(&wait, archive, 0)) {
            return error_set(error, -ETIMEDOUT, "no answer from the archive in time");
        }
    }
}

/* Counts what a listing delivers, on the way to the user's handlers. */
struct listing {
    const struct tern_archive_handlers *user;
    int64_t correlation_id;
    int32_t count;
};

static void count_recording(void *context, const struct tern_archive_recording *recording) {
    struct listing *listing = context;
    listing->count += recording->correlation_id == listing->correlation_id;
    if (listing->user->on_recording != NULL) {
        listing->user->on_recording(listing->user->context, recording);
    }
}

static void count_subscription(void *context, const struct tern_archive_subscription *found) {
    struct listing *listing = context;
    listing->count += found->correlation_id == listing->correlation_id;
    if (listing->user->on_subscription != NULL) {
        listing->user->on_subscription(listing->user->context, found);
    }
}

static void pass_response(void *context, const struct tern_archive_response *response) {
    struct listing *listing = context;
    if (listing->user->on_response != NULL) {
        listing->user->on_response(listing->user->context, response);
    }
}

static void pass_signal(void *context, const struct tern_archive_signal *signal) {
    struct listing *listing = context;
    if (listing->user->on_signal != NULL) {
        listing->user->on_signal(listing->user->context, signal);
    }
}

int tern_archive_await_listing(struct tern_archive *archive, int64_t sent, int32_t count,
                               const struct tern_archive_handlers *handlers,
                               struct tern_error *error) {
    struct wait wait;
    wait_begin(&wait, archive);
    sent = await_sent(archive, sent, &wait);
    if (sent < 0) {
        return send_error(sent, error);
    }
    struct listing listing = {handlers != NULL ? handlers : &archive->handlers, sent, 0};
    const struct tern_archive_handlers counting = {&listing, pass_response, count_recording,
                                                   count_subscription, pass_signal};
    archive->awaited_correlation_id = sent;
    archive->is_answered = false;
    int result = 0;
    while (result >= 0 && listing.count < count && !archive->is_answered) {
        int32_t before = listing.count;
        result = poll_with(archive, &counting);
        if (listing.count > before) {
            wait_begin(&wait, archive); /* each descriptor restarts the deadline */
        } else if (result >= 0 && !archive->is_answered && !wait_step(&wait, archive, result)) {
            result = -ETIMEDOUT;
        }
    }
    archive->awaited_correlation_id = TERN_ARCHIVE_NULL;
    if (result < 0) {
        return error_set(error, result, "the listing did not come to its end");
    }
    if (archive->is_answered && archive->answer.code == TERN_ARCHIVE_ERROR) {
        return archive_session_error(&archive->answer, error);
    }
    return listing.count;
}

/* ---- close ------------------------------------------------------------------------------------
 */

void tern_archive_close(struct tern_archive *archive) {
    if (archive == NULL) {
        return;
    }
    if (archive->publication != NULL && archive->control_session_id != TERN_ARCHIVE_NULL &&
        tern_exclusive_publication_is_connected(archive->publication)) {
        const struct archive_close_session_request request = {archive->control_session_id};
        int32_t length = archive_close_session_request_encode(&request, archive->request,
                                                              ARCHIVE_SESSION_REQUEST_LENGTH_MAX);
        int64_t sent = archive_session_offer(archive, length, 0);
        for (int i = 1; i < ARCHIVE_CLOSE_ATTEMPTS && sent == -EAGAIN; i++) {
            sent = archive_session_offer_again(archive);
        }
    }
    archive_session_destroy(archive);
}

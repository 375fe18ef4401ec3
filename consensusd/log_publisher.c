/* The log publication of a leader (see log_publisher.h). It goes on exactly where the recorded log
 * ends: its term id and offset are computed from the recording, so positions never jump.
 *
 * Entries of fixed length are claimed, so that the position they carry is the one they get: when a
 * claim trips over the end of a term the attempt fails after padding, and the next one recomputes.
 */
#include "consensusd/log_publisher.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/uri.h"
#include "consensusd/member_link.h"

#define APPEND_ATTEMPTS 3
#define FRAME_HEADER_LENGTH 32
#define FRAME_ALIGNMENT 32
#define OPEN_EVENT_LENGTH_MAX 9216 /* response channel and principal of 4 KiB each */

static bool is_multi_destination(const struct uri *log_channel) {
    return log_channel->media == URI_MEDIA_UDP && uri_get(log_channel, "endpoint") == NULL;
}

static int set_position(struct uri_builder *channel, const struct log_publisher_params *params) {
    const struct archive_recording *recording = params->recording;
    int result;
    if (recording == NULL) {
        assert(params->position == 0);
        result = uri_builder_set_i64(channel, "init-term-id", 0);
        result |= uri_builder_set_i64(channel, "term-id", 0);
        return result | uri_builder_set_i64(channel, "term-offset", 0);
    }
    int32_t bits = trailing_zero_bits(recording->term_length);
    int32_t term_id =
        wrapping_add_i32(recording->initial_term_id, (int32_t)(params->position >> bits));
    result = uri_builder_set_i64(channel, "init-term-id", recording->initial_term_id);
    result |= uri_builder_set_i64(channel, "term-id", term_id);
    result |= uri_builder_set_i64(channel, "term-offset",
                                  params->position & (recording->term_length - 1));
    result |= uri_builder_set_i64(channel, "term-length", recording->term_length);
    return result | uri_builder_set_i64(channel, "mtu", recording->mtu_length);
}

static int make_channel(const struct log_publisher *publisher,
                        const struct log_publisher_params *params, struct uri_builder *channel) {
    const struct consensus_conf *conf = params->conf;
    struct uri uri;
    char tags[64];
    if (uri_parse(&uri, conf->log_channel, (int32_t)strlen(conf->log_channel), NULL) != 0) {
        return -EINVAL;
    }
    snprintf(tags, sizeof tags, "%" PRId64 ",%" PRId64, publisher->channel_tag,
             publisher->channel_tag + 1);
    int result = uri_builder_init(channel, conf->log_channel);
    result |= uri_builder_set(channel, "alias", "log");
    result |= uri_builder_set(channel, "tags", tags);
    result |= set_position(channel, params);
    if (uri.media == URI_MEDIA_IPC) {
        return result;
    }
    if (is_multi_destination(&uri)) {
        result |= uri_builder_set(channel, "control-mode", "manual");
        if (conf->is_log_control_enabled) {
            char host[256];
            char control[300];
            endpoint_host(params->members->list[params->own_index].log, host, sizeof host);
            snprintf(control, sizeof control, "%s:0", host);
            result |= uri_builder_set(channel, "control", control);
        }
    }
    return result | uri_builder_set(channel, "ssc", params->members->count == 1 ? "true" : "false");
}

int log_publisher_open(struct log_publisher *publisher, const struct log_publisher_params *params,
                       struct tern_error *error) {
    struct uri_builder channel;
    memset(publisher, 0, sizeof *publisher);
    publisher->client = params->client;
    publisher->conf = params->conf;
    publisher->members = params->members;
    publisher->own_index = params->own_index;
    publisher->channel_tag = tern_client_next_correlation_id(params->client);
    (void)tern_client_next_correlation_id(params->client); /* of the publication */
    if (make_channel(publisher, params, &channel) != 0) {
        return error_set(error, -ENAMETOOLONG, "the log channel is too long");
    }
    publisher->request = tern_client_async_add_exclusive_publication(
        params->client, channel.text, params->conf->log_stream_id, error);
    return publisher->request == NULL ? error->code : 0;
}

/* Live destination of one member: the log endpoint, by the interface of the log channel. */
static int request_destination(struct log_publisher *publisher, int32_t member,
                               const struct uri *log_channel, struct tern_error *error) {
    struct uri_builder destination;
    const char *interface = uri_get(log_channel, "interface");
    int result = uri_builder_init(&destination, "aeron:udp");
    result |= uri_builder_set(&destination, "endpoint", publisher->members->list[member].log);
    if (interface != NULL) {
        result |= uri_builder_set(&destination, "interface", interface);
    }
    if (result != 0) {
        return error_set(error, -ENAMETOOLONG, "the destination of member %d is too long",
                         publisher->members->list[member].id);
    }
    publisher->destinations[member] = tern_exclusive_publication_async_add_destination(
        publisher->publication, destination.text, error);
    return publisher->destinations[member] == NULL ? error->code : 0;
}

static int request_destinations(struct log_publisher *publisher, struct tern_error *error) {
    struct uri uri;
    const char *text = publisher->conf->log_channel;
    publisher->has_destinations = true;
    int result = uri_parse(&uri, text, (int32_t)strlen(text), error);
    if (result != 0 || !is_multi_destination(&uri)) {
        return result;
    }
    for (int32_t i = 0; i < publisher->members->count && result == 0; i++) {
        if (i != publisher->own_index) {
            result = request_destination(publisher, i, &uri, error);
        }
    }
    return result;
}

int log_publisher_await(struct log_publisher *publisher, struct tern_error *error) {
    if (publisher->publication == NULL) {
        int result = tern_async_poll_exclusive_publication(publisher->request,
                                                           &publisher->publication, error);
        publisher->request = result == 0 ? publisher->request : NULL;
        if (result <= 0) {
            return result;
        }
        publisher->message_length_max =
            tern_exclusive_publication_message_length_max(publisher->publication);
    }
    if (!publisher->has_destinations) {
        int result = request_destinations(publisher, error);
        if (result != 0) {
            return result;
        }
    }
    bool is_complete = true;
    for (int32_t i = 0; i < publisher->members->count; i++) {
        if (publisher->destinations[i] == NULL) {
            continue;
        }
        int result = tern_async_poll_destination(publisher->destinations[i], error);
        if (result != 0) {
            publisher->destinations[i] = NULL;
        }
        if (result < 0) {
            return result;
        }
        is_complete = is_complete && result != 0;
    }
    return is_complete ? 1 : 0;
}

void log_publisher_close(struct log_publisher *publisher) {
    tern_async_cancel(publisher->request);
    for (int32_t i = 0; i < MEMBERS_COUNT_MAX; i++) {
        tern_async_cancel(publisher->destinations[i]);
    }
    tern_exclusive_publication_close(publisher->publication);
    memset(publisher, 0, sizeof *publisher);
}

int32_t log_publisher_session_id(const struct log_publisher *publisher) {
    return tern_exclusive_publication_session_id(publisher->publication);
}

int64_t log_publisher_position(const struct log_publisher *publisher) {
    return tern_exclusive_publication_position(publisher->publication);
}

int32_t log_publisher_term_length(const struct log_publisher *publisher) {
    struct tern_publication_constants constants;
    tern_exclusive_publication_get_constants(publisher->publication, &constants);
    return constants.term_length;
}

int log_publisher_record_channel(const struct log_publisher *publisher, char *channel,
                                 size_t size) {
    bool is_ipc = strncmp(publisher->conf->log_channel, "aeron:ipc", strlen("aeron:ipc")) == 0;
    int length = snprintf(channel, size, "%s?tags=%" PRId64 "|session-id=%d|alias=log",
                          is_ipc ? "aeron:ipc" : "aeron:udp", publisher->channel_tag,
                          log_publisher_session_id(publisher));
    return length < (int)size ? 0 : -ENAMETOOLONG;
}

/* -- appending -- */

static bool is_worth_repeating(int64_t result) {
    return result == TERN_PUBLICATION_ADMIN_ACTION;
}

int64_t log_publisher_append_message(struct log_publisher *publisher,
                                     const struct log_session_message *message) {
    uint8_t header[CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN];
    cluster_session_message_header_put(header, message->leadership_term_id,
                                       message->cluster_session_id, message->timestamp);
    const struct iovec parts[] = {
        {header, sizeof header},
        {(void *)(uintptr_t)message->payload, (size_t)message->payload_length},
    };
    int64_t result;
    int attempt = 0;
    do {
        result = tern_exclusive_publication_offerv(publisher->publication, parts, 2, NULL, NULL);
    } while (is_worth_repeating(result) && ++attempt < APPEND_ATTEMPTS);
    return result;
}

int64_t log_publisher_append_open(struct log_publisher *publisher,
                                  const struct cluster_session_open_event *event) {
    uint8_t buffer[OPEN_EVENT_LENGTH_MAX];
    int32_t length = cluster_session_open_event_encode(event, buffer, sizeof buffer);
    if (length < 0 || length > publisher->message_length_max) {
        return TERN_PUBLICATION_ERROR;
    }
    int64_t result;
    int attempt = 0;
    do {
        result = tern_exclusive_publication_offer(publisher->publication, buffer, length);
    } while (is_worth_repeating(result) && ++attempt < APPEND_ATTEMPTS);
    return result;
}

static int64_t append_claimed(struct log_publisher *publisher, const uint8_t *entry,
                              int32_t length) {
    struct tern_buffer_claim claim;
    int64_t result = tern_exclusive_publication_try_claim(publisher->publication, length, &claim);
    if (result > 0) {
        memcpy(claim.data, entry, (size_t)length);
        tern_buffer_claim_commit(&claim);
    }
    return result;
}

/* Where an entry of this length ends if it is appended now and fits the term. */
static int64_t position_after(const struct log_publisher *publisher, int32_t length) {
    return log_publisher_position(publisher) +
           align_i32(FRAME_HEADER_LENGTH + length, FRAME_ALIGNMENT);
}

static int64_t append_repeatedly(struct log_publisher *publisher, const uint8_t *entry,
                                 int32_t length) {
    int64_t result;
    int attempt = 0;
    do {
        result = append_claimed(publisher, entry, length);
    } while (is_worth_repeating(result) && ++attempt < APPEND_ATTEMPTS);
    return result;
}

int64_t log_publisher_append_close(struct log_publisher *publisher,
                                   const struct cluster_session_close_event *event) {
    uint8_t buffer[CLUSTER_SESSION_CLOSE_EVENT_LENGTH_MIN];
    int32_t length = cluster_session_close_event_encode(event, buffer, sizeof buffer);
    return append_repeatedly(publisher, buffer, length);
}

int64_t log_publisher_append_timer(struct log_publisher *publisher,
                                   const struct cluster_timer_event *event) {
    uint8_t buffer[CLUSTER_TIMER_EVENT_LENGTH_MIN];
    int32_t length = cluster_timer_event_encode(event, buffer, sizeof buffer);
    return append_repeatedly(publisher, buffer, length);
}

int64_t log_publisher_append_action(struct log_publisher *publisher,
                                    struct cluster_cluster_action_request *request) {
    uint8_t buffer[CLUSTER_CLUSTER_ACTION_REQUEST_LENGTH_MIN];
    int64_t result;
    int attempt = 0;
    do {
        request->log_position = position_after(publisher, sizeof buffer);
        int32_t length = cluster_cluster_action_request_encode(request, buffer, sizeof buffer);
        result = append_claimed(publisher, buffer, length);
    } while (is_worth_repeating(result) && ++attempt < APPEND_ATTEMPTS);
    assert(result < 0 || result == request->log_position);
    return result;
}

int64_t log_publisher_append_term(struct log_publisher *publisher,
                                  struct cluster_new_leadership_term_event *event) {
    uint8_t buffer[CLUSTER_NEW_LEADERSHIP_TERM_EVENT_LENGTH_MIN];
    int64_t result;
    int attempt = 0;
    do {
        event->log_position = position_after(publisher, sizeof buffer);
        int32_t length = cluster_new_leadership_term_event_encode(event, buffer, sizeof buffer);
        result = append_claimed(publisher, buffer, length);
    } while (is_worth_repeating(result) && ++attempt < APPEND_ATTEMPTS);
    assert(result < 0 || result == event->log_position);
    return result;
}

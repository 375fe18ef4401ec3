/* See stream.h. Each life of the publisher has a publication of its own; what it was told of its
 * messages is kept by the simulator, so that the subscriber's side can be checked at once. */
#include "sim/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/client.h>
#include <tern/fragment.h>
#include <tern/image.h>
#include <tern/publication.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "client/seams.h"
#include "shm/log_buffer.h"
#include "sim/check_stream.h"
#include "sim/client.h"
#include "sim/owner.h"

#define PORT 9100
#define MESSAGE_MAX 4000
#define FRAGMENT_LIMIT 10
#define RETRY_NS (100 * NS_PER_MS)

struct stream {
    struct sim *sim;
    struct dice dice;
    struct check_stream check;
    char channel[64];
    bool is_sending;
    int64_t received_count;
    int64_t received_sent_ns; /* of the message that came last */
    uint8_t message[MESSAGE_MAX];
};

/* Publisher or subscriber. */
struct stream_end {
    struct process *process;
    struct stream *stream;
    tern_client *client;
    tern_async *async;
    tern_exclusive_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    int64_t retry_ns;
    int64_t due_ns; /* of the simulation's time */
};

struct message_head {
    int64_t index;
    int64_t sent_ns;
};

static void fill(uint8_t *message, int64_t index, int32_t length) {
    for (int32_t i = (int32_t)sizeof(struct message_head); i < length; i++) {
        message[i] = (uint8_t)(index + i * 7 + i / 251);
    }
}

/* The driver client of an end; work done when it is not there yet, 0: it is. */
static int connect_end(struct stream_end *end, int64_t now_ns, struct tern_error *error) {
    if (end->client == NULL) {
        int result = sim_connect_driver(end->process, &end->retry_ns, &end->client, now_ns, error);
        return result < 0 ? result : 1;
    }
    if (tern_client_is_closed(end->client)) {
        (void)tern_client_status(end->client, error);
        return error->code < 0 ? error->code : -1;
    }
    return 0;
}

static int open_end(struct process *process, struct tern_error *error) {
    struct stream_end *end = calloc(1, sizeof *end);
    (void)error;
    assert(end != NULL);
    end->process = process;
    end->stream = process->sim->stream;
    process->instance = end;
    return 0;
}

static void close_end(struct process *process) {
    struct stream_end *end = process->instance;
    tern_async_cancel(end->async);
    tern_exclusive_publication_close(end->publication);
    tern_subscription_close(end->subscription);
    tern_client_close(end->client);
    tern_fragment_assembler_destroy(end->assembler);
    free(end);
}

/* -- publisher -- */

static int add_publication(struct stream_end *end, int64_t now_ns) {
    struct tern_error error = {0};
    if (end->async == NULL) {
        if (now_ns >= end->retry_ns) {
            end->retry_ns = now_ns + RETRY_NS;
            end->async = tern_client_async_add_exclusive_publication(
                end->client, end->stream->channel, STREAM_STREAM_ID, &error);
        }
        return 0;
    }
    int result = tern_async_poll_exclusive_publication(end->async, &end->publication, &error);
    if (result != 0) {
        end->async = NULL;
    }
    if (result > 0) {
        struct tern_publication_constants constants;
        tern_exclusive_publication_get_constants(end->publication, &constants);
        int owner = owner_switch(OWNER_SIMULATOR);
        check_stream_on_publication(&end->stream->check, constants.session_id,
                                    constants.initial_term_id);
        owner_switch(owner);
        history_line(&end->stream->sim->history, "stream: published as session %d",
                     constants.session_id);
    }
    return result != 0;
}

/* With the headers of all its frames, aligned. */
static int64_t framed_length(const tern_exclusive_publication *publication, int32_t length) {
    int32_t payload_max = tern_exclusive_publication_payload_length_max(publication);
    int64_t whole = length / payload_max;
    int32_t rest = length % payload_max;
    return whole * align_i64(payload_max + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) +
           (rest > 0 ? align_i64(rest + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) : 0);
}

static int publish(struct stream_end *end) {
    struct stream *stream = end->stream;
    const struct sim *sim = stream->sim;
    if (!stream->is_sending || sim->now_ns < end->due_ns) {
        return 0;
    }
    const struct message_head head = {stream->check.publications[stream->check.count - 1].count,
                                      sim->now_ns};
    int64_t longest = dice_chance(&stream->dice, 0.2) ? MESSAGE_MAX : 200;
    int32_t length = (int32_t)dice_between(&stream->dice, sizeof head, longest);
    memcpy(stream->message, &head, sizeof head);
    fill(stream->message, head.index, length);
    int64_t mean_ns = NS_PER_S / sim->options.stream_hz;
    end->due_ns = sim->now_ns + dice_between(&stream->dice, 0, 2 * mean_ns);
    int64_t position = tern_exclusive_publication_offer(end->publication, stream->message, length);
    if (position <= 0) {
        return 0;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    check_stream_on_offer(&stream->check, position - framed_length(end->publication, length),
                          position);
    owner_switch(owner);
    return 1;
}

static int work_publisher(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct stream_end *end = process->instance;
    int work = connect_end(end, now_ns, error);
    if (work != 0) {
        return work < 0 ? work : 0;
    }
    work = tern_client_do_work_at(end->client, now_ns);
    return work + (end->publication == NULL ? add_publication(end, now_ns) : publish(end));
}

/* -- subscriber -- */

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    const struct stream_end *end = context;
    struct stream *stream = end->stream;
    struct tern_image_constants constants;
    struct tern_error problem;
    (void)subscription;
    tern_image_get_constants(image, &constants);
    history_line(&stream->sim->history, "stream: an image of session %d from %lld",
                 constants.session_id, (long long)constants.join_position);
    int64_t publication =
        check_stream_find(&stream->check, constants.session_id, constants.initial_term_id);
    if (publication >= 0 &&
        !check_stream_on_image(&stream->check, publication, constants.join_position, &problem)) {
        sim_fail(stream->sim, "%s", problem.text);
    }
}

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    const struct stream_end *end = context;
    struct tern_image_constants constants;
    (void)subscription;
    tern_image_get_constants(image, &constants);
    tern_fragment_assembler_remove_session(end->assembler, constants.session_id);
    history_line(&end->stream->sim->history, "stream: the image of session %d is gone",
                 constants.session_id);
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    const struct stream_end *end = context;
    struct stream *stream = end->stream;
    struct message_head head;
    struct tern_error problem;
    int64_t publication = check_stream_find(&stream->check, tern_header_session_id(header),
                                            tern_header_initial_term_id(header));
    if (publication < 0 || length < (int32_t)sizeof head || length > MESSAGE_MAX) {
        sim_fail(stream->sim, "stream: %d bytes of session %d, which nobody published", length,
                 tern_header_session_id(header));
        return;
    }
    memcpy(&head, buffer, sizeof head);
    fill(stream->message, head.index, length);
    if (!check_stream_on_message(&stream->check, publication, head.index,
                                 tern_header_position(header), &problem)) {
        sim_fail(stream->sim, "%s", problem.text);
    } else if (memcmp(buffer + sizeof head, stream->message + sizeof head,
                      (size_t)length - sizeof head) != 0) {
        sim_fail(stream->sim, "stream: message %lld has other bytes than were published",
                 (long long)head.index);
    }
    stream->received_count++;
    stream->received_sent_ns = head.sent_ns;
}

static int add_subscription(struct stream_end *end, int64_t now_ns) {
    const struct tern_subscription_params params = {.channel = end->stream->channel,
                                                    .stream_id = STREAM_STREAM_ID,
                                                    .on_available_image = on_image,
                                                    .on_unavailable_image = on_image_gone,
                                                    .handler_context = end};
    struct tern_error error = {0};
    if (end->async == NULL) {
        if (now_ns >= end->retry_ns) {
            end->retry_ns = now_ns + RETRY_NS;
            end->async = tern_client_async_add_subscription(end->client, &params, &error);
        }
        return 0;
    }
    int result = tern_async_poll_subscription(end->async, &end->subscription, &error);
    if (result != 0) {
        end->async = NULL;
    }
    return result != 0;
}

static int open_subscriber(struct process *process, struct tern_error *error) {
    check_stream_on_subscriber(&process->sim->stream->check);
    return open_end(process, error);
}

static int work_subscriber(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct stream_end *end = process->instance;
    if (end->assembler == NULL) {
        end->assembler = tern_fragment_assembler_create(on_message, end);
        return end->assembler == NULL ? error_set(error, -ENOMEM, "no assembler") : 1;
    }
    int work = connect_end(end, now_ns, error);
    if (work != 0) {
        return work < 0 ? work : 0;
    }
    work = tern_client_do_work_at(end->client, now_ns);
    if (end->subscription == NULL) {
        return work + add_subscription(end, now_ns);
    }
    return work + tern_subscription_poll(end->subscription, tern_fragment_assembler_on_fragment,
                                         end->assembler, FRAGMENT_LIMIT);
}

/* -- both -- */

static const struct process_operations publisher_operations = {"publisher", open_end,
                                                               work_publisher, close_end};
static const struct process_operations subscriber_operations = {"subscriber", open_subscriber,
                                                                work_subscriber, close_end};

void stream_add(struct sim *sim) {
    if (sim->options.stream_hz == 0) {
        return;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    assert(stream != NULL);
    stream->sim = sim;
    stream->dice.state = dice_next(&sim->dice);
    stream->received_sent_ns = -1;
    (void)snprintf(stream->channel, sizeof stream->channel, "aeron:udp?endpoint=10.0.0.2:%d", PORT);
    sim->stream = stream;
    (void)process_add(&sim->machines[0], PROCESS_STREAM, &publisher_operations);
    (void)process_add(&sim->machines[1], PROCESS_STREAM, &subscriber_operations);
}

void stream_destroy(struct stream *stream) {
    if (stream != NULL) {
        check_stream_close(&stream->check);
        free(stream);
    }
}

void stream_set_sending(struct stream *stream, bool is_sending) {
    if (stream != NULL) {
        stream->is_sending = is_sending;
    }
}

bool stream_is_served(const struct stream *stream, int64_t since_ns) {
    return stream == NULL || stream->received_sent_ns >= since_ns;
}

bool stream_is_level(const struct stream *stream) {
    if (stream == NULL) {
        return true;
    }
    const struct check_stream *check = &stream->check;
    return check->count > 0 && check->publications[check->count - 1].next ==
                                   check->publications[check->count - 1].count;
}

int64_t stream_received(const struct stream *stream) {
    return stream == NULL ? 0 : stream->received_count;
}

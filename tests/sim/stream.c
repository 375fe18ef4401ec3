/* See stream.h. Each life of the publisher has a publication of its own; what it was told of its
 * messages is kept by the simulator, for each subscriber by itself, so that its side can be checked
 * at once. */
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
#include "base/compiler.h"
#include "client/seams.h"
#include "shm/log_buffer.h"
#include "sim/check_stream.h"
#include "sim/client.h"
#include "sim/owner.h"

#define CHANNEL_MAX 160
#define SUBSCRIBERS_MAX 2
#define MESSAGE_MAX 4000
#define FRAGMENT_LIMIT 10
#define RETRY_NS (100 * NS_PER_MS)

/* The ways of a stream. Each %d of a subscription is the address of its own machine. */
struct way {
    const char *name;
    const char *publication;
    bool is_lossy;
    struct {
        int machine; /* -1: the third, or the first one when there are but two */
        const char *channel;
    } subscriptions[SUBSCRIBERS_MAX];
};

#define SOURCE "aeron:udp?control=10.0.0.1:9101|control-mode=dynamic"
#define MEMBER "aeron:udp?endpoint=10.0.0.%d:9100|control=10.0.0.1:9101|control-mode=dynamic"
#define UNICAST "aeron:udp?endpoint=10.0.0.2:9100"

static const struct way ways[] = {
    {"unicast", UNICAST, false, {{1, UNICAST}, {0}}},
    {"unreliable", UNICAST, true, {{1, UNICAST "|reliable=false"}, {0}}},
    {"destinations, min", SOURCE "|fc=min,g:/1", false, {{1, MEMBER}, {-1, MEMBER}}},
    {"destinations, tagged",
     SOURCE "|fc=tagged,g:7/1",
     false,
     {{1, MEMBER "|gtag=7"}, {-1, MEMBER "|gtag=7"}}},
    {"receiver and spy",
     UNICAST "|ssc=true",
     false,
     {{1, UNICAST}, {0, "aeron-spy:" UNICAST "|ssc=true"}}},
};

struct subscriber {
    const struct process *process;
    struct check_stream check;
    char channel[CHANNEL_MAX];
    int64_t received_count;
    int64_t received_sent_ns; /* of the message that came last */
    int64_t position;         /* in the newest publication, when messages may be left out */
};

struct stream {
    struct sim *sim;
    struct dice dice;
    const struct way *way;
    struct subscriber subscribers[SUBSCRIBERS_MAX];
    int subscriber_count;
    bool is_sending;
    uint8_t message[MESSAGE_MAX];
};

/* Publisher or subscriber. */
struct stream_end {
    struct process *process;
    struct stream *stream;
    struct subscriber *subscriber; /* NULL: the publisher */
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
                end->client, end->stream->way->publication, STREAM_STREAM_ID, &error);
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
        for (int i = 0; i < end->stream->subscriber_count; i++) {
            check_stream_on_publication(&end->stream->subscribers[i].check, constants.session_id,
                                        constants.initial_term_id);
        }
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
    const struct check_stream *check = &stream->subscribers[0].check;
    const struct message_head head = {check->publications[check->count - 1].count, sim->now_ns};
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
    int64_t start = position - framed_length(end->publication, length);
    for (int i = 0; i < stream->subscriber_count; i++) {
        check_stream_on_offer(&stream->subscribers[i].check, start, position);
    }
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
    struct check_stream *check = &end->subscriber->check;
    int64_t publication = check_stream_find(check, constants.session_id, constants.initial_term_id);
    if (publication >= 0 &&
        !check_stream_on_image(check, publication, constants.join_position, &problem)) {
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
    struct check_stream *check = &end->subscriber->check;
    struct message_head head;
    struct tern_error problem;
    int64_t publication = check_stream_find(check, tern_header_session_id(header),
                                            tern_header_initial_term_id(header));
    if (publication < 0 || length < (int32_t)sizeof head || length > MESSAGE_MAX) {
        sim_fail(stream->sim, "stream: %d bytes of session %d, which nobody published", length,
                 tern_header_session_id(header));
        return;
    }
    memcpy(&head, buffer, sizeof head);
    fill(stream->message, head.index, length);
    if (!check_stream_on_message(check, publication, head.index, tern_header_position(header),
                                 &problem)) {
        sim_fail(stream->sim, "%s", problem.text);
    } else if (memcmp(buffer + sizeof head, stream->message + sizeof head,
                      (size_t)length - sizeof head) != 0) {
        sim_fail(stream->sim, "stream: message %lld has other bytes than were published",
                 (long long)head.index);
    }
    end->subscriber->received_count++;
    end->subscriber->received_sent_ns = head.sent_ns;
}

static int add_subscription(struct stream_end *end, int64_t now_ns) {
    const struct tern_subscription_params params = {.channel = end->subscriber->channel,
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

/* What is left out of an unreliable stream is padding, which only the position shows. */
static void note_position(const struct stream_end *end) {
    const struct check_stream *check = &end->subscriber->check;
    if (!check->is_lossy || check->count == 0) {
        return;
    }
    tern_image *image = tern_subscription_image_by_session_id(
        end->subscription, check->publications[check->count - 1].session_id);
    end->subscriber->position = image == NULL ? -1 : tern_image_position(image);
    tern_image_release(image);
}

static int open_subscriber(struct process *process, struct tern_error *error) {
    struct stream *stream = process->sim->stream;
    int result = open_end(process, error);
    struct stream_end *end = process->instance;
    for (int i = 0; i < stream->subscriber_count; i++) {
        if (stream->subscribers[i].process == process) {
            end->subscriber = &stream->subscribers[i];
        }
    }
    assert(end->subscriber != NULL);
    check_stream_on_subscriber(&end->subscriber->check);
    return result;
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
    work += tern_subscription_poll(end->subscription, tern_fragment_assembler_on_fragment,
                                   end->assembler, FRAGMENT_LIMIT);
    note_position(end);
    return work;
}

/* -- both -- */

static const struct process_operations publisher_operations = {"publisher", open_end,
                                                               work_publisher, close_end};
static const struct process_operations subscriber_operations = {"subscriber", open_subscriber,
                                                                work_subscriber, close_end};

/* By dice of their own: the messages of a seed do not depend on their way. */
static const struct way *draw_way(const struct stream *stream) {
    struct dice dice = {stream->dice.state ^ UINT64_C(0x5EED0FA3AB)};
    return dice_chance(&dice, 0.3) ? &ways[0]
                                   : &ways[dice_between(&dice, 1, ARRAY_COUNT(ways) - 1)];
}

static void add_subscriber(struct stream *stream, int machine, const char *channel) {
    struct sim *sim = stream->sim;
    struct subscriber *subscriber = &stream->subscribers[stream->subscriber_count++];
    if (machine < 0) {
        machine = sim->machine_count > 2 ? 2 : 0;
    }
    const char *number = strstr(channel, "%d");
    int length = number == NULL ? (int)strlen(channel) : (int)(number - channel);
    int printed = snprintf(subscriber->channel, CHANNEL_MAX, "%.*s", length, channel);
    if (number != NULL) {
        (void)snprintf(subscriber->channel + printed, (size_t)(CHANNEL_MAX - printed), "%d%s",
                       machine + 1, number + 2);
    }
    subscriber->check.is_lossy = stream->way->is_lossy;
    subscriber->received_sent_ns = -1;
    subscriber->process =
        process_add(&sim->machines[machine], PROCESS_STREAM, &subscriber_operations);
}

void stream_add(struct sim *sim) {
    if (sim->options.stream_hz == 0) {
        return;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    assert(stream != NULL);
    stream->sim = sim;
    stream->dice.state = dice_next(&sim->dice);
    stream->way = draw_way(stream);
    sim->stream = stream;
    history_line(&sim->history, "stream: %s", stream->way->name);
    (void)process_add(&sim->machines[0], PROCESS_STREAM, &publisher_operations);
    for (int i = 0; i < SUBSCRIBERS_MAX && stream->way->subscriptions[i].channel != NULL; i++) {
        add_subscriber(stream, stream->way->subscriptions[i].machine,
                       stream->way->subscriptions[i].channel);
    }
}

void stream_destroy(struct stream *stream) {
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        check_stream_close(&stream->subscribers[i].check);
    }
    free(stream);
}

void stream_set_sending(struct stream *stream, bool is_sending) {
    if (stream != NULL) {
        stream->is_sending = is_sending;
    }
}

bool stream_is_served(const struct stream *stream, int64_t since_ns) {
    bool is_served = true;
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        is_served = is_served && stream->subscribers[i].received_sent_ns >= since_ns;
    }
    return is_served;
}

static bool is_level(const struct subscriber *subscriber) {
    const struct check_stream *check = &subscriber->check;
    if (check->count == 0) {
        return false;
    }
    const struct check_publication *newest = &check->publications[check->count - 1];
    return check->is_lossy ? newest->count > 0 &&
                                 subscriber->position >= newest->messages[newest->count - 1].end
                           : newest->next == newest->count;
}

bool stream_is_level(const struct stream *stream) {
    bool are_level = true;
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        are_level = are_level && is_level(&stream->subscribers[i]);
    }
    return are_level;
}

int64_t stream_received(const struct stream *stream) {
    int64_t count = 0;
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        count += stream->subscribers[i].received_count;
    }
    return count;
}

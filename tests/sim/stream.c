/* See stream.h. Each life of a publisher has a publication of its own; what it was told of its
 * messages is kept by the simulator, for each subscriber by itself, so that its side can be checked
 * at once. */
#include "sim/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>
#include <tern/publication.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "sim/client.h"
#include "sim/stream_end.h"

#define WAY_SALT UINT64_C(0x5EED0FA3AB)
#define HABITS_SALT UINT64_C(0x4AB1757EED)
#define SPY_PREFIX "aeron-spy:"
#define TURN_MIN_MS 500 /* that a destination is there */
#define TURN_MAX_MS 15000
#define AWAY_MAX_MS 12000 /* ... or is not */

/* -- ends -- */

void stream_fill(uint8_t *message, int64_t index, int32_t length) {
    for (int32_t i = (int32_t)sizeof(struct stream_message_head); i < length; i++) {
        message[i] = (uint8_t)(index + i * 7 + i / 251);
    }
}

int stream_connect_end(struct stream_end *end, int64_t now_ns, struct tern_error *error) {
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

int stream_open_end(struct process *process, struct tern_error *error) {
    struct stream_end *end = calloc(1, sizeof *end);
    (void)error;
    assert(end != NULL);
    end->process = process;
    end->stream = process->context;
    process->instance = end;
    return 0;
}

void stream_close_end(struct process *process) {
    struct stream_end *end = process->instance;
    stream_drop_destinations(end);
    tern_async_cancel(end->async);
    tern_publication_close(end->shared);
    tern_exclusive_publication_close(end->exclusive);
    tern_subscription_close(end->subscription);
    tern_client_close(end->client);
    tern_fragment_assembler_destroy(end->assembler);
    free(end);
}

int64_t stream_draw_time(struct stream *stream, int64_t min_ms, int64_t max_ms) {
    return stream->sim->now_ns + dice_scale(&stream->habits, min_ms, max_ms) * NS_PER_MS;
}

/* -- destinations -- */

static tern_async *ask_for_destination(const struct stream_end *end, const char *channel,
                                       bool is_added) {
    struct tern_error error;
    if (end->subscription != NULL) {
        return is_added
                   ? tern_subscription_async_add_destination(end->subscription, channel, &error)
                   : tern_subscription_async_remove_destination(end->subscription, channel, &error);
    }
    return is_added
               ? tern_exclusive_publication_async_add_destination(end->exclusive, channel, &error)
               : tern_exclusive_publication_async_remove_destination(end->exclusive, channel,
                                                                     &error);
}

static void poll_destination(const struct stream_end *end, struct stream_destination *destination) {
    struct tern_error error = {0};
    struct stream *stream = end->stream;
    int result = tern_async_poll_destination(destination->async, &error);
    if (result == 0) {
        return;
    }
    destination->async = NULL;
    if (result < 0) {
        history_line(&stream->sim->history, "%s: stream: no destination: %s",
                     end->process->machine->name, error.text);
        destination->is_there = !destination->is_there;
        destination->retry_ns = stream->sim->now_ns + STREAM_RETRY_NS;
        return;
    }
    destination->due_ns = destination->is_there ? stream_draw_time(stream, TURN_MIN_MS, TURN_MAX_MS)
                                                : stream_draw_time(stream, 1, AWAY_MAX_MS);
}

static void turn_destination(const struct stream_end *end, struct stream_destination *destination,
                             const char *text) {
    const struct stream *stream = end->stream;
    bool is_due = stream->sim->now_ns >= destination->due_ns;
    bool is_restless = stream->is_restless && (end->place->habits & HABIT_TURNS) != 0;
    bool is_to_stay = destination->is_there ? !is_due || !is_restless : !is_due && is_restless;
    if (is_to_stay || stream->sim->now_ns < destination->retry_ns) {
        return;
    }
    char channel[STREAM_CHANNEL_MAX];
    stream_expand(stream->sim, text, end->process->machine->index, channel);
    destination->async = ask_for_destination(end, channel, !destination->is_there);
    if (destination->async != NULL) {
        destination->is_there = !destination->is_there;
        history_line(&stream->sim->history, "%s: stream: %s destination %s",
                     end->process->machine->name, destination->is_there ? "adds" : "removes",
                     channel);
    }
}

int stream_turn_destinations(struct stream_end *end) {
    for (int i = 0; i < STREAM_DESTINATIONS_MAX && end->place->destinations[i] != NULL; i++) {
        struct stream_destination *destination = &end->destinations[i];
        if (destination->async != NULL) {
            poll_destination(end, destination);
        } else {
            turn_destination(end, destination, end->place->destinations[i]);
        }
    }
    return 0;
}

void stream_drop_destinations(struct stream_end *end) {
    for (int i = 0; i < STREAM_DESTINATIONS_MAX; i++) {
        tern_async_cancel(end->destinations[i].async);
        end->destinations[i] = (struct stream_destination){0};
    }
}

/* -- the whole -- */

static struct process *add_process(struct stream *stream, const struct stream_place *place,
                                   const struct process_operations *operations, char *channel) {
    struct sim *sim = stream->sim;
    int machine = stream_machine_index(sim, place->machine);
    stream_expand(sim, place->channel, machine, channel);
    struct process *process = process_add(&sim->machines[machine], PROCESS_STREAM, operations);
    process->context = stream;
    return process;
}

static void add_publisher(struct stream *stream, const struct stream_place *place) {
    int number = stream->publisher_count++;
    struct stream_publisher *publisher = &stream->publishers[number];
    bool is_one_source = stream->way->is_shared || stream->way->is_twin;
    *publisher = (struct stream_publisher){.place = place,
                                           .source = is_one_source ? 0 : number,
                                           .publication = -1,
                                           .start = INT64_MAX};
    struct process *process =
        add_process(stream, place, &stream_publisher_operations, publisher->channel);
    process->number = number;
}

static bool is_spy(const struct stream_place *place) {
    bool is_one = strstr(place->channel, SPY_PREFIX) != NULL;
    for (int i = 0; i < STREAM_DESTINATIONS_MAX && place->destinations[i] != NULL; i++) {
        is_one = is_one || strstr(place->destinations[i], SPY_PREFIX) != NULL;
    }
    return is_one;
}

static void add_subscriber(struct stream *stream, const struct stream_place *place) {
    int number = stream->subscriber_count++;
    struct stream_subscriber *subscriber = &stream->subscribers[number];
    subscriber->place = place;
    subscriber->check.is_lossy = stream->way->is_lossy;
    subscriber->check.is_spy = is_spy(place);
    subscriber->check.may_go_back = stream->way->is_twin;
    memset(subscriber->received_sent_ns, -1, sizeof subscriber->received_sent_ns);
    struct process *process =
        add_process(stream, place, &stream_subscriber_operations, subscriber->channel);
    process->number = number;
}

static struct stream *create(struct sim *sim, const struct dice *dice,
                             const struct stream_way *way) {
    struct stream *stream = calloc(1, sizeof *stream);
    assert(stream != NULL);
    *stream = (struct stream){
        .sim = sim, .dice = *dice, .habits = {dice->state ^ HABITS_SALT}, .way = way};
    return stream;
}

static void add_ends(struct stream *stream) {
    const struct stream_way *way = stream->way;
    history_line(&stream->sim->history, "stream: %s", way->name);
    for (int i = 0; i < STREAM_PUBLISHERS_MAX && way->publishers[i].channel != NULL; i++) {
        add_publisher(stream, &way->publishers[i]);
    }
    for (int i = 0; i < STREAM_SUBSCRIBERS_MAX && way->subscribers[i].channel != NULL; i++) {
        add_subscriber(stream, &way->subscribers[i]);
    }
}

void stream_add(struct sim *sim) {
    if (sim->options.stream_hz == 0) {
        return;
    }
    const struct dice dice = {dice_next(&sim->dice)};
    struct dice way_dice = {dice.state ^ WAY_SALT};
    sim->stream = create(sim, &dice, stream_way_draw(&way_dice));
    sim->stream->stream_id = STREAM_STREAM_ID;
    sim->stream->rate_hz = sim->options.stream_hz;
    add_ends(sim->stream);
}

void stream_add_transport(struct sim *sim) {
    const struct stream_way *way = transport_way_find(sim->options.transport);
    if (way == NULL) {
        return;
    }
    const struct dice dice = {dice_next(&sim->dice)};
    sim->transport = create(sim, &dice, way);
    sim->transport->stream_id = TRANSPORT_STREAM_ID;
    sim->transport->rate_hz = sim->options.transport_hz;
    add_ends(sim->transport);
}

void stream_destroy(struct stream *stream) {
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        check_stream_close(&stream->subscribers[i].check);
    }
    if (stream != NULL) {
        free(stream->twin_messages);
    }
    free(stream);
}

void stream_set_sending(struct stream *stream, bool is_sending) {
    if (stream != NULL) {
        stream->is_sending = is_sending;
    }
}

void stream_set_restless(struct stream *stream, bool is_restless) {
    if (stream != NULL) {
        stream->is_restless = is_restless;
    }
}

static bool hears(const struct stream_subscriber *subscriber, int source) {
    return subscriber->place->sources == 0 || (subscriber->place->sources >> source & 1) != 0;
}

static bool is_subscriber_served(const struct stream *stream,
                                 const struct stream_subscriber *subscriber, int64_t since_ns) {
    for (int i = 0; i < stream->publisher_count; i++) {
        int source = stream->publishers[i].source;
        if (hears(subscriber, source) && subscriber->received_sent_ns[source] < since_ns) {
            return (subscriber->place->habits & HABIT_STALLS) != 0;
        }
    }
    return true;
}

bool stream_is_served(const struct stream *stream, int64_t since_ns) {
    bool is_served = true;
    for (int i = 0; stream != NULL && i < stream->publisher_count; i++) {
        is_served = is_served && stream->publishers[i].offered_ns >= since_ns;
    }
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        is_served = is_served && is_subscriber_served(stream, &stream->subscribers[i], since_ns);
    }
    return is_served;
}

bool stream_is_steady(const struct stream *stream, int64_t since_ns) {
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        if ((stream->subscribers[i].place->habits & HABIT_STALLS) != 0) {
            return true;
        }
    }
    return stream_is_served(stream, since_ns);
}

static bool is_level(const struct stream *stream, const struct stream_subscriber *subscriber) {
    for (int i = 0; i < stream->publisher_count; i++) {
        int64_t publication = stream->publishers[i].publication;
        if (!hears(subscriber, stream->publishers[i].source)) {
            continue;
        }
        if (publication < 0 ||
            !check_stream_is_level(&subscriber->check, publication, subscriber->position)) {
            return false;
        }
    }
    return true;
}

bool stream_is_level(const struct stream *stream) {
    bool are_level = true;
    for (int i = 0; stream != NULL && i < stream->subscriber_count; i++) {
        are_level = are_level && is_level(stream, &stream->subscribers[i]);
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

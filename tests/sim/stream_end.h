/* What the files of the streams share: the model, which is the simulator's and outlives all
 * processes, and the two kinds of ends, which are processes (publisher.c, subscriber.c). */
#ifndef TERN_SIM_STREAM_END_H
#define TERN_SIM_STREAM_END_H

#include <tern/client.h>

#include "sim/check_stream.h"
#include "sim/stream.h"
#include "sim/stream_ways.h"

#define STREAM_MESSAGE_MAX 4000
#define STREAM_FRAGMENT_LIMIT 10
#define STREAM_RETRY_NS (100 * NS_PER_MS)

struct stream_publisher {
    const struct stream_place *place;
    char channel[STREAM_CHANNEL_MAX];
    int source;          /* its number, or 0 for all that publish the same */
    int64_t publication; /* of the checks; -1: none yet */
    int64_t offered_ns;  /* when it last published */
    int64_t start;       /* where its publication began; INT64_MAX: it has none */
};

struct stream_subscriber {
    const struct stream_place *place;
    char channel[STREAM_CHANNEL_MAX];
    struct check_stream check;
    int64_t received_count;
    int64_t received_sent_ns[STREAM_PUBLISHERS_MAX]; /* of the message that came last of a source */
    int64_t position; /* in the newest publication, when messages may be left out */
};

struct stream {
    struct sim *sim;
    struct dice dice;
    struct dice habits;
    const struct stream_way *way;
    int32_t stream_id;
    int64_t rate_hz;
    struct stream_publisher publishers[STREAM_PUBLISHERS_MAX];
    int publisher_count;
    struct stream_subscriber subscribers[STREAM_SUBSCRIBERS_MAX];
    int subscriber_count;
    bool is_sending;
    bool is_restless;
    struct stream_twin_message {
        int32_t length;
        int64_t sent_ns;
    } * twin_messages; /* that twins publish, in the order of their one publication */
    int64_t twin_count;
    int64_t twin_capacity;
    uint8_t message[STREAM_MESSAGE_MAX];
};

struct stream_message_head {
    int64_t index;
    int64_t sent_ns;
};

/* What an end keeps in its driver besides: a destination of its publication or subscription. */
struct stream_destination {
    tern_async *async;
    bool is_there;  /* or is to be, by the request under way */
    int64_t due_ns; /* of the next thing with it */
    int64_t retry_ns;
};

/* One life of a publisher or subscriber. */
struct stream_end {
    struct process *process;
    struct stream *stream;
    struct stream_publisher *publisher;   /* or NULL */
    struct stream_subscriber *subscriber; /* or NULL */
    const struct stream_place *place;
    tern_client *client;
    tern_async *async;
    tern_publication *shared;
    tern_exclusive_publication *exclusive;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    struct stream_destination destinations[STREAM_DESTINATIONS_MAX];
    int64_t retry_ns;
    int64_t due_ns;      /* of the next message; of the simulation's time, as all below */
    int64_t cursor;      /* message that a twin publishes next */
    int64_t progress_ns; /* when a twin last published, or began to */
    int64_t renew_ns;    /* when it closes what it has */
    int64_t stall_ns;    /* when it stops polling, or begins again */
    bool is_stalled;
};

extern const struct process_operations stream_publisher_operations;
extern const struct process_operations stream_subscriber_operations;

/* -- stream.c -- */

void stream_fill(uint8_t *message, int64_t index, int32_t length);
int stream_open_end(struct process *process, struct tern_error *error);
/* Work done when its driver's client is not there yet, 0: it is. */
int stream_connect_end(struct stream_end *end, int64_t now_ns, struct tern_error *error);
void stream_close_end(struct process *process);
/* After a time between the two from now; in milliseconds. */
int64_t stream_draw_time(struct stream *stream, int64_t min_ms, int64_t max_ms);
/* Bring the destinations of its place, and take them away by habit. */
int stream_turn_destinations(struct stream_end *end);
void stream_drop_destinations(struct stream_end *end);

#endif

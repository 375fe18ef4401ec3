/* A publisher of a stream beside the cluster. Its offers are noted in the model of each subscriber.
 *
 * Twins publish the same messages with the same session at the same positions, as a replay and the
 * live stream do. What one of them publishes first the other one has to publish, too. One that
 * begins anew begins where the model ends, or where the image is that both send to when the other
 * one has not what it needs: it would be in no log any more, and the image would wait for it as
 * long as anybody sends to it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/publication.h>

#include "base/bits.h"
#include "client/seams.h"
#include "driverd/driver.h"
#include "driverd/image.h"
#include "shm/log_buffer.h"
#include "sim/owner.h"
#include "sim/stream_end.h"

#define RENEW_MIN_MS 2000
#define RENEW_MAX_MS 20000
#define PAUSE_MAX_MS 4000
#define TWIN_SESSION_ID 4713
#define TWIN_TERM_ID 1000
#define TWIN_TERM_LENGTH (1024 * 1024) /* a sender hears what receivers say within half of it */
#define TWIN_WAITS_NS (12 * NS_PER_S)  /* for a receiver, before it begins anew */

/* -- what there are two kinds of -- */

static bool has_publication(const struct stream_end *end) {
    return end->shared != NULL || end->exclusive != NULL;
}

static void get_constants(const struct stream_end *end,
                          struct tern_publication_constants *constants) {
    if (end->shared != NULL) {
        tern_publication_get_constants(end->shared, constants);
    } else {
        tern_exclusive_publication_get_constants(end->exclusive, constants);
    }
}

static int64_t position_of(const struct stream_end *end) {
    return end->shared != NULL ? tern_publication_position(end->shared)
                               : tern_exclusive_publication_position(end->exclusive);
}

static int64_t offer(const struct stream_end *end, int32_t length) {
    const uint8_t *message = end->stream->message;
    return end->shared != NULL ? tern_publication_offer(end->shared, message, length)
                               : tern_exclusive_publication_offer(end->exclusive, message, length);
}

static int poll_publication(struct stream_end *end, struct tern_error *error) {
    return end->stream->way->is_shared
               ? tern_async_poll_publication(end->async, &end->shared, error)
               : tern_async_poll_exclusive_publication(end->async, &end->exclusive, error);
}

/* -- where a twin begins -- */

/* What the image that both send to needs next; INT64_MAX: there is none. */
static int64_t needed_position(const struct stream *stream) {
    const struct sim *sim = stream->sim;
    int machine = stream_machine_index(sim, stream->subscribers[0].place->machine);
    const struct process *process = sim->machines[machine].processes[PROCESS_DRIVER];
    const struct driver *driver = process->is_up ? process->instance : NULL;
    for (int32_t i = 0; driver != NULL && i < driver->conductor.images.count; i++) {
        const struct image *image = driver->conductor.images.items[i];
        if (image->session_id == TWIN_SESSION_ID && image->state == IMAGE_STATE_ACTIVE) {
            return image->position;
        }
    }
    return INT64_MAX;
}

/* No twin has it in its log, or will have. */
static bool is_missing(const struct stream *stream, int64_t position) {
    for (int i = 0; i < stream->publisher_count; i++) {
        if (stream->publishers[i].start <= position) {
            return false;
        }
    }
    return position != INT64_MAX;
}

static int64_t begin_twin(struct stream_end *end) {
    const struct stream *stream = end->stream;
    const struct check_stream *check = &stream->subscribers[0].check;
    const struct check_publication *of = check->count == 0 ? NULL : &check->publications[0];
    int64_t needed = needed_position(stream);
    bool is_lost = is_missing(stream, needed);
    end->cursor = of == NULL ? 0 : of->count;
    while (is_lost && end->cursor > 0 && of->messages[end->cursor - 1].end > needed) {
        end->cursor--;
    }
    return end->cursor == 0 ? 0 : of->messages[end->cursor - 1].end;
}

/* That of a twin says where it begins. */
static void print_channel(struct stream_end *end, char *channel, size_t size) {
    if (!end->stream->way->is_twin) {
        (void)snprintf(channel, size, "%s", end->publisher->channel);
        return;
    }
    int64_t position = begin_twin(end);
    (void)snprintf(channel, size,
                   "%s|session-id=%d|term-length=1m|init-term-id=%d|term-id=%lld|term-offset=%lld",
                   end->publisher->channel, TWIN_SESSION_ID, TWIN_TERM_ID,
                   (long long)(TWIN_TERM_ID + position / TWIN_TERM_LENGTH),
                   (long long)(position % TWIN_TERM_LENGTH));
}

static void ask_for_publication(struct stream_end *end) {
    const struct stream *stream = end->stream;
    char channel[2 * STREAM_CHANNEL_MAX];
    struct tern_error error;
    print_channel(end, channel, sizeof channel);
    end->async =
        stream->way->is_shared
            ? tern_client_async_add_publication(end->client, channel, stream->stream_id, &error)
            : tern_client_async_add_exclusive_publication(end->client, channel, stream->stream_id,
                                                          &error);
}

/* -- a publication comes and goes -- */

/* Others may write to its log already. */
static void note_publication(struct stream_end *end) {
    struct stream *stream = end->stream;
    struct stream_publisher *publisher = end->publisher;
    struct tern_publication_constants constants;
    get_constants(end, &constants);
    publisher->publication = check_stream_find(&stream->subscribers[0].check, constants.session_id,
                                               constants.initial_term_id);
    if (publisher->publication < 0) {
        int owner = owner_switch(OWNER_SIMULATOR);
        for (int i = 0; i < stream->subscriber_count; i++) {
            check_stream_on_publication(&stream->subscribers[i].check, constants.session_id,
                                        constants.initial_term_id, publisher->source);
        }
        owner_switch(owner);
        publisher->publication = stream->subscribers[0].check.count - 1;
    }
    history_line(&stream->sim->history, "%s: stream: published as session %d from %lld",
                 end->process->machine->name, constants.session_id, (long long)position_of(end));
}

static int add_publication(struct stream_end *end, int64_t now_ns) {
    struct tern_error error = {0};
    if (end->async == NULL) {
        if (now_ns >= end->retry_ns) {
            end->retry_ns = now_ns + STREAM_RETRY_NS;
            ask_for_publication(end);
        }
        return 0;
    }
    int result = poll_publication(end, &error);
    if (result != 0) {
        end->async = NULL;
    }
    if (result > 0) {
        note_publication(end);
        end->publisher->start = position_of(end);
        end->progress_ns = end->stream->sim->now_ns;
    }
    if (result > 0 && end->place->habits != 0) {
        end->renew_ns = stream_draw_time(end->stream, RENEW_MIN_MS, RENEW_MAX_MS);
    }
    return result != 0;
}

/* Also a twin that is too far behind the other one to be heard. */
static bool is_to_renew(const struct stream_end *end) {
    const struct stream *stream = end->stream;
    int64_t now_ns = stream->sim->now_ns;
    bool has_habit = (end->place->habits & HABIT_RENEWS) != 0;
    return (has_habit && stream->is_restless && now_ns >= end->renew_ns) ||
           (stream->way->is_twin && stream->is_sending &&
            now_ns >= end->progress_ns + TWIN_WAITS_NS);
}

/* What the image needs was lost with the twins that died. If this one only closed, its driver would
 * keep the publication until all is received, which cannot be. */
static bool is_in_vain(const struct stream_end *end) {
    return end->stream->way->is_twin && is_missing(end->stream, needed_position(end->stream));
}

static bool renew(struct stream_end *end, int64_t now_ns) {
    struct stream *stream = end->stream;
    bool is_vain = is_in_vain(end);
    if (!is_vain && !is_to_renew(end)) {
        return false;
    }
    bool is_revoked =
        is_vain || ((end->place->habits & HABIT_REVOKES) != 0 && dice_chance(&stream->habits, 0.5));
    history_line(&stream->sim->history, "%s: stream: a publication is %s",
                 end->process->machine->name, is_revoked ? "revoked" : "closed");
    stream_drop_destinations(end);
    tern_publication_close(end->shared);
    if (is_revoked) {
        tern_exclusive_publication_revoke(end->exclusive);
    } else {
        tern_exclusive_publication_close(end->exclusive);
    }
    end->shared = NULL;
    end->exclusive = NULL;
    end->publisher->start = INT64_MAX;
    end->retry_ns = now_ns + dice_scale(&stream->habits, 1, PAUSE_MAX_MS) * NS_PER_MS;
    return true;
}

/* -- messages -- */

/* With the headers of all its frames, aligned. */
static int64_t framed_length(const struct stream_end *end, int32_t length) {
    struct tern_publication_constants constants;
    get_constants(end, &constants);
    int32_t payload_max = constants.payload_length_max;
    int64_t whole = length / payload_max;
    int32_t rest = length % payload_max;
    return whole * align_i64(payload_max + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) +
           (rest > 0 ? align_i64(rest + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) : 0);
}

static void note_offer(const struct stream_end *end, int32_t length, int64_t position) {
    struct stream *stream = end->stream;
    int owner = owner_switch(OWNER_SIMULATOR);
    int64_t start = position - framed_length(end, length);
    for (int i = 0; i < stream->subscriber_count; i++) {
        check_stream_on_offer(&stream->subscribers[i].check, end->publisher->publication, start,
                              position);
    }
    owner_switch(owner);
}

static struct stream_twin_message draw_message(struct stream *stream) {
    int64_t longest = dice_chance(&stream->dice, 0.2) ? STREAM_MESSAGE_MAX : 200;
    int64_t length = dice_between(&stream->dice, sizeof(struct stream_message_head), longest);
    return (struct stream_twin_message){(int32_t)length, stream->sim->now_ns};
}

static int64_t draw_due(struct stream *stream) {
    int64_t mean_ns = NS_PER_S / stream->rate_hz;
    return stream->sim->now_ns + dice_between(&stream->dice, 0, 2 * mean_ns);
}

/* The position, or why it was not taken. */
static int64_t offer_message(const struct stream_end *end, int64_t index,
                             const struct stream_twin_message *message) {
    struct stream *stream = end->stream;
    const struct stream_message_head head = {index, message->sent_ns};
    memcpy(stream->message, &head, sizeof head);
    stream_fill(stream->message, index, message->length);
    int64_t position = offer(end, message->length);
    if (position > 0) {
        end->publisher->offered_ns = stream->sim->now_ns;
    }
    return position;
}

static int publish(struct stream_end *end) {
    struct stream *stream = end->stream;
    if (!stream->is_sending || stream->sim->now_ns < end->due_ns) {
        return 0;
    }
    const struct check_stream *check = &stream->subscribers[0].check;
    int64_t index = check->publications[end->publisher->publication].count;
    const struct stream_twin_message message = draw_message(stream);
    end->due_ns = draw_due(stream);
    int64_t position = offer_message(end, index, &message);
    if (position > 0) {
        note_offer(end, message.length, position);
    }
    return position > 0;
}

/* -- twins -- */

/* One that is not taken at once stays: it may have filled a term with padding, as it will have to
 * for the other one. */
static void draw_twin_message(struct stream *stream) {
    if (stream->twin_count == stream->twin_capacity) {
        int owner = owner_switch(OWNER_SIMULATOR);
        stream->twin_capacity = 2 * stream->twin_capacity + 1024;
        stream->twin_messages = realloc(stream->twin_messages, (size_t)stream->twin_capacity *
                                                                   sizeof stream->twin_messages[0]);
        owner_switch(owner);
        assert(stream->twin_messages != NULL);
    }
    stream->twin_messages[stream->twin_count++] = draw_message(stream);
}

static int publish_as_twin(struct stream_end *end) {
    struct stream *stream = end->stream;
    const struct check_publication *of =
        &stream->subscribers[0].check.publications[end->publisher->publication];
    if (end->cursor == stream->twin_count) {
        if (!stream->is_sending || stream->sim->now_ns < end->due_ns) {
            return 0;
        }
        draw_twin_message(stream);
        end->due_ns = draw_due(stream);
    }
    const struct stream_twin_message *message = &stream->twin_messages[end->cursor];
    int64_t position = offer_message(end, end->cursor, message);
    if (position <= 0) {
        return 0;
    }
    if (end->cursor == of->count) {
        note_offer(end, message->length, position);
    }
    if (position != of->messages[end->cursor].end) {
        sim_fail(stream->sim, "stream: twins are at %lld and %lld with message %lld",
                 (long long)position, (long long)of->messages[end->cursor].end,
                 (long long)end->cursor);
    }
    end->cursor++;
    end->progress_ns = stream->sim->now_ns;
    return 1;
}

/* -- the process -- */

static int open_publisher(struct process *process, struct tern_error *error) {
    int result = stream_open_end(process, error);
    struct stream_end *end = process->instance;
    end->publisher = &end->stream->publishers[process->number];
    end->publisher->start = INT64_MAX;
    end->place = end->publisher->place;
    return result;
}

static int work_publisher(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct stream_end *end = process->instance;
    int work = stream_connect_end(end, now_ns, error);
    if (work != 0) {
        return work < 0 ? work : 0;
    }
    work = tern_client_do_work_at(end->client, now_ns);
    if (!has_publication(end)) {
        return work + add_publication(end, now_ns);
    }
    work += stream_turn_destinations(end);
    if (renew(end, now_ns)) {
        return work + 1;
    }
    return work + (end->stream->way->is_twin ? publish_as_twin(end) : publish(end));
}

const struct process_operations stream_publisher_operations = {"publisher", open_publisher,
                                                               work_publisher, stream_close_end};

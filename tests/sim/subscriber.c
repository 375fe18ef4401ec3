/* A subscriber of a stream beside the cluster, and what it checks. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <tern/fragment.h>
#include <tern/image.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "client/seams.h"
#include "sim/stream_end.h"

#define RENEW_MIN_MS 1000
#define RENEW_MAX_MS 20000
#define PAUSE_MAX_MS 8000
#define STALL_MIN_MS 100
#define STALL_MAX_MS 15000

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    const struct stream_end *end = context;
    struct stream *stream = end->stream;
    struct tern_image_constants constants;
    struct tern_error problem;
    (void)subscription;
    tern_image_get_constants(image, &constants);
    history_line(&stream->sim->history, "%s: stream: an image of session %d from %lld",
                 end->process->machine->name, constants.session_id,
                 (long long)constants.join_position);
    struct check_stream *check = &end->subscriber->check;
    int64_t publication = check_stream_find(check, constants.session_id, constants.initial_term_id);
    if (publication >= 0 &&
        !check_stream_on_image(check, publication, constants.join_position, &problem)) {
        sim_fail(stream->sim, "%s", problem.text);
    }
}

static void check_end(const struct stream_end *end, const tern_image *image) {
    const struct check_stream *check = &end->subscriber->check;
    struct tern_error problem;
    int64_t publication =
        check_stream_find(check, tern_image_session_id(image), tern_image_initial_term_id(image));
    if (publication >= 0 && !check->may_go_back && tern_image_is_end_of_stream(image) &&
        !tern_image_is_revoked(image) &&
        !check_stream_on_end(check, publication, tern_image_end_of_stream_position(image),
                             &problem)) {
        sim_fail(end->stream->sim, "%s", problem.text);
    }
}

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    const struct stream_end *end = context;
    struct tern_image_constants constants;
    (void)subscription;
    tern_image_get_constants(image, &constants);
    tern_fragment_assembler_remove_session(end->assembler, constants.session_id);
    history_line(&end->stream->sim->history, "%s: stream: the image of session %d is gone",
                 end->process->machine->name, constants.session_id);
    check_end(end, image);
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    const struct stream_end *end = context;
    struct stream *stream = end->stream;
    struct check_stream *check = &end->subscriber->check;
    struct stream_message_head head;
    struct tern_error problem;
    int64_t publication = check_stream_find(check, tern_header_session_id(header),
                                            tern_header_initial_term_id(header));
    if (publication < 0 || length < (int32_t)sizeof head || length > STREAM_MESSAGE_MAX) {
        sim_fail(stream->sim, "stream: %d bytes of session %d, which nobody published", length,
                 tern_header_session_id(header));
        return;
    }
    memcpy(&head, buffer, sizeof head);
    stream_fill(stream->message, head.index, length);
    if (!check_stream_on_message(check, publication, head.index, tern_header_position(header),
                                 &problem)) {
        sim_fail(stream->sim, "%s", problem.text);
    } else if (memcmp(buffer + sizeof head, stream->message + sizeof head,
                      (size_t)length - sizeof head) != 0) {
        sim_fail(stream->sim, "stream: message %lld has other bytes than were published",
                 (long long)head.index);
    }
    int source = check->publications[publication].source;
    if (end->place->sources != 0 && (end->place->sources >> source & 1) == 0) {
        sim_fail(stream->sim, "stream: a message of session %d, which was not asked for",
                 tern_header_session_id(header));
    }
    end->subscriber->received_count++;
    end->subscriber->received_sent_ns[source] = head.sent_ns;
}

static int add_subscription(struct stream_end *end, int64_t now_ns) {
    const struct tern_subscription_params params = {.channel = end->subscriber->channel,
                                                    .stream_id = end->stream->stream_id,
                                                    .on_available_image = on_image,
                                                    .on_unavailable_image = on_image_gone,
                                                    .handler_context = end};
    struct tern_error error = {0};
    if (end->async == NULL) {
        if (now_ns >= end->retry_ns) {
            end->retry_ns = now_ns + STREAM_RETRY_NS;
            end->async = tern_client_async_add_subscription(end->client, &params, &error);
        }
        return 0;
    }
    int result = tern_async_poll_subscription(end->async, &end->subscription, &error);
    if (result != 0) {
        end->async = NULL;
    }
    if (result > 0 && end->place->habits != 0) {
        end->renew_ns = stream_draw_time(end->stream, RENEW_MIN_MS, RENEW_MAX_MS);
        end->stall_ns = stream_draw_time(end->stream, STALL_MIN_MS, STALL_MAX_MS);
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

/* -- habits -- */

/* It goes, and comes back later with a new subscription. */
static bool renew(struct stream_end *end, int64_t now_ns) {
    struct stream *stream = end->stream;
    if ((end->place->habits & HABIT_RENEWS) == 0 || !stream->is_restless ||
        stream->sim->now_ns < end->renew_ns) {
        return false;
    }
    history_line(&stream->sim->history, "%s: stream: a subscription is closed",
                 end->process->machine->name);
    stream_drop_destinations(end);
    tern_subscription_close(end->subscription);
    end->subscription = NULL;
    tern_fragment_assembler_destroy(end->assembler);
    end->assembler = NULL;
    end->retry_ns = now_ns + dice_scale(&stream->habits, 1, PAUSE_MAX_MS) * NS_PER_MS;
    check_stream_on_subscriber(&end->subscriber->check);
    return true;
}

/* It stalls by turns; after the faults until all is sent, so that who is not to wait for it can be
 * seen not to. */
static bool is_stalled(struct stream_end *end) {
    struct stream *stream = end->stream;
    if ((end->place->habits & HABIT_STALLS) == 0) {
        return false;
    }
    if (!stream->is_sending || !stream->is_restless) {
        return stream->is_sending;
    }
    if (stream->sim->now_ns >= end->stall_ns) {
        end->is_stalled = !end->is_stalled;
        end->stall_ns = stream_draw_time(stream, STALL_MIN_MS, STALL_MAX_MS);
        history_line(&stream->sim->history, "%s: stream: a subscriber %s",
                     end->process->machine->name, end->is_stalled ? "stalls" : "goes on");
    }
    return end->is_stalled;
}

/* -- the process -- */

static int open_subscriber(struct process *process, struct tern_error *error) {
    int result = stream_open_end(process, error);
    struct stream_end *end = process->instance;
    end->subscriber = &end->stream->subscribers[process->number];
    end->place = end->subscriber->place;
    check_stream_on_subscriber(&end->subscriber->check);
    return result;
}

static int work_subscriber(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct stream_end *end = process->instance;
    if (end->assembler == NULL) {
        end->assembler = tern_fragment_assembler_create(on_message, end);
        return end->assembler == NULL ? error_set(error, -ENOMEM, "no assembler") : 1;
    }
    int work = stream_connect_end(end, now_ns, error);
    if (work != 0) {
        return work < 0 ? work : 0;
    }
    work = tern_client_do_work_at(end->client, now_ns);
    if (end->subscription == NULL) {
        return work + add_subscription(end, now_ns);
    }
    work += stream_turn_destinations(end);
    if (is_stalled(end) || renew(end, now_ns)) {
        return work;
    }
    work += tern_subscription_poll(end->subscription, tern_fragment_assembler_on_fragment,
                                   end->assembler, STREAM_FRAGMENT_LIMIT);
    note_position(end);
    return work;
}

const struct process_operations stream_subscriber_operations = {"subscriber", open_subscriber,
                                                                work_subscriber, stream_close_end};

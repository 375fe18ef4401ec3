/* IPC publications: the limit follows the slowest subscriber, the life cycle ends when everybody
 * has read everything.
 *
 * The limit moves in steps of an eighth of the window: raising it costs a cache line that every
 * publisher reads. The consumed part of the log is cleaned before the limit is raised over it.
 * While draining the present positions of the subscribers are taken, not those of the last cycle in
 * ACTIVE; else a claim that a dead publisher left would not be found.
 */
#include "driverd/publication_ipc.h"

#include <errno.h>
#include <stdlib.h>

#include "driverd/driver_context.h"
#include "driverd/log_agent.h"

#define TRIP_GAIN_DIVISOR 8

int publication_ipc_create(struct publication_ipc **publication, struct driver_context *context,
                           const struct publication_spec *spec, struct tern_error *error) {
    struct publication_ipc *made = calloc(1, sizeof *made);
    if (made == NULL) {
        log_agent_discard(context->log_agent, spec->file);
        return error_set(error, -ENOMEM, "no memory for a publication");
    }
    int result = publication_init(&made->base, context, spec, error);
    if (result < 0) {
        free(made);
        return result;
    }
    made->consumer_position = publication_start_position(&made->base);
    made->trip_limit = made->consumer_position;
    *publication = made;
    return 0;
}

void publication_ipc_destroy(struct publication_ipc *publication) {
    publication_close(&publication->base);
    free(publication);
}

/* Positions come from clients: what they claim is bounded before it is used. A subscriber cannot be
 * behind what has been cleaned, nor ahead of the producer. */
static int64_t update_consumer_position(struct publication_ipc *publication) {
    const struct publication *base = &publication->base;
    int64_t position =
        subscribable_max_position(&base->subscribers, publication->consumer_position);
    publication->consumer_position =
        publication_bound(base, position, publication->consumer_position);
    return publication->consumer_position;
}

static int64_t slowest_position(const struct publication_ipc *publication) {
    const struct publication *base = &publication->base;
    int64_t position = subscribable_min_position(&base->subscribers, base->clean_position);
    return publication_bound(base, position, base->clean_position);
}

/* True when all of it is clean. At most one term per call: the rest is for the next cycles. */
static bool clean_to(struct publication *publication, int64_t position) {
    publication_clean_to(publication, position);
    return publication->clean_position >= position;
}

/* Work is what cannot wait: a producer that is half a window ahead will soon meet its limit, until
 * it stands there. One that is not leaves the driver time to rest, however fast it is. */
static int follow_subscribers(struct publication_ipc *publication, int64_t producer_position,
                              bool has_moved) {
    struct publication *base = &publication->base;
    int32_t window = publication_window(base);
    int64_t slowest = slowest_position(publication);
    int64_t limit = slowest + window;
    bool is_ahead = publication_limit(base) - producer_position < window / 2;
    (void)update_consumer_position(publication);
    if (limit <= publication->trip_limit) {
        return is_ahead && has_moved;
    }
    if (!clean_to(base, slowest)) {
        return 1;
    }
    publication_set_limit(base, limit);
    publication->trip_limit = limit + window / TRIP_GAIN_DIVISOR;
    return is_ahead;
}

int publication_ipc_update_limit(struct publication_ipc *publication) {
    struct publication *base = &publication->base;
    if (base->state != PUBLICATION_STATE_ACTIVE || base->is_revoking) {
        return 0;
    }
    int64_t before = load_plain_i64(base->position_address);
    int64_t position = publication_sample_position(base);
    if (subscribable_has_working(&base->subscribers)) {
        return follow_subscribers(publication, position, position != before);
    }
    if (publication_limit(base) <= publication->consumer_position) {
        return 0;
    }
    publication_set_limit(base, publication->consumer_position);
    publication->trip_limit = publication->consumer_position;
    (void)clean_to(base, publication->consumer_position);
    return 1;
}

static void on_timer_active(struct publication_ipc *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    if (base->is_revoking) {
        publication_revoke(base);
        subscribable_remove_all(&base->subscribers, SUBSCRIBABLE_CHANNEL_IPC);
        publication_set_state(base, PUBLICATION_STATE_LINGER, now_ns);
        return;
    }
    int32_t window = publication_window(base);
    const struct tether_params tethers = {
        .limit_position = publication->consumer_position - window + window / 4,
        .join_position = publication_ipc_join_position(publication),
        .window_limit_timeout_ns = base->params.untethered_window_limit_timeout_ns,
        .linger_timeout_ns = base->params.untethered_linger_timeout_ns,
        .resting_timeout_ns = base->params.untethered_resting_timeout_ns,
        .channel = SUBSCRIBABLE_CHANNEL_IPC,
    };
    subscribable_check_tethers(&base->subscribers, &tethers, now_ns);
    publication_ipc_on_subscribers_changed(publication);
    (void)publication_check_blocked(base, publication->consumer_position, now_ns);
}

static void on_timer_draining(struct publication_ipc *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    int64_t consumer_position = update_consumer_position(publication);
    if (subscribable_is_drained(&base->subscribers, publication_producer_position(base))) {
        subscribable_remove_all(&base->subscribers, SUBSCRIBABLE_CHANNEL_IPC);
        publication_set_state(base, PUBLICATION_STATE_LINGER, now_ns);
    } else {
        (void)publication_unblock(base, consumer_position);
    }
}

void publication_ipc_on_timer(struct publication_ipc *publication, int64_t now_ns) {
    struct publication *base = &publication->base;
    switch (base->state) {
    case PUBLICATION_STATE_ACTIVE:
        on_timer_active(publication, now_ns);
        break;
    case PUBLICATION_STATE_DRAINING:
        on_timer_draining(publication, now_ns);
        break;
    case PUBLICATION_STATE_LINGER: /* a revoked one may still have handles */
        if (base->link_count == 0) {
            publication_set_state(base, PUBLICATION_STATE_DONE, now_ns);
        }
        break;
    case PUBLICATION_STATE_DONE:
        break;
    }
}

bool publication_ipc_end_cool_down(struct publication_ipc *publication, int64_t now_ns) {
    if (!publication->is_cooling_down || now_ns < publication->cool_down_deadline_ns) {
        return false;
    }
    publication->is_cooling_down = false;
    return publication_ipc_accepts_subscribers(publication);
}

void publication_ipc_on_unreferenced(struct publication_ipc *publication, int64_t now_ns) {
    publication_on_unreferenced(&publication->base, now_ns);
}

bool publication_ipc_is_done(const struct publication_ipc *publication) {
    return publication->base.state == PUBLICATION_STATE_DONE;
}

bool publication_ipc_accepts_subscribers(const struct publication_ipc *publication) {
    const struct publication *base = &publication->base;
    if (publication->is_cooling_down || base->is_revoking) {
        return false;
    }
    return base->state == PUBLICATION_STATE_ACTIVE ||
           (base->state == PUBLICATION_STATE_DRAINING &&
            !subscribable_is_drained(&base->subscribers, publication_producer_position(base)));
}

/* The subscribers may have read on since the last duty cycle: a newcomer must not get what all the
 * others had consumed before it came. */
int64_t publication_ipc_join_position(struct publication_ipc *publication) {
    const struct publication *base = &publication->base;
    (void)update_consumer_position(publication);
    int64_t position = subscribable_min_position(&base->subscribers, INT64_MAX);
    position = min_i64(position, publication->consumer_position);
    return publication_bound(base, position, base->clean_position);
}

void publication_ipc_on_subscribers_changed(struct publication_ipc *publication) {
    struct publication *base = &publication->base;
    if (base->state == PUBLICATION_STATE_ACTIVE && !base->is_revoking) {
        publication_set_connected(base, subscribable_has_working(&base->subscribers));
    }
}

void publication_ipc_reject(struct publication_ipc *publication, struct text_slice reason,
                            int64_t now_ns) {
    struct publication *base = &publication->base;
    const struct response response = {
        .type = RESPONSE_PUBLICATION_ERROR,
        .correlation_id = base->registration_id,
        .registration_id = -1, /* no destination */
        .session_id = base->session_id,
        .stream_id = base->stream_id,
        .receiver_id = -1,
        .group_tag = -1,
        .address_type = 1,
        .address = {127, 0, 0, 1},
        .error_code = DRIVER_ERROR_IMAGE_REJECTED,
        .text = reason,
    };
    driver_context_respond(base->context, &response);
    struct tern_error error;
    (void)error_set(&error, DRIVER_ERROR(DRIVER_ERROR_IMAGE_REJECTED),
                    "image rejected over IPC for session_id=%d stream_id=%d: %.*s",
                    base->session_id, base->stream_id, min_i32(reason.length, 120), reason.text);
    driver_context_log_error(base->context, &error);
    (void)update_consumer_position(publication);
    subscribable_remove_all(&base->subscribers, SUBSCRIBABLE_CHANNEL_IPC);
    publication_set_connected(base, false);
    publication->is_cooling_down = true;
    publication->cool_down_deadline_ns = now_ns + base->context->conf->image_liveness_timeout_ns;
    context_count(base->context, SYSTEM_COUNTER_IMAGES_REJECTED, 1);
}

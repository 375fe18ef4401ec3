/* Subscribers of one log.
 *
 * A subscriber is a position counter that its client moves. The position is in the counter before
 * the client hears of it, so the client never sees a moment without one. A subscriber that is not
 * tethered goes through the states of the header's diagram at the owner's timer; in LINGER it has
 * lost its image but may still be reading, hence it still counts.
 */
#include "driverd/subscribable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "driverd/driver_context.h"
#include "driverd/subscription.h"

#define CAPACITY_MIN 4

static bool is_working(const struct subscriber_position *position) {
    return position->state == TETHER_ACTIVE || position->state == TETHER_LINGER;
}

/* The only writer of the state. */
static void set_state(struct subscribable *subscribable, struct subscriber_position *position,
                      enum tether_state state, int64_t now_ns) {
    static const bool edges[4][4] = {
        [TETHER_ACTIVE] = {[TETHER_LINGER] = true},
        [TETHER_LINGER] = {[TETHER_RESTING] = true, [TETHER_CLOSED] = true},
        [TETHER_RESTING] = {[TETHER_ACTIVE] = true},
    };
    assert(edges[position->state][state]);
    bool was_working = is_working(position);
    position->state = state;
    position->update_time_ns = now_ns;
    subscribable->working_count += (int32_t)is_working(position) - (int32_t)was_working;
    assert(subscribable->working_count >= 0);
}

static void send_available(const struct subscribable *subscribable,
                           const struct subscriber_position *position) {
    const struct response response = {
        .type = RESPONSE_AVAILABLE_IMAGE,
        .correlation_id = subscribable->id,
        .session_id = subscribable->session_id,
        .stream_id = subscribable->stream_id,
        .registration_id = position->subscription->registration_id,
        .counter_id = position->counter_id,
        .text = text_slice_of(subscribable->log_path),
        .source_identity = text_slice_of(subscribable->source_identity),
    };
    driver_context_respond(subscribable->context, &response);
}

static void send_unavailable(const struct subscribable *subscribable,
                             const struct subscriber_position *position, const char *channel) {
    const struct subscription *subscription = position->subscription;
    const struct response response = {
        .type = RESPONSE_UNAVAILABLE_IMAGE,
        .correlation_id = subscribable->id,
        .registration_id = subscription->registration_id,
        .stream_id = subscription->stream_id,
        .text = text_slice_of(channel != NULL ? channel : subscription->channel),
    };
    driver_context_respond(subscribable->context, &response);
}

static int32_t allocate_position(const struct subscribable *subscribable,
                                 const struct subscription *subscription, int64_t join_position,
                                 struct tern_error *error) {
    char suffix[32];
    (void)snprintf(suffix, sizeof suffix, " @%lld", (long long)join_position);
    const struct stream_counter_params params = {
        .type = COUNTER_TYPE_SUBSCRIBER_POSITION,
        .name = "sub-pos",
        .registration_id = subscription->registration_id,
        .key_id = subscription->registration_id,
        .owner_id = subscription->client_id,
        .reference_id = subscribable->id,
        .session_id = subscribable->session_id,
        .stream_id = subscribable->stream_id,
        .channel = subscription->channel,
        .label_suffix = suffix,
        .initial_value = join_position,
    };
    return driver_context_stream_counter(subscribable->context, &params, error);
}

static int reserve(struct subscribable *subscribable) {
    if (subscribable->count < subscribable->capacity) {
        return 0;
    }
    int32_t capacity = max_i32(subscribable->capacity * 2, CAPACITY_MIN);
    void *positions =
        realloc(subscribable->positions, (size_t)capacity * sizeof *subscribable->positions);
    if (positions == NULL) {
        return -ENOMEM;
    }
    subscribable->positions = positions;
    subscribable->capacity = capacity;
    return 0;
}

int subscribable_add(struct subscribable *subscribable, struct subscription *subscription,
                     int64_t join_position, struct tern_error *error) {
    if (reserve(subscribable) < 0 || subscription_on_attached(subscription, subscribable) < 0) {
        return error_set(error, -ENOMEM, "no memory for a subscriber");
    }
    int32_t counter_id = allocate_position(subscribable, subscription, join_position, error);
    if (counter_id < 0) {
        subscription_on_detached(subscription, subscribable);
        return counter_id;
    }
    struct subscriber_position *position = &subscribable->positions[subscribable->count++];
    *position = (struct subscriber_position){
        .subscription = subscription,
        .state = TETHER_ACTIVE,
        .counter_id = counter_id,
        .address = driver_context_counter(subscribable->context, counter_id),
        .update_time_ns = subscribable->context->now_ns,
    };
    subscribable->working_count++;
    send_available(subscribable, position);
    return 0;
}

bool subscribable_remove(struct subscribable *subscribable, struct subscription *subscription) {
    for (int32_t i = 0; i < subscribable->count; i++) {
        struct subscriber_position *position = &subscribable->positions[i];
        if (position->subscription == subscription) {
            subscribable->working_count -= (int32_t)is_working(position);
            driver_context_free_counter(subscribable->context, &position->counter_id);
            *position = subscribable->positions[--subscribable->count];
            subscription_on_detached(subscription, subscribable);
            return true;
        }
    }
    return false;
}

void subscribable_announce_unavailable(const struct subscribable *subscribable,
                                       const struct subscription *subscription,
                                       const char *channel) {
    for (int32_t i = 0; i < subscribable->count; i++) {
        const struct subscriber_position *position = &subscribable->positions[i];
        if (position->subscription == subscription && position->state == TETHER_ACTIVE) {
            send_unavailable(subscribable, position, channel);
        }
    }
}

static void detach_all(struct subscribable *subscribable) {
    for (int32_t i = 0; i < subscribable->count; i++) {
        struct subscriber_position *position = &subscribable->positions[i];
        driver_context_free_counter(subscribable->context, &position->counter_id);
        subscription_on_detached(position->subscription, subscribable);
    }
    subscribable->count = 0;
    subscribable->working_count = 0;
}

void subscribable_remove_all(struct subscribable *subscribable, const char *channel) {
    for (int32_t i = 0; i < subscribable->count; i++) {
        const struct subscriber_position *position = &subscribable->positions[i];
        if (position->state == TETHER_ACTIVE) { /* the others have been told */
            send_unavailable(subscribable, position, channel);
        }
    }
    detach_all(subscribable);
}

void subscribable_close(struct subscribable *subscribable) {
    detach_all(subscribable);
    free(subscribable->positions);
    subscribable->positions = NULL;
    subscribable->capacity = 0;
}

int64_t subscribable_min_position(const struct subscribable *subscribable, int64_t when_none) {
    int64_t result = INT64_MAX;
    for (int32_t i = 0; i < subscribable->count; i++) {
        const struct subscriber_position *position = &subscribable->positions[i];
        if (is_working(position)) {
            result = min_i64(result, counter_get_acquire(position->address));
        }
    }
    return subscribable->working_count > 0 ? result : when_none;
}

int64_t subscribable_max_position(const struct subscribable *subscribable, int64_t when_none) {
    int64_t result = INT64_MIN;
    for (int32_t i = 0; i < subscribable->count; i++) {
        const struct subscriber_position *position = &subscribable->positions[i];
        if (is_working(position)) {
            result = max_i64(result, counter_get_acquire(position->address));
        }
    }
    return subscribable->working_count > 0 ? result : when_none;
}

bool subscribable_is_drained(const struct subscribable *subscribable, int64_t position) {
    return subscribable_min_position(subscribable, INT64_MAX) >= position;
}

static void rest_or_close(struct subscribable *subscribable, struct subscriber_position *position,
                          int64_t now_ns) {
    if (position->subscription->params.is_rejoin) {
        set_state(subscribable, position, TETHER_RESTING, now_ns);
        return;
    }
    set_state(subscribable, position, TETHER_CLOSED, now_ns);
    driver_context_free_counter(subscribable->context, &position->counter_id);
    position->address = NULL;
}

static void check_tether(struct subscribable *subscribable, struct subscriber_position *position,
                         const struct tether_params *params, int64_t now_ns) {
    int64_t elapsed_ns = now_ns - position->update_time_ns;
    switch (position->state) {
    case TETHER_ACTIVE:
        if (position->subscription->params.is_tether ||
            counter_get_acquire(position->address) > params->limit_position) {
            position->update_time_ns = now_ns;
        } else if (elapsed_ns > params->window_limit_timeout_ns) {
            send_unavailable(subscribable, position, params->channel);
            set_state(subscribable, position, TETHER_LINGER, now_ns);
        }
        break;
    case TETHER_LINGER:
        if (elapsed_ns > params->linger_timeout_ns) {
            rest_or_close(subscribable, position, now_ns);
        }
        break;
    case TETHER_RESTING:
        if (elapsed_ns > params->resting_timeout_ns) {
            counter_set_release(position->address, params->join_position);
            set_state(subscribable, position, TETHER_ACTIVE, now_ns);
            send_available(subscribable, position);
        }
        break;
    case TETHER_CLOSED: /* until the subscription or the stream goes */
        break;
    }
}

void subscribable_check_tethers(struct subscribable *subscribable,
                                const struct tether_params *params, int64_t now_ns) {
    for (int32_t i = 0; i < subscribable->count; i++) {
        check_tether(subscribable, &subscribable->positions[i], params, now_ns);
    }
}

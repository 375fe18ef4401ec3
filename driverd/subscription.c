/* Subscriptions: parameters of their URI, and which streams they are attached to.
 *
 * The list of streams lets a subscription end in time proportional to its own size, however many
 * streams the driver has.
 */
#include "driverd/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/driver_conf.h"
#include "driverd/subscribable.h"
#include "driverd/udp_channel.h"

#define CAPACITY_MIN 4
#define SESSION_TAG_PREFIX "tag:"

static_assert((int)DRIVER_GROUP_INFER == (int)GROUP_INFER, "one order of values");
static_assert((int)DRIVER_GROUP_TRUE == (int)GROUP_TRUE, "one order of values");
static_assert((int)DRIVER_GROUP_FALSE == (int)GROUP_FALSE, "one order of values");

static int parse_booleans(struct subscription_params *params, const struct uri *uri,
                          struct tern_error *error) {
    int result = uri_get_bool(uri, "tether", &params->is_tether, error);
    result = result < 0 ? result : uri_get_bool(uri, "rejoin", &params->is_rejoin, error);
    result = result < 0 ? result : uri_get_bool(uri, "reliable", &params->is_reliable, error);
    return result < 0 ? result : uri_get_bool(uri, "sparse", &params->is_sparse, error);
}

static int parse_timeouts(struct subscription_params *params, const struct uri *uri,
                          struct tern_error *error) {
    int64_t linger_ns = -1;
    int result = uri_get_duration_ns(uri, "untethered-window-limit-timeout",
                                     &params->untethered_window_limit_timeout_ns, error);
    bool has_window = result == 1;
    result = result < 0 ? result
                        : uri_get_duration_ns(uri, "untethered-resting-timeout",
                                              &params->untethered_resting_timeout_ns, error);
    result = result < 0 ? result
                        : uri_get_duration_ns(uri, "untethered-linger-timeout", &linger_ns, error);
    if (result < 0) {
        return result;
    }
    if (linger_ns >= 0) {
        params->untethered_linger_timeout_ns = linger_ns;
    } else if (has_window) {
        params->untethered_linger_timeout_ns = params->untethered_window_limit_timeout_ns;
    }
    return 0;
}

static int parse_net(struct subscription_params *params, const struct uri *uri,
                     const struct driver_conf *conf, struct tern_error *error) {
    if (uri->media != URI_MEDIA_UDP) {
        return 0;
    }
    const char *group = uri_get(uri, "group");
    params->has_group = group != NULL;
    int result = udp_channel_parse_group(group, &params->group, error);
    result = result < 0 ? result : congestion_parse(uri_get(uri, "cc"), &params->congestion, error);
    enum driver_congestion congestion = driver_conf_congestion(conf);
    if (congestion != DRIVER_CONGESTION_DEFAULT) {
        params->congestion =
            congestion == DRIVER_CONGESTION_CUBIC ? CONGESTION_CUBIC : CONGESTION_STATIC;
    }
    result = result < 0
                 ? result
                 : uri_get_duration_ns(uri, "nak-delay", &params->nak_unicast_delay_ns, error);
    return result < 0 ? result : timestamp_offsets_parse(&params->timestamps, uri, error);
}

static int parse_session(struct subscription_params *params, const struct uri *uri,
                         struct tern_error *error) {
    static const char prefix[] = SESSION_TAG_PREFIX;
    const char *value = uri_get(uri, "session-id");
    if (value != NULL && strncmp(value, prefix, sizeof prefix - 1) == 0) {
        params->has_session_tag = true;
        return parse_i64(value + sizeof prefix - 1, &params->session_tag) == 0
                   ? 0
                   : error_set(error, -EINVAL, "session-id=%.100s: expected tag:<number>", value);
    }
    int result = uri_get_i32(uri, "session-id", &params->session_id, error);
    params->has_session_id = result == 1;
    return result;
}

int subscription_params_parse(struct subscription_params *params, const struct uri *uri,
                              const struct driver_conf *conf, struct tern_error *error) {
    *params = (struct subscription_params){
        .is_tether = conf->tether_subscriptions,
        .is_rejoin = conf->rejoin_stream,
        .is_reliable = conf->reliable_stream,
        .is_sparse = conf->term_buffer_sparse,
        .congestion = CONGESTION_STATIC,
        .nak_unicast_delay_ns = conf->nak_unicast_delay_ns,
        .group = (enum group_consideration)conf->group_consideration,
        .timestamps = {TIMESTAMP_NONE, TIMESTAMP_NONE, TIMESTAMP_NONE},
        .untethered_window_limit_timeout_ns = conf->untethered_window_limit_timeout_ns,
        .untethered_linger_timeout_ns = driver_conf_untethered_linger_ns(conf),
        .untethered_resting_timeout_ns = conf->untethered_resting_timeout_ns,
    };
    int result = parse_booleans(params, uri, error);
    result = result < 0 ? result : parse_timeouts(params, uri, error);
    result = result < 0 ? result : parse_net(params, uri, conf, error);
    result = result < 0 ? result : parse_session(params, uri, error);
    if (result < 0) {
        return result;
    }
    const char *mode = uri_get(uri, "control-mode");
    params->is_response = !uri->is_spy && mode != NULL && strcmp(mode, "response") == 0;
    return 0;
}

int subscription_create(struct subscription **subscription, enum subscription_kind kind,
                        const struct command *command, const struct subscription_params *params) {
    struct subscription *made = calloc(1, sizeof *made);
    char *channel = strndup(command->channel.text, (size_t)command->channel.length);
    if (made == NULL || channel == NULL) {
        free(made);
        free(channel);
        return -ENOMEM;
    }
    *made = (struct subscription){
        .kind = kind,
        .registration_id = command->correlation_id,
        .client_id = command->client_id,
        .stream_id = command->stream_id,
        .params = *params,
        .channel = channel,
        .channel_length = command->channel.length,
    };
    *subscription = made;
    return 0;
}

void subscription_destroy(struct subscription *subscription) {
    while (subscription->attached_count > 0) {
        bool was_attached = subscribable_remove(
            subscription->attached[subscription->attached_count - 1], subscription);
        assert(was_attached);
        (void)was_attached;
    }
    free(subscription->attached);
    udp_channel_destroy(subscription->udp_channel);
    free(subscription->channel);
    free(subscription);
}

int subscription_on_attached(struct subscription *subscription, struct subscribable *to) {
    if (subscription->attached_count == subscription->attached_capacity) {
        int32_t capacity = max_i32(subscription->attached_capacity * 2, CAPACITY_MIN);
        void *attached =
            realloc(subscription->attached, (size_t)capacity * sizeof *subscription->attached);
        if (attached == NULL) {
            return -ENOMEM;
        }
        subscription->attached = attached;
        subscription->attached_capacity = capacity;
    }
    subscription->attached[subscription->attached_count++] = to;
    return 0;
}

void subscription_on_detached(struct subscription *subscription, const struct subscribable *from) {
    for (int32_t i = 0; i < subscription->attached_count; i++) {
        if (subscription->attached[i] == from) {
            subscription->attached[i] = subscription->attached[--subscription->attached_count];
            return;
        }
    }
    assert(false && "a subscriber that its subscription does not know");
}

/* Subscribing to a leader's log (see log_follower.h). Archive and services of this node subscribe
 * to the same channel and session, so the driver gives all of them one image; who comes later joins
 * where the module stands, as long as it has not moved on. */
#include "consensusd/log_follower.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/uri.h"

#define LOOK_GAP_NS (100 * NS_PER_MS) /* more between two looks: the process stood still */

static int copy_parameter(struct uri_builder *channel, const struct uri *from, const char *key) {
    const char *value = uri_get(from, key);
    return value == NULL ? 0 : uri_builder_set(channel, key, value);
}

static int make_channel(struct log_follower *follower) {
    const char *log_channel = follower->conf->log_channel;
    struct uri uri;
    struct uri_builder channel;
    int result = uri_parse(&uri, log_channel, (int32_t)strlen(log_channel), NULL);
    if (result != 0) {
        return result;
    }
    const char *endpoint = uri_get(&uri, "endpoint");
    if (follower->kind == LOG_FOLLOWER_CATCHUP) {
        endpoint = follower->own->catchup;
    } else if (endpoint == NULL) {
        endpoint = follower->own->log;
    }
    result = uri_builder_init(&channel, "aeron:udp");
    result |= uri_builder_set(&channel, "endpoint", endpoint);
    result |= uri_builder_set_i64(&channel, "session-id", follower->session_id);
    result |= uri_builder_set(&channel, "group", "true");
    result |= uri_builder_set(&channel, "rejoin", "false");
    result |= uri_builder_set(&channel, "alias", "log-cm");
    result |= copy_parameter(&channel, &uri, "interface");
    result |= copy_parameter(&channel, &uri, "so-rcvbuf");
    result |= copy_parameter(&channel, &uri, "rcv-wnd");
    if (result != 0 || channel.length >= (int32_t)sizeof follower->channel) {
        return -ENAMETOOLONG;
    }
    strcpy(follower->channel, channel.text);
    return 0;
}

int log_follower_open(struct log_follower *follower, const struct log_follower_params *params,
                      struct tern_error *error) {
    memset(follower, 0, sizeof *follower);
    follower->client = params->client;
    follower->conf = params->conf;
    follower->own = params->own;
    follower->kind = params->kind;
    follower->session_id = params->session_id;
    int result = make_channel(follower);
    if (result != 0) {
        return error_set(error, result, "cannot make the channel of the log subscription");
    }
    const struct tern_subscription_params subscription = {.channel = follower->channel,
                                                          .stream_id = params->conf->log_stream_id};
    follower->request = tern_client_async_add_subscription(params->client, &subscription, error);
    return follower->request == NULL ? error->code : 0;
}

int log_follower_await(struct log_follower *follower, struct tern_error *error) {
    if (follower->subscription == NULL) {
        int result =
            tern_async_poll_subscription(follower->request, &follower->subscription, error);
        follower->request = result == 0 ? follower->request : NULL;
        if (result <= 0) {
            return result;
        }
    }
    if (!follower->is_resolved) {
        char channel[CONSENSUS_CHANNEL_MAX];
        int length = tern_subscription_resolved_channel(follower->subscription, channel,
                                                        (int32_t)sizeof channel);
        if (length < 0) {
            return error_set(error, length, "the channel of the log subscription is too long");
        }
        if (length == 0) {
            return 0;
        }
        strcpy(follower->channel, channel);
        follower->is_resolved = true;
    }
    return 1;
}

int log_follower_endpoint(const struct log_follower *follower, char *endpoint, size_t size) {
    struct uri uri;
    assert(follower->is_resolved);
    int result = uri_parse(&uri, follower->channel, (int32_t)strlen(follower->channel), NULL);
    if (result != 0) {
        return result;
    }
    return snprintf(endpoint, size, "%s", uri_get(&uri, "endpoint")) < (int)size ? 0
                                                                                 : -ENAMETOOLONG;
}

bool log_follower_has_image(struct log_follower *follower) {
    if (follower->image == NULL && follower->subscription != NULL) {
        follower->image =
            tern_subscription_image_by_session_id(follower->subscription, follower->session_id);
    }
    return follower->image != NULL;
}

static enum tern_controlled_action refuse(void *context, const uint8_t *buffer, int32_t length,
                                          const tern_header *header) {
    (void)buffer, (void)length, (void)header;
    bool *is_there = context;
    *is_there = true;
    return TERN_ACTION_ABORT;
}

bool log_follower_is_dry(const struct log_follower *follower) {
    bool is_there = false;
    int64_t position = tern_image_position(follower->image);
    int64_t end =
        tern_image_controlled_peek(follower->image, position, refuse, &is_there, INT64_MAX);
    return !is_there && end == position;
}

int64_t log_drought_look(struct log_drought *drought, int64_t position, bool is_dry,
                         int64_t now_ns) {
    bool was_away = now_ns - drought->looked_ns > LOOK_GAP_NS;
    if (!is_dry || position != drought->position || was_away) {
        drought->position = position;
        drought->since_ns = now_ns;
    }
    drought->looked_ns = now_ns;
    return now_ns - drought->since_ns;
}

void log_follower_close(struct log_follower *follower) {
    tern_async_cancel(follower->request);
    tern_image_release(follower->image);
    tern_subscription_close(follower->subscription);
    memset(follower, 0, sizeof *follower);
}

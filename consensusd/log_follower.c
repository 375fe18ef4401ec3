/* Subscribing to a leader's log (see log_follower.h). The channel has a tag, so that the archive
 * and the services of this node share the one receiver; destinations belong to the receiver. */
#include "consensusd/log_follower.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DESTINATIONS_MAX 4

static int copy_parameter(struct uri_builder *channel, const struct uri *from, const char *key) {
    const char *value = uri_get(from, key);
    return value == NULL ? 0 : uri_builder_set(channel, key, value);
}

static int make_channel(struct log_follower *follower) {
    const struct consensus_conf *conf = follower->conf;
    struct uri uri;
    struct uri_builder channel;
    char tags[64];
    int result = uri_parse(&uri, conf->log_channel, (int32_t)strlen(conf->log_channel), NULL);
    if (result != 0) {
        return result;
    }
    int64_t tag = tern_client_next_correlation_id(follower->client);
    snprintf(tags, sizeof tags, "%" PRId64 ",%" PRId64, tag,
             tern_client_next_correlation_id(follower->client));
    result = uri_builder_init(&channel, "aeron:udp");
    result |= uri_builder_set(&channel, "tags", tags);
    result |= uri_builder_set(&channel, "control-mode", "manual");
    result |= uri_builder_set_i64(&channel, "session-id", follower->session_id);
    result |= uri_builder_set(&channel, "group", "true");
    result |= uri_builder_set(&channel, "rejoin", "false");
    result |= uri_builder_set(&channel, "alias", "log-cm");
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
    follower->session_id = params->session_id;
    int result = make_channel(follower);
    if (result != 0) {
        return error_set(error, result, "cannot make the channel of the log subscription");
    }
    const struct tern_subscription_params subscription = {.channel = follower->channel,
                                                          .stream_id = params->conf->log_stream_id};
    follower->subscription_request =
        tern_client_async_add_subscription(params->client, &subscription, error);
    return follower->subscription_request == NULL ? error->code : 0;
}

int log_follower_await(struct log_follower *follower, struct tern_error *error) {
    if (follower->subscription == NULL) {
        int result = tern_async_poll_subscription(follower->subscription_request,
                                                  &follower->subscription, error);
        follower->subscription_request = result == 0 ? follower->subscription_request : NULL;
        if (result <= 0) {
            return result;
        }
    }
    if (follower->destination_request != NULL) {
        int result = tern_async_poll_destination(follower->destination_request, error);
        follower->destination_request = result == 0 ? follower->destination_request : NULL;
        return result;
    }
    return 1;
}

static int add_destination(struct log_follower *follower, const char *channel,
                           struct tern_error *error) {
    assert(follower->subscription != NULL);
    assert(follower->destination_request == NULL);
    follower->destination_request =
        tern_subscription_async_add_destination(follower->subscription, channel, error);
    return follower->destination_request == NULL ? error->code : 0;
}

int log_follower_add_live(struct log_follower *follower, struct tern_error *error) {
    struct uri uri;
    const char *log_channel = follower->conf->log_channel;
    int result = uri_parse(&uri, log_channel, (int32_t)strlen(log_channel), error);
    if (result != 0) {
        return result;
    }
    if (uri_get(&uri, "endpoint") != NULL) {
        snprintf(follower->live, sizeof follower->live, "%s", log_channel);
    } else {
        snprintf(follower->live, sizeof follower->live, "aeron:udp?endpoint=%s",
                 follower->own->log);
    }
    return add_destination(follower, follower->live, error);
}

int log_follower_add_catchup(struct log_follower *follower, struct tern_error *error) {
    snprintf(follower->catchup, sizeof follower->catchup, "aeron:udp?endpoint=%s",
             follower->own->catchup);
    return add_destination(follower, follower->catchup, error);
}

void log_follower_remove_catchup(struct log_follower *follower) {
    struct tern_error error;
    if (follower->catchup[0] == '\0' || follower->subscription == NULL) {
        return;
    }
    /* Nothing depends on the answer: a destination too many receives nothing. */
    tern_async_cancel(tern_subscription_async_remove_destination(follower->subscription,
                                                                 follower->catchup, &error));
    follower->catchup[0] = '\0';
}

int log_follower_catchup_endpoint(struct log_follower *follower, char *endpoint, size_t size) {
    const char *configured = follower->own->catchup;
    const char *colon = strrchr(configured, ':');
    if (strcmp(colon, ":0") != 0) {
        return snprintf(endpoint, size, "%s", configured) < (int)size ? 1 : -ENAMETOOLONG;
    }
    char addresses[DESTINATIONS_MAX][TERN_ADDRESS_TEXT_MAX];
    if (tern_subscription_local_addresses(follower->subscription, addresses, DESTINATIONS_MAX) ==
        0) {
        return 0;
    }
    const char *port = strrchr(addresses[0], ':'); /* the catch-up is the first destination */
    return snprintf(endpoint, size, "%.*s%s", (int)(colon - configured), configured, port) <
                   (int)size
               ? 1
               : -ENAMETOOLONG;
}

bool log_follower_has_image(struct log_follower *follower) {
    if (follower->image == NULL && follower->subscription != NULL) {
        follower->image =
            tern_subscription_image_by_session_id(follower->subscription, follower->session_id);
    }
    return follower->image != NULL;
}

void log_follower_close(struct log_follower *follower) {
    tern_async_cancel(follower->subscription_request);
    tern_async_cancel(follower->destination_request);
    tern_image_release(follower->image);
    tern_subscription_close(follower->subscription);
    memset(follower, 0, sizeof *follower);
}

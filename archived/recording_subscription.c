/* Recording subscriptions.
 *
 *   ADDING -> ACTIVE -> ENDING -> freed when no recording refers to it any more
 *
 * The driver is asked asynchronously. Images can become available before the answer has been looked
 * at, so they wait in a list until the OK is on its way: the client always sees the OK before
 * START.
 */
#include "archived/recording_subscription.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "archived/channel.h"
#include "archived/control_session.h"
#include "archived/recording.h"

int archive_refuse(struct archive_refusal *refusal, int64_t code, const char *format, ...) {
    refusal->code = code;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
    va_end(arguments);
    return -1;
}

struct recording_subscription *
recording_subscription_find_by_key(const struct archive_server *server, const char *key) {
    for (int i = 0; i < server->subscriptions.count; i++) {
        struct recording_subscription *subscription = server->subscriptions.items[i];
        if (subscription->state != RECORDING_SUBSCRIPTION_STATE_ENDING &&
            strcmp(subscription->key, key) == 0) {
            return subscription;
        }
    }
    return NULL;
}

struct recording_subscription *recording_subscription_find(const struct archive_server *server,
                                                           int64_t subscription_id) {
    for (int i = 0; i < server->subscriptions.count; i++) {
        struct recording_subscription *subscription = server->subscriptions.items[i];
        if (subscription->id == subscription_id &&
            subscription->state != RECORDING_SUBSCRIPTION_STATE_ENDING) {
            return subscription;
        }
    }
    return NULL;
}

/* Runs inside the client's duty cycle: only remember the image. */
static void on_available_image(void *context, tern_subscription *handle, tern_image *image) {
    (void)handle;
    struct recording_subscription *subscription = context;
    if (session_list_add(&subscription->images, image) == 0) {
        tern_image_retain(image);
    } else {
        archive_server_error(subscription->server, -ENOMEM, "no memory to record an image");
    }
}

static void ignore_image(void *context, tern_subscription *handle, tern_image *image) {
    (void)context, (void)handle, (void)image;
}

/* ---- create
 * --------------------------------------------------------------------------------------- */

static int derive_channels(struct recording_subscription *subscription, const struct uri *uri,
                           bool is_local, struct archive_refusal *refusal) {
    int result = channel_strip(uri, &subscription->stripped_channel);
    if (result == 0 && is_local && uri->media == URI_MEDIA_UDP) {
        char text[URI_LENGTH_MAX + 16];
        (void)snprintf(text, sizeof text, "aeron-spy:%s", subscription->stripped_channel.text);
        result = uri_builder_init(&subscription->channel, text);
    } else if (result == 0) {
        result = uri_builder_init(&subscription->channel, subscription->stripped_channel.text);
    }
    return result == 0 ? 0
                       : archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "channel is too long");
}

static int fill(struct recording_subscription *subscription,
                const struct recording_subscription_params *params, const struct uri *uri,
                struct archive_refusal *refusal) {
    char key[CHANNEL_KEY_MAX];
    channel_subscription_key(uri, params->stream_id, key);
    if (recording_subscription_find_by_key(subscription->server, key) != NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_ACTIVE_SUBSCRIPTION,
                              "recording subscription exists already: %.200s", key);
    }
    subscription->state = RECORDING_SUBSCRIPTION_STATE_ADDING;
    subscription->id = ARCHIVE_NULL;
    subscription->control_session_id = params->control_session_id;
    subscription->correlation_id = params->correlation_id;
    subscription->extended_recording_id = params->extended_recording_id;
    subscription->stream_id = params->stream_id;
    subscription->auto_stop = params->auto_stop;
    subscription->key = strdup(key);
    subscription->original_channel = strndup(params->channel.text, (size_t)params->channel.length);
    if (subscription->key == NULL || subscription->original_channel == NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    return derive_channels(subscription, uri,
                           params->source_location == ARCHIVE_SOURCE_LOCATION_LOCAL, refusal);
}

int recording_subscription_create(struct archive_server *server,
                                  const struct recording_subscription_params *params,
                                  struct archive_refusal *refusal) {
    struct uri uri;
    struct tern_error error;
    if (uri_parse(&uri, params->channel.text, params->channel.length, &error) != 0) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "%s", error.text);
    }
    struct recording_subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL) {
        return archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    subscription->server = server;
    int result = fill(subscription, params, &uri, refusal);
    if (result == 0 && session_list_add(&server->subscriptions, subscription) != 0) {
        result = archive_refuse(refusal, TERN_ARCHIVE_ERROR_GENERIC, "out of memory");
    }
    if (result != 0) {
        recording_subscription_destroy(subscription);
    }
    return result;
}

void recording_subscription_destroy(struct recording_subscription *subscription) {
    assert(subscription->recording_count == 0);
    tern_async_cancel(subscription->async);
    tern_subscription_close(subscription->subscription);
    for (int i = 0; i < subscription->images.count; i++) {
        tern_image_release(subscription->images.items[i]);
    }
    session_list_close(&subscription->images);
    free(subscription->key);
    free(subscription->original_channel);
    free(subscription);
}

/* ---- steps
 * ---------------------------------------------------------------------------------------- */

static void begin(struct recording_subscription *subscription, struct tern_error *error) {
    const struct tern_subscription_params params = {
        .channel = subscription->channel.text,
        .stream_id = subscription->stream_id,
        .on_available_image = on_available_image,
        .on_unavailable_image = ignore_image,
        .handler_context = subscription,
    };
    subscription->async =
        tern_client_async_add_subscription(subscription->server->client, &params, error);
}

static int step_adding(struct recording_subscription *subscription, bool *is_alive) {
    struct archive_server *server = subscription->server;
    struct tern_error error;
    int result;
    if (subscription->async == NULL) {
        begin(subscription, &error);
        result = subscription->async == NULL ? error.code : 0;
    } else {
        result =
            tern_async_poll_subscription(subscription->async, &subscription->subscription, &error);
        subscription->async = result == 0 ? subscription->async : NULL;
    }
    if (result == 0 || archive_server_is_temporary(result)) {
        return 0;
    }
    if (result < 0) {
        control_respond_error(server, subscription->control_session_id,
                              subscription->correlation_id, TERN_ARCHIVE_ERROR_GENERIC,
                              "cannot subscribe to %.100s: %s", subscription->channel.text,
                              error.text);
        *is_alive = false;
        return 1;
    }
    subscription->id = tern_subscription_registration_id(subscription->subscription);
    subscription->state = RECORDING_SUBSCRIPTION_STATE_ACTIVE;
    control_respond_ok(server, subscription->control_session_id, subscription->correlation_id,
                       subscription->id);
    return 1;
}

static int record_images(struct recording_subscription *subscription) {
    int work = 0;
    while (subscription->images.count > 0 &&
           subscription->state == RECORDING_SUBSCRIPTION_STATE_ACTIVE) {
        tern_image *image = subscription->images.items[0];
        session_list_remove_first(&subscription->images);
        recording_create(subscription, image);
        tern_image_release(image);
        work++;
    }
    return work;
}

int recording_subscription_step(struct recording_subscription *subscription, bool *is_alive) {
    int work = 0;
    *is_alive = true;
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ADDING) {
        work += step_adding(subscription, is_alive);
    }
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ACTIVE) {
        work += record_images(subscription);
        /* Images are polled one by one; without a look at them together the client would keep the
         * logs of all that went away mapped. */
        (void)tern_subscription_image_count(subscription->subscription);
    }
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ENDING &&
        subscription->recording_count == 0) {
        *is_alive = false;
    }
    if (!*is_alive) {
        recording_subscription_destroy(subscription);
    }
    return work;
}

void recording_subscription_stop(struct recording_subscription *subscription) {
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ENDING) {
        return;
    }
    struct archive_server *server = subscription->server;
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ADDING) {
        control_respond_error(server, subscription->control_session_id,
                              subscription->correlation_id, TERN_ARCHIVE_ERROR_GENERIC,
                              "stopped before the subscription was there");
    }
    subscription->state = RECORDING_SUBSCRIPTION_STATE_ENDING;
    for (int i = 0; i < server->recordings.count; i++) {
        struct recording *recording = server->recordings.items[i];
        if (recording->subscription == subscription) {
            recording_abort(recording);
        }
    }
}

void recording_subscription_let_go(struct recording_subscription *subscription) {
    if (subscription->auto_stop) {
        recording_subscription_stop(subscription);
    }
    if (subscription->state == RECORDING_SUBSCRIPTION_STATE_ENDING) {
        tern_subscription_close(subscription->subscription);
        subscription->subscription = NULL;
    }
}

void recording_subscription_on_recording_ended(struct recording_subscription *subscription) {
    assert(subscription->recording_count > 0);
    subscription->recording_count--;
    if (subscription->auto_stop) {
        recording_subscription_stop(subscription);
    }
}

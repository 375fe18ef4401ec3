/* Response channels: who answers whom (media-driver.md 2.13, 3.10).
 *
 *   requester                                        responder
 *   subscription waits       request --SETUP with SEND_RESPONSE--> image
 *                            request <------RSP_SETUP------------- image <- response publication
 *   subscription takes session --SM SEND_SETUP to the control address--> response publication
 *   image                    <--------SETUP, data to that SM's source--- response publication
 *
 * Everything is found by ids at the moment that it is needed: any of the four may be gone by then.
 * Between processes of one machine there are no frames; the request publication itself stands for
 * the image.
 */
#include "driverd/response_channel.h"

#include <assert.h>

#include "driverd/conductor.h"
#include "driverd/image.h"
#include "driverd/linking.h"
#include "driverd/publication_net.h"
#include "driverd/receiver.h"
#include "driverd/subscription.h"

static struct subscription *find_subscription(const struct conductor *conductor, int64_t id,
                                              enum subscription_kind kind) {
    struct subscription *subscription = hash_map_get(&conductor->subscriptions_by_id, id);
    bool is_meant =
        subscription != NULL && subscription->kind == kind && subscription->params.is_response;
    return is_meant ? subscription : NULL;
}

/* An image that asked for a response. */
static struct image *find_image(const struct conductor *conductor, int64_t id) {
    const struct pointer_list *list = &conductor->images;
    for (int32_t i = 0; i < list->count; i++) {
        struct image *image = list->items[i];
        if (image->id == id && image->wants_response && image->state <= IMAGE_STATE_DRAINING) {
            return image;
        }
    }
    return NULL;
}

/* An IPC publication that asks for a response. */
static const struct publication *find_request(const struct conductor *conductor, int64_t id) {
    const struct publication *request = hash_map_get(&conductor->publications_by_id, id);
    bool is_meant = request != NULL && request->kind == PUBLICATION_IPC &&
                    publication_params_is_request(&request->params);
    return is_meant ? request : NULL;
}

int response_channel_check(const struct conductor *conductor,
                           const struct publication_params *params, enum publication_kind kind,
                           struct tern_error *error) {
    int64_t id = params->response_correlation_id;
    bool is_ipc = kind == PUBLICATION_IPC;
    if (publication_params_is_request(params) &&
        find_subscription(conductor, id, is_ipc ? SUBSCRIPTION_IPC : SUBSCRIPTION_NET) == NULL) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "response-correlation-id=%lld: no subscription with control-mode=response "
                         "has this registration id",
                         (long long)id);
    }
    bool is_answer = params->is_response && id != RESPONSE_CORRELATION_PROTOTYPE;
    if (is_answer &&
        (is_ipc ? find_request(conductor, id) == NULL : find_image(conductor, id) == NULL)) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "response-correlation-id=%lld: no image with this correlation id has "
                         "asked for a response",
                         (long long)id);
    }
    return 0;
}

/* From now on it is a subscription to this session. */
static void take_session(struct subscription *subscription, int32_t session_id) {
    assert(subscription_awaits_session(subscription));
    subscription->params.has_session_id = true;
    subscription->params.session_id = session_id;
}

static void answer_ipc(struct conductor *conductor, const struct publication *response) {
    const struct publication *request =
        find_request(conductor, response->params.response_correlation_id);
    struct subscription *subscription =
        request == NULL ? NULL
                        : find_subscription(conductor, request->params.response_correlation_id,
                                            SUBSCRIPTION_IPC);
    if (subscription != NULL && subscription_awaits_session(subscription)) {
        take_session(subscription, response->session_id);
    }
}

void response_channel_on_publication(struct conductor *conductor,
                                     const struct publication *publication) {
    if (!publication->params.is_response) {
        return;
    }
    if (publication->kind == PUBLICATION_IPC) {
        answer_ipc(conductor, publication);
        return;
    }
    struct image *image = find_image(conductor, publication->params.response_correlation_id);
    if (image != NULL) {
        image_announce_response(image, publication->session_id);
    }
}

void response_channel_on_settled(struct conductor *conductor,
                                 const struct publication *publication) {
    if (!publication->params.is_response || publication->kind == PUBLICATION_IPC) {
        return;
    }
    struct image *image = find_image(conductor, publication->params.response_correlation_id);
    if (image != NULL) {
        image_end_response(image, publication->session_id);
    }
}

/* Said again and again until the response is connected: what the first SEND_SETUP caused may have
 * been lost. */
void response_channel_on_session(struct conductor *conductor, int64_t correlation_id,
                                 int32_t session_id) {
    struct subscription *subscription =
        find_subscription(conductor, correlation_id, SUBSCRIPTION_NET);
    if (subscription == NULL) {
        return;
    }
    bool is_new = subscription_awaits_session(subscription);
    if (is_new) {
        take_session(subscription, session_id);
    }
    bool was_added =
        receiver_add_interest(conductor->receiver, subscription->endpoint, subscription->stream_id,
                              false, subscription->params.session_id);
    assert(was_added); /* the room was looked at before */
    (void)was_added;
    if (is_new) {
        linking_attach_subscription(conductor, subscription);
    }
}

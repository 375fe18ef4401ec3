/* Attaching subscriptions to streams.
 *
 * A subscriber that cannot be attached (all counters in use) gets no image; the add itself has
 * succeeded by then, so the reason goes to the error log.
 */
#include "driverd/linking.h"

#include "driverd/conductor.h"
#include "driverd/image.h"
#include "driverd/network.h"
#include "driverd/publication_ipc.h"
#include "driverd/publication_net.h"
#include "driverd/subscription.h"

static void log_failure(struct conductor *conductor, int result, const struct tern_error *error) {
    if (result < 0) {
        driver_context_log_error(conductor->context, error);
    }
}

static bool wants_publication(const struct subscription *subscription, enum subscription_kind kind,
                              const struct publication *publication) {
    return subscription->kind == kind &&
           subscription_wants(subscription, publication->stream_id, publication->session_id);
}

static void attach_ipc(struct conductor *conductor, struct subscription *subscription,
                       struct publication_ipc *publication) {
    struct tern_error error;
    int result = subscribable_add(&publication->base.subscribers, subscription,
                                  publication_ipc_join_position(publication), &error);
    publication_ipc_on_subscribers_changed(publication);
    conductor_wake_publication(conductor, &publication->base);
    log_failure(conductor, result, &error);
}

static void attach_spy(struct conductor *conductor, struct subscription *subscription,
                       struct publication_net *publication) {
    struct tern_error error;
    int result = subscribable_add(&publication->base.subscribers, subscription,
                                  publication_net_join_position(publication), &error);
    publication_net_on_spies_changed(publication);
    conductor_wake_publication(conductor, &publication->base);
    log_failure(conductor, result, &error);
}

static void attach_image(struct conductor *conductor, struct subscription *subscription,
                         struct image *image) {
    struct tern_error error;
    int result =
        subscribable_add(&image->subscribers, subscription, image_join_position(image), &error);
    image->quiet_hwm = -1;
    network_wake_image(conductor, image);
    log_failure(conductor, result, &error);
}

static bool spies_on(const struct subscription *subscription,
                     const struct publication_net *publication) {
    return wants_publication(subscription, SUBSCRIPTION_SPY, &publication->base) &&
           network_spy_matches(subscription, publication);
}

static bool wants_image(const struct subscription *subscription, const struct image *image) {
    return subscription->kind == SUBSCRIPTION_NET && subscription->endpoint == image->endpoint &&
           subscription_wants(subscription, image->stream_id, image->session_id);
}

static void attach_to_all_ipc(struct conductor *conductor, struct subscription *subscription) {
    const struct stream_node *node =
        stream_index_first(&conductor->ipc_by_stream, subscription->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct publication_ipc *publication =
            CONTAINER_OF(node, struct publication_ipc, base.stream_node);
        if (wants_publication(subscription, SUBSCRIPTION_IPC, &publication->base) &&
            publication_ipc_accepts_subscribers(publication)) {
            attach_ipc(conductor, subscription, publication);
        }
    }
}

static void attach_to_all_net(struct conductor *conductor, struct subscription *subscription) {
    const struct stream_node *node =
        stream_index_first(&conductor->net_by_stream, subscription->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct publication_net *publication =
            CONTAINER_OF(node, struct publication_net, base.stream_node);
        if (spies_on(subscription, publication) && publication_net_accepts_spies(publication)) {
            attach_spy(conductor, subscription, publication);
        }
    }
}

static void attach_to_all_images(struct conductor *conductor, struct subscription *subscription) {
    const struct stream_node *node =
        stream_index_first(&conductor->images_by_stream, subscription->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct image *image = CONTAINER_OF(node, struct image, stream_node);
        if (wants_image(subscription, image) && image_accepts_subscribers(image)) {
            attach_image(conductor, subscription, image);
        }
    }
}

void linking_attach_subscription(struct conductor *conductor, struct subscription *subscription) {
    switch (subscription->kind) {
    case SUBSCRIPTION_IPC:
        attach_to_all_ipc(conductor, subscription);
        break;
    case SUBSCRIPTION_SPY:
        attach_to_all_net(conductor, subscription);
        break;
    case SUBSCRIPTION_NET:
        attach_to_all_images(conductor, subscription);
        break;
    }
}

void linking_announce_unavailable(const struct subscription *subscription) {
    const char *channel = subscription->kind == SUBSCRIPTION_IPC ? SUBSCRIBABLE_CHANNEL_IPC : NULL;
    for (int32_t i = 0; i < subscription->attached_count; i++) {
        subscribable_announce_unavailable(subscription->attached[i], subscription, channel);
    }
}

/* Publications decide by their subscribers whether they are connected. Images look at theirs at
 * their timer. */
void linking_detach_subscription(struct conductor *conductor, struct subscription *subscription) {
    while (subscription->attached_count > 0) {
        struct subscribable *from = subscription->attached[subscription->attached_count - 1];
        bool was_attached = subscribable_remove(from, subscription);
        assert(was_attached);
        (void)was_attached;
        struct publication *publication =
            subscription->kind == SUBSCRIPTION_NET
                ? NULL
                : hash_map_get(&conductor->publications_by_id, from->id);
        if (publication != NULL && publication->kind == PUBLICATION_IPC) {
            publication_ipc_on_subscribers_changed((struct publication_ipc *)publication);
        } else if (publication != NULL) {
            publication_net_on_spies_changed((struct publication_net *)publication);
        }
        if (publication != NULL) {
            conductor_wake_publication(conductor, publication);
        }
    }
}

void linking_attach_publication_ipc(struct conductor *conductor,
                                    struct publication_ipc *publication) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, publication->base.stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct subscription *subscription = CONTAINER_OF(node, struct subscription, stream_node);
        if (wants_publication(subscription, SUBSCRIPTION_IPC, &publication->base)) {
            attach_ipc(conductor, subscription, publication);
        }
    }
}

void linking_attach_publication_net(struct conductor *conductor,
                                    struct publication_net *publication) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, publication->base.stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct subscription *subscription = CONTAINER_OF(node, struct subscription, stream_node);
        if (spies_on(subscription, publication)) {
            attach_spy(conductor, subscription, publication);
        }
    }
}

void linking_attach_image(struct conductor *conductor, struct image *image) {
    const struct stream_node *node =
        stream_index_first(&conductor->subscriptions_by_stream, image->stream_id);
    for (; node != NULL; node = stream_index_next(node)) {
        struct subscription *subscription = CONTAINER_OF(node, struct subscription, stream_node);
        if (wants_image(subscription, image)) {
            attach_image(conductor, subscription, image);
        }
    }
}

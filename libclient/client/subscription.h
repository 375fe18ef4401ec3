/* The inside of a subscription: its images as an immutable list that the conductor replaces. Not
 * for other folders. */
#ifndef TERN_CLIENT_SUBSCRIPTION_H
#define TERN_CLIENT_SUBSCRIPTION_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "client/core.h"

/* Owned by the subscription; read by its poller without a lock. Each image in the present list has
 * one reference for being in it. */
struct client_image_list {
    int64_t version;
    int32_t count;
    struct tern_image *images[];
};

struct tern_subscription {
    /* poller */
    struct client_image_list *list; /* release by the conductor */
    int32_t next_index;             /* round robin */
    int32_t poll_depth;             /* > 0: a poll is using some list */
    int64_t seen_version;           /* release: no older list is used any more */
    int32_t is_closed;              /* release by the conductor or close */
    int32_t change_count;           /* of the two above; a waiting poller sleeps on it */

    /* lock */
    bool is_free_deferred; /* closed by its own handler: the conductor frees it */

    /* constant */
    struct tern_client *client; /* counted */
    char *channel;
    int64_t registration_id;
    int32_t stream_id;
    int32_t channel_status_id;
    struct client_handlers handlers; /* only the two image handlers are used */
};

static inline struct client_image_list *
client_image_list_load(struct tern_subscription *subscription) {
    /* Pairs with the release in list_replace: the images are complete. */
    return __atomic_load_n(&subscription->list, __ATOMIC_ACQUIRE);
}

/* The list to use from now on. Poller only. */
static inline struct client_image_list *
client_image_list_enter(struct tern_subscription *subscription) {
    struct client_image_list *list = client_image_list_load(subscription);
    if (UNLIKELY(subscription->poll_depth == 0 &&
                 load_plain_i64(&subscription->seen_version) != list->version)) {
        /* Pairs with the acquire in client_retired_free: all reads of older lists are done. */
        store_release_i64(&subscription->seen_version, list->version);
    }
    return list;
}

struct client_subscription_params {
    const char *channel;
    int32_t stream_id;
    int64_t registration_id;
    int32_t channel_status_id;
    const struct tern_subscription_params *user; /* handlers */
};

/* All: conductor, lock held. */
struct tern_subscription *
client_subscription_create(struct tern_client *client,
                           const struct client_subscription_params *params,
                           struct tern_error *error);
void client_subscription_free(struct tern_subscription *subscription);
struct tern_image *client_subscription_find(const struct tern_subscription *subscription,
                                            int64_t image_id);
/* Publish a list with one image more; takes over the caller's reference. 0 or -ENOMEM. */
int client_subscription_add_image(struct tern_subscription *subscription, struct tern_image *image,
                                  int64_t now_ns);
/* Publish a list without the image; its reference goes to the retired list. 0 or -ENOMEM. */
int client_subscription_remove_image(struct tern_subscription *subscription,
                                     struct tern_image *image, int64_t now_ns);
/* The client ended: close the images; the poller finds is_closed. */
void client_subscription_terminate(struct tern_subscription *subscription);
/* Free retired lists whose poller moved on; returns how many. */
int client_retired_free(struct tern_client *client, int64_t now_ns);

#endif

/* Subscriptions: polling a changing set of images (shared-memory.md 5.15).
 *
 * The conductor never changes a list that a poller may see: it publishes a new one (release) and
 * retires the old. The poller announces in seen_version, between polls, which list it uses from now
 * on; a retired list and the image that was taken out of it are freed when a later version was
 * announced. This costs the poller one compare per call and is safe however long the poller sleeps,
 * which a time-out alone would not be. Inside a handler (poll_depth > 0) nothing is announced, for
 * the outer poll still walks its own list.
 */
#include "client/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/futex.h"
#include "base/memory.h"
#include "client/image.h"
#include "client/request.h"

static struct client_image_list *list_create(int32_t count, int64_t version) {
    struct client_image_list *list =
        memory_allocate_lines(sizeof *list + (size_t)count * sizeof(struct tern_image *));
    if (list != NULL) {
        list->count = count;
        list->version = version;
    }
    return list;
}

/* Lock held: the list or is_closed was changed; a poller that waits has to look at it. */
static void wake_poller(struct tern_subscription *subscription) {
    (void)get_and_add_i32(&subscription->change_count, 1);
    futex_wake(&subscription->change_count, true);
}

static int32_t first_index(struct tern_subscription *subscription, int32_t count) {
    int32_t index = subscription->next_index;
    if (index >= count) {
        index = 0;
    }
    subscription->next_index = index + 1;
    return index;
}

struct tern_subscription *
client_subscription_create(struct tern_client *client,
                           const struct client_subscription_params *params,
                           struct tern_error *error) {
    struct tern_subscription *subscription = memory_allocate_lines(sizeof *subscription);
    char *channel = strdup(params->channel);
    struct client_image_list *list = list_create(0, 1);
    if (subscription == NULL || channel == NULL || list == NULL ||
        hash_map_put(&client->subscriptions, params->registration_id, subscription) != 0) {
        free(subscription);
        free(channel);
        free(list);
        (void)error_set(error, -ENOMEM, "no memory for subscription %s", params->channel);
        return NULL;
    }
    subscription->client = client;
    subscription->channel = channel;
    subscription->list = list;
    subscription->registration_id = params->registration_id;
    subscription->stream_id = params->stream_id;
    subscription->channel_status_id = params->channel_status_id;
    subscription->handlers = client->settings.handlers;
    const struct tern_subscription_params *user = params->user;
    if (user->on_available_image != NULL) {
        subscription->handlers.on_available_image = user->on_available_image;
        subscription->handlers.on_available_image_context = user->handler_context;
    }
    if (user->on_unavailable_image != NULL) {
        subscription->handlers.on_unavailable_image = user->on_unavailable_image;
        subscription->handlers.on_unavailable_image_context = user->handler_context;
    }
    client_retain(client);
    return subscription;
}

void client_subscription_free(struct tern_subscription *subscription) {
    struct tern_client *client = subscription->client;
    free(subscription->list);
    free(subscription->channel);
    free(subscription);
    assert(client->reference_count > 1);
    client->reference_count--;
}

struct tern_image *client_subscription_find(const struct tern_subscription *subscription,
                                            int64_t image_id) {
    const struct client_image_list *list = subscription->list;
    for (int32_t i = 0; i < list->count; i++) {
        if (list->images[i]->correlation_id == image_id) {
            return list->images[i];
        }
    }
    return NULL;
}

static void list_replace(struct tern_subscription *subscription, struct client_image_list *list,
                         struct client_retired *retired) {
    struct tern_client *client = subscription->client;
    retired->subscription = subscription;
    retired->list = subscription->list;
    retired->version = list->version;
    retired->next = client->retired;
    client->retired = retired;
    __atomic_store_n(&subscription->list, list, __ATOMIC_RELEASE);
    wake_poller(subscription);
}

int client_subscription_add_image(struct tern_subscription *subscription, struct tern_image *image,
                                  int64_t now_ns) {
    const struct client_image_list *old = subscription->list;
    struct client_image_list *list = list_create(old->count + 1, old->version + 1);
    struct client_retired *retired = calloc(1, sizeof *retired);
    if (list == NULL || retired == NULL) {
        free(list);
        free(retired);
        return -ENOMEM;
    }
    memcpy(list->images, old->images, (size_t)old->count * sizeof(struct tern_image *));
    list->images[old->count] = image;
    retired->deadline_ns = now_ns;
    list_replace(subscription, list, retired);
    return 0;
}

int client_subscription_remove_image(struct tern_subscription *subscription,
                                     struct tern_image *image, int64_t now_ns) {
    const struct client_image_list *old = subscription->list;
    struct client_image_list *list = list_create(old->count - 1, old->version + 1);
    struct client_retired *retired = calloc(1, sizeof *retired);
    if (list == NULL || retired == NULL) {
        free(list);
        free(retired);
        return -ENOMEM;
    }
    int32_t kept = 0;
    for (int32_t i = 0; i < old->count; i++) {
        if (old->images[i] != image) {
            assert(kept < list->count);
            list->images[kept++] = old->images[i];
        }
    }
    retired->image = image;
    retired->deadline_ns = now_ns + subscription->client->settings.resource_linger_ns;
    list_replace(subscription, list, retired);
    return 0;
}

static void retired_free(struct client_retired *retired) {
    if (retired->image != NULL) {
        client_image_release_locked(retired->image);
    }
    free(retired->list);
    free(retired);
}

int client_retired_free(struct tern_client *client, int64_t now_ns) {
    int freed = 0;
    struct client_retired **link = &client->retired;
    while (*link != NULL) {
        struct client_retired *retired = *link;
        if (now_ns < retired->deadline_ns ||
            load_acquire_i64(&retired->subscription->seen_version) < retired->version) {
            link = &retired->next;
            continue;
        }
        *link = retired->next;
        retired_free(retired);
        freed++;
    }
    return freed;
}

/* No poller is there any more: everything retired on its behalf can go. */
static void retired_free_of(struct tern_subscription *subscription) {
    struct client_retired **link = &subscription->client->retired;
    while (*link != NULL) {
        struct client_retired *retired = *link;
        if (retired->subscription != subscription) {
            link = &retired->next;
            continue;
        }
        *link = retired->next;
        retired_free(retired);
    }
}

void client_subscription_terminate(struct tern_subscription *subscription) {
    for (int32_t i = 0; i < subscription->list->count; i++) {
        client_image_close(subscription->list->images[i]);
    }
    store_release_i32(&subscription->is_closed, 1);
    wake_poller(subscription);
}

int tern_subscription_poll(tern_subscription *subscription, tern_fragment_handler handler,
                           void *handler_context, int fragment_limit) {
    struct client_image_list *list = client_image_list_enter(subscription);
    int32_t count = list->count;
    if (count == 0) {
        return 0;
    }
    int32_t index = first_index(subscription, count);
    int fragments = 0;
    subscription->poll_depth++;
    for (int32_t i = 0; i < count && fragments < fragment_limit; i++) {
        struct tern_image *image = list->images[index];
        fragments += image_poll_to(image, handler, handler_context, image->term_length,
                                   fragment_limit - fragments);
        index = index + 1 == count ? 0 : index + 1;
    }
    subscription->poll_depth--;
    return fragments;
}

int tern_subscription_controlled_poll(tern_subscription *subscription,
                                      tern_controlled_fragment_handler handler,
                                      void *handler_context, int fragment_limit) {
    struct client_image_list *list = client_image_list_enter(subscription);
    int32_t count = list->count;
    if (count == 0) {
        return 0;
    }
    int32_t index = first_index(subscription, count);
    int fragments = 0;
    subscription->poll_depth++;
    for (int32_t i = 0; i < count && fragments < fragment_limit; i++) {
        fragments += tern_image_controlled_poll(list->images[index], handler, handler_context,
                                                fragment_limit - fragments);
        index = index + 1 == count ? 0 : index + 1;
    }
    subscription->poll_depth--;
    return fragments;
}

int64_t tern_subscription_block_poll(tern_subscription *subscription, tern_block_handler handler,
                                     void *handler_context, int32_t length_limit) {
    struct client_image_list *list = client_image_list_enter(subscription);
    int64_t bytes = 0;
    subscription->poll_depth++;
    for (int32_t i = 0; i < list->count; i++) {
        bytes += tern_image_block_poll(list->images[i], handler, handler_context, length_limit);
    }
    subscription->poll_depth--;
    return bytes;
}

int64_t tern_subscription_raw_poll(tern_subscription *subscription, tern_raw_block_handler handler,
                                   void *handler_context, int32_t length_limit) {
    struct client_image_list *list = client_image_list_enter(subscription);
    int64_t bytes = 0;
    int32_t result = 0;
    subscription->poll_depth++;
    for (int32_t i = 0; i < list->count && result >= 0; i++) {
        result = tern_image_raw_poll(list->images[i], handler, handler_context, length_limit);
        bytes += max_i32(result, 0);
    }
    subscription->poll_depth--;
    return bytes > 0 ? bytes : result;
}

bool tern_subscription_is_connected(tern_subscription *subscription) {
    const struct client_image_list *list = client_image_list_enter(subscription);
    for (int32_t i = 0; i < list->count; i++) {
        if (load_acquire_i32(&list->images[i]->is_closed) == 0) {
            return true;
        }
    }
    return false;
}

int tern_subscription_image_count(tern_subscription *subscription) {
    const struct client_image_list *list = client_image_list_enter(subscription);
    return load_acquire_i32(&subscription->is_closed) != 0 ? 0 : list->count;
}

tern_image *tern_subscription_image_by_session_id(tern_subscription *subscription,
                                                  int32_t session_id) {
    const struct client_image_list *list = client_image_list_enter(subscription);
    for (int32_t i = 0; i < list->count; i++) {
        struct tern_image *image = list->images[i];
        if (image->session_id == session_id && load_acquire_i32(&subscription->is_closed) == 0) {
            tern_image_retain(image);
            return image;
        }
    }
    return NULL;
}

tern_image *tern_subscription_image_at_index(tern_subscription *subscription, int index) {
    const struct client_image_list *list = client_image_list_enter(subscription);
    if (index < 0 || index >= list->count || load_acquire_i32(&subscription->is_closed) != 0) {
        return NULL;
    }
    tern_image_retain(list->images[index]);
    return list->images[index];
}

int tern_subscription_for_each_image(tern_subscription *subscription, tern_image_visitor visit,
                                     void *context) {
    struct client_image_list *list = client_image_list_enter(subscription);
    if (load_acquire_i32(&subscription->is_closed) != 0) {
        return 0;
    }
    subscription->poll_depth++;
    for (int32_t i = 0; i < list->count; i++) {
        visit(context, list->images[i]);
    }
    subscription->poll_depth--;
    return list->count;
}

bool tern_subscription_is_closed(const tern_subscription *subscription) {
    return load_acquire_i32(&subscription->is_closed) != 0;
}

int64_t tern_subscription_channel_status(const tern_subscription *subscription) {
    return tern_subscription_is_closed(subscription)
               ? TERN_CHANNEL_STATUS_ERRORED
               : client_channel_status(subscription->client, subscription->channel_status_id);
}

int32_t tern_subscription_channel_status_id(const tern_subscription *subscription) {
    return subscription->channel_status_id;
}

const char *tern_subscription_channel(const tern_subscription *subscription) {
    return subscription->channel;
}

int32_t tern_subscription_stream_id(const tern_subscription *subscription) {
    return subscription->stream_id;
}

int64_t tern_subscription_registration_id(const tern_subscription *subscription) {
    return subscription->registration_id;
}

void tern_subscription_get_constants(const tern_subscription *subscription,
                                     struct tern_subscription_constants *constants) {
    *constants = (struct tern_subscription_constants){
        .channel = subscription->channel,
        .registration_id = subscription->registration_id,
        .stream_id = subscription->stream_id,
        .channel_status_counter_id = subscription->channel_status_id,
    };
}

tern_async *tern_subscription_async_add_destination(tern_subscription *subscription,
                                                    const char *channel, struct tern_error *error) {
    return client_request_destination(subscription->client,
                                      &(struct command){
                                          .type = COMMAND_ADD_RECEIVE_DESTINATION,
                                          .registration_id = subscription->registration_id,
                                          .channel.text = channel,
                                      },
                                      error);
}

tern_async *tern_subscription_async_remove_destination(tern_subscription *subscription,
                                                       const char *channel,
                                                       struct tern_error *error) {
    return client_request_destination(subscription->client,
                                      &(struct command){
                                          .type = COMMAND_REMOVE_RECEIVE_DESTINATION,
                                          .registration_id = subscription->registration_id,
                                          .channel.text = channel,
                                      },
                                      error);
}

/* Lock held, no poller: give back every image and list but the present list itself. */
static void release_images(struct tern_subscription *subscription) {
    retired_free_of(subscription);
    for (int32_t i = 0; i < subscription->list->count; i++) {
        client_image_close(subscription->list->images[i]);
        client_image_release_locked(subscription->list->images[i]);
    }
    subscription->list->count = 0;
}

void tern_subscription_close(tern_subscription *subscription) {
    if (subscription == NULL) {
        return;
    }
    struct tern_client *client = subscription->client;
    client_lock(client);
    client_retain(client);
    bool is_own_handler = client->handler_subscription == subscription;
    if (is_own_handler && !client_is_handler_thread(client)) {
        while (client->handler_subscription == subscription) {
            (void)pthread_cond_wait(&client->changed, &client->lock);
        }
        is_own_handler = false;
    }
    (void)hash_map_remove(&client->subscriptions, subscription->registration_id);
    if (load_plain_i32(&client->is_closed) == 0) {
        client_send_reliably(client, &(struct command){
                                         .type = COMMAND_REMOVE_SUBSCRIPTION,
                                         .client_id = client->id,
                                         .correlation_id = tern_client_next_correlation_id(client),
                                         .registration_id = subscription->registration_id,
                                     });
    }
    store_release_i32(&subscription->is_closed, 1);
    release_images(subscription);
    subscription->is_free_deferred = is_own_handler;
    if (!is_own_handler) {
        client_subscription_free(subscription);
    }
    client_unlock(client);
    client_release(client);
}

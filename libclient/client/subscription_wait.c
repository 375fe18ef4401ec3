/* Sleeping until a subscription has something to poll.
 *
 *   look -> announce the sleep in each log -> barrier -> look again -> sleep on all logs and on the
 *   subscription's own word -> ...
 *
 * Data is written by other processes, straight into the logs, so the logs have the word that a
 * writer looks at (log_wake.h). Images that come and go, and the end of the client, are the
 * conductor's, which wakes the subscription's own word. Where some writer is not known to look (an
 * Aeron client or an Aeron driver, more images than one call can wait for, an old kernel), the
 * sleep is short and grows from NAP_MIN_NS to NAP_MAX_NS; wake-ups that do come still end it.
 *
 * Runs on the poller's thread; no lock is held while it sleeps.
 */
#include "client/subscription.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/futex.h"
#include "client/image.h"
#include "client/request.h"
#include "shm/log_wake.h"

/* Nobody's word is trusted for ever: a writer that was killed between commit and wake costs this
 * much, and 4 looks per second are nothing. */
#define SLEEP_MAX_NS (250 * NS_PER_MS)
/* Invoker: the conductor is the waiting thread's, too. */
#define INVOKER_SLEEP_MAX_NS (10 * NS_PER_MS)
#define NAP_MIN_NS (20 * NS_PER_US)
#define NAP_MAX_NS NS_PER_MS
/* The kernel would add up to 50 us to each nap. */
#define NAP_SLACK_NS 1000UL
#define SLACK_UNCHANGED (-1)

struct sleep {
    struct futex_word words[FUTEX_WORDS_MAX];
    int count;
    bool is_reliable; /* everybody who may write wakes */
    int64_t nap_ns;
    int slack_before; /* SLACK_UNCHANGED, or what to restore */
};

static int64_t monotonic_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* There is a committed frame, if only padding, at the subscriber's position. */
static bool has_frame(const struct tern_image *image) {
    int64_t position = load_plain_i64(&image->position);
    const uint8_t *term = image->terms[log_index_of(position, image->position_bits)];
    int32_t offset = log_term_offset_of(position, image->term_length);
    return load_acquire_i32(&image->is_closed) == 0 && image_frame_length(image, term, offset) > 0;
}

static bool has_data(const struct client_image_list *list) {
    for (int32_t i = 0; i < list->count; i++) {
        if (has_frame(list->images[i])) {
            return true;
        }
    }
    return false;
}

static bool wake_reliably(const struct client_image_list *list) {
    for (int32_t i = 0; i < list->count; i++) {
        if (!log_wakes_reliably(list->images[i]->log->buffer.metadata)) {
            return false;
        }
    }
    return list->count < FUTEX_WORDS_MAX;
}

/* The barrier interrupts other processors, so it is not for naps, which end soon anyway. */
static void announce(struct sleep *sleep, const struct client_image_list *list) {
    for (int32_t i = 0; i < list->count && sleep->count < FUTEX_WORDS_MAX; i++) {
        struct log_metadata *metadata = list->images[i]->log->buffer.metadata;
        log_sleeper_announce(metadata);
        sleep->words[sleep->count++] = (struct futex_word){&metadata->sleeper, LOG_SLEEPER, false};
    }
    sleep->is_reliable = wake_reliably(list) && futex_barrier() && wake_reliably(list);
}

static void take_nap(struct sleep *sleep, int count, int64_t room_ns) {
    if (sleep->slack_before == SLACK_UNCHANGED) {
        sleep->slack_before = prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
        (void)prctl(PR_SET_TIMERSLACK, NAP_SLACK_NS, 0UL, 0UL, 0UL);
    }
    if (futex_wait(sleep->words, count, min_i64(sleep->nap_ns, room_ns)) == -ENOSYS) {
        (void)futex_wait(sleep->words, 1, min_i64(sleep->nap_ns, room_ns));
    }
    sleep->nap_ns = min_i64(2 * sleep->nap_ns, NAP_MAX_NS);
}

/* Announced and looked: sleep at most room_ns. */
static void fall_asleep(struct sleep *sleep, int64_t room_ns) {
    if (sleep->is_reliable) {
        int result = futex_wait(sleep->words, sleep->count, min_i64(room_ns, SLEEP_MAX_NS));
        sleep->is_reliable = result != -ENOSYS;
    }
    if (!sleep->is_reliable) {
        take_nap(sleep, sleep->count, room_ns);
    }
}

static bool is_in_handler(struct tern_client *client) {
    client_lock(client);
    bool is_handler = client_is_handler_thread(client);
    client_unlock(client);
    return is_handler;
}

/* One look and one sleep. 1: something to poll, 0: look again, negative: the end. */
static int wait_once(struct tern_subscription *subscription, struct sleep *sleep, int64_t room_ns) {
    struct tern_client *client = subscription->client;
    /* Before the look: what changes after it is not slept through. */
    sleep->words[0] = (struct futex_word){&subscription->change_count,
                                          load_acquire_i32(&subscription->change_count), true};
    sleep->count = 1;
    const struct client_image_list *list = client_image_list_enter(subscription);
    if (load_acquire_i32(&subscription->is_closed) != 0) {
        return TERN_ERROR_CLOSED;
    }
    if (has_data(list)) {
        return 1;
    }
    if (client->settings.is_invoker) {
        room_ns = min_i64(room_ns, INVOKER_SLEEP_MAX_NS);
        if (tern_client_do_work(client) > 0) {
            return 0;
        }
    }
    announce(sleep, list);
    if (has_data(list)) {
        return 1;
    }
    fall_asleep(sleep, room_ns);
    return 0;
}

static int wait_until(struct tern_subscription *subscription, int64_t deadline_ns) {
    struct sleep sleep;
    sleep.nap_ns = NAP_MIN_NS;
    sleep.slack_before = SLACK_UNCHANGED;
    int64_t version = client_image_list_load(subscription)->version;
    int result = 0;
    for (;;) {
        int64_t room_ns = deadline_ns - monotonic_ns();
        if (result != 0 || room_ns <= 0 ||
            client_image_list_load(subscription)->version != version) {
            break;
        }
        result = wait_once(subscription, &sleep, room_ns);
    }
    if (sleep.slack_before != SLACK_UNCHANGED) {
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)sleep.slack_before, 0UL, 0UL, 0UL);
    }
    if (result == 0) {
        const struct client_image_list *list = client_image_list_enter(subscription);
        result = has_data(list) ? 1 : 0;
    }
    return result;
}

int tern_subscription_wait(tern_subscription *subscription, int64_t timeout_ns) {
    if (load_acquire_i32(&subscription->is_closed) != 0) {
        return TERN_ERROR_CLOSED;
    }
    if (has_data(client_image_list_enter(subscription))) {
        return 1;
    }
    if (timeout_ns <= 0) {
        return 0;
    }
    if (is_in_handler(subscription->client)) {
        return -EDEADLK;
    }
    int64_t now_ns = monotonic_ns();
    return wait_until(subscription, now_ns + min_i64(timeout_ns, INT64_MAX - now_ns));
}

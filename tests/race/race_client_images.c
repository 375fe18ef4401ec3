/* Images that come and go while subscriptions are polled, retained and closed.
 *
 * Three kinds of threads meet: the client's own conductor, a driver that answers adds and takes
 * images away and brings them back as fast as it can, and pollers that add a subscription, poll it
 * and wait for more, keep references beyond the subscription's life, and close it. Every fragment
 * must be the one that its place says. What it proves is that no list, image or mapping is freed
 * under a poll or a wait.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "lib/fake_driver.h"

#define POLLER_COUNT 3
#define ROUND_COUNT 60
#define POLLS_PER_ROUND 400
#define MESSAGE_COUNT 512
#define SUBSCRIPTIONS_MAX 8
#define SOURCE_LOG_ID 1000000
#define COUNTER_COUNT 16384 /* each image takes one, to be used again a second later */

struct live {
    int64_t subscription_id; /* 0: free */
    int64_t image_id;        /* 0: gone */
    int32_t position_id;
};

struct scene {
    struct fake_driver driver;
    struct live live[SUBSCRIPTIONS_MAX];
    int64_t next_image_id;
    tern_client *client;
    bool is_stopping;
    int64_t fragments;
    int64_t images_seen;
};

static void require(bool condition, const char *what) {
    if (!condition) {
        (void)fprintf(stderr, "FAILED: %s\n", what);
        abort();
    }
}

/* Every image is another name of one log, so that nothing is written while it is read. */
static void fill_source(struct scene *scene) {
    struct log_buffer *log = fake_driver_create_log(&scene->driver, SOURCE_LOG_ID, LOG_TYPE_IMAGE);
    for (int32_t i = 0; i < MESSAGE_COUNT; i++) {
        struct frame_header *frame = (void *)(log->terms[0] + 64 * i);
        frame->flags = FRAME_FLAG_UNFRAGMENTED;
        frame->type = FRAME_TYPE_DATA;
        frame->term_offset = 64 * i;
        frame->term_id = FAKE_INITIAL_TERM;
        memcpy(frame + 1, &i, sizeof i);
        store_release_i32(&frame->frame_length, 32 + 8);
    }
}

static void bring(struct scene *scene, struct live *live) {
    char source[512];
    char path[512];
    live->image_id = scene->next_image_id++;
    fake_driver_log_path(&scene->driver, SOURCE_LOG_ID, source);
    fake_driver_log_path(&scene->driver, live->image_id, path);
    require(link(source, path) == 0, "link of a log");
    live->position_id = fake_driver_send_image(&scene->driver, live->image_id,
                                               live->subscription_id, FAKE_SESSION, 0);
}

static void take(struct scene *scene, struct live *live) {
    char path[512];
    fake_driver_log_path(&scene->driver, live->image_id, path);
    fake_driver_send_unavailable_image(&scene->driver, live->image_id, live->subscription_id);
    counters_manager_free(&scene->driver.counters, live->position_id,
                          scene->driver.time.epoch_ns / NS_PER_MS);
    /* The name goes only now and then: the client may not have opened it yet. */
    live->image_id = 0;
}

static struct live *find_live(struct scene *scene, int64_t subscription_id) {
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        if (scene->live[i].subscription_id == subscription_id) {
            return &scene->live[i];
        }
    }
    return NULL;
}

static void answer(struct scene *scene, const struct command *command) {
    if (command->type == COMMAND_ADD_SUBSCRIPTION) {
        struct live *live = find_live(scene, 0);
        require(live != NULL, "room for a subscription");
        *live = (struct live){.subscription_id = command->correlation_id};
        fake_driver_send_subscription(&scene->driver, command->correlation_id, -1);
        bring(scene, live);
    } else if (command->type == COMMAND_REMOVE_SUBSCRIPTION) {
        struct live *live = find_live(scene, command->registration_id);
        if (live != NULL && live->image_id != 0) {
            take(scene, live);
        }
        if (live != NULL) {
            *live = (struct live){0};
        }
    }
}

static void *drive(void *argument) {
    struct scene *scene = argument;
    unsigned cycle = 0;
    while (!__atomic_load_n(&scene->is_stopping, __ATOMIC_ACQUIRE)) {
        scene->driver.time.epoch_ns = clock_epoch_ns(clock_system());
        fake_driver_beat(&scene->driver);
        const struct command *command = fake_driver_next(&scene->driver);
        while (command != NULL) {
            answer(scene, command);
            command = fake_driver_next(&scene->driver);
        }
        struct live *live = &scene->live[cycle++ % SUBSCRIPTIONS_MAX];
        if (live->subscription_id != 0) {
            if (live->image_id != 0) {
                take(scene, live);
            } else {
                bring(scene, live);
            }
        }
        (void)nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return NULL;
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    int32_t number;
    memcpy(&number, buffer, sizeof number);
    require(length == 8, "length of a fragment");
    require(tern_header_term_offset(header) == 64 * number, "place of a fragment");
    *(int64_t *)context += 1;
}

static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    (void)subscription;
    require(tern_image_term_length(image) == FAKE_TERM_LENGTH, "term length");
    (void)get_and_add_i64(context, 1);
}

static void *poll_rounds(void *argument) {
    struct scene *scene = argument;
    int64_t fragments = 0;
    tern_image *kept = NULL;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct tern_error error = {0};
        const struct tern_subscription_params params = {"aeron:ipc", FAKE_STREAM, on_image,
                                                        on_image, &scene->images_seen};
        tern_subscription *subscription =
            tern_client_add_subscription(scene->client, &params, 60 * NS_PER_S, &error);
        require(subscription != NULL, error.text);
        for (int i = 0; i < POLLS_PER_ROUND; i++) {
            int work = tern_subscription_poll(subscription, on_fragment, &fragments, 3);
            if (i % 16 == 0) {
                tern_image *image = tern_subscription_image_at_index(subscription, 0);
                if (image != NULL) {
                    tern_image_release(kept);
                    kept = image;
                }
            }
            if (work == 0 && round % 2 == 0) {
                (void)nanosleep(&(struct timespec){0, 20000}, NULL);
            } else if (work == 0) {
                int result = tern_subscription_wait(subscription, 50 * NS_PER_US);
                require(result == 0 || result == 1, "result of a wait");
            }
        }
        tern_subscription_close(subscription);
        if (kept != NULL) {
            require(tern_image_position(kept) <= 64 * MESSAGE_COUNT, "position of a kept image");
            (void)tern_image_is_end_of_stream(kept);
        }
    }
    tern_image_release(kept);
    (void)get_and_add_i64(&scene->fragments, fragments);
    return NULL;
}

int main(void) {
    static struct scene scene;
    struct tern_error error = {0};
    fake_driver_open_sized(&scene.driver, "race", COUNTER_COUNT);
    scene.driver.time.epoch_ns = clock_epoch_ns(clock_system());
    fake_driver_beat(&scene.driver);
    scene.next_image_id = SOURCE_LOG_ID + 1;
    fill_source(&scene);
    tern_context *context = tern_context_create(&error);
    require(context != NULL, error.text);
    require(tern_context_set_directory(context, scene.driver.directory, &error) == 0, error.text);
    require(tern_context_set_idle_strategy(context, "yield", NULL, &error) == 0, error.text);
    tern_context_set_resource_linger_ns(context, 0);
    scene.client = tern_client_connect(context, &error);
    require(scene.client != NULL, error.text);
    tern_context_destroy(context);

    pthread_t driver;
    pthread_t pollers[POLLER_COUNT];
    require(pthread_create(&driver, NULL, drive, &scene) == 0, "thread");
    for (int i = 0; i < POLLER_COUNT; i++) {
        require(pthread_create(&pollers[i], NULL, poll_rounds, &scene) == 0, "thread");
    }
    for (int i = 0; i < POLLER_COUNT; i++) {
        (void)pthread_join(pollers[i], NULL);
    }
    int status = tern_client_status(scene.client, &error);
    require(status == 0, error.text);
    __atomic_store_n(&scene.is_stopping, true, __ATOMIC_RELEASE);
    (void)pthread_join(driver, NULL);
    tern_client_close(scene.client);
    (void)printf("%lld fragments, %lld image events\n", (long long)scene.fragments,
                 (long long)scene.images_seen);
    require(scene.fragments > 0, "fragments were delivered");
    require(scene.images_seen > 2 * POLLER_COUNT * ROUND_COUNT, "images came and went");
    fake_driver_close(&scene.driver);
    return 0;
}

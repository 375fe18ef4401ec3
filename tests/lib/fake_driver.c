/* See fake_driver.h. Everything asserts: a test that cannot set up its scene has failed. */
#include "lib/fake_driver.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/seams.h"
#include "shm/counter_types.h"

#define RING_CAPACITY 65536
#define BROADCAST_CAPACITY 65536
#define COUNTER_COUNT_DEFAULT 128

static int64_t fake_now(void *context) {
    return ((struct fake_time *)context)->now_ns;
}

static int64_t fake_epoch(void *context) {
    return ((struct fake_time *)context)->epoch_ns;
}

static void remove_directory(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
    (void)closedir(directory);
    (void)rmdir(path);
}

static void must(int result, const struct tern_error *error) {
    if (result != 0) {
        (void)fprintf(stderr, "fake driver: %d %s\n", result, error == NULL ? "" : error->text);
        abort();
    }
}

void fake_driver_open(struct fake_driver *driver, const char *name) {
    fake_driver_open_sized(driver, name, COUNTER_COUNT_DEFAULT);
}

void fake_driver_open_sized(struct fake_driver *driver, const char *name, int32_t counter_count) {
    memset(driver, 0, sizeof *driver);
    (void)snprintf(driver->directory, sizeof driver->directory, "/dev/shm/client-test-%d-%s",
                   (int)getpid(), name);
    remove_directory(driver->directory);
    must(mkdir(driver->directory, 0700), NULL);
    driver->time = (struct fake_time){1000 * NS_PER_S, 1700000000 * NS_PER_S};
    driver->clock = (struct clock){&driver->time, fake_now, fake_epoch};
    const struct cnc_params params = {
        .to_driver_length = RING_CAPACITY + RING_TRAILER_LENGTH,
        .to_clients_length = BROADCAST_CAPACITY + BROADCAST_TRAILER_LENGTH,
        .counters_values_length = counter_count * COUNTER_VALUE_LENGTH,
        .error_log_length = 65536,
        .client_liveness_timeout_ns = FAKE_LIVENESS_NS,
        .start_timestamp_ms = 1700000000000,
        .pid = 4242,
        .page_size = 4096,
    };
    char path[512];
    struct tern_error error = {0};
    (void)snprintf(path, sizeof path, "%s/%s", driver->directory, CNC_FILE_NAME);
    must(cnc_create(&driver->cnc, path, &params, &error), &error);
    struct cnc *cnc = &driver->cnc;
    must(ring_mpsc_init(&driver->ring, cnc->to_driver, cnc->to_driver_length), NULL);
    must(broadcast_transmitter_init(&driver->transmitter, cnc->to_clients, cnc->to_clients_length),
         NULL);
    must(counters_manager_init(&driver->counters, cnc->counters_metadata,
                               cnc->counters_metadata_length, cnc->counters_values,
                               cnc->counters_values_length, 1000),
         NULL);
    for (int32_t id = 0; id < SYSTEM_COUNTER_COUNT; id++) {
        int64_t value =
            id == SYSTEM_COUNTER_CONTROL_PROTOCOL_VERSION ? CNC_CONTROL_PROTOCOL_VERSION : 0;
        (void)fake_driver_add_counter(driver, COUNTER_TYPE_SYSTEM, id, value);
    }
    (void)ring_mpsc_next_correlation_id(&driver->ring);
    fake_driver_beat(driver);
    cnc_publish(cnc);
}

void fake_driver_close(struct fake_driver *driver) {
    for (int i = 0; i < driver->log_count; i++) {
        log_buffer_close(&driver->logs[i]);
    }
    counters_manager_close(&driver->counters);
    cnc_close(&driver->cnc);
    remove_directory(driver->directory);
}

void fake_driver_beat(struct fake_driver *driver) {
    ring_mpsc_set_consumer_heartbeat(&driver->ring, driver->time.epoch_ns / NS_PER_MS);
}

void fake_driver_advance(struct fake_driver *driver, int64_t duration_ns) {
    driver->time.now_ns += duration_ns;
    driver->time.epoch_ns += duration_ns;
    fake_driver_beat(driver);
}

tern_context *fake_driver_context(struct fake_driver *driver) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    must(context == NULL ? error.code : 0, &error);
    must(tern_context_set_directory(context, driver->directory, &error), &error);
    tern_context_set_use_invoker(context, true);
    tern_context_set_clock(context, &driver->clock);
    return context;
}

tern_client *fake_driver_connect(struct fake_driver *driver) {
    struct tern_error error = {0};
    tern_context *context = fake_driver_context(driver);
    tern_client *client = tern_client_try_connect(context, &error);
    must(client == NULL ? error.code : 0, &error);
    tern_context_destroy(context);
    return client;
}

static void on_command(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct fake_driver *driver = context;
    assert((size_t)length <= sizeof driver->payload);
    memcpy(driver->payload, payload, (size_t)length);
    must(command_decode(&driver->command, type, driver->payload, length), NULL);
}

const struct command *fake_driver_next(struct fake_driver *driver) {
    /* A read may end behind a padding record without delivering anything. */
    while (ring_mpsc_consumer_position(&driver->ring) !=
           ring_mpsc_producer_position(&driver->ring)) {
        if (ring_mpsc_read(&driver->ring, on_command, driver, 1) == 1) {
            return &driver->command;
        }
    }
    return NULL;
}

const struct command *fake_driver_expect(struct fake_driver *driver, int32_t type) {
    const struct command *command = fake_driver_next(driver);
    if (command == NULL || command->type != type) {
        (void)fprintf(stderr, "expected command 0x%02x, got 0x%02x\n", (unsigned)type,
                      command == NULL ? 0u : (unsigned)command->type);
        abort();
    }
    return command;
}

int32_t fake_driver_add_counter(struct fake_driver *driver, int32_t type_id,
                                int64_t registration_id, int64_t value) {
    const struct counter_params params = {
        .type_id = type_id,
        .label = "label",
        .label_length = 5,
        .registration_id = registration_id,
        .owner_id = -1,
        .initial_value = value,
    };
    int32_t id =
        counters_manager_allocate(&driver->counters, &params, driver->time.epoch_ns / NS_PER_MS);
    must(id < 0 ? id : 0, NULL);
    return id;
}

void fake_driver_log_path(const struct fake_driver *driver, int64_t id, char path[512]) {
    (void)snprintf(path, 512, "%s/%lld.logbuffer", driver->directory, (long long)id);
}

struct log_buffer *fake_driver_create_log(struct fake_driver *driver, int64_t id,
                                          enum log_type type) {
    assert(driver->log_count < FAKE_LOGS_MAX);
    char path[512];
    struct tern_error error = {0};
    fake_driver_log_path(driver, id, path);
    const struct log_buffer_params params = {
        .path = path,
        .term_length = FAKE_TERM_LENGTH,
        .page_size = 4096,
        .sparse = true,
        .initial_term_id = FAKE_INITIAL_TERM,
        .active_term_id = FAKE_INITIAL_TERM,
        .mtu_length = FAKE_MTU,
        .session_id = FAKE_SESSION,
        .stream_id = FAKE_STREAM,
        .correlation_id = id,
        .type = type,
    };
    struct log_buffer *log = &driver->logs[driver->log_count++];
    must(log_buffer_create(log, &params, &error), &error);
    return log;
}

void fake_driver_send(struct fake_driver *driver, const struct response *response) {
    uint8_t payload[4096];
    int32_t length = response_encode(response, payload, sizeof payload);
    must(length < 0 ? length : 0, NULL);
    must(broadcast_transmit(&driver->transmitter, response->type, payload, length), NULL);
}

void fake_driver_send_error(struct fake_driver *driver, int64_t correlation_id, int32_t code,
                            const char *text) {
    fake_driver_send(driver, &(struct response){.type = RESPONSE_ERROR,
                                                .correlation_id = correlation_id,
                                                .error_code = code,
                                                .text = {text, (int32_t)strlen(text)}});
}

int32_t fake_driver_send_publication(struct fake_driver *driver, int32_t type,
                                     int64_t correlation_id, int64_t original_id) {
    char path[512];
    fake_driver_log_path(driver, original_id, path);
    int32_t limit_id =
        fake_driver_add_counter(driver, COUNTER_TYPE_PUBLISHER_LIMIT, original_id, 0);
    fake_driver_send(driver, &(struct response){
                                 .type = type,
                                 .correlation_id = correlation_id,
                                 .registration_id = original_id,
                                 .session_id = FAKE_SESSION,
                                 .stream_id = FAKE_STREAM,
                                 .counter_id = limit_id,
                                 .channel_status_id = -1,
                                 .text = {path, (int32_t)strlen(path)},
                             });
    return limit_id;
}

void fake_driver_send_subscription(struct fake_driver *driver, int64_t correlation_id,
                                   int32_t channel_status_id) {
    fake_driver_send(driver, &(struct response){.type = RESPONSE_SUBSCRIPTION_READY,
                                                .correlation_id = correlation_id,
                                                .channel_status_id = channel_status_id});
}

int32_t fake_driver_send_image(struct fake_driver *driver, int64_t image_id,
                               int64_t subscription_id, int32_t session_id, int64_t join_position) {
    char path[512];
    fake_driver_log_path(driver, image_id, path);
    int32_t position_id = fake_driver_add_counter(driver, COUNTER_TYPE_SUBSCRIBER_POSITION,
                                                  subscription_id, join_position);
    fake_driver_send(driver, &(struct response){
                                 .type = RESPONSE_AVAILABLE_IMAGE,
                                 .correlation_id = image_id,
                                 .registration_id = subscription_id,
                                 .session_id = session_id,
                                 .stream_id = FAKE_STREAM,
                                 .counter_id = position_id,
                                 .text = {path, (int32_t)strlen(path)},
                                 .source_identity = {"127.0.0.1:54321", 15},
                             });
    return position_id;
}

void fake_driver_send_unavailable_image(struct fake_driver *driver, int64_t image_id,
                                        int64_t subscription_id) {
    fake_driver_send(driver, &(struct response){.type = RESPONSE_UNAVAILABLE_IMAGE,
                                                .correlation_id = image_id,
                                                .registration_id = subscription_id,
                                                .stream_id = FAKE_STREAM,
                                                .text = {"aeron:ipc", 9}});
}

tern_publication *fake_driver_add_publication(struct fake_driver *driver, tern_client *client,
                                              int32_t *limit_counter_id) {
    struct tern_error error = {0};
    tern_publication *publication = NULL;
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", FAKE_STREAM, &error);
    must(async == NULL ? error.code : 0, &error);
    int64_t id = fake_driver_expect(driver, COMMAND_ADD_PUBLICATION)->correlation_id;
    (void)fake_driver_create_log(driver, id, LOG_TYPE_CONCURRENT);
    *limit_counter_id = fake_driver_send_publication(driver, RESPONSE_PUBLICATION_READY, id, id);
    (void)tern_client_do_work(client);
    must(tern_async_poll_publication(async, &publication, &error) == 1 ? 0 : -1, &error);
    return publication;
}

tern_exclusive_publication *fake_driver_add_exclusive(struct fake_driver *driver,
                                                      tern_client *client,
                                                      int32_t *limit_counter_id) {
    struct tern_error error = {0};
    tern_exclusive_publication *publication = NULL;
    tern_async *async =
        tern_client_async_add_exclusive_publication(client, "aeron:ipc", FAKE_STREAM, &error);
    must(async == NULL ? error.code : 0, &error);
    int64_t id = fake_driver_expect(driver, COMMAND_ADD_EXCLUSIVE_PUBLICATION)->correlation_id;
    (void)fake_driver_create_log(driver, id, LOG_TYPE_EXCLUSIVE);
    *limit_counter_id =
        fake_driver_send_publication(driver, RESPONSE_EXCLUSIVE_PUBLICATION_READY, id, id);
    (void)tern_client_do_work(client);
    must(tern_async_poll_exclusive_publication(async, &publication, &error) == 1 ? 0 : -1, &error);
    return publication;
}

tern_subscription *fake_driver_add_subscription(struct fake_driver *driver, tern_client *client,
                                                const struct tern_subscription_params *params) {
    struct tern_error error = {0};
    tern_subscription *subscription = NULL;
    tern_async *async = tern_client_async_add_subscription(client, params, &error);
    must(async == NULL ? error.code : 0, &error);
    int64_t id = fake_driver_expect(driver, COMMAND_ADD_SUBSCRIPTION)->correlation_id;
    fake_driver_send_subscription(driver, id, -1);
    (void)tern_client_do_work(client);
    must(tern_async_poll_subscription(async, &subscription, &error) == 1 ? 0 : -1, &error);
    return subscription;
}

#include "tests/unit/archived/world.h"

#include <errno.h>

#include "client/seams.h"

static int64_t now_ns(void *context) {
    return ((struct world *)context)->now_ns;
}

/* Some day in 2023 and onwards. */
static int64_t epoch_ns(void *context) {
    return INT64_C(1700000000000000000) + ((struct world *)context)->now_ns;
}

static void load(const struct option_table *table, void *conf, char *const *settings) {
    struct options *options = calloc(1, sizeof *options);
    int errors = options_load(options, table, conf, NULL, settings);
    cr_assert_eq(errors, 0, "%s", options->errors);
    free(options);
}

static void open_driver(struct world *world) {
    char directory[160];
    (void)snprintf(directory, sizeof directory, "AERON_DIR=%s/driver", world->place.directory);
    char *settings[] = {directory,
                        "AERON_THREADING_MODE=INVOKER",
                        "AERON_TERM_BUFFER_LENGTH=64k",
                        "AERON_IPC_TERM_BUFFER_LENGTH=64k",
                        "AERON_COUNTERS_VALUES_BUFFER_LENGTH=128k",
                        NULL};
    load(&driver_option_table, &world->driver_conf, settings);
    struct tern_error error;
    cr_assert_eq(driver_open(&world->driver, &world->driver_conf, &world->io, &error), 0, "%s",
                 error.text);
}

static void connect_client(struct world *world) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    cr_assert_not_null(context, "%s", error.text);
    tern_context_set_use_invoker(context, true);
    tern_context_set_clock(context, &world->clock);
    (void)tern_context_set_directory(context, world->conf.aeron_dir, NULL);
    world->client = tern_client_connect(context, &error);
    cr_assert_not_null(world->client, "%s", error.text);
    tern_context_destroy(context);
}

static void print_log(void *context, bool is_error, const char *text) {
    (void)context;
    (void)fprintf(stderr, "archive %s: %s\n", is_error ? "error" : "info", text);
}

static void start_server(struct world *world);
static void connect_session(struct world *world);

void world_open(struct world *world, char *const *settings) {
    world_open_server(world, settings);
    connect_session(world);
}

void world_open_server(struct world *world, char *const *settings) {
    *world = (struct world){.now_ns = NS_PER_S};
    place_open(&world->place);
    world->io = io_system();
    world->clock = (struct clock){world, now_ns, epoch_ns};
    world->store = *world->io.store;
    world->io.clock = &world->clock;
    world->io.store = &world->store;
    char driver_dir[160];
    char archive_dir[160];
    (void)snprintf(driver_dir, sizeof driver_dir, "AERON_DIR=%s/driver", world->place.directory);
    (void)snprintf(archive_dir, sizeof archive_dir, "AERON_ARCHIVE_DIR=%s/archive",
                   world->place.directory);
    char *all[32] = {driver_dir,
                     archive_dir,
                     "AERON_ARCHIVE_SEGMENT_FILE_LENGTH=64k",
                     "AERON_ARCHIVE_CONTROL_CHANNEL_ENABLED=false",
                     "AERON_ARCHIVE_CONTROL_RESPONSE_CHANNEL=aeron:udp?endpoint=localhost:0",
                     "AERON_ARCHIVE_LOW_STORAGE_SPACE_THRESHOLD=0",
                     "AERON_ARCHIVE_ID=42"};
    int count = 7;
    for (int i = 0; settings[i] != NULL; i++) {
        all[count++] = settings[i];
    }
    load(&archive_option_table, &world->conf, all);
    open_driver(world);
    connect_client(world);
    start_server(world);
}

/* ---- the archive --------------------------------------------------------------------------------
 */

static void on_response(void *context, const struct tern_archive_response *response) {
    struct world *world = context;
    cr_assert_lt(world->response_count, WORLD_RESPONSES_MAX);
    world->responses[world->response_count] = *response;
    world->responses[world->response_count++].text = NULL;
}

static void on_signal(void *context, const struct tern_archive_signal *signal) {
    struct world *world = context;
    cr_assert_lt(world->signal_count, WORLD_RESPONSES_MAX);
    world->signals[world->signal_count++] = *signal;
}

static void on_recording(void *context, const struct tern_archive_recording *recording) {
    struct world *world = context;
    cr_assert_lt(world->recording_count, WORLD_RESPONSES_MAX);
    world->recordings[world->recording_count++] = *recording;
}

static void connect_session(struct world *world) {
    const struct tern_archive_params params = {
        .client = world->client,
        .request_channel = "aeron:ipc",
        .response_channel = "aeron:ipc",
        .client_name = "test",
    };
    struct tern_archive_connect *connect;
    struct tern_error error = {0};
    cr_assert_eq(tern_archive_connect_begin(&connect, &params, &error), 0, "%s", error.text);
    int result;
    for (int i = 0; i < 20000; i++) {
        result = tern_archive_connect_poll(connect, world->now_ns, &world->archive, &error);
        if (result != 0) {
            break;
        }
        world_step(world);
    }
    cr_assert_eq(result, 1, "%s", error.text);
}

static void start_server(struct world *world) {
    const struct archive_server_params params = {
        .conf = &world->conf, .io = world->io, .pid = 1, .log = print_log};
    struct tern_error error = {0};
    cr_assert_eq(archive_server_init(&world->server, &params, &error), 0, "%s", error.text);
    world->has_server = true;
    world_wait(world, archive_server_is_ready(&world->server));
}

void world_start_archive(struct world *world) {
    start_server(world);
    connect_session(world);
}

void world_stop_archive(struct world *world) {
    tern_archive_close(world->archive);
    world->archive = NULL;
    archive_server_close(&world->server);
    world->has_server = false;
}

static int refuse_write(void *context, int file, const void *buffer, int64_t length,
                        int64_t offset) {
    (void)context, (void)file, (void)buffer, (void)length, (void)offset;
    return -EIO;
}

void world_crash_archive(struct world *world) {
    world->store.pwrite = refuse_write;
    world_stop_archive(world);
    world->store = *io_system().store;
}

void world_close(struct world *world) {
    if (world->has_server) {
        world_stop_archive(world);
    }
    tern_client_close(world->client);
    driver_close(world->driver);
    place_close(&world->place);
}

/* ---- steps --------------------------------------------------------------------------------------
 */

void world_step(struct world *world) {
    world->now_ns += WORLD_STEP_NS;
    (void)driver_do_work(world->driver, world->now_ns);
    (void)tern_client_do_work_at(world->client, world->now_ns);
    if (world->has_server) {
        int work = archive_server_do_work(&world->server, world->now_ns);
        cr_assert_geq(work, 0, "%s", archive_server_failure(&world->server)->text);
    }
    if (world->archive != NULL) {
        const struct tern_archive_handlers handlers = {.context = world,
                                                       .on_response = on_response,
                                                       .on_recording = on_recording,
                                                       .on_signal = on_signal};
        (void)tern_archive_poll(world->archive, &handlers);
    }
}

static int find_response(struct world *world, int64_t correlation_id) {
    for (int i = 0; i < world->response_count; i++) {
        if (world->responses[i].correlation_id == correlation_id) {
            return i;
        }
    }
    return -1;
}

int world_answer(struct world *world, int64_t sent, int64_t *relevant_id) {
    cr_assert_geq(sent, 0, "send: %ld", (long)sent);
    world_wait(world, find_response(world, sent) >= 0);
    int index = find_response(world, sent);
    struct tern_archive_response response = world->responses[index];
    world->responses[index] = world->responses[--world->response_count];
    if (response.code != TERN_ARCHIVE_OK) {
        return TERN_ERROR_ARCHIVE_BASE - (int)response.relevant_id;
    }
    *relevant_id = response.relevant_id;
    return 0;
}

static int find_signal(struct world *world, enum tern_archive_signal_kind kind) {
    for (int i = 0; i < world->signal_count; i++) {
        if (world->signals[i].kind == kind) {
            return i;
        }
    }
    return -1;
}

struct tern_archive_signal world_signal(struct world *world, enum tern_archive_signal_kind kind) {
    world_wait(world, find_signal(world, kind) >= 0);
    int index = find_signal(world, kind);
    struct tern_archive_signal signal = world->signals[index];
    world->signals[index] = world->signals[--world->signal_count];
    return signal;
}

tern_exclusive_publication *world_publish(struct world *world, const char *channel,
                                          int32_t stream_id) {
    struct tern_error error = {0};
    tern_async *async =
        tern_client_async_add_exclusive_publication(world->client, channel, stream_id, &error);
    cr_assert_not_null(async, "%s", error.text);
    tern_exclusive_publication *publication = NULL;
    int result;
    while ((result = tern_async_poll_exclusive_publication(async, &publication, &error)) == 0) {
        world_step(world);
    }
    cr_assert_eq(result, 1, "%s", error.text);
    return publication;
}

tern_subscription *world_subscribe(struct world *world, const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    tern_async *async = tern_client_async_add_subscription(world->client, &params, &error);
    cr_assert_not_null(async, "%s", error.text);
    tern_subscription *subscription = NULL;
    int result;
    while ((result = tern_async_poll_subscription(async, &subscription, &error)) == 0) {
        world_step(world);
    }
    cr_assert_eq(result, 1, "%s", error.text);
    return subscription;
}

int64_t world_offer(struct world *world, tern_exclusive_publication *publication, const void *data,
                    int32_t length) {
    int64_t position;
    world_wait(world, (position = tern_exclusive_publication_offer(publication, data, length)) > 0);
    return position;
}

/* ---- recordings ---------------------------------------------------------------------------------
 */

tern_exclusive_publication *world_record(struct world *world, const char *channel, int count,
                                         int64_t *recording_id) {
    int64_t subscription_id;
    cr_assert_eq(
        world_answer(world,
                     tern_archive_send_start_recording(world->archive, channel, WORLD_STREAM,
                                                       TERN_ARCHIVE_SOURCE_LOCAL, true),
                     &subscription_id),
        0);
    tern_exclusive_publication *publication = world_publish(world, channel, WORLD_STREAM);
    struct tern_archive_signal started = world_signal(world, TERN_ARCHIVE_SIGNAL_START);
    cr_assert_eq(started.subscription_id, subscription_id);
    *recording_id = started.recording_id;
    char message[992];
    for (int i = 0; i < count; i++) {
        memset(message, 'a' + i % 26, sizeof message);
        (void)world_offer(world, publication, message, sizeof message);
    }
    return publication;
}

int64_t world_position(struct world *world, int64_t recording_id) {
    int64_t position;
    cr_assert_eq(world_answer(world,
                              tern_archive_send_max_recorded_position(world->archive, recording_id),
                              &position),
                 0);
    return position;
}

int64_t world_stop(struct world *world, tern_exclusive_publication *publication) {
    tern_exclusive_publication_close(publication);
    return world_signal(world, TERN_ARCHIVE_SIGNAL_STOP).position;
}

struct reader {
    int count;
    int wrong_count;
};

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    (void)header;
    struct reader *reader = context;
    char wanted = (char)('a' + reader->count++ % 26);
    reader->wrong_count += length != 992 || buffer[0] != wanted || buffer[991] != wanted;
}

void world_expect_replay(struct world *world, int64_t recording_id, int count) {
    tern_subscription *subscription = world_subscribe(world, "aeron:ipc", WORLD_REPLAY_STREAM);
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, recording_id, "aeron:ipc", WORLD_REPLAY_STREAM);
    int64_t replay_id;
    cr_assert_eq(world_answer(world, tern_archive_send_replay(world->archive, &params), &replay_id),
                 0);
    struct reader reader = {0};
    for (int i = 0; i < 5000 && reader.count < count; i++) {
        world_step(world);
        (void)tern_subscription_poll(subscription, on_fragment, &reader, 20);
    }
    cr_assert_eq(reader.count, count);
    cr_assert_eq(reader.wrong_count, 0);
    int64_t ignored;
    cr_assert_eq(
        world_answer(world, tern_archive_send_stop_replay(world->archive, replay_id), &ignored), 0);
    tern_subscription_close(subscription);
}

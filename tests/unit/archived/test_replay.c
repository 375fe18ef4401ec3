/* Replays: what is refused, what follows, what bounds them, how they end. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/replay.h"
#include "tests/unit/archived/faulty_store.h"
#include "tests/unit/archived/world.h"

static char *const no_settings[] = {NULL};

static struct tern_archive_replay_params replay_of(int64_t recording_id) {
    struct tern_archive_replay_params params;
    tern_archive_replay_params_init(&params, recording_id, "aeron:ipc", WORLD_REPLAY_STREAM);
    return params;
}

static int64_t recorded(struct world *world, int count) {
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(world, "aeron:ipc?term-length=64k", count, &id);
    cr_assert_eq(world_stop(world, publication), count * 1024);
    return id;
}

struct sink {
    int64_t bytes;
};

static void take(void *context, const uint8_t *buffer, int32_t length, const tern_header *header) {
    (void)buffer, (void)length;
    struct sink *sink = context;
    sink->bytes += tern_header_frame_length(header);
}

/* Read until nothing came for a while; the bytes of all frames so far. */
static int64_t drain(struct world *world, tern_subscription *subscription, struct sink *sink) {
    for (int i = 0; i < 50; i++) {
        world_step(world);
        i = tern_subscription_poll(subscription, take, sink, 50) > 0 ? 0 : i;
    }
    return sink->bytes;
}

Test(replay, what_cannot_be_replayed_is_refused_with_its_code) {
    static char *const settings[] = {"AERON_ARCHIVE_MAX_CONCURRENT_REPLAYS=1", NULL};
    struct world world;
    world_open(&world, settings);
    int64_t id = recorded(&world, 4);
    int64_t empty = recorded(&world, 0);
    struct {
        struct tern_archive_replay_params params;
        int64_t code;
    } cases[9];
    for (int i = 0; i < 9; i++) {
        cases[i].params = replay_of(id);
        cases[i].code = TERN_ARCHIVE_ERROR_INVALID_POSITION;
    }
    cases[0].params.recording_id = 77;
    cases[0].code = TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING;
    cases[1].params.position = 33;
    cases[1].code = TERN_ARCHIVE_ERROR_GENERIC;
    cases[2].params.position = -32;
    cases[3].params.position = 4096; /* the stop position */
    cases[4].params.position = 512;  /* inside a frame */
    cases[5].params.length = -3;
    cases[5].code = TERN_ARCHIVE_ERROR_GENERIC;
    cases[6].params.recording_id = empty;
    cases[6].params.length = TERN_ARCHIVE_REPLAY_ALL_AND_STOP;
    cases[6].code = TERN_ARCHIVE_ERROR_EMPTY_RECORDING;
    cases[7].params.file_io_length_max = 100;
    cases[7].code = TERN_ARCHIVE_ERROR_GENERIC;
    cases[8].params.bounding_counter_id = 8000;
    cases[8].code = TERN_ARCHIVE_ERROR_GENERIC;
    for (int i = 0; i < 9; i++) {
        int64_t result;
        int64_t sent = tern_archive_send_replay(world.archive, &cases[i].params);
        cr_assert_eq(world_answer(&world, sent, &result),
                     TERN_ERROR_ARCHIVE_BASE - (int)cases[i].code, "case %d", i);
        cr_assert_eq(world.response_count, 0, "case %d: one answer", i);
    }
    struct tern_archive_replay_params params = replay_of(id);
    int64_t result;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &result),
                 0);
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_MAX_REPLAYS);
    world_close(&world);
}

Test(replay, nobody_who_listens_ends_it_after_the_connect_timeout) {
    struct world world;
    world_open(&world, no_settings);
    const struct tern_archive_replay_params params = replay_of(recorded(&world, 4));
    int64_t result;
    int64_t sent = tern_archive_send_replay(world.archive, &params);
    cr_assert_eq(world_answer(&world, sent, &result), 0);
    int64_t asked_ns = world.now_ns;
    cr_assert_eq(world_answer(&world, sent, &result),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
    cr_assert_geq(world.now_ns - asked_ns, 4 * NS_PER_S);
    cr_assert_eq(world.server.replays.count, 0);
    world_close(&world);
}

Test(replay, a_live_recording_is_followed_to_its_end) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
    const struct tern_archive_replay_params params = replay_of(id);
    int64_t replay_id;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &replay_id),
                 0);
    struct sink sink = {0};
    char message[992] = {'x'};
    cr_assert_eq(drain(&world, subscription, &sink), INT64_C(10) * 1024);
    for (int i = 0; i < 200; i++) {
        (void)world_offer(&world, publication, message, sizeof message);
        (void)tern_subscription_poll(subscription, take, &sink, 10);
    }
    cr_assert_eq(drain(&world, subscription, &sink), INT64_C(210) * 1024);
    cr_assert_eq(world.server.replays.count, 1);
    tern_image *image = tern_subscription_image_by_session_id(
        subscription, tern_archive_replay_session_id(replay_id));
    cr_assert_not_null(image);
    cr_assert_eq(world_stop(&world, publication), 210 * 1024);
    world_wait(&world, world.server.replays.count == 0);
    world_wait(&world, tern_image_is_end_of_stream(image));
    cr_assert(!tern_image_is_revoked(image));
    cr_assert_eq(tern_image_position(image), 210 * 1024);
    tern_image_release(image);
    tern_subscription_close(subscription);
    world_close(&world);
}

static tern_counter *add_counter(struct world *world) {
    struct tern_error error = {0};
    const struct tern_counter_params params = {
        .type_id = 1001, .label = "limit", .label_length = 5};
    tern_async *async = tern_client_async_add_counter(world->client, &params, &error);
    cr_assert_not_null(async, "%s", error.text);
    tern_counter *counter = NULL;
    int result;
    while ((result = tern_async_poll_counter(async, &counter, &error)) == 0) {
        world_step(world);
    }
    cr_assert_eq(result, 1, "%s", error.text);
    return counter;
}

Test(replay, a_counter_bounds_it_and_its_last_value_is_the_end) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 40);
    tern_counter *counter = add_counter(&world);
    tern_counter_set(counter, 10 * 1024);
    tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
    struct tern_archive_replay_params params = replay_of(id);
    params.bounding_counter_id = tern_counter_id(counter);
    int64_t replay_id;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &replay_id),
                 0);
    struct sink sink = {0};
    cr_assert_eq(drain(&world, subscription, &sink), 10 * 1024);
    tern_counter_set(counter, 20 * 1024 + 512); /* inside a frame: only whole ones go out */
    cr_assert_eq(drain(&world, subscription, &sink), 20 * 1024);
    tern_counter_set(counter, 25 * 1024);
    cr_assert_eq(drain(&world, subscription, &sink), 25 * 1024);
    cr_assert_eq(world.server.replays.count, 1);
    tern_counter_close(counter);
    world_wait(&world, world.server.replays.count == 0);
    cr_assert_eq(drain(&world, subscription, &sink), 25 * 1024);
    tern_subscription_close(subscription);
    world_close(&world);
}

Test(replay, a_bound_beyond_what_is_recorded_waits_for_the_recording) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id;
    tern_exclusive_publication *publication =
        world_record(&world, "aeron:ipc?term-length=64k", 10, &id);
    tern_counter *counter = add_counter(&world);
    tern_counter_set(counter, 1 << 20);
    tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
    struct tern_archive_replay_params params = replay_of(id);
    params.bounding_counter_id = tern_counter_id(counter);
    int64_t replay_id;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &replay_id),
                 0);
    struct sink sink = {0};
    cr_assert_eq(drain(&world, subscription, &sink), 10 * 1024);
    char message[992] = {'x'};
    (void)world_offer(&world, publication, message, sizeof message);
    cr_assert_eq(drain(&world, subscription, &sink), 11 * 1024);
    cr_assert_eq(world.response_count, 0, "no error");
    tern_exclusive_publication_close(publication);
    tern_subscription_close(subscription);
    tern_counter_close(counter);
    world_close(&world);
}

Test(replay, a_stopped_one_is_revoked_and_a_bounded_length_ends_by_itself) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 100);
    tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
    struct tern_archive_replay_params params = replay_of(id);
    params.position = 3 * 1024;
    params.length = 5 * 1024;
    int64_t replay_id;
    int64_t result;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(world.archive, &params), &replay_id),
                 0);
    struct sink sink = {0};
    cr_assert_eq(drain(&world, subscription, &sink), 5 * 1024);
    cr_assert_eq(world.server.replays.count, 0);

    cr_assert_eq(
        world_answer(&world,
                     tern_archive_send_replay(world.archive,
                                              &(struct tern_archive_replay_params){
                                                  .recording_id = id,
                                                  .position = 0,
                                                  .length = TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW,
                                                  .channel = "aeron:ipc",
                                                  .stream_id = WORLD_REPLAY_STREAM,
                                                  .bounding_counter_id = -1,
                                                  .file_io_length_max = -1,
                                                  .replay_token = TERN_ARCHIVE_NULL}),
                     &replay_id),
        0);
    tern_image *image = NULL;
    world_wait(&world, (image = tern_subscription_image_by_session_id(
                            subscription, tern_archive_replay_session_id(replay_id))) != NULL);
    world_wait(&world, world.server.replays.count == 1);
    cr_assert_eq(
        world_answer(&world, tern_archive_send_stop_all_replays(world.archive, id), &result), 0);
    world_wait(&world, tern_image_is_revoked(image) || tern_image_is_closed(image));
    cr_assert_eq(world.server.replays.count, 0);
    tern_image_release(image);
    tern_subscription_close(subscription);
    world_close(&world);
}

Test(replay, a_damaged_or_missing_segment_ends_it_with_an_error) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 150);
    char zeroes[8] = {0};
    place_write(&world.place, "archive/0-65536.rec", zeroes, sizeof zeroes, 5 * 1024);
    for (int i = 0; i < 2; i++) {
        tern_subscription *subscription = world_subscribe(&world, "aeron:ipc", WORLD_REPLAY_STREAM);
        const struct tern_archive_replay_params params = replay_of(id);
        int64_t result;
        int64_t sent = tern_archive_send_replay(world.archive, &params);
        cr_assert_eq(world_answer(&world, sent, &result), 0);
        struct sink sink = {0};
        for (int step = 0; step < 5000 && world.server.replays.count > 0; step++) {
            world_step(&world);
            (void)tern_subscription_poll(subscription, take, &sink, 50);
        }
        cr_assert_eq(world_answer(&world, sent, &result),
                     TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_GENERIC);
        cr_assert_leq(sink.bytes, 69 * 1024);
        tern_subscription_close(subscription);
        char path[160];
        (void)snprintf(path, sizeof path, "%s/archive/0-65536.rec", world.place.directory);
        (void)remove(path);
    }
    world_close(&world);
}

/* A session whose answers come by a response channel, and replays that do: no address of the client
 * and no session id is in any request. */
Test(replay, sessions_and_replays_find_their_client_by_response_channels) {
    struct world world;
    world_open(&world, no_settings);
    int64_t id = recorded(&world, 10);
    const struct tern_archive_params params = {.client = world.client,
                                               .request_channel = "aeron:ipc",
                                               .response_channel =
                                                   "aeron:ipc?control-mode=response",
                                               .client_name = "response"};
    struct tern_archive_connect *connect;
    struct tern_archive *archive;
    struct tern_error error = {0};
    cr_assert_eq(tern_archive_connect_begin(&connect, &params, &error), 0, "%s", error.text);
    int result;
    while ((result = tern_archive_connect_poll(connect, world.now_ns, &archive, &error)) == 0) {
        world_step(&world);
    }
    cr_assert_eq(result, 1, "%s", error.text);
    struct tern_archive *usual = world.archive; /* world_step polls the session under test */
    world.archive = archive;
    int64_t token;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay_token(archive, id), &token), 0);

    static const char responses[] = "aeron:ipc?control-mode=response";
    tern_subscription *subscription = world_subscribe(&world, responses, WORLD_REPLAY_STREAM);
    char channel[256];
    cr_assert_eq(tern_archive_replay_request_channel(
                     archive, tern_subscription_registration_id(subscription), channel,
                     (int32_t)sizeof channel),
                 0);
    cr_assert_not_null(strstr(channel, "response-correlation-id="), "%s", channel);
    cr_assert_null(strstr(channel, "session-id="), "%s", channel);
    cr_assert_eq(tern_archive_replay_request_channel(archive, 1, channel, 20), -ENAMETOOLONG);
    tern_exclusive_publication *request =
        world_publish(&world, channel, tern_archive_request_stream_id(archive));
    world_wait(&world, tern_exclusive_publication_is_connected(request));
    struct tern_archive_replay_params replay = replay_of(id);
    replay.channel = responses;
    replay.length = TERN_ARCHIVE_REPLAY_ALL_AND_STOP;
    replay.replay_token = token;
    replay.request_publication = request;
    int64_t replay_id;
    cr_assert_eq(world_answer(&world, tern_archive_send_replay(archive, &replay), &replay_id), 0);
    tern_exclusive_publication_close(request);
    world_wait(&world, tern_subscription_image_count(subscription) == 1);
    tern_image *image = tern_subscription_image_at_index(subscription, 0);
    cr_assert_eq(tern_image_session_id(image), tern_archive_replay_session_id(replay_id));
    tern_image_release(image);
    struct sink sink = {0};
    cr_assert_eq(drain(&world, subscription, &sink), INT64_C(10) * 1024);
    /* The next request goes the usual way again. */
    int64_t archive_id;
    cr_assert_eq(world_answer(&world, tern_archive_send_archive_id(archive), &archive_id), 0);
    cr_assert_eq(archive_id, 42);
    world.archive = usual;
    tern_archive_close(archive);
    tern_subscription_close(subscription);
    world_close(&world);
}

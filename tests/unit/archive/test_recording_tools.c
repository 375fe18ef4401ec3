/* The writer and the reader of whole recordings, with a real archive: what one writes the other
 * reads, and whatever goes wrong is an error and never half a state. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archive/recording_reader.h"
#include "archive/recording_writer.h"
#include "tests/unit/archived/world.h"

#define SNAPSHOT_STREAM 106
#define MESSAGE_COUNT 300
#define TIMEOUT_NS (3 * NS_PER_S)

static char *const no_settings[] = {NULL};

static struct tern_archive_params archive_of(const struct world *world) {
    return (struct tern_archive_params){.client = world->client,
                                        .request_channel = "aeron:ipc",
                                        .response_channel = "aeron:ipc",
                                        .response_stream_id = 21,
                                        .message_timeout_ns = TIMEOUT_NS};
}

static int run_writer(struct world *world, struct recording_writer *writer, int count,
                      struct tern_error *error) {
    const struct tern_archive_params archive = archive_of(world);
    const struct recording_writer_params params = {.client = world->client,
                                                   .archive = &archive,
                                                   .channel = "aeron:ipc?term-length=64k",
                                                   .stream_id = SNAPSHOT_STREAM,
                                                   .timeout_ns = TIMEOUT_NS,
                                                   .now_ns = world->now_ns};
    int result = recording_writer_start(writer, &params, error);
    for (int i = 0; i < 20000 && result == 0; i++) {
        world_step(world);
        result = recording_writer_step(writer, world->now_ns, error);
        if (result == 0 && writer->state == RECORDING_WRITER_FILL) {
            for (int32_t k = 0; k < count; k++) {
                uint8_t message[3004];
                memset(message, k, sizeof message);
                put_i32(message, k);
                cr_assert_eq(message_list_append(&writer->messages, message, 4 + k * 7 % 3000), 0);
            }
            recording_writer_filled(writer);
        }
    }
    return result;
}

struct reading {
    int count;
    int refuse_at; /* 0: never */
};

static int on_message(void *context, const void *message, int32_t length,
                      struct tern_error *error) {
    struct reading *reading = context;
    int32_t k = reading->count++;
    cr_assert_eq(get_i32(message), k);
    cr_assert_eq(length, 4 + k * 7 % 3000);
    return reading->refuse_at == reading->count ? error_set(error, -EBADMSG, "not liked") : 0;
}

static int run_reader(struct world *world, int64_t recording_id, struct reading *reading,
                      struct tern_error *error) {
    struct recording_reader reader;
    const struct tern_archive_params archive = archive_of(world);
    const struct recording_reader_params params = {.client = world->client,
                                                   .archive = &archive,
                                                   .replay_channel = "aeron:ipc",
                                                   .replay_stream_id = SNAPSHOT_STREAM + 1,
                                                   .recording_id = recording_id,
                                                   .timeout_ns = TIMEOUT_NS,
                                                   .now_ns = world->now_ns,
                                                   .handler = on_message,
                                                   .handler_context = reading};
    int result = recording_reader_start(&reader, &params, error);
    for (int i = 0; i < 20000 && result == 0; i++) {
        world_step(world);
        result = recording_reader_step(&reader, world->now_ns, error);
    }
    recording_reader_close(&reader);
    recording_reader_close(&reader);
    return result;
}

Test(recording_tools, what_was_written_is_read) {
    struct world world;
    struct recording_writer writer;
    struct tern_error error = {0};
    world_open(&world, no_settings);
    cr_assert_eq(run_writer(&world, &writer, MESSAGE_COUNT, &error), 1, "%s", error.text);
    int64_t id = writer.recording_id;
    struct reading reading = {0};
    cr_assert_eq(run_reader(&world, id, &reading, &error), TERN_ERROR_PROTOCOL,
                 "it is not finished while the publication is there");
    cr_assert_not_null(strstr(error.text, "not finished"), "%s", error.text);
    recording_writer_close(&writer);
    recording_writer_close(&writer);
    world_wait(&world, archive_server_recording(&world.server, id) == NULL);
    cr_assert_eq(run_reader(&world, id, &reading, &error), 1, "%s", error.text);
    cr_assert_eq(reading.count, MESSAGE_COUNT);
    world_close(&world);
}

Test(recording_tools, a_reader_gives_up_on_what_is_not_there_damaged_or_not_liked) {
    struct world world;
    struct recording_writer writer;
    struct tern_error error = {0};
    struct reading reading = {0};
    world_open(&world, no_settings);
    cr_assert_eq(run_reader(&world, 99, &reading, &error),
                 TERN_ERROR_ARCHIVE_BASE - TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING);
    cr_assert_eq(run_writer(&world, &writer, 20, &error), 1, "%s", error.text);
    int64_t id = writer.recording_id;
    recording_writer_close(&writer);
    world_wait(&world, archive_server_recording(&world.server, id) == NULL);
    reading.refuse_at = 5;
    cr_assert_eq(run_reader(&world, id, &reading, &error), -EBADMSG);
    cr_assert_str_eq(error.text, "not liked");
    char zeroes[4] = {0};
    place_write(&world.place, "archive/0-0.rec", zeroes, sizeof zeroes, 0);
    reading = (struct reading){0};
    cr_assert_lt(run_reader(&world, id, &reading, &error), 0);
    cr_assert_neq(error.text[0], '\0');
    cr_assert_eq(reading.count, 0);
    world_close(&world);
}

Test(recording_tools, without_an_archive_both_end_with_a_time_out) {
    struct world world;
    struct recording_writer writer;
    struct tern_error error = {0};
    struct reading reading = {0};
    world_open(&world, no_settings);
    world_stop_archive(&world);
    int64_t began_ns = world.now_ns;
    cr_assert_eq(run_writer(&world, &writer, 1, &error), -ETIMEDOUT);
    cr_assert_lt(world.now_ns - began_ns, 2 * TIMEOUT_NS);
    recording_writer_close(&writer);
    cr_assert_eq(run_reader(&world, 0, &reading, &error), -ETIMEDOUT);
    world_close(&world);
}

static int full_disk(void *context, int file, const void *buffer, int64_t length, int64_t offset) {
    (void)context, (void)file, (void)buffer, (void)length, (void)offset;
    return -ENOSPC;
}

Test(recording_tools, a_recording_that_dies_is_an_error_of_the_writer) {
    struct world world;
    struct recording_writer writer;
    struct tern_error error = {0};
    world_open(&world, no_settings);
    const struct tern_archive_params archive = archive_of(&world);
    const struct recording_writer_params params = {.client = world.client,
                                                   .archive = &archive,
                                                   .channel = "aeron:ipc?term-length=64k",
                                                   .stream_id = SNAPSHOT_STREAM,
                                                   .timeout_ns = TIMEOUT_NS,
                                                   .now_ns = world.now_ns};
    int result = recording_writer_start(&writer, &params, &error);
    for (int i = 0; i < 20000 && result == 0; i++) {
        world_step(&world);
        result = recording_writer_step(&writer, world.now_ns, &error);
        if (result == 0 && writer.state == RECORDING_WRITER_FILL) {
            cr_assert_eq(message_list_append(&writer.messages, "snapshot", 8), 0);
            world.store.pwrite = full_disk;
            recording_writer_filled(&writer);
        }
    }
    cr_assert_lt(result, 0);
    cr_assert_neq(error.text[0], '\0');
    recording_writer_close(&writer);
    world.store = *store_system();
    world_close(&world);
}

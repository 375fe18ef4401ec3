#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fake_driver.h"

static struct fake_driver driver;
static tern_client *client;
static tern_subscription *subscription;
static tern_image *image;
static struct log_buffer *log_file;
static int64_t *counter;

#define IMAGE_ID 900

static void join(int64_t position) {
    fake_driver_open(&driver, "image");
    client = fake_driver_connect(&driver);
    subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = FAKE_STREAM});
    log_file = fake_driver_create_log(&driver, IMAGE_ID, LOG_TYPE_IMAGE);
    int32_t id = fake_driver_send_image(
        &driver, IMAGE_ID, tern_subscription_registration_id(subscription), FAKE_SESSION, position);
    counter = counters_manager_address(&driver.counters, id);
    (void)tern_client_do_work(client);
    image = tern_subscription_image_by_session_id(subscription, FAKE_SESSION);
    cr_assert_neq(image, NULL);
}

static void set_up(void) {
    join(0);
}

static void tear_down(void) {
    tern_image_release(image);
    tern_subscription_close(subscription);
    tern_client_close(client);
    fake_driver_close(&driver);
}

/* Write a frame as a driver or publisher does. Returns the position behind it. */
static int64_t put(int64_t position, int32_t length, uint16_t type, uint8_t flags) {
    uint8_t *term = log_file->terms[log_index_of(position, 16)];
    int32_t offset = log_term_offset_of(position, FAKE_TERM_LENGTH);
    struct frame_header *frame = (void *)(term + offset);
    frame->flags = flags;
    frame->type = type;
    frame->term_offset = offset;
    frame->session_id = FAKE_SESSION;
    frame->stream_id = FAKE_STREAM;
    frame->term_id = log_term_id_of(position, 16, FAKE_INITIAL_TERM);
    frame->reserved_value = position;
    if (length > 32 && type == FRAME_TYPE_DATA) {
        *(uint8_t *)(frame + 1) = (uint8_t)(position / 32);
    }
    store_release_i32(&frame->frame_length, length);
    return position + log_aligned_frame_length(length);
}

struct seen {
    int count;
    int64_t positions[64];
    enum tern_controlled_action actions[64];
    int64_t counter_values[64];
};

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct seen *seen = context;
    int64_t start = tern_header_reserved_value(header);
    cr_assert_eq(*buffer, (uint8_t)(start / 32));
    cr_assert_eq(tern_header_frame_length(header), length + 32);
    cr_assert_eq(tern_header_session_id(header), FAKE_SESSION);
    cr_assert_eq(tern_header_stream_id(header), FAKE_STREAM);
    cr_assert_eq(tern_header_image(header), image);
    cr_assert_eq(tern_header_initial_term_id(header), FAKE_INITIAL_TERM);
    cr_assert_eq(tern_header_position_bits(header), 16);
    cr_assert_eq(tern_header_term_offset(header), start % FAKE_TERM_LENGTH);
    cr_assert_eq(tern_header_type(header), FRAME_TYPE_DATA);
    seen->positions[seen->count++] = tern_header_position(header);
}

static enum tern_controlled_action on_controlled(void *context, const uint8_t *buffer,
                                                 int32_t length, const tern_header *header) {
    struct seen *seen = context;
    int index = seen->count;
    on_fragment(context, buffer, length, header);
    seen->counter_values[index] = *counter;
    return seen->actions[index];
}

Test(image, delivers_committed_frames_up_to_the_limit_and_publishes_the_position, .init = set_up,
     .fini = tear_down) {
    struct seen seen = {0};
    int64_t position = 0;
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 0);
    for (int i = 0; i < 5; i++) {
        position = put(position, 40, FRAME_TYPE_DATA, 0xC0);
    }
    position = put(position, 96, FRAME_TYPE_PAD, 0xC0);
    position = put(position, 33, FRAME_TYPE_DATA, 0xC0);
    (void)put(position, -64, FRAME_TYPE_DATA, 0xC0); /* claimed, not committed */
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 2), 2);
    cr_assert_eq(seen.positions[1], 128);
    cr_assert_eq(tern_image_position(image), 128);
    cr_assert_eq(*counter, 128);
    cr_assert_eq(tern_image_bounded_poll(image, on_fragment, &seen, 128, 10), 0);
    cr_assert_eq(tern_image_bounded_poll(image, on_fragment, &seen, 129, 10), 1);
    cr_assert_eq(tern_image_position(image), 192);
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment, &seen, 10), 3);
    cr_assert_eq(tern_image_position(image), position);
    cr_assert_eq(*counter, position);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 0);
    cr_assert_eq(seen.count, 6);
}

Test(image, goes_to_the_next_term_with_the_next_poll) {
    struct seen seen = {0};
    join(2 * FAKE_TERM_LENGTH - 64);
    cr_assert_eq(tern_image_join_position(image), 2 * FAKE_TERM_LENGTH - 64);
    int64_t position = put(2 * FAKE_TERM_LENGTH - 64, 40, FRAME_TYPE_DATA, 0xC0);
    (void)put(position, 40, FRAME_TYPE_DATA, 0xC0);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 1);
    cr_assert_eq(tern_image_position(image), 2 * FAKE_TERM_LENGTH);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 1);
    cr_assert_eq(seen.positions[1], 2 * FAKE_TERM_LENGTH + 64);
    tear_down();
}

Test(image, never_follows_a_length_that_leaves_the_term, .init = set_up, .fini = tear_down) {
    static const int32_t lengths[] = {1,  31,  FAKE_TERM_LENGTH + 1,     INT32_MAX, INT32_MIN,
                                      -1, -32, FAKE_TERM_LENGTH - 64 + 1};
    struct seen seen = {0};
    (void)put(0, 40, FRAME_TYPE_DATA, 0xC0);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 1);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        (void)put(64, lengths[i], FRAME_TYPE_PAD, 0xC0);
        cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 0);
        cr_assert_eq(tern_image_controlled_poll(image, on_controlled, &seen, 10), 0);
        cr_assert_eq(tern_image_position(image), 64, "length %d", lengths[i]);
    }
    (void)put(64, FAKE_TERM_LENGTH - 64, FRAME_TYPE_PAD, 0xC0);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 0);
    cr_assert_eq(tern_image_position(image), FAKE_TERM_LENGTH);
}

Test(image, obeys_the_actions_of_a_controlled_handler) {
    static const struct {
        enum tern_controlled_action actions[3];
        int delivered;
        int consumed;
        int64_t seen_by_third; /* counter value that the third call saw */
    } cases[] = {
        {{TERN_ACTION_CONTINUE, TERN_ACTION_CONTINUE, TERN_ACTION_CONTINUE}, 3, 3, 0},
        {{TERN_ACTION_CONTINUE, TERN_ACTION_COMMIT, TERN_ACTION_CONTINUE}, 3, 3, 128},
        {{TERN_ACTION_COMMIT, TERN_ACTION_COMMIT, TERN_ACTION_ABORT}, 3, 2, 128},
        {{TERN_ACTION_CONTINUE, TERN_ACTION_BREAK, TERN_ACTION_CONTINUE}, 2, 2, -1},
        {{TERN_ACTION_ABORT, TERN_ACTION_CONTINUE, TERN_ACTION_CONTINUE}, 1, 0, -1},
        {{TERN_ACTION_COMMIT, TERN_ACTION_ABORT, TERN_ACTION_CONTINUE}, 2, 1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        join(0);
        int64_t position = 0;
        for (int n = 0; n < 3; n++) {
            seen.actions[n] = cases[i].actions[n];
            position = put(position, 40, FRAME_TYPE_DATA, 0xC0);
        }
        int polled =
            i % 2 == 0 ? tern_subscription_controlled_poll(subscription, on_controlled, &seen, 10)
                       : tern_image_bounded_controlled_poll(image, on_controlled, &seen, 4096, 10);
        cr_assert_eq(seen.count, cases[i].delivered, "case %zu", i);
        cr_assert_eq(polled, cases[i].consumed, "case %zu", i);
        cr_assert_eq(tern_image_position(image), 64 * cases[i].consumed, "case %zu", i);
        cr_assert_eq(*counter, 64 * cases[i].consumed, "case %zu", i);
        if (cases[i].seen_by_third >= 0) {
            cr_assert_eq(seen.counter_values[2], cases[i].seen_by_third, "case %zu", i);
        }
        tear_down();
    }
}

Test(image, peeks_without_consuming_and_answers_with_message_ends, .init = set_up,
     .fini = tear_down) {
    struct seen seen = {0};
    for (int i = 0; i < 64; i++) {
        seen.actions[i] = TERN_ACTION_CONTINUE;
    }
    int64_t position = put(0, 40, FRAME_TYPE_DATA, 0xC0);
    position = put(position, 40, FRAME_TYPE_DATA, 0x80);
    position = put(position, 40, FRAME_TYPE_DATA, 0x00);
    cr_assert_eq(tern_image_controlled_peek(image, 0, on_controlled, &seen, 4096), 64);
    position = put(position, 40, FRAME_TYPE_DATA, 0x40);
    cr_assert_eq(tern_image_controlled_peek(image, 0, on_controlled, &seen, 4096), 256);
    cr_assert_eq(tern_image_controlled_peek(image, 64, on_controlled, &seen, 128), 64);
    cr_assert_eq(tern_image_controlled_peek(image, 0, on_controlled, &seen, 0), 0);
    cr_assert_eq(tern_image_controlled_peek(image, 16, on_controlled, &seen, 4096), -EINVAL);
    cr_assert_eq(tern_image_position(image), 0);
    cr_assert_eq(*counter, 0);
}

struct blocks {
    int count;
    int32_t lengths[8];
    uint16_t types[8];
};

static void on_block(void *context, const uint8_t *block, int32_t length, int32_t session_id,
                     int32_t term_id) {
    struct blocks *blocks = context;
    cr_assert_eq(session_id, FAKE_SESSION);
    cr_assert_eq(term_id, FAKE_INITIAL_TERM);
    blocks->types[blocks->count] = ((const struct frame_header *)(const void *)block)->type;
    blocks->lengths[blocks->count++] = length;
}

Test(image, polls_whole_frames_in_blocks, .init = set_up, .fini = tear_down) {
    struct blocks blocks = {0};
    int64_t position = 0;
    for (int i = 0; i < 4; i++) {
        position = put(position, 64, FRAME_TYPE_DATA, 0xC0);
    }
    position = put(position, 4096, FRAME_TYPE_PAD, 0xC0);
    position = put(position, 64, FRAME_TYPE_DATA, 0xC0);
    cr_assert_eq(tern_image_block_poll(image, on_block, &blocks, 63), 0);
    cr_assert_eq(tern_image_block_poll(image, on_block, &blocks, 191), 128);
    cr_assert_eq(tern_image_block_poll(image, on_block, &blocks, 1000), 128);
    cr_assert_eq(tern_image_block_poll(image, on_block, &blocks, 1000), 4096);
    cr_assert_eq(blocks.types[2], FRAME_TYPE_PAD);
    cr_assert_eq(tern_subscription_block_poll(subscription, on_block, &blocks, 1000), 64);
    cr_assert_eq(tern_image_block_poll(image, on_block, &blocks, 1000), 0);
    cr_assert_eq(blocks.count, 4);
    cr_assert_eq(*counter, position);
}

Test(image, moves_forward_within_its_term_only, .init = set_up, .fini = tear_down) {
    static const struct {
        int64_t position;
        int result;
    } cases[] = {
        {-32, -EINVAL},
        {33, -EINVAL},
        {64, 0},
        {32, -EINVAL},
        {64, 0},
        {FAKE_TERM_LENGTH + 32, -EINVAL},
        {FAKE_TERM_LENGTH, 0},
        {FAKE_TERM_LENGTH + 32, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(tern_image_set_position(image, cases[i].position), cases[i].result, "case %zu",
                     i);
    }
    cr_assert_eq(*counter, FAKE_TERM_LENGTH + 32);
}

Test(image, knows_the_end_of_its_stream_also_when_it_was_closed, .init = set_up,
     .fini = tear_down) {
    struct seen seen = {0};
    (void)put(0, 40, FRAME_TYPE_DATA, 0xC0);
    cr_assert(!tern_image_is_end_of_stream(image));
    cr_assert_eq(tern_image_end_of_stream_position(image), INT64_MAX);
    store_release_i64(&log_file->metadata->end_of_stream_position, 64);
    store_release_i32(&log_file->metadata->active_transport_count, 2);
    cr_assert_eq(tern_image_active_transport_count(image), 2);
    cr_assert(!tern_image_is_end_of_stream(image));
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 1);
    cr_assert(tern_image_is_end_of_stream(image));
    cr_assert(!tern_image_is_revoked(image));
    store_release_u8(&log_file->metadata->is_publication_revoked, 1);
    cr_assert(tern_image_is_revoked(image));
    (void)put(64, 40, FRAME_TYPE_DATA, 0xC0);
    fake_driver_send_unavailable_image(&driver, IMAGE_ID,
                                       tern_subscription_registration_id(subscription));
    (void)tern_client_do_work(client);
    cr_assert(tern_image_is_closed(image));
    store_release_i64(counter, 777); /* the driver gave the counter to somebody else */
    store_release_u8(&log_file->metadata->is_publication_revoked, 0);
    cr_assert_eq(tern_image_poll(image, on_fragment, &seen, 10), 0);
    cr_assert_eq(tern_image_block_poll(image, NULL, NULL, 100), 0);
    cr_assert_eq(tern_image_set_position(image, 128), TERN_ERROR_CLOSED);
    cr_assert_eq(tern_image_reject(image, "late", NULL), TERN_ERROR_CLOSED);
    cr_assert_eq(tern_image_position(image), 64);
    cr_assert(tern_image_is_end_of_stream(image));
    cr_assert(tern_image_is_revoked(image));
    cr_assert_eq(tern_image_active_transport_count(image), 0);
    cr_assert_eq(*counter, 777);
}

Test(image, asks_the_driver_to_reject_it_and_tells_what_it_is, .init = set_up, .fini = tear_down) {
    char reason[1025];
    memset(reason, 'r', sizeof reason);
    reason[1024] = '\0';
    (void)put(0, 40, FRAME_TYPE_DATA, 0xC0);
    struct seen seen = {0};
    (void)tern_image_poll(image, on_fragment, &seen, 10);
    cr_assert_eq(tern_image_reject(image, reason, NULL), -EINVAL);
    cr_assert_eq(tern_image_reject(image, "x", NULL), 0);
    const struct command *command = fake_driver_expect(&driver, COMMAND_REJECT_IMAGE);
    cr_assert_eq(command->registration_id, IMAGE_ID);
    cr_assert_eq(command->position, 64);
    cr_assert_eq(command->text.length, 1);
    cr_assert_str_eq(tern_image_source_identity(image), "127.0.0.1:54321");
    cr_assert_eq(tern_image_correlation_id(image), IMAGE_ID);
    cr_assert_eq(tern_image_session_id(image), FAKE_SESSION);
    cr_assert_eq(tern_image_stream_id(image), FAKE_STREAM);
    cr_assert_eq(tern_image_term_length(image), FAKE_TERM_LENGTH);
    cr_assert_eq(tern_image_position_bits(image), 16);
    cr_assert_eq(tern_image_mtu_length(image), FAKE_MTU);
    cr_assert_eq(tern_image_initial_term_id(image), FAKE_INITIAL_TERM);
    cr_assert_eq(tern_image_subscription_registration_id(image),
                 tern_subscription_registration_id(subscription));
    struct tern_image_constants constants;
    tern_image_get_constants(image, &constants);
    cr_assert_str_eq(constants.source_identity, "127.0.0.1:54321");
    cr_assert_eq(constants.correlation_id, IMAGE_ID);
    cr_assert_eq(constants.subscription_registration_id,
                 tern_subscription_registration_id(subscription));
    cr_assert_eq(constants.join_position, 0);
    cr_assert_eq(constants.session_id, FAKE_SESSION);
    cr_assert_eq(constants.stream_id, FAKE_STREAM);
    cr_assert_eq(constants.initial_term_id, FAKE_INITIAL_TERM);
    cr_assert_eq(constants.term_length, FAKE_TERM_LENGTH);
    cr_assert_eq(constants.position_bits, 16);
    cr_assert_eq(constants.mtu_length, FAKE_MTU);
    cr_assert_eq(constants.position_counter_id, tern_image_position_counter_id(image));
}

static void on_raw_block(void *context, const struct tern_raw_block *block) {
    int64_t *file_offset = context;
    uint8_t from_file[4096];
    cr_assert_leq(block->length, (int32_t)sizeof from_file);
    cr_assert_eq(pread(block->descriptor, from_file, (size_t)block->length, block->file_offset),
                 block->length);
    cr_assert_eq(memcmp(from_file, block->block, (size_t)block->length), 0);
    cr_assert_eq(block->session_id, FAKE_SESSION);
    cr_assert_eq(block->term_id, FAKE_INITIAL_TERM + 1);
    *file_offset = block->file_offset;
}

Test(image, says_where_its_blocks_are_in_the_file) {
    int64_t file_offset = -1;
    join(FAKE_TERM_LENGTH + 128);
    (void)put(FAKE_TERM_LENGTH + 128, 100, FRAME_TYPE_DATA, 0xC0);
    (void)put(FAKE_TERM_LENGTH + 256, 100, FRAME_TYPE_DATA, 0xC0);
    cr_assert_eq(tern_image_raw_poll(image, on_raw_block, &file_offset, 127), 0);
    cr_assert_eq(tern_image_raw_poll(image, on_raw_block, &file_offset, 128), 128);
    cr_assert_eq(file_offset, FAKE_TERM_LENGTH + 128);
    char path[512];
    fake_driver_log_path(&driver, IMAGE_ID, path);
    cr_assert_eq(unlink(path), 0); /* open by now */
    cr_assert_eq(tern_subscription_raw_poll(subscription, on_raw_block, &file_offset, 4096), 128);
    cr_assert_eq(file_offset, FAKE_TERM_LENGTH + 256);
    cr_assert_eq(*counter, FAKE_TERM_LENGTH + 384);
    cr_assert_eq(tern_subscription_raw_poll(subscription, on_raw_block, &file_offset, 4096), 0);
    tear_down();
}

Test(image, consumes_nothing_when_its_file_cannot_be_opened, .init = set_up, .fini = tear_down) {
    int64_t file_offset = -1;
    char path[512];
    (void)put(0, 100, FRAME_TYPE_DATA, 0xC0);
    fake_driver_log_path(&driver, IMAGE_ID, path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(tern_image_raw_poll(image, on_raw_block, &file_offset, 128), -ENOENT);
    cr_assert_eq(tern_subscription_raw_poll(subscription, on_raw_block, &file_offset, 128),
                 -ENOENT);
    cr_assert_eq(file_offset, -1);
    cr_assert_eq(*counter, 0);
}

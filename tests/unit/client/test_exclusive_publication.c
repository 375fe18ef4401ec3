#include <criterion/criterion.h>

#include <string.h>

#include "lib/fake_driver.h"

static struct fake_driver driver;
static tern_client *client;
static tern_exclusive_publication *publication;
static struct log_buffer *log_file;
static int64_t *limit;

static void set_up(void) {
    int32_t limit_id = 0;
    fake_driver_open(&driver, "exclusive");
    client = fake_driver_connect(&driver);
    publication = fake_driver_add_exclusive(&driver, client, &limit_id);
    log_file = &driver.logs[0];
    limit = counters_manager_address(&driver.counters, limit_id);
}

static void tear_down(void) {
    tern_exclusive_publication_close(publication);
    tern_client_close(client);
    fake_driver_close(&driver);
}

static const struct frame_header *frame_at(int64_t position) {
    int32_t index = log_index_of(position, log_file->position_bits);
    return (const void *)(log_file->terms[index] +
                          log_term_offset_of(position, log_file->term_length));
}

Test(exclusive_publication, appends_and_refuses, .init = set_up, .fini = tear_down) {
    char message[8193] = {0};
    struct tern_buffer_claim claim;
    cr_assert_eq(tern_exclusive_publication_offer(publication, message, 1),
                 TERN_PUBLICATION_NOT_CONNECTED);
    /* the limit comes before the length */
    cr_assert_eq(tern_exclusive_publication_offer(publication, message, 8193),
                 TERN_PUBLICATION_NOT_CONNECTED);
    cr_assert_eq(tern_exclusive_publication_append_padding(publication, 8193),
                 TERN_PUBLICATION_NOT_CONNECTED);
    store_release_i32(&log_file->metadata->is_connected, 1);
    cr_assert_eq(tern_exclusive_publication_offer(publication, message, 1),
                 TERN_PUBLICATION_BACK_PRESSURED);
    store_release_i64(limit, 32768);
    cr_assert_eq(tern_exclusive_publication_offer(publication, message, 8193),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_exclusive_publication_offer(publication, NULL, 1), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_exclusive_publication_try_claim(publication, 1377, &claim),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_exclusive_publication_append_padding(publication, 8193),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_exclusive_publication_available_window(publication), 32768);

    cr_assert_eq(tern_exclusive_publication_offer(publication, "hello", 5), 64);
    cr_assert_eq(frame_at(0)->frame_length, 37);
    const struct iovec parts[] = {{message, 1000}, {message, 3000}};
    cr_assert_eq(tern_exclusive_publication_offerv(publication, parts, 2, NULL, NULL), 64 + 4096);
    cr_assert_eq(frame_at(64)->flags, 0x80);
    cr_assert_eq(tern_exclusive_publication_try_claim(publication, 4, &claim), 4160 + 64);
    memcpy(claim.data, "claw", 4);
    tern_buffer_claim_commit(&claim);
    cr_assert_eq(frame_at(4160)->frame_length, 36);
    cr_assert_eq(tern_exclusive_publication_append_padding(publication, 100), 4224 + 160);
    cr_assert_eq(frame_at(4224)->type, FRAME_TYPE_PAD);
    cr_assert_eq(frame_at(4224)->frame_length, 132);
    cr_assert_eq(tern_exclusive_publication_position(publication), 4384);
    cr_assert_eq(tern_exclusive_publication_available_window(publication), 32768 - 4384);
    cr_assert_eq(log_file->metadata->raw_tails[0], log_raw_tail(FAKE_INITIAL_TERM, 4384));
}

Test(exclusive_publication, goes_through_terms_up_to_the_last_position, .init = set_up,
     .fini = tear_down) {
    char message[1000] = {0};
    store_release_i64(limit, INT64_MAX);
    int64_t position = 0;
    int rotations = 0;
    while (position < 5 * FAKE_TERM_LENGTH) {
        /* the driver's cleaning of the term before it is used again */
        int64_t result = tern_exclusive_publication_offer(publication, message, sizeof message);
        if (result == TERN_PUBLICATION_ADMIN_ACTION) {
            rotations++;
            position = tern_exclusive_publication_position(publication);
            cr_assert_eq(position % FAKE_TERM_LENGTH, 0);
            memset(log_file->terms[log_index_of(position, 16)], 0, FAKE_TERM_LENGTH);
            continue;
        }
        cr_assert_eq(result, position + 1056);
        position = result;
    }
    cr_assert_eq(rotations, 5);
    tern_exclusive_publication_close(publication);

    /* a publication that begins 64 bytes before the end of all positions */
    tern_async *async =
        tern_client_async_add_exclusive_publication(client, "aeron:ipc", FAKE_STREAM, NULL);
    (void)fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION);
    int64_t id = fake_driver_expect(&driver, COMMAND_ADD_EXCLUSIVE_PUBLICATION)->correlation_id;
    struct log_buffer *last = fake_driver_create_log(&driver, id, LOG_TYPE_EXCLUSIVE);
    int32_t last_id = wrapping_add_i32(FAKE_INITIAL_TERM, INT32_MAX);
    last->metadata->raw_tails[log_partition_index(INT32_MAX)] =
        log_raw_tail(last_id, FAKE_TERM_LENGTH - 64);
    last->metadata->active_term_count = INT32_MAX;
    int32_t limit_id =
        fake_driver_send_publication(&driver, RESPONSE_EXCLUSIVE_PUBLICATION_READY, id, id);
    store_release_i64(counters_manager_address(&driver.counters, limit_id), INT64_MAX);
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_async_poll_exclusive_publication(async, &publication, NULL), 1);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(tern_exclusive_publication_offer(publication, message, 1000),
                     TERN_PUBLICATION_MAX_POSITION);
    }
}

static void make_frame(uint8_t *block, int32_t offset, int32_t length) {
    const struct frame_header header = {
        .frame_length = length,
        .flags = 0xC0,
        .type = FRAME_TYPE_DATA,
        .term_offset = offset,
        .session_id = FAKE_SESSION,
        .stream_id = FAKE_STREAM,
        .term_id = FAKE_INITIAL_TERM,
    };
    memcpy(block, &header, sizeof header);
}

Test(exclusive_publication, takes_only_blocks_made_for_its_place, .init = set_up,
     .fini = tear_down) {
    store_release_i64(limit, 32768);
    cr_assert_eq(tern_exclusive_publication_offer(publication, "hello", 5), 64);
    static const struct {
        int32_t first_offset;
        int32_t first_length;
        int32_t second_length;
        int32_t block_length;
        int32_t session_delta;
        bool is_valid;
    } cases[] = {
        {96, 37, 64, 128, 0, false}, {64, 37, 64, 128, 1, false}, {64, 37, 64, 96, 0, false},
        {64, 37, 0, 128, 0, false},  {64, 37, 96, 128, 0, false}, {64, 37, 64, 0, 0, false},
        {64, 37, 64, 128, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t block[256] = {0};
        make_frame(block, cases[i].first_offset, cases[i].first_length);
        ((struct frame_header *)(void *)block)->session_id += cases[i].session_delta;
        make_frame(block + 64, 128, cases[i].second_length);
        memcpy(block + 32, "world", 5);
        int64_t result =
            tern_exclusive_publication_offer_block(publication, block, cases[i].block_length);
        cr_assert_eq(result, cases[i].is_valid ? 192 : TERN_PUBLICATION_ERROR, "case %zu", i);
    }
    cr_assert_eq(tern_exclusive_publication_offer_block(publication, NULL, 64),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(frame_at(64)->frame_length, 37);
    cr_assert_eq(memcmp(frame_at(64) + 1, "world", 5), 0);
    cr_assert_eq(frame_at(128)->frame_length, 64);
}

Test(exclusive_publication, tells_the_driver_when_it_is_revoked, .init = set_up) {
    int64_t id = tern_exclusive_publication_registration_id(publication);
    tern_exclusive_publication_revoke(publication);
    const struct command *command = fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION);
    cr_assert_eq(command->registration_id, id);
    cr_assert_eq(command->flags, COMMAND_FLAG_REVOKE);
    tern_exclusive_publication_close(NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(exclusive_publication, is_revoked_by_closing_when_that_was_set, .init = set_up) {
    cr_assert_eq(tern_exclusive_publication_original_registration_id(publication),
                 tern_exclusive_publication_registration_id(publication));
    tern_exclusive_publication_set_revoke_on_close(publication, true);
    tern_exclusive_publication_close(publication);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->flags,
                 COMMAND_FLAG_REVOKE);
    int32_t limit_id;
    publication = fake_driver_add_exclusive(&driver, client, &limit_id);
    tern_exclusive_publication_set_revoke_on_close(publication, true);
    tern_exclusive_publication_set_revoke_on_close(publication, false);
    tern_exclusive_publication_close(publication);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->flags, 0);
    tern_exclusive_publication_close(NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

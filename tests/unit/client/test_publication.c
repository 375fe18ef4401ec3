#include <criterion/criterion.h>

#include <string.h>

#include "lib/fake_driver.h"

static struct fake_driver driver;
static tern_client *client;
static tern_publication *publication;
static struct log_buffer *log_file;
static int64_t *limit;

static void set_up(void) {
    int32_t limit_id = 0;
    fake_driver_open(&driver, "publication");
    client = fake_driver_connect(&driver);
    publication = fake_driver_add_publication(&driver, client, &limit_id);
    log_file = &driver.logs[0];
    limit = counters_manager_address(&driver.counters, limit_id);
}

static void tear_down(void) {
    tern_publication_close(publication);
    tern_client_close(client);
    fake_driver_close(&driver);
}

static const struct frame_header *frame_at(int64_t position) {
    int32_t index = log_index_of(position, log_file->position_bits);
    return (const void *)(log_file->terms[index] +
                          log_term_offset_of(position, log_file->term_length));
}

Test(publication, refuses_with_the_reason, .init = set_up, .fini = tear_down) {
    char message[8193] = {0};
    const struct iovec parts[] = {{message, 8000}, {message, 193}};
    cr_assert_eq(tern_publication_offer(publication, message, 1), TERN_PUBLICATION_NOT_CONNECTED);
    /* 5.3: the limit comes before the length */
    cr_assert_eq(tern_publication_offer(publication, message, 8193),
                 TERN_PUBLICATION_NOT_CONNECTED);
    cr_assert_eq(tern_publication_offerv(publication, parts, 2, NULL, NULL),
                 TERN_PUBLICATION_NOT_CONNECTED);
    store_release_i32(&log_file->metadata->is_connected, 1);
    cr_assert(tern_publication_is_connected(publication));
    cr_assert_eq(tern_publication_offer(publication, message, 1), TERN_PUBLICATION_BACK_PRESSURED);
    cr_assert_eq(tern_publication_offer(publication, message, 8193),
                 TERN_PUBLICATION_BACK_PRESSURED);
    store_release_i64(limit, FAKE_TERM_LENGTH);
    cr_assert_eq(tern_publication_position_limit(publication), FAKE_TERM_LENGTH);
    cr_assert_eq(tern_publication_offer(publication, message, 8193), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_offer(publication, message, -1), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_offer(publication, NULL, 1), TERN_PUBLICATION_ERROR);
    struct tern_buffer_claim claim;
    cr_assert_eq(tern_publication_try_claim(publication, 1377, &claim), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_try_claim(publication, -1, &claim), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_offerv(publication, parts, 2, NULL, NULL),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_offerv(publication, NULL, 1, NULL, NULL), TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_offerv(publication, parts, -1, NULL, NULL),
                 TERN_PUBLICATION_ERROR);
    cr_assert_eq(tern_publication_position(publication), 0);
    /* another thread is between the two steps of a rotation */
    store_release_i32(&log_file->metadata->active_term_count, 1);
    cr_assert_eq(tern_publication_offer(publication, message, 1), TERN_PUBLICATION_ADMIN_ACTION);
    store_release_i32(&log_file->metadata->active_term_count, 0);
    cr_assert_eq(tern_publication_offer(publication, message, 1), 64);
    cr_assert_str_eq(tern_publication_result_name(TERN_PUBLICATION_BACK_PRESSURED),
                     "back pressured");
    cr_assert_str_eq(tern_publication_result_name(-77), "unknown result");
    cr_assert_str_eq(tern_publication_result_name(64), "position");
}

static int64_t supply(void *context, uint8_t *frame, int32_t frame_length) {
    const struct frame_header *header = (const void *)frame;
    *(int *)context += 1;
    return (int64_t)header->term_offset * 1000000 + frame_length;
}

Test(publication, writes_messages_fragments_vectors_and_claims, .init = set_up, .fini = tear_down) {
    char message[4000];
    memset(message, 'm', sizeof message);
    store_release_i64(limit, FAKE_TERM_LENGTH);
    cr_assert_eq(tern_publication_offer(publication, "hello", 5), 64);
    const struct frame_header *frame = frame_at(0);
    cr_assert_eq(frame->frame_length, 37);
    cr_assert_eq(frame->flags, 0xC0);
    cr_assert_eq(frame->type, FRAME_TYPE_DATA);
    cr_assert_eq(frame->session_id, FAKE_SESSION);
    cr_assert_eq(frame->stream_id, FAKE_STREAM);
    cr_assert_eq(frame->term_id, FAKE_INITIAL_TERM);
    cr_assert_eq(memcmp(frame + 1, "hello", 5), 0);
    cr_assert_eq(tern_publication_offer(publication, NULL, 0), 96);

    int calls = 0;
    const struct iovec parts[] = {{message, 1000}, {NULL, 0}, {message, 3000}};
    cr_assert_eq(tern_publication_offerv(publication, parts, 3, supply, &calls), 96 + 4096);
    cr_assert_eq(calls, 3);
    static const uint8_t flags[] = {0x80, 0, 0x40};
    static const int32_t lengths[] = {1408, 1408, 1280};
    for (int i = 0; i < 3; i++) {
        frame = frame_at(96 + i * 1408);
        cr_assert_eq(frame->frame_length, lengths[i]);
        cr_assert_eq(frame->flags, flags[i]);
        cr_assert_eq(frame->term_offset, 96 + i * 1408);
        cr_assert_eq(frame->reserved_value, (int64_t)frame->term_offset * 1000000 + lengths[i]);
    }
    int64_t position = 96 + 4096;
    struct tern_buffer_claim claim;
    cr_assert_eq(tern_publication_try_claim(publication, 10, &claim), position + 64);
    cr_assert_eq(claim.length, 10);
    frame = frame_at(position);
    cr_assert_eq(frame->frame_length, -42);
    memcpy(claim.data, "0123456789", 10);
    tern_buffer_claim_set_reserved_value(&claim, 17);
    tern_buffer_claim_set_flags(&claim, 0x80);
    tern_buffer_claim_commit(&claim);
    cr_assert_eq(frame->frame_length, 42);
    cr_assert_eq(frame->reserved_value, 17);
    cr_assert_eq(frame->flags, 0x80);
    cr_assert_eq(tern_publication_try_claim(publication, 1376, &claim), position + 64 + 1408);
    tern_buffer_claim_abort(&claim);
    frame = frame_at(position + 64);
    cr_assert_eq(frame->type, FRAME_TYPE_PAD);
    cr_assert_eq(frame->frame_length, 1408);
    cr_assert_eq(tern_publication_position(publication), position + 64 + 1408);
}

Test(publication, rotates_at_the_end_of_a_term_and_stops_at_the_last_position, .init = set_up,
     .fini = tear_down) {
    char message[1000] = {0};
    store_release_i64(limit, INT64_MAX);
    int64_t position = 0;
    while (position < FAKE_TERM_LENGTH - 1056) {
        position = tern_publication_offer(publication, message, sizeof message);
        cr_assert_gt(position, 0);
    }
    cr_assert_eq(tern_publication_offer(publication, message, sizeof message),
                 TERN_PUBLICATION_ADMIN_ACTION);
    cr_assert_eq(frame_at(position)->type, FRAME_TYPE_PAD);
    cr_assert_eq(frame_at(position)->frame_length, FAKE_TERM_LENGTH - position);
    cr_assert_eq(tern_publication_position(publication), FAKE_TERM_LENGTH);
    cr_assert_eq(tern_publication_offer(publication, message, sizeof message),
                 FAKE_TERM_LENGTH + 1056);
    /* the last term there is */
    int32_t last_count = INT32_MAX;
    int32_t last_id = wrapping_add_i32(FAKE_INITIAL_TERM, last_count);
    log_file->metadata->raw_tails[log_partition_index(last_count)] =
        log_raw_tail(last_id, FAKE_TERM_LENGTH - 64);
    store_release_i32(&log_file->metadata->active_term_count, last_count);
    cr_assert_eq(tern_publication_offer(publication, message, 1000), TERN_PUBLICATION_MAX_POSITION);
    store_release_i64(limit, 0);
    cr_assert_eq(tern_publication_offer(publication, message, 1000), TERN_PUBLICATION_MAX_POSITION);
}

Test(publication, tells_its_constants, .init = set_up, .fini = tear_down) {
    struct tern_publication_constants constants;
    tern_publication_get_constants(publication, &constants);
    cr_assert_str_eq(constants.channel, "aeron:ipc");
    cr_assert_str_eq(tern_publication_channel(publication), "aeron:ipc");
    cr_assert_eq(constants.stream_id, FAKE_STREAM);
    cr_assert_eq(tern_publication_stream_id(publication), FAKE_STREAM);
    cr_assert_eq(constants.session_id, FAKE_SESSION);
    cr_assert_eq(tern_publication_session_id(publication), FAKE_SESSION);
    cr_assert_eq(constants.initial_term_id, FAKE_INITIAL_TERM);
    cr_assert_eq(constants.term_length, FAKE_TERM_LENGTH);
    cr_assert_eq(constants.position_bits, 16);
    cr_assert_eq(constants.position_max, INT64_C(140737488355328));
    cr_assert_eq(constants.mtu_length, FAKE_MTU);
    cr_assert_eq(constants.payload_length_max, 1376);
    cr_assert_eq(constants.message_length_max, 8192);
    cr_assert_eq(constants.channel_status_counter_id, -1);
    cr_assert_eq(tern_publication_channel_status(publication), TERN_CHANNEL_STATUS_ACTIVE);
    cr_assert_eq(tern_publication_local_addresses(publication, NULL, 0), 0);
}

Test(publication, shares_its_log_with_others_until_the_last_is_closed, .init = set_up,
     .fini = tear_down) {
    int64_t original_id = tern_publication_registration_id(publication);
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", FAKE_STREAM, NULL);
    int64_t id = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->correlation_id;
    int32_t limit_id =
        fake_driver_send_publication(&driver, RESPONSE_PUBLICATION_READY, id, original_id);
    (void)tern_client_do_work(client);
    tern_publication *second = NULL;
    cr_assert_eq(tern_async_poll_publication(async, &second, NULL), 1);
    store_release_i64(limit, 1024);
    store_release_i64(counters_manager_address(&driver.counters, limit_id), 1024);
    cr_assert_eq(tern_publication_offer(publication, "a", 1), 64);
    cr_assert_eq(tern_publication_offer(second, "b", 1), 128);
    tern_publication_close(publication);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->registration_id,
                 original_id);
    /* the driver may take the file away: what is mapped stays */
    char path[512];
    fake_driver_log_path(&driver, original_id, path);
    cr_assert_eq(remove(path), 0);
    cr_assert_eq(tern_publication_offer(second, "c", 1), 192);
    publication = second;
}

static struct tern_publication_error seen_error;
static char seen_text[64];
static void on_publication_error(void *context, const struct tern_publication_error *error) {
    (void)context;
    seen_error = *error;
    (void)strcpy(seen_text, error->text);
}

Test(publication, passes_on_what_a_receiver_says_of_it) {
    fake_driver_open(&driver, "rejected");
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_publication_error_handler(context, on_publication_error, NULL);
    client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    int32_t limit_id = 0;
    publication = fake_driver_add_publication(&driver, client, &limit_id);
    struct response response = {
        .type = RESPONSE_PUBLICATION_ERROR,
        .correlation_id = tern_publication_registration_id(publication) + 1,
        .registration_id = -1,
        .session_id = FAKE_SESSION,
        .stream_id = FAKE_STREAM,
        .receiver_id = 7,
        .group_tag = -1,
        .address_type = 1,
        .address_port = 54321,
        .address = {127, 0, 0, 1},
        .error_code = 13,
        .text = {"nope", 4},
    };
    fake_driver_send(&driver, &response);
    (void)tern_client_do_work(client);
    cr_assert_eq(seen_error.error_code, 0); /* of somebody else's publication */
    response.correlation_id--;
    fake_driver_send(&driver, &response);
    (void)tern_client_do_work(client);
    cr_assert_eq(seen_error.error_code, 13);
    cr_assert_str_eq(seen_text, "nope");
    cr_assert_eq(seen_error.registration_id, response.correlation_id);
    cr_assert_eq(seen_error.source_port, 54321);
    cr_assert_eq(seen_error.source_address[0], 127);
    cr_assert_eq(seen_error.receiver_id, 7);
    tear_down();
}

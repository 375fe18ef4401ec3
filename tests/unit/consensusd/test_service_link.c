/* Which acknowledgements of services count, and that a request that cannot be taken stays. The
 * streams are none: messages are handed to the handler that the link gave its assembler. */
#include <criterion/criterion.h>

#include <tern/client.h>
#include <tern/fragment.h>

#include "consensusd/service_link.h"
#include "wire/cluster_codec.h"

static tern_controlled_fragment_handler on_fragment;
static void *fragment_context;
static int bad_count;

tern_controlled_fragment_assembler *
__wrap_tern_controlled_fragment_assembler_create(tern_controlled_fragment_handler handler,
                                                 void *context) {
    on_fragment = handler;
    fragment_context = context;
    return (tern_controlled_fragment_assembler *)&on_fragment; /* not looked at */
}

static int64_t reserved_value;

int64_t __wrap_tern_header_reserved_value(const tern_header *header) {
    (void)header;
    return reserved_value;
}

tern_async *__wrap_tern_client_async_add_publication(tern_client *client, const char *channel,
                                                     int32_t stream_id, struct tern_error *error) {
    (void)client, (void)channel, (void)stream_id, (void)error;
    return (tern_async *)&on_fragment;
}

tern_async *__wrap_tern_client_async_add_subscription(tern_client *client,
                                                      const struct tern_subscription_params *params,
                                                      struct tern_error *error) {
    (void)client, (void)params, (void)error;
    return (tern_async *)&on_fragment;
}

static void on_bad_ack(void *context, const char *text) {
    (void)context, (void)text;
    bad_count++;
}

static void open_link(struct service_link *link, int32_t service_count) {
    const struct service_link_params params = {.channel = "aeron:ipc",
                                               .service_count = service_count,
                                               .handlers = {.on_bad_ack = on_bad_ack}};
    struct tern_error error;
    cr_assert_eq(service_link_open(link, NULL, &params, &error), 0);
    cr_assert_eq(fragment_context, link);
    bad_count = 0;
}

static void acknowledge(int32_t service_id, int64_t ack_id, int64_t log_position) {
    uint8_t buffer[256];
    const struct cluster_service_ack ack = {.log_position = log_position,
                                            .ack_id = ack_id,
                                            .relevant_id = 100 + ack_id,
                                            .service_id = service_id};
    int32_t length = cluster_service_ack_encode(&ack, buffer, (int32_t)sizeof buffer);
    cr_assert_gt(length, 0);
    cr_assert_eq(on_fragment(fragment_context, buffer, length, NULL), TERN_ACTION_CONTINUE);
}

Test(service_link, acknowledgements_of_all_services_are_taken_in_their_order) {
    struct service_link link;
    int64_t relevant_ids[2];
    int64_t timestamp = 0;
    open_link(&link, 2);
    acknowledge(0, 0, 64);
    cr_assert_not(service_link_take_acks(&link, 64, relevant_ids, &timestamp));
    acknowledge(1, 0, 64);
    acknowledge(0, 1, 96);
    cr_assert(service_link_take_acks(&link, 64, relevant_ids, &timestamp));
    acknowledge(1, 1, 96);
    cr_assert(service_link_take_acks(&link, 96, relevant_ids, &timestamp));
    cr_assert_eq(relevant_ids[0], 101);
    cr_assert_eq(bad_count, 0);
}

Test(service_link, a_service_out_of_sequence_is_told) {
    struct service_link link;
    open_link(&link, 1);
    acknowledge(0, 0, 64);
    acknowledge(0, 2, 96);
    cr_assert_eq(bad_count, 1, "one is missing");
    acknowledge(0, 0, 64);
    cr_assert_eq(bad_count, 2, "it started a second time");
    acknowledge(1, 0, 64);
    cr_assert_eq(bad_count, 3, "no such service");
    cr_assert_eq(link.acks[0].next_ack_id, 1);
}

/* A service that has not noticed yet that its module is another one goes on counting. */
Test(service_link, what_a_service_says_to_the_module_before_is_not_for_this_one) {
    struct service_link link;
    int64_t relevant_id;
    int64_t timestamp = 0;
    open_link(&link, 1);
    acknowledge(0, 37, 4096);
    cr_assert_eq(bad_count, 0);
    cr_assert_not(service_link_take_acks(&link, 4096, &relevant_id, &timestamp));
    acknowledge(0, 0, 64); /* its successor */
    cr_assert(service_link_take_acks(&link, 64, &relevant_id, &timestamp));
    cr_assert_eq(relevant_id, 100);
    acknowledge(0, 37, 4096);
    cr_assert_eq(bad_count, 1);
}

/* -- timers -- */

static bool has_room;
static int64_t asked[3];

static bool on_schedule_timer(void *context, int64_t timer_id, int64_t deadline, int64_t position) {
    (void)context;
    asked[0] = timer_id;
    asked[1] = deadline;
    asked[2] = position;
    return has_room;
}

Test(service_link, request_that_cannot_be_taken_now_is_given_again) {
    struct service_link link;
    uint8_t buffer[64];
    open_link(&link, 1);
    acknowledge(0, 0, 64);
    link.handlers.on_schedule_timer = on_schedule_timer;
    const struct cluster_schedule_timer message = {.correlation_id = 7, .deadline = 99};
    int32_t length = cluster_schedule_timer_encode(&message, buffer, (int32_t)sizeof buffer);
    reserved_value = 4096;
    has_room = false;
    cr_assert_eq(on_fragment(fragment_context, buffer, length, NULL), TERN_ACTION_ABORT);
    has_room = true;
    cr_assert_eq(on_fragment(fragment_context, buffer, length, NULL), TERN_ACTION_CONTINUE);
    cr_assert_eq(asked[0], 7);
    cr_assert_eq(asked[1], 99);
    cr_assert_eq(asked[2], 4096);
    reserved_value = -1; /* nonsense is no position */
    on_fragment(fragment_context, buffer, length, NULL);
    cr_assert_eq(asked[2], 0);
}

/* -- of an earlier life -- */

static int request_count;

static bool count_timer(void *context, int64_t timer_id, int64_t deadline, int64_t position) {
    (void)context, (void)timer_id, (void)deadline, (void)position;
    request_count++;
    return true;
}

static void count_cancellation(void *context, int64_t timer_id, int64_t position) {
    (void)context, (void)timer_id, (void)position;
    request_count++;
}

static void count_session(void *context, int64_t session_id) {
    (void)context, (void)session_id;
    request_count++;
}

static bool count_message(void *context, int32_t service_id, const uint8_t *message,
                          int32_t length) {
    (void)context, (void)service_id, (void)message, (void)length;
    request_count++;
    return true;
}

static void give(const uint8_t *buffer, int32_t length) {
    cr_assert_eq(on_fragment(fragment_context, buffer, length, NULL), TERN_ACTION_CONTINUE);
}

/* One of each kind; how many came through. */
static int request_all(void) {
    uint8_t buffer[64];
    const struct cluster_schedule_timer schedule = {7, 99};
    const struct cluster_cancel_timer cancel = {7};
    const struct cluster_close_session close = {3};
    request_count = 0;
    give(buffer, cluster_schedule_timer_encode(&schedule, buffer, (int32_t)sizeof buffer));
    give(buffer, cluster_cancel_timer_encode(&cancel, buffer, (int32_t)sizeof buffer));
    give(buffer, cluster_close_session_encode(&close, buffer, (int32_t)sizeof buffer));
    cluster_session_message_header_put(buffer, 0, 1, 0);
    give(buffer, 40);
    return request_count;
}

/* All services of a driver write to one publication. When a module is killed, its successor joins
 * it where it stood, and what it had not read yet of its services comes to the successor. Their
 * successors say all of it again, and say nothing else before they acknowledge their start. */
Test(service_link, what_was_asked_of_the_module_before_is_not_for_this_one) {
    struct service_link link;
    open_link(&link, 2);
    link.handlers.on_schedule_timer = count_timer;
    link.handlers.on_cancel_timer = count_cancellation;
    link.handlers.on_close_session = count_session;
    link.handlers.on_service_message = count_message;
    cr_assert_eq(request_all(), 0);
    acknowledge(0, 37, 4096);
    cr_assert_eq(request_all(), 0);
    acknowledge(0, 0, 64);
    cr_assert_eq(request_all(), 0, "the other one may still be that of before");
    acknowledge(1, 0, 64);
    cr_assert_eq(request_all(), 4);
}

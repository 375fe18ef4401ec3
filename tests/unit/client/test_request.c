#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/random.h"
#include "client/seams.h"
#include "lib/fake_driver.h"
#include "shm/counter_types.h"

static struct fake_driver driver;

static bool slice_is(struct text_slice slice, const char *text) {
    return slice.length == (int32_t)strlen(text) && memcmp(slice.text, text, strlen(text)) == 0;
}

Test(request, writes_the_commands_of_the_specification) {
    fake_driver_open(&driver, "commands");
    tern_client *client = fake_driver_connect(&driver);
    int64_t client_id = tern_client_id(client);
    const char *channel = "aeron:udp?endpoint=localhost:20121";
    tern_async *asyncs[6];
    asyncs[0] = tern_client_async_add_publication(client, channel, 1001, NULL);
    const struct command *command = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION);
    cr_assert(slice_is(command->channel, channel));
    cr_assert_eq(command->stream_id, 1001);
    cr_assert_eq(command->client_id, client_id);
    cr_assert_eq(command->correlation_id, tern_async_registration_id(asyncs[0]));

    asyncs[1] = tern_client_async_add_exclusive_publication(client, channel, 1002, NULL);
    command = fake_driver_expect(&driver, COMMAND_ADD_EXCLUSIVE_PUBLICATION);
    cr_assert_eq(command->stream_id, 1002);
    cr_assert_eq(command->correlation_id, tern_async_registration_id(asyncs[1]));

    asyncs[2] = tern_client_async_add_subscription(
        client, &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 7}, NULL);
    command = fake_driver_expect(&driver, COMMAND_ADD_SUBSCRIPTION);
    cr_assert(slice_is(command->channel, "aeron:ipc"));

    const struct tern_counter_params counter = {1000, "abcdef", 6, "label", 5};
    asyncs[3] = tern_client_async_add_counter(client, &counter, NULL);
    command = fake_driver_expect(&driver, COMMAND_ADD_COUNTER);
    cr_assert_eq(command->counter_type_id, 1000);
    cr_assert(slice_is(command->key, "abcdef"));
    cr_assert(slice_is(command->label, "label"));

    asyncs[4] = tern_client_async_add_static_counter(client, &counter, 4242, NULL);
    command = fake_driver_expect(&driver, COMMAND_ADD_STATIC_COUNTER);
    cr_assert_eq(command->registration_id, 4242);
    cr_assert(slice_is(command->key, "abcdef"));

    asyncs[5] = tern_client_async_next_session_id(client, 55, NULL);
    command = fake_driver_expect(&driver, COMMAND_NEXT_SESSION_ID);
    cr_assert_eq(command->stream_id, 55);
    for (int i = 0; i < 6; i++) {
        tern_async_cancel(asyncs[i]);
    }
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, refuses_what_does_not_fit_without_telling_the_driver) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "refuse");
    tern_client *client = fake_driver_connect(&driver);
    char channel[4200];
    memset(channel, 'x', sizeof channel);
    channel[4096] = '\0';
    cr_assert_eq(tern_client_async_add_publication(client, channel, 1, &error), NULL);
    cr_assert_eq(error.code, -EINVAL);
    static const struct tern_counter_params bad[] = {{1000, "", 113, "", 0},
                                                     {1000, "", -1, "", 0},
                                                     {1000, "", 0, "", 381},
                                                     {1000, "", 0, "", -1}};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(tern_client_async_add_counter(client, &bad[i], &error), NULL);
        cr_assert_eq(error.code, -EINVAL);
    }
    cr_assert_eq(fake_driver_next(&driver), NULL);
    channel[4095] = '\0';
    tern_async *async = tern_client_async_add_publication(client, channel, 1, &error);
    cr_assert_neq(async, NULL, "%s", error.text);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->channel.length, 4095);
    tern_async_cancel(async);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, fails_with_the_code_and_text_of_the_driver) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "error");
    tern_client *client = fake_driver_connect(&driver);
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc?x", 1, NULL);
    tern_publication *publication = NULL;
    cr_assert_eq(tern_async_poll_publication(async, &publication, &error), 0);
    int64_t id = tern_async_registration_id(async);
    fake_driver_send_error(&driver, id + 77, 11, "for somebody else");
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_async_poll_publication(async, &publication, &error), 0);
    fake_driver_send_error(&driver, id, 1, "no such channel");
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_async_poll_publication(async, &publication, &error), -2001);
    cr_assert_eq(error.code, -2001);
    cr_assert_str_eq(error.text, "no such channel");
    cr_assert_eq(publication, NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

static int errors_seen;
static void count_error(void *context, int code, const char *text) {
    (void)context;
    cr_assert_eq(code, -2004, "%s", text);
    errors_seen++;
}

Test(request, is_not_failed_by_a_channel_error_with_the_number_of_its_counter) {
    fake_driver_open(&driver, "endpoint");
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_error_handler(context, count_error, NULL);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", 1, NULL);
    int64_t id = tern_async_registration_id(async);
    tern_async *subscription_async = tern_client_async_add_subscription(
        client,
        &(struct tern_subscription_params){.channel = "aeron:udp?endpoint=h:0", .stream_id = 1},
        NULL);
    fake_driver_send_subscription(&driver, tern_async_registration_id(subscription_async),
                                  (int32_t)id);
    fake_driver_send_error(&driver, id, 4, "endpoint failed");
    (void)tern_client_do_work(client);
    tern_publication *publication = NULL;
    cr_assert_eq(tern_async_poll_publication(async, &publication, NULL), 0);
    cr_assert_eq(errors_seen, 1);
    tern_async_cancel(async);
    tern_async_cancel(subscription_async);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, times_out_and_undoes_an_answer_that_comes_too_late) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "late");
    tern_client *client = fake_driver_connect(&driver);
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", 1, NULL);
    int64_t id = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->correlation_id;
    for (int second = 0; second < 10; second++) {
        fake_driver_advance(&driver, NS_PER_S);
        (void)tern_client_do_work(client);
    }
    tern_publication *publication = NULL;
    cr_assert_eq(tern_async_poll_publication(async, &publication, &error), 0);
    fake_driver_advance(&driver, 1);
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_async_poll_publication(async, &publication, &error), -ETIMEDOUT);
    cr_assert_neq(strstr(error.text, "aeron:ipc"), NULL, "%s", error.text);
    (void)fake_driver_create_log(&driver, id, LOG_TYPE_CONCURRENT);
    (void)fake_driver_send_publication(&driver, RESPONSE_PUBLICATION_READY, id, id);
    (void)tern_client_do_work(client);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->registration_id, id);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, is_undone_when_cancelled_before_or_after_the_answer) {
    fake_driver_open(&driver, "cancel");
    tern_client *client = fake_driver_connect(&driver);
    for (int is_answered = 0; is_answered < 2; is_answered++) {
        tern_async *async = tern_client_async_add_subscription(
            client, &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 1},
            NULL);
        int64_t id = fake_driver_expect(&driver, COMMAND_ADD_SUBSCRIPTION)->correlation_id;
        if (is_answered != 0) {
            fake_driver_send_subscription(&driver, id, -1);
            (void)tern_client_do_work(client);
        }
        tern_async_cancel(async);
        if (is_answered == 0) {
            cr_assert_eq(fake_driver_next(&driver), NULL);
            fake_driver_send_subscription(&driver, id, -1);
            (void)tern_client_do_work(client);
        }
        cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_SUBSCRIPTION)->registration_id, id);
    }
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", 1, NULL);
    int64_t id = tern_async_registration_id(async);
    tern_async_cancel(async);
    (void)fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION);
    fake_driver_send_error(&driver, id, 1, "nothing to undo");
    (void)tern_client_do_work(client);
    cr_assert_eq(fake_driver_next(&driver), NULL);
    tern_async_cancel(NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, fails_when_the_driver_names_impossible_things) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "impossible");
    tern_client *client = fake_driver_connect(&driver);
    static const struct {
        int32_t counter_id;
        const char *path;
    } cases[] = {{-5, NULL}, {100000, NULL}, {50, "/dev/shm/not-there"}, {50, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", 1, NULL);
        int64_t id = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->correlation_id;
        char path[512];
        fake_driver_log_path(&driver, id, path);
        (void)fake_driver_create_log(&driver, id, LOG_TYPE_CONCURRENT);
        const char *sent = cases[i].path == NULL ? path : cases[i].path;
        fake_driver_send(&driver, &(struct response){.type = RESPONSE_PUBLICATION_READY,
                                                     .correlation_id = id,
                                                     .registration_id = id,
                                                     .counter_id = cases[i].counter_id,
                                                     .text = {sent, (int32_t)strlen(sent)}});
        (void)tern_client_do_work(client);
        tern_publication *publication = NULL;
        cr_assert_lt(tern_async_poll_publication(async, &publication, &error), 0, "case %zu", i);
        cr_assert_gt(strlen(error.text), 0);
        cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->registration_id, id);
    }
    tern_client_close(client);
    fake_driver_close(&driver);
}

static uint64_t fixed_random(void *context) {
    (void)context;
    return UINT64_C(0x1234567800000000);
}

Test(request, takes_a_random_session_id_from_an_old_driver) {
    fake_driver_open(&driver, "session");
    const struct random random = {NULL, fixed_random};
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_random(context, &random);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    int32_t session_id = 0;
    tern_async *async = tern_client_async_next_session_id(client, 5, NULL);
    int64_t id = fake_driver_expect(&driver, COMMAND_NEXT_SESSION_ID)->correlation_id;
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_NEXT_SESSION_ID,
                                                 .correlation_id = id,
                                                 .session_id = -99});
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_async_poll_session_id(async, &session_id, NULL), 1);
    cr_assert_eq(session_id, -99);
    counter_set_release(
        counters_manager_address(&driver.counters, SYSTEM_COUNTER_CONTROL_PROTOCOL_VERSION), 0);
    async = tern_client_async_next_session_id(client, 5, NULL);
    cr_assert_eq(fake_driver_next(&driver), NULL);
    cr_assert_eq(tern_async_poll_session_id(async, &session_id, NULL), 1);
    cr_assert_eq(session_id, 0x12345678);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, sends_destinations_with_the_original_registration_id) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "destination");
    tern_client *client = fake_driver_connect(&driver);
    int32_t limit = 0;
    tern_publication *first = fake_driver_add_publication(&driver, client, &limit);
    int64_t original_id = tern_publication_registration_id(first);
    tern_async *async = tern_client_async_add_publication(client, "aeron:ipc", FAKE_STREAM, NULL);
    int64_t id = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->correlation_id;
    (void)fake_driver_send_publication(&driver, RESPONSE_PUBLICATION_READY, id, original_id);
    (void)tern_client_do_work(client);
    tern_publication *second = NULL;
    cr_assert_eq(tern_async_poll_publication(async, &second, NULL), 1);
    cr_assert_eq(tern_publication_registration_id(second), id);
    cr_assert_eq(tern_publication_original_registration_id(second), original_id);

    const char *channel = "aeron:udp?endpoint=localhost:20121";
    async = tern_publication_async_add_destination(second, channel, NULL);
    const struct command *command = fake_driver_expect(&driver, COMMAND_ADD_DESTINATION);
    cr_assert_eq(command->registration_id, original_id);
    cr_assert(slice_is(command->channel, channel));
    int64_t destination_id = command->correlation_id;
    cr_assert_eq(tern_async_registration_id(async), destination_id);
    cr_assert_eq(tern_async_poll_destination(async, &error), 0);
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_OPERATION_SUCCESS,
                                                 .correlation_id = destination_id});
    cr_assert_eq(tern_client_await_destination(client, async, NS_PER_S, &error), 0);

    async = tern_publication_async_remove_destination_by_id(second, destination_id, NULL);
    command = fake_driver_expect(&driver, COMMAND_REMOVE_DESTINATION_BY_ID);
    cr_assert_eq(command->registration_id, original_id);
    cr_assert_eq(command->destination_id, destination_id);
    fake_driver_send_error(&driver, command->correlation_id, 11, "not manual");
    cr_assert_eq(tern_client_await_destination(client, async, NS_PER_S, &error), -2011);
    cr_assert_str_eq(error.text, "not manual");
    cr_assert_eq(tern_client_await_destination(client, NULL, 0, &error), -EINVAL);

    tern_subscription *subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 1});
    async = tern_subscription_async_remove_destination(subscription, channel, NULL);
    command = fake_driver_expect(&driver, COMMAND_REMOVE_RECEIVE_DESTINATION);
    cr_assert_eq(command->registration_id, tern_subscription_registration_id(subscription));
    tern_async_cancel(async);
    tern_subscription_close(subscription);
    tern_publication_close(first);
    tern_publication_close(second);
    tern_client_close(client);
    fake_driver_close(&driver);
}

struct added {
    int calls;
    char channel[64];
    int32_t stream_id;
    int32_t session_id;
    int64_t registration_id;
    tern_async *victim; /* cancelled by the handler */
};

static void on_added(void *context, const char *channel, int32_t stream_id, int32_t session_id,
                     int64_t registration_id) {
    struct added *added = context;
    added->calls++;
    (void)strncpy(added->channel, channel, sizeof added->channel - 1);
    added->stream_id = stream_id;
    added->session_id = session_id;
    added->registration_id = registration_id;
    tern_async_cancel(added->victim);
    added->victim = NULL;
}

static tern_client *connect_watched(struct added added[3]) {
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_new_publication_handler(context, on_added, &added[0]);
    tern_context_set_new_exclusive_publication_handler(context, on_added, &added[1]);
    tern_context_set_new_subscription_handler(context, on_added, &added[2]);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    return client;
}

Test(request, tells_of_what_was_added) {
    struct added added[3] = {{0}};
    int32_t limit;
    fake_driver_open(&driver, "added");
    tern_client *client = connect_watched(added);
    tern_publication *publication = fake_driver_add_publication(&driver, client, &limit);
    tern_exclusive_publication *exclusive = fake_driver_add_exclusive(&driver, client, &limit);
    tern_subscription *subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 77});
    const int64_t ids[] = {tern_publication_registration_id(publication),
                           tern_exclusive_publication_registration_id(exclusive),
                           tern_subscription_registration_id(subscription)};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(added[i].calls, 1, "%d", i);
        cr_assert_str_eq(added[i].channel, "aeron:ipc");
        cr_assert_eq(added[i].stream_id, i == 2 ? 77 : FAKE_STREAM);
        cr_assert_eq(added[i].session_id, i == 2 ? 0 : FAKE_SESSION);
        cr_assert_eq(added[i].registration_id, ids[i]);
    }
    tern_publication_close(publication);
    tern_exclusive_publication_close(exclusive);
    tern_subscription_close(subscription);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, that_is_cancelled_when_it_is_told_of_is_removed_again) {
    struct added added[3] = {{0}};
    fake_driver_open(&driver, "unwanted");
    tern_client *client = connect_watched(added);
    tern_async *publication =
        tern_client_async_add_publication(client, "aeron:ipc", FAKE_STREAM, NULL);
    int64_t id = fake_driver_expect(&driver, COMMAND_ADD_PUBLICATION)->correlation_id;
    added[0].victim = publication;
    (void)fake_driver_create_log(&driver, id, LOG_TYPE_CONCURRENT);
    (void)fake_driver_send_publication(&driver, RESPONSE_PUBLICATION_READY, id, id);
    added[2].victim = tern_client_async_add_subscription(
        client, &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 7}, NULL);
    int64_t other = fake_driver_expect(&driver, COMMAND_ADD_SUBSCRIPTION)->correlation_id;
    fake_driver_send_subscription(&driver, other, -1);
    (void)tern_client_do_work(client);
    cr_assert_eq(added[0].calls, 1);
    cr_assert_eq(added[2].calls, 1);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION)->registration_id, id);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_SUBSCRIPTION)->registration_id, other);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(request, removes_by_id_what_has_no_handle) {
    static const struct {
        int (*remove)(tern_client *client, int64_t registration_id, struct tern_error *error);
        int32_t type;
    } cases[] = {{tern_client_remove_publication, COMMAND_REMOVE_PUBLICATION},
                 {tern_client_remove_subscription, COMMAND_REMOVE_SUBSCRIPTION},
                 {tern_client_remove_counter, COMMAND_REMOVE_COUNTER}};
    struct tern_error error = {0};
    int32_t limit;
    fake_driver_open(&driver, "by-id");
    tern_client *client = fake_driver_connect(&driver);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(cases[i].remove(client, 4711, &error), 0);
        const struct command *command = fake_driver_expect(&driver, cases[i].type);
        cr_assert_eq(command->registration_id, 4711);
        cr_assert_eq(command->client_id, tern_client_id(client));
        cr_assert_neq(command->correlation_id, 0);
    }
    tern_publication *publication = fake_driver_add_publication(&driver, client, &limit);
    int64_t id = tern_publication_registration_id(publication);
    cr_assert_eq(tern_client_remove_publication(client, id, &error), -EBUSY);
    tern_publication_close(publication);
    (void)fake_driver_expect(&driver, COMMAND_REMOVE_PUBLICATION);
    cr_assert_eq(tern_client_remove_publication(client, id, &error), 0);
    tern_async *async = tern_client_async_add_subscription(
        client, &(struct tern_subscription_params){.channel = "aeron:ipc", .stream_id = 7}, NULL);
    id = tern_async_registration_id(async);
    cr_assert_eq(tern_client_remove_subscription(client, id, &error), -EBUSY);
    tern_async_cancel(async);
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT,
                                                 .correlation_id = tern_client_id(client)});
    (void)tern_client_do_work(client);
    cr_assert_eq(tern_client_remove_counter(client, 1, &error), TERN_ERROR_CLOSED);
    tern_client_close(client);
    fake_driver_close(&driver);
}

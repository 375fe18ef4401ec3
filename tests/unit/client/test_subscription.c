#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "client/subscription.h"
#include "lib/fake_driver.h"
#include "shm/counter_types.h"

static struct fake_driver driver;
static tern_client *client;
static tern_subscription *subscription;

struct seen {
    int available;
    int unavailable;
    bool is_closing;
    tern_image *kept;
    int32_t sessions[64];
    int fragments;
};

static void on_available(void *context, tern_subscription *which, tern_image *image) {
    struct seen *seen = context;
    seen->available++;
    cr_assert(!tern_image_is_closed(image));
    if (seen->kept == NULL) {
        tern_image_retain(image);
        seen->kept = image;
    }
    if (seen->is_closing) {
        tern_subscription_close(which);
    }
}

static void on_unavailable(void *context, tern_subscription *which, tern_image *image) {
    struct seen *seen = context;
    seen->unavailable++;
    cr_assert(tern_image_is_closed(image));
    if (seen->is_closing) {
        tern_subscription_close(which);
    }
}

static void set_up(struct seen *seen) {
    fake_driver_open(&driver, "subscription");
    client = fake_driver_connect(&driver);
    subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){"aeron:ipc", FAKE_STREAM, on_available, on_unavailable,
                                           seen});
}

static void tear_down(struct seen *seen) {
    tern_image_release(seen->kept);
    tern_client_close(client);
    fake_driver_close(&driver);
}

static void image_comes(int64_t id, int32_t session_id) {
    (void)fake_driver_create_log(&driver, id, LOG_TYPE_IMAGE);
    (void)fake_driver_send_image(&driver, id, tern_subscription_registration_id(subscription),
                                 session_id, 0);
    (void)tern_client_do_work(client);
}

static void image_goes(int64_t id) {
    fake_driver_send_unavailable_image(&driver, id,
                                       tern_subscription_registration_id(subscription));
    (void)tern_client_do_work(client);
}

static void put_message(struct log_buffer *log, int32_t offset, int32_t session_id) {
    struct frame_header *frame = (void *)(log->terms[0] + offset);
    frame->flags = 0xC0;
    frame->type = FRAME_TYPE_DATA;
    frame->term_offset = offset;
    frame->session_id = session_id;
    frame->term_id = FAKE_INITIAL_TERM;
    store_release_i32(&frame->frame_length, 40);
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct seen *seen = context;
    (void)buffer;
    (void)length;
    seen->sessions[seen->fragments++] = tern_header_session_id(header);
}

/* visited: how many, then their sessions */
static void on_image(void *context, tern_image *image) {
    int32_t *visited = context;
    visited[0]++;
    visited[visited[0]] = tern_image_session_id(image);
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment, NULL, 1), 0);
}

Test(subscription, follows_images_as_they_come_and_go) {
    struct seen seen = {0};
    set_up(&seen);
    cr_assert(!tern_subscription_is_connected(subscription));
    image_comes(901, 1);
    image_comes(902, 2);
    cr_assert_eq(seen.available, 2);
    cr_assert(tern_subscription_is_connected(subscription));
    cr_assert_eq(tern_subscription_image_count(subscription), 2);
    cr_assert_eq(tern_subscription_image_by_session_id(subscription, 3), NULL);
    cr_assert_eq(tern_subscription_image_at_index(subscription, 2), NULL);
    cr_assert_eq(tern_subscription_image_at_index(subscription, -1), NULL);
    int32_t visited[3] = {0};
    cr_assert_eq(tern_subscription_for_each_image(subscription, on_image, visited), 2);
    cr_assert_eq(visited[0], 2);
    cr_assert_eq(visited[1], 1);
    cr_assert_eq(visited[2], 2);
    struct tern_subscription_constants constants;
    tern_subscription_get_constants(subscription, &constants);
    cr_assert_str_eq(constants.channel, "aeron:ipc");
    cr_assert_eq(constants.registration_id, tern_subscription_registration_id(subscription));
    cr_assert_eq(constants.stream_id, FAKE_STREAM);
    cr_assert_eq(constants.channel_status_counter_id, -1);
    tern_image *second = tern_subscription_image_at_index(subscription, 1);
    cr_assert_eq(tern_image_session_id(second), 2);
    /* twice the same, and of another subscription: nothing changes */
    (void)fake_driver_send_image(&driver, 901, tern_subscription_registration_id(subscription), 1,
                                 0);
    (void)fake_driver_send_image(&driver, 901, 123456, 1, 0);
    fake_driver_send_unavailable_image(&driver, 901, 123456);
    fake_driver_send_unavailable_image(&driver, 999,
                                       tern_subscription_registration_id(subscription));
    (void)tern_client_do_work(client);
    cr_assert_eq(seen.available, 2);
    cr_assert_eq(seen.unavailable, 0);
    cr_assert_eq(tern_subscription_image_count(subscription), 2);
    image_goes(901);
    cr_assert_eq(seen.unavailable, 1);
    cr_assert_eq(tern_subscription_image_count(subscription), 1);
    cr_assert(tern_image_is_closed(seen.kept));
    cr_assert(!tern_image_is_closed(second));
    int64_t id = tern_subscription_registration_id(subscription);
    tern_subscription_close(subscription);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_SUBSCRIPTION)->registration_id, id);
    cr_assert(tern_image_is_closed(second));
    cr_assert_eq(tern_image_poll(second, on_fragment, &seen, 1), 0);
    tern_image_release(second);
    cr_assert_eq(seen.unavailable, 1); /* closing calls no handler */
    tear_down(&seen);
}

Test(subscription, serves_its_images_in_turn) {
    struct seen seen = {0};
    set_up(&seen);
    for (int32_t session = 1; session <= 3; session++) {
        image_comes(900 + session, session);
        for (int32_t i = 0; i < 4; i++) {
            put_message(&driver.logs[session - 1], 64 * i, session);
        }
    }
    static const int32_t expected[] = {1, 2, 3, 1, 2, 3};
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(tern_subscription_poll(subscription, on_fragment, &seen, 1), 1);
        cr_assert_eq(seen.sessions[i], expected[i], "poll %d", i);
    }
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment, &seen, 100), 6);
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment, &seen, 100), 0);
    tern_subscription_close(subscription);
    tear_down(&seen);
}

static int retired_count(void) {
    int count = 0;
    for (const struct client_retired *r = client->retired; r != NULL; r = r->next) {
        count++;
    }
    return count;
}

static void on_fragment_asking(void *context, const uint8_t *buffer, int32_t length,
                               const tern_header *header) {
    on_fragment(context, buffer, length, header);
    image_goes(901); /* the very image that is being polled */
    cr_assert_eq(tern_subscription_image_count(subscription), 0);
    fake_driver_advance(&driver, 4 * NS_PER_S);
    (void)tern_client_do_work(client);
    cr_assert_gt(retired_count(), 0); /* the poll around us still uses the list */
}

Test(subscription, keeps_what_a_poll_may_still_use) {
    struct seen seen = {0};
    set_up(&seen);
    image_comes(901, 1);
    cr_assert_eq(retired_count(), 1);
    fake_driver_advance(&driver, NS_PER_S);
    (void)tern_client_do_work(client);
    cr_assert_eq(retired_count(), 1); /* no poll told that it left the empty list */
    put_message(&driver.logs[0], 0, 1);
    put_message(&driver.logs[0], 64, 1);
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment_asking, &seen, 10), 1);
    cr_assert_eq(seen.fragments, 1); /* a closed image delivers no more */
    tern_image_release(seen.kept);
    seen.kept = NULL;
    (void)tern_client_do_work(client);
    cr_assert_eq(client->logs.count, 1);
    (void)tern_subscription_poll(subscription, on_fragment, &seen, 10);
    (void)tern_client_do_work(client);
    cr_assert_eq(retired_count(), 0);
    cr_assert_eq(client->logs.count, 0); /* unmapped */
    /* the other way round: acknowledged first, then the linger passes */
    image_comes(902, 2);
    image_goes(902);
    (void)tern_subscription_poll(subscription, on_fragment, &seen, 10);
    (void)tern_client_do_work(client);
    cr_assert_eq(retired_count(), 1);
    fake_driver_advance(&driver, 3 * NS_PER_S);
    (void)tern_client_do_work(client);
    cr_assert_eq(retired_count(), 0);
    tern_subscription_close(subscription);
    tear_down(&seen);
}

Test(subscription, may_be_closed_by_its_own_handlers) {
    for (int is_late = 0; is_late < 2; is_late++) {
        struct seen seen = {.is_closing = is_late == 0};
        set_up(&seen);
        int64_t id = tern_subscription_registration_id(subscription);
        image_comes(901, 1);
        if (is_late != 0) {
            seen.is_closing = true;
            image_goes(901);
            cr_assert_eq(seen.unavailable, 1);
        }
        cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_SUBSCRIPTION)->registration_id, id);
        cr_assert_eq(client->subscriptions.count, 0);
        cr_assert(tern_image_is_closed(seen.kept));
        (void)tern_client_do_work(client);
        tear_down(&seen);
    }
}

Test(subscription, leaves_images_and_handles_usable_behind_the_client) {
    struct seen seen = {0};
    set_up(&seen);
    image_comes(901, 1);
    put_message(&driver.logs[0], 0, 1);
    tern_client_close(client);
    fake_driver_close(&driver); /* unmaps and removes the driver's side */
    cr_assert(tern_subscription_is_closed(subscription));
    cr_assert_eq(tern_subscription_poll(subscription, on_fragment, &seen, 10), 0);
    cr_assert_eq(tern_subscription_image_count(subscription), 0);
    cr_assert_eq(tern_subscription_channel_status(subscription), TERN_CHANNEL_STATUS_ERRORED);
    cr_assert_eq(tern_image_poll(seen.kept, on_fragment, &seen, 10), 0);
    cr_assert_eq(tern_image_position(seen.kept), 0);
    tern_subscription_close(subscription);
    cr_assert_eq(tern_image_position(seen.kept), 0);
    tern_image_release(seen.kept);
}

Test(subscription, tells_where_it_listens) {
    static const struct {
        const char *channel;
        const char *address; /* NULL: none */
        int64_t status;
        const char *resolved; /* NULL: not known yet */
    } cases[] = {
        {"aeron:udp?endpoint=localhost:0|mtu=1408", "127.0.0.1:54321", 1,
         "aeron:udp?mtu=1408|endpoint=localhost:54321"},
        {"aeron:udp?endpoint=localhost:0", NULL, 1, NULL},
        {"aeron:udp?endpoint=localhost:0", "127.0.0.1:54321", 0, NULL},
        {"aeron:udp?endpoint=[::1]:0", "[::1]:7", 1, "aeron:udp?endpoint=[::1]:7"},
        {"aeron:udp?endpoint=localhost:20121", "127.0.0.1:20121", 1,
         "aeron:udp?endpoint=localhost:20121"},
        {"aeron:ipc", NULL, 1, "aeron:ipc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_driver_open(&driver, "listen");
        client = fake_driver_connect(&driver);
        int32_t status_id = fake_driver_add_counter(&driver, COUNTER_TYPE_RECEIVE_CHANNEL_STATUS, 1,
                                                    cases[i].status);
        if (cases[i].address != NULL) {
            uint8_t key[COUNTER_KEY_LENGTH_MAX];
            int32_t length = counter_sockaddr_key(key, status_id, cases[i].address);
            const struct counter_params params = {.type_id = COUNTER_TYPE_LOCAL_SOCKADDR,
                                                  .key = key,
                                                  .key_length = length,
                                                  .label = "",
                                                  .initial_value = 1};
            cr_assert_geq(counters_manager_allocate(&driver.counters, &params, 0), 0);
        }
        tern_async *async = tern_client_async_add_subscription(
            client, &(struct tern_subscription_params){.channel = cases[i].channel, .stream_id = 1},
            NULL);
        fake_driver_send_subscription(&driver, tern_async_registration_id(async), status_id);
        (void)tern_client_do_work(client);
        cr_assert_eq(tern_async_poll_subscription(async, &subscription, NULL), 1);
        char channel[256] = "";
        int length = tern_subscription_resolved_channel(subscription, channel, sizeof channel);
        if (cases[i].resolved == NULL) {
            cr_assert_eq(length, 0, "case %zu", i);
        } else {
            cr_assert_eq(length, (int)strlen(cases[i].resolved), "case %zu", i);
            cr_assert_str_eq(channel, cases[i].resolved);
            cr_assert_lt(tern_subscription_resolved_channel(subscription, channel, 9), 0);
        }
        char address[TERN_ADDRESS_TEXT_MAX];
        if (cases[i].address != NULL && cases[i].status == 1) {
            cr_assert_eq(tern_subscription_resolved_endpoint(subscription, address), 1);
            cr_assert_str_eq(address, cases[i].address);
        }
        cr_assert_eq(tern_subscription_channel_status(subscription), cases[i].status);
        tern_subscription_close(subscription);
        tern_client_close(client);
        fake_driver_close(&driver);
    }
}

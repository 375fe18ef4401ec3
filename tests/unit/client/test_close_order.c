#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "lib/fake_driver.h"

/* Every kind of handle, closed before or after the client, in both orders, while the client lives
 * and after it ended by itself. After each close everything that is still open is used. What is
 * asserted here is that calls answer as documented; that nothing freed is touched is for the
 * address sanitizer, under which this runs, too. */
static struct fake_driver driver;

struct handles {
    tern_client *client;
    tern_publication *publication;
    tern_exclusive_publication *exclusive;
    tern_subscription *subscription;
    tern_image *image; /* a reference of its own */
    tern_counter *counter;
    tern_counter *static_counter;
    tern_async *pending; /* never answered */
    tern_async *done;    /* answered, never polled */
    tern_fragment_assembler *assembler;
    bool has_ended;
};

static void ignore(void *context, const uint8_t *buffer, int32_t length,
                   const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    (void)header;
}

static void use_publications(const struct handles *h) {
    struct tern_publication_constants constants;
    char addresses[2][TERN_ADDRESS_TEXT_MAX];
    if (h->publication != NULL) {
        int64_t result = tern_publication_offer(h->publication, "abc", 3);
        cr_assert(h->has_ended ? result == TERN_PUBLICATION_CLOSED : result > 0);
        cr_assert_eq(tern_publication_is_closed(h->publication), h->has_ended);
        cr_assert_eq(tern_publication_position_limit(h->publication) < 0, h->has_ended);
        (void)tern_publication_channel_status(h->publication);
        (void)tern_publication_local_addresses(h->publication, addresses, 2);
        tern_publication_get_constants(h->publication, &constants);
        cr_assert_str_eq(constants.channel, "aeron:ipc");
    }
    if (h->exclusive != NULL) {
        struct tern_buffer_claim claim;
        int64_t result = tern_exclusive_publication_try_claim(h->exclusive, 8, &claim);
        cr_assert(h->has_ended ? result == TERN_PUBLICATION_CLOSED : result > 0);
        if (result > 0) {
            tern_buffer_claim_commit(&claim);
        }
        cr_assert_eq(tern_exclusive_publication_is_closed(h->exclusive), h->has_ended);
        (void)tern_exclusive_publication_is_connected(h->exclusive);
        (void)tern_exclusive_publication_available_window(h->exclusive);
    }
}

static void use_subscription(const struct handles *h) {
    char text[256];
    if (h->subscription == NULL) {
        return;
    }
    cr_assert_eq(tern_subscription_is_closed(h->subscription), h->has_ended);
    (void)tern_subscription_poll(h->subscription, tern_fragment_assembler_on_fragment, h->assembler,
                                 1);
    cr_assert_eq(tern_subscription_image_count(h->subscription), h->has_ended ? 0 : 1);
    tern_image *image = tern_subscription_image_at_index(h->subscription, 0);
    cr_assert_eq(image == NULL, h->has_ended);
    tern_image_release(image);
    (void)tern_subscription_wait(h->subscription, 0);
    (void)tern_subscription_resolved_channel(h->subscription, text, sizeof text);
    struct tern_error error;
    tern_async *async =
        tern_subscription_async_add_destination(h->subscription, "aeron:ipc", &error);
    cr_assert_eq(async == NULL, h->has_ended);
    tern_async_cancel(async);
}

static void use_image(const struct handles *h) {
    if (h->image == NULL) {
        return;
    }
    bool is_closed = h->has_ended || h->subscription == NULL;
    cr_assert_eq(tern_image_is_closed(h->image), is_closed);
    cr_assert_geq(tern_image_position(h->image), 0);
    cr_assert_str_eq(tern_image_source_identity(h->image), "127.0.0.1:54321");
    (void)tern_image_end_of_stream_position(h->image);
    (void)tern_image_is_revoked(h->image);
    int result = tern_image_set_position(h->image, tern_image_position(h->image));
    cr_assert_eq(result, is_closed ? TERN_ERROR_CLOSED : 0);
    int fragments = tern_image_poll(h->image, ignore, NULL, 1);
    cr_assert(!is_closed || fragments == 0);
    result = tern_image_reject(h->image, "why", NULL);
    cr_assert_eq(result, is_closed ? TERN_ERROR_CLOSED : 0);
}

static void use_counters(const struct handles *h) {
    tern_counter *const counters[] = {h->counter, h->static_counter};
    for (int i = 0; i < 2; i++) {
        if (counters[i] != NULL) {
            cr_assert_eq(tern_counter_is_closed(counters[i]), h->has_ended);
            tern_counter_set(counters[i], 5);
            cr_assert_eq(tern_counter_value(counters[i]), h->has_ended ? 0 : 5);
            cr_assert_neq(*tern_counter_address(counters[i]), INT64_MIN);
        }
    }
}

static void use_all(const struct handles *h) {
    if (h->client != NULL) {
        fake_driver_advance(&driver, NS_PER_MS);
        (void)tern_client_do_work(h->client);
        cr_assert_eq(tern_client_is_closed(h->client), h->has_ended);
    }
    use_publications(h);
    use_subscription(h);
    use_image(h);
    use_counters(h);
    while (fake_driver_next(&driver) != NULL) {
    }
}

static tern_counter *add_counter(struct handles *h, bool is_static) {
    const struct tern_counter_params params = {.type_id = 1001, .label = "c", .label_length = 1};
    tern_async *async = is_static
                            ? tern_client_async_add_static_counter(h->client, &params, 77, NULL)
                            : tern_client_async_add_counter(h->client, &params, NULL);
    int64_t id = tern_async_registration_id(async);
    fake_driver_send(&driver,
                     &(struct response){
                         .type = is_static ? RESPONSE_STATIC_COUNTER : RESPONSE_COUNTER_READY,
                         .correlation_id = id,
                         .counter_id = fake_driver_add_counter(&driver, 1001, id, 0),
                     });
    (void)tern_client_do_work(h->client);
    tern_counter *counter = NULL;
    cr_assert_eq(tern_async_poll_counter(async, &counter, NULL), 1);
    return counter;
}

static void open_all(struct handles *h) {
    int32_t limits[2];
    const struct tern_subscription_params params = {.channel = "aeron:ipc",
                                                    .stream_id = FAKE_STREAM};
    *h = (struct handles){.client = fake_driver_connect(&driver)};
    h->publication = fake_driver_add_publication(&driver, h->client, &limits[0]);
    h->exclusive = fake_driver_add_exclusive(&driver, h->client, &limits[1]);
    for (int i = 0; i < 2; i++) {
        *counters_manager_address(&driver.counters, limits[i]) = 60000;
    }
    h->subscription = fake_driver_add_subscription(&driver, h->client, &params);
    (void)fake_driver_send_image(&driver, tern_publication_registration_id(h->publication),
                                 tern_subscription_registration_id(h->subscription), FAKE_SESSION,
                                 0);
    (void)tern_client_do_work(h->client);
    h->image = tern_subscription_image_at_index(h->subscription, 0);
    h->counter = add_counter(h, false);
    h->static_counter = add_counter(h, true);
    h->pending = tern_client_async_add_subscription(h->client, &params, NULL);
    h->done = tern_client_async_add_subscription(h->client, &params, NULL);
    fake_driver_send_subscription(&driver, tern_async_registration_id(h->done), -1);
    h->assembler = tern_fragment_assembler_create(ignore, NULL);
}

/* A request that nobody cancels is polled to its end instead. */
static void finish_async(const struct handles *h, tern_async *async, bool is_cancelled) {
    tern_subscription *made = NULL;
    int result = is_cancelled ? 0 : tern_async_poll_subscription(async, &made, NULL);
    if (result == 0) {
        tern_async_cancel(async);
    }
    cr_assert(result == 0 || result == 1 || h->has_ended);
    tern_subscription_close(made);
}

#define KIND_COUNT 8

static void close_kind(struct handles *h, int kind, bool is_cancelled) {
    switch (kind) {
    case 0:
        tern_publication_close(h->publication);
        h->publication = NULL;
        return;
    case 1:
        tern_exclusive_publication_close(h->exclusive);
        h->exclusive = NULL;
        return;
    case 2:
        tern_subscription_close(h->subscription);
        h->subscription = NULL;
        return;
    case 3:
        tern_image_release(h->image);
        h->image = NULL;
        return;
    case 4:
        tern_counter_close(h->counter);
        h->counter = NULL;
        return;
    case 5:
        tern_counter_close(h->static_counter);
        h->static_counter = NULL;
        return;
    case 6:
        finish_async(h, h->pending, is_cancelled);
        return;
    default:
        finish_async(h, h->done, is_cancelled);
        return;
    }
}

/* What is in `kinds`, in ascending or descending order. */
static void close_kinds(struct handles *h, unsigned kinds, bool is_reverse) {
    for (int i = 0; i < KIND_COUNT; i++) {
        int kind = is_reverse ? KIND_COUNT - 1 - i : i;
        if ((kinds >> kind & 1) != 0) {
            close_kind(h, kind, is_reverse);
            use_all(h);
        }
    }
}

enum ending { ENDING_NONE, ENDING_TIMEOUT, ENDING_DRIVER_STOPPED, ENDING_COUNT };

static void end_client(struct handles *h, enum ending ending) {
    if (ending == ENDING_TIMEOUT) {
        fake_driver_send(&driver, &(struct response){.type = RESPONSE_CLIENT_TIMEOUT,
                                                     .correlation_id = tern_client_id(h->client)});
    } else if (ending == ENDING_DRIVER_STOPPED) {
        fake_driver_advance(&driver, NS_PER_S); /* a keepalive is due */
        ring_mpsc_set_consumer_heartbeat(&driver.ring, -1);
    } else {
        return;
    }
    for (int i = 0; i < 20 && !tern_client_is_closed(h->client); i++) {
        (void)tern_client_do_work(h->client);
    }
    h->has_ended = true;
}

Test(close_order, handles_and_client_close_in_every_order, .timeout = 100) {
    for (unsigned run = 0; run < ENDING_COUNT * 2U << KIND_COUNT; run++) {
        unsigned first = run & ((1U << KIND_COUNT) - 1);
        bool is_reverse = (run >> KIND_COUNT & 1) != 0;
        struct handles h;
        fake_driver_open(&driver, "close");
        open_all(&h);
        use_all(&h);
        close_kinds(&h, first & 0x55U, is_reverse); /* half of them while the client still works */
        end_client(&h, (enum ending)(run >> (KIND_COUNT + 1)));
        use_all(&h);
        close_kinds(&h, first & ~0x55U, is_reverse);
        tern_client_close(h.client);
        h.client = NULL;
        h.has_ended = true;
        use_all(&h);
        close_kinds(&h, ~first, is_reverse);
        tern_fragment_assembler_destroy(h.assembler);
        fake_driver_close(&driver);
    }
}

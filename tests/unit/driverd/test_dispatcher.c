#include <criterion/criterion.h>

#include "driverd/dispatcher.h"

/* The dispatcher never looks into an image. */
static struct image *image_number(uintptr_t number) {
    return (struct image *)(number * 4096);
}

static enum dispatch_verdict data(struct dispatcher *dispatcher, int32_t stream, int32_t session) {
    struct image *image;
    return dispatcher_on_data(dispatcher, stream, session, false, &image);
}

static enum dispatch_verdict setup(struct dispatcher *dispatcher, int32_t stream, int32_t session) {
    struct image *image;
    return dispatcher_on_setup(dispatcher, stream, session, &image);
}

Test(dispatcher, a_session_goes_from_data_over_setup_to_its_image_and_back) {
    struct dispatcher dispatcher;
    struct image *image;
    dispatcher_init(&dispatcher, INT32_MAX);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_DROP, "no interest in the stream");
    cr_assert_eq(setup(&dispatcher, 10, 1), DISPATCH_DROP);
    cr_assert_not(dispatcher_has_interest(&dispatcher));
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, true, 0), 0);
    cr_assert_eq(dispatcher_on_data(&dispatcher, 10, 1, true, &image), DISPATCH_DROP, "EOS");
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_ELICIT_SETUP);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_DROP, "asked once");
    dispatcher_remove_state(&dispatcher, 10, 1, SESSION_STATE_PENDING_SETUP);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_ELICIT_SETUP, "and again after the time-out");
    cr_assert_eq(setup(&dispatcher, 10, 1), DISPATCH_CREATE_IMAGE);
    dispatcher_init_started(&dispatcher, 10, 1);
    cr_assert_eq(setup(&dispatcher, 10, 1), DISPATCH_DROP, "in progress");
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_DROP);
    dispatcher_remove_state(&dispatcher, 10, 1, SESSION_STATE_PENDING_SETUP);
    cr_assert_eq(dispatcher_state(&dispatcher, 10, 1), SESSION_STATE_INIT_IN_PROGRESS,
                 "a late time-out does not disturb");
    cr_assert_eq(dispatcher_add_image(&dispatcher, 10, 1, image_number(1)), 0);
    cr_assert_eq(dispatcher_on_data(&dispatcher, 10, 1, false, &image), DISPATCH_TO_IMAGE);
    cr_assert_eq(image, image_number(1));
    cr_assert_eq(dispatcher_on_setup(&dispatcher, 10, 1, &image), DISPATCH_TO_IMAGE);
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 2), NULL);
    dispatcher_remove_image(&dispatcher, 10, 1, image_number(2), false);
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 1), image_number(1), "not that one");
    dispatcher_remove_image(&dispatcher, 10, 1, image_number(1), true);
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 1), NULL);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_DROP, "cooling down");
    cr_assert_eq(setup(&dispatcher, 10, 1), DISPATCH_DROP);
    dispatcher_remove_state(&dispatcher, 10, 1, SESSION_STATE_COOL_DOWN);
    cr_assert_eq(setup(&dispatcher, 10, 1), DISPATCH_CREATE_IMAGE);
    dispatcher_close(&dispatcher);
}

Test(dispatcher, unwanted_sessions_are_remembered_until_somebody_wants_them) {
    struct dispatcher dispatcher;
    dispatcher_init(&dispatcher, INT32_MAX);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, false, 7), 0);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_DROP);
    cr_assert_eq(dispatcher_state(&dispatcher, 10, 1), SESSION_STATE_NO_INTEREST);
    cr_assert_eq(setup(&dispatcher, 10, 2), DISPATCH_DROP);
    cr_assert_eq(data(&dispatcher, 10, 7), DISPATCH_ELICIT_SETUP);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, false, 1), 0);
    cr_assert_eq(data(&dispatcher, 10, 1), DISPATCH_ELICIT_SETUP);
    cr_assert_eq(setup(&dispatcher, 10, 2), DISPATCH_DROP);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, true, 0), 0);
    cr_assert_eq(setup(&dispatcher, 10, 2), DISPATCH_CREATE_IMAGE);
    dispatcher_close(&dispatcher);
}

Test(dispatcher, removed_interest_drops_what_only_it_wanted) {
    struct dispatcher dispatcher;
    dispatcher_init(&dispatcher, INT32_MAX);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, true, 0), 0);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, false, 7), 0);
    for (int32_t session = 0; session < 100; session++) {
        cr_assert_eq(
            dispatcher_add_image(&dispatcher, 10, session, image_number((uintptr_t)session + 1)),
            0);
    }
    dispatcher_remove_interest(&dispatcher, 10, true, 0);
    for (int32_t session = 0; session < 100; session++) {
        struct image *expected = session == 7 ? image_number(8) : NULL;
        cr_assert_eq(dispatcher_find_image(&dispatcher, 10, session), expected, "%d", session);
    }
    const struct stream_interest *stream = hash_map_get(&dispatcher.streams, 10);
    cr_assert_eq(stream->image_count, 1);
    dispatcher_remove_interest(&dispatcher, 10, false, 7);
    cr_assert_not(dispatcher_has_interest(&dispatcher));
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 7), NULL);
    cr_assert_eq(dispatcher_add_image(&dispatcher, 10, 7, image_number(8)), 0, "too late: fine");
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 7), NULL);
    dispatcher_close(&dispatcher);
}

Test(dispatcher, the_number_of_sessions_is_limited_and_invented_ones_cost_little) {
    struct dispatcher dispatcher;
    dispatcher_init(&dispatcher, 2);
    cr_assert_eq(dispatcher_add_interest(&dispatcher, 10, true, 0), 0);
    cr_assert_eq(dispatcher_add_image(&dispatcher, 10, 1, image_number(1)), 0);
    cr_assert_eq(setup(&dispatcher, 10, 2), DISPATCH_CREATE_IMAGE);
    cr_assert_eq(dispatcher_add_image(&dispatcher, 10, 2, image_number(2)), 0);
    cr_assert_eq(setup(&dispatcher, 10, 3), DISPATCH_LIMIT);
    dispatcher_remove_image(&dispatcher, 10, 1, image_number(1), false);
    cr_assert_eq(setup(&dispatcher, 10, 3), DISPATCH_CREATE_IMAGE);
    for (int32_t session = 100; session < 100 + 2 * DISPATCHER_SESSIONS_MAX; session++) {
        (void)data(&dispatcher, 10, session);
    }
    const struct stream_interest *stream = hash_map_get(&dispatcher.streams, 10);
    cr_assert_eq(stream->sessions.count, DISPATCHER_SESSIONS_MAX);
    cr_assert_eq(dispatcher_find_image(&dispatcher, 10, 2), image_number(2));
    dispatcher_close(&dispatcher);
}

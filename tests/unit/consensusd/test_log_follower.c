/* When a log that does not come on is given up: on the time of the test, looked at as a module
 * does, once per cycle. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "consensusd/log_follower.h"

static struct log_drought drought;
static int64_t now_ns;

/* Cycles of a millisecond; the length of the drought at their end. */
static int64_t look_for(int64_t duration_ns, int64_t position, bool is_dry) {
    int64_t length_ns = 0;
    for (int64_t end = now_ns + duration_ns; now_ns < end; now_ns += NS_PER_MS) {
        length_ns = log_drought_look(&drought, position, is_dry, now_ns);
    }
    return length_ns;
}

static void begin(void) {
    drought = (struct log_drought){0};
    now_ns = 77 * NS_PER_S;
    cr_assert_eq(look_for(NS_PER_S, 4096, false), 0);
}

Test(log_follower, log_that_does_not_come_on_is_a_drought) {
    begin();
    cr_assert_eq(look_for(NS_PER_S, 4096, true), NS_PER_S);
    cr_assert_eq(look_for(NS_PER_S, 4096, true), 2 * NS_PER_S);
}

Test(log_follower, slow_log_is_none) {
    begin();
    for (int i = 1; i < 20; i++) {
        cr_assert_lt(look_for(900 * NS_PER_MS, 4096 + 32 * i, true), 900 * NS_PER_MS);
    }
}

Test(log_follower, log_that_can_be_read_or_is_not_wanted_is_none) {
    begin();
    for (int i = 0; i < 20; i++) {
        cr_assert_lt(look_for(900 * NS_PER_MS, 4096, true), NS_PER_S);
        cr_assert_eq(look_for(NS_PER_MS, 4096, false), 0);
    }
}

Test(log_follower, time_in_which_nobody_looked_does_not_count) {
    begin();
    (void)look_for(900 * NS_PER_MS, 4096, true);
    now_ns += 30 * NS_PER_S; /* stopped, or in an election */
    cr_assert_eq(look_for(NS_PER_MS, 4096, true), 0);
    cr_assert_lt(look_for(900 * NS_PER_MS, 4096, true), NS_PER_S);
}

/* -- an image as the client library shows it -- */

static struct {
    int64_t position;
    bool has_message;
    int64_t padding; /* skipped by a look ahead */
} image;

int64_t __wrap_tern_image_position(const tern_image *of) {
    (void)of;
    return image.position;
}

int64_t __wrap_tern_image_controlled_peek(tern_image *of, int64_t position,
                                          tern_controlled_fragment_handler handler, void *context,
                                          int64_t limit) {
    (void)of;
    cr_assert_eq(position, image.position);
    cr_assert_eq(limit, INT64_MAX);
    if (image.has_message) {
        cr_assert_eq(handler(context, NULL, 0, NULL), TERN_ACTION_ABORT, "nothing is consumed");
    }
    return position + image.padding;
}

Test(log_follower, image_is_dry_when_there_is_neither_message_nor_padding) {
    const struct log_follower follower = {.image = (tern_image *)&image}; /* not looked at */
    image.position = 4096;
    cr_assert(log_follower_is_dry(&follower));
    image.has_message = true;
    cr_assert_not(log_follower_is_dry(&follower));
    image.has_message = false;
    image.padding = 64;
    cr_assert_not(log_follower_is_dry(&follower));
}

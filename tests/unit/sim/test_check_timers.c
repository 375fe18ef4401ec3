/* The checker of timers and service messages: what it lets pass and what it catches. */
#include <criterion/criterion.h>

#include "sim/check_timers.h"

#define SECOND INT64_C(1000000000)

static struct check_timers check;
static struct tern_error problem;

static bool fires(int64_t id, int64_t timestamp, int64_t now_ns) {
    const struct check_timer_event event = {id, timestamp, now_ns, SECOND};
    return check_timers_on_event(&check, &event, &problem);
}

Test(check_timers, an_entry_is_told_once) {
    cr_assert(check_timers_is_new(&check, 64));
    cr_assert_not(check_timers_is_new(&check, 64));
    cr_assert_not(check_timers_is_new(&check, 32), "a node that comes later");
    cr_assert(check_timers_is_new(&check, 96));
}

Test(check_timers, a_timer_fires_once_and_not_before_its_deadline) {
    check_timers_on_schedule(&check, 7, 1000, 0);
    cr_assert_not(fires(7, 999, 0), "too early");
    cr_assert(fires(7, 1000, 0));
    cr_assert_not(fires(7, 1001, 0), "twice");
    cr_assert_not(fires(900, 1001, 0), "never asked for");
    check_timers_close(&check);
}

Test(check_timers, an_overtaken_event_passes_once_and_not_for_long) {
    check_timers_on_schedule(&check, 1, 1000, 0);
    check_timers_on_schedule(&check, 1, 5000, 10 * SECOND);
    cr_assert_not(fires(1, 1000, 12 * SECOND), "the request is known by now");
    cr_assert(fires(1, 1000, 10 * SECOND + 1));
    cr_assert_not(fires(1, 1000, 10 * SECOND + 2));
    cr_assert(fires(1, 5000, 20 * SECOND), "the later schedule stands");
    cr_assert_eq(check.stale_count, 1);
    check_timers_close(&check);
}

Test(check_timers, a_cancelled_timer_is_over) {
    check_timers_on_schedule(&check, 1, 1000, 0);
    check_timers_on_cancel(&check, 1, 5 * SECOND);
    check_timers_on_cancel(&check, 2, 5 * SECOND);
    cr_assert(check_timers_at_end(&check, 9999, &problem));
    cr_assert_not(fires(1, 1000, 7 * SECOND));
    cr_assert(fires(1, 1000, 5 * SECOND + 9));
    check_timers_close(&check);
}

Test(check_timers, what_fired_for_a_later_schedule_is_not_overtaken_any_more) {
    check_timers_on_schedule(&check, 1, 1000, 0);
    check_timers_on_schedule(&check, 1, 500, 1);
    cr_assert(fires(1, 600, 2), "not of the first");
    cr_assert_not(fires(1, 1000, 3));
    check_timers_close(&check);
}

Test(check_timers, an_event_may_be_of_any_schedule_that_is_due) {
    check_timers_on_schedule(&check, 1, 140, 0);
    check_timers_on_schedule(&check, 1, 154, 1);
    check_timers_on_schedule(&check, 1, 143, 2);
    cr_assert(fires(1, 153, 3), "of the first or the third");
    cr_assert(check_timers_at_end(&check, 9999, &problem), "it may have been the third");
    check_timers_on_cancel(&check, 1, 4);
    cr_assert(fires(1, 154, 5));
    cr_assert(fires(1, 154, 6));
    cr_assert_not(fires(1, 154, 7), "there were three");
    check_timers_close(&check);
}

Test(check_timers, a_timer_that_is_overdue_at_the_end_is_lost) {
    check_timers_on_schedule(&check, 3, 1000, 0);
    cr_assert(check_timers_at_end(&check, 999, &problem));
    cr_assert_not(check_timers_at_end(&check, 1000, &problem));
    check_timers_close(&check);
}

Test(check_timers, messages_come_once_and_in_order) {
    cr_assert_not(check_timers_on_message(&check, 0, &problem), "not offered");
    check_timers_on_offer(&check);
    check_timers_on_offer(&check);
    check_timers_on_offer(&check);
    cr_assert(check_timers_on_message(&check, 0, &problem));
    cr_assert_not(check_timers_on_message(&check, 0, &problem), "twice");
    cr_assert_not(check_timers_on_message(&check, 2, &problem), "one is lost");
    cr_assert(check_timers_on_message(&check, 1, &problem));
    cr_assert_not(check_timers_at_end(&check, 0, &problem), "the last is outstanding");
    cr_assert(check_timers_on_message(&check, 2, &problem));
    cr_assert(check_timers_at_end(&check, 0, &problem));
}

static void get(const void *context, int64_t index, int64_t *id, int64_t *deadline) {
    const int64_t *pairs = context;
    *id = pairs[2 * index];
    *deadline = pairs[2 * index + 1];
}

Test(check_timers, members_have_the_timers_that_were_asked_for) {
    const int64_t pairs[] = {1, 100, 2, 200};
    struct check_timer_list list = {0, 2, get, pairs};
    check_timers_on_schedule(&check, 1, 100, 0);
    cr_assert_not(check_timers_are_equal(&check, &list, &problem), "one too many");
    check_timers_on_schedule(&check, 2, 201, 0);
    cr_assert_not(check_timers_are_equal(&check, &list, &problem), "another deadline");
    check_timers_on_schedule(&check, 2, 200, 0);
    cr_assert(check_timers_are_equal(&check, &list, &problem));
    list.count = 1;
    cr_assert_not(check_timers_are_equal(&check, &list, &problem), "one is missing");
    check_timers_close(&check);
}

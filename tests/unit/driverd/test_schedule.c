/* When somebody's turn comes. */
#include <criterion/criterion.h>

#include "driverd/schedule.h"

#define START_NS (1000 * NS_PER_S)
#define NODES 1000

static struct schedule schedule;
static struct schedule_node nodes[NODES];

static int take_all(int64_t now_ns) {
    int count = 0;
    while (schedule_take(&schedule, now_ns) != NULL) {
        count++;
    }
    return count;
}

static void start(void) {
    cr_assert_eq(take_all(START_NS), 0);
}

Test(schedule, a_node_is_due_at_the_next_step_after_its_deadline_and_once) {
    start();
    for (int64_t deadline_ns = START_NS + 1; deadline_ns < START_NS + 300 * NS_PER_MS;
         deadline_ns += 7 * NS_PER_MS) {
        schedule_put(&schedule, &nodes[0], deadline_ns);
        int64_t due_ns = schedule_next_ns(&schedule);
        cr_assert_geq(due_ns, deadline_ns);
        cr_assert_lt(due_ns, deadline_ns + SCHEDULE_STEP_NS);
        schedule_remove(&nodes[0]);
        schedule_remove(&nodes[0]);
        cr_assert_eq(schedule_next_ns(&schedule), INT64_MAX);
    }
    schedule_put(&schedule, &nodes[0], START_NS + 95 * NS_PER_MS);
    cr_assert_null(schedule_take(&schedule, START_NS + 100 * NS_PER_MS - 1));
    cr_assert_eq(schedule_take(&schedule, START_NS + 100 * NS_PER_MS), &nodes[0]);
    cr_assert_null(schedule_take(&schedule, START_NS + 2 * NS_PER_S));
}

Test(schedule, a_later_deadline_replaces_the_first) {
    start();
    schedule_put(&schedule, &nodes[0], START_NS + 20 * NS_PER_MS);
    schedule_put(&schedule, &nodes[0], START_NS + 200 * NS_PER_MS);
    cr_assert_eq(take_all(START_NS + 199 * NS_PER_MS), 0);
    cr_assert_eq(take_all(START_NS + 200 * NS_PER_MS), 1);
    schedule_put(&schedule, &nodes[0], START_NS + 300 * NS_PER_MS);
    schedule_put(&schedule, &nodes[0], INT64_MAX);
    cr_assert_eq(schedule_next_ns(&schedule), INT64_MAX);
}

Test(schedule, what_is_far_away_comes_too_early_but_never_late) {
    start();
    schedule_put(&schedule, &nodes[0], START_NS + 60 * NS_PER_S);
    int64_t next_ns = schedule_next_ns(&schedule);
    cr_assert_gt(next_ns, START_NS + (SCHEDULE_SLOTS - 2) * SCHEDULE_STEP_NS);
    cr_assert_lt(next_ns, START_NS + 60 * NS_PER_S);
    cr_assert_eq(take_all(next_ns), 1);
    schedule_put(&schedule, &nodes[0], INT64_MIN);
    cr_assert_leq(schedule_next_ns(&schedule), next_ns + SCHEDULE_STEP_NS);
}

Test(schedule, a_long_pause_makes_everything_due_once) {
    start();
    for (int i = 0; i < NODES; i++) {
        schedule_put(&schedule, &nodes[i], START_NS + i * NS_PER_MS);
    }
    cr_assert_eq(take_all(START_NS + 3600 * NS_PER_S), NODES);
    cr_assert_eq(schedule_next_ns(&schedule), INT64_MAX);
}

Test(schedule, who_is_put_in_again_while_others_are_taken_waits_for_the_next_step) {
    start();
    for (int i = 0; i < 10; i++) {
        schedule_put(&schedule, &nodes[i], START_NS + 10 * NS_PER_MS);
    }
    int64_t now_ns = START_NS + 10 * NS_PER_MS;
    struct schedule_node *node;
    int count = 0;
    while (count < 100 && (node = schedule_take(&schedule, now_ns)) != NULL) {
        schedule_put(&schedule, node, now_ns);
        count++;
    }
    cr_assert_eq(count, 10);
    cr_assert_eq(take_all(now_ns + SCHEDULE_STEP_NS), 10);
}

Test(schedule, what_is_wanted_at_once_comes_first_and_can_be_taken_back) {
    start();
    schedule_put(&schedule, &nodes[0], START_NS + 10 * NS_PER_MS);
    cr_assert_eq(take_all(START_NS), 0);
    schedule_now(&schedule, &nodes[1]);
    schedule_now(&schedule, &nodes[2]);
    cr_assert_eq(schedule_next_ns(&schedule), 0);
    schedule_remove(&nodes[2]);
    cr_assert_eq(schedule_take(&schedule, START_NS), &nodes[1]);
    cr_assert_eq(take_all(START_NS), 0);
    cr_assert_eq(take_all(START_NS + 10 * NS_PER_MS), 1);
}

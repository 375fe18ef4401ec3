/* Which items of a list are visited, and when. */
#include <criterion/criterion.h>

#include "driverd/sweep.h"

#define ITEM_COUNT 1000
#define SLICE_NS (SWEEP_SLICE_MIN * SWEEP_SPACING_NS)
#define START_NS NS_PER_S

struct item {
    int visit_count;
    int work;
    struct sweep_entry entry;
    enum sweep_answer answer;
};

static struct item items[ITEM_COUNT];
static struct pointer_list list;
static struct sweep sweep;
static int pass_count;

static int visit(void *context, void *item, int64_t now_ns) {
    struct item *visited = item;
    (void)context;
    (void)now_ns;
    visited->visit_count++;
    return visited->work;
}

static enum sweep_answer settle(void *context, void *item) {
    const struct item *asked = item;
    (void)context;
    return asked->answer;
}

static const struct sweep_items kind = {offsetof(struct item, entry), visit, settle};

static void fill(int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        cr_assert(sweep_add(&sweep, &list, &kind, &items[i]) == 0);
    }
}

static void clear_counts(void) {
    for (int32_t i = 0; i < ITEM_COUNT; i++) {
        items[i].visit_count = 0;
    }
}

/* One duty cycle. */
static int cycle(int64_t now_ns) {
    int work;
    pass_count = 0;
    sweep_begin(&sweep, &list, now_ns);
    do {
        work = sweep_run(&sweep, &list, &kind, NULL, now_ns);
        pass_count++;
    } while (work == 0 && !sweep_is_over(&sweep));
    return work;
}

static int32_t index_of(const struct item *item) {
    int32_t index = 0;
    while (list.items[index] != item) {
        index++;
    }
    return index;
}

Test(sweep, a_cycle_without_work_has_seen_every_item_once) {
    fill(ITEM_COUNT);
    for (int round = 1; round <= 3; round++) {
        cr_assert_eq(cycle(START_NS * round), 0);
        cr_assert_leq(pass_count, 7); /* slices double */
        for (int i = 0; i < ITEM_COUNT; i++) {
            cr_assert_eq(items[i].visit_count, round, "item %d", i);
        }
    }
    pointer_list_close(&list);
}

Test(sweep, an_empty_list_and_a_short_one_take_one_pass) {
    cr_assert_eq(cycle(START_NS), 0);
    cr_assert_eq(pass_count, 1);
    fill(SWEEP_SLICE_MIN);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(cycle(START_NS + i * SLICE_NS), 0);
        cr_assert_eq(pass_count, 1);
        cr_assert_eq(items[SWEEP_SLICE_MIN - 1].visit_count, i);
    }
    pointer_list_close(&list);
}

Test(sweep, a_cycle_ends_when_what_it_has_not_seen_is_gone) {
    fill(3);
    sweep_begin(&sweep, &list, START_NS);
    cr_assert_not(sweep_is_over(&sweep));
    while (list.count > 0) {
        sweep_remove_at(&sweep, &list, &kind, 0);
    }
    cr_assert_eq(sweep_run(&sweep, &list, &kind, NULL, START_NS), 0);
    cr_assert(sweep_is_over(&sweep));
    pointer_list_close(&list);
}

Test(sweep, shortly_after_a_whole_look_a_cycle_is_a_single_pass) {
    fill(ITEM_COUNT);
    cr_assert_eq(cycle(START_NS), 0);
    cr_assert_eq(cycle(START_NS + SWEEP_PERIOD_NS - 1), 0);
    cr_assert_eq(pass_count, 1);
    cr_assert_eq(cycle(START_NS + SWEEP_PERIOD_NS), 0);
    cr_assert_gt(pass_count, 1);
    pointer_list_close(&list);
}

Test(sweep, an_item_with_work_is_visited_in_every_pass_and_the_rest_by_turns) {
    fill(ITEM_COUNT);
    items[700].work = 5;
    cr_assert_eq(cycle(START_NS), 5);
    cr_assert_eq(sweep.busy_count, 1);
    clear_counts();
    const int passes = ITEM_COUNT / SWEEP_SLICE_MIN + 1;
    for (int i = 0; i < passes; i++) {
        cr_assert_eq(cycle(START_NS + (i + 1) * SLICE_NS), 5);
        cr_assert_eq(pass_count, 1);
    }
    cr_assert_eq(items[700].visit_count, passes);
    for (int i = 0; i < ITEM_COUNT; i++) {
        cr_assert_geq(items[i].visit_count, 1, "item %d is starved", i);
        cr_assert(i == 700 || items[i].visit_count <= 2);
    }
    pointer_list_close(&list);
}

Test(sweep, an_item_stays_busy_for_a_while_after_its_last_work) {
    fill(ITEM_COUNT);
    items[3].work = 1;
    (void)cycle(START_NS);
    items[3].work = 0;
    (void)cycle(START_NS + SWEEP_BUSY_NS - 1);
    cr_assert_eq(sweep.busy_count, 1);
    (void)cycle(START_NS + 2 * SWEEP_BUSY_NS);
    cr_assert_eq(sweep.busy_count, 0);
    clear_counts();
    cr_assert_eq(cycle(START_NS + 3 * SWEEP_BUSY_NS), 0);
    cr_assert_eq(items[3].visit_count, 1);
    pointer_list_close(&list);
}

Test(sweep, what_is_expected_to_work_is_busy_at_once) {
    fill(ITEM_COUNT);
    sweep_promote(&sweep, &list, &kind, &items[900], START_NS);
    sweep_promote(&sweep, &list, &kind, &items[900], START_NS);
    cr_assert_eq(sweep.busy_count, 1);
    cr_assert_eq(list.items[0], &items[900]);
    sweep_promote(&sweep, &list, &kind, &items[901], START_NS);
    cr_assert_eq(sweep.busy_count, 2);
    sweep_promote(&sweep, &list, &kind, &items[900], START_NS + 2 * SWEEP_BUSY_NS);
    cr_assert_eq(sweep.busy_count, 2, "its time had passed, but it had not been put back");
    pointer_list_close(&list);
}

Test(sweep, the_parts_stay_apart_when_items_are_removed) {
    fill(40);
    for (int i = 0; i < 10; i++) {
        sweep_promote(&sweep, &list, &kind, &items[2 * i], START_NS);
    }
    cr_assert_eq(sweep.busy_count, 10);
    cr_assert(sweep_remove(&sweep, &list, &kind, &items[4]));
    cr_assert(sweep_remove(&sweep, &list, &kind, &items[5]));
    cr_assert_not(sweep_remove(&sweep, &list, &kind, &items[5]));
    cr_assert_eq(sweep.busy_count, 9);
    cr_assert_eq(list.count, 38);
    for (int i = 0; i < 20; i++) {
        if (i != 4 && i != 5) {
            cr_assert_eq(index_of(&items[i]) < sweep.busy_count, i % 2 == 0, "item %d", i);
        }
    }
    for (int32_t i = list.count - 1; i >= 0; i--) { /* as timers do it */
        struct item *item = list.items[i];
        if (++item->visit_count % 2 == 1) {
            sweep_remove_at(&sweep, &list, &kind, i);
        }
    }
    cr_assert_eq(list.count, 0);
    cr_assert_eq(sweep.busy_count, 0);
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(items[i].visit_count, i != 4 && i != 5, "item %d", i);
    }
    pointer_list_close(&list);
}

/* Everybody is asked once in each cycle. */
static int32_t asleep_after_settling(void) {
    sweep.may_sleep = true;
    (void)cycle(START_NS);
    return sweep.asleep_count;
}

Test(sweep, who_sleeps_is_not_visited_until_it_is_woken) {
    fill(40);
    for (int i = 0; i < 40; i++) {
        items[i].answer = i % 4 == 0 ? SWEEP_STAYS_AWAKE : SWEEP_FALLS_ASLEEP;
    }
    cr_assert_eq(asleep_after_settling(), 30);
    cr_assert_eq(sweep_awake_count(&sweep, &list), 10);
    clear_counts();
    cr_assert_eq(cycle(START_NS + SWEEP_PERIOD_NS), 0);
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(items[i].visit_count, i % 4 == 0, "item %d", i);
        cr_assert_eq(sweep_is_asleep(&sweep, &list, &items[i].entry), i % 4 != 0);
        cr_assert_eq(list.items[items[i].entry.index], &items[i]);
    }
    sweep_promote(&sweep, &list, &kind, &items[7], START_NS);
    cr_assert_not(sweep_is_asleep(&sweep, &list, &items[7].entry));
    cr_assert_eq(sweep.busy_count, 1);
    sweep.may_sleep = false;
    clear_counts();
    (void)cycle(START_NS + 2 * SWEEP_PERIOD_NS);
    cr_assert_eq(items[7].visit_count, 1);
    cr_assert_eq(items[6].visit_count, 0);
    sweep_wake_all(&sweep);
    clear_counts();
    (void)cycle(START_NS + 3 * SWEEP_PERIOD_NS);
    cr_assert_eq(items[6].visit_count, 1);
    pointer_list_close(&list);
}

Test(sweep, who_announced_itself_sleeps_only_after_a_barrier_and_another_question) {
    fill(10);
    items[3].answer = SWEEP_ANNOUNCED;
    sweep.barrier_deadline_ns = START_NS + 3 * SWEEP_PERIOD_NS;
    cr_assert_eq(asleep_after_settling(), 0);
    cr_assert_eq(sweep.barrier_count, 0, "too early");
    items[3].answer = SWEEP_FALLS_ASLEEP;
    (void)cycle(START_NS + 2 * SWEEP_PERIOD_NS);
    cr_assert_eq(sweep.asleep_count, 0, "no barrier has passed");
    (void)cycle(START_NS + 4 * SWEEP_PERIOD_NS);
    cr_assert_eq(sweep.barrier_count, 1);
    cr_assert_eq(sweep.asleep_count, 0, "the barrier came after the question");
    (void)cycle(START_NS + 6 * SWEEP_PERIOD_NS);
    cr_assert_eq(sweep.asleep_count, 1);
    cr_assert(sweep_is_asleep(&sweep, &list, &items[3].entry));
    cr_assert_eq(sweep.barrier_count, 1, "nobody else needs one");
    pointer_list_close(&list);
}

Test(sweep, who_is_busy_is_not_asked) {
    fill(10);
    for (int i = 0; i < 10; i++) {
        items[i].answer = SWEEP_FALLS_ASLEEP;
    }
    sweep_promote(&sweep, &list, &kind, &items[4], START_NS);
    cr_assert_eq(asleep_after_settling(), 9);
    cr_assert_eq(sweep.busy_count, 1);
    cr_assert_not(sweep_is_asleep(&sweep, &list, &items[4].entry));
    (void)cycle(START_NS + 2 * SWEEP_BUSY_NS); /* not any more */
    (void)cycle(START_NS + 3 * SWEEP_BUSY_NS);
    cr_assert_eq(sweep.asleep_count, 10);
    pointer_list_close(&list);
}

Test(sweep, a_busy_thread_visits_the_rest_at_a_pace) {
    fill(ITEM_COUNT);
    items[0].work = 1;
    sweep_promote(&sweep, &list, &kind, &items[0], START_NS);
    int visits = 0;
    for (int i = 0; i < 100; i++) { /* duty cycles of 2 us */
        clear_counts();
        sweep_begin(&sweep, &list, START_NS + i * 2 * SWEEP_SPACING_NS);
        (void)sweep_run(&sweep, &list, &kind, NULL, START_NS + i * 2 * SWEEP_SPACING_NS);
        for (int k = 1; k < ITEM_COUNT; k++) {
            visits += items[k].visit_count;
        }
    }
    cr_assert(visits >= 200 && visits <= 200 + SWEEP_SLICE_MIN, "%d visits", visits);
    pointer_list_close(&list);
}

Test(sweep, items_come_and_go_while_others_sleep) {
    fill(20);
    for (int i = 0; i < 20; i++) {
        items[i].answer = i % 2 == 0 ? SWEEP_STAYS_AWAKE : SWEEP_FALLS_ASLEEP;
    }
    cr_assert_eq(asleep_after_settling(), 10);
    cr_assert_eq(sweep_add(&sweep, &list, &kind, &items[20]), 0);
    cr_assert_not(sweep_is_asleep(&sweep, &list, &items[20].entry), "a new one is awake");
    cr_assert_eq(sweep.asleep_count, 10);
    cr_assert(sweep_remove(&sweep, &list, &kind, &items[1]));
    cr_assert(sweep_remove(&sweep, &list, &kind, &items[2]));
    cr_assert_not(sweep_remove(&sweep, &list, &kind, &items[1]));
    cr_assert_eq(sweep.asleep_count, 9);
    sweep_promote(&sweep, &list, &kind, &items[4], START_NS);
    cr_assert(sweep_remove(&sweep, &list, &kind, &items[4]));
    cr_assert_eq(sweep.busy_count, 0);
    cr_assert_eq(list.count, 18);
    while (list.count > 9) { /* from the end of the awake, down to none */
        cr_assert(
            sweep_remove(&sweep, &list, &kind, list.items[sweep_awake_count(&sweep, &list) - 1]));
        for (int32_t i = 0; i < list.count; i++) {
            cr_assert_eq(((struct item *)list.items[i])->entry.index, i);
        }
    }
    cr_assert_eq(sweep_awake_count(&sweep, &list), 0);
    for (int i = 3; i <= 19; i += 2) {
        cr_assert_eq(list.items[items[i].entry.index], &items[i], "item %d", i);
        cr_assert(sweep_is_asleep(&sweep, &list, &items[i].entry));
    }
    pointer_list_close(&list);
}

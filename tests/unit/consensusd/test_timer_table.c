/* Timers by the log: whatever the order in which requests and events come, every member ends with
 * the same timers (cluster.md 3.11, 3.16; bug 14 of the original). */
#include <criterion/criterion.h>
#include <errno.h>

#include "consensusd/timer_table.h"

#define CAPACITY 64

static struct timer_table make(int32_t capacity) {
    struct timer_table table;
    struct tern_error error;
    cr_assert_eq(timer_table_init(&table, capacity, &error), 0);
    return table;
}

static void schedule(struct timer_table *table, int64_t id, int64_t deadline, int64_t position) {
    cr_assert_eq(timer_table_schedule(table, id, deadline, position), 0);
}

/* As a leader does it. */
static int64_t fire(struct timer_table *table, int64_t now, int64_t position) {
    const struct timer *timer = timer_table_due(table, now);
    if (timer == NULL) {
        return -1;
    }
    int64_t id = timer->id;
    timer_table_on_event(table, id, position, timer_table_event_time(table, now));
    return id;
}

Test(timer_table, timers_are_due_in_the_order_of_deadline_and_id_and_never_before) {
    struct timer_table table = make(CAPACITY);
    schedule(&table, 3, 100, 32);
    schedule(&table, -7, 50, 32);
    schedule(&table, 2, 100, 32);
    schedule(&table, 9, 101, 32);
    cr_assert_null(timer_table_due(&table, 49));
    cr_assert_eq(fire(&table, 100, 64), -7);
    cr_assert_eq(fire(&table, 100, 128), 2);
    cr_assert_eq(fire(&table, 100, 192), 3);
    cr_assert_eq(fire(&table, 100, 256), -1);
    cr_assert_eq(fire(&table, 101, 256), 9);
    cr_assert_eq(fire(&table, INT64_MAX, 320), -1, "each fires once");
    timer_table_close(&table);
}

Test(timer_table, scheduling_again_moves_and_cancelling_removes) {
    struct timer_table table = make(CAPACITY);
    schedule(&table, 1, 100, 32);
    schedule(&table, 2, 200, 32);
    schedule(&table, 1, 300, 64);
    schedule(&table, 2, 50, 96);
    cr_assert_eq(table.scheduled_count, 2);
    cr_assert_eq(fire(&table, 100, 128), 2);
    cr_assert_eq(fire(&table, 299, 192), -1);
    timer_table_cancel(&table, 1);
    timer_table_cancel(&table, 1);
    timer_table_cancel(&table, 77);
    cr_assert_eq(fire(&table, 1000, 192), -1);
    timer_table_forget(&table, 128);
    cr_assert_eq(table.used_count, 0, "nothing is kept");
    timer_table_close(&table);
}

/* A periodic timer of a service that lags two events behind. */
Test(timer_table, requests_that_the_log_has_fulfilled_already_schedule_nothing) {
    for (int is_known = 0; is_known < 2; is_known++) {
        struct timer_table table = make(CAPACITY);
        timer_table_on_event(&table, 5, 200, 110);
        timer_table_on_event(&table, 5, 400, 215);
        schedule(&table, 5, 100, is_known ? 64 : TIMER_NO_POSITION);
        schedule(&table, 5, 210, is_known ? 200 : TIMER_NO_POSITION);
        cr_assert_eq(table.scheduled_count, 0);
        schedule(&table, 5, 315, is_known ? 400 : TIMER_NO_POSITION);
        cr_assert_eq(table.scheduled_count, 1);
        cr_assert_eq(timer_table_due(&table, 315)->id, 5);
        timer_table_close(&table);
    }
}

/* In answer to its event a service asks for a time that has passed: it is to fire once more. */
Test(timer_table, request_made_at_the_event_is_a_new_one_however_early_its_deadline) {
    struct timer_table table = make(CAPACITY);
    schedule(&table, 5, 100, 64);
    cr_assert_eq(fire(&table, 500, 128), 5);
    schedule(&table, 5, 200, 128);
    cr_assert_eq(fire(&table, 500, 192), 5);
    schedule(&table, 5, 300, 128);
    cr_assert_eq(fire(&table, 500, 256), -1, "it stands before the event, which fulfilled it");
    timer_table_close(&table);
}

/* The service moved it before it saw the event of the earlier deadline. */
Test(timer_table, event_of_an_earlier_schedule_leaves_a_timer_that_was_moved) {
    struct timer_table leader = make(CAPACITY);
    struct timer_table follower = make(CAPACITY);
    schedule(&leader, 5, 100, 32);
    cr_assert_eq(fire(&leader, 100, 256), 5);
    schedule(&leader, 5, 900, 64);
    schedule(&follower, 5, 100, 32);
    schedule(&follower, 5, 900, 64);
    timer_table_on_event(&follower, 5, 256, 100);
    cr_assert_eq(leader.scheduled_count, 1);
    cr_assert_eq(follower.scheduled_count, 1);
    cr_assert_eq(fire(&follower, 899, 320), -1);
    cr_assert_eq(fire(&follower, 900, 320), 5);
    timer_table_close(&leader);
    timer_table_close(&follower);
}

Test(timer_table, event_of_a_cancelled_timer_swallows_no_later_request) {
    for (int is_known = 0; is_known < 2; is_known++) {
        struct timer_table table = make(CAPACITY);
        schedule(&table, 5, 100, 32);
        timer_table_cancel(&table, 5);
        timer_table_on_event(&table, 5, 256, 100); /* the leader had appended it before */
        schedule(&table, 5, 700, is_known ? 512 : TIMER_NO_POSITION);
        cr_assert_eq(table.scheduled_count, 1);
        timer_table_close(&table);
    }
}

Test(timer_table, lost_events_are_due_again_unless_cancelled_or_moved) {
    struct timer_table table = make(CAPACITY);
    for (int64_t id = 1; id <= 4; id++) {
        schedule(&table, id, 100 + id, 32);
    }
    for (int64_t position = 64; position <= 256; position += 64) {
        cr_assert_gt(fire(&table, 200, position), 0);
    }
    timer_table_cancel(&table, 3);
    schedule(&table, 4, 900, 32);
    timer_table_roll_back(&table, 64);
    cr_assert_eq(table.scheduled_count, 2, "the event of 1 was committed, 3 is cancelled");
    cr_assert_eq(timer_table_due(&table, 102)->id, 2, "at its own deadline");
    timer_table_on_event(&table, 2, 128, 200); /* it was in the log after all */
    cr_assert_eq(timer_table_due(&table, 900)->id, 4);
    timer_table_close(&table);
}

Test(timer_table, request_fulfilled_by_an_event_that_is_lost_is_due_again) {
    struct timer_table table = make(CAPACITY);
    schedule(&table, 1, 100, 32);
    cr_assert_eq(fire(&table, 200, 96), 1);
    schedule(&table, 1, 150, 64); /* from before the event */
    cr_assert_eq(table.scheduled_count, 0);
    timer_table_roll_back(&table, 64);
    cr_assert_null(timer_table_due(&table, 149));
    cr_assert_eq(timer_table_due(&table, 150)->id, 1);
    timer_table_close(&table);
}

Test(timer_table, full_table_refuses_more_until_a_timer_is_forgotten) {
    struct timer_table table = make(8);
    for (int64_t id = 0; id < 8; id++) {
        schedule(&table, id, 10 * id, 32);
    }
    cr_assert_eq(timer_table_schedule(&table, 8, 5, 32), -ENOSPC);
    schedule(&table, 7, 5, 32); /* a known one can be moved */
    cr_assert_eq(fire(&table, 0, 64), 0);
    schedule(&table, 8, 5, 32); /* the memory of an event makes room */
    cr_assert_eq(table.lost_count, 0);
    timer_table_cancel(&table, 3);
    schedule(&table, 11, 3, 64);
    cr_assert_eq(table.used_count, 8);
    timer_table_close(&table);
}

Test(timer_table, event_time_never_goes_back) {
    struct timer_table table = make(CAPACITY);
    timer_table_on_event(&table, 1, 64, 5000); /* by a leader whose clock was ahead */
    cr_assert_eq(timer_table_event_time(&table, 4000), 5000);
    cr_assert_eq(timer_table_event_time(&table, 6000), 6000);
    timer_table_close(&table);
}

/* -- a log, a leader and a member, each with a service that lags as it likes -- */

#define IDS 5
#define STEPS 400

struct request {
    int64_t position;
    int64_t id;
    int64_t deadline; /* -1: cancel */
};
struct event {
    int64_t position;
    int64_t id;
    int64_t timestamp;
};
struct world {
    unsigned state;
    int64_t position; /* end of the log */
    int64_t now;
    struct request requests[STEPS]; /* of the service, a function of the log */
    int request_count;
    struct event events[STEPS];
    int event_count;
};

/* What a member has seen of it. */
struct view {
    struct timer_table table;
    int requests;
    int events;
};

static unsigned draw(struct world *world, unsigned count) {
    world->state = world->state * 1664525 + 1013904223;
    return (world->state >> 16) % count;
}

static void take_request(struct world *world, struct view *view) {
    const struct request *request = &world->requests[view->requests++];
    if (request->deadline < 0) {
        timer_table_cancel(&view->table, request->id);
    } else {
        schedule(&view->table, request->id, request->deadline, request->position);
    }
}

static void take_event(struct world *world, struct view *view) {
    const struct event *event = &world->events[view->events++];
    timer_table_on_event(&view->table, event->id, event->position, event->timestamp);
}

/* A service is given an entry only after its module has read it. */
static bool may_take_request(const struct world *world, const struct view *view) {
    return view->requests < world->request_count &&
           (view->events == world->event_count ||
            world->events[view->events].position > world->requests[view->requests].position);
}

/* The log grows by an entry upon which the service asks for something. */
static void grow(struct world *world) {
    world->position += 64;
    for (unsigned i = draw(world, 3); i > 0; i--) {
        bool is_cancel = draw(world, 4) == 0;
        world->requests[world->request_count++] = (struct request){
            .position = world->position,
            .id = draw(world, IDS),
            .deadline = is_cancel ? -1 : world->now + draw(world, 60) - 20,
        };
    }
}

/* The leader appends an event of the timer that is due first. */
static void append_event(struct world *world, struct view *leader) {
    int64_t id = fire(&leader->table, world->now, world->position + 64);
    if (id >= 0) {
        world->position += 64;
        world->events[world->event_count++] = (struct event){world->position, id, world->now};
        leader->events++;
        if (draw(world, 2) == 0) {
            world->requests[world->request_count++] =
                (struct request){world->position, id, world->now + draw(world, 30) - 10};
        }
    }
}

static bool is_scheduled(const struct timer_table *table, int64_t id, int64_t deadline) {
    for (int32_t i = 0; i < table->scheduled_count; i++) {
        const struct timer *timer = timer_table_at(table, i);
        if (timer->id == id && timer->deadline == deadline) {
            return true;
        }
    }
    return false;
}

static void expect_equal(const struct world *world, struct view *a, struct view *b) {
    cr_assert_eq(a->table.scheduled_count, b->table.scheduled_count, "after %d requests, %d events",
                 world->request_count, world->event_count);
    for (int32_t i = 0; i < a->table.scheduled_count; i++) {
        const struct timer *timer = timer_table_at(&a->table, i);
        cr_assert(is_scheduled(&b->table, timer->id, timer->deadline));
    }
}

static void run(unsigned seed) {
    static struct world world;
    world = (struct world){.state = seed};
    struct view leader = {.table = make(CAPACITY)};
    struct view member = {.table = make(CAPACITY)};
    while (world.request_count < STEPS - 4 && world.event_count < STEPS - 1) {
        world.now += draw(&world, 10);
        switch (draw(&world, 5)) {
        case 0:
            grow(&world);
            break;
        case 1:
            append_event(&world, &leader);
            break;
        case 2:
            if (leader.requests < world.request_count) {
                take_request(&world, &leader);
            }
            break;
        case 3:
            if (member.events < world.event_count) {
                take_event(&world, &member);
            }
            break;
        default:
            if (may_take_request(&world, &member)) {
                take_request(&world, &member);
            }
            break;
        }
    }
    while (leader.requests < world.request_count) {
        take_request(&world, &leader);
    }
    while (member.events < world.event_count || member.requests < world.request_count) {
        bool takes_event = member.events < world.event_count && draw(&world, 2) == 0;
        if (!takes_event && may_take_request(&world, &member)) {
            take_request(&world, &member);
        } else if (member.events < world.event_count) {
            take_event(&world, &member);
        }
    }
    expect_equal(&world, &leader, &member);
    timer_table_close(&leader.table);
    timer_table_close(&member.table);
}

Test(timer_table, members_agree_however_far_their_services_lag) {
    for (unsigned seed = 1; seed <= 2000; seed++) {
        run(seed);
    }
}

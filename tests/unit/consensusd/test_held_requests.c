/* Requests of services that there is no room for: they stay in the control stream, and when nothing
 * can make room any more the node ends with the reason instead of waiting for ever. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "consensusd/consensus.h"

#define TIMEOUT_NS (10 * NS_PER_S)

static int error_count;

void __wrap_consensus_count_error(struct consensus *consensus, const struct tern_error *error) {
    (void)consensus, (void)error;
    error_count++;
}

static const struct consensus_conf conf = {.service_count = 2, .timers_max = 2};

/* There are as many timers as there may be. */
static struct consensus *make(void) {
    struct consensus *consensus = calloc(1, sizeof *consensus);
    struct tern_error error;
    consensus->conf = &conf;
    consensus->now_ns = 77 * NS_PER_S;
    error_count = 0;
    cr_assert_eq(timer_table_init(&consensus->timers, conf.timers_max, &error), 0);
    for (int64_t id = 0; id < conf.timers_max; id++) {
        cr_assert(consensus_on_schedule_timer(consensus, id, 100, 64));
    }
    return consensus;
}

static void end(struct consensus *consensus) {
    timer_table_close(&consensus->timers);
    free(consensus);
}

/* Cycles of a millisecond: service 0 asks for one more each time, service 1 moves its own. */
static void ask_for(struct consensus *consensus, int64_t duration_ns) {
    int64_t end_ns = consensus->now_ns + duration_ns;
    for (; consensus->now_ns < end_ns; consensus->now_ns += NS_PER_MS) {
        cr_assert(!consensus_on_schedule_timer(consensus, 7, 100, 64));
        cr_assert(consensus_on_schedule_timer(consensus, 1, 100, 64));
    }
}

Test(held_requests, request_waits_for_room_and_is_told_of_now_and_then) {
    struct consensus *consensus = make();
    ask_for(consensus, 60 * NS_PER_S);
    cr_assert(!consensus->is_done);
    cr_assert_geq(error_count, 1);
    cr_assert_leq(error_count, 10);
    consensus_on_cancel_timer(consensus, 1, 64);
    cr_assert(consensus_on_schedule_timer(consensus, 7, 100, 64));
    end(consensus);
}

Test(held_requests, node_ends_when_acknowledgements_stand_behind_the_request) {
    struct consensus *consensus = make();
    ask_for(consensus, 60 * NS_PER_S);
    consensus->sync.is_waiting = true;
    ask_for(consensus, TIMEOUT_NS - 10 * NS_PER_MS);
    cr_assert(!consensus->is_done);
    ask_for(consensus, 20 * NS_PER_MS);
    cr_assert(consensus->is_done);
    cr_assert_eq(consensus->exit_status, CONSENSUS_EXIT_REFUSED);
    cr_assert_not_null(strstr(consensus->exit_error.text, "max_timers"));
    end(consensus);
}

Test(held_requests, time_in_which_nobody_looked_does_not_count) {
    struct consensus *consensus = make();
    consensus->sync.is_waiting = true;
    ask_for(consensus, NS_PER_S);
    consensus->now_ns += 30 * NS_PER_S; /* stopped; or another request, much later */
    ask_for(consensus, NS_PER_S);
    cr_assert(!consensus->is_done);
    end(consensus);
}

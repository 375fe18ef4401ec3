#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "driverd/flow_control.h"

#define WINDOW 131072
#define TAG 7

static struct flow_control make(enum flow_control_strategy strategy, int32_t group_size_min) {
    struct flow_control_params params = {strategy, TAG, 5 * NS_PER_S, group_size_min, 4, NULL};
    struct flow_control flow;
    cr_assert_eq(flow_control_init(&flow, &params), 0);
    return flow;
}

static struct flow_control_sm sm(int64_t receiver_id, int64_t position, int64_t window) {
    return (struct flow_control_sm){
        .position = position, .window_bytes = window, .receiver_id = receiver_id};
}

static struct flow_control_sm tagged_sm(int64_t receiver_id, int64_t tag, int64_t position,
                                        int64_t window) {
    struct flow_control_sm message = sm(receiver_id, position, window);
    message.has_group_tag = true;
    message.group_tag = tag;
    return message;
}

Test(flow_control, max_follows_the_farthest_receiver_and_never_goes_back) {
    struct flow_control flow = make(FLOW_CONTROL_MAX, 0);
    struct flow_control_sm first = sm(1, 0, 1024), far = sm(2, 0, 8192), late = sm(1, 0, 1024);
    int64_t limit = flow_control_on_sm(&flow, &first, 0, 0);
    cr_assert_eq(limit, 1024);
    limit = flow_control_on_sm(&flow, &far, limit, 0);
    cr_assert_eq(limit, 8192);
    cr_assert_eq(flow_control_on_sm(&flow, &late, limit, 0), 8192);
    cr_assert_eq(flow_control_on_idle(&flow, limit, 100 * NS_PER_S), 8192);
    cr_assert(flow_control_has_required_receivers(&flow));
    flow_control_close(&flow);
}

/* media-driver.md 9.8 */
Test(flow_control, min_gives_the_limits_of_the_specification) {
    static const struct {
        int64_t receiver, position, window, limit;
        int32_t count;
    } rows[] = {
        {1, 0, WINDOW, 131072, 1},     {2, 0, WINDOW, 131072, 2}, {1, 65536, WINDOW, 131072, 2},
        {2, 32768, WINDOW, 163840, 2}, {3, 0, 16384, 163840, 2}, /* too far behind: not admitted */
        {4, 1000, WINDOW, 163840, 3},
    };
    struct flow_control flow = make(FLOW_CONTROL_MIN, 0);
    int64_t limit = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_control_sm message = sm(rows[i].receiver, rows[i].position, rows[i].window);
        limit = flow_control_on_sm(&flow, &message, limit, (int64_t)i * NS_PER_S);
        cr_assert_eq(limit, rows[i].limit, "row %zu: %lld", i, (long long)limit);
        cr_assert_eq(flow.receiver_count, rows[i].count, "row %zu", i);
    }
    /* Idle: the edge of receiver 4; receiver 1 (last heard at 2 s) goes after 5 s. */
    cr_assert_eq(flow_control_on_idle(&flow, limit, 7 * NS_PER_S), 132072);
    cr_assert_eq(flow.receiver_count, 3);
    cr_assert_eq(flow_control_on_idle(&flow, limit, 7 * NS_PER_S + 1), 132072);
    cr_assert_eq(flow.receiver_count, 2);
    flow_control_close(&flow);
}

Test(flow_control, min_lets_the_limit_fall_only_when_idle) {
    struct flow_control flow = make(FLOW_CONTROL_MIN, 0);
    struct flow_control_sm wide = sm(1, 0, 8192), narrow = sm(1, 0, 1024);
    int64_t limit = flow_control_on_sm(&flow, &wide, 0, 0);
    limit = flow_control_on_sm(&flow, &narrow, limit, 0);
    cr_assert_eq(limit, 8192);
    cr_assert_eq(flow_control_on_idle(&flow, limit, 0), 1024);
    flow_control_close(&flow);
}

Test(flow_control, min_waits_for_its_group_size) {
    struct flow_control flow = make(FLOW_CONTROL_MIN, 2);
    struct flow_control_sm first = sm(1, 0, 4096), second = sm(2, 0, 2048);
    cr_assert_eq(flow_control_on_sm(&flow, &first, 0, 0), 0);
    cr_assert_not(flow_control_has_required_receivers(&flow));
    cr_assert_eq(flow_control_on_sm(&flow, &second, 0, 0), 2048);
    cr_assert(flow_control_has_required_receivers(&flow));
    second.is_eos = true;
    (void)flow_control_on_sm(&flow, &second, 2048, 0);
    cr_assert_eq(flow_control_on_idle(&flow, 2048, 1), 2048);
    cr_assert_not(flow_control_has_required_receivers(&flow));
    flow_control_close(&flow);
}

Test(flow_control, min_drops_receivers_that_end_err_or_fall_silent) {
    struct flow_control flow = make(FLOW_CONTROL_MIN, 0);
    struct flow_control_sm slow = sm(1, 0, 1024), fast = sm(2, 0, 8192);
    int64_t limit = flow_control_on_sm(&flow, &slow, 0, 0);
    limit = flow_control_on_sm(&flow, &fast, limit, 0);
    cr_assert_eq(limit, 1024);
    flow_control_on_error(&flow, 1);
    cr_assert_eq(flow_control_on_idle(&flow, limit, 0), 8192);
    limit = flow_control_on_sm(&flow, &slow, 8192, 0);
    cr_assert_eq(flow.receiver_count, 1, "1 is now more than a window behind");
    cr_assert_eq(flow_control_on_idle(&flow, limit, 6 * NS_PER_S), 8192, "the last one leaves");
    cr_assert_eq(flow.receiver_count, 0);
    flow_control_close(&flow);
}

Test(flow_control, setup_guard_holds_the_limit_until_the_newcomer_reports) {
    struct flow_control flow = make(FLOW_CONTROL_MIN, 0);
    struct flow_control_sm known = sm(1, 0, 4096), ahead = sm(1, 2048, 4096);
    struct flow_control_sm newcomer = sm(2, 2048, 4096);
    flow_control_on_setup(&flow, 0, 0);
    cr_assert_not(flow.has_setup_limit, "nobody asked");
    int64_t limit = flow_control_on_sm(&flow, &known, 0, 0);
    flow_control_on_setup_requested(&flow, &newcomer);
    flow_control_on_setup(&flow, limit, 0);
    cr_assert(flow.has_setup_limit);
    limit = flow_control_on_sm(&flow, &ahead, limit, 1);
    cr_assert_eq(limit, 4096, "held");
    limit = flow_control_on_sm(&flow, &newcomer, limit, 2);
    cr_assert_not(flow.has_setup_limit);
    cr_assert_eq(flow_control_on_idle(&flow, limit, 2), 6144);
    flow_control_on_setup_requested(&flow, &newcomer);
    flow_control_on_setup(&flow, limit, 0);
    (void)flow_control_on_idle(&flow, limit, 5 * NS_PER_S + 1);
    cr_assert_not(flow.has_setup_limit, "it ends with the receiver timeout");
    flow_control_close(&flow);
}

/* media-driver.md 4.5, 9.8 */
Test(flow_control, tagged_lets_others_move_the_limit_only_while_nobody_is_tagged) {
    struct flow_control flow = make(FLOW_CONTROL_TAGGED, 0);
    struct flow_control_sm plain = sm(3, 0, WINDOW), other = tagged_sm(2, TAG + 1, 0, WINDOW);
    cr_assert_eq(flow_control_on_sm(&flow, &plain, 0, 0), WINDOW);
    cr_assert_eq(flow_control_on_sm(&flow, &other, 0, 0), WINDOW);
    cr_assert_eq(flow.receiver_count, 0);
    struct flow_control_sm member = tagged_sm(1, TAG, 0, 4096);
    cr_assert_eq(flow_control_on_sm(&flow, &member, 0, 0), 4096);
    cr_assert_eq(flow.receiver_count, 1);
    struct flow_control_sm slow = sm(4, 0, 1024), fast = tagged_sm(5, TAG + 1, 8192, WINDOW);
    cr_assert_eq(flow_control_on_sm(&flow, &slow, 4096, 1), 4096);
    cr_assert_eq(flow_control_on_sm(&flow, &fast, 4096, 1), 4096);
    cr_assert_eq(flow_control_on_idle(&flow, 4096, 1), 4096);
    /* The id of a member without its tag: neither a sign of life nor a new edge. */
    struct flow_control_sm impostor = sm(1, 2048, 4096);
    cr_assert_eq(flow_control_on_sm(&flow, &impostor, 4096, 4 * NS_PER_S), 4096);
    (void)flow_control_on_idle(&flow, 4096, 5 * NS_PER_S + 1);
    cr_assert_eq(flow.receiver_count, 0, "silent since 0 s");
    flow_control_close(&flow);
}

Test(flow_control, tagged_counts_only_members_for_its_group_size) {
    struct flow_control flow = make(FLOW_CONTROL_TAGGED, 1);
    struct flow_control_sm plain = sm(1, 0, 4096), member = tagged_sm(2, TAG, 0, 2048);
    cr_assert_eq(flow_control_on_sm(&flow, &plain, 0, 0), 0);
    cr_assert_not(flow_control_has_required_receivers(&flow));
    cr_assert_eq(flow_control_on_sm(&flow, &member, 0, 0), 2048);
    cr_assert(flow_control_has_required_receivers(&flow));
    flow_control_close(&flow);
}

Test(flow_control, tagged_guards_the_limit_only_for_members) {
    struct flow_control flow = make(FLOW_CONTROL_TAGGED, 0);
    struct flow_control_sm known = tagged_sm(1, TAG, 0, 4096), newcomer = tagged_sm(2, TAG, 0, 0);
    struct flow_control_sm plain = sm(3, 0, 0);
    (void)flow_control_on_sm(&flow, &known, 0, 0);
    flow_control_on_setup_requested(&flow, &plain);
    flow_control_on_setup(&flow, 4096, 0);
    cr_assert_not(flow.has_setup_limit);
    flow_control_on_setup_requested(&flow, &newcomer);
    flow_control_on_setup_requested(&flow, &plain); /* does not take it back */
    flow_control_on_setup(&flow, 4096, 0);
    cr_assert(flow.has_setup_limit);
    flow_control_close(&flow);
}

Test(flow_control, a_full_table_admits_nobody_more) {
    struct flow_control flow = make(FLOW_CONTROL_MIN, 0);
    for (int64_t id = 0; id < FLOW_CONTROL_RECEIVERS_MAX + 10; id++) {
        struct flow_control_sm message = sm(id, 0, 4096);
        cr_assert_eq(flow_control_on_sm(&flow, &message, 4096, 0), 4096);
    }
    cr_assert_eq(flow.receiver_count, FLOW_CONTROL_RECEIVERS_MAX);
    flow_control_close(&flow);
}

/* media-driver.md 9.4 */
Test(flow_control, retransmit_length_is_capped_as_specified) {
    static const struct {
        int32_t term, requested, offset, unicast, group;
    } rows[] = {
        {65536, 1408, 0, 1408, 1408},
        {65536, 65536, 0, 65536, 65536},
        {65536, 65536, 60000, 5536, 5536},
        {1 << 24, 1 << 24, 0, 2097152, 524288},
    };
    struct flow_control unicast = {.params.retransmit_window_multiple = 16};
    struct flow_control group = {.params.retransmit_window_multiple = 4};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(flow_control_retransmit_length(&unicast, rows[i].term, rows[i].offset,
                                                    rows[i].requested),
                     rows[i].unicast, "unicast %zu", i);
        cr_assert_eq(
            flow_control_retransmit_length(&group, rows[i].term, rows[i].offset, rows[i].requested),
            rows[i].group, "group %zu", i);
    }
}

Test(flow_control, fc_values_are_parsed_or_refused_by_name) {
    const struct flow_control_params defaults = {FLOW_CONTROL_MAX, TAG, 5 * NS_PER_S, 0, 4, NULL};
    struct flow_control_params params = defaults;
    cr_assert_eq(flow_control_params_parse(&params, NULL, NULL), 0);
    cr_assert_eq(params.strategy, FLOW_CONTROL_MAX);
    cr_assert_eq(flow_control_params_parse(&params, "min,g:7/3,t:500ms,rrwm:9", NULL), 0);
    cr_assert_eq(params.strategy, FLOW_CONTROL_MIN);
    cr_assert_eq(params.group_size_min, 3);
    cr_assert_eq(params.receiver_timeout_ns, 500 * NS_PER_MS);
    cr_assert_eq(params.retransmit_window_multiple, 9);
    params = defaults;
    cr_assert_eq(flow_control_params_parse(&params, "max,rrwm:1", NULL), 0);
    cr_assert_eq(params.retransmit_window_multiple, 1);
    params = defaults;
    cr_assert_eq(flow_control_params_parse(&params, "tagged", NULL), 0);
    cr_assert_eq(params.strategy, FLOW_CONTROL_TAGGED);
    cr_assert_eq(params.group_tag, TAG, "the configured tag");
    cr_assert_eq(flow_control_params_parse(&params, "tagged,g:/2", NULL), 0);
    cr_assert_eq(params.group_tag, TAG);
    cr_assert_eq(params.group_size_min, 2);
    cr_assert_eq(flow_control_params_parse(&params, "tagged,t:1s,g:-9223372036854775808/1", NULL),
                 0);
    cr_assert_eq(params.group_tag, INT64_MIN);
    cr_assert_eq(params.group_size_min, 1);
    cr_assert_eq(params.receiver_timeout_ns, NS_PER_S);
    params = (struct flow_control_params){FLOW_CONTROL_MIN, TAG, NS_PER_S, 2, 4, NULL};
    cr_assert_eq(flow_control_params_parse(&params, NULL, NULL), 0);
    cr_assert_eq(params.strategy, FLOW_CONTROL_MIN, "the configured strategy stays");
    cr_assert_eq(flow_control_params_parse(&params, "max", NULL), 0);
    cr_assert_eq(params.strategy, FLOW_CONTROL_MAX);
    static const struct {
        const char *fc, *text;
    } bad[] = {
        {"fast", "fast"},      {"min,x:1", "x:1"},  {"min,t:abc", "abc"}, {"min,g:/x", "x"},
        {"min,g:x", "x"},      {"min,g:", "group"}, {"max,rrwm:0", "0"},  {"max,g:/1", "g:/1"},
        {"tagged,g:1x", "1x"}, {"tagged,g:x", "x"}, {"tagged,x", "x"},    {"tagged,g:1/", "size"},
        {"min,", "unknown"},   {"", "unknown"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tern_error error = {0};
        params = defaults;
        cr_assert_lt(flow_control_params_parse(&params, bad[i].fc, &error), 0, "%s", bad[i].fc);
        cr_assert_not_null(strstr(error.text, bad[i].text), "%s: %s", bad[i].fc, error.text);
        cr_assert_eq(memcmp(&params, &defaults, sizeof params), 0, "%s", bad[i].fc);
    }
    struct flow_control_params unicast = {FLOW_CONTROL_UNICAST, TAG, 1, 0, 16, NULL};
    cr_assert_eq(flow_control_params_parse(&unicast, "min,g:/2,rrwm:3", NULL), 0);
    cr_assert_eq(unicast.strategy, FLOW_CONTROL_UNICAST);
    cr_assert_eq(unicast.retransmit_window_multiple, 16);
}

Test(flow_control, strategies_of_the_configuration_are_known_by_name) {
    enum flow_control_strategy strategy;
    struct tern_error error;
    cr_assert_eq(flow_control_strategy_parse("multicast_min", &strategy, &error), 0);
    cr_assert_eq(strategy, FLOW_CONTROL_MIN);
    cr_assert_eq(flow_control_strategy_parse("unicast_max", &strategy, &error), 0);
    cr_assert_eq(strategy, FLOW_CONTROL_UNICAST);
    cr_assert_eq(flow_control_strategy_parse("multicast_tagged", &strategy, &error), 0);
    cr_assert_eq(strategy, FLOW_CONTROL_TAGGED);
    cr_assert_lt(flow_control_strategy_parse("fancy", &strategy, &error), 0);
}
